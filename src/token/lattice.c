/* Lattices: building them, and the sums over all their paths. Sums are in logarithms, each node's terms against their
 * largest, so that nothing overflows and a million-fold difference loses nothing.
 *
 *     tokens a .5, b .3, ab .2;  text "ab":  paths a|b (.15) and ab (.2), marginal ln .35,
 *     posterior of the edge ab .2/.35, entropy -(3/7 ln 3/7 + 4/7 ln 4/7) */
#include "lattice.h"
#include "../base/sort.h"

#include <math.h>

mt_status mt_lattice_add(mt_lattice *l, uint32_t from, uint32_t to, int32_t token, double weight, mt_error *err) {
    if (from >= to || to >= l->nodes)
        return mt_fail(err, MT_ERANGE, "an edge from node %u to %u of %u", from, to, l->nodes);
    if (isnan(weight)) return mt_fail(err, MT_ERANGE, "the edge from node %u to %u weighs NaN", from, to);
    if (l->edges >= INT32_MAX) return mt_fail(err, MT_ELIMIT, "a lattice of more than 2^31 edges");
    MT_TRY(mt_grow((void **)&l->edge, &l->edge_cap, l->edges + 1, sizeof *l->edge, err));
    l->edge[l->edges++] = (mt_edge){from, to, token, weight};
    return MT_OK;
}

static int by_place(const void *a, const void *b, void *unused) {
    const mt_edge *x = a, *y = b;
    (void)unused;
    if (x->from != y->from) return x->from < y->from ? -1 : 1;
    if (x->to != y->to) return x->to < y->to ? -1 : 1;
    return x->token < y->token ? -1 : x->token > y->token;
}

mt_status mt_lattice_finish(mt_lattice *l, mt_error *err) {
    bool sorted = true;
    for (size_t i = 1; i < l->edges && sorted; i++) sorted = by_place(&l->edge[i - 1], &l->edge[i], NULL) <= 0;
    if (!sorted) mt_sort(l->edge, l->edges, sizeof *l->edge, by_place, NULL);
    l->out = mt_calloc((size_t)l->nodes + 1, sizeof *l->out);
    l->in = mt_calloc((size_t)l->nodes + 2, sizeof *l->in);
    l->in_edge = mt_array(l->edges, sizeof *l->in_edge);
    if (!l->out || !l->in || !l->in_edge) return mt_nomem(err, l->nodes * 8 + l->edges * 4, "a lattice");
    for (size_t i = 0; i < l->edges; i++) {
        l->out[l->edge[i].from + 1]++;
        l->in[l->edge[i].to + 2]++;
    }
    for (uint32_t v = 0; v < l->nodes; v++) {
        l->out[v + 1] += l->out[v];
        l->in[v + 2] += l->in[v + 1];
    }
    for (size_t i = 0; i < l->edges; i++) l->in_edge[l->in[l->edge[i].to + 1]++] = (uint32_t)i;
    return MT_OK;
}

void mt_lattice_free(mt_lattice *l) {
    mt_free(l->edge);
    mt_free(l->out);
    mt_free(l->in);
    mt_free(l->in_edge);
    *l = (mt_lattice){0};
}

mt_status mt_lattice_open(mt_lattice *l, const mt_matcher *m, const double *weight, double unknown_weight,
                          const uint8_t *p, size_t n, mt_error *err) {
    *l = (mt_lattice){0};
    if (n >= INT32_MAX) return mt_fail(err, MT_ELIMIT, "a text of more than 2 GiB");
    l->nodes = (uint32_t)n + 1;
    mt_status status = MT_OK;
    for (uint32_t i = 0, next = 0; i < n; i++) {
        if (m->characters && i < next) continue; /* inside a character nothing starts */
        uint32_t symbol = (uint32_t)mt_matcher_symbol(m, p + i, n - i), node = 0;
        bool single = false;
        next = i + symbol;
        for (uint32_t j = i; j < n && (node = mt_trie_step(&m->forward, node, p[j])); j++) {
            int32_t id = m->forward.token[node];
            if (id < 0) continue;
            if (j + 1 == next) single = true;
            MT_TRY_GOTO(mt_lattice_add(l, i, j + 1, id, weight ? weight[id] : 0, err), fail);
        }
        if (!single && m->unknown >= 0) MT_TRY_GOTO(mt_lattice_add(l, i, next, m->unknown, unknown_weight, err), fail);
    }
    MT_TRY_GOTO(mt_lattice_finish(l, err), fail);
    return MT_OK;
fail:
    mt_lattice_free(l);
    return status;
}

