/* What tokenizers 0.23.2 and sentencepiece 0.2.2 learn from one corpus, and what these trainers do
 * (../shared/reference/trainers.tar.gz, or below $MICROTOME_SHARED; skipped without it).
 *
 *   byte-level BPE, SentencePiece BPE   the same tokens in the same order
 *   WordPiece     the same, once words come in an order that gives the letters inside words the reference's ids (there
 *                 they follow a hash table's order, and ids break ties)
 *   Unigram       the same pieces and scores; SentencePiece's in the same order
 *   8-best        segmentations of the two SentencePiece models */
#include "test.h"

#include "base/json.h"
#include "text/text.h"
#include "token/lattice.h"
#include "token/train.h"

static mt_error err;
static char archive[512];
static bool present;

static mt_buf extract(const char *name) {
    mt_buf b = {0};
    char command[700];
    snprintf(command, sizeof command, "tar -xzOf '%s' trainers/%s", archive, name);
    FILE *f = popen(command, "r");
    uint8_t chunk[1 << 16];
    size_t n;
    while (f && (n = fread(chunk, 1, sizeof chunk, f)) > 0) CHECK_OK(mt_buf_add(&b, chunk, n, &err));
    CHECK(f && pclose(f) == 0 && b.len, "%s cannot be read", name);
    return b;
}

static void begin(const char *name) {
    static char titles[2][200]; /* the case before is reported after this one has its name */
    static int turn;
    char *title = titles[turn ^= 1];
    snprintf(title, sizeof titles[0], "%s%s", name,
             present ? "" : " # SKIP ../shared/reference/trainers.tar.gz is not here");
    CASE(title);
}

static bool next_line(const mt_buf *b, size_t *at, mt_str *line) {
    if (*at >= b->len) return false;
    const uint8_t *p = b->data + *at, *end = memchr(p, '\n', b->len - *at);
    size_t n = end ? (size_t)(end - p) : b->len - *at;
    *line = (mt_str){p, n};
    *at += n + 1;
    return true;
}

static void put(mt_buf *b, uint32_t cp) {
    uint8_t out[4];
    int n = mt_utf8_encode(cp, out);
    CHECK_OK(mt_buf_add(b, out, (size_t)n, &err));
}

/* The vocabulary of a tokenizer.json by id; for Unigram with scores. */
static void read_vocab(const mt_buf *file, mt_vocabulary *v) {
    *v = (mt_vocabulary){0};
    mt_json j;
    mt_str key;
    mt_json_open(&j, file->data, file->len, &err);
    mt_json_object(&j);
    while (mt_json_key(&j, &key)) {
        if (!mt_str_is(key, "model")) {
            mt_json_skip(&j);
            continue;
        }
        mt_json_object(&j);
        while (mt_json_key(&j, &key)) {
            int32_t id;
            mt_str token;
            if (!mt_str_is(key, "vocab")) {
                mt_json_skip(&j);
            } else if (mt_json_peek(&j) == MT_JSON_ARRAY) {
                v->score = mt_calloc(10000, sizeof(double));
                mt_json_array(&j);
                while (mt_json_next(&j)) {
                    mt_json_array(&j);
                    mt_json_next(&j);
                    token = mt_json_string(&j);
                    CHECK_OK(mt_vocabulary_add(v, token, &id, &err));
                    mt_json_next(&j);
                    v->score[id] = mt_json_number(&j);
                    mt_json_next(&j);
                }
            } else {
                static mt_str by_id[10000];
                int64_t most = -1;
                mt_json_object(&j);
                while (mt_json_key(&j, &token)) {
                    int64_t at = mt_json_int(&j);
                    const uint8_t *copy = mt_arena_copy(&v->arena, token.p, token.n);
                    by_id[at] = (mt_str){copy, token.n};
                    if (at > most) most = at;
                }
                for (int64_t i = 0; i <= most; i++) CHECK_OK(mt_vocabulary_add(v, by_id[i], &id, &err));
            }
        }
    }
    CHECK_OK(mt_json_close(&j));
}

