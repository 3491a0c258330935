/* Choices of segmenters: a matcher over the tokenizer's vocabulary, and a segmenter that hands words to the chosen one
 * and emits what it gives.
 *
 * What is drawn for a word depends on the seed and on the word's place in the text alone: not on the words before it,
 * so that a text that comes in pieces is segmented like the whole. */
#include "choose.h"

#include <math.h>

#include "tok.h"

/* ---- the matcher ---- */

static bool spells_bytes(const mt_tok *t) {
    return t->byte_fallback && t->byte_tokens;
}

/* Symbols are characters unless the vocabulary spells bytes. */
static bool by_characters(const mt_tok *t) {
    return !t->byte_level && !(t->segmenter == &mt_segmenter_bpe && t->bpe.base_bytes) &&
           t->segmenter != &mt_segmenter_greedy && !(t->segmenter == &mt_segmenter_characters && !t->code_points);
}

void mt_tok_free_matcher(mt_tok *t) {
    if (t->matcher) mt_matcher_free(t->matcher);
    mt_free(t->matcher);
    t->matcher = NULL;
}

static mt_status open_wordpiece(mt_tok *t, mt_matcher *m, mt_error *err) {
    const mt_vocab *v = &t->vocab;
    MT_TRY(mt_matcher_begin(m, t->unk, !t->byte_level, err));
    m->placed = true;
    for (int32_t id = 0; id < v->size; id++) {
        mt_str s[2];
        mt_wordpiece_spellings(t, id, s);
        for (int inside = 0; inside < 2; inside++)
            if (s[inside].n) MT_TRY(mt_matcher_add(m, s[inside], id, inside, err));
    }
    return MT_OK;
}

mt_status mt_tok_matcher(mt_tok *t, const mt_matcher **out, mt_error *err) {
    *out = t->matcher;
    if (t->matcher) return MT_OK;
    if (t->merge_only)
        return mt_fail(err, MT_EUNKNOWN, "the pieces of this %s vocabulary depend on their place in the word",
                       t->model_name);
    if (t->segmenter == &mt_segmenter_characters)
        return mt_fail(err, MT_EUNKNOWN, "a tokenizer of bytes or code points has no vocabulary to choose from");
    mt_matcher *m = mt_calloc(1, sizeof *m);
    if (!m) return mt_nomem(err, sizeof *m, "a matcher");
    mt_status status =
        t->segmenter == &mt_segmenter_wordpiece
            ? open_wordpiece(t, m, err)
            : mt_matcher_open(m, &t->vocab, spells_bytes(t) ? MT_BY_BYTES : t->unk, by_characters(t), err);
    if (status != MT_OK) {
        mt_matcher_free(m);
        mt_free(m);
        return status;
    }
    *out = t->matcher = m;
    return MT_OK;
}

mt_status mt_tok_lattice_word(mt_tok *t, const double *weight, const uint8_t *p, size_t n, uint32_t at, mt_lattice *out,
                              mt_error *err) {
    const mt_matcher *m;
    bool unigram = t->segmenter == &mt_segmenter_unigram, own = !weight && t->vocab.score;
    MT_TRY(mt_tok_matcher(t, &m, err));
    if (out->nodes < at + (uint32_t)n + 1) out->nodes = at + (uint32_t)n + 1;
    double unknown = unigram ? t->unigram.unknown_score : 0;
    for (size_t i = 0, next = 0; i < n; i++) {
        if (m->characters && i < next) continue; /* inside a character nothing starts */
        const mt_trie *trie = mt_matcher_from(m, i);
        bool single = false;
        uint32_t node = 0;
        next = i + mt_matcher_symbol(m, p + i, n - i);
        for (size_t j = i; j < n && (node = mt_trie_step(trie, node, p[j])); j++) {
            int32_t id = trie->token[node];
            if (id < 0) continue;
            single |= j + 1 == next;
            double w = !own ? weight ? weight[id] : 0 : unigram ? mt_unigram_score(t, id) : t->vocab.score[id];
            MT_TRY(mt_lattice_add(out, at + (uint32_t)i, at + (uint32_t)j + 1, id, w, err));
        }
        if (single || m->placed) continue;
        if (spells_bytes(t)) {
            for (size_t j = i; j < next; j++) {
                int32_t id = t->byte_token[p[j]];
                double score = unigram ? unknown : own ? t->vocab.score[id] : weight ? weight[id] : 0;
                MT_TRY(mt_lattice_add(out, at + (uint32_t)j, at + (uint32_t)j + 1, id, j == i ? score : 0, err));
            }
        } else if (t->unk >= 0) {
            MT_TRY(mt_lattice_add(out, at + (uint32_t)i, at + (uint32_t)next, t->unk, unknown, err));
        }
    }
    return MT_OK;
}

