/* Byte-pair encoding: ranks, how each token comes about, and which tokens may stand side by side.
 *
 * Pair test. Let l and r be tokens that the encoder can produce. Encoding the text l+r, the two halves develop as they
 * do alone until some merge crosses the border; l,r is canonical when none ever does. At every moment the border is
 * between one token u of l's right spine (l, its right part, that one's right part, ...) and one token v of r's left
 * spine. So we replay history, backwards: at each step test whether (u, v) merged before either was consumed by its own
 * side, then take apart the one that was made later (the right one on ties, because of two equal pairs the left one
 * merges first):
 *
 *     l = ab (rank 0 made it), r = c:   u = b, v = c: rank(b,c) = 2, but b is consumed at 0: no
 *                                       u = ab, v = c: rank(ab,c) = 1, nothing consumes them: merges, not canonical
 *
 * This holds for orderly derivations, in which every merge ranks after the merges of its parts. Where ranks go by
 * string a token may rank before one of its parts; such tokens are tested by encoding, which is the definition.
 *
 * A few table look-ups decide what would otherwise need an encoding; the result is cached by pair. */
#include "bpe.h"

#include "../base/sort.h"

enum { OK_BITS = 17, RANK_BITS = 16, DERIVED_MOST = 64, ORDERLY_MOST = 256 };
enum { NONE = INT32_MAX }; /* in the cache of ranks */

static inline uint64_t pair_key(const mt_bpe *b, int32_t left, int32_t right) {
    return ((uint64_t)(uint32_t)left << b->id_bits | (uint64_t)(uint32_t)right) * UINT64_C(0x9E3779B97F4A7C15);
}
static inline size_t key_place(const mt_bpe *b, uint64_t key, unsigned bits) {
    return (size_t)(key >> (2 * b->id_bits - bits)) & (((size_t)1 << bits) - 1);
}
static inline uint64_t key_rest(const mt_bpe *b, uint64_t key, unsigned bits) {
    return key & ((UINT64_C(1) << (2 * b->id_bits - bits)) - 1);
}

static inline uint64_t pair_spread(const mt_bpe *b, int32_t left, int32_t right) {
    return key_rest(b, pair_key(b, left, right), 0);
}

/* A polynomial hash has its good bits below; a product above. */
static inline size_t maybe_place(const mt_bpe *b, uint64_t h) {
    return (size_t)((h ^ h >> 32) * UINT64_C(0xD6E8FEB86659FD93) >> b->maybe_shift);
}
static inline bool maybe_merges(const mt_bpe *b, uint64_t h) {
    size_t k = maybe_place(b, h);
    return b->maybe[k >> 6] >> (k & 63) & 1;
}

mt_status mt_bpe_reserve_pairs(mt_bpe *b, size_t count, mt_error *err) {
    return mt_grow((void **)&b->pair, &b->pair_cap, count, sizeof *b->pair, err);
}

mt_status mt_bpe_add_pair(mt_bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t result, mt_error *err) {
    if (b->pair_len >= UINT32_MAX / 2) return mt_fail(err, MT_ELIMIT, "more than 2^31 merges");
    MT_TRY(mt_bpe_reserve_pairs(b, b->pair_len + 1, err));
    b->pair[b->pair_len++] = (mt_pair){left, right, rank, result};
    return MT_OK;
}

/* Memory for the filter of `count` hashes: one bit in 12 to 24 will be set. */
static mt_status make_filter(mt_bpe *b, size_t count, mt_error *err) {
    unsigned bits = 10;
    while (count * 12 >> bits) bits++;
    b->maybe_shift = 64 - bits;
    b->maybe = mt_calloc((size_t)1 << bits >> 6, sizeof *b->maybe);
    return b->maybe ? MT_OK : mt_nomem(err, (size_t)1 << bits >> 3, "byte-pair encoding");
}

