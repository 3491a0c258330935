/* Named tensors with gradients and moments (train.h). */
#include "variables.h"

mt_status mt_variables_new(mt_variables **out, mt_error *err) {
    mt_variables *vs = mt_calloc(1, sizeof *vs);
    if (!vs) return mt_nomem(err, sizeof *vs, "parameters");
    *out = vs;
    return MT_OK;
}

static void free_variable(mt_variable *v) {
    if (!v) return;
    mt_free_aligned(v->value);
    mt_free_aligned(v->grad);
    mt_free_aligned(v->moment1);
    mt_free_aligned(v->moment2);
    mt_free_aligned(v->average);
    mt_free((void *)(uintptr_t)v->name);
    mt_free(v);
}

void mt_variables_free(mt_variables *vs) {
    if (!vs) return;
    for (int32_t i = 0; i < vs->count; i++) free_variable(vs->list[i]);
    mt_free(vs->list);
    mt_map64_free(&vs->by_key);
    mt_map_free(&vs->by_name);
    mt_free(vs);
}

static float *zeros(size_t count) {
    size_t bytes;
    float *p = mt_mul_size(count, sizeof *p, &bytes) ? mt_alloc_aligned(bytes, 64) : NULL;
    if (p) memset(p, 0, bytes);
    return p;
}

mt_status mt_variable_add(mt_variables *vs, const char *name, int32_t n_dims, const int32_t *dims, mt_variable **out,
                          mt_error *err) {
    size_t count = 1, length = strlen(name);
    int32_t found;
    if (mt_map_get(&vs->by_name, mt_str_of(name), &found))
        return mt_fail(err, MT_ESTATE, "there is a parameter \"%s\" already", name);
    if (n_dims < 1 || n_dims > 4)
        return mt_fail(err, MT_ERANGE, "parameter \"%s\" has %d dimensions, expected 1 to 4", name, n_dims);
    for (int32_t d = 0; d < n_dims; d++)
        if (dims[d] < 1 || !mt_mul_size(count, (size_t)dims[d], &count) || count > SIZE_MAX / 64)
            return mt_fail(err, MT_ERANGE, "parameter \"%s\": dimension %d is %d", name, d, dims[d]);
    mt_variable *v = mt_calloc(1, sizeof *v);
    void *list = vs->list;
    mt_status status = v ? mt_grow(&list, &vs->capacity, (size_t)vs->count + 1, sizeof *vs->list, err)
                         : mt_nomem(err, sizeof *v, "a parameter");
    vs->list = list;
    if (status != MT_OK) goto failed;
    char *kept = mt_malloc(length + 1);
    v->name = kept;
    v->value = zeros(count);
    v->grad = zeros(count);
    if (!kept || !v->value || !v->grad) {
        status = mt_nomem(err, 2 * count * sizeof(float), "a parameter and its gradient");
        goto failed;
    }
    memcpy(kept, name, length + 1);
    v->n_dims = n_dims;
    memcpy(v->dims, dims, (size_t)n_dims * sizeof *dims);
    v->count = count;
    v->rate = v->decay = 1;
    v->key = v->value;
    MT_TRY_GOTO(mt_map_set(&vs->by_name, mt_str_of(kept), vs->count, err), failed);
    MT_TRY_GOTO(mt_map64_set(&vs->by_key, (uint64_t)(uintptr_t)v->key, vs->count, err), failed);
    vs->list[vs->count++] = v;
    *out = v;
    return MT_OK;
failed:
    free_variable(v);
    return status;
}

mt_status mt_variable_bind(mt_variables *vs, mt_variable *v, const void *key, mt_error *err) {
    for (int32_t i = 0; i < vs->count; i++)
        if (vs->list[i] == v) MT_TRY(mt_map64_set(&vs->by_key, (uint64_t)(uintptr_t)key, i, err));
    v->key = key;
    return MT_OK;
}

int32_t mt_variables_count(const mt_variables *vs) {
    return vs->count;
}

mt_variable *mt_variables_at(const mt_variables *vs, int32_t i) {
    return i >= 0 && i < vs->count ? vs->list[i] : NULL;
}

mt_variable *mt_variables_find(const mt_variables *vs, const char *name) {
    int32_t i;
    return mt_map_get(&vs->by_name, mt_str_of(name), &i) ? vs->list[i] : NULL;
}

float *mt_variables_grad(void *arg, const void *key) {
    mt_variables *vs = arg;
    int32_t i;
    if (!key || !mt_map64_get(&vs->by_key, (uint64_t)(uintptr_t)key, &i)) return NULL;
    return vs->list[i]->grad;
}

void mt_variables_zero(mt_variables *vs) {
    for (int32_t i = 0; i < vs->count; i++) memset(vs->list[i]->grad, 0, vs->list[i]->count * sizeof(float));
}

void mt_variable_forget(mt_variable *v) {
    if (v->moment1) memset(v->moment1, 0, v->count * sizeof(float));
    if (v->moment2) memset(v->moment2, 0, v->count * sizeof(float));
    v->steps = 0;
}

mt_status mt_variable_moments(mt_variable *v, bool first, bool second, bool average, mt_error *err) {
    if (first && !v->moment1) v->moment1 = zeros(v->count);
    if (second && !v->moment2) v->moment2 = zeros(v->count);
    if (average && !v->average) {
        v->average = zeros(v->count);
        if (v->average) memcpy(v->average, v->value, v->count * sizeof(float));
    }
    if ((first && !v->moment1) || (second && !v->moment2) || (average && !v->average))
        return mt_nomem(err, v->count * sizeof(float), "an optimizer's moments");
    return MT_OK;
}
