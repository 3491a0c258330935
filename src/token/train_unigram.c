/* Unigram language model training (Kudo 2018), as SentencePiece and the tokenizers library do it:
 *
 *   1. seeds: all characters, and substrings that occur at least twice (train_unigram_seeds.c)
 *   2. repeat: two EM steps, then prune to 75 %, until no more than 1.1 x vocab_size pieces are left
 *      E  expected counts by forward-backward over each word's lattice, weighted by the word's count
 *      M  pieces expected less than 0.5 times are dropped; score = digamma(count) - digamma(sum)
 *      prune  loss of a piece = share of the words that use it x (its log-probability - that of its second-best
 * segmentation)
 *   3. finish: characters first (a missing one gets a score just above the minimum), then pieces until vocab_size;
 * sorted by score
 */
#include "train_unigram.h"
#include "../base/sort.h"

#include <math.h>

static void set_unknown_score(mt_u *u) {
    double lowest = INFINITY;
    for (size_t i = 1; i < u->len; i++)
        if (u->pieces[i].score < lowest) lowest = u->pieces[i].score;
    u->unknown_score = mt_u_rounded(u, (isfinite(lowest) ? lowest : 0) - 10);
}

/* ---- E step -------------------------------------------------------------------------------------------------------
 */

static double log_add(const mt_u *u, double a, double b) {
    if (a == -INFINITY) return b;
    double hi = a > b ? a : b, lo = a > b ? b : a;
    if (!u->single) return hi + log1p(exp(lo - hi));
    return hi > mt_u_rounded(u, lo + 50) ? hi : mt_u_rounded(u, hi + log(exp(mt_u_rounded(u, lo - hi)) + 1.0));
}

/* Adds count x posterior of every edge of the word's lattice to `expected`. */
static mt_status expect(mt_u *u, mt_str s, double count, double *expected) {
    uint32_t n = (uint32_t)s.n;
    MT_TRY(mt_u_lattice(u, s));
    for (uint32_t i = 0; i <= n; i++) u->alpha[i] = u->beta[i] = -INFINITY;
    u->alpha[0] = u->beta[n] = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (u->alpha[i] == -INFINITY) continue;
        for (uint32_t k = u->first[i]; k < u->first[i + 1]; k++) {
            const mt_u_edge *e = &u->edges[k];
            u->alpha[e->end] = log_add(u, u->alpha[e->end], mt_u_rounded(u, u->alpha[i] + e->score));
        }
    }
    for (uint32_t i = n; i-- > 0;) {
        for (uint32_t k = u->first[i]; k < u->first[i + 1]; k++)
            u->beta[i] = log_add(u, u->beta[i], mt_u_rounded(u, u->edges[k].score + u->beta[u->edges[k].end]));
        for (uint32_t k = u->first[i]; k < u->first[i + 1] && !u->single; k++) {
            const mt_u_edge *e = &u->edges[k];
            expected[e->piece] += count * exp(u->alpha[i] + e->score + u->beta[e->end] - u->alpha[n]);
        }
    }
    for (uint32_t i = 0; i < n && u->single; i++)
        for (uint32_t k = u->first[i]; k < u->first[i + 1]; k++) {
            const mt_u_edge *e = &u->edges[k];
            double log_p = mt_u_rounded(u, u->alpha[i] + e->score);
            log_p = mt_u_rounded(u, mt_u_rounded(u, log_p + u->beta[e->end]) - u->alpha[n]);
            expected[e->piece] = mt_u_rounded(u, expected[e->piece] + mt_u_rounded(u, count) * exp(log_p));
        }
    return MT_OK;
}

/* SentencePiece shares the sentences out to threads, each of which sums on its own: the rounding shows. */
static size_t lanes_of(const mt_u *u) {
    return u->single && u->o->threads > 0 ? (size_t)u->o->threads : 1;
}

/* Expected counts; `part` has room for those of one lane. */
static mt_status expect_all(mt_u *u, double *expected, double *part) {
    size_t lanes = lanes_of(u);
    for (size_t lane = 0; lane < lanes; lane++) {
        double *sum = lane ? part : expected;
        memset(sum, 0, u->len * sizeof *sum);
        for (size_t w = lane; w < u->words->len; w += lanes)
            MT_TRY(expect(u, u->words->list[w].text, (double)u->words->list[w].count, sum));
        for (size_t i = 0; lane && i < u->len; i++) expected[i] = mt_u_rounded(u, expected[i] + part[i]);
    }
    return MT_OK;
}

