/* Healing, alignment: the table of methods/tokenization.md §9.1 on HASH-11. */
#include "test_bias.h"

static mt_error err;
static bigram model;

typedef struct method {
    const char *name;
    int tokens;
    bool classic, keep;
    double all, can; /* mean total variation distance to the exact next byte */
} method;
static const method methods[] = {
    {"naive", 0, false, true, .3689, .5260},
    {"classic, k=1", 1, true, false, .0647, .0687},
    {"local masks, k=1", 1, false, false, .0540, .0496},
    {"local masks, k=2", 2, false, false, .0458, .0318},
    {"local masks, k=3", 3, false, false, .0445, .0318},
    {"local masks, all", -1, false, false, .0445, .0318},
    {"weights, k=1", 1, false, true, .0391, .0253},
    {"weights, k=2", 2, false, true, .0098, 0},
    {"weights, k=3", 3, false, true, .0004, 0},
    {"weights, all", -1, false, true, 0, 0},
};
enum { METHODS = sizeof methods / sizeof *methods };

static double variation(const double *p, const double *q) {
    double sum = 0;
    for (int c = 0; c < 257; c++) sum += fabs(exp(p[c]) - exp(q[c])) / 2;
    return sum;
}

static void table(bool canonical) {
    toy t = toy_hash11();
    bigram_init(&model, &t, 12345, canonical);
    mt_spell_source source = toy_source(&t);
    mt_lm lm = bigram_lm(&model, true);
    mt_bytes *exact = NULL;
    CHECK_OK(mt_bytes_new_source(&source, &lm, canonical ? MT_TARGET_VALID : MT_TARGET_ALL, &exact, &err));
    CHECK_OK(mt_bytes_set_beam(exact, 0, 0, &err));
    double sum[METHODS] = {0}, most_dead = 0;
    int better = 0;
    for (size_t i = 1; i <= 1092; i++) {
        uint8_t x[8];
        size_t n = 0;
        for (size_t k = i; k; k = (k - 1) / 3) x[n++] = "abc"[(k - 1) % 3];
        mt_next_bytes next;
        CHECK_OK(mt_bytes_reset(exact, &err));
        CHECK_OK(mt_bytes_push(exact, x, n, &err));
        CHECK_OK(mt_bytes_next(exact, &next, &err));
        double distance[METHODS];
        for (int m = 0; m < METHODS; m++) {
            mt_heal_options o = {.tokens = methods[m].tokens, .classic = methods[m].classic, .keep = methods[m].keep};
            mt_healed h;
            CHECK_OK(mt_heal_next_source(&source, &lm, x, n, &o, &h, &err));
            sum[m] += distance[m] = variation(h.next, next.exact);
            if (m == 0) CHECK(variation(h.next, next.naive) < 1e-12, "naive");
            if (!methods[m].keep && h.dead > most_dead) most_dead = h.dead;
            if (methods[m].tokens < 0 && methods[m].keep) CHECK(distance[m] < 1e-12, "%g", distance[m]);
        }
        better += distance[1] < distance[0] - 1e-15;
        if (n == 4 && memcmp(x, "abca", 4) == 0 && !canonical)
            CHECK(fabs(distance[1] - .263) < 5e-4 && fabs(distance[0] - distance[1]) < 1e-12, "abca %g %g", distance[0],
                  distance[1]);
        if (n == 3 && memcmp(x, "bcb", 3) == 0 && canonical)
            CHECK(fabs(distance[1] - .9735) < 5e-5, "bcb %g", distance[1]);
    }
    for (int m = 0; m < METHODS; m++) {
        double want = canonical ? methods[m].can : methods[m].all;
        printf("# %s %-18s %.4f\n", canonical ? "CAN" : "ALL", methods[m].name, sum[m] / 1092);
        CHECK(fabs(sum[m] / 1092 - want) < 5.3e-5, "%s: %.6f", methods[m].name, sum[m] / 1092);
    }
    printf("# classic is better than naive on %.1f %%; at most %.1f %% of the mass in dead ends\n", better / 10.92,
           most_dead * 100);
    CHECK(lround(better / 10.92) == (canonical ? 82 : 88), "%.2f %%", better / 10.92);
    if (canonical) CHECK(fabs(most_dead - .998) < 5e-4, "%g", most_dead);
    mt_bytes_free(exact);
    CHECK(model.faults == 0 && model.held == 0, "%d faults, %d contexts held", model.faults, model.held);
}

