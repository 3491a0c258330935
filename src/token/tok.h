/* The tokenizer as a neutral pipeline. Private to token/: loaders fill it, encode.c and decode.c run it.
 *
 *   text -> cut out added tokens -> normalizer steps -> cut out added tokens that are matched in normalized text
 *        -> splitter steps -> segmenter -> ids with spans -> template
 *   ids  -> pieces -> decoder steps -> text
 *
 * A text under way is a view: bytes, and for each byte where in the caller's text it comes from. As long as no step has
 * changed anything the view is the caller's text itself.
 *
 * Two alphabets are taken off at load time rather than put on at run time: byte-level files spell bytes as printable
 * characters, SentencePiece files spell spaces as U+2581. Vocabularies are kept as raw bytes and real spaces; the steps
 * that would translate the text become nothing, or run backwards over the rare text that contains the mark itself. */
#ifndef MT_TOK_H
#define MT_TOK_H

#include "bpe.h"
#include "token.h"
#include "vocab.h"

enum { MT_NO_ORIGIN = UINT32_MAX };

typedef struct mt_view {
    const uint8_t *p;
    size_t n;
    const uint32_t *origin; /* per byte: start of its character in the caller's text; NULL: base + index */
    uint32_t base;
} mt_view;

static inline uint32_t mt_view_origin(const mt_view *v, size_t i) {
    return v->origin ? v->origin[i] : v->base + (uint32_t)i;
}
static inline mt_view mt_view_part(const mt_view *v, size_t from, size_t to) {
    return (mt_view){v->p + from, to - from, v->origin ? v->origin + from : NULL, v->base + (uint32_t)from};
}

/* A text that a step makes. */
typedef struct mt_made {
    uint8_t *data;
    uint32_t *origin;
    size_t len, cap;
    size_t from; /* bytes of the text that it is made of, which limits it; 0: not limited */
} mt_made;
/* What the steps of a definition make of a text may be so many times as long as it is, and this much longer: every
 * normal form and character map stays far below, and steps that double the text forty times end. */
enum { MT_LONGER_TIMES = 256, MT_LONGER_BYTES = 1 << 16 };
mt_status mt_too_long(size_t from, size_t to, mt_error *err); /* MT_ELIMIT where it is more than that */
mt_status mt_made_reserve(mt_made *m, size_t extra, mt_error *err);
mt_status mt_made_copy(mt_made *m, const mt_view *v, size_t from, size_t to, mt_error *err);
mt_status mt_made_put(mt_made *m, const uint8_t *p, size_t n, uint32_t origin, mt_error *err);
void mt_made_free(mt_made *m);
static inline mt_view mt_made_view(const mt_made *m) {
    return (mt_view){m->data, m->len, m->origin, 0};
}

/* ---- steps ---- */

typedef struct mt_pattern { /* a literal string or a regular expression */
    mt_str text;
    mt_regex *regex; /* NULL: literal */
} mt_pattern;
/* First match at or after `at`; empty matches are reported as they are found. */
mt_status mt_pattern_find(const mt_pattern *p, const uint8_t *text, size_t n, size_t at, bool *found, size_t *begin,
                          size_t *end, mt_error *err);

typedef struct mt_matches {
    size_t at, last; /* where to look on; end of the last match, SIZE_MAX: none yet */
    size_t begin, end;
} mt_matches;
/* The next match, for replacing and splitting: an empty one right behind the one before is passed over. */
mt_status mt_pattern_next(const mt_pattern *p, const uint8_t *text, size_t n, mt_matches *m, bool *found,
                          mt_error *err);

typedef enum mt_norm_kind {
    MT_NORM_FORM, /* NFC... */
    MT_NORM_LOWER,
    MT_NORM_STRIP,
    MT_NORM_DROP_MARKS,      /* Mn, Mc, Me */
    MT_NORM_DROP_NONSPACING, /* Mn */
    MT_NORM_PREPEND,
    MT_NORM_REPLACE,
    MT_NORM_BERT_CLEAN,
    MT_NORM_BERT_CJK,
    MT_NORM_NMT,
    MT_NORM_CHARSMAP,   /* precompiled map, by grapheme as the tokenizers library applies it */
    MT_NORM_SPM,        /* SentencePiece's own normalizer: map, spaces, prefix, user-defined symbols */
    MT_NORM_BYTE_LEVEL, /* bytes to printable characters */
    MT_NORM_UNMARK      /* space mark back to spaces */
} mt_norm_kind;

