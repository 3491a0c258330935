/* Training: parameters with gradients and moments, optimizers, and graphs that are built over them.
 *
 *   variables.c  named float tensors with gradients; save and restore are the caller's, who sees every buffer
 *   optimize.c   the update rules
 *   net.c        a graph of general operations over such variables: built once, run at every step without allocation
 *   tune.c       variables for the parameters of a loaded model, and for low-rank adapters of its matrices
 */
#ifndef MT_TRAIN_H
#define MT_TRAIN_H

#include "../model/model.h"
#include "../tensor/general.h"
#include "../tensor/grad.h"

/* ---- variables ---- */
typedef struct mt_variable {
    const char *name;
    int32_t n_dims, dims[4];
    size_t count;
    float *value, *grad;
    float *moment1, *moment2; /* of the optimizer; NULL until the first step that needs them */
    float *average;           /* exponential moving average of the values; NULL until it is asked for */
    const void *key;          /* what nodes hold: `value`, or an mt_weight that is made from it */
    double rate, decay;       /* times those of the update; 0: none */
    bool frozen;              /* no update; may change from step to step */
    int64_t steps;            /* since its moments were zero */
} mt_variable;
typedef struct mt_variables mt_variables;
mt_status mt_variables_new(mt_variables **out, mt_error *err);
void mt_variables_free(mt_variables *vs);
/* A tensor of zeros. ESTATE: the name is taken. ERANGE: dims (1 to 4 of them, each 1 or more). */
mt_status mt_variable_add(mt_variables *vs, const char *name, int32_t n_dims, const int32_t *dims, mt_variable **out,
                          mt_error *err);
/* What nodes hold for this variable is `key`, not its values (which the key is made from). */
mt_status mt_variable_bind(mt_variables *vs, mt_variable *v, const void *key, mt_error *err);
int32_t mt_variables_count(const mt_variables *vs);
mt_variable *mt_variables_at(const mt_variables *vs, int32_t i);
mt_variable *mt_variables_find(const mt_variables *vs, const char *name); /* NULL: none */
float *mt_variables_grad(void *vs, const void *key);                      /* an mt_grad_of */
void mt_variables_zero(mt_variables *vs);                                 /* gradients */
/* Moments that are there become zero and steps 0: what has been learnt about the scale of gradients is forgotten. */
void mt_variable_forget(mt_variable *v);
mt_status mt_variable_moments(mt_variable *v, bool first, bool second, bool average, mt_error *err); /* makes them */

/* ---- optimizers ---- */
typedef enum mt_rule {
    MT_RULE_SGD,   /* momentum beta1 (0: none): m = beta1 m + g; p -= rate m (Nesterov: g + beta1 m) */
    MT_RULE_ADAM,  /* Kingma & Ba 2015; decay goes into the gradient ("L2") */
    MT_RULE_ADAMW, /* Loshchilov & Hutter 2019: p -= rate decay p beside it */
    MT_RULE_LION   /* Chen et al. 2023: p -= rate (sign(beta1 m + (1 - beta1) g) + decay p); m = beta2 m + (1 - beta2) g
                    */
} mt_rule;
typedef struct mt_update {
    mt_rule rule;
    bool nesterov;
    double rate, beta1, beta2, epsilon, decay;
    double clip;    /* largest norm of all gradients together; 0: no limit (Pascanu et al. 2013) */
    double average; /* more than 0: average = average * average + (1 - average) * value after the step */
} mt_update;
/* One step on everything that is not frozen. *norm: of the gradients before clipping. ESTATE: it is not finite, and
 * nothing was changed. */
mt_status mt_variables_step(mt_variables *vs, mt_pool *pool, const mt_update *u, double *norm, mt_error *err);

/* ---- nets ---- */
typedef struct mt_net mt_net;
mt_status mt_net_new(mt_variables *vs, mt_net **out, mt_error *err); /* vs must outlive it */
void mt_net_free(mt_net *n);
/* What goes into a net: the caller writes to *values before a run (zeros at first). */
mt_status mt_net_input(mt_net *n, int32_t n_dims, const int32_t *dims, float **values, int32_t *node, mt_error *err);
mt_status mt_net_index(mt_net *n, int32_t n_dims, const int32_t *dims, int32_t **values, int32_t *node, mt_error *err);
mt_status mt_net_variable(mt_net *n, const mt_variable *v, int32_t *node, mt_error *err);
/* An operation: what a mt_node says of it. COPY and EXPAND take dims; the others find theirs, which are written back.
 */
