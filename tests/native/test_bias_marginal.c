/* The probability of a text over all its tokenizations: values of methods/tokenization.md §10 on HASH-11, dynamic
 * programming against enumeration, importance sampling; transport and time warping under failing allocations. */
#include "bias/marginal.h"
#include "test_bias.h"
#include "token/across.h"

static mt_error err;
static bigram model;
static toy rig;

static mt_spellings spell(const char *text, const double *weight) {
    mt_spell_source source = toy_source(&rig);
    mt_spellings s;
    CHECK_OK(mt_spellings_open_source(&source, rig.count + 1, weight, (const uint8_t *)text, strlen(text), &s, &err));
    return s;
}

static double share_of(const char *text, double log_sum) {
    int32_t ids[64];
    int n = toy_encode(&rig, (const uint8_t *)text, strlen(text), ids);
    ids[n++] = rig.count;
    return exp(bigram_score(&model, ids, (size_t)n) - log_sum);
}

static void exact(void) {
    static const struct {
        const char *text;
        double marginal, canonical, share;
    } want[] = {{"abc", -6.388070550, -7.726369187, .262292},
                {"abcab", -5.778308550, -11.283005849, .004068},
                {"abcabc", -6.813461171, -9.836292166, .048663},
                {"aabcbca", -10.199704635, -14.469514055, .013984}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        for (int merged = 0; merged < 2; merged++) {
            mt_lm lm = bigram_lm(&model, merged);
            mt_spellings s = spell(want[i].text, NULL);
            mt_marginal m;
            mt_marginal_options o = {.end = true, .limit = 10000};
            CHECK_OK(mt_marginal_exact(&s, &lm, &o, &m, &err));
            CHECK(fabs(m.sum - want[i].marginal) < 1e-9, "%s: %.12f", want[i].text, m.sum);
            CHECK(fabs(share_of(want[i].text, m.sum) - want[i].share) < 5e-7, "%s: share %.9f", want[i].text,
                  share_of(want[i].text, m.sum));
            CHECK(fabs(log(share_of(want[i].text, 0)) - want[i].canonical) < 1e-9, "%s", want[i].text);
            CHECK(m.missing == -INFINITY, "%g", m.missing);
            /* the best one, against every path */
            mt_paths paths = {0};
            bool complete;
            double best = -INFINITY, sum = 0;
            CHECK_OK(mt_lattice_enumerate(&s.lattice, 1000, &paths, &complete, &err));
            for (size_t k = 0; k < paths.len; k++) {
                mt_ids ids = {0};
                for (size_t e = 0; e < paths.path[k].len; e++)
                    CHECK_OK(mt_ids_add(&ids, s.lattice.edge[paths.edge.data[paths.path[k].first + e]].token, &err));
                CHECK_OK(mt_ids_add(&ids, rig.count, &err));
                double logp = bigram_score(&model, ids.data, ids.len);
                sum += exp(logp);
                if (logp > best) best = logp;
                mt_ids_free(&ids);
            }
            CHECK(complete && fabs(log(sum) - m.sum) < 1e-12 && fabs(best - m.best) < 1e-12, "%g %g", best, m.best);
            CHECK_OK(mt_ids_add(&m.ids, rig.count, &err));
            CHECK(fabs(bigram_score(&model, m.ids.data, m.ids.len) - best) < 1e-12, "the sequence itself");
            mt_paths_free(&paths);
            mt_marginal_free(&m);
            mt_spellings_free(&s);
        }
    CHECK(model.faults == 0 && model.held == 0, "%d faults, %d contexts held", model.faults, model.held);
}

static void total(void) {
    mt_lm lm = bigram_lm(&model, true);
    mt_marginal_options o = {.end = true, .limit = 10000};
    double sum = 0;
    for (size_t i = 0; i <= 9840; i++) {
        char x[16] = {0};
        size_t n = 0;
        for (size_t k = i; k; k = (k - 1) / 3) x[n++] = "abc"[(k - 1) % 3];
        mt_spellings s = spell(x, NULL);
        mt_marginal m;
        CHECK_OK(mt_marginal_exact(&s, &lm, &o, &m, &err));
        sum += exp(m.sum);
        if (n == 8) { /* without the end, and against the beam's bound */
            mt_lm plain = bigram_lm(&model, false);
            mt_marginal open, beam;
            mt_marginal_options some = {.end = true, .limit = 10000, .beam = 3};
            CHECK_OK(mt_marginal_exact(&s, &plain, &some, &beam, &err));
            CHECK(beam.sum <= m.sum + 1e-12 && exp(beam.sum) + exp(beam.missing) >= exp(m.sum) * (1 - 1e-12),
                  "%s: %g is not in [%g, %g]", x, m.sum, beam.sum, beam.missing);
            if (i % 50 == 0) {
                some = (mt_marginal_options){.limit = 10000};
                CHECK_OK(mt_marginal_exact(&s, &lm, &some, &open, &err));
                CHECK(open.sum > m.sum, "%g %g", open.sum, m.sum);
                mt_marginal_free(&open);
            }
            mt_marginal_free(&beam);
        }
        mt_marginal_free(&m);
        mt_spellings_free(&s);
    }
    CHECK(fabs(sum - .306518542) < 5e-10, "%.12f", sum);
}

static void sampling(void) {
    mt_lm lm = bigram_lm(&model, false);
    static const struct {
        const char *text;
        double sum, error;
    } want[] = {{"abcab", 3.094e-3, 2.0e-5}, {"aabcbca", 3.718e-5, 2.8e-7}};
    enum { SAMPLES = 100000 };
    double *log_p = mt_array(SAMPLES, sizeof *log_p), *log_q = mt_array(SAMPLES, sizeof *log_q);
    for (size_t i = 0; i < 2; i++) {
        mt_spellings s = spell(want[i].text, NULL);
        mt_rng rng;
        mt_rng_seed(&rng, 5 + i);
        CHECK_OK(mt_marginal_sample(&s, &lm, 0, SAMPLES, &rng, true, 10000, log_p, log_q, &err));
        double mean = 0, square = 0, w = 0, ww = 0;
        for (size_t k = 0; k < SAMPLES; k++) {
            double x = exp(log_p[k] - log_q[k]);
            mean += x / SAMPLES;
            square += x * x / SAMPLES;
            w += x;
            ww += x * x;
        }
        double error = sqrt((square - mean * mean) / SAMPLES);
        printf("# %s: %.4e +- %.1e, effective samples %.0f\n", want[i].text, mean, error, w * w / ww);
        CHECK(fabs(mean - want[i].sum) < 3 * error, "%s: %g +- %g", want[i].text, mean, error);
        CHECK(fabs(error - want[i].error) < .1 * want[i].error, "%s: error %g", want[i].text, error);
        if (i == 0) CHECK(fabs(w * w / ww - 19000) < 1000, "%g effective samples", w * w / ww);
        mt_spellings_free(&s);
    }
    /* other proposals: weights by token length, theta */
    double weight[TOY_TOKENS];
    for (int32_t t = 0; t < rig.count; t++) weight[t] = -(double)rig.length[t];
    mt_spellings s = spell("abcab", weight);
    mt_rng rng;
    mt_rng_seed(&rng, 3);
    CHECK_OK(mt_marginal_sample(&s, &lm, .3, SAMPLES, &rng, true, 10000, log_p, log_q, &err));
    double mean = 0, square = 0;
    for (size_t k = 0; k < SAMPLES; k++) {
        mean += exp(log_p[k] - log_q[k]) / SAMPLES;
        square += exp(2 * (log_p[k] - log_q[k])) / SAMPLES;
    }
    CHECK(fabs(mean - exp(-5.778308550)) < 4 * sqrt((square - mean * mean) / SAMPLES), "%g", mean);
    mt_spellings_free(&s);
    /* a single block with all segmentations: exact, no variance */
    s = spell("abcabc", NULL);
    uint32_t one[] = {6}, two[] = {3, 6};
    CHECK_OK(mt_marginal_blocks(&s, &lm, one, 1, 1000, 20, &rng, true, 10000, log_p, log_q, &err));
    for (size_t k = 0; k < 20; k++) CHECK(fabs(log_p[k] - log_q[k] + 6.813461171) < 1e-9, "%g", log_p[k] - log_q[k]);
    /* two blocks: the sum over sequences that are cut between them */
    CHECK_OK(mt_marginal_blocks(&s, &lm, two, 2, 1000, SAMPLES, &rng, true, 10000, log_p, log_q, &err));
    mt_paths paths = {0};
    bool complete;
    double sum = 0;
    CHECK_OK(mt_lattice_enumerate(&s.lattice, 1000, &paths, &complete, &err));
    for (size_t k = 0; k < paths.len; k++) {
        int32_t ids[8];
        size_t n = paths.path[k].len;
        bool cut = false;
        for (size_t e = 0; e < n; e++) {
            const mt_edge *edge = &s.lattice.edge[paths.edge.data[paths.path[k].first + e]];
            ids[e] = edge->token;
            cut |= edge->to == 3;
        }
        ids[n] = rig.count;
        if (cut) sum += exp(bigram_score(&model, ids, n + 1));
    }
    mean = square = 0;
    for (size_t k = 0; k < SAMPLES; k++) {
        mean += exp(log_p[k] - log_q[k]) / SAMPLES;
        square += exp(2 * (log_p[k] - log_q[k])) / SAMPLES;
    }
    double error = sqrt((square - mean * mean) / SAMPLES);
    CHECK(fabs(mean - sum) < 4 * error, "%g +- %g, expected %g", mean, error, sum);
    CHECK(mt_marginal_blocks(&s, &lm, two, 1, 10, 1, &rng, true, 100, log_p, log_q, &err) == MT_ERANGE, "not the end");
    mt_paths_free(&paths);
    mt_spellings_free(&s);
    mt_free(log_p);
    mt_free(log_q);
    CHECK(model.faults == 0 && model.held == 0, "%d faults, %d contexts held", model.faults, model.held);
}

static void sequences(void) {
    enum { COUNT = 500 };
    mt_lm lm = bigram_lm(&model, false);
    mt_rng rng;
    mt_rng_seed(&rng, 1);
    int32_t ids[COUNT * 9], start[COUNT + 1] = {0};
    double out[COUNT];
    for (int32_t i = 0; i < COUNT; i++) {
        int32_t n = (int32_t)mt_rng_below(&rng, 9);
        start[i + 1] = start[i] + n;
        for (int32_t k = 0; k < n; k++) ids[start[i] + k] = (int32_t)mt_rng_below(&rng, k < 3 ? 2 : 11);
    }
    for (int round = 0; round < 4; round++) {
        bool end = round & 1;
        model.calls = 0;
        CHECK_OK(mt_score_sequences(&lm, 0, ids, start, COUNT, end, round < 2 ? 10000 : 20, out, &err));
        for (int32_t i = 0; i < COUNT; i++) {
            int32_t list[10], n = start[i + 1] - start[i];
            memcpy(list, ids + start[i], (size_t)n * sizeof *list);
            if (end) list[n++] = rig.count;
            CHECK(fabs(out[i] - bigram_score(&model, list, (size_t)n)) < 1e-12, "sequence %d", i);
        }
    }
    CHECK(mt_score_sequences(&lm, 0, ids, start, COUNT, false, 2, out, &err) == MT_ELIMIT, "no room");
    ids[0] = 99;
    CHECK(mt_score_sequences(&lm, 0, ids, start, COUNT, false, 100, out, &err) == MT_ERANGE, "no such id");
    CHECK(model.faults == 0 && model.held == 0, "%d faults, %d contexts held", model.faults, model.held);
}

static mt_status attempt(void) {
    mt_lm lm = bigram_lm(&model, false);
    mt_spell_source source = toy_source(&rig);
    mt_spellings s;
    mt_marginal m = {0};
    mt_rng rng;
    double log_p[8], log_q[8];
    mt_marginal_options o = {.end = true, .limit = 1000, .beam = 4};
    uint32_t cut[] = {2, 5};
    mt_rng_seed(&rng, 1);
    MT_TRY(mt_spellings_open_source(&source, rig.count + 1, NULL, (const uint8_t *)"abcab", 5, &s, &err));
    mt_status status = mt_marginal_exact(&s, &lm, &o, &m, &err);
    if (!status) status = mt_marginal_sample(&s, &lm, 0, 8, &rng, true, 100, log_p, log_q, &err);
    if (!status) status = mt_marginal_blocks(&s, &lm, cut, 2, 5, 2, &rng, true, 100, log_p, log_q, &err);
    mt_marginal_free(&m);
    mt_spellings_free(&s);
    double cost[] = {0, 1, 1, 0}, mass[] = {1, 1}, plan[4];
    mt_transport_options t = {.epsilon = .5, .tolerance = 1e-9, .rounds = 1000};
    mt_transported r;
    uint32_t distance;
    if (!status) status = mt_transport(cost, 2, 2, mass, mass, &t, plan, &r, &err);
    if (!status) status = mt_edit_distance(mt_str_of("abc"), mt_str_of("acb"), &distance, &err);
    return status;
}

static void failures(void) {
    size_t live = mt_live_allocations();
    int n = 0;
    for (mt_status s = MT_ENOMEM; s != MT_OK && n < 2000; n++) {
        mt_fail_allocation_after(n);
        s = attempt();
        mt_fail_allocation_after(-1);
        CHECK(s == MT_OK || s == MT_ENOMEM, "%s", mt_status_name(s));
        CHECK(mt_live_allocations() == live && model.held == 0, "n = %d leaks", n);
    }
    CHECK(n > 20 && n < 2000, "%d", n);
    for (int k = 0; k < 30; k++) {
        model.fail_after = k;
        mt_status s = attempt();
        model.fail_after = -1;
        CHECK(s == MT_OK || s == MT_ELIMIT, "%s", mt_status_name(s));
        CHECK(mt_live_allocations() == live && model.held == 0, "call %d leaks", k);
    }
}

int main(void) {
    rig = toy_hash11();
    bigram_init(&model, &rig, 12345, false);
    CASE("marginal, canonical share, best tokenization");
    exact();
    CASE("the sum over all strings of up to 8 letters; beams bound it");
    total();
    CASE("many sequences along their trie");
    sequences();
    CASE("importance sampling");
    sampling();
    CASE("failures");
    failures();
    return test_end();
}
