/* tokenizer.json of the Hugging Face tokenizers library -> mt_tok. One pass over the JSON: vocabulary and merges go
 * straight into their tables, everything else becomes pipeline steps. What the file asks for and we do not know is an
 * error that names it; truncation and padding are read and reported, not applied.
 *
 * After reading, `settle` looks at the steps as a whole: the byte alphabet and the space mark are taken off where that
 * does not change the result (see tok.h). */
#include "load_json.h"

mt_status mt_json_unknown(mt_json_reader *r, const char *what, mt_str name, const char *known) {
    char shown[80];
    return mt_json_fail(&r->j, MT_EUNKNOWN, "unknown %s \"%s\" (known: %s)", what,
                        mt_str_show(name, shown, sizeof shown), known);
}

mt_str mt_json_type_ahead(mt_json_reader *r, const char *const (*signs)[2]) {
    mt_json ahead = r->j;
    mt_str key, type = {(const uint8_t *)"", 0};
    size_t best = SIZE_MAX;
    ahead.arena = (mt_arena){0};
    mt_error quiet;
    ahead.err = &quiet;
    if (mt_json_object(&ahead) == MT_OK)
        while (mt_json_key(&ahead, &key)) {
            if (mt_str_is(key, "type") && mt_json_peek(&ahead) == MT_JSON_STRING) {
                type = mt_json_string(&ahead);
                best = SIZE_MAX;
                break;
            }
            for (size_t i = 0; signs && signs[i][0]; i++)
                if (mt_str_is(key, signs[i][0]) && i < best) best = i;
            mt_json_skip(&ahead);
        }
    /* a type that was escaped in the file lives in the arena that goes away: none is */
    bool borrowed = type.p >= ahead.begin && type.p < ahead.end;
    mt_arena_free(&ahead.arena);
    return borrowed ? type : mt_str_of(best < SIZE_MAX ? signs[best][1] : "");
}

mt_status mt_json_overlook(mt_json_reader *r, mt_str type, mt_str key) {
    static const char *const harmless[] = {"type", "str_rep", "_type", "tokens"};
    bool known = false;
    char shown[2][60];
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) known |= mt_str_is(key, harmless[i]);
    if (!known)
        MT_TRY(mt_tok_warn(r->t, r->err, "unknown setting \"%s\" of %s: not applied", mt_str_show(key, shown[0], 60),
                           mt_str_show(type, shown[1], 60)));
    return mt_json_skip(&r->j);
}

bool mt_json_optional_bool(mt_json_reader *r) {
    return !mt_json_null(&r->j) && mt_json_bool(&r->j);
}
mt_str mt_json_optional_string(mt_json_reader *r) {
    return mt_json_null(&r->j) ? mt_str_of("") : mt_json_string(&r->j);
}

/* The library's expressions are Oniguruma's Ruby dialect: ^ and $ are begin and end of a line (^ not behind a line end
 * that ends the text), and the flag m is what others call s. */
static mt_status add_regex(mt_json_reader *r, mt_str s, mt_pattern *out) {
    mt_buf b = {0};
    bool lines = false, in_class = false;
    mt_status status = MT_OK;
    for (size_t i = 0; i < s.n && status == MT_OK; i++) {
        size_t k = i;
        if (s.p[i] == '\\' && i + 1 < s.n) {
            status = mt_buf_add(&b, s.p + i++, 2, r->err);
            continue;
        }
        if (in_class || s.p[i] == '[') {
            if (s.p[i] == '[' && i + 1 < s.n && s.p[i + 1] == ':') /* [[:alpha:]] */
                while (i + 1 < s.n && s.p[i] != ']') i++;
            else
                in_class = s.p[i] != ']';
            status = mt_buf_add(&b, s.p + k, i + 1 - k, r->err);
            continue;
        }
        lines |= s.p[i] == '^' || s.p[i] == '$';
        status = s.p[i] == '^' ? mt_buf_add(&b, "^(?!\\z)", 7, r->err) : mt_buf_byte(&b, s.p[i], r->err);
        if (s.p[i] != '(' || i + 1 == s.n || s.p[i + 1] != '?') continue;
        for (k = i + 1; k + 1 < s.n && strchr("?imx-", s.p[k + 1]); k++);
        if (k + 1 < s.n && (s.p[k + 1] == ')' || s.p[k + 1] == ':'))
            for (; i < k && status == MT_OK; i++)
                status = mt_buf_byte(&b, s.p[i + 1] == 'm' ? 's' : s.p[i + 1], r->err);
    }
    if (status == MT_OK && lines) {
        mt_buf whole = {0};
        status = mt_buf_add(&whole, "(?m)", 4, r->err);
        if (status == MT_OK) status = mt_buf_add(&whole, b.data, b.len, r->err);
        mt_buf_free(&b);
        b = whole;
    }
    if (status == MT_OK) status = mt_tok_regex(r->t, (mt_str){b.data, b.len}, out, r->err);
    mt_buf_free(&b);
    return status;
}

