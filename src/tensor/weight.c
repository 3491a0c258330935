/* Matrices repacked for the kernels, and the matrix product.
 *
 * Rows are cut into panels and interleaved inside them, so that one vector holds the same input of several rows. A sum
 * over inputs then runs down the panel, one lane per row, in one order that does not depend on how many tokens are
 * multiplied at once or how many threads share the work.
 *
 *   F32 F16 BF16   panels of 8 rows r, inputs k one by one:      r0k0 r1k0 .. r7k0 | r0k1 .. r7k1 | ...
 *   8 bits         panels of 4 rows, inputs in pairs:           r0k0 r0k1 r1k0 r1k1 .. r3k1 | r0k2 r0k3 ...
 *   4 bits         panels of 4 rows, inputs in eights, two in a byte (low and high nibble):
 *                                                     r0k0,k4 r0k1,k5 r0k2,k6 r0k3,k7 r1k0,k4 .. r3k3,k7 | r0k8,k12 ...
 *
 * Quantised panels have their scales (and minima) apart, as floats, [panel][group of inputs][4 rows]. Types of up to 4
 * bits are kept in 4 bits (Q4_0 Q4_1 Q4_K Q2_K Q3_K), the others in 8.
 *
 * Sums: floats in blocks of 256 inputs, whose sums are then added in order. Quantised: the activations are rounded once
 * per row to int8 with one scale d per 32 (the rule of Q8_0, d kept as a float), then for each group
 *     y += (float)(sum of q_w q_x) * scale * d  -  min * ((float)(sum of q_x) * d)
 * where the integer sums are exact; the float operations are unfused in this order in every implementation. */
#include "kernel/kernel.h"

static bool is_float(uint32_t type) {
    return type == MT_F32 || type == MT_F16 || type == MT_BF16;
}
static int panel_rows(uint32_t type) {
    return is_float(type) ? MT_PANEL_F : MT_PANEL_Q;
}
static size_t float_bytes(uint32_t type) {
    return type == MT_F32 ? sizeof(float) : 2;
}

/* Whether values fit 4 bits, and what to add to make them 0..15. */
static bool in_nibbles(uint32_t type, int32_t *offset) {
    *offset = type == MT_Q4_0 ? 8 : type == MT_Q3_K ? 4 : 0;
    return type == MT_Q4_0 || type == MT_Q4_1 || type == MT_Q4_K || type == MT_Q2_K || type == MT_Q3_K;
}

/* What a matrix of padded rows takes; false: it does not fit the address space. */
static bool sizes(uint32_t type, size_t padded, size_t cols, size_t *data, size_t *scales, size_t *all) {
    const mt_block_codec *codec = mt_block_codec_find(type);
    size_t values;
    int32_t offset;
    if (!mt_mul_size(padded, cols, &values)) return false;
    *scales = 0;
    if (!codec) return mt_mul_size(values, float_bytes(type), data) && mt_add_size(*data, 0, all);
    *data = in_nibbles(type, &offset) ? values / 2 : values;
    return mt_mul_size(values / (size_t)codec->group, codec->min ? 8 : 4, scales) && mt_add_size(*data, *scales, all);
}

static size_t padded_rows(uint32_t type, int64_t rows) {
    int64_t lanes = panel_rows(type);
    return (size_t)((rows + lanes - 1) / lanes * lanes);
}

size_t mt_weight_room(uint32_t type, int64_t rows, int64_t cols) {
    size_t data, scales, all;
    bool fits = mt_dtype_find(type) && rows > 0 && rows < INT32_MAX && cols > 0 && cols < INT32_MAX &&
                sizes(type, padded_rows(type, rows), (size_t)cols, &data, &scales, &all);
    return fits ? all : 0;
}

