/* LiB, "Less is Better" (Yang, Cai & Frank 2020): a lexicon that learns chunks by reading, so that both the number of
 * tokens and the number of types stay small. The lexicon is an ordered list; a chunk's place is its rank.
 *
 * Reading: longest match; a symbol never seen is memorized; now and then (alpha) the previous chunk and this one are
 * memorized as one, at the tail, on probation.
 *
 * Evaluating: at a chunk of several symbols, what if the second-longest match had been taken? Both segmentations go on
 * until they meet. Fewer chunks win, then the smaller sum of ranks: the winner is rewarded; when it is the shorter
 * chunk, the longer one is punished.
 *
 * Probation: a chunk that comes again with other neighbours is released and rewarded; with the same neighbour the two
 * are memorized as one instead; one not released in `probation` steps is forgotten.
 *
 * A step ends with the moves: rewarded chunks go 1 + 0.1 x rank places forward, punished ones back, off the tail means
 * forgotten; and the worst ranks are put on probation. */
#include "train.h"
#include "vocab.h"

typedef struct chunk {
    int32_t rank; /* -1: not in the lexicon */
    uint32_t symbols;
    int32_t until;         /* step at which probation ends; 0: not on probation */
    int32_t before, after; /* neighbours when it was last seen on probation; -1: none, -2: not seen yet */
    int32_t score;         /* rewards minus punishments of this step */
    bool listed;           /* in `moved` */
} chunk;

typedef struct lexicon {
    const mt_lib_options *o;
    mt_error *err;
    mt_rng rng;
    mt_vocabulary all; /* every chunk that ever was; ids never change */
    mt_trie trie;
    chunk *chunks;
    size_t chunk_cap;
    mt_ids list;         /* by rank */
    mt_ids moved, tried; /* tried: ids that are on probation */
    int32_t step;
} lexicon;

typedef struct match {
    int32_t id, second; /* -1: none */
    uint32_t n, second_n;
} match;

static uint32_t symbol_size(mt_str s, size_t at) {
    uint32_t cp;
    int n = mt_utf8_decode(s.p + at, s.n - at, &cp);
    return n ? (uint32_t)n : 1;
}

static match longest(const lexicon *l, mt_str s, size_t at) {
    match m = {-1, -1, 0, 0};
    uint32_t node = 0;
    for (size_t i = at; l->trie.nodes && i < s.n && (node = mt_trie_step(&l->trie, node, s.p[i])); i++) {
        int32_t id = l->trie.token[node];
        if (id < 0 || l->chunks[id].rank < 0) continue;
        m.second = m.id;
        m.second_n = m.n;
        m.id = id;
        m.n = (uint32_t)(i + 1 - at);
    }
    return m;
}

static mt_status memorize(lexicon *l, mt_str text, bool probation, int32_t *id) {
    int32_t old = -1;
    if (l->all.len >= MT_MAX_TOKENS) return mt_fail(l->err, MT_ELIMIT, "more than %d chunks", MT_MAX_TOKENS);
    MT_TRY(mt_grow((void **)&l->chunks, &l->chunk_cap, l->all.len + 1, sizeof *l->chunks, l->err));
    MT_TRY(mt_trie_add(&l->trie, text.p, text.n, (int32_t)l->all.len, &old, l->err));
    *id = old;
    if (old < 0) {
        MT_TRY(mt_vocabulary_add(&l->all, text, id, l->err));
        chunk *c = &l->chunks[*id];
        *c = (chunk){.rank = -1};
        for (size_t at = 0; at < text.n; at += symbol_size(text, at)) c->symbols++;
    }
    chunk *c = &l->chunks[*id];
    if (c->rank >= 0) return MT_OK;
    MT_TRY(mt_ids_add(&l->list, *id, l->err));
    c->rank = (int32_t)l->list.len - 1;
    c->before = c->after = -2;
    c->until = 0;
    if (probation) {
        c->until = l->step + (l->o->probation > 0 ? l->o->probation : 10);
        MT_TRY(mt_ids_add(&l->tried, *id, l->err));
    }
    return MT_OK;
}

