/* model: files -> weights -> named graphs -> logits.
 *
 *   load.c       push loader: feed the file's bytes in order, weights are repacked as they arrive
 *   meta.c, hyper.c, declare.c   hyper-parameters and tensors, by role, from GGUF or from a hub folder
 *   blocks.c     what architectures share: attention, feed-forward, norms
 *   arch/NAME.c  one architecture = hyper-parameters + tensor names + a graph builder
 *   kv.c         the cache: slots with key, value, position and parent
 *   session.c    evaluation of a batch = tokens + positions + visibility
 *   trace.c      traces and patches of a session
 *   tensors.c    the tensors of a loaded model's file, and the parameters that their rows became
 *   grad.c       gradients of a batch's loss by parameters and by named values
 *   edit.c       chains of slots: held, cut, moved, joined
 *   state.c      a chain and what was computed for it, as bytes
 */
#ifndef MT_MODEL_H
#define MT_MODEL_H

#include "../base/base.h"
#include "../base/gguf.h"
#include "../tensor/kernels.h"

/* ---- loading: mt_loader_new, mt_loader_push..., mt_loader_finish ---- */
typedef struct mt_model mt_model;
typedef struct mt_loader mt_loader;
mt_status mt_loader_new(uint64_t file_size /* UINT64_MAX: unknown */, mt_loader **out, mt_error *err);
/* Threads that repack what arrives; they live as long as the loader at least. */
void mt_loader_use_pool(mt_loader *l, mt_pool *pool);
/* The next bytes of the file. Bytes are used and forgotten: peak memory is the model plus one row group plus the
 * header. */
mt_status mt_loader_push(mt_loader *l, const uint8_t *p, size_t n, mt_error *err);
/* For a folder as hubs keep it: the bytes of config.json, before the first push of its safetensors files. */
mt_status mt_loader_config(mt_loader *l, const uint8_t *json, size_t n, mt_error *err);
/* What follows is the next file of a model that is split (safetensors shards in any order, GGUF splits). */
mt_status mt_loader_next_file(mt_loader *l, uint64_t file_size, mt_error *err);
/* All bytes were pushed: the model, which now owns everything. The loader is freed in every case. */
mt_status mt_loader_finish(mt_loader *l, mt_model **out, mt_error *err);
void mt_loader_free(mt_loader *l); /* abort */
void mt_model_free(mt_model *m);

typedef struct mt_model_info {
    const char *architecture;                                                      /* "llama", "gpt2" */
    const char *name;                                                              /* general.name or "" */
    int32_t layers, width, heads, kv_heads, head_width, ffn_width, vocab, context; /* context: trained length */
    uint64_t parameters, weight_bytes;
    const char *weight_type; /* of most weights: "Q8_0" */
    int32_t encoder_layers;  /* more than 0: mt_session_encode comes first */
    int32_t decoder_start;   /* the token that its decoder starts from, -1: not known */
    int32_t segments;        /* kinds of text that tokens may be marked as belonging to; 0: it knows none */
    int32_t bidirectional;   /* 1: an encoder, whose tokens see the whole text */
    int32_t headless;        /* 1: hidden states alone, no logits */
} mt_model_info;
void mt_model_info_get(const mt_model *m, mt_model_info *out);
const mt_gguf *mt_model_gguf(const mt_model *m); /* metadata, e.g. for mt_tok_load_gguf; NULL for other containers */
/* Everything `inspect` prints, as JSON: metadata, tensors (name, dims, type, bytes), hyper-parameters. */
mt_status mt_model_describe(const mt_model *m, mt_buf *json, mt_error *err);

/* ---- export: a model of any container as a GGUF file's keys and tensors (export.c) ---- */
typedef struct mt_export mt_export;
mt_status mt_export_new(const mt_model *m, mt_export **out, mt_error *err);
void mt_export_free(mt_export *x);
/* The keys as the file holds them, one after the other. */
const mt_buf *mt_export_keys(const mt_export *x);
/* {"architecture", "keys": their number, "complete": they say everything, without a config.json, "tensors": [{"name",
 * "dims": the contiguous one first, "type": F32 or what the model keeps}]} */
