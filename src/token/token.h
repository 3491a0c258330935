/* token: vocabularies, segmenters and the pipeline around them (normalizer -> splitter -> segmenter -> post-processor,
 * and the decoder back). Text is bytes; offsets are byte offsets into the caller's text.
 *
 *   vocab.c trie.c     tokens as byte strings, sorted vocabulary, prefix intervals
 *   bpe.c              byte-level (pair-ranked), tiktoken (string-ranked) and SentencePiece (score-ranked) BPE
 *   load_*.c           tokenizer.json, GGUF metadata, ... -> mt_tok
 *   encode.c decode.c  the pipeline
 *   utf16.c            spans in UTF-16 code units
 */
#ifndef MT_TOKEN_H
#define MT_TOKEN_H

#include "../base/base.h"
#include "../base/gguf.h"
#include "../text/text.h"

typedef struct mt_tok mt_tok;

typedef enum mt_token_kind {
    MT_TOKEN_NORMAL,
    MT_TOKEN_UNKNOWN,
    MT_TOKEN_SPECIAL, /* control: never produced from ordinary text unless allowed; skipped by decode when asked */
    MT_TOKEN_USER,    /* added, non-special: cut out of the text before segmentation */
    MT_TOKEN_UNUSED,
    MT_TOKEN_BYTE, /* byte fallback piece <0xNN>: its bytes are the one byte */
    MT_TOKEN_HOLE  /* no such token (ids need not be dense) */
} mt_token_kind;

/* ---- loading ---- */
typedef struct mt_load_options {
    mt_str name;    /* of the file or the vocabulary: decides what the bytes do not say; "byt5", "canine": no bytes */
    mt_str pattern; /* splitting expression for rank files and vocab.json */
    mt_str merges;  /* merges.txt, the second file of vocab.json */
    int lowercase;  /* vocab.txt: 1 yes, 0 no, -1 judge by the vocabulary */
} mt_load_options;
/* Any definition: the format is recognised from the bytes. options may be NULL. */
mt_status mt_tok_load(const uint8_t *p, size_t n, const mt_load_options *options, mt_tok **out, mt_error *err);
mt_status mt_tok_load_json(const uint8_t *p, size_t n, mt_tok **out, mt_error *err); /* Hugging Face tokenizer.json */
mt_status mt_tok_load_gguf(const mt_gguf *g, mt_tok **out, mt_error *err);           /* tokenizer.ggml.* */
mt_status mt_tok_load_spm(const uint8_t *p, size_t n, mt_tok **out, mt_error *err);  /* SentencePiece .model */
/* tiktoken rank files. `name` (of the file or the vocabulary) chooses the splitting expression and the special tokens;
 * a pattern overrides the expression. Either may be empty. */
mt_status mt_tok_load_ranks(const uint8_t *p, size_t n, mt_str name, mt_str pattern, mt_tok **out, mt_error *err);
/* The binary form (binary.h): a tokenizer as it is after loading, ready to be used where it lies in memory. `out` must
 * be empty. Reading takes over p, which mt_malloc gave, also when it fails; mt_tok_load copies it. The two are the same
 * tokenizer in everything. A file of another version or one that was damaged is refused. */
mt_status mt_tok_to_binary(mt_tok *t, mt_buf *out, mt_error *err);
mt_status mt_tok_from_binary(uint8_t *p, size_t n, mt_tok **out, mt_error *err);
bool mt_tok_is_binary(const uint8_t *p, size_t n); /* by its first bytes */
void mt_tok_free(mt_tok *t);
/* Things in the definition that we read and deliberately do not apply (truncation, padding...), one line each. */
const char *mt_tok_warnings(const mt_tok *t);

/* ---- vocabulary ---- */
int32_t mt_tok_size(const mt_tok *t); /* ids are 0..size-1, with holes possible */
mt_str mt_tok_bytes(const mt_tok *t,
                    int32_t id); /* what the token decodes to, raw bytes (SentencePiece's U+2581 as a space) */
