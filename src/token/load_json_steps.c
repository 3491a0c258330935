/* tokenizer.json: normalizers and pre-tokenizers become steps of the pipeline. */
#include "load_json.h"

/* ---- normalizers ---- */

static const uint8_t *decode_base64(mt_json_reader *r, mt_str s, size_t *n) {
    uint8_t *out = mt_arena_alloc(&r->t->arena, s.n / 4 * 3 + 3), *o = out;
    uint32_t bits = 0, count = 0;
    if (!out) {
        r->j.status = mt_nomem(r->err, s.n, "a character map");
        return NULL;
    }
    for (size_t i = 0; i < s.n && s.p[i] != '='; i++) {
        uint8_t c = s.p[i];
        int v = c >= 'A' && c <= 'Z'   ? c - 'A'
                : c >= 'a' && c <= 'z' ? c - 'a' + 26
                : c >= '0' && c <= '9' ? c - '0' + 52
                : c == '+'             ? 62
                : c == '/'             ? 63
                                       : -1;
        if (v < 0) {
            mt_json_fail(&r->j, MT_EFORMAT, "the character map is not base64: byte 0x%02x at %zu", c, i);
            return NULL;
        }
        bits = bits << 6 | (uint32_t)v;
        if (++count % 4 == 0) {
            *o++ = (uint8_t)(bits >> 16);
            *o++ = (uint8_t)(bits >> 8);
            *o++ = (uint8_t)bits;
            bits = 0;
        }
    }
    if (count % 4 == 2) *o++ = (uint8_t)(bits >> 4);
    if (count % 4 == 3) {
        *o++ = (uint8_t)(bits >> 10);
        *o++ = (uint8_t)(bits >> 2);
    }
    *n = (size_t)(o - out);
    return out;
}

static mt_status add_form(mt_json_reader *r, mt_nf form) {
    mt_norm *s = mt_tok_add_norm(r->t, MT_NORM_FORM, r->err);
    if (!s) return MT_ENOMEM;
    s->form = form;
    return MT_OK;
}

static const char *const normalizer_signs[][2] = {{"normalizers", "Sequence"}, {"clean_text", "BertNormalizer"},
                                                  {"strip_left", "Strip"},     {"pattern", "Replace"},
                                                  {"prepend", "Prepend"},      {NULL, NULL}};

mt_status mt_json_normalizer(mt_json_reader *r) {
    mt_json *j = &r->j;
    mt_str key;
    if (mt_json_null(j)) return MT_OK;
    mt_str type = mt_json_type_ahead(r, normalizer_signs);
    mt_norm step = {.left = true, .right = true}, *s;
    step.content = mt_str_of("");
    bool clean = true, cjk = true, lower = true, accents = false, accents_set = false;
    mt_str blob = mt_str_of("");
    MT_TRY(mt_json_object(j));
    while (mt_json_key(j, &key)) {
        if (mt_str_is(key, "normalizers")) {
            MT_TRY(mt_json_array(j));
            while (mt_json_next(j)) MT_TRY(mt_json_normalizer(r));
        } else if (mt_str_is(key, "pattern"))
            MT_TRY(mt_json_pattern(r, &step.pattern));
        else if (mt_str_is(key, "content") || mt_str_is(key, "prepend"))
            MT_TRY(mt_tok_copy(r->t, mt_json_string(j), &step.content, r->err));
        else if (mt_str_is(key, "strip_left"))
            step.left = mt_json_bool(j);
        else if (mt_str_is(key, "strip_right"))
            step.right = mt_json_bool(j);
        else if (mt_str_is(key, "clean_text"))
            clean = mt_json_bool(j);
        else if (mt_str_is(key, "handle_chinese_chars"))
            cjk = mt_json_bool(j);
        else if (mt_str_is(key, "lowercase"))
            lower = mt_json_bool(j);
        else if (mt_str_is(key, "strip_accents")) {
            accents_set = !mt_json_null(j);
            if (accents_set) accents = mt_json_bool(j);
        } else if (mt_str_is(key, "precompiled_charsmap")) {
            const uint8_t *p = decode_base64(r, mt_json_optional_string(r), &blob.n);
            MT_TRY(j->status);
            blob.p = p;
        } else
            MT_TRY(mt_json_overlook(r, type, key));
    }
    MT_TRY(j->status);
    if (mt_str_is(type, "Sequence")) return MT_OK;
    static const char *const forms[] = {"NFC", "NFD", "NFKC", "NFKD"};
    for (int i = 0; i < 4; i++)
        if (mt_str_is(type, forms[i])) return add_form(r, (mt_nf)i);
    if (mt_str_is(type, "BertNormalizer") || mt_str_is(type, "Bert")) {
        if (clean && !mt_tok_add_norm(r->t, MT_NORM_BERT_CLEAN, r->err)) return MT_ENOMEM;
        if (cjk && !mt_tok_add_norm(r->t, MT_NORM_BERT_CJK, r->err)) return MT_ENOMEM;
        if (accents_set ? accents : lower) {
            MT_TRY(add_form(r, MT_NFD));
            if (!mt_tok_add_norm(r->t, MT_NORM_DROP_NONSPACING, r->err)) return MT_ENOMEM;
        }
        if (lower && !mt_tok_add_norm(r->t, MT_NORM_LOWER, r->err)) return MT_ENOMEM;
        return MT_OK;
    }
    static const struct {
        const char *name;
        mt_norm_kind kind;
    } kinds[] = {{"Lowercase", MT_NORM_LOWER},         {"Strip", MT_NORM_STRIP},
                 {"StripAccents", MT_NORM_DROP_MARKS}, {"Prepend", MT_NORM_PREPEND},
                 {"Replace", MT_NORM_REPLACE},         {"Nmt", MT_NORM_NMT},
                 {"Precompiled", MT_NORM_CHARSMAP},    {"ByteLevel", MT_NORM_BYTE_LEVEL}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!mt_str_is(type, kinds[i].name)) continue;
        if (kinds[i].kind == MT_NORM_CHARSMAP) {
            if (!blob.n) return MT_OK; /* an empty map changes nothing */
            MT_TRY(mt_charsmap_load(r->t, blob, &step.map, r->err));
        }
        step.kind = kinds[i].kind;
        s = mt_tok_add_norm(r->t, step.kind, r->err);
        if (!s) return MT_ENOMEM;
        *s = step;
        return MT_OK;
    }
    return mt_json_unknown(
        r, "normalizer", type,
        "Sequence, NFC, NFD, NFKC, NFKD, BertNormalizer, Lowercase, Strip, StripAccents, Prepend, Replace, "
        "Nmt, Precompiled, ByteLevel");
}

