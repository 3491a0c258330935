/* Evaluation of a batch = tokens + positions + visibility (model.h).
 *
 * Graphs are built for concrete sizes and kept: the decode loop finds its graph again and allocates nothing. While a
 * trace or a patch is set a batch is not cut, so that a traced value covers the whole batch. */
#include "session.h"

#include <stdio.h>

enum { DEFAULT_BATCH = 256, DEFAULT_SLOTS = 4096, STATES = 64 };

/* ---- building graphs ---- */

static mt_status build(const mt_model *m, mt_wanted wanted, void *arg, bool all_rows, int32_t T, int32_t rows,
                       int32_t columns, int32_t memory, mt_graph **out, mt_error *err) {
    mt_graph *g;
    MT_TRY(mt_graph_new(wanted, arg, &g, err));
    mt_model_adapt(m, g);
    mt_build b = {
        .m = m, .h = &m->h, .g = g, .T = T, .rows = rows, .columns = columns, .memory = memory, .all_rows = all_rows};
    if (memory < 0)
        mt_build_memory(&b);
    else
        m->arch->build(&b);
    mt_status status = mt_graph_prune(g, memory < 0 ? m->h.layers : 0, err);
    if (status == MT_OK) status = mt_graph_plan(g, err);
    if (status == MT_OK && rows > 0 && memory >= 0 && g->output < 0 && !m->h.headless)
        status = mt_fail(err, MT_ESTATE, "the graph of \"%s\" has no output", m->arch->name);
    if (status != MT_OK) {
        mt_graph_free(g);
        return status;
    }
    *out = g;
    return MT_OK;
}

static int wants_all(void *arg, const char *name) {
    (void)arg;
    (void)name;
    return MT_WANT_TRACE;
}

mt_status mt_trace_names(const mt_model *m, mt_buf *out, mt_error *err) {
    for (int32_t memory = m->encoder.layers ? -1 : 1; memory <= 1; memory += 2) { /* the encoder's, then the others */
        mt_graph *g;
        MT_TRY(build(m, wants_all, NULL, true, 1, 1, 1, memory, &g, err));
        mt_status status = MT_OK;
        for (int32_t i = 0; i < g->count && status == MT_OK; i++)
            if (g->nodes[i].name) status = mt_buf_printf(out, err, "%s\n", g->nodes[i].name);
        mt_graph_free(g);
        MT_TRY(status);
    }
    return MT_OK;
}

void mt_session_free_graphs(mt_session *s, bool only_wishes) {
    int32_t kept = 0;
    for (int32_t i = 0; i < s->graph_count; i++) {
        if (only_wishes && s->graphs[i].version == 0)
            s->graphs[kept++] = s->graphs[i];
        else
            mt_graph_free(s->graphs[i].graph);
    }
    s->graph_count = kept;
    s->traced = NULL;
    s->traced_count = 0;
}

/* Scores are stored: somebody looks at them, or a relative bias is added to them. */
static bool stored_scores(const mt_session *s) {
    return s->version || s->m->h.buckets || s->m->h.relation != MT_RELATION_NONE;
}

static mt_status find_graph(mt_session *s, int32_t T, int32_t rows, bool encoder, const mt_graph **out, mt_error *err) {
    int32_t columns = encoder ? T : stored_scores(s) ? s->columns : 0, oldest = 0;
    int32_t memory = encoder ? -1 : stored_scores(s) ? s->memory : 0;
    s->clock++;
    for (int32_t i = 0; i < s->graph_count; i++) {
        cached_graph *c = &s->graphs[i];
        if (c->T == T && c->rows == rows && c->columns == columns && c->memory == memory && c->version == s->version) {
            c->stamp = s->clock;
            *out = c->graph;
            return MT_OK;
        }
        if (c->stamp < s->graphs[oldest].stamp) oldest = i;
    }
    mt_graph *g;
    MT_TRY(build(s->m, s->version ? mt_session_wants : NULL, s, s->version != 0, T, rows, columns, memory, &g, err));
    int32_t at = oldest;
    if (s->graph_count < MT_MAX_GRAPHS)
        at = s->graph_count++;
    else
        mt_graph_free(s->graphs[at].graph);
    s->graphs[at] = (cached_graph){g, T, rows, columns, memory, s->version, s->clock};
    *out = g;
    return MT_OK;
}

/* ---- life ---- */

