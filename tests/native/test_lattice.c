/* Lattices against enumeration: published values of small ones, n-best lists, sums, posteriors, sampling (chi-square,
 * inclusion probabilities), the canonical path as a fourth BPE encoder, expectation maximisation that never loses. */
#include "test.h"

#include "token/lattice.h"

static mt_error err;

typedef struct dict {
    mt_vocab v;
    mt_bpe b;
    mt_matcher m;
} dict;

static void add(dict *d, const char *s) {
    int32_t id = d->v.size;
    CHECK_OK(mt_vocab_set_piece(&d->v, id, mt_str_of(s), &err));
    d->v.flags[id] = MT_MATCHES | MT_IN_MODEL;
}

static void close_dict(dict *d) {
    mt_matcher_free(&d->m);
    mt_bpe_free(&d->b);
    mt_vocab_free(&d->v);
}

static const char *const nine[] = {"a", "b", "c", "ab", "bc", "abc", "ca", "aa", "d"};
static double weight[9] = {.10, .10, .05, .20, .15, .10, .05, .05, .20};
static void open_nine(dict *d) {
    *d = (dict){0};
    for (int i = 0; i < 9; i++) add(d, nine[i]);
    CHECK_OK(mt_vocab_index_bytes(&d->v, &err));
    CHECK_OK(mt_matcher_open(&d->m, &d->v, -1, false, &err));
    for (int i = 0; i < 9; i++)
        if (weight[i] > 0) weight[i] = log(weight[i]);
}

static void spell(const dict *d, const mt_lattice *l, const mt_paths *p, size_t k, char *out) {
    *out = 0;
    for (size_t i = 0; i < p->path[k].len; i++) {
        mt_str s = mt_vocab_bytes(&d->v, l->edge[p->edge.data[p->path[k].first + i]].token);
        out += sprintf(out, "%s%.*s", i ? "|" : "", (int)s.n, (const char *)s.p);
    }
}

static bool same(const mt_paths *a, size_t i, const mt_paths *b, size_t j) {
    if (a->path[i].len != b->path[j].len) return false;
    for (size_t k = 0; k < a->path[i].len; k++)
        if (a->edge.data[a->path[i].first + k] != b->edge.data[b->path[j].first + k]) return false;
    return true;
}
static size_t index_of(const mt_paths *all, const mt_paths *p, size_t k) {
    for (size_t i = 0; i < all->len; i++)
        if (same(all, i, p, k)) return i;
    return SIZE_MAX;
}

static void test_table(void) {
    dict d;
    open_nine(&d);
    static const struct {
        const char *x, *best, *second;
        uint64_t count;
        double p1, p2, marginal, entropy;
    } table[] = {{"abcab", "abc|ab", "a|bc|ab", 10, .0200, .0030, -3.597029800, 0.987229274},
                 {"aabc", "a|abc", "aa|bc", 6, .0100, .0075, -3.897134393, 1.126410982},
                 {"abcabc", "abc|abc", "abc|a|bc", 20, .0100, .0015, -4.052564627, 1.535781117}};
    CASE("ACCEPTANCE 3: counts, two best paths, marginal and entropy of three texts");
    for (int i = 0; i < 3; i++) {
        mt_lattice l;
        mt_paths p = {0};
        uint64_t count;
        double value;
        char text[64];
        CHECK_OK(mt_lattice_open(&l, &d.m, weight, 0, (const uint8_t *)table[i].x, strlen(table[i].x), &err));
        CHECK_OK(mt_lattice_count(&l, &count, &value, &err));
        CHECK(count == table[i].count && fabs(value - log((double)count)) < 1e-12, "%d", (int)count);
        CHECK_OK(mt_lattice_nbest(&l, 2, 0, &p, &err));
        CHECK(p.len == 2, "%zu paths", p.len);
        spell(&d, &l, &p, 0, text);
        CHECK(!strcmp(text, table[i].best) && fabs(exp(p.path[0].score) - table[i].p1) < 1e-12, "%s", text);
        spell(&d, &l, &p, 1, text);
        CHECK(fabs(exp(p.path[1].score) - table[i].p2) < 1e-12, "%s: %g", text, exp(p.path[1].score));
        CHECK_OK(mt_lattice_marginal(&l, 1, &value, &err));
        CHECK(fabs(value - table[i].marginal) < 1e-9, "%.9f", value);
        CHECK_OK(mt_lattice_entropy(&l, 1, &value, &err));
        CHECK(fabs(value - table[i].entropy) < 1e-9, "%.9f", value);
        mt_paths_free(&p);
        mt_lattice_free(&l);
    }
    close_dict(&d);
}

