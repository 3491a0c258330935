/* Unigram language model training (Kudo 2018), as SentencePiece and the tokenizers library do it:
 *
 *   1. seeds: all characters, and the substrings that are inner nodes of the words' suffix tree: they occur at least
 *      twice and are followed by at least two different characters. For SentencePiece, which builds the tree of whole
 *      sentences and cuts its nodes into words, also those that always end their word: there every word end is a
 *      character of its own, and a word counts as often as it occurs. Score frequency x length; the best `seed_size`
 *   2. repeat: two EM steps, then prune to 75 %, until no more than 1.1 x vocab_size pieces are left
 *      E  expected counts by forward-backward over each word's lattice, weighted by the word's count
 *      M  pieces expected less than 0.5 times are dropped; score = digamma(count) - digamma(sum)
 *      prune  loss of a piece = share of the words that use it x (its log-probability - that of its second-best
 * segmentation)
 *   3. finish: characters first (a missing one gets a score just above the minimum), then pieces until vocab_size;
 * sorted by score
 */
#include "train.h"
#include "../base/sort.h"

#include <math.h>

typedef struct piece {
    mt_str text;
    double score;
} piece;

typedef struct seed {
    uint64_t score;
    uint32_t at, len; /* symbols of the flat text */
} seed;

/* ---- a trie over the current pieces: children of a node are consecutive, sorted by byte ---- */
typedef struct node {
    uint32_t first; /* child */
    uint16_t children;
    uint8_t byte;
    int32_t piece; /* -1: inner */
} node;

typedef struct unigram {
    const mt_unigram_options *o;
    const mt_words *words;
    mt_error *err;
    mt_arena text; /* of the seeds */
    piece *pieces; /* [0] is the unknown piece */
    size_t len;
    double unknown_score;
    bool single;     /* SentencePiece computes in single precision: so does its style, operation by operation */
    uint32_t *order; /* pieces by text, for building the trie */
    node *nodes;
    size_t node_len, node_cap;
    uint32_t longest; /* bytes of the longest word or piece */
    /* per-position work space, longest + 1 entries */
    double *alpha, *beta, *best;
    int32_t *best_piece;
    uint32_t *best_from;
} unigram;

static inline double rounded(const unigram *u, double x) {
    return u->single ? (double)(float)x : x;
}

/* ---- seeds ------------------------------------------------------------------------------------------------------- */

typedef struct flat {
    uint32_t *symbol; /* code points; 0 ends a word */
    size_t len;
    uint32_t depth; /* suffixes are told apart by this many symbols */
} flat;

static uint32_t symbol_at(const flat *f, uint32_t suffix, uint32_t depth) {
    size_t at = (size_t)suffix + depth;
    return at < f->len ? f->symbol[at] : 0;
}

/* Multikey quicksort (Bentley & Sedgewick 1997) of suffixes by their first `depth` symbols. Ranges wait on an explicit
 * stack: the smaller parts are pushed, so that it stays logarithmic for each depth. */
typedef struct range {
    uint32_t lo, hi, depth;
} range;