static void same_order(const mt_vocabulary *v, const mt_vocabulary *reference) {
    CHECK(v->len == reference->len, "%zu tokens, expected %zu", v->len, reference->len);
    for (size_t i = 0; i < v->len && i < reference->len; i++) {
        char a[64], b[64];
        CHECK(mt_str_eq(v->token[i], reference->token[i]), "id %zu: %s, expected %s", i,
              mt_str_show(v->token[i], a, sizeof a), mt_str_show(reference->token[i], b, sizeof b));
    }
}

/* How many tokens of `v` are not in `reference`; the largest difference of scores. Characters that lost their piece get
 * scores just above the lowest, spaced by 1e-4, in the order of a hash table there: `spaced` leaves single characters
 * out that differ by less than 0.1. */
static size_t compare_sets(const mt_vocabulary *v, const mt_vocabulary *reference, bool spaced, double *largest) {
    mt_map index = {0};
    size_t missing = 0;
    *largest = 0;
    for (size_t i = 0; i < reference->len; i++) CHECK_OK(mt_map_set(&index, reference->token[i], (int32_t)i, &err));
    for (size_t i = 0; i < v->len; i++) {
        int32_t at;
        if (!mt_map_get(&index, v->token[i], &at)) {
            missing++;
        } else if (v->score && reference->score) {
            double difference = fabs(v->score[i] - reference->score[at]);
            if (!spaced || difference > 0.1 || mt_utf8_length(v->token[i].p[0]) != (int)v->token[i].n)
                *largest = fmax(*largest, difference);
        }
    }
    mt_map_free(&index);
    return missing;
}

/* ---- byte-level BPE ---- */

static void byte_words(const mt_buf *corpus, mt_words *w) {
    mt_regex *re = NULL;
    CHECK_OK(mt_regex_compile(
        mt_str_of("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"), &re, &err));
    mt_str line;
    mt_buf word = {0};
    for (size_t at = 0; re && next_line(corpus, &at, &line);)
        for (size_t p = 0; p < line.n;) {
            bool found;
            size_t first, last;
            CHECK_OK(mt_regex_find(re, line.p, line.n, p, &found, &first, &last, &err));
            if (!found) break;
            word.len = 0;
            for (size_t i = first; i < last; i++) {
                uint32_t c = line.p[i], printable = c;
                if (c < 33)
                    printable = 256 + c;
                else if (c >= 127 && c <= 160)
                    printable = 256 + 33 + (c - 127);
                else if (c == 173)
                    printable = 256 + 67;
                put(&word, printable);
            }
            CHECK_OK(mt_words_add(w, word.data, word.len, 1, &err));
            p = last;
        }
    mt_buf_free(&word);
    mt_regex_free(re);
}

