/* Splitter steps: each cuts a view into parts and hands them to the next step; the last hands them to the segmenter.
 * A splitter sees nothing but its own part, so look-ahead ends at the part's end (as in the tokenizers library). */
#include "tok.h"

static inline int decode(const uint8_t *p, size_t n, uint32_t *cp) {
    int k = mt_utf8_decode(p, n, cp);
    if (k) return k;
    *cp = 0x110000u + *p;
    return 1;
}

bool mt_is_punctuation(uint32_t c) {
    if (c < 0x80) return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
    if (c > 0x10FFFF) return false;
    mt_category k = mt_unicode_category_in(8, c); /* as the tokenizers library has it */
    return k >= MT_PC && k <= MT_PO;
}
static bool is_digit(uint32_t c) {
    if (c < 0x80) return c >= '0' && c <= '9';
    if (c > 0x10FFFF) return false;
    mt_category k = mt_unicode_category(c);
    return k == MT_ND || k == MT_NL || k == MT_NO;
}
static bool is_space(uint32_t c) {
    return c <= 0x10FFFF && mt_unicode_is_space(c);
}

/* ---- scripts ---- */

enum { ANY_SCRIPT = -1 };

/* Scripts as the tokenizers library knows them: of Unicode 9.0, Japanese ones all Han, spaces and what is not assigned
 * in any script. */
static int script_of(const mt_tok *t, uint32_t c) {
    if (c == ' ' || c > 0x10FFFF) return ANY_SCRIPT;
    if (c == 0x30FC) return MT_SCRIPT_HAN;
    if (c == 0x589 || c == 0x61C) return MT_SCRIPT_COMMON; /* have moved since */
    if (c == 0x953 || c == 0x954) c = 0x904;
    mt_category k = c < 0x80 ? MT_CC : mt_unicode_category_in(9, c);
    if (k == MT_CN || k == MT_CO || k == MT_CS) return ANY_SCRIPT;
    size_t lo = 0, hi = t->script_len;
    while (lo < hi) { /* the first run that ends behind c */
        size_t mid = lo + (hi - lo) / 2;
        if (t->scripts[mid].end <= c)
            lo = mid + 1;
        else
            hi = mid;
    }
    int script = lo < t->script_len && t->scripts[lo].begin <= c ? t->scripts[lo].script : MT_SCRIPT_COMMON;
    return script == MT_SCRIPT_HIRAGANA || script == MT_SCRIPT_KATAKANA ? MT_SCRIPT_HAN : script;
}

/* A part begins at each character whose script is not that of the last one that has any. What is before the first one
 * is dropped, with it a text that has none: that is how the library does it. */
static mt_status scripts(mt_tok *t, size_t step, const mt_view *v, mt_error *err) {
    if (!t->scripts) {
        size_t count = mt_unicode_script_runs(NULL, 0);
        mt_script_run *runs = mt_arena_alloc(&t->arena, count * sizeof *runs);
        if (!runs) return mt_nomem(err, count * sizeof *runs, "scripts");
        t->script_len = mt_unicode_script_runs(runs, count);
        t->scripts = runs;
    }
    int last = ANY_SCRIPT;
    size_t from = SIZE_MAX, k;
    for (size_t i = 0; i <= v->n; i += k) {
        uint32_t c;
        k = i < v->n ? (size_t)decode(v->p + i, v->n - i, &c) : 1;
        int script = i < v->n ? script_of(t, c) : ANY_SCRIPT;
        bool begins = script != ANY_SCRIPT && script != last;
        if (script != ANY_SCRIPT) last = script;
        if (!begins && i < v->n) continue;
        if (from != SIZE_MAX) {
            mt_view part = mt_view_part(v, from, i);
            MT_TRY(mt_split_view(t, step, &part, err));
        }
        from = i;
    }
    return MT_OK;
}

/* ---- ranges: (end, is a match) pairs that tile the view, then a behaviour, then down ---- */

static mt_status add_range(mt_tok *t, size_t end, bool match, mt_error *err) {
    MT_TRY(mt_ids_reserve(&t->ranges, 2, err));
    t->ranges.data[t->ranges.len++] = (int32_t)end;
    t->ranges.data[t->ranges.len++] = match;
    return MT_OK;
}

