/* Introspective sort (Musser 1997): quicksort with the median of three as pivot, insertion sort for short ranges, and
 * heapsort for a range that was halved badly too often, so that no input is quadratic. */
#include "sort.h"

typedef struct sorter {
    size_t size;
    mt_compare compare;
    void *context;
} sorter;

static void swap(uint8_t *a, uint8_t *b, size_t size) {
    uint8_t t[64];
    for (size_t n; size; size -= n, a += n, b += n) {
        n = size < sizeof t ? size : sizeof t;
        memcpy(t, a, n);
        memcpy(a, b, n);
        memcpy(b, t, n);
    }
}

static inline bool less(const sorter *s, const uint8_t *a, const uint8_t *b) {
    return s->compare(a, b, s->context) < 0;
}

static void insertion(const sorter *s, uint8_t *p, size_t n) {
    for (size_t i = 1; i < n; i++)
        for (uint8_t *q = p + i * s->size; q > p && less(s, q, q - s->size); q -= s->size)
            swap(q, q - s->size, s->size);
}

static void sift(const sorter *s, uint8_t *p, size_t n, size_t i) {
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && less(s, p + child * s->size, p + (child + 1) * s->size)) child++;
        if (!less(s, p + i * s->size, p + child * s->size)) return;
        swap(p + i * s->size, p + child * s->size, s->size);
    }
}

static void heapsort_range(const sorter *s, uint8_t *p, size_t n) {
    for (size_t i = n / 2; i-- > 0;) sift(s, p, n, i);
    for (size_t i = n; i-- > 1;) {
        swap(p, p + i * s->size, s->size);
        sift(s, p, i, 0);
    }
}

static void sort_range(const sorter *s, uint8_t *p, size_t n, int patience) {
    const size_t size = s->size;
    while (n > 16) {
        if (patience-- == 0) {
            heapsort_range(s, p, n);
            return;
        }
        uint8_t *mid = p + n / 2 * size, *last = p + (n - 1) * size;
        if (less(s, mid, p)) swap(mid, p, size);
        if (less(s, last, mid)) {
            swap(last, mid, size);
            if (less(s, mid, p)) swap(mid, p, size);
        }
        swap(mid, p + size, size); /* the pivot waits in place 1; 0 and n-1 are sentinels */
        uint8_t *pivot = p + size, *i = pivot, *j = last;
        for (;;) {
            do i += size;
            while (less(s, i, pivot));
            do j -= size;
            while (less(s, pivot, j));
            if (i >= j) break;
            swap(i, j, size);
        }
        swap(pivot, j, size);
        size_t left = (size_t)(j - p) / size, right = n - left - 1;
        if (left < right) { /* recursion into the smaller part keeps the stack logarithmic */
            sort_range(s, p, left, patience);
            p = j + size;
            n = right;
        } else {
            sort_range(s, j + size, right, patience);
            n = left;
        }
    }
    insertion(s, p, n);
}

void mt_sort(void *items, size_t count, size_t size, mt_compare compare, void *context) {
    if (count < 2 || !size) return;
    int patience = 2;
    for (size_t n = count; n; n >>= 1) patience += 2;
    sort_range(&(sorter){size, compare, context}, items, count, patience);
}
