/* Reading the binary form (binary.h): nearly all of it is used where it lies.
 *
 * What must not happen, whatever the file says: an index out of its array, a token that is longer than what it was
 * found for, a loop without end. So: ids, kinds, flags of the pipeline are in range (binary.c); lengths of pieces add
 * up to the text; a walk leads from cells to cells of its array and its block 0, where leaves lead, is empty; tables
 * with linear probing have a free last slot, and ids or ranks in the others. A token that byte-pair encoding finds by
 * walking k bytes must have k bytes. That would need the path to each cell, so the file has the depth of each node, and
 * it is checked from cell to cell that children are one deeper than their parents and that tokens are as long as their
 * cells are deep: every path from the root, whose depth is 0, is then as long as it says. Which pairs merge and into
 * what is not checked against the spelling: the encoders bear merges that contradict it. */
#include "binary.h"

typedef struct reader {
    uint8_t *p;
    size_t n;
    mt_error *err;
    mt_tok *t;
    mt_binary_sizes z;
    struct {
        size_t at, n;
    } part[MT_BINARY_KINDS_OF_SECTIONS];
} reader;

static mt_status bad(reader *r, mt_binary_kind kind, const char *what) {
    static const char *const names[] = {"text",      "scores",  "ranks",  "walk",    "Unigram walk", "word-start walk",
                                        "word walk", "filter",  "merges", "results", "index",        "pipeline",
                                        "kinds",     "lengths", "depths"};
    return mt_fail_at(r->err, MT_EFORMAT, r->part[kind].at, "binary tokenizer, %s: %s", names[kind], what);
}

static mt_status read_header(reader *r) {
    if (!mt_tok_is_binary(r->p, r->n)) return mt_fail(r->err, MT_EUNKNOWN, "not a binary tokenizer");
    if (r->n < MT_BINARY_HEADER)
        return mt_fail(r->err, MT_EFORMAT, "binary tokenizer: %zu bytes are not even its header", r->n);
    uint32_t version = mt_le32(r->p + 8), sections = mt_le32(r->p + 12);
    uint64_t total = mt_le64(r->p + 16);
    if (version != MT_BINARY_VERSION)
        return mt_fail(r->err, MT_EUNKNOWN, "binary tokenizer of version %u; this one reads version %d: make it anew",
                       version, MT_BINARY_VERSION);
    if (total != r->n)
        return mt_fail(r->err, MT_EFORMAT, "binary tokenizer: its header says %llu bytes, there are %zu",
                       (unsigned long long)total, r->n);
    if (mt_binary_checksum(r->p + MT_BINARY_HEADER, r->n - MT_BINARY_HEADER) != mt_le64(r->p + 24))
        return mt_fail(r->err, MT_EFORMAT, "binary tokenizer: the checksum is wrong, the file is damaged");
    if (sections > MT_BINARY_KINDS_OF_SECTIONS || r->n - MT_BINARY_HEADER < (size_t)sections * MT_BINARY_SECTION)
        return mt_fail(r->err, MT_EFORMAT, "binary tokenizer: a list of %u sections", sections);
    size_t end = MT_BINARY_HEADER + (size_t)sections * MT_BINARY_SECTION;
    for (uint32_t i = 0; i < sections; i++) {
        const uint8_t *s = r->p + MT_BINARY_HEADER + i * MT_BINARY_SECTION;
        uint32_t kind = mt_le32(s);
        uint64_t at = mt_le64(s + 8), n = mt_le64(s + 16);
        if (kind >= MT_BINARY_KINDS_OF_SECTIONS || at % MT_BINARY_ALIGN || at < end || at > r->n || n > r->n - at ||
            !n || r->part[kind].n)
            return mt_fail_at(r->err, MT_EFORMAT, (uint64_t)(s - r->p), "binary tokenizer: section %u (kind %u)", i,
                              kind);
        r->part[kind].at = (size_t)at;
        r->part[kind].n = (size_t)n;
        end = (size_t)(at + n);
    }
    return MT_OK;
}

