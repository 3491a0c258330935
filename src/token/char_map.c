/* Normalizer steps that look at one character at a time, run together through a table from characters to what becomes
 * of them: cleaning, lower case, accents off and their like, and the precompiled character map.
 *
 * Decomposition (NFD, NFKD) joins in, although it also puts marks in order: where every mark that could change its
 * place is taken away by a later step, the order does not matter. The character map works on grapheme clusters: a
 * character that joins the cluster before it makes us look at the whole cluster. Where all this does not hold, and at
 * bytes that are not UTF-8, the text goes through the steps one after the other.
 *
 * An entry holds the text in bytes 0..6, and its length and properties in byte 7. Text is copied by storing all eight
 * bytes of the entry. */
#include "tok.h"

enum {
    KNOWN = 0x10,   /* worked out */
    EXTENDS = 0x20, /* joins the cluster before it */
    BREAKS = 0x40,  /* nothing joins it */
    LONG = 0x80,    /* longer than 7 bytes: bytes 0..3 are the place in `longs`, 4..5 the length */
    HARD = 0x88,    /* no entry */
    LENGTH = 0x0F
};
enum { SHORT_MOST = 7, LONG_MOST = 64, STRETCH = 256 };

struct mt_char_map {
    size_t from, to;                                 /* steps of the normalizer */
    bool clusters;                                   /* the step is the character map */
    enum { AS_IT_IS, LOWERED, OTHERWISE } printable; /* what becomes of ASCII's printable characters */
    uint64_t ascii[128];
    uint64_t *page[0x1100]; /* by code point >> 8; NULL: nothing is known yet */
    mt_buf longs;
};

static bool is_decomposition(const mt_norm *s) {
    return s->kind == MT_NORM_FORM && (s->form == MT_NFD || s->form == MT_NFKD);
}

static bool joins(const mt_norm *s) {
    switch (s->kind) {
    case MT_NORM_LOWER:
    case MT_NORM_DROP_MARKS:
    case MT_NORM_DROP_NONSPACING:
    case MT_NORM_BERT_CLEAN:
    case MT_NORM_BERT_CJK:
    case MT_NORM_NMT:
        return true;
    default:
        return is_decomposition(s);
    }
}

/* What the steps from `step` on make of one character, appended. *hard: it has no entry. */
static mt_status through(mt_tok *t, const mt_char_map *m, size_t step, uint32_t c, mt_buf *out, bool *hard,
                         mt_error *err) {
    uint8_t b[4];
    uint32_t to[3];
    for (; step < m->to; step++) {
        const mt_norm *s = &t->norm[step];
        if (is_decomposition(s)) {
            mt_buf parts = {0};
            size_t n = (size_t)mt_utf8_encode(c, b), first = out->len;
            mt_status status = mt_normalize((mt_nf)(MT_NFC_9 + s->form), b, n, &parts, NULL, err);
            for (size_t i = 0, k; status == MT_OK && i < parts.len; i += k) {
                uint32_t d;
                size_t before = out->len;
                k = (size_t)mt_utf8_decode(parts.data + i, parts.len - i, &d);
                status = through(t, m, step + 1, d, out, hard, err);
                *hard |= out->len > before && mt_unicode_combines(d);
            }
            mt_buf_free(&parts);
            *hard |= out->len - first > LONG_MOST;
            return status;
        }
        int n = mt_norm_char(s->kind, c, to);
        if (n < 0) continue;
        for (int i = 0; i < n; i++) MT_TRY(through(t, m, step + 1, to[i], out, hard, err));
        return MT_OK;
    }
    return mt_buf_add(out, b, (size_t)mt_utf8_encode(c, b), err);
}

