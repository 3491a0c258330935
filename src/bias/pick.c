/* Fewer and fuller passes over the model than one for each byte.
 *
 *   choosing    the mass of a context is known before its row is: a byte is chosen from bounds, and only contexts that
 *               could change the choice are evaluated. Between the ends of tokens nearly all of them are light.
 *   expecting   text that is known, or likely, to follow: the contexts along it are made and evaluated in one pass.
 *               Nothing else changes; when the text comes otherwise, they are forgotten. */
#include "tree.h"

/* ---- choosing ---- */

/* The first context without a row on the way to n: what hangs below it has at most its weight, which is known. */
static mt_node *unknown_top(mt_node *n) {
    while (n->parent && !n->parent->evaluated) n = n->parent;
    return n;
}

/* Masses by next byte as far as they are known, and the largest mass that can be added: known[257]. `shift` is the
 * logarithm that was taken out of all. */
static void known_masses(mt_bytes *b, double known[258], double *shift) {
    double top = -INFINITY, unknown = -INFINITY;
    for (int c = 0; c < 258; c++) known[c] = -INFINITY;
    for (size_t k = 0; k < b->open_count; k++) {
        mt_node *n = b->open[k], *t = unknown_top(n);
        if (n->evaluated) {
            mt_node_add_next(b, n, known);
        } else if (!t->wanted) { /* counted once */
            t->wanted = true;
            unknown = mt_log_add(unknown, t->weight);
        }
    }
    for (size_t i = 0; i < b->waiting_count; i++) b->waiting[i]->wanted = false;
    known[257] = unknown;
    for (int c = 0; c < 258; c++) top = known[c] > top ? known[c] : top;
    for (int c = 0; c < 258; c++) known[c] = top == -INFINITY ? 0 : exp(known[c] - top);
    *shift = top;
}

/* Evaluates the heaviest contexts that are not known, and those that are not much lighter. */
static mt_status refine(mt_bytes *b, mt_error *err) {
    double most = -INFINITY;
    enum { LIGHTER = 8 };
    for (size_t k = 0; k < b->open_count; k++) {
        mt_node *n = b->open[k];
        if (!n->evaluated && unknown_top(n)->weight > most) most = unknown_top(n)->weight;
    }
    for (size_t k = 0; k < b->open_count; k++) {
        mt_node *n = b->open[k];
        n->wanted = !n->evaluated && !(unknown_top(n)->weight < most - log(LIGHTER));
    }
    return mt_tree_evaluate_wanted(b, err);
}

mt_status mt_bytes_pick(mt_bytes *b, const double *r, int32_t *symbol, mt_error *err) {
    double known[258], given[257] = {0}, left = r ? *r : 0, shift;
    if (r && !(*r >= 0 && *r < 1))
        return mt_fail(err, MT_ERANGE, "a random number of %g: expected 0 or more, and less than 1", *r);
    MT_TRY(mt_bytes_trim(b, err));
    MT_TRY(mt_bytes_extend(b, err));
    for (;;) {
        known_masses(b, known, &shift);
        bool open = known[257] > 0;
        double sum = 0;
        int best = 0, second = -1, last = -1;
        for (int c = 0; c < 257; c++) {
            sum += known[c];
            if (known[c] > 0) last = c;
            if (c && known[c] > known[best]) {
                second = best;
                best = c;
            } else if (c && (second < 0 || known[c] > known[second]))
                second = c;
        }
        if (!r && known[best] > 0 && (!open || known[best] > known[second] + known[257])) {
            *symbol = best;
            return MT_OK;
        }
        /* A byte's final share is at least known / (sum + what can be added), which only grows from round to round.
         * Each round hands out what that has grown by. */
        for (int c = 0; r && sum > 0 && c < 257; c++) {
            double share = known[c] / (sum + known[257]), more = share - given[c];
            if (left < more || (!open && c == last)) {
                *symbol = c;
                return MT_OK;
            }
            left -= more > 0 ? more : 0;
            given[c] = share;
        }
        if (!open) return mt_bytes_no_future(b, err);
        MT_TRY(refine(b, err));
    }
}

/* ---- expecting ---- */

static mt_status look(mt_bytes *b, const uint8_t *p, size_t n, mt_error *err) {
    for (size_t i = 0; i < n && b->open_count; i++) MT_TRY(mt_bytes_push_one(b, p[i], err));
    return mt_bytes_extend(b, err);
}

/* A context as it is before the text after it is looked at. */
static mt_status rewind_node(mt_bytes *b, mt_node *n, mt_error *err) {
    n->lo = 0;
    n->hi = mt_spell_count(b->spell);
    n->witness = SIZE_MAX;
    n->extended = false;
    return mt_spell_rewind(b->spell, &n->place, err);
}

mt_status mt_bytes_expect(mt_bytes *b, const uint8_t *p, size_t n, mt_error *err) {
    if (b->target == MT_TARGET_ALL || n == 0) return MT_OK; /* its contexts depend on the probabilities */
    mt_bytes_state before;
    mt_tree_forget_ahead(b, SIZE_MAX);
    MT_TRY(mt_bytes_save(b, b->text.len, &before, err));
    b->looking = true;
    mt_status status = look(b, p, n, err);
    mt_bytes_return(b, &before, NULL); /* cannot fail: the text is the same */
    b->looking = false;
    for (size_t i = 0; i < b->ahead_count && !status; i++) status = rewind_node(b, b->ahead[i], err);
    for (size_t i = 0; i < b->ahead_count; i++) b->ahead[i]->open = false;
    mt_bytes_state_free(b, &before);
    if (!status) status = mt_tree_evaluate(b, err);
    if (status) mt_tree_forget_ahead(b, SIZE_MAX);
    return status;
}

