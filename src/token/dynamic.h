/* Tokenizing a batch dynamically (Feher, Vulic & Minixhofer 2024; methods: tokenization, 14): the most frequent pairs
 * of neighbours of this very batch are merged, as byte-pair encoding would if it were trained on it. */
#ifndef MT_DYNAMIC_H
#define MT_DYNAMIC_H

#include "../base/base.h"

typedef struct mt_unit {
    int32_t left, right; /* tokens, or units: first_id and on */
    int64_t count;       /* how often the pair was there when it was merged */
} mt_unit;
typedef struct mt_dynamic {
    mt_ids ids;    /* the sequences, one after the other */
    mt_ids lens;   /* of each sequence */
    mt_unit *unit; /* unit i has the id first_id + i */
    size_t units, unit_cap;
    int32_t first_id;
} mt_dynamic;
/* ids: the sequences one after the other, lens[sequences] long. barrier[i]: token i is never merged with the one before
 * it (a new word, a special token). `merges` times, or until no pair is left: the most frequent pair becomes one
 * unit everywhere, from the left; of equally frequent ones that of the smaller ids. */
mt_status mt_dynamic_merge(const int32_t *ids, const uint8_t *barrier, const int32_t *lens, size_t sequences,
                           int32_t merges, int32_t first_id, mt_dynamic *out, mt_error *err);
void mt_dynamic_free(mt_dynamic *d);

#endif
