/* The thread pool: every part runs exactly once, whoever shows up. */
#include "kernels_common.h"

#include <stdatomic.h>

typedef struct job {
    _Atomic int ran[300];
    int parts;
} job;

static void task(void *arg, int part, int parts) {
    job *j = arg;
    if (parts != j->parts) part = 299;
    atomic_fetch_add(&j->ran[part], 1);
    for (volatile int i = 0; i < part % 7 * 20; i++) {
    }
}

int main(void) {
    static job j;
    CASE("parts run once, with any number of threads");
    for (int threads = 1; threads <= 5; threads++) {
        mt_pool *pool;
        CHECK_OK(mt_pool_new(threads, &pool, &err));
        CHECK(mt_pool_threads(pool) == threads, "threads");
        for (int round = 0; round < 3000; round++) {
            memset(&j, 0, sizeof j);
            j.parts = round % 5 == 0 ? threads : round % 90;
            if (round % 5 == 0)
                mt_pool_run(pool, task, &j);
            else
                mt_pool_run_parts(pool, task, &j, j.parts);
            for (int i = 0; i < 300; i++)
                CHECK(j.ran[i] == (i < j.parts), "part %d of %d ran %d times", i, j.parts, j.ran[i]);
            if (round % 500 == 0) /* long enough for the workers to fall asleep */
                for (volatile int i = 0; i < 3000000; i++) {
                }
        }
        mt_pool_may_block(pool, false);
        mt_pool_run(pool, task, &j);
        mt_pool_free(pool);
    }
    CASE("no pool at all");
    memset(&j, 0, sizeof j);
    j.parts = 1;
    mt_pool_run(NULL, task, &j);
    CHECK(j.ran[0] == 1 && mt_pool_threads(NULL) == 1, "part 0 of 1");
    mt_pool_free(NULL);
    CASE("errors");
    mt_pool *pool;
    CHECK(mt_pool_new(0, &pool, &err) == MT_ERANGE && !pool, "%s", err.text);
    CHECK(mt_pool_new(1000, &pool, &err) == MT_ERANGE, "%s", err.text);
    mt_fail_allocation_after(0);
    CHECK(mt_pool_new(2, &pool, &err) == MT_ENOMEM, "%s", err.text);
    mt_fail_allocation_after(-1);
    CASE("implementations by name");
    for (size_t s = 0; s < 3; s++) {
        CHECK_OK(mt_kernels_use(all_isas[s], &err));
        CHECK(mt_kernels_isa() == all_isas[s], "%s", mt_isa_name(all_isas[s]));
    }
    CHECK(mt_kernels_use((mt_isa)9, &err) == MT_EUNKNOWN, "%s", err.text);
    for (int i = 0; i < mt_kernel_count; i++)
        CHECK(mt_kernel_table[i].ref && mt_kernel_table[i].simd, "%s", mt_kernel_table[i].name);
    return test_end();
}
