/* Unigram segmentation: the best path through the lattice of all pieces (Kudo 2018), by dynamic programming over byte
 * positions with a walk. Of equally good paths the one found first stays: starts from left to right, short pieces
 * before long ones.
 *
 * Ties and near-ties depend on how scores are kept. The tokenizers library sums in double precision; SentencePiece adds
 * in double but keeps the best score of each position in single precision. Both are offered; each is exact with
 * respect to its own.
 *
 * A character that no piece covers alone gets an edge with the lowest score minus 10 to the unknown token; neighbouring
 * unknown characters are joined. */
#include <math.h>

#include "tok.h"

typedef struct mt_unigram_best {
    double score;
    uint32_t from; /* UINT32_MAX: not reached */
    int32_t id;
} best;

static const double UNKNOWN_PENALTY = 10;

static bool is_spelled(const mt_tok *t, int32_t id) {
    return t->unigram.byte_pieces && t->vocab.kind[id] == MT_TOKEN_BYTE;
}
static bool is_listed(const mt_tok *t, int32_t id) {
    return is_spelled(t, id) || t->vocab.flags[id] & MT_MATCHES;
}

static double score_of(const mt_tok *t, int32_t id) {
    if (!t->unigram.single || t->vocab.kind[id] != MT_TOKEN_USER) return t->vocab.score[id];
    /* user-defined: always better than its parts; a space counts as long as its mark */
    mt_str s = mt_vocab_bytes(&t->vocab, id);
    size_t n = s.n;
    for (size_t i = 0; i < s.n && t->mark.n; i++)
        if (s.p[i] == ' ') n += t->mark.n - 1;
    return (double)((float)n * (float)t->unigram.max_score) - 0.1;
}

mt_status mt_unigram_settle_scores(mt_tok *t, mt_error *err) {
    mt_unigram *u = &t->unigram;
    const mt_vocab *v = &t->vocab;
    bool user = false;
    for (int32_t id = 0; id < v->size && u->single; id++) user |= v->kind[id] == MT_TOKEN_USER;
    u->score = v->score;
    if (!user) return MT_OK;
    u->score = u->made_score = mt_array((size_t)v->size, sizeof *u->made_score);
    if (!u->score) return mt_nomem(err, (size_t)v->size * sizeof *u->score, "scores");
    for (int32_t id = 0; id < v->size; id++) u->made_score[id] = score_of(t, id);
    return MT_OK;
}

static void settle_unknown(mt_tok *t) {
    mt_unigram *u = &t->unigram;
    const mt_vocab *v = &t->vocab;
    double low = INFINITY, high = 1.17549435082228751e-38; /* as SentencePiece starts */
    for (int32_t id = 0; id < v->size; id++) {
        bool counts = u->single ? v->kind[id] == MT_TOKEN_NORMAL : (v->flags[id] & MT_IN_MODEL) != 0;
        if (counts && v->score[id] < low) low = v->score[id];
        if (counts && v->score[id] > high) high = v->score[id];
    }
    if (low == INFINITY) low = 0;
    u->max_score = high;
    u->unknown_score = u->single ? (float)((float)low - (float)UNKNOWN_PENALTY) : low - UNKNOWN_PENALTY;
}

mt_status mt_unigram_set_single(mt_tok *t, bool single, mt_error *err) {
    mt_unigram *u = &t->unigram;
    if (u->single == single) return MT_OK;
    u->single = single;
    mt_free(u->made_score);
    u->made_score = NULL;
    settle_unknown(t);
    return mt_unigram_settle_scores(t, err);
}

mt_status mt_unigram_prepare(mt_tok *t, mt_error *err) {
    mt_unigram *u = &t->unigram;
    mt_vocab *v = &t->vocab;
    size_t count = 0;
    settle_unknown(t);
    for (int32_t id = 0; id < v->size; id++) count += is_listed(t, id);
    /* of equal strings the first matches; an unused piece only takes the place */
    mt_walk_key *key = mt_array(count, sizeof *key);
    if (!key) return mt_nomem(err, count * sizeof *key, "pieces");
    count = 0;
    for (int32_t id = 0; id < v->size; id++)
        if (is_listed(t, id)) {
            mt_ref s = is_spelled(t, id) ? v->piece[id] : v->bytes[id];
            key[count++] = (mt_walk_key){s.at, s.n, id};
        }
    mt_status status = mt_walk_make(&u->walk, v->text.data, key, count, err);
    count = 0;
    for (int32_t id = 0; status == MT_OK && id < v->size; id++) {
        if (!is_listed(t, id)) continue;
        if (key[count++].id < 0)
            v->flags[id] &= (uint8_t)~MT_MATCHES;
        else if (v->kind[id] == MT_TOKEN_UNUSED)
            mt_walk_forget(&u->walk, mt_vocab_bytes(v, id).p, v->bytes[id].n);
    }
    mt_free(key);
    return status;
}

