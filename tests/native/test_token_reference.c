/* Tokenizers against the encodings that the reference implementations gave: ids, ids with special tokens, offsets,
 * decodings. The definitions and expectations are found in ../shared/tokenizers (or $MICROTOME_SHARED/tokenizers);
 * without them every case is skipped. Arguments: names of the families to run, all when there are none. */
#define _POSIX_C_SOURCE 200809L
#include "test.h"

#include "base/json.h"
#include "token/token.h"

static mt_error err;
static char root[400];

/* A file, unpacked when it ends in .gz; NULL when absent. */
static uint8_t *slurp(const char *path, size_t *n) {
    char command[600];
    FILE *probe = fopen(path, "rb");
    *n = 0;
    if (!probe) return NULL;
    fclose(probe);
    size_t k = strlen(path);
    bool packed = k > 3 && strcmp(path + k - 3, ".gz") == 0;
    snprintf(command, sizeof command, "%s '%s'", packed ? "gzip -dc" : "cat", path);
    FILE *f = popen(command, "r");
    if (!f) return NULL;
    size_t cap = 1 << 16, got;
    uint8_t *p = malloc(cap);
    while ((got = fread(p + *n, 1, cap - *n, f)) > 0) {
        *n += got;
        if (*n == cap) p = realloc(p, cap *= 2);
    }
    pclose(f);
    return p;
}

typedef struct record {
    char id[40];
    mt_str text, dec, dec_sk;
    bool has_dec, has_dec_sk, error;
    mt_ids ids, ids_sp, off, len;
    bool has_sp;
} record;

static void read_ids(mt_json *j, mt_ids *out) {
    out->len = 0;
    mt_json_array(j);
    while (mt_json_next(j)) mt_ids_add(out, (int32_t)mt_json_int(j), &err);
}

static bool read_record(mt_json *j, record *r) {
    mt_str key;
    r->has_dec = r->has_dec_sk = r->has_sp = r->error = false;
    r->ids.len = r->ids_sp.len = r->off.len = r->len.len = 0;
    mt_json_object(j);
    while (mt_json_key(j, &key)) {
        if (mt_str_is(key, "id"))
            mt_str_show(mt_json_string(j), r->id, sizeof r->id);
        else if (mt_str_is(key, "text"))
            r->text = mt_json_string(j);
        else if (mt_str_is(key, "ids"))
            read_ids(j, &r->ids);
        else if (mt_str_is(key, "ids_sp"))
            r->has_sp = true, read_ids(j, &r->ids_sp);
        else if (mt_str_is(key, "off"))
            read_ids(j, &r->off);
        else if (mt_str_is(key, "len"))
            read_ids(j, &r->len);
        else if (mt_str_is(key, "dec"))
            r->has_dec = true, r->dec = mt_json_string(j);
        else if (mt_str_is(key, "dec_sk"))
            r->has_dec_sk = true, r->dec_sk = mt_json_string(j);
        else if (mt_str_is(key, "error"))
            r->error = true, mt_json_skip(j);
        else
            mt_json_skip(j);
    }
    if (!r->has_dec) r->dec = r->text;
    if (!r->has_dec_sk) r->dec_sk = r->dec;
    return j->status == MT_OK;
}

static void show_ids(const mt_ids *v, char *out, size_t cap) {
    size_t n = 0;
    out[0] = 0;
    for (size_t i = 0; i < v->len && n + 12 < cap; i++) n += (size_t)snprintf(out + n, cap - n, "%d ", v->data[i]);
}

static bool same_ids(const mt_ids *a, const mt_ids *b) {
    return a->len == b->len && (!a->len || memcmp(a->data, b->data, a->len * sizeof *a->data) == 0);
}

