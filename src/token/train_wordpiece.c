/* WordPiece training by its original criterion (Schuster & Nakajima 2012): of all neighbouring pairs merge the one that
 * raises the likelihood of a unigram model most, approximated by count(ab) / (count(a) count(b)). Letters inside a word
 * carry the continuation prefix. A pair must occur `min_frequency` times, or rare letters win everything.
 *
 *     words _ab x5, cd x1: (c,##d) scores 1/(1 x 1) = 1 and merges before (a,##b) with 5/(5 x 5) = 0.2
 *
 * A merge changes the counts of a and b and with them the score of every pair that contains one; such pairs are found
 * through lists by symbol and enter the queue again, older entries are recognised by their stamp. Scores are compared
 * as doubles: then by count, then by ids. */
#include "train.h"
#include "../base/heap.h"
#include "../base/sort.h"

typedef struct pair {
    int32_t left, right;
    int64_t count;
    uint32_t stamp;
    int32_t next_left, next_right; /* further pairs with the same left, right symbol */
    int32_t first;                 /* words in which it arose: chain in `places` */
    bool touched;
} pair;

typedef struct entry {
    double score;
    int64_t count;
    int32_t pair;
    uint32_t stamp;
} entry;

typedef struct symbol {
    int64_t count;
    int32_t as_left, as_right; /* chains of pairs; -1: none */
} symbol;

typedef struct trainer {
    const mt_bpe_options *o;
    mt_vocabulary *out;
    mt_error *err;
    mt_map ids;
    struct word {
        int32_t *symbol;
        uint32_t len;
        int64_t count;
    } *words;
    size_t word_len;
    symbol *symbols; /* by id */
    size_t symbol_cap;
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
    mt_ids touched; /* pairs whose score changed in this step */
} trainer;

static bool before(const entry *a, const entry *b, const trainer *t) {
    if (a->score != b->score) return a->score > b->score;
    if (a->count != b->count) return a->count > b->count;
    const pair *p = &t->pairs[a->pair], *q = &t->pairs[b->pair];
    if (p->left != q->left) return p->left < q->left;
    if (p->right != q->right) return p->right < q->right;
    return a->stamp > b->stamp;
}
MT_HEAP(heap, entry, const trainer *, before)

static mt_status push(trainer *t, int32_t p) {
    pair *q = &t->pairs[p];
    q->stamp++;
    q->touched = false;
    if (q->count <= 0 || (uint64_t)q->count < t->o->min_frequency) return MT_OK;
    double a = (double)t->symbols[q->left].count, b = (double)t->symbols[q->right].count;
    entry e = {(double)q->count / (a * b), q->count, p, q->stamp};
    MT_TRY(mt_grow((void **)&t->heap, &t->heap_cap, t->heap_len + 1, sizeof e, t->err));
    heap_push(t->heap, &t->heap_len, e, t);
    return MT_OK;
}

static mt_status touch(trainer *t, int32_t p) {
    if (t->pairs[p].touched) return MT_OK;
    t->pairs[p].touched = true;
    return mt_ids_add(&t->touched, p, t->err);
}

static mt_status token_id(trainer *t, mt_str text, int32_t *id) {
    if (mt_map_get(&t->ids, text, id)) return MT_OK;
    MT_TRY(mt_grow((void **)&t->symbols, &t->symbol_cap, t->out->len + 1, sizeof *t->symbols, t->err));
    MT_TRY(mt_vocabulary_add(t->out, text, id, t->err));
    t->symbols[*id] = (symbol){0, -1, -1};
    return mt_map_set(&t->ids, t->out->token[*id], *id, t->err);
}

static mt_status change_pair(trainer *t, int32_t left, int32_t right, int64_t by, uint32_t word) {
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    int32_t p;
    if (!mt_map64_get(&t->pair_index, key, &p)) {
        if (t->pair_len >= INT32_MAX) return mt_fail(t->err, MT_ELIMIT, "more than 2^31 pairs");
        MT_TRY(mt_grow((void **)&t->pairs, &t->pair_cap, t->pair_len + 1, sizeof *t->pairs, t->err));
        p = (int32_t)t->pair_len;
        MT_TRY(mt_map64_set(&t->pair_index, key, p, t->err));
        t->pairs[t->pair_len++] =
            (pair){left, right, 0, 0, t->symbols[left].as_left, t->symbols[right].as_right, -1, false};
        t->symbols[left].as_left = p;
        t->symbols[right].as_right = p;
    }
    t->pairs[p].count += by;
    if (by > 0 && (t->pairs[p].first < 0 || t->places[t->pairs[p].first].word != word)) {
        if (t->place_len >= INT32_MAX) return mt_fail(t->err, MT_ELIMIT, "too many words for one training run");
        MT_TRY(mt_grow((void **)&t->places, &t->place_cap, t->place_len + 1, sizeof *t->places, t->err));
        t->places[t->place_len] = (struct place){word, t->pairs[p].first};
        t->pairs[p].first = (int32_t)t->place_len++;
    }
    return touch(t, p);
}

