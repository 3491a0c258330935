/* A tokenizer's vocabulary made to grow: its pieces as a vocabulary, and byte-pair training that goes on where the
 * tokenizer's own merges end.
 *
 * Going on: each word is cut by the tokenizer, each token becomes one character, and the byte-pair trainer runs over
 * these. Since new merges rank behind all old ones, the old ones are done before a new one applies: encoding is the old
 * encoding with pairs of its tokens merged, and every new token is reachable.
 *
 *     merges a+b; words "abab" x3 "abc" x2:   ab|ab, ab|c   ->   new merges (ab, ab) 3, (ab, c) 2 */
#include "train.h"
#include "tok.h"
#include "words.h"

/* With scores and kinds for `more` tokens that will follow. */
static mt_status copy_vocabulary(const mt_tok *t, size_t more, mt_vocabulary *out, mt_error *err) {
    const mt_vocab *v = &t->vocab;
    size_t n = (size_t)v->size + more;
    mt_status status = MT_OK;
    int32_t id;
    *out = (mt_vocabulary){0};
    out->kind = mt_calloc(n, 1);
    if (v->score) out->score = mt_calloc(n, sizeof *out->score);
    if (!out->kind || (v->score && !out->score)) {
        status = mt_nomem(err, n * sizeof *out->score, "the vocabulary");
        goto fail;
    }
    for (int32_t i = 0; i < v->size; i++) {
        MT_TRY_GOTO(mt_vocabulary_add(out, mt_vocab_piece(v, i), &id, err), fail);
        out->kind[i] = v->kind[i];
        if (v->score) out->score[i] = v->score[i];
    }
    return MT_OK;
fail:
    mt_vocabulary_free(out);
    return status;
}

mt_status mt_vocabulary_of(const mt_tok *t, mt_vocabulary *out, mt_error *err) {
    return copy_vocabulary(t, 0, out, err);
}

/* A character for each id: not 0, not a surrogate. */
enum { FIRST = 0x100, GAP = 0xD800 - FIRST, WIDTH = 0xE000 - 0xD800, MOST = 0x10FFFF - FIRST - WIDTH };
static uint32_t character_of(int32_t id) {
    return (uint32_t)id + FIRST + (id >= GAP ? WIDTH : 0);
}
static int32_t id_of(uint32_t c) {
    return (int32_t)(c - FIRST) - (c >= 0xE000 ? WIDTH : 0);
}

/* Words as characters; the unknown token and byte tokens end a word, since no merge takes them. */
static mt_status code_words(mt_tok *t, const mt_words *words, mt_words *out, mt_error *err) {
    mt_ids ids = {0};
    mt_buf b = {0};
    mt_status status = MT_OK;
    for (size_t w = 0; w < words->len; w++) {
        ids.len = b.len = 0;
        MT_TRY_GOTO(mt_tok_word(t, words->list[w].text.p, words->list[w].text.n, &ids, err), done);
        for (size_t i = 0; i <= ids.len; i++) {
            bool ends = i == ids.len || ids.data[i] == t->unk || t->vocab.kind[ids.data[i]] == MT_TOKEN_BYTE;
            if (ends && b.len) MT_TRY_GOTO(mt_words_add(out, b.data, b.len, words->list[w].count, err), done);
            if (ends) {
                b.len = 0;
                continue;
            }
            MT_TRY_GOTO(mt_buf_reserve(&b, 4, err), done);
            b.len += (size_t)mt_utf8_encode(character_of(ids.data[i]), b.data + b.len);
        }
    }
done:
    mt_ids_free(&ids);
    mt_buf_free(&b);
    return status;
}

