/* Gradients of the operations on tensors of any shape: every kind, every pattern of broadcasting, every axis. */
#include "grad_common.h"

static const char *const binary_names[] = {"add", "sub", "mul", "div", "max", "min"};
static const char *const reduce_names[] = {"sum", "mean", "max", "variance", "log_sum_exp"};
static const char *const unary_names[] = {
    "neg",     "exp",      "log",  "sqrt",       "rsqrt",     "square",   "reciprocal", "abs", "sin",   "cos",   "tanh",
    "sigmoid", "softplus", "relu", "leaky_relu", "gelu_tanh", "gelu_erf", "silu",       "pow", "clamp", "affine"};

typedef struct shape {
    int32_t n, d[4];
} shape;
/* Pairs of which each is tried as the first and as the second. */
static const shape BROADCAST[][2] = {
    {{1, {5}}, {1, {5}}},
    {{3, {3, 4, 5}}, {1, {5}}},
    {{3, {3, 4, 5}}, {1, {1}}},
    {{3, {3, 4, 5}}, {0}},
    {{3, {3, 4, 5}}, {3, {3, 4, 1}}},
    {{3, {3, 4, 5}}, {3, {3, 1, 1}}},
    {{4, {2, 3, 4, 5}}, {4, {1, 3, 4, 5}}},
    {{4, {2, 3, 4, 5}}, {4, {2, 1, 4, 5}}},
    {{4, {2, 3, 4, 5}}, {3, {3, 1, 5}}},
    {{4, {2, 3, 4, 5}}, {4, {2, 1, 4, 1}}},
    {{2, {4, 1}}, {2, {1, 5}}},
    {{4, {1, 4, 1, 3}}, {4, {2, 1, 5, 1}}},
    {{0}, {0}},
    {{2, {1, 1}}, {1, {1}}},
    {{2, {3, 700}}, {2, {3, 1}}},
};
enum { BROADCASTS = sizeof BROADCAST / sizeof *BROADCAST };
static const shape ANY[] = {{1, {1}},          {1, {7}},      {2, {6, 5}},   {3, {3, 1, 4}},  {3, {4, 5, 6}},
                            {4, {2, 3, 4, 5}}, {2, {3, 700}}, {2, {700, 3}}, {3, {2, 4, 300}}};
enum { ANYS = sizeof ANY / sizeof *ANY };

static grad_case c;
static void begin(uint64_t seed) {
    gc_begin_seed(&c, seed + 1);
    c.tolerance = 1e-7;
}
static int32_t leaf(const shape *s) {
    return gc_leaf(&c, 1, s->n, s->d[0], s->d[1], s->d[2], s->d[3]);
}
/* Away from 0 by at least `least`, on one side. */
static int32_t positive(const shape *s, float least) {
    int32_t x = leaf(s);
    for (size_t i = 0; i < c.s[c.count - 1].count; i++) gc_values(&c)[i] = least + fabsf(gc_values(&c)[i]);
    return x;
}
static const char *title(const char *what, const char *kind, const shape *a, const shape *b, int32_t axis) {
    static char text[160];
    int at = snprintf(text, sizeof text, "%s%s%s", what, *kind ? " " : "", kind);
    for (int side = 0; side < 2; side++) {
        const shape *s = side ? b : a;
        if (!s) continue;
        at += snprintf(text + at, sizeof text - (size_t)at, "%s[", side ? " and " : " of ");
        for (int32_t k = 0; k < s->n; k++)
            at += snprintf(text + at, sizeof text - (size_t)at, k ? ", %d" : "%d", s->d[k]);
        at += snprintf(text + at, sizeof text - (size_t)at, "]");
    }
    if (axis >= 0) snprintf(text + at, sizeof text - (size_t)at, " along axis %d", axis);
    return text;
}

