/* Chains of slots: forks, rewinding, cuts and joins against evaluation with the same tokens hidden; caches in half and
 * byte precision; saved states: the same bits afterwards, and any damage refused. */
#include "gguf_common.h"

#include "model/kv.h"

static mt_error err;
enum { V = TINY_VOCAB };

static mt_model *tiny(void) {
    gguf_file f;
    mt_model *m = NULL;
    tiny_llama(&f, MT_F32, NULL);
    CHECK_OK(load_bytes(f.all.data, f.all.len, f.all.len, f.all.len, &m, &err));
    free_file(&f);
    return m;
}

static mt_session *session(mt_model *m, int32_t slots, mt_cache_type cache) {
    mt_session *s = NULL;
    CHECK_OK(mt_session_new(m, NULL, &(mt_session_options){slots, 0, cache}, &s, &err));
    return s;
}

/* Appends tokens; logits of the last to out[V]; the new leaf, which is not held. */
static int32_t append(mt_session *s, const int32_t *token, int32_t n, int32_t parent, float *out) {
    int32_t parents[64], slots[64] = {0};
    for (int32_t i = 0; i < n; i++) parents[i] = i ? MT_IN_BATCH(i - 1) : parent;
    CHECK_OK(mt_session_eval(s, &(mt_batch){n, token, parents, NULL, NULL, slots}, &err));
    const float *logits = mt_session_logits(s, n - 1);
    if (out && logits) memcpy(out, logits, V * sizeof *out);
    return slots[n - 1];
}
static int32_t held(mt_session *s, const int32_t *token, int32_t n, int32_t parent, float *out) {
    int32_t leaf = append(s, token, n, parent, out);
    mt_session_hold(s, leaf);
    return leaf;
}
static double distance(const float *a, const float *b) {
    double d = 0, top = 0;
    for (int i = 0; i < V; i++) {
        d = fmax(d, fabs((double)a[i] - b[i]));
        top = fmax(top, fabs((double)b[i]));
    }
    return d / top;
}
static bool same(const float *a, const float *b) {
    return memcmp(a, b, V * sizeof *a) == 0;
}

static const int32_t text[20] = {1, 17, 4, 4, 30, 47, 0, 9, 22, 22, 5, 41, 3, 8, 8, 12, 40, 2, 33, 6};

static void test_forks(mt_model *m) {
    float a[V], b[V], want[V];
    CASE("forks share their beginning and give it back when the last of them ends");
    mt_session *s = session(m, 32, MT_CACHE_F32), *fresh = session(m, 32, MT_CACHE_F32);
    int32_t stem = held(s, text, 8, MT_ROOT, NULL);
    mt_session_hold(s, stem); /* a second text goes on from it */
    CHECK(mt_session_free_slots(s) == 24, "%d free", mt_session_free_slots(s));
    int32_t x = held(s, text + 8, 5, stem, a), y = held(s, text + 15, 5, stem, b);
    CHECK(mt_session_free_slots(s) == 14, "%d free: nothing is copied", mt_session_free_slots(s));
    int32_t other[13];
    memcpy(other, text, 8 * sizeof *other);
    memcpy(other + 8, text + 15, 5 * sizeof *other);
    append(fresh, text, 13, MT_ROOT, want);
    CHECK(same(a, want), "the first branch");
    mt_session_reset(fresh);
    append(fresh, other, 13, MT_ROOT, want);
    CHECK(same(b, want), "the second branch");
    int32_t chain[32];
    CHECK(mt_session_chain(s, y, chain) == 13, "length");
    for (int i = 0; i < 13; i++)
        CHECK(mt_session_token(s, chain[i]) == other[i] && mt_session_position(s, chain[i]) == i, "token %d", i);
    mt_session_release(s, x);
    CHECK(mt_session_free_slots(s) == 19, "%d free", mt_session_free_slots(s));
    mt_session_release(s, stem);
    mt_session_release(s, stem);
    CHECK(mt_session_free_slots(s) == 19, "%d free: y needs the stem", mt_session_free_slots(s));
    mt_session_release(s, y);
    CHECK(mt_session_free_slots(s) == 32, "%d free", mt_session_free_slots(s));
    mt_session_release(s, y);
    mt_session_release(s, -1);
    mt_session_hold(s, 99);
    CHECK(mt_session_chain(s, y, NULL) == -1 && mt_session_token(s, 99) == -1 && !mt_session_continues(s, y), "gone");

    CASE("going back: join with nothing kept");
    int32_t leaf = held(s, text, 12, MT_ROOT, NULL), back = -7;
    mt_session_chain(s, leaf, chain);
    CHECK_OK(mt_session_join(s, chain[6], leaf, 0, 0, &back, &err));
    CHECK(back == chain[6] && mt_session_free_slots(s) == 25, "%d free", mt_session_free_slots(s));
    leaf = append(s, text + 7, 1, back, a);
    mt_session_reset(fresh);
    append(fresh, text, 8, MT_ROOT, want);
    CHECK(same(a, want), "the same bits as never having gone on");
    mt_session_hold(s, leaf);
    mt_session_release(s, back);
    CHECK_OK(mt_session_join(s, MT_ROOT, leaf, 0, 0, &back, &err));
    CHECK(back == MT_ROOT && mt_session_free_slots(s) == 32, "everything: %d free", mt_session_free_slots(s));
    mt_session_free(s);
    mt_session_free(fresh);
}

