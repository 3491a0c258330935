/* Graphs: a list of operations on float tensors of concrete shape, in the order in which they run.
 *
 *   g = mt_graph_new()
 *   x = mt_g_embed(g, mt_g_weight(g, table), T)            builders append a node and return its index
 *   x = mt_g_name(g, x, "blocks.%d.hook_resid_pre", 0)      names are kept only where somebody asked for them
 *   y = mt_g_matmul(g, x, mt_g_weight(g, w), bias)
 *   mt_graph_plan(g, y)                                     liveness -> offsets in one scratch block
 *   mt_graph_run(g, pool, scratch, &feed)                   no allocation
 *
 * Leaves (weights, vectors) hold pointers that live elsewhere; what changes from run to run (tokens, positions, the
 * cache, who sees whom) is in mt_feed. A builder never checks for failure: an out-of-memory or a shape error makes
 * every later call return -1, and mt_graph_plan reports it. Nodes carry everything their gradient needs (operation,
 * inputs, parameters), so that training can append backward nodes to the same list. */
#ifndef MT_GRAPH_H
#define MT_GRAPH_H

#include "kernels.h"

typedef enum mt_op {
    MT_OP_WEIGHT,         /* leaf: mt_weight */
    MT_OP_VECTOR,         /* leaf: floats */
    MT_OP_EMBED,          /* rows of weight in[0] at feed.token * f[0] */
    MT_OP_POSITION_EMBED, /* rows of weight in[0] at feed.position + i[0] */
    MT_OP_SINUSOID,       /* in[0] + sines, then cosines, of feed.position by 10000^(-2 i / width) */
    MT_OP_SEGMENT_EMBED,  /* rows of weight in[0] at feed.segment, the first where there is none */
    MT_OP_ADD_RELATIVE, /* scores in[0] + weight in[1] [buckets][H] at the bucket of (key - query); i[0] distance, i[1]
                           both ways */
    MT_OP_ADD_RELATION, /* scores in[0] + f[0] (queries in[1] . rows in[2] + keys of layer i[0] . rows in[3]), the rows
                           at the relative position; i[1] mt_relation, i[2] buckets, i[3] distance */
    MT_OP_TABLE,        /* all rows of weight in[0] */
    MT_OP_SINUSOIDS,    /* sines, then cosines, of the relative positions T - 1 ... 1 - T */
    MT_OP_GATHER_ROWS,  /* rows feed.rows of in[0] */
    MT_OP_MATMUL,       /* in[0] [T][K] by weight in[1] (+ vector in[2]) */
    MT_OP_RMS_NORM,     /* in[0] over its last dimension; gain in[1]; f[0] eps */
    MT_OP_LAYER_NORM,   /* and bias in[2] */
    MT_OP_NORM_SCALE,   /* the divisor alone, [T][1]; i[0]: 1 subtracts the mean; f[0] eps */
    MT_OP_NORM_APPLY,   /* (in[0] - mean if i[0]) / in[1] * gain in[2] + bias in[3] */
    MT_OP_ADD,
    MT_OP_MUL,
    MT_OP_SCALE,    /* f[0] * in[0] */
    MT_OP_ADD_ROW,  /* in[0] + vector in[1] on every row */
    MT_OP_ACT,      /* i[0]: mt_act */
    MT_OP_CLAMP,    /* to [-f[0], f[0]] */
    MT_OP_SOFTCAP,  /* f[0] * tanh(in[0] / f[0]) */
    MT_OP_ROPE,     /* in[0] [T][heads][E], vector in[1] inverse frequencies; i[0] rotated width, i[1] interleaved, i[2]
                       set; f[0] */
    MT_OP_KV_STORE, /* in[0] keys, in[1] values [T][G][E] -> cache of layer i[0]; no value of its own */
    MT_OP_ATTEND,   /* in[0] queries [T][H][E] over the cache of layer i[0]; see mt_attention */
    MT_OP_SCORES,   /* the same in three steps, every value visible: [H][T][columns], -inf where not seen */
    MT_OP_ATTN_SOFTMAX,
    MT_OP_MIX,         /* pattern in[0] by the values of layer i[0] -> [T][H][EV] */
    MT_OP_HEAD_RESULT, /* in[0] [T][H][E] by the columns of weight in[1] that belong to each head -> [T][H][D] */
    MT_OP_SUM_HEADS,   /* [T][H][D] -> [T][D] (+ vector in[1]) */
    MT_OP_EXPERTS,     /* mixture of experts, see mt_experts */
    MT_OP_SLICE,       /* columns i[0] .. i[0] + width of in[0] */
    MT_OP_CONV,   /* depthwise causal convolution of in[0] [T][C] with vector in[1] [C][K] (+ in[2]); i[0] layer, i[1]
                     place in the state, i[2] K */
    MT_OP_SHIFT,  /* the row before: of this batch, or kept; i[0] layer, i[1] place in the state */
    MT_OP_LERP,   /* in[0] * vector in[2] + in[1] * (1 - vector in[2]) */
    MT_OP_WKV,    /* RWKV-4's average of values in[1] by keys in[0]; vectors: decay in[2], bonus in[3]; i[0], i[1] */
    MT_OP_DELTA,  /* gated delta rule, see mt_delta; i[0] layer, i[1] place in the state */
    MT_OP_SCAN,   /* selective state-space recurrence, see mt_scan; i[0] layer, i[1] place in the state */
    MT_OP_ROOM,   /* room that a later node writes */
    MT_OP_CELL,   /* LSTM or GRU, see mt_cell; i[0] layer, i[1] place in the state */
    MT_OP_WINDOW, /* rows of weight in[0] at the last i[2] tokens of each row, i[3] where the text has not begun:
                     [T * i[2]][E]; i[0] layer, i[1] place in the state */
    MT_OP_POOL,   /* an average over windows, see mt_pool_over */
    MT_OP_COPY,
    MT_OP_GIVEN, /* not computed: a patch writes all of it */
    /* Tensors of any shape of up to 4 dimensions (general.h): what models that are trained from nothing are made of. */
    MT_OP_INDEX,         /* leaf: int32 */
    MT_OP_DOT,           /* batched matrix product f[0] * op(in[0]) op(in[1]); i[0]: 1 transposes in[0], 2 in[1] */
    MT_OP_BINARY,        /* i[0]: mt_binary, with broadcasting */
    MT_OP_UNARY,         /* i[0]: mt_unary; f[0], f[1] */
    MT_OP_REDUCE,        /* i[0]: mt_reduce over axis i[1], which stays with width 1 */
    MT_OP_CUMSUM,        /* along axis i[0]; i[1]: from the end */
    MT_OP_SOFTMAX,       /* over the last axis; i[0]: its logarithm. A row of nothing but -inf becomes 0 */
    MT_OP_TAKE,          /* rows in[1] (index) of in[0] along its first axis; -1: zeros */
    MT_OP_PICK,          /* element in[1] (index) of the last axis of in[0], one for each row; -1: zero */
    MT_OP_PERMUTE,       /* axis d of the result is axis i[d] of in[0] */
    MT_OP_CONCAT,        /* in[0] and in[1] along axis i[0] */
    MT_OP_CUT,           /* i[2] elements from i[1] on along axis i[0] */
    MT_OP_MOVE,          /* by i[1] along axis i[0]: y[t] = x[t - i[1]]; i[2]: what leaves comes back in, else zeros */
    MT_OP_FLIP,          /* along axis i[0] */
    MT_OP_EXPAND,        /* axes of width 1 are repeated to the dims of the node */
    MT_OP_WHERE,         /* in[0] not 0 ? in[1] : in[2], with broadcasting */
    MT_OP_STOP,          /* a copy through which no gradient flows */
    MT_OP_STRAIGHT,      /* the value of in[0], the gradient goes to in[1] */
    MT_OP_CROSS_ENTROPY, /* -log softmax of in[0] [..., V] at in[1] (index; -1: 0, no gradient); f[0] label smoothing */
    MT_OP_COUNT
} mt_op;

