/* Attention through the cache: gradients against differences. */
#include "grad_common.h"

/* What a case has of everything. */
typedef struct shape {
    const char *name;
    int32_t B, T, H, G, E, EV, window;
    bool softcap, alibi, sink, tree;
} shape;

static const shape shapes[] = {
    {"one row", 1, 1, 1, 1, 3, 3, 0, false, false, false, false},
    {"width 1", 2, 3, 2, 2, 1, 1, 0, false, false, false, false},
    {"sequences", 3, 5, 2, 2, 4, 4, 0, false, false, false, false},
    {"odd widths, shared key heads", 2, 7, 6, 2, 5, 3, 0, false, false, false, false},
    {"heads that do not divide", 1, 4, 5, 2, 4, 2, 0, false, false, false, false},
    {"a window", 2, 9, 2, 1, 4, 4, 3, false, false, false, false},
    {"softcap", 2, 6, 2, 2, 4, 4, 0, true, false, false, false},
    {"ALiBi", 2, 6, 4, 2, 4, 4, 0, false, true, false, false},
    {"sinks", 2, 6, 4, 2, 4, 4, 0, false, false, true, false},
    {"a window with all of it", 2, 9, 4, 2, 9, 11, 4, true, true, true, false},
    {"a tree", 1, 14, 4, 2, 4, 5, 0, false, true, true, true},
    {"two trees", 2, 9, 2, 2, 4, 4, 0, true, false, false, true},
    {"more rows than a block", 1, 45, 2, 1, 4, 4, 0, false, false, true, false},
    {"more slots than a tile", 1, 262, 1, 1, 3, 2, 0, true, true, true, false},
    {"wide heads", 2, 3, 2, 1, 270, 265, 0, false, false, true, false},
};

/* Instead of chains: the row before a row is any earlier one of its sequence, so that what is seen has gaps. */
static void grow_trees(grad_case *c, int32_t B, int32_t T) {
    mt_run *runs = gc_room(c, (size_t)(B * T * T), sizeof *runs);
    int32_t *start = gc_room(c, (size_t)(B * T + 1), sizeof *start), *position = gc_room(c, (size_t)(B * T), 4);
    int32_t parent[64], n = 0;
    for (int32_t i = 0; i < B * T; i++) {
        int32_t t = i % T, path[64], count = 0;
        parent[t] = t == 0 ? -1 : (int32_t)mt_rng_below(&c->rng, (uint64_t)t);
        for (int32_t p = t; p >= 0; p = parent[p]) path[count++] = p;
        position[i] = count - 1;
        for (int32_t k = count; k-- > 0;) {
            if (k < count - 1 && runs[n - 1].start + runs[n - 1].count == i - t + path[k])
                runs[n - 1].count++;
            else
                runs[n++] = (mt_run){i - t + path[k], 1};
        }
        start[i + 1] = n;
    }
    const mt_run **run_sets = gc_room(c, 1, sizeof *run_sets);
    const int32_t **start_sets = gc_room(c, 1, sizeof *start_sets);
    run_sets[0] = runs, start_sets[0] = start;
    c->feed.runs = run_sets, c->feed.run_start = start_sets;
    c->feed.position = c->feed.slot_position = position;
}

