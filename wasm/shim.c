/* What the sysroot's libc asks of its host: with it libc needs nothing from JavaScript. */
#ifdef __wasm__
#include <stddef.h>

/* libc calls it for copies over 512 bytes; with bulk memory this is one instruction. */
void *emscripten_memcpy_big(void *to, const void *from, size_t n) {
    return __builtin_memcpy(to, from, n);
}

int emscripten_resize_heap(size_t bytes) {
    const size_t page = 65536;
    size_t have = __builtin_wasm_memory_size(0) * page;
    if (bytes <= have) return 1;
    size_t pages = (bytes - have + page - 1) / page;
    /* Some more when the host allows it, so that growing step by step stays cheap: an eighth, 4 MiB at most. */
    size_t more = have / page / 8 < 64 ? have / page / 8 : 64;
    if (__builtin_wasm_memory_grow(0, pages + more) != (size_t)-1) return 1;
    return __builtin_wasm_memory_grow(0, pages) != (size_t)-1;
}

/* Tokenizers alone are linked with --wrap=vsnprintf: no message of theirs has a floating-point number, whose formats
 * are large. libc's vsniprintf is the one for whole numbers. */
#include <stdarg.h>
int vsniprintf(char *to, size_t size, const char *format, va_list args);
int __wrap_vsnprintf(char *to, size_t size, const char *format, va_list args);
int __wrap_vsnprintf(char *to, size_t size, const char *format, va_list args) {
    return vsniprintf(to, size, format, args);
}
#endif
