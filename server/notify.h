/* notify.h - tells the service manager (systemd's sd_notify protocol) how the daemon is doing.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Nothing happens where NOTIFY_SOCKET names no socket. Any thread.
 */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

/* Requests are answered from now on, or again. */
void notify_ready(void);
/* It reads its models again; notify_ready follows. */
void notify_reloading(void);
/* It ends. */
void notify_stopping(void);

#endif
