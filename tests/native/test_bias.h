/* Toy dictionaries and bigram models for the tests of src/bias: everything by definition, slow and obviously right. */
#ifndef TEST_BIAS_H
#define TEST_BIAS_H

#include "test.h"
#include "bias/tree.h"

/* ---- a toy byte-level BPE ---- */

enum { TOY_TOKENS = 64, TOY_LENGTH = 24 };
typedef struct toy {
    int32_t count; /* tokens */
    uint8_t bytes[TOY_TOKENS][TOY_LENGTH];
    size_t length[TOY_TOKENS];
    mt_spell_kind kind[TOY_TOKENS];
    int32_t merges, left[TOY_TOKENS], right[TOY_TOKENS], made[TOY_TOKENS]; /* in rank order */
    bool ignore_merges;
    /* instead of merges: the best path by scores, or the longest match */
    enum mt_spell_rule rule;
    double score[TOY_TOKENS];
    bool single;        /* sums are kept in single precision */
    mt_regex *split[3]; /* one after the other; NULL: no more */
    /* tables of answers, filled when first asked */
    int8_t reach[TOY_TOKENS], pair[TOY_TOKENS][TOY_TOKENS];
} toy;

static int32_t toy_find(const toy *t, const uint8_t *p, size_t n) {
    for (int32_t i = 0; i < t->count; i++)
        if (t->length[i] == n && memcmp(t->bytes[i], p, n) == 0 && t->kind[i] == MT_SPELL_NORMAL) return i;
    return -1;
}
static int32_t toy_token(toy *t, const void *p, size_t n) {
    memcpy(t->bytes[t->count], p, n);
    t->length[t->count] = n;
    t->kind[t->count] = MT_SPELL_NORMAL;
    return t->count++;
}
/* Adds the merge of two tokens; false when it does not fit. */
static bool toy_merge(toy *t, int32_t left, int32_t right) {
    uint8_t text[2 * TOY_LENGTH];
    size_t n = t->length[left] + t->length[right];
    if (n > TOY_LENGTH || t->merges == TOY_TOKENS) return false;
    memcpy(text, t->bytes[left], t->length[left]);
    memcpy(text + t->length[left], t->bytes[right], t->length[right]);
    for (int32_t i = 0; i < t->merges; i++)
        if (t->left[i] == left && t->right[i] == right) return false;
    int32_t made = toy_find(t, text, n);
    if (made < 0) {
        if (t->count == TOY_TOKENS - 2) return false;
        made = toy_token(t, text, n);
    }
    t->left[t->merges] = left;
    t->right[t->merges] = right;
    t->made[t->merges++] = made;
    return true;
}
/* Segments one pre-token by merges alone. Returns the number of tokens, -1 when a byte is no token. */
static int toy_segment(const toy *t, const uint8_t *p, size_t n, int32_t *out) {
    int count = 0;
    for (size_t i = 0; i < n; i++)
        if ((out[count++] = toy_find(t, p + i, 1)) < 0) return -1;
    for (;;) {
        int best = -1, at = 0;
        for (int i = 0; i + 1 < count; i++)
            for (int m = 0; m < t->merges && (best < 0 || m < best); m++)
                if (t->left[m] == out[i] && t->right[m] == out[i + 1]) {
                    best = m;
                    at = i;
                }
        if (best < 0) return count;
        out[at] = t->made[best];
        memmove(out + at + 1, out + at + 2, (size_t)(count - at - 2) * sizeof *out);
        count--;
    }
}
/* The path with the best sum of scores, added from the left; of equals the one found first: last tokens that start
 * further left win. */
