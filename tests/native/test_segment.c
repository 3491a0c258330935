/* Segmenters other than BPE's own: every string of up to 8 letters over a small dictionary against published totals and
 * brute force; dropout against exact distributions by recursion; Huffman codes. Fixture HASH-11: letters abc, eight
 * merges. */
#include "test.h"

#include "base/sort.h"
#include "token/segment.h"

static mt_error err;

typedef struct dict {
    mt_vocab v;
    mt_bpe b;
    mt_matcher m;
} dict;

static const char *const merges[][2] = {{"a", "b"},  {"ab", "c"}, {"b", "c"},   {"c", "a"},
                                        {"ca", "b"}, {"a", "a"},  {"abc", "a"}, {"bc", "bc"}};

static void add(dict *d, const char *s) {
    int32_t id = d->v.size;
    CHECK_OK(mt_vocab_set_piece(&d->v, id, mt_str_of(s), &err));
    d->v.flags[id] = MT_MATCHES | MT_IN_MODEL;
}

static void open_dict(dict *d, const char *const (*rules)[2], size_t count, const char *letters) {
    *d = (dict){0};
    for (; *letters; letters++) add(d, (char[]){*letters, 0});
    for (size_t i = 0; i < count; i++) {
        char joined[16];
        snprintf(joined, sizeof joined, "%s%s", rules[i][0], rules[i][1]);
        add(d, joined);
    }
    CHECK_OK(mt_vocab_index_bytes(&d->v, &err));
    d->b.base_bytes = true;
    for (size_t i = 0; i < count; i++) {
        int32_t id[2];
        for (int k = 0; k < 2; k++)
            id[k] = mt_vocab_find_bytes(&d->v, (const uint8_t *)rules[i][k], strlen(rules[i][k]));
        CHECK_OK(mt_bpe_add_pair(&d->b, id[0], id[1], (uint32_t)i, (int32_t)(d->v.size - (int32_t)(count - i)), &err));
    }
    CHECK_OK(mt_bpe_finish(&d->b, &d->v, &err));
    CHECK_OK(mt_matcher_open(&d->m, &d->v, -1, false, &err));
}

static void close_dict(dict *d) {
    mt_matcher_free(&d->m);
    mt_bpe_free(&d->b);
    mt_vocab_free(&d->v);
}

static size_t nth_string(size_t index, size_t length, uint8_t *out) {
    for (size_t i = 0; i < length; i++) {
        out[i] = (uint8_t)('a' + index % 3);
        index /= 3;
    }
    return length;
}

static void spell(const dict *d, const int32_t *id, size_t n, char *out) {
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        mt_str s = mt_vocab_bytes(&d->v, id[i]);
        out += sprintf(out, "%s%.*s", i ? "|" : "", (int)s.n, (const char *)s.p);
    }
}

/* Fewest tokens by trying everything. */
static size_t fewest(const dict *d, const uint8_t *p, size_t n) {
    size_t best = n ? SIZE_MAX : 0;
    for (size_t k = 1; k <= n; k++)
        if (mt_vocab_find_bytes(&d->v, p, k) >= 0) {
            size_t rest = fewest(d, p + k, n - k) + 1;
            if (rest < best) best = rest;
        }
    return best;
}

/* The recursion that defines LBPE. */
static void longest_first(const dict *d, const uint8_t *p, size_t n, mt_ids *out) {
    for (size_t k = n; k > 0; k--)
        for (size_t i = 0; i + k <= n; i++) {
            int32_t id = mt_vocab_find_bytes(&d->v, p + i, k);
            if (id < 0) continue;
            longest_first(d, p, i, out);
            CHECK_OK(mt_ids_add(out, id, &err));
            longest_first(d, p + i + k, n - i - k, out);
            return;
        }
}

