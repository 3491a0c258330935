/* The spelling automaton on real tokenizers (../shared/tokenizers or $MICROTOME_SHARED/tokenizers; skipped without
 * them): what the encoder gives is always claimed; what is claimed has a text that shows it; what is not claimed has
 * none; and after every prefix of a text exactly one open context may end there, encode(text). Arguments: names of
 * tokenizers. */
#define _POSIX_C_SOURCE 200809L
#include "test.h"
#include "bias/tree.h"
#include "base/gguf.h"

#include <time.h>

static mt_error err;
static char root[400];

static uint8_t *slurp(const char *path, size_t *n) {
    char command[700];
    FILE *probe = fopen(path, "rb");
    *n = 0;
    if (!probe) return NULL;
    fclose(probe);
    snprintf(command, sizeof command, "gzip -dcf '%s'", path);
    FILE *f = popen(command, "r");
    size_t cap = 1 << 16, got;
    uint8_t *p = malloc(cap);
    while (f && (got = fread(p + *n, 1, cap - *n, f)) > 0) {
        *n += got;
        if (*n == cap) p = realloc(p, cap *= 2);
    }
    if (f) pclose(f);
    return p;
}

/* A model that finds all tokens equally likely. */
typedef struct flat {
    int32_t vocab, count, made;
} flat;
static mt_status flat_extend(void *self, int32_t n, const int32_t *parent, const int32_t *token, int32_t *context,
                             mt_error *e) {
    flat *f = self;
    (void)parent, (void)token, (void)e;
    for (int32_t i = 0; i < n; i++) context[i] = ++f->count;
    f->made += n;
    return MT_OK;
}
static mt_status flat_next(void *self, int32_t context, double *out, mt_error *e) {
    flat *f = self;
    (void)context, (void)e;
    for (int32_t i = 0; i < f->vocab; i++) out[i] = -log(f->vocab);
    return MT_OK;
}
static void flat_drop(void *self, int32_t context) {
    (void)self, (void)context;
}

static const char *const texts[] = {
    "Hello world, it's 12345 o'clock!",
    "  two  spaces   three\n\n\nlines \n  indented\r\n\r\n end  ",
    "we'll  I'LL don't 'tis ''s 's'll '",
    "na\xC3\xAFve caf\xC3\xA9 \xE2\x80\x94 \xE4\xBD\xA0\xE5\xA5\xBD\xEF\xBC\x8C\xE4\xB8\x96\xE7\x95\x8C "
    "\xF0\x9F\x98\x80\xF0\x9F\x91\x8D\xF0\x9F\x8F\xBD",
    "1 22 333 4444 55555 3.14159e-10 \xC2\xBD \xE2\x85\xA7",
    "def f(x):\n    return x**2  # ok\n\n\tif (a && b) { c[i] = d->e; }",
    "http://example.com/?q=a%20b&c=d#frag",
    "AaBB cDe HTTPServer iPhone \xC3\x89"
    "COLE \xC7\x85 \xCE\xA3\xCF\x83\xCF\x82",
    "\xD9\x85\xD8\xB1\xD8\xAD\xD8\xA8\xD8\xA7 \xE0\xA4\xB9\xE0\xA4\xBF\xE0\xA4\xA8\xE0\xA5\x8D\xE0\xA4\xA6\xE0\xA5\x80 "
    "\xE1\x83\x90",
    "                                        wide\t\t\ttabs",
    "<think> plain <tool_call> text </think>",
    "a\xC2\xA0"
    "b\xE3\x80\x80"
    "c\xE2\x80\xA8"
    "d\xEF\xBF\xBD"
    "e\x01\x7F",
    "...!!!?"
    "?"
    "?---***\n\n***===",
};
static const char *const broken_texts[] = {"ab\xC3 c\xA9\xFF\xE2\x82 d", "\xF0\x9F x \xE2\x80\x20\xE2",
                                           "\xC3\xC3\xA9\xA9"};
static const char *const after[] = {"",
                                    " ",
                                    "a",
                                    "\n",
                                    "  ",
                                    "'",
                                    "1",
                                    "!",
                                    " a",
                                    "\n\n",
                                    "  a",
                                    "s",
                                    "ll",
                                    "/",
                                    "\r",
                                    "t ",
                                    "e\n",
                                    "  \n",
                                    "A",
                                    "b a",
                                    "\x80",
                                    "\xA9",
                                    "\xBD\xBE",
                                    "\x98\x80",
                                    "\x9F\x98\x80",
                                    "\x80\x94",
                                    "\xCC\x81",
                                    "\xC3\xA9",
                                    "\xE4\xBD\xA0",
                                    "\xA0",
                                    "12",
                                    "123",
                                    ".",
                                    "\t",
                                    "aa",
                                    "\x81",
                                    "\x82\x80 ",
                                    "x\n\n",
                                    "?\n",
                                    "d",
                                    "e",
                                    "m",
                                    "ve",
                                    "re",
                                    "t",
                                    "S"};

