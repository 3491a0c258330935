/* The way back of attention through the cache (grad.h). With s = scale q.k (capped, with ALiBi), p = softmax(s), y =
 * sum p v:
 *
 *   dp = dy.v      ds = p (dp - dy.y)      dq = scale ds k      dk = scale ds q      dv = p dy      dsink = -p_sink
 * dy.y
 *
 * Probabilities are not stored but computed again (Dao et al. 2022). Up to LANES rows of one head and the slots that
 * any of them sees are a tile, slots below each other, rows side by side, so that what is done to all scores of a row
 * is vertical. Slots that follow each other and are seen by the same rows are a piece: its five products are calls of
 * the product's kernel on keys, values and their gradients where they lie.
 *
 *                 rows of the block
 *     slot  0     # # # # # # # #       piece 0..3: rows 0..    a piece's products skip rows that see nothing of it;
 *           1     . # # # # # # #                               what else is not seen has p = 0
 *          ...
 *           4     . . . . # # # #       piece 4..7: rows 4..
 *
 * A key head's gradients are sums over rows, which are added in order by one thread. Rows are cut into segments that
 * have no slot in common (sequences of a batch, when each has its slots after those before it): a part of the work is a
 * segment and a key head. */
#include "grad.h"
#include "kernel/kernel.h"

#include <math.h>

enum {
    LANES = 16,         /* rows of a block, at most the bits of a word */
    SLOTS = MT_K_BLOCK, /* of a tile: terms of one product */
    STEP = 4,           /* pieces begin at a multiple of so many rows */
    MOST_PARTS = 8,     /* for each thread */
    ALONE = 1 << 14     /* multiplications below which waking threads costs more than it saves */
};

typedef struct attention {
    const mt_back *b;
    mt_op op;
    int32_t T, H, G, E, EV;
    size_t slots;
    const float *k, *v; /* planes [G][slots][width] */
    float scale, softcap;
    const mt_run *runs;
    const int32_t *run_start, *position, *slot_position;
    const int32_t *column, *column_slot; /* of stored scores */
    int32_t columns;
    bool memory;                /* all rows see the same run */
    bool all;                   /* every column counts for every row */
    int32_t *segment, segments; /* rows where they begin, and the end */
    int32_t *least;             /* [T] the lowest slot that a row or a later one sees */
    /* [G][slots], a segment's from its lowest slot on, for the block at hand: place of a slot in the list, -1; the
     * list; rows that see them */
    int32_t *place, *list, *seen;
    float *sink_part, *slope_part; /* [H][T] of the gradients of sinks and slopes, NULL */
} attention;

/* Rows t0 .. t0 + lanes and the slots that they see. */
typedef struct block {
    const attention *a;
    int32_t g, t0, lanes, width; /* width: lanes rounded up to a panel */
    size_t low;                  /* the lowest slot of the segment */
    int32_t count;
    const int32_t *list, *seen; /* seen NULL: by all */
} block;

typedef struct piece {
    int32_t at, count, slot; /* rows of the tile, their first slot */
    int32_t from, to;        /* rows of the block */
} piece;

/* Slots first .. first + count of a block's list, with one head's values: [count][width]. */
typedef struct tile {
    const block *k;
    int32_t h, first, count, pieces;
    piece piece[SLOTS];
    float p[SLOTS * LANES], d[SLOTS * LANES], slope[SLOTS * LANES];
} tile;

/* ---- segments ---- */

/* Returns the sum of what rows see. */
static int64_t find_segments(attention *a) {
    int64_t pairs = 0;
    int32_t low = INT32_MAX, end = 0;
    for (int32_t t = a->T; t-- > 0;) {
        for (int32_t r = a->run_start[t]; r < a->run_start[t + 1]; r++) {
            if (a->runs[r].count > 0 && a->runs[r].start < low) low = a->runs[r].start;
            pairs += a->runs[r].count;
        }
        a->least[t] = low;
    }
    a->segments = 0;
    bool apart = a->memory && !a->b->dk && !a->b->dv, together = a->memory || a->all;
    for (int32_t t = 0; t < a->T; t++) {
        if (t == 0 || (apart && t % LANES == 0) || (!together && end <= a->least[t])) a->segment[a->segments++] = t;
        for (int32_t r = a->run_start[t]; r < a->run_start[t + 1]; r++)
            if (a->runs[r].start + a->runs[r].count > end) end = a->runs[r].start + a->runs[r].count;
    }
    a->segment[a->segments] = a->T;
    return a->all ? (int64_t)a->T * a->columns : pairs;
}

