/* Recurrent operations: sequences, trees, states that came from before, widths that are odd or one; sequences longer
 * than the pieces in which states are computed again; any number of threads. */
#include "grad_common.h"

/* B sequences of T rows with room for a state of `width` floats in each of two layers; the states are random. */
static void rows(grad_case *c, int32_t B, int32_t T, size_t width) {
    c->tolerance = 1e-7;
    gc_sequences(c, B, T, 2, 1, 1, 1, 0, 7, width);
    for (int32_t l = 0; l < 2; l++)
        for (size_t i = 0; i < ((size_t)(B * T) + 1) * width; i++) c->feed.state[l][i] = gc_uniform(c);
}

/* The first sequence goes on where an earlier batch left its state; nothing writes there. */
static void goes_on(grad_case *c) {
    ((int32_t *)c->feed.state_in)[0] = c->feed.T;
}

/* Rows of a tree with forks, two roots and leaves; each keeps its state, as rows do that others than the next follow.
 */
static void tree(grad_case *c) {
    static const int32_t up[] = {-1, 0, 1, 2, 2, 4, 1, -1, 7, 5, 0, 10, 9};
    int32_t *parent = (int32_t *)c->feed.parent_row, *out = (int32_t *)c->feed.state_out;
    for (int32_t t = 0; t < c->feed.T; t++) {
        parent[t] = up[t % 13] < 0 ? -1 : t / 13 * 13 + up[t % 13];
        out[t] = t;
    }
}

enum { PLAIN, GOES_ON, TREE, TREE_GOES_ON };
typedef struct batch {
    const char *name;
    int32_t B, T, kind;
} batch;
static const batch batches[] = {{"three sequences", 3, 7, PLAIN}, {"single rows", 4, 1, PLAIN},
                                {"one row", 1, 1, PLAIN},         {"after a state", 2, 5, GOES_ON},
                                {"a tree", 2, 13, TREE},          {"a tree after a state", 2, 13, TREE_GOES_ON}};
enum { BATCHES = sizeof batches / sizeof *batches };

static void begin(grad_case *c, const batch *b, size_t width) {
    gc_begin_seed(c, (uint64_t)(b->B * 100 + b->T));
    rows(c, b->B, b->T, width);
    if (b->kind >= TREE) tree(c);
    if (b->kind == GOES_ON || b->kind == TREE_GOES_ON) goes_on(c);
}
static void check(grad_case *c, const char *name, const batch *b, int32_t out) {
    static char text[2][128]; /* the name of the case before is still needed */
    static int which;
    which ^= 1;
    snprintf(text[which], sizeof text[which], "%s: %s", name, b->name);
    gc_check(c, text[which], out);
}
static void no_grad(grad_case *c) { /* of the storage made last: the value does not depend on it */
    c->s[c->count - 1].grad = NULL;
}
static void negative(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = -fabs(x[i]);
}

/* ---- what is built: the same for all batches ---- */

static int32_t conv(grad_case *c, int32_t C, int32_t taps) {
    int32_t x = gc_leaf(c, 1, 2, c->feed.T, C), w = gc_leaf(c, 1, 1, C * taps);
    return mt_g_conv(c->g, x, w, taps == 3 ? -1 : gc_leaf(c, 1, 1, C), taps, 1, 2);
}

/* alone: rows without others around them, whose y is v. */
static int32_t wkv(grad_case *c, int32_t C, bool alone) {
    int32_t T = c->feed.T, k = gc_leaf(c, 2, 2, T, C);
    if (alone) no_grad(c);
    int32_t v = gc_leaf(c, 1, 2, T, C), decay = gc_leaf(c, 1, 1, C);
    negative(gc_values(c), (size_t)C);
    if (alone) no_grad(c);
    int32_t bonus = gc_leaf(c, 1, 1, C);
    if (alone) no_grad(c);
    return mt_g_wkv(c->g, k, v, decay, bonus, 1, 2);
}

