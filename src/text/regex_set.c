/* Sets of code points as sorted ranges. */
#include "regex.h"
#include <stdlib.h>

mt_status mt_set_add(mt_set *s, uint32_t lo, uint32_t hi, mt_error *err) {
    MT_TRY(mt_grow((void **)&s->r, &s->cap, s->n + 1, sizeof *s->r, err));
    s->r[s->n++] = (mt_range){lo, hi};
    return MT_OK;
}

static int by_start(const void *a, const void *b) {
    uint32_t x = ((const mt_range *)a)->lo, y = ((const mt_range *)b)->lo;
    return (x > y) - (x < y);
}

void mt_set_tidy(mt_set *s) {
    bool sorted = true;
    for (size_t i = 1; i < s->n && sorted; i++) sorted = s->r[i - 1].hi + 1 < s->r[i].lo;
    if (sorted) return;
    qsort(s->r, s->n, sizeof *s->r, by_start);
    size_t n = 0;
    for (size_t i = 1; i < s->n; i++) {
        if (s->r[i].lo <= s->r[n].hi + 1) {
            if (s->r[i].hi > s->r[n].hi) s->r[n].hi = s->r[i].hi;
        } else
            s->r[++n] = s->r[i];
    }
    s->n = n + 1;
}

mt_status mt_set_union(mt_set *s, const mt_set *other, mt_error *err) {
    if (other->n == 0) return MT_OK;
    mt_range *r = mt_array(s->n + other->n, sizeof *r); /* merged by start, then joined where they touch */
    if (!r) return mt_nomem(err, (s->n + other->n) * sizeof *r, "a character class");
    size_t n = 0;
    for (size_t i = 0, j = 0; i < s->n || j < other->n;) {
        bool mine = j == other->n || (i < s->n && s->r[i].lo <= other->r[j].lo);
        mt_range next = mine ? s->r[i++] : other->r[j++];
        if (n && next.lo <= r[n - 1].hi + 1) {
            if (next.hi > r[n - 1].hi) r[n - 1].hi = next.hi;
        } else
            r[n++] = next;
    }
    mt_free(s->r);
    *s = (mt_set){r, n, s->n + other->n};
    return MT_OK;
}

mt_status mt_set_intersect(mt_set *s, const mt_set *other, mt_error *err) {
    mt_set out = {0};
    for (size_t i = 0, j = 0; i < s->n && j < other->n;) {
        mt_range a = s->r[i], b = other->r[j];
        uint32_t lo = a.lo > b.lo ? a.lo : b.lo, hi = a.hi < b.hi ? a.hi : b.hi;
        if (lo <= hi) {
            mt_status status = mt_set_add(&out, lo, hi, err);
            if (status != MT_OK) {
                mt_set_free(&out);
                return status;
            }
        }
        if (a.hi < b.hi)
            i++;
        else
            j++;
    }
    mt_set_free(s);
    *s = out;
    return MT_OK;
}

mt_status mt_set_negate(mt_set *s, mt_error *err) {
    MT_TRY(mt_grow((void **)&s->r, &s->cap, s->n + 1, sizeof *s->r, err));
    uint32_t begin = 0;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) { /* the gap before range i replaces it or an earlier one */
        mt_range r = s->r[i];
        if (begin < r.lo) s->r[n++] = (mt_range){begin, r.lo - 1};
        begin = r.hi + 1;
    }
    if (begin < MT_CP_COUNT) s->r[n++] = (mt_range){begin, MT_CP_COUNT - 1};
    s->n = n;
    return MT_OK;
}

bool mt_set_meets(const mt_set *s, uint32_t lo, uint32_t hi) {
    size_t first = 0, n = s->n;
    while (first < n) {
        size_t mid = (first + n) / 2;
        if (s->r[mid].hi < lo)
            first = mid + 1;
        else
            n = mid;
    }
    return first < s->n && s->r[first].lo <= hi;
}

bool mt_set_has(const mt_set *s, uint32_t cp) {
    return mt_set_meets(s, cp, cp);
}

bool mt_set_disjoint(const mt_set *a, const mt_set *b) {
    for (size_t i = 0, j = 0; i < a->n && j < b->n;) {
        if (a->r[i].hi < b->r[j].lo)
            i++;
        else if (b->r[j].hi < a->r[i].lo)
            j++;
        else
            return false;
    }
    return true;
}

void mt_set_free(mt_set *s) {
    mt_free(s->r);
    *s = (mt_set){0};
}

/* Two rounds: first the foldings of what is in the set, then everything that folds to those. */
mt_status mt_set_close_case(mt_set *s, mt_error *err) {
    mt_set added = {0};
    mt_status status = MT_OK;
    for (int round = 0; round < 2 && status == MT_OK; round++) {
        added.n = 0;
        status = mt_set_add_folds(&added, s, round, err);
        mt_set_tidy(&added);
        if (status == MT_OK) status = mt_set_union(s, &added, err);
    }
    mt_set_free(&added);
    return status;
}