/* U+FFFD for every maximal part of what is not UTF-8, as browsers and Rust do it. */
static void lossy(const uint8_t *p, size_t n, mt_buf *out) {
    out->len = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        int k = mt_utf8_decode(p + i, n - i, &cp);
        if (k) {
            mt_buf_add(out, p + i, (size_t)k, &err);
            i += (size_t)k;
            continue;
        }
        mt_buf_add(out, "\xEF\xBF\xBD", 3, &err);
        size_t m = 1;
        while (m < 4 && i + m < n && mt_utf8_unfinished(p + i, m + 1) == m + 1) m++;
        if (mt_utf8_unfinished(p + i, 1) != 1) m = 1;
        i += m;
    }
}

static uint32_t chars_before(mt_str s, uint32_t at, bool up) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < at && i < s.n; i++) n += (s.p[i] & 0xC0) != 0x80;
    if (!up && at < s.n && (s.p[at] & 0xC0) == 0x80) n--; /* inside a character: its start */
    return n;
}

typedef struct family {
    const char *name, *file, *reference;
    bool specials_are_text; /* the plain ids treat special tokens' texts as text (tiktoken) */
    bool prefix_is_added;   /* ids_sp differ by the frame (tokenizers); false: by allowing special tokens (tiktoken) */
    bool offsets;
} family;

static bool ends_with(const char *s, const char *tail) {
    size_t n = strlen(s), k = strlen(tail);
    return n >= k && strcmp(s + n - k, tail) == 0;
}

static mt_status load(const family *f, const uint8_t *p, size_t n, mt_tok **t) {
    mt_load_options o = {.name = mt_str_of(f->name), .lowercase = -1};
    uint8_t *merges = NULL;
    if (strcmp(f->file, "vocab.json.gz") == 0) {
        char path[600];
        size_t k;
        snprintf(path, sizeof path, "%s/tokenizers/%s/merges.txt.gz", root, f->name);
        merges = slurp(path, &k);
        o.merges = (mt_str){merges, k};
    }
    mt_status status = mt_tok_load(p, n, &o, t, &err);
    free(merges);
    return status;
}

/* Vectors of llama.cpp: texts separated by a line, ids one text a line. */
static void run_vectors(const family *f) {
    static char title[140];
    char path[600], a[300], b[300];
    size_t n, in_n, out_n, count = 0, exact = 0;
    case_end();
    snprintf(title, sizeof title, "%s: %s, %s", f->name, f->file, f->reference);
    CASE(title);
    snprintf(path, sizeof path, "%s/tokenizers/%s/%s", root, f->name, f->file);
    uint8_t *p = slurp(path, &n);
    snprintf(path, sizeof path, "%s/tokenizers/%s/%s.inp", root, f->name, f->reference);
    uint8_t *in = slurp(path, &in_n);
    snprintf(path, sizeof path, "%s/tokenizers/%s/%s.out", root, f->name, f->reference);
    uint8_t *out = slurp(path, &out_n);
    mt_tok *t = NULL;
    if (!p || !in || !out) {
        printf("# SKIP %s: not in ../shared\n", title);
        goto done;
    }
    CHECK_OK(load(f, p, n, &t));
    static const char bar[] = "\n__ggml_vocab_test__\n";
    size_t bar_n = sizeof bar - 1;
    mt_encoding e = {0};
    mt_ids want = {0};
    const uint8_t *line = out;
    for (size_t at = 0; t && at < in_n;) {
        size_t end = at;
        while (end < in_n && !(in_n - end >= bar_n && memcmp(in + end, bar, bar_n) == 0)) end++;
        if (end == in_n) break;
        want.len = 0;
        while (line < out + out_n && *line != '\n') {
            char *stop;
            long id = strtol((const char *)line, &stop, 10);
            if ((const uint8_t *)stop == line) break;
            mt_ids_add(&want, (int32_t)id, &err);
            line = (const uint8_t *)stop;
            while (line < out + out_n && *line == ' ') line++;
        }
        while (line < out + out_n && *line++ != '\n');
        mt_encode_options o = {.special_as_text = true};
        e.ids.len = 0;
        CHECK_OK(mt_tok_encode(t, in + at, end - at, &o, true, &e, &err));
        count++;
        if (same_ids(&e.ids, &want)) {
            exact++;
        } else {
            show_ids(&e.ids, a, sizeof a);
            show_ids(&want, b, sizeof b);
            char shown[80];
            CHECK(0, "\"%s\": %s, expected %s", mt_str_show((mt_str){in + at, end - at}, shown, sizeof shown), a, b);
        }
        at = end + bar_n;
    }
    printf("# %s: %zu of %zu exact\n", title, exact, count);
    mt_encoding_free(&e);
    mt_ids_free(&want);
    mt_tok_free(t);
done:
    free(p);
    free(in);
    free(out);
}

