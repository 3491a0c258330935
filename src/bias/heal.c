/* Token healing and alignment: the last tokens of the prompt are given up, and their bytes R are generated anew, so
 * that the prompt's end need not be a token boundary.
 *
 *   classic   one token must start with R
 *   general   also tokens that R starts with; R shrinks; behind R the model goes on freely
 *
 * What a path weighs: `keep` multiplies the model's probabilities and normalises once at the end, which is conditioning
 * on "the text from the cut on starts with R"; otherwise every step is normalised among the allowed tokens, which is
 * what sampling under a mask does, and does not converge to the exact answer however far one backs up. With all tokens
 * given up and weights kept the answer is the exact one of the target `all` (or of the model's own canonical target).
 *
 * Paths are followed by position in R, all contexts of one position in one tree pass. Token alignment (Athiwaratkun et
 * al.) is the same constraint for a sampler that follows one path; its masks per residual are kept. */
#include "spell.h"

#include <math.h>

typedef struct path {
    int32_t parent, token; /* context of the model, token to add */
    int32_t context;
    size_t at; /* bytes of R behind it */
    double weight;
} path;

typedef struct healing {
    mt_spell *spell;
    const mt_lm *lm;
    const mt_heal_options *options;
    const uint8_t *r;
    size_t n;
    path *paths;
    size_t count, cap;
    int32_t limit;
    mt_ids made;      /* contexts, parents first */
    double *heaviest; /* [n + 1]: of the paths that are as far as this or further */
    double mass[257], lost;
    double *row;
    mt_error *err;
} healing;

static mt_status make(healing *h, int32_t n, const int32_t *parent, const int32_t *token, int32_t *context) {
    MT_TRY(mt_ids_reserve(&h->made, (size_t)n, h->err));
    MT_TRY(h->lm->extend(h->lm->self, n, parent, token, context, h->err));
    for (int32_t i = 0; i < n; i++) h->made.data[h->made.len++] = context[i];
    return MT_OK;
}

static void note(healing *h, size_t at, double weight) {
    for (size_t i = at + 1; i-- > 0 && h->heaviest[i] < weight;) h->heaviest[i] = weight;
}

static mt_status add_path(healing *h, int32_t parent, size_t rank, size_t at, double weight) {
    if (!(weight > 0)) return MT_OK;
    note(h, at, weight);
    if (weight < h->options->epsilon * h->heaviest[at]) {
        h->lost += weight;
        return MT_OK;
    }
    if (h->count >= (size_t)h->limit)
        return mt_fail(h->err, MT_ELIMIT, "healing %zu bytes follows more than %d paths", h->n, h->limit);
    MT_TRY(mt_grow((void **)&h->paths, &h->cap, h->count + 1, sizeof *h->paths, h->err));
    h->paths[h->count++] = (path){parent, mt_spell_id(h->spell, rank), -1, at, weight};
    return MT_OK;
}

/* Reads the row of the path's context: what it may go on with. */
static mt_status branch(healing *h, path at) {
    const mt_spell *s = h->spell;
    size_t left = h->n - at.at, lo = 0, hi = mt_spell_count(s);
    bool free = left == 0, several = !h->options->classic;
    double allowed = 0, factor = at.weight;
    for (int pass = h->options->keep || free ? 1 : 0; pass < 2; pass++) {
        lo = 0;
        hi = mt_spell_count(s);
        if (pass && !h->options->keep && !free) {
            if (!(allowed > 0)) return MT_OK; /* a dead end */
            factor /= allowed;
        }
        for (size_t d = 0; d < left && lo < hi; d++) {
            mt_spell_narrow(s, &lo, &hi, d, h->r[at.at + d]);
            for (size_t i = lo; d + 1 < left && several && i < hi && mt_spell_text(s, i).n == d + 1; i++) {
                double p = exp(h->row[mt_spell_id(s, i)]);
                if (pass)
                    MT_TRY(add_path(h, at.context, i, at.at + d + 1, factor * p));
                else
                    allowed += p;
            }
        }
        for (size_t i = lo; i < hi; i++) {
            mt_str t = mt_spell_text(s, i);
            double p = exp(h->row[mt_spell_id(s, i)]);
            if (!pass)
                allowed += p;
            else if (t.n > left) {
                h->mass[t.p[left]] += factor * p;
                note(h, h->n, factor * p);
            } else
                MT_TRY(add_path(h, at.context, i, h->n, factor * p));
        }
    }
    if (free && h->lm->end >= 0) h->mass[256] += factor * exp(h->row[h->lm->end]);
    return MT_OK;
}

