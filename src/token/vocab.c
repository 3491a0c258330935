/* Vocabulary: an arena of bytes, references by id, two hash indexes and the sorted order.
 *
 * The index hash is polynomial (see vocab.h), finished by a multiplication so that the high bits, which choose the
 * slot, depend on every byte. It is compared before the bytes are. */
#include "vocab.h"

#include <stdlib.h>

uint64_t mt_poly(const uint8_t *p, size_t n) {
    const uint64_t b = MT_POLY, b2 = b * b, b3 = b2 * b, b4 = b2 * b2;
    uint64_t h = 0;
    for (; n >= 4; n -= 4, p += 4) h = h * b4 + ((p[0] + 1) * b3 + (p[1] + 1) * b2 + (p[2] + 1) * b + (p[3] + 1));
    for (; n; n--, p++) h = h * b + (*p + 1u);
    return h;
}

static inline uint64_t finish(uint64_t h) {
    h ^= h >> 32;
    h *= UINT64_C(0xD6E8FEB86659FD93);
    return h ^ h >> 29;
}

static inline uint32_t index_hash(uint64_t poly) {
    uint32_t h = (uint32_t)(finish(poly) >> 32);
    return h ? h : 1;
}
static inline struct mt_index_slot *index_home(const mt_index *x, uint32_t hash) {
    return x->slot + (size_t)((uint64_t)hash * x->home >> 32);
}

/* Slots for `count` entries, three quarters of them taken at most, and some behind for what does not fit in its place.
 */
static mt_status index_open(mt_index *x, size_t count, mt_error *err) {
    if (count > UINT32_MAX / 4) return mt_nomem(err, SIZE_MAX, "a vocabulary index");
    x->home = (uint32_t)(count + count / 3 + 8);
    x->slots = (size_t)x->home + x->home / 64 + 64;
    x->slot = mt_calloc(x->slots, sizeof *x->slot);
    return x->slot ? MT_OK : mt_nomem(err, x->slots * sizeof *x->slot, "a vocabulary index");
}

mt_status mt_stretches(size_t n, mt_stretch run, void *user, mt_error *err) {
    enum { STRETCH = 2048 };
    for (size_t i = 0; i < n; i += STRETCH) MT_TRY(run(user, i, n - i < STRETCH ? n : i + STRETCH, err));
    return MT_OK;
}

mt_status mt_vocab_reserve(mt_vocab *v, size_t tokens, size_t text_bytes, mt_error *err) {
    MT_TRY(mt_buf_reserve(&v->text, text_bytes, err));
    if (tokens <= v->capacity) return MT_OK;
    size_t cap = v->capacity ? v->capacity : 64;
    while (cap < tokens) cap *= 2; /* tokens <= MT_MAX_TOKENS */
    struct {
        void **p;
        size_t size;
    } list[] = {{(void **)&v->bytes, sizeof *v->bytes},
                {(void **)&v->piece, sizeof *v->piece},
                {(void **)&v->kind, 1},
                {(void **)&v->flags, 1},
                {(void **)&v->score, v->score ? sizeof *v->score : 0}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        if (!list[i].size) continue;
        void *q = mt_realloc(*list[i].p, cap * list[i].size);
        if (!q) return mt_nomem(err, cap * list[i].size, "a vocabulary");
        *list[i].p = q;
    }
    v->capacity = cap;
    return MT_OK;
}

mt_status mt_vocab_extend(mt_vocab *v, int64_t id, mt_error *err) {
    if (id < 0 || id >= MT_MAX_TOKENS)
        return mt_fail(err, MT_ERANGE, "token id %lld is outside 0..%d", (long long)id, MT_MAX_TOKENS - 1);
    if (id < v->size) return MT_OK;
    MT_TRY(mt_vocab_reserve(v, (size_t)id + 1, 0, err));
    for (int32_t i = v->size; i <= (int32_t)id; i++) {
        v->bytes[i] = v->piece[i] = (mt_ref){0, 0};
        v->kind[i] = MT_TOKEN_HOLE;
        v->flags[i] = 0;
        if (v->score) v->score[i] = 0;
    }
    v->size = (int32_t)id + 1;
    return MT_OK;
}

static mt_status add_text(mt_vocab *v, const uint8_t *p, size_t n, mt_ref *out, mt_error *err) {
    if (n > UINT32_MAX / 2 || v->text.len > UINT32_MAX / 2 - n)
        return mt_fail(err, MT_ELIMIT, "the vocabulary's text is longer than 2 GiB");
    *out = (mt_ref){(uint32_t)v->text.len, (uint32_t)n};
    return mt_buf_add(&v->text, p, n, err);
}

