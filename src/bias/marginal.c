/* Sums over all tokenizations of a text (marginal.h). */
#include "marginal.h"

#include "tree.h"

mt_status mt_spellings_open_source(const mt_spell_source *source, int32_t vocab, const double *weight,
                                   const uint8_t *text, size_t n, mt_spellings *out, mt_error *err) {
    mt_spell_source src = *source;
    mt_spell *spell = NULL;
    mt_buf spaced = {0};
    mt_status status = MT_OK;
    *out = (mt_spellings){0};
    src.free = true;
    if (n > (size_t)INT32_MAX / 2) return mt_fail(err, MT_ELIMIT, "a text of %zu bytes", n);
    bool space = source->prefix_space && n && !(source->prefix_if_none && text[0] == ' ');
    if (space) {
        MT_TRY_GOTO(mt_buf_byte(&spaced, ' ', err), done);
        MT_TRY_GOTO(mt_buf_add(&spaced, text, n, err), done);
        text = spaced.data;
        out->prefix = 1;
        n++;
    }
    MT_TRY_GOTO(mt_spell_new(&src, vocab, &spell, err), done);
    out->lattice.nodes = (uint32_t)n + 1;
    for (size_t at = 0; at < n; at++) {
        size_t lo = 0, hi = mt_spell_count(spell);
        for (size_t d = 0; at + d < n && lo < hi; d++) {
            mt_spell_narrow(spell, &lo, &hi, d, text[at + d]);
            for (size_t i = lo; i < hi && mt_spell_text(spell, i).n == d + 1; i++) {
                int32_t id = mt_spell_id(spell, i);
                MT_TRY_GOTO(mt_lattice_add(&out->lattice, (uint32_t)at, (uint32_t)(at + d + 1), id,
                                           weight ? weight[id] : 0, err),
                            done);
            }
        }
    }
    status = mt_lattice_finish(&out->lattice, err);
done:
    mt_buf_free(&spaced);
    mt_spell_free(spell);
    if (status) mt_spellings_free(out);
    return status;
}

mt_status mt_spellings_open(mt_tok *t, int32_t vocab, const double *weight, const uint8_t *text, size_t n,
                            mt_spellings *out, mt_error *err) {
    mt_spell_source source;
    *out = (mt_spellings){0};
    MT_TRY(mt_spell_source_of(t, MT_TARGET_ALL, &source, err));
    return mt_spellings_open_source(&source, vocab, weight, text, n, out, err);
}

void mt_spellings_free(mt_spellings *s) {
    mt_lattice_free(&s->lattice);
    *s = (mt_spellings){0};
}

/* ---- sums by position ---- */

enum { ROWS = 64 }; /* evaluated in one pass: their logits are held at once */

/* Sequences that end at a place of the text: one, or all with the same future. */
typedef struct spot {
    int32_t context, before; /* before: the spot's context that it extends; -1: the root itself */
    int32_t parent, token;   /* of the best sequence; parent: a spot, -1: none */
    int32_t next;            /* spot at the same place, -1: none */
    double sum, best;
} spot;

typedef struct summing {
    const mt_spellings *s;
    const mt_lm *lm;
    const mt_marginal_options *options;
    mt_marginal *out;
    spot *spots;
    size_t count, cap;
    int32_t *head; /* by place */
    int32_t *here; /* spots of the place at work */
    size_t here_cap;
    mt_ids made;
    double *row;
    int32_t last; /* the spot that the best sequence ends with */
    mt_error *err;
} summing;

static mt_status add_spot(summing *w, uint32_t at, const spot *from, int32_t index, int32_t token, double logp) {
    if (!(from->sum + logp > -INFINITY)) return MT_OK;
    if (w->count >= INT32_MAX) return mt_fail(w->err, MT_ELIMIT, "too many tokenizations");
    spot child = {.context = -1,
                  .before = from->context,
                  .parent = index,
                  .token = token,
                  .next = w->head[at],
                  .sum = from->sum + logp,
                  .best = from->best + logp};
    MT_TRY(mt_grow((void **)&w->spots, &w->cap, w->count + 1, sizeof *w->spots, w->err));
    w->head[at] = (int32_t)w->count;
    w->spots[w->count++] = child;
    return MT_OK;
}

/* The heaviest of here[0..n) to the front (quickselect by sum). */
static void select_heaviest(summing *w, int32_t *here, size_t n, size_t keep) {
    size_t lo = 0, hi = n;
    while (hi - lo > 1) {
        double pivot = w->spots[here[lo + (hi - lo) / 2]].sum;
        size_t i = lo, j = hi - 1;
        for (;;) {
            while (w->spots[here[i]].sum > pivot) i++;
            while (w->spots[here[j]].sum < pivot) j--;
            if (i >= j) break;
            int32_t swap = here[i];
            here[i++] = here[j];
            here[j--] = swap;
        }
        size_t middle = j + 1 < hi ? j + 1 : hi - 1; /* [lo, middle) >= pivot >= [middle, hi) */
        if (keep <= middle)
            hi = middle;
        else
            lo = middle;
    }
}

static mt_status make_contexts(summing *w, const int32_t *here, size_t n) {
    if (w->made.len + n > (size_t)w->options->limit)
        return mt_fail(w->err, MT_ELIMIT, "the tokenizations of %u bytes take more than %d contexts",
                       w->s->lattice.nodes - 1, w->options->limit);
    MT_TRY(mt_ids_reserve(&w->made, n, w->err));
    int32_t *list = mt_array(n, 3 * sizeof *list);
    if (!list) return mt_nomem(w->err, n * 3 * sizeof *list, "a batch");
    for (size_t i = 0; i < n; i++) {
        list[i] = w->spots[here[i]].before;
        list[n + i] = w->spots[here[i]].token;
    }
    mt_status status = w->lm->extend(w->lm->self, (int32_t)n, list, list + n, list + 2 * n, w->err);
    for (size_t i = 0; i < n && !status; i++) {
        w->spots[here[i]].context = list[2 * n + i];
        w->made.data[w->made.len++] = list[2 * n + i];
    }
    mt_free(list);
    return status;
}

