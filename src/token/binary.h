/* The binary form of a tokenizer: what the loaders make of a definition, ready-made. Private to token/.
 *
 *   0   magic: 8D "MTOK" 0D 0A 1A          32  sections: u32 kind, u32 0, u64 offset, u64 bytes each, by rising offset
 *   8   u32 version, u32 sections              sections begin at multiples of 16, in the order of the list below
 *   16  u64 bytes of the file
 *   24  u64 checksum of what follows
 *
 * Little endian. The first group of sections is used where it lies in memory, the second is read once. A file is not
 * trusted: every number that is later used as an index without a look is checked while reading (see binary_load.c). */
#ifndef MT_BINARY_H
#define MT_BINARY_H

#include "tok.h"

#define MT_BINARY_MAGIC "\x8DMTOK\r\n\x1A"
enum { MT_BINARY_VERSION = 3, MT_BINARY_HEADER = 32, MT_BINARY_SECTION = 24, MT_BINARY_ALIGN = 16 };

typedef enum mt_binary_kind {
    MT_BINARY_TEXT,      /* all pieces by id, then the bytes of those tokens whose bytes are not their piece */
    MT_BINARY_SCORES,    /* f64 by id */
    MT_BINARY_RANKS,     /* u32 by id */
    MT_BINARY_WALK,      /* cells of mt_vocab.walk, */
    MT_BINARY_UNIGRAM,   /* of mt_unigram.walk, */
    MT_BINARY_START,     /* of mt_wordpiece.start, */
    MT_BINARY_INSIDE,    /* of mt_wordpiece.inside */
    MT_BINARY_MAYBE,     /* bits of mt_bpe.maybe */
    MT_BINARY_PAIRS,     /* slots of mt_bpe.pair_slot */
    MT_BINARY_MADE,      /* mt_bpe.made: i32 by rank */
    MT_BINARY_INDEX,     /* slots of mt_vocab.by_bytes */
    MT_BINARY_LAST_KEPT, /* what follows is read once */
    MT_BINARY_PIPELINE = MT_BINARY_LAST_KEPT, /* everything small: see binary.c */
    MT_BINARY_KINDS,                          /* u8 by id: kind | flags << 3 */
    MT_BINARY_LENGTHS,                        /* bytes of pieces, then of `bytes` (all ones: those of the piece) */
    MT_BINARY_DEPTHS,                         /* by base in MT_BINARY_WALK: how deep the node is that has it */
    MT_BINARY_KINDS_OF_SECTIONS
} mt_binary_kind;

/* The pipeline, written or read by the same code, so that the two cannot differ. */
typedef struct mt_stream {
    mt_buf *out;            /* writing; NULL: reading */
    const uint8_t *p, *end; /* reading: what is left */
    mt_error *err;
    mt_status status;
} mt_stream;

/* Numbers that belong to tables rather than to the pipeline. */
typedef struct mt_binary_sizes {
    uint32_t segmenter, tokens;
    uint32_t width, depth_width;                /* bytes of a length, of a depth */
    uint32_t maybe_bits, pair_home, index_home; /* of the tables of these names */
    uint64_t root[4];                           /* of the walks, in the order of their sections */
} mt_binary_sizes;
/* Reading fails on the first thing that is out of place; what has been read then belongs to t all the same. */
mt_status mt_binary_pipeline(mt_stream *s, mt_tok *t, mt_binary_sizes *z);
uint64_t mt_binary_checksum(const uint8_t *p, size_t n);

#endif
