/* The binary form of tokenizers: it is the same tokenizer in everything, and whatever bytes a file has, the answer is
 * an error or a tokenizer that works without fault (under the sanitizers). */
#include "test.h"

#include "token/binary.h"
#include "token/choose.h"

static mt_error err;

static const char text[] =
    "ab unaffable  ab\xC3\xA9 e\xCC\x81 <s> ab<|end|> \xE2\x96\x81 a!\xFF the the abab babab aab "
    "<0x41> A\n\n1234 \xE4\xB8\xAD\xE6\x96\x87";

/* ---- definitions ---- */

static const char *const json[] = {
    /* byte-level BPE, template, added tokens */
    "{\"added_tokens\":[{\"id\":9,\"content\":\"<|end|>\",\"special\":true,\"normalized\":false,\"rstrip\":true},"
    "{\"id\":10,\"content\":\"!\",\"special\":false,\"normalized\":true,\"single_word\":true}],"
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Replace\",\"pattern\":{"
    "\"Regex\":"
    "\"x+\"},\"content\":\"y\"}]},"
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true},"
    "\"post_processor\":{\"type\":\"RobertaProcessing\",\"sep\":[\"<|end|>\",9],\"cls\":[\"<|end|>\",9],\"trim_"
    "offsets\":"
    "true,\"add_prefix_space\":true},\"decoder\":{\"type\":\"ByteLevel\"},"
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"\\u0120\":2,\"ab\":3,\"\\u0120ab\":4,\"\\u00c3\":5,"
    "\"\\u00a9\":6,"
    "\"\\u00c3\\u00a9\":7,\"\\u0120a\":8},\"merges\":[\"a b\",\"\\u0120 ab\",[\"\\u00c3\",\"\\u00a9\"],\"\\u0120 "
    "a\"]}}",
    /* characters, byte fallback, fused unknowns, as Gemma and Llama 2 have them */
    "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true,\"normalized\":false},{\"id\":1,\"content\":"
    "\"<s>\","
    "\"special\":true,\"normalized\":false,\"lstrip\":true}],"
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\\u2581\"},{\"type\":"
    "\"Replace\",\"pattern\":{\"String\":\" "
    "\"},\"content\":\"\\u2581\"}]},\"pre_tokenizer\":null,\"post_processor\":null,"
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"\\u2581\"},"
    "\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" "
    "\",\"start\":1,"
    "\"stop\":0}]},\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"fuse_unk\":true,\"byte_fallback\":true,"
    "\"vocab\":{"
    "\"<unk>\":0,\"<s>\":1,\"<0xC3>\":2,\"<0xA9>\":3,\"a\":4,\"b\":5,\"\\u2581\":6,\"ab\":7,\"\\u2581ab\":8,\"aba\":9},"
    "\"merges\":[\"a b\",\"\\u2581 ab\",\"ab a\"]}}",
    /* place in the word: prefix and suffix */
    "{\"normalizer\":{\"type\":\"Lowercase\"},\"pre_tokenizer\":{\"type\":\"Whitespace\"},\"decoder\":{\"type\":"
    "\"BPEDecoder\","
    "\"suffix\":\"</w>\"},\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"end_of_word_suffix\":\"</"
    "w>\",\"vocab\":{"
    "\"<unk>\":0,\"a\":1,\"b\":2,\"a</w>\":3,\"b</w>\":4,\"ab</w>\":5,\"e</w>\":6},\"merges\":[\"a b</w>\"]}}",
    /* Unigram with a character map and everything around it */
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Precompiled\",\"precompiled_charsmap\":"
    "\"CAAAAAAEAAAAAAAAYQA=\"},{\"type\":\"StripAccents\"},{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":"
    "false}]},"
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"WhitespaceSplit\"},{\"type\":\"Digits\","
    "\"individual_digits\":true},{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"always\"}]},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"</"
    "s>\",\"type_id\":0}},{"
    "\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{"
    "\"SpecialToken\":{"
    "\"id\":\"</s>\",\"type_id\":1}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],\"special_tokens\":{\"</s>\":{\"id\":"
    "\"</s>\",\"ids\":[6],\"tokens\":[\"</s>\"]}}},\"decoder\":{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\"},"
    "\"added_tokens\":[{\"id\":6,\"content\":\"</s>\",\"special\":true,\"normalized\":false}],"
    "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"byte_fallback\":false,\"vocab\":[[\"<unk>\",0],[\"\\u2581\",-2.5],["
    "\"a\","
    "-3.1],[\"b\",-3.2],[\"\\u2581ab\",-4.0],[\"the\",-5.25]]}}",
    /* WordPiece as BERT has it */
    "{\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_accents\":"
    "null,"
    "\"lowercase\":true},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"post_processor\":{\"type\":"
    "\"BertProcessing\","
    "\"sep\":[\"[SEP]\",2],\"cls\":[\"[CLS]\",1]},\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":"
    "true},"
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\","
    "\"max_input_chars_per_word\":100,\"vocab\":{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"un\":3,\"##aff\":4,\"##able\":5,"
    "\"aff\":6,\"##a\":7,\"able\":8,\"!\":9,\"the\":10,\"a\":11}}}",
    /* whole words */
    "{\"pre_tokenizer\":{\"type\":\"CharDelimiterSplit\",\"delimiter\":\" "
    "\"},\"decoder\":{\"type\":\"CTC\",\"pad_token\":"
    "\"<pad>\",\"word_delimiter_token\":\"|\",\"cleanup\":true},\"truncation\":{\"max_length\":5},\"model\":{\"type\":"
    "\"WordLevel\",\"unk_token\":\"?\",\"vocab\":{\"?\":0,\"ab\":1,\"the\":2,\"\":3}}}",
    /* Picky BPE */
    "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"decoder\":{\"type\":\"ByteLevel\"},"
    "\"model\":{"
    "\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"\\u0120\":2,\"aba\":3},\"merges\":[],\"microtome\":{\"segmenter\":"
    "\"picky-bpe\",\"removed\":[\"ab\"],\"events\":[[0,1,-1],[-1,0,3],[-1,[0,1]]]}}}",
};

