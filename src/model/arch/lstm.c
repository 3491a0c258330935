/* LSTM and GRU language models (Sundermeyer et al. 2012; Jozefowicz et al. 2016): embedding, stacked cells, an optional
 * projection, the output.
 *
 *   GGUF    general.architecture "lstm" | "gru"; keys lstm.block_count, .embedding_length, .hidden_length (one number,
 *           or one for each layer), .projection_length (where there is one), .context_length;
 *           token_embd.weight [V][E], blk.N.lstm_ih.weight [gates * H][E or H of the layer before],
 * blk.N.lstm_hh.weight [gates * H][H], blk.N.lstm_ih.bias and blk.N.lstm_hh.bias (either, both or none; "gru_ih",
 * "gru_hh" for GRU), output_norm.weight (optional; a layer norm with output_norm.bias, an RMS norm without),
 *           embed_out.weight [P][H] (+ .bias), output.weight [V][P or H] (absent: the embedding's), output.bias
 *   hub     config.json with model_type "lstm" | "gru", vocab_size, embedding_size, hidden_size, num_layers; a PyTorch
 *           state_dict: embedding.weight, lstm.weight_ih_l0 ..., projection.weight, output.weight
 *
 * Gates are in PyTorch's order: LSTM i f g o, GRU r z n with the reset gate after the product (mt_cell). */
#include "arch.h"

#define NAMES(net)                                                                                                     \
    {                                                                                                                  \
        {MT_ROLE_TOKEN_EMBED, "embedding|embed|encoder|token_embedding"}, {MT_ROLE_OUTPUT_NORM, "norm"},               \
            {MT_ROLE_EMBED_OUT, "projection|proj"}, {MT_ROLE_OUTPUT, "output|decoder|lm_head|fc|linear"},              \
            {MT_ROLE_CELL_IH, net ".weight_ih_l%d!|rnn.weight_ih_l%d!"},                                               \
            {MT_ROLE_CELL_HH, net ".weight_hh_l%d!|rnn.weight_hh_l%d!"},                                               \
            {MT_ROLE_CELL_IH_BIAS, net ".bias_ih_l%d!|rnn.bias_ih_l%d!"},                                              \
            {MT_ROLE_CELL_HH_BIAS, net ".bias_hh_l%d!|rnn.bias_hh_l%d!"}, {                                            \
            0, NULL                                                                                                    \
        }                                                                                                              \
    }
static const mt_name lstm_names[] = NAMES("lstm");
static const mt_name gru_names[] = NAMES("gru");

extern const mt_arch mt_arch_lstm;

static bool in_file(const mt_meta *meta, const char *tensor) {
    for (size_t i = 0; i < meta->gguf->tensor_count; i++)
        if (mt_str_is(meta->gguf->tensors[i].name, tensor)) return true;
    return false;
}

static mt_status configure(mt_model *m, const mt_meta *meta, mt_error *err) {
    mt_hyper *h = &m->h;
    MT_TRY(mt_hyper_sizes(m, meta, err));
    MT_TRY(mt_meta_int(meta, "embedding_length", "embedding_size|embedding_dim|emb_size|emsize", 1, 1 << 24, h->width,
                       &h->inner, err));
    h->cell_width = mt_arena_alloc(&m->arena, (size_t)h->layers * sizeof *h->cell_width);
    if (!h->cell_width) return mt_nomem(err, (size_t)h->layers * sizeof *h->cell_width, "widths of layers");
    int64_t listed = mt_meta_count(meta, "hidden_length", "hidden_size");
    if (listed > 0 && listed != h->layers)
        return mt_fail(err, MT_ERANGE, "widths of %lld layers are listed, but there are %d layers", (long long)listed,
                       h->layers);
    int32_t widest = 0;
    for (int32_t l = 0; l < h->layers; l++) {
        int32_t *H = &h->cell_width[l];
        double number;
        if (listed > 0 && mt_meta_number_at(meta, "hidden_length", "hidden_size", l, &number)) {
            if (!(number >= 1 && number <= 1 << 24) || number != (double)(int32_t)number)
                return mt_fail(err, MT_ERANGE, "layer %d has width %g, expected a whole number from 1 to %d", l, number,
                               1 << 24);
            *H = (int32_t)number;
        } else {
            MT_TRY(mt_meta_int(meta, "hidden_length", "hidden_size", 1, 1 << 24, meta->gguf ? h->inner : MT_NEEDED, H,
                               err));
        }
        widest = *H > widest ? *H : widest;
        h->layer[l].recurrent = true;
    }
    h->recurrent = true;
    h->state_width = 2 * (size_t)widest;
    h->width = h->cell_width[h->layers - 1];
    MT_TRY(mt_meta_int(meta, "projection_length", "projection_size", 1, 1 << 24, h->width, &h->embed_width, err));
    mt_hyper_tied(m, meta, 0);
    h->output_bias = MT_BIAS_IF_PRESENT;
    h->final_norm = meta->gguf ? in_file(meta, "output_norm.weight") : mt_meta_bool(meta, NULL, "final_norm", false);
    bool norm_bias = meta->gguf ? in_file(meta, "output_norm.bias") : h->final_norm;
    h->norm = norm_bias ? MT_NORM_LAYER : MT_NORM_RMS;
    h->norm_bias = norm_bias ? MT_BIAS_NEEDED : MT_BIAS_NONE;
    bool own = meta->gguf ? in_file(meta, "output.weight") : h->tied == 0;
    if (!own && h->embed_width != h->inner)
        return mt_fail(err, MT_ERANGE,
                       "the output is the embedding, whose width is %d, but it would have to be %d: output.weight is "
                       "absent",
                       h->inner, h->embed_width);
    return MT_OK;
}

