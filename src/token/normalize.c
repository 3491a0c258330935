/* Normalizer steps. Each reads a view and, when it changes something, writes a made text with the origin of every byte.
 *
 * Origins follow the tokenizers library: a character that replaces another keeps that one's place, an inserted one
 * takes the place of the character before it, what replaces a match takes the place of the match's last character. */
#include "tok.h"

/* ---- made texts ---- */

mt_status mt_too_long(size_t from, size_t to, mt_error *err) {
    if (to <= MT_LONGER_BYTES || (to - MT_LONGER_BYTES) / MT_LONGER_TIMES <= from) return MT_OK;
    return mt_fail(err, MT_ELIMIT,
                   "the definition's steps make more than %d times %zu + %d bytes of a text of %zu bytes",
                   MT_LONGER_TIMES, from, MT_LONGER_BYTES, from);
}

mt_status mt_made_reserve(mt_made *m, size_t extra, mt_error *err) {
    size_t need, cap = m->cap ? m->cap : 64;
    if (!mt_add_size(m->len, extra, &need) || need > UINT32_MAX / 2)
        return mt_fail(err, MT_ELIMIT, "a normalized text of more than 2 GiB");
    if (m->from) MT_TRY(mt_too_long(m->from, need, err));
    if (need <= m->cap) return MT_OK;
    while (cap < need) cap *= 2;
    uint8_t *data = mt_realloc(m->data, cap);
    if (!data) return mt_nomem(err, cap, "a normalized text");
    m->data = data;
    uint32_t *origin = mt_realloc(m->origin, cap * sizeof *origin);
    if (!origin) return mt_nomem(err, cap * sizeof *origin, "a normalized text");
    m->origin = origin;
    m->cap = cap;
    return MT_OK;
}

mt_status mt_made_copy(mt_made *m, const mt_view *v, size_t from, size_t to, mt_error *err) {
    MT_TRY(mt_made_reserve(m, to - from, err));
    if (from == to) return MT_OK;
    size_t n = to - from;
    uint32_t *origin = m->origin + m->len, base = v->base + (uint32_t)from;
    memcpy(m->data + m->len, v->p + from, n);
    if (v->origin)
        memcpy(origin, v->origin + from, n * sizeof *origin);
    else
        for (size_t i = 0; i < n; i++) origin[i] = base + (uint32_t)i;
    m->len += n;
    return MT_OK;
}

mt_status mt_made_put(mt_made *m, const uint8_t *p, size_t n, uint32_t origin, mt_error *err) {
    MT_TRY(mt_made_reserve(m, n, err));
    for (size_t i = 0; i < n; i++) {
        m->data[m->len] = p[i];
        m->origin[m->len++] = origin;
    }
    return MT_OK;
}

void mt_made_free(mt_made *m) {
    mt_free(m->data);
    mt_free(m->origin);
    *m = (mt_made){0};
}

/* The character at p, an invalid byte counting as one. */
static inline int decode(const uint8_t *p, size_t n, uint32_t *cp) {
    int k = mt_utf8_decode(p, n, cp);
    if (k) return k;
    *cp = 0x110000u + *p; /* no code point: belongs to no class */
    return 1;
}

static inline mt_category category(uint32_t cp) {
    return cp > 0x10FFFF ? MT_CN : mt_unicode_category(cp);
}
static inline bool is_space(uint32_t cp) {
    return cp <= 0x10FFFF && mt_unicode_is_space(cp);
}

/* Origin of the last character of v[from, to). */
static uint32_t last_origin(const mt_view *v, size_t to) {
    if (!to) return MT_NO_ORIGIN;
    if (v->origin) return v->origin[to - 1];
    size_t i = to - 1;
    while (i && to - i < 4 && (v->p[i] & 0xC0) == 0x80) i--;
    return v->base + (uint32_t)i;
}

