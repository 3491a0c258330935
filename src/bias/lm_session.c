/* A model session as an mt_lm: contexts are slots of the cache, numbered from 1 (0 is the root: BOS, or a prompt). */
#include "bias.h"

#include <math.h>

typedef struct session_lm {
    mt_session *session;
    int32_t vocab, root; /* root: slot of BOS, or of a prompt's last token */
    float *root_row;
    int32_t *row_of, *slot; /* row_of: per slot, row of the latest pass + 1; slot: of its rows */
    int32_t rows, cap;
    int32_t *batch; /* parents */
} session_lm;

static mt_status grow_rows(session_lm *l, int32_t n, mt_error *err) {
    if (n <= l->cap) return MT_OK;
    int32_t *slot = mt_realloc(l->slot, (size_t)n * sizeof *slot);
    if (slot) l->slot = slot;
    int32_t *batch = slot ? mt_realloc(l->batch, (size_t)n * sizeof *batch) : NULL;
    if (batch) l->batch = batch;
    if (!batch) return mt_nomem(err, (size_t)n * sizeof *batch, "a batch");
    l->cap = n;
    return MT_OK;
}

static mt_status extend(void *self, int32_t n, const int32_t *parent, const int32_t *token, int32_t *context,
                        mt_error *err) {
    session_lm *l = self;
    for (int32_t i = 0; i < l->rows; i++) l->row_of[l->slot[i]] = 0;
    l->rows = 0;
    if (n <= 0) return MT_OK;
    MT_TRY(grow_rows(l, n, err));
    for (int32_t i = 0; i < n; i++) l->batch[i] = parent[i] < -1 ? parent[i] : parent[i] == 0 ? l->root : parent[i] - 1;
    uint8_t *want = mt_malloc((size_t)n);
    if (!want) return mt_nomem(err, (size_t)n, "a batch");
    memset(want, 1, (size_t)n);
    mt_batch batch = {.count = n, .token = token, .parent = l->batch, .want = want, .slot = l->slot};
    mt_status status = mt_session_eval(l->session, &batch, err);
    mt_free(want);
    if (status) return status;
    l->rows = n;
    for (int32_t i = 0; i < n; i++) {
        l->row_of[l->slot[i]] = i + 1;
        context[i] = l->slot[i] + 1;
    }
    return MT_OK;
}

static mt_status row_of(session_lm *l, int32_t context, const float **row, mt_error *err) {
    *row = l->root_row;
    if (context > 0) {
        int32_t r = context <= mt_session_slots(l->session) ? l->row_of[context - 1] : 0;
        *row = r ? mt_session_logits(l->session, r - 1) : NULL;
    }
    return *row ? MT_OK : mt_fail(err, MT_ESTATE, "the probabilities after context %d are not at hand", context);
}

/* out[i] = exp(x[i] - top) for x <= top, without calls so that compilers use vectors: 2^k times Taylor's series to
 * degree 13 on |r| <= ln(2)/2, error below 2 ulp; less than e^-708 is 0. Byte probabilities down to there are sums of
 * such numbers, which float cannot hold. */
static void exp_below(const float *x, double top, double *out, int32_t n) {
    const double to_int = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to an integer, in the low bits */
    for (int32_t i = 0; i < n; i++) {
        double d = (double)x[i] - top, m = d * 1.4426950408889634 + to_int, k = m - to_int;
        double r = (d - k * 0.693147180369123816490) - k * 1.90821492927058770002e-10;
        double p = 1.0 / 6227020800;
        p = p * r + 1.0 / 479001600;
        p = p * r + 1.0 / 39916800;
        p = p * r + 1.0 / 3628800;
        p = p * r + 1.0 / 362880;
        p = p * r + 1.0 / 40320;
        p = p * r + 1.0 / 5040;
        p = p * r + 1.0 / 720;
        p = p * r + 1.0 / 120;
        p = p * r + 1.0 / 24;
        p = p * r + 1.0 / 6;
        p = p * r + 0.5;
        p = p * r + 1;
        p = p * r + 1;
        uint64_t bits;
        memcpy(&bits, &m, sizeof bits);
        bits = (bits + 1023) << 52; /* the rounded integer as an exponent */
        double scale;
        memcpy(&scale, &bits, sizeof scale);
        out[i] = d < -708 ? 0 : p * scale;
    }
}

