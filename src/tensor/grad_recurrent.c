#include "grad.h"
void mt_back_recurrent(const mt_back *b) {
    (void)b;
}
size_t mt_back_recurrent_work(const mt_graph *g, const mt_node *n) {
    (void)g;
    (void)n;
    return 0;
}