/* Tokens first..first+count of text[0..n) are forgotten after they were evaluated, then one more token is evaluated.
 * What it must see: keys and values of the others as they were, at positions moved by delta. The same by brute force:
 * the tokens evaluated in order, a copy of the rows made by hand, is what a second session does with a tree whose last
 * token follows a chain without the dropped ones: there, positions are given and values come from patched hooks. */
static void brute(mt_model *m, int32_t n, int32_t first, int32_t count, int32_t delta, float *out) {
    enum { D = 8, G = 2, H = 4, LAYERS = 2 };
    /* Keys before rotation and values of the whole text, by name. */
    static float keys[LAYERS][20][G][D], values[LAYERS][20][G][D];
    mt_session *s = session(m, 32, MT_CACHE_F32);
    CHECK_OK(mt_trace_want(s, "blocks.*.attn.hook_k", &err));
    CHECK_OK(mt_trace_want(s, "blocks.*.attn.hook_v", &err));
    append(s, text, n, MT_ROOT, NULL);
    for (int32_t i = 0; i < mt_trace_count(s); i++) {
        mt_traced t;
        CHECK(mt_trace_get(s, i, &t), "trace %d", i);
        int layer = t.name[7] - '0';
        bool key = t.name[strlen(t.name) - 1] == 'k';
        CHECK(t.dims[0] == n && t.dims[1] == G && t.dims[2] == D, "shape");
        memcpy(key ? keys[layer] : values[layer], t.data, (size_t)n * G * D * sizeof(float));
    }
    mt_trace_clear(s);
    mt_session_reset(s);
    /* A batch of the kept tokens and the new one, with the remembered keys and values put in their places. */
    int32_t kept = n - count, token[32], position[32];
    for (int32_t i = 0; i < kept; i++) {
        int32_t from = i < first ? i : i + count;
        token[i] = text[from];
        position[i] = i < first ? from : from + delta;
    }
    token[kept] = text[n];
    position[kept] = n + delta;
    for (int l = 0; l < LAYERS; l++)
        for (int32_t i = 0; i < kept; i++) {
            int32_t from = i < first ? i : i + count;
            char name[64];
            snprintf(name, sizeof name, "blocks.%d.attn.hook_k", l);
            CHECK_OK(flat_patch(s, name, MT_PATCH_REPLACE, (size_t)i * G * D, keys[l][from][0], G * D, &err));
            snprintf(name, sizeof name, "blocks.%d.attn.hook_v", l);
            CHECK_OK(flat_patch(s, name, MT_PATCH_REPLACE, (size_t)i * G * D, values[l][from][0], G * D, &err));
        }
    CHECK_OK(mt_session_eval(s, &(mt_batch){kept + 1, token, NULL, position, NULL, NULL}, &err));
    memcpy(out, mt_session_logits(s, kept), V * sizeof *out);
    mt_session_free(s);
}

