/* Graph building and memory planning (graph.h). Running is in exec.c. */
#include "cell.h"
#include "general.h"
#include "plan.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const op_names[MT_OP_COUNT] = {
    "weight",       "vector",       "embed",      "position_embed", "sinusoid",    "segment_embed",
    "add_relative", "add_relation", "table",      "sinusoids",      "gather_rows", "matmul",
    "rms_norm",     "layer_norm",   "norm_scale", "norm_apply",     "add",         "mul",
    "scale",        "add_row",      "act",        "clamp",          "softcap",     "rope",
    "kv_store",     "attend",       "scores",     "attn_softmax",   "mix",         "head_result",
    "sum_heads",    "experts",      "slice",      "conv",           "shift",       "lerp",
    "wkv",          "delta",        "scan",       "room",           "cell",        "window",
    "pool",         "copy",         "given",      "index",          "dot",         "binary",
    "unary",        "reduce",       "cumsum",     "softmax",        "take",        "pick",
    "permute",      "concat",       "cut",        "move",           "flip",        "expand",
    "where",        "stop",         "straight",   "cross_entropy"};

const char *mt_op_name(mt_op op) {
    return (unsigned)op < MT_OP_COUNT ? op_names[op] : "?";
}

size_t mt_node_elements(const mt_node *n) {
    size_t count = 1;
    for (int32_t d = 0; d < n->n_dims; d++) count *= (size_t)n->dims[d];
    return count;
}

mt_status mt_graph_new(mt_wanted wanted, void *arg, mt_graph **out, mt_error *err) {
    mt_graph *g = mt_calloc(1, sizeof *g);
    if (!g) return mt_nomem(err, sizeof *g, "a graph");
    g->wanted = wanted;
    g->wanted_arg = arg;
    g->output = -1;
    *out = g;
    return MT_OK;
}

void mt_graph_free(mt_graph *g) {
    if (!g) return;
    mt_arena_free(&g->names);
    mt_free(g->nodes);
    mt_free(g);
}

int32_t mt_g_append(mt_graph *g, mt_node node) {
    if (g->status != MT_OK) return -1;
    size_t elements = 1;
    for (int32_t d = 0; d < node.n_dims; d++)
        if (node.dims[d] < 0 || !mt_mul_size(elements, (size_t)node.dims[d], &elements) ||
            elements > SIZE_MAX / sizeof(float) / 4) {
            g->status = mt_fail(&g->error, MT_ELIMIT,
                                "node %d (%s): dimension %d is %d, the tensor does not fit the "
                                "address space",
                                g->count, mt_op_name(node.op), d, node.dims[d]);
            return -1;
        }
    void *nodes = g->nodes;
    g->status = mt_grow(&nodes, &g->capacity, (size_t)g->count + 1, sizeof node, &g->error);
    g->nodes = nodes;
    if (g->status != MT_OK) return -1;
    g->nodes[g->count] = node;
    return g->count++;
}

/* A node whose shape is its first input's. */
static mt_node like(const mt_graph *g, mt_op op, int32_t x) {
    mt_node n = {.op = op, .in = {x, -1, -1, -1}, .n_dims = g->nodes[x].n_dims};
    memcpy(n.dims, g->nodes[x].dims, sizeof n.dims);
    return n;
}

static bool dead(const mt_graph *g, int32_t x) {
    return g->status != MT_OK || x < 0;
}

/* A wrong shape is a mistake in an architecture file; it is reported, not trusted. */
static bool expect(mt_graph *g, bool ok, mt_op op, int32_t found, int32_t expected) {
    if (!ok && g->status == MT_OK)
        g->status = mt_fail(&g->error, MT_ERANGE, "node %d (%s): an input has width %d, expected %d", g->count,
                            mt_op_name(op), found, expected);
    return ok;
}

static int32_t width(const mt_graph *g, int32_t x) {
    const mt_node *n = &g->nodes[x];
    return n->n_dims ? n->dims[n->n_dims - 1] : 0;
}

int32_t mt_g_weight(mt_graph *g, const mt_weight *w) {
    if (!w) return -1;
    return mt_g_append(
        g, (mt_node){.op = MT_OP_WEIGHT, .in = {-1, -1, -1, -1}, .n_dims = 2, .dims = {w->rows, w->cols}, .weight = w});
}

int32_t mt_g_vector(mt_graph *g, const float *v, int32_t n) {
    if (!v) return -1;
    return mt_g_append(g, (mt_node){.op = MT_OP_VECTOR, .in = {-1, -1, -1, -1}, .n_dims = 1, .dims = {n}, .vector = v});
}

