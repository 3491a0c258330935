/* A part of a graph: from values that are given, up to a value where the run stops (graph.h).
 *
 * What is needed is found backwards from what is wanted. A given value needs nothing. Attention needs the store of its
 * layer that comes before it; room needs the operation that writes it. */
#include "graph.h"

/* Reads keys or values that a node of this graph stores. */
static bool reads_cache(const mt_node *n) {
    if (n->op == MT_OP_ADD_RELATION) return n->in[3] >= 0;
    return (n->op == MT_OP_ATTEND || n->op == MT_OP_SCORES || n->op == MT_OP_MIX) && n->i[1] != MT_RUNS_MEMORY;
}

static void need_store(const mt_graph *g, int32_t reader, uint8_t *needed) {
    for (int32_t i = reader; i-- > 0;)
        if (g->nodes[i].op == MT_OP_KV_STORE && g->nodes[i].i[0] == g->nodes[reader].i[0]) {
            needed[i] = 1;
            return;
        }
}

static void find_needed(const mt_graph *g, uint8_t *needed) {
    for (int32_t i = g->count; i-- > 0;) {
        const mt_node *n = &g->nodes[i];
        for (int k = 0; k < MT_NODE_INPUTS; k++) /* the writer of a needed room */
            if (n->in[k] >= 0 && g->nodes[n->in[k]].op == MT_OP_ROOM && needed[n->in[k]]) needed[i] = 1;
        if (!needed[i] || (n->given && n->op != MT_OP_ROOM)) continue;
        for (int k = 0; k < MT_NODE_INPUTS; k++)
            if (n->in[k] >= 0) needed[n->in[k]] = 1;
        if (reads_cache(n)) need_store(g, i, needed);
    }
}

static mt_status keep_needed(mt_graph *g, const uint8_t *needed, int32_t *place, int32_t first, int32_t stop,
                             mt_error *err) {
    const char *from = first >= 0 ? g->nodes[first].name : NULL, *to = stop >= 0 ? g->nodes[stop].name : NULL;
    int32_t kept = 0;
    for (int32_t i = 0; i < g->count; i++) {
        mt_node n = g->nodes[i];
        if (!needed[i] && n.patched)
            return mt_fail(err, MT_ESTATE, "the patch of \"%s\" has no effect on a run that %s \"%s\"", n.name,
                           from && (!to || i < stop) ? "starts from" : "stops at",
                           from && (!to || i < stop) ? from : to);
        place[i] = needed[i] ? kept : -1;
        if (!needed[i]) continue;
        if (n.given && n.op != MT_OP_ROOM) {
            n.op = MT_OP_GIVEN;
            for (int k = 0; k < MT_NODE_INPUTS; k++) n.in[k] = -1;
        }
        for (int k = 0; k < MT_NODE_INPUTS; k++)
            if (n.in[k] >= 0) n.in[k] = place[n.in[k]];
        g->nodes[kept++] = n;
    }
    g->count = kept;
    g->output = g->output >= 0 ? place[g->output] : -1;
    return MT_OK;
}

mt_status mt_graph_prune(mt_graph *g, int32_t stores, mt_error *err) {
    if (g->status != MT_OK) return MT_OK; /* mt_graph_plan reports it */
    int32_t first = -1, stop = -1;
    for (int32_t i = 0; i < g->count; i++) {
        if (g->nodes[i].given) first = i;
        if (g->nodes[i].stop) stop = i;
    }
    if (first < 0 && stop < 0) return MT_OK;
    if (stop >= 0 && first > stop)
        return mt_fail(err, MT_ESTATE, "the run stops at \"%s\", before \"%s\", which it starts from",
                       g->nodes[stop].name, g->nodes[first].name);
    size_t n = (size_t)g->count;
    uint8_t *needed = mt_calloc(n, sizeof *needed);
    int32_t *place = mt_array(n, sizeof *place);
    mt_status status = needed && place ? MT_OK : mt_nomem(err, n * 5, "a part of a graph");
    if (status == MT_OK) {
        if (stop >= 0)
            needed[stop] = 1;
        else if (g->output >= 0)
            needed[g->output] = 1;
        for (int32_t i = 0; i < g->count; i++) {
            const mt_node *x = &g->nodes[i];
            if (x->kept && i >= first && (stop < 0 || i <= stop)) needed[i] = 1;
            if (stop < 0 && x->op == MT_OP_KV_STORE && x->i[0] < stores) needed[i] = 1;
        }
        find_needed(g, needed);
        /* What is computed anyway can be seen, whether it comes before the given value or not. */
        status = keep_needed(g, needed, place, first, stop, err);
    }
    mt_free(needed);
    mt_free(place);
    return status;
}
