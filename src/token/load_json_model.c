/* tokenizer.json, the model: vocabulary and merges go straight into their tables. */
#include <stdio.h>
#include <stdlib.h>

#include "load_json.h"

static mt_status read_vocab_object(mt_json_reader *r) {
    mt_json *j = &r->j;
    mt_vocab *v = &r->t->vocab;
    mt_str piece;
    size_t left = (size_t)(j->end - j->p);
    MT_TRY(mt_vocab_reserve(v, 1024, left / 16, r->err));
    MT_TRY(mt_json_object(j));
    while (mt_json_key(j, &piece)) {
        int64_t id = mt_json_int(j);
        MT_TRY(j->status);
        if (id >= 0 && id < v->size && v->kind[id] != MT_TOKEN_HOLE) {
            char shown[80];
            MT_TRY(mt_tok_warn(r->t, r->err, "id %lld belongs to two pieces, one is \"%s\"", (long long)id,
                               mt_str_show(piece, shown, sizeof shown)));
        }
        MT_TRY(mt_vocab_set_piece(v, id, piece, r->err));
        v->flags[id] = MT_IN_MODEL | MT_MATCHES;
        MT_TRY(mt_vocab_index_piece(v, (int32_t)id, true, r->err));
    }
    return j->status;
}

/* A score as the reference implementation reads it: its JSON parser takes the digits as one 64-bit integer (dropping
 * what no longer fits) and scales by a power of ten, which is not always the nearest double. Ties between segmentations
 * depend on that last bit. */
static double read_score(mt_json *j) {
    if (mt_json_peek(j) != MT_JSON_NUMBER) return mt_json_number(j);
    const uint8_t *p = j->p;
    double exact = mt_json_number(j), v;
    if (j->status != MT_OK) return 0;
    bool minus = *p == '-', point = false, full = false;
    uint64_t m = 0;
    int exponent = 0, written = 0;
    for (p += minus; p < j->p && (*p | 32) != 'e'; p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        uint64_t next;
        full = full || __builtin_mul_overflow(m, UINT64_C(10), &next) ||
               __builtin_add_overflow(next, (uint64_t)(*p - '0'), &next);
        if (!full) m = next;
        exponent += full ? !point : -point;
    }
    if (p < j->p) {
        bool down = p[1] == '-';
        for (p += 1 + (p[1] == '-' || p[1] == '+'); p < j->p; p++)
            if (written < 10000) written = written * 10 + (*p - '0');
        exponent += down ? -written : written;
    }
    if (exponent < -308 || exponent > 308) return exact;
    double scale = 1; /* 10^|exponent|, the nearest double */
    char text[16];
    snprintf(text, sizeof text, "1e%d", exponent < 0 ? -exponent : exponent);
    scale = strtod(text, NULL);
    v = exponent < 0 ? (double)m / scale : (double)m * scale;
    return minus ? -v : v;
}

static mt_status read_vocab_list(mt_json_reader *r) {
    mt_json *j = &r->j;
    mt_vocab *v = &r->t->vocab;
    r->list_vocab = true;
    MT_TRY(mt_vocab_reserve(v, 1024, (size_t)(j->end - j->p) / 8, r->err));
    if (!v->score) {
        v->score = mt_array(v->capacity, sizeof *v->score);
        if (!v->score) return mt_nomem(r->err, v->capacity * sizeof *v->score, "scores");
    }
    MT_TRY(mt_json_array(j));
    while (mt_json_next(j)) {
        mt_str piece = mt_str_of("");
        double score = 0;
        MT_TRY(mt_json_array(j));
        if (mt_json_next(j)) piece = mt_json_string(j);
        if (mt_json_next(j)) score = read_score(j);
        if (mt_json_next(j)) return mt_json_fail(j, MT_EFORMAT, "expected a pair of a piece and its score");
        MT_TRY(j->status);
        int32_t id = v->size;
        MT_TRY(mt_vocab_set_piece(v, id, piece, r->err));
        v->score[id] = score;
        v->flags[id] = MT_IN_MODEL | MT_MATCHES;
        MT_TRY(mt_vocab_index_piece(v, id, true, r->err));
    }
    return j->status;
}

/* Merges that have been read: the parts of the i-th are part[2 * i] and part[2 * i + 1]. */
typedef struct batch {
    mt_str part[MT_FIND_MOST];
    size_t count;
    uint32_t rank; /* of the first */
    int32_t last;  /* what the last one before made */
} batch;

