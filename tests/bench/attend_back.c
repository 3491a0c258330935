/* What the benchmark runs of attention, forward and backward: linked with the core's objects for WASM. */
#include "tensor/general.h"
#include "tensor/grad.h"

#define EXPORT __attribute__((visibility("default"), used))

static mt_graph *g;
static mt_feed feed;
static mt_back back;
static void *owned[16];
static int count;

static void *own(void *p) {
    return owned[count++] = p;
}
static float *noise(size_t n) {
    static uint32_t s = 1;
    float *p = own(mt_alloc_aligned(n * sizeof(float) + 16, 64));
    for (size_t i = 0; p && i < n; i++) p[i] = (float)(int32_t)(s = s * 1664525 + 1013904223) * 0x1p-31f;
    return p;
}

EXPORT int bench_isa(int isa) {
    return mt_kernels_use((mt_isa)isa, NULL) == MT_OK;
}

/* B sequences of T tokens, H query heads of width E, G key heads. */
EXPORT int bench_new(int B, int T, int H, int G, int E) {
    static const mt_run *runs[1];
    static const int32_t *start[1];
    static void *k[1], *v[1];
    mt_error err;
    int32_t n = B * T, dims[3] = {n, H, E}, at = 0;
    size_t rows = (size_t)n, q_size = rows * (size_t)H * (size_t)E, k_size = rows * (size_t)G * (size_t)E;
    mt_run *run = own(mt_alloc_aligned(rows * sizeof *run, 16));
    int32_t *index = own(mt_alloc_aligned((rows + 1) * sizeof *index, 16));
    int32_t *position = own(mt_alloc_aligned(rows * sizeof *position, 16));
    const float *q = noise(q_size);
    k[0] = noise(k_size), v[0] = noise(k_size);
    if (!run || !index || !position || mt_graph_new(NULL, NULL, &g, &err) != MT_OK) return 0;
    for (int32_t i = 0; i < n; i++) run[i] = (mt_run){i / T * T, i % T + 1}, position[i] = i % T, index[i] = i;
    index[n] = n, runs[0] = run, start[0] = index;
    feed = (mt_feed){.T = n, .position = position, .slot_position = position, .runs = runs, .run_start = start};
    feed.k = k, feed.v = v, feed.slots = n;
    mt_attention a = {.kv_heads = G, .key_width = E, .value_width = E, .scale = 0.2f, .alibi = -1, .sink = -1};
    mt_g_attend(g, mt_g_leaf(g, q, 3, dims), &a);
    if (mt_graph_plan(g, &err) != MT_OK) return 0;
    while (g->nodes[at].op != MT_OP_ATTEND) at++;
    float *scratch = noise(g->scratch);
    back = (mt_back){.g = g, .n = &g->nodes[at], .feed = &feed, .x = {q}};
    back.y = scratch + g->nodes[at].offset, back.dy = noise(q_size), back.dx[0] = noise(q_size);
    back.dk = noise(k_size), back.dv = noise(k_size), back.work = noise(mt_back_attend_work(g, back.n, n));
    mt_graph_run(g, NULL, scratch, &feed);
    for (int i = 0; i < count; i++)
        if (!owned[i]) return 0;
    return 1;
}
EXPORT void bench_forward(int times) {
    for (int i = 0; i < times; i++) mt_graph_run(g, NULL, (float *)back.y - back.n->offset, &feed);
}
EXPORT void bench_back(int times) {
    for (int i = 0; i < times; i++) mt_back_attend(&back);
}
EXPORT void bench_free(void) {
    mt_graph_free(g);
    while (count > 0) mt_free_aligned(owned[--count]);
}
