/* Inside src/text: character sets, the syntax tree, the program both engines run, and the engines' own entry points.
 *
 *   unicode.c       mt_set_property             properties -> sets
 *   regex_set.c     mt_set                      sorted ranges of code points
 *   regex_parse.c   pattern -> mt_node tree
 *   regex_compile.c tree -> mt_program
 *   regex_back.c    memoised backtracking       any program
 *   regex_dfa.c     lazily built automaton      programs without look-behind, inner anchors and atomic groups
 *   regex_split.c   whole texts
 */
#ifndef MT_TEXT_REGEX_H
#define MT_TEXT_REGEX_H

#include "text.h"

/* ---- sets ---------------------------------------------------------------------------------------------------- */

/* One "character" more than Unicode has: any byte that is not part of a valid sequence. Negated sets contain it. */
enum { MT_CP_INVALID = 0x110000, MT_CP_COUNT = 0x110001 };
typedef struct mt_range {
    uint32_t lo, hi; /* both belong to the set */
} mt_range;
typedef struct mt_set { /* sorted and disjoint after mt_set_tidy; every function but mt_set_add needs and leaves that */
    mt_range *r;
    size_t n, cap;
} mt_set;
mt_status mt_set_add(mt_set *s, uint32_t lo, uint32_t hi, mt_error *err);
void mt_set_tidy(mt_set *s);
mt_status mt_set_union(mt_set *s, const mt_set *other, mt_error *err);
mt_status mt_set_intersect(mt_set *s, const mt_set *other, mt_error *err);
mt_status mt_set_negate(mt_set *s, mt_error *err);
mt_status mt_set_close_case(mt_set *s, mt_error *err); /* adds what differs by simple case folding only */
bool mt_set_has(const mt_set *s, uint32_t cp);
bool mt_set_meets(const mt_set *s, uint32_t lo, uint32_t hi);
bool mt_set_disjoint(const mt_set *a, const mt_set *b);
void mt_set_free(mt_set *s);

/* Adds the code points of a property: a general category or group of them, a script, a binary property, by long or
 * short name, with or without "gc=", "sc="; case, spaces, '_' and '-' do not matter. *known = false: no such name. */
mt_status mt_set_property(mt_set *s, mt_str name, bool *known, mt_error *err);
mt_status mt_set_categories(mt_set *s, uint32_t mask, mt_error *err); /* bit per mt_category */
/* Adds (without tidying) the simple case foldings of the members of `of`, or (unfold) all that folds to a member. */
mt_status mt_set_add_folds(mt_set *s, const mt_set *of, bool unfold, mt_error *err);

/* ---- syntax tree ----------------------------------------------------------------------------------------------- */

enum {
    MT_REGEX_MAX_PATTERN = 1 << 16,
    MT_REGEX_MAX_DEPTH = 100,     /* of groups, classes and quantifiers */
    MT_REGEX_MAX_REPEAT = 1000,   /* in {m,n} */
    MT_REGEX_MAX_PROGRAM = 20000, /* instructions */
    MT_REGEX_MAX_SETS = 512,
    MT_REGEX_MAX_RANGES = 1 << 17, /* in all sets together */
    MT_DFA_MAX_LOOK = 16,          /* characters that a look-ahead may read in the automaton */
    MT_DFA_MAX_CLASSES = 2048,
    MT_DFA_MAX_STATES = 4096,
    MT_DFA_MAX_ITEMS = 512,      /* threads of one state */
    MT_DFA_MAX_CELLS = 1 << 21,  /* transitions of all states together */
    MT_DFA_MAX_BYTES = 1 << 14,  /* byte states */
    MT_REGEX_BACK_STEPS = 50000, /* backtracking steps: this many + MT_REGEX_BACK_FACTOR * instructions * characters */
    MT_REGEX_BACK_FACTOR = 16
};