static inline uint64_t *pair_place(const mt_bpe *b, uint64_t spread) {
    uint32_t top = (uint32_t)(b->id_bits > 16 ? spread >> (2 * b->id_bits - 32) : spread << (32 - 2 * b->id_bits));
    return b->pair_slot + (size_t)((uint64_t)top * b->pair_home >> 32);
}

/* One entry, keeping the order; of equal pairs the later one stays (as in the tokenizers library). False: too
 * many slots behind its own are taken. */
static bool insert_entry(mt_bpe *b, uint64_t spread, size_t rank) {
    uint64_t *home = pair_place(b, spread), *s = home, entry = spread << b->entry_bits | (rank + 1);
    while (*s && *s >> b->entry_bits < spread) s++;
    if (*s && *s >> b->entry_bits == spread) {
        *s = entry;
        return true;
    }
    for (; *s; s++) {
        uint64_t next = *s;
        *s = entry;
        entry = next;
    }
    if (s + 1 == b->pair_slot + b->pair_slots || s - home >= MT_CROWD) return false;
    *s = entry;
    return true;
}

static mt_status insert_pairs(void *user, size_t from, size_t to, mt_error *err) {
    mt_bpe *b = user;
    (void)err; /* what does not fit is tried again with more slots */
    enum { TOGETHER = 64 };
    uint64_t spread[TOGETHER], seen = 0;
    for (size_t n; from < to; from += n) {
        const mt_pair *p = b->pair + from;
        n = to - from < TOGETHER ? to - from : TOGETHER;
        for (size_t i = 0; i < n; i++) seen |= *pair_place(b, spread[i] = pair_spread(b, p[i].left, p[i].right));
        mt_keep((uint32_t)seen); /* fetches the slots together */
        for (size_t i = 0; i < n; i++)
            if (!insert_entry(b, spread[i], from + i)) return MT_ELIMIT;
    }
    return MT_OK;
}

/* What the merges say besides. */
static mt_status note_pairs(void *user, size_t from, size_t to, mt_error *err) {
    mt_bpe *b = user;
    (void)err;
    for (size_t i = from; i < to; i++) {
        const mt_pair *p = &b->pair[i];
        size_t k = maybe_place(b, pair_key(b, p->left, p->right));
        b->maybe[k >> 6] |= UINT64_C(1) << (k & 63);
        b->made[i] = p->result;
        mt_bpe_token *t = &b->tok[p->result];
        if (b->state[p->result] != MT_BPE_NEW) continue;
        if (t->left >= 0) b->state[p->result] = MT_BPE_SEVERAL;
        t->left = p->left;
        t->right = p->right;
        t->rank = (uint32_t)i;
    }
    return MT_OK;
}

