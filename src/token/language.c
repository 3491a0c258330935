/* The automaton of language.h: a state is a state of the expression's byte automaton together with a class of last
 * tokens. Two last tokens are of one class when the pieces at their right end that can be the left part of a merge, and
 * the ranks at which those pieces are used up, are the same: then the pair test cannot tell them apart.
 *
 *     merges  a b, ab c, b c:   after "ab" no c can follow (it would have been abc); after "b" no c either (bc) */
#include "language.h"

#include "tok.h"

typedef struct state {
    int32_t text; /* of the byte automaton; 0 without one */
    int32_t last; /* class, -1: no token yet */
} state;

struct mt_language {
    mt_tok *tok;
    bool canonical;
    mt_regex *regex;
    mt_dfa *dfa; /* NULL: any text */
    state *states;
    size_t len, cap;
    mt_map64 index;
    /* classes */
    int32_t *class_of; /* by token: class, -2 not looked at, -3 no token of texts */
    int32_t *example;  /* by class: a token of it */
    size_t classes, class_cap;
    mt_map class_index;
    mt_arena arena;
    const int32_t *sorted;
    size_t sorted_len;
    uint32_t longest;
    int32_t *path; /* states of the byte automaton along the token being walked */
};

static mt_status intern(mt_language *l, int32_t text, int32_t last, int32_t *out, mt_error *err) {
    uint64_t key = (uint64_t)(uint32_t)text << 32 | (uint32_t)(last + 1);
    if (mt_map64_get(&l->index, key, out)) return MT_OK;
    if (l->len >= INT32_MAX) return mt_fail(err, MT_ELIMIT, "a language of more than 2^31 states");
    MT_TRY(mt_grow((void **)&l->states, &l->cap, l->len + 1, sizeof *l->states, err));
    *out = (int32_t)l->len;
    MT_TRY(mt_map64_set(&l->index, key, *out, err));
    l->states[l->len++] = (state){text, last};
    return MT_OK;
}

/* ---- classes of last tokens ---- */

/* Can it be the left part of a merge? Then some longer token begins with it. */
static bool begins_another(const mt_language *l, int32_t id) {
    mt_str s = mt_vocab_bytes(&l->tok->vocab, id);
    size_t lo, hi;
    mt_tok_interval(l->tok, s.p, s.n, &lo, &hi);
    return hi - lo > 1;
}

static mt_status class_of(mt_language *l, int32_t id, int32_t *out, mt_error *err) {
    mt_bpe *b = &l->tok->bpe;
    *out = l->class_of[id];
    if (*out != -2) return MT_OK;
    mt_buf spine = {0};
    mt_status status = MT_OK;
    uint32_t used_up = MT_NO_RANK;
    bool known = true;
    for (int32_t at = id; at >= 0 && known;) {
        MT_TRY_GOTO(mt_bpe_reachable(b, at, &known, err), done);
        known &= b->state[at] == MT_BPE_REACHABLE;
        if (begins_another(l, at)) {
            MT_TRY_GOTO(mt_buf_add(&spine, &at, sizeof at, err), done);
            MT_TRY_GOTO(mt_buf_add(&spine, &used_up, sizeof used_up, err), done);
        }
        if (b->tok[at].left < 0) break;
        used_up = b->tok[at].rank;
        at = b->tok[at].right;
    }
    if (!known) { /* its merges are out of order: a class of its own */
        spine.len = 0;
        MT_TRY_GOTO(mt_buf_add(&spine, &id, sizeof id, err), done);
    }
    if (!mt_map_get(&l->class_index, (mt_str){spine.data, spine.len}, out)) {
        const uint8_t *key = mt_arena_copy(&l->arena, spine.data, spine.len);
        if (!key) {
            status = mt_nomem(err, spine.len, "a class of tokens");
            goto done;
        }
        MT_TRY_GOTO(mt_grow((void **)&l->example, &l->class_cap, l->classes + 1, sizeof *l->example, err), done);
        MT_TRY_GOTO(mt_map_set(&l->class_index, (mt_str){key, spine.len}, (int32_t)l->classes, err), done);
        *out = (int32_t)l->classes;
        l->example[l->classes++] = id;
    }
    l->class_of[id] = *out;
done:
    mt_buf_free(&spine);
    return status;
}

static mt_status may_follow(mt_language *l, int32_t last, int32_t id, bool *yes, mt_error *err) {
    *yes = true;
    if (!l->canonical) return MT_OK;
    MT_TRY(mt_tok_ask_reachable(l->tok, id, yes, err));
    if (!*yes || last < 0) return MT_OK;
    return mt_bpe_pair_ok(&l->tok->bpe, l->example[last], id, yes, err);
}

/* ---- opening ---- */

