/* Fine-tuning in the core: adapters that come and go, merging, quantised matrices that become float32, an allocator
 * that fails at every call. */
#include "gguf_common.h"
#include "train/train.h"

static mt_error err;
static const int32_t text[8] = {1, 17, 4, 4, 30, 47, 0, 9}, target[8] = {17, 4, 4, 30, 47, 0, 9, -1};
static const char *const matrices[] = {"blk.*"}, *const norms[] = {"*_norm.weight"},
                         *const down[] = {"blk.0.ffn_down*"};
static const mt_tune_options both = {
    .adapters = matrices, .adapter_count = 1, .parameters = norms, .parameter_count = 1, .rank = 3, .alpha = 6};

static mt_model *tiny(uint32_t type) {
    gguf_file f;
    mt_model *m = NULL;
    tiny_llama(&f, type, NULL);
    CHECK_OK(load_bytes(f.all.data, f.all.len, f.all.len, f.all.len, &m, &err));
    free_file(&f);
    return m;
}

/* Logits after the text. */
static void logits(mt_model *m, float *out) {
    mt_session *s = NULL;
    CHECK_OK(mt_session_new(m, NULL, &(mt_session_options){.slots = 16}, &s, &err));
    CHECK_OK(mt_session_eval(s, &(mt_batch){.count = 8, .token = text}, &err));
    const float *row = mt_session_logits(s, 7);
    memcpy(out, row, TINY_VOCAB * sizeof *out);
    mt_session_free(s);
}

static double distance(const float *a, const float *b) {
    double worst = 0, most = 0;
    for (int i = 0; i < TINY_VOCAB; i++) worst = fmax(worst, fabs(a[i] - b[i])), most = fmax(most, fabs(b[i]));
    return worst / most;
}

/* Some steps; the loss before the last of them. */
static double train(mt_model *m, mt_tune *t, int steps) {
    double loss = 0, norm;
    for (int i = 0; i < steps; i++) {
        mt_session *s = NULL;
        mt_gradients *g = NULL;
        mt_gradients_options o = {.grad = mt_variables_grad, .arg = mt_tune_variables(t)};
        mt_variables_zero(mt_tune_variables(t));
        CHECK_OK(mt_session_new(m, NULL, &(mt_session_options){.slots = 16}, &s, &err));
        CHECK_OK(
            mt_gradients_new(s, &(mt_batch){.count = 8, .token = text}, &(mt_loss){.target = target}, &o, &g, &err));
        if (!g) return NAN;
        while (!mt_gradients_run(g, 64)) {
        }
        loss = mt_gradients_loss(g);
        mt_gradients_free(g);
        mt_session_free(s);
        mt_update u = {.rule = MT_RULE_ADAMW, .rate = 1e-2, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8};
        CHECK_OK(mt_tune_step(t, NULL, &u, &norm, &err));
        CHECK(norm > 0, "norm %g", norm);
    }
    return loss;
}

static void test_adapters(uint32_t type) {
    float before[TINY_VOCAB], now[TINY_VOCAB], merged[TINY_VOCAB];
    static char name[64];
    case_end();
    snprintf(name, sizeof name, "adapters and norms over %s", mt_dtype_find(type)->name);
    CASE(name);
    mt_model *m = tiny(type);
    mt_tune *t = NULL;
    logits(m, before);
    CHECK_OK(mt_tune_new(m, &both, &t, &err));
    if (!t) return;
    CHECK(mt_variables_count(mt_tune_variables(t)) == 2 * 14 + 5, "%d variables",
          mt_variables_count(mt_tune_variables(t)));
    logits(m, now);
    CHECK(distance(now, before) == 0, "B begins as zeros");
    mt_tune *second = NULL;
    CHECK(mt_tune_new(m, &both, &second, &err) == MT_ESTATE, "%s", err.text);
    double first = train(m, t, 1), last = train(m, t, 20);
    CHECK(last < 0.3 * first, "loss %g, then %g", first, last);
    logits(m, now);
    CHECK(distance(now, before) > 0.1, "the model has changed");
    CHECK_OK(mt_tune_merge(t, NULL, &err));
    logits(m, merged);
    CHECK(distance(merged, now) < (type == MT_F32 ? 1e-5 : 0.05), "%g", distance(merged, now));
    mt_update u = {.rule = MT_RULE_SGD, .rate = 1};
    CHECK(mt_tune_step(t, NULL, &u, NULL, &err) == MT_ESTATE && mt_tune_merge(t, NULL, &err) == MT_ESTATE, "%s",
          err.text);
    mt_tune_free(t);
    logits(m, now);
    CHECK(distance(merged, now) == 0, "what is merged stays");
    mt_model_free(m);
}

static void faults(void) {
    float before[TINY_VOCAB], now[TINY_VOCAB];
    CASE("every allocation may fail");
    mt_model *m = tiny(MT_Q8_0);
    logits(m, before);
    mt_tune_options o = both;
    o.parameters = down;
    for (int64_t n = 0; n < 5000; n++) {
        mt_tune *t = NULL;
        mt_fail_allocation_after(n);
        mt_status status = mt_tune_new(m, &o, &t, &err);
        if (status == MT_OK) status = mt_tune_merge(t, NULL, &err);
        mt_fail_allocation_after(-1);
        mt_tune_free(t);
        CHECK(status == MT_OK || (status == MT_ENOMEM && strstr(err.text, "memory")), "%s: %s", mt_status_name(status),
              err.text);
        logits(m, now);
        CHECK(distance(now, before) < 0.05, "the model works: %g", distance(now, before));
        if (status != MT_OK) continue;
        CHECK(n > 100, "%d allocations", (int)n);
        break;
    }
    mt_model_free(m);
}

int main(void) {
    size_t live = mt_live_allocations();
    test_adapters(MT_F32);
    test_adapters(MT_Q8_0);
    faults();
    CASE("nothing is left behind");
    CHECK(mt_live_allocations() == live, "%zu blocks", mt_live_allocations());
    return test_end();
}
