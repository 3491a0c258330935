/* Byte probabilities on the HASH rigs: the reference values of methods/tokenization.md (§0, 7, 8), streaming against
 * static covers against brute force, failures. */
#include "test_bias.h"

static mt_error err;
static bigram model, model7; /* large: not on the stack */

static mt_bytes *byte_model(toy *t, bigram *m, mt_target target, bool merge) {
    mt_spell_source source = toy_source(t);
    mt_lm lm = bigram_lm(m, merge);
    mt_bytes *b = NULL;
    CHECK_OK(mt_bytes_new_source(&source, &lm, target, &b, &err));
    if (b && target == MT_TARGET_ALL) CHECK_OK(mt_bytes_set_beam(b, 0, 0, &err));
    return b;
}
static void ask(mt_bytes *b, const char *x, mt_next_bytes *next) {
    CHECK_OK(mt_bytes_reset(b, &err));
    CHECK_OK(mt_bytes_push(b, (const uint8_t *)x, strlen(x), &err));
    CHECK_OK(mt_bytes_next(b, next, &err));
}
static double share(const mt_next_bytes *next, bool naive, int k) {
    static const int symbol[4] = {'a', 'b', 'c', 256};
    return exp((naive ? next->naive : next->exact)[symbol[k]]);
}

typedef struct expected {
    const char *x;
    double text, exact[4], naive[4];
} expected;
static const expected all_values[] = {
    {"a",
     -0.637200009245,
     {.351080689, .580965676, .062154049, .005799586},
     {.453474197, .294189354, .230800488, .021535961}},
    {"ab",
     -1.180263610102,
     {.232088744, .113043118, .606679145, .048188994},
     {.422654394, .206650831, .288895487, .081799287}},
    {"abca",
     -2.074711599907,
     {.253480605, .539154368, .130669980, .076695047},
     {.397356397, .275783290, .200065274, .126795039}},
    {"bcb",
     -2.174603451906,
     {.006664819, .003146846, .988054355, .002133979},
     {.375190424, .177149075, .327529924, .120130577}},
    {"cab",
     -1.977213206847,
     {.520664712, .147553715, .255505636, .076275937},
     {.422654394, .206650831, .288895487, .081799287}},
};
static const expected can_values[] = {
    {"a", -0.494972239587, {.391155126, .501741149, .091572952, .015530773}, {.602285092, 0, .340043526, .057671382}},
    {"ab", -1.184643170992, {.335854773, .164211396, .434933488, .065000344}, {.594363257, .290605428, 0, .115031315}},
    {"bcb", -2.255227018468, {.014793216, .006984732, .973485478, .004736575}, {.557928803, .263430421, 0, .178640777}},
    {"cab", -7.441005153914, {.091793553, .044881147, .845559846, .017765454}, {.594363257, .290605428, 0, .115031315}},
};

static void check_values(mt_target target, bool canonical, bool merge, const expected *list, size_t n) {
    toy t = toy_hash11();
    bigram_init(&model, &t, 12345, canonical);
    mt_bytes *b = byte_model(&t, &model, target, merge);
    for (size_t i = 0; i < n; i++) {
        mt_next_bytes next;
        ask(b, list[i].x, &next);
        CHECK(fabs(next.text_logprob - list[i].text) < 1e-11, "%s: %.12f", list[i].x, next.text_logprob);
        for (int k = 0; k < 4; k++) {
            CHECK(fabs(share(&next, false, k) - list[i].exact[k]) < 1e-9, "%s exact %d: %.9f", list[i].x, k,
                  share(&next, false, k));
            if (target != MT_TARGET_MASKED || canonical)
                CHECK(fabs(share(&next, true, k) - list[i].naive[k]) < 1e-9, "%s naive %d: %.9f", list[i].x, k,
                      share(&next, true, k));
        }
        CHECK(next.missing_mass == 0, "%g", next.missing_mass);
    }
    mt_bytes_free(b);
    CHECK(model.faults == 0 && model.held == 0, "%d faults, %d contexts held", model.faults, model.held);
}

/* Every string of length 1..most over the alphabet, in turn. */
static size_t string_of(size_t i, size_t letters, const uint8_t *alphabet, uint8_t *out) {
    size_t n = 0;
    for (; i; i = (i - 1) / letters) out[n++] = alphabet[(i - 1) % letters];
    return n;
}