static void test_binary(void) {
    for (int s = 0; s < 2 * BROADCASTS; s++) {
        const shape *a = &BROADCAST[s / 2][s % 2], *b = &BROADCAST[s / 2][1 - s % 2];
        for (int kind = 0; kind < MT_BINARY_COUNT; kind++) {
            begin((uint64_t)s);
            int32_t x = leaf(a), y = kind == MT_BINARY_DIV ? positive(b, 0.5) : leaf(b);
            int32_t out = mt_g_binary(c.g, (mt_binary)kind, x, y);
            if (kind >= MT_BINARY_MAX) /* so that each has a part, even where there is one element */
                out = mt_g_binary(c.g, MT_BINARY_ADD, out, mt_g_unary(c.g, MT_UNARY_AFFINE, y, 0.3, 0)),
                out = mt_g_binary(c.g, MT_BINARY_ADD, out, mt_g_unary(c.g, MT_UNARY_AFFINE, x, 0.7, 0));
            gc_check(&c, title("binary", binary_names[kind], a, b, -1), out);
        }
        for (int both = 0; both < 2; both++) {
            begin((uint64_t)s);
            const shape *mask = both ? a : b;
            int32_t condition = gc_const(&c, 1, mask->n, mask->d[0], mask->d[1], mask->d[2], mask->d[3]);
            for (size_t i = 0; i < c.s[0].count; i++) gc_values(&c)[i] = (float)(i % 3 == 0);
            int32_t x = leaf(a), y = leaf(b);
            /* Each is chosen somewhere, even by a condition of one element. */
            int32_t here = mt_g_where(c.g, condition, x, y), there = mt_g_where(c.g, condition, y, x);
            gc_check(&c, title("where", both ? "(wide)" : "(narrow)", a, b, -1),
                     mt_g_binary(c.g, MT_BINARY_ADD, here, mt_g_unary(c.g, MT_UNARY_AFFINE, there, 3, 1)));
        }
        shape wide = *a;
        if (b->n > a->n) wide = *b;
        begin((uint64_t)s);
        int32_t x = leaf(a), y = leaf(b);
        int32_t sum = mt_g_binary(c.g, MT_BINARY_SUB, x, y);
        wide.n = c.g->nodes[sum].n_dims;
        memcpy(wide.d, c.g->nodes[sum].dims, sizeof wide.d);
        gc_check(&c, title("expand", "", b, &wide, -1),
                 mt_g_binary(c.g, MT_BINARY_MUL, sum, mt_g_expand(c.g, y, wide.n, wide.d)));
    }
    for (int kind = 0; kind < MT_BINARY_MAX; kind++) {
        begin(3);
        int32_t x = positive(&(shape){2, {3, 5}}, 0.5);
        gc_check(&c, title("binary of an input with itself,", binary_names[kind], NULL, NULL, -1),
                 mt_g_binary(c.g, MT_BINARY_ADD, x, mt_g_binary(c.g, (mt_binary)kind, x, x)));
    }
    begin(4);
    int32_t x = leaf(&(shape){2, {3, 5}}), k = gc_const(&c, 1, 1, 5);
    gc_check(&c, "binary of an input and a constant",
             mt_g_binary(c.g, MT_BINARY_DIV, x, mt_g_binary(c.g, MT_BINARY_MUL, k, x)));
    CASE("equal: the gradient goes to the first");
    for (int kind = MT_BINARY_MAX; kind <= MT_BINARY_MIN; kind++) {
        float values[2][2] = {{1, 2}, {1, 2}}, grads[2][2] = {{0}};
        begin(5);
        for (int i = 0; i < 2; i++) c.s[c.count++] = (gc_storage){values[i], values[i], grads[i], 2, NULL};
        int32_t dims[1] = {2}, a = mt_g_leaf(c.g, values[0], 1, dims), b = mt_g_leaf(c.g, values[1], 1, dims);
        int32_t loss = mt_g_binary(c.g, (mt_binary)kind, a, b);
        mt_tape *t;
        mt_error err;
        CHECK_OK(mt_tape_new(c.g, &(mt_tape_options){.loss = loss, .grad = gc_grad_of, .arg = &c}, &t, &err));
        float *scratch = mt_alloc_aligned(mt_tape_scratch(t) * sizeof(float), 64);
        mt_tape_forward(t, NULL, scratch, &c.feed);
        mt_tape_backward(t, NULL, scratch, &c.feed);
        CHECK(grads[0][0] == 1 && grads[0][1] == 1 && grads[1][0] == 0 && grads[1][1] == 0, "%g %g %g %g", grads[0][0],
              grads[0][1], grads[1][0], grads[1][1]);
        mt_free_aligned(scratch);
        mt_tape_free(t);
        gc_end(&c);
    }
}

