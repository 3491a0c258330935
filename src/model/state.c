/* A chain of slots and everything that was computed for it, as bytes (model.h).
 *
 *    0  "MTSTATE" 0                             u8 x 8
 *    8  version (1), kind of cache              u32 x 2
 *   16  fingerprint of the model, of the bytes  u64 x 2    the second covers everything from byte 32 on
 *   32  tokens n, rows of an encoder's output   i32 x 2
 *   40  longest text for each rotary set        i32 x 2    (frequencies that grow with it)
 *   48  tokens, positions                       i32 x 2 n
 *       per layer: rows of keys [heads][n], of values, as the cache keeps them; or the state after the last token
 *       per layer: keys [heads][rows][width] and values of an encoder's output, floats
 *
 * Little-endian. Nothing is written into a session before everything has been checked. */
#include "session.h"

enum { VERSION = 1, HEADER = 48 };
static const uint8_t magic[8] = "MTSTATE";

/* ---- whose state it is ---- */

/* Architecture, sizes, and of every parameter its name, shape, type and some rows: models that differ in training
 * differ there. Rows are hashed as floats, which do not depend on how a build lays weights out. */
static mt_status fingerprint(const mt_model *m, uint64_t *out, mt_error *err) {
    const mt_hyper *h = &m->h;
    int32_t sizes[] = {h->layers, h->width, h->heads, h->kv_heads, h->head_width, h->value_width, h->ffn, h->vocab};
    uint64_t hash = mt_hash_bytes(m->arch->name, strlen(m->arch->name)) ^ mt_hash_bytes(sizes, sizeof sizes);
    size_t widest = 1;
    for (size_t i = 0; i < m->param_count; i++)
        if (!m->params[i].vector && (size_t)m->params[i].cols > widest) widest = (size_t)m->params[i].cols;
    float *row = mt_array(widest, sizeof *row);
    if (!row) return mt_nomem(err, widest * sizeof *row, "a row of weights");
    for (size_t i = 0; i < m->param_count; i++) {
        const mt_param *p = &m->params[i];
        int32_t shape[] = {p->rows, p->cols, p->count, p->weight ? (int32_t)p->weight->type : -1};
        hash = mt_mix64(hash ^ mt_hash_bytes(p->name, strlen(p->name)) ^ mt_hash_bytes(shape, sizeof shape));
        if (p->weight) {
            for (int32_t k = 0; k < p->count; k += p->count > 1 ? p->count - 1 : 1)
                for (int32_t at = 0; at < 3 && at < p->rows; at++) {
                    mt_weight_row(&p->weight[k], at == 2 ? p->rows - 1 : at * (p->rows / 2), row);
                    hash = mt_mix64(hash ^ mt_hash_bytes(row, (size_t)p->cols * sizeof *row));
                }
        } else if (p->values) {
            size_t n = (size_t)p->rows * (size_t)(p->cols ? p->cols : 1);
            hash = mt_mix64(hash ^ mt_hash_bytes(p->values, (n < 4096 ? n : 4096) * sizeof(float)));
        }
    }
    mt_free(row);
    *out = hash;
    return MT_OK;
}

/* ---- sizes ---- */

static bool add_product(uint64_t *total, uint64_t a, uint64_t b, uint64_t c) {
    uint64_t p;
    return mt_mul_u64(a, b, &p) && mt_mul_u64(p, c, &p) && mt_add_u64(*total, p, total);
}

/* Bytes of a state of n tokens and `memory` rows; false: more than 64 bits count. */
static bool state_size(const mt_session *s, uint64_t n, uint64_t memory, uint64_t *out) {
    const mt_hyper *h = &s->m->h;
    bool fits = true;
    *out = HEADER;
    fits = fits && add_product(out, n, 2 * sizeof(int32_t), 1);
    for (int32_t l = 0; l < h->layers && fits; l++) {
        if (h->layer[l].recurrent)
            fits = add_product(out, h->state_width, sizeof(float), 1);
        else
            fits = add_product(out, n, (uint64_t)h->kv_heads,
                               mt_cache_row(s->cache, h->head_width) + mt_cache_row(s->cache, h->value_width));
    }
    if (s->m->encoder.layers && fits)
        fits = add_product(out, memory * (uint64_t)h->layers, (uint64_t)h->kv_heads * sizeof(float),
                           (uint64_t)h->head_width + (uint64_t)h->value_width);
    return fits;
}

/* ---- out ---- */

static uint8_t *put(uint8_t *at, const void *p, size_t n) {
    memcpy(at, p, n);
    return at + n;
}

