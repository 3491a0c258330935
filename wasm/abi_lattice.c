/* ABI of the lattices and of segmenters other than a tokenizer's own. */
#include "abi.h"

#include "../src/token/words.h"

/* A tokenizer's vocabulary ready to be matched; made once for a tokenizer. */
typedef struct abi_matcher {
    mt_matcher m;
    bool open; /* WordPiece: there is none, its lattice needs none */
} abi_matcher;

typedef struct abi_lattice {
    mt_lattice l;
    mt_buf text; /* what the nodes count bytes of */
    mt_paths paths;
} abi_lattice;

typedef enum abi_paths_kind {
    ABI_PATHS_BEST,
    ABI_PATHS_NBEST,
    ABI_PATHS_ENUMERATE,
    ABI_PATHS_SAMPLE,
    ABI_PATHS_DISTINCT
} abi_paths_kind;
typedef enum abi_segment_kind {
    ABI_SEGMENT_LONGEST_PREFIX,
    ABI_SEGMENT_LONGEST_SUFFIX,
    ABI_SEGMENT_LONGEST_DROPOUT,
    ABI_SEGMENT_FEWEST,
    ABI_SEGMENT_FEWEST_RANDOM,
    ABI_SEGMENT_LONGEST_FIRST,
    ABI_SEGMENT_DROPOUT_STEP_ALL,
    ABI_SEGMENT_DROPOUT_STEP_ONE,
    ABI_SEGMENT_DROPOUT_REQUEUE,
    ABI_SEGMENT_DROPOUT_DISCARD,
    ABI_SEGMENT_SAMPLE
} abi_segment_kind;

typedef struct mt_path mt_path;
ABI_LAYOUT(lattice, ABI_STRUCT(mt_edge), ABI_FIELD(mt_edge, from), ABI_FIELD(mt_edge, to), ABI_FIELD(mt_edge, token),
           ABI_FIELD(mt_edge, weight), ABI_STRUCT(abi_lattice), ABI_FIELD(abi_lattice, l.nodes),
           ABI_FIELD(abi_lattice, l.edge), ABI_FIELD(abi_lattice, l.edges), ABI_FIELD(abi_lattice, text.data),
           ABI_FIELD(abi_lattice, text.len), ABI_FIELD(abi_lattice, paths.path), ABI_FIELD(abi_lattice, paths.len),
           ABI_FIELD(abi_lattice, paths.edge.data), ABI_FIELD(abi_lattice, paths.edge.len), ABI_STRUCT(mt_path),
           ABI_FIELD(mt_path, first), ABI_FIELD(mt_path, len), ABI_FIELD(mt_path, score), ABI_FIELD(mt_path, inclusion),
           ABI_ENUM(ABI_PATHS_BEST), ABI_ENUM(ABI_PATHS_NBEST), ABI_ENUM(ABI_PATHS_ENUMERATE),
           ABI_ENUM(ABI_PATHS_SAMPLE), ABI_ENUM(ABI_PATHS_DISTINCT), ABI_ENUM(ABI_SEGMENT_LONGEST_PREFIX),
           ABI_ENUM(ABI_SEGMENT_LONGEST_SUFFIX), ABI_ENUM(ABI_SEGMENT_LONGEST_DROPOUT), ABI_ENUM(ABI_SEGMENT_FEWEST),
           ABI_ENUM(ABI_SEGMENT_FEWEST_RANDOM), ABI_ENUM(ABI_SEGMENT_LONGEST_FIRST),
           ABI_ENUM(ABI_SEGMENT_DROPOUT_STEP_ALL), ABI_ENUM(ABI_SEGMENT_DROPOUT_STEP_ONE),
           ABI_ENUM(ABI_SEGMENT_DROPOUT_REQUEUE), ABI_ENUM(ABI_SEGMENT_DROPOUT_DISCARD), ABI_ENUM(ABI_SEGMENT_SAMPLE))

MT_EXPORT(matcher_free) void abi_matcher_free(abi_matcher *matcher) {
    if (!matcher) return;
    if (matcher->open) mt_matcher_free(&matcher->m);
    mt_free(matcher);
}
/* `placed`: the tokenizer's pieces depend on their place (WordPiece): the matcher is empty, for lattices alone. */
MT_EXPORT(matcher_new) mt_status abi_matcher_new(mt_tok *tok, int32_t placed, abi_matcher **out) {
    ABI_NEED(tok);
    *out = NULL;
    abi_matcher *matcher = mt_calloc(1, sizeof *matcher);
    if (!matcher) return mt_nomem(&abi_error, sizeof *matcher, "a matcher");
    mt_status status = placed ? MT_OK : mt_tok_matcher(tok, &matcher->m, &abi_error);
    matcher->open = !placed && status == MT_OK;
    if (status == MT_OK)
        *out = matcher;
    else
        abi_matcher_free(matcher);
    return status;
}

/* ---- lattices ---- */

MT_EXPORT(lattice_free) void abi_lattice_free(abi_lattice *lattice) {
    if (!lattice) return;
    mt_lattice_free(&lattice->l);
    mt_buf_free(&lattice->text);
    mt_paths_free(&lattice->paths);
    mt_free(lattice);
}