static mt_status memorize_two(lexicon *l, int32_t a, int32_t b) {
    mt_buf text = {0};
    mt_status status = MT_OK;
    int32_t id;
    MT_TRY_GOTO(mt_buf_add(&text, l->all.token[a].p, l->all.token[a].n, l->err), done);
    MT_TRY_GOTO(mt_buf_add(&text, l->all.token[b].p, l->all.token[b].n, l->err), done);
    status = memorize(l, (mt_str){text.data, text.len}, true, &id);
done:
    mt_buf_free(&text);
    return status;
}

static mt_status give(lexicon *l, int32_t id, int32_t score) {
    l->chunks[id].score += score;
    if (l->chunks[id].listed) return MT_OK;
    l->chunks[id].listed = true;
    return mt_ids_add(&l->moved, id, l->err);
}

/* The chosen match against the second-longest one, both read on until they meet. */
static mt_status evaluate(lexicon *l, mt_str s, size_t at, match m) {
    size_t a = at + m.n, b = at + m.second_n;
    uint64_t tokens_a = 1, tokens_b = 1, ranks_a = (uint64_t)l->chunks[m.id].rank,
             ranks_b = (uint64_t)l->chunks[m.second].rank;
    enum { PATIENCE = 64 }; /* segmentations that still have not met say nothing about this place */
    while (a != b) {
        bool first = a < b;
        if (tokens_a + tokens_b > PATIENCE) return MT_OK;
        match next = longest(l, s, first ? a : b);
        if (next.id < 0) return MT_OK; /* something never seen lies ahead: no judgement */
        *(first ? &a : &b) += next.n;
        ++*(first ? &tokens_a : &tokens_b);
        *(first ? &ranks_a : &ranks_b) += (uint64_t)l->chunks[next.id].rank;
    }
    bool better = tokens_b < tokens_a || (tokens_b == tokens_a && ranks_b < ranks_a);
    if (!better) return give(l, m.id, 1);
    MT_TRY(give(l, m.second, 1));
    return give(l, m.id, -1);
}

/* A chunk on probation was met between two others (-1: the sentence's edge). */
static mt_status meet(lexicon *l, int32_t id, int32_t before, int32_t after) {
    chunk *c = &l->chunks[id];
    if (!c->until || c->rank < 0) return MT_OK;
    int32_t old_before = c->before, old_after = c->after;
    c->before = before;
    c->after = after;
    if (old_before == -2) return MT_OK;
    if (before >= 0 && before == old_before) return memorize_two(l, before, id);
    if (after >= 0 && after == old_after) return memorize_two(l, id, after);
    c->until = 0;
    return give(l, id, 1);
}

static mt_status read_sentence(lexicon *l, mt_str s, mt_ids *chunks) {
    double alpha = l->o->memorize > 0 ? l->o->memorize : 0.25;
    chunks->len = 0;
    int32_t previous = -1;
    for (size_t at = 0; at < s.n;) {
        match m = longest(l, s, at);
        if (m.id < 0) {
            m.n = symbol_size(s, at);
            MT_TRY(memorize(l, (mt_str){s.p + at, m.n}, false, &m.id));
        }
        if (l->chunks[m.id].symbols > 1 && m.second >= 0) MT_TRY(evaluate(l, s, at, m));
        if (previous >= 0 && mt_rng_double(&l->rng) < alpha) MT_TRY(memorize_two(l, previous, m.id));
        MT_TRY(mt_ids_add(chunks, m.id, l->err));
        previous = m.id;
        at += m.n;
    }
    for (size_t i = 0; i < chunks->len; i++)
        MT_TRY(meet(l, chunks->data[i], i ? chunks->data[i - 1] : -1, i + 1 < chunks->len ? chunks->data[i + 1] : -1));
    return MT_OK;
}

/* ---- the end of a step ---- */

