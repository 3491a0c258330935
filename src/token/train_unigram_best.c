/* Lattices of words over the current pieces, and their best segmentations.
 *
 * The tokenizers library keeps the best way to each place. SentencePiece keeps it for each edge, sums in single
 * precision, and finds the second best by A* from the end with a binary heap: where scores (nearly) tie, these orders
 * of summing and of taking decide which pieces replace another one, so they are followed to the letter. */
#include "train_unigram.h"
#include "../base/sort.h"

#include <math.h>

/* ---- a trie over the current pieces: children of a node are consecutive, sorted by byte ---- */
typedef struct mt_u_node {
    uint32_t first; /* child */
    uint16_t children;
    uint8_t byte;
    int32_t piece; /* -1: inner */
} node;

static int by_text(const void *a, const void *b, void *pieces) {
    const mt_u_piece *sort_pieces = pieces;
    mt_str x = sort_pieces[*(const uint32_t *)a].text, y = sort_pieces[*(const uint32_t *)b].text;
    int c = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
    return c ? c : x.n < y.n ? -1 : x.n > y.n;
}

/* Breadth first: a node's children are appended together, so that they are consecutive. `bound` holds each node's
 * interval of `order`. */
mt_status mt_u_trie(mt_u *u) {
    for (uint32_t i = 1; i < u->len; i++) u->order[i - 1] = i;
    size_t n = u->len - 1;
    mt_sort(u->order, n, sizeof *u->order, by_text, u->pieces);
    struct bound {
        uint32_t lo, hi, depth;
    } *bound = NULL;
    size_t bound_cap = 0;
    mt_status status = MT_OK;
    u->node_len = 0;
    MT_TRY_GOTO(mt_grow((void **)&u->nodes, &u->node_cap, 1, sizeof *u->nodes, u->err), done);
    MT_TRY_GOTO(mt_grow((void **)&bound, &bound_cap, 1, sizeof *bound, u->err), done);
    u->nodes[u->node_len++] = (node){0, 0, 0, -1};
    bound[0] = (struct bound){0, (uint32_t)n, 0};
    for (size_t at = 0; at < u->node_len; at++) {
        struct bound b = bound[at];
        u->nodes[at].first = (uint32_t)u->node_len;
        while (b.lo < b.hi) {
            mt_str s = u->pieces[u->order[b.lo]].text;
            if (s.n == b.depth) { /* the piece that ends here; texts are distinct */
                u->nodes[at].piece = (int32_t)u->order[b.lo++];
                continue;
            }
            uint32_t end = b.lo + 1;
            while (end < b.hi && u->pieces[u->order[end]].text.p[b.depth] == s.p[b.depth]) end++;
            MT_TRY_GOTO(mt_grow((void **)&u->nodes, &u->node_cap, u->node_len + 1, sizeof *u->nodes, u->err), done);
            MT_TRY_GOTO(mt_grow((void **)&bound, &bound_cap, u->node_len + 1, sizeof *bound, u->err), done);
            bound[u->node_len] = (struct bound){b.lo, end, b.depth + 1};
            u->nodes[u->node_len++] = (node){0, 0, s.p[b.depth], -1};
            u->nodes[at].children++;
            b.lo = end;
        }
    }
done:
    mt_free(bound);
    return status;
}

static const node *child(const mt_u *u, const node *parent, uint8_t byte) {
    const node *lo = u->nodes + parent->first;
    size_t n = parent->children;
    while (n > 8) {
        size_t half = n / 2;
        if (lo[half].byte <= byte)
            lo += half, n -= half;
        else
            n = half;
    }
    for (; n && lo->byte < byte; n--) lo++;
    return n && lo->byte == byte ? lo : NULL;
}

static bool is_boundary(mt_str s, uint32_t at) {
    return (s.p[at] & 0xC0) != 0x80;
}

/* Edges from each place, short ones first; an unknown edge stands in when the first character is no piece. */
mt_status mt_u_lattice(mt_u *u, mt_str s) {
    uint32_t len = 0, n = (uint32_t)s.n;
    for (uint32_t begin = 0; begin < n; begin++) {
        u->first[begin] = len;
        if (!is_boundary(s, begin)) continue;
        int k = mt_utf8_length(s.p[begin]);
        uint32_t single = begin + (k ? (uint32_t)k : 1), from = len;
        bool has_single = false;
        const node *at = u->nodes;
        for (uint32_t i = begin; i < n && (at = child(u, at, s.p[i])); i++) {
            if (at->piece < 0) continue;
            if (i + 1 == single) has_single = true;
            MT_TRY(mt_grow((void **)&u->edges, &u->edge_cap, len + 2, sizeof *u->edges, u->err));
            u->edges[len++] = (mt_u_edge){at->piece, i + 1, u->pieces[at->piece].score};
        }
        if (has_single) continue;
        MT_TRY(mt_grow((void **)&u->edges, &u->edge_cap, len + 1, sizeof *u->edges, u->err));
        /* SentencePiece gives the unknown edge the id 0, which is its first piece (if there is one), and puts it last
         */
        uint32_t place = u->single ? len : from;
        memmove(u->edges + place + 1, u->edges + place, (len - place) * sizeof *u->edges);
        u->edges[place] = (mt_u_edge){u->single && u->len > 1, single, u->unknown_score};
        len++;
    }
    u->first[n] = len;
    return MT_OK;
}

