/* ABI of healing, alignment and covers. */
#include "abi.h"

#include "../src/bias/bias.h"

ABI_LAYOUT(heal, ABI_STRUCT(mt_healed), ABI_ARRAY(mt_healed, next), ABI_FIELD(mt_healed, dead),
           ABI_FIELD(mt_healed, dropped), ABI_FIELD(mt_healed, contexts), ABI_STRUCT(mt_cover),
           ABI_FIELD(mt_cover, ids.data), ABI_FIELD(mt_cover, ids.len), ABI_FIELD(mt_cover, start.data),
           ABI_FIELD(mt_cover, count))

/* The session is reset first; the caller's afterwards. */
MT_EXPORT(heal_next)
mt_status abi_heal_next(mt_session *session, mt_tok *tok, const uint8_t *text, size_t n, int32_t tokens,
                        int32_t classic, int32_t keep, int32_t limit, double epsilon, mt_healed *out) {
    ABI_NEED(session);
    ABI_NEED(tok);
    ABI_NEED(out);
    mt_lm lm;
    mt_heal_options options = {
        .tokens = tokens, .classic = classic != 0, .keep = keep != 0, .limit = limit, .epsilon = epsilon};
    MT_TRY(mt_lm_of_session(session, mt_tok_bos(tok), mt_tok_eos(tok), &lm, &abi_error));
    mt_status status = mt_heal_next(tok, &lm, text, n, &options, out, &abi_error);
    mt_lm_free_session(&lm);
    return status;
}

/* ---- alignment ---- */

MT_EXPORT(align_new) mt_status abi_align_new(mt_tok *tok, int32_t vocab, int32_t classic, mt_align **out) {
    ABI_NEED(tok);
    MT_TRY(mt_align_new(tok, vocab, out, &abi_error));
    mt_align_set_classic(*out, classic != 0);
    return MT_OK;
}
MT_EXPORT(align_free) void abi_align_free(mt_align *align) {
    mt_align_free(align);
}
/* *kept: how many of the ids stay */
MT_EXPORT(align_begin)
mt_status abi_align_begin(mt_align *align, const int32_t *ids, size_t n, int32_t tokens, size_t *kept) {
    ABI_NEED(align);
    return mt_align_begin(align, ids, n, tokens, kept, &abi_error);
}
/* Logits of tokens that are not allowed become -infinity. *left: bytes that have still to be reproduced; 0: nothing was
 * changed. */
MT_EXPORT(align_apply) mt_status abi_align_apply(mt_align *align, float *logits, int32_t vocab, size_t *left) {
    ABI_NEED(align);
    ABI_NEED(logits);
    const uint64_t *bits;
    *left = mt_align_left(align).n;
    MT_TRY(mt_align_mask(align, &bits, &abi_error));
    for (int32_t i = 0; i < vocab && bits; i++)
        if (!(bits[i >> 6] >> (i & 63) & 1)) logits[i] = -__builtin_inff();
    return MT_OK;
}
MT_EXPORT(align_accept) mt_status abi_align_accept(mt_align *align, int32_t id) {
    ABI_NEED(align);
    return mt_align_accept(align, id, &abi_error);
}

/* ---- covers ---- */

/* out: zeroed, of the caller; cover_free empties it */
MT_EXPORT(cover_find)
mt_status abi_cover_find(mt_tok *tok, int32_t vocab, int32_t target, const uint8_t *text, size_t n, uint32_t limit,
                         mt_cover *out) {
    ABI_NEED(tok);
    ABI_NEED(out);
    return mt_cover_find(tok, vocab, (mt_target)target, text, n, limit, out, &abi_error);
}
MT_EXPORT(cover_free) void abi_cover_free(mt_cover *cover) {
    if (cover) mt_cover_free(cover);
}
