/* The executor: runs the nodes of a planned graph in order, through the kernels. Allocates nothing.
 *
 * Work is split over threads by rows or heads, never inside a sum, so the result does not depend on their number. The
 * element-wise kernels are called row by row: an element then sits at the same place of the same call whether it is
 * evaluated alone or in a batch, which keeps incremental and batched evaluation equal to the last bit. */
#include "cell.h"
#include "general.h"

#include <math.h>

typedef struct job {
    const mt_graph *g;
    const mt_node *n;
    const mt_feed *feed;
    mt_pool *pool;
    float *scratch, *y;
    const float *in[MT_NODE_INPUTS];
} job;

float *mt_node_value(const mt_node *n, float *scratch, const mt_feed *feed) {
    if (n->op == MT_OP_VECTOR) return (float *)n->vector;
    if (n->output) return feed->output;
    return scratch + n->offset;
}

static size_t last_dim(const mt_node *n) {
    return n->n_dims ? (size_t)n->dims[n->n_dims - 1] : 1;
}

static float dot(const float *a, const float *b, int32_t n) {
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    int32_t i = 0;
    for (; i + 4 <= n; i += 4)
        s0 += a[i] * b[i], s1 += a[i + 1] * b[i + 1], s2 += a[i + 2] * b[i + 2], s3 += a[i + 3] * b[i + 3];
    for (; i < n; i++) s0 += a[i] * b[i];
    return (s0 + s1) + (s2 + s3);
}

/* ---- operations that work row by row: [rows][width] ---- */

/* sqrt(mean (x - mean)^2 + eps), the divisor of both norms; `mean` stays 0 for RMS norm. */
static float norm_scale(const float *x, size_t n, bool centre, float eps, double *mean) {
    double m = 0, s = 0;
    if (centre) {
        for (size_t i = 0; i < n; i++) m += x[i];
        m /= (double)n;
    }
    for (size_t i = 0; i < n; i++) s += (x[i] - m) * (x[i] - m);
    *mean = m;
    return (float)sqrt(s / (double)n + eps);
}

