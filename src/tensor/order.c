/* Products of one input (queries, keys and values; gate and up) move to the first of them: the input is rounded once
 * and the threads are woken once for all (mt_matmul_together). Their inputs are there already, so nothing else changes.
 */
#include "graph.h"

enum { NEAR = 24 }; /* nodes: further away something else is going on, and a result would wait for long */

typedef struct order {
    int32_t *at;    /* new place -> node */
    int32_t *place; /* node -> new place, -1 */
    int32_t count;
} order;

static void put(order *o, int32_t i) {
    if (o->place[i] >= 0) return;
    o->at[o->count] = i;
    o->place[i] = o->count++;
}

static bool joins(const mt_graph *g, const mt_node *first, const mt_node *n) {
    bool leaf = n->op == MT_OP_MATMUL && (n->in[2] < 0 || g->nodes[n->in[2]].op == MT_OP_VECTOR);
    return leaf && n->in[0] == first->in[0] &&
           mt_weight_alike(g->nodes[n->in[1]].weight, g->nodes[first->in[1]].weight);
}

mt_status mt_graph_order(mt_graph *g, mt_error *err) {
    size_t n = (size_t)g->count;
    order o = {.at = mt_array(n, sizeof *o.at), .place = mt_array(n, sizeof *o.place)};
    mt_node *nodes = mt_array(g->capacity, sizeof *nodes);
    if (!o.at || !o.place || !nodes) {
        mt_free(o.at);
        mt_free(o.place);
        mt_free(nodes);
        return mt_nomem(err, n * sizeof *nodes, "the order of a graph");
    }
    for (int32_t i = 0; i < g->count; i++) o.place[i] = -1;
    for (int32_t i = 0; i < g->count; i++) {
        const mt_node *first = &g->nodes[i];
        if (first->op == MT_OP_MATMUL && o.place[i] < 0) {
            int32_t member[MT_TOGETHER] = {i}, count = 1;
            for (int32_t k = i + 1; k < g->count && k < i + NEAR && count < MT_TOGETHER; k++)
                if (o.place[k] < 0 && joins(g, first, &g->nodes[k])) member[count++] = k;
            for (int32_t k = 0; k < count; k++) /* weights and biases are leaves */
                for (int which = 1; which <= 2; which++)
                    if (g->nodes[member[k]].in[which] >= 0) put(&o, g->nodes[member[k]].in[which]);
            for (int32_t k = 0; k < count; k++) put(&o, member[k]);
        }
        put(&o, i);
    }
    for (int32_t i = 0; i < g->count; i++) {
        nodes[i] = g->nodes[o.at[i]];
        for (int k = 0; k < MT_NODE_INPUTS; k++)
            if (nodes[i].in[k] >= 0) nodes[i].in[k] = o.place[nodes[i].in[k]];
    }
    if (g->output >= 0) g->output = o.place[g->output];
    mt_free(g->nodes);
    g->nodes = nodes;
    mt_free(o.at);
    mt_free(o.place);
    return MT_OK;
}
