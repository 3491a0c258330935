/* The tokenizer object: building blocks for loaders, finishing, and the plain accessors of token.h. */
#include "tok.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- building ---- */

mt_status mt_tok_new(mt_tok **out, mt_error *err) {
    mt_tok *t = mt_calloc(1, sizeof *t);
    if (!t) return mt_nomem(err, sizeof *t, "a tokenizer");
    t->unk = t->bos = t->eos = -1;
    for (int b = 0; b < 256; b++) t->byte_token[b] = -1;
    t->mark = t->word_prefix = t->word_suffix = mt_str_of("");
    t->model_name = "";
    *out = t;
    return MT_OK;
}

void mt_tok_free(mt_tok *t) {
    if (!t) return;
    mt_binary_let_go(t);
    if (t->segmenter && t->segmenter->free) t->segmenter->free(t);
    for (size_t i = 0; i < t->split_len; i++) mt_made_free(&t->split[i].made);
    for (size_t i = 0; i < t->norm_len; i++) mt_char_map_free(t->norm[i].chars);
    for (size_t i = 0; i < t->owned_len; i++) mt_regex_free(t->owned[i]);
    mt_free(t->owned);
    mt_free(t->norm);
    mt_free(t->split);
    mt_free(t->decoder);
    mt_free(t->added);
    mt_added_free(&t->raw_set);
    mt_added_free(&t->normal_set);
    mt_added_free(&t->raw_allowed);
    mt_added_free(&t->normal_allowed);
    mt_added_free(&t->user_set);
    mt_tok_free_matcher(t);
    mt_free(t->one.item);
    mt_free(t->two.item);
    mt_ids_free(&t->ranges);
    mt_buf_free(&t->warnings);
    mt_buf_free(&t->scratch);
    mt_made_free(&t->work[0]);
    mt_made_free(&t->work[1]);
    mt_free_aligned(t->memo);
    mt_free(t->edges);
    mt_char_classes_free(t->classes);
    mt_bpe_free(&t->bpe);
    mt_picky_drop(t);
    mt_vocab_free(&t->vocab);
    mt_arena_free(&t->arena);
    mt_free(t->blob);
    mt_free(t);
}

/* A zeroed new element at the end of a growing list. */
static void *append(void **list, size_t *len, size_t *cap, size_t size, mt_error *err) {
    if (mt_grow(list, cap, *len + 1, size, err) != MT_OK) return NULL;
    void *p = (uint8_t *)*list + (*len)++ * size;
    memset(p, 0, size);
    return p;
}

/* Steps run one inside the other: their number is bounded, and so is the stack. Definitions have a handful. */
enum { STEPS_MOST = 64 };
static bool too_many(size_t steps, mt_error *err) {
    if (steps < STEPS_MOST) return false;
    mt_fail(err, MT_ELIMIT, "more than %d steps of one kind", STEPS_MOST);
    return true;
}

mt_norm *mt_tok_add_norm(mt_tok *t, mt_norm_kind kind, mt_error *err) {
    if (too_many(t->norm_len, err)) return NULL;
    mt_norm *s = append((void **)&t->norm, &t->norm_len, &t->norm_cap, sizeof *s, err);
    if (s) s->kind = kind;
    return s;
}
mt_split *mt_tok_add_split(mt_tok *t, mt_split_kind kind, mt_error *err) {
    if (too_many(t->split_len, err)) return NULL;
    mt_split *s = append((void **)&t->split, &t->split_len, &t->split_cap, sizeof *s, err);
    if (s) s->kind = kind;
    return s;
}
mt_decoder *mt_tok_add_decoder(mt_tok *t, mt_decode_kind kind, mt_error *err) {
    if (too_many(t->decoder_len, err)) return NULL;
    mt_decoder *s = append((void **)&t->decoder, &t->decoder_len, &t->decoder_cap, sizeof *s, err);
    if (s) s->kind = kind;
    return s;
}
mt_added *mt_tok_add_added(mt_tok *t, mt_error *err) {
    return append((void **)&t->added, &t->added_len, &t->added_cap, sizeof(mt_added), err);
}

