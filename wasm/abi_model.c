/* ABI of src/model: the push loader, sessions, traces and patches. */
#include "abi.h"

#include "../src/model/model.h"
#include "../src/tensor/kernels.h"

ABI_LAYOUT(model, ABI_STRUCT(mt_model_info), ABI_FIELD(mt_model_info, architecture), ABI_FIELD(mt_model_info, name),
           ABI_FIELD(mt_model_info, layers), ABI_FIELD(mt_model_info, width), ABI_FIELD(mt_model_info, heads),
           ABI_FIELD(mt_model_info, kv_heads), ABI_FIELD(mt_model_info, head_width),
           ABI_FIELD(mt_model_info, ffn_width), ABI_FIELD(mt_model_info, vocab), ABI_FIELD(mt_model_info, context),
           ABI_FIELD(mt_model_info, parameters), ABI_FIELD(mt_model_info, weight_bytes),
           ABI_FIELD(mt_model_info, weight_type), ABI_FIELD(mt_model_info, encoder_layers),
           ABI_FIELD(mt_model_info, decoder_start), ABI_FIELD(mt_model_info, segments),
           ABI_FIELD(mt_model_info, bidirectional), ABI_FIELD(mt_model_info, headless), ABI_STRUCT(mt_traced),
           ABI_FIELD(mt_traced, name), ABI_FIELD(mt_traced, n_dims), ABI_ARRAY(mt_traced, dims),
           ABI_FIELD(mt_traced, data), ABI_STRUCT(mt_session_info), ABI_FIELD(mt_session_info, slots),
           ABI_FIELD(mt_session_info, free), ABI_FIELD(mt_session_info, cache), ABI_FIELD(mt_session_info, cache_bytes),
           ABI_FIELD(mt_session_info, slot_bytes), ABI_FIELD(mt_session_info, state_bytes),
           ABI_FIELD(mt_session_info, memory_bytes), ABI_FIELD(mt_session_info, scratch_bytes), ABI_ENUM(MT_CACHE_F32),
           ABI_ENUM(MT_CACHE_F16), ABI_ENUM(MT_CACHE_Q8), ABI_ENUM(MT_ROOT), ABI_ENUM(MT_PATCH_REPLACE),
           ABI_ENUM(MT_PATCH_ADD), ABI_ENUM(MT_PATCH_SCALE), ABI_ENUM(MT_PATCH_ZERO), ABI_ENUM(MT_PATCH_MEAN),
           ABI_ENUM(MT_PATCH_RESAMPLE), ABI_STRUCT(mt_patch), ABI_FIELD(mt_patch, name), ABI_FIELD(mt_patch, kind),
           ABI_FIELD(mt_patch, dims), ABI_ARRAY(mt_patch, from), ABI_ARRAY(mt_patch, to), ABI_FIELD(mt_patch, offset),
           ABI_FIELD(mt_patch, count), ABI_FIELD(mt_patch, value), ABI_FIELD(mt_patch, values),
           ABI_FIELD(mt_patch, aligned), ABI_FIELD(mt_patch, given), ABI_FIELD(mt_patch, axis),
           ABI_FIELD(mt_patch, seed))

/* ---- loading ---- */

