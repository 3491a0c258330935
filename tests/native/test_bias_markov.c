/* Markov sources and their exact token models: one known source, refusals, failing allocation. The figures are checked
 * from JavaScript (tests/unit/theory.test.mjs), the sums themselves in test_bias_mpe.c. */
#include "test.h"

#include "bias/markov.h"

static mt_error err;
static const char pieces[] =
    "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"?\",\"continuing_subword_prefix\":\"\","
    "\"max_input_chars_per_word\":100,\"vocab\":{\"A\":0,\"B\":1,\"AA\":2,\"?\":3}}}";
/* Every byte, then AA, AAB: a rank file whose splitter leaves texts whole. */
static mt_tok *load_ranks(void) {
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    mt_buf file = {0};
    mt_tok *t = NULL;
    for (int c = 0; c < 256; c++)
        CHECK_OK(mt_buf_printf(&file, &err, "%c%c== %d\n", digit[c >> 2], digit[(c & 3) << 4], c));
    CHECK_OK(mt_buf_printf(&file, &err, "QUE= 256\nQUFC 257\n"));
    CHECK_OK(mt_tok_load_ranks(file.data, file.len, mt_str_of(""), mt_str_of("[\\s\\S]+"), &t, &err));
    mt_buf_free(&file);
    return t;
}
static const double chain[] = {.6, .4, .3, .7};

static mt_tok *load_pieces(void) {
    mt_tok *t = NULL;
    CHECK_OK(mt_tok_load_json((const uint8_t *)pieces, sizeof pieces - 1, &t, &err));
    return t;
}

/* All of it once; *a: P(A) after "BA" as corrected. */
static mt_status once(mt_tok *t, mt_markov_encoder encoder, double *a) {
    mt_markov *source = NULL;
    mt_markov_model *model = NULL;
    mt_markov_prediction p;
    static double row[300];
    mt_status s = mt_markov_new((const uint8_t *)"AB", 2, 1, chain, &source, &err);
    if (s == MT_OK) s = mt_markov_model_new(source, t, 8, encoder, &model, &err);
    if (s == MT_OK) s = mt_markov_model_predict(model, (const uint8_t *)"BA", 2, &p, &err);
    if (s == MT_OK)
        s = mt_markov_model_next(model, encoder == MT_MARKOV_OWN ? (const int32_t[]){66, 65} : (const int32_t[]){1, 0},
                                 2, row, &err);
    if (s == MT_OK) {
        *a = exp(p.corrected['A']);
        CHECK(row[encoder == MT_MARKOV_OWN ? 65 : 0] == 0 && p.naive['A'] == -INFINITY, "A after B, A");
    }
    if (s == MT_OK) { /* an edge that no text has */
        const int32_t a2[] = {encoder == MT_MARKOV_OWN ? 65 : 0, encoder == MT_MARKOV_OWN ? 65 : 0};
        memset(row, 0, sizeof row);
        row[a2[0]] = 1;
        s = mt_markov_model_set(model, a2, 2, row, &err);
        if (s == MT_OK) CHECK_OK(mt_markov_model_next(model, a2, 2, row, &err));
        if (s == MT_OK) CHECK(row[a2[0]] == 1, "%g", row[a2[0]]);
    }
    mt_markov_model_free(model);
    mt_markov_free(source);
    return s;
}

int main(void) {
    CASE("longest match and byte pairs: the source comes back; failing allocation");
    for (int own = 0; own < 2; own++) {
        mt_tok *t = own ? load_ranks() : load_pieces();
        double a;
        CHECK_OK(once(t, own ? MT_MARKOV_OWN : MT_MARKOV_LONGEST, &a)); /* what the tokenizer makes on first use */
        size_t before = mt_live_allocations();
        for (size_t n = 0; n < 20000; n += 1 + n / 50) {
            a = 0;
            mt_fail_allocation_after((int64_t)n);
            mt_status s = once(t, own ? MT_MARKOV_OWN : MT_MARKOV_LONGEST, &a);
            mt_fail_allocation_after(-1);
            CHECK(s == MT_OK || s == MT_ENOMEM, "allocation %zu: %s: %s", n, mt_status_name(s), err.text);
            CHECK(mt_live_allocations() <= before, "allocation %zu: a leak", n);
            if (s == MT_OK) CHECK(fabs(a - .6) < 1e-12, "%.15g", a);
            if (s == MT_OK || case_bad > 5) break;
        }
        mt_tok_free(t);
    }

    CASE("refusals");
    mt_markov *m;
    const double bad[] = {.6, .5, .3, .7}, split[] = {1, 0, 0, 1};
    static double many[2048 * 2];
    CHECK(mt_markov_new((const uint8_t *)"AB", 2, 1, bad, &m, &err) == MT_ERANGE && !m, "%s", err.text);
    CHECK(mt_markov_new((const uint8_t *)"AB", 2, 1, split, &m, &err) == MT_ERANGE && !m, "%s", err.text);
    CHECK(mt_markov_new((const uint8_t *)"AA", 2, 1, chain, &m, &err) == MT_ERANGE && !m, "%s", err.text);
    CHECK(mt_markov_new((const uint8_t *)"AB", 2, 11, many, &m, &err) == MT_ELIMIT && !m, "%s", err.text);
    CHECK(mt_markov_new((const uint8_t *)"A", 1, 1, chain, &m, &err) == MT_ERANGE && !m, "%s", err.text);
    return test_end();
}