static void print_name(const mt_graph *g, char *name, size_t cap, const char *format, va_list args) {
    size_t n = g->scope ? strlen(g->scope) : 0;
    memcpy(name, g->scope ? g->scope : "", n);
    vsnprintf(name + n, cap - n, format, args);
}

int mt_g_wanted(mt_graph *g, const char *format, ...) {
    if (!g->wanted) return MT_WANT_NOT;
    char name[128];
    va_list args;
    va_start(args, format);
    print_name(g, name, sizeof name, format, args);
    va_end(args);
    return g->wanted(g->wanted_arg, name);
}

int32_t mt_g_name(mt_graph *g, int32_t x, const char *format, ...) {
    if (!g->wanted || dead(g, x)) return x;
    char name[128];
    va_list args;
    va_start(args, format);
    print_name(g, name, sizeof name, format, args);
    va_end(args);
    int want = g->wanted(g->wanted_arg, name);
    if (want == MT_WANT_NOT) return x;
    if (g->nodes[x].name || g->nodes[x].op == MT_OP_WEIGHT || g->nodes[x].op == MT_OP_VECTOR) {
        x = mt_g_copy(g, x);
        if (x < 0) return -1;
    }
    const char *kept = mt_arena_copy(&g->names, name, strlen(name) + 1);
    if (!kept) {
        g->status = mt_nomem(&g->error, strlen(name) + 1, "a node's name");
        return -1;
    }
    g->nodes[x].name = kept;
    g->nodes[x].kept = (want & MT_WANT_TRACE) != 0;
    g->nodes[x].patched = (want & MT_WANT_PATCH) != 0;
    g->nodes[x].given = (want & MT_WANT_GIVEN) != 0;
    g->nodes[x].stop = (want & MT_WANT_STOP) != 0;
    g->nodes[x].keep_grad = (want & MT_WANT_GRAD) != 0;
    return x;
}

int32_t mt_g_embed(mt_graph *g, int32_t weight, int32_t T, float scale) {
    if (dead(g, weight)) return -1;
    return mt_g_append(
        g,
        (mt_node){
            .op = MT_OP_EMBED, .in = {weight, -1, -1, -1}, .n_dims = 2, .dims = {T, width(g, weight)}, .f = {scale}});
}

int32_t mt_g_position_embed(mt_graph *g, int32_t weight, int32_t T, int32_t first) {
    if (dead(g, weight)) return -1;
    return mt_g_append(g, (mt_node){.op = MT_OP_POSITION_EMBED,
                                    .in = {weight, -1, -1, -1},
                                    .n_dims = 2,
                                    .dims = {T, width(g, weight)},
                                    .i = {first}});
}

int32_t mt_g_sinusoid(mt_graph *g, int32_t x) {
    return dead(g, x) ? -1 : mt_g_append(g, like(g, MT_OP_SINUSOID, x));
}

int32_t mt_g_segment_embed(mt_graph *g, int32_t weight, int32_t T) {
    if (dead(g, weight)) return -1;
    return mt_g_append(
        g,
        (mt_node){.op = MT_OP_SEGMENT_EMBED, .in = {weight, -1, -1, -1}, .n_dims = 2, .dims = {T, width(g, weight)}});
}

int32_t mt_g_add_relative(mt_graph *g, int32_t scores, int32_t table, int32_t distance, bool both_ways) {
    if (dead(g, scores) || dead(g, table)) return -1;
    if (!expect(g, g->nodes[table].dims[1] == g->nodes[scores].dims[0], MT_OP_ADD_RELATIVE, g->nodes[table].dims[1],
                g->nodes[scores].dims[0]))
        return -1;
    mt_node n = like(g, MT_OP_ADD_RELATIVE, scores);
    n.in[1] = table;
    n.i[0] = distance;
    n.i[1] = both_ways;
    return mt_g_append(g, n);
}

int32_t mt_g_table(mt_graph *g, int32_t weight) {
    return dead(g, weight) ? -1 : mt_g_append(g, like(g, MT_OP_TABLE, weight));
}

int32_t mt_g_sinusoids(mt_graph *g, int32_t T, int32_t columns) {
    return mt_g_append(
        g, (mt_node){.op = MT_OP_SINUSOIDS, .in = {-1, -1, -1, -1}, .n_dims = 2, .dims = {2 * T - 1, columns}});
}