static int by_rank(const void *a, const void *b, void *context) {
    const mt_pair *x = a, *y = b;
    (void)context;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static mt_status index_pairs(mt_bpe *b, mt_error *err) {
    size_t n = b->pair_len;
    for (size_t i = 1; i < n; i++)
        if (b->pair[i - 1].rank >= b->pair[i].rank) {
            mt_sort(b->pair, n, sizeof *b->pair, by_rank, NULL);
            break;
        }
    if ((uint64_t)n >> b->entry_bits)
        return mt_fail(err, MT_ELIMIT, "%zu merges over %d tokens: at most %llu fit", n, (int)b->vocab->size,
                       (1ull << b->entry_bits) - 1);
    MT_TRY(make_filter(b, n, err));
    b->made = mt_array(n, sizeof *b->made);
    if (!b->made) return mt_nomem(err, n * sizeof *b->made, "the merge table");
    b->made_len = n;
    MT_TRY(mt_stretches(n, note_pairs, b, err));
    uint64_t home = (uint64_t)n + n / 8 * 3 + 8; /* three quarters are taken */
    for (uint64_t most = 4 * home;; home *= 2) {
        if (home > most || home > UINT32_MAX / 16) return mt_crowded(err);
        b->pair_home = (uint32_t)home;
        b->pair_slots = (size_t)(home + home / 64 + 64);
        mt_free(b->pair_slot);
        b->pair_slot = mt_calloc(b->pair_slots, sizeof *b->pair_slot);
        if (!b->pair_slot) return mt_nomem(err, b->pair_slots * sizeof *b->pair_slot, "the merge table");
        if (mt_stretches(n, insert_pairs, b, err) == MT_OK && mt_uncrowded(b->pair_slot, b->pair_slots, err) == MT_OK)
            break;
    }
    mt_free(b->pair);
    b->pair = NULL;
    b->pair_len = b->pair_cap = 0;
    return MT_OK;
}

static mt_status note_strings(void *user, size_t from, size_t to, mt_error *err) {
    mt_bpe *b = user;
    (void)err;
    for (size_t id = from; id < to; id++) {
        if (!(b->vocab->flags[id] & MT_MATCHES)) continue;
        mt_str s = mt_vocab_bytes(b->vocab, (int32_t)id);
        b->string[id] = (struct mt_bpe_string){mt_poly(s.p, s.n), (uint32_t)s.n};
        size_t k = maybe_place(b, b->string[id].hash);
        b->maybe[k >> 6] |= UINT64_C(1) << (k & 63);
    }
    return MT_OK;
}

static mt_status open_tokens(void *user, size_t from, size_t to, mt_error *err) {
    mt_bpe *b = user;
    const uint8_t *flags = b->vocab->flags;
    (void)err;
    for (size_t i = from; i < to; i++) b->tok[i] = (mt_bpe_token){-1, -1, MT_NO_RANK, -2};
    for (size_t i = from; i < to; i++) b->state[i] = flags[i] & MT_MATCHES ? MT_BPE_NEW : MT_BPE_UNREACHABLE;
    return MT_OK;
}

mt_status mt_bpe_open(mt_bpe *b, mt_vocab *v, mt_error *err) {
    size_t n = (size_t)v->size;
    if (!v->walk.two) MT_TRY(mt_walk_two(&v->walk, err));
    b->vocab = v;
    b->walk = v->walk;
    if (v->size >= MT_MAX_TOKENS) return mt_fail(err, MT_ELIMIT, "a vocabulary of %d tokens", (int)v->size);
    b->id_bits = 1;
    while ((n - 1) >> b->id_bits) b->id_bits++;
    b->entry_bits = 64 - 2 * b->id_bits < 32 ? 64 - 2 * b->id_bits : 32; /* at least 16 */
    b->ok_bits = 2 * b->id_bits < OK_BITS ? 2 * b->id_bits : OK_BITS;
    b->rank_bits = 2 * b->id_bits < RANK_BITS ? 2 * b->id_bits : RANK_BITS; /* at most 33 are kept */
    b->tok = mt_array(n, sizeof *b->tok);
    b->state = mt_array(n, sizeof *b->state);
    b->ok_cache = mt_calloc((size_t)1 << b->ok_bits, sizeof *b->ok_cache);
    b->rank_cache = mt_calloc((size_t)1 << b->rank_bits, sizeof *b->rank_cache);
    if (!b->tok || !b->state || !b->ok_cache || !b->rank_cache)
        return mt_nomem(err, n * sizeof *b->tok, "byte-pair encoding");
    for (int c = 0; c < 256; c++) b->base[c] = mt_walk_token(mt_walk_step(&v->walk, v->walk.root, (uint8_t)c));
    MT_TRY(mt_stretches(n, open_tokens, b, err));
    if (!b->by_string) return MT_OK;
    b->string = mt_calloc(n, sizeof *b->string);
    b->power = mt_array((size_t)v->longest + 1, sizeof *b->power);
    if (!b->string || !b->power) return mt_nomem(err, n * sizeof *b->string, "byte-pair encoding");
    b->power[0] = 1;
    for (uint32_t i = 1; i <= v->longest; i++) b->power[i] = b->power[i - 1] * MT_POLY;
    return MT_OK;
}

mt_status mt_bpe_finish(mt_bpe *b, mt_vocab *v, mt_error *err) {
    MT_TRY(mt_bpe_open(b, v, err));
    if (!b->by_string) return index_pairs(b, err);
    MT_TRY(mt_vocab_hash_bytes(v, err));
    MT_TRY(make_filter(b, (size_t)v->size, err));
    return mt_stretches((size_t)v->size, note_strings, b, err);
}

void mt_bpe_free(mt_bpe *b) {
    mt_free(b->pair);
    mt_free(b->made);
    mt_free(b->pair_slot);
    mt_free(b->string);
    mt_free(b->power);
    mt_free(b->rank_of);
    mt_free(b->tok);
    mt_free(b->state);
    mt_free(b->maybe);
    mt_free(b->ok_cache);
    mt_free(b->rank_cache);
    mt_free(b->node);
    mt_free(b->heap);
    mt_free(b->dead);
    mt_free(b->ends);
    mt_ids_free(&b->stack);
    mt_ids_free(&b->work);
    *b = (mt_bpe){0};
}

static inline struct mt_bpe_string string_of(const mt_bpe *b, int32_t id) {
    struct mt_bpe_string *s = &b->string[id];
    if (!s->hash) {
        mt_str bytes = mt_vocab_bytes(b->vocab, id);
        *s = (struct mt_bpe_string){mt_poly(bytes.p, bytes.n), (uint32_t)bytes.n};
    }
    return *s;
}

/* Hash of the two together, or *none: no token spells them. */
static inline uint64_t hash_joined(const mt_bpe *b, int32_t left, int32_t right, bool *none) {
    struct mt_bpe_string l = string_of(b, left), r = string_of(b, right);
    *none = l.n + r.n > b->vocab->longest;
    if (*none) return 0;
    uint64_t hash = l.hash * b->power[r.n] + r.hash;
    *none = !maybe_merges(b, hash);
    return hash;
}

static uint32_t rank_joined(const mt_bpe *b, int32_t left, int32_t right, uint64_t hash, int32_t *result) {
    const mt_vocab *v = b->vocab;
    int32_t id = mt_vocab_find_joined(v, v->bytes[left], v->bytes[right], hash);
    if (id < 0) return MT_NO_RANK;
    *result = id;
    return b->rank_of ? b->rank_of[id] : (uint32_t)id;
}

uint32_t mt_bpe_rank(const mt_bpe *b, int32_t left, int32_t right, int32_t *result) {
    const mt_vocab *v = b->vocab;
    if (!b->by_string) {
        uint64_t h = pair_spread(b, left, right), rank;
        const uint64_t *s = pair_place(b, h);
        while (*s && *s >> b->entry_bits < h) s++;
        if (!*s || *s >> b->entry_bits != h) return MT_NO_RANK;
        rank = (*s & ((UINT64_C(1) << b->entry_bits) - 1)) - 1;
        *result = b->made[rank];
        return (uint32_t)rank;
    }
    /* byte pieces and unknowns do not merge */
    if (!(v->flags[left] & v->flags[right] & MT_MATCHES)) return MT_NO_RANK;
    bool none;
    uint64_t hash = hash_joined(b, left, right, &none);
    return none ? MT_NO_RANK : rank_joined(b, left, right, hash, result);
}

/* Both are made of merges, or symbols. */
static inline uint32_t cached_rank(mt_bpe *b, int32_t left, int32_t right) {
    uint64_t key = pair_key(b, left, right), rest = key_rest(b, key, b->rank_bits) << 31, joined = 0;
    bool none;
    if (b->by_string)
        joined = hash_joined(b, left, right, &none);
    else
        none = !maybe_merges(b, key);
    if (none) return MT_NO_RANK;
    uint64_t *slot = &b->rank_cache[key_place(b, key, b->rank_bits)];
    if ((*slot ^ rest) >> 31 == 0 && *slot) {
        uint32_t r = (uint32_t)*slot & NONE;
        return r == NONE ? MT_NO_RANK : r - 1;
    }
    int32_t result;
    uint32_t rank = b->by_string ? rank_joined(b, left, right, joined, &result) : mt_bpe_rank(b, left, right, &result);
    if (rank == MT_NO_RANK)
        *slot = rest | NONE;
    else if (rank < NONE - 1)
        *slot = rest | (rank + 1);
    return rank;
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

/* History backwards from l, r to single symbols: does some merge cross the border? Both are derived and orderly. inner:
 * the merge of l with r itself does not count. */
static bool replay(mt_bpe *b, int32_t u, int32_t v, bool inner) {
    const mt_bpe_token *x = &b->tok[u], *y = &b->tok[v];
    uint32_t c = MT_NO_RANK, d = MT_NO_RANK; /* ranks at which u and v are consumed by their own side */
    for (;; inner = false) {
        if (!inner) {
            uint32_t rank = cached_rank(b, u, v);
            if (rank < c && rank <= d) return true;
        }
        if (x->left < 0 && y->left < 0) return false;
        if (y->left < 0 || (x->left >= 0 && x->rank > y->rank)) { /* the left one was made later */
            c = x->rank;
            u = x->right;
            x = &b->tok[u];
        } else {
            d = y->rank;
            v = y->left;
            y = &b->tok[v];
        }
    }
}

/* Is this how the token comes about: do the parts, once they are there, merge to it? *known is cleared when that takes
 * an encoding to find out. */
static mt_status try_parts(mt_bpe *b, int32_t id, int32_t l, int32_t r, uint32_t rank, bool *yes, bool *known,
                           mt_error *err) {
    MT_TRY(mt_bpe_reachable(b, l, yes, err));
    if (*yes) MT_TRY(mt_bpe_reachable(b, r, yes, err));
    if (!*yes) return MT_OK;
    *known = b->state[l] == MT_BPE_REACHABLE && b->state[r] == MT_BPE_REACHABLE;
    if (!*known) return MT_OK;
    *yes = !replay(b, l, r, true);
    if (!*yes) return MT_OK;
    bool orderly = true; /* this merge has the highest rank; base symbols have none */
    if (b->tok[l].left >= 0) orderly &= b->tok[l].rank <= rank;
    if (b->tok[r].left >= 0) orderly &= b->tok[r].rank <= rank;
    mt_bpe_token *t = &b->tok[id];
    t->left = l;
    t->right = r;
    t->rank = rank;
    b->state[id] = orderly ? MT_BPE_REACHABLE : MT_BPE_DISORDERLY;
    return MT_OK;
}

/* Of the ways to cut the token in two the one by which it comes about: at most one can be. */
static mt_status derive(mt_bpe *b, int32_t id, bool *known, mt_error *err) {
    const mt_ref *bytes = b->vocab->bytes;
    int32_t l = b->tok[id].left, r = b->tok[id].right, made;
    bool yes = false;
    if (!b->by_string && b->state[id] == MT_BPE_NEW) { /* one merge, or none */
        if (l >= 0 && bytes[l].n + bytes[r].n == bytes[id].n)
            MT_TRY(try_parts(b, id, l, r, b->tok[id].rank, &yes, known, err));
        if (!yes) b->state[id] = MT_BPE_UNREACHABLE;
        return MT_OK;
    }
    mt_str s = mt_vocab_bytes(b->vocab, id);
    for (l = mt_bpe_shorter(b, id); l >= 0 && !yes; l = mt_bpe_shorter(b, l)) {
        r = mt_vocab_find_bytes(b->vocab, s.p + bytes[l].n, s.n - bytes[l].n);
        uint32_t rank = r < 0 ? MT_NO_RANK : mt_bpe_rank(b, l, r, &made);
        if (rank != MT_NO_RANK && made == id) MT_TRY(try_parts(b, id, l, r, rank, &yes, known, err));
    }
    if (!yes) b->state[id] = MT_BPE_UNREACHABLE;
    return MT_OK;
}

/* The definition itself: encode the token's bytes. */
static mt_status derive_by_encoding(mt_bpe *b, int32_t id, mt_error *err) {
    int32_t made;
    size_t n;
    MT_TRY(encode_joined(b, mt_vocab_bytes(b->vocab, id), (mt_str){NULL, 0}, &made, 1, &n, err));
    if (n != 1 || made != id) {
        b->state[id] = MT_BPE_UNREACHABLE;
        return MT_OK;
    }
    mt_bpe_token *t = &b->tok[id];
    t->left = b->last_left;
    t->right = b->last_right;
    t->rank = b->last_rank;
    b->state[id] = MT_BPE_REACHABLE;
    if (t->left < 0) return MT_OK;
    /* orderly: this merge has the highest rank, and the parts are orderly; very long tokens count as out of order,
     * which bounds this recursion */
    bool orderly = b->top_rank == t->rank && b->vocab->bytes[id].n <= ORDERLY_MOST, known;
    int32_t part[2] = {t->left, t->right};
    for (int i = 0; i < 2 && orderly; i++) {
        orderly =
            b->vocab->bytes[part[i]].n < b->vocab->bytes[id].n; /* not so where a result does not spell its parts */
        if (!orderly) break;
        MT_TRY(mt_bpe_reachable(b, part[i], &known, err));
        orderly = b->state[part[i]] == MT_BPE_REACHABLE;
    }
    if (!orderly) b->state[id] = MT_BPE_DISORDERLY;
    return MT_OK;
}

mt_status mt_bpe_reachable(mt_bpe *b, int32_t id, bool *yes, mt_error *err) {
    if (b->state[id] == MT_BPE_NEW || b->state[id] == MT_BPE_SEVERAL) {
        mt_str s = mt_vocab_bytes(b->vocab, id);
        size_t k;
        if (s.n && mt_bpe_symbol(b, s.p, s.n, &k) == id) { /* a symbol is all of its bytes */
            b->state[id] = MT_BPE_REACHABLE;
            b->tok[id].left = b->tok[id].right = -1;
        } else {
            bool known = s.n <= DERIVED_MOST; /* which bounds the recursion */
            if (known) MT_TRY(derive(b, id, &known, err));
            if (!known) MT_TRY(derive_by_encoding(b, id, err));
        }
    }
    *yes = b->state[id] != MT_BPE_UNREACHABLE;
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
    bool known;
    MT_TRY(mt_bpe_reachable(b, left, &known, err));
    MT_TRY(mt_bpe_reachable(b, right, &known, err));
    if (b->state[left] != MT_BPE_REACHABLE || b->state[right] != MT_BPE_REACHABLE)
        return pair_ok_by_encoding(b, left, right, yes, err);
    *yes = !replay(b, left, right, false);
    return MT_OK;
}

mt_status mt_bpe_pair_ok(mt_bpe *b, int32_t left, int32_t right, bool *yes, mt_error *err) {
    uint64_t key = pair_key(b, left, right);
    uint32_t *slot = &b->ok_cache[key_place(b, key, b->ok_bits)];
    uint32_t entry = (uint32_t)key_rest(b, key, b->ok_bits) << 2 | 1; /* of at most 30 bits */
    if ((*slot & ~2u) == entry) {
        *yes = *slot >> 1 & 1;
        return MT_OK;
    }
    MT_TRY(pair_test(b, left, right, yes, err));
    *slot = entry | (uint32_t)*yes << 1;
    return MT_OK;
}