/* Contexts with the same future at the same place become one. */
static void merge(healing *h, size_t from, size_t to) {
    for (size_t i = from; i < to; i++)
        for (size_t j = i + 1; j < to && h->lm->state; j++)
            if (h->paths[i].at == h->paths[j].at && h->paths[j].weight > 0 &&
                h->lm->state(h->lm->self, h->paths[i].context) == h->lm->state(h->lm->self, h->paths[j].context)) {
                h->paths[i].weight += h->paths[j].weight;
                h->paths[j].weight = 0;
            }
}

static int by_place(const path *a, const path *b) {
    return a->at < b->at ? -1 : a->at > b->at;
}

/* Position after position: a path's successors lie further on. */
static mt_status follow(healing *h) {
    mt_ids batch = {0};
    mt_status status = MT_OK;
    for (size_t done = 0; done < h->count;) {
        size_t first = done; /* the paths at the lowest position, brought to the front */
        for (size_t i = done; i < h->count; i++)
            if (by_place(&h->paths[i], &h->paths[first]) < 0) first = i;
        size_t place = h->paths[first].at, end = done;
        for (size_t i = done; i < h->count; i++)
            if (h->paths[i].at == place) {
                path swap = h->paths[i];
                h->paths[i] = h->paths[end];
                h->paths[end++] = swap;
            }
        size_t n = end - done;
        batch.len = 0;
        MT_TRY_GOTO(mt_ids_reserve(&batch, 3 * n, h->err), out);
        int32_t *parent = batch.data, *token = parent + n, *context = token + n;
        for (size_t i = 0; i < n; i++) {
            parent[i] = h->paths[done + i].parent;
            token[i] = h->paths[done + i].token;
        }
        MT_TRY_GOTO(make(h, (int32_t)n, parent, token, context), out);
        for (size_t i = 0; i < n; i++) h->paths[done + i].context = context[i];
        merge(h, done, end);
        for (size_t i = done; i < end; i++) {
            path at = h->paths[i];
            if (!(at.weight > 0)) continue;
            MT_TRY_GOTO(h->lm->next(h->lm->self, at.context, h->row, h->err), out);
            MT_TRY_GOTO(branch(h, at), out);
        }
        done = end;
    }
out:
    mt_ids_free(&batch);
    return status;
}

static mt_status heal(healing *h, mt_buf *text, const mt_ids *ids, mt_healed *out) {
    mt_status status = MT_OK;
    size_t kept = ids->len, length = 0;
    int32_t want = h->options->tokens < 0 ? INT32_MAX : h->options->tokens;
    while (kept > 0 && out->dropped < want) {
        kept--;
        out->dropped++;
    }
    for (size_t i = 0; i < kept; i++)
        length += mt_spell_text(h->spell, (size_t)mt_spell_rank(h->spell, ids->data[i])).n;
    h->r = text->data + length;
    h->n = text->len - length;
    h->heaviest = mt_calloc(h->n + 1, sizeof *h->heaviest);
    if (!h->heaviest) return mt_nomem(h->err, (h->n + 1) * sizeof *h->heaviest, "the weights of paths");
    /* The contexts of the kept tokens; only the last one's row matters. */
    mt_ids list = {0};
    path start = {.at = 0, .weight = 1, .context = 0};
    if (kept) {
        MT_TRY_GOTO(mt_ids_reserve(&list, 2 * kept, h->err), done);
        for (size_t i = 0; i < kept; i++) list.data[i] = i ? MT_IN_BATCH((int32_t)i - 1) : 0;
        MT_TRY_GOTO(make(h, (int32_t)kept, list.data, ids->data, list.data + kept), done);
        start.context = list.data[2 * kept - 1];
    }
    MT_TRY_GOTO(h->lm->next(h->lm->self, start.context, h->row, h->err), done);
    MT_TRY_GOTO(branch(h, start), done);
    MT_TRY_GOTO(follow(h), done);
done:
    mt_ids_free(&list);
    return status;
}

