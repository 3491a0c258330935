/* ABI of the languages of tokens. */
#include "abi.h"

#include "../src/token/language.h"

ABI_LAYOUT(language, ABI_STRUCT(mt_byte_automaton), ABI_FIELD(mt_byte_automaton, states),
           ABI_FIELD(mt_byte_automaton, next), ABI_FIELD(mt_byte_automaton, accepts))

/* pattern_n 0: any text */
MT_EXPORT(language_new)
mt_status abi_language_new(mt_tok *tok, const uint8_t *pattern, size_t pattern_n, int32_t canonical,
                           mt_language **out) {
    ABI_NEED(tok);
    return mt_language_open(tok, (mt_str){pattern, pattern_n}, canonical != 0, out, &abi_error);
}
MT_EXPORT(language_free) void abi_language_free(mt_language *language) {
    mt_language_free(language);
}
MT_EXPORT(language_states) double abi_language_states(const mt_language *language) {
    return language ? (double)mt_language_states(language) : 0;
}
/* *next -1: no */
MT_EXPORT(language_next)
mt_status abi_language_next(mt_language *language, int32_t state, int32_t id, int32_t *next) {
    ABI_NEED(language);
    return mt_language_next(language, state, id, next, &abi_error);
}
/* allowed: one byte for each id */
MT_EXPORT(language_allowed)
mt_status abi_language_allowed(mt_language *language, int32_t state, uint8_t *allowed, size_t *count) {
    ABI_NEED(language);
    return mt_language_allowed(language, state, allowed, count, &abi_error);
}
MT_EXPORT(language_accepts) mt_status abi_language_accepts(mt_language *language, int32_t state, uint32_t *out) {
    ABI_NEED(language);
    bool yes = false;
    MT_TRY(mt_language_accepts(language, state, &yes, &abi_error));
    *out = yes;
    return MT_OK;
}
/* count: n + 1 numbers */
MT_EXPORT(language_count) mt_status abi_language_count(mt_language *language, size_t n, uint64_t *count) {
    ABI_NEED(language);
    return mt_language_count(language, n, count, &abi_error);
}
MT_EXPORT(language_bytes)
mt_status abi_language_bytes(mt_language *language, int32_t limit, mt_byte_automaton *out) {
    ABI_NEED(language);
    ABI_NEED(out);
    return mt_language_bytes(language, limit, out, &abi_error);
}
MT_EXPORT(byte_automaton_free) void abi_byte_automaton_free(mt_byte_automaton *automaton) {
    mt_byte_automaton_free(automaton);
}
