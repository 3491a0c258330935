/* The kernels that relaxed SIMD speeds up: the same files with the fused multiply-add and the 8-bit dot product. A
 * product that is not rounded before the addition leaves out one rounding error of each term; engines agree with
 * themselves, so one build on one machine always gives the same bits. The dot product is used where it is exact. */
#define MT_RELAXED 1
#include "simd.h"
#ifdef MT_HAVE_RELAXED
#include "simd_float.c"
#include "simd_gemm.c"
#include "simd_nibble.c"
#include "simd_attend.c"
#endif