static bool all_ascii(const uint8_t *p, size_t n) {
    uint64_t any = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) any |= mt_le64(p + i);
    for (; i < n; i++) any |= p[i];
    return !(any & UINT64_C(0x8080808080808080));
}

/* A quick yes for NFC and NFD-free texts: only characters below U+0300 except in NFD/NFKC/NFKD, where only ASCII. */
static bool surely_normal(mt_nf form, const uint8_t *p, size_t n) {
    if (form != MT_NFC) return all_ascii(p, n);
    for (size_t i = 0; i < n; i++)
        if (p[i] >= 0xCC) {
            /* also: Cyrillic and Hebrew letters without marks, CJK ideographs, Hangul syllables are common and stable
             */
            if (p[i] >= 0xE4 && p[i] <= 0xE9) continue; /* U+4000..U+9FFF */
            return false;
        }
    return true;
}

/* By the data of Unicode 9.0, which is the tokenizers library's; the alignment is its own too. */
static mt_status normal_form(const mt_norm *s, mt_tok *t, const mt_view *v, mt_made *out, bool *changed,
                             mt_error *err) {
    if (surely_normal(s->form, v->p, v->n)) return MT_OK;
    mt_buf *text = &t->scratch;
    mt_ids origin = {0};
    mt_status status = mt_normalize((mt_nf)(MT_NFC_9 + s->form), v->p, v->n, text, &origin, err);
    *changed = status == MT_OK && (text->len != v->n || memcmp(text->data, v->p, v->n) != 0);
    if (*changed) status = mt_made_reserve(out, text->len, err);
    for (size_t i = 0; status == MT_OK && *changed && i < text->len; i++) {
        size_t from = (size_t)origin.data[i], back = from; /* to where its character begins */
        while (back && from - back < 3 && (v->p[back] & 0xC0) == 0x80) back--;
        uint32_t c;
        if (back + (size_t)decode(v->p + back, v->n - back, &c) > from) from = back;
        out->data[out->len] = text->data[i];
        out->origin[out->len++] = mt_view_origin(v, from);
    }
    mt_ids_free(&origin);
    return status;
}