/* A section that must have exactly so many bytes; NULL with an error. */
static uint8_t *part(reader *r, mt_binary_kind kind, uint64_t bytes, mt_status *status) {
    if (r->part[kind].n == bytes) return r->p + r->part[kind].at;
    *status = bad(r, kind, "it has the wrong size");
    return NULL;
}

static mt_status read_pipeline(reader *r) {
    mt_tok *t = r->t;
    size_t n = r->part[MT_BINARY_PIPELINE].n;
    uint8_t *copy = mt_arena_copy(&t->arena, r->p + r->part[MT_BINARY_PIPELINE].at, n);
    if (!copy) return mt_nomem(r->err, n, "a tokenizer");
    mt_stream s = {.p = copy, .end = copy + n, .err = r->err};
    return mt_binary_pipeline(&s, t, &r->z);
}

/* ---- vocabulary ---- */

typedef struct lengths {
    mt_vocab *v;
    const uint8_t *kinds, *piece, *bytes; /* kinds; lengths of pieces and of bytes */
    uint32_t width;
    uint64_t sum;       /* of all pieces */
    uint32_t at, other; /* in the text: of the next piece; of the next bytes that are not their piece */
} lengths;

static mt_status take_kinds(void *user, size_t from, size_t to, mt_error *err) {
    lengths *l = user;
    uint8_t *kind = l->v->kind, *flags = l->v->flags, good = 1;
    (void)err;
    for (size_t i = from; i < to; i++) {
        kind[i] = l->kinds[i] & 7;
        flags[i] = l->kinds[i] >> 3;
        good &= (uint8_t)(kind[i] != 7);
    }
    return good ? MT_OK : MT_EFORMAT;
}

static mt_status sum_lengths(void *user, size_t from, size_t to, mt_error *err) {
    lengths *l = user;
    const uint8_t *p = l->piece;
    uint64_t sum = 0;
    (void)err;
    for (size_t i = from; i < to && l->width == 1; i++) sum += p[i];
    for (size_t i = from; i < to && l->width == 2; i++) sum += mt_le16(p + 2 * i);
    for (size_t i = from; i < to && l->width == 4; i++) sum += mt_le32(p + 4 * i);
    l->sum += sum;
    return MT_OK;
}

/* Lengths of one width to references; the text is below 2^31 bytes, and each length is checked against what is left. */
#define TAKE_LENGTHS(type, same)                                                                                       \
    static mt_status take_lengths_##type(void *user, size_t from, size_t to, mt_error *err) {                          \
        lengths *l = user;                                                                                             \
        mt_vocab *v = l->v;                                                                                            \
        uint32_t at = l->at, other = l->other, end = (uint32_t)v->text.len, longest = v->longest;                      \
        (void)err;                                                                                                     \
        for (size_t i = from; i < to; i++) {                                                                           \
            type##_t n, m;                                                                                             \
            memcpy(&n, l->piece + i * sizeof n, sizeof n);                                                             \
            memcpy(&m, l->bytes + i * sizeof m, sizeof m);                                                             \
            if (n > end - at) return MT_EFORMAT;                                                                       \
            mt_ref r = {at, n};                                                                                        \
            v->piece[i] = r;                                                                                           \
            at += n;                                                                                                   \
            if (m != same) {                                                                                           \
                if (m > end - other) return MT_EFORMAT;                                                                \
                r = (mt_ref){other, m};                                                                                \
                other += m;                                                                                            \
            }                                                                                                          \
            v->bytes[i] = r;                                                                                           \
            if (v->flags[i] & MT_MATCHES && r.n > longest) longest = r.n;                                              \
            if (v->kind[i] == MT_TOKEN_BYTE && !r.n) return MT_EFORMAT;                                                \
        }                                                                                                              \
        l->at = at;                                                                                                    \
        l->other = other;                                                                                              \
        v->longest = longest;                                                                                          \
        return MT_OK;                                                                                                  \
    }
