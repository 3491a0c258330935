/* Encoding: added tokens are cut out, what lies between goes through the steps, words reach the segmenter (memo.c),
 * ids and spans are collected, the template is put around them. */
#include "choose.h"
#include "tok.h"

/* ---- added tokens ---- */

mt_status mt_added_insert(mt_added_set *s, mt_str text, int32_t index, mt_error *err) {
    if (!text.n) return MT_OK;
    if (!s->pairs) {
        s->pairs = mt_calloc(65536 / 64, sizeof *s->pairs);
        if (!s->pairs) return mt_nomem(err, 8192, "added tokens");
    }
    int32_t old;
    MT_TRY(mt_trie_add(&s->trie, text.p, text.n, index, &old, err));
    s->any = true;
    if (!s->firsts) s->first[0] = s->first[1] = text.p[0], s->firsts = 1;
    if (s->firsts <= 2 && text.p[0] != s->first[0] && text.p[0] != s->first[1]) s->first[1] = text.p[0], s->firsts++;
    if (text.n == 1) {
        for (int b = 0; b < 4; b++) s->pairs[text.p[0] << 2 | b] = UINT64_MAX;
    } else {
        s->pairs[text.p[0] << 2 | text.p[1] >> 6] |= UINT64_C(1) << (text.p[1] & 63);
    }
    return MT_OK;
}

void mt_added_free(mt_added_set *s) {
    mt_trie_free(&s->trie);
    mt_free(s->pairs);
    *s = (mt_added_set){0};
}

static inline bool may_begin(const uint64_t *pairs, const uint8_t *p) {
    return pairs[(size_t)p[0] << 2 | p[1] >> 6] >> (p[1] & 63) & 1;
}

int32_t mt_added_find(const mt_added_set *s, const uint8_t *p, size_t n, size_t at, size_t *begin, size_t *end) {
    if (!s->any) return -1;
    for (size_t i = at; i < n; i++) {
        if (s->firsts <= 2) { /* nearly all begin with '<': eight bytes at a time up to the next one */
            const uint64_t ones = UINT64_C(0x0101010101010101), a = s->first[0] * ones, b = s->first[1] * ones;
            for (; n - i >= 8; i += 8) {
                uint64_t x = mt_le64(p + i) ^ a, y = mt_le64(p + i) ^ b;
                if ((((x - ones) & ~x) | ((y - ones) & ~y)) & ones << 7) break;
            }
            while (i < n && p[i] != s->first[0] && p[i] != s->first[1]) i++;
            if (i == n) break;
        } else
            while (i + 1 < n && !may_begin(s->pairs, p + i)) i++;
        if (i + 1 < n && !may_begin(s->pairs, p + i)) continue;
        size_t length;
        int32_t found = mt_trie_longest(&s->trie, p + i, n - i, &length);
        if (found < 0) continue;
        *begin = i;
        *end = i + length;
        return found;
    }
    return -1;
}

static size_t char_before(const uint8_t *p, size_t at, uint32_t *cp) {
    size_t i = at - 1;
    while (i && at - i < 4 && (p[i] & 0xC0) == 0x80) i--;
    if ((size_t)mt_utf8_decode(p + i, at - i, cp) == at - i) return i;
    *cp = 0x110000;
    return at - 1;
}

enum { BYTE_SPACE = 0x120 }; /* a space in the byte alphabet */

static bool is_space(uint32_t c) {
    return c <= 0x10FFFF && mt_unicode_is_space(c);
}
/* \w: Alphabetic, M, Nd, Pc, Join_Control; by categories, but for the letters in circles and squares (category So) */
static bool is_word(uint32_t c) {
    if (c > 0x10FFFF) return false;
    if (c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9)) return true;
    if (c >= 0x1F130 && c <= 0x1F189) return c <= 0x1F149 || (c >= 0x1F150 && c <= 0x1F169) || c >= 0x1F170;
    mt_category k = mt_unicode_category(c);
    return (k >= MT_LU && k <= MT_NL) || k == MT_PC;
}

/* ---- emitting ---- */

static mt_status room(mt_tok *t, size_t extra, mt_error *err) {
    mt_encoding *e = t->out;
    MT_TRY(mt_ids_reserve(&e->ids, extra, err));
    if (!t->want_spans) return MT_OK;
    return mt_grow((void **)&e->spans, &e->span_cap, e->ids.len + extra, sizeof *e->spans, err);
}

