/* From pieces to ids: a hash table with linear probing whose slots hold the first eight bytes of their piece, so that a
 * short one is compared without a look at the vocabulary. A definition of half a million merges asks twice as often,
 * and most of that time is waiting for memory: many are looked up together, their slots being fetched at once.
 *
 * The table is made when it is needed and given up after loading (vocab.h). */
#include "vocab.h"

enum { TOGETHER = 64 };

typedef struct hashed {
    uint64_t head; /* the first eight bytes, zeros behind a short piece */
    uint32_t hash; /* not 0 */
    uint32_t n;
    const uint8_t *p;
} hashed;

static inline hashed hash_of(mt_str s) {
    uint64_t head = 0, h;
    size_t n = s.n;
    if (n >= 8)
        head = mt_le64(s.p);
    else if (n >= 4)
        head = (uint64_t)mt_le32(s.p) | (uint64_t)mt_le32(s.p + n - 4) << (8 * (n - 4));
    else if (n)
        head = (uint64_t)s.p[0] | (uint64_t)s.p[n / 2] << (8 * (n / 2)) | (uint64_t)s.p[n - 1] << (8 * (n - 1));
    h = (head ^ n) * mt_map_secret[0];
    for (size_t i = 8; i < n; i += 8)
        h = ((h ^ h >> 29) + mt_le64(n - i < 8 ? s.p + n - 8 : s.p + i)) * mt_map_secret[0];
    h = (h ^ h >> 32) * mt_map_secret[1] >> 32;
    return (hashed){head, h ? (uint32_t)h : 1, (uint32_t)n, s.p};
}

static inline uint32_t short_length(uint32_t n) {
    return n < 255 ? n : 255;
}
static inline struct mt_piece_slot *home_of(const mt_pieces *x, uint32_t hash) {
    return x->slot + (size_t)((uint64_t)hash * x->home >> 32);
}
/* The slot may hold this piece: only a long one must be compared with the vocabulary still. */
static inline bool may_be(const struct mt_piece_slot *s, const hashed *k) {
    return s->hash == k->hash && s->head == k->head && (s->what & 255) == short_length(k->n);
}
static inline bool is(const mt_vocab *v, const struct mt_piece_slot *s, const hashed *k) {
    if (k->n <= 8) return true;
    mt_ref r = v->piece[s->what >> 8];
    return r.n == k->n && mt_same_bytes(v->text.data + r.at, k->p, r.n);
}

/* Its slot, or the free one where it would be. */
static struct mt_piece_slot *find(const mt_vocab *v, const hashed *k) {
    struct mt_piece_slot *s = home_of(&v->pieces, k->hash);
    while (s->hash && !(may_be(s, k) && is(v, s, k))) s++;
    return s;
}

static mt_status make_room(mt_vocab *v, size_t count, mt_error *err);

static mt_status add(mt_vocab *v, const hashed *k, int32_t id, bool replace, mt_error *err) {
    mt_pieces *x = &v->pieces;
    struct mt_piece_slot *s = find(v, k);
    if (s->hash) {
        v->twice |= s->what >> 8 != (uint32_t)id;
        if (replace) s->what = (uint32_t)id << 8 | (s->what & 255);
        return MT_OK;
    }
    if (s + 1 == x->slot + x->slots) { /* the last one stays free */
        MT_TRY(make_room(v, x->home, err));
        return add(v, k, id, replace, err);
    }
    *s = (struct mt_piece_slot){k->head, k->hash, (uint32_t)id << 8 | short_length(k->n)};
    x->count++;
    return MT_OK;
}

/* Half of the slots are taken at most. */
static mt_status make_room(mt_vocab *v, size_t count, mt_error *err) {
    mt_pieces old = v->pieces;
    if (old.slot && count <= old.home / 2) return MT_OK;
    if (old.slot && count < old.count + old.count / 2) count = old.count + old.count / 2;
    if (count > UINT32_MAX / 8) return mt_nomem(err, SIZE_MAX, "an index of pieces");
    mt_pieces *x = &v->pieces;
    x->home = (uint32_t)(2 * count + 8);
    x->slots = (size_t)x->home + x->home / 64 + 64;
    x->count = 0;
    x->slot = mt_calloc(x->slots, sizeof *x->slot);
    mt_status status = x->slot ? MT_OK : mt_nomem(err, x->slots * sizeof *x->slot, "an index of pieces");
    for (size_t i = 0; i < old.slots && status == MT_OK; i++) {
        if (!old.slot[i].hash) continue;
        int32_t id = (int32_t)(old.slot[i].what >> 8);
        hashed k = hash_of(mt_vocab_piece(v, id));
        status = add(v, &k, id, false, err);
    }
    mt_free(status == MT_OK ? old.slot : x->slot);
    if (status != MT_OK) *x = old;
    return status;
}

mt_status mt_vocab_index_piece(mt_vocab *v, int32_t id, bool replace, mt_error *err) {
    return mt_ids_add(&v->unindexed, (int32_t)((uint32_t)id << 1 | replace), err);
}

