/* PathPiece's trainer (Schmidt et al. 2024): start from many candidates and take away, round by round, those whose loss
 * costs the fewest additional tokens.
 *
 * For an occurrence of token t at [i, j) in the shortest segmentation, the cheapest way without it either has a
 * boundary inside, min over k of forward[k] + backward[k], or a longer token over it, forward[i'] + 1 + backward[j'].
 * What that costs more than the shortest segmentation, summed over all occurrences as if they were independent, is the
 * token's score. A round removes a share of the surplus, lowest scores first; single bytes stay.
 *
 *     "abcabc" x9, candidates ab bc abc: shortest is abc|abc; without ab or bc nothing changes, they go first */
#include "train.h"
#include "vocab.h"
#include "../base/sort.h"

typedef struct candidate {
    int32_t id;
    uint64_t added, used;
    uint32_t length;
} candidate;

static int cheapest_first(const void *a, const void *b, void *unused) {
    const candidate *x = a, *y = b;
    (void)unused;
    if (x->added != y->added) return x->added < y->added ? -1 : 1;
    if (x->used != y->used) return x->used < y->used ? -1 : 1;
    if (x->length != y->length) return x->length > y->length ? -1 : 1;
    return x->id > y->id ? -1 : x->id < y->id; /* the later candidate goes first */
}
static int most_used_first(const void *a, const void *b, void *unused) {
    const candidate *x = a, *y = b;
    (void)unused;
    if (x->used != y->used) return x->used > y->used ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

typedef struct edge {
    uint32_t end;
    int32_t id;
} edge;

typedef struct trainer {
    const mt_words *words;
    const mt_pathpiece_options *o;
    mt_error *err;
    mt_vocabulary all; /* 0..255: the bytes */
    mt_trie trie;
    candidate *stat; /* by id */
    uint8_t *alive;
    size_t width; /* longest token considered */
    edge *edges;  /* of one word */
    size_t edge_cap;
    uint32_t *first, *forward, *backward, *from;
    int32_t *by;
} trainer;

static uint64_t add_capped(uint64_t a, uint64_t b) {
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}
static uint64_t times_capped(uint64_t a, uint64_t b) {
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* Fewest tokens to and from every place; ties: the longest last token, as when encoding. */
static mt_status shortest(trainer *t, mt_str s) {
    uint32_t n = (uint32_t)s.n;
    size_t len = 0;
    for (uint32_t i = 0; i <= n; i++) t->forward[i] = t->backward[i] = UINT32_MAX;
    t->forward[0] = t->backward[n] = 0;
    for (uint32_t i = 0; i < n; i++) {
        t->first[i] = (uint32_t)len;
        uint32_t node = 0;
        for (uint32_t j = i; j < n && (node = mt_trie_step(&t->trie, node, s.p[j])); j++) {
            int32_t id = t->trie.token[node];
            if (id < 0 || !t->alive[id]) continue;
            MT_TRY(mt_grow((void **)&t->edges, &t->edge_cap, len + 1, sizeof *t->edges, t->err));
            t->edges[len++] = (edge){j + 1, id};
            if (t->forward[i] + 1 < t->forward[j + 1]) {
                t->forward[j + 1] = t->forward[i] + 1;
                t->from[j + 1] = i;
                t->by[j + 1] = id;
            }
        }
    }
    t->first[n] = (uint32_t)len;
    for (uint32_t i = n; i-- > 0;)
        for (uint32_t e = t->first[i]; e < t->first[i + 1]; e++)
            if (t->backward[t->edges[e].end] + 1 < t->backward[i]) t->backward[i] = t->backward[t->edges[e].end] + 1;
    return MT_OK;
}

/* Fewest tokens without the token at [i, j). */
static uint32_t without(const trainer *t, uint32_t i, uint32_t j) {
    uint32_t best = UINT32_MAX;
    for (uint32_t k = i + 1; k < j; k++)
        if (t->forward[k] + t->backward[k] < best) best = t->forward[k] + t->backward[k];
    for (uint32_t b = j > t->width ? j - (uint32_t)t->width : 0; b <= i; b++)
        for (uint32_t e = t->first[b + 1]; e-- > t->first[b] && t->edges[e].end >= j;) {
            uint32_t end = t->edges[e].end, tokens = t->forward[b] + 1 + t->backward[end];
            if ((b < i || end > j) && tokens < best) best = tokens;
        }
    return best;
}

static mt_status measure(trainer *t) {
    for (size_t i = 0; i < t->all.len; i++) t->stat[i] = (candidate){(int32_t)i, 0, 0, (uint32_t)t->all.token[i].n};
    for (size_t w = 0; w < t->words->len; w++) {
        mt_str s = t->words->list[w].text;
        uint64_t count = t->words->list[w].count;
        MT_TRY(shortest(t, s));
        for (uint32_t j = (uint32_t)s.n; j > 0; j = t->from[j]) {
            candidate *c = &t->stat[t->by[j]];
            c->used = add_capped(c->used, count);
            if (c->length < 2) continue;
            uint64_t more = without(t, t->from[j], j) - t->forward[s.n];
            c->added = add_capped(c->added, times_capped(more, count));
        }
    }
    return MT_OK;
}

static mt_status add(trainer *t, mt_str text) {
    int32_t id, old = -1;
    if (t->all.len >= MT_MAX_TOKENS) return mt_fail(t->err, MT_ELIMIT, "more than %d candidates", MT_MAX_TOKENS);
    MT_TRY(mt_trie_add(&t->trie, text.p, text.n, (int32_t)t->all.len, &old, t->err));
    return old >= 0 ? MT_OK : mt_vocabulary_add(&t->all, text, &id, t->err);
}

static mt_status open_candidates(trainer *t) {
    const mt_pathpiece_options *o = t->o;
    size_t longest = 0, n;
    for (int c = 0; c < 256; c++) {
        uint8_t byte = (uint8_t)c;
        MT_TRY(add(t, (mt_str){&byte, 1}));
    }
    t->width = o->max_width > 0 ? (size_t)o->max_width : 16;
    for (size_t i = 0; i < o->initial_len; i++)
        if (o->initial[i].n > 1 && o->initial[i].n <= t->width) MT_TRY(add(t, o->initial[i]));
    for (size_t w = 0; w < t->words->len; w++)
        if (t->words->list[w].text.n > longest) longest = t->words->list[w].text.n;
    if (longest > INT32_MAX / 2) return mt_fail(t->err, MT_ELIMIT, "a word of %zu bytes", longest);
    n = longest + 1;
    t->stat = mt_array(t->all.len, sizeof *t->stat);
    t->alive = mt_calloc(t->all.len, 1);
    t->first = mt_array(n, sizeof *t->first);
    t->forward = mt_array(n, sizeof *t->forward);
    t->backward = mt_array(n, sizeof *t->backward);
    t->from = mt_array(n, sizeof *t->from);
    t->by = mt_array(n, sizeof *t->by);
    if (!t->stat || !t->alive || !t->first || !t->forward || !t->backward || !t->from || !t->by)
        return mt_nomem(t->err, t->all.len * sizeof *t->stat + n * 20, "training");
    memset(t->alive, 1, t->all.len);
    return MT_OK;
}

static mt_status reduce(trainer *t, size_t goal, mt_vocabulary *out) {
    size_t alive = t->all.len, start = alive;
    candidate *list = mt_array(t->all.len, sizeof *list);
    uint8_t seen[256] = {0};
    mt_status status = MT_OK;
    if (!list) return mt_nomem(t->err, t->all.len * sizeof *list, "training");
    /* bytes that the text does not have take no place */
    for (size_t w = 0; w < t->words->len; w++)
        for (size_t i = 0; i < t->words->list[w].text.n; i++) seen[t->words->list[w].text.p[i]] = 1;
    for (int c = 0; c < 256 && !t->o->all_bytes; c++)
        if (!seen[c]) {
            t->alive[c] = 0;
            alive--;
        }
    double batch = t->o->batch > 0 && t->o->batch <= 1 ? t->o->batch : 0.2;
    for (;;) {
        MT_TRY_GOTO(measure(t), done);
        if (alive <= goal) break;
        size_t len = 0, remove = (size_t)((double)(alive - goal) * batch);
        if (remove < 1) remove = 1;
        for (size_t i = 256; i < t->all.len; i++)
            if (t->alive[i]) list[len++] = t->stat[i];
        if (remove > len) remove = len;
        if (!remove) {
            status =
                mt_fail(t->err, MT_ERANGE, "vocab_size is too small: %zu bytes and %zu special tokens stay in any case",
                        alive, t->o->special_len);
            goto done;
        }
        mt_sort(list, len, sizeof *list, cheapest_first, NULL);
        for (size_t i = 0; i < remove; i++) t->alive[list[i].id] = 0;
        alive -= remove;
        if (t->o->progress && t->o->progress(t->o->user, start - alive, start - goal)) {
            status = mt_fail(t->err, MT_EABORTED, "training was stopped at %zu tokens", alive);
            goto done;
        }
    }
    size_t len = 0;
    int32_t id;
    for (size_t i = 0; i < t->o->special_len; i++)
        MT_TRY_GOTO(mt_vocabulary_add(out, t->o->special[i], &id, t->err), done);
    for (int c = 0; c < 256; c++)
        if (t->alive[c]) MT_TRY_GOTO(mt_vocabulary_add(out, t->all.token[c], &id, t->err), done);
    for (size_t i = 256; i < t->all.len; i++)
        if (t->alive[i]) list[len++] = t->stat[i];
    mt_sort(list, len, sizeof *list, most_used_first, NULL);
    for (size_t i = 0; i < len; i++) MT_TRY_GOTO(mt_vocabulary_add(out, t->all.token[list[i].id], &id, t->err), done);
done:
    mt_free(list);
    return status;
}

mt_status mt_train_pathpiece(const mt_words *words, const mt_pathpiece_options *o, mt_vocabulary *out, mt_error *err) {
    *out = (mt_vocabulary){0};
    if (o->vocab_size < 1 || o->special_len >= (size_t)o->vocab_size)
        return mt_fail(err, MT_ERANGE, "vocab_size %d with %zu special tokens, expected more", o->vocab_size,
                       o->special_len);
    trainer t = {.words = words, .o = o, .err = err};
    mt_status status = MT_OK;
    MT_TRY_GOTO(open_candidates(&t), done);
    MT_TRY_GOTO(reduce(&t, (size_t)o->vocab_size - o->special_len, out), done);
done:
    mt_vocabulary_free(&t.all);
    mt_trie_free(&t.trie);
    mt_free(t.stat);
    mt_free(t.alive);
    mt_free(t.edges);
    mt_free(t.first);
    mt_free(t.forward);
    mt_free(t.backward);
    mt_free(t.from);
    mt_free(t.by);
    if (status != MT_OK) mt_vocabulary_free(out);
    return status;
}

/* ---- candidates ---- */

static int best_coverage_first(const void *a, const void *b, void *unused) {
    const struct mt_word_count *x = a, *y = b;
    (void)unused;
    uint64_t s = times_capped(x->count, x->text.n - 1), u = times_capped(y->count, y->text.n - 1);
    if (s != u) return s > u ? -1 : 1;
    if (x->text.n != y->text.n) return x->text.n > y->text.n ? -1 : 1;
    return memcmp(x->text.p, y->text.p, x->text.n);
}

mt_status mt_frequent_substrings(const mt_words *words, int32_t max_width, size_t most, bool utf8, mt_vocabulary *out,
                                 mt_error *err) {
    *out = (mt_vocabulary){0};
    size_t width = max_width > 0 ? (size_t)max_width : 16;
    mt_words seen = {0};
    mt_status status = MT_OK;
    for (size_t w = 0; w < words->len; w++) {
        mt_str s = words->list[w].text;
        for (size_t i = 0; i < s.n; i++) {
            if (utf8 && (s.p[i] & 0xC0) == 0x80) continue;
            for (size_t n = 2; n <= width && i + n <= s.n; n++) {
                if (utf8 && i + n < s.n && (s.p[i + n] & 0xC0) == 0x80) continue;
                MT_TRY_GOTO(mt_words_add(&seen, s.p + i, n, words->list[w].count, err), done);
            }
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < seen.len; i++)
        if (seen.list[i].count >= 2) seen.list[kept++] = seen.list[i];
    mt_sort(seen.list, kept, sizeof *seen.list, best_coverage_first, NULL);
    int32_t id;
    for (size_t i = 0; i < kept && i < most; i++)
        MT_TRY_GOTO(mt_vocabulary_add(out, seen.list[i].text, &id, err), done);
done:
    mt_words_free(&seen);
    if (status != MT_OK) mt_vocabulary_free(out);
    return status;
}