static mt_status new_states(mt_session *s, mt_error *err) {
    const mt_hyper *h = &s->m->h;
    size_t bytes = 0;
    s->states = s->kv.slots + 1 < STATES ? s->kv.slots + 1 : STATES;
    s->state = mt_calloc((size_t)h->layers, sizeof *s->state);
    s->state_of = mt_array((size_t)s->kv.slots, sizeof *s->state_of);
    s->state_owner = mt_array((size_t)s->states, sizeof *s->state_owner);
    s->state_stamp = mt_calloc((size_t)s->states, sizeof *s->state_stamp);
    if (!s->state || !s->state_of || !s->state_owner || !s->state_stamp)
        return mt_nomem(err, (size_t)s->kv.slots * 8, "the table of states");
    for (int32_t i = 0; i < s->kv.slots; i++) s->state_of[i] = -1;
    for (int32_t i = 0; i < s->states; i++) s->state_owner[i] = -1;
    for (int32_t l = 0; l < h->layers; l++) {
        if (!h->layer[l].recurrent) continue;
        bool fits = mt_mul_size(h->state_width, (size_t)s->states * sizeof(float), &bytes);
        s->state[l] = fits ? mt_alloc_aligned(bytes, 64) : NULL;
        if (!s->state[l]) return mt_nomem(err, bytes, "states");
    }
    return MT_OK;
}

mt_status mt_session_new(mt_model *m, mt_pool *pool, const mt_session_options *o, mt_session **out, mt_error *err) {
    const mt_hyper *h = &m->h;
    int32_t slots = o && o->slots ? o->slots : h->context < DEFAULT_SLOTS ? h->context : DEFAULT_SLOTS;
    int32_t max_batch = o && o->max_batch ? o->max_batch : DEFAULT_BATCH;
    if (slots < 1 || slots > 1 << 24) return mt_fail(err, MT_ERANGE, "%d slots, expected 1 to %d", slots, 1 << 24);
    mt_cache_type cache = o ? o->cache : MT_CACHE_F32;
    if ((unsigned)cache > MT_CACHE_Q8) return mt_fail(err, MT_EUNKNOWN, "a cache of kind %d", (int)cache);
    if (cache != MT_CACHE_F32 && (h->bidirectional || h->relation != MT_RELATION_NONE))
        return mt_fail(err, MT_ESTATE, "an encoder keeps no cache from call to call: it goes with f32, not with %s",
                       mt_cache_name(cache));
    if (max_batch < 1) return mt_fail(err, MT_ERANGE, "max_batch is %d, expected 1 or more", max_batch);
    mt_session *s = mt_calloc(1, sizeof *s);
    if (!s) return mt_nomem(err, sizeof *s, "a session");
    s->m = m;
    s->pool = pool;
    s->max_batch = max_batch;
    s->cache = cache;
    mt_status status = mt_kv_init(&s->kv, slots, err);
    if (status != MT_OK) goto failed;
    s->k = mt_calloc((size_t)h->layers, sizeof *s->k);
    s->v = mt_calloc((size_t)h->layers, sizeof *s->v);
    s->column = mt_array((size_t)slots, sizeof *s->column);
    if (!s->k || !s->v || !s->column) {
        status = mt_nomem(err, (size_t)h->layers * 2 * sizeof *s->k, "the cache");
        goto failed;
    }
    if (m->encoder.layers) {
        s->memory_k = mt_calloc((size_t)h->layers + 1, sizeof *s->memory_k);
        s->memory_v = mt_calloc((size_t)h->layers + 1, sizeof *s->memory_v);
        if (!s->memory_k || !s->memory_v) {
            status = mt_nomem(err, (size_t)h->layers * 2 * sizeof *s->k, "the encoder's output");
            goto failed;
        }
    }
    if (h->recurrent) {
        status = new_states(s, err);
        if (status != MT_OK) goto failed;
    }
    for (int32_t l = 0; l < h->layers; l++)
        for (int which = 0; which < 2 && !h->layer[l].recurrent; which++) {
            size_t bytes = (size_t)h->kv_heads * mt_cache_row(cache, which ? h->value_width : h->head_width);
            void **p = which ? &s->v[l] : &s->k[l];
            bool fits = mt_mul_size(bytes, (size_t)slots, &bytes);
            *p = fits ? mt_alloc_aligned(bytes, 64) : NULL;
            if (!*p) {
                mt_nomem(err, bytes, which ? "cached values" : "cached keys");
                status = mt_fail_in(err, "a cache of %d slots, layer %d of %d", slots, l, h->layers);
                if (!err) status = MT_ENOMEM;
                goto failed;
            }
        }
    for (int32_t r = 0; r < h->rope_count; r++) {
        size_t bytes = (size_t)(h->ropes[r].dims / 2) * sizeof(float);
        s->own_freq[r] = mt_malloc(bytes);
        if (!s->own_freq[r]) {
            status = mt_nomem(err, bytes, "rotary frequencies");
            goto failed;
        }
    }
    *out = s;
    return MT_OK;
failed:
    mt_session_free(s);
    return status;
}