MT_EXPORT(loader_new) mt_status abi_loader_new(double file_size, mt_pool *pool, mt_loader **out) {
    MT_TRY(mt_loader_new(abi_size(file_size), out, &abi_error));
    mt_loader_use_pool(*out, pool);
    return MT_OK;
}
MT_EXPORT(loader_push) mt_status abi_loader_push(mt_loader *loader, const uint8_t *p, size_t n) {
    ABI_NEED(loader);
    return mt_loader_push(loader, p, n, &abi_error);
}
MT_EXPORT(loader_config) mt_status abi_loader_config(mt_loader *loader, const uint8_t *json, size_t n) {
    ABI_NEED(loader);
    return mt_loader_config(loader, json, n, &abi_error);
}
MT_EXPORT(loader_next_file) mt_status abi_loader_next_file(mt_loader *loader, double file_size) {
    ABI_NEED(loader);
    return mt_loader_next_file(loader, abi_size(file_size), &abi_error);
}
MT_EXPORT(loader_finish) mt_status abi_loader_finish(mt_loader *loader, mt_model **out) {
    ABI_NEED(loader);
    return mt_loader_finish(loader, out, &abi_error);
}
MT_EXPORT(loader_free) void abi_loader_free(mt_loader *loader) {
    if (loader) mt_loader_free(loader);
}
MT_EXPORT(model_free) void abi_model_free(mt_model *model) {
    if (model) mt_model_free(model);
}
MT_EXPORT(model_info) mt_status abi_model_info(const mt_model *model, mt_model_info *out) {
    ABI_NEED(model);
    mt_model_info_get(model, out);
    return MT_OK;
}
MT_EXPORT(model_describe) mt_status abi_model_describe(const mt_model *model, mt_buf *json) {
    ABI_NEED(model);
    json->len = 0;
    return mt_model_describe(model, json, &abi_error);
}
MT_EXPORT(model_gguf) const mt_gguf *abi_model_gguf(const mt_model *model) {
    return model ? mt_model_gguf(model) : NULL;
}
/* Whole number under a metadata key; -1: absent, negative or another kind. */
MT_EXPORT(model_key) double abi_model_key(const mt_model *model, const char *name) {
    uint64_t value;
    const mt_gguf *g = model ? mt_model_gguf(model) : NULL;
    return g && mt_gguf_u64(g, name, &value) && value < 9007199254740992u ? (double)value : -1;
}

/* ---- sessions ---- */

MT_EXPORT(session_new)
mt_status abi_session_new(mt_model *model, mt_pool *pool, int32_t slots, int32_t max_batch, int32_t cache,
                          mt_session **out) {
    ABI_NEED(model);
    mt_session_options options = {slots, max_batch, (mt_cache_type)cache};
    return mt_session_new(model, pool, &options, out, &abi_error);
}
MT_EXPORT(session_free) void abi_session_free(mt_session *session) {
    if (session) mt_session_free(session);
}
MT_EXPORT(session_reset) mt_status abi_session_reset(mt_session *session) {
    ABI_NEED(session);
    mt_session_reset(session);
    return MT_OK;
}
/* Encoder-decoder models: the source text, before the decoder's tokens. Empties the cache. */
MT_EXPORT(session_encode) mt_status abi_session_encode(mt_session *session, const int32_t *token, int32_t count) {
    ABI_NEED(session);
    ABI_NEED(token);
    return mt_session_encode(session, token, count, &abi_error);
}
MT_EXPORT(session_segments)
mt_status abi_session_segments(mt_session *session, const int32_t *segment, int32_t count) {
    ABI_NEED(session);
    ABI_NEED(segment);
    return mt_session_segments(session, segment, count, &abi_error);
}
/* position and want may be 0. slot: count numbers, filled. */
MT_EXPORT(session_eval)
mt_status abi_session_eval(mt_session *session, int32_t count, const int32_t *token, const int32_t *parent,
                           const int32_t *position, const uint8_t *want, int32_t *slot) {
    ABI_NEED(session);
    ABI_NEED(token);
    ABI_NEED(parent);
    ABI_NEED(slot);
    mt_batch batch = {count, token, parent, position, want, slot};
    return mt_session_eval(session, &batch, &abi_error);
}
/* A chain: token i follows token i - 1, the first follows the slot `parent`. */
MT_EXPORT(session_chain)
mt_status abi_session_chain(mt_session *session, int32_t count, const int32_t *token, int32_t parent,
                            const uint8_t *want, int32_t *slot) {
    ABI_NEED(session);
    ABI_NEED(token);
    ABI_NEED(slot);
    if (count < 1) return mt_fail(&abi_error, MT_ERANGE, "session_chain: a batch of %d tokens", (int)count);
    int32_t *chain = mt_array((size_t)count, sizeof *chain);
    if (!chain) return mt_nomem(&abi_error, (size_t)count * sizeof *chain, "a batch");
    for (int32_t i = 0; i < count; i++) chain[i] = i ? MT_IN_BATCH(i - 1) : parent;
    mt_batch batch = {count, token, chain, NULL, want, slot};
    mt_status status = mt_session_eval(session, &batch, &abi_error);
    mt_free(chain);
    return status;
}
MT_EXPORT(session_logits) const float *abi_session_logits(const mt_session *session, int32_t row) {
    return session ? mt_session_logits(session, row) : NULL;
}
MT_EXPORT(session_slots) int32_t abi_session_slots(const mt_session *session) {
    return session ? mt_session_slots(session) : 0;
}
MT_EXPORT(session_free_slots) int32_t abi_session_free_slots(const mt_session *session) {
    return session ? mt_session_free_slots(session) : 0;
}
MT_EXPORT(session_info) mt_status abi_session_info(const mt_session *session, mt_session_info *out) {
    ABI_NEED(session);
    mt_session_info_get(session, out);
    return MT_OK;
}