static void run(const family *f) {
    static char title[140];
    char path[600], a[200], b[200];
    size_t n, rn;
    case_end();
    snprintf(title, sizeof title, "%s: %s, %s", f->name, f->file, f->reference);
    CASE(title);
    snprintf(path, sizeof path, "%s/tokenizers/%s/%s", root, f->name, f->file);
    uint8_t *p = *f->file ? slurp(path, &n) : calloc(1, 1);
    if (!*f->file) n = 0;
    snprintf(path, sizeof path, "%s/tokenizers/%s/%s", root, f->name, f->reference);
    uint8_t *ref = slurp(path, &rn);
    if (!p || !ref) {
        printf("# SKIP %s: not in ../shared\n", title);
        free(p);
        free(ref);
        return;
    }
    mt_tok *t = NULL;
    CHECK_OK(load(f, p, n, &t));
    free(p);
    mt_encoding e = {0};
    mt_buf out = {0}, seen = {0};
    record r = {0};
    size_t lines = 0, wrong = 0;
    for (size_t at = 0; t && at < rn;) {
        uint8_t *nl = memchr(ref + at, '\n', rn - at);
        size_t end = nl ? (size_t)(nl - ref) : rn;
        mt_json j;
        mt_json_open(&j, ref + at, end - at, &err);
        at = end + 1;
        CHECK(read_record(&j, &r), "reference: %s", err.text);
        if (r.error) {
            mt_json_close(&j);
            continue;
        }
        lines++;
        int bad = case_bad;
        mt_encode_options plain = {.special_as_text = f->specials_are_text};
        mt_encode_options framed = {.add_special_tokens = f->prefix_is_added};
        e.ids.len = 0;
        CHECK_OK(mt_tok_encode(t, r.text.p, r.text.n, &plain, true, &e, &err));
        if (!same_ids(&e.ids, &r.ids)) {
            show_ids(&e.ids, a, sizeof a);
            show_ids(&r.ids, b, sizeof b);
            char shown[80];
            CHECK(0, "%s \"%s\": ids %s, expected %s", r.id, mt_str_show(r.text, shown, sizeof shown), a, b);
        } else if (f->offsets && r.off.len == 2 * r.ids.len) {
            for (size_t i = 0; i < e.ids.len; i++) {
                uint32_t x = chars_before(r.text, e.spans[i].begin, false);
                uint32_t y = chars_before(r.text, e.spans[i].end, true);
                if ((int32_t)x == r.off.data[2 * i] && (int32_t)y == r.off.data[2 * i + 1]) continue;
                char shown[80];
                CHECK(0, "%s \"%s\": offset of token %zu of %zu is %u,%u, expected %d,%d", r.id,
                      mt_str_show(r.text, shown, sizeof shown), i, e.ids.len, x, y, r.off.data[2 * i],
                      r.off.data[2 * i + 1]);
                break;
            }
        }
        e.ids.len = 0;
        if (r.has_sp) CHECK_OK(mt_tok_encode(t, r.text.p, r.text.n, &framed, false, &e, &err));
        if (r.has_sp && !same_ids(&e.ids, &r.ids_sp)) {
            show_ids(&e.ids, a, sizeof a);
            show_ids(&r.ids_sp, b, sizeof b);
            CHECK(0, "%s: with special tokens %s, expected %s", r.id, a, b);
        }
        for (int skip = 0; skip < (*f->file ? 2 : 1) && r.len.len == 0; skip++) {
            mt_decode_options o = {.skip_special_tokens = skip};
            out.len = 0;
            CHECK_OK(mt_tok_decode(t, r.ids.data, r.ids.len, &o, &out, &err));
            lossy(out.data, out.len, &seen);
            mt_str want = skip ? r.dec_sk : r.dec;
            if (!mt_str_eq((mt_str){seen.data, seen.len}, want)) {
                char x[120], y[120];
                CHECK(0, "%s: decoded%s \"%s\", expected \"%s\"", r.id, skip ? " without special tokens" : "",
                      mt_str_show((mt_str){seen.data, seen.len}, x, sizeof x), mt_str_show(want, y, sizeof y));
            }
        }
        for (size_t i = 0; i < r.len.len && i < r.ids.len; i++)
            CHECK((int32_t)mt_tok_bytes(t, r.ids.data[i]).n == r.len.data[i], "%s: token %d has %zu bytes", r.id,
                  r.ids.data[i], mt_tok_bytes(t, r.ids.data[i]).n);
        wrong += case_bad != bad;
        mt_json_close(&j);
    }
    printf("# %s: %zu of %zu records exact\n", title, lines - wrong, lines);
    CHECK(!t || lines > 0, "no records");
    mt_ids_free(&r.ids);
    mt_ids_free(&r.ids_sp);
    mt_ids_free(&r.off);
    mt_ids_free(&r.len);
    mt_buf_free(&out);
    mt_buf_free(&seen);
    mt_encoding_free(&e);
    mt_tok_free(t);
    free(ref);
}

