/* Picky BPE (Chizhov, Arkhangorodskaya & Yamshchikov 2024): byte-pair merging that throws a part away again when a
 * merge has used (nearly) all of it. After merging (a, b) f times, a part x that occurred n times goes when f / n
 * exceeds the threshold: its remaining occurrences are split into the tokens it came from, as far as these are present,
 * and the split is recorded. A string that went may come back under its old id. Only present tokens count for the size.
 *
 *     _kent x1, _kentucky x4, T = 0.9: ... (_ke, n) used 5 of 5 _ke: _ke is split up, _ken stays, until it is used up
 * too
 *
 * The most frequent pair wins, of equals the one whose strings come first. */
#include "train.h"
#include "../base/heap.h"
#include "../base/sort.h"

typedef struct pair {
    int32_t left, right;
    int64_t count;
    int32_t first; /* words in which it arose: chain in `places` */
    bool touched;
} pair;

typedef struct token {
    int64_t count;
    int32_t left, right; /* -1: a letter */
    int32_t first;       /* words in which it arose */
} token;

typedef struct word {
    int32_t *symbol; /* room for the word's letters */
    uint32_t len;
    uint32_t stamp; /* the last step that rewrote it */
    int64_t count;
} word;

typedef struct entry {
    int64_t count;
    int32_t pair;
} entry;

typedef struct trainer {
    const mt_picky_options *o;
    mt_picky *out;
    mt_error *err;
    mt_map ids; /* every string that ever was a token */
    token *tokens;
    size_t token_cap, present_cap;
    word *words;
    size_t word_len;
    pair *pairs;
    size_t pair_len, pair_cap;
    mt_map64 pair_index;
    struct place {
        uint32_t word;
        int32_t next;
    } *places;
    size_t place_len, place_cap;
    entry *heap;
    size_t heap_len, heap_cap;
    mt_ids touched;
    int32_t *scratch; /* a word being rewritten */
    uint32_t step;
} trainer;

static int compare(mt_str a, mt_str b) {
    int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return c ? c : a.n < b.n ? -1 : a.n > b.n;
}

static bool before(const entry *a, const entry *b, const trainer *t) {
    if (a->count != b->count) return a->count > b->count;
    const pair *p = &t->pairs[a->pair], *q = &t->pairs[b->pair];
    const mt_str *s = t->out->vocabulary.token;
    int c = compare(s[p->left], s[q->left]);
    return c ? c < 0 : compare(s[p->right], s[q->right]) < 0;
}
MT_HEAP(heap, entry, const trainer *, before)

static mt_status push(trainer *t, int32_t p) {
    entry e = {t->pairs[p].count, p};
    t->pairs[p].touched = false;
    if (e.count <= 0) return MT_OK;
    MT_TRY(mt_grow((void **)&t->heap, &t->heap_cap, t->heap_len + 1, sizeof e, t->err));
    heap_push(t->heap, &t->heap_len, e, t);
    return MT_OK;
}

static mt_status add_token(trainer *t, mt_str text, int32_t left, int32_t right, int32_t *id) {
    mt_picky *o = t->out;
    MT_TRY(mt_grow((void **)&t->tokens, &t->token_cap, o->vocabulary.len + 1, sizeof *t->tokens, t->err));
    MT_TRY(mt_grow((void **)&o->present, &t->present_cap, o->vocabulary.len + 1, 1, t->err));
    MT_TRY(mt_vocabulary_add(&o->vocabulary, text, id, t->err));
    t->tokens[*id] = (token){0, left, right, -1};
    o->present[*id] = 1;
    o->present_len++;
    return mt_map_set(&t->ids, o->vocabulary.token[*id], *id, t->err);
}

static mt_status add_place(trainer *t, int32_t *first, uint32_t at) {
    if (*first >= 0 && t->places[*first].word == at) return MT_OK;
    if (t->place_len >= INT32_MAX) return mt_fail(t->err, MT_ELIMIT, "too many words for one training run");
    MT_TRY(mt_grow((void **)&t->places, &t->place_cap, t->place_len + 1, sizeof *t->places, t->err));
    t->places[t->place_len] = (struct place){at, *first};
    *first = (int32_t)t->place_len++;
    return MT_OK;
}

