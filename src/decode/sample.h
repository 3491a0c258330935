/* decode: from logits to tokens.
 *
 *   sample.c   penalties, temperature, the filters (top-k, typical, top-p, min-p), the draw
 *
 * The law of a draw, in this order, each step on what the one before left:
 *   penalties    for every token among the last `last_n` accepted ones: x = x > 0 ? x / repeat : x * repeat (Keskar et
 *                al. 2019), then x -= frequency * its count + presence
 *   temperature  x / temperature; 0: the largest x is certain, the smallest id of equals
 *   top-k        the k largest (Fan et al. 2018); equals: the smaller ids
 *   typical      the tokens whose -ln p is nearest to the entropy, until their probability exceeds `typical` (Meister
 *                et al. 2023); equally near: the likelier
 *   top-p        the likeliest tokens, until their probability reaches `top_p` (Holtzman et al. 2020)
 *   min-p        those at least `min_p` times as likely as the likeliest left (Nguyen et al. 2024)
 * and what is left is renormalised. A draw takes one number u in [0, 1) of xoshiro256** seeded with `seed` (base.h):
 * the first id, counted upwards, at which the cumulative probability exceeds u. All in double, so that a seed gives the
 * same tokens on every build whose logits are the same. */
#ifndef MT_SAMPLE_H
#define MT_SAMPLE_H

#include "../base/base.h"

typedef struct mt_sample_options {
    double temperature;
    int32_t top_k;                      /* 0: all */
    double typical, top_p, min_p;       /* 1, 1, 0: all */
    double repeat, presence, frequency; /* 1, 0, 0: none */
    int32_t last_n;                     /* tokens that penalties look back on; 0: none, -1: all */
    uint64_t seed;
} mt_sample_options;
/* Nothing is filtered, temperature 1, penalties look back on 64 tokens. */
mt_sample_options mt_sample_defaults(void);

typedef struct mt_sampler mt_sampler;
mt_status mt_sampler_new(int32_t vocab, const mt_sample_options *o, mt_sampler **out, mt_error *err);
void mt_sampler_free(mt_sampler *s);
/* The text so far, for the penalties: the prompt's tokens and those that were taken. */
mt_status mt_sampler_accept(mt_sampler *s, const int32_t *token, size_t count, mt_error *err);
void mt_sampler_forget(mt_sampler *s); /* an empty text; the random numbers go on */
/* p[vocab]: the law of the next draw. ERANGE: a logit is not a number, or none is above -infinity. */
mt_status mt_sampler_law(mt_sampler *s, const float *logits, double *p, mt_error *err);
/* Draws; *log_prob, if not NULL: ln of the token's probability in the logits as they are, before anything is done. */
mt_status mt_sampler_draw(mt_sampler *s, const float *logits, int32_t *token, double *log_prob, mt_error *err);

#endif