static mt_status merge_word(trainer *t, uint32_t index, int32_t left, int32_t right, int32_t result) {
    struct word *w = &t->words[index];
    uint32_t to = 0;
    for (uint32_t from = 0; from < w->len; from++) {
        if (from + 1 == w->len || w->symbol[from] != left || w->symbol[from + 1] != right) {
            w->symbol[to++] = w->symbol[from];
            continue;
        }
        MT_TRY(change_pair(t, left, right, -w->count, index));
        if (to > 0) {
            MT_TRY(change_pair(t, w->symbol[to - 1], left, -w->count, index));
            MT_TRY(change_pair(t, w->symbol[to - 1], result, w->count, index));
        }
        w->symbol[to++] = result;
        from++;
        if (from + 1 < w->len) {
            MT_TRY(change_pair(t, right, w->symbol[from + 1], -w->count, index));
            MT_TRY(change_pair(t, result, w->symbol[from + 1], w->count, index));
        }
        t->symbols[left].count -= w->count;
        t->symbols[right].count -= w->count;
        t->symbols[result].count += w->count;
    }
    w->len = to;
    return MT_OK;
}

static mt_status merge(trainer *t, int32_t p) {
    int32_t left = t->pairs[p].left, right = t->pairs[p].right, result;
    const char *prefix = t->o->prefix ? t->o->prefix : "";
    size_t skip = strlen(prefix);
    mt_str a = t->out->token[left], b = t->out->token[right];
    if (b.n >= skip && memcmp(b.p, prefix, skip) == 0) b = (mt_str){b.p + skip, b.n - skip};
    mt_buf text = {0};
    mt_status status = MT_OK;
    MT_TRY_GOTO(mt_buf_add(&text, a.p, a.n, t->err), done);
    MT_TRY_GOTO(mt_buf_add(&text, b.p, b.n, t->err), done);
    MT_TRY_GOTO(token_id(t, (mt_str){text.data, text.len}, &result), done);
    MT_TRY_GOTO(
        mt_grow((void **)&t->out->merge, &t->out->merge_cap, t->out->merge_len + 1, sizeof *t->out->merge, t->err),
        done);
    t->out->merge[t->out->merge_len++] = (struct mt_merge_rule){left, right, result};
    for (int32_t at = t->pairs[p].first; at >= 0; at = t->places[at].next)
        MT_TRY_GOTO(merge_word(t, t->places[at].word, left, right, result), done);
    t->pairs[p].count = 0; /* overlapping occurrences ("aaa") that are gone with their neighbours */
    int32_t changed[3] = {left, right, result};
    for (int i = 0; i < 3; i++) {
        for (int32_t q = t->symbols[changed[i]].as_left; q >= 0; q = t->pairs[q].next_left)
            MT_TRY_GOTO(touch(t, q), done);
        for (int32_t q = t->symbols[changed[i]].as_right; q >= 0; q = t->pairs[q].next_right)
            MT_TRY_GOTO(touch(t, q), done);
    }
    for (size_t i = 0; i < t->touched.len; i++) MT_TRY_GOTO(push(t, t->touched.data[i]), done);
    t->touched.len = 0;
done:
    mt_buf_free(&text);
    return status;
}

typedef struct letter {
    mt_str text;
    uint64_t count;
} letter;
static int by_count(const void *a, const void *b, void *unused) {
    const letter *x = a, *y = b;
    (void)unused;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    int c = memcmp(x->text.p, y->text.p, x->text.n < y->text.n ? x->text.n : y->text.n);
    return c ? c : x->text.n < y->text.n ? -1 : x->text.n > y->text.n;
}
static int by_text(const void *a, const void *b, void *unused) {
    letter x = *(const letter *)a, y = *(const letter *)b;
    x.count = y.count;
    return by_count(&x, &y, unused);
}

static size_t letter_size(mt_str s, size_t at) {
    uint32_t cp;
    int n = mt_utf8_decode(s.p + at, s.n - at, &cp);
    return n ? (size_t)n : 1;
}