static mt_status sort_suffixes(const flat *f, uint32_t *sa, size_t n, mt_error *err) {
    range *stack = NULL;
    size_t len = 0, cap = 0;
    MT_TRY(mt_grow((void **)&stack, &cap, 1, sizeof *stack, err));
    stack[len++] = (range){0, (uint32_t)n, 0};
    mt_status status = MT_OK;
    while (len) {
        range r = stack[--len];
        if (r.hi - r.lo < 2 || r.depth >= f->depth) continue;
        if (r.hi - r.lo < 12) { /* insertion sort on the rest of the key */
            for (uint32_t i = r.lo + 1; i < r.hi; i++) {
                uint32_t s = sa[i], j = i;
                for (; j > r.lo; j--) {
                    uint32_t d = r.depth;
                    while (d < f->depth && symbol_at(f, sa[j - 1], d) == symbol_at(f, s, d)) d++;
                    if (d >= f->depth || symbol_at(f, sa[j - 1], d) < symbol_at(f, s, d)) break;
                    sa[j] = sa[j - 1];
                }
                sa[j] = s;
            }
            continue;
        }
        uint32_t a = symbol_at(f, sa[r.lo], r.depth), b = symbol_at(f, sa[r.lo + (r.hi - r.lo) / 2], r.depth),
                 c = symbol_at(f, sa[r.hi - 1], r.depth);
        uint32_t pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
        uint32_t lt = r.lo, i = r.lo, gt = r.hi;
        while (i < gt) {
            uint32_t s = symbol_at(f, sa[i], r.depth), t = sa[i];
            if (s < pivot) {
                sa[i++] = sa[lt];
                sa[lt++] = t;
            } else if (s > pivot) {
                sa[i] = sa[--gt];
                sa[gt] = t;
            } else {
                i++;
            }
        }
        MT_TRY_GOTO(mt_grow((void **)&stack, &cap, len + 3, sizeof *stack, err), done);
        stack[len++] = (range){r.lo, lt, r.depth};
        stack[len++] = (range){gt, r.hi, r.depth};
        if (pivot != 0) stack[len++] = (range){lt, gt, r.depth + 1}; /* beyond a boundary nothing matters */
    }
done:
    mt_free(stack);
    return status;
}

/* Two suffixes that agree up to a boundary differ there (ends_differ), or agree beyond what can become a piece: a
 * substring that always ends its word is no inner node. */
static uint32_t common_prefix(const flat *f, uint32_t a, uint32_t b, bool ends_differ) {
    uint32_t d = 0;
    while (d < f->depth && symbol_at(f, a, d) == symbol_at(f, b, d)) {
        if (symbol_at(f, a, d) == 0) return ends_differ ? d : f->depth;
        d++;
    }
    return d;
}

static size_t bytes_of(const flat *f, const seed *s) {
    size_t n = 0;
    for (uint32_t i = 0; i < s->len; i++) {
        uint32_t cp = f->symbol[s->at + i] - 1;
        n += cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    }
    return n;
}

static int compare_texts(const flat *f, const seed *x, const seed *y) {
    for (uint32_t d = 0;; d++) {
        if (d == x->len || d == y->len) return x->len == y->len ? 0 : x->len < y->len ? -1 : 1;
        uint32_t s = f->symbol[x->at + d], t = f->symbol[y->at + d];
        if (s != t) return s < t ? -1 : 1;
    }
}

/* Highest score first; tokenizers: then the text, descending; SentencePiece: more bytes, then the text, ascending. */
static int by_seed_score(const void *a, const void *b, void *text) {
    const seed *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return -compare_texts(text, x, y);
}
static int by_seed_score_sp(const void *a, const void *b, void *text) {
    const seed *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    size_t m = bytes_of(text, x), n = bytes_of(text, y);
    return m != n ? (m < n ? 1 : -1) : compare_texts(text, x, y);
}

static mt_status text_of(unigram *u, const uint32_t *symbol, size_t n, mt_str *out) {
    uint8_t *p = mt_arena_alloc(&u->text, n * 4);
    if (!p) return mt_nomem(u->err, n * 4, "a seed");
    size_t len = 0;
    for (size_t i = 0; i < n; i++) len += (size_t)mt_utf8_encode(symbol[i] - 1, p + len);
    *out = (mt_str){p, len};
    return MT_OK;
}

typedef struct letter {
    uint64_t count;
    uint32_t symbol;
} letter;
static int by_letter(const void *a, const void *b, void *ascending) { /* most frequent first */
    const letter *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    int c = x->symbol < y->symbol ? -1 : x->symbol > y->symbol;
    return *(bool *)ascending ? c : -c;
}

static mt_status add_seed(unigram *u, const flat *f, uint32_t at, uint32_t len, uint64_t freq, int32_t longest,
                          seed **seeds, size_t *count, size_t *cap) {
    if (len < 2 || len > (uint32_t)longest) return MT_OK;
    if (u->o->valid) {
        uint8_t text[4 * 64], *p = len <= 64 ? text : mt_arena_alloc(&u->text, len * 4);
        if (!p) return mt_nomem(u->err, len * 4, "a seed");
        size_t n = 0;
        for (uint32_t i = 0; i < len; i++) n += (size_t)mt_utf8_encode(f->symbol[at + i] - 1, p + n);
        if (!u->o->valid(u->o->valid_user, p, n)) return MT_OK;
    }
    MT_TRY(mt_grow((void **)seeds, cap, *count + 1, sizeof **seeds, u->err));
    (*seeds)[(*count)++] = (seed){freq * len, at, len};
    return MT_OK;
}

