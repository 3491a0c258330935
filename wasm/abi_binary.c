/* ABI of src/token/binary.c: a tokenizer written with its tables ready. */
#include "abi.h"

#include "../src/token/token.h"

/* out is a buf; empty it after. */
MT_EXPORT(tok_to_binary) mt_status abi_tok_to_binary(mt_tok *tok, mt_buf *out) {
    ABI_NEED(tok);
    ABI_NEED(out);
    return mt_tok_to_binary(tok, out, &abi_error);
}