static void check_spans(const dict *d, const uint8_t *p, size_t n, const mt_segments *s) {
    size_t at = 0;
    for (size_t i = 0; i < s->ids.len; i++) {
        mt_str t = mt_vocab_bytes(&d->v, s->ids.data[i]);
        CHECK(at + t.n == (size_t)s->ends.data[i] && memcmp(p + at, t.p, t.n) == 0, "token %zu at %zu", i, at);
        at += t.n;
    }
    CHECK(at == n, "%zu of %zu bytes covered", at, n);
}

typedef mt_status (*segmenter)(const mt_matcher *, const uint8_t *, size_t, mt_segments *, mt_error *);
static mt_status fewest_segmenter(const mt_matcher *m, const uint8_t *p, size_t n, mt_segments *out, mt_error *e) {
    return mt_segment_fewest(m, p, n, NULL, out, e);
}
static mt_status rightmost_longest_by_lookup(const dict *d, const uint8_t *p, size_t n, mt_ids *out) {
    while (n) {
        size_t k = n;
        while (mt_vocab_find_bytes(&d->v, p + n - k, k) < 0) k--;
        MT_TRY(mt_ids_add(out, mt_vocab_find_bytes(&d->v, p + n - k, k), &err));
        n -= k;
    }
    return MT_OK;
}

static void test_totals(void) {
    dict d;
    open_dict(&d, merges, 8, "abc");
    static const segmenter list[] = {mt_segment_leftmost_longest, mt_segment_rightmost_longest, fewest_segmenter,
                                     mt_segment_longest_first};
    size_t total[4] = {0}, different[4] = {0}, bpe_total = 0;
    mt_segments s = {0};
    mt_ids bpe = {0}, other = {0};
    CASE("ACCEPTANCE 12: HASH-11: fewest tokens and longest first equal their definitions; nothing beats fewest");
    for (size_t length = 1, strings = 3; length <= 8; length++, strings *= 3)
        for (size_t i = 0; i < strings; i++) {
            uint8_t x[8];
            size_t n = nth_string(i, length, x), used, count[4];
            bpe.len = 0;
            CHECK_OK(mt_bpe_encode_known(&d.b, x, n, MT_BPE_SCAN, &bpe, &used, &err));
            bpe_total += bpe.len;
            for (int k = 0; k < 4; k++) {
                s.ids.len = s.ends.len = 0;
                CHECK_OK(list[k](&d.m, x, n, &s, &err));
                check_spans(&d, x, n, &s);
                count[k] = s.ids.len;
                total[k] += s.ids.len;
                different[k] += s.ids.len != bpe.len || memcmp(s.ids.data, bpe.data, bpe.len * 4) != 0;
                other.len = 0;
                if (k == 1) {
                    CHECK_OK(rightmost_longest_by_lookup(&d, x, n, &other));
                    for (size_t j = 0; j < other.len; j++)
                        CHECK(other.data[other.len - 1 - j] == s.ids.data[j], "string %zu", i);
                }
                if (k == 3) {
                    longest_first(&d, x, n, &other);
                    CHECK(other.len == s.ids.len && memcmp(other.data, s.ids.data, other.len * 4) == 0,
                          "string %zu of %zu", i, n);
                }
            }
            for (int k = 0; k < 4; k++) CHECK(count[2] <= count[k] && count[2] <= bpe.len, "segmenter %d", k);
            if (n <= 6) CHECK(count[2] == fewest(&d, x, n), "string %zu of length %zu", i, n);
        }
    CASE("ACCEPTANCE 12: HASH-11: token totals and strings cut differently from BPE");
    static const size_t totals[4] = {51068, 51075, 50986, 51086}, differences[4] = {2724, 3477, 3404, 2815};
    CHECK(bpe_total == 52131, "BPE %zu", bpe_total);
    for (int k = 0; k < 4; k++) {
        CHECK(total[k] == totals[k], "segmenter %d: %zu, expected %zu", k, total[k], totals[k]);
        CHECK(different[k] == differences[k], "segmenter %d: %zu, expected %zu", k, different[k], differences[k]);
    }
    CASE("ACCEPTANCE 12: bcabcabc by each segmenter");
    static const char *const expected[4] = {"bc|abca|bc", NULL, "bc|abc|abc", NULL};
    for (int k = 0; k < 4; k++) {
        char text[64];
        s.ids.len = s.ends.len = 0;
        CHECK_OK(list[k](&d.m, (const uint8_t *)"bcabcabc", 8, &s, &err));
        spell(&d, s.ids.data, s.ids.len, text);
        CHECK(!expected[k] || !strcmp(text, expected[k]), "%s, expected %s", text, expected[k]);
    }
    CASE("a symbol without a token: the unknown token, or an error that names the place");
    for (int k = 0; k < 4; k++) {
        s.ids.len = s.ends.len = 0;
        CHECK(list[k](&d.m, (const uint8_t *)"abxab", 5, &s, &err) == MT_EMISSING && err.where == 2, "%d: %s", k,
              err.text);
        mt_matcher m = d.m;
        m.unknown = 99;
        m.characters = true;
        s.ids.len = s.ends.len = 0;
        CHECK_OK(list[k](&m,
                         (const uint8_t *)"ab\xc3\xa9\xff"
                                          "ca",
                         7, &s, &err));
        CHECK(s.ids.len == 4 && s.ids.data[1] == 99 && s.ends.data[1] == 4 && s.ends.data[2] == 5, "%d: %zu tokens", k,
              s.ids.len);
    }
    CASE("segmenters: every allocation may fail");
    size_t live = mt_live_allocations();
    for (int k = 0; k < 4; k++)
        for (int64_t fail = 0;; fail++) {
            mt_segments t = {0};
            mt_fail_allocation_after(fail);
            mt_status status = list[k](&d.m, (const uint8_t *)"bcabcabcabcbaccabcabcbabcbabc", 29, &t, &err);
            mt_fail_allocation_after(-1);
            mt_segments_free(&t);
            CHECK(mt_live_allocations() == live, "leak at %d", (int)fail);
            if (status == MT_OK) break;
            CHECK(status == MT_ENOMEM, "%s", err.text);
        }
    mt_segments_free(&s);
    mt_ids_free(&bpe);
    mt_ids_free(&other);
    close_dict(&d);
}

