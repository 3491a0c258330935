/* Trainers on small inputs: worked examples, naive re-computations, published outcomes, failing allocations, stopping.
 * What the reference libraries learn from a corpus is in test_train_reference.c. */
#include "test.h"

#include "token/save.h"
#include "token/segment.h"
#include "token/train.h"

static mt_error err;

static void add(mt_words *w, const char *text, uint64_t count) {
    CHECK_OK(mt_words_add(w, (const uint8_t *)text, strlen(text), count, &err));
}
static bool has(const mt_vocabulary *v, const char *text) {
    for (size_t i = 0; i < v->len; i++)
        if (mt_str_is(v->token[i], text)) return true;
    return false;
}

/* Random words over a few letters, some of two bytes. */
static void random_words(mt_words *w, uint64_t seed, size_t count) {
    static const char *const letters[] = {"a", "b", "c", "é", "d"};
    mt_rng rng;
    mt_rng_seed(&rng, seed);
    for (size_t i = 0; i < count; i++) {
        char text[64] = "";
        for (size_t n = 1 + mt_rng_below(&rng, 9); n; n--) strcat(text, letters[mt_rng_below(&rng, 5)]);
        add(w, text, 1 + mt_rng_below(&rng, 6));
    }
}

/* ---- BPE and WordPiece ---- */

static void test_bpe(void) {
    CASE("BPE: the worked example; repeated letters; a long word without cuts");
    mt_words w = {0};
    mt_vocabulary v;
    add(&w, "abab", 2);
    add(&w, "ab", 1);
    CHECK_OK(mt_train_bpe(&w, &(mt_bpe_options){.vocab_size = 4}, &v, &err));
    CHECK(v.len == 4 && mt_str_is(v.token[2], "ab") && mt_str_is(v.token[3], "abab"), "%zu tokens", v.len);
    mt_vocabulary_free(&v);
    mt_words_free(&w);
    mt_buf text = {0};
    for (int i = 0; i < 1 << 16; i++) CHECK_OK(mt_buf_byte(&text, 'a', &err));
    CHECK_OK(mt_words_add(&w, text.data, text.len, 1, &err));
    CHECK_OK(mt_train_bpe(&w, &(mt_bpe_options){.vocab_size = 17}, &v, &err));
    CHECK(v.len == 17 && v.token[16].n == 65536, "%zu tokens", v.len);
    mt_vocabulary_free(&v);
    mt_words_free(&w);
    mt_buf_free(&text);
}

/* The criterion by definition: count everything anew before each merge. */
static void naive_wordpiece(const mt_words *words, int32_t goal, mt_vocabulary *v) {
    int32_t *id[256];
    size_t len[256];
    *v = (mt_vocabulary){0};
    mt_train_bpe(words, &(mt_bpe_options){.vocab_size = 1, .prefix = "##"}, v, &err); /* the alphabet */
    size_t letters = v->len;
    for (size_t w = 0; w < words->len; w++) {
        mt_str s = words->list[w].text;
        id[w] = malloc((s.n + 1) * sizeof(int32_t));
        len[w] = 0;
        for (size_t at = 0, k; at < s.n; at += k) {
            char piece[8];
            k = (size_t)mt_utf8_length(s.p[at]);
            snprintf(piece, sizeof piece, "%s%.*s", at ? "##" : "", (int)k, (const char *)s.p + at);
            for (size_t i = 0; i < letters; i++)
                if (mt_str_is(v->token[i], piece)) id[w][len[w]++] = (int32_t)i;
        }
    }
    while (v->len < (size_t)goal) {
        static uint64_t pair[400][400], single[400];
        memset(pair, 0, sizeof pair);
        memset(single, 0, sizeof single);
        for (size_t w = 0; w < words->len; w++)
            for (size_t i = 0; i < len[w]; i++) {
                single[id[w][i]] += words->list[w].count;
                if (i + 1 < len[w]) pair[id[w][i]][id[w][i + 1]] += words->list[w].count;
            }
        double best = -1;
        uint64_t best_count = 0;
        int32_t left = -1, right = -1;
        for (size_t a = 0; a < v->len; a++)
            for (size_t b = 0; b < v->len; b++) {
                if (!pair[a][b]) continue;
                double score = (double)pair[a][b] / ((double)single[a] * (double)single[b]);
                if (score > best || (score == best && pair[a][b] > best_count)) {
                    best = score;
                    best_count = pair[a][b];
                    left = (int32_t)a;
                    right = (int32_t)b;
                }
            }
        if (left < 0) break;
        char joined[128];
        snprintf(joined, sizeof joined, "%.*s%.*s", (int)v->token[left].n, (const char *)v->token[left].p,
                 (int)v->token[right].n - 2, (const char *)v->token[right].p + 2);
        int32_t made = -1;
        for (size_t i = 0; i < v->len; i++)
            if (mt_str_is(v->token[i], joined)) made = (int32_t)i;
        if (made < 0) CHECK_OK(mt_vocabulary_add(v, mt_str_of(joined), &made, &err));
        for (size_t w = 0; w < words->len; w++) {
            size_t n = 0;
            for (size_t i = 0; i < len[w]; i++) {
                bool hit = i + 1 < len[w] && id[w][i] == left && id[w][i + 1] == right;
                id[w][n++] = hit ? made : id[w][i];
                i += hit;
            }
            len[w] = n;
        }
    }
    for (size_t w = 0; w < words->len; w++) free(id[w]);
}