/* digamma, by recurrence to x >= 7 and the asymptotic series. */
static double digamma(double x) {
    double result = 0;
    for (; x < 7; x++) result -= 1 / x;
    x -= 0.5;
    double xx = 1 / x, xx2 = xx * xx, xx4 = xx2 * xx2;
    return result + log(x) + (1.0 / 24) * xx2 - (7.0 / 960) * xx4 + (31.0 / 8064) * xx4 * xx2 -
           (127.0 / 30720) * xx4 * xx4;
}

/* M step: drops what is expected less than half a time. */
static void maximize(mt_u *u, const double *expected) {
    size_t kept = 1;
    double sum = 0;
    for (size_t i = 1; i < u->len; i++) {
        if (expected[i] < 0.5) continue;
        u->pieces[kept] = u->pieces[i];
        u->pieces[kept++].score = expected[i];
        sum = mt_u_rounded(u, sum + expected[i]);
    }
    u->len = kept;
    double log_sum = mt_u_rounded(u, digamma(sum));
    for (size_t i = 1; i < kept; i++) u->pieces[i].score = mt_u_rounded(u, digamma(u->pieces[i].score) - log_sum);
}

/* ---- pruning ------------------------------------------------------------------------------------------------------
 */

typedef struct loss {
    double loss;
    uint32_t piece;
} loss;
static int by_loss(const void *a, const void *b, void *unused) { /* descending, then by position: deterministic */
    const loss *x = a, *y = b;
    (void)unused;
    if (x->loss != y->loss) return x->loss < y->loss ? 1 : -1;
    return x->piece < y->piece ? -1 : x->piece > y->piece;
}

/* How often each piece is part of a word's best segmentation, and words (with their counts) that use it, in which a
 * word that uses it twice counts twice, as in the reference. */
static mt_status count_used(mt_u *u, double *freq, double *part, double *words) {
    size_t lanes = lanes_of(u);
    *words = 0;
    for (size_t lane = 0; lane < lanes; lane++) {
        memset(part, 0, u->len * sizeof *part);
        for (size_t w = lane; w < u->words->len; w += lanes) {
            double count = (double)u->words->list[w].count;
            *words += count;
            MT_TRY(mt_u_best(u, u->words->list[w].text));
            for (size_t i = 0; i < u->path.len; i++) {
                double *f = &part[u->path.data[i]];
                *f = mt_u_rounded(u, *f + count);
            }
        }
        for (size_t i = 0; i < u->len; i++) freq[i] = mt_u_rounded(u, freq[i] + part[i]);
    }
    return MT_OK;
}

