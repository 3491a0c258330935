/* A program as a deterministic automaton whose states are built when they are first entered.
 *
 * A state is what a backtracking engine would still have to try: the threads of the program in order of priority. When
 * a thread reaches the end of the pattern, the threads behind it can never win and are dropped; those before it go on,
 * and what they find later replaces the match. So the last confirmed match is the one that backtracking would return.
 *
 * Look-ahead: a thread that passes (?=x) or (?!x) carries the obligation along, as the set of instructions where x
 * stands, and x reads the same characters as the thread does. When x ends, the obligation is met or the thread dies. A
 * thread that gets to the end of the pattern with open obligations stays in its place in the order and counts the bytes
 * until they are decided. Example: \s+(?!\S)|\s on "  a": after each space one thread is in the loop, one waits whether
 * a non-space comes, one has confirmed \s (1 byte). The second space lets the waiting one confirm "a match that ended 1
 * byte ago"; the "a" kills all: " " it is.
 *
 * The alphabet is not bytes but classes of characters that no set of the program tells apart (and that have equally
 * long encodings): tables are small and all states synchronous. Bytes are decoded in front of it; mt_dfa_step, which is
 * fed byte by byte, keeps the node of the decoding tree beside the state. Bytes that turn out not to be UTF-8 are then
 * read one by one as characters of the class "invalid". */
#include "regex_dfa.h"
#include <stdlib.h>

enum { NO_LOOKS = 0, DEAD_LOOKS = -1 };

/* ---- interning ----------------------------------------------------------------------------------------------------
 */

static mt_status intern_bytes(mt_arena *arena, mt_map *map, const void *p, size_t bytes, size_t count, int32_t *id,
                              const void **kept, mt_error *err) {
    *kept = NULL;
    if (mt_map_get(map, (mt_str){p, bytes}, id)) return MT_OK;
    *kept = mt_arena_copy(arena, p, bytes);
    if (!*kept) return mt_nomem(err, bytes, "states of a regular expression");
    *id = (int32_t)count;
    return mt_map_set(map, (mt_str){*kept, bytes}, *id, err);
}

static mt_status intern_list(mt_dfa *d, mt_lists *lists, const int32_t *v, size_t n, int32_t *id, mt_error *err) {
    const void *kept;
    if (mt_map_get(&lists->map, (mt_str){(const uint8_t *)v, n * sizeof *v}, id)) return MT_OK;
    if (lists->n >= MT_DFA_MAX_STATES)
        return mt_fail(err, MT_ELIMIT, "a regular expression's look-aheads have too many states");
    MT_TRY(mt_grow((void **)&lists->v, &lists->cap, lists->n + 1, sizeof *lists->v, err));
    MT_TRY(intern_bytes(&d->arena, &lists->map, v, n * sizeof *v, lists->n, id, &kept, err));
    lists->v[lists->n++] = (struct mt_list){kept, n};
    return MT_OK;
}

/* d->out with a confirmation -> state. */
static mt_status intern_state(mt_dfa *d, int back, int last, uint32_t *state, mt_error *err) {
    if (d->out_n > MT_DFA_MAX_ITEMS)
        return mt_fail(err, MT_ELIMIT, "a regular expression's automaton has too many threads");
    size_t bytes = d->out_n * sizeof *d->out;
    MT_TRY(mt_grow((void **)&d->out, &d->out_cap, d->out_n + 1, sizeof *d->out, err));
    d->out[d->out_n] = (mt_thread){-2, back, last}; /* the last part of the key */
    MT_TRY(mt_grow((void **)&d->states, &d->cap, d->n + 1, sizeof *d->states, err));
    size_t cells = (d->n + 1) * d->stride;
    MT_TRY(mt_grow((void **)&d->next, &d->cells, cells, sizeof *d->next, err));
    MT_TRY(mt_grow((void **)&d->wide, &d->wide_cells, cells, sizeof *d->wide, err));
    MT_TRY(mt_grow((void **)&d->fused, &d->fused_cells, (d->n + 1) * 128, sizeof *d->fused, err));
    const void *kept;
    int32_t id;
    if (d->n >= MT_DFA_MAX_STATES || cells > MT_DFA_MAX_CELLS) {
        if (mt_map_get(&d->state_map, (mt_str){(uint8_t *)d->out, bytes + sizeof *d->out}, &id)) {
            *state = (uint32_t)id;
            return MT_OK;
        }
        return mt_fail(err, MT_ELIMIT, "a regular expression's automaton has more than %zu states", d->n);
    }
    MT_TRY(intern_bytes(&d->arena, &d->state_map, d->out, bytes + sizeof *d->out, d->n, &id, &kept, err));
    *state = (uint32_t)id;
    if (!kept) return MT_OK;
    for (size_t i = cells - d->stride; i < cells; i++) {
        d->next[i] = d->n == 0 ? 0 : MT_DFA_UNKNOWN;
        d->wide[i] = MT_FUSED_SLOW;
    }
    for (size_t i = d->n * 128; i < (d->n + 1) * 128; i++) d->fused[i] = MT_FUSED_SLOW;
    d->states[d->n++] = (mt_dfa_state){kept, (uint16_t)d->out_n, (int16_t)back, (int16_t)last, 0};
    return MT_OK;
}

