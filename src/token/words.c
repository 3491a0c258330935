/* The pipeline with a listener in the segmenter's place: normalizer and splitter run as they do for encoding, so that
 * what a trainer counts is what the trained tokenizer will see. The words come out in the definition's own spelling,
 * which the pipeline takes off (tok.h): "Ġthe", "▁the". */
#include "words.h"
#include "tok.h"

typedef struct listener {
    mt_segmenter segmenter;  /* first: the tokenizer points to it */
    const mt_segmenter *own; /* the tokenizer's */
    mt_word_seen word;       /* either: spelled words */
    mt_part_seen part;       /* or: raw words and added tokens */
    void *user;
    size_t reported; /* of the added tokens that were emitted */
    mt_buf spelled;
} listener;

static mt_status report_added(mt_tok *t, listener *l, const mt_encoding *e, mt_error *err) {
    mt_view word = t->word;
    mt_status status = MT_OK;
    for (; status == MT_OK && l->part && l->reported < e->ids.len; l->reported++) {
        mt_span s = e->spans[l->reported];
        t->word = (mt_view){NULL, s.end - s.begin, NULL, s.begin};
        status = l->part(l->user, NULL, 0, e->ids.data[l->reported], err);
    }
    t->word = word;
    return status;
}

static mt_status hear(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    listener *l = (listener *)t->segmenter;
    mt_buf *b = &l->spelled;
    if (l->part) {
        MT_TRY(report_added(t, l, t->out, err));
        t->segmenter = l->own; /* the listener may ask what the tokenizer is */
        mt_status status = l->part(l->user, p, n, -1, err);
        t->segmenter = &l->segmenter;
        return status;
    }
    b->len = 0;
    if (t->byte_level) {
        MT_TRY(mt_buf_reserve(b, 2 * n, err));
        for (size_t i = 0; i < n; i++) b->len += (size_t)mt_byte_to_char(p[i], b->data + b->len);
        return l->word(l->user, b->data, b->len, err);
    }
    if (!t->mark.n || !memchr(p, ' ', n)) return l->word(l->user, p, n, err);
    for (size_t i = 0; i < n; i++)
        MT_TRY(p[i] == ' ' ? mt_buf_add(b, t->mark.p, t->mark.n, err) : mt_buf_byte(b, p[i], err));
    return l->word(l->user, b->data, b->len, err);
}

static mt_status listen(mt_tok *t, listener *l, const uint8_t *text, size_t n, bool special_as_text, mt_error *err) {
    const mt_segmenter *segmenter = t->segmenter;
    mt_memo *memo = t->memo;
    size_t steps = t->split_len, trims = t->trims;
    t->trims = 0;
    /* cuts that only save work for this vocabulary are none of the splitter's */
    if (steps && t->split[steps - 1].kind == MT_SPLIT_WORDS) t->split_len--;
    l->own = segmenter;
    t->segmenter = &l->segmenter;
    t->memo = NULL;
    mt_encoding e = {0};
    mt_encode_options options = {.special_as_text = special_as_text};
    mt_status status = mt_tok_encode(t, text, n, &options, l->part != NULL, &e, err);
    if (status == MT_OK) status = report_added(t, l, &e, err);
    mt_encoding_free(&e);
    t->segmenter = segmenter;
    t->memo = memo;
    t->split_len = steps;
    t->trims = trims;
    mt_buf_free(&l->spelled);
    return status;
}

mt_status mt_tok_words(mt_tok *t, const uint8_t *text, size_t n, mt_word_seen seen, void *user, mt_error *err) {
    listener l = {{"words", false, hear, NULL}, NULL, seen, NULL, user, 0, {0}};
    return listen(t, &l, text, n, false, err);
}

mt_status mt_tok_parts(mt_tok *t, const uint8_t *text, size_t n, bool special_as_text, mt_part_seen seen, void *user,
                       mt_error *err) {
    listener l = {{"words", false, hear, NULL}, NULL, NULL, seen, user, 0, {0}};
    return listen(t, &l, text, n, special_as_text, err);
}

mt_status mt_tok_word(mt_tok *t, const uint8_t *p, size_t n, mt_ids *out, mt_error *err) {
    if (!n) return MT_OK;
    mt_encoding e = {0};
    mt_view v = {p, n, NULL, 0};
    mt_memo *memo = t->memo;
    t->memo = NULL;
    t->text = p;
    t->text_len = n;
    t->out = &e;
    t->want_spans = false;
    mt_status status = mt_segment_word(t, &v, err);
    t->out = NULL;
    t->text = NULL;
    t->memo = memo;
    for (size_t i = 0; status == MT_OK && i < e.ids.len; i++) status = mt_ids_add(out, e.ids.data[i], err);
    mt_encoding_free(&e);
    return status;
}
