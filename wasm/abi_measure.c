/* ABI of the measures: what a tokenizer does to texts, in numbers. */
#include "abi.h"

#include <math.h>

#include "../src/token/dynamic.h"
#include "../src/token/measure.h"

typedef struct abi_measure {
    mt_measure m;
    mt_encoding encoding;
    mt_ids ends;
    int32_t unknown; /* the unknown token, or -1 */
} abi_measure;

typedef struct abi_measures {
    double sentences, tokens, unknown, bytes, characters, words, word_tokens, continued;
    double fertility, continued_share, compression, closeness, unknown_share, used, entropy;
    const uint64_t *count;
    size_t size;
} abi_measures;

#define MEASURES(f) ABI_FIELD(abi_measures, f)
ABI_LAYOUT(measure, ABI_STRUCT(abi_measures), MEASURES(sentences), MEASURES(tokens), MEASURES(unknown), MEASURES(bytes),
           MEASURES(characters), MEASURES(words), MEASURES(word_tokens), MEASURES(continued), MEASURES(fertility),
           MEASURES(continued_share), MEASURES(compression), MEASURES(closeness), MEASURES(unknown_share),
           MEASURES(used), MEASURES(entropy), MEASURES(count), MEASURES(size), ABI_STRUCT(mt_overlap),
           ABI_FIELD(mt_overlap, a), ABI_FIELD(mt_overlap, b), ABI_FIELD(mt_overlap, both),
           ABI_FIELD(mt_overlap, jaccard), ABI_STRUCT(mt_dynamic), ABI_FIELD(mt_dynamic, ids.data),
           ABI_FIELD(mt_dynamic, ids.len), ABI_FIELD(mt_dynamic, lens.data), ABI_FIELD(mt_dynamic, lens.len),
           ABI_FIELD(mt_dynamic, unit), ABI_FIELD(mt_dynamic, units), ABI_STRUCT(mt_unit), ABI_FIELD(mt_unit, left),
           ABI_FIELD(mt_unit, right), ABI_FIELD(mt_unit, count))

MT_EXPORT(measure_free) void abi_measure_free(abi_measure *measure) {
    if (!measure) return;
    mt_measure_free(&measure->m);
    mt_encoding_free(&measure->encoding);
    mt_ids_free(&measure->ends);
    mt_free(measure);
}
MT_EXPORT(measure_new) mt_status abi_measure_new(const mt_tok *tok, abi_measure **out) {
    ABI_NEED(tok);
    abi_measure *measure = mt_calloc(1, sizeof *measure);
    if (!measure) return mt_nomem(&abi_error, sizeof *measure, "a measure");
    mt_status status = mt_measure_open(&measure->m, (size_t)mt_tok_size(tok), &abi_error);
    measure->unknown = -1;
    for (int32_t id = mt_tok_size(tok); id-- > 0;)
        if (mt_tok_kind(tok, id) == MT_TOKEN_UNKNOWN) measure->unknown = id;
    if (status == MT_OK)
        *out = measure;
    else
        abi_measure_free(measure);
    return status;
}

/* Encodes a text and counts it; *tokens: how many it has. */
MT_EXPORT(measure_text)
mt_status abi_measure_text(abi_measure *measure, mt_tok *tok, const uint8_t *text, size_t n, int32_t special_as_text,
                           uint32_t *tokens) {
    ABI_NEED(measure);
    ABI_NEED(tok);
    mt_encode_options options = {.special_as_text = special_as_text != 0};
    mt_encoding *e = &measure->encoding;
    e->ids.len = measure->ends.len = 0;
    MT_TRY(mt_tok_encode(tok, text, n, &options, true, e, &abi_error));
    int32_t last = 0;
    for (size_t i = 0; i < e->ids.len; i++) { /* parts of one character share its span: ends never fall */
        int32_t end = (int32_t)e->spans[i].end;
        last = end > last ? end : last;
        MT_TRY(mt_ids_add(&measure->ends, last, &abi_error));
    }
    *tokens = (uint32_t)e->ids.len;
    return mt_measure_add(&measure->m, text, n, e->ids.data, measure->ends.data, e->ids.len, measure->unknown,
                          &abi_error);
}