/* ---- pre-tokenizers ---- */

static mt_status behavior_of(mt_json_reader *r, mt_str name, mt_split_behavior *out) {
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    for (int i = 0; i < 5; i++)
        if (mt_str_is(name, names[i])) {
            *out = (mt_split_behavior)i;
            return MT_OK;
        }
    return mt_json_unknown(r, "split behavior", name,
                           "Isolated, Removed, MergedWithPrevious, MergedWithNext, Contiguous");
}

/* One mark for all, which the vocabulary is read without; with several, or with the byte alphabet too, text keeps them
 * and the vocabulary stays as it is written (see settle). */
static mt_status set_mark(mt_json_reader *r, mt_str mark) {
    r->as_written |= r->t->mark.n && !mt_str_eq(r->t->mark, mark);
    return mt_tok_copy(r->t, mark, &r->t->mark, r->err);
}

mt_status mt_json_scheme(mt_json_reader *r, const mt_json_metaspace *f, bool *always, bool *first) {
    *always = !f->scheme.n || mt_str_is(f->scheme, "always");
    *first = mt_str_is(f->scheme, "first");
    if (!*always && !*first && !mt_str_is(f->scheme, "never"))
        return mt_json_unknown(r, "prepend_scheme", f->scheme, "always, first, never");
    if (f->add_prefix_set && !f->add_prefix) *always = *first = false;
    return MT_OK;
}

