/* What Unigram training begins with: all characters, and substrings that occur at least twice.
 *
 *   tokenizers      inner nodes of the suffix tree of the distinct words: substrings followed by at least two different
 *                   characters; each word counts once
 *   SentencePiece   builds the tree of whole sentences and cuts its nodes into words: so also substrings that always
 * end their word (there every word end is a character of its own), and a word counts as often as it occurs
 *
 * The score is frequency x length; the best `seed_size` stay. For SentencePiece that limit is without the characters.
 */
#include "train_unigram.h"
#include "../base/sort.h"

#include <math.h>

typedef struct seed {
    uint64_t score;
    uint32_t at, len; /* symbols of the flat text */
} seed;

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

static mt_status text_of(mt_u *u, const uint32_t *symbol, size_t n, mt_str *out) {
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

static mt_status add_seed(mt_u *u, const flat *f, uint32_t at, uint32_t len, uint64_t freq, int32_t longest,
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

mt_status mt_u_seeds(mt_u *u) {
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
    size_t counted = u->single ? 0 : letter_len;
    if (seed_len + counted > limit) seed_len = limit > counted ? limit - counted : 0;
    u->pieces = mt_array(1 + letter_len + seed_len, sizeof *u->pieces);
    if (!u->pieces) {
        status = mt_nomem(u->err, (1 + letter_len + seed_len) * sizeof *u->pieces, "the seeds");
        goto done;
    }
    u->pieces[u->len++] = (mt_u_piece){{(const uint8_t *)"", 0}, 0};
    double sum = 0;
    for (size_t i = 0; i < letter_len; i++) sum = mt_u_rounded(u, sum + mt_u_rounded(u, (double)letters[i].count));
    for (size_t i = 0; i < seed_len; i++) sum = mt_u_rounded(u, sum + mt_u_rounded(u, (double)seeds[i].score));
    double log_sum = mt_u_rounded(u, log(sum));
    for (size_t i = 0; i < letter_len; i++, u->len++) {
        MT_TRY_GOTO(text_of(u, &letters[i].symbol, 1, &u->pieces[u->len].text), done);
        u->pieces[u->len].score = mt_u_rounded(u, log(mt_u_rounded(u, (double)letters[i].count)) - log_sum);
    }
    for (size_t i = 0; i < seed_len; i++, u->len++) {
        MT_TRY_GOTO(text_of(u, f.symbol + seeds[i].at, seeds[i].len, &u->pieces[u->len].text), done);
        u->pieces[u->len].score = mt_u_rounded(u, log(mt_u_rounded(u, (double)seeds[i].score)) - log_sum);
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