mt_status mt_vocab_set_piece(mt_vocab *v, int64_t id, mt_str piece, mt_error *err) {
    MT_TRY(mt_vocab_extend(v, id, err));
    MT_TRY(add_text(v, piece.p, piece.n, &v->piece[id], err));
    v->bytes[id] = v->piece[id];
    if (v->kind[id] == MT_TOKEN_HOLE) v->kind[id] = MT_TOKEN_NORMAL;
    return MT_OK;
}

mt_status mt_vocab_claim_piece(mt_vocab *v, int64_t id, size_t n, mt_error *err) {
    MT_TRY(mt_vocab_extend(v, id, err));
    if (v->text.len > UINT32_MAX / 2 - n) return mt_fail(err, MT_ELIMIT, "the vocabulary's text is longer than 2 GiB");
    v->piece[id] = v->bytes[id] = (mt_ref){(uint32_t)v->text.len, (uint32_t)n};
    v->text.len += n;
    if (v->kind[id] == MT_TOKEN_HOLE) v->kind[id] = MT_TOKEN_NORMAL;
    return MT_OK;
}

mt_status mt_vocab_set_bytes(mt_vocab *v, int32_t id, const uint8_t *p, size_t n, mt_error *err) {
    mt_ref r = v->piece[id];
    if (r.n == n && mt_same_bytes(v->text.data + r.at, p, n)) {
        v->bytes[id] = r;
        return MT_OK;
    }
    return add_text(v, p, n, &v->bytes[id], err);
}

mt_status mt_vocab_index_bytes(mt_vocab *v, mt_error *err) {
    size_t n = 0;
    v->longest = 0;
    for (int32_t id = 0; id < v->size; id++) {
        if (!(v->flags[id] & MT_MATCHES)) continue;
        n++;
        if (v->bytes[id].n > v->longest) v->longest = v->bytes[id].n;
    }
    mt_walk_key *key = mt_array(n, sizeof *key);
    if (!key) return mt_nomem(err, n * sizeof *key, "a vocabulary");
    n = 0;
    for (int32_t id = 0; id < v->size; id++)
        if (v->flags[id] & MT_MATCHES) key[n++] = (mt_walk_key){v->bytes[id].at, v->bytes[id].n, id};
    mt_walk_free(&v->walk);
    mt_status status = mt_walk_make(&v->walk, v->text.data, key, n, err);
    n = 0;
    for (int32_t id = 0; status == MT_OK && id < v->size; id++)
        if (v->flags[id] & MT_MATCHES && key[n++].id < 0) v->flags[id] &= (uint8_t)~MT_MATCHES;
    mt_free(key);
    return status;
}

mt_status mt_crowded(mt_error *err) {
    return mt_fail(err, MT_ELIMIT, "more than %d entries fall together in a table: the file is made for that",
                   MT_CROWD);
}

mt_status mt_uncrowded(const void *slot, size_t slots, mt_error *err) {
    const uint64_t *s = slot;
    size_t row = 0;
    for (size_t i = 0; i < slots; i++) {
        if (i % MT_CROWD == 0) row = 0;
        if (s[i])
            row++;
        else
            i |= MT_CROWD - 1; /* on with the next */
        if (row == MT_CROWD) return mt_crowded(err);
    }
    return MT_OK;
}

static mt_status hash_some(void *user, size_t from, size_t to, mt_error *err) {
    mt_vocab *v = user;
    mt_index *x = &v->by_bytes;
    enum { TOGETHER = 64 };
    struct mt_index_slot add[TOGETHER];
    while (from < to) {
        size_t n = 0;
        uint32_t seen = 0;
        for (; from < to && n < TOGETHER; from++) {
            if (!(v->flags[from] & MT_MATCHES)) continue;
            uint32_t hash = index_hash(mt_poly(v->text.data + v->bytes[from].at, v->bytes[from].n));
            add[n++] = (struct mt_index_slot){hash, (int32_t)from};
        }
        for (size_t i = 0; i < n; i++) seen |= index_home(x, add[i].hash)->hash; /* fetches them */
        mt_keep(seen);
        for (size_t i = 0; i < n; i++) { /* all are different */
            struct mt_index_slot *home = index_home(x, add[i].hash), *s = home;
            while (s->hash) s++;
            if (s + 1 == x->slot + x->slots || s - home >= MT_CROWD) return mt_crowded(err);
            *s = add[i];
        }
    }
    return MT_OK;
}

