/* test_base.c - random numbers, the thread pool, CPUs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <math.h>
#include <stdatomic.h>
#include <time.h>

#include "base/cpu.h"
#include "base/pool.h"
#include "base/rng.h"

/* The reference sequence of PCG32's own demonstration: seed 42, stream 54. */
START_TEST(pcg_reference)
{
    const uint32_t expected[6] = {0xa15c02b7, 0x7b47f409, 0xba1d3330,
                                  0x83d2f293, 0xbfa4784b, 0xcbed606e};
    struct lq_rng rng;

    lq_rng_init(&rng, 42, 54);
    for (int i = 0; i < 6; i++)
        ck_assert_uint_eq(lq_rng_u32(&rng), expected[i]);
}
END_TEST

START_TEST(distributions)
{
    enum { DRAWS = 100000 };
    struct lq_rng rng;
    double sum = 0, squares = 0, uniform = 0;
    int counts[7] = {0};

    lq_rng_init(&rng, 1, 1);
    for (int i = 0; i < DRAWS; i++) {
        double x = lq_rng_normal(&rng), u = lq_rng_uniform(&rng);

        ck_assert(isfinite(x) && u >= 0 && u < 1);
        sum += x;
        squares += x * x;
        uniform += u;
        counts[lq_rng_below(&rng, 7)]++;
    }
    ck_assert_double_eq_tol(sum / DRAWS, 0, 0.015); /* over four standard errors */
    ck_assert_double_eq_tol(squares / DRAWS, 1, 0.02);
    ck_assert_double_eq_tol(uniform / DRAWS, 0.5, 0.004);
    for (int i = 0; i < 7; i++)
        ck_assert_double_eq_tol(counts[i], DRAWS / 7.0, 500);
}
END_TEST

enum { ITEMS = 1000 };

struct tally {
    atomic_int seen[ITEMS];
    int per_worker[64];
};

static void count_item(void *context, int item, int worker)
{
    struct tally *tally = context;

    atomic_fetch_add(&tally->seen[item], 1);
    tally->per_worker[worker]++;
}

START_TEST(every_item_once)
{
    struct tally tally = {{0}, {0}};
    struct lq_pool *pool;
    int total = 0;

    ck_assert_int_eq(lq_pool_create(_i, &pool, NULL), LQ_OK);
    ck_assert_int_eq(lq_pool_threads(pool), _i);
    for (int round = 0; round < 200; round++)
        lq_pool_run(pool, ITEMS, count_item, &tally);
    lq_pool_run(pool, 0, count_item, &tally);
    lq_pool_destroy(pool);
    for (int i = 0; i < ITEMS; i++)
        ck_assert_int_eq(tally.seen[i], 200);
    for (int i = 0; i < 64; i++)
        total += tally.per_worker[i];
    ck_assert_int_eq(total, 200 * ITEMS);
}
END_TEST

START_TEST(bad_pools)
{
    struct lq_pool *pool = NULL;

    ck_assert_int_eq(lq_pool_create(0, &pool, NULL), LQ_ERR_INVALID);
    ck_assert_int_eq(lq_pool_create(65, &pool, NULL), LQ_ERR_INVALID);
    ck_assert_ptr_null(pool);
    lq_pool_destroy(NULL);
    ck_assert_int_eq(lq_pool_threads(NULL), 1);
}
END_TEST

START_TEST(cpus)
{
    ck_assert_int_ge(lq_cpu_count(), 1);
    ck_assert_uint_eq(lq_cpu_detect() & 1u << LQ_CPU_C, 1u << LQ_CPU_C);
    ck_assert_int_eq(lq_cpu_tier_from_name("avx2"), LQ_CPU_AVX2);
    ck_assert_int_eq(lq_cpu_tier_from_name("AVX2"), -1);
    ck_assert_str_eq(lq_cpu_tier_name(LQ_CPU_NEON), "neon");
}
END_TEST

static void mark_item(void *context, int item, int worker)
{
    atomic_int *counts = context;

    ck_assert(worker >= 0 && worker < 4);
    atomic_fetch_add(&counts[item], 1);
}

/* Every item of every loop once, whether workers are awake, late or asleep. */
START_TEST(pool_loops_follow_each_other)
{
    enum { LOOPS = 3000, MOST = 9 };
    static atomic_int counts[LOOPS][MOST];
    struct timespec nap = {0, 200000};
    struct lq_pool *pool = NULL;

    ck_assert_int_eq(lq_pool_create(4, &pool, NULL), LQ_OK);
    for (int loop = 0; loop < LOOPS; loop++) {
        if (loop % 500 == 0)
            nanosleep(&nap, NULL);
        lq_pool_run(pool, loop % (MOST + 1), mark_item, counts[loop]);
        for (int item = 0; item < MOST; item++)
            ck_assert_int_eq(atomic_load(&counts[loop][item]), item < loop % (MOST + 1));
    }
    lq_pool_destroy(pool);
}
END_TEST

static double cpu_seconds(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

START_TEST(idle_pool_takes_no_time)
{
    atomic_int counts[8] = {0};
    struct timespec nap = {0, 300000000};
    struct lq_pool *pool = NULL;

    ck_assert_int_eq(lq_pool_create(4, &pool, NULL), LQ_OK);
    lq_pool_run(pool, 8, mark_item, counts);
    double before = cpu_seconds();
    nanosleep(&nap, NULL);
    ck_assert_double_lt(cpu_seconds() - before, 0.03); /* 3 workers would take 0.9 */
    lq_pool_destroy(pool);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("base");

    tcase_add_test(tests, pcg_reference);
    tcase_add_test(tests, distributions);
    tcase_add_loop_test(tests, every_item_once, 1, 6);
    tcase_add_test(tests, bad_pools);
    tcase_add_test(tests, pool_loops_follow_each_other);
    tcase_add_test(tests, idle_pool_takes_no_time);
    tcase_add_test(tests, cpus);
    return suite_main("base", tests);
}
