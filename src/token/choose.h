/* Segmenters other than a tokenizer's own, as choices of its pipeline: normalizer, added tokens, splitter, spans and
 * template work as they always do; only what happens inside a word differs. */
#ifndef MT_TOKEN_CHOOSE_H
#define MT_TOKEN_CHOOSE_H

#include "lattice.h"
#include "token.h"

typedef enum mt_choice_kind {
    MT_CHOICE_OWN,
    MT_CHOICE_LONGEST_PREFIX,
    MT_CHOICE_LONGEST_SUFFIX,
    MT_CHOICE_LONGEST_DROPOUT,
    MT_CHOICE_FEWEST,
    MT_CHOICE_LONGEST_FIRST,
    MT_CHOICE_DROPOUT_STEP_ALL, /* the four distributions of segment.h */
    MT_CHOICE_DROPOUT_STEP_ONE,
    MT_CHOICE_DROPOUT_REQUEUE,
    MT_CHOICE_DROPOUT_DISCARD,
    MT_CHOICE_SAMPLE,     /* proportional to exp(p x score) */
    MT_CHOICE_UNIFORM,    /* every segmentation of a word equally likely */
    MT_CHOICE_CHARACTERS, /* one character's token after the other; byte tokens where there is none */
    MT_CHOICE_BYTES,      /* one byte's token after the other */
    MT_CHOICE_HUFFMAN     /* the digits of words' code words; added tokens are text */
} mt_choice_kind;

typedef struct mt_chooser {
    mt_status (*check)(struct mt_tok *t, const struct mt_choice *c, mt_error *err);
    const struct mt_segmenter *segmenter;
} mt_chooser;
extern const mt_chooser mt_choices; /* all of them */

struct mt_choice {
    const mt_chooser *by; /* &mt_choices; by a pointer, so that a program without other segmenters links none */
    mt_choice_kind kind;
    double p;          /* probability of a dropout; MT_CHOICE_SAMPLE: what scores are multiplied with */
    bool random_ties;  /* MT_CHOICE_FEWEST: among equally short ones draw, instead of the longest last token */
    uint32_t best;     /* MT_CHOICE_SAMPLE: among so many best ones; 0: among all */
    uint64_t seed;     /* a word's draws depend on this, on its place in the text and on nothing else */
    uint64_t position; /* where the text begins in a longer one: added to places of words */
    const mt_huffman *huffman;
};

/* May this tokenizer's words be segmented so? MT_EUNKNOWN: no, MT_ERANGE: a number is out of range. */
mt_status mt_choice_check(mt_tok *t, const mt_choice *c, mt_error *err);

/* ---- a tokenizer's vocabulary in other segmenters' hands ---- */

/* Stands for "no token covers this symbol" among a matcher's results: byte tokens spell it. */
enum { MT_BY_BYTES = INT32_MAX };
/* Every token that text can give, by bytes; made on first use, lives as long as the tokenizer. Unknown symbols: the
 * unknown token, or MT_BY_BYTES where the tokenizer falls back to bytes. WordPiece's pieces keep their places. Not for
 * byte-pair vocabularies whose symbols depend on their place ("</w>") nor for bytes and code points: MT_EUNKNOWN. */
mt_status mt_tok_matcher(mt_tok *t, const mt_matcher **out, mt_error *err);
/* All segmentations of a word into the vocabulary's pieces, as edges from node `at` on (its length more nodes). Weights
 * are by id; NULL: the vocabulary's scores, 0 where it has none. A symbol that no piece covers alone gets its byte
 * tokens or the unknown token (WordPiece: nothing). */
mt_status mt_tok_lattice_word(mt_tok *t, const double *weight, const uint8_t *p, size_t n, uint32_t at, mt_lattice *out,
                              mt_error *err);

#endif