static void test_enumeration(void) {
    dict d;
    open_nine(&d);
    mt_rng rng;
    mt_rng_seed(&rng, 1);
    CASE("ACCEPTANCE 3: random texts, n best lists: everything equals enumeration, at several temperatures");
    for (int round = 0; round < 60; round++) {
        uint8_t x[12];
        size_t n = mt_rng_below(&rng, 12);
        for (size_t i = 0; i < n; i++) x[i] = (uint8_t)('a' + mt_rng_below(&rng, 4));
        mt_lattice l;
        mt_paths all = {0}, best = {0}, one = {0};
        bool complete;
        uint64_t count;
        double log_count;
        CHECK_OK(mt_lattice_open(&l, &d.m, weight, 0, x, n, &err));
        CHECK_OK(mt_lattice_enumerate(&l, 1u << 20, &all, &complete, &err));
        CHECK_OK(mt_lattice_count(&l, &count, &log_count, &err));
        CHECK(complete && count == all.len, "%zu of %d", all.len, (int)count);
        CHECK_OK(mt_lattice_nbest(&l, all.len + 5, 0, &best, &err));
        CHECK(best.len == all.len, "n-best finds %zu of %zu", best.len, all.len);
        for (size_t i = 0; i < best.len; i++) {
            CHECK(index_of(&all, &best, i) < all.len, "not a path");
            CHECK(i == 0 || best.path[i].score <= best.path[i - 1].score + 1e-12, "order");
            for (size_t j = 0; j < i; j++) CHECK(!same(&best, i, &best, j), "twice");
        }
        CHECK_OK(mt_lattice_best(&l, MT_TIE_LONGEST_LAST, &one, &err));
        CHECK(fabs(one.path[0].score - best.path[0].score) < 1e-12, "best");
        double *posterior = malloc((l.edges + 1) * sizeof *posterior), *sum = calloc(l.edges + 1, sizeof *sum);
        for (double theta = 0; theta < 2; theta += 0.5) {
            double total = 0, entropy = 0, value;
            memset(sum, 0, l.edges * sizeof *sum);
            for (size_t i = 0; i < all.len; i++) total += exp(theta * all.path[i].score);
            for (size_t i = 0; i < all.len; i++) {
                double q = exp(theta * all.path[i].score) / total;
                entropy -= q * log(q);
                for (size_t k = 0; k < all.path[i].len; k++) sum[all.edge.data[all.path[i].first + k]] += q;
            }
            CHECK_OK(mt_lattice_marginal(&l, theta, &value, &err));
            CHECK(fabs(value - log(total)) < 1e-11, "marginal");
            CHECK_OK(mt_lattice_entropy(&l, theta, &value, &err));
            CHECK(fabs(value - entropy) < 1e-11, "entropy %.12f, expected %.12f", value, entropy);
            CHECK_OK(mt_lattice_posterior(&l, theta, posterior, &err));
            for (size_t i = 0; i < l.edges; i++) CHECK(fabs(posterior[i] - sum[i]) < 1e-11, "posterior");
            double *beta = malloc(l.nodes * sizeof *beta);
            CHECK(fabs(mt_lattice_backward(&l, theta, beta) - log(total)) < 1e-11, "backward");
            free(beta);
        }
        free(posterior);
        free(sum);
        mt_paths_free(&all);
        mt_paths_free(&best);
        mt_paths_free(&one);
        mt_lattice_free(&l);
    }
    CASE("limits: cap of an enumeration, hypotheses, no path, counts beyond 64 bits");
    mt_lattice l;
    mt_paths p = {0};
    bool complete;
    CHECK_OK(mt_lattice_open(&l, &d.m, weight, 0, (const uint8_t *)"abcabc", 6, &err));
    CHECK_OK(mt_lattice_enumerate(&l, 19, &p, &complete, &err));
    CHECK(p.len == 19 && !complete, "%zu", p.len);
    p.len = 0;
    CHECK_OK(mt_lattice_enumerate(&l, 20, &p, &complete, &err));
    CHECK(p.len == 20 && complete, "%zu", p.len);
    CHECK(mt_lattice_nbest(&l, 10, 5, &p, &err) == MT_ELIMIT, "limit");
    mt_lattice_free(&l);
    CHECK_OK(mt_lattice_open(&l, &d.m, weight, 0, (const uint8_t *)"abxab", 5, &err));
    CHECK(mt_lattice_best(&l, MT_TIE_LONGEST_LAST, &p, &err) == MT_EMISSING, "no path");
    uint64_t count;
    double value;
    CHECK_OK(mt_lattice_count(&l, &count, &value, &err));
    CHECK(count == 0 && value == -INFINITY, "no path");
    CHECK_OK(mt_lattice_entropy(&l, 1, &value, &err));
    CHECK(value == 0, "no path");
    p.len = 0;
    CHECK_OK(mt_lattice_nbest(&l, 10, 0, &p, &err));
    CHECK(p.len == 0, "no path");
    CHECK(mt_lattice_sample(&l, 1, 1, &(mt_rng){{1}}, &p, &err) == MT_EMISSING, "no path");
    mt_lattice_free(&l);
    uint8_t many[400];
    memset(many, 'a', sizeof many);
    CHECK_OK(mt_lattice_open(&l, &d.m, weight, 0, many, sizeof many, &err));
    CHECK_OK(mt_lattice_count(&l, &count, &value, &err)); /* a and aa: Fibonacci(401) */
    CHECK(count == UINT64_MAX && fabs(value - (401 * log((1 + sqrt(5)) / 2) - log(5) / 2)) < 1e-9, "%.12f", value);
    mt_lattice_free(&l);
    mt_paths_free(&p);
    close_dict(&d);
}

