/* The sorted vocabulary of a spelling automaton, and what is derived from it once: the byte alphabet, the tokens that
 * only ignore_merges can emit, the characters that SentencePiece's byte fallback never spells in bytes, and the trie of
 * added tokens that are cut out of the text (Aho & Corasick 1975). */
#include "spell.h"

#include <stdlib.h>

typedef struct entry {
    mt_str text;
    int32_t id;
    uint8_t kind;
} entry;

static int by_text(const void *a, const void *b) {
    const entry *x = a, *y = b;
    size_t n = x->text.n < y->text.n ? x->text.n : y->text.n;
    int order = memcmp(x->text.p, y->text.p, n);
    if (order) return order;
    if (x->text.n != y->text.n) return x->text.n < y->text.n ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static mt_status sort_tokens(mt_spell *s, mt_error *err) {
    const mt_spell_source *src = &s->source;
    int32_t size = src->size < s->vocab ? src->size : s->vocab;
    if (size < 0) size = 0;
    entry *list = mt_array((size_t)size, sizeof *list);
    s->rank = mt_array((size_t)size, sizeof *s->rank);
    if (!list || !s->rank) {
        mt_free(list);
        return mt_nomem(err, (size_t)size * sizeof *list, "the sorted vocabulary");
    }
    size_t n = 0;
    for (int32_t id = 0; id < size; id++) {
        s->rank[id] = -1;
        mt_spell_kind kind = src->kind(src->self, id);
        mt_str text = src->bytes(src->self, id);
        if (kind == MT_SPELL_NO || text.n == 0) continue;
        list[n++] = (entry){text, id, (uint8_t)kind};
        if (text.n > s->longest) s->longest = text.n;
    }
    s->vocab = size;
    qsort(list, n, sizeof *list, by_text);
    s->count = n;
    s->words = (n + 63) / 64;
    s->cached_limit = MT_SPELL_PLACE_BYTES / 8 / (s->words + 1);
    if (s->cached_limit < 16) s->cached_limit = 16;
    if (s->cached_limit > MT_SPELL_PLACE_MASKS) s->cached_limit = MT_SPELL_PLACE_MASKS;
    s->id = mt_array(n, sizeof *s->id);
    s->text = mt_array(n, sizeof *s->text);
    s->common = mt_array(n, sizeof *s->common);
    s->kind = mt_malloc(n);
    s->reach = mt_calloc(n, 1);
    s->path = mt_array(s->longest + 1, sizeof *s->path);
    if (!s->id || !s->text || !s->common || !s->kind || !s->reach || !s->path) {
        mt_free(list);
        return mt_nomem(err, n * 32, "the sorted vocabulary");
    }
    for (size_t i = 0; i < n; i++) {
        s->id[i] = list[i].id;
        s->text[i] = list[i].text;
        s->kind[i] = list[i].kind;
        s->rank[list[i].id] = (int32_t)i;
        size_t c = 0;
        if (i > 0)
            while (c < list[i].text.n && c < list[i - 1].text.n && list[i].text.p[c] == list[i - 1].text.p[c]) c++;
        s->common[i] = (uint32_t)c;
    }
    mt_free(list);
    return MT_OK;
}

mt_status mt_spell_reachable(mt_spell *s, size_t rank, bool *yes, mt_error *err) {
    if (s->source.rule != MT_SPELL_PAIRS) { /* where it may stand is the word's affair */
        *yes = true;
        return MT_OK;
    }
    if (!s->reach[rank]) {
        MT_TRY(s->source.reachable(s->source.self, s->id[rank], yes, err));
        s->reach[rank] = *yes ? 2 : 1;
    }
    *yes = s->reach[rank] == 2;
    return MT_OK;
}

static mt_status list_hidden(mt_spell *s, mt_error *err) {
    size_t cap = 0;
    for (size_t i = 0; i < s->count; i++) {
        bool yes = true;
        if (s->kind[i] == MT_SPELL_NORMAL) MT_TRY(mt_spell_reachable(s, i, &yes, err));
        if (yes) continue;
        MT_TRY(mt_grow((void **)&s->hidden, &cap, (size_t)s->hidden_count + 1, sizeof *s->hidden, err));
        s->hidden[s->hidden_count++] = (int32_t)i;
    }
    return MT_OK;
}

/* Code points whose encoding starts with the given bytes, as a range; false: no valid character starts so. */
static bool character_range(const uint8_t *p, size_t n, uint32_t *first, uint32_t *last) {
    int length = mt_utf8_length(p[0]);
    if (length == 0 || n > (size_t)length) return false;
    uint32_t v = length == 1 ? p[0] : p[0] & (0x7Fu >> length);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) return false;
        v = v << 6 | (p[i] & 0x3F);
    }
    int bits = 6 * (length - (int)n);
    uint32_t lo = v << bits, hi = lo | ((1u << bits) - 1);
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (lo < least[length]) lo = least[length];
    if (hi > 0x10FFFF) hi = 0x10FFFF;
    if (lo >= 0xD800 && lo <= 0xDFFF) lo = 0xE000;
    if (hi >= 0xD800 && hi <= 0xDFFF) hi = 0xD7FF;
    *first = lo;
    *last = hi;
    return lo <= hi;
}

