/* Reverse-mode differentiation of a graph (Linnainmaa 1970; the tape of Griewank & Walther 2008).
 *
 *   build a graph whose last value is a loss;  mt_tape_new(g, &options, &tape)  instead of mt_graph_plan
 *   mt_tape_forward(...);  mt_tape_backward(...)     gradients are ADDED where options.grad says
 *
 * The tape is a list of steps over the graph's own nodes: forward, then every node that the loss depends on backwards,
 * each adding to the gradients of its inputs. One plan gives places to values and gradients by their times of life.
 * With `segments` (Chen et al. 2016) only what crosses the borders of a segment is kept on the way forward; the rest is
 * computed again when the way back comes to it. Work is split over outputs, so gradients do not depend on the number of
 * threads.
 *
 *   grad.c            the tape        grad_dense.c      products, embeddings, experts
 *   grad_rows.c       norms, activations, rotations, changes of shape
 *   grad_attend.c     attention, fused and in steps, through the cache
 *   grad_recurrent.c  convolution, scans, delta rule, RWKV, LSTM and GRU
 *   grad_general.c    the operations of general.h */
#ifndef MT_GRAD_H
#define MT_GRAD_H

#include "graph.h"

/* Where the gradient of a leaf's storage (an mt_weight, or the floats of a vector) is added up: [rows][cols], plain;
 * NULL: it is not trained. Nodes hold storages in `weight`, `vector` and `extra`. */
typedef float *(*mt_grad_of)(void *arg, const void *storage);

typedef struct mt_tape_options {
    int32_t loss; /* node; its gradient is 1 for every element */
    mt_grad_of grad;
    void *arg;
    int32_t
        segments;  /* 0, 1: every value that is needed is kept; more: so many segments; -1: about sqrt of the blocks */
    int32_t slots; /* of the cache that attention goes through (F32) */
    /* Encoder-decoder models in one graph: nodes before this one are the encoder's. They run with a feed of their own,
     * whose stores are the memory of the rest. 0: there is no encoder. */
    int32_t source;
    const mt_feed *source_feed;
} mt_tape_options;

typedef struct mt_tape mt_tape;
/* Plans forward and backward. The graph stays the caller's and must outlive the tape; its order is left as it is: call
 * mt_graph_order before, where products of one input should be made together. ESTATE: nothing that is trained leads to
 * the loss. */
mt_status mt_tape_new(mt_graph *g, const mt_tape_options *o, mt_tape **out, mt_error *err);
void mt_tape_free(mt_tape *t);
size_t mt_tape_scratch(const mt_tape *t); /* floats that a run needs, 64-byte aligned */
void mt_tape_forward(mt_tape *t, mt_pool *pool, float *scratch, const mt_feed *feed);
void mt_tape_backward(mt_tape *t, mt_pool *pool, float *scratch, const mt_feed *feed); /* after mt_tape_forward */
/* A patched node counts as one whose patch added a constant; the way back of an operation that reads its own value
 * (attention, softmax, caps) then reads the patched one. States that the batch starts from must still be there: no
 * state_out is a state_in. */
/* The same in parts, so that a caller can stop: steps from .. to of mt_tape_steps, all of them in order. */
int32_t mt_tape_steps(const mt_tape *t);
void mt_tape_run(mt_tape *t, int32_t from, int32_t to, mt_pool *pool, float *scratch, const mt_feed *feed);
/* After mt_tape_backward: of nodes marked keep_grad; NULL: the loss does not depend on it. */
const float *mt_tape_grad(const mt_tape *t, float *scratch, int32_t node);

/* ---- for the files that know operations ---- */
typedef struct mt_back {
    const mt_graph *g;
    const mt_node *n;
    const mt_feed *feed;
    mt_pool *pool;
    const float *y;                 /* the node's value, if grad.c's table says that it is needed */
    const float *dy;                /* the gradient of the loss by it */
    const float *x[MT_NODE_INPUTS]; /* vector leaves: always; other values: if needed; weights, index leaves: NULL */
    float *dx[MT_NODE_INPUTS];      /* add to it; NULL: not wanted */
    float *dk, *dv;                 /* gradients of this layer's cache planes [G][slots][width]; NULL: not wanted */
    mt_grad_of grad;                /* of storages in `extra` */
    void *arg;
    float *work; /* as many floats as the operation's work function said, 64-byte aligned */
} mt_back;

void mt_act_slope(mt_act act, const float *x, float *d, size_t n); /* derivatives of mt_act_run; d may be x */
void mt_back_dense(const mt_back *b);
void mt_back_rows(const mt_back *b);
void mt_back_attend(const mt_back *b);
void mt_back_recurrent(const mt_back *b);
void mt_back_general(const mt_back *b);
/* Floats of working memory. */
size_t mt_back_dense_work(const mt_graph *g, const mt_node *n);
size_t mt_back_rows_work(const mt_graph *g, const mt_node *n);
size_t mt_back_attend_work(const mt_graph *g, const mt_node *n, int32_t slots);
size_t mt_back_recurrent_work(const mt_graph *g, const mt_node *n);
size_t mt_back_general_work(const mt_graph *g, const mt_node *n);

#endif