static void test_cuts(mt_model *m) {
    float got[V], want[V], other[V];
    int32_t chain[32], leaf, after;
    CASE("dropped slots: as if they were masked, positions kept or closed up");
    static const int32_t cuts[][3] = {{10, 2, 3}, {10, 0, 4}, {10, 9, 1}, {12, 1, 8}, {16, 4, 1}, {16, 0, 15}};
    for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++)
        for (int shift = 0; shift < 2; shift++) {
            int32_t n = cuts[c][0], first = cuts[c][1], count = cuts[c][2], delta = shift ? -count : 0;
            brute(m, n, first, count, delta, want);
            mt_session *s = session(m, 32, MT_CACHE_F32);
            leaf = held(s, text, n, MT_ROOT, NULL);
            mt_session_chain(s, leaf, chain);
            CHECK_OK(
                mt_session_join(s, first ? chain[first - 1] : MT_ROOT, leaf, n - first - count, delta, &after, &err));
            CHECK(mt_session_free_slots(s) == 32 - n + count, "%d free", mt_session_free_slots(s));
            int32_t position = n + delta, parent = after;
            CHECK_OK(mt_session_eval(s, &(mt_batch){1, text + n, &parent, &position, NULL, NULL}, &err));
            memcpy(got, mt_session_logits(s, 0), sizeof got);
            CHECK(distance(got, want) < 2e-6, "cut %zu shift %d: %g", c, shift, distance(got, want));
            mt_session_free(s);
        }

    CASE("a branch that is needed elsewhere is copied and stays as it was");
    mt_session *s = session(m, 64, MT_CACHE_F32);
    leaf = held(s, text, 12, MT_ROOT, other);
    int32_t branch = held(s, text + 15, 2, leaf, NULL); /* everything up to leaf is shared with it */
    mt_session_chain(s, leaf, chain);
    CHECK_OK(mt_session_join(s, chain[1], leaf, 6, -4, &after, &err));
    CHECK(after != leaf && mt_session_free_slots(s) == 64 - 14 - 6, "%d free", mt_session_free_slots(s));
    int32_t position = 8, parent = after, slot;
    CHECK_OK(mt_session_eval(s, &(mt_batch){1, text + 12, &parent, &position, NULL, &slot}, &err));
    memcpy(got, mt_session_logits(s, 0), sizeof got);
    brute(m, 12, 2, 4, -4, want);
    CHECK(distance(got, want) < 2e-6, "the copy: %g", distance(got, want));
    mt_session_release(s, slot);
    float before[V];
    mt_session *fresh = session(m, 32, MT_CACHE_F32);
    int32_t straight[15];
    memcpy(straight, text, 12 * sizeof *straight);
    straight[12] = text[15], straight[13] = text[16], straight[14] = 7;
    append(fresh, straight, 15, MT_ROOT, before);
    append(s, straight + 14, 1, branch, got);
    CHECK(same(got, before), "the other branch has the same bits");
    mt_session_release(s, after);
    CHECK(mt_session_chain(s, after, NULL) == -1, "the copy ends");
    mt_session_free(s);

    CASE("insertion: new tokens before an old rest");
    s = session(m, 32, MT_CACHE_F32);
    leaf = held(s, text, 10, MT_ROOT, NULL);
    mt_session_chain(s, leaf, chain);
    int32_t fresh_tokens[3] = {44, 45, 46}, middle = held(s, fresh_tokens, 3, chain[4], NULL);
    CHECK_OK(mt_session_join(s, middle, leaf, 5, 3, &after, &err));
    mt_session_release(s, middle);
    CHECK(mt_session_chain(s, after, chain) == 13 && mt_session_free_slots(s) == 19, "length");
    for (int i = 0; i < 13; i++)
        CHECK(mt_session_position(s, chain[i]) == i && mt_session_token(s, chain[i]) == (i < 5   ? text[i]
                                                                                         : i < 8 ? fresh_tokens[i - 5]
                                                                                                 : text[i - 3]),
              "token %d", i);
    /* The inverse takes them out again: only rounding of the rotations is left. */
    CHECK_OK(mt_session_join(s, chain[4], after, 5, -3, &leaf, &err));
    append(s, text + 10, 1, leaf, got);
    mt_session_reset(fresh);
    append(fresh, text, 11, MT_ROOT, want);
    CHECK(distance(got, want) < 2e-6, "there and back: %g", distance(got, want));

    CASE("what cannot be done is said, and changes nothing");
    mt_session_reset(s);
    leaf = held(s, text, 10, MT_ROOT, NULL);
    mt_session_chain(s, leaf, chain);
    CHECK(mt_session_join(s, 31, leaf, 2, 0, &after, &err) == MT_ERANGE, "%s", err.text);
    CHECK(mt_session_join(s, MT_ROOT, 31, 0, 0, &after, &err) == MT_ERANGE, "%s", err.text);
    CHECK(mt_session_join(s, MT_ROOT, leaf, 11, 0, &after, &err) == MT_ERANGE, "%s", err.text);
    CHECK(mt_session_join(s, MT_ROOT, leaf, -1, 0, &after, &err) == MT_ERANGE, "%s", err.text);
    CHECK(mt_session_join(s, MT_ROOT, leaf, 5, -6, &after, &err) == MT_ERANGE && strstr(err.text, "position -1"), "%s",
          err.text);
    CHECK(mt_session_join(s, chain[7], leaf, 4, 0, &after, &err) == MT_ERANGE && strstr(err.text, "itself"), "%s",
          err.text);
    int32_t full = held(s, text, 20, leaf, NULL); /* 30 of 32 taken, the first ten shared */
    mt_session_hold(s, chain[5]);
    CHECK(mt_session_join(s, chain[0], leaf, 5, -4, &after, &err) == MT_ELIMIT && strstr(err.text, "copied"), "%s",
          err.text);
    CHECK(mt_session_chain(s, full, NULL) == 30 && mt_session_free_slots(s) == 2, "unchanged");
    mt_session_free(s);
    mt_session_free(fresh);
}

