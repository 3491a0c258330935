/* Markov sources: texts whose distribution is known, on which every claim about tokenization can be checked exactly
 * (Phan et al. 2024 and 2025; Rajaraman, Jiao & Ramchandran 2024; methods: tokenization, 7 and 11).
 *
 * A source of order k over m letters has m^k contexts: the last k letters, numbered with the oldest letter first (AAA,
 * AAB, ABA, ...), each with the probabilities of the next letter. Texts begin in the stationary distribution. */
#ifndef MT_MARKOV_H
#define MT_MARKOV_H

#include "bias.h"

typedef struct mt_markov mt_markov;
/* letters: `count` different bytes (2..256). next[context * count + letter]: every row sums to 1 within 1e-9 and is
 * normalised. MT_ELIMIT: more than 1024 contexts; MT_ERANGE: no probabilities, or a source with more than one
 * stationary distribution. */
mt_status mt_markov_new(const uint8_t *letters, int32_t count, int32_t order, const double *next, mt_markov **out,
                        mt_error *err);
void mt_markov_free(mt_markov *m);
int32_t mt_markov_contexts(const mt_markov *m);
/* By context; sums to 1. Solved without subtractions (Grassmann, Taksar & Heyman 1985). */
const double *mt_markov_stationary(const mt_markov *m);
/* H of `length` consecutive letters, in nats; of 0: 0. */
double mt_markov_entropy(const mt_markov *m, int32_t length);
/* The entropy rate H(X | past) in nats a letter. */
double mt_markov_rate(const mt_markov *m);
/* The best cross-entropy, nats a letter, of a model that knows nothing but frequencies of fixed blocks:
 * H(X1..Xr) / r. */
double mt_markov_block_loss(const mt_markov *m, int32_t length);
/* `n` letters; the same seed, the same text. */
void mt_markov_sample(const mt_markov *m, uint64_t seed, size_t n, uint8_t *out);
/* Probabilities of the letter after a text, by letter; a text shorter than the order: over what may have been before
 * it. MT_ERANGE: a byte that is no letter, a text of probability 0. */
mt_status mt_markov_next(const mt_markov *m, const uint8_t *text, size_t n, double *out, mt_error *err);

/* ---- the token model that training on the source's tokenized texts would end in ---- */

/* All texts of `length` letters, tokenized and tabulated: P(token | tokens before) exactly, no neural net. Its
 * end-of-text is the id after the tokenizer's last. The tokenizer must spell the letters by tokens of their own bytes,
 * without normalizer, splitter or special tokens around the text. */
typedef struct mt_markov_model mt_markov_model;
typedef enum mt_markov_encoder {
    MT_MARKOV_OWN,    /* the tokenizer's own encoding; predictions by the streaming byte model (nextbyte.c) */
    MT_MARKOV_LONGEST /* longest match first; predictions by branch and pass (mpe.c) */
} mt_markov_encoder;
enum { MT_MARKOV_TEXTS = 1 << 20 };
/* The tokenizer must outlive the model. MT_ELIMIT: more than MT_MARKOV_TEXTS texts. */
mt_status mt_markov_model_new(const mt_markov *m, mt_tok *t, int32_t length, mt_markov_encoder encoder,
                              mt_markov_model **out, mt_error *err);
void mt_markov_model_free(mt_markov_model *m);
/* P(next token | ids): mt_tok_size + 1 entries, the last one the end. All 0: ids never begin an encoding. */
mt_status mt_markov_model_next(mt_markov_model *m, const int32_t *ids, size_t n, double *out, mt_error *err);
/* From now on P(next token | ids) is p[0..mt_tok_size], the last one the end: so another token model, a trained one
 * say, is asked and corrected by the same sums. MT_ERANGE: an entry below 0, or a sum off 1 by more than 1e-4; the sum
 * is made 1. */
mt_status mt_markov_model_set(mt_markov_model *m, const int32_t *ids, size_t n, const double *p, mt_error *err);
typedef struct mt_markov_prediction {
    double corrected[257], naive[257]; /* natural logs, as in mt_next_bytes */
    double text_logprob;
    int32_t calls; /* evaluations of the token model for ln Pr(text) */
} mt_markov_prediction;
mt_status mt_markov_model_predict(mt_markov_model *m, const uint8_t *text, size_t n, mt_markov_prediction *out,
                                  mt_error *err);

#endif
