/* Slots, parents and runs (kv.h). */
#include "kv.h"

mt_status mt_kv_init(mt_kv *kv, int32_t slots, mt_error *err) {
    size_t n = (size_t)slots;
    *kv = (mt_kv){.slots = slots};
    kv->parent = mt_array(n, sizeof *kv->parent);
    kv->position = mt_array(n, sizeof *kv->position);
    kv->run_begin = mt_array(n, sizeof *kv->run_begin);
    kv->children = mt_array(n, sizeof *kv->children);
    kv->token = mt_array(n, sizeof *kv->token);
    kv->holds = mt_calloc(n, sizeof *kv->holds);
    kv->live = mt_calloc(n, 1);
    kv->ordered = mt_calloc(n, 1);
    kv->orphan = mt_calloc(n, 1);
    if (!kv->parent || !kv->position || !kv->run_begin || !kv->children || !kv->token || !kv->holds || !kv->live ||
        !kv->ordered || !kv->orphan) {
        mt_kv_free(kv);
        return mt_nomem(err, n * 27, "the cache's slot table");
    }
    for (size_t i = 0; i < n; i++) kv->parent[i] = -1, kv->position[i] = kv->children[i] = kv->run_begin[i] = 0;
    return MT_OK;
}

void mt_kv_free(mt_kv *kv) {
    mt_free(kv->parent);
    mt_free(kv->position);
    mt_free(kv->run_begin);
    mt_free(kv->children);
    mt_free(kv->token);
    mt_free(kv->holds);
    mt_free(kv->live);
    mt_free(kv->ordered);
    mt_free(kv->orphan);
    *kv = (mt_kv){0};
}

static int32_t find_free(const mt_kv *kv) {
    int32_t best = -1, length = 0;
    for (int32_t s = 0; s < kv->slots;) {
        if (kv->live[s]) {
            s++;
            continue;
        }
        int32_t end = s;
        while (end < kv->slots && !kv->live[end]) end++;
        if (end - s > length) best = s, length = end - s;
        s = end;
    }
    if (best > 0 && length > 1) best += length / 2;
    return best;
}

int32_t mt_kv_take(mt_kv *kv, int32_t parent, int32_t position) {
    int32_t s = parent >= 0 && parent + 1 < kv->slots && !kv->live[parent + 1] ? parent + 1 : find_free(kv);
    if (s < 0) return -1;
    kv->live[s] = 1;
    kv->orphan[s] = 0;
    kv->holds[s] = kv->token[s] = 0;
    kv->parent[s] = parent;
    kv->position[s] = position;
    kv->children[s] = 0;
    kv->run_begin[s] = parent >= 0 && parent == s - 1 ? kv->run_begin[parent] : s;
    kv->ordered[s] = parent < 0 || (kv->ordered[parent] && kv->position[parent] < position);
    if (parent >= 0) kv->children[parent]++;
    kv->used++;
    return s;
}

static void free_slot(mt_kv *kv, int32_t slot) {
    int32_t p = kv->parent[slot];
    if (p >= 0 && !kv->orphan[slot] && kv->live[p]) kv->children[p]--;
    kv->live[slot] = 0;
    kv->used--;
}

void mt_kv_drop(mt_kv *kv, int32_t slot) {
    if (slot < 0 || slot >= kv->slots || !kv->live[slot]) return;
    free_slot(kv, slot);
    if (kv->children[slot] == 0) return;
    /* Whatever descends from it can never be followed again. Parents may have higher numbers than their children, so
     * the marks spread until nothing changes. */
    for (int32_t s = 0; s < kv->slots; s++)
        if (kv->live[s] && !kv->orphan[s] && kv->parent[s] == slot) kv->orphan[s] = 1;
    for (bool changed = true; changed;) {
        changed = false;
        for (int32_t s = 0; s < kv->slots; s++)
            if (kv->live[s] && !kv->orphan[s] && kv->parent[s] >= 0 && kv->orphan[kv->parent[s]] &&
                kv->live[kv->parent[s]])
                kv->orphan[s] = 1, changed = true;
    }
}