static void rows_task(void *arg, int part, int parts) {
    const job *j = arg;
    const mt_node *n = j->n, *a = &j->g->nodes[n->in[0] >= 0 ? n->in[0] : 0]; /* no input: not looked at */
    size_t W = last_dim(n), count = mt_node_elements(n);
    size_t rows = W ? count / W : 0, from = rows * (size_t)part / (size_t)parts,
           to = rows * ((size_t)part + 1) / (size_t)parts;
    const float *x = j->in[0] ? j->in[0] + from * last_dim(a) : NULL, *b = j->in[1];
    float *y = j->y + from * W;
    int32_t T = (int32_t)(to - from);
    switch (n->op) {
    case MT_OP_EMBED:
        for (size_t t = from; t < to; t++, y += W) {
            mt_weight_row(a->weight, j->feed->token[t], y);
            if (n->f[0] != 1)
                for (size_t i = 0; i < W; i++) y[i] *= n->f[0];
        }
        break;
    case MT_OP_SINUSOID:
        for (size_t t = from; t < to; t++, x += W, y += W)
            for (size_t i = 0; i < W; i++) {
                size_t half = (W + 1) / 2, m = i < half ? i : i - half; /* a width that is odd has one more sine */
                double angle = j->feed->position[t] * pow(10000, -2.0 * (double)m / (double)W);
                y[i] = x[i] + (float)(i < half ? sin(angle) : cos(angle));
            }
        break;
    case MT_OP_TABLE:
        for (size_t t = from; t < to; t++, y += W) mt_weight_row(a->weight, (int32_t)t, y);
        break;
    case MT_OP_SINUSOIDS:
        for (size_t t = from; t < to; t++, y += W)
            for (size_t i = 0; i < W; i++) {
                size_t half = (W + 1) / 2, m = i < half ? i : i - half;
                float angle = ((float)(rows / 2) - (float)t) * (float)(1 / pow(10000, 2.0 * (double)m / (double)W));
                y[i] = (float)(i < half ? sin(angle) : cos(angle));
            }
        break;
    case MT_OP_SEGMENT_EMBED:
        for (size_t t = from; t < to; t++, y += W)
            mt_weight_row(a->weight, j->feed->segment ? j->feed->segment[t] : 0, y);
        break;
    case MT_OP_POSITION_EMBED:
        for (size_t t = from; t < to; t++, y += W) mt_weight_row(a->weight, j->feed->position[t] + n->i[0], y);
        break;
    case MT_OP_SLICE:
        for (size_t t = from; t < to; t++, y += W) memcpy(y, j->in[0] + t * last_dim(a) + n->i[0], W * sizeof *y);
        break;
    case MT_OP_GATHER_ROWS:
        for (size_t t = from; t < to; t++, y += W) memcpy(y, j->in[0] + (size_t)j->feed->rows[t] * W, W * sizeof *y);
        break;
    case MT_OP_RMS_NORM:
        mt_rms_norm(x, b, n->f[0], y, NULL, T, (int32_t)W);
        break;
    case MT_OP_LAYER_NORM:
        mt_layer_norm(x, b, j->in[2], n->f[0], y, NULL, T, (int32_t)W);
        break;
    case MT_OP_NORM_SCALE: {
        size_t K = last_dim(a);
        double mean;
        for (size_t t = from; t < to; t++, x += K) *y++ = norm_scale(x, K, n->i[0] != 0, n->f[0], &mean);
        break;
    }
    case MT_OP_NORM_APPLY:
        for (size_t t = from; t < to; t++, x += W, y += W) {
            double mean = 0;
            if (n->i[0]) norm_scale(x, W, true, 0, &mean);
            for (size_t i = 0; i < W; i++) {
                float v = (x[i] - (float)mean) / b[t];
                if (j->in[2]) v *= j->in[2][i];
                y[i] = j->in[3] ? v + j->in[3][i] : v;
            }
        }
        break;
    case MT_OP_ADD:
        mt_add(x, b + from * W, y, (size_t)T * W);
        break;
    case MT_OP_MUL:
        mt_mul(x, b + from * W, y, (size_t)T * W);
        break;
    case MT_OP_SCALE:
        for (size_t i = 0; i < (size_t)T * W; i++) y[i] = x[i] * n->f[0];
        break;
    case MT_OP_ADD_ROW:
        for (size_t t = from; t < to; t++, x += W, y += W) mt_add(x, b, y, W);
        break;
    case MT_OP_ACT:
        for (size_t t = from; t < to; t++, x += W, y += W) mt_act_run((mt_act)n->i[0], x, y, W);
        break;
    case MT_OP_LERP:
        for (size_t t = from; t < to; t++, x += W, y += W)
            for (size_t i = 0; i < W; i++) y[i] = x[i] * j->in[2][i] + b[t * W + i] * (1 - j->in[2][i]);
        break;
    case MT_OP_CLAMP:
        for (size_t i = 0; i < (size_t)T * W; i++) y[i] = x[i] < -n->f[0] ? -n->f[0] : x[i] > n->f[0] ? n->f[0] : x[i];
        break;
    case MT_OP_SOFTCAP:
        for (size_t t = from; t < to; t++, x += W, y += W) {
            for (size_t i = 0; i < W; i++) y[i] = x[i] / n->f[0];
            mt_tanh(y, y, W);
            for (size_t i = 0; i < W; i++) y[i] *= n->f[0];
        }
        break;
    case MT_OP_COPY:
    case MT_OP_STOP:
        if (j->in[0] + from * W != y)
            memmove(y, j->in[0] + from * W, (size_t)T * W * sizeof *y); /* shapes may differ */
        break;
    default:
        break;
    }
}

static void by_rows(job *j) {
    size_t count = mt_node_elements(j->n), W = last_dim(j->n);
    /* Waking threads costs about as much as 16k simple element operations. */
    bool alone = !j->pool || count < 16384 || count / (W ? W : 1) < (size_t)mt_pool_threads(j->pool);
    if (alone)
        rows_task(j, 0, 1);
    else
        mt_pool_run(j->pool, rows_task, j);
}

/* ---- attention ---- */

