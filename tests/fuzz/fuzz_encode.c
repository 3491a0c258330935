/* Texts through tokenizers that we ship (byte-level BPE, Unigram, PathPiece) and one of SentencePiece's kind: ids tile
 * the text and decode to it, counting agrees, another segmenter covers the same bytes, UTF-16 spans lie on characters.
 */
#include "fuzz.h"
#include "token/choose.h"
#include "token/token.h"

static const char *const files[] = {"models/vocabularies/bpe-1k.json", "models/vocabularies/unigram-4k.json",
                                    "models/vocabularies/pathpiece-4k.json", "models/vocabularies/byte.json"};
enum { KINDS = sizeof files / sizeof *files };
static mt_tok *tok[KINDS];

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    mt_error err = {0};
    for (int i = 0; i < KINDS; i++) {
        size_t n;
        uint8_t *p = file_of(files[i], &n);
        DEMAND(ok(mt_tok_load(p, n, NULL, &tok[i], &err), &err), "%s: %s", files[i], err.text);
        free(p);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mt_error err = {0};
    input in = {data, size};
    mt_tok *t = tok[take(&in) % KINDS];
    uint32_t kind = take(&in);
    uint8_t *text = malloc(in.n ? in.n : 1);
    memcpy(text, in.p, in.n);
    mt_encode_options o = {.special_as_text = true};
    mt_encoding e = {0};
    mt_buf out = {0};
    size_t count = 0, at = 0;
    DEMAND(ok(mt_tok_encode(t, text, in.n, &o, true, &e, &err), &err), "%s", err.text);
    DEMAND(ok(mt_tok_count(t, text, in.n, &o, &count, &err), &err) && count == e.ids.len, "%zu counted, %zu encoded",
           count, e.ids.len);
    for (size_t i = 0; i < e.ids.len; i++) {
        DEMAND(e.spans[i].begin >= at && e.spans[i].end >= e.spans[i].begin && e.spans[i].end <= in.n, "span %zu", i);
        at = e.spans[i].begin;
    }
    DEMAND(ok(mt_tok_decode(t, e.ids.data, e.ids.len, &(mt_decode_options){.raw = true}, &out, &err), &err), "%s",
           err.text);
    mt_tok_traits traits;
    mt_tok_traits_get(t, &traits);
    if (traits.byte_complete)
        DEMAND(out.len == in.n && (in.n == 0 || memcmp(out.data, text, in.n) == 0), "%zu bytes came back of %zu",
               out.len, in.n);
    if (mt_utf8_valid(text, in.n)) {
        mt_str both[2] = {{text, in.n}, {NULL, 0}};
        mt_spans_to_utf16(e.spans, NULL, e.ids.len, both);
        for (size_t i = 0; i < e.ids.len; i++)
            DEMAND(e.spans[i].begin <= e.spans[i].end && e.spans[i].end <= in.n, "UTF-16 span %zu: %u..%u", i,
                   e.spans[i].begin, e.spans[i].end);
    }
    mt_choice choice = {.by = &mt_choices,
                        .kind = (mt_choice_kind)(kind % MT_CHOICE_HUFFMAN),
                        .p = 0.5,
                        .seed = kind,
                        .best = kind >> 6};
    if (in.n <= 400 && ok(mt_choice_check(t, &choice, &err), &err)) {
        mt_encoding f = {0};
        o.choice = &choice;
        if (ok(mt_tok_encode(t, text, in.n, &o, true, &f, &err), &err)) {
            mt_buf other = {0};
            DEMAND(ok(mt_tok_decode(t, f.ids.data, f.ids.len, &(mt_decode_options){.raw = true}, &other, &err), &err),
                   "%s", err.text);
            if (traits.byte_complete)
                DEMAND(other.len == in.n && (in.n == 0 || memcmp(other.data, text, in.n) == 0), "segmenter %d",
                       (int)choice.kind);
            mt_buf_free(&other);
        }
        mt_encoding_free(&f);
    }
    mt_buf_free(&out);
    mt_encoding_free(&e);
    free(text);
    return 0;
}
