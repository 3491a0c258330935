/* Tokens on the automaton of spell.h: which may follow a context, and the place after one that does.
 *
 * For a guess "a pre-token ended here" any token that merges alone produce may follow, whatever stands to the left. For
 * "the pre-token goes on" the pair test decides in addition. What depends on the state alone (the token's bytes can be
 * walked, and something can come after them) is a bit set per state, built in one walk over the sorted vocabulary that
 * shares the work of common prefixes; the pair test is asked only for what is left.
 *
 * ignore_merges emits a whole pre-token that is a token, even one that merges do not produce ("hidden"). So a hidden
 * token may only be the whole of a pre-token, and several tokens may not spell a whole pre-token that equals a hidden
 * one. Guesses inside a pre-token therefore remember which hidden tokens start with it (`seen`). */
#include "spell.h"

static bool constrains(const mt_spell *s, int32_t left) {
    return left >= 0 && s->kind[left] == MT_SPELL_NORMAL;
}
static mt_status pair_ok(mt_spell *s, int32_t left, size_t right, bool *yes, mt_error *err) {
    *yes = true;
    if (!constrains(s, left) || s->kind[right] != MT_SPELL_NORMAL) return MT_OK;
    return s->source.pair_ok(s->source.self, s->id[left], s->id[right], yes, err);
}
/* What stands to the left, as far as it decides about what follows inside a pre-token: the last token (-1: none), or
 * where paths decide the word so far. *after: the same behind `right`, -1: it may not follow. */
static mt_status join(mt_spell *s, int32_t left, size_t right, int32_t *after, mt_error *err) {
    if (s->source.rule != MT_SPELL_PAIRS) return mt_spell_word_add(s, left, right, after, err);
    bool yes;
    MT_TRY(pair_ok(s, left, right, &yes, err));
    *after = yes ? (int32_t)right : -1;
    return MT_OK;
}
/* Do merges produce the token? (Byte pieces are no affair of merges.) */
static mt_status merged(mt_spell *s, size_t rank, bool *yes, mt_error *err) {
    *yes = true;
    return s->kind[rank] == MT_SPELL_NORMAL ? mt_spell_reachable(s, rank, yes, err) : MT_OK;
}

/* ---- a walk over all tokens whose bytes can be followed from a state ---- */

typedef struct walk {
    size_t rank;  /* next token to look at */
    size_t depth; /* path[0..depth] is valid for the previous token */
} walk;

/* First rank after i whose token does not share the first n bytes of token i. */
static size_t past_prefix(const mt_spell *s, size_t i, size_t n) {
    const uint8_t *p = s->text[i].p;
    size_t lo = i, step = 1, hi;
    while (lo + step < s->count && s->text[lo + step].n >= n && memcmp(s->text[lo + step].p, p, n) == 0) {
        lo += step;
        step *= 2;
    }
    hi = lo + step < s->count ? lo + step : s->count;
    while (lo + 1 < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->text[mid].n >= n && memcmp(s->text[mid].p, p, n) == 0)
            lo = mid;
        else
            hi = mid;
    }
    return hi;
}

/* The next token and the state after it; false at the end. The stack s->path is shared: one walk at a time. */
static mt_status walk_next(mt_spell *s, walk *w, int32_t base, bool *more, size_t *rank, int32_t *after,
                           mt_error *err) {
    if (s->states[base].key.tail) { /* inside an unfinished character only byte pieces can follow */
        *more = w->rank < s->byte_count;
        if (!*more) return MT_OK;
        *rank = (size_t)s->byte[w->rank++];
        return mt_spell_step(s, base, s->text[*rank].p[0], after, err);
    }
    if (w->rank == 0) {
        s->path[0] = base;
        w->depth = 0;
    }
    for (; w->rank < s->count; w->rank++) {
        size_t i = w->rank, d = s->common[i] < w->depth ? s->common[i] : w->depth;
        if (s->common[i] > w->depth) { /* shares the byte that could not be followed */
            w->rank = past_prefix(s, i, w->depth + 1) - 1;
            continue;
        }
        for (; d < s->text[i].n; d++) {
            MT_TRY(mt_spell_step(s, s->path[d], s->text[i].p[d], &s->path[d + 1], err));
            if (s->path[d + 1] == MT_SPELL_DEAD) break;
        }
        w->depth = d;
        if (d < s->text[i].n) continue;
        *rank = i;
        *after = s->path[d];
        *more = true;
        w->rank++;
        return MT_OK;
    }
    *more = false;
    return MT_OK;
}

