/* What a session is, for the files that work on it: session.c (evaluation, traces, patches), edit.c (chains of slots:
 * held, cut, joined), state.c (saved and restored). */
#ifndef MT_SESSION_H
#define MT_SESSION_H

#include "arch/arch.h"
#include "kv.h"

enum { MT_MAX_GRAPHS = 32 };

typedef struct cached_graph {
    mt_graph *graph;
    int32_t T, rows, columns;
    int32_t memory;   /* rows of the encoder's output, where scores are stored; -1: the encoder's own graph */
    uint64_t version; /* of the wishes that it was built for; 0: none */
    uint64_t stamp;
} cached_graph;

typedef struct patch {
    mt_patch p; /* name and values are its own */
    char *name;
    float *value;
    /* Resample, for the batch that is evaluated: where each index takes its values from, and room for them. */
    int32_t *source;
    float *line;
    size_t line_capacity;
} patch;

struct mt_session {
    mt_model *m;
    mt_pool *pool;
    int32_t max_batch;
    mt_kv kv;
    mt_cache_type cache;
    void **k, **v; /* per layer, [kv_heads][slots] rows; see mt_cache_row */
    cached_graph graphs[MT_MAX_GRAPHS];
    int32_t graph_count;
    uint64_t clock;
    float *scratch;
    size_t scratch_size;
    /* per batch row */
    int32_t *slot, *position, *logit_of, *rows, *root;
    size_t slot_capacity, position_capacity, logit_capacity, rows_capacity, root_capacity;
    mt_run *runs[MT_MAX_WINDOWS];
    int32_t *run_start[MT_MAX_WINDOWS];
    size_t runs_capacity[MT_MAX_WINDOWS], run_start_capacity[MT_MAX_WINDOWS];
    float *logits;
    size_t logits_capacity;
    int32_t *segment; /* of the next eval */
    size_t segment_capacity;
    int32_t segment_count;         /* 0: none were given */
    int32_t batch_rows;            /* of the last eval */
    float *own_freq[MT_MAX_ROPES]; /* rotary frequencies that follow the length of the text */
    const float *inv_freq[MT_MAX_ROPES];
    int32_t reached[MT_MAX_ROPES];
    /* recurrent models: the states after the slots that were used last */
    float **state; /* per layer, [states][state_width] */
    int32_t states;
    int32_t *state_of;    /* slot -> state, -1: not kept (any more) */
    int32_t *state_owner; /* state -> slot, -1: free */
    uint64_t *state_stamp;
    int32_t *parent_row, *state_in, *state_out;
    size_t parent_row_capacity, state_in_capacity, state_out_capacity;
    /* encoder-decoder models: keys and values of the encoder's output; the last plane serves the encoder itself */
    float **memory_k, **memory_v;
    int32_t memory, memory_capacity;
    mt_run *memory_runs;
    const mt_run *source_runs; /* for the encoder's own feed: memory_runs and identity */
    const int32_t *source_start;
    int32_t *identity; /* 0, 1, 2... */
    size_t identity_count, identity_capacity, memory_runs_capacity;
    /* traces and patches */
    char **globs;
    size_t glob_count, glob_capacity;
    patch *patches;
    size_t patch_count, patch_capacity;
    char *stop;                 /* NULL: none */
    uint64_t version, versions; /* of the present wishes; 0: none */
    mt_buf names;               /* all names of the model, one per line, once asked for */
    int32_t *column;            /* slot -> column */
    int32_t *column_slots;
    size_t column_capacity;
    int32_t columns;
    const mt_graph *traced; /* of the last eval, NULL: nothing traced */
    int32_t traced_count;
};

/* Key (which 0) or value (1) row of a slot. */
static inline uint8_t *mt_session_row(const mt_session *s, int32_t layer, int which, int32_t head, int32_t slot) {
    size_t row = mt_cache_row(s->cache, which ? s->m->h.value_width : s->m->h.head_width);
    return (uint8_t *)(which ? s->v : s->k)[layer] + ((size_t)head * (size_t)s->kv.slots + (size_t)slot) * row;
}
/* ---- parts of an evaluation, for gradients too (session.c) ---- */
/* Checks a batch and gives its tokens slots, states and positions; *taken of them, also on failure, which are the
 * caller's to drop. */
mt_status mt_session_begin(mt_session *s, const mt_batch *b, int32_t *taken, mt_error *err);
void mt_session_drop_batch(mt_session *s, int32_t taken);
/* What a graph over rows from .. from + T of that batch is run with, but for `output` and patches. Valid until the next
 * call; b's tokens are borrowed. columns: of stored scores. */
mt_status mt_session_feed(mt_session *s, const mt_batch *b, int32_t from, int32_t T, bool columns, mt_feed *out,
                          mt_error *err);
/* The same for the encoder of an encoder-decoder model; tokens are borrowed. */
mt_status mt_session_feed_source(mt_session *s, const int32_t *token, int32_t count, mt_feed *out, mt_error *err);

/* ---- traces and patches (trace.c) ---- */
/* Whether any name of the model matches. */
mt_status mt_session_knows(mt_session *s, const char *glob, bool *found, mt_error *err);
int mt_session_wants(void *session, const char *name);
/* The patches that this graph has nodes for fit their shapes; room is made for what they need. */
mt_status mt_session_check_patches(mt_session *s, const mt_graph *g, mt_error *err);
void mt_session_patch(void *session, const mt_node *n, float *value, size_t from, size_t to);
void mt_session_free_wishes(mt_session *s);
void mt_session_free_graphs(mt_session *s, bool only_wishes);

mt_status mt_session_new_memory(mt_session *s, int32_t count, mt_error *err); /* room for an encoder's output */
/* A place for the state after `slot`: a free one, or that which was used longest ago; -1: all are needed. */
int32_t mt_session_take_state(mt_session *s, int32_t slot);

#endif