int32_t mt_g_add_relation(mt_graph *g, int32_t scores, int32_t q, int32_t to, int32_t from, const mt_attention *a,
                          mt_relation relation, int32_t buckets, int32_t distance) {
    if (dead(g, scores) || dead(g, q)) return -1;
    int32_t all = g->nodes[scores].dims[0] * a->key_width;
    if ((to >= 0 && !expect(g, width(g, to) == all, MT_OP_ADD_RELATION, width(g, to), all)) ||
        (from >= 0 && !expect(g, width(g, from) == all, MT_OP_ADD_RELATION, width(g, from), all)) ||
        !expect(g, a->kv_heads == g->nodes[scores].dims[0], MT_OP_ADD_RELATION, a->kv_heads, g->nodes[scores].dims[0]))
        return -1;
    mt_node n = like(g, MT_OP_ADD_RELATION, scores);
    n.in[1] = q, n.in[2] = to, n.in[3] = from;
    n.i[0] = a->layer, n.i[1] = (int32_t)relation, n.i[2] = buckets, n.i[3] = distance;
    n.f[0] = a->scale;
    return mt_g_append(g, n);
}

int32_t mt_g_gather_rows(mt_graph *g, int32_t x, int32_t rows) {
    if (dead(g, x)) return -1;
    mt_node n = like(g, MT_OP_GATHER_ROWS, x);
    n.dims[0] = rows;
    return mt_g_append(g, n);
}

int32_t mt_g_matmul(mt_graph *g, int32_t x, int32_t weight, int32_t bias) {
    if (dead(g, x) || dead(g, weight)) return -1;
    const mt_node *w = &g->nodes[weight];
    /* [T][heads][E] counts as [T][heads * E]. */
    size_t T = (size_t)g->nodes[x].dims[0], K = T ? mt_node_elements(&g->nodes[x]) / T : (size_t)w->dims[1];
    if (!expect(g, K == (size_t)w->dims[1], MT_OP_MATMUL, (int32_t)K, w->dims[1])) return -1;
    if (bias >= 0 && !expect(g, width(g, bias) == w->dims[0], MT_OP_MATMUL, width(g, bias), w->dims[0])) return -1;
    const mt_adapter *a = g->adapter ? g->adapter(g->adapter_arg, w->weight) : NULL;
    int32_t y = mt_g_append(
        g, (mt_node){.op = MT_OP_MATMUL, .in = {x, weight, bias, -1}, .n_dims = 2, .dims = {(int32_t)T, w->dims[0]}});
    if (!a) return y;
    int32_t h = mt_g_matmul(g, mt_g_matmul(g, x, mt_g_weight(g, a->a), -1), mt_g_weight(g, a->b), -1);
    return mt_g_add(g, y, mt_g_scale(g, h, a->scale));
}

static int32_t norm(mt_graph *g, mt_op op, int32_t x, int32_t gain, int32_t bias, float eps) {
    if (dead(g, x)) return -1;
    if (gain >= 0 && !expect(g, width(g, gain) == width(g, x), op, width(g, x), width(g, gain))) return -1;
    mt_node n = like(g, op, x);
    n.in[1] = gain;
    n.in[2] = bias;
    n.f[0] = eps;
    return mt_g_append(g, n);
}

int32_t mt_g_rms_norm(mt_graph *g, int32_t x, int32_t gain, float eps) {
    return norm(g, MT_OP_RMS_NORM, x, gain, -1, eps);
}

int32_t mt_g_layer_norm(mt_graph *g, int32_t x, int32_t gain, int32_t bias, float eps) {
    return norm(g, MT_OP_LAYER_NORM, x, gain, bias, eps);
}

int32_t mt_g_norm_scale(mt_graph *g, int32_t x, bool centre, float eps) {
    if (dead(g, x)) return -1;
    mt_node n = like(g, MT_OP_NORM_SCALE, x);
    n.dims[n.n_dims - 1] = 1;
    n.i[0] = centre;
    n.f[0] = eps;
    return mt_g_append(g, n);
}

int32_t mt_g_norm_apply(mt_graph *g, int32_t x, int32_t scale, bool centre, int32_t gain, int32_t bias) {
    if (dead(g, x) || dead(g, scale)) return -1;
    mt_node n = like(g, MT_OP_NORM_APPLY, x);
    n.in[1] = scale;
    n.in[2] = gain;
    n.in[3] = bias;
    n.i[0] = centre;
    return mt_g_append(g, n);
}

static int32_t binary(mt_graph *g, mt_op op, int32_t a, int32_t b) {
    if (dead(g, a) || dead(g, b)) return -1;
    size_t na = mt_node_elements(&g->nodes[a]), nb = mt_node_elements(&g->nodes[b]);
    if (!expect(g, na == nb, op, (int32_t)nb, (int32_t)na)) return -1;
    mt_node n = like(g, op, a);
    n.in[1] = b;
    return mt_g_append(g, n);
}

