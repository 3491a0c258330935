/* Each normalizer, splitter and decoder by itself, added tokens with every flag, and texts that are hard for one of
 * them. */
#include "growth_defs.h"

#define R(pattern) "{\"type\":\"Replace\",\"pattern\":{" pattern "},\"content\":\"x\"}"
static const char *const normalizers[] = {
    "{\"type\":\"NFC\"}",
    "{\"type\":\"NFD\"}",
    "{\"type\":\"NFKC\"}",
    "{\"type\":\"NFKD\"}",
    "{\"type\":\"Lowercase\"}",
    "{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true}",
    "{\"type\":\"StripAccents\"}",
    "{\"type\":\"Nmt\"}",
    "{\"type\":\"ByteLevel\"}",
    "{\"type\":\"Prepend\",\"prepend\":\"ab\"}",
    "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_accents\":null,"
    "\"lowercase\":true}",
    R("\"String\":\"\""),
    R("\"String\":\"a\""),
    R("\"String\":\"aaaaaaaaaaaaaaaab\""),
    R("\"Regex\":\"a*\""),
    R("\"Regex\":\"(a*)*b\""),
    R("\"Regex\":\" {2,}\""),
    R("\"Regex\":\"a.*b|a\""),
    R("\"Regex\":\"(?=a)\""),
    R("\"Regex\":\"(?<=a)a\""),
    R("\"Regex\":\"a+$\""),
    "{\"type\":\"Sequence\",\"normalizers\":[" R("\"String\":\"a\"") "," R(
        "\"String\":\"x\"") ",{\"type\":\"NFKD\"},{\"type\":\"Lowercase\"},{\"type\":\"NFC\"}]}",
};
#define P(pattern, behavior)                                                                                           \
    "{\"type\":\"Split\",\"pattern\":{" pattern "},\"behavior\":\"" behavior "\",\"invert\":false}"
static const char *const splitters[] = {
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true}",
    "{\"type\":\"Whitespace\"}",
    "{\"type\":\"WhitespaceSplit\"}",
    "{\"type\":\"BertPreTokenizer\"}",
    "{\"type\":\"Punctuation\",\"behavior\":\"Contiguous\"}",
    "{\"type\":\"Digits\",\"individual_digits\":true}",
    "{\"type\":\"Digits\",\"individual_digits\":false}",
    "{\"type\":\"CharDelimiterSplit\",\"delimiter\":\"a\"}",
    "{\"type\":\"UnicodeScripts\"}",
    "{\"type\":\"FixedLength\",\"length\":3}",
    "{\"type\":\"Metaspace\",\"replacement\":\"a\",\"prepend_scheme\":\"always\"}",
    "{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":\"first\"}",
    P("\"String\":\"a\"", "Isolated"),
    P("\"String\":\"a\"", "Removed"),
    P("\"String\":\"a\"", "MergedWithNext"),
    P("\"String\":\"a\"", "MergedWithPrevious"),
    P("\"Regex\":\"a\"", "Contiguous"),
    P("\"Regex\":\"\"", "Isolated"),
    P("\"Regex\":\"a.*b|a\"", "Removed"),
    P("\"Regex\":\"(a|aa)+$\"", "Isolated"),
    P("\"Regex\":\"\\\\s+(?!\\\\S)|\\\\s+\"", "Removed"),
    ("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},{\"type\":"
     "\"Punctuation\",\"behavior\":\"Isolated\"},"
     "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true}]}"),
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"CharDelimiterSplit\",\"delimiter\":\"b\"},{\"type\":"
    "\"Metaspace\",\"replacement\":\"a\",\"prepend_scheme\":\"always\"}]}",
};
static const char *const decoders[] = {
    "{\"type\":\"ByteLevel\"}",
    "{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true}",
    "{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":\"always\"}",
    "{\"type\":\"BPEDecoder\",\"suffix\":\"a\"}",
    "{\"type\":\"CTC\",\"pad_token\":\"a\",\"word_delimiter_token\":\"|\",\"cleanup\":true}",
    "{\"type\":\"CTC\",\"pad_token\":\"[UNK]\",\"word_delimiter_token\":\"a\",\"cleanup\":true}",
    R("\"String\":\"a\""),
    R("\"Regex\":\"a*\""),
    R("\"Regex\":\"a.*b|a\""),
    "{\"type\":\"Fuse\"}",
    "{\"type\":\"ByteFallback\"}",
    "{\"type\":\"Strip\",\"content\":\"a\",\"start\":9999999,\"stop\":9999999}",
    "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}," R(
        "\"String\":\"a\"") ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":1}]}",
};

typedef struct step {
    mt_tok *tok;
    const growth_text *text;
    const char *token;
} step;

