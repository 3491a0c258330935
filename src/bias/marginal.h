/* The probability of a text over all its tokenizations (methods: tokenization, 10).
 *
 *   marginal.c         the tokenizations as a lattice; exact sums by position: contexts with the same future are merged
 *                      where the model says which those are (n-gram models: dynamic programming), else every
 *                      tokenization is its own (enumeration), or a beam whose losses are bounded
 *   marginal_sample.c  probabilities of many sequences along their common trie; importance sampling with lattice
 *                      proposals; block by block (Chirkova et al. 2023)
 *
 * "All" are all sequences of tokens that spell the text, whatever the tokenizer can produce: the events of
 * MT_TARGET_ALL that end with the text. */
#ifndef MT_MARGINAL_H
#define MT_MARGINAL_H

#include "../token/lattice.h"
#include "spell.h"

typedef struct mt_spellings {
    mt_lattice lattice; /* nodes: bytes of the text, after the space that the tokenizer puts before it */
    size_t prefix;
} mt_spellings;
/* weight: by token id, for proposals; NULL: all 0. */
mt_status mt_spellings_open(mt_tok *t, int32_t vocab, const double *weight, const uint8_t *text, size_t n,
                            mt_spellings *out, mt_error *err);
mt_status mt_spellings_open_source(const mt_spell_source *source, int32_t vocab, const double *weight,
                                   const uint8_t *text, size_t n, mt_spellings *out, mt_error *err);
void mt_spellings_free(mt_spellings *s);

typedef struct mt_marginal_options {
    bool end; /* the text ends: the probability of exactly this text; otherwise of sequences that spell it and go on */
    int32_t limit; /* contexts evaluated at most, else MT_ELIMIT */
    int32_t beam;  /* contexts kept at each position, the heaviest; 0: all. Not where contexts are merged */
} mt_marginal_options;
typedef struct mt_marginal {
    double sum;     /* ln of the sum over the sequences that were followed to the end */
    double missing; /* ln of a proven upper bound on what the beam left out; -infinity: nothing */
    double best;    /* ln of the probability of the best sequence that was found; the best of all when missing < best */
    mt_ids ids;     /* that sequence */
    int32_t contexts;
} mt_marginal;
mt_status mt_marginal_exact(const mt_spellings *s, const mt_lm *lm, const mt_marginal_options *options,
                            mt_marginal *out, mt_error *err);
void mt_marginal_free(mt_marginal *m);

/* ln P(ids[start[i]..start[i+1]) | context), with `end` and of the end of text after it. Common beginnings are
 * evaluated once; at most `limit` contexts are held (one sequence may take that many). */
mt_status mt_score_sequences(const mt_lm *lm, int32_t context, const int32_t *ids, const int32_t *start, size_t count,
                             bool end, int32_t limit, double *out, mt_error *err);

/* Draws tokenizations with probability q proportional to exp(theta * sum of weights) and scores them: log_p and log_q,
 * `samples` each. The mean of exp(log_p - log_q) estimates the marginal without bias. */
mt_status mt_marginal_sample(const mt_spellings *s, const mt_lm *lm, double theta, size_t samples, mt_rng *rng,
                             bool end, int32_t limit, double *log_p, double *log_q, mt_error *err);
/* Block by block: of the `most` segmentations of each block with the fewest tokens one is drawn by the model's own
 * probability given what was drawn before; q is the product of these choices. cut[0..cuts): where blocks end, in bytes
 * of the lattice, ascending, the last is its end. Estimates the marginal over sequences that are cut at the blocks'
 * ends (and are among the `most`); with one block and all of its segmentations without variance. */
mt_status mt_marginal_blocks(const mt_spellings *s, const mt_lm *lm, const uint32_t *cut, size_t cuts, size_t most,
                             size_t samples, mt_rng *rng, bool end, int32_t limit, double *log_p, double *log_q,
                             mt_error *err);

#endif
