/* Contexts of the streaming byte model: creation, evaluation in tree passes, removal leaf first, and for the target
 * `all` merging and pruning (trie beam; Vieira et al. 2025).
 *
 * A node's row is read once, when its batch comes back: what the open tokens need is copied (in sorted order, with sums
 * over blocks of 64, so that the mass of any interval is a sum of few non-negative numbers and never a difference). */
#include "tree.h"

#include <math.h>

enum { BLOCK = 64, ROW_BUDGET = 1 << 22, MOST_ROWS = 256, FEW = 256 };

static size_t residual_of(const mt_bytes *b, const mt_node *n) {
    return b->text.len - n->end;
}

/* ---- life ---- */

static void unlist(mt_node **list, size_t *count, const mt_node *n) {
    for (size_t i = *count; i-- > 0;)
        if (list[i] == n) {
            memmove(list + i, list + i + 1, (*count - i - 1) * sizeof *list);
            (*count)--;
            return;
        }
}

static void forget_row(mt_node *n) {
    mt_free(n->p);
    mt_free(n->block);
    mt_free(n->naive);
    n->p = n->block = n->naive = NULL;
}

static void node_free(mt_node *n) {
    forget_row(n);
    mt_spell_place_free(&n->place);
    mt_free(n);
}

mt_status mt_node_add(mt_bytes *b, mt_node *parent, size_t rank, mt_error *err) {
    mt_node *n = mt_calloc(1, sizeof *n);
    if (!n) return mt_nomem(err, sizeof *n, "a context");
    mt_status status;
    n->rank = parent ? (int32_t)rank : -1;
    n->context = parent ? -1 : 0;
    n->hi = mt_spell_count(b->spell);
    n->open = true;
    n->witness = SIZE_MAX;
    n->end_logp = -INFINITY;
    MT_TRY_GOTO(mt_grow((void **)&b->open, &b->open_cap, b->open_count + 1, sizeof(mt_node *), err), fail);
    MT_TRY_GOTO(mt_grow((void **)&b->waiting, &b->waiting_cap, b->waiting_count + 1, sizeof(mt_node *), err), fail);
    if (parent) {
        n->end = parent->end + mt_spell_text(b->spell, rank).n;
        MT_TRY_GOTO(mt_spell_follow(b->spell, &parent->place, parent->rank, rank, &n->place, err), fail);
        if (parent->evaluated) n->weight = mt_node_mass(parent, rank, rank + 1);
        n->parent = parent;
        n->sibling = parent->child;
        parent->child = n;
    } else {
        MT_TRY_GOTO(mt_spell_begin(b->spell, &n->place, err), fail);
        b->root = n;
    }
    b->open[b->open_count++] = n;
    b->waiting[b->waiting_count++] = n;
    return MT_OK;
fail:
    node_free(n);
    return status;
}

void mt_node_close(mt_bytes *b, mt_node *n) {
    if (n->open) unlist(b->open, &b->open_count, n);
    n->open = false;
    forget_row(n);
    while (n && !n->open && !n->child) {
        mt_node *parent = n->parent;
        if (!parent) return; /* the root stays */
        mt_node **link = &parent->child;
        while (*link != n) link = &(*link)->sibling;
        *link = n->sibling;
        if (!n->evaluated) unlist(b->waiting, &b->waiting_count, n);
        if (n->context > 0) {
            b->lm.drop(b->lm.self, n->context);
            b->stats.contexts_dropped++;
            b->stats.contexts--;
        }
        node_free(n);
        n = parent;
    }
}

/* ---- masses ---- */

static double sum_range(const mt_node *n, size_t lo, size_t hi) {
    double sum = 0;
    lo -= n->p_lo;
    hi -= n->p_lo;
    while (lo < hi && lo % BLOCK) sum += n->p[lo++];
    for (; lo + BLOCK <= hi; lo += BLOCK) sum += n->block[lo / BLOCK];
    while (lo < hi) sum += n->p[lo++];
    return sum;
}

double mt_node_mass(const mt_node *n, size_t lo, size_t hi) {
    return n->weight + log(sum_range(n, lo, hi)) - n->normalise;
}

/* The text may end after the context. The space that a tokenizer puts before the text is not there without a text,
 * except where the text " " itself is encoded so (and read back as nothing). */
static mt_status may_end(mt_bytes *b, const mt_node *n, bool *out, mt_error *err) {
    bool lone = b->prefix && n->parent && n->end <= b->prefix;
    if (b->lm.end < 0 || (lone && !mt_spell_source_get(b->spell)->prefix_if_none)) {
        *out = false;
        return MT_OK;
    }
    return mt_spell_ends(b->spell, &n->place, out, err);
}

static mt_status sum_blocks(mt_node *n, mt_error *err) {
    size_t count = n->p_hi - n->p_lo, blocks = (count + BLOCK - 1) / BLOCK;
    n->block = mt_calloc(blocks, sizeof *n->block);
    if (!n->block) return mt_nomem(err, blocks * sizeof *n->block, "sums of probabilities");
    for (size_t i = 0; i < count; i++) n->block[i / BLOCK] += n->p[i];
    return MT_OK;
}

