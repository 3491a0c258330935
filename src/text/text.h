/* text: Unicode properties, normalization, and the pre-tokenizer's regular expressions.
 *
 *   unicode.c        properties of characters; unicode_gen.mjs writes its tables, unicode_table.h (Unicode 16.0.0)
 *   normalize.c      NFC NFD NFKC NFKD with alignment
 *   regex_parse.c    pattern -> syntax tree        regex_compile.c  tree -> program     regex_set.c  sets of characters
 *   regex_dfa.c      program -> automaton, built as it is used (leftmost-first semantics), also byte by byte
 *   regex_split.c    the automaton over whole texts
 *   regex_back.c     memoised backtracking for what is no automaton
 */
#ifndef MT_TEXT_H
#define MT_TEXT_H

#include "../base/base.h"

/* ---- Unicode ------------------------------------------------------------------------------------------------- */

typedef enum mt_category { /* general categories, Unicode's own order of letters */
                           MT_CN,
                           MT_LU,
                           MT_LL,
                           MT_LT,
                           MT_LM,
                           MT_LO,
                           MT_MN,
                           MT_MC,
                           MT_ME,
                           MT_ND,
                           MT_NL,
                           MT_NO,
                           MT_PC,
                           MT_PD,
                           MT_PS,
                           MT_PE,
                           MT_PI,
                           MT_PF,
                           MT_PO,
                           MT_SM,
                           MT_SC,
                           MT_SK,
                           MT_SO,
                           MT_ZS,
                           MT_ZL,
                           MT_ZP,
                           MT_CC,
                           MT_CF,
                           MT_CS,
                           MT_CO
} mt_category;
mt_category mt_unicode_category(uint32_t cp);
/* The same as Unicode 8.0 or 9.0 had it (version 8 or 9): what was assigned later is MT_CN. Hugging Face's
 * BertNormalizer and BertPreTokenizer use 8.0 (accents, control characters, punctuation), its StripAccents and normal
 * forms 9.0. */
mt_category mt_unicode_category_in(unsigned version, uint32_t cp);
unsigned mt_unicode_age(uint32_t cp);  /* 8: assigned up to 8.0, or not at all; 9: in 9.0; 10: later */
bool mt_unicode_is_space(uint32_t cp); /* White_Space, what \s means */
bool mt_unicode_combines(uint32_t cp); /* a mark that normal forms may put elsewhere: its combining class is not 0 */
/* Number of the character's script; code points without one are common. Walks the table of runs: remember the answer
 * where many characters are asked about. */
enum {
    MT_SCRIPT_COMMON = 0,
    MT_SCRIPT_INHERITED = 1,
    MT_SCRIPT_HAN = 5,
    MT_SCRIPT_HIRAGANA = 6,
    MT_SCRIPT_KATAKANA = 7
};
int mt_unicode_script(uint32_t cp);
/* All runs of code points with one script, in order; out NULL: only how many there are. */
typedef struct mt_script_run {
    uint32_t begin, end; /* [begin, end) */
    int script;
} mt_script_run;
size_t mt_unicode_script_runs(mt_script_run *out, size_t cap);
/* Simple lower case / simple case folding of one code point; full lower case may give up to 3. */
uint32_t mt_unicode_fold(uint32_t cp);
int mt_unicode_lower(uint32_t cp, uint32_t out[3]);

/* ---- regular expressions --------------------------------------------------------------------------------------- */

/* The syntax that tokenizer definitions use (Oniguruma / Rust regex / PCRE dialects agree on it): alternation, groups
 * (capturing or not), (?i:...), classes with \p{..} \P{..} \s \S \d \w \r \n \t \x{..} ranges, negation and && ,
 * greedy, lazy and possessive ? * + {m,n}, look-ahead (?=..) (?!..), anchors ^ $ \A \z \b where they can be compiled.
 * Matching is leftmost-first (Perl), over code points; a byte that is not part of valid UTF-8 counts as one character
 * that belongs to no class but negated ones. */
typedef struct mt_regex mt_regex;
/* Error messages show the pattern and the place. Patterns are limited in length, depth and states. */
mt_status mt_regex_compile(mt_str pattern, mt_regex **out, mt_error *err);
void mt_regex_free(mt_regex *re);
/* The match that starts exactly at text[at]: *end, or false. `text` is the whole text: look-ahead sees what follows.
 * MT_ENOMEM and MT_ELIMIT (backtracking bound) are possible through err->code; on MT_OK *found says whether it matched.
 */
