/* Mixtures of next-byte distributions: models with different vocabularies meet in byte space.
 *
 *   mean        p(c) = sum_m w_m p_m(c)             each model is right with probability w_m, anew at every byte
 *   geometric   p(c) ~ exp(sum_m w_m ln p_m(c))     logarithmic pool; a byte that one model excludes is excluded
 *
 * Proxy tuning is a geometric pool with the weights 1, 1, -1 (base, tuned, untuned). */
#include "bias.h"

#include <math.h>

mt_status mt_bytes_combine(mt_pool_rule rule, int32_t count, const double *log_p, const double *weight, double *out,
                           mt_error *err) {
    if (count < 1) return mt_fail(err, MT_ERANGE, "a mixture of %d models", count);
    if (rule != MT_POOL_MEAN && rule != MT_POOL_GEOMETRIC)
        return mt_fail(err, MT_EUNKNOWN, "pool rule %d: the rules are mean (0) and geometric (1)", (int)rule);
    double sum = 0, mixed[257];
    for (int32_t m = 0; m < count && weight; m++) {
        sum += weight[m];
        if (!isfinite(weight[m]) || (rule == MT_POOL_MEAN && weight[m] < 0))
            return mt_fail(err, MT_ERANGE, "weight %d of the mixture is %g", m, weight[m]);
    }
    if (weight && rule == MT_POOL_MEAN && !(sum > 0)) return mt_fail(err, MT_ERANGE, "the mixture's weights are all 0");
    for (int c = 0; c < 257; c++) {
        double p = 0;
        for (int32_t m = 0; m < count; m++) {
            double w = weight ? (rule == MT_POOL_MEAN ? weight[m] / sum : weight[m]) : 1.0 / count;
            double l = log_p[(size_t)m * 257 + (size_t)c];
            if (w == 0) continue;
            if (rule == MT_POOL_MEAN)
                p += w * exp(l);
            else if (l > -INFINITY)
                p += w * l;
            else
                p = -INFINITY; /* excluded, whatever other models or negative weights say */
            if (rule == MT_POOL_GEOMETRIC && p == -INFINITY) break;
        }
        mixed[c] = rule == MT_POOL_MEAN ? log(p) : p;
    }
    double top = -INFINITY, total = 0;
    for (int c = 0; c < 257; c++) top = mixed[c] > top ? mixed[c] : top;
    if (top == -INFINITY) return mt_fail(err, MT_ERANGE, "the models agree on no next byte");
    for (int c = 0; c < 257; c++) total += exp(mixed[c] - top);
    for (int c = 0; c < 257; c++) out[c] = mixed[c] - top - log(total);
    return MT_OK;
}
