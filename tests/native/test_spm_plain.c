/* SentencePiece's word and character models under failing allocation, and damaged ones. */
#include "test.h"

#include "token/token.h"

static mt_error err;
static uint8_t model[512];
static size_t model_n;

static void piece(const char *text, uint8_t type) {
    uint8_t n = (uint8_t)strlen(text), *p = model + model_n;
    const uint8_t head[] = {0x0A, (uint8_t)(n + 4), 0x0A, n}, tail[] = {0x18, type};
    memcpy(p, head, 4);
    memcpy(p + 4, text, n);
    memcpy(p + 4 + n, tail, 2);
    model_n += n + 6u;
}

static void make(uint8_t kind) {
    model_n = 0;
    piece("<unk>", 2);
    piece("<s>", 3);
    piece("lo", 4);
    piece("\xE2\x96\x81"
          "a",
          1);
    piece("a", 1);
    piece("\xE2\x96\x81", 1);
    const uint8_t trainer[] = {0x12, 2, 0x18, kind};
    memcpy(model + model_n, trainer, sizeof trainer);
    model_n += sizeof trainer;
}

static const char text[] = "a  xy lo\xE2\x96\x81"
                           "a";

static void walk(const char *name, uint8_t kind, const int32_t *expected, size_t count) {
    CASE(name);
    make(kind);
    size_t before = mt_live_allocations();
    for (size_t n = 0; n < 5000; n++) {
        mt_tok *t = NULL;
        mt_encoding e = {0};
        mt_buf out = {0};
        mt_load_options options = {
            .name = mt_str_of("x.model"), .pattern = mt_str_of(""), .merges = mt_str_of(""), .lowercase = -1};
        mt_fail_allocation_after((int64_t)n);
        mt_status s = mt_tok_load(model, model_n, &options, &t, &err);
        if (s == MT_OK) s = mt_tok_encode(t, (const uint8_t *)text, sizeof text - 1, NULL, true, &e, &err);
        if (s == MT_OK) s = mt_tok_decode(t, e.ids.data, e.ids.len, NULL, &out, &err);
        mt_fail_allocation_after(-1);
        CHECK(s == MT_OK || s == MT_ENOMEM, "allocation %zu: %s: %s", n, mt_status_name(s), err.text);
        if (s == MT_OK) {
            CHECK(e.ids.len == count, "%zu ids", e.ids.len);
            for (size_t i = 0; i < count && i < e.ids.len; i++)
                CHECK(e.ids.data[i] == expected[i], "id %zu: %d, expected %d", i, e.ids.data[i], expected[i]);
        }
        mt_encoding_free(&e);
        mt_buf_free(&out);
        mt_tok_free(t);
        if (s == MT_OK || case_bad > 5) break;
    }
    for (size_t n = 0; n < model_n; n++) { /* cut off, and a byte changed */
        mt_tok *t = NULL;
        uint8_t copy[sizeof model];
        memcpy(copy, model, model_n);
        for (int k = 0; k < 2; k++) {
            mt_encoding e = {0};
            if (mt_tok_load_spm(copy, k ? model_n : n, &t, &err) == MT_OK) {
                mt_tok_encode(t, (const uint8_t *)text, sizeof text - 1, NULL, true, &e, &err);
                mt_tok_free(t);
            }
            mt_encoding_free(&e);
            copy[n] ^= 0x55;
        }
    }
    CHECK(mt_live_allocations() == before, "%zu blocks leak", mt_live_allocations() - before);
    case_end();
}

int main(void) {
    /* "▁a ▁xy ▁lo ▁a" */
    static const int32_t words[] = {3, 0, 3}, characters[] = {5, 4, 5, 0, 5, 2, 5, 4};
    walk("words", 3, words, 3);
    walk("characters", 4, characters, 8);
    return test_end();
}