static void write_body(const mt_session *s, const int32_t *slot, int32_t n, uint8_t *at) {
    const mt_hyper *h = &s->m->h;
    for (int32_t i = 0; i < n; i++) at = put(at, &s->kv.token[slot[i]], sizeof(int32_t));
    for (int32_t i = 0; i < n; i++) at = put(at, &s->kv.position[slot[i]], sizeof(int32_t));
    for (int32_t l = 0; l < h->layers; l++) {
        if (h->layer[l].recurrent) {
            at = put(at, s->state[l] + (size_t)s->state_of[slot[n - 1]] * h->state_width,
                     h->state_width * sizeof(float));
            continue;
        }
        for (int which = 0; which < 2; which++)
            for (int32_t g = 0; g < h->kv_heads; g++)
                for (int32_t i = 0; i < n; i++)
                    at = put(at, mt_session_row(s, l, which, g, slot[i]),
                             mt_cache_row(s->cache, which ? h->value_width : h->head_width));
    }
    for (int32_t l = 0; s->memory && l < h->layers; l++)
        for (int which = 0; which < 2; which++)
            for (int32_t g = 0; g < h->kv_heads; g++) {
                size_t width = (size_t)(which ? h->value_width : h->head_width);
                const float *plane = (which ? s->memory_v : s->memory_k)[l];
                at = put(at, plane + (size_t)g * (size_t)s->memory_capacity * width,
                         (size_t)s->memory * width * sizeof(float));
            }
}

mt_status mt_session_save(mt_session *s, int32_t leaf, mt_buf *out, mt_error *err) {
    int32_t n = mt_session_chain(s, leaf, NULL);
    uint64_t size, print;
    if (n < 1) return mt_fail(err, MT_ERANGE, "slot %d holds nothing to save", leaf);
    if (s->m->h.bidirectional)
        return mt_fail(err, MT_ESTATE, "an encoder reads a whole text at once: there is no state to save");
    if (!mt_session_continues(s, leaf))
        return mt_fail(err, MT_ESTATE, "the state after slot %d is not kept any more: save where the text ends", leaf);
    if (!state_size(s, (uint64_t)n, (uint64_t)s->memory, &size) || size > SIZE_MAX)
        return mt_fail(err, MT_ELIMIT, "a state of %d tokens does not fit the address space", n);
    MT_TRY(fingerprint(s->m, &print, err));
    int32_t *slot = mt_array((size_t)n, sizeof *slot);
    if (!slot) return mt_nomem(err, (size_t)n * sizeof *slot, "a chain of slots");
    mt_kv_chain(&s->kv, leaf, slot);
    out->len = 0;
    mt_status status = mt_buf_reserve(out, (size_t)size, err);
    if (status == MT_OK) {
        uint32_t kind[2] = {VERSION, (uint32_t)s->cache};
        int32_t counts[4] = {n, s->memory, s->reached[0], s->reached[1]};
        uint8_t *p = out->data;
        write_body(s, slot, n, put(p + 32, counts, sizeof counts));
        uint64_t hash = mt_hash_bytes(p + 32, (size_t)size - 32);
        put(put(put(put(p, magic, sizeof magic), kind, sizeof kind), &print, 8), &hash, 8);
        out->len = (size_t)size;
    }
    mt_free(slot);
    return status;
}

/* ---- in ---- */

static mt_status check_body(const mt_session *s, const uint8_t *p, int32_t n, const int32_t reached[2], mt_error *err) {
    const mt_hyper *h = &s->m->h;
    for (int32_t i = 0; i < n; i++) {
        int32_t token = (int32_t)mt_le32(p + 4 * (size_t)i),
                position = (int32_t)mt_le32(p + 4 * ((size_t)n + (size_t)i));
        if (token < 0 || token >= h->vocab)
            return mt_fail(err, MT_EFORMAT, "a session's state: token %d is %d, expected 0 to %d", i, token,
                           h->vocab - 1);
        if (position < 0 || position == INT32_MAX ||
            (h->position_rows && position + h->position_first >= h->position_rows))
            return mt_fail(err, MT_EFORMAT, "a session's state: token %d has position %d", i, position);
    }
    for (int r = 0; r < 2; r++)
        if (reached[r] < 0) return mt_fail(err, MT_EFORMAT, "a session's state: a text of %d tokens", reached[r]);
    return MT_OK;
}

