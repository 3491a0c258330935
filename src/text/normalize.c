/* Unicode normalization (UAX #15) with alignment.
 *
 * Text that is normalized already is copied: a scan looks for the first character that the form would change, that
 * could compose with what is before it, or whose combining class is out of order. Only the segment around it, from the
 * last character that nothing before can influence to the next such character, is decomposed, put in order and
 * composed:
 *
 *   e U+0301 x  ->  scan stops at U+0301; segment "e U+0301"; composed to U+00E9; x is copied
 *
 * Work is linear, also for long runs of marks: they are sorted by counting. Bytes that are not UTF-8 are copied and
 * nothing combines across them. */
#include "text.h"
#include "unicode.h"

typedef struct piece {
    uint32_t cp;
    uint32_t class; /* rank of the canonical combining class */
    int32_t takes;  /* characters of the input that it stands for: 1 or, after the first of a decomposition, 0 */
} piece;

typedef struct pieces {
    piece *v;
    size_t n, cap;
} pieces;

typedef struct normalizer {
    uint16_t changes, starts; /* the form's bits in mt_kind_flags */
    bool compose, compatible;
    bool old; /* Unicode 9.0 */
    const uint8_t *p;
    size_t n;
    mt_buf *out;
    mt_ids *origin;
    pieces run, sorted;
    size_t *begins; /* where the characters of the segment begin */
    size_t begins_n, begins_cap;
    mt_error *err;
} normalizer;

/* The character's kind; that of a letter which never changes, when the version does not know the character. */
static uint8_t kind_of(const normalizer *z, uint32_t cp) {
    enum { INERT = MT_STARTS_NFC | MT_STARTS_NFD | MT_STARTS_NFKC | MT_STARTS_NFKD };
    uint8_t kind = mt_unicode_kind(cp);
    return z->old && mt_kind_flags[kind] != INERT && mt_unicode_age(cp) > 9 ? mt_unicode_kind('A') : kind;
}

static mt_status add_piece(normalizer *z, uint32_t cp, int32_t takes) {
    MT_TRY(mt_grow((void **)&z->run.v, &z->run.cap, z->run.n + 1, sizeof *z->run.v, z->err));
    z->run.v[z->run.n++] = (piece){cp, mt_kind_class[kind_of(z, cp)], takes};
    return MT_OK;
}

static mt_status decompose(normalizer *z, uint32_t cp, int32_t takes) {
    if (cp - 0xAC00 < 11172) { /* Hangul syllable: leading consonant, vowel, perhaps trailing consonant */
        uint32_t index = cp - 0xAC00;
        MT_TRY(add_piece(z, 0x1100 + index / 588, takes));
        MT_TRY(add_piece(z, 0x1161 + index % 588 / 28, 0));
        return index % 28 ? add_piece(z, 0x11A7 + index % 28, 0) : MT_OK;
    }
    uint16_t flags = mt_kind_flags[kind_of(z, cp)];
    if (!(flags & (z->compatible ? MT_CHANGES_NFKD : MT_CHANGES_NFD))) return add_piece(z, cp, takes);
    uint32_t parts[MT_MAPPING_MAX];
    bool canonical;
    int n = mt_unicode_mapping(cp, &canonical, parts);
    for (int i = 0; i < n;
         i++) { /* the compatible form of a canonical part: one step more, as its own mapping is full */
        if (canonical && z->compatible)
            MT_TRY(decompose(z, parts[i], i ? 0 : takes));
        else
            MT_TRY(add_piece(z, parts[i], i ? 0 : takes));
    }
    return MT_OK;
}

/* Stable sort of every run of marks by class. */
static mt_status reorder(normalizer *z) {
    piece *v = z->run.v;
    for (size_t i = 0; i < z->run.n;) {
        size_t end = i;
        bool ordered = true;
        for (; end < z->run.n && v[end].class; end++) ordered &= end == i || v[end - 1].class <= v[end].class;
        if (!ordered) {
            size_t n = end - i, first[257] = {0};
            MT_TRY(mt_grow((void **)&z->sorted.v, &z->sorted.cap, n, sizeof *v, z->err));
            for (size_t k = i; k < end; k++) first[v[k].class + 1]++;
            for (size_t c = 1; c < 257; c++) first[c] += first[c - 1];
            for (size_t k = i; k < end; k++) z->sorted.v[first[v[k].class]++] = v[k];
            memcpy(v + i, z->sorted.v, n * sizeof *v);
        }
        i = end + 1;
    }
    return MT_OK;
}

/* A character composes with the last starter unless one of the same or a higher class, or another starter, is between.
 */
static void compose(pieces *run, bool old) {
    size_t n = 0, starter = SIZE_MAX;
    uint32_t last = 0; /* class of the piece before */
    for (size_t i = 0; i < run->n; i++) {
        piece c = run->v[i];
        if (starter != SIZE_MAX && (starter + 1 == n || last < c.class)) {
            uint32_t composed = mt_unicode_compose(run->v[starter].cp, c.cp);
            if (composed && !(old && mt_unicode_age(composed) > 9)) {
                run->v[starter].cp = composed;
                run->v[starter].takes += c.takes;
                continue;
            }
        }
        if (c.class == 0) starter = n;
        last = c.class;
        run->v[n++] = c;
    }
    run->n = n;
}

