/* The vocabulary as byte strings, and the trie over it. Private to token/.
 *
 * A token has two spellings: its *piece*, as the definition writes it ("Ġthe", "▁the", "<0x0A>"), and its *bytes*, what
 * it stands for in the text (" the", " the", "\n"). Segmenters work on bytes only. */
#ifndef MT_VOCAB_H
#define MT_VOCAB_H

#include "token.h"

typedef struct mt_ref {
    uint32_t at, n;
} mt_ref;

enum {
    MT_IN_MODEL = 1,   /* the model's own vocabulary has it */
    MT_IN_ADDED = 2,   /* an added token: cut out of the text before segmentation */
    MT_MATCHES = 4,    /* can be found in text by the segmenter */
    MT_IS_SPECIAL = 8, /* skipped by decoding when asked */
    MT_IS_INDEXED = 16 /* the token that its piece finds; kept when the index has been dropped */
};

/* A loop over 0..n-1, cut into stretches that `run` does: an engine that translates code quickly first and better later
 * changes over between two calls, not in the middle of one. Ends at the first error. */
typedef mt_status (*mt_stretch)(void *user, size_t from, size_t to, mt_error *err);
mt_status mt_stretches(size_t n, mt_stretch run, void *user, mt_error *err);

/* Uses x: a loop that only fetches memory is not left out. */
static inline void mt_keep(uint32_t x) {
    __asm__ volatile("" : : "r"(x));
}
/* memcmp() == 0 of short strings, of which a module without the host's libc has only a slow one. */
static inline bool mt_same_bytes(const uint8_t *a, const uint8_t *b, size_t n) {
    if (n >= 8) {
        for (size_t i = 0; i + 8 < n; i += 8)
            if (mt_le64(a + i) != mt_le64(b + i)) return false;
        return mt_le64(a + n - 8) == mt_le64(b + n - 8);
    }
    if (n >= 4) return mt_le32(a) == mt_le32(b) && mt_le32(a + n - 4) == mt_le32(b + n - 4);
    return !n || (a[0] == b[0] && a[n / 2] == b[n / 2] && a[n - 1] == b[n - 1]);
}

/* An index of pieces, see pieces.c. A piece is in the slot home * hash / 2^32, or in one behind it; the last slot is
 * free. */
typedef struct mt_pieces {
    struct mt_piece_slot {
        uint64_t head; /* the first eight bytes of the piece */
        uint32_t hash; /* 0: free */
        uint32_t what; /* id << 8 | length, 255: or more */
    } *slot;
    size_t slots, count;
    uint32_t home;
} mt_pieces;

/* Two tables are kept in files (binary.h) and so hash the same everywhere: the index below and the merges of bpe.h. Of
 * MT_CROWD slots in a row, counted from a multiple of it, one is always free; what cannot be put in so is refused. (The
 * longest rows of published definitions are some hundred.) */
enum { MT_CROWD = 1024 };
mt_status mt_crowded(mt_error *err);                                   /* the refusal */
mt_status mt_uncrowded(const void *slot, size_t slots, mt_error *err); /* of 8 bytes, 0: free */

/* A hash index of the tokens' bytes, found by the polynomial hash. Slots as above. */
typedef struct mt_index {
    struct mt_index_slot {
        uint32_t hash; /* 0: free */
        int32_t id;
    } *slot;
    size_t slots, count;
    uint32_t home;
} mt_index;

/* ---- strings to walk fast: a trie as a double array (Aoe 1989), one 8-byte cell a step ----
 * A node is its cell: bits 32.. where its children are (cell base ^ byte; 0: none), bits 8..31 its token + 1 (0: none),
 * bits 0..7 the byte that leads to it. No two nodes have the same base, so the byte alone tells whose child a cell is.
 */
typedef struct mt_walk {
    uint64_t *cell, *two; /* two: the node after two bytes; NULL: not made */
    size_t cells;
    uint64_t root;
} mt_walk;
typedef struct mt_walk_key {
    uint32_t at, n; /* the string: text[at..at + n) */
    int32_t id;     /* what it stands for; < 0: left out */
} mt_walk_key;
/* Those that come first lie closest together. Afterwards strings that are empty or occurred before have id -1. */
mt_status mt_walk_make(mt_walk *w, const uint8_t *text, mt_walk_key *key, size_t count, mt_error *err);
mt_status mt_walk_two(mt_walk *w, mt_error *err);            /* makes `two` from the rest */
void mt_walk_forget(mt_walk *w, const uint8_t *p, size_t n); /* this string no longer stands for anything */
void mt_walk_free(mt_walk *w);
/* 0: no such child */
static inline uint64_t mt_walk_step(const mt_walk *w, uint64_t node, uint8_t byte) {
    uint64_t x = w->cell[(size_t)(node >> 32) ^ byte];
    return (x & 0xFF) == byte ? x : 0;
}
static inline int32_t mt_walk_token(uint64_t node) { /* or -1 */
    return (int32_t)(node >> 8 & 0xFFFFFF) - 1;
}
/* Longest string that p begins with: its id and length, or -1. */
int32_t mt_walk_longest(const mt_walk *w, const uint8_t *p, size_t n, size_t *length);
int32_t mt_walk_find(const mt_walk *w, const uint8_t *p, size_t n); /* exactly this string, or -1 */

