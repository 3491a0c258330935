/* tokenizer.json: decoders become steps, post-processors a template around the ids. */
#include "load_json.h"

/* ---- decoders ---- */

mt_status mt_json_decoder(mt_json_reader *r) {
    mt_json *j = &r->j;
    mt_str key;
    if (mt_json_null(j)) return MT_OK;
    r->has_decoder = true;
    mt_str type = mt_json_type_ahead(r), prefix = mt_str_of("##"), suffix = mt_str_of("</w>"), pad = mt_str_of("<pad>"),
           delimiter = mt_str_of("|");
    mt_decoder step = {.cleanup = true};
    step.content = step.extra = mt_str_of("");
    mt_json_metaspace meta = {mt_str_of(MT_MARK), true, false, true, mt_str_of("")};
    MT_TRY(mt_json_object(j));
    while (mt_json_key(j, &key)) {
        if (mt_str_is(key, "decoders")) {
            MT_TRY(mt_json_array(j));
            while (mt_json_next(j)) MT_TRY(mt_json_decoder(r));
        } else if (mt_str_is(key, "pattern"))
            MT_TRY(mt_json_pattern(r, &step.pattern));
        else if (mt_str_is(key, "content"))
            MT_TRY(mt_tok_copy(r->t, mt_json_string(j), &step.content, r->err));
        else if (mt_str_is(key, "start") || mt_str_is(key, "stop")) {
            int64_t n = mt_json_int(j);
            if (j->status == MT_OK && n < 0) return mt_json_fail(j, MT_ERANGE, "Strip of %lld", (long long)n);
            *(mt_str_is(key, "start") ? &step.start : &step.stop) = (size_t)n;
        } else if (mt_str_is(key, "prefix"))
            prefix = mt_json_string(j);
        else if (mt_str_is(key, "suffix"))
            suffix = mt_json_string(j);
        else if (mt_str_is(key, "cleanup"))
            step.cleanup = mt_json_bool(j);
        else if (mt_str_is(key, "pad_token"))
            pad = mt_json_string(j);
        else if (mt_str_is(key, "word_delimiter_token"))
            delimiter = mt_json_string(j);
        else if (mt_str_is(key, "replacement"))
            meta.mark = mt_json_string(j);
        else if (mt_str_is(key, "prepend_scheme"))
            meta.scheme = mt_json_optional_string(r);
        else if (mt_str_is(key, "add_prefix_space")) {
            meta.add_prefix_set = !mt_json_null(j);
            if (meta.add_prefix_set) meta.add_prefix = mt_json_bool(j);
        } else
            MT_TRY(mt_json_skip(j));
    }
    MT_TRY(j->status);
    if (mt_str_is(type, "Sequence")) return MT_OK;
    if (mt_str_is(type, "ByteLevel"))
        step.kind = MT_DECODE_BYTE_LEVEL;
    else if (mt_str_is(type, "Replace"))
        step.kind = MT_DECODE_REPLACE;
    else if (mt_str_is(type, "Strip"))
        step.kind = MT_DECODE_STRIP;
    else if (mt_str_is(type, "Fuse"))
        step.kind = MT_DECODE_FUSE;
    else if (mt_str_is(type, "ByteFallback"))
        step.kind = MT_DECODE_BYTE_FALLBACK;
    else if (mt_str_is(type, "WordPiece")) {
        step.kind = MT_DECODE_WORDPIECE;
        MT_TRY(mt_tok_copy(r->t, prefix, &step.content, r->err));
    } else if (mt_str_is(type, "BPEDecoder")) {
        step.kind = MT_DECODE_BPE;
        MT_TRY(mt_tok_literal(r->t, suffix, &step.pattern, r->err));
    } else if (mt_str_is(type, "CTC")) {
        step.kind = MT_DECODE_CTC;
        MT_TRY(mt_tok_copy(r->t, pad, &step.content, r->err));
        MT_TRY(mt_tok_copy(r->t, delimiter, &step.extra, r->err));
    } else if (mt_str_is(type, "Metaspace")) {
        bool always, first;
        step.kind = MT_DECODE_METASPACE;
        MT_TRY(mt_json_scheme(r, &meta, &always, &first));
        step.prefix = always || first;
        MT_TRY(mt_tok_literal(r->t, meta.mark, &step.pattern, r->err));
    } else {
        return mt_json_unknown(
            r, "decoder", type,
            "Sequence, ByteLevel, Replace, Strip, Fuse, ByteFallback, WordPiece, BPEDecoder, CTC, Metaspace");
    }
    mt_decoder *d = mt_tok_add_decoder(r->t, step.kind, r->err);
    if (!d) return MT_ENOMEM;
    *d = step;
    return MT_OK;
}

