/* ABI of two vocabularies side by side, and of mixtures of next-byte distributions. */
#include "abi.h"

#include "../src/bias/bias.h"
#include "../src/token/across.h"

ABI_LAYOUT(across, ABI_STRUCT(mt_transported), ABI_FIELD(mt_transported, cost), ABI_FIELD(mt_transported, error),
           ABI_FIELD(mt_transported, rounds), ABI_FIELD(mt_transported, converged), ABI_ENUM(MT_POOL_MEAN),
           ABI_ENUM(MT_POOL_GEOMETRIC))

/* map: 4 bytes, same: 1 byte for each id of `from` */
MT_EXPORT(token_map) mt_status abi_token_map(const mt_tok *from, const mt_tok *onto, int32_t *map, uint8_t *same) {
    ABI_NEED(from);
    ABI_NEED(onto);
    return mt_token_map(from, onto, map, same, &abi_error);
}
MT_EXPORT(edit_distance)
mt_status abi_edit_distance(const uint8_t *a, size_t an, const uint8_t *b, size_t bn, uint32_t *out) {
    return mt_edit_distance((mt_str){a, an}, (mt_str){b, bn}, out, &abi_error);
}
/* pairs: 2 * (na + nb) numbers. The sum of distances as a double. */
MT_EXPORT(token_warp)
mt_status abi_token_warp(const mt_tok *ta, const int32_t *a, size_t na, const mt_tok *tb, const int32_t *b, size_t nb,
                         uint32_t *pairs, size_t *count, double *cost) {
    ABI_NEED(ta);
    ABI_NEED(tb);
    uint64_t sum = 0;
    MT_TRY(mt_token_warp(ta, a, na, tb, b, nb, pairs, count, &sum, &abi_error));
    *cost = (double)sum;
    return MT_OK;
}
MT_EXPORT(transport)
mt_status abi_transport(const double *cost, size_t n, size_t m, const double *a, const double *b, double epsilon,
                        double tolerance, uint32_t rounds, double *plan, mt_transported *out) {
    mt_transport_options options = {.epsilon = epsilon, .tolerance = tolerance, .rounds = rounds};
    return mt_transport(cost, n, m, a, b, &options, plan, out, &abi_error);
}

/* log_p: `count` times 257; weight: `count` numbers, or NULL: equal */
MT_EXPORT(bytes_combine)
mt_status abi_bytes_combine(int32_t rule, int32_t count, const double *log_p, const double *weight, double *out) {
    return mt_bytes_combine((mt_pool_rule)rule, count, log_p, weight, out, &abi_error);
}
