/* sandbox.c - gives up what the daemon does not need once it listens.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int sandbox_drop_user(const char *user, struct lq_error *error)
{
    const struct passwd *entry = getpwnam(user); /* before other threads could ask */

    if (!entry)
        return error_set(error, LQ_ERR_NOT_FOUND, "user: there is no user '%.64s'", user);
    if (entry->pw_uid == geteuid() && entry->pw_uid == getuid())
        return LQ_OK;
    if (geteuid() != 0)
        return error_set(error, LQ_ERR_INVALID, "user: only root can become '%.64s'", user);
    if (initgroups(user, entry->pw_gid) != 0 ||
        setresgid(entry->pw_gid, entry->pw_gid, entry->pw_gid) != 0 ||
        setresuid(entry->pw_uid, entry->pw_uid, entry->pw_uid) != 0)
        return error_set(error, LQ_ERR_IO, "user: cannot become '%.64s': %s", user,
                         strerror(errno));
    if (entry->pw_uid != 0 && setuid(0) == 0)
        return error_set(error, LQ_ERR_IO, "user: '%.64s' can become root again", user);
    return LQ_OK;
}

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#if defined(ARCHITECTURE) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

/* Denied on every architecture; the numbers behind them only where the architecture has the call.
 */
static const int denied[] = {
    SYS_execve,
    SYS_execveat,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kcmp,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_unshare,
    SYS_setns,
    SYS_swapon,
    SYS_swapoff,
    SYS_reboot,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_acct,
    SYS_quotactl,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_personality,
    SYS_syslog,
    SYS_vhangup,
    SYS_open_by_handle_at,
    SYS_setuid,
    SYS_setgid,
    SYS_setreuid,
    SYS_setregid,
    SYS_setresuid,
    SYS_setresgid,
    SYS_setgroups,
    SYS_setfsuid,
    SYS_setfsgid,
    SYS_mknodat,
    SYS_sethostname,
    SYS_setdomainname,
#ifdef SYS_io_uring_setup
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
#endif
#ifdef SYS_pidfd_getfd
    SYS_pidfd_getfd,
#endif
#ifdef SYS_fsopen
    SYS_fsopen,
    SYS_fsmount,
    SYS_fsconfig,
    SYS_fspick,
    SYS_move_mount,
    SYS_open_tree,
#endif
#ifdef SYS_iopl
    SYS_iopl,
    SYS_ioperm,
    SYS_mknod,
    SYS_uselib,
    SYS_kexec_file_load,
#endif
};

enum { DENIED = sizeof(denied) / sizeof(*denied) };

#define LOAD(field)  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))

/* Kills what calls through another architecture's table; x86-64's second one (x32) is denied. */
static int filter_calls(void)
{
    struct sock_filter code[DENIED + 8] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        RETURN(SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, DENIED + 1, 0),
    };
    struct sock_fprog program = {.len = DENIED + 7, .filter = code};

    for (unsigned i = 0; i < DENIED; i++)
        code[5 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)denied[i],
                                                   (unsigned char)(DENIED - i), 0);
    code[5 + DENIED] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
    code[6 + DENIED] = (struct sock_filter)RETURN(SECCOMP_RET_ERRNO | EPERM);
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

#else

static int filter_calls(void)
{
    return 0;
}

#endif

int sandbox_enter(struct lq_error *error)
{
    /* of this thread; the filter brings it to the others */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || filter_calls() != 0)
        return error_set(error, LQ_ERR_UNSUPPORTED, "no system calls are denied: %s",
                         strerror(errno));
    return LQ_OK;
}
