/* The BPE segmenter: a word to tokens. Known stretches go to the encoder; what the vocabulary lacks becomes byte
 * tokens, the unknown token, or nothing. */
#include "tok.h"

static size_t char_length(const mt_tok *t, const uint8_t *p, size_t n) {
    uint32_t c;
    int k = t->bpe.base_bytes ? 1 : mt_utf8_decode(p, n, &c);
    return k ? (size_t)k : 1;
}

static bool bytes_known(const mt_tok *t, mt_str s) {
    if (!t->byte_fallback) return false;
    for (size_t i = 0; i < s.n; i++)
        if (t->byte_token[s.p[i]] < 0) return false;
    return true;
}

/* What byte fallback spells: a space is the mark in files that have one. */
static mt_str fallback_text(const mt_tok *t, const uint8_t *p, size_t k) {
    if (t->mark.n && k == 1 && *p == ' ') return t->mark;
    return (mt_str){p, k};
}

/* One unknown symbol at [at, at + k); *unknown_from: where a run of unknown symbols that is being fused began. */
static mt_status emit_unknown(mt_tok *t, const uint8_t *p, size_t at, size_t k, size_t *unknown_from, mt_error *err) {
    mt_str s = fallback_text(t, p + at, k);
    if (bytes_known(t, s)) {
        *unknown_from = SIZE_MAX;
        for (size_t i = 0; i < s.n; i++) {
            size_t from = at + (s.n == k ? i : 0), to = s.n == k ? from + 1 : at + k;
            if (t->spans_to_next) from = at, to = i + 1 == s.n ? at + k : at; /* the last byte has the span */
            MT_TRY(mt_emit(t, t->byte_token[s.p[i]], (uint32_t)from, (uint32_t)to, err));
        }
        return MT_OK;
    }
    if (t->fuse_unk && *unknown_from != SIZE_MAX)
        t->out->ids.len--;
    else
        *unknown_from = at;
    return mt_emit(t, t->unk, (uint32_t)*unknown_from, (uint32_t)(at + k), err);
}

/* The symbols that merging starts from. With a continuation prefix or an end-of-word suffix they are looked up with it.
 * Unknown symbols where there is no unknown token are forgotten; their bytes belong to the symbol before. */
mt_status mt_bpe_symbols(mt_tok *t, const uint8_t *p, size_t n, mt_ids *ids, mt_ids *widths, mt_error *err) {
    mt_buf *symbol = &t->scratch;
    bool unknown = false;
    int32_t forgotten = 0; /* bytes at the start */
    for (size_t at = 0, k; at < n; at += k) {
        k = char_length(t, p + at, n - at);
        symbol->len = 0;
        if (at) MT_TRY(mt_buf_add(symbol, t->word_prefix.p, t->word_prefix.n, err));
        mt_str s = fallback_text(t, p + at, k);
        MT_TRY(mt_buf_add(symbol, p + at, k, err));
        if (at + k == n) MT_TRY(mt_buf_add(symbol, t->word_suffix.p, t->word_suffix.n, err));
        size_t length = k;
        int32_t id = t->merge_only ? mt_vocab_find_bytes(&t->vocab, symbol->data, symbol->len)
                                   : mt_bpe_symbol(&t->bpe, p + at, n - at, &length);
        if (id >= 0) k = length;
        if (id < 0 && (at || at + k == n) && s.p == p + at && (t->word_prefix.n || t->word_suffix.n))
            s = (mt_str){symbol->data, symbol->len};
        if (id >= 0 || !bytes_known(t, s)) {
            bool forget = id < 0 && t->unk < 0, joins = id < 0 && unknown && t->fuse_unk;
            if (forget && !widths->len) forgotten += (int32_t)k;
            if (!forget) unknown = id < 0;
            if (forget || joins) {
                if (widths->len) widths->data[widths->len - 1] += (int32_t)k;
                continue;
            }
            MT_TRY(mt_ids_add(ids, id < 0 ? t->unk : id, err));
            MT_TRY(mt_ids_add(widths, (int32_t)k + forgotten, err));
            forgotten = 0;
            continue;
        }
        unknown = false;
        for (size_t i = 0; i < s.n; i++) {
            MT_TRY(mt_ids_add(ids, t->byte_token[s.p[i]], err));
            MT_TRY(mt_ids_add(widths, (s.n == k ? 1 : i ? 0 : (int32_t)k) + forgotten, err));
            forgotten = 0;
        }
    }
    return MT_OK;
}

static mt_status segment_by_merging(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    mt_ids ids = {0}, widths = {0};
    mt_status status = mt_bpe_symbols(t, p, n, &ids, &widths, err);
    size_t count = ids.len, at = 0;
    if (status == MT_OK) status = mt_bpe_merge(&t->bpe, ids.data, (uint32_t *)widths.data, &count, false, false, err);
    for (size_t i = 0; status == MT_OK && i < count; i++) {
        size_t end = at + (uint32_t)widths.data[i];
        status = mt_emit(t, ids.data[i], (uint32_t)at, (uint32_t)end, err);
        at = end;
    }
    mt_ids_free(&ids);
    mt_ids_free(&widths);
    return status;
}

/* Bytes of one byte of ours in the spelling that the library works on: marks for spaces, the printable alphabet. */
static size_t spelled_width(const mt_tok *t, uint8_t b) {
    uint8_t two[2];
    return t->byte_level ? (size_t)mt_byte_to_char(b, two) : b == ' ' && t->mark.n ? t->mark.n : 1;
}