/* SentencePiece: a Unigram and a BPE model with every type of piece. */
static void put(mt_buf *b, uint32_t field, const void *p, size_t n) {
    CHECK_OK(mt_buf_byte(b, (uint8_t)(field << 3 | 2), &err));
    CHECK_OK(mt_buf_byte(b, (uint8_t)n, &err));
    CHECK_OK(mt_buf_add(b, p, n, &err));
}
static void sentencepiece(mt_buf *b, bool bpe) {
    static const struct {
        const char *piece;
        float score;
        uint8_t type;
    } list[] = {{"<unk>", 0, 2},
                {"<s>", 0, 3},
                {"</s>", 0, 3},
                {"<0x41>", 0, 6},
                {"\xE2\x96\x81", -2, 1},
                {"a", -3, 1},
                {"b", -3.5f, 1},
                {"ab", -1, 1},
                {"\xE2\x96\x81"
                 "ab",
                 -1.5f, 1},
                {"aba", -1.25f, 5},
                {"the", 0, 4},
                {"abab", -6, 1}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        mt_buf one = {0};
        put(&one, 1, list[i].piece, strlen(list[i].piece));
        CHECK_OK(mt_buf_byte(&one, 2 << 3 | 5, &err));
        CHECK_OK(mt_buf_add(&one, &list[i].score, 4, &err));
        CHECK_OK(mt_buf_byte(&one, 3 << 3, &err));
        CHECK_OK(mt_buf_byte(&one, list[i].type, &err));
        put(b, 1, one.data, one.len);
        mt_buf_free(&one);
    }
    uint8_t trainer[] = {3 << 3, (uint8_t)(bpe ? 2 : 1)};
    put(b, 2, trainer, sizeof trainer);
    static const uint8_t map[] = {4, 0, 0, 0, 0, 4, 0, 0, 'a', 0};
    mt_buf norm = {0};
    put(&norm, 2, map, sizeof map);
    put(b, 3, norm.data, norm.len);
    put(b, 5, norm.data, norm.len);
    mt_buf_free(&norm);
}

