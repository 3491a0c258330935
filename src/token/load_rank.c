/* Rank files (tiktoken): lines of "base64 rank". A token's id is its rank; merges are ranked by what they make, and a
 * word that is a token is that token. The files hold neither the splitting expression nor the special tokens: both are
 * chosen by the vocabulary's name, or by its size where that says enough, or given by the caller. */
#include <stdio.h>

#include "tok.h"

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define O200K_CASED(upper, lower)                                                                                      \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]" upper                                                 \
    "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]" lower CONTRACTIONS "?"
#define KIMI_CASED(upper, lower)                                                                                       \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]" upper                                    \
    "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]" lower CONTRACTIONS "?"

#define GPT2 MT_PATTERN_GPT2
#define CL100K                                                                                                         \
    CONTRACTIONS                                                                                                       \
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define O200K                                                                                                          \
    O200K_CASED("*", "+")                                                                                              \
    "|" O200K_CASED("+", "*") "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define KIMI                                                                                                           \
    "[\\p{Han}]+|" KIMI_CASED("*", "+") "|" KIMI_CASED(                                                                \
        "+", "*") "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

typedef struct known {
    const char *names; /* any of these inside the given name, separated by spaces */
    int32_t tokens;    /* in the file: identifies it without a name; 0: never */
    const char *pattern;
    struct {
        int32_t id;
        const char *text;
    } special[40];
} known;

static const known table[] = {
    {"cl100k",
     100256,
     CL100K,
     {{100257, "<|endoftext|>"},
      {100258, "<|fim_prefix|>"},
      {100259, "<|fim_middle|>"},
      {100260, "<|fim_suffix|>"},
      {100276, "<|endofprompt|>"}}},
    {"o200k_harmony",
     0,
     O200K,
     {{199998, "<|startoftext|>"},
      {199999, "<|endoftext|>"},
      {200002, "<|return|>"},
      {200003, "<|constrain|>"},
      {200005, "<|channel|>"},
      {200006, "<|start|>"},
      {200007, "<|end|>"},
      {200008, "<|message|>"},
      {200012, "<|call|>"},
      {200018, "<|endofprompt|>"}}},
    {"o200k", 199998, O200K, {{199999, "<|endoftext|>"}, {200018, "<|endofprompt|>"}}},
    {"p50k_edit",
     0,
     GPT2,
     {{50256, "<|endoftext|>"}, {50281, "<|fim_prefix|>"}, {50282, "<|fim_middle|>"}, {50283, "<|fim_suffix|>"}}},
    {"p50k", 50280, GPT2, {{50256, "<|endoftext|>"}}},
    {"r50k gpt2", 50256, GPT2, {{50256, "<|endoftext|>"}}},
    {"multilingual whisper", 50257, GPT2, {{50257, "<|endoftext|>"}, {50258, "<|startoftranscript|>"}}},
    {"llama3 llama-3",
     128000,
     CL100K,
     {{128000, "<|begin_of_text|>"},
      {128001, "<|end_of_text|>"},
      {128002, "<|reserved_special_token_0|>"},
      {128003, "<|reserved_special_token_1|>"},
      {128004, "<|finetune_right_pad_id|>"},
      {128005, "<|step_id|>"},
      {128006, "<|start_header_id|>"},
      {128007, "<|end_header_id|>"},
      {128008, "<|eom_id|>"},
      {128009, "<|eot_id|>"},
      {128010, "<|python_tag|>"}}},
    {"llama4 llama-4",
     200000,
     O200K,
     {{200000, "<|begin_of_text|>"},
      {200001, "<|end_of_text|>"},
      {200002, "<|fim_prefix|>"},
      {200003, "<|fim_middle|>"},
      {200004, "<|fim_suffix|>"},
      {200005, "<|header_start|>"},
      {200006, "<|header_end|>"},
      {200007, "<|eom|>"},
      {200008, "<|eot|>"},
      {200009, "<|step|>"}}},
    {"kimi",
     163584,
     KIMI,
     {{163584, "[BOS]"},
      {163585, "[EOS]"},
      {163586, "<|im_end|>"},
      {163587, "<|im_user|>"},
      {163588, "<|im_assistant|>"},
      {163590, "<|start_header_id|>"},
      {163591, "<|end_header_id|>"},
      {163593, "[EOT]"},
      {163594, "<|im_system|>"},
      {163595, "<|tool_calls_section_begin|>"},
      {163596, "<|tool_calls_section_end|>"},
      {163597, "<|tool_call_begin|>"},
      {163598, "<|tool_call_argument_begin|>"},
      {163599, "<|tool_call_end|>"},
      {163601, "<|im_middle|>"},
      {163838, "[UNK]"},
      {163839, "[PAD]"}}},
};

