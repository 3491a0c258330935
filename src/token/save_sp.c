/* SentencePiece's .model: a protocol buffer. Fields used (number, wire type):
 *
 *   model       1 piece (repeated message)   2 trainer spec   3 normalizer spec
 *   piece       1 text   2 score (float)   3 type: 1 normal 2 unknown 3 control 4 user 5 unused 6 byte
 *   trainer     3 model type: 1 unigram 2 BPE   4 vocab size   10 character coverage   24 space as suffix
 *               35 byte fallback   40..43 ids of unk, bos, eos, pad   45..48 their pieces
 *   normalizer  1 name   2 compiled rules   3 dummy prefix   4 remove extra spaces   5 escape spaces */
#include "save.h"

static mt_status varint(mt_buf *b, uint64_t value, mt_error *err) {
    for (; value >= 0x80; value >>= 7) MT_TRY(mt_buf_byte(b, (uint8_t)(value | 0x80), err));
    return mt_buf_byte(b, (uint8_t)value, err);
}

static mt_status put_int(mt_buf *b, uint32_t field, int64_t value, mt_error *err) {
    MT_TRY(varint(b, field << 3, err));
    return varint(b, (uint64_t)value, err);
}

static mt_status put_float(mt_buf *b, uint32_t field, float value, mt_error *err) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint8_t raw[4] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16), (uint8_t)(bits >> 24)};
    MT_TRY(varint(b, field << 3 | 5, err));
    return mt_buf_add(b, raw, 4, err);
}

static mt_status put_bytes(mt_buf *b, uint32_t field, mt_str s, mt_error *err) {
    MT_TRY(varint(b, field << 3 | 2, err));
    MT_TRY(varint(b, s.n, err));
    return s.n ? mt_buf_add(b, s.p, s.n, err) : MT_OK;
}

static int piece_type(const mt_vocabulary *v, const mt_save_sp_options *o, size_t id) {
    if ((int64_t)id == o->unknown) return 2;
    if ((int64_t)id == o->bos || (int64_t)id == o->eos || (int64_t)id == o->pad) return 3;
    switch (v->kind ? v->kind[id] : MT_TOKEN_NORMAL) {
    case MT_TOKEN_UNKNOWN:
        return 2;
    case MT_TOKEN_SPECIAL:
        return 3;
    case MT_TOKEN_USER:
        return 4;
    case MT_TOKEN_UNUSED:
    case MT_TOKEN_HOLE:
        return 5;
    case MT_TOKEN_BYTE:
        return 6;
    default:
        return 1;
    }
}

static mt_status put_pieces(const mt_vocabulary *v, const mt_save_sp_options *o, mt_buf *out, mt_buf *part,
                            mt_error *err) {
    char shown[48];
    int unknowns = 0, bytes = 0;
    for (size_t i = 0; i < v->len; i++) {
        int type = piece_type(v, o, i);
        unknowns += type == 2;
        bytes += type == 6;
        if (!v->token[i].n || !mt_utf8_valid(v->token[i].p, v->token[i].n))
            return mt_fail(err, MT_EFORMAT, "piece %zu (%s) is empty or not UTF-8", i,
                           mt_str_show(v->token[i], shown, sizeof shown));
        part->len = 0;
        MT_TRY(put_bytes(part, 1, v->token[i], err));
        MT_TRY(put_float(part, 2, v->score ? (float)v->score[i] : 0, err));
        if (type != 1) MT_TRY(put_int(part, 3, type, err));
        MT_TRY(put_bytes(out, 1, (mt_str){part->data, part->len}, err));
    }
    if (unknowns != 1) return mt_fail(err, MT_EMISSING, "%d unknown pieces, expected exactly one", unknowns);
    if (o->byte_fallback ? bytes != 256 : bytes != 0)
        return mt_fail(err, MT_EMISSING, "%d byte pieces, expected %d", bytes, o->byte_fallback ? 256 : 0);
    return MT_OK;
}

static mt_status put_trainer(const mt_vocabulary *v, const mt_save_sp_options *o, mt_buf *b, mt_error *err) {
    MT_TRY(put_int(b, 3, o->model == MT_SAVE_UNIGRAM ? 1 : 2, err));
    MT_TRY(put_int(b, 4, (int64_t)v->len, err));
    if (o->character_coverage > 0) MT_TRY(put_float(b, 10, (float)o->character_coverage, err));
    if (o->space_as_suffix) MT_TRY(put_int(b, 24, 1, err));
    MT_TRY(put_int(b, 35, o->byte_fallback, err));
    int32_t ids[4] = {o->unknown, o->bos, o->eos, o->pad};
    for (uint32_t i = 0; i < 4; i++) MT_TRY(put_int(b, 40 + i, ids[i] < 0 ? -1 : ids[i], err));
    for (uint32_t i = 0; i < 4; i++)
        if (ids[i] >= 0) MT_TRY(put_bytes(b, 45 + i, v->token[ids[i]], err));
    return MT_OK;
}

mt_status mt_save_sp(const mt_vocabulary *v, const mt_save_sp_options *o, mt_buf *out, mt_error *err) {
    if (o->model != MT_SAVE_BPE && o->model != MT_SAVE_UNIGRAM)
        return mt_fail(err, MT_EUNKNOWN, "model kind %d, expected BPE or Unigram", (int)o->model);
    if (!v->score) return mt_fail(err, MT_EMISSING, "SentencePiece's pieces need scores");
    int32_t ids[4] = {o->unknown, o->bos, o->eos, o->pad};
    for (int i = 0; i < 4; i++)
        if (ids[i] >= 0 && (size_t)ids[i] >= v->len)
            return mt_fail(err, MT_ERANGE, "id %d of %zu pieces", ids[i], v->len);
    size_t begin = out->len;
    mt_buf part = {0};
    mt_status status = MT_OK;
    MT_TRY_GOTO(put_pieces(v, o, out, &part, err), done);
    part.len = 0;
    MT_TRY_GOTO(put_trainer(v, o, &part, err), done);
    MT_TRY_GOTO(put_bytes(out, 2, (mt_str){part.data, part.len}, err), done);
    part.len = 0;
    MT_TRY_GOTO(put_bytes(&part, 1, mt_str_of(o->normalizer ? o->normalizer : "identity"), err), done);
    if (o->charsmap.n) MT_TRY_GOTO(put_bytes(&part, 2, o->charsmap, err), done);
    MT_TRY_GOTO(put_int(&part, 3, !o->no_dummy_prefix, err), done);
    MT_TRY_GOTO(put_int(&part, 4, !o->keep_extra_spaces, err), done);
    MT_TRY_GOTO(put_int(&part, 5, 1, err), done);
    MT_TRY_GOTO(put_bytes(out, 3, (mt_str){part.data, part.len}, err), done);
done:
    mt_buf_free(&part);
    if (status != MT_OK) out->len = begin;
    return status;
}
