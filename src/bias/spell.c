/* The automaton of spell.h: states, steps by bytes, and which states are alive.
 *
 * States are interned: equal keys have equal numbers, so that everything that depends on a state alone (its successors,
 * whether it is alive, the set of tokens that can follow) is computed once. */
#include "spell.h"

static const int32_t UNKNOWN = -1;

/* ---- interning ---- */

static mt_status rehash(mt_spell *s, mt_error *err) {
    size_t size = s->table_size ? s->table_size * 2 : 256;
    int32_t *table = mt_calloc(size, sizeof *table);
    if (!table) return mt_nomem(err, size * sizeof *table, "the states of the spelling automaton");
    for (size_t i = 1; i < s->state_count; i++) {
        size_t at = (size_t)mt_hash_key(&s->states[i].key, sizeof s->states[i].key) & (size - 1);
        while (table[at]) at = (at + 1) & (size - 1);
        table[at] = (int32_t)i;
    }
    mt_free(s->table);
    s->table = table;
    s->table_size = size;
    return MT_OK;
}

static int due_order(const mt_spell_due *a, const mt_spell_due *b) {
    if (a->level != b->level) return a->level < b->level ? -1 : 1;
    if (a->state != b->state) return a->state < b->state ? -1 : 1;
    if (a->need != b->need) return a->need < b->need ? -1 : 1;
    return (int)a->ok - (int)b->ok;
}

/* The number of the state with this key; the key's obligations are put in order. */
static mt_status intern(mt_spell *s, mt_spell_key *key, int32_t *out, mt_error *err) {
    for (int32_t i = 1; i < key->count; i++) {
        mt_spell_due due = key->due[i];
        int32_t j = i;
        for (; j > 0 && due_order(&due, &key->due[j - 1]) < 0; j--) key->due[j] = key->due[j - 1];
        key->due[j] = due;
    }
    int32_t n = 0;
    for (int32_t i = 0; i < key->count; i++)
        if (n == 0 || due_order(&key->due[n - 1], &key->due[i]) != 0) key->due[n++] = key->due[i];
    memset(key->due + n, 0, (size_t)(MT_SPELL_OBLIGATIONS - n) * sizeof *key->due);
    key->count = n;
    if (s->state_count * 2 >= s->table_size) MT_TRY(rehash(s, err));
    size_t at = (size_t)mt_hash_key(key, sizeof *key) & (s->table_size - 1);
    for (; s->table[at]; at = (at + 1) & (s->table_size - 1))
        if (memcmp(&s->states[s->table[at]].key, key, sizeof *key) == 0) {
            *out = s->table[at];
            return MT_OK;
        }
    if (s->state_count >= MT_SPELL_STATES)
        return mt_fail(err, MT_ELIMIT, "the splitting expression has more than %d spelling states", MT_SPELL_STATES);
    MT_TRY(mt_grow((void **)&s->states, &s->state_cap, s->state_count + 1, sizeof *s->states, err));
    s->states[s->state_count] =
        (mt_spell_state){.key = *key, .opened = UNKNOWN, .plain = UNKNOWN, .alive = -1, .may_end = -1};
    for (int32_t i = 0; i < MT_SPELL_LEVELS; i++) s->states[s->state_count].closed[i] = UNKNOWN;
    *out = s->table[at] = (int32_t)s->state_count++;
    return MT_OK;
}

static mt_status add_due(mt_spell_key *key, mt_spell_due due, mt_error *err) {
    if (key->count == MT_SPELL_OBLIGATIONS)
        return mt_fail(err, MT_ELIMIT, "the splitting expression leaves more than %d pre-token ends open at once",
                       MT_SPELL_OBLIGATIONS);
    key->due[key->count++] = due;
    return MT_OK;
}

/* ---- steps ---- */

static mt_status split_step(mt_spell *s, int32_t level, int32_t state, int symbol, int32_t *next, mt_error *err) {
    const struct mt_spell_splitter *x = &s->source.splitter[level];
    int32_t to = x->step(x->self, state, symbol);
    if (to < 0) return mt_fail(err, (mt_status)-to, "the splitting expression's automaton stopped");
    *next = to;
    return MT_OK;
}

