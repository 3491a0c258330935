/* The pipeline with a listener in the segmenter's place: normalizer and splitter run as they do for encoding, so that
 * what a trainer counts is what the trained tokenizer will see. The words come out in the definition's own spelling,
 * which the pipeline takes off (tok.h): "Ġthe", "▁the". */
#include "words.h"
#include "tok.h"

typedef struct listener {
    mt_segmenter segmenter;  /* first: the tokenizer points to it */
    const mt_segmenter *own; /* the tokenizer's */
    mt_word_seen word;       /* either: spelled words */
    mt_part_seen part;       /* or: raw words and added tokens */
    void *user;
    size_t reported; /* of the added tokens that were emitted */
    mt_buf spelled;
} listener;

static mt_status report_added(listener *l, const mt_ids *ids, mt_error *err) {
    for (; l->part && l->reported < ids->len; l->reported++)
        MT_TRY(l->part(l->user, NULL, 0, ids->data[l->reported], err));
    return MT_OK;
}

static mt_status hear(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    listener *l = (listener *)t->segmenter;
    mt_buf *b = &l->spelled;
    if (l->part) {
        MT_TRY(report_added(l, &t->out->ids, err));
        t->segmenter = l->own; /* the listener may ask what the tokenizer is */
        mt_status status = l->part(l->user, p, n, -1, err);
        t->segmenter = &l->segmenter;
        return status;
    }
    b->len = 0;
    if (t->byte_level) {
        MT_TRY(mt_buf_reserve(b, 2 * n, err));
        for (size_t i = 0; i < n; i++) b->len += (size_t)mt_byte_to_char(p[i], b->data + b->len);
        return l->word(l->user, b->data, b->len, err);
    }
    if (!t->mark.n || !memchr(p, ' ', n)) return l->word(l->user, p, n, err);
    for (size_t i = 0; i < n; i++)
        MT_TRY(p[i] == ' ' ? mt_buf_add(b, t->mark.p, t->mark.n, err) : mt_buf_byte(b, p[i], err));
    return l->word(l->user, b->data, b->len, err);
}

static mt_status listen(mt_tok *t, listener *l, const uint8_t *text, size_t n, bool special_as_text, mt_error *err) {
    const mt_segmenter *segmenter = t->segmenter;
    mt_memo *memo = t->memo;
    size_t steps = t->split_len;
    /* cuts that only save work for this vocabulary are none of the splitter's */
    if (steps && t->split[steps - 1].kind == MT_SPLIT_WORDS) t->split_len--;
    l->own = segmenter;
    t->segmenter = &l->segmenter;
    t->memo = NULL;
    mt_encoding e = {0};
    mt_encode_options options = {false, special_as_text};
    mt_status status = mt_tok_encode(t, text, n, &options, false, &e, err);
    if (status == MT_OK) status = report_added(l, &e.ids, err);
    mt_encoding_free(&e);
    t->segmenter = segmenter;
    t->memo = memo;
    t->split_len = steps;
    mt_buf_free(&l->spelled);
    return status;
}

mt_status mt_tok_words(mt_tok *t, const uint8_t *text, size_t n, mt_word_seen seen, void *user, mt_error *err) {
    listener l = {{"words", false, hear, NULL}, NULL, seen, NULL, user, 0, {0}};
    return listen(t, &l, text, n, false, err);
}

mt_status mt_tok_parts(mt_tok *t, const uint8_t *text, size_t n, bool special_as_text, mt_part_seen seen, void *user,
                       mt_error *err) {
    listener l = {{"words", false, hear, NULL}, NULL, NULL, seen, user, 0, {0}};
    return listen(t, &l, text, n, special_as_text, err);
}

/* ---- a tokenizer's vocabulary in other segmenters' hands ---- */

static bool spells_bytes(const mt_tok *t) {
    return t->byte_fallback && t->byte_tokens;
}

/* Symbols are characters unless the vocabulary spells bytes. */
static bool by_characters(const mt_tok *t) {
    return !t->byte_level && !(t->segmenter == &mt_segmenter_bpe && t->bpe.base_bytes) &&
           t->segmenter != &mt_segmenter_greedy && !(t->segmenter == &mt_segmenter_characters && !t->code_points);
}

mt_status mt_tok_matcher(mt_tok *t, mt_matcher *out, mt_error *err) {
    if (t->merge_only || t->segmenter == &mt_segmenter_wordpiece)
        return mt_fail(err, MT_EUNKNOWN, "the pieces of this %s vocabulary depend on their place in the word",
                       t->model_name);
    if (t->segmenter == &mt_segmenter_characters)
        return mt_fail(err, MT_EUNKNOWN, "a tokenizer of bytes or code points has no vocabulary to choose from");
    return mt_matcher_open(out, &t->vocab, spells_bytes(t) ? MT_BY_BYTES : t->unk, by_characters(t), err);
}