static mt_status make_seeds(unigram *u) {
    int32_t longest = u->o->max_piece_length > 0 ? u->o->max_piece_length : 16;
    size_t limit = u->o->seed_size > 0 ? (size_t)u->o->seed_size : 1000000, total = 0;
    bool ends_differ = u->o->style == MT_UNIGRAM_SENTENCEPIECE;
    const mt_words *text = u->words;
    for (size_t w = 0; w < text->len; w++) {
        total += text->list[w].text.n + 1;
        if (text->list[w].text.n > u->longest) u->longest = (uint32_t)text->list[w].text.n;
    }
    if (total >= UINT32_MAX)
        return mt_fail(u->err, MT_ELIMIT, "%zu bytes of distinct words, the limit is 4 GiB", total);
    flat f = {mt_array(total, sizeof(uint32_t)), 0, (uint32_t)longest + 1};
    uint32_t *sa = mt_array(total, sizeof *sa);
    uint64_t *weight =
        ends_differ ? mt_array(2 * total + 1, sizeof *weight) : NULL; /* by place, then summed in order */
    mt_map64 letter_index = {0};
    letter *letters = NULL;
    seed *seeds = NULL;
    struct open {
        uint32_t depth, from;
    } *open = mt_array((size_t)longest + 2, sizeof *open);
    size_t letter_len = 0, letter_cap = 0, seed_len = 0, seed_cap = 0, sa_len = 0;
    mt_status status = MT_OK;
    if (!f.symbol || !sa || !open || (ends_differ && !weight)) {
        status = mt_nomem(u->err, total * 8, "the suffix array");
        goto done;
    }
    for (size_t w = 0; w < text->len; w++) {
        mt_str s = text->list[w].text;
        for (size_t i = 0; i < s.n;) {
            uint32_t cp;
            int n = mt_utf8_decode(s.p + i, s.n - i, &cp);
            if (n == 0) {
                status = mt_fail_at(u->err, MT_EFORMAT, i, "word %zu is not UTF-8 at byte %zu", w, i);
                goto done;
            }
            i += (size_t)n;
            sa[sa_len++] = (uint32_t)f.len;
            if (weight) weight[f.len] = text->list[w].count;
            f.symbol[f.len++] = cp + 1;
            if (u->o->ignore && cp == u->o->ignore) continue;
            int32_t at;
            if (!mt_map64_get(&letter_index, cp, &at)) {
                MT_TRY_GOTO(mt_grow((void **)&letters, &letter_cap, letter_len + 1, sizeof *letters, u->err), done);
                at = (int32_t)letter_len++;
                letters[at] = (letter){0, cp + 1};
                MT_TRY_GOTO(mt_map64_set(&letter_index, cp, at, u->err), done);
            }
            letters[at].count += text->list[w].count;
        }
        f.symbol[f.len++] = 0;
    }
    MT_TRY_GOTO(sort_suffixes(&f, sa, sa_len, u->err), done);
    if (weight) { /* sums over the sorted suffixes */
        uint64_t *sum = weight + total, so_far = 0;
        for (size_t i = 0; i < sa_len; i++) {
            sum[i] = so_far;
            so_far += weight[sa[i]];
        }
        sum[sa_len] = so_far;
    }
    /* Inner nodes of the suffix tree are the maximal intervals of equal common prefix: a stack of open ones while
     * walking the array. */
    size_t open_len = 0;
    uint32_t lcp = 0;
    for (size_t i = 1; i <= sa_len; i++) {
        uint32_t before = lcp, from = (uint32_t)(i - 1), own = 0;
        lcp = i < sa_len ? common_prefix(&f, sa[i - 1], sa[i], ends_differ) : 0;
        if (weight && weight[sa[i - 1]] >= 2) { /* the end of one word alone, which occurs repeatedly */
            while (own < f.depth && symbol_at(&f, sa[i - 1], own)) own++;
            if (own > lcp && own > before)
                MT_TRY_GOTO(add_seed(u, &f, sa[i - 1], own, weight[sa[i - 1]], longest, &seeds, &seed_len, &seed_cap),
                            done);
        }
        while (open_len && open[open_len - 1].depth > lcp) {
            struct open e = open[--open_len];
            uint64_t freq = weight ? weight[total + i] - weight[total + e.from] : i - e.from;
            from = e.from;
            MT_TRY_GOTO(add_seed(u, &f, sa[e.from], e.depth, freq, longest, &seeds, &seed_len, &seed_cap), done);
        }
        if (lcp && (!open_len || open[open_len - 1].depth < lcp)) open[open_len++] = (struct open){lcp, from};
    }
    mt_sort(seeds, seed_len, sizeof *seeds, u->single ? by_seed_score_sp : by_seed_score, &f);
    mt_sort(letters, letter_len, sizeof *letters, by_letter, &u->single);
    if (seed_len + letter_len > limit) seed_len = limit > letter_len ? limit - letter_len : 0;
    u->pieces = mt_array(1 + letter_len + seed_len, sizeof *u->pieces);
    if (!u->pieces) {
        status = mt_nomem(u->err, (1 + letter_len + seed_len) * sizeof *u->pieces, "the seeds");
        goto done;
    }
    u->pieces[u->len++] = (piece){{(const uint8_t *)"", 0}, 0};
    double sum = 0;
    for (size_t i = 0; i < letter_len; i++) sum = rounded(u, sum + rounded(u, (double)letters[i].count));
    for (size_t i = 0; i < seed_len; i++) sum = rounded(u, sum + rounded(u, (double)seeds[i].score));
    double log_sum = rounded(u, log(sum));
    for (size_t i = 0; i < letter_len; i++, u->len++) {
        MT_TRY_GOTO(text_of(u, &letters[i].symbol, 1, &u->pieces[u->len].text), done);
        u->pieces[u->len].score = rounded(u, log(rounded(u, (double)letters[i].count)) - log_sum);
    }
    for (size_t i = 0; i < seed_len; i++, u->len++) {
        MT_TRY_GOTO(text_of(u, f.symbol + seeds[i].at, seeds[i].len, &u->pieces[u->len].text), done);
        u->pieces[u->len].score = rounded(u, log(rounded(u, (double)seeds[i].score)) - log_sum);
        if (u->pieces[u->len].text.n > u->longest) u->longest = (uint32_t)u->pieces[u->len].text.n;
    }
done:
    mt_free(f.symbol);
    mt_free(sa);
    mt_free(weight);
    mt_free(letters);
    mt_free(seeds);
    mt_free(open);
    mt_map64_free(&letter_index);
    return status;
}

