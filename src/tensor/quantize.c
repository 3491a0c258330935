/* Floats -> super-blocks of 256 (Q4_K, Q5_K, Q6_K), with the rounding of ggml's reference quantisers, so that files
 * equal those of its tools byte for byte (without importance weights); and conversion between any two storage types.
 *
 *   Q4_K, Q5_K   each group of 32: a scale and a minimum of least squared error, each x weighted by |x| + rms: the grid
 * of the range, then grids a little coarser and finer, each fitted to the integers that it gives; then scales and
 * minima are rounded to 6 bits below the largest, and the values once more to what is left Q6_K         each group of
 * 16: a signed scale, x weighted by x^2, in the same way; scales are rounded to 8 bits
 *
 * Sums are of floats and in the order of the reference: its choices depend on their last bits. */
#include "kernel/kernel.h"

#include <math.h>

static void put_half(uint8_t *p, float f) {
    uint16_t h = mt_float_to_half(f);
    memcpy(p, &h, 2);
}
static float rounded_half(float f) {
    return mt_half_to_float(mt_float_to_half(f));
}

/* To the nearest integer, ties to even, within low..high; NaN gives low. */
static int nearest(float v, int low, int high) {
    if (!(v > (float)low)) return low;
    if (v >= (float)high) return high;
    return (int)rintf(v);
}

/* ---- with a minimum ---- */

typedef struct grid {
    int most;          /* q is 0..most */
    float first, step; /* the grids that are tried have most + first + step * 0 .. steps divisions */
    int steps;
} grid;

static float weighted_error(const float *x, const float *weight, const uint8_t *q, float scale, float low) {
    float error = 0;
    for (int i = 0; i < 32; i++) {
        float d = scale * (float)q[i] + low - x[i];
        d = d * d;
        error += weight[i] * d;
    }
    return error;
}

/* x ~ scale * q - *minimum, *minimum >= 0. */
static float fit_group(const grid *g, const float *x, uint8_t *q, float *minimum) {
    float weight[32], squares = 0, low = x[0], high = x[0];
    for (int i = 0; i < 32; i++) squares += x[i] * x[i];
    float rms = sqrtf(squares / 32);
    for (int i = 0; i < 32; i++) weight[i] = rms + fabsf(x[i]);
    float sum_w = weight[0], sum_x = sum_w * x[0];
    for (int i = 1; i < 32; i++) {
        if (x[i] < low) low = x[i];
        if (x[i] > high) high = x[i];
        sum_w += weight[i];
        sum_x += weight[i] * x[i];
    }
    if (low > 0) low = 0;
    if (high == low) {
        memset(q, 0, 32);
        *minimum = -low;
        return 0;
    }
    uint8_t tried[32];
    float range = high - low, divisions = (float)g->most / range, scale = 1 / divisions, bottom = low;
    for (int i = 0; i < 32; i++) q[i] = (uint8_t)nearest(divisions * (x[i] - low), 0, g->most);
    float best = weighted_error(x, weight, q, scale, low);
    for (int s = 0; s <= g->steps; s++) {
        /* The best minimum so far is what the next grid starts from, within the first range. */
        divisions = (g->first + g->step * (float)s + (float)g->most) / (high - bottom);
        float sum_q = 0, sum_qq = 0, sum_xq = 0;
        for (int i = 0; i < 32; i++) {
            int v = nearest(divisions * (x[i] - bottom), 0, g->most);
            tried[i] = (uint8_t)v;
            float w = weight[i];
            sum_q += w * (float)v;
            sum_qq += w * (float)v * (float)v;
            sum_xq += w * (float)v * x[i];
        }
        float D = sum_w * sum_qq - sum_q * sum_q;
        if (!(D > 0)) continue;
        float this_scale = (sum_w * sum_xq - sum_x * sum_q) / D;
        float this_low = (sum_qq * sum_x - sum_q * sum_xq) / D;
        if (this_low > 0) {
            this_low = 0;
            this_scale = sum_xq / sum_qq;
        }
        float error = weighted_error(x, weight, tried, this_scale, this_low);
        if (error < best) {
            best = error;
            scale = this_scale;
            bottom = this_low;
            memcpy(q, tried, sizeof tried);
        }
    }
    *minimum = -bottom;
    return scale;
}

