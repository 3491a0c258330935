/* SentencePiece's way of training (Kudo & Richardson 2018): which characters are kept, what may be a piece, and its own
 * BPE trainer. Words come in normalized, spaces written as U+2581.
 *
 *   characters  the most frequent ones until the coverage is reached are required pieces; the others become U+2585 in
 *               the words, which no piece may contain
 *   pieces      at most 16 characters of one script (kana count as Han; marks take the script before them), a space
 *               only in front, digits apart from letters, ...
 *   BPE         merges the most frequent pair; of equals the shorter string, then the smaller one. Two pairs that spell
 *               the same string are one piece: the second is never merged. Frequencies count overlapping occurrences
 *               ("aaa" has (a,a) twice). Only "active" pairs can win: every 100 merges the most frequent 5 % (at least
 *               1000) become active, and every pair that arises later is; the option all_pairs drops that rule.
 *
 *     words _aab x3, _ab x2:  (a,b) 5 -> ab;  then (_,ab) 2, (a,ab) 3 -> aab;  (_,aab) 3 -> _aab;  _ab */
#include "train.h"
#include "vocab.h"
#include "../base/heap.h"
#include "../base/sort.h"

enum { SPACE = 0x2581, UNKNOWN = 0x2585, TAB = 9 };

typedef struct letter {
    uint32_t cp;
    uint64_t count;
    bool forced;
    int16_t script; /* kana as Han */
} letter;

typedef struct framing {
    const mt_sp_options *o;
    mt_error *err;
    letter *letters; /* required ones first, by count */
    size_t len, cap, required;
    mt_map64 index;  /* code point -> letter */
    mt_trie symbols; /* special tokens and byte pieces: where sentences spell them, words end */
    mt_buf text;
    mt_words words;  /* with U+2585 for what is not required */
    size_t specials; /* special tokens and byte pieces */
} framing;

static void byte_piece(int b, uint8_t text[6]) {
    static const char hex[] = "0123456789ABCDEF";
    memcpy(text, (uint8_t[]){'<', '0', 'x', (uint8_t)hex[b >> 4], (uint8_t)hex[b & 15], '>'}, 6);
}

/* ---- characters ---- */

static int by_need(const void *a, const void *b, void *unused) {
    const letter *x = a, *y = b;
    (void)unused;
    if (x->forced != y->forced) return x->forced ? -1 : 1;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return x->cp < y->cp ? -1 : x->cp > y->cp;
}

static int16_t script_of(uint32_t cp) {
    int script = mt_unicode_script(cp);
    bool kana = script == MT_SCRIPT_HIRAGANA || script == MT_SCRIPT_KATAKANA || cp == 0x30FC;
    return (int16_t)(kana ? MT_SCRIPT_HAN : script);
}

static mt_status count_letter(framing *f, uint32_t cp, uint64_t count, bool forced) {
    int32_t at;
    if (!mt_map64_get(&f->index, cp, &at)) {
        MT_TRY(mt_grow((void **)&f->letters, &f->cap, f->len + 1, sizeof *f->letters, f->err));
        at = (int32_t)f->len++;
        f->letters[at] = (letter){cp, 0, false, 0};
        MT_TRY(mt_map64_set(&f->index, cp, at, f->err));
    }
    f->letters[at].forced |= forced;
    if (__builtin_add_overflow(f->letters[at].count, count, &f->letters[at].count))
        return mt_fail(f->err, MT_ELIMIT, "a character was counted more than 2^64 times");
    return MT_OK;
}

/* A sentence with a tab for each special token that it spells (the longest at a place), in f->text. */
static mt_status mark_symbols(framing *f, mt_str s) {
    f->text.len = 0;
    for (size_t at = 0, k; at < s.n; at += k) {
        uint32_t cp;
        if (mt_trie_longest(&f->symbols, s.p + at, s.n - at, &k) >= 0) {
            MT_TRY(mt_buf_byte(&f->text, TAB, f->err));
            continue;
        }
        k = (size_t)mt_utf8_decode(s.p + at, s.n - at, &cp);
        if (!k) k = 1;
        MT_TRY(mt_buf_add(&f->text, s.p + at, k, f->err));
    }
    return MT_OK;
}

