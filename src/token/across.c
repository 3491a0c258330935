/* Tokens of one vocabulary for those of another (across.h). */
#include "across.h"

static bool all_spaces(mt_str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != ' ') return false;
    return s.n > 0;
}

/* Of tokens [lo, hi) of the sorted list the one whose length is nearest to n, of equals the first id. Byte-fallback
 * pieces stand for their byte where no other token does. */
static void nearest(const mt_tok *t, const int32_t *sorted, size_t lo, size_t hi, size_t n, bool spaces, int32_t *best,
                    size_t *distance) {
    for (size_t i = lo; i < hi; i++) {
        mt_str s = mt_tok_bytes(t, sorted[i]);
        size_t d = s.n > n ? s.n - n : n - s.n;
        bool byte = mt_tok_kind(t, sorted[i]) == MT_TOKEN_BYTE;
        if ((byte && n != 1) || (!spaces && s.n == 1 && s.p[0] == ' ')) continue;
        bool was = *best >= 0 && mt_tok_kind(t, *best) == MT_TOKEN_BYTE;
        if (*best < 0 || d < *distance || (d == *distance && (was != byte ? was : sorted[i] < *best))) {
            *best = sorted[i];
            *distance = d;
        }
    }
}

static int32_t by_name(const mt_tok *from, const mt_tok *onto, int32_t id) {
    int32_t found = mt_tok_find(onto, mt_tok_piece(from, id));
    return found >= 0 && mt_tok_kind(onto, found) == mt_tok_kind(from, id) ? found : -1;
}

mt_status mt_token_map(const mt_tok *from, const mt_tok *onto, int32_t *map, uint8_t *same, mt_error *err) {
    size_t count;
    const int32_t *sorted = mt_tok_sorted(onto, &count);
    if (!sorted && count) return mt_fail(err, MT_ESTATE, "the target has no sorted vocabulary");
    for (int32_t id = 0; id < mt_tok_size(from); id++) {
        mt_token_kind kind = mt_tok_kind(from, id);
        mt_str s = mt_tok_bytes(from, id);
        map[id] = -1;
        same[id] = 0;
        if (kind == MT_TOKEN_HOLE || kind == MT_TOKEN_UNUSED) continue;
        if (kind != MT_TOKEN_NORMAL) {
            map[id] = by_name(from, onto, id);
            same[id] = map[id] >= 0;
            if (same[id] || kind != MT_TOKEN_BYTE) continue; /* a byte may be an ordinary token over there */
        }
        if (!s.n) continue;
        size_t lo, hi, distance = 0;
        bool spaces = all_spaces(s);
        mt_tok_interval(onto, s.p, s.n, &lo, &hi);
        nearest(onto, sorted, lo, hi, s.n, true, &map[id], &distance);
        if (map[id] >= 0 && distance == 0) {
            same[id] = 1;
            continue;
        }
        for (size_t n = s.n - 1; n > 0; n--) { /* tokens that begin it, the longest first */
            if (map[id] >= 0 && s.n - n > distance) break;
            mt_tok_interval(onto, s.p, n, &lo, &hi);
            size_t end = lo;
            while (end < hi && mt_tok_bytes(onto, sorted[end]).n == n) end++;
            nearest(onto, sorted, lo, end, s.n, spaces, &map[id], &distance);
        }
    }
    return MT_OK;
}

/* ---- edit distance, time warping ---- */

static uint32_t distance_with(mt_str a, mt_str b, uint32_t *row) {
    for (size_t j = 0; j <= b.n; j++) row[j] = (uint32_t)j;
    for (size_t i = 0; i < a.n; i++) {
        uint32_t corner = row[0];
        row[0] = (uint32_t)i + 1;
        for (size_t j = 0; j < b.n; j++) {
            uint32_t up = row[j + 1], best = corner + (a.p[i] != b.p[j]);
            if (up + 1 < best) best = up + 1;
            if (row[j] + 1 < best) best = row[j] + 1;
            corner = up;
            row[j + 1] = best;
        }
    }
    return row[b.n];
}

mt_status mt_edit_distance(mt_str a, mt_str b, uint32_t *out, mt_error *err) {
    uint32_t *row = mt_array(b.n + 1, sizeof *row);
    if (!row) return mt_nomem(err, (b.n + 1) * sizeof *row, "an edit distance");
    *out = distance_with(a, b, row);
    mt_free(row);
    return MT_OK;
}

mt_status mt_token_warp(const mt_tok *ta, const int32_t *a, size_t na, const mt_tok *tb, const int32_t *b, size_t nb,
                        uint32_t *pairs, size_t *count, uint64_t *cost, mt_error *err) {
    size_t longest = 0;
    *count = 0;
    *cost = 0;
    if (!na || !nb) return MT_OK;
    if (na > MT_WARP_CELLS / nb)
        return mt_fail(err, MT_ELIMIT, "time warping of %zu against %zu tokens: at most %d pairs", na, nb,
                       MT_WARP_CELLS);
    for (size_t i = 0; i < na; i++)
        if (a[i] < 0 || a[i] >= mt_tok_size(ta)) return mt_fail(err, MT_ERANGE, "token id %d of the first", a[i]);
    for (size_t j = 0; j < nb; j++) {
        if (b[j] < 0 || b[j] >= mt_tok_size(tb)) return mt_fail(err, MT_ERANGE, "token id %d of the second", b[j]);
        if (mt_tok_bytes(tb, b[j]).n > longest) longest = mt_tok_bytes(tb, b[j]).n;
    }
    uint64_t *sum = mt_array(na * nb, sizeof *sum);
    uint32_t *row = mt_array(longest + 1, sizeof *row);
    mt_status status = MT_OK;
    if (!sum || !row) {
        status = mt_nomem(err, na * nb * sizeof *sum, "a table of alignments");
        goto done;
    }
    for (size_t i = 0; i < na; i++)
        for (size_t j = 0; j < nb; j++) {
            uint64_t best = i && j ? sum[(i - 1) * nb + j - 1] : i + j ? UINT64_MAX : 0;
            if (i && sum[(i - 1) * nb + j] < best) best = sum[(i - 1) * nb + j];
            if (j && sum[i * nb + j - 1] < best) best = sum[i * nb + j - 1];
            sum[i * nb + j] = best + distance_with(mt_tok_bytes(ta, a[i]), mt_tok_bytes(tb, b[j]), row);
        }
    *cost = sum[na * nb - 1];
    size_t i = na - 1, j = nb - 1, n = 0;
    for (;;) { /* from the end; turned round below */
        pairs[2 * n] = (uint32_t)i;
        pairs[2 * n++ + 1] = (uint32_t)j;
        if (!i && !j) break;
        uint64_t both = i && j ? sum[(i - 1) * nb + j - 1] : UINT64_MAX;
        uint64_t up = i ? sum[(i - 1) * nb + j] : UINT64_MAX, left = j ? sum[i * nb + j - 1] : UINT64_MAX;
        bool diagonal = i && j && both <= up && both <= left, down = !diagonal && i && up <= left;
        if (diagonal || down) i--;
        if (diagonal || !down) j--;
    }
    for (size_t x = 0, y = n - 1; x < y; x++, y--)
        for (size_t k = 0; k < 2; k++) {
            uint32_t swap = pairs[2 * x + k];
            pairs[2 * x + k] = pairs[2 * y + k];
            pairs[2 * y + k] = swap;
        }
    *count = n;
done:
    mt_free(sum);
    mt_free(row);
    return status;
}