mt_status mt_export_describe(const mt_export *x, mt_buf *json, mt_error *err);
/* `count` rows (of dims[0] values) from `row` of a tensor, as blocks of `type`. */
mt_status mt_export_rows(const mt_export *x, mt_pool *pool, int32_t tensor, int64_t row, int64_t count, uint32_t type,
                         void *out, mt_error *err);

/* ---- sessions ---- */
typedef struct mt_session mt_session;
typedef struct mt_session_options {
    int32_t slots;       /* capacity of the cache; 0: the trained context length, at most 4096 */
    int32_t max_batch;   /* rows evaluated at once; longer batches are cut unless traced or patched; 0: 256 */
    mt_cache_type cache; /* how keys and values are kept; encoders take F32 only */
} mt_session_options;
mt_status mt_session_new(mt_model *m, mt_pool *pool, const mt_session_options *o, mt_session **out, mt_error *err);
void mt_session_free(mt_session *s);
mt_model *mt_session_model(const mt_session *s);

/* parent[i]: the slot that token i follows, MT_ROOT (it is the first of its sequence), or MT_IN_BATCH(j): token j < i
 * of this batch. Token i sees its ancestors and itself. position NULL: parent's position + 1. */
#define MT_ROOT        (-1)
#define MT_IN_BATCH(j) (-2 - (j))
typedef struct mt_batch {
    int32_t count;
    const int32_t *token;
    const int32_t *parent;
    const int32_t *position; /* or NULL */
    const uint8_t *want;     /* want[i]: keep logits of row i; NULL: only the last */
    int32_t *slot;           /* out: the slot of each token */
} mt_batch;
/* Encoder-decoder models: reads the whole source text at once. What the decoder looks at is kept until the next call,
 * which also empties the cache: the decoder's slots belong to one source. */
mt_status mt_session_encode(mt_session *s, const int32_t *token, int32_t count, mt_error *err);
/* Encoders that know segments (BERT's sentences A and B): those of the rows of the next eval alone, which must have as
 * many. Without this call all are 0. */
mt_status mt_session_segments(mt_session *s, const int32_t *segment, int32_t count, mt_error *err);
/* Evaluates all rows in one pass (cut at max_batch). On failure nothing stays allocated and earlier slots are intact.
 */
mt_status mt_session_eval(mt_session *s, const mt_batch *b, mt_error *err);
/* Logits [V] of batch row i of the last eval; NULL when not kept. Valid until the next call. */
const float *mt_session_logits(const mt_session *s, int32_t i);

int32_t mt_session_free_slots(const mt_session *s);
int32_t mt_session_slots(const mt_session *s);
void mt_session_drop(mt_session *s,
                     int32_t slot); /* frees one slot; its children become unreachable: drop leaves first */
void mt_session_keep_chain(mt_session *s, int32_t slot); /* frees every slot that is not `slot` or an ancestor of it */
void mt_session_reset(mt_session *s);
int32_t mt_session_parent(const mt_session *s, int32_t slot);
typedef struct mt_session_info {
    int32_t slots, free;
    const char *cache;                  /* "f32", "f16", "q8" */
    double cache_bytes, slot_bytes;     /* keys and values: of all slots, of one */
    double state_bytes;                 /* of recurrent layers: all states that are kept */
    double memory_bytes, scratch_bytes; /* an encoder's output; intermediate values */
} mt_session_info;
void mt_session_info_get(const mt_session *s, mt_session_info *out);

/* ---- chains: what several texts share, what is forgotten, what is moved (edit.c) ----
 * A chain is a slot and its ancestors. To fork is to hold a slot: both texts then go on from it, each in slots of its
 * own; what they share is never copied. */