mt_status mt_tok_copy(mt_tok *t, mt_str s, mt_str *out, mt_error *err) {
    uint8_t *p = mt_arena_copy(&t->arena, s.p, s.n);
    if (!p) return mt_nomem(err, s.n, "a string");
    *out = (mt_str){p, s.n};
    return MT_OK;
}

mt_status mt_tok_literal(mt_tok *t, mt_str s, mt_pattern *out, mt_error *err) {
    out->regex = NULL;
    return mt_tok_copy(t, s, &out->text, err);
}

mt_status mt_tok_regex(mt_tok *t, mt_str s, mt_pattern *out, mt_error *err) {
    MT_TRY(mt_tok_copy(t, s, &out->text, err));
    mt_regex **slot = append((void **)&t->owned, &t->owned_len, &t->owned_cap, sizeof *slot, err);
    if (!slot) return MT_ENOMEM;
    MT_TRY(mt_regex_compile(out->text, slot, err));
    out->regex = *slot;
    return MT_OK;
}

mt_status mt_tok_warn(mt_tok *t, mt_error *err, const char *format, ...) {
    char line[256];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    MT_TRY(mt_buf_add(&t->warnings, line, strlen(line), err));
    MT_TRY(mt_buf_add(&t->warnings, "\n", 2, err)); /* with the terminator, which the next line overwrites */
    t->warnings.len--;
    return MT_OK;
}

mt_status mt_tok_find_byte_tokens(mt_tok *t, mt_error *err) {
    t->byte_tokens = true;
    for (int b = 0; b < 256; b++) {
        char piece[8];
        snprintf(piece, sizeof piece, "<0x%02X>", (unsigned)b);
        int32_t id = t->byte_token[b] = mt_vocab_find_piece(&t->vocab, mt_str_of(piece));
        if (id < 0) {
            t->byte_tokens = false;
            continue;
        }
        uint8_t byte = (uint8_t)b;
        MT_TRY(mt_vocab_set_bytes(&t->vocab, id, &byte, 1, err));
        t->vocab.kind[id] = MT_TOKEN_BYTE;
        t->vocab.flags[id] &= (uint8_t)~MT_MATCHES;
    }
    return MT_OK;
}

/* ---- finishing ---- */

/* Off with the byte alphabet. Text never looks like a piece that is not in it, which stands for itself. */
static mt_status spell_bytes(mt_tok *t, int32_t id, mt_str s, mt_error *err) {
    mt_vocab *v = &t->vocab;
    mt_buf *b = &t->scratch;
    size_t same = 0;
    while (same < s.n && s.p[same] > 32 && s.p[same] < 127) same++;
    if (same == s.n) return MT_OK;
    b->len = 0;
    MT_TRY(mt_buf_reserve(b, s.n, err));
    for (size_t i = 0, k; i < s.n; i += k) {
        uint32_t c = s.p[i];
        k = c < 0x80 ? 1 : (size_t)mt_utf8_decode(s.p + i, s.n - i, &c);
        int byte = k ? mt_char_to_byte(c) : -1;
        if (byte < 0) {
            v->flags[id] &= (uint8_t)~MT_MATCHES;
            return MT_OK;
        }
        b->data[b->len++] = (uint8_t)byte;
    }
    return mt_vocab_set_bytes(v, id, b->data, b->len, err);
}

