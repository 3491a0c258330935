/* Comes before everything else where the core is compiled with double for float (build.sh native): gradients are
 * checked against differences in double precision, on the sources that the package is made of. */
#ifndef MT_TEST_DOUBLE_H
#define MT_TEST_DOUBLE_H

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE__)
#include <immintrin.h>
#endif

#define float      double
#define acosf      acos
#define ceilf      ceil
#define copysignf  copysign
#define cosf       cos
#define erfcf      erfc
#define erff       erf
#define exp2f      exp2
#define expf       exp
#define expm1f     expm1
#define fabsf      fabs
#define floorf     floor
#define fmaxf      fmax
#define fminf      fmin
#define fmodf      fmod
#define log1pf     log1p
#define log2f      log2
#define logf       log
#define nearbyintf nearbyint
#define powf       pow
#define rintf      rint
#define roundf     round
#define sinf       sin
#define sqrtf      sqrt
#define tanhf      tanh
#define truncf     trunc

#endif
