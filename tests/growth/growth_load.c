/* Files that grow: JSON, definitions of tokenizers in every format, GGUF and safetensors. What is refused at once is
 * refused with a message. */
#include "base/json.h"
#include "growth_defs.h"
#include "model/model.h"

/* before part*n after*n end; %zu in the part is i, %S a run of i letters (up to `run`) */
typedef struct shape {
    const char *name, *before, *part, *after, *end;
    int form; /* 0: JSON by itself; 1: a definition; 2: a list of another format; 3: safetensors */
    const char *file;
} shape;

static const shape shapes[] = {
    {"arrays in arrays", "", "[", "]", "", 0, NULL},
    {"objects in objects", "", "{\"a\":", "}", "1", 0, NULL},
    {"a wide array", "[0", ",1", "", "]", 0, NULL},
    {"one key again and again", "{\"a\":1", ",\"a\":1", "", "}", 0, NULL},
    {"a long string", "\"", "aaaa", "", "\"", 0, NULL},
    {"escapes", "\"", "\\u00e9\\n", "", "\"", 0, NULL},
    {"digits", "1", "1", "", "", 0, NULL},
    {"digits behind a point", "0.", "0", "", "1e9", 0, NULL},
    {"strings never closed", "[", "\"", "", "", 0, NULL},
    {"white space", "[", "  \n", "", "]", 0, NULL},

    {"tokens", "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"[UNK]\":0", ",\"w%zu\":%zu", "", "}}}", 1, NULL},
    {"tokens that share an id", "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"[UNK]\":0", ",\"w%zu\":1", "", "}}}",
     1, NULL},
    {"one token with many ids", "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"[UNK]\":0", ",\"w\":%zu", "", "}}}", 1,
     NULL},
    {"ids far apart", "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"[UNK]\":0", ",\"w%zu\":%zu0", "", "}}}", 1,
     NULL},
    {"pieces", "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"\",0]", ",[\"w%zu\",-1.5]", "", "]}}", 1,
     NULL},
    {"one piece again and again", "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"\",0]", ",[\"w\",-1.5]",
     "", "]}}", 1, NULL},
    {"pieces one letter longer each", "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"\",0]",
     ",[\"%S\",-1]", "", "]}}", 1, NULL},
    {"one long piece", "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"\",0],[\"", "aaaa", "", "\",-1]]}}",
     1, NULL},
    {"merges of one pair", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[\"a a\"", ",\"a a\"",
     "", "]}}", 1, NULL},
    {"merges one letter longer each", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"%V\"", "", "", "", 4, NULL},
    {"merges before the vocabulary", "{\"model\":{\"type\":\"BPE\",\"merges\":[\"a a\"", ",\"a a\"", "",
     "],\"vocab\":{\"a\":0,\"aa\":1}}}", 1, NULL},
    {"added tokens", "{\"added_tokens\":[{\"id\":1,\"content\":\"x\"}", ",{\"content\":\"<%zu>\",\"special\":true}", "",
     "],\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"u\",\"vocab\":{\"u\":0}}}", 1, NULL},
    {"added tokens one letter longer each", "{\"added_tokens\":[{\"id\":1,\"content\":\"x\"}", ",{\"content\":\"%S\"}",
     "", "],\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"u\",\"vocab\":{\"u\":0}}}", 1, NULL},
    {"one added token again and again", "{\"added_tokens\":[{\"id\":1,\"content\":\"x\"}",
     ",{\"id\":1,\"content\":\"x\"}", "",
     "],\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"u\",\"vocab\":{\"u\":0}}}", 1, NULL},
    {"normalizers", "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"}", ",{\"type\":\"NFC\"}",
     "", "]},\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"u\",\"vocab\":{\"u\":0}}}", 1, NULL},
    {"normalizers that double the text", "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"}",
     ",{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aa\"}", "",
     "]},\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"u\",\"vocab\":{\"u\":0}}}", 5, NULL},
    {"sequences in sequences", "{\"normalizer\":", "{\"normalizers\":[", "],\"type\":\"Sequence\"}",
     "{\"type\":\"NFC\"}", 6, NULL},
    {"splitters", "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Whitespace\"}",
     ",{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a%zu\"},\"behavior\":\"Isolated\",\"invert\":false}", "",
     "]},\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"u\",\"vocab\":{\"u\":0}}}", 1, NULL},
    {"decoders", "{\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"}",
     ",{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aa\"}", "",
     "]},\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"a\",\"vocab\":{\"a\":0}}}", 1, NULL},
    {"decoders that double the text", "{\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"}",
     ",{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aa\"}", "",
     "]},\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"a\",\"vocab\":{\"a\":0}}}", 5, NULL},
    {"a template of many special tokens",
     "{\"post_processor\":{\"type\":\"TemplateProcessing\",\"pair\":[],\"single\":[{\"Sequence\":{\"id\":\"A\",\"type_"
     "id\":0}}",
     ",{\"SpecialToken\":{\"id\":\"%zu\",\"type_id\":0}}", "",
     "],\"special_tokens\":{\"u\":{\"id\":\"u\",\"ids\":[0]}%T}},\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"a\","
     "\"vocab\":{\"a\":0}}}",
     1, NULL},
    {"a template that repeats the text",
     "{\"post_processor\":{\"type\":\"TemplateProcessing\",\"pair\":[],\"single\":[{\"Sequence\":{\"id\":\"A\",\"type_"
     "id\":0}}",
     ",{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}", "",
     "],\"special_tokens\":{}},\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"a\",\"vocab\":{\"a\":0}}}", 1, NULL},
    {"unknown settings", "{\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"a\",\"vocab\":{\"a\":0}}", ",\"odd%zu\":1",
     "", "}", 1, NULL},

    {"vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n", "w%zu\n", "", "", 2, "vocab.txt"},
    {"vocab.txt of one word", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n", "w\n", "", "", 2, "vocab.txt"},
    {"vocab.json", "{\"<unk>\":0", ",\"w%zu\":%zu", "", "}", 2, "vocab.json"},
    {"ranks", "YQ== 0\n", "%B %zu\n", "", "", 2, "mine.tiktoken"},
    {"ranks of one token", "YQ== 0\n", "YQ== %zu\n", "", "", 2, "mine.tiktoken"},
    {"world vocabulary", "1 'a' 1\n", "%zu 'w%zu' 5\n", "", "", 2, "rwkv_vocab_v20230424.txt"},

    {"safetensors: layers", "{%N", "", "", "}", 3, NULL},
    {"safetensors: tensors", "{%M", ",\"t%zu\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}", "", "}", 3,
     NULL},
    {"safetensors: one tensor again and again", "{%M",
     ",\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}", "", "}", 3, NULL},
    {"safetensors: dimensions", "{%M,\"a\":{\"dtype\":\"F32\",\"shape\":[1", ",1", "", "],\"data_offsets\":[0,4]}}", 3,
     NULL},
};