mt_status mt_json_splitter(mt_json_reader *r) {
    mt_json *j = &r->j;
    mt_str key;
    if (mt_json_null(j)) return MT_OK;
    mt_str type = mt_json_type_ahead(r, NULL), behavior = mt_str_of(""), delimiter = mt_str_of("");
    mt_split step = {.invert = false};
    mt_json_metaspace meta = {mt_str_of(MT_MARK), true, false, true, mt_str_of("")};
    bool add_prefix = true, use_regex = true, individual = false;
    step.length = 5;
    MT_TRY(mt_json_object(j));
    while (mt_json_key(j, &key)) {
        if (mt_str_is(key, "pretokenizers")) {
            MT_TRY(mt_json_array(j));
            while (mt_json_next(j)) MT_TRY(mt_json_splitter(r));
        } else if (mt_str_is(key, "pattern"))
            MT_TRY(mt_json_pattern(r, &step.pattern));
        else if (mt_str_is(key, "behavior"))
            behavior = mt_json_string(j);
        else if (mt_str_is(key, "invert"))
            step.invert = mt_json_bool(j);
        else if (mt_str_is(key, "delimiter"))
            delimiter = mt_json_string(j);
        else if (mt_str_is(key, "individual_digits"))
            individual = mt_json_bool(j);
        else if (mt_str_is(key, "use_regex"))
            use_regex = mt_json_bool(j);
        else if (mt_str_is(key, "add_prefix_space")) {
            meta.add_prefix_set = !mt_json_null(j);
            if (meta.add_prefix_set) add_prefix = meta.add_prefix = mt_json_bool(j);
        } else if (mt_str_is(key, "replacement"))
            meta.mark = mt_json_string(j);
        else if (mt_str_is(key, "prepend_scheme"))
            meta.scheme = mt_json_optional_string(r);
        else if (mt_str_is(key, "split"))
            meta.split = mt_json_bool(j);
        else if (mt_str_is(key, "length")) {
            int64_t n = mt_json_int(j);
            if (j->status == MT_OK && n < 1) return mt_json_fail(j, MT_ERANGE, "FixedLength of %lld", (long long)n);
            step.length = (size_t)n;
        } else if (mt_str_is(key, "trim_offsets"))
            MT_TRY(mt_json_skip(j)); /* the post-processor's of that name counts */
        else
            MT_TRY(mt_json_overlook(r, type, key));
    }
    MT_TRY(j->status);
    mt_split *s;
    if (mt_str_is(type, "Sequence")) return MT_OK;
    if (mt_str_is(type, "ByteLevel")) {
        if (add_prefix && !mt_tok_add_split(r->t, MT_SPLIT_PREFIX, r->err)) return MT_ENOMEM;
        if (use_regex) {
            MT_TRY(mt_tok_regex(r->t, mt_str_of(MT_PATTERN_GPT2), &step.pattern, r->err));
            s = mt_tok_add_split(r->t, MT_SPLIT_PATTERN, r->err);
            if (!s) return MT_ENOMEM;
            s->pattern = step.pattern;
            s->behavior = MT_SPLIT_ISOLATED;
        }
        return mt_tok_add_split(r->t, MT_SPLIT_BYTE_LEVEL, r->err) ? MT_OK : MT_ENOMEM;
    }
    if (mt_str_is(type, "Split")) {
        step.kind = MT_SPLIT_PATTERN;
        MT_TRY(behavior_of(r, behavior, &step.behavior));
        if (step.invert && step.behavior == MT_SPLIT_ISOLATED) step.invert = false; /* the same parts */
    } else if (mt_str_is(type, "BertPreTokenizer")) {
        if (!mt_tok_add_split(r->t, MT_SPLIT_SPACES, r->err)) return MT_ENOMEM;
        step.kind = MT_SPLIT_PUNCTUATION;
        step.behavior = MT_SPLIT_ISOLATED;
    } else if (mt_str_is(type, "WhitespaceSplit")) {
        step.kind = MT_SPLIT_SPACES;
    } else if (mt_str_is(type, "Whitespace")) {
        step.kind = MT_SPLIT_PATTERN;
        step.behavior = MT_SPLIT_REMOVED;
        step.invert = true;
        MT_TRY(mt_tok_regex(r->t, mt_str_of("\\w+|[^\\w\\s]+"), &step.pattern, r->err));
    } else if (mt_str_is(type, "Punctuation")) {
        step.kind = MT_SPLIT_PUNCTUATION;
        step.behavior = MT_SPLIT_ISOLATED;
        if (behavior.n) MT_TRY(behavior_of(r, behavior, &step.behavior));
    } else if (mt_str_is(type, "Digits")) {
        step.kind = MT_SPLIT_DIGITS;
        step.behavior = individual ? MT_SPLIT_ISOLATED : MT_SPLIT_CONTIGUOUS;
    } else if (mt_str_is(type, "CharDelimiterSplit")) {
        step.kind = MT_SPLIT_PATTERN;
        step.behavior = MT_SPLIT_REMOVED;
        MT_TRY(mt_tok_literal(r->t, delimiter, &step.pattern, r->err));
    } else if (mt_str_is(type, "UnicodeScripts")) {
        step.kind = MT_SPLIT_SCRIPTS;
    } else if (mt_str_is(type, "FixedLength")) {
        step.kind = MT_SPLIT_FIXED;
    } else if (mt_str_is(type, "Metaspace")) {
        step.kind = MT_SPLIT_METASPACE;
        step.split = meta.split;
        MT_TRY(mt_json_scheme(r, &meta, &step.always, &step.first));
        MT_TRY(mt_tok_literal(r->t, meta.mark, &step.pattern, r->err));
        MT_TRY(set_mark(r, meta.mark));
    } else {
        return mt_json_unknown(
            r, "pre-tokenizer", type,
            "Sequence, ByteLevel, Split, BertPreTokenizer, WhitespaceSplit, Whitespace, Punctuation, Digits, "
            "CharDelimiterSplit, UnicodeScripts, FixedLength, Metaspace");
    }
    s = mt_tok_add_split(r->t, step.kind, r->err);
    if (!s) return MT_ENOMEM;
    *s = step;
    return MT_OK;
}
