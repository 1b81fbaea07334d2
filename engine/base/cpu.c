/* cpu.c - what this CPU and this process may use.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/cpu.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

static const char *const tier_names[LQ_CPU_TIER_COUNT] = {
    [LQ_CPU_C] = "c",           [LQ_CPU_AVX2] = "avx2", [LQ_CPU_AVXVNNI] = "avxvnni",
    [LQ_CPU_AVX512] = "avx512", [LQ_CPU_AMX] = "amx",   [LQ_CPU_NEON] = "neon"};

#if defined(__x86_64__)
static bool has_avxvnni(void)
{
    enum { AVX_VNNI = 1 << 4 };
    unsigned eax, ebx, ecx, edx;

    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & AVX_VNNI) != 0;
}

/* Tiles hold so much state that Linux gives them only to a process that asks
 * (Documentation/arch/x86/xstate.rst); what runs later in it may use them, too. */
static bool has_amx(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18, AMX_TILE = 1 << 24, AMX_INT8 = 1 << 25 };
    unsigned eax, ebx, ecx, edx;

    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (edx & AMX_TILE) != 0 &&
           (edx & AMX_INT8) != 0 && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#endif

unsigned lq_cpu_detect(void)
{
    unsigned tiers = 1u << LQ_CPU_C;

#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("popcnt"))
        tiers |= 1u << LQ_CPU_AVX2;
    if (tiers >> LQ_CPU_AVX2 & 1 && has_avxvnni())
        tiers |= 1u << LQ_CPU_AVXVNNI;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512bitalg") &&
        __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi"))
        tiers |= 1u << LQ_CPU_AVX512;
    if (tiers >> LQ_CPU_AVX512 & 1 && has_amx())
        tiers |= 1u << LQ_CPU_AMX;
#elif defined(__aarch64__)
    tiers |= 1u << LQ_CPU_NEON; /* part of the architecture */
#endif
    return tiers;
}

const char *lq_cpu_tier_name(enum lq_cpu_tier tier)
{
    return tier_names[tier];
}

int lq_cpu_tier_from_name(const char *name)
{
    for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++)
        if (strcmp(tier_names[tier], name) == 0)
            return tier;
    return -1;
}

/* CPUs that a quota of `quota` microseconds in every `period` pays for, rounded up; 0: no quota. */
static int quota_cpus(long long quota, long long period)
{
    if (quota <= 0 || period <= 0 || quota / period > 4096)
        return 0;
    return (int)((quota + period - 1) / period);
}

enum { PATH_SIZE = 8192 };

static FILE *open_in(const char *folder, const char *name)
{
    char path[PATH_SIZE + 32];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return fopen(path, "re");
}

static bool read_number(const char *folder, const char *name, long long *ret_number)
{
    FILE *file = open_in(folder, name);
    bool read;

    if (!file)
        return false;
    read = fscanf(file, "%lld", ret_number) == 1;
    fclose(file);
    return read;
}

/* A control group's own quota: version 2 says "quota period" or "max period" in one file, version 1
 * has two. */
static int group_cpus(const char *folder)
{
    FILE *file = open_in(folder, "cpu.max");
    long long quota = 0, period = 0;

    if (file) {
        int read = fscanf(file, "%lld %lld", &quota, &period);

        fclose(file);
        return read == 2 ? quota_cpus(quota, period) : 0;
    }
    if (read_number(folder, "cpu.cfs_quota_us", &quota) &&
        read_number(folder, "cpu.cfs_period_us", &period))
        return quota_cpus(quota, period);
    return 0;
}

static int least_quota(int a, int b)
{
    return a == 0 || (b > 0 && b < a) ? b : a;
}

/* The least quota of a group and of those around it. A container sees its own group where the whole
 * tree begins, and none at the path that is said: then that one counts. */
static int tree_cpus(const char *tree, const char *path)
{
    char folder[PATH_SIZE];
    size_t base = strlen(tree);
    int quota = 0;
    char *last;

    if (snprintf(folder, sizeof(folder), "%s%s", tree, path) >= (int)sizeof(folder))
        return group_cpus(tree);
    do {
        quota = least_quota(quota, group_cpus(folder));
        last = strrchr(folder + base, '/');
        if (last)
            *last = '\0';
    } while (last);
    return quota;
}

/* "cpu" is one of the names between commas. */
static bool lists_cpu(const char *names)
{
    for (; *names; names += strcspn(names, ",")) {
        names += *names == ',';
        if (strncmp(names, "cpu", 3) == 0 && (names[3] == ',' || names[3] == '\0'))
            return true;
    }
    return false;
}

/* Of a line "number:controllers:path" of /proc/self/cgroup; version 2 names no controllers. */
static int line_cpus(const char *root, char *line)
{
    char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
    char tree[PATH_SIZE / 2];

    if (!path)
        return 0;
    *path++ = '\0';
    names++;
    path[strcspn(path, "\n")] = '\0';
    if (*names && !lists_cpu(names))
        return 0;
    snprintf(tree, sizeof(tree), "%s/sys/fs/cgroup%s", root, *names ? "/cpu" : "");
    return tree_cpus(tree, path);
}

int lq_cpu_quota(const char *root)
{
    char line[PATH_SIZE / 2];
    FILE *file = open_in(root, "proc/self/cgroup");
    int quota = 0;

    if (!file)
        return 0;
    while (fgets(line, sizeof(line), file))
        quota = least_quota(quota, line_cpus(root, line));
    fclose(file);
    return quota;
}

int lq_cpu_count(void)
{
    cpu_set_t set;
    int cpus = 1, quota = lq_cpu_quota("");

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        cpus = CPU_COUNT(&set);
    if (quota > 0 && quota < cpus)
        cpus = quota;
    return cpus > 0 ? cpus : 1;
}