static int32_t joined(const mt_vocab *v, mt_str a, mt_str tail, int32_t last) {
    /* mostly they come in the order of what they make */
    for (int32_t id = last; !v->twice && id >= 0 && id <= last + 1 && id < v->size; id++) {
        mt_str s = mt_vocab_piece(v, id);
        if (s.n == a.n + tail.n && memcmp(s.p, a.p, a.n) == 0 && memcmp(s.p + a.n, tail.p, tail.n) == 0) return id;
    }
    uint64_t power = 1, base = MT_POLY;
    for (size_t n = tail.n; n; n >>= 1, base *= base)
        if (n & 1) power *= base;
    return mt_vocab_find_joined_piece(v, a, tail, mt_poly(a.p, a.n) * power + mt_poly(tail.p, tail.n));
}

static mt_status add_merges(mt_json_reader *r, batch *m) {
    mt_tok *t = r->t;
    mt_str prefix = t->word_prefix;
    int32_t id[MT_FIND_MOST];
    mt_vocab_find_pieces(&t->vocab, m->part, 2 * m->count, id);
    for (size_t i = 0; i < m->count; i++, m->rank++) {
        mt_str a = m->part[2 * i], b = m->part[2 * i + 1], tail = b;
        if (prefix.n && b.n >= prefix.n && memcmp(b.p, prefix.p, prefix.n) == 0) tail.p += prefix.n, tail.n -= prefix.n;
        int32_t left = id[2 * i], right = id[2 * i + 1], result = joined(&t->vocab, a, tail, m->last);
        if (left < 0 || right < 0 || result < 0) {
            char x[80], y[80];
            return mt_json_fail(&r->j, MT_EMISSING, "merge %u, \"%s\" and \"%s\": %s is not in the vocabulary", m->rank,
                                mt_str_show(a, x, sizeof x), mt_str_show(b, y, sizeof y),
                                left < 0    ? "the left part"
                                : right < 0 ? "the right part"
                                            : "the result");
        }
        m->last = result;
        MT_TRY(mt_bpe_add_pair(&t->bpe, left, right, m->rank, result, r->err));
    }
    m->count = 0;
    return MT_OK;
}

/* "a b" or ["a", "b"] */
static mt_status read_merge(mt_json *j, mt_str *a, mt_str *b) {
    *a = *b = mt_str_of("");
    if (mt_json_peek(j) == MT_JSON_ARRAY) {
        MT_TRY(mt_json_array(j));
        if (mt_json_next(j)) *a = mt_json_string(j);
        if (mt_json_next(j)) *b = mt_json_string(j);
        return mt_json_next(j) ? mt_json_fail(j, MT_EFORMAT, "a merge of more than two parts") : j->status;
    }
    *a = mt_json_string(j);
    MT_TRY(j->status);
    const uint8_t *space = a->n ? memchr(a->p, ' ', a->n) : NULL;
    if (!space) return mt_json_fail(j, MT_EFORMAT, "a merge without a space");
    *b = (mt_str){space + 1, a->n - (size_t)(space - a->p) - 1};
    a->n = (size_t)(space - a->p);
    return memchr(b->p, ' ', b->n) ? mt_json_fail(j, MT_EFORMAT, "a merge with more than one space") : MT_OK;
}

static mt_status read_merges(mt_json_reader *r) {
    mt_json *j = &r->j;
    if (mt_json_peek(j) == MT_JSON_OBJECT) { /* written by some exporters for "none" */
        mt_str key;
        MT_TRY(mt_json_object(j));
        return mt_json_key(j, &key) ? mt_json_fail(j, MT_EFORMAT, "merges: expected an array, found an object")
                                    : j->status;
    }
    MT_TRY(mt_json_array(j));
    MT_TRY(mt_vocab_index_pieces(&r->t->vocab, r->err));
    batch m = {.last = -1};
    while (mt_json_next(j)) {
        if (m.rank >= MT_NO_RANK - MT_FIND_MOST) return mt_json_fail(j, MT_ELIMIT, "too many merges");
        MT_TRY(read_merge(j, &m.part[2 * m.count], &m.part[2 * m.count + 1]));
        if (2 * ++m.count == MT_FIND_MOST) MT_TRY(add_merges(r, &m));
    }
    MT_TRY(j->status);
    return add_merges(r, &m);
}

