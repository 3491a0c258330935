/* The public face of regular expressions: compiles, and sends each request to the automaton or, where the pattern
 * cannot be one or its automaton met a limit, to the backtracking engine. */
#include "regex.h"

mt_status mt_regex_compile(mt_str pattern, mt_regex **out, mt_error *err) {
    mt_tree tree;
    mt_status status;
    mt_regex *re = *out = mt_calloc(1, sizeof *re);
    if (!re) return mt_nomem(err, sizeof *re, "a regular expression");
    status = mt_regex_parse(pattern, &tree, err);
    if (status == MT_OK) status = mt_program_compile(pattern, &tree, &re->program, err);
    mt_tree_free(&tree);
    if (status == MT_OK && re->program.automaton) {
        status = mt_dfa_new(&re->program, &re->dfa, err);
        if (status == MT_ELIMIT) {
            re->program.why_not = "too many classes, threads or states";
            status = MT_OK;
        }
    }
    if (status != MT_OK) {
        mt_regex_free(re);
        *out = NULL;
    }
    return status;
}

void mt_regex_free(mt_regex *re) {
    if (!re) return;
    mt_dfa_free(re->dfa);
    mt_back_free(re->back);
    mt_program_free(&re->program);
    mt_free(re);
}

mt_dfa *mt_regex_dfa(mt_regex *re) {
    return re->dfa;
}

static mt_status find(mt_regex *re, const uint8_t *text, size_t n, size_t at, bool anchored, bool again, bool *found,
                      size_t *begin, size_t *end, mt_error *err) {
    *found = false;
    *begin = *end = at;
    if (at > n) return mt_fail(err, MT_ERANGE, "matching from byte %zu of a text of %zu bytes", at, n);
    if (re->dfa && !re->dfa_is_full) {
        re->back_knows = false;
        mt_status status = mt_dfa_find(re->dfa, text, n, at, anchored, again, found, begin, end, err);
        if (status != MT_ELIMIT) return status;
        re->dfa_is_full = true;
        *found = false;
    }
    if (!re->back) MT_TRY(mt_back_new(&re->program, &re->back, err));
    again = again && re->back_knows;
    re->back_knows = true;
    return mt_back_find(re->back, text, n, at, anchored, again, found, begin, end, err);
}

mt_status mt_regex_match_at(mt_regex *re, const uint8_t *text, size_t n, size_t at, bool *found, size_t *end,
                            mt_error *err) {
    size_t begin;
    return find(re, text, n, at, true, false, found, &begin, end, err);
}

mt_status mt_regex_find(mt_regex *re, const uint8_t *text, size_t n, size_t at, bool *found, size_t *begin, size_t *end,
                        mt_error *err) {
    return find(re, text, n, at, false, false, found, begin, end, err);
}

mt_status mt_regex_find_next(mt_regex *re, const uint8_t *text, size_t n, size_t at, bool *found, size_t *begin,
                             size_t *end, mt_error *err) {
    return find(re, text, n, at, false, true, found, begin, end, err);
}

mt_status mt_regex_back_at(mt_regex *re, const uint8_t *text, size_t n, size_t at, bool *found, size_t *end,
                           mt_error *err) {
    size_t begin;
    if (!re->back) MT_TRY(mt_back_new(&re->program, &re->back, err));
    re->back_knows = false;
    return mt_back_find(re->back, text, n, at, true, false, found, &begin, end, err);
}

uint64_t mt_regex_steps(const mt_regex *re) {
    return (re->dfa ? mt_dfa_steps(re->dfa) : 0) + (re->back ? mt_back_steps(re->back) : 0);
}

const char *mt_regex_why_not_dfa(const mt_regex *re) {
    return re->dfa ? NULL : re->program.why_not;
}