static mt_status add_symbols(framing *f) {
    int32_t old;
    for (size_t i = 0; i < f->o->special_len; i++)
        MT_TRY(mt_trie_add(&f->symbols, f->o->special[i].p, f->o->special[i].n, (int32_t)i, &old, f->err));
    for (int b = 0; f->o->byte_fallback && b < 256; b++) {
        uint8_t text[6];
        byte_piece(b, text);
        MT_TRY(mt_trie_add(&f->symbols, text, sizeof text, b, &old, f->err));
    }
    return MT_OK;
}

static mt_status choose_letters(framing *f, const mt_words *words) {
    uint64_t total = 0, covered = 0, tabs = 0;
    for (size_t i = 0; i < f->o->required_len; i++) {
        uint32_t cp;
        mt_str s = f->o->required[i];
        if (!s.n || mt_utf8_decode(s.p, s.n, &cp) != (int)s.n)
            return mt_fail(f->err, MT_ERANGE, "required character %zu is not one character", i);
        MT_TRY(count_letter(f, cp, 0, true));
    }
    for (size_t w = 0; w < words->len; w++) {
        MT_TRY(mark_symbols(f, words->list[w].text));
        mt_str s = {f->text.data, f->text.len};
        for (size_t at = 0; at < s.n;) {
            uint32_t cp;
            int n = mt_utf8_decode(s.p + at, s.n - at, &cp);
            if (!n) return mt_fail_at(f->err, MT_EFORMAT, at, "sentence %zu is not UTF-8 at byte %zu", w, at);
            at += (size_t)n;
            if (cp == 0 || cp == ' ' || cp == UNKNOWN) continue;
            if (cp == TAB)
                tabs += words->list[w].count;
            else
                MT_TRY(count_letter(f, cp, words->list[w].count, false));
            if (__builtin_add_overflow(total, words->list[w].count, &total))
                return mt_fail(f->err, MT_ELIMIT, "the text has more than 2^64 characters");
        }
    }
    mt_sort(f->letters, f->len, sizeof *f->letters, by_need, NULL);
    /* compared in single precision, as the original does */
    float goal = (float)(f->o->character_coverage > 0 ? f->o->character_coverage : 0.9995);
    for (; f->required < f->len; f->required++) {
        letter *c = &f->letters[f->required];
        if (tabs >= c->count && tabs && !c->forced) { /* tabs have their place in the order, but are not required */
            if ((float)(1.0 * (double)covered / (double)total) >= goal) break;
            covered += tabs;
            tabs = 0;
        }
        if (!c->forced && (float)(1.0 * (double)covered / (double)total) >= goal) break;
        covered += c->count;
    }
    for (size_t i = 0; i < f->len; i++) {
        f->letters[i].script = script_of(f->letters[i].cp);
        MT_TRY(mt_map64_set(&f->index, f->letters[i].cp, (int32_t)i, f->err));
    }
    return MT_OK;
}

static const letter *required(const framing *f, uint32_t cp) {
    int32_t at;
    return mt_map64_get(&f->index, cp, &at) && (size_t)at < f->required ? &f->letters[at] : NULL;
}

/* A sentence as it is, beside others that may be the same: single-precision sums depend on the order. */
static mt_status add_sentence(mt_words *w, const uint8_t *p, size_t n, uint64_t count, mt_error *err) {
    if (w->len >= INT32_MAX) return mt_fail(err, MT_ELIMIT, "more than %d sentences", INT32_MAX);
    MT_TRY(mt_grow((void **)&w->list, &w->cap, w->len + 1, sizeof *w->list, err));
    const uint8_t *copy = mt_arena_copy(&w->arena, p, n);
    if (!copy) return mt_nomem(err, n, "a sentence");
    w->list[w->len++] = (struct mt_word_count){{copy, n}, count};
    return MT_OK;
}