mt_status mt_heal_next_source(const mt_spell_source *source, const mt_lm *lm, const uint8_t *x, size_t n,
                              const mt_heal_options *options, mt_healed *out, mt_error *err) {
    mt_spell_source src = *source;
    src.free = true; /* healing knows no canonical sequences; a model that does gives the others no mass */
    healing h = {.lm = lm, .options = options, .limit = options->limit > 0 ? options->limit : 4096, .err = err};
    mt_buf text = {0};
    mt_ids ids = {0};
    mt_status status;
    *out = (mt_healed){0};
    MT_TRY_GOTO(mt_spell_new(&src, lm->vocab, &h.spell, err), done);
    h.row = mt_array((size_t)lm->vocab, sizeof *h.row);
    if (!h.row) {
        status = mt_nomem(err, (size_t)lm->vocab * sizeof *h.row, "a row of probabilities");
        goto done;
    }
    MT_TRY_GOTO(src.encode(src.self, x, n, &ids, err), done);
    for (size_t i = 0; i < ids.len; i++) {
        int32_t rank = mt_spell_rank(h.spell, ids.data[i]);
        if (rank < 0) {
            status =
                mt_fail(err, MT_ERANGE, "token %d of the prompt stands for no text that could be healed", ids.data[i]);
            goto done;
        }
        mt_str t = mt_spell_text(h.spell, (size_t)rank);
        MT_TRY_GOTO(mt_buf_add(&text, t.p, t.n, err), done);
    }
    MT_TRY_GOTO(heal(&h, &text, &ids, out), done);
    double sum = 0;
    for (int b = 0; b < 257; b++) sum += h.mass[b];
    for (int b = 0; b < 257; b++) out->next[b] = h.mass[b] > 0 ? log(h.mass[b] / sum) : -INFINITY;
    out->dead = options->keep ? h.lost / (h.lost + sum) : sum < 1 ? 1 - sum : 0;
    out->contexts = (int32_t)h.made.len;
    if (!(sum > 0)) status = mt_fail(err, MT_ERANGE, "all paths of the healed prompt run into dead ends");
done:
    for (size_t i = h.made.len; i-- > 0;) lm->drop(lm->self, h.made.data[i]);
    mt_ids_free(&h.made);
    mt_ids_free(&ids);
    mt_buf_free(&text);
    mt_free(h.paths);
    mt_free(h.heaviest);
    mt_free(h.row);
    mt_spell_free(h.spell);
    return status;
}

mt_status mt_heal_next(mt_tok *t, const mt_lm *lm, const uint8_t *x, size_t n, const mt_heal_options *options,
                       mt_healed *out, mt_error *err) {
    mt_spell_source source;
    MT_TRY(mt_spell_source_of(t, MT_TARGET_ALL, &source, err));
    return mt_heal_next_source(&source, lm, x, n, options, out, err);
}

/* ---- alignment ---- */

enum { KEPT_MASKS = 32 };
struct mt_align {
    mt_spell *spell;
    int32_t vocab;
    bool classic;
    mt_buf text;  /* what was given up */
    size_t at;    /* reproduced so far */
    size_t words; /* of a mask by id */
    struct {
        mt_buf key;
        uint64_t *bits, used;
    } kept[KEPT_MASKS];
    uint64_t clock;
};

mt_status mt_align_new_source(const mt_spell_source *source, int32_t vocab, mt_align **out, mt_error *err) {
    *out = NULL;
    mt_align *a = mt_calloc(1, sizeof *a);
    if (!a) return mt_nomem(err, sizeof *a, "an alignment");
    mt_spell_source src = *source;
    src.free = true;
    a->vocab = vocab;
    a->words = ((size_t)(vocab > 0 ? vocab : 0) + 63) / 64;
    mt_status status = mt_spell_new(&src, vocab, &a->spell, err);
    if (status) {
        mt_align_free(a);
        return status;
    }
    *out = a;
    return MT_OK;
}

mt_status mt_align_new(mt_tok *t, int32_t vocab, mt_align **out, mt_error *err) {
    mt_spell_source source;
    *out = NULL;
    MT_TRY(mt_spell_source_of(t, MT_TARGET_ALL, &source, err));
    return mt_align_new_source(&source, vocab, out, err);
}