/* ---- blocks ---- */

static void see(block *k) {
    const attention *a = k->a;
    size_t plane = (size_t)k->g * a->slots;
    int32_t *place = a->place + plane, *list = a->list + plane + k->low, *seen = a->seen + plane + k->low;
    k->count = 0;
    for (int32_t i = 0; i < k->lanes; i++)
        for (int32_t r = a->run_start[k->t0 + i]; r < a->run_start[k->t0 + i + 1]; r++)
            for (int32_t s = a->runs[r].start; s < a->runs[r].start + a->runs[r].count; s++) {
                int32_t at = place[s];
                if (at < 0) {
                    at = place[s] = k->count++;
                    list[at] = s;
                    seen[at] = 0;
                }
                seen[at] = (int32_t)((uint32_t)seen[at] | 1u << i);
            }
    for (int32_t i = 0; i < k->count; i++) place[list[i]] = -1;
    k->list = list;
    k->seen = seen;
}

static bool sees(const block *k, int32_t i, int32_t lane) {
    return !k->seen || ((uint32_t)k->seen[i] >> lane & 1);
}

static void find_pieces(tile *t, int32_t first) {
    const block *k = t->k;
    t->first = first;
    t->count = k->count - first < SLOTS ? k->count - first : SLOTS;
    t->pieces = 0;
    for (int32_t i = 0; i < t->count; i++) {
        int32_t slot = k->list[first + i], from = 0, to = k->lanes;
        if (k->seen) {
            uint32_t bits = (uint32_t)k->seen[first + i];
            from = __builtin_ctz(bits) & ~(STEP - 1);
            to = (32 - __builtin_clz(bits) + STEP - 1) & ~(STEP - 1);
            if (to > k->lanes) to = k->lanes;
        }
        piece *last = t->pieces ? &t->piece[t->pieces - 1] : NULL;
        if (last && slot == last->slot + last->count && from == last->from && to == last->to)
            last->count++;
        else
            t->piece[t->pieces++] = (piece){i, 1, slot, from, to};
    }
}

/* A row of q, y and their like: [T][H][width]. */
static size_t row_at(const tile *t, int32_t lane, int32_t width) {
    const attention *a = t->k->a;
    return ((size_t)(t->k->t0 + lane) * (size_t)a->H + (size_t)t->h) * (size_t)width;
}

/* An element of scores and their like: [H][T][columns]. */
static size_t score_at(const tile *t, int32_t i, int32_t lane) {
    const attention *a = t->k->a;
    int32_t slot = t->k->list[t->first + i], column = a->column[slot];
    return ((size_t)t->h * (size_t)a->T + (size_t)(t->k->t0 + lane)) * (size_t)a->columns + (size_t)column;
}

/* to[slot][row] = by * (plane[slot] . x[row]) */
static void products(tile *t, const float *plane, const float *x, int32_t width, float by, float *to) {
    const attention *a = t->k->a;
    _Alignas(16) float panels[LANES * MT_K_BLOCK];
    size_t stride = (size_t)a->H * (size_t)width;
    for (int32_t e = 0; e < width; e += MT_K_BLOCK) {
        int32_t depth = width - e < MT_K_BLOCK ? width - e : MT_K_BLOCK;
        mt_kernels->gemm_pack(x + row_at(t, 0, width) + e, stride, true, depth, t->k->lanes, panels);
        for (int32_t i = 0; i < t->pieces; i++) {
            const piece *p = &t->piece[i];
            int32_t from = p->from & ~(MT_PANEL_F - 1);
            mt_gemm_block g = {.M = p->count,
                               .N = ((p->to + MT_PANEL_F - 1) & ~(MT_PANEL_F - 1)) - from,
                               .K = depth,
                               .a = plane + (size_t)p->slot * (size_t)width + (size_t)e,
                               .a_row = (size_t)width,
                               .a_step = 1,
                               .b = panels + (size_t)from * (size_t)depth,
                               .b_panel = MT_PANEL_F * (size_t)depth,
                               .b_step = MT_PANEL_F,
                               .padded = true,
                               .add = e > 0,
                               .alpha = by,
                               .c = to + (size_t)p->at * (size_t)t->k->width + (size_t)from,
                               .ldc = (size_t)t->k->width};
            mt_kernels->gemm(&g);
        }
    }
}