/* Sums to one, and the chain rule: text_logprob of longer texts. */
static void check_chain(mt_target target, bool canonical) {
    toy t = toy_hash11();
    bigram_init(&model, &t, 12345, canonical);
    mt_bytes *b = byte_model(&t, &model, target, false);
    uint64_t opened = 0, texts = 0;
    for (size_t i = 0; i <= 120; i++) {
        uint8_t x[8];
        size_t n = string_of(i, 3, (const uint8_t *)"abc", x);
        mt_next_bytes next;
        CHECK_OK(mt_bytes_reset(b, &err));
        CHECK_OK(mt_bytes_push(b, x, n, &err));
        CHECK_OK(mt_bytes_next(b, &next, &err));
        opened += (uint64_t)next.live_contexts;
        texts++;
        double sum = 0, naive = 0, parts = 0, end = 0;
        for (int c = 0; c < 257; c++) {
            sum += exp(next.exact[c]);
            naive += exp(next.naive[c]);
        }
        CHECK(fabs(sum - 1) < 1e-12 && fabs(naive - 1) < 1e-12, "%.17g %.17g", sum, naive);
        for (int k = 0; k < 3; k++) {
            double longer;
            x[n] = (uint8_t)"abc"[k];
            CHECK_OK(mt_bytes_reset(b, &err));
            CHECK_OK(mt_bytes_push(b, x, n + 1, &err));
            CHECK_OK(mt_bytes_score(b, &longer, NULL, &err));
            parts += exp(longer);
            if (target != MT_TARGET_VALID || canonical)
                CHECK(fabs(next.text_logprob + next.exact[x[n]] - longer) < 1e-12, "chain rule");
        }
        int32_t ids[16];
        int count = toy_encode(&t, x, n, ids);
        ids[count] = t.count;
        end = exp(bigram_score(&model, ids, (size_t)count + 1));
        if (target == MT_TARGET_VALID || canonical) /* the end's share is the same whatever leaks */
            CHECK(fabs(exp(next.exact[256]) - end / (parts + end)) < 1e-12, "end");
        if (target == MT_TARGET_MASKED || canonical)
            CHECK(fabs(exp(next.text_logprob) - parts - exp(next.text_logprob + next.exact[256])) < 1e-12, "identity");
        if (target == MT_TARGET_VALID && !canonical) CHECK(parts + end <= exp(next.text_logprob) + 1e-12, "leak");
    }
    printf("# target %d: %.2f live contexts at the average text\n", target, (double)opened / (double)texts);
    mt_bytes_free(b);
    CHECK(model.faults == 0 && model.held == 0, "%d faults, %d contexts held", model.faults, model.held);
}

/* Minimal covering sequences of x by enumeration; canonical: only those that encode their own text. */
static double enumerate(const toy *t, const bigram *m, bool canonical, const uint8_t *x, size_t n, int32_t *path,
                        int depth, size_t at, size_t *count) {
    double sum = 0;
    for (int32_t id = 0; id < t->count; id++) {
        size_t k = t->length[id], left = n - at;
        if (memcmp(t->bytes[id], x + at, k < left ? k : left) != 0) continue;
        path[depth] = id;
        if (canonical) {
            uint8_t text[64];
            int32_t ids[64];
            memcpy(text, x, at);
            memcpy(text + at, t->bytes[id], k);
            if (toy_encode(t, text, at + k, ids) != depth + 1 ||
                memcmp(ids, path, sizeof *ids * (size_t)(depth + 1)) != 0)
                continue;
        }
        if (k >= left) {
            sum += exp(bigram_score(m, path, (size_t)depth + 1));
            ++*count;
        } else {
            sum += enumerate(t, m, canonical, x, n, path, depth + 1, at + k, count);
        }
    }
    return sum;
}

