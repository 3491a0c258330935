/* Operations on tensors of any shape against loops over indices in double precision, with one thread and with three
 * (bit for bit the same), and what their builders refuse. */
#include "tensor/general.h"
#include "tensor/grad.h"
#include "test.h"

static mt_error err;
static mt_rng rng;
static mt_pool *pool;

typedef struct tensor {
    int32_t n, d[4], node;
    size_t count;
    float *v;
} tensor;
static mt_graph *g;
static void *owned[64];
static int owned_count;

static void *own(size_t bytes) {
    return owned[owned_count++] = mt_calloc(bytes ? bytes : 1, 1);
}
static void begin(void) {
    CHECK_OK(mt_graph_new(NULL, NULL, &g, &err));
}
static void end(void) {
    mt_graph_free(g);
    while (owned_count > 0) mt_free(owned[--owned_count]);
}

static tensor shaped(int32_t n, const int32_t *d) {
    tensor t = {.n = n, .count = 1};
    for (int32_t k = 0; k < n; k++) t.d[k] = d[k], t.count *= (size_t)d[k];
    t.v = own(t.count * sizeof(float));
    return t;
}
/* Random values, few of them different when asked, so that some are equal. */
static tensor leaf(int32_t n, const int32_t *d, bool few) {
    tensor t = shaped(n, d);
    for (size_t i = 0; i < t.count; i++) t.v[i] = few ? (float)mt_rng_below(&rng, 4) - 1 : (float)mt_rng_normal(&rng);
    t.node = mt_g_leaf(g, t.v, n, d);
    return t;
}
static int32_t *index_leaf(int32_t n, const int32_t *d, int32_t below, int32_t *node) {
    size_t count = 1;
    for (int32_t k = 0; k < n; k++) count *= (size_t)d[k];
    int32_t *ids = own(count * sizeof *ids);
    for (size_t i = 0; i < count; i++) ids[i] = (int32_t)mt_rng_below(&rng, (uint64_t)below + 1) - 1;
    *node = mt_g_index(g, ids, n, d);
    return ids;
}

/* Runs the graph with one thread and with three; the value of node. Checks its shape. */
static float *value(int32_t node, int32_t n, const int32_t *d) {
    CHECK(node >= 0 && g->status == MT_OK, "%s", g->error.text);
    if (node < 0) return NULL;
    const mt_node *x = &g->nodes[node];
    bool same = x->n_dims == n;
    for (int32_t k = 0; k < n && same; k++) same = x->dims[k] == d[k];
    CHECK(same, "shape [%d: %d, %d, %d, %d], expected [%d: %d, ...]", x->n_dims, x->dims[0], x->dims[1], x->dims[2],
          x->dims[3], n, n ? d[0] : 0);
    size_t count = mt_node_elements(x);
    float *out[2];
    mt_g_output(g, node);
    CHECK_OK(mt_graph_plan(g, &err));
    for (int k = 0; k < 2; k++) {
        out[k] = own(count * sizeof(float));
        for (size_t i = 0; i < count; i++) out[k][i] = NAN;
        float *scratch = mt_alloc_aligned(g->scratch * sizeof(float), 64);
        for (size_t i = 0; i < g->scratch; i++) scratch[i] = NAN;
        mt_graph_run(g, k ? pool : NULL, scratch, &(mt_feed){.output = out[k]});
        mt_free_aligned(scratch);
    }
    CHECK(memcmp(out[0], out[1], count * sizeof(float)) == 0, "three threads say something else");
    return out[0];
}

/* The place of the element of t that belongs to an index into a tensor of n axes. */
static size_t at(const tensor *t, int32_t n, const int32_t *index) {
    size_t place = 0;
    for (int32_t k = 0; k < t->n; k++) {
        int32_t i = t->d[k] == 1 ? 0 : index[n - t->n + k];
        place = place * (size_t)t->d[k] + (size_t)i;
    }
    return place;
}
static void unravel(size_t i, int32_t n, const int32_t *d, int32_t *index) {
    for (int32_t k = n; k-- > 0; i /= (size_t)d[k]) index[k] = (int32_t)(i % (size_t)d[k]);
}
static bool close_to(double found, double expected, double scale) {
    expected = (float)expected; /* may be infinite as one */
    if (isnan(expected)) return isnan(found);
    if (isinf(expected)) return found == expected;
    return fabs(found - expected) <= 2e-6 * fmax(scale, fabs(expected));
}

typedef struct shapes {
    int32_t n, d[4];
} shapes;
static const shapes BROADCAST[][3] = {
    {{1, {5}}, {1, {5}}, {1, {5}}},
    {{3, {3, 4, 5}}, {1, {5}}, {3, {3, 4, 5}}},
    {{3, {3, 4, 5}}, {1, {1}}, {3, {3, 4, 5}}},
    {{3, {3, 4, 5}}, {0}, {3, {3, 4, 5}}},
    {{3, {3, 4, 5}}, {3, {3, 4, 1}}, {3, {3, 4, 5}}},
    {{4, {2, 3, 4, 5}}, {4, {1, 3, 4, 5}}, {4, {2, 3, 4, 5}}},
    {{4, {2, 3, 4, 5}}, {4, {2, 1, 4, 5}}, {4, {2, 3, 4, 5}}},
    {{4, {2, 3, 4, 5}}, {3, {3, 1, 5}}, {4, {2, 3, 4, 5}}},
    {{4, {2, 3, 4, 5}}, {4, {2, 1, 4, 1}}, {4, {2, 3, 4, 5}}},
    {{2, {4, 1}}, {2, {1, 5}}, {2, {4, 5}}},
    {{4, {1, 4, 1, 3}}, {4, {2, 1, 5, 1}}, {4, {2, 4, 5, 3}}},
    {{0}, {0}, {0}},
    {{2, {1, 1}}, {1, {1}}, {2, {1, 1}}},
    {{2, {0, 3}}, {2, {1, 3}}, {2, {0, 3}}},
    {{2, {70, 300}}, {1, {300}}, {2, {70, 300}}},
    {{2, {300, 70}}, {2, {300, 1}}, {2, {300, 70}}},
    {{2, {3, 7001}}, {2, {3, 7001}}, {2, {3, 7001}}},
    {{4, {2, 3, 67, 65}}, {4, {1, 1, 67, 65}}, {4, {2, 3, 67, 65}}},
    {{4, {2, 3, 67, 65}}, {0}, {4, {2, 3, 67, 65}}},
    {{2, {150, 1}}, {2, {1, 151}}, {2, {150, 151}}},
};
enum { BROADCASTS = sizeof BROADCAST / sizeof *BROADCAST };