void mt_align_free(mt_align *a) {
    if (!a) return;
    for (size_t i = 0; i < KEPT_MASKS; i++) {
        mt_buf_free(&a->kept[i].key);
        mt_free(a->kept[i].bits);
    }
    mt_buf_free(&a->text);
    mt_spell_free(a->spell);
    mt_free(a);
}

void mt_align_set_classic(mt_align *a, bool classic) {
    if (a->classic == classic) return;
    a->classic = classic;
    for (size_t i = 0; i < KEPT_MASKS; i++) a->kept[i].used = 0; /* of the other kind */
}

mt_status mt_align_begin(mt_align *a, const int32_t *ids, size_t n, int32_t tokens, size_t *kept, mt_error *err) {
    a->text.len = a->at = 0;
    *kept = n;
    for (int32_t k = 0; k < tokens && *kept > 0 && mt_spell_rank(a->spell, ids[*kept - 1]) >= 0; k++) --*kept;
    for (size_t i = *kept; i < n; i++) {
        mt_str t = mt_spell_text(a->spell, (size_t)mt_spell_rank(a->spell, ids[i]));
        mt_status status = mt_buf_add(&a->text, t.p, t.n, err);
        if (status) {
            a->text.len = 0;
            *kept = n;
            return status;
        }
    }
    return MT_OK;
}

mt_str mt_align_left(const mt_align *a) {
    return (mt_str){a->text.data ? a->text.data + a->at : (const uint8_t *)"", a->text.len - a->at};
}

static void allow(const mt_align *a, uint64_t *bits, size_t rank) {
    int32_t id = mt_spell_id(a->spell, rank);
    bits[id >> 6] |= (uint64_t)1 << (id & 63);
}

mt_status mt_align_mask(mt_align *a, const uint64_t **bits, mt_error *err) {
    mt_str left = mt_align_left(a);
    size_t oldest = 0;
    *bits = NULL;
    if (left.n == 0) return MT_OK;
    for (size_t i = 0; i < KEPT_MASKS; i++) {
        if (a->kept[i].used && mt_str_eq((mt_str){a->kept[i].key.data, a->kept[i].key.len}, left)) {
            a->kept[i].used = ++a->clock;
            *bits = a->kept[i].bits;
            return MT_OK;
        }
        if (a->kept[i].used < a->kept[oldest].used) oldest = i;
    }
    a->kept[oldest].used = 0;
    a->kept[oldest].key.len = 0;
    MT_TRY(mt_buf_add(&a->kept[oldest].key, left.p, left.n, err));
    if (!a->kept[oldest].bits) a->kept[oldest].bits = mt_malloc(a->words * 8);
    uint64_t *mask = a->kept[oldest].bits;
    if (!mask) return mt_nomem(err, a->words * 8, "a mask of tokens");
    memset(mask, 0, a->words * 8);
    size_t lo = 0, hi = mt_spell_count(a->spell);
    for (size_t d = 0; d < left.n && lo < hi; d++) {
        mt_spell_narrow(a->spell, &lo, &hi, d, left.p[d]);
        for (size_t i = lo; !a->classic && d + 1 < left.n && i < hi && mt_spell_text(a->spell, i).n == d + 1; i++)
            allow(a, mask, i);
    }
    for (size_t i = lo; i < hi; i++) allow(a, mask, i);
    a->kept[oldest].used = ++a->clock;
    *bits = mask;
    return MT_OK;
}

mt_status mt_align_accept(mt_align *a, int32_t id, mt_error *err) {
    mt_str left = mt_align_left(a);
    if (left.n == 0) return MT_OK;
    int32_t rank = mt_spell_rank(a->spell, id);
    mt_str t = {NULL, 0};
    if (rank >= 0) t = mt_spell_text(a->spell, (size_t)rank);
    size_t n = t.n < left.n ? t.n : left.n;
    if (n == 0 || memcmp(t.p, left.p, n) != 0 || (a->classic && n < left.n)) {
        char shown[60];
        return mt_fail(err, MT_ERANGE, "token %d does not reproduce \"%s\"", id,
                       mt_str_show(left, shown, sizeof shown));
    }
    a->at += n;
    return MT_OK;
}