mt_status mt_json_pattern(mt_json_reader *r, mt_pattern *out) {
    mt_str key;
    if (mt_json_peek(&r->j) == MT_JSON_STRING) return mt_tok_literal(r->t, mt_json_string(&r->j), out, r->err);
    MT_TRY(mt_json_object(&r->j));
    while (mt_json_key(&r->j, &key)) {
        mt_str s = mt_json_string(&r->j);
        MT_TRY(r->j.status);
        if (mt_str_is(key, "String"))
            MT_TRY(mt_tok_literal(r->t, s, out, r->err));
        else if (mt_str_is(key, "Regex"))
            MT_TRY(add_regex(r, s, out));
        else
            return mt_json_unknown(r, "pattern", key, "String, Regex");
    }
    return r->j.status;
}

/* ---- added tokens ---- */

static mt_status read_added(mt_json_reader *r) {
    mt_json *j = &r->j;
    mt_str key;
    if (mt_json_null(j)) return MT_OK;
    MT_TRY(mt_json_array(j));
    while (mt_json_next(j)) {
        mt_added a = {.id = -1};
        int64_t id = -1;
        a.content = mt_str_of("");
        MT_TRY(mt_json_object(j));
        bool normalized_set = false;
        while (mt_json_key(j, &key)) {
            if (mt_str_is(key, "id"))
                id = mt_json_int(j);
            else if (mt_str_is(key, "content"))
                MT_TRY(mt_tok_copy(r->t, mt_json_string(j), &a.content, r->err));
            else if (mt_str_is(key, "special"))
                a.special = mt_json_optional_bool(r);
            else if (mt_str_is(key, "normalized")) {
                normalized_set = true;
                a.normalized = mt_json_optional_bool(r);
            } else if (mt_str_is(key, "lstrip"))
                a.lstrip = mt_json_optional_bool(r);
            else if (mt_str_is(key, "rstrip"))
                a.rstrip = mt_json_optional_bool(r);
            else if (mt_str_is(key, "single_word"))
                a.single_word = mt_json_optional_bool(r);
            else
                MT_TRY(mt_json_skip(j));
        }
        MT_TRY(j->status);
        if (!normalized_set) a.normalized = !a.special;
        if (!a.content.n) continue;
        mt_added *slot = mt_tok_add_added(r->t, r->err);
        if (!slot) return MT_ENOMEM;
        *slot = a;
        MT_TRY(mt_grow((void **)&r->declared, &r->declared_cap, r->declared_len + 1, sizeof *r->declared, r->err));
        r->declared[r->declared_len++] = id;
    }
    return j->status;
}

/* Ids as the library gives them: the model's own id of that piece, else the next free one. */
static mt_status settle_added(mt_json_reader *r) {
    mt_tok *t = r->t;
    mt_vocab *v = &t->vocab;
    int64_t model_size = 0, top = -1;
    for (int32_t id = 0; id < v->size; id++) model_size += v->kind[id] != MT_TOKEN_HOLE;
    for (size_t i = 0; i < t->added_len; i++) {
        mt_added *a = &t->added[i];
        int64_t id = mt_vocab_find_piece(v, a->content);
        char shown[80];
        if (id < 0) {
            id = top >= model_size ? top + 1 : model_size;
            if (r->declared[i] >= 0 && r->declared[i] != id) {
                /* the vocabulary has holes, or the list does: what the file says is what models were trained with */
                if (r->declared[i] < v->size && v->kind[r->declared[i]] != MT_TOKEN_HOLE)
                    MT_TRY(mt_tok_warn(t, r->err, "added token \"%s\": id %lld is taken, it becomes %lld",
                                       mt_str_show(a->content, shown, sizeof shown), (long long)r->declared[i],
                                       (long long)id));
                else
                    id = r->declared[i];
            }
            MT_TRY(mt_vocab_set_piece(v, id, a->content, r->err));
            MT_TRY(mt_vocab_index_piece(v, (int32_t)id, false, r->err));
        }
        if (id > top) top = id;
        a->id = (int32_t)id;
        v->flags[id] |= MT_IN_ADDED | (a->special ? MT_IS_SPECIAL : 0);
        v->kind[id] = a->special ? MT_TOKEN_SPECIAL : MT_TOKEN_USER;
    }
    return MT_OK;
}