typedef struct bench {
    mt_tok *t;
    mt_spell_source source;
    mt_spell *s;
    bool utf8;
    long member, claimed, denied, contexts, unsure;
} bench;

static int encode(bench *b, const uint8_t *p, size_t n, mt_ids *ids) {
    ids->len = 0;
    CHECK_OK(b->source.encode(b->source.self, p, n, ids, &err));
    return (int)ids->len;
}

/* A text whose encoding starts with ids, among those that go on in one of the ways of `after`. */
static bool has_witness(bench *b, const int32_t *ids, size_t count) {
    static mt_ids got;
    mt_buf text = {0};
    bool yes = false;
    for (size_t i = 0; i < count; i++) {
        mt_str t = b->source.bytes(b->source.self, ids[i]);
        CHECK_OK(mt_buf_add(&text, t.p, t.n, &err));
    }
    size_t n = text.len, skip = b->source.prefix_space && !b->source.prefix_if_none;
    for (size_t k = 0; k < sizeof after / sizeof *after && !yes; k++) {
        text.len = n;
        CHECK_OK(mt_buf_add(&text, after[k], strlen(after[k]), &err));
        if (text.len <= skip || (b->utf8 && !mt_utf8_valid(text.data, text.len))) continue;
        yes = encode(b, text.data + skip, text.len - skip, &got) >= (int)count &&
              memcmp(got.data, ids, count * sizeof *ids) == 0;
    }
    mt_buf_free(&text);
    return yes;
}

static bool bit(const uint64_t *bits, size_t i) {
    return bits[i >> 6] >> (i & 63) & 1;
}

/* Along the encoding of a text: each token is claimed; the mask's and other tokens are tried. */
static void along(bench *b, const char *text, mt_rng *rng, int tries) {
    mt_ids ids = {0};
    mt_spell_place place = {0}, next = {0};
    int32_t left = -1;
    bool ends = false;
    encode(b, (const uint8_t *)text, strlen(text), &ids);
    CHECK_OK(mt_spell_begin(b->s, &place, &err));
    for (size_t i = 0; i < ids.len; i++) {
        int32_t rank = mt_spell_rank(b->s, ids.data[i]);
        bool in = false;
        const uint64_t *mask = NULL;
        CHECK(rank >= 0, "token %d of \"%s\" has no rank", ids.data[i], text);
        if (rank < 0) break;
        CHECK_OK(mt_spell_member(b->s, &place, left, (size_t)rank, 0, &in, &err));
        CHECK(in, "token %zu (id %d) of \"%s\" is not claimed", i, ids.data[i], text);
        CHECK_OK(mt_spell_mask(b->s, &place, left, &mask, &err));
        CHECK(bit(mask, (size_t)rank), "token %zu (id %d) of \"%s\" is not in the mask", i, ids.data[i], text);
        b->contexts++;
        uint64_t *copy = malloc((b->s->words + 1) * 8);
        memcpy(copy, mask, b->s->words * 8);
        int32_t real = ids.data[i];
        for (int k = 0; k < tries; k++) {
            size_t r = mt_rng_below(rng, mt_spell_count(b->s));
            if (k % 4 == 1) r = (size_t)rank + mt_rng_below(rng, 9) - 4; /* neighbours of the real one */
            if (k % 4 >= 2)                                              /* claimed ones */
                for (int z = 0; z < 1000 && !bit(copy, r); z++) r = (r * 7 + 13 + (size_t)z) % mt_spell_count(b->s);
            if (r >= mt_spell_count(b->s) || (i == 0 && b->source.prefix_space && mt_spell_text(b->s, r).p[0] != ' '))
                continue;
            CHECK_OK(mt_spell_member(b->s, &place, left, r, 0, &in, &err));
            CHECK(in == bit(copy, r), "mask and member disagree on id %d after %zu tokens of \"%s\"",
                  mt_spell_id(b->s, r), i, text);
            ids.data[i] = mt_spell_id(b->s, r);
            bool witness = has_witness(b, ids.data, i + 1);
            CHECK(in || !witness, "id %d after %zu tokens of \"%s\" is possible but not claimed", ids.data[i], i, text);
            if (in) {
                b->claimed += witness;
                b->unsure += !witness;
                if (!witness && b->unsure <= 3) {
                    char shown[60];
                    printf("# no text found for id %d \"%s\" after %zu tokens of \"%s\"\n", ids.data[i],
                           mt_str_show(mt_spell_text(b->s, r), shown, sizeof shown), i, text);
                }
            } else {
                b->denied++;
            }
            b->member++;
        }
        ids.data[i] = real;
        free(copy);
        CHECK_OK(mt_spell_follow(b->s, &place, left, (size_t)rank, &next, &err));
        CHECK(next.count > 0, "nothing is open after token %zu of \"%s\"", i, text);
        mt_spell_place swap = place;
        place = next;
        next = swap;
        left = rank;
    }
    CHECK_OK(mt_spell_ends(b->s, &place, &ends, &err));
    CHECK(ends, "\"%s\" may not end", text);
    mt_spell_place_free(&place);
    mt_spell_place_free(&next);
    mt_ids_free(&ids);
}