/* plane[slot] += by * sum over rows of from[slot][row] x[row] */
static void add_to_slots(const tile *t, const float *from, const float *x, int32_t width, float by, float *plane) {
    size_t stride = (size_t)t->k->a->H * (size_t)width;
    for (int32_t i = 0; i < t->pieces; i++) {
        const piece *p = &t->piece[i];
        mt_gemm_block g = {.M = p->count,
                           .N = width,
                           .K = p->to - p->from,
                           .a = from + (size_t)p->at * (size_t)t->k->width + (size_t)p->from,
                           .a_row = (size_t)t->k->width,
                           .a_step = 1,
                           .b = x + row_at(t, p->from, width),
                           .b_panel = MT_PANEL_F,
                           .b_step = stride,
                           .add = true,
                           .alpha = by,
                           .c = plane + (size_t)p->slot * (size_t)width,
                           .ldc = (size_t)width};
        mt_kernels->gemm(&g);
    }
}

/* x[row] += by * sum over slots of from[slot][row] plane[slot] */
static void add_to_rows(const tile *t, const float *from, const float *plane, int32_t width, float by, float *x) {
    size_t stride = (size_t)t->k->a->H * (size_t)width;
    for (int32_t i = 0; i < t->pieces; i++) {
        const piece *p = &t->piece[i];
        mt_gemm_block g = {.M = p->to - p->from,
                           .N = width,
                           .K = p->count,
                           .a = from + (size_t)p->at * (size_t)t->k->width + (size_t)p->from,
                           .a_row = 1,
                           .a_step = (size_t)t->k->width,
                           .b = plane + (size_t)p->slot * (size_t)width,
                           .b_panel = MT_PANEL_F,
                           .b_step = (size_t)width,
                           .add = true,
                           .alpha = by,
                           .c = x + row_at(t, p->from, width),
                           .ldc = stride};
        mt_kernels->gemm(&g);
    }
}

/* ---- one head of a block ---- */

/* What is not seen: `otherwise`. The products leave it as it happens to be. */
static void mask(const tile *t, float *x, float otherwise) {
    const block *k = t->k;
    uint32_t bit[LANES];
    for (int l = 0; l < LANES; l++) bit[l] = 1u << l;
    uint32_t every = k->lanes < 32 ? (1u << k->lanes) - 1 : UINT32_MAX;
    for (int32_t i = 0; i < t->count; i++, x += k->width) {
        uint32_t bits = k->seen ? (uint32_t)k->seen[t->first + i] : every;
        for (int32_t l = 0; l < k->width; l += MT_PANEL_F)
            for (int32_t j = l; j < l + MT_PANEL_F; j++) x[j] = bits & bit[j] ? x[j] : otherwise;
    }
}

static float distance(const tile *t, int32_t i, int32_t lane) {
    const attention *a = t->k->a;
    int32_t row = t->k->t0 + (lane < t->k->lanes ? lane : 0);
    return (float)(a->slot_position[t->k->list[t->first + i]] - a->position[row]);
}

/* Scores into p, and what the cap multiplies their gradients by. */
static void score(tile *t) {
    const attention *a = t->k->a;
    const block *k = t->k;
    size_t size = (size_t)t->count * (size_t)k->width;
    const float *keys = a->k + (size_t)k->g * a->slots * (size_t)a->E, *alibi = a->b->x[1];
    products(t, keys, a->b->x[0], a->E, a->softcap != 0 ? a->scale / a->softcap : a->scale, t->p);
    if (a->softcap != 0) {
        mask(t, t->p, 0);
        mt_tanh(t->p, t->p, size);
        for (size_t i = 0; i < size; i++) {
            t->slope[i] = 1 - t->p[i] * t->p[i];
            t->p[i] *= a->softcap;
        }
    }
    for (int32_t i = 0; alibi && i < t->count; i++)
        for (int32_t l = 0; l < k->width; l++) t->p[i * k->width + l] += alibi[t->h] * distance(t, i, l);
    mask(t, t->p, -INFINITY);
}

