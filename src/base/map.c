/* Open-addressing hash maps, linear probing, at most half full. */
#include "base.h"

uint64_t mt_map_secret[2] = {UINT64_C(0x9E3779B97F4A7C15), UINT64_C(0xE7037ED1A0B428DB)};

void mt_map_keep_secret(uint64_t a, uint64_t b) {
    mt_map_secret[0] = a | 1; /* multipliers are odd */
    mt_map_secret[1] = b | 1;
}

static inline uint64_t fold(uint64_t a, uint64_t b) {
    unsigned __int128 m = (unsigned __int128)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Two multiply-folds per 16 bytes, in the manner of wyhash. Where h and k are not known, no input can be found that
 * makes a factor zero, or that makes two products equal. */
static inline uint64_t hash(const uint8_t *p, size_t n, uint64_t h, uint64_t k, uint64_t last) {
    while (n >= 16) {
        h = fold(mt_le64(p) ^ h, mt_le64(p + 8) ^ k);
        p += 16;
        n -= 16;
    }
    uint64_t a = 0, b = 0;
    if (n >= 8) {
        a = mt_le64(p);
        b = mt_le64(p + n - 8);
    } else if (n >= 4) {
        a = mt_le32(p);
        b = mt_le32(p + n - 4);
    } else if (n > 0) {
        a = (uint64_t)p[0] << 16 | (uint64_t)p[n >> 1] << 8 | p[n - 1];
    }
    return mt_mix64(fold(a ^ h, b ^ last) ^ h);
}

uint64_t mt_hash_bytes(const void *p, size_t n) {
    return hash(p, n, UINT64_C(0x9E3779B97F4A7C15) ^ n * UINT64_C(0xD6E8FEB86659FD93), UINT64_C(0xE7037ED1A0B428DB),
                UINT64_C(0x8EBC6AF09C88C6E3));
}

uint64_t mt_hash_key(const void *p, size_t n) {
    const uint64_t *secret = mt_map_secret;
    return hash(p, n, secret[0] ^ n * secret[1], secret[1], secret[1]);
}

/* Multiplying by an unknown odd number spreads any two keys (Dietzfelbinger et al. 1997); its good bits are above. */
static inline uint64_t hash64(uint64_t key) {
    key *= mt_map_secret[0];
    key = (key ^ key >> 32) * mt_map_secret[1];
    return key ^ key >> 32;
}

static bool table_size(size_t count, size_t *out) {
    size_t cap = 16;
    while (cap / 2 < count)
        if (!mt_mul_size(cap, 2, &cap)) return false;
    *out = cap;
    return true;
}

static mt_map_slot *find(const mt_map *m, mt_str key, uint64_t h) {
    size_t i = (size_t)h & m->mask;
    uint32_t tag = (uint32_t)(h >> 32) | 1u; /* 0 marks an empty slot */
    for (;; i = (i + 1) & m->mask) {
        mt_map_slot *s = &m->slots[i];
        if (!s->tag || (s->tag == tag && s->n == key.n && memcmp(s->key, key.p, key.n) == 0)) return s;
    }
}

mt_status mt_map_reserve(mt_map *m, size_t count, mt_error *err) {
    size_t cap;
    if (!table_size(count, &cap)) return mt_nomem(err, SIZE_MAX, "a map");
    if (m->slots && cap <= m->mask + 1) return MT_OK;
    mt_map_slot *slots = mt_calloc(cap, sizeof *slots);
    if (!slots) return mt_nomem(err, cap * sizeof *slots, "a map");
    mt_map grown = {slots, cap - 1, m->count};
    for (size_t i = 0; m->slots && i <= m->mask; i++)
        if (m->slots[i].tag) {
            mt_str key = {m->slots[i].key, m->slots[i].n};
            *find(&grown, key, mt_hash_key(key.p, key.n)) = m->slots[i];
        }
    mt_free(m->slots);
    *m = grown;
    return MT_OK;
}

mt_status mt_map_set(mt_map *m, mt_str key, int32_t value, mt_error *err) {
    if (key.n > UINT32_MAX) return mt_fail(err, MT_ERANGE, "map key of %zu bytes", key.n);
    MT_TRY(mt_map_reserve(m, m->count + 1, err));
    uint64_t h = mt_hash_key(key.p, key.n);
    mt_map_slot *s = find(m, key, h);
    if (!s->tag) m->count++;
    *s = (mt_map_slot){key.p, (uint32_t)key.n, (uint32_t)(h >> 32) | 1u, value};
    return MT_OK;
}

bool mt_map_get(const mt_map *m, mt_str key, int32_t *value) {
    if (!m->slots) return false;
    const mt_map_slot *s = find(m, key, mt_hash_key(key.p, key.n));
    if (!s->tag) return false;
    *value = s->value;
    return true;
}

void mt_map_free(mt_map *m) {
    mt_free(m->slots);
    *m = (mt_map){0};
}

static size_t find64(const mt_map64 *m, uint64_t key) {
    size_t i = (size_t)hash64(key) & m->mask;
    while (m->keys[i] != UINT64_MAX && m->keys[i] != key) i = (i + 1) & m->mask;
    return i;
}

mt_status mt_map64_reserve(mt_map64 *m, size_t count, mt_error *err) {
    size_t cap;
    if (!table_size(count, &cap)) return mt_nomem(err, SIZE_MAX, "a map");
    if (m->keys && cap <= m->mask + 1) return MT_OK;
    mt_map64 grown = {mt_array(cap, sizeof(uint64_t)), mt_array(cap, sizeof(int32_t)), cap - 1, m->count};
    if (!grown.keys || !grown.values) {
        mt_map64_free(&grown);
        return mt_nomem(err, cap * 12, "a map");
    }
    memset(grown.keys, 0xFF, cap * sizeof(uint64_t));
    for (size_t i = 0; m->keys && i <= m->mask; i++)
        if (m->keys[i] != UINT64_MAX) {
            size_t j = find64(&grown, m->keys[i]);
            grown.keys[j] = m->keys[i];
            grown.values[j] = m->values[i];
        }
    mt_map64_free(m);
    *m = grown;
    return MT_OK;
}

mt_status mt_map64_set(mt_map64 *m, uint64_t key, int32_t value, mt_error *err) {
    MT_TRY(mt_map64_reserve(m, m->count + 1, err));
    size_t i = find64(m, key);
    if (m->keys[i] == UINT64_MAX) m->count++;
    m->keys[i] = key;
    m->values[i] = value;
    return MT_OK;
}

bool mt_map64_get(const mt_map64 *m, uint64_t key, int32_t *value) {
    if (!m->keys) return false;
    size_t i = find64(m, key);
    if (m->keys[i] == UINT64_MAX) return false;
    *value = m->values[i];
    return true;
}

void mt_map64_free(mt_map64 *m) {
    mt_free(m->keys);
    mt_free(m->values);
    *m = (mt_map64){0};
}
