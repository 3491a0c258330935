/* Byte-pair encoding: ranks, how each token comes about, and which tokens may stand side by side.
 *
 * Pair test. Let l and r be tokens that the encoder can produce. Encoding the text l+r, the two halves develop as they
 * do alone until some merge crosses the border; l,r is canonical when none ever does. At every moment the border is
 * between one token u of l's right spine (l, its right part, that one's right part, ...) and one token v of r's left
 * spine. So we replay history from single symbols upward: at each step test whether (u, v) merges before either is
 * consumed by its own side, then let the earlier of the two be consumed (the left one on ties, because of two equal
 * pairs the left one merges first):
 *
 *     l = ab (rank 0 made it), r = c:   u = b, v = c: rank(b,c) = 2, but b is consumed at 0: no
 *                                       u = ab, v = c: rank(ab,c) = 1, nothing consumes them: merges, not canonical
 *
 * This holds for orderly derivations, in which every merge ranks after the merges of its parts. Where ranks go by
 * string a token may rank before one of its parts; such tokens are tested by encoding, which is the definition.
 *
 * A few table look-ups decide what would otherwise need an encoding; the result is cached by pair. */
#include "bpe.h"

enum { PLACE_BITS = 18, SPINE = 96 };

static inline uint64_t pair_hash(int32_t left, int32_t right) {
    return ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * UINT64_C(0x9E3779B97F4A7C15);
}
static inline size_t pair_slot(const mt_bpe *b, int32_t left, int32_t right) {
    uint64_t h = pair_hash(left, right);
    return (size_t)(h >> 29 ^ h >> 47) & b->pair_mask;
}

/* A polynomial hash has its good bits below; a product above. */
static inline size_t maybe_place(const mt_bpe *b, uint64_t h) {
    return (size_t)((h ^ h >> 32) * UINT64_C(0xD6E8FEB86659FD93) >> b->maybe_shift);
}
static inline bool maybe_merges(const mt_bpe *b, uint64_t h) {
    size_t k = maybe_place(b, h);
    return b->maybe[k >> 6] >> (k & 63) & 1;
}
static inline void note_merge(mt_bpe *b, uint64_t h) {
    size_t k = maybe_place(b, h);
    b->maybe[k >> 6] |= UINT64_C(1) << (k & 63);
}

mt_status mt_bpe_reserve_pairs(mt_bpe *b, size_t count, mt_error *err) {
    return mt_grow((void **)&b->pair, &b->pair_cap, count, sizeof *b->pair, err);
}

mt_status mt_bpe_add_pair(mt_bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t result, mt_error *err) {
    MT_TRY(mt_bpe_reserve_pairs(b, b->pair_count + 1, err));
    b->pair[b->pair_count++] = (mt_pair){left, right, rank, result};
    return MT_OK;
}

/* The list becomes a hash table, at most five eighths full. */
static mt_status index_pairs(mt_bpe *b, mt_error *err) {
    size_t cap = 64, count = b->pair_count, different = 0;
    if (!b->pair) return MT_OK;
    while (cap / 8 * 5 < count)
        if (!mt_mul_size(cap, 2, &cap)) return mt_nomem(err, SIZE_MAX, "the merge table");
    mt_pair *list = b->pair, *table = mt_array(cap, sizeof *table);
    if (!table) return mt_nomem(err, cap * sizeof *table, "the merge table");
    memset(table, 0xFF, cap * sizeof *table);
    b->pair_mask = cap - 1;
    for (size_t i = 0; i < count; i++) {
        size_t k = pair_slot(b, list[i].left, list[i].right);
        while (table[k].left >= 0 && (table[k].left != list[i].left || table[k].right != list[i].right))
            k = (k + 1) & b->pair_mask;
        different += table[k].left < 0;
        table[k] = list[i]; /* the tokenizers library lets the last of equal merges win */
    }
    mt_free(list);
    b->pair = table;
    b->pair_cap = cap;
    b->pair_count = different;
    return MT_OK;
}

