/* Allocation, arenas, growable buffers.
 *
 * Test builds define MT_FAULTS: every allocation can be made to fail, and live blocks are counted, so that tests can
 * walk through "the n-th allocation fails" for all n and demand that nothing leaks. */
#include "base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef __wasm__
void *sbrk(intptr_t more);                /* libc, not of C11 */
int emscripten_resize_heap(size_t bytes); /* wasm/shim.c */
#endif

#ifdef MT_FAULTS
static int64_t fail_after = -1;
static size_t live;
static bool refused(void) {
    if (fail_after < 0) return false;
    if (fail_after == 0) return true;
    fail_after--;
    return false;
}
void mt_fail_allocation_after(int64_t n) {
    fail_after = n;
}
size_t mt_live_allocations(void) {
    return live;
}
#define COUNT_UP(p)   ((p) ? (void)live++ : (void)0)
#define COUNT_DOWN(p) ((p) ? (void)live-- : (void)0)
#else
static bool refused(void) {
    return false;
}
void mt_fail_allocation_after(int64_t n) {
    (void)n;
}
size_t mt_live_allocations(void) {
    return 0;
}
#define COUNT_UP(p)   (void)0
#define COUNT_DOWN(p) (void)0
#endif

void mt_reserve(size_t bytes) {
#ifdef __wasm__
    size_t end;
    if (mt_add_size((size_t)sbrk(0), bytes, &end)) emscripten_resize_heap(end);
#else
    (void)bytes;
#endif
}

void *mt_malloc(size_t size) {
    if (refused()) return NULL;
    void *p = malloc(size ? size : 1);
    COUNT_UP(p);
    return p;
}

void *mt_calloc(size_t count, size_t size) {
    if (refused()) return NULL;
    void *p = calloc(count ? count : 1, size ? size : 1);
    COUNT_UP(p);
    return p;
}

void *mt_realloc(void *p, size_t size) {
    if (!p) return mt_malloc(size);
    if (refused()) return NULL;
    return realloc(p, size ? size : 1);
}

void mt_free(void *p) {
    COUNT_DOWN(p);
    free(p);
}

void *mt_array(size_t count, size_t size) {
    size_t bytes;
    return mt_mul_size(count, size, &bytes) ? mt_malloc(bytes) : NULL;
}

/* The block's true start is kept in the word before the aligned address. */
void *mt_alloc_aligned(size_t size, size_t align) {
    size_t bytes;
    if (!mt_add_size(size, align + sizeof(void *), &bytes)) return NULL;
    uint8_t *raw = mt_malloc(bytes);
    if (!raw) return NULL;
    uintptr_t at = ((uintptr_t)raw + sizeof(void *) + align - 1) & ~(uintptr_t)(align - 1);
    memcpy((void *)(at - sizeof(void *)), &raw, sizeof raw);
    return (void *)at;
}

void mt_free_aligned(void *p) {
    if (!p) return;
    void *raw;
    memcpy(&raw, (uint8_t *)p - sizeof(void *), sizeof raw);
    mt_free(raw);
}

mt_status mt_grow(void **p, size_t *capacity, size_t need, size_t size, mt_error *err) {
    if (need <= *capacity) return MT_OK;
    size_t cap = *capacity ? *capacity : 8, bytes;
    while (cap < need)
        if (!mt_mul_size(cap, 2, &cap)) return mt_nomem(err, SIZE_MAX, "a growing list");
    if (!mt_mul_size(cap, size, &bytes)) return mt_nomem(err, SIZE_MAX, "a growing list");
    void *q = mt_realloc(*p, bytes);
    if (!q) return mt_nomem(err, bytes, "a growing list");
    *p = q;
    *capacity = cap;
    return MT_OK;
}

/* ---- arena ---- */

struct mt_arena_block {
    mt_arena_block *next;
    size_t cap; /* bytes after this header */
};
enum { HEADER = (sizeof(mt_arena_block) + 15) & ~(size_t)15, FIRST_BLOCK = 4096, LARGEST_BLOCK = 1 << 20 };

void *mt_arena_alloc(mt_arena *a, size_t size) {
    if (size > SIZE_MAX - 64) return NULL;
    size = (size + 15) & ~(size_t)15;
    if (!a->head || a->head->cap - a->used < size) {
        size_t cap = a->total < FIRST_BLOCK ? FIRST_BLOCK : a->total < LARGEST_BLOCK ? a->total : LARGEST_BLOCK;
        if (cap < size) cap = size;
        mt_arena_block *b = mt_malloc(HEADER + cap);
        if (!b) return NULL;
        b->next = a->head;
        b->cap = cap;
        a->head = b;
        a->used = 0;
        a->total += cap;
    }
    void *p = (uint8_t *)a->head + HEADER + a->used;
    a->used += size;
    return p;
}

void *mt_arena_copy(mt_arena *a, const void *p, size_t size) {
    void *q = mt_arena_alloc(a, size);
    if (q && size) memcpy(q, p, size);
    return q;
}

void mt_arena_free(mt_arena *a) {
    for (mt_arena_block *b = a->head; b;) {
        mt_arena_block *next = b->next;
        mt_free(b);
        b = next;
    }
    *a = (mt_arena){0};
}

/* ---- growable bytes and ids ---- */

mt_status mt_buf_reserve(mt_buf *b, size_t extra, mt_error *err) {
    size_t need;
    if (!mt_add_size(b->len, extra, &need)) return mt_nomem(err, SIZE_MAX, "a buffer");
    return mt_grow((void **)&b->data, &b->cap, need, 1, err);
}

mt_status mt_buf_add(mt_buf *b, const void *p, size_t n, mt_error *err) {
    MT_TRY(mt_buf_reserve(b, n, err));
    if (n) memcpy(b->data + b->len, p, n);
    b->len += n;
    return MT_OK;
}

mt_status mt_buf_byte(mt_buf *b, uint8_t c, mt_error *err) {
    return mt_buf_add(b, &c, 1, err);
}

mt_status mt_buf_printf(mt_buf *b, mt_error *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    mt_status status = n < 0 ? mt_fail(err, MT_ERANGE, "bad format") : mt_buf_reserve(b, (size_t)n + 1, err);
    if (status == MT_OK) {
        vsnprintf((char *)b->data + b->len, (size_t)n + 1, format, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return status;
}

void mt_buf_free(mt_buf *b) {
    mt_free(b->data);
    *b = (mt_buf){0};
}

mt_status mt_ids_reserve(mt_ids *v, size_t extra, mt_error *err) {
    size_t need;
    if (!mt_add_size(v->len, extra, &need)) return mt_nomem(err, SIZE_MAX, "a list of ids");
    return mt_grow((void **)&v->data, &v->cap, need, sizeof(int32_t), err);
}

mt_status mt_ids_add(mt_ids *v, int32_t id, mt_error *err) {
    MT_TRY(mt_ids_reserve(v, 1, err));
    v->data[v->len++] = id;
    return MT_OK;
}

void mt_ids_free(mt_ids *v) {
    mt_free(v->data);
    *v = (mt_ids){0};
}