static mt_status encode(const void *with, size_t n, mt_error *err) {
    const step *c = with;
    mt_buf text = {0};
    mt_encoding e = {0};
    growth_fill(c->text, n, &text);
    growth_start();
    mt_status status =
        mt_tok_encode(c->tok, text.data, text.len, &(mt_encode_options){.add_special_tokens = true}, true, &e, err);
    growth_stop();
    mt_encoding_free(&e);
    mt_buf_free(&text);
    return status;
}

/* n times the same token, or all of them in turn */
static mt_status decode_run(const void *with, size_t n, mt_error *err) {
    const step *c = with;
    mt_ids ids = {0};
    mt_buf out = {0};
    int32_t id = c->token ? mt_tok_find(c->tok, mt_str_of(c->token)) : -1;
    for (size_t i = 0; i < n; i++) mt_ids_add(&ids, id >= 0 ? id : (int32_t)(i % 290), NULL);
    growth_start();
    mt_status status = mt_tok_decode(c->tok, ids.data, ids.len, &(mt_decode_options){0}, &out, err);
    growth_stop();
    mt_buf_free(&out);
    mt_ids_free(&ids);
    return status;
}

/* Added tokens: what they are, and texts made for them. */
static const struct {
    const char *content, *text;
} added[] = {{"<s>", "<s>"}, {" ", " "},  {"a", " a "},  {" a", "  a"}, {"a ", "a  "}, {"aaaaaaaaaaaaaaaab", "a"},
             {"\\n", "\n"},  {"  ", " "}, {"ab", "ab "}, {"_", "_a"}};

void growth_pipeline(void) {
    char what[256];
    for (size_t i = 0; i < sizeof normalizers / sizeof *normalizers; i++) {
        growth_def d = {"", "list", normalizers[i], NULL, NULL, NULL};
        mt_tok *t = growth_tok(&d);
        for (size_t k = 0; k < growth_text_count; k++) {
            step c = {t, &growth_texts[k], NULL};
            snprintf(what, sizeof what, "%.100s: %s", normalizers[i], c.text->name);
            growth_case("normalizer", what, 1024, encode, &c);
        }
        mt_tok_free(t);
    }
    for (size_t i = 0; i < sizeof splitters / sizeof *splitters; i++) {
        growth_def d = {"", "list", NULL, splitters[i], NULL, NULL};
        mt_tok *t = growth_tok(&d);
        for (size_t k = 0; k < growth_text_count; k++) {
            step c = {t, &growth_texts[k], NULL};
            snprintf(what, sizeof what, "%.100s: %s", splitters[i], c.text->name);
            growth_case("splitter", what, 1024, encode, &c);
        }
        mt_tok_free(t);
    }
    static const char *const tokens[] = {NULL, "a", "<0xE2>", "<0x41>", "<0xFF>", "\xe2\x96\x81"};
    for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++) {
        growth_def d = {"", "merges of characters", NULL, NULL, decoders[i], NULL};
        mt_tok *t = growth_tok(&d);
        for (size_t k = 0; k < sizeof tokens / sizeof *tokens; k++) {
            step c = {t, NULL, tokens[k]};
            snprintf(what, sizeof what, "%.100s: %s", decoders[i], tokens[k] ? tokens[k] : "all tokens");
            growth_case("decoder", what, 1024, decode_run, &c);
        }
        mt_tok_free(t);
    }
    for (size_t i = 0; i < sizeof added / sizeof *added; i++)
        for (int flags = 0; flags < 16; flags++) {
            growth_def d = {"", "list", NULL, NULL, NULL, NULL};
            char more[512];
            mt_buf json = {0};
            mt_error err;
            step c = {NULL, &(growth_text){"", added[i].text, 0}, NULL};
            snprintf(more, sizeof more,
                     "\"added_tokens\":[{\"id\":900,\"content\":\"%s\",\"single_word\":%s,\"lstrip\":%s,\"rstrip\":%s,"
                     "\"normalized\":%s,\"special\":false}],",
                     added[i].content, flags & 1 ? "true" : "false", flags & 2 ? "true" : "false",
                     flags & 4 ? "true" : "false", flags & 8 ? "true" : "false");
            growth_def_json(&d, more, &json);
            if (mt_tok_load_json(json.data, json.len, &c.tok, &err) != MT_OK) abort();
            snprintf(what, sizeof what, "\"%s\" in \"%s\"%s%s%s%s", added[i].content, i == 6 ? "\\n" : added[i].text,
                     flags & 1 ? " single word" : "", flags & 2 ? " lstrip" : "", flags & 4 ? " rstrip" : "",
                     flags & 8 ? " normalized" : "");
            growth_case("added token", what, 1024, encode, &c);
            mt_tok_free(c.tok);
            mt_buf_free(&json);
        }
}
