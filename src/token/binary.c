/* Writing the binary form, and the part that writing and reading share: the pipeline. The format is in binary.h. */
#include "binary.h"
#include "train.h"

/* ---- checksum: sums, and sums of sums, of eight lanes of 64-bit words ---- */

typedef struct lanes {
    uint64_t sum[8], twice[8];
} lanes;

static __attribute__((noinline)) void add_blocks(lanes *l, const uint8_t *p, size_t n) {
    lanes k = *l;
    for (size_t i = 0; i < n; i += 64)
        for (int j = 0; j < 8; j++) {
            k.sum[j] += mt_le64(p + i + 8 * j);
            k.twice[j] += k.sum[j];
        }
    *l = k;
}

uint64_t mt_binary_checksum(const uint8_t *p, size_t n) {
    lanes l = {{n}, {0}};
    size_t whole = n / 64 * 64;
    uint8_t rest[64] = {0};
    for (size_t i = 0; i < whole; i += 1 << 16) add_blocks(&l, p + i, whole - i < 1 << 16 ? whole - i : 1 << 16);
    if (n > whole) memcpy(rest, p + whole, n - whole);
    add_blocks(&l, rest, 64);
    uint64_t h = 0;
    for (int j = 0; j < 8; j++) h = mt_mix64(mt_mix64(h ^ l.sum[j]) ^ l.twice[j]);
    return h;
}

/* ---- the stream ---- */

static void bad(mt_stream *s, const char *what) {
    if (s->status == MT_OK)
        s->status = mt_fail(s->err, MT_EFORMAT, "binary tokenizer: %s in its pipeline is not as it must be", what);
}

static void bytes(mt_stream *s, void *p, size_t n) {
    if (s->status != MT_OK) return;
    if (s->out) {
        s->status = mt_buf_add(s->out, p, n, s->err);
    } else if ((size_t)(s->end - s->p) < n) {
        s->status = mt_fail(s->err, MT_EFORMAT, "binary tokenizer: the pipeline ends too early");
    } else {
        memcpy(p, s->p, n);
        s->p += n;
    }
}

static void u32(mt_stream *s, uint32_t *x, uint32_t most, const char *what) {
    bytes(s, x, 4);
    if (s->status == MT_OK && *x > most) bad(s, what);
    if (s->status != MT_OK && !s->out) *x = 0;
}
static void i32(mt_stream *s, int32_t *x, int32_t least, int32_t below, const char *what) {
    bytes(s, x, 4);
    if (s->status == MT_OK && (*x < least || *x >= below)) bad(s, what);
    if (s->status != MT_OK && !s->out) *x = least;
}
static void size(mt_stream *s, size_t *x, size_t least, const char *what) {
    uint32_t y = *x > INT32_MAX ? INT32_MAX : (uint32_t)*x; /* of what is counted no text has so much */
    u32(s, &y, INT32_MAX, what);
    if (y < least) bad(s, what);
    if (!s->out) *x = y;
}
static void flag(mt_stream *s, bool *x) {
    uint8_t y = *x;
    bytes(s, &y, 1);
    if (s->status == MT_OK && y > 1) bad(s, "a flag");
    if (!s->out) *x = s->status == MT_OK && y;
}
static void string(mt_stream *s, mt_str *x) {
    uint32_t n = (uint32_t)x->n;
    u32(s, &n, s->out ? UINT32_MAX : (uint32_t)(s->end - s->p), "the length of a string");
    if (s->status != MT_OK) return;
    if (s->out) {
        s->status = mt_buf_add(s->out, x->p, n, s->err);
        return;
    }
    if ((size_t)(s->end - s->p) < n) {
        bad(s, "the length of a string");
        return;
    }
    *x = (mt_str){s->p, n}; /* the stream lives as long as the tokenizer */
    s->p += n;
}
/* Number of elements, each of at least `least` bytes. */
static size_t count(mt_stream *s, size_t n, size_t least, const char *what) {
    uint32_t y = (uint32_t)n;
    u32(s, &y, s->out ? UINT32_MAX : (uint32_t)((size_t)(s->end - s->p) / least), what);
    return s->status == MT_OK ? y : 0;
}
#define ENUM(s, x, last, what)                                                                                         \
    do {                                                                                                               \
        uint32_t y_ = (uint32_t)(x);                                                                                   \
        u32(s, &y_, last, what);                                                                                       \
        (x) = y_;                                                                                                      \
    } while (0)

