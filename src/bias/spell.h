/* spell: which token sequences a tokenizer can produce, as an automaton over (bytes, tokens). Private to src/bias and
 * its tests.
 *
 * A sequence is a spelling of a text when encoding some text that starts like it would start with exactly that
 * sequence. Encoding is: cut out added tokens; split what lies between into pre-tokens; segment every pre-token. Where
 * a pre-token ends can depend on bytes that come later, so the automaton guesses and verifies:
 *
 *   boundary state (piece < 0)    a pre-token ended here. It carries the *obligations* of that guess: for each
 * pre-token whose end is not yet certain the splitter's state, how many bytes ago the guessed end was, and whether the
 * best match confirmed so far ends exactly there. inside state (piece >= 0)     the splitter's state of the running
 * pre-token, and the obligations of earlier ones.
 *
 * An obligation is discharged when its splitter run is dead with the best match at the guessed place, and kills the
 * guess when it is dead with another one. A state is alive iff some bytes (or the end of the text) discharge
 * everything; states that are not alive are never entered (state 0, MT_SPELL_DEAD).
 *
 *   GPT-2's pattern, text "a  b": after "a" and one space, the guess "a pre-token ends here" is right iff the bytes go
 * on with a space and a letter; the guess "it goes on" is right iff the text or the white space goes on.
 *
 * Several splitters may follow one another, each cutting the pieces of the one before (single digits, then words).
 * Their runs are nested: a guess "a piece ends here" is made at one level; the pieces further in end there too and see
 * the end of their text, and the pieces further out go on.
 *
 * Tokens are handled by their rank in the sorted vocabulary (unsigned lexicographic order of their bytes).
 */
#ifndef MT_SPELL_H
#define MT_SPELL_H

#include "bias.h"

typedef enum mt_spell_kind {
    MT_SPELL_NO,     /* no bytes, or never produced from text: control, unknown, hole */
    MT_SPELL_NORMAL, /* produced by the segmenter */
    MT_SPELL_BYTE,   /* byte fallback piece */
    MT_SPELL_USER    /* added token that is cut out of the text, leftmost-longest, before splitting */
} mt_spell_kind;

enum { MT_SPELL_LEVELS = MT_TOK_SPLITTERS };

/* What is asked of a tokenizer. Tests implement it for toy dictionaries; mt_spell_source_of for an mt_tok. */
typedef struct mt_spell_source {
    void *self;
    int32_t size;
    mt_str (*bytes)(void *self, int32_t id);
    mt_spell_kind (*kind)(void *self, int32_t id);
    /* by merges alone, as a whole pre-token or as a part of one */
    mt_status (*reachable)(void *self, int32_t id, bool *yes, mt_error *err);
    mt_status (*pair_ok)(void *self, int32_t left, int32_t right, bool *yes, mt_error *err);
    mt_status (*encode)(void *self, const uint8_t *text, size_t n, mt_ids *out, mt_error *err);
    /* Which tokens may stand side by side inside a pre-token: pairs decide (byte-pair encoding: reachable and pair_ok
     * are asked), or what spell_path.c says (then `matches` is: does the segmenter know the token, and with which
     * score?). */
    enum mt_spell_rule { MT_SPELL_PAIRS, MT_SPELL_BEST_PATH, MT_SPELL_LONGEST } rule;
    bool (*matches)(void *self, int32_t id, double *score);
    double unknown_score; /* best path: of a character that is no token */
    bool single;          /* scores of places are kept in single precision */
    bool characters;      /* the segmenter's places are between characters, not bytes */
    bool ignore_merges, byte_fallback, prefix_space;
    bool prefix_if_none; /* the space before the text is put there only where the text does not begin with one */
    bool free;           /* every sequence of tokens is a spelling: the target `all` */
    /* Splitters, each applied to the pieces of the one before; none: the text is one pre-token. */
    struct mt_spell_splitter {
        void *self;
        int32_t start;
        int32_t (*step)(void *self, int32_t state, int symbol);
        bool (*confirms)(void *self, int32_t state, int *back);
        bool (*pending)(void *self, int32_t state, int back); /* NULL: always */
    } splitter[MT_SPELL_LEVELS];
    int32_t levels;
} mt_spell_source;
mt_status mt_spell_source_of(mt_tok *t, mt_target target, mt_spell_source *out, mt_error *err);
/* Does the splitter leave text between its matches, or match nothing? NULL: no; else what it does. */
mt_status mt_spell_gaps(const struct mt_spell_splitter *splitter, const char **gap, mt_error *err);

