/* The contexts of a streaming byte model. Private to src/bias. */
#ifndef MT_BIAS_TREE_H
#define MT_BIAS_TREE_H

#include "spell.h"

#include <math.h>

/* A context: the tokens from the root to here, fully inside the text. While it is open, the text's bytes after it (the
 * residual) are the beginning of, or all of, one more token. */
typedef struct mt_node mt_node;
struct mt_node {
    mt_node *parent, *child, *sibling;
    int32_t rank;    /* of its token; -1: the root */
    int32_t context; /* of the model; -1: not made yet */
    int32_t in_batch;
    size_t end;       /* bytes of the text that it covers */
    double weight;    /* ln P(context); known as soon as the parent is evaluated */
    double normalise; /* ln of the mass of what can follow (MT_TARGET_MASKED), else 0 */
    double end_logp;  /* ln of the probability of the end of the text, normalised, -infinity when it cannot end here */
    double least;     /* tokens of less mass were not made contexts when the residual ended one */
    bool evaluated, open, extended;
    size_t lo, hi;        /* sorted tokens that start with the residual */
    size_t witness;       /* one of them that can follow */
    mt_spell_place place; /* guesses about the splitting, walked over the residual */
    size_t p_lo, p_hi;    /* range of p */
    double *p;            /* probabilities of the tokens in the range that can follow, others 0; unnormalised */
    double *block;        /* sums of p over 64 */
    double *naive;        /* [257] all tokens by first byte, where encode(text) is this context; unnormalised */
};

struct mt_bytes {
    mt_spell *spell;
    mt_lm lm;
    mt_target target;
    mt_buf text; /* what was pushed, after the space that the tokenizer puts before it */
    size_t prefix;
    mt_node *root;
    mt_node **open, **waiting; /* open nodes; nodes without a row, parents first */
    size_t open_count, open_cap, waiting_count, waiting_cap;
    int32_t beam;
    double epsilon;
    bool want_naive;
    bool trimmed; /* the beam was pruned after the last byte */
    double lost;  /* ln of the mass that was pruned */
    double *row;  /* [vocab] */
    mt_ids at;    /* scratch of push */
    mt_bytes_stats stats;
};

static inline double mt_log_add(double a, double b) {
    double hi = a > b ? a : b, lo = a > b ? b : a;
    return lo == -INFINITY ? hi : hi + log1p(exp(lo - hi));
}

mt_status mt_node_add(mt_bytes *b, mt_node *parent, size_t rank, mt_error *err);
void mt_node_close(mt_bytes *b, mt_node *n); /* no token is open: removed with all ancestors that only it kept */
mt_status mt_tree_evaluate(mt_bytes *b, mt_error *err);
void mt_tree_merge(mt_bytes *b);
void mt_tree_prune(mt_bytes *b);
/* No open context can read byte c: opens others that pruning has passed over. *yes: some were. */
mt_status mt_tree_revive(mt_bytes *b, uint8_t c, bool *yes, mt_error *err);
/* ln of the mass of tokens [lo, hi) after this context, times the context's. The node is evaluated. */
double mt_node_mass(const mt_node *n, size_t lo, size_t hi);
/* Adds the probabilities of all tokens by their first byte, and of the end; p, when not NULL, gets them by rank. */
void mt_naive_row(const mt_bytes *b, bool root, const double *row, double out[257], double *p);

mt_status mt_bytes_new_source(const mt_spell_source *source, const mt_lm *lm, mt_target target, mt_bytes **out,
                              mt_error *err);

#endif