static int toy_best_path(const toy *t, const uint8_t *p, size_t n, int32_t *out) {
    double best[2 * TOY_LENGTH + 64];
    int32_t last[2 * TOY_LENGTH + 64], ids[2 * TOY_LENGTH + 64];
    int count = 0;
    best[0] = 0;
    for (size_t j = 1; j <= n; j++) {
        last[j] = -1;
        for (size_t i = 0; i < j; i++) {
            int32_t id = toy_find(t, p + i, j - i);
            if (id < 0 || (i && last[i] < 0)) continue;
            double score = t->score[id] + best[i];
            if (last[j] >= 0 && !(score > best[j])) continue;
            best[j] = t->single ? (double)(float)score : score;
            last[j] = id;
        }
    }
    for (size_t j = n; j > 0; j -= t->length[last[j]]) {
        if (last[j] < 0) return -1;
        ids[count++] = last[j];
    }
    for (int i = 0; i < count; i++) out[i] = ids[count - 1 - i];
    return count;
}
static int toy_longest(const toy *t, const uint8_t *p, size_t n, int32_t *out) {
    int count = 0;
    for (size_t at = 0; at < n;) {
        int32_t id = -1;
        for (size_t k = 1; k <= n - at; k++) {
            int32_t found = toy_find(t, p + at, k);
            if (found >= 0) id = found;
        }
        if (id < 0) return -1;
        out[count++] = id;
        at += t->length[id];
    }
    return count;
}
static int toy_piece(const toy *t, const uint8_t *p, size_t n, int32_t *out) {
    if (t->rule == MT_SPELL_BEST_PATH) return toy_best_path(t, p, n, out);
    if (t->rule == MT_SPELL_LONGEST) return toy_longest(t, p, n, out);
    int32_t whole = t->ignore_merges ? toy_find(t, p, n) : -1;
    if (whole >= 0) {
        out[0] = whole;
        return 1;
    }
    return toy_segment(t, p, n, out);
}
static int toy_split(const toy *t, int level, const uint8_t *p, size_t n, int32_t *out) {
    mt_error err;
    int count = 0;
    if (level == 3 || !t->split[level]) return toy_piece(t, p, n, out);
    for (size_t at = 0; at < n;) {
        size_t end = n;
        bool found = true;
        if (mt_regex_match_at(t->split[level], p, n, at, &found, &end, &err) || !found || end == at) return -1;
        int k = toy_split(t, level + 1, p + at, end - at, out + count);
        if (k < 0) return -1;
        count += k;
        at = end;
    }
    return count;
}
/* The whole encoder: added tokens are cut out leftmost-longest, the rest is split and segmented. */
static int toy_encode(const toy *t, const uint8_t *p, size_t n, int32_t *out) {
    int count = 0;
    size_t begin = 0;
    for (size_t at = 0; at <= n; at++) {
        int32_t user = -1;
        for (int32_t i = 0; i < t->count; i++)
            if (t->kind[i] == MT_SPELL_USER && t->length[i] <= n - at &&
                memcmp(t->bytes[i], p + at, t->length[i]) == 0 && (user < 0 || t->length[i] > t->length[user]))
                user = i;
        if (user < 0 && at < n) continue;
        int k = toy_split(t, 0, p + begin, at - begin, out + count);
        if (k < 0) return -1;
        count += k;
        if (user < 0) break;
        out[count++] = user;
        begin = at + t->length[user];
        at = begin - 1;
    }
    return count;
}