static void test_ties(void) {
    static const char *const rules[][2] = {{"a", "b"}, {"b", "a"}};
    dict d;
    open_dict(&d, rules, 2, "ab");
    CASE("fewest tokens with random ties draws each equally good last token equally often");
    mt_rng rng;
    mt_rng_seed(&rng, 7);
    mt_segments s = {0};
    int first = 0;
    for (int i = 0; i < 20000; i++) {
        s.ids.len = s.ends.len = 0;
        CHECK_OK(mt_segment_fewest(&d.m, (const uint8_t *)"aba", 3, &rng, &s, &err));
        CHECK(s.ids.len == 2, "%zu tokens", s.ids.len);
        first += s.ends.data[0] == 1;
    }
    CHECK(abs(first - 10000) < 4 * 71, "a|ba %d times of 20000", first);
    s.ids.len = s.ends.len = 0;
    CHECK_OK(mt_segment_fewest(&d.m, (const uint8_t *)"aba", 3, NULL, &s, &err));
    CHECK(s.ends.data[0] == 1, "the longest last token is ba");
    CASE("longest match with dropout: 0 is longest match, 1 is the shortest, p is the share of refusals");
    int kept = 0;
    for (int i = 0; i < 20000; i++) {
        s.ids.len = s.ends.len = 0;
        CHECK_OK(mt_segment_longest_dropout(&d.m, (const uint8_t *)"ab", 2, 0.3, &rng, &s, &err));
        kept += s.ids.len == 1;
    }
    CHECK(abs(kept - 14000) < 4 * 65, "kept %d times of 20000", kept);
    for (int p = 0; p < 2; p++) {
        s.ids.len = s.ends.len = 0;
        CHECK_OK(mt_segment_longest_dropout(&d.m, (const uint8_t *)"abab", 4, p, &rng, &s, &err));
        CHECK(s.ids.len == (p ? 4u : 2u), "p = %d: %zu tokens", p, s.ids.len);
    }
    CHECK(mt_segment_longest_dropout(&d.m, (const uint8_t *)"a", 1, 1.5, &rng, &s, &err) == MT_ERANGE, "p = 1.5");
    mt_segments_free(&s);
    close_dict(&d);
}