static void test_unary(void) {
    for (int kind = 0; kind < MT_UNARY_SIGN; kind++)
        for (int size = 0; size < 3; size++) {
            const shape s = {2, {size == 0 ? 1 : 7, size == 0 ? 1 : size == 1 ? 5 : 77}};
            begin((uint64_t)kind);
            bool roots = kind == MT_UNARY_LOG || kind == MT_UNARY_SQRT || kind == MT_UNARY_RSQRT ||
                         kind == MT_UNARY_POW || kind == MT_UNARY_RECIPROCAL;
            int32_t x = roots ? positive(&s, 0.5) : leaf(&s);
            for (size_t i = 0; !roots && i < c.s[0].count; i++) gc_values(&c)[i] *= 3; /* also far out */
            if (size == 0 && kind == MT_UNARY_CLAMP) gc_values(&c)[0] = 0.25;
            if (size == 0 && kind == MT_UNARY_RELU) gc_values(&c)[0] = 0.25;
            gc_check(&c, title("unary", unary_names[kind], &s, NULL, -1),
                     mt_g_unary(c.g, (mt_unary)kind, x, kind == MT_UNARY_CLAMP ? -0.6 : 1.7, 0.9));
        }
    for (int kind = MT_UNARY_SIGN; kind <= MT_UNARY_ROUND; kind++) {
        begin(1);
        int32_t x = leaf(&(shape){1, {9}});
        gc_check(&c, kind == MT_UNARY_SIGN ? "unary sign: none" : "unary round: none",
                 mt_g_binary(c.g, MT_BINARY_ADD, x, mt_g_unary(c.g, (mt_unary)kind, x, 0, 0)));
    }
    begin(2);
    int32_t x = positive(&(shape){1, {9}}, 0.5);
    gc_check(&c, "unary pow of 0 and of 2",
             mt_g_binary(c.g, MT_BINARY_ADD, mt_g_unary(c.g, MT_UNARY_POW, x, 0, 0),
                         mt_g_unary(c.g, MT_UNARY_POW, x, 2, 0)));
}

