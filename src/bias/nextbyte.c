/* Exact next-byte probabilities from a model over tokens, streaming.
 *
 * State after a text x: the open contexts (tree.h), each with the residual bytes of x inside its next token. By the
 * Byte-Token Representation Lemma (Phan et al., ICLR 2025) Pr(x) is the sum of P(context) P(t | context) over the open
 * contexts and the tokens t that start with the residual and can follow; the next byte adds the same sums by the
 * token's next byte, where a token that equals the residual is replaced by the context that it makes. Which tokens can
 * follow is spell.h's affair, so one engine serves all three targets:
 *
 *   valid    tokens that can follow keep the model's probabilities; the sum is normalised once, when it is reported
 *   masked   at every context the tokens that can follow (and the end, where the text may end) are normalised
 *   all      every token can follow; contexts are as many as spellings, so a beam keeps the best ones and accounts for
 *            the mass of the others
 *
 * Example (merges a+b, ab+c): after "ab" the open contexts are () with residual "ab" (next token abc...), and (ab) with
 * residual "" (next token anything but c, which the encoder would have merged); (a) is closed, as no token after it
 * starts with b. */
#include "tree.h"

#include <math.h>

/* ---- construction ---- */

mt_status mt_bytes_new_source(const mt_spell_source *source, const mt_lm *lm, mt_target target, mt_bytes **out,
                              mt_error *err) {
    *out = NULL;
    if (target != MT_TARGET_VALID && target != MT_TARGET_MASKED && target != MT_TARGET_ALL)
        return mt_fail(err, MT_EUNKNOWN, "target %d: the targets are valid (0), masked (1) and all (2)", (int)target);
    if (lm->vocab <= 0 || lm->end >= lm->vocab)
        return mt_fail(err, MT_ERANGE, "a model of %d tokens with end-of-text %d", lm->vocab, lm->end);
    mt_status status;
    mt_bytes *b = mt_calloc(1, sizeof *b);
    if (!b) return mt_nomem(err, sizeof *b, "a byte model");
    mt_spell_source src = *source;
    src.free = target == MT_TARGET_ALL;
    b->lm = *lm;
    b->target = target;
    b->beam = 16;
    b->epsilon = 1e-6;
    b->want_naive = true;
    b->prefix = src.prefix_space;
    b->lost = -INFINITY;
    MT_TRY_GOTO(mt_spell_new(&src, lm->vocab, &b->spell, err), fail);
    b->row = mt_array((size_t)lm->vocab, sizeof *b->row);
    if (!b->row) {
        status = mt_nomem(err, (size_t)lm->vocab * sizeof *b->row, "a row of probabilities");
        goto fail;
    }
    MT_TRY_GOTO(mt_node_add(b, NULL, 0, err), fail);
    for (size_t i = 0; i < b->prefix; i++) MT_TRY_GOTO(mt_bytes_push_one(b, ' ', err), fail);
    *out = b;
    return MT_OK;
fail:
    mt_bytes_free(b);
    return status;
}

mt_status mt_bytes_new(mt_tok *t, const mt_lm *lm, mt_target target, mt_bytes **out, mt_error *err) {
    mt_spell_source source;
    *out = NULL;
    MT_TRY(mt_spell_source_of(t, target, &source, err));
    return mt_bytes_new_source(&source, lm, target, out, err);
}

/* Removes all nodes but the root. */
static void clear(mt_bytes *b) {
    mt_tree_forget_ahead(b, SIZE_MAX);
    while (b->open_count) mt_node_close(b, b->open[b->open_count - 1]);
}

void mt_bytes_free(mt_bytes *b) {
    if (!b) return;
    clear(b);
    if (b->root) {
        mt_spell_place_free(&b->root->place);
        mt_free(b->root);
    }
    mt_free(b->open);
    mt_free(b->ahead);
    mt_free(b->waiting);
    mt_free(b->row);
    mt_ids_free(&b->at);
    mt_buf_free(&b->text);
    mt_spell_free(b->spell);
    mt_free(b);
}

mt_status mt_bytes_reset(mt_bytes *b, mt_error *err) {
    clear(b);
    mt_node *root = b->root;
    b->text.len = 0;
    b->lost = -INFINITY;
    MT_TRY(mt_spell_begin(b->spell, &root->place, err));
    root->lo = 0;
    root->hi = mt_spell_count(b->spell);
    root->witness = SIZE_MAX;
    root->extended = false;
    root->open = true;
    b->open[b->open_count++] = root; /* it held this place before */
    if (root->evaluated) {
        root->evaluated = false;
        b->waiting[b->waiting_count++] = root;
    }
    for (size_t i = 0; i < b->prefix; i++) MT_TRY(mt_bytes_push_one(b, ' ', err));
    return MT_OK;
}