/* Entering the obligation's state: a match that ended `need` bytes ago may have become the best one, or ceased to be.
 * *dead: it is not, and cannot become it. */
static mt_status settle(mt_spell *s, mt_spell_due *due, bool *dead, mt_error *err) {
    const struct mt_spell_splitter *x = &s->source.splitter[due->level];
    int back;
    if (x->confirms(x->self, due->state, &back)) due->ok = back == due->need;
    /* At need 0 the end of the outermost text may still confirm it. */
    if (due->need >= (due->level ? 0 : 1) && x->pending && !x->pending(x->self, due->state, due->need)) due->need = -1;
    if (due->need > MT_SPELL_BACK)
        return mt_fail(err, MT_EUNKNOWN, "no exact byte model: the splitting expression looks more than %d bytes ahead",
                       MT_SPELL_BACK);
    *dead = due->need < 0 && !due->ok;
    return MT_OK;
}

/* Is the obligation met when the splitter's text ends here? */
static mt_status met_at_end(mt_spell *s, mt_spell_due due, bool *yes, mt_error *err) {
    const struct mt_spell_splitter *x = &s->source.splitter[due.level];
    int32_t to;
    int back;
    MT_TRY(split_step(s, due.level, due.state, MT_END, &to, err));
    if (to != MT_DFA_DEAD && x->confirms(x->self, to, &back)) due.ok = back == due.need;
    *yes = due.ok;
    return MT_OK;
}

/* One obligation reads a byte. *gone: it is discharged; *dead: it is violated. */
static mt_status due_step(mt_spell *s, mt_spell_due *due, uint8_t b, bool *gone, bool *dead, mt_error *err) {
    *gone = *dead = false;
    if (due->level == MT_SPELL_ADDED) {
        due->state = s->nodes[due->state].child[b];
        *gone = due->state == 0;
        *dead = s->nodes[due->state].terminal;
        return MT_OK;
    }
    int32_t to;
    MT_TRY(split_step(s, due->level, due->state, b, &to, err));
    if (due->need >= 0) due->need++;
    if (to == MT_DFA_DEAD) {
        *gone = due->ok;
        *dead = !due->ok;
        return MT_OK;
    }
    due->state = to;
    return settle(s, due, dead, err);
}

/* Does one of the obligations, taken alone, have no future? Most states that are not alive are refused by this before
 * they exist: their obligations are few, their combinations many. */
static mt_status find_alive(mt_spell *s, int32_t id, bool *out, mt_error *err);
static mt_status hopeless(mt_spell *s, const mt_spell_key *key, bool *out, mt_error *err) {
    bool alive = true;
    for (int32_t i = 0; i < key->count && alive && (key->count > 1 || key->piece[0] >= 0); i++) {
        mt_spell_key alone = {.count = 1};
        int32_t id;
        if (key->due[i].level == MT_SPELL_ADDED) continue;
        for (int32_t l = 0; l < MT_SPELL_LEVELS; l++) alone.piece[l] = -1;
        alone.due[0] = key->due[i];
        MT_TRY(intern(s, &alone, &id, err));
        MT_TRY(find_alive(s, id, &alive, err));
    }
    *out = !alive;
    return MT_OK;
}

static mt_status plain_of(mt_spell *s, int32_t id, int32_t *out, mt_error *err) {
    if (s->states[id].plain == UNKNOWN) {
        mt_spell_key key = s->states[id].key;
        key.tail = 0;
        MT_TRY(intern(s, &key, out, err));
        s->states[id].plain = *out;
    }
    *out = s->states[id].plain;
    return MT_OK;
}