static const char *const binary_names[] = {"add", "sub", "mul", "div", "max", "min"};
static double binary(int kind, double a, double b) {
    switch (kind) {
    case MT_BINARY_ADD:
        return a + b;
    case MT_BINARY_SUB:
        return a - b;
    case MT_BINARY_MUL:
        return a * b;
    case MT_BINARY_DIV:
        return a / b;
    case MT_BINARY_MAX:
        return a > b ? a : b;
    default:
        return a < b ? a : b;
    }
}

static void test_binary(void) {
    CASE("arithmetic with broadcasting");
    for (int s = 0; s < 2 * BROADCASTS; s++)
        for (int kind = 0; kind < MT_BINARY_COUNT; kind++) {
            const shapes *sh = BROADCAST[s / 2], *A = &sh[s % 2], *B = &sh[1 - s % 2], *Y = &sh[2];
            begin();
            tensor a = leaf(A->n, A->d, false), b = leaf(B->n, B->d, false);
            float *y = value(mt_g_binary(g, (mt_binary)kind, a.node, b.node), Y->n, Y->d);
            size_t count = 1;
            for (int32_t k = 0; k < Y->n; k++) count *= (size_t)Y->d[k];
            for (size_t i = 0; y && i < count; i++) {
                int32_t index[4];
                unravel(i, Y->n, Y->d, index);
                double e = binary(kind, a.v[at(&a, Y->n, index)], b.v[at(&b, Y->n, index)]);
                CHECK(close_to(y[i], e, 0), "shapes %d, kind %d, element %zu: %g, expected %g", s, kind, i, y[i], e);
            }
            end();
        }
    CASE("the larger and the smaller keep a NaN");
    begin();
    tensor a = leaf(1, (int32_t[]){4}, false), b = leaf(1, (int32_t[]){4}, false);
    a.v[0] = b.v[1] = NAN;
    float *y = value(mt_g_binary(g, MT_BINARY_MAX, a.node, b.node), 1, (int32_t[]){4});
    CHECK(isnan(y[0]) && isnan(y[1]) && !isnan(y[2]), "%g %g %g", y[0], y[1], y[2]);
    end();
    CASE("a choice with broadcasting");
    for (int s = 0; s < 6 * BROADCASTS; s++) {
        static const int order[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
        const shapes *sh = BROADCAST[s / 6], *Y = &sh[2];
        tensor t[3];
        begin();
        for (int k = 0; k < 3; k++) t[k] = leaf(sh[order[s % 6][k]].n, sh[order[s % 6][k]].d, k == 0);
        float *v = value(mt_g_where(g, t[0].node, t[1].node, t[2].node), Y->n, Y->d);
        size_t count = 1;
        for (int32_t k = 0; k < Y->n; k++) count *= (size_t)Y->d[k];
        for (size_t i = 0; v && i < count; i++) {
            int32_t index[4];
            unravel(i, Y->n, Y->d, index);
            const tensor *from = t[0].v[at(&t[0], Y->n, index)] != 0 ? &t[1] : &t[2];
            CHECK(v[i] == from->v[at(from, Y->n, index)], "shapes %d, element %zu", s, i);
        }
        end();
    }
}

static double unary(int kind, double x, double f0, double f1) {
    switch (kind) {
    case MT_UNARY_NEG:
        return -x;
    case MT_UNARY_EXP:
        return exp(x);
    case MT_UNARY_LOG:
        return log(x);
    case MT_UNARY_SQRT:
        return sqrt(x);
    case MT_UNARY_RSQRT:
        return 1 / sqrt(x);
    case MT_UNARY_SQUARE:
        return x * x;
    case MT_UNARY_RECIPROCAL:
        return 1 / x;
    case MT_UNARY_ABS:
        return fabs(x);
    case MT_UNARY_SIN:
        return sin(x);
    case MT_UNARY_COS:
        return cos(x);
    case MT_UNARY_TANH:
        return tanh(x);
    case MT_UNARY_SIGMOID:
        return 1 / (1 + exp(-x));
    case MT_UNARY_SOFTPLUS:
        return log1p(exp(x));
    case MT_UNARY_RELU:
        return x > 0 ? x : 0;
    case MT_UNARY_LEAKY_RELU:
        return x > 0 ? x : f0 * x;
    case MT_UNARY_GELU_TANH:
        return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case MT_UNARY_GELU_ERF:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    case MT_UNARY_SILU:
        return x / (1 + exp(-x));
    case MT_UNARY_POW:
        return pow(x, f0);
    case MT_UNARY_CLAMP:
        return x < f0 ? f0 : x > f1 ? f1 : x;
    case MT_UNARY_AFFINE:
        return f0 * x + f1;
    case MT_UNARY_SIGN:
        return (x > 0) - (x < 0);
    default:
        return nearbyint(x);
    }
}

static void test_unary(void) {
    CASE("functions of one number");
    for (int kind = 0; kind < MT_UNARY_COUNT; kind++)
        for (int size = 0; size < 4; size++) {
            begin();
            tensor x = leaf(2, (int32_t[4][2]){{0, 3}, {1, 1}, {7, 9}, {41, 500}}[size], false);
            for (size_t i = 0; i < x.count; i++) {
                x.v[i] *= 2;
                if (i % 11 == 5) x.v[i] *= 20;
                if (kind == MT_UNARY_LOG || kind == MT_UNARY_SQRT || kind == MT_UNARY_RSQRT || kind == MT_UNARY_POW)
                    x.v[i] = fabsf(x.v[i]);
            }
            float f0 = kind == MT_UNARY_CLAMP ? -0.75f : 1.5f, f1 = 1.25f;
            float *y = value(mt_g_unary(g, (mt_unary)kind, x.node, f0, f1), 2, x.d);
            for (size_t i = 0; y && i < x.count; i++) {
                double e = unary(kind, x.v[i], f0, f1);
                CHECK(close_to(y[i], e, 0.1), "kind %d of %.9g: %.9g, expected %.9g", kind, x.v[i], y[i], e);
            }
            end();
        }
}

static const shapes ANY[] = {{1, {7}},       {2, {1, 1}},       {2, {6, 5}},        {3, {3, 1, 4}},
                             {3, {4, 5, 6}}, {4, {2, 3, 4, 5}}, {4, {1, 3, 1, 17}}, {2, {3, 9001}},
                             {2, {9001, 3}}, {3, {40, 33, 19}}, {3, {3, 60, 101}},  {4, {2, 1, 65, 130}}};
enum { ANYS = sizeof ANY / sizeof *ANY };

/* The elements of t along an axis through `index`, as doubles; how far apart they lie and where they begin. */
static int32_t along(const tensor *t, int32_t axis, const int32_t *index, double *x) {
    int32_t k[4];
    memcpy(k, index, sizeof k);
    for (k[axis] = 0; k[axis] < t->d[axis]; k[axis]++) x[k[axis]] = t->v[at(t, t->n, k)];
    return t->d[axis];
}

static double reduce(int kind, const double *x, int32_t n) {
    double sum = 0, top = -INFINITY, square = 0;
    for (int32_t i = 0; i < n; i++) sum += x[i], top = fmax(top, x[i]);
    if (kind == MT_REDUCE_SUM) return sum;
    if (kind == MT_REDUCE_MEAN) return sum / n;
    if (kind == MT_REDUCE_MAX) return top;
    if (kind == MT_REDUCE_VARIANCE) {
        for (int32_t i = 0; i < n; i++) square += (x[i] - sum / n) * (x[i] - sum / n);
        return square / n;
    }
    for (int32_t i = 0; i < n; i++) square += exp(x[i] - top);
    return top + log(square);
}

static void test_axes(void) {
    static double x[20000];
    CASE("reductions along every axis");
    for (int s = 0; s < ANYS; s++)
        for (int32_t axis = 0; axis < ANY[s].n; axis++)
            for (int kind = 0; kind < MT_REDUCE_COUNT; kind++) {
                begin();
                tensor t = leaf(ANY[s].n, ANY[s].d, false);
                int32_t d[4];
                memcpy(d, t.d, sizeof d);
                d[axis] = 1;
                float *y = value(mt_g_reduce(g, (mt_reduce)kind, t.node, axis - (s & 1 ? t.n : 0)), t.n, d);
                size_t count = t.count / (size_t)t.d[axis];
                for (size_t i = 0; y && i < count; i++) {
                    int32_t index[4];
                    unravel(i, t.n, d, index);
                    int32_t n = along(&t, axis, index, x);
                    double e = reduce(kind, x, n), scale = kind == MT_REDUCE_SUM ? sqrt(n) : 1;
                    CHECK(close_to(y[i], e, scale), "shape %d, axis %d, kind %d, %zu: %.9g, expected %.9g", s, axis,
                          kind, i, y[i], e);
                }
                end();
            }
    CASE("running sums");
    for (int s = 0; s < ANYS; s++)
        for (int32_t axis = 0; axis < ANY[s].n; axis++)
            for (int back = 0; back < 2; back++) {
                begin();
                tensor t = leaf(ANY[s].n, ANY[s].d, false);
                float *y = value(mt_g_cumsum(g, t.node, axis, back), t.n, t.d);
                for (size_t i = 0; y && i < t.count; i += t.count > 30000 ? 97 : 1) {
                    int32_t index[4];
                    unravel(i, t.n, t.d, index);
                    int32_t n = along(&t, axis, index, x);
                    double e = 0;
                    for (int32_t k = back ? index[axis] : 0; k <= (back ? n - 1 : index[axis]); k++) e += x[k];
                    CHECK(close_to(y[i], e, 10 * sqrt(n)), "shape %d, axis %d, %zu: %.9g, expected %.9g", s, axis, i,
                          y[i], e);
                }
                end();
            }
    CASE("softmax and its logarithm");
    for (int s = 0; s < ANYS; s++)
        for (int logarithm = 0; logarithm < 2; logarithm++) {
            begin();
            tensor t = leaf(ANY[s].n, ANY[s].d, false);
            int32_t V = t.d[t.n - 1];
            for (size_t i = 0; i < t.count; i++)
                if (i % 5 == 1 || i < (size_t)V) t.v[i] = -INFINITY;
            float *y = value(mt_g_softmax(g, t.node, logarithm), t.n, t.d);
            for (size_t r = 0; y && r < t.count / (size_t)V; r++) {
                for (int32_t i = 0; i < V; i++) x[i] = t.v[r * (size_t)V + (size_t)i];
                double sum = reduce(MT_REDUCE_LOG_SUM_EXP, x, V);
                bool nothing = isnan(sum);
                for (int32_t i = 0; i < V; i++) {
                    double e = logarithm ? nothing ? -INFINITY : x[i] - sum : nothing ? 0 : exp(x[i] - sum);
                    CHECK(close_to(y[r * (size_t)V + (size_t)i], e, logarithm ? 1 : 0),
                          "shape %d, row %zu: %.9g, expected %.9g", s, r, y[r * (size_t)V + (size_t)i], e);
                }
            }
            end();
        }
    CASE("the logarithm of a sum of exponentials at infinity");
    begin();
    tensor t = leaf(2, (int32_t[]){3, 2}, false);
    t.v[0] = t.v[1] = t.v[2] = -INFINITY, t.v[4] = INFINITY;
    for (int32_t axis = 0; axis < 2; axis++) {
        int32_t d[2] = {axis ? 3 : 1, axis ? 1 : 2}, top = mt_g_reduce(g, MT_REDUCE_LOG_SUM_EXP, t.node, axis);
        float *y = value(top, 2, d);
        if (axis)
            CHECK(y[0] == -INFINITY && y[1] == t.v[3] && y[2] == INFINITY, "%g %g %g", y[0], y[1], y[2]);
        else
            CHECK(y[0] == INFINITY, "%g", y[0]);
        g->nodes[top].output = false;
    }
    end();
}

static void test_rows(void) {
    CASE("rows of a table, elements of rows");
    for (int s = 0; s < ANYS; s++)
        for (int rank = 0; rank < 3; rank++) {
            if (ANY[s].n + rank - 1 > 4) continue;
            begin();
            tensor t = leaf(ANY[s].n, ANY[s].d, false);
            int32_t node, shape[2] = {5, 11}, d[4], n = rank;
            int32_t *ids = index_leaf(rank, shape, t.d[0], &node);
            memcpy(d, shape, sizeof shape);
            for (int32_t k = 1; k < t.n; k++) d[n++] = t.d[k];
            float *y = value(mt_g_take(g, t.node, node), n, d);
            size_t D = t.count / (size_t)t.d[0], count = rank == 0 ? 1 : rank == 1 ? 5 : 55;
            for (size_t i = 0; y && i < count * D; i++) {
                int32_t id = ids[i / D];
                CHECK(y[i] == (id < 0 ? 0 : t.v[(size_t)id * D + i % D]), "shape %d, %zu", s, i);
            }
            end();
        }
    for (int s = 0; s < ANYS; s++) {
        for (int smooth = 0; smooth < 3; smooth++) {
            begin();
            tensor t = leaf(ANY[s].n, ANY[s].d, false);
            int32_t node, V = t.d[t.n - 1];
            int32_t *ids = index_leaf(t.n - 1, t.d, V, &node);
            float f = smooth == 2 ? 0.1f : 0;
            float *y =
                value(smooth ? mt_g_cross_entropy(g, t.node, node, f) : mt_g_pick(g, t.node, node), t.n - 1, t.d);
            for (size_t r = 0; y && r < t.count / (size_t)V; r++) {
                double sum = 0, mean = 0, e = 0;
                const float *x = t.v + r * (size_t)V;
                for (int32_t i = 0; i < V; i++) sum += exp(x[i]), mean += x[i] / V;
                if (ids[r] >= 0) e = smooth ? log(sum) - (1 - f) * x[ids[r]] - f * mean : x[ids[r]];
                CHECK(close_to(y[r], e, 1), "shape %d, row %zu: %.9g, expected %.9g", s, r, y[r], e);
            }
            end();
        }
    }
    CASE("an index outside its table counts as none");
    begin();
    tensor t = leaf(2, (int32_t[]){3, 2}, false);
    int32_t ids[3] = {3, INT32_MAX, INT32_MIN}, node = mt_g_index(g, ids, 1, (int32_t[]){3});
    int32_t sum = mt_g_binary(g, MT_BINARY_ADD, mt_g_pick(g, t.node, node), mt_g_cross_entropy(g, t.node, node, 0));
    float *y = value(mt_g_binary(g, MT_BINARY_ADD, mt_g_take(g, t.node, node),
                                 mt_g_expand(g, mt_g_reduce(g, MT_REDUCE_SUM, sum, 0), 2, (int32_t[]){3, 2})),
                     2, (int32_t[]){3, 2});
    for (int i = 0; i < 6; i++) CHECK(y[i] == 0, "%g", y[i]);
    end();
}

static void test_places(void) {
    CASE("axes in another order");
    for (int s = 0; s < ANYS; s++)
        for (int order = 0; order < 256; order++) {
            int32_t axes[4] = {order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6}, d[4], seen = 0;
            for (int32_t k = 0; k < ANY[s].n; k++) seen |= 1 << axes[k];
            if (seen != (1 << ANY[s].n) - 1 || order >> 2 * ANY[s].n) continue;
            begin();
            tensor t = leaf(ANY[s].n, ANY[s].d, false);
            for (int32_t k = 0; k < t.n; k++) d[k] = t.d[axes[k]];
            float *y = value(mt_g_permute(g, t.node, axes), t.n, d);
            for (size_t i = 0; y && i < t.count; i++) {
                int32_t index[4], from[4];
                unravel(i, t.n, d, index);
                for (int32_t k = 0; k < t.n; k++) from[axes[k]] = index[k];
                CHECK(y[i] == t.v[at(&t, t.n, from)], "shape %d, order %d, %zu", s, order, i);
            }
            end();
        }
    CASE("side by side, cut, moved, turned round");
    for (int s = 0; s < ANYS; s++)
        for (int32_t axis = 0; axis < ANY[s].n; axis++)
            for (int what = 0; what < 16; what++) {
                begin();
                tensor t = leaf(ANY[s].n, ANY[s].d, false), u = {0};
                int32_t d[4], node, N = t.d[axis], first = N / 3, count = N - N / 2,
                                    by[] = {1, -2, 0, N, -N - 3, N + 2};
                memcpy(d, t.d, sizeof d);
                if (what == 0) {
                    int32_t other[4];
                    memcpy(other, t.d, sizeof other);
                    other[axis] = 3;
                    u = leaf(t.n, other, false);
                    d[axis] = N + 3;
                    node = mt_g_concat(g, t.node, u.node, axis);
                } else if (what == 1) {
                    d[axis] = count;
                    node = mt_g_cut(g, t.node, axis, first, count);
                } else if (what == 2) {
                    node = mt_g_flip(g, t.node, axis);
                } else if (what < 15) {
                    node = mt_g_move(g, t.node, axis, by[(what - 3) % 6], what >= 9);
                } else {
                    node = mt_g_straight(g, t.node, mt_g_stop(g, t.node));
                }
                float *y = value(node, t.n, d);
                size_t elements = 1;
                for (int32_t k = 0; k < t.n; k++) elements *= (size_t)d[k];
                for (size_t i = 0; y && i < elements; i++) {
                    int32_t index[4];
                    unravel(i, t.n, d, index);
                    const tensor *from = &t;
                    int32_t *k = &index[axis];
                    bool zero = false;
                    if (what == 0 && *k >= N) from = &u, *k -= N;
                    if (what == 1) *k += first;
                    if (what == 2) *k = N - 1 - *k;
                    if (what >= 3 && what < 15) *k -= by[(what - 3) % 6];
                    if (what >= 3 && what < 9) zero = *k < 0 || *k >= N;
                    if (what >= 9 && what < 15) *k = (*k % N + N) % N;
                    float e = zero ? 0 : from->v[at(from, t.n, index)];
                    CHECK(y[i] == e, "shape %d, axis %d, what %d, %zu: %g, expected %g", s, axis, what, i, y[i], e);
                }
                end();
            }
    CASE("repeated");
    for (int s = 0; s < BROADCASTS; s++) {
        const shapes *X = &BROADCAST[s][1], *Y = &BROADCAST[s][2];
        begin();
        tensor x = leaf(X->n, X->d, false);
        bool fits = true;
        for (int32_t k = 1; k <= X->n; k++) fits &= X->d[X->n - k] == 1 || X->d[X->n - k] == Y->d[Y->n - k];
        float *y = fits ? value(mt_g_expand(g, x.node, Y->n, Y->d), Y->n, Y->d) : NULL;
        size_t count = 1;
        for (int32_t k = 0; k < Y->n; k++) count *= (size_t)Y->d[k];
        for (size_t i = 0; y && i < count; i++) {
            int32_t index[4];
            unravel(i, Y->n, Y->d, index);
            CHECK(y[i] == x.v[at(&x, Y->n, index)], "shapes %d, %zu", s, i);
        }
        end();
    }
}

static void test_dot(void) {
    static const struct {
        int32_t n, batch[2], M, K, N;
    } of[] = {{2, {1, 1}, 3, 4, 5},     {2, {1, 1}, 1, 1, 1},    {3, {1, 3}, 2, 7, 3},    {4, {2, 3}, 5, 6, 7},
              {2, {1, 1}, 70, 130, 90}, {3, {1, 3}, 33, 40, 65}, {4, {2, 2}, 64, 16, 64}, {3, {1, 2}, 3, 0, 2},
              {3, {1, 0}, 3, 2, 2},     {3, {1, 40}, 9, 65, 34}};
    CASE("products of matrices, one or many");
    for (size_t c = 0; c < sizeof of / sizeof *of; c++)
        for (int how = 0; how < 8; how++) {
            bool ta = how & 1, tb = how & 2, shared = how & 4;
            int32_t n = of[c].n, M = of[c].M, K = of[c].K, N = of[c].N, a[4], b[4], y[4], m = n - 2;
            for (int32_t k = 0; k < m; k++) a[k] = b[k] = y[k] = of[c].batch[k + 4 - n];
            a[m] = ta ? K : M, a[m + 1] = ta ? M : K, b[m] = tb ? N : K, b[m + 1] = tb ? K : N, y[m] = M, y[m + 1] = N;
            begin();
            tensor A = leaf(n, a, false), B = leaf(shared ? 2 : n, shared ? b + m : b, false);
            float *v = value(mt_g_dot(g, A.node, B.node, ta, tb, 0.5f), n, y);
            size_t count = 1;
            for (int32_t k = 0; k < n; k++) count *= (size_t)y[k];
            for (size_t i = 0; v && i < count; i++) {
                size_t col = i % (size_t)N, row = i / (size_t)N % (size_t)M, item = i / (size_t)N / (size_t)M;
                double sum = 0, size = 0;
                for (size_t k = 0; k < (size_t)K; k++) {
                    size_t at_a = ta ? k * (size_t)M + row : row * (size_t)K + k;
                    size_t at_b = tb ? col * (size_t)K + k : k * (size_t)N + col;
                    double p = (double)A.v[item * (size_t)(M * K) + at_a] *
                               (double)B.v[(shared ? 0 : item * (size_t)(K * N)) + at_b];
                    sum += p, size += fabs(p);
                }
                CHECK(close_to(v[i], 0.5 * sum, size), "case %zu, %d, %zu: %g, expected %g", c, how, i, v[i],
                      0.5 * sum);
            }
            end();
        }
}

/* ---- gradients in single precision (in double: grad_general.c) ---- */

static struct {
    const tensor *of;
    float *grad;
} trained[3];
static int trained_count;
static float *grad_of(void *arg, const void *storage) {
    (void)arg;
    for (int k = 0; k < trained_count; k++)
        if (trained[k].of->v == storage) return trained[k].grad;
    return NULL;
}
/* Of the sum of node's elements times dy, with one thread and with three: the gradients that are in `trained`. */
static void gradients(int32_t node, const tensor *dy, const tensor *a, const tensor *b) {
    int32_t loss = mt_g_binary(g, MT_BINARY_MUL, node, dy->node);
    CHECK(loss >= 0, "%s", g->error.text);
    float *before[2] = {NULL, NULL};
    for (int run = 0; run < 2; run++) {
        trained_count = 0;
        for (int k = 0; k < (b ? 2 : 1); k++) {
            const tensor *of = k ? b : a;
            trained[trained_count].of = of;
            trained[trained_count++].grad = own(of->count * sizeof(float));
        }
        mt_tape *t = NULL;
        CHECK_OK(mt_tape_new(g, &(mt_tape_options){.loss = loss, .grad = grad_of}, &t, &err));
        if (!t) return;
        float *scratch = mt_alloc_aligned(mt_tape_scratch(t) * sizeof(float), 64);
        mt_tape_forward(t, run ? pool : NULL, scratch, &(mt_feed){.T = 0});
        mt_tape_backward(t, run ? pool : NULL, scratch, &(mt_feed){.T = 0});
        mt_free_aligned(scratch);
        mt_tape_free(t);
        for (int k = 0; k < trained_count; k++) {
            if (run)
                CHECK(memcmp(before[k], trained[k].grad, trained[k].of->count * sizeof(float)) == 0,
                      "three threads say something else of input %d", k);
            before[k] = trained[k].grad;
        }
    }
}
static void check_gradient(int k, const double *expected, const double *size, const char *what, int which) {
    for (size_t i = 0; i < trained[k].of->count; i++)
        CHECK(close_to(trained[k].grad[i], expected[i], size[i]), "%s %d, input %d, element %zu: %.9g, expected %.9g",
              what, which, k, i, trained[k].grad[i], expected[i]);
}

static void test_gradients(void) {
    CASE("gradients of broadcast arithmetic");
    for (int s = 0; s < 2 * BROADCASTS; s++)
        for (int kind = 0; kind < MT_BINARY_COUNT; kind++) {
            const shapes *sh = BROADCAST[s / 2], *Y = &sh[2];
            begin();
            tensor a = leaf(sh[s % 2].n, sh[s % 2].d, kind >= MT_BINARY_MAX);
            tensor b = leaf(sh[1 - s % 2].n, sh[1 - s % 2].d, kind >= MT_BINARY_MAX), dy = leaf(Y->n, Y->d, false);
            for (size_t i = 0; i < b.count && kind == MT_BINARY_DIV; i++) b.v[i] = 1 + b.v[i] * b.v[i];
            gradients(mt_g_binary(g, (mt_binary)kind, a.node, b.node), &dy, &a, &b);
            double *e[2] = {own(a.count * sizeof(double)), own(b.count * sizeof(double))};
            double *size[2] = {own(a.count * sizeof(double)), own(b.count * sizeof(double))};
            for (size_t i = 0; i < dy.count; i++) {
                int32_t index[4];
                unravel(i, Y->n, Y->d, index);
                size_t at_a = at(&a, Y->n, index), at_b = at(&b, Y->n, index);
                double u = a.v[at_a], v = b.v[at_b], d[2] = {1, kind == MT_BINARY_SUB ? -1 : 1};
                if (kind == MT_BINARY_MUL) d[0] = v, d[1] = u;
                if (kind == MT_BINARY_DIV) d[0] = 1 / v, d[1] = -u / (v * v);
                if (kind == MT_BINARY_MAX) d[0] = u >= v, d[1] = u < v;
                if (kind == MT_BINARY_MIN) d[0] = u <= v, d[1] = u > v;
                e[0][at_a] += d[0] * dy.v[i], size[0][at_a] += fabs(d[0] * dy.v[i]);
                e[1][at_b] += d[1] * dy.v[i], size[1][at_b] += fabs(d[1] * dy.v[i]);
            }
            for (int k = 0; k < 2; k++) check_gradient(k, e[k], size[k], binary_names[kind], s);
            end();
        }
    CASE("gradients of softmax and cross-entropy");
    for (int s = 0; s < ANYS; s++)
        for (int what = 0; what < 3; what++) {
            const shapes *S = &ANY[s];
            int32_t V = S->d[S->n - 1], ids, node;
            begin();
            tensor x = leaf(S->n, S->d, false), dy = leaf(what == 2 ? S->n - 1 : S->n, S->d, false);
            int32_t *target = index_leaf(S->n - 1, S->d, V, &ids);
            node = what == 2 ? mt_g_cross_entropy(g, x.node, ids, 0) : mt_g_softmax(g, x.node, what);
            gradients(node, &dy, &x, NULL);
            double *e = own(x.count * sizeof *e), *size = own(x.count * sizeof *size), p[9001];
            for (size_t r = 0; V <= 9001 && r < x.count / (size_t)V; r++) {
                size_t row = r * (size_t)V;
                double sum = 0, mean = 0, total = 0, most = 0;
                for (int32_t i = 0; i < V; i++) sum += p[i] = exp(x.v[row + (size_t)i]);
                for (int32_t i = 0; i < V; i++) {
                    p[i] /= sum;
                    if (what < 2) mean += p[i] * dy.v[row + (size_t)i], total += dy.v[row + (size_t)i];
                    if (what < 2) most += fabs(what ? dy.v[row + (size_t)i] : p[i] * dy.v[row + (size_t)i]);
                }
                for (int32_t i = 0; i < V; i++) {
                    size_t k = row + (size_t)i;
                    e[k] = what == 0       ? p[i] * (dy.v[k] - mean)
                           : what == 1     ? dy.v[k] - p[i] * total
                           : target[r] < 0 ? 0
                                           : dy.v[r] * (p[i] - (target[r] == i));
                    size[k] = what == 2 ? fabs(dy.v[r]) : what ? 1 + p[i] * most : p[i] * (fabs(dy.v[k]) + most);
                }
            }
            check_gradient(0, e, size, "shape", s);
            end();
        }
    CASE("gradients of rows of a table, and of a product by one matrix");
    for (int s = 0; s < 2; s++) {
        int32_t D = s ? 70 : 3, N = 20, count = s ? 400 : 30, ids;
        begin();
        tensor table = leaf(2, (int32_t[]){N, D}, false), w = leaf(2, (int32_t[]){D, 50}, false);
        tensor dy = leaf(2, (int32_t[]){count, 50}, false);
        int32_t *id = index_leaf(1, &count, N, &ids);
        gradients(mt_g_dot(g, mt_g_take(g, table.node, ids), w.node, false, false, 1), &dy, &table, &w);
        double *e[2] = {own(table.count * sizeof(double)), own(w.count * sizeof(double))};
        double *size[2] = {own(table.count * sizeof(double)), own(w.count * sizeof(double))};
        for (int32_t t = 0; t < count; t++)
            for (int32_t d = 0; d < D && id[t] >= 0; d++)
                for (int32_t k = 0; k < 50; k++) {
                    double out = dy.v[t * 50 + k];
                    e[0][id[t] * D + d] += out * w.v[d * 50 + k], size[0][id[t] * D + d] += fabs(out * w.v[d * 50 + k]);
                    e[1][d * 50 + k] += out * table.v[id[t] * D + d],
                        size[1][d * 50 + k] += fabs(out * table.v[id[t] * D + d]);
                }
        for (int k = 0; k < 2; k++) check_gradient(k, e[k], size[k], "size", s);
        end();
    }
    CASE("gradients of changes of order and of sums are the same for three threads");
    for (int what = 0; what < 14; what++) {
        begin();
        tensor x = leaf(3, (int32_t[]){3, 150, 60}, what == 5), y = shaped(0, NULL);
        int32_t node = what < 5     ? mt_g_reduce(g, (mt_reduce)what, x.node, 1)
                       : what == 5  ? mt_g_reduce(g, MT_REDUCE_MAX, x.node, 2)
                       : what == 6  ? mt_g_cumsum(g, x.node, 1, false)
                       : what == 7  ? mt_g_permute(g, x.node, (int32_t[]){2, 0, 1})
                       : what == 8  ? mt_g_permute(g, x.node, (int32_t[]){1, 0, 2})
                       : what == 9  ? mt_g_concat(g, x.node, x.node, 1)
                       : what == 10 ? mt_g_cut(g, x.node, 1, 10, 130)
                       : what == 11 ? mt_g_move(g, x.node, 1, 3, true)
                       : what == 12 ? mt_g_expand(g, mt_g_reduce(g, MT_REDUCE_SUM, x.node, 1), 3, x.d)
                                    : mt_g_unary(g, MT_UNARY_GELU_ERF, x.node, 0, 0);
        CHECK(node >= 0, "%s", g->error.text);
        y = leaf(3, g->nodes[node].dims, false);
        gradients(node, &y, &x, NULL);
        double sum = 0;
        for (size_t i = 0; i < x.count; i++) sum += fabsf(trained[0].grad[i]);
        CHECK(sum > 0 && isfinite(sum), "what %d: %g", what, sum);
        end();
    }
}

static void refused(int32_t node, mt_status status, const char *text) {
    CHECK(node == -1 && g->status == status && strstr(g->error.text, text), "%d, %s: %s, expected %s", node,
          mt_status_name(g->status), g->error.text, text);
    CHECK(mt_g_unary(g, MT_UNARY_NEG, 0, 0, 0) == -1, "goes on after an error");
    mt_error again = {0};
    CHECK(mt_graph_plan(g, &again) == status && strcmp(again.text, g->error.text) == 0, "%s", again.text);
    g->status = MT_OK;
}

static void test_refused(void) {
    CASE("shapes that do not go together");
    begin();
    int32_t a = leaf(2, (int32_t[]){3, 4}, false).node, b = leaf(1, (int32_t[]){3}, false).node, ids, none;
    int32_t c = leaf(3, (int32_t[]){2, 3, 4}, false).node, big = leaf(3, (int32_t[]){4, 1, 0}, false).node;
    index_leaf(1, (int32_t[]){4}, 3, &ids);
    index_leaf(4, (int32_t[]){1, 1, 1, 1}, 3, &none);
    int32_t scalar = leaf(0, NULL, false).node, wide = leaf(1, (int32_t[]){1}, false).node;
    mt_weight w;
    CHECK_OK(mt_weight_new(&w, MT_F32, 3, 4, &err));
    int32_t weight = mt_g_weight(g, &w);
    refused(mt_g_binary(g, MT_BINARY_ADD, a, b), MT_ERANGE,
            "shapes [3, 4] and [3] do not go together: 4 and 3 in axis -1");
    refused(mt_g_binary(g, (mt_binary)77, a, a), MT_ERANGE, "no such kind: 77");
    refused(mt_g_unary(g, (mt_unary)-1, a, 0, 0), MT_ERANGE, "no such kind: -1");
    refused(mt_g_reduce(g, (mt_reduce)9, a, 0), MT_ERANGE, "no such kind: 9");
    refused(mt_g_where(g, a, a, b), MT_ERANGE, "[3, 4] and [3]");
    refused(mt_g_dot(g, a, a, false, false, 1), MT_ERANGE, "[3, 4] by [3, 4]: sums over 4 and 3 elements");
    refused(mt_g_dot(g, a, c, false, true, 1), MT_ERANGE, "shapes [3, 4] and [2, 3, 4]");
    refused(mt_g_dot(g, b, b, false, false, 1), MT_ERANGE, "shapes [3] and [3]");
    refused(mt_g_dot(g, c, leaf(3, (int32_t[]){1, 3, 4}, false).node, false, true, 1), MT_ERANGE,
            "2 and 1 matrices in axis 0");
    refused(mt_g_reduce(g, MT_REDUCE_SUM, a, 2), MT_ERANGE, "axis 2 of a tensor of shape [3, 4]");
    refused(mt_g_reduce(g, MT_REDUCE_SUM, a, -3), MT_ERANGE, "axis -3");
    refused(mt_g_reduce(g, MT_REDUCE_MEAN, big, 2), MT_ERANGE, "axis 2 of a tensor of shape [4, 1, 0] is empty");
    refused(mt_g_cumsum(g, scalar, 0, false), MT_ERANGE, "axis 0 of a tensor of shape []");
    refused(mt_g_softmax(g, scalar, false), MT_ERANGE, "shape []");
    refused(mt_g_take(g, a, b), MT_ERANGE, "is of the kind vector, expected index");
    refused(mt_g_take(g, a, none), MT_ERANGE, "the result has 5 axes");
    refused(mt_g_take(g, scalar, ids), MT_ERANGE, "shape []");
    refused(mt_g_take(g, a, 12345), MT_ERANGE, "node 12345");
    refused(mt_g_pick(g, a, ids), MT_ERANGE, "an index of shape [4] into rows of shape [3, 4]");
    refused(mt_g_pick(g, scalar, ids), MT_ERANGE, "an index of shape [4] into rows of shape []");
    refused(mt_g_cross_entropy(g, a, ids, 0), MT_ERANGE, "an index of shape [4] into rows of shape [3, 4]");
    index_leaf(1, (int32_t[]){3}, 3, &ids);
    refused(mt_g_cross_entropy(g, a, ids, 1.5f), MT_ERANGE, "smoothing is 1.5");
    refused(mt_g_permute(g, a, (int32_t[]){0, 0}), MT_ERANGE, "axis 0 of a tensor of shape [3, 4] is named twice");
    refused(mt_g_permute(g, a, (int32_t[]){0, 2}), MT_ERANGE, "axis 2 of a tensor of shape [3, 4]");
    refused(mt_g_concat(g, a, b, 0), MT_ERANGE, "shapes [3, 4] and [3] differ in more than axis 0");
    refused(mt_g_concat(g, a, c, 1), MT_ERANGE, "shapes [3, 4] and [2, 3, 4]");
    refused(mt_g_cut(g, a, 1, 3, 2), MT_ERANGE, "2 elements from 3 on along axis 1 of a tensor of shape [3, 4]");
    refused(mt_g_cut(g, a, 1, -1, 2), MT_ERANGE, "2 elements from -1 on");
    refused(mt_g_cut(g, a, 1, 2, INT32_MIN), MT_ERANGE, "elements from 2 on");
    refused(mt_g_move(g, a, 5, 1, false), MT_ERANGE, "axis 5");
    refused(mt_g_flip(g, a, -9), MT_ERANGE, "axis -9");
    refused(mt_g_expand(g, a, 1, (int32_t[]){4}), MT_ERANGE, "a tensor of shape [3, 4] cannot be repeated to [4]");
    refused(mt_g_expand(g, a, 2, (int32_t[]){6, 4}), MT_ERANGE, "shapes [6, 4] and [3, 4]");
    refused(mt_g_expand(g, a, 5, (int32_t[]){1, 1, 1, 3, 4}), MT_ERANGE, "5 axes");
    refused(mt_g_expand(g, wide, 1, (int32_t[]){-4}), MT_ELIMIT, "dimension 0 is -4");
    refused(mt_g_expand(g, wide, 3, (int32_t[]){65536, 65536, 1}), MT_ELIMIT, "more than 2147483647 elements");
    refused(mt_g_straight(g, a, b), MT_ERANGE, "the value has shape [3, 4], the tensor that takes its gradient [3]");
    refused(mt_g_unary(g, MT_UNARY_EXP, weight, 0, 0), MT_ERANGE, "is of the kind weight, expected floats");
    refused(mt_g_binary(g, MT_BINARY_ADD, a, ids), MT_ERANGE, "is of the kind index, expected floats");
    refused(mt_g_unary(g, MT_UNARY_EXP, 9999, 0, 0), MT_ERANGE, "an input is node 9999");
    refused(mt_g_leaf(g, &(float){0}, 5, (int32_t[]){1, 1, 1, 1, 1}), MT_ERANGE, "5 axes");
    refused(mt_g_leaf(g, &(float){0}, 1, (int32_t[]){-1}), MT_ELIMIT, "dimension 0 is -1");
    refused(mt_g_view(g, a, 2, (int32_t[]){3, 5}), MT_ERANGE, "an input has width 12, expected 15");
    refused(mt_g_view(g, a, 2, (int32_t[]){-3, -4}), MT_ERANGE, "an input has width 12");
    refused(mt_g_view(g, a, 5, (int32_t[]){3, 4, 1, 1, 1}), MT_ERANGE, "an input has width 12");
    int32_t before = g->count;
    CHECK(mt_g_binary(g, MT_BINARY_ADD, a, -1) == -1 && mt_g_where(g, -1, a, a) == -1 &&
              mt_g_leaf(g, NULL, 0, NULL) == -1 && mt_g_take(g, a, -1) == -1 && g->count == before &&
              g->status == MT_OK,
          "-1 in, -1 out");
    mt_weight_free(&w);
    end();
    CASE("no memory for a node");
    begin();
    a = leaf(1, (int32_t[]){1}, false).node;
    for (int i = 0; i < 1000 && a >= 0; i++) {
        mt_fail_allocation_after(0);
        int32_t next = mt_g_unary(g, MT_UNARY_EXP, a, 0, 0);
        mt_fail_allocation_after(-1);
        CHECK(next >= 0 || g->status == MT_ENOMEM, "%s", mt_status_name(g->status));
        a = next;
    }
    CHECK(a == -1, "a node was never too much");
    end();
}

int main(void) {
    mt_rng_seed(&rng, 1);
    if (mt_pool_new(3, &pool, &err) != MT_OK) return 1;
    test_binary();
    test_unary();
    test_axes();
    test_rows();
    test_places();
    test_dot();
    test_gradients();
    test_refused();
    mt_pool_free(pool);
    CASE("everything is given back");
    CHECK(mt_live_allocations() == 0, "%zu blocks", mt_live_allocations());
    return test_end();
}
