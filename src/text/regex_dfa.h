/* The automaton's insides, shared by regex_dfa.c (construction, byte interface) and regex_split.c (whole texts). */
#ifndef MT_TEXT_REGEX_DFA_H
#define MT_TEXT_REGEX_DFA_H

#include "regex.h"

/* Interned lists of numbers: equal lists get equal ids. */
typedef struct mt_lists {
    struct mt_list {
        const int32_t *v;
        size_t n;
    } *v;
    size_t n, cap;
    mt_map map;
} mt_lists;

typedef struct mt_thread { /* in order of priority */
    int32_t pc;            /* -1: at the end of the pattern, waiting for look-aheads */
    int32_t back;          /* then: bytes read since that end */
    int32_t looks;         /* id in dfa->look_sets: what must still turn out true */
} mt_thread;

typedef struct mt_dfa_state {
    const mt_thread *threads;
    uint16_t n;
    int16_t back;  /* entering this state confirms a match that ended so many bytes ago; -1: it does not */
    int16_t last;  /* back > 0 and the length of just the last character: its class; otherwise -1 */
    uint8_t alive; /* memory of mt_dfa_alive: 0 unknown, 1 yes, 2 no */
} mt_dfa_state;

#define MT_DFA_UNKNOWN UINT32_MAX
/* Entries of `fused`: 128 times the next state, and: */
#define MT_FUSED_CUT   UINT32_C(0x80000000) /* a piece ends before this character, which begins the next one */
#define MT_FUSED_SLOW  UINT32_C(0x40000000) /* look closer: nothing is known yet, or one of the following */
#define MT_FUSED_BACK  UINT32_C(0x20000000) /* a piece ends before the character before this one, */
#define MT_FUSED_TWO   UINT32_C(0x10000000) /* and another between them */
#define MT_FUSED_RERUN UINT32_C(0x08000000) /* the match has to be found again */
#define MT_FUSED_ROW   UINT32_C(0x00FFFFFF)

typedef struct mt_byte_state { /* a state with the bytes of an unfinished character */
    int32_t state;
    uint32_t node; /* see regex_dfa.c */
    int32_t back;
    int32_t *next; /* per symbol, INT32_MIN: unknown; NULL: none known */
} mt_byte_state;

struct mt_dfa {
    const mt_program *program;
    mt_arena arena;
    /* characters -> classes: block[group[top[cp >> 12] * 64 + (cp >> 6 & 63)] * 64 + (cp & 63)] */
    uint32_t classes, words; /* words of a signature */
    uint64_t *signature;     /* per class: which sets contain it */
    uint8_t *length;         /* per class: bytes of its characters */
    uint16_t end_class, invalid_class;
    uint16_t ascii[128];
    uint16_t top[272];
    uint16_t *group, *block;
    size_t groups, groups_cap, blocks, blocks_cap;
    /* states */
    uint32_t stride; /* classes, end included */
    mt_dfa_state *states;
    size_t n, cap;
    uint32_t *next;         /* [state * stride + class] */
    uint32_t *fused, *wide; /* [state * 128 + ASCII character], [state * stride + class]: for split_fast */
    size_t cells, fused_cells, wide_cells;
    mt_map state_map;
    mt_lists looks, look_sets; /* look: [negative, pc...]; look set: ids of looks */
    uint32_t start;
    /* byte states */
    mt_byte_state *bytes;
    size_t bytes_n, bytes_cap;
    mt_map64 byte_map;
    /* scratch for one step */
    mt_thread *out;
    size_t out_n, out_cap;
    struct mt_seen {
        int32_t looks, older;
    } *seen;
    size_t seen_n, seen_cap;
    int32_t *seen_head; /* per instruction */
    uint32_t *seen_stamp, *look_stamp;
    uint32_t stamp, look_time;
    mt_thread *stack;
    size_t stack_n, stack_cap;
    mt_ids list, list2;
    bool waiting; /* `out` has a thread with pc -1 */
    /* finding */
    uint64_t steps;
    mt_map64 barren; /* (state, position): nothing is confirmed from there on */
    uint64_t *tail;
    size_t tail_n, tail_cap;
};

/* The state after `state` and a character of the class; 0 is dead. */
mt_status mt_dfa_compute(mt_dfa *d, uint32_t state, uint32_t class, uint32_t *next, mt_error *err);
static inline mt_status mt_dfa_next(mt_dfa *d, uint32_t state, uint32_t class, uint32_t *next, mt_error *err) {
    *next = d->next[(size_t)state * d->stride + class];
    return *next != MT_DFA_UNKNOWN ? MT_OK : mt_dfa_compute(d, state, class, next, err);
}

/* The class of the character at p[0..n), n >= 1. */
static inline uint32_t mt_dfa_class(const mt_dfa *d, const uint8_t *p, size_t n, size_t *length) {
    uint32_t a = p[0];
    *length = 1;
    if (a < 0x80) return d->ascii[a];
    if (a < 0xE0) {
        if (a < 0xC2 || n < 2 || (p[1] & 0xC0) != 0x80) return d->invalid_class;
        *length = 2;
        return d->block[(size_t)d->group[d->top[0] * 64u + (a & 31)] * 64 + (p[1] & 63)];
    }
    if (n < 3 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80) return d->invalid_class;
    if (a < 0xF0) {
        if ((a == 0xE0 && p[1] < 0xA0) || (a == 0xED && p[1] >= 0xA0)) return d->invalid_class;
        *length = 3;
        return d->block[(size_t)d->group[d->top[a & 15] * 64u + (p[1] & 63u)] * 64 + (p[2] & 63)];
    }
    if (a > 0xF4 || n < 4 || (p[3] & 0xC0) != 0x80 || (a == 0xF0 && p[1] < 0x90) || (a == 0xF4 && p[1] >= 0x90))
        return d->invalid_class;
    *length = 4;
    return d->block[(size_t)d->group[d->top[(a & 7) << 6 | (p[1] & 63u)] * 64u + (p[2] & 63u)] * 64 + (p[3] & 63)];
}

/* The match at text[at]. `*reach`: how far the text was read. */
mt_status mt_dfa_run(mt_dfa *d, const uint8_t *text, size_t n, size_t at, bool *found, size_t *end, size_t *reach,
                     mt_error *err);
void mt_dfa_forget(mt_dfa *d); /* what mt_dfa_run remembers about the text: before another text */

#endif
