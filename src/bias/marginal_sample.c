/* Estimates of sums over all tokenizations (marginal.h). */
#include "marginal.h"

#include "tree.h"

enum { ROWS = 64 };

/* ---- many sequences along their trie ---- */

typedef struct lists {
    const mt_lm *lm;
    const int32_t *ids, *start;
    bool end;
    double *out;
    int32_t *order, *scratch; /* sequence numbers, sorted by their ids */
    size_t *common;           /* ids shared with the one before, in that order */
    int32_t *at;              /* context after the ids read so far, in that order */
    int32_t *batch;           /* [3 * ROWS] */
    mt_ids made;
    double *row;
    mt_error *err;
} lists;

static size_t length_of(const lists *l, int32_t i) {
    return (size_t)(l->start[i + 1] - l->start[i]);
}
static bool before(const lists *l, int32_t a, int32_t b) {
    size_t n = length_of(l, a), m = length_of(l, b);
    for (size_t i = 0; i < n && i < m; i++) {
        int32_t x = l->ids[l->start[a] + (int32_t)i], y = l->ids[l->start[b] + (int32_t)i];
        if (x != y) return x < y;
    }
    return n < m;
}
static void sort(lists *l, size_t n) { /* merging runs of 1, 2, 4, ... */
    for (size_t run = 1; run < n; run *= 2) {
        for (size_t lo = 0; lo < n; lo += 2 * run) {
            size_t mid = lo + run < n ? lo + run : n, hi = lo + 2 * run < n ? lo + 2 * run : n, i = lo, j = mid;
            for (size_t k = lo; k < hi; k++)
                l->scratch[k] =
                    i < mid && (j == hi || !before(l, l->order[j], l->order[i])) ? l->order[i++] : l->order[j++];
        }
        memcpy(l->order, l->scratch, n * sizeof *l->order);
    }
}

/* Adds what follows `depth` ids to the sequences [i, end) of one group, whose context's row is read. */
static void credit(lists *l, size_t i, size_t end, size_t depth) {
    for (; i < end; i++) {
        int32_t s = l->order[i];
        if (length_of(l, s) > depth)
            l->out[s] += l->row[l->ids[l->start[s] + (int32_t)depth]];
        else if (length_of(l, s) == depth && l->end)
            l->out[s] += l->lm->end >= 0 ? l->row[l->lm->end] : -INFINITY;
    }
}
static size_t group_end(const lists *l, size_t i, size_t to, size_t depth) {
    for (i++; i < to && l->common[i] >= depth; i++) {
    }
    return i;
}
static bool needs(const lists *l, size_t i, size_t depth) {
    size_t n = length_of(l, l->order[i]);
    return n > depth || (n == depth && l->end);
}

/* Sequences [from, to) in order, depth after depth. */
static mt_status run(lists *l, int32_t root, size_t from, size_t to) {
    bool more = true;
    MT_TRY(l->lm->next(l->lm->self, root, l->row, l->err));
    credit(l, from, to, 0);
    for (size_t i = from; i < to; i++) l->at[i] = root;
    for (size_t depth = 1; more; depth++) {
        more = false;
        for (size_t i = from; i < to;) {
            size_t n = 0, group[ROWS];
            for (; i < to && n < ROWS; i = group_end(l, i, to, depth)) {
                /* the longest of a group comes last: does any of it need the context? */
                if (!needs(l, group_end(l, i, to, depth) - 1, depth)) continue;
                int32_t s = l->order[i];
                l->batch[n] = l->at[i];
                l->batch[ROWS + n] = l->ids[l->start[s] + (int32_t)depth - 1];
                group[n++] = i;
            }
            if (!n) continue;
            more = true;
            MT_TRY(mt_ids_reserve(&l->made, n, l->err));
            int32_t *context = l->batch + 2 * ROWS;
            MT_TRY(l->lm->extend(l->lm->self, (int32_t)n, l->batch, l->batch + ROWS, context, l->err));
            for (size_t k = 0; k < n; k++) l->made.data[l->made.len++] = context[k];
            for (size_t k = 0; k < n; k++) {
                size_t stop = group_end(l, group[k], to, depth);
                MT_TRY(l->lm->next(l->lm->self, context[k], l->row, l->err));
                credit(l, group[k], stop, depth);
                for (size_t j = group[k]; j < stop; j++) l->at[j] = context[k];
            }
        }
    }
    return MT_OK;
}

