/* text: the splitting patterns of known tokenizers, the automaton against backtracking, hostile patterns.
 * With the argument "split" the program answers on standard input, for tests/unit/regex.test.mjs: length and pattern,
 * then lengths and texts (lengths of 4 bytes) -> per text the number of pieces and the ends (4 bytes each, a gap's
 * negated). */
#include "test.h"
#include "text/regex.h"

static mt_error err;

#define OTHERS       "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define UPPER        "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER        "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define UPPER_NO_HAN "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
#define LOWER_NO_HAN "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"

static const struct {
    const char *name, *pattern;
} known[] = {
    {"gpt2", "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
    {"cl100k", "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|"
               "\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s"},
    {"llama3", OTHERS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
                      "\\s+(?!\\S)|\\s+"},
    {"o200k", "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" OTHERS "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" OTHERS
              "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
    {"kimi-k2", "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?" UPPER_NO_HAN "*" LOWER_NO_HAN "+" OTHERS
                "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER_NO_HAN "+" LOWER_NO_HAN "*" OTHERS
                "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
    {"r50k", "'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s"},
    {"qwen",
     OTHERS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
    {"deepseek digits", "\\p{N}{1,3}"},
    {"deepseek cjk", "[\xE4\xB8\x80-\xE9\xBE\xA5\xE3\x81\x80-\xE3\x82\x9F\xE3\x82\xA0-\xE3\x83\xBF]+"},
    {"deepseek words",
     "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
     "?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"},
    {"falcon", "[0-9][0-9][0-9]"},
    {"clip", "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"},
    {"spaces", " {2,}"},
};
enum { KNOWN = sizeof known / sizeof *known };

static mt_regex *compiled(const char *pattern) {
    mt_regex *re = NULL;
    CHECK_OK(mt_regex_compile(mt_str_of(pattern), &re, &err));
    return re;
}

/* Splits with the backtracking engine, one match after the other. */
static size_t split_slowly(mt_regex *re, const uint8_t *text, size_t n, size_t *ends) {
    size_t count = 0, begin = 0;
    for (size_t at = 0; at < n;) {
        bool found;
        size_t end;
        CHECK_OK(mt_regex_back_at(re, text, n, at, &found, &end, &err));
        if (found && at > begin) ends[count++] = at | MT_SPLIT_GAP, begin = at;
        if (found && end > at) {
            ends[count++] = begin = at = end;
            continue;
        }
        uint32_t cp;
        int length = mt_utf8_decode(text + at, n - at, &cp);
        at += length ? (size_t)length : 1;
    }
    if (begin < n) ends[count++] = n | MT_SPLIT_GAP;
    return count;
}

static void check_split(mt_regex *re, const char *name, const uint8_t *text, size_t n) {
    static size_t fast[4096], slow[4096];
    size_t a, b = split_slowly(re, text, n, slow);
    CHECK_OK(mt_regex_split(re, text, n, 0, fast, 4096, &a, &err));
    char shown[256];
    CHECK(a == b && memcmp(fast, slow, a * sizeof *fast) == 0,
          "%s splits \"%s\" into %zu pieces, backtracking into %zu", name,
          mt_str_show((mt_str){text, n}, shown, sizeof shown), a, b);
}

/* Follows the byte automaton from text[0] and compares with match_at. */
static void check_bytes(mt_regex *re, const char *name, const uint8_t *text, size_t n) {
    mt_dfa *d = mt_regex_dfa(re);
    bool found = false, expected;
    size_t end = 0, expected_end, decided = 0;
    int32_t state = mt_dfa_start(d);
    int back;
    bool alive[512];
    for (size_t i = 0;; i++) {
        CHECK(state >= 0, "state %d", state);
        if (mt_dfa_confirms(d, state, &back)) {
            found = true;
            decided = i;
            end = (i > n ? n : i) - (size_t)back;
        }
        if (i < 512 && i <= n) alive[i] = mt_dfa_alive(d, state);
        if (i > n || state == MT_DFA_DEAD) break;
        state = mt_dfa_step(d, state, i < n ? text[i] : MT_END);
    }
    CHECK_OK(mt_regex_match_at(re, text, n, 0, &expected, &expected_end, &err));
    char shown[256];
    CHECK(found == expected && (!found || end == expected_end), "%s on \"%s\": bytes %d %zu, match_at %d %zu", name,
          mt_str_show((mt_str){text, n}, shown, sizeof shown), found, end, expected, expected_end);
    for (size_t i = 0; found && i <= end && i < decided && i < 512; i++)
        CHECK(alive[i], "%s: the match at %zu was possible at %zu", name, end, i);
}

static const char *const symbols[] = {"a", "Z", "1", "'", "s", " ", "\n", "\xC3\xA9", "!"};

/* All strings of at most `longest` of the nine symbols. */
static long each_string(int longest, void (*check)(mt_regex *, const char *, const uint8_t *, size_t), mt_regex *re,
                        const char *name) {
    long strings = 0, total = 1;
    for (int length = 0; length <= longest; length++, total *= 9) {
        for (long x = 0; x < total; x++) {
            uint8_t text[16];
            size_t n = 0;
            long y = x;
            for (int i = 0; i < length; i++, y /= 9)
                for (const char *s = symbols[y % 9]; *s; s++) text[n++] = (uint8_t)*s;
            check(re, name, text, n);
            strings++;
        }
    }
    return strings;
}

static void exhaustive(void) {
    for (size_t i = 0; i < KNOWN; i++) {
        static char titles[KNOWN][160], *title;
        title = titles[i];
        int longest = i < 2 ? 6 : 4;
        snprintf(title, sizeof titles[i],
                 "ACCEPTANCE 2: regex: %s is an automaton and splits all strings of up to %d symbols like backtracking",
                 known[i].name, longest);
        CASE(title);
        mt_regex *re = compiled(known[i].pattern);
        if (!re) continue;
        CHECK(mt_regex_dfa(re), "%s", mt_regex_why_not_dfa(re));
        long strings = each_string(longest, check_split, re, known[i].name);
        CHECK(strings == (longest == 6 ? 597871 : 7381), "%ld strings", strings);
        if (mt_regex_dfa(re)) each_string(3, check_bytes, re, known[i].name);
        mt_regex_free(re);
    }
}

/* A random text: characters of every general category, ASCII, spaces, now and then broken UTF-8. */
static size_t random_text(mt_rng *rng, uint8_t *text, size_t cap, bool broken) {
    size_t n = 0, want = 1 + mt_rng_below(rng, cap - 8);
    static uint32_t samples[30][64];
    static int counts[30];
    if (!counts[MT_LU]) {
        mt_rng pick;
        mt_rng_seed(&pick, 7);
        for (uint32_t cp = 0; cp < 0x110000; cp++) { /* reservoir of each category */
            int c = (int)mt_unicode_category(cp);
            uint64_t k = counts[c] < 64 ? (uint64_t)counts[c] : mt_rng_below(&pick, (uint64_t)counts[c] + 1);
            if (k < 64) samples[c][k] = cp;
            counts[c]++;
        }
    }
    while (n < want) {
        uint64_t kind = mt_rng_below(rng, broken ? 6 : 5);
        if (kind == 5)
            text[n++] = (uint8_t)mt_rng_below(rng, 256);
        else if (kind > 2)
            text[n++] = (uint8_t)" \n\r\t'sS/.aZ09-"[mt_rng_below(rng, 14)];
        else {
            uint64_t c = mt_rng_below(rng, 30);
            if (c == MT_CS) continue;
            n += (size_t)mt_utf8_encode(samples[c][mt_rng_below(rng, counts[c] < 64 ? (uint64_t)counts[c] : 64)],
                                        text + n);
        }
    }
    return n;
}

static void randoms(void) {
    CASE("ACCEPTANCE 2: regex: random Unicode text of every general category, valid and broken: splits, byte steps, "
         "resuming");
    mt_rng rng;
    mt_rng_seed(&rng, 42);
    for (size_t i = 0; i < KNOWN; i++) {
        mt_regex *re = compiled(known[i].pattern);
        for (int k = 0; k < 400 && re; k++) {
            uint8_t text[160];
            size_t n = random_text(&rng, text, sizeof text, k & 1), all[200], some[200], count, got = 0;
            check_split(re, known[i].name, text, n);
            check_bytes(re, known[i].name, text, n);
            CHECK_OK(mt_regex_split(re, text, n, 0, all, 200, &count, &err));
            size_t cap = 1 + mt_rng_below(&rng, 5), at = 0, c;
            while (at < n) {
                CHECK_OK(mt_regex_split(re, text, n, at, some + got, cap, &c, &err));
                got += c;
                if (!c) break;
                at = some[got - 1] & ~MT_SPLIT_GAP;
            }
            CHECK(got == count && memcmp(all, some, count * sizeof *all) == 0,
                  "%s: %zu pieces at once, %zu in parts of %zu", known[i].name, count, got, cap);
        }
        mt_regex_free(re);
    }
}

/* Random patterns out of small parts: both engines must agree wherever the automaton exists. */
static void random_pattern(mt_rng *rng, mt_buf *b, int depth, bool inside) {
    static const char *const atoms[] = {"a",    "Z", "1",      "\\s",      "\\S",    "[a1]",
                                        "[^a]", ".", "\\p{L}", "\xC3\xA9", "(?i:z)", "'"};
    static const char *const after[] = {"?", "*", "+", "{1,2}", "??", "*?", "+?", "?+", "*+", "++", "{1,2}+", "{0,3}"};
    static const char *const open[] = {"(?:", "(", "(?=", "(?!", "(?>"};
    int parts = 1 + (int)mt_rng_below(rng, 3);
    for (int i = 0; i < parts; i++) {
        if (i && mt_rng_below(rng, 3) == 0) mt_buf_byte(b, '|', NULL);
        uint64_t kind = mt_rng_below(rng, depth ? 10 : 7);
        if (kind < 7) {
            const char *s = atoms[mt_rng_below(rng, 12)];
            mt_buf_add(b, s, strlen(s), NULL);
        } else if (kind == 7 && !inside) {
            mt_buf_byte(b, '$', NULL);
            continue;
        } else {
            const char *s = open[mt_rng_below(rng, 5)];
            mt_buf_add(b, s, strlen(s), NULL);
            random_pattern(rng, b, depth - 1, inside);
            mt_buf_byte(b, ')', NULL);
        }
        if (mt_rng_below(rng, 3) == 0) {
            const char *s = after[mt_rng_below(rng, 12)];
            mt_buf_add(b, s, strlen(s), NULL);
        }
    }
}

static void random_patterns(void) {
    CASE("regex: random patterns: automaton, byte steps and backtracking agree");
    mt_rng rng;
    mt_rng_seed(&rng, 99);
    int automata = 0, others = 0;
    for (int k = 0; k < 1500; k++) {
        mt_buf b = {0};
        random_pattern(&rng, &b, 3, false);
        mt_buf_byte(&b, 0, NULL);
        mt_regex *re = compiled((const char *)b.data);
        if (re && mt_regex_dfa(re)) {
            automata++;
            each_string(2, check_split, re, (const char *)b.data);
            for (int t = 0; t < 60; t++) {
                uint8_t text[40];
                size_t n = 0;
                for (uint64_t length = 3 + mt_rng_below(&rng, 6); length; length--)
                    for (const char *s = symbols[mt_rng_below(&rng, 9)]; *s; s++) text[n++] = (uint8_t)*s;
                check_split(re, (const char *)b.data, text, n);
                check_bytes(re, (const char *)b.data, text, n);
            }
        } else
            others++;
        mt_regex_free(re);
        mt_buf_free(&b);
    }
    CHECK(automata > 500 && others > 100, "%d automata, %d others", automata, others);
}

static void examples(void) {
    CASE("regex: syntax, checked by what matches");
    static const struct {
        const char *pattern, *text;
        int begin, end; /* of the first match; -1: none */
    } cases[] = {
        {"a|ab", "ab", 0, 1},
        {"(?:a|ab)(?:c|bcd)", "abcd", 0, 4},
        {"a{2}", "aaa", 0, 2},
        {"a{2,}", "caaa", 1, 4},
        {"a{,2}b", "aaab", 1, 4},
        {"a{x", "a{x", 0, 3},
        {"a*?b", "aab", 0, 3},
        {"a+?", "aaa", 0, 1},
        {"a?+a", "a", -1, 0},
        {"a*+a", "aaa", -1, 0},
        {"(?>ab|a)b", "ab", -1, 0},
        {"(?>ab|a)b", "abb", 0, 3},
        {"(?:ab|a)++b", "aab", -1, 0},
        {"[[a-c]&&[^b]]+", "bcab", 1, 3},
        {"[^a-c&&a-z]", "abcdx", 3, 4},
        {"[]x]+", "a]x", 1, 3},
        {"[a\\-z]+", "ba-z", 1, 4},
        {"[+--]+", "*+,-.", 1, 4},
        {"[[:alpha:]_]+", "1_a", 1, 3},
        {"\\x41\\u0042\\x{43}", "ABC", 0, 3},
        {"\\u{1F600}", "\xF0\x9F\x98\x80", 0, 4},
        {"(?i)\xC3\x89k", "\xC3\xA9\xE2\x84\xAA", 0, 5},
        {"(?i:s)", "\xC5\xBF", 0, 2},
        {"(?i:[^s])", "\xC5\xBFx", 2, 3},
        {"a(?i)b|c", "aBC", 0, 2},
        {"(?i:a)b", "AB", -1, 0},
        {"(?s).", "\n", 0, 1},
        {".", "\n", -1, 0},
        {"(?x) a  b # comment\n c", "abc", 0, 3},
        {"a(?#note)b", "ab", 0, 2},
        {"(?<name>a)(?P<other>b)", "ab", 0, 2},
        {"a$", "a\n", -1, 0},
        {"a(?m:$)", "a\nb", 0, 1},
        {"a\\Z", "a\n", 0, 1},
        {"a\\Z", "a\nb", -1, 0},
        {"a\\z", "ba", 1, 2},
        {"^b", "ab", -1, 0},
        {"(?m)^b", "a\nb", 2, 3},
        {"\\Aa", "a", 0, 1},
        {"\\bb", "ab b", 3, 4},
        {"\\Bb", "b ab", 3, 4},
        {"(?<=a)b", "bab", 2, 3},
        {"(?<!a)b", "abb", 2, 3},
        {"(?<=\xC3\xA9)b",
         "b\xC3\xA9"
         "b",
         3, 4},
        {"(?<=(?<=a)b)c", "bcabc", 4, 5},
        {"\\R", "a\r\nb", 1, 3},
        {"\\R\\n", "\r\n", -1, 0},
        {"\\p{Lu}\\p{^Lu}\\P{Lu}", "Aab", 0, 3},
        {"\\p{Script=Greek}+", "a\xCE\xB1\xCE\xB2", 1, 5},
        {"\\p{sc=Hira}", "\xE3\x81\x82", 0, 3},
        {"\\p{gc=Decimal_Number}", "x7", 1, 2},
        {"\\pN", "x7", 1, 2},
        {"\\p{L}+(?=\\d\\d)", "ab1cd23", 3, 5},
        {"a(?!b(?!c))", "abdabc", 3, 4},
        {"(|a)*b", "aab", 0, 3},
        {"(|a)+", "aaa", 0, 0},
        {"(?:a*)*b", "aaaab", 0, 5},
        {"(?=a*b)a", "aaa aab", 4, 5},
        {"[^a]", "\xFF", 0, 1},
        {"\\P{L}\\S",
         "\xE2\x82"
         "A",
         0, 2},
        {"\\p{Any}", "\xFF", -1, 0},
        {"", "a", 0, 0},
        {"a|", "b", 0, 0},
        {"\\w+",
         "-a_\xC3\xA9"
         "1-",
         1, 6},
        {"\\W\\D", "- ", 0, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mt_regex *re = compiled(cases[i].pattern);
        if (!re) continue;
        bool found;
        size_t begin, end, n = strlen(cases[i].text);
        CHECK_OK(mt_regex_find(re, (const uint8_t *)cases[i].text, n, 0, &found, &begin, &end, &err));
        CHECK(found == (cases[i].begin >= 0), "%s on %s: found %d", cases[i].pattern, cases[i].text, found);
        if (found && cases[i].begin >= 0)
            CHECK(begin == (size_t)cases[i].begin && end == (size_t)cases[i].end, "%s on %s: %zu..%zu",
                  cases[i].pattern, cases[i].text, begin, end);
        mt_regex_free(re);
    }
}

static void refused(void) {
    CASE("regex: what is wrong is refused with the pattern and the place");
    static const struct {
        const char *pattern;
        mt_status status;
        uint64_t where;
        const char *says;
    } cases[] = {
        {"a(b", MT_EFORMAT, 1, "( without )"},
        {"ab)", MT_EFORMAT, 2, ") without ("},
        {"x[a", MT_EFORMAT, 1, "[ without ]"},
        {"*a", MT_EFORMAT, 0, "nothing to repeat"},
        {"a{3,2}", MT_EFORMAT, 1, "out of order"},
        {"[z-a]", MT_EFORMAT, 1, "out of order"},
        {"a\\", MT_EFORMAT, 1, "at the end"},
        {"(a)\\1", MT_EUNKNOWN, 3, "back-references"},
        {"\\p{Klingon}", MT_EUNKNOWN, 0, "Klingon"},
        {"\\p{}", MT_EUNKNOWN, 0, "property"},
        {"\\p", MT_EUNKNOWN, 0, "property"},
        {"\\y", MT_EUNKNOWN, 0, "unknown escape"},
        {"(?<=a*)b", MT_EUNKNOWN, 0, "look-behind"},
        {"(?Q)", MT_EUNKNOWN, 0, "unknown group"},
        {"a{1001}", MT_ELIMIT, 1, "repeat count"},
        {"((a{1000}){1000}){1000}", MT_ELIMIT, 2, "states"},
        {"(((((){1000}){1000}){1000}){1000}){1000}", MT_OK, 0, ""},
        {"\\x{110000}", MT_EFORMAT, 0, "10FFFF"},
        {"\xFF", MT_EFORMAT, 0, "UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mt_regex *re = NULL;
        err.text[0] = 0;
        mt_status status = mt_regex_compile(mt_str_of(cases[i].pattern), &re, &err);
        CHECK(status == cases[i].status, "%s: %s %s", cases[i].pattern, mt_status_name(status), err.text);
        if (status != MT_OK) {
            CHECK(!re && strstr(err.text, cases[i].says), "%s: %s", cases[i].pattern, err.text);
            CHECK(err.where == cases[i].where, "%s: at %llu", cases[i].pattern, (unsigned long long)err.where);
        }
        mt_regex_free(re);
    }
    static char deep[100001];
    for (int kind = 0; kind < 3; kind++) {
        memset(deep, "([a"[kind], 60000);
        if (kind == 2)
            for (int i = 1; i < 60000; i++) deep[i] = '*';
        deep[60000] = 0;
        mt_regex *re;
        CHECK(mt_regex_compile(mt_str_of(deep), &re, &err) == MT_ELIMIT, "%s", err.text);
    }
    memset(deep, 'a', 100000);
    mt_regex *re;
    CHECK(mt_regex_compile(mt_str_of(deep), &re, &err) == MT_ELIMIT, "%s", err.text);
}

static void linear(void) {
    CASE("regex: work grows linearly: hostile patterns and texts, counted in steps");
    static const struct {
        const char *pattern, *unit;
    } cases[] = {
        {"a*b", "a"},
        {"(?:a*)*b", "a"},
        {"(?:a|a)*b", "a"},
        {"a*?b|c", "a"},
        {"(?:a|aa)+$", "ab"},
        {"a|a*b", "a"},
        {"\\s+(?!\\S)|\\s+", " "},
        {"(?:a+a+)+b", "a"},
        {"(?:x+x+)+y", "x"},
        {"\\s*\\n|\\s", " "},
        {"(?>a+)?b", "a"},
        {"\\ba*b", "a"},
        {"(?:a?){40}a{40}", "a"},
        {"(?:.*.*)*=", "x"},
        {"(?<=c)a*b", "a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t steps[2];
        for (int k = 0; k < 2; k++) {
            size_t n = k ? 40000 : 10000, unit = strlen(cases[i].unit), count, at = 0;
            uint8_t *text = mt_malloc(n);
            static size_t ends[4096];
            for (size_t j = 0; j < n; j++) text[j] = (uint8_t)cases[i].unit[j % unit];
            mt_regex *re = compiled(cases[i].pattern);
            if (!re) break;
            do {
                CHECK_OK(mt_regex_split(re, text, n, at, ends, 4096, &count, &err));
                if (!count) break;
                at = ends[count - 1] & ~MT_SPLIT_GAP;
            } while (at < n);
            CHECK(at == n, "%s: only %zu bytes", cases[i].pattern, at);
            steps[k] = mt_regex_steps(re) + n;
            mt_regex_free(re);
            mt_free(text);
        }
        CHECK(steps[1] <= steps[0] * 5, "%s: %llu steps for 10000 bytes, %llu for 40000", cases[i].pattern,
              (unsigned long long)steps[0], (unsigned long long)steps[1]);
    }
}

static void too_big(void) {
    CASE("regex: an automaton with exponentially many states stops growing and backtracking takes over");
    mt_regex *re = compiled("(?:a|b)*a(?:a|b){14}c");
    if (!re) return;
    mt_rng rng;
    mt_rng_seed(&rng, 3);
    static uint8_t text[20000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)('a' + mt_rng_below(&rng, 2));
    bool found;
    size_t end;
    CHECK_OK(mt_regex_match_at(re, text, sizeof text, 0, &found, &end, &err));
    CHECK(!found, "found");
    text[19999] = 'c';
    text[19984] = 'a';
    CHECK_OK(mt_regex_match_at(re, text, sizeof text, 0, &found, &end, &err));
    CHECK(found && end == 20000, "%d %zu", found, end);
    CHECK(mt_dfa_state_count(mt_regex_dfa(re)) <= MT_DFA_MAX_STATES, "states");
    int32_t state = mt_dfa_start(mt_regex_dfa(re));
    for (size_t i = 0; i < sizeof text && state > 0; i++) state = mt_dfa_step(mt_regex_dfa(re), state, text[i]);
    CHECK(state == -MT_ELIMIT, "state %d", state);
    mt_regex_free(re);
}

static void failing_memory(void) {
    CASE("regex: every allocation may fail");
    const uint8_t text[] = "I'd say  \xE4\xBD\xA0\xE5\xA5\xBD 1234!\n\n x";
    size_t ends[64], count;
    for (int which = 0; which < 2; which++) {
        const char *pattern = which ? "(?<=a)b|(?>ab|\\p{Lu})\\b|\\s+(?!\\S)" : known[1].pattern;
        size_t before = mt_live_allocations();
        bool done = false;
        for (int64_t k = 0; k < 20000 && !done; k += k < 300 ? 1 : 7) {
            mt_regex *re = NULL;
            mt_fail_allocation_after(k);
            mt_status status = mt_regex_compile(mt_str_of(pattern), &re, &err);
            if (status == MT_OK) {
                status = mt_regex_split(re, text, sizeof text - 1, 0, ends, 64, &count, &err);
                if (status == MT_OK && mt_regex_dfa(re)) {
                    int32_t state = mt_dfa_start(mt_regex_dfa(re));
                    for (size_t i = 0; i < sizeof text - 1 && state > 0; i++)
                        state = mt_dfa_step(mt_regex_dfa(re), state, text[i]);
                    if (state < 0) status = (mt_status)-state;
                }
                done = status == MT_OK;
            }
            mt_fail_allocation_after(-1);
            CHECK(status == MT_OK || status == MT_ENOMEM, "%s: %s", mt_status_name(status), err.text);
            if (re && status == MT_ENOMEM) { /* still usable */
                CHECK_OK(mt_regex_split(re, text, sizeof text - 1, 0, ends, 64, &count, &err));
                size_t slow[64];
                CHECK(split_slowly(re, text, sizeof text - 1, slow) == count &&
                          !memcmp(slow, ends, count * sizeof *ends),
                      "after failure %lld", (long long)k);
            }
            mt_regex_free(re);
        }
        CHECK(done, "never succeeded");
        CHECK(mt_live_allocations() == before, "leak");
    }
}

static int answer_split(void) {
    uint8_t head[4];
    mt_buf in = {0};
    mt_regex *re = NULL;
    bool ok = true;
    while (ok && fread(head, 1, 4, stdin) == 4) {
        static size_t ends[4096];
        size_t n = mt_le32(head), count;
        in.len = 0;
        ok = mt_buf_reserve(&in, n + 1, &err) == MT_OK && fread(in.data, 1, n, stdin) == n;
        if (ok && !re) {
            ok = mt_regex_compile((mt_str){in.data, n}, &re, &err) == MT_OK;
            continue;
        }
        ok = ok && mt_regex_split(re, in.data, n, 0, ends, 4096, &count, &err) == MT_OK;
        if (!ok) break;
        int32_t word = (int32_t)count;
        fwrite(&word, 4, 1, stdout);
        for (size_t i = 0; i < count; i++) {
            word = (int32_t)(ends[i] & ~MT_SPLIT_GAP);
            if (ends[i] & MT_SPLIT_GAP) word = -word;
            fwrite(&word, 4, 1, stdout);
        }
    }
    if (!ok) fprintf(stderr, "%s\n", err.text);
    mt_regex_free(re);
    mt_buf_free(&in);
    return !ok;
}

int main(int arguments, char **argument) {
    if (arguments > 1) return strcmp(argument[1], "split") ? 2 : answer_split();
    examples();
    refused();
    exhaustive();
    randoms();
    random_patterns();
    linear();
    too_big();
    failing_memory();
    return test_end();
}
