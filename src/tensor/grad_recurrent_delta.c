/* The gated delta rule (Yang et al. 2024), for every value head; S0 is the state [K][V] before the row, ' transposes:
 *
 *   r = v - d S0' k,   S = d S0 + k (beta r)',   y = S' q;   d = e^(A softplus(a)), beta = sigmoid(b), |q|, |k| fixed
 *
 * Backwards, with G the gradient of S (q dy' + what came from later rows), m = beta G' k that of r, E = G - k m':
 *
 *   dv = m   dbeta = r . G' k   dq = S dy   dk = G (beta r) - d S0 m   dd = sum of E * S0   G0 = d E
 *
 * The columns of S do not depend on each other: they are taken 16 at a time, so that a state fits the first cache.
 * Rows are taken in pieces of sqrt(T) (at least 64), the last one first, whose states are computed again from the one
 * before them, which a first run has kept. In a tree of rows there is one piece. Parts share out key heads, whose
 * queries and keys several value heads may use. */
#include "grad_recurrent.h"

#include <math.h>

enum { SLICE = 16, FOURS = SLICE / 4 };

typedef struct delta_back {
    const mt_back *b;
    const mt_delta *d;
    int32_t T, rows; /* of the batch, of a piece */
    bool tree;
    float *dA, *dbias;
} delta_back;

typedef struct room {
    float *border;          /* [pieces][K][SLICE] states before a piece */
    float *zeros, *kept;    /* [K][SLICE] the state of a first row */
    float *S;               /* [rows][K][SLICE] after each row */
    float *G;               /* [K][SLICE], of a tree [T][K][SLICE] */
    float *r;               /* [rows][SLICE] */
    float *q, *k, *dq, *dk; /* [K] */
} room;

static int32_t rows_of(int32_t T) {
    int32_t rows = (int32_t)ceil(sqrt((double)T));
    rows = rows > 64 ? rows : 64;
    return rows < T ? rows : T > 0 ? T : 1;
}

static int parts_of(const mt_delta *d) {
    return d->key_heads < MT_BACK_PARTS ? d->key_heads : MT_BACK_PARTS;
}

static size_t room_size(size_t T, size_t rows, size_t K, bool tree) {
    size_t pieces = (T + rows - 1) / rows, states = pieces + 2 + rows + (tree ? T : 1);
    return mt_back_area(states, K * SLICE) + mt_back_area(rows, SLICE) + 4 * K;
}

size_t mt_back_delta_work(const mt_node *n) {
    const mt_delta *d = n->extra;
    size_t T = (size_t)n->dims[0], K = (size_t)d->key_width;
    size_t chain = mt_back_area((size_t)parts_of(d), room_size(T, (size_t)rows_of(n->dims[0]), K, false));
    size_t tree = room_size(T, T > 0 ? T : 1, K, true);
    return chain > tree ? chain : tree;
}

static room room_of(const delta_back *j, int part) {
    size_t T = (size_t)j->T, rows = (size_t)j->rows, K = (size_t)j->d->key_width, state = K * SLICE;
    float *p = j->b->work + (j->tree ? 0 : (size_t)part * room_size(T, rows, K, false));
    room m = {.border = p};
    m.zeros = m.border + (T + rows - 1) / rows * state;
    m.kept = m.zeros + state;
    m.S = m.kept + state;
    m.G = m.S + rows * state;
    m.r = m.G + (j->tree ? T : 1) * state;
    m.q = m.r + rows * SLICE;
    m.k = m.q + K, m.dq = m.k + K, m.dk = m.dq + K;
    return m;
}

/* One value head's slice of columns, and what the gates of a row are. */
typedef struct slice {
    int32_t head, key_head, first, count;
} slice;
typedef struct gates {
    float a, step, decay, beta; /* step: softplus(a) */
} gates;

static gates gates_of(const delta_back *j, int32_t t, int32_t head) {
    size_t at = (size_t)t * (size_t)j->d->value_heads + (size_t)head;
    float a = j->b->x[2][at] + j->d->dt_bias[head], step = a > 20 ? a : log1pf(expf(a));
    return (gates){a, step, expf(j->d->A[head] * step), 1 / (1 + expf(-j->b->x[1][at]))};
}

/* Where query, key (which = 0, 1) and values (2) of row t begin in in[0]. */
static size_t place_of(const delta_back *j, int32_t t, const slice *s, int which) {
    const mt_delta *d = j->d;
    size_t K = (size_t)d->key_width, keys = (size_t)d->key_heads * K;
    size_t row = (size_t)t * (2 * keys + (size_t)d->value_heads * (size_t)d->value_width);
    if (which == 2) return row + 2 * keys + (size_t)s->head * (size_t)d->value_width + (size_t)s->first;
    return row + (size_t)which * keys + (size_t)s->key_head * K;
}

