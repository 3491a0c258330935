/* Fill-in-the-middle without sub-token cuts (FIM-SE): the prompt is cut at line ends only; the begun line before the
 * gap and the rest of the line behind it become hints, which the model repeats at the ends of what it writes.
 *
 *   "x = 1\ny = [gap]2\nz\n"   lines before "x = 1\n", hint "y = ", hint behind "2\n", lines behind "z\n" */
#include "bias.h"

mt_status mt_infill_split(const uint8_t *text, size_t n, size_t from, size_t to, mt_infill *out, mt_error *err) {
    if (from > to || to > n)
        return mt_fail(err, MT_ERANGE, "a middle from %zu to %zu in a text of %zu bytes", from, to, n);
    size_t before = from, behind = to;
    while (before > 0 && text[before - 1] != '\n') before--;
    while (behind < n && text[behind] != '\n') behind++;
    if (behind < n) behind++;
    *out = (mt_infill){.prefix_lines = {text, before},
                       .prefix_hint = {text + before, from - before},
                       .suffix_hint = {text + to, behind - to},
                       .suffix_lines = {text + behind, n - behind},
                       .target = {text + before, behind - before}};
    return MT_OK;
}

bool mt_infill_accept(const mt_infill *parts, mt_str generated, mt_str *middle) {
    size_t first = parts->prefix_hint.n, last = parts->suffix_hint.n;
    if (generated.n < first || generated.n - first < last || memcmp(generated.p, parts->prefix_hint.p, first) != 0 ||
        memcmp(generated.p + generated.n - last, parts->suffix_hint.p, last) != 0)
        return false;
    *middle = (mt_str){generated.p + first, generated.n - first - last};
    return true;
}
