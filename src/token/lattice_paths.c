/* Single paths of a lattice: best, n best, all, samples.
 *
 * n-best and sampling without replacement both grow hypotheses from the end of the text towards its start, always the
 * one with the highest key. For n-best the key is what the best path through the hypothesis scores less than the best
 * path of all, so complete hypotheses come out in order. It is summed edge by edge, and an edge of a best path adds
 * exactly 0: rounding must not tell equals apart, or a search of long texts goes through all of them. For sampling it
 * is a Gumbel variable perturbing the hypothesis' log-probability: drawn top-down, the children's maximum being made
 * equal to the parent's key (Kool, van Hoof & Welling 2019), so that the k highest complete keys are k draws without
 * replacement. */
#include "lattice.h"
#include "../base/heap.h"

#include <math.h>

void mt_paths_free(mt_paths *p) {
    mt_free(p->path);
    mt_ids_free(&p->edge);
    *p = (mt_paths){0};
}

static mt_status begin_path(mt_paths *p, mt_error *err) {
    MT_TRY(mt_grow((void **)&p->path, &p->cap, p->len + 1, sizeof *p->path, err));
    p->path[p->len] = (struct mt_path){p->edge.len, 0, 0, 1};
    return MT_OK;
}

/* The edges since begin_path are the path; `reversed`: last first. */
static void end_path(const mt_lattice *l, mt_paths *p, bool reversed) {
    struct mt_path *path = &p->path[p->len++];
    path->len = p->edge.len - path->first;
    int32_t *e = p->edge.data + path->first;
    for (size_t i = 0, j = path->len; reversed && i + 1 < j; i++) {
        int32_t t = e[i];
        e[i] = e[--j];
        e[j] = t;
    }
    for (size_t i = 0; i < path->len; i++) path->score += l->edge[e[i]].weight;
}

mt_status mt_lattice_tokens(const mt_lattice *l, const mt_paths *p, size_t index, mt_segments *out, mt_error *err) {
    if (index >= p->len) return mt_fail(err, MT_ERANGE, "path %zu of %zu", index, p->len);
    for (size_t i = 0; i < p->path[index].len; i++) {
        const mt_edge *e = &l->edge[p->edge.data[p->path[index].first + i]];
        MT_TRY(mt_segments_add(out, e->token, e->to, err));
    }
    return MT_OK;
}

static mt_status no_path(mt_error *err) {
    return mt_fail(err, MT_EMISSING, "the text has no segmentation");
}

/* Best score from the start to each node, and the edge it came by. */
static void viterbi(const mt_lattice *l, mt_tie tie, double *best, uint32_t *by) {
    best[0] = 0;
    for (uint32_t v = 1; v < l->nodes; v++) {
        best[v] = -INFINITY;
        by[v] = UINT32_MAX;
        for (uint32_t k = l->in[v]; k < l->in[v + 1]; k++) {
            const mt_edge *e = &l->edge[l->in_edge[k]];
            double score = best[e->from] + e->weight;
            if (score > best[v] || (tie == MT_TIE_SHORTEST_LAST && score == best[v] && score > -INFINITY)) {
                best[v] = score;
                by[v] = l->in_edge[k];
            }
        }
    }
}

mt_status mt_lattice_best(const mt_lattice *l, mt_tie tie, mt_paths *out, mt_error *err) {
    double *best = mt_array(l->nodes, sizeof *best);
    uint32_t *by = mt_array(l->nodes, sizeof *by);
    size_t edges = out->edge.len;
    mt_status status = MT_OK;
    if (!best || !by) {
        status = mt_nomem(err, l->nodes * 12, "the best path");
        goto done;
    }
    viterbi(l, tie, best, by);
    if (best[l->nodes - 1] == -INFINITY) {
        status = no_path(err);
        goto done;
    }
    MT_TRY_GOTO(begin_path(out, err), done);
    for (uint32_t v = l->nodes - 1; v > 0; v = l->edge[by[v]].from)
        MT_TRY_GOTO(mt_ids_add(&out->edge, (int32_t)by[v], err), done);
    end_path(l, out, true);
done:
    if (status != MT_OK) out->edge.len = edges;
    mt_free(best);
    mt_free(by);
    return status;
}

/* ---- hypotheses from the end ---- */

typedef struct hypothesis {
    double key, score; /* score: sampling alone: log-probability */
    uint32_t node, edge;
    int32_t next; /* towards the end of the text; -1: none */
} hypothesis;

typedef struct search {
    const mt_lattice *l;
    hypothesis *all;
    size_t len, cap, limit;
    uint32_t *heap; /* best on top */
    size_t heap_len, heap_cap;
    mt_error *err;
} search;

/* Of equal keys the one nearer to the start: it completes first, so that a thousand equal paths cost no more than
 * different ones. Then the older one. */
static bool better(const uint32_t *x, const uint32_t *y, const search *s) {
    const hypothesis *a = &s->all[*x], *b = &s->all[*y];
    if (a->key != b->key) return a->key > b->key;
    if (a->node != b->node) return a->node < b->node;
    return *x < *y;
}
MT_HEAP(heap, uint32_t, const search *, better)