/* ---- settling ---- */

static void remove_norm(mt_tok *t, size_t i) {
    memmove(&t->norm[i], &t->norm[i + 1], (--t->norm_len - i) * sizeof *t->norm);
}
static void remove_split(mt_tok *t, size_t i) {
    memmove(&t->split[i], &t->split[i + 1], (--t->split_len - i) * sizeof *t->split);
}

/* The byte alphabet: text is spelled in it by a step, vocabularies are read without it. Where it is put on last it need
 * not be put on; where only cuts follow it is taken off again behind them; else all stays as it is written. */
static mt_status settle_byte_level(mt_json_reader *r) {
    mt_tok *t = r->t;
    bool cuts = true; /* is the text after the last time that the alphabet is put on only cut? */
    for (size_t i = 0; i < t->norm_len; i++) {
        bool puts = t->norm[i].kind == MT_NORM_BYTE_LEVEL;
        t->byte_level |= puts;
        cuts = puts;
    }
    for (size_t i = 0; i < t->split_len; i++) {
        mt_split_kind k = t->split[i].kind;
        t->byte_level |= k == MT_SPLIT_BYTE_LEVEL;
        cuts = k == MT_SPLIT_BYTE_LEVEL || (cuts && k != MT_SPLIT_METASPACE && k != MT_SPLIT_PREFIX);
    }
    r->as_written |= t->byte_level && (t->mark.n || !cuts);
    if (r->as_written) t->byte_level = false;
    if (!t->byte_level) return MT_OK;
    if (t->split_len && t->split[t->split_len - 1].kind == MT_SPLIT_BYTE_LEVEL)
        remove_split(t, t->split_len - 1);
    else if (!t->split_len && t->norm[t->norm_len - 1].kind == MT_NORM_BYTE_LEVEL)
        remove_norm(t, t->norm_len - 1);
    else
        return mt_tok_add_split(t, MT_SPLIT_RAW, r->err) ? MT_OK : MT_ENOMEM;
    return MT_OK;
}

static bool is_literal(const mt_pattern *p, const char *s) {
    return !p->regex && mt_str_is(p->text, s);
}

static bool one_character(mt_str s) {
    uint32_t c;
    return (size_t)mt_utf8_decode(s.p, s.n, &c) == s.n;
}

/* The space mark (see tok.h). Either the last normalizer puts it, or Metaspace does. */
static mt_status settle_mark(mt_json_reader *r) {
    mt_tok *t = r->t;
    for (size_t i = 0; i < t->split_len && r->as_written; i++) t->split[i].physical = true;
    if (r->as_written) t->mark = mt_str_of("");
    if (r->as_written) return MT_OK;
    mt_norm *last = t->norm_len ? &t->norm[t->norm_len - 1] : NULL;
    bool by_norm = last && last->kind == MT_NORM_REPLACE && is_literal(&last->pattern, " ") && last->content.n > 1 &&
                   one_character(last->content) && !t->byte_level;
    if (by_norm && t->mark.n && !mt_str_eq(t->mark, last->content)) by_norm = false;
    if (by_norm) {
        t->mark = last->content;
        /* no space is left for these to find */
        for (size_t i = t->split_len; i-- > 0;)
            if (t->split[i].kind == MT_SPLIT_PATTERN && !t->split[i].pattern.regex && t->split[i].pattern.text.n &&
                memchr(t->split[i].pattern.text.p, ' ', t->split[i].pattern.text.n))
                remove_split(t, i);
        bool quiet = true; /* does anything after look at the text? */
        for (size_t i = 0; i < t->split_len; i++) {
            const mt_split *s = &t->split[i];
            bool literal = s->kind == MT_SPLIT_PATTERN && !s->pattern.regex && s->pattern.text.n &&
                           !(s->pattern.text.n >= t->mark.n && s->pattern.text.p[0] == t->mark.p[0]);
            quiet &= literal || (s->kind == MT_SPLIT_METASPACE && i + 1 == t->split_len);
        }
        /* Added tokens that are found behind the normalizer look at what stands beside them. */
        for (size_t i = 0; i < t->added_len; i++)
            quiet &= !t->added[i].normalized || !(t->added[i].lstrip || t->added[i].rstrip || t->added[i].single_word);
        if (quiet) {
            mt_pattern mark = {t->mark, NULL};
            *last = (mt_norm){.kind = MT_NORM_UNMARK, .pattern = mark, .content = mt_str_of(" ")};
            mt_norm *before = t->norm_len > 1 ? last - 1 : NULL;
            if (before && before->kind == MT_NORM_PREPEND && mt_str_eq(before->content, t->mark))
                before->content = mt_str_of(" ");
            return MT_OK;
        }
        for (size_t k = 0; k < t->split_len; k++) t->split[k].physical = true;
        return mt_tok_add_split(t, MT_SPLIT_UNMARK, r->err) ? MT_OK : MT_ENOMEM;
    }
    bool last_alone = true; /* Metaspace at the end: marks need not be put on */
    for (size_t i = 0; i + 1 < t->split_len; i++) last_alone &= t->split[i].kind != MT_SPLIT_METASPACE;
    if (!t->mark.n || last_alone) return MT_OK;
    for (size_t i = 0; i < t->split_len; i++) t->split[i].physical = true;
    return mt_tok_add_split(t, MT_SPLIT_UNMARK, r->err) ? MT_OK : MT_ENOMEM;
}

