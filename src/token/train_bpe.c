/* Byte-pair encoding, trained as the tokenizers library does (so that ids and merges come out the same):
 *
 *   alphabet   characters by code point after the special tokens; `limit_alphabet` drops the rarest
 *   queue      the pair with the highest count, the smaller (left id, right id) on ties
 *   entry      a pair together with the words in which it arose *in one step*. When the same token string can be made
 * in two ways, a pair may have several entries; each merges only its own words, as in the reference.
 *
 * Words change in place; counts change by differences. Worked example: words "abab" x2, "ab" x1 with vocab_size 4:
 * pairs (a,b) 5, (b,a) 2; merge (a,b) -> ab: "ab ab", "ab"; then (ab,ab) 2 -> abab. */
#include "train.h"
#include "../base/heap.h"
#include "../base/sort.h"

typedef struct word {
    int32_t *symbol; /* token ids */
    uint32_t len;
    int64_t count;
} word;

typedef struct entry {
    int64_t count;
    uint64_t pair;       /* left id << 32 | right id */
    uint32_t first, len; /* words: entry_words[first .. first + len) */
    uint32_t serial;     /* age, the last tie-break: deterministic where the reference is not */
} entry;

typedef struct trainer {
    const mt_bpe_options *o;
    mt_vocabulary *out;
    mt_map ids;     /* token string -> id; keys live in out->arena */
    uint32_t *size; /* by id: characters of the text that it stands for (prefix and suffix do not count) */
    size_t size_cap;
    word *words;
    size_t word_count;
    mt_map64 pair_index; /* pair -> position in pair_count */
    int64_t *pair_count;
    size_t pair_len, pair_cap;
    entry *heap;
    size_t heap_len, heap_cap;
    uint32_t serial;
    uint32_t *positions; /* the entries' words */
    size_t position_len, position_cap;
    struct change {
        uint64_t pair;
        uint32_t word;
    } *fresh; /* pairs that arose in this step */
    size_t fresh_len, fresh_cap;
    mt_error *err;
} trainer;