mt_str mt_tok_piece(const mt_tok *t, int32_t id); /* as the definition writes it */
mt_token_kind mt_tok_kind(const mt_tok *t, int32_t id);
int32_t mt_tok_find(const mt_tok *t, mt_str piece); /* id of a piece as the definition writes it, or -1 */
int32_t mt_tok_bos(const mt_tok *t);                /* -1: none */
int32_t mt_tok_eos(const mt_tok *t);
const char *mt_tok_model_name(const mt_tok *t); /* "BPE", "Unigram", ... */

/* ---- encoding ---- */
typedef enum mt_special_mode { MT_SPECIAL_TEXT, MT_SPECIAL_PARSE } mt_special_mode;
typedef struct mt_choice mt_choice; /* another segmenter: choose.h */
typedef struct mt_encode_options {
    bool add_special_tokens; /* run the post-processor's template / add_bos, add_eos */
    bool special_as_text;    /* special tokens' text in the input is ordinary text (user-defined ones still match) */
    bool only_allowed;       /* ...but for those of the last mt_tok_allow */
    bool types;              /* fill mt_encoding.types */
    const mt_choice *choice; /* NULL: the tokenizer's own segmenter */
} mt_encode_options;
typedef struct mt_span {
    uint32_t begin, end; /* byte offsets in the input; special tokens that were added: begin == end */
} mt_span;
/* Where a token comes from. */
typedef struct mt_token_type {
    uint32_t type; /* its segment id, as the template says */
    int32_t text;  /* 0: the first text, 1: the second, -1: the template */
} mt_token_type;
typedef struct mt_encoding {
    mt_ids ids;
    mt_span *spans; /* ids.len entries when asked for */
    size_t span_cap;
    mt_token_type *types; /* ids.len entries when asked for */
    size_t type_cap;
} mt_encoding;
/* Appends to out (zero-initialise or reuse it). Texts are limited to 2^31-2 bytes. */
mt_status mt_tok_encode(mt_tok *t, const uint8_t *text, size_t n, const mt_encode_options *options, bool want_spans,
                        mt_encoding *out, mt_error *err);
/* The special tokens that `only_allowed` lets the text spell. Added tokens that are not special always match.
 * MT_ERANGE: an id that is no special token. */
mt_status mt_tok_allow(mt_tok *t, const int32_t *ids, size_t count, mt_error *err);
/* Ids of the special tokens that a text can spell, as the definition lists them. */
mt_status mt_tok_special_ids(const mt_tok *t, mt_ids *out, mt_error *err);
/* Is text that spells a special token ordinary text unless the caller says otherwise? As the library does that the
 * definition is made for: tiktoken's rank files. */
bool mt_tok_special_is_text(const mt_tok *t);
/* Of two segmentations of the same score Unigram takes one; which, hangs on how sums are rounded. MT_TIES_DOUBLE: as
 * the tokenizers library; MT_TIES_SINGLE: as SentencePiece, which keeps sums in single precision. A definition has the
 * ties of the library that reads its format. Other models have no such ties. */
typedef enum mt_ties { MT_TIES_DOUBLE, MT_TIES_SINGLE } mt_ties;
mt_status mt_tok_set_ties(mt_tok *t, mt_ties ties, mt_error *err);
/* Two texts as one input (a question and an answer): what the definition's template for pairs makes of them. Without
 * special tokens the template's order of texts and segments still holds. Spans count in the text that a token is of. */
mt_status mt_tok_encode_pair(mt_tok *t, const uint8_t *text, size_t n, const uint8_t *pair, size_t pair_n,
                             const mt_encode_options *options, bool want_spans, mt_encoding *out, mt_error *err);
mt_status mt_tok_count(mt_tok *t, const uint8_t *text, size_t n, const mt_encode_options *options, size_t *count,
                       mt_error *err);