static int32_t scan(grad_case *c, mt_scan s, bool alone) {
    int32_t T = c->feed.T, heads = s.channels / s.width;
    size_t size = s.scalar ? (size_t)heads : (size_t)s.channels * (size_t)s.state;
    int32_t u = gc_leaf(c, 1, 2, T, s.channels), dt = gc_leaf(c, 1, 2, T, heads);
    for (int32_t k = 0; k < T * heads; k++) gc_values(c)[k] = fabs(gc_values(c)[k]);
    int32_t B = gc_leaf(c, 1, 2, T, s.groups * s.state), C = gc_leaf(c, 1, 2, T, s.groups * s.state);
    float *A = gc_extra(c, size, 1);
    negative(A, size);
    if (alone) no_grad(c); /* nothing decays */
    s.A = A;
    s.D = gc_extra(c, (size_t)heads, 1);
    return mt_g_scan(c->g, u, dt, B, C, &s, 1, 2);
}

static int32_t delta(grad_case *c, mt_delta d, float alpha_scale, bool alone) {
    int32_t T = c->feed.T, K = d.key_width, V = d.value_width, H = d.value_heads;
    int32_t x = gc_leaf(c, 1, 2, T, 2 * d.key_heads * K + H * V), beta = gc_leaf(c, 1, 2, T, H);
    int32_t alpha = gc_leaf(c, alpha_scale, 2, T, H);
    if (alone) no_grad(c); /* nothing decays */
    float *A = gc_extra(c, (size_t)H, 1 / alpha_scale);
    negative(A, (size_t)H);
    if (alone) no_grad(c);
    d.A = A;
    d.dt_bias = gc_extra(c, (size_t)H, 1);
    if (alone) no_grad(c);
    return mt_g_delta(c->g, x, beta, alpha, &d, 1, 2);
}

/* alone: h is 0 before every row. */
static int32_t cell(grad_case *c, mt_cell_kind kind, int32_t H, int32_t window, bool bias, bool alone) {
    mt_cell cell = {.kind = kind, .window = window};
    int32_t gates = kind == MT_CELL_LSTM ? 4 : 3, T = c->feed.T, x = gc_leaf(c, 1, 2, T, gates * H);
    int32_t w = mt_g_weight(c->g, gc_matrix(c, gates * H, H, H > 8 ? 0.3 : 1, true));
    if (alone) no_grad(c);
    if (bias) cell.bias = gc_extra(c, (size_t)(gates * H), 1);
    int32_t room = mt_g_room(c->g, T, gates * H), inner = mt_g_room(c->g, T, H);
    return mt_g_cell(c->g, x, w, room, inner, &cell, 1, 2);
}

static int32_t pool(grad_case *c, int32_t T, int32_t W, int32_t width) {
    int32_t a = gc_leaf(c, 1, 2, T * W, width), b = gc_leaf(c, 1, 2, T * W, 2);
    int32_t e = gc_leaf(c, 1, 2, T * W, width + 1);
    mt_pool_over p = {.window = W, .eps = 0.3};
    p.weight = gc_extra(c, (size_t)(2 * width + 3), 1);
    if (W == 1) no_grad(c); /* one of one, whatever its score */
    return mt_g_pool(c->g, a, b, e, mt_g_room(c->g, T, W), &p);
}

/* ---- against differences ---- */

