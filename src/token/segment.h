/* Segmenters other than the one a tokenizer was trained with, over any vocabulary of byte strings. All are pure: a
 * matcher is read-only after mt_matcher_open, and what they draw comes from the caller's generator.
 *
 *   seg_greedy.c     longest match from the left, from the right, with dropout (MaxMatch-dropout)
 *   seg_pathpiece.c  fewest tokens (Schmidt et al. 2024)
 *   seg_longest.c    longest token anywhere first (LBPE)
 *   seg_dropout.c    BPE-dropout, the four distributions that well-known implementations realise
 *   huffman.c        Huffman codes for words */
#ifndef MT_SEGMENT_H
#define MT_SEGMENT_H

#include "bpe.h"

/* ---- what can match where ---- */

/* A symbol is a byte, or a character where `characters` is set (a byte that is not UTF-8 is one symbol). Where no token
 * covers a symbol, the segmenters emit `unknown` for that one symbol; with unknown < 0 they fail with MT_EMISSING. */
typedef struct mt_matcher {
    mt_trie forward, backward;             /* backward: tokens spelt from their last byte */
    mt_trie first_forward, first_backward; /* placed: the same for tokens that begin a text; the others never do */
    bool placed;
    int32_t unknown;
    bool characters;
    uint32_t longest; /* bytes of the longest token */
} mt_matcher;
/* Every token of `v` that has MT_MATCHES (mt_vocab_index_bytes was called). */
mt_status mt_matcher_open(mt_matcher *m, const mt_vocab *v, int32_t unknown, bool characters, mt_error *err);
/* By hand: begin, add (`inside`: anywhere but at the start, for placed ones). An opened matcher needs no end. */
mt_status mt_matcher_begin(mt_matcher *m, int32_t unknown, bool characters, mt_error *err);
mt_status mt_matcher_add(mt_matcher *m, mt_str token, int32_t id, bool inside, mt_error *err);
void mt_matcher_free(mt_matcher *m);
/* The tokens that may begin at byte `at`. */
static inline const mt_trie *mt_matcher_from(const mt_matcher *m, size_t at) {
    return m->placed && !at ? &m->first_forward : &m->forward;
}
/* Bytes of the symbol at p, n >= 1. */
size_t mt_matcher_symbol(const mt_matcher *m, const uint8_t *p, size_t n);

/* Tokens with the byte offset at which each ends. Zero-initialise; segmenters append. */
typedef struct mt_segments {
    mt_ids ids, ends;
} mt_segments;
mt_status mt_segments_add(mt_segments *s, int32_t id, size_t end, mt_error *err);
void mt_segments_reverse(mt_segments *s, size_t from); /* entries from `from` on */
void mt_segments_free(mt_segments *s);

/* The error of a symbol that nothing covers: MT_EMISSING. */
mt_status mt_segment_missing(const uint8_t *p, size_t at, size_t n, mt_error *err);

mt_status mt_segment_leftmost_longest(const mt_matcher *m, const uint8_t *p, size_t n, mt_segments *out, mt_error *err);
mt_status mt_segment_rightmost_longest(const mt_matcher *m, const uint8_t *p, size_t n, mt_segments *out,
                                       mt_error *err);
/* Longest match from the left where every match longer than the shortest one at its place is refused with probability
 * p (Hiraoka 2022): p = 0 is the longest match, p = 1 the shortest. */
mt_status mt_segment_longest_dropout(const mt_matcher *m, const uint8_t *p, size_t n, double dropout, mt_rng *rng,
                                     mt_segments *out, mt_error *err);

/* Fewest unknown symbols, then fewest tokens. Ties: rng == NULL takes the longest last token, and so on backwards;
 * otherwise each position draws uniformly among its equally good last tokens. */
mt_status mt_segment_fewest(const mt_matcher *m, const uint8_t *p, size_t n, mt_rng *rng, mt_segments *out,
                            mt_error *err);

/* The longest token anywhere in the text (leftmost of equals) is fixed, then the same on both sides of it. */
mt_status mt_segment_longest_first(const mt_matcher *m, const uint8_t *p, size_t n, mt_segments *out, mt_error *err);

/* ---- BPE-dropout (Provilkov et al. 2020), by implementation ---- */
typedef enum mt_dropout {
    MT_DROPOUT_STEP_ALL, /* subword-nmt: each step drops pair occurrences independently; all surviving occurrences of
                            the best surviving pair merge; ends when nothing survives */
    MT_DROPOUT_STEP_ONE, /* the same, but only the leftmost surviving occurrence merges before the next draw */
    MT_DROPOUT_REQUEUE,  /* tokenizers: a dropped queue entry comes back with the next entry that is not dropped */
    MT_DROPOUT_DISCARD   /* SentencePiece: a dropped occurrence is gone until one of its sides changes */
} mt_dropout;
/* Merges a list of symbols in place, like mt_bpe_merge. */
mt_status mt_bpe_merge_dropout(const mt_bpe *b, mt_dropout kind, double p, mt_rng *rng, int32_t *id, uint32_t *width,
                               size_t *n, mt_error *err);

/* ---- Huffman codes for words (Wolleb et al. 2023) ---- */

/* Canonical n-ary codes: length[i] digits for weight i. Code words are ordered by (length, index). Weights of 0 are
 * allowed; one weight alone gets a code of one digit. 2 <= arity <= 65536. */
mt_status mt_huffman_lengths(const uint64_t *weight, size_t count, uint32_t arity, uint32_t *length, mt_error *err);

typedef struct mt_huffman {
    uint32_t arity;
    size_t words; /* code words 0..words-1 are words, then the escape, then the characters and the end of a spelling */
    mt_str *word;
    uint32_t *letter; /* code points, or 0x110000 + byte for what is not UTF-8 */
    size_t letters;
    /* two codes: [0] words and the escape, [1] characters and the end */
    struct mt_code {
        uint32_t *length, *rank; /* by symbol; rank: place in the order (length, symbol) */
        uint32_t *symbol;        /* by rank */
        uint32_t *count;         /* code words by length, `longest` + 1 entries */
        size_t size;
        uint32_t longest;
    } code[2];
    mt_map index;
    mt_map64 letter_index;
    mt_arena arena;
} mt_huffman;

/* `escapes` is how often an unknown word is expected, against the counts of the words. The characters' code comes from
 * the words' letters; all 256 bytes can be spelt too. */
mt_status mt_huffman_open(mt_huffman *h, const mt_str *word, const uint64_t *weight, size_t count, uint64_t escapes,
                          uint32_t arity, mt_error *err);
void mt_huffman_free(mt_huffman *h);
/* Appends the digits of one word. */
mt_status mt_huffman_encode(const mt_huffman *h, const uint8_t *p, size_t n, mt_ids *digits, mt_error *err);
/* Reads one word from digits at *at, appends its bytes, and moves *at behind it. */
mt_status mt_huffman_decode(const mt_huffman *h, const int32_t *digits, size_t n, size_t *at, mt_buf *out,
                            mt_error *err);

#endif