/* The inside state after a token whose bytes led from `before` to `after`: byte pieces move the unfinished character.
 */
static mt_status land(mt_spell *s, size_t rank, int32_t before, int32_t after, int32_t *out, mt_error *err) {
    *out = MT_SPELL_DEAD;
    if (after == MT_SPELL_DEAD) return MT_OK;
    uint32_t tail = s->states[before].key.tail;
    if (s->kind[rank] == MT_SPELL_BYTE) {
        if (!mt_spell_tail_add(s, tail, s->text[rank].p[0], &tail)) return MT_OK;
        return mt_spell_with_tail(s, after, tail, out, err);
    }
    if (s->kind[rank] == MT_SPELL_NORMAL && !tail) *out = after;
    return MT_OK;
}

/* ---- can a pre-token go on after a token? ----
 *
 * Breadth-first search over (last token, state): is there a sequence of tokens that merges produce to a place where the
 * pre-token may end? It almost never runs: nearly always the pre-token may end right after the token. */

typedef struct going {
    int32_t left, state; /* left: as join has it */
    mt_spell_seen seen;
    int32_t from;   /* queue entry that led here; the key ends before it */
    int32_t answer; /* place in s->answers */
} going;
enum { GOES_NO, GOES_YES, GOES_OPEN, GOES_UNKNOWN };

/* The answer's place in s->answers; made when there is none. */
static mt_status answer_of(mt_spell *s, const going *g, int32_t *place, mt_error *err) {
    mt_str key = {(const uint8_t *)g, offsetof(going, from)};
    if (mt_map_get(&s->goes_on, key, place)) return MT_OK;
    *place = (int32_t)s->answers.len;
    key.p = mt_arena_copy(&s->goes_on_keys, g, key.n);
    if (!key.p) return mt_nomem(err, key.n, "the spelling automaton's memory");
    MT_TRY(mt_buf_reserve(&s->answers, 1, err));
    MT_TRY(mt_map_set(&s->goes_on, key, *place, err));
    return mt_buf_byte(&s->answers, GOES_UNKNOWN, err);
}

enum { GOING_LIMIT = 1 << 12 }; /* words are many: the search ends somewhere */

static mt_status goes_on(mt_spell *s, int32_t left, int32_t state, mt_spell_seen seen, bool *out, mt_error *err) {
    going *queue = NULL;
    size_t cap = 0, len = 0, head = 0;
    going first = {left, state, seen, -1, 0};
    MT_TRY(answer_of(s, &first, &first.answer, err));
    if (s->answers.data[first.answer] <= GOES_YES) {
        *out = s->answers.data[first.answer] == GOES_YES;
        return MT_OK;
    }
    mt_status status = MT_OK;
    bool found = false;
    MT_TRY(mt_grow((void **)&queue, &cap, 1, sizeof *queue, err));
    queue[len++] = first;
    s->answers.data[first.answer] = GOES_OPEN;
    for (; head < len; head++) {
        going at = queue[head];
        if (s->source.rule == MT_SPELL_BEST_PATH && head == GOING_LIMIT) {
            status = mt_fail(err, MT_ELIMIT, "no exact byte model: whether a word can go on took more than %d steps",
                             (int)GOING_LIMIT);
            goto done;
        }
        for (walk w = {0}; !found;) {
            bool more;
            size_t next;
            int32_t after;
            MT_TRY_GOTO(walk_next(s, &w, at.state, &more, &next, &after, err), done);
            if (!more) break;
            MT_TRY_GOTO(land(s, next, at.state, after, &after, err), done);
            int32_t joined = -1;
            bool may = after != MT_SPELL_DEAD;
            if (may) MT_TRY_GOTO(merged(s, next, &may, err), done);
            if (may) MT_TRY_GOTO(join(s, at.left, next, &joined, err), done);
            if (joined < 0) continue;
            going to = {joined, after, mt_spell_seen_add(s, at.seen, s->text[next]), (int32_t)head, 0};
            if (!mt_spell_seen_whole(s, to.seen)) {
                MT_TRY_GOTO(mt_spell_close_any(s, after, &found, err), done);
                if (found) break;
            }
            MT_TRY_GOTO(answer_of(s, &to, &to.answer, err), done);
            uint8_t known = s->answers.data[to.answer];
            found = known == GOES_YES;
            if (known != GOES_UNKNOWN) continue;
            MT_TRY_GOTO(mt_grow((void **)&queue, &cap, len + 1, sizeof *queue, err), done);
            queue[len++] = to;
            s->answers.data[to.answer] = GOES_OPEN;
        }
        if (found) break;
    }
    *out = found;
done:
    for (size_t i = 0; i < len; i++) s->answers.data[queue[i].answer] = found || status ? GOES_UNKNOWN : GOES_NO;
    if (found && !status)
        for (int32_t i = (int32_t)head; i >= 0; i = queue[i].from) s->answers.data[queue[i].answer] = GOES_YES;
    mt_free(queue);
    return status;
}

