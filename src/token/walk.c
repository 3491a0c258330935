/* The double array: strings of tokens packed for walking, made from the sorted list of them without a trie in between.
 *
 * Sorting: by the first eight bytes as one number (radix sort), then, among equals, by the next eight, then by the
 * rest. Neighbours in the sorted list share their longest common prefix; what is behind it are new nodes, so the nodes
 * come out in preorder, each with its label and the place where its subtree ends:
 *
 *     "a", "ab", "b":   node 0 (root, ends at 4)   1 a (ends at 3)   2 b (ends at 3)   3 b (ends at 4)
 *
 * Placing: nodes that the first strings bring take their places in the order of those, so that what is used most lies
 * together at the front; the others in preorder. Cells come in blocks of 256, and a node's children lie in one block
 * (base ^ byte differs from base in the low 8 bits only). Nodes with several children try the few blocks that are open;
 * one that has failed them too often is left to the nodes with one child, which fill what is free. Cells left over are
 * zero, which no byte matches: a cell for byte 0 has a token or children. Block 0 stays empty, so that nodes without
 * children need no test.
 */
#include "../base/sort.h"
#include "vocab.h"

enum { BLOCK = 256, EARLY = 1 << 14, OPEN = 6, FAILURES = 12, DIGIT = 11, DIGITS = 6, FEW = 20 };

/* ---- sorting ---- */

typedef struct item {
    uint64_t head; /* eight bytes of the string, the first one on top, zeros behind a short one */
    uint32_t n, k; /* its length; its key */
} item;

static inline uint64_t eight(const uint8_t *p, size_t n) {
    if (n >= 8) return __builtin_bswap64(mt_le64(p));
    if (n >= 4)
        return (uint64_t)__builtin_bswap32(mt_le32(p)) << 32 | (uint64_t)__builtin_bswap32(mt_le32(p + n - 4))
                                                                   << (8 * (8 - n));
    return n ? (uint64_t)p[0] << 56 | (uint64_t)p[n / 2] << (56 - 8 * (n / 2)) | (uint64_t)p[n - 1] << (64 - 8 * n) : 0;
}

static inline uint32_t digit(uint64_t head, int d) {
    return head >> (DIGIT * d) & ((1 << DIGIT) - 1);
}
typedef struct sorter {
    item *from, *to;
    uint32_t count[DIGITS][1 << DIGIT];
    int d;
} sorter;

static mt_status count_digits(void *user, size_t from, size_t to, mt_error *err) {
    sorter *s = user;
    (void)err;
    for (size_t i = from; i < to; i++)
        for (int d = 0; d < DIGITS; d++) s->count[d][digit(s->from[i].head, d)]++;
    return MT_OK;
}
static mt_status move_items(void *user, size_t from, size_t to, mt_error *err) {
    sorter *s = user;
    uint32_t *at = s->count[s->d];
    (void)err;
    for (size_t i = from; i < to; i++) s->to[at[digit(s->from[i].head, s->d)]++] = s->from[i];
    return MT_OK;
}

static mt_status radix(item **items, item **spare, size_t n, mt_error *err) {
    sorter s = {.from = *items, .to = *spare};
    MT_TRY(mt_stretches(n, count_digits, &s, err));
    for (s.d = 0; s.d < DIGITS; s.d++) {
        uint32_t *c = s.count[s.d], at = 0;
        if (n && c[digit(s.from[0].head, s.d)] == n) continue;
        for (int i = 0; i < 1 << DIGIT; i++) {
            uint32_t m = c[i];
            c[i] = at;
            at += m;
        }
        MT_TRY(mt_stretches(n, move_items, &s, err));
        item *swap = s.from;
        s.from = s.to;
        s.to = swap;
    }
    *items = s.from;
    *spare = s.to;
    return MT_OK;
}

typedef struct strings {
    const uint8_t *text;
    mt_walk_key *key;
} strings;

/* Strings whose first eight bytes are equal, with the next eight in `head`. */
static int compare(const void *pa, const void *pb, void *context) {
    const item *a = pa, *b = pb;
    const strings *s = context;
    uint32_t least = a->n < b->n ? a->n : b->n;
    if (least > 8 && a->head != b->head) return a->head < b->head ? -1 : 1;
    if (least > 16) {
        int c = memcmp(s->text + s->key[a->k].at + 16, s->text + s->key[b->k].at + 16, least - 16);
        if (c) return c;
    }
    return a->n != b->n ? (a->n < b->n ? -1 : 1) : a->k < b->k ? -1 : 1;
}

