/* The exact token model of a source: a trie of token sequences, each token with its probability behind those before it.
 * Rows of another token model may take the places of its own.
 *
 *   source over {A, B}, V = {A, B, AA}, longest match first: after the tokens (B, A) no A can follow, as AA would have
 *   been taken. The source says .6. That zero is what tokenization bias is; the corrected answer is .6 again. */
#include <math.h>

#include "../token/choose.h"
#include "markov_source.h"

typedef struct node {
    int32_t token, first, sibling; /* children in a list; -1: none */
    double mass;                   /* P(token | those before); while texts are tabulated, of the whole sequence */
    double ended;                  /* P(the text ends behind it | it), likewise */
} node;

struct mt_markov_model {
    mt_tok *tok;
    mt_markov_encoder encoder;
    int32_t vocab; /* tokens, without the end */
    node *node;
    size_t len, cap;
    mt_map64 child; /* node, token -> node */
    mt_str *token;  /* for longest match: their bytes by id */
    mt_bytes *bytes;
};

void mt_markov_model_free(mt_markov_model *m) {
    if (!m) return;
    if (m->bytes) mt_bytes_free(m->bytes);
    mt_map64_free(&m->child);
    mt_free(m->node);
    mt_free(m->token);
    mt_free(m);
}

/* The node behind a token; made with no mass where there is none. */
static mt_status child_of(mt_markov_model *m, int32_t at, int32_t token, int32_t *out, mt_error *err) {
    uint64_t key = (uint64_t)(uint32_t)at << 32 | (uint32_t)token;
    if (mt_map64_get(&m->child, key, out)) return MT_OK;
    if (m->len >= INT32_MAX) return mt_fail(err, MT_ELIMIT, "a token model of more than 2^31 contexts");
    MT_TRY(mt_grow((void **)&m->node, &m->cap, m->len + 1, sizeof *m->node, err));
    MT_TRY(mt_map64_set(&m->child, key, (int32_t)m->len, err));
    *out = (int32_t)m->len++;
    m->node[*out] = (node){token, -1, m->node[at].first, 0, 0};
    m->node[at].first = *out;
    return MT_OK;
}

static mt_status extend(void *self, int32_t n, const int32_t *parent, const int32_t *token, int32_t *context,
                        mt_error *err) {
    for (int32_t i = 0; i < n; i++) {
        int32_t from = parent[i] <= MT_IN_BATCH(0) ? context[MT_IN_BATCH(0) - parent[i]] : parent[i];
        MT_TRY(child_of(self, from, token[i], &context[i], err));
    }
    return MT_OK;
}
static mt_status next(void *self, int32_t context, double *out, mt_error *err) {
    const mt_markov_model *m = self;
    const node *at = &m->node[context];
    (void)err;
    for (int32_t t = 0; t <= m->vocab; t++) out[t] = -INFINITY; /* a sequence that no text has: it goes on nowhere */
    out[m->vocab] = log(at->ended);
    for (int32_t k = at->first; k >= 0; k = m->node[k].sibling) out[m->node[k].token] = log(m->node[k].mass);
    return MT_OK;
}
static void drop(void *self, int32_t context) { /* contexts are the table's */
    (void)self, (void)context;
}
static mt_lm lm_of(mt_markov_model *m) {
    return (mt_lm){.self = m, .vocab = m->vocab + 1, .end = m->vocab, .extend = extend, .next = next, .drop = drop};
}

/* ---- tabulating ---- */

static mt_status add_text(mt_markov_model *m, const uint8_t *text, size_t n, double p, mt_encoding *e, mt_error *err) {
    const mt_choice longest = {.by = &mt_choices, .kind = MT_CHOICE_LONGEST_PREFIX};
    const mt_encode_options options = {.special_as_text = true,
                                       .choice = m->encoder == MT_MARKOV_LONGEST ? &longest : NULL};
    e->ids.len = 0;
    MT_TRY(mt_tok_encode(m->tok, text, n, &options, false, e, err));
    size_t spelled = 0;
    int32_t at = 0;
    m->node[0].mass += p;
    for (size_t i = 0; i < e->ids.len; i++) {
        mt_str s = mt_tok_bytes(m->tok, e->ids.data[i]);
        if (s.n > n - spelled || memcmp(s.p, text + spelled, s.n) != 0)
            return mt_fail(err, MT_EUNKNOWN, "this tokenizer does not spell the letters %.*s by their own bytes",
                           (int)n, (const char *)text);
        spelled += s.n;
        MT_TRY(child_of(m, at, e->ids.data[i], &at, err));
        m->node[at].mass += p;
    }
    m->node[at].ended += p;
    return spelled == n
               ? MT_OK
               : mt_fail(err, MT_EUNKNOWN, "this tokenizer leaves letters of %.*s out", (int)n, (const char *)text);
}

static mt_status tabulate(mt_markov_model *m, const mt_markov *source, int32_t length, mt_error *err) {
    int64_t texts = 1;
    for (int32_t i = 0; i < length; i++)
        if ((texts *= source->letters) > MT_MARKOV_TEXTS)
            return mt_fail(err, MT_ELIMIT, "texts of %d letters: more than %d of them", length, MT_MARKOV_TEXTS);
    mt_encoding e = {0};
    mt_status status = MT_OK;
    uint8_t text[64];
    for (int64_t z = 0; z < texts && status == MT_OK; z++) {
        int64_t rest = texts;
        int32_t context = 0;
        double p = 1;
        for (int32_t i = 0; i < length; i++) {
            rest /= source->letters;
            int32_t a = (int32_t)(z / rest % source->letters);
            text[i] = source->letter[a];
            if (i >= source->order) p *= source->next[(size_t)context * (size_t)source->letters + (size_t)a];
            context = (int32_t)(((int64_t)context * source->letters + a) % source->contexts);
            if (i + 1 == source->order) p = source->stationary[context];
        }
        if (p > 0) status = add_text(m, text, (size_t)length, p, &e, err);
    }
    mt_encoding_free(&e);
    for (size_t at = status == MT_OK ? m->len : 0; at-- > 0;) { /* children come behind their parents */
        double whole = m->node[at].mass;
        m->node[at].ended /= whole;
        for (int32_t k = m->node[at].first; k >= 0; k = m->node[k].sibling) m->node[k].mass /= whole;
    }
    return status;
}