static void check_enumeration(mt_target target) {
    toy t = toy_hash11();
    bigram_init(&model, &t, 12345, false);
    mt_bytes *b = byte_model(&t, &model, target, false), *merged = NULL;
    if (target == MT_TARGET_ALL) merged = byte_model(&t, &model, target, true);
    mt_spell_source source = toy_source(&t);
    source.free = target == MT_TARGET_ALL;
    double worst = 0;
    for (size_t i = 1; i <= 3279; i++) {
        uint8_t x[8];
        int32_t path[16];
        size_t n = string_of(i, 3, (const uint8_t *)"abc", x), count = 0;
        double want = enumerate(&t, &model, target == MT_TARGET_VALID, x, n, path, 0, 0, &count), got;
        CHECK_OK(mt_bytes_reset(b, &err));
        CHECK_OK(mt_bytes_push(b, x, n, &err));
        CHECK_OK(mt_bytes_score(b, &got, NULL, &err));
        if (fabs(exp(got) - want) > worst) worst = fabs(exp(got) - want);
        if (merged) {
            CHECK_OK(mt_bytes_reset(merged, &err));
            CHECK_OK(mt_bytes_push(merged, x, n, &err));
            CHECK_OK(mt_bytes_score(merged, &got, NULL, &err));
            if (fabs(exp(got) - want) > worst) worst = fabs(exp(got) - want);
        }
        mt_cover cover;
        double sum = 0;
        CHECK_OK(mt_cover_find_source(&source, t.count + 1, x, n, 10000, &cover, &err));
        CHECK(cover.count == count, "%zu covers, enumeration %zu", cover.count, count);
        for (size_t c = 0; c < cover.count; c++)
            sum += exp(bigram_score(&model, cover.ids.data + cover.start.data[c],
                                    (size_t)(cover.start.data[c + 1] - cover.start.data[c])));
        mt_cover_free(&cover);
        if (fabs(sum - want) > worst) worst = fabs(sum - want);
    }
    printf("# target %d: largest difference %.2g\n", target, worst);
    CHECK(worst < 1e-15, "%g", worst);
    mt_bytes_free(b);
    mt_bytes_free(merged);
    CHECK(model.faults == 0 && model.held == 0, "%d faults, %d contexts held", model.faults, model.held);
}

static void check_cover_sizes(void) {
    static const struct {
        const char *x;
        size_t count;
    } want[] = {{"a", 5}, {"ab", 3}, {"abca", 5}, {"bcb", 2}, {"cab", 3}};
    toy t = toy_hash11();
    mt_spell_source source = toy_source(&t);
    for (size_t i = 0; i < 5; i++) {
        mt_cover cover;
        CHECK_OK(mt_cover_find_source(&source, t.count + 1, (const uint8_t *)want[i].x, strlen(want[i].x), 100, &cover,
                                      &err));
        CHECK(cover.count == want[i].count, "%s: %zu", want[i].x, cover.count);
        mt_cover_free(&cover);
    }
}

static void check_ensemble(void) {
    static const struct {
        const char *x;
        double mean[4], geometric[4];
    } want[] = {
        {"ab", {.232581604, .157852882, .529498186, .080067328}, {.237029932, .154254458, .533863099, .074852511}},
        {"abca", {.168718655, .690976992, .086818030, .053486323}, {.154684461, .714768416, .079450640, .051096483}}};
    toy t = toy_hash11(), t7 = toy_hash7();
    bigram_init(&model, &t, 12345, false);
    bigram_init(&model7, &t7, 99991, false);
    mt_bytes *b = byte_model(&t, &model, MT_TARGET_ALL, false), *b7 = byte_model(&t7, &model7, MT_TARGET_ALL, false);
    mt_next_bytes next;
    static const double after_ab[4] = {.233074464, .202662647, .452317226, .111945662};
    ask(b7, "ab", &next);
    for (int k = 0; k < 4; k++) CHECK(fabs(share(&next, false, k) - after_ab[k]) < 1e-9, "HASH-7 %d", k);
    for (size_t i = 0; i < 2; i++) {
        double both[2 * 257], out[257];
        ask(b, want[i].x, &next);
        memcpy(both, next.exact, sizeof next.exact);
        ask(b7, want[i].x, &next);
        memcpy(both + 257, next.exact, sizeof next.exact);
        for (int rule = 0; rule < 2; rule++) {
            CHECK_OK(mt_bytes_combine(rule ? MT_POOL_GEOMETRIC : MT_POOL_MEAN, 2, both, NULL, out, &err));
            for (int k = 0; k < 4; k++) {
                double p = exp(out[k < 3 ? "abc"[k] : 256]);
                CHECK(fabs(p - (rule ? want[i].geometric : want[i].mean)[k]) < 1e-9, "%s %d: %.9f", want[i].x, k, p);
            }
        }
        memcpy(both + 257, both, 257 * sizeof *both); /* an ensemble of a model with itself is the model */
        CHECK_OK(mt_bytes_combine(MT_POOL_GEOMETRIC, 2, both, (double[]){.25, .75}, out, &err));
        for (int c = 0; c < 257; c++) CHECK(fabs(exp(out[c]) - exp(both[c])) < 1e-14, "itself %d", c);
    }
    CHECK(mt_bytes_combine(MT_POOL_MEAN, 2, (double[514]){0}, (double[]){0, 0}, (double[257]){0}, &err) == MT_ERANGE,
          "weights of 0");
    mt_bytes_free(b);
    mt_bytes_free(b7);
}

