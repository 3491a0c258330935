/* ABI of the trainers: texts are counted into words by a tokenizer's own normalizer and splitter, then a trainer makes
 * a vocabulary of them. */
#include "abi.h"

#include "../src/token/train.h"
#include "../src/token/words.h"

/* One object for a training: counted words, then the result. */
typedef struct abi_trainer {
    mt_words words;
    mt_vocabulary vocabulary;
    double total; /* words counted, repeated ones as often as they came */
} abi_trainer;

typedef struct abi_train_options {
    int32_t kind;
    int32_t vocab_size;
    double min_frequency;
    const mt_str *special, *alphabet;
    size_t special_len, alphabet_len;
    int32_t limit_alphabet, max_length;
    const char *prefix, *suffix;
    double shrinking_factor;
    int32_t seed_size, sub_iterations;
} abi_train_options;

typedef enum abi_train_kind { ABI_TRAIN_BPE, ABI_TRAIN_UNIGRAM } abi_train_kind;

typedef struct abi_trained {
    double words, distinct;
    size_t len, merge_len;
    const mt_str *token;
    const double *score;
    const struct mt_merge_rule *merge;
} abi_trained;

ABI_LAYOUT(train, ABI_STRUCT(abi_train_options), ABI_FIELD(abi_train_options, kind),
           ABI_FIELD(abi_train_options, vocab_size), ABI_FIELD(abi_train_options, min_frequency),
           ABI_FIELD(abi_train_options, special), ABI_FIELD(abi_train_options, special_len),
           ABI_FIELD(abi_train_options, alphabet), ABI_FIELD(abi_train_options, alphabet_len),
           ABI_FIELD(abi_train_options, limit_alphabet), ABI_FIELD(abi_train_options, max_length),
           ABI_FIELD(abi_train_options, prefix), ABI_FIELD(abi_train_options, suffix),
           ABI_FIELD(abi_train_options, shrinking_factor), ABI_FIELD(abi_train_options, seed_size),
           ABI_FIELD(abi_train_options, sub_iterations), ABI_STRUCT(abi_trained), ABI_FIELD(abi_trained, words),
           ABI_FIELD(abi_trained, distinct), ABI_FIELD(abi_trained, len), ABI_FIELD(abi_trained, merge_len),
           ABI_FIELD(abi_trained, token), ABI_FIELD(abi_trained, score), ABI_FIELD(abi_trained, merge),
           ABI_ENUM(ABI_TRAIN_BPE), ABI_ENUM(ABI_TRAIN_UNIGRAM))

/* The host hears how far a training is; what it returns stops the training when it is not 0. */
__attribute__((import_module("env"), import_name("train_progress"))) int32_t abi_host_progress(double done,
                                                                                               double total);
static bool report(void *user, uint64_t done, uint64_t total) {
    (void)user;
    return abi_host_progress((double)done, (double)total) != 0;
}

MT_EXPORT(trainer_new) mt_status abi_trainer_new(abi_trainer **out) {
    *out = mt_calloc(1, sizeof **out);
    return *out ? MT_OK : mt_nomem(&abi_error, sizeof **out, "a trainer");
}
MT_EXPORT(trainer_free) void abi_trainer_free(abi_trainer *trainer) {
    if (!trainer) return;
    mt_words_free(&trainer->words);
    mt_vocabulary_free(&trainer->vocabulary);
    mt_free(trainer);
}

static mt_status count_word(void *user, const uint8_t *p, size_t n, mt_error *err) {
    abi_trainer *trainer = user;
    trainer->total++;
    return mt_words_add(&trainer->words, p, n, 1, err);
}
/* Counts the words of one text. */
MT_EXPORT(trainer_text)
mt_status abi_trainer_text(abi_trainer *trainer, mt_tok *tok, const uint8_t *text, size_t n) {
    ABI_NEED(trainer);
    ABI_NEED(tok);
    return mt_tok_words(tok, text, n, count_word, trainer, &abi_error);
}

MT_EXPORT(trainer_run) mt_status abi_trainer_run(abi_trainer *trainer, const abi_train_options *options) {
    ABI_NEED(trainer);
    ABI_NEED(options);
    const abi_train_options *o = options;
    mt_vocabulary_free(&trainer->vocabulary);
    switch (o->kind) {
    case ABI_TRAIN_BPE: {
        mt_bpe_options bpe = {.vocab_size = o->vocab_size,
                              .min_frequency = abi_size(o->min_frequency),
                              .special = o->special,
                              .special_len = o->special_len,
                              .alphabet = o->alphabet,
                              .alphabet_len = o->alphabet_len,
                              .limit_alphabet = o->limit_alphabet,
                              .prefix = o->prefix,
                              .suffix = o->suffix,
                              .max_token_length = o->max_length,
                              .progress = report};
        return mt_train_bpe(&trainer->words, &bpe, &trainer->vocabulary, &abi_error);
    }
    case ABI_TRAIN_UNIGRAM: {
        mt_unigram_options unigram = {.vocab_size = o->vocab_size,
                                      .special = o->special,
                                      .special_len = o->special_len,
                                      .alphabet = o->alphabet,
                                      .alphabet_len = o->alphabet_len,
                                      .max_piece_length = o->max_length,
                                      .seed_size = o->seed_size,
                                      .shrinking_factor = o->shrinking_factor,
                                      .sub_iterations = o->sub_iterations,
                                      .style = MT_UNIGRAM_TOKENIZERS,
                                      .progress = report};
        return mt_train_unigram(&trainer->words, &unigram, &trainer->vocabulary, &abi_error);
    }
    }
    return mt_fail(&abi_error, MT_EUNKNOWN, "trainer_run: unknown trainer %d: known are 0 (BPE), 1 (Unigram)",
                   (int)o->kind);
}

/* What the trainer holds now; the pointers are good until its next call. */
MT_EXPORT(trainer_result) mt_status abi_trainer_result(const abi_trainer *trainer, abi_trained *out) {
    ABI_NEED(trainer);
    const mt_vocabulary *v = &trainer->vocabulary;
    *out =
        (abi_trained){trainer->total, (double)trainer->words.len, v->len, v->merge_len, v->token, v->score, v->merge};
    return MT_OK;
}
