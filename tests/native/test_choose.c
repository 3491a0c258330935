/* Segmenters as choices of the pipeline, and two texts as one input: every kind over small tokenizers of every family
 * under failing allocation; spans; one matcher for all. The rest is tested from JavaScript (segmenters, pairs). */
#include "test.h"

#include "token/choose.h"
#include "token/words.h"

static mt_error err;

#define PAIR                                                                                                           \
    "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"s\",1],\"cls\":[\"c\",0]},\"added_tokens\":[{\"id\":"  \
    "9,\"content\":\"<e>\",\"special\":true,\"normalized\":false}],"
static const char byte_bpe[] =
    "{" PAIR
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"decoder\":{\"type\":\"ByteLevel\"},"
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"\\u0120\":2,\"ab\":3,\"\\u0120ab\":4,\"ba\":5,\"abab\":6,"
    "\"c\":7},\"merges\":[\"a b\",\"\\u0120 ab\",\"b a\",\"ab ab\"]}}";
static const char fallback[] =
    "{" PAIR "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"},"
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"u\",\"fuse_unk\":true,\"vocab\":{\"u\":0,\"a\":1,\"b\":2,\"\\u2581\":"
    "3,"
    "\"ab\":4,\"\\u2581ab\":5},\"merges\":[\"a b\",\"\\u2581 ab\"]}}";
static const char unigram[] =
    "{" PAIR "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"always\"},"
    "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"u\",0],[\"\\u2581\",-2.5],[\"a\",-3.1],[\"b\",-3.2],"
    "[\"\\u2581ab\",-4.0],[\"ba\",-5]]}}";
static const char wordpiece[] =
    "{" PAIR "\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"},\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"u\","
    "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,\"vocab\":{\"u\":0,\"a\":1,\"##a\":2,\"##"
    "b\":3,"
    "\"ab\":4,\"##ab\":5,\"##ba\":6}}}";
static const char suffixed[] =
    "{" PAIR "\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"},\"model\":{\"type\":\"BPE\",\"unk_token\":\"u\","
    "\"end_of_word_suffix\":\"$\",\"vocab\":{\"u\":0,\"a\":1,\"b\":2,\"a$\":3,\"b$\":4,\"ab\":5,\"ab$\":6,\"aba$\":7},"
    "\"merges\":[\"a b\",\"a b$\",\"ab a$\"]}}";

static const char text[] = "ababa ab<e>ba";

static mt_tok *load(const char *json) {
    mt_tok *t = NULL;
    CHECK_OK(mt_tok_load_json((const uint8_t *)json, strlen(json), &t, &err));
    return t;
}

static const mt_str words[] = {{(const uint8_t *)"ab", 2}, {(const uint8_t *)" ab", 3}, {(const uint8_t *)"aba", 3}};
static const uint64_t counts[] = {5, 3, 1};

static void walk(const char *name, const char *json, const char *pair) {
    char title[80];
    snprintf(title, sizeof title, "every choice under failing allocation: %s", name);
    CASE(title);
    size_t before = mt_live_allocations(), worked = 0;
    mt_huffman code;
    CHECK_OK(mt_huffman_open(&code, words, counts, 3, 1, 3, &err));
    for (int kind = 0; kind <= MT_CHOICE_HUFFMAN + 1; kind++) {
        mt_choice c = {.by = &mt_choices,
                       .kind = (mt_choice_kind)kind,
                       .p = 0.4,
                       .best = kind == MT_CHOICE_SAMPLE ? 2 : 0,
                       .seed = 3,
                       .random_ties = true,
                       .huffman = &code};
        mt_encode_options o = {.add_special_tokens = kind != MT_CHOICE_HUFFMAN, .types = true, .choice = &c};
        mt_tok *whole = load(json);
        mt_encoding want = {0};
        mt_status expected = mt_tok_encode_pair(whole, (const uint8_t *)text, sizeof text - 1, (const uint8_t *)pair,
                                                strlen(pair), &o, true, &want, &err);
        worked += expected == MT_OK;
        CHECK(expected == MT_OK || expected == MT_EUNKNOWN || expected == MT_EMISSING, "%d: %s", kind,
              mt_status_name(expected));
        uint32_t end[2] = {0, 0};
        for (size_t i = 0; i < want.ids.len; i++) {
            int32_t of = want.types[i].text;
            if (of < 0) continue;
            CHECK(want.spans[i].begin <= want.spans[i].end && want.spans[i].end >= end[of], "kind %d, span %zu", kind,
                  i);
            end[of] = want.spans[i].end;
        }
        for (size_t n = 0; n < 2000; n++) {
            mt_tok *t = load(json);
            mt_encoding e = {0};
            mt_fail_allocation_after((int64_t)n);
            mt_status s = mt_tok_encode_pair(t, (const uint8_t *)text, sizeof text - 1, (const uint8_t *)pair,
                                             strlen(pair), &o, true, &e, &err);
            mt_fail_allocation_after(-1);
            CHECK(s == expected || (s == MT_ENOMEM && !e.ids.len), "kind %d, allocation %zu: %s", kind, n,
                  mt_status_name(s));
            e.ids.len = 0; /* the tokenizer is its own again, and the choice works as before */
            CHECK(mt_tok_encode_pair(t, (const uint8_t *)text, sizeof text - 1, (const uint8_t *)pair, strlen(pair), &o,
                                     true, &e, &err) == expected,
                  "kind %d after a failure", kind);
            CHECK(e.ids.len == want.ids.len, "kind %d after a failure", kind);
            if (!want.ids.len) goto next;
            CHECK(!memcmp(e.ids.data, want.ids.data, e.ids.len * 4) &&
                      !memcmp(e.spans, want.spans, e.ids.len * sizeof *e.spans) &&
                      !memcmp(e.types, want.types, e.ids.len * sizeof *e.types),
                  "kind %d gives something else after a failure", kind);
        next:
            mt_encoding_free(&e);
            mt_tok_free(t);
            if (s == expected || case_bad > 5) break;
        }
        mt_encoding_free(&want);
        mt_tok_free(whole);
    }
    printf("# %s: %zu kinds go with it\n", name, worked);
    mt_huffman_free(&code);
    CHECK(mt_live_allocations() == before, "%zu blocks leak", mt_live_allocations() - before);
    case_end();
}