typedef enum mt_act {
    MT_ACT_SILU,
    MT_ACT_GELU_TANH,
    MT_ACT_GELU_ERF,
    MT_ACT_RELU,
    MT_ACT_RELU2,
    MT_ACT_TANH,
    MT_ACT_SIGMOID,
    MT_ACT_SOFTPLUS
} mt_act;

/* Which row of the representations belongs to query position - key position. */
typedef enum mt_relation {
    MT_RELATION_NONE,
    MT_RELATION_SINUSOID, /* T - 1 - it */
    MT_RELATION_BUCKETS   /* half of the rows + its bucket (He et al. 2021) */
} mt_relation;

enum { MT_NODE_INPUTS = 4, MT_NODE_INTS = 6, MT_MAX_TAPS = 16 };
typedef struct mt_node {
    mt_op op;
    int32_t in[MT_NODE_INPUTS]; /* node indices, -1: none; inputs come before their users */
    int32_t n_dims, dims[4];    /* row-major: the first is the slowest */
    int32_t i[MT_NODE_INTS];
    float f[2];
    const void *extra; /* MT_OP_EXPERTS: mt_experts */
    const mt_weight *weight;
    const float *vector;
    const char *name; /* only of nodes that somebody asked for */
    bool kept;        /* its value survives the run (traced) */
    bool patched;     /* mt_feed.patch is called after it */
    bool given;       /* a patch says all of it: see mt_graph_prune */
    bool stop;        /* nothing after it is wanted */
    bool output;      /* written to feed.output instead of the scratch block */
    bool keep_grad;   /* its gradient survives the backward run of a tape (grad.h) */
    int32_t last_use; /* set by mt_graph_plan */
    size_t offset;    /* floats into the scratch block */
} mt_node;

