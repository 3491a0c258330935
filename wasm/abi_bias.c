/* ABI of src/bias: byte models over a session. */
#include "abi.h"

#include "../src/bias/bias.h"

ABI_LAYOUT(bias, ABI_STRUCT(mt_next_bytes), ABI_ARRAY(mt_next_bytes, exact), ABI_ARRAY(mt_next_bytes, naive),
           ABI_FIELD(mt_next_bytes, text_logprob), ABI_FIELD(mt_next_bytes, missing_mass),
           ABI_FIELD(mt_next_bytes, live_contexts), ABI_FIELD(mt_next_bytes, target), ABI_STRUCT(mt_bytes_stats),
           ABI_FIELD(mt_bytes_stats, contexts_made), ABI_FIELD(mt_bytes_stats, contexts_dropped),
           ABI_FIELD(mt_bytes_stats, evaluations), ABI_FIELD(mt_bytes_stats, passes),
           ABI_FIELD(mt_bytes_stats, contexts), ABI_FIELD(mt_bytes_stats, live), ABI_ENUM(MT_TARGET_VALID),
           ABI_ENUM(MT_TARGET_MASKED), ABI_ENUM(MT_TARGET_ALL))

/* A byte model and the session's face as a language model, which lives as long. */
typedef struct abi_bytes {
    mt_lm lm;
    mt_bytes *model;
} abi_bytes;

MT_EXPORT(bytes_new) mt_status abi_bytes_new(mt_session *session, mt_tok *tokenizer, int32_t target, abi_bytes **out) {
    ABI_NEED(session);
    ABI_NEED(tokenizer);
    if (target < MT_TARGET_VALID || target > MT_TARGET_ALL)
        return mt_fail(&abi_error, MT_EUNKNOWN, "target %d: known are valid, masked, all", target);
    abi_bytes *b = mt_calloc(1, sizeof *b);
    if (!b) return mt_nomem(&abi_error, sizeof *b, "a byte model");
    mt_status status = mt_lm_of_session(session, mt_tok_bos(tokenizer), mt_tok_eos(tokenizer), &b->lm, &abi_error);
    if (status == MT_OK) {
        status = mt_bytes_new(tokenizer, &b->lm, (mt_target)target, &b->model, &abi_error);
        if (status != MT_OK) mt_lm_free_session(&b->lm);
    }
    if (status != MT_OK) {
        mt_free(b);
        return status;
    }
    *out = b;
    return MT_OK;
}
MT_EXPORT(bytes_free) void abi_bytes_free(abi_bytes *b) {
    if (!b) return;
    mt_bytes_free(b->model);
    mt_lm_free_session(&b->lm);
    mt_free(b);
}
MT_EXPORT(bytes_set_beam) mt_status abi_bytes_set_beam(abi_bytes *b, int32_t beam, double epsilon) {
    ABI_NEED(b);
    return mt_bytes_set_beam(b->model, beam, epsilon, &abi_error);
}
MT_EXPORT(bytes_set_naive) mt_status abi_bytes_set_naive(abi_bytes *b, int32_t naive) {
    ABI_NEED(b);
    mt_bytes_set_naive(b->model, naive != 0);
    return MT_OK;
}
MT_EXPORT(bytes_reset) mt_status abi_bytes_reset(abi_bytes *b) {
    ABI_NEED(b);
    return mt_bytes_reset(b->model, &abi_error);
}
MT_EXPORT(bytes_push) mt_status abi_bytes_push(abi_bytes *b, const uint8_t *p, size_t n) {
    ABI_NEED(b);
    return mt_bytes_push(b->model, p, n, &abi_error);
}
MT_EXPORT(bytes_length) size_t abi_bytes_length(const abi_bytes *b) {
    return b ? mt_bytes_length(b->model) : 0;
}
MT_EXPORT(bytes_next) mt_status abi_bytes_next(abi_bytes *b, mt_next_bytes *out) {
    ABI_NEED(b);
    return mt_bytes_next(b->model, out, &abi_error);
}
MT_EXPORT(bytes_score) mt_status abi_bytes_score(abi_bytes *b, double *text_logprob, double *missing_mass) {
    ABI_NEED(b);
    return mt_bytes_score(b->model, text_logprob, missing_mass, &abi_error);
}
MT_EXPORT(bytes_stats) mt_status abi_bytes_stats(const abi_bytes *b, mt_bytes_stats *out) {
    ABI_NEED(b);
    mt_bytes_stats_get(b->model, out);
    return MT_OK;
}
MT_EXPORT(bytes_tree) mt_status abi_bytes_tree(abi_bytes *b, mt_buf *json) {
    ABI_NEED(b);
    json->len = 0;
    return mt_bytes_tree(b->model, json, &abi_error);
}