typedef struct definition {
    char name[40];
    mt_buf bytes;
    mt_load_options options;
} definition;
static definition *definitions;
static size_t definition_count;

static definition *define(const char *name, const void *p, size_t n) {
    definition *d = &definitions[definition_count++];
    snprintf(d->name, sizeof d->name, "%s", name);
    CHECK_OK(mt_buf_add(&d->bytes, p, n, &err));
    d->options = (mt_load_options){mt_str_of(""), mt_str_of(""), mt_str_of(""), -1};
    return d;
}

static void define_all(void) {
    static const char *const names[] = {
        "byte-level BPE", "characters with bytes", "suffixes", "Unigram", "WordPiece", "WordLevel", "Picky BPE"};
    definitions = calloc(20, sizeof *definitions);
    for (size_t i = 0; i < sizeof json / sizeof *json; i++) define(names[i], json[i], strlen(json[i]));
    for (int bpe = 0; bpe < 2; bpe++) {
        mt_buf b = {0};
        sentencepiece(&b, bpe);
        define(bpe ? "SentencePiece BPE" : "SentencePiece Unigram", b.data, b.len);
        mt_buf_free(&b);
    }
    static const char ranks[] = "YQ== 0\nYg== 1\nIA== 2\nYWI= 3\nIGFi 4\nYWJhYg== 5\nIHRoZQ== 7\n";
    define("ranks", ranks, sizeof ranks - 1)->options.name = mt_str_of("cl100k");
    static const char rwkv[] = "1 'a' 1\n2 'ab' 2\n3 b'\\xff' 1\n4 ' ' 1\n5 ' the' 4\n";
    define("RWKV", rwkv, sizeof rwkv - 1);
    static const char words[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\nthe\n!\n";
    define("vocab.txt", words, sizeof words - 1);
    define("bytes", "", 0)->options.name = mt_str_of("byt5");
}

/* ---- the same tokenizer ---- */

static mt_status saved(mt_tok *t, mt_buf *out) {
    *out = (mt_buf){0};
    return mt_tok_to_binary(t, out, &err);
}
static mt_status loaded(const uint8_t *p, size_t n, mt_tok **out) {
    *out = NULL;
    uint8_t *own = mt_malloc(n);
    if (!own) return mt_nomem(&err, n, "a copy");
    if (n) memcpy(own, p, n);
    return mt_tok_from_binary(own, n, out, &err);
}

static bool same_encoding(const mt_encoding *a, const mt_encoding *b) {
    if (a->ids.len != b->ids.len || !a->ids.len) return a->ids.len == b->ids.len;
    return !memcmp(a->ids.data, b->ids.data, a->ids.len * sizeof(int32_t)) &&
           !memcmp(a->spans, b->spans, a->ids.len * sizeof *a->spans);
}

static void compare_text(mt_tok *t, mt_tok *u, const uint8_t *p, size_t n) {
    for (int how = 0; how < 6; how++) {
        static const mt_choice_kind kinds[] = {MT_CHOICE_OWN, MT_CHOICE_LONGEST_PREFIX, MT_CHOICE_FEWEST,
                                               MT_CHOICE_DROPOUT_REQUEUE};
        mt_choice choice = {.by = &mt_choices, .kind = kinds[how > 2 ? how - 2 : 0], .p = 0.3, .seed = 7};
        mt_encode_options o = {.add_special_tokens = how & 1, .special_as_text = how == 2};
        if (how > 2) o.choice = &choice;
        mt_encoding a = {0}, b = {0};
        mt_error other;
        mt_status x = mt_tok_encode(t, p, n, &o, true, &a, &err), y = mt_tok_encode(u, p, n, &o, true, &b, &other);
        CHECK(x == y, "encoding: %s and %s", mt_status_name(x), mt_status_name(y));
        if (x != MT_OK && y != MT_OK) CHECK(!strcmp(err.text, other.text), "%s; %s", err.text, other.text);
        CHECK(same_encoding(&a, &b), "encodings differ, way %d", how);
        for (int skip = 0; skip < 3 && x == MT_OK; skip++) {
            mt_decode_options d = {.skip_special_tokens = skip == 1, .raw = skip == 2};
            mt_buf v = {0}, w = {0};
            CHECK_OK(mt_tok_decode(t, a.ids.data, a.ids.len, &d, &v, &err));
            CHECK_OK(mt_tok_decode(u, a.ids.data, a.ids.len, &d, &w, &err));
            CHECK(v.len == w.len && (!v.len || !memcmp(v.data, w.data, v.len)), "decoding differs");
            mt_buf_free(&v);
            mt_buf_free(&w);
        }
        mt_encoding_free(&a);
        mt_encoding_free(&b);
    }
    mt_encoding a = {0}, b = {0};
    mt_encode_options o = {.add_special_tokens = true, .types = true};
    mt_status x = mt_tok_encode_pair(t, p, n, p, n / 2, &o, true, &a, &err),
              y = mt_tok_encode_pair(u, p, n, p, n / 2, &o, true, &b, &err);
    CHECK(x == y && same_encoding(&a, &b), "pairs differ");
    if (x == MT_OK && a.ids.len) CHECK(!memcmp(a.types, b.types, a.ids.len * sizeof *a.types), "segments differ");
    mt_encoding_free(&a);
    mt_encoding_free(&b);
}

static void compare(mt_tok *t, mt_tok *u) {
    mt_tok_traits x, y;
    size_t m, n;
    CHECK(mt_tok_size(t) == mt_tok_size(u) && mt_tok_bos(t) == mt_tok_bos(u) && mt_tok_eos(t) == mt_tok_eos(u),
          "sizes");
    CHECK(!strcmp(mt_tok_model_name(t), mt_tok_model_name(u)), "%s, %s", mt_tok_model_name(t), mt_tok_model_name(u));
    CHECK(!strcmp(mt_tok_warnings(t), mt_tok_warnings(u)), "%s, %s", mt_tok_warnings(t), mt_tok_warnings(u));
    mt_tok_traits_get(t, &x);
    mt_tok_traits_get(u, &y);
    CHECK(x.byte_complete == y.byte_complete && x.spm_space == y.spm_space && x.prefix_space == y.prefix_space &&
              x.prefix_if_none == y.prefix_if_none && x.ignore_merges == y.ignore_merges &&
              x.byte_fallback == y.byte_fallback && x.splitters == y.splitters &&
              (x.unsupported == y.unsupported || !strcmp(x.unsupported, y.unsupported)),
          "traits");
    for (int32_t id = -1; id <= mt_tok_size(t); id++) {
        mt_str piece = mt_tok_piece(t, id);
        CHECK(mt_str_eq(piece, mt_tok_piece(u, id)) && mt_str_eq(mt_tok_bytes(t, id), mt_tok_bytes(u, id)) &&
                  mt_tok_kind(t, id) == mt_tok_kind(u, id),
              "token %d", id);
        CHECK(mt_tok_find(t, piece) == mt_tok_find(u, piece), "token %d: found %d and %d", id, mt_tok_find(t, piece),
              mt_tok_find(u, piece));
        CHECK(mt_tok_reachable(t, id) == mt_tok_reachable(u, id), "token %d", id);
        for (int32_t k = 0; k < mt_tok_size(t) && k < 20; k++)
            CHECK(mt_tok_pair_ok(t, id, k) == mt_tok_pair_ok(u, id, k), "tokens %d, %d", id, k);
        CHECK(t->vocab.score
                  ? u->vocab.score && (id < 0 || id >= mt_tok_size(t) || t->vocab.score[id] == u->vocab.score[id])
                  : !u->vocab.score,
              "score %d", id);
    }
    CHECK(mt_tok_find(t, mt_str_of("not there")) == -1 && mt_tok_find(u, mt_str_of("not there")) == -1, "found");
    const int32_t *a = mt_tok_sorted(t, &m), *b = mt_tok_sorted(u, &n);
    CHECK(m == n && !memcmp(a, b, n * sizeof *a), "sorted");
    compare_text(t, u, (const uint8_t *)text, sizeof text - 1);
    compare_text(t, u, (const uint8_t *)"", 0);
    mt_rng r;
    mt_rng_seed(&r, 3);
    for (int i = 0; i < 60; i++) { /* made of tokens */
        mt_buf s = {0};
        for (int k = 0; k < 12; k++) {
            mt_str one = mt_tok_bytes(t, (int32_t)mt_rng_below(&r, (uint64_t)mt_tok_size(t)));
            CHECK_OK(mt_buf_add(&s, one.p, one.n, &err));
            if (!mt_rng_below(&r, 3))
                CHECK_OK(mt_buf_byte(&s, (uint8_t)(mt_rng_below(&r, 4) ? ' ' : mt_rng_next(&r)), &err));
        }
        compare_text(t, u, s.data, s.len);
        mt_buf_free(&s);
    }
}

static void round_trip(const definition *d) {
    char title[80];
    snprintf(title, sizeof title, "binary: %s there and back", d->name);
    CASE(title);
    size_t before = mt_live_allocations();
    mt_tok *t = NULL, *u = NULL, *w = NULL;
    mt_buf one, two;
    CHECK_OK(mt_tok_load(d->bytes.data, d->bytes.len, &d->options, &t, &err));
    if (!t) return;
    CHECK_OK(saved(t, &one));
    CHECK(mt_tok_is_binary(one.data, one.len), "its first bytes");
    CHECK_OK(loaded(one.data, one.len, &u));
    if (u) {
        CHECK_OK(saved(u, &two));
        CHECK(one.len == two.len && !memcmp(one.data, two.data, two.len), "saved again it is other bytes");
        compare(t, u);
        mt_buf_free(&two);
        CHECK_OK(saved(u, &two)); /* after use too */
        CHECK(one.len == two.len && !memcmp(one.data, two.data, two.len), "after use it is other bytes");
        mt_buf_free(&two);
    }
    CHECK_OK(mt_tok_load(one.data, one.len, NULL, &w, &err)); /* recognised by its bytes */
    if (w) compare_text(t, w, (const uint8_t *)text, sizeof text - 1);
    mt_tok_free(w);
    mt_tok_free(u);
    /* failing allocation, in both directions */
    for (int64_t n = 0; n < 3000; n++) {
        uint8_t *own = mt_malloc(one.len);
        memcpy(own, one.data, one.len);
        mt_fail_allocation_after(n);
        mt_status s = mt_tok_from_binary(own, one.len, &u, &err);
        mt_fail_allocation_after(-1);
        CHECK(s == MT_OK || (s == MT_ENOMEM && !u), "allocation %d: %s: %s", (int)n, mt_status_name(s), err.text);
        mt_tok_free(u);
        if (s == MT_OK) break;
    }
    for (int64_t n = 0; n < 3000; n++) {
        two = (mt_buf){0};
        mt_fail_allocation_after(n);
        mt_status s = mt_tok_to_binary(t, &two, &err);
        mt_fail_allocation_after(-1);
        CHECK(s == MT_OK || (s == MT_ENOMEM && !two.data), "allocation %d: %s: %s", (int)n, mt_status_name(s),
              err.text);
        if (s == MT_OK) CHECK(two.len == one.len && !memcmp(one.data, two.data, one.len), "allocation %d", (int)n);
        mt_buf_free(&two);
        if (s == MT_OK) break;
    }
    mt_tok_free(t);
    mt_buf_free(&one);
    CHECK(mt_live_allocations() == before, "%zu blocks leak", mt_live_allocations() - before);
    case_end();
}

/* ---- damage ---- */

/* Uses everything that a tokenizer from a damaged file still offers. What comes out does not matter. */
static void use(mt_tok *t, mt_rng *r) {
    for (int how = 0; how < 7; how++) {
        static const mt_choice_kind kinds[] = {MT_CHOICE_OWN,   MT_CHOICE_LONGEST_SUFFIX,   MT_CHOICE_SAMPLE,
                                               MT_CHOICE_BYTES, MT_CHOICE_DROPOUT_STEP_ALL, MT_CHOICE_FEWEST};
        mt_choice choice = {.by = &mt_choices, .kind = kinds[how > 1 ? how - 1 : 0], .p = 0.5, .seed = 1};
        mt_encode_options o = {.add_special_tokens = how == 1, .special_as_text = false};
        if (how > 1) o.choice = &choice;
        mt_encoding e = {0};
        mt_buf out = {0};
        if (mt_tok_encode(t, (const uint8_t *)text, sizeof text - 1, &o, how != 0, &e, &err) == MT_OK) {
            mt_tok_decode(t, e.ids.data, e.ids.len, NULL, &out, &err);
            for (size_t i = 0; i < e.ids.len; i++)
                CHECK(e.ids.data[i] >= 0 && e.ids.data[i] < mt_tok_size(t), "id %d of %d", e.ids.data[i],
                      mt_tok_size(t));
        }
        mt_encoding_free(&e);
        mt_buf_free(&out);
    }
    mt_encoding e = {0};
    mt_encode_options o = {.add_special_tokens = true};
    mt_tok_encode_pair(t, (const uint8_t *)text, 20, (const uint8_t *)text + 20, 9, &o, true, &e, &err);
    mt_encoding_free(&e);
    int32_t ids[40];
    for (int i = 0; i < 40; i++) ids[i] = (int32_t)mt_rng_below(r, (uint64_t)mt_tok_size(t));
    mt_buf out = {0};
    mt_tok_decode(t, ids, 40, NULL, &out, &err);
    mt_buf_free(&out);
    for (int i = 0; i < 20; i++) {
        mt_tok_find(t, mt_tok_piece(t, ids[i]));
        mt_tok_pair_ok(t, ids[i], ids[i + 20]);
    }
    size_t n, lo, hi;
    mt_tok_sorted(t, &n);
    mt_tok_interval(t, (const uint8_t *)"a", 1, &lo, &hi);
    mt_tok_traits x;
    mt_tok_traits_get(t, &x);
    for (int32_t i = 0; i < x.splitters; i++) {
        mt_regex *re;
        mt_tok_splitter(t, i, i & 1, &re, &err);
    }
    mt_buf again;
    if (saved(t, &again) == MT_OK) mt_buf_free(&again);
}

static void seal(uint8_t *p, size_t n) { /* the header as it would be for these bytes */
    uint64_t total = n, sum = n > MT_BINARY_HEADER ? mt_binary_checksum(p + MT_BINARY_HEADER, n - MT_BINARY_HEADER) : 0;
    if (n < MT_BINARY_HEADER) return;
    memcpy(p + 16, &total, 8);
    memcpy(p + 24, &sum, 8);
}

static size_t tried, worked;
static void try(const uint8_t *p, size_t n, bool want_error, mt_rng *r) {
    mt_tok *t = NULL;
    err.text[0] = 0;
    mt_status s = loaded(p, n, &t);
    CHECK((s == MT_OK) == (t != NULL) && (t || err.text[0]), "%s without a message", mt_status_name(s));
    CHECK(!want_error || s != MT_OK, "a damaged file of %zu bytes was taken", n);
    tried++;
    if (t) worked++, use(t, r);
    mt_tok_free(t);
}

static void damage(const definition *d) {
    char title[80];
    snprintf(title, sizeof title, "binary: damaged %s", d->name);
    CASE(title);
    mt_tok *t = NULL;
    mt_buf good;
    mt_rng r;
    mt_rng_seed(&r, 11);
    size_t before = mt_live_allocations();
    CHECK_OK(mt_tok_load(d->bytes.data, d->bytes.len, &d->options, &t, &err));
    if (!t) return;
    CHECK_OK(saved(t, &good));
    mt_tok_free(t);
    uint8_t *p = malloc(good.len + 64);
    size_t n = good.len, list = MT_BINARY_HEADER, sections = mt_le32(good.data + 12);
    tried = worked = 0;
    for (size_t k = 0; k < n; k += 1 + n / 300) { /* cut off; without and with a header to match */
        memcpy(p, good.data, n);
        try(p, k, true, &r);
        seal(p, k);
        try(p, k, true, &r);
    }
    memcpy(p, good.data, n);
    p[n] = 0;
    try(p, n + 1, true, &r);
    for (int i = 0; i < 100; i++) { /* single bytes, which the checksum sees */
        memcpy(p, good.data, n);
        p[mt_rng_below(&r, n)] ^= (uint8_t)(1 + mt_rng_below(&r, 255));
        try(p, n, true, &r);
    }
    for (int i = 0; i < 1200; i++) { /* with a checksum to match: everything else must hold */
        memcpy(p, good.data, n);
        size_t changes = 1 + mt_rng_below(&r, 4);
        for (size_t k = 0; k < changes; k++) {
            size_t s = mt_rng_below(&r, sections), at = list + s * MT_BINARY_SECTION;
            size_t from = (size_t)mt_le64(p + at + 8), length = (size_t)mt_le64(p + at + 16);
            switch (mt_rng_below(&r, 8)) {
            case 0: /* in the header and the list of sections */
                p[8 + mt_rng_below(&r, list + sections * MT_BINARY_SECTION - 8)] = (uint8_t)mt_rng_next(&r);
                break;
            case 1: { /* absurd numbers in the list */
                static const uint64_t absurd[] = {0, 1, 15, UINT32_MAX, UINT64_MAX, UINT64_MAX - 15, UINT64_C(1) << 63};
                memcpy(p + at + 8 * (1 + mt_rng_below(&r, 2)), &absurd[mt_rng_below(&r, 7)], 8);
                break;
            }
            default: /* a byte of a section, all sections equally often */
                if (from < n && length && length <= n - from) {
                    size_t place = from + mt_rng_below(&r, length);
                    uint64_t how = mt_rng_below(&r, 4);
                    if (how == 0)
                        p[place] ^= (uint8_t)(1u << mt_rng_below(&r, 8));
                    else if (how == 1)
                        p[place] = (uint8_t)mt_rng_next(&r);
                    else if (how == 2)
                        p[place] = 0xFF;
                    else /* a word from elsewhere in the section */
                        memmove(p + place / 8 * 8, p + (from + mt_rng_below(&r, length)) / 8 * 8, 8);
                }
                break;
            }
        }
        seal(p, n);
        try(p, n, false, &r);
    }
    printf("# %zu of %zu damaged files still load\n", worked, tried);
    free(p);
    mt_buf_free(&good);
    CHECK(mt_live_allocations() == before, "%zu blocks leak", mt_live_allocations() - before);
    case_end();
}

static void refusals(void) {
    CASE("binary: refusals");
    mt_tok *t = NULL, *u = NULL;
    mt_buf b = {0};
    CHECK_OK(mt_tok_load(definitions[0].bytes.data, definitions[0].bytes.len, NULL, &t, &err));
    CHECK_OK(mt_buf_byte(&b, 0, &err));
    CHECK(mt_tok_to_binary(t, &b, &err) == MT_ESTATE, "into a buffer that is not empty");
    mt_buf_free(&b);
    CHECK_OK(saved(t, &b));
    CHECK(loaded((const uint8_t *)"{}", 2, &u) == MT_EUNKNOWN, "%s", err.text);
    b.data[8] = 77;
    CHECK(loaded(b.data, b.len, &u) == MT_EUNKNOWN && strstr(err.text, "version 77"), "%s", err.text);
    b.data[8] = MT_BINARY_VERSION;
    b.data[b.len - 1] ^= 1;
    CHECK(loaded(b.data, b.len, &u) == MT_EFORMAT && strstr(err.text, "damaged"), "%s", err.text);
    CHECK(loaded(b.data, b.len - 3, &u) == MT_EFORMAT && strstr(err.text, "header says"), "%s", err.text);
    CHECK(loaded(b.data, 20, &u) == MT_EFORMAT && strstr(err.text, "header"), "%s", err.text);
    mt_buf_free(&b);
    mt_tok_free(t);
    case_end();
}

int main(void) {
    define_all();
    refusals();
    for (size_t i = 0; i < definition_count; i++) round_trip(&definitions[i]);
    for (size_t i = 0; i < definition_count; i++) damage(&definitions[i]);
    for (size_t i = 0; i < definition_count; i++) mt_buf_free(&definitions[i].bytes);
    free(definitions);
    return test_end();
}
