/* Gradients through packed and quantised weights, in float32: as if the weight were what its rows unpack to. Any number
 * of threads gives the same bits. */
#include "kernels_common.h"
#include "tensor/grad.h"

typedef struct wanted {
    const void *key[2];
    float *grad[2];
} wanted;

static float *grad_of(void *arg, const void *storage) {
    const wanted *w = arg;
    for (int i = 0; i < 2; i++)
        if (w->key[i] == storage) return w->grad[i];
    return NULL;
}

/* dx and dw of y = x W', the loss being the sum of y times `share`. */
static void backward(const mt_weight *w, int32_t T, const float *x, const float *share, int threads, float *dx,
                     float *dw) {
    mt_graph *g;
    mt_tape *t = NULL;
    mt_pool *pool = NULL;
    CHECK_OK(mt_graph_new(NULL, NULL, &g, &err));
    mt_node leaf = {.op = MT_OP_VECTOR, .in = {-1, -1, -1, -1}, .n_dims = 2, .dims = {T, w->cols}, .vector = x};
    int32_t input = mt_g_append(g, leaf);
    leaf.vector = share, leaf.dims[1] = w->rows;
    int32_t y = mt_g_matmul(g, input, mt_g_weight(g, w), -1), factor = mt_g_append(g, leaf);
    wanted into = {{x, w}, {dx, dw}};
    memset(dx, 0, (size_t)T * (size_t)w->cols * sizeof *dx);
    memset(dw, 0, (size_t)w->rows * (size_t)w->cols * sizeof *dw);
    CHECK_OK(mt_pool_new(threads, &pool, &err));
    CHECK_OK(
        mt_tape_new(g, &(mt_tape_options){.loss = mt_g_mul(g, y, factor), .grad = grad_of, .arg = &into}, &t, &err));
    float *scratch = t ? mt_alloc_aligned(mt_tape_scratch(t) * sizeof(float), 64) : NULL;
    if (scratch) {
        mt_feed feed = {.T = T};
        mt_tape_forward(t, pool, scratch, &feed);
        mt_tape_backward(t, pool, scratch, &feed);
    }
    mt_free_aligned(scratch);
    mt_tape_free(t);
    mt_pool_free(pool);
    mt_graph_free(g);
}

static void check(uint32_t type, int32_t T, int32_t K, int32_t N) {
    const mt_dtype_info *info = mt_dtype_find(type);
    static char name[64];
    case_end();
    snprintf(name, sizeof name, "gradients through %s, %d x %d x %d", info->name, T, K, N);
    CASE(name);
    mt_weight w;
    size_t k = (size_t)K, n = (size_t)N, rows = (size_t)T;
    CHECK_OK(mt_weight_new(&w, type, N, K, &err));
    float *plain = normals(n * k, 1), *x = normals(rows * k, 1), *share = normals(rows * n, 1);
    uint8_t *blocks = malloc(n * k / info->block * info->bytes);
    info->from_float(plain, blocks, n * k);
    mt_weight_put_rows(NULL, &w, 0, N, blocks);
    for (int32_t r = 0; r < N; r++) mt_weight_row(&w, r, plain + (size_t)r * k);
    float *dx = normals(rows * k, 0), *dw = normals(n * k, 0), *again = normals(rows * k, 0), *more = normals(n * k, 0);
    backward(&w, T, x, share, 1, dx, dw);
    double worst = 0, most = 0;
    for (size_t t = 0; t < rows; t++)
        for (size_t c = 0; c < k; c++) {
            double sum = 0;
            for (size_t r = 0; r < n; r++) sum += (double)share[t * n + r] * plain[r * k + c];
            worst = fmax(worst, fabs(sum - dx[t * k + c])), most = fmax(most, fabs(sum));
        }
    CHECK(worst <= 1e-5 * most, "dx is off by %g of %g", worst, most);
    worst = most = 0;
    for (size_t r = 0; r < n; r++)
        for (size_t c = 0; c < k; c++) {
            double sum = 0;
            for (size_t t = 0; t < rows; t++) sum += (double)share[t * n + r] * x[t * k + c];
            worst = fmax(worst, fabs(sum - dw[r * k + c])), most = fmax(most, fabs(sum));
        }
    CHECK(worst <= 1e-5 * most, "dw is off by %g of %g", worst, most);
    backward(&w, T, x, share, 3, again, more);
    CHECK(differs(dx, again, rows * k) == rows * k, "dx of three threads differs");
    CHECK(differs(dw, more, n * k) == n * k, "dw of three threads differs");
    mt_weight_free(&w);
    free(plain), free(x), free(share), free(blocks), free(dx), free(dw), free(again), free(more);
}

int main(void) {
    static const uint32_t types[] = {MT_F32, MT_F16, MT_BF16, MT_Q8_0, MT_Q4_0, MT_Q4_K};
    mt_rng_seed(&rng, 1);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        int32_t block = (int32_t)mt_dtype_find(types[i])->block, K = block > 1 ? block : 37;
        check(types[i], 1, K, 5);
        check(types[i], 33, 2 * K, 70);
    }
    check(MT_Q8_0, 3, 4096, 150); /* more than one block of unpacked rows */
    return test_end();
}