/* SLICE columns of a row that has `count`: the others are 0. */
static void load(const float *x, int32_t count, float out[SLICE]) {
    for (int32_t c = 0; c < SLICE; c++) out[c] = c < count ? x[c] : 0;
}

/* The state before row t, when m->S holds those after the rows from `from` on. */
static const float *before(const delta_back *j, const room *m, const slice *s, int32_t from, int32_t t) {
    int32_t parent = j->b->feed->parent_row[t];
    size_t K = (size_t)j->d->key_width, V = (size_t)j->d->value_width;
    if (parent >= from) return m->S + (size_t)(parent - from) * K * SLICE;
    if (parent >= 0) return m->border + (size_t)(from / j->rows) * K * SLICE;
    const float *kept = mt_back_kept(j->b, t);
    if (!kept) return m->zeros;
    for (size_t i = 0; i < K; i++) load(kept + ((size_t)s->head * K + i) * V + s->first, s->count, m->kept + i * SLICE);
    return m->kept;
}

/* States after rows from .. to again, as the executor computes them. */
static void states(const delta_back *j, const room *m, const slice *s, int32_t from, int32_t to) {
    size_t K = (size_t)j->d->key_width;
    const float *x = j->b->x[0];
    for (int32_t t = from; t < to; t++) {
        const float *old = before(j, m, s, from, t);
        float *S = m->S + (size_t)(t - from) * K * SLICE, *r = m->r + (size_t)(t - from) * SLICE, v[SLICE];
        mt_four sum[FOURS] = {0};
        gates w = gates_of(j, t, s->head);
        mt_unit(x + place_of(j, t, s, 1), m->k, j->d->key_width, 1);
        load(x + place_of(j, t, s, 2), s->count, v);
        for (size_t i = 0; i < K; i++)
            for (size_t c = 0; c < FOURS; c++) {
                mt_four kept = mt_four_at(old + i * SLICE + 4 * c) * w.decay;
                mt_four_put(kept, S + i * SLICE + 4 * c);
                sum[c] += kept * m->k[i];
            }
        for (size_t c = 0; c < FOURS; c++) {
            mt_four rest = mt_four_at(v + 4 * c) - sum[c];
            mt_four_put(rest, r + 4 * c);
            sum[c] = rest * w.beta;
        }
        for (size_t i = 0; i < K; i++)
            for (size_t c = 0; c < FOURS; c++) mt_four_add(m->k[i] * sum[c], S + i * SLICE + 4 * c);
    }
}

/* dx of y = scale x / sqrt(x . x + 1e-6), the gradient of y being dy. */
static void unit_back(const float *x, const float *dy, int32_t n, float scale, float *dx) {
    float square = 0, along = 0;
    for (int32_t i = 0; i < n; i++) square += x[i] * x[i], along += x[i] * dy[i];
    square += MT_UNIT_EPS;
    float factor = scale / sqrtf(square);
    for (int32_t i = 0; i < n; i++) dx[i] += factor * (dy[i] - x[i] * (along / square));
}

/* One row: G becomes the gradient of the state before it; dq and dk are written, and dr = G' k. Returns dd. */
static float row_back(size_t K, const room *m, const gates *w, const float *old, const float *S, const float *r,
                      const float *dy, float *G, float dr[SLICE]) {
    mt_four out[FOURS], error[FOURS], change[FOURS], along[FOURS] = {0}, ddecay = {0};
    for (size_t c = 0; c < FOURS; c++) out[c] = mt_four_at(dy + 4 * c), error[c] = mt_four_at(r + 4 * c) * w->beta;
    for (size_t i = 0; i < K; i++) {
        float q = m->q[i], k = m->k[i];
        mt_four dq = {0}, dk = {0};
        for (size_t c = 0; c < FOURS; c++) {
            mt_four now = mt_four_at(G + i * SLICE + 4 * c) + q * out[c];
            mt_four_put(now, G + i * SLICE + 4 * c);
            along[c] += now * k;
            dq += mt_four_at(S + i * SLICE + 4 * c) * out[c];
            dk += now * error[c];
        }
        m->dq[i] = mt_four_sum(dq);
        m->dk[i] = mt_four_sum(dk);
    }
    for (size_t c = 0; c < FOURS; c++) change[c] = along[c] * w->beta, mt_four_put(along[c], dr + 4 * c);
    for (size_t i = 0; i < K; i++) {
        float k = m->k[i];
        mt_four dk = {0};
        for (size_t c = 0; c < FOURS; c++) {
            mt_four was = mt_four_at(old + i * SLICE + 4 * c);
            mt_four now = mt_four_at(G + i * SLICE + 4 * c) - k * change[c];
            dk += was * change[c];
            ddecay += now * was;
            mt_four_put(now * w->decay, G + i * SLICE + 4 * c);
        }
        m->dk[i] -= w->decay * mt_four_sum(dk);
    }
    return mt_four_sum(ddecay);
}

