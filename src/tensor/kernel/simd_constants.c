/* The table of simd_constants.h. */
#include "simd_constants.h"

#ifdef MT_HAVE_SIMD
const mt_simd_constants mt_simd_table = {
#define X(name, value) .f_##name = value,
    MT_FLOAT_CONSTANTS(X) MT_BIT_CONSTANTS(X)
#undef X
#define X(name, value) .d_##name = value,
        MT_DOUBLE_CONSTANTS(X)
#undef X
};
#endif
