/* tokenizer.json. Token ids are positions in the vocabulary. Merges are written as pairs of strings, the form that can
 * hold tokens with spaces. Scores have 17 digits: they come back bit for bit. */
#include "save.h"
#include "../base/json.h"

static mt_status put(mt_buf *out, const char *text, mt_error *err) {
    return mt_buf_add(out, text, strlen(text), err);
}

static mt_status put_string(mt_buf *out, mt_str s, mt_error *err) {
    char shown[48];
    if (!mt_utf8_valid(s.p, s.n))
        return mt_fail(
            err, MT_EFORMAT,
            "token %s is not UTF-8: tokenizer.json cannot hold it (byte-level vocabularies write bytes in their "
            "printable alphabet)",
            mt_str_show(s, shown, sizeof shown));
    MT_TRY(mt_buf_byte(out, '"', err));
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (c == '"' || c == '\\') {
            MT_TRY(mt_buf_byte(out, '\\', err));
            MT_TRY(mt_buf_byte(out, c, err));
        } else if (c < 0x20 || c == 0x7F) {
            MT_TRY(mt_buf_printf(out, err, "\\u%04x", c));
        } else {
            MT_TRY(mt_buf_byte(out, c, err));
        }
    }
    return mt_buf_byte(out, '"', err);
}

static mt_status put_text(mt_buf *out, const char *text, mt_error *err) {
    return text ? put_string(out, mt_str_of(text), err) : put(out, "null", err);
}

static mt_status put_bool(mt_buf *out, const char *key, bool value, mt_error *err) {
    return mt_buf_printf(out, err, "\"%s\": %s", key, value ? "true" : "false");
}

static mt_status put_part(mt_buf *out, const char *key, const char *json, mt_error *err) {
    MT_TRY(mt_buf_printf(out, err, "  \"%s\": ", key));
    if (json) { /* a fragment that does not parse would spoil the whole file */
        mt_json j;
        mt_json_open(&j, (const uint8_t *)json, strlen(json), err);
        mt_json_skip(&j);
        if (mt_json_close(&j) != MT_OK) return mt_fail_in(err, "the %s", key);
    }
    MT_TRY(put(out, json ? json : "null", err));
    return put(out, ",\n", err);
}

