/* tokenizer.json, the model: vocabulary and merges go straight into their tables. */
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
    static const double ten[] = {
        1e0,   1e1,   1e2,   1e3,   1e4,   1e5,   1e6,   1e7,   1e8,   1e9,   1e10,  1e11,  1e12,  1e13,  1e14,  1e15,
        1e16,  1e17,  1e18,  1e19,  1e20,  1e21,  1e22,  1e23,  1e24,  1e25,  1e26,  1e27,  1e28,  1e29,  1e30,  1e31,
        1e32,  1e33,  1e34,  1e35,  1e36,  1e37,  1e38,  1e39,  1e40,  1e41,  1e42,  1e43,  1e44,  1e45,  1e46,  1e47,
        1e48,  1e49,  1e50,  1e51,  1e52,  1e53,  1e54,  1e55,  1e56,  1e57,  1e58,  1e59,  1e60,  1e61,  1e62,  1e63,
        1e64,  1e65,  1e66,  1e67,  1e68,  1e69,  1e70,  1e71,  1e72,  1e73,  1e74,  1e75,  1e76,  1e77,  1e78,  1e79,
        1e80,  1e81,  1e82,  1e83,  1e84,  1e85,  1e86,  1e87,  1e88,  1e89,  1e90,  1e91,  1e92,  1e93,  1e94,  1e95,
        1e96,  1e97,  1e98,  1e99,  1e100, 1e101, 1e102, 1e103, 1e104, 1e105, 1e106, 1e107, 1e108, 1e109, 1e110, 1e111,
        1e112, 1e113, 1e114, 1e115, 1e116, 1e117, 1e118, 1e119, 1e120, 1e121, 1e122, 1e123, 1e124, 1e125, 1e126, 1e127,
        1e128, 1e129, 1e130, 1e131, 1e132, 1e133, 1e134, 1e135, 1e136, 1e137, 1e138, 1e139, 1e140, 1e141, 1e142, 1e143,
        1e144, 1e145, 1e146, 1e147, 1e148, 1e149, 1e150, 1e151, 1e152, 1e153, 1e154, 1e155, 1e156, 1e157, 1e158, 1e159,
        1e160, 1e161, 1e162, 1e163, 1e164, 1e165, 1e166, 1e167, 1e168, 1e169, 1e170, 1e171, 1e172, 1e173, 1e174, 1e175,
        1e176, 1e177, 1e178, 1e179, 1e180, 1e181, 1e182, 1e183, 1e184, 1e185, 1e186, 1e187, 1e188, 1e189, 1e190, 1e191,
        1e192, 1e193, 1e194, 1e195, 1e196, 1e197, 1e198, 1e199, 1e200, 1e201, 1e202, 1e203, 1e204, 1e205, 1e206, 1e207,
        1e208, 1e209, 1e210, 1e211, 1e212, 1e213, 1e214, 1e215, 1e216, 1e217, 1e218, 1e219, 1e220, 1e221, 1e222, 1e223,
        1e224, 1e225, 1e226, 1e227, 1e228, 1e229, 1e230, 1e231, 1e232, 1e233, 1e234, 1e235, 1e236, 1e237, 1e238, 1e239,
        1e240, 1e241, 1e242, 1e243, 1e244, 1e245, 1e246, 1e247, 1e248, 1e249, 1e250, 1e251, 1e252, 1e253, 1e254, 1e255,
        1e256, 1e257, 1e258, 1e259, 1e260, 1e261, 1e262, 1e263, 1e264, 1e265, 1e266, 1e267, 1e268, 1e269, 1e270, 1e271,
        1e272, 1e273, 1e274, 1e275, 1e276, 1e277, 1e278, 1e279, 1e280, 1e281, 1e282, 1e283, 1e284, 1e285, 1e286, 1e287,
        1e288, 1e289, 1e290, 1e291, 1e292, 1e293, 1e294, 1e295, 1e296, 1e297, 1e298, 1e299, 1e300, 1e301, 1e302, 1e303,
        1e304, 1e305, 1e306, 1e307, 1e308};
    mt_str s = mt_json_number_text(j);
    if (!s.n) return 0;
    bool minus = *s.p == '-', point = false, full = false;
    uint64_t m = 0;
    int exponent = 0, written = 0;
    const uint8_t *p = s.p + minus, *end = s.p + s.n;
    for (; p < end && (*p | 32) != 'e'; p++) {
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
    if (p < end) {
        bool down = p[1] == '-';
        for (p += 1 + (p[1] == '-' || p[1] == '+'); p < end; p++)
            if (written < 10000) written = written * 10 + (*p - '0');
        exponent += down ? -written : written;
    }
    if (exponent < -308 || exponent > 308) {
        j->p = s.p;
        return mt_json_number(j);
    }
    double v = exponent < 0 ? (double)m / ten[-exponent] : (double)m * ten[exponent];
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

/* What a merge makes: mostly they come in the order of that. */
static mt_status find_joined(mt_json_reader *r, mt_str a, mt_str tail, int32_t last, int32_t *id) {
    const mt_vocab *v = &r->t->vocab;
    mt_buf *b = &r->t->scratch;
    for (*id = last; !v->twice && *id >= 0 && *id <= last + 1 && *id < v->size; ++*id) {
        mt_str s = mt_vocab_piece(v, *id);
        if (s.n == a.n + tail.n && mt_same_bytes(s.p, a.p, a.n) && mt_same_bytes(s.p + a.n, tail.p, tail.n))
            return MT_OK;
    }
    b->len = 0;
    MT_TRY(mt_buf_add(b, a.p, a.n, r->err));
    MT_TRY(mt_buf_add(b, tail.p, tail.n, r->err));
    *id = mt_vocab_find_piece(v, (mt_str){b->data, b->len});
    return MT_OK;
}

static mt_status add_merges(mt_json_reader *r, batch *m) {
    mt_tok *t = r->t;
    mt_str prefix = t->word_prefix;
    int32_t id[MT_FIND_MOST];
    mt_vocab_find_pieces(&t->vocab, m->part, 2 * m->count, id);
    for (size_t i = 0; i < m->count; i++, m->rank++) {
        mt_str a = m->part[2 * i], b = m->part[2 * i + 1], tail = b;
        if (prefix.n && b.n >= prefix.n && memcmp(b.p, prefix.p, prefix.n) == 0) tail.p += prefix.n, tail.n -= prefix.n;
        int32_t left = id[2 * i], right = id[2 * i + 1], result;
        MT_TRY(find_joined(r, a, tail, m->last, &result));
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
