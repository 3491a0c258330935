/* How work grows: every entry point is run on inputs of size n, 2n, 4n... that are chosen to hurt, and what it did is
 * counted, not timed: basic blocks executed (the compiler counts them in the core) and bytes copied, cleared, compared
 * or allocated, 32 for one block. The count is the same on every machine and in every run.
 *
 * Twice the input may cost GROWTH_MOST times the work: n log n stays below it, n^1.4 does not. Built and run by
 * `build.sh growth`. */
#ifndef MT_GROWTH_H
#define MT_GROWTH_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

#define GROWTH_MOST 2.6

/* Makes an input of about n bytes (or items) and calls growth_start and growth_stop around what is measured. What the
 * measured call returns is returned: a refusal must come with a message, and counts as work too. */
typedef mt_status (*growth_run)(const void *with, size_t n, mt_error *err);
/* entry: what is called; what: the input that grows; first: the smallest n. */
void growth_case(const char *entry, const char *what, size_t first, growth_run run, const void *with);
void growth_start(void);
void growth_stop(void);

/* ---- inputs ---- */
typedef struct growth_text {
    const char *name;
    const char *unit; /* repeated up to n bytes; NULL: made by `kind` */
    enum { GROWTH_LETTERS = 1, GROWTH_BYTES, GROWTH_WORDS, GROWTH_POINTS, GROWTH_MARKS } kind;
} growth_text;
extern const growth_text growth_texts[];
extern const size_t growth_text_count;
void growth_fill(const growth_text *t, size_t n, mt_buf *out); /* whole units, at most n bytes */
uint32_t growth_random(uint32_t below);                        /* the same sequence after every growth_start_random */
void growth_start_random(void);
void growth_add(mt_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void growth_quote(mt_buf *b, mt_str s); /* as a JSON string */

/* ---- the cases, by file ---- */
void growth_encode(void);
void growth_pipeline(void);
void growth_regex(void);
void growth_load(void);
void growth_train(void);
void growth_bytes(void);
void growth_crowd(void);
void growth_crowd_known(void); /* grows too fast, always; first */

#endif
