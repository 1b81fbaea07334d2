/* metrics_process.c - what the operating system knows of this process, as metrics.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The names are those of Prometheus' own clients. What /proc does not tell is left out.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "observe/metrics_private.h"

static void write_number(struct text *text, const char *name, const char *type, const char *help,
                         double value)
{
    text_printf(text, "# HELP %s %s\n# TYPE %s %s\n%s %.3f\n", name, help, name, type, name, value);
}

static bool read_file(const char *path, char *ret_text, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t length;

    if (!file)
        return false;
    length = fread(ret_text, 1, size - 1, file);
    fclose(file);
    ret_text[length] = '\0';
    return length > 0;
}

/* Field number (from 1) of /proc/self/stat; the name in parentheses may hold blanks. */
static bool stat_field(const char *line, int number, unsigned long long *ret_value)
{
    const char *at = strrchr(line, ')');
    char *end;

    for (int field = 2; at && field < number; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        return false;
    *ret_value = strtoull(at + 1, &end, 10);
    return end != at + 1;
}

static int count_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    if (!folder)
        return -1;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count - 3; /* without ".", ".." and the folder itself */
}

/* Seconds since 1970 at which the machine booted, with its fraction. */
static double boot_time(void)
{
    struct timespec now, up;

    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &up);
    return (double)(now.tv_sec - up.tv_sec) + (double)(now.tv_nsec - up.tv_nsec) / 1e9;
}

void metrics_write_process(struct text *text)
{
    char line[1024];
    unsigned long long value;
    struct rusage usage;
    struct rlimit files;
    int count = count_files();

    getrusage(RUSAGE_SELF, &usage);
    write_number(text, "process_cpu_seconds_total", "counter", "User and system time spent.",
                 (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    if (read_file("/proc/self/stat", line, sizeof(line))) {
        if (stat_field(line, 20, &value))
            write_number(text, "process_threads", "gauge", "Threads.", (double)value);
        if (stat_field(line, 22, &value))
            write_number(text, "process_start_time_seconds", "gauge",
                         "Start of the process, in seconds since 1970.",
                         boot_time() + (double)value / (double)sysconf(_SC_CLK_TCK));
        if (stat_field(line, 23, &value))
            write_number(text, "process_virtual_memory_bytes", "gauge", "Address space.",
                         (double)value);
        if (stat_field(line, 24, &value))
            write_number(text, "process_resident_memory_bytes", "gauge", "Memory in use.",
                         (double)value * (double)sysconf(_SC_PAGESIZE));
    }
    if (count >= 0)
        write_number(text, "process_open_fds", "gauge", "Open file descriptors.", count);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        write_number(text, "process_max_fds", "gauge", "File descriptors allowed.",
                     (double)files.rlim_cur);
}
