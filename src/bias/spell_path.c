/* Segmenters that are no byte-pair encoding: which tokens may follow inside a pre-token.
 *
 *   best path     Unigram, and with equal scores the fewest tokens (PathPiece). The segmenter finds the best way to
 * every place of the word from left to right, and the best way to a place does not depend on what comes after it. So a
 * sequence of tokens can begin an encoding iff each of its prefixes is the best way to where it ends, which is a
 * property of the text so far and of the next token alone; and it does begin one where the word ends, or goes on such
 * that the best way leads through here (spell_mask.c asks). longest match a token may stand where no longer one
 * matches. Whether a longer one does can depend on bytes to come: what later tokens must not complete is kept.
 *
 * Both remember the word so far as a list of *active* starts: places from which a token may still reach beyond the end,
 * as nodes of the trie of all tokens; for best paths with the score of the way there, as the segmenter computes it
 * (same order, same rounding, from the word's beginning: ties and near-ties come out the same). Words with equal lists
 * have the same future and the same number.
 *
 *   best path, pieces a 0, ab -1, b -3, bc -1: after "a" the active starts are 0 (at "a") and 1 (at the root). "b"
 * would come to -3, "ab" to -1: b cannot follow a. "bc" comes to -1, "ab|c" is no way: bc can. */
#include "spell.h"

/* ---- the trie ---- */

static mt_status add_node(mt_spell *s, uint8_t byte, int32_t *out, mt_error *err) {
    MT_TRY(mt_grow((void **)&s->trie, &s->trie_cap, s->trie_count + 1, sizeof *s->trie, err));
    s->trie[s->trie_count] = (mt_spell_trie){.rank = -1, .byte = byte};
    *out = (int32_t)s->trie_count++;
    return MT_OK;
}

/* Of listed[lo..hi), which agree on `depth` bytes: the node's token and children. */
typedef struct span {
    size_t lo, hi, depth;
} span;

static mt_status grow_trie(mt_spell *s, const size_t *listed, size_t count, mt_error *err) {
    span *at = NULL;
    size_t cap = 0;
    int32_t node;
    mt_status status;
    MT_TRY_GOTO(add_node(s, 0, &node, err), done);
    MT_TRY_GOTO(mt_grow((void **)&at, &cap, 1, sizeof *at, err), done);
    at[0] = (span){0, count, 0};
    for (size_t n = 0; n < s->trie_count; n++) { /* breadth first: children stand together, by byte */
        span x = at[n];
        s->trie[n].first = x.lo < x.hi ? (int32_t)listed[x.lo] : 0;
        s->trie[n].last = x.lo < x.hi ? (int32_t)listed[x.hi - 1] : -1;
        for (; x.lo < x.hi && s->text[listed[x.lo]].n == x.depth; x.lo++)
            if (s->trie[n].rank < 0) s->trie[n].rank = (int32_t)listed[x.lo];
        s->trie[n].child = (int32_t)s->trie_count;
        while (x.lo < x.hi) {
            size_t end = x.lo;
            uint8_t byte = s->text[listed[x.lo]].p[x.depth];
            while (end < x.hi && s->text[listed[end]].p[x.depth] == byte) end++;
            MT_TRY_GOTO(add_node(s, byte, &node, err), done);
            MT_TRY_GOTO(mt_grow((void **)&at, &cap, s->trie_count, sizeof *at, err), done);
            at[node] = (span){x.lo, end, x.depth + 1};
            s->trie[n].children++;
            x.lo = end;
        }
    }
    for (int b = 0; b < 256; b++) s->trie_root[b] = -1;
    for (int32_t i = 0; i < s->trie[0].children; i++)
        s->trie_root[s->trie[s->trie[0].child + i].byte] = s->trie[0].child + i;
done:
    mt_free(at);
    return status;
}

