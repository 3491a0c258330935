/* Languages of tokens on HASH-11 (letters abc, eight merges): canonical sequences, what expressions allow, masses of a
 * bigram model (ACCEPTANCE 6 of the methods: tokenization), under failing allocation too. */
#include "test.h"

#include "token/language.h"

static mt_error err;
static const char hash11[] =
    "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"abc\":4,\"bc\":5,\"ca\":6,\"cab\":7,"
    "\"aa\":8,\"abca\":9,\"bcbc\":10},\"merges\":[\"a b\",\"ab c\",\"b c\",\"c a\",\"ca b\",\"a a\",\"abc a\",\"bc "
    "bc\"]}}";
static const char *const spelled[] = {"a", "b", "c", "ab", "abc", "bc", "ca", "cab", "aa", "abca", "bcbc"};
enum { TOKENS = 11, END = 11, BEGIN = 12 };

static mt_tok *load(void) {
    mt_tok *t = NULL;
    CHECK_OK(mt_tok_load_json((const uint8_t *)hash11, sizeof hash11 - 1, &t, &err));
    return t;
}

static mt_language *language(mt_tok *t, const char *pattern, bool canonical) {
    mt_language *l = NULL;
    CHECK_OK(mt_language_open(t, mt_str_of(pattern), canonical, &l, &err));
    return l;
}

/* Is the sequence what encoding its text gives? */
static bool encodes_so(mt_tok *t, const int32_t *id, size_t n) {
    char text[64] = "";
    for (size_t i = 0; i < n; i++) strcat(text, spelled[id[i]]);
    mt_encoding e = {0};
    CHECK_OK(mt_tok_encode(t, (const uint8_t *)text, strlen(text), NULL, false, &e, &err));
    bool same = e.ids.len == n && (!n || !memcmp(e.ids.data, id, n * sizeof *id));
    mt_encoding_free(&e);
    return same;
}

static bool is_ab_star(const char *s) {
    for (; s[0]; s += 2)
        if (s[0] != 'a' || s[1] != 'b') return false;
    return true;
}

typedef struct search {
    mt_tok *t;
    mt_language *l;
    bool canonical, pattern;
    size_t visited, accepted, most;
} search;

/* Every sequence of up to `most` bytes, against the definition. */
static void enumerate(search *s, int32_t *id, size_t n, char *text, int32_t state) {
    bool accepts = false;
    s->visited++;
    if (state >= 0) CHECK_OK(mt_language_accepts(s->l, state, &accepts, &err));
    bool expected = (!s->pattern || is_ab_star(text)) && (!s->canonical || encodes_so(s->t, id, n));
    CHECK(accepts == expected, "\"%s\", %zu tokens: %d, expected %d", text, n, accepts, expected);
    s->accepted += accepts;
    size_t length = strlen(text);
    uint8_t allowed[TOKENS];
    size_t count = 0;
    if (state >= 0) CHECK_OK(mt_language_allowed(s->l, state, allowed, &count, &err));
    for (int32_t k = 0; k < TOKENS; k++) {
        int32_t next = -1;
        if (state >= 0) {
            CHECK_OK(mt_language_next(s->l, state, k, &next, &err));
            CHECK((next >= 0) == allowed[k], "\"%s\" + %s: next %d, allowed %d", text, spelled[k], next, allowed[k]);
        }
        if (length + strlen(spelled[k]) > s->most || (state < 0 && s->pattern && s->canonical)) continue;
        id[n] = k;
        strcpy(text + length, spelled[k]);
        enumerate(s, id, n + 1, text, next);
        text[length] = 0;
    }
}

/* The bigram model of the methods: weights by a hash. */
static double weight(int p, int t) {
    return (double)(1 + mt_mix64((uint64_t)p * 1000003 + (uint64_t)t * 10007 + 12345) % 1000);
}