/* Vectors of another project: the whole text, or line by line with \\n and \\s; ids separated by commas. */
static void run_lines(const char *name, const char *file, const char *vectors, bool by_line) {
    static char title[140];
    char path[600], a[300], b[300];
    size_t n, in_n, out_n, count = 0;
    case_end();
    snprintf(title, sizeof title, "%s: %s, %s", name, file, vectors);
    CASE(title);
    snprintf(path, sizeof path, "%s/tokenizers/%s/%s", root, name, file);
    uint8_t *p = slurp(path, &n);
    snprintf(path, sizeof path, "%s/tokenizers/%s/%s_input.txt.gz", root, name, vectors);
    uint8_t *in = slurp(path, &in_n);
    snprintf(path, sizeof path, "%s/tokenizers/%s/%s_tokens.txt.gz", root, name, vectors);
    uint8_t *out = slurp(path, &out_n);
    mt_tok *t = NULL;
    mt_load_options o = {.name = mt_str_of(name), .lowercase = -1};
    if (!p || !in || !out)
        printf("# SKIP %s: not in ../shared\n", title);
    else
        CHECK_OK(mt_tok_load(p, n, &o, &t, &err));
    mt_encoding e = {0};
    mt_ids want = {0};
    mt_buf text = {0};
    for (size_t at = 0, from = 0; t && at < in_n; count++) {
        text.len = want.len = 0;
        for (; at < in_n && !(by_line && in[at] == '\n'); at++) {
            uint8_t next = by_line && in[at] == '\\' && at + 1 < in_n ? in[at + 1] : 0;
            bool escape = next == 'n' || next == 's';
            mt_buf_byte(&text, !escape ? in[at] : next == 'n' ? '\n' : ' ', &err);
            at += escape;
        }
        at++;
        while (from < out_n && out[from] != '\n') {
            if (out[from] < '0' || out[from] > '9') {
                from++;
                continue;
            }
            int32_t id = 0;
            for (; from < out_n && out[from] >= '0' && out[from] <= '9'; from++) id = id * 10 + (out[from] - '0');
            mt_ids_add(&want, id, &err);
        }
        from++;
        mt_encode_options text_only = {.special_as_text = true};
        e.ids.len = 0;
        CHECK_OK(mt_tok_encode(t, text.data, text.len, &text_only, false, &e, &err));
        show_ids(&e.ids, a, sizeof a);
        show_ids(&want, b, sizeof b);
        CHECK(same_ids(&e.ids, &want), "line %zu: %s, expected %s", count + 1, a, b);
    }
    printf("# %s: %zu texts\n", title, count);
    mt_encoding_free(&e);
    mt_ids_free(&want);
    mt_buf_free(&text);
    mt_tok_free(t);
    free(p);
    free(in);
    free(out);
}

