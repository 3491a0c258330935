/* Slots and runs against brute force: random trees grown, dropped and pruned. */
#include "model/kv.h"
#include "test.h"

enum { SLOTS = 48 };

static void check_runs(const mt_kv *kv, int32_t slot, int32_t window) {
    bool expected[SLOTS] = {0}, found[SLOTS] = {0};
    int32_t order[SLOTS], n = 0;
    for (int32_t s = slot; s >= 0; s = kv->parent[s]) {
        if (window && kv->position[s] <= kv->position[slot] - window) continue;
        expected[s] = true;
        order[n++] = s;
    }
    mt_run runs[SLOTS];
    int32_t count = mt_kv_runs(kv, slot, window, NULL);
    CHECK(count <= SLOTS && count == mt_kv_runs(kv, slot, window, runs), "count");
    for (int32_t r = 0; r < count; r++)
        for (int32_t i = 0; i < runs[r].count; i++) {
            int32_t s = runs[r].start + i;
            CHECK(!found[s], "slot %d twice", s);
            found[s] = true;
            CHECK(n > 0 && order[--n] == s, "order");
        }
    CHECK(memcmp(expected, found, sizeof found) == 0, "slot %d window %d", slot, window);
}

int main(void) {
    mt_error err;
    mt_kv kv;
    mt_rng rng;
    mt_rng_seed(&rng, 5);
    CASE("runs equal the ancestors within the window, in order");
    CHECK_OK(mt_kv_init(&kv, SLOTS, &err));
    for (int round = 0; round < 3000; round++) {
        int32_t live[SLOTS], n = 0;
        for (int32_t s = 0; s < SLOTS; s++)
            if (kv.live[s] && !kv.orphan[s]) live[n++] = s;
        uint64_t what = mt_rng_below(&rng, 20);
        if (what < 15) {
            int32_t parent = n && mt_rng_below(&rng, 12) ? live[mt_rng_below(&rng, (uint64_t)n)] : -1;
            int32_t position = parent < 0 ? 0 : kv.position[parent] + 1;
            if (mt_rng_below(&rng, 10) == 0) position = (int32_t)mt_rng_below(&rng, 30); /* any positions are allowed */
            int32_t s = mt_kv_take(&kv, parent, position);
            CHECK((s < 0) == (kv.used == SLOTS && s < 0), "take");
            if (s < 0) mt_kv_reset(&kv);
        } else if (what < 18 && n) {
            int32_t s = live[mt_rng_below(&rng, (uint64_t)n)];
            while (kv.children[s]) { /* leaves first */
                int32_t child = -1;
                for (int32_t c = 0; c < SLOTS; c++)
                    if (kv.live[c] && !kv.orphan[c] && kv.parent[c] == s) child = c;
                CHECK(child >= 0, "children of %d", s);
                if (child < 0) break;
                s = child;
            }
            mt_kv_drop(&kv, s);
        } else if (what == 18 && n) {
            mt_kv_keep_chain(&kv, live[mt_rng_below(&rng, (uint64_t)n)]);
        }
        int32_t used = 0;
        for (int32_t s = 0; s < SLOTS; s++) {
            if (!kv.live[s]) continue;
            used++;
            for (int32_t w = 0; w < 12; w += 1 + w / 2) check_runs(&kv, s, w);
        }
        CHECK(used == kv.used, "%d used, %d counted", used, kv.used);
    }
    mt_kv_free(&kv);

    CASE("a chain is one run; descendants of a dropped slot are orphans");
    CHECK_OK(mt_kv_init(&kv, SLOTS, &err));
    int32_t s = -1;
    for (int32_t i = 0; i < 20; i++) s = mt_kv_take(&kv, s, i);
    CHECK(s == 19 && mt_kv_runs(&kv, s, 0, NULL) == 1, "slot %d, %d runs", s, mt_kv_runs(&kv, s, 0, NULL));
    mt_kv_drop(&kv, 7);
    CHECK(!kv.orphan[6] && kv.orphan[8] && kv.orphan[19], "orphans");
    for (int32_t i = 19; i > 7; i--) mt_kv_drop(&kv, i);
    CHECK(kv.used == 7 && mt_kv_take(&kv, 6, 7) == 7, "%d used", kv.used);
    mt_kv_free(&kv);
    return test_end();
}
