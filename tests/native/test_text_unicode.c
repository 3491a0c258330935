/* text: properties of characters and normalization. With an argument the program answers questions on standard input,
 * for tests/unit/unicode.test.mjs, which compares the answers with other implementations: normalize   records of form
 * (1 byte), length (4 bytes), text -> length, text, length + 1 origins (4 bytes each) characters  -> per code point
 * category, white space, number of lower case characters (1 byte each), folding, 3 lower case sets        a property
 * name a line -> its ranges in a line */
#include "test.h"
#include "text/regex.h"

static mt_error err;

/* ---- answering ---- */

static int answer_normalize(void) {
    uint8_t head[5];
    mt_buf in = {0}, out = {0};
    mt_ids origin = {0};
    bool ok = true;
    while (ok && fread(head, 1, 5, stdin) == 5) {
        uint32_t n = mt_le32(head + 1);
        in.len = 0;
        ok = mt_buf_reserve(&in, n, &err) == MT_OK && fread(in.data, 1, n, stdin) == n &&
             mt_normalize((mt_nf)head[0], in.data, n, &out, &origin, &err) == MT_OK && origin.len == out.len + 1;
        uint32_t length = (uint32_t)out.len;
        if (ok) {
            fwrite(&length, 4, 1, stdout);
            fwrite(out.data, 1, out.len, stdout);
            fwrite(origin.data, 4, origin.len, stdout);
        }
    }
    mt_buf_free(&in);
    mt_buf_free(&out);
    mt_ids_free(&origin);
    return !ok;
}

static int answer_characters(void) {
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        uint32_t words[4] = {mt_unicode_fold(cp), 0, 0, 0};
        int n = mt_unicode_lower(cp, words + 1);
        uint8_t bytes[3] = {(uint8_t)mt_unicode_category(cp), mt_unicode_is_space(cp), (uint8_t)n};
        fwrite(bytes, 1, 3, stdout);
        fwrite(words, 4, 4, stdout);
    }
    return 0;
}

static int answer_sets(void) {
    char line[256];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        mt_set set = {0};
        bool known;
        if (mt_set_property(&set, mt_str_of(line), &known, &err) != MT_OK) return 1;
        if (!known) printf("unknown");
        for (size_t i = 0; i < set.n; i++) printf("%s%x-%x", i ? " " : "", set.r[i].lo, set.r[i].hi);
        printf("\n");
        mt_set_free(&set);
    }
    return 0;
}

/* ---- tests ---- */

static void normalized(mt_nf form, const char *in, const char *expected, const int32_t *origins) {
    mt_buf out = {0};
    mt_ids origin = {0};
    CHECK_OK(mt_normalize(form, (const uint8_t *)in, strlen(in), &out, &origin, &err));
    CHECK(out.len == strlen(expected) && (!out.len || !memcmp(out.data, expected, out.len)),
          "form %d of \"%s\": \"%.*s\"", form, in, (int)out.len, out.data ? (const char *)out.data : "");
    CHECK(origin.len == out.len + 1 && origin.data[out.len] == (int32_t)strlen(in), "origins");
    for (size_t i = 0; origins && i < origin.len && i <= strlen(expected); i++)
        CHECK(origin.data[i] == origins[i], "form %d of \"%s\": origin of byte %zu is %d", form, in, i, origin.data[i]);
    mt_buf_free(&out);
    mt_ids_free(&origin);
}