mt_status mt_score_sequences(const mt_lm *lm, int32_t context, const int32_t *ids, const int32_t *start, size_t count,
                             bool end, int32_t limit, double *out, mt_error *err) {
    if (count > INT32_MAX / 2) return mt_fail(err, MT_ELIMIT, "%zu sequences at once", count);
    if (count == 0) return MT_OK;
    for (size_t i = 0; i < (size_t)start[count]; i++)
        if (ids[i] < 0 || ids[i] >= lm->vocab)
            return mt_fail(err, MT_ERANGE, "id %d is outside 0..%d", ids[i], lm->vocab - 1);
    lists l = {.lm = lm, .ids = ids, .start = start, .end = end, .out = out, .err = err};
    mt_status status = MT_OK;
    l.order = mt_array(count, 3 * sizeof *l.order);
    l.common = mt_array(count, sizeof *l.common);
    l.batch = mt_array(3 * ROWS, sizeof *l.batch);
    l.row = mt_array((size_t)lm->vocab, sizeof *l.row);
    if (!l.order || !l.common || !l.batch || !l.row) {
        status = mt_nomem(err, count * 20, "scores of sequences");
        goto done;
    }
    l.scratch = l.order + count;
    l.at = l.order + 2 * count;
    for (size_t i = 0; i < count; i++) {
        l.order[i] = (int32_t)i;
        out[i] = 0;
    }
    sort(&l, count);
    for (size_t from = 0; from < count;) { /* as many as the limit has room for */
        size_t to = from, contexts = 0;
        while (to < count) {
            size_t n = length_of(&l, l.order[to]), m = 0;
            if (to > from) {
                size_t other = length_of(&l, l.order[to - 1]);
                while (m < n && m < other &&
                       ids[start[l.order[to]] + (int32_t)m] == ids[start[l.order[to - 1]] + (int32_t)m])
                    m++;
            }
            if (contexts + n - m > (size_t)limit) {
                if (to == from) {
                    status = mt_fail(err, MT_ELIMIT, "a sequence of %zu tokens: at most %d contexts", n, limit);
                    goto done;
                }
                break;
            }
            l.common[to] = m;
            contexts += n - m;
            to++;
        }
        status = run(&l, context, from, to);
        for (size_t i = l.made.len; i-- > 0;) lm->drop(lm->self, l.made.data[i]);
        l.made.len = 0;
        if (status) goto done;
        from = to;
        if (from < count && context > 0) { /* the row of the context went with the last pass: the caller's is kept */
            status = mt_fail(err, MT_ELIMIT, "the sequences take more than %d contexts", limit);
            goto done;
        }
    }
done:
    mt_free(l.order);
    mt_free(l.common);
    mt_free(l.batch);
    mt_free(l.row);
    mt_ids_free(&l.made);
    return status;
}

/* ---- importance sampling ---- */

/* The tokens of lattice paths as flat lists. */
static mt_status flatten(const mt_lattice *l, const mt_paths *paths, mt_ids *ids, mt_ids *start, mt_error *err) {
    ids->len = start->len = 0;
    MT_TRY(mt_ids_add(start, 0, err));
    for (size_t k = 0; k < paths->len; k++) {
        for (size_t i = 0; i < paths->path[k].len; i++)
            MT_TRY(mt_ids_add(ids, l->edge[paths->edge.data[paths->path[k].first + i]].token, err));
        if (ids->len > INT32_MAX) return mt_fail(err, MT_ELIMIT, "too many tokens in the samples");
        MT_TRY(mt_ids_add(start, (int32_t)ids->len, err));
    }
    return MT_OK;
}

mt_status mt_marginal_sample(const mt_spellings *s, const mt_lm *lm, double theta, size_t samples, mt_rng *rng,
                             bool end, int32_t limit, double *log_p, double *log_q, mt_error *err) {
    mt_paths paths = {0};
    mt_ids ids = {0}, start = {0};
    double total;
    mt_status status;
    MT_TRY_GOTO(mt_lattice_marginal(&s->lattice, theta, &total, err), done);
    MT_TRY_GOTO(mt_lattice_sample(&s->lattice, theta, samples, rng, &paths, err), done);
    MT_TRY_GOTO(flatten(&s->lattice, &paths, &ids, &start, err), done);
    for (size_t k = 0; k < samples; k++) log_q[k] = theta * paths.path[k].score - total;
    status = mt_score_sequences(lm, 0, ids.data, start.data, samples, end, limit, log_p, err);
done:
    mt_paths_free(&paths);
    mt_ids_free(&ids);
    mt_ids_free(&start);
    return status;
}

/* ---- block by block ---- */

typedef struct block {
    mt_ids ids, start;
    size_t count;
} block;