static void test_random(mt_model *m) {
    CASE("random forks, cuts, joins: slots are never lost, chains are what they should be");
    enum { HANDLES = 6, SLOTS = 60 };
    mt_session *s = session(m, SLOTS, MT_CACHE_F32);
    int32_t leaf[HANDLES], expect[HANDLES][SLOTS], length[HANDLES] = {0}, chain[SLOTS];
    mt_rng rng;
    mt_rng_seed(&rng, 9);
    for (int i = 0; i < HANDLES; i++) leaf[i] = MT_ROOT;
    for (int round = 0; round < 3000; round++) {
        int h = (int)mt_rng_below(&rng, HANDLES), o = (int)mt_rng_below(&rng, HANDLES);
        uint64_t what = mt_rng_below(&rng, 10);
        if (what < 4) {
            int32_t n = 1 + (int32_t)mt_rng_below(&rng, 4), tokens[4], parents[4], slots[4];
            for (int i = 0; i < n; i++)
                tokens[i] = (int32_t)mt_rng_below(&rng, V), parents[i] = i ? MT_IN_BATCH(i - 1) : leaf[h];
            if (n > mt_session_free_slots(s)) continue;
            CHECK_OK(mt_session_eval(s, &(mt_batch){n, tokens, parents, NULL, NULL, slots}, &err));
            mt_session_hold(s, slots[n - 1]);
            mt_session_release(s, leaf[h]);
            leaf[h] = slots[n - 1];
            memcpy(expect[h] + length[h], tokens, (size_t)n * sizeof *tokens);
            length[h] += n;
        } else if (what < 6) {
            if (h == o) continue;
            mt_session_hold(s, leaf[o]);
            mt_session_release(s, leaf[h]);
            leaf[h] = leaf[o], length[h] = length[o];
            memcpy(expect[h], expect[o], sizeof expect[h]);
        } else if (length[h]) {
            int32_t first = (int32_t)mt_rng_below(&rng, (uint64_t)length[h] + 1),
                    count = (int32_t)mt_rng_below(&rng, (uint64_t)(length[h] - first) + 1), after;
            mt_session_chain(s, leaf[h], chain);
            mt_status status = mt_session_join(s, first ? chain[first - 1] : MT_ROOT, leaf[h],
                                               length[h] - first - count, what < 8 ? -count : 0, &after, &err);
            if (status == MT_ELIMIT) continue;
            CHECK(status == MT_OK, "%s", err.text);
            leaf[h] = after;
            memmove(expect[h] + first, expect[h] + first + count,
                    (size_t)(length[h] - first - count) * sizeof(int32_t));
            length[h] -= count;
        }
        bool used[SLOTS] = {0};
        int live = 0;
        for (int i = 0; i < HANDLES; i++) {
            int32_t n = leaf[i] < 0 ? 0 : mt_session_chain(s, leaf[i], chain);
            CHECK(n == length[i], "round %d: handle %d has %d tokens, expected %d", round, i, n, length[i]);
            for (int32_t k = 0; k < n; k++) {
                CHECK(mt_session_token(s, chain[k]) == expect[i][k], "round %d: handle %d token %d", round, i, k);
                live += !used[chain[k]];
                used[chain[k]] = true;
            }
        }
        CHECK(mt_session_free_slots(s) == SLOTS - live, "round %d: %d free, expected %d", round,
              mt_session_free_slots(s), SLOTS - live);
        if (case_bad) break;
    }
    mt_session_free(s);
}