/* What the builder answers about a name. */
enum { MT_WANT_NOT = 0, MT_WANT_TRACE = 1, MT_WANT_PATCH = 2, MT_WANT_GIVEN = 4, MT_WANT_STOP = 8, MT_WANT_GRAD = 16 };
typedef int (*mt_wanted)(void *arg, const char *name);

/* A low-rank adapter of a matrix W [N][K] (Hu et al. 2021): x W' becomes x W' + scale (x a') b', a [rank][K], b
 * [N][rank]. */
typedef struct mt_adapter {
    const mt_weight *a, *b;
    float scale;
} mt_adapter;
typedef const mt_adapter *(*mt_adapter_of)(void *arg, const mt_weight *w); /* NULL: it has none */

typedef struct mt_graph {
    mt_node *nodes;
    int32_t count;
    size_t capacity;
    mt_arena names;
    mt_wanted wanted;
    void *wanted_arg;
    mt_adapter_of adapter; /* NULL: no matrix has one */
    void *adapter_arg;
    const char *scope; /* goes before every name: "encoder."; NULL: nothing */
    int32_t output;
    size_t scratch;   /* floats that a run needs */
    size_t kernel_at; /* from this float on: working memory of the kernels */
    mt_status status;
    mt_error error;
} mt_graph;

/* Attention as nodes see it: layer of the cache, set of runs (one per kind of visibility), shapes and score rules. */
enum { MT_RUNS_MEMORY = -1 }; /* mt_attention.runs: every row sees all of feed.memory */
typedef struct mt_attention {
    int32_t layer, runs, kv_heads, key_width, value_width;
    float scale, softcap;
    int32_t alibi, sink; /* vector nodes [H], or -1 */
} mt_attention;

/* softmax over the router's logits, the best `used` experts, their gated networks summed by weight. */
typedef struct mt_experts {
    const mt_weight *gate, *up, *down; /* `count` of each; gate NULL: plain */
    int32_t count, used;
    const float *gate_bias, *up_bias, *down_bias; /* [count][rows], or NULL */
    float limit;    /* more than 0: gates at most this, inputs within it on both sides, (up + 1) * gate * sigmoid(1.702
                       gate) */
    bool normalise; /* weights of the chosen sum to one */
    mt_act act;
} mt_experts;

/* h = exp(dt A) h + dt B u, y = C h + D u for every channel (Gu & Dao 2023; Dao & Gu 2024): in[0] u [T][channels],
 * in[1] dt [T][channels / width], in[2] B and in[3] C [T][groups * state]. A is [channels][state], or one number for
 * each head of `width` channels. The state is [channels][state]. */
