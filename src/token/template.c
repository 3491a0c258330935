/* Post-processors as templates: texts and special tokens in their order, each with a segment id.
 *
 *     BERT, two texts:     [CLS]:0 A:0 [SEP]:0 B:1 [SEP]:1
 *     RoBERTa, two texts:  <s>:0 A:0 </s>:0 </s>:0 B:0 </s>:0 */
#include "tok.h"

static mt_status add(mt_template *p, int32_t text, int32_t id, uint32_t type, mt_error *err) {
    MT_TRY(mt_grow((void **)&p->item, &p->cap, p->len + 1, sizeof *p->item, err));
    p->item[p->len++] = (struct mt_template_item){text, id, type};
    p->set = true;
    return MT_OK;
}

mt_status mt_template_text(mt_template *p, int32_t text, uint32_t type, mt_error *err) {
    return add(p, text, -1, type, err);
}
mt_status mt_template_special(mt_template *p, int32_t id, uint32_t type, mt_error *err) {
    return id < 0 ? MT_OK : add(p, -1, id, type, err);
}

mt_status mt_template_around(mt_template *p, int32_t begin, int32_t end, mt_error *err) {
    MT_TRY(mt_template_special(p, begin, 0, err));
    MT_TRY(mt_template_text(p, 0, 0, err));
    return mt_template_special(p, end, 0, err);
}

mt_status mt_template_settle(mt_tok *t, bool classifier, mt_error *err) {
    if (!t->one.set) MT_TRY(mt_template_around(&t->one, -1, -1, err));
    if (t->two.set) return MT_OK;
    for (uint32_t text = 0; text < 2; text++) {
        bool seen = false;
        for (size_t i = 0; i < t->one.len; i++) {
            const struct mt_template_item x = t->one.item[i];
            seen |= x.text >= 0;
            if (x.text >= 0)
                MT_TRY(mt_template_text(&t->two, (int32_t)text, text, err));
            else if (seen || !text || !classifier)
                MT_TRY(mt_template_special(&t->two, x.id, text, err));
        }
    }
    return MT_OK;
}

int32_t mt_template_first(const mt_template *p) {
    return p->len && p->item[0].text < 0 ? p->item[0].id : -1;
}
int32_t mt_template_last(const mt_template *p) {
    return p->len && p->item[p->len - 1].text < 0 ? p->item[p->len - 1].id : -1;
}