typedef struct mt_spell mt_spell;
enum { MT_SPELL_DEAD = 0, MT_SPELL_ROOT = 1 };

/* Part of the list of tokens that only ignore_merges can emit: those that start with the pre-token so far. */
typedef struct mt_spell_seen {
    int32_t lo, hi, depth; /* lo == hi: none */
} mt_spell_seen;
/* One guess about a context: the automaton's state at its end, and where the bytes after it have led. */
typedef struct mt_spell_guess {
    int32_t state;
    int32_t at;   /* inside state after the residual bytes; MT_SPELL_DEAD: only cut-out tokens can follow */
    int32_t word; /* inside a pre-token, unless pairs decide: the word so far, see spell_path.c */
    mt_spell_seen seen;
} mt_spell_guess;
/* All guesses that are open for a token sequence. */
typedef struct mt_spell_place {
    mt_spell_guess *guess;
    size_t count, cap;
} mt_spell_place;

/* `vocab`: ids at or above it do not exist for the model. The source's callbacks must outlive the result. */
mt_status mt_spell_new(const mt_spell_source *source, int32_t vocab, mt_spell **out, mt_error *err);
void mt_spell_free(mt_spell *s);
const mt_spell_source *mt_spell_source_get(const mt_spell *s);

/* The sorted vocabulary: only tokens of a kind other than MT_SPELL_NO. */
size_t mt_spell_count(const mt_spell *s);
int32_t mt_spell_id(const mt_spell *s, size_t rank);
int32_t mt_spell_rank(const mt_spell *s, int32_t id); /* -1: not in the list */
mt_str mt_spell_text(const mt_spell *s, size_t rank);
/* Narrows [*lo, *hi), whose tokens agree on their first `depth` bytes, to those whose next byte is b. */
void mt_spell_narrow(const mt_spell *s, size_t *lo, size_t *hi, size_t depth, uint8_t b);

/* The place before any text. */
mt_status mt_spell_begin(mt_spell *s, mt_spell_place *place, mt_error *err);
/* The place after the context followed by a token; `left` is the rank of the context's last token, or -1. `out` is
 * empty when the token cannot follow. */
mt_status mt_spell_follow(mt_spell *s, const mt_spell_place *place, int32_t left, size_t rank, mt_spell_place *out,
                          mt_error *err);
/* May the token of this rank follow? Its first `residual` bytes have been walked (guess[].at). */
mt_status mt_spell_member(mt_spell *s, const mt_spell_place *place, int32_t left, size_t rank, size_t residual,
                          bool *out, mt_error *err);
/* All tokens that may follow, one bit per rank; valid until the next call. */
mt_status mt_spell_mask(mt_spell *s, const mt_spell_place *place, int32_t left, const uint64_t **out, mt_error *err);
/* Walks one more residual byte: writes guess[i].at's successors to at[i]. *alive: some guess is, or tokens that are cut
 * out of the text exist. */
mt_status mt_spell_walk(mt_spell *s, const mt_spell_place *place, uint8_t b, int32_t *at, bool *alive, mt_error *err);
/* Takes the residual bytes back: all guesses are at the context's end. */
mt_status mt_spell_rewind(mt_spell *s, mt_spell_place *place, mt_error *err);
/* May the text end after the context? */
mt_status mt_spell_ends(mt_spell *s, const mt_spell_place *place, bool *out, mt_error *err);
void mt_spell_place_free(mt_spell_place *place);

/* mt_cover_find over any source. */
mt_status mt_cover_find_source(const mt_spell_source *source, int32_t vocab, const uint8_t *x, size_t n, size_t limit,
                               mt_cover *out, mt_error *err);