mt_status mt_regex_match_at(mt_regex *re, const uint8_t *text, size_t n, size_t at, bool *found, size_t *end,
                            mt_error *err);
/* First match at or after `at` (leftmost). */
mt_status mt_regex_find(mt_regex *re, const uint8_t *text, size_t n, size_t at, bool *found, size_t *begin, size_t *end,
                        mt_error *err);
/* The same of the text of the call before, from a later place on. What was found out about the text is kept, so that
 * all matches of a text take linear time together. */
mt_status mt_regex_find_next(mt_regex *re, const uint8_t *text, size_t n, size_t at, bool *found, size_t *begin,
                             size_t *end, mt_error *err);

/* The automaton itself, for one-pass splitting and for the byte model, which must follow all possible futures.
 * NULL when the pattern needs the backtracking engine. States are built on demand and cached in `re` (bounded).
 * Feed bytes, then MT_END. A state knows the best match confirmed so far on the way: */
typedef struct mt_dfa mt_dfa;
enum { MT_END = 256, MT_DFA_DEAD = 0 };
mt_dfa *mt_regex_dfa(mt_regex *re);
int32_t mt_dfa_start(mt_dfa *d);
/* Next state, or MT_DFA_DEAD: no thread is alive, the last confirmed match is the answer; < 0: -mt_status. */
int32_t mt_dfa_step(mt_dfa *d, int32_t state, int symbol);
/* In this state, having consumed k bytes, a match ending at k - *back is confirmed and replaces earlier ones
 * (`back` > 0 when look-ahead was needed; MT_END counts 0 bytes). False: nothing new is confirmed by entering this
 * state. */
bool mt_dfa_confirms(const mt_dfa *d, int32_t state, int *back);
/* Can a later state still confirm a match that ended `back` >= 1 bytes ago, because a look-ahead or an unfinished
 * character is not decided yet? Never says no where it can. */
bool mt_dfa_pending(const mt_dfa *d, int32_t state, int back);
/* Can some continuation from here still confirm a match ending at or after this point (bytes ahead >= 0)? Exact, except
 * that it answers yes when a limit of the automaton is met while looking. */
bool mt_dfa_alive(mt_dfa *d, int32_t state);

/* ---- splitting ------------------------------------------------------------------------------------------------- */

/* All pieces of text[at..n) in one pass: ends[i] is where the i-th ends, the first begins at `at`, each next one where
 * the one before ended, and together they cover the text. A piece is one match, or, marked by MT_SPLIT_GAP in its end,
 * what lies between two matches. (An empty match makes no piece, but divides the gap around it.) At most `cap` pieces;
 * when *count == cap, go on with at = ends[cap - 1] without the mark: a gap is never cut short, so the pieces are those
 * of one call. at = 0 begins a text; at > 0 goes on in the text of the last call (what is known about it is kept).
 * Look-ahead sees the whole text. */
#define MT_SPLIT_GAP (~(SIZE_MAX >> 1))
mt_status mt_regex_split(mt_regex *re, const uint8_t *text, size_t n, size_t at, size_t *ends, size_t cap,
                         size_t *count, mt_error *err);

typedef enum mt_split_behavior {
    MT_SPLIT_ISOLATED,
    MT_SPLIT_REMOVED,
    MT_SPLIT_MERGED_PREVIOUS,
    MT_SPLIT_MERGED_NEXT,
    MT_SPLIT_CONTIGUOUS
} mt_split_behavior;

/* ---- normalization ------------------------------------------------------------------------------------------------
 */

typedef enum mt_nf {
    MT_NFC,
    MT_NFD,
    MT_NFKC,
    MT_NFKD,
    MT_NFC_9, /* by the data of Unicode 9.0, as Hugging Face's normalizers do: what was assigned later stays as it is */
    MT_NFD_9,
    MT_NFKC_9,
    MT_NFKD_9
} mt_nf;
/* Normalized copy of a UTF-8 text (invalid bytes pass through) in place of what `out` held. `origin`, when not NULL,
 * gets out->len + 1 entries that never decrease: where in the input the character begins that the output byte comes
 * from (the byte itself, inside characters that stay as they are); the last is n. A composed character comes from all
 * its parts, so output bytes [i, j) come from the input bytes [origin[i], origin[j]). Marks that change places are
 * aligned in order: the first mark of the output with the first of the input. */
mt_status mt_normalize(mt_nf form, const uint8_t *p, size_t n, mt_buf *out, mt_ids *origin, mt_error *err);

#endif
