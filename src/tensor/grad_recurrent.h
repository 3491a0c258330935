/* What the files of recurrent gradients share (grad_recurrent*.c). */
#ifndef MT_GRAD_RECURRENT_H
#define MT_GRAD_RECURRENT_H

#include "grad.h"

/* Where several threads add to one sum the work is cut into this many parts, however many threads there are, so that
 * the order of the sum is always the same. */
enum { MT_BACK_PARTS = 16 };

/* Four floats side by side, for loops with sums, which a compiler may not reorder by itself. */
typedef float mt_four __attribute__((vector_size(4 * sizeof(float))));
static inline mt_four mt_four_at(const float *p) {
    mt_four v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void mt_four_put(mt_four v, float *p) {
    memcpy(p, &v, sizeof v);
}
static inline void mt_four_add(mt_four v, float *p) {
    mt_four_put(mt_four_at(p) + v, p);
}
static inline float mt_four_sum(mt_four v) {
    return (v[0] + v[1]) + (v[2] + v[3]);
}

/* a times b floats; where that overflows so many that the tape is refused. */
static inline size_t mt_back_area(size_t a, size_t b) {
    size_t area;
    return mt_mul_size(a, b, &area) && area < SIZE_MAX / 64 ? area : SIZE_MAX / 64;
}

/* The pool, where `steps` simple operations are worth waking threads for. */
static inline mt_pool *mt_back_pool(const mt_back *b, size_t steps) {
    return steps < 16384 ? NULL : b->pool;
}

/* The state that row t, which follows no row of the batch, continues; NULL: zeros. */
static inline const float *mt_back_kept(const mt_back *b, int32_t t) {
    const mt_feed *f = b->feed;
    if (f->state_in[t] < 0) return NULL;
    return f->state[b->n->i[0]] + b->n->i[1] + (size_t)f->state_in[t] * f->state_width;
}

/* Whether some row follows another than the one right before it. */
static inline bool mt_back_is_tree(const mt_back *b) {
    for (int32_t t = 0; t < b->n->dims[0]; t++)
        if (b->feed->parent_row[t] >= 0 && b->feed->parent_row[t] != t - 1) return true;
    return false;
}

void mt_back_wkv(const mt_back *b);
void mt_back_delta(const mt_back *b);
void mt_back_scan(const mt_back *b);
void mt_back_cell(const mt_back *b);
size_t mt_back_wkv_work(const mt_node *n);
size_t mt_back_delta_work(const mt_node *n);
size_t mt_back_scan_work(const mt_node *n);
size_t mt_back_cell_work(const mt_graph *g, const mt_node *n);

#endif