/* Off with the space mark; real spaces are marks by then. */
static mt_status spell_spaces(mt_tok *t, int32_t id, mt_str s, mt_error *err) {
    mt_vocab *v = &t->vocab;
    mt_buf *b = &t->scratch;
    mt_str mark = t->mark;
    bool marked = false;
    b->len = 0;
    MT_TRY(mt_buf_reserve(b, s.n, err));
    for (size_t i = 0; i < s.n;) {
        uint8_t c = s.p[i];
        bool is_mark = c == mark.p[0] && s.n - i >= mark.n && mt_same_bytes(s.p + i, mark.p, mark.n);
        if (c == ' ') v->flags[id] &= (uint8_t)~MT_MATCHES;
        marked |= is_mark;
        b->data[b->len++] = is_mark ? ' ' : c;
        i += is_mark ? mark.n : 1;
    }
    return marked ? mt_vocab_set_bytes(v, id, b->data, b->len, err) : MT_OK;
}

/* Piece -> bytes. */
static mt_status spell(void *user, size_t from, size_t to, mt_error *err) {
    mt_tok *t = user;
    mt_vocab *v = &t->vocab;
    for (size_t i = from; i < to; i++) {
        int32_t id = (int32_t)i;
        if (v->kind[id] == MT_TOKEN_HOLE || v->kind[id] == MT_TOKEN_BYTE) continue;
        if (t->added_raw && v->flags[id] & MT_IN_ADDED) continue;
        mt_str s = mt_vocab_piece(v, id);
        if (t->byte_level)
            MT_TRY(spell_bytes(t, id, s, err));
        else if (t->mark.n)
            MT_TRY(spell_spaces(t, id, s, err));
    }
    return MT_OK;
}

/* allowed: by id, whether a special token is in; NULL: all are. */
static mt_status build_added_sets(mt_tok *t, const uint8_t *allowed, mt_added_set *raw, mt_added_set *normal,
                                  mt_error *err) {
    /* special ones first: of equal contents the first is matched */
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < t->added_len; i++) {
            mt_added *a = &t->added[i];
            if (a->special != (pass == 0) || (a->special && allowed && !allowed[a->id])) continue;
            if (!a->normalized) {
                MT_TRY(mt_added_insert(raw, a->content, (int32_t)i, err));
                continue;
            }
            mt_view v;
            MT_TRY(mt_normalize_view(t, (mt_view){a->content.p, a->content.n, NULL, 0}, &v, err));
            MT_TRY(mt_added_insert(normal, (mt_str){v.p, v.n}, (int32_t)i, err));
        }
    return MT_OK;
}

mt_status mt_tok_allow(mt_tok *t, const int32_t *ids, size_t count, mt_error *err) {
    uint8_t *allowed = mt_calloc((size_t)t->vocab.size, 1);
    if (!allowed) return mt_nomem(err, (size_t)t->vocab.size, "the special tokens that are allowed");
    mt_status status = MT_OK;
    for (size_t i = 0; i < t->added_len; i++)
        if (t->added[i].special) allowed[t->added[i].id] = 2;
    for (size_t i = 0; i < count && status == MT_OK; i++) {
        if (ids[i] < 0 || ids[i] >= t->vocab.size || !allowed[ids[i]])
            status = mt_fail(err, MT_ERANGE, "token id %d is no special token that a text can spell", ids[i]);
        else
            allowed[ids[i]] = 1;
    }
    for (int32_t id = 0; id < t->vocab.size; id++) allowed[id] &= 1;
    mt_added_free(&t->raw_allowed);
    mt_added_free(&t->normal_allowed);
    if (status == MT_OK) status = build_added_sets(t, allowed, &t->raw_allowed, &t->normal_allowed, err);
    if (status != MT_OK) {
        mt_added_free(&t->raw_allowed);
        mt_added_free(&t->normal_allowed);
    }
    mt_free(allowed);
    return status;
}

mt_status mt_tok_special_ids(const mt_tok *t, mt_ids *out, mt_error *err) {
    for (size_t i = 0; i < t->added_len; i++)
        if (t->added[i].special) MT_TRY(mt_ids_add(out, t->added[i].id, err));
    return MT_OK;
}

static void join_bytes(mt_tok *t, unsigned first, unsigned second) {
    unsigned pair = first << 8 | second;
    t->joined[pair >> 3] |= (uint8_t)(1u << (pair & 7));
}

