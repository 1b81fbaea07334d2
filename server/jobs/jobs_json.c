/* jobs_json.c - jobs and decisions as JSON.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "jobs/jobs_private.h"

static void write_text(struct text *json, const char *name, const char *value)
{
    text_printf(json, ",\"%s\":", name);
    text_json(json, value[0] ? value : NULL);
}

/* A time as RFC 3339 has it, or null. */
static void write_time(struct text *json, const char *name, int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    char text[32] = "";
    struct tm parts;

    if (ms && gmtime_r(&seconds, &parts))
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
    text_printf(json, ",\"%s\":", name);
    if (text[0])
        text_printf(json, "\"%s.%03dZ\"", text, (int)(ms % 1000));
    else
        text_string(json, "null");
}

/* As in the rest of the interface, a version is a text. */
static void write_version(struct text *json, const char *name, int64_t version)
{
    if (version)
        text_printf(json, ",\"%s\":\"%lld\"", name, (long long)version);
    else
        text_printf(json, ",\"%s\":null", name);
}

static void write_lines(struct text *json, const char *lines, size_t length)
{
    const char *end = lines + length;

    text_string(json, ",\"log\":[");
    for (const char *at = lines; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t line = (size_t)((stop ? stop : end) - at);

        text_string(json, at == lines ? "" : ",");
        text_json_bytes(json, at, line);
        at += line + 1;
    }
    text_string(json, "]");
}

/* The lock is held. */
static void write_stage(const struct run *run, struct text *json)
{
    double seconds = (double)(clock_now_us() - run->stage_us) * 1e-6;
    double rate = seconds > 0 ? (double)run->done / seconds : 0;

    text_string(json, "{\"stage\":");
    text_json(json, run->stage);
    text_printf(json, ",\"done\":%lld,\"total\":%lld,\"rate\":%.6g,\"seconds_left\":",
                (long long)run->done, (long long)run->total, rate);
    if (rate > 0 && run->total >= run->done)
        text_printf(json, "%.1f}", (double)(run->total - run->done) / rate);
    else
        text_string(json, "null}");
}

void jobs_write_progress(struct run *run, struct text *json)
{
    text_printf(json, "{\"id\":%lld,\"progress\":", (long long)run->job);
    pthread_mutex_lock(&run->lock);
    write_stage(run, json);
    pthread_mutex_unlock(&run->lock);
    text_string(json, "}");
}

static void write_figures(struct text *json, const char *figures, size_t length)
{
    text_string(json, ",\"figures\":");
    if (length)
        text_append(json, figures, length);
    else
        text_string(json, "null");
}

/* What the store will know at the end is the run's until then. */
static void write_live(const struct job *job, struct run *run, struct text *json)
{
    if (run) {
        size_t length;

        pthread_mutex_lock(&run->lock);
        text_string(json, ",\"progress\":");
        write_stage(run, json);
        length = run->figures.length;
        text_string(json, ",\"figures\":");
        if (length > 1) { /* without the last comma */
            text_string(json, "{");
            text_append(json, run->figures.bytes, length - 1);
            text_string(json, "}");
        } else {
            text_string(json, "null");
        }
        write_lines(json, run->log.bytes ? run->log.bytes : "", run->log.length);
        pthread_mutex_unlock(&run->lock);
        return;
    }
    text_string(json, ",\"progress\":null");
    write_figures(json, job->figures, job->figures ? strlen(job->figures) : 0);
    write_lines(json, job->log ? job->log : "", job->log ? strlen(job->log) : 0);
}

void jobs_write_job(const struct job *job, struct run *run, bool brief, struct text *json)
{
    text_printf(json, "{\"id\":%lld,\"model\":", (long long)job->id);
    text_json(json, job->model);
    text_printf(json, ",\"state\":\"%s\"", job_state_text(job->state));
    write_text(json, "reason", job->reason);
    write_text(json, "asked_by", job->who);
    write_time(json, "created", job->created_ms);
    write_time(json, "started", job->started_ms);
    write_time(json, "ended", job->ended_ms);
    write_version(json, "base_version", job->base);
    write_version(json, "version", job->version);
    text_string(json, ",\"request\":");
    text_string(json, job->request);
    if (!brief)
        write_live(job, run, json);
    text_string(json, "}");
}

void jobs_write_decision(const struct decision *decision, struct text *json)
{
    text_printf(json, "{\"id\":%lld,\"decision\":\"%s\"", (long long)decision->id,
                decision_text(decision->kind));
    write_time(json, "at", decision->at_ms);
    write_text(json, "asked_by", decision->who);
    if (decision->job)
        text_printf(json, ",\"job\":%lld", (long long)decision->job);
    else
        text_string(json, ",\"job\":null");
    write_version(json, "from_version", decision->from);
    write_version(json, "version", decision->version);
    write_text(json, "reason", decision->reason);
    write_figures(json, decision->figures, decision->figures ? strlen(decision->figures) : 0);
    text_string(json, "}");
}