/* tokenizer.json does not say which tokens begin and end a text: the template shows it, else the usual names do. */
static void find_ends(mt_tok *t) {
    static const char *const begins[] = {"<|begin_of_text|>", "<s>",           "<bos>", "[CLS]",
                                         "<|startoftext|>",   "<|endoftext|>", NULL};
    static const char *const ends[] = {"<|end_of_text|>", "</s>", "<eos>", "<|endoftext|>", "[SEP]", "<|end|>", NULL};
    t->bos = mt_template_first(&t->one);
    t->eos = mt_template_last(&t->one);
    for (int pass = 0; pass < 2; pass++) {
        int32_t *id = pass ? &t->eos : &t->bos;
        for (const char *const *name = pass ? ends : begins; *id < 0 && *name; name++) {
            int32_t found = mt_vocab_find_piece(&t->vocab, mt_str_of(*name));
            if (found >= 0 && t->vocab.flags[found] & MT_IN_ADDED) *id = found;
        }
    }
}

static mt_status settle(mt_json_reader *r) {
    mt_tok *t = r->t;
    if (!r->has_vocab) return mt_fail(r->err, MT_EMISSING, "no model with a vocabulary in the file");
    MT_TRY(settle_added(r));
    MT_TRY(settle_byte_level(r));
    MT_TRY(settle_mark(r));
    MT_TRY(mt_json_settle_model(r));
    MT_TRY(mt_json_settle_frame(r));
    find_ends(t);
    t->join_with_space = !r->has_decoder;
    return mt_tok_finish(t, r->err);
}

static mt_status read_all(mt_json_reader *r) {
    mt_json *j = &r->j;
    mt_str key;
    MT_TRY(mt_json_object(j));
    while (mt_json_key(j, &key)) {
        if (mt_str_is(key, "model"))
            MT_TRY(mt_json_model(r));
        else if (mt_str_is(key, "added_tokens"))
            MT_TRY(read_added(r));
        else if (mt_str_is(key, "normalizer"))
            MT_TRY(mt_json_normalizer(r));
        else if (mt_str_is(key, "pre_tokenizer"))
            MT_TRY(mt_json_splitter(r));
        else if (mt_str_is(key, "post_processor"))
            MT_TRY(mt_json_post(r));
        else if (mt_str_is(key, "decoder"))
            MT_TRY(mt_json_decoder(r));
        else if (mt_str_is(key, "truncation") || mt_str_is(key, "padding")) {
            if (mt_json_null(j)) continue;
            MT_TRY(mt_tok_warn(r->t, r->err, "the file's %.*s settings are not applied", (int)key.n, key.p));
            MT_TRY(mt_json_skip(j));
        } else if (mt_str_is(key, "version"))
            MT_TRY(mt_json_skip(j));
        else
            MT_TRY(mt_json_overlook(r, mt_str_of("the file"), key));
    }
    return j->status;
}

mt_status mt_tok_load_json(const uint8_t *p, size_t n, mt_tok **out, mt_error *err) {
    mt_json_reader r = {.err = err};
    r.type = r.unk_token = mt_str_of("");
    *out = NULL;
    MT_TRY(mt_tok_new(&r.t, err));
    mt_json_open(&r.j, p, n, err);
    mt_status status = read_all(&r);
    mt_error quiet;
    if (status != MT_OK) r.j.err = &quiet; /* what it was stays said */
    mt_status closed = mt_json_close(&r.j);
    if (status == MT_OK) status = closed;
    if (status == MT_OK) status = settle(&r);
    for (size_t i = 0; i < r.named_len; i++) mt_ids_free(&r.named[i].ids);
    mt_free(r.named);
    mt_free(r.frame);
    mt_free(r.declared);
    if (status != MT_OK) {
        mt_tok_free(r.t);
        return status;
    }
    *out = r.t;
    return MT_OK;
}
