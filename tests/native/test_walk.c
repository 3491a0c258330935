/* The walk over strings against brute force: what it finds, that each string is found, duplicates, damage by failing
 * allocation, and that it is packed. */
#include "test.h"

#include "token/vocab.h"

static mt_error err;

typedef struct list {
    mt_buf text;
    mt_walk_key key[6000];
    size_t n;
} list;

static void add(list *l, const void *p, size_t n) {
    l->key[l->n] = (mt_walk_key){(uint32_t)l->text.len, (uint32_t)n, (int32_t)l->n};
    l->n++;
    CHECK_OK(mt_buf_add(&l->text, p, n, &err));
}

static int32_t brute(const list *l, const uint8_t *p, size_t n) { /* the first that is these bytes */
    for (size_t i = 0; n && i < l->n; i++)
        if (l->key[i].n == n && !memcmp(l->text.data + l->key[i].at, p, n)) return (int32_t)i;
    return -1;
}

static void check(list *l, mt_rng *r) {
    mt_walk w;
    mt_walk_key *key = malloc(l->n * sizeof *key + 1);
    memcpy(key, l->key, l->n * sizeof *key);
    CHECK_OK(mt_walk_make(&w, l->text.data, key, l->n, &err));
    CHECK_OK(mt_walk_two(&w, &err));
    size_t tokens = 0, taken = 0;
    for (size_t i = 0; i < l->n; i++) {
        const uint8_t *p = l->text.data + l->key[i].at;
        size_t n = l->key[i].n, length = 0;
        int32_t first = brute(l, p, n);
        CHECK(key[i].id == (first == (int32_t)i ? first : -1), "string %zu has id %d", i, key[i].id);
        CHECK(mt_walk_find(&w, p, n) == first, "string %zu: found %d, not %d", i, mt_walk_find(&w, p, n), first);
        if (first >= 0) CHECK(mt_walk_longest(&w, p, n, &length) == first && length == n, "string %zu", i);
        tokens += first == (int32_t)i;
    }
    for (int i = 0; i < 2000; i++) { /* pieces of the text, mostly no strings of the list */
        uint8_t some[12];
        size_t n = mt_rng_below(r, sizeof some + 1), at = l->text.len ? mt_rng_below(r, l->text.len) : 0;
        for (size_t k = 0; k < n; k++)
            some[k] =
                l->text.len && mt_rng_below(r, 8) ? l->text.data[(at + k) % l->text.len] : (uint8_t)mt_rng_next(r);
        size_t length = 0, best = 0;
        int32_t id = -1;
        for (size_t k = 1; k <= n; k++) {
            int32_t found = brute(l, some, k);
            CHECK(mt_walk_find(&w, some, k) == found, "%zu bytes", k);
            if (found >= 0) id = found, best = k;
        }
        CHECK(mt_walk_longest(&w, some, n, &length) == id && length == best, "longest: %zu bytes, not %zu", length,
              best);
        if (n < 2) continue;
        uint64_t node = mt_walk_step(&w, w.root, some[0]);
        if (node) node = mt_walk_step(&w, node, some[1]);
        CHECK(w.two[some[0] << 8 | some[1]] == node, "two bytes");
    }
    for (size_t i = 0; i < w.cells; i++) {
        taken += w.cell[i] != 0;
        tokens -= mt_walk_token(w.cell[i]) >= 0;
        CHECK((w.cell[i] >> 32 | 255) < w.cells, "cell %zu leads out", i);
    }
    CHECK(!tokens, "%zu tokens too few", tokens);
    CHECK(w.cells <= taken * 9 / 8 + 4096, "%zu of %zu cells taken", taken, w.cells);
    if (l->n && brute(l, l->text.data + l->key[0].at, l->key[0].n) == 0) {
        mt_str s = {l->text.data + l->key[0].at, l->key[0].n};
        mt_walk_forget(&w, s.p, s.n);
        CHECK(mt_walk_find(&w, s.p, s.n) == -1, "forgotten");
        if (s.n == 2) CHECK(mt_walk_token(w.two[s.p[0] << 8 | s.p[1]]) < 0, "forgotten");
    }
    mt_walk_free(&w);
    free(key);
    mt_buf_free(&l->text);
    l->n = 0;
}

int main(void) {
    mt_rng r;
    mt_rng_seed(&r, 12);
    list *l = calloc(1, sizeof *l);
    CASE("walk: nothing, one string, empty strings");
    check(l, &r);
    add(l, "", 0);
    check(l, &r);
    add(l, "ab", 2);
    add(l, "", 0);
    add(l, "ab", 2);
    check(l, &r);
    add(l, "\0", 1);
    add(l, "\0\0", 2);
    add(l, "a\0", 2);
    add(l, "a", 1);
    add(l, "\0\0\0\0\0\0\0\0\0\0", 10);
    add(l, "\0\0\0\0\0\0\0\0", 8);
    add(l, "\0\0\0\0\0\0\0\0\0", 9);
    check(l, &r);
    CASE("walk: random strings");
    for (int round = 0; round < 12; round++) {
        unsigned letters = round % 3 == 0 ? 2 : round % 3 == 1 ? 26 : 256, longest = round < 4 ? 40 : round < 8 ? 9 : 3;
        for (int i = 0; i < 500; i++) {
            uint8_t s[64];
            size_t n = mt_rng_below(&r, longest + 1), same = 0;
            if (l->n && mt_rng_below(&r, 2)) { /* begins like another */
                const mt_walk_key *k = &l->key[mt_rng_below(&r, l->n)];
                same = mt_rng_below(&r, k->n + 1);
                if (same) memcpy(s, l->text.data + k->at, same);
            }
            for (size_t k = 0; k < n; k++) s[same + k < 63 ? same + k : 63] = (uint8_t)mt_rng_below(&r, letters);
            n = same + n < 63 ? same + n : 63;
            add(l, s, n);
        }
        check(l, &r);
    }
    CASE("walk: all pairs of bytes and long equal beginnings");
    for (int i = 0; i < 3000; i++) {
        uint8_t s[2] = {(uint8_t)mt_rng_next(&r), (uint8_t)mt_rng_next(&r)};
        add(l, s, 1 + (i & 1));
    }
    check(l, &r);
    for (int i = 0; i < 400; i++) {
        uint8_t s[300];
        memset(s, 'x', sizeof s);
        add(l, s, mt_rng_below(&r, 300));
        s[mt_rng_below(&r, 300)] = 'y';
        add(l, s, 300);
    }
    check(l, &r);
    CASE("walk: failing allocation");
    size_t before = mt_live_allocations();
    for (int64_t n = 0; n < 100; n++) {
        mt_walk w;
        mt_walk_key key[600];
        uint8_t text[1200];
        for (int i = 0; i < 600; i++) {
            text[2 * i] = (uint8_t)i;
            text[2 * i + 1] = (uint8_t)(i * 7);
            key[i] = (mt_walk_key){(uint32_t)(2 * i), 2, i};
        }
        mt_fail_allocation_after(n);
        mt_status s = mt_walk_make(&w, text, key, 600, &err);
        mt_fail_allocation_after(-1);
        CHECK(s == MT_OK || (s == MT_ENOMEM && !w.cell), "allocation %d: %s", (int)n, mt_status_name(s));
        mt_walk_free(&w);
        CHECK(mt_live_allocations() == before, "allocation %d leaks", (int)n);
        if (s == MT_OK) break;
    }
    free(l);
    return test_end();
}