double mt_unigram_score(const mt_tok *t, int32_t id) {
    return t->unigram.score[id];
}

static inline void offer(best *b, double score, uint32_t from, int32_t id, bool single) {
    if (b->from != UINT32_MAX && !(score > b->score)) return;
    b->score = single ? (float)score : score;
    b->from = from;
    b->id = id;
}

/* The best way to every position. bytes: symbols are bytes (characters of the byte alphabet). */
static inline void run(const mt_unigram *u, bool bytes, const uint8_t *p, size_t n, best *b, bool single) {
    for (size_t at = 0, k; at < n; at += k) {
        uint32_t c;
        k = bytes || p[at] < 0x80 ? 1 : (size_t)mt_utf8_decode(p + at, n - at, &c);
        if (!k) k = 1;
        double here = b[at].score;
        bool alone = false;
        uint64_t node = u->walk.root;
        for (size_t i = at; i < n && (node = mt_walk_step(&u->walk, node, p[i])); i++) {
            int32_t id = mt_walk_token(node);
            if (id < 0) continue;
            offer(&b[i + 1], u->score[id] + here, (uint32_t)at, id, single);
            alone |= i + 1 - at == k;
        }
        if (!alone) offer(&b[at + k], u->unknown_score + here, (uint32_t)at, -1, single);
    }
}

/* [from, to) is unknown: byte tokens or the unknown token. */
static mt_status emit_unknown(mt_tok *t, const uint8_t *p, uint32_t from, uint32_t to, mt_error *err) {
    bool bytes = t->byte_fallback && t->byte_tokens;
    if (!bytes) {
        if (t->unk < 0)
            return mt_fail(err, MT_EMISSING, "the text has unknown characters and the model no unknown token");
        return mt_emit(t, t->unk, from, to, err);
    }
    uint32_t first = from; /* of the character */
    for (uint32_t i = from; i < to; i++) {
        mt_str s = {p + i, 1};
        if (t->mark.n && p[i] == ' ') s = t->mark;
        for (size_t k = 0; k < s.n; k++) {
            uint32_t begin = from, end = to;
            if (t->spans_to_next) { /* the last byte of a character has its span */
                uint32_t c, len = (uint32_t)mt_utf8_decode(p + first, to - first, &c);
                if (k == 0 && i >= first + len) first = i, len = (uint32_t)mt_utf8_decode(p + i, to - i, &c);
                begin = first;
                end = i + 1 == first + len && k + 1 == s.n ? i + 1 : first;
            }
            MT_TRY(mt_emit(t, t->byte_token[s.p[k]], begin, end, err));
        }
    }
    return MT_OK;
}

static mt_status segment(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    mt_unigram *u = &t->unigram;
    MT_TRY(mt_grow((void **)&u->best, &u->best_cap, n + 1, sizeof *u->best, err));
    best *b = u->best;
    for (size_t i = 1; i <= n; i++) b[i].from = UINT32_MAX;
    b[0].score = 0;
    if (u->single)
        run(u, t->byte_level, p, n, b, true);
    else
        run(u, t->byte_level, p, n, b, false);
    /* Back along the best path, leaving the position of the next node in `from`'s place, then forward. */
    uint32_t next = UINT32_MAX, at = (uint32_t)n;
    while (at) {
        uint32_t from = b[at].from;
        if (from == UINT32_MAX) return mt_fail(err, MT_EFORMAT, "a piece of the vocabulary ends inside a character");
        b[at].from = next;
        next = at;
        at = from;
    }
    for (uint32_t from = 0; next != UINT32_MAX;) {
        uint32_t to = next;
        int32_t id = b[to].id;
        next = b[to].from;
        if (u->fuse &&
            (id < 0 || id == t->unk)) /* text that spells the unknown token joins what is unknown beside it */
            while (next != UINT32_MAX && (b[next].id < 0 || b[next].id == t->unk)) {
                to = next;
                next = b[to].from;
                id = -1;
            }
        MT_TRY(id < 0 ? emit_unknown(t, p, from, to, err) : mt_emit(t, id, from, to, err));
        from = to;
    }
    return MT_OK;
}

static void drop(mt_tok *t) {
    mt_walk_free(&t->unigram.walk);
    mt_free(t->unigram.made_score);
    mt_free(t->unigram.best);
}

const mt_segmenter mt_segmenter_unigram = {"Unigram", true, segment, drop};