/* Jensen-Shannon divergence in bits between next-byte distributions. */
static double divergence(const double *p, const double *q) {
    double sum = 0;
    for (int c = 0; c < 257; c++) {
        double a = exp(p[c]), b = exp(q[c]), m = (a + b) / 2;
        if (a > 0) sum += a * log2(a / m) / 2;
        if (b > 0) sum += b * log2(b / m) / 2;
    }
    return sum;
}

static void check_beam(void) {
    static const int width[] = {1, 2, 3, 4, 6, 8, 0};
    static const double want[] = {1.25e-2, 1.52e-3, 1.19e-4, 1.75e-5, 3.53e-7, 2.9e-8, 0};
    static const int dead[] = {202, 2, 0, 0, 0, 0, 0};
    toy t = toy_hash11();
    bigram_init(&model, &t, 12345, false);
    mt_bytes *exact = byte_model(&t, &model, MT_TARGET_ALL, true);
    for (int w = 0; w < 7; w++) {
        mt_bytes *b = byte_model(&t, &model, MT_TARGET_ALL, true);
        CHECK_OK(mt_bytes_set_beam(b, width[w], 0, &err));
        double sum = 0;
        int gone = 0, over = 0;
        uint64_t revived = 0;
        mt_bytes_stats stats;
        for (size_t i = 364; i <= 3279; i++) {
            uint8_t x[8];
            size_t n = string_of(i, 3, (const uint8_t *)"abc", x);
            mt_next_bytes a, e;
            CHECK_OK(mt_bytes_reset(exact, &err));
            CHECK_OK(mt_bytes_push(exact, x, n, &err));
            CHECK_OK(mt_bytes_next(exact, &e, &err));
            CHECK_OK(mt_bytes_reset(b, &err));
            CHECK_OK(mt_bytes_push(b, x, n, &err));
            CHECK_OK(mt_bytes_next(b, &a, &err));
            mt_bytes_stats_get(b, &stats);
            if (stats.revived != revived) { /* a byte has emptied the beam */
                revived = stats.revived;
                gone++;
                continue;
            }
            sum += divergence(a.exact, e.exact);
            double variation = 0;
            for (int c = 0; c < 257; c++) variation += fabs(exp(a.exact[c]) - exp(e.exact[c])) / 2;
            over += variation > a.missing_mass + 1e-12;
            over += exp(e.text_logprob) > exp(a.text_logprob) / (1 - a.missing_mass) + 1e-12;
        }
        sum /= 2916 - gone;
        printf("# beam %d: divergence %.3g bits, %d dead\n", width[w], sum, gone);
        CHECK(gone == dead[w], "beam %d: %d dead", width[w], gone);
        CHECK(over == 0, "the bound on the missing mass does not hold %d times", over);
        if (width[w])
            CHECK(fabs(sum / want[w] - 1) < .02, "beam %d: %.4g", width[w], sum);
        else
            CHECK(sum < 1e-12, "beam %d: %.4g", width[w], sum);
        mt_bytes_free(b);
    }
    mt_bytes_free(exact);
    CHECK(model.faults == 0 && model.held == 0, "%d faults, %d contexts held", model.faults, model.held);
}

