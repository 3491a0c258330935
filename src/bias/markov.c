/* Sources of markov.h: stationary distribution, entropies, texts. markov_model.c has their token models.
 *
 *   two letters, P(stay) = .9:  H(X) = .693147, rate = .325083, blocks of two: (H(X) + rate) / 2 = .509115 */
#include "markov.h"

#include <math.h>

#include "markov_source.h"

void mt_markov_free(mt_markov *m) {
    if (!m) return;
    mt_free(m->next);
    mt_free(m->stationary);
    mt_free(m);
}

int32_t mt_markov_contexts(const mt_markov *m) {
    return m->contexts;
}
const double *mt_markov_stationary(const mt_markov *m) {
    return m->stationary;
}

static int32_t after(const mt_markov *m, int32_t context, int32_t letter) {
    return (int32_t)(((int64_t)context * m->letters + letter) % m->contexts);
}

/* ---- the stationary distribution ---- */

/* seen[] = the contexts that can be reached from one. */
static void reach(const mt_markov *m, int32_t from, uint8_t *seen, int32_t *stack) {
    int32_t depth = 0;
    memset(seen, 0, (size_t)m->contexts);
    seen[from] = 1;
    stack[depth++] = from;
    while (depth) {
        int32_t at = stack[--depth];
        for (int32_t a = 0; a < m->letters; a++) {
            int32_t to = after(m, at, a);
            if (m->next[(size_t)at * m->letters + a] <= 0 || seen[to]) continue;
            seen[to] = 1;
            stack[depth++] = to;
        }
    }
}

/* The contexts that are visited for ever: recurrent[]. Unique where every context can get there. */
static bool recurrent_class(const mt_markov *m, uint8_t *recurrent, uint8_t *seen, int32_t *stack) {
    int32_t at = 0;
    for (bool closed = false; !closed;) { /* go to a context from which there is a way back from everywhere */
        closed = true;
        reach(m, at, recurrent, stack);
        for (int32_t t = 0; t < m->contexts && closed; t++) {
            if (!recurrent[t]) continue;
            reach(m, t, seen, stack);
            if (!seen[at]) {
                at = t;
                closed = false;
            }
        }
    }
    for (int32_t t = 0; t < m->contexts; t++) {
        reach(m, t, seen, stack);
        if (!seen[at]) return false;
    }
    return true;
}

