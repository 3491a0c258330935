/* Expressions that break other engines, on texts that nearly match; expressions that grow. */
#include "growth.h"
#include "text/regex.h"

static const char *const patterns[] = {
    "(a*)*b",
    "(a+)+$",
    "(a|aa)+$",
    "(a|a)*b",
    "(a|b|ab)*c",
    "(.*)*x",
    "(.*?,){12}x",
    "a.*b|a",
    ".*b|.",
    "a*?b|a",
    "(?=a*b)a|a",
    "a(?=.*b)|a",
    "\\s+(?!\\S)|\\s+",
    "\\s*[\\r\\n]+|\\s+",
    "(?:a{1,30}){1,30}b|a",
    "a{300}|a",
    "a{0,300}b|a",
    "[ab]*[ab]*[ab]*c|[ab]",
    "(?>a*)b|a",
    "a++b|a",
    "(?<=a)a|a",
    "(?<!b)a+|.",
    "^a|a",
    "a$|b",
    "\\ba|\\Ba",
    "(a?){40}a{40}|a",
    "(((a*)*)*)*b|a",
    "(?i:(ab|AB|aB)+)c|.",
    "\\p{L}+\\p{M}*\\p{N}|.",
    "(?:\\p{L}+ )+x|\\p{L}| ",
    "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|\\s+",
    "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    "(a|ab)(c|bcd)(d*)|.",
    "(x+x+)+y|x",
    "",
    "a*",
    "(?=a)",
    "b|(?!.*c)a",
    "(?=(a+))a*b|a",
};

typedef struct match {
    const char *pattern;
    const growth_text *text;
} match;

static mt_status find_all(const void *with, size_t n, mt_error *err) {
    const match *c = with;
    mt_buf text = {0};
    mt_regex *re = NULL;
    growth_fill(c->text, n, &text);
    mt_status status = mt_regex_compile(mt_str_of(c->pattern), &re, err);
    growth_start();
    for (size_t at = 0; status == MT_OK && at <= text.len;) {
        bool found;
        size_t begin, end;
        status = at ? mt_regex_find_next(re, text.data, text.len, at, &found, &begin, &end, err)
                    : mt_regex_find(re, text.data, text.len, at, &found, &begin, &end, err);
        if (!found) break;
        at = end > at ? end : at + 1;
    }
    growth_stop();
    mt_regex_free(re);
    mt_buf_free(&text);
    return status;
}

static mt_status split(const void *with, size_t n, mt_error *err) {
    const match *c = with;
    mt_buf text = {0};
    mt_regex *re = NULL;
    size_t ends[256], at = 0, count = 256;
    growth_fill(c->text, n, &text);
    mt_status status = mt_regex_compile(mt_str_of(c->pattern), &re, err);
    growth_start();
    while (status == MT_OK && count == 256) {
        status = mt_regex_split(re, text.data, text.len, at, ends, 256, &count, err);
        if (count) at = ends[count - 1] & ~MT_SPLIT_GAP;
    }
    growth_stop();
    mt_regex_free(re);
    mt_buf_free(&text);
    return status;
}

/* ---- expressions of n parts ---- */

typedef struct growing {
    const char *name, *before, *part, *after, *end; /* before part*n end after*n */
    bool numbered;                                  /* %zu in the part is i; in `before`, n */
} growing;
static const growing shapes[] = {
    {"groups in groups", "", "(", ")", "a", false},
    {"stars on stars", "a", "*", "", "", false},
    {"groups with stars", "", "(a", ")*", "", false},
    {"alternatives", "x", "|a%zu", "", "", true},
    {"alternatives that begin alike", "x", "|aaaaaaaa%zu", "", "", true},
    {"optional letters", "", "a?", "", "a*b", false},
    {"stars in a row", "", "a*", "", "b", false},
    {"any in a row", "", ".*", "", "b", false},
    {"a class of many ranges", "[", "\\x{%zu}", "", "]", true},
    {"classes", "", "[^a%zu]", "", "", true},
    {"classes of letters", "", "\\p{L}\\p{N}", "", "", false},
    {"look-aheads", "", "(?=.*a%zu)", "", "a", true},
    {"look-aheads in look-aheads", "", "(?=a", ")", "", false},
    {"look-behinds", "", "(?<=a)", "", "b", false},
    {"a counted letter", "a{%zu}", "", "", "", true},
    {"a counted range", "(ab?){0,%zu}c", "", "", "", true},
    {"counts in counts", "((a{%zu}){9}){9}", "", "", "", true},
    {"counts of two in one another", "", "(", "){2}", "a", false},
    {"case folded", "(?i)", "k", "", "", false},
    {"possessive", "", "a?+", "", "b", false},
    {"open groups", "", "(", "", "", false},
    {"intersections", "[a", "&&[^b]", "", "]", false},
};

static mt_status grow(const void *with, size_t n, mt_error *err) {
    const growing *g = with;
    mt_buf p = {0};
    char text[128];
    mt_regex *re = NULL;
    for (size_t i = 0; i < strlen(g->before); i++)
        if (g->numbered && !strncmp(g->before + i, "%zu", 3))
            growth_add(&p, "%zu", n), i += 2;
        else
            growth_add(&p, "%c", g->before[i]);
    for (size_t i = 0; i < n && *g->part; i++) {
        const char *at = g->numbered ? strstr(g->part, "%zu") : NULL;
        if (at)
            snprintf(text, sizeof text, "%.*s%zu%s", (int)(at - g->part), g->part, i + 100, at + 3);
        else
            snprintf(text, sizeof text, "%s", g->part);
        growth_add(&p, "%s", text);
    }
    growth_add(&p, "%s", g->end);
    for (size_t i = 0; i < n && *g->after; i++) growth_add(&p, "%s", g->after);
    uint8_t a[200];
    memset(a, 'a', sizeof a);
    growth_start();
    mt_status status = mt_regex_compile((mt_str){p.data, p.len}, &re, err);
    if (status == MT_OK) { /* states are made while they are met */
        bool found;
        size_t begin, end;
        status = mt_regex_find(re, a, sizeof a, 0, &found, &begin, &end, err);
    }
    growth_stop();
    mt_regex_free(re);
    mt_buf_free(&p);
    return status;
}

void growth_regex(void) {
    char what[200];
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        for (size_t k = 0; k < growth_text_count; k++) {
            if (k > 10 && k % 3) continue;
            match c = {patterns[i], &growth_texts[k]};
            snprintf(what, sizeof what, "/%s/: %s", patterns[i], c.text->name);
            growth_case("regex find", what, 1024, find_all, &c);
            growth_case("regex split", what, 1024, split, &c);
        }
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        growth_case("regex compile", shapes[i].name, 1024, grow, &shapes[i]);
}
