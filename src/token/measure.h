/* What a tokenizer does to a text, in numbers (methods: tokenization, 13.1). */
#ifndef MT_MEASURE_H
#define MT_MEASURE_H

#include "token.h"

/* Sums over encoded sentences. Zero-initialise with mt_measure_open. */
typedef struct mt_measure {
    uint64_t sentences, tokens, unknown; /* `unknown`: tokens that are the unknown one */
    uint64_t bytes, characters;
    uint64_t words, word_tokens, continued; /* words, the tokens that touch them, words of more than one token */
    uint64_t *count;                        /* by id */
    size_t size;
} mt_measure;
mt_status mt_measure_open(mt_measure *m, size_t vocabulary_size, mt_error *err);
void mt_measure_free(mt_measure *m);
/* One sentence. ends[i] is the byte offset where token i ends in the text (NULL: words are not counted). A word is a
 * maximal run of characters other than white space; a token belongs to a word when it has a character of it. */
mt_status mt_measure_add(mt_measure *m, const uint8_t *text, size_t n, const int32_t *ids, const int32_t *ends,
                         size_t count, int32_t unknown, mt_error *err);

double mt_measure_fertility(const mt_measure *m);   /* tokens / words */
double mt_measure_continued(const mt_measure *m);   /* share of words of more than one token */
double mt_measure_compression(const mt_measure *m); /* bytes / token */
double mt_measure_closeness(const mt_measure *m);   /* tokens / characters: 1 is the character level */
double mt_measure_unknown(const mt_measure *m);     /* unknown tokens / tokens */
double mt_measure_used(const mt_measure *m);        /* share of the vocabulary that occurred */
/* Entropy of the tokens' distribution in nats, and Renyi entropy of order alpha over ln(vocabulary size) (Zouhar et al.
 * 2023 use 2.5); order 1 is Shannon's. */
double mt_measure_entropy(const mt_measure *m);
double mt_measure_efficiency(const mt_measure *m, double alpha);
/* Lengths in bytes, weighted by occurrence: histogram[k] tokens of k bytes, the last entry those of at least size-1. */
typedef mt_str (*mt_token_text)(void *user, int32_t id);
void mt_measure_lengths(const mt_measure *m, mt_token_text text, void *user, uint64_t *histogram, size_t size);
/* Ids by falling count (then by id), as many as occurred; `ids` has room for `size`. */
size_t mt_measure_ranking(const mt_measure *m, int32_t *ids);
/* Jensen-Shannon divergence of two token distributions over one vocabulary, in bits: 0 to 1. */
double mt_measure_divergence(const mt_measure *a, const mt_measure *b);

/* Parity of parallel sentences, the mean over sentences of |a| / |b|, and the premium, total / total. */
double mt_parity(const uint64_t *a, const uint64_t *b, size_t sentences);
double mt_premium(const uint64_t *a, const uint64_t *b, size_t sentences);

/* Tokens (as bytes) that two vocabularies have in common; each string counts once. */
typedef struct mt_overlap {
    size_t a, b, both;
    double jaccard; /* both / either */
} mt_overlap;
mt_status mt_vocabulary_overlap(const mt_str *a, size_t a_len, const mt_str *b, size_t b_len, mt_overlap *out,
                                mt_error *err);
/* Ids of the ordinary tokens (not special, added, byte-fallback ones) that the segmenter never gives: of the word that
 * the token spells it makes other tokens. For byte-pair encoding and Unigram no longer word has such a token either:
 * any part of a segmentation is the segmentation of that part. WordPiece: that no word of one or two pieces has. What
 * the splitter does to the token's text does not count. MT_EUNKNOWN: symbols that depend on their place ("</w>")
 * outside WordPiece. */
mt_status mt_unreachable(mt_tok *t, mt_ids *out, mt_error *err);

#endif
