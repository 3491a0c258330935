/* tokenizer.json: decoders become steps, post-processors a template around the ids. */
#include "load_json.h"

/* ---- decoders ---- */

static const char *const decoder_signs[][2] = {
    {"decoders", "Sequence"}, {"suffix", "BPEDecoder"}, {"pad_token", "CTC"}, {"cleanup", "WordPiece"},
    {"pattern", "Replace"},   {"start", "Strip"},       {NULL, NULL}};

mt_status mt_json_decoder(mt_json_reader *r) {
    mt_json *j = &r->j;
    mt_str key;
    if (mt_json_null(j)) return MT_OK;
    r->has_decoder = true;
    mt_str type = mt_json_type_ahead(r, decoder_signs), prefix = mt_str_of("##"), suffix = mt_str_of("</w>"),
           pad = mt_str_of("<pad>"), delimiter = mt_str_of("|");
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
        } else if (mt_str_is(key, "trim_offsets") || mt_str_is(key, "use_regex") || mt_str_is(key, "split"))
            MT_TRY(mt_json_skip(j)); /* of ByteLevel and Metaspace as pre-tokenizers, written here too */
        else
            MT_TRY(mt_json_overlook(r, type, key));
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

/* An item of the template for one text or for two: a text, or a special token by its name. */
static mt_status add_frame(mt_json_reader *r, bool pair, int32_t text, mt_str name, uint32_t type) {
    enum { FRAMES_MOST = 4096 }; /* each is written around every text */
    if (r->frame_len == FRAMES_MOST)
        return mt_json_fail(&r->j, MT_ELIMIT, "templates of more than %d items", (int)FRAMES_MOST);
    MT_TRY(mt_grow((void **)&r->frame, &r->frame_cap, r->frame_len + 1, sizeof *r->frame, r->err));
    struct mt_json_frame *f = &r->frame[r->frame_len];
    *f = (struct mt_json_frame){.pair = pair, .text = text, .type = type};
    MT_TRY(mt_tok_copy(r->t, name, &f->name, r->err));
    r->frame_len++;
    return MT_OK;
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

/* {"SpecialToken": {"id": "[CLS]", "type_id": 0}} or {"Sequence": {"id": "B", "type_id": 1}} */
static mt_status read_template(mt_json_reader *r, bool pair) {
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
            int64_t type = 0;
            MT_TRY(mt_json_object(j));
            while (mt_json_key(j, &inner)) {
                if (mt_str_is(inner, "id"))
                    id = mt_json_string(j);
                else if (mt_str_is(inner, "type_id"))
                    type = mt_json_int(j);
                else
                    MT_TRY(mt_json_skip(j));
            }
            MT_TRY(j->status);
            if (type < 0 || type > UINT32_MAX) return mt_json_fail(j, MT_ERANGE, "type_id %lld", (long long)type);
            bool second = mt_str_is(id, "B");
            if (!special && !second && !mt_str_is(id, "A")) return mt_json_unknown(r, "sequence", id, "A, B");
            if (!special && second && !pair)
                return mt_json_fail(j, MT_EFORMAT, "the template for one text has the second text in it");
            MT_TRY(add_frame(r, pair, special ? -1 : second, id, (uint32_t)type));
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

/* BERT: [CLS] A [SEP] and B:1 [SEP]:1. RoBERTa: <s> A </s> and </s> B </s>, all of segment 0. */
static mt_status add_classifier(mt_json_reader *r, mt_str cls, mt_str sep, bool roberta) {
    for (int pair = 0; pair < 2; pair++) {
        MT_TRY(add_frame(r, pair, -1, cls, 0));
        MT_TRY(add_frame(r, pair, 0, mt_str_of(""), 0));
        MT_TRY(add_frame(r, pair, -1, sep, 0));
    }
    if (roberta) MT_TRY(add_frame(r, true, -1, sep, 0));
    MT_TRY(add_frame(r, true, 1, mt_str_of(""), !roberta));
    return add_frame(r, true, -1, sep, !roberta);
}

static mt_status add_trim(mt_json_reader *r, bool keeps_prefix) {
    mt_tok *t = r->t;
    if (t->trims == sizeof t->trim_prefix)
        return mt_json_fail(&r->j, MT_ELIMIT, "more than %zu post-processors trim offsets", sizeof t->trim_prefix);
    t->trim_prefix[t->trims++] = keeps_prefix;
    return MT_OK;
}

mt_status mt_json_post(mt_json_reader *r) {
    mt_json *j = &r->j;
    mt_str key;
    if (mt_json_null(j)) return MT_OK;
    mt_str type = mt_json_type_ahead(r, NULL), sep = mt_str_of(""), cls = mt_str_of("");
    int64_t sep_id = -1, cls_id = -1;
    bool trim = true, prefix = true, has_sep = false, has_cls = false, has_trim = false, has_prefix = false,
         has_template = false, sequence = false;
    static const char *const known[] = {"Sequence", "ByteLevel", "TemplateProcessing", "BertProcessing",
                                        "RobertaProcessing"};
    bool is_known = !type.n;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) is_known |= mt_str_is(type, known[i]);
    if (!is_known)
        return mt_json_unknown(r, "post-processor", type,
                               "Sequence, ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing");
    MT_TRY(mt_json_object(j));
    while (mt_json_key(j, &key)) {
        bool single = mt_str_is(key, "single");
        if (mt_str_is(key, "processors")) {
            sequence = true;
            MT_TRY(mt_json_array(j));
            while (mt_json_next(j)) MT_TRY(mt_json_post(r));
        } else if (single || mt_str_is(key, "pair")) {
            if (!has_template && r->has_frame) return mt_json_fail(j, MT_EUNKNOWN, "a template after another one");
            r->has_frame = has_template = true;
            *(single ? &r->t->one.set : &r->t->two.set) = true; /* an empty one too */
            MT_TRY(read_template(r, !single));
        } else if (mt_str_is(key, "special_tokens"))
            MT_TRY(read_special_tokens(r));
        else if (mt_str_is(key, "sep")) {
            has_sep = true;
            MT_TRY(read_pair(r, &sep, &sep_id));
        } else if (mt_str_is(key, "cls")) {
            has_cls = true;
            MT_TRY(read_pair(r, &cls, &cls_id));
        } else if (mt_str_is(key, "trim_offsets"))
            has_trim = true, trim = mt_json_bool(j);
        else if (mt_str_is(key, "add_prefix_space"))
            has_prefix = true, prefix = mt_json_bool(j);
        else if (mt_str_is(key, "use_regex"))
            MT_TRY(mt_json_skip(j));
        else
            MT_TRY(mt_json_overlook(r, type, key));
    }
    MT_TRY(j->status);
    if (sequence || has_template) return MT_OK;
    if (has_sep && has_cls) { /* as the library: what is there decides which of the two it is, not its name */
        bool roberta = has_trim && has_prefix;
        if (r->has_frame) return mt_json_fail(j, MT_EUNKNOWN, "a template after another one");
        r->has_frame = true;
        if (roberta && trim) MT_TRY(add_trim(r, prefix));
        MT_TRY(add_fixed(r, cls, cls_id));
        MT_TRY(add_fixed(r, sep, sep_id));
        return add_classifier(r, cls, sep, roberta);
    }
    if (mt_str_is(type, "ByteLevel")) return trim ? add_trim(r, prefix) : MT_OK;
    if (mt_str_is(type, "Sequence")) return MT_OK;
    char shown[40];
    return mt_json_fail(j, MT_EMISSING, "the post-processor \"%s\" lacks its %s",
                        mt_str_show(type, shown, sizeof shown),
                        mt_str_is(type, "TemplateProcessing") ? "\"single\"" : "\"cls\" or \"sep\"");
}

static mt_status settle_frame(mt_json_reader *r, const mt_map *names) {
    mt_tok *t = r->t;
    for (size_t i = 0; i < r->frame_len; i++) {
        const struct mt_json_frame *f = &r->frame[i];
        mt_template *to = f->pair ? &t->two : &t->one;
        if (f->text >= 0) {
            MT_TRY(mt_template_text(to, f->text, f->type, r->err));
            continue;
        }
        int32_t found;
        char shown[80];
        if (!mt_map_get(names, f->name, &found))
            return mt_fail(r->err, MT_EMISSING, "the template's special token \"%s\" has no ids",
                           mt_str_show(f->name, shown, sizeof shown));
        const struct mt_json_named *n = &r->named[found];
        for (size_t k = 0; k < n->ids.len; k++) {
            if (n->ids.data[k] >= t->vocab.size)
                return mt_fail(r->err, MT_ERANGE, "the template's special token \"%s\" has id %d of %d",
                               mt_str_show(f->name, shown, sizeof shown), n->ids.data[k], t->vocab.size);
            MT_TRY(mt_template_special(to, n->ids.data[k], f->type, r->err));
        }
    }
    return MT_OK;
}

mt_status mt_json_settle_frame(mt_json_reader *r) {
    mt_map names = {0}; /* of equal names the last counts */
    mt_status status = MT_OK;
    if (r->named_len > INT32_MAX) return mt_fail(r->err, MT_ELIMIT, "more than %d special tokens", INT32_MAX);
    for (size_t k = 0; k < r->named_len && status == MT_OK; k++)
        status = mt_map_set(&names, r->named[k].name, (int32_t)k, r->err);
    if (status == MT_OK) status = settle_frame(r, &names);
    mt_map_free(&names);
    return status;
}
