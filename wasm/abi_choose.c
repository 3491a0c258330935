/* ABI of src/token for who wants more than encoding and decoding: other segmenters. */
#include "abi.h"

#include "../src/token/choose.h"

ABI_LAYOUT(choose, ABI_ENUM(MT_CHOICE_OWN), ABI_ENUM(MT_CHOICE_LONGEST_PREFIX), ABI_ENUM(MT_CHOICE_LONGEST_SUFFIX),
           ABI_ENUM(MT_CHOICE_LONGEST_DROPOUT), ABI_ENUM(MT_CHOICE_FEWEST), ABI_ENUM(MT_CHOICE_LONGEST_FIRST),
           ABI_ENUM(MT_CHOICE_DROPOUT_STEP_ALL), ABI_ENUM(MT_CHOICE_DROPOUT_STEP_ONE),
           ABI_ENUM(MT_CHOICE_DROPOUT_REQUEUE), ABI_ENUM(MT_CHOICE_DROPOUT_DISCARD), ABI_ENUM(MT_CHOICE_SAMPLE),
           ABI_ENUM(MT_CHOICE_UNIFORM), ABI_ENUM(MT_CHOICE_CHARACTERS), ABI_ENUM(MT_CHOICE_BYTES),
           ABI_ENUM(MT_CHOICE_HUFFMAN))

/* What tok_encode_with takes as its choice; holds until the next one is made. */
MT_EXPORT(tok_choice)
const mt_choice *abi_tok_choice(int32_t kind, double p, int32_t random_ties, uint32_t best, double seed,
                                double position, const mt_huffman *huffman) {
    static mt_choice choice;
    choice = (mt_choice){&mt_choices,    (mt_choice_kind)kind, p,      random_ties != 0, best,
                         abi_size(seed), abi_size(position),   huffman};
    return &choice;
}
