/* Two vocabularies side by side: which token of one stands for which of the other, which stretch of a tokenized text
 * for which, and the cheapest way to carry one distribution over into another (methods: tokenization, 15). */
#ifndef MT_TOKEN_ACROSS_H
#define MT_TOKEN_ACROSS_H

#include "token.h"

/* For each token of `from` the token of `onto` that stands for it, or -1 (Cross-model Control, Wu et al. 2024:
 * "prefix match, minimal edit distance"). Special and byte-fallback tokens by their name; others: the same bytes, else
 * among the tokens that begin it or that it begins the one with the smallest edit distance, which is the difference in
 * length; of equals the first id. A lone space stands for nothing but white space. map[mt_tok_size(from)]; same[id]: 1
 * when the two are the same. */
mt_status mt_token_map(const mt_tok *from, const mt_tok *onto, int32_t *map, uint8_t *same, mt_error *err);

/* Levenshtein distance in bytes: insertions, deletions and replacements cost 1. */
mt_status mt_edit_distance(mt_str a, mt_str b, uint32_t *out, mt_error *err);

/* Dynamic time warping of two token sequences (Wan et al. 2024 align tokenizations so): the monotone path of pairs from
 * the first of both to the last of both with the smallest sum of edit distances; of equals the one that goes on in both
 * sequences, else in `a`. pairs: 2 * (na + nb) places at most, indices into a and b. *cost: the sum. */
enum { MT_WARP_CELLS = 1 << 26 };
mt_status mt_token_warp(const mt_tok *ta, const int32_t *a, size_t na, const mt_tok *tb, const int32_t *b, size_t nb,
                        uint32_t *pairs, size_t *count, uint64_t *cost, mt_error *err);

typedef struct mt_transport_options {
    double epsilon;   /* of the entropy; > 0 */
    double tolerance; /* on the marginals: largest absolute error */
    uint32_t rounds;  /* at most */
} mt_transport_options;
typedef struct mt_transported {
    double cost;  /* <plan, cost>, without the entropy */
    double error; /* of the marginals: the largest */
    uint32_t rounds;
    uint8_t converged;
} mt_transported;
/* Entropic optimal transport by Sinkhorn's iteration in the log domain, epsilon lowered in halves from the largest cost
 * (Cuturi 2013; Schmitzer 2019). cost[n * m] row by row; a[n], b[m]: masses, each normalised to sum 1 first.
 * plan[n * m]. It is the best plan for <plan, cost> - epsilon * H(plan). */
mt_status mt_transport(const double *cost, size_t n, size_t m, const double *a, const double *b,
                       const mt_transport_options *options, double *plan, mt_transported *out, mt_error *err);

#endif
