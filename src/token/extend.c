/* Vocabularies that grow: new tokens after the old ids, and the merging of a task's Unigram vocabulary into a base one
 * (Liu et al., EMNLP 2023). */
#include "train.h"
#include "token.h"

/* Room for the scores and kinds of `more` further tokens; new entries are 0. */
static mt_status widen(mt_vocabulary *v, size_t more, bool scores, bool kinds, mt_error *err) {
    size_t n = v->len + more;
    if (scores || v->score) {
        double *score = mt_calloc(n, sizeof *score);
        if (!score) return mt_nomem(err, n * sizeof *score, "the scores");
        if (v->score && v->len) memcpy(score, v->score, v->len * sizeof *score);
        mt_free(v->score);
        v->score = score;
    }
    if (kinds || v->kind) {
        uint8_t *kind = mt_calloc(n, 1);
        if (!kind) return mt_nomem(err, n, "the kinds");
        if (v->kind && v->len) memcpy(kind, v->kind, v->len);
        mt_free(v->kind);
        v->kind = kind;
    }
    return MT_OK;
}

static mt_status index_tokens(const mt_vocabulary *v, mt_map *index, mt_error *err) {
    int32_t old;
    for (size_t i = 0; i < v->len; i++)
        if (!mt_map_get(index, v->token[i], &old)) MT_TRY(mt_map_set(index, v->token[i], (int32_t)i, err));
    return MT_OK;
}

mt_status mt_vocabulary_extend(mt_vocabulary *base, const mt_vocabulary *extra, mt_error *err) {
    mt_map index = {0};
    mt_map64 merges = {0};
    int32_t *id_of = mt_array(extra->len, sizeof *id_of), old;
    mt_status status = MT_OK;
    if (!id_of) return mt_nomem(err, extra->len * sizeof *id_of, "new tokens");
    MT_TRY_GOTO(index_tokens(base, &index, err), done);
    MT_TRY_GOTO(widen(base, extra->len, extra->score, extra->kind, err), done);
    for (size_t i = 0; i < extra->len; i++) {
        if (mt_map_get(&index, extra->token[i], &id_of[i])) continue;
        MT_TRY_GOTO(mt_vocabulary_add(base, extra->token[i], &id_of[i], err), done);
        if (extra->score) base->score[id_of[i]] = extra->score[i];
        if (extra->kind) base->kind[id_of[i]] = extra->kind[i];
        MT_TRY_GOTO(mt_map_set(&index, base->token[id_of[i]], id_of[i], err), done);
    }
    for (size_t i = 0; i < base->merge_len; i++)
        MT_TRY_GOTO(mt_map64_set(&merges,
                                 (uint64_t)(uint32_t)base->merge[i].left << 32 | (uint32_t)base->merge[i].right, 1,
                                 err),
                    done);
    for (size_t i = 0; i < extra->merge_len; i++) {
        struct mt_merge_rule m = {id_of[extra->merge[i].left], id_of[extra->merge[i].right],
                                  id_of[extra->merge[i].result]};
        uint64_t key = (uint64_t)(uint32_t)m.left << 32 | (uint32_t)m.right;
        if (mt_map64_get(&merges, key, &old)) continue;
        MT_TRY_GOTO(mt_map64_set(&merges, key, 1, err), done);
        MT_TRY_GOTO(mt_grow((void **)&base->merge, &base->merge_cap, base->merge_len + 1, sizeof m, err), done);
        base->merge[base->merge_len++] = m;
    }
done:
    mt_free(id_of);
    mt_map_free(&index);
    mt_map64_free(&merges);
    return status;
}

static size_t characters(mt_str s) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += (s.p[i] & 0xC0) != 0x80;
    return n;
}

mt_status mt_vocabulary_adapt(mt_vocabulary *base, const mt_vocabulary *task, double low, mt_error *err) {
    if (!base->score || !task->score) return mt_fail(err, MT_EMISSING, "a vocabulary without scores cannot be adapted");
    mt_map index = {0}, added = {0};
    mt_status status = MT_OK;
    size_t before = base->len;
    int32_t id;
    MT_TRY_GOTO(index_tokens(task, &index, err), done);
    MT_TRY_GOTO(index_tokens(base, &added, err), done);
    MT_TRY_GOTO(widen(base, task->len, true, task->kind, err), done);
    for (size_t i = 0; i < before; i++) {
        if (base->kind && base->kind[i] != MT_TOKEN_NORMAL) continue; /* special and byte pieces stay as they are */
        size_t n = characters(base->token[i]);
        if (mt_map_get(&index, base->token[i], &id))
            base->score[i] = task->score[id];
        else if (n)
            base->score[i] = low * (double)(n + 1) / (double)n;
    }
    for (size_t i = 0; i < task->len; i++) {
        if (mt_map_get(&added, task->token[i], &id)) continue;
        if (task->kind && task->kind[i] != MT_TOKEN_NORMAL) continue;
        MT_TRY_GOTO(mt_vocabulary_add(base, task->token[i], &id, err), done);
        base->score[id] = task->score[i];
        MT_TRY_GOTO(mt_map_set(&added, base->token[id], id, err), done);
    }
done:
    mt_map_free(&index);
    mt_map_free(&added);
    return status;
}