TAKE_LENGTHS(uint8, UINT8_MAX)
TAKE_LENGTHS(uint16, UINT16_MAX)
TAKE_LENGTHS(uint32, UINT32_MAX)

static mt_status read_vocab(reader *r) {
    mt_tok *t = r->t;
    mt_vocab *v = &t->vocab;
    size_t n = r->z.tokens;
    uint32_t width = r->z.width;
    mt_status status = MT_OK;
    if (!n) return bad(r, MT_BINARY_PIPELINE, "no tokens");
    if (width != 1 && width != 2 && width != 4) return bad(r, MT_BINARY_PIPELINE, "the width of lengths");
    const uint8_t *kinds = part(r, MT_BINARY_KINDS, n, &status);
    const uint8_t *piece = status ? NULL : part(r, MT_BINARY_LENGTHS, (uint64_t)n * 2 * width, &status);
    if (status == MT_OK && r->part[MT_BINARY_TEXT].n > INT32_MAX) status = bad(r, MT_BINARY_TEXT, "too long");
    if (status == MT_OK && r->part[MT_BINARY_SCORES].n) part(r, MT_BINARY_SCORES, (uint64_t)n * 8, &status);
    if (status == MT_OK && r->part[MT_BINARY_RANKS].n) part(r, MT_BINARY_RANKS, (uint64_t)n * 4, &status);
    if (status == MT_OK && t->segmenter == &mt_segmenter_unigram && !r->part[MT_BINARY_SCORES].n)
        status = bad(r, MT_BINARY_SCORES, "they are missing");
    MT_TRY(status);
    v->size = (int32_t)n;
    v->capacity = n;
    v->text.data = r->p + r->part[MT_BINARY_TEXT].at;
    v->text.len = v->text.cap = r->part[MT_BINARY_TEXT].n;
    if (r->part[MT_BINARY_SCORES].n) v->score = (double *)(void *)(r->p + r->part[MT_BINARY_SCORES].at);
    if (r->part[MT_BINARY_RANKS].n) t->bpe.rank_of = (uint32_t *)(void *)(r->p + r->part[MT_BINARY_RANKS].at);
    v->bytes = mt_array(n, sizeof *v->bytes);
    v->piece = mt_array(n, sizeof *v->piece);
    v->kind = mt_array(n, 1);
    v->flags = mt_array(n, 1);
    if (!v->bytes || !v->piece || !v->kind || !v->flags) return mt_nomem(r->err, n * 18, "a vocabulary");
    lengths l = {v, kinds, piece, piece + n * width, width, 0, 0, 0};
    if (mt_stretches(n, take_kinds, &l, r->err)) return bad(r, MT_BINARY_KINDS, "an unknown kind of token");
    status = mt_stretches(n, sum_lengths, &l, r->err);
    l.other = (uint32_t)l.sum;
    if (status == MT_OK && l.sum > v->text.len) status = MT_EFORMAT;
    if (status == MT_OK)
        status = mt_stretches(n,
                              width == 1   ? take_lengths_uint8
                              : width == 2 ? take_lengths_uint16
                                           : take_lengths_uint32,
                              &l, r->err);
    if (status != MT_OK || l.other != v->text.len) return bad(r, MT_BINARY_LENGTHS, "they do not add up to the text");
    v->unlisted = true;
    return MT_OK;
}

/* ---- walks ---- */

static inline bool leads(uint64_t cell, size_t cells) { /* to cells, or nowhere */
    uint64_t base = cell >> 32;
    return !base || (base >= 256 && base < cells);
}

typedef struct cells {
    const mt_vocab *v;
    const mt_walk *w;
    const void *depth;
} cells;

static mt_status check_cells(void *user, size_t from, size_t to, mt_error *err) {
    const cells *c = user;
    const uint64_t *cell = c->w->cell;
    size_t n = c->w->cells;
    uint32_t tokens = (uint32_t)c->v->size;
    bool good = true;
    (void)err;
    for (size_t i = from; i < to; i++) good &= leads(cell[i], n) && (cell[i] >> 8 & 0xFFFFFF) <= tokens;
    return good ? MT_OK : MT_EFORMAT;
}

