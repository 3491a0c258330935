/* Products with weights, look-ups, outputs per head, experts. */
#include "grad_common.h"

/* `count` matrices side by side in memory, each a storage of its own. */
static const mt_weight *matrices(grad_case *c, int32_t count, int32_t rows, int32_t cols) {
    mt_error err;
    mt_weight *w = gc_room(c, (size_t)count, sizeof *w);
    for (int32_t i = 0; i < count; i++) {
        gc_storage_of(c, (size_t)rows * (size_t)cols, 1, true);
        gc_storage *s = &c->s[c->count - 1];
        if (mt_weight_new(&w[i], MT_F32, rows, cols, &err) != MT_OK) abort();
        s->weight = &w[i];
        s->key = &w[i];
        gc_put(s);
    }
    return w;
}

static void experts(const char *name, int32_t T, int32_t count, int32_t used, bool gated, bool biased, float limit,
                    bool normalise, mt_act act) {
    grad_case c;
    gc_begin(&c);
    int32_t D = 3, F = 5, out = 4;
    int32_t x = gc_leaf(&c, 1.5f, 2, T, D),
            logits = count > 1 ? gc_leaf(&c, 2, 2, T, count) : gc_const(&c, 2, 2, T, count);
    mt_experts e = {.count = count, .used = used, .limit = limit, .normalise = normalise, .act = act};
    if (gated) e.gate = matrices(&c, count, F, D);
    e.up = matrices(&c, count, F, D);
    e.down = matrices(&c, count, out, F);
    if (biased) {
        if (limit > 0) e.gate_bias = gc_extra(&c, (size_t)(count * F), 1);
        e.up_bias = gc_extra(&c, (size_t)(count * F), 1);
        e.down_bias = gc_extra(&c, (size_t)(count * out), 1);
    }
    gc_check(&c, name, mt_g_experts(c.g, x, logits, &e));
}

int main(void) {
    grad_case c;
    static const struct {
        const char *name;
        int32_t T, K, N;
    } products[] = {{"matmul 3 x 5 x 4", 3, 5, 4},
                    {"matmul of one row", 1, 7, 3},
                    {"matmul of width 1", 4, 1, 1},
                    {"matmul 9 x 17 x 33", 9, 17, 33}};
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        gc_begin(&c);
        int32_t x = gc_leaf(&c, 1, 2, products[i].T, products[i].K), w = gc_weight(&c, products[i].N, products[i].K);
        gc_check(&c, products[i].name, mt_g_matmul(c.g, x, w, gc_leaf(&c, 1, 1, products[i].N)));
    }
    gc_begin(&c);
    int32_t x = gc_leaf(&c, 1, 3, 4, 2, 3), w = gc_weight(&c, 5, 6);
    gc_check(&c, "matmul of heads, without a bias", mt_g_matmul(c.g, x, w, -1));
    gc_begin(&c);
    x = gc_const(&c, 1, 2, 4, 6), w = gc_weight(&c, 5, 6);
    gc_check(&c, "matmul whose input is not trained", mt_g_matmul(c.g, x, w, -1));
    gc_begin(&c);
    x = gc_leaf(&c, 1, 2, 2, 300), w = gc_weight(&c, 1000, 300);
    gc_check(&c, "matmul by more than one block of rows", mt_g_matmul(c.g, x, w, -1));
    gc_begin(&c);
    x = gc_leaf(&c, 1, 2, 2, 5), w = gc_weight(&c, 5, 5);
    gc_check(&c, "matmul twice by the same weight", mt_g_matmul(c.g, mt_g_matmul(c.g, x, w, -1), w, -1));

    gc_begin(&c);
    x = gc_leaf(&c, 1, 3, 3, 2, 5), w = gc_weight(&c, 7, 10);
    gc_check(&c, "head_result", mt_g_head_result(c.g, x, w));
    gc_begin(&c);
    x = gc_leaf(&c, 1, 3, 1, 3, 1), w = gc_weight(&c, 1, 3);
    gc_check(&c, "head_result of width 1", mt_g_head_result(c.g, x, w));
    gc_begin(&c);
    x = gc_leaf(&c, 1, 3, 2, 2, 300), w = gc_weight(&c, 500, 600);
    gc_check(&c, "head_result by more than one block of rows", mt_g_head_result(c.g, x, w));
    gc_begin(&c);
    x = gc_leaf(&c, 1, 3, 3, 2, 5);
    gc_check(&c, "sum_heads", mt_g_sum_heads(c.g, x, gc_leaf(&c, 1, 1, 5)));
    gc_begin(&c);
    x = gc_leaf(&c, 1, 3, 3, 2, 5);
    gc_check(&c, "sum_heads without a bias", mt_g_sum_heads(c.g, x, -1));

    /* Two sequences, tokens that occur several times, tokens that do not. */
    gc_begin(&c);
    gc_sequences(&c, 2, 4, 0, 1, 1, 1, 0, 5, 0);
    gc_check(&c, "embed", mt_g_embed(c.g, gc_weight(&c, 7, 3), 8, 1.5f));
    gc_begin(&c);
    gc_sequences(&c, 1, 1, 0, 1, 1, 1, 0, 5, 0);
    gc_check(&c, "embed of one token, width 1", mt_g_embed(c.g, gc_weight(&c, 5, 1), 1, 1));
    gc_begin(&c);
    gc_sequences(&c, 2, 4, 0, 1, 1, 1, 0, 5, 0);
    gc_check(&c, "position_embed", mt_g_position_embed(c.g, gc_weight(&c, 8, 3), 8, 2));
    gc_begin(&c);
    gc_sequences(&c, 1, 4, 0, 1, 1, 1, 0, 5, 0);
    gc_check(&c, "segment_embed without segments", mt_g_segment_embed(c.g, gc_weight(&c, 2, 3), 4));
    gc_begin(&c);
    gc_sequences(&c, 1, 4, 0, 1, 1, 1, 0, 5, 0);
    c.feed.segment = (const int32_t[]){0, 1, 1, 2};
    gc_check(&c, "segment_embed", mt_g_segment_embed(c.g, gc_weight(&c, 3, 5), 4));
    gc_begin(&c);
    gc_check(&c, "table", mt_g_table(c.g, gc_weight(&c, 4, 3)));

    experts("experts, gated, shares of all", 5, 4, 2, true, false, 0, false, MT_ACT_SILU);
    experts("experts, gated, shares of the chosen", 5, 4, 2, true, false, 0, true, MT_ACT_GELU_TANH);
    experts("experts, plain", 8, 3, 1, false, false, 0, false, MT_ACT_GELU_ERF);
    experts("experts, all used", 2, 2, 2, true, false, 0, true, MT_ACT_TANH);
    experts("experts, one", 2, 1, 1, true, false, 0, false, MT_ACT_SIGMOID);
    experts("experts, more asked for than there are", 2, 2, 5, false, true, 0, true, MT_ACT_SOFTPLUS);
    experts("experts with limits and biases", 5, 4, 2, true, true, 1.5f, true, MT_ACT_SILU);
    experts("experts, more tokens than one block", 131, 2, 1, true, true, 0, false, MT_ACT_RELU2);
    return test_end();
}
