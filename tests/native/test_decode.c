/* Samplers: history, laws, errors, and allocation failures at every place. */
#include "decode/sample.h"
#include "test.h"

enum { V = 40 };
static float logits[V];

static double law_sum(mt_sampler *s, double *p) {
    mt_error err;
    double sum = 0;
    CHECK_OK(mt_sampler_law(s, logits, p, &err));
    for (int i = 0; i < V; i++) sum += p[i];
    return sum;
}

int main(void) {
    mt_error err;
    mt_sampler *s = NULL;
    double p[V], q[V];
    for (int i = 0; i < V; i++) logits[i] = (float)((i * 37) % V) / 8 - 2;

    CASE("laws sum to one and draws stay inside");
    for (int round = 0; round < 64; round++) {
        mt_sample_options o = mt_sample_defaults();
        o.temperature = round & 1 ? 0.7 : 1.6;
        o.top_k = round & 2 ? 11 : 0;
        o.typical = round & 4 ? 0.8 : 1;
        o.top_p = round & 8 ? 0.7 : 1;
        o.min_p = round & 16 ? 0.05 : 0;
        o.repeat = round & 32 ? 1.4 : 1;
        o.seed = (uint64_t)round;
        CHECK_OK(mt_sampler_new(V, &o, &s, &err));
        int32_t text[] = {1, 2, 3, 2, 39};
        CHECK_OK(mt_sampler_accept(s, text, 5, &err));
        double sum = law_sum(s, p);
        CHECK(fabs(sum - 1) < 1e-12, "sum %g", sum);
        for (int i = 0; i < 200; i++) {
            int32_t id = -1;
            double log_prob = 1;
            CHECK_OK(mt_sampler_draw(s, logits, &id, i & 1 ? &log_prob : NULL, &err));
            CHECK(id >= 0 && id < V && p[id] > 0, "token %d", id);
            CHECK(!(i & 1) || log_prob < 0, "ln p %g", log_prob);
        }
        mt_sampler_free(s);
    }

    CASE("the history is the last tokens, whatever came before");
    mt_sample_options o = mt_sample_defaults();
    o.repeat = 1.5, o.presence = 0.25, o.frequency = 0.5, o.last_n = 6;
    mt_sampler *fresh = NULL;
    CHECK_OK(mt_sampler_new(V, &o, &s, &err));
    int32_t text[200];
    mt_rng rng;
    mt_rng_seed(&rng, 3);
    for (int i = 0; i < 200; i++) {
        text[i] = (int32_t)mt_rng_below(&rng, 9);
        CHECK_OK(mt_sampler_accept(s, &text[i], 1, &err));
        CHECK_OK(mt_sampler_new(V, &o, &fresh, &err));
        int from = i < 5 ? 0 : i - 5;
        CHECK_OK(mt_sampler_accept(fresh, text + from, (size_t)(i - from + 1), &err));
        law_sum(s, p);
        law_sum(fresh, q);
        CHECK(memcmp(p, q, sizeof p) == 0, "after %d tokens", i + 1);
        mt_sampler_free(fresh);
    }
    mt_sampler_forget(s);
    o.repeat = 1, o.presence = 0, o.frequency = 0;
    CHECK_OK(mt_sampler_new(V, &o, &fresh, &err));
    law_sum(s, p);
    law_sum(fresh, q);
    CHECK(memcmp(p, q, sizeof p) == 0, "forgotten");
    mt_sampler_free(fresh);

    CASE("errors");
    int32_t bad = V, id;
    CHECK(mt_sampler_accept(s, &bad, 1, &err) == MT_ERANGE, "a token outside");
    float broken[V];
    memcpy(broken, logits, sizeof broken);
    broken[7] = NAN;
    CHECK(mt_sampler_draw(s, broken, &id, NULL, &err) == MT_ERANGE && strstr(err.text, "token 7"), "%s", err.text);
    for (int i = 0; i < V; i++) broken[i] = -INFINITY;
    CHECK(mt_sampler_law(s, broken, p, &err) == MT_ERANGE && strstr(err.text, "-infinity"), "%s", err.text);
    mt_sampler_free(s);
    for (int i = 0; i < 9; i++) {
        o = mt_sample_defaults();
        switch (i) {
        case 0:
            o.temperature = NAN;
            break;
        case 1:
            o.top_k = -1;
            break;
        case 2:
            o.typical = 1.5;
            break;
        case 3:
            o.top_p = -0.1;
            break;
        case 4:
            o.min_p = 2;
            break;
        case 5:
            o.repeat = 0;
            break;
        case 6:
            o.presence = INFINITY;
            break;
        case 7:
            o.frequency = -1e9;
            break;
        default:
            o.last_n = -2;
            break;
        }
        CHECK(mt_sampler_new(V, &o, &s, &err) == MT_ERANGE, "option %d: %s", i, err.text);
    }
    CHECK(mt_sampler_new(0, &o, &s, &err) == MT_ERANGE, "no vocabulary");
    mt_sampler_free(NULL);

    CASE("an allocation that fails leaves nothing behind");
    o = mt_sample_defaults();
    o.repeat = 2;
    size_t live = mt_live_allocations();
    for (int64_t n = 0;; n++) {
        mt_fail_allocation_after(n);
        mt_status status = mt_sampler_new(V, &o, &s, &err);
        mt_fail_allocation_after(-1);
        if (status == MT_OK) {
            CHECK(n > 4, "only %d", (int)n);
            mt_sampler_free(s);
            break;
        }
        CHECK(status == MT_ENOMEM && mt_live_allocations() == live, "allocation %d: %s", (int)n, err.text);
    }
    CHECK(mt_live_allocations() == live, "freed");
    return test_end();
}
