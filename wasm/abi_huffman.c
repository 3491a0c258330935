/* ABI of the Huffman codes for words: words are counted by a tokenizer's own normalizer and splitter. */
#include "abi.h"

#include "../src/token/segment.h"
#include "../src/token/train.h"
#include "../src/token/words.h"

typedef struct abi_huffman {
    mt_words words; /* until the code is made */
    mt_huffman code;
    bool made;
} abi_huffman;

MT_EXPORT(huffman_new) mt_status abi_huffman_new(abi_huffman **out) {
    ABI_NEED(out);
    *out = mt_calloc(1, sizeof **out);
    return *out ? MT_OK : mt_nomem(&abi_error, sizeof **out, "a Huffman code");
}
MT_EXPORT(huffman_free) void abi_huffman_free(abi_huffman *huffman) {
    if (!huffman) return;
    mt_words_free(&huffman->words);
    if (huffman->made) mt_huffman_free(&huffman->code);
    mt_free(huffman);
}

static mt_status count_part(void *user, const uint8_t *p, size_t n, int32_t added, mt_error *err) {
    return added >= 0 ? MT_OK : mt_words_add(user, p, n, 1, err);
}
MT_EXPORT(huffman_count)
mt_status abi_huffman_count(abi_huffman *huffman, mt_tok *tok, const uint8_t *text, size_t n) {
    ABI_NEED(huffman);
    ABI_NEED(tok);
    return mt_tok_parts(tok, text, n, true, count_part, &huffman->words, &abi_error);
}
MT_EXPORT(huffman_make) mt_status abi_huffman_make(abi_huffman *huffman, double escapes, uint32_t arity) {
    ABI_NEED(huffman);
    mt_words *w = &huffman->words;
    if (huffman->made) return mt_fail(&abi_error, MT_ESTATE, "this Huffman code has been made");
    mt_str *word = mt_array(w->len + 1, sizeof *word);
    uint64_t *weight = mt_array(w->len + 1, sizeof *weight);
    mt_status status = MT_OK;
    if (!word || !weight) status = mt_nomem(&abi_error, w->len * 24, "the words");
    for (size_t i = 0; status == MT_OK && i < w->len; i++) {
        word[i] = w->list[i].text;
        weight[i] = w->list[i].count;
    }
    if (status == MT_OK)
        status = mt_huffman_open(&huffman->code, word, weight, w->len, abi_size(escapes), arity, &abi_error);
    huffman->made = status == MT_OK;
    mt_free(word);
    mt_free(weight);
    mt_words_free(w);
    return status;
}
MT_EXPORT(huffman_code) const mt_huffman *abi_huffman_code(const abi_huffman *huffman) {
    return huffman && huffman->made ? &huffman->code : NULL;
}
MT_EXPORT(huffman_decode)
mt_status abi_huffman_decode(const abi_huffman *huffman, const int32_t *ids, size_t n, mt_buf *out) {
    ABI_NEED(huffman);
    ABI_NEED(out);
    out->len = 0;
    for (size_t at = 0; at < n;) MT_TRY(mt_huffman_decode(&huffman->code, ids, n, &at, out, &abi_error));
    return MT_OK;
}