/* ---- character classes --------------------------------------------------------------------------------------------
 */

typedef struct edge { /* a set begins or ends */
    uint32_t cp;
    int32_t set; /* -1: a change of encoded length */
} edge;

/* By code point, in two passes of counting; `spare` is as large as `v`. */
static void sort_edges(edge *v, edge *spare, size_t n) {
    for (unsigned shift = 0; shift < 22; shift += 11) {
        uint32_t first[2049] = {0};
        for (size_t i = 0; i < n; i++) first[(v[i].cp >> shift & 2047) + 1]++;
        for (size_t i = 1; i < 2048; i++) first[i] += first[i - 1];
        for (size_t i = 0; i < n; i++) spare[first[v[i].cp >> shift & 2047]++] = v[i];
        edge *t = v;
        v = spare;
        spare = t;
    }
}

typedef struct interval {
    uint32_t begin;
    uint16_t class;
} interval;

static mt_status intern_table(mt_dfa *d, mt_map *map, uint16_t **table, size_t *n, size_t *cap,
                              const uint16_t values[64], uint16_t *index, mt_error *err) {
    const void *kept;
    int32_t id;
    MT_TRY(intern_bytes(&d->arena, map, values, 64 * sizeof *values, *n, &id, &kept, err));
    *index = (uint16_t)id;
    if (!kept) return MT_OK;
    MT_TRY(mt_grow((void **)table, cap, (*n + 1) * 64, sizeof **table, err));
    memcpy(*table + *n * 64, values, 64 * sizeof *values);
    ++*n;
    return MT_OK;
}

/* Fills top, group and block from the intervals, which cover 0..MT_CP_INVALID. */
static mt_status make_tables(mt_dfa *d, const interval *v, size_t n, mt_error *err) {
    mt_map blocks = {0}, groups = {0};
    mt_status status = MT_OK;
    uint16_t values[64], indexes[64], previous_block = 0, previous_group = 0;
    int32_t block_of = -1, group_of = -1; /* the class that fills previous_block, previous_group */
    size_t i = 0;                         /* interval of cp; v[n] is a sentinel */
    for (uint32_t cp = 0; cp < 0x110000;) {
        while (v[i + 1].begin <= cp) i++;
        bool uniform = v[i + 1].begin >= cp + 4096;
        if (!uniform || group_of != v[i].class) {
            size_t k = i;
            for (uint32_t b = 0; b < 64; b++) {
                uint32_t first = cp + b * 64;
                while (v[k + 1].begin <= first) k++;
                if (v[k + 1].begin >= first + 64 && block_of == v[k].class) {
                    indexes[b] = previous_block;
                    continue;
                }
                block_of = v[k + 1].begin >= first + 64 ? v[k].class : -1;
                for (uint32_t c = 0; c < 64; c++) {
                    while (v[k + 1].begin <= first + c) k++;
                    values[c] = v[k].class;
                }
                MT_TRY_GOTO(
                    intern_table(d, &blocks, &d->block, &d->blocks, &d->blocks_cap, values, &previous_block, err), out);
                indexes[b] = previous_block;
            }
            MT_TRY_GOTO(intern_table(d, &groups, &d->group, &d->groups, &d->groups_cap, indexes, &previous_group, err),
                        out);
            group_of = uniform ? v[i].class : -1;
        }
        d->top[cp >> 12] = previous_group;
        cp += 4096;
    }
    for (uint32_t cp = 0; cp < 128; cp++)
        d->ascii[cp] = d->block[d->group[d->top[0] * 64u + (cp >> 6)] * 64u + (cp & 63)];
    d->invalid_class = v[n - 1].class;
out:
    mt_map_free(&blocks);
    mt_map_free(&groups);
    return status;
}

