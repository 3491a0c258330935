/* Trainers: from counted words to a vocabulary. A word is what the normalizer and the splitter leave, as the definition
 * writes it (byte-level families: in their printable alphabet). All trainers are deterministic and take the same
 * progress callback.
 *
 *   train_bpe.c        byte-pair merges with Hugging Face's tie rule; with a prefix ("##") also their WordPiece trainer
 *   train_wordpiece.c  WordPiece's own criterion: the pair that gains most likelihood
 *   train_unigram.c    Unigram language model, in the manner of either reference
 *   train_sp.c         SentencePiece's framing: required characters, piece rules, byte pieces; its BPE trainer
 *   train_picky.c      BPE that throws intermediate tokens out again
 *   train_pathpiece.c  from a large vocabulary down, by what each token saves; train_initial.c: its candidates
 *   train_lib.c        LiB: a lexicon that reads, with reward and punishment
 *   extend.c           vocabularies grown and merged; extend_tok.c: training that goes on from a tokenizer
 *   save_json.c save_sp.c   tokenizer.json, SentencePiece .model
 */
#ifndef MT_TRAIN_H
#define MT_TRAIN_H

#include "../base/base.h"

/* ---- counted words ---- */
typedef struct mt_words {
    mt_map index; /* word -> position in `list` */
    struct mt_word_count {
        mt_str text;
        uint64_t count;
    } *list; /* in order of first appearance */
    size_t len, cap;
    mt_arena arena;
} mt_words;
mt_status mt_words_add(mt_words *w, const uint8_t *p, size_t n, uint64_t count, mt_error *err);
void mt_words_free(mt_words *w);

/* Called between steps; return true to stop (the trainer then fails with MT_EABORTED). done and total count vocabulary
 * entries. */
typedef bool (*mt_train_progress)(void *user, uint64_t done, uint64_t total);

/* ---- result ---- */
typedef struct mt_vocabulary {
    mt_str *token; /* by id */
    double *score; /* Unigram log-probabilities, SentencePiece BPE ranks; NULL: none */
    uint8_t *kind; /* mt_token_kind; NULL: all normal */
    size_t len, cap;
    struct mt_merge_rule {
        int32_t left, right, result;
    } *merge; /* in rank order */
    size_t merge_len, merge_cap;
    mt_arena arena;
} mt_vocabulary;
void mt_vocabulary_free(mt_vocabulary *v);
/* Appends a copy of a token; *id is its number. */
mt_status mt_vocabulary_add(mt_vocabulary *v, mt_str text, int32_t *id, mt_error *err);

/* ---- byte-pair encoding (Sennrich et al. 2016) as the tokenizers library trains it ---- */
typedef struct mt_bpe_options {
    int32_t vocab_size;
    uint64_t min_frequency; /* a pair seen less often is not merged; 0 and 1 are the same */
    const mt_str *special;  /* get the first ids */
    size_t special_len;
    const mt_str *alphabet; /* characters that are kept whatever their count */
    size_t alphabet_len;
    int32_t limit_alphabet;      /* most frequent characters kept; <= 0: all */
    const char *prefix, *suffix; /* continuing_subword_prefix, end_of_word_suffix; NULL: none */
    int32_t max_token_length;    /* a token has fewer characters than this, but may have two; <= 0: no limit */
    mt_train_progress progress;
    void *user;
} mt_bpe_options;
mt_status mt_train_bpe(const mt_words *words, const mt_bpe_options *o, mt_vocabulary *out, mt_error *err);

/* WordPiece's criterion (Schuster & Nakajima 2012): the pair with the largest count(ab) / (count(a) count(b)), which
 * raises a unigram model's likelihood most; the more frequent pair, then the smaller ids, on ties. Options as above. */
mt_status mt_train_wordpiece(const mt_words *words, const mt_bpe_options *o, mt_vocabulary *out, mt_error *err);

/* ---- Unigram language model (Kudo 2018) ---- */
/* The references differ in what they start from (tokenizers: substrings followed by different characters, each word of
 * the list counted once; SentencePiece: those and the ones that always end their word, every occurrence counted) and in
 * pruning: pieces that the model itself would cut otherwise are dropped (SentencePiece) or kept while used
 * (tokenizers); the loss counts the parts that replace a piece (SentencePiece) or all pieces (tokenizers); the last
 * places are filled by score (SentencePiece) or in pruning order (tokenizers). */