void mt_session_hold(mt_session *s, int32_t slot);
/* The slot is held once less; what nothing follows or holds any more is freed, up to the first shared slot. */
void mt_session_release(mt_session *s, int32_t slot);
/* Slots of the chain, first to last, if out is not NULL; their number, -1: the slot holds nothing. */
int32_t mt_session_chain(const mt_session *s, int32_t slot, int32_t *out);
int32_t mt_session_token(const mt_session *s, int32_t slot);
int32_t mt_session_position(const mt_session *s, int32_t slot);
/* Whether a token may follow: of a recurrent model only where the state is kept. */
bool mt_session_continues(const mt_session *s, int32_t slot);
/* The last `keep` tokens of the chain of `tail` now follow `head` (MT_ROOT: nothing), `delta` positions further on:
 * their keys are rotated by delta (Su et al. 2021: rotations add up), values stay. Nothing is evaluated: what they have
 * seen of tokens that are left out remains in them. The caller's hold on `tail` moves to the result, *leaf, whose chain
 * is that of head and the kept ones; what was left out is freed unless something else needs it. Kept slots that another
 * branch needs too are copied, others are changed where they are. keep 0: *leaf is head.
 *   forget a range (Xiao et al. 2024): join(slot before it, leaf, what comes after, -its length)
 *   insert in the middle: evaluate the new tokens after `head`, then join(their last, leaf, the old rest, their number)
 * ESTATE: a recurrent model; or delta is not 0 and positions are not rotations of keys that we can turn. ELIMIT: too
 * few free slots for the copies. ERANGE: no such slots. */
mt_status mt_session_join(mt_session *s, int32_t head, int32_t tail, int32_t keep, int32_t delta, int32_t *leaf,
                          mt_error *err);

/* ---- saved states (state.c): versioned bytes that fit one model and one kind of cache ---- */
/* The chain of `leaf`: tokens, positions, keys and values, recurrent states, an encoder's output. */
mt_status mt_session_save(mt_session *s, int32_t leaf, mt_buf *out, mt_error *err);
/* Puts a saved chain beside those that are there; *leaf is not held. Continuing gives the same bits as before. Any
 * bytes are safe: EFORMAT (not a state, cut, changed), EUNKNOWN (a version, a kind of cache), ESTATE (another model's),
 * ELIMIT (too few slots). On failure nothing changes. */
mt_status mt_session_restore(mt_session *s, const uint8_t *p, size_t n, int32_t *leaf, mt_error *err);

/* ---- tracing and patching ---- */
/* Ask before eval: names or globs ("blocks.*.attn.hook_pattern"). Traced values are kept until the next eval or
 * mt_trace_clear. */
mt_status mt_trace_want(mt_session *s, const char *glob, mt_error *err);
void mt_trace_clear(mt_session *s);
typedef struct mt_traced {
    const char *name;
    int32_t n_dims;
    int32_t dims[4]; /* row-major, first is slowest */
    const float *data;
} mt_traced;
int32_t mt_trace_count(const mt_session *s);
bool mt_trace_get(const mt_session *s, int32_t i, mt_traced *out);
/* hook_attn_scores and hook_pattern are [heads][rows of the batch][columns]: which slots the columns are, by position
 * and then by slot (a single sequence: in its order). Returns their number. */
int32_t mt_trace_columns(const mt_session *s, const int32_t **slots);
/* Names that this model can trace, one per line. */
mt_status mt_trace_names(const mt_model *m, mt_buf *out, mt_error *err);
typedef enum mt_patch_kind {
    MT_PATCH_REPLACE,
    MT_PATCH_ADD,
    MT_PATCH_SCALE,
    MT_PATCH_ZERO,
    MT_PATCH_MEAN,    /* along `axis`: every element becomes the mean of all along it, summed in double; or that which
                         is given as a value, one for each line along the axis */
    MT_PATCH_RESAMPLE /* along `axis`: index i takes the values of index j(i), drawn uniformly from the others by
                         `seed`, once for the whole value */
} mt_patch_kind;
typedef struct mt_patch {
    const char *name; /* of one value, no glob */
    mt_patch_kind kind;
    /* What it changes: a box, from[d] <= index < to[d] along the first `dims` dimensions (to INT32_MAX: to the end) and
     * all of the others; or, where dims is 0, elements offset .. offset + count of the flat value (count SIZE_MAX: to
     * its end). Mean and resample take boxes alone, without one the whole. */
    int32_t dims, from[4], to[4];
    size_t offset, count;
    /* Replace, add: one for each element that is changed, or one for all; or, with `aligned`, one for each element of
     * the value. Scale: one. */
    const float *value;
    size_t values;
    bool aligned;
    /* Replace alone, of the whole value: it is not computed, nor what leads to it alone (mt_session_partial). */
    bool given;
    int32_t axis;
    uint64_t seed;
} mt_patch;
/* While set, the node of this name is changed right after it is computed; patches of one name act in the order in which
 * they were added. Values are copied. The batch decides about shapes: mt_session_eval says when a patch does not fit.
 */