/* Slots and columns in another order than rows. */
static void shuffle(grad_case *c) {
    int32_t n = c->feed.T, *to = gc_room(c, (size_t)n, 4), *column = gc_room(c, (size_t)n, 4);
    int32_t *column_slot = gc_room(c, (size_t)n, 4), *position = gc_room(c, (size_t)n, 4);
    for (int32_t i = 0; i < n; i++) to[i] = i;
    for (int32_t i = n - 1; i > 0; i--) {
        int32_t k = (int32_t)mt_rng_below(&c->rng, (uint64_t)i + 1), was = to[i];
        to[i] = to[k], to[k] = was;
    }
    mt_run *runs = gc_room(c, (size_t)n * (size_t)n, sizeof *runs);
    int32_t *start = gc_room(c, (size_t)n + 1, 4), at = 0;
    for (int32_t i = 0; i < n; i++) {
        for (int32_t r = c->feed.run_start[0][i]; r < c->feed.run_start[0][i + 1]; r++)
            for (int32_t s = 0; s < c->feed.runs[0][r].count; s++)
                runs[at++] = (mt_run){to[c->feed.runs[0][r].start + s], 1};
        start[i + 1] = at;
        position[to[i]] = c->feed.slot_position[i];
        column[to[i]] = i;
        column_slot[i] = to[i];
    }
    const mt_run **run_sets = gc_room(c, 1, sizeof *run_sets);
    const int32_t **start_sets = gc_room(c, 1, sizeof *start_sets);
    run_sets[0] = runs, start_sets[0] = start;
    c->feed.runs = run_sets, c->feed.run_start = start_sets;
    c->feed.slot = to, c->feed.slot_position = position, c->feed.column = column, c->feed.column_slot = column_slot;
}

static mt_attention begin(grad_case *c, const shape *s, uint64_t seed) {
    gc_begin_seed(c, seed);
    gc_sequences(c, s->B, s->T, 1, s->G, s->E, s->EV, s->window, 0, 0);
    if (s->tree) grow_trees(c, s->B, s->T);
    return (mt_attention){.kv_heads = s->G,
                          .key_width = s->E,
                          .value_width = s->EV,
                          .scale = 1.2f / sqrtf((float)s->E),
                          .softcap = s->softcap ? 1.5f : 0,
                          .alibi = s->alibi ? gc_leaf(c, 0.5f, 1, s->H) : -1,
                          .sink = s->sink ? gc_leaf(c, 1, 1, s->H) : -1};
}

static int32_t queries(grad_case *c, const shape *s) {
    int32_t n = s->B * s->T, k = gc_leaf(c, 1, 3, n, s->G, s->E), v = gc_leaf(c, 1, 3, n, s->G, s->EV);
    mt_g_kv_store(c->g, k, v, 0);
    return gc_leaf(c, 1, 3, n, s->H, s->E);
}

static void fused(void) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int mixed = 0; mixed < 2; mixed++) {
            const shape *s = &shapes[i];
            grad_case c;
            char name[80];
            mt_attention a = begin(&c, s, i);
            if (mixed) shuffle(&c);
            int32_t q = queries(&c, s);
            if (s->T == 1 && !s->sink) /* its softmax is 1 whatever the score is */
                for (int32_t k = 0; k < c.count; k++)
                    if (k != 1) c.s[k].grad = NULL;
            snprintf(name, sizeof name, "attend: %s%s", s->name, mixed ? ", slots in any order" : "");
            gc_check(&c, name, mt_g_attend(c.g, q, &a));
        }
}

static void in_steps(void) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int mixed = 0; mixed < 2; mixed++) {
            const shape *s = &shapes[i];
            if (s->T == 1) continue;
            grad_case c;
            char name[80];
            mt_attention a = begin(&c, s, i);
            if (mixed) shuffle(&c);
            int32_t q = queries(&c, s), p = mt_g_attn_softmax(c.g, mt_g_scores(c.g, q, &a, c.feed.columns), &a);
            snprintf(name, sizeof name, "in three steps: %s%s", s->name, mixed ? ", slots in any order" : "");
            gc_check(&c, name, mt_g_mix(c.g, p, &a));
        }
    const shape s = {"", 2, 4, 2, 2, 3, 3, 0, true, true, true, false};
    grad_case c;
    mt_attention a = begin(&c, &s, 7);
    int32_t q = queries(&c, &s), p = mt_g_attn_softmax(c.g, mt_g_scores(c.g, q, &a, 8), &a);
    p = mt_g_mul(c.g, p, p);
    gc_check(&c, "a pattern that is changed", mt_g_mix(c.g, p, &a));
    a = begin(&c, &s, 7);
    c.s[0].grad = c.s[1].grad = NULL;
    int32_t k = gc_const(&c, 1, 3, 8, 2, 3), v = gc_leaf(&c, 1, 3, 8, 2, 3);
    mt_g_kv_store(c.g, k, v, 0);
    gc_check(&c, "a pattern of its own: every column counts", mt_g_mix(c.g, gc_leaf(&c, 1, 3, 2, 8, 8), &a));
    a = begin(&c, &s, 7);
    q = queries(&c, &s), p = mt_g_attn_softmax(c.g, mt_g_scores(c.g, q, &a, 8), &a);
    c.s[3].grad = NULL; /* values */
    gc_check(&c, "a loss on the pattern", mt_g_act(c.g, p, MT_ACT_SILU));
}

