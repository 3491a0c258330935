/* Trainers: from counted words to a vocabulary. A word is what the normalizer and the splitter leave, as the definition
 * writes it (byte-level families: in their printable alphabet). All trainers are deterministic and take the same
 * progress callback.
 *
 *   train_bpe.c      byte-pair merges with Hugging Face's tie rule; with a prefix ("##") this is also their WordPiece
 * trainer
 */
#ifndef MT_TRAIN_H
#define MT_TRAIN_H

#include "../base/base.h"

/* ---- counted words ---- */
typedef struct mt_words {
    mt_map index; /* word -> position in `list` */
    struct mt_word_count {
        mt_str text;
        uint64_t count;
    } *list; /* in order of first appearance */
    size_t len, cap;
    mt_arena arena;
} mt_words;
mt_status mt_words_add(mt_words *w, const uint8_t *p, size_t n, uint64_t count, mt_error *err);
void mt_words_free(mt_words *w);

/* Called between steps; return true to stop (the trainer then fails with MT_EABORTED). done and total count vocabulary
 * entries. */
typedef bool (*mt_train_progress)(void *user, uint64_t done, uint64_t total);

/* ---- result ---- */
typedef struct mt_vocabulary {
    mt_str *token; /* by id */
    double *score; /* Unigram log-probabilities, SentencePiece BPE ranks; NULL: none */
    size_t len, cap;
    struct mt_merge_rule {
        int32_t left, right, result;
    } *merge; /* in rank order */
    size_t merge_len, merge_cap;
    mt_arena arena;
} mt_vocabulary;
void mt_vocabulary_free(mt_vocabulary *v);
/* Appends a copy of a token; *id is its number. */
mt_status mt_vocabulary_add(mt_vocabulary *v, mt_str text, int32_t *id, mt_error *err);

/* ---- byte-pair encoding (Sennrich et al. 2016) as the tokenizers library trains it ---- */
typedef struct mt_bpe_options {
    int32_t vocab_size;
    uint64_t min_frequency; /* a pair seen less often is not merged; 0 and 1 are the same */
    const mt_str *special;  /* get the first ids */
    size_t special_len;
    const mt_str *alphabet; /* characters that are kept whatever their count */
    size_t alphabet_len;
    int32_t limit_alphabet;      /* most frequent characters kept; <= 0: all */
    const char *prefix, *suffix; /* continuing_subword_prefix, end_of_word_suffix; NULL: none */
    int32_t max_token_length;    /* bytes; <= 0: no limit */
    mt_train_progress progress;
    void *user;
} mt_bpe_options;
mt_status mt_train_bpe(const mt_words *words, const mt_bpe_options *o, mt_vocabulary *out, mt_error *err);

/* ---- Unigram language model (Kudo 2018) ---- */
/* The two references differ in three places of pruning: pieces that the model itself would cut otherwise are dropped
 * (SentencePiece) or kept while used (tokenizers); the loss counts the parts that replace a piece (SentencePiece) or
 * all pieces (tokenizers); the last places are filled by score (SentencePiece) or in pruning order (tokenizers). */
typedef enum mt_unigram_style { MT_UNIGRAM_TOKENIZERS, MT_UNIGRAM_SENTENCEPIECE } mt_unigram_style;
typedef struct mt_unigram_options {
    int32_t vocab_size;
    const mt_str *special; /* get the first ids, score 0 */
    size_t special_len;
    const mt_str *alphabet; /* characters that must be pieces */
    size_t alphabet_len;
    int32_t max_piece_length; /* characters; <= 0: 16 */
    int32_t seed_size;        /* <= 0: 1,000,000 */
    double shrinking_factor;  /* share of pieces kept by a pruning; <= 0: 0.75 */
    int32_t sub_iterations;   /* EM steps between prunings; <= 0: 2 */
    mt_unigram_style style;
    /* May this substring become a piece? NULL: any. Characters always may. */
    bool (*valid)(void *user, const uint8_t *p, size_t n);
    mt_train_progress progress;
    void *user;
} mt_unigram_options;
mt_status mt_train_unigram(const mt_words *words, const mt_unigram_options *o, mt_vocabulary *out, mt_error *err);

#endif
