/* Places in one block of memory for values that live at different times (plan.h). */
#include "plan.h"

mt_status mt_plan_new(mt_plan *p, mt_error *err) {
    *p = (mt_plan){0};
    void *list = NULL;
    MT_TRY(mt_grow(&list, &p->capacity, 8, sizeof *p->free, err));
    p->free = list;
    p->free[p->count++] = (mt_stretch){0, SIZE_MAX};
    return MT_OK;
}

void mt_plan_free(mt_plan *p) {
    mt_free(p->free);
    *p = (mt_plan){0};
}

size_t mt_plan_take(mt_plan *p, size_t size) {
    size_t best = p->count - 1;
    for (size_t i = 0; i + 1 < p->count; i++)
        if (p->free[i].end - p->free[i].begin >= size &&
            (best == p->count - 1 || p->free[i].end - p->free[i].begin < p->free[best].end - p->free[best].begin))
            best = i;
    size_t at = p->free[best].begin;
    p->free[best].begin += size;
    if (at + size > p->high) p->high = at + size;
    if (best + 1 < p->count && p->free[best].begin == p->free[best].end) {
        memmove(&p->free[best], &p->free[best + 1], (p->count - best - 1) * sizeof *p->free);
        p->count--;
    }
    return at;
}

mt_status mt_plan_give(mt_plan *p, size_t begin, size_t size, mt_error *err) {
    if (size == 0) return MT_OK;
    void *list = p->free;
    mt_status status = mt_grow(&list, &p->capacity, p->count + 1, sizeof *p->free, err);
    p->free = list;
    if (status != MT_OK) return status;
    size_t i = 0;
    while (p->free[i].begin < begin) i++;
    memmove(&p->free[i + 1], &p->free[i], (p->count - i) * sizeof *p->free);
    p->free[i] = (mt_stretch){begin, begin + size};
    p->count++;
    if (i + 1 < p->count && p->free[i].end == p->free[i + 1].begin) {
        p->free[i].end = p->free[i + 1].end;
        memmove(&p->free[i + 1], &p->free[i + 2], (p->count - i - 2) * sizeof *p->free);
        p->count--;
    }
    if (i > 0 && p->free[i - 1].end == p->free[i].begin) {
        p->free[i - 1].end = p->free[i].end;
        memmove(&p->free[i], &p->free[i + 1], (p->count - i - 1) * sizeof *p->free);
        p->count--;
    }
    return MT_OK;
}
