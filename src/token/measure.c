/* Measures of tokenizers. Entropies go through probabilities p = count / total; a vocabulary of which nothing occurred
 * has entropy 0, and ratios over nothing are 0. */
#include "measure.h"
#include "../base/sort.h"

#include <math.h>

mt_status mt_measure_open(mt_measure *m, size_t vocabulary_size, mt_error *err) {
    *m = (mt_measure){.size = vocabulary_size};
    m->count = mt_calloc(vocabulary_size, sizeof *m->count);
    return m->count ? MT_OK : mt_nomem(err, vocabulary_size * sizeof *m->count, "token counts");
}

void mt_measure_free(mt_measure *m) {
    mt_free(m->count);
    *m = (mt_measure){0};
}

static size_t character(const uint8_t *p, size_t n, uint32_t *cp) {
    int k = mt_utf8_decode(p, n, cp);
    return k ? (size_t)k : 1;
}

static void count_words(mt_measure *m, const uint8_t *text, size_t n, const int32_t *ends, size_t count) {
    uint32_t cp;
    size_t token = 0; /* the first one that ends behind the place where we are */
    for (size_t at = 0, k; at < n; at += k) {
        k = character(text + at, n - at, &cp);
        if (mt_unicode_is_space(cp)) continue;
        size_t end = at;
        while (end < n) {
            k = character(text + end, n - end, &cp);
            if (mt_unicode_is_space(cp)) break;
            end += k;
        }
        while (token < count && (size_t)ends[token] <= at) token++;
        size_t last = token;
        while (last + 1 < count && (size_t)ends[last] < end) last++;
        size_t tokens = token < count ? last - token + 1 : 0;
        m->words++;
        m->word_tokens += tokens;
        m->continued += tokens > 1;
        token = last;
        k = end - at;
    }
}

mt_status mt_measure_add(mt_measure *m, const uint8_t *text, size_t n, const int32_t *ids, const int32_t *ends,
                         size_t count, int32_t unknown, mt_error *err) {
    for (size_t i = 0; i < count; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= m->size)
            return mt_fail(err, MT_ERANGE, "token id %d, the vocabulary has %zu", ids[i], m->size);
        if (ends && (ends[i] < (i ? ends[i - 1] : 0) || (size_t)ends[i] > n))
            return mt_fail(err, MT_ERANGE, "token %zu ends at byte %d of %zu", i, ends[i], n);
    }
    uint32_t cp;
    for (size_t i = 0; i < count; i++) {
        m->count[ids[i]]++;
        m->unknown += ids[i] == unknown;
    }
    for (size_t at = 0; at < n; at += character(text + at, n - at, &cp)) m->characters++;
    m->sentences++;
    m->tokens += count;
    m->bytes += n;
    if (ends) count_words(m, text, n, ends, count);
    return MT_OK;
}

static double ratio(uint64_t a, uint64_t b) {
    return b ? (double)a / (double)b : 0;
}

double mt_measure_fertility(const mt_measure *m) {
    return ratio(m->tokens, m->words);
}
double mt_measure_continued(const mt_measure *m) {
    return ratio(m->continued, m->words);
}
double mt_measure_compression(const mt_measure *m) {
    return ratio(m->bytes, m->tokens);
}
double mt_measure_closeness(const mt_measure *m) {
    return ratio(m->tokens, m->characters);
}
double mt_measure_unknown(const mt_measure *m) {
    return ratio(m->unknown, m->tokens);
}
double mt_measure_used(const mt_measure *m) {
    uint64_t used = 0;
    for (size_t i = 0; i < m->size; i++) used += m->count[i] > 0;
    return ratio(used, m->size);
}

double mt_measure_entropy(const mt_measure *m) {
    double h = 0;
    for (size_t i = 0; i < m->size; i++) {
        if (!m->count[i]) continue;
        double p = (double)m->count[i] / (double)m->tokens;
        h -= p * log(p);
    }
    return h;
}

