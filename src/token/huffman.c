/* Huffman tokenization of words (Wolleb et al., EAMT 2023): every word becomes the digits of an n-ary prefix code built
 * from its frequency, so that what a model learns from it is frequency without composition.
 *
 *   lengths   leaves are padded with empty ones until (leaves - 1) is a multiple of (n - 1); then the n lightest nodes
 *             are joined again and again (two queues: leaves by weight, joined nodes in order of creation)
 *   code      canonical: a level's leaves come first, ordered by symbol, its inner nodes after them. So a code word is
 *             known from its length and its place among the words of that length: going up one level, the digit is
 *             place mod n and the parent is inner node place / n.
 *   unknown   the escape's code word, then the letters of the word in a second code that ends with an end symbol; bytes
 *             that are not UTF-8, and letters never seen, are spelt byte by byte */
#include "segment.h"
#include "../base/sort.h"

typedef struct leaf {
    uint64_t weight;
    uint32_t symbol; /* UINT32_MAX: padding */
} leaf;

static int by_weight(const void *a, const void *b, void *unused) {
    const leaf *x = a, *y = b;
    (void)unused;
    if (x->weight != y->weight) return x->weight < y->weight ? -1 : 1;
    /* padding first: it must sink to the deepest level */
    uint32_t s = x->symbol + 1, t = y->symbol + 1;
    return s < t ? -1 : s > t;
}

mt_status mt_huffman_lengths(const uint64_t *weight, size_t count, uint32_t arity, uint32_t *length, mt_error *err) {
    if (arity < 2 || arity > 65536) return mt_fail(err, MT_ERANGE, "a code of %u symbols, expected 2 to 65536", arity);
    if (count > UINT32_MAX / 4) return mt_fail(err, MT_ELIMIT, "a code for %zu words", count);
    if (count == 0) return MT_OK;
    size_t leaves = count;
    if (leaves > 1) leaves += (arity - 1 - (leaves - 1) % (arity - 1)) % (arity - 1);
    size_t joined = leaves > 1 ? (leaves - 1) / (arity - 1) : 0;
    leaf *list = mt_array(leaves, sizeof *list);
    uint64_t *sum = mt_array(joined, sizeof *sum);
    uint32_t *parent = mt_array(leaves + joined, sizeof *parent), *depth = mt_array(joined, sizeof *depth);
    mt_status status = MT_OK;
    if (!list || !sum || !parent || !depth) {
        status = mt_nomem(err, leaves * 32, "a Huffman code");
        goto done;
    }
    for (size_t i = 0; i < leaves; i++) list[i] = i < count ? (leaf){weight[i], (uint32_t)i} : (leaf){0, UINT32_MAX};
    mt_sort(list, leaves, sizeof *list, by_weight, NULL);
    size_t next_leaf = 0, next_joined = 0;
    for (size_t made = 0; made < joined; made++) {
        sum[made] = 0;
        for (uint32_t k = 0; k < arity; k++) {
            bool take_leaf = next_leaf < leaves && (next_joined == made || list[next_leaf].weight <= sum[next_joined]);
            uint64_t w = take_leaf ? list[next_leaf].weight : sum[next_joined];
            parent[take_leaf ? next_leaf++ : leaves + next_joined++] = (uint32_t)made;
            if (__builtin_add_overflow(sum[made], w, &sum[made])) {
                status = mt_fail(err, MT_ELIMIT, "the words were counted more than 2^64 times in all");
                goto done;
            }
        }
    }
    for (size_t i = joined; i-- > 0;) depth[i] = i + 1 == joined ? 0 : depth[parent[leaves + i]] + 1;
    for (size_t i = 0; i < leaves; i++)
        if (list[i].symbol != UINT32_MAX) length[list[i].symbol] = joined ? depth[parent[i]] + 1 : 1;
done:
    mt_free(list);
    mt_free(sum);
    mt_free(parent);
    mt_free(depth);
    return status;
}

/* ---- canonical code ---- */