/* ---- BPE-dropout: exact distributions of the step variants, by recursion over what survives ---- */

typedef struct outcome {
    char text[40];
    double p;
    size_t seen;
} outcome;
typedef struct outcomes {
    outcome list[64];
    size_t len;
} outcomes;

static outcome *find(outcomes *o, const char *text) {
    for (size_t i = 0; i < o->len; i++)
        if (!strcmp(o->list[i].text, text)) return &o->list[i];
    snprintf(o->list[o->len].text, sizeof o->list[0].text, "%s", text);
    return &o->list[o->len++];
}

static void recurse(const dict *d, bool all, double drop, const int32_t *id, size_t n, double p, outcomes *o) {
    size_t at[16], pairs = 0;
    uint32_t rank[16];
    int32_t result;
    for (size_t i = 0; i + 1 < n; i++) {
        uint32_t r = mt_bpe_rank(&d->b, id[i], id[i + 1], &result);
        if (r == MT_NO_RANK) continue;
        rank[pairs] = r;
        at[pairs++] = i;
    }
    for (uint32_t set = 0; set < 1u << pairs; set++) {
        double q = p;
        uint32_t best = MT_NO_RANK;
        for (size_t k = 0; k < pairs; k++) {
            bool kept = set >> k & 1;
            q *= kept ? 1 - drop : drop;
            if (kept && rank[k] < best) best = rank[k];
        }
        if (best == MT_NO_RANK) {
            char text[40];
            spell(d, id, n, text);
            find(o, text)->p += q;
            continue;
        }
        int32_t merged[16];
        size_t m = 0;
        bool once = false;
        for (size_t i = 0; i < n; i++) {
            bool merge = false;
            for (size_t k = 0; k < pairs; k++)
                if (at[k] == i && set >> k & 1 && rank[k] == best && (all || !once)) merge = true;
            if (merge) {
                mt_bpe_rank(&d->b, id[i], id[i + 1], &merged[m++]);
                i++;
                once = true;
            } else {
                merged[m++] = id[i];
            }
        }
        recurse(d, all, drop, merged, m, q, o);
    }
}

static size_t symbols(const dict *d, const char *text, int32_t *id, uint32_t *width) {
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        id[i] = d->b.base[(uint8_t)text[i]];
        width[i] = 1;
    }
    return n;
}

static void sample(const dict *d, mt_dropout kind, double p, const char *text, size_t times, outcomes *o, mt_rng *rng) {
    for (size_t i = 0; i < times; i++) {
        int32_t id[64];
        uint32_t width[64];
        size_t n = symbols(d, text, id, width), sum = 0;
        CHECK_OK(mt_bpe_merge_dropout(&d->b, kind, p, rng, id, width, &n, &err));
        for (size_t k = 0; k < n; k++) {
            CHECK(width[k] == mt_vocab_bytes(&d->v, id[k]).n, "width %u", width[k]);
            sum += width[k];
        }
        CHECK(sum == strlen(text), "%zu bytes", sum);
        char spelt[64];
        spell(d, id, n, spelt);
        find(o, spelt)->seen++;
    }
}

static void expect_exact(const outcomes *o, const char *text, double p) {
    for (size_t i = 0; i < o->len; i++)
        if (!strcmp(o->list[i].text, text)) {
            CHECK(fabs(o->list[i].p - p) < 6e-7, "%s: %.7f, expected %.6f", text, o->list[i].p, p);
            return;
        }
    CHECK(false, "%s did not occur", text);
}

static double share(outcomes *o, const char *text, size_t times) {
    return (double)find(o, text)->seen / (double)times;
}

