#include "growth_defs.h"

/* ---- pieces ---- */

enum { RUN = 64 };
static void piece(mt_buf *b, const char *s, int *id) {
    growth_add(b, "%s", *id ? "," : "");
    growth_quote(b, mt_str_of(s));
    growth_add(b, ":%d", (*id)++);
}
/* The letter c, n times. */
static const char *run_of(char c, int n, char *out) {
    memset(out, c, (size_t)n);
    out[n] = 0;
    return out;
}

static void merges(mt_buf *b, bool bytes, bool fallback, const char *more) {
    char x[3 * RUN + 1], y[3 * RUN + 1];
    int id = 0;
    growth_add(b, "{\"type\":\"BPE\",%s\"vocab\":{", more);
    piece(b, "<unk>", &id);
    if (bytes)
        for (int c = 0; c < 256; c++) {
            uint8_t u[2];
            int n = mt_byte_to_char((uint8_t)c, u);
            snprintf(x, sizeof x, "%.*s", n, (const char *)u);
            piece(b, x, &id);
        }
    else {
        for (char c = 'a'; c <= 'z'; c++) piece(b, run_of(c, 1, x), &id);
        piece(b, "\xe2\x96\x81", &id);
        piece(b, "7", &id);
        if (fallback)
            for (int c = 0; c < 256; c++) {
                snprintf(x, sizeof x, "<0x%02X>", (unsigned)c);
                piece(b, x, &id);
            }
    }
    for (int n = 2; n <= RUN; n *= 2) piece(b, run_of('a', n, x), &id);
    for (int n = 2; n <= RUN; n++) piece(b, run_of('b', n, x), &id);
    for (int n = 2; n <= RUN; n++) { /* cdcd... */
        for (int i = 0; i < n; i++) x[i] = i & 1 ? 'd' : 'c';
        x[n] = 0;
        piece(b, x, &id);
    }
    static const char *const words[] = {"th", "the", "in", "ing", "er", "ab", "abab"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) piece(b, words[i], &id);
    growth_add(b, "},\"merges\":[");
    for (int n = 1; n < RUN; n *= 2)
        growth_add(b, "%s[\"%s\",\"%s\"]", n > 1 ? "," : "", run_of('a', n, x), run_of('a', n, y));
    for (int n = 1; n < RUN; n++) growth_add(b, ",[\"%s\",\"b\"]", run_of('b', n, x));
    for (int n = 1; n < RUN; n++) {
        for (int i = 0; i < n; i++) x[i] = i & 1 ? 'd' : 'c';
        x[n] = 0;
        growth_add(b, ",[\"%s\",\"%s\"]", x, n & 1 ? "d" : "c");
    }
    growth_add(
        b, ",[\"t\",\"h\"],[\"th\",\"e\"],[\"i\",\"n\"],[\"in\",\"g\"],[\"e\",\"r\"],[\"a\",\"b\"],[\"ab\",\"ab\"]]}");
}