typedef struct mt_charsmap mt_charsmap;
typedef struct mt_char_map mt_char_map;
typedef struct mt_norm {
    mt_norm_kind kind;
    mt_nf form;
    bool left, right; /* strip */
    mt_pattern pattern;
    mt_str content;
    mt_charsmap *map;
    bool squeeze, prefix, suffix_mark; /* SentencePiece */
    bool plain;                        /* no user-defined pieces, no marks: its denormalizer */
    mt_char_map *chars;                /* runs this step and maybe some more; NULL: there is none */
} mt_norm;

typedef enum mt_split_kind {
    MT_SPLIT_PATTERN,
    MT_SPLIT_SPACES, /* runs of White_Space removed */
    MT_SPLIT_PUNCTUATION,
    MT_SPLIT_DIGITS,
    MT_SPLIT_FIXED,
    MT_SPLIT_SCRIPTS, /* where the script changes */
    MT_SPLIT_METASPACE,
    MT_SPLIT_PREFIX,     /* a space is put before each piece that has none */
    MT_SPLIT_BYTE_LEVEL, /* bytes to printable characters, for steps that look at those */
    MT_SPLIT_RAW,        /* and back */
    MT_SPLIT_UNMARK,     /* space mark back to spaces */
    MT_SPLIT_WORDS       /* cuts between two bytes that no token has side by side; invisible in the result */
} mt_split_kind;

typedef struct mt_char_classes mt_char_classes;
typedef struct mt_split {
    mt_split_kind kind;
    mt_split_behavior behavior;
    bool invert, drop_gaps;
    mt_pattern pattern;
    size_t length;
    /* metaspace */
    bool split, always, first, physical;
    mt_made made; /* text made by this step */
} mt_split;

typedef enum mt_decode_kind {
    MT_DECODE_BYTE_LEVEL,
    MT_DECODE_WORDPIECE,
    MT_DECODE_BPE,
    MT_DECODE_METASPACE,
    MT_DECODE_REPLACE,
    MT_DECODE_STRIP,
    MT_DECODE_FUSE,
    MT_DECODE_BYTE_FALLBACK,
    MT_DECODE_CTC,
    MT_DECODE_SPM,  /* SentencePiece's own: bytes joined, spaces unmarked, one leading space dropped */
    MT_DECODE_BYTES /* the tokens' bytes, joined */
} mt_decode_kind;

typedef struct mt_decoder {
    mt_decode_kind kind;
    mt_pattern pattern;
    mt_str content, extra;
    size_t start, stop;
    bool cleanup, prefix;
} mt_decoder;

/* ---- templates ---- */

/* Texts and special tokens in their order. */
typedef struct mt_template {
    struct mt_template_item {
        int32_t text, id; /* text: 0 the first, 1 the second, -1: the special token `id` */
        uint32_t type;    /* segment id of its tokens */
    } *item;
    size_t len, cap;
    bool set;
} mt_template;
mt_status mt_template_text(mt_template *p, int32_t text, uint32_t type, mt_error *err);
mt_status mt_template_special(mt_template *p, int32_t id, uint32_t type, mt_error *err);
/* [begin] text [end], for definitions that say no more; a negative id: none. */
mt_status mt_template_around(mt_template *p, int32_t begin, int32_t end, mt_error *err);
/* What was not set: one text alone; two as one after the other, the second with segment 1; of a classifier (BERT) with
 * nothing before the second. */
mt_status mt_template_settle(mt_tok *t, bool classifier, mt_error *err);
/* Special tokens at its two ends; -1: none. */
int32_t mt_template_first(const mt_template *p);
int32_t mt_template_last(const mt_template *p);

/* ---- added tokens ---- */

typedef struct mt_added {
    int32_t id;
    mt_str content;
    bool special, normalized, lstrip, rstrip, single_word;
} mt_added;

typedef struct mt_added_set { /* leftmost-longest matching */
    mt_trie trie;             /* to positions in mt_tok.added */
    uint64_t *pairs;          /* bit first << 8 | second: some token may begin so */
    int firsts;               /* different first bytes: 1, 2 or more; they are */
    uint8_t first[2];
    bool any;
} mt_added_set;
mt_status mt_added_insert(mt_added_set *s, mt_str text, int32_t index, mt_error *err);
void mt_added_free(mt_added_set *s);
/* Next token at or after `at`, or -1. */
int32_t mt_added_find(const mt_added_set *s, const uint8_t *p, size_t n, size_t at, size_t *begin, size_t *end);

