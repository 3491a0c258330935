/* The table of kernels and the choice of implementation. */
#include "kernel/kernel.h"

#include "kernel/simd.h"

#ifndef MT_RUN_ONLY /* the small module has one set */
static const mt_kernel_set ref_set = {
#define X(how, name, result, arguments) .name = mt_ref_##name,
    MT_KERNELS(X)
#undef X
};
#endif

#ifdef MT_HAVE_SIMD
static const mt_kernel_set simd_set = {
#define X(how, name, result, arguments) .name = mt_simd_##name,
    MT_KERNELS(X)
#undef X
};
#define SIMD_ENTRY(name) (mt_any_kernel) mt_simd_##name
#else
#define SIMD_ENTRY(name) NULL
#endif

#ifdef MT_HAVE_RELAXED
#define PICK_SAME(name) mt_simd_##name
#define PICK_OWN(name)  mt_relaxed_##name
static const mt_kernel_set relaxed_set = {
#define X(how, name, result, arguments) .name = PICK_##how(name),
    MT_KERNELS(X)
#undef X
};
#define RELAXED_ENTRY_SAME(name) NULL
#define RELAXED_ENTRY_OWN(name)  (mt_any_kernel) mt_relaxed_##name
#else
#define RELAXED_ENTRY_SAME(name) NULL
#define RELAXED_ENTRY_OWN(name)  NULL
#endif

const mt_kernel_row mt_kernel_table[] = {
#define X(how, name, result, arguments)                                                                                \
    {#name, (mt_any_kernel)mt_ref_##name, SIMD_ENTRY(name), RELAXED_ENTRY_##how(name)},
    MT_KERNELS(X)
#undef X
};
const int mt_kernel_count = sizeof mt_kernel_table / sizeof *mt_kernel_table;

#if defined(MT_HAVE_RELAXED)
const mt_kernel_set *mt_kernels = &relaxed_set;
static mt_isa current = MT_ISA_RELAXED;
#elif defined(MT_HAVE_SIMD)
const mt_kernel_set *mt_kernels = &simd_set;
static mt_isa current = MT_ISA_SIMD;
#else
const mt_kernel_set *mt_kernels = &ref_set;
static mt_isa current = MT_ISA_REF;
#endif

const char *mt_isa_name(mt_isa isa) {
    return isa == MT_ISA_REF ? "ref" : isa == MT_ISA_SIMD ? "simd" : isa == MT_ISA_RELAXED ? "relaxed" : "?";
}

mt_isa mt_kernels_isa(void) {
    return current;
}

mt_status mt_kernels_use(mt_isa isa, mt_error *err) {
    const mt_kernel_set *set = NULL;
#ifndef MT_RUN_ONLY
    if (isa == MT_ISA_REF) set = &ref_set;
#endif
#ifdef MT_HAVE_SIMD
    if (isa == MT_ISA_SIMD) set = &simd_set;
#endif
#ifdef MT_HAVE_RELAXED
    if (isa == MT_ISA_RELAXED) set = &relaxed_set;
#endif
    if (!set) return mt_fail(err, MT_EUNKNOWN, "kernels \"%s\" are not in this build", mt_isa_name(isa));
    mt_kernels = set;
    current = isa;
    return MT_OK;
}
