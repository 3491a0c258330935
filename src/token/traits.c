/* What a byte model must know about a tokenizer: how the text is prepared before the segmenter sees it, and its
 * splitters as automata that can be followed byte by byte. */
#include "tok.h"

/* Splitters that cut without changing or dropping anything; NULL: other. */
static const char *pattern_of(const mt_split *s, mt_str *text) {
    if (s->kind == MT_SPLIT_DIGITS && s->behavior == MT_SPLIT_ISOLATED)
        *text = mt_str_of("\\p{N}");
    else if (s->kind == MT_SPLIT_DIGITS && s->behavior == MT_SPLIT_CONTIGUOUS)
        *text = mt_str_of("\\p{N}+");
    else if (s->kind == MT_SPLIT_PATTERN && s->pattern.regex && s->behavior == MT_SPLIT_ISOLATED)
        *text = s->pattern.text;
    else
        return "a splitter that is no expression, or one that drops or joins what it finds";
    return NULL;
}

static const mt_walk *walk_of(const mt_tok *t) {
    return t->segmenter == &mt_segmenter_unigram ? &t->unigram.walk : &t->vocab.walk;
}

bool mt_tok_matches(const mt_tok *t, int32_t id, double *score) {
    const mt_walk *w = walk_of(t);
    mt_str s = mt_vocab_bytes(&t->vocab, id);
    uint64_t node = w->root;
    for (size_t i = 0; i < s.n; i++)
        if (!(node = mt_walk_step(w, node, s.p[i]))) return false;
    *score = t->segmenter == &mt_segmenter_unigram ? mt_unigram_score(t, id) : 0;
    return s.n && mt_walk_token(node) == id;
}

bool mt_tok_merge(const mt_tok *t, int32_t left, int32_t right, uint32_t *rank, int32_t *result) {
    int32_t size = t->vocab.size;
    if (t->segmenter != &mt_segmenter_bpe || left < 0 || right < 0 || left >= size || right >= size) return false;
    return (*rank = mt_bpe_rank(&t->bpe, left, right, result)) != MT_NO_RANK;
}

void mt_tok_traits_get(mt_tok *t, mt_tok_traits *out) {
    *out = (mt_tok_traits){0};
    out->spm_space = t->mark.n > 0;
    out->ignore_merges = t->ignore_merges;
    out->byte_fallback = t->byte_fallback && t->byte_tokens;
    out->byte_complete = out->byte_fallback;
    if (t->segmenter == &mt_segmenter_bpe && t->bpe.base_bytes) {
        out->byte_complete = true;
        for (int b = 0; b < 256; b++) out->byte_complete &= t->bpe.base[b] >= 0;
    }
    const char *why = NULL;
    bool unigram = t->segmenter == &mt_segmenter_unigram;
    if (unigram || t->segmenter == &mt_segmenter_greedy) {
        out->rule = unigram ? MT_TOK_BEST_PATH : MT_TOK_LONGEST;
        out->unknown_score = t->unigram.unknown_score;
        out->single = unigram && t->unigram.single;
        out->characters = unigram && !t->byte_level;
        bool all = !out->characters;
        for (int b = 0; b < 256 && all; b++) {
            uint8_t byte = (uint8_t)b;
            all = mt_walk_token(mt_walk_step(walk_of(t), walk_of(t)->root, byte)) >= 0;
        }
        out->byte_complete |= all;
        if (unigram && t->unigram.byte_pieces && t->byte_tokens) why = "texts can spell the names of its byte tokens";
        for (int32_t id = 0; id < t->vocab.size && unigram && t->unigram.single && !why; id++)
            if (t->vocab.kind[id] == MT_TOKEN_USER) why = "user-defined pieces are matched by score";
    } else if (t->segmenter != &mt_segmenter_bpe)
        why = "its segmenter is not byte-pair encoding, Unigram or longest match";
    else if (t->merge_only)
        why = "its symbols depend on their place in the word";
    else if (!out->byte_complete &&
             !t->bpe.base_bytes) /* bytes without a token: texts that have them have no spelling */
        why = "some characters cannot be encoded";
    for (size_t i = 0; i < t->norm_len; i++) {
        const mt_norm *s = &t->norm[i];
        if (s->kind == MT_NORM_PREPEND && s->content.n == 1 && s->content.p[0] == ' ')
            out->prefix_space = true;
        else if (s->kind == MT_NORM_SPM && !s->map && !s->squeeze)
            out->prefix_space |= s->prefix;
        else if (s->kind != MT_NORM_UNMARK)
            why = why ? why : "it normalizes the text";
    }
    for (size_t i = 0; i < t->split_len; i++) {
        const mt_split *s = &t->split[i];
        if (s->kind == MT_SPLIT_WORDS) continue;
        mt_str text;
        if (s->kind == MT_SPLIT_METASPACE && !s->split && !s->physical && (!out->splitters || !(s->first || s->always)))
            out->prefix_if_none |= s->first || s->always;
        else if (s->kind == MT_SPLIT_PREFIX && !out->splitters)
            out->prefix_if_none = true;
        else if (s->kind == MT_SPLIT_METASPACE || s->kind == MT_SPLIT_PREFIX)
            why = why ? why : "it puts a space before each part of the text";
        else if (!why)
            why = pattern_of(s, &text);
        out->splitters += !why && s->kind != MT_SPLIT_METASPACE && s->kind != MT_SPLIT_PREFIX;
    }
    if (out->splitters > MT_TOK_SPLITTERS && !why) why = "too many splitters follow one another";
    if (out->prefix_if_none && out->prefix_space) why = why ? why : "it puts a space before the text twice";
    out->prefix_space |= out->prefix_if_none;
    for (size_t i = 0; i < t->added_len && !why; i++)
        if (!t->added[i].special && (t->added[i].lstrip || t->added[i].rstrip || t->added[i].single_word))
            why = "an added token depends on what stands around it";
    out->unsupported = why;
}

