/* ABI of src/bias: the streaming next-byte model over a session of its own. */
#include "abi.h"

#include "../src/bias/bias.h"

#include <math.h>

ABI_LAYOUT(bias, ABI_STRUCT(mt_next_bytes), ABI_ARRAY(mt_next_bytes, exact), ABI_ARRAY(mt_next_bytes, naive),
           ABI_FIELD(mt_next_bytes, text_logprob), ABI_FIELD(mt_next_bytes, missing_mass),
           ABI_FIELD(mt_next_bytes, live_contexts), ABI_FIELD(mt_next_bytes, target), ABI_ENUM(MT_TARGET_VALID),
           ABI_ENUM(MT_TARGET_MASKED), ABI_ENUM(MT_TARGET_ALL))

/* The session and the tokenizer are the caller's: free them after this. */
typedef struct abi_bytes {
    mt_lm lm;
    mt_bytes *model;
    mt_rng rng;
} abi_bytes;

MT_EXPORT(bytes_free) void abi_bytes_free(abi_bytes *bytes) {
    if (!bytes) return;
    if (bytes->model) mt_bytes_free(bytes->model);
    if (bytes->lm.self) mt_lm_free_session(&bytes->lm);
    mt_free(bytes);
}
/* prompt: tokens that the text follows; none: the tokenizer's beginning of text. */
MT_EXPORT(bytes_new)
mt_status abi_bytes_new(mt_session *session, mt_tok *tok, int32_t target, const int32_t *prompt, int32_t count,
                        abi_bytes **out) {
    ABI_NEED(session);
    ABI_NEED(tok);
    *out = NULL;
    abi_bytes *bytes = mt_calloc(1, sizeof *bytes);
    if (!bytes) return mt_nomem(&abi_error, sizeof *bytes, "a byte model");
    mt_status status = count > 0 ? mt_lm_after(session, prompt, count, mt_tok_eos(tok), &bytes->lm, &abi_error)
                                 : mt_lm_of_session(session, mt_tok_bos(tok), mt_tok_eos(tok), &bytes->lm, &abi_error);
    if (status == MT_OK) status = mt_bytes_new(tok, &bytes->lm, (mt_target)target, &bytes->model, &abi_error);
    if (status == MT_OK)
        *out = bytes;
    else
        abi_bytes_free(bytes);
    return status;
}
MT_EXPORT(bytes_reset) mt_status abi_bytes_reset(abi_bytes *bytes) {
    ABI_NEED(bytes);
    return mt_bytes_reset(bytes->model, &abi_error);
}
MT_EXPORT(bytes_push) mt_status abi_bytes_push(abi_bytes *bytes, const uint8_t *p, size_t n) {
    ABI_NEED(bytes);
    return mt_bytes_push(bytes->model, p, n, &abi_error);
}
/* Bytes that are held: after a push that failed, those before the failing one. */
MT_EXPORT(bytes_length) size_t abi_bytes_length(const abi_bytes *bytes) {
    return bytes ? mt_bytes_length(bytes->model) : 0;
}
MT_EXPORT(bytes_set_beam) mt_status abi_bytes_set_beam(abi_bytes *bytes, int32_t beam, double epsilon) {
    ABI_NEED(bytes);
    return mt_bytes_set_beam(bytes->model, beam, epsilon, &abi_error);
}
MT_EXPORT(bytes_set_naive) mt_status abi_bytes_set_naive(abi_bytes *bytes, int32_t naive) {
    ABI_NEED(bytes);
    mt_bytes_set_naive(bytes->model, naive != 0);
    return MT_OK;
}
MT_EXPORT(bytes_score) mt_status abi_bytes_score(abi_bytes *bytes, double *text_logprob, double *missing_mass) {
    ABI_NEED(bytes);
    return mt_bytes_score(bytes->model, text_logprob, missing_mass, &abi_error);
}
MT_EXPORT(bytes_next) mt_status abi_bytes_next(abi_bytes *bytes, mt_next_bytes *out) {
    ABI_NEED(bytes);
    ABI_NEED(out);
    return mt_bytes_next(bytes->model, out, &abi_error);
}
/* One cover encoding, drawn: u in [0, 1). out: its log-probability. */
MT_EXPORT(bytes_draw_cover) mt_status abi_bytes_draw_cover(abi_bytes *bytes, double u, mt_ids *ids, double *logp) {
    ABI_NEED(bytes);
    ABI_NEED(ids);
    return mt_bytes_draw_cover(bytes->model, u, ids, logp, &abi_error);
}
MT_EXPORT(bytes_seed) mt_status abi_bytes_seed(abi_bytes *bytes, uint32_t low, uint32_t high) {
    ABI_NEED(bytes);
    mt_rng_seed(&bytes->rng, (uint64_t)high << 32 | low);
    return MT_OK;
}
/* One byte drawn and pushed; 256, the end of the text, is only reported. logp may be 0. */
MT_EXPORT(bytes_draw)
mt_status abi_bytes_draw(abi_bytes *bytes, double temperature, double top_p, int32_t *symbol, double *logp) {
    ABI_NEED(bytes);
    ABI_NEED(symbol);
    mt_byte_choice how = {temperature, top_p};
    MT_TRY(mt_bytes_draw(bytes->model, &how, mt_rng_double(&bytes->rng), symbol, logp, &abi_error));
    if (*symbol == 256) return MT_OK;
    uint8_t byte = (uint8_t)*symbol;
    return mt_bytes_push(bytes->model, &byte, 1, &abi_error);
}
MT_EXPORT(bytes_push_scored)
mt_status abi_bytes_push_scored(abi_bytes *bytes, const uint8_t *p, size_t n, double *logp) {
    ABI_NEED(bytes);
    return mt_bytes_push_scored(bytes->model, p, n, logp, &abi_error);
}
/* {"pruned", "paths": [{"bytes": [...], "ends", "logp"}]}, best first. */
MT_EXPORT(bytes_best)
mt_status abi_bytes_best(abi_bytes *bytes, int32_t length, int32_t width, mt_buf *json) {
    ABI_NEED(bytes);
    ABI_NEED(json);
    mt_byte_paths best;
    mt_status status;
    json->len = 0;
    MT_TRY(mt_bytes_best(bytes->model, length, width, &best, &abi_error));
    MT_TRY_GOTO(mt_buf_printf(json, &abi_error, "{"), done);
    if (isfinite(best.pruned)) MT_TRY_GOTO(mt_buf_printf(json, &abi_error, "\"pruned\":%.17g,", best.pruned), done);
    MT_TRY_GOTO(mt_buf_printf(json, &abi_error, "\"paths\":["), done);
    for (int32_t i = 0; i < best.count; i++) {
        const mt_byte_path *p = &best.path[i];
        MT_TRY_GOTO(mt_buf_printf(json, &abi_error, "%s{\"ends\":%s,\"logp\":%.17g,\"bytes\":[", i ? "," : "",
                                  p->ends ? "true" : "false", p->logp),
                    done);
        for (size_t k = 0; k < p->n; k++)
            MT_TRY_GOTO(mt_buf_printf(json, &abi_error, k ? ",%d" : "%d", best.bytes.data[p->at + k]), done);
        MT_TRY_GOTO(mt_buf_printf(json, &abi_error, "]}"), done);
    }
    status = mt_buf_printf(json, &abi_error, "]}");
done:
    mt_byte_paths_free(&best);
    return status;
}
MT_EXPORT(bytes_tree) mt_status abi_bytes_tree(abi_bytes *bytes, mt_buf *json) {
    ABI_NEED(bytes);
    ABI_NEED(json);
    json->len = 0;
    return mt_bytes_tree(bytes->model, json, &abi_error);
}
