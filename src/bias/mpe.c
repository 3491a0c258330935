/* Branch and pass for longest-match ("maximum prefix encoding") tokenizers (Phan et al. 2024).
 *
 * For a context c and the rest s of the text, with f the first token of the longest match of s,
 *
 *   PRE(c, s) = sum of P(t | c) over tokens t that start with s            (branch)
 *             + P(f | c) PRE(c f, s without f)     unless f is all of s    (pass)
 *
 * as any next token either covers all of s or is f. Contexts are prefixes of encode(text), so all of them are evaluated
 * in one pass, and the 256 numerators of Pr(byte | text) = PRE(text byte) / PRE(text) share them: for text + byte the
 * contexts are the same ones, up to the first at which the rest + byte is a token.
 *
 *   V = {A, B, AA}, text "BA": PRE(BA) = P(B) (P(A|B) + P(AA|B)),  PRE(BAA) = P(B) P(AA|B): two model calls
 *
 * Anchoring: behind a token that is a substring of no other token the text and the token condition agree, so the last
 * such token may stand for all the text before it. */
#include "bias.h"

#include <math.h>

static bool starts_with(mt_str t, const uint8_t *p, size_t n) {
    return t.n >= n && (!n || memcmp(t.p, p, n) == 0);
}

/* Longest token that p[0..n) starts with, or -1. */
static int32_t longest(const mt_mpe *v, const uint8_t *p, size_t n) {
    int32_t best = -1;
    for (int32_t i = 0; i < v->count; i++)
        if (v->token[i].n && v->token[i].n <= n && starts_with((mt_str){p, n}, v->token[i].p, v->token[i].n) &&
            (best < 0 || v->token[i].n > v->token[best].n))
            best = i;
    return best;
}

static bool is_token(const mt_mpe *v, const uint8_t *p, size_t n, uint8_t b) {
    for (int32_t i = 0; i < v->count; i++)
        if (v->token[i].n == n + 1 && v->token[i].p[n] == b && memcmp(v->token[i].p, p, n) == 0) return true;
    return false;
}

static bool is_anchor(const mt_mpe *v, int32_t id) {
    mt_str t = v->token[id];
    for (int32_t i = 0; i < v->count; i++)
        for (size_t at = 0; v->token[i].n > t.n && at + t.n <= v->token[i].n; at++)
            if (memcmp(v->token[i].p + at, t.p, t.n) == 0) return false;
    return true;
}

typedef struct chain { /* contexts 0..count along encode(text) */
    mt_ids id, context, parent;
    size_t count, made;
    size_t *end;
} chain;

static mt_status encode(const mt_mpe *v, const uint8_t *x, size_t n, chain *c, mt_error *err) {
    c->end = mt_array(n + 1, sizeof *c->end);
    if (!c->end) return mt_nomem(err, (n + 1) * sizeof *c->end, "the positions of tokens");
    c->end[0] = 0;
    for (size_t at = 0; at < n;) {
        int32_t id = longest(v, x + at, n - at);
        if (id < 0) return mt_fail_at(err, MT_ERANGE, at, "no token starts with byte %u of the text", x[at]);
        MT_TRY(mt_ids_add(&c->id, id, err));
        MT_TRY(mt_ids_add(&c->context, 0, err));
        at += v->token[id].n;
        c->end[++c->count] = at;
    }
    return MT_OK;
}

mt_status mt_mpe_next(const mt_mpe *v, const mt_lm *lm, const uint8_t *x, size_t n, bool anchor, double next[257],
                      double naive[257], double *text_logprob, int32_t *calls, mt_error *err) {
    chain c = {0};
    mt_status status;
    double mass[257] = {0}, whole = 0, weight = 0, first[257] = {0};
    bool open[256];
    double *row = mt_array((size_t)lm->vocab, sizeof *row);
    if (!row) return mt_nomem(err, (size_t)lm->vocab * sizeof *row, "a row of probabilities");
    if (v->count > lm->vocab) {
        status = mt_fail(err, MT_ERANGE, "%d tokens, but the model has %d", v->count, lm->vocab);
        goto done;
    }
    MT_TRY_GOTO(encode(v, x, n, &c, err), done);
    size_t from = 0; /* contexts before the last anchor fix nothing: their weight is 1 */
    for (size_t i = c.count; anchor && i > 0 && !from; i--)
        if (is_anchor(v, c.id.data[i - 1])) from = i;
    for (size_t i = 0; i < c.count; i++)
        MT_TRY_GOTO(mt_ids_add(&c.parent, i ? MT_IN_BATCH((int32_t)i - 1) : 0, err), done);
    if (c.count) {
        MT_TRY_GOTO(lm->extend(lm->self, (int32_t)c.count, c.parent.data, c.id.data, c.context.data, err), done);
        c.made = c.count;
    }
    for (int b = 0; b < 256; b++) open[b] = true;
    for (size_t i = from; i <= c.count; i++) {
        const uint8_t *s = x + c.end[i];
        size_t k = n - c.end[i];
        MT_TRY_GOTO(lm->next(lm->self, i ? c.context.data[i - 1] : 0, row, err), done);
        for (int32_t t = 0; t < v->count; t++) {
            if (!starts_with(v->token[t], s, k)) continue;
            if (k)
                whole += exp(weight + row[t]);
            else if (v->token[t].n)
                first[v->token[t].p[0]] += exp(row[t]);
            if (v->token[t].n > k && open[v->token[t].p[k]]) mass[v->token[t].p[k]] += exp(weight + row[t]);
        }
        for (int b = 0; b < 256; b++)
            if (open[b] && is_token(v, s, k, (uint8_t)b)) open[b] = false;
        if (i == c.count && lm->end >= 0) {
            mass[256] = exp(weight + row[lm->end]);
            first[256] = exp(row[lm->end]);
        }
        if (i < c.count) weight += row[c.id.data[i]];
    }
    *text_logprob = from == c.count ? 0 : log(whole);
    *calls = (int32_t)(c.count - from);
    double sum = 0, ones = 0;
    for (int b = 0; b < 257; b++) sum += mass[b], ones += first[b];
    for (int b = 0; b < 257; b++) {
        next[b] = mass[b] > 0 ? log(mass[b] / sum) : -INFINITY;
        naive[b] = first[b] > 0 ? log(first[b] / ones) : -INFINITY;
    }
    if (!(sum > 0)) status = mt_fail(err, MT_ERANGE, "the model gives everything that could follow the probability 0");
done:
    while (c.made) lm->drop(lm->self, c.context.data[--c.made]);
    mt_ids_free(&c.id);
    mt_ids_free(&c.context);
    mt_ids_free(&c.parent);
    mt_free(c.end);
    mt_free(row);
    return status;
}
