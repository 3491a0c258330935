/* A JSON pull parser over bytes in memory (RFC 8259), for definitions of tens of megabytes: no tree is built, strings
 * without escapes are borrowed from the input, errors carry the byte offset, nesting is limited (MT_JSON_DEPTH).
 *
 *   mt_json j; mt_json_open(&j, p, n, &err)
 *   MT_TRY(mt_json_object(&j));  while (mt_json_key(&j, &key)) { if (mt_str_is(key, "merges")) ...; else
 * mt_json_skip(&j); }
 *   ...  MT_TRY(mt_json_close(&j));                  errors are sticky: checking once at the end is enough */
#ifndef MT_JSON_H
#define MT_JSON_H

#include "base.h"

enum { MT_JSON_DEPTH = 128 };

typedef enum mt_json_kind {
    MT_JSON_NULL,
    MT_JSON_BOOL,
    MT_JSON_NUMBER,
    MT_JSON_STRING,
    MT_JSON_ARRAY,
    MT_JSON_OBJECT,
    MT_JSON_ERROR
} mt_json_kind;

typedef struct mt_json {
    const uint8_t *begin, *p, *end;
    mt_error *err;
    mt_status status;
    mt_arena arena; /* unescaped strings live here until mt_json_close */
    uint32_t depth;
    bool first[MT_JSON_DEPTH]; /* no element seen yet at this level */
    bool is_object[MT_JSON_DEPTH];
} mt_json;

void mt_json_open(mt_json *j, const uint8_t *p, size_t n, mt_error *err);
mt_status mt_json_close(mt_json *j); /* frees; error when something but white space follows, or an earlier error */

mt_json_kind mt_json_peek(mt_json *j);     /* kind of the next value */
mt_status mt_json_object(mt_json *j);      /* enters { */
bool mt_json_key(mt_json *j, mt_str *key); /* next key of the object, or leaves it and returns false (also on error) */
mt_status mt_json_array(mt_json *j);       /* enters [ */
bool mt_json_next(mt_json *j);             /* is there another element? leaves the array when not (also on error) */
mt_str mt_json_string(mt_json *j);         /* \u escapes become UTF-8; a lone surrogate escape becomes U+FFFD */
double mt_json_number(mt_json *j);         /* correctly rounded */
mt_str mt_json_number_text(mt_json *j);    /* as it is written; empty after an error */
int64_t mt_json_int(mt_json *j);           /* error when not an integer in int64 */
bool mt_json_bool(mt_json *j);
bool mt_json_null(mt_json *j);      /* consumes null and returns true, else consumes nothing */
mt_status mt_json_skip(mt_json *j); /* any value */
/* A value of the wrong kind: "expected WHAT, found a string". */
mt_status mt_json_fail(mt_json *j, mt_status code, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t mt_json_where(const mt_json *j);

#endif
