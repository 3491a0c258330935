/* What an architecture is: hyper-parameters read from the container's metadata, tensors declared by role, and a graph.
 *
 *   const mt_arch mt_arch_llama = {
 *       .name = "llama",                      GGUF general.architecture
 *       .model_types = "llama mistral",       config.json model_type
 *       .names = hub_names,                   role -> tensor name in hub repositories; GGUF names are common to all
 *       .configure = configure,               mt_meta -> mt_hyper
 *       .declare = mt_declare_decoder,        which tensors exist, their shapes, how fused ones are taken apart
 *       .build = mt_build_decoder};           the graph
 *
 * Most decoders differ only in mt_hyper; blocks.c holds their common parts. */
#ifndef MT_ARCH_H
#define MT_ARCH_H

#include "../model.h"
#include "../../tensor/graph.h"

/* ---- roles ---- */
typedef enum mt_role {
    MT_ROLE_TOKEN_EMBED,
    MT_ROLE_POSITION_EMBED,
    MT_ROLE_EMBED_NORM,
    MT_ROLE_OUTPUT_NORM,
    MT_ROLE_OUTPUT,
    MT_ROLE_ROPE_FREQS,
    MT_ROLE_TYPE_EMBED, /* segments */
    MT_ROLE_HEAD,       /* encoders: a layer before the output */
    MT_ROLE_HEAD_NORM,
    MT_ROLE_RELATIVE, /* relative position buckets x heads */
    MT_ROLE_RELATIVE_NORM,
    MT_ROLE_EMBED_IN, /* between embeddings and a wider or narrower residual stream */
    MT_ROLE_EMBED_OUT,
    /* per layer */
    MT_ROLE_ATTN_NORM,
    MT_ROLE_Q,
    MT_ROLE_K,
    MT_ROLE_V,
    MT_ROLE_QKV, /* a file's fused tensor; the model keeps Q, K and V */
    MT_ROLE_ATTN_OUT,
    MT_ROLE_POSITION_Q, /* projections of relative positions */
    MT_ROLE_POSITION_K,
    MT_ROLE_CONTENT_BIAS, /* XLNet: added to queries that look at keys, and at positions */
    MT_ROLE_POSITION_BIAS,
    MT_ROLE_Q_NORM,
    MT_ROLE_K_NORM,
    MT_ROLE_ATTN_POST_NORM,
    MT_ROLE_ATTN_SUB_NORM,
    MT_ROLE_FFN_SUB_NORM,
    MT_ROLE_CROSS_NORM, /* attention to an encoder's output */
    MT_ROLE_CROSS_Q,
    MT_ROLE_CROSS_K,
    MT_ROLE_CROSS_V,
    MT_ROLE_CROSS_OUT,
    MT_ROLE_FFN_NORM,
    MT_ROLE_GATE,
    MT_ROLE_UP,
    MT_ROLE_DOWN,
    MT_ROLE_GATE_UP, /* fused in the file */
    MT_ROLE_FFN_POST_NORM,
    MT_ROLE_SSM_IN, /* state-space layers */
    MT_ROLE_SSM_CONV,
    MT_ROLE_SSM_X,
    MT_ROLE_SSM_DT,
    MT_ROLE_SSM_DT_BIAS,
    MT_ROLE_SSM_A,
    MT_ROLE_SSM_D,
    MT_ROLE_SSM_NORM,
    MT_ROLE_SSM_OUT,
    MT_ROLE_SSM_Z, /* gated delta rule: output gate, strength, decay */
    MT_ROLE_SSM_BETA,
    MT_ROLE_SSM_ALPHA,
    MT_ROLE_ATTN_GATE,
    MT_ROLE_SINKS,
    MT_ROLE_MIX_K, /* RWKV: how much of a row, the rest is of the row before */
    MT_ROLE_MIX_V,
    MT_ROLE_MIX_R,
    MT_ROLE_DECAY,
    MT_ROLE_BONUS,
    MT_ROLE_RECEPTANCE,
    MT_ROLE_FFN_MIX_K,
    MT_ROLE_FFN_MIX_R,
    MT_ROLE_FFN_RECEPTANCE,
    MT_ROLE_CELL_IH, /* LSTM, GRU: input to gates, state to gates */
    MT_ROLE_CELL_HH,
    MT_ROLE_CELL_IH_BIAS,
    MT_ROLE_CELL_HH_BIAS,
    MT_ROLE_POOL,
    MT_ROLE_ROUTER,
    MT_ROLE_GATE_EXPERTS,
    MT_ROLE_UP_EXPERTS,
    MT_ROLE_DOWN_EXPERTS,
    MT_ROLE_GATE_UP_EXPERTS, /* fused in the file */
    MT_ROLE_COUNT
} mt_role;
enum { MT_FIRST_LAYER_ROLE = MT_ROLE_ATTN_NORM };