/* Counts a word's tokens and pairs in (sign 1) or out (-1). */
static mt_status count_word(trainer *t, uint32_t at, int sign) {
    word *w = &t->words[at];
    for (uint32_t i = 0; i < w->len; i++) {
        token *x = &t->tokens[w->symbol[i]];
        x->count += sign * w->count;
        if (sign > 0) MT_TRY(add_place(t, &x->first, at));
        if (i + 1 == w->len) break;
        uint64_t key = (uint64_t)(uint32_t)w->symbol[i] << 32 | (uint32_t)w->symbol[i + 1];
        int32_t p;
        if (!mt_map64_get(&t->pair_index, key, &p)) {
            if (t->pair_len >= INT32_MAX) return mt_fail(t->err, MT_ELIMIT, "more than 2^31 pairs");
            MT_TRY(mt_grow((void **)&t->pairs, &t->pair_cap, t->pair_len + 1, sizeof *t->pairs, t->err));
            p = (int32_t)t->pair_len;
            MT_TRY(mt_map64_set(&t->pair_index, key, p, t->err));
            t->pairs[t->pair_len++] = (pair){w->symbol[i], w->symbol[i + 1], 0, -1, false};
        }
        t->pairs[p].count += sign * w->count;
        if (sign > 0) MT_TRY(add_place(t, &t->pairs[p].first, at));
        if (!t->pairs[p].touched) {
            t->pairs[p].touched = true;
            MT_TRY(mt_ids_add(&t->touched, p, t->err));
        }
    }
    return MT_OK;
}

/* Replaces `left right` by `token`, or (right < 0) every `left` by `parts`, in the words of a chain. */
static mt_status rewrite(trainer *t, int32_t chain, int32_t left, int32_t right, const int32_t *parts, size_t part_len,
                         int64_t *replaced) {
    t->step++;
    for (int32_t at = chain; at >= 0; at = t->places[at].next) {
        uint32_t index = t->places[at].word, n = 0;
        word *w = &t->words[index];
        if (w->stamp == t->step) continue;
        w->stamp = t->step;
        int64_t times = 0;
        for (uint32_t i = 0; i < w->len; i++) {
            bool hit = w->symbol[i] == left && (right < 0 || (i + 1 < w->len && w->symbol[i + 1] == right));
            if (!hit) {
                t->scratch[n++] = w->symbol[i];
                continue;
            }
            memcpy(t->scratch + n, parts, part_len * sizeof *parts);
            n += (uint32_t)part_len;
            times++;
            i += right >= 0;
        }
        if (!times) continue;
        *replaced += times * w->count;
        MT_TRY(count_word(t, index, -1));
        memcpy(w->symbol, t->scratch, n * sizeof *t->scratch);
        w->len = n;
        MT_TRY(count_word(t, index, 1));
    }
    return MT_OK;
}

static mt_status add_event(trainer *t, struct mt_picky_event e) {
    mt_picky *o = t->out;
    if (o->event_len >= INT32_MAX) return mt_fail(t->err, MT_ELIMIT, "more than 2^31 merges and splits");
    MT_TRY(mt_grow((void **)&o->event, &o->event_cap, o->event_len + 1, sizeof e, t->err));
    o->event[o->event_len++] = e;
    return MT_OK;
}

/* The present tokens that a token consists of; letters always are. An explicit stack: derivations can be deep. */
static mt_status present_parts(trainer *t, int32_t id, mt_ids *out) {
    mt_ids stack = {0};
    mt_status status = MT_OK;
    MT_TRY_GOTO(mt_ids_add(&stack, t->tokens[id].right, t->err), done);
    MT_TRY_GOTO(mt_ids_add(&stack, t->tokens[id].left, t->err), done);
    while (stack.len) {
        int32_t x = stack.data[--stack.len];
        if (t->out->present[x]) {
            MT_TRY_GOTO(mt_ids_add(out, x, t->err), done);
        } else {
            MT_TRY_GOTO(mt_ids_add(&stack, t->tokens[x].right, t->err), done);
            MT_TRY_GOTO(mt_ids_add(&stack, t->tokens[x].left, t->err), done);
        }
    }
done:
    mt_ids_free(&stack);
    return status;
}

static mt_status remove_if_used_up(trainer *t, int32_t id, int64_t used) {
    token *x = &t->tokens[id];
    if (x->left < 0 || !t->out->present[id]) return MT_OK;
    if (!((double)used / (double)(x->count + used) > t->o->threshold)) return MT_OK;
    mt_picky *o = t->out;
    size_t first = o->part.len;
    o->present[id] = 0;
    o->present_len--;
    MT_TRY(present_parts(t, id, &o->part));
    MT_TRY(add_event(t, (struct mt_picky_event){-1, -1, id, (uint32_t)first, (uint32_t)(o->part.len - first)}));
    int64_t replaced = 0;
    return rewrite(t, x->first, id, -1, o->part.data + first, o->part.len - first, &replaced);
}

