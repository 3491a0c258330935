/* The counter and the table: growth [--doublings N] [--all] [filter...]. Prints a line for each case that grows too
 * fast (with --all for every case), then one for each entry point; exits 1 when something grows too fast. */
#include "growth.h"

#include <stdarg.h>

/* ---- counting ---- */

static volatile uint64_t blocks, moved; /* volatile: the compiler does not expect memmove to change them */
static bool counting;

void __sanitizer_cov_trace_pc_guard_init(uint32_t *start, uint32_t *stop);
void __sanitizer_cov_trace_pc_guard(uint32_t *guard);
void __sanitizer_cov_trace_pc_guard_init(uint32_t *start, uint32_t *stop) {
    (void)start, (void)stop;
}
void __sanitizer_cov_trace_pc_guard(uint32_t *guard) {
    (void)guard;
    blocks++;
}

/* The linker sends the core's calls here (--wrap). */
#define WRAP(type, name, args, list, bytes)                                                                            \
    type __real_##name args;                                                                                           \
    type __wrap_##name args;                                                                                           \
    type __wrap_##name args {                                                                                          \
        moved += bytes;                                                                                                \
        return __real_##name list;                                                                                     \
    }
WRAP(void *, memcpy, (void *to, const void *from, size_t n), (to, from, n), n)
WRAP(void *, memmove, (void *to, const void *from, size_t n), (to, from, n), n)
WRAP(void *, memset, (void *to, int c, size_t n), (to, c, n), n)
WRAP(void *, malloc, (size_t n), (n), n)
WRAP(void *, calloc, (size_t count, size_t n), (count, n), count *n)
WRAP(void *, realloc, (void *p, size_t n), (p, n), n)
WRAP(size_t, strlen, (const char *s), (s), 8)
int __real_memcmp(const void *a, const void *b, size_t n);
int __wrap_memcmp(const void *a, const void *b, size_t n);
int __wrap_memcmp(const void *a, const void *b, size_t n) { /* up to the first difference, in steps */
    const uint8_t *x = a, *y = b;
    size_t i = 0;
    for (; n - i > 64 && __real_memcmp(x + i, y + i, 64) == 0; i += 64);
    moved += n - i > 64 ? i + 64 : n;
    return __real_memcmp(x + i, y + i, n - i);
}
void *__real_memchr(const void *p, int c, size_t n);
void *__wrap_memchr(const void *p, int c, size_t n);
void *__wrap_memchr(const void *p, int c, size_t n) {
    const uint8_t *q = __real_memchr(p, c, n);
    moved += q ? (size_t)(q - (const uint8_t *)p) : n;
    return (void *)q;
}

void growth_start(void) {
    blocks = moved = 0;
    counting = true;
}
static uint64_t work;
void growth_stop(void) {
    if (counting) work = blocks + moved / 32;
    counting = false;
}

/* ---- cases ---- */

enum { SIZES = 8, ENTRIES = 64, SHOWN = 160 };
static int doublings = 2;
static bool all, quiet;
static char **filter;
static int filters, failed, cases;

typedef struct entry {
    const char *name;
    int cases, refused;
    size_t from, to;   /* sizes */
    double worst, per; /* the largest ratio; the most work for one unit of the input */
    char by[SHOWN], dear[SHOWN];
} entry;
static entry entries[ENTRIES];
static int entry_count;

static entry *entry_of(const char *name) {
    for (int i = 0; i < entry_count; i++)
        if (strcmp(entries[i].name, name) == 0) return &entries[i];
    if (entry_count == ENTRIES) abort();
    entries[entry_count] = (entry){.name = name};
    return &entries[entry_count++];
}