/* Puts those on the list that are only marked. */
static mt_status list_pieces(mt_vocab *v, mt_error *err) {
    size_t n = 0, later = v->unindexed.len;
    if (!v->unlisted) return MT_OK;
    for (int32_t id = 0; id < v->size; id++) n += (v->flags[id] & MT_IS_INDEXED) != 0;
    MT_TRY(mt_ids_reserve(&v->unindexed, n, err));
    if (later) memmove(v->unindexed.data + n, v->unindexed.data, later * sizeof(int32_t));
    n = 0;
    for (int32_t id = 0; id < v->size; id++)
        if (v->flags[id] & MT_IS_INDEXED) v->unindexed.data[n++] = id << 1;
    v->unindexed.len = n + later;
    v->unlisted = false;
    return MT_OK;
}

static mt_status index_some(void *user, size_t from, size_t to, mt_error *err) {
    mt_vocab *v = user;
    hashed k[TOGETHER];
    for (size_t n; from < to; from += n) {
        const int32_t *list = v->unindexed.data + from;
        uint32_t seen = 0;
        n = to - from < TOGETHER ? to - from : TOGETHER;
        for (size_t i = 0; i < n; i++) k[i] = hash_of(mt_vocab_piece(v, list[i] >> 1));
        for (size_t i = 0; i < n; i++) seen |= home_of(&v->pieces, k[i].hash)->hash; /* fetches them */
        mt_keep(seen);
        for (size_t i = 0; i < n; i++) MT_TRY(add(v, &k[i], list[i] >> 1, list[i] & 1, err));
    }
    return MT_OK;
}

mt_status mt_vocab_index_pieces(mt_vocab *v, mt_error *err) {
    MT_TRY(list_pieces(v, err));
    size_t n = v->unindexed.len;
    if (v->pieces.slot && !n) return MT_OK;
    MT_TRY(make_room(v, v->pieces.count + n, err));
    MT_TRY(mt_stretches(n, index_some, v, err));
    mt_ids_free(&v->unindexed);
    return MT_OK;
}

void mt_vocab_drop_pieces(mt_vocab *v) {
    if (!v->pieces.slot || mt_vocab_index_pieces(v, NULL) != MT_OK) return;
    for (size_t i = 0; i < v->pieces.slots; i++)
        if (v->pieces.slot[i].hash) v->flags[v->pieces.slot[i].what >> 8] |= MT_IS_INDEXED;
    mt_free(v->pieces.slot);
    v->pieces = (mt_pieces){0};
    v->unlisted = true;
    v->scanned = 0;
}

/* Looks through the pieces that are not in the index; `found` is what the index says. */
static int32_t scan_pieces(const mt_vocab *v, mt_str piece, int32_t found) {
    for (size_t i = 0; i < v->unindexed.len; i++) {
        int32_t id = v->unindexed.data[i] >> 1;
        if (v->piece[id].n != piece.n || (found >= 0 && !(v->unindexed.data[i] & 1))) continue;
        if (mt_same_bytes(v->text.data + v->piece[id].at, piece.p, piece.n)) found = id;
    }
    return found;
}

int32_t mt_vocab_find_piece(const mt_vocab *v, mt_str piece) {
    mt_vocab *own = (mt_vocab *)v; /* the index is a cache: making it changes nothing that can be seen */
    int32_t found = -1;
    if (piece.n > UINT32_MAX / 2) return -1;
    if (v->unlisted && list_pieces(own, NULL) != MT_OK)
        for (int32_t id = 0; id < v->size && found < 0; id++)
            if (v->flags[id] & MT_IS_INDEXED && mt_str_eq(mt_vocab_piece(v, id), piece)) found = id;
    own->scanned += v->unindexed.len;
    if (v->pieces.slot || v->scanned > 8 * v->unindexed.len) mt_vocab_index_pieces(own, NULL);
    if (v->pieces.slot) {
        hashed k = hash_of(piece);
        const struct mt_piece_slot *s = find(v, &k);
        if (s->hash) found = (int32_t)(s->what >> 8);
    }
    return scan_pieces(v, piece, found);
}

void mt_vocab_find_pieces(const mt_vocab *v, const mt_str *piece, size_t count, int32_t *id) {
    hashed k[MT_FIND_MOST];
    uint32_t seen = 0;
    if (!v->pieces.slot || v->unindexed.len || count > MT_FIND_MOST) {
        for (size_t i = 0; i < count; i++) id[i] = mt_vocab_find_piece(v, piece[i]);
        return;
    }
    for (size_t i = 0; i < count; i++) k[i] = hash_of(piece[i]);
    for (size_t i = 0; i < count; i++) seen |= home_of(&v->pieces, k[i].hash)->hash; /* fetches them */
    for (size_t i = 0; i < count; i++) {
        const struct mt_piece_slot *s = home_of(&v->pieces, k[i].hash);
        while (s->hash && !may_be(s, &k[i])) s++;
        id[i] = s->hash ? (int32_t)(s->what >> 8) : -1;
        if (id[i] >= 0 && k[i].n > 8) seen |= v->piece[id[i]].at; /* and what long ones are compared with */
    }
    mt_keep(seen);
    for (size_t i = 0; i < count; i++) {
        if (id[i] < 0 || k[i].n <= 8) continue;
        mt_ref r = v->piece[id[i]];
        if (r.n == k[i].n && mt_same_bytes(v->text.data + r.at, k[i].p, r.n)) continue;
        const struct mt_piece_slot *s = find(v, &k[i]);
        id[i] = s->hash ? (int32_t)(s->what >> 8) : -1;
    }
}
