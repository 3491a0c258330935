/* Inside src/text: what the generated tables say about one character. */
#ifndef MT_TEXT_UNICODE_H
#define MT_TEXT_UNICODE_H

#include "text.h"

extern const uint8_t mt_kind_top[], mt_kind_block[], mt_kind_category[], mt_kind_class[];
extern const uint16_t mt_kind_group[], mt_kind_flags[];

/* Characters of the same kind have category, combining class and normalization flags in common. cp <= U+10FFFF. */
static inline uint8_t mt_unicode_kind(uint32_t cp) {
    uint32_t group = mt_kind_top[cp >> 9], block = mt_kind_group[group * 32 + (cp >> 4 & 31)];
    return mt_kind_block[block * 16 + (cp & 15)];
}

enum {                     /* mt_kind_flags */
       MT_CHANGES_NFD = 1, /* the form of the character alone is something else */
       MT_CHANGES_NFKD = 2,
       MT_CHANGES_NFC = 4,
       MT_CHANGES_NFKC = 8,
       MT_STARTS_NFD = 16, /* its decomposition begins with a starter */
       MT_STARTS_NFKD = 32,
       MT_STARTS_NFC = 64, /* and that starter never composes with what stands before it */
       MT_STARTS_NFKC = 128,
       MT_SECOND = 256 /* it, or what it decomposes to, may compose with what stands before it */
};

enum { MT_MAPPING_MAX = 31 };
/* The decomposition in the tables: the full canonical one where there is one, else the full compatible one. Returns its
 * length, 0 when there is none. Not for Hangul syllables. */
int mt_unicode_mapping(uint32_t cp, bool *canonical, uint32_t out[MT_MAPPING_MAX]);
/* The primary composite of a pair, or 0. */
uint32_t mt_unicode_compose(uint32_t first, uint32_t second);

#endif
