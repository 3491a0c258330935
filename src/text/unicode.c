/* Unicode character properties from the generated tables: look-ups by code point, and whole properties as sets. */
#include "regex.h"
#include "unicode.h"
#include "unicode_table.h"

mt_category mt_unicode_category(uint32_t cp) {
    return cp > 0x10FFFF ? MT_CN : (mt_category)mt_kind_category[mt_unicode_kind(cp)];
}

bool mt_unicode_combines(uint32_t cp) {
    return cp <= 0x10FFFF && mt_kind_class[mt_unicode_kind(cp)];
}

unsigned mt_unicode_age(uint32_t cp) {
    size_t lo = 0, hi = sizeof age_start / sizeof *age_start;
    if (cp < age_start[0] / 2) return 8;
    while (hi - lo > 1) { /* the last range that begins at or before cp */
        size_t mid = (lo + hi) / 2;
        if (age_start[mid] / 2 <= cp)
            lo = mid;
        else
            hi = mid;
    }
    return cp - age_start[lo] / 2 > age_length[lo] ? 8 : 9 + (age_start[lo] & 1);
}

mt_category mt_unicode_category_in(unsigned version, uint32_t cp) {
    if (version > 9) return mt_unicode_category(cp);
    if (mt_unicode_age(cp) > version) return MT_CN;
    switch (cp) { /* what has changed its category since */
    case 0x166D:
    case 0x111C9:
        return MT_PO;
    case 0x1734:
    case 0x1171E:
        return MT_MN;
    case 0x1885:
    case 0x1886:
        return version < 9 ? MT_LO : MT_MN;
    case 0x1CF2:
    case 0x1CF3:
    case 0xA9BD:
        return MT_MC;
    default:
        break;
    }
    if (cp >= 0x10D0 && cp <= 0x10FF && cp != 0x10FB && cp != 0x10FC)
        return MT_LO; /* Georgian, before it had capitals */
    return mt_unicode_category(cp);
}

bool mt_unicode_is_space(uint32_t cp) {
    if (cp < 0x80) return cp == ' ' || (cp >= 9 && cp <= 13);
    if (cp < 0x1680) return cp == 0x85 || cp == 0xA0;
    if (cp < 0x2000 || cp > 0x3000) return cp == 0x1680;
    return cp <= 0x200A || cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

/* The runs are sorted by first code point; at most one can contain cp. */
static uint32_t mapped(uint32_t cp, const uint32_t *start, const int32_t *delta, size_t n) {
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if ((start[mid] & 0x1FFFFF) <= cp)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0) return cp;
    uint32_t run = start[lo - 1], shift = run >> 21 & 1, distance = cp - (run & 0x1FFFFF);
    if (distance >> shift >= run >> 22 || (distance & shift)) return cp;
    return (uint32_t)((int32_t)cp + delta[lo - 1]);
}

enum { FOLD_RUNS = sizeof fold_start / sizeof *fold_start, LOWER_RUNS = sizeof lower_start / sizeof *lower_start };

uint32_t mt_unicode_fold(uint32_t cp) {
    if (cp < 0x80) return cp - 'A' < 26 ? cp + 32 : cp;
    return mapped(cp, fold_start, fold_delta, FOLD_RUNS);
}