/* Sweeps over the edges of all sets and gives every combination of sets and encoded length a number. */
static mt_status make_classes(mt_dfa *d, mt_error *err) {
    const mt_sets *sets = &d->program->sets;
    size_t edges_n = 0, n = 0, signatures = 0, lengths = 0;
    edge *edges = mt_array(2 * (2 * sets->ranges + 8), sizeof *edges); /* the second half to sort in */
    interval *intervals = mt_array(2 * sets->ranges + 10, sizeof *intervals);
    mt_map map = {0};
    d->words = (uint32_t)(sets->n + 63) / 64 + 1; /* the last word is the length */
    uint64_t *now = mt_calloc(d->words, sizeof *now);
    mt_status status = MT_OK;
    if (!edges || !intervals || !now) {
        status =
            mt_nomem(err, 2 * sets->ranges * (sizeof *edges + sizeof *intervals), "a regular expression's classes");
        goto out;
    }
    static const uint32_t steps[] = {0, 0x80, 0x800, 0x10000, MT_CP_INVALID, MT_CP_COUNT};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) edges[edges_n++] = (edge){steps[i], -1};
    for (size_t s = 0; s < sets->n; s++) {
        for (size_t i = 0; i < sets->v[s].n; i++) {
            edges[edges_n++] = (edge){sets->v[s].r[i].lo, (int32_t)s};
            edges[edges_n++] = (edge){sets->v[s].r[i].hi + 1, (int32_t)s};
        }
    }
    sort_edges(edges, edges + 2 * sets->ranges + 8, edges_n);
    for (size_t i = 0; i < edges_n;) {
        uint32_t cp = edges[i].cp;
        for (; i < edges_n && edges[i].cp == cp; i++) {
            if (edges[i].set < 0)
                now[d->words - 1]++;
            else
                now[edges[i].set / 64] ^= UINT64_C(1) << edges[i].set % 64;
        }
        if (cp == MT_CP_COUNT) break;
        const void *kept;
        int32_t class;
        MT_TRY_GOTO(intern_bytes(&d->arena, &map, now, d->words * sizeof *now, d->classes, &class, &kept, err), out);
        if (kept) {
            if (d->classes >= MT_DFA_MAX_CLASSES) {
                status = mt_fail(err, MT_ELIMIT, "more than %d kinds of characters", MT_DFA_MAX_CLASSES);
                goto out;
            }
            MT_TRY_GOTO(
                mt_grow((void **)&d->signature, &signatures, (d->classes + 1) * (size_t)d->words, sizeof *now, err),
                out);
            MT_TRY_GOTO(mt_grow((void **)&d->length, &lengths, d->classes + 2, 1, err), out);
            memcpy(d->signature + (size_t)d->classes * d->words, now, d->words * sizeof *now);
            d->length[d->classes++] = (uint8_t)(now[d->words - 1] == 5 ? 1 : now[d->words - 1]);
        }
        intervals[n++] = (interval){cp, (uint16_t)class};
    }
    intervals[n] = (interval){UINT32_MAX, 0};
    d->end_class = (uint16_t)d->classes;
    d->length[d->end_class] = 0;
    d->stride = d->classes + 1;
    status = make_tables(d, intervals, n, err);
out:
    mt_map_free(&map);
    mt_free(edges);
    mt_free(intervals);
    mt_free(now);
    return status;
}

static bool in_class(const mt_dfa *d, int32_t set, uint32_t class) {
    return class != d->end_class && (d->signature[(size_t)class * d->words + (size_t)set / 64] >> set % 64 & 1);
}

/* ---- look-ahead obligations -----------------------------------------------------------------------------------------
 */

/* Adds to d->list the SET and END instructions that `pc` leads to without reading. *hit: the body ends here. */
static mt_status look_closure(mt_dfa *d, int32_t pc, bool at_end, bool *hit, mt_error *err) {
    d->list2.len = 0;
    MT_TRY(mt_ids_add(&d->list2, pc, err));
    while (d->list2.len) {
        pc = d->list2.data[--d->list2.len];
        if (d->look_stamp[pc] == d->look_time) continue;
        d->look_stamp[pc] = d->look_time;
        const mt_inst *in = &d->program->v[pc];
        switch ((mt_op)in->op) {
        case MT_OP_MATCH:
            *hit = true;
            return MT_OK;
        case MT_OP_SPLIT:
            MT_TRY(mt_ids_add(&d->list2, in->next, err));
            MT_TRY(mt_ids_add(&d->list2, in->other, err));
            break;
        case MT_OP_END:
            MT_TRY(at_end ? mt_ids_add(&d->list2, in->next, err) : mt_ids_add(&d->list, pc, err));
            break;
        case MT_OP_SET:
            if (!at_end) MT_TRY(mt_ids_add(&d->list, pc, err));
            break;
        default:
            break; /* ruled out by program->automaton */
        }
    }
    return MT_OK;
}

