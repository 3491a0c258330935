/* The encoders of byte-pair encoding. All give the same tokens (methods: tokenization, 1.2):
 *
 *   scan        find the lowest rank, merge, repeat: quadratic, best for a handful of symbols
 *   heap        a priority queue of candidate merges with stale entries skipped: O(n log n)
 *   last token  for every prefix the last token of its encoding; a match t starting at i may follow last[i] or not
 *   fast        keep a stack of tokens, try the longest match that may follow its top, go back when none may; positions
 *               found dead are never tried again, so the work is linear. Rests on two facts: a part of a canonical
 *               sequence is canonical, and a sequence is canonical when all its neighbours are. */
#include "bpe.h"
#include "../base/heap.h"

typedef struct mt_bpe_node {
    int32_t id;
    uint32_t width;
    int32_t prev, next;
} node;

typedef struct mt_bpe_event {
    uint32_t rank, at;
    int32_t left, right, result;
} event;

enum { SCAN_MOST = 40 };

static void merge_scan(mt_bpe *b, int32_t *id, uint32_t *width, size_t *count) {
    uint32_t rank[SCAN_MOST];
    int32_t made[SCAN_MOST];
    size_t n = *count;
    for (size_t i = 0; i + 1 < n; i++) rank[i] = mt_bpe_rank(b, id[i], id[i + 1], &made[i]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == MT_NO_RANK) break;
        b->last_left = id[best];
        b->last_right = id[best + 1];
        b->last_rank = rank[best];
        if (rank[best] > b->top_rank) b->top_rank = rank[best];
        id[best] = made[best];
        width[best] += width[best + 1];
        n--;
        size_t tail = n - best - 1;
        memmove(id + best + 1, id + best + 2, tail * sizeof *id);
        memmove(width + best + 1, width + best + 2, tail * sizeof *width);
        memmove(rank + best, rank + best + 1, tail * sizeof *rank);
        memmove(made + best, made + best + 1, tail * sizeof *made);
        if (best) rank[best - 1] = mt_bpe_rank(b, id[best - 1], id[best], &made[best - 1]);
        if (best + 1 < n) rank[best] = mt_bpe_rank(b, id[best], id[best + 1], &made[best]);
    }
    *count = n;
}

static inline bool before(const event *x, const event *y, const void *unused) {
    (void)unused;
    return x->rank != y->rank ? x->rank < y->rank : x->at < y->at;
}
MT_HEAP(heap, event, const void *, before)

static mt_status merge_heap(mt_bpe *b, int32_t *id, uint32_t *width, size_t *count, mt_error *err) {
    size_t n = *count, events = 0;
    if (n > INT32_MAX / 2) return mt_fail(err, MT_ELIMIT, "a word of more than 2^30 symbols");
    MT_TRY(mt_grow((void **)&b->node, &b->node_cap, n, sizeof(node), err));
    MT_TRY(
        mt_grow((void **)&b->heap, &b->heap_cap, 3 * n, sizeof(event), err)); /* each merge adds two, ends one node */
    node *node = b->node;
    event *heap = b->heap;
    for (size_t i = 0; i < n; i++) {
        node[i] = (struct mt_bpe_node){id[i], width[i], (int32_t)i - 1, i + 1 < n ? (int32_t)i + 1 : -1};
        if (i + 1 == n) break;
        event e = {0, (uint32_t)i, id[i], id[i + 1], 0};
        e.rank = mt_bpe_rank(b, e.left, e.right, &e.result);
        if (e.rank != MT_NO_RANK) heap_push(heap, &events, e, NULL);
    }
    while (events) {
        event e = heap_pop(heap, &events, NULL);
        int32_t right = node[e.at].next;
        if (node[e.at].id != e.left || right < 0 || node[right].id != e.right) continue; /* stale */
        b->last_left = e.left;
        b->last_right = e.right;
        b->last_rank = e.rank;
        if (e.rank > b->top_rank) b->top_rank = e.rank;
        node[e.at].id = e.result;
        node[e.at].width += node[right].width;
        node[right].id = -1;
        int32_t next = node[e.at].next = node[right].next, prev = node[e.at].prev;
        if (next >= 0) {
            node[next].prev = (int32_t)e.at;
            event f = {0, e.at, e.result, node[next].id, 0};
            f.rank = mt_bpe_rank(b, f.left, f.right, &f.result);
            if (f.rank != MT_NO_RANK) heap_push(heap, &events, f, NULL);
        }
        if (prev >= 0) {
            event f = {0, (uint32_t)prev, node[prev].id, e.result, 0};
            f.rank = mt_bpe_rank(b, f.left, f.right, &f.result);
            if (f.rank != MT_NO_RANK) heap_push(heap, &events, f, NULL);
        }
    }
    size_t m = 0;
    for (int32_t i = n ? 0 : -1; i >= 0; i = node[i].next) {
        id[m] = node[i].id;
        width[m++] = node[i].width;
    }
    *count = m;
    return MT_OK;
}