/* ---- chains of slots, saved states ---- */

MT_EXPORT(session_hold) void abi_session_hold(mt_session *session, int32_t slot) {
    if (session) mt_session_hold(session, slot);
}
MT_EXPORT(session_release) void abi_session_release(mt_session *session, int32_t slot) {
    if (session) mt_session_release(session, slot);
}
/* Slots, tokens and positions of a chain, where the pointers are not 0; its length. */
MT_EXPORT(session_chain_of)
int32_t abi_session_chain_of(const mt_session *session, int32_t slot, int32_t *slots, int32_t *tokens,
                             int32_t *positions) {
    if (!session || slot < 0) return 0;
    int32_t n = mt_session_chain(session, slot, slots);
    for (int32_t i = n - 1, at = slot; i >= 0; i--, at = mt_session_parent(session, at)) {
        if (tokens) tokens[i] = mt_session_token(session, at);
        if (positions) positions[i] = mt_session_position(session, at);
    }
    return n < 0 ? 0 : n;
}
MT_EXPORT(session_continues) int32_t abi_session_continues(const mt_session *session, int32_t slot) {
    return session && mt_session_continues(session, slot);
}
MT_EXPORT(session_join)
mt_status abi_session_join(mt_session *session, int32_t head, int32_t tail, int32_t keep, int32_t delta,
                           int32_t *leaf) {
    ABI_NEED(session);
    ABI_NEED(leaf);
    return mt_session_join(session, head, tail, keep, delta, leaf, &abi_error);
}
MT_EXPORT(session_save) mt_status abi_session_save(mt_session *session, int32_t leaf, mt_buf *out) {
    ABI_NEED(session);
    ABI_NEED(out);
    return mt_session_save(session, leaf, out, &abi_error);
}
MT_EXPORT(session_restore)
mt_status abi_session_restore(mt_session *session, const uint8_t *p, size_t n, int32_t *leaf) {
    ABI_NEED(session);
    ABI_NEED(p);
    ABI_NEED(leaf);
    return mt_session_restore(session, p, n, leaf, &abi_error);
}

/* ---- traces and patches ---- */

MT_EXPORT(trace_want) mt_status abi_trace_want(mt_session *session, const char *glob) {
    ABI_NEED(session);
    return mt_trace_want(session, glob, &abi_error);
}
MT_EXPORT(trace_clear) void abi_trace_clear(mt_session *session) {
    if (session) mt_trace_clear(session);
}
MT_EXPORT(trace_count) int32_t abi_trace_count(const mt_session *session) {
    return session ? mt_trace_count(session) : 0;
}
MT_EXPORT(trace_get) mt_status abi_trace_get(const mt_session *session, int32_t i, mt_traced *out) {
    ABI_NEED(session);
    if (!mt_trace_get(session, i, out))
        return mt_fail(&abi_error, MT_ERANGE, "trace %d of %d", (int)i, (int)mt_trace_count(session));
    return MT_OK;
}
MT_EXPORT(trace_names) mt_status abi_trace_names(const mt_model *model, mt_buf *out) {
    ABI_NEED(model);
    out->len = 0;
    return mt_trace_names(model, out, &abi_error);
}
MT_EXPORT(patch_add) mt_status abi_patch_add(mt_session *session, const mt_patch *patch) {
    ABI_NEED(session);
    ABI_NEED(patch);
    return mt_patch_add(session, patch, &abi_error);
}
/* name may be 0 */
MT_EXPORT(stop_at) mt_status abi_stop_at(mt_session *session, const char *name) {
    ABI_NEED(session);
    return mt_session_stop_at(session, name, &abi_error);
}
MT_EXPORT(patch_clear) void abi_patch_clear(mt_session *session) {
    if (session) mt_patch_clear(session);
}