static mt_status work_out(mt_tok *t, mt_char_map *m, uint32_t c, uint64_t *entry, mt_error *err) {
    mt_buf text = {0};
    bool hard = false;
    uint8_t b[4];
    uint64_t flags = KNOWN;
    mt_status status;
    if (m->clusters) {
        mt_str to;
        size_t n = (size_t)mt_utf8_encode(c, b);
        if (!mt_charsmap_find(t->norm[m->from].map, b, n, true, &to)) to = (mt_str){b, n};
        if (mt_grapheme_extends(c)) flags |= EXTENDS;
        if (mt_grapheme_breaks(c)) flags |= BREAKS;
        status = mt_buf_add(&text, to.p, to.n, err);
    } else {
        status = through(t, m, m->from, c, &text, &hard, err);
    }
    if (status == MT_OK && (hard || text.len > LONG_MOST)) {
        *entry = (flags | HARD) << 56;
    } else if (status == MT_OK && text.len > SHORT_MOST) {
        uint64_t at = m->longs.len;
        status = mt_buf_add(&m->longs, text.data, text.len, err);
        if (status == MT_OK) *entry = (flags | LONG) << 56 | (uint64_t)text.len << 32 | at;
    } else if (status == MT_OK) {
        *entry = (flags | text.len) << 56;
        for (size_t i = 0; i < text.len; i++) *entry |= (uint64_t)text.data[i] << (8 * i);
    }
    mt_buf_free(&text);
    return status;
}

/* The entry of a character above ASCII. */
static inline mt_status find(mt_tok *t, mt_char_map *m, uint32_t c, uint64_t *entry, mt_error *err) {
    uint64_t **page = &m->page[c >> 8];
    if (!*page && !(*page = mt_calloc(256, sizeof **page))) return mt_nomem(err, 256 * sizeof **page, "characters");
    if (!(*page)[c & 255]) MT_TRY(work_out(t, m, c, &(*page)[c & 255], err));
    *entry = (*page)[c & 255];
    return MT_OK;
}

static int printable(const mt_char_map *m) {
    bool same = true, lowered = true;
    for (uint64_t c = 0x20; c < 0x7F; c++) {
        uint64_t entry = m->ascii[c], own = (uint64_t)(KNOWN | 1) << 56;
        same &= entry == (own | c);
        lowered &= entry == (own | (c >= 'A' && c <= 'Z' ? c + 0x20 : c));
    }
    return same ? AS_IT_IS : lowered ? LOWERED : OTHERWISE;
}

/* Printable ASCII at i, eight bytes at a time; there is room for `most` bytes. How many it took. */
static size_t run_printable(const mt_tok *t, const mt_char_map *m, const mt_view *v, size_t i, size_t most,
                            mt_made *out) {
    const uint64_t ones = UINT64_C(0x0101010101010101), top = ones << 7;
    size_t done = 0;
    for (; most - done >= 8; done += 8) {
        uint64_t x = mt_le64(v->p + i + done);
        if ((x | ~(x + 0x60 * ones) | (x + ones)) & top) break; /* above ASCII, below a space, or 7F */
        if (m->printable == LOWERED) x |= ((x + 0x3F * ones) & ~(x + 0x25 * ones) & top) >> 2; /* A..Z */
        memcpy(out->data + out->len, &x, 8);
        if (t->track) {
            uint32_t *origin = out->origin + out->len;
            if (v->origin)
                memcpy(origin, v->origin + i + done, 8 * sizeof *origin);
            else
                for (uint32_t j = 0; j < 8; j++) origin[j] = v->base + (uint32_t)(i + done) + j;
        }
        out->len += 8;
    }
    return done;
}

mt_status mt_char_maps_make(mt_tok *t, mt_error *err) {
    for (size_t i = 0, end; i < t->norm_len; i = end) {
        bool clusters = t->norm[i].kind == MT_NORM_CHARSMAP;
        for (end = i; !clusters && end < t->norm_len && joins(&t->norm[end]); end++);
        if (clusters) end = i + 1;
        if (end == i) {
            end++;
            continue;
        }
        mt_char_map *m = t->norm[i].chars = mt_calloc(1, sizeof *m);
        if (!m) return mt_nomem(err, sizeof *m, "characters");
        m->from = i;
        m->to = end;
        m->clusters = clusters;
        for (uint32_t c = 0; c < 128; c++) MT_TRY(work_out(t, m, c, &m->ascii[c], err));
        m->printable = printable(m);
    }
    return MT_OK;
}

void mt_char_map_free(mt_char_map *m) {
    if (!m) return;
    for (size_t i = 0; i < sizeof m->page / sizeof *m->page; i++) mt_free(m->page[i]);
    mt_buf_free(&m->longs);
    mt_free(m);
}

/* The character at i joins the cluster that began at `first`: its end, when the map has something for it as a whole, or
 * i. */
