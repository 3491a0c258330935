/* RWKV-4's average (Peng et al. 2023). With the sums A and B over the rows before row t, weights decaying by e^w,
 *
 *   y = (A + e^(u + k) v) / D,   D = B + e^(u + k);      A' = e^w A + e^k v,   B' = e^w B + e^k
 *
 * the gradients of A' and B' are, over the rows j that follow, the sums of e^((j - t - 1) w) dy_j / D_j and of the same
 * times -y_j. Forward, A and B are kept divided by e^most; backward, these sums are kept divided by e^high, high being
 * the largest of their exponents. D_j is at least e^(k_t + (j - t - 1) w), so k_t + high <= 0, and no exponential here
 * is above 1. Channels do not meet: they are taken 16 at a time, so that exponentials come in vectors. */
#include "grad_recurrent.h"

enum { BLOCK = 16, FOURS = BLOCK / 4 };

/* For 16 channels of a row: the state after it, the gradients of A' and B'. */
typedef struct line {
    mt_four sum[FOURS], weights[FOURS], most[FOURS], da[FOURS], db[FOURS], high[FOURS];
} line;

static size_t parts_of(const mt_node *n) {
    size_t blocks = ((size_t)n->dims[n->n_dims - 1] + BLOCK - 1) / BLOCK;
    return blocks < MT_BACK_PARTS / 2 ? blocks : MT_BACK_PARTS / 2;
}

size_t mt_back_wkv_work(const mt_node *n) {
    return mt_back_area((size_t)n->dims[0] + 1, sizeof(line) / sizeof(float) * parts_of(n));
}

static mt_four larger(mt_four a, mt_four b) {
    for (int i = 0; i < 4; i++) a[i] = a[i] > b[i] ? a[i] : b[i];
    return a;
}

static void exponentials(mt_four *x, size_t count) {
    mt_exp((float *)x, (float *)x, 4 * count);
}

/* `count` channels of a row from channel c on; the others of the 16 are 0. */
static void load(const float *x, size_t count, mt_four out[FOURS]) {
    float all[BLOCK] = {0};
    memcpy(all, x, count * sizeof *all);
    memcpy(out, all, sizeof all);
}
static void add(const mt_four x[FOURS], size_t count, float *to) {
    for (size_t i = 0; i < count; i++) to[i] += x[i / 4][i % 4];
}

typedef struct block {
    const mt_back *b;
    size_t C, first, count; /* channels: all, of this block */
    line *lines, *initial;  /* [T] and one for what was kept before */
} block;

/* What row t continues: its place in the batch, or a copy of the state that was kept. */
static line *before_of(const block *k, int32_t t) {
    int32_t parent = k->b->feed->parent_row[t];
    if (parent >= 0) return &k->lines[parent];
    const float *kept = mt_back_kept(k->b, t);
    *k->initial = (line){0};
    if (kept) {
        load(kept + k->first, k->count, k->initial->sum);
        load(kept + k->C + k->first, k->count, k->initial->weights);
        load(kept + 2 * k->C + k->first, k->count, k->initial->most);
    } else {
        for (size_t i = 0; i < FOURS; i++) k->initial->most[i] = (mt_four){-1e38f, -1e38f, -1e38f, -1e38f};
    }
    return k->initial;
}

static void row_forward(const block *k, int32_t t, const mt_four decay[FOURS]) {
    size_t at = (size_t)t * k->C + k->first;
    const line *before = before_of(k, t);
    line *after = &k->lines[t];
    mt_four key[FOURS], v[FOURS], e[2 * FOURS];
    load(k->b->x[0] + at, k->count, key);
    load(k->b->x[1] + at, k->count, v);
    for (size_t i = 0; i < FOURS; i++) {
        mt_four old = before->most[i] + decay[i], top = larger(old, key[i]);
        e[i] = old - top, e[FOURS + i] = key[i] - top;
        after->most[i] = top;
    }
    exponentials(e, 2 * FOURS);
    for (size_t i = 0; i < FOURS; i++) {
        after->sum[i] = e[i] * before->sum[i] + e[FOURS + i] * v[i];
        after->weights[i] = e[i] * before->weights[i] + e[FOURS + i];
        after->da[i] = after->db[i] = (mt_four){0};
        after->high[i] = (mt_four){-1e38f, -1e38f, -1e38f, -1e38f};
    }
}