mt_status mt_bpe_merge(mt_bpe *b, int32_t *id, uint32_t *width, size_t *n, bool force_heap, bool force_scan,
                       mt_error *err) {
    if ((*n <= SCAN_MOST && !force_heap) || (force_scan && *n <= SCAN_MOST)) {
        merge_scan(b, id, width, n);
        return MT_OK;
    }
    return merge_heap(b, id, width, n, err);
}

/* ---- by merging ---- */

static mt_status encode_by_merging(mt_bpe *b, const uint8_t *p, size_t n, mt_bpe_method method, mt_ids *out,
                                   size_t *used, mt_error *err) {
    mt_ids *ids = &b->stack, *widths = &b->work;
    size_t at = 0, k;
    ids->len = 0;
    MT_TRY(mt_ids_reserve(ids, n, err));
    widths->len = 0;
    MT_TRY(mt_ids_reserve(widths, n, err));
    for (; at < n; at += k) {
        int32_t id = mt_bpe_symbol(b, p + at, n - at, &k);
        if (id < 0) break;
        ids->data[ids->len] = id;
        widths->data[ids->len++] = (int32_t)k;
    }
    *used = at;
    size_t count = ids->len;
    MT_TRY(mt_bpe_merge(b, ids->data, (uint32_t *)widths->data, &count, method == MT_BPE_HEAP, method == MT_BPE_SCAN,
                        err));
    MT_TRY(mt_ids_reserve(out, count, err));
    if (count) memcpy(out->data + out->len, ids->data, count * sizeof(int32_t));
    out->len += count;
    return MT_OK;
}

/* ---- by last tokens ---- */

static mt_status encode_by_last_token(mt_bpe *b, const uint8_t *p, size_t n, mt_ids *out, size_t *used, mt_error *err) {
    mt_ids *last = &b->stack; /* last[i]: last token of the encoding of p[0..i) */
    last->len = 0;
    MT_TRY(mt_ids_reserve(last, n + 1, err));
    for (size_t i = 0; i <= n; i++) last->data[i] = -1;
    size_t at = 0, k, end = 0;
    for (; end < n && mt_bpe_symbol(b, p + end, n - end, &k) >= 0; end += k);
    for (at = 0; at < end; at++) {
        if (at && last->data[at] < 0) continue; /* inside a character */
        uint64_t node = b->walk.root;
        for (size_t i = at; i < end && (node = mt_walk_step(&b->walk, node, p[i])); i++) {
            int32_t t = mt_walk_token(node);
            if (t < 0 || last->data[i + 1] >= 0) continue;
            bool yes;
            MT_TRY(mt_bpe_reachable(b, t, &yes, err));
            if (yes && at) MT_TRY(mt_bpe_pair_ok(b, last->data[at], t, &yes, err));
            if (yes) last->data[i + 1] = t;
        }
    }
    *used = end;
    size_t count = 0;
    for (size_t i = end; i; i -= b->vocab->bytes[last->data[i]].n, count++)
        if (last->data[i] < 0) return mt_fail(err, MT_EFORMAT, "the merges of this tokenizer contradict each other");
    MT_TRY(mt_ids_reserve(out, count, err));
    out->len += count;
    int32_t *o = out->data + out->len;
    for (size_t i = end; i; i -= b->vocab->bytes[*o].n) *--o = last->data[i];
    return MT_OK;
}

/* ---- the fast one ---- */

int32_t mt_bpe_find_shorter(mt_bpe *b, int32_t t) {
    mt_str s = mt_vocab_bytes(b->vocab, t);
    size_t length;
    return b->tok[t].prefix = s.n > 1 ? mt_bpe_longest(b, s.p, s.n - 1, &length) : -1;
}