mt_status mt_lattice_bpe_pair(void *user, int32_t left, int32_t right, bool *yes, mt_error *err) {
    mt_bpe *b = user;
    MT_TRY(mt_bpe_reachable(b, right, yes, err));
    if (!*yes || left < 0) return MT_OK;
    MT_TRY(mt_bpe_reachable(b, left, yes, err));
    return *yes ? mt_bpe_pair_ok(b, left, right, yes, err) : MT_OK;
}

mt_status mt_lattice_restrict(const mt_lattice *l, mt_pair_allowed allowed, void *user, mt_lattice *out,
                              mt_error *err) {
    *out = (mt_lattice){0};
    uint32_t end = l->nodes - 1;
    /* Edges ordered by (to, from) are in topological order: number 1.. those that do not end the text; the last node is
     * the end.*/
    uint32_t *number = mt_calloc(l->edges, sizeof *number), nodes = 1;
    mt_status status = MT_OK;
    if (!number) return mt_nomem(err, l->edges * sizeof *number, "a lattice of pairs");
    for (uint32_t v = 0; v < end; v++)
        for (uint32_t k = l->in[v]; k < l->in[v + 1]; k++) number[l->in_edge[k]] = nodes++;
    out->nodes = end ? nodes + 1 : 1;
    for (uint32_t e = l->out[0]; end && e < l->out[1]; e++) {
        bool yes = false;
        MT_TRY_GOTO(allowed(user, -1, l->edge[e].token, &yes, err), fail);
        if (!yes) continue;
        uint32_t to = l->edge[e].to == end ? nodes : number[e];
        MT_TRY_GOTO(mt_lattice_add(out, 0, to, l->edge[e].token, l->edge[e].weight, err), fail);
    }
    for (uint32_t v = 1; v < end; v++)
        for (uint32_t k = l->in[v]; k < l->in[v + 1]; k++)
            for (uint32_t e = l->out[v]; e < l->out[v + 1]; e++) {
                bool yes = false;
                MT_TRY_GOTO(allowed(user, l->edge[l->in_edge[k]].token, l->edge[e].token, &yes, err), fail);
                if (!yes) continue;
                uint32_t to = l->edge[e].to == end ? nodes : number[e];
                MT_TRY_GOTO(mt_lattice_add(out, number[l->in_edge[k]], to, l->edge[e].token, l->edge[e].weight, err),
                            fail);
            }
    MT_TRY_GOTO(mt_lattice_finish(out, err), fail);
fail:
    mt_free(number);
    if (status != MT_OK) mt_lattice_free(out);
    return status;
}

mt_status mt_lattice_count(const mt_lattice *l, uint64_t *count, double *log_count, mt_error *err) {
    uint64_t *ways = mt_calloc(l->nodes, sizeof *ways);
    if (!ways) return mt_nomem(err, l->nodes * sizeof *ways, "counting paths");
    ways[0] = 1;
    for (size_t i = 0; i < l->edges; i++) {
        uint64_t *to = &ways[l->edge[i].to];
        if (__builtin_add_overflow(*to, ways[l->edge[i].from], to)) *to = UINT64_MAX;
    }
    *count = ways[l->nodes - 1];
    mt_free(ways);
    if (*count < UINT64_MAX) {
        *log_count = *count ? log((double)*count) : -INFINITY;
        return MT_OK;
    }
    return mt_lattice_marginal(l, 0, log_count, err);
}

