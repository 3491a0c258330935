/* ABI of sums over all tokenizations of a text. */
#include "abi.h"

#include "../src/bias/marginal.h"

ABI_LAYOUT(marginal, ABI_STRUCT(mt_marginal), ABI_FIELD(mt_marginal, sum), ABI_FIELD(mt_marginal, missing),
           ABI_FIELD(mt_marginal, best), ABI_FIELD(mt_marginal, ids.data), ABI_FIELD(mt_marginal, ids.len),
           ABI_FIELD(mt_marginal, contexts))

MT_EXPORT(spellings_free) void abi_spellings_free(mt_spellings *s) {
    if (!s) return;
    mt_spellings_free(s);
    mt_free(s);
}
/* weight: by id, or NULL. out: *count, UINT64_MAX for more, and its logarithm; *prefix: bytes put before the text */
MT_EXPORT(spellings_new)
mt_status abi_spellings_new(mt_tok *tok, int32_t vocab, const double *weight, const uint8_t *text, size_t n,
                            mt_spellings **out, uint64_t *count, double *log_count, uint32_t *prefix) {
    ABI_NEED(tok);
    *out = NULL;
    mt_spellings *s = mt_calloc(1, sizeof *s);
    if (!s) return mt_nomem(&abi_error, sizeof *s, "tokenizations");
    mt_status status = mt_spellings_open(tok, vocab, weight, text, n, s, &abi_error);
    if (status == MT_OK) status = mt_lattice_count(&s->lattice, count, log_count, &abi_error);
    if (status) {
        abi_spellings_free(s);
        return status;
    }
    *prefix = (uint32_t)s->prefix;
    *out = s;
    return MT_OK;
}

/* prompt: tokens that the text follows; none: the tokenizer's beginning of text. */
static mt_status open_lm(mt_session *session, mt_tok *tok, const int32_t *prompt, int32_t count, mt_lm *lm) {
    return count > 0 ? mt_lm_after(session, prompt, count, mt_tok_eos(tok), lm, &abi_error)
                     : mt_lm_of_session(session, mt_tok_bos(tok), mt_tok_eos(tok), lm, &abi_error);
}

/* out: marginal_free empties it */
MT_EXPORT(marginal_exact)
mt_status abi_marginal_exact(const mt_spellings *s, mt_session *session, mt_tok *tok, const int32_t *prompt,
                             int32_t count, int32_t end, int32_t limit, int32_t beam, mt_marginal *out) {
    ABI_NEED(s);
    ABI_NEED(session);
    ABI_NEED(tok);
    mt_lm lm;
    mt_marginal_options options = {.end = end != 0, .limit = limit, .beam = beam};
    MT_TRY(open_lm(session, tok, prompt, count, &lm));
    mt_status status = mt_marginal_exact(s, &lm, &options, out, &abi_error);
    mt_lm_free_session(&lm);
    return status;
}
MT_EXPORT(marginal_free) void abi_marginal_free(mt_marginal *m) {
    if (m) mt_marginal_free(m);
}
/* cuts 0: samples from the lattice by theta; otherwise block by block, ends in `cut` */
MT_EXPORT(marginal_sample)
mt_status abi_marginal_sample(const mt_spellings *s, mt_session *session, mt_tok *tok, const int32_t *prompt,
                              int32_t count, int32_t end, int32_t limit, double theta, const uint32_t *cut,
                              uint32_t cuts, uint32_t most, uint32_t samples, mt_rng *rng, double *log_p,
                              double *log_q) {
    ABI_NEED(s);
    ABI_NEED(session);
    ABI_NEED(tok);
    ABI_NEED(rng);
    mt_lm lm;
    MT_TRY(open_lm(session, tok, prompt, count, &lm));
    mt_status status =
        cuts ? mt_marginal_blocks(s, &lm, cut, cuts, most, samples, rng, end != 0, limit, log_p, log_q, &abi_error)
             : mt_marginal_sample(s, &lm, theta, samples, rng, end != 0, limit, log_p, log_q, &abi_error);
    mt_lm_free_session(&lm);
    return status;
}
MT_EXPORT(score_sequences)
mt_status abi_score_sequences(mt_session *session, mt_tok *tok, const int32_t *prompt, int32_t count,
                              const int32_t *ids, const int32_t *start, uint32_t sequences, int32_t end, int32_t limit,
                              double *out) {
    ABI_NEED(session);
    ABI_NEED(tok);
    mt_lm lm;
    MT_TRY(open_lm(session, tok, prompt, count, &lm));
    mt_status status = mt_score_sequences(&lm, 0, ids, start, sequences, end != 0, limit, out, &abi_error);
    mt_lm_free_session(&lm);
    return status;
}