/* End of the character of the caller's text that begins at `from`. */
static uint32_t char_end(const mt_tok *t, uint32_t from) {
    if (from >= t->text_len) return (uint32_t)t->text_len;
    int k = mt_utf8_length(t->text[from]);
    return from + (uint32_t)(k > 1 && from + (size_t)k <= t->text_len ? k : 1);
}

mt_span mt_span_of(const mt_tok *t, const mt_view *v, size_t begin, size_t end) {
    if (!v->origin) return (mt_span){v->base + (uint32_t)begin, v->base + (uint32_t)end};
    if (begin >= end) {
        uint32_t o = begin < v->n ? v->origin[begin] : 0;
        return o == MT_NO_ORIGIN ? (mt_span){0, 0} : (mt_span){o, o};
    }
    if (t->spans_to_next) return (mt_span){v->origin[begin], v->origin[end]}; /* there is one origin beyond the end */
    uint32_t from = v->origin[begin], to = v->origin[end - 1];
    if (from == MT_NO_ORIGIN) from = 0;
    to = to == MT_NO_ORIGIN ? 0 : char_end(t, to);
    return (mt_span){from, to < from ? from : to};
}

mt_status mt_emit(mt_tok *t, int32_t id, uint32_t begin, uint32_t end, mt_error *err) {
    mt_encoding *e = t->out;
    if (e->ids.len == e->ids.cap || (t->want_spans && e->ids.len >= e->span_cap)) MT_TRY(room(t, 1, err));
    size_t k = e->ids.len - t->word_base;
    if (k < 4) {
        t->tiles = (t->tiles || !k) && begin == (k ? t->ends[k - 1] : 0) && begin < end;
        t->ends[k] = end;
    }
    if (t->want_spans) e->spans[e->ids.len] = mt_span_of(t, &t->word, begin, end);
    e->ids.data[e->ids.len++] = id;
    return MT_OK;
}

mt_status mt_emit_spans(mt_tok *t, size_t from, uint32_t begin, mt_error *err) {
    mt_encoding *e = t->out;
    size_t at = begin;
    if (e->ids.len - t->word_base <= 3) /* what the memo can keep */
        for (size_t i = from; i < e->ids.len; i++) {
            at += t->vocab.bytes[e->ids.data[i]].n;
            t->ends[i - t->word_base] = (uint32_t)at;
        }
    if (!t->want_spans) return MT_OK;
    MT_TRY(mt_grow((void **)&e->spans, &e->span_cap, e->ids.len, sizeof *e->spans, err));
    at = begin;
    for (size_t i = from; i < e->ids.len; i++) {
        size_t n = t->vocab.bytes[e->ids.data[i]].n;
        e->spans[i] = mt_span_of(t, &t->word, at, at + n);
        at += n;
    }
    return MT_OK;
}

mt_status mt_emit_ends(mt_tok *t, size_t from, const uint32_t *ends, mt_error *err) {
    mt_encoding *e = t->out;
    size_t count = e->ids.len - from;
    if (e->span_cap < e->ids.len) MT_TRY(mt_grow((void **)&e->spans, &e->span_cap, e->ids.len, sizeof *e->spans, err));
    mt_span *out = e->spans + from;
    uint32_t begin = 0, base = t->word.base;
    for (size_t i = 0; i < count; begin = ends[i++])
        out[i] = t->word.origin ? mt_span_of(t, &t->word, begin, ends[i]) : (mt_span){base + begin, base + ends[i]};
    return MT_OK;
}

/* ---- cutting ---- */

static mt_status emit_added(mt_tok *t, const mt_added *a, const mt_view *v, size_t begin, size_t end, mt_error *err) {
    t->word = *v;
    t->word_base = t->out->ids.len;
    return mt_emit(t, a->id, (uint32_t)begin, (uint32_t)end, err);
}