static void test_wordpiece(void) {
    CASE("WordPiece's own criterion equals counting anew before each merge");
    for (uint64_t seed = 0; seed < 20; seed++) {
        mt_words w = {0};
        mt_vocabulary v, naive;
        random_words(&w, seed, 40);
        CHECK_OK(mt_train_wordpiece(&w, &(mt_bpe_options){.vocab_size = 90, .prefix = "##"}, &v, &err));
        naive_wordpiece(&w, 90, &naive);
        size_t same = 0;
        for (size_t i = 0; i < v.len; i++) {
            char text[64];
            snprintf(text, sizeof text, "%.*s", (int)v.token[i].n, (const char *)v.token[i].p);
            same += has(&naive, text);
        }
        CHECK(v.len == naive.len && same == v.len, "seed %d: %zu and %zu tokens, %zu the same", (int)seed, v.len,
              naive.len, same);
        mt_vocabulary_free(&v);
        mt_vocabulary_free(&naive);
        mt_words_free(&w);
    }
}

/* ---- Picky BPE ---- */

static uint64_t corpus_tokens(const mt_picky *p, const mt_words *w, uint64_t *count) {
    uint64_t total = 0;
    mt_ids ids = {0};
    for (size_t i = 0; i < w->len; i++) {
        ids.len = 0;
        CHECK_OK(mt_picky_encode(p, w->list[i].text.p, w->list[i].text.n, -1, &ids, &err));
        total += ids.len * w->list[i].count;
        mt_buf text = {0};
        for (size_t k = 0; k < ids.len; k++) {
            CHECK(ids.data[k] >= 0 && p->present[ids.data[k]], "a token that was removed");
            if (ids.data[k] < 0) continue;
            if (count) count[ids.data[k]] += w->list[i].count;
            mt_str s = p->vocabulary.token[ids.data[k]];
            CHECK_OK(mt_buf_add(&text, s.p, s.n, &err));
        }
        CHECK(mt_str_eq((mt_str){text.data, text.len}, w->list[i].text), "%.*s", (int)text.len, (char *)text.data);
        mt_buf_free(&text);
    }
    mt_ids_free(&ids);
    return total;
}