static void test_caches(mt_model *m) {
    CASE("halves and bytes: near the full cache, the same alone as in a batch, a quarter of the memory");
    float want[V], got[V], step[V];
    mt_session *s = session(m, 32, MT_CACHE_F32);
    mt_session_info full, info;
    mt_session_info_get(s, &full);
    CHECK(full.slot_bytes == 2 * 2 * 2 * 8 * 4 && full.cache_bytes == 32 * full.slot_bytes &&
              strcmp(full.cache, "f32") == 0,
          "%g", full.slot_bytes);
    append(s, text, 20, MT_ROOT, want);
    mt_session_free(s);
    for (int type = MT_CACHE_F16; type <= MT_CACHE_Q8; type++) {
        s = session(m, 32, (mt_cache_type)type);
        mt_session_info_get(s, &info);
        CHECK(info.slot_bytes == full.slot_bytes * (type == MT_CACHE_F16 ? 16 : 12) / 32 && info.slots == 32 &&
                  info.free == 32,
              "%g", info.slot_bytes);
        append(s, text, 20, MT_ROOT, got);
        CHECK(!same(got, want) && distance(got, want) < (type == MT_CACHE_F16 ? 1e-3 : 2e-2), "%s: %g", info.cache,
              distance(got, want));
        mt_session_reset(s);
        int32_t leaf = MT_ROOT;
        for (int i = 0; i < 20; i++) leaf = append(s, text + i, 1, leaf, step);
        CHECK(same(step, got), "%s: one by one", info.cache);
        /* Cuts turn rounded keys: another rounding. */
        int32_t chain[32], after;
        mt_session_hold(s, leaf);
        mt_session_chain(s, leaf, chain);
        CHECK_OK(mt_session_join(s, chain[3], leaf, 11, -5, &after, &err));
        append(s, text, 1, after, got);
        mt_session_free(s);
        s = session(m, 32, MT_CACHE_F32);
        leaf = held(s, text, 20, MT_ROOT, NULL);
        mt_session_chain(s, leaf, chain);
        CHECK_OK(mt_session_join(s, chain[3], leaf, 11, -5, &after, &err));
        append(s, text, 1, after, step);
        CHECK(distance(got, step) < (type == MT_CACHE_F16 ? 2e-3 : 6e-2), "%s after a cut: %g", info.cache,
              distance(got, step));
        mt_session_free(s);
    }
    CHECK(mt_session_new(m, NULL, &(mt_session_options){32, 0, (mt_cache_type)7}, &s, &err) == MT_EUNKNOWN, "%s",
          err.text);
}