/* Spans of bytes to spans of UTF-16 code units, in place: a begin inside a character moves to its start, an end to its
 * end. type: of pairs, which text each span is in (-1: as the one before); NULL: all in text[0]. */
void mt_spans_to_utf16(mt_span *span, const mt_token_type *type, size_t count, const mt_str text[2]);
void mt_encoding_free(mt_encoding *e);

/* ---- decoding ---- */
typedef struct mt_decode_options {
    bool skip_special_tokens;
    bool raw; /* plain concatenation of mt_tok_bytes: no clean-up, no stripping of a leading space */
} mt_decode_options;
mt_status mt_tok_decode(mt_tok *t, const int32_t *ids, size_t n, const mt_decode_options *options, mt_buf *out,
                        mt_error *err);

/* ---- for byte models (methods: canonical sequences; see bpe.c) ---- */

/* How the text is prepared before the segmenter sees it, as far as the byte model must know. */
typedef struct mt_tok_traits {
    bool byte_complete;  /* every byte string can be encoded and decodes to itself */
    bool spm_space;      /* spaces are U+2581 inside pieces; the mt_tok_bytes view already has spaces */
    bool prefix_space;   /* a space is put before the text */
    bool prefix_if_none; /* ...only where the text does not begin with one */
    bool ignore_merges;  /* a whole pre-token that is a token is emitted directly */
    bool byte_fallback;
    /* How a pre-token is cut: by merges; by the best path through all tokens, whose scores mt_tok_matches gives; or by
     * the longest match from the left. */
    enum mt_tok_rule { MT_TOK_MERGES, MT_TOK_BEST_PATH, MT_TOK_LONGEST } rule;
    double unknown_score;    /* best path: of a character that is no token */
    bool single;             /* ...whose sums are kept in single precision */
    bool characters;         /* places are between characters, not bytes */
    const char *unsupported; /* NULL, or why the exact byte model does not exist for this tokenizer */
    int32_t splitters;       /* splitting expressions, each applied to the pieces of the one before; 0: one pre-token */
} mt_tok_traits;
enum { MT_TOK_SPLITTERS = 6 };
void mt_tok_traits_get(mt_tok *t, mt_tok_traits *out);
/* The i-th splitting expression. `total`: what lies between two of its matches is a match too (a piece of its own), so
 * that it covers every text. Lives as long as the tokenizer. */
mt_status mt_tok_splitter(mt_tok *t, int32_t i, bool total, mt_regex **out, mt_error *err);
/* Best path and longest match: is this token found in text, and with which score? */
bool mt_tok_matches(const mt_tok *t, int32_t id, double *score);
/* Is encode(bytes(id)) == [id] inside one pre-token? */
bool mt_tok_reachable(mt_tok *t, int32_t id);
/* May `right` follow `left` inside one pre-token of a canonical encoding? Both reachable. */
bool mt_tok_pair_ok(mt_tok *t, int32_t left, int32_t right);
/* Byte-pair encoding: what merging two neighbours gives, and the merge's rank (the lowest goes first). false: they do
 * not merge, or the tokenizer works otherwise. */
bool mt_tok_merge(const mt_tok *t, int32_t left, int32_t right, uint32_t *rank, int32_t *result);
/* The same, for callers that must not take lack of memory for a no. */
mt_status mt_tok_ask_reachable(mt_tok *t, int32_t id, bool *yes, mt_error *err);
mt_status mt_tok_ask_pair_ok(mt_tok *t, int32_t left, int32_t right, bool *yes, mt_error *err);
/* Ids of the non-special tokens sorted by their bytes (unsigned lexicographic), and the interval of those that start
 * with a prefix. */
const int32_t *mt_tok_sorted(const mt_tok *t, size_t *count);
void mt_tok_interval(const mt_tok *t, const uint8_t *prefix, size_t n, size_t *lo, size_t *hi);

#endif