/* mt_heal_next and mt_align_new over any source. */
mt_status mt_heal_next_source(const mt_spell_source *source, const mt_lm *lm, const uint8_t *x, size_t n,
                              const mt_heal_options *options, mt_healed *out, mt_error *err);
mt_status mt_align_new_source(const mt_spell_source *source, int32_t vocab, mt_align **out, mt_error *err);

/* Sizes of the caches, for reports. */
typedef struct mt_spell_stats {
    size_t states, tables, state_masks, place_masks, mask_hits, mask_builds; /* tables: of 1 KiB */
} mt_spell_stats;
void mt_spell_stats_get(const mt_spell *s, mt_spell_stats *out);

/* ---- private to spell*.c ---- */

enum {
    MT_SPELL_OBLIGATIONS = 12, /* pending at once */
    MT_SPELL_BACK = 255,       /* longest look-ahead in bytes */
    MT_SPELL_STATES = 1 << 20
};

typedef struct mt_spell_due {
    int32_t state; /* of the splitter, or a node of the trie of added tokens */
    int16_t need;  /* bytes since the guessed end; -1: no later match can end there */
    uint8_t ok;    /* the best match so far ends at the guessed place */
    uint8_t
        level; /* of the splitter; MT_SPELL_ADDED: a trie node, where an added token that would have won must not end */
} mt_spell_due;
enum { MT_SPELL_ADDED = 255 };

typedef struct mt_spell_key {
    int32_t piece[MT_SPELL_LEVELS]; /* splitters' states of the running pieces, outermost first; -1: one ended here */
    int32_t added;                  /* node of the automaton over added tokens since the last cut */
    uint32_t tail; /* bytes of an unfinished character that is being spelt with byte pieces: length << 24 | bytes */
    int32_t count;
    mt_spell_due due[MT_SPELL_OBLIGATIONS];
} mt_spell_key;

typedef struct mt_spell_state {
    mt_spell_key key;
    int32_t *next;  /* raw successors by byte, -1: not yet computed */
    uint64_t *mask; /* tokens that can follow whatever stands to the left */
    uint64_t *more; /* ...and those after which the pre-token must go on, where pairs do not decide whether it can */
    int32_t
        closed[MT_SPELL_LEVELS]; /* boundary states when the pieces from a level on end here; -1: not yet computed */
    int32_t plain;               /* the same without an unfinished character; -1: not yet computed */
    int32_t opened;              /* boundary state: the inside state that starts the next pre-token */
    uint32_t seen;               /* generation of the search that met it last */
    int8_t alive;                /* -1 unknown, 0 no, 1 yes */
    int8_t may_end; /* boundary state: all obligations are discharged when the text ends here; -1 unknown */
} mt_spell_state;

typedef struct mt_spell_node { /* trie of added tokens with failure links */
    int32_t child[256];
    int32_t fail;
    bool terminal;     /* a token ends here */
    bool any_terminal; /* here or at a suffix */
} mt_spell_node;

typedef struct mt_spell_trie { /* of the tokens that a segmenter of paths matches */
    int32_t rank;              /* of the token that ends here, or -1 */
    int32_t child, children;   /* first child, number */
    int32_t first, last;       /* the tokens that go through it have ranks in [first, last] */
    uint8_t byte;
} mt_spell_trie;
typedef struct mt_spell_active { /* a place of the word from which a token may reach beyond its end */
    int64_t node;                /* of the trie */
    double value;                /* best score of the way to that place */
} mt_spell_active;

enum { MT_SPELL_PLACE_MASKS = 256, MT_SPELL_PLACE_BYTES = 4 << 20 };
typedef struct mt_spell_cached {
    mt_buf key;
    uint64_t *bits;
    uint64_t used;
} mt_spell_cached;

