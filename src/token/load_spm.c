/* SentencePiece .model files: a protocol buffer (ModelProto) -> mt_tok.
 *
 *   1 repeated pieces { 1 text, 2 float score, 3 type }     types: 1 normal 2 unknown 3 control 4 user 5 unused 6 byte
 *   2 trainer { 3 model: 1 Unigram 2 BPE 3 word 4 character; 24 whitespace as suffix; 35 byte fallback;
 *               40.. ids of unk, bos, eos, pad; 44 what unk is written as }
 *   3 normalizer, 5 denormalizer (for decoded text) { 2 character map, 3 dummy prefix, 4 drop extra spaces, 5 escape
 * spaces }
 *
 * Differences from the same model as a tokenizer.json: control pieces in a text are text; user-defined pieces take part
 * in normalization and segmentation as SentencePiece has them; scores are single precision. */
#include "tok.h"

typedef struct wire {
    const uint8_t *p, *end, *begin;
    mt_error *err;
} wire;

typedef struct field {
    uint32_t number, type;
    uint64_t value;
    mt_str bytes;
} field;

static mt_status truncated(const wire *w) {
    return mt_fail_at(w->err, MT_EFORMAT, (uint64_t)(w->p - w->begin), "SentencePiece model: a field is cut off");
}

static mt_status varint(wire *w, uint64_t *out) {
    *out = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (w->p == w->end) return truncated(w);
        uint8_t b = *w->p++;
        *out |= (uint64_t)(b & 127) << shift;
        if (b < 128) return MT_OK;
    }
    return mt_fail_at(w->err, MT_EFORMAT, (uint64_t)(w->p - w->begin), "SentencePiece model: a number of over 64 bits");
}

static mt_status next_field(wire *w, field *f) {
    uint64_t tag;
    MT_TRY(varint(w, &tag));
    f->number = (uint32_t)(tag >> 3);
    f->type = (uint32_t)(tag & 7);
    f->bytes = (mt_str){w->p, 0};
    f->value = 0;
    size_t left = (size_t)(w->end - w->p);
    switch (f->type) {
    case 0:
        return varint(w, &f->value);
    case 1:
    case 5: {
        size_t n = f->type == 1 ? 8 : 4;
        if (left < n) return truncated(w);
        f->bytes.n = n;
        f->value = n == 8 ? mt_le64(w->p) : mt_le32(w->p);
        w->p += n;
        return MT_OK;
    }
    case 2: {
        uint64_t n;
        MT_TRY(varint(w, &n));
        if (n > (size_t)(w->end - w->p)) return truncated(w);
        f->bytes = (mt_str){w->p, (size_t)n};
        w->p += n;
        return MT_OK;
    }
    default:
        return mt_fail_at(w->err, MT_EFORMAT, (uint64_t)(w->p - w->begin), "SentencePiece model: wire type %u",
                          f->type);
    }
}

static wire inner(const wire *w, mt_str bytes) {
    return (wire){bytes.p, bytes.p + bytes.n, w->begin, w->err};
}

typedef struct normalizer {
    mt_str map;
    bool prefix, squeeze, escape;
} normalizer;

typedef struct spec {
    uint64_t model, suffix, byte_fallback;
    int64_t unk, bos, eos;
    mt_str unk_surface;
} spec;

static mt_status read_trainer(wire w, spec *s) {
    field f;
    while (w.p < w.end) {
        MT_TRY(next_field(&w, &f));
        switch (f.number) {
        case 3:
            s->model = f.value;
            break;
        case 24:
            s->suffix = f.value;
            break;
        case 35:
            s->byte_fallback = f.value;
            break;
        case 40:
            s->unk = (int32_t)f.value;
            break;
        case 41:
            s->bos = (int32_t)f.value;
            break;
        case 42:
            s->eos = (int32_t)f.value;
            break;
        case 44:
            s->unk_surface = f.bytes;
            break;
        default:
            break;
        }
    }
    return MT_OK;
}