static void declare(mt_declare *d) {
    const mt_hyper *h = d->h;
    int32_t gates = d->m->arch == &mt_arch_lstm ? 4 : 3, in = h->inner;
    mt_declare_table(d, MT_ROLE_TOKEN_EMBED, h->vocab, h->inner, true);
    for (int32_t l = 0; l < h->layers && d->status == MT_OK; l++) {
        int32_t H = h->cell_width[l];
        mt_declare_linear(d, l, MT_ROLE_CELL_IH, gates * H, in, MT_BIAS_NONE);
        mt_declare_linear(d, l, MT_ROLE_CELL_HH, gates * H, H, MT_BIAS_NONE);
        mt_declare_vector(d, l, MT_ROLE_CELL_IH_BIAS, gates * H, false);
        mt_declare_vector(d, l, MT_ROLE_CELL_HH_BIAS, gates * H, false);
        in = H;
    }
    if (h->final_norm) mt_declare_norm(d, -1, MT_ROLE_OUTPUT_NORM, h->width, h->norm_bias);
    if (h->embed_width != h->width)
        mt_declare_linear(d, -1, MT_ROLE_EMBED_OUT, h->embed_width, h->width, MT_BIAS_IF_PRESENT);
    if (h->tied <= 0) mt_declare_table(d, MT_ROLE_OUTPUT, h->vocab, h->embed_width, h->tied == 0);
    mt_declare_bias(d, -1, MT_ROLE_OUTPUT, h->vocab, h->output_bias);
}

static void build(mt_build *b) {
    const mt_hyper *h = b->h;
    mt_graph *g = b->g;
    bool lstm = b->m->arch == &mt_arch_lstm;
    const char *part = lstm ? "lstm" : "gru";
    int32_t x = mt_g_embed(g, mt_b_weight(b, -1, MT_ROLE_TOKEN_EMBED), b->T, h->embed_scale);
    x = mt_g_name(g, x, "hook_embed");
    for (int32_t l = 0; l < h->layers; l++) {
        int32_t H = h->cell_width[l];
        x = mt_g_matmul(g, x, mt_b_weight(b, l, MT_ROLE_CELL_IH), mt_b_weight(b, l, MT_ROLE_CELL_IH_BIAS));
        x = mt_g_name(g, x, "blocks.%d.%s.hook_in", l, part);
        mt_cell cell = {.kind = lstm ? MT_CELL_LSTM : MT_CELL_GRU, .bias = mt_b_values(b, l, MT_ROLE_CELL_HH_BIAS)};
        int32_t gates = mt_g_room(g, b->T, lstm ? 4 * H : 3 * H), inner = mt_g_room(g, b->T, H);
        gates = mt_g_name(g, gates, "blocks.%d.%s.hook_gates", l, part);
        inner = mt_g_name(g, inner, "blocks.%d.%s.%s", l, part, lstm ? "hook_cell" : "hook_candidate");
        x = mt_g_cell(g, x, mt_b_weight(b, l, MT_ROLE_CELL_HH), gates, inner, &cell, l, 0);
        x = mt_g_name(g, x, "blocks.%d.%s.hook_hidden", l, part);
    }
    mt_b_head(b, x);
}

const mt_arch mt_arch_lstm = {.name = "lstm",
                              .model_types = "lstm",
                              .names = lstm_names,
                              .configure = configure,
                              .declare = declare,
                              .build = build};
const mt_arch mt_arch_gru = {.name = "gru",
                             .model_types = "gru",
                             .names = gru_names,
                             .configure = configure,
                             .declare = declare,
                             .build = build};