static void row_back(const block *k, int32_t t, const mt_four decay[FOURS], const mt_four bonus[FOURS],
                     mt_four ddecay[FOURS], mt_four dbonus[FOURS]) {
    const mt_back *b = k->b;
    size_t at = (size_t)t * k->C + k->first;
    const line *after = &k->lines[t];
    line *before = before_of(k, t);
    mt_four key[FOURS], v[FOURS], y[FOURS], q[FOURS], e[4 * FOURS], top[FOURS], high[FOURS];
    load(b->x[0] + at, k->count, key);
    load(b->x[1] + at, k->count, v);
    load(b->y + at, k->count, y);
    load(b->dy + at, k->count, q);
    mt_four *old = e, *now = e + FOURS, *later = e + 2 * FOURS, *fade = e + 3 * FOURS;
    for (size_t i = 0; i < FOURS; i++) {
        top[i] = larger(before->most[i], key[i] + bonus[i]);
        old[i] = before->most[i] - top[i], now[i] = key[i] + bonus[i] - top[i];
        later[i] = key[i] + after->high[i], fade[i] = before->most[i] + decay[i] + after->high[i];
    }
    exponentials(e, 4 * FOURS);
    mt_four dkey[FOURS], dv[FOURS];
    for (size_t i = 0; i < FOURS; i++) {
        q[i] /= old[i] * before->weights[i] + now[i]; /* dy / D, times e^top */
        mt_four own = now[i] * q[i] * (v[i] - y[i]);
        dkey[i] = own + later[i] * (v[i] * after->da[i] + after->db[i]);
        dv[i] = now[i] * q[i] + later[i] * after->da[i];
        dbonus[i] += own;
        ddecay[i] += fade[i] * (before->sum[i] * after->da[i] + before->weights[i] * after->db[i]);
    }
    if (b->dx[0]) add(dkey, k->count, b->dx[0] + at);
    if (b->dx[1]) add(dv, k->count, b->dx[1] + at);
    if (before == k->initial) return;
    for (size_t i = 0; i < FOURS; i++) { /* what it has, what comes through this row, this row's own */
        high[i] = larger(larger(before->high[i], after->high[i] + decay[i]), -top[i]);
        e[i] = before->high[i] - high[i];
        e[FOURS + i] = after->high[i] + decay[i] - high[i];
        e[2 * FOURS + i] = -top[i] - high[i];
    }
    exponentials(e, 3 * FOURS);
    for (size_t i = 0; i < FOURS; i++) {
        mt_four own = e[2 * FOURS + i] * q[i];
        before->da[i] = e[i] * before->da[i] + e[FOURS + i] * after->da[i] + own;
        before->db[i] = e[i] * before->db[i] + e[FOURS + i] * after->db[i] - own * y[i];
        before->high[i] = high[i];
    }
}

static void wkv_part(void *arg, int part, int parts) {
    const mt_back *b = arg;
    int32_t T = b->n->dims[0];
    size_t C = (size_t)b->n->dims[b->n->n_dims - 1], blocks = (C + BLOCK - 1) / BLOCK;
    block k = {.b = b, .C = C, .lines = (line *)b->work + (size_t)part * ((size_t)T + 1)};
    k.initial = &k.lines[T];
    for (size_t i = blocks * (size_t)part / (size_t)parts; i < blocks * ((size_t)part + 1) / (size_t)parts; i++) {
        mt_four decay[FOURS], bonus[FOURS], ddecay[FOURS] = {0}, dbonus[FOURS] = {0};
        k.first = i * BLOCK, k.count = C - k.first < BLOCK ? C - k.first : BLOCK;
        load(b->x[2] + k.first, k.count, decay);
        load(b->x[3] + k.first, k.count, bonus);
        for (int32_t t = 0; t < T; t++) row_forward(&k, t, decay);
        for (int32_t t = T; t-- > 0;) row_back(&k, t, decay, bonus, ddecay, dbonus);
        if (b->dx[2]) add(ddecay, k.count, b->dx[2] + k.first);
        if (b->dx[3]) add(dbonus, k.count, b->dx[3] + k.first);
    }
}

void mt_back_wkv(const mt_back *b) {
    mt_pool_run_parts(mt_back_pool(b, mt_node_elements(b->n)), wkv_part, (void *)b, (int)parts_of(b->n));
}