typedef struct mt_name {
    mt_role role;
    const char *name; /* a final ! stands for: nothing is added; without ".weight"/".bias"; first %d: layer, second %d:
                         expert; alternatives separated by '|' */
} mt_name;
extern const char *const mt_gguf_names[MT_ROLE_COUNT];

/* ---- hyper-parameters ---- */
typedef enum mt_norm_kind { MT_NORM_RMS, MT_NORM_LAYER } mt_norm_kind;
typedef enum mt_bias { MT_BIAS_NONE, MT_BIAS_NEEDED, MT_BIAS_IF_PRESENT } mt_bias;
typedef enum mt_qk_norm { MT_QK_NORM_NONE, MT_QK_NORM_HEAD, MT_QK_NORM_FULL } mt_qk_norm;
typedef enum mt_flow {
    MT_FLOW_SEQUENTIAL,      /* x += attn(norm1 x); x += mlp(norm2 x) */
    MT_FLOW_PARALLEL,        /* x += attn(norm1 x) + mlp(norm2 x) */
    MT_FLOW_PARALLEL_SHARED, /* x += attn(norm1 x) + mlp(norm1 x) */
    MT_FLOW_POST_NORM        /* x = norm1(x + attn(x)); x = norm2(x + mlp(x)) */
} mt_flow;
/* Order of the rows in a fused query-key-value tensor. */
typedef enum mt_qkv_layout {
    MT_QKV_SEPARATE,
    MT_QKV_CONCAT,   /* all q, all k, all v */
    MT_QKV_QUARTERS, /* four times: a quarter of q, of v, of k (CodeGen) */
    MT_QKV_PER_HEAD, /* per head: q k v */
    MT_QKV_PER_GROUP /* per key/value head: its queries, k, v */
} mt_qkv_layout;

enum { MT_MAX_ROPES = 2, MT_MAX_WINDOWS = 4 };
/* Some scalings depend on how long the text has become; a session then keeps frequencies of its own. */
typedef enum mt_rope_rule { MT_ROPE_FIXED, MT_ROPE_DYNAMIC, MT_ROPE_LONG } mt_rope_rule;
typedef enum mt_rope_scaling {
    MT_ROPE_PLAIN,
    MT_ROPE_LINEAR,
    MT_ROPE_GROWING,
    MT_ROPE_YARN,
    MT_ROPE_OTHER
} mt_rope_scaling;
typedef struct mt_rope_set {
    mt_rope_rule rule;
    mt_rope_scaling scaling; /* for export: what the file said */
    float original, fast, slow;
    float base, factor;
    int32_t limit; /* up to this length inv_freq holds */
    float *beyond; /* MT_ROPE_LONG: the frequencies for longer texts */
    int32_t dims;  /* rotated per head */
    float mscale;
    float *inv_freq; /* dims / 2 */
} mt_rope_set;
typedef struct mt_layer {
    int8_t rope;    /* index of the rope set, -1: none */
    int8_t visible; /* index into mt_hyper.windows */
    bool recurrent; /* a state instead of attention */
    int32_t set;    /* whose parameters it uses: its own, or those that several layers share */
} mt_layer;

