/* Gradients of a loaded model: several texts and a tree of continuations in one batch against each text alone; running
 * in parts; misuse; an allocator that fails at every call. */
#include "gguf_common.h"

static mt_error err;
static const char *const everything[] = {"*"};
static const int32_t text[12] = {1, 17, 4, 4, 30, 47, 0, 9, 22, 22, 5, 41};

static mt_session *session(mt_model *m, int32_t slots, mt_cache_type cache) {
    mt_session *s = NULL;
    CHECK_OK(mt_session_new(m, NULL, &(mt_session_options){slots, 0, cache}, &s, &err));
    return s;
}

static mt_gradients *open_all(mt_session *s, int32_t count, const int32_t *token, const int32_t *parent,
                              const int32_t *target) {
    mt_gradients *g = NULL;
    CHECK_OK(mt_gradients_new(s, &(mt_batch){.count = count, .token = token, .parent = parent},
                              &(mt_loss){.target = target},
                              &(mt_gradients_options){.parameters = everything, .parameter_count = 1}, &g, &err));
    return g;
}

static float *parameter(const mt_gradients *g, int32_t i, size_t *count) {
    mt_traced t = {0};
    CHECK(mt_gradients_parameter_get(g, i, &t), "parameter %d", i);
    *count = 1;
    for (int32_t d = 0; d < t.n_dims; d++) *count *= (size_t)t.dims[d];
    float *out = calloc(*count, sizeof *out);
    mt_gradients_parameter(g, i, out);
    return out;
}

/* A batch is to a text like a mean of texts, weighted by how many targets each has. */
static void check_batch(mt_model *m, const char *name, int32_t count, const int32_t *token, const int32_t *parent,
                        const int32_t *target, int32_t texts, const int32_t (*row)[4]) {
    CASE(name);
    mt_session *s = session(m, 32, MT_CACHE_F32);
    mt_gradients *g = open_all(s, count, token, parent, target), *alone[4] = {0};
    mt_session *own[4];
    double loss = 0, targets = 0, weight[4];
    if (!g) return;
    while (!mt_gradients_run(g, 3)) {
    }
    for (int32_t k = 0; k < texts; k++) {
        int32_t ids[4], wanted[4];
        weight[k] = 0;
        for (int32_t i = 0; i < 4; i++) {
            ids[i] = token[row[k][i]];
            /* What texts share has its target in the first of them alone. */
            bool first = true;
            for (int32_t j = 0; j < k; j++) first &= row[j][i] != row[k][i];
            wanted[i] = first ? target[row[k][i]] : -1;
            weight[k] += wanted[i] >= 0;
        }
        own[k] = session(m, 8, MT_CACHE_F32);
        alone[k] = open_all(own[k], 4, ids, NULL, wanted);
        if (!alone[k]) return;
        CHECK(mt_gradients_run(alone[k], INT32_MAX), "all at once");
        loss += weight[k] * mt_gradients_loss(alone[k]), targets += weight[k];
    }
    CHECK(fabs(loss / targets - mt_gradients_loss(g)) < 1e-6 * loss, "loss %g, expected %g", mt_gradients_loss(g),
          loss / targets);
    int32_t parameters = mt_gradients_parameters(g);
    CHECK(parameters == 20, "%d parameters", parameters);
    for (int32_t i = 0; i < parameters; i++) {
        size_t n;
        float *all = parameter(g, i, &n), *part[4] = {0};
        double worst = 0, most = 0;
        for (int32_t k = 0; k < texts; k++) part[k] = parameter(alone[k], i, &n);
        for (size_t e = 0; e < n; e++) {
            double sum = 0;
            for (int32_t k = 0; k < texts; k++) sum += weight[k] / targets * part[k][e];
            worst = fmax(worst, fabs(sum - all[e])), most = fmax(most, fabs(sum));
        }
        CHECK(most > 0 && worst < 1e-5 * most, "parameter %d: off by %g of %g", i, worst, most);
        free(all);
        for (int32_t k = 0; k < texts; k++) free(part[k]);
    }
    mt_gradients_free(g);
    CHECK(mt_session_free_slots(s) == 32, "%d slots are free", mt_session_free_slots(s));
    mt_session_free(s);
    for (int32_t k = 0; k < texts; k++) {
        mt_gradients_free(alone[k]);
        mt_session_free(own[k]);
    }
}