/* One pass, or the same in three steps whose values can be seen. */
static void attend(const job *j) {
    const mt_node *n = j->n;
    const mt_feed *f = j->feed;
    bool memory = n->i[1] == MT_RUNS_MEMORY;
    size_t slots = (size_t)(memory ? f->memory : f->slots);
    int32_t columns = memory ? f->memory_columns : f->columns;
    mt_cache_type type = memory ? MT_CACHE_F32 : f->cache;
    mt_attend_args a = {.T = f->T,
                        .H = n->i[5],
                        .G = n->i[2],
                        .E = n->i[3],
                        .EV = n->i[4],
                        .q = j->in[0],
                        .type = type,
                        .k = memory ? f->memory_k[n->i[0]] : f->k[n->i[0]],
                        .v = memory ? f->memory_v[n->i[0]] : f->v[n->i[0]],
                        .k_stride = slots * mt_cache_row(type, n->i[3]),
                        .v_stride = slots * mt_cache_row(type, n->i[4]),
                        .runs = memory ? f->memory_runs : f->runs[n->i[1]],
                        .run_start = memory ? f->identity : f->run_start[n->i[1]],
                        .position = f->position,
                        .slot_position = memory ? f->identity : f->slot_position,
                        .scale = n->f[0],
                        .softcap = n->f[1],
                        .alibi = j->in[1],
                        .sink = j->in[2],
                        .out = j->y};
    switch (n->op) {
    case MT_OP_SCORES:
        mt_attend_scores(j->pool, &a, memory ? f->identity : f->column, columns, j->y);
        break;
    case MT_OP_ATTN_SOFTMAX:
        mt_attend_softmax(j->pool, &a, columns, j->in[0], j->y);
        break;
    case MT_OP_MIX:
        mt_attend_values(j->pool, &a, memory ? f->identity : f->column_slot, columns, j->in[0]);
        break;
    default:
        mt_attend(j->pool, &a);
        break;
    }
}

/* The bucket of a relative position (Raffel et al. 2020): small distances each have one, larger ones share them by
 * their logarithm, up to `distance`. */
int32_t mt_relative_bucket(int32_t relative, int32_t buckets, int32_t distance, bool both_ways) {
    int32_t base = 0, n = -relative;
    if (both_ways) {
        buckets /= 2;
        if (relative > 0) base = buckets;
        n = relative < 0 ? -relative : relative;
    } else if (n < 0) {
        n = 0;
    }
    int32_t exact = buckets / 2;
    if (n < exact) return base + n;
    /* In float32, like the reference, whose results at exact powers depend on it. */
    float large = logf((float)n / (float)exact) / logf((float)distance / (float)exact) * (float)(buckets - exact);
    int32_t bucket = exact + (int32_t)large;
    return base + (bucket < buckets - 1 ? bucket : buckets - 1);
}

static void add_relative(const job *j, float *table) {
    const mt_node *n = j->n;
    const mt_feed *f = j->feed;
    const mt_weight *w = j->g->nodes[n->in[1]].weight;
    int32_t H = n->dims[0], T = n->dims[1], C = n->dims[2];
    for (int32_t r = 0; r < w->rows; r++) mt_weight_row(w, r, table + (size_t)r * (size_t)w->cols);
    for (int32_t t = 0; t < T; t++)
        for (int32_t c = 0; c < C; c++) {
            int32_t slot = f->column_slot[c];
            int32_t relative = slot < 0 ? 0 : f->slot_position[slot] - f->position[t];
            const float *bias =
                table + (size_t)mt_relative_bucket(relative, w->rows, n->i[0], n->i[1] != 0) * (size_t)w->cols;
            for (int32_t h = 0; h < H; h++) {
                size_t at = ((size_t)h * (size_t)T + (size_t)t) * (size_t)C + (size_t)c;
                j->y[at] = j->in[0][at] + bias[h];
            }
        }
}

/* Log-spaced buckets on both sides (He et al. 2021): distances below half of the buckets have their own. */
static int32_t log_bucket(int32_t relative, int32_t buckets, int32_t distance) {
    int32_t middle = buckets / 2, n = relative < 0 ? -relative : relative;
    if (n <= middle) return relative;
    /* In float32, like the reference. */
    float position =
        ceilf(logf((float)n / (float)middle) / logf((float)(distance - 1) / (float)middle) * (float)(middle - 1)) +
        (float)middle;
    return relative < 0 ? -(int32_t)position : (int32_t)position;
}

int32_t mt_relation_row(const mt_node *n, int32_t rows, int32_t relative) {
    int32_t row = rows / 2 - relative;
    if (n->i[1] == MT_RELATION_BUCKETS)
        row = rows / 2 + (n->i[2] > 0 ? log_bucket(relative, n->i[2], n->i[3]) : relative);
    return row < 0 ? 0 : row >= rows ? rows - 1 : row;
}

