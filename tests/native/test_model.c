/* Loading and evaluation on a tiny Llama that the test writes itself: pieces, damage, failing allocations, trees,
 * traces, patches. */
#include "gguf_common.h"

static mt_error err;

enum { T = 12 };
static const int32_t ids[T] = {1, 17, 4, 4, 30, 47, 0, 9, 22, 22, 5, 41};

static mt_session *session(mt_model *m, int32_t slots, int32_t max_batch) {
    mt_session *s = NULL;
    CHECK_OK(mt_session_new(m, NULL, &(mt_session_options){slots, max_batch, MT_CACHE_F32}, &s, &err));
    return s;
}

/* Evaluates ids[0..n) as one sequence after `parent`, all logits to out[n][V]; the last slot. */
static int32_t run(mt_session *s, const int32_t *tokens, int32_t n, int32_t parent, float *out) {
    int32_t parents[64], slots[64] = {0};
    uint8_t want[64];
    memset(want, 1, sizeof want);
    for (int32_t i = 0; i < n; i++) parents[i] = i ? MT_IN_BATCH(i - 1) : parent;
    CHECK_OK(mt_session_eval(s, &(mt_batch){n, tokens, parents, NULL, want, slots}, &err));
    for (int32_t i = 0; out && i < n; i++) {
        const float *l = mt_session_logits(s, i);
        CHECK(l != NULL, "row %d has no logits", i);
        if (l) memcpy(out + i * TINY_VOCAB, l, TINY_VOCAB * sizeof *out);
    }
    return slots[n - 1];
}

static bool same(const float *a, const float *b, int32_t rows) {
    return memcmp(a, b, (size_t)rows * TINY_VOCAB * sizeof *a) == 0;
}

static float distance(const float *a, const float *b, size_t n) {
    float d = 0, top = 0;
    for (size_t i = 0; i < n; i++) {
        d = fmaxf(d, fabsf(a[i] - b[i]));
        top = fmaxf(top, fabsf(b[i]));
    }
    return d / top;
}

static mt_status load_and_eval(const gguf_file *f) {
    mt_model *m = NULL;
    mt_session *s = NULL;
    mt_status status = load_bytes(f->all.data, f->all.len, f->all.len, 5000, &m, &err);
    if (status != MT_OK) return status;
    status = mt_session_new(m, NULL, &(mt_session_options){32, 5, MT_CACHE_F32}, &s, &err);
    if (status == MT_OK) {
        status = mt_session_eval(s, &(mt_batch){T, ids, NULL, NULL, NULL, NULL}, &err);
        CHECK(mt_session_free_slots(s) == (status == MT_OK ? 32 - T : 32), "%d slots free after %s",
              mt_session_free_slots(s), mt_status_name(status));
    }
    if (status == MT_OK) status = mt_trace_want(s, "blocks.*.attn.hook_pattern", &err);
    if (status == MT_OK) status = flat_patch(s, "blocks.0.hook_attn_out", MT_PATCH_ADD, 3, (float[]){1, 2}, 2, &err);
    if (status == MT_OK) status = mt_session_eval(s, &(mt_batch){T, ids, NULL, NULL, NULL, NULL}, &err);
    mt_session_free(s);
    mt_model_free(m);
    return status;
}

