/* ABI of src/token: tokenizers. */
#include "abi.h"

#include "../src/token/token.h"

typedef struct abi_tok_info {
    int32_t size, bos, eos;
    const char *model_name, *warnings;
    bool special_is_text;
} abi_tok_info;
typedef struct abi_token {
    mt_str bytes, piece;
    int32_t kind;
} abi_token;
typedef struct abi_tok_traits {
    bool byte_complete, spm_space, prefix_space, ignore_merges, byte_fallback;
    const char *unsupported;
} abi_tok_traits;

/* Texts that spell special tokens: the definition's own rule; they become tokens; they are text; those of tok_allow
 * become tokens. */
typedef enum abi_specials {
    ABI_SPECIALS_OWN,
    ABI_SPECIALS_TOKENS,
    ABI_SPECIALS_TEXT,
    ABI_SPECIALS_ALLOWED
} abi_specials;

ABI_LAYOUT(token, ABI_STRUCT(abi_tok_info), ABI_FIELD(abi_tok_info, size), ABI_FIELD(abi_tok_info, bos),
           ABI_FIELD(abi_tok_info, eos), ABI_FIELD(abi_tok_info, model_name), ABI_FIELD(abi_tok_info, warnings),
           ABI_FIELD(abi_tok_info, special_is_text), ABI_ENUM(ABI_SPECIALS_OWN), ABI_ENUM(ABI_SPECIALS_TOKENS),
           ABI_ENUM(ABI_SPECIALS_TEXT), ABI_ENUM(ABI_SPECIALS_ALLOWED), ABI_STRUCT(abi_token),
           ABI_FIELD(abi_token, bytes.p), ABI_FIELD(abi_token, bytes.n), ABI_FIELD(abi_token, piece.p),
           ABI_FIELD(abi_token, piece.n), ABI_FIELD(abi_token, kind), ABI_STRUCT(abi_tok_traits),
           ABI_FIELD(abi_tok_traits, byte_complete), ABI_FIELD(abi_tok_traits, spm_space),
           ABI_FIELD(abi_tok_traits, prefix_space), ABI_FIELD(abi_tok_traits, ignore_merges),
           ABI_FIELD(abi_tok_traits, byte_fallback), ABI_FIELD(abi_tok_traits, unsupported), ABI_STRUCT(mt_span),
           ABI_FIELD(mt_span, begin), ABI_FIELD(mt_span, end), ABI_STRUCT(mt_encoding),
           ABI_FIELD(mt_encoding, ids.data), ABI_FIELD(mt_encoding, ids.len), ABI_FIELD(mt_encoding, spans),
           ABI_FIELD(mt_encoding, types), ABI_STRUCT(mt_token_type), ABI_FIELD(mt_token_type, type),
           ABI_FIELD(mt_token_type, text), ABI_ENUM(MT_TOKEN_NORMAL), ABI_ENUM(MT_TOKEN_UNKNOWN),
           ABI_ENUM(MT_TOKEN_SPECIAL), ABI_ENUM(MT_TOKEN_USER), ABI_ENUM(MT_TOKEN_UNUSED), ABI_ENUM(MT_TOKEN_BYTE),
           ABI_ENUM(MT_TOKEN_HOLE))

/* ---- loading ---- */

/* Any definition, see mt_tok_load; name, pattern and merges may be 0 with length 0. */
MT_EXPORT(tok_load)
mt_status abi_tok_load(const uint8_t *p, size_t n, const uint8_t *name, size_t name_n, const uint8_t *pattern,
                       size_t pattern_n, const uint8_t *merges, size_t merges_n, int32_t lowercase, mt_tok **out) {
    ABI_NEED(p);
    mt_load_options options = {{name, name_n}, {pattern, pattern_n}, {merges, merges_n}, lowercase};
    return mt_tok_load(p, n, &options, out, &abi_error);
}
MT_EXPORT(tok_load_gguf) mt_status abi_tok_load_gguf(const mt_gguf *gguf, mt_tok **out) {
    ABI_NEED(gguf);
    return mt_tok_load_gguf(gguf, out, &abi_error);
}
/* The binary form. Takes over p, which alloc gave, also when it fails. */
MT_EXPORT(tok_from_binary) mt_status abi_tok_from_binary(uint8_t *p, size_t n, mt_tok **out) {
    ABI_NEED(p);
    return mt_tok_from_binary(p, n, out, &abi_error);
}
MT_EXPORT(tok_free) void abi_tok_free(mt_tok *tok) {
    if (tok) mt_tok_free(tok);
}

/* ---- vocabulary ---- */

