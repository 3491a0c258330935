/* Tokenizers under failing allocation: for every n the n-th allocation of loading, encoding, decoding fails; the call
 * says so, nothing leaks, and a tokenizer that exists stays usable. Broken definitions are refused with a message. */
#include "test.h"

#include "token/token.h"

static mt_error err;

static const char byte_bpe[] =
    "{\"added_tokens\":[{\"id\":9,\"content\":\"<|end|>\",\"special\":true,\"normalized\":false}],"
    "\"normalizer\":{\"type\":\"NFC\"},"
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},"
    "{\"SpecialToken\":{\"id\":\"<|end|>\",\"type_id\":0}}],\"special_tokens\":{\"<|end|>\":{\"id\":\"<|end|>\","
    "\"ids\":[9],"
    "\"tokens\":[\"<|end|>\"]}}},\"decoder\":{\"type\":\"ByteLevel\"},"
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"\\u0120\":2,\"ab\":3,\"\\u0120ab\":4,\"\\u00c3\":5,"
    "\"\\u00a9\":6,"
    "\"\\u00c3\\u00a9\":7,\"\\u0120a\":8},\"merges\":[\"a b\",\"\\u0120 ab\",[\"\\u00c3\",\"\\u00a9\"],\"\\u0120 "
    "a\"]}}";

static const char spm_bpe[] =
    "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true,\"normalized\":false},{\"id\":1,\"content\":"
    "\"<s>\","
    "\"special\":true,\"normalized\":false,\"lstrip\":true}],"
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\\u2581\"},{\"type\":"
    "\"Replace\","
    "\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"}]},\"pre_tokenizer\":null,\"post_processor\":null,"
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"\\u2581\"},"
    "\"content\":\" \"},"
    "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},"
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"fuse_unk\":true,\"byte_fallback\":true,\"vocab\":{\"<unk>\":"
    "0,"
    "\"<s>\":1,\"<0xC3>\":2,\"<0xA9>\":3,\"a\":4,\"b\":5,\"\\u2581\":6,\"ab\":7,\"\\u2581ab\":8},\"merges\":[\"a "
    "b\",\"\\u2581 ab\"]}}";

static const char unigram[] =
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\"},{\"type\":\"Lowercase\"}]},"
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"WhitespaceSplit\"},{\"type\":"
    "\"Metaspace\","
    "\"replacement\":\"\\u2581\",\"prepend_scheme\":\"always\"}]},\"decoder\":{\"type\":\"Metaspace\",\"replacement\":"
    "\"\\u2581\"},"
    "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"\\u2581\",-2.5],[\"a\",-3.1],[\"b\",-3.2]"
    ","
    "[\"\\u2581ab\",-4.0]]}}";

static const char wordpiece[] = "{\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_"
                                "chars\":true,\"strip_accents\":null,"
                                "\"lowercase\":true},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"post_"
                                "processor\":{\"type\":\"BertProcessing\","
                                "\"sep\":[\"[SEP]\",2],\"cls\":[\"[CLS]\",1]},\"decoder\":{\"type\":\"WordPiece\","
                                "\"prefix\":\"##\",\"cleanup\":true},"
                                "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_"
                                "prefix\":\"##\",\"max_input_chars_per_word\":100,"
                                "\"vocab\":{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"un\":3,\"##aff\":4,\"##able\":5,"
                                "\"aff\":6,\"##a\":7,\"able\":8,\"!\":9}}}";

static const char picky[] =
    "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"decoder\":{\"type\":\"ByteLevel\"},"
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"vocab\":{\"a\":0,\"b\":1,\"\\u0120\":2,\"\\u0120ab\":3,\"?\":4},"
    "\"merges\":[],\"microtome\":{\"segmenter\":\"picky-bpe\",\"removed\":[\"ab\"],"
    "\"events\":[[0,1,-1],[2,-1,3],[-1,[0,1]]]}}}";

static const char text[] = "ab unaffable  ab\xC3\xA9 e\xCC\x81 <s> ab<|end|> \xE2\x96\x81 a!";