/* ---- post-processors ---- */

static mt_status add_frame(mt_json_reader *r, mt_str name) {
    MT_TRY(mt_grow((void **)&r->frame, &r->frame_cap, r->frame_len + 1, sizeof *r->frame, r->err));
    return mt_tok_copy(r->t, name, &r->frame[r->frame_len++], r->err);
}

static struct mt_json_named *add_named(mt_json_reader *r, mt_str name) {
    if (mt_grow((void **)&r->named, &r->named_cap, r->named_len + 1, sizeof *r->named, r->err) != MT_OK) return NULL;
    struct mt_json_named *n = &r->named[r->named_len];
    *n = (struct mt_json_named){0};
    if (mt_tok_copy(r->t, name, &n->name, r->err) != MT_OK) return NULL;
    r->named_len++;
    return n;
}

/* ["[SEP]", 102] */
static mt_status read_pair(mt_json_reader *r, mt_str *name, int64_t *id) {
    mt_json *j = &r->j;
    MT_TRY(mt_json_array(j));
    if (mt_json_next(j)) *name = mt_json_string(j);
    if (mt_json_next(j)) *id = mt_json_int(j);
    if (mt_json_next(j)) return mt_json_fail(j, MT_EFORMAT, "expected a pair of a token and its id");
    return j->status;
}

static mt_status add_fixed(mt_json_reader *r, mt_str name, int64_t id) {
    struct mt_json_named *n = add_named(r, name);
    if (!n) return MT_ENOMEM;
    if (id < 0 || id >= MT_MAX_TOKENS) return mt_json_fail(&r->j, MT_ERANGE, "token id %lld", (long long)id);
    MT_TRY(mt_ids_add(&n->ids, (int32_t)id, r->err));
    return MT_OK;
}

static mt_status read_template(mt_json_reader *r) {
    mt_json *j = &r->j;
    mt_str key;
    MT_TRY(mt_json_array(j));
    while (mt_json_next(j)) {
        MT_TRY(mt_json_object(j));
        while (mt_json_key(j, &key)) {
            bool special = mt_str_is(key, "SpecialToken");
            if (!special && !mt_str_is(key, "Sequence"))
                return mt_json_unknown(r, "template item", key, "SpecialToken, Sequence");
            mt_str inner, id = mt_str_of("");
            MT_TRY(mt_json_object(j));
            while (mt_json_key(j, &inner)) {
                if (mt_str_is(inner, "id"))
                    id = mt_json_string(j);
                else
                    MT_TRY(mt_json_skip(j));
            }
            MT_TRY(j->status);
            MT_TRY(add_frame(r, special ? id : mt_str_of("")));
        }
    }
    return j->status;
}

