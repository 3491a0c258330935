/* The JSON pull parser. Every function first looks at j->status: after an error nothing moves any more, objects and
 * arrays appear to end, and the first error stays. See json.h for the calling pattern. */
#include "json.h"

#include <stdarg.h>
#include <stdio.h>

void mt_json_open(mt_json *j, const uint8_t *p, size_t n, mt_error *err) {
    memset(j, 0, sizeof *j);
    j->begin = j->p = p;
    j->end = p + n;
    j->err = err;
    if (n >= 3 && p[0] == 0xEF && p[1] == 0xBB && p[2] == 0xBF) j->p += 3; /* a byte-order mark is tolerated */
}

size_t mt_json_where(const mt_json *j) {
    return (size_t)(j->p - j->begin);
}

mt_status mt_json_fail(mt_json *j, mt_status code, const char *format, ...) {
    if (j->status != MT_OK) return j->status;
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    j->status = code;
    return mt_fail_at(j->err, code, mt_json_where(j), "%s", text);
}

static mt_status no_memory(mt_json *j, size_t bytes) {
    j->status = MT_ENOMEM;
    return mt_nomem(j->err, bytes, "a JSON string");
}

static void skip_space(mt_json *j) {
    const uint8_t *p = j->p, *end = j->end;
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
        for (p++; end - p >= 8 && mt_le64(p) == UINT64_C(0x2020202020202020); p += 8); /* indented files */
    j->p = p;
}

static const char *found(mt_json *j) {
    switch (mt_json_peek(j)) {
    case MT_JSON_NULL:
        return "null";
    case MT_JSON_BOOL:
        return "a boolean";
    case MT_JSON_NUMBER:
        return "a number";
    case MT_JSON_STRING:
        return "a string";
    case MT_JSON_ARRAY:
        return "an array";
    case MT_JSON_OBJECT:
        return "an object";
    case MT_JSON_ERROR:
        break;
    }
    return j->p < j->end ? "no JSON value" : "the end of the file";
}

mt_json_kind mt_json_peek(mt_json *j) {
    if (j->status != MT_OK) return MT_JSON_ERROR;
    skip_space(j);
    if (j->p == j->end) return MT_JSON_ERROR;
    switch (*j->p) {
    case '{':
        return MT_JSON_OBJECT;
    case '[':
        return MT_JSON_ARRAY;
    case '"':
        return MT_JSON_STRING;
    case 't':
    case 'f':
        return MT_JSON_BOOL;
    case 'n':
        return MT_JSON_NULL;
    case '-':
        return MT_JSON_NUMBER;
    default:
        return *j->p >= '0' && *j->p <= '9' ? MT_JSON_NUMBER : MT_JSON_ERROR;
    }
}

static mt_status enter(mt_json *j, bool object) {
    if (j->status != MT_OK) return j->status;
    if (mt_json_peek(j) != (object ? MT_JSON_OBJECT : MT_JSON_ARRAY))
        return mt_json_fail(j, MT_EFORMAT, "JSON: expected an %s, found %s", object ? "object" : "array", found(j));
    if (j->depth == MT_JSON_DEPTH)
        return mt_json_fail(j, MT_ELIMIT, "JSON: nested deeper than %d levels", MT_JSON_DEPTH);
    j->first[j->depth] = true;
    j->is_object[j->depth] = object;
    j->depth++;
    j->p++;
    return MT_OK;
}

mt_status mt_json_object(mt_json *j) {
    return enter(j, true);
}
mt_status mt_json_array(mt_json *j) {
    return enter(j, false);
}

/* Moves to the next member of the innermost container; false at its end and on errors. */
static bool advance(mt_json *j, bool object) {
    if (j->status != MT_OK) return false;
    if (!j->depth || j->is_object[j->depth - 1] != object) {
        mt_json_fail(j, MT_ESTATE, "JSON: not inside an %s", object ? "object" : "array");
        return false;
    }
    skip_space(j);
    uint8_t close = object ? '}' : ']';
    bool *first = &j->first[j->depth - 1];
    if (j->p < j->end && *j->p == close) {
        j->p++;
        j->depth--;
        return false;
    }
    if (!*first) {
        if (j->p == j->end || *j->p != ',') {
            mt_json_fail(j, MT_EFORMAT, "JSON: expected ',' or '%c', found %s", close, found(j));
            return false;
        }
        j->p++;
        skip_space(j);
    }
    *first = false;
    return true;
}

bool mt_json_key(mt_json *j, mt_str *key) {
    *key = (mt_str){(const uint8_t *)"", 0};
    if (!advance(j, true)) return false;
    *key = mt_json_string(j);
    skip_space(j);
    if (j->status == MT_OK && (j->p == j->end || *j->p != ':'))
        mt_json_fail(j, MT_EFORMAT, "JSON: expected ':' after a key");
    if (j->status != MT_OK) return false;
    j->p++;
    return true;
}

bool mt_json_next(mt_json *j) {
    return advance(j, false);
}