/* And: the children of a cell are one deeper than it is, its token is as long as it is deep. */
#define CHECK_DEPTHS(type)                                                                                             \
    static mt_status check_depths_##type(void *user, size_t from, size_t to, mt_error *err) {                          \
        const cells *c = user;                                                                                         \
        const type##_t *depth = c->depth;                                                                              \
        const mt_ref *bytes = c->v->bytes;                                                                             \
        const uint8_t *flags = c->v->flags;                                                                            \
        const uint64_t *cell = c->w->cell;                                                                             \
        size_t n = c->w->cells;                                                                                        \
        uint32_t tokens = (uint32_t)c->v->size;                                                                        \
        (void)err;                                                                                                     \
        for (size_t i = from; i < to; i++) {                                                                           \
            uint64_t x = cell[i];                                                                                      \
            if (!x) continue;                                                                                          \
            uint32_t here = (uint32_t)depth[i ^ (x & 255)] + 1, base = (uint32_t)(x >> 32),                            \
                     token = (uint32_t)x >> 8; /* + 1 */                                                               \
            if (base && (base < 256 || base >= n || depth[base] != here)) return MT_EFORMAT;                           \
            if (token && (token > tokens || bytes[token - 1].n != here || !(flags[token - 1] & MT_MATCHES)))           \
                return MT_EFORMAT;                                                                                     \
        }                                                                                                              \
        return MT_OK;                                                                                                  \
    }
CHECK_DEPTHS(uint8)
CHECK_DEPTHS(uint16)
CHECK_DEPTHS(uint32)

static mt_status read_walk(reader *r, mt_binary_kind kind, mt_walk *w) {
    size_t n = r->part[kind].n / sizeof *w->cell;
    uint32_t width = r->z.depth_width, top = 0;
    uint64_t any = 0;
    if (!n) return MT_OK;
    if (r->part[kind].n % (256 * sizeof *w->cell) || n < 512 || n > UINT32_MAX)
        return bad(r, kind, "it has the wrong size");
    w->cell = (uint64_t *)(void *)(r->p + r->part[kind].at);
    w->cells = n;
    w->root = r->z.root[kind - MT_BINARY_WALK];
    for (int i = 0; i < 256; i++) any |= w->cell[i];
    if (any || (uint32_t)w->root || !leads(w->root, n)) return bad(r, kind, "its root or its block 0");
    cells c = {&r->t->vocab, w, NULL};
    bool deep = kind == MT_BINARY_WALK && r->t->segmenter == &mt_segmenter_bpe;
    if (!deep) return mt_stretches(n, check_cells, &c, r->err) ? bad(r, kind, "a cell leads out of it") : MT_OK;
    mt_status status = MT_OK;
    if (width != 1 && width != 2 && width != 4) return bad(r, MT_BINARY_PIPELINE, "the width of depths");
    const uint8_t *depth = part(r, MT_BINARY_DEPTHS, (uint64_t)n * width, &status);
    MT_TRY(status);
    memcpy(&top, depth + (size_t)(w->root >> 32) * width, width);
    c.depth = depth;
    if (top || mt_stretches(n,
                            width == 1   ? check_depths_uint8
                            : width == 2 ? check_depths_uint16
                                         : check_depths_uint32,
                            &c, r->err))
        return bad(r, kind, "a cell leads out of it, or is not as deep as it should be");
    return MT_OK;
}

/* ---- merges ---- */

/* A table of 8-byte slots: free ones at its end. */
static mt_status table(reader *r, mt_binary_kind kind, uint32_t home, void **p, size_t *slots) {
    size_t n = r->part[kind].n / 8;
    uint8_t *at = r->p + r->part[kind].at;
    if (!n || r->part[kind].n % 8 || home >= n || mt_le64(at + 8 * (n - 1)))
        return bad(r, kind, "it has the wrong size, or no end");
    MT_TRY(mt_uncrowded(at, n, r->err));
    *p = at;
    *slots = n;
    return MT_OK;
}

