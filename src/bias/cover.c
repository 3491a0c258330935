/* Static cover encodings (Byte-Token Representation Lemma, Phan et al. 2025):
 *
 *   cover(x) = sequences t1..tk that can start an encoding, whose first k-1 tokens are a proper prefix of x and whose
 *              whole starts with x;    Pr(x) = sum of P(t1..tk) over cover(x)
 *
 * Depth-first over the positions of x: at each context every token that agrees with what is left of x is asked whether
 * it can follow. Nothing is shared with the streaming model but the automaton itself.
 *
 *   merges a+b, ab+c; x = "ab": cover = { (ab), (abc) }; (a)(b...) cannot start an encoding */
#include "spell.h"

typedef struct frame {
    mt_spell_place place;
    size_t end;         /* bytes of x covered */
    int32_t rank;       /* last token */
    size_t next, limit; /* tokens still to try: those that start with x[end..next_depth) are found by length */
    size_t depth;       /* tokens of this length are being tried; 0: those that stick out come first */
} frame;

typedef struct search {
    mt_spell *spell;
    const uint8_t *x;
    size_t n, limit;
    mt_cover *out;
    mt_ids path;
    frame *stack;
    size_t depth, cap;
    mt_error *err;
} search;

static mt_status emit(search *s, size_t rank) {
    if (s->out->count == s->limit)
        return mt_fail(s->err, MT_ELIMIT, "more than %zu cover encodings of %zu bytes", s->limit, s->n);
    for (size_t i = 0; i < s->path.len; i++) MT_TRY(mt_ids_add(&s->out->ids, s->path.data[i], s->err));
    MT_TRY(mt_ids_add(&s->out->ids, mt_spell_id(s->spell, rank), s->err));
    MT_TRY(mt_ids_add(&s->out->start, (int32_t)s->out->ids.len, s->err));
    s->out->count++;
    return MT_OK;
}

static mt_status descend(search *s, const frame *from, size_t rank) {
    MT_TRY(mt_grow((void **)&s->stack, &s->cap, s->depth + 1, sizeof *s->stack, s->err));
    frame *parent = from ? &s->stack[s->depth - 1] : NULL;
    frame next = {.rank = -1};
    mt_status status;
    if (parent) {
        status = mt_spell_follow(s->spell, &parent->place, parent->rank, rank, &next.place, s->err);
        next.end = parent->end + mt_spell_text(s->spell, rank).n;
        next.rank = (int32_t)rank;
        if (!status) status = mt_ids_add(&s->path, mt_spell_id(s->spell, rank), s->err);
    } else {
        status = mt_spell_begin(s->spell, &next.place, s->err);
    }
    s->stack[s->depth++] = next;
    return status;
}

/* Tokens that start with, or equal, what is left of x. */
static mt_status finish_here(search *s) {
    frame *f = &s->stack[s->depth - 1];
    size_t lo = 0, hi = mt_spell_count(s->spell);
    for (size_t i = f->end; i < s->n; i++) mt_spell_narrow(s->spell, &lo, &hi, i - f->end, s->x[i]);
    for (size_t i = lo; i < hi; i++) {
        bool in;
        MT_TRY(mt_spell_member(s->spell, &f->place, f->rank, i, 0, &in, s->err));
        if (in) MT_TRY(emit(s, i));
    }
    return MT_OK;
}

/* The next token that is a proper prefix of what is left of x: by length, then by rank. */
static bool next_inner(search *s, frame *f, size_t *rank) {
    for (;;) {
        while (f->next < f->limit) {
            size_t i = f->next++;
            if (mt_spell_text(s->spell, i).n == f->depth) {
                *rank = i;
                return true;
            }
            f->next = f->limit; /* sorted: longer ones only */
        }
        if (f->depth + 1 >= s->n - f->end) return false;
        f->depth++;
        f->next = 0;
        f->limit = mt_spell_count(s->spell);
        for (size_t i = 0; i < f->depth; i++) mt_spell_narrow(s->spell, &f->next, &f->limit, i, s->x[f->end + i]);
        if (f->next == f->limit) return false;
    }
}

mt_status mt_cover_find_source(const mt_spell_source *source, int32_t vocab, const uint8_t *x, size_t n, size_t limit,
                               mt_cover *out, mt_error *err) {
    search s = {.x = x, .n = n, .limit = limit, .out = out, .err = err};
    mt_buf spaced = {0};
    mt_status status;
    *out = (mt_cover){0};
    MT_TRY_GOTO(mt_ids_add(&out->start, 0, err), done);
    MT_TRY_GOTO(mt_spell_new(source, vocab, &s.spell, err), done);
    if (source->prefix_space && n) {
        MT_TRY_GOTO(mt_buf_byte(&spaced, ' ', err), done);
        MT_TRY_GOTO(mt_buf_add(&spaced, x, n, err), done);
        s.x = spaced.data;
        s.n = spaced.len;
    }
    if (s.n == 0) { /* the empty sequence covers the empty text */
        MT_TRY_GOTO(mt_ids_add(&out->start, 0, err), done);
        out->count = 1;
        goto done;
    }
    MT_TRY_GOTO(descend(&s, NULL, 0), done);
    MT_TRY_GOTO(finish_here(&s), done);
    while (s.depth) {
        frame *f = &s.stack[s.depth - 1];
        size_t rank;
        bool in = false;
        if (!next_inner(&s, f, &rank)) {
            mt_spell_place_free(&f->place);
            s.depth--;
            if (s.depth) s.path.len--;
            continue;
        }
        MT_TRY_GOTO(mt_spell_member(s.spell, &f->place, f->rank, rank, 0, &in, err), done);
        if (!in) continue;
        MT_TRY_GOTO(descend(&s, f, rank), done);
        MT_TRY_GOTO(finish_here(&s), done);
    }
done:
    while (s.depth) mt_spell_place_free(&s.stack[--s.depth].place);
    mt_free(s.stack);
    mt_ids_free(&s.path);
    mt_buf_free(&spaced);
    mt_spell_free(s.spell);
    if (status) mt_cover_free(out);
    return status;
}

mt_status mt_cover_find(mt_tok *t, int32_t vocab, mt_target target, const uint8_t *x, size_t n, size_t limit,
                        mt_cover *out, mt_error *err) {
    mt_spell_source source;
    *out = (mt_cover){0};
    MT_TRY(mt_spell_source_of(t, target, &source, err));
    source.free = target == MT_TARGET_ALL;
    return mt_cover_find_source(&source, vocab, x, n, limit, out, err);
}

void mt_cover_free(mt_cover *c) {
    mt_ids_free(&c->ids);
    mt_ids_free(&c->start);
    *c = (mt_cover){0};
}