static mt_status check(const mt_session *s, const uint8_t *p, size_t n, mt_error *err) {
    uint64_t print, size;
    if (n < HEADER || memcmp(p, magic, sizeof magic) != 0)
        return mt_fail_at(err, MT_EFORMAT, 0, "not a session's state: %zu bytes that do not begin with \"MTSTATE\"", n);
    if (mt_le32(p + 8) != VERSION)
        return mt_fail_at(err, MT_EUNKNOWN, 8, "a session's state of version %u, known is %d", (unsigned)mt_le32(p + 8),
                          VERSION);
    MT_TRY(fingerprint(s->m, &print, err));
    if (mt_le64(p + 16) != print)
        return mt_fail_at(err, MT_ESTATE, 16, "a session's state was saved from another model than this \"%s\"",
                          s->m->arch->name);
    if (mt_le32(p + 12) != (uint32_t)s->cache)
        return mt_fail_at(err, MT_EUNKNOWN, 12, "a session's state with a cache in %s, but this session's is in %s",
                          mt_le32(p + 12) <= MT_CACHE_Q8 ? mt_cache_name((mt_cache_type)mt_le32(p + 12)) : "?",
                          mt_cache_name(s->cache));
    int32_t count = (int32_t)mt_le32(p + 32), memory = (int32_t)mt_le32(p + 36);
    if (count < 1 || memory < 0 || (memory > 0) != (s->m->encoder.layers > 0) ||
        !state_size(s, (uint64_t)count, (uint64_t)memory, &size) || size != n)
        return mt_fail_at(err, MT_EFORMAT, 32, "a session's state of %d tokens, cut or changed: it has %zu bytes",
                          count, n);
    if (mt_hash_bytes(p + 32, n - 32) != mt_le64(p + 24))
        return mt_fail_at(err, MT_EFORMAT, 24, "a session's state was changed: its checksum does not fit");
    int32_t reached[2] = {(int32_t)mt_le32(p + 40), (int32_t)mt_le32(p + 44)};
    return check_body(s, p + HEADER, count, reached, err);
}

static const uint8_t *take(void *to, const uint8_t *at, size_t n) {
    memcpy(to, at, n);
    return at + n;
}

mt_status mt_session_restore(mt_session *s, const uint8_t *p, size_t n, int32_t *leaf, mt_error *err) {
    const mt_hyper *h = &s->m->h;
    if (h->bidirectional)
        return mt_fail(err, MT_ESTATE, "an encoder reads a whole text at once: no state can be restored");
    MT_TRY(check(s, p, n, err));
    int32_t count = (int32_t)mt_le32(p + 32), memory = (int32_t)mt_le32(p + 36), parent = MT_ROOT;
    if (count > s->kv.slots - s->kv.used)
        return mt_fail(err, MT_ELIMIT, "a state of %d tokens, but %d of %d slots are free", count,
                       s->kv.slots - s->kv.used, s->kv.slots);
    if (memory && s->kv.used)
        return mt_fail(err, MT_ESTATE, "the session holds another text, and an encoder-decoder model has one source");
    int32_t *slot = mt_array((size_t)count, sizeof *slot);
    if (!slot) return mt_nomem(err, (size_t)count * sizeof *slot, "a chain of slots");
    if (memory) {
        s->memory = 0;
        mt_status status = mt_session_new_memory(s, memory, err);
        if (status != MT_OK) {
            mt_free(slot);
            return status;
        }
    }
    const uint8_t *at = p + HEADER;
    for (int32_t i = 0; i < count; i++) {
        parent = slot[i] = mt_kv_take(&s->kv, parent, (int32_t)mt_le32(at + 4 * ((size_t)count + (size_t)i)));
        s->kv.token[parent] = (int32_t)mt_le32(at + 4 * (size_t)i);
    }
    if (h->recurrent) {
        for (int32_t i = 0; i < count; i++) s->state_of[slot[i]] = -1;
        s->clock++;
        if (mt_session_take_state(s, parent) < 0) {
            mt_kv_trim(&s->kv, parent);
            mt_free(slot);
            return mt_fail(err, MT_ELIMIT, "all of %d states are held: there is no place for another", s->states);
        }
    }
    at += 8 * (size_t)count;
    for (int32_t l = 0; l < h->layers; l++) {
        if (h->layer[l].recurrent) {
            at = take(s->state[l] + (size_t)s->state_of[parent] * h->state_width, at, h->state_width * sizeof(float));
            continue;
        }
        for (int which = 0; which < 2; which++)
            for (int32_t g = 0; g < h->kv_heads; g++)
                for (int32_t i = 0; i < count; i++)
                    at = take(mt_session_row(s, l, which, g, slot[i]), at,
                              mt_cache_row(s->cache, which ? h->value_width : h->head_width));
    }
    for (int32_t l = 0; memory && l < h->layers; l++)
        for (int which = 0; which < 2; which++)
            for (int32_t g = 0; g < h->kv_heads; g++) {
                size_t width = (size_t)(which ? h->value_width : h->head_width);
                float *plane = (which ? s->memory_v : s->memory_k)[l];
                at = take(plane + (size_t)g * (size_t)s->memory_capacity * width, at,
                          (size_t)memory * width * sizeof(float));
            }
    s->memory = memory ? memory : s->memory;
    for (int r = 0; r < MT_MAX_ROPES && r < 2; r++) {
        int32_t reached = (int32_t)mt_le32(p + 40 + 4 * r);
        if (r < h->rope_count && reached > s->reached[r])
            s->inv_freq[r] = mt_rope_update(&h->ropes[r], reached, &s->reached[r], s->own_freq[r]);
    }
    mt_free(slot);
    *leaf = parent;
    return MT_OK;
}