mt_status mt_json_model(mt_json_reader *r) {
    mt_json *j = &r->j;
    mt_tok *t = r->t;
    mt_str key;
    MT_TRY(mt_json_object(j));
    while (mt_json_key(j, &key)) {
        if (mt_str_is(key, "type"))
            MT_TRY(mt_tok_copy(t, mt_json_string(j), &r->type, r->err));
        else if (mt_str_is(key, "vocab")) {
            if (r->has_vocab) return mt_json_fail(j, MT_EFORMAT, "two vocabularies");
            r->has_vocab = true;
            MT_TRY(mt_json_peek(j) == MT_JSON_ARRAY ? read_vocab_list(r) : read_vocab_object(r));
        } else if (mt_str_is(key, "merges")) {
            r->has_merges = true;
            if (r->has_vocab) {
                MT_TRY(read_merges(r));
            } else {
                r->merges_at = mt_json_where(j);
                MT_TRY(mt_json_skip(j));
            }
        } else if (mt_str_is(key, "unk_token"))
            MT_TRY(mt_tok_copy(t, mt_json_optional_string(r), &r->unk_token, r->err));
        else if (mt_str_is(key, "unk_id")) {
            r->unk_id_set = !mt_json_null(j);
            if (r->unk_id_set) r->unk_id = mt_json_int(j);
        } else if (mt_str_is(key, "continuing_subword_prefix")) {
            r->prefix_set = true;
            MT_TRY(mt_tok_copy(t, mt_json_optional_string(r), &t->word_prefix, r->err));
        } else if (mt_str_is(key, "end_of_word_suffix"))
            MT_TRY(mt_tok_copy(t, mt_json_optional_string(r), &t->word_suffix, r->err));
        else if (mt_str_is(key, "fuse_unk"))
            t->fuse_unk = mt_json_optional_bool(r);
        else if (mt_str_is(key, "byte_fallback"))
            t->byte_fallback = mt_json_optional_bool(r);
        else if (mt_str_is(key, "ignore_merges"))
            t->ignore_merges = mt_json_optional_bool(r);
        else if (mt_str_is(key, "max_input_chars_per_word"))
            r->max_chars = mt_json_number(j);
        else if (mt_str_is(key, "microtome"))
            MT_TRY(mt_json_own(r));
        else if (mt_str_is(key, "dropout")) {
            if (!mt_json_null(j) && mt_json_number(j) != 0)
                MT_TRY(mt_tok_warn(t, r->err, "the merge dropout in the file is not applied"));
        } else
            MT_TRY(mt_json_overlook(r, mt_str_of("the model"), key));
    }
    MT_TRY(j->status);
    if (r->merges_at) {
        mt_json later = r->j;
        r->j.p = r->j.begin + r->merges_at;
        MT_TRY(read_merges(r));
        r->j.p = later.p;
    }
    return MT_OK;
}

mt_status mt_json_settle_model(mt_json_reader *r) {
    mt_tok *t = r->t;
    mt_str type = r->type;
    if (!type.n) /* old files do not say */
        type = mt_str_of(r->has_merges      ? "BPE"
                         : r->list_vocab    ? "Unigram"
                         : r->max_chars > 0 ? "WordPiece"
                                            : "WordLevel");
    if (r->unk_token.n) t->unk = mt_vocab_find_piece(&t->vocab, r->unk_token);
    if (r->unk_id_set) {
        if (r->unk_id < 0 || r->unk_id >= t->vocab.size)
            return mt_fail(r->err, MT_ERANGE, "unk_id %lld of %d", (long long)r->unk_id, t->vocab.size);
        t->unk = (int32_t)r->unk_id;
    }
    if (t->unk >= 0) t->vocab.kind[t->unk] = MT_TOKEN_UNKNOWN;
    if (t->picky) {
        t->model_name = "Picky BPE";
        t->segmenter = &mt_segmenter_picky;
        return MT_OK;
    }
    if (mt_str_is(type, "BPE")) {
        t->model_name = "BPE";
        t->segmenter = &mt_segmenter_bpe;
        t->bpe.base_bytes = t->byte_level;
        t->merge_only = t->word_prefix.n || t->word_suffix.n;
        if (t->byte_fallback) MT_TRY(mt_tok_find_byte_tokens(t, r->err));
        return MT_OK;
    }
    if (mt_str_is(type, "Unigram")) {
        if (!t->vocab.score) return mt_fail(r->err, MT_EFORMAT, "a Unigram model whose vocabulary has no scores");
        t->model_name = "Unigram";
        t->segmenter = &mt_segmenter_unigram;
        t->unigram.fuse = t->unigram.byte_pieces = true;
        if (t->byte_fallback) MT_TRY(mt_tok_find_byte_tokens(t, r->err));
        return MT_OK;
    }
    if (mt_str_is(type, "WordPiece") || mt_str_is(type, "WordLevel")) {
        bool pieces = mt_str_is(type, "WordPiece");
        t->model_name = pieces ? "WordPiece" : "WordLevel";
        t->segmenter = pieces ? &mt_segmenter_wordpiece : &mt_segmenter_wordlevel;
        if (pieces && !r->prefix_set) t->word_prefix = mt_str_of("##");
        t->wordpiece.max_chars = r->max_chars > 0 ? (size_t)r->max_chars : 100;
        return MT_OK;
    }
    char shown[80];
    return mt_fail(r->err, MT_EUNKNOWN, "unknown model \"%s\" (known: BPE, Unigram, WordPiece, WordLevel)",
                   mt_str_show(type, shown, sizeof shown));
}
