/* The words of a text: what the normalizer and the splitter leave for the segmenter. */
#ifndef MT_TOKEN_WORDS_H
#define MT_TOKEN_WORDS_H

#include "token.h"

typedef mt_status (*mt_word_seen)(void *user, const uint8_t *p, size_t n, mt_error *err);
/* Hands every word of the text to `seen`, in order, spelled as the definition spells its pieces (byte-level families:
 * the printable alphabet; SentencePiece families: U+2581 for spaces). Added tokens are cut out and not handed on. */
mt_status mt_tok_words(mt_tok *t, const uint8_t *text, size_t n, mt_word_seen seen, void *user, mt_error *err);

/* The same words as bytes that the segmenter sees, and between them the added tokens (p NULL, added >= 0). */
typedef mt_status (*mt_part_seen)(void *user, const uint8_t *p, size_t n, int32_t added, mt_error *err);
mt_status mt_tok_parts(mt_tok *t, const uint8_t *text, size_t n, bool special_as_text, mt_part_seen seen, void *user,
                       mt_error *err);
/* Inside a mt_part_seen: where bytes [begin, end) of the word come from. An end behind the word's is its end: of an
 * added token [0, SIZE_MAX) is all. */
mt_span mt_tok_part_span(const mt_tok *t, size_t begin, size_t end);
/* What byte-level post-processors do to spans: spaces at both ends of tokens are left out. For encodings that were put
 * together by hand. */
void mt_tok_trim_spans(mt_tok *t, const uint8_t *text, size_t n, mt_encoding *e);

/* The ids that the tokenizer's own segmenter gives for one word, as the segmenter sees words (raw bytes; spaces are
 * spaces); appended. */
mt_status mt_tok_word(mt_tok *t, const uint8_t *p, size_t n, mt_ids *out, mt_error *err);

#endif