int32_t mt_g_add(mt_graph *g, int32_t a, int32_t b) {
    return binary(g, MT_OP_ADD, a, b);
}
int32_t mt_g_mul(mt_graph *g, int32_t a, int32_t b) {
    return binary(g, MT_OP_MUL, a, b);
}

int32_t mt_g_add_row(mt_graph *g, int32_t x, int32_t vector) {
    if (dead(g, x) || dead(g, vector)) return -1;
    if (!expect(g, width(g, vector) == width(g, x), MT_OP_ADD_ROW, width(g, vector), width(g, x))) return -1;
    mt_node n = like(g, MT_OP_ADD_ROW, x);
    n.in[1] = vector;
    return mt_g_append(g, n);
}

static int32_t with_float(mt_graph *g, mt_op op, int32_t x, float f) {
    if (dead(g, x)) return -1;
    mt_node n = like(g, op, x);
    n.f[0] = f;
    return mt_g_append(g, n);
}

int32_t mt_g_scale(mt_graph *g, int32_t x, float factor) {
    return factor == 1 ? x : with_float(g, MT_OP_SCALE, x, factor);
}
int32_t mt_g_clamp(mt_graph *g, int32_t x, float limit) {
    return with_float(g, MT_OP_CLAMP, x, limit);
}
int32_t mt_g_softcap(mt_graph *g, int32_t x, float cap) {
    return cap == 0 ? x : with_float(g, MT_OP_SOFTCAP, x, cap);
}

int32_t mt_g_act(mt_graph *g, int32_t x, mt_act act) {
    if (dead(g, x)) return -1;
    mt_node n = like(g, MT_OP_ACT, x);
    n.i[0] = act;
    return mt_g_append(g, n);
}

int32_t mt_g_view(mt_graph *g, int32_t x, int32_t n_dims, const int32_t *dims) {
    if (dead(g, x)) return -1;
    size_t count = 1, have = mt_node_elements(&g->nodes[x]);
    bool fits = n_dims >= 0 && n_dims <= 4;
    for (int32_t d = 0; fits && d < n_dims; d++) fits = dims[d] >= 0 && mt_mul_size(count, (size_t)dims[d], &count);
    if (!expect(g, fits && count == have, g->nodes[x].op, (int32_t)have, (int32_t)count)) return -1;
    /* A product does not look at its own shape; the others get a copy, which costs nothing where it can be in place. A
     * name belongs to the old shape. */
    if (g->nodes[x].name || g->nodes[x].op != MT_OP_MATMUL) {
        x = mt_g_copy(g, x);
        if (x < 0) return -1;
    }
    g->nodes[x].n_dims = n_dims;
    memcpy(g->nodes[x].dims, dims, (size_t)n_dims * sizeof *dims);
    return x;
}

int32_t mt_g_rope(mt_graph *g, int32_t x, int32_t inv_freq, int32_t set, int32_t rotated, bool interleaved,
                  float mscale) {
    if (dead(g, x) || dead(g, inv_freq)) return -1;
    if (!expect(g, width(g, inv_freq) * 2 == rotated && rotated <= width(g, x) && g->nodes[x].n_dims == 3, MT_OP_ROPE,
                width(g, x), rotated))
        return -1;
    mt_node n = like(g, MT_OP_ROPE, x);
    n.in[1] = inv_freq;
    n.i[0] = rotated;
    n.i[1] = interleaved;
    n.i[2] = set;
    n.f[0] = mscale;
    return mt_g_append(g, n);
}

void mt_g_kv_store(mt_graph *g, int32_t k, int32_t v, int32_t layer) {
    if (dead(g, k) || dead(g, v)) return;
    if (!expect(g, g->nodes[k].n_dims == 3 && g->nodes[v].n_dims == 3, MT_OP_KV_STORE, g->nodes[k].n_dims, 3)) return;
    mt_g_append(g, (mt_node){.op = MT_OP_KV_STORE, .in = {k, v, -1, -1}, .i = {layer}, .n_dims = 1, .dims = {0}});
}

static mt_node attention_node(mt_op op, int32_t x, const mt_attention *a, int32_t heads) {
    return (mt_node){.op = op,
                     .in = {x, a->alibi, a->sink, -1},
                     .i = {a->layer, a->runs, a->kv_heads, a->key_width, a->value_width, heads},
                     .f = {a->scale, a->softcap}};
}

int32_t mt_g_attend(mt_graph *g, int32_t q, const mt_attention *a) {
    if (dead(g, q)) return -1;
    if (!expect(g, g->nodes[q].n_dims == 3 && width(g, q) == a->key_width, MT_OP_ATTEND, width(g, q), a->key_width))
        return -1;
    mt_node n = attention_node(MT_OP_ATTEND, q, a, g->nodes[q].dims[1]);
    n.n_dims = 3;
    n.dims[0] = g->nodes[q].dims[0];
    n.dims[1] = g->nodes[q].dims[1];
    n.dims[2] = a->value_width;
    return mt_g_append(g, n);
}