/* One word, or cut before each space (after it, where spaces are suffixes). */
static mt_status add_words(mt_words *w, const uint8_t *p, size_t n, uint64_t count, const mt_sp_options *o,
                           mt_error *err) {
    if (o->join_words) return n ? add_sentence(w, p, n, count, err) : MT_OK;
    size_t begin = 0;
    bool word_begun = false; /* something but spaces since `begin` */
    for (size_t at = 0, k; at < n; at += k) {
        uint32_t cp;
        int length = mt_utf8_decode(p + at, n - at, &cp);
        k = length ? (size_t)length : 1;
        bool space = length && cp == SPACE;
        if (o->space_only_pieces) {
            /* a run of spaces is one word or begins one; as a suffix it ends one */
            bool cut = o->space_as_suffix ? !space && at > begin && !word_begun : space && word_begun;
            if (cut) {
                MT_TRY(mt_words_add(w, p + begin, at - begin, count, err));
                begin = at;
            }
            word_begun = o->space_as_suffix ? !space : space ? false : true;
        } else if (space) {
            size_t cut = o->space_as_suffix ? at + k : at;
            if (cut > begin) MT_TRY(mt_words_add(w, p + begin, cut - begin, count, err));
            begin = cut;
        }
    }
    return n > begin ? mt_words_add(w, p + begin, n - begin, count, err) : MT_OK;
}

static int by_count(const void *a, const void *b, void *unused) {
    const struct mt_word_count *x = a, *y = b;
    (void)unused;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    size_t n = x->text.n < y->text.n ? x->text.n : y->text.n;
    int c = n ? memcmp(x->text.p, y->text.p, n) : 0;
    return c ? c : x->text.n < y->text.n ? -1 : x->text.n > y->text.n;
}

static mt_status open_framing(framing *f, const mt_words *sentences) {
    const mt_sp_options *o = f->o;
    if (o->character_coverage < 0 || o->character_coverage > 1)
        return mt_fail(f->err, MT_ERANGE, "a character coverage of %g, expected 0 to 1", o->character_coverage);
    f->specials = o->special_len + (o->byte_fallback ? 256 : 0);
    MT_TRY(add_symbols(f));
    MT_TRY(choose_letters(f, sentences));
    if (o->vocab_size < 1 || f->specials + f->required > (size_t)o->vocab_size)
        return mt_fail(f->err, MT_ERANGE,
                       "vocab_size %d is too small for %zu special tokens and byte pieces and %zu required characters",
                       o->vocab_size, f->specials, f->required);
    mt_buf text = {0};
    mt_status status = MT_OK;
    for (size_t w = 0; w < sentences->len; w++) {
        MT_TRY_GOTO(mark_symbols(f, sentences->list[w].text), done);
        mt_str s = {f->text.data, f->text.len};
        uint64_t count = sentences->list[w].count;
        text.len = 0;
        for (size_t at = 0; at < s.n;) {
            uint32_t cp;
            uint8_t out[4];
            at += (size_t)mt_utf8_decode(s.p + at, s.n - at, &cp);
            int n = mt_utf8_encode(required(f, cp) ? cp : UNKNOWN, out);
            MT_TRY_GOTO(mt_buf_add(&text, out, (size_t)n, f->err), done);
        }
        MT_TRY_GOTO(add_words(&f->words, text.data, text.len, count, o, f->err), done);
    }
    /* The index no longer fits the list's order: nobody looks words up from here on. */
    mt_map_free(&f->words.index);
    if (!o->join_words) mt_sort(f->words.list, f->words.len, sizeof *f->words.list, by_count, NULL);
done:
    mt_buf_free(&text);
    return status;
}

