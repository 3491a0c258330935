/* base: UTF-8, half floats, maps, random numbers, buffers under failing allocation. */
#include "test.h"

static void utf8(void) {
    CASE("utf8: every code point round-trips; surrogates, overlong forms and truncations are refused");
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        uint8_t b[4];
        int n = mt_utf8_encode(cp, b);
        uint32_t back;
        int m = mt_utf8_decode(b, (size_t)n, &back);
        bool surrogate = cp >= 0xD800 && cp < 0xE000;
        CHECK(m == n && back == (surrogate ? 0xFFFD : cp), "U+%04X", cp);
        for (int cut = 1; cut < n && !surrogate; cut++) {
            CHECK(mt_utf8_decode(b, (size_t)cut, &back) == 0, "U+%04X cut at %d", cp, cut);
            CHECK(mt_utf8_unfinished(b, (size_t)cut) == (size_t)cut, "U+%04X unfinished at %d", cp, cut);
        }
        CHECK(mt_utf8_unfinished(b, (size_t)n) == 0, "U+%04X complete", cp);
    }
    static const uint8_t bad[][4] = {{0xC0, 0x80},
                                     {0xE0, 0x80, 0x80},
                                     {0xED, 0xA0, 0x80},
                                     {0xF0, 0x80, 0x80, 0x80},
                                     {0xF4, 0x90, 0x80, 0x80},
                                     {0xFF},
                                     {0x80},
                                     {0xF5, 0x80, 0x80, 0x80}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint32_t cp;
        CHECK(mt_utf8_decode(bad[i], 4, &cp) == 0, "bad sequence %zu", i);
        CHECK(!mt_utf8_valid(bad[i], 4), "bad sequence %zu", i);
    }
}

static void halves(void) {
    CASE("half floats: all 65536 values round-trip; rounding is to nearest, ties to even");
    for (uint32_t h = 0; h < 65536; h++) {
        float f = mt_half_to_float((uint16_t)h);
        uint16_t back = mt_float_to_half(f);
        bool nan = (h & 0x7C00) == 0x7C00 && (h & 0x3FF);
        CHECK(nan ? isnan(f) && (back & 0x7C00) == 0x7C00 && (back & 0x3FF) : back == h, "%04x -> %g -> %04x", h,
              (double)f, back);
        if ((h & 0x7FFF) < 0x7BFF &&
            !nan) { /* the midpoint to the next value goes to the even one, its neighbours to theirs */
            double next = (double)mt_half_to_float((uint16_t)(h + 1)), mid = ((double)f + next) / 2;
            uint16_t even = (uint16_t)(h & 1 ? h + 1 : h);
            CHECK(mt_float_to_half((float)mid) == even, "midpoint above %04x", h);
            CHECK(mt_float_to_half(nextafterf((float)mid, f)) == h, "below midpoint above %04x", h);
            CHECK(mt_float_to_half(nextafterf((float)mid, (float)next)) == h + 1, "above midpoint above %04x", h);
        }
    }
}

static void maps(void) {
    CASE("maps: agree with a linear list over random keys; failing allocation leaves them usable");
    mt_error err;
    mt_rng rng;
    mt_rng_seed(&rng, 1);
    static uint8_t keys[500][8];
    static int32_t values[500];
    size_t lengths[500], count = 0;
    mt_map m = {0};
    mt_map64 m64 = {0};
    for (int step = 0; step < 3000; step++) {
        uint8_t key[8];
        size_t n = mt_rng_below(&rng, 4);
        for (size_t i = 0; i < n; i++) key[i] = (uint8_t)mt_rng_below(&rng, 5);
        size_t at = 0;
        while (at < count && !(lengths[at] == n && memcmp(keys[at], key, n) == 0)) at++;
        int32_t got = -1;
        bool has = mt_map_get(&m, (mt_str){key, n}, &got);
        CHECK(has == (at < count) && (!has || got == values[at]), "step %d", step);
        if (at == count) {
            memcpy(keys[count], key, n);
            lengths[count++] = n;
        }
        values[at] = step;
        if (step % 7 == 0) {
            mt_fail_allocation_after(0);
            (void)mt_map_set(&m, (mt_str){keys[at], n}, step, &err);
            mt_fail_allocation_after(-1);
        }
        CHECK_OK(mt_map_set(&m, (mt_str){keys[at], n}, step, &err));
        uint64_t wide = mt_rng_below(&rng, 1000) << 40;
        CHECK_OK(mt_map64_set(&m64, wide, step, &err));
        CHECK(mt_map64_get(&m64, wide, &got) && got == step, "map64 step %d", step);
    }
    CHECK(m.count == count, "%zu keys, expected %zu", m.count, count);
    mt_map_free(&m);
    mt_map64_free(&m64);
    CHECK(mt_live_allocations() == 0, "%zu blocks leak", mt_live_allocations());
}

static void numbers(void) {
    CASE("mix64 equals the published splitmix64 values; rng is in range");
    CHECK(mt_mix64(0) == 0xe220a8397b1dcdafu && mt_mix64(1) == 0x910a2dec89025cc1u, "mix64");
    mt_rng r;
    mt_rng_seed(&r, 7);
    double sum = 0, squares = 0;
    for (int i = 0; i < 100000; i++) {
        CHECK(mt_rng_below(&r, 3) < 3, "below");
        double z = mt_rng_normal(&r);
        sum += z;
        squares += z * z;
    }
    CHECK(fabs(sum / 1e5) < 0.02 && fabs(squares / 1e5 - 1) < 0.03, "mean %g, variance %g", sum / 1e5, squares / 1e5);
}

int main(void) {
    utf8();
    halves();
    maps();
    numbers();
    return test_end();
}