/* The 512-token vocabulary of the smallest TinyStories model exists in two formats; both must say the same. */
static void run_tok512(void) {
    char path[600];
    size_t n[3], lines = 0;
    case_end();
    CASE("tok512: llama2.c's list against the SentencePiece model");
    uint8_t *p[3];
    static const char *const files[] = {"models/stories260K/tok512.bin", "models/stories260K/tok512.model",
                                        "corpora/tinystories-sample.txt.gz"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", root, files[i]);
        p[i] = slurp(path, &n[i]);
    }
    mt_tok *t[2] = {NULL, NULL};
    if (!p[0] || !p[1] || !p[2]) printf("# SKIP tok512: not in ../shared\n");
    for (int i = 0; i < 2 && p[0] && p[1] && p[2]; i++) CHECK_OK(mt_tok_load(p[i], n[i], NULL, &t[i], &err));
    mt_encoding a = {0}, b = {0};
    mt_buf back = {0};
    for (size_t at = 0; t[0] && t[1] && at < n[2] && lines < 2000; lines++) {
        uint8_t *nl = memchr(p[2] + at, '\n', n[2] - at);
        size_t end = nl ? (size_t)(nl - p[2]) + 1 : n[2];
        a.ids.len = b.ids.len = back.len = 0;
        CHECK_OK(mt_tok_encode(t[0], p[2] + at, end - at, NULL, false, &a, &err));
        CHECK_OK(mt_tok_encode(t[1], p[2] + at, end - at, NULL, false, &b, &err));
        bool spaces = p[2][at] == ' '; /* the model drops leading and repeated spaces, llama2.c keeps them */
        for (size_t i = at; i + 1 < end; i++) spaces |= p[2][i] == ' ' && p[2][i + 1] == ' ';
        CHECK(spaces || same_ids(&a.ids, &b.ids), "line %zu", lines + 1);
        CHECK_OK(mt_tok_decode(t[0], a.ids.data, a.ids.len, NULL, &back, &err));
        CHECK(mt_str_eq((mt_str){back.data, back.len}, (mt_str){p[2] + at, end - at}), "line %zu: decoded", lines + 1);
        at = end;
    }
    printf("# tok512: %zu lines\n", lines);
    mt_encoding_free(&a);
    mt_encoding_free(&b);
    mt_buf_free(&back);
    for (int i = 0; i < 3; i++) free(p[i]);
    mt_tok_free(t[0]);
    mt_tok_free(t[1]);
}