MT_EXPORT(measure_read) mt_status abi_measure_read(const abi_measure *measure, abi_measures *out) {
    ABI_NEED(measure);
    const mt_measure *m = &measure->m;
    *out = (abi_measures){(double)m->sentences,
                          (double)m->tokens,
                          (double)m->unknown,
                          (double)m->bytes,
                          (double)m->characters,
                          (double)m->words,
                          (double)m->word_tokens,
                          (double)m->continued,
                          mt_measure_fertility(m),
                          mt_measure_continued(m),
                          mt_measure_compression(m),
                          mt_measure_closeness(m),
                          mt_measure_unknown(m),
                          mt_measure_used(m),
                          mt_measure_entropy(m),
                          m->count,
                          m->size};
    return MT_OK;
}
MT_EXPORT(measure_efficiency) double abi_measure_efficiency(const abi_measure *measure, double alpha) {
    return measure ? mt_measure_efficiency(&measure->m, alpha) : NAN;
}
MT_EXPORT(measure_divergence) double abi_measure_divergence(const abi_measure *a, const abi_measure *b) {
    return a && b ? mt_measure_divergence(&a->m, &b->m) : NAN;
}
/* `ids` has room for the vocabulary; returns how many occurred. */
MT_EXPORT(measure_ranking) size_t abi_measure_ranking(const abi_measure *measure, int32_t *ids) {
    return measure ? mt_measure_ranking(&measure->m, ids) : 0;
}
static mt_str bytes_of(void *tok, int32_t id) {
    return mt_tok_bytes(tok, id);
}
MT_EXPORT(measure_lengths)
void abi_measure_lengths(const abi_measure *measure, mt_tok *tok, uint64_t *histogram, size_t size) {
    if (measure && tok) mt_measure_lengths(&measure->m, bytes_of, tok, histogram, size);
}

/* ---- vocabularies ---- */

MT_EXPORT(ids_free) void abi_ids_free(mt_ids *ids) {
    if (!ids) return;
    mt_ids_free(ids);
    mt_free(ids);
}
MT_EXPORT(tok_unreachable) mt_status abi_tok_unreachable(mt_tok *tok, mt_ids *out) {
    ABI_NEED(tok);
    ABI_NEED(out);
    out->len = 0;
    return mt_unreachable(tok, out, &abi_error);
}

/* Strings of the tokens that stand for text: not special ones, holes or empty ones. */
static mt_status strings_of(const mt_tok *tok, mt_str **list, size_t *len) {
    int32_t size = mt_tok_size(tok);
    *len = 0;
    *list = mt_array((size_t)size, sizeof **list);
    if (!*list) return mt_nomem(&abi_error, (size_t)size * sizeof **list, "the tokens");
    for (int32_t id = 0; id < size; id++) {
        mt_token_kind kind = mt_tok_kind(tok, id);
        mt_str s = mt_tok_bytes(tok, id);
        if ((kind == MT_TOKEN_NORMAL || kind == MT_TOKEN_USER || kind == MT_TOKEN_BYTE) && s.n) (*list)[(*len)++] = s;
    }
    return MT_OK;
}
MT_EXPORT(tok_overlap) mt_status abi_tok_overlap(const mt_tok *a, const mt_tok *b, mt_overlap *out) {
    ABI_NEED(a);
    ABI_NEED(b);
    mt_str *x = NULL, *y = NULL;
    size_t n, m;
    mt_status status = strings_of(a, &x, &n);
    if (status == MT_OK) status = strings_of(b, &y, &m);
    if (status == MT_OK) status = mt_vocabulary_overlap(x, n, y, m, out, &abi_error);
    mt_free(x);
    mt_free(y);
    return status;
}

/* ---- batches ---- */

/* out: made by `make`; freed with dynamic_free */
MT_EXPORT(dynamic_merge)
mt_status abi_dynamic_merge(const int32_t *ids, const uint8_t *barrier, const int32_t *lens, size_t sequences,
                            int32_t merges, int32_t first_id, mt_dynamic *out) {
    ABI_NEED(out);
    return mt_dynamic_merge(ids, barrier, lens, sequences, merges, first_id, out, &abi_error);
}
MT_EXPORT(dynamic_free) void abi_dynamic_free(mt_dynamic *dynamic) {
    mt_dynamic_free(dynamic);
}
