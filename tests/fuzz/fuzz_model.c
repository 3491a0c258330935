/* Model files: any bytes as GGUF, safetensors with a config.json (its length in two bytes in front), llama2.c or
 * rwkv.cpp, pushed in pieces, with an allocation that fails now and then. What loads describes itself, evaluates
 * tokens, and can be exported. */
#include "fuzz.h"
#include "model/model.h"

enum { LARGEST = 1 << 17 };

static void use(mt_model *m) {
    mt_error err = {0};
    mt_model_info info;
    mt_model_info_get(m, &info);
    mt_buf json = {0};
    if (ok(mt_model_describe(m, &json, &err), &err))
        DEMAND(mt_utf8_valid(json.data, json.len), "the description is no UTF-8");
    mt_buf_free(&json);
    mt_session *s = NULL;
    /* A small file may announce a large vocabulary or context: what it costs to run is refused by size, not tried. */
    if (info.vocab <= 4096 && info.width <= 1024 && info.layers <= 16 &&
        ok(mt_session_new(m, NULL, &(mt_session_options){16, 8, MT_CACHE_F32}, &s, &err), &err)) {
        int32_t token[4] = {0, 1, 1, 2}, parent[4] = {MT_ROOT, MT_IN_BATCH(0), MT_IN_BATCH(1), MT_IN_BATCH(1)}, slot[4];
        for (int i = 0; i < 4; i++) token[i] = info.vocab > 2 ? token[i] : 0;
        bool read = info.encoder_layers == 0 || ok(mt_session_encode(s, token, 3, &err), &err);
        if (read && ok(mt_session_eval(s, &(mt_batch){4, token, parent, NULL, NULL, slot}, &err), &err) &&
            !info.headless)
            DEMAND(info.bidirectional || mt_session_logits(s, 3), "no logits");
        mt_session_free(s);
    }
    mt_export *x = NULL;
    if (ok(mt_export_new(m, &x, &err), &err)) {
        mt_buf out = {0};
        ok(mt_export_describe(x, &out, &err), &err);
        mt_buf_free(&out);
        mt_export_free(x);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > LARGEST) return 0;
    begin_input();
    mt_error err = {0};
    input in = {data, size};
    uint32_t flags = take(&in), config = flags & 1 ? take16(&in) : 0;
    input json = take_bytes(&in, config);
    uint8_t *exact = malloc(in.n ? in.n : 1), *text = malloc(json.n ? json.n : 1);
    memcpy(exact, in.p, in.n);
    memcpy(text, json.p, json.n);
    mt_loader *l = NULL;
    mt_model *m = NULL;
    if (flags & 2) mt_fail_allocation_after((int64_t)(flags >> 3) * 5);
    size_t piece = flags & 4 ? 1 + (flags >> 3) * 3 : in.n + 1;
    if (ok(mt_loader_new(flags & 0x80 ? UINT64_MAX : in.n, &l, &err), &err)) {
        bool good = !(flags & 1) || ok(mt_loader_config(l, text, json.n, &err), &err);
        for (size_t i = 0; i < in.n && good; i += piece)
            good = ok(mt_loader_push(l, exact + i, in.n - i < piece ? in.n - i : piece, &err), &err);
        if (!good)
            mt_loader_free(l);
        else if (ok(mt_loader_finish(l, &m, &err), &err)) {
            mt_fail_allocation_after(-1);
            use(m);
            mt_model_free(m);
        }
    }
    free(exact);
    free(text);
    end_input();
    return 0;
}
