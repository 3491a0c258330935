/* The tape itself: shared inputs, aliases, segments. */
#include "grad_common.h"

int main(void) {
    grad_case c;
    gc_begin(&c);
    int32_t x = gc_leaf(&c, 1, 2, 3, 4), y = gc_leaf(&c, 1, 2, 3, 4);
    gc_check(&c, "an input used twice", mt_g_add(c.g, mt_g_mul(c.g, x, y), mt_g_scale(c.g, x, 3)));
    return test_end();
}