mt_status mt_weight_new(mt_weight *w, uint32_t type, int64_t rows, int64_t cols, mt_error *err) {
    memset(w, 0, sizeof *w);
    const mt_dtype_info *info = mt_dtype_find(type);
    if (!info) return mt_fail(err, MT_EUNKNOWN, "weight type %u is not one of %s", type, mt_dtype_names());
    if (rows < 1 || rows > INT32_MAX - 8 || cols < 1 || cols > INT32_MAX - 256)
        return mt_fail(err, MT_ERANGE, "a matrix of %lld rows and %lld columns", (long long)rows, (long long)cols);
    if (cols % info->block)
        return mt_fail(err, MT_EFORMAT, "%s rows need a multiple of %u columns, found %lld", info->name, info->block,
                       (long long)cols);
    const mt_block_codec *codec = mt_block_codec_find(type);
    int lanes = panel_rows(type);
    size_t padded = padded_rows(type, rows), data, scales, all;
    int32_t offset;
    bool nibbles = in_nibbles(type, &offset);
    if (!sizes(type, padded, (size_t)cols, &data, &scales, &all)) return mt_nomem(err, SIZE_MAX, "a weight matrix");
    /* A little slack after the data: kernels may read one vector ahead. */
    w->data = mt_alloc_aligned(data + 64, 64);
    w->scales = codec ? mt_alloc_aligned(scales, 64) : NULL;
    if (!w->data || (codec && !w->scales)) {
        mt_weight_free(w);
        return mt_nomem(err, all, "a weight matrix");
    }
    /* What rows do not fill: the rest of the last panel, and the slack. */
    size_t panel = data / (padded / (size_t)lanes),
           scale_panel = codec ? (size_t)lanes * (size_t)cols / (size_t)codec->group : 0;
    memset(w->data + data - panel, offset * 0x11, panel + 64);
    for (size_t end = scales / sizeof(float), kinds = codec && codec->min ? 2 : 1, i = 1; codec && i <= kinds; i++)
        memset(w->scales + end / kinds * i - scale_panel, 0, scale_panel * sizeof(float));
    w->type = type;
    w->rows = (int32_t)rows;
    w->cols = (int32_t)cols;
    w->nibbles = nibbles;
    w->offset = offset;
    w->group = codec ? codec->group : 0;
    w->minima = codec && codec->min ? w->scales + padded * (size_t)cols / (size_t)codec->group : NULL;
    w->bytes = all;
    return MT_OK;
}

void mt_weight_free(mt_weight *w) {
    mt_free_aligned(w->data);
    mt_free_aligned(w->scales);
    memset(w, 0, sizeof *w);
}

/* ---- packing ---- */

/* Rows come in panels where they can: all rows of a panel are taken at once, so that it is written from its beginning
 * to its end, once. What is left over goes row by row. */

typedef uint16_t halves __attribute__((vector_size(16)));
typedef uint32_t words __attribute__((vector_size(16)));
typedef uint64_t longs __attribute__((vector_size(16)));
#define WEAVE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)

/* Eight rows of eight two-byte values, turned. */
static void turn_halves(const uint8_t *source, size_t stride, uint16_t *to) {
    halves r[8];
    words w[8];
    for (size_t i = 0; i < 8; i++) memcpy(&r[i], source + i * stride, 16);
    for (int i = 0; i < 4; i++) {
        w[i] = (words)WEAVE(r[2 * i], r[2 * i + 1], 0, 8, 1, 9, 2, 10, 3, 11);       /* columns 0..3 of two rows */
        w[i + 4] = (words)WEAVE(r[2 * i], r[2 * i + 1], 4, 12, 5, 13, 6, 14, 7, 15); /* columns 4..7 */
    }
    for (int half = 0; half < 2; half++) {
        words *v = w + 4 * half;
        longs a = (longs)WEAVE(v[0], v[1], 0, 4, 1, 5), b = (longs)WEAVE(v[2], v[3], 0, 4, 1, 5);
        longs c = (longs)WEAVE(v[0], v[1], 2, 6, 3, 7), d = (longs)WEAVE(v[2], v[3], 2, 6, 3, 7);
        longs out[4] = {WEAVE(a, b, 0, 2), WEAVE(a, b, 1, 3), WEAVE(c, d, 0, 2), WEAVE(c, d, 1, 3)};
        memcpy(to + 32 * half, out, sizeof out);
    }
}

