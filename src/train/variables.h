/* What holds the variables: for the files of this folder. */
#ifndef MT_VARIABLES_H
#define MT_VARIABLES_H

#include "train.h"

struct mt_variables {
    mt_variable **list;
    int32_t count;
    size_t capacity;
    mt_map by_name;
    mt_map64 by_key;
};

#endif
