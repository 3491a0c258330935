/* Whole chains of splitter steps in one pass, straight to the segmenter:
 *
 *   white space removed                                           WhitespaceSplit
 *   white space removed, punctuation apart                        BertPreTokenizer
 *   white space removed, a space put before each word             WhitespaceSplit, Metaspace (T5)
 *   a space in front, cut before each space                       Metaspace
 *
 * What a character is, is looked up in a table that is filled a page at a time. */
#include "tok.h"

enum { SPACE = 1, PUNCTUATION = 2, KNOWN = 4, ABOVE = 8 }; /* ABOVE: not ASCII */

struct mt_char_classes {
    uint8_t first[256]; /* by byte */
    uint8_t *page[0x1100];
};

static uint8_t class_of(uint32_t c) {
    uint8_t class = KNOWN;
    if (mt_unicode_is_space(c)) class |= SPACE;
    if (mt_is_punctuation(c)) class |= PUNCTUATION;
    return class;
}

static mt_status classes_make(mt_tok *t, mt_error *err) {
    mt_char_classes *m = t->classes = mt_calloc(1, sizeof *m);
    if (!m) return mt_nomem(err, sizeof *m, "classes of characters");
    for (uint32_t c = 0; c < 256; c++) m->first[c] = c < 0x80 ? class_of(c) & (SPACE | PUNCTUATION) : ABOVE;
    return MT_OK;
}

void mt_char_classes_free(mt_char_classes *m) {
    if (!m) return;
    for (size_t i = 0; i < sizeof m->page / sizeof *m->page; i++) mt_free(m->page[i]);
    mt_free(m);
}

/* Class and length of the character at p, whose first byte is not ASCII. */
static mt_status look(mt_char_classes *m, const uint8_t *p, size_t n, unsigned *class, size_t *length, mt_error *err) {
    uint32_t c;
    int k = mt_utf8_decode(p, n, &c);
    *length = k ? (size_t)k : 1;
    *class = 0;
    if (!k) return MT_OK; /* not text: in no class */
    uint8_t **page = &m->page[c >> 8];
    if (!*page) {
        if (!(*page = mt_array(256, 1))) return mt_nomem(err, 256, "classes of characters");
        for (uint32_t i = 0; i < 256; i++) (*page)[i] = class_of((c & ~255u) + i);
    }
    *class = (*page)[c & 255];
    return MT_OK;
}

typedef struct batch {
    mt_word word[MT_WORDS];
    size_t count;
} batch;

static inline mt_status add(mt_tok *t, const mt_view *v, batch *b, size_t begin, size_t end, mt_error *err) {
    b->word[b->count++] = (mt_word){(uint32_t)begin, (uint32_t)end};
    if (b->count < MT_WORDS) return MT_OK;
    b->count = 0;
    return mt_segment_words(t, v, b->word, MT_WORDS, err);
}

/* ---- white space removed, perhaps punctuation apart ---- */

static mt_status by_class(mt_tok *t, const mt_view *v, unsigned cuts, mt_error *err) {
    mt_char_classes *m = t->classes;
    const uint8_t *p = v->p;
    size_t n = v->n, from = 0;
    batch b;
    b.count = 0;
    for (size_t i = 0, k; i < n; i += k) {
        k = 1;
        unsigned class = m->first[p[i]];
        if (!class) continue;
        if (class == ABOVE) MT_TRY(look(m, p + i, n - i, &class, &k, err));
        if (!(class & cuts)) continue;
        if (i > from) MT_TRY(add(t, v, &b, from, i, err));
        if (class & PUNCTUATION & cuts) MT_TRY(add(t, v, &b, i, i + k, err));
        from = i + k;
    }
    if (n > from) MT_TRY(add(t, v, &b, from, n, err));
    return mt_segment_words(t, v, b.word, b.count, err);
}

/* ---- white space removed, a space put before each word ---- */

/* The words of a batch stand in `made`, each with its space. */
static mt_status send(mt_tok *t, mt_made *made, batch *b, mt_error *err) {
    mt_view v = mt_made_view(made);
    MT_TRY(mt_segment_words(t, &v, b->word, b->count, err));
    made->len = b->count = 0;
    return MT_OK;
}

static mt_status spaced(mt_tok *t, size_t step, const mt_view *v, mt_error *err) {
    mt_char_classes *m = t->classes;
    const mt_split *s = &t->split[step]; /* the one that puts spaces */
    mt_made *made = &t->split[step - 1].made;
    const uint8_t *p = v->p;
    size_t n = v->n;
    batch b;
    b.count = made->len = 0;
    for (size_t i = 0, k; i < n; i += k) {
        unsigned class = m->first[p[i]];
        bool above = false;
        k = 1;
        if (class == ABOVE) MT_TRY(look(m, p + i, n - i, &class, &k, err));
        if (class & SPACE) continue;
        size_t from = i;
        for (; i < n; i += k) {
            class = m->first[p[i]];
            k = 1;
            if (class == ABOVE) {
                above = true;
                MT_TRY(look(m, p + i, n - i, &class, &k, err));
            }
            if (class & SPACE) break;
        }
        k = 0; /* the space, or the end, is looked at again */
        mt_view part = mt_view_part(v, from, i);
        bool found = false;
        size_t begin, end;
        mt_pattern mark = {t->mark, NULL};
        if (above) MT_TRY(mt_pattern_find(&mark, part.p, part.n, 0, &found, &begin, &end, err));
        if (found) { /* marks become spaces, which cut again */
            MT_TRY(send(t, made, &b, err));
            MT_TRY(mt_split_view(t, step, &part, err));
            continue;
        }
        uint32_t origin = mt_view_origin(&part, 0);
        size_t at = made->len;
        if (s->always || (s->first && origin == 0)) MT_TRY(mt_made_put(made, (const uint8_t *)" ", 1, origin, err));
        MT_TRY(mt_made_copy(made, &part, 0, part.n, err));
        b.word[b.count++] = (mt_word){(uint32_t)at, (uint32_t)made->len};
        if (b.count == MT_WORDS) MT_TRY(send(t, made, &b, err));
    }
    return send(t, made, &b, err);
}

/* ---- cut before each space ---- */

mt_status mt_split_before_spaces(mt_tok *t, const mt_view *v, mt_error *err) {
    batch b;
    b.count = 0;
    for (size_t from = 0; from < v->n;) {
        const uint8_t *q = from + 1 < v->n ? memchr(v->p + from + 1, ' ', v->n - from - 1) : NULL;
        size_t end = q ? (size_t)(q - v->p) : v->n;
        MT_TRY(add(t, v, &b, from, end, err));
        from = end;
    }
    return mt_segment_words(t, v, b.word, b.count, err);
}

mt_status mt_split_chain(mt_tok *t, size_t step, const mt_view *v, bool *done, mt_error *err) {
    const mt_split *s = t->split + step;
    size_t left = t->split_len - step;
    *done = false;
    if (s->kind != MT_SPLIT_SPACES || left > 2) return MT_OK;
    bool apart = left == 2 && s[1].kind == MT_SPLIT_PUNCTUATION && s[1].behavior == MT_SPLIT_ISOLATED;
    bool marks = left == 2 && s[1].kind == MT_SPLIT_METASPACE && s[1].split && !s[1].physical && t->mark.n;
    if (left == 2 && !apart && !marks) return MT_OK;
    if (!t->classes) MT_TRY(classes_make(t, err));
    *done = true;
    return marks ? spaced(t, step + 1, v, err) : by_class(t, v, apart ? SPACE | PUNCTUATION : SPACE, err);
}