/* Eight rows of four floats, turned. */
static void turn_floats(const uint8_t *source, size_t stride, float *to) {
    words r[8];
    for (size_t i = 0; i < 8; i++) memcpy(&r[i], source + i * stride, 16);
    for (int side = 0; side < 2; side++) {
        const words *v = r + 4 * side;
        longs a = (longs)WEAVE(v[0], v[1], 0, 4, 1, 5), b = (longs)WEAVE(v[2], v[3], 0, 4, 1, 5);
        longs c = (longs)WEAVE(v[0], v[1], 2, 6, 3, 7), d = (longs)WEAVE(v[2], v[3], 2, 6, 3, 7);
        longs out[4] = {WEAVE(a, b, 0, 2), WEAVE(a, b, 1, 3), WEAVE(c, d, 0, 2), WEAVE(c, d, 1, 3)};
        for (int k = 0; k < 4; k++) memcpy(to + 8 * k + 4 * side, &out[k], 16);
    }
}

/* Rows row .. row + count (within one panel) of floats: two or four bytes each. */
static void put_float_panel(mt_weight *w, int32_t row, int32_t count, const uint8_t *source, size_t stride) {
    size_t K = (size_t)w->cols, lane = (size_t)row % MT_PANEL_F, rows = (size_t)count;
    if (w->type == MT_F32) {
        float *panel = (float *)(void *)w->data + (size_t)(row / MT_PANEL_F) * MT_PANEL_F * K + lane;
        size_t k = 0;
        for (; sizeof *panel == 4 && rows == MT_PANEL_F && k + 4 <= K; k += 4, panel += 4 * MT_PANEL_F)
            turn_floats(source + 4 * k, stride, panel);
        for (; k < K; k++, panel += MT_PANEL_F)
            for (size_t r = 0; r < rows; r++) memcpy(panel + r, source + r * stride + k * sizeof *panel, sizeof *panel);
        return;
    }
    uint16_t *panel = (uint16_t *)(void *)w->data + (size_t)(row / MT_PANEL_F) * MT_PANEL_F * K + lane;
    size_t done = 0;
    for (; rows == MT_PANEL_F && done + 8 <= K; done += 8, panel += 8 * MT_PANEL_F)
        turn_halves(source + 2 * done, stride, panel);
    for (; done < K; done++, panel += MT_PANEL_F)
        for (size_t r = 0; r < rows; r++) memcpy(panel + r, source + r * stride + 2 * done, 2);
    if (w->type != MT_F16 || w->infinite) return;
    for (size_t r = 0; r < rows; r++) {
        uint8_t most = 0;
        for (size_t k = 0; k < K; k++) {
            uint8_t e = source[r * stride + 2 * k + 1] & 0x7C;
            most = e > most ? e : most;
        }
        w->infinite |= most == 0x7C;
    }
}

/* Where value k of a row lies in its panel of quants. */
static size_t int8_at(size_t k, size_t lane) {
    return (k / 2) * 2 * MT_PANEL_Q + 2 * lane + (k & 1);
}
static size_t nibble_at(size_t k, size_t lane) { /* in the low half of the byte when k % 8 < 4 */
    return k / 8 * 16 + 4 * lane + k % 4;
}

/* n (a multiple of 16) values of four rows, pairs in turns. */
static void weave_bytes(const int8_t *const q[MT_PANEL_Q], size_t n, uint8_t *to) {
    for (size_t k = 0; k < n; k += 16, to += 64) {
        halves r[MT_PANEL_Q];
        for (int i = 0; i < MT_PANEL_Q; i++) memcpy(&r[i], q[i] + k, 16);
        words ab = (words)WEAVE(r[0], r[1], 0, 8, 1, 9, 2, 10, 3, 11);
        words cd = (words)WEAVE(r[2], r[3], 0, 8, 1, 9, 2, 10, 3, 11);
        words AB = (words)WEAVE(r[0], r[1], 4, 12, 5, 13, 6, 14, 7, 15);
        words CD = (words)WEAVE(r[2], r[3], 4, 12, 5, 13, 6, 14, 7, 15);
        words out[4] = {WEAVE(ab, cd, 0, 4, 1, 5), WEAVE(ab, cd, 2, 6, 3, 7), WEAVE(AB, CD, 0, 4, 1, 5),
                        WEAVE(AB, CD, 2, 6, 3, 7)};
        memcpy(to, out, sizeof out);
    }
}

