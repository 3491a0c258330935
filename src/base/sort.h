/* Sorting with a context argument, in place and without allocation: the C library's qsort has no context, and where it
 * is not stable its order of equal elements differs between libraries. Make the comparison a total order where the
 * order of equal elements could be seen. */
#ifndef MT_SORT_H
#define MT_SORT_H

#include "base.h"

/* < 0: a comes before b; 0: equal; > 0: after. */
typedef int (*mt_compare)(const void *a, const void *b, void *context);
/* O(n log n) in the worst case, O(log n) of stack. */
void mt_sort(void *items, size_t count, size_t size, mt_compare compare, void *context);

#endif