static void sort_equals(strings *s, item *a, size_t n) {
    uint64_t head = a[0].head;
    for (size_t i = 0; i < n; i++)
        if (a[i].n > 8) a[i].head = eight(s->text + s->key[a[i].k].at + 8, a[i].n - 8);
    if (n > FEW) {
        mt_sort(a, n, sizeof *a, compare, s);
    } else {
        for (size_t i = 1; i < n; i++) {
            item x = a[i];
            size_t j = i;
            for (; j && compare(&x, &a[j - 1], s) < 0; j--) a[j] = a[j - 1];
            a[j] = x;
        }
    }
    for (size_t i = 0; i < n; i++) a[i].head = head;
}

/* Length of the longest common prefix. */
static inline uint32_t common(const strings *s, const item *a, const item *b) {
    uint32_t n = a->n < b->n ? a->n : b->n, i = 8;
    if (a->head != b->head) {
        i = (uint32_t)__builtin_clzll(a->head ^ b->head) >> 3;
        return i < n ? i : n;
    }
    if (n <= 8) return n;
    const uint8_t *p = s->text + s->key[a->k].at, *q = s->text + s->key[b->k].at;
    for (; n - i >= 8; i += 8) {
        uint64_t x = mt_le64(p + i) ^ mt_le64(q + i);
        if (x) return i + (uint32_t)(__builtin_ctzll(x) >> 3);
    }
    while (i < n && p[i] == q[i]) i++;
    return i;
}

/* ---- nodes, in preorder ---- */

typedef struct node {
    uint32_t end;   /* behind its subtree */
    uint32_t first; /* the string that brings it */
    uint32_t what;  /* token + 1, shifted by 8, and label: the low half of its cell; when that has a place: its place */
} node;

typedef struct nodes {
    strings *s;
    item *item; /* by their first eight bytes */
    size_t items, done;
    node *v;
    uint32_t n, cap;
    uint32_t *path, depth; /* from the root to the last one */
    const item *last;      /* the string that led there */
} nodes;

static void close_nodes(nodes *t, uint32_t to) {
    for (; t->depth > to; t->depth--) {
        node *x = &t->v[t->path[t->depth]], *parent = &t->v[t->path[t->depth - 1]];
        x->end = t->n;
        if (x->first < parent->first) parent->first = x->first;
    }
}

static mt_status add_string(nodes *t, const item *a, mt_error *err) {
    mt_walk_key *k = &t->s->key[a->k];
    if (k->id < 0) return MT_OK;
    uint32_t shared = t->last ? common(t->s, t->last, a) : 0, n = a->n;
    if (t->last && t->last->n == n && shared == n) {
        k->id = -1; /* the first given is first here too */
        return MT_OK;
    }
    t->last = a;
    close_nodes(t, shared);
    if (t->cap - t->n < n - shared) {
        size_t cap = (size_t)t->cap + t->cap / 2 + n, bytes;
        if (cap > UINT32_MAX) return mt_fail(err, MT_ELIMIT, "a vocabulary of more than 2^32 nodes");
        void *p = mt_mul_size(cap, sizeof(node), &bytes) ? mt_realloc(t->v, bytes) : NULL;
        if (!p) return mt_nomem(err, cap * sizeof(node), "a vocabulary's walk");
        t->v = p;
        t->cap = (uint32_t)cap;
    }
    for (uint32_t d = shared; d < n; d++) {
        uint8_t label = d < 8 ? (uint8_t)(a->head >> (56 - 8 * d)) : t->s->text[k->at + d];
        t->v[t->n] = (node){0, a->k, label};
        t->path[d + 1] = t->n++;
    }
    t->depth = n;
    t->v[t->n - 1].what |= (uint32_t)(k->id + 1) << 8;
    return MT_OK;
}

/* Strings whose first eight bytes are equal are sorted on the way, while their text is at hand; their keys and texts
 * are fetched some strings ahead. */
static mt_status make_nodes(void *user, size_t from, size_t to, mt_error *err) {
    enum { KEY = 48, TEXT = 24 };
    nodes *t = user;
    const strings *s = t->s;
    uint32_t seen = 0;
    for (size_t i = t->done > from ? t->done : from; i < to;) {
        item *a = t->item + i;
        size_t n = 1;
        while (i + n < t->items && a[n].head == a->head) n++;
        for (size_t k = 0; k < n; k++) {
            if (i + k + KEY < t->items) seen |= s->key[a[k + KEY].k].n;
            if (i + k + TEXT < t->items && a[k + TEXT].n > 8) seen |= s->text[s->key[a[k + TEXT].k].at + 8];
        }
        if (n > 1) sort_equals(t->s, a, n);
        for (size_t k = 0; k < n; k++) MT_TRY(add_string(t, &a[k], err));
        t->done = i += n;
    }
    mt_keep(seen);
    return MT_OK;
}