/* A GPT-2 of n layers, eight wide, as the header of safetensors names it; returns its bytes */
static size_t gpt2(mt_buf *b, size_t n) {
    static const struct {
        const char *name;
        unsigned rows, columns;
    } all[] = {{"wte.weight", 8, 8},
               {"wpe.weight", 8, 8},
               {"h.ln_1.weight", 0, 8},
               {"h.ln_1.bias", 0, 8},
               {"h.attn.c_attn.weight", 8, 24},
               {"h.attn.c_attn.bias", 0, 24},
               {"h.attn.c_proj.weight", 8, 8},
               {"h.attn.c_proj.bias", 0, 8},
               {"h.ln_2.weight", 0, 8},
               {"h.ln_2.bias", 0, 8},
               {"h.mlp.c_fc.weight", 8, 32},
               {"h.mlp.c_fc.bias", 0, 32},
               {"h.mlp.c_proj.weight", 32, 8},
               {"h.mlp.c_proj.bias", 0, 8},
               {"ln_f.weight", 0, 8},
               {"ln_f.bias", 0, 8}};
    size_t at = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        bool in_layer = *all[i].name == 'h';
        for (size_t l = 0; l < (in_layer ? n : 1); l++) {
            size_t from = at;
            at += 4 * (size_t)all[i].columns * (all[i].rows ? all[i].rows : 1);
            growth_add(b, at > 256 ? ",\"" : "\"");
            if (in_layer) growth_add(b, "h.%zu.", l);
            growth_add(b, "%s\":{\"dtype\":\"F32\",\"shape\":[", all[i].name + (in_layer ? 2 : 0));
            if (all[i].rows) growth_add(b, "%u,", all[i].rows);
            growth_add(b, "%u],\"data_offsets\":[%zu,%zu]}", all[i].columns, from, at);
        }
    }
    return at;
}