mt_status mt_language_open(mt_tok *t, mt_str pattern, bool canonical, mt_language **out, mt_error *err) {
    *out = NULL;
    if (canonical && (t->segmenter != &mt_segmenter_bpe || t->merge_only))
        return mt_fail(err, MT_EUNKNOWN, "canonical sequences of a %s tokenizer are not decided by neighbours%s",
                       t->model_name, t->merge_only ? ": its symbols depend on their place in the word" : "");
    mt_language *l = mt_calloc(1, sizeof *l);
    if (!l) return mt_nomem(err, sizeof *l, "a language");
    l->tok = t;
    l->canonical = canonical;
    mt_buf whole = {0};
    mt_status status = MT_OK;
    int32_t start = 0;
    size_t size = (size_t)t->vocab.size;
    l->sorted = mt_tok_sorted(t, &l->sorted_len);
    l->class_of = mt_array(size, sizeof *l->class_of);
    if (!l->class_of || !l->sorted) {
        status = mt_nomem(err, size * sizeof *l->class_of, "a language");
        goto done;
    }
    for (size_t i = 0; i < size; i++) {
        l->class_of[i] = -3;
        if (t->vocab.bytes[i].n > l->longest) l->longest = t->vocab.bytes[i].n;
    }
    for (size_t i = 0; i < l->sorted_len; i++) l->class_of[l->sorted[i]] = -2;
    l->path = mt_array((size_t)l->longest + 1, sizeof *l->path);
    if (!l->path) {
        status = mt_nomem(err, l->longest * sizeof *l->path, "a language");
        goto done;
    }
    if (pattern.n) {
        MT_TRY_GOTO(mt_buf_printf(&whole, err, "(?:%.*s)\\z", (int)pattern.n, (const char *)pattern.p), done);
        MT_TRY_GOTO(mt_regex_compile((mt_str){whole.data, whole.len}, &l->regex, err), done);
        l->dfa = mt_regex_dfa(l->regex);
        char shown[80];
        if (!l->dfa) {
            status = mt_fail(err, MT_EUNKNOWN, "the expression %s is no automaton (it looks behind, or is too large)",
                             mt_str_show(pattern, shown, sizeof shown));
            goto done;
        }
        start = mt_dfa_start(l->dfa);
        if (start < 0) status = mt_fail(err, (mt_status)-start, "the expression's automaton");
    }
    if (status == MT_OK) status = intern(l, start, -1, &start, err);
done:
    mt_buf_free(&whole);
    if (status != MT_OK) {
        mt_language_free(l);
        return status;
    }
    *out = l;
    return MT_OK;
}

void mt_language_free(mt_language *l) {
    if (!l) return;
    mt_regex_free(l->regex);
    mt_map64_free(&l->index);
    mt_map_free(&l->class_index);
    mt_arena_free(&l->arena);
    mt_free(l->states);
    mt_free(l->class_of);
    mt_free(l->example);
    mt_free(l->path);
    mt_free(l);
}

mt_tok *mt_language_tok(const mt_language *l) {
    return l->tok;
}
size_t mt_language_states(const mt_language *l) {
    return l->len;
}

/* ---- walking ---- */

static mt_status check(const mt_language *l, int32_t at, mt_error *err) {
    if (at >= 0 && (size_t)at < l->len) return MT_OK;
    return mt_fail(err, MT_ERANGE, "state %d: known are 0..%zu", at, l->len - 1);
}

/* The byte automaton after one more byte; *to 0: nothing can follow. */
static mt_status step(mt_language *l, int32_t from, uint8_t byte, int32_t *to, mt_error *err) {
    *to = mt_dfa_step(l->dfa, from, byte);
    return *to < 0 ? mt_fail(err, (mt_status) - *to, "the expression's automaton has too many states") : MT_OK;
}

mt_status mt_language_next(mt_language *l, int32_t at, int32_t id, int32_t *next, mt_error *err) {
    *next = -1;
    MT_TRY(check(l, at, err));
    if (id < 0 || id >= l->tok->vocab.size)
        return mt_fail(err, MT_ERANGE, "token id %d: ids are 0..%d", id, l->tok->vocab.size - 1);
    state s = l->states[at];
    mt_str bytes = mt_vocab_bytes(&l->tok->vocab, id);
    bool yes = bytes.n > 0 && l->class_of[id] != -3;
    for (size_t i = 0; i < bytes.n && l->dfa && yes; i++) {
        MT_TRY(step(l, s.text, bytes.p[i], &s.text, err));
        yes = s.text != MT_DFA_DEAD;
    }
    if (yes && l->dfa) yes = mt_dfa_alive(l->dfa, s.text);
    if (yes) MT_TRY(may_follow(l, s.last, id, &yes, err));
    if (!yes) return MT_OK;
    if (l->canonical) MT_TRY(class_of(l, id, &s.last, err));
    return intern(l, s.text, s.last, next, err);
}