static void scored(mt_buf *b, const char *s, double score) {
    growth_add(b, ",[");
    growth_quote(b, mt_str_of(s));
    growth_add(b, ",%g]", score);
}
static void pieces(mt_buf *b, bool fallback) {
    char x[RUN + 4];
    growth_add(b, "{\"type\":\"Unigram\",\"unk_id\":0,\"byte_fallback\":%s,\"vocab\":[[\"<unk>\",0]",
               fallback ? "true" : "false");
    for (char c = 'a'; c <= 'z'; c++) scored(b, run_of(c, 1, x), -5 - (c & 7));
    scored(b, "\xe2\x96\x81", -3);
    if (fallback)
        for (int c = 0; c < 256; c++) {
            snprintf(x, sizeof x, "<0x%02X>", (unsigned)c);
            scored(b, x, -9);
        }
    for (int n = 2; n <= RUN; n++) scored(b, run_of('a', n, x), -4 - n * 0.01);
    for (int n = 2; n <= RUN; n++) scored(b, run_of('b', n, x), -4 - n);
    scored(b, "ab", -4);
    scored(b, "ing", -4);
    growth_add(b, "]}");
}
static void word_pieces(mt_buf *b, const char *type, long most) {
    char x[RUN + 4] = "##";
    int id = 0;
    growth_add(b, "{\"type\":\"%s\",\"unk_token\":\"[UNK]\",", type);
    if (most) growth_add(b, "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":%ld,", most);
    growth_add(b, "\"vocab\":{");
    piece(b, "[UNK]", &id);
    for (char c = 'a'; c <= 'z'; c++) piece(b, run_of(c, 1, x + 2), &id), piece(b, x, &id);
    for (int n = 2; n <= RUN; n++) piece(b, run_of('a', n, x + 2), &id), piece(b, x, &id);
    growth_add(b, "}}");
}

void growth_model(const char *name, mt_buf *out) {
    if (!strcmp(name, "merges"))
        merges(out, true, false, "");
    else if (!strcmp(name, "merges of characters"))
        merges(out, false, true, "\"byte_fallback\":true,\"unk_token\":\"<unk>\",");
    else if (!strcmp(name, "merges and unknowns"))
        merges(out, false, false, "\"fuse_unk\":true,\"unk_token\":\"<unk>\",");
    else if (!strcmp(name, "pieces"))
        pieces(out, false);
    else if (!strcmp(name, "pieces and bytes"))
        pieces(out, true);
    else if (!strcmp(name, "words"))
        word_pieces(out, "WordPiece", 100);
    else if (!strcmp(name, "long words"))
        word_pieces(out, "WordPiece", 1L << 40);
    else if (!strcmp(name, "list"))
        word_pieces(out, "WordLevel", 0);
    else
        growth_add(out, "%s", name);
}

void growth_def_json(const growth_def *d, const char *more, mt_buf *out) {
    out->len = 0;
    growth_add(out, "{\"version\":\"1.0\",%s\"normalizer\":%s,\"pre_tokenizer\":%s,", more,
               d->normalizer ? d->normalizer : "null", d->splitter ? d->splitter : "null");
    growth_add(out, "\"post_processor\":%s,\"decoder\":%s,\"model\":", d->post ? d->post : "null",
               d->decoder ? d->decoder : "null");
    growth_model(d->model, out);
    growth_add(out, "}");
}

static mt_tok *open_bytes(const mt_buf *b, const char *name) {
    mt_tok *t = NULL;
    mt_error err = {0};
    mt_load_options o = {.name = mt_str_of(name), .lowercase = -1};
    if (mt_tok_load(b->data, b->len, &o, &t, &err) != MT_OK) {
        printf("%s does not load: %s\n", name, err.text);
        exit(2);
    }
    return t;
}

#define ADDED                                                                                                          \
    "\"added_tokens\":[{\"id\":900,\"content\":\"<s>\",\"single_word\":false,\"lstrip\":true,\"rstrip\":true,"         \
    "\"normalized\":false,\"special\":true},{\"id\":901,\"content\":\"<mask>\",\"single_word\":true,\"lstrip\":false," \
    "\"rstrip\":false,\"normalized\":true,\"special\":false}],"

mt_tok *growth_tok(const growth_def *d) {
    mt_buf b = {0};
    growth_def_json(d, ADDED, &b);
    mt_tok *t = open_bytes(&b, "tokenizer.json");
    mt_buf_free(&b);
    return t;
}

/* ---- SentencePiece ---- */

static void put_varint(mt_buf *b, uint64_t v) {
    for (; v > 127; v >>= 7) mt_buf_byte(b, (uint8_t)(v | 128), NULL);
    mt_buf_byte(b, (uint8_t)v, NULL);
}
static void put_number(mt_buf *b, uint32_t field, uint64_t v) {
    put_varint(b, (uint64_t)field << 3);
    put_varint(b, v);
}
static void put_bytes(mt_buf *b, uint32_t field, const void *p, size_t n) {
    put_varint(b, (uint64_t)field << 3 | 2);
    put_varint(b, n);
    mt_buf_add(b, p, n, NULL);
}
static void put_piece(mt_buf *b, const char *s, float score, int type) {
    mt_buf x = {0};
    put_bytes(&x, 1, s, strlen(s));
    put_varint(&x, 2 << 3 | 5);
    mt_buf_add(&x, &score, 4, NULL);
    put_number(&x, 3, (uint64_t)type);
    put_bytes(b, 1, x.data, x.len);
    mt_buf_free(&x);
}

void growth_sp(int kind, mt_buf *out) {
    char x[RUN + 1];
    float score = 0;
    out->len = 0;
    put_piece(out, "<unk>", 0, 2);
    put_piece(out, "<s>", 0, 3);
    put_piece(out, "<0x41>", 0, 4);
    for (char c = 'a'; c <= 'z'; c++) put_piece(out, run_of(c, 1, x), -100 - (float)(c & 7), 1);
    put_piece(out, "\xe2\x96\x81", -50, 1);
    for (int n = 2; n <= RUN && kind <= 2; n++) put_piece(out, run_of('a', n, x), score -= 1, 1);
    put_piece(out, "ab", score -= 1, 1);
    mt_buf o = {0};
    put_number(&o, 3, (uint64_t)kind);
    put_bytes(out, 2, o.data, o.len);
    o.len = 0;
    put_number(&o, 3, 1);
    put_number(&o, 4, 1);
    put_number(&o, 5, 1);
    put_bytes(out, 3, o.data, o.len);
    mt_buf_free(&o);
}

/* ---- all kinds ---- */

#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}"
#define ONE_WORD   "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false}"
#define MARKED                                                                                                         \
    "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\xe2\x96\x81\"},{\"type\":"           \
    "\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xe2\x96\x81\"}]}"
#define METASPACE "{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":\"always\",\"split\":%s}"
#define BERT                                                                                                           \
    "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_accents\":true,"           \
    "\"lowercase\":true}"
#define SPACES "{\"type\":\"WhitespaceSplit\"}"

static const growth_def defs[] = {
    {"merges, GPT-2's splitter", "merges", NULL, BYTE_LEVEL, BYTE_LEVEL, BYTE_LEVEL},
    {"merges, one word", "merges", "{\"type\":\"NFC\"}", ONE_WORD, ONE_WORD, NULL},
    {"merges of characters", "merges of characters", MARKED, NULL, NULL, NULL},
    {"merges and unknowns", "merges and unknowns", MARKED, NULL, NULL, NULL},
    {"pieces", "pieces", NULL,
     "{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":\"always\"}",
     "{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":\"always\"}", NULL},
    {"pieces and bytes", "pieces and bytes", "{\"type\":\"NFKC\"}", NULL, "{\"type\":\"ByteFallback\"}", NULL},
    {"WordPiece", "words", BERT, "{\"type\":\"BertPreTokenizer\"}",
     "{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true}", NULL},
    {"WordPiece of long words", "long words", NULL, SPACES,
     "{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true}", NULL},
    {"words of a list", "list", NULL, "{\"type\":\"Whitespace\"}", NULL, NULL},
};

mt_tok *growth_any_tok(size_t i, const char **name) {
    enum { DEFS = sizeof defs / sizeof *defs };
    static const char *const sp[] = {"SentencePiece Unigram", "SentencePiece BPE", "SentencePiece words",
                                     "SentencePiece characters"};
    mt_buf b = {0};
    mt_tok *t = NULL;
    mt_error err = {0};
    if (i < DEFS) {
        *name = defs[i].name;
        return growth_tok(&defs[i]);
    }
    i -= DEFS;
    if (i < 4) {
        *name = sp[i];
        growth_sp((int)i + 1, &b);
        t = open_bytes(&b, "tokenizer.model");
    } else if (i < 6) { /* ranks: all bytes, then runs of a; the expressions of two vocabularies */
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        *name = i == 4 ? "ranks, cl100k's splitter" : "ranks, o200k's splitter";
        for (int c = 0; c < 256; c++) growth_add(&b, "%c%c== %d\n", letters[c >> 2], letters[(c & 3) << 4], c);
        for (int n = 1; n <= 16; n++) { /* aaa: YWFh */
            for (int k = 0; k < n; k++) growth_add(&b, "YWFh");
            growth_add(&b, " %d\n", 255 + n);
        }
        t = open_bytes(&b, i == 4 ? "cl100k_base" : "o200k_base");
    } else if (i == 6) {
        *name = "longest match";
        for (int c = 0; c < 256; c++) growth_add(&b, "%d b'\\x%02x' 1\n", c + 1, (unsigned)c);
        for (int n = 2; n <= RUN; n++) {
            char x[RUN + 1];
            growth_add(&b, "%d '%s' %d\n", 255 + n, run_of('a', n, x), n);
        }
        t = open_bytes(&b, "rwkv_vocab_v20230424.txt");
    } else if (i < 9) {
        *name = i == 7 ? "bytes" : "characters";
        mt_load_options o = {.name = mt_str_of(i == 7 ? "byt5" : "canine"), .lowercase = -1};
        if (mt_tok_load(NULL, 0, &o, &t, &err) != MT_OK) {
            printf("%s does not load: %s\n", *name, err.text);
            exit(2);
        }
    }
    mt_buf_free(&b);
    return t;
}
