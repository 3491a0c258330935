/* Choosing a byte from bounds, expected text and bulk scores against the plain next-byte answer. */
#include "test_bias.h"

static mt_error err;
static bigram model; /* large: not on the stack */

static mt_bytes *byte_model(toy *t, mt_target target) {
    mt_spell_source source = toy_source(t);
    mt_lm lm = bigram_lm(&model, false);
    mt_bytes *b = NULL;
    CHECK_OK(mt_bytes_new_source(&source, &lm, target, &b, &err));
    if (b && target == MT_TARGET_ALL) CHECK_OK(mt_bytes_set_beam(b, 0, 0, &err));
    return b;
}
static void restart(mt_bytes *b, const uint8_t *x, size_t n) {
    CHECK_OK(mt_bytes_reset(b, &err));
    CHECK_OK(mt_bytes_push(b, x, n, &err));
}
static bool same(const mt_next_bytes *a, const mt_next_bytes *b) {
    bool yes = fabs(a->text_logprob - b->text_logprob) < 1e-11;
    for (int c = 0; c < 257; c++) yes &= fabs(exp(a->exact[c]) - exp(b->exact[c])) < 1e-12;
    return yes;
}

/* The r-th of all strings over the alphabet, shortest first. */
static size_t string_of(int r, uint8_t *x) {
    size_t n = 0;
    for (r++; r > 0; r = (r - 1) / 3) x[n++] = "abc"[(r - 1) % 3];
    return n - 1; /* the first, of length 1, stands for the empty one */
}

/* Drawn with every r of a fine grid, each byte comes as often as its probability says; the most probable one is found.
 * The state is new each time, so that nothing is known beforehand. */
static void check_pick(mt_target target, int strings) {
    enum { GRID = 2000 };
    toy t = toy_hash11();
    bigram_init(&model, &t, 12345, false);
    mt_bytes *b = byte_model(&t, target);
    mt_next_bytes next;
    int32_t got;
    uint64_t rows = 0, full = 0;
    for (int s = 0; s < strings; s++) {
        uint8_t x[16];
        size_t n = string_of(s * 7, x);
        restart(b, x, n);
        int before = model.rows;
        CHECK_OK(mt_bytes_next(b, &next, &err));
        full += (uint64_t)(model.rows - before);
        int best = 0, count[257] = {0};
        for (int c = 1; c < 257; c++)
            if (next.exact[c] > next.exact[best]) best = c;
        restart(b, x, n);
        before = model.rows;
        CHECK_OK(mt_bytes_pick(b, NULL, &got, &err));
        rows += (uint64_t)(model.rows - before);
        CHECK(got == best, "%.*s: %d, not %d", (int)n, x, got, best);
        for (int i = 0; i < GRID; i++) {
            double r = (i + .5) / GRID;
            restart(b, x, n);
            CHECK_OK(mt_bytes_pick(b, &r, &got, &err));
            if (got >= 0 && got <= 256) count[got]++;
        }
        for (int c = 0; c < 257; c++) /* a byte's share is in at most one piece a round */
            CHECK(fabs(count[c] - GRID * exp(next.exact[c])) < 8, "%.*s: byte %d %d times, probability %g", (int)n, x,
                  c, count[c], exp(next.exact[c]));
    }
    printf("# target %d: %llu rows for the most probable byte, %llu for all\n", target, (unsigned long long)rows,
           (unsigned long long)full);
    CHECK(target == MT_TARGET_ALL ? rows < full : rows <= full, "%llu of %llu", (unsigned long long)rows,
          (unsigned long long)full);
    mt_bytes_free(b);
    CHECK(model.faults == 0 && model.held == 0, "%d faults, %d contexts held", model.faults, model.held);
}

