/* Embeddings for another vocabulary: sparsemax and FOCUS by hand (ACCEPTANCE 14 of the methods: tokenization), failing
 * allocation. The rest is tested from JavaScript (tests/unit/transfer.test.mjs). */
#include "test.h"

#include "bias/transfer.h"

static mt_error err;

static mt_tok *load(const char *vocab) {
    char json[400];
    mt_tok *t = NULL;
    snprintf(json, sizeof json, "{\"model\":{\"type\":\"BPE\",\"vocab\":{%s},\"merges\":[]}}", vocab);
    CHECK_OK(mt_tok_load_json((const uint8_t *)json, strlen(json), &t, &err));
    return t;
}

static void projection(void) {
    double z[] = {.9, .8, .1}, scratch[64];
    mt_sparsemax(z, 3, scratch);
    CHECK(fabs(z[0] - .55) < 1e-15 && fabs(z[1] - .45) < 1e-15 && z[2] == 0, "%.17g %.17g %.17g", z[0], z[1], z[2]);
    mt_rng rng;
    mt_rng_seed(&rng, 7);
    for (int round = 0; round < 2000; round++) { /* the projection: no point of the simplex is nearer */
        size_t n = 1 + mt_rng_below(&rng, 60);
        double v[64], w[64], sum = 0, threshold = NAN;
        for (size_t i = 0; i < n; i++) v[i] = w[i] = mt_rng_normal(&rng) * (round % 3 ? 1 : .01);
        mt_sparsemax(w, n, scratch);
        for (size_t i = 0; i < n; i++) {
            CHECK(w[i] >= 0, "a weight of %g", w[i]);
            sum += w[i];
            if (w[i] > 0) threshold = v[i] - w[i];
        }
        CHECK(fabs(sum - 1) < 1e-12, "the weights add up to %.15g", sum);
        for (size_t i = 0; i < n; i++) /* Karush, Kuhn, Tucker */
            CHECK(w[i] > 0 ? fabs(v[i] - w[i] - threshold) < 1e-12 : v[i] <= threshold + 1e-12, "place %zu of %zu", i,
                  n);
    }
}

int main(void) {
    CASE("sparsemax: by hand, and as a projection");
    projection();

    CASE("FOCUS: a token whose auxiliary vector is a shared one's gets its row; weights are convex");
    mt_tok *from = load("\"a\":0,\"b\":1,\"c\":2"), *to = load("\"c\":0,\"x\":1,\"a\":2,\"y\":3,\"z\":4");
    const float old[] = {1, 2, 3, 4, 5, 6};                  /* a, b, c */
    const float aux[] = {1, 0, 2, 0, -1, 1, .9f, .1f, 0, 0}; /* c, x like c, a, y between, z none */
    const mt_transfer how = {MT_TRANSFER_SIMILAR, 1, aux, 2};
    float out[10];
    mt_transfer_stats stats;
    CHECK_OK(mt_transfer_rows(from, to, &how, old, 3, 2, out, &stats, &err));
    CHECK(out[0] == 5 && out[1] == 6 && out[4] == 1 && out[5] == 2, "shared rows");
    CHECK(out[2] == 5 && out[3] == 6, "x: %g %g", out[2], out[3]);
    CHECK(out[6] > 1 && out[6] <= 5 && fabs(out[7] - out[6] - 1) < 1e-6, "y: %g %g", out[6], out[7]);
    CHECK(stats.shared == 2 && stats.made == 2 && stats.drawn == 1, "%d %d %d", stats.shared, stats.made, stats.drawn);
    CHECK(mt_transfer_rows(from, to, &(mt_transfer){.kind = MT_TRANSFER_SIMILAR}, old, 3, 2, out, &stats, &err) ==
              MT_ERANGE,
          "%s", err.text);

    CASE("failing allocation");
    for (int kind = MT_TRANSFER_RANDOM; kind <= MT_TRANSFER_SIMILAR; kind++) {
        const mt_transfer each = {(mt_transfer_kind)kind, 1, aux, 2};
        CHECK_OK(mt_transfer_rows(from, to, &each, old, 3, 2, out, &stats, &err));
        size_t before = mt_live_allocations();
        for (int64_t n = 0; n < 1000; n++) {
            mt_fail_allocation_after(n);
            mt_status s = mt_transfer_rows(from, to, &each, old, 3, 2, out, &stats, &err);
            mt_fail_allocation_after(-1);
            CHECK(s == MT_OK || s == MT_ENOMEM, "allocation %lld: %s", (long long)n, mt_status_name(s));
            CHECK(mt_live_allocations() <= before, "allocation %lld: a leak", (long long)n);
            if (s == MT_OK || case_bad > 5) break;
        }
    }
    const int32_t text[] = {0, 1, 2, 0, 1, -1, 2, 0, 1};
    const mt_skipgram_options o = {8, 2, 3, 2, 2, .05, 0, 1};
    size_t before = mt_live_allocations();
    for (int64_t n = 0; n < 1000; n++) {
        mt_skipgram *s = NULL;
        mt_fail_allocation_after(n);
        mt_status status = mt_skipgram_new(text, 9, 3, &o, &s, &err);
        if (status == MT_OK)
            while (mt_skipgram_train(s, 2) < 1) {
            }
        mt_fail_allocation_after(-1);
        CHECK(status == MT_OK || status == MT_ENOMEM, "%s", mt_status_name(status));
        mt_skipgram_free(s);
        CHECK(mt_live_allocations() <= before, "allocation %lld: a leak", (long long)n);
        if ((status == MT_OK && n > 20) || case_bad > 5) break;
    }
    mt_skipgram *s;
    CHECK(mt_skipgram_new(text, 9, 2, &o, &s, &err) == MT_ERANGE && !s, "%s", err.text);
    mt_tok_free(from);
    mt_tok_free(to);
    return test_end();
}
