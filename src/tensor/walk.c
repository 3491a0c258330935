#include "walk.h"

#include <math.h>

mt_walk mt_walk_over(const mt_node *n) {
    mt_walk w = {.axes = n->n_dims};
    for (int32_t d = 0; d < n->n_dims; d++) w.dims[d] = w.to[d] = n->dims[d];
    return w;
}

void mt_walk_add(mt_walk *w, const mt_node *x) {
    ptrdiff_t steps[MT_WALK_AXES] = {0}, step = 1;
    for (int32_t d = 1; d <= x->n_dims; d++) {
        int32_t width = x->dims[x->n_dims - d];
        if (width != 1) steps[w->axes - d] = step;
        step *= width;
    }
    mt_walk_add_steps(w, w->axes, steps, 0);
}

void mt_walk_add_steps(mt_walk *w, int32_t n_dims, const ptrdiff_t *steps, ptrdiff_t start) {
    int32_t k = w->operands++;
    for (int32_t d = 0; d < n_dims; d++) w->step[k][d] = steps[d];
    w->start[k] = start;
}

static void move_axis(mt_walk *w, int32_t to, int32_t from) {
    w->dims[to] = w->dims[from];
    for (int32_t k = 0; k < w->operands; k++) w->step[k][to] = w->step[k][from];
}

void mt_walk_merge(mt_walk *w) {
    int32_t kept = 0;
    for (int32_t d = 0; d < w->axes; d++) {
        if (w->dims[d] == 1) continue;
        bool evenly = kept > 0;
        for (int32_t k = 0; k < w->operands && evenly; k++) evenly = w->step[k][kept - 1] == w->step[k][d] * w->dims[d];
        ptrdiff_t outer = evenly ? w->dims[kept - 1] : 1;
        if (evenly) kept--;
        move_axis(w, kept, d);
        w->dims[kept++] *= outer;
    }
    if (kept == 0) { /* one element */
        w->dims[0] = 1;
        for (int32_t k = 0; k < w->operands; k++) w->step[k][0] = 1;
        kept = 1;
    }
    w->axes = kept;
    for (int32_t d = 0; d < kept; d++) w->from[d] = 0, w->to[d] = w->dims[d];
}

void mt_walk_part(mt_walk *w, int32_t operand, int part, int parts) {
    if (parts == 1) return;
    int32_t best = -1; /* the outermost axis that has enough for all, or the longest one */
    for (int32_t d = 0; d < w->axes; d++) {
        if (operand >= 0 && w->step[operand][d] == 0) continue;
        if (best < 0 || (w->dims[best] < 4 * parts && w->dims[d] > w->dims[best])) best = d;
    }
    if (best < 0) { /* a single sum */
        if (part > 0) w->to[0] = w->from[0];
        return;
    }
    size_t from, to;
    mt_share((size_t)w->dims[best], best == w->axes - 1 ? 16 : 1, part, parts, &from, &to);
    w->from[best] = (ptrdiff_t)from, w->to[best] = (ptrdiff_t)to;
}

mt_walk_at mt_walk_first(const mt_walk *w) {
    mt_walk_at at = {.more = true};
    for (int32_t k = 0; k < w->operands; k++) at.place[k] = w->start[k];
    for (int32_t d = 0; d < w->axes; d++) {
        at.index[d] = w->from[d];
        for (int32_t k = 0; k < w->operands; k++) at.place[k] += w->step[k][d] * w->from[d];
        if (w->from[d] >= w->to[d]) at.more = false;
    }
    at.length = (size_t)(w->to[w->axes - 1] - w->from[w->axes - 1]);
    return at;
}

/* ---- copies ---- */

/* A short row is copied by a loop: a call of memcpy, into the engine in WASM, takes as long as 64 floats. */
__attribute__((no_builtin("memcpy"))) static void copy_short(const float *restrict from, float *restrict to, size_t n) {
    for (size_t i = 0; i < n; i++) to[i] = from[i];
}

static void copy_row(const float *restrict from, ptrdiff_t from_step, float *restrict to, ptrdiff_t to_step, size_t n) {
    if (from_step == 1 && to_step == 1 && n <= 64)
        copy_short(from, to, n);
    else if (from_step == 1 && to_step == 1)
        memcpy(to, from, n * sizeof *to);
    else
        for (size_t i = 0; i < n; i++, from += from_step, to += to_step) *to = *from;
}

static void add_row(const float *restrict from, ptrdiff_t from_step, float *restrict to, ptrdiff_t to_step, size_t n) {
    if (from_step == 1 && to_step == 1)
        for (size_t i = 0; i < n; i++) to[i] += from[i];
    else if (from_step == 1 && to_step == 0)
        *to += (float)mt_sum(from, n);
    else
        for (size_t i = 0; i < n; i++, from += from_step, to += to_step) *to += *from;
}