static void test_loading(void) {
    gguf_file f;
    mt_model *m;
    static float expected[T * TINY_VOCAB], found[T * TINY_VOCAB];
    tiny_llama(&f, MT_F32, NULL);

    CASE("pieces of any size, any order of the directory: the same model");
    CHECK_OK(load_bytes(f.all.data, f.all.len, f.all.len, f.all.len, &m, &err));
    mt_session *s = session(m, 0, 0);
    CHECK(mt_session_slots(s) == TINY_CONTEXT, "%d slots", mt_session_slots(s));
    run(s, ids, T, MT_ROOT, expected);
    mt_session_free(s);
    mt_model_free(m);
    for (int variant = 0; variant < 5; variant++) {
        static const size_t pieces[] = {1, 7, 63, 4096, 100000};
        f.reversed = variant & 1;
        finish_file(&f);
        CHECK_OK(load_bytes(f.all.data, f.all.len, variant == 2 ? UINT64_MAX : f.all.len, pieces[variant], &m, &err));
        s = session(m, 0, 0);
        run(s, ids, T, MT_ROOT, found);
        CHECK(same(expected, found, T), "pieces of %zu", pieces[variant]);
        mt_session_free(s);
        mt_model_free(m);
    }

    CASE("what the model says of itself");
    CHECK_OK(load_bytes(f.all.data, f.all.len, f.all.len, 999, &m, &err));
    mt_model_info info;
    mt_model_info_get(m, &info);
    CHECK(strcmp(info.architecture, "llama") == 0 && info.layers == 2 && info.width == 32 && info.kv_heads == 2 &&
              info.head_width == 8 && info.ffn_width == 64 && info.vocab == TINY_VOCAB && info.context == TINY_CONTEXT,
          "%s %d", info.architecture, info.layers);
    CHECK(info.parameters == TINY_VOCAB * 32 + 32 + 2 * (2 * 32 + 2 * 1024 + 2 * 512 + 3 * 2048), "%llu",
          (unsigned long long)info.parameters);
    mt_buf json = {0};
    CHECK_OK(mt_model_describe(m, &json, &err));
    mt_buf_byte(&json, 0, NULL);
    CHECK(strstr((char *)json.data, "\"name\":\"tiny \\u0022quoted\\u0022 \xc3\xa9\""), "%.200s", (char *)json.data);
    CHECK(strstr((char *)json.data,
                 "\"name\":\"blk.1.ffn_down.weight\",\"type\":\"F32\",\"bytes\":8192,\"dims\":[32,64]"),
          "tensors");
    mt_buf_free(&json);
    CHECK(mt_model_gguf(m) && mt_gguf_find(mt_model_gguf(m), "llama.block_count"), "metadata");
    mt_model_free(m);

    CASE("a truncated file is an error, wherever it ends");
    size_t before = mt_live_allocations(), header = f.all.len - f.data.len;
    for (size_t n = 0; n + 32 < f.all.len; n += n < header ? 1 : 97) {
        m = NULL;
        err = (mt_error){0};
        CHECK(load_bytes(f.all.data, n, n, 4096, &m, &err) != MT_OK && err.text[0], "%zu bytes: %s", n, err.text);
        CHECK(load_bytes(f.all.data, n, f.all.len, 4096, &m, &err) != MT_OK, "%zu bytes of %zu", n, f.all.len);
        CHECK(load_bytes(f.all.data, n, UINT64_MAX, 4096, &m, &err) != MT_OK, "%zu bytes of unknown", n);
    }
    CHECK(mt_live_allocations() == before, "a leak");

    CASE("a damaged header never crashes");
    mt_rng rng;
    mt_rng_seed(&rng, 11);
    uint8_t *copy = malloc(f.all.len);
    for (int round = 0; round < 4000; round++) {
        memcpy(copy, f.all.data, f.all.len);
        size_t bit = mt_rng_below(&rng, header * 8);
        copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        m = NULL;
        if (load_bytes(copy, f.all.len, f.all.len, 1 << 20, &m, &err) == MT_OK) {
            mt_session *t = NULL; /* some flips give another valid model (eps, context, rope base) */
            if (mt_session_new(m, NULL, &(mt_session_options){16, 16, MT_CACHE_F32}, &t, &err) == MT_OK)
                mt_session_eval(t, &(mt_batch){4, ids, NULL, NULL, NULL, NULL}, &err);
            mt_session_free(t);
        }
        mt_model_free(m);
    }
    free(copy);
    CHECK(mt_live_allocations() == before, "a leak");
    CHECK(load_bytes(f.all.data, f.all.len, f.all.len + 64, 4096, &m, &err) == MT_OK, "padding may be missing: %s",
          err.text);
    mt_model_free(m);
    free_file(&f);

    CASE("missing, extra and mis-shaped tensors are named");
    m = NULL;
    tiny_llama(&f, MT_F32, "blk.1.attn_k.weight");
    CHECK(load_bytes(f.all.data, f.all.len, f.all.len, 4096, &m, &err) == MT_EMISSING, "missing");
    CHECK(strstr(err.text, "blk.1.attn_k.weight") && strstr(err.text, "[16, 32]"), "%s", err.text);
    tensor(&f, "blk.1.attn_k.weight", MT_F32, 32, 32, 1, 0);
    finish_file(&f);
    CHECK(load_bytes(f.all.data, f.all.len, f.all.len, 4096, &m, &err) == MT_EFORMAT, "shape");
    CHECK(strstr(err.text, "blk.1.attn_k.weight") && strstr(err.text, "[32, 32]") && strstr(err.text, "[16, 32]"), "%s",
          err.text);
    free_file(&f);
    tiny_llama(&f, MT_F32, NULL);
    tensor(&f, "blk.2.attn_k.weight", MT_F32, 16, 32, 1, 0);
    finish_file(&f);
    CHECK(load_bytes(f.all.data, f.all.len, f.all.len, 4096, &m, &err) == MT_EFORMAT &&
              strstr(err.text, "blk.2.attn_k.weight"),
          "%s", err.text);
    free_file(&f);
    tiny_llama(&f, MT_F32, NULL);
    f.tensors[3].type = 26; /* I32 has the same size */
    finish_file(&f);
    CHECK(load_bytes(f.all.data, f.all.len, f.all.len, 4096, &m, &err) == MT_EUNKNOWN && strstr(err.text, "Q8_0"), "%s",
          err.text);
    free_file(&f);
    f = (gguf_file){0};
    key_text(&f, "general.architecture", "elephant");
    finish_file(&f);
    CHECK(load_bytes(f.all.data, f.all.len, f.all.len, 4096, &m, &err) == MT_EUNKNOWN && strstr(err.text, "elephant") &&
              strstr(err.text, "gpt2"),
          "%s", err.text);
    free_file(&f);
}