static void relative_positions(void) {
    for (int both = 0; both < 2; both++) {
        const shape s = {"", 2, 9, 3, 3, 4, 4, 0, false, false, false, false};
        grad_case c;
        mt_attention a = begin(&c, &s, 3);
        int32_t q = queries(&c, &s), x = mt_g_scores(c.g, q, &a, c.feed.columns);
        /* Buckets: 0 1 2, those shared by distance, the last one for all that is far. */
        x = mt_g_attn_softmax(c.g, mt_g_add_relative(c.g, x, gc_weight(&c, both ? 12 : 6, 3), 8, both), &a);
        gc_check(&c, both ? "a table by relative position, both ways" : "a table by relative position",
                 mt_g_mix(c.g, x, &a));
    }
    for (int with = 0; with < 9; with++) { /* to, from or both; sinusoids, buckets, every distance its own */
        const shape s = {"", 2, 6, 2, 2, 3, 3, 0, false, false, false, false};
        static const int32_t rows[3] = {11, 8, 12}, sides[3] = {1, 2, 3};
        grad_case c;
        char name[80];
        mt_attention a = begin(&c, &s, 4);
        mt_relation relation = with / 3 ? MT_RELATION_BUCKETS : MT_RELATION_SINUSOID;
        int32_t n = rows[with / 3], q = queries(&c, &s), x = mt_g_scores(c.g, q, &a, c.feed.columns);
        int32_t to = sides[with % 3] & 1 ? gc_leaf(&c, 1, 2, n, 6) : -1;
        int32_t from = sides[with % 3] & 2 ? gc_leaf(&c, 1, 2, n, 6) : -1;
        x = mt_g_add_relation(c.g, x, q, to, from, &a, relation, with / 3 == 1 ? 4 : 0, 9);
        snprintf(name, sizeof name, "products with relative positions, flags %d", with);
        gc_check(&c, name, mt_g_mix(c.g, mt_g_attn_softmax(c.g, x, &a), &a));
    }
}