/* Can anything come after this token, which stands first in its pre-token or not? left: behind it, as join has it. */
static mt_status live_after(mt_spell *s, size_t rank, int32_t left, int32_t after, bool first, mt_spell_seen seen,
                            bool *out, mt_error *err) {
    *out = false;
    if (first || !mt_spell_seen_whole(s, seen)) MT_TRY(mt_spell_close_any(s, after, out, err));
    bool may = !*out;
    if (may) MT_TRY(merged(s, rank, &may, err));
    return !may ? MT_OK : goes_on(s, left, after, seen, out, err);
}

/* ---- masks ---- */

static void set_bit(uint64_t *bits, size_t i) {
    bits[i >> 6] |= (uint64_t)1 << (i & 63);
}
static void clear_bit(uint64_t *bits, size_t i) {
    bits[i >> 6] &= ~((uint64_t)1 << (i & 63));
}
static bool get_bit(const uint64_t *bits, size_t i) {
    return bits[i >> 6] >> (i & 63) & 1;
}

enum { MASK_BYTES = 32 << 20 }; /* of state masks that are kept */

/* Tokens that can begin a pre-token, where paths decide. */
static mt_status begins_mask(mt_spell *s, const uint64_t **out, mt_error *err) {
    if (!s->no_word_mask) {
        s->no_word_mask = mt_calloc(s->words, sizeof *s->no_word_mask);
        if (!s->no_word_mask) return mt_nomem(err, s->words * 8, "the tokens that can begin a word");
        mt_status status = mt_spell_word_mask(s, s->no_word, NULL, NULL, s->no_word_mask, err);
        if (status) {
            mt_free(s->no_word_mask);
            s->no_word_mask = NULL;
            return status;
        }
    }
    *out = s->no_word_mask;
    return MT_OK;
}

/* Tokens that can follow in this state whatever stands to the left and, inside a pre-token, as far as `seen` is empty.
 * Where paths decide, inside a pre-token: as far as the word lets them; after those of `more` it must still go on. */