static void test_ties(void) {
    dict d = {0};
    add(&d, "a");
    add(&d, "b");
    add(&d, "ab");
    add(&d, "ba");
    CHECK_OK(mt_vocab_index_bytes(&d.v, &err));
    CHECK_OK(mt_matcher_open(&d.m, &d.v, 7, false, &err));
    CASE("ties of the best path: longest or shortest last token; an unknown symbol");
    static double equal[4] = {-1, -1, -1, -1};
    mt_lattice l;
    mt_paths p = {0};
    char text[64];
    CHECK_OK(mt_lattice_open(&l, &d.m, equal, -20, (const uint8_t *)"aba", 3, &err));
    CHECK_OK(mt_lattice_best(&l, MT_TIE_LONGEST_LAST, &p, &err));
    CHECK_OK(mt_lattice_best(&l, MT_TIE_SHORTEST_LAST, &p, &err));
    spell(&d, &l, &p, 0, text);
    CHECK(!strcmp(text, "a|ba"), "%s", text);
    spell(&d, &l, &p, 1, text);
    CHECK(!strcmp(text, "ab|a"), "%s", text);
    mt_lattice_free(&l);
    CHECK_OK(mt_lattice_open(&l, &d.m, equal, -20, (const uint8_t *)"abxb", 4, &err));
    mt_segments s = {0};
    CHECK_OK(mt_lattice_best(&l, MT_TIE_LONGEST_LAST, &p, &err));
    CHECK_OK(mt_lattice_tokens(&l, &p, 2, &s, &err));
    CHECK(s.ids.len == 3 && s.ids.data[1] == 7 && s.ends.data[1] == 3 && p.path[2].score == -22, "unknown");
    mt_segments_free(&s);
    mt_lattice_free(&l);
    mt_paths_free(&p);
    close_dict(&d);
}

