/* Gradients of norms in single precision against the formulas in double precision, on rows whose mean is far from 0. */
#include "grad_common.h"

enum { T = 50, W = 203 };

int main(void) {
    for (int centre = 0; centre < 2; centre++) {
        grad_case c;
        mt_error err;
        mt_tape *t = NULL;
        static double dx[T * W], dgain[W], dbias[W];
        const double eps = 1e-5f;
        CASE(centre ? "layer norm" : "RMS norm");
        memset(dgain, 0, sizeof dgain);
        memset(dbias, 0, sizeof dbias);
        gc_begin(&c);
        int32_t x = gc_leaf(&c, 1, 2, T, W);
        float *xs = gc_values(&c);
        for (int i = 0; i < T * W; i++) xs[i] += 30;
        int32_t gain = gc_leaf(&c, 1, 1, W);
        const float *gains = gc_values(&c);
        int32_t bias = gc_leaf(&c, 1, 1, W);
        int32_t y = centre ? mt_g_layer_norm(c.g, x, gain, bias, (float)eps)
                           : mt_g_add_row(c.g, mt_g_rms_norm(c.g, x, gain, (float)eps), bias);
        y = mt_g_mul(c.g, y, gc_const(&c, 1, 2, T, W));
        const float *dy = gc_values(&c);
        for (int r = 0; r < T; r++) {
            double mean = 0, square = 0, sum = 0, along = 0, root;
            const float *a = xs + r * W, *d = dy + r * W;
            for (int i = 0; i < W && centre; i++) mean += a[i] / (double)W;
            for (int i = 0; i < W; i++) square += (a[i] - mean) * (a[i] - mean) / W;
            root = sqrt(square + eps);
            for (int i = 0; i < W; i++) {
                double g = (double)d[i] * gains[i], z = (a[i] - mean) / root;
                sum += g / W, along += g * z / W;
                dgain[i] += d[i] * z, dbias[i] += d[i];
            }
            for (int i = 0; i < W; i++)
                dx[r * W + i] = ((double)d[i] * gains[i] - (centre ? sum : 0) - (a[i] - mean) / root * along) / root;
        }
        CHECK_OK(mt_tape_new(c.g, &(mt_tape_options){.loss = y, .grad = gc_grad_of, .arg = &c}, &t, &err));
        float *scratch = mt_alloc_aligned(mt_tape_scratch(t) * sizeof *scratch, 64);
        mt_tape_forward(t, NULL, scratch, &c.feed);
        mt_tape_backward(t, NULL, scratch, &c.feed);
        const double *expected[] = {dx, dgain, dbias};
        for (int i = 0; i < 3; i++) {
            double most = 0, error = 0;
            for (size_t k = 0; k < c.s[i].count; k++) {
                most = fmax(most, fabs(expected[i][k]));
                error = fmax(error, fabs(c.s[i].grad[k] - expected[i][k]));
            }
            CHECK(error < 5e-6 * most, "storage %d: %.2g of %.2g", i, error, most);
        }
        mt_free_aligned(scratch);
        mt_tape_free(t);
        gc_end(&c);
    }
    return test_end();
}