/* ---- segmenters ---- */

typedef struct mt_segmenter {
    const char *name;
    bool cacheable; /* the result depends on the word alone */
    mt_status (*segment)(mt_tok *t, const uint8_t *p, size_t n, mt_error *err);
    void (*free)(mt_tok *t);
} mt_segmenter;

extern const mt_segmenter mt_segmenter_bpe;        /* seg_bpe.c */
extern const mt_segmenter mt_segmenter_unigram;    /* unigram.c */
extern const mt_segmenter mt_segmenter_wordpiece;  /* wordpiece.c */
extern const mt_segmenter mt_segmenter_wordlevel;  /* wordpiece.c */
extern const mt_segmenter mt_segmenter_greedy;     /* greedy.c: longest match */
extern const mt_segmenter mt_segmenter_picky;      /* seg_picky.c */
extern const mt_segmenter mt_segmenter_characters; /* greedy.c: ByT5, CANINE */
extern const mt_segmenter mt_segmenter_spm_words;  /* spm_plain.c */
extern const mt_segmenter mt_segmenter_spm_characters;

typedef struct mt_unigram {
    mt_walk walk;
    double min_score, max_score, unknown_score;
    const double *score; /* by id: the vocabulary's, or `made_score` */
    double *made_score;  /* where user-defined pieces have others; NULL: nowhere */
    bool single;         /* SentencePiece: best scores are kept in single precision */
    bool fuse;
    bool byte_pieces; /* tokenizer.json: text that spells <0xNN> matches the byte token, as any piece does */
    struct mt_unigram_best *best;
    size_t best_cap;
} mt_unigram;

typedef struct mt_wordpiece {
    mt_walk start, inside;
    size_t max_chars;
    mt_str opener; /* GGUF: pieces that begin a word carry this, the others nothing */
} mt_wordpiece;

/* Tables from the finished vocabulary. */
mt_status mt_unigram_prepare(mt_tok *t, mt_error *err);
mt_status mt_unigram_settle_scores(mt_tok *t, mt_error *err);
mt_status mt_unigram_set_single(mt_tok *t, bool single, mt_error *err); /* whose ties: token.h */
mt_status mt_wordpiece_prepare(mt_tok *t, mt_error *err);
/* How a WordPiece token is spelled [0] at the start of a word, [1] inside; empty: never there. */
void mt_wordpiece_spellings(const mt_tok *t, int32_t id, mt_str out[2]);
double mt_unigram_score(const mt_tok *t,
                        int32_t id); /* user-defined pieces of SentencePiece: better than their parts */
/* The symbols that merging starts from, with their widths in bytes, for vocabularies of every kind. */
mt_status mt_bpe_symbols(mt_tok *t, const uint8_t *p, size_t n, mt_ids *ids, mt_ids *widths, mt_error *err);
void mt_tok_free_matcher(mt_tok *t);
mt_status mt_picky_prepare(mt_tok *t, mt_error *err);
void mt_picky_drop(mt_tok *t);

/* Results for short words, to save segmenting them again: exactly keyed, bounded. A word has two places, which share a
 * line of the nearest cache: a new one comes first and moves the other one back. */
typedef struct mt_memo {
    uint64_t key[2]; /* the word's bytes, zeros, its length */
    int32_t id[3];
    uint8_t count, end[3]; /* tokens (0: an empty entry), where each ends (the missing ones: at the word's end) */
} mt_memo;
enum { MT_MEMO_BITS = 15 };

struct mt_tok {
    mt_vocab vocab;
    const mt_segmenter *segmenter;
    const char *model_name;
    mt_bpe bpe;
    mt_unigram unigram;
    mt_wordpiece wordpiece;
    struct mt_picky *picky; /* Picky BPE: its events; NULL: none */
    mt_ids picky_ids;

    /* options of models */
    int32_t unk, bos, eos;
    bool code_points; /* characters: code points instead of bytes */
    int32_t id_offset;
    bool fuse_unk, byte_fallback, ignore_merges, merge_only; /* merge_only: the fast encoder does not apply */
    int32_t byte_token[256];                                 /* -1: none */
    bool byte_tokens;                                        /* all 256 there */
    mt_str word_prefix, word_suffix;                         /* continuing_subword_prefix, end_of_word_suffix */
    bool added_raw;                                          /* added tokens stand for themselves in any alphabet */
    bool byte_level;                                         /* the vocabulary was spelled in the byte alphabet */
    mt_str mark;                                             /* the space mark; empty: none */
    bool spans_to_next; /* SentencePiece: a token's span ends where the next one begins */
    bool has_unused;    /* BPE pieces that may be formed but are taken apart again */

