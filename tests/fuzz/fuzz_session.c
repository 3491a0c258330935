/* Sequences of calls on a session of a small Llama: append, hold, release, join, save, restore, trace, patch, stop,
 * reset, with allocations that fail. Slots are never lost: what is free and what chains hold is all there is. */
#include "../native/gguf_common.h"
#include "fuzz.h"

enum { SLOTS = 24, LEAVES = 6 };
static mt_model *model;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    mt_error err = {0};
    gguf_file f;
    tiny_llama(&f, MT_F32, NULL);
    DEMAND(ok(load_bytes(f.all.data, f.all.len, f.all.len, f.all.len, &model, &err), &err), "%s", err.text);
    free_file(&f);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    begin_input();
    mt_error err = {0};
    input in = {data, size};
    mt_session *s = NULL;
    DEMAND(ok(mt_session_new(model, NULL, &(mt_session_options){SLOTS, 8, (mt_cache_type)(take(&in) % 3)}, &s, &err),
              &err),
           "%s", err.text);
    int32_t leaf[LEAVES], count = 0; /* held */
    mt_buf state = {0};
    for (int step = 0; in.n && step < 40; step++) {
        uint32_t op = take(&in);
        int32_t which = count ? (int32_t)(op >> 4) % count : 0, at = count ? leaf[which] : MT_ROOT;
        if ((op & 15) > 12) mt_fail_allocation_after(take(&in) % 40);
        switch (op & 15) {
        case 0:
        case 1:
        case 13: { /* append */
            int32_t token[8], parent[8], slot[8], n = 1 + (int32_t)(take(&in) % 8);
            for (int32_t i = 0; i < n; i++)
                token[i] = (int32_t)(take(&in) % (TINY_VOCAB + 2)), parent[i] = i        ? MT_IN_BATCH(i - 1)
                                                                                : op & 1 ? MT_ROOT
                                                                                         : at;
            if (count < LEAVES && ok(mt_session_eval(s, &(mt_batch){n, token, parent, NULL, NULL, slot}, &err), &err) &&
                slot[n - 1] >= 0) {
                mt_session_hold(s, slot[n - 1]);
                leaf[count++] = slot[n - 1];
                const float *logits = mt_session_logits(s, n - 1);
                for (int32_t v = 0; logits && v < TINY_VOCAB; v++) (void)logits[v];
            }
            break;
        }
        case 2:
            if (count) {
                mt_session_release(s, at);
                leaf[which] = leaf[--count];
            }
            break;
        case 3:
        case 14:
            if (count) {
                int32_t made, keep = (int32_t)(take(&in) % 10), head = op & 32 ? MT_ROOT : mt_session_parent(s, at),
                              delta = (int32_t)(take(&in) % 9) - 4;
                if (ok(mt_session_join(s, head, at, keep, delta, &made, &err), &err)) {
                    if (made >= 0)
                        leaf[which] = made;
                    else
                        leaf[which] = leaf[--count];
                }
            }
            break;
        case 4:
        case 15:
            if (count) {
                mt_buf_free(&state);
                state = (mt_buf){0};
                ok(mt_session_save(s, at, &state, &err), &err);
            }
            break;
        case 5:
            if (state.len && count < LEAVES) {
                int32_t made;
                if (ok(mt_session_restore(s, state.data, state.len, &made, &err), &err)) {
                    mt_session_hold(s, made);
                    leaf[count++] = made;
                }
            }
            break;
        case 6: { /* the input as a state */
            int32_t made;
            if (ok(mt_session_restore(s, in.p, in.n, &made, &err), &err) && made >= 0) {
                mt_session_hold(s, made);
                mt_session_release(s, made);
            }
            break;
        }
        case 7: {
            char glob[32] = {0};
            input name = take_bytes(&in, take(&in) % 24);
            for (size_t i = 0; i < name.n; i++) glob[i] = (char)(' ' + name.p[i] % 95); /* names come as text */
            ok(mt_trace_want(s, op & 16 ? "blocks.*" : glob, &err), &err);
            break;
        }
        case 8:
            mt_trace_clear(s);
            break;
        case 9: {
            float value = (float)take(&in) - 100;
            mt_patch p = {.name = op & 16 ? "blocks.0.hook_resid_post" : "blocks.1.attn.hook_pattern",
                          .kind = (mt_patch_kind)(take(&in) % 6),
                          .offset = take(&in) % 50,
                          .count = op & 32 ? SIZE_MAX : take(&in) % 50,
                          .value = &value,
                          .values = 1,
                          .axis = (int32_t)(take(&in) % 3),
                          .seed = op};
            ok(mt_patch_add(s, &p, &err), &err);
            break;
        }
        case 10:
            mt_patch_clear(s);
            break;
        case 11:
            ok(mt_session_stop_at(s, op & 16 ? "blocks.0.hook_mlp_out" : NULL, &err), &err);
            break;
        default:
            mt_session_reset(s);
            count = 0;
        }
        mt_fail_allocation_after(-1);
        bool used[SLOTS] = {0};
        int32_t chain[SLOTS], n = 0;
        for (int32_t i = 0; i < count; i++) {
            int32_t length = mt_session_chain(s, leaf[i], chain);
            DEMAND(length > 0 && length <= SLOTS, "a held leaf has %d tokens", length);
            for (int32_t k = 0; k < length; k++) n += !used[chain[k]], used[chain[k]] = true;
        }
        DEMAND(mt_session_free_slots(s) + n <= SLOTS, "%d free and %d held of %d", mt_session_free_slots(s), n, SLOTS);
        int32_t traced = mt_trace_count(s);
        for (int32_t i = 0; i < traced && i < 4; i++) {
            mt_traced t;
            DEMAND(mt_trace_get(s, i, &t) && t.name && t.data, "trace %d", i);
        }
    }
    for (int32_t i = 0; i < count; i++) mt_session_release(s, leaf[i]);
    mt_buf_free(&state);
    mt_session_free(s);
    end_input();
    return 0;
}
