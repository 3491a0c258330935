/* bias: probabilities over bytes from a model over tokens.
 *
 *   bias.h            mt_lm: what a byte model needs of a language model (so that toy rigs and real models run the same
 *                     code)
 *   lm_session.c      a model session as an mt_lm
 *   spell.h spell*.c  which token sequences a tokenizer can produce, as an automaton (private): byte-pair encoding by
 *                     pairs of tokens, Unigram and longest match in spell_path.c
 *   nextbyte.c        the streaming next-byte model: one new context per byte, all live contexts in one tree pass
 *   pick.c            ...with fewer passes: bytes chosen from bounds, contexts of expected text evaluated together
 *   branch.c          states that can be returned to; the best continuations
 *   tree.c beam.c     its contexts: evaluation, weights; merging and pruning
 *   cover.c           static cover encodings of a string (Byte-Token Representation Lemma, Phan et al. 2025)
 *   draw_cover.c      one of them drawn with its probability
 *   ensemble.c        mixtures of next-byte distributions of models with different vocabularies
 *   mpe.c             branch and pass for longest-match tokenizers
 *   heal.c            token healing and alignment
 *   marginal.h marginal*.c the probability of a text over all its tokenizations
 *   transfer.h transfer.c skipgram.c   embeddings for another vocabulary
 *   markov.h markov*.c sources whose distribution is known, and the token models of their texts
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
    /* Natural log-probabilities of the next token after a context: out[vocab]. Asked only for the root and for contexts
     * of the latest `extend`, so that an implementation need not keep the rows of all contexts. */
    mt_status (*next)(void *self, int32_t context, double *out, mt_error *err);
    /* May be NULL. The same without logarithms: the probability of token i is out[i] / *sum. *top: what was subtracted
     * from the logits, so that ln of token i's probability is logit[i] - *top - ln *sum even where out[i] is 0. */
    mt_status (*weights)(void *self, int32_t context, double *out, const float **logit, double *top, double *sum,
                         mt_error *err);
    void (*drop)(void *self, int32_t context); /* a leaf that is no longer needed */
    /* May be NULL. Contexts with equal values have the same future (n-gram models): they are merged under
     * MT_TARGET_ALL. */
    int64_t (*state)(void *self, int32_t context);
} mt_lm;
/* A session as an mt_lm: contexts are cache slots. The session belongs to the byte model until mt_lm_free_session.
 * `bos` < 0: the tokenizer has none, and the end-of-text token stands in. */
mt_status mt_lm_of_session(mt_session *s, int32_t bos, int32_t end, mt_lm *out, mt_error *err);
/* The same after a prompt of tokens (at least one), which is the root: chat markers, the parts of a fill-in-the-middle
 * prompt. */
mt_status mt_lm_after(mt_session *s, const int32_t *prompt, int32_t count, int32_t end, mt_lm *out, mt_error *err);
void mt_lm_free_session(mt_lm *lm);

/* Which token sequences count as spellings of a text (named in every result). */
typedef enum mt_target {
    MT_TARGET_VALID,  /* what the tokenizer can produce, with the model's own probabilities, normalised by their sum */
    MT_TARGET_MASKED, /* what the tokenizer can produce; impossible next tokens are masked and the rest renormalised at
                         every step */
    MT_TARGET_ALL     /* every token sequence */
} mt_target;

typedef struct mt_bytes mt_bytes;
/* The tokenizer and the model must outlive the result. */
mt_status mt_bytes_new(mt_tok *t, const mt_lm *lm, mt_target target, mt_bytes **out, mt_error *err);
/* MT_TARGET_ALL keeps at most `beam` contexts (0: all of them, exact but exponential) and drops those with less than
 * `epsilon` of the mass; what was dropped is reported as missing_mass. New models have 16 and 1e-6. Other targets never
 * drop anything. */
mt_status mt_bytes_set_beam(mt_bytes *b, int32_t beam, double epsilon, mt_error *err);
/* Whether mt_bytes_next fills `naive` (default: yes); without it a context less may have to be evaluated. */
void mt_bytes_set_naive(mt_bytes *b, bool naive);
void mt_bytes_free(mt_bytes *b);
mt_status mt_bytes_reset(mt_bytes *b, mt_error *err);
/* Appends bytes of text. Contexts are evaluated only when a probability needs them, so a long text is prefilled in one
 * pass, and contexts that die before the next question cost nothing. On failure the bytes before the failing one stay
 * (mt_bytes_length). */