/* The new tokens behind the old ones, under the strings that their characters stand for. */
static mt_status decode_tokens(const mt_vocabulary *coded, mt_vocabulary *out, mt_error *err) {
    mt_map index = {0};
    mt_buf b = {0};
    mt_status status = MT_OK;
    int32_t *id = mt_array(coded->len, sizeof *id), old;
    if (!id) return mt_nomem(err, coded->len * sizeof *id, "new tokens");
    for (size_t i = 0; i < out->len; i++)
        if (out->token[i].n && !mt_map_get(&index, out->token[i], &old))
            MT_TRY_GOTO(mt_map_set(&index, out->token[i], (int32_t)i, err), done);
    for (size_t i = 0; i < coded->len; i++) {
        mt_str s = coded->token[i];
        b.len = 0;
        for (size_t at = 0, k; at < s.n; at += k) {
            uint32_t c = FIRST;
            k = (size_t)mt_utf8_decode(s.p + at, s.n - at, &c);
            MT_TRY_GOTO(mt_buf_add(&b, out->token[id_of(c)].p, out->token[id_of(c)].n, err), done);
            if (k == s.n) id[i] = id_of(c);
        }
        uint32_t c;
        if ((size_t)mt_utf8_decode(s.p, s.n, &c) == s.n) continue; /* a token of the base */
        if (mt_map_get(&index, (mt_str){b.data, b.len}, &id[i])) continue;
        MT_TRY_GOTO(mt_vocabulary_add(out, (mt_str){b.data, b.len}, &id[i], err), done);
        MT_TRY_GOTO(mt_map_set(&index, out->token[id[i]], id[i], err), done);
    }
    for (size_t i = 0; i < coded->merge_len; i++) {
        struct mt_merge_rule m = {id[coded->merge[i].left], id[coded->merge[i].right], id[coded->merge[i].result]};
        MT_TRY_GOTO(mt_grow((void **)&out->merge, &out->merge_cap, out->merge_len + 1, sizeof m, err), done);
        out->merge[out->merge_len++] = m;
    }
done:
    mt_free(id);
    mt_map_free(&index);
    mt_buf_free(&b);
    return status;
}

mt_status mt_train_on(mt_tok *base, const mt_words *words, const mt_bpe_options *o, mt_vocabulary *out, mt_error *err) {
    *out = (mt_vocabulary){0};
    if (base->segmenter != &mt_segmenter_bpe || base->merge_only)
        return mt_fail(err, MT_EUNKNOWN,
                       "training cannot go on from this %s tokenizer: it needs byte-pair encoding whose symbols do not "
                       "depend on their place in the word",
                       base->model_name);
    if (base->vocab.size > MOST) return mt_fail(err, MT_ELIMIT, "more than %d tokens", (int)MOST);
    if (o->vocab_size < 1) return mt_fail(err, MT_ERANGE, "%d new tokens, expected at least 1", o->vocab_size);
    mt_words coded = {0}, seen = {0};
    mt_vocabulary found = {0};
    mt_bpe_options inner = {
        .min_frequency = o->min_frequency, .max_token_length = 0, .progress = o->progress, .user = o->user};
    mt_status status = MT_OK;
    MT_TRY_GOTO(code_words(base, words, &coded, err), done);
    for (size_t w = 0; w < coded.len; w++) { /* how many different tokens the words have */
        mt_str s = coded.list[w].text;
        for (size_t at = 0; at < s.n; at += (size_t)mt_utf8_length(s.p[at]))
            MT_TRY_GOTO(mt_words_add(&seen, s.p + at, (size_t)mt_utf8_length(s.p[at]), 1, err), done);
    }
    inner.vocab_size = (int32_t)seen.len + o->vocab_size;
    MT_TRY_GOTO(mt_train_bpe(&coded, &inner, &found, err), done);
    MT_TRY_GOTO(copy_vocabulary(base, found.len, out, err), done);
    MT_TRY_GOTO(decode_tokens(&found, out, err), done);
done:
    mt_words_free(&coded);
    mt_words_free(&seen);
    mt_vocabulary_free(&found);
    if (status != MT_OK) mt_vocabulary_free(out);
    return status;
}