typedef enum mt_node_kind {
    MT_N_EMPTY,
    MT_N_SET,
    MT_N_CAT,
    MT_N_ALT,
    MT_N_REPEAT,
    MT_N_ATOMIC,
    MT_N_LOOK,
    MT_N_ASSERT
} mt_node_kind;
typedef enum mt_repeat_mode { MT_GREEDY, MT_LAZY, MT_POSSESSIVE } mt_repeat_mode;
typedef enum mt_assert_kind {
    MT_A_TEXT_BEGIN,
    MT_A_TEXT_END,
    MT_A_LINE_BEGIN,
    MT_A_WORD,
    MT_A_NOT_WORD
} mt_assert_kind;
#define MT_REPEAT_INF UINT32_MAX
typedef struct mt_node {
    mt_node_kind kind;
    int32_t set;         /* MT_N_SET */
    mt_repeat_mode mode; /* MT_N_REPEAT */
    uint32_t min, max;   /* MT_N_REPEAT */
    mt_assert_kind assertion;
    bool negative, behind; /* MT_N_LOOK */
    uint32_t depth;
    uint32_t min_length, max_length; /* characters; MT_REPEAT_INF: no bound */
    size_t at;                       /* where in the pattern */
    struct mt_node *child, *last;    /* of CAT and ALT: a list */
    struct mt_node *next;
} mt_node;

typedef struct mt_sets {
    mt_set *v;
    size_t n, cap, ranges;
} mt_sets;
typedef struct mt_tree {
    mt_arena arena;
    mt_node *root;
    mt_sets sets;
    int32_t word; /* the set \w, when \b occurs, or -1 */
} mt_tree;
mt_status mt_regex_parse(mt_str pattern, mt_tree *tree, mt_error *err); /* free the tree in any case */
void mt_tree_free(mt_tree *tree);
/* "regex /.../, offset N: message" */
mt_status mt_regex_fail(mt_str pattern, size_t at, mt_status code, mt_error *err, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* ---- program --------------------------------------------------------------------------------------------------- */

typedef enum mt_op {
    MT_OP_MATCH,  /* end of the pattern or of the body of an ATOMIC or LOOK */
    MT_OP_SET,    /* a character of `set`, then next */
    MT_OP_SPLIT,  /* next, or else other */
    MT_OP_END,    /* the end of the text, then next */
    MT_OP_ASSERT, /* kind in set */
    MT_OP_ATOMIC, /* other = body, without going back into it */
    MT_OP_LOOK    /* other = body; set = characters to step back when behind */
} mt_op;
typedef struct mt_inst {
    uint8_t op;
    bool negative, behind;
    int32_t set;
    int32_t next, other;
} mt_inst;
typedef struct mt_program {
    mt_inst *v;
    size_t n, cap;
    int32_t start;
    mt_sets sets;
    int32_t word;
    bool automaton;      /* regex_dfa.c can run it */
    const char *why_not; /* otherwise: what stands in the way */
} mt_program;
/* Takes the sets out of the tree. */
mt_status mt_program_compile(mt_str pattern, mt_tree *tree, mt_program *out, mt_error *err);
void mt_program_free(mt_program *p);

/* ---- engines --------------------------------------------------------------------------------------------------- */

typedef struct mt_back mt_back;
mt_status mt_back_new(const mt_program *p, mt_back **out, mt_error *err);
void mt_back_free(mt_back *b);
/* Tries `at`, then, unless `anchored`, the characters after it. */
/* again: the text of the call before, from a later place on: what is known about it is kept, and the bound on steps
 * is one for all of it. */
mt_status mt_back_find(mt_back *b, const uint8_t *text, size_t n, size_t at, bool anchored, bool again, bool *found,
                       size_t *begin, size_t *end, mt_error *err);
void mt_back_forget(mt_back *b);          /* what is known about a text */
uint64_t mt_back_steps(const mt_back *b); /* since it was made */

mt_status mt_dfa_new(const mt_program *p, mt_dfa **out, mt_error *err);
void mt_dfa_free(mt_dfa *d);
mt_status mt_dfa_find(mt_dfa *d, const uint8_t *text, size_t n, size_t at, bool anchored, bool again, bool *found,
                      size_t *begin, size_t *end, mt_error *err);
uint64_t mt_dfa_steps(const mt_dfa *d); /* characters read by mt_dfa_find since it was made */
size_t mt_dfa_state_count(const mt_dfa *d);

struct mt_regex {
    mt_program program;
    mt_dfa *dfa;      /* NULL: not an automaton */
    mt_back *back;    /* made when it is needed */
    bool dfa_is_full; /* it met a limit: from then on the other engine finds matches */
    bool back_knows;  /* the backtracking engine has been asked about this text */
    size_t careful;   /* of the text that is being split: see regex_split.c */
};
/* For tests: the engines by themselves. */
mt_status mt_regex_back_at(mt_regex *re, const uint8_t *text, size_t n, size_t at, bool *found, size_t *end,
                           mt_error *err);
uint64_t mt_regex_steps(const mt_regex *re);
const char *mt_regex_why_not_dfa(const mt_regex *re); /* NULL when it is one */

#endif