static void test_byte_bpe(const mt_buf *corpus) {
    begin("byte-level BPE: tokens and order equal the tokenizers library's, 1000 and 4000");
    if (!present) return;
    mt_words w = {0};
    byte_words(corpus, &w);
    uint8_t text[256][2];
    mt_str alphabet[256], special = mt_str_of("<|end|>");
    for (uint32_t i = 0; i < 256; i++) {
        bool plain = (i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174;
        uint32_t cp = plain ? i : i < 33 ? 256 + i : i == 173 ? 323 : 256 + 33 + (i - 127);
        uint8_t out[4];
        alphabet[i] = (mt_str){text[i], (size_t)mt_utf8_encode(cp, out)};
        memcpy(text[i], out, 2);
    }
    for (int32_t size = 1000; size <= 4000; size += 3000) {
        mt_vocabulary v, reference;
        char name[64];
        snprintf(name, sizeof name, "bytebpe_%d.json", size);
        mt_buf file = extract(name);
        read_vocab(&file, &reference);
        CHECK_OK(mt_train_bpe(
            &w,
            &(mt_bpe_options){
                .vocab_size = size, .special = &special, .special_len = 1, .alphabet = alphabet, .alphabet_len = 256},
            &v, &err));
        same_order(&v, &reference);
        mt_vocabulary_free(&v);
        mt_vocabulary_free(&reference);
        mt_buf_free(&file);
    }
    mt_words_free(&w);
}

/* ---- WordPiece ---- */

static bool is_cjk(uint32_t c) {
    static const uint32_t range[][2] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
                                        {0x2B740, 0x2B81F}, {0x2B820, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
    for (int i = 0; i < 8; i++)
        if (c >= range[i][0] && c <= range[i][1]) return true;
    return false;
}

static bool is_punctuation(uint32_t c) {
    mt_category k = mt_unicode_category(c);
    return (c > 32 && c < 48) || (c > 57 && c < 65) || (c > 90 && c < 97) || (c > 122 && c < 127) ||
           (k >= MT_PC && k <= MT_PO);
}

/* BERT's normalizer and pre-tokenizer: controls out, CJK and punctuation alone, no accents, lower case. */
static void bert_words(const mt_buf *corpus, mt_words *w) {
    mt_str line;
    mt_buf clean = {0}, bare = {0}, word = {0};
    uint32_t cp;
    for (size_t at = 0; next_line(corpus, &at, &line);) {
        clean.len = 0;
        for (size_t i = 0; i < line.n;) {
            i += (size_t)mt_utf8_decode(line.p + i, line.n - i, &cp);
            mt_category k = mt_unicode_category(cp);
            bool space = mt_unicode_is_space(cp) && k != MT_CC;
            if (cp == '\t' || cp == '\n' || cp == '\r') space = true;
            if (!space &&
                (cp == 0 || cp == 0xFFFD || k == MT_CC || k == MT_CF || k == MT_CN || k == MT_CO || k == MT_CS))
                continue;
            if (is_cjk(cp)) put(&clean, ' ');
            put(&clean, space ? ' ' : cp);
            if (is_cjk(cp)) put(&clean, ' ');
        }
        CHECK_OK(mt_normalize(MT_NFD, clean.data, clean.len, &bare, NULL, &err));
        word.len = 0;
        for (size_t i = 0; i <= bare.len;) {
            bool end = i == bare.len;
            if (!end) i += (size_t)mt_utf8_decode(bare.data + i, bare.len - i, &cp);
            if (!end && mt_unicode_category(cp) == MT_MN) continue;
            bool alone = !end && is_punctuation(cp);
            if (end || alone || mt_unicode_is_space(cp)) {
                if (word.len) CHECK_OK(mt_words_add(w, word.data, word.len, 1, &err));
                word.len = 0;
                if (end) break;
            }
            if (!end && mt_unicode_is_space(cp)) continue;
            uint32_t lower[3];
            int n = mt_unicode_lower(cp, lower);
            for (int k = 0; k < n; k++) put(&word, lower[k]);
            if (alone) {
                CHECK_OK(mt_words_add(w, word.data, word.len, 1, &err));
                word.len = 0;
            }
        }
    }
    mt_buf_free(&clean);
    mt_buf_free(&bare);
    mt_buf_free(&word);
}

/* The words in an order in which letters inside words appear first in the reference's order of ids. */
static void reorder(const mt_words *w, const mt_vocabulary *reference, mt_words *out) {
    mt_map place = {0};
    int32_t next = 0, seen = 0;
    for (size_t i = 0; i < reference->len; i++) {
        mt_str s = reference->token[i];
        uint32_t cp;
        if (s.n > 2 && s.p[0] == '#' && s.p[1] == '#' && mt_utf8_decode(s.p + 2, s.n - 2, &cp) == (int)s.n - 2)
            CHECK_OK(mt_map_set(&place, (mt_str){s.p + 2, s.n - 2}, next++, &err));
    }
    uint8_t *done = calloc(w->len, 1);
    for (bool progress = true; progress;) {
        progress = false;
        for (size_t i = 0; i < w->len; i++) {
            if (done[i]) continue;
            mt_str s = w->list[i].text;
            int32_t now = seen;
            bool fits = true;
            for (size_t at = (size_t)mt_utf8_length(s.p[0]), k; at < s.n && fits; at += k) {
                int32_t p = INT32_MAX;
                k = (size_t)mt_utf8_length(s.p[at]);
                mt_map_get(&place, (mt_str){s.p + at, k}, &p);
                if (p == now)
                    now++;
                else if (p > now)
                    fits = false;
            }
            if (!fits) continue;
            CHECK_OK(mt_words_add(out, s.p, s.n, w->list[i].count, &err));
            done[i] = 1;
            seen = now;
            progress = true;
        }
    }
    CHECK(out->len == w->len, "%zu of %zu words could be ordered", out->len, w->len);
    free(done);
    mt_map_free(&place);
}

static void test_wordpiece(const mt_buf *corpus) {
    begin("WordPiece: tokens and order equal the tokenizers library's, 1000 and 4000");
    if (!present) return;
    mt_words w = {0};
    bert_words(corpus, &w);
    const char *const names[] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};
    mt_str special[5];
    for (int i = 0; i < 5; i++) special[i] = mt_str_of(names[i]);
    for (int32_t size = 1000; size <= 4000; size += 3000) {
        mt_vocabulary v, reference;
        mt_words ordered = {0};
        char name[64];
        snprintf(name, sizeof name, "wordpiece_%d.json", size);
        mt_buf file = extract(name);
        read_vocab(&file, &reference);
        reorder(&w, &reference, &ordered);
        CHECK_OK(mt_train_bpe(
            &ordered, &(mt_bpe_options){.vocab_size = size, .special = special, .special_len = 5, .prefix = "##"}, &v,
            &err));
        same_order(&v, &reference);
        mt_vocabulary_free(&v);
        mt_vocabulary_free(&reference);
        mt_words_free(&ordered);
        mt_buf_free(&file);
    }
    mt_words_free(&w);
}

/* ---- Unigram of the tokenizers library ---- */

static void test_unigram(const mt_buf *corpus) {
    begin("Unigram: pieces and scores equal the tokenizers library's, 4000 and 7000");
    if (!present) return;
    mt_words w = {0};
    mt_buf word = {0};
    mt_str line;
    for (size_t at = 0; next_line(corpus, &at, &line);) /* Metaspace: one space in front, cut before each */
        for (size_t i = 0; i < line.n || i == 0;) {
            if (line.n == 0) break;
            word.len = 0;
            put(&word, 0x2581);
            if (line.p[i] == ' ') i++;
            while (i < line.n && line.p[i] != ' ') CHECK_OK(mt_buf_byte(&word, line.p[i++], &err));
            CHECK_OK(mt_words_add(&w, word.data, word.len, 1, &err));
        }
    mt_str special = mt_str_of("<unk>");
    for (int32_t size = 4000; size <= 7000; size += 3000) {
        mt_vocabulary v, reference;
        char name[64];
        double largest;
        snprintf(name, sizeof name, "unigram_%d.json", size);
        mt_buf file = extract(name);
        read_vocab(&file, &reference);
        CHECK_OK(mt_train_unigram(&w, &(mt_unigram_options){.vocab_size = size, .special = &special, .special_len = 1},
                                  &v, &err));
        size_t missing = compare_sets(&v, &reference, true, &largest);
        CHECK(v.len == reference.len && missing == 0 && largest < 1e-9, "%zu pieces, %zu missing, scores differ by %g",
              v.len, missing, largest);
        mt_vocabulary_free(&v);
        mt_vocabulary_free(&reference);
        mt_buf_free(&file);
    }
    mt_buf_free(&word);
    mt_words_free(&w);
}

/* ---- SentencePiece ---- */

static bool becomes_space(uint32_t c) {
    return c == '\t' || c == ' ' || c == 0x1680 || (c >= 0x200B && c <= 0x200C) || (c >= 0x200E && c <= 0x200F) ||
           c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
}

/* nmt_nfkc on what the corpus has: NFKC, invisible characters to spaces, single spaces, one in front. */
static void normalize(mt_str line, mt_buf *out) {
    mt_buf form = {0};
    uint32_t cp;
    CHECK_OK(mt_normalize(MT_NFKC, line.p, line.n, &form, NULL, &err));
    out->len = 0;
    bool space = true;
    for (size_t i = 0; i < form.len;) {
        i += (size_t)mt_utf8_decode(form.data + i, form.len - i, &cp);
        if (becomes_space(cp)) {
            space = true;
        } else {
            if (space) put(out, 0x2581);
            put(out, cp);
            space = false;
        }
    }
    mt_buf_free(&form);
}

static void read_sp_vocab(const char *name, mt_vocabulary *v) {
    mt_buf file = extract(name);
    mt_str line;
    *v = (mt_vocabulary){0};
    v->score = mt_calloc(4000, sizeof(double));
    for (size_t at = 0; next_line(&file, &at, &line);) {
        size_t tab = line.n;
        char number[64];
        int32_t id;
        while (tab && line.p[tab - 1] != '\t') tab--;
        snprintf(number, sizeof number, "%.*s", (int)(line.n - tab), (const char *)line.p + tab);
        CHECK_OK(mt_vocabulary_add(v, (mt_str){line.p, tab - 1}, &id, &err));
        v->score[id] = strtod(number, NULL);
    }
    mt_buf_free(&file);
}

typedef struct model {
    mt_vocab v;
    mt_matcher m;
    double lowest;
} model;

static void open_model(model *x, const mt_vocabulary *v, size_t specials) {
    *x = (model){.lowest = INFINITY};
    for (size_t i = 0; i < v->len; i++) {
        CHECK_OK(mt_vocab_set_piece(&x->v, (int64_t)i, v->token[i], &err));
        if (i < specials) continue;
        x->v.flags[i] = MT_MATCHES;
        x->lowest = fmin(x->lowest, v->score[i]);
    }
    CHECK_OK(mt_vocab_index_bytes(&x->v, &err));
    CHECK_OK(mt_matcher_open(&x->m, &x->v, 0, true, &err));
}
static void close_model(model *x) {
    mt_matcher_free(&x->m);
    mt_vocab_free(&x->v);
}

static void test_sentencepiece(const mt_buf *corpus) {
    mt_words w = {0};
    mt_buf text = {0};
    mt_str line;
    for (size_t at = 0; present && next_line(corpus, &at, &line);) {
        normalize(line, &text);
        if (text.len) CHECK_OK(mt_words_add(&w, text.data, text.len, 1, &err));
    }
    mt_str special[3] = {mt_str_of("<unk>"), mt_str_of("<s>"), mt_str_of("</s>")};
    for (int fallback = 0; fallback < 2; fallback++) {
        mt_vocabulary v, reference;
        mt_sp_options o = {.vocab_size = 3000, .special = special, .special_len = 3, .byte_fallback = fallback};
        begin(fallback ? "SentencePiece BPE with byte fallback: tokens, order and scores"
                       : "SentencePiece BPE: tokens, order and scores");
        if (!present) continue;
        read_sp_vocab(fallback ? "spm_bpe_bf.vocab" : "spm_bpe.vocab", &reference);
        CHECK_OK(mt_train_sp_bpe(&w, &o, &v, &err));
        same_order(&v, &reference);
        double largest;
        compare_sets(&v, &reference, false, &largest);
        CHECK(largest == 0, "scores differ by %g", largest);
        mt_vocabulary_free(&v);
        mt_vocabulary_free(&reference);
    }
    for (int fallback = 0; fallback < 2; fallback++) {
        mt_vocabulary v, reference;
        mt_sp_options o = {.vocab_size = 3000, .special = special, .special_len = 3, .byte_fallback = fallback};
        begin(fallback ? "SentencePiece Unigram with byte fallback: pieces, order and scores"
                       : "SentencePiece Unigram: pieces, order and scores");
        if (!present) continue;
        read_sp_vocab(fallback ? "spm_unigram_bf.vocab" : "spm_unigram.vocab", &reference);
        CHECK_OK(mt_train_sp_unigram(&w, &o, &v, &err));
        double largest;
        same_order(&v, &reference);
        compare_sets(&v, &reference, false, &largest);
        CHECK(largest < 6e-5, "scores differ by %g", largest); /* they are written with six digits */
        mt_vocabulary_free(&v);
        mt_vocabulary_free(&reference);
    }
    mt_words_free(&w);
    mt_buf_free(&text);
}

/* ---- n-best ---- */

static void check_nbest(const char *which, const char *vocab, size_t specials) {
    mt_vocabulary v;
    model x;
    mt_buf file = extract("encodings.json"), text = {0};
    mt_map index = {0};
    read_sp_vocab(vocab, &v);
    open_model(&x, &v, specials);
    for (size_t i = 0; i < v.len; i++) CHECK_OK(mt_map_set(&index, v.token[i], (int32_t)i, &err));
    mt_json j;
    mt_str key;
    size_t lists = 0;
    mt_json_open(&j, file.data, file.len, &err);
    mt_json_object(&j);
    while (mt_json_key(&j, &key)) {
        if (!mt_str_is(key, which)) {
            mt_json_skip(&j);
            continue;
        }
        mt_json_array(&j);
        while (mt_json_next(&j)) {
            double score[16];
            size_t count = 0;
            bool unknown = false;
            mt_json_object(&j);
            while (mt_json_key(&j, &key)) {
                if (mt_str_is(key, "text")) {
                    normalize(mt_json_string(&j), &text);
                    continue;
                }
                if (!mt_str_is(key, "nbest")) {
                    mt_json_skip(&j);
                    continue;
                }
                mt_json_array(&j);
                while (mt_json_next(&j)) {
                    double sum = 0;
                    mt_json_array(&j);
                    while (mt_json_next(&j)) {
                        int32_t id;
                        if (!mt_map_get(&index, mt_json_string(&j), &id) || (size_t)id < specials)
                            unknown = true;
                        else
                            sum += v.score[id];
                    }
                    if (count < 16) score[count++] = sum;
                }
            }
            if (unknown || !text.len) continue;
            mt_lattice l;
            mt_paths p = {0};
            CHECK_OK(mt_lattice_open(&l, &x.m, v.score, x.lowest - 10, text.data, text.len, &err));
            CHECK_OK(mt_lattice_nbest(&l, count, 0, &p, &err));
            CHECK(p.len == count, "%zu paths, expected %zu", p.len, count);
            for (size_t i = 0; i < p.len && i < count; i++)
                CHECK(fabs(p.path[i].score - score[i]) < 2e-4, "%s, text %zu, path %zu: %.5f, expected %.5f", which,
                      lists, i, p.path[i].score, score[i]);
            lists++;
            mt_paths_free(&p);
            mt_lattice_free(&l);
        }
    }
    CHECK_OK(mt_json_close(&j));
    CHECK(lists > 30, "%zu lists", lists);
    close_model(&x);
    mt_map_free(&index);
    mt_vocabulary_free(&v);
    mt_buf_free(&file);
    mt_buf_free(&text);
}

static void test_nbest(void) {
    begin("8-best segmentations: the scores of SentencePiece's lists");
    if (!present) return;
    check_nbest("spm_unigram_nbest", "spm_unigram.vocab", 3);
    check_nbest("spm_unigram_bf_nbest", "spm_unigram_bf.vocab", 259);
}

int main(void) {
    const char *shared = getenv("MICROTOME_SHARED");
    snprintf(archive, sizeof archive, "%s/reference/trainers.tar.gz", shared ? shared : "../shared");
    FILE *f = fopen(archive, "rb");
    present = f != NULL;
    if (f) fclose(f);
    mt_buf corpus = {0};
    if (present) corpus = extract("corpus.txt");
    test_byte_bpe(&corpus);
    test_wordpiece(&corpus);
    test_unigram(&corpus);
    test_sentencepiece(&corpus);
    test_nbest();
    mt_buf_free(&corpus);
    return test_end();
}