    mt_added *added;
    size_t added_len, added_cap;
    mt_added_set raw_set, normal_set;
    mt_added_set raw_allowed, normal_allowed; /* mt_tok_allow: the same without special tokens that are not allowed */
    bool special_is_text;                     /* unless the caller says otherwise */
    mt_added_set user_set; /* SentencePiece: user-defined pieces, which its normalizer leaves alone */
    mt_norm *norm;
    size_t norm_len, norm_cap;
    mt_split *split;
    size_t split_len, split_cap;
    mt_decoder *decoder;
    size_t decoder_len, decoder_cap;
    bool join_with_space; /* no decoder: pieces joined with spaces */
    mt_norm *denormalize; /* SentencePiece: applied to decoded text; NULL: nothing */
    mt_template one, two; /* what stands around one text, around and between two */
    bool trim_prefix[4];  /* each time spaces are trimmed off spans: is the first token's prefix space left in? */
    size_t trims;
    uint8_t *edges;       /* by id: white space at the ends of its piece, found out by encode.c; NULL: nothing yet */
    bool first_prefix;    /* a splitter asks whether its part is the text's beginning */
    uint8_t joined[8192]; /* bit first << 8 | second: these bytes are not to be parted (MT_SPLIT_WORDS) */

    mt_regex
        *followed[MT_TOK_SPLITTERS][2]; /* by traits.c: the splitters for byte models, as written and without gaps */

    mt_arena arena;
    uint8_t *blob; /* binary_load.c: what was loaded in one piece; pointers into it are not freed */
    size_t blob_len;
    mt_buf warnings;
    mt_regex **owned; /* compiled expressions */
    size_t owned_len, owned_cap;

    mt_script_run *scripts; /* in the arena, made on first use */
    size_t script_len;
    struct mt_matcher *matcher; /* choose.c; NULL: not asked for */

    /* the encoding under way */
    const mt_choice *choice; /* then the segmenter is the choice's, and `own` what it stands for */
    const mt_segmenter *own;
    uint64_t choice_base; /* added to the places of words */
    size_t unknown_from;  /* in the word: where the last unknown token begins */
    const uint8_t *text;
    size_t text_len;
    mt_encoding *out;
    bool want_spans, special_as_text, only_allowed;
    bool track;       /* normalized text carries origins */
    mt_view word;     /* being segmented */
    size_t word_base; /* out->ids.len when it began */
    uint32_t ends[4]; /* in the word, of the first tokens it gave */
    bool tiles;       /* each of these begins where the one before it ends */
    mt_memo *memo;
    uint32_t memo_seen;
    mt_made work[2];
    mt_char_classes *classes; /* split_words.c */
    mt_ids ranges;            /* stack of (end, is_match) of splitters under way */
    mt_buf scratch;
};

/* ---- emitting, for segmenters ---- */
mt_status mt_emit(mt_tok *t, int32_t id, uint32_t begin, uint32_t end, mt_error *err); /* offsets in the word */
/* Spans for ids that were appended directly to out->ids, from position `from`, side by side starting at `begin`. */
mt_status mt_emit_spans(mt_tok *t, size_t from, uint32_t begin, mt_error *err);
/* The same where they begin with the word and ends[] says where each ends. */
mt_status mt_emit_ends(mt_tok *t, size_t from, const uint32_t *ends, mt_error *err);
/* An unknown stretch of the word: byte tokens or the unknown token or nothing. */
mt_span mt_span_of(const mt_tok *t, const mt_view *v, size_t begin, size_t end);
/* memo.c: words of a view, none empty, at most MT_WORDS. */
typedef struct mt_word {
    uint32_t begin, end;
} mt_word;
enum { MT_WORDS = 256 };
mt_status mt_segment_words(mt_tok *t, const mt_view *v, const mt_word *word, size_t count, mt_error *err);
mt_status mt_segment_word(mt_tok *t, const mt_view *word, mt_error *err);
mt_status mt_memo_make(mt_tok *t, mt_error *err);

