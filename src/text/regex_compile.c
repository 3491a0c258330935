/* Syntax tree -> program, built from its end: emit(node, next) makes the instructions of `node` with everything that
 * follows it already there and returns where they begin. So the follow-up of a possessive repeat is known when it is
 * compiled, and a repeat of one character class needs no special instruction:
 *
 *   X++ k   is  X+ k            when k always succeeds, or can only begin with characters outside X: giving back never
 * helps or  X+ (?!X) k      otherwise
 *
 * x* with an x that can be empty is compiled as (x+)?, which gives Perl's priorities without remembering positions. */
#include "regex.h"

typedef struct compiler {
    mt_str pattern;
    mt_tree *tree;
    mt_program *out;
    mt_error *err;
    uint32_t calls;
    int look_depth;
} compiler;

static mt_status add(compiler *c, mt_inst inst, size_t at, int32_t *pc) {
    mt_program *p = c->out;
    if (p->n >= MT_REGEX_MAX_PROGRAM)
        return mt_regex_fail(c->pattern, at, MT_ELIMIT, c->err, "more than %d states after writing out the repeats",
                             MT_REGEX_MAX_PROGRAM);
    MT_TRY(mt_grow((void **)&p->v, &p->cap, p->n + 1, sizeof *p->v, c->err));
    *pc = (int32_t)p->n;
    p->v[p->n++] = inst;
    return MT_OK;
}

static mt_status emit(compiler *c, const mt_node *node, int32_t next, int32_t *pc);

static void not_automaton(compiler *c, const char *why) {
    if (c->out->automaton) c->out->why_not = why;
    c->out->automaton = false;
}

/* What may come first after `pc`. */
typedef struct first {
    bool succeeds; /* MATCH is reached without reading or asserting anything */
    bool other;    /* something that we do not look into */
    bool disjoint; /* no SET that is reached meets the set asked about */
} first;

static mt_status follow(compiler *c, int32_t pc, int32_t set, first *out) {
    mt_program *p = c->out;
    *out = (first){.disjoint = true};
    int32_t *stack = mt_array(p->n + 1, sizeof *stack);
    bool *seen = mt_calloc(p->n + 1, sizeof *seen);
    if (!stack || !seen) {
        mt_free(stack);
        mt_free(seen);
        return mt_nomem(c->err, (p->n + 1) * sizeof *stack, "a regular expression's program");
    }
    size_t n = 0;
    stack[n++] = pc;
    while (n) {
        int32_t i = stack[--n];
        if (i < 0) { /* a loop that is still being compiled */
            out->other = true;
            continue;
        }
        if (seen[i]) continue;
        seen[i] = true;
        const mt_inst *in = &p->v[i];
        switch ((mt_op)in->op) {
        case MT_OP_MATCH:
            out->succeeds = true;
            break;
        case MT_OP_SET:
            out->disjoint &= mt_set_disjoint(&c->tree->sets.v[in->set], &c->tree->sets.v[set]);
            break;
        case MT_OP_END:
            break; /* never true before a character */
        case MT_OP_SPLIT:
            if (n + 2 > p->n + 1)
                out->other = true; /* cannot happen: every SPLIT is expanded once */
            else {
                stack[n++] = in->next;
                stack[n++] = in->other;
            }
            break;
        case MT_OP_ASSERT:
        case MT_OP_ATOMIC:
        case MT_OP_LOOK:
            out->other = true;
            break;
        }
    }
    mt_free(stack);
    mt_free(seen);
    return MT_OK;
}

static mt_status emit_split(compiler *c, const mt_node *node, bool lazy, int32_t enter, int32_t leave, int32_t *pc) {
    return add(c, (mt_inst){.op = MT_OP_SPLIT, .next = lazy ? leave : enter, .other = lazy ? enter : leave}, node->at,
               pc);
}

static mt_status emit_not_set(compiler *c, const mt_node *node, int32_t set, int32_t next, int32_t *pc) {
    int32_t match, body;
    MT_TRY(add(c, (mt_inst){.op = MT_OP_MATCH}, node->at, &match));
    MT_TRY(add(c, (mt_inst){.op = MT_OP_SET, .set = set, .next = match}, node->at, &body));
    if (c->look_depth) not_automaton(c, "a look-ahead inside a look-ahead");
    return add(c, (mt_inst){.op = MT_OP_LOOK, .negative = true, .next = next, .other = body}, node->at, pc);
}