/* The successor by a byte, alive or not; DEAD when something is violated at once. `keep`: it will be asked again. */
static mt_status raw_step(mt_spell *s, int32_t id, uint8_t b, bool keep, int32_t *out, mt_error *err) {
    mt_spell_state *from = &s->states[id];
    if (from->key.tail) { /* many, each used a few times: no table */
        uint32_t tail = from->key.tail;
        MT_TRY(plain_of(s, id, &id, err));
        MT_TRY(raw_step(s, id, b, keep, out, err));
        return mt_spell_with_tail(s, *out, tail, out, err);
    }
    if (!from->next && keep) {
        from->next = mt_array(256, sizeof *from->next);
        if (!from->next) return mt_nomem(err, 256 * sizeof *from->next, "a state of the spelling automaton");
        for (int i = 0; i < 256; i++) from->next[i] = UNKNOWN;
    }
    if (from->next && from->next[b] != UNKNOWN) {
        *out = from->next[b];
        return MT_OK;
    }
    mt_spell_key key = from->key;
    *out = MT_SPELL_DEAD;
    if (s->node_count) {
        while (key.added && !s->nodes[key.added].child[b]) key.added = s->nodes[key.added].fail;
        key.added = s->nodes[key.added].child[b];
        if (s->nodes[key.added].any_terminal) goto done;
    }
    for (int32_t l = 0; l < s->source.levels; l++) {
        if (key.piece[l] < 0) continue;
        MT_TRY(split_step(s, l, key.piece[l], b, &key.piece[l], err));
        if (key.piece[l] == MT_DFA_DEAD) goto done; /* the piece ended before this byte */
    }
    int32_t n = 0;
    for (int32_t i = 0; i < key.count; i++) {
        mt_spell_due due = key.due[i];
        bool gone, dead;
        MT_TRY(due_step(s, &due, b, &gone, &dead, err));
        if (dead) goto done;
        if (!gone) key.due[n++] = due;
    }
    key.count = n;
    bool none;
    MT_TRY(hopeless(s, &key, &none, err));
    if (!none) MT_TRY(intern(s, &key, out, err));
done:
    if (keep) s->states[id].next[b] = *out;
    return MT_OK;
}

bool mt_spell_is_boundary(const mt_spell *s, int32_t state) {
    return s->states[state].key.piece[s->source.levels - 1] < 0;
}

static mt_status close_key(mt_spell *s, mt_spell_key *key, int32_t level, bool *dead, mt_error *err) {
    int32_t n = 0;
    *dead = key->tail != 0;
    for (int32_t i = 0; i < key->count && !*dead; i++) { /* further in, the text ends */
        bool met = true;
        if (key->due[i].level == MT_SPELL_ADDED || key->due[i].level <= level)
            key->due[n++] = key->due[i];
        else
            MT_TRY(met_at_end(s, key->due[i], &met, err));
        *dead = !met;
    }
    if (*dead) return MT_OK;
    key->count = n;
    for (int32_t l = s->source.levels - 1; l >= level && !*dead; l--) {
        const struct mt_spell_splitter *x = &s->source.splitter[l];
        mt_spell_due due = {.state = key->piece[l], .level = (uint8_t)l};
        int back;
        bool met = true;
        key->piece[l] = -1;
        if (l == level) {
            MT_TRY(settle(s, &due, dead, err));
            return *dead ? MT_OK : add_due(key, due, err);
        }
        due.ok = x->confirms(x->self, due.state, &back) && back == 0;
        MT_TRY(met_at_end(s, due, &met, err));
        *dead = !met;
    }
    return MT_OK;
}

static mt_status raw_close(mt_spell *s, int32_t id, int32_t level, int32_t *out, mt_error *err) {
    if (s->states[id].closed[level] == UNKNOWN) {
        mt_spell_key key = s->states[id].key;
        int32_t closed = MT_SPELL_DEAD;
        bool dead;
        MT_TRY(close_key(s, &key, level, &dead, err));
        if (!dead) MT_TRY(hopeless(s, &key, &dead, err));
        if (!dead) MT_TRY(intern(s, &key, &closed, err));
        s->states[id].closed[level] = closed;
    }
    *out = s->states[id].closed[level];
    return MT_OK;
}

static mt_status raw_open(mt_spell *s, int32_t id, int32_t *out, mt_error *err) {
    mt_spell_key key = s->states[id].key;
    for (int32_t l = 0; l < s->source.levels; l++)
        if (key.piece[l] < 0) key.piece[l] = s->source.splitter[l].start;
    return intern(s, &key, out, err);
}