static void test_picky(void) {
    mt_words w = {0};
    mt_picky p;
    uint64_t count[64] = {0};
    add(&w, "_low", 5);
    add(&w, "_lower", 2);
    add(&w, "_newest", 6);
    add(&w, "_widest", 3);
    add(&w, "_kentucky", 4);
    add(&w, "_kent", 1);
    CASE("ACCEPTANCE 12: Picky BPE, T = 1 is plain BPE: 58 tokens, eight of the twelve new ones are left unused");
    CHECK_OK(mt_train_picky(&w, &(mt_picky_options){.vocab_size = 1, .threshold = 1}, &p, &err));
    int32_t letters = (int32_t)p.present_len;
    mt_picky_free(&p);
    CHECK_OK(mt_train_picky(&w, &(mt_picky_options){.vocab_size = letters + 12, .threshold = 1}, &p, &err));
    uint64_t tokens = corpus_tokens(&p, &w, count);
    CHECK(tokens == 58, "%d tokens", (int)tokens);
    static const char *const unused[] = {"_k", "_ke", "_l", "_lo", "_n", "_ne", "_new", "es"};
    size_t zero = 0;
    for (size_t i = (size_t)letters; i < p.vocabulary.len; i++) {
        if (count[i]) continue;
        zero++;
        bool listed = false;
        for (int k = 0; k < 8; k++) listed |= mt_str_is(p.vocabulary.token[i], unused[k]);
        CHECK(listed, "%.*s", (int)p.vocabulary.token[i].n, (const char *)p.vocabulary.token[i].p);
    }
    CHECK(zero == 8, "%zu unused", zero);
    mt_picky_free(&p);
    CASE("ACCEPTANCE 12: Picky BPE, T = 0.9: whole words remain, 21 tokens, the splits on the way");
    CHECK_OK(mt_train_picky(&w, &(mt_picky_options){.vocab_size = letters + 12, .threshold = 0.9}, &p, &err));
    static const char *const final[] = {"_newest", "_low", "_kentucky", "_widest", "_lower", "_kent"};
    size_t long_tokens = 0;
    for (size_t i = 0; i < p.vocabulary.len; i++) {
        if (!p.present[i] || p.vocabulary.token[i].n < 2) continue;
        long_tokens++;
        bool listed = false;
        for (int k = 0; k < 6; k++) listed |= mt_str_is(p.vocabulary.token[i], final[k]);
        CHECK(listed, "%.*s", (int)p.vocabulary.token[i].n, (const char *)p.vocabulary.token[i].p);
    }
    CHECK(long_tokens == 6, "%zu tokens of several letters", long_tokens);
    tokens = corpus_tokens(&p, &w, NULL);
    CHECK(tokens == 21, "%d tokens", (int)tokens);
    static const char *const split[] = {"es", "_l", "_lo", "_n", "_ne", "_new", "_k", "_ke", "_ken", "est"};
    for (int k = 0; k < 10; k++) {
        bool found = false;
        for (size_t i = 0; i < p.event_len; i++)
            found |= p.event[i].left < 0 && mt_str_is(p.vocabulary.token[p.event[i].token], split[k]);
        CHECK(found, "%s was not split", split[k]);
    }
    mt_ids ids = {0};
    CHECK_OK(mt_picky_encode(&p, (const uint8_t *)"_lowz", 5, 77, &ids, &err));
    CHECK(ids.len >= 2 && ids.data[ids.len - 1] == 77, "an unknown letter");
    mt_ids_free(&ids);
    mt_picky_free(&p);
    mt_words_free(&w);
    CASE("Picky BPE: encoding the training words replays training (random words, several thresholds)");
    for (uint64_t seed = 0; seed < 30; seed++) {
        random_words(&w, seed, 60);
        double threshold = 0.5 + 0.1 * (double)(seed % 5);
        CHECK_OK(mt_train_picky(&w, &(mt_picky_options){.vocab_size = 60, .threshold = threshold}, &p, &err));
        corpus_tokens(&p, &w, NULL);
        mt_picky_free(&p);
        mt_words_free(&w);
    }
}

/* ---- PathPiece ---- */

static void test_pathpiece(void) {
    mt_words w = {0};
    mt_vocabulary v, initial;
    CASE("PathPiece: what costs nothing goes first; single bytes stay; the size is met");
    add(&w, "abcabc", 9);
    mt_str three[] = {mt_str_of("ab"), mt_str_of("bc"), mt_str_of("abc")};
    CHECK_OK(
        mt_train_pathpiece(&w, &(mt_pathpiece_options){.vocab_size = 4, .initial = three, .initial_len = 3}, &v, &err));
    CHECK(v.len == 4 && has(&v, "abc") && has(&v, "a") && has(&v, "b") && has(&v, "c"), "%zu tokens", v.len);
    mt_vocabulary_free(&v);
    mt_words_free(&w);
    CHECK(mt_train_pathpiece(&w, &(mt_pathpiece_options){.vocab_size = 0}, &v, &err) == MT_ERANGE, "no room");
    CASE("PathPiece: the score of a token is the true loss when it occurs once a word");
    /* one token removed: compare the trainer's choice with trying each removal */
    for (uint64_t seed = 0; seed < 10; seed++) {
        random_words(&w, seed, 12);
        CHECK_OK(mt_frequent_substrings(&w, 4, 8, true, &initial, &err));
        uint64_t best = UINT64_MAX, got = 0;
        for (int skip = -1; skip < (int)initial.len; skip++) {
            mt_str list[8];
            size_t n = 0;
            for (int i = 0; i < (int)initial.len; i++)
                if (i != skip) list[n++] = initial.token[i];
            int32_t size = skip < 0 ? (int32_t)(6 + initial.len - 1) : 300;
            CHECK_OK(mt_train_pathpiece(
                &w, &(mt_pathpiece_options){.vocab_size = size, .initial = list, .initial_len = n}, &v, &err));
            mt_vocab voc = {0};
            mt_matcher m;
            for (size_t i = 0; i < v.len; i++) {
                CHECK_OK(mt_vocab_set_piece(&voc, (int64_t)i, v.token[i], &err));
                voc.flags[i] = MT_MATCHES;
            }
            CHECK_OK(mt_vocab_index_bytes(&voc, &err));
            CHECK_OK(mt_matcher_open(&m, &voc, -1, false, &err));
            uint64_t tokens = 0;
            for (size_t i = 0; i < w.len; i++) {
                mt_segments s = {0};
                CHECK_OK(mt_segment_fewest(&m, w.list[i].text.p, w.list[i].text.n, NULL, &s, &err));
                tokens += s.ids.len * w.list[i].count;
                mt_segments_free(&s);
            }
            if (skip < 0)
                got = tokens;
            else if (tokens < best)
                best = tokens;
            mt_matcher_free(&m);
            mt_vocab_free(&voc);
            mt_vocabulary_free(&v);
        }
        CHECK(got >= best && (double)got <= 1.05 * (double)best, "seed %d: %d tokens, the best removal gives %d",
              (int)seed, (int)got, (int)best);
        mt_vocabulary_free(&initial);
        mt_words_free(&w);
    }
}

