/* Threads that share one job at a time.
 *
 * A job is cut into parts; whoever is free claims the next one. Claims go through one 64-bit word, so that a worker
 * that wakes late can never run a part of a job that is over, and a worker that never starts costs nothing:
 *
 *     ticket   epoch (32 bits) | parts (16) | next (16)
 *
 * A claim is a compare-and-swap of next -> next + 1. While it succeeds the job is not finished (this part was still
 * open), so the task and argument that were read between load and swap belong to the job of this epoch.
 *
 * Workers spin for a little while after a job, because the next one of a forward pass comes within microseconds, and
 * then sleep on `bell`, which every job increments. The caller works too, then waits until all parts are done; it only
 * spins unless it may block (the main thread of a page must not).
 *
 *   wasm with shared memory   the host starts workers which call mt_pool_worker; memory.atomic.wait and notify
 *   wasm without              one thread, mt_pool_run calls the task directly
 *   native                    pthreads, a mutex and a condition
 */
#include "kernels.h"

#include <stdatomic.h>

#if defined(__wasm_atomics__)
#define POOL_THREADS 1
#elif defined(__wasm__)
#define POOL_THREADS 0
#else
#define POOL_THREADS 1
#include <pthread.h>
#include <sched.h>
#endif

enum { MOST_THREADS = 64, MOST_PARTS = 0xFFFF };

struct mt_pool {
    int threads;
    bool may_block;
    _Atomic uint64_t ticket;
    _Atomic(mt_task) task;
    _Atomic(void *) arg;
    _Atomic uint32_t done;     /* finished parts of the current job */
    _Atomic uint32_t bell;     /* jobs started; sleepers wait for it to change */
    _Atomic uint32_t sleepers; /* workers asleep on bell */
    _Atomic uint32_t waiting;  /* the caller is asleep on done */
    _Atomic uint32_t live;     /* workers inside mt_pool_worker */
    _Atomic uint32_t stop;
#if POOL_THREADS && !defined(__wasm__)
    pthread_t thread[MOST_THREADS];
    int started;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
#endif
};

/* ---- sleeping ---- */

#if POOL_THREADS
#if defined(__wasm__)
enum { SPIN = 40000 };
static void wait_change(mt_pool *p, _Atomic uint32_t *word, uint32_t seen) {
    (void)p;
    __builtin_wasm_memory_atomic_wait32((int *)word, (int)seen, -1);
}
static void wake(mt_pool *p, _Atomic uint32_t *word) {
    (void)p;
    __builtin_wasm_memory_atomic_notify((int *)word, UINT32_MAX);
}
static void relax(int i) {
    (void)i;
}
#else
enum { SPIN = 2000 };
static void wait_change(mt_pool *p, _Atomic uint32_t *word, uint32_t seen) {
    pthread_mutex_lock(&p->mutex);
    while (atomic_load(word) == seen) pthread_cond_wait(&p->changed, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
}
static void wake(mt_pool *p, _Atomic uint32_t *word) {
    (void)word;
    pthread_mutex_lock(&p->mutex);
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->mutex);
}
static void relax(int i) {
    if (i % 64 == 63) sched_yield();
}
#endif

static bool run_one(mt_pool *p) {
    uint64_t t = atomic_load(&p->ticket);
    for (;;) {
        int next = (int)(t & 0xFFFF), parts = (int)(t >> 16 & 0xFFFF);
        if (next >= parts) return false;
        mt_task task = atomic_load_explicit(&p->task, memory_order_relaxed);
        void *arg = atomic_load_explicit(&p->arg, memory_order_relaxed);
        if (!atomic_compare_exchange_weak(&p->ticket, &t, t + 1)) continue;
        task(arg, next, parts);
        if (atomic_fetch_add(&p->done, 1) + 1 == (uint32_t)parts && atomic_load(&p->waiting)) wake(p, &p->done);
        return true;
    }
}

