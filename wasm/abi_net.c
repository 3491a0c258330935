/* ABI of src/train: variables, optimizers, nets. */
#include "abi.h"

#include "../src/train/train.h"

ABI_LAYOUT(net, ABI_STRUCT(mt_net_node), ABI_FIELD(mt_net_node, op), ABI_ARRAY(mt_net_node, in),
           ABI_ARRAY(mt_net_node, i), ABI_ARRAY(mt_net_node, f), ABI_FIELD(mt_net_node, n_dims),
           ABI_ARRAY(mt_net_node, dims), ABI_STRUCT(mt_variable), ABI_FIELD(mt_variable, name),
           ABI_FIELD(mt_variable, n_dims), ABI_ARRAY(mt_variable, dims), ABI_FIELD(mt_variable, count),
           ABI_FIELD(mt_variable, value), ABI_FIELD(mt_variable, grad), ABI_FIELD(mt_variable, moment1),
           ABI_FIELD(mt_variable, moment2), ABI_FIELD(mt_variable, average), ABI_FIELD(mt_variable, rate),
           ABI_FIELD(mt_variable, decay), ABI_FIELD(mt_variable, frozen), ABI_FIELD(mt_variable, steps),
           ABI_STRUCT(mt_update), ABI_FIELD(mt_update, rule), ABI_FIELD(mt_update, nesterov),
           ABI_FIELD(mt_update, rate), ABI_FIELD(mt_update, beta1), ABI_FIELD(mt_update, beta2),
           ABI_FIELD(mt_update, epsilon), ABI_FIELD(mt_update, decay), ABI_FIELD(mt_update, clip),
           ABI_FIELD(mt_update, average), ABI_ENUM(MT_RULE_SGD), ABI_ENUM(MT_RULE_ADAM), ABI_ENUM(MT_RULE_ADAMW),
           ABI_ENUM(MT_RULE_LION), ABI_ENUM(MT_OP_DOT), ABI_ENUM(MT_OP_BINARY), ABI_ENUM(MT_OP_UNARY),
           ABI_ENUM(MT_OP_REDUCE), ABI_ENUM(MT_OP_CUMSUM), ABI_ENUM(MT_OP_SOFTMAX), ABI_ENUM(MT_OP_TAKE),
           ABI_ENUM(MT_OP_PICK), ABI_ENUM(MT_OP_PERMUTE), ABI_ENUM(MT_OP_CONCAT), ABI_ENUM(MT_OP_CUT),
           ABI_ENUM(MT_OP_MOVE), ABI_ENUM(MT_OP_FLIP), ABI_ENUM(MT_OP_EXPAND), ABI_ENUM(MT_OP_WHERE),
           ABI_ENUM(MT_OP_STOP), ABI_ENUM(MT_OP_STRAIGHT), ABI_ENUM(MT_OP_CROSS_ENTROPY), ABI_ENUM(MT_OP_COPY),
           ABI_ENUM(MT_OP_LAYER_NORM), ABI_ENUM(MT_OP_RMS_NORM), ABI_ENUM(MT_BINARY_ADD), ABI_ENUM(MT_BINARY_SUB),
           ABI_ENUM(MT_BINARY_MUL), ABI_ENUM(MT_BINARY_DIV), ABI_ENUM(MT_BINARY_MAX), ABI_ENUM(MT_BINARY_MIN),
           ABI_ENUM(MT_UNARY_NEG), ABI_ENUM(MT_UNARY_EXP), ABI_ENUM(MT_UNARY_LOG), ABI_ENUM(MT_UNARY_SQRT),
           ABI_ENUM(MT_UNARY_RSQRT), ABI_ENUM(MT_UNARY_SQUARE), ABI_ENUM(MT_UNARY_RECIPROCAL), ABI_ENUM(MT_UNARY_ABS),
           ABI_ENUM(MT_UNARY_SIN), ABI_ENUM(MT_UNARY_COS), ABI_ENUM(MT_UNARY_TANH), ABI_ENUM(MT_UNARY_SIGMOID),
           ABI_ENUM(MT_UNARY_SOFTPLUS), ABI_ENUM(MT_UNARY_RELU), ABI_ENUM(MT_UNARY_LEAKY_RELU),
           ABI_ENUM(MT_UNARY_GELU_TANH), ABI_ENUM(MT_UNARY_GELU_ERF), ABI_ENUM(MT_UNARY_SILU), ABI_ENUM(MT_UNARY_POW),
           ABI_ENUM(MT_UNARY_CLAMP), ABI_ENUM(MT_UNARY_AFFINE), ABI_ENUM(MT_UNARY_SIGN), ABI_ENUM(MT_UNARY_ROUND),
           ABI_ENUM(MT_REDUCE_SUM), ABI_ENUM(MT_REDUCE_MEAN), ABI_ENUM(MT_REDUCE_MAX), ABI_ENUM(MT_REDUCE_VARIANCE),
           ABI_ENUM(MT_REDUCE_LOG_SUM_EXP), ABI_ENUM(MT_NET_REPLACE), ABI_ENUM(MT_NET_ADD), ABI_ENUM(MT_NET_SCALE))