/* A text that is one word (no splitter) may still be cut between two bytes that no token has side by side: no merge can
 * cross. Words are then short, and met again. */
static mt_status add_word_cuts(mt_tok *t, mt_error *err) {
    const mt_vocab *v = &t->vocab;
    int32_t space = mt_vocab_find_bytes(v, (const uint8_t *)" ", 1);
    bool complete = t->bpe.base_bytes, spelled = t->byte_fallback && t->byte_tokens;
    for (int b = 0; b < 256; b++) complete &= t->bpe.base[b] >= 0;
    /* unknown symbols without a token for them are forgotten, which shifts offsets to the end of the whole word */
    if (t->unk < 0 && !complete && !spelled) return MT_OK;
    if (space < 0 || t->split_len > 1 || t->merge_only || t->ignore_merges) return MT_OK;
    if (t->split_len == 1 && (t->split[0].kind != MT_SPLIT_METASPACE || t->split[0].split)) return MT_OK;
    for (int32_t id = 0; id < v->size; id++) {
        if (!(v->flags[id] & MT_MATCHES)) continue;
        mt_str s = mt_vocab_bytes(v, id);
        for (size_t i = 1; i < s.n; i++) join_bytes(t, s.p[i - 1], s.p[i]);
    }
    /* characters stay whole, and unknown ones that become one token stay together */
    bool fused = t->fuse_unk && !complete && !spelled;
    for (unsigned i = 0; i < 65536; i++)
        if ((!t->bpe.base_bytes && (i & 0xC0) == 0x80) || (fused && (i & 0xFF) != ' ')) join_bytes(t, i >> 8, i & 0xFF);
    return mt_tok_add_split(t, MT_SPLIT_WORDS, err) ? MT_OK : MT_ENOMEM;
}

static mt_status prepare_segmenter(mt_tok *t, mt_error *err) {
    if (t->segmenter == &mt_segmenter_unigram) return mt_unigram_prepare(t, err);
    if (t->segmenter == &mt_segmenter_wordpiece) return mt_wordpiece_prepare(t, err);
    MT_TRY(mt_vocab_index_bytes(&t->vocab, err));
    if (t->segmenter == &mt_segmenter_bpe) {
        MT_TRY(mt_bpe_finish(&t->bpe, &t->vocab, err));
        MT_TRY(add_word_cuts(t, err));
    }
    if (t->segmenter == &mt_segmenter_picky) return mt_picky_prepare(t, err);
    return MT_OK;
}

mt_status mt_tok_finish(mt_tok *t, mt_error *err) {
    if (!t->vocab.size) return mt_fail(err, MT_EMISSING, "the tokenizer has no vocabulary");
    MT_TRY(mt_template_settle(t, false, err));
    if (t->byte_level || t->mark.n) MT_TRY(mt_stretches((size_t)t->vocab.size, spell, t, err));
    MT_TRY(build_added_sets(t, NULL, &t->raw_set, &t->normal_set, err));
    mt_vocab_drop_pieces(&t->vocab); /* was for reading; few look for pieces later */
    MT_TRY(prepare_segmenter(t, err));
    return mt_tok_finish_steps(t, err);
}

mt_status mt_tok_finish_steps(mt_tok *t, mt_error *err) {
    for (size_t i = 0; i < t->split_len; i++)
        t->first_prefix |= t->split[i].kind == MT_SPLIT_METASPACE && t->split[i].first && !t->split[i].always;
    if (t->segmenter == &mt_segmenter_unigram) MT_TRY(mt_unigram_settle_scores(t, err));
    return mt_char_maps_make(t, err);
}

mt_status mt_tok_set_ties(mt_tok *t, mt_ties ties, mt_error *err) {
    return t->segmenter == &mt_segmenter_unigram ? mt_unigram_set_single(t, ties == MT_TIES_SINGLE, err) : MT_OK;
}

/* ---- accessors ---- */

