/* ABI of the lattices. */
#include "abi.h"

#include "../src/token/choose.h"
#include "../src/token/words.h"

typedef struct abi_lattice {
    mt_lattice l;
    mt_buf text;       /* what the nodes count bytes of */
    mt_ids begin, end; /* in the caller's text, by node: of what starts there, of what ends there */
    mt_paths paths;
} abi_lattice;

typedef enum abi_paths_kind {
    ABI_PATHS_BEST,
    ABI_PATHS_NBEST,
    ABI_PATHS_ENUMERATE,
    ABI_PATHS_SAMPLE,
    ABI_PATHS_DISTINCT
} abi_paths_kind;
typedef struct mt_path mt_path;
ABI_LAYOUT(lattice, ABI_STRUCT(mt_edge), ABI_FIELD(mt_edge, from), ABI_FIELD(mt_edge, to), ABI_FIELD(mt_edge, token),
           ABI_FIELD(mt_edge, weight), ABI_STRUCT(abi_lattice), ABI_FIELD(abi_lattice, l.nodes),
           ABI_FIELD(abi_lattice, l.edge), ABI_FIELD(abi_lattice, l.edges), ABI_FIELD(abi_lattice, text.data),
           ABI_FIELD(abi_lattice, text.len), ABI_FIELD(abi_lattice, paths.path), ABI_FIELD(abi_lattice, paths.len),
           ABI_FIELD(abi_lattice, paths.edge.data), ABI_FIELD(abi_lattice, paths.edge.len), ABI_STRUCT(mt_path),
           ABI_FIELD(mt_path, first), ABI_FIELD(mt_path, len), ABI_FIELD(mt_path, score), ABI_FIELD(mt_path, inclusion),
           ABI_ENUM(ABI_PATHS_BEST), ABI_ENUM(ABI_PATHS_NBEST), ABI_ENUM(ABI_PATHS_ENUMERATE),
           ABI_ENUM(ABI_PATHS_SAMPLE), ABI_ENUM(ABI_PATHS_DISTINCT))

/* ---- lattices ---- */

MT_EXPORT(lattice_free) void abi_lattice_free(abi_lattice *lattice) {
    if (!lattice) return;
    mt_lattice_free(&lattice->l);
    mt_buf_free(&lattice->text);
    mt_ids_free(&lattice->begin);
    mt_ids_free(&lattice->end);
    mt_paths_free(&lattice->paths);
    mt_free(lattice);
}

