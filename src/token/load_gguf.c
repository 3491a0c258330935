/* GGUF tokenizer metadata (tokenizer.ggml.*) -> mt_tok.
 *
 *   tokenizer.huggingface.json, the whole definition, counts where it is present; else the keys:
 *
 *   model "gpt2"   byte-level BPE; the splitting expressions are not in the file but named by tokenizer.ggml.pre
 *   model "bert"   WordPiece: pieces that begin a word carry U+2581, the others nothing
 *   model "t5"     Unigram with SentencePiece's character map
 *   model "rwkv"   longest match over RWKV's world vocabulary
 *   model "llama"  SentencePiece BPE: merges are ranked by the scores of what they make, unknown characters become
 * bytes
 *
 * The table of names and expressions follows llama.cpp, which defines them. Several expressions are applied one after
 * the other, each to the parts that the one before left. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tok.h"

#define CONTRACTIONS  "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define PATTERN_TAIL  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define PATTERN_THREE CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}" PATTERN_TAIL
#define PATTERN_ONE   CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" PATTERN_TAIL
#define CASED(upper, lower)                                                                                            \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]" upper "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]" lower
#define DEEPSEEK3                                                                                                      \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "              \
    "?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
/* letters with case: Latin, Greek, Cyrillic, Armenian, Georgian, Cherokee, Coptic, Deseret... */
#define CASED_LETTERS                                                                                                  \
    "A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}"                    \
    "\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}\\x{386}\\x{388}-\\x{38A}"             \
    "\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}"                    \
    "\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}"                  \
    "\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}"                  \
    "\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}"                             \
    "\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}"                            \
    "\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}"                  \
    "\\x{1FF6}-\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}"                    \
    "\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}"                             \
    "\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}"                             \
    "\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}"                   \
    "\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}"                  \
    "\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}"                                 \
    "\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}"                             \
    "\\x{1E900}-\\x{1E943}"
#define CJK_DEEPSEEK "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"
#define NORDIC       " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{964}\\x{6D4}\\x{60C})]+"

typedef struct pre {
    const char *names; /* separated by spaces */
    const char *pattern[6];
    bool ignore_merges, bos;
} pre;

