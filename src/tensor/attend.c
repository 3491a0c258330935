/* Attention over cache slots: queries and heads are shared out among the threads, each result is one kernel call. */
#include "kernel/kernel.h"

#include <math.h>

typedef struct attend_job {
    const mt_attend_args *a;
    const int32_t *map; /* slot -> column, or column -> slot */
    int32_t width;
    const float *from;
    float *to;
} attend_job;

static size_t row_at(const attend_job *j, int32_t t, int32_t h) {
    return ((size_t)h * (size_t)j->a->T + (size_t)t) * (size_t)j->width;
}

static void scores_one(const attend_job *j, int32_t t, int32_t h) {
    float *row = j->to + row_at(j, t, h);
    for (int32_t i = 0; i < j->width; i++) row[i] = -INFINITY;
    mt_kernels->attend_scores(j->a, t, h, j->map, row);
}

static void softmax_one(const attend_job *j, int32_t t, int32_t h) {
    size_t at = row_at(j, t, h);
    float *p = j->to + at;
    if (p != j->from + at) memmove(p, j->from + at, (size_t)j->width * sizeof(float));
    if (!j->a->sink) {
        mt_kernels->softmax(p, (size_t)j->width);
        return;
    }
    /* With a sink: the same row with one more logit, whose share is then dropped. Only traced runs come here, so the
     * sums are kept simple. */
    float top = j->a->sink[h], sink = top;
    for (int32_t i = 0; i < j->width; i++)
        if (p[i] > top || p[i] != p[i]) top = p[i];
    double sum = 0;
    for (int32_t i = 0; i < j->width; i++) p[i] = p[i] - top;
    sink = sink - top;
    mt_kernels->exp(p, p, (size_t)j->width);
    mt_kernels->exp(&sink, &sink, 1);
    for (int32_t i = 0; i < j->width; i++) sum += p[i];
    float inverse = (float)(1 / (sum + sink));
    for (int32_t i = 0; i < j->width; i++) p[i] *= inverse;
}

static void values_one(const attend_job *j, int32_t t, int32_t h) {
    const mt_attend_args *a = j->a;
    mt_kernels->attend_values(a, h, j->from + row_at(j, t, h), j->map, j->width,
                              a->out + ((size_t)t * (size_t)a->H + (size_t)h) * (size_t)a->EV);
}

/* What is shared out: rows (query, head), in order; `one` takes a row, a NULL `one` is mt_attend's kernel, which takes
 * the heads of a group together as far as a part holds them. */
typedef void (*one_row)(const attend_job *j, int32_t t, int32_t h);
typedef struct rows_job {
    attend_job job;
    one_row one;
} rows_job;
static void some_rows(void *arg, int part, int parts) {
    const rows_job *r = arg;
    const mt_attend_args *a = r->job.a;
    int64_t rows = (int64_t)a->T * a->H, i = rows * part / parts, end = rows * (part + 1) / parts;
    while (i < end) {
        int32_t t = (int32_t)(i / a->H), h = (int32_t)(i % a->H), count = 1;
        if (r->one) {
            r->one(&r->job, t, h);
        } else {
            int32_t g = (int32_t)((int64_t)h * a->G / a->H);
            while (i + count < end && h + count < a->H && (int64_t)(h + count) * a->G / a->H == g) count++;
            mt_kernels->attend(a, t, h, count);
        }
        i += count;
    }
}
static void all_rows(mt_pool *pool, rows_job *r) {
    /* Later queries see more: several parts for each thread keep them even. Below about 32k multiplications the work is
     * done before a thread wakes. */
    const mt_attend_args *a = r->job.a;
    int64_t rows = (int64_t)a->T * a->H, seen = 0, parts = mt_pool_threads(pool);
    for (int32_t i = a->run_start[0]; i < a->run_start[a->T]; i++) seen += a->runs[i].count;
    if (seen * a->H * (a->E + a->EV) < 1 << 15) parts = 1;
    if (parts > 1 && a->T > 1) parts *= 8;
    mt_pool_run_parts(pool, some_rows, r, (int)(parts > rows ? rows : parts));
}

void mt_attend(mt_pool *pool, const mt_attend_args *a) {
    if (a->T <= 0) return;
    rows_job r = {{.a = a}, NULL};
    all_rows(pool, &r);
}
void mt_attend_scores(mt_pool *pool, const mt_attend_args *a, const int32_t *column, int32_t width, float *scores) {
    if (a->T <= 0) return;
    rows_job r = {{.a = a, .map = column, .width = width, .to = scores}, scores_one};
    all_rows(pool, &r);
}
void mt_attend_softmax(mt_pool *pool, const mt_attend_args *a, int32_t width, const float *scores, float *p) {
    if (a->T <= 0) return;
    rows_job r = {{.a = a, .width = width, .from = scores, .to = p}, softmax_one};
    all_rows(pool, &r);
}
void mt_attend_values(mt_pool *pool, const mt_attend_args *a, const int32_t *slot, int32_t width, const float *p) {
    if (a->T <= 0) return;
    rows_job r = {{.a = a, .map = slot, .width = width, .from = p}, values_one};
    all_rows(pool, &r);
}
