/* The state-space recurrence (Gu & Dao 2023; Dao & Gu 2024), for every channel and every one of its N states
 *
 *   h = e^(dt A) h' + dt u B,   y = C . h + D u,   h' the state before
 *
 * Backwards, with g the gradient of h (C dy + what came from later rows) and e = g h' e^(dt A):
 *
 *   g' = g e^(dt A)    du = dt (g . B) + D dy    d dt = u (g . B) + e . A    dA += dt e    dB += dt u g    dC += dy h
 *
 * Rows are taken in pieces of a few thousand states, the last one first; the states of a piece are computed again and
 * stay in the first cache. What a piece needs of the rows before it is the state at its beginning: where a sequence
 * goes on over that border (nowhere, if sequences are as long as pieces) a run over all rows keeps it first.
 *
 * Channels are shared out in parts that have sums of their own for the B and C they share; these are added up, in
 * order, after each piece. In a tree of rows the gradients of several rows may meet anywhere: there is one piece, and
 * one part at a time. */
#include "grad_recurrent.h"

#include <math.h>

typedef struct scan_back {
    const mt_back *b;
    const mt_scan *s;
    int32_t heads, shares;  /* parts of a group */
    int32_t rows, from, to; /* of a piece; this one */
    bool tree;
    float *border; /* [pieces][channels][N] states before the first row of a piece */
    float *carry;  /* [channels][N] gradients of the states before row `to`; of a tree [T][N], of one channel */
    float *rooms;  /* see room */
    float *dA, *dD;
} scan_back;

/* What a part works with: for the rows of a piece, of one channel and then of all its channels. */
typedef struct room {
    float *zeros, *A, *dA; /* [N] */
    float *decay, *h;      /* [rows][N] */
    float *dB, *dC;        /* [rows][N] */
} room;

static size_t room_size(size_t rows, size_t N) {
    return mt_back_area(4 * rows + 3, N);
}

static room room_of(const scan_back *j, int part) {
    size_t N = (size_t)j->s->state, rows = (size_t)j->rows;
    float *p = j->rooms + (j->tree ? 0 : (size_t)part * room_size(rows, N));
    return (room){p, p + N, p + 2 * N, p + 3 * N, p + (3 + rows) * N, p + (3 + 2 * rows) * N, p + (3 + 3 * rows) * N};
}

static int32_t rows_of(const mt_scan *s, int32_t T) {
    int32_t rows = 2048 / s->state;
    rows = rows < 32 ? 32 : rows > 128 ? 128 : rows;
    return rows < T ? rows : T > 0 ? T : 1;
}

static int32_t heads_of(const mt_scan *s) {
    return s->channels / s->width;
}

static int32_t shares_of(const mt_scan *s) {
    int32_t each = heads_of(s) / s->groups, shares = MT_BACK_PARTS / s->groups;
    return shares < 1 || each < 1 ? 1 : shares < each ? shares : each;
}

size_t mt_back_scan_work(const mt_node *n) {
    const mt_scan *s = n->extra;
    int32_t rows = rows_of(s, n->dims[0]);
    size_t T = (size_t)n->dims[0], N = (size_t)s->state, pieces = (T + (size_t)rows - 1) / (size_t)rows;
    size_t chain = mt_back_area(mt_back_area(pieces + 1, (size_t)s->channels), N) +
                   mt_back_area((size_t)(shares_of(s) * s->groups), room_size((size_t)rows, N));
    size_t tree = room_size(T, N) + mt_back_area(T, N);
    return chain > tree ? chain : tree;
}

/* The first head of a group: head h is of group h groups / heads. */
static int32_t first_head(const scan_back *j, int32_t group) {
    return (int32_t)(((int64_t)group * j->heads + j->s->groups - 1) / j->s->groups);
}

static void channels_of(const scan_back *j, int part, int32_t *from, int32_t *to) {
    int32_t group = part / j->shares, share = part % j->shares;
    int64_t first = first_head(j, group), count = first_head(j, group + 1) - first;
    *from = (int32_t)(first + count * share / j->shares) * j->s->width;
    *to = (int32_t)(first + count * (share + 1) / j->shares) * j->s->width;
}

static const float *shared(const scan_back *j, int which, int32_t t, int32_t group) { /* B or C */
    return j->b->x[which] + ((size_t)t * (size_t)j->s->groups + (size_t)group) * (size_t)j->s->state;
}

/* The state of channel c before row t, when m->h holds those after the rows from `from` on. */
static const float *before(const scan_back *j, const room *m, int32_t c, int32_t from, int32_t t) {
    int32_t parent = j->b->feed->parent_row[t];
    size_t N = (size_t)j->s->state;
    if (parent >= from) return m->h + (size_t)(parent - from) * N;
    if (parent >= 0) return j->border + ((size_t)(from / j->rows) * (size_t)j->s->channels + (size_t)c) * N;
    const float *kept = mt_back_kept(j->b, t);
    return kept ? kept + (size_t)c * N : m->zeros;
}