static int by_number(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

enum { LOOK_FAILED = -1, LOOK_MET = -2 };

/* What d->list, just computed for a look-ahead, amounts to: an id, or decided. */
static mt_status look_result(mt_dfa *d, bool negative, bool hit, int32_t *id, mt_error *err) {
    if (hit || d->list.len == 0) {
        *id = hit != negative ? LOOK_MET : LOOK_FAILED;
        return MT_OK;
    }
    MT_TRY(mt_ids_add(&d->list, negative, err)); /* largest place is free: put it first */
    d->list.data[d->list.len - 1] = d->list.data[0];
    d->list.data[0] = negative;
    qsort(d->list.data + 1, d->list.len - 1, sizeof *d->list.data, by_number);
    return intern_list(d, &d->looks, d->list.data, d->list.len, id, err);
}

/* The look set with one more look. */
static mt_status looks_with(mt_dfa *d, int32_t set, int32_t look, int32_t *out, mt_error *err) {
    d->list.len = 0;
    for (size_t i = 0; i < d->look_sets.v[set].n; i++) {
        if (d->look_sets.v[set].v[i] == look) {
            *out = set;
            return MT_OK;
        }
        MT_TRY(mt_ids_add(&d->list, d->look_sets.v[set].v[i], err));
    }
    MT_TRY(mt_ids_add(&d->list, look, err));
    qsort(d->list.data, d->list.len, sizeof *d->list.data, by_number);
    return intern_list(d, &d->look_sets, d->list.data, d->list.len, out, err);
}

/* All looks of the set read a character. *out: the rest, or DEAD_LOOKS. */
static mt_status looks_step(mt_dfa *d, int32_t set, uint32_t class, int32_t *out, mt_error *err) {
    *out = NO_LOOKS;
    for (size_t i = 0; i < d->look_sets.v[set].n; i++) {
        struct mt_list look = d->looks.v[d->look_sets.v[set].v[i]];
        bool hit = false;
        int32_t id;
        d->list.len = 0;
        d->look_time++;
        for (size_t k = 1; k < look.n && !hit; k++) {
            const mt_inst *in = &d->program->v[look.v[k]];
            bool passes = in->op == MT_OP_END ? class == d->end_class : in_class(d, in->set, class);
            if (passes) MT_TRY(look_closure(d, in->next, class == d->end_class, &hit, err));
        }
        MT_TRY(look_result(d, look.v[0], hit, &id, err));
        if (id == LOOK_FAILED) {
            *out = DEAD_LOOKS;
            return MT_OK;
        }
        if (id >= 0) MT_TRY(looks_with(d, *out, id, out, err));
    }
    return MT_OK;
}

static bool looks_within(const mt_dfa *d, int32_t a, int32_t b) { /* everything in a is in b */
    if (a == b || a == NO_LOOKS) return true;
    struct mt_list x = d->look_sets.v[a], y = d->look_sets.v[b];
    size_t j = 0;
    for (size_t i = 0; i < x.n; i++) {
        while (j < y.n && y.v[j] < x.v[i]) j++;
        if (j == y.n || y.v[j] != x.v[i]) return false;
    }
    return true;
}

/* ---- steps ----------------------------------------------------------------------------------------------------------
 */

/* A thread cannot win when one before it is at the same place, or at the end, under no more conditions. */
static mt_status is_new(mt_dfa *d, int32_t pc, int32_t looks, bool *fresh, mt_error *err) {
    *fresh = false;
    if (d->waiting)
        for (size_t i = 0; i < d->out_n; i++)
            if (d->out[i].pc < 0 && looks_within(d, d->out[i].looks, looks)) return MT_OK;
    if (d->seen_stamp[pc] != d->stamp) {
        d->seen_stamp[pc] = d->stamp;
        d->seen_head[pc] = -1;
    }
    for (int32_t i = d->seen_head[pc]; i >= 0; i = d->seen[i].older)
        if (looks_within(d, d->seen[i].looks, looks)) return MT_OK;
    MT_TRY(mt_grow((void **)&d->seen, &d->seen_cap, d->seen_n + 1, sizeof *d->seen, err));
    d->seen[d->seen_n] = (struct mt_seen){looks, d->seen_head[pc]};
    d->seen_head[pc] = (int32_t)d->seen_n++;
    *fresh = true;
    return MT_OK;
}

static mt_status put(mt_dfa *d, int32_t pc, int32_t back, int32_t looks, mt_error *err) {
    if (d->out_n >= MT_DFA_MAX_ITEMS)
        return mt_fail(err, MT_ELIMIT, "a regular expression's automaton has too many threads");
    MT_TRY(mt_grow((void **)&d->out, &d->out_cap, d->out_n + 1, sizeof *d->out, err));
    d->out[d->out_n++] = (mt_thread){pc, back, looks};
    d->waiting |= pc < 0;
    return MT_OK;
}

static mt_status push(mt_dfa *d, int32_t pc, int32_t looks, mt_error *err) {
    MT_TRY(mt_grow((void **)&d->stack, &d->stack_cap, d->stack_n + 1, sizeof *d->stack, err));
    d->stack[d->stack_n++] = (mt_thread){pc, 0, looks};
    return MT_OK;
}

/* Follows everything that reads nothing, in order of priority. *matched: the end was reached without conditions. */
static mt_status closure(mt_dfa *d, int32_t pc, int32_t looks, bool at_end, bool *matched, mt_error *err) {
    d->stack_n = 0;
    MT_TRY(push(d, pc, looks, err));
    while (d->stack_n) {
        mt_thread t = d->stack[--d->stack_n];
        bool fresh, hit = false;
        MT_TRY(is_new(d, t.pc, t.looks, &fresh, err));
        if (!fresh) continue;
        const mt_inst *in = &d->program->v[t.pc];
        switch ((mt_op)in->op) {
        case MT_OP_MATCH:
            if (t.looks == NO_LOOKS) {
                *matched = true;
                return MT_OK;
            }
            MT_TRY(put(d, -1, 0, t.looks, err));
            break;
        case MT_OP_SPLIT:
            MT_TRY(push(d, in->other, t.looks, err));
            MT_TRY(push(d, in->next, t.looks, err));
            break;
        case MT_OP_SET:
            if (!at_end) MT_TRY(put(d, t.pc, 0, t.looks, err));
            break;
        case MT_OP_END:
            MT_TRY(at_end ? push(d, in->next, t.looks, err) : put(d, t.pc, 0, t.looks, err));
            break;
        case MT_OP_LOOK: {
            int32_t id, with = t.looks;
            d->list.len = 0;
            d->look_time++;
            MT_TRY(look_closure(d, in->other, at_end, &hit, err));
            MT_TRY(look_result(d, in->negative, hit, &id, err));
            if (id == LOOK_FAILED) break;
            if (id >= 0) MT_TRY(looks_with(d, t.looks, id, &with, err));
            MT_TRY(push(d, in->next, with, err));
            break;
        }
        case MT_OP_ASSERT:
        case MT_OP_ATOMIC:
            break; /* ruled out by program->automaton */
        }
    }
    return MT_OK;
}

static void begin_step(mt_dfa *d) {
    d->out_n = d->seen_n = 0;
    d->waiting = false;
    d->stamp++;
}

mt_status mt_dfa_compute(mt_dfa *d, uint32_t state, uint32_t class, uint32_t *next, mt_error *err) {
    bool at_end = class == d->end_class, matched = false;
    int back = -1;
    begin_step(d);
    for (size_t i = 0; i < d->states[state].n && back < 0; i++) {
        mt_thread t = d->states[state].threads[i];
        if (t.pc >= 0) {
            const mt_inst *in = &d->program->v[t.pc];
            if (in->op == MT_OP_END ? !at_end : !in_class(d, in->set, class)) continue;
        }
        if (t.looks != NO_LOOKS) MT_TRY(looks_step(d, t.looks, class, &t.looks, err));
        if (t.looks == DEAD_LOOKS) continue;
        if (t.pc >= 0) {
            MT_TRY(closure(d, d->program->v[t.pc].next, t.looks, at_end, &matched, err));
            if (matched) back = 0;
        } else if (t.looks == NO_LOOKS) {
            back = t.back + d->length[class];
        } else {
            bool covered = false;
            for (size_t k = 0; k < d->out_n && !covered; k++)
                covered = d->out[k].pc < 0 && looks_within(d, d->out[k].looks, t.looks);
            if (!covered) MT_TRY(put(d, -1, t.back + d->length[class], t.looks, err));
        }
    }
    int last = back > 0 && back == d->length[class] ? (int)class : -1;
    MT_TRY(intern_state(d, back, last, next, err));
    d->next[(size_t)state * d->stride + class] = *next;
    return MT_OK;
}

mt_status mt_dfa_new(const mt_program *p, mt_dfa **out, mt_error *err) {
    mt_dfa *d = *out = mt_calloc(1, sizeof *d);
    if (!d) return mt_nomem(err, sizeof *d, "a regular expression's automaton");
    d->program = p;
    d->seen_head = mt_array(p->n, sizeof *d->seen_head);
    d->seen_stamp = mt_calloc(p->n, sizeof *d->seen_stamp);
    d->look_stamp = mt_calloc(p->n, sizeof *d->look_stamp);
    mt_status status = MT_OK;
    uint32_t dead;
    int32_t none = 0;
    bool matched = false;
    if (!d->seen_head || !d->seen_stamp || !d->look_stamp) {
        status = mt_nomem(err, p->n * 3 * sizeof *d->seen_head, "a regular expression's automaton");
        goto fail;
    }
    MT_TRY_GOTO(make_classes(d, err), fail);
    MT_TRY_GOTO(intern_list(d, &d->look_sets, &none, 0, &none, err), fail); /* id 0: no looks */
    MT_TRY_GOTO(intern_state(d, -1, -1, &dead, err), fail);                 /* id 0: dead */
    begin_step(d);
    MT_TRY_GOTO(closure(d, p->start, NO_LOOKS, false, &matched, err), fail);
    MT_TRY_GOTO(intern_state(d, matched ? 0 : -1, -1, &d->start, err), fail);
    return MT_OK;
fail:
    mt_dfa_free(d);
    *out = NULL;
    return status;
}

void mt_dfa_free(mt_dfa *d) {
    if (!d) return;
    mt_free(d->signature);
    mt_free(d->length);
    mt_free(d->group);
    mt_free(d->block);
    mt_free(d->states);
    mt_free(d->next);
    mt_free(d->fused);
    mt_free(d->wide);
    mt_map_free(&d->state_map);
    mt_free(d->looks.v);
    mt_map_free(&d->looks.map);
    mt_free(d->look_sets.v);
    mt_map_free(&d->look_sets.map);
    for (size_t i = 0; i < d->bytes_n; i++) mt_free(d->bytes[i].next);
    mt_free(d->bytes);
    mt_map64_free(&d->byte_map);
    mt_free(d->out);
    mt_free(d->seen);
    mt_free(d->seen_head);
    mt_free(d->seen_stamp);
    mt_free(d->look_stamp);
    mt_free(d->stack);
    mt_ids_free(&d->list);
    mt_ids_free(&d->list2);
    mt_map64_free(&d->barren);
    mt_free(d->tail);
    mt_arena_free(&d->arena);
    mt_free(d);
}

size_t mt_dfa_state_count(const mt_dfa *d) {
    return d->n;
}

/* ---- byte by byte -------------------------------------------------------------------------------------------------
 */

/* A node of the decoding tree, in 32 bits: what the index says, bytes read (1..3), limits of the next byte, index. */
enum { ROOT, IN_BLOCK, IN_GROUP, IN_TOP };
enum { LIMIT_NONE, LIMIT_E0, LIMIT_ED, LIMIT_F0, LIMIT_F4 };
static uint32_t node_of(uint32_t kind, uint32_t pending, uint32_t limit, uint32_t index) {
    return kind << 30 | pending << 28 | limit << 24 | index;
}
static uint32_t node_kind(uint32_t node) {
    return node >> 30;
}
static uint32_t node_pending(uint32_t node) {
    return node >> 28 & 3;
}
static uint32_t node_index(uint32_t node) {
    return node & 0xFFFFFF;
}
static bool node_allows(uint32_t node, uint32_t byte) {
    static const uint8_t low[] = {0x80, 0xA0, 0x80, 0x90, 0x80}, high[] = {0xBF, 0xBF, 0x9F, 0xBF, 0x8F};
    uint32_t limit = node >> 24 & 7;
    return byte >= low[limit] && byte <= high[limit];
}

static mt_status byte_state(mt_dfa *d, uint32_t state, uint32_t node, int back, int32_t *id, mt_error *err) {
    *id = MT_DFA_DEAD;
    if (state == 0 && back < 0) return MT_OK;
    /* state < 2^12, back < 2^8; a node's index < 2^16 */
    uint64_t key = (uint64_t)state << 44 | (uint64_t)(back + 1) << 33 | (uint64_t)node;
    if (mt_map64_get(&d->byte_map, key, id)) return MT_OK;
    if (d->bytes_n == 0) {
        MT_TRY(mt_grow((void **)&d->bytes, &d->bytes_cap, 1, sizeof *d->bytes, err));
        d->bytes[d->bytes_n++] = (mt_byte_state){0, 0, -1, NULL}; /* MT_DFA_DEAD */
    }
    if (d->bytes_n >= MT_DFA_MAX_BYTES)
        return mt_fail(err, MT_ELIMIT, "a regular expression's automaton has more than %d byte states",
                       MT_DFA_MAX_BYTES);
    MT_TRY(mt_grow((void **)&d->bytes, &d->bytes_cap, d->bytes_n + 1, sizeof *d->bytes, err));
    MT_TRY(mt_map64_set(&d->byte_map, key, (int32_t)d->bytes_n, err));
    *id = (int32_t)d->bytes_n;
    d->bytes[d->bytes_n++] = (mt_byte_state){(int32_t)state, node, back, NULL};
    return MT_OK;
}

/* One character of the class; *back: bytes since the last confirmed match, of those read in this step. */
static mt_status read_class(mt_dfa *d, uint32_t class, uint32_t *state, int *back, mt_error *err) {
    MT_TRY(mt_dfa_next(d, *state, class, state, err));
    if (*back >= 0) *back += d->length[class];
    if (d->states[*state].back >= 0) *back = d->states[*state].back;
    return MT_OK;
}

static mt_status step_bytes(mt_dfa *d, int32_t from, int symbol, int32_t *to, mt_error *err) {
    uint32_t state = (uint32_t)d->bytes[from].state, node = d->bytes[from].node, byte = (uint32_t)symbol;
    int back = -1;
    if (node_kind(node) != ROOT && symbol != MT_END && node_allows(node, byte)) {
        uint32_t index = node_index(node), pending = node_pending(node) + 1;
        switch (node_kind(node)) {
        case IN_BLOCK:
            MT_TRY(read_class(d, d->block[index * 64 + (byte & 63)], &state, &back, err));
            return byte_state(d, state, ROOT, back, to, err);
        case IN_GROUP:
            node = node_of(IN_BLOCK, pending, LIMIT_NONE, d->group[index * 64 + (byte & 63)]);
            return byte_state(d, state, node, back, to, err);
        default:
            node = node_of(IN_GROUP, pending, LIMIT_NONE, d->top[index * 64 + (byte & 63)]);
            return byte_state(d, state, node, back, to, err);
        }
    }
    for (uint32_t i = 0; i < node_pending(node); i++) {
        if (state)
            MT_TRY(read_class(d, d->invalid_class, &state, &back, err));
        else if (back >= 0)
            back++;
    }
    node = ROOT;
    if (!state) { /* all threads died on the way: this byte too lies between the match and here */
        if (symbol != MT_END && back >= 0) back++;
        return byte_state(d, 0, ROOT, back, to, err);
    }
    if (symbol == MT_END)
        MT_TRY(read_class(d, d->end_class, &state, &back, err));
    else if (byte < 0x80)
        MT_TRY(read_class(d, d->ascii[byte], &state, &back, err));
    else if (byte < 0xC2 || byte > 0xF4)
        MT_TRY(read_class(d, d->invalid_class, &state, &back, err));
    else {
        if (byte < 0xE0)
            node = node_of(IN_BLOCK, 1, LIMIT_NONE, d->group[d->top[0] * 64u + (byte & 31)]);
        else if (byte < 0xF0)
            node = node_of(IN_GROUP, 1,
                           byte == 0xE0   ? LIMIT_E0
                           : byte == 0xED ? LIMIT_ED
                                          : LIMIT_NONE,
                           d->top[byte & 15]);
        else
            node = node_of(IN_TOP, 1, byte == 0xF0 ? LIMIT_F0 : byte == 0xF4 ? LIMIT_F4 : LIMIT_NONE, byte & 7);
        if (back >= 0) back++;
    }
    return byte_state(d, state, node, back, to, err);
}

int32_t mt_dfa_start(mt_dfa *d) {
    int32_t id;
    mt_status status = byte_state(d, d->start, ROOT, d->states[d->start].back, &id, NULL);
    return status == MT_OK ? id : -(int32_t)status;
}

int32_t mt_dfa_step(mt_dfa *d, int32_t state, int symbol) {
    if (state == MT_DFA_DEAD) return MT_DFA_DEAD;
    if (state < 0 || (size_t)state >= d->bytes_n || symbol < 0 || symbol > MT_END) return -MT_ERANGE;
    if (!d->bytes[state].next) {
        int32_t *next = mt_array(MT_END + 1, sizeof *next);
        if (!next) return -MT_ENOMEM;
        for (int i = 0; i <= MT_END; i++) next[i] = INT32_MIN;
        d->bytes[state].next = next;
    }
    int32_t *next = d->bytes[state].next; /* stays where it is when d->bytes moves */
    if (next[symbol] == INT32_MIN) {
        int32_t to;
        mt_status status = step_bytes(d, state, symbol, &to, NULL);
        if (status != MT_OK) return -(int32_t)status;
        next[symbol] = to;
    }
    return next[symbol];
}

bool mt_dfa_confirms(const mt_dfa *d, int32_t state, int *back) {
    if (state <= MT_DFA_DEAD || (size_t)state >= d->bytes_n) return false;
    *back = d->bytes[state].back;
    return *back >= 0;
}

bool mt_dfa_pending(const mt_dfa *d, int32_t state, int back) {
    if (state <= MT_DFA_DEAD || (size_t)state >= d->bytes_n) return false;
    const mt_dfa_state *s = &d->states[d->bytes[state].state];
    int unread = (int)node_pending(d->bytes[state].node);
    if (back < unread) return s->n > 0;
    for (uint16_t i = 0; i < s->n; i++)
        if (s->threads[i].pc < 0 && s->threads[i].back + unread == back) return true;
    return false;
}

/* ---- alive --------------------------------------------------------------------------------------------------------
 */

/* Searches breadth-first for a confirmation at or after the current place. `ahead`: bytes read beyond it (negative
 * inside a character), counted up to the largest distance a confirmation can have. A limit or lack of memory answers
 * yes. */
enum { FAR = 4 * MT_DFA_MAX_LOOK + 4 };
typedef struct reach {
    uint32_t state;
    int32_t ahead;
} reach;

typedef struct search {
    mt_dfa *d;
    reach *queue;
    size_t n, cap;
    mt_map64 best; /* state -> largest `ahead` it was queued with, + 8 */
    bool found;
} search;

static mt_status arrive(search *s, uint32_t from, uint32_t class, int32_t ahead) {
    uint32_t to;
    int32_t best;
    MT_TRY(mt_dfa_next(s->d, from, class, &to, NULL));
    ahead += s->d->length[class];
    if (ahead > FAR) ahead = FAR;
    if (s->d->states[to].back >= 0 && s->d->states[to].back <= ahead) s->found = true;
    if (s->d->states[to].n == 0) return MT_OK;
    if (mt_map64_get(&s->best, to, &best) && best >= ahead + 8) return MT_OK;
    MT_TRY(mt_map64_set(&s->best, to, ahead + 8, NULL));
    MT_TRY(mt_grow((void **)&s->queue, &s->cap, s->n + 1, sizeof *s->queue, NULL));
    s->queue[s->n++] = (reach){to, ahead};
    return MT_OK;
}

static mt_status arrive_below(search *s, uint32_t from, uint32_t kind, uint32_t index, uint32_t node, int32_t ahead) {
    const mt_dfa *d = s->d;
    for (uint32_t byte = 0x80; byte < 0xC0 && !s->found; byte++) {
        if (!node_allows(node, byte)) continue;
        uint32_t k = index * 64 + (byte & 63);
        if (kind == IN_BLOCK)
            MT_TRY(arrive(s, from, d->block[k], ahead));
        else if (kind == IN_GROUP)
            MT_TRY(arrive_below(s, from, IN_BLOCK, d->group[k], 0, ahead));
        else
            MT_TRY(arrive_below(s, from, IN_GROUP, d->top[k], 0, ahead));
    }
    return MT_OK;
}

static mt_status search_on(search *s) {
    for (size_t i = 0; i < s->n && !s->found; i++)
        for (uint32_t class = 0; class < s->d->stride && !s->found; class++)
            MT_TRY(arrive(s, s->queue[i].state, class, s->queue[i].ahead));
    return MT_OK;
}

bool mt_dfa_alive(mt_dfa *d, int32_t state) {
    if (state <= MT_DFA_DEAD || (size_t)state >= d->bytes_n) return false;
    uint32_t at = (uint32_t)d->bytes[state].state, node = d->bytes[state].node;
    if (d->states[at].n == 0) return false;
    if (node_kind(node) == ROOT && d->states[at].alive) return d->states[at].alive == 1;
    search s = {.d = d};
    mt_status status = MT_OK;
    if (node_kind(node) == ROOT) {
        for (uint32_t class = 0; class < d->stride && !s.found && status == MT_OK; class++)
            status = arrive(&s, at, class, 0);
    } else { /* either the character is completed, or its bytes so far are invalid ones */
        int32_t pending = (int32_t)node_pending(node);
        status = arrive_below(&s, at, node_kind(node), node_index(node), node, -pending);
        uint32_t rest = at;
        int back = -1;
        for (int32_t i = 0; i < pending && rest && status == MT_OK; i++)
            status = read_class(d, d->invalid_class, &rest, &back, NULL);
        if (status == MT_OK && back == 0) s.found = true;
        for (uint32_t class = 0; class < d->stride && rest && !s.found && status == MT_OK; class++)
            status = arrive(&s, rest, class, 0);
    }
    if (status == MT_OK) status = search_on(&s);
    bool alive = s.found || status != MT_OK;
    if (node_kind(node) == ROOT && status == MT_OK) d->states[at].alive = alive ? 1 : 2;
    mt_free(s.queue);
    mt_map64_free(&s.best);
    return alive;
}