static mt_status weights(void *self, int32_t context, double *out, const float **logit, double *top, double *sum,
                         mt_error *err) {
    session_lm *l = self;
    const float *row;
    MT_TRY(row_of(l, context, &row, err));
    float most = -INFINITY;
    for (int32_t i = 0; i < l->vocab; i++) most = row[i] > most ? row[i] : most;
    exp_below(row, most, out, l->vocab);
    double s[4] = {0};
    for (int32_t i = 0; i < l->vocab; i++) s[i & 3] += out[i];
    *logit = row;
    *top = most;
    *sum = (s[0] + s[1]) + (s[2] + s[3]);
    return *sum > 0 && isfinite(*sum) ? MT_OK : mt_fail(err, MT_EFORMAT, "the model's logits are not numbers");
}

static mt_status next(void *self, int32_t context, double *out, mt_error *err) {
    session_lm *l = self;
    const float *row;
    double top, sum;
    MT_TRY(weights(self, context, out, &row, &top, &sum, err));
    sum = log(sum);
    for (int32_t i = 0; i < l->vocab; i++) out[i] = (double)row[i] - top - sum;
    return MT_OK;
}

static void drop(void *self, int32_t context) {
    session_lm *l = self;
    l->row_of[context - 1] = 0;
    mt_session_drop(l->session, context - 1);
}

mt_status mt_lm_after(mt_session *s, const int32_t *prompt, int32_t count, int32_t end, mt_lm *out, mt_error *err) {
    *out = (mt_lm){0};
    mt_model_info info;
    mt_model_info_get(mt_session_model(s), &info);
    if (count < 1) return mt_fail(err, MT_ERANGE, "a prompt of %d tokens, at least one is needed", count);
    for (int32_t i = 0; i < count; i++)
        if (prompt[i] < 0 || prompt[i] >= info.vocab)
            return mt_fail(err, MT_ERANGE, "token %d of the prompt: id %d is outside 0..%d", i, prompt[i],
                           info.vocab - 1);
    if (end >= info.vocab) return mt_fail(err, MT_ERANGE, "end-of-text %d, the model has %d tokens", end, info.vocab);
    mt_status status = MT_OK;
    session_lm *l = mt_calloc(1, sizeof *l);
    if (!l) return mt_nomem(err, sizeof *l, "a language model");
    int32_t *list = mt_array((size_t)count, 2 * sizeof *list); /* parents, slots */
    l->session = s;
    l->vocab = info.vocab;
    l->root_row = mt_array((size_t)info.vocab, sizeof *l->root_row);
    l->row_of = mt_calloc((size_t)mt_session_slots(s), sizeof *l->row_of);
    if (!list || !l->root_row || !l->row_of) {
        status = mt_nomem(err, (size_t)info.vocab * sizeof *l->root_row, "a language model");
        goto done;
    }
    mt_session_reset(s);
    for (int32_t i = 0; i < count; i++) list[i] = i ? MT_IN_BATCH(i - 1) : MT_ROOT;
    mt_batch batch = {.count = count, .token = prompt, .parent = list, .slot = list + count};
    MT_TRY_GOTO(mt_session_eval(s, &batch, err), done);
    l->root = list[2 * count - 1];
    memcpy(l->root_row, mt_session_logits(s, count - 1), (size_t)info.vocab * sizeof *l->root_row);
    *out = (mt_lm){
        .self = l, .vocab = info.vocab, .end = end, .extend = extend, .next = next, .weights = weights, .drop = drop};
done:
    mt_free(list);
    if (status) {
        mt_free(l->root_row);
        mt_free(l->row_of);
        mt_free(l);
    }
    return status;
}

mt_status mt_lm_of_session(mt_session *s, int32_t bos, int32_t end, mt_lm *out, mt_error *err) {
    *out = (mt_lm){0};
    mt_model_info info;
    mt_model_info_get(mt_session_model(s), &info);
    if (bos < 0) bos = end;
    if (bos < 0 || bos >= info.vocab || end >= info.vocab)
        return mt_fail(err, MT_EMISSING,
                       "a byte model needs a token to begin with: BOS is %d, end-of-text %d, the model has %d tokens",
                       bos, end, info.vocab);
    return mt_lm_after(s, &bos, 1, end, out, err);
}

void mt_lm_free_session(mt_lm *lm) {
    session_lm *l = lm->self;
    if (!l) return;
    mt_free(l->root_row);
    mt_free(l->row_of);
    mt_free(l->slot);
    mt_free(l->batch);
    mt_free(l);
    *lm = (mt_lm){0};
}
