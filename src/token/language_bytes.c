/* What a language of tokens spells: the image of its automaton under the homomorphism from tokens to bytes (methods:
 * tokenization, 6.1). The inverse image of a regular language is regular, and so is the image: here by subsets.
 *
 * A place is a state of the token automaton and how far one goes into a token from there: the tokens that begin with
 * the bytes read since lie side by side among the sorted ones. A subset of places is a state of the byte automaton;
 * states that tell no texts apart are merged (Moore 1956), dead ends removed.
 *
 *   tokens a, b, ab; language a b | ab: both sequences spell ab, and the image is the one path of bytes a, b */
#include "../base/sort.h"
#include "language.h"
#include "tok.h"

typedef struct place {
    int32_t state, lo, hi, depth; /* sorted[lo..hi) share `depth` bytes; depth 0: at the state itself */
} place;
typedef struct places {
    place *item;
    size_t len, cap;
} places;

typedef struct builder {
    mt_language *l;
    mt_tok *tok;
    const int32_t *sorted;
    int32_t sorted_len, limit;
    mt_map subset; /* places, in order -> state */
    mt_arena arena;
    mt_str *known; /* by state: its places */
    size_t known_cap;
    int32_t *next; /* [state * 256 + byte], -1: none */
    size_t next_cap;
    uint8_t *accepts;
    size_t accepts_cap;
    int32_t states;
    places here;
    mt_error *err;
} builder;

static int compare(const void *x, const void *y, void *context) {
    const place *a = x, *b = y;
    (void)context;
    if (a->state != b->state) return a->state < b->state ? -1 : 1;
    if (a->lo != b->lo) return a->lo < b->lo ? -1 : 1;
    if (a->hi != b->hi) return a->hi < b->hi ? -1 : 1;
    return a->depth < b->depth ? -1 : a->depth > b->depth;
}

static mt_status put(builder *b, place p) {
    MT_TRY(mt_grow((void **)&b->here.item, &b->here.cap, b->here.len + 1, sizeof p, b->err));
    b->here.item[b->here.len++] = p;
    return MT_OK;
}

/* The state that stands for the places collected in `here`. */
static mt_status intern(builder *b, int32_t *out) {
    places *h = &b->here;
    size_t n = 0;
    mt_sort(h->item, h->len, sizeof *h->item, compare, NULL);
    for (size_t i = 0; i < h->len; i++)
        if (!n || compare(&h->item[i], &h->item[n - 1], NULL)) h->item[n++] = h->item[i];
    mt_str key = {(const uint8_t *)h->item, n * sizeof *h->item};
    if (mt_map_get(&b->subset, key, out)) return MT_OK;
    if (b->states >= b->limit)
        return mt_fail(b->err, MT_ELIMIT, "the texts of this language take more than %d states", b->limit);
    size_t s = (size_t)b->states;
    MT_TRY(mt_grow((void **)&b->known, &b->known_cap, s + 1, sizeof *b->known, b->err));
    MT_TRY(mt_grow((void **)&b->next, &b->next_cap, (s + 1) * 256, sizeof *b->next, b->err));
    MT_TRY(mt_grow((void **)&b->accepts, &b->accepts_cap, s + 1, 1, b->err));
    const uint8_t *copy = mt_arena_copy(&b->arena, key.p, key.n);
    if (!copy) return mt_nomem(b->err, key.n, "a state");
    b->known[s] = (mt_str){copy, key.n};
    MT_TRY(mt_map_set(&b->subset, b->known[s], (int32_t)s, b->err));
    b->accepts[s] = 0;
    for (size_t i = 0; i < n; i++) {
        bool yes = false;
        if (!h->item[i].depth) MT_TRY(mt_language_accepts(b->l, h->item[i].state, &yes, b->err));
        b->accepts[s] |= yes;
    }
    *out = (int32_t)s;
    b->states++;
    return MT_OK;
}

static mt_str token(const builder *b, int32_t at) {
    return mt_vocab_bytes(&b->tok->vocab, b->sorted[at]);
}

/* The part of sorted[lo..hi) whose byte `depth` is `byte`. */
static void narrow(const builder *b, const place *p, uint32_t byte, int32_t *lo, int32_t *hi) {
    int32_t end[2];
    for (int upper = 0; upper < 2; upper++) {
        int32_t from = p->lo, to = p->hi;
        while (from < to) {
            int32_t mid = from + (to - from) / 2;
            mt_str s = token(b, mid);
            bool before = s.n <= (size_t)p->depth || (upper ? s.p[p->depth] <= byte : s.p[p->depth] < byte);
            if (before)
                from = mid + 1;
            else
                to = mid;
        }
        end[upper] = from;
    }
    *lo = end[0];
    *hi = end[1];
}

/* The places after one more byte -> here. */
static mt_status advance(builder *b, mt_str from, uint32_t byte) {
    b->here.len = 0;
    for (size_t i = 0; i < from.n / sizeof(place); i++) {
        place p;
        memcpy(&p, from.p + i * sizeof p, sizeof p);
        int32_t lo, hi;
        narrow(b, &p, byte, &lo, &hi);
        p.depth++;
        for (; lo < hi && token(b, lo).n == (size_t)p.depth; lo++) { /* whole tokens come first */
            int32_t to;
            MT_TRY(mt_language_next(b->l, p.state, b->sorted[lo], &to, b->err));
            if (to >= 0) MT_TRY(put(b, (place){to, 0, b->sorted_len, 0}));
        }
        if (lo < hi) MT_TRY(put(b, (place){p.state, lo, hi, p.depth}));
    }
    return MT_OK;
}