static void test_states(mt_model *m) {
    float want[V], got[V];
    CASE("a restored chain goes on with the same bits");
    for (int type = MT_CACHE_F32; type <= MT_CACHE_Q8; type++) {
        mt_session *s = session(m, 32, (mt_cache_type)type), *t = session(m, 40, (mt_cache_type)type);
        mt_buf state = {0}, again = {0};
        int32_t leaf = held(s, text, 9, MT_ROOT, NULL), restored;
        CHECK_OK(mt_session_save(s, leaf, &state, &err));
        mt_session_release(s, append(s, text + 9, 6, leaf, want));
        append(t, text + 3, 4, MT_ROOT, NULL); /* something else is there already */
        CHECK_OK(mt_session_restore(t, state.data, state.len, &restored, &err));
        CHECK_OK(mt_session_save(t, restored, &again, &err));
        CHECK(state.len == again.len && memcmp(state.data, again.data, state.len) == 0, "saved again: other bytes");
        append(t, text + 9, 6, restored, got);
        CHECK(same(got, want), "%s", mt_cache_name((mt_cache_type)type));
        CHECK(mt_session_free_slots(t) == 40 - 4 - 15, "%d free", mt_session_free_slots(t));

        CASE("any damage is refused and leaves the session as it was");
        int32_t before = mt_session_free_slots(t);
        for (size_t n = 0; n < state.len; n += n < 64 ? 1 : 37)
            CHECK(mt_session_restore(t, state.data, n, &restored, &err) != MT_OK, "%zu bytes", n);
        mt_rng rng;
        mt_rng_seed(&rng, 3);
        for (int round = 0; round < 600; round++) {
            size_t bit = round < 400 ? (size_t)round : (size_t)mt_rng_below(&rng, state.len * 8);
            state.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            CHECK(mt_session_restore(t, state.data, state.len, &restored, &err) != MT_OK, "bit %zu", bit);
            state.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
        /* A body that lies, under a right checksum. */
        for (int lie = 0; lie < 3; lie++) {
            uint8_t *copy = malloc(state.len);
            memcpy(copy, state.data, state.len);
            uint32_t value = lie == 0 ? V : lie == 1 ? 0xFFFFFFFF : 0x7FFFFFFF;
            memcpy(copy + (lie == 0 ? 48 + 8 : 48 + 36 + 8), &value, 4);
            uint64_t hash = mt_hash_bytes(copy + 32, state.len - 32);
            memcpy(copy + 24, &hash, 8);
            CHECK(mt_session_restore(t, copy, state.len, &restored, &err) == MT_EFORMAT, "lie %d: %s", lie, err.text);
            free(copy);
        }
        CHECK(mt_session_free_slots(t) == before, "%d free", mt_session_free_slots(t));
        mt_session *small = session(m, 8, (mt_cache_type)type),
                   *other = session(m, 32, (mt_cache_type)((type + 1) % 3));
        CHECK(mt_session_restore(small, state.data, state.len, &restored, &err) == MT_ELIMIT, "%s", err.text);
        CHECK(mt_session_restore(other, state.data, state.len, &restored, &err) == MT_EUNKNOWN, "%s", err.text);
        mt_session_free(small);
        mt_session_free(other);
        CHECK(mt_session_save(s, 31, &state, &err) == MT_ERANGE, "%s", err.text);

        CASE("another model's state is refused");
        gguf_file f;
        mt_model *twin = NULL;
        tiny_llama(&f, MT_F16, NULL);
        CHECK_OK(load_bytes(f.all.data, f.all.len, f.all.len, f.all.len, &twin, &err));
        free_file(&f);
        mt_session *foreign = session(twin, 32, (mt_cache_type)type);
        CHECK(mt_session_restore(foreign, again.data, again.len, &restored, &err) == MT_ESTATE &&
                  strstr(err.text, "another model"),
              "%s", err.text);
        mt_session_free(foreign);
        mt_model_free(twin);

        CASE("failing allocations");
        size_t live = mt_live_allocations();
        for (int64_t n = 0, done = 0; !done; n++) {
            mt_buf out = {0};
            mt_fail_allocation_after(n);
            mt_status saved = mt_session_save(s, leaf, &out, &err),
                      status = mt_session_restore(t, again.data, again.len, &restored, &err);
            int32_t after = -1;
            mt_status joined = mt_session_join(s, MT_ROOT, leaf, 9, 0, &after, &err);
            mt_fail_allocation_after(-1);
            mt_buf_free(&out);
            if (status == MT_OK) mt_session_release(t, restored);
            CHECK(saved == MT_OK || saved == MT_ENOMEM, "%s", err.text);
            CHECK((status == MT_OK || status == MT_ENOMEM) && mt_session_free_slots(t) == before, "%s", err.text);
            CHECK(joined == MT_OK ? after == leaf : joined == MT_ENOMEM, "%s", err.text);
            CHECK(mt_live_allocations() == live, "a leak at allocation %d", (int)n);
            done = saved == MT_OK && status == MT_OK && joined == MT_OK;
        }
        mt_buf_free(&state);
        mt_buf_free(&again);
        mt_session_free(s);
        mt_session_free(t);
    }
}

int main(void) {
    mt_model *m = tiny();
    test_forks(m);
    test_cuts(m);
    test_random(m);
    test_caches(m);
    test_states(m);
    mt_model_free(m);
    CASE("nothing is left");
    CHECK(mt_live_allocations() == 0, "%zu blocks", mt_live_allocations());
    return test_end();
}
