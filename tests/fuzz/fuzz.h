/* What fuzz targets share: an input that is read from the front, failing allocations, and what must hold after every
 * input whatever it was: a status with a message, and no memory left. Built by `build.sh fuzz` with libFuzzer,
 * AddressSanitizer and UBSan. */
#ifndef MT_FUZZ_H
#define MT_FUZZ_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define DEMAND(cond, ...)                                                                                              \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #cond);                                                 \
            fprintf(stderr, __VA_ARGS__);                                                                              \
            fprintf(stderr, "\n");                                                                                     \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* The unread input. */
typedef struct input {
    const uint8_t *p;
    size_t n;
} input;
static inline uint32_t take(input *in) {
    if (!in->n) return 0;
    in->n--;
    return *in->p++;
}
static inline uint32_t take16(input *in) {
    uint32_t low = take(in);
    return low | take(in) << 8;
}
static inline input take_bytes(input *in, size_t n) {
    if (n > in->n) n = in->n;
    input out = {in->p, n};
    in->p += n;
    in->n -= n;
    return out;
}
static inline input take_line(input *in) { /* up to a line feed, which is left out */
    size_t n = 0;
    while (n < in->n && in->p[n] != '\n') n++;
    input out = take_bytes(in, n);
    take(in);
    return out;
}
static inline mt_str str(input in) {
    return (mt_str){in.p, in.n};
}

/* Every failure says what went wrong. Returns whether the call succeeded. */
static inline bool ok(mt_status status, const mt_error *err) {
    if (status == MT_OK) return true;
    DEMAND(err->text[0] && memchr(err->text, 0, sizeof err->text), "%s without a message", mt_status_name(status));
    DEMAND(mt_utf8_valid((const uint8_t *)err->text, strlen(err->text)), "a message that is no UTF-8: %s", err->text);
    return false;
}

/* Blocks that live longer than one input. */
static size_t lasting;
static inline void begin_input(void) {
    lasting = mt_live_allocations();
}
static inline void end_input(void) {
    mt_fail_allocation_after(-1);
    DEMAND(mt_live_allocations() == lasting, "%zu blocks before, %zu after", lasting, mt_live_allocations());
}

/* A whole file, from the root of the repository; the program ends where there is none. The caller frees. */
static inline uint8_t *file_of(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    DEMAND(f && fseek(f, 0, SEEK_END) == 0, "%s", path);
    *n = (size_t)ftell(f);
    rewind(f);
    uint8_t *p = malloc(*n + 1);
    DEMAND(p && fread(p, 1, *n, f) == *n, "%s", path);
    fclose(f);
    return p;
}

#endif