/* Values 0..15 in bytes: fours from k on, those from k + 4 on above them. */
static void weave_nibbles(const uint8_t *values, size_t n, uint8_t *to) {
    for (size_t k = 0; k < n; k += 8, to += 4 * MT_PANEL_Q) {
        uint32_t low, high;
        memcpy(&low, values + k, 4);
        memcpy(&high, values + k + 4, 4);
        low |= high << 4;
        memcpy(to, &low, 4);
    }
}

/* The same for 32 values as the 4-bit types without super-blocks have them: 0..15 in low nibbles, 16..31 in high ones.
 */
static void weave_low_high(const uint8_t *nibbles, uint8_t *to) {
    for (int half = 0; half < 2; half++) {
        uint32_t a, b, low, high;
        memcpy(&a, nibbles + 8 * half, 4);
        memcpy(&b, nibbles + 8 * half + 4, 4);
        low = (a & 0x0F0F0F0F) | (b & 0x0F0F0F0F) << 4;
        high = (a >> 4 & 0x0F0F0F0F) | (b & 0xF0F0F0F0);
        memcpy(to + 4 * MT_PANEL_Q * half, &low, 4);
        memcpy(to + 4 * MT_PANEL_Q * (half + 2), &high, 4);
    }
}

/* Up to four rows within one panel. */
static void put_quant_panel(mt_weight *w, int32_t row, int32_t count, const uint8_t *source, size_t stride) {
    const mt_dtype_info *info = mt_dtype_find(w->type);
    const mt_block_codec *codec = mt_block_codec_find(w->type);
    size_t K = (size_t)w->cols, lane = (size_t)row % MT_PANEL_Q, panel = (size_t)row / MT_PANEL_Q, block = info->block;
    size_t group = (size_t)codec->group, groups = K / group, rows = (size_t)count;
    uint8_t *quants = w->data + panel * MT_PANEL_Q * K / (w->nibbles ? 2 : 1);
    float *scales = w->scales + panel * groups * MT_PANEL_Q + lane,
          *minima = w->minima ? w->minima + panel * groups * MT_PANEL_Q + lane : NULL;
    int8_t q[MT_PANEL_Q][MT_BLOCK_MAX];
    float scale[MT_GROUPS_MAX], min[MT_GROUPS_MAX];
    for (size_t k = 0; k < K; k += block, source += info->bytes) {
        const int8_t *values[MT_PANEL_Q];
        for (size_t r = 0; r < rows; r++) {
            const uint8_t *from = source + r * stride;
            if (w->type == MT_Q8_0 || w->type == MT_Q4_0) { /* nothing needs to be unpacked */
                scale[0] = mt_half_to_float(mt_le16(from));
                values[r] = (const int8_t *)from + 2;
            } else {
                codec->unpack(from, q[r], scale, min);
                values[r] = q[r];
            }
            for (size_t g = 0; g < block / group; g++) {
                size_t at = (k / group + g) * MT_PANEL_Q + r;
                scales[at] = scale[g];
                if (minima) minima[at] = min[g];
            }
            if (!w->nibbles) continue;
            if (w->type == MT_Q4_0) {
                weave_low_high(from + 2, quants + nibble_at(k, lane + r));
                continue;
            }
            if (w->offset)
                for (size_t i = 0; i < block; i++) q[r][i] = (int8_t)(q[r][i] + w->offset);
            weave_nibbles((const uint8_t *)q[r], block, quants + nibble_at(k, lane + r));
        }
        if (w->nibbles) continue;
        if (rows == MT_PANEL_Q)
            weave_bytes(values, block, quants + int8_at(k, 0));
        else
            for (size_t r = 0; r < rows; r++)
                for (size_t i = 0; i < block; i += 2) memcpy(quants + int8_at(k + i, lane + r), values[r] + i, 2);
    }
}