mt_status mt_bytes_set_beam(mt_bytes *b, int32_t beam, double epsilon, mt_error *err) {
    if (beam < 0 || !(epsilon >= 0 && epsilon < 1))
        return mt_fail(err, MT_ERANGE,
                       "a beam of %d contexts with epsilon %g: expected 0 or more, and 0 <= epsilon < 1", beam,
                       epsilon);
    b->beam = beam;
    b->epsilon = epsilon;
    return MT_OK;
}

void mt_bytes_set_naive(mt_bytes *b, bool naive) {
    b->want_naive = naive;
}

size_t mt_bytes_length(const mt_bytes *b) {
    return b->text.len > b->prefix ? b->text.len - b->prefix : 0;
}

void mt_bytes_stats_get(const mt_bytes *b, mt_bytes_stats *out) {
    *out = b->stats;
    out->live = (int32_t)b->open_count;
}

/* ---- streaming ---- */

/* Makes the contexts whose last token equals a residual. Nothing is made twice when it is called again. */
mt_status mt_bytes_extend(mt_bytes *b, mt_error *err) {
    double least = -INFINITY; /* ln of the mass below which a context is not worth a model call */
    if (mt_bytes_prunes(b) && b->epsilon > 0) {
        for (size_t i = 0; i < b->open_count; i++)
            if (b->open[i]->evaluated && !b->open[i]->extended)
                least = mt_log_add(least, mt_node_mass(b->open[i], b->open[i]->lo, b->open[i]->hi));
        least += log(b->epsilon);
    }
    size_t count = b->open_count;
    bool added = false;
    for (size_t k = 0; k < count; k++) {
        mt_node *n = b->open[k];
        size_t residual = mt_node_residual(b, n);
        double lost = -INFINITY;
        if (residual == 0 || n->extended) continue;
        for (size_t i = n->lo; i < n->hi && mt_spell_text(b->spell, i).n == residual; i++) {
            bool in;
            MT_TRY(mt_spell_member(b->spell, &n->place, n->rank, i, residual, &in, err));
            const mt_node *made = mt_node_child(n, i);
            if (!in || (made && (b->looking || !made->ahead))) continue;
            if (least > -INFINITY && n->evaluated) {
                double mass = mt_node_mass(n, i, i + 1);
                if (mass < least) {
                    lost = mt_log_add(lost, mass);
                    continue;
                }
            }
            MT_TRY(mt_node_add(b, n, i, err));
            added = true;
        }
        b->lost = mt_log_add(b->lost, lost);
        n->least = least;
        n->extended = true;
    }
    if (b->lm.state && b->target == MT_TARGET_ALL && added) {
        MT_TRY(mt_tree_evaluate(b, err));
        mt_tree_merge(b);
    }
    return MT_OK;
}

/* Finds a token of the node's narrowed interval that can follow. */
static mt_status find_witness(mt_bytes *b, const mt_node *n, size_t lo, size_t hi, size_t residual, size_t *witness,
                              mt_error *err) {
    *witness = n->witness;
    if (*witness >= lo && *witness < hi) return MT_OK;
    for (size_t i = lo; n->p && i < hi; i++)
        if (n->p[i - n->p_lo] > 0) {
            *witness = i;
            return MT_OK;
        }
    for (*witness = lo; *witness < hi; ++*witness) {
        bool in;
        MT_TRY(mt_spell_member(b->spell, &n->place, n->rank, *witness, residual, &in, err));
        if (in) return MT_OK;
    }
    *witness = SIZE_MAX;
    return MT_OK;
}

/* What a byte does to the open contexts, worked out before anything is changed: in b->at, per context the new lo, hi
 * and witness (two words each), then what its guesses were before; the guesses themselves are moved on already. */
enum { HEAD = 6 };

static void take_back(mt_bytes *b, size_t count) {
    for (size_t k = 0, at = 0; k < count; k++) {
        mt_spell_place *place = &b->open[k]->place;
        for (size_t i = 0; i < place->count; i++) place->guess[i].at = b->at.data[at + HEAD + i];
        at += HEAD + place->count;
    }
}

