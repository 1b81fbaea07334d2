/* test_sandbox.c - what the daemon gives up once it listens.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox.h"
#include "support/daemon.h"
#include "support/suite.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { FILTERED = 0 };
#else
enum { FILTERED = 1 };
#endif

static int ask(const struct daemon *d, const char *path)
{
    struct answer answer = daemon_ask(d, "GET", path, NULL, NULL, 0);
    int status = answer.status;

    answer_free(&answer);
    return status;
}

/* A line of a thread's /proc/PID/task/TID/status, behind its name and the tab. */
static void read_status(pid_t pid, const char *thread, const char *name, char *ret_text,
                        size_t size)
{
    char path[300], line[256];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/task/%.20s/status", (int)pid, thread);
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    *ret_text = '\0';
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, name, strlen(name)) == 0)
            snprintf(ret_text, size, "%s", line + strlen(name) + 1);
    }
    fclose(file);
}

/* Of every thread. */
static void check_status(const struct daemon *d, const char *name, const char *wanted)
{
    char path[64], text[256];
    int threads = 0;
    struct dirent *entry;
    DIR *folder;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)d->pid);
    folder = opendir(path);
    ck_assert_ptr_nonnull(folder);
    while ((entry = readdir(folder))) {
        if (entry->d_name[0] == '.')
            continue;
        read_status(d->pid, entry->d_name, name, text, sizeof(text));
        ck_assert_msg(strcmp(text, wanted) == 0, "thread %s: %s %s, not %s", entry->d_name, name,
                      text, wanted);
        threads++;
    }
    closedir(folder);
    ck_assert_int_gt(threads, 3);
}

START_TEST(system_calls)
{
    struct daemon d;

    daemon_start(&d, NULL);
    if (FILTERED) {
        check_status(&d, "NoNewPrivs:", "1");
        check_status(&d, "Seccomp:", "2");
    }
    ck_assert_int_eq(ask(&d, "/metrics"), 200); /* reads /proc */
    kill(d.pid, SIGHUP);                        /* reads models */
    ck_assert_int_eq(ask(&d, "/v2/models/tiny"), 200);
    ck_assert_int_eq(daemon_stop(&d), 0);
    daemon_start(&d, (const char *const[]){"--sandbox", "false", NULL});
    check_status(&d, "Seccomp:", "0");
    check_status(&d, "NoNewPrivs:", "0");
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* In a process of its own (each test is one): what is denied, and what is not. */
START_TEST(denied)
{
    char *const words[] = {"/bin/true", NULL};
    struct lq_error error = {0};
    struct stat stat_now;

    ck_assert_msg(sandbox_enter(&error) == LQ_OK, "%s", error.text);
    if (!FILTERED)
        return;
    ck_assert_int_eq(execv(words[0], words), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(chroot("/"), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(setuid(getuid()), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(stat("/", &stat_now), 0);
    int fd = open("/dev/null", O_WRONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "x", 1), 1);
    close(fd);
}
END_TEST

START_TEST(another_user)
{
    const struct passwd *nobody = getpwnam("nobody");
    char wanted[64];
    struct daemon d;

    if (geteuid() != 0 || !nobody)
        return; /* only root can become somebody else */
    daemon_start(&d, (const char *const[]){"--user", "nobody", NULL});
    snprintf(wanted, sizeof(wanted), "%d\t%d\t%d\t%d", (int)nobody->pw_uid, (int)nobody->pw_uid,
             (int)nobody->pw_uid, (int)nobody->pw_uid);
    check_status(&d, "Uid:", wanted);
    snprintf(wanted, sizeof(wanted), "%d\t%d\t%d\t%d", (int)nobody->pw_gid, (int)nobody->pw_gid,
             (int)nobody->pw_gid, (int)nobody->pw_gid);
    check_status(&d, "Gid:", wanted);
    check_status(&d, "CapEff:", "0000000000000000");
    check_status(&d, "CapPrm:", "0000000000000000");
    ck_assert_int_eq(ask(&d, "/v2/models/tiny"), 200);
    ck_assert_int_eq(daemon_stop(&d), 0);
    unlink(d.admin); /* the folder is not nobody's */
}
END_TEST

START_TEST(refused_users)
{
    char text[4096], *program = getenv("LQNETD"), folder[] = "/tmp/lqnetd-user-XXXXXX";
    char *words[] = {program, "--listen", "127.0.0.1:0",  "--models",
                     folder,  "--user",   "no-such-user", NULL};

    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(daemon_run(words, text, sizeof(text)), 1);
    ck_assert_msg(strstr(text, "there is no user 'no-such-user'"), "%s", text);
    rmdir(folder);
    if (geteuid() == 0) { /* in this test's own process */
        struct lq_error error = {0};

        ck_assert_int_eq(sandbox_drop_user("root", &error), LQ_OK);
        ck_assert_int_eq(sandbox_drop_user("nobody", &error), LQ_OK);
        ck_assert_int_eq(sandbox_drop_user("nobody", &error), LQ_OK);
        ck_assert_int_eq(sandbox_drop_user("root", &error), LQ_ERR_INVALID);
        ck_assert_ptr_nonnull(strstr(error.text, "only root"));
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("sandbox");

    signal(SIGPIPE, SIG_IGN);
    tcase_add_test(tests, system_calls);
    tcase_add_test(tests, denied);
    tcase_add_test(tests, another_user);
    tcase_add_test(tests, refused_users);
    return suite_main("sandbox", tests);
}