static void failures(void) {
    toy t = toy_hash11();
    bigram_init(&model, &t, 12345, false);
    mt_spell_source source = toy_source(&t);
    mt_lm lm = bigram_lm(&model, false);
    mt_heal_options o = {.tokens = -1, .keep = true, .limit = 3};
    mt_healed h;
    CHECK(mt_heal_next_source(&source, &lm, (const uint8_t *)"abcabc", 6, &o, &h, &err) == MT_ELIMIT, "%s", err.text);
    o.limit = 0;
    size_t live = mt_live_allocations();
    int n = 0;
    for (mt_status s = MT_ENOMEM; s != MT_OK && n < 2000; n++) {
        mt_fail_allocation_after(n);
        s = mt_heal_next_source(&source, &lm, (const uint8_t *)"abca", 4, &o, &h, &err);
        mt_fail_allocation_after(-1);
        CHECK(s == MT_OK || s == MT_ENOMEM, "%s", mt_status_name(s));
        CHECK(mt_live_allocations() == live && model.held == 0, "n = %d leaks", n);
    }
    CHECK(n > 5 && n < 2000, "%d", n);
    /* pruned paths are accounted for */
    o.epsilon = 1e-3;
    CHECK_OK(mt_heal_next_source(&source, &lm, (const uint8_t *)"abcabc", 6, &o, &h, &err));
    CHECK(h.dead > 0 && h.dead < 1, "%g", h.dead);
    CHECK(model.faults == 0 && model.held == 0, "%d faults", model.faults);
}

static void alignment(void) {
    toy t = toy_hash11();
    t.kind[toy_token(&t, "<s>", 3)] = MT_SPELL_NO; /* id 11: a control token */
    mt_spell_source source = toy_source(&t);
    mt_align *a = NULL;
    CHECK_OK(mt_align_new_source(&source, 12, &a, &err));
    const int32_t ids[] = {0, 11, 3, 5}; /* a <s> ab bc */
    size_t kept;
    CHECK_OK(mt_align_begin(a, ids, 4, 3, &kept, &err));
    CHECK(kept == 2 && mt_str_is(mt_align_left(a), "abbc"), "never over a control token: %zu kept", kept);
    const uint64_t *bits;
    CHECK_OK(mt_align_mask(a, &bits, &err));
    CHECK(bits[0] == ((1u << 0) | (1u << 3)), "a, ab: %llx", (unsigned long long)bits[0]);
    CHECK(mt_align_accept(a, 2, &err) == MT_ERANGE, "c is not allowed");
    CHECK(mt_align_accept(a, 11, &err) == MT_ERANGE, "a control token is not allowed");
    CHECK_OK(mt_align_accept(a, 3, &err));
    CHECK_OK(mt_align_mask(a, &bits, &err));
    CHECK(bits[0] == ((1u << 1) | (1u << 5) | (1u << 10)), "b, bc, bcbc: %llx", (unsigned long long)bits[0]);
    CHECK_OK(mt_align_accept(a, 10, &err));
    CHECK_OK(mt_align_mask(a, &bits, &err));
    CHECK(!bits && mt_align_left(a).n == 0, "everything is reproduced");
    CHECK_OK(mt_align_accept(a, 7, &err));
    /* classic: the residual "abbc" has no token that covers it, "bc" has two */
    mt_align_set_classic(a, true);
    CHECK_OK(mt_align_begin(a, ids, 4, 2, &kept, &err));
    CHECK_OK(mt_align_mask(a, &bits, &err));
    CHECK(bits[0] == 0, "nothing covers abbc: %llx", (unsigned long long)bits[0]);
    CHECK_OK(mt_align_begin(a, ids, 4, 1, &kept, &err));
    CHECK_OK(mt_align_mask(a, &bits, &err));
    CHECK(bits[0] == ((1u << 5) | (1u << 10)), "bc, bcbc: %llx", (unsigned long long)bits[0]);
    CHECK(mt_align_accept(a, 1, &err) == MT_ERANGE, "b does not cover bc");
    mt_align_set_classic(a, false);
    for (int32_t round = 0; round < 2; round++) /* kept masks are the same */
        for (int32_t id = 0; id < 11; id++) {
            CHECK_OK(mt_align_begin(a, &id, 1, 1, &kept, &err));
            CHECK_OK(mt_align_mask(a, &bits, &err));
            for (int32_t k = 0; k < 12; k++) {
                size_t n = t.length[k] < t.length[id] ? t.length[k] : t.length[id];
                bool want = k < 11 && memcmp(t.bytes[k], t.bytes[id], n) == 0;
                CHECK((bits[0] >> k & 1) == want, "token %d at the residual of %d", k, id);
            }
        }
    mt_align_free(a);
}

int main(void) {
    CASE("healing on HASH-11 ALL");
    table(false);
    CASE("healing on HASH-11 CAN");
    table(true);
    CASE("limits and allocation failures");
    failures();
    CASE("alignment");
    alignment();
    return test_end();
}
