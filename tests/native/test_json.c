/* JSON: values, errors with places, limits, every truncation of a document, failing allocation. */
#include "test.h"

#include "base/json.h"

static mt_error err;

static mt_status walk(const char *text, size_t n) {
    mt_json j;
    /* an exact-size copy, so that the sanitizer sees any read past the end */
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, text, n);
    mt_json_open(&j, copy, n, &err);
    mt_json_skip(&j);
    mt_status s = mt_json_close(&j);
    free(copy);
    return s;
}

static mt_str str(mt_json *j, const char *text) {
    mt_json_open(j, (const uint8_t *)text, strlen(text), &err);
    return mt_json_string(j);
}

int main(void) {
    mt_json j;
    CASE("json: objects, arrays and scalars come back");
    {
        const char *t =
            "\xEF\xBB\xBF {\"a\" : [1, -2.5e3 ,true,null,\"x\"] , \"b\":{}, \"n\": -9223372036854775808, \"e\":[]}\n";
        mt_str key;
        mt_json_open(&j, (const uint8_t *)t, strlen(t), &err);
        CHECK_OK(mt_json_object(&j));
        CHECK(mt_json_key(&j, &key) && mt_str_is(key, "a"), "key a");
        CHECK_OK(mt_json_array(&j));
        CHECK(mt_json_next(&j) && mt_json_int(&j) == 1, "1");
        CHECK(mt_json_next(&j) && mt_json_number(&j) == -2500, "-2.5e3");
        CHECK(mt_json_next(&j) && mt_json_bool(&j), "true");
        CHECK(mt_json_next(&j) && mt_json_null(&j), "null");
        CHECK(mt_json_next(&j) && !mt_json_null(&j) && mt_str_is(mt_json_string(&j), "x"), "x");
        CHECK(!mt_json_next(&j), "end of the array");
        CHECK(mt_json_key(&j, &key) && mt_str_is(key, "b"), "key b");
        CHECK_OK(mt_json_skip(&j));
        CHECK(mt_json_key(&j, &key) && mt_json_int(&j) == INT64_MIN, "INT64_MIN");
        CHECK(mt_json_key(&j, &key), "key e");
        CHECK_OK(mt_json_array(&j));
        CHECK(!mt_json_next(&j), "empty array");
        CHECK(!mt_json_key(&j, &key), "end of the object");
        CHECK_OK(mt_json_close(&j));
    }
    CASE("json: escapes, surrogate pairs, lone surrogates");
    {
        mt_str s = str(&j, "\"a\\n\\u0041\\u00e9\\uD83D\\uDE00\\ud800x\\\"\\/ long enough to take the fast path\"");
        CHECK(mt_str_is(s, "a\nA\xC3\xA9\xF0\x9F\x98\x80\xEF\xBF\xBDx\"/ long enough to take the fast path"), "%.*s",
              (int)s.n, s.p);
        CHECK_OK(mt_json_close(&j));
        s = str(&j, "\"plain\"");
        CHECK(mt_str_is(s, "plain"), "plain");
        mt_json_close(&j);
    }
    CASE("json: numbers are correctly rounded");
    {
        static const struct {
            const char *text;
            double value;
        } cases[] = {{"0", 0.0},
                     {"-0", -0.0},
                     {"9007199254740993", 9007199254740992.0},
                     {"0.1", 0.1},
                     {"-13.568580627441406", -13.568580627441406},
                     {"1e400", INFINITY},
                     {"5e-324", 5e-324},
                     {"123456789012345678901234567890", 123456789012345678901234567890.0},
                     {"0.000000000000000000000000000001", 1e-30},
                     {"2.2250738585072011e-308", 2.2250738585072011e-308}};
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            mt_json_open(&j, (const uint8_t *)cases[i].text, strlen(cases[i].text), &err);
            double v = mt_json_number(&j);
            CHECK(v == cases[i].value && signbit(v) == signbit(cases[i].value), "%s -> %.17g", cases[i].text, v);
            CHECK_OK(mt_json_close(&j));
        }
    }
    CASE("json: every number is the double that the C library reads");
    {
        static char text[2400];
        mt_rng rng;
        mt_rng_seed(&rng, 11);
        for (int i = 0; i < 60000; i++) {
            union {
                uint64_t u;
                double d;
            } a = {mt_rng_next(&rng) & INT64_MAX}, b;
            if (i % 5 == 0) a.u >>= 1 + mt_rng_below(&rng, 12); /* small and subnormal ones too */
            if (!isfinite(a.d)) continue;
            b.u = a.u + 1;
            int n = 0;
            switch (i % 4) {
            case 0: /* any digits, any exponent */
                for (int k = 1 + (int)mt_rng_below(&rng, 40); k; k--) {
                    text[n++] = (char)('0' + mt_rng_below(&rng, 10));
                    if (n == 1 && text[0] == '0') text[0] = '7';
                }
                n += sprintf(text + n, ".%0*d%de%d", (int)mt_rng_below(&rng, 30), 0, (int)mt_rng_below(&rng, 1000),
                             (int)mt_rng_below(&rng, 720) - 370);
                break;
            case 1:
                n = sprintf(text, "%.*e", (int)mt_rng_below(&rng, 25), a.d);
                break;
            case 2: /* exactly between two doubles, or a trifle beside: all digits (C23 6.4.4.2: as the C library) */
                if (!isfinite(b.d) || i % 32 != 2) continue;
                n = sprintf(text, "%.1100Le", ((long double)a.d + (long double)b.d) / 2);
                for (char *e = strchr(text, 'e'); i % 64 == 2 && e && e[-1] == '0'; e = NULL) e[-1] = '1';
                break;
            default:
                n = sprintf(text, "%.*f", (int)mt_rng_below(&rng, 400), a.d);
                break;
            }
            mt_json_open(&j, (const uint8_t *)text, (size_t)n, &err);
            double v = mt_json_number(&j), want = strtod(text, NULL);
            CHECK(v == want, "%s -> %.17g, expected %.17g", text, v, want);
            CHECK_OK(mt_json_close(&j));
        }
    }
    CASE("json: what is malformed is refused, with its place");
    {
        static const char *bad[] = {"",    "{",        "[1,]",      "{\"a\"}",  "{\"a\":1,}", "[1 2]",
                                    "\"a", "\"\\x\"",  "\"\\u12\"", "\"a\nb\"", "01",         "1.",
                                    "-",   "1e",       "nul",       "tru",      "{1:2}",      "[1]]",
                                    "[}",  "{\"a\":]", "\x01",      "\"\\",     "[\"\\u\"]",  "\"\\ud800"};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            mt_status s = walk(bad[i], strlen(bad[i]));
            CHECK(s == MT_EFORMAT, "%s: %s", bad[i], mt_status_name(s));
            CHECK(err.where <= strlen(bad[i]), "%s: at %llu", bad[i], (unsigned long long)err.where);
        }
        mt_json_open(&j, (const uint8_t *)"[12, \"x\"]", 9, &err);
        mt_json_array(&j);
        mt_json_next(&j);
        mt_json_string(&j);
        CHECK(j.status == MT_EFORMAT && err.where == 1 && strstr(err.text, "expected a string, found a number"), "%s",
              err.text);
        CHECK(!mt_json_next(&j), "an error ends every loop");
        mt_json_close(&j);
        mt_json_open(&j, (const uint8_t *)"9223372036854775808", 19, &err);
        mt_json_int(&j);
        CHECK(mt_json_close(&j) == MT_ERANGE, "overflow");
        mt_json_open(&j, (const uint8_t *)"1.5", 3, &err);
        mt_json_int(&j);
        CHECK(mt_json_close(&j) == MT_EFORMAT, "not an integer");
    }
    CASE("json: nesting is limited");
    {
        char deep[400];
        memset(deep, '[', 200);
        memset(deep + 200, ']', 200);
        CHECK(walk(deep, 400) == MT_ELIMIT, "200 levels");
        CHECK(walk(deep + 72, 256) == MT_OK, "128 levels");
    }
    CASE("json: every truncation and every changed byte ends in a value or an error");
    {
        const char *t = "{\"k\\u00e9\":[1,-2.5e-3,true,false,null,\"s\\ud83d\\ude00 \\\\ plain text of some "
                        "length\"],\"o\":{\"x\":[]}}";
        size_t n = strlen(t);
        for (size_t cut = 0; cut < n; cut++) CHECK(walk(t, cut) == MT_EFORMAT, "cut at %zu", cut);
        char copy[256];
        for (size_t at = 0; at < n; at++)
            for (int c = 0; c < 256; c++) {
                memcpy(copy, t, n);
                copy[at] = (char)c;
                mt_status s = walk(copy, n);
                CHECK(s == MT_OK || s == MT_EFORMAT, "byte %d at %zu: %s", c, at, mt_status_name(s));
            }
    }
    CASE("json: failing allocation is an error and leaks nothing");
    {
        size_t before = mt_live_allocations();
        for (int64_t n = 0; n < 3; n++) {
            mt_fail_allocation_after(n);
            mt_str s = str(&j, "\"a\\n\"");
            (void)s;
            mt_status status = j.status;
            mt_json_close(&j);
            mt_fail_allocation_after(-1);
            CHECK(status == (n == 0 ? MT_ENOMEM : MT_OK), "n=%d: %s", (int)n, mt_status_name(status));
            CHECK(mt_live_allocations() == before, "leak");
        }
    }
    return test_end();
}
