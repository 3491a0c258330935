/* Rows of embeddings for another vocabulary (transfer.h).
 *
 *   old: th, e, the;  new: the, then    the = old the;  then: mean of the rows of the old pieces of "then" (the, n), or
 *   drawn like other Latin tokens that no space begins, or a mixture of shared tokens that keep the same company */
#include "transfer.h"

#include <math.h>

#include "../base/sort.h"
#include "../text/text.h"
#include "../token/words.h"

static int falling(const void *a, const void *b, void *context) {
    double x = *(const double *)a, y = *(const double *)b;
    (void)context;
    return (x < y) - (x > y);
}

void mt_sparsemax(double *z, size_t n, double *scratch) {
    if (!n) return;
    memcpy(scratch, z, n * sizeof *z);
    mt_sort(scratch, n, sizeof *scratch, falling, NULL);
    double sum = 0, t = 0;
    for (size_t k = 0; k < n; k++) { /* the largest k with 1 + k z_k > z_1 + ... + z_k */
        if (1 + (double)(k + 1) * scratch[k] <= sum + scratch[k]) break;
        sum += scratch[k];
        t = (sum - 1) / (double)(k + 1);
    }
    for (size_t i = 0; i < n; i++) z[i] = z[i] > t ? z[i] - t : 0;
}

/* ---- which old token is the same ---- */

typedef struct work {
    mt_tok *from, *to;
    const mt_transfer *how;
    const float *old;
    float *out;
    int32_t rows, width, size; /* usable old rows; of a row; new tokens */
    int32_t *same;             /* by new token: the old one, or -1 */
    mt_rng rng;
    mt_error *err;
} work;

static bool of_text(mt_token_kind kind) {
    return kind == MT_TOKEN_NORMAL || kind == MT_TOKEN_BYTE || kind == MT_TOKEN_USER;
}

static mt_status find_same(work *w) {
    mt_map texts = {0}, specials = {0};
    mt_status status = MT_OK;
    for (int32_t id = 0; id < w->rows && status == MT_OK; id++) {
        mt_token_kind kind = mt_tok_kind(w->from, id);
        int32_t old;
        mt_str s = of_text(kind) ? mt_tok_bytes(w->from, id) : mt_tok_piece(w->from, id);
        if (!s.n || kind == MT_TOKEN_HOLE || kind == MT_TOKEN_UNUSED) continue;
        mt_map *map = of_text(kind) ? &texts : &specials;
        /* a byte's fallback token stands for the byte where no ordinary token does */
        if (mt_map_get(map, s, &old) && (kind == MT_TOKEN_BYTE || mt_tok_kind(w->from, old) != MT_TOKEN_BYTE)) continue;
        status = mt_map_set(map, s, id, w->err);
    }
    for (int32_t id = 0; id < w->size; id++) {
        mt_token_kind kind = mt_tok_kind(w->to, id);
        mt_str s = of_text(kind) ? mt_tok_bytes(w->to, id) : mt_tok_piece(w->to, id);
        if (!s.n || !mt_map_get(of_text(kind) ? &texts : &specials, s, &w->same[id])) w->same[id] = -1;
    }
    const int32_t role[][2] = {{mt_tok_bos(w->from), mt_tok_bos(w->to)}, {mt_tok_eos(w->from), mt_tok_eos(w->to)}};
    for (int i = 0; i < 2; i++)
        if (role[i][0] >= 0 && role[i][0] < w->rows && role[i][1] >= 0 && w->same[role[i][1]] < 0)
            w->same[role[i][1]] = role[i][0];
    int32_t unknown = -1;
    for (int32_t id = 0; id < w->rows && unknown < 0; id++)
        if (mt_tok_kind(w->from, id) == MT_TOKEN_UNKNOWN) unknown = id;
    for (int32_t id = 0; id < w->size; id++)
        if (mt_tok_kind(w->to, id) == MT_TOKEN_UNKNOWN && w->same[id] < 0) w->same[id] = unknown;
    mt_map_free(&texts);
    mt_map_free(&specials);
    return status;
}

/* ---- rows ---- */

static const float *old_row(const work *w, int32_t id) {
    return w->old + (size_t)id * (size_t)w->width;
}
static float *new_row(const work *w, int32_t id) {
    return w->out + (size_t)id * (size_t)w->width;
}

