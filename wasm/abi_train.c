/* ABI of the trainers: texts are counted into words by a tokenizer's own normalizer and splitter, then a trainer makes
 * a vocabulary of them. */
#include "abi.h"

#include "../src/token/save.h"
#include "../src/token/train.h"
#include "../src/token/words.h"

/* One object for a training: counted words, then the result. */
typedef struct abi_trainer {
    mt_words words;
    bool raw;     /* words are counted as the segmenter sees them, not as the definition spells them */
    mt_ids order; /* the words as they came, for trainers that read */
    bool ordered;
    mt_vocabulary vocabulary;
    mt_picky picky; /* its tokens and events; `vocabulary` is empty then */
    double total;   /* words counted, repeated ones as often as they came */
} abi_trainer;

typedef enum abi_train_kind {
    ABI_TRAIN_BPE,
    ABI_TRAIN_UNIGRAM,
    ABI_TRAIN_LIKELIHOOD, /* WordPiece's own criterion */
    ABI_TRAIN_PATHPIECE,
    ABI_TRAIN_PICKY,
    ABI_TRAIN_LIB,
    ABI_TRAIN_SP_BPE,
    ABI_TRAIN_SP_UNIGRAM
} abi_train_kind;

enum { /* flags of mt_sp_options */
       ABI_SP_BYTE_FALLBACK = 1,
       ABI_SP_SPLIT_DIGITS = 2,
       ABI_SP_JOIN_SCRIPTS = 4,
       ABI_SP_JOIN_NUMBERS = 8,
       ABI_SP_JOIN_WORDS = 16,
       ABI_SP_SPACE_AS_SUFFIX = 32,
       ABI_SP_SPACE_ONLY_PIECES = 64,
       ABI_SP_ALL_PAIRS = 128
};

typedef struct abi_train_options { /* what each means: train.h */
    int32_t kind;
    int32_t vocab_size;
    double min_frequency;
    const mt_str *special, *alphabet;
    size_t special_len, alphabet_len;
    const uint8_t *special_kind;
    int32_t limit_alphabet, max_length;
    const char *prefix, *suffix;
    double shrinking_factor;
    int32_t seed_size, sub_iterations;
    int32_t initial, initial_size; /* PathPiece */
    double batch;
    double threshold;                  /* Picky BPE */
    int32_t steps, article, probation; /* LiB */
    double memorize, move, worst, seed;
    double coverage; /* SentencePiece */
    int32_t flags, threads;
} abi_train_options;

typedef struct abi_trained {
    double words, distinct;
    size_t len, merge_len, event_len;
    const mt_str *token;
    const double *score;
    const uint8_t *kind, *present;
    const struct mt_merge_rule *merge;
    const struct mt_picky_event *event;
    const int32_t *part;
} abi_trained;