static void other_caches(void) {
    const shape s = {"", 2, 4, 4, 2, 3, 5, 0, false, false, true, false};
    for (int steps = 0; steps < 2; steps++) { /* what an encoder said is the same for all rows */
        enum { MEMORY = 300 };
        grad_case c;
        mt_attention a = begin(&c, &s, 5);
        a.runs = MT_RUNS_MEMORY;
        float **k = gc_room(&c, 1, sizeof *k), **v = gc_room(&c, 1, sizeof *v);
        gc_const(&c, 1, 3, 2, MEMORY, 3), *k = gc_values(&c);
        gc_const(&c, 1, 3, 2, MEMORY, 5), *v = gc_values(&c);
        mt_run *runs = gc_room(&c, 8, sizeof *runs);
        int32_t *identity = gc_room(&c, MEMORY + 1, 4);
        for (int32_t i = 0; i <= MEMORY; i++) identity[i] = i;
        for (int32_t i = 0; i < 8; i++) runs[i] = (mt_run){0, MEMORY};
        c.feed.memory_k = k, c.feed.memory_v = v, c.feed.memory = c.feed.memory_columns = MEMORY;
        c.feed.memory_runs = runs, c.feed.identity = identity;
        int32_t q = gc_leaf(&c, 1, 3, 8, 4, 3);
        if (steps) {
            int32_t p = mt_g_attn_softmax(c.g, mt_g_scores(c.g, q, &a, MEMORY), &a);
            gc_check(&c, "an encoder's rows, in steps", mt_g_mix(c.g, p, &a));
        } else {
            gc_check(&c, "an encoder's rows", mt_g_attend(c.g, q, &a));
        }
    }
    for (int steps = 0; steps < 2; steps++) { /* keys and values of an encoder that is trained with it */
        enum { SOURCE = 37, ROWS = 40 };
        grad_case c;
        gc_begin(&c);
        gc_sequences(&c, 1, SOURCE, 1, 2, 3, 5, 0, 0, 0);
        c.source_feed = c.feed;
        gc_sequences(&c, 1, ROWS, 1, 2, 3, 5, 0, 0, 0);
        mt_run *runs = gc_room(&c, ROWS, sizeof *runs);
        int32_t *identity = gc_room(&c, ROWS + 1, 4);
        for (int32_t i = 0; i <= ROWS; i++) identity[i] = i;
        for (int32_t i = 0; i < ROWS; i++) runs[i] = (mt_run){0, SOURCE};
        c.feed.memory_k = (float *const *)c.source_feed.k, c.feed.memory_v = (float *const *)c.source_feed.v;
        c.feed.memory = c.feed.memory_columns = SOURCE, c.feed.memory_runs = runs, c.feed.identity = identity;
        mt_g_kv_store(c.g, gc_leaf(&c, 1, 3, SOURCE, 2, 3), gc_leaf(&c, 1, 3, SOURCE, 2, 5), 0);
        c.source = c.g->count;
        mt_g_kv_store(c.g, gc_const(&c, 1, 3, ROWS, 2, 3), gc_const(&c, 1, 3, ROWS, 2, 5), 0);
        mt_attention a = {.runs = MT_RUNS_MEMORY, .kv_heads = 2, .key_width = 3, .value_width = 5, .scale = 0.7f};
        a.alibi = a.sink = -1;
        int32_t q = gc_leaf(&c, 1, 3, ROWS, 4, 3);
        if (steps) {
            int32_t p = mt_g_attn_softmax(c.g, mt_g_scores(c.g, q, &a, SOURCE), &a);
            gc_check(&c, "a trained encoder's rows, in steps", mt_g_mix(c.g, p, &a));
        } else {
            gc_check(&c, "a trained encoder's rows", mt_g_attend(c.g, q, &a));
        }
    }
    for (int trained = 0; trained < 3; trained++) { /* q, k or v alone */
        static const char *const names[] = {"only the keys", "only the values", "only the queries"};
        grad_case c;
        mt_attention a = begin(&c, &s, 6);
        int32_t q = queries(&c, &s);
        for (int32_t i = 0; i < c.count; i++)
            if (i != trained + 1) c.s[i].grad = NULL;
        gc_check(&c, names[trained], mt_g_attend(c.g, q, &a));
    }
    {
        grad_case c;
        mt_attention a = begin(&c, &s, 6);
        int32_t q = queries(&c, &s), x = mt_g_attend(c.g, q, &a), y = mt_g_attend(c.g, mt_g_scale(c.g, q, 0.5f), &a);
        gc_check(&c, "a cache that is read twice", mt_g_mul(c.g, x, y));
        a = begin(&c, &s, 6); /* the first half of the cache was there before */
        mt_run *runs = gc_room(&c, 4, sizeof *runs);
        for (int32_t i = 0; i < 4; i++) runs[i] = (mt_run){0, 5 + i};
        int32_t *slot = gc_room(&c, 4, 4);
        for (int32_t i = 0; i < 4; i++) slot[i] = 4 + i;
        for (size_t i = 0; i < 48; i++) ((float *)c.feed.k[0])[i] = ((float *)c.feed.v[0])[i] = (float)i / 50;
        const mt_run **sets = gc_room(&c, 1, sizeof *sets);
        sets[0] = runs;
        c.feed.T = 4, c.feed.runs = sets, c.feed.slot = slot;
        int32_t k = gc_leaf(&c, 1, 3, 4, 2, 3), v = gc_leaf(&c, 1, 3, 4, 2, 5);
        mt_g_kv_store(c.g, k, v, 0);
        gc_check(&c, "after tokens that are in the cache", mt_g_attend(c.g, gc_leaf(&c, 1, 3, 4, 4, 3), &a));
        a = begin(&c, &s, 6); /* a row that sees nothing */
        int32_t *start = gc_room(&c, 9, 4), seen = 0;
        mt_run *some = gc_room(&c, 8, sizeof *some);
        for (int32_t i = 0; i < 8; i++) {
            if (i > 1 && i != 6) some[seen++] = c.feed.runs[0][i];
            start[i + 1] = seen;
        }
        const int32_t **starts = gc_room(&c, 1, sizeof *starts);
        const mt_run **some_sets = gc_room(&c, 1, sizeof *some_sets);
        starts[0] = start, some_sets[0] = some;
        c.feed.runs = some_sets;
        c.feed.run_start = starts;
        gc_check(&c, "rows that see nothing", mt_g_attend(c.g, queries(&c, &s), &a));
    }
}

