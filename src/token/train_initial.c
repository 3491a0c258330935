/* PathPiece from words in the byte alphabet: what byte-level families count ("Ġthe", each character a byte) becomes
 * bytes, candidates come from another trainer as in the paper (Schmidt et al. 2024, which starts from 2^18 tokens of
 * BPE, Unigram or the most frequent n-grams), and the tokens go back into the alphabet.
 *
 *     words "Ġab" x4   candidates by BPE: Ġ a b Ġa Ġab   PathPiece on bytes " ab"   kept: all bytes, " ab" = "Ġab" */
#include "train.h"
#include "tok.h"

/* Bytes of a text in the byte alphabet, appended; false: some character is not of it. */
static mt_status unspell(mt_str s, mt_buf *out, bool *fits, mt_error *err) {
    *fits = true;
    MT_TRY(mt_buf_reserve(out, s.n, err));
    for (size_t i = 0, k; i < s.n; i += k) {
        uint32_t c;
        k = (size_t)mt_utf8_decode(s.p + i, s.n - i, &c);
        int byte = k ? mt_char_to_byte(c) : -1;
        if (byte < 0) {
            *fits = false;
            return MT_OK;
        }
        out->data[out->len++] = (uint8_t)byte;
    }
    return MT_OK;
}

static mt_status unspell_words(const mt_words *words, mt_words *out, mt_error *err) {
    mt_buf b = {0};
    mt_status status = MT_OK;
    bool fits;
    char shown[48];
    for (size_t i = 0; i < words->len; i++) {
        b.len = 0;
        MT_TRY_GOTO(unspell(words->list[i].text, &b, &fits, err), done);
        if (!fits) {
            status = mt_fail(err, MT_EFORMAT, "the word %s is not in the byte alphabet",
                             mt_str_show(words->list[i].text, shown, sizeof shown));
            goto done;
        }
        MT_TRY_GOTO(mt_words_add(out, b.data, b.len, words->list[i].count, err), done);
    }
done:
    mt_buf_free(&b);
    return status;
}

/* Tokens as bytes; what is not in the alphabet is left out (an unknown token of the trainer that made them). */
static mt_status unspell_tokens(const mt_vocabulary *v, mt_vocabulary *out, mt_error *err) {
    mt_buf b = {0};
    mt_status status = MT_OK;
    bool fits;
    int32_t id;
    for (size_t i = 0; i < v->len; i++) {
        b.len = 0;
        MT_TRY_GOTO(unspell(v->token[i], &b, &fits, err), done);
        if (fits && b.len) MT_TRY_GOTO(mt_vocabulary_add(out, (mt_str){b.data, b.len}, &id, err), done);
    }
done:
    mt_buf_free(&b);
    return status;
}

static mt_status spell_tokens(const mt_vocabulary *v, size_t special_len, mt_vocabulary *out, mt_error *err) {
    mt_buf b = {0};
    mt_status status = MT_OK;
    int32_t id;
    for (size_t i = 0; i < v->len; i++) {
        mt_str s = v->token[i];
        b.len = 0;
        MT_TRY_GOTO(mt_buf_reserve(&b, 2 * s.n, err), done);
        if (i >= special_len) {
            for (size_t k = 0; k < s.n; k++) b.len += (size_t)mt_byte_to_char(s.p[k], b.data + b.len);
            s = (mt_str){b.data, b.len};
        }
        MT_TRY_GOTO(mt_vocabulary_add(out, s, &id, err), done);
    }
done:
    mt_buf_free(&b);
    return status;
}

/* The candidates' trainer reports the first half of the way, PathPiece the second. */
typedef struct halves {
    const mt_pathpiece_options *o;
    uint64_t done, total, own_total;
} halves;
static bool first_half(void *user, uint64_t done, uint64_t total) {
    halves *h = user;
    h->done = done < total ? done : total;
    h->total = total;
    return h->o->progress(h->o->user, h->done, 2 * total);
}
static bool second_half(void *user, uint64_t done, uint64_t total) {
    const halves *h = user;
    uint64_t whole = h->total ? h->total : total,
             at = total ? (uint64_t)((double)done / (double)total * (double)whole) : whole;
    return h->o->progress(h->o->user, whole + at, 2 * whole);
}

static mt_status candidates(const mt_words *words, const mt_words *bytes, const mt_pathpiece_initial *from, halves *h,
                            mt_vocabulary *out, mt_error *err) {
    int32_t size = from->size > 0 ? from->size : 1 << 18;
    mt_train_progress progress = h->o->progress ? first_half : NULL;
    mt_vocabulary spelled = {0};
    mt_status status = MT_OK;
    switch (from->kind) {
    case MT_INITIAL_SUBSTRINGS:
        return mt_frequent_substrings(bytes, h->o->max_width, (size_t)size, false, out, err);
    case MT_INITIAL_BPE:
        MT_TRY_GOTO(
            mt_train_bpe(words,
                         &(mt_bpe_options){
                             .vocab_size = size, .min_frequency = from->min_frequency, .progress = progress, .user = h},
                         &spelled, err),
            done);
        break;
    case MT_INITIAL_UNIGRAM: {
        const mt_str unknown = mt_str_of("<unk>");
        MT_TRY_GOTO(mt_train_unigram(words,
                                     &(mt_unigram_options){.vocab_size = size,
                                                           .special = &unknown,
                                                           .special_len = 1,
                                                           .max_piece_length = h->o->max_width,
                                                           .seed_size = from->seed_size,
                                                           .progress = progress,
                                                           .user = h},
                                     &spelled, err),
                    done);
        break;
    }
    default:
        return mt_fail(err, MT_EUNKNOWN, "unknown kind of candidates %d", (int)from->kind);
    }
    MT_TRY_GOTO(unspell_tokens(&spelled, out, err), done);
done:
    mt_vocabulary_free(&spelled);
    return status;
}

mt_status mt_train_pathpiece_spelled(const mt_words *words, const mt_pathpiece_options *o,
                                     const mt_pathpiece_initial *from, mt_vocabulary *out, mt_error *err) {
    *out = (mt_vocabulary){0};
    if (o->special_len && !o->special) return mt_fail(err, MT_EMISSING, "no special tokens are given");
    mt_words bytes = {0};
    mt_vocabulary initial = {0}, raw = {0};
    halves h = {.o = o};
    mt_pathpiece_options inner = *o;
    mt_status status = MT_OK;
    MT_TRY_GOTO(unspell_words(words, &bytes, err), done);
    MT_TRY_GOTO(candidates(words, &bytes, from, &h, &initial, err), done);
    inner.initial = initial.token;
    inner.initial_len = initial.len;
    inner.progress = o->progress ? second_half : NULL;
    inner.user = &h;
    MT_TRY_GOTO(mt_train_pathpiece(&bytes, &inner, &raw, err), done);
    MT_TRY_GOTO(spell_tokens(&raw, o->special_len, out, err), done);
done:
    mt_words_free(&bytes);
    mt_vocabulary_free(&initial);
    mt_vocabulary_free(&raw);
    if (status != MT_OK) mt_vocabulary_free(out);
    return status;
}