static void close_framing(framing *f) {
    mt_free(f->letters);
    mt_map64_free(&f->index);
    mt_words_free(&f->words);
    mt_trie_free(&f->symbols);
    mt_buf_free(&f->text);
}

/* May these characters be a piece? */
static bool valid_piece(void *user, const uint8_t *p, size_t n) {
    const framing *f = user;
    const mt_sp_options *o = f->o;
    size_t count = 0, most = o->max_piece_length > 0 ? (size_t)o->max_piece_length : 16, spaces = 0, k;
    uint32_t cp;
    for (size_t at = 0; at < n; at += k, count++) {
        k = (size_t)mt_utf8_decode(p + at, n - at, &cp);
        if (k == 0) return false;
        spaces += cp == SPACE;
    }
    if (count == 0 || count > most) return false;
    int before = -1; /* script of the character before; -1: goes with any */
    for (size_t at = 0, place = 0; at < n; at += k, place++) {
        k = (size_t)mt_utf8_decode(p + at, n - at, &cp);
        if (cp == UNKNOWN || cp == 0 || cp == TAB || cp == ' ') return false;
        if (cp == SPACE) {
            if (o->space_only_pieces && spaces == count) continue;
            bool last = place + 1 == count, misplaced = o->space_as_suffix ? !last : place > 0;
            if (o->join_words) misplaced = o->space_as_suffix ? !last && place == 0 : place > 0 && last;
            if (misplaced) return false;
            continue;
        }
        const letter *c = required(f, cp);
        int script = c ? c->script : script_of(cp);
        if (script == MT_SCRIPT_INHERITED) script = before;
        bool number = (cp >= '0' && cp <= '9') || (cp >= 0xFF10 && cp <= 0xFF19);
        if (number && o->join_numbers) script = -1;
        if (number && o->split_digits && count > 1) return false;
        if (!o->join_scripts && script != -1 && before != -1 && before != script) return false;
        before = script;
    }
    return true;
}

/* Special tokens, byte pieces; room for the scores and kinds of `pieces` more. */
static mt_status add_specials(const framing *f, mt_vocabulary *out, size_t pieces) {
    const mt_sp_options *o = f->o;
    size_t total = f->specials + pieces;
    mt_free(out->score);
    out->score = mt_calloc(total, sizeof *out->score);
    out->kind = mt_calloc(total, 1);
    if (!out->score || !out->kind) return mt_nomem(f->err, total * 9, "the vocabulary");
    int32_t id;
    for (size_t i = 0; i < o->special_len; i++) {
        MT_TRY(mt_vocabulary_add(out, o->special[i], &id, f->err));
        out->kind[id] = o->special_kind ? o->special_kind[i] : MT_TOKEN_SPECIAL;
    }
    for (int b = 0; o->byte_fallback && b < 256; b++) {
        uint8_t text[6];
        byte_piece(b, text);
        MT_TRY(mt_vocabulary_add(out, (mt_str){text, 6}, &id, f->err));
        out->kind[id] = MT_TOKEN_BYTE;
    }
    return MT_OK;
}

/* ---- BPE ---- */

typedef struct symbol {
    mt_str text;
    uint32_t characters;
    int32_t left, right; /* -1: a character */
    int64_t freq;
    int32_t first, last; /* positions where it may be found, in order */
    bool valid, active, gone;
} symbol;

typedef struct position {
    uint32_t at; /* of its left part */
    int32_t next;
} position;

typedef struct bpe {
    framing f;
    mt_arena text;
    symbol *symbols;
    size_t len, cap;
    mt_map64 pairs; /* left << 32 | right -> symbol */
    position *positions;
    size_t position_len, position_cap;
    /* the text: symbols in a doubly linked list, word by word */
    int32_t *at, *next, *prev;
    uint32_t *word;
    struct candidate {
        int64_t freq;
        int32_t symbol;
    } *heap, *list;
    size_t heap_len, heap_cap, list_cap;
    int32_t *fresh; /* symbols that got positions in this step */
    size_t fresh_len, fresh_cap;
} bpe;

