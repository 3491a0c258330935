/* Recurrent operations: sequences, trees, states that came from before, widths that are odd or one. */
#include "grad_common.h"

/* B sequences of T rows with room for a state of `width` floats in each of two layers; the states are random. */
static void rows(grad_case *c, int32_t B, int32_t T, size_t width) {
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

typedef void (*arrange)(grad_case *c);
static void alone(grad_case *c) {
    (void)c;
}
static const struct {
    const char *name;
    int32_t B, T;
    arrange arrange;
} batches[] = {{"three sequences", 3, 7, alone}, {"single rows", 4, 1, alone}, {"one row", 1, 1, alone},
               {"after a state", 2, 5, goes_on}, {"a tree", 2, 13, tree},      {"a tree after a state", 2, 13, NULL}};
enum { BATCHES = sizeof batches / sizeof *batches };

static const char *begin(grad_case *c, int which, const char *name, size_t width) {
    static char text[128];
    gc_begin_seed(c, (uint64_t)which + 1);
    c->tolerance = 1e-7;
    rows(c, batches[which].B, batches[which].T, width);
    if (batches[which].arrange)
        batches[which].arrange(c);
    else
        tree(c), goes_on(c);
    snprintf(text, sizeof text, "%s: %s", name, batches[which].name);
    return text;
}

static void convolutions(void) {
    for (int which = 0; which < BATCHES; which++)
        for (int32_t taps = 1; taps < 6; taps += 2) {
            int32_t C = taps == 1 ? 1 : 5;
            grad_case c;
            const char *name = begin(&c, which, taps == 1 ? "convolution of one tap" : "convolution", 32);
            int32_t x = gc_leaf(&c, 1, 2, c.feed.T, C), w = gc_leaf(&c, 1, 1, C * taps);
            int32_t bias = taps == 3 ? -1 : gc_leaf(&c, 1, 1, C);
            gc_check(&c, name, mt_g_conv(c.g, x, w, bias, taps, 1, 2));
        }
}

static void shifts(void) {
    for (int which = 0; which < BATCHES; which++) {
        if (batches[which].T == 1) continue; /* nothing to shift: no gradient */
        grad_case c;
        const char *name = begin(&c, which, "shift", 32);
        int32_t x = gc_leaf(&c, 1, 2, c.feed.T, 5);
        gc_check(&c, name, mt_g_shift(c.g, x, 1, 2));
    }
}

static void wkvs(void) {
    for (int which = 0; which < BATCHES; which++)
        for (int32_t C = 1; C < 8; C += 4) {
            grad_case c;
            const char *name = begin(&c, which, "RWKV-4", 24);
            for (size_t i = 0; i < 24 * ((size_t)c.feed.T + 1); i++)
                if (i % 24 >= 2 + (size_t)C && i % 24 < 2 + 2 * (size_t)C) /* sums of weights are positive */
                    c.feed.state[1][i] = 1.5 + c.feed.state[1][i];
            int32_t k = gc_leaf(&c, 2, 2, c.feed.T, C), v = gc_leaf(&c, 1, 2, c.feed.T, C);
            int32_t decay = gc_leaf(&c, 1, 1, C);
            for (int32_t i = 0; i < C; i++) gc_values(&c)[i] = -fabs(gc_values(&c)[i]);
            int32_t bonus = gc_leaf(&c, 1, 1, C);
            if (c.feed.T == 1 || batches[which].T == 1) c.s[2].grad = c.s[3].grad = NULL; /* y is v */
            if (c.feed.T == 1 || batches[which].T == 1) c.s[0].grad = NULL;
            gc_check(&c, name, mt_g_wkv(c.g, k, v, decay, bonus, 1, 2));
        }
}

static void scans(void) {
    static const mt_scan shapes[] = {
        {.channels = 6, .width = 1, .groups = 1, .state = 5},
        {.channels = 1, .width = 1, .groups = 1, .state = 1},
        {.channels = 40, .width = 1, .groups = 1, .state = 4},
        {.channels = 24, .width = 4, .groups = 3, .state = 8, .scalar = true},
        {.channels = 6, .width = 3, .groups = 1, .state = 3, .scalar = true},
        {.channels = 4, .width = 2, .groups = 2, .state = 6},
    };
    for (int which = 0; which < BATCHES; which++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            grad_case c;
            mt_scan s = shapes[i];
            int32_t heads = s.channels / s.width;
            size_t size = (size_t)s.channels * (size_t)s.state;
            const char *name = begin(&c, which, s.scalar ? "scan, A of a head" : "scan, A of a state", size + 2);
            int32_t T = c.feed.T, u = gc_leaf(&c, 1, 2, T, s.channels), dt = gc_leaf(&c, 1, 2, T, heads);
            for (int32_t k = 0; k < T * heads; k++) gc_values(&c)[k] = fabs(gc_values(&c)[k]);
            int32_t B = gc_leaf(&c, 1, 2, T, s.groups * s.state), C = gc_leaf(&c, 1, 2, T, s.groups * s.state);
            float *A = gc_extra(&c, s.scalar ? (size_t)heads : size, 1);
            for (size_t k = 0; k < (s.scalar ? (size_t)heads : size); k++) A[k] = -fabs(A[k]);
            s.A = A;
            /* Of single rows without a state A does nothing. */
            if (batches[which].T == 1) c.s[c.count - 1].grad = NULL;
            s.D = gc_extra(&c, (size_t)heads, 1);
            gc_check(&c, name, mt_g_scan(c.g, u, dt, B, C, &s, 1, 2));
        }
}

static void deltas(void) {
    static const mt_delta shapes[] = {
        {.key_heads = 2, .value_heads = 4, .key_width = 3, .value_width = 5},
        {.key_heads = 1, .value_heads = 1, .key_width = 1, .value_width = 1},
        {.key_heads = 3, .value_heads = 3, .key_width = 6, .value_width = 21},
    };
    for (int which = 0; which < BATCHES; which++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            grad_case c;
            mt_delta d = shapes[i];
            int32_t K = d.key_width, V = d.value_width, H = d.value_heads;
            const char *name = begin(&c, which, "gated delta rule", (size_t)(H * K * V) + 2);
            int32_t T = c.feed.T, x = gc_leaf(&c, 1, 2, T, 2 * d.key_heads * K + H * V);
            int32_t beta = gc_leaf(&c, 1, 2, T, H), alpha = gc_leaf(&c, i == 2 ? 25 : 2, 2, T, H);
            if (batches[which].T == 1) c.s[c.count - 1].grad = NULL; /* nothing decays */
            float *A = gc_extra(&c, (size_t)H, i == 2 ? 0.02 : 1);
            for (int32_t h = 0; h < H; h++) A[h] = -fabs(A[h]);
            if (batches[which].T == 1) c.s[c.count - 1].grad = NULL;
            d.A = A;
            d.dt_bias = gc_extra(&c, (size_t)H, 1);
            if (batches[which].T == 1) c.s[c.count - 1].grad = NULL;
            gc_check(&c, name, mt_g_delta(c.g, x, beta, alpha, &d, 1, 2));
        }
}

static void cells(void) {
    for (int which = 0; which < BATCHES; which++)
        for (int kind = 0; kind < 8; kind++) {
            grad_case c;
            mt_cell cell = {.kind = kind & 1 ? MT_CELL_GRU : MT_CELL_LSTM, .window = kind & 2 ? 3 : 0};
            int32_t H = kind & 4 ? 5 : 1, gates = cell.kind == MT_CELL_LSTM ? 4 : 3;
            const char *name = begin(&c, which, kind & 1 ? "GRU" : "LSTM", 16);
            int32_t T = c.feed.T, x = gc_leaf(&c, 1, 2, T, gates * H), w = gc_weight(&c, gates * H, H);
            if (T <= 4 && batches[which].T == 1 && (!cell.window || T == 1)) c.s[c.count - 1].grad = NULL; /* h is 0 */
            if (kind & 4) cell.bias = gc_extra(&c, (size_t)(gates * H), 1);
            int32_t room = mt_g_room(c.g, T, gates * H), inner = mt_g_room(c.g, T, H);
            gc_check(&c, name, mt_g_cell(c.g, x, w, room, inner, &cell, 1, 2));
        }
}

static void windows(void) {
    for (int which = 0; which < BATCHES; which++)
        for (int32_t W = 1; W < 5; W++) {
            grad_case c;
            const char *name = begin(&c, which, "window", 8);
            for (size_t i = 0; i < 8 * ((size_t)c.feed.T + 1); i++) c.feed.state[1][i] = (float)(i % 7);
            int32_t x = mt_g_window(c.g, gc_weight(&c, 7, 3), c.feed.T, W, 6, 1, 2);
            gc_check(&c, name, x);
        }
}

static void pools(void) {
    for (int32_t W = 1; W < 6; W += 2)
        for (int32_t width = 1; width < 5; width += 3) {
            grad_case c;
            gc_begin_seed(&c, (uint64_t)W);
            c.tolerance = 1e-7;
            int32_t T = 4, a = gc_leaf(&c, 1, 2, T * W, width), b = gc_leaf(&c, 1, 2, T * W, 2),
                    e = gc_leaf(&c, 1, 2, T * W, width + 1);
            mt_pool_over p = {.window = W, .eps = 0.3};
            p.weight = gc_extra(&c, (size_t)(2 * width + 3), 1);
            if (W == 1) c.s[c.count - 1].grad = NULL; /* one of one, whatever its score */
            int32_t pattern = mt_g_room(c.g, T, W);
            gc_check(&c, "pool", mt_g_pool(c.g, a, b, e, pattern, &p));
        }
}

int main(void) {
    convolutions();
    shifts();
    wkvs();
    scans();
    deltas();
    cells();
    windows();
    pools();
    return test_end();
}
