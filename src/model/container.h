/* The directory of a model file, whatever its container: each tensor's name, shape, type and place. */
#ifndef MT_CONTAINER_H
#define MT_CONTAINER_H

#include "arch/arch.h"

typedef struct mt_entry {
    mt_str name;
    int32_t n_dims;
    int64_t dims[4]; /* row-major: the last is contiguous */
    uint32_t type;   /* ggml type number; UINT32_MAX: a type without one (see type_name) */
    char type_name[16];
    uint64_t begin, bytes; /* in the file */
    int32_t source;        /* index in mt_declare.sources, -1: ignored */
} mt_entry;

/* The declared source that a tensor of a file is, by its name: with or without the base model's prefix, in the words of
 * older files too. */
bool mt_find_source(const mt_map *sources, const mt_arch *arch, bool hub, mt_str name, int32_t *index);

/* The tensors of a loaded model's file, by what declares them (tensors.c). */
typedef struct mt_tensors {
    const mt_model *m;
    mt_model frame; /* parameters as the declaration has them; the model's are own[i] */
    mt_declare declare;
    int32_t *own;
    mt_map names; /* of declare.sources */
} mt_tensors;
mt_status mt_tensors_open(const mt_model *m, mt_tensors *t, mt_error *err);
void mt_tensors_close(mt_tensors *t);
/* In t->declare.sources; -1: a tensor that is no parameter (divisors of rotary frequencies, what the model does not
 * use). */
int32_t mt_tensors_source(const mt_tensors *t, const mt_file_tensor *file);
/* found[i]: whether file tensor i is a parameter and some glob matches it. EUNKNOWN: a glob that matches none. */
mt_status mt_tensors_match(const mt_tensors *t, const char *const *globs, int32_t count, bool *found, mt_error *err);

/* safetensors: u64 length, that many bytes of JSON, data. The entries' names are copied into `arena`. `n` covers the
 * header. Entries are in the order of the file, without holes or overlaps. */
mt_status mt_safetensors_parse(const uint8_t *p, size_t n, uint64_t file_size, mt_arena *arena, mt_entry **entries,
                               size_t *count, mt_error *err);
/* Bytes of the header with its length field, from the first 8 bytes; 0: implausible (err is written). */
uint64_t mt_safetensors_header(const uint8_t p[8], uint64_t file_size, mt_error *err);

/* llama2.c. The header's bytes say everything; entries are in the order of the file. */
enum { MT_LLAMA2C_HEADER = 28 };
bool mt_llama2c_plausible(const uint8_t p[MT_LLAMA2C_HEADER], uint64_t file_size);
mt_status mt_llama2c_config(const uint8_t p[MT_LLAMA2C_HEADER], mt_config **out, mt_error *err);
mt_status mt_llama2c_entries(const uint8_t p[MT_LLAMA2C_HEADER], mt_arena *arena, mt_entry **entries, size_t *count,
                             mt_error *err);

/* rwkv.cpp, from the first 8 bytes. config: reads on until it knows the shapes, with *need > n while it does not.
 * entry: what is announced at file offset `at`; *need as there. Tensors have their names of hub folders. */
bool mt_rwkvbin_plausible(const uint8_t p[8]);
mt_status mt_rwkvbin_config(const uint8_t *p, size_t n, size_t *need, mt_config **out, mt_error *err);
mt_status mt_rwkvbin_entry(const uint8_t *p, size_t n, uint64_t at, uint32_t version, mt_arena *arena, size_t *need,
                           mt_entry *out, mt_error *err);
enum { MT_RWKVBIN_HEADER = 24 };

#endif