/* ---- steps ---- */
/* char_map.c */
mt_status mt_char_maps_make(mt_tok *t, mt_error *err);
void mt_char_map_free(mt_char_map *m);
/* *steps: so many were run; 0: they have to be run one after the other. */
mt_status mt_char_map_run(mt_tok *t, mt_char_map *m, const mt_view *v, mt_made *out, size_t *steps, mt_error *err);
/* Of normalize.c, for these: what a step makes of a character (the number of code points, -1: the same); normal forms
 * as the tokenizers library has them; grapheme clusters. */
int mt_norm_char(mt_norm_kind kind, uint32_t c, uint32_t to[3]);
bool mt_grapheme_extends(uint32_t c);
bool mt_grapheme_breaks(uint32_t c);                                             /* nothing joins it */
mt_status mt_normalize_view(mt_tok *t, mt_view in, mt_view *out, mt_error *err); /* out may live in t->work */
mt_status mt_denormalize(mt_tok *t, mt_view in, mt_made *out, mt_error *err);
bool mt_is_punctuation(uint32_t c);
/* split_words.c: the steps from `step` on, if they are a chain that is known there. */
mt_status mt_split_chain(mt_tok *t, size_t step, const mt_view *v, bool *done, mt_error *err);
mt_status mt_split_before_spaces(mt_tok *t, const mt_view *v, mt_error *err);
void mt_char_classes_free(mt_char_classes *m);
mt_status mt_split_view(mt_tok *t, size_t step, const mt_view *v, mt_error *err); /* down to mt_segment_word */
int mt_byte_to_char(uint8_t b, uint8_t out[2]); /* the printable alphabet; returns 1 or 2 */
int mt_char_to_byte(uint32_t cp);               /* -1: not in the alphabet */

/* ---- building, for loaders ---- */
mt_status mt_tok_new(mt_tok **out, mt_error *err);
mt_norm *mt_tok_add_norm(mt_tok *t, mt_norm_kind kind, mt_error *err);
mt_split *mt_tok_add_split(mt_tok *t, mt_split_kind kind, mt_error *err);
mt_decoder *mt_tok_add_decoder(mt_tok *t, mt_decode_kind kind, mt_error *err);
mt_added *mt_tok_add_added(mt_tok *t, mt_error *err);
mt_status mt_tok_copy(mt_tok *t, mt_str s, mt_str *out, mt_error *err);
mt_status mt_tok_literal(mt_tok *t, mt_str s, mt_pattern *out, mt_error *err);
mt_status mt_tok_regex(mt_tok *t, mt_str s, mt_pattern *out, mt_error *err);
mt_status mt_tok_warn(mt_tok *t, mt_error *err, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Byte tokens <0x00>..<0xFF> among pieces; sets kinds and bytes. */
mt_status mt_tok_find_byte_tokens(mt_tok *t, mt_error *err);
/* Score-ranked merging from vocab.score. */
mt_status mt_tok_rank_by_score(mt_tok *t, mt_error *err);
mt_status mt_tok_bert_steps(mt_tok *t, bool lower, mt_error *err);
mt_status mt_tok_rwkv_end(mt_tok *t, mt_error *err);
mt_status mt_tok_rwkv_unescape(mt_tok *t, mt_error *err);
/* When everything is set: bytes, indexes, added-token sets, segmenter tables. */
mt_status mt_tok_finish(mt_tok *t, mt_error *err);
/* Its last part: what follows from the steps and tables and is not kept in a binary form. */
mt_status mt_tok_finish_steps(mt_tok *t, mt_error *err);
#define MT_PATTERN_GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define MT_MARK         "\xE2\x96\x81" /* U+2581 */

/* binary_load.c: forgets all pointers into t->blob */
void mt_binary_let_go(mt_tok *t);

/* charsmap.c */
mt_status mt_charsmap_load(mt_tok *t, mt_str blob, mt_charsmap **out, mt_error *err); /* lives in t->arena */
/* Its two parts, and a map of them. */
void mt_charsmap_parts(const mt_charsmap *m, mt_str *units, mt_str *text);
mt_status mt_charsmap_make(mt_tok *t, mt_str units, mt_str text, mt_charsmap **out, mt_error *err);
/* Longest (or shortest) key at p: its replacement; returns the key's length or 0. */
size_t mt_charsmap_find(const mt_charsmap *m, const uint8_t *p, size_t n, bool shortest, mt_str *replacement);

#endif
