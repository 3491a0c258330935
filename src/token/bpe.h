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
    int32_t left, right; /* left < 0: empty slot */
    uint32_t rank;
    int32_t result;
} mt_pair;

/* What the encoder knows of a token, in one half of a cache line. */
typedef struct mt_bpe_token {
    uint64_t hash;       /* of its bytes */
    uint32_t n;          /* of its bytes; UINT32_MAX / 2 when text cannot give it */
    int32_t prefix;      /* the longest token that is a proper prefix of it, or -1; -2: not looked for */
    int32_t left, right; /* canonical derivation, found on demand: the last merge; -1 for base symbols */
    uint32_t rank;       /* of the last merge */
    uint32_t state;      /* 0 not looked at, 1 reachable, 2 unreachable, 3 reachable but out of order (see bpe.c) */
} mt_bpe_token;

typedef struct mt_bpe {
    const mt_vocab *vocab;
    mt_bpe_token *tok; /* by id */
    bool by_string;
    bool base_bytes; /* base symbols are bytes; otherwise characters */
    /* pair-ranked */
    mt_pair *pair; /* before mt_bpe_finish: a list in the order of adding, then a hash table */
    size_t pair_cap, pair_mask, pair_count;
    /* string-ranked */
    uint64_t *power;   /* of the hash, by length */
    uint32_t *rank_of; /* by id; NULL: the id itself */
    int32_t base[256]; /* id of the one-byte token, or -1 */
    mt_walk walk;      /* the vocabulary's */
    uint64_t *maybe;   /* a bit by hash: some merge may have it (most pairs have no merge, and end here) */
    unsigned maybe_shift;
    /* results of pair tests: the key left << bits | right is multiplied by an odd number modulo its size, which loses
     * nothing; the high half of the product is the place, the low half << 2 | ok << 1 | 1 the entry */
    uint32_t *pair_cache;
    unsigned id_bits, place_bits;
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
} mt_bpe;

typedef enum mt_bpe_method { MT_BPE_FAST, MT_BPE_SCAN, MT_BPE_HEAP, MT_BPE_LAST_TOKEN } mt_bpe_method;

/* Before mt_bpe_finish: merges for the pair-ranked dialect (of equal pairs the last one counts). */
mt_status mt_bpe_reserve_pairs(mt_bpe *b, size_t count, mt_error *err);
mt_status mt_bpe_add_pair(mt_bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t result, mt_error *err);
/* The vocabulary must have its bytes indexed and must not change any more. */
mt_status mt_bpe_finish(mt_bpe *b, mt_vocab *v, mt_error *err);
void mt_bpe_free(mt_bpe *b);

/* Rank of merging left and right, MT_NO_RANK when they do not merge. */
uint32_t mt_bpe_rank(const mt_bpe *b, int32_t left, int32_t right, int32_t *result);
/* The same where only ranks below the limit count. */
uint32_t mt_bpe_rank_below(const mt_bpe *b, int32_t left, int32_t right, uint32_t limit, int32_t *result);
/* Reachable: the encoder gives [id] for the token's own bytes. MT_ENOMEM is possible, hence the status. */
mt_status mt_bpe_reachable(mt_bpe *b, int32_t id, bool *yes, mt_error *err);
/* Both tokens reachable: may right follow left? */
mt_status mt_bpe_pair_ok(mt_bpe *b, int32_t left, int32_t right, bool *yes, mt_error *err);

/* Merges a list of symbols in place (ids; widths are symbol lengths in bytes, kept in step); scan or heap by length. */
mt_status mt_bpe_merge(mt_bpe *b, int32_t *id, uint32_t *width, size_t *n, bool force_heap, bool force_scan,
                       mt_error *err);
/* Id of the base symbol at p (its length in *length), or -1 when the vocabulary lacks it. */
int32_t mt_bpe_symbol(const mt_bpe *b, const uint8_t *p, size_t n, size_t *length);
/* The token that is exactly these bytes, or -1. */
int32_t mt_bpe_whole(const mt_bpe *b, const uint8_t *p, size_t n);
/* Encodes a stretch of known base symbols; stops before the first unknown one: *used bytes were consumed. Appends. */
mt_status mt_bpe_encode_known(mt_bpe *b, const uint8_t *p, size_t n, mt_bpe_method method, mt_ids *out, size_t *used,
                              mt_error *err);

#endif