/* p = exp(p - top) */
static void exponentiate(tile *t, const float top[LANES]) {
    int32_t width = t->k->width;
    float shift[LANES], *p = t->p;
    for (int32_t l = 0; l < width; l++) shift[l] = top[l] == -INFINITY ? 0 : top[l]; /* nothing is seen */
    for (int32_t i = 0; i < t->count; i++, p += width)
        for (int32_t l = 0; l < width; l += MT_PANEL_F)
            for (int32_t j = l; j < l + MT_PANEL_F; j++) p[j] -= shift[j];
    mt_exp(t->p, t->p, (size_t)t->count * (size_t)width);
}

/* Largest score and sum so far, and p beside them. */
static void normalise(tile *t, float top[LANES], float sum[LANES]) {
    int32_t width = t->k->width;
    float before[LANES];
    memcpy(before, top, sizeof before);
    const float *p = t->p;
    for (int32_t i = 0; i < t->count; i++, p += width)
        for (int32_t l = 0; l < width; l += MT_PANEL_F)
            for (int32_t j = l; j < l + MT_PANEL_F; j++) top[j] = p[j] > top[j] ? p[j] : top[j];
    for (int32_t l = 0; l < width; l++)
        if (before[l] != top[l]) sum[l] *= expf(before[l] - top[l]);
    exponentiate(t, top);
    p = t->p;
    for (int32_t i = 0; i < t->count; i++, p += width)
        for (int32_t l = 0; l < width; l += MT_PANEL_F)
            for (int32_t j = l; j < l + MT_PANEL_F; j++) sum[j] += p[j];
}

static float dot(const float *a, const float *b, int32_t n) {
    float s[MT_PANEL_F] = {0};
    int32_t i = 0;
    for (; i + MT_PANEL_F <= n; i += MT_PANEL_F)
        for (int l = 0; l < MT_PANEL_F; l++) s[l] += a[i + l] * b[i + l];
    for (int l = 0; i < n; i++, l++) s[l] += a[i] * b[i];
    return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
}

/* d are the gradients of the scores. */
static void add_scores(const tile *t) {
    const attention *a = t->k->a;
    const mt_back *b = a->b;
    size_t head = (size_t)t->k->g * a->slots * (size_t)a->E;
    if (b->dx[0]) add_to_rows(t, t->d, a->k + head, a->E, a->scale, b->dx[0]);
    if (b->dk) add_to_slots(t, t->d, b->x[0], a->E, a->scale, b->dk + head);
}

static void add_slopes(const tile *t) {
    const attention *a = t->k->a;
    float *part = a->slope_part ? a->slope_part + (size_t)t->h * (size_t)a->T + (size_t)t->k->t0 : NULL;
    for (int32_t i = 0; part && i < t->count; i++)
        for (int32_t l = 0; l < t->k->lanes; l++) part[l] += t->d[i * t->k->width + l] * distance(t, i, l);
}

static void apply_cap(tile *t) {
    size_t size = (size_t)t->count * (size_t)t->k->width;
    for (size_t i = 0; t->k->a->softcap != 0 && i < size; i++) t->d[i] *= t->slope[i];
}