static bool contains(mt_str s, const char *word, size_t n) {
    for (size_t i = 0; i + n <= s.n; i++)
        if (memcmp(s.p + i, word, n) == 0) return true;
    return false;
}

static const known *find_known(mt_str name, int32_t tokens) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (const char *p = table[i].names; *p;) {
            const char *end = strchr(p, ' ');
            size_t n = end ? (size_t)(end - p) : strlen(p);
            if (contains(name, p, n)) return &table[i];
            p += n + (end != NULL);
        }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].tokens == tokens) return &table[i];
    return NULL;
}

typedef struct lines {
    mt_tok *t;
    const uint8_t *p;
    size_t n, at, line;
    int8_t value[256]; /* of base64 digits; -1 */
} lines;

/* One line: its bytes are written right behind the vocabulary's text, where they stay. */
static mt_status read_line(lines *l, mt_error *err) {
    mt_vocab *v = &l->t->vocab;
    const uint8_t *p = l->p + l->at, *end = l->p + l->n, *start = p;
    size_t most = 0;
    while (p + most < end && l->value[p[most]] >= 0) most++;
    MT_TRY(mt_buf_reserve(&v->text, most / 4 * 3 + 3, err));
    uint8_t *o = v->text.data + v->text.len, *first = o;
    uint32_t bits = 0, count = (uint32_t)(most % 4);
    for (const uint8_t *stop = p + most - count; p < stop; p += 4, o += 3) {
        bits = (uint32_t)l->value[p[0]] << 18 | (uint32_t)l->value[p[1]] << 12 | (uint32_t)l->value[p[2]] << 6 |
               (uint32_t)l->value[p[3]];
        o[0] = (uint8_t)(bits >> 16);
        o[1] = (uint8_t)(bits >> 8);
        o[2] = (uint8_t)bits;
    }
    for (bits = 0; p < start + most; p++) bits = bits << 6 | (uint32_t)l->value[*p];
    if (count == 2) *o++ = (uint8_t)(bits >> 4);
    if (count == 3) {
        *o++ = (uint8_t)(bits >> 10);
        *o++ = (uint8_t)(bits >> 2);
    }
    while (p < end && *p == '=') p++;
    if (p == start && (*p == '\n' || *p == '\r')) { /* an empty line */
        l->at++;
        return MT_OK;
    }
    bool good = count != 1 && p < end && *p == ' ' && p > start;
    int64_t rank = 0;
    const uint8_t *digits = ++p;
    for (; good && p < end && *p >= '0' && *p <= '9'; p++)
        if (rank < MT_MAX_TOKENS) rank = rank * 10 + (*p - '0');
    good = good && p > digits && (p == end || *p == '\n' || *p == '\r');
    if (!good) return mt_fail_at(err, MT_EFORMAT, l->at, "rank file, line %zu: expected \"base64 rank\"", l->line);
    while (p < end && (*p == '\n' || *p == '\r')) p++;
    l->at = (size_t)(p - l->p);
    if (o == first) return MT_OK;
    MT_TRY(mt_vocab_claim_piece(v, rank, (size_t)(o - first), err));
    v->flags[rank] = MT_IN_MODEL | MT_MATCHES;
    return mt_vocab_index_piece(v, (int32_t)rank, false, err);
}

static mt_status read_some(void *user, size_t from, size_t to, mt_error *err) {
    lines *l = user;
    (void)from;
    for (; l->at < to; l->line++) MT_TRY(read_line(l, err));
    return MT_OK;
}