/* Expected text changes no answer, whether it comes or not, and costs no more passes than it has to. */
static void check_expect(mt_target target) {
    toy t = toy_hash11();
    bigram_init(&model, &t, 12345, false);
    mt_bytes *b = byte_model(&t, target), *plain = byte_model(&t, target);
    mt_rng rng;
    mt_rng_seed(&rng, 3);
    mt_next_bytes got, want;
    for (int round = 0; round < 400; round++) {
        if (round % 10 == 0) {
            restart(b, NULL, 0);
            restart(plain, NULL, 0);
        }
        uint8_t expected[8], x[8];
        size_t n = (size_t)mt_rng_below(&rng, 9), m = 1 + (size_t)mt_rng_below(&rng, 8);
        for (size_t i = 0; i < 8; i++) expected[i] = x[i] = "abc"[mt_rng_below(&rng, 3)];
        if (mt_rng_below(&rng, 2)) x[mt_rng_below(&rng, 8)] = "abc"[mt_rng_below(&rng, 3)];
        if (mt_rng_below(&rng, 2)) CHECK_OK(mt_bytes_next(b, &got, &err));
        CHECK_OK(mt_bytes_expect(b, expected, n, &err));
        for (size_t i = 0; i < m; i++) {
            if (mt_rng_below(&rng, 3)) {
                CHECK_OK(mt_bytes_next(b, &got, &err));
                CHECK_OK(mt_bytes_next(plain, &want, &err));
                CHECK(same(&got, &want), "round %d, byte %zu", round, i);
            }
            CHECK_OK(mt_bytes_push(b, x + i, 1, &err));
            CHECK_OK(mt_bytes_push(plain, x + i, 1, &err));
        }
    }
    restart(b, (const uint8_t *)"ab", 2);
    CHECK_OK(mt_bytes_expect(b, (const uint8_t *)"cax", 3, &err)); /* no token starts with x */
    CHECK_OK(mt_bytes_next(b, &got, &err));
    mt_buf json = {0};
    CHECK_OK(mt_bytes_tree(b, &json, &err));
    mt_buf_free(&json);
    mt_bytes_free(b);
    mt_bytes_free(plain);
    CHECK(model.faults == 0 && model.held == 0, "%d faults, %d contexts held", model.faults, model.held);
}

static void check_scores(mt_target target) {
    toy t = toy_hash11();
    bigram_init(&model, &t, 12345, false);
    mt_bytes *b = byte_model(&t, target);
    mt_rng rng;
    mt_rng_seed(&rng, 5);
    uint8_t x[150];
    double got[150];
    mt_next_bytes next, bulk;
    mt_bytes_stats before, after;
    size_t n = target == MT_TARGET_ALL ? 10 : sizeof x;
    for (size_t i = 0; i < n; i++) x[i] = "abc"[mt_rng_below(&rng, 3)];
    mt_bytes_stats_get(b, &before);
    CHECK_OK(mt_bytes_push_scored(b, x, n, got, &err));
    mt_bytes_stats_get(b, &after);
    CHECK_OK(mt_bytes_next(b, &bulk, &err));
    CHECK(target == MT_TARGET_ALL || after.passes - before.passes <= 4, "%llu passes for %zu bytes",
          (unsigned long long)(after.passes - before.passes), n);
    restart(b, NULL, 0);
    for (size_t i = 0; i < n; i++) {
        CHECK_OK(mt_bytes_next(b, &next, &err));
        CHECK(fabs(next.exact[x[i]] - got[i]) < 1e-12, "byte %zu: %.17g %.17g", i, got[i], next.exact[x[i]]);
        CHECK_OK(mt_bytes_push(b, x + i, 1, &err));
    }
    CHECK_OK(mt_bytes_next(b, &next, &err));
    CHECK(same(&next, &bulk), "after all");
    mt_bytes_free(b);
    CHECK(model.faults == 0 && model.held == 0, "%d faults, %d contexts held", model.faults, model.held);
}

