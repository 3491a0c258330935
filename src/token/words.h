/* The words of a text: what the normalizer and the splitter leave for the segmenter. */
#ifndef MT_TOKEN_WORDS_H
#define MT_TOKEN_WORDS_H

#include "token.h"

typedef mt_status (*mt_word_seen)(void *user, const uint8_t *p, size_t n, mt_error *err);
/* Hands every word of the text to `seen`, in order, spelled as the definition spells its pieces (byte-level families:
 * the printable alphabet; SentencePiece families: U+2581 for spaces). Added tokens are cut out and not handed on. */
mt_status mt_tok_words(mt_tok *t, const uint8_t *text, size_t n, mt_word_seen seen, void *user, mt_error *err);

#endif
