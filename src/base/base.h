/* base: what every other folder stands on. No I/O, no globals.
 *
 *   status     mt_status, mt_error, mt_fail       every fallible call; the message is written where most is known
 *   memory     mt_malloc..., mt_arena, mt_buf     checked sizes, fault injection in tests
 *   bytes      mt_utf8_*, mt_str                  text is UTF-8 bytes, valid or not
 *   containers mt_map (bytes -> int32), mt_map64 (uint64 -> int32)
 *   numbers    mt_half_*, mt_rng, mt_mix64
 *   json       json.h (a pull parser with exact error places)
 */
#ifndef MT_BASE_H
#define MT_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* ---- status ------------------------------------------------------------------------------------------------ */

/* The numbers are part of the ABI: JavaScript reads the names from mt_status_name. Append only. */
typedef enum mt_status {
    MT_OK = 0,
    MT_ENOMEM,   /* allocation failed */
    MT_EFORMAT,  /* the bytes are not what the format says */
    MT_EUNKNOWN, /* a type, architecture, option or pattern that we do not know; the message lists what we do */
    MT_ERANGE,   /* an argument or field outside its range */
    MT_ELIMIT,   /* a resource limit: context full, too many nodes... */
    MT_ESTATE,   /* called in the wrong order, or on a handle that has been freed */
    MT_EMISSING, /* a required field, tensor or token is absent */
    MT_EABORTED, /* the caller asked to stop */
    MT_STATUS_COUNT
} mt_status;

/* Filled by mt_fail. `where` is a byte offset into the input, or MT_NOWHERE. */
#define MT_NOWHERE UINT64_MAX
typedef struct mt_error {
    mt_status code;
    uint64_t where;
    char text[504];
} mt_error;

