/* The memory plan: random graphs give the same values as a run in which no node shares memory with another. */
#include "tensor/graph.h"
#include "test.h"

enum { ROWS = 3, COLS = 5, NODES = 40, VOCAB = 7 };
static mt_error err;

static int want_some(void *arg, const char *name) {
    const uint8_t *kept = arg;
    return kept[atoi(name + 1)] ? MT_WANT_TRACE : MT_WANT_NOT;
}

int main(void) {
    mt_weight w;
    mt_rng rng;
    mt_rng_seed(&rng, 1);
    CASE("values survive as long as they are needed");
    CHECK_OK(mt_weight_new(&w, MT_F32, VOCAB, COLS, &err));
    for (int32_t r = 0; r < VOCAB; r++) {
        float row[COLS];
        for (int i = 0; i < COLS; i++) row[i] = (float)mt_rng_normal(&rng);
        mt_weight_put_rows(NULL, &w, r, 1, row);
    }
    for (int round = 0; round < 400; round++) {
        uint8_t kept[NODES + 1];
        float values[NODES][ROWS * COLS], output[ROWS * COLS], naive[2][ROWS * COLS];
        for (int i = 0; i < NODES; i++) kept[i] = mt_rng_below(&rng, 6) == 0;
        int32_t tokens[ROWS], rows[2] = {2, 0};
        for (int i = 0; i < ROWS; i++) tokens[i] = (int32_t)mt_rng_below(&rng, VOCAB);
        mt_graph *g;
        CHECK_OK(mt_graph_new(want_some, kept, &g, &err));
        int32_t node[NODES];
        node[0] = mt_g_embed(g, mt_g_weight(g, &w), ROWS, 2);
        for (int t = 0; t < ROWS; t++) {
            mt_weight_row(&w, tokens[t], values[0] + t * COLS);
            for (int i = 0; i < COLS; i++) values[0][t * COLS + i] *= 2;
        }
        node[0] = mt_g_name(g, node[0], "n%d", 0);
        for (int i = 1; i < NODES; i++) {
            int a = (int)mt_rng_below(&rng, (uint64_t)i), b = i < 3 ? 0 : i - 1 - (int)mt_rng_below(&rng, 3);
            switch (mt_rng_below(&rng, 5)) {
            case 0:
                node[i] = mt_g_add(g, node[a], node[b]);
                for (int k = 0; k < ROWS * COLS; k++) values[i][k] = values[a][k] + values[b][k];
                break;
            case 1:
                node[i] = mt_g_scale(g, node[b], 0.5f);
                for (int k = 0; k < ROWS * COLS; k++) values[i][k] = values[b][k] * 0.5f;
                break;
            case 2:
                node[i] = mt_g_clamp(g, node[b], 1.5f);
                for (int k = 0; k < ROWS * COLS; k++) values[i][k] = fminf(1.5f, fmaxf(-1.5f, values[b][k]));
                break;
            case 3:
                node[i] = mt_g_copy(g, node[a]);
                memcpy(values[i], values[a], sizeof values[i]);
                break;
            default:
                node[i] = mt_g_act(g, node[b], MT_ACT_RELU);
                for (int k = 0; k < ROWS * COLS; k++) values[i][k] = fmaxf(0, values[b][k]);
            }
            node[i] = mt_g_name(g, node[i], "n%d", i);
        }
        mt_g_output(g, mt_g_gather_rows(g, node[NODES - 1], 2));
        CHECK_OK(mt_graph_plan(g, &err));
        CHECK(g->scratch < (size_t)(NODES + 2) * 16, "%zu floats", g->scratch);
        float *scratch = mt_alloc_aligned(g->scratch * sizeof(float), 64);
        for (size_t i = 0; i < g->scratch; i++) scratch[i] = NAN;
        mt_graph_run(g, NULL, scratch, &(mt_feed){.T = ROWS, .token = tokens, .rows = rows, .output = output});
        for (int r = 0; r < 2; r++)
            memcpy(naive[0] + r * COLS, values[NODES - 1] + rows[r] * COLS, COLS * sizeof(float));
        CHECK(memcmp(naive[0], output, 2 * COLS * sizeof(float)) == 0, "round %d: the output", round);
        for (int32_t n = 0; n < g->count; n++) {
            if (!g->nodes[n].kept) continue;
            CHECK(memcmp(scratch + g->nodes[n].offset, values[atoi(g->nodes[n].name + 1)], sizeof values[0]) == 0,
                  "round %d: %s", round, g->nodes[n].name);
        }
        mt_free_aligned(scratch);
        mt_graph_free(g);
    }

    CASE("mistakes in shapes are reported by the plan");
    mt_graph *g;
    CHECK_OK(mt_graph_new(NULL, NULL, &g, &err));
    int32_t x = mt_g_embed(g, mt_g_weight(g, &w), ROWS, 1);
    x = mt_g_matmul(g, mt_g_gather_rows(g, x, 1), mt_g_weight(g, &w), -1);
    CHECK(mt_g_matmul(g, x, mt_g_weight(g, &w), -1) == -1, "7 is not 5");
    CHECK(mt_graph_plan(g, &err) == MT_ERANGE && strstr(err.text, "matmul"), "%s", err.text);
    mt_graph_free(g);
    mt_weight_free(&w);
    CHECK(mt_live_allocations() == 0, "a leak");
    return test_end();
}