mt_status mt_patch_add(mt_session *s, const mt_patch *p, mt_error *err);
void mt_patch_clear(mt_session *s);

/* ---- part of a model ----
 * A run that starts from given values (mt_patch.given) or stops at a value computes what is needed and nothing else:
 * layers before the first and after the last are not evaluated. Its tokens cannot be followed by others, since not all
 * of their keys and values are there: mt_session_eval gives their slots back at once (the batch's slots are MT_ROOT).
 */
/* While set, evaluation ends with this value, which is traced; there are no logits. NULL: it goes on to the end. */
mt_status mt_session_stop_at(mt_session *s, const char *name, mt_error *err);
bool mt_session_partial(const mt_session *s);

/* ---- gradients (grad.c) ----
 * A batch is evaluated with a loss at the end of the very graph that evaluations use, and gone through backwards
 * (tensor/grad.h). It starts from nothing: every token follows MT_ROOT or another of the batch. Its slots are given
 * back by mt_gradients_free; until then the session must not be used for anything else. */
typedef enum mt_objective { MT_OBJECTIVE_LOGIT, MT_OBJECTIVE_LOG_PROB } mt_objective;
typedef struct mt_loss {
    /* [count of the batch] the token that each row is to predict, -1: not counted. The loss is their mean
     * cross-entropy, in nats. NULL: the terms below. */
    const int32_t *target;
    int32_t targets; /* more than 0: the sum of the cross-entropies is divided by this, not by how many there are: for
                        a batch that is gone through in parts */
    /* Else the sum over the terms of weight times the logit, or natural log-probability, of a token at a row. */
    mt_objective objective;
    int32_t terms;
    const int32_t *row, *token;
    const float *weight;
} mt_loss;
typedef struct mt_gradients_options {
    /* Globs of tensors of the model's file, and of named values (see mt_trace_names), whose gradients are wanted; of
     * values that are wanted themselves. */
    const char *const *parameters, *const *values, *const *traces;
    int32_t parameter_count, value_count, trace_count;
    /* Or: where the gradients of storages are added up; then there are no parameters. */
    float *(*grad)(void *arg, const void *storage); /* mt_grad_of */
    void *arg;
    int32_t segments; /* see mt_tape_options */
    /* Encoder-decoder models: the source text, instead of mt_session_encode. */
    const int32_t *source;
    int32_t source_count;
} mt_gradients_options;
typedef struct mt_gradients mt_gradients;
/* Allocates everything. EUNKNOWN: a glob that no tensor, or no value, matches; a value without a known gradient.
 * ESTATE: patches or a stop are set, the cache is not F32, the batch follows kept tokens, nothing that is wanted leads
 * to the loss. ELIMIT: more tokens than the session takes at once. EMISSING: the file holds no language-model head.
 * ERANGE: a row or token that is not there, no targets. */
mt_status mt_gradients_new(mt_session *s, const mt_batch *b, const mt_loss *loss, const mt_gradients_options *o,
                           mt_gradients **out, mt_error *err);
void mt_gradients_free(mt_gradients *g);
/* Up to `steps` more operations; true: everything is done. */
bool mt_gradients_run(mt_gradients *g, int32_t steps);
/* After the run: */
double mt_gradients_loss(const mt_gradients *g);
int32_t mt_gradients_parameters(const mt_gradients *g);
/* Name, shape and order of elements are the file's: of fused and transposed tensors, of gains that are kept less one,
 * of logarithms. out->data is NULL; mt_gradients_parameter writes the elements. false: no such tensor. */
bool mt_gradients_parameter_get(const mt_gradients *g, int32_t i, mt_traced *out);
void mt_gradients_parameter(const mt_gradients *g, int32_t i, float *out);
/* Of values; data NULL: all zeros, since the loss does not depend on it. */
int32_t mt_gradients_values(const mt_gradients *g);
bool mt_gradients_value_get(const mt_gradients *g, int32_t i, mt_traced *out);
/* The values themselves that `traces` asked for. */
int32_t mt_gradients_traces(const mt_gradients *g);
bool mt_gradients_trace_get(const mt_gradients *g, int32_t i, mt_traced *out);

#endif
