/* Half floats and random numbers. */
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