static void test_dropout(void) {
    enum { TIMES = 200000 };
    dict d;
    open_dict(&d, merges, 8, "abc");
    mt_rng rng;
    mt_rng_seed(&rng, 20);
    static outcomes exact[2];
    int32_t id[64];
    uint32_t width[64];
    CASE("ACCEPTANCE 5: BPE-dropout: exact distributions of the step variants");
    for (int all = 0; all < 2; all++) {
        outcomes small = {0};
        recurse(&d, all, 0.1, id, symbols(&d, "abc", id, width), 1, &small);
        expect_exact(&small, "abc", .81);
        expect_exact(&small, "ab|c", .09);
        expect_exact(&small, "a|bc", .09);
        expect_exact(&small, "a|b|c", .01);
        recurse(&d, all, 0.1, id, symbols(&d, "abcabc", id, width), 1, &exact[all]);
        CHECK(exact[all].len == 24, "%zu outcomes", exact[all].len);
    }
    expect_exact(&exact[0], "abc|abc", .866052);
    expect_exact(&exact[0], "abc|ab|c", .087480);
    expect_exact(&exact[0], "abca|bc", .014434);
    expect_exact(&exact[1], "abc|abc", .957906);
    expect_exact(&exact[1], "ab|c|ab|c", .009720);
    expect_exact(&exact[1], "ab|c|abc", .009477);
    expect_exact(&exact[1], "abc|ab|c", .009477);
    expect_exact(&exact[1], "a|bc|a|bc", .008262);
    CASE("ACCEPTANCE 5: BPE-dropout: samples of the step variants agree within 4 standard errors");
    for (int all = 0; all < 2; all++) {
        sample(&d, all ? MT_DROPOUT_STEP_ALL : MT_DROPOUT_STEP_ONE, 0.1, "abcabc", TIMES, &exact[all], &rng);
        CHECK(exact[all].len == 24, "an impossible outcome: %s", exact[all].list[24].text);
        for (size_t i = 0; i < exact[all].len; i++) {
            const outcome *o = &exact[all].list[i];
            double sd = sqrt(TIMES * o->p * (1 - o->p));
            CHECK(fabs((double)o->seen - TIMES * o->p) < 4 * sd + 3, "%s: %zu, expected %.1f", o->text, o->seen,
                  TIMES * o->p);
        }
    }
    CASE("ACCEPTANCE 5: BPE-dropout: requeue and discard keep the canonical result as often as the originals");
    static const struct {
        mt_dropout kind;
        const char *text, *kept;
        double p, tolerance;
    } table[] = {{MT_DROPOUT_REQUEUE, "abc", "abc", .883, .003},
                 {MT_DROPOUT_REQUEUE, "abcabc", "abc|abc", .986, .002},
                 {MT_DROPOUT_DISCARD, "abc", "abc", .81, .0035},
                 {MT_DROPOUT_DISCARD, "abcabc", "abc|abc", .655, .006}};
    for (size_t i = 0; i < 4; i++) {
        outcomes o = {0};
        sample(&d, table[i].kind, 0.1, table[i].text, TIMES, &o, &rng);
        CHECK(fabs(share(&o, table[i].kept, TIMES) - table[i].p) < table[i].tolerance,
              "%s, variant %d: %.4f, expected %.3f", table[i].text, (int)table[i].kind, share(&o, table[i].kept, TIMES),
              table[i].p);
    }
    CASE("ACCEPTANCE 5: BPE-dropout: p = 0 is BPE, p = 1 is single symbols");
    for (int kind = MT_DROPOUT_STEP_ALL; kind <= MT_DROPOUT_DISCARD; kind++)
        for (size_t i = 0; i < 6561; i++) {
            char x[9] = {0};
            nth_string(i, 8, (uint8_t *)x);
            size_t n = symbols(&d, x, id, width), m = symbols(&d, x, id, width);
            CHECK_OK(mt_bpe_merge_dropout(&d.b, (mt_dropout)kind, 1, &rng, id, width, &m, &err));
            CHECK(m == n, "p = 1: %zu tokens", m);
            CHECK_OK(mt_bpe_merge_dropout(&d.b, (mt_dropout)kind, 0, &rng, id, width, &n, &err));
            int32_t plain[8];
            uint32_t plain_width[8];
            m = symbols(&d, x, plain, plain_width);
            CHECK_OK(mt_bpe_merge(&d.b, plain, plain_width, &m, false, false, &err));
            CHECK(m == n && memcmp(id, plain, n * 4) == 0, "variant %d: %s", kind, x);
        }
    CASE("BPE-dropout: a long text, and failing allocations");
    {
        enum { LONG = 30000 };
        int32_t *many = malloc(LONG * 4);
        uint32_t *widths = malloc(LONG * 4);
        for (int kind = MT_DROPOUT_STEP_ALL; kind <= MT_DROPOUT_DISCARD; kind++) {
            size_t n = LONG;
            for (size_t i = 0; i < n; i++) {
                many[i] = d.b.base['a' + (i * i / 7) % 3];
                widths[i] = 1;
            }
            CHECK_OK(mt_bpe_merge_dropout(&d.b, (mt_dropout)kind, 0.5, &rng, many, widths, &n, &err));
            CHECK(n > LONG / 4 && n < LONG, "%zu tokens", n);
        }
        free(many);
        free(widths);
        size_t live = mt_live_allocations();
        for (int kind = MT_DROPOUT_STEP_ALL; kind <= MT_DROPOUT_DISCARD; kind++)
            for (int64_t fail = 0;; fail++) {
                size_t n = symbols(&d, "abcabcaabcabcbabcabca", id, width);
                mt_fail_allocation_after(fail);
                mt_status status = mt_bpe_merge_dropout(&d.b, (mt_dropout)kind, 0.3, &rng, id, width, &n, &err);
                mt_fail_allocation_after(-1);
                CHECK(mt_live_allocations() == live, "leak");
                if (status == MT_OK) break;
            }
    }
    close_dict(&d);
    static const char *const two[][2] = {{"a", "b"}, {"c", "d"}};
    open_dict(&d, two, 2, "abcd");
    CASE("BPE-dropout: abcd tells step-one (0.891) from discard (0.810)");
    outcomes one = {0}, discard = {0};
    sample(&d, MT_DROPOUT_STEP_ONE, 0.1, "abcd", TIMES, &one, &rng);
    sample(&d, MT_DROPOUT_DISCARD, 0.1, "abcd", TIMES, &discard, &rng);
    CHECK(fabs(share(&one, "ab|cd", TIMES) - .891) < .0028, "%f", share(&one, "ab|cd", TIMES));
    CHECK(fabs(share(&discard, "ab|cd", TIMES) - .81) < .0035, "%f", share(&discard, "ab|cd", TIMES));
    close_dict(&d);
}