/* Those with the same future become one; the rest is emptied. */
static void merge(summing *w, const int32_t *here, size_t n) {
    for (size_t i = 0; i < n; i++) {
        spot *a = &w->spots[here[i]];
        if (a->sum == -INFINITY) continue;
        int64_t state = w->lm->state(w->lm->self, a->context);
        for (size_t j = i + 1; j < n; j++) {
            spot *b = &w->spots[here[j]];
            if (b->sum == -INFINITY || w->lm->state(w->lm->self, b->context) != state) continue;
            a->sum = mt_log_add(a->sum, b->sum);
            b->sum = -INFINITY;
            if (b->best <= a->best) continue;
            a->best = b->best;
            a->parent = b->parent;
            a->token = b->token;
        }
    }
}

static void finished(summing *w, double sum, double best, int32_t last) {
    w->out->sum = mt_log_add(w->out->sum, sum);
    if (best > w->out->best) {
        w->out->best = best;
        w->last = last;
    }
}

static mt_status go_on(summing *w, uint32_t at, int32_t index) {
    const mt_lattice *l = &w->s->lattice;
    spot from = w->spots[index];
    uint32_t end = l->nodes - 1;
    if (from.sum == -INFINITY) return MT_OK;
    MT_TRY(w->lm->next(w->lm->self, from.context, w->row, w->err));
    if (at == end) {
        double stop = w->lm->end >= 0 ? w->row[w->lm->end] : -INFINITY;
        finished(w, from.sum + stop, from.best + stop, index);
        return MT_OK;
    }
    for (uint32_t e = l->out[at]; e < l->out[at + 1]; e++)
        MT_TRY(add_spot(w, l->edge[e].to, &from, index, l->edge[e].token, w->row[l->edge[e].token]));
    return MT_OK;
}

static mt_status place(summing *w, uint32_t at) {
    size_t n = 0;
    for (int32_t i = w->head[at]; i >= 0; i = w->spots[i].next) {
        MT_TRY(mt_grow((void **)&w->here, &w->here_cap, n + 1, sizeof *w->here, w->err));
        w->here[n++] = i;
    }
    if (at == w->s->lattice.nodes - 1 && !w->options->end) {
        for (size_t i = 0; i < n; i++) finished(w, w->spots[w->here[i]].sum, w->spots[w->here[i]].best, w->here[i]);
        return MT_OK;
    }
    size_t keep = w->options->beam > 0 && !w->lm->state ? (size_t)w->options->beam : n;
    if (keep < n) {
        select_heaviest(w, w->here, n, keep);
        for (size_t i = keep; i < n; i++) w->out->missing = mt_log_add(w->out->missing, w->spots[w->here[i]].sum);
        n = keep;
    }
    if (at == 0) return go_on(w, at, w->here[0]); /* the root's context is there */
    size_t rows = w->lm->state ? n : ROWS;
    for (size_t i = 0; i < n; i += rows) {
        size_t some = n - i < rows ? n - i : rows;
        MT_TRY(make_contexts(w, w->here + i, some));
        if (w->lm->state) merge(w, w->here, n);
        for (size_t k = i; k < i + some; k++) MT_TRY(go_on(w, at, w->here[k]));
    }
    return MT_OK;
}

mt_status mt_marginal_exact(const mt_spellings *s, const mt_lm *lm, const mt_marginal_options *options,
                            mt_marginal *out, mt_error *err) {
    summing w = {.s = s, .lm = lm, .options = options, .out = out, .last = -1, .err = err};
    size_t nodes = s->lattice.nodes;
    mt_status status = MT_OK;
    spot root = {.context = 0, .before = -1, .parent = -1, .token = -1, .next = -1};
    *out = (mt_marginal){.sum = -INFINITY, .missing = -INFINITY, .best = -INFINITY};
    w.head = mt_array(nodes, sizeof *w.head);
    w.row = mt_array((size_t)lm->vocab, sizeof *w.row);
    if (!w.head || !w.row) {
        status = mt_nomem(err, nodes * sizeof *w.head + (size_t)lm->vocab * sizeof *w.row, "a marginal probability");
        goto done;
    }
    memset(w.head, -1, nodes * sizeof *w.head);
    MT_TRY_GOTO(mt_grow((void **)&w.spots, &w.cap, 1, sizeof *w.spots, err), done);
    w.spots[w.count++] = root;
    w.head[0] = 0;
    for (uint32_t at = 0; at < nodes; at++) MT_TRY_GOTO(place(&w, at), done);
    size_t length = 0;
    for (int32_t i = w.last; i > 0; i = w.spots[i].parent) length++;
    MT_TRY_GOTO(mt_ids_reserve(&out->ids, length, err), done);
    out->ids.len = length;
    for (int32_t i = w.last; i > 0; i = w.spots[i].parent) out->ids.data[--length] = w.spots[i].token;
    out->contexts = (int32_t)w.made.len;
done:
    for (size_t i = w.made.len; i-- > 0;) lm->drop(lm->self, w.made.data[i]);
    mt_ids_free(&w.made);
    mt_free(w.spots);
    mt_free(w.head);
    mt_free(w.here);
    mt_free(w.row);
    if (status) mt_marginal_free(out);
    return status;
}

void mt_marginal_free(mt_marginal *m) {
    mt_ids_free(&m->ids);
    *m = (mt_marginal){0};
}
