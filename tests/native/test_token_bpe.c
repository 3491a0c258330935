/* Byte-pair encoding: the four encoders against each other and against counting, the pair test against re-encoding,
 * linear time on one repeated letter. Fixture HASH-11: alphabet abc, eight merges. */
#include "test.h"

#include <time.h>

#include "token/bpe.h"

static mt_error err;

typedef struct dict {
    mt_vocab v;
    mt_bpe b;
} dict;

static void token(dict *d, const char *s) {
    int32_t id = d->v.size;
    CHECK_OK(mt_vocab_set_piece(&d->v, id, mt_str_of(s), &err));
    d->v.flags[id] = MT_MATCHES | MT_IN_MODEL;
}

static void finish(dict *d, bool by_string, const char *const (*merges)[2], size_t count) {
    CHECK_OK(mt_vocab_index_bytes(&d->v, &err));
    d->b.by_string = by_string;
    d->b.base_bytes = true;
    for (size_t i = 0; i < count; i++) {
        char joined[64];
        snprintf(joined, sizeof joined, "%s%s", merges[i][0], merges[i][1]);
        const char *s[3] = {merges[i][0], merges[i][1], joined};
        int32_t id[3];
        for (int k = 0; k < 3; k++) id[k] = mt_vocab_find_bytes(&d->v, (const uint8_t *)s[k], strlen(s[k]));
        CHECK_OK(mt_bpe_add_pair(&d->b, id[0], id[1], (uint32_t)i, id[2], &err));
    }
    CHECK_OK(mt_bpe_finish(&d->b, &d->v, &err));
}

static void drop(dict *d) {
    mt_bpe_free(&d->b);
    mt_vocab_free(&d->v);
}

static const char *const hash11[][2] = {{"a", "b"},  {"ab", "c"}, {"b", "c"},   {"c", "a"},
                                        {"ca", "b"}, {"a", "a"},  {"abc", "a"}, {"bc", "bc"}};
static void make_hash11(dict *d) {
    *d = (dict){0};
    token(d, "a");
    token(d, "b");
    token(d, "c");
    for (size_t i = 0; i < 8; i++) {
        char joined[16];
        snprintf(joined, sizeof joined, "%s%s", hash11[i][0], hash11[i][1]);
        token(d, joined);
    }
    finish(d, false, hash11, 8);
}

static size_t nth_string(size_t index, size_t length, uint8_t *out) {
    for (size_t i = 0; i < length; i++) {
        out[i] = (uint8_t)('a' + index % 3);
        index /= 3;
    }
    return length;
}

static bool encode(dict *d, mt_bpe_method m, const uint8_t *p, size_t n, mt_ids *out) {
    size_t used;
    out->len = 0;
    mt_status s = mt_bpe_encode_known(&d->b, p, n, m, out, &used, &err);
    CHECK(s == MT_OK && used == n, "%.*s: %s, %zu of %zu", (int)n, p, mt_status_name(s), used, n);
    return s == MT_OK;
}

static bool same(const mt_ids *a, const mt_ids *b) {
    return a->len == b->len && memcmp(a->data, b->data, a->len * sizeof *a->data) == 0;
}

static bool reachable(dict *d, int32_t t) {
    bool yes = false;
    CHECK_OK(mt_bpe_reachable(&d->b, t, &yes, &err));
    return yes;
}
static bool pair_ok(dict *d, int32_t l, int32_t r) {
    bool yes = false;
    CHECK_OK(mt_bpe_pair_ok(&d->b, l, r, &yes, &err));
    return yes;
}

/* Token sequences that spell p; canonical ones by the pair test when `canonical`. */
static size_t count_sequences(dict *d, const uint8_t *p, size_t n, int32_t last, bool canonical) {
    if (!n) return 1;
    size_t total = 0;
    for (int32_t t = 0; t < d->v.size; t++) {
        mt_str s = mt_vocab_bytes(&d->v, t);
        if (s.n > n || memcmp(s.p, p, s.n) != 0) continue;
        if (canonical && !(reachable(d, t) && (last < 0 || pair_ok(d, last, t)))) continue;
        total += count_sequences(d, p + s.n, n - s.n, t, canonical);
    }
    return total;
}

static bool spells(dict *d, const uint8_t *p, size_t n, const char *expected) {
    mt_ids out = {0};
    char text[128] = "";
    for (mt_bpe_method m = MT_BPE_FAST; m <= MT_BPE_LAST_TOKEN; m++) {
        encode(d, m, p, n, &out);
        text[0] = 0;
        for (size_t i = 0; i < out.len; i++) {
            mt_str s = mt_vocab_bytes(&d->v, out.data[i]);
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%.*s", i ? " " : "", (int)s.n, s.p);
        }
        CHECK(strcmp(text, expected) == 0, "method %d: %s", m, text);
    }
    mt_ids_free(&out);
    return true;
}