static int compare_candidates(const void *a, const void *b, void *context) {
    const bpe *t = context;
    const struct candidate *x = a, *y = b;
    if (x->freq != y->freq) return x->freq > y->freq ? -1 : 1;
    const symbol *s = &t->symbols[x->symbol], *u = &t->symbols[y->symbol];
    if (s->characters != u->characters) return s->characters < u->characters ? -1 : 1;
    size_t n = s->text.n < u->text.n ? s->text.n : u->text.n;
    int c = memcmp(s->text.p, u->text.p, n);
    if (c) return c;
    if (s->text.n != u->text.n) return s->text.n < u->text.n ? -1 : 1;
    return x->symbol < y->symbol ? -1 : x->symbol > y->symbol; /* the same string made in two ways: the older way */
}

static bool before(const struct candidate *a, const struct candidate *b, bpe *t) {
    return compare_candidates(a, b, t) < 0;
}
MT_HEAP(heap, struct candidate, bpe *, before)

static mt_status push(bpe *t, int32_t s) {
    MT_TRY(mt_grow((void **)&t->heap, &t->heap_cap, t->heap_len + 1, sizeof *t->heap, t->f.err));
    heap_push(t->heap, &t->heap_len, (struct candidate){t->symbols[s].freq, s}, t);
    t->symbols[s].active = true;
    return MT_OK;
}

static mt_status add_symbol(bpe *t, symbol s, int32_t *id) {
    if (t->len >= INT32_MAX) return mt_fail(t->f.err, MT_ELIMIT, "more than 2^31 pairs");
    MT_TRY(mt_grow((void **)&t->symbols, &t->cap, t->len + 1, sizeof s, t->f.err));
    *id = (int32_t)t->len;
    t->symbols[t->len++] = s;
    return MT_OK;
}

/* The symbol of a pair, or -1 when it may not be a piece. */
static mt_status pair_symbol(bpe *t, int32_t left, int32_t right, int32_t *id) {
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    if (mt_map64_get(&t->pairs, key, id)) {
        if (!t->symbols[*id].valid) *id = -1;
        return MT_OK;
    }
    mt_str a = t->symbols[left].text, b = t->symbols[right].text;
    symbol s = {.characters = t->symbols[left].characters + t->symbols[right].characters,
                .left = left,
                .right = right,
                .first = -1,
                .last = -1};
    uint8_t small[128], *text = a.n + b.n <= sizeof small ? small : mt_arena_alloc(&t->text, a.n + b.n);
    if (!text) return mt_nomem(t->f.err, a.n + b.n, "a pair");
    memcpy(text, a.p, a.n);
    memcpy(text + a.n, b.p, b.n);
    /* U+2585 stands for unknown characters and is valid nowhere, so pairs with it are not */
    s.valid = valid_piece(&t->f, text, a.n + b.n);
    if (s.valid && text == small && !(text = mt_arena_copy(&t->text, small, a.n + b.n)))
        return mt_nomem(t->f.err, a.n + b.n, "a pair");
    if (s.valid) s.text = (mt_str){text, a.n + b.n};
    MT_TRY(add_symbol(t, s, id));
    MT_TRY(mt_map64_set(&t->pairs, key, *id, t->f.err));
    if (!s.valid) *id = -1;
    return MT_OK;
}