/* Upper 0.001 point of chi-square, Wilson & Hilferty. */
static double chi_limit(double df) {
    double t = 1 - 2 / (9 * df) + 3.09 * sqrt(2 / (9 * df));
    return df * t * t * t;
}

static void test_sampling(void) {
    enum { TIMES = 100000 };
    dict d;
    open_nine(&d);
    mt_rng rng;
    mt_rng_seed(&rng, 42);
    CASE("ACCEPTANCE 3: samples: chi-square against enumeration, proportional and uniform");
    mt_lattice l;
    mt_paths all = {0}, p = {0};
    bool complete;
    CHECK_OK(mt_lattice_open(&l, &d.m, weight, 0, (const uint8_t *)"abcabc", 6, &err));
    CHECK_OK(mt_lattice_enumerate(&l, 100, &all, &complete, &err));
    double prob[20];
    for (double theta = 0; theta <= 1; theta += 1) {
        double total = 0, chi = 0, rare = 0, rare_seen = 0;
        size_t seen[20] = {0};
        for (size_t i = 0; i < 20; i++) total += prob[i] = exp(theta * all.path[i].score);
        for (size_t i = 0; i < 20; i++) prob[i] /= total;
        p.len = p.edge.len = 0;
        CHECK_OK(mt_lattice_sample(&l, theta, TIMES, &rng, &p, &err));
        for (size_t i = 0; i < TIMES; i++) seen[index_of(&all, &p, i)]++;
        int classes = 0;
        for (size_t i = 0; i < 20; i++) {
            double e = prob[i] * TIMES;
            if (e < 10) { /* pooled */
                rare += e;
                rare_seen += (double)seen[i];
                continue;
            }
            chi += ((double)seen[i] - e) * ((double)seen[i] - e) / e;
            classes++;
        }
        if (rare > 0) {
            chi += (rare_seen - rare) * (rare_seen - rare) / rare;
            classes++;
        }
        CHECK(chi < chi_limit(classes - 1), "theta %.0f: chi-square %.1f of %d classes", theta, chi, classes);
    }
    CASE("samples without replacement: the first is a plain sample, sets have their exact probability, sums are "
         "unbiased");
    {
        double total = 0, chi = 0;
        for (size_t i = 0; i < 20; i++) total += prob[i] = exp(all.path[i].score);
        for (size_t i = 0; i < 20; i++) prob[i] /= total;
        static size_t pair[20][20];
        double estimate = 0, square = 0, pooled = 0, pooled_seen = 0;
        int classes = 0;
        enum { ROUNDS = 50000 };
        for (int r = 0; r < ROUNDS; r++) {
            p.len = p.edge.len = 0;
            CHECK_OK(mt_lattice_sample_distinct(&l, 1, 2, 0, &rng, &p, &err));
            CHECK(p.len == 2, "%zu", p.len);
            size_t i = index_of(&all, &p, 0), j = index_of(&all, &p, 1);
            CHECK(i != j, "the same path twice");
            pair[i][j]++;
            double sum = 0; /* number of tokens, by inclusion weights */
            for (size_t k = 0; k < 2; k++)
                sum += (double)p.path[k].len * exp(p.path[k].score) / total / p.path[k].inclusion;
            estimate += sum;
            square += sum * sum;
        }
        for (size_t i = 0; i < 20; i++)
            for (size_t j = 0; j < 20; j++) {
                if (i == j) continue;
                double e = ROUNDS * prob[i] * prob[j] / (1 - prob[i]);
                if (e < 10) {
                    pooled += e;
                    pooled_seen += (double)pair[i][j];
                    continue;
                }
                chi += ((double)pair[i][j] - e) * ((double)pair[i][j] - e) / e;
                classes++;
            }
        chi += (pooled_seen - pooled) * (pooled_seen - pooled) / pooled;
        CHECK(chi < chi_limit(classes), "chi-square %.1f of %d classes", chi, classes + 1);
        double truth = 0;
        for (size_t i = 0; i < 20; i++) truth += prob[i] * (double)all.path[i].len;
        estimate /= ROUNDS;
        double sd = sqrt((square / ROUNDS - estimate * estimate) / ROUNDS);
        CHECK(fabs(estimate - truth) < 4 * sd, "%.4f +- %.4f, expected %.4f", estimate, sd, truth);
        p.len = p.edge.len = 0;
        CHECK_OK(mt_lattice_sample_distinct(&l, 1, 50, 0, &rng, &p, &err));
        CHECK(p.len == 20 && p.path[19].inclusion == 1, "all %zu paths", p.len);
    }
    mt_paths_free(&all);
    mt_paths_free(&p);
    CASE("lattices: every allocation may fail");
    mt_lattice_free(&l);
    size_t live = mt_live_allocations();
    for (int64_t fail = 0;; fail++) {
        mt_lattice m = {0};
        mt_paths q = {0};
        uint64_t count;
        double value, posterior[64];
        bool done;
        mt_fail_allocation_after(fail);
        mt_status s = mt_lattice_open(&m, &d.m, weight, 0, (const uint8_t *)"abcabcab", 8, &err);
        if (s == MT_OK) s = mt_lattice_count(&m, &count, &value, &err);
        if (s == MT_OK) s = mt_lattice_entropy(&m, 1, &value, &err);
        if (s == MT_OK) s = mt_lattice_posterior(&m, 1, posterior, &err);
        if (s == MT_OK) s = mt_lattice_best(&m, MT_TIE_LONGEST_LAST, &q, &err);
        if (s == MT_OK) s = mt_lattice_nbest(&m, 5, 0, &q, &err);
        if (s == MT_OK) s = mt_lattice_enumerate(&m, 100, &q, &done, &err);
        if (s == MT_OK) s = mt_lattice_sample(&m, 1, 5, &rng, &q, &err);
        if (s == MT_OK) s = mt_lattice_sample_distinct(&m, 1, 5, 0, &rng, &q, &err);
        mt_fail_allocation_after(-1);
        mt_lattice_free(&m);
        mt_paths_free(&q);
        CHECK(mt_live_allocations() == live, "leak at %d", (int)fail);
        if (s == MT_OK) break;
        CHECK(s == MT_ENOMEM, "%s", err.text);
    }
    close_dict(&d);
}