/* The letters in order of their bytes, then, as they appear, the letters inside words. */
static mt_status open_words(trainer *t, const mt_words *words) {
    mt_words counts = {0};
    letter *letters = NULL;
    mt_buf text = {0};
    mt_status status = MT_OK;
    size_t total = 0, len = 0;
    for (size_t w = 0; w < words->len; w++) {
        mt_str s = words->list[w].text;
        total += s.n;
        if (words->list[w].count > INT64_MAX / 4096) {
            status =
                mt_fail(t->err, MT_ELIMIT, "a word was counted %llu times", (unsigned long long)words->list[w].count);
            goto done;
        }
        for (size_t at = 0; at < s.n; at += letter_size(s, at))
            MT_TRY_GOTO(mt_words_add(&counts, s.p + at, letter_size(s, at), words->list[w].count, t->err), done);
    }
    for (size_t i = 0; i < t->o->alphabet_len; i++) /* forced letters count enough to stay */
        MT_TRY_GOTO(mt_words_add(&counts, t->o->alphabet[i].p, t->o->alphabet[i].n, UINT64_MAX / 2, t->err), done);
    letters = mt_array(counts.len, sizeof *letters);
    t->words = mt_array(words->len, sizeof *t->words);
    int32_t *pool = mt_arena_alloc(&t->out->arena, total * sizeof *pool);
    if (!letters || !t->words || !pool) {
        status = mt_nomem(t->err, total * sizeof *pool, "the words");
        goto done;
    }
    for (; len < counts.len; len++) letters[len] = (letter){counts.list[len].text, counts.list[len].count};
    mt_sort(letters, len, sizeof *letters, by_count, NULL);
    if (t->o->limit_alphabet > 0 && len > (size_t)t->o->limit_alphabet) len = (size_t)t->o->limit_alphabet;
    mt_sort(letters, len, sizeof *letters, by_text, NULL);
    int32_t id;
    for (size_t i = 0; i < len; i++) MT_TRY_GOTO(token_id(t, letters[i].text, &id), done);
    const char *prefix = t->o->prefix ? t->o->prefix : "";
    for (size_t w = 0; w < words->len; w++, t->word_len++) {
        mt_str s = words->list[w].text;
        t->words[w] = (struct word){pool, 0, (int64_t)words->list[w].count};
        for (size_t at = 0, n; at < s.n; at += n) {
            n = letter_size(s, at);
            if (!mt_map_get(&t->ids, (mt_str){s.p + at, n}, &id)) continue;
            if (at && *prefix) {
                text.len = 0;
                MT_TRY_GOTO(mt_buf_add(&text, prefix, strlen(prefix), t->err), done);
                MT_TRY_GOTO(mt_buf_add(&text, s.p + at, n, t->err), done);
                MT_TRY_GOTO(token_id(t, (mt_str){text.data, text.len}, &id), done);
            }
            t->symbols[id].count += t->words[w].count;
            t->words[w].symbol[t->words[w].len++] = id;
        }
        pool += t->words[w].len;
    }
    for (uint32_t w = 0; w < t->word_len; w++)
        for (uint32_t i = 0; i + 1 < t->words[w].len; i++)
            MT_TRY_GOTO(change_pair(t, t->words[w].symbol[i], t->words[w].symbol[i + 1], t->words[w].count, w), done);
    for (size_t i = 0; i < t->touched.len; i++) MT_TRY_GOTO(push(t, t->touched.data[i]), done);
    t->touched.len = 0;
done:
    mt_words_free(&counts);
    mt_free(letters);
    mt_buf_free(&text);
    return status;
}

/* Of the text that a token stands for: the prefix does not count. */
static size_t characters(const trainer *t, int32_t id) {
    mt_str s = t->out->token[id];
    size_t skip = t->o->prefix ? strlen(t->o->prefix) : 0, n = 0;
    size_t at = skip && s.n > skip && !memcmp(s.p, t->o->prefix, skip) ? skip : 0;
    for (; at < s.n; at += letter_size(s, at)) n++;
    return n;
}

mt_status mt_train_wordpiece(const mt_words *words, const mt_bpe_options *o, mt_vocabulary *out, mt_error *err) {
    *out = (mt_vocabulary){0};
    if (o->vocab_size < 1) return mt_fail(err, MT_ERANGE, "vocab_size %d, expected at least 1", o->vocab_size);
    trainer t = {.o = o, .out = out, .err = err};
    mt_status status = MT_OK;
    int32_t id;
    for (size_t i = 0; i < o->special_len; i++) MT_TRY_GOTO(token_id(&t, o->special[i], &id), done);
    MT_TRY_GOTO(open_words(&t, words), done);
    while (out->len < (size_t)o->vocab_size && t.heap_len) {
        entry e = heap_pop(t.heap, &t.heap_len, &t);
        const pair *p = &t.pairs[e.pair];
        if (p->stamp != e.stamp) continue;
        size_t limit = o->max_token_length > 0 ? (size_t)o->max_token_length : SIZE_MAX;
        if (characters(&t, p->left) + characters(&t, p->right) >= limit) continue;
        MT_TRY_GOTO(merge(&t, e.pair), done);
        if (o->progress && out->len % 64 == 0 && o->progress(o->user, out->len, (uint64_t)o->vocab_size)) {
            status = mt_fail(err, MT_EABORTED, "training was stopped at %zu tokens", out->len);
            goto done;
        }
    }
done:
    mt_map_free(&t.ids);
    mt_free(t.words);
    mt_free(t.symbols);
    mt_free(t.pairs);
    mt_map64_free(&t.pair_index);
    mt_free(t.places);
    mt_free(t.heap);
    mt_ids_free(&t.touched);
    if (status != MT_OK) mt_vocabulary_free(out);
    return status;
}