typedef enum mt_unigram_style { MT_UNIGRAM_TOKENIZERS, MT_UNIGRAM_SENTENCEPIECE } mt_unigram_style;
typedef struct mt_unigram_options {
    int32_t vocab_size;
    const mt_str *special; /* get the first ids, score 0 */
    size_t special_len;
    const mt_str *alphabet; /* characters that must be pieces */
    size_t alphabet_len;
    int32_t max_piece_length; /* characters; <= 0: 16 */
    int32_t seed_size;        /* <= 0: 1,000,000 */
    double shrinking_factor;  /* share of pieces kept by a pruning; <= 0: 0.75 */
    int32_t sub_iterations;   /* EM steps between prunings; <= 0: 2 */
    int32_t threads;          /* SentencePiece style: as many sums in single precision are kept and added; <= 0: 1 */
    mt_unigram_style style;
    uint32_t ignore; /* a character that never is (part of) a piece; 0: none */
    /* May this substring become a piece? NULL: any. Characters always may. */
    bool (*valid)(void *valid_user, const uint8_t *p, size_t n);
    void *valid_user;
    mt_train_progress progress;
    void *user;
} mt_unigram_options;
mt_status mt_train_unigram(const mt_words *words, const mt_unigram_options *o, mt_vocabulary *out, mt_error *err);

/* ---- SentencePiece ---- */

/* Zero means SentencePiece's default; flags are named so that the default is false. */
typedef struct mt_sp_options {
    int32_t vocab_size;          /* special tokens and byte pieces included */
    const mt_str *special;       /* <unk> first, then <s>, </s>...: get the first ids */
    const uint8_t *special_kind; /* mt_token_kind of each */
    size_t special_len;
    double character_coverage; /* 0: 0.9995; rarer characters become unknown */
    const mt_str *required;    /* characters that are kept whatever their count */
    size_t required_len;
    int32_t max_piece_length; /* characters; 0: 16 */
    bool byte_fallback;       /* <0x00>..<0xFF> after the special tokens */
    bool split_digits;        /* each digit is a piece of its own */
    bool join_scripts;        /* split_by_unicode_script = false */
    bool join_numbers;        /* split_by_number = false: digits go with any script */
    bool join_words;          /* split_by_whitespace = false */
    bool space_as_suffix;     /* treat_whitespace_as_suffix */
    bool space_only_pieces;   /* allow_whitespace_only_pieces */
    bool all_pairs;           /* BPE: every pair may win at any time, not only the frequent ones (see train_sp.c) */
    int32_t seed_size, sub_iterations; /* Unigram */
    int32_t threads; /* Unigram: sums as that many threads of the original make them (its default: 16); <= 0: 1 */
    double shrinking_factor;
    mt_train_progress progress;
    void *user;
} mt_sp_options;
/* Sentences are normalized, their spaces U+2581 (one in front where the model has a dummy prefix); the trainers cut
 * them into words. */
mt_status mt_train_sp_bpe(const mt_words *sentences, const mt_sp_options *o, mt_vocabulary *out, mt_error *err);
mt_status mt_train_sp_unigram(const mt_words *sentences, const mt_sp_options *o, mt_vocabulary *out, mt_error *err);

/* ---- Picky BPE (Chizhov et al. 2024) ---- */

typedef struct mt_picky_options {
    int32_t vocab_size; /* tokens that are present at the end, special ones included */
    double threshold;   /* a part is removed when more than this share of it went into the new token; 1: never */
    uint64_t min_frequency;
    const mt_str *special; /* get the first ids */
    size_t special_len;
    const mt_str *alphabet; /* letters that are tokens whether the words have them or not */
    size_t alphabet_len;
    mt_train_progress progress;
    void *user;
} mt_picky_options;
/* What training did, in order: encoding replays it. */
typedef struct mt_picky {
    mt_vocabulary vocabulary; /* every token that ever was */
    uint8_t *present;         /* by id: in the final vocabulary */
    size_t present_len;
    struct mt_picky_event {
        int32_t left, right;  /* a merge of these; left < 0: a split */
        int32_t token;        /* what it makes, or what it takes apart */
        uint32_t part, parts; /* split: the parts, in `part` */
    } *event;
    size_t event_len, event_cap;
    mt_ids part;
    bool bytes; /* letters are bytes, not characters; the trainer leaves it false */
    /* look-up for encoding */
    mt_map ids;      /* string -> id, of present tokens and letters */
    mt_map64 merges; /* left << 32 | right -> first event of the pair; further ones through `again` */
    int32_t *splits; /* by token: its first split; further ones through `again` */
    int32_t *again;  /* by event: the next event of the same pair or token, or -1 */
} mt_picky;
mt_status mt_train_picky(const mt_words *words, const mt_picky_options *o, mt_picky *out, mt_error *err);
void mt_picky_free(mt_picky *p);
/* Makes the look-up for encoding from the other fields: tokens, `present`, events, parts. The trainer has done it. */
mt_status mt_picky_index(mt_picky *p, size_t special_len, mt_error *err);
/* One word to ids: a word that is a present token gives that token; otherwise events are replayed. A letter that
 * training never saw is `unknown`. Appends. */
