/* The tape itself: orders and places of a run forward and backward. Gradients of whole graphs against differences, and
 * with segments, in parts and again after a stop against the plain run, to the last bit. The memory of every run holds
 * NaN before. */
#include "grad_common.h"

typedef struct found {
    float *grad;
    size_t count, scratch;
} found;

static float *nan_scratch(const mt_tape *t) {
    size_t n = mt_tape_scratch(t);
    float *p = mt_alloc_aligned(n * sizeof *p, 64);
    for (size_t i = 0; p && i < n; i++) p[i] = NAN;
    return p;
}

static void clear(grad_case *c) {
    for (int32_t i = 0; i < c->count; i++)
        if (c->s[i].grad) memset(c->s[i].grad, 0, c->s[i].count * sizeof(float));
}

/* All gradients behind each other. */
static found collect(grad_case *c, const mt_tape *t) {
    found f = {.scratch = mt_tape_scratch(t)};
    for (int32_t i = 0; i < c->count; i++) f.count += c->s[i].grad ? c->s[i].count : 0;
    float *to = f.grad = mt_calloc(f.count, sizeof *to);
    for (int32_t i = 0; i < c->count; i++)
        if (c->s[i].grad) memcpy(to, c->s[i].grad, c->s[i].count * sizeof *to), to += c->s[i].count;
    return f;
}

static mt_tape *tape_of(grad_case *c, int32_t loss, int32_t segments) {
    mt_tape *t = NULL;
    mt_error err;
    CHECK_OK(mt_tape_new(
        c->g,
        &(mt_tape_options){.loss = loss, .grad = gc_grad_of, .arg = c, .segments = segments, .slots = c->feed.slots},
        &t, &err));
    return t;
}

static found run(grad_case *c, int32_t loss, int32_t segments) {
    mt_tape *t = tape_of(c, loss, segments);
    float *scratch = nan_scratch(t);
    clear(c);
    mt_tape_forward(t, c->pool, scratch, &c->feed);
    mt_tape_backward(t, c->pool, scratch, &c->feed);
    found f = collect(c, t);
    mt_free_aligned(scratch);
    mt_tape_free(t);
    return f;
}

static void same(const found *a, const found *b, const char *what) {
    CHECK(memcmp(a->grad, b->grad, a->count * sizeof *a->grad) == 0, "%s: other gradients", what);
    double sum = 0;
    for (size_t i = 0; i < a->count; i++) sum += fabs(a->grad[i]);
    CHECK(sum > 0 && isfinite(sum), "%s: the sum is %g", what, sum);
}

/* ---- graphs ---- */

static int32_t vector(grad_case *c, int32_t n) {
    return gc_leaf(c, 1, 1, n);
}

enum { BLOCKS = 6, ROWS = 10, WIDTH = 8, HEADS = 2, VOCAB = 11 };

/* A transformer, with attention through the cache. */
static int32_t transformer(grad_case *c, bool steps) {
    gc_sequences(c, 2, ROWS / 2, 1, HEADS, WIDTH / HEADS, WIDTH / HEADS, 0, VOCAB, 0);
    void **k = gc_room(c, BLOCKS, sizeof *k), **v = gc_room(c, BLOCKS, sizeof *v);
    for (int l = 0; l < BLOCKS; l++) {
        k[l] = gc_room(c, ROWS * WIDTH, sizeof(float));
        v[l] = gc_room(c, ROWS * WIDTH, sizeof(float));
    }
    c->feed.k = k, c->feed.v = v;
    const int32_t heads[3] = {ROWS, HEADS, WIDTH / HEADS};
    int32_t gain = vector(c, WIDTH); /* one for all */
    int32_t x = mt_g_embed(c->g, gc_weight(c, VOCAB, WIDTH), ROWS, 1.5f);
    int32_t qkv = gc_weight(c, 3 * WIDTH, WIDTH), out = gc_weight(c, WIDTH, WIDTH), up = gc_weight(c, 2 * WIDTH, WIDTH),
            down = gc_weight(c, WIDTH, 2 * WIDTH), bias = vector(c, WIDTH);
    for (int32_t l = 0; l < BLOCKS; l++) {
        mt_attention a = {.layer = l, .kv_heads = HEADS, .key_width = WIDTH / HEADS, .value_width = WIDTH / HEADS};
        a.scale = 0.5f, a.alibi = a.sink = -1;
        int32_t y = mt_g_matmul(c->g, mt_g_rms_norm(c->g, x, gain, 0.1f), qkv, -1), part[3];
        for (int32_t i = 0; i < 3; i++) part[i] = mt_g_view(c->g, mt_g_slice(c->g, y, i * WIDTH, WIDTH), 3, heads);
        mt_g_kv_store(c->g, part[1], part[2], l);
        if (steps)
            y = mt_g_mix(c->g, mt_g_attn_softmax(c->g, mt_g_scores(c->g, part[0], &a, c->feed.columns), &a), &a);
        else
            y = mt_g_attend(c->g, part[0], &a);
        x = mt_g_add(c->g, x, mt_g_matmul(c->g, y, out, bias));
        y = mt_g_act(c->g, mt_g_matmul(c->g, mt_g_rms_norm(c->g, x, gain, 0.1f), up, -1), MT_ACT_GELU_TANH);
        x = mt_g_add(c->g, x, mt_g_matmul(c->g, y, down, -1));
    }
    return x;
}

