/* tokenizer.json of the Hugging Face tokenizers library -> mt_tok. One pass over the JSON: vocabulary and merges go
 * straight into their tables, everything else becomes pipeline steps. What the file asks for and we do not know is an
 * error that names it; truncation and padding are read and reported, not applied.
 *
 * After reading, `settle` looks at the steps as a whole: the byte alphabet and the space mark are taken off where that
 * does not change the result (see tok.h). */
#include <stdio.h>
#include <stdlib.h>

#include "../base/json.h"
#include "tok.h"

typedef struct reader {
    mt_json j;
    mt_tok *t;
    mt_error *err;
    bool has_vocab, list_vocab, has_merges;
    size_t merges_at; /* merges seen before the vocabulary: their place in the file */
    mt_str type, unk_token;
    int64_t unk_id;
    bool unk_id_set, has_decoder, prefix_set;
    double max_chars;
    /* template: names in order, A marked by an empty name */
    mt_str *frame;
    size_t frame_len, frame_cap;
    bool frame_is_ids; /* BertProcessing and RobertaProcessing give ids */
    struct named {
        mt_str name;
        mt_ids ids;
    } *named;
    size_t named_len, named_cap;
    int64_t *declared; /* by added token: the id that the file declares */
    size_t declared_len, declared_cap;
} reader;

static mt_status unknown(reader *r, const char *what, mt_str name, const char *known) {
    char shown[80];
    return mt_json_fail(&r->j, MT_EUNKNOWN, "unknown %s \"%s\" (known: %s)", what,
                        mt_str_show(name, shown, sizeof shown), known);
}

/* The "type" of the object that comes next, without moving. */
static mt_str peek_type(reader *r) {
    mt_json ahead = r->j;
    mt_str key, type = {(const uint8_t *)"", 0};
    ahead.arena = (mt_arena){0};
    mt_error quiet;
    ahead.err = &quiet;
    if (mt_json_object(&ahead) == MT_OK)
        while (mt_json_key(&ahead, &key)) {
            if (mt_str_is(key, "type") && mt_json_peek(&ahead) == MT_JSON_STRING) {
                type = mt_json_string(&ahead);
                break;
            }
            mt_json_skip(&ahead);
        }
    /* a type that was escaped in the file lives in the arena that goes away: none is */
    bool borrowed = type.p >= ahead.begin && type.p < ahead.end;
    mt_arena_free(&ahead.arena);
    return borrowed ? type : mt_str_of("");
}

static bool optional_bool(reader *r) {
    return !mt_json_null(&r->j) && mt_json_bool(&r->j);
}
static mt_str optional_string(reader *r) {
    return mt_json_null(&r->j) ? mt_str_of("") : mt_json_string(&r->j);
}

/* {"String": "..."} or {"Regex": "..."} */
static mt_status read_pattern(reader *r, mt_pattern *out) {
    mt_str key;
    if (mt_json_peek(&r->j) == MT_JSON_STRING) return mt_tok_literal(r->t, mt_json_string(&r->j), out, r->err);
    MT_TRY(mt_json_object(&r->j));
    while (mt_json_key(&r->j, &key)) {
        mt_str s = mt_json_string(&r->j);
        MT_TRY(r->j.status);
        if (mt_str_is(key, "String"))
            MT_TRY(mt_tok_literal(r->t, s, out, r->err));
        else if (mt_str_is(key, "Regex"))
            MT_TRY(mt_tok_regex(r->t, s, out, r->err));
        else
            return unknown(r, "pattern", key, "String, Regex");
    }
    return r->j.status;
}

