/* Backtracking with a memory: no (instruction, position) from which the rest of the pattern failed is tried again, so
 * the work is bounded by instructions * positions. Where the pattern cannot be an automaton this engine finds the
 * matches, and the tests compare the automaton with it.
 *
 * The memory is a bit per (instruction, position), in pages of 64 positions that are made when they are touched. The
 * bodies of look-around and atomic groups run as matches of their own. A success takes back the marks along its way,
 * the trail: all other marks mean "fails from here", and stay for the bodies and the matches that follow in the same
 * text. What lies on the way of a body's success is remembered too (every 32nd position), with the end of that body.
 * So looking for all matches of a text is linear, as looking for one is: a.*b|a, a(?=.*b)|a.
 *
 * One thing is neither: what was given up because it led back to the same place without reading anything. A success
 * after that takes all marks of its run back; should such a pattern need many, the bound on steps ends it. */
#include "regex.h"

enum { PAGE = 64, SPARE = 16, SAMPLE = 32 };

typedef struct job {
    int32_t pc;
    size_t pos;
    size_t trail; /* its length when the job was put off */
} job;

struct mt_back {
    const mt_program *program;
    uint64_t **pages; /* [position / PAGE] -> PAGE positions * instructions, one word an instruction */
    size_t pages_cap;
    size_t low, high;       /* pages in use are among these */
    uint64_t *spare[SPARE]; /* zeroed pages */
    size_t spare_n;
    job *stack;
    size_t stack_n, stack_cap;
    job *trail; /* marks on the way that is being tried, all runs under way one after the other */
    size_t trail_n, trail_cap;
    job *marks; /* all of them since a body began */
    size_t marks_n, marks_cap;
    mt_map64 good; /* (instruction, position) in a body: matches, to this end */
    bool looped;   /* the run has come back to a place without reading anything */
    int bodies;    /* how deep in bodies we are */
    size_t behind; /* bytes that look-behinds may go back before the start */
    uint64_t steps, allowed, budget;
    /* of the running match */
    const uint8_t *text;
    size_t n;
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

/* Pages before `upto` are not needed any more. */
static void drop_pages(mt_back *b, size_t upto) {
    for (; b->low < upto && b->low < b->high; b->low++) {
        uint64_t *words = b->pages[b->low];
        b->pages[b->low] = NULL;
        if (words && b->spare_n < SPARE) {
            memset(words, 0, b->program->n * sizeof *words);
            b->spare[b->spare_n++] = words;
        } else
            mt_free(words);
    }
    if (b->low == b->high) b->low = b->high = 0;
}

void mt_back_forget(mt_back *b) {
    drop_pages(b, SIZE_MAX);
    if (b->good.count) mt_map64_free(&b->good);
}

void mt_back_free(mt_back *b) {
    if (!b) return;
    mt_back_forget(b);
    while (b->spare_n) mt_free(b->spare[--b->spare_n]);
    mt_free(b->pages);
    mt_free(b->stack);
    mt_free(b->trail);
    mt_free(b->marks);
    mt_free(b);
}

uint64_t mt_back_steps(const mt_back *b) {
    return b->steps;
}

static uint64_t bit_of(size_t pos) {
    return UINT64_C(1) << pos % PAGE;
}

/* Marks (pc, pos); *was: it was marked before. */
static mt_status mark(mt_back *b, int32_t pc, size_t pos, size_t run_trail, bool *was) {
    size_t page = pos / PAGE;
    uint64_t *words = b->pages[page];
    if (!words) {
        words = b->spare_n ? b->spare[--b->spare_n] : mt_calloc(b->program->n, sizeof *words);
        if (!words) return mt_nomem(b->err, b->program->n * sizeof *words, "the memory of a backtracking match");
        b->pages[page] = words;
        if (b->low == b->high) b->low = b->high = page;
        if (page < b->low) b->low = page;
        if (page >= b->high) b->high = page + 1;
    }
    *was = words[pc] & bit_of(pos);
    if (*was) {
        for (size_t i = b->trail_n; i > run_trail && b->trail[i - 1].pos == pos; i--)
            b->looped |= b->trail[i - 1].pc == pc;
        return MT_OK;
    }
    words[pc] |= bit_of(pos);
    MT_TRY(mt_grow((void **)&b->trail, &b->trail_cap, b->trail_n + 1, sizeof *b->trail, b->err));
    b->trail[b->trail_n++] = (job){pc, pos, 0};
    if (!b->bodies) return MT_OK;
    MT_TRY(mt_grow((void **)&b->marks, &b->marks_cap, b->marks_n + 1, sizeof *b->marks, b->err));
    b->marks[b->marks_n++] = (job){pc, pos, 0};
    return MT_OK;
}

static void take_back(mt_back *b, const job *list, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) b->pages[list[i].pos / PAGE][list[i].pc] &= ~bit_of(list[i].pos);
}