/* Number of known characters below cp. */
static size_t known_below(const mt_spell *s, uint32_t cp) {
    size_t lo = 0, hi = s->known_count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (s->known[mid] < cp)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* A byte piece may stand only where it spells a part of a whole character that is no piece. */
bool mt_spell_tail_add(const mt_spell *s, uint32_t tail, uint8_t b, uint32_t *out) {
    uint8_t p[4];
    size_t n = tail >> 24;
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)(tail >> (8 * (n - 1 - i)));
    p[n++] = b;
    uint32_t first, last;
    if (!character_range(p, n, &first, &last)) return false;
    uint32_t all = last - first + 1;
    if (first < 0xD800 && last > 0xDFFF) all -= 0x800;
    if (known_below(s, last + 1) - known_below(s, first) >= all) return false;
    *out = n == (size_t)mt_utf8_length(p[0]) ? 0 : (uint32_t)n << 24 | ((tail & 0xFFFFFF) << 8 | b);
    return true;
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static mt_status list_known(mt_spell *s, mt_error *err) {
    size_t cap = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (s->kind[i] != MT_SPELL_BYTE) continue;
        MT_TRY(mt_grow((void **)&s->byte, &cap, s->byte_count + 1, sizeof *s->byte, err));
        s->byte[s->byte_count++] = (int32_t)i;
    }
    cap = 0;
    MT_TRY(mt_grow((void **)&s->known, &cap, 2, sizeof *s->known, err));
    s->known[s->known_count++] = ' ';    /* the text's spaces are U+2581 in the pieces... */
    s->known[s->known_count++] = 0x2581; /* ...and one that stands in the text itself is read back as a space */
    for (size_t i = 0; i < s->count; i++) {
        uint32_t cp;
        if (s->kind[i] != MT_SPELL_NORMAL || mt_utf8_decode(s->text[i].p, s->text[i].n, &cp) != (int)s->text[i].n)
            continue;
        MT_TRY(mt_grow((void **)&s->known, &cap, s->known_count + 1, sizeof *s->known, err));
        s->known[s->known_count++] = cp;
    }
    qsort(s->known, s->known_count, sizeof *s->known, by_value);
    size_t n = 0;
    for (size_t i = 0; i < s->known_count; i++)
        if (n == 0 || s->known[n - 1] != s->known[i]) s->known[n++] = s->known[i];
    s->known_count = n;
    /* Pieces are made of known characters, so unknown ones never merge and separate their neighbours. */
    for (size_t i = 0; i < s->count; i++) {
        bool yes = false;
        if (s->kind[i] == MT_SPELL_NORMAL) MT_TRY(mt_spell_reachable(s, i, &yes, err));
        if (!yes) continue;
        for (size_t at = 0; at < s->text[i].n;) {
            uint32_t cp;
            int length = mt_utf8_decode(s->text[i].p + at, s->text[i].n - at, &cp);
            size_t k = known_below(s, cp);
            if (length == 0 || k == s->known_count || s->known[k] != cp) {
                char shown[64];
                return mt_fail(err, MT_EUNKNOWN,
                               "no exact byte model: piece %d \"%s\" has a character that is no piece itself", s->id[i],
                               mt_str_show(s->text[i], shown, sizeof shown));
            }
            at += (size_t)length;
        }
    }
    return MT_OK;
}

static mt_status add_node(mt_spell *s, int32_t *out, mt_error *err) {
    MT_TRY(mt_grow((void **)&s->nodes, &s->node_cap, s->node_count + 1, sizeof *s->nodes, err));
    s->nodes[s->node_count] = (mt_spell_node){0};
    *out = (int32_t)s->node_count++;
    return MT_OK;
}

