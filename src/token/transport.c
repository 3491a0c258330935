/* Entropic optimal transport (across.h).
 *
 *   f_i = epsilon (ln a_i - LSE_j((g_j - C_ij) / epsilon)),  g likewise,  plan_ij = exp((f_i + g_j - C_ij) / epsilon)
 *
 * After an update of f the rows are right, so that the error is that of the columns. A small epsilon converges slowly
 * from nothing, and quickly from the potentials of twice the epsilon. */
#include "across.h"

#include <math.h>

typedef struct problem {
    const double *cost;
    size_t n, m;
    double *log_a, *log_b, *f, *g;
} problem;

static mt_status masses(const double *given, size_t n, const char *which, double *out, mt_error *err) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(given[i] >= 0) || !isfinite(given[i]))
            return mt_fail(err, MT_ERANGE, "mass %zu of the %s is %g", i, which, given[i]);
        sum += given[i];
    }
    if (!(sum > 0) || !isfinite(sum)) return mt_fail(err, MT_ERANGE, "the masses of the %s sum to %g", which, sum);
    for (size_t i = 0; i < n; i++) out[i] = log(given[i] / sum);
    return MT_OK;
}

/* One side's potentials from the other's. Of an element without mass: -infinity. */
static void update(const problem *p, bool rows, double epsilon) {
    size_t n = rows ? p->n : p->m, m = rows ? p->m : p->n, step = rows ? 1 : p->m;
    double *out = rows ? p->f : p->g, *log_mass = rows ? p->log_a : p->log_b;
    const double *other = rows ? p->g : p->f;
    for (size_t i = 0; i < n; i++) {
        const double *c = p->cost + (rows ? i * p->m : i);
        double top = -INFINITY, sum = 0;
        for (size_t j = 0; j < m; j++) top = fmax(top, other[j] - c[j * step]);
        if (log_mass[i] == -INFINITY) {
            out[i] = -INFINITY;
            continue;
        }
        for (size_t j = 0; j < m; j++) sum += exp((other[j] - c[j * step] - top) / epsilon);
        out[i] = epsilon * (log_mass[i] - log(sum)) - top;
    }
}

static double column_error(const problem *p, double epsilon) {
    double worst = 0;
    for (size_t j = 0; j < p->m; j++) {
        double sum = 0;
        for (size_t i = 0; i < p->n; i++) sum += exp((p->f[i] + p->g[j] - p->cost[i * p->m + j]) / epsilon);
        worst = fmax(worst, fabs(sum - exp(p->log_b[j])));
    }
    return worst;
}

mt_status mt_transport(const double *cost, size_t n, size_t m, const double *a, const double *b,
                       const mt_transport_options *options, double *plan, mt_transported *out, mt_error *err) {
    mt_status status = MT_OK;
    double top = 0;
    *out = (mt_transported){0};
    if (!n || !m) return mt_fail(err, MT_ERANGE, "a cost matrix of %zu rows and %zu columns", n, m);
    if (!(options->epsilon > 0) || !isfinite(options->epsilon))
        return mt_fail(err, MT_ERANGE, "epsilon is %g, more than 0 is needed", options->epsilon);
    for (size_t i = 0; i < n * m; i++) {
        if (!isfinite(cost[i])) return mt_fail(err, MT_ERANGE, "cost %zu of row %zu is %g", i % m, i / m, cost[i]);
        top = fmax(top, fabs(cost[i]));
    }
    double *memory = mt_array(2 * (n + m), sizeof *memory);
    if (!memory) return mt_nomem(err, 2 * (n + m) * sizeof *memory, "potentials");
    problem p = {.cost = cost, .n = n, .m = m, .log_a = memory, .log_b = memory + n, .f = memory + n + m};
    p.g = p.f + n;
    MT_TRY_GOTO(masses(a, n, "rows", p.log_a, err), done);
    MT_TRY_GOTO(masses(b, m, "columns", p.log_b, err), done);
    for (size_t j = 0; j < m; j++) p.g[j] = p.log_b[j] == -INFINITY ? -INFINITY : 0;
    double epsilon = fmax(options->epsilon, top);
    for (;;) {
        bool last = epsilon <= options->epsilon;
        double error = INFINITY;
        uint32_t rounds = last ? options->rounds - out->rounds : 50;
        for (uint32_t r = 0; r < rounds && out->rounds < options->rounds; r++) {
            if (r) update(&p, false, epsilon);
            update(&p, true, epsilon);
            out->rounds++;
            if (r % 8 == 0 && (error = column_error(&p, epsilon)) < (last ? options->tolerance : 1e-2)) break;
        }
        if (last) {
            out->error = column_error(&p, epsilon);
            out->converged = out->error < options->tolerance;
            break;
        }
        epsilon = fmax(options->epsilon, epsilon / 2);
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) {
            double x = exp((p.f[i] + p.g[j] - cost[i * m + j]) / epsilon);
            plan[i * m + j] = x;
            out->cost += x * cost[i * m + j];
        }
done:
    mt_free(memory);
    return status;
}
