/* Fine-tuning of a loaded model (train.h): masters of its parameters as float32 variables, which are packed again after
 * every step, and low-rank adapters beside matrices that stay as they are. */
#include "train.h"

#include "../model/container.h"

#include <math.h>
#include <stdio.h>

/* A variable and what it becomes: one matrix of a parameter, or all of a vector. */
typedef struct master {
    mt_variable *v;
    mt_param *p;
    int32_t which; /* of p's matrices */
    bool plus_one, minus_exp;
} master;

typedef struct adapter {
    mt_param *p;
    mt_weight a, b;
    mt_variable *va, *vb;
} adapter;

struct mt_tune {
    mt_model *m;
    mt_variables *vs;
    float scale;
    master *masters;
    size_t master_count, master_capacity;
    adapter **adapters; /* each at a place of its own, which nodes hold */
    size_t adapter_count, adapter_capacity;
    bool merged;
};

/* ---- masters ---- */

static void pack(mt_pool *pool, mt_weight *w, const float *values) {
    mt_weight_put_rows(pool, w, 0, w->rows, values);
}

/* The same matrix as float32; values: room for it, NULL: none is needed. */
static mt_status as_floats(mt_model *m, mt_weight *w, float *values, mt_error *err) {
    for (int32_t r = 0; values && r < w->rows; r++) mt_weight_row(w, r, values + (size_t)r * (size_t)w->cols);
    if (w->type == MT_F32) return MT_OK;
    mt_weight made;
    MT_TRY(mt_weight_new(&made, MT_F32, w->rows, w->cols, err));
    float *row = mt_array((size_t)w->cols, sizeof *row);
    if (!row) {
        mt_weight_free(&made);
        return mt_nomem(err, (size_t)w->cols * sizeof *row, "a row");
    }
    for (int32_t r = 0; r < w->rows; r++) {
        mt_weight_row(w, r, row);
        mt_weight_put_rows(NULL, &made, r, 1, row);
    }
    mt_free(row);
    m->weight_bytes += made.bytes - w->bytes;
    mt_weight_free(w);
    *w = made;
    return MT_OK;
}

/* What is kept as -exp(x) is negative, and must stay so: x is trained. */
static bool is_minus_exp(const mt_param *p) {
    bool negative = p->vector && (p->role == MT_ROLE_SSM_A || p->role == MT_ROLE_DECAY);
    for (int32_t i = 0; negative && i < p->rows; i++) negative = p->values[i] < 0;
    return negative;
}

static mt_status add_master(mt_tune *t, mt_param *p, int32_t which, bool plus_one, mt_error *err) {
    char name[160], number[16] = "";
    int32_t dims[2] = {p->rows, p->cols};
    void *list = t->masters;
    mt_status status = mt_grow(&list, &t->master_capacity, t->master_count + 1, sizeof *t->masters, err);
    t->masters = list;
    MT_TRY(status);
    if (p->count > 1) snprintf(number, sizeof number, ".%d", which);
    snprintf(name, sizeof name, "%s%s", p->name, number);
    master x = {.p = p, .which = which, .plus_one = plus_one, .minus_exp = is_minus_exp(p)};
    MT_TRY(mt_variable_add(t->vs, name, p->vector ? 1 : 2, dims, &x.v, err));
    if (p->vector) {
        for (size_t i = 0; i < x.v->count; i++)
            x.v->value[i] = x.minus_exp ? logf(-p->values[i]) : p->values[i] - (plus_one ? 1 : 0);
    } else {
        MT_TRY(as_floats(t->m, &p->weight[which], x.v->value, err));
    }
    MT_TRY(mt_variable_bind(t->vs, x.v, p->vector ? (const void *)p->values : &p->weight[which], err));
    t->masters[t->master_count++] = x;
    return MT_OK;
}

static bool has_master(const mt_tune *t, const mt_param *p) {
    for (size_t i = 0; i < t->master_count; i++)
        if (t->masters[i].p == p) return true;
    return false;
}

/* ---- adapters ---- */

