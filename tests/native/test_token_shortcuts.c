/* The encoder's shortcuts beside the long way: what words gave before (memo.c), normalizer steps through a table of
 * characters (char_map.c), chains of splitter steps in one pass (split_words.c), cuts between bytes that no token joins
 * (split.c), UTF-16 units eight bytes at a time (utf16.c). Ids and spans are equal on every text, also where memory
 * runs out on the way. */
#include "test.h"

#include "token/tok.h"

static mt_error err;
static mt_rng rng;

#define BERT_MODEL                                                                                                     \
    "{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_"      \
    "word\":"                                                                                                          \
    "20,\"vocab\":{\"[UNK]\":0,\"a\":1,\"##a\":2,\"b\":3,\"##b\":4,\"ab\":5,\"##c\":6,\"!\":7,\"\\u00e9\":8,\"e\":9,"  \
    "\"##e\":10,\"\\u65e5\":11,\"##ab\":12,\"ss\":13,\"##\\u0301\":14}}"
#define UNIGRAM_MODEL                                                                                                  \
    "{\"type\":\"Unigram\",\"unk_id\":0,\"byte_fallback\":false,\"vocab\":[[\"<unk>\",0],[\"\\u2581\",-2.5],[\"a\",-"  \
    "3.1],[\"b\",-3.2],[\"\\u2581ab\",-4.0],[\"ba\",-4.5],[\"\\u00e9\",-5],[\"!\",-6],[\"\\u65e5\",-6.5],[\"ss\",-7]]" \
    "}"
#define MERGE_MODEL                                                                                                    \
    "{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"fuse_unk\":%s,\"byte_fallback\":%s,\"vocab\":{\"<unk>\":0,\"a\":1,"   \
    "\"b\":2,\"\\u2581\":3,\"ab\":4,\"\\u2581ab\":5,\"\\u00e9\":6,\"b\\u00e9\":7,\"!\":8,\"!!\":9,\"\\u65e5\":10,"     \
    "\"<0xC3>\":11,\"<0x9F>\":12,\"\\u2581\\u2581\":13},\"merges\":[\"a b\",\"\\u2581 ab\",\"b \\u00e9\",\"! !\","     \
    "\"\\u2581 \\u2581\"]}"
#define MARKS                                                                                                          \
    "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\\u2581\"},{\"type\":\"Replace\","    \
    "\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"}]}"
#define BERT_STEPS(accents)                                                                                            \
    "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_accents\":" accents        \
    ",\"lowercase\":true}"
#define STEPS                                                                                                          \
    "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Nmt\"},{\"type\":\"NFKD\"},{\"type\":\"StripAccents\"},"      \
    "{\"type\":\"Lowercase\"}]}"
#define SPACES_THEN_MARKS                                                                                              \
    "{\"type\":\"WhitespaceSplit\"},{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"%s\","    \
    "\"split\":true}"

typedef struct definition {
    const char *name, *norm, *steps, *model; /* steps: NULL, or of a sequence */
} definition;
static const definition DEFINITIONS[] = {
    {"BERT", BERT_STEPS("null"), "{\"type\":\"BertPreTokenizer\"}", BERT_MODEL},
    {"BERT, accents stay", BERT_STEPS("false"), "{\"type\":\"BertPreTokenizer\"}", BERT_MODEL},
    {"white space split", STEPS, "{\"type\":\"WhitespaceSplit\"}", BERT_MODEL},
    {"a space before each word", STEPS, SPACES_THEN_MARKS, UNIGRAM_MODEL},
    {"one word, byte fallback", MARKS, NULL, MERGE_MODEL},
    {"one word, fused unknowns", MARKS, NULL, MERGE_MODEL},
    {"one word, unknowns", "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"}", NULL,
     MERGE_MODEL},
};

static mt_tok *load(const definition *d, size_t which, bool plain) {
    char json[4096], steps[512], model[1024];
    /* a step that changes nothing stands behind the chain, which is then not recognised */
    const char *last = plain ? ",{\"type\":\"FixedLength\",\"length\":1000000}" : "";
    snprintf(steps, sizeof steps, d->steps ? d->steps : "", which % 2 ? "always" : "first");
    snprintf(model, sizeof model, d->model, which == 5 ? "true" : "false", which == 4 ? "true" : "false");
    int n = d->steps ? snprintf(json, sizeof json,
                                "{\"normalizer\":%s,\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[%s%s]},"
                                "\"model\":%s}",
                                d->norm, steps, last, model)
                     : snprintf(json, sizeof json, "{\"normalizer\":%s,\"model\":%s}", d->norm, model);
    mt_tok *t = NULL;
    CHECK_OK(mt_tok_load_json((const uint8_t *)json, (size_t)n, &t, &err));
    return t;
}