static int32_t summed(grad_case *c, int32_t x) {
    const mt_node *n = &c->g->nodes[x];
    return mt_g_mul(c->g, x, mt_g_leaf(c->g, gc_storage_of(c, mt_node_elements(n), 1, false), n->n_dims, n->dims));
}

/* Recurrent cells: what they leave in their rooms is needed on the way back. */
static int32_t recurrent(grad_case *c) {
    gc_sequences(c, 2, ROWS / 2, 2, 1, 1, 1, 0, VOCAB, 4 * WIDTH);
    static mt_cell lstm = {.kind = MT_CELL_LSTM}, gru = {.kind = MT_CELL_GRU};
    int32_t x = mt_g_embed(c->g, gc_weight(c, VOCAB, WIDTH), ROWS, 1);
    for (int32_t l = 0; l < BLOCKS; l++) {
        int32_t gates = l % 2 ? 3 : 4;
        int32_t u = mt_g_matmul(c->g, x, gc_weight(c, gates * WIDTH, WIDTH), -1),
                room = mt_g_room(c->g, ROWS, gates * WIDTH);
        int32_t inner = mt_g_room(c->g, ROWS, WIDTH);
        x = mt_g_cell(c->g, u, gc_weight(c, gates * WIDTH, WIDTH), room, inner, l % 2 ? &gru : &lstm, l % 2, 0);
    }
    return x;
}

/* Chains of random operations on one shape, which branch and join. */
static int32_t random_graph(grad_case *c, int32_t count) {
    int32_t node[64];
    for (int i = 0; i < 3; i++) node[i] = gc_leaf(c, 1, 2, ROWS, WIDTH);
    int32_t share = vector(c, WIDTH), row = vector(c, WIDTH);
    for (int32_t i = 3; i < count; i++) {
        int32_t a = node[i - 1 - (int32_t)mt_rng_below(&c->rng, 3)], b = node[mt_rng_below(&c->rng, (uint64_t)i)];
        switch (mt_rng_below(&c->rng, 9)) {
        case 0:
            node[i] = mt_g_add(c->g, a, b);
            break;
        case 1:
            node[i] = mt_g_act(c->g, mt_g_mul(c->g, a, b), MT_ACT_TANH);
            break;
        case 2:
            node[i] = mt_g_copy(c->g, a);
            break;
        case 3:
            node[i] = mt_g_view(c->g, mt_g_copy(c->g, mt_g_view(c->g, a, 3, (int32_t[]){ROWS / 2, 2, WIDTH})), 2,
                                (int32_t[]){ROWS, WIDTH});
            break;
        case 4:
            node[i] = mt_g_lerp(c->g, a, b, share);
            break;
        case 5:
            node[i] = mt_g_layer_norm(c->g, a, -1, row, 0.5f);
            break;
        case 6:
            node[i] = mt_g_norm_apply(c->g, a, mt_g_norm_scale(c->g, b, true, 0.5f), true, row, -1);
            break;
        case 7:
            node[i] = mt_g_softcap(c->g, mt_g_scale(c->g, a, 0.9f), 2);
            break;
        default:
            node[i] = mt_g_act(c->g, mt_g_add_row(c->g, a, share), MT_ACT_SILU);
        }
        if (mt_rng_below(&c->rng, 8) == 0) c->g->nodes[node[i]].kept = true;
        if (mt_rng_below(&c->rng, 8) == 0) c->g->nodes[node[i]].keep_grad = true;
    }
    return mt_g_add(c->g, node[count - 1], mt_g_scale(c->g, mt_g_add_row(c->g, node[count - 2], row), 0.3f));
}

