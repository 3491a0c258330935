/* Storage types: what a block of each holds, its values as floats, and floats as blocks.
 *
 * A quantised block decodes in two steps. Its codec unpacks it to small integers q and float scales and minima per
 * group of 16 or 32; the values are scale * q - min. The repacked weights (weight.c) keep exactly these integers and
 * floats, so a matrix has the same values whichever way it is read.
 *
 *   type    values bytes  fields in order (d, m, dmin: half floats)                        q, group
 *   Q4_0    32     18     d, 16 nibble pairs (low: j, high: j + 16)                        nibble - 8, 32
 *   Q4_1    32     20     d, m, nibble pairs                                               nibble, 32; min -m
 *   Q5_0    32     22     d, fifth bits u32, nibble pairs                                  0..31 - 16, 32
 *   Q5_1    32     24     d, m, fifth bits, nibble pairs                                   0..31, 32; min -m
 *   Q8_0    32     34     d, int8[32]                                                      int8, 32
 *   IQ4_NL  32     18     d, nibble pairs                                                  table[nibble], 32
 *   Q2_K    256    84     (scale | min << 4)[16], 2-bit[256], d, dmin                      0..3, 16; min
 *   Q3_K    256    110    third bits[32], 2-bit[256], 6-bit scales[12], d                  -4..3, 16
 *   Q4_K    256    144    d, dmin, 6-bit scales and minima[12], nibbles[128]               0..15, 32; min
 *   Q5_K    256    176    d, dmin, scales and minima[12], fifth bits[32], nibbles[128]     0..31, 32; min
 *   Q6_K    256    210    low nibbles[128], high 2 bits[64], int8 scales[16], d            -32..31, 16
 *
 * The layouts are those of ggml's GGUF files. */
#include "kernel/kernel.h"

#include <math.h>

static float half_at(const uint8_t *p) {
    return mt_half_to_float(mt_le16(p));
}

/* ---- codecs: 32 values ---- */

static void nibbles(const uint8_t *p, int8_t *q, int offset) {
    for (int j = 0; j < 16; j++) {
        q[j] = (int8_t)((p[j] & 15) - offset);
        q[j + 16] = (int8_t)((p[j] >> 4) - offset);
    }
}
static void fifth_bits(uint32_t bits, int8_t *q, int offset) {
    for (int j = 0; j < 32; j++) q[j] = (int8_t)((q[j] | (bits >> j & 1) << 4) - (uint32_t)offset);
}

