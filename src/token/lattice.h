/* All segmentations of a text at once: a graph whose nodes are numbered in topological order (for a text: its byte
 * positions) and whose edges are tokens with a weight (a log-probability, or any score). A path from node 0 to the last
 * node is a segmentation; its score is the sum of its edges' weights. theta scales weights: 0 makes all paths equal.
 *
 *   lattice.c         building, counting, best path, forward/backward, entropy, posteriors, restriction by pairs
 *   lattice_paths.c   exact n-best, enumeration, sampling with and without replacement */
#ifndef MT_LATTICE_H
#define MT_LATTICE_H

#include "segment.h"

typedef struct mt_edge {
    uint32_t from, to; /* from < to */
    int32_t token;
    double weight;
} mt_edge;

typedef struct mt_lattice {
    uint32_t nodes; /* 0 is the start, nodes - 1 the end; one node: the empty text, with one empty path */
    mt_edge *edge;  /* after mt_lattice_finish sorted by (from, to, token) */
    size_t edges, edge_cap;
    uint32_t *out;          /* edges of node v: out[v] .. out[v + 1] */
    uint32_t *in, *in_edge; /* edges into v: in_edge[in[v]] .. in_edge[in[v + 1]], by `from` */
} mt_lattice;

/* Building by hand: set nodes, add edges, finish. Zero-initialise. */
mt_status mt_lattice_add(mt_lattice *l, uint32_t from, uint32_t to, int32_t token, double weight, mt_error *err);
mt_status mt_lattice_finish(mt_lattice *l, mt_error *err);
void mt_lattice_free(mt_lattice *l);
/* Every match of the matcher's tokens in p[0..n); `weight` by token id, NULL: all 0. Where no token spells the one
 * symbol at a position, an edge of the matcher's unknown token with `unknown_weight` covers it (if unknown >= 0). */
mt_status mt_lattice_open(mt_lattice *l, const mt_matcher *m, const double *weight, double unknown_weight,
                          const uint8_t *p, size_t n, mt_error *err);

/* The paths on which every two neighbours satisfy `allowed` (canonical pairs, say): nodes of the result are edges of
 * `l`, so that a node knows its last token. *yes is false beforehand. */
typedef mt_status (*mt_pair_allowed)(void *user, int32_t left, int32_t right, bool *yes, mt_error *err);
mt_status mt_lattice_restrict(const mt_lattice *l, mt_pair_allowed allowed, void *user, mt_lattice *out, mt_error *err);
/* mt_pair_allowed for byte-pair encoding, user = mt_bpe *: both tokens reachable, and the pair canonical. left < 0:
 * right starts the text. */
mt_status mt_lattice_bpe_pair(void *user, int32_t left, int32_t right, bool *yes, mt_error *err);

/* Number of paths: the exact number, or UINT64_MAX when it is larger; and its logarithm (-INFINITY: none). */
mt_status mt_lattice_count(const mt_lattice *l, uint64_t *count, double *log_count, mt_error *err);

/* Log of the sum of exp(theta x score) over all paths from the start to each node; the end's is the result. `alpha` has
 * `nodes` entries. Backward: from each node to the end. */
double mt_lattice_forward(const mt_lattice *l, double theta, double *alpha);
double mt_lattice_backward(const mt_lattice *l, double theta, double *beta);
/* Log of the sum over all paths. */
mt_status mt_lattice_marginal(const mt_lattice *l, double theta, double *sum, mt_error *err);
/* Entropy in nats of the paths' distribution, p proportional to exp(theta x score). No path: 0. */
mt_status mt_lattice_entropy(const mt_lattice *l, double theta, double *entropy, mt_error *err);
/* Probability that each edge is on the path. `posterior` has `edges` entries. */
mt_status mt_lattice_posterior(const mt_lattice *l, double theta, double *posterior, mt_error *err);

/* A list of paths: edge numbers, first to last. Zero-initialise; calls append. */
typedef struct mt_paths {
    struct mt_path {
        size_t first, len; /* in `edge` */
        double score;
        double inclusion; /* sampling without replacement: probability to be among the samples, given the threshold */
    } *path;
    size_t len, cap;
    mt_ids edge;
} mt_paths;
void mt_paths_free(mt_paths *p);
/* Appends the tokens of a path, with their ends for a lattice over a text. */
mt_status mt_lattice_tokens(const mt_lattice *l, const mt_paths *p, size_t index, mt_segments *out, mt_error *err);

/* Of equally good paths: the one whose last token is longest (then the one before...), which is what comparing
 * strictly from left to right keeps; or shortest. Floating-point sums decide what is equal. */
typedef enum mt_tie { MT_TIE_LONGEST_LAST, MT_TIE_SHORTEST_LAST } mt_tie;
/* MT_EMISSING when there is no path. */
mt_status mt_lattice_best(const mt_lattice *l, mt_tie tie, mt_paths *out, mt_error *err);
/* The k best paths in order, no path twice; fewer when there are fewer. Exact: A* from the end with the best score to
 * each node as its estimate. More than `limit` hypotheses (0: 2^24) are MT_ELIMIT. */
mt_status mt_lattice_nbest(const mt_lattice *l, size_t k, size_t limit, mt_paths *out, mt_error *err);
/* All paths in depth-first order, at most `cap`; *complete tells whether that was all. */
mt_status mt_lattice_enumerate(const mt_lattice *l, size_t cap, mt_paths *out, bool *complete, mt_error *err);
/* Independent paths, each with probability proportional to exp(theta x score): theta = 0 draws uniformly. */
mt_status mt_lattice_sample(const mt_lattice *l, double theta, size_t k, mt_rng *rng, mt_paths *out, mt_error *err);
/* k different paths, in the order of drawing without replacement (Gumbel-top-k, Kool et al. 2019), with the inclusion
 * probabilities that make weighted sums unbiased. */
mt_status mt_lattice_sample_distinct(const mt_lattice *l, double theta, size_t k, size_t limit, mt_rng *rng,
                                     mt_paths *out, mt_error *err);

#endif