static void misuse(mt_model *m) {
    static const char *const none[] = {"blk.7.*"}, *const value[] = {"blocks.0.hook_resid_pre"};
    int32_t slot[3], target[3] = {1, -1, 2}, outside[3] = {1, 48, 2}, nothing[3] = {-1, -1, -1}, after[3] = {0, 0, 0};
    mt_gradients *g = NULL;
    CASE("misuse");
    mt_session *s = session(m, 32, MT_CACHE_F32), *half = session(m, 32, MT_CACHE_F16), *small = NULL;
    CHECK_OK(mt_session_new(m, NULL, &(mt_session_options){32, 2, MT_CACHE_F32}, &small, &err));
    mt_batch b = {.count = 3, .token = text};
    mt_gradients_options all = {.parameters = everything, .parameter_count = 1};
    mt_loss loss = {.target = target};
    CHECK(mt_gradients_new(half, &b, &loss, &all, &g, &err) == MT_ESTATE, "%s", err.text);
    CHECK(mt_gradients_new(small, &b, &loss, &all, &g, &err) == MT_ELIMIT, "%s", err.text);
    CHECK(mt_gradients_new(s, &b, &(mt_loss){.target = outside}, &all, &g, &err) == MT_ERANGE, "%s", err.text);
    CHECK(mt_gradients_new(s, &b, &(mt_loss){.target = nothing}, &all, &g, &err) == MT_ERANGE, "%s", err.text);
    CHECK(mt_gradients_new(s, &b, &(mt_loss){0}, &all, &g, &err) == MT_ERANGE, "%s", err.text);
    CHECK(mt_gradients_new(s, &b, &loss, &(mt_gradients_options){.parameters = none, .parameter_count = 1}, &g, &err) ==
              MT_EUNKNOWN,
          "%s", err.text);
    CHECK(mt_gradients_new(s, &b, &loss, &(mt_gradients_options){.values = none, .value_count = 1}, &g, &err) ==
              MT_EUNKNOWN,
          "%s", err.text);
    CHECK(mt_gradients_new(s, &b, &loss, &(mt_gradients_options){0}, &g, &err) == MT_ESTATE, "%s", err.text);
    CHECK(mt_gradients_new(s, &(mt_batch){.count = 0, .token = text}, &loss, &all, &g, &err) == MT_ERANGE, "%s",
          err.text);
    CHECK_OK(mt_session_eval(s, &(mt_batch){.count = 3, .token = text, .slot = slot}, &err));
    for (int i = 0; i < 3; i++) after[i] = i ? MT_IN_BATCH(i - 1) : slot[2];
    CHECK(mt_gradients_new(s, &(mt_batch){.count = 3, .token = text, .parent = after}, &loss, &all, &g, &err) ==
              MT_ESTATE,
          "%s", err.text);
    CHECK_OK(mt_session_stop_at(s, value[0], &err));
    CHECK(mt_gradients_new(s, &b, &loss, &all, &g, &err) == MT_ESTATE, "%s", err.text);
    CHECK_OK(mt_session_stop_at(s, NULL, &err));
    CHECK(mt_session_free_slots(s) == 29, "%d slots are free", mt_session_free_slots(s));
    mt_session_free(s), mt_session_free(half), mt_session_free(small);
}

static void faults(mt_model *m) {
    static const char *const values[] = {"blocks.*"};
    int32_t target[12];
    CASE("every allocation may fail");
    mt_session *s = session(m, 32, MT_CACHE_F32);
    for (int i = 0; i < 12; i++) target[i] = i < 11 ? text[i + 1] : -1;
    mt_gradients_options o = {
        .parameters = everything, .parameter_count = 1, .values = values, .value_count = 1, .segments = 2};
    double loss = 0;
    size_t before = 0;
    int64_t n = 0;
    for (bool done = false; !done && n < 5000; n++) {
        mt_gradients *g = NULL;
        if (n == 1) before = mt_live_allocations(); /* what a session keeps for names was made by the first call */
        mt_fail_allocation_after(n == 0 ? -1 : n - 1);
        mt_status status =
            mt_gradients_new(s, &(mt_batch){.count = 12, .token = text}, &(mt_loss){.target = target}, &o, &g, &err);
        mt_fail_allocation_after(-1);
        if (status == MT_OK) {
            mt_gradients_run(g, INT32_MAX);
            if (n == 0) loss = mt_gradients_loss(g);
            CHECK(mt_gradients_loss(g) == loss, "loss %g, then %g", loss, mt_gradients_loss(g));
            done = n > 0;
        } else {
            CHECK(status == MT_ENOMEM && strstr(err.text, "memory"), "%s: %s", mt_status_name(status), err.text);
        }
        mt_gradients_free(g);
        CHECK(n == 0 || mt_live_allocations() == before, "%zu blocks, then %zu", before, mt_live_allocations());
        CHECK(mt_session_free_slots(s) == 32, "%d slots are free", mt_session_free_slots(s));
    }
    CHECK(n > 50 && n < 5000, "%d allocations", (int)n);
    mt_session_free(s);
}

int main(void) {
    gguf_file f;
    mt_model *m = NULL;
    tiny_llama(&f, MT_F32, NULL);
    CASE("loading");
    CHECK_OK(load_bytes(f.all.data, f.all.len, f.all.len, f.all.len, &m, &err));
    free_file(&f);
    int32_t two[8],
        branches[6] = {MT_ROOT, MT_IN_BATCH(0), MT_IN_BATCH(1), MT_IN_BATCH(2), MT_IN_BATCH(1), MT_IN_BATCH(4)};
    for (int i = 0; i < 8; i++) two[i] = i % 4 ? MT_IN_BATCH(i - 1) : MT_ROOT;
    check_batch(m, "two texts", 8, text, two, (const int32_t[]){17, 4, -1, 30, 3, -1, -1, 8}, 2,
                (const int32_t[][4]){{0, 1, 2, 3}, {4, 5, 6, 7}});
    check_batch(m, "a tree: two texts of a common beginning", 6, text, branches, (const int32_t[]){17, 4, 4, 30, 9, 22},
                2, (const int32_t[][4]){{0, 1, 2, 3}, {0, 1, 4, 5}});
    misuse(m);
    faults(m);
    mt_model_free(m);
    return test_end();
}
