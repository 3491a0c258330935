/* Regular expression pattern -> syntax tree, by recursive descent:
 *
 *   alternation = sequence { "|" sequence }      sequence = { atom { quantifier } }
 *   atom = literal | escape | class | "." | "^" | "$" | "(" ... ")"
 *
 * The dialect is what Oniguruma, Rust's regex and PCRE agree on for tokenizer definitions; where they differ:
 *   {m,n}+ is possessive (Rust's fancy-regex, PCRE); $ is the end of the text, with (?m) also before a line feed
 * (Rust); ^ likewise; \Z is $ or before a final line feed; a { that starts no quantifier is itself; \w is UTS #18's
 * word character. Classes are evaluated here: (?i) closes them under simple case folding before negation. */
#include "regex.h"
#include <stdarg.h>
#include <stdio.h>

enum { REMEMBERED = 12 };
typedef struct parser {
    mt_str pattern;
    size_t pos;
    mt_tree *tree;
    mt_error *err;
    bool icase, multiline, dotall, extended;
    unsigned depth;
    /* Properties looked up last: patterns name the same ones again and again. */
    struct {
        char name[32];
        bool icase;
        mt_set set;
    } properties[REMEMBERED];
    unsigned properties_n;
} parser;

mt_status mt_regex_fail(mt_str pattern, size_t at, mt_status code, mt_error *err, const char *format, ...) {
    char message[256], shown[160];
    va_list list;
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
    size_t from = at > 60 ? at - 60 : 0;
    while (from && (pattern.p[from] & 0xC0) == 0x80) from--;
    mt_str_show((mt_str){pattern.p + from, pattern.n - from}, shown, sizeof shown);
    return mt_fail_at(err, code, at, "regular expression %s%s, offset %zu: %s", from ? "..." : "", shown, at, message);
}

#define FAIL(p, at, code, ...) mt_regex_fail((p)->pattern, at, code, (p)->err, __VA_ARGS__)