static void operations(const batch *b) {
    grad_case c;
    bool alone = b->T == 1;
    for (int32_t taps = 1; taps < 6; taps += 2) {
        begin(&c, b, 32);
        check(&c, "convolution", b, conv(&c, taps == 1 ? 1 : 5, taps));
    }
    if (!alone) { /* else there is nothing before a row */
        begin(&c, b, 32);
        check(&c, "shift", b, mt_g_shift(c.g, gc_leaf(&c, 1, 2, c.feed.T, 5), 1, 2));
    }
    for (int32_t C = 1; C < 20; C += 8) {
        begin(&c, b, 64);
        for (int32_t i = 0; i <= c.feed.T; i++) /* sums of weights are positive */
            for (int32_t k = C; k < 2 * C; k++) c.feed.state[1][64 * i + 2 + k] += 1.5;
        check(&c, "RWKV-4", b, wkv(&c, C, alone));
    }
    static const mt_scan scans[] = {{.channels = 6, .width = 1, .groups = 1, .state = 5},
                                    {.channels = 1, .width = 1, .groups = 1, .state = 1},
                                    {.channels = 40, .width = 1, .groups = 1, .state = 4},
                                    {.channels = 24, .width = 4, .groups = 3, .state = 8, .scalar = true},
                                    {.channels = 6, .width = 3, .groups = 1, .state = 3, .scalar = true},
                                    {.channels = 4, .width = 2, .groups = 2, .state = 6}};
    for (size_t i = 0; i < sizeof scans / sizeof *scans; i++) {
        begin(&c, b, (size_t)scans[i].channels * (size_t)scans[i].state + 2);
        check(&c, scans[i].scalar ? "scan, A of a head" : "scan, A of a state", b, scan(&c, scans[i], alone));
    }
    static const mt_delta deltas[] = {{.key_heads = 2, .value_heads = 4, .key_width = 3, .value_width = 5},
                                      {.key_heads = 1, .value_heads = 1, .key_width = 1, .value_width = 1},
                                      {.key_heads = 3, .value_heads = 3, .key_width = 6, .value_width = 21}};
    for (size_t i = 0; i < sizeof deltas / sizeof *deltas; i++) {
        mt_delta d = deltas[i];
        begin(&c, b, (size_t)(d.value_heads * d.key_width * d.value_width) + 2);
        check(&c, "gated delta rule", b, delta(&c, d, i == 2 ? 25 : 2, alone));
    }
    for (int kind = 0; kind < 8; kind++) {
        int32_t window = kind & 2 ? 3 : 0;
        begin(&c, b, 16);
        check(&c, kind & 1 ? "GRU" : "LSTM", b,
              cell(&c, kind & 1 ? MT_CELL_GRU : MT_CELL_LSTM, kind & 4 ? 5 : 1, window, kind & 4,
                   alone && (!window || b->B == 1)));
    }
    for (int32_t W = 1; W < 5; W++) {
        begin(&c, b, 8);
        for (size_t i = 0; i < 8 * ((size_t)c.feed.T + 1); i++) c.feed.state[1][i] = (float)(i % 7);
        check(&c, "window", b, mt_g_window(c.g, gc_weight(&c, 7, 3), c.feed.T, W, 6, 1, 2));
    }
}

/* Sequences that end inside pieces and go on over several of them. */
static void pieces(void) {
    static const batch both[] = {{"two long sequences", 2, 150, PLAIN}, {"a long one after a state", 1, 200, GOES_ON}};
    for (size_t i = 0; i < 2; i++) {
        grad_case c;
        begin(&c, &both[i], 70);
        check(&c, "scan", &both[i], scan(&c, (mt_scan){.channels = 2, .width = 1, .groups = 1, .state = 17}, false));
        begin(&c, &both[i], 70);
        check(&c, "scan of many states", &both[i],
              scan(&c, (mt_scan){.channels = 1, .width = 1, .groups = 1, .state = 66, .scalar = true}, false));
        begin(&c, &both[i], 40);
        check(&c, "gated delta rule", &both[i],
              delta(&c, (mt_delta){.key_heads = 1, .value_heads = 1, .key_width = 2, .value_width = 18}, 0.2, false));
    }
}

/* Keys whose exponentials no number holds. */
static void far_keys(void) {
    grad_case c;
    gc_begin(&c);
    rows(&c, 2, 9, 16);
    c.step = 3e-7; /* times 900 for keys */
    int32_t x = wkv(&c, 4, false);
    for (int32_t i = 0; i < 18 * 4; i++) c.s[0].values[i] += i % 4 < 2 ? 900 : -900;
    gc_check(&c, "RWKV-4: keys around 900 and -900", x);
}

/* ---- threads ---- */

