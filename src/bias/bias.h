/* bias: probabilities over bytes from a model over tokens.
 *
 *   lm.h        what a byte model needs of a language model (so that toy rigs and real models run the same code)
 *   cover.c     static cover encodings of a string (Byte-Token Representation Lemma, Phan et al. 2025)
 *   nextbyte.c  the streaming next-byte model: one new context per byte, all live contexts in one tree pass
 */
#ifndef MT_BIAS_H
#define MT_BIAS_H

#include "../base/base.h"
#include "../model/model.h"
#include "../token/token.h"

/* A language model over tokens, evaluated on a tree of contexts. Context 0 is the root: nothing but what the model
 * itself puts first (BOS). */
typedef struct mt_lm {
    void *self;
    int32_t vocab;
    int32_t end; /* end-of-text token, or -1 */
    /* Makes n contexts: context[i] = parent[i] + token[i]; evaluated in one pass. parent may be MT_IN_BATCH(j), j < i.
     */
    mt_status (*extend)(void *self, int32_t n, const int32_t *parent, const int32_t *token, int32_t *context,
                        mt_error *err);
    /* Natural log-probabilities of the next token after a context: out[vocab]. */
    mt_status (*next)(void *self, int32_t context, double *out, mt_error *err);
    void (*drop)(void *self, int32_t context); /* a leaf that is no longer needed */
} mt_lm;
/* A session as an mt_lm: contexts are cache slots. `bos` < 0: the tokenizer has none, and the end-of-text token stands
 * in. */
mt_status mt_lm_of_session(mt_session *s, int32_t bos, int32_t end, mt_lm *out, mt_error *err);
void mt_lm_free_session(mt_lm *lm);

/* Which token sequences count as spellings of a text (named in every result). */
typedef enum mt_target {
    MT_TARGET_VALID,  /* what the tokenizer can produce, with the model's own probabilities, normalised by their sum */
    MT_TARGET_MASKED, /* what the tokenizer can produce; impossible next tokens are masked and the rest renormalised at
                         every step */
    MT_TARGET_ALL     /* every token sequence */
} mt_target;

typedef struct mt_bytes mt_bytes;
mt_status mt_bytes_new(mt_tok *t, const mt_lm *lm, mt_target target, mt_bytes **out, mt_error *err);
void mt_bytes_free(mt_bytes *b);
mt_status mt_bytes_reset(mt_bytes *b, mt_error *err);
/* Appends bytes of text. Long prefixes are prefilled in one pass where only one context lives. */
mt_status mt_bytes_push(mt_bytes *b, const uint8_t *p, size_t n, mt_error *err);
/* Natural log-probabilities of the next byte (256) and of the text ending here ([256]); they sum to 1.
 * naive: the first byte of the next token after encode(text), the prompt-boundary-biased answer; may be NULL. */
typedef struct mt_next_bytes {
    double exact[257];
    double naive[257];
    double text_logprob; /* ln of the probability that a text starts with what was pushed, under the target */
    double missing_mass; /* proven upper bound on what was left out, 0 when exact */
    int32_t live_contexts;
    mt_target target;
} mt_next_bytes;
mt_status mt_bytes_next(mt_bytes *b, mt_next_bytes *out, mt_error *err);
/* The tree for pictures, as JSON: nodes {token, bytes, weight, parent, live}. */
mt_status mt_bytes_tree(mt_bytes *b, mt_buf *json, mt_error *err);

#endif