mt_status mt_bpe_finish(mt_bpe *b, mt_vocab *v, mt_error *err) {
    size_t n = (size_t)v->size;
    b->vocab = v;
    b->walk = v->walk;
    if (v->size >= MT_MAX_TOKENS) return mt_fail(err, MT_ELIMIT, "a vocabulary of %d tokens", (int)v->size);
    MT_TRY(index_pairs(b, err));
    if (b->by_string) MT_TRY(mt_vocab_hash_bytes(v, err));
    unsigned bits = 10;
    while (((b->by_string ? n : b->pair_count) * 12) >> bits) bits++; /* one in 12 to 24 is set, or fewer */
    b->maybe_shift = 64 - bits;
    b->id_bits = 1;
    while ((n - 1) >> b->id_bits) b->id_bits++;
    b->place_bits = 2 * b->id_bits < PLACE_BITS ? 2 * b->id_bits : PLACE_BITS;
    b->tok = mt_array(n, sizeof *b->tok);
    b->pair_cache = mt_calloc((size_t)1 << b->place_bits, sizeof *b->pair_cache);
    b->maybe = mt_calloc((size_t)1 << bits >> 6, sizeof *b->maybe);
    if (!b->tok || !b->pair_cache || !b->maybe) return mt_nomem(err, n * sizeof *b->tok, "byte-pair encoding");
    for (size_t i = 0; b->pair && i <= b->pair_mask; i++)
        if (b->pair[i].left >= 0) note_merge(b, pair_hash(b->pair[i].left, b->pair[i].right));
    for (int c = 0; c < 256; c++) b->base[c] = -1;
    if (b->by_string) {
        b->power = mt_array((size_t)v->longest + 1, sizeof *b->power);
        if (!b->power) return mt_nomem(err, v->longest * sizeof *b->power, "byte-pair encoding");
        b->power[0] = 1;
        for (uint32_t i = 1; i <= v->longest; i++) b->power[i] = b->power[i - 1] * MT_POLY;
    }
    for (int32_t id = 0; id < v->size; id++) {
        bool matches = v->flags[id] & MT_MATCHES;
        mt_str s = mt_vocab_bytes(v, id);
        b->tok[id] = (mt_bpe_token){b->by_string && matches ? mt_poly(s.p, s.n) : 0,
                                    matches ? v->bytes[id].n : UINT32_MAX / 2,
                                    -2,
                                    -1,
                                    -1,
                                    MT_NO_RANK,
                                    matches ? 0 : 2};
        if (!matches) continue;
        if (s.n == 1) b->base[s.p[0]] = id;
        if (b->by_string) note_merge(b, b->tok[id].hash);
    }
    return MT_OK;
}

void mt_bpe_free(mt_bpe *b) {
    mt_free(b->pair);
    mt_free(b->power);
    mt_free(b->rank_of);
    mt_free(b->tok);
    mt_free(b->maybe);
    mt_free(b->pair_cache);
    mt_free(b->node);
    mt_free(b->heap);
    mt_free(b->dead);
    mt_ids_free(&b->stack);
    mt_ids_free(&b->work);
    *b = (mt_bpe){0};
}

uint32_t mt_bpe_rank(const mt_bpe *b, int32_t left, int32_t right, int32_t *result) {
    return mt_bpe_rank_below(b, left, right, MT_NO_RANK, result);
}

uint32_t mt_bpe_rank_below(const mt_bpe *b, int32_t left, int32_t right, uint32_t limit, int32_t *result) {
    if (b->by_string) {
        const mt_vocab *v = b->vocab;
        const mt_bpe_token *l = &b->tok[left], *r = &b->tok[right];
        if (l->n + r->n > v->longest) return MT_NO_RANK; /* also for byte pieces and unknowns */
        uint64_t hash = l->hash * b->power[r->n] + r->hash;
        if (!maybe_merges(b, hash)) return MT_NO_RANK;
        int32_t id = mt_vocab_find_joined(v, v->bytes[left], v->bytes[right], hash, b->rank_of, limit);
        if (id < 0) return MT_NO_RANK;
        *result = id;
        return b->rank_of ? b->rank_of[id] : (uint32_t)id;
    }
    if (!b->pair || !maybe_merges(b, pair_hash(left, right))) return MT_NO_RANK;
    for (size_t k = pair_slot(b, left, right); b->pair[k].left >= 0; k = (k + 1) & b->pair_mask)
        if (b->pair[k].left == left && b->pair[k].right == right) {
            *result = b->pair[k].result;
            return b->pair[k].rank < limit ? b->pair[k].rank : MT_NO_RANK;
        }
    return MT_NO_RANK;
}

int32_t mt_bpe_symbol(const mt_bpe *b, const uint8_t *p, size_t n, size_t *length) {
    *length = 1;
    if (b->base_bytes || *p < 0x80) return b->base[*p];
    uint32_t cp;
    int k = mt_utf8_decode(p, n, &cp);
    if (!k) return -1; /* not text: never a character of the vocabulary */
    *length = (size_t)k;
    return mt_vocab_find_bytes(b->vocab, p, (size_t)k);
}

/* Encodes x followed by y by merging, into `ids` (at most `cap` of them are kept); unknown symbols: *count = 0. */
__attribute__((noinline)) static mt_status encode_joined(mt_bpe *b, mt_str x, mt_str y, int32_t *out, size_t cap,
                                                         size_t *count, mt_error *err) {
    int32_t small_id[64], *ids = small_id;
    uint32_t small_width[64], *widths = small_width;
    mt_status status = MT_OK;
    size_t total = x.n + y.n, n = 0, k;
    *count = 0;
    if (total > 64) {
        ids = mt_array(total, sizeof *ids);
        widths = mt_array(total, sizeof *widths);
        if (!ids || !widths) {
            status = mt_nomem(err, total * 8, "a long token");
            goto done;
        }
    }
    for (int part = 0; part < 2; part++) {
        mt_str s = part ? y : x;
        for (size_t at = 0; at < s.n; at += k) {
            ids[n] = mt_bpe_symbol(b, s.p + at, s.n - at, &k);
            widths[n] = (uint32_t)k;
            if (ids[n++] < 0) goto done;
        }
    }
    b->last_left = b->last_right = -1;
    b->last_rank = MT_NO_RANK;
    b->top_rank = 0;
    MT_TRY_GOTO(mt_bpe_merge(b, ids, widths, &n, false, false, err), done);
    *count = n;
    for (size_t i = 0; i < n && i < cap; i++) out[i] = ids[i];
done:
    if (ids != small_id) {
        mt_free(ids);
        mt_free(widths);
    }
    return status;
}

