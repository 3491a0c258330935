/* See dynamic.h. Every round counts anew, in a map from pairs to counts: a batch is small.
 *
 *   "ab ab abc", letters, barriers at words: a+b (3 times) -> U0 U0 U0c, then U0+c (once) -> U0 U0 U1 */
#include "dynamic.h"

void mt_dynamic_free(mt_dynamic *d) {
    mt_ids_free(&d->ids);
    mt_ids_free(&d->lens);
    mt_free(d->unit);
    *d = (mt_dynamic){0};
}

static uint64_t key_of(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* The pair that is there most often -> *best, *most times; 0: there is none. Runs (aaa) count as merging from the left
 * takes them. */
static mt_status most_frequent(const mt_dynamic *d, const uint8_t *barrier, uint64_t *best, int64_t *most,
                               mt_error *err) {
    mt_map64 seen = {0};
    int64_t *count = NULL;
    size_t pairs = 0, cap = 0;
    mt_status status = MT_OK;
    *most = 0;
    for (size_t s = 0, at = 0; s < d->lens.len; s++) {
        size_t end = at + (size_t)d->lens.data[s];
        bool run = false; /* the pair before was this one and took the left token */
        for (size_t i = at; i + 1 < end; i++) {
            uint64_t key = key_of(d->ids.data[i], d->ids.data[i + 1]);
            int32_t k;
            run = !run && i > at && !barrier[i] && key == key_of(d->ids.data[i - 1], d->ids.data[i]);
            if (barrier[i + 1] || run) continue;
            if (!mt_map64_get(&seen, key, &k)) {
                k = (int32_t)pairs;
                MT_TRY_GOTO(mt_grow((void **)&count, &cap, pairs + 1, sizeof *count, err), done);
                MT_TRY_GOTO(mt_map64_set(&seen, key, k, err), done);
                count[pairs++] = 0;
            }
            count[k]++;
            if (count[k] > *most || (count[k] == *most && key < *best)) *most = count[k], *best = key;
        }
        at = end;
    }
done:
    mt_map64_free(&seen);
    mt_free(count);
    return status;
}

mt_status mt_dynamic_merge(const int32_t *ids, const uint8_t *barrier, const int32_t *lens, size_t sequences,
                           int32_t merges, int32_t first_id, mt_dynamic *out, mt_error *err) {
    size_t n = 0;
    mt_status status = MT_OK;
    *out = (mt_dynamic){.first_id = first_id};
    for (size_t s = 0; s < sequences; s++) {
        if (lens[s] < 0) return mt_fail(err, MT_ERANGE, "sequence %zu has %d tokens", s, lens[s]);
        n += (size_t)lens[s];
    }
    if (merges < 0 || merges > INT32_MAX - first_id || first_id < 0)
        return mt_fail(err, MT_ERANGE, "%d merges after id %d", merges, first_id);
    uint8_t *wall = mt_array(n + 1, 1);
    if (!wall) return mt_nomem(err, n, "a batch");
    memcpy(wall, barrier, n);
    MT_TRY_GOTO(mt_ids_reserve(&out->ids, n, err), done);
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= first_id) {
            status = mt_fail_at(err, MT_ERANGE, i, "token id %d: ids are 0..%d", ids[i], first_id - 1);
            goto done;
        }
        MT_TRY_GOTO(mt_ids_add(&out->ids, ids[i], err), done);
    }
    for (size_t s = 0; s < sequences; s++) MT_TRY_GOTO(mt_ids_add(&out->lens, lens[s], err), done);
    for (int32_t round = 0; round < merges; round++) {
        uint64_t best = 0;
        int64_t most;
        MT_TRY_GOTO(most_frequent(out, wall, &best, &most, err), done);
        if (!most) break;
        MT_TRY_GOTO(mt_grow((void **)&out->unit, &out->unit_cap, out->units + 1, sizeof *out->unit, err), done);
        int32_t id = first_id + (int32_t)out->units, left = (int32_t)(best >> 32), right = (int32_t)(uint32_t)best;
        out->unit[out->units++] = (mt_unit){left, right, most};
        size_t to = 0;
        for (size_t s = 0, at = 0; s < out->lens.len; s++) {
            size_t end = at + (size_t)out->lens.data[s], first = to;
            while (at < end) {
                bool merge =
                    at + 1 < end && !wall[at + 1] && out->ids.data[at] == left && out->ids.data[at + 1] == right;
                wall[to] = wall[at];
                out->ids.data[to++] = merge ? id : out->ids.data[at];
                at += merge ? 2 : 1;
            }
            out->lens.data[s] = (int32_t)(to - first);
        }
        out->ids.len = to;
    }
done:
    mt_free(wall);
    if (status != MT_OK) mt_dynamic_free(out);
    return status;
}