typedef struct mt_hyper {
    int32_t layers, width, embed_width, heads, kv_heads, head_width, value_width, ffn, vocab, context;
    mt_norm_kind norm;
    mt_bias norm_bias, qkv_bias, attn_out_bias, mlp_bias, output_bias;
    bool norm_plus_one; /* hub files keep gain - 1 */
    bool final_norm, pre_norm, post_norm;
    float eps;
    mt_flow flow;
    mt_qkv_layout qkv;
    bool gate_up_fused, transposed; /* transposed: hub files keep [in][out] (Conv1D) */
    mt_qk_norm qk_norm;
    mt_norm_kind qk_norm_kind;
    bool qk_norm_rotated; /* after the rotation, not before */
    bool bare_norms;      /* norms have neither gain nor bias */
    bool sub_norms;       /* norms before the two output projections */
    bool embed_norm, rope_interleaved;
    bool embed_norm_last;  /* after the positions were added */
    int32_t decoder_start; /* encoder-decoder models: first token of the decoder, -1: not known */
    bool sinusoids;        /* positions as in the first transformer: all sines, then all cosines */
    bool cross;            /* each layer also looks at the output of an encoder */
    mt_relation relation;  /* scores depend on relative positions through queries and keys */
    bool relative_norm;
    bool to_position, from_position,
        shared_relation;                   /* DeBERTa: the terms it has; projections are those of the contents */
    bool own_relative;                     /* every layer has a table of relative positions of its own */
    int32_t position_rows, position_first; /* learned positions: rows of the table (0: none), index of position 0 */
    bool alibi;
    float alibi_max;
    mt_act act;
    bool gated;
    float embed_scale, residual_scale, logit_scale, attn_scale, attn_softcap, final_softcap, clip_qkv;
    bool residual_from_norm;
    bool bidirectional;   /* encoders: a token sees its whole text */
    bool bare_first_norm; /* layer 0 has no norm before attention */
    int32_t layer_sets;   /* sets of layer parameters */
    int32_t types;        /* rows of the segment table */
    bool headless;        /* the file holds hidden layers alone: an encoder for embeddings */
    mt_act head_act;
    bool recurrent; /* some layers keep a state of state_width floats */
    size_t state_width;
    int32_t inner, state, taps, rank, groups; /* of state-space layers; rank 0: Mamba-2 */
    int32_t ssm_heads, ssm_head_width;
    mt_bias ssm_bias, conv_bias;
    int32_t *cell_width;              /* [layers] LSTM, GRU: of their states */
    int32_t key_heads, key_width;     /* gated delta rule: its keys; ssm_heads and ssm_head_width are of its values */
    bool gated_attention;             /* by the sigmoid of a projection; a hub file keeps it beside each head's query */
    bool sinks;                       /* a logit for each head that takes part in the softmax only */
    int32_t buckets, bucket_distance; /* of relative positions; 0: none */
    int32_t buckets_log;              /* DeBERTa: on each side, 0: every distance has its own */
    int32_t experts, experts_used;
    bool experts_normalise, experts_bias;
    float experts_limit; /* gates and inputs are clamped, see mt_experts; 0: not */
    int tied;            /* 1: output is the token embedding, 0: it has its own, -1: the file decides */
    bool has_rope_freqs; /* the file may hold divisors of the inverse frequencies */
    mt_rope_set ropes[MT_MAX_ROPES];
    int32_t rope_count;
    int32_t windows[MT_MAX_WINDOWS]; /* 0: everything */
    int32_t window_count;
    float *alibi_slopes; /* [heads] */
    mt_layer *layer;     /* [layers] */
} mt_hyper;

/* ---- metadata, whichever container it came in ---- */
/* A GGUF key whose value is the config.json of a hub folder: it counts instead of the keys (see export.c). */
#define MT_CONFIG_KEY "microtome.config"
typedef struct mt_config mt_config; /* a config.json, flattened to paths */
typedef struct mt_meta {
    const mt_gguf *gguf; /* NULL: config */
    const mt_config *config;
    const char *prefix; /* of GGUF keys: the architecture's name */
} mt_meta;
/* gguf: key without the "llama." prefix (a key that starts with '.' is taken whole, without the dot), NULL: not in
 * GGUF. hub: paths in config.json ("rope_parameters.rope_theta|rope_theta"), first match counts, null counts as absent.
 */
#define MT_NEEDED INT64_MIN
mt_status mt_meta_int(const mt_meta *m, const char *gguf, const char *hub, int64_t least, int64_t most,
                      int64_t otherwise, int32_t *out, mt_error *err);
mt_status mt_meta_float(const mt_meta *m, const char *gguf, const char *hub, double otherwise /* NAN: needed */,
                        float *out, mt_error *err);