static const uint8_t *decode_base64(reader *r, mt_str s, size_t *n) {
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

/* ---- normalizers ---- */

static mt_status add_form(reader *r, mt_nf form) {
    mt_norm *s = mt_tok_add_norm(r->t, MT_NORM_FORM, r->err);
    if (!s) return MT_ENOMEM;
    s->form = form;
    return MT_OK;
}

static mt_status read_normalizer(reader *r) {
    mt_json *j = &r->j;
    mt_str key;
    if (mt_json_null(j)) return MT_OK;
    mt_str type = peek_type(r);
    mt_norm step = {.left = true, .right = true}, *s;
    step.content = mt_str_of("");
    bool clean = true, cjk = true, lower = true, accents = false, accents_set = false, sequence = false;
    mt_str blob = mt_str_of("");
    MT_TRY(mt_json_object(j));
    while (mt_json_key(j, &key)) {
        if (mt_str_is(key, "normalizers")) {
            sequence = true;
            MT_TRY(mt_json_array(j));
            while (mt_json_next(j)) MT_TRY(read_normalizer(r));
        } else if (mt_str_is(key, "pattern"))
            MT_TRY(read_pattern(r, &step.pattern));
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
            const uint8_t *p = decode_base64(r, optional_string(r), &blob.n);
            MT_TRY(j->status);
            blob.p = p;
        } else
            MT_TRY(mt_json_skip(j));
    }
    MT_TRY(j->status);
    if (mt_str_is(type, "Sequence") || (sequence && !type.n)) return MT_OK;
    static const char *const forms[] = {"NFC", "NFD", "NFKC", "NFKD"};
    for (int i = 0; i < 4; i++)
        if (mt_str_is(type, forms[i])) return add_form(r, (mt_nf)i);
    if (mt_str_is(type, "BertNormalizer")) {
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
    return unknown(r, "normalizer", type,
                   "Sequence, NFC, NFD, NFKC, NFKD, BertNormalizer, Lowercase, Strip, StripAccents, Prepend, Replace, "
                   "Nmt, Precompiled, ByteLevel");
}

/* ---- pre-tokenizers ---- */

static mt_status behavior_of(reader *r, mt_str name, mt_split_behavior *out) {
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    for (int i = 0; i < 5; i++)
        if (mt_str_is(name, names[i])) {
            *out = (mt_split_behavior)i;
            return MT_OK;
        }
    return unknown(r, "split behavior", name, "Isolated, Removed, MergedWithPrevious, MergedWithNext, Contiguous");
}

static mt_status set_mark(reader *r, mt_str mark) {
    if (r->t->mark.n && !mt_str_eq(r->t->mark, mark))
        return mt_json_fail(&r->j, MT_EUNKNOWN, "two different space marks in one tokenizer");
    return mt_tok_copy(r->t, mark, &r->t->mark, r->err);
}

typedef struct metaspace_fields {
    mt_str mark;
    bool add_prefix, add_prefix_set, split;
    mt_str scheme;
} metaspace_fields;

static mt_status scheme_of(reader *r, const metaspace_fields *f, bool *always, bool *first) {
    *always = !f->scheme.n || mt_str_is(f->scheme, "always");
    *first = mt_str_is(f->scheme, "first");
    if (!*always && !*first && !mt_str_is(f->scheme, "never"))
        return unknown(r, "prepend_scheme", f->scheme, "always, first, never");
    if (f->add_prefix_set && !f->add_prefix) *always = *first = false;
    return MT_OK;
}

static mt_status read_splitter(reader *r) {
    mt_json *j = &r->j;
    mt_str key;
    if (mt_json_null(j)) return MT_OK;
    mt_str type = peek_type(r), behavior = mt_str_of(""), delimiter = mt_str_of("");
    mt_split step = {.invert = false};
    metaspace_fields meta = {mt_str_of(MT_MARK), true, false, true, mt_str_of("")};
    bool add_prefix = true, use_regex = true, individual = false;
    step.length = 5;
    MT_TRY(mt_json_object(j));
    while (mt_json_key(j, &key)) {
        if (mt_str_is(key, "pretokenizers")) {
            MT_TRY(mt_json_array(j));
            while (mt_json_next(j)) MT_TRY(read_splitter(r));
        } else if (mt_str_is(key, "pattern"))
            MT_TRY(read_pattern(r, &step.pattern));
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
            meta.scheme = optional_string(r);
        else if (mt_str_is(key, "split"))
            meta.split = mt_json_bool(j);
        else if (mt_str_is(key, "length")) {
            int64_t n = mt_json_int(j);
            if (j->status == MT_OK && n < 1) return mt_json_fail(j, MT_ERANGE, "FixedLength of %lld", (long long)n);
            step.length = (size_t)n;
        } else
            MT_TRY(mt_json_skip(j));
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
    } else if (mt_str_is(type, "FixedLength")) {
        step.kind = MT_SPLIT_FIXED;
    } else if (mt_str_is(type, "Metaspace")) {
        step.kind = MT_SPLIT_METASPACE;
        step.split = meta.split;
        MT_TRY(scheme_of(r, &meta, &step.always, &step.first));
        MT_TRY(set_mark(r, meta.mark));
    } else {
        return unknown(
            r, "pre-tokenizer", type,
            "Sequence, ByteLevel, Split, BertPreTokenizer, WhitespaceSplit, Whitespace, Punctuation, Digits, "
            "CharDelimiterSplit, FixedLength, Metaspace");
    }
    s = mt_tok_add_split(r->t, step.kind, r->err);
    if (!s) return MT_ENOMEM;
    *s = step;
    return MT_OK;
}

/* ---- decoders ---- */

static mt_status read_decoder(reader *r) {
    mt_json *j = &r->j;
    mt_str key;
    if (mt_json_null(j)) return MT_OK;
    r->has_decoder = true;
    mt_str type = peek_type(r), prefix = mt_str_of("##"), suffix = mt_str_of("</w>"), pad = mt_str_of("<pad>"),
           delimiter = mt_str_of("|");
    mt_decoder step = {.cleanup = true};
    step.content = step.extra = mt_str_of("");
    metaspace_fields meta = {mt_str_of(MT_MARK), true, false, true, mt_str_of("")};
    MT_TRY(mt_json_object(j));
    while (mt_json_key(j, &key)) {
        if (mt_str_is(key, "decoders")) {
            MT_TRY(mt_json_array(j));
            while (mt_json_next(j)) MT_TRY(read_decoder(r));
        } else if (mt_str_is(key, "pattern"))
            MT_TRY(read_pattern(r, &step.pattern));
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
            meta.scheme = optional_string(r);
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
        MT_TRY(scheme_of(r, &meta, &always, &first));
        step.prefix = always || first;
        MT_TRY(mt_tok_literal(r->t, meta.mark, &step.pattern, r->err));
    } else {
        return unknown(
            r, "decoder", type,
            "Sequence, ByteLevel, Replace, Strip, Fuse, ByteFallback, WordPiece, BPEDecoder, CTC, Metaspace");
    }
    mt_decoder *d = mt_tok_add_decoder(r->t, step.kind, r->err);
    if (!d) return MT_ENOMEM;
    *d = step;
    return MT_OK;
}

/* ---- post-processors ---- */

static mt_status add_frame(reader *r, mt_str name) {
    MT_TRY(mt_grow((void **)&r->frame, &r->frame_cap, r->frame_len + 1, sizeof *r->frame, r->err));
    return mt_tok_copy(r->t, name, &r->frame[r->frame_len++], r->err);
}

static struct named *add_named(reader *r, mt_str name) {
    if (mt_grow((void **)&r->named, &r->named_cap, r->named_len + 1, sizeof *r->named, r->err) != MT_OK) return NULL;
    struct named *n = &r->named[r->named_len];
    *n = (struct named){0};
    if (mt_tok_copy(r->t, name, &n->name, r->err) != MT_OK) return NULL;
    r->named_len++;
    return n;
}

/* ["[SEP]", 102] */
static mt_status read_pair(reader *r, mt_str *name, int64_t *id) {
    mt_json *j = &r->j;
    MT_TRY(mt_json_array(j));
    if (mt_json_next(j)) *name = mt_json_string(j);
    if (mt_json_next(j)) *id = mt_json_int(j);
    if (mt_json_next(j)) return mt_json_fail(j, MT_EFORMAT, "expected a pair of a token and its id");
    return j->status;
}

static mt_status add_fixed(reader *r, mt_str name, int64_t id) {
    struct named *n = add_named(r, name);
    if (!n) return MT_ENOMEM;
    if (id < 0 || id >= MT_MAX_TOKENS) return mt_json_fail(&r->j, MT_ERANGE, "token id %lld", (long long)id);
    MT_TRY(mt_ids_add(&n->ids, (int32_t)id, r->err));
    return MT_OK;
}

static mt_status read_template(reader *r) {
    mt_json *j = &r->j;
    mt_str key;
    MT_TRY(mt_json_array(j));
    while (mt_json_next(j)) {
        MT_TRY(mt_json_object(j));
        while (mt_json_key(j, &key)) {
            bool special = mt_str_is(key, "SpecialToken");
            if (!special && !mt_str_is(key, "Sequence"))
                return unknown(r, "template item", key, "SpecialToken, Sequence");
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

static mt_status read_special_tokens(reader *r) {
    mt_json *j = &r->j;
    mt_str name, key;
    MT_TRY(mt_json_object(j));
    while (mt_json_key(j, &name)) {
        struct named *n = add_named(r, name);
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

static mt_status read_post(reader *r) {
    mt_json *j = &r->j;
    mt_str key;
    if (mt_json_null(j)) return MT_OK;
    mt_str type = peek_type(r), sep = mt_str_of(""), cls = mt_str_of("");
    int64_t sep_id = -1, cls_id = -1;
    bool trim = true, prefix = true;
    MT_TRY(mt_json_object(j));
    while (mt_json_key(j, &key)) {
        if (mt_str_is(key, "processors")) {
            MT_TRY(mt_json_array(j));
            while (mt_json_next(j)) MT_TRY(read_post(r));
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
        return unknown(r, "post-processor", type,
                       "Sequence, ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing");
    r->frame_len = 0;
    MT_TRY(add_fixed(r, cls, cls_id));
    MT_TRY(add_fixed(r, sep, sep_id));
    MT_TRY(add_frame(r, cls));
    MT_TRY(add_frame(r, mt_str_of("")));
    return add_frame(r, sep);
}

static mt_status settle_frame(reader *r) {
    mt_tok *t = r->t;
    bool seen = false;
    for (size_t i = 0; i < r->frame_len; i++) {
        if (!r->frame[i].n) {
            seen = true;
            continue;
        }
        const struct named *n = NULL;
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

/* ---- added tokens ---- */

static mt_status read_added(reader *r) {
    mt_json *j = &r->j;
    mt_str key;
    if (mt_json_null(j)) return MT_OK;
    MT_TRY(mt_json_array(j));
    while (mt_json_next(j)) {
        mt_added a = {.id = -1};
        int64_t id = -1;
        a.content = mt_str_of("");
        MT_TRY(mt_json_object(j));
        bool normalized_set = false;
        while (mt_json_key(j, &key)) {
            if (mt_str_is(key, "id"))
                id = mt_json_int(j);
            else if (mt_str_is(key, "content"))
                MT_TRY(mt_tok_copy(r->t, mt_json_string(j), &a.content, r->err));
            else if (mt_str_is(key, "special"))
                a.special = optional_bool(r);
            else if (mt_str_is(key, "normalized")) {
                normalized_set = true;
                a.normalized = optional_bool(r);
            } else if (mt_str_is(key, "lstrip"))
                a.lstrip = optional_bool(r);
            else if (mt_str_is(key, "rstrip"))
                a.rstrip = optional_bool(r);
            else if (mt_str_is(key, "single_word"))
                a.single_word = optional_bool(r);
            else
                MT_TRY(mt_json_skip(j));
        }
        MT_TRY(j->status);
        if (!normalized_set) a.normalized = !a.special;
        if (!a.content.n) continue;
        mt_added *slot = mt_tok_add_added(r->t, r->err);
        if (!slot) return MT_ENOMEM;
        *slot = a;
        MT_TRY(mt_grow((void **)&r->declared, &r->declared_cap, r->declared_len + 1, sizeof *r->declared, r->err));
        r->declared[r->declared_len++] = id;
    }
    return j->status;
}

/* Ids as the library gives them: the model's own id of that piece, else the next free one. */
static mt_status settle_added(reader *r) {
    mt_tok *t = r->t;
    mt_vocab *v = &t->vocab;
    int64_t model_size = 0, top = -1;
    for (int32_t id = 0; id < v->size; id++) model_size += v->kind[id] != MT_TOKEN_HOLE;
    for (size_t i = 0; i < t->added_len; i++) {
        mt_added *a = &t->added[i];
        int64_t id = mt_vocab_find_piece(v, a->content);
        char shown[80];
        if (id < 0) {
            id = top >= model_size ? top + 1 : model_size;
            if (r->declared[i] >= 0 && r->declared[i] != id) {
                /* the vocabulary has holes, or the list does: what the file says is what models were trained with */
                if (r->declared[i] < v->size && v->kind[r->declared[i]] != MT_TOKEN_HOLE)
                    MT_TRY(mt_tok_warn(t, r->err, "added token \"%s\": id %lld is taken, it becomes %lld",
                                       mt_str_show(a->content, shown, sizeof shown), (long long)r->declared[i],
                                       (long long)id));
                else
                    id = r->declared[i];
            }
            MT_TRY(mt_vocab_set_piece(v, id, a->content, r->err));
            MT_TRY(mt_vocab_index_piece(v, (int32_t)id, false, r->err));
        }
        if (id > top) top = id;
        a->id = (int32_t)id;
        v->flags[id] |= MT_IN_ADDED | (a->special ? MT_IS_SPECIAL : 0);
        v->kind[id] = a->special ? MT_TOKEN_SPECIAL : MT_TOKEN_USER;
    }
    return MT_OK;
}

/* ---- models ---- */

static mt_status read_vocab_object(reader *r) {
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

static mt_status read_vocab_list(reader *r) {
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

static mt_status add_merge(reader *r, mt_str a, mt_str b, uint32_t rank) {
    mt_tok *t = r->t;
    mt_str prefix = t->word_prefix, tail = b;
    int32_t left = mt_vocab_find_piece(&t->vocab, a), right = mt_vocab_find_piece(&t->vocab, b);
    if (prefix.n && b.n >= prefix.n && memcmp(b.p, prefix.p, prefix.n) == 0) tail.p += prefix.n, tail.n -= prefix.n;
    uint64_t power = 1, base = MT_POLY;
    for (size_t n = tail.n; n; n >>= 1, base *= base)
        if (n & 1) power *= base;
    int32_t result =
        mt_vocab_find_joined_piece(&t->vocab, a, tail, mt_poly(a.p, a.n) * power + mt_poly(tail.p, tail.n));
    if (left < 0 || right < 0 || result < 0) {
        char x[80], y[80];
        return mt_json_fail(&r->j, MT_EMISSING, "merge %u, \"%s\" and \"%s\": %s is not in the vocabulary", rank,
                            mt_str_show(a, x, sizeof x), mt_str_show(b, y, sizeof y),
                            left < 0    ? "the left part"
                            : right < 0 ? "the right part"
                                        : "the result");
    }
    return mt_bpe_add_pair(&t->bpe, left, right, rank, result, r->err);
}

/* "a b" or ["a", "b"] */
static mt_status read_merges(reader *r) {
    mt_json *j = &r->j;
    if (mt_json_peek(j) == MT_JSON_OBJECT) { /* written by some exporters for "none" */
        mt_str key;
        MT_TRY(mt_json_object(j));
        return mt_json_key(j, &key) ? mt_json_fail(j, MT_EFORMAT, "merges: expected an array, found an object")
                                    : j->status;
    }
    MT_TRY(mt_json_array(j));
    MT_TRY(mt_bpe_reserve_pairs(&r->t->bpe, (size_t)r->t->vocab.size, r->err));
    for (uint32_t rank = 0; mt_json_next(j); rank++) {
        mt_str a = mt_str_of(""), b = a;
        if (rank == MT_NO_RANK - 1) return mt_json_fail(j, MT_ELIMIT, "too many merges");
        if (mt_json_peek(j) == MT_JSON_ARRAY) {
            MT_TRY(mt_json_array(j));
            if (mt_json_next(j)) a = mt_json_string(j);
            if (mt_json_next(j)) b = mt_json_string(j);
            if (mt_json_next(j)) return mt_json_fail(j, MT_EFORMAT, "a merge of more than two parts");
        } else {
            a = mt_json_string(j);
            const uint8_t *space = a.n ? memchr(a.p, ' ', a.n) : NULL;
            if (j->status == MT_OK && !space) return mt_json_fail(j, MT_EFORMAT, "a merge without a space");
            if (space) {
                b = (mt_str){space + 1, a.n - (size_t)(space - a.p) - 1};
                a.n = (size_t)(space - a.p);
                if (memchr(b.p, ' ', b.n)) return mt_json_fail(j, MT_EFORMAT, "a merge with more than one space");
            }
        }
        MT_TRY(j->status);
        MT_TRY(add_merge(r, a, b, rank));
    }
    return j->status;
}

static mt_status read_model(reader *r) {
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
            MT_TRY(mt_tok_copy(t, optional_string(r), &r->unk_token, r->err));
        else if (mt_str_is(key, "unk_id")) {
            r->unk_id_set = !mt_json_null(j);
            if (r->unk_id_set) r->unk_id = mt_json_int(j);
        } else if (mt_str_is(key, "continuing_subword_prefix")) {
            r->prefix_set = true;
            MT_TRY(mt_tok_copy(t, optional_string(r), &t->word_prefix, r->err));
        } else if (mt_str_is(key, "end_of_word_suffix"))
            MT_TRY(mt_tok_copy(t, optional_string(r), &t->word_suffix, r->err));
        else if (mt_str_is(key, "fuse_unk"))
            t->fuse_unk = optional_bool(r);
        else if (mt_str_is(key, "byte_fallback"))
            t->byte_fallback = optional_bool(r);
        else if (mt_str_is(key, "ignore_merges"))
            t->ignore_merges = optional_bool(r);
        else if (mt_str_is(key, "max_input_chars_per_word"))
            r->max_chars = mt_json_number(j);
        else if (mt_str_is(key, "dropout")) {
            if (!mt_json_null(j) && mt_json_number(j) != 0)
                MT_TRY(mt_tok_warn(t, r->err, "the merge dropout in the file is not applied"));
        } else
            MT_TRY(mt_json_skip(j));
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

/* ---- settling ---- */

static void remove_norm(mt_tok *t, size_t i) {
    memmove(&t->norm[i], &t->norm[i + 1], (--t->norm_len - i) * sizeof *t->norm);
}
static void remove_split(mt_tok *t, size_t i) {
    memmove(&t->split[i], &t->split[i + 1], (--t->split_len - i) * sizeof *t->split);
}

/* The byte alphabet: when nothing looks at the text after it has been put on, it need not be put on. */
static mt_status settle_byte_level(reader *r) {
    mt_tok *t = r->t;
    size_t last = 0;
    bool mapped = false;
    for (size_t i = 0; i < t->norm_len; i++)
        if (t->norm[i].kind == MT_NORM_BYTE_LEVEL) {
            t->byte_level = true;
            if (i + 1 == t->norm_len && !t->split_len)
                remove_norm(t, i);
            else
                mapped = true;
            break;
        }
    for (size_t i = t->split_len; i-- > 0;)
        if (t->split[i].kind == MT_SPLIT_BYTE_LEVEL) {
            t->byte_level = true;
            last = i;
            if (i + 1 == t->split_len)
                remove_split(t, last);
            else
                mapped = true;
        }
    return mapped && !mt_tok_add_split(t, MT_SPLIT_RAW, r->err) ? MT_ENOMEM : MT_OK;
}

static bool is_literal(const mt_pattern *p, const char *s) {
    return !p->regex && mt_str_is(p->text, s);
}

/* The space mark (see tok.h). Either the last normalizer puts it, or Metaspace does. */
static mt_status settle_mark(reader *r) {
    mt_tok *t = r->t;
    mt_norm *last = t->norm_len ? &t->norm[t->norm_len - 1] : NULL;
    bool by_norm = last && last->kind == MT_NORM_REPLACE && is_literal(&last->pattern, " ") && last->content.n > 1 &&
                   !t->byte_level;
    if (by_norm && t->mark.n && !mt_str_eq(t->mark, last->content)) by_norm = false;
    if (by_norm) {
        t->mark = last->content;
        /* no space is left for these to find */
        for (size_t i = t->split_len; i-- > 0;)
            if (t->split[i].kind == MT_SPLIT_PATTERN && !t->split[i].pattern.regex && t->split[i].pattern.text.n &&
                memchr(t->split[i].pattern.text.p, ' ', t->split[i].pattern.text.n))
                remove_split(t, i);
        bool quiet = true; /* does anything after look at the text? */
        for (size_t i = 0; i < t->split_len; i++) {
            const mt_split *s = &t->split[i];
            bool literal = s->kind == MT_SPLIT_PATTERN && !s->pattern.regex && s->pattern.text.n &&
                           !(s->pattern.text.n >= t->mark.n && s->pattern.text.p[0] == t->mark.p[0]);
            quiet &= literal || (s->kind == MT_SPLIT_METASPACE && i + 1 == t->split_len);
        }
        if (quiet) {
            mt_pattern mark = {t->mark, NULL};
            *last = (mt_norm){.kind = MT_NORM_UNMARK, .pattern = mark, .content = mt_str_of(" ")};
            for (size_t i = 0; i + 1 < t->norm_len; i++)
                if (t->norm[i].kind == MT_NORM_PREPEND && mt_str_eq(t->norm[i].content, t->mark))
                    t->norm[i].content = mt_str_of(" ");
            return MT_OK;
        }
        return mt_tok_add_split(t, MT_SPLIT_UNMARK, r->err) ? MT_OK : MT_ENOMEM;
    }
    if (!t->mark.n) return MT_OK;
    for (size_t i = 0; i < t->split_len; i++) {
        if (t->split[i].kind != MT_SPLIT_METASPACE || i + 1 == t->split_len) continue;
        t->split[i].physical = true;
        return mt_tok_add_split(t, MT_SPLIT_UNMARK, r->err) ? MT_OK : MT_ENOMEM;
    }
    return MT_OK;
}

/* tokenizer.json does not say which tokens begin and end a text: the template shows it, else the usual names do. */
static void find_ends(mt_tok *t) {
    static const char *const begins[] = {"<|begin_of_text|>", "<s>",           "<bos>", "[CLS]",
                                         "<|startoftext|>",   "<|endoftext|>", NULL};
    static const char *const ends[] = {"<|end_of_text|>", "</s>", "<eos>", "<|endoftext|>", "[SEP]", "<|end|>", NULL};
    if (t->before.len) t->bos = t->before.data[0];
    if (t->after.len) t->eos = t->after.data[t->after.len - 1];
    for (int pass = 0; pass < 2; pass++) {
        int32_t *id = pass ? &t->eos : &t->bos;
        for (const char *const *name = pass ? ends : begins; *id < 0 && *name; name++) {
            int32_t found = mt_vocab_find_piece(&t->vocab, mt_str_of(*name));
            if (found >= 0 && t->vocab.flags[found] & MT_IN_ADDED) *id = found;
        }
    }
}

static mt_status settle_model(reader *r) {
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

static mt_status settle(reader *r) {
    mt_tok *t = r->t;
    if (!r->has_vocab) return mt_fail(r->err, MT_EMISSING, "no model with a vocabulary in the file");
    MT_TRY(settle_added(r));
    MT_TRY(settle_byte_level(r));
    MT_TRY(settle_mark(r));
    MT_TRY(settle_model(r));
    MT_TRY(settle_frame(r));
    find_ends(t);
    t->join_with_space = !r->has_decoder;
    return mt_tok_finish(t, r->err);
}

static mt_status read_all(reader *r) {
    mt_json *j = &r->j;
    mt_str key;
    MT_TRY(mt_json_object(j));
    while (mt_json_key(j, &key)) {
        if (mt_str_is(key, "model"))
            MT_TRY(read_model(r));
        else if (mt_str_is(key, "added_tokens"))
            MT_TRY(read_added(r));
        else if (mt_str_is(key, "normalizer"))
            MT_TRY(read_normalizer(r));
        else if (mt_str_is(key, "pre_tokenizer"))
            MT_TRY(read_splitter(r));
        else if (mt_str_is(key, "post_processor"))
            MT_TRY(read_post(r));
        else if (mt_str_is(key, "decoder"))
            MT_TRY(read_decoder(r));
        else if (mt_str_is(key, "truncation") || mt_str_is(key, "padding")) {
            if (mt_json_null(j)) continue;
            MT_TRY(mt_tok_warn(r->t, r->err, "the file's %.*s settings are not applied", (int)key.n, key.p));
            MT_TRY(mt_json_skip(j));
        } else
            MT_TRY(mt_json_skip(j));
    }
    return j->status;
}

mt_status mt_tok_load_json(const uint8_t *p, size_t n, mt_tok **out, mt_error *err) {
    reader r = {.err = err};
    r.type = r.unk_token = mt_str_of("");
    *out = NULL;
    MT_TRY(mt_tok_new(&r.t, err));
    mt_json_open(&r.j, p, n, err);
    mt_status status = read_all(&r), closed = mt_json_close(&r.j);
    if (status == MT_OK) status = closed;
    if (status == MT_OK) status = settle(&r);
    for (size_t i = 0; i < r.named_len; i++) mt_ids_free(&r.named[i].ids);
    mt_free(r.named);
    mt_free(r.frame);
    mt_free(r.declared);
    if (status != MT_OK) {
        mt_tok_free(r.t);
        return status;
    }
    *out = r.t;
    return MT_OK;
}