/* The list while chunks move in it: a tree in the order of the ranks, so that a move costs the logarithm of the list's
 * length. Random by size (Martinez & Roura 1998). Node i + 1 is the chunk that had rank i when the step ended; node 0
 * is none. */
typedef struct order {
    struct place {
        uint32_t left, right, above, size;
    } *at;
    mt_rng rng;
    uint32_t root;
} order;

static uint32_t hang(order *t, uint32_t x, uint32_t left, uint32_t right) {
    struct place *at = t->at;
    at[x] = (struct place){left, right, 0, at[left].size + 1 + at[right].size};
    if (left) at[left].above = x;
    if (right) at[right].above = x;
    return x;
}

static uint32_t balanced(order *t, uint32_t from, uint32_t to) {
    if (from == to) return 0;
    uint32_t middle = from + (to - from) / 2, left = balanced(t, from, middle);
    return hang(t, middle, left, balanced(t, middle + 1, to));
}

static uint32_t join(order *t, uint32_t a, uint32_t b) {
    if (!a || !b) return a | b;
    double all = (double)t->at[a].size + t->at[b].size;
    if (mt_rng_double(&t->rng) * all < t->at[a].size) return hang(t, a, t->at[a].left, join(t, t->at[a].right, b));
    return hang(t, b, join(t, a, t->at[b].left), t->at[b].right);
}

/* The first n of x's tree, and the others */
static void cut(order *t, uint32_t x, uint32_t n, uint32_t *first, uint32_t *rest) {
    if (!x) {
        *first = *rest = 0;
        return;
    }
    uint32_t left = t->at[x].left, right = t->at[x].right, part;
    if (n <= t->at[left].size) {
        cut(t, left, n, first, &part);
        *rest = hang(t, x, part, right);
        t->at[*first].above = 0;
    } else {
        cut(t, right, n - t->at[left].size - 1, &part, rest);
        *first = hang(t, x, left, part);
        t->at[*rest].above = 0;
    }
}

static uint32_t rank_of(const order *t, uint32_t x) {
    uint32_t rank = t->at[t->at[x].left].size;
    for (uint32_t up; (up = t->at[x].above); x = up)
        if (t->at[up].right == x) rank += t->at[t->at[up].left].size + 1;
    return rank;
}

static void move(lexicon *l, order *t, int32_t id, bool forward) {
    chunk *c = &l->chunks[id];
    if (c->rank < 0) return;
    uint32_t x = (uint32_t)c->rank + 1, rank = rank_of(t, x), len = t->at[t->root].size, before, after, self;
    uint64_t by = 1 + (uint64_t)((l->o->move > 0 ? l->o->move : 0.1) * (double)rank), to;
    cut(t, t->root, rank, &before, &after);
    cut(t, after, 1, &self, &after);
    t->root = join(t, before, after);
    if (forward)
        to = rank > by ? rank - by : 0;
    else if ((to = rank + by) >= len) { /* off the tail */
        c->rank = -1;
        return;
    }
    cut(t, t->root, (uint32_t)to, &before, &after);
    t->root = join(t, join(t, before, self), after);
}

static void write_down(const order *t, uint32_t x, const int32_t *old, mt_ids *list) {
    if (!x) return;
    write_down(t, t->at[x].left, old, list);
    list->data[list->len++] = old[x - 1];
    write_down(t, t->at[x].right, old, list);
}