static mt_status state_mask(mt_spell *s, int32_t id, const uint64_t **out, mt_error *err) {
    if (s->states[id].mask) {
        *out = s->states[id].mask;
        return MT_OK;
    }
    if ((s->masks + 1) * s->words * 8 > MASK_BYTES) {
        for (size_t i = 0; i < s->state_count; i++) {
            mt_free(s->states[i].mask);
            mt_free(s->states[i].more);
            s->states[i].mask = s->states[i].more = NULL;
        }
        s->masks = 0;
    }
    bool first = mt_spell_is_boundary(s, id), paths = s->source.rule != MT_SPELL_PAIRS;
    uint64_t *bits = mt_calloc(s->words, sizeof *bits), *unclosed = NULL;
    const uint64_t *begins = NULL;
    mt_status status = MT_OK;
    if (bits && paths && !first) unclosed = mt_calloc(s->words, sizeof *unclosed);
    if (!bits || (paths && !first && !unclosed)) {
        mt_free(bits);
        return mt_nomem(err, s->words * 8, "the tokens that can follow");
    }
    int32_t base = id;
    /* The tokens of a walk that need more thought are put aside: thinking uses the walk's stack. */
    mt_ids later = {0};
    if (first && paths) MT_TRY_GOTO(begins_mask(s, &begins, err), fail);
    if (first) {
        for (size_t i = 0; i < s->user_count; i++) {
            int32_t cut;
            MT_TRY_GOTO(mt_spell_cut(s, id, i, &cut, err), fail);
            if (cut != MT_SPELL_DEAD) set_bit(bits, (size_t)s->user[i]);
        }
        MT_TRY_GOTO(mt_spell_open(s, id, &base, err), fail);
    }
    for (walk w = {0}; base != MT_SPELL_DEAD;) {
        bool more;
        size_t rank;
        int32_t after;
        bool closes;
        MT_TRY_GOTO(walk_next(s, &w, base, &more, &rank, &after, err), fail);
        if (!more) break;
        bool plain;
        if (begins && !get_bit(begins, rank)) continue;
        MT_TRY_GOTO(merged(s, rank, &plain, err), fail);
        if (!plain && !(first && s->source.ignore_merges)) continue;
        MT_TRY_GOTO(land(s, rank, base, after, &after, err), fail);
        if (after == MT_SPELL_DEAD) continue;
        MT_TRY_GOTO(mt_spell_close_any(s, after, &closes, err), fail);
        if (closes) {
            set_bit(bits, rank);
        } else if (unclosed) {
            set_bit(unclosed, rank);
        } else if (plain) {
            MT_TRY_GOTO(mt_ids_add(&later, (int32_t)rank, err), fail);
            MT_TRY_GOTO(mt_ids_add(&later, after, err), fail);
        }
    }
    for (size_t i = 0; i < later.len; i += 2) {
        size_t rank = (size_t)later.data[i];
        mt_spell_seen seen = {0, 0, 0};
        if (first) seen = mt_spell_seen_add(s, mt_spell_seen_all(s), s->text[rank]);
        bool live = true;
        int32_t left = (int32_t)rank;
        if (paths) MT_TRY_GOTO(mt_spell_word_add(s, s->no_word, rank, &left, err), fail);
        if (left >= 0) MT_TRY_GOTO(goes_on(s, left, later.data[i + 1], seen, &live, err), fail);
        if (left >= 0 && live) set_bit(bits, rank);
    }
    mt_ids_free(&later);
    s->states[id].mask = bits;
    s->states[id].more = unclosed;
    s->masks++;
    s->stats.mask_builds++;
    *out = bits;
    return MT_OK;
fail:
    mt_ids_free(&later);
    mt_free(bits);
    mt_free(unclosed);
    return status;
}

/* With the pre-token so far a proper prefix of hidden tokens: what would complete one may not be its end. Asks again
 * about the tokens that lead along a hidden one; the others leave the list and are not concerned. */
static mt_status correct_mask(mt_spell *s, const mt_spell_guess *g, uint64_t *bits, mt_error *err) {
    for (int32_t h = g->seen.lo; h < g->seen.hi; h++) {
        mt_str whole = s->text[s->hidden[h]];
        size_t lo = 0, hi = s->count;
        int32_t at = g->state;
        for (size_t end = (size_t)g->seen.depth; end < whole.n && lo < hi; end++) {
            size_t depth = end - (size_t)g->seen.depth;
            mt_spell_narrow(s, &lo, &hi, depth, whole.p[end]);
            MT_TRY(mt_spell_step(s, at, whole.p[end], &at, err));
            if (at == MT_SPELL_DEAD) break;
            mt_str rest = {whole.p + g->seen.depth, depth + 1};
            for (size_t i = lo; i < hi && s->text[i].n == rest.n; i++) {
                bool live;
                if (!get_bit(bits, i)) continue;
                MT_TRY(live_after(s, i, (int32_t)i, at, false, mt_spell_seen_add(s, g->seen, rest), &live, err));
                if (!live) clear_bit(bits, i);
            }
        }
    }
    return MT_OK;
}