static mt_status add_pair(bpe *t, int32_t left_at, int64_t count) {
    int32_t id;
    MT_TRY(pair_symbol(t, t->at[left_at], t->at[t->next[left_at]], &id));
    if (id < 0 || t->symbols[id].gone) return MT_OK;
    symbol *s = &t->symbols[id];
    if (t->position_len >= INT32_MAX) return mt_fail(t->f.err, MT_ELIMIT, "more than 2^31 positions");
    MT_TRY(mt_grow((void **)&t->positions, &t->position_cap, t->position_len + 1, sizeof *t->positions, t->f.err));
    t->positions[t->position_len] = (position){(uint32_t)left_at, -1};
    if (s->last >= 0)
        t->positions[s->last].next = (int32_t)t->position_len;
    else
        s->first = (int32_t)t->position_len;
    s->last = (int32_t)t->position_len++;
    s->freq += count;
    if (s->active) return MT_OK; /* in the queue, or waiting below */
    MT_TRY(mt_grow((void **)&t->fresh, &t->fresh_cap, t->fresh_len + 1, sizeof *t->fresh, t->f.err));
    t->fresh[t->fresh_len++] = id;
    s->active = true;
    return MT_OK;
}

static mt_status lose_pair(bpe *t, int32_t left_at, int64_t count, int32_t best) {
    int32_t id;
    MT_TRY(pair_symbol(t, t->at[left_at], t->at[t->next[left_at]], &id));
    if (id >= 0 && id != best) t->symbols[id].freq -= count;
    return MT_OK;
}

static mt_status queue_fresh(bpe *t) {
    for (size_t i = 0; i < t->fresh_len; i++) MT_TRY(push(t, t->fresh[i]));
    t->fresh_len = 0;
    return MT_OK;
}

/* Every 100 merges: the most frequent pairs become the active ones. */
static mt_status choose_active(bpe *t) {
    enum { LEAST = 1000, SHARE = 20 };
    size_t len = 0, alive = 0;
    for (size_t i = 0; i < t->len; i++) {
        symbol *s = &t->symbols[i];
        if (s->left < 0 || (s->valid && !s->gone)) alive++;
        s->active = false;
        if (s->left < 0 || !s->valid || s->gone) continue;
        MT_TRY(mt_grow((void **)&t->list, &t->list_cap, len + 1, sizeof *t->list, t->f.err));
        t->list[len++] = (struct candidate){s->freq, (int32_t)i};
    }
    size_t most = (size_t)((float)alive * 0.05f);
    if (most < LEAST) most = LEAST;
    if (len > most) {
        mt_sort(t->list, len, sizeof *t->list, compare_candidates, t);
        len = most;
    }
    t->heap_len = 0;
    for (size_t i = 0; i < len; i++) MT_TRY(push(t, t->list[i].symbol));
    return MT_OK;
}

static mt_status merge(bpe *t, int32_t best) {
    for (int32_t p = t->symbols[best].first; p >= 0; p = t->positions[p].next) {
        int32_t at = (int32_t)t->positions[p].at, right = t->next[at];
        if (t->at[at] != t->symbols[best].left || right < 0 || t->at[right] != t->symbols[best].right) continue;
        int64_t count = (int64_t)t->f.words.list[t->word[at]].count;
        int32_t before = t->prev[at], after = t->next[right];
        if (before >= 0) MT_TRY(lose_pair(t, before, count, best));
        if (after >= 0) MT_TRY(lose_pair(t, right, count, best));
        t->at[at] = best;
        t->at[right] = -1;
        t->next[at] = after;
        if (after >= 0) t->prev[after] = at;
        if (before >= 0) MT_TRY(add_pair(t, before, count));
        if (after >= 0) MT_TRY(add_pair(t, at, count));
    }
    return MT_OK;
}