/* Rewarded chunks go forward, punished ones back, one after the other. */
static mt_status move_all(lexicon *l) {
    if (!l->moved.len) return MT_OK;
    size_t n = l->list.len;
    order t = {.at = mt_array(n + 1, sizeof *t.at)};
    int32_t *old = mt_array(n, sizeof *old);
    mt_status status = MT_OK;
    if (!t.at || !old) {
        status = mt_nomem(l->err, n * (sizeof *t.at + sizeof *old), "the lexicon's order");
        goto done;
    }
    mt_rng_seed(&t.rng, l->o->seed + (uint64_t)l->step);
    t.at[0] = (struct place){0};
    t.root = balanced(&t, 1, (uint32_t)n + 1);
    for (size_t i = 0; i < l->moved.len; i++) {
        chunk *c = &l->chunks[l->moved.data[i]];
        if (c->score) move(l, &t, l->moved.data[i], c->score > 0);
        c->score = 0;
        c->listed = false;
    }
    l->moved.len = 0;
    if (n) memcpy(old, l->list.data, n * sizeof *old);
    l->list.len = 0;
    write_down(&t, t.root, old, &l->list);
done:
    mt_free(t.at);
    mt_free(old);
    return status;
}

static mt_status end_step(lexicon *l) {
    MT_TRY(move_all(l));
    /* forget the expired, keep the others' order */
    size_t kept = 0;
    for (size_t i = 0; i < l->tried.len; i++) {
        int32_t id = l->tried.data[i];
        chunk *c = &l->chunks[id];
        if (c->rank < 0 || !c->until) continue;
        if (c->until <= l->step)
            c->rank = -1;
        else
            l->tried.data[kept++] = id;
    }
    l->tried.len = kept;
    kept = 0;
    size_t most = l->o->most > 0 ? (size_t)l->o->most : SIZE_MAX;
    for (size_t i = 0; i < l->list.len; i++) {
        int32_t id = l->list.data[i];
        if (l->chunks[id].rank < 0) continue;
        if (kept >= most) {
            l->chunks[id].rank = -1;
            continue;
        }
        l->chunks[id].rank = (int32_t)kept;
        l->list.data[kept++] = id;
    }
    l->list.len = kept;
    double share = l->o->worst > 0 ? l->o->worst : 1e-4;
    size_t worst = (size_t)(share * (double)kept);
    for (size_t i = kept - (worst < kept ? worst : kept); i < kept; i++) {
        chunk *c = &l->chunks[l->list.data[i]];
        if (c->until || c->symbols < 2) continue;
        c->until = l->step + (l->o->probation > 0 ? l->o->probation : 10);
        c->before = c->after = -2;
        MT_TRY(mt_ids_add(&l->tried, l->list.data[i], l->err));
    }
    return MT_OK;
}

mt_status mt_train_lib(const mt_str *sentence, size_t count, const mt_lib_options *o, mt_vocabulary *out,
                       mt_error *err) {
    *out = (mt_vocabulary){0};
    if (o->steps < 1) return mt_fail(err, MT_ERANGE, "%d steps, expected at least 1", o->steps);
    lexicon l = {.o = o, .err = err};
    mt_rng_seed(&l.rng, o->seed);
    mt_ids chunks = {0};
    mt_status status = MT_OK;
    size_t article = o->article > 0 ? (size_t)o->article : 500, at = 0;
    for (l.step = 1; l.step <= o->steps && count; l.step++) {
        for (size_t i = 0; i < article && i < count; i++, at = at + 1 < count ? at + 1 : 0)
            MT_TRY_GOTO(read_sentence(&l, sentence[at], &chunks), done);
        MT_TRY_GOTO(end_step(&l), done);
        if (o->progress && o->progress(o->user, (uint64_t)l.step, (uint64_t)o->steps)) {
            status = mt_fail(err, MT_EABORTED, "training was stopped after %d steps", l.step);
            goto done;
        }
    }
    for (size_t i = 0; i < l.list.len; i++) {
        int32_t id;
        MT_TRY_GOTO(mt_vocabulary_add(out, l.all.token[l.list.data[i]], &id, err), done);
    }
done:
    mt_vocabulary_free(&l.all);
    mt_trie_free(&l.trie);
    mt_free(l.chunks);
    mt_ids_free(&l.list);
    mt_ids_free(&l.moved);
    mt_ids_free(&l.tried);
    mt_ids_free(&chunks);
    if (status != MT_OK) mt_vocabulary_free(out);
    return status;
}