void mt_kv_keep_chain(mt_kv *kv, int32_t slot) {
    enum { KEEP = 2 };
    if (slot < 0 || slot >= kv->slots || !kv->live[slot] || kv->orphan[slot]) return;
    for (int32_t s = slot; s >= 0; s = kv->parent[s]) kv->live[s] = KEEP;
    for (int32_t s = 0; s < kv->slots; s++)
        if (kv->live[s] == 1) kv->live[s] = 0, kv->used--;
    for (int32_t s = slot, child = 0; s >= 0; s = kv->parent[s], child = 1) kv->live[s] = 1, kv->children[s] = child;
}

void mt_kv_trim(mt_kv *kv, int32_t slot) {
    while (slot >= 0 && kv->live[slot] && !kv->holds[slot] && !kv->children[slot]) {
        int32_t parent = kv->orphan[slot] ? -1 : kv->parent[slot];
        free_slot(kv, slot);
        slot = parent;
    }
}

int32_t mt_kv_chain(const mt_kv *kv, int32_t slot, int32_t *out) {
    int32_t n = 0;
    for (int32_t s = slot; s >= 0; s = kv->parent[s]) n++;
    for (int32_t s = slot, i = n; out && s >= 0; s = kv->parent[s]) out[--i] = s;
    return n;
}

void mt_kv_follow(mt_kv *kv, int32_t slot, int32_t parent, int32_t position) {
    int32_t old = kv->parent[slot];
    if (old >= 0) kv->children[old]--;
    if (parent >= 0) kv->children[parent]++;
    kv->parent[slot] = parent;
    kv->position[slot] = position;
    kv->run_begin[slot] = parent >= 0 && parent == slot - 1 ? kv->run_begin[parent] : slot;
    kv->ordered[slot] = parent < 0 || (kv->ordered[parent] && kv->position[parent] < position);
}

void mt_kv_reset(mt_kv *kv) {
    memset(kv->live, 0, (size_t)kv->slots);
    kv->used = 0;
}

/* First slot of [begin, end] whose position is above `limit`; positions grow. */
static int32_t first_above(const mt_kv *kv, int32_t begin, int32_t end, int64_t limit) {
    while (begin < end) {
        int32_t middle = begin + (end - begin) / 2;
        if (kv->position[middle] > limit)
            end = middle;
        else
            begin = middle + 1;
    }
    return begin;
}

static void put(mt_run *out, int32_t at, int32_t begin, int32_t end) {
    if (out) out[at] = (mt_run){begin, end - begin + 1};
}

int32_t mt_kv_runs(const mt_kv *kv, int32_t slot, int32_t window, mt_run *out) {
    /* Newest first, then turned round. */
    int32_t count = 0;
    int64_t limit = window > 0 ? (int64_t)kv->position[slot] - window : INT64_MIN;
    for (int32_t s = slot; s >= 0;) {
        int32_t begin = kv->run_begin[s];
        if (window <= 0 || (kv->ordered[slot] && kv->position[begin] > limit)) {
            put(out, count++, begin, s);
        } else if (kv->ordered[slot]) {
            if (kv->position[s] > limit) put(out, count++, first_above(kv, begin, s, limit), s);
            break;
        } else {
            for (int32_t end = s; end >= begin; end--) {
                if (kv->position[end] <= limit) continue;
                int32_t from = end;
                while (from > begin && kv->position[from - 1] > limit) from--;
                put(out, count++, from, end);
                end = from;
            }
        }
        s = kv->parent[begin];
    }
    for (int32_t i = 0; out && i < count / 2; i++) {
        mt_run t = out[i];
        out[i] = out[count - 1 - i];
        out[count - 1 - i] = t;
    }
    return count;
}