static void add_relation(const job *j) {
    const mt_node *n = j->n;
    const mt_feed *f = j->feed;
    int32_t H = n->dims[0], T = n->dims[1], C = n->dims[2], side = n->in[2] >= 0 ? 2 : 3;
    int32_t rows = n->in[side] >= 0 ? j->g->nodes[n->in[side]].dims[0] : 0;
    int32_t all = n->in[side] >= 0 ? (int32_t)last_dim(&j->g->nodes[n->in[side]]) : 0, E = all / H;
    for (int32_t t = 0; t < T; t++)
        for (int32_t c = 0; c < C; c++) {
            int32_t slot = f->column_slot[c];
            if (slot < 0) continue;
            int32_t row = mt_relation_row(n, rows, f->position[t] - f->slot_position[slot]);
            for (int32_t h = 0; h < H; h++) {
                size_t at = ((size_t)h * (size_t)T + (size_t)t) * (size_t)C + (size_t)c;
                size_t there = (size_t)row * (size_t)all + (size_t)h * (size_t)E;
                float s = 0;
                if (j->in[2]) s += dot(j->in[1] + ((size_t)t * (size_t)H + (size_t)h) * (size_t)E, j->in[2] + there, E);
                if (j->in[3])
                    s += dot((const float *)f->k[n->i[0]] + ((size_t)h * (size_t)f->slots + (size_t)slot) * (size_t)E,
                             j->in[3] + there, E);
                j->y[at] = j->in[0][at] + n->f[0] * s;
            }
        }
}

static void kv_store(const job *j) {
    const mt_node *n = j->n;
    const mt_feed *f = j->feed;
    for (int which = 0; which < 2; which++) {
        const mt_node *x = &j->g->nodes[n->in[which]];
        int32_t T = x->dims[0], G = x->dims[1];
        size_t E = (size_t)x->dims[2];
        uint8_t *planes = which ? f->v[n->i[0]] : f->k[n->i[0]];
        size_t row = mt_cache_row(f->cache, x->dims[2]);
        for (int32_t t = 0; t < T; t++)
            for (int32_t g = 0; g < G; g++)
                mt_cache_put(f->cache, j->in[which] + ((size_t)t * (size_t)G + (size_t)g) * E, x->dims[2],
                             planes + ((size_t)g * (size_t)f->slots + (size_t)f->slot[t]) * row);
    }
}

/* result[t][h] = W[:, columns of head h] z[t][h] */
static void head_result(const job *j, float *row) {
    const mt_node *n = j->n, *z = &j->g->nodes[n->in[0]];
    const mt_weight *w = j->g->nodes[n->in[1]].weight;
    int32_t T = z->dims[0], H = z->dims[1], E = z->dims[2], D = n->dims[2];
    for (int32_t d = 0; d < D; d++) {
        mt_weight_row(w, d, row);
        for (int32_t t = 0; t < T; t++)
            for (int32_t h = 0; h < H; h++)
                j->y[((size_t)t * (size_t)H + (size_t)h) * (size_t)D + (size_t)d] =
                    dot(row + (size_t)h * (size_t)E, j->in[0] + ((size_t)t * (size_t)H + (size_t)h) * (size_t)E, E);
    }
}

static void sum_heads(const job *j) {
    const mt_node *n = j->n, *x = &j->g->nodes[n->in[0]];
    int32_t T = x->dims[0], H = x->dims[1];
    size_t D = (size_t)x->dims[2];
    for (int32_t t = 0; t < T; t++) {
        float *y = j->y + (size_t)t * D;
        const float *r = j->in[0] + (size_t)t * (size_t)H * D;
        for (size_t d = 0; d < D; d++) y[d] = j->in[1] ? j->in[1][d] : 0;
        for (int32_t h = 0; h < H; h++, r += D)
            for (size_t d = 0; d < D; d++) y[d] += r[d];
    }
}

