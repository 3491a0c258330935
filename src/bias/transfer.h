/* Embeddings for another vocabulary: what a model's table of token embeddings becomes when its tokenizer is replaced,
 * before anything is trained (methods: tokenization, 14). */
#ifndef MT_TRANSFER_H
#define MT_TRANSFER_H

#include "../token/token.h"

typedef enum mt_transfer_kind {
    MT_TRANSFER_RANDOM, /* every row drawn: N(mean, standard deviation) of the old rows, per dimension */
    MT_TRANSFER_COPY,   /* tokens that both have keep their rows, the others are drawn */
    MT_TRANSFER_MEAN, /* ...the others: the mean of the rows of the old tokens that spell them (FVT, Gee et al. 2022) */
    MT_TRANSFER_SCRIPT, /* ...drawn like the old tokens of the same script and place, begun by a space or not
                           (script-wise re-initialisation, Downey et al. 2023) */
    MT_TRANSFER_SIMILAR /* ...a mixture of shared tokens' rows, weighted by sparsemax of the cosines between auxiliary
                           vectors of the new vocabulary (FOCUS, Dobler & de Melo 2023) */
} mt_transfer_kind;
typedef struct mt_transfer {
    mt_transfer_kind kind;
    uint64_t seed;
    const float
        *aux; /* MT_TRANSFER_SIMILAR: [new tokens][aux_width], such as a mt_skipgram gives; a row of zeros: none */
    int32_t aux_width;
} mt_transfer;
typedef struct mt_transfer_stats {
    int32_t shared, made, drawn; /* rows that were copied, computed, drawn */
} mt_transfer_stats;
/* old: [rows][width], row i of token i of `from` (rows beyond its size are not looked at); out:
 * [mt_tok_size(to)][width]. Tokens are the same when they spell the same bytes (of special tokens: the same text);
 * begin, end and unknown tokens stand for each other whatever they are called. */
mt_status mt_transfer_rows(mt_tok *from, mt_tok *to, const mt_transfer *how, const float *old, int32_t rows,
                           int32_t width, float *out, mt_transfer_stats *stats, mt_error *err);

/* The Euclidean projection onto the simplex (Martins & Astudillo 2016), in place: w_i = max(z_i - t, 0), sum 1.
 * `scratch`: n numbers. */
void mt_sparsemax(double *z, size_t n, double *scratch);

/* Skip-gram with negative sampling (Mikolov et al. 2013) over tokens: vectors of tokens that stand in the same
 * company are alike. Words of fastText's model without their n-grams of characters. */
typedef struct mt_skipgram mt_skipgram;
typedef struct mt_skipgram_options {
    int32_t width;     /* of the vectors */
    int32_t window;    /* neighbours on each side, at most; each time 1..window is drawn */
    int32_t negatives; /* drawn for every neighbour, by count^0.75 */
    int32_t epochs;
    int32_t min_count; /* tokens that occur less often get no vector */
    double rate;       /* of learning at the start; it falls to 0 linearly */
    double subsample;  /* tokens more frequent than this are skipped now and then; 0: never */
    uint64_t seed;
} mt_skipgram_options;
/* ids: `n` tokens, -1 between texts; they must stay until the end. MT_ERANGE: an option or an id out of range. */
mt_status mt_skipgram_new(const int32_t *ids, size_t n, int32_t vocab, const mt_skipgram_options *options,
                          mt_skipgram **out, mt_error *err);
void mt_skipgram_free(mt_skipgram *s);
/* Learns from up to `tokens` more; the share that is done, 1 at the end. */
double mt_skipgram_train(mt_skipgram *s, size_t tokens);
/* [vocab][width]; a row of zeros: none. */
const float *mt_skipgram_vectors(const mt_skipgram *s);

#endif
