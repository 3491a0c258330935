/* Picky BPE (Chizhov et al. 2024) as a tokenizer's own segmenter: a word is cut by replaying what training did, merges
 * and splits in their order (train_picky.c). Files say it in `model.microtome` of tokenizer.json (docs/training.md). */
#include "tok.h"
#include "train.h"

/* From what the file says to bytes, and the look-up. The tokens are those of the vocabulary, then the removed ones. */
mt_status mt_picky_prepare(mt_tok *t, mt_error *err) {
    mt_picky *p = t->picky;
    const mt_vocab *v = &t->vocab;
    mt_vocabulary all = {0};
    mt_buf b = {0};
    mt_status status = MT_OK;
    int32_t id;
    char shown[48];
    p->bytes = t->byte_level;
    for (int32_t i = 0; i < v->size; i++) MT_TRY_GOTO(mt_vocabulary_add(&all, mt_vocab_bytes(v, i), &id, err), done);
    for (size_t i = 0; i < p->vocabulary.len; i++) {
        mt_str s = p->vocabulary.token[i];
        b.len = 0;
        for (size_t at = 0, k; at < s.n && t->byte_level; at += k) {
            uint32_t c;
            k = (size_t)mt_utf8_decode(s.p + at, s.n - at, &c);
            int byte = k ? mt_char_to_byte(c) : -1;
            if (byte < 0) {
                status = mt_fail(err, MT_EFORMAT, "the removed token %s is not in the byte alphabet",
                                 mt_str_show(s, shown, sizeof shown));
                goto done;
            }
            MT_TRY_GOTO(mt_buf_byte(&b, (uint8_t)byte, err), done);
        }
        MT_TRY_GOTO(mt_vocabulary_add(&all, t->byte_level ? (mt_str){b.data, b.len} : s, &id, err), done);
    }
    mt_vocabulary_free(&p->vocabulary);
    p->vocabulary = all;
    all = (mt_vocabulary){0};
    p->present = mt_calloc(p->vocabulary.len, 1);
    if (!p->present) {
        status = mt_nomem(err, p->vocabulary.len, "the tokens");
        goto done;
    }
    for (int32_t i = 0; i < v->size; i++)
        p->present[i] = (v->flags[i] & MT_MATCHES) && !(v->flags[i] & MT_IN_ADDED) && v->kind[i] == MT_TOKEN_NORMAL;
    /* Removed tokens come as -1, -2...; what an event makes must be what its parts spell: replaying then ends. */
    const mt_str *text = p->vocabulary.token;
    size_t count = p->vocabulary.len;
    for (size_t i = 0; i < p->event_len; i++) {
        struct mt_picky_event *e = &p->event[i];
        int32_t pair[2] = {e->left, e->right}, *part = e->parts ? p->part.data + e->part : pair;
        size_t parts = e->parts ? e->parts : 2;
        bool fits = true;
        b.len = 0;
        for (size_t k = 0; k <= parts; k++) {
            int32_t *one = k < parts ? &part[k] : &e->token;
            if (*one < 0) *one = v->size - 1 - *one;
            if ((size_t)*one >= count) {
                status = mt_fail(err, MT_ERANGE, "event %zu has a token that is not there", i);
                goto done;
            }
            if (k < parts) {
                fits = fits && text[*one].n;
                MT_TRY_GOTO(mt_buf_add(&b, text[*one].p, text[*one].n, err), done);
            }
        }
        if (!fits || !mt_str_eq((mt_str){b.data, b.len}, text[e->token])) {
            status = mt_fail(err, MT_EFORMAT, "event %zu: its parts do not spell its token %s", i,
                             mt_str_show(text[e->token], shown, sizeof shown));
            goto done;
        }
        e->left = e->parts ? -1 : pair[0];
        e->right = e->parts ? -1 : pair[1];
    }
    status = mt_picky_index(p, 0, err);
done:
    mt_vocabulary_free(&all);
    mt_buf_free(&b);
    return status;
}

static mt_status segment(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    mt_ids *ids = &t->picky_ids;
    ids->len = 0;
    MT_TRY(mt_picky_encode(t->picky, p, n, -1, ids, err));
    size_t at = 0;
    for (size_t i = 0; i < ids->len; i++) {
        int32_t id = ids->data[i];
        size_t k;
        if (id >= t->vocab.size)
            return mt_fail(err, MT_EFORMAT, "a removed token is left: the file's events are incomplete");
        if (id >= 0) {
            k = mt_vocab_bytes(&t->vocab, id).n;
        } else {
            uint32_t c;
            k = t->byte_level ? 1 : (size_t)mt_utf8_decode(p + at, n - at, &c);
            if (!k) k = 1;
            id = t->unk;
            if (id < 0)
                return mt_fail(err, MT_EMISSING, "the text has unknown characters and the model no unknown token");
        }
        MT_TRY(mt_emit(t, id, (uint32_t)at, (uint32_t)(at + k), err));
        at += k;
    }
    return MT_OK;
}

static void drop(mt_tok *t) {
    mt_ids_free(&t->picky_ids);
}

void mt_picky_drop(mt_tok *t) {
    if (t->picky) mt_picky_free(t->picky);
    mt_free(t->picky);
}

const mt_segmenter mt_segmenter_picky = {"Picky BPE", true, segment, drop};