int main(void) {
    mt_tok *t = load();
    uint64_t count[11];

    CASE("ACCEPTANCE 6: 3^n canonical sequences spell n letters; all sequences by length");
    mt_language *l = language(t, "", true);
    CHECK_OK(mt_language_count(l, 10, count, &err));
    uint64_t power = 1;
    for (int n = 0; n <= 10; n++, power *= 3) CHECK(count[n] == power, "%d: %llu", n, (unsigned long long)count[n]);
    CHECK(mt_language_states(l) <= TOKENS, "%zu states", mt_language_states(l));
    printf("# %zu states for the canonical sequences of %d tokens\n", mt_language_states(l), TOKENS);
    mt_language_free(l);
    l = language(t, "", false);
    CHECK_OK(mt_language_count(l, 8, count, &err));
    static const uint64_t all[] = {1, 3, 13, 53, 219, 901, 3711, 15281, 62927};
    for (int n = 0; n <= 8; n++) CHECK(count[n] == all[n], "%d: %llu", n, (unsigned long long)count[n]);
    mt_language_free(l);

    CASE("ACCEPTANCE 6: the automaton of (ab)* and of canonical sequences, against all sequences of up to 8 and 6 "
         "letters");
    for (int which = 0; which < 4; which++) {
        search s = {.t = t, .canonical = which & 1, .pattern = which & 2, .most = which == 2 ? 8 : 6};
        s.l = language(t, s.pattern ? "(ab)*" : "", s.canonical);
        int32_t id[16];
        char text[64] = "";
        enumerate(&s, id, 0, text, 0);
        printf("# %d: %zu sequences, %zu accepted, %zu states\n", which, s.visited, s.accepted,
               mt_language_states(s.l));
        if (s.pattern && s.canonical) CHECK(s.accepted == 4, "%zu", s.accepted); /* 0, 2, 4, 6 letters */
        mt_language_free(s.l);
    }

    CASE("ACCEPTANCE 6: canonical mass of the bigram model; conditioning as a whole and step by step");
    l = language(t, "", true);
    double p[13][12], masked[13][12], h[13] = {0};
    int32_t after[13];
    for (int from = 0; from < 13; from++) {
        double sum = 0, kept = 0;
        if (from == END) continue;
        after[from] = 0;
        if (from < TOKENS) CHECK_OK(mt_language_next(l, 0, from, &after[from], &err));
        for (int to = 0; to < 12; to++) sum += weight(from, to);
        for (int to = 0; to < 12; to++) {
            int32_t next = to == END ? 0 : -1;
            p[from][to] = weight(from, to) / sum;
            if (to < TOKENS && after[from] >= 0) CHECK_OK(mt_language_next(l, after[from], to, &next, &err));
            masked[from][to] = next >= 0 ? p[from][to] : 0;
            kept += masked[from][to];
        }
        for (int to = 0; to < 12; to++) masked[from][to] /= kept;
    }
    for (int round = 0; round < 2000; round++) /* h: probability that what follows stays canonical */
        for (int from = 0; from < 13; from++) {
            if (from == END) continue;
            double sum = p[from][END];
            for (int to = 0; to < TOKENS; to++) sum += masked[from][to] > 0 ? p[from][to] * h[to] : 0;
            h[from] = sum;
        }
    CHECK(fabs(h[BEGIN] - .229483535) < 1e-9, "%.12f", h[BEGIN]);
    static const struct {
        const char *text;
        double whole, stepwise;
    } table[] = {{"abc", -6.254445194, -7.392789326},
                 {"abcab", -9.811081855, -10.608490122},
                 {"cab", -10.704152683, -11.471504643}};
    for (int i = 0; i < 3; i++) {
        mt_encoding e = {0};
        CHECK_OK(mt_tok_encode(t, (const uint8_t *)table[i].text, strlen(table[i].text), NULL, false, &e, &err));
        double whole = -log(h[BEGIN]), stepwise = 0;
        int from = BEGIN;
        for (size_t k = 0; k <= e.ids.len; k++) {
            int to = k < e.ids.len ? e.ids.data[k] : END;
            whole += log(p[from][to]);
            stepwise += log(masked[from][to]);
            from = to;
        }
        CHECK(fabs(whole - table[i].whole) < 1e-8, "%s: %.9f", table[i].text, whole);
        CHECK(fabs(stepwise - table[i].stepwise) < 1e-8, "%s: %.9f", table[i].text, stepwise);
        mt_encoding_free(&e);
    }
    mt_language_free(l);

    CASE("failing allocation, refusals");
    size_t before = mt_live_allocations();
    for (size_t n = 0; n < 5000; n++) {
        mt_fail_allocation_after((int64_t)n);
        mt_language *x = NULL;
        mt_status s = mt_language_open(t, mt_str_of("(a|b)*c?"), true, &x, &err);
        uint8_t allowed[TOKENS];
        size_t some;
        if (s == MT_OK) s = mt_language_allowed(x, 0, allowed, &some, &err);
        if (s == MT_OK) s = mt_language_count(x, 5, count, &err);
        mt_byte_automaton bytes = {0};
        if (s == MT_OK) s = mt_language_bytes(x, 100, &bytes, &err);
        mt_fail_allocation_after(-1);
        CHECK(s == MT_OK || s == MT_ENOMEM, "allocation %zu: %s: %s", n, mt_status_name(s), err.text);
        if (s == MT_OK) CHECK(count[5] == 48, "%llu", (unsigned long long)count[5]); /* 32 of ab, 16 with a c */
        if (s == MT_OK)                                                              /* (a|b)*, and behind c nothing */
            CHECK(bytes.states == 2 && bytes.next['a'] == 0 && bytes.next['b'] == 0 && bytes.next['c'] == 1 &&
                      bytes.next[256 + 'a'] == -1 && bytes.accepts[0] && bytes.accepts[1],
                  "%d states", bytes.states);
        mt_byte_automaton_free(&bytes);
        if (x && s == MT_OK) {
            int32_t next;
            CHECK(mt_language_bytes(x, 1, &bytes, &err) == MT_ELIMIT && !bytes.next, "%s", err.text);
            CHECK(mt_language_next(x, 1 << 20, 0, &next, &err) == MT_ERANGE, "state");
            CHECK(mt_language_next(x, 0, 99, &next, &err) == MT_ERANGE, "id");
        }
        mt_language_free(x);
        if (s == MT_OK || case_bad > 5) break;
    }
    CHECK(mt_language_open(t, mt_str_of("(a"), false, &l, &err) == MT_EFORMAT && !l, "%s", err.text);
    CHECK(mt_language_open(t, mt_str_of("(?<=a)b"), false, &l, &err) == MT_EUNKNOWN && !l, "%s", err.text);
    mt_tok_free(t);
    CHECK(mt_live_allocations() <= before, "%zu blocks leak", mt_live_allocations());
    return test_end();
}