static mt_status read_special_tokens(mt_json_reader *r) {
    mt_json *j = &r->j;
    mt_str name, key;
    MT_TRY(mt_json_object(j));
    while (mt_json_key(j, &name)) {
        struct mt_json_named *n = add_named(r, name);
        if (!n) return MT_ENOMEM;
        MT_TRY(mt_json_object(j));
        while (mt_json_key(j, &key)) {
            if (!mt_str_is(key, "ids")) {
                MT_TRY(mt_json_skip(j));
                continue;
            }
            MT_TRY(mt_json_array(j));
            while (mt_json_next(j)) {
                int64_t id = mt_json_int(j);
                MT_TRY(j->status);
                if (id < 0 || id >= MT_MAX_TOKENS) return mt_json_fail(j, MT_ERANGE, "token id %lld", (long long)id);
                MT_TRY(mt_ids_add(&n->ids, (int32_t)id, r->err));
            }
        }
    }
    return j->status;
}

mt_status mt_json_post(mt_json_reader *r) {
    mt_json *j = &r->j;
    mt_str key;
    if (mt_json_null(j)) return MT_OK;
    mt_str type = mt_json_type_ahead(r), sep = mt_str_of(""), cls = mt_str_of("");
    int64_t sep_id = -1, cls_id = -1;
    bool trim = true, prefix = true;
    MT_TRY(mt_json_object(j));
    while (mt_json_key(j, &key)) {
        if (mt_str_is(key, "processors")) {
            MT_TRY(mt_json_array(j));
            while (mt_json_next(j)) MT_TRY(mt_json_post(r));
        } else if (mt_str_is(key, "single")) {
            r->frame_len = 0;
            MT_TRY(read_template(r));
        } else if (mt_str_is(key, "special_tokens"))
            MT_TRY(read_special_tokens(r));
        else if (mt_str_is(key, "sep"))
            MT_TRY(read_pair(r, &sep, &sep_id));
        else if (mt_str_is(key, "cls"))
            MT_TRY(read_pair(r, &cls, &cls_id));
        else if (mt_str_is(key, "trim_offsets"))
            trim = mt_json_bool(j);
        else if (mt_str_is(key, "add_prefix_space"))
            prefix = mt_json_bool(j);
        else
            MT_TRY(mt_json_skip(j));
    }
    MT_TRY(j->status);
    bool roberta = mt_str_is(type, "RobertaProcessing");
    if (mt_str_is(type, "Sequence") || mt_str_is(type, "TemplateProcessing")) return MT_OK;
    if (mt_str_is(type, "ByteLevel") || roberta) {
        if (trim) {
            r->t->trim_spans = true;
            r->t->trim_keeps_prefix = prefix;
        }
        if (!roberta) return MT_OK;
    }
    if (!roberta && !mt_str_is(type, "BertProcessing"))
        return mt_json_unknown(r, "post-processor", type,
                               "Sequence, ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing");
    r->frame_len = 0;
    MT_TRY(add_fixed(r, cls, cls_id));
    MT_TRY(add_fixed(r, sep, sep_id));
    MT_TRY(add_frame(r, cls));
    MT_TRY(add_frame(r, mt_str_of("")));
    return add_frame(r, sep);
}

mt_status mt_json_settle_frame(mt_json_reader *r) {
    mt_tok *t = r->t;
    bool seen = false;
    for (size_t i = 0; i < r->frame_len; i++) {
        if (!r->frame[i].n) {
            seen = true;
            continue;
        }
        const struct mt_json_named *n = NULL;
        for (size_t k = 0; k < r->named_len; k++)
            if (mt_str_eq(r->named[k].name, r->frame[i])) n = &r->named[k];
        char shown[80];
        if (!n)
            return mt_fail(r->err, MT_EMISSING, "the template's special token \"%s\" has no ids",
                           mt_str_show(r->frame[i], shown, sizeof shown));
        for (size_t k = 0; k < n->ids.len; k++) {
            if (n->ids.data[k] >= t->vocab.size)
                return mt_fail(r->err, MT_ERANGE, "the template's special token \"%s\" has id %d of %d",
                               mt_str_show(r->frame[i], shown, sizeof shown), n->ids.data[k], t->vocab.size);
            MT_TRY(mt_ids_add(seen ? &t->after : &t->before, n->ids.data[k], r->err));
        }
    }
    return MT_OK;
}