/* ---- Huffman ---- */

static void test_huffman(void) {
    CASE("ACCEPTANCE 12: Huffman: average code lengths of 20 words, and the bound by entropy");
    uint64_t weight[20], total = 0;
    for (int i = 0; i < 20; i++) total += weight[i] = (uint64_t)nearbyint(1000.0 / (i + 1));
    static const struct {
        uint32_t arity;
        double mean, entropy;
    } table[] = {{2, 3.669261, 3.647438}, {3, 2.350195, 2.301277}, {5, 1.643691, 1.570866}, {8, 1.319066, 1.215813}};
    for (size_t t = 0; t < 4; t++) {
        uint32_t length[20];
        CHECK_OK(mt_huffman_lengths(weight, 20, table[t].arity, length, &err));
        double mean = 0, entropy = 0;
        for (int i = 0; i < 20; i++) {
            double p = (double)weight[i] / (double)total;
            mean += p * length[i];
            entropy -= p * log(p) / log(table[t].arity);
        }
        CHECK(fabs(mean - table[t].mean) < 1e-6, "n = %u: %.6f, expected %.6f", table[t].arity, mean, table[t].mean);
        CHECK(fabs(entropy - table[t].entropy) < 1e-6 && mean <= entropy + 1, "n = %u: entropy %.6f", table[t].arity,
              entropy);
    }
    CASE("Huffman: words, unknown words, foreign letters and broken UTF-8 come back");
    static const char *const words[] = {"the", "of", "naïve", "", "日本", "code", "huffman"};
    static const char *const asked[] = {"the", "", "naïve", "hôtel", "\xff\xfe", "of", "эй", "日", "huffman"};
    mt_str list[7];
    for (int i = 0; i < 7; i++) list[i] = mt_str_of(words[i]);
    for (uint32_t arity = 2; arity <= 300; arity = arity * 2 + 1) {
        mt_huffman h;
        mt_ids digits = {0};
        mt_buf out = {0};
        CHECK_OK(mt_huffman_open(&h, list, weight, 7, 1, arity, &err));
        for (int i = 0; i < 9; i++)
            CHECK_OK(mt_huffman_encode(&h, (const uint8_t *)asked[i], strlen(asked[i]), &digits, &err));
        size_t at = 0;
        for (int i = 0; i < 9; i++) {
            out.len = 0;
            CHECK_OK(mt_huffman_decode(&h, digits.data, digits.len, &at, &out, &err));
            CHECK(out.len == strlen(asked[i]) && !memcmp(out.data, asked[i], out.len), "%s: %.*s", asked[i],
                  (int)out.len, (char *)out.data);
        }
        CHECK(at == digits.len, "%zu of %zu digits", at, digits.len);
        at = digits.len;
        CHECK(mt_huffman_decode(&h, digits.data, digits.len, &at, &out, &err) == MT_EFORMAT, "cut off");
        mt_huffman_free(&h);
        mt_ids_free(&digits);
        mt_buf_free(&out);
    }
    CASE("Huffman: failing allocations, equal words");
    size_t live = mt_live_allocations();
    for (int64_t fail = 0;; fail++) {
        mt_huffman h;
        mt_fail_allocation_after(fail);
        mt_status status = mt_huffman_open(&h, list, weight, 7, 1, 3, &err);
        mt_fail_allocation_after(-1);
        if (status == MT_OK) mt_huffman_free(&h);
        CHECK(mt_live_allocations() == live, "leak at %d", (int)fail);
        if (status == MT_OK) break;
    }
    mt_huffman h;
    list[1] = list[0];
    CHECK(mt_huffman_open(&h, list, weight, 7, 1, 3, &err) == MT_EFORMAT, "equal words");
}