static mt_status cut(mt_tok *t, const mt_added_set *set, const mt_view *v,
                     mt_status (*rest)(mt_tok *, const mt_view *, mt_error *), mt_error *err) {
    size_t done = 0, at = 0, begin, end, blank = 0, blank_end = 0; /* a run of spaces that has been gone through */
    int32_t k;
    while ((k = mt_added_find(set, v->p, v->n, at, &begin, &end)) >= 0) {
        const mt_added *a = &t->added[k];
        uint32_t c;
        at = end;
        if (t->special_as_text && a->special) continue;
        if (a->single_word) {
            if (begin) {
                char_before(v->p, begin, &c);
                if (is_word(c)) continue;
            }
            if (end < v->n) {
                if (!mt_utf8_decode(v->p + end, v->n - end, &c)) c = 0x110000;
                if (is_word(c)) continue;
            }
        }
        if (a->lstrip)
            for (size_t q; begin > done && (q = char_before(v->p, begin, &c), is_space(c)); begin = q);
        if (a->rstrip && end >= blank && end < blank_end) /* tokens made of spaces find the same run again and again */
            end = blank_end;
        else if (a->rstrip) {
            blank = end;
            for (int w; end < v->n && (w = mt_utf8_decode(v->p + end, v->n - end, &c)) && is_space(c);)
                end += (size_t)w;
            blank_end = end;
        }
        /* Where the token before has swallowed spaces that this one begins with, both are found and overlap; only a
         * token that swallows spaces itself begins behind the other. */
        if (a->lstrip && begin < done) begin = done;
        if (end < begin) end = begin;
        if (done < begin) {
            mt_view part = mt_view_part(v, done, begin);
            MT_TRY(rest(t, &part, err));
        }
        MT_TRY(emit_added(t, a, v, begin, end, err));
        done = end;
    }
    if (done == v->n) return MT_OK;
    mt_view part = mt_view_part(v, done, v->n);
    return rest(t, &part, err);
}

static mt_status split_part(mt_tok *t, const mt_view *v, mt_error *err) {
    return mt_split_view(t, 0, v, err);
}

/* Ids are digits of code words: there are no added tokens among them. */
static bool is_code(const mt_tok *t) {
    return t->choice && t->choice->kind == MT_CHOICE_HUFFMAN;
}

static mt_status normalize_part(mt_tok *t, const mt_view *v, mt_error *err) {
    mt_view normal = *v;
    if (t->norm_len) MT_TRY(mt_normalize_view(t, *v, &normal, err));
    const mt_added_set *set = t->only_allowed ? &t->normal_allowed : &t->normal_set;
    return set->any && !is_code(t) ? cut(t, set, &normal, split_part, err) : mt_split_view(t, 0, &normal, err);
}

/* White space at both ends of a text, in characters; the byte alphabet's space counts in whatever vocabulary. */
static void count_edges(mt_str s, size_t *lead, size_t *tail) {
    uint32_t c;
    *lead = *tail = 0;
    for (size_t k = 0, w; k < s.n; k += w, ++*lead) {
        w = (size_t)mt_utf8_decode(s.p + k, s.n - k, &c);
        if (!w || !(is_space(c) || c == BYTE_SPACE)) break;
    }
    for (size_t k = s.n; k; ++*tail) {
        k = char_before(s.p, k, &c);
        if (!(is_space(c) || c == BYTE_SPACE)) break;
    }
}

enum { EDGES_UNKNOWN = 0xFF, EDGE_MOST = 14 };

/* Of a token with that span: its piece's, which are remembered (lead | tail << 4). Added tokens count with the spaces
 * that they swallowed, and an unknown token of Unigram is the text itself. */
static void edges_of(mt_tok *t, int32_t id, mt_span x, size_t *lead, size_t *tail) {
    if (t->vocab.flags[id] & MT_IN_ADDED || (id == t->unk && t->unigram.walk.cells)) {
        count_edges((mt_str){t->text + x.begin, x.end - x.begin}, lead, tail);
        return;
    }
    count_edges(mt_vocab_piece(&t->vocab, id), lead, tail);
    if (t->edges && *lead <= EDGE_MOST && *tail <= EDGE_MOST) t->edges[id] = (uint8_t)(*lead | *tail << 4);
}

/* Byte-level post-processors take the spaces at both ends of a token out of its span; what counts as one is seen in the
 * piece. */
static void trim(mt_tok *t, mt_encoding *e, size_t from) {
    if (!t->edges && (t->edges = mt_array((size_t)t->vocab.size, 1)))
        memset(t->edges, EDGES_UNKNOWN, (size_t)t->vocab.size);
    for (size_t i = from; i < e->ids.len; i++) {
        mt_span *x = &e->spans[i];
        uint8_t edges = t->edges ? t->edges[e->ids.data[i]] : EDGES_UNKNOWN;
        if (!edges) continue;
        size_t lead = edges & 15, tail = edges >> 4;
        if (edges == EDGES_UNKNOWN) edges_of(t, e->ids.data[i], *x, &lead, &tail);
        for (size_t pass = 0; pass < t->trims; pass++) {
            /* a single one at the start may be the space that was put there */
            bool kept = t->trim_prefix[pass] && lead == 1 && (i == from || x->begin == 0);
            for (size_t k = kept ? 0 : lead; k && x->begin < x->end; k--) x->begin = char_end(t, x->begin);
            if (x->begin > x->end) x->begin = x->end;
            for (size_t k = tail; k && x->end > x->begin; k--) {
                x->end--;
                while (x->end > x->begin && (t->text[x->end] & 0xC0) == 0x80) x->end--;
            }
        }
    }
}