/* First byte at or after p that ends a plain run: a quote, a backslash or a control character. */
static const uint8_t *plain_end(const uint8_t *p, const uint8_t *end) {
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    while (end - p >= 8) {
        uint64_t w = mt_le64(p), quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
        uint64_t hit = (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((w - ones * 0x20) & ~w)) & high;
        if (hit) return p + (__builtin_ctzll(hit) >> 3);
        p += 8;
    }
    while (p < end && *p != '"' && *p != '\\' && *p >= 0x20) p++;
    return p;
}

static int hex4(const uint8_t *p) {
    int v = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = p[i];
        int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (d < 0) return -1;
        v = v << 4 | d;
    }
    return v;
}

static mt_str escaped_string(mt_json *j, const uint8_t *start, const uint8_t *p) {
    const mt_str none = {(const uint8_t *)"", 0};
    /* Find the end first: the unescaped text is never longer than its source. */
    const uint8_t *q = p;
    while (q < j->end && *q != '"') {
        if (*q == '\\') q++;
        if (q < j->end) q++;
    }
    size_t most = (size_t)(q - start);
    uint8_t *out = mt_arena_alloc(&j->arena, most), *o = out;
    if (!out) {
        no_memory(j, most);
        return none;
    }
    p = start;
    for (;;) {
        const uint8_t *run = plain_end(p, j->end);
        memcpy(o, p, (size_t)(run - p));
        o += run - p;
        p = run;
        j->p = p;
        if (p == j->end) {
            mt_json_fail(j, MT_EFORMAT, "JSON: a string does not end");
            return none;
        }
        if (*p == '"') break;
        if (*p < 0x20) {
            mt_json_fail(j, MT_EFORMAT, "JSON: control character 0x%02x in a string", *p);
            return none;
        }
        if (j->end - p < 2) {
            mt_json_fail(j, MT_EFORMAT, "JSON: a string does not end");
            return none;
        }
        uint8_t c = p[1];
        p += 2;
        switch (c) {
        case '"':
        case '\\':
        case '/':
            *o++ = c;
            break;
        case 'b':
            *o++ = '\b';
            break;
        case 'f':
            *o++ = '\f';
            break;
        case 'n':
            *o++ = '\n';
            break;
        case 'r':
            *o++ = '\r';
            break;
        case 't':
            *o++ = '\t';
            break;
        case 'u': {
            int u = j->end - p >= 4 ? hex4(p) : -1;
            if (u < 0) {
                mt_json_fail(j, MT_EFORMAT, "JSON: \\u needs four hexadecimal digits");
                return none;
            }
            p += 4;
            uint32_t cp = (uint32_t)u;
            if (cp >= 0xD800 && cp < 0xDC00 && j->end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
                int low = hex4(p + 2);
                if (low >= 0xDC00 && low < 0xE000) {
                    cp = 0x10000 + ((cp - 0xD800) << 10) + ((uint32_t)low - 0xDC00);
                    p += 6;
                }
            }
            uint8_t b[4];
            int n = mt_utf8_encode(cp, b); /* what is still a surrogate becomes U+FFFD */
            memcpy(o, b, (size_t)n);
            o += n;
            break;
        }
        default:
            mt_json_fail(j, MT_EFORMAT, "JSON: unknown escape \\%c", c >= 0x20 && c < 0x7F ? c : '?');
            return none;
        }
    }
    j->p = p + 1;
    return (mt_str){out, (size_t)(o - out)};
}

mt_str mt_json_string(mt_json *j) {
    const mt_str none = {(const uint8_t *)"", 0};
    if (j->status != MT_OK) return none;
    if (mt_json_peek(j) != MT_JSON_STRING) {
        mt_json_fail(j, MT_EFORMAT, "JSON: expected a string, found %s", found(j));
        return none;
    }
    const uint8_t *start = j->p + 1, *p = plain_end(start, j->end);
    if (p == j->end) {
        mt_json_fail(j, MT_EFORMAT, "JSON: a string does not end");
        return none;
    }
    if (*p == '"') {
        j->p = p + 1;
        return (mt_str){start, (size_t)(p - start)};
    }
    return escaped_string(j, start, p);
}

/* The extent of a number at j->p by the grammar of RFC 8259 section 6, or NULL after an error. */
static const uint8_t *number_end(mt_json *j, bool *integer) {
    const uint8_t *p = j->p, *end = j->end;
    *integer = true;
    if (p < end && *p == '-') p++;
    const uint8_t *digits = p;
    while (p < end && *p >= '0' && *p <= '9') p++;
    bool bad = p == digits || (*digits == '0' && p - digits > 1);
    if (p < end && *p == '.') {
        *integer = false;
        digits = ++p;
        while (p < end && *p >= '0' && *p <= '9') p++;
        bad |= p == digits;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        *integer = false;
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        digits = p;
        while (p < end && *p >= '0' && *p <= '9') p++;
        bad |= p == digits;
    }
    if (!bad) return p;
    mt_json_fail(j, MT_EFORMAT, "JSON: malformed number");
    return NULL;
}

