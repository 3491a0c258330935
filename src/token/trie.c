/* A trie whose edges are entries of one open-addressing hash table, keyed by (node, byte): it is built by plain
 * insertion at a few nanoseconds a byte, needs no sorting, and a step is usually one cache line. What is walked much is
 * packed into a double array (walk.c). */
#include "vocab.h"

static inline size_t slot_of(const mt_trie *t, uint32_t key, size_t mask) {
    return (key * t->spread >> 7) & mask;
}

static mt_status grow_edges(mt_trie *t, size_t edges, mt_error *err) {
    size_t cap = t->edge ? t->mask + 1 : 64;
    if (t->edge && edges <= cap / 4 * 3) return MT_OK;
    while (cap / 4 * 3 < edges)
        if (!mt_mul_size(cap, 2, &cap)) return mt_nomem(err, SIZE_MAX, "a trie");
    struct mt_trie_edge *grown = mt_array(cap, sizeof *grown);
    if (!grown) return mt_nomem(err, cap * sizeof *grown, "a trie");
    memset(grown, 0xFF, cap * sizeof *grown);
    t->spread = (uint32_t)mt_map_secret[0];
    for (size_t i = 0; t->edge && i <= t->mask; i++) {
        if (t->edge[i].key == UINT32_MAX) continue;
        size_t k = slot_of(t, t->edge[i].key, cap - 1);
        while (grown[k].key != UINT32_MAX) k = (k + 1) & (cap - 1);
        grown[k] = t->edge[i];
    }
    mt_free(t->edge);
    t->edge = grown;
    t->mask = cap - 1;
    return MT_OK;
}

mt_status mt_trie_reserve(mt_trie *t, size_t nodes, mt_error *err) {
    if (nodes >= MT_TRIE_LIMIT) return mt_fail(err, MT_ELIMIT, "a trie of more than %d nodes", MT_TRIE_LIMIT);
    MT_TRY(grow_edges(t, nodes, err));
    MT_TRY(mt_grow((void **)&t->token, &t->node_cap, nodes + 1, sizeof *t->token, err));
    if (!t->nodes) t->token[t->nodes++] = -1;
    return MT_OK;
}

mt_status mt_trie_add(mt_trie *t, const uint8_t *p, size_t n, int32_t id, int32_t *old, mt_error *err) {
    MT_TRY(mt_trie_reserve(t, t->nodes, err));
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t key = node << 8 | p[i];
        size_t k = slot_of(t, key, t->mask);
        while (t->edge[k].key != key && t->edge[k].key != UINT32_MAX) k = (k + 1) & t->mask;
        if (t->edge[k].key == key) {
            node = t->edge[k].child;
            continue;
        }
        if (t->nodes + 1 >= MT_TRIE_LIMIT)
            return mt_fail(err, MT_ELIMIT, "a trie of more than %d nodes", MT_TRIE_LIMIT);
        MT_TRY(mt_grow((void **)&t->token, &t->node_cap, t->nodes + 1, sizeof *t->token, err));
        if (t->edges + 1 > (t->mask + 1) / 4 * 3) {
            MT_TRY(grow_edges(t, t->edges + 1, err));
            k = slot_of(t, key, t->mask);
            while (t->edge[k].key != UINT32_MAX) k = (k + 1) & t->mask;
        }
        t->edge[k] = (struct mt_trie_edge){key, (uint32_t)t->nodes};
        t->edges++;
        node = (uint32_t)t->nodes;
        t->token[t->nodes++] = -1;
    }
    *old = t->token[node];
    if (*old < 0) t->token[node] = id;
    return MT_OK;
}

void mt_trie_free(mt_trie *t) {
    mt_free(t->edge);
    mt_free(t->token);
    *t = (mt_trie){0};
}

int32_t mt_trie_longest(const mt_trie *t, const uint8_t *p, size_t n, size_t *length) {
    int32_t best = -1;
    uint32_t node = 0;
    if (!t->nodes) return -1;
    for (size_t i = 0; i < n && (node = mt_trie_step(t, node, p[i])); i++)
        if (t->token[node] >= 0) {
            best = t->token[node];
            *length = i + 1;
        }
    return best;
}