typedef struct mt_scan {
    const float *A, *D; /* D: one number for each head */
    int32_t channels, width, groups, state;
    bool scalar;
} mt_scan;

/* The gated delta rule (Yang et al. 2024) for every value head: S = exp(g) S; S += k (beta (v - S' k))'; y = S' q, with
 * q and k of unit length, q times key_width^-1/2, beta = sigmoid(in[1]), g = A softplus(in[2] + dt_bias). in[0]:
 * [T][queries, keys, values]. The state is [value heads][key_width][value_width]. */
typedef struct mt_delta {
    const float *A, *dt_bias; /* [value_heads]; A is negative */
    int32_t key_heads, value_heads, key_width, value_width;
} mt_delta;

/* Recurrent cells (Hochreiter & Schmidhuber 1997; Cho et al. 2014), gates in PyTorch's order. in[0]: the inputs' part
 * of every gate, W_ih x + b_ih, [T][gates * width]; in[1]: weight W_hh [gates * width][width]. h is the row before.
 *
 *   LSTM   i f o = sigmoid, g = tanh of in[0] + W_hh h + b_hh;  c = f c + i g;  h = o tanh(c)
 *   GRU    r z = sigmoid(in[0] + W_hh h + b_hh);  n = tanh(in[0] + r (W_hh h + b_hh));  h = (1 - z) n + z h
 *
 * The value is h. Before it the node writes two rooms, so that everything on the way has a name and can be patched,
 * with effect on all later rows: in[2] the gates (LSTM [i f g o], GRU [r z n]) and in[3] c, or for a GRU the part of
 * W_hh h + b_hh that r multiplies. The state is h, then c. */
typedef enum mt_cell_kind { MT_CELL_LSTM, MT_CELL_GRU } mt_cell_kind;
typedef struct mt_cell {
    mt_cell_kind kind;
    const float *bias; /* b_hh, or NULL */
    int32_t window;    /* more than 0: every so many rows are a text of their own, and there is no state */
} mt_cell;

/* x = the rows of in[0], in[1] and in[2] side by side, `window` of them for each row of the result; a = softmax of
 * weight . x over the window, with `eps` added to its sum; the result is sum a x. in[3]: room for a, [T][window]. */
typedef struct mt_pool_over {
    const float *weight;
    int32_t window;
    float eps;
} mt_pool_over;

mt_status mt_graph_new(mt_wanted wanted, void *arg, mt_graph **out, mt_error *err);
void mt_graph_free(mt_graph *g);
/* A node as it is, its dims checked: for general.c. */
int32_t mt_g_append(mt_graph *g, mt_node node);