void growth_case(const char *name, const char *what, size_t first, growth_run run, const void *with) {
    bool wanted = !filters;
    for (int i = 0; i < filters; i++) wanted |= strstr(name, filter[i]) || strstr(what, filter[i]);
    if (!wanted) return;
    uint64_t done[SIZES];
    mt_error err = {0};
    bool refused = false, silent = false;
    for (int i = 0; i <= doublings; i++) {
        growth_start_random();
        err.text[0] = 0;
        work = 0;
        counting = false;
        mt_status status = run(with, first << i, &err);
        growth_stop();
        done[i] = work;
        refused |= status != MT_OK;
        silent |= status != MT_OK && !err.text[0];
    }
    /* below so much for each unit of the input it is what starting costs */
    double floor = 16.0 * (double)(first << (doublings - 1)), before = (double)done[doublings - 1];
    double ratio = (double)done[doublings] / (before > floor ? before : floor);
    if (refused && !done[doublings]) return; /* there is no such thing: a byte model of this tokenizer... */
    bool bad = ratio > GROWTH_MOST || silent || !done[doublings];
    cases++;
    failed += bad;
    if ((bad || all) && !quiet) {
        printf("%s\t%s: %s\t", bad ? "grows" : "ok", name, what);
        for (int i = 0; i <= doublings; i++) printf("%zu:%llu ", first << i, (unsigned long long)done[i]);
        printf("\t%.2f%s%s%s\n", ratio, refused ? "\trefused: " : "", refused ? err.text : "",
               silent ? " (without a message)" : "");
        fflush(stdout);
    }
    entry *e = entry_of(name);
    double per = (double)done[doublings] / (double)(first << doublings);
    e->cases++;
    e->refused += refused;
    if (!e->from || first < e->from) e->from = first;
    if (first << doublings > e->to) e->to = first << doublings;
    if (ratio > e->worst) e->worst = ratio, snprintf(e->by, sizeof e->by, "%s", what);
    if (per > e->per) e->per = per, snprintf(e->dear, sizeof e->dear, "%s", what);
}

/* ---- inputs ---- */

const growth_text growth_texts[] = {
    {"one letter", "a", 0},
    {"two letters", "ab", 0},
    {"letters without a space", NULL, GROWTH_LETTERS},
    {"words", NULL, GROWTH_WORDS},
    {"spaces", " ", 0},
    {"line feeds", "\n", 0},
    {"CR LF and spaces", "\r\n  ", 0},
    {"digits", "7", 0},
    {"marks of punctuation", "!", 0},
    {"apostrophes", "'s", 0},
    {"capitals", "A\xc4\xb0", 0},               /* I with a dot: two characters in lower case */
    {"one accent upon another", "\xcc\x81", 0}, /* U+0301 */
    {"accents out of order", NULL, GROWTH_MARKS},
    {"ligatures that become 18 letters", "\xef\xb7\xba", 0}, /* U+FDFA */
    {"Hangul letters", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", 0},
    {"ideographs", "\xe6\x97\xa5\xe6\x9c\xac", 0},
    {"joined emoji", "\xf0\x9f\x91\xa9\xe2\x80\x8d", 0},
    {"any characters", NULL, GROWTH_POINTS},
    {"bytes that are no UTF-8", "\xff", 0},
    {"characters cut short", "\xe2\x82", 0},
    {"any bytes", NULL, GROWTH_BYTES},
    {"special tokens", "<s>", 0},
    {"beginnings of special tokens", "<", 0},
    {"special tokens and spaces", " <s> ", 0},
    {"marks of spaces", "\xe2\x96\x81", 0}, /* U+2581 */
    {"byte tokens spelled out", "<0x41>", 0},
};
const size_t growth_text_count = sizeof growth_texts / sizeof *growth_texts;

static uint64_t seed;
void growth_start_random(void) {
    seed = 1;
}
uint32_t growth_random(uint32_t below) {
    return (uint32_t)((mt_mix64(seed++) >> 32) * below >> 32);
}

void growth_fill(const growth_text *t, size_t n, mt_buf *out) {
    out->len = 0;
    for (size_t k = t->unit ? strlen(t->unit) : 0; t->unit && out->len + k <= n;) mt_buf_add(out, t->unit, k, NULL);
    while (!t->unit && out->len + 4 <= n) {
        static const char *const marks[] = {"\xcc\x81", "\xcc\xa3", "\xcc\xa7", "\xcd\x9c"};
        uint8_t c[4] = {(uint8_t)('a' + growth_random(26))};
        size_t k = 1;
        if (t->kind == GROWTH_WORDS && !growth_random(6)) c[0] = ' ';
        if (t->kind == GROWTH_BYTES) c[0] = (uint8_t)growth_random(256);
        if (t->kind == GROWTH_POINTS)
            k = (size_t)mt_utf8_encode(growth_random(growth_random(2) ? 0x3000 : 0x110000), c);
        if (t->kind == GROWTH_MARKS) memcpy(c, marks[growth_random(4)], k = 2);
        mt_buf_add(out, c, k, NULL);
    }
}

void growth_add(mt_buf *b, const char *format, ...) {
    char text[4096];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text || mt_buf_add(b, text, (size_t)n, NULL) != MT_OK) abort();
}

