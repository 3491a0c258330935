/* A binary heap of any type, the first element on top; where to keep the elements is the caller's business.
 *
 *     MT_HEAP(heap, entry, const trainer *, before)
 *
 * defines, for an array of `entry` and a strict order `bool before(const entry *a, const entry *b, const trainer *c)`,
 *
 *     heap_push(items, &len, e, c)    adds e; there must be room for it
 *     heap_pop(items, &len, c)        takes the first element; len > 0
 *     heap_sink(items, len, e, c)     puts e in the place of the first element; len > 0
 *
 * Under a total order elements come out in that order; otherwise equal ones in no particular one. */
#ifndef MT_HEAP_H
#define MT_HEAP_H

#include <stddef.h>

#define MT_HEAP(name, type, context, before)                                                                           \
    static inline void name##_push(type *items, size_t *len, type e, context c) {                                      \
        size_t i = (*len)++;                                                                                           \
        for (size_t up; i && before(&e, &items[up = (i - 1) / 2], c); i = up) items[i] = items[up];                    \
        items[i] = e;                                                                                                  \
        (void)c;                                                                                                       \
    }                                                                                                                  \
    static inline void name##_sink(type *items, size_t len, type e, context c) {                                       \
        size_t i = 0;                                                                                                  \
        for (size_t k; (k = 2 * i + 1) < len; i = k) {                                                                 \
            if (k + 1 < len && before(&items[k + 1], &items[k], c)) k++;                                               \
            if (!before(&items[k], &e, c)) break;                                                                      \
            items[i] = items[k];                                                                                       \
        }                                                                                                              \
        items[i] = e;                                                                                                  \
        (void)c;                                                                                                       \
    }                                                                                                                  \
    static inline type name##_pop(type *items, size_t *len, context c) {                                               \
        type top = items[0];                                                                                           \
        if (--*len) name##_sink(items, *len, items[*len], c);                                                          \
        return top;                                                                                                    \
    }

#endif