static mt_status open_text(bpe *t) {
    framing *f = &t->f;
    size_t total = 0, n = 0;
    for (size_t w = 0; w < f->words.len; w++) total += f->words.list[w].text.n;
    if (total >= INT32_MAX) return mt_fail(f->err, MT_ELIMIT, "%zu bytes of distinct words, the limit is 2 GiB", total);
    t->at = mt_array(total, sizeof *t->at);
    t->next = mt_array(total, sizeof *t->next);
    t->prev = mt_array(total, sizeof *t->prev);
    t->word = mt_array(total, sizeof *t->word);
    if (!t->at || !t->next || !t->prev || !t->word) return mt_nomem(f->err, total * 16, "the words");
    int32_t id;
    for (size_t i = 0; i <= f->required; i++) { /* symbols 0.. are the required characters, then the unknown one */
        uint8_t text[4];
        int k = mt_utf8_encode(i < f->required ? f->letters[i].cp : UNKNOWN, text);
        symbol s = {.characters = 1, .left = -1, .right = -1, .first = -1, .last = -1, .valid = true};
        const uint8_t *copy = mt_arena_copy(&t->text, text, (size_t)k);
        if (!copy) return mt_nomem(f->err, 4, "a character");
        s.text = (mt_str){copy, (size_t)k};
        MT_TRY(add_symbol(t, s, &id));
    }
    for (size_t w = 0; w < f->words.len; w++) {
        mt_str s = f->words.list[w].text;
        if (f->words.list[w].count > INT64_MAX / 4096)
            return mt_fail(f->err, MT_ELIMIT, "a word was counted %llu times",
                           (unsigned long long)f->words.list[w].count);
        for (size_t i = 0; i < s.n; n++) {
            uint32_t cp;
            bool first = i == 0;
            i += (size_t)mt_utf8_decode(s.p + i, s.n - i, &cp);
            const letter *c = required(f, cp);
            t->at[n] = c ? (int32_t)(c - f->letters) : (int32_t)f->required;
            t->word[n] = (uint32_t)w;
            t->prev[n] = first ? -1 : (int32_t)n - 1;
            t->next[n] = i < s.n ? (int32_t)n + 1 : -1;
        }
    }
    for (size_t i = 0; i < n; i++)
        if (t->next[i] >= 0) MT_TRY(add_pair(t, (int32_t)i, (int64_t)f->words.list[t->word[i]].count));
    return queue_fresh(t);
}

static mt_status run_bpe(bpe *t, mt_vocabulary *out) {
    framing *f = &t->f;
    size_t goal = (size_t)f->o->vocab_size - f->specials - f->required, made = 0;
    MT_TRY(add_specials(f, out, goal + f->required));
    MT_TRY(open_text(t));
    mt_map seen = {0};
    mt_status status = MT_OK;
    int32_t id;
    while (made < goal) {
        if (made % 100 == 0 && !f->o->all_pairs) MT_TRY_GOTO(choose_active(t), done);
        if (!t->heap_len) break;
        struct candidate top = t->heap[0];
        symbol *s = &t->symbols[top.symbol];
        while (s->freq != top.freq) { /* it lost occurrences since: put it where it belongs */
            top.freq = s->freq;
            heap_sink(t->heap, t->heap_len, top, t);
            top = t->heap[0];
            s = &t->symbols[top.symbol];
        }
        heap_pop(t->heap, &t->heap_len, t);
        s->gone = true;
        int32_t old;
        if (mt_map_get(&seen, s->text, &old)) continue;
        MT_TRY_GOTO(mt_map_set(&seen, s->text, 1, f->err), done);
        MT_TRY_GOTO(mt_vocabulary_add(out, s->text, &id, f->err), done);
        out->score[id] = -(double)made++;
        MT_TRY_GOTO(merge(t, top.symbol), done);
        MT_TRY_GOTO(queue_fresh(t), done);
        if (f->o->progress && made % 64 == 0 && f->o->progress(f->o->user, made, goal)) {
            status = mt_fail(f->err, MT_EABORTED, "training was stopped at %zu pieces", made);
            goto done;
        }
    }
    for (size_t i = 0; i < f->required; i++) {
        MT_TRY_GOTO(mt_vocabulary_add(out, t->symbols[i].text, &id, f->err), done);
        out->score[id] = -(double)made++;
    }
done:
    mt_map_free(&seen);
    return status;
}

