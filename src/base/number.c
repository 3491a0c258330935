/* Half floats, random numbers, decimal numbers. */
#include "base.h"

#include <math.h>

typedef union {
    float f;
    uint32_t u;
} bits32;

float mt_half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 0x1F, m = h & 0x3FF;
    bits32 v;
    if (e == 31) {
        v.u = sign | 0x7F800000 | m << 13;
    } else if (e != 0) {
        v.u = sign | (e + 112) << 23 | m << 13;
    } else { /* subnormal: m * 2^-24 */
        v.f = (float)m * 0x1p-24f;
        v.u |= sign;
    }
    return v.f;
}

uint16_t mt_float_to_half(float f) {
    bits32 v = {f};
    uint16_t sign = (uint16_t)(v.u >> 16 & 0x8000);
    uint32_t a = v.u & 0x7FFFFFFF;
    if (a >= 0x7F800000) return (uint16_t)(sign | (a > 0x7F800000 ? 0x7E00 : 0x7C00));
    if (a >= 0x477FF000) return sign | 0x7C00; /* 65520 and above round to infinity */
    if (a < 0x38800000) {                      /* below 2^-14: subnormal or zero; the addition rounds to even */
        bits32 w = {0};
        w.u = a;
        w.f += 0.5f;
        return (uint16_t)(sign | (w.u - 0x3F000000));
    }
    a += 0xC8000FFF + (a >> 13 & 1); /* rebias the exponent (127 -> 15) and round to nearest even */
    return (uint16_t)(sign | a >> 13);
}

uint16_t mt_float_to_bf16(float f) {
    bits32 v = {f};
    if ((v.u & 0x7FFFFFFF) > 0x7F800000) return (uint16_t)(v.u >> 16 | 0x40);
    return (uint16_t)((v.u + 0x7FFF + (v.u >> 16 & 1)) >> 16);
}

static uint64_t rotl(uint64_t x, int k) {
    return x << k | x >> (64 - k);
}

void mt_rng_seed(mt_rng *r, uint64_t seed) {
    for (int i = 0; i < 4; i++) r->s[i] = mt_mix64(seed + (uint64_t)i * 0x9E3779B97F4A7C15u);
}

uint64_t mt_rng_next(mt_rng *r) {
    uint64_t *s = r->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t mt_rng_below(mt_rng *r, uint64_t n) { /* Lemire's multiply with rejection */
    unsigned __int128 m = (unsigned __int128)mt_rng_next(r) * n;
    if ((uint64_t)m < n) {
        uint64_t floor = (0 - n) % n;
        while ((uint64_t)m < floor) m = (unsigned __int128)mt_rng_next(r) * n;
    }
    return (uint64_t)(m >> 64);
}

double mt_rng_double(mt_rng *r) {
    return (double)(mt_rng_next(r) >> 11) * 0x1p-53;
}

double mt_rng_normal(mt_rng *r) {
    double u = 1.0 - mt_rng_double(r), v = mt_rng_double(r);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

/* ---- decimal to double ---- */

/* Exact by whole numbers: value = num / den, 64 bits of the quotient by long division, then one rounding. For the few
 * numbers that one multiplication does not get right: slow (some microseconds) and small. */
enum { DIGITS = 780, WORDS = 128 }; /* 767 digits decide about every double (and a 1 for all that follow); 10^1111 */

typedef struct big {
    uint32_t n, w[WORDS]; /* least first; w[n - 1] is not 0 */
} big;

static void big_mul_add(big *x, uint32_t by, uint32_t plus) {
    uint64_t carry = plus;
    for (uint32_t i = 0; i < x->n; i++, carry >>= 32) x->w[i] = (uint32_t)(carry += (uint64_t)x->w[i] * by);
    if (carry) x->w[x->n++] = (uint32_t)carry;
}

static int big_bits(const big *x) {
    return (int)x->n * 32 - __builtin_clz(x->w[x->n - 1]);
}

static void big_shift(big *x, int bits) {
    for (; bits >= 32; bits -= 32) {
        for (uint32_t i = x->n++; i; i--) x->w[i] = x->w[i - 1];
        x->w[0] = 0;
    }
    if (bits) big_mul_add(x, UINT32_C(1) << bits, 0);
}

/* x -= y where that is not negative. */
static bool big_take(big *x, const big *y) {
    if (x->n < y->n) return false;
    for (uint32_t i = x->n; i-- > 0;) {
        uint32_t other = i < y->n ? y->w[i] : 0;
        if (x->w[i] < other) return false;
        if (x->w[i] > other) break;
    }
    int64_t borrow = 0;
    for (uint32_t i = 0; i < x->n; i++, borrow >>= 32)
        x->w[i] = (uint32_t)(borrow += (int64_t)x->w[i] - (i < y->n ? y->w[i] : 0));
    while (x->n && !x->w[x->n - 1]) x->n--;
    return true;
}

double mt_decimal(const uint8_t *p, size_t n) {
    const uint8_t *end = p + n;
    big num = {0}, den = {1, {1}};
    int digits = 0, tens = 0, written = 0;
    bool minus = n && *p == '-', point = false, more = false;
    for (p += minus; p < end && (*p | 32) != 'e'; p++) {
        if (*p == '.') {
            point = true;
        } else if (digits < DIGITS) {
            if (num.n || *p != '0') {
                big_mul_add(&num, 10, (uint32_t)(*p - '0'));
                digits++;
            }
            tens -= point && tens > -INT32_MAX / 4;
        } else {
            more |= *p != '0';
            tens += !point && tens < INT32_MAX / 4;
        }
    }
    if (p < end) {
        bool down = p[1] == '-';
        for (p += 1 + (p[1] == '-' || p[1] == '+'); p < end; p++)
            if (written < INT32_MAX / 40) written = written * 10 + (*p - '0');
        tens += down ? -written : written;
    }
    double sign = minus ? -1 : 1;
    if (!num.n || digits + tens < -330) return sign * 0.0;
    if (digits + tens > 310) return sign * (double)INFINITY;
    if (more) { /* a little more than the digits say */
        big_mul_add(&num, 10, 1);
        tens--;
    }
    for (; tens > 0; tens--) big_mul_add(&num, 10, 0);
    for (; tens < 0; tens++) big_mul_add(&den, 10, 0);
    int scale = big_bits(&num) - big_bits(&den);
    big_shift(scale > 0 ? &den : &num, scale > 0 ? scale : -scale);
    uint64_t q = 0;
    for (int bit = 63; bit >= 0; bit--) { /* num / den is between 1/2 and 2: the first bit is its whole part */
        if (big_take(&num, &den)) q |= UINT64_C(1) << bit;
        big_shift(&num, 1);
    }
    int exponent = scale - 63, top = exponent + 63 - (q >> 63 ? 0 : 1), drop = q >> 63 ? 11 : 10;
    if (top < -1022) drop += -1022 - top;
    if (drop > 64) return sign * 0.0;
    uint64_t m = drop == 64 ? 0 : q >> drop, half = UINT64_C(1) << (drop - 1), rest = q & (half + half - 1);
    if (rest > half || (rest == half && (num.n || m & 1))) m++;
    return sign * ldexp((double)m, exponent + drop);
}