/* One new context per byte, dead ones dropped, the same answer however the text is cut into pushes and questions. */
/* Evenly spread random numbers: every cover has an interval of its own, so its count is right to one. */
static void check_draws(mt_target target) {
    enum { DRAWS = 200 };
    toy t = toy_hash11();
    bigram_init(&model, &t, 12345, false);
    mt_bytes *b = byte_model(&t, &model, target, false);
    mt_spell_source source = toy_source(&t);
    source.free = target == MT_TARGET_ALL;
    for (size_t i = 1; i <= 363; i++) {
        uint8_t x[8];
        size_t n = string_of(i, 3, (const uint8_t *)"abc", x), found = 0;
        mt_cover cover;
        mt_ids ids = {0};
        double total, logp;
        int seen[256] = {0};
        CHECK_OK(mt_bytes_reset(b, &err));
        CHECK_OK(mt_bytes_push(b, x, n, &err));
        CHECK_OK(mt_bytes_score(b, &total, NULL, &err));
        CHECK_OK(mt_cover_find_source(&source, t.count + 1, x, n, 256, &cover, &err));
        for (int d = 0; d < DRAWS; d++) {
            CHECK_OK(mt_bytes_draw_cover(b, (d + 0.5) / DRAWS, &ids, &logp, &err));
            CHECK(fabs(logp - bigram_score(&model, ids.data, ids.len)) < 1e-9, "%g", logp);
            for (size_t c = 0; c < cover.count; c++) {
                size_t len = (size_t)(cover.start.data[c + 1] - cover.start.data[c]);
                if (len != ids.len || memcmp(cover.ids.data + cover.start.data[c], ids.data, len * 4) != 0) continue;
                seen[c]++;
                found++;
            }
        }
        CHECK(found == DRAWS, "%zu of %d draws are covers", found, DRAWS);
        for (size_t c = 0; c < cover.count; c++) {
            double p = exp(bigram_score(&model, cover.ids.data + cover.start.data[c],
                                        (size_t)(cover.start.data[c + 1] - cover.start.data[c])) -
                           total);
            CHECK(fabs(seen[c] - p * DRAWS) < 1 + 1e-6, "cover %zu: %d draws, expected %g", c, seen[c], p * DRAWS);
        }
        mt_ids_free(&ids);
        mt_cover_free(&cover);
    }
    mt_ids ids = {0};
    double logp;
    CHECK(mt_bytes_draw_cover(b, 1, &ids, &logp, &err) == MT_ERANGE, "u = 1");
    CHECK_OK(mt_bytes_reset(b, &err));
    CHECK_OK(mt_bytes_draw_cover(b, 0, &ids, &logp, &err));
    CHECK(ids.len == 0 && logp == 0, "nothing covers nothing");
    mt_ids_free(&ids);
    mt_bytes_free(b);
    CHECK(model.faults == 0 && model.held == 0, "%d faults, %d contexts held", model.faults, model.held);
}

