/* ABI of the Markov sources and their exact token models. */
#include "abi.h"

#include "../src/bias/markov.h"

ABI_LAYOUT(markov, ABI_STRUCT(mt_markov_prediction), ABI_ARRAY(mt_markov_prediction, corrected),
           ABI_ARRAY(mt_markov_prediction, naive), ABI_FIELD(mt_markov_prediction, text_logprob),
           ABI_FIELD(mt_markov_prediction, calls), ABI_ENUM(MT_MARKOV_OWN), ABI_ENUM(MT_MARKOV_LONGEST))

MT_EXPORT(markov_new)
mt_status abi_markov_new(const uint8_t *letters, int32_t count, int32_t order, const double *next, mt_markov **out) {
    return mt_markov_new(letters, count, order, next, out, &abi_error);
}
MT_EXPORT(markov_free) void abi_markov_free(mt_markov *markov) {
    mt_markov_free(markov);
}
MT_EXPORT(markov_stationary) const double *abi_markov_stationary(const mt_markov *markov) {
    return mt_markov_stationary(markov);
}
MT_EXPORT(markov_contexts) int32_t abi_markov_contexts(const mt_markov *markov) {
    return mt_markov_contexts(markov);
}
MT_EXPORT(markov_rate) double abi_markov_rate(const mt_markov *markov) {
    return mt_markov_rate(markov);
}
MT_EXPORT(markov_entropy) double abi_markov_entropy(const mt_markov *markov, int32_t length) {
    return mt_markov_entropy(markov, length);
}
MT_EXPORT(markov_block_loss) double abi_markov_block_loss(const mt_markov *markov, int32_t length) {
    return mt_markov_block_loss(markov, length);
}
MT_EXPORT(markov_sample)
void abi_markov_sample(const mt_markov *markov, double seed, size_t n, uint8_t *out) {
    mt_markov_sample(markov, abi_size(seed), n, out);
}
MT_EXPORT(markov_next)
mt_status abi_markov_next(const mt_markov *markov, const uint8_t *text, size_t n, double *out) {
    ABI_NEED(markov);
    return mt_markov_next(markov, text, n, out, &abi_error);
}

MT_EXPORT(markov_model_new)
mt_status abi_markov_model_new(const mt_markov *markov, mt_tok *tok, int32_t length, int32_t encoder,
                               mt_markov_model **out) {
    ABI_NEED(markov);
    ABI_NEED(tok);
    return mt_markov_model_new(markov, tok, length, (mt_markov_encoder)encoder, out, &abi_error);
}
MT_EXPORT(markov_model_free) void abi_markov_model_free(mt_markov_model *model) {
    mt_markov_model_free(model);
}
MT_EXPORT(markov_model_next)
mt_status abi_markov_model_next(mt_markov_model *model, const int32_t *ids, size_t n, double *out) {
    ABI_NEED(model);
    return mt_markov_model_next(model, ids, n, out, &abi_error);
}
MT_EXPORT(markov_model_set)
mt_status abi_markov_model_set(mt_markov_model *model, const int32_t *ids, size_t n, const double *p) {
    ABI_NEED(model);
    return mt_markov_model_set(model, ids, n, p, &abi_error);
}
MT_EXPORT(markov_model_predict)
mt_status abi_markov_model_predict(mt_markov_model *model, const uint8_t *text, size_t n, mt_markov_prediction *out) {
    ABI_NEED(model);
    ABI_NEED(out);
    return mt_markov_model_predict(model, text, n, out, &abi_error);
}