/* The text ends where pieces of all levels do. */
mt_status mt_spell_may_end(mt_spell *s, int32_t id, bool *out, mt_error *err) {
    if (s->states[id].may_end < 0) {
        const mt_spell_key key = s->states[id].key;
        bool all = key.piece[0] < 0;
        for (int32_t i = 0; i < key.count && all; i++)
            if (key.due[i].level != MT_SPELL_ADDED) MT_TRY(met_at_end(s, key.due[i], &all, err));
        s->states[id].may_end = all;
    }
    *out = s->states[id].may_end;
    return MT_OK;
}

/* ---- which states are alive ----
 *
 * Where the outermost pieces ended: the end of the text discharges everything, or some byte leads to such a state that
 * is alive; what pieces the bytes are cut into does not matter then. Elsewhere: the outermost piece may end here and
 * that state is alive, or some byte, or an end of pieces further in, leads to an alive state. (Whether *tokens* exist
 * that spell those bytes is asked by goes_on in spell_mask.c; after a boundary every text has a spelling.) */
typedef struct search {
    mt_ids queue, from;
    uint32_t generation;
    bool found;
} search;

static mt_status reach(mt_spell *s, search *x, int32_t to, size_t from, mt_error *err) {
    if (to == MT_SPELL_DEAD || s->states[to].alive == 0 || s->states[to].seen == x->generation) return MT_OK;
    x->found = s->states[to].alive == 1;
    s->states[to].seen = x->generation;
    MT_TRY(mt_ids_reserve(&x->from, 1, err));
    MT_TRY(mt_ids_add(&x->queue, to, err));
    return mt_ids_add(&x->from, (int32_t)from, err);
}

static mt_status look_from(mt_spell *s, search *x, size_t head, mt_error *err) {
    int32_t at = x->queue.data[head], to, base = at;
    if (s->states[at].key.piece[0] < 0) {
        MT_TRY(mt_spell_may_end(s, at, &x->found, err));
    } else if (mt_spell_is_boundary(s, at)) {
        MT_TRY(raw_open(s, at, &base, err)); /* pieces are not empty: a byte comes first */
    } else {
        MT_TRY(raw_close(s, at, 0, &to, err));
        MT_TRY(find_alive(s, to, &x->found, err));
        for (int32_t l = 1; l < s->source.levels && !x->found; l++) {
            MT_TRY(raw_close(s, at, l, &to, err));
            MT_TRY(reach(s, x, to, head, err));
        }
    }
    for (int b = 0; b < 256 && !x->found; b++) {
        if (!s->alphabet[b]) continue;
        MT_TRY(raw_step(s, base, (uint8_t)b, false, &to, err));
        MT_TRY(reach(s, x, to, head, err));
    }
    return MT_OK;
}

static mt_status find_alive(mt_spell *s, int32_t id, bool *out, mt_error *err) {
    if (id == MT_SPELL_DEAD || s->states[id].alive >= 0) {
        *out = id != MT_SPELL_DEAD && s->states[id].alive;
        return MT_OK;
    }
    mt_status status = MT_OK;
    search x = {.generation = ++s->generation};
    size_t head = 0;
    MT_TRY_GOTO(reach(s, &x, id, (size_t)-1, err), done);
    for (; head < x.queue.len; head++) {
        MT_TRY_GOTO(look_from(s, &x, head, err), done);
        if (x.found) break;
    }
    if (x.found) {
        for (int32_t i = (int32_t)head; i >= 0; i = x.from.data[i]) s->states[x.queue.data[i]].alive = 1;
    } else {
        for (size_t i = 0; i < x.queue.len; i++) s->states[x.queue.data[i]].alive = 0;
    }
    *out = x.found;
done:
    mt_ids_free(&x.queue);
    mt_ids_free(&x.from);
    return status;
}

static mt_status keep_alive(mt_spell *s, int32_t *id, mt_error *err) {
    bool alive = false;
    int32_t ask = *id;
    if (ask != MT_SPELL_DEAD && s->states[ask].key.tail) MT_TRY(plain_of(s, ask, &ask, err));
    MT_TRY(find_alive(s, ask, &alive, err));
    if (!alive) *id = MT_SPELL_DEAD;
    return MT_OK;
}

