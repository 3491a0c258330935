/* Norms, activations, rotations and changes of shape: gradients against differences. */
#include "grad_common.h"

static int32_t vector(grad_case *c, int32_t n) {
    return gc_leaf(c, 1, 1, n);
}

static void norms(void) {
    static const int32_t shape[][2] = {{5, 7}, {1, 1}, {4, 1}, {1, 16}, {3, 21}, {2, 300}};
    for (size_t s = 0; s < sizeof shape / sizeof *shape; s++) {
        int32_t T = shape[s][0], W = shape[s][1];
        for (int with = 0; with < 8; with++) { /* gain, bias, more than 2 dims */
            grad_case c;
            char name[80];
            gc_begin_seed(&c, 10 * s + (uint64_t)with);
            int32_t x = with & 4 ? gc_leaf(&c, 2, 3, T, 1, W) : gc_leaf(&c, 2, 2, T, W);
            int32_t gain = with & 1 ? vector(&c, W) : -1, bias = with & 2 ? vector(&c, W) : -1;
            snprintf(name, sizeof name, "layer norm of %d x %d, flags %d", T, W, with);
            if (W > 1) gc_check(&c, name, mt_g_layer_norm(c.g, x, gain, bias, 0.01f));
            if (W == 1) gc_end(&c); /* its value does not depend on x */
            if (with & 2) continue;
            gc_begin_seed(&c, 10 * s + (uint64_t)with);
            x = with & 4 ? gc_leaf(&c, 2, 3, T, 1, W) : gc_leaf(&c, 2, 2, T, W);
            gain = with & 1 ? vector(&c, W) : -1;
            snprintf(name, sizeof name, "RMS norm of %d x %d, flags %d", T, W, with);
            gc_check(&c, name, mt_g_rms_norm(c.g, x, gain, 0.1f));
        }
        for (int with = 0; with < 8; with++) { /* gain, bias, centred */
            grad_case c;
            char name[80];
            bool centre = with & 4;
            if (centre && W == 1) continue;
            gc_begin_seed(&c, 10 * s + (uint64_t)with);
            int32_t x = gc_leaf(&c, 2, 2, T, W), scale = gc_leaf(&c, 1, 2, T, 1);
            for (int32_t i = 0; i < T; i++) gc_values(&c)[i] += gc_values(&c)[i] < 0 ? -0.5 : 0.5;
            int32_t gain = with & 1 ? vector(&c, W) : -1, bias = with & 2 ? vector(&c, W) : -1;
            snprintf(name, sizeof name, "norm_apply of %d x %d, flags %d", T, W, with);
            gc_check(&c, name, mt_g_norm_apply(c.g, x, scale, centre, gain, bias));
            if (with & 3) continue;
            gc_begin_seed(&c, 10 * s + (uint64_t)with);
            x = gc_leaf(&c, 2, 2, T, W);
            snprintf(name, sizeof name, "norm_scale of %d x %d, centred %d", T, W, centre);
            gc_check(&c, name, mt_g_norm_scale(c.g, x, centre, 0.01f));
            gc_begin_seed(&c, 10 * s + (uint64_t)with);
            x = gc_leaf(&c, 2, 2, T, W);
            scale = mt_g_norm_scale(c.g, x, centre, 0.01f);
            snprintf(name, sizeof name, "a norm in two steps of %d x %d, centred %d", T, W, centre);
            gc_check(&c, name, mt_g_norm_apply(c.g, x, scale, centre, vector(&c, W), vector(&c, W)));
        }
    }
    grad_case c;
    gc_begin(&c);
    int32_t x = gc_leaf(&c, 1, 2, 4, 6), gain = mt_g_act(c.g, vector(&c, 6), MT_ACT_SIGMOID);
    gc_check(&c, "a gain that is computed", mt_g_rms_norm(c.g, x, gain, 0.1f));
    gc_begin(&c);
    x = gc_const(&c, 1, 2, 4, 6);
    gc_check(&c, "only gain and bias are trained", mt_g_layer_norm(c.g, x, vector(&c, 6), vector(&c, 6), 0.1f));
    gc_begin(&c);
    x = gc_leaf(&c, 1, 2, 4, 6);
    gc_check(&c, "the gain is not trained", mt_g_rms_norm(c.g, x, gc_const(&c, 1, 1, 6), 0.1f));
}

