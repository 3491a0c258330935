/* The pipeline with a listener in the segmenter's place: normalizer and splitter run as they do for encoding, so that
 * what a trainer counts is what the trained tokenizer will see. The words come out in the definition's own spelling,
 * which the pipeline takes off (tok.h): "Ġthe", "▁the". */
#include "words.h"
#include "tok.h"

typedef struct listener {
    mt_segmenter segmenter; /* first: the tokenizer points to it */
    mt_word_seen seen;
    void *user;
    mt_buf spelled;
} listener;

static mt_status hear(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    listener *l = (listener *)t->segmenter;
    mt_buf *b = &l->spelled;
    b->len = 0;
    if (t->byte_level) {
        MT_TRY(mt_buf_reserve(b, 2 * n, err));
        for (size_t i = 0; i < n; i++) b->len += (size_t)mt_byte_to_char(p[i], b->data + b->len);
        return l->seen(l->user, b->data, b->len, err);
    }
    if (!t->mark.n || !memchr(p, ' ', n)) return l->seen(l->user, p, n, err);
    for (size_t i = 0; i < n; i++)
        MT_TRY(p[i] == ' ' ? mt_buf_add(b, t->mark.p, t->mark.n, err) : mt_buf_byte(b, p[i], err));
    return l->seen(l->user, b->data, b->len, err);
}

mt_status mt_tok_words(mt_tok *t, const uint8_t *text, size_t n, mt_word_seen seen, void *user, mt_error *err) {
    listener l = {{"words", false, hear, NULL}, seen, user, {0}};
    const mt_segmenter *segmenter = t->segmenter;
    mt_memo *memo = t->memo;
    size_t steps = t->split_len;
    /* cuts that only save work for this vocabulary are none of the splitter's */
    if (steps && t->split[steps - 1].kind == MT_SPLIT_WORDS) t->split_len--;
    t->segmenter = &l.segmenter;
    t->memo = NULL;
    mt_encoding e = {0};
    mt_status status = mt_tok_encode(t, text, n, NULL, false, &e, err);
    mt_encoding_free(&e);
    t->segmenter = segmenter;
    t->memo = memo;
    t->split_len = steps;
    mt_buf_free(&l.spelled);
    return status;
}