typedef struct building {
    mt_tok *tok;
    const mt_matcher *m;
    const double *weight;
    abi_lattice *lattice;
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
    if (added >= 0) return mt_lattice_add(&lattice->l, at, at + (uint32_t)text.n, added, 0, err);
    return mt_tok_lattice_word(b->tok, b->m, b->weight, p, n, at, &lattice->l, err);
}
/* `whole`: the text is one word, neither normalized nor split. weight: by id, or NULL. */
MT_EXPORT(lattice_new)
mt_status abi_lattice_new(mt_tok *tok, const abi_matcher *matcher, const uint8_t *text, size_t n,
                          int32_t special_as_text, int32_t whole, const double *weight, abi_lattice **out) {
    ABI_NEED(tok);
    ABI_NEED(matcher);
    *out = NULL;
    abi_lattice *lattice = mt_calloc(1, sizeof *lattice);
    if (!lattice) return mt_nomem(&abi_error, sizeof *lattice, "a lattice");
    building b = {tok, &matcher->m, weight, lattice};
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

/* ---- segmenters ---- */

typedef struct segmenting {
    mt_tok *tok;
    const mt_matcher *m;
    abi_segment_kind kind;
    double p;
    mt_rng *rng;
    mt_ids *out;
    mt_segments segments;
} segmenting;

static mt_status sample_word(segmenting *s, const uint8_t *p, size_t n, mt_error *err) {
    mt_lattice l = {.nodes = (uint32_t)n + 1};
    mt_paths paths = {0};
    mt_status status = mt_tok_lattice_word(s->tok, s->m, NULL, p, n, 0, &l, err);
    if (status == MT_OK) status = mt_lattice_finish(&l, err);
    if (status == MT_OK) status = mt_lattice_sample(&l, s->p, 1, s->rng, &paths, err);
    for (size_t i = 0; status == MT_OK && i < paths.path[0].len; i++)
        status = mt_ids_add(s->out, l.edge[paths.edge.data[paths.path[0].first + i]].token, err);
    mt_paths_free(&paths);
    mt_lattice_free(&l);
    return status;
}

static mt_status segment_part(void *user, const uint8_t *p, size_t n, int32_t added, mt_error *err) {
    segmenting *s = user;
    if (added >= 0) return mt_ids_add(s->out, added, err);
    mt_segments *to = &s->segments;
    to->ids.len = to->ends.len = 0;
    switch (s->kind) {
    case ABI_SEGMENT_LONGEST_PREFIX:
        MT_TRY(mt_segment_leftmost_longest(s->m, p, n, to, err));
        break;
    case ABI_SEGMENT_LONGEST_SUFFIX:
        MT_TRY(mt_segment_rightmost_longest(s->m, p, n, to, err));
        break;
    case ABI_SEGMENT_LONGEST_DROPOUT:
        MT_TRY(mt_segment_longest_dropout(s->m, p, n, s->p, s->rng, to, err));
        break;
    case ABI_SEGMENT_FEWEST:
        MT_TRY(mt_segment_fewest(s->m, p, n, NULL, to, err));
        break;
    case ABI_SEGMENT_FEWEST_RANDOM:
        MT_TRY(mt_segment_fewest(s->m, p, n, s->rng, to, err));
        break;
    case ABI_SEGMENT_LONGEST_FIRST:
        MT_TRY(mt_segment_longest_first(s->m, p, n, to, err));
        break;
    case ABI_SEGMENT_DROPOUT_STEP_ALL:
        return mt_tok_dropout(s->tok, MT_DROPOUT_STEP_ALL, s->p, p, n, s->rng, s->out, err);
    case ABI_SEGMENT_DROPOUT_STEP_ONE:
        return mt_tok_dropout(s->tok, MT_DROPOUT_STEP_ONE, s->p, p, n, s->rng, s->out, err);
    case ABI_SEGMENT_DROPOUT_REQUEUE:
        return mt_tok_dropout(s->tok, MT_DROPOUT_REQUEUE, s->p, p, n, s->rng, s->out, err);
    case ABI_SEGMENT_DROPOUT_DISCARD:
        return mt_tok_dropout(s->tok, MT_DROPOUT_DISCARD, s->p, p, n, s->rng, s->out, err);
    case ABI_SEGMENT_SAMPLE:
        return sample_word(s, p, n, err);
    default:
        return mt_fail(err, MT_EUNKNOWN, "unknown segmenter %d: known are 0..10", (int)s->kind);
    }
    return mt_tok_spell_out(s->tok, to, p, s->out, err);
}
/* p: a dropout's probability, or what sampling multiplies scores with. */
MT_EXPORT(segment_text)
mt_status abi_segment_text(mt_tok *tok, const abi_matcher *matcher, const uint8_t *text, size_t n,
                           int32_t special_as_text, int32_t kind, double p, mt_rng *rng, mt_ids *out) {
    ABI_NEED(tok);
    ABI_NEED(matcher);
    segmenting s = {.tok = tok, .m = &matcher->m, .kind = (abi_segment_kind)kind, .p = p, .rng = rng, .out = out};
    out->len = 0;
    mt_status status = mt_tok_parts(tok, text, n, special_as_text != 0, segment_part, &s, &abi_error);
    mt_segments_free(&s.segments);
    return status;
}
MT_EXPORT(ids_free) void abi_ids_free(mt_ids *ids) {
    if (ids) mt_ids_free(ids);
}