/* The long way. own: kept by the caller as long as the tokenizer. */
static void take_shortcuts_away(mt_tok *t, mt_segmenter *own) {
    *own = *t->segmenter;
    own->cacheable = false;
    t->segmenter = own;
    for (size_t i = 0; i < t->norm_len; i++) {
        mt_char_map_free(t->norm[i].chars);
        t->norm[i].chars = NULL;
    }
    if (t->split_len && t->split[t->split_len - 1].kind == MT_SPLIT_WORDS) t->split_len--;
}

static size_t write_text(uint8_t *out, size_t cap, bool valid) {
    static const char *const piece[] = {"a",
                                        "b",
                                        "ab",
                                        "aba",
                                        "!",
                                        "!!",
                                        " ",
                                        "  ",
                                        "\n",
                                        "\t",
                                        "\xC3\xA9",
                                        "\xC3\x89",
                                        "e\xCC\x81",
                                        "\xE6\x97\xA5",
                                        "\xC3\x9F",
                                        "\xE2\x96\x81",
                                        "\xC2\xA0",
                                        "\xEF\xAC\x83",
                                        "\xCC\x81",
                                        "A",
                                        "\xF0\x9F\x99\x82",
                                        "x",
                                        "\xCC\x80\xCC\xA7",
                                        "\xE0\xB8\xB3",
                                        "\xE2\x80\x8B",
                                        "\xEF\xB7\xBA",
                                        "abababababababab"};
    size_t n = 0, count = mt_rng_below(&rng, 40);
    for (size_t i = 0; i < count; i++) {
        const char *s = piece[mt_rng_below(&rng, sizeof piece / sizeof *piece)];
        size_t k = strlen(s);
        if (n + k + 1 >= cap) break;
        memcpy(out + n, s, k);
        n += k;
        if (!valid && mt_rng_below(&rng, 12) == 0) out[n++] = (uint8_t)(0x80 + mt_rng_below(&rng, 128));
    }
    return n;
}

static void compare(mt_tok *quick, mt_tok *plain, const uint8_t *p, size_t n, bool spans) {
    mt_encoding x = {0}, y = {0};
    CHECK_OK(mt_tok_encode(quick, p, n, NULL, spans, &x, &err));
    CHECK_OK(mt_tok_encode(plain, p, n, NULL, spans, &y, &err));
    bool same = x.ids.len == y.ids.len && !(x.ids.len && memcmp(x.ids.data, y.ids.data, x.ids.len * sizeof(int32_t)));
    CHECK(same, "ids of \"%.*s\"", (int)n, (const char *)p);
    for (size_t i = 0; spans && same && i < x.ids.len; i++)
        CHECK(x.spans[i].begin == y.spans[i].begin && x.spans[i].end == y.spans[i].end,
              "token %zu of \"%.*s\": %u..%u, the long way %u..%u", i, (int)n, (const char *)p, x.spans[i].begin,
              x.spans[i].end, y.spans[i].begin, y.spans[i].end);
    mt_encoding_free(&x);
    mt_encoding_free(&y);
}

static void all_definitions(void) {
    uint8_t text[2048];
    for (size_t d = 0; d < sizeof DEFINITIONS / sizeof *DEFINITIONS; d++) {
        CASE(DEFINITIONS[d].name);
        mt_segmenter own;
        mt_tok *quick = load(&DEFINITIONS[d], d, false), *plain = load(&DEFINITIONS[d], d, true);
        if (!quick || !plain) continue;
        if (!DEFINITIONS[d].steps)
            CHECK(quick->split_len == 1 && quick->split[0].kind == MT_SPLIT_WORDS, "no cuts: nothing is compared");
        take_shortcuts_away(plain, &own);
        for (int round = 0; round < 1500; round++) {
            size_t n = write_text(text, sizeof text, round % 3 != 0);
            compare(quick, plain, text, n, round % 2);
            if (round == 20) { /* long: from here on words are remembered, which are met in batches */
                while (n + 600 < sizeof text) n += write_text(text + n, 600, true);
                compare(quick, plain, text, n, true);
                CHECK(quick->memo && !plain->memo, "the memo");
            }
        }
        mt_tok_free(quick);
        mt_tok_free(plain);
    }
}

