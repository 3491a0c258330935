/* `model.microtome` of tokenizer.json: what the format itself cannot say about a model. Other readers skip it.
 *
 *     "microtome": {"segmenter": "picky-bpe", "removed": ["ab"], "events": [[0, 1, -1], [-1, [0, 1]]]}
 *
 * An event is a merge [left, right, result] or a split [token, [part, ...]]; numbers are ids, and -1, -2... count the
 * removed tokens. */
#include "load_json.h"
#include "train.h"

static mt_status add_event(mt_json_reader *r, mt_picky *p) {
    mt_json *j = &r->j;
    int64_t id[3] = {0};
    size_t count = 0, first = p->part.len;
    bool split = false;
    MT_TRY(mt_json_array(j));
    while (mt_json_next(j)) {
        if (count == 1 && mt_json_peek(j) == MT_JSON_ARRAY) {
            split = true;
            MT_TRY(mt_json_array(j));
            while (mt_json_next(j)) {
                int64_t part = mt_json_int(j);
                if (part < INT32_MIN / 2 || part > INT32_MAX / 2)
                    return mt_json_fail(j, MT_ERANGE, "an id of no token");
                MT_TRY(mt_ids_add(&p->part, (int32_t)part, r->err));
            }
            count++;
            continue;
        }
        if (count == 3 || split) return mt_json_fail(j, MT_EFORMAT, "an event of too many parts");
        id[count] = mt_json_int(j);
        if (id[count] < INT32_MIN / 2 || id[count] > INT32_MAX / 2)
            return mt_json_fail(j, MT_ERANGE, "an id of no token");
        count++;
    }
    MT_TRY(j->status);
    size_t parts = p->part.len - first;
    if (split ? parts < 2 : count != 3)
        return mt_json_fail(j, MT_EFORMAT, "expected [left, right, result] or [token, [part, part, ...]]");
    MT_TRY(mt_grow((void **)&p->event, &p->event_cap, p->event_len + 1, sizeof *p->event, r->err));
    p->event[p->event_len++] = split ? (struct mt_picky_event){-1, -1, (int32_t)id[0], (uint32_t)first, (uint32_t)parts}
                                     : (struct mt_picky_event){(int32_t)id[0], (int32_t)id[1], (int32_t)id[2], 0, 0};
    return MT_OK;
}

mt_status mt_json_own(mt_json_reader *r) {
    mt_json *j = &r->j;
    mt_str key, segmenter = mt_str_of("");
    if (r->t->picky) return mt_json_fail(j, MT_EFORMAT, "\"microtome\" is there twice");
    mt_picky *p = r->t->picky = mt_calloc(1, sizeof *p);
    if (!p) return mt_nomem(r->err, sizeof *p, "the events");
    MT_TRY(mt_json_object(j));
    while (mt_json_key(j, &key)) {
        if (mt_str_is(key, "segmenter")) {
            MT_TRY(mt_tok_copy(r->t, mt_json_string(j), &segmenter, r->err));
        } else if (mt_str_is(key, "removed")) {
            int32_t id;
            MT_TRY(mt_json_array(j));
            while (mt_json_next(j)) MT_TRY(mt_vocabulary_add(&p->vocabulary, mt_json_string(j), &id, r->err));
        } else if (mt_str_is(key, "events")) {
            MT_TRY(mt_json_array(j));
            while (mt_json_next(j)) MT_TRY(add_event(r, p));
        } else {
            MT_TRY(mt_json_skip(j));
        }
    }
    MT_TRY(j->status);
    if (!mt_str_is(segmenter, "picky-bpe")) return mt_json_unknown(r, "segmenter", segmenter, "picky-bpe");
    return MT_OK;
}
