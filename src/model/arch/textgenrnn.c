/* textgenrnn (Woolf 2017): a character model that looks at a window of the last W characters, padded on the left with
 * token 0. Embeddings and the outputs of two LSTMs over the window stand side by side; an attention weight for each
 * place (softmax of one product) averages them, and one layer makes logits of the average.
 *
 * There is no state between tokens but the window itself: every token is W steps of both LSTMs, which all tokens of a
 * batch make together.
 *
 *   GGUF    textgenrnn.embedding_length, .hidden_length, .window_length (40), .block_count (2); token_embd.weight,
 *           blk.N.lstm_ih.weight, blk.N.lstm_hh.weight, blk.N.lstm_ih.bias, blk.1.attn_pool.weight [E + 2 H],
 *           output.weight [V][E + 2 H], output.bias */
#include "arch.h"

static const mt_name names[] = {{0, NULL}};

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    int32_t H;
    if (!meta->gguf) return mt_fail(err, MT_EUNKNOWN, "textgenrnn is read from GGUF only: convert it");
    MT_TRY(mt_hyper_sizes(m, meta, err));
    if (h->layers != 2) return mt_fail(err, MT_ERANGE, "textgenrnn of %d layers (known: 2)", h->layers);
    h->inner = h->width;
    MT_TRY(mt_meta_int(meta, "hidden_length", NULL, 1, 1 << 20, MT_NEEDED, &H, err));
    MT_TRY(mt_meta_int(meta, "window_length", NULL, 1, 4096, 40, &h->taps, err));
    h->cell_width = mt_arena_alloc(&m->arena, 2 * sizeof *h->cell_width);
    if (!h->cell_width) return mt_nomem(err, 2 * sizeof *h->cell_width, "widths of layers");
    h->cell_width[0] = h->cell_width[1] = H;
    h->width = h->embed_width = h->inner + 2 * H;
    h->recurrent = h->layer[0].recurrent = h->layer[1].recurrent = true;
    h->state_width = (size_t)h->taps;
    h->final_norm = false;
    h->tied = 0;
    h->output_bias = MT_BIAS_NEEDED;
    return MT_OK;
}

static void declare(mt_declare *d) {
    const mt_hyper *h = d->h;
    mt_declare_table(d, MT_ROLE_TOKEN_EMBED, h->vocab, h->inner, true);
    for (int32_t l = 0; l < 2 && d->status == MT_OK; l++) {
        int32_t H = h->cell_width[l];
        mt_declare_linear(d, l, MT_ROLE_CELL_IH, 4 * H, l ? h->cell_width[0] : h->inner, MT_BIAS_NONE);
        mt_declare_linear(d, l, MT_ROLE_CELL_HH, 4 * H, H, MT_BIAS_NONE);
        mt_declare_vector(d, l, MT_ROLE_CELL_IH_BIAS, 4 * H, true);
    }
    mt_declare_vector(d, 1, MT_ROLE_POOL, h->width, true);
    mt_declare_table(d, MT_ROLE_OUTPUT, h->vocab, h->width, true);
    mt_declare_bias(d, -1, MT_ROLE_OUTPUT, h->vocab, h->output_bias);
}

static void build(mt_build *b) {
    const mt_hyper *h = b->h;
    mt_graph *g = b->g;
    int32_t W = h->taps, rows = b->T * W, x[3];
    x[0] = mt_g_window(g, mt_b_weight(b, -1, MT_ROLE_TOKEN_EMBED), b->T, W, 0, 0, 0);
    x[0] = mt_g_name(g, x[0], "hook_embed");
    for (int32_t l = 0; l < 2; l++) {
        int32_t H = h->cell_width[l];
        int32_t in = mt_g_matmul(g, x[l], mt_b_weight(b, l, MT_ROLE_CELL_IH), mt_b_weight(b, l, MT_ROLE_CELL_IH_BIAS));
        in = mt_g_name(g, in, "blocks.%d.lstm.hook_in", l);
        int32_t gates = mt_g_name(g, mt_g_room(g, rows, 4 * H), "blocks.%d.lstm.hook_gates", l);
        int32_t cells = mt_g_name(g, mt_g_room(g, rows, H), "blocks.%d.lstm.hook_cell", l);
        mt_cell cell = {.kind = MT_CELL_LSTM, .window = W};
        x[l + 1] = mt_g_cell(g, in, mt_b_weight(b, l, MT_ROLE_CELL_HH), gates, cells, &cell, l, 0);
        x[l + 1] = mt_g_name(g, x[l + 1], "blocks.%d.lstm.hook_hidden", l);
    }
    int32_t pattern = mt_g_name(g, mt_g_room(g, b->T, W), "hook_weights");
    mt_pool_over pool = {.weight = mt_b_values(b, 1, MT_ROLE_POOL), .window = W, .eps = 1e-7f};
    mt_b_head(b, mt_g_name(g, mt_g_pool(g, x[0], x[1], x[2], pattern, &pool), "hook_average"));
}

const mt_arch mt_arch_textgenrnn = {.name = "textgenrnn",
                                    .model_types = "",
                                    .names = names,
                                    .configure = configure,
                                    .declare = declare,
                                    .build = build};