typedef struct moments { /* of rows, per dimension */
    double *sum, *square;
    int32_t count;
} moments;
static void add_row(const work *w, moments *m, int32_t id) {
    const float *row = old_row(w, id);
    m->count++;
    for (int32_t k = 0; k < w->width; k++) m->sum[k] += row[k], m->square[k] += (double)row[k] * row[k];
}
static void draw_row(work *w, const moments *m, int32_t id) {
    float *row = new_row(w, id);
    for (int32_t k = 0; k < w->width; k++) {
        double mean = m->sum[k] / m->count, variance = m->square[k] / m->count - mean * mean;
        row[k] = (float)(mean + sqrt(variance > 0 ? variance : 0) * mt_rng_normal(&w->rng));
    }
}

/* The script of most of a token's letters, and whether a space begins it. */
enum { SCRIPTS = 256, CLASSES = 2 * SCRIPTS };
static int class_of(mt_tok *t, int32_t id) {
    mt_str s = mt_tok_bytes(t, id);
    bool initial = s.n > 1 && s.p[0] == ' ';
    int32_t seen[SCRIPTS] = {0};
    int best = 0;
    for (size_t i = initial; i < s.n;) {
        uint32_t c;
        int n = mt_utf8_decode(s.p + i, s.n - i, &c), script = n ? mt_unicode_script(c) : 0;
        i += n ? (size_t)n : 1;
        script = script < 0 || script >= SCRIPTS ? 0 : script;
        if (++seen[script] > seen[best]) best = script;
    }
    return 2 * best + initial;
}

/* A new token as old ones that spell it; none: a symbol that the old vocabulary does not have. */
static mt_status mean_row(work *w, int32_t id, mt_ids *ids, bool *made) {
    mt_str s = mt_tok_bytes(w->to, id);
    *made = false;
    ids->len = 0;
    if (!s.n || !of_text(mt_tok_kind(w->to, id))) return MT_OK;
    mt_error why = {0};
    mt_status status = mt_tok_word(w->from, s.p, s.n, ids, &why);
    if (status == MT_EMISSING || status == MT_EFORMAT) return MT_OK;
    if (status != MT_OK) {
        if (w->err) *w->err = why;
        return status;
    }
    float *row = new_row(w, id);
    for (int32_t k = 0; k < w->width; k++) {
        double sum = 0;
        int32_t count = 0;
        for (size_t i = 0; i < ids->len; i++)
            if (ids->data[i] < w->rows) sum += old_row(w, ids->data[i])[k], count++;
        if (!count) return MT_OK;
        row[k] = (float)(sum / count);
    }
    *made = true;
    return MT_OK;
}

/* ---- similar tokens ---- */

typedef struct similar {
    int32_t *shared; /* new ids that have an old row and an auxiliary vector */
    size_t count;
    double *norm; /* of auxiliary vectors, by new id */
    double *weight, *scratch;
} similar;

static mt_status find_similar(work *w, similar *s) {
    size_t n = (size_t)w->size, width = (size_t)w->how->aux_width;
    s->shared = mt_array(n, sizeof *s->shared);
    s->norm = mt_array(n, sizeof *s->norm);
    s->weight = mt_array(n, sizeof *s->weight);
    s->scratch = mt_array(n, sizeof *s->scratch);
    if (!s->shared || !s->norm || !s->weight || !s->scratch) return mt_nomem(w->err, n * 28, "similar tokens");
    for (size_t id = 0; id < n; id++) {
        double square = 0;
        for (size_t k = 0; k < width; k++) square += (double)w->how->aux[id * width + k] * w->how->aux[id * width + k];
        s->norm[id] = sqrt(square);
        if (w->same[id] >= 0 && square > 0 && of_text(mt_tok_kind(w->to, (int32_t)id)))
            s->shared[s->count++] = (int32_t)id;
    }
    return MT_OK;
}
static void similar_free(similar *s) {
    mt_free(s->shared);
    mt_free(s->norm);
    mt_free(s->weight);
    mt_free(s->scratch);
}
static bool similar_row(work *w, similar *s, int32_t id) {
    size_t width = (size_t)w->how->aux_width;
    const float *a = w->how->aux + (size_t)id * width;
    if (!s->count || !(s->norm[id] > 0)) return false;
    for (size_t i = 0; i < s->count; i++) {
        const float *b = w->how->aux + (size_t)s->shared[i] * width;
        double dot = 0;
        for (size_t k = 0; k < width; k++) dot += (double)a[k] * b[k];
        s->weight[i] = dot / (s->norm[id] * s->norm[s->shared[i]]);
    }
    mt_sparsemax(s->weight, s->count, s->scratch);
    float *row = new_row(w, id);
    for (int32_t k = 0; k < w->width; k++) {
        double sum = 0;
        for (size_t i = 0; i < s->count; i++)
            if (s->weight[i] > 0) sum += s->weight[i] * old_row(w, w->same[s->shared[i]])[k];
        row[k] = (float)sum;
    }
    return true;
}