/* ---- extension, adaptation ---- */

static void test_extend(void) {
    CASE("extension keeps ids and rule order, adds what is new");
    mt_words w = {0}, x = {0};
    mt_vocabulary base, extra;
    add(&w, "abab", 2);
    add(&w, "cc", 1);
    add(&x, "abcc", 5);
    CHECK_OK(mt_train_bpe(&w, &(mt_bpe_options){.vocab_size = 6}, &base, &err));
    CHECK_OK(mt_train_bpe(&x, &(mt_bpe_options){.vocab_size = 6}, &extra, &err));
    size_t before = base.len, rules = base.merge_len;
    mt_str old[8];
    for (size_t i = 0; i < before; i++) old[i] = base.token[i];
    CHECK_OK(mt_vocabulary_extend(&base, &extra, &err));
    for (size_t i = 0; i < before; i++) CHECK(mt_str_eq(old[i], base.token[i]), "id %zu", i);
    for (size_t i = 0; i < extra.len; i++) {
        size_t found = 0;
        for (size_t k = 0; k < base.len; k++) found += mt_str_eq(base.token[k], extra.token[i]);
        CHECK(found == 1, "token %zu is there %zu times", i, found);
    }
    CHECK(base.len > before && base.merge_len > rules, "nothing was added");
    for (size_t i = 0; i < base.merge_len; i++) {
        mt_str a = base.token[base.merge[i].left], b = base.token[base.merge[i].right];
        mt_str r = base.token[base.merge[i].result];
        CHECK(r.n == a.n + b.n && !memcmp(r.p, a.p, a.n) && !memcmp(r.p + a.n, b.p, b.n), "rule %zu", i);
    }
    mt_vocabulary_free(&base);
    mt_vocabulary_free(&extra);
    mt_words_free(&w);
    mt_words_free(&x);
    CASE("task-adaptive merging: shared pieces take the task's score, missing ones low x (n + 1) / n, new ones follow");
    static const char *const b[] = {"<unk>", "a", "abc", "é"}, *const t[] = {"<unk>", "abc", "new"};
    double bs[] = {0, -2, -3, -4}, ts[] = {0, -1.5, -2.5};
    mt_vocabulary task = {0};
    base = (mt_vocabulary){0};
    int32_t id;
    for (int i = 0; i < 4; i++) CHECK_OK(mt_vocabulary_add(&base, mt_str_of(b[i]), &id, &err));
    for (int i = 0; i < 3; i++) CHECK_OK(mt_vocabulary_add(&task, mt_str_of(t[i]), &id, &err));
    CHECK(mt_vocabulary_adapt(&base, &task, -10, &err) == MT_EMISSING, "no scores");
    base.score = mt_calloc(4, sizeof(double));
    base.kind = mt_calloc(4, 1);
    task.score = mt_calloc(3, sizeof(double));
    memcpy(base.score, bs, sizeof bs);
    memcpy(task.score, ts, sizeof ts);
    base.kind[0] = MT_TOKEN_UNKNOWN;
    CHECK_OK(mt_vocabulary_adapt(&base, &task, -10, &err));
    CHECK(base.len == 5 && mt_str_is(base.token[4], "new") && base.score[4] == -2.5, "%zu", base.len);
    CHECK(base.score[0] == 0 && base.score[1] == -20 && base.score[2] == -1.5 && base.score[3] == -20, "%g %g %g",
          base.score[1], base.score[2], base.score[3]);
    mt_vocabulary_free(&base);
    mt_vocabulary_free(&task);
}