/* Fills d, dmin and the twelve bytes of scales and minima at b, and q[256]. */
static void super_block(const grid *g, const float *x, uint8_t *b, uint8_t *q) {
    float scale[8], minimum[8], top_scale = 0, top_minimum = 0;
    for (int j = 0; j < 8; j++) {
        scale[j] = fit_group(g, x + 32 * j, q + 32 * j, &minimum[j]);
        if (scale[j] > top_scale) top_scale = scale[j];
        if (minimum[j] > top_minimum) top_minimum = minimum[j];
    }
    float by_scale = top_scale > 0 ? 63.f / top_scale : 0, by_minimum = top_minimum > 0 ? 63.f / top_minimum : 0;
    float d = rounded_half(top_scale / 63.f), dmin = rounded_half(top_minimum / 63.f);
    put_half(b, top_scale / 63.f);
    put_half(b + 2, top_minimum / 63.f);
    uint8_t *packed = b + 4;
    memset(packed, 0, 12);
    for (int j = 0; j < 8; j++) {
        int s = nearest(by_scale * scale[j], 0, 63), m = nearest(by_minimum * minimum[j], 0, 63);
        if (j < 4) {
            packed[j] |= (uint8_t)s;
            packed[j + 4] |= (uint8_t)m;
        } else {
            packed[j + 4] = (uint8_t)((s & 15) | (m & 15) << 4);
            packed[j - 4] |= (uint8_t)(s >> 4 << 6);
            packed[j] |= (uint8_t)(m >> 4 << 6);
        }
        float step = d * (float)s, low = dmin * (float)m;
        /* A scale of 0 decodes to the same whatever q is; the reference leaves what it had. */
        for (int i = 0; i < 32 && step != 0; i++)
            q[32 * j + i] = (uint8_t)nearest((x[32 * j + i] + low) / step, 0, g->most);
    }
}

void mt_q4_k_from_float(const float *in, void *blocks, size_t count) {
    static const grid g = {15, -1.f, 0.1f, 20};
    uint8_t q[256];
    for (uint8_t *b = blocks; count >= 256; count -= 256, in += 256, b += 144) {
        super_block(&g, in, b, q);
        for (int i = 0; i < 128; i++) {
            int at = i / 32 * 64 + i % 32;
            b[16 + i] = (uint8_t)(q[at] | q[at + 32] << 4);
        }
    }
}

void mt_q5_k_from_float(const float *in, void *blocks, size_t count) {
    static const grid g = {31, -0.5f, 0.1f, 15};
    uint8_t q[256];
    for (uint8_t *b = blocks; count >= 256; count -= 256, in += 256, b += 176) {
        super_block(&g, in, b, q);
        memset(b + 16, 0, 32);
        for (int i = 0; i < 256; i++) b[16 + i % 32] |= (uint8_t)((q[i] >> 4) << (i / 32));
        for (int i = 0; i < 128; i++) {
            int at = i / 32 * 64 + i % 32;
            b[48 + i] = (uint8_t)((q[at] & 15) | (q[at + 32] & 15) << 4);
        }
    }
}

/* ---- without ---- */

static const float TINY = 1e-15f;