static mt_status push(search *s, hypothesis h) {
    if (s->len >= s->limit)
        return mt_fail(s->err, MT_ELIMIT, "more than %zu hypotheses; ask for fewer paths or raise the limit", s->limit);
    MT_TRY(mt_grow((void **)&s->all, &s->cap, s->len + 1, sizeof h, s->err));
    MT_TRY(mt_grow((void **)&s->heap, &s->heap_cap, s->heap_len + 1, sizeof *s->heap, s->err));
    s->all[s->len] = h;
    heap_push(s->heap, &s->heap_len, (uint32_t)s->len++, s);
    return MT_OK;
}

static mt_status emit(search *s, uint32_t x, mt_paths *out) {
    size_t edges = out->edge.len;
    MT_TRY(begin_path(out, s->err));
    for (int32_t h = (int32_t)x; s->all[h].next >= 0; h = s->all[h].next) {
        mt_status status = mt_ids_add(&out->edge, (int32_t)s->all[h].edge, s->err);
        if (status != MT_OK) {
            out->edge.len = edges;
            return status;
        }
    }
    end_path(s->l, out, false);
    return MT_OK;
}

static size_t limit_of(size_t limit) {
    return limit && limit < INT32_MAX ? limit : limit ? INT32_MAX : (size_t)1 << 24;
}

mt_status mt_lattice_nbest(const mt_lattice *l, size_t k, size_t limit, mt_paths *out, mt_error *err) {
    search s = {.l = l, .limit = limit_of(limit), .err = err};
    double *best = mt_array(l->nodes, sizeof *best);
    uint32_t *by = mt_array(l->nodes, sizeof *by);
    mt_status status = MT_OK;
    if (!best || !by) {
        status = mt_nomem(err, l->nodes * 12, "the best paths");
        goto done;
    }
    viterbi(l, MT_TIE_LONGEST_LAST, best, by);
    if (best[l->nodes - 1] == -INFINITY) goto done;
    MT_TRY_GOTO(push(&s, (hypothesis){0, 0, l->nodes - 1, 0, -1}), done);
    for (size_t found = 0; found < k && s.heap_len;) {
        uint32_t x = heap_pop(s.heap, &s.heap_len, &s), v = s.all[x].node;
        if (v == 0) {
            MT_TRY_GOTO(emit(&s, x, out), done);
            found++;
            continue;
        }
        for (uint32_t i = l->in[v]; i < l->in[v + 1]; i++) {
            const mt_edge *e = &l->edge[l->in_edge[i]];
            double through = best[e->from] + e->weight;
            if (through == -INFINITY) continue;
            MT_TRY_GOTO(
                push(&s, (hypothesis){s.all[x].key - (best[v] - through), 0, e->from, l->in_edge[i], (int32_t)x}),
                done);
        }
    }
done:
    mt_free(best);
    mt_free(by);
    mt_free(s.all);
    mt_free(s.heap);
    return status;
}

mt_status mt_lattice_enumerate(const mt_lattice *l, size_t cap, mt_paths *out, bool *complete, mt_error *err) {
    uint32_t end = l->nodes - 1;
    *complete = true;
    /* Only nodes from which the end can be reached are entered, so that the work is proportional to the output. */
    uint8_t *alive = mt_calloc(l->nodes, 1);
    mt_ids stack = {0};
    mt_status status = MT_OK;
    if (!alive) return mt_nomem(err, l->nodes, "listing paths");
    alive[end] = 1;
    for (size_t i = l->edges; i-- > 0;)
        if (alive[l->edge[i].to]) alive[l->edge[i].from] = 1;
    size_t found = 0;
    uint32_t next = alive[0] ? l->out[0] : UINT32_MAX, v = 0;
    while (next != UINT32_MAX) {
        uint32_t stop = l->out[v + 1];
        if (v == end) {
            if (found == cap) {
                *complete = false;
                break;
            }
            size_t edges = out->edge.len;
            MT_TRY_GOTO(begin_path(out, err), done);
            MT_TRY_GOTO(mt_ids_reserve(&out->edge, stack.len, err), done);
            if (stack.len) memcpy(out->edge.data + edges, stack.data, stack.len * sizeof *stack.data);
            out->edge.len += stack.len;
            end_path(l, out, false);
            found++;
            next = stop;
        }
        while (next < stop && !alive[l->edge[next].to]) next++;
        if (next < stop) { /* forward */
            MT_TRY_GOTO(mt_ids_add(&stack, (int32_t)next, err), done);
            v = l->edge[next].to;
            next = l->out[v];
        } else if (stack.len) { /* back */
            uint32_t e = (uint32_t)stack.data[--stack.len];
            v = l->edge[e].from;
            next = e + 1;
        } else {
            next = UINT32_MAX;
        }
    }
done:
    mt_free(alive);
    mt_ids_free(&stack);
    return status;
}

/* ---- sampling ---- */

static inline double scaled(const mt_edge *e, double theta) {
    return e->weight == -INFINITY ? -INFINITY : theta * e->weight;
}