int main(int argc, char **argv) {
#define HF(name)        {name, "tokenizer.json.gz", "reference.jsonl.gz", false, true, true}
#define HFJ(name)       {name, "tokenizer.json", "reference.jsonl.gz", false, true, true}
#define SPM(name, file) {name, file, "reference-spm.jsonl.gz", false, false, true}
#define RANKS(name)     {name, name ".tiktoken.gz", "reference.jsonl.gz", true, false, true}
#define GGUF(name, kind)                                                                                               \
    {                                                                                                                  \
        name, "ggml-vocab-" kind ".gguf.gz", "ggml-vocab-" kind ".gguf", false, true, false                            \
    }
    static const family families[] = {
        HF("gpt2"),
        HF("llama2"),
        HF("llama3"),
        HF("qwen3"),
        HF("deepseek-v3"),
        HF("gpt-oss"),
        HF("gemma"),
        HF("gemma3"),
        HF("mistral-v1"),
        HF("mistral-v3"),
        HF("phi-2"),
        HF("phi-3"),
        HF("falcon"),
        HF("gpt-neox"),
        HF("mpt"),
        HF("modernbert"),
        HF("roberta"),
        HF("clip"),
        HF("claude"),
        HF("chatglm"),
        HF("whisper-tiny"),
        HF("whisper-large-v3"),
        HF("bert-cased"),
        HF("bert-uncased"),
        HF("t5"),
        HF("pegasus"),
        HF("xlnet"),
        HF("marian-nmt"),
        HFJ("sqlpilot"),
        HFJ("hw-doc-summarizer"),
        GGUF("gpt2", "gpt-2"),
        GGUF("llama2", "llama-spm"),
        GGUF("falcon", "falcon"),
        GGUF("mpt", "mpt"),
        GGUF("phi-3", "phi-3"),
        GGUF("refact", "refact"),
        GGUF("starcoder", "starcoder"),
        GGUF("deepseek-coder", "deepseek-coder"),
        GGUF("deepseek-llm", "deepseek-llm"),
        SPM("albert", "spiece.model.gz"),
        SPM("bpemb-en-100k", "tokenizer.model.gz"),
        SPM("chatglm-ice", "tokenizer.model.gz"),
        SPM("llama2", "tokenizer.model.gz"),
        SPM("marian-nmt", "tokenizer.model.gz"),
        SPM("mistral-v1", "tokenizer.model.gz"),
        SPM("mistral-v3", "tokenizer.model.gz"),
        SPM("nai-t5", "spiece.model.gz"),
        SPM("nerdstash", "tokenizer.model.gz"),
        SPM("seqio-1k", "tokenizer.model.gz"),
        SPM("spm-test-ja", "tokenizer.model.gz"),
        SPM("spm-test-unigram", "tokenizer.model.gz"),
        SPM("t5", "spiece.model.gz"),
        SPM("xlnet", "spiece.model.gz"),
        RANKS("cl100k_base"),
        RANKS("o200k_base"),
        RANKS("p50k_base"),
        RANKS("r50k_base"),
        {"llama4", "llama4.tiktoken.gz", "reference.jsonl.gz", true, false, true},
        {"gpt2", "vocab.json.gz", "reference.jsonl.gz", false, true, false},
        {"bert-uncased", "vocab.txt.gz", "reference.jsonl.gz", false, true, true},
        GGUF("bert-uncased", "bert-bge"),
        {"rwkv-world", "rwkv_vocab_v20230424.txt.gz", "reference.jsonl.gz", false, false, false},
        {"byt5", "", "reference.jsonl.gz", true, false, false},
        {"canine", "", "reference.jsonl.gz", true, false, false}};
    const char *shared = getenv("MICROTOME_SHARED");
    snprintf(root, sizeof root, "%s", shared ? shared : "../shared");
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        bool wanted = argc < 2;
        for (int k = 1; k < argc; k++) wanted |= strcmp(argv[k], families[i].name) == 0;
        if (wanted) (ends_with(families[i].reference, ".gguf") ? run_vectors : run)(&families[i]);
    }
    if (argc < 2) run_tok512();
    static const char *const kimi[] = {"small", "mixed", "utf8"};
    for (int i = 0; i < 3 && (argc < 2 || strcmp(argv[1], "kimi-k2") == 0); i++)
        run_lines("kimi-k2", "kimi_k2.tiktoken.gz", kimi[i], i < 2);
    if (mt_live_allocations()) printf("# %zu live allocations at the end\n", mt_live_allocations());
    return test_end();
}