/* ---- what is checked ---- */

static void differences(void) {
    grad_case c;
    gc_begin(&c);
    int32_t x = gc_leaf(&c, 1, 2, 3, 4), y = gc_leaf(&c, 1, 2, 3, 4);
    gc_check(&c, "an input used twice", mt_g_add(c.g, mt_g_mul(c.g, x, y), mt_g_scale(c.g, x, 3)));
    gc_begin(&c);
    x = mt_g_scale(c.g, gc_leaf(&c, 1, 2, 3, 4), 2), y = mt_g_copy(c.g, x);
    y = mt_g_mul(c.g, mt_g_view(c.g, y, 2, (int32_t[]){4, 3}), mt_g_view(c.g, x, 2, (int32_t[]){4, 3}));
    gc_check(&c, "copies that share a place", mt_g_add(c.g, y, mt_g_view(c.g, x, 2, (int32_t[]){4, 3})));
    gc_begin(&c);
    x = gc_leaf(&c, 1, 2, 3, 4);
    gc_check(&c, "a copy of a leaf", mt_g_copy(c.g, x));
    gc_begin(&c);
    x = gc_leaf(&c, 1, 2, 3, 4);
    y = mt_g_add(c.g, mt_g_scale(c.g, x, 2), mt_g_stop(c.g, mt_g_act(c.g, gc_const(&c, 1, 2, 3, 4), MT_ACT_TANH)));
    gc_check(&c, "beside something that is not trained", y);
    for (int32_t segments = -1; segments < 4; segments++) {
        char name[80];
        for (int steps = 0; steps < 2; steps++) {
            gc_begin(&c);
            c.segments = segments;
            snprintf(name, sizeof name, "a transformer%s, segments %d", steps ? " in steps" : "", segments);
            gc_check(&c, name, transformer(&c, steps));
        }
        gc_begin(&c);
        c.segments = segments;
        snprintf(name, sizeof name, "recurrent cells, segments %d", segments);
        gc_check(&c, name, recurrent(&c));
    }
}

static void segments(void) {
    enum { KINDS = 3, ROUNDS = 40 };
    for (int round = 0; round < ROUNDS + KINDS; round++) {
        grad_case c;
        char name[80];
        snprintf(name, sizeof name, "segments give the same gradients, graph %d", round);
        case_begin(name);
        gc_begin_seed(&c, (uint64_t)round);
        int32_t loss = round == 0   ? transformer(&c, false)
                       : round == 1 ? transformer(&c, true)
                       : round == 2 ? recurrent(&c)
                                    : random_graph(&c, 24);
        loss = summed(&c, loss);
        found plain = run(&c, loss, 0);
        for (int32_t segments = -1; segments < 9; segments++) {
            found other = run(&c, loss, segments);
            snprintf(name, sizeof name, "%d segments", segments);
            same(&plain, &other, name);
            if (round < KINDS && segments != 0 && segments != 1)
                CHECK(other.scratch < plain.scratch, "%d segments: %zu floats, without %zu", segments, other.scratch,
                      plain.scratch);
            mt_free(other.grad);
        }
        case_end();
        mt_free(plain.grad);
        gc_end(&c);
    }
}

