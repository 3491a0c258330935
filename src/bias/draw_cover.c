/* One cover encoding of the text so far, drawn with its probability.
 *
 * Every text that starts with x starts with exactly one element of cover(x). To go on from x as the model would is
 * therefore: draw a cover with probability P(cover) / Pr(x), then sample tokens as always (Vieira et al. 2025 call it
 * conditional token generation). Only one context stays, and what follows costs what plain token sampling costs. */
#include "tree.h"

/* The tokens of the context, first to last, then the last one that reaches or passes the text's end. */
static mt_status spell_out(mt_bytes *b, const mt_node *n, size_t rank, mt_ids *out, mt_error *err) {
    size_t depth = 0;
    for (const mt_node *p = n; p->parent; p = p->parent) depth++;
    out->len = 0;
    MT_TRY(mt_ids_reserve(out, depth + 1, err));
    out->len = depth + 1;
    out->data[depth] = mt_spell_id(b->spell, rank);
    for (const mt_node *p = n; p->parent; p = p->parent) out->data[--depth] = mt_spell_id(b->spell, (size_t)p->rank);
    return MT_OK;
}

mt_status mt_bytes_draw_cover(mt_bytes *b, double u, mt_ids *out, double *logp, mt_error *err) {
    double total, missing;
    if (!(u >= 0 && u < 1)) return mt_fail(err, MT_ERANGE, "a draw at %g: numbers are in [0, 1)", u);
    out->len = 0;
    *logp = 0;
    if (!mt_bytes_length(b)) return MT_OK; /* nothing to cover */
    MT_TRY(mt_bytes_score(b, &total, &missing, err));
    if (total == -INFINITY) return mt_fail(err, MT_ERANGE, "the text has no spelling, or none with a probability");
    /* Two passes over the live contexts would do with one, but rounding must not leave u behind the last of them: the
     * last one with any mass catches it. */
    const mt_node *n = NULL;
    double left = u, share = 0;
    for (size_t k = 0; k < b->open_count; k++) {
        const mt_node *c = b->open[k];
        if (c->end >= b->text.len || !c->evaluated) continue;
        double mass = exp(mt_node_mass(c, c->lo, c->hi) - total);
        if (!(mass > 0)) continue;
        if (n) left -= share;
        n = c;
        share = mass;
        if (left < share) break;
    }
    if (!n) return mt_fail(err, MT_ERANGE, "the text has no spelling, or none with a probability");
    double scale = exp(n->weight - n->normalise - total), at = left;
    size_t rank = n->lo;
    for (size_t i = n->lo; i < n->hi; i++) {
        double p = n->p[i - n->p_lo] * scale;
        if (!(p > 0)) continue;
        rank = i;
        if (at < p) break;
        at -= p;
    }
    *logp = n->weight - n->normalise + log(n->p[rank - n->p_lo]);
    return spell_out(b, n, rank, out, err);
}
