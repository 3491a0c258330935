/* The target `all`: every token sequence is a spelling, so contexts are as many as spellings. Contexts with the same
 * future are merged where the model knows (n-grams: then the sum is exact in polynomial time), and a beam keeps the
 * best ones (trie beam; Vieira et al., "From Language Models over Tokens to Language Models over Characters", ICML
 * 2025).
 *
 * What is dropped had a known mass: Pr(context) times its open tokens'. More text can only shrink that, so the sum of
 * all that was dropped bounds what is missing. A byte that no kept context can read empties the beam; then contexts
 * that were not thought worth a model call are made after all, and failing that the best residual is cut into tokens
 * greedily. */
#include "tree.h"

/* Open contexts that end at the text's end and have the same future become one. */
void mt_tree_merge(mt_bytes *b) {
    for (size_t i = 0; i < b->open_count; i++) {
        mt_node *n = b->open[i];
        if (mt_node_residual(b, n) || n->child) continue;
        for (size_t j = b->open_count; --j > i;) {
            mt_node *m = b->open[j];
            if (m->end != n->end || m->child ||
                b->lm.state(b->lm.self, m->context) != b->lm.state(b->lm.self, n->context))
                continue;
            n->weight = mt_log_add(n->weight, m->weight);
            mt_node_close(b, m);
        }
    }
}

/* Keeps the best `beam` contexts, and of those the ones with at least epsilon of the mass. Linear selection of the
 * worst: few are over. */
void mt_tree_prune(mt_bytes *b) {
    double total = -INFINITY;
    for (size_t i = 0; i < b->open_count; i++)
        total = mt_log_add(total, mt_node_mass(b->open[i], b->open[i]->lo, b->open[i]->hi));
    while (b->open_count > 1) {
        size_t worst = 0;
        double least = INFINITY;
        for (size_t i = 0; i < b->open_count; i++) {
            double mass = mt_node_mass(b->open[i], b->open[i]->lo, b->open[i]->hi);
            if (mass < least) {
                least = mass;
                worst = i;
            }
        }
        bool over = b->beam > 0 && b->open_count > (size_t)b->beam;
        if (!over && !(least < total + log(b->epsilon))) break;
        b->lost = mt_log_add(b->lost, least);
        mt_node_close(b, b->open[worst]);
    }
}

/* ---- when no context can read a byte ---- */

/* Adds a context whose residual is the text from its end on. */
static mt_status add_inside(mt_bytes *b, mt_node *parent, size_t rank, mt_node **out, mt_error *err) {
    MT_TRY(mt_node_add(b, parent, rank, err));
    mt_node *n = b->open[b->open_count - 1];
    for (size_t i = n->end; i < b->text.len; i++)
        mt_spell_narrow(b->spell, &n->lo, &n->hi, i - n->end, b->text.data[i]);
    *out = n;
    return MT_OK;
}

/* The longest token that is a proper prefix of p[0..n); *whole: tokens that start with all of it exist. */
static bool longest(const mt_bytes *b, const uint8_t *p, size_t n, size_t *rank, bool *whole) {
    size_t lo = 0, hi = mt_spell_count(b->spell);
    bool found = false;
    for (size_t d = 0; d < n && lo < hi; d++) {
        mt_spell_narrow(b->spell, &lo, &hi, d, p[d]);
        if (lo < hi && d + 1 < n && mt_spell_text(b->spell, lo).n == d + 1) {
            *rank = lo;
            found = true;
        }
    }
    *whole = lo < hi;
    return found;
}

/* Cuts the residual of a context so that its last part and c begin a token. p: the residual and c. */
static mt_status cut(mt_bytes *b, mt_node *n, const uint8_t *p, size_t length, bool *done, mt_error *err) {
    bool whole = false;
    size_t rank = 0, at = 0;
    while (!whole) { /* without making anything: is there a way? */
        if (!longest(b, p + at, length - at, &rank, &whole) && !whole) return MT_OK;
        if (at == 0 && mt_node_child(n, rank)) return MT_OK; /* goes its own way */
        if (!whole) at += mt_spell_text(b->spell, rank).n;
    }
    for (at = 0;;) {
        longest(b, p + at, length - at, &rank, &whole);
        if (whole) break;
        mt_node *child;
        MT_TRY(add_inside(b, n, rank, &child, err));
        n = child;
        at += mt_spell_text(b->spell, rank).n;
    }
    *done = true;
    return MT_OK;
}

mt_status mt_tree_revive(mt_bytes *b, uint8_t c, bool *yes, mt_error *err) {
    *yes = false;
    size_t count = b->open_count;
    for (size_t k = 0; k < count; k++) {
        mt_node *n = b->open[k];
        size_t residual = mt_node_residual(b, n), lo = 0, hi = mt_spell_count(b->spell);
        mt_spell_narrow(b->spell, &lo, &hi, 0, c);
        if (residual == 0 || lo == hi) continue;
        for (size_t i = n->lo; i < n->hi && mt_spell_text(b->spell, i).n == residual; i++)
            if (!mt_node_child(n, i) && n->evaluated && mt_node_mass(n, i, i + 1) < n->least) {
                MT_TRY(mt_node_add(b, n, i, err));
                *yes = true;
            }
    }
    uint8_t *p = NULL;
    for (size_t k = 0; k < count && !*yes; k++) { /* best first would need an order; any way in is as good */
        mt_node *n = b->open[k];
        size_t residual = mt_node_residual(b, n);
        if (residual == 0) continue;
        mt_free(p);
        p = mt_malloc(residual + 1);
        if (!p) return mt_nomem(err, residual + 1, "a residual");
        memcpy(p, b->text.data + n->end, residual);
        p[residual] = c;
        mt_status status = cut(b, n, p, residual + 1, yes, err);
        if (status) {
            mt_free(p);
            return status;
        }
    }
    mt_free(p);
    return MT_OK;
}