/* ---- the trie ---------------------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b, void *pieces) {
    const piece *sort_pieces = pieces;
    mt_str x = sort_pieces[*(const uint32_t *)a].text, y = sort_pieces[*(const uint32_t *)b].text;
    int c = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
    return c ? c : x.n < y.n ? -1 : x.n > y.n;
}

/* Breadth first: a node's children are appended together, so that they are consecutive. `bound` holds each node's
 * interval of `order`. */
static mt_status build_trie(unigram *u) {
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

static const node *child(const unigram *u, const node *parent, uint8_t byte) {
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

typedef struct edge {
    int32_t piece; /* 0: unknown character */
    uint32_t end;
    double score;
} edge;

/* The pieces that start at `begin`, short ones first; an unknown edge stands in when the first character is no piece.
 * Returns how many. */
static size_t edges_at(const unigram *u, mt_str s, uint32_t begin, edge *out) {
    int n = mt_utf8_length(s.p[begin]);
    uint32_t single = begin + (n ? (uint32_t)n : 1);
    size_t len = 0;
    bool has_single = false;
    const node *at = u->nodes;
    for (uint32_t i = begin; i < s.n && (at = child(u, at, s.p[i])); i++) {
        if (at->piece < 0) continue;
        if (i + 1 == single) has_single = true;
        out[len++] = (edge){at->piece, i + 1, u->pieces[at->piece].score};
    }
    if (!has_single && u->single) { /* SentencePiece gives the unknown node the id 0, which is its first piece */
        out[len++] = (edge){1, single, u->unknown_score};
    } else if (!has_single) {
        memmove(out + 1, out, len * sizeof *out);
        out[0] = (edge){0, single, u->unknown_score};
        len++;
    }
    return len;
}

static bool is_boundary(mt_str s, uint32_t at) {
    return (s.p[at] & 0xC0) != 0x80;
}

static void set_unknown_score(unigram *u) {
    double lowest = INFINITY;
    for (size_t i = 1; i < u->len; i++)
        if (u->pieces[i].score < lowest) lowest = u->pieces[i].score;
    u->unknown_score = rounded(u, (isfinite(lowest) ? lowest : 0) - 10);
}

/* ---- E step -------------------------------------------------------------------------------------------------------
 */

static double log_add(const unigram *u, double a, double b) {
    if (a == -INFINITY) return b;
    double hi = a > b ? a : b, lo = a > b ? b : a;
    if (!u->single) return hi + log1p(exp(lo - hi));
    return hi > rounded(u, lo + 50) ? hi : rounded(u, hi + log(exp(rounded(u, lo - hi)) + 1.0));
}

/* Adds count x posterior of every edge of the word's lattice to `expected`. */
static void expect(unigram *u, mt_str s, double count, double *expected, edge *e) {
    uint32_t n = (uint32_t)s.n;
    for (uint32_t i = 0; i <= n; i++) u->alpha[i] = u->beta[i] = -INFINITY;
    u->alpha[0] = u->beta[n] = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!is_boundary(s, i) || u->alpha[i] == -INFINITY) continue;
        size_t len = edges_at(u, s, i, e);
        for (size_t k = 0; k < len; k++)
            u->alpha[e[k].end] = log_add(u, u->alpha[e[k].end], rounded(u, u->alpha[i] + e[k].score));
    }
    for (uint32_t i = n; i-- > 0;) {
        if (!is_boundary(s, i)) continue;
        size_t len = edges_at(u, s, i, e);
        for (size_t k = 0; k < len; k++)
            u->beta[i] = log_add(u, u->beta[i], rounded(u, e[k].score + u->beta[e[k].end]));
        for (size_t k = 0; k < len && !u->single; k++)
            expected[e[k].piece] += count * exp(u->alpha[i] + e[k].score + u->beta[e[k].end] - u->alpha[n]);
    }
    for (uint32_t i = 0; i < n && u->single; i++) {
        if (!is_boundary(s, i)) continue;
        size_t len = edges_at(u, s, i, e);
        for (size_t k = 0; k < len; k++) {
            double log_p = rounded(u, u->alpha[i] + e[k].score);
            log_p = rounded(u, rounded(u, log_p + u->beta[e[k].end]) - u->alpha[n]);
            expected[e[k].piece] = rounded(u, expected[e[k].piece] + rounded(u, count) * exp(log_p));
        }
    }
}