static void test_axes(void) {
    for (int s = 0; s < ANYS; s++) {
        const shape *a = &ANY[s];
        for (int32_t axis = 0; axis < a->n; axis++) {
            for (int kind = 0; kind < MT_REDUCE_COUNT; kind++) {
                begin((uint64_t)s);
                int32_t x = leaf(a);
                /* A variance over one element has no gradient. */
                int32_t y = mt_g_reduce(c.g, (mt_reduce)kind, x, axis);
                gc_check(&c, title("reduce", reduce_names[kind], a, NULL, axis),
                         mt_g_binary(c.g, MT_BINARY_ADD, y, mt_g_unary(c.g, MT_UNARY_SQUARE, x, 0, 0)));
            }
            for (int what = 0; what < 9; what++) {
                static const char *const names[] = {"cumsum",     "cumsum from the end", "flip",     "cut",
                                                    "move",       "move back",           "move far", "move around",
                                                    "concatenate"};
                int32_t N = a->d[axis], out;
                shape more = *a;
                more.d[axis] = 2;
                begin((uint64_t)s);
                int32_t x = leaf(a);
                if (what < 2)
                    out = mt_g_cumsum(c.g, x, axis, what == 1);
                else if (what == 2)
                    out = mt_g_flip(c.g, x, axis);
                else if (what == 3)
                    out = mt_g_cut(c.g, x, axis, N / 3, N - N / 2);
                else if (what < 7) /* far: nothing of x is left, so that it is added */
                    out = mt_g_binary(c.g, MT_BINARY_ADD, x,
                                      mt_g_move(c.g, x, axis,
                                                what == 4   ? 1
                                                : what == 5 ? -2
                                                            : N + 1,
                                                false));
                else if (what == 7)
                    out = mt_g_move(c.g, x, axis, -2, true);
                else
                    out = mt_g_concat(c.g, leaf(&more), x, axis);
                gc_check(&c, title(names[what], "", a, NULL, axis), out);
            }
        }
        for (int logarithm = 0; logarithm < 2; logarithm++) {
            if (a->d[a->n - 1] == 1) continue; /* always 1 */
            begin((uint64_t)s);
            gc_check(&c, title("softmax", logarithm ? "(logarithm)" : "", a, NULL, -1),
                     mt_g_softmax(c.g, leaf(a), logarithm));
        }
        for (int order = 0; order < 256; order++) {
            int32_t axes[4] = {order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6}, seen = 0;
            for (int32_t k = 0; k < a->n; k++) seen |= 1 << axes[k];
            if (seen != (1 << a->n) - 1 || order >> 2 * a->n) continue;
            begin((uint64_t)s);
            char text[16];
            snprintf(text, sizeof text, "%d%d%d%d", axes[0], axes[1], axes[2], axes[3]);
            gc_check(&c, title("permute", text, a, NULL, -1), mt_g_permute(c.g, leaf(a), axes));
        }
    }
    begin(1);
    int32_t x = leaf(&(shape){2, {4, 3}}), mask = gc_const(&c, 1, 2, 4, 3);
    for (int i = 0; i < 12; i++) gc_values(&c)[i] = i < 3 || i == 7 ? -INFINITY : 0;
    gc_check(&c, "softmax with -inf, and a row of nothing else",
             mt_g_softmax(c.g, mt_g_binary(c.g, MT_BINARY_ADD, x, mask), false));
    begin(2);
    x = leaf(&(shape){2, {4, 3}}), mask = gc_const(&c, 1, 2, 4, 3);
    for (int i = 0; i < 12; i++) gc_values(&c)[i] = i < 3 || i == 4 ? -INFINITY : 0;
    for (int32_t axis = 0; axis < 2; axis++) {
        int32_t y = mt_g_reduce(c.g, MT_REDUCE_LOG_SUM_EXP, mt_g_binary(c.g, MT_BINARY_ADD, x, mask), axis);
        y = mt_g_unary(c.g, MT_UNARY_CLAMP, y, -1000, 1000);
        if (axis == 1) gc_check(&c, "log_sum_exp with -inf", y);
    }
    CASE("the largest: the gradient goes to the first");
    for (int32_t axis = 0; axis < 2; axis++) {
        float values[2][2] = {{3, 3}, {3, 3}}, grads[2][2] = {{0}};
        begin(3);
        c.s[c.count++] = (gc_storage){values, &values[0][0], &grads[0][0], 4, NULL};
        x = mt_g_leaf(c.g, &values[0][0], 2, (int32_t[]){2, 2});
        mt_tape *t;
        mt_error err;
        CHECK_OK(mt_tape_new(
            c.g, &(mt_tape_options){.loss = mt_g_reduce(c.g, MT_REDUCE_MAX, x, axis), .grad = gc_grad_of, .arg = &c},
            &t, &err));
        float *scratch = mt_alloc_aligned(mt_tape_scratch(t) * sizeof(float), 64);
        mt_tape_forward(t, NULL, scratch, &c.feed);
        mt_tape_backward(t, NULL, scratch, &c.feed);
        CHECK(grads[0][0] == 1 && grads[1][1] == 0 && grads[0][1] == (axis == 0) && grads[1][0] == (axis == 1),
              "axis %d", axis);
        mt_free_aligned(scratch);
        mt_tape_free(t);
        gc_end(&c);
    }
}