int32_t mt_g_scores(mt_graph *g, int32_t q, const mt_attention *a, int32_t columns) {
    if (dead(g, q)) return -1;
    if (!expect(g, g->nodes[q].n_dims == 3 && width(g, q) == a->key_width, MT_OP_SCORES, width(g, q), a->key_width))
        return -1;
    mt_node n = attention_node(MT_OP_SCORES, q, a, g->nodes[q].dims[1]);
    n.n_dims = 3;
    n.dims[0] = g->nodes[q].dims[1];
    n.dims[1] = g->nodes[q].dims[0];
    n.dims[2] = columns;
    return mt_g_append(g, n);
}

int32_t mt_g_attn_softmax(mt_graph *g, int32_t scores, const mt_attention *a) {
    if (dead(g, scores)) return -1;
    mt_node n = attention_node(MT_OP_ATTN_SOFTMAX, scores, a, g->nodes[scores].dims[0]);
    n.in[1] = -1;
    n.n_dims = 3;
    memcpy(n.dims, g->nodes[scores].dims, sizeof n.dims);
    return mt_g_append(g, n);
}

int32_t mt_g_mix(mt_graph *g, int32_t pattern, const mt_attention *a) {
    if (dead(g, pattern)) return -1;
    mt_node n = attention_node(MT_OP_MIX, pattern, a, g->nodes[pattern].dims[0]);
    n.in[1] = n.in[2] = -1;
    n.n_dims = 3;
    n.dims[0] = g->nodes[pattern].dims[1];
    n.dims[1] = g->nodes[pattern].dims[0];
    n.dims[2] = a->value_width;
    return mt_g_append(g, n);
}

int32_t mt_g_head_result(mt_graph *g, int32_t z, int32_t weight) {
    if (dead(g, z) || dead(g, weight)) return -1;
    const mt_node *x = &g->nodes[z], *w = &g->nodes[weight];
    if (!expect(g, x->n_dims == 3 && x->dims[1] * x->dims[2] == w->dims[1], MT_OP_HEAD_RESULT, x->dims[1] * x->dims[2],
                w->dims[1]))
        return -1;
    const mt_adapter *a = g->adapter ? g->adapter(g->adapter_arg, w->weight) : NULL;
    int32_t all[3] = {x->dims[0], x->dims[1], w->dims[0]}, heads = x->dims[0] * x->dims[1];
    mt_node n = {.op = MT_OP_HEAD_RESULT, .in = {z, weight, -1, -1}, .n_dims = 3, .dims = {all[0], all[1], all[2]}};
    int32_t y = mt_g_append(g, n);
    if (!a) return y;
    int32_t flat[2] = {heads, a->a->rows};
    int32_t h = mt_g_view(g, mt_g_head_result(g, z, mt_g_weight(g, a->a)), 2, flat);
    h = mt_g_scale(g, mt_g_matmul(g, h, mt_g_weight(g, a->b), -1), a->scale);
    return mt_g_add(g, y, h); /* of as many elements */
}

int32_t mt_g_sum_heads(mt_graph *g, int32_t result, int32_t bias) {
    if (dead(g, result)) return -1;
    const mt_node *x = &g->nodes[result];
    mt_node n = {.op = MT_OP_SUM_HEADS, .in = {result, bias, -1, -1}, .n_dims = 2, .dims = {x->dims[0], x->dims[2]}};
    return mt_g_append(g, n);
}

int32_t mt_g_experts(mt_graph *g, int32_t x, int32_t router_logits, const mt_experts *e) {
    if (dead(g, x) || dead(g, router_logits)) return -1;
    if (!expect(g, width(g, router_logits) == e->count, MT_OP_EXPERTS, width(g, router_logits), e->count)) return -1;
    const mt_experts *kept = mt_arena_copy(&g->names, e, sizeof *e);
    if (!kept) {
        g->status = mt_nomem(&g->error, sizeof *e, "an experts node");
        return -1;
    }
    mt_node n = like(g, MT_OP_EXPERTS, x);
    n.in[1] = router_logits;
    n.dims[n.n_dims - 1] = e->down[0].rows;
    n.extra = kept;
    return mt_g_append(g, n);
}

