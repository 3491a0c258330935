/* The precompiled character map of SentencePiece: a double-array trie from source strings to replacements.
 *
 *   blob: u32 bytes of the trie | trie units, u32 each | replacements, zero-terminated, end to end
 *
 * A unit of the trie (Darts-clone): bit 31 marks a leaf whose low 31 bits are the value (place of the replacement);
 * otherwise bits 0..7 hold the label that leads here, bit 8 says that a leaf hangs below, and the rest the offset of
 * the children: bits 10..30, shifted left by 8 when bit 9 is set. */
#include "tok.h"

struct mt_charsmap {
    const uint32_t *unit;
    size_t units;
    mt_str text;
};

mt_status mt_charsmap_load(mt_tok *t, mt_str blob, mt_charsmap **out, mt_error *err) {
    uint32_t bytes = blob.n >= 4 ? mt_le32(blob.p) : 0;
    if (blob.n < 8 || bytes > blob.n - 4 || bytes % 4 || !bytes)
        return mt_fail(err, MT_EFORMAT, "the character map of %zu bytes announces a trie of %u", blob.n, bytes);
    return mt_charsmap_make(t, (mt_str){blob.p + 4, bytes}, (mt_str){blob.p + 4 + bytes, blob.n - 4 - bytes}, out, err);
}

mt_status mt_charsmap_make(mt_tok *t, mt_str units, mt_str text, mt_charsmap **out, mt_error *err) {
    if (!units.n || units.n % 4) return mt_fail(err, MT_EFORMAT, "a character map's trie of %zu bytes", units.n);
    mt_charsmap *m = mt_arena_alloc(&t->arena, sizeof *m);
    uint32_t *unit = mt_arena_alloc(&t->arena, units.n);
    if (!m || !unit) return mt_nomem(err, units.n, "a character map");
    memcpy(unit, units.p, units.n);
    m->unit = unit;
    m->units = units.n / 4;
    MT_TRY(mt_tok_copy(t, text, &m->text, err));
    *out = m;
    return MT_OK;
}

void mt_charsmap_parts(const mt_charsmap *m, mt_str *units, mt_str *text) {
    *units = (mt_str){(const uint8_t *)m->unit, m->units * 4};
    *text = m->text;
}

static inline size_t offset(uint32_t u) {
    return (size_t)(u >> 10) << ((u & 512) >> 6);
}

size_t mt_charsmap_find(const mt_charsmap *m, const uint8_t *p, size_t n, bool shortest, mt_str *replacement) {
    size_t node = offset(m->unit[0]), found = 0, value = 0;
    for (size_t i = 0; i < n; i++) {
        node ^= p[i];
        if (node >= m->units) break;
        uint32_t u = m->unit[node];
        if ((u & (UINT32_C(1) << 31 | 255)) != p[i]) break;
        node ^= offset(u);
        if (!(u >> 8 & 1)) continue;
        if (node >= m->units) break;
        value = m->unit[node] & ~(UINT32_C(1) << 31);
        found = i + 1;
        if (shortest) break;
    }
    if (!found || value >= m->text.n) return 0;
    const uint8_t *q = m->text.p + value, *end = memchr(q, 0, m->text.n - value);
    *replacement = (mt_str){q, end ? (size_t)(end - q) : m->text.n - value};
    return found;
}
