/* Several continuations of one text. A state is a list of open contexts; the contexts themselves are nodes of one tree,
 * so continuations share what they have in common, and what they wait for is evaluated in one pass. */
#include "tree.h"

#include <stdlib.h>

/* ---- states ---- */

mt_status mt_bytes_save(mt_bytes *b, size_t from, mt_bytes_state *out, mt_error *err) {
    size_t guesses = 0, length = b->text.len - from;
    for (size_t k = 0; k < b->open_count; k++) guesses += b->open[k]->place.count;
    *out = (mt_bytes_state){.open = mt_array(b->open_count, sizeof *out->open),
                            .at = mt_array(guesses, sizeof *out->at),
                            .after = mt_malloc(length),
                            .count = b->open_count,
                            .from = from,
                            .length = length,
                            .lost = b->lost,
                            .trimmed = b->trimmed};
    if (!out->open || !out->at || !out->after) {
        mt_free(out->open);
        mt_free(out->at);
        mt_free(out->after);
        *out = (mt_bytes_state){0};
        return mt_nomem(err, b->open_count * sizeof *out->open + guesses * 4 + length, "the state of a byte model");
    }
    if (length) memcpy(out->after, b->text.data + from, length);
    int32_t *at = out->at;
    for (size_t k = 0; k < b->open_count; k++) {
        mt_node *n = b->open[k];
        n->holds++;
        out->open[k] = (mt_bytes_open){n, n->lo, n->hi, n->witness, n->least, n->extended};
        for (size_t i = 0; i < n->place.count; i++) *at++ = n->place.guess[i].at;
    }
    return MT_OK;
}

mt_status mt_bytes_return(mt_bytes *b, const mt_bytes_state *state, mt_error *err) {
    size_t length = state->from + state->length;
    if (length > b->text.len) MT_TRY(mt_buf_reserve(&b->text, length - b->text.len, err));
    MT_TRY(mt_grow((void **)&b->open, &b->open_cap, state->count, sizeof(mt_node *), err));
    while (b->open_count) mt_node_close(b, b->open[b->open_count - 1]);
    if (state->length) memcpy(b->text.data + state->from, state->after, state->length);
    b->text.len = length;
    b->lost = state->lost;
    b->trimmed = state->trimmed;
    const int32_t *at = state->at;
    for (size_t k = 0; k < state->count; k++) {
        const mt_bytes_open *o = &state->open[k];
        mt_node *n = o->node;
        n->lo = o->lo;
        n->hi = o->hi;
        n->witness = o->witness;
        n->least = o->least;
        n->extended = o->extended;
        n->open = true;
        b->open[b->open_count++] = n;
        for (size_t i = 0; i < n->place.count; i++) n->place.guess[i].at = *at++;
    }
    return MT_OK;
}

void mt_bytes_state_free(mt_bytes *b, mt_bytes_state *state) {
    for (size_t k = 0; k < state->count; k++) {
        mt_node *n = state->open[k].node;
        if (--n->holds == 0 && !n->open) mt_node_close(b, n);
    }
    mt_free(state->open);
    mt_free(state->at);
    mt_free(state->after);
    *state = (mt_bytes_state){0};
}

/* ---- the best continuations ---- */

typedef struct branch {
    mt_bytes_state state;
    uint8_t *bytes; /* [length] */
    size_t n;
    double logp;
} branch;

typedef struct option { /* a branch and its next symbol */
    int32_t from, symbol;
    double logp;
} option;