void mt_session_free(mt_session *s) {
    if (!s) return;
    mt_session_free_graphs(s, false);
    mt_session_free_wishes(s);
    for (int32_t l = 0; l < s->m->h.layers; l++) {
        if (s->k) mt_free_aligned(s->k[l]);
        if (s->v) mt_free_aligned(s->v[l]);
        if (s->state) mt_free_aligned(s->state[l]);
    }
    mt_free(s->k);
    mt_free(s->v);
    mt_kv_free(&s->kv);
    for (int32_t l = 0; l <= s->m->h.layers; l++) {
        if (s->memory_k) mt_free_aligned(s->memory_k[l]);
        if (s->memory_v) mt_free_aligned(s->memory_v[l]);
    }
    mt_free(s->memory_k);
    mt_free(s->memory_v);
    mt_free(s->memory_runs);
    mt_free(s->identity);
    mt_free(s->state);
    mt_free(s->state_of);
    mt_free(s->state_owner);
    mt_free(s->state_stamp);
    mt_free(s->parent_row);
    mt_free(s->state_in);
    mt_free(s->state_out);
    mt_free_aligned(s->scratch);
    mt_free(s->slot);
    mt_free(s->position);
    mt_free(s->segment);
    mt_free(s->logit_of);
    mt_free(s->rows);
    mt_free(s->root);
    for (int i = 0; i < MT_MAX_WINDOWS; i++) {
        mt_free(s->runs[i]);
        mt_free(s->run_start[i]);
    }
    mt_free(s->logits);
    for (int r = 0; r < MT_MAX_ROPES; r++) mt_free(s->own_freq[r]);
    mt_free(s->column);
    mt_free(s->column_slots);
    mt_buf_free(&s->names);
    mt_free(s);
}

/* ---- evaluation ---- */

static mt_status grow_ids(int32_t **p, size_t *capacity, size_t need, mt_error *err) {
    void *list = *p;
    mt_status status = mt_grow(&list, capacity, need, sizeof **p, err);
    *p = list;
    return status;
}

/* The parent of row i of the batch, as the caller gave it. */
static int32_t parent_of(const mt_batch *b, int32_t i) {
    return b->parent ? b->parent[i] : i ? MT_IN_BATCH(i - 1) : MT_ROOT;
}

/* Tokens, parents and positions are in range; s->position is filled. */
static mt_status check_batch(mt_session *s, const mt_batch *b, mt_error *err) {
    const mt_hyper *h = &s->m->h;
    for (int32_t i = 0; i < b->count; i++) {
        int32_t parent = parent_of(b, i), position = 0;
        if (b->token[i] < 0 || b->token[i] >= h->vocab)
            return mt_fail(err, MT_ERANGE, "token %d of the batch is %d, expected 0 to %d", i, b->token[i],
                           h->vocab - 1);
        if (parent >= s->kv.slots || (parent >= 0 && !s->kv.live[parent]))
            return mt_fail(err, MT_ERANGE, "token %d of the batch follows slot %d, which holds nothing", i, parent);
        if (parent >= 0 && h->bidirectional)
            return mt_fail(err, MT_ESTATE,
                           "token %d of the batch follows slot %d, but an encoder reads a whole text at once", i,
                           parent);
        if (parent >= 0 && s->kv.orphan[parent])
            return mt_fail(err, MT_ESTATE, "token %d of the batch follows slot %d, one of whose ancestors was dropped",
                           i, parent);
        if (parent <= -2 && -2 - parent >= i)
            return mt_fail(err, MT_ERANGE, "token %d of the batch follows token %d, expected an earlier one", i,
                           -2 - parent);
        if (parent >= 0)
            position = s->kv.position[parent] + 1;
        else if (parent <= -2)
            position = s->position[-2 - parent] + 1;
        if (b->position) position = b->position[i];
        if (position < 0 || position == INT32_MAX)
            return mt_fail(err, MT_ERANGE, "token %d of the batch has position %d, expected 0 or more", i, position);
        if (h->position_rows && position + h->position_first >= h->position_rows)
            return mt_fail(err, MT_ELIMIT,
                           "token %d of the batch has position %d, but the model has learned only %d positions", i,
                           position, h->position_rows - h->position_first);
        if (h->relation == MT_RELATION_SINUSOID && position >= b->count)
            return mt_fail(
                err, MT_ERANGE,
                "token %d of the batch has position %d, expected less than the batch's %d tokens: positions are "
                "relative",
                i, position, b->count);
        s->position[i] = position;
        s->root[i] = parent <= -2 ? s->root[-2 - parent] : i;
    }
    return MT_OK;
}

