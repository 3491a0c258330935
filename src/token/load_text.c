/* Definitions that are little more than a list: vocab.txt (BERT), vocab.json + merges.txt (GPT-2), RWKV's world
 * vocabulary, llama2.c's binary list, and the schemes that need no file (ByT5, CANINE). */
#include <stdio.h>

#include "../base/json.h"
#include "tok.h"

typedef mt_status (*fill)(mt_tok *t, const uint8_t *p, size_t n, const mt_load_options *o, mt_error *err);

static mt_status build(fill f, const uint8_t *p, size_t n, const mt_load_options *o, mt_tok **out, mt_error *err) {
    mt_tok *t;
    *out = NULL;
    MT_TRY(mt_tok_new(&t, err));
    mt_status status = f(t, p, n, o, err);
    if (status == MT_OK) status = mt_tok_finish(t, err);
    if (status != MT_OK) {
        mt_tok_free(t);
        return status;
    }
    *out = t;
    return MT_OK;
}

/* One piece; text matches it. */
static mt_status add_piece(mt_tok *t, int64_t id, mt_str piece, mt_error *err) {
    MT_TRY(mt_vocab_set_piece(&t->vocab, id, piece, err));
    t->vocab.flags[id] = MT_IN_MODEL | MT_MATCHES;
    return mt_vocab_index_piece(&t->vocab, (int32_t)id, true, err);
}

/* Makes an existing piece special: found in text, skipped by decoding. */
static mt_status make_special(mt_tok *t, const char *piece, int32_t *id, mt_error *err) {
    int32_t found = mt_vocab_find_piece(&t->vocab, mt_str_of(piece));
    if (id) *id = found;
    if (found < 0) return MT_OK;
    mt_added *a = mt_tok_add_added(t, err);
    if (!a) return MT_ENOMEM;
    *a = (mt_added){.id = found, .special = true};
    t->vocab.kind[found] = MT_TOKEN_SPECIAL;
    t->vocab.flags[found] |= MT_IN_ADDED | MT_IS_SPECIAL;
    return mt_tok_copy(t, mt_str_of(piece), &a->content, err);
}

/* The next line, without its end; false at the end of the file. */
static bool next_line(const uint8_t *p, size_t n, size_t *at, mt_str *line) {
    if (*at >= n) return false;
    const uint8_t *nl = memchr(p + *at, '\n', n - *at);
    size_t end = nl ? (size_t)(nl - p) : n;
    *line = (mt_str){p + *at, end - *at};
    if (line->n && line->p[line->n - 1] == '\r') line->n--;
    *at = end + 1;
    return true;
}

static mt_status unknown_file(uint64_t at, const char *why, mt_error *err) {
    return mt_fail_at(err, MT_EUNKNOWN, at,
                      "not a tokenizer file that we know (tokenizer.json, GGUF, SentencePiece .model, tiktoken ranks, "
                      "vocab.txt, vocab.json + merges.txt, RWKV vocabulary, llama2.c vocabulary): %s",
                      why);
}

/* ---- vocab.txt ---- */

mt_status mt_tok_bert_steps(mt_tok *t, bool lower, mt_error *err) {
    static const mt_norm_kind kinds[] = {MT_NORM_BERT_CLEAN, MT_NORM_BERT_CJK, MT_NORM_FORM, MT_NORM_DROP_NONSPACING,
                                         MT_NORM_LOWER};
    for (size_t i = 0; i < (lower ? 5 : 2); i++) {
        mt_norm *s = mt_tok_add_norm(t, kinds[i], err);
        if (!s) return MT_ENOMEM;
        s->form = MT_NFD;
    }
    mt_split *s = mt_tok_add_split(t, MT_SPLIT_SPACES, err);
    if (s) s = mt_tok_add_split(t, MT_SPLIT_PUNCTUATION, err);
    if (!s) return MT_ENOMEM;
    s->behavior = MT_SPLIT_ISOLATED;
    mt_decoder *d = mt_tok_add_decoder(t, MT_DECODE_WORDPIECE, err);
    if (!d) return MT_ENOMEM;
    d->content = mt_str_of("##");
    d->cleanup = true;
    t->model_name = "WordPiece";
    t->segmenter = &mt_segmenter_wordpiece;
    t->word_prefix = mt_str_of("##");
    t->wordpiece.max_chars = 100;
    return MT_OK;
}

