/* LBPE: the longest token anywhere first. By lengths from the longest down, every match whose bytes are all free is
 * fixed, from left to right; what stays free are single symbols. This is the recursion "fix the longest match, leftmost
 * of equals, then the same to its left and to its right".
 *
 * All matches are listed once, ordered by (length descending, start ascending) with a counting sort. A fixed token is
 * at least as long as a later candidate, so a candidate that overlaps one has its first or its last byte covered: two
 * tests. O(n x matches per position). */
#include "segment.h"

typedef struct match {
    uint32_t at, n;
    int32_t id;
} match;

static mt_status list_matches(const mt_matcher *m, const uint8_t *p, size_t n, match **list, size_t *len,
                              mt_error *err) {
    size_t cap = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t node = 0;
        const mt_trie *trie = mt_matcher_from(m, i);
        for (size_t j = i; j < n && (node = mt_trie_step(trie, node, p[j])); j++) {
            if (trie->token[node] < 0) continue;
            MT_TRY(mt_grow((void **)list, &cap, *len + 1, sizeof **list, err));
            (*list)[(*len)++] = (match){(uint32_t)i, (uint32_t)(j + 1 - i), trie->token[node]};
        }
    }
    return MT_OK;
}

mt_status mt_segment_longest_first(const mt_matcher *m, const uint8_t *p, size_t n, mt_segments *out, mt_error *err) {
    if (n >= INT32_MAX) return mt_fail(err, MT_ELIMIT, "a text of more than 2 GiB");
    match *list = NULL, *sorted = NULL;
    size_t len = 0, *place = mt_calloc((size_t)m->longest + 2, sizeof *place);
    uint32_t *width = mt_calloc(n + 1, sizeof *width); /* at the start of a fixed token its width, elsewhere 0 */
    uint8_t *covered = mt_calloc(n + 1, 1);
    int32_t *id = mt_array(n + 1, sizeof *id);
    mt_status status = MT_OK;
    if (!place || !width || !covered || !id) {
        status = mt_nomem(err, n * 9, "a segmentation");
        goto done;
    }
    MT_TRY_GOTO(list_matches(m, p, n, &list, &len, err), done);
    sorted = mt_array(len, sizeof *sorted);
    if (!sorted) {
        status = mt_nomem(err, len * sizeof *sorted, "a segmentation");
        goto done;
    }
    /* place[k]: where matches of length longest - k start */
    for (size_t i = 0; i < len; i++) place[m->longest - list[i].n + 1]++;
    for (size_t k = 1; k <= m->longest; k++) place[k] += place[k - 1];
    for (size_t i = 0; i < len; i++) sorted[place[m->longest - list[i].n]++] = list[i];
    for (size_t i = 0; i < len; i++) {
        match s = sorted[i];
        if (covered[s.at] || covered[s.at + s.n - 1]) continue;
        memset(covered + s.at, 1, s.n);
        width[s.at] = s.n;
        id[s.at] = s.id;
    }
    for (size_t at = 0; at < n;) {
        size_t k = width[at];
        if (!k) {
            k = mt_matcher_symbol(m, p + at, n - at);
            if ((id[at] = m->unknown) < 0) {
                status = mt_segment_missing(p, at, k, err);
                goto done;
            }
            for (size_t j = 1; j < k; j++) /* an unknown symbol ends where a token begins */
                if (covered[at + j]) k = j;
        }
        MT_TRY_GOTO(mt_segments_add(out, id[at], at + k, err), done);
        at += k;
    }
done:
    mt_free(list);
    mt_free(sorted);
    mt_free(place);
    mt_free(width);
    mt_free(covered);
    mt_free(id);
    return status;
}