enum { TILE = 16 }; /* a transposed matrix goes through the cache in squares of this width */

void mt_walk_copy(const mt_walk *w, const float *from, float *to, int32_t to_operand, bool add) {
    mt_walk rest = *w;
    int32_t inner = w->axes - 1, other = -1, a = 1 - to_operand, b = to_operand;
    for (int32_t d = 0; d < inner; d++) {
        bool turned = w->step[a][d] == 1 ? w->step[b][inner] == 1 : w->step[b][d] == 1 && w->step[a][inner] == 1;
        if (turned && w->step[a][inner] && w->step[b][inner] && w->step[a][d] && w->step[b][d]) other = d;
    }
    ptrdiff_t count = 1, a_across = 0, b_across = 0;
    if (other >= 0) {
        count = w->to[other] - w->from[other];
        a_across = w->step[a][other], b_across = w->step[b][other];
        if (count > 1) rest.to[other] = rest.from[other] + 1;
    }
    ptrdiff_t a_step = w->step[a][inner], b_step = w->step[b][inner];
    for (mt_walk_at at = mt_walk_first(&rest); at.more; mt_walk_next(&rest, &at)) {
        if (count == 1) {
            (add ? add_row : copy_row)(from + at.place[a], a_step, to + at.place[b], b_step, at.length);
            continue;
        }
        for (ptrdiff_t c = 0; c < count; c += TILE)
            for (ptrdiff_t i = 0; i < (ptrdiff_t)at.length; i += TILE) {
                ptrdiff_t most = (ptrdiff_t)at.length - i < TILE ? (ptrdiff_t)at.length - i : TILE;
                for (ptrdiff_t k = c; k < count && k < c + TILE; k++)
                    (add ? add_row : copy_row)(from + at.place[a] + k * a_across + i * a_step, a_step,
                                               to + at.place[b] + k * b_across + i * b_step, b_step, (size_t)most);
            }
    }
}

/* Steps of a tensor of the shape of x: how far apart the neighbours along each axis lie. */
static void steps_of(const mt_node *x, ptrdiff_t steps[MT_WALK_AXES]) {
    ptrdiff_t step = 1;
    for (int32_t d = x->n_dims; d-- > 0; step *= x->dims[d]) steps[d] = step;
}

/* The `count` elements from `first` on along an axis of n, from those that begin at `at` in x. */
static mt_walk stretch(const mt_node *n, const mt_node *x, int32_t axis, int32_t first, int32_t at, int32_t count) {
    mt_node some = *n;
    ptrdiff_t y[MT_WALK_AXES], from[MT_WALK_AXES];
    some.dims[axis] = count;
    steps_of(n, y);
    steps_of(x, from);
    mt_walk w = mt_walk_over(&some);
    mt_walk_add_steps(&w, n->n_dims, y, y[axis] * first);
    mt_walk_add_steps(&w, n->n_dims, from, from[axis] * at);
    return w;
}

mt_copies mt_copies_of(const mt_graph *g, const mt_node *n) {
    const mt_node *x = &g->nodes[n->in[0]];
    mt_copies c = {.count = 1};
    ptrdiff_t steps[MT_WALK_AXES], turned[MT_WALK_AXES];
    int32_t axis = n->i[0], by = n->i[1];
    switch (n->op) {
    case MT_OP_PERMUTE:
        steps_of(x, steps);
        for (int32_t d = 0; d < n->n_dims; d++) turned[d] = steps[n->i[d]];
        c.walk[0] = mt_walk_over(n);
        mt_walk_add(&c.walk[0], n);
        mt_walk_add_steps(&c.walk[0], n->n_dims, turned, 0);
        break;
    case MT_OP_FLIP:
        steps_of(x, steps);
        ptrdiff_t start = x->dims[axis] ? steps[axis] * (x->dims[axis] - 1) : 0;
        steps[axis] = -steps[axis];
        c.walk[0] = mt_walk_over(n);
        mt_walk_add(&c.walk[0], n);
        mt_walk_add_steps(&c.walk[0], n->n_dims, steps, start);
        break;
    case MT_OP_CONCAT:
        c.count = 2;
        c.input[1] = 1;
        c.walk[0] = stretch(n, x, axis, 0, 0, x->dims[axis]);
        c.walk[1] = stretch(n, &g->nodes[n->in[1]], axis, x->dims[axis], 0, n->dims[axis] - x->dims[axis]);
        break;
    case MT_OP_CUT:
        c.walk[0] = stretch(n, x, axis, 0, n->i[1], n->i[2]);
        break;
    case MT_OP_MOVE: {
        int32_t N = n->dims[axis];
        if (n->i[2]) {
            by = N ? (int32_t)(((int64_t)by % N + N) % N) : 0;
            c.count = 2;
            c.walk[0] = stretch(n, x, axis, by, 0, N - by);
            c.walk[1] = stretch(n, x, axis, 0, N - by, by);
        } else {
            by = by > N ? N : by < -N ? -N : by;
            c.partly = by != 0;
            c.walk[0] = by > 0 ? stretch(n, x, axis, by, 0, N - by) : stretch(n, x, axis, 0, -by, N + by);
        }
        break;
    }
    default: /* MT_OP_EXPAND, MT_OP_STRAIGHT */
        c.walk[0] = mt_walk_over(n);
        mt_walk_add(&c.walk[0], n);
        mt_walk_add(&c.walk[0], x);
        break;
    }
    for (int32_t k = 0; k < c.count; k++) mt_walk_merge(&c.walk[k]);
    return c;
}