/* After every prefix: the one open context at its end that may end is encode(prefix). */
static void stream(bench *b, const char *text, int *live, int *most) {
    flat f = {.vocab = mt_tok_size(b->t)};
    mt_lm lm = {.self = &f, .vocab = f.vocab, .end = 0, .extend = flat_extend, .next = flat_next, .drop = flat_drop};
    mt_bytes *m = NULL;
    mt_ids ids = {0}, path = {0};
    CHECK_OK(mt_bytes_new_source(&b->source, &lm, MT_TARGET_VALID, &m, &err));
    if (!m) return;
    size_t n = strlen(text);
    for (size_t i = 1; i <= n; i++) {
        mt_next_bytes next;
        CHECK_OK(mt_bytes_push(m, (const uint8_t *)text + i - 1, 1, &err));
        if (b->utf8 && !mt_utf8_valid((const uint8_t *)text, i)) {
            CHECK_OK(mt_bytes_next(m, &next, &err));
            CHECK(next.exact[256] == -INFINITY, "an end inside a character");
            continue;
        }
        CHECK_OK(mt_bytes_next(m, &next, &err));
        int enders = 0;
        if (b->source.prefix_if_none)
            encode(b, m->text.data, m->text.len, &ids);
        else
            encode(b, (const uint8_t *)text, i, &ids);
        for (size_t k = 0; k < m->open_count; k++) {
            bool ends = false;
            if (m->open[k]->end != m->text.len) continue;
            CHECK_OK(mt_spell_ends(m->spell, &m->open[k]->place, &ends, &err));
            if (!ends) continue;
            enders++;
            path.len = 0;
            for (const mt_node *x = m->open[k]; x->parent; x = x->parent)
                CHECK_OK(mt_ids_add(&path, mt_spell_id(m->spell, (size_t)x->rank), &err));
            bool same = path.len == ids.len;
            for (size_t j = 0; same && j < ids.len; j++) same = path.data[j] == ids.data[ids.len - 1 - j];
            CHECK(same, "what may end after %zu bytes of \"%s\" is not the encoding", i, text);
        }
        CHECK(enders == 1, "%d contexts may end after %zu bytes of \"%s\"", enders, i, text);
        CHECK(exp(next.exact[256]) > 0, "end");
        *live += next.live_contexts;
        if (next.live_contexts > *most) *most = next.live_contexts;
    }
    mt_bytes_free(m);
    mt_ids_free(&ids);
    mt_ids_free(&path);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static size_t streams = 1;
static int tries = 4;

static void check_tokenizer(const char *file, const char *why) {
    char path[600];
    size_t n;
    bench b = {0};
    mt_gguf g = {0};
    snprintf(path, sizeof path, "%s/%s", root, file);
    uint8_t *data = slurp(path, &n);
    CASE(file);
    if (!data) {
        printf("ok %d - %s # SKIP not here\n", ++test_count, file);
        case_name = NULL;
        return;
    }
    if (strstr(file, ".gguf")) {
        size_t need;
        CHECK_OK(mt_gguf_parse(&g, data, n, UINT64_MAX, &need, &err));
        CHECK_OK(mt_tok_load_gguf(&g, &b.t, &err));
    } else {
        mt_load_options options = {0};
        CHECK_OK(mt_tok_load(data, n, &options, &b.t, &err));
    }
    if (!b.t) goto done;
    mt_status status = mt_spell_source_of(b.t, MT_TARGET_VALID, &b.source, &err);
    if (why) {
        CHECK(status == MT_EUNKNOWN && strstr(err.text, why), "%s: %s", mt_status_name(status), err.text);
        goto done;
    }
    CHECK(status == MT_OK, "%s", err.text);
    if (status) goto done;
    double start = seconds();
    CHECK_OK(mt_spell_new(&b.source, mt_tok_size(b.t), &b.s, &err));
    if (!b.s) goto done;
    double made = seconds();
    mt_rng rng;
    mt_rng_seed(&rng, 42);
    b.utf8 = b.source.byte_fallback;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i += streams > 1 ? 1 : 2) along(&b, texts[i], &rng, tries);
    bool broken = !b.utf8 && b.s->alphabet[0xFF];
    for (size_t i = 0; broken && i < sizeof broken_texts / sizeof *broken_texts; i++)
        along(&b, broken_texts[i], &rng, tries);
    double walked = seconds();
    int live = 0, most = 0, bytes = 0;
    for (size_t i = 0; i < streams; i++) {
        stream(&b, texts[i], &live, &most);
        bytes += (int)strlen(texts[i]);
    }
    if (broken) stream(&b, broken_texts[0], &live, &most);
    mt_spell_stats stats;
    mt_spell_stats_get(b.s, &stats);
    printf(
        "# %s: %d tokens, made in %.0f ms; %ld contexts in %.0f ms; %ld claims shown, %ld denied, %ld without a text; "
        "%zu states (%zu tables), %zu masks; streaming: %.2f live contexts, at most %d, %.1f ms a byte\n",
        file, mt_tok_size(b.t), (made - start) * 1e3, b.contexts, (walked - made) * 1e3, b.claimed, b.denied, b.unsure,
        stats.states, stats.tables, stats.state_masks, (double)live / bytes, most, (seconds() - walked) * 1e3 / bytes);
    CHECK(b.claimed > 20 * b.unsure, "%ld claims without a text, %ld with", b.unsure, b.claimed);
done:
    mt_spell_free(b.s);
    mt_tok_free(b.t);
    mt_gguf_free(&g);
    free(data);
}