const char *mt_status_name(mt_status s); /* "EFORMAT"... */
/* Writes the message and returns `code`, so that callers can `return mt_fail(...)`. err may be NULL. */
mt_status mt_fail(mt_error *err, mt_status code, const char *format, ...) __attribute__((format(printf, 3, 4)));
mt_status mt_fail_at(mt_error *err, mt_status code, uint64_t where, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Puts "prefix: " before the message that is already there; returns err->code. */
mt_status mt_fail_in(mt_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
mt_status mt_nomem(mt_error *err, size_t bytes, const char *what); /* "out of memory: N bytes for WHAT" */

#define MT_TRY(call)                                                                                                   \
    do {                                                                                                               \
        mt_status mt_try_ = (call);                                                                                    \
        if (mt_try_ != MT_OK) return mt_try_;                                                                          \
    } while (0)
/* The same with a clean-up label. Needs a local `mt_status status`. */
#define MT_TRY_GOTO(call, label)                                                                                       \
    do {                                                                                                               \
        status = (call);                                                                                               \
        if (status != MT_OK) goto label;                                                                               \
    } while (0)

/* ---- checked sizes ------------------------------------------------------------------------------------------- */

static inline bool mt_mul_size(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool mt_add_size(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}
static inline bool mt_mul_u64(uint64_t a, uint64_t b, uint64_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool mt_add_u64(uint64_t a, uint64_t b, uint64_t *out) {
    return !__builtin_add_overflow(a, b, out);
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

/* All of the core allocates here. Not thread-safe: allocate from the thread that owns the handle. */
void *mt_malloc(size_t size); /* size 0 gives a valid pointer */
/* So much more is going to be allocated: a WASM memory grows once instead of step by step, each of which is a system
 * call. Where that cannot be had nothing happens. */
void mt_reserve(size_t bytes);
void *mt_calloc(size_t count, size_t size);
void *mt_realloc(void *p, size_t size);
void mt_free(void *p);
void *mt_alloc_aligned(size_t size, size_t align); /* align: power of two >= 16; free with mt_free_aligned */
void mt_free_aligned(void *p);
/* count*size with overflow check; NULL on overflow or exhaustion. */
void *mt_array(size_t count, size_t size);
size_t mt_live_allocations(void); /* test builds (MT_FAULTS): number of live blocks; otherwise 0 */
void mt_fail_allocation_after(
    int64_t n); /* test builds: the n-th next allocation (0-based) and all later fail; <0: off */

/* Grows *p to hold at least `need` elements of `size` bytes, doubling. Keeps the old block on failure. */
mt_status mt_grow(void **p, size_t *capacity, size_t need, size_t size, mt_error *err);

/* Arena: many small blocks with one lifetime. Blocks are 16-byte aligned and not zeroed. */
typedef struct mt_arena_block mt_arena_block;
typedef struct mt_arena {
    mt_arena_block *head;
    size_t used;  /* bytes handed out in head */
    size_t total; /* bytes reserved by all blocks */
} mt_arena;
void *mt_arena_alloc(mt_arena *a, size_t size); /* NULL when out of memory */
void *mt_arena_copy(mt_arena *a, const void *p, size_t size);
void mt_arena_free(mt_arena *a);

/* Growable bytes. Zero-initialise. */
typedef struct mt_buf {
    uint8_t *data;
    size_t len, cap;
} mt_buf;
mt_status mt_buf_reserve(mt_buf *b, size_t extra, mt_error *err);
mt_status mt_buf_add(mt_buf *b, const void *p, size_t n, mt_error *err);
mt_status mt_buf_byte(mt_buf *b, uint8_t c, mt_error *err);
mt_status mt_buf_printf(mt_buf *b, mt_error *err, const char *format, ...) __attribute__((format(printf, 3, 4)));
void mt_buf_free(mt_buf *b);

/* Growable int32 list. Zero-initialise. */
typedef struct mt_ids {
    int32_t *data;
    size_t len, cap;
} mt_ids;
mt_status mt_ids_reserve(mt_ids *v, size_t extra, mt_error *err);
mt_status mt_ids_add(mt_ids *v, int32_t id, mt_error *err);
void mt_ids_free(mt_ids *v);

/* A borrowed byte string. */
typedef struct mt_str {
    const uint8_t *p;
    size_t n;
} mt_str;
static inline mt_str mt_str_of(const char *s) {
    return (mt_str){(const uint8_t *)s, strlen(s)};
}
static inline bool mt_str_eq(mt_str a, mt_str b) {
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}
static inline bool mt_str_is(mt_str a, const char *s) {
    return mt_str_eq(a, mt_str_of(s));
}
/* Copies at most cap-1 bytes, replacing what is not printable ASCII or valid UTF-8, for use in messages. */
const char *mt_str_show(mt_str s, char *out, size_t cap);

/* ---- UTF-8 -------------------------------------------------------------------------------------------------- */

/* Decodes the code point at p[0..n), n >= 1. Returns its length 1..4, or 0 when p does not start a valid sequence
 * (overlong, surrogate, above U+10FFFF, truncated, stray continuation byte); *cp is then the byte itself. */
int mt_utf8_decode(const uint8_t *p, size_t n, uint32_t *cp);
int mt_utf8_encode(uint32_t cp, uint8_t out[4]); /* returns 1..4; surrogates and > U+10FFFF encode U+FFFD */
bool mt_utf8_valid(const uint8_t *p, size_t n);
/* Length that the first byte announces: 1..4, or 0 for a continuation or impossible byte. */
static inline int mt_utf8_length(uint8_t b) {
    return b < 0x80 ? 1 : b < 0xC2 ? 0 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : b < 0xF5 ? 4 : 0;
}
/* Number of trailing bytes of p[0..n) that are an unfinished but so far valid character: 0..3. */
size_t mt_utf8_unfinished(const uint8_t *p, size_t n);

/* ---- hash maps ---------------------------------------------------------------------------------------------- */

uint64_t mt_hash_bytes(const void *p, size_t n); /* the same always and everywhere */
/* For tables whose keys come from files and texts: it depends on two secret numbers, without which no keys can be found
 * that fall together. Nothing that a table is asked may depend on them, and nothing made of them is kept in files. The
 * host says them once, before the first table is made (random ones; otherwise they are constants). */
uint64_t mt_hash_key(const void *p, size_t n);
extern uint64_t mt_map_secret[2]; /* odd */
void mt_map_keep_secret(uint64_t a, uint64_t b);
static inline uint64_t mt_mix64(uint64_t z) { /* splitmix64's step (Steele, Lea & Flood 2014) */
    z += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Bytes -> int32. Keys are borrowed: they must outlive the map. Zero-initialise. */
typedef struct mt_map_slot {
    const uint8_t *key;
    uint32_t n;
    uint32_t tag;
    int32_t value;
} mt_map_slot;
typedef struct mt_map {
    mt_map_slot *slots;
    size_t mask, count;
} mt_map;
mt_status mt_map_reserve(mt_map *m, size_t count, mt_error *err);
mt_status mt_map_set(mt_map *m, mt_str key, int32_t value, mt_error *err); /* replaces */
bool mt_map_get(const mt_map *m, mt_str key, int32_t *value);
void mt_map_free(mt_map *m);

/* uint64 -> int32; the key UINT64_MAX is not allowed. Zero-initialise. */
typedef struct mt_map64 {
    uint64_t *keys;
    int32_t *values;
    size_t mask, count;
} mt_map64;
mt_status mt_map64_reserve(mt_map64 *m, size_t count, mt_error *err);
mt_status mt_map64_set(mt_map64 *m, uint64_t key, int32_t value, mt_error *err);
bool mt_map64_get(const mt_map64 *m, uint64_t key, int32_t *value);
void mt_map64_free(mt_map64 *m);

/* ---- numbers ------------------------------------------------------------------------------------------------ */

float mt_half_to_float(uint16_t h);
uint16_t mt_float_to_half(float f); /* round to nearest even */
static inline float mt_bf16_to_float(uint16_t h) {
    union {
        uint32_t u;
        float f;
    } v = {(uint32_t)h << 16};
    return v.f;
}
uint16_t mt_float_to_bf16(float f); /* round to nearest even, NaN stays NaN */

/* xoshiro256** (Blackman & Vigna 2018), seeded through splitmix64. */
typedef struct mt_rng {
    uint64_t s[4];
} mt_rng;
void mt_rng_seed(mt_rng *r, uint64_t seed);
uint64_t mt_rng_next(mt_rng *r);
uint64_t mt_rng_below(mt_rng *r, uint64_t n); /* uniform in [0, n), n >= 1, no bias */
double mt_rng_double(mt_rng *r);              /* [0, 1), 53 bits */
double mt_rng_normal(mt_rng *r);              /* Box-Muller */

/* The double nearest to a decimal number as JSON writes them (ties to even), infinite beyond the range. */
double mt_decimal(const uint8_t *p, size_t n);

/* Little-endian reads of unaligned bytes. */
static inline uint16_t mt_le16(const void *p) {
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}
static inline uint32_t mt_le32(const void *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}
static inline uint64_t mt_le64(const void *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

#endif
