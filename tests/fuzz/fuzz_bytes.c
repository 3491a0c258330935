/* Byte models over a small vocabulary and a language model without memory: any bytes. Distributions sum to one, the
 * chain rule holds from byte to byte, bytes that cannot follow are refused. */
#include "bias/bias.h"
#include "fuzz.h"

static const char *const files[] = {"models/vocabularies/bpe-1k.json", "models/vocabularies/unigram-4k.json"};
static mt_bytes *models[2][2]; /* by tokenizer and target; making one takes longer than asking it */

/* A context's number decides its probabilities. */
static mt_status extend(void *self, int32_t n, const int32_t *parent, const int32_t *token, int32_t *context,
                        mt_error *err) {
    (void)self, (void)err;
    for (int32_t i = 0; i < n; i++) {
        int32_t from = parent[i] < 0 ? context[-2 - parent[i]] : parent[i];
        context[i] = 1 + (int32_t)(((uint32_t)from * 31u + (uint32_t)token[i] * 7u) % 1000u);
    }
    return MT_OK;
}
static mt_status next(void *self, int32_t context, double *out, mt_error *err) {
    (void)err;
    int32_t vocab = mt_tok_size(self);
    double sum = 0;
    for (int32_t v = 0; v < vocab; v++) sum += out[v] = 1 + (double)((uint32_t)(v * 17 + context * 5) % 23u);
    for (int32_t v = 0; v < vocab; v++) out[v] = log(out[v] / sum);
    return MT_OK;
}
static void drop(void *self, int32_t context) {
    (void)self, (void)context;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    mt_error err = {0};
    for (int i = 0; i < 2; i++) {
        size_t n;
        uint8_t *p = file_of(files[i], &n);
        mt_tok *t = NULL;
        DEMAND(ok(mt_tok_load(p, n, NULL, &t, &err), &err), "%s", err.text);
        free(p);
        mt_lm lm = {
            .self = t, .vocab = mt_tok_size(t), .end = mt_tok_eos(t), .extend = extend, .next = next, .drop = drop};
        for (int target = MT_TARGET_VALID; target <= MT_TARGET_MASKED; target++)
            DEMAND(ok(mt_bytes_new(t, &lm, (mt_target)target, &models[i][target], &err), &err), "%s", err.text);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mt_error err = {0};
    input in = {data, size};
    uint32_t flags = take(&in);
    mt_target target = (mt_target)(flags >> 1 & 1); /* with these nothing is left out */
    mt_bytes *b = models[flags & 1][target];
    DEMAND(ok(mt_bytes_reset(b, &err), &err), "%s", err.text);
    double said = 0;
    for (int i = 0; i < 12 && in.n; i++) {
        mt_next_bytes out;
        if (!ok(mt_bytes_next(b, &out, &err), &err)) break;
        double sum = 0;
        for (int k = 0; k < 257; k++) {
            DEMAND(!isnan(out.exact[k]) && out.exact[k] <= 1e-9, "byte %d: %g", k, out.exact[k]);
            sum += exp(out.exact[k]);
        }
        DEMAND(fabs(sum - 1) < 1e-9, "the sum is %.12g", sum);
        if (target == MT_TARGET_MASKED) /* of the valid ones every step is normalised anew */
            DEMAND(fabs(out.text_logprob - said) < 1e-6 * (1 + fabs(said)), "the text has %g, its bytes %g",
                   out.text_logprob, said);
        size_t before = mt_bytes_length(b);
        uint8_t byte = (uint8_t)take(&in);
        bool pushed = ok(mt_bytes_push(b, &byte, 1, &err), &err);
        DEMAND(mt_bytes_length(b) == before + pushed, "length");
        if (!pushed) {
            DEMAND(out.exact[byte] == -INFINITY, "byte %u has %g and is refused: %s", byte, out.exact[byte], err.text);
            break;
        }
        if (flags & 4) { /* bytes at once, and the same by one */
            int32_t symbol;
            ok(mt_bytes_pick(b, NULL, &symbol, &err), &err);
        }
        said += out.exact[byte];
        if (out.exact[byte] == -INFINITY) break;
    }
    return 0;
}