static void walk(const char *name, const char *json, const char *expected) {
    char title[100];
    snprintf(title, sizeof title, "faults: %s", name);
    CASE(title);
    size_t before = mt_live_allocations(), n = 0;
    mt_tok *t = NULL;
    for (;; n++) { /* loading */
        mt_fail_allocation_after((int64_t)n);
        mt_status s = mt_tok_load_json((const uint8_t *)json, strlen(json), &t, &err);
        mt_fail_allocation_after(-1);
        if (s == MT_OK) break;
        CHECK(s == MT_ENOMEM && !t, "allocation %zu: %s: %s", n, mt_status_name(s), err.text);
        CHECK(mt_live_allocations() == before, "allocation %zu: %zu blocks leak", n, mt_live_allocations() - before);
        if (case_bad > 5) break;
    }
    if (!t) {
        case_end();
        return;
    }
    printf("# %s: loading makes %zu allocations\n", name, n);
    mt_encode_options framed = {.add_special_tokens = true};
    mt_tok_free(t);
    CHECK(mt_live_allocations() == before, "freeing leaves %zu blocks", mt_live_allocations() - before);
    mt_encoding want = {0}, e = {0};
    mt_buf out = {0};
    for (n = 0; n < 10000; n++) { /* a fresh tokenizer each time: caches are filled on the way */
        CHECK_OK(mt_tok_load_json((const uint8_t *)json, strlen(json), &t, &err));
        mt_fail_allocation_after((int64_t)n);
        mt_status s = mt_tok_encode(t, (const uint8_t *)text, sizeof text - 1, &framed, true, &e, &err);
        mt_status d = s;
        if (s == MT_OK) d = mt_tok_decode(t, e.ids.data, e.ids.len, NULL, &out, &err);
        mt_fail_allocation_after(-1);
        CHECK(s == MT_OK || (s == MT_ENOMEM && e.ids.len == 0), "encode %zu: %s", n, mt_status_name(s));
        CHECK(d == MT_OK || (d == MT_ENOMEM && out.len == 0), "decode %zu: %s", n, mt_status_name(d));
        /* whatever happened, it works now and gives the same */
        e.ids.len = 0;
        CHECK_OK(mt_tok_encode(t, (const uint8_t *)text, sizeof text - 1, &framed, true, &e, &err));
        if (!want.ids.len)
            CHECK_OK(mt_tok_encode(t, (const uint8_t *)text, sizeof text - 1, &framed, true, &want, &err));
        CHECK(e.ids.len == want.ids.len && !memcmp(e.ids.data, want.ids.data, e.ids.len * 4), "after failure %zu", n);
        out.len = 0;
        CHECK_OK(mt_tok_decode(t, e.ids.data, e.ids.len, NULL, &out, &err));
        CHECK(out.len == strlen(expected) && !memcmp(out.data, expected, out.len), "decoded \"%.*s\"", (int)out.len,
              out.data);
        mt_tok_free(t);
        mt_encoding_free(&e);
        mt_buf_free(&out);
        if (d == MT_OK || case_bad > 5) break;
    }
    mt_encoding_free(&want);
    CHECK(mt_live_allocations() == before, "%zu blocks leak", mt_live_allocations() - before);
    case_end();
}

/* Every truncation and some thousands of changed bytes: a tokenizer or an error, and no leak. */
static void mutate(const char *name, const char *json) {
    char title[100];
    snprintf(title, sizeof title, "faults: damaged %s", name);
    CASE(title);
    size_t n = strlen(json), before = mt_live_allocations(), loaded = 0;
    mt_rng r;
    mt_rng_seed(&r, 5);
    for (size_t k = 0; k < n + 3000; k++) {
        uint8_t *copy = malloc(n);
        memcpy(copy, json, n);
        size_t length = k < n ? k : n;
        for (int m = 0; k >= n && m < 3; m++) copy[mt_rng_below(&r, n)] = (uint8_t)mt_rng_below(&r, 256);
        mt_tok *t = NULL;
        mt_encoding e = {0};
        if (mt_tok_load_json(copy, length, &t, &err) == MT_OK) {
            loaded++;
            mt_tok_encode(t, (const uint8_t *)text, sizeof text - 1, NULL, true, &e, &err);
            mt_encoding_free(&e);
        }
        mt_tok_free(t);
        free(copy);
    }
    printf("# %zu of %zu still load\n", loaded, n + 3000);
    CHECK(mt_live_allocations() == before, "%zu blocks leak", mt_live_allocations() - before);
    case_end();
}

int main(void) {
    walk("byte-level BPE", byte_bpe, "ab aab  ab\xC3\xA9 \xC3\xA9  ab<|end|>  a<|end|>");
    walk("SentencePiece BPE", spm_bpe, "ab <unk>a<unk>ab<unk>  ab\xC3\xA9 <unk><s>  ab<unk>   a<unk>");
    walk("Unigram", unigram, "ab <unk>a<unk>ab<unk> ab<unk> <unk> <unk> ab<unk>  a<unk>");
    walk("WordPiece", wordpiece,
         "[CLS] [UNK] unaffable [UNK] [UNK] [UNK] [UNK] [UNK] [UNK] [UNK] [UNK] [UNK] [UNK] [UNK] [UNK] [UNK]! [SEP]");
    walk("Picky BPE", picky, "ab ??a??ab??  ab?? ??? ??? ab??????? ??? a?");
    mutate("Picky BPE", picky);
    mutate("byte-level BPE", byte_bpe);
    mutate("SentencePiece BPE", spm_bpe);
    mutate("Unigram", unigram);
    mutate("WordPiece", wordpiece);
    return test_end();
}