/* ---- all of it ---- */

mt_status mt_transfer_rows(mt_tok *from, mt_tok *to, const mt_transfer *how, const float *old, int32_t rows,
                           int32_t width, float *out, mt_transfer_stats *stats, mt_error *err) {
    work w = {.from = from, .to = to, .how = how, .old = old, .out = out, .width = width, .err = err};
    moments *class = NULL, all = {0};
    similar near = {0};
    mt_ids ids = {0};
    mt_status status = MT_OK;
    double *sums = NULL;
    *stats = (mt_transfer_stats){0};
    if (width < 1) return mt_fail(err, MT_ERANGE, "rows of %d numbers", width);
    if (how->kind == MT_TRANSFER_SIMILAR && (!how->aux || how->aux_width < 1))
        return mt_fail(err, MT_ERANGE, "similar tokens need auxiliary vectors");
    w.rows = rows < mt_tok_size(from) ? rows : mt_tok_size(from);
    w.size = mt_tok_size(to);
    mt_rng_seed(&w.rng, how->seed);
    int classes = how->kind == MT_TRANSFER_SCRIPT ? CLASSES : 0;
    class = mt_calloc(CLASSES, sizeof *class);
    sums = mt_calloc((size_t)(classes + 1) * 2 * (size_t)width, sizeof *sums);
    w.same = mt_array((size_t)w.size + 1, sizeof *w.same);
    if (!class || !sums || !w.same) {
        status = mt_nomem(err, (size_t)(classes + 1) * 16 * (size_t)width, "means of rows");
        goto done;
    }
    all = (moments){sums, sums + width, 0};
    for (int c = 0; c < classes; c++)
        class[c] = (moments){sums + (2 + 2 * c) * (size_t)width, sums + (3 + 2 * c) * (size_t)width, 0};
    for (int32_t id = 0; id < w.rows; id++) {
        if (!of_text(mt_tok_kind(from, id))) continue;
        add_row(&w, &all, id);
        if (classes) add_row(&w, &class[class_of(from, id)], id);
    }
    if (!all.count) {
        status = mt_fail(err, MT_EMISSING, "the old vocabulary has no token of texts with a row");
        goto done;
    }
    MT_TRY_GOTO(find_same(&w), done);
    if (how->kind == MT_TRANSFER_SIMILAR) MT_TRY_GOTO(find_similar(&w, &near), done);
    for (int32_t id = 0; id < w.size; id++) {
        bool made = false;
        if (w.same[id] >= 0 && how->kind != MT_TRANSFER_RANDOM) {
            memcpy(new_row(&w, id), old_row(&w, w.same[id]), (size_t)width * sizeof *out);
            stats->shared++;
            continue;
        }
        if (how->kind == MT_TRANSFER_MEAN) MT_TRY_GOTO(mean_row(&w, id, &ids, &made), done);
        if (how->kind == MT_TRANSFER_SIMILAR) made = similar_row(&w, &near, id);
        stats->made += made;
        if (made) continue;
        const moments *m = classes ? &class[class_of(to, id)] : &all;
        draw_row(&w, m->count ? m : &all, id);
        stats->drawn++;
    }
done:
    similar_free(&near);
    mt_ids_free(&ids);
    mt_free(class);
    mt_free(sums);
    mt_free(w.same);
    return status;
}