/* y = x f, h = decay old + B du: as the executor does it. */
static inline void scaled(const float *x, float f, float *y, size_t N) {
    size_t i = 0;
    for (; i + 4 <= N; i += 4) mt_four_put(mt_four_at(x + i) * f, y + i);
    for (; i < N; i++) y[i] = x[i] * f;
}
static inline void next_state(const float *decay, const float *old, const float *B, float du, float *h, size_t N) {
    size_t i = 0;
    for (; i + 4 <= N; i += 4) mt_four_put(mt_four_at(decay + i) * mt_four_at(old + i) + du * mt_four_at(B + i), h + i);
    for (; i < N; i++) h[i] = decay[i] * old[i] + du * B[i];
}

/* Decays and states of channel c again. */
static void states(const scan_back *j, const room *m, int32_t c, int32_t from, int32_t to) {
    const mt_scan *s = j->s;
    size_t N = (size_t)s->state;
    int32_t head = c / s->width, group = (int32_t)((int64_t)head * s->groups / j->heads);
    const float *step = j->b->x[1] + head, *u = j->b->x[0] + c;
    for (size_t i = 0; i < N; i++) m->A[i] = s->scalar ? s->A[head] : s->A[(size_t)c * N + i];
    if (s->scalar)
        for (int32_t t = from; t < to; t++) {
            float *decay = m->decay + (size_t)(t - from) * N, d = expf(step[(size_t)t * (size_t)j->heads] * s->A[head]);
            for (size_t i = 0; i < N; i++) decay[i] = d;
        }
    else
        for (int32_t t = from; t < to; t++)
            scaled(m->A, step[(size_t)t * (size_t)j->heads], m->decay + (size_t)(t - from) * N, N);
    if (!s->scalar) mt_exp(m->decay, m->decay, (size_t)(to - from) * N);
    for (int32_t t = from; t < to; t++) {
        float du = step[(size_t)t * (size_t)j->heads] * u[(size_t)t * (size_t)s->channels];
        size_t row = (size_t)(t - from) * N;
        next_state(m->decay + row, before(j, m, c, from, t), shared(j, 2, t, group), du, m->h + row, N);
    }
}

/* ---- the states at borders ---- */

static bool crossed(const scan_back *j, int32_t row) {
    return row > 0 && j->b->feed->parent_row[row] >= 0;
}

static void border_part(void *arg, int part, int parts) {
    const scan_back *j = arg;
    (void)parts;
    const int32_t *parent = j->b->feed->parent_row;
    size_t N = (size_t)j->s->state;
    room m = room_of(j, part);
    int32_t c0, c1;
    channels_of(j, part, &c0, &c1);
    memset(m.zeros, 0, N * sizeof *m.zeros);
    for (int32_t c = c0; c < c1; c++)
        for (int32_t row = j->rows; row < j->b->n->dims[0]; row += j->rows) {
            if (!crossed(j, row)) continue;
            int32_t from = row - 1;
            while (parent[from] >= 0 && from > row - j->rows) from--;
            states(j, &m, c, from, row);
            memcpy(j->border + ((size_t)(row / j->rows) * (size_t)j->s->channels + (size_t)c) * N,
                   m.h + (size_t)(row - 1 - from) * N, N * sizeof *m.h);
        }
}

/* ---- one piece ---- */

typedef struct sums {
    float gB, eA; /* g . B and e . A */
} sums;

/* g becomes the gradient of the state before the row. */
static inline sums row_back(size_t N, const room *m, size_t row, const float *old, const float *B, const float *C,
                            float dy, float dt, float du, float *g) {
    const float *A = m->A, *decay = m->decay + row * N, *h = m->h + row * N;
    float *dA = m->dA, *dB = m->dB + row * N, *dC = m->dC + row * N;
    mt_four gB = {0}, eA = {0};
    size_t i = 0;
    for (; i + 4 <= N; i += 4) {
        mt_four now = mt_four_at(g + i) + mt_four_at(C + i) * dy, next = now * mt_four_at(decay + i);
        mt_four e = next * mt_four_at(old + i);
        mt_four_put(next, g + i);
        mt_four_add(dy * mt_four_at(h + i), dC + i);
        mt_four_add(du * now, dB + i);
        mt_four_add(dt * e, dA + i);
        gB += now * mt_four_at(B + i);
        eA += e * mt_four_at(A + i);
    }
    sums all = {mt_four_sum(gB), mt_four_sum(eA)};
    for (; i < N; i++) {
        float now = g[i] + C[i] * dy, next = now * decay[i], e = next * old[i];
        g[i] = next;
        dC[i] += dy * h[i];
        dB[i] += du * now;
        dA[i] += dt * e;
        all.gB += now * B[i];
        all.eA += e * A[i];
    }
    return all;
}

