/* SentencePiece's two models without a search: a word is a piece, or a character is.
 *
 *   words: the normalized text is cut before every mark      "▁a▁bc"  ->  ▁a ▁bc
 *   characters: one after the other; user-defined pieces have been cut out before
 *
 * What is no piece is unknown: its bytes where the model falls back to them, else the unknown piece, one for
 * neighbours. Reserved pieces other than control ones (<unk>, <0x41>) are pieces like any other here. */
#include "tok.h"

typedef struct unknown_run {
    bool open;
    uint32_t from;
} unknown_run;

static mt_status emit_piece(mt_tok *t, const uint8_t *p, size_t from, size_t to, unknown_run *run, mt_error *err) {
    mt_buf *b = &t->scratch; /* as the model spells it */
    b->len = 0;
    for (size_t i = from; i < to; i++)
        MT_TRY(p[i] == ' ' && t->mark.n ? mt_buf_add(b, t->mark.p, t->mark.n, err) : mt_buf_byte(b, p[i], err));
    int32_t id = mt_vocab_find_piece(&t->vocab, (mt_str){b->data, b->len});
    if (id >= 0 && t->vocab.kind[id] == MT_TOKEN_SPECIAL) id = -1;
    if (id >= 0 && t->vocab.kind[id] != MT_TOKEN_UNKNOWN) {
        run->open = false;
        return mt_emit(t, id, (uint32_t)from, (uint32_t)to, err);
    }
    if (t->byte_fallback && t->byte_tokens) { /* the last byte has the span */
        run->open = false;
        for (size_t i = 0; i < b->len; i++)
            MT_TRY(mt_emit(t, t->byte_token[b->data[i]], (uint32_t)from, (uint32_t)(i + 1 < b->len ? from : to), err));
        return MT_OK;
    }
    if (t->unk < 0) return mt_fail(err, MT_EMISSING, "the text has unknown pieces and the model no unknown piece");
    if (run->open)
        t->out->ids.len--;
    else
        run->from = (uint32_t)from;
    run->open = true;
    return mt_emit(t, t->unk, run->from, (uint32_t)to, err);
}

static mt_status words(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    mt_str mark = t->mark.n ? mt_str_of(" ") : mt_str_of(MT_MARK);
    unknown_run run = {false, 0};
    size_t from = 0;
    for (size_t at = 1; at <= n; at++) {
        bool cut = at == n || (n - at >= mark.n && !memcmp(p + at, mark.p, mark.n));
        if (!cut) continue;
        MT_TRY(emit_piece(t, p, from, at, &run, err));
        from = at;
    }
    return MT_OK;
}

static mt_status characters(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    unknown_run run = {false, 0};
    for (size_t at = 0, k; at < n; at += k) {
        uint32_t c;
        k = (size_t)mt_utf8_decode(p + at, n - at, &c);
        if (!k) k = 1;
        MT_TRY(emit_piece(t, p, at, at + k, &run, err));
    }
    return MT_OK;
}

const mt_segmenter mt_segmenter_spm_words = {"words", false, words, NULL};
const mt_segmenter mt_segmenter_spm_characters = {"characters", false, characters, NULL};