/* ---- LiB ---- */

/* Sentences of a tiny grammar, without spaces. */
static size_t sentences(char (*text)[128], mt_str *list, size_t count, uint64_t seed) {
    static const char *const who[] = {"thecat", "thedog", "abird", "mymother", "theoldking", "nobody"};
    static const char *const does[] = {"sees", "follows", "likes", "remembers", "wouldliketosee"};
    static const char *const how[] = {"", "everyday", "intheevening", "again", "fromtimetotime"};
    mt_rng rng;
    mt_rng_seed(&rng, seed);
    for (size_t i = 0; i < count; i++) {
        snprintf(text[i], sizeof text[i], "%s%s%s%s", who[mt_rng_below(&rng, 6)], does[mt_rng_below(&rng, 5)],
                 who[mt_rng_below(&rng, 6)], how[mt_rng_below(&rng, 5)]);
        list[i] = mt_str_of(text[i]);
    }
    return count;
}

static double tokens_per_sentence(const mt_vocabulary *v, const mt_str *list, size_t count) {
    mt_vocab voc = {0};
    mt_matcher m;
    size_t total = 0;
    for (size_t i = 0; i < v->len; i++) {
        CHECK_OK(mt_vocab_set_piece(&voc, (int64_t)i, v->token[i], &err));
        voc.flags[i] = MT_MATCHES;
    }
    CHECK_OK(mt_vocab_index_bytes(&voc, &err));
    CHECK_OK(mt_matcher_open(&m, &voc, 1 << 20, true, &err));
    for (size_t i = 0; i < count; i++) {
        mt_segments s = {0};
        CHECK_OK(mt_segment_leftmost_longest(&m, list[i].p, list[i].n, &s, &err));
        total += s.ids.len;
        mt_segments_free(&s);
    }
    mt_matcher_free(&m);
    mt_vocab_free(&voc);
    return (double)total / (double)count;
}

static void test_lib(void) {
    CASE("ACCEPTANCE 12: LiB: the tokens per sentence fall while it reads; deterministic; stays within its size");
    enum { COUNT = 600 };
    static char text[COUNT][128];
    static mt_str list[COUNT];
    sentences(text, list, COUNT, 5);
    double mean[4];
    static const int32_t steps[4] = {1, 5, 20, 60};
    for (int i = 0; i < 4; i++) {
        mt_vocabulary v, again;
        mt_lib_options o = {.steps = steps[i], .article = 100, .seed = 3, .most = 400};
        CHECK_OK(mt_train_lib(list, COUNT, &o, &v, &err));
        CHECK_OK(mt_train_lib(list, COUNT, &o, &again, &err));
        CHECK(v.len == again.len && v.len <= 400, "%zu entries", v.len);
        for (size_t k = 0; k < v.len && k < again.len; k++)
            CHECK(mt_str_eq(v.token[k], again.token[k]), "entry %zu", k);
        mean[i] = tokens_per_sentence(&v, list, COUNT);
        mt_vocabulary_free(&v);
        mt_vocabulary_free(&again);
    }
    CHECK(mean[1] < mean[0] && mean[2] < mean[1] && mean[3] < mean[2] + 0.2 && mean[3] < 6, "%.2f %.2f %.2f %.2f",
          mean[0], mean[1], mean[2], mean[3]);
}

/* ---- all of them: failing allocations, stopping ---- */

static bool stop(void *user, uint64_t done, uint64_t total) {
    (void)done;
    (void)total;
    return ++*(int *)user > 1;
}

