/* What the files of the Unigram trainer share. Private to them.
 *
 *   train_unigram.c        EM, pruning, the end
 *   train_unigram_seeds.c  the pieces that it begins with
 *   train_unigram_best.c   a word's lattice; best and second-best segmentations, as either reference finds them */
#ifndef MT_TRAIN_UNIGRAM_H
#define MT_TRAIN_UNIGRAM_H

#include "train.h"

typedef struct mt_u_piece {
    mt_str text;
    double score;
} mt_u_piece;

typedef struct mt_u_edge {
    int32_t piece; /* 0: unknown character */
    uint32_t end;
    double score;
} mt_u_edge;

typedef struct mt_u {
    const mt_unigram_options *o;
    const mt_words *words;
    mt_error *err;
    mt_arena text;      /* of the seeds */
    mt_u_piece *pieces; /* [0] is the unknown piece */
    size_t len;
    double unknown_score;
    bool single;     /* SentencePiece computes in single precision: so does its style, operation by operation */
    uint32_t *order; /* pieces by text, for building the trie */
    struct mt_u_node *nodes;
    size_t node_len, node_cap;
    uint32_t longest; /* bytes of the longest word or piece */
    /* the lattice of one word: edges by the place where they begin, first[i] .. first[i + 1] */
    mt_u_edge *edges;
    size_t edge_cap;
    uint32_t *first;
    /* work space by place, longest + 2 entries */
    double *alpha, *beta, *best;
    uint32_t *best_edge, *best_from;
    mt_ids path; /* of the segmentation found last: pieces from left to right */
    /* SentencePiece's search works on edges: see train_unigram_best.c */
    struct mt_u_end *ends;
    size_t end_cap;
    int32_t *end_first, *end_last;
    struct mt_u_hypothesis *hypotheses;
    size_t hypothesis_cap;
    mt_ids agenda;
} mt_u;

static inline double mt_u_rounded(const mt_u *u, double x) {
    return u->single ? (double)(float)x : x;
}

mt_status mt_u_seeds(mt_u *u);
mt_status mt_u_open(mt_u *u); /* work space, when `longest` is known */
void mt_u_close(mt_u *u);
mt_status mt_u_trie(mt_u *u);              /* over the pieces as they are now */
mt_status mt_u_lattice(mt_u *u, mt_str s); /* edges of a word */
mt_status mt_u_best(mt_u *u, mt_str s);    /* -> path */
/* The best segmentation of a piece's own text that is not the piece itself -> path. alone: the best one of all is the
 * piece; other: there is another one. */
mt_status mt_u_second(mt_u *u, int32_t piece, bool *alone, bool *other);

#endif