static mt_status merge(trainer *t, int32_t p) {
    mt_picky *o = t->out;
    int32_t left = t->pairs[p].left, right = t->pairs[p].right, id;
    mt_str a = o->vocabulary.token[left], b = o->vocabulary.token[right];
    mt_buf text = {0};
    mt_status status = MT_OK;
    MT_TRY_GOTO(mt_buf_add(&text, a.p, a.n, t->err), done);
    MT_TRY_GOTO(mt_buf_add(&text, b.p, b.n, t->err), done);
    if (!mt_map_get(&t->ids, (mt_str){text.data, text.len}, &id)) {
        MT_TRY_GOTO(add_token(t, (mt_str){text.data, text.len}, left, right, &id), done);
    } else if (!o->present[id]) {
        o->present[id] = 1;
        o->present_len++;
    }
    MT_TRY_GOTO(add_event(t, (struct mt_picky_event){left, right, id, 0, 0}), done);
    int64_t used = 0;
    MT_TRY_GOTO(rewrite(t, t->pairs[p].first, left, right, &id, 1, &used), done);
    /* The parts' counts are already without the merged ones. Of a pair of equals each merge takes two. */
    MT_TRY_GOTO(remove_if_used_up(t, left, used), done);
    if (left != right) MT_TRY_GOTO(remove_if_used_up(t, right, used), done);
    for (size_t i = 0; i < t->touched.len; i++) MT_TRY_GOTO(push(t, t->touched.data[i]), done);
    t->touched.len = 0;
done:
    mt_buf_free(&text);
    return status;
}

static size_t letter_size(mt_str s, size_t at) {
    uint32_t cp;
    int n = mt_utf8_decode(s.p + at, s.n - at, &cp);
    return n ? (size_t)n : 1;
}

static int by_text(const void *a, const void *b, void *unused) {
    (void)unused;
    return compare(*(const mt_str *)a, *(const mt_str *)b);
}

static mt_status open_words(trainer *t, const mt_words *words) {
    mt_words seen = {0};
    mt_str *letters = NULL;
    mt_status status = MT_OK;
    size_t total = 0, longest = 0;
    for (size_t w = 0; w < words->len; w++) {
        mt_str s = words->list[w].text;
        total += s.n;
        if (s.n > longest) longest = s.n;
        if (words->list[w].count > INT64_MAX / 4096) {
            status =
                mt_fail(t->err, MT_ELIMIT, "a word was counted %llu times", (unsigned long long)words->list[w].count);
            goto done;
        }
        for (size_t at = 0; at < s.n; at += letter_size(s, at))
            MT_TRY_GOTO(mt_words_add(&seen, s.p + at, letter_size(s, at), 1, t->err), done);
    }
    for (size_t i = 0; i < t->o->alphabet_len; i++)
        MT_TRY_GOTO(mt_words_add(&seen, t->o->alphabet[i].p, t->o->alphabet[i].n, 1, t->err), done);
    letters = mt_array(seen.len, sizeof *letters);
    t->words = mt_calloc(words->len, sizeof *t->words);
    t->scratch = mt_array(longest, sizeof *t->scratch);
    int32_t *pool = mt_arena_alloc(&t->out->vocabulary.arena, total * sizeof *pool), id;
    if (!letters || !t->words || !t->scratch || !pool) {
        status = mt_nomem(t->err, total * sizeof *pool, "the words");
        goto done;
    }
    for (size_t i = 0; i < seen.len; i++) letters[i] = seen.list[i].text;
    mt_sort(letters, seen.len, sizeof *letters, by_text, NULL);
    for (size_t i = 0; i < seen.len; i++)
        if (!mt_map_get(&t->ids, letters[i], &id)) MT_TRY_GOTO(add_token(t, letters[i], -1, -1, &id), done);
    for (size_t w = 0; w < words->len; w++) {
        mt_str s = words->list[w].text;
        t->words[w] = (word){pool, 0, 0, (int64_t)words->list[w].count};
        for (size_t at = 0; at < s.n; at += letter_size(s, at)) {
            mt_map_get(&t->ids, (mt_str){s.p + at, letter_size(s, at)}, &id);
            *pool++ = id;
            t->words[w].len++;
        }
        MT_TRY_GOTO(count_word(t, (uint32_t)w, 1), done);
    }
    for (size_t i = 0; i < t->touched.len; i++) MT_TRY_GOTO(push(t, t->touched.data[i]), done);
    t->touched.len = 0;
done:
    mt_words_free(&seen);
    mt_free(letters);
    return status;
}

