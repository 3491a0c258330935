/* The words of a text: what the normalizer and the splitter leave for the segmenter. */
#ifndef MT_TOKEN_WORDS_H
#define MT_TOKEN_WORDS_H

#include "lattice.h"
#include "token.h"

typedef mt_status (*mt_word_seen)(void *user, const uint8_t *p, size_t n, mt_error *err);
/* Hands every word of the text to `seen`, in order, spelled as the definition spells its pieces (byte-level families:
 * the printable alphabet; SentencePiece families: U+2581 for spaces). Added tokens are cut out and not handed on. */
mt_status mt_tok_words(mt_tok *t, const uint8_t *text, size_t n, mt_word_seen seen, void *user, mt_error *err);

/* The same words as bytes that the segmenter sees, and between them the added tokens (p NULL, added >= 0). */
typedef mt_status (*mt_part_seen)(void *user, const uint8_t *p, size_t n, int32_t added, mt_error *err);
mt_status mt_tok_parts(mt_tok *t, const uint8_t *text, size_t n, bool special_as_text, mt_part_seen seen, void *user,
                       mt_error *err);

/* ---- a tokenizer's vocabulary in other segmenters' hands ---- */

/* Stands for "no token covers this symbol" among a matcher's results: byte tokens spell it. */
enum { MT_BY_BYTES = INT32_MAX };
/* Every token that text can give, by bytes. Unknown symbols: the unknown token, or MT_BY_BYTES where the tokenizer
 * falls back to bytes. Not for vocabularies whose pieces depend on their place in the word ("##ing", "</w>"):
 * MT_EUNKNOWN. */
mt_status mt_tok_matcher(mt_tok *t, mt_matcher *out, mt_error *err);
/* All segmentations of a word into the vocabulary's pieces, as edges from node `at` on (its length more nodes). Weights
 * are by id; NULL: the vocabulary's scores, 0 where it has none. Pieces of WordPiece vocabularies stand where they may.
 * A symbol that no piece covers alone gets its byte tokens or the unknown token. */
mt_status mt_tok_lattice_word(mt_tok *t, const mt_matcher *m, const double *weight, const uint8_t *p, size_t n,
                              uint32_t at, mt_lattice *out, mt_error *err);
/* Replaces MT_BY_BYTES in a segmentation of p by byte tokens; appends ids. */
mt_status mt_tok_spell_out(const mt_tok *t, const mt_segments *s, const uint8_t *p, mt_ids *out, mt_error *err);
/* BPE-dropout of one word; MT_EUNKNOWN for tokenizers that do not merge pairs. Appends ids. */
mt_status mt_tok_dropout(mt_tok *t, mt_dropout kind, double probability, const uint8_t *p, size_t n, mt_rng *rng,
                         mt_ids *out, mt_error *err);

#endif