static void experts(const job *j, float *work) {
    const mt_node *n = j->n;
    const mt_experts *e = n->extra;
    const mt_weight *up0 = &e->up[0], *down0 = &e->down[0];
    size_t D = last_dim(&j->g->nodes[n->in[0]]), out = (size_t)down0->rows, F = (size_t)up0->rows;
    size_t rows = D ? mt_node_elements(&j->g->nodes[n->in[0]]) / D : 0;
    size_t a = mt_matmul_scratch(up0, 1), b = mt_matmul_scratch(down0, 1);
    void *kernel = work; /* the sizes are those that mt_graph_plan reserves */
    float *p = work + ((a > b ? a : b) + 63) / 64 * 16;
    float *chosen = p + e->count, *gate = chosen + e->count, *up = gate + F, *part = up + F;
    for (size_t t = 0; t < rows; t++) {
        const float *x = j->in[0] + t * D, *logit = j->in[1] + t * (size_t)e->count;
        float *y = j->y + t * out, top = -INFINITY;
        double sum = 0, kept = 0;
        for (int32_t i = 0; i < e->count; i++) top = logit[i] > top ? logit[i] : top;
        for (int32_t i = 0; i < e->count; i++) sum += p[i] = expf(logit[i] - top);
        for (int32_t i = 0; i < e->count; i++) p[i] = (float)(p[i] / sum), chosen[i] = 0;
        for (int32_t k = 0; k < e->used; k++) { /* ties go to the lower index */
            int32_t best = -1;
            for (int32_t i = 0; i < e->count; i++)
                if (chosen[i] == 0 && (best < 0 || p[i] > p[best])) best = i;
            if (best < 0) break;
            chosen[best] = 1;
            kept += p[best];
        }
        memset(y, 0, out * sizeof *y);
        for (int32_t i = 0; i < e->count; i++) {
            if (chosen[i] == 0) continue;
            float share = e->normalise ? (float)(p[i] / kept) : p[i];
            mt_matmul(j->pool, &e->up[i], x, D, 1, NULL, up, F, kernel);
            for (size_t f = 0; e->up_bias && f < F; f++) up[f] += e->up_bias[(size_t)i * F + f];
            if (e->gate && e->limit > 0) {
                mt_matmul(j->pool, &e->gate[i], x, D, 1, NULL, gate, F, kernel);
                for (size_t f = 0; f < F; f++) {
                    float v = gate[f] + (e->gate_bias ? e->gate_bias[(size_t)i * F + f] : 0), u = up[f];
                    v = v > e->limit ? e->limit : v;
                    u = u > e->limit ? e->limit : u < -e->limit ? -e->limit : u;
                    up[f] = (u + 1) * (v / (1 + expf(-1.702f * v)));
                }
            } else if (e->gate) {
                mt_matmul(j->pool, &e->gate[i], x, D, 1, NULL, gate, F, kernel);
                mt_act_run(e->act, gate, gate, F);
                mt_mul(gate, up, up, F);
            } else {
                mt_act_run(e->act, up, up, F);
            }
            mt_matmul(j->pool, &e->down[i], up, F, 1, NULL, part, out, kernel);
            for (size_t d = 0; e->down_bias && d < out; d++) part[d] += e->down_bias[(size_t)i * out + d];
            for (size_t d = 0; d < out; d++) y[d] += share * part[d];
        }
    }
}

/* ---- recurrences: rows follow their parents; the state after some of them is kept ---- */

/* The input of the ancestor `distance` steps before row t: in this batch, in the kept state (the last taps - 1 inputs,
 * oldest first), or nothing. */
static const float *earlier_input(const job *j, const float *state, int32_t taps, size_t C, int32_t t,
                                  int32_t distance) {
    const mt_feed *f = j->feed;
    for (; distance > 0 && f->parent_row[t] >= 0; distance--) t = f->parent_row[t];
    if (distance == 0) return j->in[0] + (size_t)t * C;
    if (f->state_in[t] < 0) return NULL;
    return state + (size_t)f->state_in[t] * f->state_width + (size_t)(taps - 1 - distance) * C;
}

static void conv(const job *j) {
    const mt_node *n = j->n;
    const mt_feed *f = j->feed;
    int32_t T = n->dims[0], taps = n->i[2];
    size_t C = last_dim(n);
    float *state = f->state[n->i[0]] + n->i[1];
    for (int32_t t = 0; t < T; t++) {
        const float *tap[MT_MAX_TAPS];
        float *y = j->y + (size_t)t * C;
        for (int32_t k = 0; k < taps; k++) tap[k] = earlier_input(j, state, taps, C, t, taps - 1 - k);
        for (size_t c = 0; c < C; c++) {
            float sum = j->in[2] ? j->in[2][c] : 0;
            for (int32_t k = 0; k < taps; k++)
                if (tap[k]) sum += j->in[1][c * (size_t)taps + (size_t)k] * tap[k][c];
            y[c] = sum;
        }
        if (f->state_out[t] < 0) continue;
        float *kept = state + (size_t)f->state_out[t] * f->state_width;
        for (int32_t k = 1; k < taps; k++, kept += C) {
            if (tap[k])
                memcpy(kept, tap[k], C * sizeof *kept);
            else
                memset(kept, 0, C * sizeof *kept);
        }
    }
}

