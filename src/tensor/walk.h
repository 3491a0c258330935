/* Loops over up to four tensors of up to four axes at once, for the operations of general.h and their gradients.
 *
 *   mt_walk w = mt_walk_over(n);                     the axes of node n
 *   mt_walk_add(&w, x);                              operand 0, 1...: axes of width 1 are repeated (step 0)
 *   mt_walk_merge(&w);                               axes that all operands go along evenly become one
 *   mt_walk_part(&w, operand, part, parts);          a share of the axes that this operand has
 *   for (mt_walk_at at = mt_walk_first(&w); at.more; mt_walk_next(&w, &at))
 *       row of `at.length` elements: operand k begins at at.place[k] and goes on by w.step[k][w.axes - 1]
 *
 * After merging, the usual shapes are one or two loops: equal shapes are one row; a vector along the last axis, a
 * column, a leading axis of width 1 are two. */
#ifndef MT_WALK_H
#define MT_WALK_H

#include "graph.h"

enum { MT_WALK_OPERANDS = 4, MT_WALK_AXES = 4 };
typedef struct mt_walk {
    int32_t axes, operands;
    ptrdiff_t step[MT_WALK_OPERANDS][MT_WALK_AXES], start[MT_WALK_OPERANDS];
    ptrdiff_t dims[MT_WALK_AXES], from[MT_WALK_AXES], to[MT_WALK_AXES];
} mt_walk;
typedef struct mt_walk_at {
    ptrdiff_t index[MT_WALK_AXES], place[MT_WALK_OPERANDS];
    size_t length;
    bool more;
} mt_walk_at;

mt_walk mt_walk_over(const mt_node *n);
/* x: a tensor whose axes are those of the walk from the last on, each as wide or of width 1. */
void mt_walk_add(mt_walk *w, const mt_node *x);
/* Any steps: one for each of the n_dims axes of the node that the walk is over. */
void mt_walk_add_steps(mt_walk *w, int32_t n_dims, const ptrdiff_t *steps, ptrdiff_t start);
void mt_walk_merge(mt_walk *w);
/* Parts share no element of `operand` (-1: of the walk), and walk over each element's repetitions in the same order
 * whatever their number. */
void mt_walk_part(mt_walk *w, int32_t operand, int part, int parts);
mt_walk_at mt_walk_first(const mt_walk *w);

static inline void mt_walk_next(const mt_walk *w, mt_walk_at *at) {
    for (int32_t d = w->axes - 2; d >= 0; d--) {
        if (++at->index[d] < w->to[d]) {
            for (int32_t k = 0; k < w->operands; k++) at->place[k] += w->step[k][d];
            return;
        }
        for (int32_t k = 0; k < w->operands; k++) at->place[k] -= w->step[k][d] * (w->to[d] - 1 - w->from[d]);
        at->index[d] = w->from[d];
    }
    at->more = false;
}

/* to[..] = from[..] along operands `to_operand` and the other one of 0 and 1. add: added instead; elements of `to` that
 * are come by several times get the sum. */
void mt_walk_copy(const mt_walk *w, const float *from, float *to, int32_t to_operand, bool add);

/* The operations that only move elements (permute, concat, cut, move, flip, expand, straight) as copies: operand 0 of
 * each walk goes over the value of n, operand 1 over its input `input`. */
typedef struct mt_copies {
    int32_t count, input[2];
    mt_walk walk[2];
    bool partly; /* some elements of the value are zeros that no copy writes */
} mt_copies;
mt_copies mt_copies_of(const mt_graph *g, const mt_node *n);

/* An axis of a tensor as [outer][n][inner], and the rows and columns that a part of the work takes. */
typedef struct mt_axis {
    size_t outer, n, inner;
    size_t outer0, outer1, inner0, inner1;
} mt_axis;
mt_axis mt_axis_of(const mt_node *x, int32_t axis, int part, int parts);

/* Work of fewer elements is done before a thread wakes. */
enum { MT_WALK_ALONE = 16384 };
static inline void mt_spread(mt_pool *pool, mt_task task, void *arg, size_t elements) {
    if (!pool || elements < MT_WALK_ALONE)
        task(arg, 0, 1);
    else
        mt_pool_run(pool, task, arg);
}
/* The part of `count` that begins and ends at multiples of `grain`. */
static inline void mt_share(size_t count, size_t grain, int part, int parts, size_t *from, size_t *to) {
    size_t grains = (count + grain - 1) / grain;
    *from = grains * (size_t)part / (size_t)parts * grain;
    *to = grains * ((size_t)part + 1) / (size_t)parts * grain;
    if (*to > count) *to = count;
}

/* ---- sums that vectorise, each in an order that depends on n alone ---- */
double mt_sum(const float *x, size_t n);
double mt_sum_products(const float *x, const float *y, size_t n);
float mt_largest(const float *x, size_t n);     /* -inf where there is nothing; NaN counts as nothing */
float mt_log_sum_exp(const float *x, size_t n); /* -inf for nothing but -inf */
/* Running sums down the columns of x [n][stride], at most 256 of them; add: to what y holds. */
void mt_cumsum_columns(const float *x, float *y, size_t n, size_t stride, size_t columns, bool from_end, bool add);

#endif