/* Drawing with probabilities, temperature and nucleus against their definitions. */
static void check_draw(void) {
    toy t = toy_hash11();
    bigram_init(&model, &t, 12345, false);
    mt_bytes *b = byte_model(&t, MT_TARGET_VALID);
    mt_next_bytes next;
    static const mt_byte_choice how[] = {{1, 1}, {.5, 1}, {2, 1}, {1, .6}, {0, 1}};
    enum { GRID = 1000 };
    for (size_t k = 0; k < sizeof how / sizeof *how; k++) {
        restart(b, (const uint8_t *)"abca", 4);
        CHECK_OK(mt_bytes_next(b, &next, &err));
        double p[257], sum = 0, kept = 0;
        int count[257] = {0};
        for (int c = 0; c < 257; c++)
            sum += p[c] = how[k].temperature > 0 ? pow(exp(next.exact[c]), 1 / how[k].temperature) : 0;
        for (int c = 0; c < 257; c++) p[c] /= sum;
        if (how[k].temperature == 0) p['b'] = 1;
        if (how[k].top_p < 1) { /* b .54, a .25 */
            for (int c = 0; c < 257; c++) kept += c == 'b' || c == 'a' ? p[c] : (p[c] = 0);
            for (int c = 0; c < 257; c++) p[c] /= kept;
        }
        for (int c = 0; how[k].temperature == 0 && c < 257; c++) p[c] = c == 'b';
        for (int i = 0; i < GRID; i++) {
            int32_t got;
            double logp;
            restart(b, (const uint8_t *)"abca", 4);
            CHECK_OK(mt_bytes_draw(b, &how[k], (i + .5) / GRID, &got, &logp, &err));
            CHECK(fabs(logp - next.exact[got]) < 1e-12, "symbol %d: %g", got, logp);
            count[got]++;
        }
        for (int c = 0; c < 257; c++)
            CHECK(fabs(count[c] - GRID * p[c]) < 2, "choice %zu, byte %d: %d times, probability %g", k, c, count[c],
                  p[c]);
    }
    int32_t got;
    double r = 1;
    CHECK(mt_bytes_pick(b, &r, &got, &err) == MT_ERANGE, "r = 1");
    CHECK(mt_bytes_draw(b, &(mt_byte_choice){-1, 1}, 0, &got, NULL, &err) == MT_ERANGE, "a negative temperature");
    CHECK(mt_bytes_draw(b, &(mt_byte_choice){1, 0}, 0, &got, NULL, &err) == MT_ERANGE, "nothing is left");
    mt_bytes_free(b);
    CHECK(model.faults == 0 && model.held == 0, "%d faults, %d contexts held", model.faults, model.held);
}

/* Probabilities of all continuations of n bytes, or fewer with the end, by pushing each. */
static int enumerate(mt_bytes *b, const uint8_t *x, size_t n, double logp, uint8_t *y, int length, double *out) {
    mt_next_bytes next;
    uint8_t text[32];
    int count = 0, m = 0;
    while (y[m]) m++;
    if (m == length) {
        out[0] = logp;
        return 1;
    }
    memcpy(text, x, n);
    memcpy(text + n, y, (size_t)m);
    restart(b, text, n + (size_t)m);
    CHECK_OK(mt_bytes_next(b, &next, &err));
    if (next.exact[256] > -INFINITY) out[count++] = logp + next.exact[256];
    for (int c = 0; c < 256; c++) {
        if (next.exact[c] == -INFINITY) continue;
        y[m] = (uint8_t)c;
        count += enumerate(b, x, n, logp + next.exact[c], y, length, out + count);
        y[m] = 0;
    }
    return count;
}
static int falling(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x > y ? -1 : x < y;
}

/* A beam that keeps everything finds all continuations; a narrow one says how good what it let go can be. */
static void check_best(mt_target target) {
    enum { LENGTH = 4 };
    static double all[512];
    toy t = toy_hash11();
    bigram_init(&model, &t, 12345, false);
    mt_bytes *b = byte_model(&t, target);
    for (int s = 0; s < 12; s++) {
        uint8_t x[16], y[LENGTH + 1] = {0};
        size_t n = string_of(s * 5, x);
        int count = enumerate(b, x, n, 0, y, LENGTH, all);
        qsort(all, (size_t)count, sizeof *all, falling);
        mt_next_bytes before, after;
        for (int32_t width = 1; width <= 256; width *= 4) {
            mt_byte_paths best;
            restart(b, x, n);
            if (s % 2) CHECK_OK(mt_bytes_next(b, &before, &err));
            CHECK_OK(mt_bytes_best(b, LENGTH, width, &best, &err));
            CHECK(width < 256 || (best.count == count && best.pruned == -INFINITY), "%d of %d", best.count, count);
            for (int32_t i = 0; i < best.count; i++) {
                const mt_byte_path *p = &best.path[i];
                bool sure = p->logp > best.pruned;
                CHECK(sure ? fabs(p->logp - all[i]) < 1e-10 : p->logp < all[i] + 1e-10, "%.*s, %d: %d: %.12g, %.12g",
                      (int)n, x, width, i, p->logp, all[i]);
                CHECK(p->at + p->n <= best.bytes.len && (p->ends ? p->n < LENGTH : p->n == LENGTH), "%zu", p->n);
            }
            mt_byte_paths_free(&best);
            CHECK_OK(mt_bytes_next(b, &after, &err));
            restart(b, x, n);
            CHECK_OK(mt_bytes_next(b, &before, &err));
            CHECK(same(&before, &after), "the state has moved");
        }
    }
    mt_byte_paths best;
    CHECK(mt_bytes_best(b, 0, 4, &best, &err) == MT_ERANGE && mt_bytes_best(b, 4, 0, &best, &err) == MT_ERANGE, "0");
    mt_bytes_free(b);
    CHECK(model.faults == 0 && model.held == 0, "%d faults, %d contexts held", model.faults, model.held);
}