/* digamma, by recurrence to x >= 7 and the asymptotic series. */
static double digamma(double x) {
    double result = 0;
    for (; x < 7; x++) result -= 1 / x;
    x -= 0.5;
    double xx = 1 / x, xx2 = xx * xx, xx4 = xx2 * xx2;
    return result + log(x) + (1.0 / 24) * xx2 - (7.0 / 960) * xx4 + (31.0 / 8064) * xx4 * xx2 -
           (127.0 / 30720) * xx4 * xx4;
}

/* M step: drops what is expected less than half a time. */
static void maximize(unigram *u, const double *expected) {
    size_t kept = 1;
    double sum = 0;
    for (size_t i = 1; i < u->len; i++) {
        if (expected[i] < 0.5) continue;
        u->pieces[kept] = u->pieces[i];
        u->pieces[kept++].score = expected[i];
        sum = rounded(u, sum + expected[i]);
    }
    u->len = kept;
    double log_sum = rounded(u, digamma(sum));
    for (size_t i = 1; i < kept; i++) u->pieces[i].score = rounded(u, digamma(u->pieces[i].score) - log_sum);
}

/* ---- pruning ------------------------------------------------------------------------------------------------------
 */

/* Best segmentation of s; the one edge (0, s.n) of `without` itself may be forbidden. False: there is none. */
static bool viterbi(unigram *u, mt_str s, int32_t without, edge *e) {
    uint32_t n = (uint32_t)s.n;
    for (uint32_t i = 0; i <= n; i++) u->best[i] = -INFINITY;
    u->best[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!is_boundary(s, i) || u->best[i] == -INFINITY) continue;
        size_t len = edges_at(u, s, i, e);
        for (size_t k = 0; k < len; k++) {
            if (i == 0 && e[k].end == n && e[k].piece == without && without >= 0) continue;
            double score = rounded(u, u->best[i] + e[k].score);
            if (score > u->best[e[k].end]) {
                u->best[e[k].end] = score;
                u->best_piece[e[k].end] = e[k].piece;
                u->best_from[e[k].end] = i;
            }
        }
    }
    return u->best[n] != -INFINITY;
}