/* ---- emitting ---- */

/* [from, to) of the word; a stretch that nothing covers becomes byte tokens, or joins the unknown one before it. */
static mt_status emit(mt_tok *t, int32_t id, const uint8_t *p, size_t from, size_t to, mt_error *err) {
    mt_ids *ids = &t->out->ids;
    if (id == MT_BY_BYTES) {
        for (; from < to; from++) MT_TRY(mt_emit(t, t->byte_token[p[from]], (uint32_t)from, (uint32_t)from + 1, err));
        return MT_OK;
    }
    bool fuse = t->segmenter == &mt_segmenter_unigram ? t->unigram.fuse : t->fuse_unk;
    if (fuse && id == t->unk && ids->len > t->word_base && ids->data[ids->len - 1] == id) {
        ids->len--;
        from = t->unknown_from;
    } else if (id == t->unk) {
        t->unknown_from = from;
    }
    return mt_emit(t, id, (uint32_t)from, (uint32_t)to, err);
}

static mt_status emit_segments(mt_tok *t, const mt_segments *s, const uint8_t *p, size_t n, bool placed,
                               mt_error *err) {
    for (size_t i = 0, begin = 0; i < s->ids.len; i++) {
        if (placed && s->ids.data[i] == t->unk) { /* WordPiece: the word does not work out */
            t->out->ids.len = t->word_base;
            return mt_emit(t, t->unk, 0, (uint32_t)n, err);
        }
        size_t end = (size_t)s->ends.data[i];
        MT_TRY(emit(t, s->ids.data[i], p, begin, end, err));
        begin = end;
    }
    return MT_OK;
}

/* ---- drawing ---- */

static mt_status sample_word(mt_tok *t, const mt_choice *c, const uint8_t *p, size_t n, mt_rng *rng, mt_error *err) {
    mt_lattice l = {.nodes = (uint32_t)n + 1};
    mt_paths paths = {0};
    mt_status status = mt_tok_lattice_word(t, NULL, p, n, 0, &l, err);
    double theta = c->kind == MT_CHOICE_UNIFORM ? 0 : c->p;
    size_t chosen = 0;
    uint64_t count;
    double log_count;
    if (status == MT_OK) status = mt_lattice_finish(&l, err);
    if (status == MT_OK) status = mt_lattice_count(&l, &count, &log_count, err);
    if (status == MT_OK && !count) {
        status = t->unk < 0 ? mt_fail(err, MT_EMISSING, "a word has no segmentation and there is no unknown token")
                            : mt_emit(t, t->unk, 0, (uint32_t)n, err);
        goto done;
    }
    if (status == MT_OK && c->kind == MT_CHOICE_SAMPLE && c->best) {
        status = mt_lattice_nbest(&l, c->best, 0, &paths, err);
        double sum = 0, most = paths.len ? theta * paths.path[0].score : 0;
        for (size_t i = 0; i < paths.len; i++)
            if (theta * paths.path[i].score > most) most = theta * paths.path[i].score;
        for (size_t i = 0; i < paths.len; i++) sum += exp(theta * paths.path[i].score - most);
        double left = mt_rng_double(rng) * sum;
        for (; chosen + 1 < paths.len; chosen++)
            if ((left -= exp(theta * paths.path[chosen].score - most)) < 0) break;
    } else if (status == MT_OK) {
        status = mt_lattice_sample(&l, theta, 1, rng, &paths, err);
    }
    if (status != MT_OK) goto done;
    const struct mt_path *path = &paths.path[chosen];
    for (size_t i = 0; i < path->len; i++) {
        const mt_edge *e = &l.edge[paths.edge.data[path->first + i]];
        MT_TRY_GOTO(emit(t, e->token, p, e->from, e->to, err), done);
    }
done:
    mt_paths_free(&paths);
    mt_lattice_free(&l);
    return status;
}

/* Pieces that may be formed but are not given out (SentencePiece) are taken apart again. */
static mt_status emit_merged(mt_tok *t, int32_t id, const uint8_t *p, size_t from, size_t to, mt_error *err) {
    mt_ids todo = {0};
    mt_status status = mt_ids_add(&todo, id, err);
    while (status == MT_OK && todo.len) {
        id = todo.data[--todo.len];
        bool known = false;
        if (t->vocab.kind[id] == MT_TOKEN_UNUSED) MT_TRY_GOTO(mt_bpe_reachable(&t->bpe, id, &known, err), done);
        if (known && t->bpe.tok[id].left >= 0) {
            MT_TRY_GOTO(mt_ids_add(&todo, t->bpe.tok[id].right, err), done);
            MT_TRY_GOTO(mt_ids_add(&todo, t->bpe.tok[id].left, err), done);
            continue;
        }
        size_t end = todo.len ? from + t->vocab.bytes[id].n : to;
        MT_TRY_GOTO(emit(t, id, p, from, end < to ? end : to, err), done);
        from = end;
    }
done:
    mt_ids_free(&todo);
    return status;
}