static void shift(const job *j) {
    const mt_node *n = j->n;
    const mt_feed *f = j->feed;
    int32_t T = n->dims[0];
    size_t C = last_dim(n);
    float *state = f->state[n->i[0]] + n->i[1];
    for (int32_t t = 0; t < T; t++) {
        const float *before = earlier_input(j, state, 2, C, t, 1);
        if (before)
            memcpy(j->y + (size_t)t * C, before, C * sizeof(float));
        else
            memset(j->y + (size_t)t * C, 0, C * sizeof(float));
        if (f->state_out[t] >= 0)
            memcpy(state + (size_t)f->state_out[t] * f->state_width, j->in[0] + (size_t)t * C, C * sizeof(float));
    }
}

/* The average of all values so far, each weighted by e^(key - decay * age) and the present one by e^(key + bonus); sums
 * are kept divided by e^most, so that nothing overflows. The state is [sum of weighted values][sum of weights][most].
 */
static void wkv(const job *j) {
    const mt_node *n = j->n;
    const mt_feed *f = j->feed;
    int32_t T = n->dims[0];
    size_t C = last_dim(n);
    float *state = f->state[n->i[0]] + n->i[1];
    for (size_t c = 0; c < C; c++) {
        float sum = 0, weights = 0, most = -1e38f, decay = j->in[2][c], bonus = j->in[3][c];
        for (int32_t t = 0; t < T; t++) {
            int32_t parent = f->parent_row[t], source = parent >= 0 ? f->state_out[parent] : f->state_in[t];
            if (parent < 0 || parent != t - 1) {
                const float *kept = source >= 0 ? state + (size_t)source * f->state_width : NULL;
                sum = kept ? kept[c] : 0, weights = kept ? kept[C + c] : 0, most = kept ? kept[2 * C + c] : -1e38f;
            }
            float k = j->in[0][(size_t)t * C + c], v = j->in[1][(size_t)t * C + c];
            float top = most > k + bonus ? most : k + bonus, old = expf(most - top), now = expf(k + bonus - top);
            j->y[(size_t)t * C + c] = (old * sum + now * v) / (old * weights + now);
            top = most + decay > k ? most + decay : k;
            old = expf(most + decay - top), now = expf(k - top);
            sum = old * sum + now * v, weights = old * weights + now, most = top;
            if (f->state_out[t] < 0) continue;
            float *kept = state + (size_t)f->state_out[t] * f->state_width;
            kept[c] = sum, kept[C + c] = weights, kept[2 * C + c] = most;
        }
    }
}

void mt_unit(const float *x, float *y, int32_t n, float scale) {
    float f = scale / sqrtf(dot(x, x, n) + MT_UNIT_EPS);
    for (int32_t i = 0; i < n; i++) y[i] = x[i] * f;
}

static void delta(const job *j, float *S) {
    const mt_node *n = j->n;
    const mt_feed *f = j->feed;
    const mt_delta *d = n->extra;
    int32_t T = n->dims[0], H = d->value_heads, K = d->key_width, V = d->value_width, keys = d->key_heads * K;
    size_t size = (size_t)K * (size_t)V, all = last_dim(&j->g->nodes[n->in[0]]);
    float *state = f->state[n->i[0]] + n->i[1], *q = S + size, *k = q + K, *error = k + K;
    for (int32_t h = 0; h < H; h++) {
        int32_t key_head = (int32_t)((int64_t)h * d->key_heads / H);
        for (int32_t t = 0; t < T; t++) {
            int32_t parent = f->parent_row[t], source = parent >= 0 ? f->state_out[parent] : f->state_in[t];
            if (parent < 0 || parent != t - 1) {
                if (source >= 0)
                    memcpy(S, state + (size_t)source * f->state_width + (size_t)h * size, size * sizeof *S);
                else
                    memset(S, 0, size * sizeof *S);
            }
            const float *x = j->in[0] + (size_t)t * all, *v = x + 2 * keys + h * V;
            float a = j->in[2][(size_t)t * (size_t)H + (size_t)h] + d->dt_bias[h];
            float decay = expf(d->A[h] * (a > 20 ? a : log1pf(expf(a))));
            float beta = 1 / (1 + expf(-j->in[1][(size_t)t * (size_t)H + (size_t)h]));
            float *y = j->y + ((size_t)t * (size_t)H + (size_t)h) * (size_t)V;
            mt_unit(x + key_head * K, q, K, 1 / sqrtf((float)K));
            mt_unit(x + keys + key_head * K, k, K, 1);
            for (size_t i = 0; i < size; i++) S[i] *= decay;
            memset(error, 0, (size_t)V * sizeof *error);
            for (int32_t i = 0; i < K; i++)
                for (int32_t c = 0; c < V; c++) error[c] += S[(size_t)i * (size_t)V + (size_t)c] * k[i];
            for (int32_t c = 0; c < V; c++) error[c] = (v[c] - error[c]) * beta, y[c] = 0;
            for (int32_t i = 0; i < K; i++)
                for (int32_t c = 0; c < V; c++) {
                    float *s = &S[(size_t)i * (size_t)V + (size_t)c];
                    *s += k[i] * error[c];
                    y[c] += *s * q[i];
                }
            if (f->state_out[t] >= 0)
                memcpy(state + (size_t)f->state_out[t] * f->state_width + (size_t)h * size, S, size * sizeof *S);
        }
    }
}

