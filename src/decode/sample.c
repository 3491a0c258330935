/* Samplers (sample.h). A token is a candidate: its id, its logit after the penalties, its weight exp((x - max) / T).
 * Filters shorten the list of candidates; only what is left is ever sorted. */
#include "sample.h"

#include <math.h>

#include "../base/sort.h"

typedef struct candidate {
    int32_t id;
    double x, weight, key; /* key: typical's distance from the entropy */
} candidate;

struct mt_sampler {
    mt_sample_options o;
    int32_t vocab;
    mt_rng rng;
    candidate *list; /* [vocab] */
    /* The last tokens: how often each occurs, which occur at all, and the order in which they leave. */
    int32_t *count, *seen, *seen_at; /* [vocab] */
    int32_t seen_count;
    int32_t *ring; /* [last_n] */
    int32_t ring_at, ring_used;
};

mt_sample_options mt_sample_defaults(void) {
    return (mt_sample_options){.temperature = 1, .typical = 1, .top_p = 1, .repeat = 1, .last_n = 64};
}

static mt_status check(const mt_sample_options *o, mt_error *err) {
    const struct {
        const char *name;
        double value, least, most;
    } limits[] = {{"temperature", o->temperature, 0, 1e9},
                  {"top_k", o->top_k, 0, INT32_MAX},
                  {"typical", o->typical, 0, 1},
                  {"top_p", o->top_p, 0, 1},
                  {"min_p", o->min_p, 0, 1},
                  {"repeat", o->repeat, 1e-3, 1e3},
                  {"presence", o->presence, -1e3, 1e3},
                  {"frequency", o->frequency, -1e3, 1e3},
                  {"last_n", o->last_n, -1, (double)(1 << 24)}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (!(limits[i].value >= limits[i].least && limits[i].value <= limits[i].most))
            return mt_fail(err, MT_ERANGE, "sampling: %s is %g, expected %g to %g", limits[i].name, limits[i].value,
                           limits[i].least, limits[i].most);
    return MT_OK;
}

static bool penalizes(const mt_sample_options *o) {
    return o->last_n != 0 && (o->repeat != 1 || o->presence != 0 || o->frequency != 0);
}

mt_status mt_sampler_new(int32_t vocab, const mt_sample_options *o, mt_sampler **out, mt_error *err) {
    if (vocab < 1) return mt_fail(err, MT_ERANGE, "sampling: a vocabulary of %d tokens", vocab);
    MT_TRY(check(o, err));
    mt_sampler *s = mt_calloc(1, sizeof *s);
    if (!s) return mt_nomem(err, sizeof *s, "a sampler");
    s->o = *o;
    s->vocab = vocab;
    mt_rng_seed(&s->rng, o->seed);
    size_t n = (size_t)vocab;
    bool whole = (s->list = mt_array(n, sizeof *s->list)) != NULL;
    if (penalizes(o)) {
        s->count = mt_calloc(n, sizeof *s->count);
        s->seen = mt_array(n, sizeof *s->seen);
        s->seen_at = mt_array(n, sizeof *s->seen_at);
        s->ring = mt_array(o->last_n > 0 ? (size_t)o->last_n : 0, sizeof *s->ring);
        whole = whole && s->count && s->seen && s->seen_at && s->ring;
    }
    if (!whole) {
        mt_sampler_free(s);
        return mt_nomem(err, n * sizeof *s->list, "a sampler's candidates");
    }
    *out = s;
    return MT_OK;
}

void mt_sampler_free(mt_sampler *s) {
    if (!s) return;
    mt_free(s->list);
    mt_free(s->count);
    mt_free(s->seen);
    mt_free(s->seen_at);
    mt_free(s->ring);
    mt_free(s);
}

/* ---- what was said ---- */

static void leave(mt_sampler *s, int32_t id) {
    if (--s->count[id]) return;
    int32_t last = s->seen[--s->seen_count];
    s->seen[s->seen_at[id]] = last;
    s->seen_at[last] = s->seen_at[id];
}

static void enter(mt_sampler *s, int32_t id) {
    if (s->count[id]++) return;
    s->seen_at[id] = s->seen_count;
    s->seen[s->seen_count++] = id;
}

mt_status mt_sampler_accept(mt_sampler *s, const int32_t *token, size_t count, mt_error *err) {
    for (size_t i = 0; i < count; i++)
        if (token[i] < 0 || token[i] >= s->vocab)
            return mt_fail(err, MT_ERANGE, "token %zu of the text is %d, expected 0 to %d", i, token[i], s->vocab - 1);
    for (size_t i = 0; s->count && i < count; i++) {
        enter(s, token[i]);
        if (s->o.last_n < 0) continue;
        if (s->ring_used == s->o.last_n)
            leave(s, s->ring[s->ring_at]);
        else
            s->ring_used++;
        s->ring[s->ring_at] = token[i];
        s->ring_at = s->ring_at + 1 == s->o.last_n ? 0 : s->ring_at + 1;
    }
    return MT_OK;
}

void mt_sampler_forget(mt_sampler *s) {
    while (s->seen_count) s->count[s->seen[--s->seen_count]] = 0;
    s->ring_at = s->ring_used = 0;
}

/* ---- the law ---- */

/* Likelier first, the smaller id of equals. */
static bool before(const candidate *a, const candidate *b) {
    return a->x > b->x || (a->x == b->x && a->id < b->id);
}
static int by_rank(const void *a, const void *b, void *context) {
    (void)context;
    return before(a, b) ? -1 : before(b, a);
}
static int by_key(const void *a, const void *b, void *context) {
    const candidate *p = a, *q = b;
    return p->key < q->key ? -1 : p->key > q->key ? 1 : by_rank(a, b, context);
}
static int by_id(const void *a, const void *b, void *context) {
    (void)context;
    int32_t p = ((const candidate *)a)->id, q = ((const candidate *)b)->id;
    return p < q ? -1 : p > q;
}

/* The k best to the front: a heap of k whose root is the worst of them, in place. */
static void sift(candidate *heap, int32_t k, int32_t i) {
    for (int32_t child; (child = 2 * i + 1) < k; i = child) {
        if (child + 1 < k && before(&heap[child], &heap[child + 1])) child++;
        if (!before(&heap[i], &heap[child])) return;
        candidate t = heap[i];
        heap[i] = heap[child];
        heap[child] = t;
    }
}
static int32_t top_k(candidate *list, int32_t n, int32_t k) {
    if (k <= 0 || k >= n) return n;
    for (int32_t i = k / 2; i-- > 0;) sift(list, k, i);
    for (int32_t i = k; i < n; i++)
        if (before(&list[i], &list[0])) {
            list[0] = list[i];
            sift(list, k, 0);
        }
    return k;
}

static double sum_weights(const candidate *list, int32_t n) {
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += list[i].weight;
    return sum;
}

static int32_t typical(candidate *list, int32_t n, double share) {
    if (share >= 1) return n;
    double total = sum_weights(list, n), entropy = 0, mass = 0;
    for (int32_t i = 0; i < n; i++) {
        double p = list[i].weight / total;
        list[i].key = p > 0 ? -log(p) : INFINITY;
        if (p > 0) entropy += p * list[i].key;
    }
    for (int32_t i = 0; i < n; i++) list[i].key = fabs(list[i].key - entropy);
    mt_sort(list, (size_t)n, sizeof *list, by_key, NULL);
    int32_t kept = 0;
    while (kept < n && mass <= share * total) mass += list[kept++].weight;
    return kept;
}

static int32_t top_p(candidate *list, int32_t n, double share) {
    if (share >= 1) return n;
    double total = sum_weights(list, n), mass = 0, most = 0;
    for (int32_t i = 0; i < n; i++)
        if (list[i].weight > most) most = list[i].weight;
    /* A token below (1 - share) / (n - 1) of the mass, with all that are worse, is less than 1 - share: it is not among
     * the likeliest that reach `share`. What is left is small enough to sort. The best one stays. */
    double floor = n > 1 ? (1 - share) / (n - 1) * total * (1 - 1e-9) : 0;
    if (floor > most) floor = most;
    int32_t kept = 0, left = 0;
    for (int32_t i = 0; i < n; i++)
        if (list[i].weight >= floor) list[left++] = list[i];
    mt_sort(list, (size_t)left, sizeof *list, by_rank, NULL);
    while (kept < left && (kept == 0 || mass < share * total)) mass += list[kept++].weight;
    return kept;
}

static int32_t min_p(candidate *list, int32_t n, double share) {
    if (share <= 0) return n;
    double most = 0;
    int32_t kept = 0;
    for (int32_t i = 0; i < n; i++)
        if (list[i].weight > most) most = list[i].weight;
    for (int32_t i = 0; i < n; i++)
        if (list[i].weight >= share * most) list[kept++] = list[i];
    return kept;
}

/* Fills s->list with what may be drawn, by id; *total is the sum of its weights. */
static mt_status candidates(mt_sampler *s, const float *logits, int32_t *count, double *total, mt_error *err) {
    const mt_sample_options *o = &s->o;
    candidate *list = s->list;
    for (int32_t i = 0; i < s->vocab; i++) {
        if (isnan(logits[i])) return mt_fail(err, MT_ERANGE, "the logit of token %d is not a number", i);
        list[i] = (candidate){.id = i, .x = logits[i]};
    }
    for (int32_t i = 0; i < s->seen_count; i++) {
        candidate *c = &list[s->seen[i]];
        c->x = c->x > 0 ? c->x / o->repeat : c->x * o->repeat;
        c->x -= o->frequency * s->count[c->id] + o->presence;
    }
    int32_t best = 0, n = s->vocab;
    for (int32_t i = 1; i < n; i++)
        if (list[i].x > list[best].x) best = i;
    double top = list[best].x;
    if (top == -INFINITY) return mt_fail(err, MT_ERANGE, "all of %d logits are -infinity: nothing can be drawn", n);
    if (o->temperature == 0) {
        list[0] = list[best];
        list[0].weight = *total = 1;
        *count = 1;
        return MT_OK;
    }
    for (int32_t i = 0; i < n; i++) {
        double x = list[i].x;
        list[i].weight = x == top ? 1 : top == INFINITY ? 0 : exp((x - top) / o->temperature);
    }
    n = top_k(list, n, o->top_k);
    n = typical(list, n, o->typical);
    n = top_p(list, n, o->top_p);
    n = min_p(list, n, o->min_p);
    if (n < s->vocab || o->typical < 1 || o->top_p < 1) mt_sort(list, (size_t)n, sizeof *list, by_id, NULL);
    *total = sum_weights(list, n);
    *count = n;
    return MT_OK;
}

mt_status mt_sampler_law(mt_sampler *s, const float *logits, double *p, mt_error *err) {
    int32_t n;
    double total;
    MT_TRY(candidates(s, logits, &n, &total, err));
    for (int32_t i = 0; i < s->vocab; i++) p[i] = 0;
    for (int32_t i = 0; i < n; i++) p[s->list[i].id] = s->list[i].weight / total;
    return MT_OK;
}

static double log_probability(const float *logits, int32_t n, int32_t id) {
    double top = -INFINITY, sum = 0;
    for (int32_t i = 0; i < n; i++)
        if (logits[i] > top) top = logits[i];
    for (int32_t i = 0; i < n; i++) sum += exp(logits[i] - top);
    return (logits[id] - top) - log(sum);
}

mt_status mt_sampler_draw(mt_sampler *s, const float *logits, int32_t *token, double *log_prob, mt_error *err) {
    int32_t n, chosen = 0;
    double total, reached = 0;
    MT_TRY(candidates(s, logits, &n, &total, err));
    if (s->o.temperature > 0) {
        double u = mt_rng_double(&s->rng) * total;
        for (int32_t i = 0; i < n; i++) { /* rounding may leave u at the very end: the last possible one */
            if (s->list[i].weight == 0) continue;
            chosen = i;
            reached += s->list[i].weight;
            if (reached > u) break;
        }
    }
    *token = s->list[chosen].id;
    if (log_prob) *log_prob = log_probability(logits, s->vocab, *token);
    return MT_OK;
}