static void check_ids(mt_tok *t, mt_choice c, const char *s, const char *expected) {
    c.by = &mt_choices;
    mt_encoding e = {0};
    mt_encode_options o = {.choice = &c};
    char got[200] = "";
    CHECK_OK(mt_tok_encode(t, (const uint8_t *)s, strlen(s), &o, true, &e, &err));
    for (size_t i = 0; i < e.ids.len; i++) snprintf(got + strlen(got), 12, i ? " %d" : "%d", e.ids.data[i]);
    CHECK(!strcmp(got, expected), "kind %d of \"%s\": %s, expected %s", c.kind, s, got, expected);
    mt_encoding_free(&e);
}

int main(void) {
    walk("byte-level BPE", byte_bpe, "ab aba");
    walk("byte-level BPE without a byte", byte_bpe, "ab\xC3\xA9 aba");
    walk("BPE with unknowns", fallback, "ab\xC3\xA9 aba");
    walk("Unigram", unigram, "ab\xC3\xA9 aba");
    walk("WordPiece", wordpiece, "ab\xC3\xA9 aba");
    walk("BPE with a word end", suffixed, "ab\xC3\xA9 aba");

    CASE("dropout with an end of the word: 0 merges as always, 1 not at all");
    mt_tok *t = load(suffixed);
    for (int kind = MT_CHOICE_DROPOUT_STEP_ALL; kind <= MT_CHOICE_DROPOUT_DISCARD; kind++) {
        check_ids(t, (mt_choice){.kind = (mt_choice_kind)kind, .p = 0}, "aba ab", "7 6");
        check_ids(t, (mt_choice){.kind = (mt_choice_kind)kind, .p = 1}, "aba ab", "1 2 3 1 4");
    }
    mt_tok_free(t);

    CASE("WordPiece: a word that does not work out is unknown as a whole");
    t = load(wordpiece);
    check_ids(t, (mt_choice){.kind = MT_CHOICE_LONGEST_PREFIX}, "abab abc ba", "4 5 0 0");
    check_ids(t, (mt_choice){.kind = MT_CHOICE_LONGEST_SUFFIX}, "abab aba", "4 5 1 6");
    check_ids(t, (mt_choice){.kind = MT_CHOICE_LONGEST_FIRST}, "abab", "4 5");
    check_ids(t, (mt_choice){.kind = MT_CHOICE_FEWEST}, "abab aba x", "4 5 1 6 0");
    check_ids(t, (mt_choice){.kind = MT_CHOICE_CHARACTERS}, "aba xa", "1 3 2 0");
    mt_tok_free(t);

    CASE("unknown symbols are joined where the tokenizer joins them");
    t = load(fallback);
    check_ids(t, (mt_choice){.kind = MT_CHOICE_LONGEST_PREFIX}, "xya zab", "0 1 3 0 4");
    check_ids(t, (mt_choice){.kind = MT_CHOICE_CHARACTERS}, "xya zab", "0 1 3 0 1 2");
    mt_tok_free(t);
    t = load(unigram);
    check_ids(t, (mt_choice){.kind = MT_CHOICE_FEWEST}, "abxya", "4 0 2");
    mt_tok_free(t);
    return test_end();
}