static mt_status solve(mt_markov *m, mt_error *err) {
    size_t n = (size_t)m->contexts, size = 0;
    uint8_t *recurrent = mt_array(n, 2);
    int32_t *stack = mt_array(n, 2 * sizeof *stack), *place = NULL;
    double *p = NULL, *pi = NULL;
    mt_status status = MT_OK;
    if (!recurrent || !stack) {
        status = mt_nomem(err, n * 10, "the contexts of a source");
        goto done;
    }
    if (!recurrent_class(m, recurrent, recurrent + n, stack)) {
        status = mt_fail(err, MT_ERANGE, "this source has more than one stationary distribution");
        goto done;
    }
    place = stack + n;
    for (size_t i = 0; i < n; i++)
        if (recurrent[i]) place[i] = (int32_t)size++;
    p = mt_calloc(size * size, sizeof *p);
    pi = mt_calloc(size, sizeof *pi);
    if (!p || !pi) {
        status = mt_nomem(err, size * size * sizeof *p, "the transitions of a source");
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        for (int32_t a = 0; recurrent[i] && a < m->letters; a++) {
            double q = m->next[i * (size_t)m->letters + (size_t)a];
            if (q > 0) p[(size_t)place[i] * size + (size_t)place[after(m, (int32_t)i, a)]] += q;
        }
    for (size_t k = size; k-- > 1;) { /* take state k out: its visits become direct transitions */
        double out = 0;
        for (size_t j = 0; j < k; j++) out += p[k * size + j];
        for (size_t i = 0; i < k; i++) {
            double in = p[i * size + k] /= out;
            if (in > 0)
                for (size_t j = 0; j < k; j++) p[i * size + j] += in * p[k * size + j];
        }
    }
    double sum = pi[0] = 1;
    for (size_t k = 1; k < size; k++) {
        for (size_t i = 0; i < k; i++) pi[k] += pi[i] * p[i * size + k];
        sum += pi[k];
    }
    for (size_t i = 0; i < n; i++) m->stationary[i] = recurrent[i] ? pi[place[i]] / sum : 0;
done:
    mt_free(recurrent);
    mt_free(stack);
    mt_free(p);
    mt_free(pi);
    return status;
}

mt_status mt_markov_new(const uint8_t *letters, int32_t count, int32_t order, const double *next, mt_markov **out,
                        mt_error *err) {
    *out = NULL;
    if (count < 2 || count > 256) return mt_fail(err, MT_ERANGE, "a source of %d letters: 2..256 are possible", count);
    if (order < 0) return mt_fail(err, MT_ERANGE, "a source of order %d", order);
    int64_t contexts = 1;
    for (int32_t i = 0; i < order; i++)
        if ((contexts *= count) > 1024)
            return mt_fail(err, MT_ELIMIT, "order %d over %d letters: more than 1024 contexts", order, count);
    mt_markov *m = mt_calloc(1, sizeof *m);
    if (!m) return mt_nomem(err, sizeof *m, "a source");
    mt_status status = MT_OK;
    size_t cells = (size_t)contexts * (size_t)count;
    m->letters = count;
    m->order = order;
    m->contexts = (int32_t)contexts;
    m->next = mt_array(cells, sizeof *m->next);
    m->stationary = mt_array((size_t)contexts, sizeof *m->stationary);
    if (!m->next || !m->stationary) {
        status = mt_nomem(err, cells * sizeof *m->next, "a source's probabilities");
        goto fail;
    }
    memset(m->index, -1, sizeof m->index);
    for (int32_t a = 0; a < count; a++) {
        if (m->index[letters[a]] >= 0) {
            status = mt_fail(err, MT_ERANGE, "letter %u stands twice in the alphabet", letters[a]);
            goto fail;
        }
        m->letter[a] = letters[a];
        m->index[letters[a]] = (int16_t)a;
    }
    for (int64_t c = 0; c < contexts; c++) {
        const double *row = next + c * count;
        double sum = 0;
        for (int32_t a = 0; a < count; a++) {
            if (!(row[a] >= 0 && row[a] <= 1)) {
                status =
                    mt_fail(err, MT_ERANGE, "context %lld, letter %d: %g is no probability", (long long)c, a, row[a]);
                goto fail;
            }
            sum += row[a];
        }
        if (fabs(sum - 1) > 1e-9) {
            status =
                mt_fail(err, MT_ERANGE, "context %lld: the probabilities add up to %.12g, not 1", (long long)c, sum);
            goto fail;
        }
        for (int32_t a = 0; a < count; a++) m->next[c * count + a] = row[a] / sum;
    }
    MT_TRY_GOTO(solve(m, err), fail);
    *out = m;
    return MT_OK;
fail:
    mt_markov_free(m);
    return status;
}

/* ---- entropies ---- */

static double xlogx(double p) {
    return p > 0 ? p * log(p) : 0;
}

double mt_markov_rate(const mt_markov *m) {
    double h = 0;
    for (int32_t c = 0; c < m->contexts; c++)
        for (int32_t a = 0; m->stationary[c] > 0 && a < m->letters; a++)
            h -= m->stationary[c] * xlogx(m->next[(size_t)c * (size_t)m->letters + (size_t)a]);
    return h;
}

double mt_markov_entropy(const mt_markov *m, int32_t length) {
    if (length <= 0) return 0;
    if (length > m->order) return mt_markov_entropy(m, m->order) + (length - m->order) * mt_markov_rate(m);
    double h = 0;
    int32_t wide = 1; /* contexts that share their first `length` letters */
    for (int32_t i = length; i < m->order; i++) wide *= m->letters;
    for (int32_t c = 0; c < m->contexts; c += wide) {
        double p = 0;
        for (int32_t i = 0; i < wide; i++) p += m->stationary[c + i];
        h -= xlogx(p);
    }
    return h;
}

double mt_markov_block_loss(const mt_markov *m, int32_t length) {
    return length > 0 ? mt_markov_entropy(m, length) / length : 0;
}

/* ---- texts ---- */

static int32_t draw(const double *p, int32_t n, mt_rng *rng) {
    double u = mt_rng_double(rng);
    int32_t last = 0;
    for (int32_t i = 0; i < n; i++) {
        if (p[i] <= 0) continue;
        last = i;
        if ((u -= p[i]) < 0) return i;
    }
    return last; /* rounding */
}

void mt_markov_sample(const mt_markov *m, uint64_t seed, size_t n, uint8_t *out) {
    mt_rng rng;
    mt_rng_seed(&rng, seed);
    int32_t context = draw(m->stationary, m->contexts, &rng);
    size_t at = 0;
    for (int32_t rest = m->contexts, c = context; rest > 1 && at < n; at++) { /* the letters that it stands for */
        rest /= m->letters;
        out[at] = m->letter[c / rest];
        c %= rest;
    }
    for (; at < n; at++) {
        int32_t a = draw(m->next + (size_t)context * (size_t)m->letters, m->letters, &rng);
        out[at] = m->letter[a];
        context = after(m, context, a);
    }
}

mt_status mt_markov_next(const mt_markov *m, const uint8_t *text, size_t n, double *out, mt_error *err) {
    for (size_t i = 0; i < n; i++)
        if (m->index[text[i]] < 0) return mt_fail_at(err, MT_ERANGE, i, "byte %u is no letter of the source", text[i]);
    size_t known = n < (size_t)m->order ? n : (size_t)m->order;
    int32_t context = 0, wide = 1, sum_from;
    for (size_t i = n - known; i < n; i++) context = context * m->letters + m->index[text[i]];
    memset(out, 0, (size_t)m->letters * sizeof *out);
    if (known == (size_t)m->order) {
        memcpy(out, m->next + (size_t)context * (size_t)m->letters, (size_t)m->letters * sizeof *out);
        return MT_OK;
    }
    /* The text is the beginning of the context: letter known + 1 of a stationary context. */
    for (size_t i = known + 1; i < (size_t)m->order; i++) wide *= m->letters;
    sum_from = context * m->letters * wide;
    double total = 0;
    for (int32_t a = 0; a < m->letters; a++) {
        for (int32_t i = 0; i < wide; i++) out[a] += m->stationary[sum_from + a * wide + i];
        total += out[a];
    }
    if (total <= 0) return mt_fail(err, MT_ERANGE, "the source never begins a text so");
    for (int32_t a = 0; a < m->letters; a++) out[a] /= total;
    return MT_OK;
}