static mt_status work_out(mt_bytes *b, uint8_t c, bool *alive, mt_error *err) {
    mt_status status = MT_OK;
    size_t room = 0, done = 0, used = 0;
    *alive = false;
    for (size_t k = 0; k < b->open_count; k++) room += b->open[k]->place.count + HEAD;
    b->at.len = 0;
    MT_TRY(mt_ids_reserve(&b->at, room, err));
    while (done < b->open_count && !status) {
        mt_node *n = b->open[done];
        size_t now[3] = {n->lo, n->hi, SIZE_MAX};
        int32_t *old = b->at.data + used + HEAD;
        bool goes_on = false;
        status = mt_spell_walk(b->spell, &n->place, c, old, &goes_on, err);
        if (status) break;
        for (size_t i = 0; i < n->place.count; i++) {
            int32_t at = n->place.guess[i].at;
            n->place.guess[i].at = old[i];
            old[i] = at;
        }
        mt_spell_narrow(b->spell, &now[0], &now[1], mt_node_residual(b, n), c);
        if (goes_on) status = find_witness(b, n, now[0], now[1], mt_node_residual(b, n) + 1, &now[2], err);
        memcpy(b->at.data + used, now, sizeof now);
        *alive |= now[2] != SIZE_MAX;
        used += HEAD + n->place.count;
        done++;
    }
    if (status) take_back(b, done);
    return status;
}

mt_status mt_bytes_push_one(mt_bytes *b, uint8_t c, mt_error *err) {
    bool alive, revived = false;
    MT_TRY(mt_buf_reserve(&b->text, 1, err));
    MT_TRY(mt_bytes_extend(b, err));
    MT_TRY(work_out(b, c, &alive, err));
    if (!alive && mt_bytes_prunes(b)) {
        take_back(b, b->open_count);
        MT_TRY(mt_tree_revive(b, c, &revived, err));
        b->stats.revived += revived;
        MT_TRY(work_out(b, c, &alive, err));
    }
    for (size_t k = 0, at = 0; k < b->open_count; k++) {
        mt_node *n = b->open[k];
        size_t now[3];
        memcpy(now, b->at.data + at, sizeof now);
        at += HEAD + n->place.count;
        n->lo = now[0];
        n->hi = now[1];
        n->witness = now[2];
        n->extended = false;
    }
    b->text.data[b->text.len++] = c;
    b->trimmed = false;
    for (size_t k = b->open_count; k-- > 0;)
        if (b->open[k]->witness == SIZE_MAX) mt_node_close(b, b->open[k]);
    if (b->ahead_count && !b->looking) mt_tree_forget_ahead(b, b->text.len);
    return MT_OK;
}

/* Only the target `all` needs probabilities while text is pushed: to keep the beam. */
mt_status mt_bytes_trim(mt_bytes *b, mt_error *err) {
    if (!mt_bytes_prunes(b) || b->trimmed || (b->epsilon == 0 && b->open_count <= (size_t)b->beam)) return MT_OK;
    MT_TRY(mt_tree_evaluate(b, err));
    mt_tree_prune(b);
    b->trimmed = true;
    return MT_OK;
}

mt_status mt_bytes_push(mt_bytes *b, const uint8_t *p, size_t n, mt_error *err) {
    for (size_t i = 0; i < n; i++) {
        MT_TRY(mt_bytes_trim(b, err)); /* what the byte before has left */
        MT_TRY(mt_bytes_push_one(b, p[i], err));
    }
    return MT_OK;
}

/* ---- answers ---- */

static mt_status settle(mt_bytes *b, mt_error *err) {
    MT_TRY(mt_bytes_trim(b, err));
    MT_TRY(mt_bytes_extend(b, err));
    return mt_tree_evaluate(b, err);
}

static double text_logprob(const mt_bytes *b) {
    if (b->text.len == b->prefix) return 0;
    double sum = -INFINITY;
    for (size_t k = 0; k < b->open_count; k++) {
        const mt_node *n = b->open[k];
        if (mt_node_residual(b, n) && n->evaluated) sum = mt_log_add(sum, mt_node_mass(n, n->lo, n->hi));
    }
    return sum;
}

static double missing_of(const mt_bytes *b, double logp) {
    if (b->lost == -INFINITY) return 0;
    return exp(b->lost - mt_log_add(b->lost, logp));
}

