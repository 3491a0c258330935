/* Running MT_OP_CELL, MT_OP_WINDOW and MT_OP_POOL (graph.h): for the executor and the memory plan. */
#ifndef MT_CELL_H
#define MT_CELL_H

#include "graph.h"

size_t mt_cell_scratch(const mt_weight *hh, int32_t T); /* bytes of kernel memory */
void mt_cell_run(const mt_graph *g, const mt_node *n, mt_pool *pool, float *scratch, float *kernel,
                 const mt_feed *feed);
/* kernel: room for the ids of one window. */
void mt_window_run(const mt_graph *g, const mt_node *n, float *y, void *kernel, const mt_feed *feed);
void mt_pool_over_run(const mt_graph *g, const mt_node *n, float *scratch, float *y, const mt_feed *feed);

#endif
