/* UTF-8 (RFC 3629): strict decoding, one sequence at a time. */
#include "base.h"

int mt_utf8_decode(const uint8_t *p, size_t n, uint32_t *cp) {
    uint8_t a = p[0];
    *cp = a;
    if (a < 0x80) return 1;
    int len = mt_utf8_length(a);
    if (len == 0 || (size_t)len > n) return 0;
    if ((p[1] & 0xC0) != 0x80) return 0;
    if (len == 2) {
        *cp = (uint32_t)(a & 0x1F) << 6 | (p[1] & 0x3Fu);
        return 2;
    }
    if ((p[2] & 0xC0) != 0x80) return 0;
    if (len == 3) {
        uint32_t c = (uint32_t)(a & 0x0F) << 12 | (uint32_t)(p[1] & 0x3F) << 6 | (p[2] & 0x3Fu);
        if (c < 0x800 || (c >= 0xD800 && c < 0xE000)) return 0;
        *cp = c;
        return 3;
    }
    if ((p[3] & 0xC0) != 0x80) return 0;
    uint32_t c =
        (uint32_t)(a & 0x07) << 18 | (uint32_t)(p[1] & 0x3F) << 12 | (uint32_t)(p[2] & 0x3F) << 6 | (p[3] & 0x3Fu);
    if (c < 0x10000 || c > 0x10FFFF) return 0;
    *cp = c;
    return 4;
}

int mt_utf8_encode(uint32_t cp, uint8_t out[4]) {
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000)) cp = 0xFFFD;
    if (cp < 0x80) {
        out[0] = (uint8_t)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (uint8_t)(0xC0 | cp >> 6);
        out[1] = (uint8_t)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (uint8_t)(0xE0 | cp >> 12);
        out[1] = (uint8_t)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | cp >> 18);
    out[1] = (uint8_t)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (cp & 0x3F));
    return 4;
}

bool mt_utf8_valid(const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        int len = mt_utf8_decode(p + i, n - i, &cp);
        if (!len) return false;
        i += (size_t)len;
    }
    return true;
}

size_t mt_utf8_unfinished(const uint8_t *p, size_t n) {
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        uint8_t b = p[n - back];
        if ((b & 0xC0) == 0x80) continue;
        int len = mt_utf8_length(b);
        if (len == 0 || (size_t)len <= back) return 0;
        if (back >= 2) { /* the second byte already excludes overlong forms, surrogates and > U+10FFFF */
            uint8_t c = p[n - back + 1];
            if ((b == 0xE0 && c < 0xA0) || (b == 0xED && c > 0x9F) || (b == 0xF0 && c < 0x90) ||
                (b == 0xF4 && c > 0x8F))
                return 0;
        }
        return back;
    }
    return 0;
}