int32_t mt_g_slice(mt_graph *g, int32_t x, int32_t first, int32_t count) {
    if (dead(g, x)) return -1;
    if (!expect(g, first >= 0 && count > 0 && first <= width(g, x) - count, MT_OP_SLICE, width(g, x), first + count))
        return -1;
    mt_node n = like(g, MT_OP_SLICE, x);
    n.dims[n.n_dims - 1] = count;
    n.i[0] = first;
    return mt_g_append(g, n);
}

int32_t mt_g_conv(mt_graph *g, int32_t x, int32_t weight, int32_t bias, int32_t taps, int32_t layer, int32_t place) {
    if (dead(g, x) || dead(g, weight)) return -1;
    if (!expect(g, width(g, weight) == width(g, x) * taps && taps >= 1 && taps <= MT_MAX_TAPS, MT_OP_CONV, width(g, x),
                taps))
        return -1;
    mt_node n = like(g, MT_OP_CONV, x);
    n.in[1] = weight;
    n.in[2] = bias;
    n.i[0] = layer, n.i[1] = place, n.i[2] = taps;
    return mt_g_append(g, n);
}

int32_t mt_g_scan(mt_graph *g, int32_t u, int32_t dt, int32_t B, int32_t C, const mt_scan *scan, int32_t layer,
                  int32_t place) {
    if (dead(g, u) || dead(g, dt) || dead(g, B) || dead(g, C)) return -1;
    if (!expect(g, width(g, u) == scan->channels && width(g, dt) * scan->width == scan->channels, MT_OP_SCAN,
                width(g, u), scan->channels) ||
        !expect(g, width(g, B) == scan->groups * scan->state && width(g, C) == width(g, B), MT_OP_SCAN, width(g, B),
                scan->groups * scan->state))
        return -1;
    const mt_scan *kept = mt_arena_copy(&g->names, scan, sizeof *scan);
    if (!kept) {
        g->status = mt_nomem(&g->error, sizeof *scan, "a scan node");
        return -1;
    }
    mt_node n = like(g, MT_OP_SCAN, u);
    n.in[1] = dt, n.in[2] = B, n.in[3] = C;
    n.i[0] = layer, n.i[1] = place;
    n.extra = kept;
    return mt_g_append(g, n);
}

int32_t mt_g_delta(mt_graph *g, int32_t qkv, int32_t beta, int32_t alpha, const mt_delta *delta, int32_t layer,
                   int32_t place) {
    if (dead(g, qkv) || dead(g, beta) || dead(g, alpha)) return -1;
    int32_t all = 2 * delta->key_heads * delta->key_width + delta->value_heads * delta->value_width;
    if (!expect(g, width(g, qkv) == all, MT_OP_DELTA, width(g, qkv), all) ||
        !expect(g, width(g, beta) == delta->value_heads && width(g, alpha) == delta->value_heads, MT_OP_DELTA,
                width(g, beta), delta->value_heads))
        return -1;
    const mt_delta *kept = mt_arena_copy(&g->names, delta, sizeof *delta);
    if (!kept) {
        g->status = mt_nomem(&g->error, sizeof *delta, "a delta node");
        return -1;
    }
    mt_node n = {.op = MT_OP_DELTA,
                 .in = {qkv, beta, alpha, -1},
                 .n_dims = 3,
                 .dims = {g->nodes[qkv].dims[0], delta->value_heads, delta->value_width},
                 .i = {layer, place},
                 .extra = kept};
    return mt_g_append(g, n);
}

int32_t mt_g_room(mt_graph *g, int32_t rows, int32_t columns) {
    return mt_g_append(g, (mt_node){.op = MT_OP_ROOM, .in = {-1, -1, -1, -1}, .n_dims = 2, .dims = {rows, columns}});
}

int32_t mt_g_cell(mt_graph *g, int32_t x, int32_t weight, int32_t gates, int32_t inner, const mt_cell *cell,
                  int32_t layer, int32_t place) {
    if (dead(g, x) || dead(g, weight) || dead(g, gates) || dead(g, inner)) return -1;
    int32_t width_h = width(g, weight), all = width_h * (cell->kind == MT_CELL_LSTM ? 4 : 3);
    if (!expect(g, g->nodes[weight].dims[0] == all, MT_OP_CELL, g->nodes[weight].dims[0], all) ||
        !expect(g, width(g, x) == all && width(g, gates) == all, MT_OP_CELL, width(g, x), all) ||
        !expect(g, width(g, inner) == width_h, MT_OP_CELL, width(g, inner), width_h))
        return -1;
    const mt_cell *kept = mt_arena_copy(&g->names, cell, sizeof *cell);
    if (!kept) {
        g->status = mt_nomem(&g->error, sizeof *cell, "a cell node");
        return -1;
    }
    return mt_g_append(g, (mt_node){.op = MT_OP_CELL,
                                    .in = {x, weight, gates, inner},
                                    .n_dims = 2,
                                    .dims = {g->nodes[x].dims[0], width_h},
                                    .i = {layer, place},
                                    .extra = kept});
}

