/* Contexts of the streaming byte model: creation, evaluation in tree passes, removal leaf first, and for the target
 * `all` merging and pruning (trie beam; Vieira et al. 2025).
 *
 * A node's row is read once, when its batch comes back: what the open tokens need is copied (in sorted order, with sums
 * over blocks of 64, so that the mass of any interval is a sum of few non-negative numbers and never a difference). The
 * numbers are not normalised: one logarithm for a node's sum instead of one for each token. */
#include "tree.h"

#include <math.h>

enum { BLOCK = 64, ROW_BUDGET = 1 << 22, MOST_ROWS = 256, FEW = 256 };

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

mt_node *mt_node_child(const mt_node *n, size_t rank) {
    for (mt_node *c = n->child; c; c = c->sibling)
        if (c->rank == (int32_t)rank) return c;
    return NULL;
}

/* What was made ahead is of the tree from now on. The list keeps it until it is next cleaned. */
static mt_status adopt(mt_bytes *b, mt_node *n, mt_error *err) {
    MT_TRY(mt_grow((void **)&b->open, &b->open_cap, b->open_count + 1, sizeof(mt_node *), err));
    unlist(b->ahead, &b->ahead_count, n);
    b->open[b->open_count++] = n;
    n->ahead = false;
    n->open = true;
    return MT_OK;
}

mt_status mt_node_add(mt_bytes *b, mt_node *parent, size_t rank, mt_error *err) {
    mt_node *old = parent ? mt_node_child(parent, rank) : NULL;
    if (old && old->ahead) return adopt(b, old, err);
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
    if (b->looking)
        MT_TRY_GOTO(mt_grow((void **)&b->ahead, &b->ahead_cap, b->ahead_count + 1, sizeof(mt_node *), err), fail);
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
    n->ahead = b->looking;
    if (n->ahead) b->ahead[b->ahead_count++] = n;
    return MT_OK;
fail:
    node_free(n);
    return status;
}