mt_status mt_vocab_hash_bytes(mt_vocab *v, mt_error *err) {
    size_t n = 0;
    for (int32_t id = 0; id < v->size; id++) n += (v->flags[id] & MT_MATCHES) != 0;
    for (size_t room = n;; room *= 2) {
        mt_free(v->by_bytes.slot);
        v->by_bytes = (mt_index){0};
        MT_TRY(index_open(&v->by_bytes, room, err));
        mt_status status = mt_stretches((size_t)v->size, hash_some, v, err);
        if (status == MT_OK) status = mt_uncrowded(v->by_bytes.slot, v->by_bytes.slots, err);
        if (status != MT_ELIMIT || room > 4 * n) return status;
    }
}

int32_t mt_vocab_find_bytes(const mt_vocab *v, const uint8_t *p, size_t n) {
    if (v->walk.cells) return n > v->longest ? -1 : mt_walk_find(&v->walk, p, n);
    for (int32_t id = 0; id < v->size && n; id++) /* segmenters with walks of their own hardly ask */
        if (v->flags[id] & MT_MATCHES && v->bytes[id].n == n && mt_same_bytes(v->text.data + v->bytes[id].at, p, n))
            return id;
    return -1;
}

int32_t mt_vocab_find_joined(const mt_vocab *v, mt_ref left, mt_ref right, uint64_t hash) {
    if (!v->by_bytes.slot) return -1;
    uint32_t h = index_hash(hash);
    const uint8_t *text = v->text.data;
    for (const struct mt_index_slot *s = index_home(&v->by_bytes, h); s->hash; s++) {
        if (s->hash != h) continue;
        mt_ref r = v->bytes[s->id];
        if (r.n == left.n + right.n && mt_same_bytes(text + r.at, text + left.at, left.n) &&
            mt_same_bytes(text + r.at + left.n, text + right.at, right.n))
            return s->id;
    }
    return -1;
}

/* ---- sorted order: most significant byte first, three-way radix quicksort (Bentley & Sedgewick 1997) ---- */

static inline int byte_at(const mt_vocab *v, int32_t id, uint32_t depth) {
    return depth < v->bytes[id].n ? v->text.data[v->bytes[id].at + depth] : -1;
}

static void sort_range(const mt_vocab *v, int32_t *a, size_t n, uint32_t depth) {
    while (n > 1) {
        int pivot = byte_at(v, a[n / 2], depth);
        size_t lt = 0, i = 0, gt = n;
        while (i < gt) {
            int c = byte_at(v, a[i], depth);
            int32_t t = a[i];
            if (c < pivot) {
                a[i++] = a[lt];
                a[lt++] = t;
            } else if (c > pivot) {
                a[i] = a[--gt];
                a[gt] = t;
            } else {
                i++;
            }
        }
        sort_range(v, a, lt, depth);
        sort_range(v, a + gt, n - gt, depth);
        a += lt;
        n = gt - lt;
        if (pivot < 0) { /* equal strings: by id */
            for (size_t k = 1; k < n; k++)
                for (size_t m = k; m && a[m - 1] > a[m]; m--) {
                    int32_t t = a[m];
                    a[m] = a[m - 1];
                    a[m - 1] = t;
                }
            return;
        }
        depth++;
    }
}

mt_status mt_vocab_sort(mt_vocab *v, mt_error *err) {
    if (v->sorted) return MT_OK;
    int32_t *list = mt_array((size_t)v->size, sizeof *list);
    if (!list) return mt_nomem(err, (size_t)v->size * sizeof *list, "the sorted vocabulary");
    size_t n = 0;
    for (int32_t id = 0; id < v->size; id++)
        if (v->bytes[id].n &&
            (v->kind[id] == MT_TOKEN_NORMAL || v->kind[id] == MT_TOKEN_USER || v->kind[id] == MT_TOKEN_BYTE))
            list[n++] = id;
    sort_range(v, list, n, 0);
    v->sorted = list;
    v->sorted_len = n;
    return MT_OK;
}

void mt_vocab_free(mt_vocab *v) {
    mt_buf_free(&v->text);
    mt_free(v->bytes);
    mt_free(v->piece);
    mt_free(v->kind);
    mt_free(v->flags);
    mt_free(v->score);
    mt_free(v->pieces.slot);
    mt_ids_free(&v->unindexed);
    mt_walk_free(&v->walk);
    mt_free(v->by_bytes.slot);
    mt_free(v->sorted);
    *v = (mt_vocab){0};
}
