/* Keys that fall together in hash tables. They are computed for the numbers that the tables multiply by when nobody has
 * said others (mt_map_keep_secret); the host says random ones, and then they are keys as any. The two tables that hash
 * the same everywhere refuse what is crowded. */
#include "growth.h"
#include "model/model.h"
#include "token/tok.h"
#include "token/train.h"

enum { WORDS, PIECES, NAMES, LONG_TOKEN, INTEGERS, ALL };
static const char *const names[] = {"words of a trainer", "ranks", "tensors of a GGUF file", "an added token",
                                    "numbers"};
/* The secret that files are made for: the one of the core as it starts. */
static uint64_t known[2];

static uint64_t inverse(uint64_t odd) { /* modulo 2^64, Newton's */
    uint64_t x = odd;
    for (int i = 0; i < 6; i++) x *= 2 - odd * x;
    return x;
}

/* mt_hash_key of 24 bytes: the first eight make a factor zero, whatever the next eight are. */
static void word_of(size_t i, uint8_t out[24]) {
    uint64_t part[3] = {known[0] ^ 24 * known[1], mt_mix64(i), 0};
    memcpy(out, part, 24);
}
/* The hash of pieces.c: 32 bits of a product, taken back. */
static void piece_of(size_t i, uint8_t out[8]) {
    uint64_t x = (UINT64_C(12345) << 32 | i * 7919) * inverse(known[1]), head = (x ^ x >> 32) * inverse(known[0]) ^ 8;
    memcpy(out, &head, 8);
}
static uint64_t number_of(size_t i) {
    uint64_t z = (uint64_t)i << 32;
    z = (z ^ z >> 32) * inverse(known[1]);
    return (z ^ z >> 32) * inverse(known[0]);
}
static void base64(mt_buf *b, const uint8_t *p, size_t n) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t x = (uint32_t)p[i] << 16 | (uint32_t)(i + 1 < n ? p[i + 1] : 0) << 8 | (i + 2 < n ? p[i + 2] : 0);
        for (size_t k = 0; k < 4; k++) mt_buf_byte(b, i + k > n ? '=' : (uint8_t)letters[x >> (18 - 6 * k) & 63], NULL);
    }
}

static mt_status load(mt_buf *b, const char *file, mt_error *err) {
    mt_tok *t = NULL;
    mt_load_options o = {.name = mt_str_of(file), .lowercase = -1, .pattern = mt_str_of("")};
    if (strstr(file, "tiktoken")) o.pattern = mt_str_of("\\w+|\\W");
    mt_status status = mt_tok_load(b->data, b->len, &o, &t, err);
    for (size_t i = 0; i < 16 && status == MT_OK; i++) mt_tok_find(t, mt_str_of("aa")); /* makes the index */
    if (t) mt_tok_free(t);
    return status;
}

static mt_status crowd(const void *with, size_t n, mt_error *err) {
    int kind = *(const int *)with;
    mt_buf b = {0};
    mt_status status = MT_OK;
    uint8_t key[24];
    if (kind == WORDS) {
        mt_words w = {0};
        growth_start();
        for (size_t i = 0; i < n && status == MT_OK; i++) {
            word_of(i, key);
            status = mt_words_add(&w, key, sizeof key, 1, err);
        }
        growth_stop();
        mt_words_free(&w);
        return status;
    }
    if (kind == INTEGERS) {
        mt_map64 m = {0};
        growth_start();
        for (size_t i = 0; i < n && status == MT_OK; i++) status = mt_map64_set(&m, number_of(i), 1, err);
        growth_stop();
        mt_map64_free(&m);
        return status;
    }
    if (kind == PIECES) {
        for (size_t i = 0; i < 256; i++) {
            key[0] = (uint8_t)i;
            base64(&b, key, 1);
            growth_add(&b, " %zu\n", i);
        }
        for (size_t i = 0; i < n; i++) {
            piece_of(i, key);
            base64(&b, key, 8);
            growth_add(&b, " %zu\n", i + 256);
        }
        growth_start();
        status = load(&b, "mine.tiktoken", err);
        growth_stop();
    }
    if (kind == LONG_TOKEN) { /* a trie: of the bytes that may follow, the one whose place is among the first */
        size_t slots = 64;
        while (slots / 4 * 3 < n) slots *= 2;
        growth_add(&b, "{\"added_tokens\":[{\"id\":1,\"content\":\"");
        for (size_t i = 0; i < n; i++) {
            uint32_t best = UINT32_MAX, c = 0;
            for (uint32_t k = '0'; k < 127; k++) {
                uint32_t at = (((uint32_t)i << 8 | k) * (uint32_t)known[0] >> 7) & (uint32_t)(slots - 1);
                if (k != '\\' && at < best) best = at, c = k;
            }
            mt_buf_byte(&b, (uint8_t)c, NULL);
        }
        growth_add(&b, "\"}],\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"u\",\"vocab\":{\"u\":0}}}");
        growth_start();
        status = load(&b, "tokenizer.json", err);
        growth_stop();
    }
    if (kind == NAMES) { /* names are UTF-8: of a length where the eight bytes are letters */
        enum { SIZES = 4096 };
        size_t length = 0;
        for (size_t k = 16; k < SIZES && !length; k++) {
            uint64_t head = known[0] ^ k * known[1];
            if (k % 16 == 0 && mt_utf8_valid((const uint8_t *)&head, 8)) length = k;
        }
        if (!length) return mt_fail(err, MT_ESTATE, "no length of a name");
        uint64_t head = known[0] ^ length * known[1], keys = n + 1;
        mt_buf_add(&b, "GGUF\3\0\0\0\0\0\0\0\0\0\0\0", 16, NULL);
        mt_buf_add(&b, &keys, 8, NULL);
        for (size_t i = 0; i <= n; i++) {
            char name[SIZES];
            memset(name, 'x', sizeof name);
            memcpy(name, &head, 8);
            for (size_t k = 0; k < 8; k++) name[8 + k] = (char)('a' + (i >> 4 * k & 15));
            uint64_t n64 = length;
            uint32_t type = 4, value = 1;
            mt_buf_add(&b, &n64, 8, NULL), mt_buf_add(&b, name, length, NULL);
            mt_buf_add(&b, &type, 4, NULL), mt_buf_add(&b, &value, 4, NULL);
        }
        mt_gguf g = {0};
        size_t need;
        growth_start();
        status = mt_gguf_parse(&g, b.data, b.len, b.len, &need, err);
        growth_stop();
        mt_gguf_free(&g);
    }
    mt_buf_free(&b);
    return status;
}