mt_status mt_lattice_sample(const mt_lattice *l, double theta, size_t k, mt_rng *rng, mt_paths *out, mt_error *err) {
    double *alpha = mt_array(l->nodes, sizeof *alpha);
    mt_status status = MT_OK;
    if (!alpha) return mt_nomem(err, l->nodes * sizeof *alpha, "sampling");
    if (mt_lattice_forward(l, theta, alpha) == -INFINITY) {
        status = no_path(err);
        goto done;
    }
    for (; k; k--) { /* from the end: an edge with probability exp(alpha[from] + theta w - alpha[to]) */
        size_t edges = out->edge.len;
        MT_TRY_GOTO(begin_path(out, err), done);
        for (uint32_t v = l->nodes - 1; v > 0;) {
            double u = mt_rng_double(rng);
            uint32_t chosen = UINT32_MAX;
            for (uint32_t i = l->in[v]; i < l->in[v + 1] && u >= 0; i++) {
                const mt_edge *e = &l->edge[l->in_edge[i]];
                double p = exp(alpha[e->from] + scaled(e, theta) - alpha[v]);
                if (p == 0) continue;
                chosen = l->in_edge[i]; /* rounding may leave u above 0 after the last: that one, then */
                u -= p;
            }
            status = mt_ids_add(&out->edge, (int32_t)chosen, err);
            if (status != MT_OK) {
                out->edge.len = edges;
                goto done;
            }
            v = l->edge[chosen].from;
        }
        end_path(l, out, true);
    }
done:
    mt_free(alpha);
    return status;
}

static double gumbel(mt_rng *rng) {
    double u;
    do u = mt_rng_double(rng);
    while (u == 0);
    return -log(-log(u));
}

/* ln(1 - exp(x)), x <= 0. */
static double log1mexp(double x) {
    return x > -0.6931471805599453 ? log(-expm1(x)) : log1p(-exp(x));
}

mt_status mt_lattice_sample_distinct(const mt_lattice *l, double theta, size_t k, size_t limit, mt_rng *rng,
                                     mt_paths *out, mt_error *err) {
    search s = {.l = l, .limit = limit_of(limit), .err = err};
    size_t first = out->len, most = 0;
    double *alpha = mt_array(l->nodes, sizeof *alpha), *draw = NULL, *log_p = NULL, threshold = -INFINITY;
    mt_status status = MT_OK;
    for (uint32_t v = 0; v < l->nodes; v++)
        if (l->in[v + 1] - l->in[v] > most) most = l->in[v + 1] - l->in[v];
    draw = mt_array(most, sizeof *draw);
    log_p = mt_array(most, sizeof *log_p);
    if (!alpha || !draw || !log_p) {
        status = mt_nomem(err, (l->nodes + 2 * most) * sizeof *alpha, "sampling");
        goto done;
    }
    if (mt_lattice_forward(l, theta, alpha) == -INFINITY) {
        status = no_path(err);
        goto done;
    }
    MT_TRY_GOTO(push(&s, (hypothesis){gumbel(rng), 0, l->nodes - 1, 0, -1}), done);
    while (k && s.heap_len) {
        uint32_t x = heap_pop(s.heap, &s.heap_len, &s), v = s.all[x].node;
        double parent = s.all[x].key, top = -INFINITY;
        if (v == 0) {
            if (out->len - first == k) { /* the first one that is not taken sets the threshold */
                threshold = parent;
                break;
            }
            MT_TRY_GOTO(emit(&s, x, out), done);
            out->path[out->len - 1].inclusion = s.all[x].score; /* ln p, until the threshold is known */
            continue;
        }
        uint32_t begin = l->in[v], count = l->in[v + 1] - begin;
        for (uint32_t i = 0; i < count; i++) {
            const mt_edge *e = &l->edge[l->in_edge[begin + i]];
            log_p[i] = s.all[x].score + (alpha[e->from] + scaled(e, theta) - alpha[v]);
            draw[i] = log_p[i] > -INFINITY ? log_p[i] + gumbel(rng) : -INFINITY;
            top = fmax(top, draw[i]);
        }
        for (uint32_t i = 0; i < count; i++) {
            if (draw[i] == -INFINITY) continue;
            /* truncated so that the largest equals the parent's key */
            double key = parent;
            if (draw[i] < top) {
                double a = parent - draw[i] + log1mexp(draw[i] - top);
                key = parent - fmax(0, a) - log1p(exp(-fabs(a)));
            }
            const mt_edge *e = &l->edge[l->in_edge[begin + i]];
            MT_TRY_GOTO(push(&s, (hypothesis){key, log_p[i], e->from, l->in_edge[begin + i], (int32_t)x}), done);
        }
    }
    for (size_t i = first; i < out->len; i++)
        out->path[i].inclusion = threshold == -INFINITY ? 1 : -expm1(-exp(out->path[i].inclusion - threshold));
done:
    mt_free(alpha);
    mt_free(draw);
    mt_free(log_p);
    mt_free(s.all);
    mt_free(s.heap);
    return status;
}