/* The model or the allocator fails at every place: no leak, and the answer is the same when it is asked again. */
static void check_failures(bool allocator) {
    toy t = toy_hash11();
    bigram_init(&model, &t, 12345, false);
    for (int32_t i = 0; i < t.count; i++)
        for (int32_t j = 0; j < t.count; j++) toy_pair_ok(&t, i, j);
    mt_next_bytes want, next;
    mt_bytes *b = byte_model(&t, MT_TARGET_VALID);
    restart(b, (const uint8_t *)"abcab", 5);
    CHECK_OK(mt_bytes_next(b, &want, &err));
    mt_bytes_free(b);
    size_t live = mt_live_allocations();
    int n = 0;
    for (bool failed = true; failed && n < 3000; n++) {
        b = byte_model(&t, MT_TARGET_VALID);
        CHECK_OK(mt_bytes_push(b, (const uint8_t *)"abc", 3, &err));
        if (allocator)
            mt_fail_allocation_after(n);
        else
            model.fail_after = n;
        double logp[2];
        int32_t symbol;
        mt_status s = mt_bytes_pick(b, NULL, &symbol, &err);
        if (!s) s = mt_bytes_expect(b, (const uint8_t *)"abca", 4, &err);
        mt_byte_paths best = {0};
        if (!s) s = mt_bytes_best(b, 2, 3, &best, &err);
        mt_byte_paths_free(&best);
        if (!s) s = mt_bytes_push_scored(b, (const uint8_t *)"ab", 2, logp, &err);
        mt_fail_allocation_after(-1);
        model.fail_after = -1;
        failed = s != MT_OK;
        CHECK(!failed || s == (allocator ? MT_ENOMEM : MT_ELIMIT), "%s", mt_status_name(s));
        size_t at = mt_bytes_length(b);
        CHECK_OK(mt_bytes_push(b, (const uint8_t *)"abcab" + at, 5 - at, &err));
        CHECK_OK(mt_bytes_next(b, &next, &err));
        CHECK(same(&next, &want), "n = %d", n);
        mt_bytes_free(b);
        CHECK(model.faults == 0 && model.held == 0, "n = %d: %d faults, %d contexts held", n, model.faults, model.held);
        CHECK(mt_live_allocations() == live, "n = %d: %zu blocks leaked", n, mt_live_allocations() - live);
    }
    printf("# %d places to fail\n", n - 1);
    CHECK(n > 3 && n < 3000, "%d", n);
}

int main(void) {
    CASE("chosen from bounds: the most probable byte, and drawn as often as its probability says");
    check_pick(MT_TARGET_VALID, 40);
    check_pick(MT_TARGET_MASKED, 40);
    check_pick(MT_TARGET_ALL, 12);
    CASE("expected text changes no answer");
    check_expect(MT_TARGET_VALID);
    check_expect(MT_TARGET_MASKED);
    CASE("scores of a text's bytes, in few passes");
    check_scores(MT_TARGET_VALID);
    check_scores(MT_TARGET_MASKED);
    check_scores(MT_TARGET_ALL);
    CASE("the best continuations");
    check_best(MT_TARGET_VALID);
    check_best(MT_TARGET_MASKED);
    check_best(MT_TARGET_ALL);
    CASE("temperature and nucleus");
    check_draw();
    CASE("failures");
    check_failures(true);
    check_failures(false);
    return test_end();
}
