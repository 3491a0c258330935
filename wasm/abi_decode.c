/* ABI of src/decode: samplers. */
#include "abi.h"

#include "../src/decode/sample.h"

ABI_LAYOUT(decode, ABI_STRUCT(mt_sample_options), ABI_FIELD(mt_sample_options, temperature),
           ABI_FIELD(mt_sample_options, top_k), ABI_FIELD(mt_sample_options, typical),
           ABI_FIELD(mt_sample_options, top_p), ABI_FIELD(mt_sample_options, min_p),
           ABI_FIELD(mt_sample_options, repeat), ABI_FIELD(mt_sample_options, presence),
           ABI_FIELD(mt_sample_options, frequency), ABI_FIELD(mt_sample_options, last_n),
           ABI_FIELD(mt_sample_options, seed))

MT_EXPORT(sample_defaults) void abi_sample_defaults(mt_sample_options *out) {
    *out = mt_sample_defaults();
}
MT_EXPORT(sampler_new) mt_status abi_sampler_new(int32_t vocab, const mt_sample_options *options, mt_sampler **out) {
    ABI_NEED(options);
    return mt_sampler_new(vocab, options, out, &abi_error);
}
MT_EXPORT(sampler_free) void abi_sampler_free(mt_sampler *sampler) {
    mt_sampler_free(sampler);
}
MT_EXPORT(sampler_accept)
mt_status abi_sampler_accept(mt_sampler *sampler, const int32_t *token, size_t count) {
    ABI_NEED(sampler);
    return mt_sampler_accept(sampler, token, count, &abi_error);
}
MT_EXPORT(sampler_forget) mt_status abi_sampler_forget(mt_sampler *sampler) {
    ABI_NEED(sampler);
    mt_sampler_forget(sampler);
    return MT_OK;
}
MT_EXPORT(sampler_law) mt_status abi_sampler_law(mt_sampler *sampler, const float *logits, double *p) {
    ABI_NEED(sampler);
    ABI_NEED(logits);
    return mt_sampler_law(sampler, logits, p, &abi_error);
}
/* log_prob may be 0. */
MT_EXPORT(sampler_draw)
mt_status abi_sampler_draw(mt_sampler *sampler, const float *logits, int32_t *token, double *log_prob) {
    ABI_NEED(sampler);
    ABI_NEED(logits);
    return mt_sampler_draw(sampler, logits, token, log_prob, &abi_error);
}
