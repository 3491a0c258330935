/* The matcher, and the segmenters that walk in one direction: longest match from the left (MaxMatch, "MPE"), from the
 * right, and from the left with dropout.
 *
 *     tokens a b c ab abc bc bcbc:   "bcabcabc" from the left  bc|abc|abc,  from the right  bc|abc|abc */
#include "segment.h"

mt_status mt_matcher_begin(mt_matcher *m, int32_t unknown, bool characters, mt_error *err) {
    *m = (mt_matcher){.unknown = unknown, .characters = characters};
    mt_trie *all[] = {&m->forward, &m->backward, &m->first_forward, &m->first_backward};
    for (int i = 0; i < 4; i++) MT_TRY(mt_trie_reserve(all[i], 1, err));
    return MT_OK;
}

mt_status mt_matcher_add(mt_matcher *m, mt_str token, int32_t id, bool inside, mt_error *err) {
    int32_t old;
    bool first = m->placed && !inside;
    uint8_t small[64], *reversed = token.n <= sizeof small ? small : mt_malloc(token.n);
    if (!reversed) return mt_nomem(err, token.n, "a token");
    for (size_t i = 0; i < token.n; i++) reversed[i] = token.p[token.n - 1 - i];
    mt_status status = mt_trie_add(first ? &m->first_forward : &m->forward, token.p, token.n, id, &old, err);
    if (status == MT_OK)
        status = mt_trie_add(first ? &m->first_backward : &m->backward, reversed, token.n, id, &old, err);
    if (reversed != small) mt_free(reversed);
    if (token.n > m->longest) m->longest = (uint32_t)token.n;
    return status;
}

mt_status mt_matcher_open(mt_matcher *m, const mt_vocab *v, int32_t unknown, bool characters, mt_error *err) {
    mt_status status = mt_matcher_begin(m, unknown, characters, err);
    for (int32_t id = 0; status == MT_OK && id < v->size; id++)
        if (v->flags[id] & MT_MATCHES && v->kind[id] != MT_TOKEN_UNUSED)
            status = mt_matcher_add(m, mt_vocab_bytes(v, id), id, false, err);
    if (status != MT_OK) mt_matcher_free(m);
    return status;
}

void mt_matcher_free(mt_matcher *m) {
    mt_trie_free(&m->forward);
    mt_trie_free(&m->backward);
    mt_trie_free(&m->first_forward);
    mt_trie_free(&m->first_backward);
    *m = (mt_matcher){0};
}

size_t mt_matcher_symbol(const mt_matcher *m, const uint8_t *p, size_t n) {
    uint32_t cp;
    int k = m->characters ? mt_utf8_decode(p, n, &cp) : 1;
    return k ? (size_t)k : 1;
}

mt_status mt_segments_add(mt_segments *s, int32_t id, size_t end, mt_error *err) {
    if (end > INT32_MAX) return mt_fail(err, MT_ELIMIT, "a text of more than 2 GiB");
    MT_TRY(mt_ids_add(&s->ends, (int32_t)end, err));
    mt_status status = mt_ids_add(&s->ids, id, err);
    if (status != MT_OK) s->ends.len--;
    return status;
}

void mt_segments_reverse(mt_segments *s, size_t from) {
    for (size_t i = from, j = s->ids.len; i + 1 < j; i++) {
        j--;
        int32_t id = s->ids.data[i], end = s->ends.data[i];
        s->ids.data[i] = s->ids.data[j];
        s->ids.data[j] = id;
        s->ends.data[i] = s->ends.data[j];
        s->ends.data[j] = end;
    }
}

void mt_segments_free(mt_segments *s) {
    mt_ids_free(&s->ids);
    mt_ids_free(&s->ends);
}

mt_status mt_segment_missing(const uint8_t *p, size_t at, size_t n, mt_error *err) {
    char shown[32];
    return mt_fail_at(err, MT_EMISSING, at, "no token for %s at byte %zu, and no unknown token",
                      mt_str_show((mt_str){p + at, n}, shown, sizeof shown), at);
}

mt_status mt_segment_leftmost_longest(const mt_matcher *m, const uint8_t *p, size_t n, mt_segments *out,
                                      mt_error *err) {
    for (size_t at = 0; at < n;) {
        size_t length = 0;
        int32_t id = mt_trie_longest(mt_matcher_from(m, at), p + at, n - at, &length);
        if (id < 0) {
            length = mt_matcher_symbol(m, p + at, n - at);
            if ((id = m->unknown) < 0) return mt_segment_missing(p, at, length, err);
        }
        at += length;
        MT_TRY(mt_segments_add(out, id, at, err));
    }
    return MT_OK;
}

mt_status mt_segment_rightmost_longest(const mt_matcher *m, const uint8_t *p, size_t n, mt_segments *out,
                                       mt_error *err) {
    size_t from = out->ids.len;
    for (size_t end = n; end > 0;) {
        int32_t id = -1;
        size_t length = 1;
        uint32_t node = 0;
        for (size_t k = 0; k < end && (node = mt_trie_step(&m->backward, node, p[end - 1 - k])); k++)
            if (m->backward.token[node] >= 0 && !(m->placed && k + 1 == end)) {
                id = m->backward.token[node];
                length = k + 1;
            }
        if (m->placed) { /* all the rest as one token is longer than anything */
            size_t k = 0;
            for (node = 0; k < end && (node = mt_trie_step(&m->first_backward, node, p[end - 1 - k])); k++);
            if (k == end && m->first_backward.token[node] >= 0) {
                id = m->first_backward.token[node];
                length = end;
            }
        }
        if (id < 0) {
            if (m->characters) /* back to the character's first byte, if what lies there is one */
                for (size_t k = 2; k <= 4 && k <= end; k++)
                    if (mt_matcher_symbol(m, p + end - k, k) == k) length = k;
            if ((id = m->unknown) < 0) return mt_segment_missing(p, end - length, length, err);
        }
        MT_TRY(mt_segments_add(out, id, end, err));
        end -= length;
    }
    mt_segments_reverse(out, from);
    return MT_OK;
}

mt_status mt_segment_longest_dropout(const mt_matcher *m, const uint8_t *p, size_t n, double dropout, mt_rng *rng,
                                     mt_segments *out, mt_error *err) {
    if (!(dropout >= 0 && dropout <= 1))
        return mt_fail(err, MT_ERANGE, "a dropout probability of %g, expected 0 to 1", dropout);
    for (size_t at = 0; at < n;) {
        /* Of the matches from short to long, the last that is not refused: the same as refusing from long to short. */
        int32_t id = -1;
        size_t length = 0;
        uint32_t node = 0;
        const mt_trie *trie = mt_matcher_from(m, at);
        for (size_t i = at; i < n && (node = mt_trie_step(trie, node, p[i])); i++) {
            if (trie->token[node] < 0) continue;
            if (id >= 0 && mt_rng_double(rng) < dropout) continue;
            id = trie->token[node];
            length = i + 1 - at;
        }
        if (id < 0) {
            length = mt_matcher_symbol(m, p + at, n - at);
            if ((id = m->unknown) < 0) return mt_segment_missing(p, at, length, err);
        }
        at += length;
        MT_TRY(mt_segments_add(out, id, at, err));
    }
    return MT_OK;
}