static void scan_task(void *arg, int part, int parts) {
    const job *j = arg;
    const mt_node *n = j->n;
    const mt_feed *f = j->feed;
    const mt_scan *s = n->extra;
    int32_t T = n->dims[0], N = s->state, heads = s->channels / s->width;
    float *state = f->state[n->i[0]] + n->i[1], h[256], decay[256];
    int32_t from = (int32_t)((int64_t)s->channels * part / parts),
            to = (int32_t)((int64_t)s->channels * (part + 1) / parts);
    for (int32_t c = from; c < to; c++) {
        int32_t head = c / s->width, group = (int32_t)((int64_t)head * s->groups / heads);
        for (int32_t t = 0; t < T; t++) {
            int32_t parent = f->parent_row[t], source = parent >= 0 ? f->state_out[parent] : f->state_in[t];
            if (parent < 0 || parent != t - 1) {
                if (source >= 0)
                    memcpy(h, state + (size_t)source * f->state_width + (size_t)c * (size_t)N, (size_t)N * sizeof *h);
                else
                    memset(h, 0, (size_t)N * sizeof *h);
            }
            float u = j->in[0][(size_t)t * (size_t)s->channels + (size_t)c],
                  dt = j->in[1][(size_t)t * (size_t)heads + (size_t)head];
            const float *B = j->in[2] + ((size_t)t * (size_t)s->groups + (size_t)group) * (size_t)N;
            const float *C = j->in[3] + ((size_t)t * (size_t)s->groups + (size_t)group) * (size_t)N;
            float du = dt * u;
            if (s->scalar) {
                float d = expf(dt * s->A[head]);
                for (int32_t i = 0; i < N; i++) decay[i] = d;
            } else {
                for (int32_t i = 0; i < N; i++) decay[i] = dt * s->A[(size_t)c * (size_t)N + (size_t)i];
                mt_exp(decay, decay, (size_t)N);
            }
            for (int32_t i = 0; i < N; i++) h[i] = decay[i] * h[i] + du * B[i];
            j->y[(size_t)t * (size_t)s->channels + (size_t)c] = dot(C, h, N) + s->D[head] * u;
            if (f->state_out[t] >= 0)
                memcpy(state + (size_t)f->state_out[t] * f->state_width + (size_t)c * (size_t)N, h,
                       (size_t)N * sizeof *h);
        }
    }
}

/* How many products from node i on can be made together (order.c puts them side by side). */
static int32_t products(const mt_graph *g, int32_t i, int32_t end) {
    const mt_node *n = &g->nodes[i];
    int32_t count = 1;
    for (; count < MT_TOGETHER && i + count < end; count++) {
        const mt_node *next = &g->nodes[i + count];
        if (next->op != MT_OP_MATMUL || next->in[0] != n->in[0] ||
            !mt_weight_alike(g->nodes[n->in[1]].weight, g->nodes[next->in[1]].weight))
            break;
    }
    return count;
}

static void matmuls(const job *j, int32_t i, int32_t count, void *kernel) {
    mt_product product[MT_TOGETHER];
    for (int32_t k = 0; k < count; k++) {
        const mt_node *n = &j->g->nodes[i + k];
        const mt_weight *w = j->g->nodes[n->in[1]].weight;
        const float *bias = n->in[2] >= 0 ? mt_node_value(&j->g->nodes[n->in[2]], j->scratch, j->feed) : NULL;
        product[k] = (mt_product){w, bias, mt_node_value(n, j->scratch, j->feed), (size_t)w->rows};
    }
    mt_matmul_together(j->pool, product, count, j->in[0], (size_t)product[0].w->cols, j->n->dims[0], kernel);
    for (int32_t k = 0; k + 1 < count; k++) { /* the last one is patched by the caller */
        const mt_node *n = &j->g->nodes[i + k];
        if (n->patched && j->feed->patch) j->feed->patch(j->feed->patch_arg, n, product[k].y, 0, mt_node_elements(n));
    }
}