static mt_status drop_merges(mt_tok *t, const mt_choice *c, const uint8_t *p, size_t n, mt_rng *rng, mt_error *err) {
    static const mt_dropout kinds[] = {MT_DROPOUT_STEP_ALL, MT_DROPOUT_STEP_ONE, MT_DROPOUT_REQUEUE,
                                       MT_DROPOUT_DISCARD};
    mt_ids ids = {0}, widths = {0};
    mt_status status = mt_bpe_symbols(t, p, n, &ids, &widths, err);
    size_t count = ids.len, at = 0;
    if (status == MT_OK)
        status = mt_bpe_merge_dropout(&t->bpe, kinds[c->kind - MT_CHOICE_DROPOUT_STEP_ALL], c->p, rng, ids.data,
                                      (uint32_t *)widths.data, &count, err);
    for (size_t i = 0; status == MT_OK && i < count; i++) {
        size_t end = at + (uint32_t)widths.data[i];
        status = t->has_unused ? emit_merged(t, ids.data[i], p, at, end, err)
                               : mt_emit(t, ids.data[i], (uint32_t)at, (uint32_t)end, err);
        at = end;
    }
    mt_ids_free(&ids);
    mt_ids_free(&widths);
    return status;
}

/* ---- symbol by symbol ---- */

static int32_t byte_id(const mt_tok *t, uint8_t b) {
    if (spells_bytes(t)) return t->byte_token[b];
    return by_characters(t) ? -1 : mt_vocab_find_bytes(&t->vocab, &b, 1);
}

static mt_status symbols(mt_tok *t, bool bytes, const uint8_t *p, size_t n, mt_error *err) {
    const mt_matcher *m;
    mt_status status = mt_tok_matcher(t, &m, err);
    mt_segments s = {0};
    for (size_t at = 0, k; status == MT_OK && at < n; at += k) {
        uint32_t c, node = 0;
        k = bytes ? 1 : (size_t)mt_utf8_decode(p + at, n - at, &c);
        if (!k) k = 1;
        int32_t id = bytes ? byte_id(t, p[at]) : -1;
        if (!bytes) {
            const mt_trie *trie = mt_matcher_from(m, at);
            size_t i = 0;
            for (; i < k && (node = mt_trie_step(trie, node, p[at + i])); i++);
            if (i == k) id = trie->token[node];
            if (id < 0 && k > 1 && !m->characters) { /* a byte vocabulary that has no token for it: its bytes */
                for (i = 0; i + 1 < k && status == MT_OK; i++) {
                    id = byte_id(t, p[at + i]);
                    status = id < 0 ? mt_segment_missing(p, at + i, 1, err) : mt_segments_add(&s, id, at + i + 1, err);
                }
                if (status == MT_OK) id = byte_id(t, p[at + i]);
            }
            if (id < 0) id = m->unknown;
        }
        if (status == MT_OK) status = id < 0 ? mt_segment_missing(p, at, k, err) : mt_segments_add(&s, id, at + k, err);
    }
    if (status == MT_OK) status = emit_segments(t, &s, p, n, m->placed && !bytes, err);
    mt_segments_free(&s);
    return status;
}

static mt_status digits(mt_tok *t, const mt_huffman *h, const uint8_t *p, size_t n, mt_error *err) {
    mt_ids code = {0};
    mt_status status = mt_huffman_encode(h, p, n, &code, err);
    for (size_t i = 0; status == MT_OK && i < code.len; i++)
        status = mt_emit(t, code.data[i], 0, i + 1 == code.len ? (uint32_t)n : 0, err); /* the last one has the span */
    mt_ids_free(&code);
    return status;
}

/* ---- the segmenter in the pipeline ---- */