#define OPTION(f)  ABI_FIELD(abi_train_options, f)
#define TRAINED(f) ABI_FIELD(abi_trained, f)
ABI_LAYOUT(train, ABI_STRUCT(abi_train_options), OPTION(kind), OPTION(vocab_size), OPTION(min_frequency),
           OPTION(special), OPTION(special_len), OPTION(special_kind), OPTION(alphabet), OPTION(alphabet_len),
           OPTION(limit_alphabet), OPTION(max_length), OPTION(prefix), OPTION(suffix), OPTION(shrinking_factor),
           OPTION(seed_size), OPTION(sub_iterations), OPTION(initial), OPTION(initial_size), OPTION(batch),
           OPTION(threshold), OPTION(steps), OPTION(article), OPTION(probation), OPTION(memorize), OPTION(move),
           OPTION(worst), OPTION(seed), OPTION(coverage), OPTION(flags), OPTION(threads), ABI_STRUCT(abi_trained),
           TRAINED(words), TRAINED(distinct), TRAINED(len), TRAINED(merge_len), TRAINED(event_len), TRAINED(token),
           TRAINED(score), TRAINED(kind), TRAINED(present), TRAINED(merge), TRAINED(event), TRAINED(part),
           ABI_ENUM(ABI_TRAIN_BPE), ABI_ENUM(ABI_TRAIN_UNIGRAM), ABI_ENUM(ABI_TRAIN_LIKELIHOOD),
           ABI_ENUM(ABI_TRAIN_PATHPIECE), ABI_ENUM(ABI_TRAIN_PICKY), ABI_ENUM(ABI_TRAIN_LIB),
           ABI_ENUM(ABI_TRAIN_SP_BPE), ABI_ENUM(ABI_TRAIN_SP_UNIGRAM), ABI_ENUM(MT_INITIAL_BPE),
           ABI_ENUM(MT_INITIAL_UNIGRAM), ABI_ENUM(MT_INITIAL_SUBSTRINGS), ABI_ENUM(ABI_SP_BYTE_FALLBACK),
           ABI_ENUM(ABI_SP_SPLIT_DIGITS), ABI_ENUM(ABI_SP_JOIN_SCRIPTS), ABI_ENUM(ABI_SP_JOIN_NUMBERS),
           ABI_ENUM(ABI_SP_JOIN_WORDS), ABI_ENUM(ABI_SP_SPACE_AS_SUFFIX), ABI_ENUM(ABI_SP_SPACE_ONLY_PIECES),
           ABI_ENUM(ABI_SP_ALL_PAIRS))

/* The host hears how far a training is; what it returns stops the training when it is not 0. */
__attribute__((import_module("env"), import_name("train_progress"))) int32_t abi_host_progress(double done,
                                                                                               double total);
static bool report(void *user, uint64_t done, uint64_t total) {
    (void)user;
    return abi_host_progress((double)done, (double)total) != 0;
}

MT_EXPORT(trainer_new) mt_status abi_trainer_new(int32_t ordered, int32_t raw, abi_trainer **out) {
    *out = mt_calloc(1, sizeof **out);
    if (!*out) return mt_nomem(&abi_error, sizeof **out, "a trainer");
    (*out)->ordered = ordered != 0;
    (*out)->raw = raw != 0;
    return MT_OK;
}
MT_EXPORT(trainer_free) void abi_trainer_free(abi_trainer *trainer) {
    if (!trainer) return;
    mt_words_free(&trainer->words);
    mt_ids_free(&trainer->order);
    mt_vocabulary_free(&trainer->vocabulary);
    mt_picky_free(&trainer->picky);
    mt_free(trainer);
}

static mt_status count_word(void *user, const uint8_t *p, size_t n, mt_error *err) {
    abi_trainer *trainer = user;
    trainer->total++;
    MT_TRY(mt_words_add(&trainer->words, p, n, 1, err));
    int32_t at = 0;
    if (!trainer->ordered || !mt_map_get(&trainer->words.index, (mt_str){p, n}, &at)) return MT_OK;
    return mt_ids_add(&trainer->order, at, err);
}
static mt_status count_part(void *user, const uint8_t *p, size_t n, int32_t added, mt_error *err) {
    return added < 0 ? count_word(user, p, n, err) : MT_OK;
}
/* Counts the words of one text. */
MT_EXPORT(trainer_text)
mt_status abi_trainer_text(abi_trainer *trainer, mt_tok *tok, const uint8_t *text, size_t n) {
    ABI_NEED(trainer);
    ABI_NEED(tok);
    size_t before = trainer->order.len;
    MT_TRY(trainer->raw ? mt_tok_parts(tok, text, n, false, count_part, trainer, &abi_error)
                        : mt_tok_words(tok, text, n, count_word, trainer, &abi_error));
    /* a text that the normalizer leaves nothing of keeps its place */
    return trainer->ordered && n && trainer->order.len == before ? mt_ids_add(&trainer->order, -1, &abi_error) : MT_OK;
}

/* ---- running ---- */