/* ---- the tokenizers library's way ---- */

/* The edge over the whole of s whose piece is `without` may be left out. False: there is no segmentation. */
static bool viterbi(mt_u *u, mt_str s, int32_t without) {
    uint32_t n = (uint32_t)s.n;
    for (uint32_t i = 0; i <= n; i++) u->best[i] = -INFINITY;
    u->best[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (u->best[i] == -INFINITY) continue;
        for (uint32_t k = u->first[i]; k < u->first[i + 1]; k++) {
            const mt_u_edge *e = &u->edges[k];
            if (i == 0 && e->end == n && e->piece == without && without >= 0) continue;
            double score = u->best[i] + e->score;
            if (score > u->best[e->end]) {
                u->best[e->end] = score;
                u->best_edge[e->end] = k;
                u->best_from[e->end] = i;
            }
        }
    }
    return u->best[n] != -INFINITY;
}

static void reverse(mt_ids *ids) {
    for (size_t i = 0, j = ids->len; i + 1 < j; i++) {
        int32_t x = ids->data[i];
        ids->data[i] = ids->data[--j];
        ids->data[j] = x;
    }
}

static mt_status backtrace(mt_u *u, mt_str s) {
    u->path.len = 0;
    for (uint32_t at = (uint32_t)s.n; at; at = u->best_from[at])
        MT_TRY(mt_ids_add(&u->path, u->edges[u->best_edge[at]].piece, u->err));
    reverse(&u->path);
    return MT_OK;
}

/* ---- SentencePiece's way ---- */

/* An edge as the end of a path: `back` is the best score of a path that ends with it. Those that end at one place are
 * chained in the order of their beginnings. [0] begins the text. */
typedef struct mt_u_end {
    float score, back;
    uint32_t begin;
    int32_t piece, before, next;
} end_of;

/* [0 .. count): the ends; returns the one before the text's end, or -1. */
static mt_status viterbi_sp(mt_u *u, mt_str s, int32_t *last) {
    uint32_t n = (uint32_t)s.n;
    size_t count = 0;
    for (uint32_t i = 0; i <= n; i++) u->end_first[i] = -1;
    MT_TRY(mt_grow((void **)&u->ends, &u->end_cap, (size_t)u->first[n] + 1, sizeof *u->ends, u->err));
    u->ends[count++] = (end_of){0, 0, 0, -1, -1, -1};
    u->end_first[0] = u->end_last[0] = 0;
    for (uint32_t i = 0; i <= n; i++) {
        bool stop = i == n;
        for (uint32_t k = stop ? 0 : u->first[i]; k < (stop ? 1 : u->first[i + 1]); k++) {
            float own = stop ? 0.0f : (float)u->edges[k].score, most = 0;
            int32_t before = -1;
            for (int32_t l = u->end_first[i]; l >= 0; l = u->ends[l].next) {
                float score = u->ends[l].back + own;
                if (before >= 0 && !(score > most)) continue;
                before = l;
                most = score;
            }
            if (stop) {
                *last = before;
                return MT_OK;
            }
            if (before < 0) continue; /* nothing leads here */
            int32_t id = (int32_t)count++;
            uint32_t to = u->edges[k].end;
            u->ends[id] = (end_of){own, most, i, u->edges[k].piece, before, -1};
            if (u->end_first[to] < 0)
                u->end_first[to] = id;
            else
                u->ends[u->end_last[to]].next = id;
            u->end_last[to] = id;
        }
    }
    return MT_OK;
}

typedef struct mt_u_hypothesis {
    int32_t end, next;  /* end: its leftmost edge; -1: the text's end */
    float whole, right; /* whole: the best score of a path that goes on so */
} hypothesis;

/* The heap of the C++ standard library as GNU writes it, whose order among equals is part of the result. */
static void sift_up(mt_u *u, size_t hole, int32_t value) {
    int32_t *heap = u->agenda.data;
    for (size_t up; hole > 0 && u->hypotheses[heap[up = (hole - 1) / 2]].whole < u->hypotheses[value].whole; hole = up)
        heap[hole] = heap[up];
    heap[hole] = value;
}
static int32_t pop(mt_u *u) {
    int32_t *heap = u->agenda.data, top = heap[0], value = heap[u->agenda.len - 1];
    size_t n = --u->agenda.len, hole = 0, second = 0;
    if (!n) return top;
    while (second < (n - 1) / 2) {
        second = 2 * (second + 1);
        if (u->hypotheses[heap[second]].whole < u->hypotheses[heap[second - 1]].whole) second--;
        heap[hole] = heap[second];
        hole = second;
    }
    if (n % 2 == 0 && second == (n - 2) / 2) {
        second = 2 * (second + 1);
        heap[hole] = heap[second - 1];
        hole = second - 1;
    }
    sift_up(u, hole, value);
    return top;
}