/* Reads a node's row of log-probabilities. */
static mt_status digest(mt_bytes *b, mt_node *n, const double *row, mt_error *err) {
    size_t residual = residual_of(b, n), words = (mt_spell_count(b->spell) + 63) / 64;
    const uint64_t *mask = NULL;
    bool ends;
    double normalise = 0;
    MT_TRY(may_end(b, n, &ends, err));
    if (b->target == MT_TARGET_MASKED || (n->open && n->hi - n->lo > FEW && b->target != MT_TARGET_ALL))
        MT_TRY(mt_spell_mask(b->spell, &n->place, n->rank, &mask, err));
    if (b->target == MT_TARGET_MASKED) {
        double sum = ends ? exp(row[b->lm.end]) : 0;
        bool lead = b->prefix && !n->parent; /* the root's tokens start with that space */
        for (size_t w = 0; w < words; w++)
            for (uint64_t bits = mask[w]; bits; bits &= bits - 1) {
                size_t i = w * 64 + (size_t)__builtin_ctzll(bits);
                if (!lead || mt_spell_text(b->spell, i).p[0] == ' ') sum += exp(row[mt_spell_id(b->spell, i)]);
            }
        if (sum > 0) normalise = log(sum);
    }
    if (n->open) {
        size_t count = n->hi - n->lo;
        n->p_lo = n->lo;
        n->p_hi = n->hi;
        n->p = mt_array(count, sizeof *n->p);
        if (!n->p) return mt_nomem(err, count * sizeof *n->p, "a context's probabilities");
        if (b->want_naive && ends && b->target != MT_TARGET_ALL && residual == (n->parent ? 0 : b->prefix)) {
            n->naive = mt_calloc(257, sizeof *n->naive);
            if (!n->naive) return mt_nomem(err, 257 * sizeof *n->naive, "a context's probabilities");
            mt_naive_row(b, n->parent == NULL, row, n->naive, residual ? NULL : n->p);
        }
        bool filled = n->naive && residual == 0;
        for (size_t i = n->lo; i < n->hi; i++) {
            bool in = true;
            if (mask)
                in = mask[i >> 6] >> (i & 63) & 1;
            else if (b->target != MT_TARGET_ALL)
                MT_TRY(mt_spell_member(b->spell, &n->place, n->rank, i, residual, &in, err));
            if (!in)
                n->p[i - n->lo] = 0;
            else if (!filled)
                n->p[i - n->lo] = exp(row[mt_spell_id(b->spell, i)]);
        }
        MT_TRY(sum_blocks(n, err));
    }
    n->normalise = normalise;
    n->end_logp = ends ? row[b->lm.end] - normalise : -INFINITY;
    for (mt_node *c = n->child; c; c = c->sibling)
        c->weight = n->weight + row[mt_spell_id(b->spell, (size_t)c->rank)] - normalise;
    n->evaluated = true;
    return MT_OK;
}

void mt_naive_row(const mt_bytes *b, bool root, const double *row, double out[257], double *p) {
    /* after nothing, the first byte behind the space that is put before the text */
    size_t skip = root ? b->prefix : 0, first = 0, last = mt_spell_count(b->spell);
    if (skip) mt_spell_narrow(b->spell, &first, &last, 0, ' ');
    for (int c = 0; c < 256; c++) {
        size_t lo = first, hi = last;
        double sum = 0;
        mt_spell_narrow(b->spell, &lo, &hi, skip, (uint8_t)c);
        for (size_t i = lo; i < hi; i++) {
            double e = exp(row[mt_spell_id(b->spell, i)]);
            sum += e;
            if (p) p[i] = e;
        }
        out[c] += sum;
    }
    if (b->lm.end >= 0) out[256] += exp(row[b->lm.end]);
}

/* ---- evaluation ---- */

/* Evaluates the first `count` waiting nodes in one pass. On failure those without a row have no context either. */
static mt_status evaluate_some(mt_bytes *b, size_t count, mt_error *err) {
    mt_status status = MT_OK;
    size_t made = 0, done = 0, first = b->waiting[0]->parent == NULL; /* the root has its context already */
    int32_t *list = mt_array(count, 3 * sizeof *list);
    if (!list) return mt_nomem(err, count * 3 * sizeof *list, "a batch");
    int32_t *parent = list, *token = list + count, *context = list + 2 * count;
    for (size_t i = first; i < count; i++) {
        mt_node *n = b->waiting[i];
        n->in_batch = (int32_t)(i - first);
        parent[i - first] = n->parent->context >= 0 ? n->parent->context : MT_IN_BATCH(n->parent->in_batch);
        token[i - first] = mt_spell_id(b->spell, (size_t)n->rank);
    }
    made = count - first;
    if (made) {
        status = b->lm.extend(b->lm.self, (int32_t)made, parent, token, context, err);
        b->stats.passes++;
        if (status) made = 0;
        b->stats.contexts_made += made;
        b->stats.contexts += (int32_t)made;
    }
    for (size_t i = 0; i < made; i++) b->waiting[i + first]->context = context[i];
    while (!status && done < count) {
        mt_node *n = b->waiting[done];
        status = b->lm.next(b->lm.self, n->context, b->row, err);
        if (status == MT_OK) status = digest(b, n, b->row, err);
        if (status)
            forget_row(n);
        else
            done++;
    }
    b->stats.evaluations += done;
    for (size_t i = made + first; made && i-- > (done > first ? done : first);) {
        b->lm.drop(b->lm.self, b->waiting[i]->context);
        b->waiting[i]->context = -1;
        b->stats.contexts_dropped++;
        b->stats.contexts--;
    }
    memmove(b->waiting, b->waiting + done, (b->waiting_count - done) * sizeof *b->waiting);
    b->waiting_count -= done;
    mt_free(list);
    return status;
}

mt_status mt_tree_evaluate(mt_bytes *b, mt_error *err) {
    size_t rows = (size_t)(ROW_BUDGET / (b->lm.vocab > 0 ? b->lm.vocab : 1));
    rows = rows < 1 ? 1 : rows > MOST_ROWS ? MOST_ROWS : rows;
    while (b->waiting_count) MT_TRY(evaluate_some(b, b->waiting_count < rows ? b->waiting_count : rows, err));
    return MT_OK;
}
