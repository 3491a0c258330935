/* Backtracking with a memory: no (instruction, position) from which the rest of the pattern failed is tried again, so
 * the work is bounded by instructions * positions. Where the pattern cannot be an automaton this engine finds the
 * matches, and the tests compare the automaton with it.
 *
 * The memory is a bit per (instruction, position), in pages of 64 positions that are made when they are touched. The
 * bodies of look-around and atomic groups run as matches of their own; after a successful one its marks are taken back,
 * because a mark means "fails from here". */
#include "regex.h"

enum { PAGE = 64, SPARE = 16 };

typedef struct job {
    int32_t pc;
    size_t pos;
} job;

struct mt_back {
    const mt_program *program;
    uint64_t **pages; /* [position / PAGE] -> PAGE positions * instructions, one word an instruction */
    size_t pages_cap;
    uint32_t *touched; /* pages in use */
    size_t touched_n, touched_cap;
    uint64_t *spare[SPARE]; /* zeroed pages */
    size_t spare_n;
    job *stack;
    size_t stack_n, stack_cap;
    job *marks; /* made since a body began */
    size_t marks_n, marks_cap;
    int bodies;    /* how deep in bodies we are */
    size_t behind; /* bytes that look-behinds may go back before the start */
    uint64_t steps, budget;
    /* of the running match */
    const uint8_t *text;
    size_t n, base; /* positions are counted from base */
    mt_error *err;
};

mt_status mt_back_new(const mt_program *p, mt_back **out, mt_error *err) {
    *out = mt_calloc(1, sizeof **out);
    if (!*out) return mt_nomem(err, sizeof **out, "a backtracking engine");
    (*out)->program = p;
    for (size_t i = 0; i < p->n; i++)
        if (p->v[i].op == MT_OP_LOOK && p->v[i].behind) (*out)->behind += 4 * (size_t)p->v[i].set;
    return MT_OK;
}

static void forget(mt_back *b) {
    for (size_t i = 0; i < b->touched_n; i++) {
        uint64_t *words = b->pages[b->touched[i]];
        b->pages[b->touched[i]] = NULL;
        if (b->spare_n < SPARE) {
            memset(words, 0, b->program->n * sizeof *words);
            b->spare[b->spare_n++] = words;
        } else
            mt_free(words);
    }
    b->touched_n = 0;
}

void mt_back_free(mt_back *b) {
    if (!b) return;
    forget(b);
    while (b->spare_n) mt_free(b->spare[--b->spare_n]);
    mt_free(b->pages);
    mt_free(b->touched);
    mt_free(b->stack);
    mt_free(b->marks);
    mt_free(b);
}

uint64_t mt_back_steps(const mt_back *b) {
    return b->steps;
}

/* Marks (pc, pos); *was: it was marked before. */
static mt_status mark(mt_back *b, int32_t pc, size_t pos, bool *was) {
    size_t page = (pos - b->base) / PAGE;
    uint64_t *words = b->pages[page], bit = UINT64_C(1) << (pos - b->base) % PAGE;
    if (!words) {
        MT_TRY(mt_grow((void **)&b->touched, &b->touched_cap, b->touched_n + 1, sizeof *b->touched, b->err));
        words = b->spare_n ? b->spare[--b->spare_n] : mt_calloc(b->program->n, sizeof *words);
        if (!words) return mt_nomem(b->err, b->program->n * sizeof *words, "the memory of a backtracking match");
        b->pages[page] = words;
        b->touched[b->touched_n++] = (uint32_t)page;
    }
    *was = words[pc] & bit;
    if (*was) return MT_OK;
    words[pc] |= bit;
    if (!b->bodies) return MT_OK;
    MT_TRY(mt_grow((void **)&b->marks, &b->marks_cap, b->marks_n + 1, sizeof *b->marks, b->err));
    b->marks[b->marks_n++] = (job){pc, pos};
    return MT_OK;
}

static uint32_t char_at(const mt_back *b, size_t pos, size_t *len) {
    uint32_t cp;
    int n = mt_utf8_decode(b->text + pos, b->n - pos, &cp);
    *len = n ? (size_t)n : 1;
    return n ? cp : MT_CP_INVALID;
}

/* The character that ends at pos > 0: a valid sequence of just that length, or one invalid byte. */
static uint32_t char_before(const mt_back *b, size_t pos, size_t *len) {
    uint32_t cp;
    for (*len = 1; *len <= 4 && *len <= pos; ++*len)
        if (mt_utf8_decode(b->text + pos - *len, *len, &cp) == (int)*len) return cp;
    *len = 1;
    return MT_CP_INVALID;
}

static bool holds(const mt_back *b, mt_assert_kind kind, size_t pos) {
    size_t len;
    bool before, after;
    switch (kind) {
    case MT_A_TEXT_BEGIN:
        return pos == 0;
    case MT_A_TEXT_END:
        return pos == b->n;
    case MT_A_LINE_BEGIN:
        return pos == 0 || b->text[pos - 1] == '\n';
    case MT_A_WORD:
    case MT_A_NOT_WORD:
        break;
    }
    const mt_set *word = &b->program->sets.v[b->program->word];
    before = pos > 0 && mt_set_has(word, char_before(b, pos, &len));
    after = pos < b->n && mt_set_has(word, char_at(b, pos, &len));
    return (before != after) == (kind == MT_A_WORD);
}