static void attend_head(tile *t) {
    const block *k = t->k;
    const attention *a = k->a;
    const mt_back *b = a->b;
    const float *sink = b->x[2], *values = a->v + (size_t)k->g * a->slots * (size_t)a->EV;
    float *dv = b->dv ? b->dv + (size_t)k->g * a->slots * (size_t)a->EV : NULL;
    float top[LANES], sum[LANES], row[LANES]; /* row: dy.y */
    bool again = k->count > SLOTS;
    for (int32_t l = 0; l < LANES; l++) {
        top[l] = sink ? sink[t->h] : -INFINITY;
        sum[l] = sink ? 1 : 0;
        row[l] = l < k->lanes ? dot(b->dy + row_at(t, l, a->EV), b->y + row_at(t, l, a->EV), a->EV) : 0;
    }
    for (int32_t first = 0; first < k->count; first += SLOTS) {
        find_pieces(t, first);
        score(t);
        normalise(t, top, sum);
    }
    for (int32_t l = 0; l < LANES; l++) sum[l] = sum[l] == 0 ? 0 : 1 / sum[l];
    for (int32_t l = 0; a->sink_part && l < k->lanes; l++)
        a->sink_part[(size_t)t->h * (size_t)a->T + (size_t)(k->t0 + l)] = -expf(sink[t->h] - top[l]) * sum[l] * row[l];
    for (int32_t first = 0; first < k->count; first += SLOTS) {
        if (again) {
            find_pieces(t, first);
            score(t);
            exponentiate(t, top);
        }
        products(t, values, b->dy, a->EV, 1, t->d);
        float *p = t->p, *d = t->d;
        for (int32_t i = 0; i < t->count; i++, p += k->width, d += k->width)
            for (int32_t l = 0; l < k->width; l += MT_PANEL_F)
                for (int32_t j = l; j < l + MT_PANEL_F; j++) {
                    p[j] *= sum[j];
                    d[j] = p[j] * (d[j] - row[j]);
                }
        mask(t, t->d, 0);
        if (dv) add_to_slots(t, t->p, b->dy, a->EV, 1, dv);
        add_slopes(t);
        apply_cap(t);
        add_scores(t);
    }
}

/* Gradients that were stored, and the values where there is a cap. */
static void scores_head(tile *t) {
    const block *k = t->k;
    const attention *a = k->a;
    for (int32_t first = 0; first < k->count; first += SLOTS) {
        find_pieces(t, first);
        for (int32_t i = 0; i < t->count; i++)
            for (int32_t l = 0; l < k->width; l++) {
                float *d = &t->d[i * k->width + l], *slope = &t->slope[i * k->width + l], s;
                *d = *slope = 0;
                if (l >= k->lanes || !sees(k, first + i, l)) continue;
                size_t at = score_at(t, i, l);
                *d = a->b->dy[at];
                if (a->softcap == 0) continue;
                s = a->b->y[at];
                if (a->b->x[1]) s -= a->b->x[1][t->h] * distance(t, i, l);
                s /= a->softcap;
                *slope = 1 - s * s;
            }
        add_slopes(t);
        apply_cap(t);
        add_scores(t);
    }
}

static void mix_head(tile *t) {
    const block *k = t->k;
    const attention *a = k->a;
    const mt_back *b = a->b;
    size_t head = (size_t)k->g * a->slots * (size_t)a->EV;
    for (int32_t first = 0; first < k->count; first += SLOTS) {
        find_pieces(t, first);
        if (b->dx[0]) products(t, a->v + head, b->dy, a->EV, 1, t->d);
        for (int32_t i = 0; i < t->count; i++)
            for (int32_t l = 0; l < k->width; l++) {
                float *p = &t->p[i * k->width + l];
                *p = 0;
                if (l >= k->lanes || !sees(k, first + i, l)) continue;
                size_t at = score_at(t, i, l);
                *p = b->x[0][at];
                if (b->dx[0]) b->dx[0][at] += t->d[i * k->width + l];
            }
        if (b->dv) add_to_slots(t, t->p, b->dy, a->EV, 1, b->dv + head);
    }
}

/* ---- the whole ---- */