/* Encoders: a row sees the rows of the batch that have the same root, within half a window on both sides. */
static mt_status find_runs_both_ways(mt_session *s, int32_t T, int32_t window, mt_run **runs, size_t *capacity,
                                     int32_t *start, mt_error *err) {
    size_t count = 0;
    start[0] = 0;
    for (int32_t t = 0; t < T; t++) {
        for (int32_t u = 0; u < T; u++) {
            int64_t apart = (int64_t)s->position[u] - s->position[t];
            if (s->root[u] != s->root[t] || (window && (apart < 0 ? -apart : apart) > window)) continue;
            mt_run *last = count > (size_t)start[t] ? &(*runs)[count - 1] : NULL;
            if (last && last->start + last->count == s->slot[u]) {
                last->count++;
                continue;
            }
            void *grown = *runs;
            mt_status status = mt_grow(&grown, capacity, count + 1, sizeof **runs, err);
            *runs = grown;
            if (status != MT_OK) return status;
            (*runs)[count++] = (mt_run){s->slot[u], 1};
        }
        if (count > INT32_MAX) return mt_fail(err, MT_ELIMIT, "the batch sees more than %d runs of slots", INT32_MAX);
        start[t + 1] = (int32_t)count;
    }
    return MT_OK;
}

static mt_status find_runs(mt_session *s, int32_t from, int32_t T, mt_error *err) {
    for (int32_t w = 0; w < s->m->h.window_count; w++) {
        size_t count = 0;
        MT_TRY(grow_ids(&s->run_start[w], &s->run_start_capacity[w], (size_t)T + 1, err));
        if (s->m->h.bidirectional) {
            MT_TRY(
                find_runs_both_ways(s, T, s->m->h.windows[w], &s->runs[w], &s->runs_capacity[w], s->run_start[w], err));
            continue;
        }
        s->run_start[w][0] = 0;
        for (int32_t t = 0; t < T; t++) {
            int32_t slot = s->slot[from + t], window = s->m->h.windows[w];
            int32_t n = mt_kv_runs(&s->kv, slot, window, NULL);
            void *runs = s->runs[w];
            mt_status status = mt_grow(&runs, &s->runs_capacity[w], count + (size_t)n, sizeof(mt_run), err);
            s->runs[w] = runs;
            if (status != MT_OK) return status;
            mt_kv_runs(&s->kv, slot, window, s->runs[w] + count);
            count += (size_t)n;
            if (count > INT32_MAX)
                return mt_fail(err, MT_ELIMIT, "the batch sees more than %d runs of slots", INT32_MAX);
            s->run_start[w][t + 1] = (int32_t)count;
        }
    }
    return MT_OK;
}

int32_t mt_session_take_state(mt_session *s, int32_t slot) {
    int32_t best = -1;
    for (int32_t i = 0; i < s->states; i++) {
        int32_t owner = s->state_owner[i];
        bool idle = owner < 0 || !s->kv.live[owner] || s->state_of[owner] != i;
        if (!idle && (s->state_stamp[i] == s->clock || s->kv.holds[owner])) continue;
        if (best < 0 || idle || s->state_stamp[i] < s->state_stamp[best]) best = i;
        if (idle) break;
    }
    if (best < 0) return -1;
    if (s->state_owner[best] >= 0 && s->state_of[s->state_owner[best]] == best) s->state_of[s->state_owner[best]] = -1;
    s->state_owner[best] = slot;
    s->state_of[slot] = best;
    s->state_stamp[best] = s->clock;
    return best;
}

/* Recurrent models: a row continues the state of the row before it, or of a kept one. Kept are the states of rows that
 * nothing follows in this batch and of those that another row than the next one follows. */