static const pre table[] = {
    {"default", {"[\\p{P}\\$\\+<=>\\^~\\|]+", MT_PATTERN_GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}, false, false},
    {"gpt-2 mpt olmo jais trillion granite-docling phi-2 jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code "
     "gigachat roberta-bpe modern-bert exaone4 mellum a.x-4.0",
     {MT_PATTERN_GPT2},
     false,
     false},
    {"llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2", {PATTERN_THREE}, true, true},
    {"dbrx smaug-bpe chatglm-bpe glm4", {PATTERN_THREE}, false, false},
    {"qwen2 stablelm2 deepseek-r1-qwen megrez hunyuan kormo", {PATTERN_ONE}, false, false},
    {"starcoder refact command-r smollm codeshell exaone minerva-7b", {"\\p{N}", MT_PATTERN_GPT2}, false, false},
    {"falcon", {"[\\p{P}\\$\\+<=>\\^~\\|`]+", MT_PATTERN_GPT2, "[0-9][0-9][0-9]"}, false, false},
    {"deepseek-llm",
     {"[\\r\\n]", "\\s?[" CASED_LETTERS "]+",
      "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+", "\\s+$",
      CJK_DEEPSEEK, "\\p{N}+"},
     false,
     false},
    {"deepseek-coder", {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK_DEEPSEEK, "\\p{N}"}, false, false},
    {"deepseek-v3 hunyuan-dense",
     {"\\p{N}{1,3}", "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+", DEEPSEEK3},
     false,
     false},
    {"poro-chat bloom gpt3-finnish", {NORDIC}, false, false},
    {"viking", {NORDIC, "\\p{N}"}, false, false},
    {"tekken",
     {CASED("*", "+") "|" CASED("+", "*") "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
     true,
     true},
    {"gpt-4o llama4",
     {CASED("*", "+") CONTRACTIONS "?|" CASED("+", "*") CONTRACTIONS
      "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
     false,
     false},
    {"bailingmoe bailingmoe2 llada-moe",
     {"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
      "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"},
     false,
     false},
    {"seed-coder",
     {CONTRACTIONS
      "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
     false,
     false},
};

static bool listed(const char *names, mt_str name) {
    for (const char *p = names; *p;) {
        const char *end = strchr(p, ' ');
        size_t n = end ? (size_t)(end - p) : strlen(p);
        if (n == name.n && memcmp(p, name.p, n) == 0) return true;
        p += n + (end != NULL);
    }
    return false;
}

static mt_status unknown_pre(mt_str name, mt_error *err) {
    char list[420] = "", shown[60];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", i ? " " : "", table[i].names);
    }
    return mt_fail(err, MT_EUNKNOWN, "tokenizer.ggml.pre \"%s\" (known: %.380s)",
                   mt_str_show(name, shown, sizeof shown), list);
}

/* ids of special roles: absent, or within the vocabulary */
static mt_status role(const mt_gguf *g, const char *name, int32_t size, int32_t *out, mt_error *err) {
    uint64_t v;
    *out = -1;
    if (!mt_gguf_u64(g, name, &v)) return MT_OK;
    if (v == UINT32_MAX) return MT_OK; /* written for "none" */
    if (v >= (uint64_t)size)
        return mt_fail(err, MT_ERANGE, "%s is %llu, the vocabulary has %d tokens", name, (unsigned long long)v, size);
    *out = (int32_t)v;
    return MT_OK;
}

static mt_status array(const mt_gguf *g, const char *name, bool strings, bool required, const mt_gguf_key **out,
                       mt_error *err) {
    const mt_gguf_key *k = *out = mt_gguf_find(g, name);
    if (!k) return required ? mt_fail(err, MT_EMISSING, "the file has no %s", name) : MT_OK;
    if (k->type != MT_GGUF_ARRAY || (k->element == MT_GGUF_STRING) != strings || k->element == MT_GGUF_ARRAY)
        return mt_fail(err, MT_EFORMAT, "%s is not an array of %s", name, strings ? "strings" : "numbers");
    return MT_OK;
}

static mt_status read_tokens(const mt_gguf *g, mt_tok *t, mt_error *err) {
    const mt_gguf_key *tokens, *types, *scores;
    MT_TRY(array(g, "tokenizer.ggml.tokens", true, true, &tokens, err));
    MT_TRY(array(g, "tokenizer.ggml.token_type", false, false, &types, err));
    MT_TRY(array(g, "tokenizer.ggml.scores", false, false, &scores, err));
    if (!tokens->count || tokens->count > MT_MAX_TOKENS)
        return mt_fail(err, MT_ERANGE, "tokenizer.ggml.tokens has %llu tokens", (unsigned long long)tokens->count);
    if ((types && types->count != tokens->count) || (scores && scores->count != tokens->count))
        return mt_fail(err, MT_EFORMAT, "tokenizer.ggml.tokens has %llu entries, token_type %llu, scores %llu",
                       (unsigned long long)tokens->count, (unsigned long long)(types ? types->count : 0),
                       (unsigned long long)(scores ? scores->count : 0));
    mt_vocab *v = &t->vocab;
    MT_TRY(mt_vocab_reserve(v, tokens->count, tokens->bytes, err));
    if (scores) {
        v->score = mt_array(v->capacity, sizeof *v->score);
        if (!v->score) return mt_nomem(err, v->capacity * sizeof *v->score, "scores");
    }
    const uint8_t *cursor = tokens->data;
    for (uint64_t i = 0; i < tokens->count; i++) {
        mt_str piece = mt_gguf_next_string(&cursor);
        MT_TRY(mt_vocab_set_piece(v, (int64_t)i, piece, err));
        MT_TRY(mt_vocab_index_piece(v, (int32_t)i, false, err));
        if (scores) v->score[i] = mt_gguf_number_at(scores, i);
        int type = types ? (int)mt_gguf_number_at(types, i) : 1;
        static const mt_token_kind kinds[] = {MT_TOKEN_NORMAL, MT_TOKEN_NORMAL, MT_TOKEN_UNKNOWN, MT_TOKEN_SPECIAL,
                                              MT_TOKEN_USER,   MT_TOKEN_UNUSED, MT_TOKEN_BYTE};
        mt_token_kind kind = type >= 0 && type <= 6 ? kinds[type] : MT_TOKEN_NORMAL;
        v->kind[i] = (uint8_t)kind;
        v->flags[i] = MT_IN_MODEL;
        if (kind == MT_TOKEN_NORMAL) v->flags[i] |= MT_MATCHES;
        if (kind != MT_TOKEN_SPECIAL && kind != MT_TOKEN_USER && kind != MT_TOKEN_UNKNOWN) continue;
        mt_added *a = mt_tok_add_added(t, err);
        if (!a) return MT_ENOMEM;
        a->id = (int32_t)i;
        a->special = kind != MT_TOKEN_USER;
        v->flags[i] |= MT_IN_ADDED | (a->special ? MT_IS_SPECIAL : 0);
        MT_TRY(mt_tok_copy(t, piece, &a->content, err));
    }
    return MT_OK;
}

static mt_status read_merges(const mt_gguf *g, mt_tok *t, mt_error *err) {
    const mt_gguf_key *merges;
    MT_TRY(array(g, "tokenizer.ggml.merges", true, true, &merges, err));
    if (merges->count >= MT_NO_RANK) return mt_fail(err, MT_ELIMIT, "too many merges");
    MT_TRY(mt_bpe_reserve_pairs(&t->bpe, (size_t)merges->count, err));
    const uint8_t *cursor = merges->data;
    size_t lost = 0;
    for (uint32_t rank = 0; rank < merges->count; rank++) {
        mt_str s = mt_gguf_next_string(&cursor);
        /* the first byte may itself be a space */
        const uint8_t *space = s.n > 1 ? memchr(s.p + 1, ' ', s.n - 1) : NULL;
        if (!space) return mt_fail(err, MT_EFORMAT, "merge %u has no space", rank);
        mt_str a = {s.p, (size_t)(space - s.p)}, b = {space + 1, s.n - (size_t)(space - s.p) - 1};
        MT_TRY(mt_buf_reserve(&t->scratch, s.n, err));
        memcpy(t->scratch.data, a.p, a.n);
        memcpy(t->scratch.data + a.n, b.p, b.n);
        int32_t left = mt_vocab_find_piece(&t->vocab, a), right = mt_vocab_find_piece(&t->vocab, b);
        int32_t result = mt_vocab_find_piece(&t->vocab, (mt_str){t->scratch.data, a.n + b.n});
        if (left < 0 || right < 0 || result < 0) {
            lost++;
            continue;
        }
        MT_TRY(mt_bpe_add_pair(&t->bpe, left, right, rank, result, err));
    }
    return lost ? mt_tok_warn(t, err, "%zu merges name pieces that the vocabulary lacks", lost) : MT_OK;
}

static mt_status load_gpt2(const mt_gguf *g, mt_tok *t, bool *bos, mt_error *err) {
    mt_str name;
    const pre *found = NULL;
    if (!mt_gguf_string(g, "tokenizer.ggml.pre", &name)) {
        name = mt_str_of("default");
        MT_TRY(mt_tok_warn(t, err, "no tokenizer.ggml.pre: the default splitting is used, results may be worse"));
    }
    for (size_t i = 0; i < sizeof table / sizeof *table && !found; i++)
        if (listed(table[i].names, name)) found = &table[i];
    if (!found) return unknown_pre(name, err);
    t->model_name = "BPE";
    t->segmenter = &mt_segmenter_bpe;
    t->byte_level = t->bpe.base_bytes = true;
    t->ignore_merges = found->ignore_merges;
    *bos = found->bos;
    MT_TRY(read_merges(g, t, err));
    for (size_t i = 0; i < 6 && found->pattern[i]; i++) {
        mt_split *s = mt_tok_add_split(t, MT_SPLIT_PATTERN, err);
        if (!s) return MT_ENOMEM;
        s->behavior = MT_SPLIT_ISOLATED;
        mt_pattern p;
        MT_TRY(mt_tok_regex(t, mt_str_of(found->pattern[i]), &p, err));
        t->split[t->split_len - 1].pattern = p;
    }
    return mt_tok_add_decoder(t, MT_DECODE_BYTES, err) ? MT_OK : MT_ENOMEM;
}

typedef struct scored {
    double score;
    int32_t id;
} scored;
static int by_score(const void *a, const void *b) {
    double x = ((const scored *)a)->score, y = ((const scored *)b)->score;
    return x > y ? -1 : x < y;
}

/* Ranks for string-ranked merging: the higher the score, the lower the rank; equal scores share one. */
mt_status mt_tok_rank_by_score(mt_tok *t, mt_error *err) {
    size_t n = (size_t)t->vocab.size;
    scored *list = mt_array(n, sizeof *list);
    t->bpe.rank_of = mt_array(n, sizeof *t->bpe.rank_of);
    if (!list || !t->bpe.rank_of) {
        mt_free(list);
        return mt_nomem(err, n * sizeof *list, "score ranks");
    }
    for (size_t i = 0; i < n; i++) {
        double s = t->vocab.score[i];
        list[i] = (scored){s == s ? s : -INFINITY, (int32_t)i};
    }
    qsort(list, n, sizeof *list, by_score);
    uint32_t rank = 0;
    for (size_t i = 0; i < n; i++) {
        if (i && list[i].score != list[i - 1].score) rank++;
        t->bpe.rank_of[list[i].id] = rank;
    }
    mt_free(list);
    t->bpe.by_string = true;
    return MT_OK;
}

static mt_status load_llama(const mt_gguf *g, mt_tok *t, bool *bos, mt_error *err) {
    bool prefix = true;
    mt_gguf_bool(g, "tokenizer.ggml.add_space_prefix", &prefix);
    if (!t->vocab.score) return mt_fail(err, MT_EMISSING, "the file has no tokenizer.ggml.scores");
    t->model_name = "SentencePiece BPE";
    t->segmenter = &mt_segmenter_bpe;
    t->mark = mt_str_of(MT_MARK);
    t->byte_fallback = true;
    *bos = true;
    MT_TRY(mt_tok_find_byte_tokens(t, err));
    MT_TRY(mt_tok_rank_by_score(t, err));
    mt_norm *s;
    if (prefix) {
        if (!(s = mt_tok_add_norm(t, MT_NORM_PREPEND, err))) return MT_ENOMEM;
        s->content = mt_str_of(" ");
    }
    if (!(s = mt_tok_add_norm(t, MT_NORM_UNMARK, err))) return MT_ENOMEM;
    s->pattern.text = t->mark;
    s->content = mt_str_of(" ");
    mt_decoder *d = mt_tok_add_decoder(t, MT_DECODE_SPM, err);
    if (!d) return MT_ENOMEM;
    d->prefix = prefix;
    d->extra = mt_str_of(" \xE2\x81\x87 ");
    return MT_OK;
}

static mt_status load_bert(const mt_gguf *g, mt_tok *t, bool *bos, bool *eos, mt_error *err) {
    static const char *const spellings[] = {"tokenizer.ggml.seperator_token_id", "tokenizer.ggml.separator_token_id"};
    if (mt_gguf_find(g, "tokenizer.ggml.cls_token_id"))
        MT_TRY(role(g, "tokenizer.ggml.cls_token_id", t->vocab.size, &t->bos, err));
    for (int i = 0; i < 2; i++)
        if (mt_gguf_find(g, spellings[i])) MT_TRY(role(g, spellings[i], t->vocab.size, &t->eos, err));
    if (t->bos < 0) t->bos = mt_vocab_find_piece(&t->vocab, mt_str_of("[CLS]"));
    if (t->eos < 0) t->eos = mt_vocab_find_piece(&t->vocab, mt_str_of("[SEP]"));
    if (t->unk < 0) t->unk = mt_vocab_find_piece(&t->vocab, mt_str_of("[UNK]"));
    *bos = *eos = true;
    MT_TRY(mt_tok_bert_steps(t, true, err));
    t->word_prefix = mt_str_of("");
    t->wordpiece.opener = mt_str_of(MT_MARK);
    t->wordpiece.max_chars = SIZE_MAX;
    t->mark = mt_str_of(MT_MARK);
    t->decoder_len = 0;
    mt_decoder *d = mt_tok_add_decoder(t, MT_DECODE_SPM, err); /* the opener is a space in front of the word */
    if (!d) return MT_ENOMEM;
    d->prefix = true;
    d->extra = mt_str_of("[UNK]");
    return MT_OK;
}

static mt_status load_t5(const mt_gguf *g, mt_tok *t, bool *eos, mt_error *err) {
    bool prefix = true, squeeze = true;
    const mt_gguf_key *blob;
    mt_gguf_bool(g, "tokenizer.ggml.add_space_prefix", &prefix);
    mt_gguf_bool(g, "tokenizer.ggml.remove_extra_whitespaces", &squeeze);
    if (!t->vocab.score) return mt_fail(err, MT_EMISSING, "the file has no tokenizer.ggml.scores");
    MT_TRY(array(g, "tokenizer.ggml.precompiled_charsmap", false, false, &blob, err));
    mt_charsmap *map = NULL;
    if (blob && blob->count) {
        if (blob->bytes != blob->count)
            return mt_fail(err, MT_EFORMAT, "tokenizer.ggml.precompiled_charsmap is not an array of bytes");
        MT_TRY(mt_charsmap_load(t, (mt_str){blob->data, blob->bytes}, &map, err));
    }
    t->model_name = "Unigram";
    t->segmenter = &mt_segmenter_unigram;
    t->unigram.fuse = true;
    t->mark = mt_str_of(MT_MARK);
    *eos = true;
    mt_norm *s = mt_tok_add_norm(t, MT_NORM_SPM, err);
    if (!s) return MT_ENOMEM;
    s->map = map;
    s->prefix = prefix;
    s->squeeze = squeeze;
    mt_decoder *d = mt_tok_add_decoder(t, MT_DECODE_SPM, err);
    if (!d) return MT_ENOMEM;
    d->prefix = prefix || squeeze;
    d->stop = squeeze;
    d->extra = mt_str_of(" \xE2\x81\x87 ");
    return MT_OK;
}

static mt_status load(const mt_gguf *g, mt_tok *t, mt_error *err) {
    mt_str model;
    bool bos = false, eos = false, flag;
    char shown[60];
    if (!mt_gguf_string(g, "tokenizer.ggml.model", &model))
        return mt_fail(err, MT_EMISSING, "the file has no tokenizer.ggml.model");
    MT_TRY(read_tokens(g, t, err));
    MT_TRY(role(g, "tokenizer.ggml.bos_token_id", t->vocab.size, &t->bos, err));
    MT_TRY(role(g, "tokenizer.ggml.eos_token_id", t->vocab.size, &t->eos, err));
    MT_TRY(role(g, "tokenizer.ggml.unknown_token_id", t->vocab.size, &t->unk, err));
    t->added_raw = true;
    if (mt_str_is(model, "gpt2"))
        MT_TRY(load_gpt2(g, t, &bos, err));
    else if (mt_str_is(model, "llama"))
        MT_TRY(load_llama(g, t, &bos, err));
    else if (mt_str_is(model, "bert"))
        MT_TRY(load_bert(g, t, &bos, &eos, err));
    else if (mt_str_is(model, "t5"))
        MT_TRY(load_t5(g, t, &eos, err));
    else if (mt_str_is(model, "rwkv")) {
        MT_TRY(mt_tok_rwkv_unescape(t, err));
        MT_TRY(mt_tok_rwkv_end(t, err));
    } else
        return mt_fail(err, MT_EUNKNOWN, "tokenizer.ggml.model \"%s\" (known: gpt2 llama bert t5 rwkv)",
                       mt_str_show(model, shown, sizeof shown));
    if (mt_gguf_bool(g, "tokenizer.ggml.add_bos_token", &flag)) bos = flag;
    if (mt_gguf_bool(g, "tokenizer.ggml.add_eos_token", &flag)) eos = flag;
    MT_TRY(mt_template_around(&t->one, bos ? t->bos : -1, eos ? t->eos : -1, err));
    MT_TRY(mt_template_settle(t, t->segmenter == &mt_segmenter_wordpiece, err));
    return mt_tok_finish(t, err);
}

/* The definition that the tokens come from, whole: it says more than the keys can. */
static mt_status load_definition(const mt_gguf *g, mt_str json, mt_tok **out, mt_error *err) {
    int32_t bos, eos, unk;
    MT_TRY(mt_tok_load_json(json.p, json.n, out, err));
    mt_tok *t = *out;
    mt_status status = role(g, "tokenizer.ggml.bos_token_id", t->vocab.size, &bos, err);
    if (status == MT_OK) status = role(g, "tokenizer.ggml.eos_token_id", t->vocab.size, &eos, err);
    if (status == MT_OK) status = role(g, "tokenizer.ggml.unknown_token_id", t->vocab.size, &unk, err);
    if (status != MT_OK) {
        mt_tok_free(t);
        *out = NULL;
        return status;
    }
    if (bos >= 0) t->bos = bos;
    if (eos >= 0) t->eos = eos;
    if (unk >= 0 && t->unk < 0) t->unk = unk;
    bool before = false, after = false;
    mt_gguf_bool(g, "tokenizer.ggml.add_bos_token", &before);
    mt_gguf_bool(g, "tokenizer.ggml.add_eos_token", &after);
    if (t->one.len > 1 || !(before || after))
        return MT_OK; /* the keys say what surrounds a text if the definition does not */
    t->one.len = t->two.len = 0;
    t->one.set = t->two.set = false;
    status = mt_template_around(&t->one, before ? t->bos : -1, after ? t->eos : -1, err);
    if (status == MT_OK) status = mt_template_settle(t, false, err);
    if (status != MT_OK) {
        mt_tok_free(t);
        *out = NULL;
    }
    return status;
}

mt_status mt_tok_load_gguf(const mt_gguf *g, mt_tok **out, mt_error *err) {
    mt_tok *t;
    mt_str json;
    *out = NULL;
    if (mt_gguf_string(g, "tokenizer.huggingface.json", &json)) {
        mt_status status = load_definition(g, json, out, err);
        /* One with parts that we do not know: the keys may do. */
        if (status == MT_OK || status == MT_ENOMEM || !mt_gguf_find(g, "tokenizer.ggml.tokens")) return status;
    }
    MT_TRY(mt_tok_new(&t, err));
    mt_status status = load(g, t, err);
    if (status != MT_OK) {
        mt_tok_free(t);
        return status;
    }
    *out = t;
    return MT_OK;
}