mt_status mt_spell_step(mt_spell *s, int32_t state, uint8_t b, int32_t *out, mt_error *err) {
    if (state == MT_SPELL_DEAD) {
        *out = MT_SPELL_DEAD;
        return MT_OK;
    }
    MT_TRY(raw_step(s, state, b, true, out, err));
    return keep_alive(s, out, err);
}

mt_status mt_spell_close(mt_spell *s, int32_t inside, int32_t level, int32_t *out, mt_error *err) {
    MT_TRY(raw_close(s, inside, level, out, err));
    return keep_alive(s, out, err);
}

mt_status mt_spell_close_any(mt_spell *s, int32_t inside, bool *out, mt_error *err) {
    int32_t closed = MT_SPELL_DEAD;
    for (int32_t l = 0; l < s->source.levels && closed == MT_SPELL_DEAD; l++)
        MT_TRY(mt_spell_close(s, inside, l, &closed, err));
    *out = closed != MT_SPELL_DEAD;
    return MT_OK;
}

mt_status mt_spell_open(mt_spell *s, int32_t boundary, int32_t *out, mt_error *err) {
    if (s->states[boundary].opened == UNKNOWN) {
        int32_t opened;
        MT_TRY(raw_open(s, boundary, &opened, err));
        MT_TRY(keep_alive(s, &opened, err));
        s->states[boundary].opened = opened;
    }
    *out = s->states[boundary].opened;
    return MT_OK;
}

mt_status mt_spell_with_tail(mt_spell *s, int32_t inside, uint32_t tail, int32_t *out, mt_error *err) {
    *out = inside;
    if (inside == MT_SPELL_DEAD || s->states[inside].key.tail == tail) return MT_OK;
    mt_spell_key key = s->states[inside].key;
    key.tail = tail;
    return intern(s, &key, out, err);
}

/* An added token follows a boundary: the splitter sees the end of the text there. What was found is the leftmost and
 * longest match, so neither one that began earlier nor a longer one from here may be completed. */
mt_status mt_spell_cut(mt_spell *s, int32_t boundary, size_t user, int32_t *out, mt_error *err) {
    bool ends;
    *out = MT_SPELL_DEAD;
    MT_TRY(mt_spell_may_end(s, boundary, &ends, err));
    if (!ends) return MT_OK;
    mt_str text = s->text[s->user[user]];
    mt_spell_key old = s->states[boundary].key, key = {0};
    for (int32_t l = 0; l < MT_SPELL_LEVELS; l++) key.piece[l] = -1;
    for (int32_t i = 0; i < old.count; i++)
        if (old.due[i].level == MT_SPELL_ADDED) MT_TRY(add_due(&key, old.due[i], err));
    for (int32_t node = old.added; node; node = s->nodes[node].fail)
        MT_TRY(add_due(&key, (mt_spell_due){.state = node, .level = MT_SPELL_ADDED}, err));
    for (size_t k = 0; k < text.n; k++) {
        int32_t n = 0;
        for (int32_t i = 0; i < key.count; i++) {
            mt_spell_due due = key.due[i];
            bool gone, dead;
            MT_TRY(due_step(s, &due, text.p[k], &gone, &dead, err));
            if (dead) return MT_OK;
            if (!gone) key.due[n++] = due;
        }
        key.count = n;
    }
    MT_TRY(add_due(&key, (mt_spell_due){.state = s->user_node[user], .level = MT_SPELL_ADDED}, err));
    MT_TRY(intern(s, &key, out, err));
    return keep_alive(s, out, err);
}

/* ---- the whole ---- */

/* Without a splitter the text is one pre-token: state 1 before it, 2 inside; every byte moves the only match's end. */
static int32_t whole_step(void *self, int32_t state, int symbol) {
    (void)self;
    return symbol == MT_END && state == 1 ? MT_DFA_DEAD : 2;
}
static bool whole_confirms(void *self, int32_t state, int *back) {
    (void)self;
    *back = 0;
    return state == 2;
}