static mt_status list_users(mt_spell *s, mt_error *err) {
    for (size_t i = 0; i < s->count; i++) s->user_count += s->kind[i] == MT_SPELL_USER;
    if (s->user_count == 0) return MT_OK;
    if (s->source.prefix_space)
        return mt_fail(err, MT_EUNKNOWN,
                       "no exact byte model: added tokens together with a space that is put before the text");
    s->user = mt_array(s->user_count, sizeof *s->user);
    s->user_node = mt_array(s->user_count, sizeof *s->user_node);
    if (!s->user || !s->user_node) return mt_nomem(err, s->user_count * 8, "the added tokens");
    int32_t node;
    MT_TRY(add_node(s, &node, err));
    for (size_t i = 0, k = 0; i < s->count; i++) {
        if (s->kind[i] != MT_SPELL_USER) continue;
        int32_t at = 0;
        for (size_t j = 0; j < s->text[i].n; j++) {
            int32_t next = s->nodes[at].child[s->text[i].p[j]];
            if (!next) {
                MT_TRY(add_node(s, &next, err));
                s->nodes[at].child[s->text[i].p[j]] = next;
            }
            at = next;
        }
        s->nodes[at].terminal = true;
        s->user[k] = (int32_t)i;
        s->user_node[k++] = at;
    }
    int32_t *queue = mt_array(s->node_count, sizeof *queue);
    if (!queue) return mt_nomem(err, s->node_count * sizeof *queue, "the added tokens");
    size_t head = 0, tail = 0;
    queue[tail++] = 0;
    while (head < tail) {
        int32_t at = queue[head++];
        mt_spell_node *n = &s->nodes[at];
        n->any_terminal = n->terminal || (at && s->nodes[n->fail].any_terminal);
        for (int b = 0; b < 256; b++) {
            int32_t child = n->child[b];
            if (!child) continue;
            int32_t f = at ? n->fail : -1;
            while (f > 0 && !s->nodes[f].child[b]) f = s->nodes[f].fail;
            s->nodes[child].fail = f < 0 ? 0 : s->nodes[f].child[b];
            queue[tail++] = child;
        }
    }
    mt_free(queue);
    return MT_OK;
}

mt_status mt_spell_vocabulary(mt_spell *s, mt_error *err) {
    MT_TRY(sort_tokens(s, err));
    if (s->source.free) return MT_OK;
    for (size_t i = 0; i < s->count; i++)
        if (s->text[i].n == 1 && s->kind[i] != MT_SPELL_USER) s->alphabet[s->text[i].p[0]] = 1;
    if (s->source.byte_fallback) {
        memset(s->alphabet, 1, sizeof s->alphabet);
        MT_TRY(list_known(s, err));
    }
    if (s->source.ignore_merges) MT_TRY(list_hidden(s, err));
    if (s->source.rule != MT_SPELL_PAIRS) MT_TRY(mt_spell_paths(s, err));
    return list_users(s, err);
}

/* ---- queries ---- */

void mt_spell_narrow(const mt_spell *s, size_t *lo, size_t *hi, size_t depth, uint8_t b) {
    size_t l = *lo, h = *hi;
    while (l < h) { /* first token whose byte at `depth` is >= b; shorter ones come before */
        size_t mid = l + (h - l) / 2;
        if (s->text[mid].n <= depth || s->text[mid].p[depth] < b)
            l = mid + 1;
        else
            h = mid;
    }
    *lo = l;
    h = *hi;
    while (l < h) {
        size_t mid = l + (h - l) / 2;
        if (s->text[mid].p[depth] <= b)
            l = mid + 1;
        else
            h = mid;
    }
    *hi = l;
}

mt_spell_seen mt_spell_seen_all(const mt_spell *s) {
    return (mt_spell_seen){0, s->hidden_count, 0};
}

mt_spell_seen mt_spell_seen_add(const mt_spell *s, mt_spell_seen seen, mt_str text) {
    for (size_t i = 0; i < text.n && seen.lo < seen.hi; i++) {
        int32_t l = seen.lo, h = seen.hi;
        size_t depth = (size_t)seen.depth;
        while (l < h) {
            int32_t mid = l + (h - l) / 2;
            mt_str t = s->text[s->hidden[mid]];
            if (t.n <= depth || t.p[depth] < text.p[i])
                l = mid + 1;
            else
                h = mid;
        }
        seen.lo = l;
        h = seen.hi;
        while (l < h) {
            int32_t mid = l + (h - l) / 2;
            if (s->text[s->hidden[mid]].p[depth] <= text.p[i])
                l = mid + 1;
            else
                h = mid;
        }
        seen.hi = l;
        seen.depth++;
    }
    return seen.lo < seen.hi ? seen : (mt_spell_seen){0, 0, 0};
}

size_t mt_spell_count(const mt_spell *s) {
    return s->count;
}
int32_t mt_spell_id(const mt_spell *s, size_t rank) {
    return s->id[rank];
}
int32_t mt_spell_rank(const mt_spell *s, int32_t id) {
    return id >= 0 && id < s->vocab ? s->rank[id] : -1;
}
mt_str mt_spell_text(const mt_spell *s, size_t rank) {
    return s->text[rank];
}
const mt_spell_source *mt_spell_source_get(const mt_spell *s) {
    return &s->source;
}
void mt_spell_stats_get(const mt_spell *s, mt_spell_stats *out) {
    *out = s->stats;
    out->states = s->state_count;
    out->state_masks = s->masks;
    for (size_t i = 0; i < s->state_count; i++) out->tables += s->states[i].next != NULL;
}