static mt_status put_added(const mt_vocabulary *v, const mt_save_json_options *o, mt_buf *out, mt_error *err) {
    MT_TRY(put(out, "  \"added_tokens\": [", err));
    bool first = true;
    for (size_t i = 0; i < v->len; i++) {
        int kind = v->kind ? v->kind[i] : MT_TOKEN_NORMAL;
        bool special = i < o->special_len || kind == MT_TOKEN_SPECIAL || kind == MT_TOKEN_UNKNOWN;
        if (!special && kind != MT_TOKEN_USER) continue;
        MT_TRY(mt_buf_printf(out, err, "%s\n    {\"id\": %zu, \"content\": ", first ? "" : ",", i));
        MT_TRY(put_string(out, v->token[i], err));
        MT_TRY(
            put(out, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, ", err));
        MT_TRY(put_bool(out, "special", special, err));
        MT_TRY(put(out, "}", err));
        first = false;
    }
    return put(out, first ? "],\n" : "\n  ],\n", err);
}

static int32_t find(const mt_vocabulary *v, const char *text) {
    for (size_t i = 0; text && i < v->len; i++)
        if (mt_str_is(v->token[i], text)) return (int32_t)i;
    return -1;
}

static mt_status put_vocab(const mt_vocabulary *v, mt_buf *out, mt_error *err) {
    MT_TRY(put(out, "    \"vocab\": {", err));
    for (size_t i = 0; i < v->len; i++) {
        MT_TRY(put(out, i ? ",\n      " : "\n      ", err));
        MT_TRY(put_string(out, v->token[i], err));
        MT_TRY(mt_buf_printf(out, err, ": %zu", i));
    }
    return put(out, "\n    }", err);
}

static mt_status put_model(const mt_vocabulary *v, const mt_save_json_options *o, mt_buf *out, mt_error *err) {
    int32_t unknown = find(v, o->unknown);
    if (o->unknown && unknown < 0)
        return mt_fail(err, MT_EMISSING, "the unknown token \"%s\" is not in the vocabulary", o->unknown);
    switch (o->model) {
    case MT_SAVE_BPE:
        MT_TRY(put(out, "    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": ", err));
        MT_TRY(put_text(out, o->unknown, err));
        MT_TRY(put(out, ",\n    \"continuing_subword_prefix\": ", err));
        MT_TRY(put_text(out, o->prefix, err));
        MT_TRY(put(out, ",\n    \"end_of_word_suffix\": ", err));
        MT_TRY(put_text(out, o->suffix, err));
        MT_TRY(put(out, ",\n    ", err));
        MT_TRY(put_bool(out, "fuse_unk", o->fuse_unknown, err));
        MT_TRY(put(out, ",\n    ", err));
        MT_TRY(put_bool(out, "byte_fallback", o->byte_fallback, err));
        MT_TRY(put(out, ",\n    ", err));
        MT_TRY(put_bool(out, "ignore_merges", o->ignore_merges, err));
        MT_TRY(put(out, ",\n", err));
        MT_TRY(put_vocab(v, out, err));
        MT_TRY(put(out, ",\n    \"merges\": [", err));
        for (size_t i = 0; i < v->merge_len; i++) {
            MT_TRY(put(out, i ? ",\n      [" : "\n      [", err));
            MT_TRY(put_string(out, v->token[v->merge[i].left], err));
            MT_TRY(put(out, ", ", err));
            MT_TRY(put_string(out, v->token[v->merge[i].right], err));
            MT_TRY(put(out, "]", err));
        }
        return put(out, "\n    ]\n", err);
    case MT_SAVE_WORDPIECE:
    case MT_SAVE_WORDLEVEL:
        if (unknown < 0) return mt_fail(err, MT_EMISSING, "a vocabulary of whole words needs an unknown token");
        MT_TRY(mt_buf_printf(out, err, "    \"type\": \"%s\",\n    \"unk_token\": ",
                             o->model == MT_SAVE_WORDPIECE ? "WordPiece" : "WordLevel"));
        MT_TRY(put_text(out, o->unknown, err));
        if (o->model == MT_SAVE_WORDPIECE) {
            MT_TRY(put(out, ",\n    \"continuing_subword_prefix\": ", err));
            MT_TRY(put_text(out, o->prefix ? o->prefix : "##", err));
            MT_TRY(mt_buf_printf(out, err, ",\n    \"max_input_chars_per_word\": %d",
                                 o->longest_word > 0 ? o->longest_word : 100));
        }
        MT_TRY(put(out, ",\n", err));
        MT_TRY(put_vocab(v, out, err));
        return put(out, "\n", err);
    case MT_SAVE_UNIGRAM:
        if (!v->score) return mt_fail(err, MT_EMISSING, "a Unigram vocabulary needs scores");
        MT_TRY(put(out, "    \"type\": \"Unigram\",\n    \"unk_id\": ", err));
        MT_TRY(unknown < 0 ? put(out, "null", err) : mt_buf_printf(out, err, "%d", unknown));
        MT_TRY(put(out, ",\n    ", err));
        MT_TRY(put_bool(out, "byte_fallback", o->byte_fallback, err));
        MT_TRY(put(out, ",\n    \"vocab\": [", err));
        for (size_t i = 0; i < v->len; i++) {
            MT_TRY(put(out, i ? ",\n      [" : "\n      [", err));
            MT_TRY(put_string(out, v->token[i], err));
            MT_TRY(mt_buf_printf(out, err, ", %.17g]", v->score[i]));
        }
        return put(out, "\n    ]\n", err);
    }
    return mt_fail(err, MT_EUNKNOWN, "model kind %d", (int)o->model);
}

mt_status mt_save_json(const mt_vocabulary *v, const mt_save_json_options *o, mt_buf *out, mt_error *err) {
    size_t begin = out->len;
    mt_status status = MT_OK;
    MT_TRY_GOTO(put(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n", err), fail);
    MT_TRY_GOTO(put_added(v, o, out, err), fail);
    MT_TRY_GOTO(put_part(out, "normalizer", o->normalizer, err), fail);
    MT_TRY_GOTO(put_part(out, "pre_tokenizer", o->pre_tokenizer, err), fail);
    MT_TRY_GOTO(put_part(out, "post_processor", o->post_processor, err), fail);
    MT_TRY_GOTO(put_part(out, "decoder", o->decoder, err), fail);
    MT_TRY_GOTO(put(out, "  \"model\": {\n", err), fail);
    MT_TRY_GOTO(put_model(v, o, out, err), fail);
    MT_TRY_GOTO(put(out, "  }\n}\n", err), fail);
    return MT_OK;
fail:
    out->len = begin;
    return status;
}