/* A random dictionary over abc. Trained-like: every merge joins tokens that exist. By string: random strings in random
 * order, so that a token may rank before its parts. */
static void random_dict(dict *d, mt_rng *r, bool by_string, bool disorder) {
    *d = (dict){0};
    char list[32][40];
    const char *merges[32][2];
    size_t n = 3, want = 4 + mt_rng_below(r, 14), made = 0;
    for (int i = 0; i < 3; i++) snprintf(list[i], 40, "%c", 'a' + i);
    for (int tries = 0; n < want && tries < 300; tries++) {
        size_t x = mt_rng_below(r, n), y = mt_rng_below(r, n);
        char joined[80];
        snprintf(joined, sizeof joined, "%s%s", list[x], list[y]);
        if (strlen(joined) > 8) continue;
        bool dup = false;
        for (size_t i = 0; i < n; i++) dup |= strcmp(list[i], joined) == 0;
        if (dup) continue;
        merges[made][0] = list[x];
        merges[made++][1] = list[y];
        memcpy(list[n++], joined, 40);
    }
    size_t order[32];
    for (size_t i = 0; i < n; i++) order[i] = i;
    if (disorder)
        for (size_t i = n - 1; i > 3; i--) {
            size_t k = 3 + mt_rng_below(r, i - 2), t = order[i];
            order[i] = order[k];
            order[k] = t;
        }
    for (size_t i = 0; i < n; i++) token(d, list[order[i]]);
    finish(d, by_string, (const char *const(*)[2])merges, by_string ? 0 : made);
}

static void random_dictionaries(bool by_string, bool disorder, int rounds) {
    mt_rng r;
    mt_rng_seed(&r, 7 + by_string);
    mt_ids one = {0}, two = {0};
    size_t strings = 0, pairs = 0, bad = 0, refused = 0;
    for (int round = 0; round < rounds; round++) {
        dict d;
        random_dict(&d, &r, by_string, disorder);
        uint8_t text[64];
        for (int k = 0; k < 60; k++, strings++) {
            size_t n = 1 + mt_rng_below(&r, k < 50 ? 14 : 60);
            for (size_t i = 0; i < n; i++) text[i] = (uint8_t)('a' + mt_rng_below(&r, 3));
            encode(&d, MT_BPE_HEAP, text, n, &one);
            for (mt_bpe_method m = MT_BPE_FAST; m <= MT_BPE_LAST_TOKEN; m++) {
                encode(&d, m, text, n, &two);
                bad += !same(&one, &two);
                CHECK(same(&one, &two), "round %d method %d: %.*s", round, m, (int)n, text);
            }
        }
        for (int32_t l = 0; l < d.v.size; l++)
            for (int32_t t = 0; t < d.v.size; t++) {
                if (!reachable(&d, l) || !reachable(&d, t)) continue;
                mt_str a = mt_vocab_bytes(&d.v, l), b = mt_vocab_bytes(&d.v, t);
                memcpy(text, a.p, a.n);
                memcpy(text + a.n, b.p, b.n);
                encode(&d, MT_BPE_SCAN, text, a.n + b.n, &one);
                bool canonical = one.len == 2 && one.data[0] == l && one.data[1] == t;
                CHECK(pair_ok(&d, l, t) == canonical, "round %d: pair %.*s|%.*s", round, (int)a.n, a.p, (int)b.n, b.p);
                pairs++;
                refused += !canonical;
            }
        drop(&d);
    }
    printf("# %zu strings, %zu pairs (%zu not canonical), %zu differences\n", strings, pairs, refused, bad);
    mt_ids_free(&one);
    mt_ids_free(&two);
}

static double seconds(dict *d, const uint8_t *p, size_t n, mt_bpe_method m) {
    mt_ids out = {0};
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    encode(d, m, p, n, &out);
    clock_gettime(CLOCK_MONOTONIC, &b);
    CHECK(out.len > 0 && out.len < n, "%zu tokens", out.len);
    mt_ids_free(&out);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}

