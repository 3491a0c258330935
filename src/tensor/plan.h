/* Where in one block of memory values lie whose times of life are known: the first-pass planner of graphs and tapes. */
#ifndef MT_PLAN_H
#define MT_PLAN_H

#include "../base/base.h"

/* Free stretches of the block, sorted by offset, neighbours merged; the last one is open-ended. In floats. */
typedef struct mt_stretch {
    size_t begin, end;
} mt_stretch;
typedef struct mt_plan {
    mt_stretch *free;
    size_t count, capacity, high; /* high: floats that the block needs */
} mt_plan;

static inline size_t mt_plan_padded(size_t elements) { /* to 64 bytes */
    return (elements + 15) / 16 * 16;
}
mt_status mt_plan_new(mt_plan *p, mt_error *err);
void mt_plan_free(mt_plan *p);
/* Best fit: the smallest stretch that holds `size`. */
size_t mt_plan_take(mt_plan *p, size_t size);
mt_status mt_plan_give(mt_plan *p, size_t begin, size_t size, mt_error *err);

#endif
