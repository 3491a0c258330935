/* Running MT_OP_CELL, MT_OP_WINDOW and MT_OP_POOL (graph.h): for the executor, the memory plan and the gradients. */
#ifndef MT_CELL_H
#define MT_CELL_H

#include "graph.h"

size_t mt_cell_scratch(const mt_weight *hh, int32_t T); /* bytes of kernel memory */
void mt_cell_run(const mt_graph *g, const mt_node *n, mt_pool *pool, float *scratch, float *kernel,
                 const mt_feed *feed);
/* What each row follows; `own` [T] holds it where the cell has windows of its own. */
const int32_t *mt_cell_parents(const mt_cell *cell, const mt_feed *feed, int32_t T, int32_t *own);
/* Depth of each row in the batch, 0 of those that follow none; begin [T + 1]: where the rows of a depth begin when they
 * are sorted by it. Returns the number of depths. */
int32_t mt_cell_depths(const int32_t *parent, int32_t T, int32_t *depth, int32_t *begin);
/* The ids of row t's window, oldest first. */
void mt_window_ids(const mt_node *n, const mt_feed *feed, int32_t t, int32_t *ids);
/* kernel: room for the ids of one window. */
void mt_window_run(const mt_graph *g, const mt_node *n, float *y, void *kernel, const mt_feed *feed);
void mt_pool_over_run(const mt_graph *g, const mt_node *n, float *scratch, float *y, const mt_feed *feed);

#endif
