/* Shared by the kernel tests: random data and comparisons. */
#ifndef KERNELS_COMMON_H
#define KERNELS_COMMON_H

#include "test.h"
#include "tensor/kernel/kernel.h"

static mt_error err;
static mt_rng rng;

static inline uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}
static inline float of_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}
static inline float normal(void) {
    return (float)mt_rng_normal(&rng);
}
static inline float *normals(size_t n, float scale) {
    float *p = malloc((n + 1) * sizeof(float));
    for (size_t i = 0; i < n; i++) p[i] = scale * normal();
    return p;
}
/* Index of the first difference, or n. NaN equals NaN: their signs and payloads are nobody's business. */
static inline size_t differs(const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (bits_of(a[i]) != bits_of(b[i]) && !(isnan(a[i]) && isnan(b[i]))) return i;
    return n;
}
static const mt_isa all_isas[] = {MT_ISA_REF, MT_ISA_SIMD, MT_ISA_RELAXED};

#endif