typedef struct loss {
    double loss;
    uint32_t piece;
} loss;
static int by_loss(const void *a, const void *b, void *unused) { /* descending, then by position: deterministic */
    const loss *x = a, *y = b;
    (void)unused;
    if (x->loss != y->loss) return x->loss < y->loss ? 1 : -1;
    return x->piece < y->piece ? -1 : x->piece > y->piece;
}

static mt_status prune(unigram *u, size_t desired) {
    size_t n = u->len;
    edge *e = mt_array((size_t)u->longest + 2, sizeof *e);
    double *freq = mt_calloc(n, sizeof *freq), *share = mt_calloc(n, sizeof *share);
    loss *candidates = mt_array(n, sizeof *candidates);
    piece *kept = mt_array(n, sizeof *kept);
    mt_status status = MT_OK;
    if (!e || !freq || !share || !candidates || !kept) {
        status = mt_nomem(u->err, n * 48, "pruning");
        goto done;
    }
    double words = 0, sum = 0;
    for (size_t w = 0; w < u->words->len; w++) {
        mt_str s = u->words->list[w].text;
        double count = (double)u->words->list[w].count;
        words += count;
        viterbi(u, s, -1, e);
        for (uint32_t at = (uint32_t)s.n; at; at = u->best_from[at]) {
            int32_t p = u->best_piece[at];
            freq[p] = rounded(u, freq[p] + count);
            share[p] += count; /* a word that uses the piece twice counts twice, as in the references */
        }
    }
    for (size_t i = 0; i < n; i++) sum += freq[i];
    sum = rounded(u, sum);
    size_t kept_len = 0, candidate_len = 0;
    kept[kept_len++] = u->pieces[0];
    for (uint32_t i = 1; i < n; i++) {
        mt_str s = u->pieces[i].text;
        viterbi(u, s, -1, e);
        bool alone = u->best_from[s.n] == 0;                /* its best segmentation is itself */
        bool other = alone && viterbi(u, s, (int32_t)i, e); /* and this is the second best */
        bool tokenizers = u->o->style == MT_UNIGRAM_TOKENIZERS;
        if ((!tokenizers || !alone) && freq[i] == 0) continue;
        if (!alone && !tokenizers) continue; /* it would be segmented otherwise anyway */
        if (!alone || !other) {              /* nothing to compare with: keep */
            kept[kept_len++] = u->pieces[i];
            continue;
        }
        if (freq[i] == 0) continue;
        size_t parts = 0;
        for (uint32_t at = (uint32_t)s.n; at; at = u->best_from[at]) parts++;
        /* SentencePiece counts the parts that replace the piece; tokenizers counts all pieces there are, which makes
         * frequent pieces dearer. */
        double added = (double)((tokenizers ? n : parts) - 1);
        double log_alternative = 0, log_sum = rounded(u, log(rounded(u, sum + rounded(u, freq[i] * added))));
        double log_piece = rounded(u, log(freq[i]) - rounded(u, log(sum)));
        for (uint32_t at = (uint32_t)s.n; at; at = u->best_from[at]) {
            double log_part = log(rounded(u, freq[u->best_piece[at]] + freq[i])) - log_sum;
            log_alternative = rounded(u, log_alternative + log_part);
        }
        double used = rounded(u, rounded(u, share[i]) / rounded(u, words));
        candidates[candidate_len++] = (loss){rounded(u, used * rounded(u, log_piece - log_alternative)), i};
    }
    double factor = u->o->shrinking_factor > 0 ? u->o->shrinking_factor : 0.75;
    /* tokenizers counts the unknown piece */
    size_t uncounted = u->o->style == MT_UNIGRAM_TOKENIZERS ? 0 : 1;
    size_t target = (size_t)((double)(n - uncounted) * factor);
    if (target < desired) target = desired;
    target += uncounted;
    mt_sort(candidates, candidate_len, sizeof *candidates, by_loss, NULL);
    for (size_t i = 0; i < candidate_len && kept_len < target; i++) kept[kept_len++] = u->pieces[candidates[i].piece];
    memcpy(u->pieces, kept, kept_len * sizeof *kept);
    u->len = kept_len;
done:
    mt_free(e);
    mt_free(freq);
    mt_free(share);
    mt_free(candidates);
    mt_free(kept);
    return status;
}