static void activations(void) {
    static const char *const names[] = {"silu",         "gelu, tanh", "gelu, erf", "relu",
                                        "squared relu", "tanh",       "sigmoid",   "softplus"};
    for (int act = MT_ACT_SILU; act <= MT_ACT_SOFTPLUS; act++) {
        grad_case c;
        gc_begin_seed(&c, (uint64_t)act);
        int32_t x = gc_leaf(&c, 6, 2, 7, 41); /* more than a block */
        gc_values(&c)[0] = 30;                /* where softplus is linear, both tails */
        gc_values(&c)[3] = -30;
        gc_check(&c, names[act], mt_g_act(c.g, x, (mt_act)act));
    }
    grad_case c;
    gc_begin(&c);
    int32_t x = gc_leaf(&c, 3, 2, 5, 9);
    gc_check(&c, "clamp", mt_g_clamp(c.g, x, 1.3f));
    gc_begin(&c);
    x = gc_leaf(&c, 3, 2, 5, 9);
    gc_check(&c, "softcap", mt_g_softcap(c.g, x, 1.7f));
}

static void arithmetic(void) {
    grad_case c;
    gc_begin(&c);
    int32_t a = gc_leaf(&c, 1, 2, 5, 3), b = gc_leaf(&c, 1, 2, 5, 3);
    gc_check(&c, "add", mt_g_add(c.g, a, b));
    gc_begin(&c);
    a = gc_leaf(&c, 1, 2, 5, 3);
    gc_check(&c, "add to itself", mt_g_add(c.g, a, a));
    gc_begin(&c);
    a = gc_leaf(&c, 1, 2, 5, 3), b = gc_leaf(&c, 1, 3, 5, 1, 3);
    gc_check(&c, "mul", mt_g_mul(c.g, a, b));
    gc_begin(&c);
    a = mt_g_scale(c.g, gc_leaf(&c, 1, 2, 5, 3), 0.5f);
    gc_check(&c, "a square", mt_g_mul(c.g, a, a));
    gc_begin(&c);
    a = gc_leaf(&c, 1, 2, 5, 3);
    gc_check(&c, "mul with a constant", mt_g_mul(c.g, gc_const(&c, 1, 2, 5, 3), a));
    gc_begin(&c);
    a = gc_leaf(&c, 1, 2, 5, 3);
    gc_check(&c, "scale", mt_g_scale(c.g, a, -1.25f));
    gc_begin(&c);
    a = gc_leaf(&c, 1, 2, 5, 3), b = vector(&c, 3);
    gc_check(&c, "add_row", mt_g_add_row(c.g, a, b));
    gc_begin(&c);
    a = gc_leaf(&c, 1, 2, 3, 270), b = vector(&c, 270);
    gc_check(&c, "add_row, wider than a block", mt_g_add_row(c.g, a, b));
    for (int one = 0; one < 2; one++) {
        gc_begin(&c);
        a = gc_leaf(&c, 1, 2, one ? 1 : 5, one ? 1 : 9), b = gc_leaf(&c, 1, 2, one ? 1 : 5, one ? 1 : 9);
        gc_check(&c, "lerp", mt_g_lerp(c.g, a, b, vector(&c, one ? 1 : 9)));
    }
    gc_begin(&c);
    a = gc_leaf(&c, 1, 2, 4, 5), b = gc_const(&c, 1, 2, 4, 5);
    gc_check(&c, "lerp with a share that is computed",
             mt_g_lerp(c.g, b, a, mt_g_act(c.g, vector(&c, 5), MT_ACT_SIGMOID)));
}

static void shapes(void) {
    grad_case c;
    gc_begin(&c);
    int32_t x = gc_leaf(&c, 1, 2, 4, 9);
    gc_check(&c, "slice", mt_g_slice(c.g, x, 2, 5));
    gc_begin(&c);
    x = gc_leaf(&c, 1, 2, 4, 9);
    gc_check(&c, "slices that overlap", mt_g_mul(c.g, mt_g_slice(c.g, x, 0, 6), mt_g_slice(c.g, x, 3, 6)));
    gc_begin(&c);
    x = gc_leaf(&c, 1, 2, 4, 6);
    gc_check(&c, "a copy of a leaf in another shape",
             mt_g_act(c.g, mt_g_view(c.g, x, 3, (int32_t[]){2, 3, 4}), MT_ACT_TANH));
    gc_begin(&c);
    x = gc_leaf(&c, 1, 2, 4, 5);
    c.feed.rows = gc_ids(&c, 6, 4);
    gc_check(&c, "gather_rows, some of them twice", mt_g_gather_rows(c.g, x, 6));
    gc_begin(&c);
    x = gc_leaf(&c, 1, 2, 6, 5);
    gc_sequences(&c, 2, 3, 0, 1, 1, 1, 0, 0, 0);
    gc_check(&c, "sinusoid", mt_g_sinusoid(c.g, x));
}

