/* Texts through tokenizers of every kind: encoding, counting, pairs, decoding, other segmenters, words, lattices. */
#include "growth_defs.h"
#include "token/choose.h"
#include "token/words.h"

typedef struct pair {
    mt_tok *tok;
    const growth_text *text;
    mt_choice choice;
    int how;
} pair;

static mt_status encode(const void *with, size_t n, mt_error *err) {
    const pair *c = with;
    mt_buf text = {0};
    mt_encoding e = {0};
    growth_fill(c->text, n, &text);
    mt_encode_options o = {.add_special_tokens = true, .types = true, .choice = c->choice.kind ? &c->choice : NULL};
    growth_start();
    mt_status status = mt_tok_encode(c->tok, text.data, text.len, &o, true, &e, err);
    if (status == MT_OK) {
        mt_str both[2] = {{text.data, text.len}, {NULL, 0}};
        if (mt_utf8_valid(text.data, text.len)) mt_spans_to_utf16(e.spans, e.types, e.ids.len, both);
    }
    growth_stop();
    mt_encoding_free(&e);
    mt_buf_free(&text);
    return status;
}

static mt_status count_only(const void *with, size_t n, mt_error *err) {
    const pair *c = with;
    mt_buf text = {0};
    size_t count;
    growth_fill(c->text, n, &text);
    growth_start();
    mt_status status =
        mt_tok_count(c->tok, text.data, text.len, &(mt_encode_options){.special_as_text = true}, &count, err);
    growth_stop();
    mt_buf_free(&text);
    return status;
}

static mt_status decode_text(const void *with, size_t n, mt_error *err) {
    const pair *c = with;
    mt_buf text = {0}, out = {0};
    mt_encoding e = {0};
    growth_fill(c->text, n, &text);
    mt_status status = mt_tok_encode(c->tok, text.data, text.len, &(mt_encode_options){0}, false, &e, err);
    growth_start();
    if (status == MT_OK) status = mt_tok_decode(c->tok, e.ids.data, e.ids.len, &(mt_decode_options){0}, &out, err);
    growth_stop();
    mt_buf_free(&out);
    mt_encoding_free(&e);
    mt_buf_free(&text);
    return status;
}

static mt_status word_seen(void *user, const uint8_t *p, size_t n, mt_error *err) {
    (void)p, (void)err;
    *(size_t *)user += n;
    return MT_OK;
}
static mt_status words_of(const void *with, size_t n, mt_error *err) {
    const pair *c = with;
    mt_buf text = {0};
    size_t total = 0;
    growth_fill(c->text, n, &text);
    growth_start();
    mt_status status = mt_tok_words(c->tok, text.data, text.len, word_seen, &total, err);
    growth_stop();
    mt_buf_free(&text);
    return status;
}

static mt_status lattice(const void *with, size_t n, mt_error *err) {
    const pair *c = with;
    mt_buf text = {0};
    mt_lattice l = {0};
    mt_paths paths = {0};
    mt_rng rng;
    double x;
    uint64_t count;
    growth_fill(c->text, n, &text);
    for (int i = 0; i < 32 && c->how == 2; i++)
        mt_buf_byte(&text, 'a', NULL); /* so that there are four ways, if not more */
    mt_rng_seed(&rng, 1);
    growth_start();
    l.nodes = 1;
    mt_status status = mt_tok_lattice_word(c->tok, NULL, text.data, text.len, 0, &l, err);
    if (status == MT_OK) status = mt_lattice_finish(&l, err);
    if (status != MT_OK) goto done;
    double *posterior = mt_array(l.edges, sizeof *posterior);
    if (!posterior) abort();
    MT_TRY_GOTO(mt_lattice_count(&l, &count, &x, err), freed);
    MT_TRY_GOTO(mt_lattice_posterior(&l, 1, posterior, err), freed);
    MT_TRY_GOTO(mt_lattice_entropy(&l, 1, &x, err), freed);
    switch (c->how) {
    case 0:
        status = mt_lattice_best(&l, MT_TIE_LONGEST_LAST, &paths, err);
        break;
    case 1:
        status = mt_lattice_sample(&l, 1, 4, &rng, &paths, err);
        break;
    default:
        status = mt_lattice_nbest(&l, 4, 0, &paths, err);
    }
freed:
    mt_free(posterior);
done:
    growth_stop();
    mt_paths_free(&paths);
    mt_lattice_free(&l);
    mt_buf_free(&text);
    return status;
}

void growth_encode(void) {
    static const char *const segmenters[] = {
        "own",          "longest prefix", "longest suffix", "longest dropout", "fewest",  "longest first",
        "dropout, all", "dropout, one",   "dropout, again", "dropout, gone",   "sampled", "uniform",
        "characters",   "bytes"};
    static const char *const graphs[] = {"best", "drawn", "four best"};
    char what[128];
    const char *name;
    mt_tok *t;
    for (size_t i = 0; (t = growth_any_tok(i, &name)); i++) {
        for (size_t k = 0; k < growth_text_count; k++) {
            pair c = {t, &growth_texts[k], {0}, 0};
            snprintf(what, sizeof what, "%s: %s", name, c.text->name);
            growth_case("encode", what, 2048, encode, &c);
            growth_case("count", what, 2048, count_only, &c);
            growth_case("decode", what, 2048, decode_text, &c);
            growth_case("words of a text", what, 2048, words_of, &c);
            if (k > 5 && k % 4) continue;
            mt_error err;
            for (int kind = 1; kind < MT_CHOICE_HUFFMAN; kind++) {
                c.choice = (mt_choice){.by = &mt_choices, .kind = (mt_choice_kind)kind, .p = 0.3, .seed = 5};
                if (mt_choice_check(t, &c.choice, &err) != MT_OK) continue;
                snprintf(what, sizeof what, "%s, %s: %s", segmenters[kind], name, c.text->name);
                growth_case("encode by another segmenter", what, 512, encode, &c);
            }
            const mt_matcher *m;
            if (mt_tok_matcher(t, &m, &err) != MT_OK) continue;
            for (c.how = 0; c.how < 3; c.how++) {
                snprintf(what, sizeof what, "%s, %s: %s", graphs[c.how], name, c.text->name);
                growth_case("lattice", what, 2048, lattice, &c);
            }
        }
        mt_tok_free(t);
    }
}