static void some_items(void *arg, int part, int parts) {
    const attention *a = arg;
    int32_t items = a->segments * a->G;
    tile t;
    for (int32_t i = (int32_t)((int64_t)items * part / parts), end = (int32_t)((int64_t)items * (part + 1) / parts);
         i < end; i++) {
        int32_t s = i / a->G, g = i % a->G;
        block k = {.a = a, .g = g};
        if (a->memory) { /* one run for all rows */
            const mt_run *run = &a->runs[a->run_start[a->segment[s]]];
            k.list = a->column_slot + run->start, k.count = run->count;
        } else if (a->all) {
            int32_t *list = a->list + (size_t)g * a->slots;
            for (int32_t c = 0; c < a->columns; c++)
                if (a->column_slot[c] >= 0) list[k.count++] = a->column_slot[c];
            k.list = list;
        } else if (a->least[a->segment[s]] < INT32_MAX) {
            k.low = (size_t)a->least[a->segment[s]];
        }
        for (k.t0 = a->segment[s]; k.t0 < a->segment[s + 1]; k.t0 += LANES) {
            k.lanes = a->segment[s + 1] - k.t0 < LANES ? a->segment[s + 1] - k.t0 : LANES;
            k.width = (k.lanes + MT_PANEL_F - 1) & ~(MT_PANEL_F - 1);
            if (!a->memory && !a->all) see(&k);
            t.k = &k;
            for (t.h = 0; t.h < a->H; t.h++) {
                if ((int64_t)t.h * a->G / a->H != g) continue;
                if (a->op == MT_OP_SCORES)
                    scores_head(&t);
                else if (a->op == MT_OP_MIX)
                    mix_head(&t);
                else
                    attend_head(&t);
            }
        }
    }
}

static void sum_rows(const float *part, int32_t H, int32_t T, float *to) {
    for (int32_t h = 0; h < H; h++, part += T)
        for (int32_t t = 0; t < T; t++) to[h] += part[t];
}

/* A pattern that the softmax made is 0 where nothing is seen, and there its gradient goes no further; unless somebody
 * wants to see it. */
static bool from_softmax(const mt_back *b) {
    const mt_node *x = &b->g->nodes[b->n->in[0]];
    while (x->op == MT_OP_COPY && !x->patched && !x->keep_grad) x = &b->g->nodes[x->in[0]];
    return x->op == MT_OP_ATTN_SOFTMAX && !x->patched && !x->keep_grad;
}

static void attend(const mt_back *b) {
    const mt_node *n = b->n;
    const mt_feed *f = b->feed;
    bool memory = n->i[1] == MT_RUNS_MEMORY;
    attention a = {.b = b,
                   .op = n->op,
                   .T = f->T,
                   .H = n->i[5],
                   .G = n->i[2],
                   .E = n->i[3],
                   .EV = n->i[4],
                   .slots = (size_t)(memory ? f->memory : f->slots),
                   .k = memory ? f->memory_k[n->i[0]] : f->k[n->i[0]],
                   .v = memory ? f->memory_v[n->i[0]] : f->v[n->i[0]],
                   .scale = n->f[0],
                   .softcap = n->f[1],
                   .runs = memory ? f->memory_runs : f->runs[n->i[1]],
                   .run_start = memory ? f->identity : f->run_start[n->i[1]],
                   .position = f->position,
                   .slot_position = memory ? f->identity : f->slot_position,
                   .column = memory ? f->identity : f->column,
                   .column_slot = memory ? f->identity : f->column_slot,
                   .columns = memory ? f->memory_columns : f->columns,
                   .memory = memory,
                   .all = n->op == MT_OP_MIX && !memory && !from_softmax(b)};
    if (a.T <= 0) return;
    size_t rows = (size_t)a.T, planes = memory ? 0 : (size_t)a.G * a.slots;
    a.least = (int32_t *)b->work;
    a.segment = a.least + rows;
    a.place = a.segment + rows + 1;
    a.list = a.place + planes;
    a.seen = a.list + planes;
    float *parts = b->work + 2 * rows + 1 + 3 * planes;
    if (n->op == MT_OP_ATTEND && b->dx[2]) a.sink_part = parts, parts += (size_t)a.H * rows;
    if (n->op != MT_OP_MIX && b->dx[1]) {
        a.slope_part = parts;
        memset(parts, 0, (size_t)a.H * rows * sizeof *parts);
    }
    for (size_t i = 0; i < planes; i++) a.place[i] = -1;
    int64_t pairs = find_segments(&a), items = (int64_t)a.segments * a.G;
    int64_t many = (int64_t)mt_pool_threads(b->pool) * MOST_PARTS;
    if (pairs * a.H * (a.E + a.EV) < ALONE) many = 1;
    mt_pool_run_parts(b->pool, some_items, &a, (int)(items < many ? items : many));
    if (a.sink_part) sum_rows(a.sink_part, a.H, a.T, b->dx[2]);
    if (a.slope_part) sum_rows(a.slope_part, a.H, a.T, b->dx[1]);
}