void mt_pool_worker(mt_pool *p, int index) {
    (void)index;
    atomic_fetch_add(&p->live, 1);
    while (!atomic_load(&p->stop)) {
        uint32_t seen = atomic_load(&p->bell);
        while (run_one(p)) {
        }
        int i = 0;
        while (i < SPIN && atomic_load_explicit(&p->bell, memory_order_relaxed) == seen) relax(i++);
        if (i < SPIN) continue;
        atomic_fetch_add(&p->sleepers, 1);
        if (!atomic_load(&p->stop)) wait_change(p, &p->bell, seen); /* returns at once if bell has changed */
        atomic_fetch_sub(&p->sleepers, 1);
    }
    atomic_fetch_sub(&p->live, 1);
}

#if !defined(__wasm__)
static void *thread_main(void *p) {
    mt_pool_worker(p, 0);
    return NULL;
}
#endif
#else
void mt_pool_worker(mt_pool *p, int index) {
    (void)p, (void)index;
}
#endif

/* ---- the pool ---- */

mt_status mt_pool_new(int threads, mt_pool **out, mt_error *err) {
    *out = NULL;
    if (threads < 1 || threads > MOST_THREADS)
        return mt_fail(err, MT_ERANGE, "threads: expected 1..%d, found %d", MOST_THREADS, threads);
    mt_pool *p = mt_calloc(1, sizeof *p);
    if (!p) return mt_nomem(err, sizeof *p, "the thread pool");
    p->threads = POOL_THREADS ? threads : 1;
#if POOL_THREADS && !defined(__wasm__)
    p->may_block = true;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->changed, NULL);
    for (; p->started < threads - 1; p->started++) {
        if (pthread_create(&p->thread[p->started], NULL, thread_main, p) != 0) {
            mt_pool_free(p);
            return mt_fail(err, MT_ELIMIT, "cannot start thread %d of %d", p->started + 2, threads);
        }
    }
#endif
    *out = p;
    return MT_OK;
}

void mt_pool_free(mt_pool *p) {
    if (!p) return;
#if POOL_THREADS
    atomic_store(&p->stop, 1);
    atomic_fetch_add(&p->bell, 1);
    wake(p, &p->bell);
#if defined(__wasm__)
    /* Workers leave within microseconds. One that the host has killed never does: its pool is then left behind rather
     * than freed under it. */
    for (int64_t i = 0; i < 200000000 && atomic_load(&p->live); i++) {
    }
    if (atomic_load(&p->live)) return;
#else
    for (int i = 0; i < p->started; i++) pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->mutex);
#endif
#endif
    mt_free(p);
}

int mt_pool_threads(const mt_pool *p) {
    return p ? p->threads : 1;
}

void mt_pool_may_block(mt_pool *p, bool yes) {
    p->may_block = yes;
}

void mt_pool_run_parts(mt_pool *p, mt_task task, void *arg, int parts) {
    if (parts > MOST_PARTS) parts = MOST_PARTS;
    if (!p || p->threads == 1 || parts <= 1) {
        for (int i = 0; i < parts; i++) task(arg, i, parts);
        return;
    }
#if POOL_THREADS
    uint64_t epoch = (atomic_load(&p->ticket) >> 32) + 1;
    atomic_store_explicit(&p->task, task, memory_order_relaxed);
    atomic_store_explicit(&p->arg, arg, memory_order_relaxed);
    atomic_store(&p->done, 0);
    atomic_store(&p->ticket, epoch << 32 | (uint64_t)parts << 16);
    atomic_fetch_add(&p->bell, 1);
    if (atomic_load(&p->sleepers)) wake(p, &p->bell);
    while (run_one(p)) {
    }
    uint32_t done;
    for (int i = 0; (done = atomic_load(&p->done)) != (uint32_t)parts; i++) {
        relax(i);
        if (!p->may_block || i < SPIN) continue;
        atomic_store(&p->waiting, 1);
        while ((done = atomic_load(&p->done)) != (uint32_t)parts) wait_change(p, &p->done, done);
        atomic_store(&p->waiting, 0);
    }
#endif
}

void mt_pool_run(mt_pool *p, mt_task task, void *arg) {
    mt_pool_run_parts(p, task, arg, mt_pool_threads(p));
}
