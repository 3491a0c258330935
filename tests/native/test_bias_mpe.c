/* Branch and pass on token models that are exact by construction: a Markov source over {A, B}, all strings of length
 * 14, tokenized longest match first, tabulated. The corrected answer must be the source's transition probability. */
#include "test.h"
#include "bias/bias.h"

static mt_error err;

enum { LENGTH = 14, STRINGS = 1 << LENGTH };
typedef struct source {
    mt_mpe v;
    int order;
    double next_a[8], start[8]; /* by context (last `order` letters, A = 0, oldest first) */
    mt_map table;               /* token prefix -> row of masses */
    mt_arena keys;
    double (*mass)[16];
    size_t mass_cap;
    int32_t rows;
    uint8_t path[4096][LENGTH]; /* contexts: their tokens */
    uint8_t length[4096];
    int32_t contexts;
} source;

static int32_t row_of(source *s, const uint8_t *tokens, size_t n) {
    int32_t k;
    if (mt_map_get(&s->table, (mt_str){tokens, n}, &k)) return k;
    CHECK_OK(mt_grow((void **)&s->mass, &s->mass_cap, (size_t)s->rows + 1, sizeof *s->mass, &err));
    memset(s->mass[s->rows], 0, sizeof *s->mass);
    CHECK_OK(mt_map_set(&s->table, (mt_str){mt_arena_copy(&s->keys, tokens, n), n}, s->rows, &err));
    return s->rows++;
}

static void tabulate(source *s) {
    int states = 1 << s->order;
    for (int i = 0; i < states; i++) s->start[i] = 1.0 / states;
    for (int round = 0; round < 20000; round++) { /* stationary start */
        double after[8] = {0};
        for (int i = 0; i < states; i++) {
            after[(i << 1) & (states - 1)] += s->start[i] * s->next_a[i];
            after[((i << 1) | 1) & (states - 1)] += s->start[i] * (1 - s->next_a[i]);
        }
        memcpy(s->start, after, sizeof after);
    }
    for (int z = 0; z < STRINGS; z++) {
        char text[LENGTH];
        double p;
        int state = 0;
        for (int i = 0; i < LENGTH; i++) text[i] = z >> (LENGTH - 1 - i) & 1 ? 'B' : 'A';
        for (int i = 0; i < s->order; i++) state = state << 1 | (text[i] == 'B');
        p = s->start[state];
        for (int i = s->order; i < LENGTH; i++) {
            p *= text[i] == 'A' ? s->next_a[state] : 1 - s->next_a[state];
            state = (state << 1 | (text[i] == 'B')) & (states - 1);
        }
        uint8_t tokens[LENGTH];
        size_t n = 0;
        for (size_t at = 0; at < LENGTH;) {
            int32_t best = -1;
            for (int32_t t = 0; t < s->v.count; t++)
                if (s->v.token[t].n <= LENGTH - at && memcmp(s->v.token[t].p, text + at, s->v.token[t].n) == 0 &&
                    (best < 0 || s->v.token[t].n > s->v.token[best].n))
                    best = t;
            int32_t row = row_of(s, tokens, n);
            s->mass[row][best] += p;
            tokens[n++] = (uint8_t)best;
            at += s->v.token[best].n;
        }
        int32_t row = row_of(s, tokens, n);
        s->mass[row][s->v.count] += p;
    }
}

static mt_status extend(void *self, int32_t n, const int32_t *parent, const int32_t *token, int32_t *context,
                        mt_error *e) {
    source *s = self;
    (void)e;
    for (int32_t i = 0; i < n; i++) {
        int32_t p = parent[i] <= -2 ? context[-2 - parent[i]] : parent[i], c = ++s->contexts;
        memcpy(s->path[c], s->path[p], LENGTH);
        s->length[c] = s->length[p];
        s->path[c][s->length[c]++] = (uint8_t)token[i];
        context[i] = c;
    }
    return MT_OK;
}
static mt_status next(void *self, int32_t context, double *out, mt_error *e) {
    source *s = self;
    double sum = 0;
    (void)e;
    int32_t row = row_of(s, s->path[context], s->length[context]);
    const double *mass = s->mass[row];
    for (int32_t t = 0; t <= s->v.count; t++) sum += mass[t];
    for (int32_t t = 0; t <= s->v.count; t++) out[t] = sum > 0 ? log(mass[t] / sum) : -INFINITY;
    return MT_OK;
}
static void drop(void *self, int32_t context) {
    source *s = self;
    CHECK(context == s->contexts, "not the last one");
    s->contexts--;
}
static mt_lm lm_of(source *s) {
    return (mt_lm){.self = s, .vocab = s->v.count + 1, .end = s->v.count, .extend = extend, .next = next, .drop = drop};
}
static void source_free(source *s) {
    mt_map_free(&s->table);
    mt_arena_free(&s->keys);
    mt_free(s->mass);
}