static mt_status choose(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    const mt_choice *c = t->choice;
    const mt_matcher *m;
    mt_rng rng;
    uint32_t place = mt_view_origin(&t->word, 0);
    mt_rng_seed(&rng,
                mt_mix64(c->seed) ^ mt_mix64(~(c->position + t->choice_base + (place == MT_NO_ORIGIN ? 0 : place))));
    switch (c->kind) {
    case MT_CHOICE_OWN:
        return t->segmenter->segment(t, p, n, err);
    case MT_CHOICE_DROPOUT_STEP_ALL:
    case MT_CHOICE_DROPOUT_STEP_ONE:
    case MT_CHOICE_DROPOUT_REQUEUE:
    case MT_CHOICE_DROPOUT_DISCARD:
        return drop_merges(t, c, p, n, &rng, err);
    case MT_CHOICE_SAMPLE:
    case MT_CHOICE_UNIFORM:
        return sample_word(t, c, p, n, &rng, err);
    case MT_CHOICE_CHARACTERS:
    case MT_CHOICE_BYTES:
        return symbols(t, c->kind == MT_CHOICE_BYTES, p, n, err);
    case MT_CHOICE_HUFFMAN:
        return digits(t, c->huffman, p, n, err);
    default:
        break;
    }
    mt_segments s = {0};
    mt_status status = mt_tok_matcher(t, &m, err);
    if (status != MT_OK) return status;
    switch (c->kind) {
    case MT_CHOICE_LONGEST_PREFIX:
        status = mt_segment_leftmost_longest(m, p, n, &s, err);
        break;
    case MT_CHOICE_LONGEST_SUFFIX:
        status = mt_segment_rightmost_longest(m, p, n, &s, err);
        break;
    case MT_CHOICE_LONGEST_DROPOUT:
        status = mt_segment_longest_dropout(m, p, n, c->p, &rng, &s, err);
        break;
    case MT_CHOICE_FEWEST:
        status = mt_segment_fewest(m, p, n, c->random_ties ? &rng : NULL, &s, err);
        break;
    default:
        status = mt_segment_longest_first(m, p, n, &s, err);
        break;
    }
    if (status == MT_OK) status = emit_segments(t, &s, p, n, m->placed, err);
    mt_segments_free(&s);
    return status;
}

static mt_status segment(mt_tok *t, const uint8_t *p, size_t n, mt_error *err) {
    const mt_segmenter *chosen = t->segmenter;
    t->segmenter = t->own; /* what is asked about the tokenizer is asked about its own */
    mt_status status = choose(t, p, n, err);
    t->segmenter = chosen;
    return status;
}

static const mt_segmenter chosen = {"chosen", false, segment, NULL};

mt_status mt_choice_check(mt_tok *t, const mt_choice *c, mt_error *err) {
    const mt_matcher *m;
    switch (c->kind) {
    case MT_CHOICE_OWN:
        return MT_OK;
    case MT_CHOICE_DROPOUT_STEP_ALL:
    case MT_CHOICE_DROPOUT_STEP_ONE:
    case MT_CHOICE_DROPOUT_REQUEUE:
    case MT_CHOICE_DROPOUT_DISCARD:
        if (t->segmenter != &mt_segmenter_bpe)
            return mt_fail(err, MT_EUNKNOWN, "merges of a %s tokenizer cannot be dropped: it needs byte-pair encoding",
                           t->model_name);
        break;
    case MT_CHOICE_BYTES:
        for (int b = 0; b < 256; b++)
            if (byte_id(t, (uint8_t)b) < 0)
                return mt_fail(err, MT_EUNKNOWN, "this %s vocabulary has no token for byte 0x%02x", t->model_name, b);
        return MT_OK;
    case MT_CHOICE_HUFFMAN:
        return c->huffman ? MT_OK : mt_fail(err, MT_ESTATE, "no Huffman code");
    case MT_CHOICE_SAMPLE:
        if (t->segmenter != &mt_segmenter_unigram)
            return mt_fail(err, MT_EUNKNOWN,
                           "sampling by scores needs a Unigram vocabulary, this is %s (sampling uniformly needs none)",
                           t->model_name);
        if (!isfinite(c->p)) return mt_fail(err, MT_ERANGE, "scores cannot be multiplied with %g", c->p);
        return mt_tok_matcher(t, &m, err);
    case MT_CHOICE_LONGEST_PREFIX:
    case MT_CHOICE_LONGEST_SUFFIX:
    case MT_CHOICE_LONGEST_DROPOUT:
    case MT_CHOICE_FEWEST:
    case MT_CHOICE_LONGEST_FIRST:
    case MT_CHOICE_UNIFORM:
    case MT_CHOICE_CHARACTERS:
        MT_TRY(mt_tok_matcher(t, &m, err));
        break;
    default:
        return mt_fail(err, MT_EUNKNOWN, "unknown segmenter %d: known are 0..%d", (int)c->kind, (int)MT_CHOICE_HUFFMAN);
    }
    bool drops = c->kind == MT_CHOICE_LONGEST_DROPOUT || t->segmenter == &mt_segmenter_bpe;
    if (drops && !(c->p >= 0 && c->p <= 1))
        return mt_fail(err, MT_ERANGE, "a dropout probability of %g, expected 0 to 1", c->p);
    return MT_OK;
}

const mt_chooser mt_choices = {mt_choice_check, &chosen};