int32_t mt_g_window(mt_graph *g, int32_t weight, int32_t T, int32_t window, int32_t otherwise, int32_t layer,
                    int32_t place) {
    if (dead(g, weight)) return -1;
    if (!expect(g, window >= 1 && T <= INT32_MAX / window, MT_OP_WINDOW, window, INT32_MAX / (T > 0 ? T : 1)))
        return -1;
    return mt_g_append(g, (mt_node){.op = MT_OP_WINDOW,
                                    .in = {weight, -1, -1, -1},
                                    .n_dims = 2,
                                    .dims = {T * window, width(g, weight)},
                                    .i = {layer, place, window, otherwise}});
}

int32_t mt_g_pool(mt_graph *g, int32_t a, int32_t b, int32_t c, int32_t pattern, const mt_pool_over *pool) {
    if (dead(g, a) || dead(g, b) || dead(g, c) || dead(g, pattern)) return -1;
    int32_t rows = g->nodes[a].dims[0], T = g->nodes[pattern].dims[0];
    if (!expect(g, g->nodes[b].dims[0] == rows && g->nodes[c].dims[0] == rows, MT_OP_POOL, g->nodes[b].dims[0], rows) ||
        !expect(g, T * pool->window == rows && width(g, pattern) == pool->window, MT_OP_POOL, rows, T * pool->window))
        return -1;
    const mt_pool_over *kept = mt_arena_copy(&g->names, pool, sizeof *pool);
    if (!kept) {
        g->status = mt_nomem(&g->error, sizeof *pool, "a pool node");
        return -1;
    }
    return mt_g_append(g, (mt_node){.op = MT_OP_POOL,
                                    .in = {a, b, c, pattern},
                                    .n_dims = 2,
                                    .dims = {T, width(g, a) + width(g, b) + width(g, c)},
                                    .extra = kept});
}

int32_t mt_g_shift(mt_graph *g, int32_t x, int32_t layer, int32_t place) {
    if (dead(g, x)) return -1;
    mt_node n = like(g, MT_OP_SHIFT, x);
    n.i[0] = layer, n.i[1] = place;
    return mt_g_append(g, n);
}

int32_t mt_g_lerp(mt_graph *g, int32_t a, int32_t b, int32_t share) {
    if (dead(g, share)) return -1;
    int32_t x = binary(g, MT_OP_LERP, a, b);
    if (x < 0 || !expect(g, width(g, share) == width(g, a), MT_OP_LERP, width(g, share), width(g, a))) return -1;
    g->nodes[x].in[2] = share;
    return x;
}

int32_t mt_g_wkv(mt_graph *g, int32_t k, int32_t v, int32_t decay, int32_t bonus, int32_t layer, int32_t place) {
    if (dead(g, decay) || dead(g, bonus)) return -1;
    int32_t x = binary(g, MT_OP_WKV, k, v);
    if (x < 0 || !expect(g, width(g, decay) == width(g, k) && width(g, bonus) == width(g, k), MT_OP_WKV,
                         width(g, decay), width(g, k)))
        return -1;
    g->nodes[x].in[2] = decay, g->nodes[x].in[3] = bonus;
    g->nodes[x].i[0] = layer, g->nodes[x].i[1] = place;
    return x;
}

int32_t mt_g_copy(mt_graph *g, int32_t x) {
    if (dead(g, x)) return -1;
    return mt_g_append(g, like(g, MT_OP_COPY, x));
}

void mt_g_output(mt_graph *g, int32_t x) {
    if (dead(g, x)) return;
    if (g->nodes[x].kept || g->nodes[x].patched) x = mt_g_copy(g, x);
    if (x < 0) return;
    g->nodes[x].output = true;
    g->output = x;
}

/* ---- memory plan ----------------------------------------------------------------------------------------------- */

/* Operations that may write over their first input when nobody needs it any more: element i of the result depends on
 * element i (or on row t, read as a whole before it is written) of that input only. */
static bool may_overwrite(mt_op op) {
    switch (op) {
    case MT_OP_ADD:
    case MT_OP_MUL:
    case MT_OP_SCALE:
    case MT_OP_SINUSOID:
    case MT_OP_ADD_ROW:
    case MT_OP_ACT:
    case MT_OP_CLAMP:
    case MT_OP_SOFTCAP:
    case MT_OP_ADD_RELATIVE:
    case MT_OP_ADD_RELATION:
    case MT_OP_ATTN_SOFTMAX:
    case MT_OP_COPY:
        return true;
    default:
        return false;
    }
}

