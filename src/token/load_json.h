/* Reading tokenizer.json, shared by the files that do it. Private to token/.
 *
 *   load_json.c         the file as a whole, added tokens, settling
 *   load_json_model.c   vocabularies, merges, options of models
 *   load_json_steps.c   normalizers, pre-tokenizers
 *   load_json_post.c    decoders, post-processors
 *   load_json_own.c     what the format itself cannot say */
#ifndef MT_LOAD_JSON_H
#define MT_LOAD_JSON_H

#include "../base/json.h"
#include "tok.h"

typedef struct mt_json_reader {
    mt_json j;
    mt_tok *t;
    mt_error *err;
    bool has_vocab, list_vocab, has_merges;
    size_t merges_at; /* merges seen before the vocabulary: their place in the file */
    mt_str type, unk_token;
    int64_t unk_id;
    bool unk_id_set, has_decoder, prefix_set;
    double max_chars;
    struct mt_json_frame { /* items of both templates in their order; text < 0: a special token */
        bool pair;
        int32_t text;
        uint32_t type;
        mt_str name;
    } *frame;
    size_t frame_len, frame_cap;
    bool has_frame;
    bool as_written; /* alphabets stay on the text and the vocabulary */
    struct mt_json_named {
        mt_str name;
        mt_ids ids;
    } *named;
    size_t named_len, named_cap;
    int64_t *declared; /* by added token: the id that the file declares */
    size_t declared_len, declared_cap;
} mt_json_reader;

typedef struct mt_json_metaspace {
    mt_str mark;
    bool add_prefix, add_prefix_set, split;
    mt_str scheme;
} mt_json_metaspace;

/* "unknown WHAT "NAME" (known: ...)" */
mt_status mt_json_unknown(mt_json_reader *r, const char *what, mt_str name, const char *known);
/* The "type" of the object that comes next, without moving. Old files have none: then the first of the signs (a key,
 * and the type that it is a sign of) that is among the keys; NULL: none are. */
mt_str mt_json_type_ahead(mt_json_reader *r, const char *const (*signs)[2]);
/* A setting that we do not know, and the library would overlook: overlooked with a warning that names it. */
mt_status mt_json_overlook(mt_json_reader *r, mt_str type, mt_str key);
bool mt_json_optional_bool(mt_json_reader *r);
mt_str mt_json_optional_string(mt_json_reader *r);
mt_status mt_json_pattern(mt_json_reader *r, mt_pattern *out); /* {"String": "..."} or {"Regex": "..."} */
mt_status mt_json_scheme(mt_json_reader *r, const mt_json_metaspace *f, bool *always, bool *first);

mt_status mt_json_model(mt_json_reader *r);
mt_status mt_json_normalizer(mt_json_reader *r);
mt_status mt_json_splitter(mt_json_reader *r);
mt_status mt_json_decoder(mt_json_reader *r);
mt_status mt_json_post(mt_json_reader *r);
mt_status mt_json_own(mt_json_reader *r);

/* When everything has been read. */
mt_status mt_json_settle_model(mt_json_reader *r);
mt_status mt_json_settle_frame(mt_json_reader *r);

#endif