mt_status mt_markov_model_new(const mt_markov *source, mt_tok *t, int32_t length, mt_markov_encoder encoder,
                              mt_markov_model **out, mt_error *err) {
    *out = NULL;
    if (length < source->order || length < 1 || length > 62)
        return mt_fail(err, MT_ERANGE, "texts of %d letters: at least the order (%d) and 1, at most 62", length,
                       source->order);
    mt_markov_model *m = mt_calloc(1, sizeof *m);
    if (!m) return mt_nomem(err, sizeof *m, "a token model");
    mt_status status = MT_OK;
    m->tok = t;
    m->encoder = encoder;
    m->vocab = mt_tok_size(t);
    MT_TRY_GOTO(mt_grow((void **)&m->node, &m->cap, 1, sizeof *m->node, err), fail);
    m->node[m->len++] = (node){-1, -1, -1, 0, 0};
    MT_TRY_GOTO(tabulate(m, source, length, err), fail);
    if (encoder == MT_MARKOV_LONGEST) {
        m->token = mt_calloc((size_t)m->vocab, sizeof *m->token);
        if (!m->token) {
            status = mt_nomem(err, (size_t)m->vocab * sizeof *m->token, "the tokens' bytes");
            goto fail;
        }
        for (int32_t id = 0; id < m->vocab; id++)
            if (mt_tok_kind(t, id) == MT_TOKEN_NORMAL) m->token[id] = mt_tok_bytes(t, id);
    } else {
        mt_lm lm = lm_of(m);
        MT_TRY_GOTO(mt_bytes_new(t, &lm, MT_TARGET_VALID, &m->bytes, err), fail);
    }
    *out = m;
    return MT_OK;
fail:
    mt_markov_model_free(m);
    return status;
}

mt_status mt_markov_model_next(mt_markov_model *m, const int32_t *ids, size_t n, double *out, mt_error *err) {
    int32_t at = 0;
    memset(out, 0, ((size_t)m->vocab + 1) * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= m->vocab)
            return mt_fail(err, MT_ERANGE, "token id %d: ids are 0..%d", ids[i], m->vocab - 1);
        if (!mt_map64_get(&m->child, (uint64_t)(uint32_t)at << 32 | (uint32_t)ids[i], &at)) return MT_OK;
    }
    MT_TRY(next(m, at, out, err));
    for (int32_t t = 0; t <= m->vocab; t++) out[t] = exp(out[t]);
    return MT_OK;
}

mt_status mt_markov_model_set(mt_markov_model *m, const int32_t *ids, size_t n, const double *p, mt_error *err) {
    double sum = 0;
    int32_t at = 0, child;
    for (int32_t t = 0; t <= m->vocab; t++) {
        if (!(p[t] >= 0)) return mt_fail(err, MT_ERANGE, "probability %d is %g", t, p[t]);
        sum += p[t];
    }
    if (!(fabs(sum - 1) <= 1e-4)) return mt_fail(err, MT_ERANGE, "the probabilities sum to %g, not 1", sum);
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= m->vocab)
            return mt_fail(err, MT_ERANGE, "token id %d: ids are 0..%d", ids[i], m->vocab - 1);
        MT_TRY(child_of(m, at, ids[i], &at, err));
    }
    for (int32_t t = 0; t < m->vocab; t++)
        if (p[t] > 0) MT_TRY(child_of(m, at, t, &child, err));
    for (int32_t k = m->node[at].first; k >= 0; k = m->node[k].sibling) m->node[k].mass = p[m->node[k].token] / sum;
    m->node[at].ended = p[m->vocab] / sum;
    return MT_OK;
}

mt_status mt_markov_model_predict(mt_markov_model *m, const uint8_t *text, size_t n, mt_markov_prediction *out,
                                  mt_error *err) {
    mt_lm lm = lm_of(m);
    *out = (mt_markov_prediction){0};
    if (m->encoder == MT_MARKOV_LONGEST) {
        const mt_mpe v = {m->token, m->vocab};
        return mt_mpe_next(&v, &lm, text, n, false, out->corrected, out->naive, &out->text_logprob, &out->calls, err);
    }
    mt_next_bytes answer;
    mt_bytes_stats before, after;
    MT_TRY(mt_bytes_reset(m->bytes, err));
    MT_TRY(mt_bytes_push(m->bytes, text, n, err));
    mt_bytes_stats_get(m->bytes, &before);
    MT_TRY(mt_bytes_score(m->bytes, &out->text_logprob, &(double){0}, err));
    mt_bytes_stats_get(m->bytes, &after);
    out->calls = (int32_t)(after.evaluations - before.evaluations) + 1; /* the root is always known */
    MT_TRY(mt_bytes_next(m->bytes, &answer, err));
    memcpy(out->corrected, answer.exact, sizeof out->corrected);
    memcpy(out->naive, answer.naive, sizeof out->naive);
    return MT_OK;
}
