/* The automaton over whole texts: the match at a place, the next match, and all pieces of a text in one pass.
 *
 * Splitting spends its time in split_fast: one table look-up a character. In the table `fused`, the transition that
 * ends a match is fused with the first transition of the next match, which is possible when the state has just
 * confirmed a match that ends here; so most pieces end without reading any character twice. Everything else (matches
 * that ended earlier, gaps, unknown states) goes through mt_dfa_run from the beginning of the piece.
 *
 * A match may be decided long after its end (a* b | a): then the text in between is read again for the next match,
 * which would make the whole quadratic. Therefore runs that read far beyond the last confirmation remember (state,
 * position) pairs from which nothing more was confirmed, and later runs stop when they meet one. */
#include "regex_dfa.h"

enum { FAR = 64, SAMPLE = 32, BARREN_MAX = 1 << 18 };

void mt_dfa_forget(mt_dfa *d) {
    if (d->barren.count) mt_map64_free(&d->barren);
}

static mt_status remember_barren(mt_dfa *d, mt_error *err) {
    if (d->barren.count + d->tail_n > BARREN_MAX) mt_map64_free(&d->barren);
    for (size_t i = 0; i < d->tail_n; i++) MT_TRY(mt_map64_set(&d->barren, d->tail[i], 1, err));
    d->tail_n = 0;
    return MT_OK;
}

mt_status mt_dfa_run(mt_dfa *d, const uint8_t *text, size_t n, size_t at, bool *found, size_t *end, size_t *reached,
                     mt_error *err) {
    uint32_t state = d->start;
    size_t pos = at, last = at, steps = 0;
    bool barren = false;
    *found = d->states[state].back == 0;
    *end = at;
    d->tail_n = 0;
    while (state && pos < n) {
        size_t length;
        uint32_t class = mt_dfa_class(d, text + pos, n - pos, &length);
        MT_TRY(mt_dfa_next(d, state, class, &state, err));
        steps++;
        size_t before = pos;
        pos += length;
        if (d->states[state].back >= 0) {
            *found = true;
            *end = pos - (size_t)d->states[state].back;
            last = pos;
            d->tail_n = 0;
        } else if (pos - last > FAR && before / SAMPLE != pos / SAMPLE && state) {
            int32_t one;
            uint64_t key = (uint64_t)state << 48 | (uint64_t)pos;
            barren = d->barren.count && mt_map64_get(&d->barren, key, &one);
            if (barren) break;
            MT_TRY(mt_grow((void **)&d->tail, &d->tail_cap, d->tail_n + 1, sizeof *d->tail, err));
            d->tail[d->tail_n++] = key;
        }
    }
    *reached = pos;
    d->steps += steps;
    if (state && pos == n && !barren) {
        MT_TRY(mt_dfa_next(d, state, d->end_class, &state, err));
        if (d->states[state].back >= 0) {
            *found = true;
            *end = pos - (size_t)d->states[state].back;
            d->tail_n = 0;
        }
    }
    return d->tail_n ? remember_barren(d, err) : MT_OK;
}

/* Moves on over characters with which no match begins. */
static mt_status skip(mt_dfa *d, const uint8_t *text, size_t n, size_t *pos, mt_error *err) {
    if (d->states[d->start].back >= 0) return MT_OK;
    size_t length, p = *pos, begin = p;
    for (; p < n; p += length) {
        uint32_t next, class = mt_dfa_class(d, text + p, n - p, &length);
        MT_TRY(mt_dfa_next(d, d->start, class, &next, err));
        if (next) break;
    }
    d->steps += p - begin;
    *pos = p;
    return MT_OK;
}

mt_status mt_dfa_find(mt_dfa *d, const uint8_t *text, size_t n, size_t at, bool anchored, bool again, bool *found,
                      size_t *begin, size_t *end, mt_error *err) {
    size_t reached, length;
    if (!again) mt_dfa_forget(d);
    for (size_t pos = at;; pos += length) {
        if (!anchored) MT_TRY(skip(d, text, n, &pos, err));
        MT_TRY(mt_dfa_run(d, text, n, pos, found, end, &reached, err));
        *begin = pos;
        if (*found || anchored || pos >= n) return MT_OK;
        mt_dfa_class(d, text + pos, n - pos, &length);
    }
}

uint64_t mt_dfa_steps(const mt_dfa *d) {
    return d->steps;
}

/* ---- splitting ----------------------------------------------------------------------------------------------------
 */

typedef struct splitter {
    mt_regex *re;
    const uint8_t *text;
    size_t n;
    size_t *ends, count, cap;
    size_t begin;   /* of the piece we are in */
    bool gap;       /* it is one without a match so far */
    size_t careful; /* up to here every match goes through mt_dfa_run */
    mt_error *err;
} splitter;

/* What the fast loop may do in `state` at a character of the class. */
static mt_status fuse(mt_dfa *d, uint32_t state, uint32_t class, uint32_t *entry, mt_error *err) {
    uint32_t next, before;
    int back = d->states[state].back, last = d->states[state].last;
    MT_TRY(mt_dfa_next(d, state, class, &next, err));
    *entry = next * 128;
    if (next) return MT_OK;
    *entry = MT_FUSED_SLOW | MT_FUSED_RERUN;
    if (back == 0 && state != d->start) { /* the match ends before this character */
        MT_TRY(mt_dfa_next(d, d->start, class, &next, err));
        if (next) *entry = next * 128 | MT_FUSED_CUT;
    } else if (last >= 0) { /* the match ends before the last character: this is the second of the next match */
        MT_TRY(mt_dfa_next(d, d->start, (uint32_t)last, &before, err));
        MT_TRY(mt_dfa_next(d, before, class, &next, err));
        if (next)
            *entry = next * 128 | MT_FUSED_SLOW | MT_FUSED_BACK;
        else if (before && d->states[before].back == 0) { /* or the first of the one after it */
            MT_TRY(mt_dfa_next(d, d->start, class, &next, err));
            if (next) *entry = next * 128 | MT_FUSED_SLOW | MT_FUSED_BACK | MT_FUSED_TWO;
        }
    }
    return MT_OK;
}

