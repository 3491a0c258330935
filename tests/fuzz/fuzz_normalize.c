/* Normal forms of any bytes: origins never decrease and end at the length; a second pass changes nothing; NFC of NFD is
 * NFC, NFKC of NFKD is NFKC. */
#include "fuzz.h"
#include "text/text.h"

static void form(mt_nf nf, const mt_buf *from, mt_buf *out) {
    mt_error err = {0};
    mt_ids origin = {0};
    DEMAND(ok(mt_normalize(nf, from->data, from->len, out, &origin, &err), &err), "%s", err.text);
    DEMAND(origin.len == out->len + 1 && (size_t)origin.data[out->len] == from->len, "%zu origins of %zu", origin.len,
           out->len);
    for (size_t i = 0; i < out->len; i++)
        DEMAND(origin.data[i] <= origin.data[i + 1] && origin.data[i] >= 0, "origin %zu", i);
    mt_ids_free(&origin);
}
static void same(const mt_buf *a, const mt_buf *b, const char *what) {
    DEMAND(a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0), "%s", what);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    begin_input();
    mt_error err = {0};
    mt_buf text = {0}, made[MT_NFKD_9 + 1] = {0}, again = {0};
    DEMAND(mt_buf_add(&text, data, size, &err) == MT_OK, "%s", err.text);
    for (int nf = MT_NFC; nf <= MT_NFKD_9; nf++) {
        form((mt_nf)nf, &text, &made[nf]);
        form((mt_nf)nf, &made[nf], &again);
        same(&again, &made[nf], "twice");
    }
    for (int k = 0; k < 8; k += 4) { /* both versions of the data */
        form((mt_nf)(MT_NFC + k), &made[MT_NFD + k], &again);
        same(&again, &made[MT_NFC + k], "NFC of NFD");
        form((mt_nf)(MT_NFKC + k), &made[MT_NFKD + k], &again);
        same(&again, &made[MT_NFKC + k], "NFKC of NFKD");
        form((mt_nf)(MT_NFKD + k), &made[MT_NFC + k], &again);
        same(&again, &made[MT_NFKD + k], "NFKD of NFC");
    }
    for (int nf = 0; nf <= MT_NFKD_9; nf++) mt_buf_free(&made[nf]);
    mt_buf_free(&again);
    mt_buf_free(&text);
    end_input();
    return 0;
}