static uint64_t place(int32_t pc, size_t pos) {
    return (uint64_t)pos << 24 | (uint32_t)pc; /* programs have less than 2^24 instructions */
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
    size_t marks = b->marks_n, trail = b->trail_n;
    bool looped = b->looped;
    *matched = false;
    for (int32_t i = in->behind ? in->set : 0; i > 0; i--) {
        if (pos == 0) return MT_OK;
        size_t len;
        char_before(b, pos, &len);
        pos -= len;
    }
    b->bodies++;
    b->looped = false;
    mt_status status = run(b, in->other, pos, matched, end);
    b->bodies--;
    if (status == MT_OK && *matched && b->looped)
        take_back(b, b->marks, marks, b->marks_n);
    else if (status == MT_OK && *matched) {
        take_back(b, b->trail, trail, b->trail_n);
        for (size_t i = trail; i < b->trail_n && status == MT_OK; i++)
            if (b->trail[i].pos % SAMPLE == 0)
                status = mt_map64_set(&b->good, place(b->trail[i].pc, b->trail[i].pos), (int32_t)*end, b->err);
    }
    b->marks_n = marks;
    b->looped = looped;
    b->trail_n = trail;
    return status;
}

static mt_status push(mt_back *b, int32_t pc, size_t pos) {
    MT_TRY(mt_grow((void **)&b->stack, &b->stack_cap, b->stack_n + 1, sizeof *b->stack, b->err));
    b->stack[b->stack_n++] = (job){pc, pos, b->trail_n};
    return MT_OK;
}

/* After a match the trail shows its way from `bottom` on; after a failure it is empty there. */
static mt_status run(mt_back *b, int32_t start, size_t pos, bool *matched, size_t *end) {
    const mt_program *p = b->program;
    size_t bottom = b->stack_n, trail = b->trail_n;
    *matched = false;
    MT_TRY(push(b, start, pos));
    while (b->stack_n > bottom) {
        job j = b->stack[--b->stack_n];
        b->trail_n = j.trail;
        for (bool alive = true; alive;) {
            const mt_inst *in = &p->v[j.pc];
            bool was, inner;
            size_t len, inner_end;
            int32_t known;
            if (++b->steps > b->budget)
                return mt_fail_at(b->err, MT_ELIMIT, j.pos,
                                  "the regular expression took more than %llu backtracking steps near byte %zu",
                                  (unsigned long long)b->allowed, j.pos);
            switch ((mt_op)in->op) {
            case MT_OP_MATCH:
                *matched = true;
                *end = j.pos;
                b->stack_n = bottom;
                return MT_OK;
            case MT_OP_SET:
                alive = j.pos < b->n && mt_set_has(&p->sets.v[in->set], char_at(b, j.pos, &len));
                if (alive) j.pc = in->next, j.pos += len;
                break;
            case MT_OP_SPLIT:
                if (b->bodies && b->good.count && j.pos % SAMPLE == 0 &&
                    mt_map64_get(&b->good, place(j.pc, j.pos), &known)) {
                    *matched = true;
                    *end = (size_t)known;
                    b->stack_n = bottom;
                    return MT_OK;
                }
                MT_TRY(mark(b, j.pc, j.pos, trail, &was));
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
                if (alive) j.pc = in->next, j.pos = inner_end;
                break;
            case MT_OP_LOOK:
                MT_TRY(run_body(b, in, j.pos, &inner, &inner_end));
                alive = inner != in->negative;
                j.pc = in->next;
                break;
            }
        }
    }
    b->trail_n = trail;
    return MT_OK;
}

mt_status mt_back_find(mt_back *b, const uint8_t *text, size_t n, size_t at, bool anchored, bool again, bool *found,
                       size_t *begin, size_t *end, mt_error *err) {
    *found = false;
    if (n > INT32_MAX) return mt_fail(err, MT_ELIMIT, "a text of %zu bytes for a backtracking match", n);
    b->text = text;
    b->n = n;
    b->err = err;
    b->stack_n = b->marks_n = b->trail_n = 0;
    b->bodies = 0;
    b->looped = false;
    if (again)
        drop_pages(b, (at - (b->behind < at ? b->behind : at)) / PAGE);
    else
        mt_back_forget(b);
    size_t had = b->pages_cap;
    MT_TRY(mt_grow((void **)&b->pages, &b->pages_cap, n / PAGE + 1, sizeof *b->pages, err));
    if (b->pages_cap > had) memset(b->pages + had, 0, (b->pages_cap - had) * sizeof *b->pages);
    if (!again) {
        if (!mt_mul_u64((uint64_t)MT_REGEX_BACK_FACTOR * b->program->n, n - at, &b->allowed))
            b->allowed = UINT64_MAX / 2;
        b->allowed += MT_REGEX_BACK_STEPS;
        b->budget = b->steps + b->allowed;
    }
    mt_status status;
    for (size_t pos = at;;) { /* failures are remembered from one start to the next: they do not depend on it */
        status = run(b, b->program->start, pos, found, end);
        if (status != MT_OK) break;
        *begin = pos;
        if (*found || anchored || pos >= n) break;
        size_t len;
        char_at(b, pos, &len);
        pos += len;
    }
    if (status != MT_OK || !*found || b->looped)
        mt_back_forget(b);
    else
        take_back(b, b->trail, 0, b->trail_n);
    return status;
}