/* Lower-casing is not written in the file: a vocabulary without capital letters (special tokens aside) was made with
 * it. */
static mt_status fill_vocab_txt(mt_tok *t, const uint8_t *p, size_t n, const mt_load_options *o, mt_error *err) {
    mt_str line;
    bool capitals = false;
    int64_t id = 0;
    MT_TRY(mt_vocab_reserve(&t->vocab, 1024, n, err));
    for (size_t at = 0; next_line(p, n, &at, &line); id++) {
        while (line.n && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t')) line.n--;
        MT_TRY(add_piece(t, id, line, err));
        if (line.n && line.p[0] == '[') continue;
        for (size_t i = 0; i < line.n; i++) capitals |= line.p[i] >= 'A' && line.p[i] <= 'Z';
    }
    static const char *const names[] = {"[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]"};
    int32_t ids[5];
    for (int i = 0; i < 5; i++) MT_TRY(make_special(t, names[i], &ids[i], err));
    if (ids[4] < 0) return unknown_file(MT_NOWHERE, "it is text, and a vocab.txt has [UNK]", err);
    t->unk = ids[4];
    t->bos = ids[1];
    t->eos = ids[2];
    MT_TRY(mt_template_around(&t->one, t->bos, t->eos, err));
    MT_TRY(mt_template_settle(t, true, err));
    return mt_tok_bert_steps(t, o->lowercase < 0 ? !capitals : o->lowercase > 0, err);
}

/* ---- vocab.json + merges.txt ---- */

static mt_status fill_vocab_merges(mt_tok *t, const uint8_t *p, size_t n, const mt_load_options *o, mt_error *err) {
    mt_json j;
    mt_str key, line;
    mt_status status = MT_OK;
    MT_TRY(mt_vocab_reserve(&t->vocab, 1024, n / 2, err));
    mt_json_open(&j, p, n, err);
    mt_json_object(&j);
    while (status == MT_OK && mt_json_key(&j, &key)) {
        int64_t id = mt_json_int(&j);
        if (j.status == MT_OK) status = add_piece(t, id, key, err);
    }
    mt_status closed = mt_json_close(&j);
    MT_TRY(status);
    MT_TRY(closed);
    uint32_t rank = 0;
    size_t number = 0;
    for (size_t at = 0; next_line(o->merges.p, o->merges.n, &at, &line);) {
        number++;
        if (!line.n || (number == 1 && line.n > 8 && memcmp(line.p, "#version", 8) == 0)) continue;
        const uint8_t *space = memchr(line.p, ' ', line.n);
        if (!space) return mt_fail(err, MT_EFORMAT, "merges, line %zu: expected two pieces", number);
        mt_str a = {line.p, (size_t)(space - line.p)}, b = {space + 1, line.n - (size_t)(space - line.p) - 1};
        t->scratch.len = 0;
        MT_TRY(mt_buf_add(&t->scratch, a.p, a.n, err));
        MT_TRY(mt_buf_add(&t->scratch, b.p, b.n, err));
        int32_t left = mt_vocab_find_piece(&t->vocab, a), right = mt_vocab_find_piece(&t->vocab, b);
        int32_t made = mt_vocab_find_piece(&t->vocab, (mt_str){t->scratch.data, t->scratch.len});
        char shown[80];
        if (left < 0 || right < 0 || made < 0)
            return mt_fail(err, MT_EMISSING, "merges, line %zu, \"%s\": not in the vocabulary", number,
                           mt_str_show(line, shown, sizeof shown));
        MT_TRY(mt_bpe_add_pair(&t->bpe, left, right, rank++, made, err));
    }
    mt_pattern re;
    MT_TRY(mt_tok_regex(t, o->pattern.n ? o->pattern : mt_str_of(MT_PATTERN_GPT2), &re, err));
    mt_split *s = mt_tok_add_split(t, MT_SPLIT_PATTERN, err);
    if (!s) return MT_ENOMEM;
    s->pattern = re;
    s->behavior = MT_SPLIT_ISOLATED;
    MT_TRY(make_special(t, "<|endoftext|>", &t->eos, err));
    t->bos = t->eos;
    t->model_name = "BPE";
    t->segmenter = &mt_segmenter_bpe;
    t->byte_level = t->bpe.base_bytes = true;
    return mt_tok_add_decoder(t, MT_DECODE_BYTES, err) ? MT_OK : MT_ENOMEM;
}

/* ---- RWKV world: "id literal length", the literal in Python's notation ---- */

static int hex(mt_str s, size_t at, int digits, uint32_t *out) {
    *out = 0;
    if (s.n - at < (size_t)digits) return 0;
    for (int i = 0; i < digits; i++) {
        uint8_t c = s.p[at + (size_t)i];
        int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (d < 0) return 0;
        *out = *out << 4 | (uint32_t)d;
    }
    return digits;
}

/* Backslash escapes of a Python string (raw: of bytes, where \xHH is a byte). */
static mt_status unescape(mt_str s, bool raw, mt_buf *out, bool *good, mt_error *err) {
    *good = true;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '\\' || i + 1 == s.n) {
            MT_TRY(mt_buf_byte(out, s.p[i], err));
            continue;
        }
        uint8_t c = s.p[++i], four[4];
        uint32_t v = 0;
        int digits = c == 'x' ? 2 : c == 'u' && !raw ? 4 : c == 'U' && !raw ? 8 : 0;
        if (digits) {
            if (!hex(s, i + 1, digits, &v)) {
                *good = false;
                return MT_OK;
            }
            i += (size_t)digits;
            if (raw)
                MT_TRY(mt_buf_byte(out, (uint8_t)v, err));
            else
                MT_TRY(mt_buf_add(out, four, (size_t)mt_utf8_encode(v, four), err));
            continue;
        }
        MT_TRY(mt_buf_byte(out, c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c, err));
    }
    return MT_OK;
}