mt_status mt_bytes_push(mt_bytes *b, const uint8_t *p, size_t n, mt_error *err);
size_t mt_bytes_length(const mt_bytes *b);
/* Text that is known or likely to be pushed next: the contexts along it are evaluated in one pass, beside what waits.
 * Results do not change. Does nothing for MT_TARGET_ALL. */
mt_status mt_bytes_expect(mt_bytes *b, const uint8_t *p, size_t n, mt_error *err);
/* Natural log-probabilities of the next byte (256) and of the text ending here ([256]); they sum to 1. -infinity:
 * cannot be. naive: the first byte of the next token after encode(text), the prompt-boundary-biased answer; sums to 1,
 * or all -infinity when encode(text) is no spelling of the text or it was not asked for. */
typedef struct mt_next_bytes {
    double exact[257];
    double naive[257];
    double text_logprob; /* ln of the probability that a text starts with what was pushed, under the target */
    double missing_mass; /* proven upper bound on the share of the text's probability that was left out, 0 when exact */
    int32_t live_contexts; /* contexts with a token that the text's end cuts or touches */
    mt_target target;
} mt_next_bytes;
mt_status mt_bytes_next(mt_bytes *b, mt_next_bytes *out, mt_error *err);
/* The next byte, or 256: the text ends here. r NULL: the most probable one (of equals the lowest); else drawn with the
 * probabilities of mt_bytes_next by *r, uniform in [0, 1). Equal to what mt_bytes_next would lead to, but a context is
 * evaluated only when its mass, which is known before, could change the answer (lazily refined bounds). */
mt_status mt_bytes_pick(mt_bytes *b, const double *r, int32_t *symbol, mt_error *err);
/* How a byte is drawn from what mt_bytes_next says. */
typedef struct mt_byte_choice {
    double temperature; /* probabilities to the power of 1 / temperature; 1: as they are; 0: the most probable byte */
    double top_p;       /* only the likeliest that make up this much of the mass; 1: all */
} mt_byte_choice;
/* As mt_bytes_pick, by *how. logp, when not NULL: ln of the byte's probability as mt_bytes_next gives it; then, and
 * with a temperature or top_p that need all probabilities, every context is evaluated, but the contexts of what is
 * likely to follow with it. */
mt_status mt_bytes_draw(mt_bytes *b, const mt_byte_choice *how, double r, int32_t *symbol, double *logp, mt_error *err);
/* mt_bytes_push, with ln of each byte's probability as mt_bytes_next gave it before: logp[n]; -infinity from the first
 * one on that cannot follow. Contexts along the text are evaluated together. */
mt_status mt_bytes_push_scored(mt_bytes *b, const uint8_t *p, size_t n, double *logp, mt_error *err);
/* Continuations of the text by `length` bytes, or fewer where it ends, by a beam over byte strings that keeps `width`
 * of each length; all their contexts are evaluated in one pass a byte. The state stays where it is. */
typedef struct mt_byte_path {
    size_t at, n; /* its bytes, in mt_byte_paths.bytes */
    bool ends;    /* the text ends after them */
    double logp;  /* ln of its probability by the chain of mt_bytes_next */
} mt_byte_path;
typedef struct mt_byte_paths {
    mt_byte_path *path; /* best first */
    int32_t count;
    mt_buf bytes;
    double pruned; /* largest ln of the probability of what the beam let go: paths above it are the best there are */
} mt_byte_paths;
mt_status mt_bytes_best(mt_bytes *b, int32_t length, int32_t width, mt_byte_paths *out, mt_error *err);
void mt_byte_paths_free(mt_byte_paths *p);
/* text_logprob alone; cheaper, as the contexts that end exactly here need not be evaluated. -infinity: the text has no
 * spelling. */
mt_status mt_bytes_score(mt_bytes *b, double *text_logprob, double *missing_mass, mt_error *err);
/* One cover encoding of the text (its last token reaches or passes the text's end), drawn with probability
 * P(cover) / Pr(text) under the target: u in [0, 1) is a uniform random number. *logp: ln P(cover). Sampling tokens on
 * from it continues the text as the model would. */
mt_status mt_bytes_draw_cover(mt_bytes *b, double u, mt_ids *out, double *logp, mt_error *err);
typedef struct mt_bytes_stats {
    uint64_t contexts_made, contexts_dropped, evaluations, passes; /* since mt_bytes_new */
    uint64_t revived; /* times that a byte emptied the beam, and contexts that pruning had passed over were opened */
    int32_t contexts; /* held now, without the root */
    int32_t live;
} mt_bytes_stats;
void mt_bytes_stats_get(const mt_bytes *b, mt_bytes_stats *out);
/* The tree for pictures, as JSON: nodes {token, bytes, weight, parent, live}. */
mt_status mt_bytes_tree(mt_bytes *b, mt_buf *json, mt_error *err);