static mt_status find_states(mt_session *s, const mt_batch *b, mt_error *err) {
    size_t n = (size_t)b->count;
    int32_t most = s->version ? b->count : s->max_batch;
    MT_TRY(grow_ids(&s->parent_row, &s->parent_row_capacity, n, err));
    MT_TRY(grow_ids(&s->state_in, &s->state_in_capacity, n, err));
    MT_TRY(grow_ids(&s->state_out, &s->state_out_capacity, n, err));
    s->clock++;
    for (int32_t i = 0; i < b->count; i++) s->state_of[s->slot[i]] = -1;
    for (int32_t i = 0; i < b->count; i++) s->state_out[i] = -2; /* nothing follows */
    for (int32_t i = 0; i < b->count; i++) {
        int32_t parent = parent_of(b, i), row = parent <= -2 ? -2 - parent : -1;
        bool same_part = row >= 0 && row / most == i / most;
        s->parent_row[i] = same_part ? row % most : -1;
        s->state_in[i] = -1;
        if (row >= 0) {
            bool next = same_part && row == i - 1;
            if (!next)
                s->state_out[row] = 0;
            else if (s->state_out[row] == -2)
                s->state_out[row] = -1;
        } else if (parent >= 0) {
            int32_t state = s->state_of[parent];
            if (state < 0)
                return mt_fail(
                    err, MT_ESTATE,
                    "token %d of the batch follows slot %d, but the state after it is not kept: a recurrent model "
                    "keeps those at the ends of batches, the last %d",
                    i, parent, s->states);
            s->state_stamp[state] = s->clock;
            s->state_in[i] = state;
        }
    }
    for (int32_t i = 0; i < b->count; i++) {
        if (s->state_out[i] == -1) continue;
        s->state_out[i] = mt_session_take_state(s, s->slot[i]);
        if (s->state_out[i] < 0)
            return mt_fail(err, MT_ELIMIT,
                           "the batch has more than %d ends and forks: a recurrent model keeps a state for each",
                           s->states);
    }
    for (int32_t i = 0; i < b->count; i++) { /* parents in an earlier part of a batch that is cut */
        int32_t parent = parent_of(b, i);
        if (parent <= -2 && s->parent_row[i] < 0) s->state_in[i] = s->state_out[-2 - parent];
    }
    return MT_OK;
}

/* Columns of stored scores: every slot that some row sees, by position, then by slot. */
static mt_status find_columns(mt_session *s, int32_t T, mt_error *err) {
    s->columns = 0;
    for (int32_t i = 0; i < s->kv.slots; i++) s->column[i] = -1;
    for (int32_t r = 0; r < s->run_start[0][T]; r++)
        for (int32_t i = s->runs[0][r].start; i < s->runs[0][r].start + s->runs[0][r].count; i++) {
            if (s->column[i] >= 0) continue;
            s->column[i] = 0;
            s->columns++;
        }
    MT_TRY(grow_ids(&s->column_slots, &s->column_capacity, (size_t)s->columns, err));
    int32_t n = 0;
    for (int32_t i = 0; i < s->kv.slots; i++)
        if (s->column[i] >= 0) s->column_slots[n++] = i;
    /* Insertion sort: slots of a chain are in order already. */
    for (int32_t i = 1; i < n; i++) {
        int32_t slot = s->column_slots[i], at = i;
        while (at > 0 && s->kv.position[s->column_slots[at - 1]] > s->kv.position[slot]) {
            s->column_slots[at] = s->column_slots[at - 1];
            at--;
        }
        s->column_slots[at] = slot;
    }
    for (int32_t i = 0; i < n; i++) s->column[s->column_slots[i]] = i;
    return MT_OK;
}

/* Whether the logits of a row are kept. */
static bool wanted(const mt_session *s, const mt_batch *b, int32_t i) {
    if (s->stop) return false;
    return b->want ? b->want[i] != 0 : i == b->count - 1;
}

static mt_status prepare(mt_session *s, const mt_graph *g, mt_error *err) {
    if (s->patch_count) MT_TRY(mt_session_check_patches(s, g, err));
    if (g->scratch <= s->scratch_size) return MT_OK;
    mt_free_aligned(s->scratch);
    s->scratch_size = 0;
    s->scratch = mt_alloc_aligned(g->scratch * sizeof(float), 64);
    if (!s->scratch) return mt_nomem(err, g->scratch * sizeof(float), "intermediate values");
    s->scratch_size = g->scratch;
    return MT_OK;
}

static void run_graph(mt_session *s, const mt_graph *g, const mt_feed *feed) {
    mt_graph_run(g, s->pool, s->scratch, feed);
    s->traced = NULL;
    s->traced_count = 0;
    for (int32_t n = 0; s->version && n < g->count; n++) s->traced_count += g->nodes[n].kept;
    if (s->traced_count) s->traced = g;
}