/* Runs from s->begin, where a match begins to be tried, until the table does not know on. Stores ends of pieces; stops
 * before there could be too many. On return s->begin is the beginning of the piece that is not finished. */
static mt_status split_fast(splitter *s) {
    mt_dfa *d = s->re->dfa;
    const uint8_t *text = s->text;
    const size_t n = s->n;
    size_t *ends = s->ends, pos = s->begin, count = s->count;
    uint32_t row = d->start * 128;
    mt_status status = MT_OK;
    for (;;) {
        const uint32_t *fused = d->fused, *wide = d->wide;
        const uint32_t stride = d->stride;
        /* a piece has at least one byte, and one is kept free for a second end at the same character */
        size_t room = s->cap - count, stop = room < 2 ? pos : n - pos < room - 1 ? n : pos + room - 1, length = 1;
        uint32_t entry = 0, class = 0;
        while (pos < stop) {
            uint32_t byte = text[pos];
            if (byte < 0x80) {
                length = 1;
                entry = fused[row + byte];
            } else {
                class = mt_dfa_class(d, text + pos, n - pos, &length);
                entry = wide[(row >> 7) * stride + class];
            }
            if (entry & MT_FUSED_SLOW) break;
            ends[count] = pos;
            count += entry >> 31;
            row = entry & MT_FUSED_ROW;
            pos += length;
        }
        if (pos >= stop) {
            if (pos >= n || s->cap - count < 2) break;
        } else if (entry & MT_FUSED_BACK) {
            ends[count++] = pos - (size_t)d->states[row >> 7].back;
            if (entry & MT_FUSED_TWO) ends[count++] = pos;
            row = entry & MT_FUSED_ROW;
            pos += length;
        } else if (entry & MT_FUSED_RERUN)
            break;
        else {
            bool ascii = text[pos] < 0x80;
            uint32_t state = row >> 7;
            if (ascii) class = d->ascii[text[pos]];
            status = fuse(d, state, class, &entry, s->err);
            if (status != MT_OK) break;
            *(ascii ? &d->fused[row + text[pos]] : &d->wide[(size_t)state * d->stride + class]) = entry;
        }
    }
    if (count > s->count) s->begin = ends[count - 1];
    s->count = count;
    return status;
}

static void piece(splitter *s, size_t end) {
    s->ends[s->count++] = s->gap ? end | MT_SPLIT_GAP : end;
    s->begin = end;
    s->gap = false;
}

mt_status mt_regex_split(mt_regex *re, const uint8_t *text, size_t n, size_t at, size_t *ends, size_t cap,
                         size_t *count, mt_error *err) {
    splitter s = {.re = re, .text = text, .n = n, .ends = ends, .cap = cap, .begin = at, .careful = at, .err = err};
    size_t try_at = at; /* where the next match is looked for: s.begin, or later inside a gap */
    if (re->dfa && !at) mt_dfa_forget(re->dfa);
    if (!at) re->back_knows = false;
    if (at && re->careful > at) s.careful = re->careful;
    *count = 0;
    while (s.begin < n && s.count < cap) {
        bool found;
        size_t begin, end, reached = 0;
        mt_dfa *d = re->dfa_is_full ? NULL : re->dfa;
        mt_status status;
        if (d && !s.gap && s.begin >= s.careful) {
            status = split_fast(&s);
            if (status == MT_ELIMIT)
                re->dfa_is_full = true;
            else if (status != MT_OK)
                return status;
            try_at = s.begin;
            if (s.count == cap) break;
            if (status == MT_ELIMIT) continue;
        }
        if (d) {
            size_t from = try_at;
            status = skip(d, text, n, &try_at, err);
            s.gap |= try_at > from;
            if (status == MT_OK) status = mt_dfa_run(d, text, n, try_at, &found, &end, &reached, err);
            if (status == MT_ELIMIT) {
                re->dfa_is_full = true;
                continue;
            }
            if (status != MT_OK) return status;
            begin = try_at;
        } else
            MT_TRY(mt_regex_find_next(re, text, n, try_at, &found, &begin, &end, err));
        if (found && (end > begin || begin > s.begin)) {
            if (begin > s.begin) { /* the gap before the match */
                s.gap = true;
                piece(&s, begin);
            }
            if (s.count == cap) break;
            s.gap = false;
            try_at = begin;
            if (end > begin) {
                piece(&s, end);
                try_at = end;
                if (reached > end + FAR) s.careful = reached;
                continue;
            }
        }
        /* no match here, or an empty one: the character belongs to a gap */
        if (!found && !d) {
            s.gap = true;
            piece(&s, n);
            break;
        }
        s.gap = true;
        if (try_at >= n) {
            if (s.begin < n) piece(&s, n); /* an empty match at the end has closed it already */
            break;
        }
        uint32_t cp;
        int length = mt_utf8_decode(text + try_at, n - try_at, &cp);
        try_at += length ? (size_t)length : 1;
    }
    *count = s.count;
    re->careful = s.careful;
    if (re->back && s.begin >= n) mt_back_forget(re->back);
    return MT_OK;
}