/* %M: the tensors of gpt2 with one layer, %N: with n; %zu: i + 10; %S: i letters; %B: i + 1 in base64 of four bytes;
 * %T: n special tokens */
static void put(mt_buf *b, const char *s, size_t i, size_t n) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (; *s; s++)
        if (!strncmp(s, "%zu", 3))
            growth_add(b, "%zu", i + 10), s += 2;
        else if (!strncmp(s, "%M", 2))
            gpt2(b, 1), s++;
        else if (!strncmp(s, "%N", 2))
            gpt2(b, n), s++;
        else if (!strncmp(s, "%S", 2))
            for (size_t k = 0; k <= i || !s++; k++) mt_buf_byte(b, 'a', NULL);
        else if (!strncmp(s, "%B", 2)) {
            for (int k = 18; k >= 0; k -= 6) mt_buf_byte(b, (uint8_t)letters[i >> k & 63], NULL);
            s++;
        } else if (!strncmp(s, "%T", 2)) {
            for (size_t k = 0; k < n; k++) growth_add(b, ",\"%zu\":{\"id\":\"%zu\",\"ids\":[0]}", k + 10, k + 10);
            s++;
        } else
            mt_buf_byte(b, (uint8_t)*s, NULL);
}

static void make(const shape *s, size_t n, mt_buf *b) {
    if (s->form == 4) { /* a, aa, aaa... and what joins them: n bytes in all */
        n = (size_t)sqrt(2 * (double)n);
        growth_add(b, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0");
        for (size_t i = 1; i < n; i++) put(b, ",\"%S\":", i, n), growth_add(b, "%zu", i);
        growth_add(b, "},\"merges\":[");
        for (size_t i = 0; i + 1 < n; i++) growth_add(b, i ? "," : ""), put(b, "[\"%S\",\"a\"]", i, n);
        growth_add(b, "]}}");
        return;
    }
    put(b, s->before, 0, n);
    bool longer = strstr(s->part, "%S") != NULL; /* n bytes in all, not n pieces */
    for (size_t i = 0, bytes = 0; longer ? bytes < n : i < n; bytes += i++) put(b, s->part, i, n);
    put(b, s->end, 0, n);
    for (size_t i = 0; i < n; i++) put(b, s->after, i, n);
    if (s->form == 6) growth_add(b, ",\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"u\",\"vocab\":{\"u\":0}}}");
}

static mt_status read_file(const void *with, size_t n, mt_error *err) {
    const shape *s = with;
    mt_buf b = {0};
    mt_status status;
    make(s, n, &b);
    growth_start();
    if (s->form == 0) {
        mt_json j;
        mt_json_open(&j, b.data, b.len, err);
        mt_json_skip(&j);
        status = mt_json_close(&j);
        if (status == MT_OK && *s->before == '[') {
            mt_json_open(&j, b.data, b.len, err);
            mt_json_array(&j);
            while (mt_json_next(&j)) mt_json_number(&j);
            status = mt_json_close(&j);
        } else if (status == MT_OK && *s->before == '"') {
            mt_json_open(&j, b.data, b.len, err);
            mt_json_string(&j);
            status = mt_json_close(&j);
        } else if (status == MT_OK && *s->before != '{') {
            mt_json_open(&j, b.data, b.len, err);
            mt_json_number(&j);
            status = mt_json_close(&j);
        }
    } else if (s->form == 3) {
        mt_loader *l = NULL;
        mt_model *m = NULL;
        mt_buf f = {0};
        uint64_t head = b.len;
        size_t layers = strstr(s->before, "%N") ? n : 1;
        char config[128];
        snprintf(config, sizeof config,
                 "{\"model_type\":\"gpt2\",\"n_embd\":8,\"n_layer\":%zu,\"n_head\":2,\"vocab_size\":8,"
                 "\"n_positions\":8}",
                 layers);
        mt_buf_add(&f, &head, 8, NULL);
        mt_buf_add(&f, b.data, b.len, NULL);
        mt_buf names = {0};
        for (size_t i = gpt2(&names, layers); i; i--) mt_buf_byte(&f, 0, NULL);
        mt_buf_free(&names);
        status = mt_loader_new(f.len, &l, err);
        if (status == MT_OK) status = mt_loader_config(l, (const uint8_t *)config, strlen(config), err);
        for (size_t i = 0; i < f.len && status == MT_OK; i += 1000)
            status = mt_loader_push(l, f.data + i, f.len - i < 1000 ? f.len - i : 1000, err);
        if (status == MT_OK)
            status = mt_loader_finish(l, &m, err);
        else if (l)
            mt_loader_free(l);
        if (m) mt_model_free(m);
        mt_buf_free(&f);
    } else {
        mt_tok *t = NULL;
        mt_load_options o = {.name = mt_str_of(s->file ? s->file : "tokenizer.json"),
                             .lowercase = -1,
                             .pattern = mt_str_of(s->file && strstr(s->file, "tiktoken") ? "\\w+|\\W" : "")};
        status = mt_tok_load(b.data, b.len, &o, &t, err);
        if (status == MT_OK) { /* and what is made when it is first used */
            static const char text[] = "a aa aaaa x w12 <10> baab";
            mt_encoding e = {0};
            mt_buf out = {0};
            size_t count;
            status = mt_tok_encode(t, (const uint8_t *)text, strlen(text),
                                   &(mt_encode_options){.add_special_tokens = true}, true, &e, err);
            if (status == MT_EMISSING) status = MT_OK; /* no unknown token */
            if (status == MT_OK) status = mt_tok_decode(t, e.ids.data, e.ids.len, &(mt_decode_options){0}, &out, err);
            mt_tok_sorted(t, &count);
            mt_tok_find(t, mt_str_of("w500"));
            mt_encoding_free(&e);
            out.len = 0;
            if (status == MT_OK && s->form == 1) status = mt_tok_to_binary(t, &out, err);
            mt_tok *twin = NULL;
            if (status == MT_OK && out.len) status = mt_tok_load(out.data, out.len, NULL, &twin, err);
            if (twin) mt_tok_free(twin);
            mt_buf_free(&out);
            mt_tok_free(t);
        }
    }
    growth_stop();
    mt_buf_free(&b);
    return status;
}

/* ---- GGUF and SentencePiece ---- */

static void put64(mt_buf *b, uint64_t v) {
    mt_buf_add(b, &v, 8, NULL);
}
static void put32(mt_buf *b, uint32_t v) {
    mt_buf_add(b, &v, 4, NULL);
}
static void text_of(mt_buf *b, const char *s) {
    put64(b, strlen(s));
    mt_buf_add(b, s, strlen(s), NULL);
}

enum {
    LAYERS,
    KEYS,
    TENSORS,
    TOKENS,
    EQUAL_TOKENS,
    EQUAL_KEYS,
    MANY_KEYS_SAID,
    MANY_TENSORS_SAID,
    LONG_ARRAY_SAID,
    LONG_TEXT_SAID,
    ARRAYS,
    ALL
};
static const char *const gguf_names[] = {"layers",
                                         "keys",
                                         "tensors",
                                         "tokens",
                                         "equal tokens",
                                         "equal keys",
                                         "2^60 keys announced",
                                         "2^60 tensors announced",
                                         "an array of 2^60 announced",
                                         "a string of 2^60 announced",
                                         "arrays in arrays"};
/* A llama of n layers, eight wide, all zeros; `at` is where the next tensor's data begins */
static uint64_t llama(mt_buf *b, size_t vocab, size_t n, uint64_t *at) {
    static const struct {
        const char *name;
        bool matrix;
    } all[] = {{"attn_norm", false}, {"attn_q", true},   {"attn_k", true}, {"attn_v", true},  {"attn_output", true},
               {"ffn_norm", false},  {"ffn_gate", true}, {"ffn_up", true}, {"ffn_down", true}};
    enum { IN_LAYER = sizeof all / sizeof *all };
    for (size_t i = 0; i < n * IN_LAYER + 2; i++) {
        char name[64];
        uint64_t rows = i == 0 ? vocab : i == 1 ? 1 : all[(i - 2) % IN_LAYER].matrix ? 8 : 1;
        if (i < 2)
            snprintf(name, sizeof name, "%s.weight", i ? "output_norm" : "token_embd");
        else
            snprintf(name, sizeof name, "blk.%zu.%s.weight", (i - 2) / IN_LAYER, all[(i - 2) % IN_LAYER].name);
        text_of(b, name), put32(b, rows > 1 ? 2 : 1), put64(b, 8);
        if (rows > 1) put64(b, rows);
        put32(b, 0), put64(b, *at), *at += rows * 32;
    }
    return n * IN_LAYER + 2;
}

static mt_status gguf(const void *with, size_t n, mt_error *err) {
    int kind = *(const int *)with;
    mt_buf b = {0}, k = {0};
    char name[64];
    uint64_t keys = 1, tensors = 0, data = 0, huge = UINT64_C(1) << 60;
    static const char *const sizes[] = {"block_count", "embedding_length", "feed_forward_length", "context_length",
                                        "attention.head_count"};
    text_of(&k, "general.architecture"), put32(&k, MT_GGUF_STRING), text_of(&k, "llama");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++, keys++) {
        snprintf(name, sizeof name, "llama.%s", sizes[i]);
        text_of(&k, name), put32(&k, MT_GGUF_U32), put32(&k, i % 4 ? 8 : i == 0 && kind == LAYERS ? (uint32_t)n : 1);
    }
    text_of(&k, "llama.attention.layer_norm_rms_epsilon"), put32(&k, MT_GGUF_F32);
    mt_buf_add(&k, &(float){1e-5F}, sizeof(float), NULL), keys++;
    if (kind == KEYS || kind == EQUAL_KEYS)
        for (size_t i = 0; i < n; i++) {
            snprintf(name, sizeof name, "k%zu", kind == KEYS ? i : 0);
            text_of(&k, name), put32(&k, MT_GGUF_U32), put32(&k, 1), keys++;
        }
    if (kind == TOKENS || kind == EQUAL_TOKENS) {
        text_of(&k, "tokenizer.ggml.model"), put32(&k, MT_GGUF_STRING), text_of(&k, "llama"), keys++;
        text_of(&k, "tokenizer.ggml.tokens"), put32(&k, MT_GGUF_ARRAY), put32(&k, MT_GGUF_STRING), put64(&k, n), keys++;
        for (size_t i = 0; i < n; i++) {
            snprintf(name, sizeof name, "t%zu", kind == TOKENS ? i : 0);
            text_of(&k, name);
        }
        text_of(&k, "tokenizer.ggml.scores"), put32(&k, MT_GGUF_ARRAY), put32(&k, MT_GGUF_F32), put64(&k, n), keys++;
        for (size_t i = 0; i < n; i++) put32(&k, 0);
    }
    if (kind == LONG_ARRAY_SAID)
        text_of(&k, "a"), put32(&k, MT_GGUF_ARRAY), put32(&k, MT_GGUF_U64), put64(&k, huge), keys++;
    if (kind == LONG_TEXT_SAID) text_of(&k, "a"), put32(&k, MT_GGUF_STRING), put64(&k, huge), keys++;
    if (kind == ARRAYS) {
        text_of(&k, "a"), put32(&k, MT_GGUF_ARRAY), keys++;
        for (size_t i = 0; i < n; i++) put32(&k, MT_GGUF_ARRAY), put64(&k, 1);
        put32(&k, MT_GGUF_U32), put64(&k, 1), put32(&k, 1);
    }
    tensors = llama(&k, kind == TOKENS || kind == EQUAL_TOKENS ? n : 8, kind == LAYERS ? n : 1, &data);
    if (kind == TENSORS)
        for (size_t i = 0; i < n; i++) {
            snprintf(name, sizeof name, "t%zu", i);
            text_of(&k, name), put32(&k, 1), put64(&k, 8), put32(&k, 0), put64(&k, data), tensors++, data += 32;
        }
    mt_buf_add(&b, "GGUF", 4, NULL), put32(&b, 3);
    put64(&b, kind == MANY_TENSORS_SAID ? huge : tensors), put64(&b, kind == MANY_KEYS_SAID ? huge : keys);
    mt_buf_add(&b, k.data, k.len, NULL);
    if (kind >= MANY_KEYS_SAID && kind < ARRAYS) /* and what follows has the size */
        for (size_t i = 0; i < n; i++) put64(&b, 0);
    while (b.len % 32) mt_buf_byte(&b, 0, NULL);
    for (uint64_t i = 0; i < data; i++) mt_buf_byte(&b, 0, NULL);
    mt_gguf g = {0};
    mt_tok *t = NULL;
    mt_loader *l = NULL;
    mt_model *m = NULL;
    size_t need;
    growth_start();
    mt_status status = mt_gguf_parse(&g, b.data, b.len, b.len, &need, err);
    if (status == MT_OK && (kind == TOKENS || kind == EQUAL_TOKENS)) {
        status = mt_tok_load_gguf(&g, &t, err);
        size_t count;
        if (t) mt_tok_sorted(t, &count), mt_tok_find(t, mt_str_of("t77"));
    }
    mt_gguf_free(&g);
    if (status == MT_OK) status = mt_loader_new(b.len, &l, err);
    for (size_t i = 0; i < b.len && status == MT_OK; i += 4096)
        status = mt_loader_push(l, b.data + i, b.len - i < 4096 ? b.len - i : 4096, err);
    if (status == MT_OK)
        status = mt_loader_finish(l, &m, err);
    else if (l)
        mt_loader_free(l);
    if (m) mt_model_free(m);
    if (t) mt_tok_free(t);
    growth_stop();
    mt_buf_free(&k);
    mt_buf_free(&b);
    return status;
}

