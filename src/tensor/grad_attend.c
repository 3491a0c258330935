#include "grad.h"
void mt_back_attend(const mt_back *b) {
    (void)b;
}
size_t mt_back_attend_work(const mt_graph *g, const mt_node *n, int32_t slots) {
    (void)g;
    (void)n;
    (void)slots;
    return 0;
}
