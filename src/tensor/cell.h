/* Running MT_OP_CELL (graph.h): for the executor and the memory plan. */
#ifndef MT_CELL_H
#define MT_CELL_H

#include "graph.h"

size_t mt_cell_scratch(const mt_weight *hh, int32_t T); /* bytes of kernel memory */
void mt_cell_run(const mt_graph *g, const mt_node *n, mt_pool *pool, float *scratch, float *kernel,
                 const mt_feed *feed);

#endif