/* No unknown token: the tokenizers library forgets unknown symbols before it merges, so that their neighbours can merge
 * with each other, and counts offsets in what remains: in the bytes of its own spelling. */
static mt_status segment_without_unknown(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    mt_buf *rest = &t->scratch;
    rest->len = 0;
    MT_TRY(mt_buf_reserve(rest, n, err));
    for (size_t at = 0, k, width; at < n; at += k) {
        k = char_length(t, p + at, n - at);
        if (mt_bpe_symbol(&t->bpe, p + at, n - at, &width) < 0) continue;
        memcpy(rest->data + rest->len, p + at, k);
        rest->len += k;
    }
    mt_ids ids = {0};
    size_t used, taken = 0, old = 0, from = 0; /* spelled bytes of the rest, and of p up to `old` */
    mt_status status = mt_bpe_encode_known(&t->bpe, rest->data, rest->len, MT_BPE_FAST, &ids, &used, err);
    for (size_t i = 0, at = 0; status == MT_OK && i < ids.len; i++) {
        size_t end = at + t->vocab.bytes[ids.data[i]].n, begin_old, width = 0;
        for (; at < end; at++) width += spelled_width(t, rest->data[at]);
        while (old < n && from + spelled_width(t, p[old]) <= taken) from += spelled_width(t, p[old++]);
        begin_old = old;
        taken += width;
        while (old < n && from + spelled_width(t, p[old]) < taken) from += spelled_width(t, p[old++]);
        status = mt_emit(t, ids.data[i], (uint32_t)begin_old, (uint32_t)(width ? old + 1 : old), err);
    }
    mt_ids_free(&ids);
    return status;
}

/* Replaces unused pieces by the parts that they were merged from, down to usable ones. */
static mt_status take_apart(mt_tok *t, size_t from, mt_error *err) {
    mt_ids *ids = &t->out->ids, todo = {0}, done = {0};
    mt_status status = MT_OK;
    for (size_t i = ids->len; i-- > from;) MT_TRY_GOTO(mt_ids_add(&todo, ids->data[i], err), end);
    while (todo.len) {
        int32_t id = todo.data[--todo.len];
        bool known = false;
        if (t->vocab.kind[id] == MT_TOKEN_UNUSED) MT_TRY_GOTO(mt_bpe_reachable(&t->bpe, id, &known, err), end);
        if (known && t->bpe.tok[id].left >= 0) {
            MT_TRY_GOTO(mt_ids_add(&todo, t->bpe.tok[id].right, err), end);
            MT_TRY_GOTO(mt_ids_add(&todo, t->bpe.tok[id].left, err), end);
        } else {
            MT_TRY_GOTO(mt_ids_add(&done, id, err), end);
        }
    }
    ids->len = from;
    MT_TRY_GOTO(mt_ids_reserve(ids, done.len, err), end);
    if (done.len) memcpy(ids->data + from, done.data, done.len * sizeof *done.data);
    ids->len += done.len;
end:
    mt_ids_free(&todo);
    mt_ids_free(&done);
    return status;
}

static mt_status segment(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    mt_bpe *b = &t->bpe;
    size_t length, used;
    int32_t first = mt_bpe_longest(b, p, n, &length);
    /* otherwise the encoder finds a whole token first by itself */
    if (t->ignore_merges && first >= 0 && length == n && !(t->has_unused && t->vocab.kind[first] == MT_TOKEN_UNUSED))
        return mt_emit(t, first, 0, (uint32_t)n, err);
    if (t->merge_only) return segment_by_merging(t, p, n, err);
    uint32_t first_ends[sizeof t->ends / sizeof *t->ends] = {0}, *ends = first_ends;
    size_t at = 0, unknown_from = SIZE_MAX, cap = sizeof first_ends / sizeof *first_ends;
    if (t->want_spans && n > cap) {
        MT_TRY(mt_grow((void **)&b->ends, &b->ends_cap, n, sizeof *ends, err));
        ends = b->ends;
        cap = n;
    }
    while (at < n) {
        size_t from = t->out->ids.len;
        MT_TRY(mt_bpe_encode_from(b, p + at, n - at, first, length, &t->out->ids, &used, ends, cap, err));
        if (used == n && !t->has_unused) { /* nearly always */
            memcpy(t->ends, ends, sizeof t->ends);
            return t->want_spans ? mt_emit_ends(t, from, ends, err) : MT_OK;
        }
        if (used) {
            if (t->has_unused) MT_TRY(take_apart(t, from, err));
            MT_TRY(mt_emit_spans(t, from, (uint32_t)at, err));
            unknown_from = SIZE_MAX;
        }
        at += used;
        if (at == n) break;
        size_t k = char_length(t, p + at, n - at);
        if (t->unk < 0 && !bytes_known(t, fallback_text(t, p + at, k))) {
            t->out->ids.len = t->word_base;
            return segment_without_unknown(t, p, n, err);
        }
        MT_TRY(emit_unknown(t, p, at, k, &unknown_from, err));
        at += k;
        if (at < n) first = mt_bpe_longest(b, p + at, n - at, &length);
    }
    return MT_OK;
}

static void drop(mt_tok *t) {
    mt_bpe_free(&t->bpe);
}

const mt_segmenter mt_segmenter_bpe = {"BPE", true, segment, drop};