static void put_rows(mt_weight *w, int32_t row, int32_t count, const void *source) {
    const mt_dtype_info *info = mt_dtype_find(w->type);
    size_t bytes = (size_t)w->cols / info->block * info->bytes;
    int32_t lanes = panel_rows(w->type);
    const uint8_t *p = source;
    while (count > 0) {
        int32_t step = lanes - row % lanes < count ? lanes - row % lanes : count;
        if (is_float(w->type))
            put_float_panel(w, row, step, p, bytes);
        else
            put_quant_panel(w, row, step, p, bytes);
        row += step, count -= step, p += (size_t)step * bytes;
    }
}

enum { SMALL_PUT = 1 << 16, MOST_PUT_PARTS = 64 }; /* bytes below which one thread does it */
typedef struct put_job {
    mt_weight w[MOST_PUT_PARTS]; /* one for each part, since it says what it has met */
    int32_t row, count, step;
    const uint8_t *source;
    size_t row_bytes;
} put_job;

static void put_part(void *arg, int part, int parts) {
    put_job *j = arg;
    int32_t blocks = (j->count + j->step - 1) / j->step;
    int32_t from = (int32_t)((int64_t)blocks * part / parts) * j->step,
            to = (int32_t)((int64_t)blocks * (part + 1) / parts) * j->step;
    if (to > j->count) to = j->count;
    if (from < to) put_rows(&j->w[part], j->row + from, to - from, j->source + (size_t)from * j->row_bytes);
}

void mt_weight_put_rows(mt_pool *pool, mt_weight *w, int32_t row, int32_t count, const void *source) {
    const mt_dtype_info *info = mt_dtype_find(w->type);
    size_t row_bytes = (size_t)w->cols / info->block * info->bytes;
    int parts = mt_pool_threads(pool) * 2;
    /* Parts begin where panels do: no two of them write into one. */
    if (parts < 4 || row % panel_rows(w->type) || (size_t)count * row_bytes < SMALL_PUT) {
        put_rows(w, row, count, source);
        return;
    }
    if (parts > MOST_PUT_PARTS) parts = MOST_PUT_PARTS;
    put_job j = {.row = row, .count = count, .step = panel_rows(w->type), .source = source, .row_bytes = row_bytes};
    for (int i = 0; i < parts; i++) j.w[i] = *w;
    mt_pool_run_parts(pool, put_part, &j, parts);
    for (int i = 0; i < parts; i++) w->infinite |= j.w[i].infinite;
}

void mt_weight_row(const mt_weight *w, int32_t row, float *out) {
    size_t K = (size_t)w->cols;
    if (is_float(w->type)) {
        size_t lane = (size_t)row % MT_PANEL_F, size = float_bytes(w->type);
        const uint8_t *p = w->data + ((size_t)(row / MT_PANEL_F) * K * MT_PANEL_F + lane) * size;
        for (size_t k = 0; k < K; k++, p += MT_PANEL_F * size) {
            if (w->type == MT_F32)
                memcpy(out + k, p, sizeof *out);
            else
                out[k] = w->type == MT_F16 ? mt_half_to_float(mt_le16(p)) : mt_bf16_to_float(mt_le16(p));
        }
        return;
    }
    size_t lane = (size_t)row % MT_PANEL_Q, panel = (size_t)row / MT_PANEL_Q, group = (size_t)w->group;
    const uint8_t *q = w->data + panel * MT_PANEL_Q * K / (w->nibbles ? 2 : 1);
    for (size_t k = 0; k < K; k++) {
        size_t at = (panel * (K / group) + k / group) * MT_PANEL_Q + lane;
        int value = w->nibbles ? (q[nibble_at(k, lane)] >> (k & 4) & 15) - w->offset : (int8_t)q[int8_at(k, lane)];
        float v = w->scales[at] * (float)value;
        out[k] = w->minima ? v - w->minima[at] : v;
    }
}