/* ---- the end -------------------------------------------------------------------------------------------------------
 */

static int by_score(const void *a, const void *b, void *unused) { /* descending, then by text */
    const piece *x = a, *y = b;
    (void)unused;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    int c = memcmp(x->text.p, y->text.p, x->text.n < y->text.n ? x->text.n : y->text.n);
    return c ? c : x->text.n < y->text.n ? -1 : x->text.n > y->text.n;
}

static mt_status require(unigram *u, mt_map *have, const mt_map *index, piece *final, size_t *len, size_t room,
                         mt_str c, double lowest, double *penalty) {
    int32_t at;
    if (mt_map_get(have, c, &at)) return MT_OK;
    if (*len >= room)
        return mt_fail(u->err, MT_ERANGE, "vocab_size %d is too small: the text has more than %zu different characters",
                       u->o->vocab_size, room);
    if (mt_map_get(index, c, &at)) {
        final[(*len)++] = u->pieces[at];
    } else {
        final[(*len)++] = (piece){c, rounded(u, lowest + *penalty)};
        *penalty = rounded(u, *penalty + rounded(u, 0.0001));
    }
    return mt_map_set(have, c, 1, u->err);
}

static mt_status finish(unigram *u, mt_vocabulary *out) {
    size_t room = (size_t)u->o->vocab_size - u->o->special_len, len = 0;
    mt_map have = {0}, index = {0};
    piece *final = mt_array(room, sizeof *final);
    mt_status status = MT_OK;
    if (!final) return mt_nomem(u->err, room * sizeof *final, "the vocabulary");
    double lowest = INFINITY, penalty = 0;
    for (size_t i = 1; i < u->len; i++) {
        if (u->pieces[i].score < lowest) lowest = u->pieces[i].score;
        MT_TRY_GOTO(mt_map_set(&index, u->pieces[i].text, (int32_t)i, u->err), done);
    }
    for (size_t i = 0; i < u->o->alphabet_len; i++)
        MT_TRY_GOTO(require(u, &have, &index, final, &len, room, u->o->alphabet[i], lowest, &penalty), done);
    for (size_t w = 0; w < u->words->len; w++) {
        mt_str s = u->words->list[w].text;
        for (size_t i = 0; i < s.n;) {
            uint32_t cp;
            int n = mt_utf8_decode(s.p + i, s.n - i, &cp);
            if (u->o->ignore && cp == u->o->ignore) {
                i += (size_t)n;
                continue;
            }
            MT_TRY_GOTO(require(u, &have, &index, final, &len, room, (mt_str){s.p + i, (size_t)n}, lowest, &penalty),
                        done);
            i += (size_t)n;
        }
    }
    if (u->o->style == MT_UNIGRAM_SENTENCEPIECE && u->len > 1)
        mt_sort(u->pieces + 1, u->len - 1, sizeof *u->pieces, by_score, NULL);
    for (size_t i = 1; i < u->len && len < room; i++) {
        int32_t at;
        if (!mt_map_get(&have, u->pieces[i].text, &at)) final[len++] = u->pieces[i];
    }
    mt_sort(final, len, sizeof *final, by_score, NULL);
    out->score = mt_calloc(u->o->special_len + len, sizeof *out->score);
    if (!out->score) {
        status = mt_nomem(u->err, len * sizeof *out->score, "the scores");
        goto done;
    }
    int32_t id;
    for (size_t i = 0; i < u->o->special_len; i++)
        MT_TRY_GOTO(mt_vocabulary_add(out, u->o->special[i], &id, u->err), done);
    for (size_t i = 0; i < len; i++) {
        MT_TRY_GOTO(mt_vocabulary_add(out, final[i].text, &id, u->err), done);
        out->score[id] = final[i].score;
    }
done:
    mt_map_free(&have);
    mt_map_free(&index);
    mt_free(final);
    return status;
}

