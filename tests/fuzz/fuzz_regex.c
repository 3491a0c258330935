/* Regular expressions: first line the pattern, the rest the text. The automaton and the backtracking engine agree on
 * every match; the pieces of a split cover the text, in one call and in several. */
#include "fuzz.h"
#include "text/regex.h"

enum { LONGEST = 600, CELLS = 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    begin_input();
    mt_error err = {0};
    input in = {data, size}, pattern = take_line(&in), text = take_bytes(&in, LONGEST);
    uint8_t *exact = malloc(text.n ? text.n : 1);
    memcpy(exact, text.p, text.n);
    mt_regex *re = NULL;
    mt_tree tree = {0};
    mt_program program = {0};
    mt_back *back = NULL;
    bool remember = text.n & 1; /* what the backtracking engine knows of the text from one match to the next */
    if (!ok(mt_regex_compile(str(pattern), &re, &err), &err)) goto done;
    if (!ok(mt_regex_parse(str(pattern), &tree, &err), &err) ||
        !ok(mt_program_compile(str(pattern), &tree, &program, &err), &err) ||
        !ok(mt_back_new(&program, &back, &err), &err))
        goto done;
    for (size_t at = 0, tries = 0; at <= text.n && tries < 40; tries++) {
        bool found = false, other = false;
        size_t begin = 0, end = 0, begin2 = 0, end2 = 0;
        if (!ok(mt_regex_find(re, exact, text.n, at, &found, &begin, &end, &err), &err)) break;
        if (!ok(mt_back_find(back, exact, text.n, at, false, tries && remember, &other, &begin2, &end2, &err), &err))
            break; /* its bound */
        DEMAND(found == other && (!found || (begin == begin2 && end == end2)),
               "/%.*s/ from %zu: %d %zu..%zu and %d %zu..%zu", (int)pattern.n, (const char *)pattern.p, at, found,
               begin, end, other, begin2, end2);
        if (!found) break;
        DEMAND(at <= begin && begin <= end && end <= text.n, "%zu..%zu of %zu", begin, end, text.n);
        at = end > at ? end : at + 1;
    }
    size_t ends[CELLS], count = 0, at = 0, some[3], n = 0, k = 0;
    if (!ok(mt_regex_split(re, exact, text.n, 0, ends, CELLS, &count, &err), &err)) goto done;
    for (size_t i = 0; i < count; i++) {
        size_t end = ends[i] & ~MT_SPLIT_GAP;
        DEMAND(end > at && end <= text.n, "piece %zu ends at %zu after %zu", i, end, at);
        at = end;
    }
    if (count < CELLS) DEMAND(at == text.n, "the pieces end at %zu of %zu", at, text.n);
    for (at = 0; k < count; k += n, at = some[n - 1] & ~MT_SPLIT_GAP) {
        if (!ok(mt_regex_split(re, exact, text.n, at, some, 3, &n, &err), &err)) goto done;
        DEMAND(n > 0, "no piece from %zu", at);
        for (size_t i = 0; i < n && k + i < count; i++)
            DEMAND(some[i] == ends[k + i], "piece %zu, cut in threes", k + i);
        if (n < 3) break;
    }
done:
    if (back) mt_back_free(back);
    mt_program_free(&program);
    mt_tree_free(&tree);
    mt_regex_free(re);
    free(exact);
    end_input();
    return 0;
}