int mt_unicode_lower(uint32_t cp, uint32_t out[3]) {
    if (cp == 0x130) { /* the only unconditional lower case of more than one code point */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    out[0] = cp < 0x80 ? (cp - 'A' < 26 ? cp + 32 : cp) : mapped(cp, lower_start, lower_delta, LOWER_RUNS);
    return 1;
}

mt_status mt_set_add_folds(mt_set *s, const mt_set *of, bool unfold, mt_error *err) {
    for (size_t i = 0; i < FOLD_RUNS; i++) {
        uint32_t first = fold_start[i] & 0x1FFFFF, step = 1 + (fold_start[i] >> 21 & 1), count = fold_start[i] >> 22;
        uint32_t delta = (uint32_t)fold_delta[i], last = first + (count - 1) * step;
        uint32_t from = unfold ? delta : 0, to = unfold ? 0 : delta;
        if (!mt_set_meets(of, first + from, last + from)) continue;
        for (uint32_t cp = first; cp <= last; cp += step)
            if (mt_set_has(of, cp + from)) MT_TRY(mt_set_add(s, cp + to, cp + to, err));
    }
    return MT_OK;
}

/* ---- decompositions -----------------------------------------------------------------------------------------------
 */

static uint32_t varint(const uint8_t **p) {
    uint32_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = *(*p)++;
        value |= (uint32_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return value;
    }
}

int mt_unicode_mapping(uint32_t cp, bool *canonical, uint32_t out[MT_MAPPING_MAX]) {
    size_t lo = 0, hi = sizeof decomposition_offset / sizeof *decomposition_offset;
    while (hi - lo > 1) { /* the last run that begins at or before cp */
        size_t mid = (lo + hi) / 2;
        if (decomposition_start[mid] <= cp)
            lo = mid;
        else
            hi = mid;
    }
    uint32_t first = decomposition_start[lo];
    const uint8_t *p = decomposition_bytes + decomposition_offset[lo];
    const uint8_t *end = lo + 1 < sizeof decomposition_offset / sizeof *decomposition_offset
                             ? decomposition_bytes + decomposition_offset[lo + 1]
                             : decomposition_bytes + sizeof decomposition_bytes;
    if (cp < first) return 0;
    int before = 1;
    out[0] = first;
    for (; p < end; first++) {
        int n = *p & 31;
        *canonical = *p++ & 32;
        for (int i = 0; i < n; i++) {
            uint32_t delta = varint(&p);
            out[i] = (i < before ? out[i] : 0x300) + (delta & 1 ? 0u - (delta / 2 + 1) : delta / 2);
        }
        if (first == cp) return n;
        before = n;
    }
    return 0;
}

static uint32_t compose_large_pair(uint32_t first, uint32_t second) {
    for (size_t i = 0; i < sizeof compose_large / sizeof *compose_large; i += 3)
        if (compose_large[i] == first && compose_large[i + 1] == second) return compose_large[i + 2];
    return 0;
}

uint32_t mt_unicode_compose(uint32_t first, uint32_t second) {
    if (first - 0x1100 < 19 && second - 0x1161 < 21) /* Hangul: leading consonant, vowel */
        return 0xAC00 + ((first - 0x1100) * 21 + (second - 0x1161)) * 28;
    if (first - 0xAC00 < 11172 && (first - 0xAC00) % 28 == 0 && second - 0x11A8 < 27) return first + (second - 0x11A7);
    if (first > 0xFFFF || second > 0xFFFF) return compose_large_pair(first, second);
    size_t lo = 0, hi = sizeof compose_first / sizeof *compose_first;
    uint32_t key = first << 16 | second;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        uint32_t at = (uint32_t)compose_first[mid] << 16 | compose_second[mid];
        if (at == key) return compose_result[mid];
        if (at < key)
            lo = mid + 1;
        else
            hi = mid;
    }
    return 0;
}

/* ---- properties as sets ---------------------------------------------------------------------------------------- */

mt_status mt_set_categories(mt_set *s, uint32_t mask, mt_error *err) {
    uint32_t begin = UINT32_MAX; /* of the run we are in */
    bool change_in_group = true; /* since the group began */
    for (uint32_t group = 0; group < sizeof mt_kind_top; group++) {
        if (group && mt_kind_top[group] == mt_kind_top[group - 1] && !change_in_group) continue; /* nor here */
        const uint16_t *blocks = mt_kind_group + mt_kind_top[group] * 32u;
        bool change_in_block = true;
        change_in_group = false;
        for (uint32_t b = 0; b < 32; b++) {
            if (b && blocks[b] == blocks[b - 1] && !change_in_block) continue;
            const uint8_t *block = mt_kind_block + blocks[b] * 16u;
            change_in_block = false;
            for (uint32_t i = 0; i < 16; i++) {
                bool in = mask >> mt_kind_category[block[i]] & 1;
                if (in == (begin != UINT32_MAX)) continue;
                uint32_t cp = group * 512 + b * 16 + i;
                if (!in) MT_TRY(mt_set_add(s, begin, cp - 1, err));
                begin = in ? cp : UINT32_MAX;
                change_in_block = change_in_group = true;
            }
        }
    }
    if (begin != UINT32_MAX) MT_TRY(mt_set_add(s, begin, 0x10FFFF, err));
    mt_set_tidy(s);
    return MT_OK;
}

static mt_status add_script(mt_set *s, int script, bool others, mt_error *err) {
    const uint8_t *p = script_runs;
    uint32_t end = 0;
    while (p < script_runs + sizeof script_runs) {
        uint32_t begin = end + varint(&p);
        end = begin + varint(&p) + 1;
        if (*p++ == script || others) MT_TRY(mt_set_add(s, begin, end - 1, err));
    }
    mt_set_tidy(s);
    return MT_OK;
}

int mt_unicode_script(uint32_t cp) {
    const uint8_t *p = script_runs;
    uint32_t end = 0;
    while (p < script_runs + sizeof script_runs) {
        uint32_t begin = end + varint(&p);
        end = begin + varint(&p) + 1;
        int script = *p++;
        if (cp < end) return cp >= begin ? script : MT_SCRIPT_COMMON;
    }
    return MT_SCRIPT_COMMON;
}

size_t mt_unicode_script_runs(mt_script_run *out, size_t cap) {
    const uint8_t *p = script_runs;
    size_t count = 0;
    for (uint32_t end = 0; p < script_runs + sizeof script_runs; count++) {
        uint32_t begin = end + varint(&p);
        end = begin + varint(&p) + 1;
        int script = *p++;
        if (out && count < cap) out[count] = (mt_script_run){begin, end, script};
    }
    return count;
}