size_t mt_weight_turned_size(const mt_weight *w) {
    size_t padded = padded_rows(MT_F32, w->cols);
    return padded * (size_t)w->rows + 16 + (size_t)w->cols;
}

void mt_weight_turn(const mt_weight *w, mt_weight *out, float *room) {
    size_t rows = (size_t)w->cols, K = (size_t)w->rows, padded = padded_rows(MT_F32, w->cols);
    float *row = room + padded * K + 16; /* after the slack that kernels may read */
    memset(room, 0, (padded * K + 16) * sizeof *room);
    *out = (mt_weight){
        .type = MT_F32, .rows = w->cols, .cols = w->rows, .data = (uint8_t *)room, .bytes = padded * K * sizeof *room};
    for (size_t k = 0; k < K; k++) {
        mt_weight_row(w, (int32_t)k, row);
        for (size_t r = 0; r < rows; r++) room[(r / MT_PANEL_F * K + k) * MT_PANEL_F + r % MT_PANEL_F] = row[r];
    }
}

/* ---- product ---- */

enum {
    SMALL_JOB = 1 << 15,     /* multiplications below which waking threads costs more than it saves */
    CALL_WORK = 1 << 22,     /* multiplications per kernel call: engines optimise a function between calls */
    TOKEN_BYTES = 192 * 1024 /* activations that are kept in cache while the weights stream past */
};

typedef void (*mm_kernel)(const mt_mm *m, int32_t p0, int32_t p1, int32_t t0, int32_t t1);
typedef struct mm_member {
    mt_mm m;
    mm_kernel kernel;
    int32_t panels;
} mm_member;
typedef struct mm_job {
    mm_member member[MT_TOGETHER]; /* of one x */
    int32_t count, T, token_block;
    int16_t *q;
    float *d;
    int32_t *sums; /* [T][K / 16] */
    int32_t *shift;
    float *low;
    int8_t *bytes;
} mm_job;

bool mt_weight_alike(const mt_weight *a, const mt_weight *b) {
    return a->cols == b->cols && a->group == b->group && a->nibbles == b->nibbles && a->offset == b->offset &&
           !a->minima == !b->minima;
}

size_t mt_matmul_scratch(const mt_weight *w, int32_t T) {
    if (is_float(w->type)) return 0;
    size_t K = (size_t)w->cols;
    /* q, d, sums, then what the type needs of shift, low and bytes */
    size_t groups = K / (size_t)w->group, row = 2 * K + 4 * (K / MT_Q_BLOCK) + 4 * (K / 16);
    return (size_t)T * (row + (w->offset ? 4 * groups : 0) + (w->minima ? 4 * groups : 0) + (w->nibbles ? K : 0));
}

static void quantize_part(void *arg, int part, int parts) {
    mm_job *j = arg;
    const mt_mm *m = &j->member[0].m;
    size_t K = (size_t)m->K;
    int32_t t0 = (int32_t)((int64_t)j->T * part / parts), t1 = (int32_t)((int64_t)j->T * (part + 1) / parts);
    for (int32_t t = t0; t < t1; t++) {
        size_t at = (size_t)t;
        int32_t *sums = j->sums + at * (K / 16);
        float *d = j->d + at * (K / MT_Q_BLOCK);
        mt_kernels->quantize(m->x + at * m->x_stride, m->K, j->q + at * K, j->bytes ? j->bytes + at * K : NULL, d,
                             sums);
        size_t G = (size_t)m->group, groups = K / G;
        for (size_t g = 0; g < groups && (j->shift || j->low); g++) {
            int32_t sum = G == 32 ? sums[2 * g] + sums[2 * g + 1] : sums[g];
            if (j->shift) j->shift[at * groups + g] = m->offset * sum;
            if (j->low) j->low[at * groups + g] = (float)sum * d[g * G / MT_Q_BLOCK];
        }
    }
}

