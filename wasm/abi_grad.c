/* ABI of src/model/grad.c: gradients of a loaded model. */
#include "abi.h"

#include "../src/model/model.h"

ABI_LAYOUT(grad, ABI_ENUM(MT_OBJECTIVE_LOGIT), ABI_ENUM(MT_OBJECTIVE_LOG_PROB), ABI_STRUCT(mt_loss),
           ABI_FIELD(mt_loss, target), ABI_FIELD(mt_loss, objective), ABI_FIELD(mt_loss, terms),
           ABI_FIELD(mt_loss, row), ABI_FIELD(mt_loss, token), ABI_FIELD(mt_loss, weight),
           ABI_STRUCT(mt_gradients_options), ABI_FIELD(mt_gradients_options, parameters),
           ABI_FIELD(mt_gradients_options, values), ABI_FIELD(mt_gradients_options, traces),
           ABI_FIELD(mt_gradients_options, parameter_count), ABI_FIELD(mt_gradients_options, value_count),
           ABI_FIELD(mt_gradients_options, trace_count), ABI_FIELD(mt_gradients_options, segments),
           ABI_FIELD(mt_gradients_options, source), ABI_FIELD(mt_gradients_options, source_count))

/* parent may be 0: a chain. */
MT_EXPORT(gradients_new)
mt_status abi_gradients_new(mt_session *session, int32_t count, const int32_t *token, const int32_t *parent,
                            const mt_loss *loss, const mt_gradients_options *options, mt_gradients **out) {
    ABI_NEED(session);
    ABI_NEED(token);
    ABI_NEED(loss);
    ABI_NEED(options);
    ABI_NEED(out);
    mt_batch batch = {.count = count, .token = token, .parent = parent};
    return mt_gradients_new(session, &batch, loss, options, out, &abi_error);
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