static mt_status run(int kind, const mt_words *w, mt_train_progress progress, void *user, mt_vocabulary *v) {
    mt_str special = mt_str_of("<unk>");
    switch (kind) {
    case 0:
        return mt_train_bpe(
            w,
            &(mt_bpe_options){
                .vocab_size = 150, .special = &special, .special_len = 1, .progress = progress, .user = user},
            v, &err);
    case 1:
        return mt_train_wordpiece(
            w, &(mt_bpe_options){.vocab_size = 150, .prefix = "##", .progress = progress, .user = user}, v, &err);
    case 2:
        return mt_train_unigram(
            w,
            &(mt_unigram_options){
                .vocab_size = 40, .special = &special, .special_len = 1, .progress = progress, .user = user},
            v, &err);
    case 3:
        return mt_train_sp_bpe(
            w,
            &(mt_sp_options){
                .vocab_size = 150, .special = &special, .special_len = 1, .progress = progress, .user = user},
            v, &err);
    case 4:
        return mt_train_sp_unigram(w,
                                   &(mt_sp_options){.vocab_size = 300,
                                                    .special = &special,
                                                    .special_len = 1,
                                                    .byte_fallback = true,
                                                    .progress = progress,
                                                    .user = user},
                                   v, &err);
    case 5: {
        mt_picky p;
        mt_picky_options o = {.vocab_size = 150, .threshold = 0.7, .progress = progress, .user = user};
        mt_status status = mt_train_picky(w, &o, &p, &err);
        mt_ids ids = {0};
        if (status == MT_OK) status = mt_picky_encode(&p, (const uint8_t *)"abcddcbaab", 10, -1, &ids, &err);
        mt_ids_free(&ids);
        if (status == MT_OK || p.vocabulary.len) mt_picky_free(&p);
        *v = (mt_vocabulary){0};
        return status;
    }
    case 6: {
        mt_vocabulary initial;
        MT_TRY(mt_frequent_substrings(w, 6, 100, true, &initial, &err));
        mt_pathpiece_options o = {
            .vocab_size = 20, .initial = initial.token, .initial_len = initial.len, .progress = progress, .user = user};
        mt_status status = mt_train_pathpiece(w, &o, v, &err);
        mt_vocabulary_free(&initial);
        return status;
    }
    case 7: {
        mt_str list[64];
        for (size_t i = 0; i < w->len && i < 64; i++) list[i] = w->list[i].text;
        mt_lib_options o = {.steps = 6, .article = 30, .seed = 1, .progress = progress, .user = user};
        return mt_train_lib(list, w->len < 64 ? w->len : 64, &o, v, &err);
    }
    case 8:
    case 9:
    case 10: {
        mt_pathpiece_options o = {.vocab_size = 300,
                                  .all_bytes = true,
                                  .special = &special,
                                  .special_len = 1,
                                  .progress = progress,
                                  .user = user};
        mt_pathpiece_initial from = {.size = 400};
        from.kind = kind == 8 ? MT_INITIAL_BPE : kind == 9 ? MT_INITIAL_UNIGRAM : MT_INITIAL_SUBSTRINGS;
        return mt_train_pathpiece_spelled(w, &o, &from, v, &err);
    }
    default: {
        mt_vocabulary extra;
        MT_TRY(mt_train_bpe(w, &(mt_bpe_options){.vocab_size = 30}, v, &err));
        mt_status status = mt_train_bpe(w, &(mt_bpe_options){.vocab_size = 40, .prefix = "##"}, &extra, &err);
        if (status == MT_OK) status = mt_vocabulary_extend(v, &extra, &err);
        if (status == MT_OK) mt_vocabulary_free(&extra);
        if (status != MT_OK) {
            mt_vocabulary_free(v);
            mt_vocabulary_free(&extra);
        }
        return status;
    }
    }
}