/* Links events of the same pair or token, first to last. */
mt_status mt_picky_index(mt_picky *o, size_t special_len, mt_error *err) {
    o->again = mt_array(o->event_len, sizeof *o->again);
    o->splits = mt_array(o->vocabulary.len, sizeof *o->splits);
    if (!o->again || !o->splits) return mt_nomem(err, o->event_len * 4, "the merges");
    for (size_t i = 0; i < o->vocabulary.len; i++) o->splits[i] = -1;
    for (size_t i = o->event_len; i-- > 0;) {
        const struct mt_picky_event *e = &o->event[i];
        if (e->left < 0) {
            o->again[i] = o->splits[e->token];
            o->splits[e->token] = (int32_t)i;
            continue;
        }
        uint64_t key = (uint64_t)(uint32_t)e->left << 32 | (uint32_t)e->right;
        if (!mt_map64_get(&o->merges, key, &o->again[i])) o->again[i] = -1;
        MT_TRY(mt_map64_set(&o->merges, key, (int32_t)i, err));
    }
    for (size_t i = special_len; i < o->vocabulary.len; i++) /* a special token's text in a word is just text */
        if (o->present[i]) MT_TRY(mt_map_set(&o->ids, o->vocabulary.token[i], (int32_t)i, err));
    return MT_OK;
}

mt_status mt_train_picky(const mt_words *words, const mt_picky_options *o, mt_picky *out, mt_error *err) {
    *out = (mt_picky){0};
    if (o->vocab_size < 1) return mt_fail(err, MT_ERANGE, "vocab_size %d, expected at least 1", o->vocab_size);
    if (!(o->threshold > 0)) return mt_fail(err, MT_ERANGE, "a threshold of %g, expected more than 0", o->threshold);
    trainer t = {.o = o, .out = out, .err = err};
    mt_status status = MT_OK;
    int32_t id;
    for (size_t i = 0; i < o->special_len; i++) MT_TRY_GOTO(add_token(&t, o->special[i], -1, -1, &id), done);
    MT_TRY_GOTO(open_words(&t, words), done);
    while (out->present_len < (size_t)o->vocab_size && t.heap_len) {
        entry e = heap_pop(t.heap, &t.heap_len, &t);
        if (e.count != t.pairs[e.pair].count) continue; /* it was pushed again with what it has now */
        if ((uint64_t)e.count < o->min_frequency) break;
        MT_TRY_GOTO(merge(&t, e.pair), done);
        if (o->progress && out->event_len % 64 == 0 &&
            o->progress(o->user, out->present_len, (uint64_t)o->vocab_size)) {
            status = mt_fail(err, MT_EABORTED, "training was stopped at %zu tokens", out->present_len);
            goto done;
        }
    }
    MT_TRY_GOTO(mt_picky_index(out, o->special_len, err), done);
done:
    mt_map_free(&t.ids);
    mt_free(t.tokens);
    mt_free(t.words);
    mt_free(t.pairs);
    mt_map64_free(&t.pair_index);
    mt_free(t.places);
    mt_free(t.heap);
    mt_ids_free(&t.touched);
    mt_free(t.scratch);
    if (status != MT_OK) mt_picky_free(out);
    return status;
}

void mt_picky_free(mt_picky *p) {
    mt_vocabulary_free(&p->vocabulary);
    mt_free(p->present);
    mt_free(p->event);
    mt_ids_free(&p->part);
    mt_map_free(&p->ids);
    mt_map64_free(&p->merges);
    mt_free(p->splits);
    mt_free(p->again);
    *p = (mt_picky){0};
}

/* ---- encoding ---- */

typedef struct node {
    int32_t id, prev, next; /* id < 0: gone */
} node;
typedef struct step {
    int32_t event, at;
} step;
typedef struct encoder {
    const mt_picky *p;
    mt_error *err;
    node *node;
    size_t len, cap;
    step *heap;
    size_t heap_len, heap_cap;
} encoder;

static bool earlier(const step *a, const step *b, const void *unused) {
    (void)unused;
    return a->event != b->event ? a->event < b->event : a->at < b->at;
}
MT_HEAP(steps, step, const void *, earlier)