bool mt_meta_has(const mt_meta *m, const char *gguf, const char *hub);
bool mt_meta_bool(const mt_meta *m, const char *gguf, const char *hub, bool otherwise);
mt_str mt_meta_string(const mt_meta *m, const char *gguf, const char *hub); /* n = 0: absent */
int64_t mt_meta_count(const mt_meta *m, const char *gguf, const char *hub); /* elements of an array; -1: no array */
bool mt_meta_number_at(const mt_meta *m, const char *gguf, const char *hub, int64_t i, double *out);
mt_str mt_meta_string_at(const mt_meta *m, const char *hub, int64_t i); /* config.json only */
mt_status mt_config_parse(const uint8_t *json, size_t n, mt_config **out, mt_error *err);
void mt_config_free(mt_config *c);
mt_str mt_config_text(const mt_config *c);

/* ---- parameters ---- */
typedef struct mt_param {
    const char *name; /* GGUF style: "blk.0.attn_q.weight" */
    mt_role role;
    int32_t layer;      /* -1: none */
    int32_t rows, cols; /* vectors: cols 1 */
    int32_t count;      /* matrices of this shape (experts), else 1 */
    bool vector, needed;
    bool head;       /* of an encoder's head, which is there as a whole or not at all */
    uint64_t filled; /* rows received, of rows * count */
    mt_weight *weight;
    float *values;
} mt_param;

typedef struct mt_arch mt_arch;
typedef struct mt_file_tensor { /* for describe */
    const char *name;
    uint32_t n_dims, type;
    uint64_t dims[4], bytes;
} mt_file_tensor;

typedef struct mt_adapted {
    const mt_weight *weight;
    mt_adapter adapter; /* the matrices are the caller's */
} mt_adapted;

struct mt_model {
    const mt_arch *arch;
    mt_hyper h;
    mt_hyper encoder; /* of encoder-decoder models, whose decoder is h; else layers is 0 */
    mt_param *params;
    size_t param_count, param_capacity;
    int32_t *weight_of, *bias_of; /* mt_param_at -> param, -1 */
    uint8_t *header;              /* GGUF header bytes that gguf borrows */
    mt_gguf gguf;
    bool has_gguf;
    const char *container; /* "gguf", "safetensors", "llama2.c" */
    mt_arena arena;        /* names, hyper-parameter arrays */
    mt_config *config;     /* of other containers than GGUF, and of a GGUF that has one */
    mt_file_tensor *files;
    size_t file_count, file_capacity;
    const char *name;
    uint64_t parameters, weight_bytes;
    uint32_t main_type;
    mt_adapted *adapted; /* matrices that have low-rank adapters */
    size_t adapted_count, adapted_capacity;
};

/* Parameters are found by scope, layer and role. Scope 0: the model, or its decoder; m->h.layers + 1: its encoder. */
static inline size_t mt_param_at(int32_t scope, int32_t layer, mt_role role) {
    return ((size_t)scope + (size_t)(layer + 1)) * MT_ROLE_COUNT + (size_t)role;
}

/* Where the rows of one file tensor go: of every `period` rows, those from `first` on go, in order, to `param`. */
typedef struct mt_part {
    int32_t param, period, first, count, base; /* the first of them becomes row `base` */
} mt_part;
enum { MT_MAX_PARTS = 3 };
typedef struct mt_source {
    const char *name;
    int32_t n_dims;
    int64_t dims[4];                      /* row-major, as a hub file gives them */
    bool merged;                          /* heads are a dimension of their own */
    bool transposed, plus_one, minus_exp; /* plus_one: gain - 1 is stored; minus_exp: the logarithm of -A */
    int32_t parts_count;
    mt_part parts[MT_MAX_PARTS];
    bool seen;
} mt_source;

/* Collects what a model needs while arch->declare runs. */
typedef struct mt_declare {
    mt_model *m;
    const mt_hyper *h; /* of the half that is declared now */
    const mt_name *names;
    int32_t scope;
    bool transposed, merged; /* of what is declared next, in hub files */
    bool hub;                /* names and layouts of hub repositories; else GGUF */
    mt_source *sources;
    size_t count, capacity;
    mt_status status; /* sticky */
    mt_error *err;
} mt_declare;
/* The parameters of a loaded model once more, as a hub folder or a GGUF file would hold them. Parameter i of `frame`
 * is the model's own[i]. frame (zeroed before), d->sources and own are the caller's to free, also on failure. */