static void test_spelled(void) {
    CASE("PathPiece over the byte alphabet: all bytes stay, tokens come back spelled, whichever the candidates");
    mt_words w = {0};
    mt_str special = mt_str_of("<|end|>");
    add(&w, "\xC4\xA0the", 9); /* a space and "the" */
    add(&w, "\xC4\xA0then", 4);
    add(&w, "\xC3\x83\xC2\xA9t\xC3\x83\xC2\xA9", 3); /* "été" */
    for (int kind = 0; kind < 3; kind++) {
        mt_vocabulary v;
        mt_pathpiece_options o = {.vocab_size = 260, .all_bytes = true, .special = &special, .special_len = 1};
        mt_pathpiece_initial from = {.size = 300};
        from.kind = kind == 0 ? MT_INITIAL_BPE : kind == 1 ? MT_INITIAL_UNIGRAM : MT_INITIAL_SUBSTRINGS;
        CHECK_OK(mt_train_pathpiece_spelled(&w, &o, &from, &v, &err));
        CHECK(v.len == 260 && mt_str_eq(v.token[0], special), "%zu tokens", v.len);
        CHECK(mt_str_is(v.token[1], "\xC4\x80") && mt_str_is(v.token[1 + 'a'], "a"), "bytes come by their values");
        CHECK(kind == 1 || (has(&v, "\xC4\xA0the") && has(&v, "\xC3\x83\xC2\xA9t\xC3\x83\xC2\xA9")),
              "candidates %d: the whole words", kind);
        mt_vocabulary_free(&v);
        o.vocab_size = 256;
        CHECK(mt_train_pathpiece_spelled(&w, &o, &from, &v, &err) == MT_ERANGE, "no room for the bytes");
    }
    mt_vocabulary v;
    add(&w, "\xE2\x82\xAC", 1);
    CHECK(mt_train_pathpiece_spelled(&w, &(mt_pathpiece_options){.vocab_size = 260}, &(mt_pathpiece_initial){.size = 9},
                                     &v, &err) == MT_EFORMAT,
          "a word that is not in the alphabet");
    mt_words_free(&w);
}

static void test_failures(void) {
    mt_words w = {0};
    random_words(&w, 99, 50);
    CASE("trainers: every allocation may fail");
    size_t live = mt_live_allocations();
    for (int kind = 0; kind <= 11; kind++) {
        int64_t fail = 0;
        for (;; fail = fail < 60 ? fail + 1 : fail + 1 + fail / 16) {
            mt_vocabulary v = {0};
            mt_fail_allocation_after(fail);
            mt_status status = run(kind, &w, NULL, NULL, &v);
            mt_fail_allocation_after(-1);
            if (status == MT_OK) mt_vocabulary_free(&v);
            CHECK(mt_live_allocations() == live, "trainer %d leaks %d at %d", kind, (int)(mt_live_allocations() - live),
                  (int)fail);
            if (status == MT_OK) break;
            CHECK(status == MT_ENOMEM, "trainer %d: %s", kind, err.text);
        }
        CHECK(fail > 10, "trainer %d made %d allocations", kind, (int)fail);
    }
    CASE("trainers: the progress callback stops them");
    for (int kind = 0; kind <= 10; kind++) {
        mt_vocabulary v = {0};
        int calls = 0;
        mt_status status = run(kind, &w, stop, &calls, &v);
        CHECK(status == MT_EABORTED || calls < 2, "trainer %d: %s", kind, mt_status_name(status));
        CHECK(calls > 0, "trainer %d never asked", kind);
        if (status == MT_OK) mt_vocabulary_free(&v);
        CHECK(mt_live_allocations() == live, "trainer %d leaks", kind);
    }
    CASE("trainers: no words, one letter, broken UTF-8, sizes that cannot be");
    mt_words none = {0}, one = {0}, broken = {0}, long_one = {0}; /* the last: no piece is expected half a time */
    add(&one, "a", 3);
    add(&long_one, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1);
    CHECK_OK(mt_words_add(&broken, (const uint8_t *)"a\xff\xe2\x82", 4, 2, &err));
    for (int kind = 0; kind <= 10; kind++) {
        const mt_words *list[4] = {&none, &one, &broken, &long_one};
        for (int i = 0; i < 4; i++) {
            mt_vocabulary v = {0};
            err.text[0] = 0;
            mt_status status = run(kind, list[i], NULL, NULL, &v);
            if (status == MT_OK) {
                for (size_t k = 0; v.score && k < v.len; k++)
                    CHECK(isfinite(v.score[k]), "trainer %d: score %zu", kind, k);
                mt_vocabulary_free(&v);
            } else
                CHECK(err.text[0], "trainer %d: no message", kind);
        }
    }
    mt_words_free(&one);
    mt_words_free(&broken);
    mt_words_free(&long_one);
    CHECK(mt_live_allocations() == live, "%d blocks are left", (int)(mt_live_allocations() - live));
    mt_words_free(&w);
}

/* ---- saving ---- */

static bool contains(const mt_buf *b, const char *text) {
    size_t n = strlen(text);
    for (size_t i = 0; i + n <= b->len; i++)
        if (!memcmp(b->data + i, text, n)) return true;
    return false;
}