static void examples(void) {
    CASE("normalize: examples with alignment");
    normalized(MT_NFC, "", "", NULL);
    normalized(MT_NFC, "plain text", "plain text", (const int32_t[]){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
    normalized(MT_NFC, "ae\xCC\x81x", "a\xC3\xA9x", (const int32_t[]){0, 1, 1, 4, 5});
    normalized(MT_NFD, "a\xC3\xA9x", "ae\xCC\x81x", (const int32_t[]){0, 1, 1, 1, 3, 4});
    normalized(MT_NFC, "\xC3\xA9", "\xC3\xA9", (const int32_t[]){0, 1, 2});
    /* e, acute (230), dot below (220): the marks change places and the dot composes; the acute stays a mark */
    normalized(MT_NFD, "q\xCC\x81\xCC\xA3", "q\xCC\xA3\xCC\x81", (const int32_t[]){0, 1, 1, 3, 3, 5});
    normalized(MT_NFC, "e\xCC\x81\xCC\xA3", "\xE1\xBA\xB9\xCC\x81", (const int32_t[]){0, 0, 0, 3, 3, 5});
    normalized(MT_NFKC, "\xEF\xAC\x81x", "fix", (const int32_t[]){0, 0, 3, 4});
    normalized(MT_NFC, "\xEF\xAC\x81", "\xEF\xAC\x81", NULL);
    normalized(MT_NFD, "\xED\x95\x9C", "\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", NULL);
    normalized(MT_NFC, "\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", "\xED\x95\x9C", NULL);
    normalized(MT_NFC, "\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xA7", "\xED\x95\x98\xE1\x86\xA7",
               NULL);                                                     /* U+11A7 is no trailing consonant */
    normalized(MT_NFC, "\xE0\xA5\x98", "\xE0\xA4\x95\xE0\xA4\xBC", NULL); /* a composition exclusion */
    normalized(MT_NFKD, "\xE1\xBA\x9B", "s\xCC\x87", NULL);
    normalized(MT_NFKC, "\xE1\xBA\x9B", "\xE1\xB9\xA1", NULL);
    normalized(MT_NFKC, "\xEF\xBE\x8A\xEF\xBE\x9F", "\xE3\x83\x91", NULL); /* half-width HA, semi-voiced mark */
    normalized(MT_NFC, "e\xFF\xCC\x81\xCC", "e\xFF\xCC\x81\xCC", (const int32_t[]){0, 1, 2, 3, 4, 5});
    normalized(MT_NFKC, "\xE3\x8B\xBF", "\xE4\xBB\xA4\xE5\x92\x8C", NULL); /* U+32FF came with Unicode 12.1 */
    normalized(MT_NFKC_9, "\xE3\x8B\xBF", "\xE3\x8B\xBF", NULL);
    normalized(MT_NFC, "e\xCC\x81\xF0\x96\xB5\xA3\xF0\x96\xB5\xA7", "\xC3\xA9\xF0\x96\xB5\xA9",
               NULL); /* U+16D69: 16.0 */
    normalized(MT_NFC_9, "\xF0\x96\xB5\xA3\xF0\x96\xB5\xA7\xCC\x81", "\xF0\x96\xB5\xA3\xF0\x96\xB5\xA7\xCC\x81", NULL);
    normalized(MT_NFKC, "\xED\xA0\x80", "\xED\xA0\x80", NULL);
    normalized(MT_NFKD, "\xEF\xB7\xBA",
               "\xD8\xB5\xD9\x84\xD9\x89 \xD8\xA7\xD9\x84\xD9\x84\xD9\x87 \xD8\xB9\xD9\x84\xD9\x8A\xD9\x87 "
               "\xD9\x88\xD8\xB3\xD9\x84\xD9\x85",
               NULL);
}

/* Origins are sound: they do not decrease, and cutting the text at a place where nothing combines gives the same parts.
 */
static void properties(void) {
    CASE("normalize: idempotent, forms agree with each other, origins increase, all on random text with broken UTF-8");
    mt_rng rng;
    mt_rng_seed(&rng, 5);
    static const uint32_t some[] = {'a',    'e',    0xE9,   0x301,  0x323,  0x345,   0x334,  0x1100, 0x1161,
                                    0x11A8, 0xAC00, 0xAC01, 0xFB01, 0xFF9E, 0xFF76,  0x3099, 0xF73,  0x344,
                                    0x1E9B, 0x915,  0x93C,  0x958,  0x212B, 0x1D15E, 0x2F800};
    mt_buf a = {0}, b = {0}, c = {0};
    mt_ids origin = {0};
    for (int k = 0; k < 20000; k++) {
        uint8_t text[80];
        size_t n = 0;
        for (uint64_t length = mt_rng_below(&rng, 16); length; length--) {
            uint64_t kind = mt_rng_below(&rng, 10);
            if (kind == 0)
                text[n++] = (uint8_t)mt_rng_below(&rng, 256);
            else {
                uint32_t cp = kind == 1 ? (uint32_t)mt_rng_below(&rng, 0x11000)
                                        : some[mt_rng_below(&rng, sizeof some / sizeof *some)];
                n += (size_t)mt_utf8_encode(cp, text + n);
            }
        }
        for (int f = 0; f < 4; f++) {
            CHECK_OK(mt_normalize((mt_nf)f, text, n, &a, &origin, &err));
            CHECK(origin.len == a.len + 1, "%zu origins", origin.len);
            for (size_t i = 0; i < a.len; i++)
                CHECK(origin.data[i] <= origin.data[i + 1] && origin.data[i] >= 0, "origin %zu: %d", i, origin.data[i]);
            CHECK(origin.data[a.len] == (int32_t)n, "the last origin");
            CHECK_OK(mt_normalize((mt_nf)f, a.data, a.len, &b, NULL, &err));
            CHECK(a.len == b.len && (!a.len || !memcmp(a.data, b.data, a.len)), "form %d is not stable", f);
            /* NFC(x) = NFC(NFD(x)) and so on */
            CHECK_OK(mt_normalize(f < 2 ? MT_NFD : MT_NFKD, text, n, &b, NULL, &err));
            CHECK_OK(mt_normalize((mt_nf)f, b.data, b.len, &c, NULL, &err));
            CHECK(a.len == c.len && (!a.len || !memcmp(a.data, c.data, a.len)),
                  "form %d of the decomposed text differs", f);
        }
    }
    mt_buf_free(&a);
    mt_buf_free(&b);
    mt_buf_free(&c);
    mt_ids_free(&origin);
}

static void long_marks(void) {
    CASE("normalize: a megabyte of marks in the worst order");
    size_t n = 1 << 20;
    uint8_t *text = mt_malloc(n);
    for (size_t i = 0; i < n; i += 2) memcpy(text + i, i / 2 % 2 ? "\xCC\xA3" : "\xCC\x81", 2);
    mt_buf out = {0};
    CHECK_OK(mt_normalize(MT_NFC, text, n, &out, NULL, &err));
    CHECK(out.len == n, "%zu bytes", out.len);
    for (size_t i = 0; i < out.len; i += 2)
        CHECK(!memcmp(out.data + i, i < n / 2 ? "\xCC\xA3" : "\xCC\x81", 2), "mark %zu", i / 2);
    mt_buf_free(&out);
    mt_free(text);
}

static void failing_memory(void) {
    CASE("normalize: every allocation may fail");
    const char *text = "plain e\xCC\x81\xCC\xA3 \xEF\xAC\x81";
    size_t before = mt_live_allocations();
    bool done = false;
    for (int64_t k = 0; k < 50 && !done; k++) {
        mt_buf out = {0};
        mt_ids origin = {0};
        mt_fail_allocation_after(k);
        mt_status status = mt_normalize(MT_NFKC, (const uint8_t *)text, strlen(text), &out, &origin, &err);
        mt_fail_allocation_after(-1);
        CHECK(status == MT_OK || status == MT_ENOMEM, "%s", mt_status_name(status));
        done = status == MT_OK;
        mt_buf_free(&out);
        mt_ids_free(&origin);
    }
    CHECK(done && mt_live_allocations() == before, "leak");
}

static void sets(void) {
    CASE("sets: operations agree with a bit per code point");
    mt_rng rng;
    mt_rng_seed(&rng, 11);
    enum { SMALL = 64 };
    for (int k = 0; k < 3000; k++) {
        mt_set v[2] = {{0}};
        bool bits[2][SMALL] = {{false}};
        for (int s = 0; s < 2; s++) {
            for (uint64_t i = mt_rng_below(&rng, 8); i; i--) {
                uint32_t lo = (uint32_t)mt_rng_below(&rng, SMALL), hi = lo + (uint32_t)mt_rng_below(&rng, 5);
                if (hi >= SMALL) hi = SMALL - 1;
                CHECK_OK(mt_set_add(&v[s], lo, hi, &err));
                for (uint32_t c = lo; c <= hi; c++) bits[s][c] = true;
            }
            mt_set_tidy(&v[s]);
        }
        bool disjoint = true;
        for (int c = 0; c < SMALL; c++) disjoint &= !(bits[0][c] && bits[1][c]);
        CHECK(mt_set_disjoint(&v[0], &v[1]) == disjoint, "disjoint");
        uint64_t op = mt_rng_below(&rng, 3);
        if (op == 0)
            CHECK_OK(mt_set_union(&v[0], &v[1], &err));
        else if (op == 1)
            CHECK_OK(mt_set_intersect(&v[0], &v[1], &err));
        else
            CHECK_OK(mt_set_negate(&v[0], &err));
        for (uint32_t c = 0; c < SMALL; c++) {
            bool expected = op == 0 ? bits[0][c] || bits[1][c] : op == 1 ? bits[0][c] && bits[1][c] : !bits[0][c];
            CHECK(mt_set_has(&v[0], c) == expected, "operation %d at %u", (int)op, c);
        }
        CHECK(mt_set_has(&v[0], MT_CP_INVALID) == (op == 2), "only negation has the invalid byte");
        for (size_t i = 1; i < v[0].n; i++) CHECK(v[0].r[i - 1].hi + 1 < v[0].r[i].lo, "not tidy");
        mt_set_free(&v[0]);
        mt_set_free(&v[1]);
    }
}

static void characters(void) {
    CASE("characters: samples");
    CHECK(mt_unicode_category('a') == MT_LL && mt_unicode_category(0x378) == MT_CN &&
              mt_unicode_category(0x10FFFF) == MT_CN && mt_unicode_category(0x110000) == MT_CN &&
              mt_unicode_category(0xE000) == MT_CO && mt_unicode_category(0x4E00) == MT_LO,
          "categories");
    uint32_t lower[3];
    CHECK(mt_unicode_lower(0x130, lower) == 2 && lower[0] == 'i' && lower[1] == 0x307, "U+0130");
    CHECK(mt_unicode_lower(0x3A3, lower) == 1 && lower[0] == 0x3C3, "sigma");
    CHECK(mt_unicode_category_in(8, 0x1885) == MT_LO && mt_unicode_category_in(9, 0x1885) == MT_MN &&
              mt_unicode_category_in(8, 0x1DFB) == MT_CN && mt_unicode_category_in(9, 0x1DFB) == MT_MN &&
              mt_unicode_category_in(8, 'a') == MT_LL && mt_unicode_category_in(9, 0x10FFFF) == MT_CN &&
              mt_unicode_category_in(9, 0x32FF) == MT_CN && mt_unicode_category_in(16, 0x32FF) == MT_SO,
          "categories of older versions");
    CHECK(mt_unicode_fold(0x17F) == 's' && mt_unicode_fold(0x212A) == 'k' && mt_unicode_fold(0x3C2) == 0x3C3,
          "folding");
}

int main(int count, char **arguments) {
    if (count > 1) {
        if (!strcmp(arguments[1], "normalize")) return answer_normalize();
        if (!strcmp(arguments[1], "characters")) return answer_characters();
        if (!strcmp(arguments[1], "sets")) return answer_sets();
        return 2;
    }
    characters();
    sets();
    examples();
    properties();
    long_marks();
    failing_memory();
    return test_end();
}
