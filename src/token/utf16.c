/* Spans in UTF-16 code units instead of bytes. A begin inside a character moves to the character's start, an end to its
 * end. Spans are nearly sorted, so a cursor that walks both ways does it in about one pass; where one begins before
 * the last one's end (n tokens may all stand for the same n bytes) a second cursor stays behind. Eight bytes are
 * counted at a time. Bytes that do not continue a character begin one, in text that is not UTF-8 too. */
#include "token.h"

/* Units of the characters that begin in [from, to), of which the text has `n` bytes. */
static inline uint32_t units_between(const uint8_t *p, size_t n, size_t from, size_t to) {
    uint32_t units = (uint32_t)(to - from);
    while (from < to) {
        uint64_t x = 0;
        size_t k = to - from < 8 ? to - from : 8;
        if (n - from >= 8)
            x = mt_le64(p + from) & UINT64_MAX >> (64 - 8 * k);
        else
            memcpy(&x, p + from, k);
        if (x & UINT64_C(0x8080808080808080)) {
            const uint64_t top = UINT64_C(0x8080808080808080);
            uint64_t second = x << 1, four = x & second & x << 2 & x << 3 & top; /* 1111.... */
            units += (uint32_t)__builtin_popcountll(four) - (uint32_t)__builtin_popcountll(x & ~second & top);
        }
        from += k;
    }
    return units;
}

static inline bool continues(const uint8_t *p, size_t i) {
    return i && (p[i] & 0xC0) == 0x80;
}

typedef struct cursor {
    size_t at;
    uint32_t units; /* of the characters that begin before it */
    uint32_t first; /* 1: the first byte continues a character; as the first it begins one all the same */
} cursor;

static void seek_far(cursor *c, mt_str text, size_t to) {
    if (to >= c->at)
        c->units += units_between(text.p, text.n, c->at, to) + (!c->at && to ? c->first : 0);
    else
        c->units -= units_between(text.p, text.n, to, c->at) + (!to ? c->first : 0);
    c->at = to;
}

static inline void seek(cursor *c, mt_str text, size_t to) {
    size_t k = to - c->at;
    if (!k) return;
    if (k <= 8 && text.n - c->at >= 8) { /* nearly always: forwards, and ASCII */
        uint64_t high = mt_le64(text.p + c->at) << (64 - 8 * k) & UINT64_C(0x8080808080808080);
        if (!high) {
            c->units += (uint32_t)k;
            c->at = to;
            return;
        }
    }
    seek_far(c, text, to);
}

void mt_spans_to_utf16(mt_span *span, const mt_token_type *type, size_t count, const mt_str text[2]) {
    cursor cursors[2] = {{0, 0, 0}, {0, 0, 0}}, behind[2];
    for (int i = 0; i < 2; i++) {
        cursors[i].first = text[i].n && (text[i].p[0] & 0xC0) == 0x80;
        behind[i] = cursors[i];
    }
    int which = 0; /* a token of the template stands at the end of the text before it */
    for (size_t i = 0; i < count; i++) {
        if (type && type[i].text >= 0) which = type[i].text;
        cursor *c = &cursors[which];
        const mt_str s = text[which];
        mt_span x = span[i];
        cursor *b = x.begin < c->at ? &behind[which] : c;
        seek(b, s, x.begin);
        uint32_t begin = b->units;
        if (x.begin < s.n && s.p[x.begin] >= 0x80 && continues(s.p, x.begin)) {
            size_t start = x.begin;
            while (continues(s.p, start)) start--;
            begin -= s.p[start] >= 0xF0 ? 2 : 1;
        }
        if (x.end >= c->at) b = c;
        seek(b, s, x.end);
        span[i] = (mt_span){begin, x.end == x.begin ? begin : b->units};
    }
}