static mt_status pattern_ranges(mt_tok *t, const mt_split *s, const mt_view *v, mt_error *err) {
    size_t done = 0;
    mt_matches m = {.last = SIZE_MAX};
    for (bool found = true; found;) {
        MT_TRY(mt_pattern_next(&s->pattern, v->p, v->n, &m, &found, err));
        if (!found) break;
        if (m.begin > done) MT_TRY(add_range(t, m.begin, s->invert, err));
        MT_TRY(add_range(t, m.end, !s->invert, err)); /* an empty one still parts its neighbours */
        done = m.end;
    }
    return done < v->n ? add_range(t, v->n, s->invert, err) : MT_OK;
}

static mt_status char_ranges(mt_tok *t, bool (*is)(uint32_t), const mt_view *v, mt_error *err) {
    size_t done = 0, k;
    for (size_t i = 0; i < v->n; i += k) {
        uint32_t c;
        k = (size_t)decode(v->p + i, v->n - i, &c);
        if (!is(c)) continue;
        if (i > done) MT_TRY(add_range(t, i, false, err));
        MT_TRY(add_range(t, i + k, true, err));
        done = i + k;
    }
    return done < v->n ? add_range(t, v->n, false, err) : MT_OK;
}

/* Applies the behaviour to ranges from `bottom` on and sends the parts on. */
static mt_status send_ranges(mt_tok *t, size_t step, size_t bottom, mt_split_behavior behavior, const mt_view *v,
                             mt_error *err) {
    size_t top = t->ranges.len, from = 0;
    for (size_t i = bottom; i < top;) {
        bool match = t->ranges.data[i + 1];
        size_t end = (size_t)t->ranges.data[i];
        i += 2;
        switch (behavior) {
        case MT_SPLIT_CONTIGUOUS:
            for (; i < top && (bool)t->ranges.data[i + 1] == match; i += 2) end = (size_t)t->ranges.data[i];
            break;
        case MT_SPLIT_MERGED_PREVIOUS: /* one match joins what is before it */
            if (!match && i < top && t->ranges.data[i + 1]) {
                end = (size_t)t->ranges.data[i];
                i += 2;
            }
            break;
        case MT_SPLIT_MERGED_NEXT: /* the last match of a run joins what follows */
            if (match && i < top && !t->ranges.data[i + 1]) {
                end = (size_t)t->ranges.data[i];
                i += 2;
            }
            break;
        case MT_SPLIT_REMOVED:
        case MT_SPLIT_ISOLATED:
            break;
        }
        if (end > from && !(behavior == MT_SPLIT_REMOVED && match)) {
            mt_view part = mt_view_part(v, from, end);
            MT_TRY(mt_split_view(t, step, &part, err));
        }
        from = end;
    }
    t->ranges.len = bottom;
    return MT_OK;
}

/* Isolated matches of a regular expression: all pieces in one pass, a batch at a time. */
static mt_status isolate(mt_tok *t, size_t step, const mt_split *s, const mt_view *v, mt_error *err) {
    size_t ends[MT_WORDS], at = 0, count;
    mt_word word[MT_WORDS];
    do {
        MT_TRY(mt_regex_split(s->pattern.regex, v->p, v->n, at, ends, MT_WORDS, &count, err));
        size_t words = 0;
        for (size_t i = 0; i < count; i++) {
            size_t end = ends[i] & ~MT_SPLIT_GAP;
            bool gap = ends[i] & MT_SPLIT_GAP;
            word[words] = (mt_word){(uint32_t)at, (uint32_t)end};
            at = end;
            words += !(gap && s->drop_gaps);
        }
        if (step == t->split_len) {
            MT_TRY(mt_segment_words(t, v, word, words, err));
            continue;
        }
        for (size_t i = 0; i < words; i++) {
            mt_view part = mt_view_part(v, word[i].begin, word[i].end);
            MT_TRY(mt_split_view(t, step, &part, err));
        }
    } while (count == MT_WORDS);
    return MT_OK;
}

/* ---- steps that make text ---- */

static mt_status unmark(mt_tok *t, mt_split *s, mt_view *v, mt_error *err) {
    mt_pattern mark = {t->mark, NULL};
    size_t kept = 0, begin, end;
    bool found;
    MT_TRY(mt_pattern_find(&mark, v->p, v->n, 0, &found, &begin, &end, err));
    if (!found) return MT_OK;
    s->made.len = 0;
    while (found) {
        MT_TRY(mt_made_copy(&s->made, v, kept, begin, err));
        MT_TRY(mt_made_put(&s->made, (const uint8_t *)" ", 1, mt_view_origin(v, begin), err));
        kept = end;
        MT_TRY(mt_pattern_find(&mark, v->p, v->n, end, &found, &begin, &end, err));
    }
    MT_TRY(mt_made_copy(&s->made, v, kept, v->n, err));
    *v = mt_made_view(&s->made);
    return MT_OK;
}