static mt_status read_normalizer(wire w, normalizer *s) {
    field f;
    while (w.p < w.end) {
        MT_TRY(next_field(&w, &f));
        switch (f.number) {
        case 2:
            s->map = f.bytes;
            break;
        case 3:
            s->prefix = f.value != 0;
            break;
        case 4:
            s->squeeze = f.value != 0;
            break;
        case 5:
            s->escape = f.value != 0;
            break;
        default:
            break;
        }
    }
    return MT_OK;
}

static mt_status read_piece(mt_tok *t, wire w) {
    field f;
    mt_str text = mt_str_of("");
    float score = 0;
    uint64_t type = 1;
    while (w.p < w.end) {
        MT_TRY(next_field(&w, &f));
        if (f.number == 1 && f.type == 2)
            text = f.bytes;
        else if (f.number == 2 && f.type == 5)
            memcpy(&score, f.bytes.p, 4);
        else if (f.number == 3)
            type = f.value;
    }
    static const mt_token_kind kinds[] = {MT_TOKEN_NORMAL, MT_TOKEN_NORMAL, MT_TOKEN_UNKNOWN, MT_TOKEN_SPECIAL,
                                          MT_TOKEN_USER,   MT_TOKEN_UNUSED, MT_TOKEN_BYTE};
    if (type > 6) return mt_fail(w.err, MT_EUNKNOWN, "SentencePiece piece type %llu", (unsigned long long)type);
    mt_vocab *v = &t->vocab;
    int32_t id = v->size;
    MT_TRY(mt_vocab_set_piece(v, id, text, w.err));
    MT_TRY(mt_vocab_index_piece(v, id, false, w.err));
    v->score[id] = score;
    v->kind[id] = (uint8_t)kinds[type];
    v->flags[id] = MT_IN_MODEL;
    if (kinds[type] == MT_TOKEN_NORMAL || kinds[type] == MT_TOKEN_USER || kinds[type] == MT_TOKEN_UNUSED)
        v->flags[id] |= MT_MATCHES;
    if (kinds[type] == MT_TOKEN_SPECIAL) v->flags[id] |= MT_IS_SPECIAL;
    if (kinds[type] == MT_TOKEN_UNKNOWN) t->unk = id;
    if (kinds[type] == MT_TOKEN_UNUSED) t->has_unused = true;
    return MT_OK;
}

/* User-defined pieces: matched in raw text by the normalizer, and for BPE cut out of the normalized text. */
static mt_status add_user_pieces(mt_tok *t, bool cut, mt_error *err) {
    mt_vocab *v = &t->vocab;
    for (int32_t id = 0; id < v->size; id++) {
        if (v->kind[id] != MT_TOKEN_USER) continue;
        mt_added *a = mt_tok_add_added(t, err);
        if (!a) return MT_ENOMEM;
        a->id = id;
        MT_TRY(mt_tok_copy(t, mt_vocab_piece(v, id), &a->content, err));
        MT_TRY(mt_added_insert(&t->user_set, a->content, (int32_t)t->added_len - 1, err));
        if (cut) MT_TRY(mt_added_insert(&t->normal_set, mt_vocab_bytes(v, id), (int32_t)t->added_len - 1, err));
    }
    return MT_OK;
}

static int32_t role(const mt_tok *t, int64_t id, const char *name) {
    if (id < 0) return -1;
    if (id < t->vocab.size && t->vocab.kind[id] == MT_TOKEN_SPECIAL) return (int32_t)id;
    return mt_vocab_find_piece(&t->vocab, mt_str_of(name));
}