static void pattern(mt_stream *s, mt_tok *t, mt_pattern *p) {
    bool regex = p->regex != NULL;
    mt_str text = p->text;
    flag(s, &regex);
    string(s, &text);
    if (s->out || s->status != MT_OK) return;
    p->text = text;
    if (regex) s->status = mt_tok_regex(t, text, p, s->err);
}

static void map(mt_stream *s, mt_tok *t, mt_charsmap **m) {
    mt_str units = mt_str_of(""), text = mt_str_of("");
    if (s->out && *m) mt_charsmap_parts(*m, &units, &text);
    string(s, &units);
    string(s, &text);
    if (s->out || s->status != MT_OK || !units.n) return;
    s->status = mt_charsmap_make(t, units, text, m, s->err);
}

static void norm(mt_stream *s, mt_tok *t, mt_norm *n) {
    ENUM(s, n->kind, MT_NORM_UNMARK, "a normalizer");
    ENUM(s, n->form, MT_NFKD_9, "a normal form");
    flag(s, &n->left);
    flag(s, &n->right);
    pattern(s, t, &n->pattern);
    string(s, &n->content);
    map(s, t, &n->map);
    flag(s, &n->squeeze);
    flag(s, &n->prefix);
    flag(s, &n->suffix_mark);
    flag(s, &n->plain);
    if (s->status == MT_OK && n->kind == MT_NORM_CHARSMAP && !n->map) bad(s, "a character map");
}

static void split(mt_stream *s, mt_tok *t, mt_split *p) {
    ENUM(s, p->kind, MT_SPLIT_WORDS, "a splitter");
    ENUM(s, p->behavior, MT_SPLIT_CONTIGUOUS, "a splitter's behaviour");
    flag(s, &p->invert);
    flag(s, &p->drop_gaps);
    pattern(s, t, &p->pattern);
    size(s, &p->length, p->kind == MT_SPLIT_FIXED, "a fixed length");
    flag(s, &p->split);
    flag(s, &p->always);
    flag(s, &p->first);
    flag(s, &p->physical);
    if (s->status == MT_OK && p->physical && !t->mark.n) bad(s, "the space mark");
}

static void decoder(mt_stream *s, mt_tok *t, mt_decoder *d) {
    ENUM(s, d->kind, MT_DECODE_BYTES, "a decoder");
    pattern(s, t, &d->pattern);
    string(s, &d->content);
    string(s, &d->extra);
    size(s, &d->start, 0, "a number of characters");
    size(s, &d->stop, 0, "a number of characters");
    flag(s, &d->cleanup);
    flag(s, &d->prefix);
}

static void template(mt_stream *s, mt_template *p, int32_t texts, int32_t tokens) {
    size_t n = count(s, p->len, 12, "a template");
    for (size_t i = 0; i < n && s->status == MT_OK; i++) {
        struct mt_template_item x = {-1, -1, 0};
        if (s->out) x = p->item[i];
        i32(s, &x.text, -1, texts, "a template's text");
        i32(s, &x.id, x.text < 0 ? 0 : -1, x.text < 0 ? tokens : 0, "a template's token");
        u32(s, &x.type, INT32_MAX, "a template's segment");
        if (s->out || s->status != MT_OK) continue;
        s->status =
            x.text < 0 ? mt_template_special(p, x.id, x.type, s->err) : mt_template_text(p, x.text, x.type, s->err);
    }
    flag(s, &p->set);
}

static void added(mt_stream *s, mt_added *a, int32_t tokens) {
    i32(s, &a->id, 0, tokens, "an added token's id");
    string(s, &a->content);
    flag(s, &a->special);
    flag(s, &a->normalized);
    flag(s, &a->lstrip);
    flag(s, &a->rstrip);
    flag(s, &a->single_word);
}