static mt_status place_key(const mt_spell *s, const mt_spell_place *place, int32_t left, mt_buf *key, mt_error *err) {
    bool inside = false;
    for (size_t i = 0; i < place->count; i++) inside |= !mt_spell_is_boundary(s, place->guess[i].state);
    if (!inside || !constrains(s, left) || s->source.rule != MT_SPELL_PAIRS) left = -1;
    MT_TRY(mt_buf_add(key, &left, sizeof left, err));
    for (size_t i = 0; i < place->count; i++) {
        MT_TRY(mt_buf_add(key, &place->guess[i].word, sizeof place->guess[i].word, err));
        MT_TRY(mt_buf_add(key, &place->guess[i].state, sizeof place->guess[i].state, err));
        MT_TRY(mt_buf_add(key, &place->guess[i].seen, sizeof place->guess[i].seen, err));
    }
    return MT_OK;
}

/* Inside a pre-token, where paths decide: what the word lets follow, in the state's terms. */
static mt_status word_bits(mt_spell *s, const mt_spell_guess *g, const uint64_t *mask, uint64_t *own, uint64_t *bits,
                           mt_error *err) {
    const uint64_t *more = s->states[g->state].more;
    MT_TRY(mt_spell_word_mask(s, g->word, mask, more, own, err));
    for (size_t w = 0; w < s->words; w++) bits[w] |= own[w] & mask[w];
    for (size_t w = 0; w < s->words; w++)
        for (uint64_t rest = own[w] & more[w] & ~bits[w]; rest; rest &= rest - 1) {
            size_t i = w * 64 + (size_t)__builtin_ctzll(rest);
            int32_t at = g->state, before = g->state, word;
            bool live = false;
            for (size_t d = 0; d < s->text[i].n && at != MT_SPELL_DEAD; d++)
                MT_TRY(mt_spell_step(s, at, s->text[i].p[d], &at, err));
            MT_TRY(land(s, i, before, at, &at, err));
            if (at == MT_SPELL_DEAD) continue;
            MT_TRY(mt_spell_word_add(s, g->word, i, &word, err));
            if (word >= 0) MT_TRY(goes_on(s, word, at, (mt_spell_seen){0, 0, 0}, &live, err));
            if (live) set_bit(bits, i);
        }
    return MT_OK;
}

static mt_status build_place_mask(mt_spell *s, const mt_spell_place *place, int32_t left, uint64_t *bits, uint64_t *own,
                                  mt_error *err) {
    memset(bits, 0, s->words * 8);
    if (s->source.free) {
        for (size_t i = 0; i < s->count; i++) set_bit(bits, i);
        return MT_OK;
    }
    for (int pass = 0; pass < 2; pass++) /* boundaries first: what they allow needs no pair test */
        for (size_t g = 0; g < place->count; g++) {
            const mt_spell_guess *guess = &place->guess[g];
            const uint64_t *mask;
            if (mt_spell_is_boundary(s, guess->state) != (pass == 0)) continue;
            MT_TRY(state_mask(s, guess->state, &mask, err));
            if (pass == 0) {
                for (size_t w = 0; w < s->words; w++) bits[w] |= mask[w];
                continue;
            }
            if (s->source.rule != MT_SPELL_PAIRS) {
                MT_TRY(word_bits(s, guess, mask, own, bits, err));
                continue;
            }
            memcpy(own, mask, s->words * 8);
            if (guess->seen.lo < guess->seen.hi) MT_TRY(correct_mask(s, guess, own, err));
            for (size_t w = 0; w < s->words; w++)
                for (uint64_t left_bits = own[w] & ~bits[w]; left_bits; left_bits &= left_bits - 1) {
                    size_t i = w * 64 + (size_t)__builtin_ctzll(left_bits);
                    bool may;
                    MT_TRY(pair_ok(s, left, i, &may, err));
                    if (may) set_bit(bits, i);
                }
        }
    return MT_OK;
}