int main(void) {
    dict d;
    uint8_t text[16];
    CASE("ACCEPTANCE 1a: HASH-11, all 9840 strings: 52131 tokens, four encoders agree");
    make_hash11(&d);
    {
        mt_ids one = {0}, two = {0};
        size_t tokens = 0, strings = 0;
        for (size_t length = 1, count = 3; length <= 8; length++, count *= 3)
            for (size_t i = 0; i < count; i++, strings++) {
                nth_string(i, length, text);
                encode(&d, MT_BPE_SCAN, text, length, &one);
                tokens += one.len;
                for (mt_bpe_method m = MT_BPE_FAST; m <= MT_BPE_LAST_TOKEN; m++) {
                    encode(&d, m, text, length, &two);
                    CHECK(same(&one, &two), "%.*s: method %d", (int)length, text, m);
                }
            }
        CHECK(strings == 9840 && tokens == 52131, "%zu strings, %zu tokens", strings, tokens);
        mt_ids_free(&one);
        mt_ids_free(&two);
    }
    CASE("ACCEPTANCE 1b: HASH-11, sequences that spell each string: 83108, one canonical each; 46 pairs refused, 1 "
         "unreachable");
    {
        static const size_t per_length[] = {3, 13, 53, 219, 901, 3711, 15281, 62927};
        size_t canonical = 0;
        for (size_t length = 1, count = 3; length <= 8; length++, count *= 3) {
            size_t all = 0;
            for (size_t i = 0; i < count; i++) {
                nth_string(i, length, text);
                all += count_sequences(&d, text, length, -1, false);
                canonical += count_sequences(&d, text, length, -1, true);
            }
            CHECK(all == per_length[length - 1], "length %zu: %zu", length, all);
        }
        CHECK(canonical == 9840, "%zu canonical", canonical);
        int refused = 0, unreachable = 0;
        mt_ids out = {0};
        for (int32_t l = 0; l < 11; l++) {
            unreachable += !reachable(&d, l);
            for (int32_t t = 0; t < 11; t++) {
                mt_str a = mt_vocab_bytes(&d.v, l), b = mt_vocab_bytes(&d.v, t);
                uint8_t joined[16];
                memcpy(joined, a.p, a.n);
                memcpy(joined + a.n, b.p, b.n);
                encode(&d, MT_BPE_HEAP, joined, a.n + b.n, &out);
                refused += !(out.len == 2 && out.data[0] == l && out.data[1] == t);
            }
        }
        mt_ids_free(&out);
        CHECK(unreachable == 1 && !reachable(&d, 7), "%d unreachable", unreachable);
        CHECK(refused == 46, "%d pairs refused", refused);
    }
    drop(&d);
    CASE("ACCEPTANCE 1c: string-ranked dictionary in which a later token depends on none of its neighbours' order");
    d = (dict){0};
    static const char *const ranked[] = {"a", "b", "c", "ab", "cb", "ac", "bb", "cbb", "acbb"};
    for (size_t i = 0; i < 9; i++) token(&d, ranked[i]);
    finish(&d, true, NULL, 0);
    spells(&d, (const uint8_t *)"abacb", 5, "ab a cb");
    spells(&d, (const uint8_t *)"abacbb", 6, "ab acbb");
    drop(&d);
    CASE("bpe: random pair-ranked dictionaries");
    random_dictionaries(false, false, 400);
    CASE("bpe: random string-ranked dictionaries");
    random_dictionaries(true, false, 400);
    CASE("bpe: random string-ranked dictionaries in which tokens rank before their parts");
    random_dictionaries(true, true, 400);
    CASE("bpe: symbols that the vocabulary lacks end a stretch");
    make_hash11(&d);
    {
        mt_ids out = {0};
        for (mt_bpe_method m = MT_BPE_FAST; m <= MT_BPE_LAST_TOKEN; m++) {
            size_t used = 0;
            out.len = 0;
            CHECK_OK(mt_bpe_encode_known(&d.b, (const uint8_t *)"abcxab", 6, m, &out, &used, &err));
            CHECK(used == 3 && out.len == 1 && out.data[0] == 4, "method %d: used %zu", m, used);
            CHECK_OK(mt_bpe_encode_known(&d.b, (const uint8_t *)"x", 1, m, &out, &used, &err));
            CHECK(used == 0 && out.len == 1, "method %d: used %zu", m, used);
            CHECK_OK(mt_bpe_encode_known(&d.b, (const uint8_t *)"", 0, m, &out, &used, &err));
            CHECK(used == 0 && out.len == 1, "method %d: empty", m);
        }
        mt_ids_free(&out);
    }
    CASE("ACCEPTANCE 1d: a megabyte of one letter");
    {
        size_t n = 1 << 20;
        uint8_t *p = malloc(n);
        memset(p, 'a', n);
        double quarter = seconds(&d, p, n / 4, MT_BPE_FAST), whole = seconds(&d, p, n, MT_BPE_FAST);
        double heap = seconds(&d, p, n, MT_BPE_HEAP);
        printf("# 0.25 MB %.4f s, 1 MB %.4f s (x%.2f); heap %.4f s\n", quarter, whole, whole / quarter, heap);
        free(p);
    }
    drop(&d);
    return test_end();
}