/* The strings of a trie by climbing from the nodes where they end. */
static void write_set(mt_stream *s, const mt_trie *t) {
    uint32_t *up = mt_array(t->nodes + 1, sizeof *up);
    mt_buf spelled = {0};
    if (!up) {
        s->status = mt_nomem(s->err, t->nodes * sizeof *up, "added tokens");
        return;
    }
    size_t n = 0;
    for (size_t i = 0; t->edge && i <= t->mask; i++)
        if (t->edge[i].key != UINT32_MAX) up[t->edge[i].child] = t->edge[i].key;
    for (size_t i = 0; i < t->nodes; i++) n += t->token[i] >= 0;
    count(s, n, 1, "");
    for (uint32_t i = 0; i < t->nodes && s->status == MT_OK; i++) {
        if (t->token[i] < 0) continue;
        spelled.len = 0;
        for (uint32_t k = i; k && s->status == MT_OK; k = up[k] >> 8)
            s->status = mt_buf_byte(&spelled, (uint8_t)up[k], s->err);
        for (size_t a = 0, b = spelled.len; a + 1 < b; a++) {
            uint8_t c = spelled.data[a];
            spelled.data[a] = spelled.data[--b];
            spelled.data[b] = c;
        }
        mt_str text = {spelled.data, spelled.len};
        bytes(s, &t->token[i], 4);
        string(s, &text);
    }
    mt_buf_free(&spelled);
    mt_free(up);
}

static void set(mt_stream *s, mt_added_set *set, size_t added_len) {
    if (s->status != MT_OK) return;
    if (s->out) {
        write_set(s, &set->trie);
        return;
    }
    size_t n = count(s, 0, 8, "a set of added tokens");
    for (size_t i = 0; i < n && s->status == MT_OK; i++) {
        int32_t index = 0;
        mt_str text = mt_str_of("");
        i32(s, &index, 0, (int32_t)added_len, "an added token");
        string(s, &text);
        if (s->status == MT_OK) s->status = mt_added_insert(set, text, index, s->err);
    }
}

/* Picky BPE: as a file says it, for mt_picky_prepare to check and to index. Removed tokens have no id of the
 * vocabulary: they come as -1, -2... */
static void picky_id(mt_stream *s, int32_t tokens, size_t removed, int32_t *id) {
    int32_t x = s->out && *id >= tokens ? tokens - 1 - *id : *id;
    i32(s, &x, -(int32_t)removed, tokens, "an event's token");
    if (!s->out) *id = x;
}

static void picky(mt_stream *s, mt_tok *t, int32_t tokens) {
    if (!s->out) {
        t->picky = mt_calloc(1, sizeof *t->picky);
        if (!t->picky) {
            s->status = mt_nomem(s->err, sizeof *t->picky, "the merges");
            return;
        }
    }
    mt_picky *p = t->picky;
    mt_vocabulary *v = &p->vocabulary;
    size_t known = s->out ? (size_t)tokens : 0, n = count(s, v->len - known, 4, "removed tokens");
    mt_buf spelled = {0};
    for (size_t i = 0; i < n && s->status == MT_OK; i++) {
        mt_str x = mt_str_of("");
        int32_t id;
        if (s->out) {
            x = v->token[known + i];
            spelled.len = 0;
            for (size_t k = 0; t->byte_level && k < x.n && s->status == MT_OK; k++) {
                uint8_t two[2];
                s->status = mt_buf_add(&spelled, two, (size_t)mt_byte_to_char(x.p[k], two), s->err);
            }
            if (t->byte_level) x = (mt_str){spelled.data, spelled.len};
        }
        string(s, &x);
        if (!s->out && s->status == MT_OK) s->status = mt_vocabulary_add(v, x, &id, s->err);
    }
    mt_buf_free(&spelled);
    size_t events = count(s, p->event_len, 9, "events");
    for (size_t i = 0; i < events && s->status == MT_OK; i++) {
        if (!s->out) {
            s->status = mt_grow((void **)&p->event, &p->event_cap, i + 1, sizeof *p->event, s->err);
            if (s->status != MT_OK) return;
            p->event[p->event_len++] = (struct mt_picky_event){-1, -1, -1, 0, 0};
        }
        struct mt_picky_event *e = &p->event[i];
        bool splits = e->parts > 0;
        flag(s, &splits);
        picky_id(s, tokens, n, &e->token);
        if (!splits) {
            picky_id(s, tokens, n, &e->left);
            picky_id(s, tokens, n, &e->right);
            continue;
        }
        size_t parts = count(s, e->parts, 4, "the parts of a split");
        if (!s->out) e->part = (uint32_t)p->part.len, e->parts = (uint32_t)parts;
        if (!parts) bad(s, "the parts of a split");
        for (size_t k = 0; k < parts && s->status == MT_OK; k++) {
            int32_t id = s->out ? p->part.data[e->part + k] : -1;
            picky_id(s, tokens, n, &id);
            if (!s->out && s->status == MT_OK) s->status = mt_ids_add(&p->part, id, s->err);
        }
    }
}