static void test_save(void) {
    CASE("tokenizer.json: what is written loads and encodes with the trained merges");
    mt_words w = {0};
    mt_vocabulary v;
    mt_buf out = {0};
    mt_str special = mt_str_of("<|\"end\"|>");
    add(&w, "hello", 5);
    add(&w, "help", 3);
    CHECK_OK(mt_train_bpe(&w, &(mt_bpe_options){.vocab_size = 12, .special = &special, .special_len = 1}, &v, &err));
    mt_save_json_options o = {
        .model = MT_SAVE_BPE, .special_len = 1, .pre_tokenizer = "{\"type\": \"WhitespaceSplit\"}"};
    CHECK_OK(mt_save_json(&v, &o, &out, &err));
    CHECK(contains(&out, "\"content\": \"<|\\\"end\\\"|>\"") && contains(&out, "[\"h\", \"el\"]"), "%.*s", (int)out.len,
          (const char *)out.data);
    mt_tok *t = NULL;
    CHECK_OK(mt_tok_load_json(out.data, out.len, &t, &err));
    if (t) {
        mt_encoding e = {0};
        CHECK_OK(mt_tok_encode(t, (const uint8_t *)"hello help", 10, NULL, false, &e, &err));
        CHECK(e.ids.len == 2 && mt_str_is(v.token[e.ids.data[0]], "hello") && mt_str_is(v.token[e.ids.data[1]], "help"),
              "%zu tokens", e.ids.len);
        CHECK(mt_tok_size(t) == (int32_t)v.len && mt_tok_kind(t, 0) == MT_TOKEN_SPECIAL, "size %d", mt_tok_size(t));
        mt_encoding_free(&e);
        mt_tok_free(t);
    }
    o.decoder = "{broken";
    size_t before = out.len;
    CHECK(mt_save_json(&v, &o, &out, &err) != MT_OK && out.len == before, "a broken part");
    o = (mt_save_json_options){.model = MT_SAVE_UNIGRAM};
    CHECK(mt_save_json(&v, &o, &out, &err) == MT_EMISSING, "no scores");
    o = (mt_save_json_options){.model = MT_SAVE_WORDPIECE, .unknown = "[UNK]"};
    CHECK(mt_save_json(&v, &o, &out, &err) == MT_EMISSING, "no unknown token");
    mt_vocabulary_free(&v);
    mt_words_free(&w);
    CASE(".model: protocol buffer bytes of a small vocabulary");
    mt_vocabulary s = {0};
    int32_t id;
    CHECK_OK(mt_vocabulary_add(&s, mt_str_of("<unk>"), &id, &err));
    CHECK_OK(mt_vocabulary_add(&s, mt_str_of("a"), &id, &err));
    s.score = mt_calloc(2, sizeof(double));
    s.score[1] = -1.5;
    out.len = 0;
    mt_save_sp_options so = {.model = MT_SAVE_UNIGRAM, .unknown = 0, .bos = -1, .eos = -1, .pad = -1};
    CHECK_OK(mt_save_sp(&s, &so, &out, &err));
    static const uint8_t golden[] = {0x0A, 0x0E, 0x0A, 5, '<',  'u',  'n', 'k', '>',  0x15,
                                     0,    0,    0,    0, 0x18, 2,                          /* piece 0 */
                                     0x0A, 0x08, 0x0A, 1, 'a',  0x15, 0,   0,   0xC0, 0xBF, /* piece 1 */
                                     0x12};
    CHECK(out.len > sizeof golden && !memcmp(out.data, golden, sizeof golden), "%zu bytes", out.len);
    t = NULL;
    CHECK_OK(mt_tok_load_spm(out.data, out.len, &t, &err));
    if (t) CHECK(mt_tok_size(t) == 2 && mt_tok_find(t, mt_str_of("a")) == 1, "size %d", mt_tok_size(t));
    mt_tok_free(t);
    so.byte_fallback = true;
    CHECK(mt_save_sp(&s, &so, &out, &err) == MT_EMISSING, "byte pieces are missing");
    so = (mt_save_sp_options){.model = MT_SAVE_UNIGRAM, .unknown = -1, .bos = -1, .eos = -1, .pad = -1};
    CHECK(mt_save_sp(&s, &so, &out, &err) == MT_EMISSING, "no unknown piece");
    mt_vocabulary_free(&s);
    mt_buf_free(&out);
}

int main(void) {
    test_bpe();
    test_wordpiece();
    test_picky();
    test_pathpiece();
    test_spelled();
    test_extend();
    test_lib();
    test_failures();
    test_save();
    return test_end();
}
