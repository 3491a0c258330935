/* Byte-pair encoding, all dialects, on byte strings. Private to token/ (tests include it).
 *
 * Dialects differ in where a pair's rank comes from (methods: tokenization, 1.1):
 *   pair-ranked    a table (left id, right id) -> (rank, result)          GPT-2 merges, tokenizer.json
 *   string-ranked  the token that spells left+right, if there is one:     tiktoken (rank = id),
 *                  its rank                                               SentencePiece (rank from its score) */
#ifndef MT_BPE_H
#define MT_BPE_H

#include "vocab.h"

enum { MT_NO_RANK = UINT32_MAX };

typedef struct mt_pair {
    int32_t left, right;
    uint32_t rank;
    int32_t result;
} mt_pair;

typedef enum mt_bpe_state {
    MT_BPE_NEW,       /* not looked at; left and right are those of the only merge that makes it, or -1 */
    MT_BPE_REACHABLE, /* and its merges are in order (see bpe.c) */
    MT_BPE_UNREACHABLE,
    MT_BPE_DISORDERLY, /* reachable */
    MT_BPE_SEVERAL     /* not looked at, several merges make it */
} mt_bpe_state;

/* What the encoder finds out about a token. */
typedef struct mt_bpe_token {
    int32_t left, right; /* canonical derivation, found on demand: the last merge; -1 for base symbols */
    uint32_t rank;       /* of the last merge */
    int32_t prefix;      /* the longest token that is a proper prefix of it, or -1; -2: not looked for */
} mt_bpe_token;

typedef struct mt_bpe {
    const mt_vocab *vocab;
    mt_bpe_token *tok; /* by id */
    uint8_t *state;    /* by id: mt_bpe_state */
    bool by_string;
    bool base_bytes; /* base symbols are bytes; otherwise characters */
    /* pair-ranked */
    mt_pair *pair; /* as they are added, until mt_bpe_finish */
    size_t pair_len, pair_cap;
    int32_t *made; /* by rank: the result; the ranks of a finished encoder count up from 0 */
    size_t made_len;
    /* A table that keeps its entries in ascending order: spread << entry_bits | (1 + rank), where the pair's number is
     * spread out as for the caches below; 0: empty. An entry is in the slot pair_home * (its top 32 bits of the spread
     * number) / 2^32 or in one behind it. The last slot is empty. */
    uint64_t *pair_slot;
    size_t pair_slots;
    uint32_t pair_home;
    unsigned entry_bits;
    /* string-ranked */
    struct mt_bpe_string {
        uint64_t hash; /* of the bytes; 0: not computed yet */
        uint32_t n;    /* so many */
    } *string;         /* by id */
    uint64_t *power;   /* of the hash, by length */
    uint32_t *rank_of; /* by id; NULL: the id itself */
    int32_t base[256]; /* id of the one-byte token, or -1 */
    mt_walk walk;      /* the vocabulary's */
    uint64_t *maybe;   /* a bit by hash: some merge may have it (many pairs have none, and end here) */
    unsigned maybe_shift;
    /* Two exact caches of pairs: the key left << bits | right is multiplied by an odd number modulo its size, which
     * loses nothing; the high part of the product is the place, the low part is kept in the entry.
     *   ok    results of pair tests: low part << 2 | ok << 1 | 1
     *   rank  of merges: low part << 31 | 1 + rank, or all ones for "no merge" */
    uint32_t *ok_cache;
    uint64_t *rank_cache;
    unsigned id_bits, ok_bits, rank_bits; /* places: 2^ok_bits, 2^rank_bits */
    /* the last merge that mt_bpe_merge made, and the highest rank it saw */
    int32_t last_left, last_right;
    uint32_t last_rank, top_rank;
    /* scratch, kept between calls */
    struct mt_bpe_node *node;
    size_t node_cap;
    struct mt_bpe_event *heap;
    size_t heap_cap;
    uint64_t *dead;
    size_t dead_cap;
    mt_ids stack, work;
    uint32_t *ends; /* for callers of mt_bpe_encode_from */
    size_t ends_cap;
} mt_bpe;