mt_status mt_spell_mask(mt_spell *s, const mt_spell_place *place, int32_t left, const uint64_t **out, mt_error *err) {
    mt_buf key = {0};
    mt_status status = place_key(s, place, left, &key, err);
    uint64_t *own = NULL;
    if (status) goto done;
    mt_spell_cached *oldest = &s->cached[0];
    for (size_t i = 0; i < s->cached_limit; i++) {
        mt_spell_cached *c = &s->cached[i];
        if (c->bits && c->key.len == key.len && memcmp(c->key.data, key.data, key.len) == 0) {
            c->used = ++s->clock;
            s->stats.mask_hits++;
            *out = c->bits;
            goto done;
        }
        if (c->used < oldest->used) oldest = c;
    }
    oldest->used = 0;
    oldest->key.len = 0;
    if (!oldest->bits) {
        oldest->bits = mt_calloc(s->words, 8);
        if (!oldest->bits) {
            status = mt_nomem(err, s->words * 8, "the tokens that can follow");
            goto done;
        }
        s->stats.place_masks++;
    }
    own = mt_calloc(s->words, 8);
    if (!own) {
        status = mt_nomem(err, s->words * 8, "the tokens that can follow");
        goto done;
    }
    MT_TRY_GOTO(build_place_mask(s, place, left, oldest->bits, own, err), done);
    mt_buf_free(&oldest->key);
    oldest->key = key;
    key = (mt_buf){0};
    oldest->used = ++s->clock;
    *out = oldest->bits;
done:
    mt_buf_free(&key);
    mt_free(own);
    return status;
}

/* ---- places ---- */

static mt_status add_guess(mt_spell *s, mt_spell_place *place, int32_t state, int32_t word, mt_spell_seen seen,
                           mt_error *err) {
    for (size_t i = 0; i < place->count; i++) {
        const mt_spell_guess *g = &place->guess[i];
        if (g->state == state && g->word == word && g->seen.lo == seen.lo && g->seen.hi == seen.hi &&
            g->seen.depth == seen.depth)
            return MT_OK;
    }
    int32_t at = state;
    if (mt_spell_is_boundary(s, state)) MT_TRY(mt_spell_open(s, state, &at, err));
    MT_TRY(mt_grow((void **)&place->guess, &place->cap, place->count + 1, sizeof *place->guess, err));
    place->guess[place->count++] = (mt_spell_guess){state, at, word, seen};
    return MT_OK;
}

mt_status mt_spell_rewind(mt_spell *s, mt_spell_place *place, mt_error *err) {
    for (size_t i = 0; i < place->count; i++) {
        mt_spell_guess *g = &place->guess[i];
        g->at = g->state;
        if (mt_spell_is_boundary(s, g->state)) MT_TRY(mt_spell_open(s, g->state, &g->at, err));
    }
    return MT_OK;
}

mt_status mt_spell_begin(mt_spell *s, mt_spell_place *place, mt_error *err) {
    place->count = 0;
    return add_guess(s, place, MT_SPELL_ROOT, 0, (mt_spell_seen){0, 0, 0}, err);
}

/* One guess about a context and one token after it: the inside state behind the token, or DEAD. *left: what stands to
 * the left, as join has it; then behind the token. */
static mt_status try_guess(mt_spell *s, const mt_spell_guess *g, int32_t *left, size_t rank, size_t residual,
                           bool *first, int32_t *after, mt_spell_seen *seen, mt_error *err) {
    *after = MT_SPELL_DEAD;
    *first = mt_spell_is_boundary(s, g->state);
    if (g->at == MT_SPELL_DEAD) return MT_OK;
    bool may;
    MT_TRY(merged(s, rank, &may, err));
    if (!may && !(*first && s->source.ignore_merges)) return MT_OK;
    int32_t at = g->at, base = g->state;
    for (size_t d = residual; d < s->text[rank].n; d++) {
        MT_TRY(mt_spell_step(s, at, s->text[rank].p[d], &at, err));
        if (at == MT_SPELL_DEAD) return MT_OK;
    }
    if (s->source.rule != MT_SPELL_PAIRS)
        *left = *first ? s->no_word : g->word;
    else if (*first)
        *left = -1;
    MT_TRY(join(s, *left, rank, left, err));
    if (*left < 0) return MT_OK;
    *seen = mt_spell_seen_add(s, *first ? mt_spell_seen_all(s) : g->seen, s->text[rank]);
    return land(s, rank, base, at, after, err);
}