static int32_t index_leaf(int32_t n, const int32_t *d, int32_t below) {
    size_t count = 1;
    for (int32_t k = 0; k < n; k++) count *= (size_t)d[k];
    int32_t *ids = gc_ids(&c, count, below);
    for (size_t i = 3; i < count; i += 5) ids[i] = i % 2 ? -1 : below;
    return mt_g_index(c.g, ids, n, d);
}

static void test_rows(void) {
    for (int s = 0; s < ANYS; s++) {
        const shape *a = &ANY[s];
        for (int32_t rank = 0; rank < 3; rank++) {
            if (a->n + rank - 1 > 4) continue;
            begin((uint64_t)s);
            int32_t x = leaf(a), ids = index_leaf(rank, (int32_t[]){5, 3}, a->d[0]);
            gc_check(&c,
                     title("take",
                           rank == 0   ? "one"
                           : rank == 1 ? "some"
                                       : "a matrix",
                           a, NULL, -1),
                     mt_g_take(c.g, x, ids));
        }
        begin((uint64_t)s);
        int32_t x = leaf(a), V = a->d[a->n - 1], ids = index_leaf(a->n - 1, a->d, V);
        gc_check(&c, title("pick", "", a, NULL, -1), mt_g_pick(c.g, x, ids));
        for (int smooth = 0; smooth < 3; smooth++) {
            if (V == 1) continue;
            begin((uint64_t)s);
            x = leaf(a), ids = index_leaf(a->n - 1, a->d, V);
            if (smooth == 1)
                for (size_t i = 0; i < c.s[0].count; i++) c.s[0].values[i] *= 30; /* far off */
            gc_check(&c,
                     title("cross_entropy",
                           smooth == 2 ? "(smoothed)"
                           : smooth    ? "(large)"
                                       : "",
                           a, NULL, -1),
                     mt_g_cross_entropy(c.g, x, ids, smooth == 2 ? 0.2 : 0));
        }
    }
    begin(1);
    int32_t x = leaf(&(shape){2, {3, 4}}), y = mt_g_unary(c.g, MT_UNARY_SQUARE, leaf(&(shape){2, {3, 4}}), 0, 0);
    gc_check(&c, "stop: as if it were a constant",
             mt_g_binary(c.g, MT_BINARY_ADD, y,
                         mt_g_binary(c.g, MT_BINARY_SUB, mt_g_stop(c.g, x),
                                     mt_g_binary(c.g, MT_BINARY_SUB, mt_g_stop(c.g, x), x))));
    begin(2);
    x = leaf(&(shape){2, {3, 4}});
    gc_check(&c, "straight: to the second input alone",
             mt_g_straight(c.g, mt_g_unary(c.g, MT_UNARY_AFFINE, x, 1, 0), x));
    begin(3);
    x = leaf(&(shape){2, {3, 4}});
    gc_check(&c, "straight: past what has none", mt_g_straight(c.g, mt_g_stop(c.g, x), x));
}