static mt_str toy_bytes(void *self, int32_t id) {
    toy *t = self;
    return (mt_str){t->bytes[id], t->length[id]};
}
static mt_spell_kind toy_kind(void *self, int32_t id) {
    return ((toy *)self)->kind[id];
}
static bool toy_reachable(void *self, int32_t id) {
    toy *t = self;
    if (!t->reach[id]) {
        int32_t ids[TOY_LENGTH];
        t->reach[id] = toy_segment(t, t->bytes[id], t->length[id], ids) == 1 && ids[0] == id ? 2 : 1;
    }
    return t->reach[id] == 2;
}
static bool toy_pair_ok(void *self, int32_t left, int32_t right) {
    toy *t = self;
    if (!t->pair[left][right]) {
        int32_t ids[2 * TOY_LENGTH];
        uint8_t text[2 * TOY_LENGTH];
        memcpy(text, t->bytes[left], t->length[left]);
        memcpy(text + t->length[left], t->bytes[right], t->length[right]);
        int n = toy_segment(t, text, t->length[left] + t->length[right], ids);
        t->pair[left][right] = n == 2 && ids[0] == left && ids[1] == right ? 2 : 1;
    }
    return t->pair[left][right] == 2;
}
static mt_status toy_ask_reachable(void *self, int32_t id, bool *yes, mt_error *err) {
    (void)err;
    *yes = toy_reachable(self, id);
    return MT_OK;
}
static mt_status toy_ask_pair_ok(void *self, int32_t left, int32_t right, bool *yes, mt_error *err) {
    (void)err;
    *yes = toy_pair_ok(self, left, right);
    return MT_OK;
}
static mt_status toy_encode_ids(void *self, const uint8_t *text, size_t n, mt_ids *out, mt_error *err) {
    int32_t ids[256];
    int k = toy_encode(self, text, n, ids);
    if (k < 0) return mt_fail(err, MT_EFORMAT, "not in the alphabet");
    for (int i = 0; i < k; i++) MT_TRY(mt_ids_add(out, ids[i], err));
    return MT_OK;
}
static bool toy_matches(void *self, int32_t id, double *score) {
    toy *t = self;
    *score = t->score[id];
    return toy_find(t, t->bytes[id], t->length[id]) == id;
}
static int32_t toy_dfa_step(void *d, int32_t state, int symbol) {
    return mt_dfa_step(d, state, symbol);
}
static bool toy_dfa_confirms(void *d, int32_t state, int *back) {
    return mt_dfa_confirms(d, state, back);
}
static bool toy_dfa_pending(void *d, int32_t state, int back) {
    return mt_dfa_pending(d, state, back);
}
static mt_spell_source toy_source(toy *t) {
    mt_spell_source s = {.self = t,
                         .size = t->count,
                         .bytes = toy_bytes,
                         .kind = toy_kind,
                         .reachable = toy_ask_reachable,
                         .pair_ok = toy_ask_pair_ok,
                         .encode = toy_encode_ids,
                         .rule = t->rule,
                         .matches = toy_matches,
                         .unknown_score = -100,
                         .single = t->single,
                         .ignore_merges = t->ignore_merges};
    for (; s.levels < 3 && t->split[s.levels]; s.levels++) {
        mt_dfa *d = mt_regex_dfa(t->split[s.levels]);
        s.splitter[s.levels] = (struct mt_spell_splitter){.self = d,
                                                          .start = mt_dfa_start(d),
                                                          .step = toy_dfa_step,
                                                          .confirms = toy_dfa_confirms,
                                                          .pending = toy_dfa_pending};
    }
    return s;
}

/* HASH-11 and HASH-7 (methods: the shared test rig). */
static inline toy toy_hash11(void) {
    toy t = {0};
    static const int pairs[8][2] = {{0, 1}, {3, 2}, {1, 2}, {2, 0}, {6, 1}, {0, 0}, {4, 0}, {5, 5}};
    for (int i = 0; i < 3; i++) toy_token(&t, &"abc"[i], 1);
    for (int i = 0; i < 8; i++) toy_merge(&t, pairs[i][0], pairs[i][1]);
    return t;
}
static inline toy toy_hash7(void) {
    toy t = {0};
    static const int pairs[4][2] = {{1, 2}, {0, 3}, {2, 2}, {0, 1}};
    for (int i = 0; i < 3; i++) toy_token(&t, &"abc"[i], 1);
    for (int i = 0; i < 4; i++) toy_merge(&t, pairs[i][0], pairs[i][1]);
    return t;
}

/* ---- a bigram model over its tokens; the end of text is the id after the last token, BOS the one after that ---- */

enum { BIGRAM_CONTEXTS = 1 << 16 };
typedef struct bigram {
    int32_t tokens;
    double log_p[TOY_TOKENS][TOY_TOKENS]; /* [previous][next] */
    int32_t last[BIGRAM_CONTEXTS], parent[BIGRAM_CONTEXTS], children[BIGRAM_CONTEXTS];
    int8_t state[BIGRAM_CONTEXTS]; /* 0 free, 1 in use */
    int32_t spare[BIGRAM_CONTEXTS], spare_count, count, held, most_held;
    int32_t fresh[4096], fresh_count; /* contexts of the latest pass */
    int calls, rows, faults;          /* faults: broken rules of use */
    int fail_after;                   /* < 0: never; otherwise fails when it has counted down */
} bigram;