static void parts(void) {
    CASE("a run in parts, one that was stopped, and two tapes of one graph");
    grad_case c;
    gc_begin(&c);
    int32_t loss = summed(&c, transformer(&c, false));
    found plain = run(&c, loss, 0);
    mt_tape *t = tape_of(&c, loss, 3), *small = tape_of(&c, loss, -1), *first = tape_of(&c, loss, 0);
    float *scratch = nan_scratch(t), *others = nan_scratch(small), *firsts = nan_scratch(first);
    int32_t steps = mt_tape_steps(t);
    for (int32_t step = 1; step <= steps; step += 7) {
        clear(&c);
        for (int32_t s = 0; s < steps; s += step)
            mt_tape_run(t, s, s + step < steps ? s + step : steps, NULL, scratch, &c.feed);
        found other = collect(&c, t);
        same(&plain, &other, "in parts");
        mt_free(other.grad);
        mt_tape_run(t, 0, step, NULL, scratch, &c.feed); /* the next begins in the middle of this one */
        mt_tape_run(small, 0, mt_tape_steps(small) - step / 2, NULL, others, &c.feed);
        clear(&c);
        mt_tape_forward(small, NULL, others, &c.feed);
        mt_tape_backward(small, NULL, others, &c.feed);
        other = collect(&c, small);
        same(&plain, &other, "after a stop");
        mt_free(other.grad);
        clear(&c);
        mt_tape_forward(first, NULL, firsts, &c.feed);
        mt_tape_backward(first, NULL, firsts, &c.feed);
        other = collect(&c, first);
        same(&plain, &other, "the first of three tapes");
        mt_free(other.grad);
    }
    mt_free_aligned(scratch);
    mt_free_aligned(others);
    mt_free_aligned(firsts);
    mt_tape_free(t);
    mt_tape_free(small);
    mt_tape_free(first);
    mt_free(plain.grad);
    gc_end(&c);
}

/* loss = sum of 2 tanh(x): the gradient by tanh(x) is 2, by x 2 (1 - tanh^2 x). */
static void kept_gradients(void) {
    CASE("gradients that are kept");
    grad_case c;
    gc_begin(&c);
    int32_t leaf = gc_leaf(&c, 1, 2, 5, 3), x = mt_g_copy(c.g, leaf), y = mt_g_act(c.g, x, MT_ACT_TANH);
    int32_t view = mt_g_view(c.g, y, 2, (int32_t[]){3, 5}), stop = mt_g_stop(c.g, y), aside = mt_g_scale(c.g, y, 3);
    int32_t loss = mt_g_scale(c.g, mt_g_add(c.g, view, stop), 2);
    const int32_t kept[] = {x, y, view, stop, aside, loss};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) c.g->nodes[kept[i]].keep_grad = true;
    c.g->nodes[y].kept = true;
    for (int32_t segments = 0; segments < 4; segments++) {
        mt_tape *t = tape_of(&c, loss, segments);
        float *scratch = nan_scratch(t);
        mt_tape_forward(t, NULL, scratch, &c.feed);
        mt_tape_backward(t, NULL, scratch, &c.feed);
        const float *value = mt_node_value(&c.g->nodes[y], scratch, &c.feed);
        const float *dx = mt_tape_grad(t, scratch, x), *dy = mt_tape_grad(t, scratch, y);
        const float *dview = mt_tape_grad(t, scratch, view), *dstop = mt_tape_grad(t, scratch, stop);
        const float *dloss = mt_tape_grad(t, scratch, loss);
        CHECK(dx && dy && dview && dstop && dloss, "some are missing");
        CHECK(!mt_tape_grad(t, scratch, aside) && !mt_tape_grad(t, scratch, leaf), "what the loss does not depend on");
        for (int i = 0; dx && i < 15; i++) {
            CHECK(dloss[i] == 1 && dstop[i] == 2 && dview[i] == 2 && dy[i] == 2, "element %d", i);
            CHECK(fabs(dx[i] - 2 * (1 - value[i] * value[i])) < 1e-12, "element %d: %g", i, dx[i]);
        }
        mt_free_aligned(scratch);
        mt_tape_free(t);
    }
    gc_end(&c);

    CASE("the gradient of a pattern, also where nothing is seen");
    gc_begin(&c);
    gc_sequences(&c, 1, 3, 1, 1, 1, 1, 0, 0, 0);
    mt_attention a = {.kv_heads = 1, .key_width = 1, .value_width = 1, .scale = 1, .alibi = -1, .sink = -1};
    int32_t v = gc_leaf(&c, 1, 3, 3, 1, 1);
    const float *values = gc_values(&c);
    mt_g_kv_store(c.g, gc_leaf(&c, 1, 3, 3, 1, 1), v, 0);
    int32_t pattern = mt_g_attn_softmax(c.g, mt_g_scores(c.g, gc_leaf(&c, 1, 3, 3, 1, 1), &a, 3), &a);
    loss = mt_g_mix(c.g, pattern, &a);
    c.g->nodes[pattern].keep_grad = true;
    mt_tape *t = tape_of(&c, loss, 0);
    float *scratch = nan_scratch(t);
    mt_tape_forward(t, NULL, scratch, &c.feed);
    mt_tape_backward(t, NULL, scratch, &c.feed);
    const float *d = mt_tape_grad(t, scratch, pattern);
    for (int i = 0; i < 9; i++) CHECK(d && d[i] == values[i % 3], "element %d", i);
    mt_free_aligned(scratch);
    mt_tape_free(t);
    gc_end(&c);
}

