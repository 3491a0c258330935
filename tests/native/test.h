/* A test program prints TAP and exits 1 when something failed. CHECK goes on after a failure; CASE names what follows.
 */
#ifndef MT_TEST_H
#define MT_TEST_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

static int test_count, test_failed, case_bad;
static const char *case_name;

static inline void case_end(void) {
    if (!case_name) return;
    printf("%sok %d - %s\n", case_bad ? "not " : "", ++test_count, case_name);
    test_failed += case_bad != 0;
    case_name = NULL;
}
static inline void case_begin(const char *name) {
    case_end();
    case_name = name;
    case_bad = 0;
}
#define CASE(name) case_begin(name)
#define CHECK(cond, ...)                                                                                               \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            if (case_bad++ < 10) {                                                                                     \
                printf("# %s:%d: %s: ", __FILE__, __LINE__, #cond);                                                    \
                printf(__VA_ARGS__);                                                                                   \
                printf("\n");                                                                                          \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)
#define CHECK_OK(call)                                                                                                 \
    do {                                                                                                               \
        err.text[0] = 0;                                                                                               \
        mt_status check_ = (call);                                                                                     \
        CHECK(check_ == MT_OK, "%s: %s", mt_status_name(check_), err.text);                                            \
    } while (0)
static inline int test_end(void) {
    case_end();
    printf("1..%d\n", test_count);
    return test_failed != 0;
}

#endif