static mt_status open_code(struct mt_code *c, const uint64_t *weight, size_t size, uint32_t arity, mt_error *err) {
    c->size = size;
    c->length = mt_calloc(size, sizeof *c->length);
    c->rank = mt_array(size, sizeof *c->rank);
    c->symbol = mt_array(size, sizeof *c->symbol);
    if (!c->length || !c->rank || !c->symbol) return mt_nomem(err, size * 12, "a Huffman code");
    MT_TRY(mt_huffman_lengths(weight, size, arity, c->length, err));
    for (size_t i = 0; i < size; i++)
        if (c->length[i] > c->longest) c->longest = c->length[i];
    c->count = mt_calloc((size_t)c->longest + 1, sizeof *c->count);
    uint32_t *place = mt_calloc((size_t)c->longest + 2, sizeof *place);
    if (!c->count || !place) {
        mt_free(place);
        return mt_nomem(err, c->longest * 8, "a Huffman code");
    }
    for (size_t i = 0; i < size; i++) c->count[c->length[i]]++;
    for (uint32_t l = 0; l <= c->longest; l++) place[l + 1] = place[l] + c->count[l];
    for (size_t i = 0; i < size; i++) {
        c->rank[i] = place[c->length[i]]++;
        c->symbol[c->rank[i]] = (uint32_t)i;
    }
    mt_free(place);
    return MT_OK;
}

static mt_status put_code(const struct mt_code *c, uint32_t arity, size_t symbol, mt_ids *digits, mt_error *err) {
    uint32_t length = c->length[symbol];
    uint64_t place = c->rank[symbol];
    for (uint32_t l = 0; l < length; l++) place -= c->count[l];
    MT_TRY(mt_ids_reserve(digits, length, err));
    for (uint32_t l = length; l-- > 0;) {
        digits->data[digits->len + l] = (int32_t)(place % arity);
        place = c->count[l] + place / arity;
    }
    digits->len += length;
    return MT_OK;
}

static mt_status get_code(const struct mt_code *c, uint32_t arity, const int32_t *digits, size_t n, size_t *at,
                          size_t *symbol, mt_error *err) {
    size_t before = 0, begin = *at;
    uint64_t inner = 0; /* place among the level's inner nodes */
    for (uint32_t l = 1; l <= c->longest; l++) {
        if (*at >= n) return mt_fail_at(err, MT_EFORMAT, begin, "the code word at digit %zu is cut off", begin);
        int32_t digit = digits[*at];
        if (digit < 0 || (uint32_t)digit >= arity)
            return mt_fail_at(err, MT_ERANGE, *at, "digit %d at %zu, expected 0 to %u", digit, *at, arity - 1);
        ++*at;
        uint64_t place = inner * arity + (uint32_t)digit;
        if (place < c->count[l]) {
            *symbol = c->symbol[before + place];
            return MT_OK;
        }
        inner = place - c->count[l];
        before += c->count[l];
    }
    return mt_fail_at(err, MT_EFORMAT, begin, "no code word starts at digit %zu", begin);
}

/* ---- words ---- */

enum { BYTES_FROM = 0x110000 };

static uint32_t next_letter(const uint8_t *p, size_t n, size_t *length) {
    uint32_t cp;
    int k = mt_utf8_decode(p, n, &cp);
    *length = k ? (size_t)k : 1;
    return k ? cp : BYTES_FROM + p[0];
}

static mt_status count_letters(mt_huffman *h, const uint64_t *weight, uint64_t **counts, mt_error *err) {
    size_t letter_cap = 0, count_cap = 0;
    for (uint32_t round = 0; round < 2; round++) {
        size_t items = round == 0 ? 256 : h->words;
        for (size_t i = 0; i < items; i++) {
            mt_str w = round == 0 ? (mt_str){NULL, 1} : h->word[i];
            for (size_t at = 0, k = 1; at < w.n; at += k) {
                uint32_t letter = round == 0 ? BYTES_FROM + (uint32_t)i : next_letter(w.p + at, w.n - at, &k);
                int32_t index;
                if (!mt_map64_get(&h->letter_index, letter, &index)) {
                    MT_TRY(mt_grow((void **)&h->letter, &letter_cap, h->letters + 1, sizeof *h->letter, err));
                    MT_TRY(mt_grow((void **)counts, &count_cap, h->letters + 2, sizeof **counts, err));
                    index = (int32_t)h->letters++;
                    h->letter[index] = letter;
                    (*counts)[index] = 1; /* every letter and byte has a code word */
                    MT_TRY(mt_map64_set(&h->letter_index, letter, index, err));
                }
                if (round && __builtin_add_overflow((*counts)[index], weight[i], &(*counts)[index]))
                    return mt_fail(err, MT_ELIMIT, "a letter was counted more than 2^64 times");
            }
        }
    }
    return MT_OK;
}