/* ---- static covers ---- */

/* All token sequences t1..tk that can start the encoding of a text that starts with x, where only the last token
 * reaches or passes the end of x. Flat list; sequence i is ids[start[i]..start[i+1]). Exponential for MT_TARGET_ALL. */
typedef struct mt_cover {
    mt_ids ids;
    mt_ids start; /* count + 1 entries */
    size_t count;
} mt_cover;
mt_status mt_cover_find(mt_tok *t, int32_t vocab, mt_target target, const uint8_t *x, size_t n, size_t limit,
                        mt_cover *out, mt_error *err);
void mt_cover_free(mt_cover *c);

/* ---- ensembles ---- */

typedef enum mt_pool_rule { MT_POOL_MEAN, MT_POOL_GEOMETRIC } mt_pool_rule;
/* Combines `count` next-byte distributions (natural logs, 257 each, one after the other) with weights (NULL: equal). */
mt_status mt_bytes_combine(mt_pool_rule rule, int32_t count, const double *log_p, const double *weight, double *out,
                           mt_error *err);

/* ---- longest-match tokenizers ---- */

/* A vocabulary that is matched longest first. */
typedef struct mt_mpe {
    const mt_str *token; /* by id */
    int32_t count;
} mt_mpe;
/* Branch and pass: next byte (natural logs, 257), the naive answer, ln Pr(text), and the number of model calls that
 * Pr(text) takes (the next byte takes one more). anchor: the last token that is a substring of no other stands for the
 * text before it, and text_logprob is conditional on that. */
mt_status mt_mpe_next(const mt_mpe *v, const mt_lm *lm, const uint8_t *x, size_t n, bool anchor, double next[257],
                      double naive[257], double *text_logprob, int32_t *calls, mt_error *err);

/* ---- token healing and alignment ---- */

typedef struct mt_heal_options {
    int32_t tokens; /* how many tokens of encode(text) are given up and generated anew under constraint; < 0: all */
    bool classic;   /* one token must cover what was given up; otherwise several may */
    bool keep;      /* keep the paths' probabilities and normalise once; otherwise every step is normalised by itself,
                       which is what sampling under a mask does */
    int32_t limit;  /* contexts; 0: 4096. More: MT_ELIMIT */
    double epsilon; /* paths of less than this times the probability of the heaviest one that has come as far are given
                       up (they count as `dead`) */
} mt_heal_options;
typedef struct mt_healed {
    double next[257]; /* natural logs, as in mt_next_bytes */
    double dead;      /* share of the mass that ran into dead ends (kept weights: that was given up) */
    int32_t dropped;  /* tokens given up */
    int32_t contexts; /* evaluated */
} mt_healed;
/* The next byte as a model answers that is healed at the prompt's end. Exact for the method, whose answer differs from
 * mt_bytes_next's: healing conditions on the tokens before the ones given up. */
mt_status mt_heal_next(mt_tok *t, const mt_lm *lm, const uint8_t *x, size_t n, const mt_heal_options *options,
                       mt_healed *out, mt_error *err);

/* The same for samplers: generate under masks until the given-up bytes are reproduced. */
typedef struct mt_align mt_align;
mt_status mt_align_new(mt_tok *t, int32_t vocab, mt_align **out, mt_error *err);
void mt_align_free(mt_align *a);
/* Only tokens that cover all that is left are allowed (classic healing); default: those that it starts with too. */
void mt_align_set_classic(mt_align *a, bool classic);
/* Gives up at most `tokens` of ids[0..n), never one that is no ordinary text (BOS, chat markers). *kept: how many stay;
 * what is given up has to be reproduced. */
mt_status mt_align_begin(mt_align *a, const int32_t *ids, size_t n, int32_t tokens, size_t *kept, mt_error *err);
/* Tokens allowed next, one bit per id: those that start with what is left, or that it starts with. NULL: nothing is
 * left, everything is allowed. Valid until the next call. */
mt_status mt_align_mask(mt_align *a, const uint64_t **bits, mt_error *err);
/* The token that was chosen. MT_ERANGE when it was not allowed. */
mt_status mt_align_accept(mt_align *a, int32_t id, mt_error *err);
mt_str mt_align_left(const mt_align *a);

#endif