static uint64_t pair_of(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* ---- tokens ---- */

static mt_status token_id(trainer *t, mt_str text, uint32_t size, int32_t *id, bool *is_new) {
    *is_new = false;
    if (mt_map_get(&t->ids, text, id)) return MT_OK;
    MT_TRY(mt_vocabulary_add(t->out, text, id, t->err));
    MT_TRY(mt_grow((void **)&t->size, &t->size_cap, t->out->len, sizeof *t->size, t->err));
    t->size[*id] = size;
    *is_new = true;
    return mt_map_set(&t->ids, t->out->token[*id], *id, t->err);
}

typedef struct letter {
    uint32_t cp;
    uint64_t count;
} letter;

static int by_count(const void *a, const void *b, void *unused) {
    const letter *x = a, *y = b;
    (void)unused;
    if (x->count != y->count) return x->count < y->count ? -1 : 1;
    return x->cp < y->cp ? -1 : x->cp > y->cp;
}
static int by_code_point(const void *a, const void *b, void *unused) {
    const letter *x = a, *y = b;
    (void)unused;
    return x->cp < y->cp ? -1 : x->cp > y->cp;
}

/* Decodes one character; a byte that is no valid UTF-8 stands for itself above the code points. */
static uint32_t next_character(mt_str s, size_t at, size_t *n) {
    uint32_t cp;
    int len = mt_utf8_decode(s.p + at, s.n - at, &cp);
    *n = len ? (size_t)len : 1;
    return len ? cp : 0x110000u + s.p[at];
}

static mt_status count_letter(mt_map64 *index, letter **list, size_t *len, size_t *cap, uint32_t cp, uint64_t count,
                              mt_error *err) {
    int32_t at;
    if (!mt_map64_get(index, cp, &at)) {
        MT_TRY(mt_grow((void **)list, cap, *len + 1, sizeof **list, err));
        at = (int32_t)(*len)++;
        (*list)[at] = (letter){cp, 0};
        MT_TRY(mt_map64_set(index, cp, at, err));
    }
    if (__builtin_add_overflow((*list)[at].count, count, &(*list)[at].count)) (*list)[at].count = UINT64_MAX;
    return MT_OK;
}

static mt_status add_alphabet(trainer *t, const mt_words *words) {
    mt_map64 index = {0};
    letter *list = NULL;
    size_t len = 0, cap = 0;
    mt_status status = MT_OK;
    for (size_t w = 0; w < words->len; w++) {
        mt_str s = words->list[w].text;
        for (size_t at = 0, n; at < s.n; at += n) {
            uint32_t cp = next_character(s, at, &n);
            MT_TRY_GOTO(count_letter(&index, &list, &len, &cap, cp, words->list[w].count, t->err), done);
        }
    }
    for (size_t i = 0; i < t->o->alphabet_len; i++) {
        size_t n;
        if (t->o->alphabet[i].n == 0) continue;
        uint32_t cp = next_character(t->o->alphabet[i], 0, &n);
        MT_TRY_GOTO(count_letter(&index, &list, &len, &cap, cp, UINT64_MAX, t->err), done);
    }
    if (t->o->limit_alphabet > 0 && len > (size_t)t->o->limit_alphabet) {
        mt_sort(list, len, sizeof *list, by_count, NULL);
        size_t drop = len - (size_t)t->o->limit_alphabet;
        memmove(list, list + drop, (len - drop) * sizeof *list);
        len -= drop;
    }
    mt_sort(list, len, sizeof *list, by_code_point, NULL);
    for (size_t i = 0; i < len; i++) {
        uint8_t text[4];
        int n = list[i].cp < 0x110000u ? mt_utf8_encode(list[i].cp, text) : (text[0] = (uint8_t)list[i].cp, 1);
        int32_t id;
        bool is_new;
        MT_TRY_GOTO(token_id(t, (mt_str){text, (size_t)n}, 1, &id, &is_new), done);
    }
done:
    mt_map64_free(&index);
    mt_free(list);
    return status;
}

/* Words as symbols. Characters outside the alphabet vanish, as in the reference. */
static mt_status add_words(trainer *t, const mt_words *words) {
    size_t total = 0;
    for (size_t w = 0; w < words->len; w++) total += words->list[w].text.n;
    t->words = mt_array(words->len, sizeof *t->words);
    if (!t->words) return mt_nomem(t->err, words->len * sizeof *t->words, "the words");
    int32_t *pool = mt_arena_alloc(&t->out->arena, total * sizeof *pool);
    if (!pool) return mt_nomem(t->err, total * sizeof *pool, "the words' symbols");
    const char *prefix = t->o->prefix ? t->o->prefix : "", *suffix = t->o->suffix ? t->o->suffix : "";
    mt_buf text = {0};
    mt_status status = MT_OK;
    for (size_t w = 0; w < words->len; w++) {
        mt_str s = words->list[w].text;
        if (words->list[w].count > INT64_MAX / 4096) {
            status =
                mt_fail(t->err, MT_ELIMIT, "a word was counted %llu times", (unsigned long long)words->list[w].count);
            goto done;
        }
        t->words[w] = (word){pool, 0, (int64_t)words->list[w].count};
        for (size_t at = 0, n; at < s.n; at += n) {
            next_character(s, at, &n);
            int32_t id;
            bool is_new;
            if (!mt_map_get(&t->ids, (mt_str){s.p + at, n}, &id)) continue;
            bool first = at == 0, last = at + n == s.n;
            if ((!first && *prefix) || (last && *suffix)) {
                text.len = 0;
                if (!first) MT_TRY_GOTO(mt_buf_add(&text, prefix, strlen(prefix), t->err), done);
                MT_TRY_GOTO(mt_buf_add(&text, s.p + at, n, t->err), done);
                if (last) MT_TRY_GOTO(mt_buf_add(&text, suffix, strlen(suffix), t->err), done);
                MT_TRY_GOTO(token_id(t, (mt_str){text.data, text.len}, 1, &id, &is_new), done);
            }
            *pool++ = id;
            t->words[w].len++;
        }
    }
    t->word_count = words->len;
done:
    mt_buf_free(&text);
    return status;
}

/* ---- the queue ---- */

static bool before(const entry *a, const entry *b, const void *unused) {
    (void)unused;
    if (a->count != b->count) return a->count > b->count;
    if (a->pair != b->pair) return a->pair < b->pair;
    return a->serial < b->serial;
}

MT_HEAP(heap, entry, const void *, before)

static mt_status push(trainer *t, entry e) {
    MT_TRY(mt_grow((void **)&t->heap, &t->heap_cap, t->heap_len + 1, sizeof e, t->err));
    heap_push(t->heap, &t->heap_len, e, NULL);
    return MT_OK;
}

static mt_status change_pair(trainer *t, uint64_t pair, int64_t by, uint32_t in_word) {
    int32_t at;
    if (!mt_map64_get(&t->pair_index, pair, &at)) {
        MT_TRY(mt_grow((void **)&t->pair_count, &t->pair_cap, t->pair_len + 1, sizeof *t->pair_count, t->err));
        at = (int32_t)t->pair_len++;
        t->pair_count[at] = 0;
        MT_TRY(mt_map64_set(&t->pair_index, pair, at, t->err));
    }
    t->pair_count[at] += by;
    if (by <= 0) return MT_OK;
    MT_TRY(mt_grow((void **)&t->fresh, &t->fresh_cap, t->fresh_len + 1, sizeof *t->fresh, t->err));
    t->fresh[t->fresh_len++] = (struct change){pair, in_word};
    return MT_OK;
}

static int64_t pair_count(const trainer *t, uint64_t pair) {
    int32_t at;
    return mt_map64_get(&t->pair_index, pair, &at) ? t->pair_count[at] : 0;
}

static int by_pair(const void *a, const void *b, void *unused) {
    const struct change *x = a, *y = b;
    (void)unused;
    if (x->pair != y->pair) return x->pair < y->pair ? -1 : 1;
    return x->word < y->word ? -1 : x->word > y->word;
}

/* One queue entry for every pair that arose in this step. */
static mt_status push_fresh(trainer *t) {
    mt_sort(t->fresh, t->fresh_len, sizeof *t->fresh, by_pair, NULL);
    for (size_t i = 0; i < t->fresh_len;) {
        uint64_t pair = t->fresh[i].pair;
        entry e = {pair_count(t, pair), pair, (uint32_t)t->position_len, 0, t->serial++};
        for (; i < t->fresh_len && t->fresh[i].pair == pair; i++) {
            if (e.len && t->positions[t->position_len - 1] == t->fresh[i].word) continue;
            MT_TRY(
                mt_grow((void **)&t->positions, &t->position_cap, t->position_len + 1, sizeof *t->positions, t->err));
            t->positions[t->position_len++] = t->fresh[i].word;
            e.len++;
        }
        if (t->position_len > UINT32_MAX) return mt_fail(t->err, MT_ELIMIT, "too many words for one training run");
        if (e.count > 0) MT_TRY(push(t, e));
    }
    t->fresh_len = 0;
    return MT_OK;
}

/* ---- merging ---- */

/* Rewrites the word in one pass: `to` symbols are final, `from` is the next to read. */
static mt_status merge_in_word(trainer *t, uint32_t index, int32_t left, int32_t right, int32_t result) {
    word *w = &t->words[index];
    int64_t limit = t->o->max_token_length > 0 ? t->o->max_token_length : INT64_MAX, size = t->size[result];
    uint32_t to = 0;
    for (uint32_t from = 0; from < w->len; from++) {
        if (from + 1 == w->len || w->symbol[from] != left || w->symbol[from + 1] != right) {
            w->symbol[to++] = w->symbol[from];
            continue;
        }
        if (to > 0) {
            int32_t previous = w->symbol[to - 1];
            MT_TRY(change_pair(t, pair_of(previous, left), -w->count, index));
            if (t->size[previous] + size < limit) MT_TRY(change_pair(t, pair_of(previous, result), w->count, index));
        }
        w->symbol[to++] = result;
        from++;
        if (from + 1 < w->len) {
            int32_t next = w->symbol[from + 1];
            MT_TRY(change_pair(t, pair_of(right, next), -w->count, index));
            if (t->size[next] + size < limit) MT_TRY(change_pair(t, pair_of(result, next), w->count, index));
        }
    }
    w->len = to;
    return MT_OK;
}

static mt_status train(trainer *t) {
    for (size_t w = 0; w < t->word_count; w++)
        for (uint32_t i = 0; i + 1 < t->words[w].len; i++)
            MT_TRY(change_pair(t, pair_of(t->words[w].symbol[i], t->words[w].symbol[i + 1]), t->words[w].count,
                               (uint32_t)w));
    MT_TRY(push_fresh(t));

    size_t prefix = t->o->prefix ? strlen(t->o->prefix) : 0;
    mt_buf text = {0};
    mt_status status = MT_OK;
    while (t->out->len < (size_t)t->o->vocab_size && t->heap_len) {
        entry *top = t->heap;
        int64_t now = pair_count(t, top->pair);
        if (top->count != now) { /* stale: put it where it belongs */
            top->count = now;
            heap_sink(t->heap, t->heap_len, *top, NULL);
            continue;
        }
        if (now < 1 || (uint64_t)now < t->o->min_frequency) break;
        entry e = heap_pop(t->heap, &t->heap_len, NULL);

        int32_t left = (int32_t)(e.pair >> 32), right = (int32_t)(uint32_t)e.pair, result;
        mt_str a = t->out->token[left], b = t->out->token[right];
        if (prefix && b.n >= prefix && memcmp(b.p, t->o->prefix, prefix) == 0) b = (mt_str){b.p + prefix, b.n - prefix};
        text.len = 0;
        MT_TRY_GOTO(mt_buf_add(&text, a.p, a.n, t->err), done);
        MT_TRY_GOTO(mt_buf_add(&text, b.p, b.n, t->err), done);
        bool is_new;
        MT_TRY_GOTO(token_id(t, (mt_str){text.data, text.len}, t->size[left] + t->size[right], &result, &is_new), done);
        MT_TRY_GOTO(
            mt_grow((void **)&t->out->merge, &t->out->merge_cap, t->out->merge_len + 1, sizeof *t->out->merge, t->err),
            done);
        t->out->merge[t->out->merge_len++] = (struct mt_merge_rule){left, right, result};
        for (uint32_t i = 0; i < e.len; i++)
            MT_TRY_GOTO(merge_in_word(t, t->positions[e.first + i], left, right, result), done);
        MT_TRY_GOTO(push_fresh(t), done);
        if (t->o->progress && t->out->len % 64 == 0 &&
            t->o->progress(t->o->user, t->out->len, (uint64_t)t->o->vocab_size)) {
            status = mt_fail(t->err, MT_EABORTED, "training was stopped at %zu tokens", t->out->len);
            goto done;
        }
    }
done:
    mt_buf_free(&text);
    return status;
}

mt_status mt_train_bpe(const mt_words *words, const mt_bpe_options *o, mt_vocabulary *out, mt_error *err) {
    *out = (mt_vocabulary){0};
    if (o->vocab_size < 1) return mt_fail(err, MT_ERANGE, "vocab_size %d, expected at least 1", o->vocab_size);
    trainer t = {.o = o, .out = out, .err = err};
    mt_status status = MT_OK;
    for (size_t i = 0; i < o->special_len; i++) {
        int32_t id;
        bool is_new;
        MT_TRY_GOTO(token_id(&t, o->special[i], (uint32_t)o->special[i].n, &id, &is_new), done);
    }
    MT_TRY_GOTO(add_alphabet(&t, words), done);
    MT_TRY_GOTO(add_words(&t, words), done);
    MT_TRY_GOTO(train(&t), done);
done:
    mt_map_free(&t.ids);
    mt_map64_free(&t.pair_index);
    mt_free(t.size);
    mt_free(t.words);
    mt_free(t.pair_count);
    mt_free(t.heap);
    mt_free(t.positions);
    mt_free(t.fresh);
    if (status != MT_OK) mt_vocabulary_free(out);
    return status;
}