mt_status mt_bpe_reachable(mt_bpe *b, int32_t id, bool *yes, mt_error *err) {
    if (b->tok[id].state) {
        *yes = b->tok[id].state != 2;
        return MT_OK;
    }
    *yes = false;
    if (b->vocab->flags[id] & MT_MATCHES) {
        int32_t made;
        size_t n;
        MT_TRY(encode_joined(b, mt_vocab_bytes(b->vocab, id), (mt_str){NULL, 0}, &made, 1, &n, err));
        *yes = n == 1 && made == id;
    }
    if (!*yes) {
        b->tok[id].state = 2;
        return MT_OK;
    }
    b->tok[id].left = b->last_left;
    b->tok[id].right = b->last_right;
    b->tok[id].rank = b->last_rank;
    b->tok[id].state = 1;
    if (b->last_left >= 0) {
        /* orderly: this merge has the highest rank, and the parts are orderly; very long tokens count as out of order,
         * which bounds this recursion */
        int32_t part[2] = {b->tok[id].left, b->tok[id].right};
        bool orderly = b->top_rank == b->tok[id].rank && b->vocab->bytes[id].n <= 256, known;
        for (int i = 0; i < 2 && orderly; i++) {
            MT_TRY(mt_bpe_reachable(b, part[i], &known, err));
            orderly = b->tok[part[i]].state == 1;
        }
        if (!orderly) b->tok[id].state = 3;
    }
    return MT_OK;
}

/* The definition itself: encode the concatenation. */
static mt_status pair_ok_by_encoding(mt_bpe *b, int32_t left, int32_t right, bool *yes, mt_error *err) {
    int32_t made[2];
    size_t n;
    MT_TRY(encode_joined(b, mt_vocab_bytes(b->vocab, left), mt_vocab_bytes(b->vocab, right), made, 2, &n, err));
    *yes = n == 2 && made[0] == left && made[1] == right;
    return MT_OK;
}

static mt_status pair_test(mt_bpe *b, int32_t left, int32_t right, bool *yes, mt_error *err) {
    int32_t u[SPINE], v[SPINE];
    uint32_t c[SPINE], d[SPINE]; /* rank at which u[i], v[j] are consumed by their own side */
    int i = 0, j = 0;
    bool known;
    MT_TRY(mt_bpe_reachable(b, left, &known, err));
    MT_TRY(mt_bpe_reachable(b, right, &known, err));
    if (b->tok[left].state != 1 || b->tok[right].state != 1) return pair_ok_by_encoding(b, left, right, yes, err);
    u[0] = left;
    v[0] = right;
    c[0] = d[0] = MT_NO_RANK;
    for (; b->tok[u[i]].left >= 0; i++) {
        if (i + 1 == SPINE) return pair_ok_by_encoding(b, left, right, yes, err);
        u[i + 1] = b->tok[u[i]].right;
        c[i + 1] = b->tok[u[i]].rank;
        MT_TRY(mt_bpe_reachable(b, u[i + 1], &known, err));
    }
    for (; b->tok[v[j]].left >= 0; j++) {
        if (j + 1 == SPINE) return pair_ok_by_encoding(b, left, right, yes, err);
        v[j + 1] = b->tok[v[j]].left;
        d[j + 1] = b->tok[v[j]].rank;
        MT_TRY(mt_bpe_reachable(b, v[j + 1], &known, err));
    }
    *yes = false;
    for (;;) {
        int32_t result;
        uint32_t limit = d[j] < c[i] ? d[j] + 1 : c[i]; /* rank < c[i] and rank <= d[j] */
        if (mt_bpe_rank_below(b, u[i], v[j], limit, &result) != MT_NO_RANK) return MT_OK;
        if (!i && !j) break;
        if (!j || (i && c[i] <= d[j]))
            i--;
        else
            j--;
    }
    *yes = true;
    return MT_OK;
}

mt_status mt_bpe_pair_ok(mt_bpe *b, int32_t left, int32_t right, bool *yes, mt_error *err) {
    unsigned low = 2 * b->id_bits - b->place_bits; /* at most 30 */
    uint64_t key = ((uint64_t)(uint32_t)left << b->id_bits | (uint64_t)(uint32_t)right) * UINT64_C(0x9E3779B97F4A7C15);
    uint32_t *slot = &b->pair_cache[key >> low & ((UINT64_C(1) << b->place_bits) - 1)];
    uint32_t entry = (uint32_t)(key & ((UINT64_C(1) << low) - 1)) << 2 | 1;
    if ((*slot & ~2u) == entry) {
        *yes = *slot >> 1 & 1;
        return MT_OK;
    }
    MT_TRY(pair_test(b, left, right, yes, err));
    *slot = entry | (uint32_t)*yes << 1;
    return MT_OK;
}