static const mt_segmenter *const segmenters[] = {
    &mt_segmenter_bpe,    &mt_segmenter_unigram,    &mt_segmenter_wordpiece, &mt_segmenter_wordlevel,
    &mt_segmenter_greedy, &mt_segmenter_characters, &mt_segmenter_picky};
enum { SEGMENTERS = sizeof segmenters / sizeof *segmenters };

static void name(mt_stream *s, mt_tok *t) {
    mt_str x = mt_str_of(t->model_name);
    string(s, &x);
    if (s->out || s->status != MT_OK) return;
    char *copy = mt_arena_alloc(&t->arena, x.n + 1);
    if (!copy) {
        s->status = mt_nomem(s->err, x.n, "a name");
        return;
    }
    memcpy(copy, x.p, x.n);
    copy[x.n] = 0;
    t->model_name = copy;
}

static void warnings(mt_stream *s, mt_tok *t) {
    mt_str x = {t->warnings.data, t->warnings.len};
    string(s, &x);
    if (s->out || s->status != MT_OK || !x.n) return;
    s->status = mt_buf_add(&t->warnings, x.p, x.n, s->err);
    if (s->status == MT_OK) s->status = mt_buf_byte(&t->warnings, 0, s->err);
    if (s->status == MT_OK) t->warnings.len--;
}