static void words_of_one_place(void) {
    CASE("words that share a place in the memo");
    /* more words than the memo has places: each is met, pushed out and met again */
    mt_segmenter own;
    mt_tok *quick = load(&DEFINITIONS[2], 2, false), *plain = load(&DEFINITIONS[2], 2, true);
    if (!quick || !plain) return;
    take_shortcuts_away(plain, &own);
    enum { WORDS = 3 << MT_MEMO_BITS };
    uint8_t *text = malloc((size_t)WORDS * 18);
    size_t n = 0;
    for (uint32_t i = 0; i < WORDS; i++) {
        uint64_t x = mt_mix64(i % (2 << MT_MEMO_BITS));
        for (size_t k = 1 + (x >> 32) % 16; k; k--, x /= 3) text[n++] = "abe"[x % 3];
        text[n++] = ' ';
    }
    compare(quick, plain, text, n, true);
    compare(quick, plain, text, n, true);
    free(text);
    mt_tok_free(quick);
    mt_tok_free(plain);
}

static void without_memory(void) {
    CASE("memory runs out: said, nothing lost, and it goes on");
    uint8_t text[1024];
    for (size_t d = 0; d < sizeof DEFINITIONS / sizeof *DEFINITIONS; d++)
        for (long at = 0; at < 400; at++) {
            mt_segmenter own;
            mt_tok *quick = load(&DEFINITIONS[d], d, false), *plain = load(&DEFINITIONS[d], d, true);
            mt_encoding e = {0};
            if (!quick || !plain) return;
            take_shortcuts_away(plain, &own);
            mt_rng_seed(&rng, d);
            size_t n = 0;
            while (n < 500) n += write_text(text + n, 400, true);
            mt_fail_allocation_after(at);
            mt_status status = mt_tok_encode(quick, text, n, NULL, true, &e, &err);
            mt_fail_allocation_after(-1);
            CHECK(status == MT_OK || status == MT_ENOMEM, "%s: %s", DEFINITIONS[d].name, err.text);
            compare(quick, plain, text, n, true);
            mt_encoding_free(&e);
            mt_tok_free(quick);
            mt_tok_free(plain);
            if (status == MT_OK) break;
        }
}

/* By the definition: one unit for each byte that does not continue a character, two for one that begins four bytes. */
static uint32_t units_before(const uint8_t *p, size_t n, size_t at, bool end) {
    uint32_t units = 0;
    size_t start = at;
    while (start && start < n && (p[start] & 0xC0) == 0x80) start--;
    if (!end) at = start;
    for (size_t i = 0; i < at; i++)
        if (!i || (p[i] & 0xC0) != 0x80) units += p[i] >= 0xF0 ? 2 : 1;
    return units;
}

static void utf16(void) {
    CASE("UTF-16 units");
    uint8_t text[2][2048];
    for (int round = 0; round < 3000; round++) {
        mt_str texts[2];
        for (int k = 0; k < 2; k++) texts[k] = (mt_str){text[k], write_text(text[k], sizeof text[k], round % 3 != 0)};
        mt_span span[64], old[64];
        mt_token_type type[64];
        size_t count = mt_rng_below(&rng, 64);
        int which = 0, of[64];
        for (size_t i = 0; i < count; i++) { /* mostly forwards; anything is allowed */
            type[i] = (mt_token_type){0, (int32_t)mt_rng_below(&rng, 3) - 1};
            if (type[i].text >= 0) which = type[i].text;
            of[i] = round % 2 ? which : 0;
            size_t n = texts[of[i]].n, begin = mt_rng_below(&rng, n + 1),
                   end = begin + mt_rng_below(&rng, n - begin + 1);
            if (i && of[i] == of[i - 1] && mt_rng_below(&rng, 4)) {
                begin = old[i - 1].end;
                end = begin + mt_rng_below(&rng, 9);
                if (end > n) end = n;
            }
            old[i] = span[i] = (mt_span){(uint32_t)begin, (uint32_t)end};
        }
        mt_spans_to_utf16(span, round % 2 ? type : NULL, count, texts);
        for (size_t i = 0; i < count; i++) {
            mt_str s = texts[of[i]];
            uint32_t begin = units_before(s.p, s.n, old[i].begin, false),
                     end = old[i].end == old[i].begin ? begin : units_before(s.p, s.n, old[i].end, true);
            CHECK(span[i].begin == begin && span[i].end == end, "bytes %u..%u of %zu: %u..%u, expected %u..%u",
                  old[i].begin, old[i].end, s.n, span[i].begin, span[i].end, begin, end);
        }
    }
}

int main(void) {
    mt_rng_seed(&rng, 7);
    all_definitions();
    words_of_one_place();
    without_memory();
    utf16();
    return test_end();
}