typedef struct building {
    mt_tok *tok;
    const double *weight;
    abi_lattice *lattice;
    bool whole;
} building;
static mt_status add_part(void *user, const uint8_t *p, size_t n, int32_t added, mt_error *err) {
    building *b = user;
    abi_lattice *lattice = b->lattice;
    if (lattice->text.len > INT32_MAX - n - 64) return mt_fail(err, MT_ELIMIT, "a lattice of more than 2 GiB of text");
    uint32_t at = (uint32_t)lattice->text.len;
    mt_str text = added >= 0 ? mt_tok_bytes(b->tok, added) : (mt_str){p, n};
    if (!text.n) text = mt_str_of(" "); /* an added token without a text still takes a place */
    MT_TRY(mt_buf_add(&lattice->text, text.p, text.n, err));
    lattice->l.nodes = at + (uint32_t)text.n + 1;
    MT_TRY(mt_ids_reserve(&lattice->begin, text.n, err));
    MT_TRY(mt_ids_reserve(&lattice->end, text.n, err));
    for (size_t i = 0; i < text.n; i++) { /* node at + i begins byte i, node at + i + 1 ends it */
        mt_span s = b->whole     ? (mt_span){(uint32_t)i, (uint32_t)i + 1}
                    : added >= 0 ? mt_tok_part_span(b->tok, 0, SIZE_MAX)
                                 : mt_tok_part_span(b->tok, i, i + 1);
        lattice->begin.data[lattice->begin.len++] = (int32_t)s.begin;
        lattice->end.data[lattice->end.len++] = (int32_t)s.end;
    }
    if (added >= 0) return mt_lattice_add(&lattice->l, at, at + (uint32_t)text.n, added, 0, err);
    return mt_tok_lattice_word(b->tok, b->weight, p, n, at, &lattice->l, err);
}
/* `whole`: the text is one word, neither normalized nor split. weight: by id, or NULL. */
MT_EXPORT(lattice_new)
mt_status abi_lattice_new(mt_tok *tok, const uint8_t *text, size_t n, int32_t special_as_text, int32_t whole,
                          const double *weight, abi_lattice **out) {
    ABI_NEED(tok);
    *out = NULL;
    abi_lattice *lattice = mt_calloc(1, sizeof *lattice);
    if (!lattice) return mt_nomem(&abi_error, sizeof *lattice, "a lattice");
    building b = {tok, weight, lattice, whole != 0};
    mt_status status = !whole ? mt_tok_parts(tok, text, n, special_as_text != 0, add_part, &b, &abi_error)
                       : n    ? add_part(&b, text, n, -1, &abi_error)
                              : MT_OK;
    lattice->l.nodes = (uint32_t)lattice->text.len + 1;
    if (status == MT_OK) status = mt_lattice_finish(&lattice->l, &abi_error);
    if (status == MT_OK)
        *out = lattice;
    else
        abi_lattice_free(lattice);
    return status;
}
/* out: the logarithm of the number of paths */
MT_EXPORT(lattice_count) mt_status abi_lattice_count(const abi_lattice *lattice, uint64_t *count, double *log_count) {
    ABI_NEED(lattice);
    return mt_lattice_count(&lattice->l, count, log_count, &abi_error);
}
MT_EXPORT(lattice_marginal) mt_status abi_lattice_marginal(const abi_lattice *lattice, double theta, double *out) {
    ABI_NEED(lattice);
    return mt_lattice_marginal(&lattice->l, theta, out, &abi_error);
}
MT_EXPORT(lattice_entropy) mt_status abi_lattice_entropy(const abi_lattice *lattice, double theta, double *out) {
    ABI_NEED(lattice);
    return mt_lattice_entropy(&lattice->l, theta, out, &abi_error);
}
MT_EXPORT(lattice_posterior) mt_status abi_lattice_posterior(const abi_lattice *lattice, double theta, double *out) {
    ABI_NEED(lattice);
    return mt_lattice_posterior(&lattice->l, theta, out, &abi_error);
}
/* Fills lattice->paths. *complete: enumeration gave all. */
MT_EXPORT(lattice_paths)
mt_status abi_lattice_paths(abi_lattice *lattice, int32_t kind, uint32_t k, double theta, mt_rng *rng,
                            uint32_t *complete) {
    ABI_NEED(lattice);
    mt_paths *p = &lattice->paths;
    p->len = p->edge.len = 0;
    bool all = true;
    mt_status status = MT_OK;
    switch (kind) {
    case ABI_PATHS_BEST:
        return mt_lattice_best(&lattice->l, MT_TIE_LONGEST_LAST, p, &abi_error);
    case ABI_PATHS_NBEST:
        return mt_lattice_nbest(&lattice->l, k, 0, p, &abi_error);
    case ABI_PATHS_ENUMERATE:
        status = mt_lattice_enumerate(&lattice->l, k, p, &all, &abi_error);
        *complete = all;
        return status;
    case ABI_PATHS_SAMPLE:
        return mt_lattice_sample(&lattice->l, theta, k, rng, p, &abi_error);
    case ABI_PATHS_DISTINCT:
        return mt_lattice_sample_distinct(&lattice->l, theta, k, 0, rng, p, &abi_error);
    }
    return mt_fail(&abi_error, MT_EUNKNOWN, "lattice_paths: unknown kind %d: known are 0..4", (int)kind);
}
/* The index-th path that lattice_paths found, as an encoding of the text that the lattice was made of; its spans in
 * bytes or in UTF-16 units. */
MT_EXPORT(lattice_encoding)
mt_status abi_lattice_encoding(const abi_lattice *lattice, mt_tok *tok, const uint8_t *text, size_t n, size_t index,
                               int32_t utf16, mt_encoding *encoding) {
    ABI_NEED(lattice);
    ABI_NEED(tok);
    ABI_NEED(encoding);
    if (index >= lattice->paths.len)
        return mt_fail(&abi_error, MT_ERANGE, "path %zu of %zu", index, lattice->paths.len);
    const mt_path *path = &lattice->paths.path[index];
    encoding->ids.len = 0;
    MT_TRY(mt_ids_reserve(&encoding->ids, path->len, &abi_error));
    MT_TRY(mt_grow((void **)&encoding->spans, &encoding->span_cap, path->len, sizeof *encoding->spans, &abi_error));
    for (size_t i = 0; i < path->len; i++) {
        const mt_edge *e = &lattice->l.edge[lattice->paths.edge.data[path->first + i]];
        uint32_t begin = (uint32_t)lattice->begin.data[e->from], end = (uint32_t)lattice->end.data[e->to - 1];
        encoding->spans[i] = (mt_span){begin, end < begin ? begin : end};
        encoding->ids.data[encoding->ids.len++] = e->token;
    }
    mt_tok_trim_spans(tok, text, n, encoding);
    const mt_str texts[2] = {{text, n}, {NULL, 0}};
    if (utf16) mt_spans_to_utf16(encoding->spans, NULL, encoding->ids.len, texts);
    return MT_OK;
}
