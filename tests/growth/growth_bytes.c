/* Byte models over vocabularies of the three kinds, and a language model that costs nothing: what is pushed grows. */
#include "bias/bias.h"
#include "bias/marginal.h"
#include "growth_defs.h"

static mt_status extend(void *self, int32_t n, const int32_t *parent, const int32_t *token, int32_t *context,
                        mt_error *err) {
    (void)self, (void)err;
    for (int32_t i = 0; i < n; i++) {
        int32_t from = parent[i] < 0 ? context[-2 - parent[i]] : parent[i];
        context[i] = 1 + (int32_t)(((uint32_t)from * 31u + (uint32_t)token[i] * 7u) % 1000u);
    }
    return MT_OK;
}
static mt_status next(void *self, int32_t context, double *out, mt_error *err) {
    (void)err;
    int32_t vocab = mt_tok_size(self);
    double sum = 0;
    for (int32_t v = 0; v < vocab; v++) sum += out[v] = 1 + (double)((uint32_t)(v * 17 + context * 5) % 23u);
    for (int32_t v = 0; v < vocab; v++) out[v] = log(out[v] / sum);
    return MT_OK;
}
static void drop(void *self, int32_t context) {
    (void)self, (void)context;
}
static int64_t state(void *self, int32_t context) { /* a unigram model: all contexts are one */
    (void)self, (void)context;
    return 0;
}

typedef struct bytes_case {
    mt_tok *tok;
    const growth_text *text;
    mt_target target;
    enum { STEPS, AT_ONCE, SCORED, HEAL, MARGINAL } how;
} bytes_case;

static mt_status push(const void *with, size_t n, mt_error *err) {
    const bytes_case *c = with;
    mt_lm lm = {.self = c->tok,
                .vocab = mt_tok_size(c->tok),
                .end = mt_tok_eos(c->tok),
                .extend = extend,
                .next = next,
                .drop = drop,
                .state = c->how == MARGINAL ? state : NULL};
    mt_buf text = {0};
    mt_bytes *b = NULL;
    mt_next_bytes out;
    growth_fill(c->text, n, &text);
    mt_status status = MT_OK;
    if (c->how < HEAL) status = mt_bytes_new(c->tok, &lm, c->target, &b, err);
    growth_start();
    if (status == MT_OK && c->how == STEPS)
        for (size_t i = 0; i < text.len && status == MT_OK; i++) {
            if (i % 16 == 0) status = mt_bytes_next(b, &out, err);
            if (status == MT_OK) status = mt_bytes_push(b, text.data + i, 1, err);
        }
    else if (status == MT_OK && c->how == AT_ONCE) {
        status = mt_bytes_push(b, text.data, text.len, err);
        if (status == MT_OK) status = mt_bytes_next(b, &out, err);
    } else if (status == MT_OK && c->how == SCORED) {
        double *logp = malloc(text.len * sizeof *logp);
        status = mt_bytes_push_scored(b, text.data, text.len, logp, err);
        free(logp);
    } else if (status == MT_OK && c->how == HEAL) {
        mt_healed healed;
        status = mt_heal_next(c->tok, &lm, text.data, text.len, &(mt_heal_options){.tokens = 2}, &healed, err);
    } else if (status == MT_OK) {
        mt_spellings s = {0};
        mt_marginal m = {0};
        status = mt_spellings_open(c->tok, lm.vocab, NULL, text.data, text.len, &s, err);
        if (status == MT_OK) status = mt_marginal_exact(&s, &lm, &(mt_marginal_options){.limit = 1 << 20}, &m, err);
        mt_marginal_free(&m);
        mt_spellings_free(&s);
    }
    growth_stop();
    mt_bytes_free(b);
    mt_buf_free(&text);
    return status;
}

void growth_bytes(void) {
#define META  "{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":\"always\"}"
#define SPLIT "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":false,\"use_regex\":true}"
#define WHOLE "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":false,\"use_regex\":false}"
    static const growth_def defs[] = {
        {"merges, GPT-2's splitter", "merges", NULL, SPLIT, "{\"type\":\"ByteLevel\"}", NULL},
        {"merges, one word", "merges", NULL, WHOLE, "{\"type\":\"ByteLevel\"}", NULL},
        {"pieces", "pieces", NULL, META, META, NULL}};
    static const char *const hows[] = {"byte by byte", "at once", "scored", "healed", "all tokenizations"};
    static const size_t some[] = {0, 1, 2, 3, 4, 7, 15, 20};
    char what[160];
    for (size_t i = 0; i < sizeof defs / sizeof *defs; i++) {
        mt_tok *t = NULL;
        mt_buf json = {0};
        mt_error err;
        growth_def_json(&defs[i], "", &json);
        if (mt_tok_load_json(json.data, json.len, &t, &err) != MT_OK) abort();
        for (size_t k = 0; k < sizeof some / sizeof *some; k++)
            for (int how = STEPS; how <= MARGINAL; how++) {
                bytes_case c = {t, &growth_texts[some[k]], MT_TARGET_VALID, how};
                snprintf(what, sizeof what, "%s, %s: %s", hows[how], defs[i].name, c.text->name);
                growth_case("byte model", what, 64, push, &c);
            }
        mt_tok_free(t);
        mt_buf_free(&json);
    }
}