struct mt_spell {
    mt_spell_source source;
    int32_t vocab;
    /* sorted vocabulary */
    size_t count, longest;
    int32_t *id;
    mt_str *text;
    uint32_t *common; /* bytes shared with the previous token */
    uint8_t *kind;
    uint8_t *reach; /* 0 unknown, 1 no, 2 yes */
    int32_t *rank;  /* by id */
    uint8_t alphabet[256];
    int32_t *hidden; /* ranks of the tokens that only ignore_merges emits, sorted */
    int32_t hidden_count;
    uint32_t *known; /* byte fallback: characters that are pieces, sorted */
    size_t known_count;
    int32_t *byte; /* ranks of the byte pieces */
    size_t byte_count;
    int32_t *user; /* ranks of the added tokens */
    size_t user_count;
    mt_spell_node *nodes;
    size_t node_count, node_cap;
    int32_t *user_node; /* trie node at which user[i] ends */
    /* states */
    mt_spell_state *states;
    size_t state_count, state_cap;
    int32_t *table; /* hash table of state numbers, 0: empty */
    size_t table_size;
    uint32_t generation;
    size_t words; /* of a bit set over ranks */
    size_t masks; /* state masks alive */
    mt_spell_cached cached[MT_SPELL_PLACE_MASKS];
    size_t cached_limit; /* of them may be used */
    uint64_t clock;
    mt_map goes_on; /* (last token, state, seen) -> place in answers: can the pre-token go on? */
    mt_buf answers;
    mt_arena goes_on_keys;
    int32_t *path; /* walk's stack: states by depth */
    /* spell_path.c */
    mt_spell_trie *trie;
    size_t trie_count, trie_cap;
    int32_t trie_root[256];  /* its children by byte, -1: none */
    double *score;           /* by rank */
    mt_spell_active *active; /* scratch */
    size_t active_count, active_cap;
    mt_str *word; /* lists of active places */
    size_t word_count, word_cap;
    mt_map word_of;
    mt_arena word_keys;
    int32_t no_word;        /* a pre-token that begins */
    uint64_t *no_word_mask; /* tokens that can begin a pre-token; NULL: not yet computed */
    mt_spell_stats stats;
};

/* spell.c */
mt_status mt_spell_step(mt_spell *s, int32_t state, uint8_t b, int32_t *out, mt_error *err);
/* The pieces of this level and further in end here. */
mt_status mt_spell_close(mt_spell *s, int32_t inside, int32_t level, int32_t *out, mt_error *err);
mt_status mt_spell_close_any(mt_spell *s, int32_t inside, bool *out, mt_error *err);
bool mt_spell_is_boundary(const mt_spell *s, int32_t state);
mt_status mt_spell_open(mt_spell *s, int32_t boundary, int32_t *out, mt_error *err);
mt_status mt_spell_cut(mt_spell *s, int32_t boundary, size_t user, int32_t *out, mt_error *err);
mt_status mt_spell_may_end(mt_spell *s, int32_t boundary, bool *out, mt_error *err);
mt_status mt_spell_with_tail(mt_spell *s, int32_t inside, uint32_t tail, int32_t *out, mt_error *err);
mt_status mt_spell_reachable(mt_spell *s, size_t rank, bool *yes, mt_error *err);
/* spell_path.c */
mt_status mt_spell_paths(mt_spell *s, mt_error *err);
void mt_spell_paths_free(mt_spell *s);
/* The word after a token that follows it, -1: it cannot. */
mt_status mt_spell_word_add(mt_spell *s, int32_t word, size_t rank, int32_t *out, mt_error *err);
/* All tokens that can (byte pieces: as far as the word knows). Those that are in neither of two sets may be left out;
 * NULL: none is. */
mt_status mt_spell_word_mask(mt_spell *s, int32_t word, const uint64_t *a, const uint64_t *b, uint64_t *bits,
                             mt_error *err);
/* spell_vocab.c */
mt_status mt_spell_vocabulary(mt_spell *s, mt_error *err);
bool mt_spell_tail_add(const mt_spell *s, uint32_t tail, uint8_t b, uint32_t *out);
mt_spell_seen mt_spell_seen_all(const mt_spell *s);
mt_spell_seen mt_spell_seen_add(const mt_spell *s, mt_spell_seen seen, mt_str text);
static inline bool mt_spell_seen_whole(const mt_spell *s, mt_spell_seen seen) {
    return seen.lo < seen.hi && s->text[s->hidden[seen.lo]].n == (size_t)seen.depth;
}

#endif
