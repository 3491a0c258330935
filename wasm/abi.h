/* The flat C ABI that JavaScript calls: integers, doubles and pointers; no struct crosses by value.
 *
 *   abi_base.c    memory, the error slot, random numbers, the GGUF container
 *   abi_tensor.c  choice of kernels, threads                 abi_model.c  loader, sessions, traces, patches
 *   abi_token.c   tokenizers                                 abi_choose.c other segmenters
 *   abi_bias.c    byte models                                abi_export.c data types, models written
 *   abi_lattice.c segmentations of a text                    abi_huffman.c codes for words
 *   abi_language.c languages of tokens               abi_markov.c  sources whose distribution is known
 *   abi_heal.c    healing, covers
 *   abi_transfer.c embeddings for another vocabulary
 *   abi_across.c  two vocabularies, mixtures of byte models
 *   abi_marginal.c sums over all tokenizations of a text
 *   abi_binary.c  tokenizers written
 *   shim.c        what libc asks of its host
 *
 * Conventions. A fallible export returns an mt_status and writes the module's one mt_error (address: export `error`).
 * Results go through `out` pointers. Handles are pointers. File sizes and offsets are doubles (exact below 2^53;
 * negative: unknown). Structs that JavaScript reads are described by tables that C makes itself: each file has a
 * `layout_*` export that appends its part, so that no offset, size or enum value is written down in JavaScript.
 *
 * One thread at a time calls these functions (libc and malloc are not thread-safe); the exception is pool_worker. */
#ifndef MT_ABI_H
#define MT_ABI_H

#include <stddef.h>

#include "../src/base/base.h"

#define MT_EXPORT(name) __attribute__((export_name(#name), used))

extern mt_error abi_error; /* abi_base.c */

/* ---- layout tables: rows of text "struct name size" / "field name type offset count" / "enum name value" ---- */

#define ABI_TYPE(x)                                                                                                    \
    _Generic((x),                                                                                                      \
        bool: "u8",                                                                                                    \
        char: "i8",                                                                                                    \
        int8_t: "i8",                                                                                                  \
        uint8_t: "u8",                                                                                                 \
        int16_t: "i16",                                                                                                \
        uint16_t: "u16",                                                                                               \
        int32_t: "i32",                                                                                                \
        uint32_t: "u32",                                                                                               \
        unsigned long: "u32",                                                                                          \
        int64_t: "i64",                                                                                                \
        uint64_t: "u64",                                                                                               \
        float: "f32",                                                                                                  \
        double: "f64",                                                                                                 \
        default: "ptr")
typedef struct abi_row {
    const char *kind, *name, *type;
    uint32_t at, count;
} abi_row;
#define ABI_STRUCT(t)   {"struct", #t, "", sizeof(t), 0}
#define ABI_FIELD(t, f) {"field", #f, ABI_TYPE(((t *)0)->f), offsetof(t, f), 1}
#define ABI_ARRAY(t, f)                                                                                                \
    {"field", #f, ABI_TYPE(((t *)0)->f[0]), offsetof(t, f), sizeof(((t *)0)->f) / sizeof(((t *)0)->f[0])}
#define ABI_ENUM(name) {"enum", #name, "", (uint32_t)(name), 0}

/* A NUL-terminated text that the caller releases; NULL: out of memory. */
char *abi_layout(const abi_row *rows, size_t count);
#define ABI_LAYOUT(file, ...)                                                                                          \
    MT_EXPORT(layout_##file) char *abi_layout_##file(void) {                                                           \
        static const abi_row rows[] = {__VA_ARGS__};                                                                   \
        return abi_layout(rows, sizeof rows / sizeof *rows);                                                           \
    }

/* A NULL where a handle or an out pointer must be. */
#define ABI_NEED(p)                                                                                                    \
    do {                                                                                                               \
        if (!(p)) return mt_fail(&abi_error, MT_ESTATE, "%s: no %s: freed, or never made", __func__ + 4, #p);          \
    } while (0)

static inline uint64_t abi_size(double x) {
    return x < 0 || !(x < 9007199254740992.0) ? UINT64_MAX : (uint64_t)x;
}

#endif