/* x[16] ~ scale * (q - 32), q within 0..63. */
static float fit_signed(const float *x, uint8_t *q) {
    float top = 0, most = 0, scale = 0, best = 0;
    for (int i = 0; i < 16; i++)
        if (fabsf(x[i]) > most) most = fabsf(x[i]), top = x[i];
    memset(q, 0, 16);
    if (most < TINY) return 0;
    for (int s = -10; s <= 9; s++) { /* the plain grid first */
        if (s == 0) continue;
        float divisions = s == -10 ? -32 / top : -(32 + 0.1f * (float)s) / top, sum_xq = 0, sum_qq = 0;
        uint8_t tried[16];
        for (int i = 0; i < 16; i++) {
            int v = nearest(divisions * x[i], -32, 31);
            float w = x[i] * x[i];
            sum_xq += w * x[i] * (float)v;
            sum_qq += w * (float)v * (float)v;
            tried[i] = (uint8_t)(v + 32);
        }
        if (s != -10 && !(sum_qq > 0 && sum_xq * sum_xq > best * sum_qq)) continue;
        scale = sum_qq != 0 ? sum_xq / sum_qq : 0;
        best = scale * sum_xq;
        memcpy(q, tried, sizeof tried);
    }
    return scale;
}

void mt_q6_k_from_float(const float *in, void *blocks, size_t count) {
    for (uint8_t *b = blocks; count >= 256; count -= 256, in += 256, b += 210) {
        float scale[16], top = 0;
        uint8_t q[256];
        memset(b, 0, 210);
        for (int g = 0; g < 16; g++) {
            scale[g] = fit_signed(in + 16 * g, q + 16 * g);
            if (fabsf(scale[g]) > fabsf(top)) top = scale[g];
        }
        if (fabsf(top) < TINY) continue;
        float by = -128.f / top, d = rounded_half(1 / by);
        put_half(b + 208, 1 / by);
        for (int g = 0; g < 16; g++) b[192 + g] = (uint8_t)(int8_t)nearest(by * scale[g], -128, 127);
        for (int i = 0; i < 256; i++) {
            float step = d * (float)(int8_t)b[192 + i / 16];
            int v = step != 0 ? nearest(in[i] / step, -32, 31) + 32 : q[i], half = i / 128, l = i % 128;
            b[64 * half + l % 64] |= (uint8_t)((v & 15) << (l / 64 * 4));
            b[128 + 32 * half + l % 32] |= (uint8_t)((v >> 4) << (l / 32 * 2));
        }
    }
}

/* ---- from one type to another ---- */

enum { PIECE = 4096 }; /* values; a multiple of every block */

typedef struct recode_job {
    const mt_dtype_info *from, *to;
    const uint8_t *source;
    uint8_t *target;
    size_t count;
} recode_job;

static void recode_part(void *arg, int part, int parts) {
    const recode_job *j = arg;
    size_t pieces = (j->count + PIECE - 1) / PIECE;
    size_t first = pieces * (size_t)part / (size_t)parts, last = pieces * ((size_t)part + 1) / (size_t)parts;
    float values[PIECE];
    for (size_t p = first; p < last; p++) {
        size_t at = p * PIECE, n = j->count - at < PIECE ? j->count - at : PIECE;
        j->from->to_float(j->source + at / j->from->block * j->from->bytes, values, n);
        j->to->from_float(values, j->target + at / j->to->block * j->to->bytes, n);
    }
}

mt_status mt_recode(mt_pool *pool, uint32_t from, uint32_t to, const void *source, void *target, size_t count,
                    mt_error *err) {
    recode_job j = {mt_dtype_find(from), mt_dtype_find(to), source, target, count};
    if (!j.from || !j.to)
        return mt_fail(err, MT_EUNKNOWN, "type %u (known: %s)", (unsigned)(j.from ? to : from), mt_dtype_names());
    if (!j.to->from_float) return mt_fail(err, MT_EUNKNOWN, "type %s can be read, but not written", j.to->name);
    if (count % j.from->block || count % j.to->block)
        return mt_fail(err, MT_ERANGE, "%zu values are no multiple of the blocks of %s and %s", count, j.from->name,
                       j.to->name);
    if (from == to)
        memcpy(target, source, count / j.from->block * j.from->bytes);
    else
        mt_pool_run_parts(count > PIECE ? pool : NULL, recode_part, &j, count > PIECE ? mt_pool_threads(pool) * 4 : 1);
    return MT_OK;
}