typedef enum mt_bpe_method { MT_BPE_FAST, MT_BPE_SCAN, MT_BPE_HEAP, MT_BPE_LAST_TOKEN } mt_bpe_method;

/* Before mt_bpe_finish: merges for the pair-ranked dialect (of a repeated pair the last one counts). The result spells
 * left and right. */
mt_status mt_bpe_reserve_pairs(mt_bpe *b, size_t count, mt_error *err);
mt_status mt_bpe_add_pair(mt_bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t result, mt_error *err);
/* The vocabulary must have its bytes indexed and must not change any more. */
mt_status mt_bpe_finish(mt_bpe *b, mt_vocab *v, mt_error *err);
/* The part of it that does without merges and without the vocabulary's hash. Whoever stops here fills in maybe_shift,
 * maybe, and made and pair_slot or the hash; every state but MT_BPE_UNREACHABLE must then be MT_BPE_SEVERAL. */
mt_status mt_bpe_open(mt_bpe *b, mt_vocab *v, mt_error *err);
void mt_bpe_free(mt_bpe *b);

/* Rank of merging left and right, MT_NO_RANK when they do not merge. */
uint32_t mt_bpe_rank(const mt_bpe *b, int32_t left, int32_t right, int32_t *result);
/* Reachable: the encoder gives [id] for the token's own bytes. MT_ENOMEM is possible, hence the status. */
mt_status mt_bpe_reachable(mt_bpe *b, int32_t id, bool *yes, mt_error *err);
/* Both tokens reachable: may right follow left? */
mt_status mt_bpe_pair_ok(mt_bpe *b, int32_t left, int32_t right, bool *yes, mt_error *err);

/* Merges a list of symbols in place (ids; widths are symbol lengths in bytes, kept in step); scan or heap by length. */
mt_status mt_bpe_merge(mt_bpe *b, int32_t *id, uint32_t *width, size_t *n, bool force_heap, bool force_scan,
                       mt_error *err);
/* Id of the base symbol at p (its length in *length), or -1 when the vocabulary lacks it. */
int32_t mt_bpe_symbol(const mt_bpe *b, const uint8_t *p, size_t n, size_t *length);
/* The longest token at p, n >= 1: its id and length, or -1. */
static inline int32_t mt_bpe_longest(const mt_bpe *b, const uint8_t *p, size_t n, size_t *length) {
    int32_t best = b->base[p[0]];
    *length = 1;
    if (n < 2) return best;
    uint64_t node = b->walk.two[p[0] << 8 | p[1]];
    for (size_t i = 2; node; i++) {
        int32_t t = mt_walk_token(node);
        if (t >= 0) best = t, *length = i;
        if (i == n || !(node >> 32)) break;
        node = mt_walk_step(&b->walk, node, p[i]);
    }
    return best;
}
/* The longest token that is a proper prefix of t, or -1: the next shorter token at a place where t matches. */
int32_t mt_bpe_find_shorter(mt_bpe *b, int32_t t);
static inline int32_t mt_bpe_shorter(mt_bpe *b, int32_t t) {
    int32_t s = b->tok[t].prefix;
    return s != -2 ? s : mt_bpe_find_shorter(b, t);
}
/* Encodes a stretch of known base symbols; stops before the first unknown one: *used bytes were consumed. Appends. */
mt_status mt_bpe_encode_known(mt_bpe *b, const uint8_t *p, size_t n, mt_bpe_method method, mt_ids *out, size_t *used,
                              mt_error *err);
/* The same by the fast method where the longest token at p is known (-1: there is none). ends[0..ends_cap): where the
 * first ones of the tokens end. */
mt_status mt_bpe_encode_from(mt_bpe *b, const uint8_t *p, size_t n, int32_t first, size_t length, mt_ids *out,
                             size_t *used, uint32_t *ends, size_t ends_cap, mt_error *err);

#endif