static mt_status load(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    wire w = {p, p + n, p, err};
    spec s = {.model = 1, .unk = 0, .bos = 1, .eos = 2};
    normalizer in = {mt_str_of(""), true, true, true}, back = in;
    s.unk_surface = mt_str_of(" \xE2\x81\x87 ");
    field f;
    MT_TRY(mt_vocab_reserve(&t->vocab, 1024, n, err));
    t->vocab.score = mt_array(t->vocab.capacity, sizeof *t->vocab.score);
    if (!t->vocab.score) return mt_nomem(err, t->vocab.capacity * sizeof *t->vocab.score, "scores");
    while (w.p < w.end) {
        MT_TRY(next_field(&w, &f));
        if (f.number == 1 && f.type == 2)
            MT_TRY(read_piece(t, inner(&w, f.bytes)));
        else if (f.number == 2 && f.type == 2)
            MT_TRY(read_trainer(inner(&w, f.bytes), &s));
        else if (f.number == 3 && f.type == 2)
            MT_TRY(read_normalizer(inner(&w, f.bytes), &in));
        else if (f.number == 5 && f.type == 2)
            MT_TRY(read_normalizer(inner(&w, f.bytes), &back));
    }
    if (!t->vocab.size) return mt_fail(err, MT_EMISSING, "the SentencePiece model has no pieces");
    if (in.escape) t->mark = mt_str_of(MT_MARK);
    t->byte_fallback = s.byte_fallback != 0;
    t->fuse_unk = true;
    t->spans_to_next = true;
    t->bos = role(t, s.bos, "<s>");
    t->eos = role(t, s.eos, "</s>");
    if (t->byte_fallback) MT_TRY(mt_tok_find_byte_tokens(t, err));
    if (s.model == 1) {
        t->model_name = "Unigram";
        t->segmenter = &mt_segmenter_unigram;
        t->unigram.single = t->unigram.fuse = true;
    } else if (s.model == 2) {
        t->model_name = "SentencePiece BPE";
        t->segmenter = &mt_segmenter_bpe;
        MT_TRY(mt_tok_rank_by_score(t, err));
    } else if (s.model == 3 || s.model == 4) {
        t->model_name = s.model == 3 ? "SentencePiece words" : "SentencePiece characters";
        t->segmenter = s.model == 3 ? &mt_segmenter_spm_words : &mt_segmenter_spm_characters;
    } else {
        return mt_fail(err, MT_EUNKNOWN,
                       "SentencePiece model type %llu (known: 1 Unigram, 2 BPE, 3 words, 4 characters)",
                       (unsigned long long)s.model);
    }
    mt_norm *norm = mt_tok_add_norm(t, MT_NORM_SPM, err);
    if (!norm) return MT_ENOMEM;
    norm->squeeze = in.squeeze;
    norm->prefix = in.prefix;
    norm->suffix_mark = s.suffix != 0;
    if (in.map.n) {
        mt_charsmap *map;
        MT_TRY(mt_charsmap_load(t, in.map, &map, err));
        t->norm[0].map = map;
    }
    if (back.map.n) {
        t->denormalize = mt_arena_alloc(&t->arena, sizeof *t->denormalize);
        if (!t->denormalize) return mt_nomem(err, sizeof *t->denormalize, "the denormalizer");
        *t->denormalize = (mt_norm){.kind = MT_NORM_SPM, .squeeze = back.squeeze, .prefix = back.prefix, .plain = true};
        MT_TRY(mt_charsmap_load(t, back.map, &t->denormalize->map, err));
    }
    mt_decoder *d = mt_tok_add_decoder(t, MT_DECODE_SPM, err);
    if (!d) return MT_ENOMEM;
    d->prefix = in.prefix || in.squeeze;
    d->stop = in.squeeze;
    d->cleanup = true;
    MT_TRY(mt_tok_copy(t, s.unk_surface, &d->extra, err));
    MT_TRY(mt_tok_finish(t, err));
    return add_user_pieces(t, s.model == 2 || s.model == 4, err);
}

mt_status mt_tok_load_spm(const uint8_t *p, size_t n, mt_tok **out, mt_error *err) {
    mt_tok *t;
    *out = NULL;
    MT_TRY(mt_tok_new(&t, err));
    mt_status status = load(t, p, n, err);
    if (status != MT_OK) {
        mt_tok_free(t);
        return status;
    }
    *out = t;
    return MT_OK;
}