MT_EXPORT(variables_new) mt_status abi_variables_new(mt_variables **out) {
    return mt_variables_new(out, &abi_error);
}
MT_EXPORT(variables_free) void abi_variables_free(mt_variables *vs) {
    mt_variables_free(vs);
}
MT_EXPORT(variable_add)
mt_status abi_variable_add(mt_variables *vs, const char *name, int32_t n_dims, const int32_t *dims, mt_variable **out) {
    ABI_NEED(vs);
    return mt_variable_add(vs, name, n_dims, dims, out, &abi_error);
}
MT_EXPORT(variables_zero) void abi_variables_zero(mt_variables *vs) {
    mt_variables_zero(vs);
}
MT_EXPORT(variable_forget) void abi_variable_forget(mt_variable *v) {
    mt_variable_forget(v);
}
/* kinds: 1 first, 2 second moments, 4 average */
MT_EXPORT(variable_moments) mt_status abi_variable_moments(mt_variable *v, int32_t kinds) {
    ABI_NEED(v);
    return mt_variable_moments(v, kinds & 1, kinds & 2, kinds & 4, &abi_error);
}
MT_EXPORT(variable_steps) void abi_variable_steps(mt_variable *v, double steps) {
    v->steps = (int64_t)steps;
}
MT_EXPORT(variable_group) void abi_variable_group(mt_variable *v, double rate, double decay, int32_t frozen) {
    v->rate = rate;
    v->decay = decay;
    v->frozen = frozen != 0;
}
MT_EXPORT(variables_step)
mt_status abi_variables_step(mt_variables *vs, mt_pool *pool, const mt_update *u, double *norm) {
    ABI_NEED(vs);
    ABI_NEED(u);
    return mt_variables_step(vs, pool, u, norm, &abi_error);
}

MT_EXPORT(net_new) mt_status abi_net_new(mt_variables *vs, mt_net **out) {
    ABI_NEED(vs);
    return mt_net_new(vs, out, &abi_error);
}
MT_EXPORT(net_free) void abi_net_free(mt_net *n) {
    mt_net_free(n);
}
MT_EXPORT(net_input)
mt_status abi_net_input(mt_net *n, int32_t n_dims, const int32_t *dims, float **values, int32_t *node) {
    ABI_NEED(n);
    return mt_net_input(n, n_dims, dims, values, node, &abi_error);
}
MT_EXPORT(net_index)
mt_status abi_net_index(mt_net *n, int32_t n_dims, const int32_t *dims, int32_t **values, int32_t *node) {
    ABI_NEED(n);
    return mt_net_index(n, n_dims, dims, values, node, &abi_error);
}
MT_EXPORT(net_variable) mt_status abi_net_variable(mt_net *n, const mt_variable *v, int32_t *node) {
    ABI_NEED(n);
    ABI_NEED(v);
    return mt_net_variable(n, v, node, &abi_error);
}
MT_EXPORT(net_op) mt_status abi_net_op(mt_net *n, mt_net_node *op, int32_t *node) {
    ABI_NEED(n);
    return mt_net_op(n, op, node, &abi_error);
}
MT_EXPORT(net_keep) mt_status abi_net_keep(mt_net *n, int32_t node, int32_t gradient) {
    ABI_NEED(n);
    return mt_net_keep(n, node, gradient != 0, &abi_error);
}
MT_EXPORT(net_plan) mt_status abi_net_plan(mt_net *n, int32_t loss, int32_t segments) {
    ABI_NEED(n);
    return mt_net_plan(n, loss, segments, &abi_error);
}
MT_EXPORT(net_bytes) double abi_net_bytes(const mt_net *n) {
    return (double)mt_net_bytes(n);
}
MT_EXPORT(net_run) mt_status abi_net_run(mt_net *n, mt_pool *pool) {
    ABI_NEED(n);
    return mt_net_run(n, pool, &abi_error);
}
MT_EXPORT(net_backward) mt_status abi_net_backward(mt_net *n, mt_pool *pool) {
    ABI_NEED(n);
    return mt_net_backward(n, pool, &abi_error);
}
MT_EXPORT(net_value) const float *abi_net_value(const mt_net *n, int32_t node) {
    return mt_net_value(n, node);
}
MT_EXPORT(net_grad) const float *abi_net_grad(const mt_net *n, int32_t node) {
    return mt_net_grad(n, node);
}
MT_EXPORT(net_patch)
mt_status abi_net_patch(mt_net *n, int32_t node, int32_t how, const float *values, size_t count) {
    ABI_NEED(n);
    return mt_net_patch(n, node, (mt_net_change)how, values, count, &abi_error);
}