static mt_status add_binary(mt_set *s, int property, mt_error *err) {
    const uint8_t *p = property_ranges + property_offsets[property];
    uint32_t end = 0;
    while (p < property_ranges + property_offsets[property + 1]) {
        uint32_t begin = end + varint(&p);
        end = begin + varint(&p) + 1;
        MT_TRY(mt_set_add(s, begin, end - 1, err));
    }
    mt_set_tidy(s);
    return property_categories[property] ? mt_set_categories(s, property_categories[property], err) : MT_OK;
}

/* The number of the entry "name,other name;" of a list that contains the name, or -1. */
static int entry_of(const char *list, const char *name) {
    size_t n = strlen(name);
    int entry = 0;
    for (const char *p = list; *p;) {
        size_t word = strcspn(p, ",;");
        if (word == n && memcmp(p, name, n) == 0) return entry;
        entry += p[word] == ';';
        p += word + 1;
    }
    return -1;
}

static uint32_t category_group_mask(const char *name) {
#define BIT(c) (1u << (c))
    static const struct {
        const char *names;
        uint32_t mask;
    } groups[] = {
        {"l,letter;", BIT(MT_LU) | BIT(MT_LL) | BIT(MT_LT) | BIT(MT_LM) | BIT(MT_LO)},
        {"lc,casedletter,l&;", BIT(MT_LU) | BIT(MT_LL) | BIT(MT_LT)},
        {"m,mark,combiningmark;", BIT(MT_MN) | BIT(MT_MC) | BIT(MT_ME)},
        {"n,number;", BIT(MT_ND) | BIT(MT_NL) | BIT(MT_NO)},
        {"p,punctuation;", BIT(MT_PC) | BIT(MT_PD) | BIT(MT_PS) | BIT(MT_PE) | BIT(MT_PI) | BIT(MT_PF) | BIT(MT_PO)},
        {"s,symbol;", BIT(MT_SM) | BIT(MT_SC) | BIT(MT_SK) | BIT(MT_SO)},
        {"z,separator;", BIT(MT_ZS) | BIT(MT_ZL) | BIT(MT_ZP)},
        {"c,other;", BIT(MT_CC) | BIT(MT_CF) | BIT(MT_CS) | BIT(MT_CO) | BIT(MT_CN)},
        {"any;", UINT32_MAX},
        {"assigned;", ~BIT(MT_CN)},
        {"digit;", BIT(MT_ND)},
        {"punct;", BIT(MT_PC) | BIT(MT_PD) | BIT(MT_PS) | BIT(MT_PE) | BIT(MT_PI) | BIT(MT_PF) | BIT(MT_PO)},
        {"cntrl;", BIT(MT_CC)},
    };
#undef BIT
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (entry_of(groups[i].names, name) == 0) return groups[i].mask;
    int category = entry_of(category_names, name);
    return category < 0 ? 0 : 1u << category;
}

mt_status mt_set_property(mt_set *s, mt_str name, bool *known, mt_error *err) {
    char loose[64];
    size_t n = 0;
    const char *value = loose;
    bool script = true, category = true, binary = true;
    *known = false;
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = name.p[i];
        if (c == ' ' || c == '_' || c == '-') continue;
        if (n + 1 == sizeof loose || c == 0 || c == ',' || c == ';') return MT_OK;
        loose[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    loose[n] = 0;
    char *equals = strchr(loose, '=');
    if (!equals) equals = strchr(loose, ':');
    if (equals) {
        *equals = 0;
        value = equals + 1;
        script = !strcmp(loose, "sc") || !strcmp(loose, "script");
        category = !strcmp(loose, "gc") || !strcmp(loose, "generalcategory");
        binary = false;
    }
    if (!*value) return MT_OK;
    uint32_t mask = category ? category_group_mask(value) : 0;
    int number;
    *known = true;
    if (mask) return mt_set_categories(s, mask, err);
    if (binary && (number = entry_of(property_names, value)) >= 0) return add_binary(s, number, err);
    if (binary && !strcmp(value, "ascii")) {
        MT_TRY(mt_set_add(s, 0, 0x7F, err));
        mt_set_tidy(s);
        return MT_OK;
    }
    if (script && (number = entry_of(script_names, value)) >= 0) return add_script(s, number, false, err);
    if (script && (!strcmp(value, "unknown") || !strcmp(value, "zzzz"))) {
        mt_set known_scripts = {0};
        mt_status status = add_script(&known_scripts, 0, true, err);
        if (status == MT_OK) status = mt_set_negate(&known_scripts, err);
        if (status == MT_OK) {
            known_scripts.r[known_scripts.n - 1].hi = 0x10FFFF; /* all but the invalid byte */
            status = mt_set_union(s, &known_scripts, err);
        }
        mt_set_free(&known_scripts);
        return status;
    }
    *known = false;
    return MT_OK;
}