static void test_allocations(void) {
    CASE("every failing allocation while loading and evaluating is reported, nothing leaks");
    gguf_file f;
    tiny_llama(&f, MT_Q8_0, NULL);
    size_t before = mt_live_allocations();
    int64_t n = 0;
    for (; n < 5000; n++) {
        mt_fail_allocation_after(n);
        mt_status status = load_and_eval(&f);
        mt_fail_allocation_after(-1);
        CHECK(mt_live_allocations() == before, "allocation %lld leaks", (long long)n);
        if (status == MT_OK) break;
        CHECK(status == MT_ENOMEM, "allocation %lld: %s %s", (long long)n, mt_status_name(status), err.text);
    }
    CHECK(n > 100 && n < 5000, "%lld allocations", (long long)n);
    free_file(&f);
}

static void test_eval(uint32_t type) {
    gguf_file f;
    mt_model *m;
    static float whole[T * TINY_VOCAB], other[T * TINY_VOCAB], row[TINY_VOCAB];
    tiny_llama(&f, type, NULL);
    printf("# weights: %s\n", mt_dtype_find(type)->name);
    CASE("one by one, in pieces and at once: equal to the last bit");
    CHECK_OK(load_bytes(f.all.data, f.all.len, f.all.len, 4096, &m, &err));
    mt_session *s = session(m, 64, 0);
    run(s, ids, T, MT_ROOT, whole);
    mt_session_reset(s);
    int32_t last = MT_ROOT;
    for (int32_t i = 0; i < T; i++) last = run(s, &ids[i], 1, last, other + i * TINY_VOCAB);
    CHECK(same(whole, other, T), "one by one");
    for (int32_t cut = 1; cut < T; cut++) {
        mt_session_reset(s);
        last = run(s, ids, cut, MT_ROOT, other);
        run(s, ids + cut, T - cut, last, other + cut * TINY_VOCAB);
        CHECK(same(whole, other, T), "cut at %d", cut);
    }
    mt_session_free(s);
    s = session(m, 64, 5);
    run(s, ids, T, MT_ROOT, other);
    CHECK(same(whole, other, T), "max_batch 5");
    mt_session_free(s);

    CASE("a tree equals its branches evaluated alone, to the last bit");
    /* 0-1-2-3 | 2-4-5 | 1-6 | a second root 7-8 | 5-9 */
    static const int32_t up[10] = {-1, 0, 1, 2, 2, 4, 1, -1, 7, 5};
    s = session(m, 64, 0);
    mt_session *alone = session(m, 64, 0);
    for (int split = 0; split < 3; split++) { /* in one batch; in two; with max_batch cuts on the way */
        int32_t parents[10], slots[10];
        uint8_t want[10];
        memset(want, 1, sizeof want);
        static float tree[10 * TINY_VOCAB];
        mt_session_reset(s);
        for (int32_t from = 0; from < 10;) {
            int32_t n = split == 0 ? 10 : split == 1 ? 5 : 1;
            for (int32_t i = 0; i < n; i++) {
                int32_t p = up[from + i];
                parents[i] = p < 0 ? MT_ROOT : p >= from ? MT_IN_BATCH(p - from) : slots[p];
            }
            CHECK_OK(mt_session_eval(s, &(mt_batch){n, ids + from, parents, NULL, want, slots + from}, &err));
            for (int32_t i = 0; i < n; i++) memcpy(tree + (from + i) * TINY_VOCAB, mt_session_logits(s, i), sizeof row);
            from += n;
        }
        for (int32_t i = 0; i < 10; i++) {
            int32_t path[10], n = 0;
            for (int32_t p = i; p >= 0; p = up[p]) path[n++] = ids[p];
            for (int32_t a = 0; a < n / 2; a++) {
                int32_t t = path[a];
                path[a] = path[n - 1 - a], path[n - 1 - a] = t;
            }
            mt_session_reset(alone);
            run(alone, path, n, MT_ROOT, other);
            CHECK(same(tree + i * TINY_VOCAB, other + (n - 1) * TINY_VOCAB, 1), "node %d, split %d, off by %g", i,
                  split, (double)distance(tree + i * TINY_VOCAB, other + (n - 1) * TINY_VOCAB, TINY_VOCAB));
            CHECK(mt_session_parent(s, slots[i]) == (up[i] < 0 ? MT_ROOT : slots[up[i]]), "parent of %d", i);
        }
        /* Keep 0-1-2-4-5 and go on from there. */
        mt_session_keep_chain(s, slots[5]);
        CHECK(mt_session_free_slots(s) == 64 - 5, "%d free", mt_session_free_slots(s));
        run(s, ids + 9, 1, slots[5], row);
        CHECK(same(tree + 9 * TINY_VOCAB, row, 1), "after keep_chain");
    }
    mt_session_free(s);
    mt_session_free(alone);

    CASE("traces and empty patches change nothing");
    s = session(m, 64, 0);
    /* Quantised weights: products round their input to 8 bits; the results of single heads are computed without that.
     */
    float close = type == MT_F32 ? 1e-5f : 0.1f;
    mt_buf names = {0};
    CHECK_OK(mt_trace_names(m, &names, &err));
    mt_buf_byte(&names, 0, NULL);
    int count = 0;
    for (char *name = strtok((char *)names.data, "\n"); name; name = strtok(NULL, "\n"), count++) {
        /* What is computed by another route may differ in rounding. */
        bool other_route =
            strstr(name, "pattern") || strstr(name, "scores") || strstr(name, "result") || strstr(name, "scale");
        CHECK_OK(mt_trace_want(s, name, &err));
        mt_session_reset(s);
        run(s, ids, T, MT_ROOT, other);
        CHECK(other_route ? distance(other, whole, T * TINY_VOCAB) < close : same(whole, other, T), "tracing %s: %g",
              name, (double)distance(other, whole, T * TINY_VOCAB));
        mt_traced t = {0};
        CHECK(mt_trace_count(s) == 1 && mt_trace_get(s, 0, &t) && strcmp(t.name, name) == 0, "%s: %d traced", name,
              mt_trace_count(s));
        size_t size = 1;
        for (int32_t d = 0; d < t.n_dims; d++) size *= (size_t)t.dims[d];
        float *copy = malloc(size * sizeof *copy);
        for (size_t i = 0; i < size; i++) copy[i] = t.data[i];
        mt_trace_clear(s);
        /* Replaced by its own value, scaled by 1, 0 added: nothing changes. */
        for (int kind = 0; kind < 3; kind++) {
            float one = 1, *zeros = calloc(size, sizeof *zeros);
            CHECK_OK(flat_patch(s, name, (mt_patch_kind[]){MT_PATCH_REPLACE, MT_PATCH_SCALE, MT_PATCH_ADD}[kind], 0,
                                kind == 0   ? copy
                                : kind == 1 ? &one
                                            : zeros,
                                size, &err));
            mt_session_reset(s);
            run(s, ids, T, MT_ROOT, other);
            CHECK(other_route ? distance(other, whole, T * TINY_VOCAB) < close : same(whole, other, T),
                  "patch %d of %s: %g", kind, name, (double)distance(other, whole, T * TINY_VOCAB));
            mt_patch_clear(s);
            free(zeros);
        }
        free(copy);
    }
    CHECK(count > 40, "%d names", count);
    mt_buf_free(&names);
    CHECK_OK(mt_trace_want(s, "*", &err));
    mt_session_reset(s);
    run(s, ids, T, MT_ROOT, other);
    CHECK(mt_trace_count(s) == count && distance(other, whole, T * TINY_VOCAB) < close, "all %d names",
          mt_trace_count(s));
    const int32_t *columns;
    CHECK(mt_trace_columns(s, &columns) == T && columns[0] == 0 && columns[T - 1] == T - 1, "columns");
    for (int32_t i = 0; i < mt_trace_count(s); i++) {
        mt_traced t;
        mt_trace_get(s, i, &t);
        if (!strstr(t.name, "hook_pattern")) continue;
        CHECK(t.n_dims == 3 && t.dims[0] == 4 && t.dims[1] == T && t.dims[2] == T, "%d %d %d", t.dims[0], t.dims[1],
              t.dims[2]);
        for (int32_t h = 0; h < 4; h++)
            for (int32_t q = 0; q < T; q++) {
                double sum = 0, future = 0;
                for (int32_t k = 0; k < T; k++) *(k <= q ? &sum : &future) += t.data[(h * T + q) * T + k];
                CHECK(fabs(sum - 1) < 1e-5 && future == 0, "head %d row %d: %g and %g", h, q, sum, future);
            }
    }
    mt_trace_clear(s);

    CASE("patches act: scopes, sums, errors");
    float zeros[T * 32] = {0};
    CHECK_OK(flat_patch(s, "blocks.1.hook_resid_post", MT_PATCH_REPLACE, 5 * 32, zeros, 32, &err));
    mt_session_reset(s);
    run(s, ids, T, MT_ROOT, other);
    for (int32_t t = 0; t < T; t++)
        CHECK(t == 5 ? distance(other + t * TINY_VOCAB, zeros, TINY_VOCAB) != 0
                     : same(other + t * TINY_VOCAB, whole + t * TINY_VOCAB, 1),
              "row %d", t);
    for (int32_t v = 0; v < TINY_VOCAB; v++) CHECK(other[5 * TINY_VOCAB + v] == 0, "logit %d of a zero residual", v);
    mt_patch_clear(s);
    CHECK_OK(flat_patch(s, "blocks.0.attn.hook_pattern", MT_PATCH_ZERO, 0, NULL, 4 * T * T, &err));
    CHECK_OK(mt_trace_want(s, "blocks.0.hook_attn_out", &err));
    mt_session_reset(s);
    run(s, ids, T, MT_ROOT, other);
    mt_traced t;
    CHECK(mt_trace_get(s, 0, &t), "traced");
    for (int32_t i = 0; i < T * 32; i++) CHECK(t.data[i] == 0, "no attention, no output");
    mt_patch_clear(s);
    mt_trace_clear(s);
    CHECK_OK(flat_patch(s, "blocks.0.hook_mlp_out", MT_PATCH_ZERO, 0, NULL, T * 32 + 1, &err));
    mt_session_reset(s);
    CHECK(mt_session_eval(s, &(mt_batch){T, ids, NULL, NULL, NULL, NULL}, &err) == MT_ERANGE, "too large a patch");
    CHECK(mt_session_free_slots(s) == 64, "rolled back");
    mt_patch_clear(s);
    CHECK(flat_patch(s, "blocks.9.hook_mlp_out", MT_PATCH_ZERO, 0, NULL, 1, &err) == MT_EUNKNOWN, "name");
    CHECK(mt_trace_want(s, "nothing.*", &err) == MT_EUNKNOWN, "glob");

    CASE("patches of boxes, means, samples; parts of a run");
    const char *mid = "blocks.1.hook_resid_pre";
    static float resid[T * 32], before[T * 32];
    CHECK_OK(mt_session_stop_at(s, mid, &err));
    mt_session_reset(s);
    CHECK_OK(mt_session_eval(s, &(mt_batch){T, ids, NULL, NULL, NULL, NULL}, &err));
    CHECK(mt_session_free_slots(s) == 64 && !mt_session_logits(s, T - 1), "a part of a run keeps no slots");
    CHECK(mt_trace_count(s) == 1 && mt_trace_get(s, 0, &t) && strcmp(t.name, mid) == 0, "the stop is traced");
    memcpy(resid, t.data, sizeof resid);
    CHECK_OK(mt_session_stop_at(s, NULL, &err));
    mt_patch all = {.name = mid, .value = resid, .values = T * 32, .given = true};
    CHECK_OK(mt_patch_add(s, &all, &err));
    static const uint8_t every[T] = {[0 ... T - 1] = 1};
    CHECK_OK(mt_session_eval(s, &(mt_batch){T, ids, NULL, NULL, every, NULL}, &err));
    for (int32_t i = 0; i < T; i++)
        CHECK(same(whole + i * TINY_VOCAB, mt_session_logits(s, i), 1), "row %d from the middle", i);
    CHECK(mt_session_free_slots(s) == 64, "free slots");
    CHECK_OK(mt_trace_want(s, mid, &err));
    for (int kind = MT_PATCH_MEAN; kind <= MT_PATCH_RESAMPLE; kind++)
        for (int32_t axis = 0; axis < 2; axis++) {
            mt_patch p = {.name = mid, .kind = (mt_patch_kind)kind, .dims = 2, .axis = axis, .seed = 7};
            p.from[0] = 2, p.to[0] = 5, p.from[1] = 3, p.to[1] = INT32_MAX;
            CHECK_OK(mt_patch_add(s, &p, &err));
            CHECK_OK(mt_session_eval(s, &(mt_batch){T, ids, NULL, NULL, NULL, NULL}, &err));
            CHECK(mt_trace_get(s, 0, &t), "traced");
            memcpy(before, resid, sizeof before);
            for (int32_t r = 0; r < T; r++)
                for (int32_t c = 0; c < 32; c++) {
                    float got = t.data[r * 32 + c];
                    int32_t n = axis ? 32 : T, step = axis ? 1 : 32, line = axis ? r * 32 : c, found = 0;
                    double sum = 0;
                    for (int32_t i = 0; i < n; i++)
                        sum += before[line + i * step], found += got == before[line + i * step];
                    if (r < 2 || r >= 5 || c < 3)
                        CHECK(got == before[r * 32 + c], "outside the box: %d %d", r, c);
                    else if (kind == MT_PATCH_MEAN)
                        CHECK(got == (float)(sum / n), "mean along %d: %d %d", axis, r, c);
                    else
                        CHECK(found && got != before[r * 32 + c], "a sample along %d: %d %d", axis, r, c);
                }
            mt_patch_clear(s);
            CHECK_OK(mt_patch_add(s, &all, &err));
        }
    all.values--;
    mt_patch_clear(s);
    CHECK_OK(mt_patch_add(s, &all, &err));
    CHECK(mt_session_eval(s, &(mt_batch){T, ids, NULL, NULL, NULL, NULL}, &err) == MT_ERANGE, "too few are given");
    mt_patch_clear(s);
    mt_trace_clear(s);
    CHECK(mt_session_stop_at(s, "blocks.7.hook_resid_pre", &err) == MT_EUNKNOWN, "stop");
    mt_session_reset(s);
    run(s, ids, T, MT_ROOT, other);
    CHECK(same(whole, other, T), "cleared");
    mt_session_free(s);

    CASE("the decode loop allocates nothing");
    s = session(m, 64, 0);
    last = run(s, ids, 3, MT_ROOT, NULL);
    last = run(s, ids + 3, 1, last, NULL);
    mt_fail_allocation_after(0); /* any allocation from here on fails */
    for (int32_t i = 4; i < T; i++) last = run(s, &ids[i], 1, last, row);
    mt_fail_allocation_after(-1);
    CHECK(same(whole + (T - 1) * TINY_VOCAB, row, 1), "the same logits");

    CASE("a full context, wrong tokens and parents are refused and leave everything as it was");
    int32_t many[64] = {0};
    CHECK(mt_session_eval(s, &(mt_batch){64, many, NULL, NULL, NULL, NULL}, &err) == MT_ELIMIT &&
              strstr(err.text, "64"),
          "%s", err.text);
    CHECK(mt_session_free_slots(s) == 64 - T, "%d free", mt_session_free_slots(s));
    CHECK(mt_session_eval(s, &(mt_batch){1, (int32_t[]){TINY_VOCAB}, &last, NULL, NULL, NULL}, &err) == MT_ERANGE,
          "token");
    CHECK(mt_session_eval(s, &(mt_batch){1, (int32_t[]){-1}, &last, NULL, NULL, NULL}, &err) == MT_ERANGE, "token");
    CHECK(mt_session_eval(s, &(mt_batch){1, ids, (int32_t[]){63}, NULL, NULL, NULL}, &err) == MT_ERANGE, "free parent");
    CHECK(mt_session_eval(s, &(mt_batch){1, ids, (int32_t[]){64}, NULL, NULL, NULL}, &err) == MT_ERANGE, "parent");
    CHECK(mt_session_eval(s, &(mt_batch){2, ids, (int32_t[]){MT_IN_BATCH(1), MT_ROOT}, NULL, NULL, NULL}, &err) ==
              MT_ERANGE,
          "later");
    CHECK(mt_session_eval(s, &(mt_batch){1, ids, &last, (int32_t[]){-1}, NULL, NULL}, &err) == MT_ERANGE, "position");
    CHECK(mt_session_eval(s, &(mt_batch){0, ids, &last, NULL, NULL, NULL}, &err) == MT_ERANGE, "nothing");
    CHECK(mt_session_free_slots(s) == 64 - T && mt_session_logits(s, 0) == NULL, "untouched");
    int32_t chain = last;
    for (int i = 0; i < 3; i++) {
        int32_t up1 = mt_session_parent(s, chain);
        mt_session_drop(s, chain);
        chain = up1;
    }
    last = run(s, ids + T - 3, 3, chain, other);
    CHECK(same(whole + (T - 3) * TINY_VOCAB, other, 3), "dropped and evaluated again");
    mt_session_drop(s, chain); /* in the middle: what follows is lost */
    CHECK(mt_session_eval(s, &(mt_batch){1, ids, &last, NULL, NULL, NULL}, &err) == MT_ESTATE, "orphan");
    mt_session_free(s);
    mt_model_free(m);
    free_file(&f);
}

int main(void) {
    test_loading();
    test_allocations();
    test_eval(MT_F32);
    test_eval(MT_Q8_0);
    CASE("nothing is left");
    CHECK(mt_live_allocations() == 0, "%zu blocks", mt_live_allocations());
    return test_end();
}
