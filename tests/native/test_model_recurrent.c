/* A tiny Mamba that the test writes itself: pieces, trees, forks and states that are gone. */
#include "recurrent_common.h"

static void tiny_mamba(gguf_file *f) {
    *f = (gguf_file){0};
    mt_rng_seed(&f->rng, 31);
    key_text(f, "general.architecture", "mamba");
    key_u32(f, "mamba.context_length", 64);
    key_u32(f, "mamba.embedding_length", 16);
    key_u32(f, "mamba.block_count", 2);
    key_u32(f, "mamba.ssm.inner_size", 32);
    key_u32(f, "mamba.ssm.state_size", 4);
    key_u32(f, "mamba.ssm.conv_kernel", 4);
    key_u32(f, "mamba.ssm.time_step_rank", 3);
    tensor(f, "token_embd.weight", MT_F32, V, 16, 1, 0);
    for (int l = 0; l < 2; l++) {
        static const struct {
            const char *name;
            int rows, cols;
            float scale, centre;
        } layer[] = {{"attn_norm.weight", 0, 16, 0.1f, 1},
                     {"ssm_in.weight", 64, 16, 0.3f, 0},
                     {"ssm_conv1d.weight", 32, 4, 0.5f, 0},
                     {"ssm_conv1d.bias", 0, 32, 0.1f, 0},
                     {"ssm_x.weight", 11, 32, 0.3f, 0},
                     {"ssm_dt.weight", 32, 3, 0.5f, 0},
                     {"ssm_dt.bias", 0, 32, 0.5f, -1},
                     {"ssm_a", 32, 4, 0.2f, -1},
                     {"ssm_d", 0, 32, 0.3f, 0},
                     {"ssm_out.weight", 16, 32, 0.3f, 0}};
        for (size_t i = 0; i < sizeof layer / sizeof *layer; i++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%d.%s", l, layer[i].name);
            tensor(f, name, MT_F32, (uint64_t)layer[i].rows, (uint64_t)layer[i].cols, layer[i].scale, layer[i].centre);
        }
    }
    tensor(f, "output_norm.weight", MT_F32, 0, 16, 0.1f, 1);
    finish_file(f);
}

int main(void) {
    gguf_file f;
    mt_model *m = NULL;
    static float whole[T * V], other[T * V];
    tiny_mamba(&f);
    CASE("one by one, in pieces and at once: equal to the last bit");
    CHECK_OK(load_bytes(f.all.data, f.all.len, f.all.len, 1000, &m, &err));
    if (!m) return test_end();
    mt_session *s = fresh(m, 0);
    run(s, ids, T, MT_ROOT, whole);
    mt_session_free(s);
    check_pieces(m, whole);

    CASE("a tree equals its branches evaluated alone, to the last bit");
    check_tree(m);

    CASE("a state that is gone is an error; the decode loop allocates nothing");
    s = fresh(m, 0);
    int32_t slots[T], first[1] = {0};
    CHECK_OK(mt_session_eval(s, &(mt_batch){4, ids, NULL, NULL, NULL, slots}, &err));
    CHECK(mt_session_eval(s, &(mt_batch){1, ids, &slots[1], NULL, NULL, first}, &err) == MT_ESTATE &&
              strstr(err.text, "state"),
          "%s", err.text);
    CHECK(mt_session_free_slots(s) == 60, "%d free", mt_session_free_slots(s));
    int32_t last = run(s, &ids[4], 1, slots[3], other + 4 * V);
    mt_fail_allocation_after(0);
    for (int32_t i = 5; i < T; i++) last = run(s, &ids[i], 1, last, other + i * V);
    mt_fail_allocation_after(-1);
    CHECK(memcmp(whole + 4 * V, other + 4 * V, (T - 4) * V * sizeof *whole) == 0, "the same logits");
    mt_session_free(s);

    CASE("every failing allocation is reported, nothing leaks");
    size_t before = mt_live_allocations();
    for (int64_t n = 0; n < 3000; n++) {
        mt_fail_allocation_after(n);
        s = NULL;
        mt_status status = mt_session_new(m, NULL, &(mt_session_options){64, 3, MT_CACHE_F32}, &s, &err);
        if (status == MT_OK) status = mt_session_eval(s, &(mt_batch){T, ids, NULL, NULL, NULL, NULL}, &err);
        mt_fail_allocation_after(-1);
        mt_session_free(s);
        CHECK(mt_live_allocations() == before, "allocation %lld leaks", (long long)n);
        if (status == MT_OK) break;
        CHECK(status == MT_ENOMEM, "allocation %lld: %s", (long long)n, err.text);
    }
    mt_model_free(m);
    free_file(&f);
    CHECK(mt_live_allocations() == 0, "%zu blocks are left", mt_live_allocations());
    return test_end();
}