/* The text of a negative look-ahead for "no match begins here": a repetition at its very end need match but once. */
static mt_str shortest(mt_str p) {
    int depth = 0;
    for (size_t i = 0; i < p.n; i++) {
        if (p.p[i] == '\\')
            i++;
        else if (p.p[i] == '[')
            depth++; /* a bracket in a class at worst keeps the repetition */
        else if (p.p[i] == ']')
            depth--;
        else if (p.p[i] == '|' && depth == 0)
            return p;
    }
    if (p.n > 2 && p.p[p.n - 1] == '+' && p.p[p.n - 2] != '+' && p.p[p.n - 2] != '*' && p.p[p.n - 2] != '?' &&
        p.p[p.n - 2] != '\\')
        p.n--;
    return p;
}

mt_status mt_tok_splitter(mt_tok *t, int32_t i, bool total, mt_regex **out, mt_error *err) {
    *out = NULL;
    int32_t k = 0;
    for (size_t step = 0; step < t->split_len; step++) {
        mt_str text;
        if (t->split[step].kind == MT_SPLIT_WORDS || pattern_of(&t->split[step], &text) || k++ != i) continue;
        if (i >= MT_TOK_SPLITTERS) break;
        if (!total && t->split[step].kind == MT_SPLIT_PATTERN) {
            *out = t->split[step].pattern.regex;
            return MT_OK;
        }
        if (!t->followed[i][total]) {
            mt_pattern made;
            mt_buf whole = {0};
            mt_str none = shortest(text);
            mt_status status = MT_OK;
            if (total)
                status = mt_buf_printf(&whole, err, "(?:%.*s)|(?:(?!%.*s)[\\s\\S])+", (int)text.n, (const char *)text.p,
                                       (int)none.n, (const char *)none.p);
            if (!status) status = mt_tok_regex(t, total ? (mt_str){whole.data, whole.len} : text, &made, err);
            mt_buf_free(&whole);
            if (status) return status;
            t->followed[i][total] = made.regex;
        }
        *out = t->followed[i][total];
        return MT_OK;
    }
    return mt_fail(err, MT_ERANGE, "the tokenizer has no splitter %d that can be followed", i);
}