/* ---- the softmax on its own ---- */

typedef struct softmax_job {
    const mt_back *b;
    int32_t rows, width;
    float *sink_part; /* [H][T], NULL */
} softmax_job;

/* dx = p (dy - p.dy). The sink's share follows from the largest p and its score: 1 minus the others would cancel. */
static void softmax_rows(void *arg, int part, int parts) {
    const softmax_job *j = arg;
    const mt_back *b = j->b;
    int32_t T = b->n->dims[1];
    for (int32_t r = (int32_t)((int64_t)j->rows * part / parts), end = (int32_t)((int64_t)j->rows * (part + 1) / parts);
         r < end; r++) {
        size_t at = (size_t)r * (size_t)j->width;
        const float *p = b->y + at, *dy = b->dy + at;
        float sum = dot(p, dy, j->width);
        for (int32_t i = 0; b->dx[0] && i < j->width; i++) b->dx[0][at + (size_t)i] += p[i] * (dy[i] - sum);
        if (!j->sink_part) continue;
        int32_t best = 0;
        for (int32_t i = 1; i < j->width; i++)
            if (p[i] > p[best]) best = i;
        float share = p[best] > 0 ? p[best] * expf(b->x[2][r / T] - b->x[0][at + (size_t)best]) : 0;
        j->sink_part[r] = -share * sum;
    }
}

static void softmax(const mt_back *b) {
    softmax_job j = {.b = b, .rows = b->n->dims[0] * b->n->dims[1], .width = b->n->dims[2]};
    if (b->dx[2]) j.sink_part = b->work;
    int64_t parts = (int64_t)j.rows * j.width < ALONE ? 1 : mt_pool_threads(b->pool);
    if (j.width > 0) mt_pool_run_parts(b->pool, softmax_rows, &j, (int)(parts < j.rows ? parts : j.rows));
    if (j.sink_part && j.width > 0) sum_rows(j.sink_part, b->n->dims[0], b->n->dims[1], b->dx[2]);
}

/* ---- relative positions: every head has its columns of the tables ---- */

static void relative_heads(void *arg, int part, int parts) {
    const mt_back *b = arg;
    const mt_node *n = b->n;
    const mt_feed *f = b->feed;
    int32_t rows = b->g->nodes[n->in[1]].dims[0], H = n->dims[0], T = n->dims[1], C = n->dims[2];
    int32_t from = (int32_t)((int64_t)H * part / parts), to = (int32_t)((int64_t)H * (part + 1) / parts);
    size_t plane = (size_t)T * (size_t)C;
    if (b->dx[0])
        mt_add(b->dx[0] + (size_t)from * plane, b->dy + (size_t)from * plane, b->dx[0] + (size_t)from * plane,
               (size_t)(to - from) * plane);
    for (int32_t t = 0; b->dx[1] && t < T; t++)
        for (int32_t c = 0; c < C; c++) {
            int32_t slot = f->column_slot[c], relative = slot < 0 ? 0 : f->slot_position[slot] - f->position[t];
            float *dx = b->dx[1] + (size_t)mt_relative_bucket(relative, rows, n->i[0], n->i[1] != 0) * (size_t)H;
            for (int32_t h = from; h < to; h++) dx[h] += b->dy[(size_t)h * plane + (size_t)t * (size_t)C + (size_t)c];
        }
}

static void add_row(float *to, const float *x, float by, int32_t n) {
    for (int32_t i = 0; i < n; i++) to[i] += by * x[i];
}

