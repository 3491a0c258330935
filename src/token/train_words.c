/* What the trainers share: counted words and the vocabulary under construction. */
#include "train.h"

mt_status mt_words_add(mt_words *w, const uint8_t *p, size_t n, uint64_t count, mt_error *err) {
    int32_t at;
    if (mt_map_get(&w->index, (mt_str){p, n}, &at)) {
        if (__builtin_add_overflow(w->list[at].count, count, &w->list[at].count))
            return mt_fail(err, MT_ELIMIT, "a word was counted more than 2^64 times");
        return MT_OK;
    }
    if (w->len >= INT32_MAX) return mt_fail(err, MT_ELIMIT, "more than %d distinct words", INT32_MAX);
    MT_TRY(mt_grow((void **)&w->list, &w->cap, w->len + 1, sizeof *w->list, err));
    const uint8_t *copy = mt_arena_copy(&w->arena, p, n);
    if (!copy) return mt_nomem(err, n, "a word");
    MT_TRY(mt_map_set(&w->index, (mt_str){copy, n}, (int32_t)w->len, err));
    w->list[w->len++] = (struct mt_word_count){{copy, n}, count};
    return MT_OK;
}

void mt_words_free(mt_words *w) {
    mt_map_free(&w->index);
    mt_free(w->list);
    mt_arena_free(&w->arena);
    *w = (mt_words){0};
}

mt_status mt_vocabulary_add(mt_vocabulary *v, mt_str text, int32_t *id, mt_error *err) {
    if (v->len >= INT32_MAX) return mt_fail(err, MT_ELIMIT, "more than %d tokens", INT32_MAX);
    MT_TRY(mt_grow((void **)&v->token, &v->cap, v->len + 1, sizeof *v->token, err));
    const uint8_t *copy = mt_arena_copy(&v->arena, text.p, text.n);
    if (!copy) return mt_nomem(err, text.n, "a token");
    v->token[v->len] = (mt_str){copy, text.n};
    *id = (int32_t)v->len++;
    return MT_OK;
}

void mt_vocabulary_free(mt_vocabulary *v) {
    mt_free(v->token);
    mt_free(v->score);
    mt_free(v->kind);
    mt_free(v->merge);
    mt_arena_free(&v->arena);
    *v = (mt_vocabulary){0};
}