static bool has_storage(const mt_node *n) {
    return !mt_is_leaf(n->op) && n->op != MT_OP_KV_STORE && !n->output;
}

static size_t padded(const mt_node *n) {
    return mt_plan_padded(mt_node_elements(n));
}

/* Bytes of working memory that the kernels of a node want. */
size_t mt_node_scratch(const mt_graph *g, const mt_node *x) {
    const mt_weight *w = x->in[1] >= 0 ? g->nodes[x->in[1]].weight : NULL;
    switch (x->op) {
    case MT_OP_MATMUL:
        return mt_matmul_scratch(w, x->dims[0]);
    case MT_OP_EXPERTS: {
        const mt_experts *e = x->extra;
        size_t a = mt_matmul_scratch(&e->up[0], 1), b = mt_matmul_scratch(&e->down[0], 1);
        return ((a > b ? a : b) + 63) / 64 * 64 +
               ((size_t)e->up[0].rows * 2 + (size_t)e->down[0].rows + 3 * (size_t)e->count) * sizeof(float);
    }
    case MT_OP_DELTA: {
        const mt_delta *d = x->extra;
        return ((size_t)d->key_width * (size_t)(d->value_width + 2) + (size_t)d->value_width) * sizeof(float);
    }
    case MT_OP_WINDOW:
        return (size_t)x->i[2] * sizeof(int32_t);
    case MT_OP_CELL:
        return mt_cell_scratch(w, x->dims[0]);
    case MT_OP_ADD_RELATIVE:
        return (size_t)w->rows * (size_t)w->cols * sizeof(float);
    case MT_OP_HEAD_RESULT:
        return (size_t)w->cols * sizeof(float);
    default:
        return mt_general_scratch(g, x);
    }
}

mt_status mt_graph_plan(mt_graph *g, mt_error *err) {
    if (g->status != MT_OK) {
        if (err) *err = g->error;
        return g->status;
    }
    if (g->output < 0 && g->count == 0) return mt_fail(err, MT_ESTATE, "the graph is empty");
    MT_TRY(mt_graph_order(g, err));
    for (int32_t n = 0; n < g->count; n++) g->nodes[n].last_use = -1;
    for (int32_t n = 0; n < g->count; n++)
        for (int k = 0; k < MT_NODE_INPUTS; k++)
            if (g->nodes[n].in[k] >= 0) g->nodes[g->nodes[n].in[k]].last_use = n;
    mt_plan p;
    MT_TRY(mt_plan_new(&p, err));
    size_t kernel_bytes = 0;
    mt_status status = MT_OK;
    for (int32_t n = 0; n < g->count && status == MT_OK; n++) {
        mt_node *x = &g->nodes[n];
        size_t scratch = mt_node_scratch(g, x);
        if (scratch > kernel_bytes) kernel_bytes = scratch;
        int32_t overwritten = -1;
        if (has_storage(x)) {
            const mt_node *a = x->in[0] >= 0 ? &g->nodes[x->in[0]] : NULL;
            if (may_overwrite(x->op) && a && has_storage(a) && !a->kept && a->last_use == n && x->in[1] != x->in[0] &&
                padded(a) == padded(x)) {
                x->offset = a->offset;
                overwritten = x->in[0];
            } else {
                x->offset = mt_plan_take(&p, padded(x));
            }
        }
        for (int k = 0; k < MT_NODE_INPUTS && status == MT_OK; k++) {
            int32_t a = x->in[k];
            bool again = false;
            for (int j = 0; j < k; j++) again |= x->in[j] == a;
            if (a < 0 || a == overwritten || again || !has_storage(&g->nodes[a]) || g->nodes[a].kept ||
                g->nodes[a].last_use != n)
                continue;
            status = mt_plan_give(&p, g->nodes[a].offset, padded(&g->nodes[a]), err);
        }
        /* Nobody reads it: its place is free again at once (it was only computed for a patch or by mistake). */
        if (status == MT_OK && has_storage(x) && x->last_use < 0 && !x->kept)
            status = mt_plan_give(&p, x->offset, padded(x), err);
    }
    g->kernel_at = p.high;
    mt_plan_free(&p);
    if (status != MT_OK) return status;
    if (!mt_add_size(g->kernel_at, kernel_bytes / sizeof(float) + 1, &g->scratch) ||
        g->scratch > SIZE_MAX / sizeof(float))
        return mt_fail(err, MT_ELIMIT, "the graph needs more scratch memory than the address space holds");
    return MT_OK;
}