mt_status mt_train_sp_bpe(const mt_words *sentences, const mt_sp_options *o, mt_vocabulary *out, mt_error *err) {
    *out = (mt_vocabulary){0};
    bpe t = {.f = {.o = o, .err = err}};
    mt_status status = MT_OK;
    MT_TRY_GOTO(open_framing(&t.f, sentences), done);
    MT_TRY_GOTO(run_bpe(&t, out), done);
done:
    mt_free(t.symbols);
    mt_map64_free(&t.pairs);
    mt_free(t.positions);
    mt_free(t.at);
    mt_free(t.next);
    mt_free(t.prev);
    mt_free(t.word);
    mt_free(t.heap);
    mt_free(t.list);
    mt_free(t.fresh);
    mt_arena_free(&t.text);
    close_framing(&t.f);
    if (status != MT_OK) mt_vocabulary_free(out);
    return status;
}

/* ---- Unigram ---- */

mt_status mt_train_sp_unigram(const mt_words *sentences, const mt_sp_options *o, mt_vocabulary *out, mt_error *err) {
    *out = (mt_vocabulary){0};
    framing f = {.o = o, .err = err};
    mt_vocabulary pieces = {0};
    mt_str *alphabet = NULL;
    uint8_t (*text)[4] = NULL;
    mt_status status = MT_OK;
    MT_TRY_GOTO(open_framing(&f, sentences), done);
    alphabet = mt_array(f.required, sizeof *alphabet);
    text = mt_array(f.required, sizeof *text);
    if (!alphabet || !text) {
        status = mt_nomem(err, f.required * 20, "the characters");
        goto done;
    }
    /* most frequent first, forced or not */
    for (size_t i = 0; i < f.required; i++) f.letters[i].forced = false;
    mt_sort(f.letters, f.required, sizeof *f.letters, by_need, NULL);
    for (size_t i = 0; i < f.required; i++) {
        alphabet[i] = (mt_str){text[i], (size_t)mt_utf8_encode(f.letters[i].cp, text[i])};
        MT_TRY_GOTO(mt_map64_set(&f.index, f.letters[i].cp, (int32_t)i, err), done);
    }
    /* The trainer sees all ids, so that its goal of 1.1 times the vocabulary is the original's; the first ones are
     * filled in afterwards. */
    mt_str *specials = mt_calloc(f.specials, sizeof *specials);
    if (!specials) {
        status = mt_nomem(err, f.specials * sizeof *specials, "the special tokens");
        goto done;
    }
    mt_unigram_options u = {.vocab_size = o->vocab_size,
                            .special = specials,
                            .special_len = f.specials,
                            .alphabet = alphabet,
                            .alphabet_len = f.required,
                            .max_piece_length = o->max_piece_length,
                            .seed_size = o->seed_size,
                            .shrinking_factor = o->shrinking_factor,
                            .sub_iterations = o->sub_iterations,
                            .threads = o->threads,
                            .style = MT_UNIGRAM_SENTENCEPIECE,
                            .ignore = UNKNOWN,
                            .valid = valid_piece,
                            .valid_user = &f,
                            .progress = o->progress,
                            .user = o->user};
    status = mt_train_unigram(&f.words, &u, &pieces, err);
    mt_free(specials);
    if (status != MT_OK) goto done;
    MT_TRY_GOTO(add_specials(&f, out, pieces.len - f.specials), done);
    for (size_t i = f.specials; i < pieces.len; i++) {
        int32_t id;
        MT_TRY_GOTO(mt_vocabulary_add(out, pieces.token[i], &id, err), done);
        out->score[id] = pieces.score[i];
    }
done:
    mt_free(alphabet);
    mt_free(text);
    mt_vocabulary_free(&pieces);
    close_framing(&f);
    if (status != MT_OK) mt_vocabulary_free(out);
    return status;
}
