/* The cache's slots as a forest: each live slot holds one token's key and value and knows its parent. What a slot sees
 * is itself and its ancestors, as runs of consecutive slot numbers: every slot knows where the run that ends in it
 * begins, so the runs of a chain are found without walking it.
 *
 *   slots      0 1 2 3 4 5 6      2 -> 1 -> 0 is one run [0,3); 5 -> 4 -> 1: runs [0,2) [4,6)
 *   parent     - 0 1 2 1 4 5
 *
 * A slot that is held stays: somebody will go on from it. What nothing follows or holds can be given back by
 * mt_kv_trim, and its ancestors with it, up to the first that something else needs: so branches share their common
 * beginning and nothing is copied when one is added or ends. */
#ifndef MT_KV_H
#define MT_KV_H

#include "../tensor/kernels.h"

typedef struct mt_kv {
    int32_t slots, used;
    int32_t *parent, *position, *run_begin, *children;
    int32_t *token; /* what the slot was evaluated for; written by the owner of the cache */
    int32_t *holds;
    uint8_t *live;    /* 0: free */
    uint8_t *ordered; /* positions grow along the whole chain down to this slot */
    uint8_t *orphan;  /* an ancestor was dropped */
} mt_kv;

mt_status mt_kv_init(mt_kv *kv, int32_t slots, mt_error *err);
void mt_kv_free(mt_kv *kv);
/* Takes a slot: parent + 1 when it is free, else the beginning of the largest free stretch (its middle, when a live
 * slot ends right before it and may want to grow). -1: all are taken. */
int32_t mt_kv_take(mt_kv *kv, int32_t parent, int32_t position);
void mt_kv_drop(mt_kv *kv, int32_t slot);
void mt_kv_keep_chain(mt_kv *kv, int32_t slot);
void mt_kv_reset(mt_kv *kv);
void mt_kv_trim(mt_kv *kv, int32_t slot); /* slot -1: nothing */
/* The number of slots from the root to `slot`, and the slots in that order if out is not NULL. -1: 0. */
int32_t mt_kv_chain(const mt_kv *kv, int32_t slot, int32_t *out);
/* Makes `slot` follow `parent` (-1: nothing) from now on, at another position. Its descendants' own tables are not
 * touched: go down the chain in order. */
void mt_kv_follow(mt_kv *kv, int32_t slot, int32_t parent, int32_t position);
/* Number of runs that `slot` sees within `window` positions (0: all), and the runs themselves, oldest first, if out is
 * not NULL. */
int32_t mt_kv_runs(const mt_kv *kv, int32_t slot, int32_t window, mt_run *out);

#endif