mt_span mt_tok_part_span(const mt_tok *t, size_t begin, size_t end) {
    return mt_span_of(t, &t->word, begin, end < t->word.n ? end : t->word.n);
}

void mt_tok_trim_spans(mt_tok *t, const uint8_t *text, size_t n, mt_encoding *e) {
    t->text = text;
    t->text_len = n;
    if (t->trims) trim(t, e, 0);
    t->text = NULL;
}

/* The ids and spans of one text, appended. */
static mt_status encode_text(mt_tok *t, const uint8_t *text, size_t n, bool want_spans, mt_encoding *out,
                             mt_error *err) {
    mt_view v = {text, n, NULL, 0};
    size_t from = out->ids.len;
    t->text = text;
    t->text_len = n;
    t->out = out;
    t->want_spans = want_spans;
    t->track = want_spans || t->choice || t->first_prefix;
    t->ranges.len = 0;
    mt_status status = MT_OK;
    const mt_added_set *set = t->only_allowed ? &t->raw_allowed : &t->raw_set;
    bool added = set->any && !is_code(t);
    if (n) status = added ? cut(t, set, &v, normalize_part, err) : normalize_part(t, &v, err);
    if (t->trims && status == MT_OK && want_spans && !is_code(t)) trim(t, out, from);
    t->out = NULL;
    t->text = NULL;
    return status;
}

static mt_status append(mt_encoding *out, const mt_encoding *part, bool want_spans, mt_error *err) {
    size_t n = part->ids.len, at = out->ids.len;
    MT_TRY(mt_ids_reserve(&out->ids, n, err));
    if (want_spans) MT_TRY(mt_grow((void **)&out->spans, &out->span_cap, at + n, sizeof *out->spans, err));
    if (!n) return MT_OK;
    memcpy(out->ids.data + at, part->ids.data, n * sizeof *out->ids.data);
    if (want_spans) memcpy(out->spans + at, part->spans, n * sizeof *out->spans);
    out->ids.len += n;
    return MT_OK;
}

static mt_status encode_template(mt_tok *t, const mt_template *p, const mt_str text[2],
                                 const mt_encode_options *options, bool want_spans, mt_encoding *out, mt_error *err) {
    mt_encoding part[2] = {{{0}, NULL, 0, NULL, 0}, {{0}, NULL, 0, NULL, 0}};
    int uses[2] = {0, 0};
    mt_status status = MT_OK;
    for (size_t i = 0; i < p->len; i++)
        if (p->item[i].text >= 0) uses[p->item[i].text]++;
    uint32_t end = 0; /* of the text before: the place of a special token */
    for (size_t i = 0; i < p->len; i++) {
        const struct mt_template_item *x = &p->item[i];
        size_t from = out->ids.len;
        if (x->text < 0) {
            if (!options->add_special_tokens) continue;
            MT_TRY_GOTO(mt_ids_add(&out->ids, x->id, err), done);
            if (want_spans) {
                MT_TRY_GOTO(mt_grow((void **)&out->spans, &out->span_cap, from + 1, sizeof *out->spans, err), done);
                out->spans[from] = (mt_span){end, end};
            }
        } else if (uses[x->text] == 1) {
            t->choice_base = (uint64_t)x->text << 62; /* the same words at the same places of both are drawn apart */
            MT_TRY_GOTO(encode_text(t, text[x->text].p, text[x->text].n, want_spans, out, err), done);
            end = (uint32_t)text[x->text].n;
        } else { /* a template that repeats a text: encoded once */
            mt_encoding *e = &part[x->text];
            t->choice_base = (uint64_t)x->text << 62;
            if (uses[x->text] > 0)
                MT_TRY_GOTO(encode_text(t, text[x->text].p, text[x->text].n, want_spans, e, err), done);
            uses[x->text] = 0;
            MT_TRY_GOTO(append(out, e, want_spans, err), done);
            end = (uint32_t)text[x->text].n;
        }
        if (!options->types) continue;
        MT_TRY_GOTO(mt_grow((void **)&out->types, &out->type_cap, out->ids.len, sizeof *out->types, err), done);
        for (size_t k = from; k < out->ids.len; k++) out->types[k] = (mt_token_type){x->type, x->text};
    }
done:
    mt_encoding_free(&part[0]);
    mt_encoding_free(&part[1]);
    return status;
}

