/* Longest match (RWKV's world vocabulary: a trie over bytes, no splitting) and segmenters without a vocabulary of their
 * own: one token a byte (ByT5), one a code point (CANINE). */
#include "tok.h"

mt_status mt_greedy_prepare(mt_tok *t, mt_error *err) {
    const mt_vocab *v = &t->vocab;
    for (int32_t id = 0; id < v->size; id++) {
        if (!(v->flags[id] & MT_MATCHES)) continue;
        mt_str s = mt_vocab_bytes(v, id);
        int32_t old;
        MT_TRY(mt_trie_add(&t->wordpiece.start, s.p, s.n, id, &old, err));
    }
    return mt_trie_reserve(&t->wordpiece.start, t->wordpiece.start.nodes, err);
}

static mt_status segment(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    for (size_t at = 0, length; at < n; at += length) {
        int32_t id = mt_trie_longest(&t->wordpiece.start, p + at, n - at, &length);
        if (id < 0) {
            length = 1;
            if (t->unk < 0)
                return mt_fail(err, MT_EMISSING, "no token begins with byte 0x%02x and there is no unknown token",
                               p[at]);
            id = t->unk;
        }
        MT_TRY(mt_emit(t, id, (uint32_t)at, (uint32_t)(at + length), err));
    }
    return MT_OK;
}

static void drop(mt_tok *t) {
    mt_trie_free(&t->wordpiece.start);
}

const mt_segmenter mt_segmenter_greedy = {"longest match", false, segment, drop};

static mt_status characters(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    for (size_t at = 0, k; at < n; at += k) {
        uint32_t c = p[at];
        k = 1;
        if (t->code_points) {
            k = (size_t)mt_utf8_decode(p + at, n - at, &c);
            if (!k) k = 1, c = 0xFFFD;
        }
        MT_TRY(mt_emit(t, (int32_t)c + t->id_offset, (uint32_t)at, (uint32_t)(at + k), err));
    }
    return MT_OK;
}

const mt_segmenter mt_segmenter_characters = {"characters", false, characters, NULL};