mt_status mt_tok_rwkv_end(mt_tok *t, mt_error *err) { /* id 0 ends a text */
    MT_TRY(mt_vocab_extend(&t->vocab, 0, err));
    if (t->vocab.kind[0] == MT_TOKEN_HOLE) {
        MT_TRY(mt_vocab_set_piece(&t->vocab, 0, mt_str_of("<|endoftext|>"), err));
        MT_TRY(mt_vocab_index_piece(&t->vocab, 0, false, err));
    }
    t->vocab.kind[0] = MT_TOKEN_SPECIAL;
    t->vocab.flags[0] = MT_IS_SPECIAL;
    t->bos = t->eos = 0;
    t->model_name = "longest match";
    t->segmenter = &mt_segmenter_greedy;
    return mt_tok_add_decoder(t, MT_DECODE_BYTES, err) ? MT_OK : MT_ENOMEM;
}

static mt_status fill_rwkv(mt_tok *t, const uint8_t *p, size_t n, const mt_load_options *o, mt_error *err) {
    (void)o;
    mt_str line;
    size_t number = 1;
    mt_buf *b = &t->scratch;
    MT_TRY(mt_vocab_reserve(&t->vocab, 1024, n, err));
    for (size_t at = 0; next_line(p, n, &at, &line); number++) {
        if (!line.n) continue;
        size_t from = 0, to = line.n;
        int64_t id = 0, length = 0;
        while (from < line.n && line.p[from] >= '0' && line.p[from] <= '9' && id < MT_MAX_TOKENS)
            id = id * 10 + (line.p[from++] - '0');
        while (to && line.p[to - 1] >= '0' && line.p[to - 1] <= '9') to--;
        for (size_t i = to; i < line.n && length < MT_MAX_TOKENS; i++) length = length * 10 + (line.p[i] - '0');
        bool good = from && from + 1 < to && line.p[from] == ' ' && line.p[to - 1] == ' ';
        mt_str s = good ? (mt_str){line.p + from + 1, to - from - 2} : mt_str_of("");
        bool raw = s.n && s.p[0] == 'b';
        if (raw) s.p++, s.n--;
        good = good && s.n >= 2 && (s.p[0] == '\'' || s.p[0] == '"') && s.p[s.n - 1] == s.p[0];
        b->len = 0;
        if (good) MT_TRY(unescape((mt_str){s.p + 1, s.n - 2}, raw, b, &good, err));
        if (!good || (int64_t)b->len != length)
            return mt_fail(err, MT_EFORMAT, "RWKV vocabulary, line %zu: expected \"id 'literal' length\"", number);
        MT_TRY(add_piece(t, id, (mt_str){b->data, b->len}, err));
    }
    return mt_tok_rwkv_end(t, err);
}