static mt_status push_step(encoder *x, int32_t event, int32_t at) {
    if (event < 0) return MT_OK;
    MT_TRY(mt_grow((void **)&x->heap, &x->heap_cap, x->heap_len + 1, sizeof *x->heap, x->err));
    steps_push(x->heap, &x->heap_len, (step){event, at}, NULL);
    return MT_OK;
}

/* The first event from `now` on that the node, or it with its right neighbour, is subject to. */
static mt_status expect_split(encoder *x, int32_t at, int32_t now) {
    int32_t e = x->p->splits[x->node[at].id];
    while (e >= 0 && e < now) e = x->p->again[e];
    return push_step(x, e, at);
}
static mt_status expect_merge(encoder *x, int32_t at, int32_t now) {
    if (at < 0 || x->node[at].next < 0) return MT_OK;
    uint64_t key = (uint64_t)(uint32_t)x->node[at].id << 32 | (uint32_t)x->node[x->node[at].next].id;
    int32_t e;
    if (!mt_map64_get(&x->p->merges, key, &e)) return MT_OK;
    while (e >= 0 && e < now) e = x->p->again[e];
    return push_step(x, e, at);
}

static mt_status apply(encoder *x, step s) {
    const struct mt_picky_event *e = &x->p->event[s.event];
    node *n = &x->node[s.at];
    if (e->left >= 0) {
        int32_t right = n->next;
        if (n->id != e->left || right < 0 || x->node[right].id != e->right) return MT_OK;
        n->id = e->token;
        n->next = x->node[right].next;
        x->node[right].id = -1;
        if (n->next >= 0) x->node[n->next].prev = s.at;
        MT_TRY(expect_split(x, s.at, s.event));
        MT_TRY(expect_merge(x, n->prev, s.event));
        return expect_merge(x, s.at, s.event);
    }
    if (n->id != e->token) return MT_OK;
    MT_TRY(mt_grow((void **)&x->node, &x->cap, x->len + e->parts, sizeof *x->node, x->err));
    int32_t at = s.at, after = x->node[at].next, before = x->node[at].prev;
    for (uint32_t i = 0; i < e->parts; i++) {
        if (i) {
            x->node[x->len] = (node){0, at, after};
            x->node[at].next = (int32_t)x->len;
            at = (int32_t)x->len++;
        }
        x->node[at].id = x->p->part.data[e->part + i];
    }
    x->node[at].next = after;
    if (after >= 0) x->node[after].prev = at;
    MT_TRY(expect_merge(x, before, s.event));
    for (int32_t i = s.at;; i = x->node[i].next) {
        MT_TRY(expect_split(x, i, s.event));
        MT_TRY(expect_merge(x, i, s.event));
        if (i == at) return MT_OK;
    }
}

mt_status mt_picky_encode(const mt_picky *p, const uint8_t *word, size_t n, int32_t unknown, mt_ids *out,
                          mt_error *err) {
    int32_t id;
    if (n == 0) return MT_OK;
    if (mt_map_get(&p->ids, (mt_str){word, n}, &id)) return mt_ids_add(out, id, err);
    if (n > INT32_MAX / 2) return mt_fail(err, MT_ELIMIT, "a word of more than 2^30 bytes");
    encoder x = {.p = p, .err = err};
    mt_status status = MT_OK;
    mt_str s = {word, n};
    MT_TRY_GOTO(mt_grow((void **)&x.node, &x.cap, n, sizeof *x.node, err), done);
    for (size_t at = 0, k; at < n; at += k) {
        k = p->bytes ? 1 : letter_size(s, at);
        if (!mt_map_get(&p->ids, (mt_str){word + at, k}, &id)) id = INT32_MAX; /* no events */
        x.node[x.len] = (node){id, (int32_t)x.len - 1, (int32_t)x.len + 1};
        x.len++;
    }
    x.node[x.len - 1].next = -1;
    for (int32_t i = 0; i >= 0; i = x.node[i].next) MT_TRY_GOTO(expect_merge(&x, i, 0), done);
    while (x.heap_len) MT_TRY_GOTO(apply(&x, steps_pop(x.heap, &x.heap_len, NULL)), done);
    for (int32_t i = 0; i >= 0; i = x.node[i].next)
        MT_TRY_GOTO(mt_ids_add(out, x.node[i].id == INT32_MAX ? unknown : x.node[i].id, err), done);
done:
    mt_free(x.node);
    mt_free(x.heap);
    return status;
}