static void bigram_init(bigram *m, toy *t, uint64_t constant, bool canonical) {
    *m = (bigram){.tokens = t->count, .count = 1, .fail_after = -1};
    int32_t end = t->count, bos = end + 1;
    m->last[0] = bos;
    m->state[0] = 1;
    for (int32_t p = 0; p <= bos; p++) {
        double weight[TOY_TOKENS], sum = 0;
        if (p == end) continue;
        for (int32_t k = 0; k <= end; k++) {
            uint64_t z = mt_mix64((uint64_t)p * 1000003 + (uint64_t)k * 10007 + constant);
            weight[k] = 1 + (double)(z % 1000);
            if (canonical && k != end && (!toy_reachable(t, k) || (p != bos && !toy_pair_ok(t, p, k)))) weight[k] = 0;
            sum += weight[k];
        }
        for (int32_t k = 0; k <= end; k++) m->log_p[p][k] = log(weight[k] / sum);
    }
}
static mt_status bigram_extend(void *self, int32_t n, const int32_t *parent, const int32_t *token, int32_t *context,
                               mt_error *err) {
    bigram *m = self;
    if (m->fail_after == 0) return mt_fail(err, MT_ELIMIT, "the toy model was told to fail");
    if (m->fail_after > 0) m->fail_after--;
    m->calls++;
    m->fresh_count = 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t p = parent[i] <= -2 ? context[-2 - parent[i]] : parent[i];
        if (parent[i] <= -2 && -2 - parent[i] >= i) m->faults++;
        if (p < 0 || p >= m->count || !m->state[p] || token[i] < 0 || token[i] >= m->tokens) m->faults++;
        int32_t c = m->count;
        if (m->spare_count)
            c = m->spare[--m->spare_count];
        else if (m->count++ == BIGRAM_CONTEXTS)
            return mt_fail(err, MT_ELIMIT, "the toy model is full");
        m->state[c] = 1;
        m->last[c] = token[i];
        m->parent[c] = p;
        m->children[p]++;
        m->held++;
        if (m->held > m->most_held) m->most_held = m->held;
        context[i] = c;
        if (m->fresh_count < 4096) m->fresh[m->fresh_count++] = c;
    }
    return MT_OK;
}
static mt_status bigram_next(void *self, int32_t context, double *out, mt_error *err) {
    bigram *m = self;
    if (m->fail_after == 0) return mt_fail(err, MT_ELIMIT, "the toy model was told to fail");
    if (m->fail_after > 0) m->fail_after--;
    bool fresh = context == 0;
    for (int32_t i = 0; i < m->fresh_count; i++) fresh |= m->fresh[i] == context;
    if (!fresh || !m->state[context]) m->faults++;
    m->rows++;
    memcpy(out, m->log_p[m->last[context]], (size_t)(m->tokens + 1) * sizeof *out);
    return MT_OK;
}
static void bigram_drop(void *self, int32_t context) {
    bigram *m = self;
    if (context <= 0 || !m->state[context] || m->children[context]) m->faults++;
    m->state[context] = 0;
    m->children[m->parent[context]]--;
    m->held--;
    m->spare[m->spare_count++] = context;
}
static int64_t bigram_state(void *self, int32_t context) {
    return ((bigram *)self)->last[context];
}
static mt_lm bigram_lm(bigram *m, bool merge) {
    return (mt_lm){.self = m,
                   .vocab = m->tokens + 1,
                   .end = m->tokens,
                   .extend = bigram_extend,
                   .next = bigram_next,
                   .drop = bigram_drop,
                   .state = merge ? bigram_state : NULL};
}
static inline double bigram_score(const bigram *m, const int32_t *ids, size_t n) {
    double sum = 0;
    int32_t last = m->tokens + 1;
    for (size_t i = 0; i < n; i++) {
        sum += m->log_p[last][ids[i]];
        last = ids[i];
    }
    return sum;
}

#endif