static void check_streaming(mt_target target) {
    toy t = toy_hash11();
    bigram_init(&model, &t, 12345, false);
    mt_bytes *b = byte_model(&t, &model, target, false), *c = byte_model(&t, &model, target, false);
    mt_rng rng;
    mt_rng_seed(&rng, 7);
    uint8_t x[400];
    for (size_t i = 0; i < sizeof x; i++) x[i] = "abc"[mt_rng_below(&rng, 3)];
    mt_next_bytes step, once;
    mt_bytes_stats before, after, stats;
    mt_bytes_stats_get(b, &before);
    double chain = 0;
    for (size_t i = 0; i < sizeof x; i++) {
        CHECK_OK(mt_bytes_next(b, &step, &err));
        chain += step.exact[x[i]];
        CHECK_OK(mt_bytes_push(b, x + i, 1, &err));
        if (i % 7 == 0) {
            double p;
            CHECK_OK(mt_bytes_score(b, &p, NULL, &err));
        }
    }
    CHECK_OK(mt_bytes_next(b, &step, &err));
    mt_bytes_stats_get(b, &after);
    int32_t ids[400];
    int encoded = toy_encode(&t, x, sizeof x, ids);
    printf("# %zu bytes, %d tokens: %llu contexts made, %d held, at most %d\n", sizeof x, encoded,
           (unsigned long long)(after.contexts_made - before.contexts_made), after.contexts, model.most_held);
    CHECK(after.contexts_made - before.contexts_made == sizeof x, "one context per byte: %llu",
          (unsigned long long)after.contexts_made);
    CHECK(after.contexts >= encoded && after.contexts <= encoded + 8, "%d contexts held for %d tokens", after.contexts,
          encoded);
    CHECK_OK(mt_bytes_push(c, x, sizeof x, &err));
    mt_bytes_stats_get(c, &stats);
    CHECK(stats.contexts == 0, "nothing is evaluated before a question: %d", stats.contexts);
    CHECK_OK(mt_bytes_next(c, &once, &err));
    mt_bytes_stats_get(c, &stats);
    CHECK(stats.contexts_made <= (uint64_t)encoded + 8, "%llu contexts for %d tokens",
          (unsigned long long)stats.contexts_made, encoded);
    CHECK(stats.passes <= 2, "%llu passes", (unsigned long long)stats.passes);
    if (target == MT_TARGET_MASKED) CHECK(fabs(chain - once.text_logprob) < 1e-10, "%.17g", chain);
    CHECK(fabs(step.text_logprob - once.text_logprob) < 1e-10, "%.17g %.17g", step.text_logprob, once.text_logprob);
    for (int k = 0; k < 257; k++)
        CHECK(step.exact[k] == once.exact[k] || fabs(exp(step.exact[k]) - exp(once.exact[k])) < 1e-14, "byte %d", k);
    mt_buf json = {0};
    CHECK_OK(mt_bytes_tree(c, &json, &err));
    CHECK(json.len > 100 && json.data[0] == '{' && json.data[json.len - 1] == '}', "%zu bytes", json.len);
    mt_buf_free(&json);
    mt_bytes_free(b);
    mt_bytes_free(c);
    CHECK(model.faults == 0 && model.held == 0, "%d faults, %d contexts held", model.faults, model.held);
}

/* The model or the allocator fails at every possible place: no leak, no broken use of the model, and the same answer
 * when it is asked again. */
static void check_failures(mt_target target, bool allocator) {
    toy t = toy_hash11();
    bigram_init(&model, &t, 12345, false);
    mt_spell_source source = toy_source(&t);
    mt_lm lm = bigram_lm(&model, target == MT_TARGET_ALL);
    for (int32_t i = 0; i < t.count; i++)
        for (int32_t j = 0; j < t.count; j++) toy_pair_ok(&t, i, j);
    mt_next_bytes want, got;
    mt_bytes *b = NULL;
    const char *x = "abcabca";
    CHECK_OK(mt_bytes_new_source(&source, &lm, target, &b, &err));
    CHECK_OK(mt_bytes_push(b, (const uint8_t *)x, strlen(x), &err));
    CHECK_OK(mt_bytes_next(b, &want, &err));
    mt_bytes_free(b);
    size_t live = mt_live_allocations();
    int n = 0;
    for (bool failed = true; failed && n < 5000; n++) {
        b = NULL;
        failed = false;
        if (allocator)
            mt_fail_allocation_after(n);
        else
            model.fail_after = n;
        mt_status s = mt_bytes_new_source(&source, &lm, target, &b, &err);
        if (s) {
            failed = true;
            mt_fail_allocation_after(-1);
            CHECK(b == NULL && s == MT_ENOMEM, "%s", mt_status_name(s));
            CHECK(mt_live_allocations() == live, "n = %d: %zu blocks leaked", n, mt_live_allocations() - live);
            continue;
        }
        for (int step = 0; step < 3; step++) {
            size_t half = step == 0 ? 4 : strlen(x);
            size_t at = mt_bytes_length(b);
            s = step == 1 ? mt_bytes_next(b, &got, &err) : mt_bytes_push(b, (const uint8_t *)x + at, half - at, &err);
            if (s) {
                failed = true;
                mt_fail_allocation_after(-1);
                model.fail_after = -1;
                CHECK(s == (allocator ? MT_ENOMEM : MT_ELIMIT), "%s", mt_status_name(s));
                at = mt_bytes_length(b);
                if (step != 1) CHECK_OK(mt_bytes_push(b, (const uint8_t *)x + at, half - at, &err));
            }
        }
        s = mt_bytes_next(b, &got, &err);
        if (s) {
            failed = true;
            mt_fail_allocation_after(-1);
            model.fail_after = -1;
            CHECK_OK(mt_bytes_next(b, &got, &err));
        }
        mt_fail_allocation_after(-1);
        model.fail_after = -1;
        CHECK(mt_bytes_length(b) == strlen(x), "%zu bytes", mt_bytes_length(b));
        CHECK(fabs(got.text_logprob - want.text_logprob) < 1e-12, "n = %d: %.17g", n, got.text_logprob);
        for (int k = 0; k < 257; k++)
            CHECK(fabs(exp(got.exact[k]) - exp(want.exact[k])) < 1e-12, "n = %d byte %d: %g %g", n, k, got.exact[k],
                  want.exact[k]);
        mt_bytes_free(b);
        CHECK(model.faults == 0 && model.held == 0, "n = %d: %d faults, %d contexts held", n, model.faults, model.held);
        CHECK(mt_live_allocations() == live, "n = %d: %zu blocks leaked", n, mt_live_allocations() - live);
    }
    printf("# target %d: %d places to fail\n", target, n - 1);
    CHECK(n > 3 && n < 5000, "%d", n);
}

