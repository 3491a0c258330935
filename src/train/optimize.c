/* Update rules (train.h). Every element is updated on its own, so the result does not depend on threads; the norm of
 * the gradients is summed in double, in one order. */
#include "variables.h"

#include <math.h>

typedef struct job {
    mt_variable *v;
    const mt_update *u;
    float rate, decay, scale; /* scale: of gradients, for clipping */
    double correction1, correction2;
} job;

static void update(void *arg, int part, int parts) {
    const job *j = arg;
    mt_variable *v = j->v;
    size_t from = v->count * (size_t)part / (size_t)parts, to = v->count * ((size_t)part + 1) / (size_t)parts;
    float *p = v->value, *m = v->moment1, *s = v->moment2, rate = j->rate, decay = j->decay, scale = j->scale;
    const float *g = v->grad;
    float b1 = (float)j->u->beta1, b2 = (float)j->u->beta2, epsilon = (float)j->u->epsilon;
    switch (j->u->rule) {
    case MT_RULE_SGD:
        for (size_t i = from; i < to; i++) {
            float d = g[i] * scale + decay * p[i];
            if (m) {
                m[i] = b1 * m[i] + d;
                d = j->u->nesterov ? d + b1 * m[i] : m[i];
            }
            p[i] -= rate * d;
        }
        break;
    case MT_RULE_ADAM:
    case MT_RULE_ADAMW: {
        bool beside = j->u->rule == MT_RULE_ADAMW;
        float c1 = (float)(rate / j->correction1), c2 = (float)(1 / sqrt(j->correction2));
        float l2 = beside ? 0 : decay, shrink = beside ? 1 - rate * decay : 1;
        for (size_t i = from; i < to; i++) {
            float d = g[i] * scale + l2 * p[i];
            m[i] = b1 * m[i] + (1 - b1) * d;
            s[i] = b2 * s[i] + (1 - b2) * d * d;
            p[i] = shrink * p[i] - c1 * m[i] / (sqrtf(s[i]) * c2 + epsilon);
        }
        break;
    }
    case MT_RULE_LION:
        for (size_t i = from; i < to; i++) {
            float d = g[i] * scale, c = b1 * m[i] + (1 - b1) * d;
            p[i] -= rate * ((c > 0 ? 1.0f : c < 0 ? -1.0f : 0.0f) + decay * p[i]);
            m[i] = b2 * m[i] + (1 - b2) * d;
        }
        break;
    }
    if (j->u->average > 0) {
        float a = (float)j->u->average, *average = v->average;
        for (size_t i = from; i < to; i++) average[i] = a * average[i] + (1 - a) * p[i];
    }
}

static mt_status check(const mt_update *u, mt_error *err) {
    const struct {
        const char *name;
        double value, below;
    } shares[] = {{"beta1", u->beta1, 1}, {"beta2", u->beta2, 1}, {"average", u->average, 1}};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        if (!(shares[i].value >= 0 && shares[i].value < 1))
            return mt_fail(err, MT_ERANGE, "%s is %g, expected 0 or more and less than 1", shares[i].name,
                           shares[i].value);
    if ((unsigned)u->rule > MT_RULE_LION) return mt_fail(err, MT_EUNKNOWN, "an update rule number %d", (int)u->rule);
    if (!(u->rate >= 0) || !isfinite(u->rate)) return mt_fail(err, MT_ERANGE, "the learning rate is %g", u->rate);
    if (!(u->decay >= 0) || !(u->clip >= 0) || !(u->epsilon >= 0))
        return mt_fail(err, MT_ERANGE, "weight decay %g, clip %g, epsilon %g: expected 0 or more", u->decay, u->clip,
                       u->epsilon);
    return MT_OK;
}

mt_status mt_variables_step(mt_variables *vs, mt_pool *pool, const mt_update *u, double *norm, mt_error *err) {
    MT_TRY(check(u, err));
    double square = 0;
    bool adam = u->rule == MT_RULE_ADAM || u->rule == MT_RULE_ADAMW;
    for (int32_t i = 0; i < vs->count; i++) {
        mt_variable *v = vs->list[i];
        if (v->frozen) continue;
        double sum = 0;
        for (size_t k = 0; k < v->count; k++) sum += (double)v->grad[k] * v->grad[k];
        square += sum;
        bool first = adam || u->rule == MT_RULE_LION || u->beta1 > 0;
        MT_TRY(mt_variable_moments(v, first, adam, u->average > 0, err));
    }
    double length = sqrt(square);
    if (norm) *norm = length;
    if (!isfinite(length)) {
        for (int32_t i = 0; i < vs->count; i++)
            for (size_t k = 0; !vs->list[i]->frozen && k < vs->list[i]->count; k++)
                if (!isfinite(vs->list[i]->grad[k]))
                    return mt_fail(err, MT_ESTATE, "the gradient of \"%s\" is not finite: training has diverged",
                                   vs->list[i]->name);
        return mt_fail(err, MT_ESTATE, "the gradients are too large: training has diverged");
    }
    float scale = u->clip > 0 && length > u->clip ? (float)(u->clip / length) : 1;
    for (int32_t i = 0; i < vs->count; i++) {
        mt_variable *v = vs->list[i];
        if (v->frozen) continue;
        v->steps++;
        job j = {.v = v,
                 .u = u,
                 .rate = (float)(u->rate * v->rate),
                 .decay = (float)(u->decay * v->decay),
                 .scale = scale,
                 .correction1 = 1 - pow(u->beta1, (double)v->steps),
                 .correction2 = 1 - pow(u->beta2, (double)v->steps)};
        if (pool && v->count >= 1 << 16)
            mt_pool_run(pool, update, &j);
        else
            update(&j, 0, 1);
    }
    return MT_OK;
}