/* Blocks of states that no text tells apart, and a block -1 of those that no text leads out of to acceptance. */
static mt_status merge(const builder *b, mt_byte_automaton *out) {
    size_t n = (size_t)b->states;
    int32_t *block = mt_array(n, sizeof *block), *fresh = mt_array(n, sizeof *fresh),
            *queue = mt_array(n, sizeof *queue), *row = mt_array(257, sizeof *row);
    uint8_t *alive = mt_calloc(n, 1);
    mt_map blocks = {0};
    mt_arena arena = {0};
    mt_status status = MT_OK;
    if (!block || !fresh || !queue || !row || !alive) {
        status = mt_nomem(b->err, n * 13, "merging states");
        goto done;
    }
    for (bool more = true; more;) { /* alive: a text leads to acceptance */
        more = false;
        for (size_t s = n; s-- > 0;) {
            if (alive[s]) continue;
            alive[s] = b->accepts[s];
            for (size_t c = 0; c < 256 && !alive[s]; c++)
                alive[s] = b->next[s * 256 + c] >= 0 && alive[b->next[s * 256 + c]];
            more |= alive[s];
        }
    }
    for (size_t s = 0; s < n; s++) block[s] = alive[s] ? b->accepts[s] : -1;
    for (int32_t count = 0;;) { /* refine until nothing changes */
        int32_t made = 0;
        mt_map_free(&blocks);
        mt_arena_free(&arena);
        for (size_t s = 0; s < n; s++) {
            fresh[s] = -1;
            if (!alive[s]) continue;
            row[256] = block[s];
            for (size_t c = 0; c < 256; c++) row[c] = b->next[s * 256 + c] < 0 ? -1 : block[b->next[s * 256 + c]];
            mt_str key = {(const uint8_t *)row, 257 * sizeof *row};
            if (mt_map_get(&blocks, key, &fresh[s])) continue;
            const uint8_t *copy = mt_arena_copy(&arena, key.p, key.n);
            if (!copy) {
                status = mt_nomem(b->err, key.n, "merging states");
                goto done;
            }
            fresh[s] = made++;
            MT_TRY_GOTO(mt_map_set(&blocks, (mt_str){copy, key.n}, fresh[s], b->err), done);
        }
        int32_t *swap = block;
        block = fresh;
        fresh = swap;
        if (made == count) break;
        count = made;
    }
    /* Numbered breadth first from the start; queue[] has a state of each block. */
    size_t size = 1;
    for (size_t s = 0; s < n; s++) fresh[s] = -1; /* by block */
    queue[0] = 0;
    if (alive[0]) fresh[block[0]] = 0;
    for (size_t i = 0; i < size; i++)
        for (size_t c = 0; c < 256; c++) {
            int32_t to = b->next[(size_t)queue[i] * 256 + c];
            if (to < 0 || !alive[to] || fresh[block[to]] >= 0) continue;
            fresh[block[to]] = (int32_t)size;
            queue[size++] = to;
        }
    out->states = (int32_t)size;
    out->next = mt_array(size * 256, sizeof *out->next);
    out->accepts = mt_array(size, 1);
    if (!out->next || !out->accepts) {
        status = mt_nomem(b->err, size * 1025, "an automaton");
        goto done;
    }
    for (size_t i = 0; i < size; i++) {
        out->accepts[i] = b->accepts[queue[i]];
        for (size_t c = 0; c < 256; c++) {
            int32_t to = b->next[(size_t)queue[i] * 256 + c];
            out->next[i * 256 + c] = to < 0 || !alive[to] ? -1 : fresh[block[to]];
        }
    }
done:
    mt_map_free(&blocks);
    mt_arena_free(&arena);
    mt_free(block);
    mt_free(fresh);
    mt_free(queue);
    mt_free(row);
    mt_free(alive);
    return status;
}

mt_status mt_language_bytes(mt_language *l, int32_t limit, mt_byte_automaton *out, mt_error *err) {
    size_t size;
    builder b = {.l = l, .tok = mt_language_tok(l), .limit = limit, .err = err};
    mt_status status = MT_OK;
    int32_t state;
    *out = (mt_byte_automaton){0};
    b.sorted = mt_tok_sorted(b.tok, &size);
    b.sorted_len = (int32_t)size;
    MT_TRY_GOTO(put(&b, (place){0, 0, b.sorted_len, 0}), done);
    MT_TRY_GOTO(intern(&b, &state), done);
    for (int32_t s = 0; s < b.states; s++)
        for (uint32_t byte = 0; byte < 256; byte++) {
            MT_TRY_GOTO(advance(&b, b.known[s], byte), done);
            state = -1;
            if (b.here.len) MT_TRY_GOTO(intern(&b, &state), done);
            b.next[(size_t)s * 256 + byte] = state;
        }
    status = merge(&b, out);
done:
    if (status != MT_OK) mt_byte_automaton_free(out);
    mt_map_free(&b.subset);
    mt_arena_free(&b.arena);
    mt_free(b.known);
    mt_free(b.next);
    mt_free(b.accepts);
    mt_free(b.here.item);
    return status;
}

void mt_byte_automaton_free(mt_byte_automaton *a) {
    mt_free(a->next);
    mt_free(a->accepts);
    *a = (mt_byte_automaton){0};
}