static bool whole_pending(void *self, int32_t state, int back) {
    (void)self;
    (void)state;
    (void)back;
    return false;
}

/* Follows every run that has not matched yet. */
mt_status mt_spell_gaps(const struct mt_spell_splitter *x, const char **gap, mt_error *err) {
    mt_status status = MT_OK;
    mt_ids queue = {0};
    mt_map64 seen = {0};
    int back;
    *gap = NULL;
    if (x->confirms(x->self, x->start, &back)) *gap = "can match nothing";
    MT_TRY_GOTO(mt_ids_add(&queue, x->start, err), done);
    for (size_t head = 0; head < queue.len && !*gap; head++) {
        for (int b = 0; b <= MT_END && !*gap; b++) {
            int32_t to, ignored;
            if (b == MT_END && head == 0) continue;
            to = x->step(x->self, queue.data[head], b);
            if (to < 0) {
                status = mt_fail(err, (mt_status)-to, "the splitting expression's automaton stopped");
                goto done;
            }
            if (to != MT_DFA_DEAD && x->confirms(x->self, to, &back)) continue;
            if (to == MT_DFA_DEAD || b == MT_END)
                *gap = "leaves gaps between its matches";
            else if (!mt_map64_get(&seen, (uint64_t)to, &ignored)) {
                MT_TRY_GOTO(mt_map64_set(&seen, (uint64_t)to, 1, err), done);
                MT_TRY_GOTO(mt_ids_add(&queue, to, err), done);
            }
        }
        if (queue.len > 1 << 16) *gap = "takes too long to decide its first match";
    }
done:
    mt_ids_free(&queue);
    mt_map64_free(&seen);
    return status;
}

mt_status mt_spell_new(const mt_spell_source *source, int32_t vocab, mt_spell **out, mt_error *err) {
    *out = NULL;
    mt_spell *s = mt_calloc(1, sizeof *s);
    if (!s) return mt_nomem(err, sizeof *s, "the spelling automaton");
    mt_status status;
    s->source = *source;
    s->vocab = vocab;
    if (s->source.levels == 0 || s->source.free) {
        s->source.levels = 1;
        s->source.splitter[0] = (struct mt_spell_splitter){
            .start = 1, .step = whole_step, .confirms = whole_confirms, .pending = whole_pending};
    }
    MT_TRY_GOTO(mt_spell_vocabulary(s, err), fail);
    MT_TRY_GOTO(mt_grow((void **)&s->states, &s->state_cap, 1, sizeof *s->states, err), fail);
    s->states[0] = (mt_spell_state){.alive = 0, .opened = MT_SPELL_DEAD};
    s->state_count = 1;
    mt_spell_key root = {0};
    for (int32_t l = 0; l < MT_SPELL_LEVELS; l++) root.piece[l] = -1;
    int32_t id;
    MT_TRY_GOTO(intern(s, &root, &id, err), fail);
    *out = s;
    return MT_OK;
fail:
    mt_spell_free(s);
    return status;
}

void mt_spell_free(mt_spell *s) {
    if (!s) return;
    for (size_t i = 0; i < s->state_count; i++) {
        mt_free(s->states[i].next);
        mt_free(s->states[i].mask);
        mt_free(s->states[i].more);
    }
    for (size_t i = 0; i < MT_SPELL_PLACE_MASKS; i++) {
        mt_buf_free(&s->cached[i].key);
        mt_free(s->cached[i].bits);
    }
    mt_free(s->states);
    mt_free(s->table);
    mt_free(s->id);
    mt_free(s->text);
    mt_free(s->common);
    mt_free(s->kind);
    mt_free(s->reach);
    mt_free(s->rank);
    mt_free(s->hidden);
    mt_free(s->known);
    mt_free(s->byte);
    mt_free(s->user);
    mt_free(s->nodes);
    mt_free(s->user_node);
    mt_free(s->path);
    mt_map_free(&s->goes_on);
    mt_buf_free(&s->answers);
    mt_arena_free(&s->goes_on_keys);
    mt_spell_paths_free(s);
    mt_free(s);
}
