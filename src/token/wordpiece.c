/* WordPiece (greedy longest match from the left, pieces inside a word carry a prefix; a word that does not work out is
 * unknown as a whole) and WordLevel (a word is a token or unknown). */
#include "tok.h"

void mt_wordpiece_spellings(const mt_tok *t, int32_t id, mt_str out[2]) {
    const mt_vocab *v = &t->vocab;
    mt_str prefix = t->word_prefix, opener = t->wordpiece.opener,
           s = opener.n ? mt_vocab_piece(v, id) : mt_vocab_bytes(v, id);
    out[0] = out[1] = mt_str_of("");
    if (!(v->flags[id] & MT_IN_MODEL)) return;
    if (!opener.n && (t->byte_level || t->mark.n) && !(v->flags[id] & MT_MATCHES))
        return; /* text is never spelled like this */
    if (opener.n) {
        bool begins = s.n > opener.n && memcmp(s.p, opener.p, opener.n) == 0;
        if (begins) s.p += opener.n, s.n -= opener.n;
        out[!begins] = s;
        return;
    }
    out[0] = s;
    if (s.n > prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0) out[1] = (mt_str){s.p + prefix.n, s.n - prefix.n};
}

static mt_status list(mt_tok *t, int inside, mt_walk *out, mt_error *err) {
    const mt_vocab *v = &t->vocab;
    size_t n = 0;
    mt_walk_key *key = mt_array((size_t)v->size, sizeof *key);
    if (!key) return mt_nomem(err, (size_t)v->size * sizeof *key, "pieces");
    for (int32_t id = 0; id < v->size; id++) {
        mt_str s[2];
        mt_wordpiece_spellings(t, id, s);
        if (s[inside].n) key[n++] = (mt_walk_key){(uint32_t)(s[inside].p - v->text.data), (uint32_t)s[inside].n, id};
    }
    mt_status status = mt_walk_make(out, v->text.data, key, n, err);
    mt_free(key);
    return status;
}

mt_status mt_wordpiece_prepare(mt_tok *t, mt_error *err) {
    MT_TRY(list(t, 0, &t->wordpiece.start, err));
    return list(t, 1, &t->wordpiece.inside, err);
}

static mt_status unknown(mt_tok *t, size_t n, mt_error *err) {
    t->out->ids.len = t->word_base;
    if (t->unk < 0) return mt_fail(err, MT_EMISSING, "the text has unknown words and the model no unknown token");
    return mt_emit(t, t->unk, 0, (uint32_t)n, err);
}

static mt_status segment(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    size_t chars = 0, length = 0;
    for (size_t i = 0; i < n; i++) chars += t->byte_level || (p[i] & 0xC0) != 0x80;
    if (chars > t->wordpiece.max_chars) return unknown(t, n, err);
    for (size_t at = 0; at < n; at += length) {
        int32_t id = mt_walk_longest(at ? &t->wordpiece.inside : &t->wordpiece.start, p + at, n - at, &length);
        if (id < 0) return unknown(t, n, err);
        MT_TRY(mt_emit(t, id, (uint32_t)at, (uint32_t)(at + length), err));
    }
    return MT_OK;
}

static void drop(mt_tok *t) {
    mt_walk_free(&t->wordpiece.start);
    mt_walk_free(&t->wordpiece.inside);
}

const mt_segmenter mt_segmenter_wordpiece = {"WordPiece", true, segment, drop};

static mt_status whole(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    int32_t id = mt_vocab_find_bytes(&t->vocab, p, n);
    return id < 0 ? unknown(t, n, err) : mt_emit(t, id, 0, (uint32_t)n, err);
}

const mt_segmenter mt_segmenter_wordlevel = {"WordLevel", true, whole, NULL};
