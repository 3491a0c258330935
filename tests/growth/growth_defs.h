/* Small definitions of tokenizers of every kind, with pieces that make hostile texts hard: runs of one letter that
 * double, grow by one, alternate. */
#ifndef MT_GROWTH_DEFS_H
#define MT_GROWTH_DEFS_H

#include "growth.h"
#include "token/tok.h"

/* tokenizer.json of these parts; NULL: null. Ends the program where it does not load. */
typedef struct growth_def {
    const char *name;
    const char *model, *normalizer, *splitter, *decoder, *post; /* model: one of growth_model's names, or JSON */
} growth_def;
mt_tok *growth_tok(const growth_def *d);
/* The same as JSON; `more`: further fields of the file ("added_tokens": ...). */
void growth_def_json(const growth_def *d, const char *more, mt_buf *out);
/* "merges", "merges of characters", "merges and unknowns", "pieces", "pieces and bytes", "words", "long words", "list":
 * a model as JSON. */
void growth_model(const char *name, mt_buf *out);
/* A SentencePiece model: 1 Unigram, 2 BPE, 3 words, 4 characters. */
void growth_sp(int kind, mt_buf *out);
/* Definitions of every format and kind, by number; NULL: no more. */
mt_tok *growth_any_tok(size_t i, const char **name);

#endif