/* Which parameters' matrices are used in products alone: bit 0 in some, bit 1 elsewhere too. */
static mt_status find_uses(const mt_model *m, mt_map64 *uses, mt_error *err) {
    mt_graph *g;
    int32_t border;
    MT_TRY(
        mt_model_graph(m, NULL, NULL, (mt_build){.T = 1, .rows = 1, .columns = 1, .memory = 1}, 1, &g, &border, err));
    mt_status status = MT_OK;
    for (int32_t i = 0; i < g->count && status == MT_OK; i++)
        for (int k = 0; k < MT_NODE_INPUTS && status == MT_OK; k++) {
            const mt_node *n = &g->nodes[i], *w = n->in[k] >= 0 ? &g->nodes[n->in[k]] : NULL;
            int32_t use = 0;
            if (!w || w->op != MT_OP_WEIGHT) continue;
            mt_map64_get(uses, (uint64_t)(uintptr_t)w->weight, &use);
            use |= n->op == MT_OP_MATMUL && k == 1 ? 1 : 2;
            status = mt_map64_set(uses, (uint64_t)(uintptr_t)w->weight, use, err);
        }
    mt_graph_free(g);
    return status;
}

static bool can_adapt(const mt_param *p, const mt_map64 *uses) {
    int32_t use;
    return !p->vector && p->count == 1 && p->filled && mt_map64_get(uses, (uint64_t)(uintptr_t)p->weight, &use) &&
           use == 1;
}

static mt_status add_adapter(mt_tune *t, mt_param *p, int32_t rank, mt_rng *rng, mt_error *err) {
    char name[160];
    for (size_t i = 0; i < t->adapter_count; i++)
        if (t->adapters[i]->p == p) return MT_OK;
    void *list = t->adapters;
    mt_status status = mt_grow(&list, &t->adapter_capacity, t->adapter_count + 1, sizeof *t->adapters, err);
    t->adapters = list;
    MT_TRY(status);
    adapter *x = mt_calloc(1, sizeof *x);
    if (!x) return mt_nomem(err, sizeof *x, "an adapter");
    t->adapters[t->adapter_count++] = x;
    x->p = p;
    int32_t a[2] = {rank, p->cols}, b[2] = {p->rows, rank};
    MT_TRY(mt_weight_new(&x->a, MT_F32, rank, p->cols, err));
    MT_TRY(mt_weight_new(&x->b, MT_F32, p->rows, rank, err));
    snprintf(name, sizeof name, "%s.lora_a", p->name);
    MT_TRY(mt_variable_add(t->vs, name, 2, a, &x->va, err));
    snprintf(name, sizeof name, "%s.lora_b", p->name);
    MT_TRY(mt_variable_add(t->vs, name, 2, b, &x->vb, err));
    MT_TRY(mt_variable_bind(t->vs, x->va, &x->a, err));
    MT_TRY(mt_variable_bind(t->vs, x->vb, &x->b, err));
    double deviation = 1 / sqrt((double)p->cols);
    for (size_t i = 0; i < x->va->count; i++) x->va->value[i] = (float)(deviation * mt_rng_normal(rng));
    return mt_model_set_adapter(t->m, p->weight, &(mt_adapter){&x->a, &x->b, t->scale}, err);
}

static mt_status add_adapters(mt_tune *t, const mt_tune_options *o, const mt_tensors *names, const bool *found,
                              mt_error *err) {
    const mt_model *m = t->m;
    mt_map64 uses = {0};
    mt_rng rng;
    mt_rng_seed(&rng, o->seed);
    mt_status status = find_uses(m, &uses, err);
    for (size_t i = 0; i < m->file_count && status == MT_OK; i++) {
        if (!found[i]) continue;
        const mt_source *s = &names->declare.sources[mt_tensors_source(names, &m->files[i])];
        for (int32_t k = 0; k < s->parts_count && status == MT_OK; k++) {
            mt_param *p = &t->m->params[names->own[s->parts[k].param]];
            bool named = false;
            for (int32_t g = 0; g < o->adapter_count; g++) named |= strcmp(o->adapters[g], m->files[i].name) == 0;
            if (can_adapt(p, &uses))
                status = add_adapter(t, p, o->rank, &rng, err);
            else if (named)
                status = mt_fail(err, MT_EUNKNOWN, "\"%s\" can have no adapter: it is not only a matrix of products",
                                 m->files[i].name);
        }
    }
    mt_map64_free(&uses);
    if (status == MT_OK && !t->adapter_count)
        return mt_fail(err, MT_EUNKNOWN, "none of the tensors that match can have an adapter");
    return status;
}

