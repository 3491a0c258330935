/* BPE-dropout (Provilkov, Emelianenko & Voita 2020). The well-known implementations do not agree on its distribution;
 * all four are here under their own names.
 *
 *     "abcd", merges (a,b) (c,d), p = 0.1: both merged with probability (1-p)^2 (1+p) = 0.891 (step) or (1-p)^2 = 0.810
 *     (discard)
 *
 * The step variants drop every mergeable occurrence anew at each step. Only the draws of the pairs that rank before the
 * first survivor are ever looked at, and a dropped draw is forgotten after the step, so draws are made lazily in rank
 * order from a queue and dropped entries return to it: O(n log n / (1 - p)) instead of a scan of the text a step. */
#include "segment.h"
#include "../base/heap.h"

typedef struct node {
    int32_t id; /* -1: merged into its left neighbour */
    uint32_t width;
    int32_t prev, next;
} node;

typedef struct event {
    uint32_t rank, at;
    int32_t left, right, result;
} event;

typedef struct queue {
    event *item;
    size_t len, cap;
} queue;

typedef struct dropper {
    const mt_bpe *b;
    node *node;
    queue heap, aside;
    double p;
    mt_rng *rng;
    mt_error *err;
} dropper;

static bool before(const event *x, const event *y, const void *unused) {
    (void)unused;
    return x->rank != y->rank ? x->rank < y->rank : x->at < y->at;
}
MT_HEAP(heap, event, const void *, before)

static mt_status push(dropper *d, event e) {
    queue *q = &d->heap;
    MT_TRY(mt_grow((void **)&q->item, &q->cap, q->len + 1, sizeof e, d->err));
    heap_push(q->item, &q->len, e, NULL);
    return MT_OK;
}

static mt_status set_aside(dropper *d, event e) {
    MT_TRY(mt_grow((void **)&d->aside.item, &d->aside.cap, d->aside.len + 1, sizeof e, d->err));
    d->aside.item[d->aside.len++] = e;
    return MT_OK;
}

static mt_status put_back(dropper *d) {
    while (d->aside.len) MT_TRY(push(d, d->aside.item[--d->aside.len]));
    return MT_OK;
}

static mt_status push_pair(dropper *d, int32_t at) {
    if (at < 0 || d->node[at].next < 0) return MT_OK;
    event e = {0, (uint32_t)at, d->node[at].id, d->node[d->node[at].next].id, 0};
    e.rank = mt_bpe_rank(d->b, e.left, e.right, &e.result);
    return e.rank == MT_NO_RANK ? MT_OK : push(d, e);
}

static bool fresh(const dropper *d, const event *e) {
    int32_t right = d->node[e->at].next;
    return d->node[e->at].id == e->left && right >= 0 && d->node[right].id == e->right;
}

static bool dropped(dropper *d) {
    return d->p > 0 && mt_rng_double(d->rng) < d->p;
}

static mt_status merge(dropper *d, const event *e) {
    node *left = &d->node[e->at], *right = &d->node[left->next];
    left->id = e->result;
    left->width += right->width;
    right->id = -1;
    left->next = right->next;
    if (left->next >= 0) d->node[left->next].prev = (int32_t)e->at;
    MT_TRY(push_pair(d, left->prev));
    return push_pair(d, (int32_t)e->at);
}

/* A pair is pushed again only when one of its sides changed, and sides only grow: each fresh entry is one occurrence,
 * and each occurrence has one. */
