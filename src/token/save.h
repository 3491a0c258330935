/* Vocabularies as files that the reference libraries load: tokenizer.json (Hugging Face) and .model (SentencePiece). */
#ifndef MT_SAVE_H
#define MT_SAVE_H

#include "token.h"
#include "train.h"

typedef enum mt_save_model { MT_SAVE_BPE, MT_SAVE_WORDPIECE, MT_SAVE_UNIGRAM, MT_SAVE_WORDLEVEL } mt_save_model;

/* The parts around the model are given as JSON text, as the definition writes them ({"type": "ByteLevel", ...}); NULL
 * is null. They must parse; what they mean is the loader's business. */
typedef struct mt_save_json_options {
    mt_save_model model;
    const char *normalizer, *pre_tokenizer, *post_processor, *decoder;
    const char *unknown; /* the unknown token; NULL: none (Unigram and WordPiece need one) */
    size_t special_len;  /* this many first tokens are special; the vocabulary's kinds tell as well */
    const char *prefix;  /* continuing_subword_prefix: "##" for WordPiece */
    const char *suffix;  /* end_of_word_suffix */
    bool byte_fallback, ignore_merges, fuse_unknown;
    int32_t longest_word; /* WordPiece: max_input_chars_per_word; <= 0: 100 */
} mt_save_json_options;
mt_status mt_save_json(const mt_vocabulary *v, const mt_save_json_options *o, mt_buf *out, mt_error *err);

typedef struct mt_save_sp_options {
    mt_save_model model;    /* BPE or Unigram */
    const char *normalizer; /* its name, "nmt_nfkc", "identity"...; NULL: "identity" */
    mt_str charsmap;        /* its compiled rules; empty: none, text is taken as it is */
    bool no_dummy_prefix, keep_extra_spaces, space_as_suffix;
    bool byte_fallback;
    int32_t unknown, bos, eos, pad; /* ids; -1: none (there must be an unknown piece) */
    double character_coverage;      /* only recorded */
} mt_save_sp_options;
/* Kinds come from the vocabulary (mt_token_kind); without them all pieces but the four named above are normal. */
mt_status mt_save_sp(const mt_vocabulary *v, const mt_save_sp_options *o, mt_buf *out, mt_error *err);

#endif