/* Tokens of RWKV in GGUF: the same escapes, without quotes. */
mt_status mt_tok_rwkv_unescape(mt_tok *t, mt_error *err) {
    for (int32_t id = 0; id < t->vocab.size; id++) {
        if (t->vocab.kind[id] != MT_TOKEN_NORMAL) continue;
        mt_str s = mt_vocab_piece(&t->vocab, id);
        bool good;
        if (!memchr(s.p, '\\', s.n)) continue;
        t->scratch.len = 0;
        MT_TRY(unescape(s, true, &t->scratch, &good, err));
        if (good) MT_TRY(mt_vocab_set_bytes(&t->vocab, id, t->scratch.data, t->scratch.len, err));
    }
    return MT_OK;
}

/* ---- llama2.c: i32 longest, then for each token f32 score, i32 length, bytes ---- */

static mt_status fill_llama2c(mt_tok *t, const uint8_t *p, size_t n, const mt_load_options *o, mt_error *err) {
    (void)o;
    mt_vocab *v = &t->vocab;
    MT_TRY(mt_vocab_reserve(v, 1024, n, err));
    v->score = mt_array(v->capacity, sizeof *v->score);
    if (!v->score) return mt_nomem(err, v->capacity * sizeof *v->score, "scores");
    for (size_t at = 4; at < n;) {
        uint32_t length = n - at >= 8 ? mt_le32(p + at + 4) : UINT32_MAX;
        float score;
        if (n - at < 8 || length > n - at - 8)
            return mt_fail_at(err, MT_EFORMAT, at, "llama2.c vocabulary: token %d is cut off", v->size);
        memcpy(&score, p + at, 4);
        int32_t id = v->size;
        MT_TRY(add_piece(t, id, (mt_str){p + at + 8, length}, err));
        v->score[id] = score;
        at += 8 + length;
    }
    static const mt_token_kind kinds[] = {MT_TOKEN_UNKNOWN, MT_TOKEN_SPECIAL, MT_TOKEN_SPECIAL};
    for (int32_t id = 0; id < 3 && id < v->size; id++) {
        v->kind[id] = (uint8_t)kinds[id];
        v->flags[id] = MT_IN_MODEL | MT_IS_SPECIAL;
    }
    if (v->size < 3) return mt_fail(err, MT_EFORMAT, "llama2.c vocabulary of %d tokens", v->size);
    t->unk = 0;
    t->bos = 1;
    t->eos = 2;
    MT_TRY(mt_template_around(&t->one, 1, -1, err));
    t->byte_fallback = true;
    MT_TRY(mt_tok_find_byte_tokens(t, err));
    MT_TRY(mt_tok_rank_by_score(t, err));
    t->model_name = "SentencePiece BPE";
    t->segmenter = &mt_segmenter_bpe;
    mt_norm *s = mt_tok_add_norm(t, MT_NORM_PREPEND, err);
    if (!s) return MT_ENOMEM;
    s->content = mt_str_of(" ");
    mt_decoder *d = mt_tok_add_decoder(t, MT_DECODE_SPM, err);
    if (!d) return MT_ENOMEM;
    d->prefix = d->cleanup = true;
    d->extra = mt_str_of("<unk>");
    return MT_OK;
}

/* ---- without a file ---- */

