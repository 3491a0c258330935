/* Chains of slots: held, released, joined (model.h). Keys are kept rotated, and rotations add up, R(a) R(b) = R(a + b):
 * a key is moved by turning it once more (StreamingLLM, Xiao et al. 2024; positional integrity, He et al. 2024). */
#include "session.h"

static bool usable(const mt_session *s, int32_t slot) {
    return slot >= 0 && slot < s->kv.slots && s->kv.live[slot] && !s->kv.orphan[slot];
}

void mt_session_hold(mt_session *s, int32_t slot) {
    if (usable(s, slot)) s->kv.holds[slot]++;
}

void mt_session_release(mt_session *s, int32_t slot) {
    if (slot < 0 || slot >= s->kv.slots || !s->kv.live[slot]) return;
    if (s->kv.holds[slot]) s->kv.holds[slot]--;
    mt_kv_trim(&s->kv, slot);
}

int32_t mt_session_chain(const mt_session *s, int32_t slot, int32_t *out) {
    return usable(s, slot) ? mt_kv_chain(&s->kv, slot, out) : -1;
}

int32_t mt_session_token(const mt_session *s, int32_t slot) {
    return usable(s, slot) ? s->kv.token[slot] : -1;
}

int32_t mt_session_position(const mt_session *s, int32_t slot) {
    return usable(s, slot) ? s->kv.position[slot] : -1;
}

bool mt_session_continues(const mt_session *s, int32_t slot) {
    return usable(s, slot) && !s->m->h.bidirectional && (!s->state_of || s->state_of[slot] >= 0);
}

void mt_session_info_get(const mt_session *s, mt_session_info *out) {
    const mt_hyper *h = &s->m->h;
    *out = (mt_session_info){.slots = s->kv.slots, .free = s->kv.slots - s->kv.used, .cache = mt_cache_name(s->cache)};
    for (int32_t l = 0; l < h->layers; l++) {
        if (h->layer[l].recurrent)
            out->state_bytes += (double)s->states * (double)h->state_width * sizeof(float);
        else
            out->slot_bytes += (double)h->kv_heads *
                               (double)(mt_cache_row(s->cache, h->head_width) + mt_cache_row(s->cache, h->value_width));
    }
    out->cache_bytes = out->slot_bytes * s->kv.slots;
    if (s->memory_k)
        out->memory_bytes = (double)s->memory_capacity * sizeof(float) *
                            ((double)h->layers * h->kv_heads * (h->head_width + h->value_width) +
                             (double)s->m->encoder.kv_heads * (s->m->encoder.head_width + s->m->encoder.value_width));
    out->scratch_bytes = (double)s->scratch_size * sizeof(float);
}

/* ---- joining ---- */

/* Whether keys of positions up to `last` can be moved. */
static mt_status can_move(const mt_session *s, int32_t last, mt_error *err) {
    const mt_hyper *h = &s->m->h;
    if (h->position_rows || h->sinusoids)
        return mt_fail(err, MT_ESTATE,
                       "\"%s\" adds positions to the embeddings: what was computed at one cannot be moved to another",
                       s->m->arch->name);
    if (h->qk_norm != MT_QK_NORM_NONE && h->qk_norm_rotated)
        return mt_fail(err, MT_ESTATE, "\"%s\" normalises keys after their rotation: they cannot be turned further",
                       s->m->arch->name);
    for (int32_t r = 0; r < h->rope_count; r++)
        if (h->ropes[r].rule != MT_ROPE_FIXED && (last >= h->ropes[r].limit || s->reached[r] > h->ropes[r].limit))
            return mt_fail(err, MT_ESTATE,
                           "rotary frequencies change with the length beyond position %d: keys before and after it "
                           "cannot be moved together",
                           h->ropes[r].limit);
    return MT_OK;
}

/* The keys of a slot, read from `from` and written to `to`, turned by delta; and its values. */
static void move_rows(mt_session *s, int32_t from, int32_t to, int32_t delta, float *key) {
    const mt_hyper *h = &s->m->h;
    for (int32_t l = 0; l < h->layers; l++) {
        const mt_rope_set *r = h->layer[l].rope >= 0 ? &h->ropes[h->layer[l].rope] : NULL;
        for (int32_t g = 0; g < h->kv_heads; g++) {
            uint8_t *k = mt_session_row(s, l, 0, g, to), *v = mt_session_row(s, l, 1, g, to);
            if (from != to) {
                memcpy(k, mt_session_row(s, l, 0, g, from), mt_cache_row(s->cache, h->head_width));
                memcpy(v, mt_session_row(s, l, 1, g, from), mt_cache_row(s->cache, h->value_width));
            }
            if (!r || !delta) continue;
            mt_cache_get(s->cache, k, h->head_width, key);
            mt_rope(key, key, &delta, r->inv_freq, h->rope_interleaved, 1, 1, 1, h->head_width, r->dims);
            mt_cache_put(s->cache, key, h->head_width, k);
        }
    }
}