mt_axis mt_axis_of(const mt_node *x, int32_t axis, int part, int parts) {
    mt_axis a = {.outer = 1, .n = (size_t)x->dims[axis], .inner = 1};
    for (int32_t d = 0; d < axis; d++) a.outer *= (size_t)x->dims[d];
    for (int32_t d = axis + 1; d < x->n_dims; d++) a.inner *= (size_t)x->dims[d];
    a.outer1 = a.outer, a.inner1 = a.inner;
    if (a.outer >= (size_t)(4 * parts) || a.inner < 16 * (size_t)parts)
        mt_share(a.outer, 1, part, parts, &a.outer0, &a.outer1);
    else
        mt_share(a.inner, 16, part, parts, &a.inner0, &a.inner1);
    return a;
}

/* ---- sums ---- */

enum { LANES = 16, STRETCH = 512 }; /* floats are added up over a stretch, stretches in double */

static float lanes_sum(const float lane[LANES]) {
    float s[4];
    for (int i = 0; i < 4; i++) s[i] = (lane[i] + lane[i + 4]) + (lane[i + 8] + lane[i + 12]);
    return (s[0] + s[1]) + (s[2] + s[3]);
}

double mt_sum(const float *x, size_t n) {
    double sum = 0;
    while (n > 0) {
        size_t m = n < STRETCH ? n : STRETCH, i = 0;
        float lane[LANES] = {0};
        for (; i + LANES <= m; i += LANES)
            for (int k = 0; k < LANES; k++) lane[k] += x[i + (size_t)k];
        for (int k = 0; i < m; i++, k++) lane[k] += x[i];
        sum += lanes_sum(lane);
        x += m, n -= m;
    }
    return sum;
}

double mt_sum_products(const float *x, const float *y, size_t n) {
    double sum = 0;
    while (n > 0) {
        size_t m = n < STRETCH ? n : STRETCH, i = 0;
        float lane[LANES] = {0};
        for (; i + LANES <= m; i += LANES)
            for (int k = 0; k < LANES; k++) lane[k] += x[i + (size_t)k] * y[i + (size_t)k];
        for (int k = 0; i < m; i++, k++) lane[k] += x[i] * y[i];
        sum += lanes_sum(lane);
        x += m, y += m, n -= m;
    }
    return sum;
}

float mt_largest(const float *x, size_t n) {
    float lane[LANES], top = -INFINITY;
    for (int k = 0; k < LANES; k++) lane[k] = -INFINITY;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] = x[i + (size_t)k] > lane[k] ? x[i + (size_t)k] : lane[k];
    for (; i < n; i++) top = x[i] > top ? x[i] : top;
    for (int k = 0; k < LANES; k++) top = lane[k] > top ? lane[k] : top;
    return top;
}

float mt_log_sum_exp(const float *x, size_t n) {
    float top = mt_largest(x, n), e[STRETCH];
    if (top == INFINITY) return top;
    if (top == -INFINITY) top = 0; /* also of NaN alone, which the sum keeps */
    double sum = 0;
    for (size_t at = 0; at < n; at += STRETCH) {
        size_t m = n - at < STRETCH ? n - at : STRETCH;
        for (size_t i = 0; i < m; i++) e[i] = x[at + i] - top;
        mt_exp(e, e, m);
        sum += mt_sum(e, m);
    }
    return top + (float)log(sum);
}

void mt_cumsum_columns(const float *restrict x, float *restrict y, size_t n, size_t stride, size_t columns,
                       bool from_end, bool add) {
    float sums[256], sum = 0;
    memset(sums, 0, columns * sizeof *sums);
    for (size_t k = 0; k < n; k++) {
        size_t at = (from_end ? n - 1 - k : k) * stride;
        if (columns == 1) {
            sum += x[at];
            y[at] = add ? y[at] + sum : sum;
        } else if (add) {
            for (size_t i = 0; i < columns; i++) y[at + i] += sums[i] += x[at + i];
        } else {
            for (size_t i = 0; i < columns; i++) y[at + i] = sums[i] += x[at + i];
        }
    }
}