static mt_status read_lines(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    lines l = {.t = t, .p = p, .n = n, .line = 1};
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    memset(l.value, -1, sizeof l.value);
    for (int i = 0; i < 64; i++) l.value[(uint8_t)alphabet[i]] = (int8_t)i;
    MT_TRY(mt_vocab_reserve(&t->vocab, n / 20 < MT_MAX_TOKENS ? n / 20 + 1 : 1024, n / 2, err));
    return mt_stretches(n, read_some, &l, err);
}

static mt_status add_special(mt_tok *t, int32_t id, mt_str text, mt_error *err) {
    MT_TRY(mt_vocab_set_piece(&t->vocab, id, text, err));
    MT_TRY(mt_vocab_index_piece(&t->vocab, id, false, err));
    t->vocab.kind[id] = MT_TOKEN_SPECIAL;
    t->vocab.flags[id] = MT_IN_ADDED | MT_IS_SPECIAL;
    mt_added *a = mt_tok_add_added(t, err);
    if (!a) return MT_ENOMEM;
    *a = (mt_added){.id = id, .special = true};
    return mt_tok_copy(t, text, &a->content, err);
}

static mt_status load(mt_tok *t, const uint8_t *p, size_t n, mt_str name, mt_str pattern, mt_error *err) {
    t->special_is_text = true;
    MT_TRY(read_lines(t, p, n, err));
    mt_vocab *v = &t->vocab;
    int32_t tokens = 0;
    for (int32_t id = 0; id < v->size; id++) tokens += v->kind[id] != MT_TOKEN_HOLE;
    const known *k = find_known(name, tokens);
    if (!k && !pattern.n) {
        char shown[60];
        return mt_fail(
            err, MT_EUNKNOWN,
            "rank file \"%s\" of %d tokens: its splitting expression is not known and none was given (known: "
            "cl100k o200k o200k_harmony p50k p50k_edit r50k gpt2 whisper llama3 llama4 kimi)",
            mt_str_show(name, shown, sizeof shown), tokens);
    }
    for (size_t i = 0; k && i < 40 && k->special[i].text; i++)
        if (k->special[i].id >= v->size || v->kind[k->special[i].id] == MT_TOKEN_HOLE)
            MT_TRY(add_special(t, k->special[i].id, mt_str_of(k->special[i].text), err));
    t->model_name = "BPE (ranks)";
    t->segmenter = &mt_segmenter_bpe;
    t->bpe.by_string = t->bpe.base_bytes = true;
    t->ignore_merges = true;
    t->added_raw = true;
    mt_pattern re;
    MT_TRY(mt_tok_regex(t, pattern.n ? pattern : mt_str_of(k->pattern), &re, err));
    mt_split *s = mt_tok_add_split(t, MT_SPLIT_PATTERN, err);
    if (!s) return MT_ENOMEM;
    s->pattern = re;
    s->behavior = MT_SPLIT_ISOLATED;
    s->drop_gaps = true;
    if (!mt_tok_add_decoder(t, MT_DECODE_BYTES, err)) return MT_ENOMEM;
    static const char *const ends[] = {"<|endoftext|>", "<|end_of_text|>", "[EOS]"}, *const begins[] = {
                                                                                         "<|begin_of_text|>",
                                                                                         "<|startoftext|>", "[BOS]",
                                                                                         "<|endoftext|>"};
    for (size_t i = 0; i < 3 && t->eos < 0; i++) t->eos = mt_vocab_find_piece(v, mt_str_of(ends[i]));
    for (size_t i = 0; i < 4 && t->bos < 0; i++) t->bos = mt_vocab_find_piece(v, mt_str_of(begins[i]));
    return mt_tok_finish(t, err);
}

mt_status mt_tok_load_ranks(const uint8_t *p, size_t n, mt_str name, mt_str pattern, mt_tok **out, mt_error *err) {
    mt_tok *t;
    *out = NULL;
    MT_TRY(mt_tok_new(&t, err));
    mt_status status = load(t, p, n, name, pattern, err);
    if (status != MT_OK) {
        mt_tok_free(t);
        return status;
    }
    *out = t;
    return MT_OK;
}