/* The rest of the token that most probably ends the running one, when it has a good share; else nothing. */
static void likely(const mt_bytes *b, mt_str *rest) {
    const double good = 0.6; /* a context more in a pass costs a third of one in a pass of its own where weights are
                                read from memory, nearly as much where they are in the cache */
    double most = -INFINITY, all = -INFINITY;
    *rest = (mt_str){NULL, 0};
    for (size_t k = 0; k < b->open_count; k++) {
        const mt_node *n = b->open[k];
        size_t residual = mt_node_residual(b, n), best = n->hi;
        if (!n->evaluated) {
            if (n->parent->evaluated) all = mt_log_add(all, n->weight);
            continue;
        }
        all = mt_log_add(all, mt_node_mass(n, n->lo, n->hi));
        for (size_t i = n->lo; i < n->hi; i++)
            if (best == n->hi ? n->p[i - n->p_lo] > 0 : n->p[i - n->p_lo] > n->p[best - n->p_lo]) best = i;
        if (best == n->hi || !(mt_node_mass(n, best, best + 1) > most)) continue;
        most = mt_node_mass(n, best, best + 1);
        mt_str t = mt_spell_text(b->spell, best);
        *rest = (mt_str){t.p + residual, t.n - residual};
    }
    if (!(most > all + log(good))) rest->n = 0;
}

/* ---- drawing and scoring ---- */

/* Probabilities to the power of 1/temperature, and of those only the likeliest that make up top_p: in place. */
static void sharpen(double p[257], const mt_byte_choice *how) {
    double top = 0, sum = 0;
    for (int c = 0; c < 257; c++) top = p[c] > top ? p[c] : top;
    for (int c = 0; c < 257; c++) sum += p[c] = p[c] > 0 ? pow(p[c] / top, 1 / how->temperature) : 0;
    double kept = 0, least = 0;
    bool taken[257] = {0};
    while (how->top_p < 1 && kept < how->top_p * sum) {
        int best = -1;
        for (int c = 0; c < 257; c++)
            if (!taken[c] && p[c] > 0 && (best < 0 || p[c] > p[best])) best = c;
        if (best < 0) break;
        taken[best] = true;
        kept += least = p[best];
    }
    for (int c = 0; how->top_p < 1 && c < 257; c++) p[c] = taken[c] && p[c] >= least ? p[c] : 0;
}

mt_status mt_bytes_draw(mt_bytes *b, const mt_byte_choice *how, double r, int32_t *symbol, double *logp,
                        mt_error *err) {
    if (!(how->temperature >= 0) || !isfinite(how->temperature) || !(how->top_p > 0 && how->top_p <= 1))
        return mt_fail(err, MT_ERANGE, "temperature %g and top_p %g: expected 0 or more, and more than 0 up to 1",
                       how->temperature, how->top_p);
    if (!(r >= 0 && r < 1))
        return mt_fail(err, MT_ERANGE, "a random number of %g: expected 0 or more, and less than 1", r);
    bool greedy = how->temperature == 0;
    if (!logp && (greedy || (how->temperature == 1 && how->top_p == 1)))
        return mt_bytes_pick(b, greedy ? NULL : &r, symbol, err);
    mt_next_bytes next;
    mt_str rest;
    MT_TRY(mt_bytes_trim(b, err));
    MT_TRY(mt_bytes_extend(b, err));
    if (b->waiting_count && b->root->evaluated) {
        likely(b, &rest);
        MT_TRY(mt_bytes_expect(b, rest.p, rest.n, err));
    }
    MT_TRY(mt_bytes_next(b, &next, err));
    double p[257], sum = 0;
    int last = 0;
    *symbol = 0;
    for (int c = 0; c < 257; c++) {
        p[c] = exp(next.exact[c]);
        if (p[c] > p[*symbol]) *symbol = c;
    }
    if (!greedy) {
        sharpen(p, how);
        for (int c = 0; c < 257; c++) sum += p[c];
        double left = r * sum;
        *symbol = -1;
        for (int c = 0; c < 257 && *symbol < 0; c++) {
            if (p[c] > 0) last = c;
            if (left < p[c]) *symbol = c;
            left -= p[c];
        }
        if (*symbol < 0) *symbol = last; /* rounding */
    }
    if (logp) *logp = next.exact[*symbol];
    return MT_OK;
}

mt_status mt_bytes_push_scored(mt_bytes *b, const uint8_t *p, size_t n, double *logp, mt_error *err) {
    enum { MOST = 64, ROWS = 1 << 22 }; /* bytes at once: contexts come one a byte, each with a row */
    size_t some = (size_t)(ROWS / b->lm.vocab);
    some = some > MOST ? MOST : some < 1 ? 1 : some;
    mt_next_bytes next;
    for (size_t i = 0; i < n; i++) {
        if (i % some == 0) MT_TRY(mt_bytes_expect(b, p + i, n - i < some ? n - i : some, err));
        mt_status status = mt_bytes_next(b, &next, err);
        if (status && status != MT_ERANGE) return status;
        logp[i] = status ? -INFINITY : next.exact[p[i]]; /* nothing follows a text that cannot be */
        MT_TRY(mt_bytes_push(b, p + i, 1, err));
    }
    return MT_OK;
}
