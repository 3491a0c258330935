/* The .bin files of rwkv.cpp: six 32-bit numbers (magic "fmgg", version 100 or 101, vocabulary, width, layers, type),
 * then one tensor after the other: rank, length of the name, type, dimensions (the contiguous one first), name, data.
 * There is no directory: each tensor is announced right before its bytes.
 *
 * The rest of the loader sees a config.json and the names of hub folders. The width of the feed-forward part is in no
 * header: it is the shape of the first layer's matrix, so the file is looked through up to there before the model is
 * made. Only RWKV-4 files are read; "time_decay" holds -exp(w) already. */
#include "container.h"

#include <stdio.h>
#include <stdlib.h>

enum { FIXED = 24, MAGIC = 0x67676d66, MOST_NAME = 255 };

bool mt_rwkvbin_plausible(const uint8_t p[8]) {
    uint32_t version = mt_le32(p + 4);
    return mt_le32(p) == MAGIC && version >= 100 && version <= 101;
}

/* rwkv.cpp's numbers of types; those of its first quantised files (4 to 6, and all of version 100) are gone. */
static uint32_t dtype_of(uint32_t type, uint32_t version) {
    switch (type) {
    case 0:
        return MT_F32;
    case 1:
        return MT_F16;
    case 2:
        return version > 100 ? MT_Q4_0 : UINT32_MAX;
    case 3:
        return version > 100 ? MT_Q4_1 : UINT32_MAX;
    case 7:
        return version > 100 ? MT_Q5_0 : UINT32_MAX;
    case 8:
        return version > 100 ? MT_Q5_1 : UINT32_MAX;
    case 9:
        return version > 100 ? MT_Q8_0 : UINT32_MAX;
    }
    return UINT32_MAX;
}

/* "blocks.3.att.time_mix_k" -> "rwkv.blocks.3.attention.time_mix_key" */
static void hub_name(const char *name, char *out, size_t cap) {
    static const char *const parts[][2] = {{"ln0.", "pre_ln."},
                                           {"att.time_mix_k", "attention.time_mix_key"},
                                           {"att.time_mix_v", "attention.time_mix_value"},
                                           {"att.time_mix_r", "attention.time_mix_receptance"},
                                           {"att.", "attention."},
                                           {"ffn.time_mix_k", "feed_forward.time_mix_key"},
                                           {"ffn.time_mix_r", "feed_forward.time_mix_receptance"},
                                           {"ffn.", "feed_forward."}};
    char *end = NULL;
    long layer = strncmp(name, "blocks.", 7) == 0 ? strtol(name + 7, &end, 10) : 0;
    if (strcmp(name, "emb.weight") == 0)
        snprintf(out, cap, "rwkv.embeddings.weight");
    else if (strncmp(name, "ln_out.", 7) == 0)
        snprintf(out, cap, "rwkv.%s", name);
    else if (end && end > name + 7 && *end == '.') {
        const char *rest = end + 1;
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            size_t n = strlen(parts[i][0]);
            if (strncmp(rest, parts[i][0], n) != 0) continue;
            snprintf(out, cap, "rwkv.blocks.%ld.%s%s", layer, parts[i][1], rest + n);
            return;
        }
        snprintf(out, cap, "rwkv.blocks.%ld.%s", layer, rest);
    } else {
        snprintf(out, cap, "%s", name);
    }
}

typedef struct announced {
    char name[MOST_NAME + 1];
    uint32_t rank, type, dtype;
    int64_t dims[4]; /* as in the file: contiguous first */
    size_t header;
    uint64_t bytes;
} announced;

