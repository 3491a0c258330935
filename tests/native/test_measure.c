/* Measures against numbers worked out by hand. */
#include "test.h"

#include "token/measure.h"

static mt_error err;
static const char *const pieces[] = {"<unk>", "a", "b", "ab", " ", "é", "cd"};
static mt_str text_of(void *user, int32_t id) {
    (void)user;
    return mt_str_of(pieces[id]);
}

int main(void) {
    CASE("counts of one sentence: words, continued words, characters, unknown tokens");
    mt_measure m, other;
    CHECK_OK(mt_measure_open(&m, 7, &err));
    /* "ab  aé cd?" = ab|" "|" "|a|é|" "|cd|<unk> */
    const char *text = "ab  a\xc3\xa9 cd?";
    int32_t ids[] = {3, 4, 4, 1, 5, 4, 6, 0}, ends[] = {2, 3, 4, 5, 7, 8, 10, 11};
    CHECK_OK(mt_measure_add(&m, (const uint8_t *)text, 11, ids, ends, 8, 0, &err));
    CHECK(m.tokens == 8 && m.words == 3 && m.continued == 2 && m.word_tokens == 5 && m.characters == 10 &&
              m.bytes == 11,
          "%d tokens %d words %d continued %d in words %d characters", (int)m.tokens, (int)m.words, (int)m.continued,
          (int)m.word_tokens, (int)m.characters);
    CHECK(fabs(mt_measure_fertility(&m) - 8.0 / 3) < 1e-15 && fabs(mt_measure_continued(&m) - 2.0 / 3) < 1e-15,
          "words");
    CHECK(mt_measure_compression(&m) == 11.0 / 8 && mt_measure_closeness(&m) == 0.8, "bytes, characters");
    CHECK(mt_measure_unknown(&m) == 0.125 && fabs(mt_measure_used(&m) - 6.0 / 7) < 1e-15, "unknown, used");
    CASE("a token that crosses a word's edge belongs to both words");
    CHECK_OK(mt_measure_open(&other, 7, &err));
    int32_t crossing[] = {1, 2, 3}, crossing_ends[] = {1, 4, 5};
    CHECK_OK(mt_measure_add(&other, (const uint8_t *)"ab ab", 5, crossing, crossing_ends, 3, 0, &err));
    CHECK(other.words == 2 && other.continued == 2 && other.word_tokens == 4, "%d %d %d", (int)other.words,
          (int)other.continued, (int)other.word_tokens);
    CASE("entropy and Renyi efficiency; the uniform distribution has efficiency 1 at every order");
    double h = -(3.0 / 8 * log(3.0 / 8) + 5.0 / 8 * log(1.0 / 8));
    CHECK(fabs(mt_measure_entropy(&m) - h) < 1e-14, "%.15f", mt_measure_entropy(&m));
    CHECK(fabs(mt_measure_efficiency(&m, 1) - h / log(7)) < 1e-14, "order 1");
    CHECK(fabs(mt_measure_efficiency(&m, 2) + log(9.0 / 64 + 5.0 / 64) / log(7)) < 1e-14, "order 2");
    CHECK(fabs(mt_measure_efficiency(&m, INFINITY) + log(3.0 / 8) / log(7)) < 1e-14, "order infinity");
    CHECK(mt_measure_efficiency(&m, 2.5) < mt_measure_efficiency(&m, 2), "falls with the order");
    mt_measure uniform;
    CHECK_OK(mt_measure_open(&uniform, 4, &err));
    int32_t each[] = {0, 1, 2, 3};
    CHECK_OK(mt_measure_add(&uniform, (const uint8_t *)"abcd", 4, each, NULL, 4, -1, &err));
    for (double alpha = 0; alpha < 4; alpha += 0.5)
        CHECK(fabs(mt_measure_efficiency(&uniform, alpha) - 1) < 1e-14, "order %g", alpha);
    CASE("lengths, ranking");
    uint64_t histogram[3];
    mt_measure_lengths(&m, text_of, NULL, histogram, 3);
    CHECK(histogram[0] == 0 && histogram[1] == 4 && histogram[2] == 4, "%d %d", (int)histogram[1], (int)histogram[2]);
    int32_t ranking[7];
    CHECK(mt_measure_ranking(&m, ranking) == 6 && ranking[0] == 4 && ranking[1] == 0 && ranking[5] == 6, "ranking");
    CASE("Jensen-Shannon divergence: 0 with itself, symmetric, 1 bit when disjoint");
    CHECK(mt_measure_divergence(&m, &m) == 0, "itself");
    CHECK(fabs(mt_measure_divergence(&m, &other) - mt_measure_divergence(&other, &m)) < 1e-15, "symmetry");
    CHECK(mt_measure_divergence(&m, &other) > 0 && mt_measure_divergence(&m, &other) < 1, "bounds");
    mt_measure left, right;
    CHECK_OK(mt_measure_open(&left, 4, &err));
    CHECK_OK(mt_measure_open(&right, 4, &err));
    CHECK_OK(mt_measure_add(&left, (const uint8_t *)"ab", 2, each, NULL, 2, -1, &err));
    CHECK_OK(mt_measure_add(&right, (const uint8_t *)"cd", 2, each + 2, NULL, 2, -1, &err));
    CHECK(fabs(mt_measure_divergence(&left, &right) - 1) < 1e-15, "disjoint");
    CASE("parity and premium of parallel sentences; overlap of vocabularies; ids and ends out of range");
    static const uint64_t a[] = {4, 6, 3}, b[] = {2, 6, 2};
    CHECK(fabs(mt_parity(a, b, 3) - (2 + 1 + 1.5) / 3) < 1e-15 && mt_premium(a, b, 3) == 1.3, "parity");
    mt_str x[] = {mt_str_of("a"), mt_str_of("b"), mt_str_of("a"), mt_str_of("c")},
           y[] = {mt_str_of("c"), mt_str_of("d")};
    mt_overlap o;
    CHECK_OK(mt_vocabulary_overlap(x, 4, y, 2, &o, &err));
    CHECK(o.a == 3 && o.b == 2 && o.both == 1 && o.jaccard == 0.25, "%zu %zu %zu", o.a, o.b, o.both);
    int32_t bad[] = {9};
    CHECK(mt_measure_add(&m, (const uint8_t *)"a", 1, bad, NULL, 1, 0, &err) == MT_ERANGE, "id");
    int32_t late[] = {5};
    CHECK(mt_measure_add(&m, (const uint8_t *)"a", 1, ids, late, 1, 0, &err) == MT_ERANGE, "end");
    CHECK(m.tokens == 8, "nothing was counted");
    CASE("unreachable tokens of a small tokenizer");
    static const char json[] =
        "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,\"pre_tokenizer\":null,\"post_processor\":null,"
        "\"decoder\":null,\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"bc\":4,\"abc\":5},"
        "\"merges\":[[\"a\",\"b\"],[\"b\",\"c\"],[\"a\",\"bc\"]]}}";
    mt_tok *t = NULL;
    CHECK_OK(mt_tok_load_json((const uint8_t *)json, sizeof json - 1, &t, &err));
    if (t) {
        mt_ids list = {0};
        CHECK_OK(mt_unreachable(t, &list, &err));
        CHECK(list.len == 1 && list.data[0] == 5, "%zu unreachable", list.len);
        mt_ids_free(&list);
        mt_tok_free(t);
    }
    CASE("unreachable tokens: every allocation may fail");
    static const char wordpiece[] =
        "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\","
        "\"max_input_chars_per_word\":4,\"vocab\":{\"[UNK]\":0,\"aa\":1,\"ab\":2,\"##a\":3,\"##bab\":4,\"aaa\":5,"
        "\"aba\":6,"
        "\"aaaa\":7,\"abaa\":8}}}";
    const char *both[] = {json, wordpiece};
    size_t live = mt_live_allocations();
    for (int k = 0; k < 2; k++)
        for (int64_t fail = 0;; fail++) {
            mt_ids list = {0};
            mt_status status = MT_ENOMEM;
            t = NULL;
            CHECK_OK(mt_tok_load_json((const uint8_t *)both[k], strlen(both[k]), &t, &err));
            mt_fail_allocation_after(fail);
            if (t) status = mt_unreachable(t, &list, &err);
            mt_fail_allocation_after(-1);
            CHECK(status == MT_OK || status == MT_ENOMEM, "%s", err.text);
            if (status == MT_OK && k) CHECK(list.len == 1 && list.data[0] == 4, "%zu unreachable", list.len);
            mt_ids_free(&list);
            mt_tok_free(t);
            if (status == MT_OK || fail > 500) {
                CHECK(status == MT_OK && fail > 1, "%d allocations", (int)fail);
                break;
            }
        }
    CHECK(mt_live_allocations() == live, "%zu blocks leak", mt_live_allocations() - live);
    mt_measure_free(&m);
    mt_measure_free(&other);
    mt_measure_free(&uniform);
    mt_measure_free(&left);
    mt_measure_free(&right);
    CHECK(mt_live_allocations() == 0, "%zu blocks are left", mt_live_allocations());
    return test_end();
}
