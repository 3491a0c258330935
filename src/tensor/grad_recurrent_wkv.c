/* RWKV-4's average (Peng et al. 2023). With the sums A and B over the rows before row t, weights decaying by e^w,
 *
 *   y = (A + e^(u + k) v) / D,   D = B + e^(u + k);      A' = e^w A + e^k v,   B' = e^w B + e^k
 *
 * the gradients of the sums after row t are, over the rows j that follow, sums of e^((j - t - 1) w) dy_j / D_j and of
 * the same times -y_j. Forward A and B are kept divided by e^most; backward these sums are kept divided by e^high, high
 * being the largest of their exponents. D_j is at least e^(k_t + (j - t - 1) w), so k_t + high <= 0, and no exponential
 * here is above 1. */
#include "grad_recurrent.h"

#include <math.h>

/* For each row of one channel: the state after it, the gradients of A' and B'. */
typedef struct line {
    float sum, weights, most, da, db, high;
} line;
enum { LINE = sizeof(line) / sizeof(float) };

size_t mt_back_wkv_work(const mt_node *n) {
    return mt_back_area((size_t)n->dims[0] + 1, LINE * MT_BACK_PARTS);
}

static void add_scaled(line *l, float da, float db, float high) {
    float top = l->high > high ? l->high : high, old = expf(l->high - top), now = expf(high - top);
    l->da = old * l->da + now * da, l->db = old * l->db + now * db, l->high = top;
}

/* What row t continues; its place in the batch, or a copy of the state that was kept. */
static line *before_of(const mt_back *b, line *lines, line *initial, int32_t t, size_t c) {
    int32_t parent = b->feed->parent_row[t];
    if (parent >= 0) return &lines[parent];
    const float *kept = mt_back_kept(b, t);
    size_t C = (size_t)b->n->dims[b->n->n_dims - 1];
    *initial = (line){.most = -1e38f};
    if (kept) *initial = (line){.sum = kept[c], .weights = kept[C + c], .most = kept[2 * C + c]};
    return initial;
}

static void wkv_part(void *arg, int part, int parts) {
    const mt_back *b = arg;
    int32_t T = b->n->dims[0];
    size_t C = (size_t)b->n->dims[b->n->n_dims - 1];
    line *lines = (line *)b->work + (size_t)part * ((size_t)T + 1), *initial = &lines[T];
    for (size_t c = C * (size_t)part / (size_t)parts; c < C * ((size_t)part + 1) / (size_t)parts; c++) {
        float decay = b->x[2][c], bonus = b->x[3][c], ddecay = 0, dbonus = 0;
        for (int32_t t = 0; t < T; t++) {
            float k = b->x[0][(size_t)t * C + c], v = b->x[1][(size_t)t * C + c];
            const line *before = before_of(b, lines, initial, t, c);
            float top = before->most + decay > k ? before->most + decay : k;
            float old = expf(before->most + decay - top), now = expf(k - top);
            lines[t] = (line){.sum = old * before->sum + now * v,
                              .weights = old * before->weights + now,
                              .most = top,
                              .high = -1e38f};
        }
        for (int32_t t = T; t-- > 0;) {
            size_t at = (size_t)t * C + c;
            float k = b->x[0][at], v = b->x[1][at], y = b->y[at], dy = b->dy[at];
            const line *after = &lines[t];
            line *before = before_of(b, lines, initial, t, c);
            float top = before->most > k + bonus ? before->most : k + bonus;
            float old = expf(before->most - top), now = expf(k + bonus - top);
            float q = dy / (old * before->weights + now); /* dy / D, times e^top */
            float own = now * q * (v - y), e = expf(k + after->high);
            if (b->dx[0]) b->dx[0][at] += own + e * (v * after->da + after->db);
            if (b->dx[1]) b->dx[1][at] += now * q + e * after->da;
            dbonus += own;
            ddecay +=
                expf(before->most + decay + after->high) * (before->sum * after->da + before->weights * after->db);
            if (before == initial) continue;
            add_scaled(before, after->da, after->db, after->high + decay);
            add_scaled(before, q, -q * y, -top);
        }
        if (b->dx[2]) b->dx[2][c] += ddecay;
        if (b->dx[3]) b->dx[3][c] += dbonus;
    }
}

void mt_back_wkv(const mt_back *b) {
    mt_pool_run_parts(mt_back_pool(b, mt_node_elements(b->n)), wkv_part, (void *)b, MT_BACK_PARTS);
}