/* ---- builders: -1 in, -1 out ---- */
int32_t mt_g_weight(mt_graph *g, const mt_weight *w);        /* NULL: -1 without an error */
int32_t mt_g_vector(mt_graph *g, const float *v, int32_t n); /* NULL: -1 without an error */
int mt_g_wanted(mt_graph *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Names a node if the name is wanted; a node that has a name already is copied first. */
int32_t mt_g_name(mt_graph *g, int32_t x, const char *format, ...) __attribute__((format(printf, 3, 4)));
int32_t mt_g_embed(mt_graph *g, int32_t weight, int32_t T, float scale);
int32_t mt_g_position_embed(mt_graph *g, int32_t weight, int32_t T, int32_t first);
int32_t mt_g_sinusoid(mt_graph *g, int32_t x);
int32_t mt_g_segment_embed(mt_graph *g, int32_t weight, int32_t T);
int32_t mt_g_add_relative(mt_graph *g, int32_t scores, int32_t table, int32_t distance, bool both_ways);
int32_t mt_g_table(mt_graph *g, int32_t weight);
int32_t mt_g_sinusoids(mt_graph *g, int32_t T, int32_t width);
/* to, from: [rows][heads * width] or -1. */
int32_t mt_g_add_relation(mt_graph *g, int32_t scores, int32_t q, int32_t to, int32_t from, const mt_attention *a,
                          mt_relation relation, int32_t buckets, int32_t distance);
int32_t mt_g_gather_rows(mt_graph *g, int32_t x, int32_t rows);
int32_t mt_g_matmul(mt_graph *g, int32_t x, int32_t weight, int32_t bias);
int32_t mt_g_rms_norm(mt_graph *g, int32_t x, int32_t gain, float eps);
int32_t mt_g_layer_norm(mt_graph *g, int32_t x, int32_t gain, int32_t bias, float eps);
int32_t mt_g_norm_scale(mt_graph *g, int32_t x, bool centre, float eps);
int32_t mt_g_norm_apply(mt_graph *g, int32_t x, int32_t scale, bool centre, int32_t gain, int32_t bias);
int32_t mt_g_add(mt_graph *g, int32_t a, int32_t b);
int32_t mt_g_mul(mt_graph *g, int32_t a, int32_t b);
int32_t mt_g_add_row(mt_graph *g, int32_t x, int32_t vector);
int32_t mt_g_scale(mt_graph *g, int32_t x, float factor); /* 1: x itself */
int32_t mt_g_act(mt_graph *g, int32_t x, mt_act act);
int32_t mt_g_clamp(mt_graph *g, int32_t x, float limit);
int32_t mt_g_softcap(mt_graph *g, int32_t x, float cap);                        /* 0: x itself */
int32_t mt_g_view(mt_graph *g, int32_t x, int32_t n_dims, const int32_t *dims); /* same values, other dims */
/* feed.inv_freq[set], where given, takes the place of inv_freq. */
int32_t mt_g_rope(mt_graph *g, int32_t x, int32_t inv_freq, int32_t set, int32_t width, bool interleaved, float mscale);
void mt_g_kv_store(mt_graph *g, int32_t k, int32_t v, int32_t layer);
int32_t mt_g_attend(mt_graph *g, int32_t q, const mt_attention *a);
int32_t mt_g_scores(mt_graph *g, int32_t q, const mt_attention *a, int32_t columns);
int32_t mt_g_attn_softmax(mt_graph *g, int32_t scores, const mt_attention *a);
int32_t mt_g_mix(mt_graph *g, int32_t pattern, const mt_attention *a);
int32_t mt_g_head_result(mt_graph *g, int32_t z, int32_t weight);
int32_t mt_g_sum_heads(mt_graph *g, int32_t result, int32_t bias);
int32_t mt_g_experts(mt_graph *g, int32_t x, int32_t router_logits, const mt_experts *e);
int32_t mt_g_slice(mt_graph *g, int32_t x, int32_t first, int32_t count);
int32_t mt_g_conv(mt_graph *g, int32_t x, int32_t weight, int32_t bias, int32_t taps, int32_t layer, int32_t place);
int32_t mt_g_scan(mt_graph *g, int32_t u, int32_t dt, int32_t B, int32_t C, const mt_scan *scan, int32_t layer,
                  int32_t place);
int32_t mt_g_delta(mt_graph *g, int32_t qkv, int32_t beta, int32_t alpha, const mt_delta *delta, int32_t layer,
                   int32_t place);
int32_t mt_g_room(mt_graph *g, int32_t rows, int32_t columns);
int32_t mt_g_cell(mt_graph *g, int32_t x, int32_t weight, int32_t gates, int32_t inner, const mt_cell *cell,
                  int32_t layer, int32_t place);
int32_t mt_g_window(mt_graph *g, int32_t weight, int32_t T, int32_t window, int32_t otherwise, int32_t layer,
                    int32_t place);
int32_t mt_g_pool(mt_graph *g, int32_t a, int32_t b, int32_t c, int32_t pattern, const mt_pool_over *pool);
int32_t mt_g_shift(mt_graph *g, int32_t x, int32_t layer, int32_t place);
int32_t mt_g_lerp(mt_graph *g, int32_t a, int32_t b, int32_t share);
int32_t mt_g_wkv(mt_graph *g, int32_t k, int32_t v, int32_t decay, int32_t bonus, int32_t layer, int32_t place);
int32_t mt_g_copy(mt_graph *g, int32_t x);
/* Marks the node whose value goes to feed.output. */
void mt_g_output(mt_graph *g, int32_t x);

/* Leaves only what is needed, if a node is `given` or `stop`; before mt_graph_plan (prune.c). What is wanted is the
 * output and the traced values, or those up to the stop; the operations that lead to a given value alone, and traces
 * that come before it, go. Stores of layers below `stores` count as wanted. ESTATE: a patch would have no effect. */
mt_status mt_graph_prune(mt_graph *g, int32_t stores, mt_error *err);
/* Puts products of the same input side by side, so that they can be made together; mt_graph_plan calls it (order.c). */
mt_status mt_graph_order(mt_graph *g, mt_error *err);
/* Reports what went wrong while building; else assigns offsets. */
mt_status mt_graph_plan(mt_graph *g, mt_error *err);

/* ---- running ---- */
typedef struct mt_feed {
    int32_t T;
    const int32_t *token, *position; /* [T] */
    const int32_t *segment;          /* [T], or NULL: all 0 */
    const int32_t *slot;             /* [T] where each row's key and value go */
    const int32_t *rows;             /* for MT_OP_GATHER_ROWS */
    const mt_run *const *runs;       /* [kinds of visibility]; see mt_attend_args */
    const int32_t *const *run_start;
    const int32_t *slot_position;
    const float *const *inv_freq; /* [sets of rotary frequencies], or NULL */
    mt_cache_type cache;
    void *const *k, *const *v; /* [layers] planes [G][slots] of rows, see mt_cache_row */
    int32_t slots;
    int32_t columns;            /* of stored score matrices */
    const int32_t *column;      /* slot -> column, -1: not shown */
    const int32_t *column_slot; /* column -> slot */
    /* Encoder-decoder models: keys and values of an encoder's output, what its rows are called. */
    float *const *memory_k, *const *memory_v; /* [layers] planes [G][memory][E] */
    int32_t memory;
    int32_t memory_columns;
    const mt_run *memory_runs; /* [T], all the same */
    const int32_t *identity;   /* 0, 1, 2... up to T and memory */
    /* Recurrent models: what a row follows, and where the state after it is kept. */
    const int32_t *parent_row; /* [T] an earlier row, or -1 */
    const int32_t *state_in;   /* [T] of rows without one: the state that they continue, -1: the initial one */
    const int32_t *state_out;  /* [T] -1: not kept; kept for every row that is followed by another than the next */
    float *const *state;       /* [layers] [states][state_width] */
    size_t state_width;
    float *output;
    /* Changes what the patches say of elements from .. to of the node's value. */
    void (*patch)(void *arg, const mt_node *node, float *value, size_t from, size_t to);
    void *patch_arg;
} mt_feed;
void mt_graph_run(const mt_graph *g, mt_pool *pool, float *scratch, const mt_feed *feed);
/* Nodes from .. to alone. */
void mt_graph_run_part(const mt_graph *g, int32_t from, int32_t to, mt_pool *pool, float *scratch, const mt_feed *feed);
float *mt_node_value(const mt_node *n, float *scratch, const mt_feed *feed);
/* Rows of tables of relative positions: of MT_OP_ADD_RELATIVE (key - query), of MT_OP_ADD_RELATION (query - key). */
int32_t mt_relative_bucket(int32_t relative, int32_t buckets, int32_t distance, bool both_ways);
int32_t mt_relation_row(const mt_node *n, int32_t rows, int32_t relative);
size_t mt_node_scratch(const mt_graph *g, const mt_node *n); /* bytes of kernel memory */
/* y = scale x / sqrt(x . x + eps): the delta rule's queries and keys. */
#define MT_UNIT_EPS 1e-6f
void mt_unit(const float *x, float *y, int32_t n, float scale);
static inline bool mt_is_leaf(mt_op op) {
    return op == MT_OP_WEIGHT || op == MT_OP_VECTOR || op == MT_OP_INDEX;
}
size_t mt_node_elements(const mt_node *n);
void mt_act_run(mt_act act, const float *x, float *y, size_t n); /* y may be x */
const char *mt_op_name(mt_op op);

#endif
