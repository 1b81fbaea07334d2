/* test_base.c - random numbers, the thread pool, CPUs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

enum { WORKERS = 4 };

struct meeting {
    atomic_int there;
    int workers[2 * WORKERS]; /* by item */
};

/* The first item of each share waits until all of them have begun. */
static void meet(void *context, int item, int worker)
{
    struct meeting *meeting = context;

    meeting->workers[item] = worker;
    if (item % 2)
        return;
    atomic_fetch_add(&meeting->there, 1);
    while (atomic_load(&meeting->there) < WORKERS)
        sched_yield();
}

START_TEST(workers_begin_with_their_share)
{
    for (int i = 0; i < 50; i++) {
        struct meeting meeting = {0};
        struct lq_pool *pool = NULL;

        ck_assert_int_eq(lq_pool_create(WORKERS, &pool, NULL), LQ_OK);
        lq_pool_run(pool, 2 * WORKERS, meet, &meeting);
        for (int share = 0; share < WORKERS; share++)
            ck_assert_int_eq(meeting.workers[2 * share], share);
        lq_pool_destroy(pool);
    }
}
END_TEST

START_TEST(shares_are_alike)
{
    for (int count = 0; count < 40; count++)
        for (int shares = 1; shares < 20; shares++) {
            ck_assert_int_eq(lq_share_start(count, 0, shares), 0);
            ck_assert_int_eq(lq_share_start(count, shares, shares), count);
            for (int i = 0; i < shares; i++) {
                int size = lq_share_start(count, i + 1, shares) - lq_share_start(count, i, shares);

                ck_assert_int_eq(size, count / shares + (i < count % shares));
            }
        }
}
END_TEST

/* Writes root/path, with its folders. */
static void put(const char *root, const char *path, const char *text)
{
    char full[512];
    FILE *file;

    snprintf(full, sizeof(full), "%s/%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    file = fopen(full, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

struct group_file {
    const char *path, *text;
};

/* Files below a root of their own, and the quota that they make. */
static void expect_quota(const struct group_file *files, int expected)
{
    char root[] = "/tmp/lq-cgroup-XXXXXX", remove[64];

    ck_assert_ptr_nonnull(mkdtemp(root));
    for (; files->path; files++)
        put(root, files->path, files->text);
    ck_assert_int_eq(lq_cpu_quota(root), expected);
    snprintf(remove, sizeof(remove), "rm -r %s", root);
    ck_assert_int_eq(system(remove), 0);
}

#define SELF  "proc/self/cgroup"
#define GROUP "sys/fs/cgroup/"

START_TEST(quotas_of_nested_groups)
{
    expect_quota((const struct group_file[]){{"proc/self/status", ""}, {0}}, 0);
    expect_quota((const struct group_file[]){{SELF, "nonsense\n0:\n0::\n"}, {0}}, 0);
    /* version 2: the group itself, a parent that allows less, no limit at all */
    expect_quota((const struct group_file[]){{SELF, "0::/a/b\n"},
                                             {GROUP "a/cpu.max", "max 100000\n"},
                                             {GROUP "a/b/cpu.max", "250000 100000\n"},
                                             {0}},
                 3);
    expect_quota((const struct group_file[]){{SELF, "0::/a/b\n"},
                                             {GROUP "a/cpu.max", "150000 100000\n"},
                                             {GROUP "a/b/cpu.max", "800000 100000\n"},
                                             {0}},
                 2);
    expect_quota((const struct group_file[]){{SELF, "0::/a\n"}, {GROUP "a/cpu.max", "max 9"}, {0}},
                 0);
    /* a container: its own group is where the tree begins */
    expect_quota(
        (const struct group_file[]){{SELF, "0::/../x\n"}, {GROUP "cpu.max", "50000 100000\n"}, {0}},
        1);
    /* version 1, whose controller is one of several */
    expect_quota((const struct group_file[]){{SELF, "9:cpuset:/c\n4:cpuacct,cpu:/c/d\n0::/\n"},
                                             {GROUP "cpu/c/cpu.cfs_quota_us", "400000\n"},
                                             {GROUP "cpu/c/cpu.cfs_period_us", "100000\n"},
                                             {GROUP "cpu/c/d/cpu.cfs_quota_us", "-1\n"},
                                             {GROUP "cpu/c/d/cpu.cfs_period_us", "100000\n"},
                                             {0}},
                 4);
    expect_quota((const struct group_file[]){{SELF, "4:cpuacct:/c\n"},
                                             {GROUP "cpu/c/cpu.cfs_quota_us", "400000\n"},
                                             {GROUP "cpu/c/cpu.cfs_period_us", "100000\n"},
                                             {0}},
                 0);
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
    tcase_add_test(tests, workers_begin_with_their_share);
    tcase_add_test(tests, shares_are_alike);
    tcase_add_test(tests, idle_pool_takes_no_time);
    tcase_add_test(tests, cpus);
    tcase_add_test(tests, quotas_of_nested_groups);
    return suite_main("base", tests);
}