mt_status mt_picky_encode(const mt_picky *p, const uint8_t *word, size_t n, int32_t unknown, mt_ids *out,
                          mt_error *err);

/* ---- PathPiece (Schmidt et al. 2024): from a large vocabulary down ---- */

typedef struct mt_pathpiece_options {
    int32_t vocab_size;
    int32_t max_width;     /* bytes; <= 0: 16; longer initial tokens are not considered */
    double batch;          /* share of the surplus that one round removes; <= 0: 0.2 */
    const mt_str *initial; /* candidates; all single bytes of the text are added, and kept */
    size_t initial_len;
    bool all_bytes; /* keep all 256 bytes, so that every text can be encoded; else those that the words have */
    const mt_str *special;
    size_t special_len;
    mt_train_progress progress;
    void *user;
} mt_pathpiece_options;
/* Ids: special tokens, single bytes by value, tokens by how often the final segmentation uses them. */
mt_status mt_train_pathpiece(const mt_words *words, const mt_pathpiece_options *o, mt_vocabulary *out, mt_error *err);
/* Candidates for the above: every substring of up to max_width bytes that occurs at least twice, the `most` with the
 * highest count x (bytes - 1). `utf8`: only those that begin and end at characters. */
mt_status mt_frequent_substrings(const mt_words *words, int32_t max_width, size_t most, bool utf8, mt_vocabulary *out,
                                 mt_error *err);

/* PathPiece for byte-level families, whose words are spelled in the printable byte alphabet; so is the result. Its
 * `initial` comes from another trainer; special tokens stay as they are. */
typedef struct mt_pathpiece_initial {
    enum { MT_INITIAL_BPE, MT_INITIAL_UNIGRAM, MT_INITIAL_SUBSTRINGS } kind;
    int32_t size;           /* <= 0: 2^18 */
    uint64_t min_frequency; /* BPE */
    int32_t seed_size;      /* Unigram */
} mt_pathpiece_initial;
mt_status mt_train_pathpiece_spelled(const mt_words *words, const mt_pathpiece_options *o,
                                     const mt_pathpiece_initial *from, mt_vocabulary *out, mt_error *err);

/* ---- LiB (Yang et al. 2020): a lexicon that reads ---- */

typedef struct mt_lib_options {
    int32_t steps;     /* articles read */
    int32_t article;   /* sentences in one; <= 0: 500 */
    double memorize;   /* alpha: chance to memorize two neighbouring chunks; <= 0: 0.25 */
    double move;       /* share of its rank by which a chunk moves; <= 0: 0.1 */
    double worst;      /* omega: share of the ranks put on probation in each step; <= 0: 1e-4 */
    int32_t probation; /* tau: steps until an unreleased chunk is forgotten; <= 0: 10 */
    int32_t most;      /* entries at most; <= 0: no limit */
    uint64_t seed;
    mt_train_progress progress;
    void *user;
} mt_lib_options;
/* Reads the sentences in turn, again from the start after the last. The result is the lexicon, best first. */
mt_status mt_train_lib(const mt_str *sentence, size_t count, const mt_lib_options *o, mt_vocabulary *out,
                       mt_error *err);

/* ---- vocabularies grown and merged ---- */

/* Appends what `base` lacks of `extra` (tokens, merge rules, scores, kinds); the ids of `base` stay as they are. Merge
 * rules follow those of `base`: the text that base's rules cover is encoded as before where no new rule applies. */
mt_status mt_vocabulary_extend(mt_vocabulary *base, const mt_vocabulary *extra, mt_error *err);
/* Task-adaptive merging (Liu et al. 2023) of two Unigram vocabularies: the ids of `base` stay, new pieces of `task` are
 * appended, shared pieces take the task's score; a normal piece of `base` that the task lacks gets
 * low x (characters + 1) / characters, so that of two such the shorter is worse. */
mt_status mt_vocabulary_adapt(mt_vocabulary *base, const mt_vocabulary *task, double low, mt_error *err);
struct mt_tok;
/* The pieces of a tokenizer by id, with kinds, and scores where it has them. */
mt_status mt_vocabulary_of(const struct mt_tok *t, mt_vocabulary *out, mt_error *err);
/* Byte-pair training that goes on where the tokenizer's merges end. Words are bytes as its segmenter sees them
 * (mt_tok_parts). Of the options count vocab_size (new tokens at most), min_frequency and progress. The result has all
 * pieces of `base`, the new tokens behind them, and as merges the new ones alone, which rank behind the old. */
mt_status mt_train_on(struct mt_tok *base, const mt_words *words, const mt_bpe_options *o, mt_vocabulary *out,
                      mt_error *err);

#endif
