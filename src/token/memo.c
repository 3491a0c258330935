/* Words to the segmenter, through a memo of results: exactly keyed, two places a word, bounded.
 *
 * Words come in batches. Most of them are in the memo, whose entries are spread over more memory than the nearest cache
 * holds; so the places of a whole batch are worked out first and every entry is read once: the processor waits for many
 * of them at the same time instead of for one after the other. */
#include "tok.h"

enum { NOWHERE = UINT32_MAX };

/* Up to 15 bytes, then zeros, the length in the last byte. */
typedef struct word_key {
    uint64_t a, b;
} word_key;

/* The word at p[0..n), 1 <= n <= 15, where `rest` bytes may be read. */
static inline word_key key_of(const uint8_t *p, size_t n, size_t rest) {
    static const uint8_t ones[32] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    uint8_t copy[16] = {0};
    if (rest < 16) {
        memcpy(copy, p, n);
        p = copy;
    }
    return (word_key){mt_le64(p) & mt_le64(ones + 16 - n),
                      (mt_le64(p + 8) & mt_le64(ones + 24 - n)) | (uint64_t)n << 56};
}

static inline uint32_t place_of(word_key k) {
    uint64_t h = k.a * UINT64_C(0x9E3779B97F4A7C15) + k.b * UINT64_C(0xD6E8FEB86659FD93);
    return (uint32_t)(h >> (64 - MT_MEMO_BITS)) & ~1u;
}

static inline bool is_at(const mt_memo *m, word_key k) {
    return ((m->key[0] ^ k.a) | (m->key[1] ^ k.b)) == 0;
}

mt_status mt_memo_make(mt_tok *t, mt_error *err) {
    size_t bytes = sizeof(mt_memo) << MT_MEMO_BITS;
    t->memo = mt_alloc_aligned(bytes, 2 * sizeof(mt_memo));
    if (!t->memo) return mt_nomem(err, bytes, "the memo of words");
    memset(t->memo, 0, bytes);
    return MT_OK;
}

/* Segments a word; m: its two places, or NULL. */
static mt_status segment(mt_tok *t, const mt_view *word, mt_memo *m, word_key k, mt_error *err) {
    mt_encoding *e = t->out;
    t->word = *word;
    t->word_base = e->ids.len;
    t->tiles = true;
    MT_TRY(t->segmenter->segment(t, word->p, word->n, err));
    size_t count = e->ids.len - t->word_base;
    /* spans that overlap or are empty (a character spelled in bytes...) are not kept: they cannot be told from the ends
     */
    if (m && count && count <= 3 && t->tiles && t->ends[count - 1] == word->n) {
        m[1] = m[0];
        *m = (mt_memo){{k.a, k.b}, {0, 0, 0}, (uint8_t)count, {0, 0, 0}};
        for (size_t i = 0; i < 3; i++) m->end[i] = (uint8_t)(i < count ? t->ends[i] : word->n);
        memcpy(m->id, e->ids.data + t->word_base, count * sizeof(int32_t));
    }
    return MT_OK;
}

/* Spans of the tokens of an entry; there is room for three. */
static inline void put_spans(const mt_tok *t, const mt_memo *m, const mt_view *v, size_t begin, mt_span *out) {
    if (!v->origin) {
        uint32_t at = v->base + (uint32_t)begin, first = at + m->end[0], second = at + m->end[1];
        out[0] = (mt_span){at, first};
        out[1] = (mt_span){first, second};
        out[2] = (mt_span){second, at + m->end[2]};
        return;
    }
    for (size_t i = 0, from = begin; i < m->count; i++) {
        out[i] = mt_span_of(t, v, from, begin + m->end[i]);
        from = begin + m->end[i];
    }
}

mt_status mt_segment_words(mt_tok *t, const mt_view *v, const mt_word *word, size_t count, mt_error *err) {
    mt_encoding *e = t->out;
    if (!t->memo) {
        for (size_t i = 0; i < count; i++) {
            mt_view part = mt_view_part(v, word[i].begin, word[i].end);
            MT_TRY(segment(t, &part, NULL, (word_key){0, 0}, err));
        }
        return MT_OK;
    }
    word_key key[MT_WORDS];
    uint32_t place[MT_WORDS], seen = 0;
    for (size_t i = 0; i < count; i++) {
        size_t n = word[i].end - word[i].begin;
        place[i] = NOWHERE;
        if (n > 15) continue;
        key[i] = key_of(v->p + word[i].begin, n, v->n - word[i].begin);
        place[i] = place_of(key[i]);
        seen |= t->memo[place[i]].count;
    }
    t->memo_seen = seen; /* so that the entries are read */
    for (size_t i = 0; i < count; i++) {
        mt_memo *m = place[i] == NOWHERE ? NULL : &t->memo[place[i]];
        if (m && (is_at(m, key[i]) || is_at(++m, key[i]))) {
            if (e->ids.cap - e->ids.len < 3) MT_TRY(mt_ids_reserve(&e->ids, 3, err));
            if (t->want_spans) {
                if (e->span_cap < e->ids.len + 3)
                    MT_TRY(mt_grow((void **)&e->spans, &e->span_cap, e->ids.len + 3, sizeof *e->spans, err));
                put_spans(t, m, v, word[i].begin, e->spans + e->ids.len);
            }
            memcpy(e->ids.data + e->ids.len, m->id, sizeof m->id);
            e->ids.len += m->count;
            continue;
        }
        mt_view part = mt_view_part(v, word[i].begin, word[i].end);
        MT_TRY(segment(t, &part, m ? m - 1 : NULL, key[i], err));
    }
    return MT_OK;
}

mt_status mt_segment_word(mt_tok *t, const mt_view *v, mt_error *err) {
    mt_word all = {0, (uint32_t)v->n};
    return mt_segment_words(t, v, &all, 1, err);
}