static int32_t wide_conv(grad_case *c) {
    return conv(c, 130, 4);
}
static int32_t wide_wkv(grad_case *c) {
    return wkv(c, 150, false);
}
static int32_t wide_scan(grad_case *c) {
    return scan(c, (mt_scan){.channels = 40, .width = 1, .groups = 1, .state = 18}, false);
}
static int32_t scan_of_groups(grad_case *c) {
    return scan(c, (mt_scan){.channels = 36, .width = 4, .groups = 3, .state = 20, .scalar = true}, false);
}
static int32_t wide_delta(grad_case *c) {
    return delta(c, (mt_delta){.key_heads = 5, .value_heads = 10, .key_width = 6, .value_width = 20}, 2, false);
}
static int32_t wide_lstm(grad_case *c) {
    return cell(c, MT_CELL_LSTM, 34, 0, true, false);
}
static int32_t wide_gru(grad_case *c) {
    return cell(c, MT_CELL_GRU, 45, 0, true, false);
}
static int32_t wide_window(grad_case *c) {
    return mt_g_window(c->g, gc_weight(c, 7, 40), c->feed.T, 4, 6, 1, 2);
}
static int32_t wide_pool(grad_case *c) {
    return pool(c, c->feed.T, 3, 60);
}

/* The gradients of one run, one after the other. */
static size_t gradients(int32_t (*make)(grad_case *), int threads, int32_t sequences, bool in_tree, float **all) {
    grad_case c;
    mt_error err = {0};
    mt_tape *tape = NULL;
    mt_pool *workers = NULL;
    gc_begin(&c);
    rows(&c, sequences, 234 / sequences, 1250);
    if (in_tree) tree(&c);
    CHECK_OK(mt_pool_new(threads, &workers, &err));
    int32_t out = make(&c);
    CHECK_OK(mt_tape_new(c.g, &(mt_tape_options){.loss = out, .grad = gc_grad_of, .arg = &c}, &tape, &err));
    float *scratch = mt_alloc_aligned(mt_tape_scratch(tape) * sizeof(float), 64);
    size_t count = 0, at = 0;
    for (int32_t i = 0; i < c.count; i++) count += c.s[i].count;
    *all = mt_calloc(count, sizeof **all);
    mt_tape_forward(tape, workers, scratch, &c.feed);
    mt_tape_backward(tape, workers, scratch, &c.feed);
    for (int32_t i = 0; i < c.count; at += c.s[i++].count)
        if (c.s[i].grad) memcpy(*all + at, c.s[i].grad, c.s[i].count * sizeof **all);
    mt_free_aligned(scratch);
    mt_tape_free(tape);
    mt_pool_free(workers);
    gc_end(&c);
    return count;
}

static void threads(const char *name, int32_t (*make)(grad_case *)) {
    CASE(name);
    for (int kind = 0; kind < 3; kind++) {
        float *one, *many;
        int32_t sequences = kind == 1 ? 1 : 9;
        size_t count = gradients(make, 1, sequences, kind == 2, &one);
        for (int n = 2; n < 8; n += 2) {
            gradients(make, n, sequences, kind == 2, &many);
            CHECK(memcmp(one, many, count * sizeof *one) == 0, "%d threads, %s", n,
                  kind == 2   ? "a tree"
                  : kind == 1 ? "one sequence"
                              : "nine sequences");
            mt_free(many);
        }
        mt_free(one);
    }
}

int main(void) {
    for (int which = 0; which < BATCHES; which++) operations(&batches[which]);
    pieces();
    far_keys();
    for (int32_t W = 1; W < 6; W += 2)
        for (int32_t width = 1; width < 5; width += 3) {
            grad_case c;
            gc_begin_seed(&c, (uint64_t)W);
            c.tolerance = 1e-7;
            gc_check(&c, "pool", pool(&c, 4, W, width));
        }
    threads("convolution: any number of threads, the same bits", wide_conv);
    threads("RWKV-4: any number of threads, the same bits", wide_wkv);
    threads("scan: any number of threads, the same bits", wide_scan);
    threads("scan of groups: any number of threads, the same bits", scan_of_groups);
    threads("gated delta rule: any number of threads, the same bits", wide_delta);
    threads("LSTM: any number of threads, the same bits", wide_lstm);
    threads("GRU: any number of threads, the same bits", wide_gru);
    threads("window: any number of threads, the same bits", wide_window);
    threads("pool: any number of threads, the same bits", wide_pool);
    CASE("nothing is left behind");
    CHECK(mt_live_allocations() == 0, "%zu blocks", mt_live_allocations());
    return test_end();
}
