/* Skip-gram with negative sampling:  for a token c and a neighbour o, one step up
 *
 *   ln s(u_o . v_c) + sum over k drawn tokens of ln s(-u_k . v_c),   s(x) = 1 / (1 + exp(-x))
 *
 * The v are the vectors. Deterministic: one thread, one seed. */
#include <math.h>

#include "transfer.h"

enum { TABLE = 1 << 20 };

struct mt_skipgram {
    mt_skipgram_options o;
    const int32_t *ids;
    size_t n, at;
    int32_t vocab, epoch;
    float *in, *out, *step; /* [vocab][width] twice, [width] */
    float *keep;            /* by token: probability that an occurrence is looked at; 0: too rare */
    int32_t *draw;          /* TABLE tokens, each as often as count^0.75 */
    int32_t *near;          /* tokens of the text under way that are looked at */
    size_t near_len, near_cap;
    mt_rng rng;
};

void mt_skipgram_free(mt_skipgram *s) {
    if (!s) return;
    mt_free(s->in);
    mt_free(s->out);
    mt_free(s->step);
    mt_free(s->keep);
    mt_free(s->draw);
    mt_free(s->near);
    mt_free(s);
}

static mt_status check(const mt_skipgram_options *o, mt_error *err) {
    if (o->width < 1 || o->width > 4096) return mt_fail(err, MT_ERANGE, "vectors of %d numbers: 1..4096", o->width);
    if (o->window < 1 || o->negatives < 1 || o->epochs < 1 || o->min_count < 1)
        return mt_fail(err, MT_ERANGE, "window %d, negatives %d, epochs %d, least count %d: all at least 1", o->window,
                       o->negatives, o->epochs, o->min_count);
    if (!(o->rate > 0 && o->rate <= 1) || !(o->subsample >= 0 && o->subsample <= 1))
        return mt_fail(err, MT_ERANGE, "rate %g, subsampling %g: up to 1", o->rate, o->subsample);
    return MT_OK;
}

mt_status mt_skipgram_new(const int32_t *ids, size_t n, int32_t vocab, const mt_skipgram_options *options,
                          mt_skipgram **out, mt_error *err) {
    *out = NULL;
    MT_TRY(check(options, err));
    for (size_t i = 0; i < n; i++)
        if (ids[i] < -1 || ids[i] >= vocab)
            return mt_fail_at(err, MT_ERANGE, i, "token id %d: ids are 0..%d, or -1 between texts", ids[i], vocab - 1);
    mt_skipgram *s = mt_calloc(1, sizeof *s);
    size_t cells = (size_t)vocab * (size_t)options->width;
    double *count = mt_calloc((size_t)vocab, sizeof *count);
    if (!s || !count) goto no_memory;
    s->o = *options;
    s->ids = ids;
    s->n = n;
    s->vocab = vocab;
    mt_rng_seed(&s->rng, options->seed);
    s->in = mt_calloc(cells, sizeof *s->in);
    s->out = mt_calloc(cells, sizeof *s->out);
    s->step = mt_array((size_t)options->width, sizeof *s->step);
    s->keep = mt_calloc((size_t)vocab, sizeof *s->keep);
    s->draw = mt_array(TABLE, sizeof *s->draw);
    if (!s->in || !s->out || !s->step || !s->keep || !s->draw) goto no_memory;
    double total = 0, weight = 0;
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= 0) count[ids[i]]++;
    for (int32_t t = 0; t < vocab; t++)
        if (count[t] < options->min_count)
            count[t] = 0;
        else
            total += count[t], weight += pow(count[t], .75);
    for (int32_t t = 0; t < vocab; t++) {
        if (!count[t]) continue;
        double f = count[t] / total, p = options->subsample / f;
        s->keep[t] = options->subsample > 0 && p < 1 ? (float)(sqrt(p) + p < 1 ? sqrt(p) + p : 1) : 1;
        for (int32_t k = 0; k < options->width; k++)
            s->in[(size_t)t * (size_t)options->width + (size_t)k] =
                (float)((mt_rng_double(&s->rng) - .5) / options->width);
    }
    if (weight > 0) {
        double sum = 0;
        int32_t filled = 0;
        for (int32_t t = 0; t < vocab; t++) {
            sum += count[t] ? pow(count[t], .75) : 0;
            while (count[t] && filled < TABLE && filled < sum / weight * TABLE) s->draw[filled++] = t;
        }
        for (; filled && filled < TABLE; filled++) s->draw[filled] = s->draw[filled - 1];
    } else {
        s->epoch = options->epochs; /* nothing occurs often enough */
    }
    mt_free(count);
    *out = s;
    return MT_OK;
no_memory:
    mt_free(count);
    mt_skipgram_free(s);
    return mt_nomem(err, cells * 2 * sizeof(float), "vectors of tokens");
}

static void learn(mt_skipgram *s, int32_t center, int32_t other, float rate) {
    const int32_t width = s->o.width;
    float *v = s->in + (size_t)center * (size_t)width, *step = s->step;
    memset(step, 0, (size_t)width * sizeof *step);
    for (int32_t k = 0; k <= s->o.negatives; k++) {
        int32_t t = k ? s->draw[mt_rng_next(&s->rng) & (TABLE - 1)] : other;
        if (k && t == other) continue;
        float *u = s->out + (size_t)t * (size_t)width, dot = 0;
        for (int32_t i = 0; i < width; i++) dot += v[i] * u[i];
        float g = rate * ((k ? 0.0f : 1.0f) - 1 / (1 + expf(-dot)));
        for (int32_t i = 0; i < width; i++) {
            step[i] += g * u[i];
            u[i] += g * v[i];
        }
    }
    for (int32_t i = 0; i < width; i++) v[i] += step[i];
}

double mt_skipgram_train(mt_skipgram *s, size_t tokens) {
    for (size_t seen = 0; s->epoch < s->o.epochs && seen < tokens;) {
        double done = ((double)s->epoch + (double)s->at / (double)(s->n + 1)) / s->o.epochs;
        float rate = (float)(s->o.rate * (1 - done));
        s->near_len = 0;
        for (; s->at < s->n && s->ids[s->at] >= 0; s->at++, seen++) { /* one text */
            int32_t id = s->ids[s->at];
            if (s->keep[id] < 1 && mt_rng_double(&s->rng) >= s->keep[id]) continue;
            if (mt_grow((void **)&s->near, &s->near_cap, s->near_len + 1, sizeof *s->near, NULL) != MT_OK) break;
            s->near[s->near_len++] = id;
        }
        for (size_t i = 0; i < s->near_len; i++) {
            size_t reach = 1 + mt_rng_below(&s->rng, (uint64_t)s->o.window), from = i < reach ? 0 : i - reach;
            for (size_t j = from; j <= i + reach && j < s->near_len; j++)
                if (j != i) learn(s, s->near[i], s->near[j], rate);
        }
        if (s->at < s->n) {
            s->at++;
            seen++;
        } else {
            s->at = 0;
            s->epoch++;
        }
    }
    return s->epoch >= s->o.epochs ? 1 : ((double)s->epoch + (double)s->at / (double)(s->n + 1)) / s->o.epochs;
}

const float *mt_skipgram_vectors(const mt_skipgram *s) {
    return s->in;
}