/* ---- life ---- */

static mt_status find_masters(mt_tune *t, const mt_tune_options *o, const mt_tensors *names, bool *found,
                              mt_error *err) {
    const mt_model *m = t->m;
    MT_TRY(mt_tensors_match(names, o->parameters, o->parameter_count, found, err));
    for (size_t i = 0; i < m->file_count; i++)
        for (int32_t g = 0; g < o->freeze_count; g++)
            if (mt_glob(o->freeze[g], m->files[i].name)) found[i] = false;
    for (size_t i = 0; i < m->file_count; i++) {
        if (!found[i]) continue;
        const mt_source *s = &names->declare.sources[mt_tensors_source(names, &m->files[i])];
        for (int32_t k = 0; k < s->parts_count; k++) {
            mt_param *p = &t->m->params[names->own[s->parts[k].param]];
            if (!p->filled || has_master(t, p)) continue;
            for (int32_t w = 0; w < (p->vector ? 1 : p->count); w++) MT_TRY(add_master(t, p, w, s->plus_one, err));
        }
    }
    return MT_OK;
}

static mt_status open_tune(mt_tune *t, const mt_tune_options *o, mt_error *err) {
    if (o->adapter_count && o->rank < 1)
        return mt_fail(err, MT_ERANGE, "adapters of rank %d, expected 1 or more", o->rank);
    if (o->adapter_count && !(isfinite(o->alpha) && o->alpha > 0))
        return mt_fail(err, MT_ERANGE, "alpha is %g, expected more than 0", o->alpha);
    if (t->m->adapted_count) return mt_fail(err, MT_ESTATE, "the model has adapters already: it is being tuned");
    t->scale = o->adapter_count ? (float)(o->alpha / o->rank) : 0;
    MT_TRY(mt_variables_new(&t->vs, err));
    mt_tensors names;
    MT_TRY(mt_tensors_open(t->m, &names, err));
    bool *found = mt_calloc(t->m->file_count + 1, sizeof *found);
    mt_status status = found ? MT_OK : mt_nomem(err, t->m->file_count, "the tensors of a model");
    if (status == MT_OK && o->adapter_count) {
        status = mt_tensors_match(&names, o->adapters, o->adapter_count, found, err);
        if (status == MT_OK) status = add_adapters(t, o, &names, found, err);
    }
    if (status == MT_OK) status = find_masters(t, o, &names, found, err);
    mt_free(found);
    mt_tensors_close(&names);
    if (status == MT_OK && !mt_variables_count(t->vs))
        status = mt_fail(err, MT_EMISSING, "nothing is to be trained: no parameters, no adapters");
    return status;
}

mt_status mt_tune_new(mt_model *m, const mt_tune_options *o, mt_tune **out, mt_error *err) {
    mt_tune *t = mt_calloc(1, sizeof *t);
    if (!t) return mt_nomem(err, sizeof *t, "fine-tuning");
    t->m = m;
    mt_status status = open_tune(t, o, err);
    if (status != MT_OK) {
        mt_tune_free(t);
        return status;
    }
    mt_tune_apply(t, NULL);
    *out = t;
    return MT_OK;
}

static void drop_adapters(mt_tune *t) {
    for (size_t i = 0; i < t->adapter_count; i++) {
        mt_model_set_adapter(t->m, t->adapters[i]->p->weight, NULL, NULL);
        mt_weight_free(&t->adapters[i]->a);
        mt_weight_free(&t->adapters[i]->b);
        mt_free(t->adapters[i]);
    }
    t->adapter_count = 0;
}