static mt_status put_before(mt_split *s, mt_str what, mt_view *v, mt_error *err) {
    mt_made grown = {0};
    mt_status status = mt_made_put(&grown, what.p, what.n, v->n ? mt_view_origin(v, 0) : MT_NO_ORIGIN, err);
    if (status == MT_OK) status = mt_made_copy(&grown, v, 0, v->n, err);
    if (status != MT_OK) {
        mt_made_free(&grown);
        return status;
    }
    mt_made_free(&s->made);
    s->made = grown;
    *v = mt_made_view(&s->made);
    return MT_OK;
}

/* As put_before when v does not live in s->made: reuses the buffer. */
static mt_status put_before_foreign(mt_split *s, mt_str what, mt_view *v, mt_error *err) {
    s->made.len = 0;
    MT_TRY(mt_made_reserve(&s->made, what.n + v->n, err));
    MT_TRY(mt_made_put(&s->made, what.p, what.n, v->n ? mt_view_origin(v, 0) : MT_NO_ORIGIN, err));
    MT_TRY(mt_made_copy(&s->made, v, 0, v->n, err));
    *v = mt_made_view(&s->made);
    return MT_OK;
}

/* Spaces to marks, a mark in front, cuts before each mark. In the space alphabet (see tok.h) that is: marks to spaces,
 * a space in front, cuts before each space. */
static mt_status metaspace(mt_tok *t, size_t step, mt_split *s, mt_view v, mt_error *err) {
    mt_str space = s->physical ? s->pattern.text : mt_str_of(" ");
    const uint8_t *old = v.p;
    if (s->physical) {
        mt_pattern blank = {mt_str_of(" "), NULL};
        size_t kept = 0, begin, end;
        bool found = true;
        s->made.len = 0;
        for (;;) {
            MT_TRY(mt_pattern_find(&blank, v.p, v.n, kept, &found, &begin, &end, err));
            if (!found) break;
            MT_TRY(mt_made_copy(&s->made, &v, kept, begin, err));
            MT_TRY(mt_made_put(&s->made, space.p, space.n, mt_view_origin(&v, begin), err));
            kept = end;
        }
        MT_TRY(mt_made_copy(&s->made, &v, kept, v.n, err));
        v = mt_made_view(&s->made);
    } else {
        MT_TRY(unmark(t, s, &v, err));
    }
    bool starts = v.n >= space.n && memcmp(v.p, space.p, space.n) == 0;
    if (!starts && (s->always || (s->first && mt_view_origin(&v, 0) == 0)))
        MT_TRY(v.p == old ? put_before_foreign(s, space, &v, err) : put_before(s, space, &v, err));
    if (!s->split) return mt_split_view(t, step, &v, err);
    if (!s->physical && step == t->split_len) return mt_split_before_spaces(t, &v, err);
    for (size_t from = 0; from < v.n;) {
        size_t end = from + 1;
        if (s->physical) {
            end = from + (v.n - from >= space.n && memcmp(v.p + from, space.p, space.n) == 0 ? space.n : 1);
            while (end < v.n && !(v.n - end >= space.n && memcmp(v.p + end, space.p, space.n) == 0)) end++;
        } else {
            const uint8_t *q = end < v.n ? memchr(v.p + end, ' ', v.n - end) : NULL;
            end = q ? (size_t)(q - v.p) : v.n;
        }
        mt_view part = mt_view_part(&v, from, end);
        MT_TRY(mt_split_view(t, step, &part, err));
        from = end;
    }
    return MT_OK;
}

static mt_status byte_level(mt_split *s, mt_view *v, mt_error *err) {
    s->made.len = 0;
    MT_TRY(mt_made_reserve(&s->made, 2 * v->n, err));
    for (size_t i = 0; i < v->n; i++) {
        uint8_t b[2];
        MT_TRY(mt_made_put(&s->made, b, (size_t)mt_byte_to_char(v->p[i], b), mt_view_origin(v, i), err));
    }
    *v = mt_made_view(&s->made);
    return MT_OK;
}

