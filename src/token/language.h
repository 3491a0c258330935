/* Languages of tokens. What tokens spell is their bytes one after the other, so the token sequences that spell a word
 * of a regular language are regular themselves; those that an encoder gives for some word ("canonical") are too, for
 * byte-pair encoding, where two neighbours decide. Both are followed here by one automaton, built as far as it is
 * walked (methods: tokenization, 6.1 and 6.2).
 *
 * Canonical means: merging the word's symbols gives these tokens. The word is what a splitter would leave: splitters,
 * added tokens, byte fallback and ignore_merges are not part of it. */
#ifndef MT_TOKEN_LANGUAGE_H
#define MT_TOKEN_LANGUAGE_H

#include "token.h"

typedef struct mt_language mt_language;
/* `pattern`: the expression that the whole text must match; empty: any text. `canonical`: for byte-pair encoding whose
 * symbols do not depend on their place (else MT_EUNKNOWN). State 0 is the start. Lives as long as the tokenizer. */
mt_status mt_language_open(mt_tok *t, mt_str pattern, bool canonical, mt_language **out, mt_error *err);
void mt_language_free(mt_language *l);
mt_tok *mt_language_tok(const mt_language *l);
/* States that have been met; canonical ones are merged where the right ends of their last tokens can merge with the
 * same things. */
size_t mt_language_states(const mt_language *l);
/* The state after a token, or -1: no sequence of the language goes on so. */
mt_status mt_language_next(mt_language *l, int32_t state, int32_t id, int32_t *next, mt_error *err);
/* allowed[id]: 1 when some sequence of the language goes on with the token. */
mt_status mt_language_allowed(mt_language *l, int32_t state, uint8_t *allowed, size_t *count, mt_error *err);
/* May the sequence end here? */
mt_status mt_language_accepts(mt_language *l, int32_t state, bool *yes, mt_error *err);
/* How many sequences of the language spell exactly n bytes: by length, count[0..n]; UINT64_MAX: that many or more. */
mt_status mt_language_count(mt_language *l, size_t n, uint64_t *count, mt_error *err);

/* The way back: what the language's sequences spell, as the smallest deterministic automaton over bytes. States are
 * numbered in the order in which a walk breadth first, byte by byte, meets them (0 is the start), so that two languages
 * spell the same texts exactly when their automata are equal number for number. No state is a dead end; a language that
 * spells nothing has one state that does not accept. */
typedef struct mt_byte_automaton {
    int32_t states;
    int32_t *next;    /* [state * 256 + byte]: the state after it, -1: none */
    uint8_t *accepts; /* by state */
} mt_byte_automaton;
/* MT_ELIMIT: more than `limit` states before they are merged. */
mt_status mt_language_bytes(mt_language *l, int32_t limit, mt_byte_automaton *out, mt_error *err);
void mt_byte_automaton_free(mt_byte_automaton *a);

#endif