mt_status mt_huffman_open(mt_huffman *h, const mt_str *word, const uint64_t *weight, size_t count, uint64_t escapes,
                          uint32_t arity, mt_error *err) {
    *h = (mt_huffman){.arity = arity};
    uint64_t *weights = NULL, *letters = NULL, total = escapes;
    mt_status status = MT_OK;
    if (count > INT32_MAX - 1) return mt_fail(err, MT_ELIMIT, "a code for %zu words", count);
    h->word = mt_array(count, sizeof *h->word);
    weights = mt_array(count + 1, sizeof *weights);
    if (!h->word || !weights) {
        status = mt_nomem(err, count * 24, "the words");
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        const uint8_t *copy = mt_arena_copy(&h->arena, word[i].p, word[i].n);
        if (!copy) {
            status = mt_nomem(err, word[i].n, "a word");
            goto done;
        }
        h->word[i] = (mt_str){copy, word[i].n};
        int32_t old;
        if (mt_map_get(&h->index, h->word[i], &old)) {
            status = mt_fail(err, MT_EFORMAT, "words %d and %zu are the same", old, i);
            goto done;
        }
        MT_TRY_GOTO(mt_map_set(&h->index, h->word[i], (int32_t)i, err), done);
        weights[i] = weight[i];
        if (__builtin_add_overflow(total, weight[i], &total)) total = UINT64_MAX;
    }
    h->words = count;
    weights[count] = escapes;
    MT_TRY_GOTO(open_code(&h->code[0], weights, count + 1, arity, err), done);
    MT_TRY_GOTO(count_letters(h, weight, &letters, err), done);
    letters[h->letters] = total; /* the end of a spelling, once a word */
    MT_TRY_GOTO(open_code(&h->code[1], letters, h->letters + 1, arity, err), done);
done:
    mt_free(weights);
    mt_free(letters);
    if (status != MT_OK) mt_huffman_free(h);
    return status;
}

void mt_huffman_free(mt_huffman *h) {
    for (int i = 0; i < 2; i++) {
        mt_free(h->code[i].length);
        mt_free(h->code[i].rank);
        mt_free(h->code[i].symbol);
        mt_free(h->code[i].count);
    }
    mt_free(h->word);
    mt_free(h->letter);
    mt_map_free(&h->index);
    mt_map64_free(&h->letter_index);
    mt_arena_free(&h->arena);
    *h = (mt_huffman){0};
}

mt_status mt_huffman_encode(const mt_huffman *h, const uint8_t *p, size_t n, mt_ids *digits, mt_error *err) {
    int32_t at;
    if (mt_map_get(&h->index, (mt_str){p, n}, &at)) return put_code(&h->code[0], h->arity, (size_t)at, digits, err);
    MT_TRY(put_code(&h->code[0], h->arity, h->words, digits, err));
    for (size_t i = 0, k; i < n; i += k) {
        uint32_t letter = next_letter(p + i, n - i, &k);
        if (mt_map64_get(&h->letter_index, letter, &at)) {
            MT_TRY(put_code(&h->code[1], h->arity, (size_t)at, digits, err));
            continue;
        }
        for (size_t j = 0; j < k; j++) /* the 256 bytes are letters 0..255 */
            MT_TRY(put_code(&h->code[1], h->arity, p[i + j], digits, err));
    }
    return put_code(&h->code[1], h->arity, h->letters, digits, err);
}

mt_status mt_huffman_decode(const mt_huffman *h, const int32_t *digits, size_t n, size_t *at, mt_buf *out,
                            mt_error *err) {
    size_t symbol;
    MT_TRY(get_code(&h->code[0], h->arity, digits, n, at, &symbol, err));
    if (symbol < h->words) return mt_buf_add(out, h->word[symbol].p, h->word[symbol].n, err);
    for (;;) {
        MT_TRY(get_code(&h->code[1], h->arity, digits, n, at, &symbol, err));
        if (symbol == h->letters) return MT_OK;
        uint32_t letter = h->letter[symbol];
        uint8_t text[4] = {(uint8_t)(letter - BYTES_FROM)};
        int k = letter >= BYTES_FROM ? 1 : mt_utf8_encode(letter, text);
        MT_TRY(mt_buf_add(out, text, (size_t)k, err));
    }
}