static mt_status check_pairs(void *user, size_t from, size_t to, mt_error *err) {
    const mt_bpe *b = user;
    uint64_t mask = (UINT64_C(1) << b->entry_bits) - 1, most = b->made_len;
    bool good = true;
    (void)err;
    for (size_t i = from; i < to; i++) { /* a slot is 0, or has a rank + 1 */
        uint64_t x = b->pair_slot[i];
        good &= !x || (x & mask) - 1 < most;
    }
    return good ? MT_OK : MT_EFORMAT;
}

static mt_status check_ids(void *user, size_t from, size_t to, mt_error *err) {
    const mt_bpe *b = user;
    uint32_t tokens = (uint32_t)b->vocab->size;
    bool good = true;
    (void)err;
    for (size_t i = from; i < to; i++) good &= (uint32_t)b->made[i] < tokens;
    return good ? MT_OK : MT_EFORMAT;
}

static mt_status check_index(void *user, size_t from, size_t to, mt_error *err) {
    const mt_vocab *v = user;
    bool good = true;
    (void)err;
    for (size_t i = from; i < to; i++) good &= (uint32_t)v->by_bytes.slot[i].id < (uint32_t)v->size;
    return good ? MT_OK : MT_EFORMAT;
}

static mt_status read_bpe(reader *r) {
    mt_bpe *b = &r->t->bpe;
    mt_vocab *v = &r->t->vocab;
    mt_status status = MT_OK;
    void *at;
    if (!v->walk.cells) return bad(r, MT_BINARY_WALK, "it is missing");
    if (r->z.maybe_bits < 10) return bad(r, MT_BINARY_PIPELINE, "the size of the filter");
    b->maybe = (uint64_t *)(void *)part(r, MT_BINARY_MAYBE, UINT64_C(1) << r->z.maybe_bits >> 3, &status);
    MT_TRY(status);
    b->maybe_shift = 64 - r->z.maybe_bits;
    MT_TRY(mt_bpe_open(b, v, r->err));
    for (size_t i = 0; i < r->z.tokens; i++) /* which merges make it is not listed */
        b->state[i] = b->state[i] == MT_BPE_NEW ? MT_BPE_SEVERAL : b->state[i];
    if (b->by_string) {
        MT_TRY(table(r, MT_BINARY_INDEX, r->z.index_home, &at, &v->by_bytes.slots));
        v->by_bytes.slot = at;
        v->by_bytes.home = r->z.index_home;
        return mt_stretches(v->by_bytes.slots, check_index, v, r->err) ? bad(r, MT_BINARY_INDEX, "an entry is no token")
                                                                       : MT_OK;
    }
    MT_TRY(table(r, MT_BINARY_PAIRS, r->z.pair_home, &at, &b->pair_slots));
    b->pair_slot = at;
    b->pair_home = r->z.pair_home;
    b->made_len = r->part[MT_BINARY_MADE].n / sizeof *b->made;
    if (b->made_len) b->made = (int32_t *)(void *)(r->p + r->part[MT_BINARY_MADE].at);
    if (mt_stretches(b->made_len, check_ids, b, r->err)) return bad(r, MT_BINARY_MADE, "a result is no token");
    if (mt_stretches(b->pair_slots, check_pairs, b, r->err)) return bad(r, MT_BINARY_PAIRS, "a merge without a result");
    return MT_OK;
}

/* ---- the whole ---- */

