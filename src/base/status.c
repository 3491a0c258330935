/* Status codes and messages. */
#include "base.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const names[MT_STATUS_COUNT] = {"OK",     "ENOMEM", "EFORMAT",  "EUNKNOWN", "ERANGE",
                                                   "ELIMIT", "ESTATE", "EMISSING", "EABORTED"};

const char *mt_status_name(mt_status s) {
    return (unsigned)s < MT_STATUS_COUNT ? names[s] : "?";
}

static mt_status write_message(mt_error *err, mt_status code, uint64_t where, const char *format, va_list args) {
    if (!err) return code;
    err->code = code;
    err->where = where;
    vsnprintf(err->text, sizeof err->text, format, args);
    return code;
}

mt_status mt_fail(mt_error *err, mt_status code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    write_message(err, code, MT_NOWHERE, format, args);
    va_end(args);
    return code;
}

mt_status mt_fail_at(mt_error *err, mt_status code, uint64_t where, const char *format, ...) {
    va_list args;
    va_start(args, format);
    write_message(err, code, where, format, args);
    va_end(args);
    return code;
}

mt_status mt_fail_in(mt_error *err, const char *format, ...) {
    if (!err) return MT_ESTATE;
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof err->text) snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", old);
    return err->code;
}

mt_status mt_nomem(mt_error *err, size_t bytes, const char *what) {
    return mt_fail(err, MT_ENOMEM, "out of memory: %zu bytes for %s", bytes, what);
}

const char *mt_str_show(mt_str s, char *out, size_t cap) {
    size_t o = 0;
    for (size_t i = 0; i < s.n && o + 5 < cap;) {
        uint32_t cp;
        int n = mt_utf8_decode(s.p + i, s.n - i, &cp);
        if (n == 0 || cp < 0x20 || cp == 0x7F) {
            o += (size_t)snprintf(out + o, cap - o, "\\x%02x", s.p[i]);
            i++;
        } else {
            memcpy(out + o, s.p + i, (size_t)n);
            o += (size_t)n;
            i += (size_t)n;
        }
    }
    if (cap) out[o < cap ? o : cap - 1] = 0;
    return out;
}