/* ---- the tables that hash the same everywhere ---- */

/* A name of three letters. */
static void name_of(mt_buf *b, size_t i) {
    for (int k = 0; k < 3; k++, i /= 26) mt_buf_byte(b, (uint8_t)('a' + i % 26), NULL);
}
/* n merges whose places are the first of their table: the spread number of bpe.c is small. */
static mt_status merges(const void *with, size_t n, mt_error *err) {
    (void)with;
    unsigned bits = 1;
    while ((2 * n - 1) >> bits) bits++;
    uint64_t mask = (UINT64_C(1) << 2 * bits) - 1, back = inverse(UINT64_C(0x9E3779B97F4A7C15));
    mt_buf vocab = {0}, list = {0};
    for (size_t i = 0; i < n; i++) {
        growth_add(&vocab, "%s\"", i ? "," : "{\"model\":{\"type\":\"BPE\",\"vocab\":{");
        name_of(&vocab, i);
        growth_add(&vocab, "\":%zu", i);
    }
    size_t made = 0;
    for (uint64_t spread = 1; made < n && spread < 64 * n; spread++) {
        uint64_t key = spread * back & mask, left = key >> bits, right = key & ((UINT64_C(1) << bits) - 1);
        if (left >= n || right >= n) continue;
        growth_add(&vocab, ",\"");
        name_of(&vocab, left), name_of(&vocab, right);
        growth_add(&vocab, "\":%zu", n + made);
        growth_add(&list, "%s[\"", made++ ? "," : "");
        name_of(&list, left);
        growth_add(&list, "\",\"");
        name_of(&list, right);
        growth_add(&list, "\"]");
    }
    growth_add(&vocab, "},\"merges\":[");
    mt_buf_add(&vocab, list.data, list.len, NULL);
    growth_add(&vocab, "]}}");
    growth_start();
    mt_status status =
        made < n / 2 ? mt_fail(err, MT_ESTATE, "only %zu merges", made) : load(&vocab, "tokenizer.json", err);
    growth_stop();
    mt_buf_free(&vocab);
    mt_buf_free(&list);
    return status;
}
/* n ranks whose tokens have their places in the first 256th of the vocabulary's index. */
static mt_status ranks(const void *with, size_t n, mt_error *err) {
    (void)with;
    mt_buf b = {0};
    uint8_t key[8];
    for (size_t i = 0; i < 256; i++) {
        key[0] = (uint8_t)i;
        base64(&b, key, 1);
        growth_add(&b, " %zu\n", i);
    }
    for (size_t i = 0, made = 0; made < n; i++) {
        uint64_t text = mt_mix64(i);
        memcpy(key, &text, 8);
        uint64_t h = mt_poly(key, 8);
        h = (h ^ h >> 32) * UINT64_C(0xD6E8FEB86659FD93);
        if ((h ^ h >> 29) >> 56) continue;
        base64(&b, key, 8);
        growth_add(&b, " %zu\n", 256 + made++);
    }
    growth_start();
    mt_status status = load(&b, "mine.tiktoken", err);
    growth_stop();
    mt_buf_free(&b);
    return status;
}

void growth_crowd_known(void) {
    memcpy(known, mt_map_secret, sizeof known);
    for (int kind = 0; kind < ALL; kind++) growth_case("self-test", names[kind], 2048, crowd, &kind);
}
void growth_crowd(void) {
    mt_map_keep_secret(UINT64_C(0x243F6A8885A308D3), UINT64_C(0x13198A2E03707344)); /* of pi: not chosen for this */
    for (int kind = 0; kind < ALL; kind++) growth_case("keys that fall together", names[kind], 2048, crowd, &kind);
    mt_map_keep_secret(known[0], known[1]);
    growth_case("keys that fall together", "merges", 4096, merges, NULL);
    growth_case("keys that fall together", "ranks of one place", 4096, ranks, NULL);
}