typedef struct mt_net_node {
    int32_t op, in[MT_NODE_INPUTS], i[MT_NODE_INTS];
    float f[2];
    int32_t n_dims, dims[4];
} mt_net_node;
mt_status mt_net_op(mt_net *n, mt_net_node *op, int32_t *node, mt_error *err);
/* The value can be read after a run; its gradient after a run backwards; before mt_net_plan. */
mt_status mt_net_keep(mt_net *n, int32_t node, bool gradient, mt_error *err);
/* loss: node whose elements are summed, -1: the net is only run forwards. Allocates; then nothing can be added. */
mt_status mt_net_plan(mt_net *n, int32_t loss, int32_t segments, mt_error *err);
size_t mt_net_bytes(const mt_net *n);
mt_status mt_net_run(mt_net *n, mt_pool *pool, mt_error *err);
mt_status mt_net_backward(mt_net *n, mt_pool *pool, mt_error *err); /* adds to the variables' gradients */
const float *mt_net_value(const mt_net *n, int32_t node);           /* of kept nodes and leaves; NULL: not kept */
const float *mt_net_grad(const mt_net *n, int32_t node);
/* While set, the value of a kept node is changed right after it is computed, and what follows sees it. count: one value
 * for each element, or one for all. Replaces the node's patch; NULL: none any more. A patched net is not run backwards.
 */
typedef enum mt_net_change { MT_NET_REPLACE, MT_NET_ADD, MT_NET_SCALE } mt_net_change;
mt_status mt_net_patch(mt_net *n, int32_t node, mt_net_change how, const float *values, size_t count, mt_error *err);

/* ---- fine-tuning of a loaded model ----
 * Gradients come from mt_gradients_new with .grad = mt_variables_grad and .arg = mt_tune_variables(t). */
typedef struct mt_tune_options {
    /* Globs of tensors of the model's file: those that are trained themselves, of these those that are not, and those
     * whose matrices get low-rank adapters (Hu et al. 2021): matrices that are only multiplied by. */
    const char *const *parameters, *const *freeze, *const *adapters;
    int32_t parameter_count, freeze_count, adapter_count;
    int32_t rank;  /* of the adapters, 1 or more */
    double alpha;  /* adapters count alpha / rank times */
    uint64_t seed; /* A begins normal with variance 1 / K, B begins as zeros */
} mt_tune_options;
typedef struct mt_tune mt_tune;
/* What is trained is kept as float32 from now on, also in the model. Variables are called as GGUF calls the parameters
 * ("blk.0.attn_q.weight"; of several matrices ".0", ".1"... behind it), adapters ".lora_a" [rank][K] and ".lora_b"
 * [N][rank] behind that. Gains that the file keeps less one, and logarithms, are trained as the file has them. Sessions
 * that are open do not know the adapters. EUNKNOWN: a glob that matches nothing; a tensor, given by its name, that
 * cannot have an adapter. EMISSING: nothing to train. */
mt_status mt_tune_new(mt_model *m, const mt_tune_options *o, mt_tune **out, mt_error *err);
/* The model keeps what its parameters have become, and loses its adapters. Before the model is freed. */
void mt_tune_free(mt_tune *t);
mt_variables *mt_tune_variables(mt_tune *t);
/* One step of the optimizer along the variables' gradients; the model then has the new values. */
mt_status mt_tune_step(mt_tune *t, mt_pool *pool, const mt_update *u, double *norm, mt_error *err);
void mt_tune_apply(mt_tune *t, mt_pool *pool); /* the variables' values become the model's */
/* W becomes W + alpha / rank B A, as float32, and the adapters go: no step can be made any more. */
mt_status mt_tune_merge(mt_tune *t, mt_pool *pool, mt_error *err);

#endif