static void relation_heads(void *arg, int part, int parts) {
    const mt_back *b = arg;
    const mt_node *n = b->n;
    const mt_feed *f = b->feed;
    int32_t H = n->dims[0], T = n->dims[1], C = n->dims[2], side = n->in[2] >= 0 ? 2 : 3;
    int32_t from = (int32_t)((int64_t)H * part / parts), to = (int32_t)((int64_t)H * (part + 1) / parts);
    size_t plane = (size_t)T * (size_t)C;
    if (b->dx[0])
        mt_add(b->dx[0] + (size_t)from * plane, b->dy + (size_t)from * plane, b->dx[0] + (size_t)from * plane,
               (size_t)(to - from) * plane);
    if (n->in[side] < 0) return;
    const mt_node *table = &b->g->nodes[n->in[side]];
    int32_t all = table->dims[table->n_dims - 1], E = all / H;
    for (int32_t t = 0; t < T; t++)
        for (int32_t c = 0; c < C; c++) {
            int32_t slot = f->column_slot[c];
            if (slot < 0) continue;
            size_t row = (size_t)mt_relation_row(n, table->dims[0], f->position[t] - f->slot_position[slot]);
            for (int32_t h = from; h < to; h++) {
                float by = n->f[0] * b->dy[(size_t)h * plane + (size_t)t * (size_t)C + (size_t)c];
                if (by == 0) continue; /* not seen */
                size_t there = row * (size_t)all + (size_t)h * (size_t)E;
                size_t q = ((size_t)t * (size_t)H + (size_t)h) * (size_t)E;
                size_t key = ((size_t)h * (size_t)f->slots + (size_t)slot) * (size_t)E;
                if (n->in[2] >= 0) {
                    if (b->dx[1]) add_row(b->dx[1] + q, b->x[2] + there, by, E);
                    if (b->dx[2]) add_row(b->dx[2] + there, b->x[1] + q, by, E);
                }
                if (n->in[3] >= 0) {
                    if (b->dk) add_row(b->dk + key, b->x[3] + there, by, E);
                    if (b->dx[3]) add_row(b->dx[3] + there, (const float *)f->k[n->i[0]] + key, by, E);
                }
            }
        }
}

static void by_heads(const mt_back *b, mt_task task, int64_t work) {
    int parts = work < ALONE ? 1 : mt_pool_threads(b->pool);
    mt_pool_run_parts(b->pool, task, (void *)b, parts < b->n->dims[0] ? parts : b->n->dims[0]);
}

/* ---- */

static void stores(const mt_back *b) {
    const mt_feed *f = b->feed;
    for (int which = 0; which < 2; which++) {
        const float *planes = which ? b->dv : b->dk;
        const mt_node *x = &b->g->nodes[b->n->in[which]];
        size_t G = (size_t)x->dims[1], E = (size_t)x->dims[2];
        float *dx = b->dx[which];
        for (int32_t t = 0; planes && dx && t < x->dims[0]; t++)
            for (size_t g = 0; g < G; g++, dx += E)
                mt_add(dx, planes + (g * (size_t)f->slots + (size_t)f->slot[t]) * E, dx, E);
    }
}

void mt_back_attend(const mt_back *b) {
    switch (b->n->op) {
    case MT_OP_KV_STORE:
        stores(b);
        break;
    case MT_OP_ATTN_SOFTMAX:
        softmax(b);
        break;
    case MT_OP_ADD_RELATIVE:
        by_heads(b, relative_heads, (int64_t)mt_node_elements(b->n) * 4);
        break;
    case MT_OP_ADD_RELATION:
        by_heads(b, relation_heads, (int64_t)mt_node_elements(b->n) * 4);
        break;
    default:
        attend(b);
        break;
    }
}

size_t mt_back_attend_work(const mt_graph *g, const mt_node *n, int32_t slots) {
    (void)g;
    switch (n->op) {
    case MT_OP_ATTN_SOFTMAX: /* sinks by row */
        return n->in[2] >= 0 ? (size_t)n->dims[0] * (size_t)n->dims[1] : 0;
    case MT_OP_ATTEND:
    case MT_OP_SCORES:
    case MT_OP_MIX: {
        size_t T = (size_t)(n->op == MT_OP_SCORES ? n->dims[1] : n->dims[0]), H = (size_t)n->i[5];
        size_t planes = n->i[1] == MT_RUNS_MEMORY ? 0 : (size_t)n->i[2] * (size_t)slots;
        return 2 * T + 1 + 3 * planes + ((n->in[1] >= 0) + (n->in[2] >= 0)) * H * T;
    }
    default:
        return 0;
    }
}
