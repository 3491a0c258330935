/* ABI of src/model/grad.c and src/train/tune.c: gradients of a loaded model, and its fine-tuning. */
#include "abi.h"

#include "../src/train/train.h"

ABI_LAYOUT(grad, ABI_ENUM(MT_OBJECTIVE_LOGIT), ABI_ENUM(MT_OBJECTIVE_LOG_PROB), ABI_STRUCT(mt_loss),
           ABI_FIELD(mt_loss, target), ABI_FIELD(mt_loss, targets), ABI_FIELD(mt_loss, objective),
           ABI_FIELD(mt_loss, terms), ABI_FIELD(mt_loss, row), ABI_FIELD(mt_loss, token), ABI_FIELD(mt_loss, weight),
           ABI_STRUCT(mt_gradients_options), ABI_FIELD(mt_gradients_options, parameters),
           ABI_FIELD(mt_gradients_options, values), ABI_FIELD(mt_gradients_options, traces),
           ABI_FIELD(mt_gradients_options, parameter_count), ABI_FIELD(mt_gradients_options, value_count),
           ABI_FIELD(mt_gradients_options, trace_count), ABI_FIELD(mt_gradients_options, segments),
           ABI_FIELD(mt_gradients_options, source), ABI_FIELD(mt_gradients_options, source_count),
           ABI_STRUCT(mt_tune_options), ABI_FIELD(mt_tune_options, parameters), ABI_FIELD(mt_tune_options, freeze),
           ABI_FIELD(mt_tune_options, adapters), ABI_FIELD(mt_tune_options, parameter_count),
           ABI_FIELD(mt_tune_options, freeze_count), ABI_FIELD(mt_tune_options, adapter_count),
           ABI_FIELD(mt_tune_options, rank))

/* parent may be 0: a chain. tune may be 0: else gradients are added to those of its variables. */
MT_EXPORT(gradients_new)
mt_status abi_gradients_new(mt_session *session, int32_t count, const int32_t *token, const int32_t *parent,
                            const mt_loss *loss, const mt_gradients_options *options, mt_tune *tune,
                            mt_gradients **out) {
    ABI_NEED(session);
    ABI_NEED(token);
    ABI_NEED(loss);
    ABI_NEED(options);
    ABI_NEED(out);
    mt_batch batch = {.count = count, .token = token, .parent = parent};
    mt_gradients_options o = *options;
    if (tune) o.grad = mt_variables_grad, o.arg = mt_tune_variables(tune);
    return mt_gradients_new(session, &batch, loss, &o, out, &abi_error);
}
MT_EXPORT(gradients_free) void abi_gradients_free(mt_gradients *gradients) {
    mt_gradients_free(gradients);
}
/* 1: everything is done. */
MT_EXPORT(gradients_run) int32_t abi_gradients_run(mt_gradients *gradients, int32_t steps) {
    return !gradients || mt_gradients_run(gradients, steps);
}
MT_EXPORT(gradients_loss) double abi_gradients_loss(const mt_gradients *gradients) {
    return gradients ? mt_gradients_loss(gradients) : 0;
}
/* kind 0: parameters, 1: values, 2: traces. false: there are no more. */
MT_EXPORT(gradients_get)
int32_t abi_gradients_get(const mt_gradients *gradients, int32_t kind, int32_t i, mt_traced *out) {
    if (!gradients || !out) return 0;
    if (kind == 0) return mt_gradients_parameter_get(gradients, i, out);
    return kind == 1 ? mt_gradients_value_get(gradients, i, out) : mt_gradients_trace_get(gradients, i, out);
}
MT_EXPORT(gradients_parameter)
void abi_gradients_parameter(const mt_gradients *gradients, int32_t i, float *out) {
    if (gradients && out && i >= 0 && i < mt_gradients_parameters(gradients)) mt_gradients_parameter(gradients, i, out);
}

/* ---- fine-tuning ---- */

MT_EXPORT(tune_new)
mt_status abi_tune_new(mt_model *model, const mt_tune_options *options, double alpha, double seed, mt_tune **out) {
    ABI_NEED(model);
    ABI_NEED(options);
    ABI_NEED(out);
    mt_tune_options o = *options;
    o.alpha = alpha;
    o.seed = (uint64_t)seed;
    return mt_tune_new(model, &o, out, &abi_error);
}
MT_EXPORT(tune_free) void abi_tune_free(mt_tune *tune) {
    mt_tune_free(tune);
}
/* The i-th of its variables; 0: there are no more. */
MT_EXPORT(tune_variable) mt_variable *abi_tune_variable(mt_tune *tune, int32_t i) {
    return tune ? mt_variables_at(mt_tune_variables(tune), i) : NULL;
}
MT_EXPORT(tune_zero) void abi_tune_zero(mt_tune *tune) {
    if (tune) mt_variables_zero(mt_tune_variables(tune));
}
MT_EXPORT(tune_step) mt_status abi_tune_step(mt_tune *tune, mt_pool *pool, const mt_update *update, double *norm) {
    ABI_NEED(tune);
    ABI_NEED(update);
    return mt_tune_step(tune, pool, update, norm, &abi_error);
}
MT_EXPORT(tune_apply) void abi_tune_apply(mt_tune *tune, mt_pool *pool) {
    if (tune) mt_tune_apply(tune, pool);
}
MT_EXPORT(tune_merge) mt_status abi_tune_merge(mt_tune *tune, mt_pool *pool) {
    ABI_NEED(tune);
    return mt_tune_merge(tune, pool, &abi_error);
}