bool mt_tok_special_is_text(const mt_tok *t) {
    return t->special_is_text;
}

const char *mt_tok_warnings(const mt_tok *t) {
    return t->warnings.data ? (const char *)t->warnings.data : "";
}
int32_t mt_tok_size(const mt_tok *t) {
    return t->vocab.size;
}
mt_str mt_tok_bytes(const mt_tok *t, int32_t id) {
    return id < 0 || id >= t->vocab.size ? mt_str_of("") : mt_vocab_bytes(&t->vocab, id);
}
mt_str mt_tok_piece(const mt_tok *t, int32_t id) {
    return id < 0 || id >= t->vocab.size ? mt_str_of("") : mt_vocab_piece(&t->vocab, id);
}
mt_token_kind mt_tok_kind(const mt_tok *t, int32_t id) {
    return id < 0 || id >= t->vocab.size ? MT_TOKEN_HOLE : (mt_token_kind)t->vocab.kind[id];
}
int32_t mt_tok_find(const mt_tok *t, mt_str piece) {
    return mt_vocab_find_piece(&t->vocab, piece);
}
int32_t mt_tok_bos(const mt_tok *t) {
    return t->bos;
}
int32_t mt_tok_eos(const mt_tok *t) {
    return t->eos;
}
const char *mt_tok_model_name(const mt_tok *t) {
    return t->model_name;
}

/* ---- for byte models (and traits.c) ---- */

mt_status mt_tok_ask_reachable(mt_tok *t, int32_t id, bool *yes, mt_error *err) {
    *yes = false;
    if (t->segmenter != &mt_segmenter_bpe || t->merge_only || id < 0 || id >= t->vocab.size) return MT_OK;
    return mt_bpe_reachable(&t->bpe, id, yes, err);
}
mt_status mt_tok_ask_pair_ok(mt_tok *t, int32_t left, int32_t right, bool *yes, mt_error *err) {
    MT_TRY(mt_tok_ask_reachable(t, left, yes, err));
    if (*yes) MT_TRY(mt_tok_ask_reachable(t, right, yes, err));
    return *yes ? mt_bpe_pair_ok(&t->bpe, left, right, yes, err) : MT_OK;
}
bool mt_tok_reachable(mt_tok *t, int32_t id) {
    bool yes;
    return mt_tok_ask_reachable(t, id, &yes, NULL) == MT_OK && yes;
}
bool mt_tok_pair_ok(mt_tok *t, int32_t left, int32_t right) {
    bool yes;
    return mt_tok_ask_pair_ok(t, left, right, &yes, NULL) == MT_OK && yes;
}
const int32_t *mt_tok_sorted(const mt_tok *t, size_t *count) {
    /* sorted on first use: the order is a cache, not a change */
    *count = 0;
    if (mt_vocab_sort((mt_vocab *)&t->vocab, NULL) != MT_OK) return NULL;
    *count = t->vocab.sorted_len;
    return t->vocab.sorted;
}

static int compare(mt_str a, const uint8_t *p, size_t n) { /* a's first n bytes against p */
    size_t k = a.n < n ? a.n : n;
    int c = memcmp(a.p, p, k);
    return c ? c : a.n < n ? -1 : 0;
}

void mt_tok_interval(const mt_tok *t, const uint8_t *prefix, size_t n, size_t *lo, size_t *hi) {
    size_t count;
    const int32_t *sorted = mt_tok_sorted(t, &count);
    size_t a = 0, b = count;
    while (a < b) {
        size_t m = a + (b - a) / 2;
        if (compare(mt_vocab_bytes(&t->vocab, sorted[m]), prefix, n) < 0)
            a = m + 1;
        else
            b = m;
    }
    *lo = a;
    b = count;
    while (a < b) {
        size_t m = a + (b - a) / 2;
        if (compare(mt_vocab_bytes(&t->vocab, sorted[m]), prefix, n) <= 0)
            a = m + 1;
        else
            b = m;
    }
    *hi = a;
}
