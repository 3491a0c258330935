/* The JSON parser: skipping a text and reading it value by value find the same end, or both fail. */
#include "base/json.h"
#include "fuzz.h"

static void read_value(mt_json *j) {
    mt_str key;
    switch (mt_json_peek(j)) {
    case MT_JSON_NULL:
        mt_json_null(j);
        break;
    case MT_JSON_BOOL:
        mt_json_bool(j);
        break;
    case MT_JSON_NUMBER:
        mt_json_number(j);
        break;
    case MT_JSON_STRING: {
        mt_str s = mt_json_string(j);
        if (j->status == MT_OK) DEMAND(s.n == 0 || s.p, "a string without bytes");
        break;
    }
    case MT_JSON_ARRAY:
        if (mt_json_array(j) == MT_OK)
            while (mt_json_next(j)) read_value(j);
        break;
    case MT_JSON_OBJECT:
        if (mt_json_object(j) == MT_OK)
            while (mt_json_key(j, &key)) read_value(j);
        break;
    case MT_JSON_ERROR:
        mt_json_skip(j);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    begin_input();
    mt_error err = {0};
    mt_json j;
    uint8_t *exact = malloc(size ? size : 1);
    memcpy(exact, data, size);
    mt_json_open(&j, exact, size, &err);
    mt_json_skip(&j);
    bool skipped = ok(mt_json_close(&j), &err);
    mt_json_open(&j, exact, size, &err);
    read_value(&j);
    bool read = ok(mt_json_close(&j), &err);
    /* Skipping does not look into numbers that are too long to keep, nor for what strings would need. */
    DEMAND(!read || skipped, "a text that can be read cannot be skipped: %s", err.text);
    free(exact);
    end_input();
    return 0;
}
