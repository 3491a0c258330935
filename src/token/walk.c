/* The double array: a trie that no longer changes, packed for walking.
 *
 * Nodes are placed in the order of their numbers, which is that of the tokens that brought them: what is used most lies
 * together at the front. A node with one child takes the first free cell; one with several tries a few free cells for
 * the first of its children and otherwise starts a new block of 256. Cells left over are zero, which no byte matches:
 * a cell for byte 0 has a token or children. Block 0 stays empty, so that nodes without children need no test. */
#include "vocab.h"

enum { BLOCK = 256, TRIES = 24 };

typedef struct builder {
    mt_walk *w;
    uint32_t *next, *prev; /* list of free cells; 0 is its head */
    uint64_t *used;        /* bit: some node has this base */
    size_t cap, next_cap, prev_cap, used_cap;
} builder;

static mt_status add_block(builder *b, mt_error *err) {
    mt_walk *w = b->w;
    size_t n = w->cells, m = n + BLOCK;
    if (m > UINT32_MAX) return mt_fail(err, MT_ELIMIT, "a vocabulary of more than 2^32 cells");
    MT_TRY(mt_grow((void **)&w->cell, &b->cap, m, sizeof *w->cell, err));
    MT_TRY(mt_grow((void **)&b->next, &b->next_cap, m, sizeof *b->next, err));
    MT_TRY(mt_grow((void **)&b->prev, &b->prev_cap, m, sizeof *b->prev, err));
    MT_TRY(mt_grow((void **)&b->used, &b->used_cap, m / 64, sizeof *b->used, err));
    memset(w->cell + n, 0, BLOCK * sizeof *w->cell);
    memset(b->used + n / 64, 0, BLOCK / 64 * sizeof *b->used);
    w->cells = m;
    if (!n) {
        b->next[0] = b->prev[0] = 0;
        return MT_OK;
    }
    for (size_t i = n; i < m; i++) {
        b->next[i] = (uint32_t)i + 1;
        b->prev[i] = (uint32_t)i - 1;
    }
    uint32_t last = b->prev[0];
    b->next[last] = (uint32_t)n;
    b->prev[n] = last;
    b->next[m - 1] = 0;
    b->prev[0] = (uint32_t)m - 1;
    return MT_OK;
}

static bool is_free(const builder *b, size_t i) {
    return b->prev[i] != UINT32_MAX;
}
static bool base_is_used(const builder *b, size_t base) {
    return b->used[base >> 6] >> (base & 63) & 1;
}

/* A base whose cells for all labels are free. */
static mt_status find_base(builder *b, const uint8_t *label, size_t n, size_t *out, mt_error *err) {
    int tries = n == 1 ? INT32_MAX : TRIES;
    for (uint32_t at = b->next[0]; at && tries; at = b->next[at], tries--) {
        size_t base = at ^ label[0], i = 1;
        if (base_is_used(b, base)) continue;
        while (i < n && is_free(b, base ^ label[i])) i++;
        if (i == n) {
            *out = base;
            return MT_OK;
        }
    }
    *out = b->w->cells; /* a multiple of 256: the new block's cells, all free */
    return add_block(b, err);
}

mt_status mt_walk_build(mt_walk *w, const mt_trie *t, mt_error *err) {
    builder b = {.w = w};
    size_t n = t->nodes;
    mt_status status = MT_OK;
    /* children by parent */
    uint32_t *first = mt_calloc(n + 2, sizeof *first), *child = mt_array(t->edges + 1, sizeof *child),
             *cell_of = mt_calloc(n + 1, sizeof *cell_of),
             *key =
                 mt_array(n + 1, sizeof *key); /* of the edge to a node; neighbours mostly have neighbouring parents */
    uint8_t *label = mt_array(t->edges + 1, 1);
    if (!first || !child || !label || !cell_of || !key) {
        status = mt_nomem(err, (n + t->edges) * 13, "a trie");
        goto done;
    }
    for (size_t i = 0; i <= t->mask; i++)
        if (t->edge[i].key != UINT32_MAX) key[t->edge[i].child] = t->edge[i].key;
    for (size_t k = 1; k < n; k++) first[(key[k] >> 8) + 2]++;
    for (size_t i = 2; i < n + 2; i++) first[i] += first[i - 1];
    for (size_t i = 1; i < n; i++) {
        uint32_t k = first[(key[i] >> 8) + 1]++;
        child[k] = (uint32_t)i;
        label[k] = (uint8_t)key[i];
    }
    MT_TRY_GOTO(add_block(&b, err), done);
    MT_TRY_GOTO(add_block(&b, err), done);
    for (size_t node = 0; node < n; node++) {
        uint32_t from = first[node], to = first[node + 1];
        size_t base;
        if (from == to) continue;
        MT_TRY_GOTO(find_base(&b, label + from, to - from, &base, err), done);
        b.used[base >> 6] |= UINT64_C(1) << (base & 63);
        if (node)
            w->cell[cell_of[node]] |= (uint64_t)base << 32;
        else
            w->root = (uint64_t)base << 32;
        for (uint32_t k = from; k < to; k++) {
            size_t at = base ^ label[k];
            b.next[b.prev[at]] = b.next[at];
            b.prev[b.next[at]] = b.prev[at];
            b.prev[at] = UINT32_MAX;
            cell_of[child[k]] = (uint32_t)at;
            w->cell[at] = (uint64_t)(uint32_t)(t->token[child[k]] + 1) << 8 | label[k];
        }
    }
    w->two = mt_calloc(65536, sizeof *w->two);
    if (!w->two) {
        status = mt_nomem(err, 65536 * sizeof *w->two, "a trie");
        goto done;
    }
    for (int i = 0; i < 256; i++) {
        uint64_t node = mt_walk_step(w, w->root, (uint8_t)i);
        for (int j = 0; node && j < 256; j++) w->two[i << 8 | j] = mt_walk_step(w, node, (uint8_t)j);
    }
done:
    mt_free(first);
    mt_free(child);
    mt_free(cell_of);
    mt_free(label);
    mt_free(key);
    mt_free(b.next);
    mt_free(b.prev);
    mt_free(b.used);
    return status;
}

void mt_walk_free(mt_walk *w) {
    mt_free(w->cell);
    mt_free(w->two);
    *w = (mt_walk){0};
}