static void unpack_q4_0(const uint8_t *b, int8_t *q, float *scale, float *min) {
    (void)min;
    scale[0] = half_at(b);
    nibbles(b + 2, q, 8);
}
static void unpack_q4_1(const uint8_t *b, int8_t *q, float *scale, float *min) {
    scale[0] = half_at(b);
    min[0] = -half_at(b + 2);
    nibbles(b + 4, q, 0);
}
static void unpack_q5_0(const uint8_t *b, int8_t *q, float *scale, float *min) {
    (void)min;
    scale[0] = half_at(b);
    nibbles(b + 6, q, 0);
    fifth_bits(mt_le32(b + 2), q, 16);
}
static void unpack_q5_1(const uint8_t *b, int8_t *q, float *scale, float *min) {
    scale[0] = half_at(b);
    min[0] = -half_at(b + 2);
    nibbles(b + 8, q, 0);
    fifth_bits(mt_le32(b + 4), q, 0);
}
static void unpack_q8_0(const uint8_t *b, int8_t *q, float *scale, float *min) {
    (void)min;
    scale[0] = half_at(b);
    memcpy(q, b + 2, 32);
}
static void unpack_iq4_nl(const uint8_t *b, int8_t *q, float *scale, float *min) {
    static const int8_t value[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    (void)min;
    scale[0] = half_at(b);
    nibbles(b + 2, q, 0);
    for (int j = 0; j < 32; j++) q[j] = value[q[j]];
}

/* ---- codecs: super-blocks of 256 ---- */

static void unpack_q2_k(const uint8_t *b, int8_t *q, float *scale, float *min) {
    const uint8_t *bits = b + 16;
    float d = half_at(b + 80), dmin = half_at(b + 82);
    for (int g = 0; g < 16; g++) {
        scale[g] = d * (float)(b[g] & 15);
        min[g] = dmin * (float)(b[g] >> 4);
    }
    for (int i = 0; i < 256; i++) q[i] = bits[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
}

static void unpack_q3_k(const uint8_t *b, int8_t *q, float *scale, float *min) {
    const uint8_t *third = b, *bits = b + 32, *sc = b + 96;
    float d = half_at(b + 108);
    (void)min;
    for (int g = 0; g < 16; g++) { /* low 4 bits: nibbles of sc[0..7]; high 2 bits: two bits of sc[8..11] */
        int low = g < 8 ? sc[g] & 15 : sc[g - 8] >> 4, high = sc[8 + g % 4] >> (g / 4 * 2) & 3;
        scale[g] = d * (float)((low | high << 4) - 32);
    }
    for (int i = 0; i < 256; i++) {
        int v = bits[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
        q[i] = (int8_t)(v - (third[i % 32] >> (i / 32) & 1 ? 0 : 4));
    }
}

/* Eight 6-bit scales S and minima M in 12 bytes. */
static void six_bits(const uint8_t *sc, int j, int *s, int *m) {
    if (j < 4) {
        *s = sc[j] & 63;
        *m = sc[j + 4] & 63;
    } else {
        *s = (sc[j + 4] & 15) | (sc[j - 4] >> 6) << 4;
        *m = sc[j + 4] >> 4 | (sc[j] >> 6) << 4;
    }
}
static void unpack_k45(const uint8_t *b, const uint8_t *qs, int8_t *q, float *scale, float *min) {
    float d = half_at(b), dmin = half_at(b + 2);
    for (int j = 0; j < 8; j++) {
        int s, m;
        six_bits(b + 4, j, &s, &m);
        scale[j] = d * (float)s;
        min[j] = dmin * (float)m;
        for (int l = 0; l < 32; l++) q[32 * j + l] = qs[j / 2 * 32 + l] >> (j & 1) * 4 & 15;
    }
}
static void unpack_q4_k(const uint8_t *b, int8_t *q, float *scale, float *min) {
    unpack_k45(b, b + 16, q, scale, min);
}
static void unpack_q5_k(const uint8_t *b, int8_t *q, float *scale, float *min) {
    const uint8_t *fifth = b + 16;
    unpack_k45(b, b + 48, q, scale, min);
    for (int i = 0; i < 256; i++) q[i] = (int8_t)(q[i] | (fifth[i % 32] >> (i / 32) & 1) << 4);
}

static void unpack_q6_k(const uint8_t *b, int8_t *q, float *scale, float *min) {
    float d = half_at(b + 208);
    (void)min;
    for (int g = 0; g < 16; g++) scale[g] = d * (float)(int8_t)b[192 + g];
    for (int h = 0; h < 2; h++) { /* halves of 128 values, each four runs of 32 */
        const uint8_t *low = b + 64 * h, *high = b + 128 + 32 * h;
        for (int l = 0; l < 128; l++) {
            int nibble = low[l % 64] >> (l / 64) * 4 & 15, two = high[l % 32] >> (l / 32) * 2 & 3;
            q[128 * h + l] = (int8_t)((nibble | two << 4) - 32);
        }
    }
}

const mt_block_codec *mt_block_codec_find(uint32_t type) {
    static const mt_block_codec q4_0 = {32, false, unpack_q4_0}, q4_1 = {32, true, unpack_q4_1},
                                q5_0 = {32, false, unpack_q5_0}, q5_1 = {32, true, unpack_q5_1},
                                q8_0 = {32, false, unpack_q8_0}, q2_k = {16, true, unpack_q2_k},
                                q3_k = {16, false, unpack_q3_k}, q4_k = {32, true, unpack_q4_k},
                                q5_k = {32, true, unpack_q5_k}, q6_k = {16, false, unpack_q6_k},
                                iq4_nl = {32, false, unpack_iq4_nl};
    switch (type) {
    case MT_Q4_0:
        return &q4_0;
    case MT_Q4_1:
        return &q4_1;
    case MT_Q5_0:
        return &q5_0;
    case MT_Q5_1:
        return &q5_1;
    case MT_Q8_0:
        return &q8_0;
    case MT_Q2_K:
        return &q2_k;
    case MT_Q3_K:
        return &q3_k;
    case MT_Q4_K:
        return &q4_k;
    case MT_Q5_K:
        return &q5_k;
    case MT_Q6_K:
        return &q6_k;
    case MT_IQ4_NL:
        return &iq4_nl;
    }
    return NULL;
}

/* ---- to float ---- */

static void blocks_to_float(uint32_t type, uint32_t values, uint32_t bytes, const uint8_t *b, float *out,
                            size_t count) {
    const mt_block_codec *codec = mt_block_codec_find(type);
    int8_t q[MT_BLOCK_MAX];
    float scale[MT_GROUPS_MAX], min[MT_GROUPS_MAX] = {0};
    for (; count >= values; count -= values, b += bytes, out += values) {
        codec->unpack(b, q, scale, min);
        for (uint32_t i = 0; i < values; i++) {
            uint32_t g = i / (uint32_t)codec->group;
            float v = scale[g] * (float)q[i];
            out[i] = codec->min ? v - min[g] : v;
        }
    }
}
#define TO_FLOAT(name, type, values, bytes)                                                                            \
    static void name##_to_float(const void *blocks, float *out, size_t count) {                                        \
        blocks_to_float(type, values, bytes, blocks, out, count);                                                      \
    }
TO_FLOAT(q4_0, MT_Q4_0, 32, 18)
TO_FLOAT(q4_1, MT_Q4_1, 32, 20)
TO_FLOAT(q5_0, MT_Q5_0, 32, 22)
TO_FLOAT(q5_1, MT_Q5_1, 32, 24)
TO_FLOAT(q8_0, MT_Q8_0, 32, 34)
TO_FLOAT(iq4_nl, MT_IQ4_NL, 32, 18)
TO_FLOAT(q2_k, MT_Q2_K, 256, 84)
TO_FLOAT(q3_k, MT_Q3_K, 256, 110)
TO_FLOAT(q4_k, MT_Q4_K, 256, 144)
TO_FLOAT(q5_k, MT_Q5_K, 256, 176)
TO_FLOAT(q6_k, MT_Q6_K, 256, 210)

static void f32_to_float(const void *blocks, float *out, size_t count) {
    memcpy(out, blocks, count * sizeof(float));
}
static void f16_to_float(const void *blocks, float *out, size_t count) {
    const uint8_t *p = blocks;
    for (size_t i = 0; i < count; i++) out[i] = half_at(p + 2 * i);
}
static void bf16_to_float(const void *blocks, float *out, size_t count) {
    const uint8_t *p = blocks;
    for (size_t i = 0; i < count; i++) out[i] = mt_bf16_to_float(mt_le16(p + 2 * i));
}

/* ---- from float ---- */

#ifdef MT_RUN_ONLY /* what only runs models writes no types */
#define WRITER(f) NULL
#else
#define WRITER(f) f

static void put_half(uint8_t *p, float f) {
    uint16_t h = mt_float_to_half(f);
    memcpy(p, &h, 2);
}

static void f32_from_float(const float *in, void *blocks, size_t count) {
    memcpy(blocks, in, count * sizeof(float));
}
static void f16_from_float(const float *in, void *blocks, size_t count) {
    uint8_t *p = blocks;
    for (size_t i = 0; i < count; i++) put_half(p + 2 * i, in[i]);
}
static void bf16_from_float(const float *in, void *blocks, size_t count) {
    uint8_t *p = blocks;
    for (size_t i = 0; i < count; i++) {
        uint16_t h = mt_float_to_bf16(in[i]);
        memcpy(p + 2 * i, &h, 2);
    }
}

/* v as an integer in low..high; NaN gives low. v is already where rounding wants it: the fraction is cut. */
static int to_int(float v, int low, int high) {
    return v >= (float)high ? high : v > (float)low ? (int)v : low;
}

/* d = max|x| / 127; q = x / d rounded to nearest, ties away from zero. */
static void q8_0_from_float(const float *in, void *blocks, size_t count) {
    uint8_t *b = blocks;
    for (; count >= 32; count -= 32, in += 32, b += 34) {
        float top = 0;
        for (int i = 0; i < 32; i++) top = fmaxf(top, fabsf(in[i]));
        float d = top / 127, inverse = d != 0 ? 1 / d : 0;
        put_half(b, d);
        for (int i = 0; i < 32; i++) b[2 + i] = (uint8_t)to_int(roundf(in[i] * inverse), -127, 127);
    }
}

static float signed_top(const float *in) { /* the value of largest magnitude, the first of equals */
    float top = 0;
    for (int i = 0; i < 32; i++)
        if (fabsf(in[i]) > fabsf(top)) top = in[i];
    return top;
}
static void put_nibbles(uint8_t *p, const int *q) {
    for (int j = 0; j < 16; j++) p[j] = (uint8_t)((q[j] & 15) | (q[j + 16] & 15) << 4);
}
static void put_fifth_bits(uint8_t *p, const int *q) {
    uint32_t bits = 0;
    for (int j = 0; j < 32; j++) bits |= (uint32_t)(q[j] >> 4 & 1) << j;
    memcpy(p, &bits, 4);
}

/* Symmetric: v the value of largest magnitude, d = v / -2^(bits-1), q = min(max, trunc(x / d + 2^(bits-1) + 0.5)). */
static void symmetric(const float *in, uint8_t *d_at, int bits, int *q) {
    int middle = 1 << (bits - 1);
    float d = signed_top(in) / (float)-middle, inverse = d != 0 ? 1 / d : 0;
    put_half(d_at, d);
    for (int i = 0; i < 32; i++) q[i] = to_int(in[i] * inverse + ((float)middle + 0.5f), 0, 2 * middle - 1);
}
/* With a minimum: d = (max - min) / (2^bits - 1), m = min, q = min(2^bits - 1, trunc((x - m) / d + 0.5)). */
static void with_minimum(const float *in, uint8_t *d_at, int bits, int *q) {
    float low = in[0], high = in[0];
    for (int i = 1; i < 32; i++) {
        if (in[i] < low) low = in[i]; /* of equal zeros the first, as in the reference */
        if (in[i] > high) high = in[i];
    }
    int top = (1 << bits) - 1;
    float d = (high - low) / (float)top, inverse = d != 0 ? 1 / d : 0;
    put_half(d_at, d);
    put_half(d_at + 2, low);
    for (int i = 0; i < 32; i++) q[i] = to_int((in[i] - low) * inverse + 0.5f, 0, top);
}
static void q4_0_from_float(const float *in, void *blocks, size_t count) {
    int q[32];
    for (uint8_t *b = blocks; count >= 32; count -= 32, in += 32, b += 18) {
        symmetric(in, b, 4, q);
        put_nibbles(b + 2, q);
    }
}
static void q4_1_from_float(const float *in, void *blocks, size_t count) {
    int q[32];
    for (uint8_t *b = blocks; count >= 32; count -= 32, in += 32, b += 20) {
        with_minimum(in, b, 4, q);
        put_nibbles(b + 4, q);
    }
}
static void q5_0_from_float(const float *in, void *blocks, size_t count) {
    int q[32];
    for (uint8_t *b = blocks; count >= 32; count -= 32, in += 32, b += 22) {
        symmetric(in, b, 5, q);
        put_fifth_bits(b + 2, q);
        put_nibbles(b + 6, q);
    }
}
static void q5_1_from_float(const float *in, void *blocks, size_t count) {
    int q[32];
    for (uint8_t *b = blocks; count >= 32; count -= 32, in += 32, b += 24) {
        with_minimum(in, b, 5, q);
        put_fifth_bits(b + 4, q);
        put_nibbles(b + 8, q);
    }
}
#endif

/* ---- the table ---- */

static const mt_dtype_info types[] = {
    {"F32", MT_F32, 1, sizeof(float), f32_to_float, WRITER(f32_from_float)},
    {"F16", MT_F16, 1, 2, f16_to_float, WRITER(f16_from_float)},
    {"BF16", MT_BF16, 1, 2, bf16_to_float, WRITER(bf16_from_float)},
    {"Q8_0", MT_Q8_0, 32, 34, q8_0_to_float, WRITER(q8_0_from_float)},
    {"Q4_0", MT_Q4_0, 32, 18, q4_0_to_float, WRITER(q4_0_from_float)},
    {"Q4_1", MT_Q4_1, 32, 20, q4_1_to_float, WRITER(q4_1_from_float)},
    {"Q5_0", MT_Q5_0, 32, 22, q5_0_to_float, WRITER(q5_0_from_float)},
    {"Q5_1", MT_Q5_1, 32, 24, q5_1_to_float, WRITER(q5_1_from_float)},
    {"Q2_K", MT_Q2_K, 256, 84, q2_k_to_float, NULL},
    {"Q3_K", MT_Q3_K, 256, 110, q3_k_to_float, NULL},
    {"Q4_K", MT_Q4_K, 256, 144, q4_k_to_float, WRITER(mt_q4_k_from_float)},
    {"Q5_K", MT_Q5_K, 256, 176, q5_k_to_float, WRITER(mt_q5_k_from_float)},
    {"Q6_K", MT_Q6_K, 256, 210, q6_k_to_float, WRITER(mt_q6_k_from_float)},
    {"IQ4_NL", MT_IQ4_NL, 32, 18, iq4_nl_to_float, NULL},
};

const mt_dtype_info *mt_dtype_find(uint32_t type) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].type == type) return &types[i];
    return NULL;
}

const char *mt_dtype_names(void) {
    return "F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL";
}