static bool is_inner(const nodes *t, uint32_t i) {
    return t->v[i].end > i + 1;
}

/* Nodes that have children and come early, by the string that brings them; those of one string from the root down. */
typedef struct early {
    const nodes *t;
    uint32_t at[EARLY], *order;
    size_t count;
} early;

static mt_status count_early(void *user, size_t from, size_t to, mt_error *err) {
    early *e = user;
    (void)err;
    for (size_t i = from; i < to; i++)
        if (e->t->v[i].first < EARLY && is_inner(e->t, (uint32_t)i)) e->at[e->t->v[i].first]++;
    return MT_OK;
}
static mt_status list_early(void *user, size_t from, size_t to, mt_error *err) {
    early *e = user;
    (void)err;
    for (size_t i = from; i < to; i++)
        if (e->t->v[i].first < EARLY && is_inner(e->t, (uint32_t)i)) e->order[e->at[e->t->v[i].first]++] = (uint32_t)i;
    return MT_OK;
}

static mt_status early_nodes(const nodes *t, uint32_t **order, size_t *count, mt_error *err) {
    early e = {.t = t};
    uint32_t sum = 0;
    MT_TRY(mt_stretches(t->n, count_early, &e, err));
    for (size_t i = 0; i < EARLY; i++) {
        uint32_t m = e.at[i];
        e.at[i] = sum;
        sum += m;
    }
    *count = sum;
    *order = e.order = mt_array(sum, sizeof **order);
    if (!e.order) return mt_nomem(err, sum * sizeof **order, "a vocabulary's walk");
    return mt_stretches(t->n, list_early, &e, err);
}

/* ---- cells ---- */

typedef struct block {
    uint64_t free[4], used[4]; /* bits: cells; bases of nodes */
    uint32_t left, failures;
} block;

typedef struct builder {
    nodes *t;
    const uint32_t *early;
    mt_walk *w;
    block *block;
    size_t cap, block_cap; /* of cells; of blocks */
    uint32_t open[OPEN];   /* blocks for nodes with several children */
    size_t opened;
    uint32_t *rest; /* blocks that were open, a queue for nodes with one child */
    size_t rest_from, rest_to, rest_cap;
} builder;

static mt_status reserve_cells(builder *b, size_t cells, mt_error *err) {
    if (cells > UINT32_MAX) return mt_fail(err, MT_ELIMIT, "a vocabulary of more than 2^32 cells");
    if (cells <= b->cap) return MT_OK;
    size_t cap = b->cap + b->cap / 4 > cells ? b->cap + b->cap / 4 : cells, bytes;
    void *p = mt_mul_size(cap, sizeof *b->w->cell, &bytes) ? mt_realloc(b->w->cell, bytes) : NULL;
    if (!p) return mt_nomem(err, cap * sizeof *b->w->cell, "a vocabulary's walk");
    b->w->cell = p;
    b->cap = cap;
    return MT_OK;
}

/* A new block at the end, open; the one that has been open longest makes room for it. */
static mt_status add_block(builder *b, mt_error *err) {
    size_t n = b->w->cells, k = n / BLOCK;
    MT_TRY(reserve_cells(b, n + BLOCK, err));
    MT_TRY(mt_grow((void **)&b->block, &b->block_cap, k + 1, sizeof *b->block, err));
    MT_TRY(mt_grow((void **)&b->rest, &b->rest_cap, k + 1, sizeof *b->rest, err));
    memset(b->w->cell + n, 0, BLOCK * sizeof *b->w->cell);
    b->block[k] = (block){{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}, {0}, BLOCK, 0};
    b->w->cells = n + BLOCK;
    if (!k) return MT_OK; /* stays empty */
    if (b->opened == OPEN) {
        b->rest[b->rest_to++] = b->open[0];
        memmove(b->open, b->open + 1, --b->opened * sizeof *b->open);
    }
    b->open[b->opened++] = (uint32_t)k;
    return MT_OK;
}