static mt_status prune(mt_u *u, size_t desired) {
    size_t n = u->len;
    double *freq = mt_calloc(n, sizeof *freq), *part = mt_array(n, sizeof *part);
    loss *candidates = mt_array(n, sizeof *candidates);
    mt_u_piece *kept = mt_array(n, sizeof *kept);
    mt_status status = MT_OK;
    if (!freq || !part || !candidates || !kept) {
        status = mt_nomem(u->err, n * 48, "pruning");
        goto done;
    }
    double words, sum = 0;
    MT_TRY_GOTO(count_used(u, freq, part, &words), done);
    for (size_t i = 0; i < n; i++) sum += freq[i];
    sum = mt_u_rounded(u, sum);
    size_t kept_len = 0, candidate_len = 0;
    bool tokenizers = u->o->style == MT_UNIGRAM_TOKENIZERS;
    kept[kept_len++] = u->pieces[0];
    for (uint32_t i = 1; i < n; i++) {
        bool alone, other; /* its best segmentation is itself; there is another one, in `path` */
        MT_TRY_GOTO(mt_u_second(u, (int32_t)i, &alone, &other), done);
        if ((!tokenizers || !alone) && freq[i] == 0) continue;
        if (!alone && !tokenizers) continue; /* it would be segmented otherwise anyway */
        if (!alone || !other) {              /* nothing to compare with: keep */
            kept[kept_len++] = u->pieces[i];
            continue;
        }
        if (freq[i] == 0) continue;
        /* SentencePiece counts the parts that replace the piece; tokenizers counts all pieces there are, which makes
         * frequent pieces dearer. */
        double added = (double)((tokenizers ? n : u->path.len) - 1);
        double log_alternative = 0,
               log_sum = mt_u_rounded(u, log(mt_u_rounded(u, sum + mt_u_rounded(u, freq[i] * added))));
        double log_piece = mt_u_rounded(u, log(freq[i]) - mt_u_rounded(u, log(sum)));
        for (size_t k = tokenizers ? u->path.len : 0; tokenizers ? k-- > 0 : k < u->path.len; k += !tokenizers) {
            double log_part = log(mt_u_rounded(u, freq[u->path.data[k]] + freq[i])) - log_sum;
            log_alternative = mt_u_rounded(u, log_alternative + log_part);
        }
        double used = mt_u_rounded(u, freq[i] / (tokenizers ? words : sum));
        candidates[candidate_len++] = (loss){mt_u_rounded(u, used * mt_u_rounded(u, log_piece - log_alternative)), i};
    }
    double factor = u->o->shrinking_factor > 0 ? u->o->shrinking_factor : 0.75;
    /* tokenizers counts the unknown piece */
    size_t uncounted = tokenizers ? 0 : 1;
    size_t target = (size_t)mt_u_rounded(u, (double)(n - uncounted) * mt_u_rounded(u, factor));
    if (target < desired) target = desired;
    target += uncounted;
    mt_sort(candidates, candidate_len, sizeof *candidates, by_loss, NULL);
    for (size_t i = 0; i < candidate_len && kept_len < target; i++) kept[kept_len++] = u->pieces[candidates[i].piece];
    memcpy(u->pieces, kept, kept_len * sizeof *kept);
    u->len = kept_len;
done:
    mt_free(freq);
    mt_free(part);
    mt_free(candidates);
    mt_free(kept);
    return status;
}

/* ---- the end -------------------------------------------------------------------------------------------------------
 */

static int by_score(const void *a, const void *b, void *unused) { /* descending, then by text */
    const mt_u_piece *x = a, *y = b;
    (void)unused;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    int c = memcmp(x->text.p, y->text.p, x->text.n < y->text.n ? x->text.n : y->text.n);
    return c ? c : x->text.n < y->text.n ? -1 : x->text.n > y->text.n;
}

static mt_status require(mt_u *u, mt_map *have, const mt_map *index, mt_u_piece *final, size_t *len, size_t room,
                         mt_str c, double lowest, double *penalty) {
    int32_t at;
    if (mt_map_get(have, c, &at)) return MT_OK;
    if (*len >= room)
        return mt_fail(u->err, MT_ERANGE, "vocab_size %d is too small: the text has more than %zu different characters",
                       u->o->vocab_size, room);
    if (mt_map_get(index, c, &at)) {
        final[(*len)++] = u->pieces[at];
    } else {
        final[(*len)++] = (mt_u_piece){c, mt_u_rounded(u, lowest + *penalty)};
        *penalty = mt_u_rounded(u, *penalty + mt_u_rounded(u, 0.0001));
    }
    return mt_map_set(have, c, 1, u->err);
}