static bool want_number(mt_json *j) {
    if (j->status != MT_OK) return false;
    if (mt_json_peek(j) == MT_JSON_NUMBER) return true;
    mt_json_fail(j, MT_EFORMAT, "JSON: expected a number, found %s", found(j));
    return false;
}

mt_str mt_json_number_text(mt_json *j) {
    bool integer;
    const uint8_t *p = NULL, *end = want_number(j) ? (p = j->p, number_end(j, &integer)) : NULL;
    if (!end) return (mt_str){(const uint8_t *)"", 0};
    j->p = end;
    return (mt_str){p, (size_t)(end - p)};
}

double mt_json_number(mt_json *j) {
    bool integer;
    if (!want_number(j)) return 0;
    const uint8_t *p = j->p, *end = number_end(j, &integer);
    if (!end) return 0;
    j->p = end;
    /* Few digits and a small exponent: both are exact doubles, so one operation rounds correctly (Clinger 1990). */
    static const double ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    uint64_t m = 0;
    int exponent = 0, digits = 0;
    const uint8_t *q = p;
    bool minus = *q == '-';
    if (minus) q++;
    for (bool point = false; q < end && (*q | 32) != 'e'; q++) {
        if (*q == '.') {
            point = true;
            continue;
        }
        if (digits < 19) {
            m = m * 10 + (uint64_t)(*q - '0');
            if (m) digits++;
            if (point) exponent--;
        } else {
            digits = 99;
            break;
        }
    }
    if (digits <= 19 && m <= (UINT64_C(1) << 53) && q == end && exponent >= -22) {
        double v = (double)m / ten[-exponent];
        return minus ? -v : v;
    }
    return mt_decimal(p, (size_t)(end - p));
}

int64_t mt_json_int(mt_json *j) {
    bool integer;
    if (!want_number(j)) return 0;
    const uint8_t *p = j->p, *end = number_end(j, &integer);
    if (!end) return 0;
    bool minus = *p == '-', fits = integer;
    int64_t v = 0;
    for (const uint8_t *q = p + minus; fits && q < end; q++) {
        int64_t d = *q - '0';
        fits = !__builtin_mul_overflow(v, (int64_t)10, &v) && !__builtin_add_overflow(v, minus ? -d : d, &v);
    }
    if (!fits) {
        mt_json_fail(j, integer ? MT_ERANGE : MT_EFORMAT, "JSON: expected an integer, found %.*s",
                     (int)(end - p < 40 ? end - p : 40), (const char *)p);
        return 0;
    }
    j->p = end;
    return v;
}

static bool word(mt_json *j, const char *text) {
    size_t n = strlen(text);
    if ((size_t)(j->end - j->p) < n || memcmp(j->p, text, n) != 0) return false;
    j->p += n;
    return true;
}

bool mt_json_bool(mt_json *j) {
    if (j->status != MT_OK) return false;
    skip_space(j);
    if (word(j, "true")) return true;
    if (word(j, "false")) return false;
    mt_json_fail(j, MT_EFORMAT, "JSON: expected true or false, found %s", found(j));
    return false;
}

bool mt_json_null(mt_json *j) {
    if (j->status != MT_OK) return false;
    skip_space(j);
    return word(j, "null");
}

mt_status mt_json_skip(mt_json *j) {
    mt_str key;
    bool integer;
    uint32_t base = j->depth;
    /* Iterative: opening a container goes one level down, ending one goes up until we are back where we began. */
    for (;;) {
        switch (mt_json_peek(j)) {
        case MT_JSON_NULL:
            if (!word(j, "null")) mt_json_fail(j, MT_EFORMAT, "JSON: expected null");
            break;
        case MT_JSON_BOOL:
            mt_json_bool(j);
            break;
        case MT_JSON_NUMBER: {
            const uint8_t *end = number_end(j, &integer);
            if (end) j->p = end;
            break;
        }
        case MT_JSON_STRING:
            mt_json_string(j);
            break;
        case MT_JSON_ARRAY:
            mt_json_array(j);
            break;
        case MT_JSON_OBJECT:
            mt_json_object(j);
            break;
        case MT_JSON_ERROR:
            mt_json_fail(j, MT_EFORMAT, "JSON: expected a value, found %s", found(j));
            break;
        }
        while (j->status == MT_OK && j->depth > base &&
               !(j->is_object[j->depth - 1] ? mt_json_key(j, &key) : mt_json_next(j)));
        if (j->status != MT_OK || j->depth == base) return j->status;
    }
}

mt_status mt_json_close(mt_json *j) {
    if (j->status == MT_OK && j->depth) mt_json_fail(j, MT_ESTATE, "JSON: closed inside a container");
    if (j->status == MT_OK) {
        skip_space(j);
        if (j->p != j->end) mt_json_fail(j, MT_EFORMAT, "JSON: something follows the value");
    }
    mt_arena_free(&j->arena);
    return j->status;
}