mt_status mt_bytes_score(mt_bytes *b, double *logp, double *missing_mass, mt_error *err) {
    MT_TRY(mt_bytes_trim(b, err));
    MT_TRY(mt_tree_evaluate(b, err));
    *logp = text_logprob(b);
    if (missing_mass) *missing_mass = missing_of(b, *logp);
    return MT_OK;
}

/* Adds a node's part to the next bytes: out[c] = ln sum, relative to nothing. */
void mt_node_add_next(const mt_bytes *b, const mt_node *n, double out[257]) {
    size_t residual = mt_node_residual(b, n), lo = n->lo;
    while (lo < n->hi && mt_spell_text(b->spell, lo).n == residual) lo++; /* replaced by the contexts they make */
    while (lo < n->hi) {
        uint8_t c = mt_spell_text(b->spell, lo).p[residual];
        size_t end = lo, hi = n->hi;
        mt_spell_narrow(b->spell, &end, &hi, residual, c);
        double mass = mt_node_mass(n, lo, hi);
        if (mass > -INFINITY) out[c] = mt_log_add(out[c], mass);
        lo = hi;
    }
    bool at_end = residual == (n->parent ? 0 : b->prefix);
    if (at_end && n->end_logp > -INFINITY) out[256] = mt_log_add(out[256], n->weight + n->end_logp);
}

/* ln of the sum of out[257]; the numbers become ln of their shares. */
static double normalise(double out[257]) {
    double top = -INFINITY, sum = 0;
    for (int c = 0; c < 257; c++) top = out[c] > top ? out[c] : top;
    if (top == -INFINITY) return top;
    for (int c = 0; c < 257; c++) sum += exp(out[c] - top);
    for (int c = 0; c < 257; c++) out[c] -= top + log(sum);
    return top + log(sum);
}

static void naive_of(const double mass[257], double out[257]) {
    for (int c = 0; c < 257; c++) out[c] = mass[c] > 0 ? log(mass[c]) : -INFINITY;
    normalise(out);
}

/* The answer that is conditioned on the tokens of encode(text). Their context is usually in the tree; what is not is
 * evaluated for this once. */
static mt_status naive_by_encoding(mt_bytes *b, double out[257], mt_error *err) {
    const mt_spell_source *src = mt_spell_source_get(b->spell);
    mt_ids ids = {0}, made = {0};
    mt_status status;
    double mass[257] = {0};
    const mt_node *n = b->root;
    size_t at = 0;
    /* a space that is put only where there is none may stand there already */
    size_t skip = src->prefix_if_none && b->text.len > b->prefix ? 0 : b->prefix;
    MT_TRY_GOTO(src->encode(src->self, b->text.data + skip, b->text.len - skip, &ids, err), done);
    size_t length = 0;
    for (size_t i = 0; i < ids.len; i++) {
        int32_t rank = mt_spell_rank(b->spell, ids.data[i]);
        mt_str t = {NULL, 0};
        if (rank >= 0) t = mt_spell_text(b->spell, (size_t)rank);
        if (rank < 0 || t.n > b->text.len - length || memcmp(t.p, b->text.data + length, t.n) != 0) goto done;
        length += t.n;
    }
    if (length != b->text.len && ids.len) goto done; /* no spelling of the text */
    for (; at < ids.len; at++) {
        const mt_node *c = n->child;
        while (c && mt_spell_id(b->spell, (size_t)c->rank) != ids.data[at]) c = c->sibling;
        if (!c || c->context < 0) break;
        n = c;
    }
    if (at == ids.len && at > 0) { /* its row may be gone: make the context again */
        n = n->parent;
        at--;
    }
    int32_t context = n->context;
    if (at < ids.len) {
        size_t count = ids.len - at;
        MT_TRY_GOTO(mt_ids_reserve(&made, 2 * count, err), done);
        int32_t *parent = made.data + count;
        for (size_t i = 0; i < count; i++) parent[i] = i ? MT_IN_BATCH((int32_t)i - 1) : context;
        MT_TRY_GOTO(b->lm.extend(b->lm.self, (int32_t)count, parent, ids.data + at, made.data, err), done);
        made.len = count;
        b->stats.passes++;
        b->stats.evaluations += count;
        b->stats.contexts_made += count;
        b->stats.contexts_dropped += count;
        context = made.data[count - 1];
    }
    mt_row row;
    status = mt_row_read(b, context, &row, err);
    if (status == MT_OK) {
        mt_naive_row(b, ids.len == 0, mass);
        naive_of(mass, out);
    }
done:
    for (size_t i = made.len; i-- > 0;) b->lm.drop(b->lm.self, made.data[i]);
    mt_ids_free(&ids);
    mt_ids_free(&made);
    return status;
}

