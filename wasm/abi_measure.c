/* ABI of the measures: texts are encoded and counted in the core, sums and distributions are read from JavaScript. */
#include "abi.h"

#include "../src/token/measure.h"

typedef struct abi_measure {
    mt_measure m;
    mt_encoding e;
    mt_ids ends;
} abi_measure;
typedef struct abi_measured {
    uint64_t sentences, tokens, unknown, bytes, characters, words, word_tokens, continued;
    double fertility, continued_share, compression, closeness, unknown_share, used, entropy;
    const uint64_t *count;
} abi_measured;

ABI_LAYOUT(measure, ABI_STRUCT(abi_measured), ABI_FIELD(abi_measured, sentences), ABI_FIELD(abi_measured, tokens),
           ABI_FIELD(abi_measured, unknown), ABI_FIELD(abi_measured, bytes), ABI_FIELD(abi_measured, characters),
           ABI_FIELD(abi_measured, words), ABI_FIELD(abi_measured, word_tokens), ABI_FIELD(abi_measured, continued),
           ABI_FIELD(abi_measured, fertility), ABI_FIELD(abi_measured, continued_share),
           ABI_FIELD(abi_measured, compression), ABI_FIELD(abi_measured, closeness),
           ABI_FIELD(abi_measured, unknown_share), ABI_FIELD(abi_measured, used), ABI_FIELD(abi_measured, entropy),
           ABI_FIELD(abi_measured, count))

MT_EXPORT(measure_free) void abi_measure_free(abi_measure *measure) {
    if (!measure) return;
    mt_measure_free(&measure->m);
    mt_encoding_free(&measure->e);
    mt_ids_free(&measure->ends);
    mt_free(measure);
}
MT_EXPORT(measure_new) mt_status abi_measure_new(const mt_tok *tok, abi_measure **out) {
    ABI_NEED(tok);
    *out = NULL;
    abi_measure *measure = mt_calloc(1, sizeof *measure);
    if (!measure) return mt_nomem(&abi_error, sizeof *measure, "a measure");
    mt_status status = mt_measure_open(&measure->m, (size_t)mt_tok_size(tok), &abi_error);
    if (status == MT_OK)
        *out = measure;
    else
        abi_measure_free(measure);
    return status;
}
/* One text; *tokens: how many it has. */
MT_EXPORT(measure_text)
mt_status abi_measure_text(abi_measure *measure, mt_tok *tok, const uint8_t *text, size_t n, int32_t special_as_text,
                           int32_t unknown, uint32_t *tokens) {
    ABI_NEED(measure);
    ABI_NEED(tok);
    mt_encode_options options = {false, special_as_text != 0};
    mt_encoding *e = &measure->e;
    e->ids.len = 0;
    MT_TRY(mt_tok_encode(tok, text, n, &options, true, e, &abi_error));
    measure->ends.len = 0;
    MT_TRY(mt_ids_reserve(&measure->ends, e->ids.len + 1, &abi_error));
    int32_t end = 0; /* reordered marks and byte tokens may end before their neighbour does */
    for (size_t i = 0; i < e->ids.len; i++) {
        if ((int32_t)e->spans[i].end > end) end = (int32_t)e->spans[i].end;
        measure->ends.data[i] = end;
    }
    *tokens = (uint32_t)e->ids.len;
    return mt_measure_add(&measure->m, text, n, e->ids.data, measure->ends.data, e->ids.len, unknown, &abi_error);
}
MT_EXPORT(measure_result) mt_status abi_measure_result(const abi_measure *measure, abi_measured *out) {
    ABI_NEED(measure);
    const mt_measure *m = &measure->m;
    *out = (abi_measured){m->sentences,
                          m->tokens,
                          m->unknown,
                          m->bytes,
                          m->characters,
                          m->words,
                          m->word_tokens,
                          m->continued,
                          mt_measure_fertility(m),
                          mt_measure_continued(m),
                          mt_measure_compression(m),
                          mt_measure_closeness(m),
                          mt_measure_unknown(m),
                          mt_measure_used(m),
                          mt_measure_entropy(m),
                          m->count};
    return MT_OK;
}
MT_EXPORT(measure_efficiency) double abi_measure_efficiency(const abi_measure *measure, double alpha) {
    return measure ? mt_measure_efficiency(&measure->m, alpha) : 0;
}
MT_EXPORT(measure_divergence) double abi_measure_divergence(const abi_measure *a, const abi_measure *b) {
    return a && b ? mt_measure_divergence(&a->m, &b->m) : 0;
}
MT_EXPORT(tok_unreachable) mt_status abi_tok_unreachable(mt_tok *tok, mt_ids *out) {
    ABI_NEED(tok);
    out->len = 0;
    return mt_unreachable(tok, out, &abi_error);
}