static int by_logp(const void *a, const void *b) {
    const option *x = a, *y = b;
    if (x->logp != y->logp) return x->logp > y->logp ? -1 : 1;
    if (x->from != y->from) return x->from < y->from ? -1 : 1;
    return x->symbol - y->symbol;
}
static int best_first(const void *a, const void *b) {
    const mt_byte_path *x = a, *y = b;
    if (x->logp != y->logp) return x->logp > y->logp ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static void branch_free(mt_bytes *b, branch *x) {
    if (x->state.open) mt_bytes_state_free(b, &x->state);
    mt_free(x->bytes);
    *x = (branch){0};
}

static mt_status add_path(mt_byte_paths *out, size_t *cap, const branch *x, bool ends, double logp, mt_error *err) {
    MT_TRY(mt_grow((void **)&out->path, cap, (size_t)out->count + 1, sizeof *out->path, err));
    mt_byte_path path = {out->bytes.len, x->n, ends, logp};
    MT_TRY(mt_buf_add(&out->bytes, x->bytes, x->n, err));
    out->path[out->count++] = path;
    return MT_OK;
}

/* The branch after one more byte. */
static mt_status grow(mt_bytes *b, const branch *from, size_t base, uint8_t byte, double logp, branch *to,
                      mt_error *err) {
    to->bytes = mt_malloc(from->n + 1);
    if (!to->bytes) return mt_nomem(err, from->n + 1, "a continuation");
    if (from->n) memcpy(to->bytes, from->bytes, from->n);
    to->bytes[from->n] = byte;
    to->n = from->n + 1;
    to->logp = logp;
    MT_TRY(mt_bytes_return(b, &from->state, err));
    MT_TRY(mt_bytes_trim(b, err));
    MT_TRY(mt_bytes_push_one(b, byte, err));
    MT_TRY(mt_bytes_extend(b, err)); /* its contexts wait for the pass that evaluates those of all branches */
    return mt_bytes_save(b, base, &to->state, err);
}

/* All that can come next, best first. */
static mt_status options_of(mt_bytes *b, const branch *live, int32_t count, option *list, size_t *n, mt_error *err) {
    mt_next_bytes next;
    *n = 0;
    for (int32_t i = 0; i < count; i++) {
        MT_TRY(mt_bytes_return(b, &live[i].state, err));
        MT_TRY(mt_bytes_next(b, &next, err));
        for (int c = 0; c < 257; c++)
            if (next.exact[c] > -INFINITY) list[(*n)++] = (option){i, c, live[i].logp + next.exact[c]};
    }
    qsort(list, *n, sizeof *list, by_logp);
    return MT_OK;
}

static mt_status search(mt_bytes *b, branch *live, branch *next, option *list, int32_t length, int32_t width,
                        mt_byte_paths *out, mt_error *err) {
    size_t base = b->text.len, cap = 0, options;
    int32_t count = 1;
    MT_TRY(mt_bytes_save(b, base, &live[0].state, err));
    for (int32_t step = 0; step < length && count; step++) {
        MT_TRY(options_of(b, live, count, list, &options, err));
        int32_t kept = 0;
        for (size_t i = 0; i < options; i++) {
            const branch *from = &live[list[i].from];
            if (i >= (size_t)width) {
                out->pruned = list[i].logp > out->pruned ? list[i].logp : out->pruned;
                break;
            }
            if (list[i].symbol == 256)
                MT_TRY(add_path(out, &cap, from, true, list[i].logp, err));
            else
                MT_TRY(grow(b, from, base, (uint8_t)list[i].symbol, list[i].logp, &next[kept++], err));
        }
        for (int32_t i = 0; i < count; i++) branch_free(b, &live[i]);
        memcpy(live, next, (size_t)kept * sizeof *live);
        memset(next, 0, (size_t)width * sizeof *next);
        count = kept;
    }
    for (int32_t i = 0; i < count; i++) MT_TRY(add_path(out, &cap, &live[i], false, live[i].logp, err));
    qsort(out->path, (size_t)out->count, sizeof *out->path, best_first);
    return MT_OK;
}

mt_status mt_bytes_best(mt_bytes *b, int32_t length, int32_t width, mt_byte_paths *out, mt_error *err) {
    *out = (mt_byte_paths){.pruned = -INFINITY};
    if (length < 1 || width < 1 || width > 1 << 16)
        return mt_fail(err, MT_ERANGE, "%d bytes by a beam of %d: expected 1 or more of both, and at most 65536 wide",
                       length, width);
    bool naive = b->want_naive;
    mt_bytes_state here;
    branch *live = mt_calloc((size_t)width, sizeof *live), *next = mt_calloc((size_t)width, sizeof *next);
    option *list = mt_array((size_t)width * 257, sizeof *list);
    mt_status status = live && next && list ? MT_OK : mt_nomem(err, (size_t)width * 257 * sizeof *list, "a beam");
    if (!status) status = mt_bytes_trim(b, err);
    if (!status) status = mt_bytes_extend(b, err); /* states hold what was made for them */
    if (!status) status = mt_bytes_save(b, b->text.len, &here, err);
    if (!status) {
        b->want_naive = false;
        mt_tree_forget_ahead(b, SIZE_MAX);
        status = search(b, live, next, list, length, width, out, err);
        b->want_naive = naive;
        mt_bytes_return(b, &here, NULL); /* cannot fail: nothing has to grow */
        mt_bytes_state_free(b, &here);
        for (int32_t i = 0; i < width; i++) {
            branch_free(b, &live[i]);
            branch_free(b, &next[i]);
        }
    }
    mt_free(live);
    mt_free(next);
    mt_free(list);
    if (status) mt_byte_paths_free(out);
    return status;
}

void mt_byte_paths_free(mt_byte_paths *p) {
    mt_free(p->path);
    mt_buf_free(&p->bytes);
    *p = (mt_byte_paths){.pruned = -INFINITY};
}