static bool is_cjk(uint32_t c) {
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
           (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

/* What a per-character step makes of one character: the number of code points written, or -1: as it is. */
int mt_norm_char(mt_norm_kind kind, uint32_t c, uint32_t to[3]) {
    switch (kind) {
    case MT_NORM_LOWER: {
        if (c > 0x10FFFF) return -1;
        int n = mt_unicode_lower(c, to);
        return n == 1 && to[0] == c ? -1 : n;
    }
    case MT_NORM_DROP_MARKS: {
        mt_category k = c < 0x300 || c > 0x10FFFF ? MT_CN : mt_unicode_category_in(9, c);
        return k == MT_MN || k == MT_MC || k == MT_ME ? 0 : -1;
    }
    case MT_NORM_DROP_NONSPACING:
        return c >= 0x300 && c <= 0x10FFFF && mt_unicode_category_in(8, c) == MT_MN ? 0 : -1;
    case MT_NORM_BERT_CLEAN: {
        if (c == '\t' || c == '\n' || c == '\r') {
            to[0] = ' ';
            return 1;
        }
        if (c == 0 || c == 0xFFFD) return 0;
        mt_category k = c <= 0x10FFFF ? mt_unicode_category_in(8, c) : MT_CN;
        if (k == MT_CC || k == MT_CF || k == MT_CO || k == MT_CS) return 0;
        if (c != ' ' && is_space(c)) {
            to[0] = ' ';
            return 1;
        }
        return -1;
    }
    case MT_NORM_BERT_CJK:
        if (!is_cjk(c)) return -1;
        to[0] = to[2] = ' ';
        to[1] = c;
        return 3;
    case MT_NORM_NMT:
        if ((c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F) return 0;
        if (c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 || (c >= 0x200B && c <= 0x200F) || c == 0x2028 ||
            c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD) {
            to[0] = ' ';
            return 1;
        }
        return -1;
    case MT_NORM_BYTE_LEVEL:
    default:
        return -1;
    }
}

static mt_status per_char(const mt_norm *s, const mt_view *v, mt_made *out, bool *changed, mt_error *err) {
    size_t kept = 0, k;
    for (size_t i = 0; i < v->n; i += k) {
        uint32_t c, to[3];
        k = (size_t)decode(v->p + i, v->n - i, &c);
        int n = mt_norm_char(s->kind, c, to);
        if (n < 0) continue;
        MT_TRY(mt_made_copy(out, v, kept, i, err));
        *changed = true;
        kept = i + k;
        for (int m = 0; m < n; m++) {
            uint8_t b[4];
            MT_TRY(mt_made_put(out, b, (size_t)mt_utf8_encode(to[m], b), mt_view_origin(v, i), err));
        }
    }
    return *changed ? mt_made_copy(out, v, kept, v->n, err) : MT_OK;
}

static mt_status strip(const mt_norm *s, const mt_view *v, mt_made *out, bool *changed, mt_error *err) {
    size_t from = 0, to = v->n, k;
    uint32_t c;
    for (; s->left && from < to; from += k) {
        k = (size_t)decode(v->p + from, to - from, &c);
        if (!is_space(c)) break;
    }
    while (s->right && to > from) {
        size_t i = to - 1;
        while (i > from && to - i < 4 && (v->p[i] & 0xC0) == 0x80) i--;
        if ((size_t)decode(v->p + i, to - i, &c) != to - i || !is_space(c)) break;
        to = i;
    }
    *changed = to - from != v->n;
    return *changed ? mt_made_copy(out, v, from, to, err) : MT_OK;
}

mt_status mt_pattern_find(const mt_pattern *p, const uint8_t *text, size_t n, size_t at, bool *found, size_t *begin,
                          size_t *end, mt_error *err) {
    if (p->regex) return mt_regex_find(p->regex, text, n, at, found, begin, end, err);
    *found = false;
    size_t k = p->text.n;
    if (!k) { /* everywhere */
        *found = true;
        *begin = *end = at;
        return MT_OK;
    }
    if (k > n) return MT_OK;
    for (const uint8_t *q = text + at, *last = text + n - k; q <= last; q++) {
        q = memchr(q, p->text.p[0], (size_t)(last - q) + 1);
        if (!q) break;
        if (memcmp(q, p->text.p, k) != 0) continue;
        *found = true;
        *begin = (size_t)(q - text);
        *end = *begin + k;
        break;
    }
    return MT_OK;
}

mt_status mt_pattern_next(const mt_pattern *p, const uint8_t *text, size_t n, mt_matches *m, bool *found,
                          mt_error *err) {
    *found = false;
    while (m->at <= n) {
        MT_TRY(p->regex && m->at ? mt_regex_find_next(p->regex, text, n, m->at, found, &m->begin, &m->end, err)
                                 : mt_pattern_find(p, text, n, m->at, found, &m->begin, &m->end, err));
        if (!*found) return MT_OK;
        m->at = m->end;
        if (m->begin < m->end || m->begin != m->last) {
            m->last = m->end;
            return MT_OK;
        }
        *found = false;
        uint32_t c;
        m->at += m->end < n ? (size_t)decode(text + m->end, n - m->end, &c) : 1;
    }
    return MT_OK;
}

static mt_status replace(const mt_norm *s, const mt_view *v, mt_made *out, bool *changed, mt_error *err) {
    size_t kept = 0;
    mt_matches m = {.last = SIZE_MAX};
    bool found = v->n > 0;
    while (found) {
        MT_TRY(mt_pattern_next(&s->pattern, v->p, v->n, &m, &found, err));
        if (!found) break;
        *changed = true;
        MT_TRY(mt_made_copy(out, v, kept, m.begin, err));
        MT_TRY(mt_made_put(out, s->content.p, s->content.n, last_origin(v, m.end), err));
        kept = m.end;
    }
    return *changed ? mt_made_copy(out, v, kept, v->n, err) : MT_OK;
}

/* ---- the precompiled character map, by grapheme ---- */

/* Does a grapheme cluster continue with this character? Enough of UAX #29 for clusters of at most five bytes. */
bool mt_grapheme_extends(uint32_t c) {
    if (c < 0x300) return false;
    if (c == 0x200C || c == 0x200D || (c >= 0x1F3FB && c <= 0x1F3FF) || c == 0xFF9E || c == 0xFF9F) return true;
    mt_category k = category(c);
    return k == MT_MN || k == MT_ME || k == MT_MC;
}
bool mt_grapheme_breaks(uint32_t c) {
    mt_category k = category(c);
    return k == MT_CC || k == MT_ZL || k == MT_ZP || (k == MT_CF && c != 0x200C && c != 0x200D);
}

/* One new character with its change, in the tokenizers library's terms: 0 it replaces the next old character, -k it
 * replaces the next and k more vanish, 1 it is inserted. */
static mt_status map_put(mt_made *out, mt_ids *changes, const uint8_t *p, size_t n, int32_t change, mt_error *err) {
    MT_TRY(mt_made_put(out, p, n, MT_NO_ORIGIN, err));
    return mt_ids_add(changes, change, err);
}

static mt_status map_text(const mt_norm *s, const mt_view *v, mt_made *out, mt_ids *changes, bool *changed,
                          mt_error *err) {
    mt_str to;
    for (size_t i = 0; i < v->n;) {
        uint32_t c, d;
        size_t end = i + (size_t)decode(v->p + i, v->n - i, &c);
        if (c == '\r' && end < v->n && v->p[end] == '\n')
            end++;
        else if (!mt_grapheme_breaks(c))
            while (end < v->n) {
                size_t k = (size_t)decode(v->p + end, v->n - end, &d);
                if (!mt_grapheme_extends(d)) break;
                end += k;
            }
        bool whole = end - i < 6 && mt_charsmap_find(s->map, v->p + i, end - i, true, &to);
        for (size_t k, at = i; at < end; at += k) {
            k = whole ? end - i : (size_t)decode(v->p + at, end - at, &c);
            if (!whole && !mt_charsmap_find(s->map, v->p + at, k, true, &to)) {
                MT_TRY(map_put(out, changes, v->p + at, k, 0, err));
                continue;
            }
            *changed = true;
            int32_t old = 0, made = 0;
            for (size_t m = at; m < at + k; old++) m += (size_t)decode(v->p + m, at + k - m, &c);
            for (size_t m = 0, w; m < to.n; m += w, made++) {
                w = (size_t)decode(to.p + m, to.n - m, &c);
                MT_TRY(map_put(out, changes, to.p + m, w, made < old ? 0 : 1, err));
            }
            /* what vanishes is charged to the character before; at the very start the library forgets it */
            if (made < old && changes->len) changes->data[changes->len - 1] -= old - made;
        }
        i = end;
    }
    return MT_OK;
}

static mt_status charsmap(const mt_norm *s, const mt_view *v, mt_made *out, bool *changed, mt_error *err) {
    mt_ids changes = {0};
    mt_status status = map_text(s, v, out, &changes, changed, err);
    size_t old = 0, at = 0;
    for (size_t i = 0; status == MT_OK && *changed && i < changes.len; i++) {
        uint32_t c, from = changes.data[i] > 0 ? last_origin(v, old)
                           : old < v->n        ? mt_view_origin(v, old)
                                               : MT_NO_ORIGIN;
        size_t w = (size_t)decode(out->data + at, out->len - at, &c);
        while (w--) out->origin[at++] = from;
        for (int32_t k = changes.data[i]; k <= 0 && old < v->n; k++) old += (size_t)decode(v->p + old, v->n - old, &c);
    }
    mt_ids_free(&changes);
    return status;
}

/* ---- the byte alphabet ---- */

static bool printable(int b) {
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
}

int mt_byte_to_char(uint8_t b, uint8_t out[2]) {
    uint32_t cp = b;
    if (!printable(b)) { /* the others follow from 256 on, in order */
        static const uint8_t gap[] = {0, 127, 173};
        cp = b <= 32 ? 256u + b : b <= 160 ? 256u + 33 + (uint32_t)(b - gap[1]) : 256u + 67;
    }
    uint8_t four[4];
    int n = mt_utf8_encode(cp, four);
    memcpy(out, four, 2);
    return n;
}

int mt_char_to_byte(uint32_t cp) {
    if (cp < 256) return printable((int)cp) ? (int)cp : -1;
    if (cp <= 256 + 32) return (int)cp - 256;
    if (cp <= 256 + 66) return (int)cp - (256 + 33) + 127;
    return cp == 256 + 67 ? 173 : -1;
}

static mt_status byte_level(const mt_view *v, mt_made *out, mt_error *err) {
    MT_TRY(mt_made_reserve(out, 2 * v->n, err));
    for (size_t i = 0; i < v->n; i++) {
        uint8_t b[2];
        uint32_t from = mt_view_origin(v, i);
        if (!v->origin) /* every byte of a character has the whole character's place */
            for (size_t k = i; k && i - k < 3 && (v->p[k] & 0xC0) == 0x80; k--) from--;
        MT_TRY(mt_made_put(out, b, (size_t)mt_byte_to_char(v->p[i], b), from, err));
    }
    return MT_OK;
}

/* ---- SentencePiece's normalizer ---- */

/* The next stretch of the text as its normalizer sees it: a user-defined piece as it is, the longest entry of the map,
 * or one character. */
static size_t spm_prefix(mt_tok *t, const mt_norm *s, const uint8_t *p, size_t n, mt_str *to) {
    uint32_t c;
    size_t used;
    if (!s->plain && t->user_set.any && mt_trie_longest(&t->user_set.trie, p, n, &used) >= 0) {
        *to = (mt_str){p, used};
        return used;
    }
    used = s->map ? mt_charsmap_find(s->map, p, n, false, to) : 0;
    if (used) return used;
    used = (size_t)mt_utf8_decode(p, n, &c);
    *to = used ? (mt_str){p, used} : (mt_str){(const uint8_t *)"\xEF\xBF\xBD", 3};
    return used ? used : 1;
}

/* Map, drop leading and repeated spaces, prefix (or suffix) a space. Spaces stay spaces and marks become spaces: see
 * tok.h. One origin more than bytes is written: where the text that was consumed ends. */
static mt_status spm(mt_tok *t, const mt_norm *s, const mt_view *v, mt_made *out, bool *changed, mt_error *err) {
    static const uint8_t blank = ' ';
    size_t i = 0, used;
    mt_str to, mark = s->plain ? mt_str_of("") : t->mark;
    *changed = true;
    while (s->squeeze && i < v->n) {
        used = spm_prefix(t, s, v->p + i, v->n - i, &to);
        if (!mt_str_is(to, " ")) break;
        i += used;
    }
    bool some = i < v->n; /* more than spaces */
    if (some) {
        bool space_before = s->squeeze;
        uint32_t from = mt_view_origin(v, i);
        if (s->prefix && !s->suffix_mark) MT_TRY(mt_made_put(out, &blank, 1, from, err));
        for (; i < v->n; i += used) {
            used = spm_prefix(t, s, v->p + i, v->n - i, &to);
            while (space_before && to.n && to.p[0] == ' ') to.p++, to.n--;
            if (to.n) {
                MT_TRY(mt_made_put(out, to.p, to.n, mt_view_origin(v, i), err));
                space_before = to.p[to.n - 1] == ' ';
            }
            if (!s->squeeze) space_before = false;
        }
    }
    uint32_t consumed = v->n ? (i < v->n ? mt_view_origin(v, i) : mt_view_origin(v, v->n - 1) + 1) : v->base;
    while (s->squeeze && out->len) {
        size_t tail = out->data[out->len - 1] == ' ' ? 1 : 0;
        if (!tail && mark.n && out->len >= mark.n && memcmp(out->data + out->len - mark.n, mark.p, mark.n) == 0)
            tail = mark.n;
        if (!tail) break;
        out->len -= tail;
        consumed = out->origin[out->len];
    }
    if (s->prefix && s->suffix_mark && some) MT_TRY(mt_made_put(out, &blank, 1, consumed, err));
    if (mark.n) { /* marks in place */
        size_t n = 0;
        for (size_t k = 0; k < out->len; n++) {
            bool is_mark =
                out->data[k] == mark.p[0] && out->len - k >= mark.n && !memcmp(out->data + k, mark.p, mark.n);
            out->data[n] = is_mark ? ' ' : out->data[k];
            out->origin[n] = out->origin[k];
            k += is_mark ? mark.n : 1;
        }
        out->len = n;
    }
    MT_TRY(mt_made_reserve(out, 1, err));
    out->origin[out->len] = consumed;
    return MT_OK;
}

/* ---- running them ---- */

static mt_status run(mt_tok *t, const mt_norm *s, const mt_view *v, mt_made *out, bool *changed, mt_error *err) {
    switch (s->kind) {
    case MT_NORM_FORM:
        return normal_form(s, t, v, out, changed, err);
    case MT_NORM_STRIP:
        return strip(s, v, out, changed, err);
    case MT_NORM_PREPEND: {
        if (!v->n) return MT_OK;
        *changed = true;
        MT_TRY(mt_made_put(out, s->content.p, s->content.n, mt_view_origin(v, 0), err));
        MT_TRY(mt_made_copy(out, v, 0, v->n, err));
        uint32_t c; /* nothing put before: the library loses the first character's place */
        if (!s->content.n)
            for (int k = decode(v->p, v->n, &c); k > 0; k--) out->origin[k - 1] = MT_NO_ORIGIN;
        return MT_OK;
    }
    case MT_NORM_REPLACE:
    case MT_NORM_UNMARK:
        return replace(s, v, out, changed, err);
    case MT_NORM_CHARSMAP:
        return charsmap(s, v, out, changed, err);
    case MT_NORM_SPM:
        return spm(t, s, v, out, changed, err);
    case MT_NORM_BYTE_LEVEL:
        *changed = true;
        return byte_level(v, out, err);
    default:
        return per_char(s, v, out, changed, err);
    }
}

mt_status mt_normalize_view(mt_tok *t, mt_view in, mt_view *out, mt_error *err) {
    int side = 0;
    t->work[0].from = t->work[1].from = in.n;
    for (size_t i = 0; i < t->norm_len; i++) {
        mt_made *made = &t->work[side];
        bool changed = false;
        size_t steps = 0;
        if (t->norm[i].chars) MT_TRY(mt_char_map_run(t, t->norm[i].chars, &in, made, &steps, err));
        if (steps) { /* several at once */
            i += steps - 1;
            if (made->len == in.n && memcmp(made->data, in.p, in.n) == 0) continue;
            in = mt_made_view(made);
            if (!t->track) in.origin = NULL;
            side ^= 1;
            continue;
        }
        made->len = 0;
        MT_TRY(mt_made_reserve(made, in.n + 16, err));
        MT_TRY(run(t, &t->norm[i], &in, made, &changed, err));
        if (!changed) continue;
        in = mt_made_view(made);
        side ^= 1;
    }
    *out = in;
    return MT_OK;
}

mt_status mt_denormalize(mt_tok *t, mt_view in, mt_made *out, mt_error *err) {
    bool changed;
    out->len = 0;
    return spm(t, t->denormalize, &in, out, &changed, err);
}