static size_t user_index(const mt_spell *s, size_t rank) {
    size_t i = 0;
    while (s->user[i] != (int32_t)rank) i++;
    return i;
}

mt_status mt_spell_follow(mt_spell *s, const mt_spell_place *place, int32_t left, size_t rank, mt_spell_place *out,
                          mt_error *err) {
    out->count = 0;
    if (s->source.free) return add_guess(s, out, MT_SPELL_ROOT, 0, (mt_spell_seen){0, 0, 0}, err);
    for (size_t i = 0; i < place->count; i++) {
        mt_spell_guess g = place->guess[i];
        if (s->kind[rank] == MT_SPELL_USER) {
            int32_t cut;
            if (!mt_spell_is_boundary(s, g.state)) continue;
            MT_TRY(mt_spell_cut(s, g.state, user_index(s, rank), &cut, err));
            if (cut != MT_SPELL_DEAD) MT_TRY(add_guess(s, out, cut, 0, (mt_spell_seen){0, 0, 0}, err));
            continue;
        }
        g.at = g.state;
        if (mt_spell_is_boundary(s, g.state)) MT_TRY(mt_spell_open(s, g.state, &g.at, err));
        bool first;
        int32_t after, closed, behind = left;
        mt_spell_seen seen;
        MT_TRY(try_guess(s, &g, &behind, rank, 0, &first, &after, &seen, err));
        if (after == MT_SPELL_DEAD) continue;
        for (int32_t l = 0; l < s->source.levels && (first || !mt_spell_seen_whole(s, seen)); l++) {
            MT_TRY(mt_spell_close(s, after, l, &closed, err));
            if (closed != MT_SPELL_DEAD) MT_TRY(add_guess(s, out, closed, 0, (mt_spell_seen){0, 0, 0}, err));
        }
        bool live;
        MT_TRY(merged(s, rank, &live, err));
        if (live) {
            MT_TRY(goes_on(s, behind, after, seen, &live, err));
            int32_t word = s->source.rule != MT_SPELL_PAIRS ? behind : 0;
            if (live) MT_TRY(add_guess(s, out, after, word, seen, err));
        }
    }
    return MT_OK;
}

mt_status mt_spell_member(mt_spell *s, const mt_spell_place *place, int32_t left, size_t rank, size_t residual,
                          bool *out, mt_error *err) {
    *out = s->source.free;
    for (size_t i = 0; i < place->count && !*out; i++) {
        const mt_spell_guess *g = &place->guess[i];
        if (s->kind[rank] == MT_SPELL_USER) {
            int32_t cut = MT_SPELL_DEAD;
            if (mt_spell_is_boundary(s, g->state)) MT_TRY(mt_spell_cut(s, g->state, user_index(s, rank), &cut, err));
            *out = cut != MT_SPELL_DEAD;
            continue;
        }
        bool first;
        int32_t after, behind = left;
        mt_spell_seen seen;
        MT_TRY(try_guess(s, g, &behind, rank, residual, &first, &after, &seen, err));
        if (after != MT_SPELL_DEAD) MT_TRY(live_after(s, rank, behind, after, first, seen, out, err));
    }
    return MT_OK;
}

mt_status mt_spell_walk(mt_spell *s, const mt_spell_place *place, uint8_t b, int32_t *at, bool *alive, mt_error *err) {
    *alive = s->user_count > 0 || s->source.free;
    for (size_t i = 0; i < place->count; i++) {
        at[i] = place->guess[i].at;
        if (!s->source.free) MT_TRY(mt_spell_step(s, at[i], b, &at[i], err));
        *alive |= at[i] != MT_SPELL_DEAD;
    }
    return MT_OK;
}

mt_status mt_spell_ends(mt_spell *s, const mt_spell_place *place, bool *out, mt_error *err) {
    *out = s->source.free;
    for (size_t i = 0; i < place->count && !*out; i++)
        if (mt_spell_is_boundary(s, place->guess[i].state))
            MT_TRY(mt_spell_may_end(s, place->guess[i].state, out, err));
    return MT_OK;
}

void mt_spell_place_free(mt_spell_place *place) {
    mt_free(place->guess);
    *place = (mt_spell_place){0};
}