/* Up to two best paths from the end; *found how many, *parts the length of the best one; the second one -> path. */
static mt_status two_best(mt_u *u, mt_str s, int *found, size_t *parts) {
    int32_t last;
    size_t count = 0;
    *found = 0;
    *parts = 0;
    MT_TRY(viterbi_sp(u, s, &last));
    if (last < 0) return MT_OK;
    u->agenda.len = 0;
    MT_TRY(mt_grow((void **)&u->hypotheses, &u->hypothesis_cap, 1, sizeof *u->hypotheses, u->err));
    u->hypotheses[count++] = (hypothesis){-1, -1, u->ends[last].back, 0};
    MT_TRY(mt_ids_add(&u->agenda, 0, u->err));
    while (u->agenda.len) {
        int32_t at = pop(u);
        hypothesis top = u->hypotheses[at];
        if (top.end == 0) { /* the text's beginning */
            u->path.len = 0;
            for (int32_t h = top.next; u->hypotheses[h].end >= 0; h = u->hypotheses[h].next)
                MT_TRY(mt_ids_add(&u->path, u->ends[u->hypotheses[h].end].piece, u->err));
            if (++*found == 2) return MT_OK;
            *parts = u->path.len;
            continue;
        }
        uint32_t place = top.end < 0 ? (uint32_t)s.n : u->ends[top.end].begin;
        for (int32_t l = u->end_first[place]; l >= 0; l = u->ends[l].next) {
            if (count >= INT32_MAX) return mt_fail(u->err, MT_ELIMIT, "too many segmentations of one piece");
            MT_TRY(mt_grow((void **)&u->hypotheses, &u->hypothesis_cap, count + 1, sizeof *u->hypotheses, u->err));
            u->hypotheses[count] = (hypothesis){l, at, u->ends[l].back + top.right, u->ends[l].score + top.right};
            MT_TRY(mt_ids_add(&u->agenda, 0, u->err));
            sift_up(u, u->agenda.len - 1, (int32_t)count++);
        }
    }
    return MT_OK;
}

/* ---- either ---- */

mt_status mt_u_best(mt_u *u, mt_str s) {
    MT_TRY(mt_u_lattice(u, s));
    if (!u->single) {
        u->path.len = 0;
        return viterbi(u, s, -1) ? backtrace(u, s) : MT_OK;
    }
    int32_t at;
    MT_TRY(viterbi_sp(u, s, &at));
    u->path.len = 0;
    for (; at > 0; at = u->ends[at].before) MT_TRY(mt_ids_add(&u->path, u->ends[at].piece, u->err));
    reverse(&u->path);
    return MT_OK;
}

mt_status mt_u_second(mt_u *u, int32_t piece, bool *alone, bool *other) {
    mt_str s = u->pieces[piece].text;
    MT_TRY(mt_u_lattice(u, s));
    if (u->single) {
        int found;
        size_t parts;
        MT_TRY(two_best(u, s, &found, &parts));
        *alone = found < 2 || parts == 1;
        *other = found == 2;
        return MT_OK;
    }
    viterbi(u, s, -1);
    *alone = u->best_from[s.n] == 0;
    *other = *alone && viterbi(u, s, piece);
    return *other ? backtrace(u, s) : MT_OK;
}

/* ---- work space ---- */

mt_status mt_u_open(mt_u *u) {
    size_t room = (size_t)u->longest + 2;
    u->order = mt_array(u->len, sizeof *u->order);
    u->first = mt_array(room, sizeof *u->first);
    u->alpha = mt_array(room, sizeof *u->alpha);
    u->beta = mt_array(room, sizeof *u->beta);
    u->best = mt_array(room, sizeof *u->best);
    u->best_edge = mt_array(room, sizeof *u->best_edge);
    u->best_from = mt_array(room, sizeof *u->best_from);
    u->end_first = mt_array(room, sizeof *u->end_first);
    u->end_last = mt_array(room, sizeof *u->end_last);
    if (!u->order || !u->first || !u->alpha || !u->beta || !u->best || !u->best_edge || !u->best_from ||
        !u->end_first || !u->end_last)
        return mt_nomem(u->err, u->len * 4 + room * 44, "training");
    return MT_OK;
}

void mt_u_close(mt_u *u) {
    mt_arena_free(&u->text);
    mt_free(u->pieces);
    mt_free(u->order);
    mt_free(u->nodes);
    mt_free(u->edges);
    mt_free(u->first);
    mt_free(u->alpha);
    mt_free(u->beta);
    mt_free(u->best);
    mt_free(u->best_edge);
    mt_free(u->best_from);
    mt_ids_free(&u->path);
    mt_free(u->ends);
    mt_free(u->end_first);
    mt_free(u->end_last);
    mt_free(u->hypotheses);
    mt_ids_free(&u->agenda);
}