static mt_status emit_repeat(compiler *c, const mt_node *node, bool lazy, int32_t next, int32_t *pc) {
    const mt_node *x = node->child;
    int32_t end = next;
    if (node->max == MT_REPEAT_INF) {
        int32_t loop, body;
        if (node->min == 0 && x->min_length > 0) { /* L: SPLIT(x L, next) */
            MT_TRY(emit_split(c, node, lazy, -1, next, &loop));
            MT_TRY(emit(c, x, loop, &body));
            *(lazy ? &c->out->v[loop].other : &c->out->v[loop].next) = body;
            *pc = loop;
            return MT_OK;
        }
        MT_TRY(emit_split(c, node, lazy, -1, next, &loop)); /* B: x SPLIT(B, next) */
        MT_TRY(emit(c, x, loop, &body));
        *(lazy ? &c->out->v[loop].other : &c->out->v[loop].next) = body;
        end = body;
        if (node->min == 0) MT_TRY(emit_split(c, node, lazy, end, next, &end));
    } else {
        for (uint32_t i = node->min; i < node->max; i++) { /* (x(x(x)?)?)?: all leave to `next` */
            int32_t body;
            MT_TRY(emit(c, x, end, &body));
            if (body == end) break; /* x is nothing */
            MT_TRY(emit_split(c, node, lazy, body, next, &end));
        }
    }
    for (uint32_t i = node->max == MT_REPEAT_INF ? 1 : 0; i < node->min; i++) {
        int32_t body;
        MT_TRY(emit(c, x, end, &body));
        if (body == end) break;
        end = body;
    }
    *pc = end;
    return MT_OK;
}

/* The single class that a possessive repeat repeats, or NULL. */
static const mt_node *single_set(const mt_node *node) {
    while ((node->kind == MT_N_CAT || node->kind == MT_N_ALT) && node->child && !node->child->next) node = node->child;
    return node->kind == MT_N_SET ? node : NULL;
}

static mt_status emit_possessive(compiler *c, const mt_node *node, int32_t next, int32_t *pc) {
    const mt_node *x = single_set(node->child);
    first f;
    MT_TRY(follow(c, next, x ? x->set : 0, &f));
    if (f.succeeds) return emit_repeat(c, node, false, next, pc);
    if (!x) { /* atomic */
        int32_t match, body;
        MT_TRY(add(c, (mt_inst){.op = MT_OP_MATCH}, node->at, &match));
        MT_TRY(emit_repeat(c, node, false, match, &body));
        not_automaton(c, "a possessive or atomic group of more than one character class");
        return add(c, (mt_inst){.op = MT_OP_ATOMIC, .next = next, .other = body}, node->at, pc);
    }
    if (f.disjoint && !f.other) return emit_repeat(c, node, false, next, pc);
    int32_t guarded = next, end = next;
    if (node->max != node->min) MT_TRY(emit_not_set(c, node, x->set, next, &guarded));
    if (node->max == MT_REPEAT_INF) {
        mt_node plain = *node;
        return emit_repeat(c, &plain, false, guarded, pc);
    }
    for (uint32_t i = node->min; i < node->max; i++) {
        int32_t body;
        MT_TRY(emit(c, x, end, &body));
        MT_TRY(emit_split(c, node, false, body, guarded, &end));
    }
    for (uint32_t i = 0; i < node->min; i++) MT_TRY(emit(c, x, end, &end));
    *pc = end;
    return MT_OK;
}

static mt_status emit_atomic(compiler *c, const mt_node *node, int32_t next, int32_t *pc) {
    const mt_node *x = node->child;
    while ((x->kind == MT_N_CAT || x->kind == MT_N_ALT) && x->child && !x->child->next) x = x->child;
    if (x->kind == MT_N_REPEAT && x->mode == MT_GREEDY && single_set(x->child)) return emit_possessive(c, x, next, pc);
    if (single_set(x)) return emit(c, x, next, pc);
    first f;
    int32_t match, body;
    MT_TRY(follow(c, next, 0, &f));
    if (f.succeeds) return emit(c, x, next, pc);
    MT_TRY(add(c, (mt_inst){.op = MT_OP_MATCH}, node->at, &match));
    MT_TRY(emit(c, x, match, &body));
    not_automaton(c, "a possessive or atomic group of more than one character class");
    return add(c, (mt_inst){.op = MT_OP_ATOMIC, .next = next, .other = body}, node->at, pc);
}