static void check_errors(void) {
    toy t = toy_hash11();
    bigram_init(&model, &t, 12345, false);
    mt_bytes *b = byte_model(&t, &model, MT_TARGET_VALID, false);
    mt_next_bytes next;
    CHECK_OK(mt_bytes_push(b, (const uint8_t *)"abx", 3, &err));
    CHECK(mt_bytes_next(b, &next, &err) == MT_ERANGE && strstr(err.text, "no spelling"), "%s", err.text);
    ask(b, "ab", &next);
    CHECK(fabs(next.text_logprob) < 10, "usable again");
    CHECK(mt_bytes_set_beam(b, -1, 0, &err) == MT_ERANGE, "a negative beam");
    mt_bytes_free(b);
    mt_spell_source source = toy_source(&t);
    mt_lm lm = bigram_lm(&model, false);
    CHECK(mt_bytes_new_source(&source, &lm, (mt_target)7, &b, &err) == MT_EUNKNOWN && !b, "target 7");
    mt_cover cover;
    CHECK(mt_cover_find_source(&source, 12, (const uint8_t *)"abcabc", 6, 1, &cover, &err) == MT_ELIMIT, "%s",
          err.text);
}

int main(void) {
    CASE("HASH-11 ALL: text and next-byte probabilities");
    check_values(MT_TARGET_ALL, false, false, all_values, 5);
    check_values(MT_TARGET_ALL, false, true, all_values, 5);
    CASE("HASH-11 CAN: the masked target on the leaky model");
    check_values(MT_TARGET_MASKED, false, false, can_values, 4);
    CASE("HASH-11 CAN: all targets but `all` agree on the canonical model");
    check_values(MT_TARGET_MASKED, true, false, can_values, 4);
    check_values(MT_TARGET_VALID, true, false, can_values, 4);
    CASE("sums to one, chain rule, Pr(x) = sum Pr(xb) + Pr(x ends)");
    check_chain(MT_TARGET_VALID, false);
    check_chain(MT_TARGET_VALID, true);
    check_chain(MT_TARGET_MASKED, false);
    check_chain(MT_TARGET_ALL, false);
    CASE("streaming == static cover == enumeration, 3 279 strings");
    check_enumeration(MT_TARGET_VALID);
    check_enumeration(MT_TARGET_ALL);
    CASE("cover sizes");
    check_cover_sizes();
    CASE("draws of covers");
    check_draws(MT_TARGET_VALID);
    check_draws(MT_TARGET_ALL);
    CASE("ensembles of HASH-11 and HASH-7");
    check_ensemble();
    CASE("beams: divergence from the exact answer and a bound that holds");
    check_beam();
    CASE("one context per byte, whatever the cuts");
    check_streaming(MT_TARGET_VALID);
    check_streaming(MT_TARGET_MASKED);
    CASE("allocation failures");
    check_failures(MT_TARGET_VALID, true);
    check_failures(MT_TARGET_MASKED, true);
    check_failures(MT_TARGET_ALL, true);
    CASE("model failures");
    check_failures(MT_TARGET_VALID, false);
    check_failures(MT_TARGET_ALL, false);
    CASE("errors");
    check_errors();
    return test_end();
}