mt_status mt_declare_again(const mt_model *m, bool hub, mt_model *frame, mt_declare *d, int32_t **own, mt_error *err);
void mt_declare_linear(mt_declare *d, int32_t layer, mt_role role, int32_t rows, int32_t cols, mt_bias bias);
void mt_declare_norm(mt_declare *d, int32_t layer, mt_role role, int32_t width, mt_bias bias);
void mt_declare_table(mt_declare *d, mt_role role, int32_t rows, int32_t cols, bool needed); /* embeddings */
void mt_declare_vector(mt_declare *d, int32_t layer, mt_role role, int32_t n, bool needed);
/* Any shape, kept as floats; minus_exp: hub files hold ln(-x). */
void mt_declare_array(mt_declare *d, int32_t layer, mt_role role, int32_t rows, int32_t cols, bool minus_exp);
/* `count` matrices; GGUF and new hub files stack them, older hub files number them. */
void mt_declare_experts(mt_declare *d, int32_t layer, mt_role role, int32_t count, int32_t rows, int32_t cols);
/* A file tensor that holds the rows of several roles: roles[i] gets parts[i]; parts[i].param is the number of periods.
 */
void mt_declare_fused(mt_declare *d, int32_t layer, mt_role fused, int32_t cols, const mt_role *roles,
                      const mt_part *parts, int32_t count, mt_bias bias);
void mt_declare_bias(mt_declare *d, int32_t layer, mt_role role, int32_t n, mt_bias bias); /* alone */
void mt_declare_layers(mt_declare *d);
void mt_declare_decoder(mt_declare *d);
void mt_declare_encoder(mt_declare *d);
void mt_declare_encoder_decoder(mt_declare *d);

/* ---- building ---- */
typedef struct mt_build {
    const mt_model *m;
    const mt_hyper *h; /* of the half that is built now */
    int32_t scope;
    mt_graph *g;
    int32_t T, rows;  /* rows whose logits are wanted */
    int32_t columns;  /* of stored score matrices */
    int32_t memory;   /* rows of the encoder's output */
    int32_t relative; /* node: representations of relative positions */
    bool own_planes;  /* an encoder's layers have planes of the cache of their own, after the decoder's */
    bool all_rows;    /* gather the wanted rows only after the final norm: somebody looks at it */
} mt_build;
int32_t mt_b_weight(mt_build *b, int32_t layer, mt_role role);
int32_t mt_b_bias(mt_build *b, int32_t layer, mt_role role);
const float *mt_b_values(mt_build *b, int32_t layer, mt_role role); /* of a vector */
int32_t mt_b_linear(mt_build *b, int32_t x, int32_t layer, mt_role role);
int32_t mt_b_norm(mt_build *b, int32_t x, int32_t layer, mt_role role, const char *name /* "ln1" */);
int32_t mt_b_mlp(mt_build *b, int32_t x, int32_t layer);
int32_t mt_b_embed(mt_build *b);
void mt_b_head(mt_build *b, int32_t x);
int32_t mt_b_layer(mt_build *b, int32_t x, int32_t layer); /* attention and feed-forward, in the order of h.flow */
void mt_build_decoder(mt_build *b);
void mt_build_encoder(mt_build *b);
void mt_build_memory(mt_build *b); /* the encoder of an encoder-decoder model, and what the decoder looks at */

/* A model's whole graph, from tokens to logits, neither pruned nor planned. Of `sizes` T, rows, columns and memory
 * count. Nodes before *border are those of an encoder that reads `source` tokens, with planes of the cache of its own.
 */
mt_status mt_model_graph(const mt_model *m, mt_wanted wanted, void *arg, mt_build sizes, int32_t source, mt_graph **out,
                         int32_t *border, mt_error *err);
/* Low-rank adapters of a matrix, in every graph that is built from now on; the last one counts. NULL: none any more. */
mt_status mt_model_set_adapter(mt_model *m, const mt_weight *weight, const mt_adapter *adapter, mt_error *err);
void mt_model_adapt(const mt_model *m, mt_graph *g); /* before a graph is built */