/* Every one of T rows sees the whole memory. */
static mt_status memory_runs(mt_session *s, int32_t T, mt_error *err) {
    size_t most = (size_t)(T > s->memory ? T : s->memory) + 1;
    void *runs = s->memory_runs;
    mt_status status = mt_grow(&runs, &s->memory_runs_capacity, (size_t)T, sizeof *s->memory_runs, err);
    s->memory_runs = runs;
    if (status != MT_OK) return status;
    for (int32_t t = 0; t < T; t++) s->memory_runs[t] = (mt_run){0, s->memory};
    MT_TRY(grow_ids(&s->identity, &s->identity_capacity, most, err));
    for (; s->identity_count < most; s->identity_count++) s->identity[s->identity_count] = (int32_t)s->identity_count;
    return MT_OK;
}

mt_status mt_session_new_memory(mt_session *s, int32_t count, mt_error *err) {
    if (count <= s->memory_capacity) return MT_OK;
    const mt_hyper *h = &s->m->h, *e = &s->m->encoder;
    s->memory_capacity = 0;
    for (int32_t l = 0; l <= h->layers; l++)
        for (int which = 0; which < 2; which++) {
            const mt_hyper *half = l < h->layers ? h : e;
            size_t bytes = (size_t)half->kv_heads * (size_t)(which ? half->value_width : half->head_width);
            float **p = which ? &s->memory_v[l] : &s->memory_k[l];
            bool fits = mt_mul_size(bytes * sizeof(float), (size_t)count, &bytes);
            mt_free_aligned(*p);
            *p = fits ? mt_alloc_aligned(bytes, 64) : NULL;
            if (!*p)
                return mt_nomem(err, bytes, which ? "values of the encoder's output" : "keys of the encoder's output");
        }
    s->memory_capacity = count;
    return MT_OK;
}

mt_status mt_session_feed_source(mt_session *s, const int32_t *token, int32_t count, mt_feed *out, mt_error *err) {
    const mt_hyper *e = &s->m->encoder;
    if (count < 1) return mt_fail(err, MT_ERANGE, "a source of %d tokens, expected 1 or more", count);
    if (e->position_rows && count > e->position_rows - e->position_first)
        return mt_fail(err, MT_ELIMIT, "a source of %d tokens, but the encoder has learned only %d positions", count,
                       e->position_rows - e->position_first);
    for (int32_t i = 0; i < count; i++)
        if (token[i] < 0 || token[i] >= e->vocab)
            return mt_fail(err, MT_ERANGE, "token %d of the source is %d, expected 0 to %d", i, token[i], e->vocab - 1);
    MT_TRY(mt_session_new_memory(s, count, err));
    s->memory = count;
    MT_TRY(memory_runs(s, count, err));
    s->source_runs = s->memory_runs;
    s->source_start = s->identity;
    *out = (mt_feed){.T = count,
                     .token = token,
                     .position = s->identity,
                     .slot = s->identity,
                     .runs = &s->source_runs,
                     .run_start = &s->source_start,
                     .slot_position = s->identity,
                     .k = (void *const *)s->memory_k,
                     .v = (void *const *)s->memory_v,
                     .slots = s->memory_capacity,
                     .columns = count,
                     .column = s->identity,
                     .column_slot = s->identity};
    return MT_OK;
}

static mt_status encode(mt_session *s, const int32_t *token, int32_t count, mt_error *err) {
    mt_feed feed;
    const mt_graph *g;
    MT_TRY(mt_session_feed_source(s, token, count, &feed, err));
    MT_TRY(find_graph(s, count, 0, true, &g, err));
    MT_TRY(prepare(s, g, err));
    feed.patch = s->patch_count ? mt_session_patch : NULL;
    feed.patch_arg = s;
    run_graph(s, g, &feed);
    for (int32_t n = 0; n < g->count; n++)
        if (g->nodes[n].stop) s->memory = 0; /* there is nothing for a decoder to look at */
    return MT_OK;
}

mt_status mt_session_encode(mt_session *s, const int32_t *token, int32_t count, mt_error *err) {
    if (!s->m->encoder.layers)
        return mt_fail(err, MT_ESTATE, "a model of architecture \"%s\" has no encoder beside a decoder",
                       s->m->arch->name);
    mt_session_reset(s);
    s->memory = 0;
    mt_status status = encode(s, token, count, err);
    if (status != MT_OK) s->memory = 0;
    return status;
}