void growth_quote(mt_buf *b, mt_str s) {
    growth_add(b, "\"");
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] == '"' || s.p[i] == '\\')
            growth_add(b, "\\u%04x", s.p[i]);
        else
            mt_buf_byte(b, s.p[i], NULL);
    growth_add(b, "\"");
}

/* ---- the counter itself: work that is known to be quadratic must be seen ---- */

static mt_status insert_in_front(const void *with, size_t n, mt_error *err) {
    (void)with;
    uint8_t *p = malloc(n);
    growth_start();
    for (size_t i = 0; i < n; i++) {
        if (i) memmove(p + 1, p, i);
        p[0] = (uint8_t)i;
    }
    growth_stop();
    mt_status status = p[n - 1] ? mt_fail(err, MT_EFORMAT, "the first byte is 0") : MT_OK;
    free(p);
    return status;
}
static mt_status look_through(const void *with, size_t n, mt_error *err) {
    (void)with, (void)err;
    mt_buf b = {0};
    size_t done = 0;
    growth_start();
    for (size_t i = 0; i < n; i++) { /* each call of the core is at least a block */
        mt_buf_byte(&b, 0, NULL);
        for (size_t k = 0; k < i / 16; k++) done += mt_utf8_unfinished(b.data, b.len);
    }
    growth_stop();
    mt_buf_free(&b);
    return done > n ? MT_EFORMAT : MT_OK;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--all") == 0)
            all = true;
        else if (strcmp(argv[i], "--doublings") == 0 && i + 1 < argc)
            doublings = atoi(argv[++i]);
        else {
            filter = argv + i;
            filters = argc - i;
            break;
        }
    if (doublings < 1 || doublings >= SIZES) return 2;
    int wanted = filters, asked = doublings;
    filters = 0;
    doublings = 2;
    bool shown = all;
    all = false;
    bool sees = false;
    quiet = true;
    growth_case("self-test", "bytes moved", 4096, insert_in_front, NULL);
    growth_case("self-test", "blocks executed", 4096, look_through, NULL);
    sees = failed == 2;
    failed = cases = 0;
    growth_crowd_known();
    sees &= failed == cases && cases;
    if (shown) printf("%d of %d known crowds are seen\n", failed, cases);
    quiet = false;
    if (!sees) {
        printf("the counter does not see quadratic work\n");
        return 2;
    }
    failed = cases = entry_count = 0;
    filters = wanted;
    doublings = asked;
    all = shown;
    growth_encode();
    growth_pipeline();
    growth_regex();
    growth_load();
    growth_train();
    growth_bytes();
    growth_crowd();
    for (int i = 0; i < entry_count; i++) {
        const entry *e = &entries[i];
        printf("entry\t%s\t%d\t%d\t%zu\t%zu\t%.2f\t%s\t%.0f\t%s\n", e->name, e->cases, e->refused, e->from, e->to,
               e->worst, e->by, e->per, e->dear);
        bool whole = !filters;
        for (int k = 0; k < filters; k++) whole |= strstr(e->name, filter[k]) != NULL;
        if (whole && e->refused == e->cases)
            failed++, printf("refused\t%s: every input, so nothing was tried\n", e->name);
    }
    printf("%d of %d cases grow too fast\n", failed, cases);
    return failed != 0;
}