static void rope(const job *j) {
    const mt_node *n = j->n;
    const float *inv_freq = j->feed->inv_freq ? j->feed->inv_freq[n->i[2]] : j->in[1];
    mt_rope(j->in[0], j->y, j->feed->position, inv_freq, n->i[1] != 0, n->f[0], n->dims[0], n->dims[1], n->dims[2],
            n->i[0]);
}

void mt_graph_run(const mt_graph *g, mt_pool *pool, float *scratch, const mt_feed *feed) {
    mt_graph_run_part(g, 0, g->count, pool, scratch, feed);
}

void mt_graph_run_part(const mt_graph *g, int32_t from, int32_t to, mt_pool *pool, float *scratch,
                       const mt_feed *feed) {
    float *kernel = scratch + g->kernel_at;
    for (int32_t i = from; i < to; i++) {
        const mt_node *n = &g->nodes[i];
        if (mt_is_leaf(n->op)) continue;
        job j = {.g = g, .n = n, .feed = feed, .pool = pool, .scratch = scratch};
        j.y = mt_node_value(n, scratch, feed);
        for (int k = 0; k < MT_NODE_INPUTS; k++)
            if (n->in[k] >= 0 && g->nodes[n->in[k]].op != MT_OP_WEIGHT && g->nodes[n->in[k]].op != MT_OP_INDEX)
                j.in[k] = mt_node_value(&g->nodes[n->in[k]], scratch, feed);
        switch (n->op) {
        case MT_OP_MATMUL: {
            int32_t count = products(g, i, to);
            matmuls(&j, i, count, kernel);
            i += count - 1;
            n = &g->nodes[i];
            j.y = mt_node_value(n, scratch, feed);
            break;
        }
        case MT_OP_ROPE:
            rope(&j);
            break;
        case MT_OP_KV_STORE:
            kv_store(&j);
            break;
        case MT_OP_CONV:
            conv(&j);
            break;
        case MT_OP_SHIFT:
            shift(&j);
            break;
        case MT_OP_WKV:
            wkv(&j);
            break;
        case MT_OP_DELTA:
            delta(&j, kernel);
            break;
        case MT_OP_SCAN:
            mt_pool_run(pool, scan_task, &j);
            break;
        case MT_OP_ROOM: /* its owner writes and patches it */
            continue;
        case MT_OP_GIVEN:
            break;
        case MT_OP_WINDOW:
            mt_window_run(g, n, j.y, kernel, feed);
            break;
        case MT_OP_POOL:
            mt_pool_over_run(g, n, scratch, j.y, feed);
            break;
        case MT_OP_CELL:
            mt_cell_run(g, n, pool, scratch, kernel, feed);
            continue;
        case MT_OP_ADD_RELATIVE:
            add_relative(&j, kernel);
            break;
        case MT_OP_ADD_RELATION:
            add_relation(&j);
            break;
        case MT_OP_ATTEND:
        case MT_OP_SCORES:
        case MT_OP_ATTN_SOFTMAX:
        case MT_OP_MIX:
            attend(&j);
            break;
        case MT_OP_HEAD_RESULT:
            head_result(&j, kernel);
            break;
        case MT_OP_SUM_HEADS:
            sum_heads(&j);
            break;
        case MT_OP_DOT:
        case MT_OP_BINARY:
        case MT_OP_UNARY:
        case MT_OP_REDUCE:
        case MT_OP_CUMSUM:
        case MT_OP_SOFTMAX:
        case MT_OP_TAKE:
        case MT_OP_PICK:
        case MT_OP_PERMUTE:
        case MT_OP_CONCAT:
        case MT_OP_CUT:
        case MT_OP_MOVE:
        case MT_OP_FLIP:
        case MT_OP_EXPAND:
        case MT_OP_WHERE:
        case MT_OP_STRAIGHT:
        case MT_OP_CROSS_ENTROPY:
            mt_general_run(g, n, pool, j.in, j.y, kernel);
            break;
        case MT_OP_EXPERTS:
            experts(&j, kernel);
            break;
        default:
            by_rows(&j);
            break;
        }
        if (n->patched && feed->patch) feed->patch(feed->patch_arg, n, j.y, 0, mt_node_elements(n));
    }
}
