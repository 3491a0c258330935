/* What the benchmark of the operations on tensors of any shape runs: linked with the core's objects for WASM. */
#include "tensor/general.h"
#include "tensor/grad.h"

#define EXPORT __attribute__((visibility("default"), used))

enum {
    ADD,
    MUL,
    DIV,
    RELU,
    GELU,
    SIGMOID,
    LOG,
    SUM,
    MEAN,
    VARIANCE,
    LSE,
    CUMSUM,
    SOFTMAX,
    LOG_SOFTMAX,
    CE,
    TAKE,
    PICK,
    PERMUTE,
    CONCAT,
    CUT,
    MOVE,
    FLIP,
    EXPAND,
    WHERE,
    DOT,
    DOT_B
};

static mt_graph *g;
static int32_t input[3], result;
static float *values[3], *grads[3], *y, *dy, *work;
static uint32_t seed = 1;

static float *noise(size_t n) {
    float *p = mt_alloc_aligned(n * sizeof(float) + 64, 64);
    for (size_t i = 0; p && i < n; i++) p[i] = (float)(int32_t)(seed = seed * 1664525 + 1013904223) * 0x1p-31f;
    return p;
}

EXPORT int bench_isa(int isa) {
    return mt_kernels_use((mt_isa)isa, NULL) == MT_OK;
}
EXPORT void bench_begin(void) {
    mt_graph_new(NULL, NULL, &g, NULL);
}
EXPORT void bench_tensor(int slot, int n, int d0, int d1, int d2, int d3) {
    int32_t d[4] = {d0, d1, d2, d3};
    size_t count = 1;
    for (int k = 0; k < n; k++) count *= (size_t)d[k];
    values[slot] = noise(count), grads[slot] = noise(count);
    input[slot] = mt_g_leaf(g, values[slot], n, d);
}
EXPORT void bench_index(int slot, int n, int d0, int d1, int d2, int below) {
    int32_t d[3] = {d0, d1, d2};
    size_t count = 1;
    for (int k = 0; k < n; k++) count *= (size_t)d[k];
    int32_t *ids = mt_malloc(count * sizeof *ids);
    for (size_t i = 0; i < count; i++) ids[i] = (int32_t)((seed = seed * 1664525 + 1013904223) >> 8) % below;
    values[slot] = grads[slot] = NULL;
    input[slot] = mt_g_index(g, ids, n, d);
}
/* i: the axis or two bits of transposition, count or steps; axes of a permutation as 4 decimal digits. */
EXPORT int bench_op(int op, int i, int k) {
    int32_t a = input[0], b = input[1], axes[4] = {i / 1000, i / 100 % 10, i / 10 % 10, i % 10};
    switch (op) {
    case ADD:
        result = mt_g_binary(g, MT_BINARY_ADD, a, b);
        break;
    case MUL:
        result = mt_g_binary(g, MT_BINARY_MUL, a, b);
        break;
    case DIV:
        result = mt_g_binary(g, MT_BINARY_DIV, a, b);
        break;
    case RELU:
        result = mt_g_unary(g, MT_UNARY_RELU, a, 0, 0);
        break;
    case GELU:
        result = mt_g_unary(g, MT_UNARY_GELU_TANH, a, 0, 0);
        break;
    case SIGMOID:
        result = mt_g_unary(g, MT_UNARY_SIGMOID, a, 0, 0);
        break;
    case LOG:
        result = mt_g_unary(g, MT_UNARY_LOG, a, 0, 0);
        break;
    case SUM:
        result = mt_g_reduce(g, MT_REDUCE_SUM, a, i);
        break;
    case MEAN:
        result = mt_g_reduce(g, MT_REDUCE_MEAN, a, i);
        break;
    case VARIANCE:
        result = mt_g_reduce(g, MT_REDUCE_VARIANCE, a, i);
        break;
    case LSE:
        result = mt_g_reduce(g, MT_REDUCE_LOG_SUM_EXP, a, i);
        break;
    case CUMSUM:
        result = mt_g_cumsum(g, a, i, false);
        break;
    case SOFTMAX:
        result = mt_g_softmax(g, a, false);
        break;
    case LOG_SOFTMAX:
        result = mt_g_softmax(g, a, true);
        break;
    case CE:
        result = mt_g_cross_entropy(g, a, b, 0);
        break;
    case TAKE:
        result = mt_g_take(g, a, b);
        break;
    case PICK:
        result = mt_g_pick(g, a, b);
        break;
    case PERMUTE:
        result = mt_g_permute(g, a, axes);
        break;
    case CONCAT:
        result = mt_g_concat(g, a, b, i);
        break;
    case CUT:
        result = mt_g_cut(g, a, i, 0, k);
        break;
    case MOVE:
        result = mt_g_move(g, a, i, k, false);
        break;
    case FLIP:
        result = mt_g_flip(g, a, i);
        break;
    case EXPAND: {
        int32_t n = g->nodes[a].n_dims, d[4];
        memcpy(d, g->nodes[a].dims, sizeof d);
        d[i] = k;
        result = mt_g_expand(g, a, n, d);
        break;
    }
    case WHERE:
        result = mt_g_where(g, a, b, input[2]);
        break;
    default:
        result = mt_g_dot(g, a, b, i & 1, i & 2, 1);
        break;
    }
    if (result < 0) return 0;
    const mt_node *n = &g->nodes[result];
    size_t count = mt_node_elements(n), forward = mt_general_scratch(g, n) / sizeof(float);
    size_t back = mt_back_general_work(g, n);
    y = noise(count), dy = noise(count), work = noise(forward > back ? forward : back);
    return (int)count;
}
EXPORT void bench_forward(int times) {
    const float *in[MT_NODE_INPUTS] = {values[0], values[1], values[2]};
    for (int i = 0; i < times; i++) mt_general_run(g, &g->nodes[result], NULL, in, y, work);
}
/* Gradients of all inputs. */
EXPORT void bench_back(int times) {
    const mt_node *n = &g->nodes[result];
    mt_back b = {.g = g, .n = n, .y = y, .dy = dy, .work = work};
    for (int k = 0; k < 3 && n->in[k] >= 0; k++)
        b.x[k] = values[k], b.dx[k] = n->op == MT_OP_WHERE && !k ? NULL : grads[k];
    for (int i = 0; i < times; i++) mt_back_general(&b);
}
/* The measure of the others: as many floats copied. */
EXPORT void bench_copy(int times) {
    for (int i = 0; i < times; i++) {
        memcpy(y, dy, mt_node_elements(&g->nodes[result]) * sizeof *y);
        __asm__ volatile("" ::"r"(y) : "memory");
    }
}
EXPORT void bench_end(void) {
    for (int k = 0; k < 3; k++) mt_free_aligned(values[k]), mt_free_aligned(grads[k]), values[k] = grads[k] = NULL;
    mt_free_aligned(y), mt_free_aligned(dy), mt_free_aligned(work);
    mt_graph_free(g);
}