/* HASH-11: all segmentations of all strings of up to 8 letters; the canonical one is BPE's. */
static void test_canonical(void) {
    static const char *const merges[][2] = {{"a", "b"},  {"ab", "c"}, {"b", "c"},   {"c", "a"},
                                            {"ca", "b"}, {"a", "a"},  {"abc", "a"}, {"bc", "bc"}};
    dict d = {0};
    add(&d, "a");
    add(&d, "b");
    add(&d, "c");
    for (int i = 0; i < 8; i++) {
        char joined[16];
        snprintf(joined, sizeof joined, "%s%s", merges[i][0], merges[i][1]);
        add(&d, joined);
    }
    CHECK_OK(mt_vocab_index_bytes(&d.v, &err));
    d.b.base_bytes = true;
    for (int i = 0; i < 8; i++)
        CHECK_OK(mt_bpe_add_pair(&d.b, mt_vocab_find_bytes(&d.v, (const uint8_t *)merges[i][0], strlen(merges[i][0])),
                                 mt_vocab_find_bytes(&d.v, (const uint8_t *)merges[i][1], strlen(merges[i][1])),
                                 (uint32_t)i, 3 + i, &err));
    CHECK_OK(mt_bpe_finish(&d.b, &d.v, &err));
    CHECK_OK(mt_matcher_open(&d.m, &d.v, -1, false, &err));
    CASE("HASH-11: 83108 segmentations of 9840 strings, exactly one of each canonical, and it is BPE's");
    static const uint64_t expected[9] = {0, 3, 13, 53, 219, 901, 3711, 15281, 62927};
    uint64_t total = 0, canonical_total = 0;
    mt_ids bpe = {0};
    mt_paths p = {0};
    mt_segments s = {0};
    for (size_t length = 1, strings = 3; length <= 8; length++, strings *= 3) {
        uint64_t here = 0;
        for (size_t i = 0; i < strings; i++) {
            uint8_t x[8];
            for (size_t k = 0, r = i; k < length; k++, r /= 3) x[k] = (uint8_t)('a' + r % 3);
            mt_lattice l, canonical;
            uint64_t count;
            double value;
            CHECK_OK(mt_lattice_open(&l, &d.m, NULL, 0, x, length, &err));
            CHECK_OK(mt_lattice_count(&l, &count, &value, &err));
            here += count;
            CHECK_OK(mt_lattice_restrict(&l, mt_lattice_bpe_pair, &d.b, &canonical, &err));
            CHECK_OK(mt_lattice_count(&canonical, &count, &value, &err));
            CHECK(count == 1, "%d canonical paths", (int)count);
            canonical_total += count;
            p.len = p.edge.len = s.ids.len = s.ends.len = bpe.len = 0;
            size_t used;
            CHECK_OK(mt_lattice_best(&canonical, MT_TIE_LONGEST_LAST, &p, &err));
            CHECK_OK(mt_lattice_tokens(&canonical, &p, 0, &s, &err));
            CHECK_OK(mt_bpe_encode_known(&d.b, x, length, MT_BPE_HEAP, &bpe, &used, &err));
            CHECK(s.ids.len == bpe.len && !memcmp(s.ids.data, bpe.data, bpe.len * 4), "string %zu", i);
            mt_lattice_free(&l);
            mt_lattice_free(&canonical);
        }
        CHECK(here == expected[length], "length %zu: %d", length, (int)here);
        total += here;
    }
    CHECK(total == 83108 && canonical_total == 9840, "%d, %d", (int)total, (int)canonical_total);
    mt_ids_free(&bpe);
    mt_paths_free(&p);
    mt_segments_free(&s);
    close_dict(&d);
}