double mt_measure_efficiency(const mt_measure *m, double alpha) {
    if (m->size < 2 || !m->tokens) return 0;
    double h, sum = 0, most = 0;
    for (size_t i = 0; i < m->size; i++) {
        double p = (double)m->count[i] / (double)m->tokens;
        if (m->count[i]) sum += pow(p, alpha);
        most = fmax(most, p);
    }
    if (alpha == 1)
        h = mt_measure_entropy(m);
    else
        h = isinf(alpha) ? -log(most) : log(sum) / (1 - alpha);
    return h / log((double)m->size);
}

void mt_measure_lengths(const mt_measure *m, mt_token_text text, void *user, uint64_t *histogram, size_t size) {
    for (size_t k = 0; k < size; k++) histogram[k] = 0;
    for (size_t i = 0; i < m->size && size; i++) {
        if (!m->count[i]) continue;
        size_t n = text(user, (int32_t)i).n;
        histogram[n < size ? n : size - 1] += m->count[i];
    }
}

static int by_count(const void *a, const void *b, void *counts) {
    const uint64_t *count = counts;
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    if (count[x] != count[y]) return count[x] > count[y] ? -1 : 1;
    return x < y ? -1 : x > y;
}

size_t mt_measure_ranking(const mt_measure *m, int32_t *ids) {
    size_t n = 0;
    for (size_t i = 0; i < m->size; i++)
        if (m->count[i]) ids[n++] = (int32_t)i;
    mt_sort(ids, n, sizeof *ids, by_count, m->count);
    return n;
}

double mt_measure_divergence(const mt_measure *a, const mt_measure *b) {
    size_t n = a->size > b->size ? a->size : b->size;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double p = i < a->size ? ratio(a->count[i], a->tokens) : 0, q = i < b->size ? ratio(b->count[i], b->tokens) : 0;
        double mean = (p + q) / 2;
        if (p > 0) sum += p / 2 * log2(p / mean);
        if (q > 0) sum += q / 2 * log2(q / mean);
    }
    return sum < 0 ? 0 : sum > 1 ? 1 : sum; /* rounding */
}

double mt_parity(const uint64_t *a, const uint64_t *b, size_t sentences) {
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < sentences; i++) {
        if (!b[i]) continue;
        sum += (double)a[i] / (double)b[i];
        n++;
    }
    return n ? sum / (double)n : 0;
}

double mt_premium(const uint64_t *a, const uint64_t *b, size_t sentences) {
    double sum_a = 0, sum_b = 0;
    for (size_t i = 0; i < sentences; i++) {
        sum_a += (double)a[i];
        sum_b += (double)b[i];
    }
    return sum_b > 0 ? sum_a / sum_b : 0;
}

mt_status mt_vocabulary_overlap(const mt_str *a, size_t a_len, const mt_str *b, size_t b_len, mt_overlap *out,
                                mt_error *err) {
    mt_map seen = {0}; /* 1: in a, 3: in both, 2: in b alone */
    mt_status status = MT_OK;
    int32_t where;
    *out = (mt_overlap){0};
    for (size_t i = 0; i < a_len; i++) {
        if (mt_map_get(&seen, a[i], &where)) continue;
        MT_TRY_GOTO(mt_map_set(&seen, a[i], 1, err), done);
        out->a++;
    }
    for (size_t i = 0; i < b_len; i++) {
        if (!mt_map_get(&seen, b[i], &where)) where = 0;
        if (where & 2) continue;
        MT_TRY_GOTO(mt_map_set(&seen, b[i], where | 2, err), done);
        out->b++;
        out->both += where == 1;
    }
    size_t either = out->a + out->b - out->both;
    out->jaccard = either ? (double)out->both / (double)either : 0;
done:
    mt_map_free(&seen);
    return status;
}

mt_status mt_unreachable(mt_tok *t, mt_ids *out, mt_error *err) {
    for (int32_t id = 0; id < mt_tok_size(t); id++) {
        mt_token_kind kind = mt_tok_kind(t, id);
        if (kind != MT_TOKEN_NORMAL && kind != MT_TOKEN_BYTE) continue;
        if (!mt_tok_reachable(t, id)) MT_TRY(mt_ids_add(out, id, err));
    }
    return MT_OK;
}
