/* What tests of recurrent models share: ten tokens, and that pieces, single tokens, small batches and trees give the
 * bits of one evaluation. */
#ifndef RECURRENT_COMMON_H
#define RECURRENT_COMMON_H

#include "gguf_common.h"

static mt_error err;
enum { T = 10, V = 24 };
static const int32_t ids[T] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3};

static int32_t run(mt_session *s, const int32_t *tokens, int32_t n, int32_t parent, float *out) {
    int32_t parents[T], slots[T] = {0};
    uint8_t want[T];
    memset(want, 1, sizeof want);
    for (int32_t i = 0; i < n; i++) parents[i] = i ? MT_IN_BATCH(i - 1) : parent;
    CHECK_OK(mt_session_eval(s, &(mt_batch){n, tokens, parents, NULL, want, slots}, &err));
    for (int32_t i = 0; out && i < n; i++)
        if (mt_session_logits(s, i)) memcpy(out + i * V, mt_session_logits(s, i), V * sizeof *out);
    return slots[n - 1];
}

static mt_session *fresh(mt_model *m, int32_t max_batch) {
    mt_session *s = NULL;
    CHECK_OK(mt_session_new(m, NULL, &(mt_session_options){64, max_batch, MT_CACHE_F32}, &s, &err));
    return s;
}

/* whole: the logits of all at once. */
static void check_pieces(mt_model *m, const float whole[T * V]) {
    static float other[T * V];
    mt_session *s = fresh(m, 0);
    for (int32_t cut = 1; cut < T; cut++) {
        mt_session_reset(s);
        int32_t last = run(s, ids, cut, MT_ROOT, other);
        run(s, ids + cut, T - cut, last, other + cut * V);
        CHECK(memcmp(whole, other, sizeof other) == 0, "cut at %d", cut);
    }
    mt_session_reset(s);
    int32_t last = MT_ROOT;
    for (int32_t i = 0; i < T; i++) last = run(s, &ids[i], 1, last, other + i * V);
    CHECK(memcmp(whole, other, sizeof other) == 0, "one by one");
    mt_session_free(s);
    for (int32_t most = 1; most < 6; most++) {
        s = fresh(m, most);
        run(s, ids, T, MT_ROOT, other);
        CHECK(memcmp(whole, other, sizeof other) == 0, "max_batch %d", most);
        mt_session_free(s);
    }
}

/* A tree equals its branches evaluated alone; forks and leaves have kept their state. */
static void check_tree(mt_model *m) {
    static const int32_t up[T] = {-1, 0, 1, 2, 2, 4, 1, -1, 7, 5};
    static float tree[T * V], other[T * V];
    for (int32_t most = 1; most < 11; most++) {
        mt_session *s = fresh(m, most), *alone = fresh(m, 0);
        int32_t parents[T], slots[T];
        uint8_t want[T];
        memset(want, 1, sizeof want);
        for (int32_t i = 0; i < T; i++) parents[i] = up[i] < 0 ? MT_ROOT : MT_IN_BATCH(up[i]);
        CHECK_OK(mt_session_eval(s, &(mt_batch){T, ids, parents, NULL, want, slots}, &err));
        for (int32_t i = 0; i < T; i++) memcpy(tree + i * V, mt_session_logits(s, i), V * sizeof *tree);
        for (int32_t i = 0; i < T; i++) {
            int32_t path[T], n = 0;
            for (int32_t p = i; p >= 0; p = up[p]) n++;
            for (int32_t p = i, k = n; p >= 0; p = up[p]) path[--k] = ids[p];
            mt_session_reset(alone);
            run(alone, path, n, MT_ROOT, other);
            CHECK(memcmp(tree + i * V, other + (n - 1) * V, V * sizeof *tree) == 0, "node %d, max_batch %d", i, most);
        }
        float row[V];
        run(s, &ids[9], 1, slots[5], row);
        CHECK(memcmp(tree + 9 * V, row, sizeof row) == 0, "after a leaf");
        run(s, &ids[6], 1, slots[1], row);
        CHECK(memcmp(tree + 6 * V, row, sizeof row) == 0, "after a fork");
        mt_session_free(s);
        mt_session_free(alone);
    }
}

#endif