static void test_dot(void) {
    static const struct {
        int32_t n, batch[2], M, K, N;
    } of[] = {{2, {1, 1}, 3, 4, 5}, {2, {1, 1}, 1, 1, 1},     {2, {1, 1}, 33, 1, 9},  {3, {1, 3}, 2, 7, 3},
              {4, {2, 3}, 5, 6, 7}, {2, {1, 1}, 40, 130, 90}, {3, {1, 2}, 33, 40, 65}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        for (int how = 0; how < 8; how++) {
            bool ta = how & 1, tb = how & 2, shared = how & 4;
            int32_t n = of[i].n, m = n - 2;
            if (shared && n == 2) continue;
            shape a = {.n = n}, b = {.n = n};
            for (int32_t k = 0; k < m; k++) a.d[k] = b.d[k] = of[i].batch[k + 4 - n];
            a.d[m] = ta ? of[i].K : of[i].M, a.d[m + 1] = ta ? of[i].M : of[i].K;
            b.d[m] = tb ? of[i].N : of[i].K, b.d[m + 1] = tb ? of[i].K : of[i].N;
            if (shared) b.d[0] = b.d[m], b.d[1] = b.d[m + 1], b.n = 2;
            begin(i);
            int32_t x = leaf(&a), y = leaf(&b);
            static const char *const names[] = {"", "a transposed", "b transposed", "both transposed"};
            gc_check(&c, title("dot", names[how & 3], &a, &b, -1), mt_g_dot(c.g, x, y, ta, tb, 0.7));
        }
    begin(8);
    int32_t x = leaf(&(shape){3, {2, 4, 4}});
    gc_check(&c, "dot of an input with itself", mt_g_dot(c.g, x, x, false, true, 1));
    begin(9);
    x = leaf(&(shape){2, {4, 4}});
    int32_t k = gc_const(&c, 1, 2, 4, 4);
    gc_check(&c, "dot with constants on both sides",
             mt_g_dot(c.g, k, mt_g_dot(c.g, x, k, false, false, 1), false, false, 1));
}

/* Attention made of these operations, over several segments of the tape and with threads. */
static void test_together(void) {
    mt_pool *pool;
    mt_error err;
    CASE("a pool");
    CHECK_OK(mt_pool_new(3, &pool, &err));
    for (int way = 0; way < 4; way++) {
        int32_t B = 2, T = way < 2 ? 5 : 40, H = 2, E = way < 2 ? 3 : 16, D = H * E;
        begin((uint64_t)way);
        c.segments = way % 2 ? 3 : 0;
        c.pool = way < 2 ? NULL : pool;
        c.step = 1e-4; /* small gradients of a mean: differences are rounded */
        mt_graph *g = c.g;
        int32_t x = leaf(&(shape){3, {B, T, D}}), mask = gc_const(&c, 1, 2, T, T), head[3];
        for (int32_t i = 0; i < T * T; i++) gc_values(&c)[i] = (float)(i % T <= i / T);
        int32_t never = gc_const(&c, 1, 0);
        gc_values(&c)[0] = -INFINITY;
        for (int k = 0; k < 3; k++) {
            int32_t w = leaf(&(shape){2, {D, D}}), bias = leaf(&(shape){1, {D}});
            int32_t q = mt_g_binary(g, MT_BINARY_ADD, mt_g_dot(g, x, w, false, k == 1, 1 / sqrt(D)), bias);
            q = mt_g_view(g, q, 4, (int32_t[]){B, T, H, E});
            head[k] = mt_g_permute(g, q, (int32_t[]){0, 2, 1, 3});
        }
        int32_t s = mt_g_dot(g, head[0], head[1], false, true, 1 / sqrt(E));
        s = mt_g_softmax(g, mt_g_where(g, mask, s, never), false);
        int32_t y = mt_g_permute(g, mt_g_dot(g, s, head[2], false, false, 1), (int32_t[]){0, 2, 1, 3});
        y = mt_g_binary(g, MT_BINARY_ADD, x, mt_g_view(g, y, 3, (int32_t[]){B, T, D}));
        int32_t mean = mt_g_reduce(g, MT_REDUCE_MEAN, y, -1), variance = mt_g_reduce(g, MT_REDUCE_VARIANCE, y, -1);
        int32_t scale = mt_g_unary(g, MT_UNARY_RSQRT, mt_g_unary(g, MT_UNARY_AFFINE, variance, 1, 1e-3), 0, 0);
        y = mt_g_binary(g, MT_BINARY_MUL, mt_g_binary(g, MT_BINARY_SUB, y, mean), scale);
        y = mt_g_cross_entropy(g, y, index_leaf(2, (int32_t[]){B, T}, D), 0);
        for (int32_t axis = 1; axis >= 0; axis--) y = mt_g_reduce(g, MT_REDUCE_MEAN, y, axis);
        gc_check(&c,
                 way == 0   ? "attention"
                 : way == 1 ? "attention, in segments"
                 : way == 2 ? "attention, three threads"
                            : "attention, three threads, in segments",
                 y);
    }
    mt_pool_free(pool);
}

int main(void) {
    test_binary();
    test_unary();
    test_axes();
    test_rows();
    test_dot();
    test_together();
    return test_end();
}
