/* The GGUF container: any bytes, arriving in any pieces. A header that is understood says the same however it came. */
#include "base/gguf.h"
#include "fuzz.h"

static void walk(const mt_gguf *g) {
    uint64_t sum = 0;
    for (size_t i = 0; i < g->key_count; i++) {
        const mt_gguf_key *k = &g->keys[i];
        if (k->type == MT_GGUF_ARRAY && k->element == MT_GGUF_STRING) {
            const uint8_t *at = k->data;
            for (uint64_t j = 0; j < k->count; j++) {
                mt_str s = mt_gguf_next_string(&at);
                for (size_t b = 0; b < s.n; b++) sum += s.p[b];
            }
        } else if (k->type == MT_GGUF_ARRAY && k->element != MT_GGUF_ARRAY)
            for (uint64_t j = 0; j < k->count; j++) sum += mt_gguf_number_at(k, j) > 0;
        for (size_t b = 0; b < k->bytes; b++) sum += k->data[b];
    }
    for (size_t i = 0; i < g->tensor_count; i++)
        for (size_t b = 0; b < g->tensors[i].name.n; b++) sum += g->tensors[i].name.p[b];
    volatile uint64_t keep = sum;
    (void)keep;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    begin_input();
    mt_error err = {0};
    mt_gguf g = {0};
    size_t need = 0, keys = 0, tensors = 0;
    uint8_t *copy = malloc(size + 1); /* exactly as long: reading over the end is seen */
    memcpy(copy, data, size);
    uint8_t *exact = realloc(copy, size ? size : 1);
    bool whole = ok(mt_gguf_parse(&g, exact, size, size, &need, &err), &err);
    if (whole) {
        DEMAND(need == 0, "a whole file needs %zu bytes more", need);
        walk(&g);
        keys = g.key_count, tensors = g.tensor_count;
    }
    mt_gguf_free(&g);
    for (size_t n = 0, rounds = 0; rounds < 64; rounds++) { /* the prefix that is asked for each time */
        g = (mt_gguf){0};
        uint8_t *part = malloc(n ? n : 1);
        memcpy(part, exact, n);
        mt_status status = mt_gguf_parse(&g, part, n, UINT64_MAX, &need, &err);
        bool good = ok(status, &err), done = !good || need == 0;
        if (good && need == 0) {
            walk(&g);
            if (whole) DEMAND(g.key_count == keys && g.tensor_count == tensors, "another header in pieces");
        }
        mt_gguf_free(&g);
        free(part);
        if (done) break;
        DEMAND(need > n, "%zu of %zu are needed", need, n);
        if (need > size) break;
        n = need;
    }
    free(exact);
    end_input();
    return 0;
}
