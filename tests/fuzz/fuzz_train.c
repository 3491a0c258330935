/* Trainers on any words: a byte chooses the trainer, two its size, one where it is stopped or runs out of memory; the
 * rest are words, one a line, repeated words count. Equal inputs give equal vocabularies; tokens are distinct. */
#include "fuzz.h"
#include "token/train.h"

enum { WORDS = 120, LONGEST = 40 };
static uint64_t stop_at;
static bool progress(void *user, uint64_t done, uint64_t total) {
    (void)user;
    DEMAND(done <= total + 1, "%llu of %llu", (unsigned long long)done, (unsigned long long)total);
    return done >= stop_at;
}

static mt_status train(uint32_t kind, int32_t size, const mt_words *w, mt_vocabulary *v, mt_error *err) {
    mt_str special = mt_str_of("<unk>");
    mt_bpe_options bpe = {.vocab_size = size,
                          .min_frequency = kind >> 6,
                          .special = &special,
                          .special_len = 1,
                          .prefix = kind & 32 ? "##" : NULL,
                          .progress = progress};
    switch (kind % 8) {
    case 0:
        return mt_train_bpe(w, &bpe, v, err);
    case 1:
        return mt_train_wordpiece(w, &bpe, v, err);
    case 2:
    case 3:
        return mt_train_unigram(
            w,
            &(mt_unigram_options){.vocab_size = size,
                                  .special = &special,
                                  .special_len = 1,
                                  .style = kind & 1 ? MT_UNIGRAM_SENTENCEPIECE : MT_UNIGRAM_TOKENIZERS,
                                  .progress = progress},
            v, err);
    case 4:
    case 5: {
        mt_sp_options o = {.vocab_size = size,
                           .special = &special,
                           .special_kind = (const uint8_t[]){1},
                           .special_len = 1,
                           .byte_fallback = kind & 16,
                           .split_digits = kind & 32,
                           .join_scripts = kind & 64,
                           .progress = progress};
        return kind & 1 ? mt_train_sp_unigram(w, &o, v, err) : mt_train_sp_bpe(w, &o, v, err);
    }
    case 6:
        return mt_train_pathpiece_spelled(
            w,
            &(mt_pathpiece_options){
                .vocab_size = size, .special = &special, .special_len = 1, .all_bytes = true, .progress = progress},
            &(mt_pathpiece_initial){.kind = kind >> 5 & 1 ? MT_INITIAL_BPE : MT_INITIAL_SUBSTRINGS, .size = 2 * size},
            v, err);
    default: {
        mt_str list[WORDS];
        size_t n = 0;
        for (; n < w->len; n++) list[n] = w->list[n].text;
        return mt_train_lib(
            list, n,
            &(mt_lib_options){.steps = 1 + size % 8, .article = 16, .most = size, .seed = kind, .progress = progress},
            v, err);
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    begin_input();
    mt_error err = {0};
    input in = {data, size};
    uint32_t kind = take(&in), wanted = take16(&in) % 700, limit = take(&in);
    mt_words words = {0};
    stop_at = UINT64_MAX;
    for (int i = 0; i < WORDS && in.n; i++) {
        input w = take_line(&in);
        if (!w.n) continue;
        DEMAND(ok(mt_words_add(&words, w.p, w.n < LONGEST ? w.n : LONGEST, 1 + (uint64_t)i % 3, &err), &err), "%s",
               err.text);
    }
    if (limit & 1)
        stop_at = limit;
    else if (limit & 2)
        mt_fail_allocation_after(limit);
    mt_vocabulary v = {0}, again = {0};
    bool good = ok(train(kind, (int32_t)wanted, &words, &v, &err), &err);
    mt_fail_allocation_after(-1);
    if (good) {
        mt_map seen = {0};
        for (size_t i = 0; i < v.len; i++) {
            int32_t before;
            DEMAND(!mt_map_get(&seen, v.token[i], &before), "tokens %d and %zu are the same", before, i);
            DEMAND(ok(mt_map_set(&seen, v.token[i], (int32_t)i, &err), &err), "%s", err.text);
            if (v.score) DEMAND(isfinite(v.score[i]), "score %zu of %zu is %g", i, v.len, v.score[i]);
        }
        for (size_t i = 0; i < v.merge_len; i++)
            DEMAND(v.merge[i].left >= 0 && v.merge[i].right >= 0 && v.merge[i].result >= 0 &&
                       (size_t)v.merge[i].left < v.len && (size_t)v.merge[i].right < v.len &&
                       (size_t)v.merge[i].result < v.len,
                   "merge %zu", i);
        mt_map_free(&seen);
        DEMAND(ok(train(kind, (int32_t)wanted, &words, &again, &err), &err), "%s", err.text);
        DEMAND(v.len == again.len, "%zu tokens, then %zu", v.len, again.len);
        for (size_t i = 0; i < v.len; i++) DEMAND(mt_str_eq(v.token[i], again.token[i]), "token %zu", i);
    }
    mt_vocabulary_free(&v);
    mt_vocabulary_free(&again);
    mt_words_free(&words);
    end_input();
    return 0;
}
