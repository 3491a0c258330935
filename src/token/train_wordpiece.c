#include "train.h"
mt_status mt_train_wordpiece(const mt_words *words, const mt_bpe_options *o, mt_vocabulary *out, mt_error *err) {
    (void)words;
    (void)o;
    (void)out;
    return mt_fail(err, MT_EUNKNOWN, "x");
}