typedef struct mt_vocab {
    int32_t size;
    size_t capacity;
    mt_buf text;
    mt_ref *bytes, *piece;
    uint8_t *kind;     /* mt_token_kind */
    uint8_t *flags;    /* MT_IN_MODEL... */
    double *score;     /* NULL: none */
    mt_pieces pieces;  /* made when pieces are looked up */
    mt_ids unindexed;  /* ids to be put there: id << 1 | replace */
    bool unlisted;     /* those with MT_IS_INDEXED are to be put there too */
    size_t scanned;    /* pieces looked at in vain without it */
    bool twice;        /* some piece belongs to two tokens */
    mt_walk walk;      /* the bytes of every token that has MT_MATCHES */
    mt_index by_bytes; /* the same tokens by hash; made by mt_vocab_hash_bytes */
    uint32_t longest;  /* bytes of the longest token that matches */
    int32_t *sorted;
    size_t sorted_len;
} mt_vocab;

/* ids above this are refused: a definition that needs more is broken */
enum { MT_MAX_TOKENS = 1 << 24 };

static inline mt_str mt_vocab_bytes(const mt_vocab *v, int32_t id) {
    return (mt_str){v->text.data + v->bytes[id].at, v->bytes[id].n};
}
static inline mt_str mt_vocab_piece(const mt_vocab *v, int32_t id) {
    return (mt_str){v->text.data + v->piece[id].at, v->piece[id].n};
}

/* Polynomial hash modulo 2^64: hash(xy) = hash(x) * power(|y|) + hash(y), so that the hash of a concatenation costs one
 * multiplication. Equality is always confirmed on the bytes. */
#define MT_POLY UINT64_C(0x9E3779B97F4A7C55)
uint64_t mt_poly(const uint8_t *p, size_t n);

mt_status mt_vocab_reserve(mt_vocab *v, size_t tokens, size_t text_bytes, mt_error *err);
/* Makes ids 0..id exist (new ones are holes). */
mt_status mt_vocab_extend(mt_vocab *v, int64_t id, mt_error *err);
/* Sets the piece; the bytes are the same until mt_vocab_set_bytes. */
mt_status mt_vocab_set_piece(mt_vocab *v, int64_t id, mt_str piece, mt_error *err);
/* The same where the piece has been written behind the text already (mt_buf_reserve gave the room). */
mt_status mt_vocab_claim_piece(mt_vocab *v, int64_t id, size_t n, mt_error *err);
mt_status mt_vocab_set_bytes(mt_vocab *v, int32_t id, const uint8_t *p, size_t n, mt_error *err);
/* Of equal pieces the first is found, or (replace) the last. */
mt_status mt_vocab_index_piece(mt_vocab *v, int32_t id, bool replace, mt_error *err);
/* Makes the index of what has been given to mt_vocab_index_piece: before many look-ups. Otherwise the first ones scan
 * the vocabulary, and it is made (if there is memory) when that is no longer cheaper. */
mt_status mt_vocab_index_pieces(mt_vocab *v, mt_error *err);
/* Frees the index, if it has been made; it can be made again. */
void mt_vocab_drop_pieces(mt_vocab *v);
/* Makes the walk over every token that has MT_MATCHES; of equal ones the first keeps the flag. */
mt_status mt_vocab_index_bytes(mt_vocab *v, mt_error *err);
/* For mt_vocab_find_joined, after that. */
mt_status mt_vocab_hash_bytes(mt_vocab *v, mt_error *err);
int32_t mt_vocab_find_piece(const mt_vocab *v, mt_str piece);
/* Many at once, at most MT_FIND_MOST: their trips to memory overlap. */
enum { MT_FIND_MOST = 128 };
void mt_vocab_find_pieces(const mt_vocab *v, const mt_str *piece, size_t count, int32_t *id);
int32_t mt_vocab_find_bytes(const mt_vocab *v, const uint8_t *p, size_t n);
/* The token whose bytes are left's followed by right's; `hash` is of the concatenation. */
int32_t mt_vocab_find_joined(const mt_vocab *v, mt_ref left, mt_ref right, uint64_t hash);
mt_status mt_vocab_sort(mt_vocab *v, mt_error *err);
void mt_vocab_free(mt_vocab *v);

/* ---- trie: nodes are numbers, edges live in one hash table ---- */
typedef struct mt_trie {
    struct mt_trie_edge {
        uint32_t key;   /* node << 8 | byte; UINT32_MAX: empty */
        uint32_t child; /* > 0 */
    } *edge;
    size_t mask, edges;
    uint32_t spread; /* what keys are multiplied by */
    int32_t *token;  /* by node: the token that ends here, or -1 */
    size_t nodes, node_cap;
} mt_trie;
enum { MT_TRIE_LIMIT = 1 << 24 };

mt_status mt_trie_reserve(mt_trie *t, size_t nodes, mt_error *err);
/* *old receives the token that was there, or -1; it is kept. */
mt_status mt_trie_add(mt_trie *t, const uint8_t *p, size_t n, int32_t id, int32_t *old, mt_error *err);
void mt_trie_free(mt_trie *t);
/* 0: no such edge. The root is node 0 of an initialised trie. */
static inline uint32_t mt_trie_step(const mt_trie *t, uint32_t node, uint8_t byte) {
    uint32_t key = node << 8 | byte;
    for (size_t i = (key * t->spread >> 7) & t->mask;; i = (i + 1) & t->mask) {
        if (t->edge[i].key == key) return t->edge[i].child;
        if (t->edge[i].key == UINT32_MAX) return 0;
    }
}
/* Longest token that starts at p: its id and length, or -1. */
int32_t mt_trie_longest(const mt_trie *t, const uint8_t *p, size_t n, size_t *length);

#endif