static void first_order(void) {
    static const struct {
        const char *x;
        double naive, corrected;
        int calls;
    } want[] = {{"BA", 0, .6, 2},   {"BAAA", 0, .6, 3}, {"A", 0, .6, 1},
                {"BAA", .6, .6, 2}, {"AA", .6, .6, 1},  {"AB", .3, .3, 2}};
    static source s;
    mt_str token[] = {mt_str_of("A"), mt_str_of("B"), mt_str_of("AA")};
    s = (source){.v = {token, 3}, .order = 1, .next_a = {.6, .3}};
    tabulate(&s);
    mt_lm lm = lm_of(&s);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        double p[257], naive[257], text;
        int32_t calls;
        CHECK_OK(mt_mpe_next(&s.v, &lm, (const uint8_t *)want[i].x, strlen(want[i].x), false, p, naive, &text, &calls,
                             &err));
        CHECK(fabs(exp(p['A']) - want[i].corrected) < 1e-12, "%s: %.15g", want[i].x, exp(p['A']));
        CHECK(fabs(exp(p['A']) + exp(p['B']) - 1) < 1e-12, "%s: sum", want[i].x);
        CHECK(fabs(exp(naive['A']) - want[i].naive) < 1e-12, "%s: naive %.15g", want[i].x, exp(naive['A']));
        CHECK(calls == want[i].calls, "%s: %d calls", want[i].x, calls);
    }
    double p[257], naive[257], text;
    int32_t calls;
    CHECK(mt_mpe_next(&s.v, &lm, (const uint8_t *)"AC", 2, false, p, naive, &text, &calls, &err) == MT_ERANGE, "%s",
          err.text);
    source_free(&s);
}

static void third_order(void) {
    static const double average[8] = {.328, .200, .057, 0, .188, 0, .153, 0};
    static source s;
    mt_str token[] = {mt_str_of("A"),    mt_str_of("B"),    mt_str_of("AA"), mt_str_of("BAAB"),
                      mt_str_of("BBAA"), mt_str_of("BBBA"), mt_str_of("BA"), mt_str_of("BBA")};
    s = (source){.v = {token, 8}, .order = 3, .next_a = {.5, .8, .1, .5, .6, .5, .3, .2}};
    tabulate(&s);
    mt_lm lm = lm_of(&s);
    double worst = 0, anchored = 0, sum[8] = {0};
    int saved = 0, total = 0;
    for (int n = 4; n <= 8; n++)
        for (int z = 0; z < 1 << n; z++) {
            char x[9];
            double p[257], q[257], naive[257], text, text2;
            int32_t calls, fewer;
            for (int i = 0; i < n; i++) x[i] = z >> (n - 1 - i) & 1 ? 'B' : 'A';
            CHECK_OK(mt_mpe_next(&s.v, &lm, (uint8_t *)x, (size_t)n, false, p, naive, &text, &calls, &err));
            CHECK_OK(mt_mpe_next(&s.v, &lm, (uint8_t *)x, (size_t)n, true, q, naive, &text2, &fewer, &err));
            double truth = s.next_a[z & 7];
            if (fabs(exp(p['A']) - truth) > worst) worst = fabs(exp(p['A']) - truth);
            if (fabs(exp(q['A']) - truth) > anchored) anchored = fabs(exp(q['A']) - truth);
            saved += calls - fewer;
            total += calls;
            if (n == 8) sum[z & 7] += exp(naive['A']) / 32;
        }
    printf("# largest error %.2g, from anchors %.2g (%d of %d model calls saved)\n", worst, anchored, saved, total);
    CHECK(worst < 2e-15 && anchored < 1e-14, "%g %g", worst, anchored);
    for (int i = 0; i < 8; i++) CHECK(fabs(sum[i] - average[i]) < 6e-4, "naive average %d: %.4f", i, sum[i]);
    source_free(&s);
}

int main(void) {
    CASE("first-order source: the corrected answers and the number of model calls");
    first_order();
    CASE("third-order source: all contexts of length 4 to 8");
    third_order();
    return test_end();
}