/* How many of the last `keep` slots of the chain are needed by somebody else too; the rest is ours alone. */
static int32_t shared(const mt_kv *kv, const int32_t *slot, int32_t keep) {
    int32_t at = keep;
    while (at > 0) {
        int32_t i = at - 1, followers = i == keep - 1 ? 0 : 1, holds = i == keep - 1 ? 1 : 0;
        if (kv->children[slot[i]] > followers || kv->holds[slot[i]] > holds) break;
        at = i;
    }
    return at;
}

static mt_status join(mt_session *s, int32_t head, int32_t tail, const int32_t *kept, int32_t keep, int32_t delta,
                      float *key, int32_t *leaf, mt_error *err) {
    mt_kv *kv = &s->kv;
    int32_t copies = shared(kv, kept, keep), before = head, last = 0;
    for (int32_t i = 0; i < keep; i++) {
        int64_t position = (int64_t)kv->position[kept[i]] + delta;
        if (position < 0 || position >= INT32_MAX)
            return mt_fail(err, MT_ERANGE, "token %d of %d would move to position %lld, expected 0 or more", i, keep,
                           (long long)position);
        if (kept[i] == head) return mt_fail(err, MT_ERANGE, "slot %d cannot follow itself", head);
        last = (int32_t)position > last ? (int32_t)position : last;
        last = kv->position[kept[i]] > last ? kv->position[kept[i]] : last;
    }
    if (delta && keep) MT_TRY(can_move(s, last, err));
    if (copies > kv->slots - kv->used)
        return mt_fail(err, MT_ELIMIT,
                       "%d slots are shared with another branch and must be copied, but only %d are free", copies,
                       kv->slots - kv->used);
    mt_session_hold(s, head);
    for (int32_t i = 0; i < copies; i++) {
        int32_t slot = mt_kv_take(kv, before, kv->position[kept[i]] + delta);
        kv->token[slot] = kv->token[kept[i]];
        move_rows(s, kept[i], slot, delta, key);
        before = slot;
    }
    int32_t loose = -1; /* what the first slot that stays in its place followed */
    for (int32_t i = copies; i < keep; i++) {
        if (i == copies) loose = kv->parent[kept[i]];
        if (delta) move_rows(s, kept[i], kept[i], delta, key);
        mt_kv_follow(kv, kept[i], before, kv->position[kept[i]] + delta);
        before = kept[i];
    }
    if (before != tail) {
        if (kv->holds[tail]) mt_session_hold(s, before);
        mt_session_release(s, tail);
    } else {
        mt_kv_trim(kv, loose);
    }
    mt_session_release(s, head);
    *leaf = before;
    return MT_OK;
}

mt_status mt_session_join(mt_session *s, int32_t head, int32_t tail, int32_t keep, int32_t delta, int32_t *leaf,
                          mt_error *err) {
    const mt_hyper *h = &s->m->h;
    if (head != MT_ROOT && !usable(s, head))
        return mt_fail(err, MT_ERANGE, "slot %d holds nothing to go on from", head);
    int32_t length = mt_session_chain(s, tail, NULL);
    if (length < 0) return mt_fail(err, MT_ERANGE, "slot %d holds nothing", tail);
    if (keep < 0 || keep > length)
        return mt_fail(err, MT_ERANGE, "%d tokens are to be kept of a chain of %d", keep, length);
    if (keep && h->recurrent)
        return mt_fail(err, MT_ESTATE, "\"%s\" keeps states, not slots: a text can go back but not be cut",
                       s->m->arch->name);
    if (keep && h->bidirectional)
        return mt_fail(err, MT_ESTATE, "an encoder reads a whole text at once: there is nothing to cut");
    int32_t *chain = mt_array((size_t)length, sizeof *chain);
    float *key = mt_array((size_t)h->head_width, sizeof *key);
    mt_status status = MT_OK;
    if (!chain || !key) {
        status = mt_nomem(err, (size_t)length * sizeof *chain, "a chain of slots");
    } else {
        mt_kv_chain(&s->kv, tail, chain);
        status = join(s, head, tail, chain + (length - keep), keep, delta, key, leaf, err);
    }
    mt_free(chain);
    mt_free(key);
    return status;
}