static inline bool bit(const uint64_t *set, unsigned i) {
    return set[i >> 6] >> (i & 63) & 1;
}

/* A base in the block whose cells for all labels are free; -1: none. */
static int fit(const block *k, const uint8_t *label, size_t n) {
    for (unsigned word = 0; word < 4; word++)
        for (uint64_t bits = k->free[word]; bits; bits &= bits - 1) {
            unsigned base = (word * 64 + (unsigned)__builtin_ctzll(bits)) ^ label[0];
            if (bit(k->used, base)) continue;
            size_t i = 1;
            while (i < n && bit(k->free, base ^ label[i])) i++;
            if (i == n) return (int)base;
        }
    return -1;
}

static void take(builder *b, size_t at, unsigned base, const uint8_t *label, size_t n) {
    block *k = &b->block[at];
    k->used[base >> 6] |= UINT64_C(1) << (base & 63);
    for (size_t i = 0; i < n; i++) k->free[(base ^ label[i]) >> 6] &= ~(UINT64_C(1) << ((base ^ label[i]) & 63));
    k->left -= (uint32_t)n;
}

static mt_status find_base(builder *b, const uint8_t *label, size_t n, size_t *out, mt_error *err) {
    int base;
    while (n == 1 && b->rest_from < b->rest_to) {
        size_t at = b->rest[b->rest_from];
        base = fit(&b->block[at], label, n);
        if (base >= 0) {
            take(b, at, (unsigned)base, label, n);
            *out = at * BLOCK + (unsigned)base;
        }
        if (!b->block[at].left || (base < 0 && ++b->block[at].failures > 2 * FAILURES)) b->rest_from++;
        if (base >= 0) return MT_OK;
        if (b->rest_from + 1 >= b->rest_to) break;
        /* another one may do better */
        uint32_t swap = b->rest[b->rest_from];
        b->rest[b->rest_from] = b->rest[b->rest_from + 1];
        b->rest[b->rest_from + 1] = swap;
    }
    for (size_t i = 0; i < b->opened; i++) {
        size_t at = b->open[i];
        block *k = &b->block[at];
        base = k->left < n ? -1 : fit(k, label, n);
        if (base >= 0) {
            take(b, at, (unsigned)base, label, n);
            *out = at * BLOCK + (unsigned)base;
            if (k->left) return MT_OK;
        } else if (++k->failures <= FAILURES) {
            continue;
        } else {
            k->failures = 0;
            b->rest[b->rest_to++] = (uint32_t)at; /* there is room: see add_block */
        }
        memmove(&b->open[i], &b->open[i + 1], (--b->opened - i) * sizeof *b->open);
        i--;
        if (base >= 0) return MT_OK;
    }
    size_t at = b->w->cells / BLOCK;
    MT_TRY(add_block(b, err));
    take(b, at, 0, label, n);
    *out = at * BLOCK;
    return MT_OK;
}

static mt_status place(builder *b, nodes *t, uint32_t at, mt_error *err) {
    mt_walk *w = b->w;
    uint8_t label[256];
    uint32_t child[256], n = 0;
    size_t base;
    for (uint32_t c = at + 1; c < t->v[at].end; c = t->v[c].end) {
        child[n] = c;
        label[n++] = (uint8_t)t->v[c].what;
    }
    MT_TRY(find_base(b, label, n, &base, err));
    if (at)
        w->cell[t->v[at].what] |= (uint64_t)base << 32;
    else
        w->root = (uint64_t)base << 32;
    for (uint32_t k = 0; k < n; k++) {
        node *c = &t->v[child[k]];
        w->cell[base ^ label[k]] = c->what;
        c->what = (uint32_t)(base ^ label[k]);
    }
    return MT_OK;
}

static mt_status place_early(void *user, size_t from, size_t to, mt_error *err) {
    builder *b = user;
    for (size_t i = from; i < to; i++) MT_TRY(place(b, b->t, b->early[i], err));
    return MT_OK;
}
static mt_status place_late(void *user, size_t from, size_t to, mt_error *err) {
    builder *b = user;
    for (size_t i = from; i < to; i++)
        if (b->t->v[i].first >= EARLY && is_inner(b->t, (uint32_t)i)) MT_TRY(place(b, b->t, (uint32_t)i, err));
    return MT_OK;
}