static mt_status put(normalizer *z, const uint8_t *bytes, size_t n, size_t from, bool identical) {
    MT_TRY(mt_buf_add(z->out, bytes, n, z->err));
    if (!z->origin) return MT_OK;
    MT_TRY(mt_ids_reserve(z->origin, n, z->err));
    for (size_t i = 0; i < n; i++) z->origin->data[z->origin->len++] = (int32_t)(identical ? from + i : from);
    return MT_OK;
}

/* Output characters are aligned with the input in order: each stands for the next `takes` characters, or, when it was
 * added by a decomposition, for the one before. So marks that change places keep the origins of their places. */
static mt_status segment(normalizer *z, size_t begin, size_t end) {
    z->run.n = z->begins_n = 0;
    for (size_t i = begin; i < end;) {
        uint32_t cp;
        int length = mt_utf8_decode(z->p + i, z->n - i, &cp);
        MT_TRY(decompose(z, cp, 1));
        MT_TRY(mt_grow((void **)&z->begins, &z->begins_cap, z->begins_n + 2, sizeof *z->begins, z->err));
        z->begins[z->begins_n++] = i;
        i += (size_t)length;
    }
    z->begins[z->begins_n] = end;
    MT_TRY(reorder(z));
    if (z->compose) compose(&z->run, z->old);
    size_t taken = 0;
    for (size_t i = 0; i < z->run.n; i++) {
        uint8_t bytes[4];
        size_t length = (size_t)mt_utf8_encode(z->run.v[i].cp, bytes);
        size_t from = z->begins[z->run.v[i].takes || taken == 0 ? taken : taken - 1];
        taken += (size_t)z->run.v[i].takes;
        bool alone = i + 1 == z->run.n || z->run.v[i + 1].takes; /* and not a part of what it comes from */
        bool same = z->run.v[i].takes == 1 && alone && z->begins[taken] - from == length &&
                    memcmp(z->p + from, bytes, length) == 0;
        MT_TRY(put(z, bytes, length, from, same));
    }
    return MT_OK;
}

/* The first byte at or after i that is not ASCII, eight at a time. */
static size_t skip_ascii(const uint8_t *p, size_t n, size_t i) {
    for (; n - i >= 8; i += 8)
        if (mt_le64(p + i) & UINT64_C(0x8080808080808080)) break;
    while (i < n && p[i] < 0x80) i++;
    return i;
}

static mt_status normalize(normalizer *z) {
    const uint8_t *p = z->p;
    size_t n = z->n, done = 0, boundary = 0; /* before `boundary`, nothing can change any more */
    uint32_t last = 0;
    for (size_t i = 0; i < n;) {
        if (p[i] < 0x80) {
            i = skip_ascii(p, n, i);
            boundary = i - 1;
            last = 0;
            continue;
        }
        uint32_t cp;
        int length = mt_utf8_decode(p + i, n - i, &cp);
        if (length == 0) {
            boundary = ++i;
            last = 0;
            continue;
        }
        uint8_t kind = kind_of(z, cp);
        uint16_t flags = mt_kind_flags[kind];
        uint32_t class = mt_kind_class[kind];
        if (flags & z->starts) boundary = i;
        if (!(flags & z->changes) && !(class && last > class) && !(z->compose && (flags & MT_SECOND))) {
            last = class;
            i += (size_t)length;
            continue;
        }
        i += (size_t)length;
        for (; i < n && p[i] >= 0x80; i += (size_t)length) {
            length = mt_utf8_decode(p + i, n - i, &cp);
            if (length == 0 || (mt_kind_flags[kind_of(z, cp)] & z->starts)) break;
        }
        MT_TRY(put(z, p + done, boundary - done, done, true));
        MT_TRY(segment(z, boundary, i));
        done = boundary = i;
        last = 0;
    }
    return put(z, p + done, n - done, done, true);
}

mt_status mt_normalize(mt_nf form, const uint8_t *p, size_t n, mt_buf *out, mt_ids *origin, mt_error *err) {
    static const uint16_t changes[] = {MT_CHANGES_NFC, MT_CHANGES_NFD, MT_CHANGES_NFKC, MT_CHANGES_NFKD};
    static const uint16_t starts[] = {MT_STARTS_NFC, MT_STARTS_NFD, MT_STARTS_NFKC, MT_STARTS_NFKD};
    if ((unsigned)form > MT_NFKD_9)
        return mt_fail(err, MT_ERANGE, "normalization form %d: 0 to 7 are known", (int)form);
    if (origin && n > INT32_MAX)
        return mt_fail(err, MT_ERANGE, "aligned normalization of %zu bytes: at most 2^31 - 1", n);
    bool old = form >= MT_NFC_9;
    if (old) form = (mt_nf)(form - MT_NFC_9);
    normalizer z = {.changes = changes[form],
                    .starts = starts[form],
                    .compose = form == MT_NFC || form == MT_NFKC,
                    .compatible = form == MT_NFKC || form == MT_NFKD,
                    .old = old,
                    .p = p,
                    .n = n,
                    .out = out,
                    .origin = origin,
                    .err = err};
    out->len = 0;
    if (origin) origin->len = 0;
    mt_status status = normalize(&z);
    if (status == MT_OK && origin) status = mt_ids_add(origin, (int32_t)n, err);
    mt_free(z.run.v);
    mt_free(z.sorted.v);
    mt_free(z.begins);
    return status;
}