static mt_status run_bpe(abi_trainer *t, const abi_train_options *o) {
    mt_bpe_options bpe = {.vocab_size = o->vocab_size,
                          .min_frequency = abi_size(o->min_frequency),
                          .special = o->special,
                          .special_len = o->special_len,
                          .alphabet = o->alphabet,
                          .alphabet_len = o->alphabet_len,
                          .limit_alphabet = o->limit_alphabet,
                          .prefix = o->prefix,
                          .suffix = o->suffix,
                          .max_token_length = o->max_length,
                          .progress = report};
    return (o->kind == ABI_TRAIN_BPE ? mt_train_bpe : mt_train_wordpiece)(&t->words, &bpe, &t->vocabulary, &abi_error);
}

static mt_status run_unigram(abi_trainer *t, const abi_train_options *o) {
    mt_unigram_options unigram = {.vocab_size = o->vocab_size,
                                  .special = o->special,
                                  .special_len = o->special_len,
                                  .alphabet = o->alphabet,
                                  .alphabet_len = o->alphabet_len,
                                  .max_piece_length = o->max_length,
                                  .seed_size = o->seed_size,
                                  .shrinking_factor = o->shrinking_factor,
                                  .sub_iterations = o->sub_iterations,
                                  .style = MT_UNIGRAM_TOKENIZERS,
                                  .progress = report};
    return mt_train_unigram(&t->words, &unigram, &t->vocabulary, &abi_error);
}

static mt_status run_pathpiece(abi_trainer *t, const abi_train_options *o) {
    mt_pathpiece_options path = {.vocab_size = o->vocab_size,
                                 .max_width = o->max_length,
                                 .batch = o->batch,
                                 .all_bytes = true,
                                 .special = o->special,
                                 .special_len = o->special_len,
                                 .progress = report};
    mt_pathpiece_initial from = {
        .size = o->initial_size, .min_frequency = abi_size(o->min_frequency), .seed_size = o->seed_size};
    from.kind = (unsigned)o->initial;
    return mt_train_pathpiece_spelled(&t->words, &path, &from, &t->vocabulary, &abi_error);
}

static mt_status run_picky(abi_trainer *t, const abi_train_options *o) {
    mt_picky_options picky = {.vocab_size = o->vocab_size,
                              .threshold = o->threshold,
                              .min_frequency = abi_size(o->min_frequency),
                              .special = o->special,
                              .special_len = o->special_len,
                              .alphabet = o->alphabet,
                              .alphabet_len = o->alphabet_len,
                              .progress = report};
    return mt_train_picky(&t->words, &picky, &t->picky, &abi_error);
}

static mt_status run_lib(abi_trainer *t, const abi_train_options *o) {
    mt_lib_options lib = {.steps = o->steps,
                          .article = o->article,
                          .memorize = o->memorize,
                          .move = o->move,
                          .worst = o->worst,
                          .probation = o->probation,
                          .most = o->vocab_size,
                          .seed = (uint64_t)o->seed,
                          .progress = report};
    mt_str *sentence = mt_array(t->order.len, sizeof *sentence);
    if (!sentence) return mt_nomem(&abi_error, t->order.len * sizeof *sentence, "the sentences");
    size_t count = 0;
    for (size_t i = 0; i < t->order.len; i++)
        if (t->order.data[i] >= 0) sentence[count++] = t->words.list[t->order.data[i]].text;
    mt_status status = mt_train_lib(sentence, count, &lib, &t->vocabulary, &abi_error);
    mt_free(sentence);
    return status;
}

/* Sentences that are not cut into words stay in SentencePiece's order: as they come, and where one is empty after
 * normalizing, the last one takes its place (which may be empty too, and then nobody looks again). */
static mt_status in_order(const abi_trainer *t, mt_words *out) {
    size_t n = t->order.len, len = 0;
    int32_t *at = mt_array(n, sizeof *at);
    *out = (mt_words){.list = mt_array(n, sizeof *out->list), .cap = n};
    if (!at || !out->list) {
        mt_free(at);
        mt_free(out->list);
        return mt_nomem(&abi_error, n * sizeof *out->list, "the sentences");
    }
    if (n) memcpy(at, t->order.data, n * sizeof *at);
    for (size_t i = 0; i < n; i++)
        if (at[i] < 0) at[i] = at[--n];
    for (size_t i = 0; i < n; i++)
        if (at[i] >= 0) out->list[len++] = (struct mt_word_count){t->words.list[at[i]].text, 1};
    out->len = len;
    mt_free(at);
    return MT_OK;
}