enum { INSIDE = 12 };
static void inside(mt_tok *t, void **list[INSIDE]) {
    mt_walk *walk[] = {&t->vocab.walk, &t->unigram.walk, &t->wordpiece.start, &t->wordpiece.inside, &t->bpe.walk};
    for (int i = 0; i < 5; i++) list[i] = (void **)&walk[i]->cell;
    list[5] = (void **)&t->vocab.text.data;
    list[6] = (void **)&t->vocab.score;
    list[7] = (void **)&t->bpe.rank_of;
    list[8] = (void **)&t->bpe.maybe;
    list[9] = (void **)&t->bpe.pair_slot;
    list[10] = (void **)&t->bpe.made;
    list[11] = (void **)&t->vocab.by_bytes.slot;
}
static bool is_inside(const mt_tok *t, const void *p) {
    return t->blob && (uintptr_t)p >= (uintptr_t)t->blob && (uintptr_t)p - (uintptr_t)t->blob <= t->blob_len;
}

void mt_binary_let_go(mt_tok *t) {
    void **list[INSIDE];
    inside(t, list);
    for (int i = 0; i < INSIDE; i++)
        if (is_inside(t, *list[i])) *list[i] = NULL;
}

/* What was read once is given back. */
static void shrink(mt_tok *t, size_t keep) {
    void **list[INSIDE];
    size_t at[INSIDE];
    inside(t, list);
    for (int i = 0; i < INSIDE; i++)
        at[i] = is_inside(t, *list[i]) ? (size_t)((uint8_t *)*list[i] - t->blob) : SIZE_MAX;
    uint8_t *less = mt_realloc(t->blob, keep);
    if (!less) return;
    t->blob = less;
    t->blob_len = keep;
    for (int i = 0; i < INSIDE; i++)
        if (at[i] != SIZE_MAX) *list[i] = less + at[i];
}

static mt_status read_all(reader *r) {
    mt_tok *t = r->t;
    MT_TRY(read_pipeline(r));
    MT_TRY(read_vocab(r));
    MT_TRY(read_walk(r, MT_BINARY_WALK, &t->vocab.walk));
    MT_TRY(read_walk(r, MT_BINARY_UNIGRAM, &t->unigram.walk));
    MT_TRY(read_walk(r, MT_BINARY_START, &t->wordpiece.start));
    MT_TRY(read_walk(r, MT_BINARY_INSIDE, &t->wordpiece.inside));
    if (t->segmenter == &mt_segmenter_bpe) MT_TRY(read_bpe(r));
    if (t->segmenter == &mt_segmenter_picky) MT_TRY(mt_picky_prepare(t, r->err));
    if (t->segmenter == &mt_segmenter_greedy && !t->vocab.walk.cells) return bad(r, MT_BINARY_WALK, "it is missing");
    if (t->segmenter == &mt_segmenter_unigram && !t->unigram.walk.cells)
        return bad(r, MT_BINARY_UNIGRAM, "it is missing");
    if (t->segmenter == &mt_segmenter_wordpiece && (!t->wordpiece.start.cells || !t->wordpiece.inside.cells))
        return bad(r, MT_BINARY_START, "it is missing");
    size_t keep = 0;
    for (int k = 0; k < MT_BINARY_LAST_KEPT; k++)
        if (r->part[k].n && r->part[k].at + r->part[k].n > keep) keep = r->part[k].at + r->part[k].n;
    shrink(t, keep); /* pointers into it are taken after that */
    return mt_tok_finish_steps(t, r->err);
}

bool mt_tok_is_binary(const uint8_t *p, size_t n) {
    return n >= 8 && memcmp(p, MT_BINARY_MAGIC, 8) == 0;
}

mt_status mt_tok_from_binary(uint8_t *p, size_t n, mt_tok **out, mt_error *err) {
    reader r = {.p = p, .n = n, .err = err};
    *out = NULL;
    mt_status status = read_header(&r);
    if (status == MT_OK) status = mt_tok_new(&r.t, err);
    if (status != MT_OK) {
        mt_free(p);
        return status;
    }
    r.t->blob = p;
    r.t->blob_len = n;
    status = read_all(&r);
    if (status != MT_OK) {
        mt_tok_free(r.t);
        return status;
    }
    *out = r.t;
    return MT_OK;
}