static void channel_back(const scan_back *j, const room *m, int32_t c) {
    const mt_back *b = j->b;
    const mt_scan *s = j->s;
    const int32_t *parent = b->feed->parent_row;
    size_t N = (size_t)s->state;
    int32_t head = c / s->width, group = (int32_t)((int64_t)head * s->groups / j->heads);
    float dD = 0;
    states(j, m, c, j->from, j->to);
    memset(m->dA, 0, N * sizeof *m->dA);
    if (j->tree) memset(j->carry, 0, (size_t)j->to * N * sizeof *j->carry);
    for (int32_t t = j->to; t-- > j->from;) {
        float *g = j->carry + (size_t)(j->tree ? t : c) * N;
        size_t at = (size_t)t * (size_t)s->channels + (size_t)c, step = (size_t)t * (size_t)j->heads + (size_t)head;
        float u = b->x[0][at], dt = b->x[1][step], dy = b->dy[at];
        sums r = row_back(N, m, (size_t)(t - j->from), before(j, m, c, j->from, t), shared(j, 2, t, group),
                          shared(j, 3, t, group), dy, dt, dt * u, g);
        if (b->dx[0]) b->dx[0][at] += dt * r.gB + s->D[head] * dy;
        if (b->dx[1]) b->dx[1][step] += u * r.gB + r.eA;
        dD += dy * u;
        if (j->tree && parent[t] >= 0)
            for (size_t i = 0; i < N; i++) j->carry[(size_t)parent[t] * N + i] += g[i];
        else if (parent[t] < 0)
            memset(g, 0, N * sizeof *g);
    }
    if (j->dD) j->dD[head] += dD;
    for (size_t i = 0; j->dA && i < N; i++) j->dA[s->scalar ? (size_t)head : (size_t)c * N + i] += m->dA[i];
}

static void piece_part(void *arg, int part, int parts) {
    const scan_back *j = arg;
    (void)parts;
    size_t N = (size_t)j->s->state, rows = (size_t)(j->to - j->from);
    room m = room_of(j, part);
    int32_t c0, c1;
    channels_of(j, part, &c0, &c1);
    memset(m.zeros, 0, N * sizeof *m.zeros);
    memset(m.dB, 0, rows * N * sizeof *m.dB);
    memset(m.dC, 0, rows * N * sizeof *m.dC);
    for (int32_t c = c0; c < c1; c++) channel_back(j, &m, c);
}

/* Rows from .. to of a part's own sums. */
static void add_part(const scan_back *j, int part, int32_t from, int32_t to) {
    room m = room_of(j, part);
    size_t N = (size_t)j->s->state, group = (size_t)(part / j->shares);
    for (int which = 2; which < 4; which++) {
        float *dx = j->b->dx[which];
        const float *own = which == 2 ? m.dB : m.dC;
        if (!dx) continue;
        for (size_t t = (size_t)from; t < (size_t)to; t++) {
            float *row = dx + (t * (size_t)j->s->groups + group) * N;
            const float *add = own + (t - (size_t)j->from) * N;
            for (size_t i = 0; i < N; i++) row[i] += add[i];
        }
    }
}

static void add_rows(void *arg, int part, int parts) {
    const scan_back *j = arg;
    int64_t rows = j->to - j->from;
    int32_t from = j->from + (int32_t)(rows * part / parts), to = j->from + (int32_t)(rows * (part + 1) / parts);
    for (int p = 0; p < j->shares * j->s->groups; p++) add_part(j, p, from, to);
}

void mt_back_scan(const mt_back *b) {
    const mt_scan *s = b->n->extra;
    size_t T = (size_t)b->n->dims[0], N = (size_t)s->state, channels = (size_t)s->channels;
    scan_back j = {.b = b, .s = s, .heads = heads_of(s), .shares = shares_of(s), .rows = rows_of(s, b->n->dims[0])};
    j.dA = b->grad(b->arg, s->A);
    j.dD = b->grad(b->arg, s->D);
    int parts = j.shares * s->groups;
    if (mt_back_is_tree(b)) {
        j.tree = true;
        j.rows = j.to = b->n->dims[0];
        j.rooms = b->work;
        j.carry = b->work + room_size(T, N);
        for (int part = 0; part < parts; part++) {
            piece_part(&j, part, parts);
            add_part(&j, part, 0, j.to);
        }
        return;
    }
    size_t pieces = (T + (size_t)j.rows - 1) / (size_t)j.rows;
    mt_pool *pool = mt_back_pool(b, T * channels * N / 4);
    j.border = b->work;
    j.carry = j.border + pieces * channels * N;
    j.rooms = j.carry + channels * N;
    bool any = false;
    for (int32_t row = j.rows; row < b->n->dims[0]; row += j.rows) any |= crossed(&j, row);
    if (any) mt_pool_run_parts(pool, border_part, &j, parts);
    memset(j.carry, 0, channels * N * sizeof *j.carry);
    for (size_t piece = pieces; piece-- > 0;) {
        j.from = (int32_t)piece * j.rows;
        j.to = j.from + j.rows < b->n->dims[0] ? j.from + j.rows : b->n->dims[0];
        mt_pool_run_parts(pool, piece_part, &j, parts);
        mt_pool_run(pool, add_rows, &j);
    }
}