static mt_status run_sp(abi_trainer *t, const abi_train_options *o) {
    mt_sp_options sp = {.vocab_size = o->vocab_size,
                        .special = o->special,
                        .special_kind = o->special_kind,
                        .special_len = o->special_len,
                        .character_coverage = o->coverage,
                        .required = o->alphabet,
                        .required_len = o->alphabet_len,
                        .max_piece_length = o->max_length,
                        .byte_fallback = o->flags & ABI_SP_BYTE_FALLBACK,
                        .split_digits = o->flags & ABI_SP_SPLIT_DIGITS,
                        .join_scripts = o->flags & ABI_SP_JOIN_SCRIPTS,
                        .join_numbers = o->flags & ABI_SP_JOIN_NUMBERS,
                        .join_words = o->flags & ABI_SP_JOIN_WORDS,
                        .space_as_suffix = o->flags & ABI_SP_SPACE_AS_SUFFIX,
                        .space_only_pieces = o->flags & ABI_SP_SPACE_ONLY_PIECES,
                        .all_pairs = o->flags & ABI_SP_ALL_PAIRS,
                        .seed_size = o->seed_size,
                        .sub_iterations = o->sub_iterations,
                        .threads = o->threads,
                        .shrinking_factor = o->shrinking_factor,
                        .progress = report};
    mt_words sentences = t->words;
    if (t->ordered) MT_TRY(in_order(t, &sentences));
    mt_status status = (o->kind == ABI_TRAIN_SP_BPE ? mt_train_sp_bpe
                                                    : mt_train_sp_unigram)(&sentences, &sp, &t->vocabulary, &abi_error);
    if (t->ordered) mt_free(sentences.list);
    return status;
}

MT_EXPORT(trainer_run) mt_status abi_trainer_run(abi_trainer *trainer, const abi_train_options *options) {
    ABI_NEED(trainer);
    ABI_NEED(options);
    static mt_status (*const run[])(abi_trainer *, const abi_train_options *) = {
        [ABI_TRAIN_BPE] = run_bpe,        [ABI_TRAIN_UNIGRAM] = run_unigram,
        [ABI_TRAIN_LIKELIHOOD] = run_bpe, [ABI_TRAIN_PATHPIECE] = run_pathpiece,
        [ABI_TRAIN_PICKY] = run_picky,    [ABI_TRAIN_LIB] = run_lib,
        [ABI_TRAIN_SP_BPE] = run_sp,      [ABI_TRAIN_SP_UNIGRAM] = run_sp};
    mt_vocabulary_free(&trainer->vocabulary);
    mt_picky_free(&trainer->picky);
    if (options->kind < 0 || (size_t)options->kind >= sizeof run / sizeof *run)
        return mt_fail(&abi_error, MT_EUNKNOWN, "trainer_run: unknown trainer %d", (int)options->kind);
    return run[options->kind](trainer, options);
}

/* ---- growing ---- */

/* New merges behind a byte-pair tokenizer's own; the trainer counted raw words with it. */
MT_EXPORT(trainer_go_on) mt_status abi_trainer_go_on(abi_trainer *trainer, mt_tok *base, int32_t tokens, double least) {
    ABI_NEED(trainer);
    ABI_NEED(base);
    mt_vocabulary_free(&trainer->vocabulary);
    mt_bpe_options o = {.vocab_size = tokens, .min_frequency = abi_size(least), .progress = report};
    return mt_train_on(base, &trainer->words, &o, &trainer->vocabulary, &abi_error);
}
/* Task-adaptive merging of a Unigram tokenizer with what the trainer has learned. */
MT_EXPORT(trainer_adapt) mt_status abi_trainer_adapt(abi_trainer *trainer, const mt_tok *base, double low) {
    ABI_NEED(trainer);
    ABI_NEED(base);
    mt_vocabulary v;
    MT_TRY(mt_vocabulary_of(base, &v, &abi_error));
    mt_status status = mt_vocabulary_adapt(&v, &trainer->vocabulary, low, &abi_error);
    if (status != MT_OK) {
        mt_vocabulary_free(&v);
        return status;
    }
    mt_vocabulary_free(&trainer->vocabulary);
    trainer->vocabulary = v;
    return MT_OK;
}