mt_status mt_tok_lattice_word(mt_tok *t, const mt_matcher *m, const double *weight, const uint8_t *p, size_t n,
                              uint32_t at, mt_lattice *out, mt_error *err) {
    bool pieces = t->segmenter == &mt_segmenter_wordpiece;
    if (!weight) weight = t->vocab.score;
    if (out->nodes < at + (uint32_t)n + 1) out->nodes = at + (uint32_t)n + 1;
    double unknown = t->segmenter == &mt_segmenter_unigram ? t->unigram.unknown_score : 0;
    for (size_t i = 0, next = 0; i < n; i++) {
        bool characters = pieces || m->characters;
        if (characters && i < next) continue; /* inside a character nothing starts */
        uint32_t c;
        int k = mt_utf8_decode(p + i, n - i, &c);
        size_t symbol = characters && k ? (size_t)k : 1;
        const mt_trie *trie = !pieces ? &m->forward : i ? &t->wordpiece.inside : &t->wordpiece.start;
        bool single = false;
        uint32_t node = 0;
        next = i + symbol;
        for (size_t j = i; j < n && trie->edge && (node = mt_trie_step(trie, node, p[j])); j++) {
            int32_t id = trie->token[node];
            if (id < 0) continue;
            single |= j + 1 == next;
            MT_TRY(mt_lattice_add(out, at + (uint32_t)i, at + (uint32_t)j + 1, id, weight ? weight[id] : 0, err));
        }
        if (single || pieces) continue;
        if (spells_bytes(t)) {
            for (size_t j = i; j < next; j++) {
                int32_t id = t->byte_token[p[j]];
                double score = weight && t->segmenter != &mt_segmenter_unigram ? weight[id] : unknown;
                MT_TRY(mt_lattice_add(out, at + (uint32_t)j, at + (uint32_t)j + 1, id, j == i ? score : 0, err));
            }
        } else if (t->unk >= 0) {
            MT_TRY(mt_lattice_add(out, at + (uint32_t)i, at + (uint32_t)next, t->unk, unknown, err));
        }
    }
    return MT_OK;
}

mt_status mt_tok_spell_out(const mt_tok *t, const mt_segments *s, const uint8_t *p, mt_ids *out, mt_error *err) {
    for (size_t i = 0, begin = 0; i < s->ids.len; i++) {
        size_t end = (size_t)s->ends.data[i];
        if (s->ids.data[i] != MT_BY_BYTES) MT_TRY(mt_ids_add(out, s->ids.data[i], err));
        for (; s->ids.data[i] == MT_BY_BYTES && begin < end; begin++)
            MT_TRY(mt_ids_add(out, t->byte_token[p[begin]], err));
        begin = end;
    }
    return MT_OK;
}

mt_status mt_tok_dropout(mt_tok *t, mt_dropout kind, double probability, const uint8_t *p, size_t n, mt_rng *rng,
                         mt_ids *out, mt_error *err) {
    if (t->segmenter != &mt_segmenter_bpe || t->merge_only)
        return mt_fail(err, MT_EUNKNOWN, "merges of a %s tokenizer cannot be dropped: it needs byte-pair encoding%s",
                       t->model_name, t->merge_only ? " whose symbols do not depend on their place in the word" : "");
    mt_ids ids = {0}, widths = {0};
    mt_status status = MT_OK;
    for (size_t at = 0, k; at < n; at += k) {
        int32_t id = mt_bpe_symbol(&t->bpe, p + at, n - at, &k);
        if (id >= 0) {
            MT_TRY_GOTO(mt_ids_add(&ids, id, err), done);
            MT_TRY_GOTO(mt_ids_add(&widths, (int32_t)k, err), done);
            continue;
        }
        uint32_t c;
        int length = mt_utf8_decode(p + at, n - at, &c);
        k = t->bpe.base_bytes || !length ? 1 : (size_t)length;
        for (size_t j = 0; j < k; j++) {
            id = spells_bytes(t) ? t->byte_token[p[at + j]] : j ? -1 : t->unk;
            if (id < 0) continue;
            MT_TRY_GOTO(mt_ids_add(&ids, id, err), done);
            MT_TRY_GOTO(mt_ids_add(&widths, (int32_t)(spells_bytes(t) ? 1 : k), err), done);
        }
    }
    size_t count = ids.len;
    MT_TRY_GOTO(mt_bpe_merge_dropout(&t->bpe, kind, probability, rng, ids.data, (uint32_t *)widths.data, &count, err),
                done);
    for (size_t i = 0; i < count; i++) MT_TRY_GOTO(mt_ids_add(out, ids.data[i], err), done);
done:
    mt_ids_free(&ids);
    mt_ids_free(&widths);
    return status;
}