mt_status mt_session_feed(mt_session *s, const mt_batch *b, int32_t from, int32_t T, bool columns, mt_feed *out,
                          mt_error *err) {
    MT_TRY(find_runs(s, from, T, err));
    if (columns) MT_TRY(find_columns(s, T, err));
    if (s->m->encoder.layers) MT_TRY(memory_runs(s, T, err));
    for (int32_t t = 0, rows = 0; t < T; t++)
        if (wanted(s, b, from + t)) s->rows[rows++] = t;
    bool recurrent = s->m->h.recurrent;
    *out = (mt_feed){.T = T,
                     .token = b->token + from,
                     .position = s->position + from,
                     .segment = s->segment_count ? s->segment + from : NULL,
                     .slot = s->slot + from,
                     .rows = s->rows,
                     .runs = (const mt_run *const *)s->runs,
                     .run_start = (const int32_t *const *)s->run_start,
                     .slot_position = s->kv.position,
                     .inv_freq = s->inv_freq,
                     .parent_row = recurrent ? s->parent_row + from : NULL,
                     .state_in = recurrent ? s->state_in + from : NULL,
                     .state_out = recurrent ? s->state_out + from : NULL,
                     .state = s->state,
                     .state_width = s->m->h.state_width,
                     .cache = s->cache,
                     .k = s->k,
                     .v = s->v,
                     .slots = s->kv.slots,
                     .columns = s->columns,
                     .column = s->column,
                     .column_slot = s->column_slots,
                     .memory_k = s->memory_k,
                     .memory_v = s->memory_v,
                     .memory = s->memory_capacity,
                     .memory_columns = s->memory,
                     .memory_runs = s->memory_runs,
                     .identity = s->identity};
    return MT_OK;
}

static mt_status eval_rows(mt_session *s, const mt_batch *b, int32_t from, int32_t T, int32_t logits_before,
                           mt_error *err) {
    int32_t rows = 0;
    for (int32_t t = 0; t < T; t++) rows += wanted(s, b, from + t);
    mt_feed feed;
    const mt_graph *g;
    MT_TRY(mt_session_feed(s, b, from, T, stored_scores(s), &feed, err));
    MT_TRY(find_graph(s, T, rows, false, &g, err));
    MT_TRY(prepare(s, g, err));
    feed.output = s->logits + (size_t)logits_before * (size_t)s->m->h.vocab;
    feed.patch = s->patch_count ? mt_session_patch : NULL;
    feed.patch_arg = s;
    run_graph(s, g, &feed);
    return MT_OK;
}

mt_status mt_session_begin(mt_session *s, const mt_batch *b, int32_t *taken, mt_error *err) {
    size_t n = (size_t)b->count;
    *taken = 0;
    if (b->count < 1) return mt_fail(err, MT_ERANGE, "a batch of %d tokens, expected 1 or more", b->count);
    MT_TRY(grow_ids(&s->slot, &s->slot_capacity, n, err));
    MT_TRY(grow_ids(&s->position, &s->position_capacity, n, err));
    MT_TRY(grow_ids(&s->rows, &s->rows_capacity, n, err));
    MT_TRY(grow_ids(&s->root, &s->root_capacity, n, err));
    MT_TRY(check_batch(s, b, err));
    if (s->segment_count && s->segment_count != b->count)
        return mt_fail(err, MT_ERANGE, "segments of %d tokens, but a batch of %d", s->segment_count, b->count);
    for (int32_t i = 0; i < b->count && s->m->h.headless; i++)
        if (wanted(s, b, i))
            return mt_fail(err, MT_EMISSING,
                           "the file holds no language-model head: there are hidden states, but no logits");
    if (b->count > s->kv.slots - s->kv.used)
        return mt_fail(err, MT_ELIMIT, "the context is full: a batch of %d tokens, but %d of %d slots are free",
                       b->count, s->kv.slots - s->kv.used, s->kv.slots);
    for (int32_t i = 0; i < b->count; i++) {
        int32_t parent = parent_of(b, i);
        if (parent <= -2) parent = s->slot[-2 - parent];
        s->slot[i] = mt_kv_take(&s->kv, parent, s->position[i]);
        s->kv.token[s->slot[i]] = b->token[i];
        ++*taken;
    }
    if (s->m->h.recurrent) MT_TRY(find_states(s, b, err));
    int32_t length = 0;
    for (int32_t i = 0; i < b->count; i++) length = s->position[i] >= length ? s->position[i] + 1 : length;
    for (int32_t r = 0; r < s->m->h.rope_count; r++)
        s->inv_freq[r] = mt_rope_update(&s->m->h.ropes[r], length, &s->reached[r], s->own_freq[r]);
    return MT_OK;
}