static int32_t step(const mt_spell *s, int64_t node, uint8_t byte) {
    if (node == 0) return s->trie_root[byte];
    const mt_spell_trie *n = &s->trie[node];
    int32_t lo = n->child, hi = n->child + n->children;
    while (lo < hi) {
        int32_t mid = lo + (hi - lo) / 2;
        if (s->trie[mid].byte < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n->child + n->children && s->trie[lo].byte == byte ? lo : -1;
}

/* ---- words ---- */

static mt_status intern(mt_spell *s, const mt_spell_active *list, size_t count, int32_t *out, mt_error *err) {
    static const mt_spell_active none;
    if (count == 0) list = &none;
    mt_str key = {(const uint8_t *)list, count * sizeof *list};
    if (mt_map_get(&s->word_of, key, out)) return MT_OK;
    if (s->word_count >= MT_SPELL_STATES)
        return mt_fail(err, MT_ELIMIT, "the words of this text have more than %d spelling states", MT_SPELL_STATES);
    MT_TRY(mt_grow((void **)&s->word, &s->word_cap, s->word_count + 1, sizeof *s->word, err));
    key.p = mt_arena_copy(&s->word_keys, list, key.n);
    if (!key.p) return mt_nomem(err, key.n, "the spelling automaton's memory");
    MT_TRY(mt_map_set(&s->word_of, key, (int32_t)s->word_count, err));
    s->word[s->word_count] = key;
    *out = (int32_t)s->word_count++;
    return MT_OK;
}

mt_status mt_spell_paths(mt_spell *s, mt_error *err) {
    const mt_spell_source *src = &s->source;
    mt_status status;
    size_t n = 0, *listed = mt_array(s->count, sizeof *listed);
    s->score = mt_array(s->count, sizeof *s->score);
    if (!listed || !s->score) {
        status = mt_nomem(err, s->count * sizeof *listed, "the segmenter's tokens");
        goto done;
    }
    for (size_t i = 0; i < s->count; i++) {
        s->score[i] = 0;
        if (s->kind[i] != MT_SPELL_NORMAL || !src->matches(src->self, s->id[i], &s->score[i])) continue;
        listed[n++] = i;
        for (size_t k = 0; k < s->text[i].n; k++) s->alphabet[s->text[i].p[k]] = 1;
        if (!src->characters || mt_utf8_valid(s->text[i].p, s->text[i].n)) continue;
        char shown[64];
        status = mt_fail(err, MT_EUNKNOWN, "no exact byte model: piece %d \"%s\" ends inside a character", s->id[i],
                         mt_str_show(s->text[i], shown, sizeof shown));
        goto done;
    }
    MT_TRY_GOTO(grow_trie(s, listed, n, err), done);
    mt_spell_active root = {0, 0};
    MT_TRY_GOTO(intern(s, &root, src->rule == MT_SPELL_BEST_PATH, &s->no_word, err), done);
done:
    mt_free(listed);
    return status;
}

/* ---- one byte more ---- */

/* Where a token that begins at the word's end has got to. */
typedef struct lane {
    size_t first, count; /* its active starts, in s->active */
    int64_t own;         /* which of them is the token's; -1: none */
    int64_t own_node;    /* longest match: the token's, which is in no list */
    double from;         /* score at the beginning of the running character */
    int left;            /* bytes that it still lacks */
    bool fresh;          /* the last active start is the character's */
    bool wins;           /* the bytes so far are a token, and it may stand here */
} lane;

static mt_status push(mt_spell *s, mt_spell_active a, mt_error *err) {
    MT_TRY(mt_grow((void **)&s->active, &s->active_cap, s->active_count + 1, sizeof *s->active, err));
    s->active[s->active_count++] = a;
    return MT_OK;
}

/* Inside an unfinished character only its byte pieces can follow. */
static bool unfinished(const mt_spell *s, int32_t word) {
    const mt_spell_active *list = (const mt_spell_active *)(const void *)s->word[word].p;
    return s->word[word].n && list[0].node < 0;
}

static mt_status begin(mt_spell *s, int32_t word, lane *out, mt_error *err) {
    const mt_spell_active *list = (const mt_spell_active *)(const void *)s->word[word].p;
    size_t count = s->word[word].n / sizeof *list;
    *out = (lane){.first = s->active_count, .count = count, .own = -1};
    for (size_t i = 0; i < count; i++) MT_TRY(push(s, list[i], err));
    if (s->source.rule == MT_SPELL_BEST_PATH && count) out->own = (int64_t)count - 1;
    return MT_OK;
}

/* As the segmenter: of equally good ways the first one found stays. */
static void offer(const mt_spell *s, double score, bool own, bool *any, double *best, bool *wins) {
    if (*any && !(score > *best)) return;
    *best = s->source.single ? (double)(float)score : score;
    *any = true;
    *wins = own;
}

/* *dead: a token that had to be taken earlier is complete. */
static mt_status advance(mt_spell *s, const lane *in, uint8_t byte, lane *out, bool *dead, mt_error *err) {
    bool paths = s->source.rule == MT_SPELL_BEST_PATH, any = false, wins = false, alone = false;
    double best = 0;
    lane next = *in;
    next.first = s->active_count;
    next.own = -1;
    *dead = false;
    MT_TRY(mt_grow((void **)&s->active, &s->active_cap, s->active_count + in->count + 1, sizeof *s->active, err));
    if (paths && in->left == 0) {
        next.left = s->source.characters ? mt_utf8_length(byte) : 1;
        if (next.left == 0) next.left = 1;
        next.from = s->active[in->first + in->count - 1].value;
        next.fresh = true;
    }
    next.left--;
    for (size_t i = 0; i < in->count && !*dead; i++) {
        mt_spell_active a = s->active[in->first + i];
        bool last = i + 1 == in->count, own = (int64_t)i == in->own;
        a.node = step(s, a.node, byte);
        if (a.node < 0) {
            if (last) next.fresh = false;
            continue;
        }
        int32_t rank = s->trie[a.node].rank;
        if (rank >= 0 && !paths) *dead = true;
        if (rank >= 0 && paths) {
            offer(s, s->score[rank] + a.value, own, &any, &best, &wins);
            alone |= last && next.fresh;
        }
        if (own) next.own = (int64_t)(s->active_count - next.first);
        s->active[s->active_count++] = a;
    }
    if (paths) {
        if (next.left == 0 && !alone) offer(s, s->source.unknown_score + next.from, false, &any, &best, &wins);
        if (any) s->active[s->active_count++] = (mt_spell_active){0, best};
        if (any) next.left = 0, next.fresh = false;
    } else if (next.own_node >= 0) {
        next.own_node = step(s, next.own_node, byte);
        wins = next.own_node >= 0 && s->trie[next.own_node].rank >= 0;
    }
    next.count = s->active_count - next.first;
    next.wins = wins;
    *out = next;
    return MT_OK;
}

/* The word after a byte piece: a character that is no piece, in as many pieces as it has bytes. It stands in no token,
 * so every way leads through its ends. The list is one entry: node -1 - (bytes that it lacks), or the root. */
static mt_status add_byte(mt_spell *s, int32_t word, uint8_t byte, int32_t *out, mt_error *err) {
    const mt_spell_active *list = (const mt_spell_active *)(const void *)s->word[word].p;
    mt_spell_active at = list[s->word[word].n / sizeof *list - 1];
    int64_t left = at.node < 0 ? -1 - at.node : mt_utf8_length(byte);
    at.node = left > 1 ? -left : 0;
    if (at.node == 0) {
        at.value += s->source.unknown_score;
        if (s->source.single) at.value = (float)at.value;
    }
    return intern(s, &at, 1, out, err);
}

mt_status mt_spell_word_add(mt_spell *s, int32_t word, size_t rank, int32_t *out, mt_error *err) {
    lane at;
    bool dead = false;
    mt_status status;
    *out = -1;
    if (s->kind[rank] == MT_SPELL_BYTE) return add_byte(s, word, s->text[rank].p[0], out, err);
    if (unfinished(s, word)) return MT_OK;
    s->active_count = 0;
    MT_TRY_GOTO(begin(s, word, &at, err), done);
    for (size_t i = 0; i < s->text[rank].n && !dead; i++)
        MT_TRY_GOTO(advance(s, &at, s->text[rank].p[i], &at, &dead, err), done);
    if (dead || !at.wins) goto done;
    int32_t node = 0;
    for (size_t i = 0; i < s->text[rank].n && node >= 0; i++) node = step(s, node, s->text[rank].p[i]);
    if (node < 0 || s->trie[node].rank != (int32_t)rank) goto done; /* another token with the same bytes */
    if (s->source.rule == MT_SPELL_LONGEST && s->trie[node].children)
        MT_TRY_GOTO(push(s, (mt_spell_active){node, 0}, err), done);
    size_t first = at.first, kept = 0, count = s->active_count - first;
    for (size_t i = 0; i < count; i++) { /* what no token reaches beyond is over */
        mt_spell_active a = s->active[first + i];
        if (s->trie[a.node].children || (s->source.rule == MT_SPELL_BEST_PATH && i + 1 == count))
            s->active[first + kept++] = a;
    }
    status = intern(s, s->active + first, kept, out, err);
done:
    s->active_count = 0;
    return status;
}

static bool any(const uint64_t *a, const uint64_t *b, int32_t first, int32_t last) {
    for (int32_t w = first >> 6; w <= last >> 6; w++) {
        uint64_t bits = a[w] | b[w];
        if (w == first >> 6) bits &= ~(uint64_t)0 << (first & 63);
        if (w == last >> 6) bits &= ~(uint64_t)0 >> (63 - (last & 63));
        if (bits) return true;
    }
    return false;
}

mt_status mt_spell_word_mask(mt_spell *s, int32_t word, const uint64_t *a, const uint64_t *b, uint64_t *bits,
                             mt_error *err) {
    typedef struct frame {
        lane at;
        int32_t node, next;
    } frame;
    frame *stack = mt_array(s->longest + 1, sizeof *stack);
    size_t depth = 0;
    mt_status status = MT_OK;
    memset(bits, 0, s->words * 8);
    if (!stack) return mt_nomem(err, (s->longest + 1) * sizeof *stack, "a walk over the tokens");
    s->active_count = 0;
    for (size_t i = 0; i < s->byte_count; i++)
        bits[s->byte[i] >> 6] |= (uint64_t)1 << (s->byte[i] & 63); /* the character decides */
    stack[0] = (frame){.node = 0, .next = s->trie[0].child};
    if (!unfinished(s, word)) MT_TRY_GOTO(begin(s, word, &stack[0].at, err), done);
    while (!unfinished(s, word)) {
        frame *f = &stack[depth];
        if (f->next == s->trie[f->node].child + s->trie[f->node].children) {
            if (depth == 0) break;
            s->active_count = f->at.first;
            depth--;
            continue;
        }
        int32_t node = f->next++;
        bool dead;
        lane next;
        if (a && b && !any(a, b, s->trie[node].first, s->trie[node].last)) continue;
        s->active_count = f->at.first + f->at.count;
        MT_TRY_GOTO(advance(s, &f->at, s->trie[node].byte, &next, &dead, err), done);
        if (dead) continue;
        int32_t rank = s->trie[node].rank;
        if (rank >= 0 && next.wins) bits[rank >> 6] |= (uint64_t)1 << (rank & 63);
        stack[++depth] = (frame){next, node, s->trie[node].child};
    }
done:
    s->active_count = 0;
    mt_free(stack);
    return status;
}

void mt_spell_paths_free(mt_spell *s) {
    mt_free(s->trie);
    mt_free(s->score);
    mt_free(s->active);
    mt_free(s->word);
    mt_map_free(&s->word_of);
    mt_arena_free(&s->word_keys);
    mt_free(s->no_word_mask);
}