static void test_em(void) {
    dict d;
    open_nine(&d);
    CASE("ACCEPTANCE 3: plain EM over lattices never loses likelihood, and reaches a fixed point");
    static const char *const texts[] = {"abcab", "aabc", "abcabc", "dabca", "cabcaab", "bcbcd", "aaab"};
    double w[9], before = -INFINITY, gain = 1;
    memcpy(w, weight, sizeof w);
    for (int step = 0; step < 200; step++) {
        double expected[9] = {0}, likelihood = 0, sum = 0;
        for (size_t t = 0; t < 7; t++) {
            mt_lattice l;
            double value, posterior[128];
            CHECK_OK(mt_lattice_open(&l, &d.m, w, 0, (const uint8_t *)texts[t], strlen(texts[t]), &err));
            CHECK_OK(mt_lattice_marginal(&l, 1, &value, &err));
            likelihood += value;
            CHECK_OK(mt_lattice_posterior(&l, 1, posterior, &err));
            for (size_t e = 0; e < l.edges; e++) expected[l.edge[e].token] += posterior[e];
            mt_lattice_free(&l);
        }
        CHECK(likelihood >= before - 1e-12, "step %d: %.15f after %.15f", step, likelihood, before);
        gain = likelihood - before;
        before = likelihood;
        for (int i = 0; i < 9; i++) sum += expected[i];
        for (int i = 0; i < 9; i++) w[i] = log(expected[i] / sum);
    }
    CHECK(gain < 1e-6, "still gaining %g", gain);
    close_dict(&d);
}

int main(void) {
    test_table();
    test_enumeration();
    test_ties();
    test_sampling();
    test_canonical();
    test_em();
    return test_end();
}
