/* A source's insides, for markov.c and markov_model.c. */
#ifndef MT_MARKOV_SOURCE_H
#define MT_MARKOV_SOURCE_H

#include "markov.h"

struct mt_markov {
    int32_t letters, order, contexts;
    uint8_t letter[256];
    int16_t index[256]; /* of a byte, -1: no letter */
    double *next;       /* [contexts][letters] */
    double *stationary; /* [contexts] */
};

#endif