/* t: the longest token at p, of the given length. ends: see mt_bpe_encode_from. */
static mt_status encode_fast(mt_bpe *b, const uint8_t *p, size_t n, int32_t t, size_t length, mt_ids *out, size_t *used,
                             uint32_t *ends, size_t ends_cap, bool *stuck, mt_error *err) {
    const uint8_t *state = b->state;
    const mt_ref *bytes = b->vocab->bytes;
    uint64_t small[2] = {0, 0}, *dead = small; /* bit i: no canonical encoding passes through position i */
    size_t clean = 2;                          /* words of it that have been set */
    *stuck = false;
    if (n >= 128) {
        MT_TRY(mt_grow((void **)&b->dead, &b->dead_cap, n / 64 + 1, sizeof *b->dead, err));
        dead = b->dead;
        clean = 0;
    }
    size_t bottom = out->len, pos = 0;
    int32_t last = -1;
    while (pos < n) {
        for (; t >= 0; t = mt_bpe_shorter(b, t), length = t < 0 ? 0 : bytes[t].n) {
            size_t end = pos + length;
            while (clean <= end >> 6) dead[clean++] = 0;
            if (dead[end >> 6] >> (end & 63) & 1) continue;
            bool yes = state[t] == MT_BPE_REACHABLE;
            if (!yes) MT_TRY(mt_bpe_reachable(b, t, &yes, err));
            if (yes && last >= 0) MT_TRY(mt_bpe_pair_ok(b, last, t, &yes, err));
            if (yes) break;
        }
        if (t >= 0) {
            if (out->len == out->cap) MT_TRY(mt_ids_reserve(out, 1, err));
            pos += length;
            if (out->len - bottom < ends_cap) ends[out->len - bottom] = (uint32_t)pos;
            out->data[out->len++] = last = t;
            t = pos < n ? mt_bpe_longest(b, p + pos, n - pos, &length) : -1;
        } else {
            /* no match may follow: go back, unless the symbol here is not in the vocabulary and ends the stretch */
            size_t k;
            if (mt_bpe_symbol(b, p + pos, n - pos, &k) < 0) break;
            if (out->len == bottom) { /* cannot happen with consistent merges */
                *stuck = true;
                break;
            }
            dead[pos >> 6] |= UINT64_C(1) << (pos & 63);
            pos -= bytes[last].n;
            t = mt_bpe_shorter(b, last);
            if (t >= 0) length = bytes[t].n;
            out->len--;
            last = out->len > bottom ? out->data[out->len - 1] : -1;
        }
    }
    *used = pos;
    return MT_OK;
}

mt_status mt_bpe_encode_from(mt_bpe *b, const uint8_t *p, size_t n, int32_t first, size_t length, mt_ids *out,
                             size_t *used, uint32_t *ends, size_t ends_cap, mt_error *err) {
    size_t len = out->len;
    bool stuck;
    MT_TRY(encode_fast(b, p, n, first, length, out, used, ends, ends_cap, &stuck, err));
    if (!stuck) return MT_OK;
    out->len = len;
    MT_TRY(encode_by_merging(b, p, n, MT_BPE_HEAP, out, used, err));
    size_t at = 0;
    for (size_t i = len; i < out->len; i++) {
        at += b->vocab->bytes[out->data[i]].n;
        if (i - len < ends_cap) ends[i - len] = (uint32_t)at;
    }
    /* such merges may also make tokens that do not spell their parts */
    return at > *used ? mt_fail(err, MT_EFORMAT, "the merges of this tokenizer contradict each other") : MT_OK;
}

mt_status mt_bpe_encode_known(mt_bpe *b, const uint8_t *p, size_t n, mt_bpe_method method, mt_ids *out, size_t *used,
                              mt_error *err) {
    if (method == MT_BPE_LAST_TOKEN) return encode_by_last_token(b, p, n, out, used, err);
    if (method != MT_BPE_FAST) return encode_by_merging(b, p, n, method, out, used, err);
    size_t length = 0;
    int32_t first = n ? mt_bpe_longest(b, p, n, &length) : -1;
    return mt_bpe_encode_from(b, p, n, first, length, out, used, NULL, 0, err);
}
