/* Trainers on words that are hard for one of them. What grows is the text; vocabularies have a fixed size, or (last
 * cases) grow with it. */
#include "growth.h"
#include "token/dynamic.h"
#include "token/train.h"

enum { BPE, WORDPIECE, UNIGRAM, UNIGRAM_SP, SP_BPE, SP_UNIGRAM, PICKY, PATHPIECE, LIB, TRAINERS };
static const char *const names[] = {"BPE",
                                    "WordPiece",
                                    "Unigram",
                                    "Unigram, SentencePiece's manner",
                                    "SentencePiece BPE",
                                    "SentencePiece Unigram",
                                    "Picky BPE",
                                    "PathPiece",
                                    "LiB"};
enum { ONE_LETTER, TWO_LETTERS, ONE_WORD, WORDS, NESTED, EQUAL, SHAPES };
static const char *const shape_names[] = {"one word of one letter",       "one word of two letters",
                                          "one word of any letters",      "different words",
                                          "words one letter longer each", "words of one letter, up to 64"};

typedef struct training {
    int trainer, shape;
    bool vocabulary; /* grows too */
} training;

static mt_status train(const void *with, size_t n, mt_error *err) {
    const training *c = with;
    mt_words w = {0};
    mt_buf b = {0};
    for (size_t i = 0, done = 0; done < n; i++) {
        b.len = 0;
        size_t k = c->shape <= ONE_WORD ? n
                   : c->shape == WORDS  ? 3 + growth_random(8)
                   : c->shape == NESTED ? i + 1
                                        : 1 + i % 64;
        for (size_t m = 0; m < k; m++)
            mt_buf_byte(&b,
                        (uint8_t)(c->shape == ONE_WORD || c->shape == WORDS ? 'a' + growth_random(26)
                                  : c->shape == TWO_LETTERS                 ? 'a' + m % 2
                                                                            : 'a'),
                        NULL);
        if (mt_words_add(&w, b.data, b.len, 1 + i % 3, NULL) != MT_OK) abort();
        done += k;
    }
    mt_str special = mt_str_of("<unk>");
    int32_t size = c->vocabulary ? (int32_t)(n / 8) : 200;
    mt_vocabulary v = {0};
    mt_bpe_options bpe = {.vocab_size = size, .special = &special, .special_len = 1};
    mt_sp_options sp = {
        .vocab_size = size, .special = &special, .special_kind = (const uint8_t[]){1}, .special_len = 1};
    mt_status status;
    growth_start();
    switch (c->trainer) {
    case BPE:
        status = mt_train_bpe(&w, &bpe, &v, err);
        break;
    case WORDPIECE:
        bpe.prefix = "##";
        status = mt_train_wordpiece(&w, &bpe, &v, err);
        break;
    case UNIGRAM:
    case UNIGRAM_SP:
        status = mt_train_unigram(
            &w,
            &(mt_unigram_options){.vocab_size = size,
                                  .special = &special,
                                  .special_len = 1,
                                  .style = c->trainer == UNIGRAM ? MT_UNIGRAM_TOKENIZERS : MT_UNIGRAM_SENTENCEPIECE},
            &v, err);
        break;
    case SP_BPE:
        status = mt_train_sp_bpe(&w, &sp, &v, err);
        break;
    case SP_UNIGRAM:
        status = mt_train_sp_unigram(&w, &sp, &v, err);
        break;
    case PICKY: {
        mt_picky p = {0};
        status = mt_train_picky(
            &w, &(mt_picky_options){.vocab_size = size, .threshold = 0.8, .special = &special, .special_len = 1}, &p,
            err);
        mt_picky_free(&p);
        break;
    }
    case PATHPIECE:
        status = mt_train_pathpiece_spelled(
            &w,
            &(mt_pathpiece_options){.vocab_size = 256 + size, .special = &special, .special_len = 1, .all_bytes = true},
            &(mt_pathpiece_initial){.kind = MT_INITIAL_SUBSTRINGS, .size = 2048}, &v, err);
        break;
    default: {
        mt_str *list = malloc(w.len * sizeof *list);
        for (size_t i = 0; i < w.len; i++) list[i] = w.list[i].text;
        status = mt_train_lib(list, w.len,
                              &(mt_lib_options){.steps = 8, .article = (int32_t)(w.len / 8 + 1), .seed = 1}, &v, err);
        free(list);
    }
    }
    growth_stop();
    mt_vocabulary_free(&v);
    mt_words_free(&w);
    mt_buf_free(&b);
    return status;
}

static mt_status dynamic(const void *with, size_t n, mt_error *err) {
    (void)with;
    mt_ids ids = {0};
    uint8_t *barrier = calloc(n, 1);
    for (size_t i = 0; i < n; i++) mt_ids_add(&ids, (int32_t)growth_random(4), NULL);
    mt_dynamic d = {0};
    int32_t len = (int32_t)n;
    growth_start();
    mt_status status = mt_dynamic_merge(ids.data, barrier, &len, 1, 64, 1000, &d, err);
    growth_stop();
    mt_dynamic_free(&d);
    mt_ids_free(&ids);
    free(barrier);
    return status;
}

void growth_train(void) {
    char what[128];
    for (int t = 0; t < TRAINERS; t++)
        for (int s = 0; s < SHAPES; s++) {
            training c = {t, s, false};
            snprintf(what, sizeof what, "%s: %s", names[t], shape_names[s]);
            growth_case("trainer", what, s == ONE_WORD || s == WORDS ? 8192 : 2048, train, &c);
            /* SentencePiece's BPE looks through its active pairs for every merge, as the original does */
            if (s != WORDS || t == SP_BPE) continue;
            c.vocabulary = true;
            snprintf(what, sizeof what, "%s: %s and a larger vocabulary", names[t], shape_names[s]);
            growth_case("trainer", what, s == ONE_WORD || s == WORDS ? 8192 : 2048, train, &c);
        }
    growth_case("merging a batch's pairs", "any tokens", 1024, dynamic, NULL);
}