static bool more(const parser *p) {
    return p->pos < p->pattern.n;
}
static int peek(const parser *p) {
    return more(p) ? p->pattern.p[p->pos] : -1;
}
static bool starts(const parser *p, const char *s) {
    size_t n = strlen(s);
    return p->pattern.n - p->pos >= n && memcmp(p->pattern.p + p->pos, s, n) == 0;
}
static bool take(parser *p, const char *s) {
    if (!starts(p, s)) return false;
    p->pos += strlen(s);
    return true;
}
static uint32_t take_code_point(parser *p) { /* the pattern was checked to be UTF-8 */
    uint32_t cp;
    p->pos += (size_t)mt_utf8_decode(p->pattern.p + p->pos, p->pattern.n - p->pos, &cp);
    return cp;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

static uint32_t add_length(uint32_t a, uint32_t b) {
    uint32_t sum;
    return a == MT_REPEAT_INF || b == MT_REPEAT_INF || __builtin_add_overflow(a, b, &sum) ? MT_REPEAT_INF : sum;
}
static uint32_t mul_length(uint32_t a, uint32_t b) {
    uint32_t product;
    if (a == 0 || b == 0) return 0;
    return a == MT_REPEAT_INF || b == MT_REPEAT_INF || __builtin_mul_overflow(a, b, &product) ? MT_REPEAT_INF : product;
}

static mt_status node_new(parser *p, mt_node_kind kind, size_t at, mt_node **out) {
    mt_node *node = mt_arena_alloc(&p->tree->arena, sizeof *node);
    if (!node) return mt_nomem(p->err, sizeof *node, "a regular expression's syntax tree");
    *node = (mt_node){.kind = kind, .at = at, .set = -1};
    *out = node;
    return MT_OK;
}

/* Wraps or appends; the tree's depth is bounded because later passes recurse over it. */
static mt_status node_deepen(parser *p, mt_node *node, const mt_node *child) {
    if (child->depth + 1 > node->depth) node->depth = child->depth + 1;
    if (node->depth > MT_REGEX_MAX_DEPTH)
        return FAIL(p, child->at, MT_ELIMIT, "nested deeper than %d levels", MT_REGEX_MAX_DEPTH);
    return MT_OK;
}

static mt_status node_append(parser *p, mt_node *list, mt_node *child) {
    if (list->last)
        list->last->next = child;
    else
        list->child = child;
    bool first = !list->last;
    list->last = child;
    if (list->kind == MT_N_CAT) {
        list->min_length = add_length(list->min_length, child->min_length);
        list->max_length = add_length(list->max_length, child->max_length);
    } else {
        if (first || child->min_length < list->min_length) list->min_length = child->min_length;
        if (child->max_length > list->max_length) list->max_length = child->max_length;
    }
    return node_deepen(p, list, child);
}

/* Hands the set to the tree, in any case. */
static mt_status node_of_set(parser *p, mt_set *set, size_t at, mt_node **out) {
    mt_sets *sets = &p->tree->sets;
    static const mt_range surrogates[] = {{0, 0xD7FF}, {0xE000, MT_CP_INVALID}};
    const mt_set matchable = {(mt_range *)surrogates, 2, 2};
    mt_status status = mt_set_intersect(set, &matchable, p->err); /* no text contains a surrogate */
    size_t i = sets->n;
    if (status != MT_OK) goto out;
    for (i = 0; i < sets->n; i++)
        if (sets->v[i].n == set->n && (set->n == 0 || memcmp(sets->v[i].r, set->r, set->n * sizeof *set->r) == 0))
            break;
    if (i == sets->n) {
        if (i == MT_REGEX_MAX_SETS || sets->ranges + set->n > MT_REGEX_MAX_RANGES) {
            status = FAIL(p, at, MT_ELIMIT, "more than %d different character classes or %d ranges", MT_REGEX_MAX_SETS,
                          MT_REGEX_MAX_RANGES);
            goto out;
        }
        MT_TRY_GOTO(mt_grow((void **)&sets->v, &sets->cap, i + 1, sizeof *sets->v, p->err), out);
        sets->v[sets->n++] = *set;
        sets->ranges += set->n;
        *set = (mt_set){0};
    }
    if (out) {
        MT_TRY_GOTO(node_new(p, MT_N_SET, at, out), out);
        (*out)->set = (int32_t)i;
        (*out)->min_length = (*out)->max_length = 1;
    } else
        p->tree->word = (int32_t)i;
out:
    mt_set_free(set);
    return status;
}

/* Adds the property, under (?i) with its case variants, to the empty set. *known = false: there is none of that name.
 */
static mt_status property(parser *p, mt_str name, mt_set *set, bool *known) {
    *known = name.n > 0;
    for (unsigned i = 0; i < REMEMBERED && *known; i++)
        if (p->properties[i].icase == p->icase && mt_str_is(name, p->properties[i].name))
            return mt_set_union(set, &p->properties[i].set, p->err);
    MT_TRY(mt_set_property(set, name, known, p->err));
    if (p->icase) MT_TRY(mt_set_close_case(set, p->err));
    if (!*known || name.n == 0 || name.n >= sizeof p->properties->name || memchr(name.p, 0, name.n)) return MT_OK;
    unsigned k = p->properties_n++ % REMEMBERED;
    p->properties[k].set.n = 0;
    p->properties[k].name[0] = 0;
    MT_TRY(mt_set_union(&p->properties[k].set, set, p->err));
    memcpy(p->properties[k].name, name.p, name.n);
    p->properties[k].icase = p->icase;
    p->properties[k].name[name.n] = 0;
    return MT_OK;
}

/* ---- escapes and classes ------------------------------------------------------------------------------------------
 */

static mt_status set_word(parser *p, mt_set *set) {
    static const char *const parts[] = {"alphabetic", "m", "nd", "pc", "joincontrol"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        mt_set part = {0};
        bool known;
        mt_status status = property(p, mt_str_of(parts[i]), &part, &known);
        if (status == MT_OK) status = mt_set_union(set, &part, p->err);
        mt_set_free(&part);
        if (status != MT_OK) return status;
    }
    return MT_OK;
}

static int hex_digit(int c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

static mt_status take_hex(parser *p, size_t at, unsigned digits, uint32_t *cp) {
    bool braces = take(p, "{");
    unsigned n = 0;
    *cp = 0;
    while (more(p) && hex_digit(peek(p)) >= 0 && n < (braces ? 8 : digits)) {
        *cp = *cp * 16 + (uint32_t)hex_digit(peek(p));
        p->pos++;
        n++;
    }
    if (n == 0 || (braces ? !take(p, "}") : n < digits) || *cp > 0x10FFFF)
        return FAIL(p, at, MT_EFORMAT, "a code point escape needs %s hexadecimal digits up to 10FFFF",
                    braces        ? "1 to 8"
                    : digits == 2 ? "2"
                    : digits == 4 ? "4"
                                  : "8");
    return MT_OK;
}

static mt_status take_property(parser *p, size_t at, bool negative, mt_set *set) {
    mt_str name;
    if (take(p, "{")) {
        if (take(p, "^")) negative = !negative;
        name.p = p->pattern.p + p->pos;
        while (more(p) && peek(p) != '}') p->pos++;
        name.n = (size_t)(p->pattern.p + p->pos - name.p);
        if (!take(p, "}")) return FAIL(p, at, MT_EFORMAT, "\\p{ without }");
    } else {
        name = (mt_str){p->pattern.p + p->pos, more(p)};
        p->pos += more(p);
    }
    bool known;
    MT_TRY(property(p, name, set, &known));
    char shown[64];
    if (!known)
        return FAIL(p, at, MT_EUNKNOWN,
                    "unknown Unicode property '%s': general categories, scripts and common binary properties are known",
                    mt_str_show(name, shown, sizeof shown));
    return negative ? mt_set_negate(set, p->err) : MT_OK;
}

/* After the backslash: either *is_set and a class in `set`, or one code point. Anchors are the caller's. */
static mt_status take_escape(parser *p, bool in_class, mt_set *set, bool *is_set, uint32_t *cp) {
    size_t at = p->pos - 1;
    if (!more(p)) return FAIL(p, at, MT_EFORMAT, "\\ at the end");
    *is_set = false;
    *cp = take_code_point(p);
    switch (*cp) {
    case 'n':
        *cp = '\n';
        return MT_OK;
    case 'r':
        *cp = '\r';
        return MT_OK;
    case 't':
        *cp = '\t';
        return MT_OK;
    case 'f':
        *cp = '\f';
        return MT_OK;
    case 'v':
        *cp = '\v';
        return MT_OK;
    case 'a':
        *cp = 7;
        return MT_OK;
    case 'e':
        *cp = 27;
        return MT_OK;
    case 'x':
        return take_hex(p, at, 2, cp);
    case 'u':
        return take_hex(p, at, 4, cp);
    case 'U':
        return take_hex(p, at, 8, cp);
    case '0':
        if (peek(p) >= '0' && peek(p) <= '9') return FAIL(p, at, MT_EUNKNOWN, "octal escapes are not supported");
        *cp = 0;
        return MT_OK;
    case 'b':
        if (!in_class) break;
        *cp = 8;
        return MT_OK;
    case 's':
    case 'S': {
        bool known;
        *is_set = true;
        MT_TRY(property(p, mt_str_of("whitespace"), set, &known));
        return *cp == 'S' ? mt_set_negate(set, p->err) : MT_OK;
    }
    case 'd':
    case 'D': {
        bool known;
        *is_set = true;
        MT_TRY(property(p, mt_str_of("nd"), set, &known));
        return *cp == 'D' ? mt_set_negate(set, p->err) : MT_OK;
    }
    case 'w':
    case 'W':
        *is_set = true;
        MT_TRY(set_word(p, set));
        return *cp == 'W' ? mt_set_negate(set, p->err) : MT_OK;
    case 'p':
    case 'P':
        *is_set = true;
        return take_property(p, at, *cp == 'P', set);
    default:
        break;
    }
    if ((*cp >= '0' && *cp <= '9') || *cp == 'k') return FAIL(p, at, MT_EUNKNOWN, "back-references are not supported");
    if ((*cp | 32) >= 'a' && (*cp | 32) <= 'z')
        return FAIL(
            p, at, MT_EUNKNOWN,
            "unknown escape \\%c%s: known are \\n \\r \\t \\f \\v \\a \\e \\0 \\x \\u \\U \\s \\S \\d \\D \\w \\W "
            "\\p \\P \\R \\b \\B \\A \\z \\Z",
            (int)*cp, in_class ? " in a class" : "");
    return MT_OK; /* punctuation stands for itself */
}

static mt_status take_posix(parser *p, mt_set *set, bool *was) {
    static const char *const names[] = {"alpha", "digit", "space",  "upper", "lower", "punct", "cntrl",
                                        "alnum", "word",  "xdigit", "blank", "graph", "print", "ascii"};
    size_t at = p->pos;
    *was = false;
    bool negative = starts(p, "[:^"), known;
    p->pos += negative ? 3 : 2;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char closed[16];
        snprintf(closed, sizeof closed, "%s:]", names[i]);
        if (!take(p, closed)) continue;
        *was = true;
        uint32_t graph = ~(1u << MT_ZS | 1u << MT_ZL | 1u << MT_ZP | 1u << MT_CC | 1u << MT_CS | 1u << MT_CN);
        if (i < 7 || i == 13)
            MT_TRY(mt_set_property(set, mt_str_of(names[i]), &known, p->err));
        else if (i == 7) {
            MT_TRY(mt_set_property(set, mt_str_of("alpha"), &known, p->err));
            MT_TRY(mt_set_property(set, mt_str_of("digit"), &known, p->err));
        } else if (i == 8)
            MT_TRY(set_word(p, set));
        else if (i == 9)
            MT_TRY(mt_set_property(set, mt_str_of("ahex"), &known, p->err));
        else if (i == 10) {
            MT_TRY(mt_set_add(set, '\t', '\t', p->err));
            MT_TRY(mt_set_categories(set, 1u << MT_ZS, p->err));
        } else
            MT_TRY(mt_set_categories(set, i == 11 ? graph : graph | 1u << MT_ZS, p->err));
        if (p->icase) MT_TRY(mt_set_close_case(set, p->err));
        return negative ? mt_set_negate(set, p->err) : MT_OK;
    }
    p->pos = at;
    return MT_OK;
}

static mt_status take_class(parser *p, mt_set *set);

/* One member that is no range: a nested class, an escape or a character. */
static mt_status take_member(parser *p, mt_set *set, bool *is_set, uint32_t *cp) {
    *is_set = false;
    if (starts(p, "[:")) {
        MT_TRY(take_posix(p, set, is_set));
        if (*is_set) return MT_OK;
    }
    if (take(p, "[")) {
        *is_set = true;
        return take_class(p, set);
    }
    if (take(p, "\\")) return take_escape(p, true, set, is_set, cp);
    *cp = take_code_point(p);
    return MT_OK;
}

/* Adds to `into`, which is tidied when it is complete. */
static mt_status take_class_item(parser *p, mt_set *into) {
    size_t at = p->pos;
    mt_set one = {0};
    bool is_set;
    uint32_t lo, hi;
    mt_status status;
    MT_TRY_GOTO(take_member(p, &one, &is_set, &lo), out);
    if (!is_set) {
        hi = lo;
        if (peek(p) == '-' && p->pos + 1 < p->pattern.n && p->pattern.p[p->pos + 1] != ']' && !starts(p, "-[") &&
            !starts(p, "-&&")) {
            p->pos++;
            MT_TRY_GOTO(take_member(p, &one, &is_set, &hi), out);
            if (is_set) { /* a-\d: three members */
                MT_TRY_GOTO(mt_set_add(into, '-', '-', p->err), out);
                for (size_t i = 0; i < one.n; i++) MT_TRY_GOTO(mt_set_add(into, one.r[i].lo, one.r[i].hi, p->err), out);
                hi = lo;
            }
        }
        if (hi < lo) {
            status = FAIL(p, at, MT_EFORMAT, "range out of order: U+%04X-U+%04X", lo, hi);
            goto out;
        }
        one.n = 0; /* what \d in a-\d has put there was added above */
        MT_TRY_GOTO(mt_set_add(&one, lo, hi, p->err), out);
        if (p->icase) MT_TRY_GOTO(mt_set_close_case(&one, p->err), out);
    }
    for (size_t i = 0; i < one.n; i++) MT_TRY_GOTO(mt_set_add(into, one.r[i].lo, one.r[i].hi, p->err), out);
    status = MT_OK;
    if (into->n > MT_REGEX_MAX_RANGES) mt_set_tidy(into);
    if (into->n > MT_REGEX_MAX_RANGES) status = FAIL(p, at, MT_ELIMIT, "too many ranges in a class");
out:
    mt_set_free(&one);
    return status;
}

/* After '[': [^ members && members ... ]. */
static mt_status take_class(parser *p, mt_set *set) {
    size_t at = p->pos - 1;
    if (++p->depth > MT_REGEX_MAX_DEPTH)
        return FAIL(p, at, MT_ELIMIT, "nested deeper than %d levels", MT_REGEX_MAX_DEPTH);
    bool negative = take(p, "^"), any = false, first_operand = true;
    mt_set operand = {0}, all = {0};
    mt_status status = MT_OK;
    for (;;) {
        if (!more(p)) {
            status = FAIL(p, at, MT_EFORMAT, "[ without ]");
            goto out;
        }
        bool end = peek(p) == ']' && (any || !first_operand);
        if (end || starts(p, "&&")) {
            mt_set_tidy(&operand);
            if (first_operand)
                MT_TRY_GOTO(mt_set_union(&all, &operand, p->err), out);
            else
                MT_TRY_GOTO(mt_set_intersect(&all, &operand, p->err), out);
            operand.n = 0;
            first_operand = any = false;
            p->pos += end ? 1 : 2;
            if (end) break;
            continue;
        }
        MT_TRY_GOTO(take_class_item(p, &operand), out);
        any = true;
    }
    if (negative) MT_TRY_GOTO(mt_set_negate(&all, p->err), out);
    MT_TRY_GOTO(mt_set_union(set, &all, p->err), out);
    p->depth--;
out:
    mt_set_free(&operand);
    mt_set_free(&all);
    return status;
}

/* ---- expressions ----------------------------------------------------------------------------------------------- */

static mt_status take_alternation(parser *p, mt_node **out);

static mt_status literal(parser *p, uint32_t cp, size_t at, mt_node **out) {
    mt_set set = {0};
    mt_status status = mt_set_add(&set, cp, cp, p->err);
    if (status == MT_OK && p->icase) status = mt_set_close_case(&set, p->err);
    if (status != MT_OK) {
        mt_set_free(&set);
        return status;
    }
    return node_of_set(p, &set, at, out);
}

static mt_status assertion(parser *p, mt_assert_kind kind, size_t at, mt_node **out) {
    if ((kind == MT_A_WORD || kind == MT_A_NOT_WORD) && p->tree->word < 0) {
        mt_set word = {0};
        mt_status status = set_word(p, &word);
        if (status != MT_OK) {
            mt_set_free(&word);
            return status;
        }
        MT_TRY(node_of_set(p, &word, at, NULL));
    }
    MT_TRY(node_new(p, MT_N_ASSERT, at, out));
    (*out)->assertion = kind;
    return MT_OK;
}

static mt_status look(parser *p, mt_node *body, bool negative, bool behind, size_t at, mt_node **out) {
    MT_TRY(node_new(p, MT_N_LOOK, at, out));
    (*out)->negative = negative;
    (*out)->behind = behind;
    (*out)->child = body;
    if (behind && (body->max_length != body->min_length || body->max_length > 255))
        return FAIL(p, at, MT_EUNKNOWN, "look-behind must have one fixed length, at most 255 characters");
    return node_deepen(p, *out, body);
}

/* (?=\n|\z) and (?=\n?\z): what $ with (?m) and \Z mean. */
static mt_status line_end(parser *p, bool only_last, size_t at, mt_node **out) {
    mt_node *feed, *end, *list;
    mt_set set = {0};
    mt_status status = mt_set_add(&set, '\n', '\n', p->err);
    if (status != MT_OK) {
        mt_set_free(&set);
        return status;
    }
    MT_TRY(node_of_set(p, &set, at, &feed));
    MT_TRY(assertion(p, MT_A_TEXT_END, at, &end));
    if (only_last) {
        mt_node *last;
        MT_TRY(node_new(p, MT_N_CAT, at, &list));
        MT_TRY(node_append(p, list, feed));
        MT_TRY(node_append(p, list, end));
        feed = list;
        MT_TRY(assertion(p, MT_A_TEXT_END, at, &last));
        end = last;
    }
    MT_TRY(node_new(p, MT_N_ALT, at, &list));
    MT_TRY(node_append(p, list, feed));
    MT_TRY(node_append(p, list, end));
    return look(p, list, false, false, at, out);
}

/* \R: a line break of any kind, CR LF not divided. */
static mt_status line_break(parser *p, size_t at, mt_node **out) {
    mt_node *pair, *cr, *lf, *one, *list;
    MT_TRY(literal(p, '\r', at, &cr));
    MT_TRY(literal(p, '\n', at, &lf));
    mt_set set = {0};
    mt_status status = mt_set_add(&set, '\n', '\r', p->err);
    if (status == MT_OK) status = mt_set_add(&set, 0x85, 0x85, p->err);
    if (status == MT_OK) status = mt_set_add(&set, 0x2028, 0x2029, p->err);
    if (status != MT_OK) {
        mt_set_free(&set);
        return status;
    }
    MT_TRY(node_of_set(p, &set, at, &one));
    MT_TRY(node_new(p, MT_N_CAT, at, &pair));
    MT_TRY(node_append(p, pair, cr));
    MT_TRY(node_append(p, pair, lf));
    MT_TRY(node_new(p, MT_N_ALT, at, &list));
    MT_TRY(node_append(p, list, pair));
    MT_TRY(node_append(p, list, one));
    MT_TRY(node_new(p, MT_N_ATOMIC, at, out));
    (*out)->child = list;
    (*out)->min_length = 1;
    (*out)->max_length = 2;
    return node_deepen(p, *out, list);
}

/* After "(?" where flags stand: sets them; *group: a ':' followed, otherwise a ')'. */
static mt_status take_flags(parser *p, size_t at, bool *group) {
    bool on = true;
    for (;; p->pos++) {
        switch (peek(p)) {
        case 'i':
            p->icase = on;
            break;
        case 'm':
            p->multiline = on;
            break;
        case 's':
            p->dotall = on;
            break;
        case 'x':
            p->extended = on;
            break;
        case 'u':
            if (!on) return FAIL(p, at, MT_EUNKNOWN, "(?-u) is not supported: matching is always Unicode");
            break;
        case '-':
            if (!on) return FAIL(p, at, MT_EFORMAT, "two '-' among the flags");
            on = false;
            break;
        case ':':
        case ')':
            *group = p->pattern.p[p->pos++] == ':';
            return MT_OK;
        default:
            return FAIL(
                p, at, MT_EUNKNOWN,
                "unknown group (?...: known are (?: (?= (?! (?<= (?<! (?> (?<name> (?# and the flags i m s x u");
        }
    }
}

/* After '('. *out stays NULL for what matches nothing by itself: comments and flag settings. */
static mt_status take_group(parser *p, size_t at, mt_node **out) {
    const bool icase = p->icase, multiline = p->multiline, dotall = p->dotall, extended = p->extended;
    enum { PLAIN, LOOK, ATOMIC } kind = PLAIN;
    bool negative = false, behind = false;
    *out = NULL;
    if (take(p, "?#")) {
        while (more(p) && peek(p) != ')') p->pos++;
        return take(p, ")") ? MT_OK : FAIL(p, at, MT_EFORMAT, "(?# without )");
    }
    if (take(p, "?="))
        kind = LOOK;
    else if (take(p, "?!"))
        kind = LOOK, negative = true;
    else if (take(p, "?<="))
        kind = LOOK, behind = true;
    else if (take(p, "?<!"))
        kind = LOOK, behind = negative = true;
    else if (take(p, "?>"))
        kind = ATOMIC;
    else if (starts(p, "?<") || starts(p, "?P<")) {
        while (more(p) && peek(p) != '>' && peek(p) != ')') p->pos++;
        if (!take(p, ">")) return FAIL(p, at, MT_EFORMAT, "group name without >");
    } else if (take(p, "?")) {
        bool group;
        MT_TRY(take_flags(p, at, &group));
        if (!group) return MT_OK; /* the flags hold to the end of the enclosing group */
    }
    mt_node *body;
    if (++p->depth > MT_REGEX_MAX_DEPTH)
        return FAIL(p, at, MT_ELIMIT, "nested deeper than %d levels", MT_REGEX_MAX_DEPTH);
    MT_TRY(take_alternation(p, &body));
    p->depth--;
    if (!take(p, ")")) return FAIL(p, at, MT_EFORMAT, "( without )");
    p->icase = icase;
    p->multiline = multiline;
    p->dotall = dotall;
    p->extended = extended;
    if (kind == LOOK) return look(p, body, negative, behind, at, out);
    *out = body;
    if (kind == PLAIN) return MT_OK;
    MT_TRY(node_new(p, MT_N_ATOMIC, at, out));
    (*out)->child = body;
    (*out)->min_length = body->min_length;
    (*out)->max_length = body->max_length;
    return node_deepen(p, *out, body);
}

static mt_status take_atom(parser *p, mt_node **out) {
    size_t at = p->pos;
    uint32_t cp;
    mt_set set = {0};
    mt_status status;
    *out = NULL;
    if (take(p, "(")) return take_group(p, at, out);
    if (take(p, "[")) {
        status = take_class(p, &set);
        if (status == MT_OK) return node_of_set(p, &set, at, out);
        mt_set_free(&set);
        return status;
    }
    if (take(p, ".")) {
        status = p->dotall ? MT_OK : mt_set_add(&set, '\n', '\n', p->err);
        if (status == MT_OK) status = mt_set_negate(&set, p->err);
        if (status == MT_OK) return node_of_set(p, &set, at, out);
        mt_set_free(&set);
        return status;
    }
    if (take(p, "^")) return assertion(p, p->multiline ? MT_A_LINE_BEGIN : MT_A_TEXT_BEGIN, at, out);
    if (take(p, "$")) return p->multiline ? line_end(p, false, at, out) : assertion(p, MT_A_TEXT_END, at, out);
    if (take(p, "\\A")) return assertion(p, MT_A_TEXT_BEGIN, at, out);
    if (take(p, "\\z")) return assertion(p, MT_A_TEXT_END, at, out);
    if (take(p, "\\Z")) return line_end(p, true, at, out);
    if (take(p, "\\b")) return assertion(p, MT_A_WORD, at, out);
    if (take(p, "\\B")) return assertion(p, MT_A_NOT_WORD, at, out);
    if (take(p, "\\R")) return line_break(p, at, out);
    if (take(p, "\\")) {
        bool is_set;
        status = take_escape(p, false, &set, &is_set, &cp);
        if (status == MT_OK && is_set) return node_of_set(p, &set, at, out);
        mt_set_free(&set);
        return status == MT_OK ? literal(p, cp, at, out) : status;
    }
    if (starts(p, "*") || starts(p, "+") || starts(p, "?"))
        return FAIL(p, at, MT_EFORMAT, "nothing to repeat before %c", peek(p));
    return literal(p, take_code_point(p), at, out);
}

/* {m} {m,} {m,n} {,n}; leaves a brace that is something else alone. */
static mt_status take_counts(parser *p, bool *was, uint32_t *min, uint32_t *max) {
    size_t at = p->pos, i = at + 1;
    uint64_t v[2] = {0, 0};
    bool digits[2] = {false, false}, comma = false;
    *was = false;
    for (;; i++) {
        uint8_t c = i < p->pattern.n ? p->pattern.p[i] : 0;
        if (c >= '0' && c <= '9') {
            digits[comma] = true;
            if (v[comma] < 1000000) v[comma] = v[comma] * 10 + (uint64_t)(c - '0');
        } else if (c == ',' && !comma)
            comma = true;
        else if (c == '}' && (digits[0] || digits[1]))
            break;
        else
            return MT_OK;
    }
    *was = true;
    p->pos = i + 1;
    *min = (uint32_t)v[0];
    *max = !comma ? *min : digits[1] ? (uint32_t)v[1] : MT_REPEAT_INF;
    if (*min > MT_REGEX_MAX_REPEAT || (*max != MT_REPEAT_INF && *max > MT_REGEX_MAX_REPEAT))
        return FAIL(p, at, MT_ELIMIT, "repeat count above %d", MT_REGEX_MAX_REPEAT);
    if (*max < *min) return FAIL(p, at, MT_EFORMAT, "repeat counts out of order: {%u,%u}", *min, *max);
    return MT_OK;
}

static void skip_blanks(parser *p) { /* under (?x) */
    while (p->extended && more(p)) {
        int c = peek(p);
        if (c == '#')
            while (more(p) && peek(p) != '\n') p->pos++;
        else if (c == ' ' || (c >= 9 && c <= 13))
            p->pos++;
        else
            return;
    }
}

static mt_status take_quantifiers(parser *p, mt_node **atom) {
    for (;;) {
        skip_blanks(p);
        uint32_t min, max;
        size_t at = p->pos;
        bool was = true;
        if (take(p, "*"))
            min = 0, max = MT_REPEAT_INF;
        else if (take(p, "+"))
            min = 1, max = MT_REPEAT_INF;
        else if (take(p, "?"))
            min = 0, max = 1;
        else if (peek(p) == '{')
            MT_TRY(take_counts(p, &was, &min, &max));
        else
            return MT_OK;
        if (!was) return MT_OK;
        if (!*atom) return FAIL(p, at, MT_EFORMAT, "nothing to repeat");
        mt_node *node;
        MT_TRY(node_new(p, MT_N_REPEAT, (*atom)->at, &node));
        node->mode = take(p, "?") ? MT_LAZY : take(p, "+") ? MT_POSSESSIVE : MT_GREEDY;
        node->min = min;
        node->max = max;
        node->child = *atom;
        node->min_length = mul_length((*atom)->min_length, min);
        node->max_length = mul_length((*atom)->max_length, max);
        MT_TRY(node_deepen(p, node, *atom));
        *atom = node;
    }
}

static mt_status take_alternation(parser *p, mt_node **out) {
    mt_node *list, *sequence, *atom;
    MT_TRY(node_new(p, MT_N_ALT, p->pos, &list));
    for (;;) {
        MT_TRY(node_new(p, MT_N_CAT, p->pos, &sequence));
        for (;;) {
            skip_blanks(p);
            if (!more(p) || peek(p) == '|' || peek(p) == ')') break;
            MT_TRY(take_atom(p, &atom));
            MT_TRY(take_quantifiers(p, &atom));
            if (atom) MT_TRY(node_append(p, sequence, atom));
        }
        MT_TRY(node_append(p, list, sequence));
        if (!take(p, "|")) break;
    }
    *out = list->child->next ? list : list->child;
    return MT_OK;
}

mt_status mt_regex_parse(mt_str pattern, mt_tree *tree, mt_error *err) {
    *tree = (mt_tree){.word = -1};
    if (pattern.n > MT_REGEX_MAX_PATTERN)
        return mt_fail(err, MT_ELIMIT, "regular expression of %zu bytes: the limit is %d", pattern.n,
                       MT_REGEX_MAX_PATTERN);
    if (!mt_utf8_valid(pattern.p, pattern.n)) return mt_regex_fail(pattern, 0, MT_EFORMAT, err, "not valid UTF-8");
    parser p = {.pattern = pattern, .tree = tree, .err = err};
    mt_status status = take_alternation(&p, &tree->root);
    for (unsigned i = 0; i < REMEMBERED; i++) mt_set_free(&p.properties[i].set);
    if (status != MT_OK) return status;
    if (more(&p)) return FAIL(&p, p.pos, MT_EFORMAT, ") without (");
    return MT_OK;
}

void mt_tree_free(mt_tree *tree) {
    for (size_t i = 0; i < tree->sets.n; i++) mt_set_free(&tree->sets.v[i]);
    mt_free(tree->sets.v);
    mt_arena_free(&tree->arena);
    *tree = (mt_tree){.word = -1};
}
