/* Operations on tensors of any shape (up to 4 dimensions, row-major), for models that are built and trained from
 * nothing: batched products, broadcasting arithmetic, reductions, softmax, look-ups, changes of shape. Builders work as
 * those of graph.h: -1 in, -1 out; a wrong shape is the graph's error and says which. Gradients: grad_general.c. */
#ifndef MT_GENERAL_H
#define MT_GENERAL_H

#include "graph.h"

typedef enum mt_binary {
    MT_BINARY_ADD,
    MT_BINARY_SUB,
    MT_BINARY_MUL,
    MT_BINARY_DIV,
    MT_BINARY_MAX, /* equal: the gradient goes to the first */
    MT_BINARY_MIN,
    MT_BINARY_COUNT
} mt_binary;
typedef enum mt_unary {
    MT_UNARY_NEG,
    MT_UNARY_EXP,
    MT_UNARY_LOG,
    MT_UNARY_SQRT,
    MT_UNARY_RSQRT,
    MT_UNARY_SQUARE,
    MT_UNARY_RECIPROCAL,
    MT_UNARY_ABS, /* gradient at 0: 0 */
    MT_UNARY_SIN,
    MT_UNARY_COS,
    MT_UNARY_TANH,
    MT_UNARY_SIGMOID,
    MT_UNARY_SOFTPLUS,
    MT_UNARY_RELU,
    MT_UNARY_LEAKY_RELU, /* f[0]: slope below 0 */
    MT_UNARY_GELU_TANH,
    MT_UNARY_GELU_ERF,
    MT_UNARY_SILU,
    MT_UNARY_POW,    /* f[0]: exponent */
    MT_UNARY_CLAMP,  /* to [f[0], f[1]] */
    MT_UNARY_AFFINE, /* f[0] x + f[1] */
    MT_UNARY_SIGN,   /* no gradient */
    MT_UNARY_ROUND,  /* to the nearest even; no gradient: see straight */
    MT_UNARY_COUNT
} mt_unary;
typedef enum mt_reduce {
    MT_REDUCE_SUM,
    MT_REDUCE_MEAN,
    MT_REDUCE_MAX,      /* the gradient goes to the first of the largest */
    MT_REDUCE_VARIANCE, /* divided by n */
    MT_REDUCE_LOG_SUM_EXP,
    MT_REDUCE_COUNT
} mt_reduce;

/* An axis may be counted from the end: -1 is the last. Shapes go together as in numpy: compared from the last axis on,
 * axes of width 1 (or none) are repeated. Indices outside of what they point into count as -1: whoever gives them
 * checks them. */

/* Leaves. Values live elsewhere; whether a leaf is trained is the tape's question. */
int32_t mt_g_leaf(mt_graph *g, const float *values, int32_t n_dims, const int32_t *dims);
int32_t mt_g_index(mt_graph *g, const int32_t *values, int32_t n_dims, const int32_t *dims);
/* scale * a' b' with a' [..., M, K] and b' [..., K, N]; the axes before the last two are equal, or b has none. */
int32_t mt_g_dot(mt_graph *g, int32_t a, int32_t b, bool transpose_a, bool transpose_b, float scale);
int32_t mt_g_binary(mt_graph *g, mt_binary kind, int32_t a, int32_t b);
int32_t mt_g_unary(mt_graph *g, mt_unary kind, int32_t x, float f0, float f1);
int32_t mt_g_reduce(mt_graph *g, mt_reduce kind, int32_t x, int32_t axis);
int32_t mt_g_cumsum(mt_graph *g, int32_t x, int32_t axis, bool from_end);
int32_t mt_g_softmax(mt_graph *g, int32_t x, bool logarithm);
int32_t mt_g_take(mt_graph *g, int32_t x, int32_t index);
int32_t mt_g_pick(mt_graph *g, int32_t x, int32_t index);
int32_t mt_g_permute(mt_graph *g, int32_t x, const int32_t *axes);
int32_t mt_g_concat(mt_graph *g, int32_t a, int32_t b, int32_t axis);
int32_t mt_g_cut(mt_graph *g, int32_t x, int32_t axis, int32_t first, int32_t count);
int32_t mt_g_move(mt_graph *g, int32_t x, int32_t axis, int32_t by, bool around);
int32_t mt_g_flip(mt_graph *g, int32_t x, int32_t axis);
int32_t mt_g_expand(mt_graph *g, int32_t x, int32_t n_dims, const int32_t *dims);
int32_t mt_g_where(mt_graph *g, int32_t condition, int32_t a, int32_t b);
int32_t mt_g_stop(mt_graph *g, int32_t x);
int32_t mt_g_straight(mt_graph *g, int32_t value, int32_t through);
/* [...]: one loss, in nats, for each row of logits [..., V]. Smoothing s: targets are 1 - s there plus s / V everywhere
 * (Szegedy et al. 2016). */
int32_t mt_g_cross_entropy(mt_graph *g, int32_t logits, int32_t targets, float smoothing);

/* For the executor. in[k] of an index leaf is NULL: its values are in the node's `extra`. */
void mt_general_run(const mt_graph *g, const mt_node *n, mt_pool *pool, const float *const in[MT_NODE_INPUTS], float *y,
                    float *kernel);
size_t mt_general_scratch(const mt_graph *g, const mt_node *n); /* bytes of kernel memory */

/* The products that an MT_OP_DOT node n is made of, for mt_gemm_batch; where the second input is one matrix for all
 * rows of the first they are one. */
typedef struct mt_product_of {
    mt_gemm_args gemm;
    int32_t count;
    size_t a_step, b_step, c_step;
    bool dy_first; /* on the way back: the gradient of the value is the first factor */
} mt_product_of;
mt_product_of mt_dot_of(const mt_graph *g, const mt_node *n);

#endif