static mt_status iterate(unigram *u) {
    size_t desired = (size_t)u->o->vocab_size * 11 / 10, start = u->len, room = (size_t)u->longest + 2;
    int32_t steps = u->o->sub_iterations > 0 ? u->o->sub_iterations : 2;
    double *expected = mt_array(u->len, sizeof *expected);
    edge *e = mt_array(room, sizeof *e);
    u->order = mt_array(u->len, sizeof *u->order);
    u->alpha = mt_array(room, sizeof(double));
    u->beta = mt_array(room, sizeof(double));
    u->best = mt_array(room, sizeof(double));
    u->best_piece = mt_array(room, sizeof(int32_t));
    u->best_from = mt_array(room, sizeof(uint32_t));
    mt_status status = MT_OK;
    if (!expected || !e || !u->order || !u->alpha || !u->beta || !u->best || !u->best_piece || !u->best_from) {
        status = mt_nomem(u->err, u->len * 12 + room * 40, "training");
        goto done;
    }
    for (;;) {
        for (int32_t step = 0; step < steps; step++) {
            set_unknown_score(u);
            MT_TRY_GOTO(build_trie(u), done);
            memset(expected, 0, u->len * sizeof *expected);
            for (size_t w = 0; w < u->words->len; w++)
                expect(u, u->words->list[w].text, (double)u->words->list[w].count, expected, e);
            maximize(u, expected);
            if (u->o->progress && u->o->progress(u->o->user, start - u->len, start)) {
                status = mt_fail(u->err, MT_EABORTED, "training was stopped at %zu pieces", u->len);
                goto done;
            }
        }
        if (u->len - (u->o->style == MT_UNIGRAM_TOKENIZERS ? 0 : 1) <= desired) break;
        set_unknown_score(u);
        MT_TRY_GOTO(build_trie(u), done);
        size_t before = u->len;
        MT_TRY_GOTO(prune(u, desired), done);
        if (u->len == before) break; /* nothing more can go */
    }
done:
    mt_free(expected);
    mt_free(e);
    return status;
}

mt_status mt_train_unigram(const mt_words *words, const mt_unigram_options *o, mt_vocabulary *out, mt_error *err) {
    *out = (mt_vocabulary){0};
    if (o->vocab_size < 1 || o->special_len >= (size_t)o->vocab_size)
        return mt_fail(err, MT_ERANGE, "vocab_size %d with %zu special tokens, expected more", o->vocab_size,
                       o->special_len);
    unigram u = {.o = o, .words = words, .err = err, .single = o->style == MT_UNIGRAM_SENTENCEPIECE};
    mt_status status = MT_OK;
    MT_TRY_GOTO(make_seeds(&u), done);
    MT_TRY_GOTO(iterate(&u), done);
    MT_TRY_GOTO(finish(&u, out), done);
done:
    mt_arena_free(&u.text);
    mt_free(u.pieces);
    mt_free(u.order);
    mt_free(u.nodes);
    mt_free(u.alpha);
    mt_free(u.beta);
    mt_free(u.best);
    mt_free(u.best_piece);
    mt_free(u.best_from);
    if (status != MT_OK) mt_vocabulary_free(out);
    return status;
}