#define LIST(list, add, visit, least)                                                                                  \
    do {                                                                                                               \
        size_t n_ = count(s, t->list##_len, least, "a list of steps");                                                 \
        for (size_t i_ = 0; i_ < n_ && s->status == MT_OK; i_++) {                                                     \
            if (!s->out && !(add)) {                                                                                   \
                s->status = MT_ENOMEM;                                                                                 \
                break;                                                                                                 \
            }                                                                                                          \
            visit(s, t, &t->list[i_]);                                                                                 \
        }                                                                                                              \
    } while (0)

mt_status mt_binary_pipeline(mt_stream *s, mt_tok *t, mt_binary_sizes *z) {
    if (s->out) z->segmenter = 0;
    while (s->out && z->segmenter < SEGMENTERS && t->segmenter != segmenters[z->segmenter]) z->segmenter++;
    u32(s, &z->segmenter, SEGMENTERS - 1, "the segmenter");
    if (s->status == MT_OK) t->segmenter = segmenters[z->segmenter];
    u32(s, &z->tokens, MT_MAX_TOKENS, "the number of tokens");
    int32_t tokens = (int32_t)z->tokens;
    u32(s, &z->width, 4, "a width");
    u32(s, &z->depth_width, 4, "a width");
    u32(s, &z->maybe_bits, 40, "the size of a table");
    u32(s, &z->pair_home, UINT32_MAX, "");
    u32(s, &z->index_home, UINT32_MAX, "");
    bytes(s, z->root, sizeof z->root);

    name(s, t);
    flag(s, &t->bpe.by_string);
    flag(s, &t->bpe.base_bytes);
    flag(s, &t->vocab.twice);
    bytes(s, &t->unigram.min_score, 8);
    bytes(s, &t->unigram.max_score, 8);
    bytes(s, &t->unigram.unknown_score, 8);
    flag(s, &t->unigram.single);
    flag(s, &t->unigram.fuse);
    flag(s, &t->unigram.byte_pieces);
    size(s, &t->wordpiece.max_chars, 0, "the longest word");
    string(s, &t->wordpiece.opener);

    i32(s, &t->unk, -1, tokens, "the unknown token");
    i32(s, &t->bos, -1, tokens, "the first token");
    i32(s, &t->eos, -1, tokens, "the last token");
    flag(s, &t->code_points);
    i32(s, &t->id_offset, 0, MT_MAX_TOKENS, "the first character's id");
    flag(s, &t->fuse_unk);
    flag(s, &t->byte_fallback);
    flag(s, &t->ignore_merges);
    flag(s, &t->merge_only);
    flag(s, &t->byte_tokens);
    for (int b = 0; b < 256; b++) i32(s, &t->byte_token[b], t->byte_tokens ? 0 : -1, tokens, "a byte's token");
    string(s, &t->word_prefix);
    string(s, &t->word_suffix);
    flag(s, &t->added_raw);
    flag(s, &t->special_is_text);
    flag(s, &t->byte_level);
    string(s, &t->mark);
    flag(s, &t->spans_to_next);
    flag(s, &t->has_unused);

    size_t n = count(s, t->added_len, 13, "the list of added tokens");
    for (size_t i = 0; i < n && s->status == MT_OK; i++) {
        if (!s->out && !mt_tok_add_added(t, s->err)) return MT_ENOMEM;
        added(s, &t->added[i], tokens);
    }
    set(s, &t->raw_set, t->added_len);
    set(s, &t->normal_set, t->added_len);
    set(s, &t->user_set, t->added_len);
    LIST(norm, mt_tok_add_norm(t, MT_NORM_FORM, s->err), norm, 8);
    LIST(split, mt_tok_add_split(t, MT_SPLIT_PATTERN, s->err), split, 8);
    LIST(decoder, mt_tok_add_decoder(t, MT_DECODE_FUSE, s->err), decoder, 8);
    flag(s, &t->join_with_space);
    bool back = t->denormalize != NULL;
    flag(s, &back);
    if (back && s->status == MT_OK && !s->out) {
        t->denormalize = mt_arena_alloc(&t->arena, sizeof *t->denormalize);
        if (!t->denormalize) return mt_nomem(s->err, sizeof *t->denormalize, "the denormalizer");
        *t->denormalize = (mt_norm){.kind = MT_NORM_SPM};
    }
    if (back && s->status == MT_OK) norm(s, t, t->denormalize);
    if (s->status == MT_OK && t->segmenter == &mt_segmenter_picky) picky(s, t, tokens);
    template(s, &t->one, 1, tokens);
    template(s, &t->two, 2, tokens);
    for (size_t i = 0; i < sizeof t->trim_prefix; i++) flag(s, &t->trim_prefix[i]);
    size(s, &t->trims, 0, "the number of times that spaces are trimmed");
    if (s->status == MT_OK && t->trims > sizeof t->trim_prefix) bad(s, "the number of times that spaces are trimmed");
    bytes(s, t->joined, sizeof t->joined);
    warnings(s, t);
    if (s->status != MT_OK) return s->status;
    if (!s->out && s->p != s->end) bad(s, "something behind the end");

    /* what belongs together */
    int64_t most = t->code_points ? 0x110000 : 256;
    if (t->segmenter == &mt_segmenter_characters && t->id_offset + most > tokens) bad(s, "the first character's id");
    if (t->has_unused && t->segmenter == &mt_segmenter_bpe && !t->bpe.by_string) bad(s, "the kind of merges");
    if (t->spans_to_next) { /* SentencePiece's normalizer gives one place more than bytes, which the others lose */
        bool good = t->norm_len == 1 && t->norm[0].kind == MT_NORM_SPM;
        for (size_t i = 0; i < t->split_len; i++) good &= t->split[i].kind == MT_SPLIT_WORDS;
        if (!good) bad(s, "the way that places are counted");
    }
    return s->status;
}

/* ---- writing ---- */

typedef struct writer {
    mt_buf *out;
    mt_error *err;
    size_t from[MT_BINARY_KINDS_OF_SECTIONS], to[MT_BINARY_KINDS_OF_SECTIONS];
} writer;

static mt_status begin(writer *w, mt_binary_kind kind) {
    static const uint8_t zero[MT_BINARY_ALIGN];
    MT_TRY(mt_buf_add(w->out, zero, -w->out->len % MT_BINARY_ALIGN, w->err));
    w->from[kind] = w->to[kind] = w->out->len;
    return MT_OK;
}

static mt_status section(writer *w, mt_binary_kind kind, const void *p, size_t n) {
    MT_TRY(begin(w, kind));
    MT_TRY(mt_buf_add(w->out, p, n, w->err));
    w->to[kind] = w->out->len;
    return MT_OK;
}

static mt_status write_walk(writer *w, mt_binary_kind kind, const mt_walk *walk, mt_binary_sizes *z) {
    z->root[kind - MT_BINARY_WALK] = walk->root;
    return walk->cells ? section(w, kind, walk->cell, walk->cells * sizeof *walk->cell) : MT_OK;
}

static mt_status number(writer *w, uint32_t x, uint32_t width) {
    return mt_buf_add(w->out, &x, width, w->err);
}

static mt_status write_text(writer *w, const mt_vocab *v, mt_binary_sizes *z) {
    uint32_t longest = 0;
    MT_TRY(begin(w, MT_BINARY_TEXT));
    for (int pass = 0; pass < 2; pass++)
        for (int32_t id = 0; id < v->size; id++) {
            mt_str s = pass ? mt_vocab_bytes(v, id) : mt_vocab_piece(v, id);
            if (s.n > longest) longest = (uint32_t)s.n;
            if (pass && mt_str_eq(s, mt_vocab_piece(v, id))) continue;
            if (s.n) MT_TRY(mt_buf_add(w->out, s.p, s.n, w->err));
        }
    w->to[MT_BINARY_TEXT] = w->out->len;
    z->width = longest < UINT8_MAX ? 1 : longest < UINT16_MAX ? 2 : 4;
    return MT_OK;
}

static mt_status write_lengths(writer *w, const mt_vocab *v, const mt_binary_sizes *z) {
    MT_TRY(begin(w, MT_BINARY_LENGTHS));
    for (int32_t id = 0; id < v->size; id++) MT_TRY(number(w, v->piece[id].n, z->width));
    for (int32_t id = 0; id < v->size; id++)
        MT_TRY(
            number(w, mt_str_eq(mt_vocab_bytes(v, id), mt_vocab_piece(v, id)) ? UINT32_MAX : v->bytes[id].n, z->width));
    w->to[MT_BINARY_LENGTHS] = w->out->len;
    MT_TRY(begin(w, MT_BINARY_KINDS));
    for (int32_t id = 0; id < v->size; id++)
        MT_TRY(mt_buf_byte(w->out, (uint8_t)(v->kind[id] | v->flags[id] << 3), w->err));
    w->to[MT_BINARY_KINDS] = w->out->len;
    return MT_OK;
}

static mt_status write_depths(writer *w, const mt_vocab *v, mt_binary_sizes *z) {
    z->depth_width = v->longest <= UINT8_MAX ? 1 : v->longest <= UINT16_MAX ? 2 : 4;
    size_t n = v->walk.cells * z->depth_width;
    MT_TRY(begin(w, MT_BINARY_DEPTHS));
    MT_TRY(mt_buf_reserve(w->out, n, w->err));
    uint8_t *depth = w->out->data + w->out->len;
    memset(depth, 0, n);
    for (int32_t id = 0; id < v->size; id++) {
        if (!(v->flags[id] & MT_MATCHES)) continue;
        mt_str s = mt_vocab_bytes(v, id);
        uint64_t node = v->walk.root;
        for (uint32_t i = 0; i < s.n && node >> 32; i++) {
            memcpy(depth + (size_t)(node >> 32) * z->depth_width, &i, z->depth_width);
            node = mt_walk_step(&v->walk, node, s.p[i]);
        }
    }
    w->to[MT_BINARY_DEPTHS] = w->out->len += n;
    return MT_OK;
}

static mt_status write(writer *w, mt_tok *t) {
    mt_binary_sizes z = {.tokens = (uint32_t)t->vocab.size};
    mt_vocab *v = &t->vocab;
    mt_bpe *b = &t->bpe;
    size_t n = (size_t)v->size;
    bool bpe = t->segmenter == &mt_segmenter_bpe;
    uint8_t header[MT_BINARY_HEADER + MT_BINARY_KINDS_OF_SECTIONS * MT_BINARY_SECTION] = {0};
    MT_TRY(mt_vocab_index_pieces(v, w->err));
    mt_vocab_drop_pieces(v); /* marks what the index holds */
    MT_TRY(mt_buf_add(w->out, header, sizeof header, w->err));
    MT_TRY(write_text(w, v, &z));
    if (v->score) MT_TRY(section(w, MT_BINARY_SCORES, v->score, n * sizeof *v->score));
    if (bpe && b->rank_of) MT_TRY(section(w, MT_BINARY_RANKS, b->rank_of, n * sizeof *b->rank_of));
    MT_TRY(write_walk(w, MT_BINARY_WALK, &v->walk, &z));
    MT_TRY(write_walk(w, MT_BINARY_UNIGRAM, &t->unigram.walk, &z));
    MT_TRY(write_walk(w, MT_BINARY_START, &t->wordpiece.start, &z));
    MT_TRY(write_walk(w, MT_BINARY_INSIDE, &t->wordpiece.inside, &z));
    if (bpe) {
        z.maybe_bits = 64 - b->maybe_shift;
        MT_TRY(section(w, MT_BINARY_MAYBE, b->maybe, (size_t)1 << z.maybe_bits >> 3));
        z.pair_home = b->pair_home;
        z.index_home = v->by_bytes.home;
        MT_TRY(section(w, MT_BINARY_PAIRS, b->pair_slot, b->pair_slots * sizeof *b->pair_slot));
        MT_TRY(section(w, MT_BINARY_MADE, b->made, b->made_len * sizeof *b->made));
        MT_TRY(section(w, MT_BINARY_INDEX, v->by_bytes.slot, v->by_bytes.slots * sizeof *v->by_bytes.slot));
        MT_TRY(write_depths(w, v, &z));
    }
    MT_TRY(write_lengths(w, v, &z));
    MT_TRY(begin(w, MT_BINARY_PIPELINE));
    mt_stream s = {.out = w->out, .err = w->err};
    MT_TRY(mt_binary_pipeline(&s, t, &z));
    w->to[MT_BINARY_PIPELINE] = w->out->len;
    return MT_OK;
}

mt_status mt_tok_to_binary(mt_tok *t, mt_buf *out, mt_error *err) {
    writer w = {.out = out, .err = err};
    if (out->len) return mt_fail(err, MT_ESTATE, "a binary tokenizer is written into an empty buffer");
    if (t->out) return mt_fail(err, MT_ESTATE, "the tokenizer is at work");
    mt_status status = write(&w, t);
    if (status != MT_OK) {
        mt_buf_free(out);
        return status;
    }
    /* the list of sections, by offset */
    uint8_t *at = out->data + MT_BINARY_HEADER;
    uint32_t version = MT_BINARY_VERSION, sections = 0;
    for (size_t last = 0;; sections++) {
        uint32_t next = MT_BINARY_KINDS_OF_SECTIONS;
        for (uint32_t k = 0; k < MT_BINARY_KINDS_OF_SECTIONS; k++)
            if (w.to[k] > w.from[k] && w.from[k] > last &&
                (next == MT_BINARY_KINDS_OF_SECTIONS || w.from[k] < w.from[next]))
                next = k;
        if (next == MT_BINARY_KINDS_OF_SECTIONS) break;
        uint64_t offset = last = w.from[next], length = w.to[next] - w.from[next];
        memcpy(at, &next, 4);
        memcpy(at + 8, &offset, 8);
        memcpy(at + 16, &length, 8);
        at += MT_BINARY_SECTION;
    }
    uint64_t total = out->len, sum = mt_binary_checksum(out->data + MT_BINARY_HEADER, out->len - MT_BINARY_HEADER);
    memcpy(out->data, MT_BINARY_MAGIC, 8);
    memcpy(out->data + 8, &version, 4);
    memcpy(out->data + 12, &sections, 4);
    memcpy(out->data + 16, &total, 8);
    memcpy(out->data + 24, &sum, 8);
    return MT_OK;
}