static int by_value(const void *a, const void *b, void *context) {
    ++*(size_t *)context;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void test_sort(void) {
    CASE("sort: random, sorted, reversed, equal and organ-pipe inputs; never quadratic");
    enum { N = 20000 };
    uint32_t *v = malloc(N * sizeof *v);
    mt_rng rng;
    mt_rng_seed(&rng, 3);
    for (int shape = 0; shape < 6; shape++)
        for (size_t n = 0; n <= N; n = n < 40 ? n + 1 : n * 7) {
            uint64_t sum = 0, after = 0;
            size_t compared = 0;
            for (size_t i = 0; i < n; i++) {
                v[i] = shape == 0   ? (uint32_t)mt_rng_next(&rng)
                       : shape == 1 ? (uint32_t)i
                       : shape == 2 ? (uint32_t)(n - i)
                       : shape == 3 ? 5
                       : shape == 4 ? (uint32_t)(i < n / 2 ? i : n - i)
                                    : (uint32_t)mt_rng_below(&rng, 3);
                sum += v[i];
            }
            mt_sort(v, n, sizeof *v, by_value, &compared);
            for (size_t i = 0; i < n; i++) {
                after += v[i];
                CHECK(i == 0 || v[i - 1] <= v[i], "shape %d, %zu items, place %zu", shape, n, i);
            }
            CHECK(sum == after, "items changed");
            CHECK((double)compared <= 200 + 8 * (double)n * log2((double)n + 2), "%zu comparisons of %zu", compared, n);
        }
    free(v);
}

int main(void) {
    test_sort();
    test_totals();
    test_ties();
    test_dropout();
    test_huffman();
    return test_end();
}