int main(int argc, char **argv) {
    static const struct {
        const char *file, *why; /* why there is no exact byte model */
        bool named;             /* only when it is named */
    } list[] = {
        {"gpt2/tokenizer.json.gz", NULL, false},
        {"llama3/tokenizer.json.gz", NULL, false},
        {"llama2/ggml-vocab-llama-spm.gguf.gz", NULL, false},
        {"starcoder/ggml-vocab-starcoder.gguf.gz", NULL, false},
        {"gpt-oss/tokenizer.json.gz", NULL, true},
        {"llama2/tokenizer.json.gz", NULL, true},
        {"mistral-v1/tokenizer.json.gz", NULL, true},
        {"phi-2/tokenizer.json.gz", NULL, true},
        {"roberta/tokenizer.json.gz", NULL, true},
        {"deepseek-coder/ggml-vocab-deepseek-coder.gguf.gz", NULL, true},
        {"deepseek-llm/ggml-vocab-deepseek-llm.gguf.gz", "leaves gaps", true},
        {"falcon/tokenizer.json.gz", "no expression", true},
        {"falcon/ggml-vocab-falcon.gguf.gz", NULL, true},
        {"refact/ggml-vocab-refact.gguf.gz", NULL, true},
        {"mpt/tokenizer.json.gz", "normalizes", true},
        {"deepseek-v3/tokenizer.json.gz", "leaves gaps", true},
        {"rwkv-world/rwkv_vocab_v20230424.txt.gz", NULL, true},
        {"spm-test-unigram/tokenizer.model.gz", "normalizes", false},
        {"bert-uncased/tokenizer.json.gz", "not byte-pair encoding, Unigram or longest match", false},
        {"gpt-neox/tokenizer.json.gz", "normalizes", false},
        {"qwen3/tokenizer.json.gz", "normalizes", false},
    };
    const char *shared = getenv("MICROTOME_SHARED");
    snprintf(root, sizeof root, "%s/tokenizers", shared && *shared ? shared : "../shared");
    if (argc > 1) streams = 5, tries = 24;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        bool run = argc < 2 && !list[i].named;
        for (int a = 1; a < argc; a++)
            run |= strcmp(argv[a], "all") == 0 || strncmp(list[i].file, argv[a], strlen(argv[a])) == 0;
        if (run) check_tokenizer(list[i].file, list[i].why);
    }
    return test_end();
}