static mt_status raw(mt_split *s, mt_view *v, mt_error *err) {
    s->made.len = 0;
    MT_TRY(mt_made_reserve(&s->made, v->n, err));
    size_t k;
    for (size_t i = 0; i < v->n; i += k) {
        uint32_t c;
        k = (size_t)decode(v->p + i, v->n - i, &c);
        int b = mt_char_to_byte(c);
        uint8_t byte = (uint8_t)b;
        MT_TRY(b >= 0 ? mt_made_put(&s->made, &byte, 1, mt_view_origin(v, i), err)
                      : mt_made_copy(&s->made, v, i, i + k, err));
    }
    *v = mt_made_view(&s->made);
    return MT_OK;
}

/* Cuts where nothing can merge across. Always the last step. */
static mt_status words(mt_tok *t, const mt_view *v, mt_error *err) {
    mt_word word[MT_WORDS];
    const uint8_t *p = v->p, *joined = t->joined;
    size_t from = 0, count = 0;
    for (size_t i = 1; i < v->n; i++) {
        if (joined[(size_t)p[i - 1] << 5 | p[i] >> 3] >> (p[i] & 7) & 1) continue;
        word[count++] = (mt_word){(uint32_t)from, (uint32_t)i};
        from = i;
        if (count < MT_WORDS) continue;
        MT_TRY(mt_segment_words(t, v, word, count, err));
        count = 0;
    }
    if (count) MT_TRY(mt_segment_words(t, v, word, count, err));
    mt_view part = mt_view_part(v, from, v->n);
    return mt_segment_word(t, &part, err);
}

mt_status mt_split_view(mt_tok *t, size_t step, const mt_view *v, mt_error *err) {
    if (!v->n) return MT_OK;
    if (step == t->split_len) return mt_segment_word(t, v, err);
    mt_split *s = &t->split[step++];
    size_t bottom = t->ranges.len;
    mt_view w = *v;
    switch (s->kind) {
    case MT_SPLIT_PATTERN:
        if (s->pattern.regex && s->behavior == MT_SPLIT_ISOLATED) return isolate(t, step, s, v, err);
        MT_TRY(pattern_ranges(t, s, v, err));
        return send_ranges(t, step, bottom, s->behavior, v, err);
    case MT_SPLIT_SPACES: {
        bool done;
        MT_TRY(mt_split_chain(t, step - 1, v, &done, err));
        if (done) return MT_OK;
        MT_TRY(char_ranges(t, is_space, v, err));
        return send_ranges(t, step, bottom, MT_SPLIT_REMOVED, v, err);
    }
    case MT_SPLIT_PUNCTUATION:
        MT_TRY(char_ranges(t, mt_is_punctuation, v, err));
        return send_ranges(t, step, bottom, s->behavior, v, err);
    case MT_SPLIT_DIGITS:
        MT_TRY(char_ranges(t, is_digit, v, err));
        return send_ranges(t, step, bottom, s->behavior, v, err);
    case MT_SPLIT_FIXED:
        for (size_t from = 0, at = 0; from < w.n; from = at) {
            uint32_t c;
            for (size_t i = 0; i < s->length && at < w.n; i++) at += (size_t)decode(w.p + at, w.n - at, &c);
            mt_view part = mt_view_part(&w, from, at);
            MT_TRY(mt_split_view(t, step, &part, err));
        }
        return MT_OK;
    case MT_SPLIT_SCRIPTS:
        return scripts(t, step, v, err);
    case MT_SPLIT_METASPACE:
        return metaspace(t, step, s, w, err);
    case MT_SPLIT_PREFIX:
        if (w.p[0] != ' ') MT_TRY(put_before_foreign(s, mt_str_of(" "), &w, err));
        return mt_split_view(t, step, &w, err);
    case MT_SPLIT_BYTE_LEVEL:
        MT_TRY(byte_level(s, &w, err));
        return mt_split_view(t, step, &w, err);
    case MT_SPLIT_RAW:
        MT_TRY(raw(s, &w, err));
        return mt_split_view(t, step, &w, err);
    case MT_SPLIT_UNMARK:
        MT_TRY(unmark(t, s, &w, err));
        return mt_split_view(t, step, &w, err);
    case MT_SPLIT_WORDS:
        return words(t, v, err);
    }
    return mt_split_view(t, step, v, err);
}
