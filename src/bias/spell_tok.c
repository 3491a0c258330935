/* An mt_tok as a source of spellings. */
#include "spell.h"

static mt_str tok_bytes(void *self, int32_t id) {
    return mt_tok_bytes(self, id);
}
static mt_spell_kind tok_kind(void *self, int32_t id) {
    switch (mt_tok_kind(self, id)) {
    case MT_TOKEN_NORMAL:
        return MT_SPELL_NORMAL;
    case MT_TOKEN_BYTE:
        return MT_SPELL_BYTE;
    case MT_TOKEN_USER:
        return MT_SPELL_USER;
    default:
        return MT_SPELL_NO;
    }
}
static mt_status tok_reachable(void *self, int32_t id, bool *yes, mt_error *err) {
    return mt_tok_ask_reachable(self, id, yes, err);
}
static mt_status tok_pair_ok(void *self, int32_t left, int32_t right, bool *yes, mt_error *err) {
    return mt_tok_ask_pair_ok(self, left, right, yes, err);
}
static bool tok_matches(void *self, int32_t id, double *score) {
    return mt_tok_matches(self, id, score);
}
static mt_status tok_encode(void *self, const uint8_t *text, size_t n, mt_ids *out, mt_error *err) {
    mt_encode_options options = {.special_as_text = true};
    mt_encoding e = {.ids = *out};
    mt_status status = mt_tok_encode(self, text, n, &options, false, &e, err);
    *out = e.ids;
    return status;
}
static int32_t dfa_step(void *splitter, int32_t state, int symbol) {
    return mt_dfa_step(splitter, state, symbol);
}
static bool dfa_confirms(void *splitter, int32_t state, int *back) {
    return mt_dfa_confirms(splitter, state, back);
}
static bool dfa_pending(void *splitter, int32_t state, int back) {
    return mt_dfa_pending(splitter, state, back);
}

/* Added tokens are found leftmost-longest over the text. The text of a special token is ordinary text to us, but the
 * tokenizer still steps over it, so another added token that overlaps it would not be cut out; and the spelling
 * automaton knows added tokens by their bytes. Refuses vocabularies where that could matter. */
static mt_status check_user(mt_tok *t, int32_t id, const mt_ids *specials, mt_error *err) {
    char shown[60], other[60];
    mt_str user = mt_tok_bytes(t, id);
    if (!mt_str_eq(user, mt_tok_piece(t, id)))
        return mt_fail(err, MT_EUNKNOWN, "no exact byte model: added token %d \"%s\" is spelt in another alphabet", id,
                       mt_str_show(mt_tok_piece(t, id), shown, sizeof shown));
    for (size_t i = 0; i < specials->len; i++) {
        mt_str special = mt_tok_bytes(t, specials->data[i]);
        for (size_t at = 0; at < special.n; at++) {
            size_t rest = special.n - at, n = rest < user.n ? rest : user.n;
            if ((at == 0 && user.n > special.n) || memcmp(special.p + at, user.p, n) != 0) continue;
            return mt_fail(
                err, MT_EUNKNOWN, "no exact byte model: added token %d \"%s\" overlaps special token %d \"%s\"", id,
                mt_str_show(user, shown, sizeof shown), specials->data[i], mt_str_show(special, other, sizeof other));
        }
    }
    return MT_OK;
}
static mt_status check_added(mt_tok *t, mt_error *err) {
    mt_ids specials = {0};
    mt_status status = MT_OK;
    for (int32_t k = 0; k < mt_tok_size(t); k++)
        if (mt_tok_kind(t, k) == MT_TOKEN_SPECIAL) MT_TRY_GOTO(mt_ids_add(&specials, k, err), done);
    for (int32_t u = 0; u < mt_tok_size(t); u++)
        if (mt_tok_kind(t, u) == MT_TOKEN_USER) MT_TRY_GOTO(check_user(t, u, &specials, err), done);
done:
    mt_ids_free(&specials);
    return status;
}

mt_status mt_spell_source_of(mt_tok *t, mt_target target, mt_spell_source *out, mt_error *err) {
    mt_tok_traits traits = {0};
    mt_tok_traits_get(t, &traits);
    *out = (mt_spell_source){.self = t,
                             .size = mt_tok_size(t),
                             .bytes = tok_bytes,
                             .kind = tok_kind,
                             .reachable = tok_reachable,
                             .pair_ok = tok_pair_ok,
                             .encode = tok_encode,
                             .matches = tok_matches,
                             .unknown_score = traits.unknown_score,
                             .single = traits.single,
                             .characters = traits.characters,
                             .ignore_merges = traits.ignore_merges,
                             .byte_fallback = traits.byte_fallback,
                             .prefix_space = traits.prefix_space,
                             .prefix_if_none = traits.prefix_if_none};
    if (target == MT_TARGET_ALL) return MT_OK;
    static const enum mt_spell_rule rules[] = {
        [MT_TOK_MERGES] = MT_SPELL_PAIRS, [MT_TOK_BEST_PATH] = MT_SPELL_BEST_PATH, [MT_TOK_LONGEST] = MT_SPELL_LONGEST};
    out->rule = rules[traits.rule];
    MT_TRY(check_added(t, err));
    if (traits.unsupported) return mt_fail(err, MT_EUNKNOWN, "no exact byte model: %s", traits.unsupported);
    for (int32_t i = 0; i < traits.splitters; i++) {
        const char *gap = "cannot be followed byte by byte";
        for (int total = 0; total < 2 && gap; total++) { /* where it leaves gaps, those are pieces too */
            mt_regex *regex;
            MT_TRY(mt_tok_splitter(t, i, total, &regex, err));
            mt_dfa *d = mt_regex_dfa(regex);
            if (!d) continue;
            out->splitter[i] = (struct mt_spell_splitter){.self = d,
                                                          .start = mt_dfa_start(d),
                                                          .step = dfa_step,
                                                          .confirms = dfa_confirms,
                                                          .pending = dfa_pending};
            if (out->splitter[i].start < 0) return mt_nomem(err, 0, "a splitting expression's automaton");
            MT_TRY(mt_spell_gaps(&out->splitter[i], &gap, err));
        }
        if (gap)
            return mt_fail(err, MT_EUNKNOWN, "no exact byte model: splitting expression %d of %d %s", i + 1,
                           traits.splitters, gap);
    }
    out->levels = traits.splitters;
    return MT_OK;
}