static mt_status step(dropper *d, bool all, bool *done) {
    event survivor = {0};
    bool found = false;
    while (d->heap.len && !found) { /* one occurrence after the other, in (rank, place) order */
        event e = heap_pop(d->heap.item, &d->heap.len, NULL);
        if (!fresh(d, &e)) continue;
        if (dropped(d))
            MT_TRY(set_aside(d, e));
        else {
            survivor = e;
            found = true;
        }
    }
    *done = !found;
    if (!found) return MT_OK;
    /* The pair's other occurrences come next in the queue: draw for them before the merge changes anything. */
    size_t chosen = 0;
    event *list = NULL;
    mt_status status = MT_OK;
    size_t cap = 0;
    while (all && d->heap.len && d->heap.item[0].rank == survivor.rank) {
        event e = heap_pop(d->heap.item, &d->heap.len, NULL);
        if (!fresh(d, &e)) continue;
        if (e.left != survivor.left || e.right != survivor.right || dropped(d)) {
            MT_TRY_GOTO(set_aside(d, e), done);
            continue;
        }
        MT_TRY_GOTO(mt_grow((void **)&list, &cap, chosen + 1, sizeof *list, d->err), done);
        list[chosen++] = e;
    }
    MT_TRY_GOTO(merge(d, &survivor), done);
    for (size_t i = 0; i < chosen; i++)
        if (fresh(d, &list[i])) MT_TRY_GOTO(merge(d, &list[i]), done); /* overlapping ones are stale by now */
    status = put_back(d);
done:
    mt_free(list);
    return status;
}

static mt_status run_steps(dropper *d, bool all) {
    for (bool done = false; !done;) MT_TRY(step(d, all, &done));
    return MT_OK;
}

static mt_status run_requeue(dropper *d) {
    while (d->heap.len) {
        event e = heap_pop(d->heap.item, &d->heap.len, NULL);
        if (dropped(d)) {
            MT_TRY(set_aside(d, e));
            continue;
        }
        MT_TRY(put_back(d)); /* before the entry is known to be good, as in the original */
        /* The original looks the pair that stands there now up again and merges when it gives the same token. */
        int32_t right = d->node[e.at].next, result;
        if (d->node[e.at].id < 0 || right < 0) continue;
        if (mt_bpe_rank(d->b, d->node[e.at].id, d->node[right].id, &result) == MT_NO_RANK || result != e.result)
            continue;
        MT_TRY(merge(d, &e));
    }
    return MT_OK;
}

static mt_status run_discard(dropper *d) {
    while (d->heap.len) {
        event e = heap_pop(d->heap.item, &d->heap.len, NULL);
        if (fresh(d, &e) && !dropped(d)) MT_TRY(merge(d, &e));
    }
    return MT_OK;
}

mt_status mt_bpe_merge_dropout(const mt_bpe *b, mt_dropout kind, double p, mt_rng *rng, int32_t *id, uint32_t *width,
                               size_t *n, mt_error *err) {
    if (!(p >= 0 && p <= 1)) return mt_fail(err, MT_ERANGE, "a dropout probability of %g, expected 0 to 1", p);
    if (*n > INT32_MAX / 2) return mt_fail(err, MT_ELIMIT, "a word of more than 2^30 symbols");
    if (p == 1 || *n < 2) return MT_OK;
    dropper d = {.b = b, .p = p, .rng = rng, .err = err};
    d.node = mt_array(*n, sizeof *d.node);
    if (!d.node) return mt_nomem(err, *n * sizeof *d.node, "a word");
    mt_status status = MT_OK;
    for (size_t i = 0; i < *n; i++)
        d.node[i] = (node){id[i], width[i], (int32_t)i - 1, i + 1 < *n ? (int32_t)i + 1 : -1};
    for (size_t i = 0; i + 1 < *n; i++) MT_TRY_GOTO(push_pair(&d, (int32_t)i), done);
    switch (kind) {
    case MT_DROPOUT_STEP_ALL:
    case MT_DROPOUT_STEP_ONE:
        status = run_steps(&d, kind == MT_DROPOUT_STEP_ALL);
        break;
    case MT_DROPOUT_REQUEUE:
        status = run_requeue(&d);
        break;
    case MT_DROPOUT_DISCARD:
        status = run_discard(&d);
        break;
    default:
        status = mt_fail(err, MT_EUNKNOWN, "dropout variant %d", (int)kind);
    }
    if (status != MT_OK) goto done;
    size_t m = 0;
    for (int32_t i = 0; i >= 0; i = d.node[i].next) {
        id[m] = d.node[i].id;
        width[m++] = d.node[i].width;
    }
    *n = m;
done:
    mt_free(d.node);
    mt_free(d.heap.item);
    mt_free(d.aside.item);
    return status;
}
