/* Decoding: pieces go through the decoder steps as a list of strings, as the tokenizers library defines them, and are
 * joined. The two commonest cases, byte-level and plain bytes, are a concatenation. */
#include "tok.h"

/* Strings end to end; ends[i] is where string i ends. */
typedef struct list {
    mt_buf text;
    mt_ids ends;
    size_t from; /* bytes of the pieces */
} list;

static mt_status close_string(list *l, mt_error *err) {
    if (l->text.len > INT32_MAX) return mt_fail(err, MT_ELIMIT, "a decoded text of more than 2 GiB");
    MT_TRY(mt_too_long(l->from, l->text.len, err));
    return mt_ids_add(&l->ends, (int32_t)l->text.len, err);
}
static mt_str string_at(const list *l, size_t i) {
    size_t from = i ? (size_t)l->ends.data[i - 1] : 0;
    return (mt_str){l->text.data + from, (size_t)l->ends.data[i] - from};
}

static mt_status replace_all(mt_str s, const mt_pattern *p, mt_str by, mt_buf *out, mt_error *err) {
    size_t kept = 0;
    mt_matches m = {.last = SIZE_MAX};
    bool found = s.n > 0;
    while (found) {
        MT_TRY(mt_pattern_next(p, s.p, s.n, &m, &found, err));
        if (!found) break;
        MT_TRY(mt_buf_add(out, s.p + kept, m.begin - kept, err));
        MT_TRY(mt_buf_add(out, by.p, by.n, err));
        kept = m.end;
    }
    return mt_buf_add(out, s.p + kept, s.n - kept, err);
}

static mt_status replace_literal(mt_str s, const char *what, const char *by, mt_buf *out, mt_error *err) {
    mt_pattern p = {mt_str_of(what), NULL};
    return replace_all(s, &p, mt_str_of(by), out, err);
}