/* Large enough for the pool, in every form. */
static void threads(void) {
    CASE("threads change nothing");
    const shape s = {"", 4, 40, 4, 2, 8, 8, 0, true, true, true, false};
    float *found[3] = {0};
    for (int threads = 1; threads <= 3; threads++) {
        grad_case c;
        mt_error err;
        mt_pool *pool = NULL;
        mt_attention a = begin(&c, &s, 8);
        CHECK_OK(mt_pool_new(threads, &pool, &err));
        int32_t q = queries(&c, &s), x = mt_g_attend(c.g, q, &a), p = mt_g_scores(c.g, q, &a, c.feed.columns);
        p = mt_g_attn_softmax(c.g, mt_g_add_relative(c.g, p, gc_weight(&c, 8, 4), 20, false), &a);
        x = mt_g_add(c.g, x, mt_g_mix(c.g, p, &a));
        mt_tape *t = NULL;
        CHECK_OK(mt_tape_new(c.g, &(mt_tape_options){.loss = x, .grad = gc_grad_of, .arg = &c, .slots = c.feed.slots},
                             &t, &err));
        float *scratch = mt_alloc_aligned(mt_tape_scratch(t) * sizeof(float), 64);
        mt_tape_forward(t, pool, scratch, &c.feed);
        mt_tape_backward(t, pool, scratch, &c.feed);
        size_t count = 0;
        for (int32_t i = 0; i < c.count; i++) count += c.s[i].grad ? c.s[i].count : 0;
        float *all = found[threads - 1] = mt_calloc(count, sizeof *all);
        for (int32_t i = 0; i < c.count; i++)
            if (c.s[i].grad) memcpy(all, c.s[i].grad, c.s[i].count * sizeof *all), all += c.s[i].count;
        CHECK(memcmp(found[0], found[threads - 1], count * sizeof *all) == 0, "%d threads", threads);
        mt_free_aligned(scratch);
        mt_tape_free(t);
        mt_pool_free(pool);
        gc_end(&c);
    }
    for (int i = 0; i < 3; i++) mt_free(found[i]);
}

int main(void) {
    fused();
    in_steps();
    relative_positions();
    other_caches();
    threads();
    CASE("nothing leaks");
    CHECK(mt_live_allocations() == 0, "%zu allocations", mt_live_allocations());
    return test_end();
}