void mt_node_close(mt_bytes *b, mt_node *n) {
    if (n->open) unlist(b->open, &b->open_count, n);
    n->open = false;
    if (b->looking || n->holds) return;
    forget_row(n);
    while (n && !n->open && !n->ahead && !n->holds && !n->child) {
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

void mt_tree_forget_ahead(mt_bytes *b, size_t before) {
    for (size_t i = b->ahead_count; i-- > 0;) { /* children first */
        mt_node *n = b->ahead[i];
        if (n->end >= before || n->child) continue;
        memmove(b->ahead + i, b->ahead + i + 1, (b->ahead_count - i - 1) * sizeof *b->ahead);
        b->ahead_count--;
        n->ahead = false;
        mt_node_close(b, n);
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

mt_status mt_row_read(mt_bytes *b, int32_t context, mt_row *out, mt_error *err) {
    *out = (mt_row){.sum = 1};
    if (b->lm.weights) return b->lm.weights(b->lm.self, context, b->row, &out->logit, &out->top, &out->sum, err);
    MT_TRY(b->lm.next(b->lm.self, context, b->row, err));
    for (int32_t i = 0; i < b->lm.vocab; i++) b->row[i] = exp(b->row[i]);
    return MT_OK;
}

/* ln of the probability of token `id`, where p is what mt_row_read put into b->row. */
static double logp_of(const mt_bytes *b, const mt_row *row, int32_t id) {
    return row->logit ? (double)row->logit[id] - row->top - log(row->sum) : log(b->row[id]) - log(row->sum);
}

/* What of b->row can follow the node, and the end, in all. */
static double sum_masked(const mt_bytes *b, const mt_node *n, const uint64_t *mask) {
    size_t words = (mt_spell_count(b->spell) + 63) / 64;
    double sum = 0;
    bool lead = b->prefix && !n->parent; /* the root's tokens start with the space that is put before the text */
    for (size_t w = 0; w < words; w++)
        for (uint64_t bits = mask[w]; bits; bits &= bits - 1) {
            size_t i = w * 64 + (size_t)__builtin_ctzll(bits);
            if (!lead || mt_spell_text(b->spell, i).p[0] == ' ') sum += b->row[mt_spell_id(b->spell, i)];
        }
    return sum;
}

/* The probabilities of the node's open tokens; mask NULL: they are asked one by one. */
static mt_status keep_open(mt_bytes *b, mt_node *n, const uint64_t *mask, mt_error *err) {
    bool all = n->ahead || n->holds; /* the text after it may become another one */
    n->p_lo = all ? 0 : n->lo;
    n->p_hi = all ? mt_spell_count(b->spell) : n->hi;
    size_t residual = mt_node_residual(b, n), count = n->p_hi - n->p_lo;
    n->p = mt_array(count, sizeof *n->p);
    if (!n->p) return mt_nomem(err, count * sizeof *n->p, "a context's probabilities");
    for (size_t i = n->p_lo; i < n->p_hi; i++) {
        bool in = true;
        if (mask)
            in = mask[i >> 6] >> (i & 63) & 1;
        else if (b->target != MT_TARGET_ALL)
            MT_TRY(mt_spell_member(b->spell, &n->place, n->rank, i, residual, &in, err));
        n->p[i - n->p_lo] = in ? b->row[mt_spell_id(b->spell, i)] : 0;
    }
    return sum_blocks(n, err);
}

/* Reads a node's row. */
static mt_status digest(mt_bytes *b, mt_node *n, mt_error *err) {
    const uint64_t *mask = NULL;
    bool ends;
    mt_row row;
    MT_TRY(mt_row_read(b, n->context, &row, err));
    MT_TRY(may_end(b, n, &ends, err));
    bool keep = n->open || n->ahead || n->holds;
    bool many = n->ahead || n->holds || n->hi - n->lo > FEW;
    if (b->target == MT_TARGET_MASKED || (keep && many && b->target != MT_TARGET_ALL))
        MT_TRY(mt_spell_mask(b->spell, &n->place, n->rank, &mask, err));
    n->normalise = log(row.sum);
    if (b->target == MT_TARGET_MASKED) {
        double sum = sum_masked(b, n, mask) + (ends ? b->row[b->lm.end] : 0);
        if (sum > 0) n->normalise = log(sum);
    }
    if (keep) MT_TRY(keep_open(b, n, mask, err));
    if (keep && b->want_naive && ends && b->target != MT_TARGET_ALL &&
        mt_node_residual(b, n) == (n->parent ? 0 : b->prefix)) {
        n->naive = mt_calloc(257, sizeof *n->naive);
        if (!n->naive) return mt_nomem(err, 257 * sizeof *n->naive, "a context's probabilities");
        mt_naive_row(b, n->parent == NULL, n->naive);
    }
    double shift = log(row.sum) - n->normalise; /* from the model's probabilities to the target's */
    n->end_logp = ends ? logp_of(b, &row, b->lm.end) + shift : -INFINITY;
    for (mt_node *c = n->child; c; c = c->sibling)
        c->weight = n->weight + logp_of(b, &row, mt_spell_id(b->spell, (size_t)c->rank)) + shift;
    n->evaluated = true;
    return MT_OK;
}

void mt_naive_row(const mt_bytes *b, bool root, double out[257]) {
    /* after nothing, the first byte behind the space that is put before the text */
    size_t skip = root ? b->prefix : 0, first = 0, last = mt_spell_count(b->spell);
    if (skip) mt_spell_narrow(b->spell, &first, &last, 0, ' ');
    for (size_t i = first; i < last; i++) {
        mt_str t = mt_spell_text(b->spell, i);
        if (t.n > skip) out[t.p[skip]] += b->row[mt_spell_id(b->spell, i)];
    }
    if (b->lm.end >= 0) out[256] += b->row[b->lm.end];
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
        status = digest(b, n, err);
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

static mt_status evaluate_first(mt_bytes *b, size_t count, mt_error *err) {
    size_t rows = (size_t)(ROW_BUDGET / (b->lm.vocab > 0 ? b->lm.vocab : 1));
    rows = rows < 1 ? 1 : rows > MOST_ROWS ? MOST_ROWS : rows;
    while (count) {
        size_t some = count < rows ? count : rows;
        MT_TRY(evaluate_some(b, some, err));
        count -= some;
    }
    return MT_OK;
}

mt_status mt_tree_evaluate(mt_bytes *b, mt_error *err) {
    return evaluate_first(b, b->waiting_count, err);
}

mt_status mt_tree_evaluate_wanted(mt_bytes *b, mt_error *err) {
    size_t count = 0, others = 0;
    mt_node **rest = mt_array(b->waiting_count, sizeof(mt_node *)); /* parents stay before children */
    if (!rest) return mt_nomem(err, b->waiting_count * sizeof(mt_node *), "a batch");
    for (size_t i = 0; i < b->waiting_count; i++)
        for (mt_node *n = b->waiting[i]; n->wanted && n->parent && !n->parent->evaluated; n = n->parent)
            n->parent->wanted = true;
    for (size_t i = 0; i < b->waiting_count; i++) {
        mt_node *n = b->waiting[i];
        if (n->wanted)
            b->waiting[count++] = n;
        else
            rest[others++] = n;
        n->wanted = false;
    }
    memcpy(b->waiting + count, rest, others * sizeof(mt_node *));
    mt_free(rest);
    return evaluate_first(b, count, err);
}