static mt_status sp(const void *with, size_t n, mt_error *err) {
    int kind = *(const int *)with;
    mt_buf b = {0};
    mt_tok *t = NULL;
    growth_sp(kind % 4 + 1, &b);
    for (size_t i = 0; i < n; i++) { /* pieces: different, equal, user-defined; unknown fields; a length of 2^60 */
        char s[32];
        int k = snprintf(s, sizeof s, "\xe2\x96\x81w%zu", kind / 4 == 1 ? 0 : i);
        if (kind / 4 == 3) {
            mt_buf_add(&b, "\x78\x01", 2, NULL);
            continue;
        }
        mt_buf_byte(&b, 10, NULL);
        mt_buf_byte(&b, (uint8_t)(k + 4), NULL);
        mt_buf_byte(&b, 10, NULL);
        mt_buf_byte(&b, (uint8_t)k, NULL);
        mt_buf_add(&b, s, (size_t)k, NULL);
        mt_buf_byte(&b, 24, NULL);
        mt_buf_byte(&b, kind / 4 == 2 ? 4 : 1, NULL);
    }
    if (kind / 4 == 4) mt_buf_add(&b, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x0f", 10, NULL);
    growth_start();
    mt_status status = mt_tok_load_spm(b.data, b.len, &t, err);
    if (t) {
        static const char text[] = "aaaa w12 w13 baab";
        mt_encoding e = {0};
        size_t count;
        status = mt_tok_encode(t, (const uint8_t *)text, strlen(text), &(mt_encode_options){0}, true, &e, err);
        mt_tok_sorted(t, &count);
        mt_encoding_free(&e);
        mt_tok_free(t);
    }
    growth_stop();
    mt_buf_free(&b);
    return status;
}

void growth_load(void) {
    char what[128];
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        static const char *const entries[] = {"JSON",           "tokenizer.json", "other definitions", "safetensors",
                                              "tokenizer.json", "tokenizer.json", "tokenizer.json"};
        size_t first = shapes[i].form == 5 || shapes[i].form == 6 ? 8 : strstr(shapes[i].before, "%N") ? 64 : 2048;
        growth_case(entries[shapes[i].form], shapes[i].name, first, read_file, &shapes[i]);
    }
    for (int kind = 0; kind < ALL; kind++)
        growth_case("GGUF", gguf_names[kind], kind == LAYERS ? 64 : 2048, gguf, &kind);
    for (int kind = 0; kind < 20; kind++) {
        static const char *const models[] = {"Unigram", "BPE", "words", "characters"}, *const parts[] = {
                                                                                           "pieces", "equal pieces",
                                                                                           "user-defined pieces",
                                                                                           "unknown fields",
                                                                                           "a length of 2^60"};
        snprintf(what, sizeof what, "%s, %s", models[kind % 4], parts[kind / 4]);
        growth_case("SentencePiece file", what, 1024, sp, &kind);
    }
}