struct mt_arch {
    const char *name;
    const char *gguf_names;       /* further general.architecture values, separated by spaces */
    const char *model_types;      /* of config.json */
    const mt_name *names;         /* ends with name NULL */
    const mt_name *encoder_names; /* of encoder-decoder models */
    const char *prefix;           /* base-model prefix that a hub file may lack: "transformer." */
    bool attention_only;          /* may do without feed-forward blocks: their width is 0 */
    const char *ignored;          /* globs of tensors that hold nothing of use, separated by spaces */
    mt_status (*configure)(mt_model *m, const mt_meta *meta, mt_error *err);
    void (*declare)(mt_declare *d);
    void (*build)(mt_build *b);
    bool permuted; /* in GGUF files the rows of q and k are sorted so that rotary pairs are neighbours */
    void (*declare_mixer)(mt_declare *d, int32_t layer); /* of recurrent layers among others */
    int32_t (*mixer)(mt_build *b, int32_t n, int32_t layer);
};
const mt_arch *mt_arch_find_gguf(mt_str name);
const mt_arch *mt_arch_find_hub(mt_str model_type);
void mt_arch_list(bool hub, char *out, size_t cap); /* for messages */

/* Mamba-2 layers among others. */
mt_status mt_mamba2_check(mt_model *m, const mt_meta *meta, mt_error *err); /* sizes; sets state_width */
void mt_mamba_declare(mt_declare *d, int32_t layer);
int32_t mt_mamba_mixer(mt_build *b, int32_t n, int32_t layer);
/* Layers that "layer_types" does not call attention are recurrent. */
void mt_hyper_recurrent(mt_model *m, const mt_meta *meta);

extern const mt_name mt_llama_names[]; /* names that many hub architectures share */

/* ---- reading hyper-parameters ---- */
/* Sets what nearly all decoders share: sizes, eps, context; and the defaults of the rest (RMS, sequential, pre-norm).
 */
mt_status mt_hyper_read(mt_model *m, const mt_meta *meta, mt_error *err);
/* The sizes alone, for models without attention. */
mt_status mt_hyper_sizes(mt_model *m, const mt_meta *meta, mt_error *err);
mt_status mt_hyper_layers(mt_model *m, int32_t layers, mt_error *err); /* another number of layers */
/* Adds a rope set; the first one becomes that of all layers. */
typedef struct mt_rope_source {
    const char *path; /* config.json: "rope_parameters.full_attention"; NULL: "rope_parameters" and the older keys */
    const char *gguf_base; /* NULL: "rope.freq_base" */
    const char *hub_base;  /* further alternatives for the base */
    double base;           /* when the file says nothing; 0: 10000 */
    bool unscaled;         /* the scaling that the file names is not for this set */
} mt_rope_source;
mt_status mt_hyper_rope(mt_model *m, const mt_meta *meta, mt_rope_source from, mt_error *err);
/* The frequencies for a text that has become `length` tokens long; reached and own[dims / 2] are the session's. */
const float *mt_rope_update(const mt_rope_set *r, int32_t length, int32_t *reached, float *own);
/* Which layers see only `window` positions: "layer_types" of config.json, else all but every period-th layer
 * (0: none, 1: none, -1: all). */
void mt_hyper_layer_types(mt_model *m, const mt_meta *meta, int32_t window, int32_t period);
mt_status mt_hyper_experts(mt_model *m, const mt_meta *meta, mt_error *err);
/* What BERT and its kin share: norms after the blocks, both ways, learned positions and segments. */
mt_status mt_hyper_encoder(mt_model *m, const mt_meta *meta, mt_error *err);
void mt_hyper_bias(mt_model *m, mt_bias all); /* norms, projections, feed-forward */
mt_status mt_hyper_act(mt_model *m, const mt_meta *meta, const char *otherwise, mt_error *err);
mt_status mt_hyper_act_named(mt_model *m, const mt_meta *meta, const char *keys, const char *otherwise, mt_error *err);
mt_status mt_hyper_alibi(mt_model *m, double max, mt_error *err);
int8_t mt_hyper_window(mt_model *m, int32_t window); /* its index in h.windows */
void mt_hyper_tied(mt_model *m, const mt_meta *meta, int otherwise);

bool mt_glob(const char *pattern, const char *name);
/* One of the '|'-separated alternatives, number i; false when there are fewer. */
bool mt_alternative(const char *list, int i, char separator, char *out, size_t cap);

#endif