/* theta x weight, where 0 x -INFINITY stays forbidden. */
static inline double scaled(const mt_edge *e, double theta) {
    return e->weight == -INFINITY ? -INFINITY : theta * e->weight;
}

double mt_lattice_forward(const mt_lattice *l, double theta, double *alpha) {
    alpha[0] = 0;
    for (uint32_t v = 1; v < l->nodes; v++) {
        double most = -INFINITY, sum = 0;
        for (uint32_t k = l->in[v]; k < l->in[v + 1]; k++) {
            const mt_edge *e = &l->edge[l->in_edge[k]];
            most = fmax(most, alpha[e->from] + scaled(e, theta));
        }
        for (uint32_t k = l->in[v]; k < l->in[v + 1] && most > -INFINITY; k++) {
            const mt_edge *e = &l->edge[l->in_edge[k]];
            sum += exp(alpha[e->from] + scaled(e, theta) - most);
        }
        alpha[v] = most > -INFINITY ? most + log(sum) : -INFINITY;
    }
    return alpha[l->nodes - 1];
}

double mt_lattice_backward(const mt_lattice *l, double theta, double *beta) {
    beta[l->nodes - 1] = 0;
    for (uint32_t v = l->nodes - 1; v-- > 0;) {
        double most = -INFINITY, sum = 0;
        for (uint32_t k = l->out[v]; k < l->out[v + 1]; k++)
            most = fmax(most, scaled(&l->edge[k], theta) + beta[l->edge[k].to]);
        for (uint32_t k = l->out[v]; k < l->out[v + 1] && most > -INFINITY; k++)
            sum += exp(scaled(&l->edge[k], theta) + beta[l->edge[k].to] - most);
        beta[v] = most > -INFINITY ? most + log(sum) : -INFINITY;
    }
    return beta[0];
}

mt_status mt_lattice_marginal(const mt_lattice *l, double theta, double *sum, mt_error *err) {
    double *alpha = mt_array(l->nodes, sizeof *alpha);
    if (!alpha) return mt_nomem(err, l->nodes * sizeof *alpha, "a lattice");
    *sum = mt_lattice_forward(l, theta, alpha);
    mt_free(alpha);
    return MT_OK;
}

mt_status mt_lattice_entropy(const mt_lattice *l, double theta, double *entropy, mt_error *err) {
    double *alpha = mt_array(l->nodes, 2 * sizeof *alpha);
    if (!alpha) return mt_nomem(err, l->nodes * 2 * sizeof *alpha, "a lattice");
    double *h = alpha + l->nodes;
    mt_lattice_forward(l, theta, alpha);
    h[0] = 0;
    for (uint32_t v = 1; v < l->nodes; v++) {
        h[v] = 0;
        if (alpha[v] == -INFINITY) continue;
        for (uint32_t k = l->in[v]; k < l->in[v + 1]; k++) {
            const mt_edge *e = &l->edge[l->in_edge[k]];
            double log_p = alpha[e->from] + scaled(e, theta) - alpha[v];
            if (log_p > -INFINITY) h[v] += exp(log_p) * (h[e->from] - log_p);
        }
    }
    *entropy = h[l->nodes - 1];
    mt_free(alpha);
    return MT_OK;
}

mt_status mt_lattice_posterior(const mt_lattice *l, double theta, double *posterior, mt_error *err) {
    double *alpha = mt_array(l->nodes, 2 * sizeof *alpha);
    if (!alpha) return mt_nomem(err, l->nodes * 2 * sizeof *alpha, "a lattice");
    double *beta = alpha + l->nodes, total = mt_lattice_forward(l, theta, alpha);
    mt_lattice_backward(l, theta, beta);
    for (size_t i = 0; i < l->edges; i++) {
        const mt_edge *e = &l->edge[i];
        double log_p = total > -INFINITY ? alpha[e->from] + scaled(e, theta) + beta[e->to] - total : -INFINITY;
        posterior[i] = exp(log_p);
    }
    mt_free(alpha);
    return MT_OK;
}