void mt_tune_free(mt_tune *t) {
    if (!t) return;
    drop_adapters(t);
    mt_variables_free(t->vs);
    mt_free(t->masters);
    mt_free(t->adapters);
    mt_free(t);
}

mt_variables *mt_tune_variables(mt_tune *t) {
    return t->vs;
}

/* ---- steps ---- */

void mt_tune_apply(mt_tune *t, mt_pool *pool) {
    for (size_t i = 0; i < t->master_count; i++) {
        const master *x = &t->masters[i];
        if (!x->p->vector) {
            pack(pool, &x->p->weight[x->which], x->v->value);
            continue;
        }
        for (size_t k = 0; k < x->v->count; k++)
            x->p->values[k] = x->minus_exp ? -expf(x->v->value[k]) : x->v->value[k] + (x->plus_one ? 1 : 0);
    }
    for (size_t i = 0; i < t->adapter_count; i++) {
        pack(pool, &t->adapters[i]->a, t->adapters[i]->va->value);
        pack(pool, &t->adapters[i]->b, t->adapters[i]->vb->value);
    }
}

mt_status mt_tune_step(mt_tune *t, mt_pool *pool, const mt_update *u, double *norm, mt_error *err) {
    if (t->merged) return mt_fail(err, MT_ESTATE, "the adapters were merged: no step can be made any more");
    for (size_t i = 0; i < t->master_count; i++) {
        const master *x = &t->masters[i];
        for (size_t k = 0; x->minus_exp && k < x->v->count; k++) x->v->grad[k] *= x->p->values[k]; /* of -exp: itself */
    }
    MT_TRY(mt_variables_step(t->vs, pool, u, norm, err));
    mt_tune_apply(t, pool);
    return MT_OK;
}

mt_status mt_tune_merge(mt_tune *t, mt_pool *pool, mt_error *err) {
    if (t->merged) return mt_fail(err, MT_ESTATE, "the adapters were merged already");
    for (size_t i = 0; i < t->adapter_count; i++) { /* all or nothing, but for their type */
        mt_weight *w = t->adapters[i]->p->weight;
        MT_TRY(as_floats(t->m, w, NULL, err));
    }
    size_t most = 0, work = 0;
    for (size_t i = 0; i < t->adapter_count; i++) {
        const adapter *x = t->adapters[i];
        size_t size = (size_t)x->p->rows * (size_t)x->p->cols, gemm = mt_gemm_work(x->p->rows, x->p->cols, x->a.rows);
        most = size > most ? size : most;
        work = gemm > work ? gemm : work;
    }
    float *values = mt_alloc_aligned((most + 16) * sizeof *values, 64);
    float *room = mt_alloc_aligned((work + 16) * sizeof *room, 64);
    if (!values || !room) {
        mt_free_aligned(values);
        mt_free_aligned(room);
        return mt_nomem(err, (most + work) * sizeof *values, "a matrix to be merged");
    }
    for (size_t i = 0; i < t->adapter_count; i++) {
        adapter *x = t->adapters[i];
        mt_weight *w = x->p->weight;
        for (int32_t r = 0; r < w->rows; r++) mt_weight_row(w, r, values + (size_t)r * (size_t)w->cols);
        mt_gemm_args g = {.add = true, .M = w->rows, .N = w->cols, .K = x->a.rows, .alpha = t->scale};
        g.a = x->vb->value, g.lda = (size_t)x->a.rows;
        g.b = x->va->value, g.ldb = (size_t)w->cols;
        g.c = values, g.ldc = (size_t)w->cols;
        mt_gemm(pool, &g, room);
        pack(pool, w, values);
        for (size_t k = 0; k < t->master_count; k++)
            if (t->masters[k].p == x->p)
                memcpy(t->masters[k].v->value, values, t->masters[k].v->count * sizeof *values);
    }
    mt_free_aligned(values);
    mt_free_aligned(room);
    drop_adapters(t);
    t->merged = true;
    return MT_OK;
}