mt_status mt_bytes_no_future(const mt_bytes *b, mt_error *err) {
    return mt_fail(err, MT_ERANGE, "%s",
                   b->open_count || b->lost > -INFINITY
                       ? "the model gives this text and everything that could follow the probability 0"
                       : "the tokenizer has no spelling for this text");
}

mt_status mt_bytes_next(mt_bytes *b, mt_next_bytes *out, mt_error *err) {
    MT_TRY(settle(b, err));
    for (int c = 0; c < 257; c++) out->exact[c] = out->naive[c] = -INFINITY;
    const double *naive = NULL;
    for (size_t k = 0; k < b->open_count; k++) {
        mt_node_add_next(b, b->open[k], out->exact);
        if (b->open[k]->naive && mt_node_residual(b, b->open[k]) == (b->open[k]->parent ? 0 : b->prefix))
            naive = b->open[k]->naive;
    }
    out->text_logprob = text_logprob(b);
    out->missing_mass = missing_of(b, out->text_logprob);
    out->live_contexts = (int32_t)b->open_count;
    out->target = b->target;
    if (normalise(out->exact) == -INFINITY) return mt_bytes_no_future(b, err);
    if (!b->want_naive) return MT_OK;
    if (!naive) return naive_by_encoding(b, out->naive, err);
    naive_of(naive, out->naive);
    return MT_OK;
}

/* ---- the tree as JSON ---- */

static mt_status put_number(mt_buf *json, const char *name, double x, mt_error *err) {
    return isfinite(x) ? mt_buf_printf(json, err, ",\"%s\":%.17g", name, x)
                       : mt_buf_printf(json, err, ",\"%s\":null", name);
}

static mt_status put_node(mt_bytes *b, const mt_node *n, int32_t id, int32_t parent, mt_buf *json, mt_error *err) {
    mt_str text = {NULL, 0};
    if (n->rank >= 0) text = mt_spell_text(b->spell, (size_t)n->rank);
    MT_TRY(mt_buf_printf(json, err, "%s{\"id\":%d,\"parent\":%d,\"token\":%d,\"bytes\":[", id ? "," : "", id, parent,
                         n->rank >= 0 ? mt_spell_id(b->spell, (size_t)n->rank) : -1));
    for (size_t i = 0; i < text.n; i++) MT_TRY(mt_buf_printf(json, err, i ? ",%d" : "%d", text.p[i]));
    MT_TRY(mt_buf_printf(json, err, "],\"end\":%zu,\"live\":%s", n->end, n->open ? "true" : "false"));
    MT_TRY(put_number(json, "weight", n->weight, err));
    if (n->open) {
        size_t tokens = 0;
        for (size_t i = n->lo; i < n->hi && n->p; i++) tokens += n->p[i - n->p_lo] > 0;
        MT_TRY(mt_buf_printf(json, err, ",\"tokens\":%zu", tokens));
        MT_TRY(put_number(json, "mass", n->evaluated ? mt_node_mass(n, n->lo, n->hi) : -INFINITY, err));
    }
    return mt_buf_printf(json, err, "}");
}

mt_status mt_bytes_tree(mt_bytes *b, mt_buf *json, mt_error *err) {
    MT_TRY(settle(b, err));
    mt_tree_forget_ahead(b, SIZE_MAX);
    MT_TRY(mt_buf_printf(json, err, "{\"length\":%zu,\"prefix\":%zu", mt_bytes_length(b), b->prefix));
    MT_TRY(put_number(json, "text_logprob", text_logprob(b), err));
    MT_TRY(mt_buf_printf(json, err, ",\"nodes\":["));
    /* Depth first by links; in_batch is free between evaluations and holds the number in the picture. */
    int32_t id = 0;
    for (mt_node *n = b->root; n;) {
        n->in_batch = id;
        MT_TRY(put_node(b, n, id, n->parent ? n->parent->in_batch : -1, json, err));
        id++;
        if (n->child) {
            n = n->child;
            continue;
        }
        while (n && !n->sibling) n = n->parent;
        if (n) n = n->sibling;
    }
    return mt_buf_printf(json, err, "]}");
}