static void rotations(void) {
    static const int32_t shape[][3] = {
        {2, 8, 8}, {3, 9, 6}, {1, 2, 2}, {2, 70, 64}, {1, 600, 600}}; /* heads, E, dims */
    for (size_t s = 0; s < sizeof shape / sizeof *shape; s++)
        for (int with = 0; with < 4; with++) { /* interleaved, the feed's frequencies */
            int32_t heads = shape[s][0], E = shape[s][1], dims = shape[s][2];
            grad_case c;
            char name[80];
            gc_begin_seed(&c, 10 * s + (uint64_t)with);
            gc_sequences(&c, 2, 3, 0, 1, 1, 1, 0, 0, 0);
            int32_t x = gc_leaf(&c, 1, 3, 6, heads, E), inv_freq = gc_const(&c, 1, 1, dims / 2);
            const float **sets = gc_room(&c, 2, sizeof *sets);
            gc_const(&c, 3, 1, dims / 2);
            sets[1] = gc_values(&c);
            if (with & 2) c.feed.inv_freq = sets;
            snprintf(name, sizeof name, "rope of %d x %d, %d turned, flags %d", heads, E, dims, with);
            gc_check(&c, name, mt_g_rope(c.g, x, inv_freq, 1, dims, with & 1, 1.3f));
        }
}

/* Gradients of one graph that is large enough for the pool, without and with threads: equal to the last bit. */
static void threads(void) {
    CASE("threads change nothing");
    enum { T = 96, W = 256 };
    float *found[3] = {0};
    for (int threads = 1; threads <= 3; threads++) {
        grad_case c;
        mt_error err;
        gc_begin(&c);
        mt_pool *pool = NULL;
        CHECK_OK(mt_pool_new(threads, &pool, &err));
        gc_sequences(&c, 3, 32, 0, 1, 1, 1, 0, 0, 0);
        int32_t *rows = gc_ids(&c, T, T);
        c.feed.rows = rows;
        int32_t x = mt_g_view(c.g, gc_leaf(&c, 1, 2, T, W), 2, (int32_t[]){T, W});
        x = mt_g_layer_norm(c.g, x, vector(&c, W), vector(&c, W), 0.01f);
        x = mt_g_gather_rows(c.g, mt_g_add_row(c.g, x, vector(&c, W)), T);
        x = mt_g_rope(c.g, mt_g_view(c.g, x, 3, (int32_t[]){T, 4, W / 4}), gc_const(&c, 1, 1, W / 8), 0, W / 4, false,
                      1);
        x = mt_g_lerp(c.g, mt_g_act(c.g, mt_g_view(c.g, x, 2, (int32_t[]){T, W}), MT_ACT_GELU_ERF),
                      mt_g_rms_norm(c.g, x, -1, 0.1f), vector(&c, W));
        x = mt_g_norm_apply(c.g, x, mt_g_norm_scale(c.g, x, true, 0.1f), true, vector(&c, W), vector(&c, W));
        x = mt_g_mul(c.g, mt_g_slice(c.g, x, 3, W - 3), mt_g_softcap(c.g, mt_g_slice(c.g, x, 0, W - 3), 2));
        mt_tape *t = NULL;
        CHECK_OK(mt_tape_new(c.g, &(mt_tape_options){.loss = x, .grad = gc_grad_of, .arg = &c}, &t, &err));
        float *scratch = mt_alloc_aligned(mt_tape_scratch(t) * sizeof(float), 64);
        mt_tape_forward(t, pool, scratch, &c.feed);
        mt_tape_backward(t, pool, scratch, &c.feed);
        size_t count = 0;
        for (int32_t i = 0; i < c.count; i++) count += c.s[i].grad ? c.s[i].count : 0;
        float *all = found[threads - 1] = mt_calloc(count, sizeof *all);
        for (int32_t i = 0; i < c.count; i++)
            if (c.s[i].grad) memcpy(all, c.s[i].grad, c.s[i].count * sizeof *all), all += c.s[i].count;
        CHECK(memcmp(found[0], found[threads - 1], count * sizeof *all) == 0, "%d threads", threads);
        mt_free_aligned(scratch);
        mt_tape_free(t);
        mt_pool_free(pool);
        gc_end(&c);
    }
    for (int i = 0; i < 3; i++) mt_free(found[i]);
}

int main(void) {
    norms();
    activations();
    arithmetic();
    shapes();
    rotations();
    threads();
    CASE("nothing leaks");
    CHECK(mt_live_allocations() == 0, "%zu allocations", mt_live_allocations());
    return test_end();
}
