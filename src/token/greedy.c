/* Longest match (RWKV's world vocabulary: a walk over bytes, no splitting) and segmenters without a vocabulary of their
 * own: one token a byte (ByT5), one a code point (CANINE). */
#include "tok.h"

static mt_status segment(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    for (size_t at = 0, length; at < n; at += length) {
        int32_t id = mt_walk_longest(&t->vocab.walk, p + at, n - at, &length);
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

const mt_segmenter mt_segmenter_greedy = {"longest match", false, segment, NULL};

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