/* Every token that the state allows, in the order of their bytes: shared beginnings are walked once. */
typedef mt_status (*seen)(mt_language *l, void *user, int32_t id, int32_t text, mt_error *err);
static mt_status each(mt_language *l, state s, seen see, void *user, mt_error *err) {
    mt_str last = mt_str_of("");
    size_t known = 0; /* path[0..known] is right for `last` */
    l->path[0] = s.text;
    for (size_t i = 0; i < l->sorted_len; i++) {
        int32_t id = l->sorted[i];
        mt_str p = mt_vocab_bytes(&l->tok->vocab, id);
        if (!p.n) continue;
        size_t same = 0;
        while (same < known && same < p.n && last.p[same] == p.p[same]) same++;
        known = same;
        last = p;
        while (known < p.n && l->dfa && l->path[known] != MT_DFA_DEAD) {
            MT_TRY(step(l, l->path[known], p.p[known], &l->path[known + 1], err));
            known++;
        }
        if (!l->dfa) known = p.n;
        int32_t text = l->dfa ? l->path[known] : 0;
        if (l->dfa && (known < p.n || text == MT_DFA_DEAD || !mt_dfa_alive(l->dfa, text))) continue;
        bool yes;
        MT_TRY(may_follow(l, s.last, id, &yes, err));
        if (yes) MT_TRY(see(l, user, id, text, err));
    }
    return MT_OK;
}

typedef struct mask {
    uint8_t *allowed;
    size_t count;
} mask;
static mt_status set_bit(mt_language *l, void *user, int32_t id, int32_t text, mt_error *err) {
    mask *m = user;
    (void)l, (void)text, (void)err;
    m->allowed[id] = 1;
    m->count++;
    return MT_OK;
}
mt_status mt_language_allowed(mt_language *l, int32_t at, uint8_t *allowed, size_t *count, mt_error *err) {
    mask m = {allowed, 0};
    *count = 0;
    MT_TRY(check(l, at, err));
    memset(allowed, 0, (size_t)l->tok->vocab.size);
    MT_TRY(each(l, l->states[at], set_bit, &m, err));
    *count = m.count;
    return MT_OK;
}

mt_status mt_language_accepts(mt_language *l, int32_t at, bool *yes, mt_error *err) {
    *yes = true;
    MT_TRY(check(l, at, err));
    if (!l->dfa) return MT_OK;
    int32_t from = l->states[at].text, end = mt_dfa_step(l->dfa, from, MT_END);
    int back;
    if (end < 0) return mt_fail(err, (mt_status)-end, "the expression's automaton has too many states");
    *yes = (mt_dfa_confirms(l->dfa, end, &back) && back == 0);
    return MT_OK;
}

/* ---- counting ---- */

typedef struct arrows { /* of one state: where tokens lead, and how long they are */
    int32_t *to;
    uint32_t *length;
    size_t len, cap, length_cap;
} arrows;
static mt_status add_arrow(mt_language *l, void *user, int32_t id, int32_t text, mt_error *err) {
    arrows *a = user;
    int32_t last = -1, to;
    if (l->canonical) MT_TRY(class_of(l, id, &last, err));
    MT_TRY(intern(l, text, last, &to, err));
    MT_TRY(mt_grow((void **)&a->to, &a->cap, a->len + 1, sizeof *a->to, err));
    MT_TRY(mt_grow((void **)&a->length, &a->length_cap, a->len + 1, sizeof *a->length, err));
    a->to[a->len] = to;
    a->length[a->len++] = l->tok->vocab.bytes[id].n;
    return MT_OK;
}

static uint64_t add_up(uint64_t a, uint64_t b) {
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* The states that n bytes can reach, then how many ways lead to each by the number of bytes. */
mt_status mt_language_count(mt_language *l, size_t n, uint64_t *count, mt_error *err) {
    arrows *from = NULL;
    uint64_t *ways = NULL;
    size_t known = 0, cap = 0, total = 0;
    mt_status status = MT_OK;
    for (; known < l->len; known++) { /* states appear as arrows are drawn */
        MT_TRY_GOTO(mt_grow((void **)&from, &cap, known + 1, sizeof *from, err), done);
        from[known] = (arrows){0};
        status = each(l, l->states[known], add_arrow, &from[known], err);
        total += from[known].len;
        if (status == MT_OK && total > 1 << 26)
            status = mt_fail(err, MT_ELIMIT, "counting over more than 2^26 transitions (%zu states so far)", known);
        if (status != MT_OK) {
            known++;
            goto done;
        }
    }
    if (n > SIZE_MAX / sizeof *ways / (known + 1) - 1) {
        status = mt_fail(err, MT_ELIMIT, "counting sequences of %zu bytes", n);
        goto done;
    }
    ways = mt_calloc((n + 1) * known, sizeof *ways);
    if (!ways) {
        status = mt_nomem(err, (n + 1) * known * sizeof *ways, "counting");
        goto done;
    }
    ways[0] = 1;
    for (size_t at = 0; at <= n; at++) {
        count[at] = 0;
        for (size_t s = 0; s < known; s++) {
            uint64_t here = ways[at * known + s];
            bool end;
            if (!here) continue;
            MT_TRY_GOTO(mt_language_accepts(l, (int32_t)s, &end, err), done);
            if (end) count[at] = add_up(count[at], here);
            for (size_t k = 0; k < from[s].len; k++) {
                if (from[s].length[k] > n - at) continue;
                uint64_t *to = &ways[(at + from[s].length[k]) * known + (size_t)from[s].to[k]];
                *to = add_up(*to, here);
            }
        }
    }
done:
    for (size_t i = 0; i < known; i++) {
        mt_free(from[i].to);
        mt_free(from[i].length);
    }
    mt_free(from);
    mt_free(ways);
    return status;
}
