/* ABI of the embeddings for another vocabulary. */
#include "abi.h"

#include "../src/bias/transfer.h"

ABI_LAYOUT(transfer, ABI_STRUCT(mt_transfer_stats), ABI_FIELD(mt_transfer_stats, shared),
           ABI_FIELD(mt_transfer_stats, made), ABI_FIELD(mt_transfer_stats, drawn), ABI_ENUM(MT_TRANSFER_RANDOM),
           ABI_ENUM(MT_TRANSFER_COPY), ABI_ENUM(MT_TRANSFER_MEAN), ABI_ENUM(MT_TRANSFER_SCRIPT),
           ABI_ENUM(MT_TRANSFER_SIMILAR))

/* aux NULL: none */
MT_EXPORT(transfer_rows)
mt_status abi_transfer_rows(mt_tok *from, mt_tok *to, int32_t kind, double seed, const float *aux, int32_t aux_width,
                            const float *old, int32_t rows, int32_t width, float *out, mt_transfer_stats *stats) {
    ABI_NEED(from);
    ABI_NEED(to);
    const mt_transfer how = {(mt_transfer_kind)kind, abi_size(seed), aux, aux_width};
    return mt_transfer_rows(from, to, &how, old, rows, width, out, stats, &abi_error);
}

/* The ids must stay where they are until the skip-gram is freed. */
MT_EXPORT(skipgram_new)
mt_status abi_skipgram_new(const int32_t *ids, size_t n, int32_t vocab, int32_t width, int32_t window,
                           int32_t negatives, int32_t epochs, int32_t min_count, double rate, double subsample,
                           double seed, mt_skipgram **out) {
    ABI_NEED(out);
    const mt_skipgram_options o = {width, window, negatives, epochs, min_count, rate, subsample, abi_size(seed)};
    return mt_skipgram_new(ids, n, vocab, &o, out, &abi_error);
}
MT_EXPORT(skipgram_free) void abi_skipgram_free(mt_skipgram *skipgram) {
    mt_skipgram_free(skipgram);
}
MT_EXPORT(skipgram_train) double abi_skipgram_train(mt_skipgram *skipgram, size_t tokens) {
    return mt_skipgram_train(skipgram, tokens);
}
MT_EXPORT(skipgram_vectors) const float *abi_skipgram_vectors(const mt_skipgram *skipgram) {
    return mt_skipgram_vectors(skipgram);
}
