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
    double normalise; /* ln of what p is divided by */
    double end_logp;  /* ln of the probability of the end of the text, normalised, -infinity when it cannot end here */
    double least;     /* tokens of less mass were not made contexts when the residual ended one */
    bool evaluated, open, extended;
    bool wanted;          /* by the evaluation that is being put together */
    bool ahead;           /* made for expected text; not open before the text gets there */
    int32_t holds;        /* by states that can be returned to */
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
    mt_node **ahead; /* parents first */
    size_t ahead_count, ahead_cap;
    bool looking; /* nodes that are made are ahead, and none is removed */
    int32_t beam;
    double epsilon;
    bool want_naive;
    bool trimmed; /* the beam was pruned after the last byte */
    double lost;  /* ln of the mass that was pruned */
    double *row;  /* [vocab] of the context that is being read */
    mt_ids at;    /* scratch of push */
    mt_bytes_stats stats;
};

static inline double mt_log_add(double a, double b) {
    double hi = a > b ? a : b, lo = a > b ? b : a;
    return lo == -INFINITY ? hi : hi + log1p(exp(lo - hi));
}

/* Where a byte model stands: its text's length and open contexts. The nodes are held. */
typedef struct mt_bytes_open {
    mt_node *node;
    size_t lo, hi, witness;
    double least;
    bool extended;
} mt_bytes_open;
typedef struct mt_bytes_state {
    mt_bytes_open *open;
    size_t count;
    int32_t *at;    /* places of all guesses, one node after the other */
    uint8_t *after; /* text from `from` on */
    size_t from, length;
    double lost;
    bool trimmed;
} mt_bytes_state;
/* Remembers the state, after mt_bytes_extend if others are to start from it; the text before `from` is not kept and
 * must be the same on return. */
mt_status mt_bytes_save(mt_bytes *b, size_t from, mt_bytes_state *out, mt_error *err);
mt_status mt_bytes_return(mt_bytes *b, const mt_bytes_state *state, mt_error *err);
void mt_bytes_state_free(mt_bytes *b, mt_bytes_state *state);

static inline size_t mt_node_residual(const mt_bytes *b, const mt_node *n) {
    return n->end > b->text.len ? 0 : b->text.len - n->end; /* what is ahead has none */
}
static inline bool mt_bytes_prunes(const mt_bytes *b) {
    return b->target == MT_TARGET_ALL && (b->beam > 0 || b->epsilon > 0);
}

/* The open node that this token after `parent` makes. */
mt_status mt_node_add(mt_bytes *b, mt_node *parent, size_t rank, mt_error *err);
void mt_node_close(mt_bytes *b, mt_node *n); /* no token is open: removed with all ancestors that only it kept */
/* Evaluates all nodes that wait, or those that are wanted and their ancestors. */
/* The node's child by this token, or NULL; it may be ahead. */
mt_node *mt_node_child(const mt_node *n, size_t rank);
/* Forgets what is ahead and ends before this place of the text. */
void mt_tree_forget_ahead(mt_bytes *b, size_t before);
mt_status mt_tree_evaluate(mt_bytes *b, mt_error *err);
mt_status mt_tree_evaluate_wanted(mt_bytes *b, mt_error *err);
void mt_tree_merge(mt_bytes *b);
void mt_tree_prune(mt_bytes *b);
/* No open context can read byte c: opens others that pruning has passed over. *yes: some were. */
mt_status mt_tree_revive(mt_bytes *b, uint8_t c, bool *yes, mt_error *err);
/* ln of the mass of tokens [lo, hi) after this context, times the context's. The node is evaluated. */
double mt_node_mass(const mt_node *n, size_t lo, size_t hi);
/* The model's row of a context into b->row: the probability of token i is b->row[i] / *sum. */
typedef struct mt_row {
    const float *logit; /* or NULL: ln b->row */
    double top, sum;
} mt_row;
mt_status mt_row_read(mt_bytes *b, int32_t context, mt_row *out, mt_error *err);
/* Adds b->row by the tokens' first byte, and of the end. */
void mt_naive_row(const mt_bytes *b, bool root, double out[257]);

/* nextbyte.c: the steps of streaming. Prunes the beam; makes the contexts whose last token the text ends with; one
 * byte.
 */
mt_status mt_bytes_trim(mt_bytes *b, mt_error *err);
mt_status mt_bytes_extend(mt_bytes *b, mt_error *err);
mt_status mt_bytes_push_one(mt_bytes *b, uint8_t c, mt_error *err);
/* Adds an evaluated node's part to the next bytes: ln of masses, relative to nothing. */
void mt_node_add_next(const mt_bytes *b, const mt_node *n, double out[257]);
mt_status mt_bytes_no_future(const mt_bytes *b, mt_error *err);

mt_status mt_bytes_new_source(const mt_spell_source *source, const mt_lm *lm, mt_target target, mt_bytes **out,
                              mt_error *err);

#endif