/* With the chosen segmenter in the own one's place. */
static mt_status encode_chosen(mt_tok *t, const mt_template *p, const mt_str text[2], const mt_encode_options *options,
                               bool want_spans, mt_encoding *out, mt_error *err) {
    const mt_choice *c = options->choice;
    const mt_segmenter *own = t->segmenter;
    mt_memo *memo = t->memo;
    size_t steps = t->split_len;
    if (!c->by) return mt_fail(err, MT_ESTATE, "a choice of segmenter without the segmenters");
    MT_TRY(c->by->check(t, c, err));
    if (c->kind == MT_CHOICE_HUFFMAN && options->add_special_tokens)
        return mt_fail(err, MT_EUNKNOWN, "a Huffman code has no special tokens");
    bool nothing = c->p == 0 && c->kind >= MT_CHOICE_DROPOUT_STEP_ALL && c->kind <= MT_CHOICE_DROPOUT_DISCARD;
    if (nothing) return encode_template(t, p, text, options, want_spans, out, err); /* also with ignore_merges */
    /* Cuts where no token can cross change nothing but what a queue of the whole word holds, and what a word is. */
    bool whole = c->kind == MT_CHOICE_DROPOUT_REQUEUE || c->kind == MT_CHOICE_HUFFMAN;
    if (whole && steps && t->split[steps - 1].kind == MT_SPLIT_WORDS) t->split_len--;
    t->choice = c;
    t->own = own;
    t->segmenter = c->by->segmenter;
    t->memo = NULL;
    mt_status status = encode_template(t, p, text, options, want_spans, out, err);
    t->choice = NULL;
    t->segmenter = own;
    t->memo = memo;
    t->split_len = steps;
    return status;
}

static mt_status encode(mt_tok *t, const mt_template *p, const mt_str text[2], const mt_encode_options *options,
                        bool want_spans, mt_encoding *out, mt_error *err) {
    static const mt_encode_options none = {0};
    if (!options) options = &none;
    for (int i = 0; i < 2; i++)
        if (text[i].n > INT32_MAX - 1)
            return mt_fail(err, MT_ELIMIT, "a text of %zu bytes: the limit is 2^31-2", text[i].n);
    size_t start = out->ids.len;
    if (!t->memo && t->segmenter->cacheable && text[0].n > 256) {
        MT_TRY(mt_memo_make(t, err));
    }
    t->only_allowed = options->only_allowed;
    t->special_as_text = options->special_as_text && !options->only_allowed;
    mt_status status = options->choice && options->choice->kind != MT_CHOICE_OWN
                           ? encode_chosen(t, p, text, options, want_spans, out, err)
                           : encode_template(t, p, text, options, want_spans, out, err);
    if (status != MT_OK) out->ids.len = start;
    return status;
}

mt_status mt_tok_encode(mt_tok *t, const uint8_t *text, size_t n, const mt_encode_options *options, bool want_spans,
                        mt_encoding *out, mt_error *err) {
    const mt_str texts[2] = {{text, n}, {text, 0}};
    return encode(t, &t->one, texts, options, want_spans, out, err);
}

mt_status mt_tok_encode_pair(mt_tok *t, const uint8_t *text, size_t n, const uint8_t *pair, size_t pair_n,
                             const mt_encode_options *options, bool want_spans, mt_encoding *out, mt_error *err) {
    const mt_str texts[2] = {{text, n}, {pair, pair_n}};
    return encode(t, &t->two, texts, options, want_spans, out, err);
}

mt_status mt_tok_count(mt_tok *t, const uint8_t *text, size_t n, const mt_encode_options *options, size_t *count,
                       mt_error *err) {
    mt_encoding e = {0};
    mt_status status = mt_tok_encode(t, text, n, options, false, &e, err);
    *count = e.ids.len;
    mt_encoding_free(&e);
    return status;
}

void mt_encoding_free(mt_encoding *e) {
    mt_ids_free(&e->ids);
    mt_free(e->spans);
    mt_free(e->types);
    *e = (mt_encoding){0};
}