static mt_status add_special(mt_tok *t, int64_t id, const char *text, mt_error *err) {
    MT_TRY(mt_vocab_set_piece(&t->vocab, id, mt_str_of(text), err));
    MT_TRY(mt_vocab_index_piece(&t->vocab, (int32_t)id, false, err));
    return make_special(t, text, NULL, err);
}

static mt_status fill_byt5(mt_tok *t, const uint8_t *p, size_t n, const mt_load_options *o, mt_error *err) {
    (void)p, (void)n, (void)o;
    t->special_is_text = true; /* as its authors write: sentinels in a text are text */
    MT_TRY(add_special(t, 0, "<pad>", err));
    MT_TRY(add_special(t, 1, "</s>", err));
    MT_TRY(add_special(t, 2, "<unk>", err));
    t->vocab.kind[2] = MT_TOKEN_UNKNOWN;
    for (int b = 0; b < 256; b++) {
        uint8_t byte = (uint8_t)b;
        MT_TRY(mt_vocab_set_piece(&t->vocab, b + 3, (mt_str){&byte, 1}, err));
        t->vocab.flags[b + 3] = MT_IN_MODEL;
        t->vocab.kind[b + 3] = MT_TOKEN_BYTE;
    }
    for (int i = 0; i < 125; i++) {
        char name[24];
        snprintf(name, sizeof name, "<extra_id_%d>", i);
        MT_TRY(add_special(t, 259 + i, name, err));
    }
    t->unk = 2;
    t->eos = 1;
    t->id_offset = 3;
    MT_TRY(mt_template_around(&t->one, -1, 1, err));
    t->model_name = "bytes";
    t->segmenter = &mt_segmenter_characters;
    return mt_tok_add_decoder(t, MT_DECODE_BYTES, err) ? MT_OK : MT_ENOMEM;
}

static mt_status fill_canine(mt_tok *t, const uint8_t *p, size_t n, const mt_load_options *o, mt_error *err) {
    (void)p, (void)n, (void)o;
    MT_TRY(mt_vocab_reserve(&t->vocab, 0x110000, 0x110000 * 4, err));
    for (uint32_t c = 0; c < 0x110000; c++) {
        uint8_t b[4];
        if (c >= 0xD800 && c < 0xE000) continue;
        MT_TRY(mt_vocab_set_piece(&t->vocab, c, (mt_str){b, (size_t)mt_utf8_encode(c, b)}, err));
        t->vocab.flags[c] = MT_IN_MODEL;
    }
    static const int32_t special[] = {0, 0xE000, 0xE001, 0xE002, 0xE003, 0xE004}; /* pad cls sep bos mask reserved */
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        t->vocab.kind[special[i]] = MT_TOKEN_SPECIAL;
        t->vocab.flags[special[i]] |= MT_IS_SPECIAL;
    }
    t->bos = 0xE000;
    t->eos = 0xE001;
    t->code_points = true;
    MT_TRY(mt_template_around(&t->one, t->bos, t->eos, err));
    MT_TRY(mt_template_settle(t, true, err));
    t->model_name = "code points";
    t->segmenter = &mt_segmenter_characters;
    return mt_tok_add_decoder(t, MT_DECODE_BYTES, err) ? MT_OK : MT_ENOMEM;
}

/* ---- which of them ---- */

static bool name_has(mt_str name, const char *word) {
    size_t k = strlen(word);
    for (size_t i = 0; i + k <= name.n; i++) {
        size_t m = 0;
        while (m < k && (name.p[i + m] | 32) == word[m]) m++;
        if (m == k) return true;
    }
    return false;
}

static bool looks_like_ranks(const uint8_t *p, size_t n) {
    size_t i = 0;
    while (i < n && i < 400 &&
           ((p[i] | 32) >= 'a' ? (p[i] | 32) <= 'z' : (p[i] >= '0' && p[i] <= '9') || p[i] == '+' || p[i] == '/'))
        i++;
    while (i < n && p[i] == '=') i++;
    if (!i || i >= n || p[i] != ' ') return false;
    size_t digits = ++i;
    while (i < n && p[i] >= '0' && p[i] <= '9') i++;
    return i > digits && (i == n || p[i] == '\n' || p[i] == '\r');
}

