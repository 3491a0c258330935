/* Storage types: the layouts, the reference quantisers' bytes, acceptance numbers in closed form. */
#include "kernels_common.h"

static double rmse(uint32_t type, const float *x, size_t n) {
    const mt_dtype_info *info = mt_dtype_find(type);
    uint8_t *blocks = malloc(n / info->block * info->bytes);
    float *back = malloc(n * sizeof(float));
    info->from_float(x, blocks, n);
    info->to_float(blocks, back, n);
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += ((double)back[i] - x[i]) * ((double)back[i] - x[i]);
    free(blocks);
    free(back);
    return sqrt(sum / (double)n);
}

static void check_bytes(uint32_t type, const float *x, const char *expected) {
    uint8_t blocks[512];
    char hex[80] = "";
    mt_dtype_find(type)->from_float(x, blocks, 256);
    for (size_t i = 0; i < strlen(expected) / 2; i++) sprintf(hex + 2 * i, "%02x", blocks[i]);
    CHECK(strcmp(hex, expected) == 0, "%s: %s, expected %s", mt_dtype_find(type)->name, hex, expected);
}

int main(void) {
    mt_rng_seed(&rng, 1);
    float wave[256];
    for (int i = 0; i < 256; i++) wave[i] = (float)(sin(0.1 * i) * (1 + 0.01 * i));

    CASE("types are found by number and named in the list");
    CHECK(mt_dtype_find(8) && strcmp(mt_dtype_find(8)->name, "Q8_0") == 0, "type 8");
    CHECK(mt_dtype_find(4) == NULL && mt_dtype_find(31) == NULL && mt_dtype_find(UINT32_MAX) == NULL, "holes");
    for (uint32_t t = 0; t < 64; t++)
        if (mt_dtype_find(t)) CHECK(strstr(mt_dtype_names(), mt_dtype_find(t)->name), "%u", t);

    CASE("quantisers: bytes and errors on the wave");
    check_bytes(MT_Q8_0, wave, "ad20000b16212c37424b555d");
    check_bytes(MT_Q4_0, wave, "a4b008070706051514232332");
    CHECK(fabs(rmse(MT_Q8_0, wave, 256) - 0.0053955) < 1e-7, "Q8_0 %.9f", rmse(MT_Q8_0, wave, 256));
    CHECK(fabs(rmse(MT_Q4_0, wave, 256) - 0.0812904) < 1e-7, "Q4_0 %.9f", rmse(MT_Q4_0, wave, 256));
    CHECK(fabs(rmse(MT_Q4_1, wave, 256) - 0.0566097) < 1e-7, "Q4_1 %.9f", rmse(MT_Q4_1, wave, 256));
    CHECK(fabs(rmse(MT_Q5_0, wave, 256) - 0.0416252) < 1e-7, "Q5_0 %.9f", rmse(MT_Q5_0, wave, 256));
    CHECK(rmse(MT_Q5_1, wave, 256) < 0.03, "Q5_1 %.9f", rmse(MT_Q5_1, wave, 256));
    CHECK(rmse(MT_F32, wave, 256) == 0, "F32");
    CHECK(rmse(MT_F16, wave, 256) < 1e-3 && rmse(MT_BF16, wave, 256) < 1e-2, "F16, BF16");

    CASE("Q4_K decodes");
    uint8_t block[256];
    float y[256];
    uint16_t d = mt_float_to_half(0.01f), dmin = mt_float_to_half(0.02f);
    memcpy(block, &d, 2);
    memcpy(block + 2, &dmin, 2);
    for (int i = 0; i < 12; i++) block[4 + i] = (uint8_t)(37 * i + 11);
    for (int i = 0; i < 128; i++) block[16 + i] = (uint8_t)(29 * i + 5);
    mt_dtype_find(MT_Q4_K)->to_float(block, y, 256);
    double sum = 0;
    for (int i = 0; i < 256; i++) sum += y[i];
    CHECK(fabs(y[0] + 0.0700150) < 1e-6 && fabs(y[33] - 0.8801880) < 1e-6, "%.7f %.7f", y[0], y[33]);
    CHECK(fabs(sum - 303.0247192) < 1e-4, "%.7f", sum);
    static const int scales[8][2] = {{11, 31}, {48, 4}, {21, 41}, {58, 14}, {3, 35}, {8, 53}, {29, 55}, {18, 10}};
    int8_t q[256];
    float scale[16], min[16];
    mt_block_codec_find(MT_Q4_K)->unpack(block, q, scale, min);
    for (int j = 0; j < 8; j++) {
        CHECK(scale[j] == mt_half_to_float(d) * (float)scales[j][0], "scale %d", j);
        CHECK(min[j] == mt_half_to_float(dmin) * (float)scales[j][1], "minimum %d", j);
    }

    CASE("Q6_K decodes");
    for (int i = 0; i < 128; i++) block[i] = (uint8_t)(29 * i + 5);
    for (int i = 0; i < 64; i++) block[128 + i] = (uint8_t)(53 * i + 7);
    for (int i = 0; i < 16; i++) block[192 + i] = (uint8_t)(17 * i + 3);
    memcpy(block + 208, &d, 2);
    mt_dtype_find(MT_Q6_K)->to_float(block, y, 256);
    sum = 0;
    for (int i = 0; i < 256; i++) sum += y[i];
    CHECK(fabs(y[0] - 0.6301346) < 1e-6 && fabs(y[33] - 6.6614227) < 1e-5 && fabs(y[100] - 17.8538132) < 1e-5 &&
              fabs(y[255] + 0.5201111) < 1e-6,
          "%.7f %.7f %.7f %.7f", y[0], y[33], y[100], y[255]);
    CHECK(fabs(sum + 15.7233582) < 1e-4, "%.7f", sum);

    CASE("Q5_K is Q4_K with a fifth bit");
    uint8_t four[144], five[176];
    for (int i = 0; i < 144; i++) four[i] = (uint8_t)(mt_rng_next(&rng) >> 20);
    memcpy(four, &d, 2);
    memcpy(four + 2, &dmin, 2);
    memcpy(five, four, 16);
    memcpy(five + 48, four + 16, 128);
    for (int i = 0; i < 32; i++) five[16 + i] = (uint8_t)(mt_rng_next(&rng) >> 20);
    int8_t q5[256];
    float scale5[16], min5[16];
    mt_block_codec_find(MT_Q4_K)->unpack(four, q, scale, min);
    mt_block_codec_find(MT_Q5_K)->unpack(five, q5, scale5, min5);
    for (int c = 0; c < 4; c++)
        for (int l = 0; l < 32; l++) {
            CHECK(q5[64 * c + l] == q[64 * c + l] + (five[16 + l] >> 2 * c & 1) * 16, "low %d %d", c, l);
            CHECK(q5[64 * c + 32 + l] == q[64 * c + 32 + l] + (five[16 + l] >> (2 * c + 1) & 1) * 16, "high %d %d", c,
                  l);
        }
    CHECK(memcmp(scale, scale5, 32) == 0 && memcmp(min, min5, 32) == 0, "scales");

    CASE("Q2_K, Q3_K and IQ4_NL decode, one value at a time");
    uint8_t two[84], three[110], nl[18];
    for (int i = 0; i < 84; i++) two[i] = (uint8_t)(mt_rng_next(&rng) >> 20);
    for (int i = 0; i < 110; i++) three[i] = (uint8_t)(mt_rng_next(&rng) >> 20);
    for (int i = 0; i < 18; i++) nl[i] = (uint8_t)(mt_rng_next(&rng) >> 20);
    memcpy(two + 80, &d, 2);
    memcpy(two + 82, &dmin, 2);
    memcpy(three + 108, &d, 2);
    memcpy(nl, &d, 2);
    float hd = mt_half_to_float(d), hm = mt_half_to_float(dmin);
    mt_dtype_find(MT_Q2_K)->to_float(two, y, 256);
    for (int n = 0, i = 0; n < 2; n++) /* the walk of the format's description: halves, shifts, two groups of 16 */
        for (int shift = 0; shift < 8; shift += 2)
            for (int half = 0; half < 2; half++)
                for (int l = 0; l < 16; l++, i++) {
                    uint8_t sc = two[i / 16];
                    float v = hd * (float)(sc & 15) * (float)(two[16 + 32 * n + 16 * half + l] >> shift & 3) -
                              hm * (float)(sc >> 4);
                    CHECK(y[i] == v, "Q2_K %d: %g, expected %g", i, y[i], v);
                }
    uint32_t aux[4], low = 0x0F0F0F0F, two_bits = 0x03030303;
    memcpy(aux, three + 96, 12);
    uint32_t tmp = aux[2];
    aux[2] = (aux[0] >> 4 & low) | (tmp >> 4 & two_bits) << 4;
    aux[3] = (aux[1] >> 4 & low) | (tmp >> 6 & two_bits) << 4;
    aux[0] = (aux[0] & low) | (tmp & two_bits) << 4;
    aux[1] = (aux[1] & low) | (tmp >> 2 & two_bits) << 4;
    int8_t sc3[16];
    memcpy(sc3, aux, 16);
    mt_dtype_find(MT_Q3_K)->to_float(three, y, 256);
    for (int n = 0, i = 0, mask = 1; n < 2; n++)
        for (int shift = 0; shift < 8; shift += 2, mask <<= 1)
            for (int half = 0; half < 2; half++)
                for (int l = 0; l < 16; l++, i++) {
                    int v = three[32 + 32 * n + 16 * half + l] >> shift & 3;
                    v -= three[16 * half + l] & mask ? 0 : 4;
                    float expected = hd * (float)(sc3[i / 16] - 32) * (float)v;
                    CHECK(y[i] == expected, "Q3_K %d: %g, expected %g", i, y[i], expected);
                }
    static const int table[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    mt_dtype_find(MT_IQ4_NL)->to_float(nl, y, 32);
    for (int j = 0; j < 16; j++) {
        CHECK(y[j] == hd * (float)table[nl[2 + j] & 15], "IQ4_NL %d", j);
        CHECK(y[j + 16] == hd * (float)table[nl[2 + j] >> 4], "IQ4_NL %d", j + 16);
    }

    CASE("quantisers equal ggml's reference, byte for byte: 400 rows of several kinds");
    static const struct {
        uint32_t type;
        uint64_t hash; /* FNV-1a of what quantize_row_*_ref writes */
    } reference[] = {{MT_Q4_K, 0x73a8557e5814abf9u}, {MT_Q5_K, 0xffdf22c9e344b79fu}, {MT_Q6_K, 0xa1fd303c7ba2318du},
                     {MT_Q8_0, 0x02027b0533463e83u}, {MT_Q4_0, 0x3896eaf60e296cbbu}, {MT_Q5_0, 0xff2d43272f5a8e2bu},
                     {MT_Q4_1, 0xdd24526fce458d4eu}, {MT_Q5_1, 0xe1eae6f16d998678u}};
    for (size_t t = 0; t < sizeof reference / sizeof *reference; t++) {
        const mt_dtype_info *info = mt_dtype_find(reference[t].type);
        uint32_t lcg = 12345;
        uint64_t hash = 1469598103934665603u;
        for (int n = 0; n < 400; n++) {
            float x[256];
            uint8_t out[300];
            for (int i = 0; i < 256; i++) {
                lcg = lcg * 1664525u + 1013904223u;
                float v = (float)(lcg >> 8) / 8388608.0f - 1;
                if (n % 4 == 1) v = v * v * v;
                if (n % 4 == 2 && i / 32 % 2) v = 0;
                if (n % 4 == 3) v = v * v + (float)(n % 7) * 0.25f;
                x[i] = v * (n % 5 == 0 ? 1e-3f : n % 5 == 1 ? 64.f : 1);
            }
            info->from_float(x, out, 256);
            for (uint32_t i = 0; i < 256 / info->block * info->bytes; i++) hash = (hash ^ out[i]) * 1099511628211u;
        }
        CHECK(hash == reference[t].hash, "%s: %016llx", info->name, (unsigned long long)hash);
    }

    CASE("one type as another: in pieces, with threads, and what cannot be");
    enum { MANY = 3 * 4096 + 512 };
    static float many[MANY], many_back[MANY];
    static uint8_t packed[MANY * 2], packed_too[MANY * 2];
    mt_pool *pool = NULL;
    mt_error err;
    for (int i = 0; i < MANY; i++) many[i] = (float)mt_rng_normal(&rng);
    CHECK_OK(mt_pool_new(3, &pool, &err));
    for (size_t t = 0; t < sizeof reference / sizeof *reference; t++) {
        const mt_dtype_info *info = mt_dtype_find(reference[t].type);
        size_t bytes = MANY / info->block * info->bytes;
        info->from_float(many, packed, MANY);
        CHECK_OK(mt_recode(pool, MT_F32, info->type, many, packed_too, MANY, &err));
        CHECK(memcmp(packed, packed_too, bytes) == 0, "%s from floats", info->name);
        CHECK_OK(mt_recode(NULL, info->type, MT_F32, packed, many_back, MANY, &err));
        CHECK_OK(mt_recode(pool, info->type, info->type, packed, packed_too, MANY, &err));
        CHECK(memcmp(packed, packed_too, bytes) == 0, "%s copied", info->name);
    }
    mt_pool_free(pool);
    CHECK(mt_recode(NULL, MT_F32, MT_IQ4_NL, many, packed, 256, &err) == MT_EUNKNOWN, "IQ4_NL cannot be written");
    CHECK(mt_recode(NULL, MT_F32, 99, many, packed, 256, &err) == MT_EUNKNOWN, "type 99");
    CHECK(mt_recode(NULL, MT_F32, MT_Q4_K, many, packed, 128, &err) == MT_ERANGE, "half a block");

    CASE("quantisers meet hard blocks without trouble");
    static const uint32_t types[] = {MT_Q8_0, MT_Q4_0, MT_Q4_1, MT_Q5_0, MT_Q5_1};
    float hard[5][32] = {{0}, {1e-42f, -1e-42f}, {3e38f, -3e38f}, {NAN, 1}, {INFINITY, -INFINITY}};
    for (size_t t = 0; t < 5; t++)
        for (size_t i = 0; i < 5; i++) {
            uint8_t out[34];
            mt_dtype_find(types[t])->from_float(hard[i], out, 32);
            mt_dtype_find(types[t])->to_float(out, y, 32);
            if (i == 0)
                for (int k = 0; k < 32; k++) CHECK(y[k] == 0, "zeros stay zero");
        }
    static const uint32_t super[] = {MT_Q4_K, MT_Q5_K, MT_Q6_K};
    for (size_t t = 0; t < 3; t++)
        for (size_t i = 0; i < 5; i++) {
            uint8_t out[210];
            float wide[256];
            for (int k = 0; k < 256; k++) wide[k] = hard[i][k % 32];
            mt_dtype_find(super[t])->from_float(wide, out, 256);
            mt_dtype_find(super[t])->to_float(out, y, 256);
            if (i == 0)
                for (int k = 0; k < 256; k++) CHECK(y[k] == 0, "zeros stay zero");
        }
    return test_end();
}