mt_status mt_walk_two(mt_walk *w, mt_error *err) {
    w->two = mt_calloc(65536, sizeof *w->two);
    if (!w->two) return mt_nomem(err, 65536 * sizeof *w->two, "a vocabulary's walk");
    for (int i = 0; i < 256; i++) {
        uint64_t node = mt_walk_step(w, w->root, (uint8_t)i);
        for (int j = 0; node && j < 256; j++) w->two[i << 8 | j] = mt_walk_step(w, node, (uint8_t)j);
    }
    return MT_OK;
}

mt_status mt_walk_make(mt_walk *w, const uint8_t *text, mt_walk_key *key, size_t count, mt_error *err) {
    strings s = {text, key};
    nodes t = {.s = &s, .n = 1};
    builder b = {.t = &t, .w = w};
    mt_status status = MT_OK;
    uint32_t longest = 0, *first = NULL;
    *w = (mt_walk){0};
    if (count >= UINT32_MAX) return mt_fail(err, MT_ELIMIT, "a vocabulary of more than 2^32 strings");
    item *a = mt_array(count + 1, sizeof *a), *spare = mt_array(count + 1, sizeof *spare);
    if (!a || !spare) {
        status = mt_nomem(err, count * sizeof *a, "a vocabulary's walk");
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        a[i] = (item){eight(text + key[i].at, key[i].n), key[i].n, (uint32_t)i};
        if (!key[i].n) key[i].id = -1;
        if (key[i].n > longest) longest = key[i].n;
    }
    MT_TRY_GOTO(radix(&a, &spare, count, err), done);
    mt_free(spare);
    spare = NULL;
    t.cap = (uint32_t)(count < 1 << 24 ? 3 * count + 64 : 1 << 26);
    t.v = mt_array(t.cap, sizeof *t.v);
    t.path = mt_array((size_t)longest + 1, sizeof *t.path);
    if (!t.v || !t.path) {
        status = mt_nomem(err, t.cap * sizeof *t.v, "a vocabulary's walk");
        goto done;
    }
    t.v[0] = (node){0, 0, 0};
    t.path[0] = 0;
    t.item = a;
    t.items = count;
    MT_TRY_GOTO(mt_stretches(count, make_nodes, &t, err), done);
    close_nodes(&t, 0);
    t.v[0].end = t.n;
    mt_free(a);
    a = NULL;
    MT_TRY_GOTO(early_nodes(&t, &first, &count, err), done);
    MT_TRY_GOTO(reserve_cells(&b, (size_t)t.n + t.n / 16 + 4 * BLOCK, err), done);
    MT_TRY_GOTO(add_block(&b, err), done);
    MT_TRY_GOTO(add_block(&b, err), done);
    b.early = first;
    MT_TRY_GOTO(mt_stretches(count, place_early, &b, err), done);
    MT_TRY_GOTO(mt_stretches(t.n, place_late, &b, err), done);
    void *less = mt_realloc(w->cell, w->cells * sizeof *w->cell);
    if (less) w->cell = less;
done:
    mt_free(a);
    mt_free(spare);
    mt_free(t.v);
    mt_free(t.path);
    mt_free(first);
    mt_free(b.block);
    mt_free(b.rest);
    if (status != MT_OK) mt_walk_free(w);
    return status;
}

int32_t mt_walk_longest(const mt_walk *w, const uint8_t *p, size_t n, size_t *length) {
    int32_t best = -1;
    uint64_t node = w->root;
    for (size_t i = 0; i < n && (node = mt_walk_step(w, node, p[i])); i++) {
        int32_t t = mt_walk_token(node);
        if (t < 0) continue;
        best = t;
        *length = i + 1;
    }
    return best;
}

int32_t mt_walk_find(const mt_walk *w, const uint8_t *p, size_t n) {
    uint64_t node = w->root;
    for (size_t i = 0; i < n && node; i++) node = mt_walk_step(w, node, p[i]);
    return n && node ? mt_walk_token(node) : -1;
}

void mt_walk_forget(mt_walk *w, const uint8_t *p, size_t n) {
    uint64_t node = w->root, *at = NULL;
    const uint64_t token = UINT64_C(0xFFFFFF) << 8;
    for (size_t i = 0; i < n; i++) {
        at = &w->cell[(size_t)(node >> 32) ^ p[i]];
        node = mt_walk_step(w, node, p[i]);
        if (!node) return;
    }
    if (at) *at &= ~token;
    if (n == 2 && w->two) w->two[p[0] << 8 | p[1]] &= ~token;
}

void mt_walk_free(mt_walk *w) {
    mt_free(w->cell);
    mt_free(w->two);
    *w = (mt_walk){0};
}
