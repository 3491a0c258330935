/* Measures of tokenizers. Entropies go through probabilities p = count / total; a vocabulary of which nothing occurred
 * has entropy 0, and ratios over nothing are 0. */
#include "measure.h"
#include "tok.h"
#include "words.h"
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

/* ---- unreachable tokens ---- */

static size_t letters(const mt_tok *t, mt_str s) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += t->byte_level || (s.p[i] & 0xC0) != 0x80;
    return n;
}

/* WordPiece: a start piece that begins no other is chosen whatever follows; the fewest characters of one, or SIZE_MAX.
 */
static mt_status shortest_lead(const mt_tok *t, size_t *lead, mt_error *err) {
    mt_map begins = {0}; /* every proper beginning of a start piece */
    mt_status status = MT_OK;
    mt_str s[2];
    int32_t one;
    *lead = SIZE_MAX;
    for (int32_t id = 0; id < t->vocab.size; id++) {
        mt_wordpiece_spellings(t, id, s);
        for (size_t n = 1; n < s[0].n; n++) MT_TRY_GOTO(mt_map_set(&begins, (mt_str){s[0].p, n}, 1, err), done);
    }
    for (int32_t id = 0; id < t->vocab.size; id++) {
        mt_wordpiece_spellings(t, id, s);
        if (s[0].n && letters(t, s[0]) < *lead && !mt_map_get(&begins, s[0], &one)) *lead = letters(t, s[0]);
    }
done:
    mt_map_free(&begins);
    return status;
}

/* Does a word of one or two pieces give this WordPiece token? */
static mt_status in_some_word(const mt_tok *t, int32_t id, size_t lead, mt_buf *word, bool *found, mt_error *err) {
    mt_str s[2], q[2];
    size_t length, room = t->wordpiece.max_chars;
    mt_wordpiece_spellings(t, id, s);
    bool inside = s[1].n > 0;
    mt_str own = s[inside];
    const mt_walk *walk = inside ? &t->wordpiece.inside : &t->wordpiece.start;
    *found = own.n && letters(t, own) <= room && mt_walk_longest(walk, own.p, own.n, &length) == id && length == own.n;
    if (!*found || !inside || (lead != SIZE_MAX && lead <= room - letters(t, own))) return MT_OK;
    *found = false;
    for (int32_t first = 0; first < t->vocab.size && !*found; first++) {
        mt_wordpiece_spellings(t, first, q);
        if (!q[0].n || letters(t, q[0]) > room - letters(t, own)) continue;
        word->len = 0;
        MT_TRY(mt_buf_add(word, q[0].p, q[0].n, err));
        MT_TRY(mt_buf_add(word, own.p, own.n, err));
        mt_walk_longest(&t->wordpiece.start, word->data, word->len, &length);
        *found = length == q[0].n;
    }
    return MT_OK;
}

mt_status mt_unreachable(mt_tok *t, mt_ids *out, mt_error *err) {
    if (t->merge_only)
        return mt_fail(err, MT_EUNKNOWN,
                       "the symbols of this %s vocabulary depend on their place in the word: which of its tokens are "
                       "unreachable is not defined here",
                       t->model_name);
    if (t->segmenter == &mt_segmenter_characters) return MT_OK;
    bool pieces = t->segmenter == &mt_segmenter_wordpiece;
    size_t lead = SIZE_MAX;
    mt_ids ids = {0};
    mt_buf word = {0};
    mt_status status = MT_OK;
    if (pieces) MT_TRY_GOTO(shortest_lead(t, &lead, err), done);
    for (int32_t id = 0; id < mt_tok_size(t); id++) {
        if (mt_tok_kind(t, id) != MT_TOKEN_NORMAL) continue;
        mt_str s = mt_tok_bytes(t, id);
        bool found;
        if (pieces) {
            MT_TRY_GOTO(in_some_word(t, id, lead, &word, &found, err), done);
        } else {
            ids.len = 0;
            mt_error why = {0};
            status = mt_tok_word(t, s.p, s.n, &ids, &why);
            if (status != MT_OK && status != MT_EMISSING && status != MT_EFORMAT) {
                if (err) *err = why;
                goto done;
            }
            found = status == MT_OK && ids.len == 1 && ids.data[0] == id;
            status = MT_OK;
        }
        if (!found) MT_TRY_GOTO(mt_ids_add(out, id, err), done);
    }
done:
    mt_ids_free(&ids);
    mt_buf_free(&word);
    return status;
}