/* The `most` segmentations of bytes [from, to) with the fewest tokens. */
static mt_status open_block(const mt_lattice *all, uint32_t from, uint32_t to, size_t most, block *out, mt_error *err) {
    mt_lattice l = {.nodes = to - from + 1};
    mt_paths paths = {0};
    mt_status status = MT_OK;
    for (uint32_t v = from; v < to; v++)
        for (uint32_t e = all->out[v]; e < all->out[v + 1]; e++)
            if (all->edge[e].to <= to)
                MT_TRY_GOTO(mt_lattice_add(&l, v - from, all->edge[e].to - from, all->edge[e].token, -1, err), done);
    MT_TRY_GOTO(mt_lattice_finish(&l, err), done);
    MT_TRY_GOTO(mt_lattice_nbest(&l, most, 0, &paths, err), done);
    MT_TRY_GOTO(flatten(&l, &paths, &out->ids, &out->start, err), done);
    out->count = paths.len;
    if (!out->count)
        status = mt_fail(err, MT_EMISSING, "bytes %u to %u of the text have no spelling of their own", from, to);
done:
    mt_paths_free(&paths);
    mt_lattice_free(&l);
    return status;
}

typedef struct walk {
    mt_ids made;
    int32_t context;
} walk;

/* The context after these tokens too; its row is at hand afterwards. */
static mt_status step_on(const mt_lm *lm, walk *w, const int32_t *ids, size_t n, mt_error *err) {
    MT_TRY(mt_ids_reserve(&w->made, n, err));
    for (size_t i = 0; i < n; i++) {
        int32_t context;
        MT_TRY(lm->extend(lm->self, 1, &w->context, &ids[i], &context, err));
        w->made.data[w->made.len++] = w->context = context;
    }
    return MT_OK;
}

mt_status mt_marginal_blocks(const mt_spellings *s, const mt_lm *lm, const uint32_t *cut, size_t cuts, size_t most,
                             size_t samples, mt_rng *rng, bool end, int32_t limit, double *log_p, double *log_q,
                             mt_error *err) {
    uint32_t last = s->lattice.nodes - 1;
    size_t widest = 0;
    mt_status status = MT_OK;
    for (size_t b = 0; b < cuts; b++)
        if (cut[b] <= (b ? cut[b - 1] : 0) || cut[b] > last || (b + 1 == cuts && cut[b] != last))
            return mt_fail(err, MT_ERANGE, "block %zu ends at %u: ends must ascend to %u", b, cut[b], last);
    if (!most) return mt_fail(err, MT_ERANGE, "no segmentations of a block");
    block *blocks = mt_calloc(cuts ? cuts : 1, sizeof *blocks);
    double *score = NULL;
    walk w = {0};
    if (!blocks) return mt_nomem(err, cuts * sizeof *blocks, "blocks");
    for (size_t b = 0; b < cuts; b++) {
        MT_TRY_GOTO(open_block(&s->lattice, b ? cut[b - 1] : 0, cut[b], most, &blocks[b], err), done);
        if (blocks[b].count > widest) widest = blocks[b].count;
    }
    score = mt_array(widest + 1, sizeof *score);
    if (!score) {
        status = mt_nomem(err, (widest + 1) * sizeof *score, "scores");
        goto done;
    }
    for (size_t k = 0; k < samples; k++) {
        log_p[k] = log_q[k] = 0;
        w.context = 0;
        for (size_t b = 0; b < cuts; b++) {
            const block *c = &blocks[b];
            bool final = b + 1 == cuts;
            MT_TRY_GOTO(mt_score_sequences(lm, w.context, c->ids.data, c->start.data, c->count, final && end, limit,
                                           score, err),
                        done);
            double top = -INFINITY, sum = 0;
            for (size_t i = 0; i < c->count; i++) top = score[i] > top ? score[i] : top;
            if (top == -INFINITY) { /* the model excludes all of them */
                log_p[k] = -INFINITY;
                break;
            }
            for (size_t i = 0; i < c->count; i++) sum += exp(score[i] - top);
            double left = mt_rng_double(rng) * sum;
            size_t chosen = 0;
            for (size_t i = 0; i < c->count; i++) {
                double p = exp(score[i] - top);
                if (!(p > 0)) continue;
                chosen = i;
                if ((left -= p) < 0) break;
            }
            log_p[k] += score[chosen];
            log_q[k] += score[chosen] - top - log(sum);
            size_t from = (size_t)c->start.data[chosen], to = (size_t)c->start.data[chosen + 1];
            if (!final) MT_TRY_GOTO(step_on(lm, &w, c->ids.data + from, to - from, err), done);
        }
        for (size_t i = w.made.len; i-- > 0;) lm->drop(lm->self, w.made.data[i]);
        w.made.len = 0;
    }
done:
    for (size_t i = w.made.len; i-- > 0;) lm->drop(lm->self, w.made.data[i]);
    mt_ids_free(&w.made);
    for (size_t b = 0; b < cuts; b++) {
        mt_ids_free(&blocks[b].ids);
        mt_ids_free(&blocks[b].start);
    }
    mt_free(blocks);
    mt_free(score);
    return status;
}
