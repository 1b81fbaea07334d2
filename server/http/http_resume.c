/* http_resume.c - hands a request that a worker has replied to back to the library.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * To resume a connection wakes the thread that serves it, and that thread takes the worker's CPU at
 * once: the replies of a batch, one by one, would let both take turns at the same CPU. So replies
 * may be held: of those that belong to one thread the first is resumed, and its thread resumes the
 * others when it comes by, which wakes nobody.
 *
 * A refusal may be delayed: its connection is suspended too, and the reaper resumes it.
 */
#include "http/http_private.h"

#include <stdlib.h>

#include "clock.h"

/* Delayed replies come due at multiples of it, so that those of many clients wake a thread once. */
#define DUE_STEP_US 5000

/* What this thread, of the library's, is to resume. */
static _Thread_local struct http_thread *here;

/* What this thread, a worker, holds. */
static _Thread_local struct {
    bool holding;
    struct http_request *first, *last;
} held;

struct http_thread *http_this_thread(struct http_server *server)
{
    if (!here && (here = calloc(1, sizeof(*here)))) {
        pthread_mutex_lock(&server->lock);
        here->next = server->threads;
        server->threads = here;
        pthread_mutex_unlock(&server->lock);
    }
    return here;
}

static void resume_all(struct http_thread *thread)
{
    struct http_request *request = atomic_exchange(&thread->ready, NULL);

    while (request) {
        struct MHD_Connection *library = request->library;

        request = request->next; /* it may be gone when it is resumed */
        MHD_resume_connection(library);
    }
}

void http_resume_ready(void)
{
    if (here && atomic_load_explicit(&here->ready, memory_order_relaxed))
        resume_all(here);
}

void http_free_threads(struct http_server *server)
{
    struct http_thread *thread;

    while ((thread = server->threads)) {
        server->threads = thread->next;
        free(thread);
    }
}

bool http_suspend_delayed(struct http_request *request)
{
    struct http_server *server = request->server;
    int64_t due_us = clock_now_us() + server->config->refusal_delay_ms * 1000;
    bool delayed;

    pthread_mutex_lock(&server->lock);
    delayed = !atomic_load(&server->draining);
    if (delayed) {
        MHD_suspend_connection(request->library);
        request->due_us = (due_us / DUE_STEP_US + 1) * DUE_STEP_US;
        request->next = NULL;
        if (server->first_delayed)
            server->last_delayed->next = request;
        else
            server->first_delayed = request;
        server->last_delayed = request;
        if (request->due_us < atomic_load(&server->wake_us))
            pthread_cond_signal(&server->reap);
    }
    pthread_mutex_unlock(&server->lock);
    return delayed;
}

int64_t http_resume_delayed(struct http_server *server, int64_t now_us)
{
    struct http_request *request;

    http_hold_replies();
    while ((request = server->first_delayed) && request->due_us <= now_us) {
        server->first_delayed = request->next;
        http_resume(request);
    }
    http_release_replies();
    return request ? request->due_us : INT64_MAX;
}

void http_resume_everywhere(struct http_server *server)
{
    pthread_mutex_lock(&server->lock);
    http_resume_delayed(server, INT64_MAX);
    for (struct http_thread *thread = server->threads; thread; thread = thread->next)
        resume_all(thread);
    pthread_mutex_unlock(&server->lock);
}

void http_resume(struct http_request *request)
{
    if (!held.holding || !request->thread) {
        MHD_resume_connection(request->library);
        return;
    }
    request->next = NULL;
    if (held.first)
        held.last->next = request;
    else
        held.first = request;
    held.last = request;
}

/* Takes the first of those that are held, and all others of its thread: these, in their order, are
 * its ->next. */
static struct http_request *take_group(void)
{
    struct http_request *leader = held.first, *group = leader, *rest = NULL, **end = &rest;

    held.last = NULL;
    for (struct http_request *at = leader->next, *next; at; at = next) {
        next = at->next;
        if (at->thread == leader->thread) {
            group->next = at;
            group = at;
        } else {
            *end = held.last = at;
            end = &at->next;
        }
    }
    group->next = *end = NULL;
    held.first = rest;
    return leader;
}

void http_hold_replies(void)
{
    held.holding = true;
}

void http_release_replies(void)
{
    held.holding = false;
    while (held.first) {
        struct http_request *leader = take_group(), *last = leader->next;
        struct http_thread *thread = leader->thread;
        struct http_request *before = atomic_load(&thread->ready);

        while (last && last->next)
            last = last->next;
        if (last)
            do
                last->next = before;
            while (!atomic_compare_exchange_weak(&thread->ready, &before, leader->next));
        MHD_resume_connection(leader->library);
    }
}