void mt_session_drop_batch(mt_session *s, int32_t taken) { /* children have higher batch indices than their parents */
    while (taken > 0) mt_kv_drop(&s->kv, s->slot[--taken]);
}

static mt_status eval(mt_session *s, const mt_batch *b, int32_t *taken, mt_error *err) {
    size_t logits;
    int32_t wants = 0, before = 0;
    MT_TRY(mt_session_begin(s, b, taken, err));
    MT_TRY(grow_ids(&s->logit_of, &s->logit_capacity, (size_t)b->count, err));
    for (int32_t i = 0; i < b->count; i++) s->logit_of[i] = wanted(s, b, i) ? wants++ : -1;
    if (!mt_mul_size((size_t)wants, (size_t)s->m->h.vocab, &logits))
        return mt_fail(err, MT_ELIMIT, "%d rows of logits do not fit the address space", wants);
    void *grown = s->logits;
    mt_status status = mt_grow(&grown, &s->logits_capacity, logits, sizeof *s->logits, err);
    s->logits = grown;
    if (status != MT_OK) return status;
    for (int32_t from = 0; from < b->count;) {
        int32_t T = b->count - from;
        if (T > s->max_batch && !s->version && !s->m->h.bidirectional) T = s->max_batch;
        MT_TRY(eval_rows(s, b, from, T, before, err));
        for (int32_t t = 0; t < T; t++) before += s->logit_of[from + t] >= 0;
        from += T;
    }
    return MT_OK;
}

mt_status mt_session_segments(mt_session *s, const int32_t *segment, int32_t count, mt_error *err) {
    int32_t types = s->m->h.types;
    s->segment_count = 0;
    for (int32_t i = 0; i < count; i++)
        if (segment[i] < 0 || segment[i] >= (types ? types : 1))
            return mt_fail(err, MT_ERANGE, "token %d of the batch is of segment %d, but the model has %d", i,
                           segment[i], types);
    MT_TRY(grow_ids(&s->segment, &s->segment_capacity, (size_t)(count > 0 ? count : 1), err));
    for (int32_t i = 0; i < count; i++) s->segment[i] = segment[i];
    s->segment_count = count;
    return MT_OK;
}

mt_status mt_session_eval(mt_session *s, const mt_batch *b, mt_error *err) {
    s->batch_rows = 0;
    s->traced = NULL;
    s->traced_count = 0;
    if (s->m->encoder.layers && !s->memory)
        return mt_fail(err, MT_ESTATE, "the decoder has nothing to look at: the source text must be encoded first");
    int32_t taken = 0;
    mt_status status = eval(s, b, &taken, err);
    s->segment_count = 0;
    if (status != MT_OK) {
        mt_session_drop_batch(s, taken);
        return status;
    }
    if (mt_session_partial(s)) { /* not all of their keys, values and states are there */
        while (taken > 0) {
            mt_kv_drop(&s->kv, s->slot[--taken]);
            s->slot[taken] = MT_ROOT;
        }
    }
    if (b->slot) memcpy(b->slot, s->slot, (size_t)b->count * sizeof *b->slot);
    s->batch_rows = b->count;
    return MT_OK;
}

const float *mt_session_logits(const mt_session *s, int32_t i) {
    if (i < 0 || i >= s->batch_rows || s->logit_of[i] < 0) return NULL;
    return s->logits + (size_t)s->logit_of[i] * (size_t)s->m->h.vocab;
}

/* ---- slots ---- */

mt_model *mt_session_model(const mt_session *s) {
    return s->m;
}
int32_t mt_session_free_slots(const mt_session *s) {
    return s->kv.slots - s->kv.used;
}
int32_t mt_session_slots(const mt_session *s) {
    return s->kv.slots;
}
void mt_session_drop(mt_session *s, int32_t slot) {
    mt_kv_drop(&s->kv, slot);
}
void mt_session_keep_chain(mt_session *s, int32_t slot) {
    mt_kv_keep_chain(&s->kv, slot);
}
void mt_session_reset(mt_session *s) {
    mt_kv_reset(&s->kv);
}
int32_t mt_session_parent(const mt_session *s, int32_t slot) {
    return slot < 0 || slot >= s->kv.slots || !s->kv.live[slot] ? MT_ROOT : s->kv.parent[slot];
}