static void rows_back(const delta_back *j, const room *m, const slice *s, int32_t from, int32_t to) {
    const mt_back *b = j->b;
    const mt_delta *d = j->d;
    int32_t width = d->key_width;
    size_t K = (size_t)width;
    float unit = 1 / sqrtf((float)width);
    for (int32_t t = to; t-- > from;) {
        int32_t parent = b->feed->parent_row[t];
        size_t at = (size_t)t * (size_t)d->value_heads + (size_t)s->head;
        const float *xq = b->x[0] + place_of(j, t, s, 0), *xk = b->x[0] + place_of(j, t, s, 1);
        const float *r = m->r + (size_t)(t - from) * SLICE;
        float *G = m->G + (j->tree ? (size_t)t * K * SLICE : 0), dy[SLICE], dr[SLICE];
        gates w = gates_of(j, t, s->head);
        mt_unit(xq, m->q, width, unit);
        mt_unit(xk, m->k, width, 1);
        load(b->dy + at * (size_t)d->value_width + (size_t)s->first, s->count, dy);
        float ddecay =
            row_back(K, m, &w, before(j, m, s, from, t), m->S + (size_t)(t - from) * K * SLICE, r, dy, G, dr);
        if (b->dx[0]) {
            float *dv = b->dx[0] + place_of(j, t, s, 2);
            for (int32_t c = 0; c < s->count; c++) dv[c] += dr[c] * w.beta;
            unit_back(xq, m->dq, width, unit, b->dx[0] + place_of(j, t, s, 0));
            unit_back(xk, m->dk, width, 1, b->dx[0] + place_of(j, t, s, 1));
        }
        float dbeta = 0;
        for (size_t c = 0; c < SLICE; c++) dbeta += dr[c] * r[c];
        if (b->dx[1]) b->dx[1][at] += dbeta * w.beta * (1 - w.beta);
        float dg = ddecay * w.decay, da = dg * d->A[s->head] * (w.a > 20 ? 1 : 1 / (1 + expf(-w.a)));
        if (b->dx[2]) b->dx[2][at] += da;
        if (j->dbias) j->dbias[s->head] += da;
        if (j->dA) j->dA[s->head] += dg * w.step;
        if (j->tree && parent >= 0) {
            float *to_parent = m->G + (size_t)parent * K * SLICE;
            for (size_t i = 0; i < K * SLICE; i++) to_parent[i] += G[i];
        } else if (parent < 0) {
            memset(G, 0, K * SLICE * sizeof *G);
        }
    }
}

static void slice_back(const delta_back *j, const room *m, const slice *s) {
    const int32_t *parent = j->b->feed->parent_row;
    size_t state = (size_t)j->d->key_width * SLICE;
    for (int32_t row = j->rows; row < j->T; row += j->rows) {
        if (parent[row] < 0) continue;
        int32_t from = row - 1;
        while (parent[from] >= 0 && from > row - j->rows) from--;
        states(j, m, s, from, row);
        memcpy(m->border + (size_t)(row / j->rows) * state, m->S + (size_t)(row - 1 - from) * state,
               state * sizeof *m->S);
    }
    memset(m->G, 0, (j->tree ? (size_t)j->T : 1) * state * sizeof *m->G);
    for (int32_t from = (j->T - 1) / j->rows * j->rows; from >= 0; from -= j->rows) {
        int32_t to = from + j->rows < j->T ? from + j->rows : j->T;
        states(j, m, s, from, to);
        rows_back(j, m, s, from, to);
    }
}

static void delta_part(void *arg, int part, int parts) {
    const delta_back *j = arg;
    const mt_delta *d = j->d;
    room m = room_of(j, part);
    memset(m.zeros, 0, (size_t)d->key_width * SLICE * sizeof *m.zeros);
    for (int32_t h = 0; h < d->value_heads; h++) {
        int32_t key_head = (int32_t)((int64_t)h * d->key_heads / d->value_heads);
        if ((int64_t)key_head * parts / d->key_heads != part) continue;
        for (int32_t c = 0; c < d->value_width; c += SLICE) {
            int32_t left = d->value_width - c;
            slice_back(j, &m, &(slice){h, key_head, c, left < SLICE ? left : SLICE});
        }
    }
}

void mt_back_delta(const mt_back *b) {
    const mt_delta *d = b->n->extra;
    delta_back j = {.b = b, .d = d, .T = b->n->dims[0], .rows = rows_of(b->n->dims[0])};
    j.dA = b->grad(b->arg, d->A);
    j.dbias = b->grad(b->arg, d->dt_bias);
    int parts = parts_of(d);
    if (j.T <= 0) return;
    if (mt_back_is_tree(b)) {
        j.tree = true;
        j.rows = j.T;
        for (int part = 0; part < parts; part++) delta_part(&j, part, parts);
        return;
    }
    mt_pool_run_parts(mt_back_pool(b, mt_node_elements(b->n) * (size_t)d->key_width), delta_part, &j, parts);
}