MT_EXPORT(tok_info) mt_status abi_tok_info_get(const mt_tok *tok, abi_tok_info *out) {
    ABI_NEED(tok);
    *out = (abi_tok_info){mt_tok_size(tok),       mt_tok_bos(tok),      mt_tok_eos(tok),
                          mt_tok_model_name(tok), mt_tok_warnings(tok), mt_tok_special_is_text(tok)};
    return MT_OK;
}
MT_EXPORT(tok_token) mt_status abi_tok_token(const mt_tok *tok, int32_t id, abi_token *out) {
    ABI_NEED(tok);
    if (id < 0 || id >= mt_tok_size(tok))
        return mt_fail(&abi_error, MT_ERANGE, "token id %d is outside 0..%d", (int)id, (int)mt_tok_size(tok) - 1);
    *out = (abi_token){mt_tok_bytes(tok, id), mt_tok_piece(tok, id), (int32_t)mt_tok_kind(tok, id)};
    return MT_OK;
}
MT_EXPORT(tok_find) int32_t abi_tok_find(const mt_tok *tok, const uint8_t *p, size_t n) {
    return tok ? mt_tok_find(tok, (mt_str){p, n}) : -1;
}
/* out: rank and result of a merge; 0: these two do not merge. */
MT_EXPORT(tok_merge) int32_t abi_tok_merge(const mt_tok *tok, int32_t left, int32_t right, uint32_t *out) {
    int32_t result;
    if (!tok || !mt_tok_merge(tok, left, right, &out[0], &result)) return 0;
    out[1] = (uint32_t)result;
    return 1;
}
MT_EXPORT(tok_traits) mt_status abi_tok_traits_get(mt_tok *tok, abi_tok_traits *out) {
    ABI_NEED(tok);
    mt_tok_traits t;
    mt_tok_traits_get(tok, &t);
    *out =
        (abi_tok_traits){t.byte_complete, t.spm_space, t.prefix_space, t.ignore_merges, t.byte_fallback, t.unsupported};
    return MT_OK;
}

/* ---- encoding: an encoding is made once and reused ---- */

static mt_encode_options options_of(const mt_tok *tok, int32_t add_special, int32_t specials) {
    return (mt_encode_options){.add_special_tokens = add_special != 0,
                               .special_as_text = specials == ABI_SPECIALS_TEXT ||
                                                  (specials == ABI_SPECIALS_OWN && mt_tok_special_is_text(tok)),
                               .only_allowed = specials == ABI_SPECIALS_ALLOWED};
}
MT_EXPORT(tok_allow) mt_status abi_tok_allow(mt_tok *tok, const int32_t *ids, size_t n) {
    ABI_NEED(tok);
    return mt_tok_allow(tok, ids, n, &abi_error);
}
MT_EXPORT(tok_special_ids) mt_status abi_tok_special_ids(const mt_tok *tok, mt_ids *out) {
    ABI_NEED(tok);
    return mt_tok_special_ids(tok, out, &abi_error);
}
MT_EXPORT(tok_set_ties) mt_status abi_tok_set_ties(mt_tok *tok, int32_t single) {
    ABI_NEED(tok);
    return mt_tok_set_ties(tok, single ? MT_TIES_SINGLE : MT_TIES_DOUBLE, &abi_error);
}

MT_EXPORT(encoding_free) void abi_encoding_free(mt_encoding *e) {
    if (!e) return;
    mt_encoding_free(e);
    mt_free(e);
}
MT_EXPORT(tok_encode)
mt_status abi_tok_encode(mt_tok *tok, const uint8_t *text, size_t n, int32_t add_special, int32_t specials,
                         int32_t want_spans, mt_encoding *encoding) { /* want_spans: 1 in bytes, 2 in UTF-16 units */
    ABI_NEED(tok);
    ABI_NEED(encoding);
    mt_encode_options options = options_of(tok, add_special, specials);
    encoding->ids.len = 0;
    MT_TRY(mt_tok_encode(tok, text, n, &options, want_spans != 0, encoding, &abi_error));
    const mt_str texts[2] = {{text, n}, {NULL, 0}};
    if (want_spans == 2) mt_spans_to_utf16(encoding->spans, NULL, encoding->ids.len, texts);
    return MT_OK;
}
MT_EXPORT(tok_count)
mt_status abi_tok_count(mt_tok *tok, const uint8_t *text, size_t n, int32_t add_special, int32_t specials,
                        size_t *out) {
    ABI_NEED(tok);
    mt_encode_options options = options_of(tok, add_special, specials);
    return mt_tok_count(tok, text, n, &options, out, &abi_error);
}

/* Everything that encoding can do. pair NULL: one text; want: 1 spans, 2 types, 4 the spans in UTF-16 units (of pairs:
 * with the types); choice NULL: the tokenizer's own segmenter (abi_choose.c makes others). */
MT_EXPORT(tok_encode_with)
mt_status abi_tok_encode_with(mt_tok *tok, const uint8_t *text, size_t n, const uint8_t *pair, size_t pair_n,
                              int32_t add_special, int32_t specials, int32_t want, const mt_choice *choice,
                              mt_encoding *encoding) {
    ABI_NEED(tok);
    ABI_NEED(encoding);
    mt_encode_options options = options_of(tok, add_special, specials);
    options.types = (want & 2) != 0;
    options.choice = choice;
    encoding->ids.len = 0;
    bool spans = want & 1;
    MT_TRY(pair ? mt_tok_encode_pair(tok, text, n, pair, pair_n, &options, spans, encoding, &abi_error)
                : mt_tok_encode(tok, text, n, &options, spans, encoding, &abi_error));
    const mt_str texts[2] = {{text, n}, {pair, pair_n}};
    if (spans && want & 4) mt_spans_to_utf16(encoding->spans, pair ? encoding->types : NULL, encoding->ids.len, texts);
    return MT_OK;
}

/* ---- decoding ---- */

MT_EXPORT(tok_decode)
mt_status abi_tok_decode(mt_tok *tok, const int32_t *ids, size_t n, int32_t skip_special, int32_t raw, mt_buf *out) {
    ABI_NEED(tok);
    ABI_NEED(out);
    mt_decode_options options = {skip_special != 0, raw != 0};
    out->len = 0;
    return mt_tok_decode(tok, ids, n, &options, out, &abi_error);
}