static mt_status run(mt_back *b, int32_t start, size_t pos, bool *matched, size_t *end);

/* A look-around or atomic body. Recursion is as deep as such groups nest in the pattern. */
static mt_status run_body(mt_back *b, const mt_inst *in, size_t pos, bool *matched, size_t *end) {
    size_t marks = b->marks_n, stack = b->stack_n;
    *matched = false;
    for (int32_t i = in->behind ? in->set : 0; i > 0; i--) {
        if (pos == 0) return MT_OK;
        size_t len;
        char_before(b, pos, &len);
        pos -= len;
    }
    b->bodies++;
    mt_status status = run(b, in->other, pos, matched, end);
    b->bodies--;
    b->stack_n = stack;
    if (status == MT_OK && *matched) {
        for (size_t i = marks; i < b->marks_n; i++) {
            job m = b->marks[i];
            b->pages[(m.pos - b->base) / PAGE][m.pc] &= ~(UINT64_C(1) << (m.pos - b->base) % PAGE);
        }
        b->marks_n = marks;
    } else if (!b->bodies)
        b->marks_n = 0; /* the failures stay marked */
    return status;
}

static mt_status push(mt_back *b, int32_t pc, size_t pos) {
    MT_TRY(mt_grow((void **)&b->stack, &b->stack_cap, b->stack_n + 1, sizeof *b->stack, b->err));
    b->stack[b->stack_n++] = (job){pc, pos};
    return MT_OK;
}

static mt_status run(mt_back *b, int32_t start, size_t pos, bool *matched, size_t *end) {
    const mt_program *p = b->program;
    size_t bottom = b->stack_n;
    *matched = false;
    MT_TRY(push(b, start, pos));
    while (b->stack_n > bottom) {
        job j = b->stack[--b->stack_n];
        for (bool alive = true; alive;) {
            const mt_inst *in = &p->v[j.pc];
            bool was, inner;
            size_t len, inner_end;
            if (++b->steps > b->budget)
                return mt_fail_at(b->err, MT_ELIMIT, j.pos,
                                  "the regular expression took more than %llu backtracking steps near byte %zu",
                                  (unsigned long long)b->budget, j.pos);
            switch ((mt_op)in->op) {
            case MT_OP_MATCH:
                *matched = true;
                *end = j.pos;
                b->stack_n = bottom;
                return MT_OK;
            case MT_OP_SET:
                alive = j.pos < b->n && mt_set_has(&p->sets.v[in->set], char_at(b, j.pos, &len));
                if (alive) j = (job){in->next, j.pos + len};
                break;
            case MT_OP_SPLIT:
                MT_TRY(mark(b, j.pc, j.pos, &was));
                alive = !was;
                if (alive) MT_TRY(push(b, in->other, j.pos));
                j.pc = in->next;
                break;
            case MT_OP_END:
                alive = j.pos == b->n;
                j.pc = in->next;
                break;
            case MT_OP_ASSERT:
                alive = holds(b, (mt_assert_kind)in->set, j.pos);
                j.pc = in->next;
                break;
            case MT_OP_ATOMIC:
                MT_TRY(run_body(b, in, j.pos, &inner, &inner_end));
                alive = inner;
                if (alive) j = (job){in->next, inner_end};
                break;
            case MT_OP_LOOK:
                MT_TRY(run_body(b, in, j.pos, &inner, &inner_end));
                alive = inner != in->negative;
                j.pc = in->next;
                break;
            }
        }
    }
    return MT_OK;
}

mt_status mt_back_find(mt_back *b, const uint8_t *text, size_t n, size_t at, bool anchored, bool *found, size_t *begin,
                       size_t *end, mt_error *err) {
    b->text = text;
    b->n = n;
    b->base = at - (b->behind < at ? b->behind : at);
    b->err = err;
    b->stack_n = b->marks_n = 0;
    b->bodies = 0;
    size_t pages = (n - b->base) / PAGE + 1, had = b->pages_cap;
    MT_TRY(mt_grow((void **)&b->pages, &b->pages_cap, pages, sizeof *b->pages, err));
    if (b->pages_cap > had) memset(b->pages + had, 0, (b->pages_cap - had) * sizeof *b->pages);
    uint64_t allowed;
    if (!mt_mul_u64((uint64_t)MT_REGEX_BACK_FACTOR * b->program->n, n - at, &allowed)) allowed = UINT64_MAX / 2;
    b->budget = b->steps + allowed + MT_REGEX_BACK_STEPS;
    mt_status status;
    *found = false;
    for (size_t pos = at;;) { /* failures are remembered from one start to the next: they do not depend on it */
        status = run(b, b->program->start, pos, found, end);
        if (status != MT_OK) break;
        *begin = pos;
        if (*found || anchored || pos >= n) break;
        size_t len;
        char_at(b, pos, &len);
        pos += len;
    }
    forget(b);
    return status;
}