/* What stands before a tensor's bytes. More is needed: MT_OK with *need > n; else *need is 0. */
static mt_status announce(const uint8_t *p, size_t n, uint64_t at, uint32_t version, announced *a, size_t *need,
                          mt_error *err) {
    *need = 12;
    if (n < 12) return MT_OK;
    uint32_t length = mt_le32(p + 4);
    a->rank = mt_le32(p);
    a->type = mt_le32(p + 8);
    if (a->rank < 1 || a->rank > 4 || length < 1 || length > MOST_NAME)
        return mt_fail_at(err, MT_EFORMAT, at,
                          "rwkv.cpp: a tensor of rank %u with a name of %u bytes, expected 1 to 4 and 1 to %d",
                          (unsigned)a->rank, (unsigned)length, MOST_NAME);
    a->header = 12 + 4 * (size_t)a->rank + length;
    *need = a->header;
    if (n < a->header) return MT_OK;
    *need = 0;
    memcpy(a->name, p + 12 + 4 * a->rank, length);
    a->name[length] = 0;
    a->dtype = dtype_of(a->type, version);
    const mt_dtype_info *type = a->dtype == UINT32_MAX ? NULL : mt_dtype_find(a->dtype);
    if (!type)
        return mt_fail_at(
            err, MT_EUNKNOWN, at,
            "rwkv.cpp: tensor \"%s\" has type %u, file version %u (known: 0, 1; since version 101 also 2, "
            "3, 7, 8, 9)",
            a->name, (unsigned)a->type, (unsigned)version);
    uint64_t elements = 1;
    for (uint32_t d = 0; d < a->rank; d++) {
        a->dims[d] = (int64_t)mt_le32(p + 12 + 4 * d);
        if (a->dims[d] < 1 || a->dims[d] > INT32_MAX || (elements *= (uint64_t)a->dims[d]) > (uint64_t)1 << 48)
            return mt_fail_at(err, MT_ERANGE, at, "rwkv.cpp: tensor \"%s\" has more than 2^48 elements or none",
                              a->name);
    }
    if ((uint64_t)a->dims[0] % type->block)
        return mt_fail_at(err, MT_EFORMAT, at, "rwkv.cpp: tensor \"%s\": rows of %lld elements are no multiple of %u",
                          a->name, (long long)a->dims[0], type->block);
    a->bytes = elements / type->block * type->bytes;
    return MT_OK;
}

mt_status mt_rwkvbin_config(const uint8_t *p, size_t n, size_t *need, mt_config **out, mt_error *err) {
    *need = FIXED;
    if (n < FIXED) return MT_OK;
    uint32_t version = mt_le32(p + 4), vocab = mt_le32(p + 8), width = mt_le32(p + 12), layers = mt_le32(p + 16);
    for (size_t at = FIXED;;) {
        announced a;
        size_t more;
        MT_TRY(announce(p + at, n - at, at, version, &a, &more, err));
        if (more) {
            *need = at + more;
            return MT_OK;
        }
        if (strstr(a.name, ".ln_x.") || strstr(a.name, ".time_maa_") || strstr(a.name, ".x_rwkvag"))
            return mt_fail_at(err, MT_EUNKNOWN, at,
                              "rwkv.cpp: tensor \"%s\" belongs to RWKV-5 or a later version (known: RWKV-4)", a.name);
        if (strcmp(a.name, "blocks.0.ffn.key.weight") == 0 && a.rank == 2) {
            char json[320];
            int length =
                snprintf(json, sizeof json,
                         "{\"model_type\":\"rwkv\",\"hidden_size\":%u,\"attention_hidden_size\":%u,"
                         "\"intermediate_size\":%lld,\"num_hidden_layers\":%u,\"vocab_size\":%u,"
                         "\"layer_norm_epsilon\":1e-05,\"tie_word_embeddings\":false}",
                         (unsigned)width, (unsigned)width, (long long)a.dims[1], (unsigned)layers, (unsigned)vocab);
            *need = 0;
            return mt_config_parse((const uint8_t *)json, (size_t)length, out, err);
        }
        if (a.bytes > SIZE_MAX / 4 || at + a.header > SIZE_MAX / 2 - a.bytes)
            return mt_fail_at(err, MT_ELIMIT, at, "rwkv.cpp: tensor \"%s\" does not fit the address space", a.name);
        at += a.header + (size_t)a.bytes;
        if (at > n) {
            *need = at + 12;
            return MT_OK;
        }
    }
}

mt_status mt_rwkvbin_entry(const uint8_t *p, size_t n, uint64_t at, uint32_t version, mt_arena *arena, size_t *need,
                           mt_entry *out, mt_error *err) {
    announced a;
    char name[MOST_NAME + 64];
    MT_TRY(announce(p, n, at, version, &a, need, err));
    if (*need) return MT_OK;
    hub_name(a.name, name, sizeof name);
    size_t length = strlen(name);
    const uint8_t *kept = mt_arena_copy(arena, name, length);
    if (!kept) return mt_nomem(err, length, "a tensor's name");
    *out = (mt_entry){.name = {kept, length},
                      .n_dims = (int32_t)a.rank,
                      .type = a.dtype,
                      .begin = at + a.header,
                      .bytes = a.bytes,
                      .source = -1};
    snprintf(out->type_name, sizeof out->type_name, "%s", mt_dtype_find(a.dtype)->name);
    for (uint32_t d = 0; d < a.rank; d++) out->dims[d] = a.dims[a.rank - 1 - d];
    return MT_OK;
}