static mt_status finish(mt_u *u, mt_vocabulary *out) {
    size_t room = (size_t)u->o->vocab_size - u->o->special_len, len = 0;
    mt_map have = {0}, index = {0};
    mt_u_piece *final = mt_array(room, sizeof *final);
    mt_status status = MT_OK;
    if (!final) return mt_nomem(u->err, room * sizeof *final, "the vocabulary");
    double lowest = INFINITY, penalty = 0;
    for (size_t i = 1; i < u->len; i++) {
        if (u->pieces[i].score < lowest) lowest = u->pieces[i].score;
        MT_TRY_GOTO(mt_map_set(&index, u->pieces[i].text, (int32_t)i, u->err), done);
    }
    if (lowest == INFINITY) lowest = 0; /* every piece was dropped: a single long word of one letter */
    for (size_t i = 0; i < u->o->alphabet_len; i++)
        MT_TRY_GOTO(require(u, &have, &index, final, &len, room, u->o->alphabet[i], lowest, &penalty), done);
    for (size_t w = 0; w < u->words->len; w++) {
        mt_str s = u->words->list[w].text;
        for (size_t i = 0; i < s.n;) {
            uint32_t cp;
            int n = mt_utf8_decode(s.p + i, s.n - i, &cp);
            if (u->o->ignore && cp == u->o->ignore) {
                i += (size_t)n;
                continue;
            }
            MT_TRY_GOTO(require(u, &have, &index, final, &len, room, (mt_str){s.p + i, (size_t)n}, lowest, &penalty),
                        done);
            i += (size_t)n;
        }
    }
    if (u->o->style == MT_UNIGRAM_SENTENCEPIECE && u->len > 1)
        mt_sort(u->pieces + 1, u->len - 1, sizeof *u->pieces, by_score, NULL);
    for (size_t i = 1; i < u->len && len < room; i++) {
        int32_t at;
        if (!mt_map_get(&have, u->pieces[i].text, &at)) final[len++] = u->pieces[i];
    }
    mt_sort(final, len, sizeof *final, by_score, NULL);
    out->score = mt_calloc(u->o->special_len + len, sizeof *out->score);
    if (!out->score) {
        status = mt_nomem(u->err, len * sizeof *out->score, "the scores");
        goto done;
    }
    int32_t id;
    for (size_t i = 0; i < u->o->special_len; i++)
        MT_TRY_GOTO(mt_vocabulary_add(out, u->o->special[i], &id, u->err), done);
    for (size_t i = 0; i < len; i++) {
        MT_TRY_GOTO(mt_vocabulary_add(out, final[i].text, &id, u->err), done);
        out->score[id] = final[i].score;
    }
done:
    mt_map_free(&have);
    mt_map_free(&index);
    mt_free(final);
    return status;
}

static mt_status iterate(mt_u *u) {
    size_t desired = u->single ? (size_t)((double)u->o->vocab_size * 1.1) : (size_t)u->o->vocab_size * 11 / 10;
    size_t start = u->len;
    int32_t steps = u->o->sub_iterations > 0 ? u->o->sub_iterations : 2;
    double *expected = mt_array(u->len, sizeof *expected), *part = mt_array(u->len, sizeof *part);
    mt_status status = MT_OK;
    if (!expected || !part) {
        status = mt_nomem(u->err, u->len * 16, "training");
        goto done;
    }
    for (;;) {
        for (int32_t step = 0; step < steps; step++) {
            set_unknown_score(u);
            MT_TRY_GOTO(mt_u_trie(u), done);
            MT_TRY_GOTO(expect_all(u, expected, part), done);
            maximize(u, expected);
            if (u->o->progress && u->o->progress(u->o->user, start - u->len, start)) {
                status = mt_fail(u->err, MT_EABORTED, "training was stopped at %zu pieces", u->len);
                goto done;
            }
        }
        if (u->len - (u->o->style == MT_UNIGRAM_TOKENIZERS ? 0 : 1) <= desired) break;
        set_unknown_score(u);
        MT_TRY_GOTO(mt_u_trie(u), done);
        size_t before = u->len;
        MT_TRY_GOTO(prune(u, desired), done);
        if (u->len == before) break; /* nothing more can go */
    }
done:
    mt_free(expected);
    mt_free(part);
    return status;
}

mt_status mt_train_unigram(const mt_words *words, const mt_unigram_options *o, mt_vocabulary *out, mt_error *err) {
    *out = (mt_vocabulary){0};
    if (o->vocab_size < 1 || o->special_len >= (size_t)o->vocab_size)
        return mt_fail(err, MT_ERANGE, "vocab_size %d with %zu special tokens, expected more", o->vocab_size,
                       o->special_len);
    mt_u u = {.o = o, .words = words, .err = err, .single = o->style == MT_UNIGRAM_SENTENCEPIECE};
    mt_status status = MT_OK;
    MT_TRY_GOTO(mt_u_seeds(&u), done);
    MT_TRY_GOTO(mt_u_open(&u), done);
    MT_TRY_GOTO(iterate(&u), done);
    MT_TRY_GOTO(finish(&u, out), done);
done:
    mt_u_close(&u);
    if (status != MT_OK) mt_vocabulary_free(out);
    return status;
}