static mt_status emit_look(compiler *c, const mt_node *node, int32_t next, int32_t *pc) {
    int32_t match, body;
    if (node->behind)
        not_automaton(c, "look-behind");
    else if (c->look_depth)
        not_automaton(c, "a look-ahead inside a look-ahead");
    else if (node->child->max_length > MT_DFA_MAX_LOOK)
        not_automaton(c, "a look-ahead that is not short");
    MT_TRY(add(c, (mt_inst){.op = MT_OP_MATCH}, node->at, &match));
    c->look_depth++;
    MT_TRY(emit(c, node->child, match, &body));
    c->look_depth--;
    mt_inst inst = {.op = MT_OP_LOOK, .negative = node->negative, .behind = node->behind, .next = next, .other = body};
    inst.set = node->behind ? (int32_t)node->child->max_length : 0;
    return add(c, inst, node->at, pc);
}

static mt_status emit_list(compiler *c, const mt_node *first_child, int32_t next, int32_t *pc) {
    /* From the last to the first: the list is linked forwards, so collect it. */
    size_t n = 0;
    for (const mt_node *x = first_child; x; x = x->next) n++;
    const mt_node **list = mt_array(n, sizeof *list);
    if (!list) return mt_nomem(c->err, n * sizeof *list, "a regular expression's program");
    n = 0;
    for (const mt_node *x = first_child; x; x = x->next) list[n++] = x;
    mt_status status = MT_OK;
    while (n && status == MT_OK) status = emit(c, list[--n], next, &next);
    mt_free(list);
    *pc = next;
    return status;
}

static mt_status emit_alternatives(compiler *c, const mt_node *node, int32_t next, int32_t *pc) {
    /* SPLIT(a, SPLIT(b, c)): each alternative is compiled in order and the chain is closed as we go. */
    int32_t previous = -1, body, split;
    *pc = next;
    for (const mt_node *x = node->child; x; x = x->next) {
        MT_TRY(emit(c, x, next, &body));
        if (x->next)
            MT_TRY(emit_split(c, node, false, body, -1, &split));
        else
            split = body;
        if (previous >= 0)
            c->out->v[previous].other = split;
        else
            *pc = split;
        previous = split;
    }
    return MT_OK;
}

static mt_status emit(compiler *c, const mt_node *node, int32_t next, int32_t *pc) {
    if (++c->calls > 8 * MT_REGEX_MAX_PROGRAM)
        return mt_regex_fail(c->pattern, node->at, MT_ELIMIT, c->err, "too many nested repeats");
    *pc = next;
    switch (node->kind) {
    case MT_N_EMPTY:
        return MT_OK;
    case MT_N_SET:
        return add(c, (mt_inst){.op = MT_OP_SET, .set = node->set, .next = next}, node->at, pc);
    case MT_N_CAT:
        return emit_list(c, node->child, next, pc);
    case MT_N_ALT:
        return emit_alternatives(c, node, next, pc);
    case MT_N_REPEAT:
        if (node->max == 0) return MT_OK;
        if (node->mode == MT_POSSESSIVE) return emit_possessive(c, node, next, pc);
        return emit_repeat(c, node, node->mode == MT_LAZY, next, pc);
    case MT_N_ATOMIC:
        return emit_atomic(c, node, next, pc);
    case MT_N_LOOK:
        return emit_look(c, node, next, pc);
    case MT_N_ASSERT:
        if (node->assertion == MT_A_TEXT_END) return add(c, (mt_inst){.op = MT_OP_END, .next = next}, node->at, pc);
        not_automaton(c, "an anchor that looks back (^ \\A \\b \\B)");
        return add(c, (mt_inst){.op = MT_OP_ASSERT, .set = (int32_t)node->assertion, .next = next}, node->at, pc);
    }
    return MT_OK;
}

mt_status mt_program_compile(mt_str pattern, mt_tree *tree, mt_program *out, mt_error *err) {
    *out = (mt_program){.automaton = true, .word = tree->word};
    compiler c = {.pattern = pattern, .tree = tree, .out = out, .err = err};
    int32_t match;
    mt_status status = add(&c, (mt_inst){.op = MT_OP_MATCH}, 0, &match);
    if (status == MT_OK) status = emit(&c, tree->root, match, &out->start);
    out->sets = tree->sets;
    tree->sets = (mt_sets){0};
    if (status != MT_OK) mt_program_free(out);
    return status;
}

void mt_program_free(mt_program *p) {
    for (size_t i = 0; i < p->sets.n; i++) mt_set_free(&p->sets.v[i]);
    mt_free(p->sets.v);
    mt_free(p->v);
    *p = (mt_program){0};
}