/* English clean-up of the tokenizers library, in its order, one string at a time. */
static mt_status clean_up(mt_str s, mt_buf *out, mt_error *err) {
    static const char *const rules[][2] = {{" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
                                           {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
                                           {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    mt_buf a = {0}, b = {0};
    mt_status status = mt_buf_add(&a, s.p, s.n, err);
    for (size_t i = 0; status == MT_OK && i < sizeof rules / sizeof *rules; i++) {
        b.len = 0;
        status = replace_literal((mt_str){a.data, a.len}, rules[i][0], rules[i][1], &b, err);
        mt_buf t = a;
        a = b;
        b = t;
    }
    if (status == MT_OK) status = mt_buf_add(out, a.data, a.len, err);
    mt_buf_free(&a);
    mt_buf_free(&b);
    return status;
}

static bool starts_with(mt_str s, mt_str prefix) {
    return s.n >= prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0;
}

static int hex_digit(uint8_t c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}
static int byte_piece(mt_str s) {
    if (s.n != 6 || memcmp(s.p, "<0x", 3) != 0 || s.p[5] != '>') return -1;
    int a = s.p[3] == '+' ? 0 : hex_digit(s.p[3]), b = hex_digit(s.p[4]); /* a sign is a number's part in Rust */
    return a < 0 || b < 0 ? -1 : a << 4 | b;
}

/* Joins runs of byte pieces; a run that is not UTF-8 becomes one U+FFFD a byte. */
static mt_status byte_fallback(const list *in, list *out, mt_error *err) {
    uint8_t *run = NULL;
    size_t count = in->ends.len, n = 0;
    mt_status status = MT_OK;
    run = mt_malloc(count);
    if (!run) return mt_nomem(err, count, "decoding");
    for (size_t i = 0; i <= count; i++) {
        int b = i < count ? byte_piece(string_at(in, i)) : -1;
        if (b >= 0) {
            run[n++] = (uint8_t)b;
            continue;
        }
        if (n && mt_utf8_valid(run, n)) {
            MT_TRY_GOTO(mt_buf_add(&out->text, run, n, err), done);
            MT_TRY_GOTO(close_string(out, err), done);
        } else {
            for (size_t k = 0; k < n; k++) {
                MT_TRY_GOTO(mt_buf_add(&out->text, "\xEF\xBF\xBD", 3, err), done);
                MT_TRY_GOTO(close_string(out, err), done);
            }
        }
        n = 0;
        if (i == count) break;
        mt_str s = string_at(in, i);
        MT_TRY_GOTO(mt_buf_add(&out->text, s.p, s.n, err), done);
        MT_TRY_GOTO(close_string(out, err), done);
    }
done:
    mt_free(run);
    return status;
}

static mt_status byte_level(mt_str s, mt_buf *out, mt_error *err) {
    size_t start = out->len;
    for (size_t i = 0, k; i < s.n; i += k) {
        uint32_t c;
        k = (size_t)mt_utf8_decode(s.p + i, s.n - i, &c);
        int b = k ? mt_char_to_byte(c) : -1;
        if (b < 0) { /* one character outside the alphabet: the string stands for itself */
            out->len = start;
            return mt_buf_add(out, s.p, s.n, err);
        }
        MT_TRY(mt_buf_byte(out, (uint8_t)b, err));
    }
    return MT_OK;
}

static mt_status strip(const mt_decoder *d, mt_str s, mt_buf *out, mt_error *err) {
    for (size_t i = 0; i < d->start && d->content.n && starts_with(s, d->content); i++)
        s.p += d->content.n, s.n -= d->content.n;
    for (size_t i = 0; i < d->stop && d->content.n && s.n >= d->content.n; i++) {
        if (memcmp(s.p + s.n - d->content.n, d->content.p, d->content.n) != 0) break;
        s.n -= d->content.n;
    }
    return mt_buf_add(out, s.p, s.n, err);
}

static mt_status one_string(const mt_decoder *d, mt_str s, size_t i, size_t count, mt_buf *out, mt_error *err) {
    switch (d->kind) {
    case MT_DECODE_REPLACE:
        return replace_all(s, &d->pattern, d->content, out, err);
    case MT_DECODE_STRIP:
        return strip(d, s, out, err);
    case MT_DECODE_BYTE_LEVEL:
        return byte_level(s, out, err);
    case MT_DECODE_METASPACE:
        return replace_all(s, &d->pattern, mt_str_of(!i && d->prefix ? "" : " "), out, err);
    case MT_DECODE_BPE:
        return replace_all(s, &d->pattern, mt_str_of(i + 1 == count ? "" : " "), out, err);
    case MT_DECODE_WORDPIECE: {
        mt_buf word = {0};
        mt_status status = MT_OK;
        if (i && starts_with(s, d->content))
            s.p += d->content.n, s.n -= d->content.n;
        else if (i)
            status = mt_buf_byte(&word, ' ', err);
        if (status == MT_OK) status = mt_buf_add(&word, s.p, s.n, err);
        if (status == MT_OK)
            status = d->cleanup ? clean_up((mt_str){word.data, word.len}, out, err)
                                : mt_buf_add(out, word.data, word.len, err);
        mt_buf_free(&word);
        return status;
    }
    default:
        return mt_buf_add(out, s.p, s.n, err);
    }
}

static mt_status run_step(const mt_decoder *d, const list *in, list *out, mt_error *err) {
    size_t count = in->ends.len;
    if (d->kind == MT_DECODE_BYTE_FALLBACK) return byte_fallback(in, out, err);
    for (size_t i = 0; i < count; i++) {
        mt_str s = string_at(in, i);
        if (d->kind == MT_DECODE_CTC) {
            if (i && mt_str_eq(s, string_at(in, i - 1))) continue;
            mt_buf a = {0}, b = {0};
            mt_pattern pad = {d->content, NULL}, bar = {d->extra, NULL};
            mt_status status = replace_all(s, &pad, mt_str_of(""), &a, err);
            if (status == MT_OK && d->cleanup) {
                status = clean_up((mt_str){a.data, a.len}, &b, err);
                a.len = 0;
                if (status == MT_OK) status = replace_all((mt_str){b.data, b.len}, &bar, mt_str_of(" "), &a, err);
            }
            bool empty = !a.len;
            if (status == MT_OK) status = mt_buf_add(&out->text, a.data, a.len, err);
            mt_buf_free(&a);
            mt_buf_free(&b);
            MT_TRY(status);
            if (empty) continue;
        } else {
            MT_TRY(one_string(d, s, i, count, &out->text, err));
        }
        bool joined = d->kind == MT_DECODE_FUSE || d->kind == MT_DECODE_BYTE_LEVEL;
        if (!joined || i + 1 == count) MT_TRY(close_string(out, err));
    }
    return MT_OK;
}

/* SentencePiece: byte pieces are joined (each byte that is not UTF-8 becomes U+FFFD), marks become spaces, the prefix
 * space of the text is dropped, control pieces say nothing. */
static mt_status spm(mt_tok *t, const mt_decoder *d, const int32_t *ids, size_t n, bool skip, mt_buf *out,
                     mt_error *err) {
    bool first = true;
    for (size_t i = 0; i < n;) {
        mt_token_kind kind = (mt_token_kind)t->vocab.kind[ids[i]];
        mt_str s = mt_vocab_bytes(&t->vocab, ids[i]);
        if (kind == MT_TOKEN_BYTE) {
            size_t at = t->scratch.len = 0, k;
            for (; i < n && t->vocab.kind[ids[i]] == MT_TOKEN_BYTE; i++)
                MT_TRY(mt_buf_byte(&t->scratch, mt_vocab_bytes(&t->vocab, ids[i]).p[0], err));
            for (; at < t->scratch.len; at += k) {
                uint32_t c;
                k = (size_t)mt_utf8_decode(t->scratch.data + at, t->scratch.len - at, &c);
                MT_TRY(k ? mt_buf_add(out, t->scratch.data + at, k, err) : mt_buf_add(out, "\xEF\xBF\xBD", 3, err));
                if (!k) k = 1;
            }
            first = false;
            continue;
        }
        i++;
        if (kind == MT_TOKEN_SPECIAL || kind == MT_TOKEN_HOLE) {
            if (!skip && !d->cleanup) MT_TRY(mt_buf_add(out, s.p, s.n, err));
            continue;
        }
        if (kind == MT_TOKEN_UNKNOWN) {
            MT_TRY(mt_buf_add(out, d->extra.p, d->extra.n, err));
            first = false;
            continue;
        }
        if (first && d->prefix && s.n && s.p[0] == ' ') s.p++, s.n--;
        if (s.n || !d->stop) first = false;
        MT_TRY(mt_buf_add(out, s.p, s.n, err));
    }
    return MT_OK;
}

static bool skipped(const mt_tok *t, int32_t id, bool skip) {
    return skip && (t->vocab.flags[id] & MT_IS_SPECIAL);
}

mt_status mt_tok_decode(mt_tok *t, const int32_t *ids, size_t n, const mt_decode_options *options, mt_buf *out,
                        mt_error *err) {
    bool skip = options && options->skip_special_tokens, raw = options && options->raw;
    size_t start = out->len;
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= t->vocab.size)
            return mt_fail(err, MT_ERANGE, "token id %d at position %zu: ids are 0..%d", ids[i], i, t->vocab.size - 1);
    mt_decode_kind kind = t->decoder_len ? t->decoder[0].kind : MT_DECODE_FUSE;
    bool bytes =
        raw || (t->decoder_len == 1 && (kind == MT_DECODE_BYTES || (kind == MT_DECODE_BYTE_LEVEL && t->byte_level)));
    mt_status status = MT_OK;
    if (bytes) {
        for (size_t i = 0; i < n; i++) {
            if (skipped(t, ids[i], skip)) continue;
            mt_str s = mt_vocab_bytes(&t->vocab, ids[i]);
            MT_TRY_GOTO(mt_buf_add(out, s.p, s.n, err), fail);
        }
        return MT_OK;
    }
    if (t->decoder_len == 1 && kind == MT_DECODE_SPM) {
        status = spm(t, &t->decoder[0], ids, n, skip, out, err);
        if (status == MT_OK && t->denormalize && out->len > start) {
            mt_view v = {out->data + start, out->len - start, NULL, 0};
            status = mt_denormalize(t, v, &t->work[0], err);
            out->len = start;
            if (status == MT_OK) status = mt_buf_add(out, t->work[0].data, t->work[0].len, err);
        }
        if (status != MT_OK) out->len = start;
        return status;
    }
    list a = {0}, b = {0};
    bool some = false;
    for (size_t i = 0; i < n; i++) {
        if (skipped(t, ids[i], skip) || t->vocab.kind[ids[i]] == MT_TOKEN_HOLE) continue;
        mt_str s = mt_vocab_piece(&t->vocab, ids[i]);
        if (t->join_with_space && some) MT_TRY_GOTO(mt_buf_byte(&a.text, ' ', err), done);
        MT_TRY_GOTO(mt_buf_add(&a.text, s.p, s.n, err), done);
        a.from = a.text.len;
        MT_TRY_GOTO(close_string(&a, err), done);
        some = true;
    }
    b.from = a.from;
    for (size_t i = 0; i < t->decoder_len; i++) {
        b.text.len = b.ends.len = 0;
        MT_TRY_GOTO(run_step(&t->decoder[i], &a, &b, err), done);
        list swap = a;
        a = b;
        b = swap;
    }
    status = mt_buf_add(out, a.text.data, a.text.len, err);
done:
    mt_buf_free(&a.text);
    mt_buf_free(&b.text);
    mt_ids_free(&a.ends);
    mt_ids_free(&b.ends);
fail:
    if (status != MT_OK) out->len = start;
    return status;
}
