/* PathPiece (Schmidt et al., "Tokenization Is More Than Compression", 2024): the fewest tokens, by a shortest path over
 * byte positions. Positions are settled from left to right and matches leave a position short ones first, so a strict
 * comparison keeps, of equally good last tokens, the one that starts first: the longest.
 *
 *     tokens a b ab ba:   "aba"   a|ba and ab|a both need 2;  the longest last token gives a|ba */
#include "segment.h"

typedef struct place {
    uint32_t unknown, tokens; /* fewest on the way here; unknown symbols weigh more than any number of tokens */
    uint32_t from;
    int32_t id;
    uint32_t ties; /* equally good last tokens seen so far */
} place;

static void offer(place *to, const place *from, uint32_t at, int32_t id, bool unknown, mt_rng *rng) {
    uint32_t u = from->unknown + unknown, t = from->tokens + 1;
    if (u > to->unknown || (u == to->unknown && t > to->tokens)) return;
    if (u == to->unknown && t == to->tokens) { /* reservoir of one: the k-th equal replaces with probability 1/k */
        if (!rng || mt_rng_below(rng, ++to->ties) != 0) return;
    } else {
        to->ties = 1;
    }
    to->unknown = u;
    to->tokens = t;
    to->from = at;
    to->id = id;
}

mt_status mt_segment_fewest(const mt_matcher *m, const uint8_t *p, size_t n, mt_rng *rng, mt_segments *out,
                            mt_error *err) {
    if (n >= INT32_MAX) return mt_fail(err, MT_ELIMIT, "a text of more than 2 GiB");
    place *best = mt_array(n + 1, sizeof *best);
    if (!best) return mt_nomem(err, (n + 1) * sizeof *best, "a segmentation");
    mt_status status = MT_OK;
    for (size_t i = 0; i <= n; i++) best[i] = (place){UINT32_MAX, UINT32_MAX, 0, -1, 0};
    best[0] = (place){0};
    size_t far = 0; /* the farthest place reached */
    for (size_t i = 0; i < n; i++) {
        if (best[i].tokens == UINT32_MAX) continue;
        size_t symbol = mt_matcher_symbol(m, p + i, n - i);
        bool single = false;
        uint32_t node = 0;
        const mt_trie *trie = mt_matcher_from(m, i);
        for (size_t j = i; j < n && (node = mt_trie_step(trie, node, p[j])); j++) {
            if (trie->token[node] < 0) continue;
            if (j + 1 - i == symbol) single = true;
            offer(&best[j + 1], &best[i], (uint32_t)i, trie->token[node], false, rng);
            if (j + 1 > far) far = j + 1;
        }
        if (!single && m->unknown >= 0) {
            offer(&best[i + symbol], &best[i], (uint32_t)i, m->unknown, true, rng);
            if (i + symbol > far) far = i + symbol;
        }
        if (far == i) break; /* nothing goes on from the farthest place */
    }
    if (best[n].tokens == UINT32_MAX) {
        status = mt_segment_missing(p, far, mt_matcher_symbol(m, p + far, n - far), err);
        goto done;
    }
    size_t first = out->ids.len;
    for (size_t at = n; at > 0; at = best[at].from) MT_TRY_GOTO(mt_segments_add(out, best[at].id, at, err), done);
    mt_segments_reverse(out, first);
done:
    mt_free(best);
    return status;
}