/* What the trainer holds now; the pointers are good until its next call. */
MT_EXPORT(trainer_result) mt_status abi_trainer_result(const abi_trainer *trainer, abi_trained *out) {
    ABI_NEED(trainer);
    const mt_picky *p = &trainer->picky;
    const mt_vocabulary *v = p->present ? &p->vocabulary : &trainer->vocabulary;
    *out = (abi_trained){trainer->total, (double)trainer->words.len,
                         v->len,         v->merge_len,
                         p->event_len,   v->token,
                         v->score,       v->kind,
                         p->present,     v->merge,
                         p->event,       p->part.data};
    return MT_OK;
}

/* ---- SentencePiece's .model ---- */

/* The normalizer of such a model alone: what it makes of a text is one word. */
MT_EXPORT(trainer_sp_pipeline)
mt_status abi_trainer_sp_pipeline(const uint8_t *charsmap, size_t charsmap_n, int32_t no_dummy_prefix,
                                  int32_t keep_extra_spaces, int32_t flags, mt_tok **out) {
    mt_vocabulary v = {0};
    mt_buf file = {0};
    int32_t id;
    mt_save_sp_options o = {.model = MT_SAVE_UNIGRAM,
                            .charsmap = {charsmap, charsmap_n},
                            .no_dummy_prefix = no_dummy_prefix,
                            .keep_extra_spaces = keep_extra_spaces,
                            .space_as_suffix = flags & ABI_SP_SPACE_AS_SUFFIX,
                            .bos = -1,
                            .eos = -1,
                            .pad = -1};
    mt_status status = mt_vocabulary_add(&v, mt_str_of("<unk>"), &id, &abi_error);
    if (status == MT_OK && !(v.score = mt_calloc(1, sizeof *v.score)))
        status = mt_nomem(&abi_error, sizeof *v.score, "a score");
    if (status == MT_OK) status = mt_save_sp(&v, &o, &file, &abi_error);
    if (status == MT_OK) status = mt_tok_load_spm(file.data, file.len, out, &abi_error);
    mt_buf_free(&file);
    mt_vocabulary_free(&v);
    return status;
}

/* `ids`: of the unknown piece, the beginning, the end, the padding; -1: none. flags: ABI_SP_*. */
MT_EXPORT(trainer_save_sp)
mt_status abi_trainer_save_sp(const abi_trainer *trainer, int32_t unigram, const int32_t *ids, const char *normalizer,
                              const uint8_t *charsmap, size_t charsmap_n, int32_t no_dummy_prefix,
                              int32_t keep_extra_spaces, int32_t flags, double coverage, mt_buf *out) {
    ABI_NEED(trainer);
    mt_save_sp_options o = {.model = unigram ? MT_SAVE_UNIGRAM : MT_SAVE_BPE,
                            .normalizer = normalizer,
                            .charsmap = {charsmap, charsmap_n},
                            .no_dummy_prefix = no_dummy_prefix,
                            .keep_extra_spaces = keep_extra_spaces,
                            .space_as_suffix = flags & ABI_SP_SPACE_AS_SUFFIX,
                            .byte_fallback = flags & ABI_SP_BYTE_FALLBACK,
                            .unknown = ids[0],
                            .bos = ids[1],
                            .eos = ids[2],
                            .pad = ids[3],
                            .character_coverage = coverage};
    out->len = 0;
    return mt_save_sp(&trainer->vocabulary, &o, out, &abi_error);
}