static void multiply_part(void *arg, int part, int parts) {
    const mm_job *j = arg;
    for (const mm_member *w = j->member; w < j->member + j->count; w++) {
        int lanes = w->m.group ? MT_PANEL_Q : MT_PANEL_F;
        int32_t p0 = (int32_t)((int64_t)w->panels * part / parts),
                p1 = (int32_t)((int64_t)w->panels * (part + 1) / parts);
        for (int32_t t0 = 0; t0 < j->T; t0 += j->token_block) {
            int32_t t1 = j->T - t0 < j->token_block ? j->T : t0 + j->token_block;
            int64_t step = CALL_WORK / ((int64_t)w->m.K * lanes * (t1 - t0));
            step = step < 4 ? 4 : step & ~(int64_t)3; /* kernels take panels in twos and fours */
            for (int64_t p = p0; p < p1; p += step)
                w->kernel(&w->m, (int32_t)p, (int32_t)(p1 - p < step ? p1 : p + step), t0, t1);
        }
    }
}

void mt_matmul_together(mt_pool *pool, const mt_product *product, int32_t count, const float *x, size_t x_stride,
                        int32_t T, void *scratch) {
    if (T <= 0) return;
    const mt_weight *first = product[0].w;
    size_t K = (size_t)first->cols;
    mm_job j = {.T = T, .count = count};
    int64_t work = 0, panels = 0;
    int threads = mt_pool_threads(pool);
    if (first->group) {
        size_t rows = (size_t)T, groups = K / (size_t)first->group;
        j.q = scratch;
        j.d = (float *)(j.q + rows * K);
        j.sums = (int32_t *)(j.d + rows * (K / MT_Q_BLOCK));
        int32_t *next = j.sums + rows * (K / 16);
        if (first->offset) j.shift = next, next += rows * groups;
        if (first->minima) j.low = (float *)next, next += rows * groups;
        if (first->nibbles) j.bytes = (int8_t *)next;
    }
    for (int32_t i = 0; i < count; i++) {
        const mt_weight *w = product[i].w;
        int lanes = panel_rows(w->type);
        mm_member *to = &j.member[i];
        to->panels = (w->rows + lanes - 1) / lanes;
        to->m = (mt_mm){.w = w->data,
                        .scale = w->scales,
                        .min = w->minima,
                        .N = w->rows,
                        .K = w->cols,
                        .group = w->group,
                        .offset = w->offset,
                        .x = x,
                        .x_stride = x_stride,
                        .q = j.q,
                        .d = j.d,
                        .shift = j.shift,
                        .low = j.low,
                        .bytes = j.bytes,
                        .bias = product[i].bias,
                        .y = product[i].y,
                        .y_stride = product[i].y_stride};
        if (w->group)
            to->kernel = w->nibbles ? mt_kernels->mm_nibble : mt_kernels->mm_i8;
        else
            to->kernel = w->type == MT_F32    ? mt_kernels->mm_f32
                         : w->type == MT_BF16 ? mt_kernels->mm_bf16
                         : w->infinite        ? mt_ref_mm_f16
                                              : mt_kernels->mm_f16;
        work += (int64_t)w->rows * w->cols * T;
        panels += to->panels;
    }
    if (first->group) mt_pool_run_parts(T > 8 ? pool : NULL, quantize_part, &j, T > 8 ? threads : 1);
    int64_t block = TOKEN_BYTES / ((int64_t)K * (first->group ? 2 : 4)) & ~(int64_t)3;
    j.token_block = block < 16 ? 16 : block > T ? T : (int32_t)block;
    int parts = 1;
    if (threads > 1 && work >= SMALL_JOB) {
        parts = threads * 4;
        if (parts > panels / 4) parts = (int)(panels / 4);
        if (parts < 1) parts = 1;
    }
    mt_pool_run_parts(pool, multiply_part, &j, parts);
}

void mt_matmul(mt_pool *pool, const mt_weight *w, const float *x, size_t x_stride, int32_t T, const float *bias,
               float *y, size_t y_stride, void *scratch) {
    mt_matmul_together(pool, &(mt_product){w, bias, y, y_stride}, 1, x, x_stride, T, scratch);
}
