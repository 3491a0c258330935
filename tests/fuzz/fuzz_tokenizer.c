/* Definitions of tokenizers: the first byte chooses a name and where an allocation fails; the rest is the file. What
 * loads encodes and decodes texts without harm, counts what it encodes, gives spans inside the text, and is the same
 * tokenizer after a turn through its binary form. */
#include "fuzz.h"
#include "token/token.h"

static const char *const names[] = {
    "", "tokenizer.json", "tokenizer.model", "cl100k_base", "vocab.txt", "vocab.json", "gpt2", "byt5"};
static const char *const texts[] = {"", "Hello  world's 123 \n\n\tab",
                                    "\xc3\xa9\xe2\x96\x81\xf0\x9f\x99\x82 <s> a\xcc\x81 \xff\xc3",
                                    "aaaaaaaaaaaaaaaaab ba", "<|endoftext|>[UNK]\xe6\x97\xa5\xe6\x9c\xac"};

static void use(mt_tok *t, mt_tok *twin) {
    mt_error err = {0};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        mt_encoding e = {0}, f = {0};
        const uint8_t *p = (const uint8_t *)texts[k];
        size_t n = strlen(texts[k]), count = 0;
        mt_encode_options o = {.add_special_tokens = k & 1, .special_as_text = k & 2, .types = true};
        bool good = ok(mt_tok_encode(t, p, n, &o, true, &e, &err), &err),
             counted = ok(mt_tok_count(t, p, n, &o, &count, &err), &err);
        if (good && counted) DEMAND(count == e.ids.len, "%zu counted, %zu encoded", count, e.ids.len);
        if (good)
            for (size_t i = 0; i < e.ids.len; i++) {
                DEMAND(e.ids.data[i] >= 0 && e.ids.data[i] < mt_tok_size(t), "id %d of %d", e.ids.data[i],
                       mt_tok_size(t));
                DEMAND(e.spans[i].begin <= e.spans[i].end && e.spans[i].end <= n, "span %u..%u of %zu",
                       e.spans[i].begin, e.spans[i].end, n);
            }
        if (twin) {
            bool too = ok(mt_tok_encode(twin, p, n, &o, true, &f, &err), &err);
            DEMAND(good == too &&
                       (!good || (e.ids.len == f.ids.len &&
                                  (!e.ids.len || (memcmp(e.ids.data, f.ids.data, e.ids.len * 4) == 0 &&
                                                  memcmp(e.spans, f.spans, e.ids.len * sizeof *e.spans) == 0)))),
                   "the binary form encodes otherwise");
        }
        mt_buf out = {0};
        if (good)
            ok(mt_tok_decode(t, e.ids.data, e.ids.len, &(mt_decode_options){.skip_special_tokens = k & 1}, &out, &err),
               &err);
        mt_buf_free(&out);
        mt_encoding_free(&f);
        f = (mt_encoding){0};
        ok(mt_tok_encode_pair(t, p, n, (const uint8_t *)texts[1], strlen(texts[1]), &o, true, &f, &err), &err);
        mt_encoding_free(&f);
        mt_encoding_free(&e);
    }
    mt_ids ids = {0};
    ok(mt_tok_special_ids(t, &ids, &err), &err);
    if (ids.len) ok(mt_tok_allow(t, ids.data, 1, &err), &err);
    mt_ids_free(&ids);
    mt_tok_traits traits;
    mt_tok_traits_get(t, &traits);
    for (int32_t id = -1; id <= 40; id++) {
        if (id < 0 || id >= mt_tok_size(t)) continue;
        DEMAND(mt_tok_bytes(t, id).n == 0 || mt_tok_bytes(t, id).p, "token %d", id);
        int32_t found = mt_tok_find(t, mt_tok_piece(t, id));
        DEMAND(found >= -1 && found < mt_tok_size(t), "found %d", found);
        mt_tok_reachable(t, id);
        mt_tok_pair_ok(t, id, 0);
    }
    mt_tok_warnings(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    begin_input();
    mt_error err = {0};
    input in = {data, size};
    uint32_t first = take(&in);
    uint8_t *exact = malloc(in.n ? in.n : 1);
    memcpy(exact, in.p, in.n);
    mt_tok *t = NULL, *twin = NULL;
    if (first & 0x80) mt_fail_allocation_after((int64_t)(first >> 3 & 15) * 7);
    mt_load_options o = {.name = mt_str_of(names[first & 7]), .lowercase = (int)(first >> 3 & 1)};
    if (ok(mt_tok_load(exact, in.n, &o, &t, &err), &err)) {
        mt_fail_allocation_after(-1);
        mt_buf binary = {0};
        if (!mt_tok_is_binary(exact, in.n) && ok(mt_tok_to_binary(t, &binary, &err), &err))
            DEMAND(ok(mt_tok_load(binary.data, binary.len, NULL, &twin, &err), &err), "%s", err.text);
        mt_buf_free(&binary);
        use(t, twin);
        mt_tok_free(twin);
        mt_tok_free(t);
    } else
        DEMAND(!t, "a tokenizer beside an error");
    free(exact);
    end_input();
    return 0;
}