static bool looks_like_rwkv(const uint8_t *p, size_t n) {
    size_t i = 0;
    while (i < n && p[i] >= '0' && p[i] <= '9') i++;
    if (!i || i + 2 >= n || p[i] != ' ') return false;
    i++;
    if (p[i] == 'b') i++;
    return p[i] == '\'' || p[i] == '"';
}

static bool looks_like_llama2c(const uint8_t *p, size_t n) {
    if (n < 12) return false;
    uint32_t longest = mt_le32(p), length = mt_le32(p + 8);
    return longest && longest < 65536 && length <= longest && n - 12 >= length;
}

/* tokenizer.json has a "model"; a vocabulary maps pieces to numbers. */
static bool looks_like_vocab_json(const uint8_t *p, size_t n) {
    mt_json j;
    mt_str key;
    mt_error quiet;
    bool number = false;
    mt_json_open(&j, p, n, &quiet);
    if (mt_json_object(&j) == MT_OK && mt_json_key(&j, &key)) number = mt_json_peek(&j) == MT_JSON_NUMBER;
    mt_arena_free(&j.arena);
    return number;
}

mt_status mt_tok_load(const uint8_t *p, size_t n, const mt_load_options *options, mt_tok **out, mt_error *err) {
    static const mt_load_options none = {.lowercase = -1};
    const mt_load_options *o = options ? options : &none;
    size_t i = 0;
    *out = NULL;
    if (!n && name_has(o->name, "byt5")) return build(fill_byt5, p, n, o, out, err);
    if (!n && name_has(o->name, "canine")) return build(fill_canine, p, n, o, out, err);
    if (!n) return mt_fail(err, MT_EFORMAT, "an empty tokenizer file (without a file: byt5, canine)");
    if (mt_tok_is_binary(p, n)) {
        uint8_t *own = mt_malloc(n);
        if (!own) return mt_nomem(err, n, "a binary tokenizer");
        memcpy(own, p, n);
        return mt_tok_from_binary(own, n, out, err);
    }
    if (n >= 4 && memcmp(p, "GGUF", 4) == 0) {
        mt_gguf g;
        size_t need;
        mt_status status = mt_gguf_parse(&g, p, n, n, &need, err);
        if (status == MT_OK && need) status = mt_fail(err, MT_EFORMAT, "the GGUF header is not complete");
        if (status == MT_OK) status = mt_tok_load_gguf(&g, out, err);
        mt_gguf_free(&g);
        return status;
    }
    if (n >= 3 && p[0] == 0xEF && p[1] == 0xBB && p[2] == 0xBF) i = 3;
    while (i < n && (p[i] == ' ' || p[i] == '\n' || p[i] == '\r' || p[i] == '\t')) i++;
    if (i < n && p[i] == '{') {
        if (!looks_like_vocab_json(p, n)) return mt_tok_load_json(p, n, out, err);
        if (!o->merges.n) return mt_fail(err, MT_EMISSING, "vocab.json needs its merges.txt");
        return build(fill_vocab_merges, p, n, o, out, err);
    }
    if (looks_like_ranks(p, n)) return mt_tok_load_ranks(p, n, o->name, o->pattern, out, err);
    if (looks_like_rwkv(p, n)) return build(fill_rwkv, p, n, o, out, err);
    if (p[0] == 0x0A && n > 2 && !name_has(o->name, ".txt")) return mt_tok_load_spm(p, n, out, err);
    if (looks_like_llama2c(p, n)) return build(fill_llama2c, p, n, o, out, err);
    for (size_t at = 0, k = 0; at < n; at += k) { /* text without control characters: a list of pieces */
        uint32_t c;
        k = (size_t)mt_utf8_decode(p + at, n - at, &c);
        if (!k || (c < 32 && c != '\n' && c != '\r' && c != '\t')) return unknown_file(at, "it is not text here", err);
    }
    return build(fill_vocab_txt, p, n, o, out, err);
}