static void add_one(void *arg, const mt_node *node, float *value, size_t from, size_t to) {
    (void)node;
    for (size_t i = from; i < to; i++) value[i] += 1;
    ++*(int *)arg;
}

/* A patch that adds a constant: gradients are taken where it led to. */
static void patches(void) {
    CASE("patched nodes");
    grad_case c;
    gc_begin(&c);
    int calls = 0;
    c.feed.patch = add_one, c.feed.patch_arg = &calls;
    int32_t leaf = gc_leaf(&c, 1, 2, 5, 3), x = mt_g_copy(c.g, mt_g_scale(c.g, leaf, 0.5f));
    const float *values = gc_values(&c);
    c.g->nodes[x].patched = true;
    int32_t y = mt_g_add(c.g, mt_g_act(c.g, x, MT_ACT_RELU2), mt_g_scale(c.g, x, 3));
    for (int32_t i = 0; i < 8; i++) y = mt_g_scale(c.g, mt_g_copy(c.g, y), i % 2 ? 2 : 0.5f);
    for (int32_t segments = 0; segments < 4; segments++) {
        found f = run(&c, y, segments);
        for (size_t i = 0; i < f.count; i++) {
            double at = 0.5 * values[i] + 1, expected = 0.5 * ((at > 0 ? 2 * at : 0) + 3);
            CHECK(fabs(f.grad[i] - expected) < 1e-12, "element %zu: %g, expected %g", i, f.grad[i], expected);
        }
        mt_free(f.grad);
    }
    CHECK(calls >= 4, "%d calls", calls);
    gc_end(&c);
}

static void mistakes(void) {
    CASE("mistakes");
    grad_case c;
    mt_error err;
    mt_tape *t = NULL;
    gc_begin(&c);
    int32_t x = gc_leaf(&c, 1, 2, 3, 4), y = mt_g_stop(c.g, mt_g_act(c.g, x, MT_ACT_TANH));
    int32_t loss = mt_g_add(c.g, y, gc_const(&c, 1, 2, 3, 4));
    mt_tape_options o = {.loss = loss, .grad = gc_grad_of, .arg = &c};
    CHECK(mt_tape_new(c.g, &o, &t, &err) == MT_ESTATE && strstr(err.text, "add"), "%s", err.text);
    o.loss = c.g->count;
    CHECK(mt_tape_new(c.g, &o, &t, &err) == MT_ERANGE, "%s", err.text);
    o.loss = -1;
    CHECK(mt_tape_new(c.g, &o, &t, &err) == MT_ERANGE, "%s", err.text);
    CHECK(mt_g_add(c.g, x, gc_leaf(&c, 1, 1, 5)) == -1, "12 is not 5");
    o.loss = loss;
    CHECK(mt_tape_new(c.g, &o, &t, &err) == MT_ERANGE && strstr(err.text, "add"), "%s", err.text);
    CHECK(!t, "a tape in spite of that");
    gc_end(&c);

    CASE("memory that runs out");
    gc_begin(&c);
    loss = summed(&c, random_graph(&c, 30));
    size_t before = mt_live_allocations();
    for (int64_t n = 0;; n++) {
        mt_fail_allocation_after(n);
        mt_status status =
            mt_tape_new(c.g, &(mt_tape_options){.loss = loss, .grad = gc_grad_of, .arg = &c, .segments = 3}, &t, &err);
        mt_fail_allocation_after(-1);
        if (status == MT_OK) break;
        CHECK(status == MT_ENOMEM && mt_live_allocations() == before && n < 1000, "allocation %d: %s", (int)n,
              err.text);
    }
    mt_tape_free(t);
    gc_end(&c);
}

int main(void) {
    differences();
    segments();
    parts();
    kept_gradients();
    patches();
    mistakes();
    CASE("nothing leaks");
    CHECK(mt_live_allocations() == 0, "%zu allocations", mt_live_allocations());
    return test_end();
}