static size_t whole_cluster(const mt_tok *t, const mt_char_map *m, const mt_view *v, size_t first, size_t i,
                            mt_str *to) {
    size_t end = i;
    uint32_t c;
    if (v->p[i] == '\n')
        end++; /* behind a carriage return: these two alone */
    else
        do {
            int k = mt_utf8_decode(v->p + end, v->n - end, &c);
            if (!k || (!mt_grapheme_extends(c) && end > i)) break;
            end += (size_t)k;
        } while (end < v->n && end - first < 6);
    return end - first < 6 && mt_charsmap_find(t->norm[m->from].map, v->p + first, end - first, true, to) ? end : i;
}

/* Of n bytes at the end of `out`, which the k bytes at i became: bytes of a character that stays as it is keep their
 * own places. */
static inline void put_origins(const mt_view *v, size_t i, size_t k, mt_made *out, size_t n) {
    uint32_t *origin = out->origin + out->len, from = mt_view_origin(v, i);
    if (n == 1) {
        origin[0] = from;
        return;
    }
    uint32_t step = n == k && mt_same_bytes(out->data + out->len, v->p + i, n);
    if (n <= 4 && !v->origin) /* there is room for eight */
        for (uint32_t j = 0; j < 4; j++) origin[j] = from + (step ? j : 0);
    else
        for (size_t j = 0; j < n; j++) origin[j] = step ? mt_view_origin(v, i + j) : from;
}

mt_status mt_char_map_run(mt_tok *t, mt_char_map *m, const mt_view *v, mt_made *out, size_t *steps, mt_error *err) {
    const uint8_t *p = v->p;
    size_t i = 0, first = 0, kept = 0; /* the cluster's beginning, in the text and in out */
    bool open = false;                 /* the next character may join it */
    *steps = 0;
    out->len = 0;
    while (i < v->n) {
        size_t stop = v->n - i < STRETCH ? v->n : i + STRETCH;
        MT_TRY(mt_made_reserve(out, STRETCH * SHORT_MOST + LONG_MOST + 8, err));
        while (i < stop) {
            uint64_t entry;
            uint32_t c = p[i];
            size_t k = 1;
            if (m->printable != OTHERWISE && stop - i >= 8) {
                size_t taken = run_printable(t, m, v, i, stop - i, out);
                if (taken) { /* nothing joins what is before it; the next one may join its last character */
                    i += taken;
                    first = i - 1;
                    kept = out->len - 1;
                    open = true;
                    continue;
                }
            }
            if (c < 0x80) {
                entry = m->ascii[c];
            } else {
                k = (size_t)mt_utf8_decode(p + i, v->n - i, &c);
                if (!k) return MT_OK;
                MT_TRY(find(t, m, c, &entry, err));
            }
            size_t flags = entry >> 56, n = flags & LENGTH;
            if (m->clusters) {
                bool joins_it = open && (flags & EXTENDS || (c == '\n' && p[i - 1] == '\r'));
                if (joins_it) {
                    mt_str to;
                    size_t end = whole_cluster(t, m, v, first, i, &to);
                    if (end > i) {
                        if (t->track) return MT_OK;
                        MT_TRY(mt_made_reserve(out, to.n + STRETCH * SHORT_MOST + LONG_MOST + 8, err));
                        memcpy(out->data + kept, to.p, to.n);
                        out->len = kept + to.n;
                        i = end;
                        open = false;
                        continue;
                    }
                    open = c != '\n';
                } else {
                    first = i;
                    kept = out->len;
                    open = !(flags & BREAKS) || (c == '\r' && i + 1 < v->n && p[i + 1] == '\n');
                }
                /* what vanishes at the very start shifts the origins of all that follows: see normalize.c */
                if (t->track && !n && !out->len && !(flags & LONG)) return MT_OK;
            }
            if (flags & LONG) {
                if ((flags & HARD) == HARD) return MT_OK;
                n = entry >> 32 & 0xFFFF;
                MT_TRY(mt_made_reserve(out, n + STRETCH * SHORT_MOST + LONG_MOST + 8, err));
                memcpy(out->data + out->len, m->longs.data + (uint32_t)entry, n);
            } else {
                memcpy(out->data + out->len, &entry, 8);
            }
            if (t->track) put_origins(v, i, k, out, n);
            out->len += n;
            i += k;
        }
    }
    *steps = m->to - m->from;
    return MT_OK;
}
