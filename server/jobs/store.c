/* store.c - jobs and decisions, kept in a SQLite file.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "jobs/store.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/text.h"

#define SCHEMA_VERSION 1

struct store {
    sqlite3 *base;
    char path[CONFIG_TEXT_SIZE + 16]; /* for messages */
};

static const char schema[] =
    "CREATE TABLE job (id INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT NOT NULL,"
    " who TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, created INTEGER NOT NULL,"
    " started INTEGER NOT NULL, ended INTEGER NOT NULL, base INTEGER NOT NULL,"
    " version INTEGER NOT NULL, request TEXT NOT NULL, figures TEXT, log TEXT);"
    "CREATE INDEX job_state ON job (state);"
    "CREATE TABLE decision (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL,"
    " kind TEXT NOT NULL, model TEXT NOT NULL, who TEXT NOT NULL, job INTEGER NOT NULL,"
    " previous INTEGER NOT NULL, version INTEGER NOT NULL, pending INTEGER NOT NULL,"
    " reason TEXT NOT NULL, figures TEXT);"
    "CREATE INDEX decision_model ON decision (model, id);";

#define JOB_COLUMNS                                                                                \
    "id, model, who, state, reason, created, started, ended, base, version, request, figures, log"
#define DECISION_COLUMNS                                                                           \
    "id, at, kind, model, who, job, previous, version, pending, reason, figures"

/* ------------------------------------------------------------------------------------------------
 * SQLite
 */

static int fail(const struct store *store, struct lq_error *error)
{
    int code = store->base ? sqlite3_errcode(store->base) : SQLITE_NOMEM;
    int status = code == SQLITE_NOMEM                              ? LQ_ERR_MEMORY
                 : code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? LQ_ERR_FORMAT
                                                                   : LQ_ERR_IO;

    return error_set(error, status, "%s: %s", store->path,
                     code == SQLITE_BUSY ? "another server uses it" : sqlite3_errmsg(store->base));
}

static int run(struct store *store, const char *sql, struct lq_error *error)
{
    return sqlite3_exec(store->base, sql, NULL, NULL, NULL) == SQLITE_OK ? LQ_OK
                                                                         : fail(store, error);
}

static int prepare(struct store *store, const char *sql, sqlite3_stmt **ret_statement,
                   struct lq_error *error)
{
    return sqlite3_prepare_v2(store->base, sql, -1, ret_statement, NULL) == SQLITE_OK
               ? LQ_OK
               : fail(store, error);
}

/* Of a statement that gives no rows. */
static int finish(struct store *store, sqlite3_stmt *statement, struct lq_error *error)
{
    int status = sqlite3_step(statement) == SQLITE_DONE ? LQ_OK : fail(store, error);

    sqlite3_finalize(statement);
    return status;
}

static void bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC); /* NULL is NULL there too */
}

static void take_text(sqlite3_stmt *statement, int column, char *ret_text, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);

    snprintf(ret_text, size, "%s", text ? text : "");
}

/* NULL where there is none, or no memory. */
static char *copy_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);

    return text ? strdup(text) : NULL;
}

static int read_number(struct store *store, const char *sql, int64_t *ret_number,
                       struct lq_error *error)
{
    sqlite3_stmt *statement;
    int status = prepare(store, sql, &statement, error);

    if (status != LQ_OK)
        return status;
    if (sqlite3_step(statement) == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(statement, 0);
    else
        status = fail(store, error);
    sqlite3_finalize(statement);
    return status;
}

/* ------------------------------------------------------------------------------------------------
 * Opening
 */

static int check_whole(struct store *store, struct lq_error *error)
{
    sqlite3_stmt *statement;
    char text[200];
    int status = prepare(store, "PRAGMA quick_check(1)", &statement, error);

    if (status != LQ_OK)
        return status;
    if (sqlite3_step(statement) == SQLITE_ROW) {
        take_text(statement, 0, text, sizeof(text));
        if (strcmp(text, "ok") != 0)
            status = error_set(error, LQ_ERR_FORMAT, "%s is damaged: %s", store->path, text);
    } else {
        status = fail(store, error);
    }
    sqlite3_finalize(statement);
    return status;
}

static int set_up(struct store *store, struct lq_error *error)
{
    int64_t version = 0, tables = 0;
    char sql[80];
    int status = run(store,
                     "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;"
                     "PRAGMA synchronous=FULL; PRAGMA trusted_schema=OFF;",
                     error);

    if (status == LQ_OK) /* takes the lock, which stays */
        status = run(store, "BEGIN EXCLUSIVE; COMMIT", error);
    if (status == LQ_OK)
        status = check_whole(store, error);
    if (status == LQ_OK)
        status = read_number(store, "PRAGMA user_version", &version, error);
    if (status == LQ_OK)
        status = read_number(store, "SELECT count(*) FROM sqlite_master", &tables, error);
    if (status != LQ_OK || version == SCHEMA_VERSION)
        return status;
    if (version != 0 || tables != 0)
        return error_set(error, LQ_ERR_FORMAT, "%s: %s", store->path,
                         version > SCHEMA_VERSION ? "it is of a later lqnetd"
                                                  : "it is no database of lqnetd's jobs");
    snprintf(sql, sizeof(sql), "PRAGMA user_version=%d; COMMIT", SCHEMA_VERSION);
    status = run(store, "BEGIN", error);
    if (status == LQ_OK)
        status = run(store, schema, error);
    return status == LQ_OK ? run(store, sql, error) : status;
}

int store_open(const char *folder, struct store **ret_store, struct lq_error *error)
{
    struct store *store = calloc(1, sizeof(*store));
    int status;

    if (!store)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    snprintf(store->path, sizeof(store->path), "%s/jobs.db", folder);
    status = sqlite3_open_v2(store->path, &store->base,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                                 SQLITE_OPEN_NOFOLLOW,
                             NULL) == SQLITE_OK
                 ? set_up(store, error)
                 : fail(store, error);
    if (status == LQ_OK)
        *ret_store = store;
    else
        store_close(store);
    return status;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    sqlite3_close(store->base);
    free(store);
}

/* ------------------------------------------------------------------------------------------------
 * Saving
 */

static int save_job(struct store *store, struct job *job, struct lq_error *error)
{
    static const char sql[] =
        "INSERT OR REPLACE INTO job (" JOB_COLUMNS ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)";
    const int64_t numbers[] = {job->created_ms, job->started_ms, job->ended_ms, job->base,
                               job->version};
    sqlite3_stmt *statement;
    int status = prepare(store, sql, &statement, error);

    if (status != LQ_OK)
        return status;
    if (job->id)
        sqlite3_bind_int64(statement, 1, job->id);
    bind_text(statement, 2, job->model);
    bind_text(statement, 3, job->who);
    bind_text(statement, 4, job_state_text(job->state));
    bind_text(statement, 5, job->reason);
    for (int i = 0; i < 5; i++)
        sqlite3_bind_int64(statement, 6 + i, numbers[i]);
    bind_text(statement, 11, job->request);
    bind_text(statement, 12, job->figures);
    bind_text(statement, 13, job->log);
    return finish(store, statement, error);
}

static int save_decision(struct store *store, struct decision *decision, struct lq_error *error)
{
    static const char sql[] =
        "INSERT OR REPLACE INTO decision (" DECISION_COLUMNS ") VALUES (?,?,?,?,?,?,?,?,?,?,?)";
    const int64_t numbers[] = {decision->job, decision->from, decision->version, decision->pending};
    sqlite3_stmt *statement;
    int status = prepare(store, sql, &statement, error);

    if (status != LQ_OK)
        return status;
    if (decision->id)
        sqlite3_bind_int64(statement, 1, decision->id);
    sqlite3_bind_int64(statement, 2, decision->at_ms);
    bind_text(statement, 3, decision_text(decision->kind));
    bind_text(statement, 4, decision->model);
    bind_text(statement, 5, decision->who);
    for (int i = 0; i < 4; i++)
        sqlite3_bind_int64(statement, 6 + i, numbers[i]);
    bind_text(statement, 10, decision->reason);
    bind_text(statement, 11, decision->figures);
    return finish(store, statement, error);
}

int store_save(struct store *store, struct job *job, struct decision *decision,
               struct lq_error *error)
{
    int64_t job_id = job ? job->id : 0, decision_id = decision ? decision->id : 0;
    int status = run(store, "BEGIN IMMEDIATE", error);

    if (status != LQ_OK)
        return status;
    if (job) {
        status = save_job(store, job, error);
        job_id = job_id ? job_id : sqlite3_last_insert_rowid(store->base);
    }
    if (decision && status == LQ_OK) {
        status = save_decision(store, decision, error);
        decision_id = decision_id ? decision_id : sqlite3_last_insert_rowid(store->base);
    }
    if (status == LQ_OK)
        status = run(store, "COMMIT", error);
    if (status != LQ_OK) {
        sqlite3_exec(store->base, "ROLLBACK", NULL, NULL, NULL);
        return status;
    }
    if (job)
        job->id = job_id;
    if (decision)
        decision->id = decision_id;
    return LQ_OK;
}

int store_forget(struct store *store, int64_t decision, struct lq_error *error)
{
    sqlite3_stmt *statement;
    int status = prepare(store, "DELETE FROM decision WHERE id=?", &statement, error);

    if (status != LQ_OK)
        return status;
    sqlite3_bind_int64(statement, 1, decision);
    return finish(store, statement, error);
}

/* ------------------------------------------------------------------------------------------------
 * Reading
 */

static int take_job(sqlite3_stmt *row, struct job *ret_job)
{
    char state[24];
    int found;

    take_text(row, 3, state, sizeof(state));
    found = job_state_from_text(state);
    *ret_job = (struct job){
        .id = sqlite3_column_int64(row, 0),
        .state = found < 0 ? JOB_FAILED : (enum job_state)found,
        .created_ms = sqlite3_column_int64(row, 5),
        .started_ms = sqlite3_column_int64(row, 6),
        .ended_ms = sqlite3_column_int64(row, 7),
        .base = sqlite3_column_int64(row, 8),
        .version = sqlite3_column_int64(row, 9),
        .request = copy_text(row, 10),
        .figures = copy_text(row, 11),
        .log = copy_text(row, 12),
    };
    take_text(row, 1, ret_job->model, sizeof(ret_job->model));
    take_text(row, 2, ret_job->who, sizeof(ret_job->who));
    take_text(row, 4, ret_job->reason, sizeof(ret_job->reason));
    return ret_job->request ? LQ_OK : LQ_ERR_MEMORY;
}

static void take_decision(sqlite3_stmt *row, struct decision *ret_decision)
{
    char kind[24];
    int found;

    take_text(row, 2, kind, sizeof(kind));
    found = decision_from_text(kind);
    *ret_decision = (struct decision){
        .id = sqlite3_column_int64(row, 0),
        .at_ms = sqlite3_column_int64(row, 1),
        .kind = found < 0 ? DECISION_FAIL : (enum decision_kind)found,
        .job = sqlite3_column_int64(row, 5),
        .from = sqlite3_column_int64(row, 6),
        .version = sqlite3_column_int64(row, 7),
        .pending = sqlite3_column_int64(row, 8) != 0,
        .figures = copy_text(row, 10),
    };
    take_text(row, 3, ret_decision->model, sizeof(ret_decision->model));
    take_text(row, 4, ret_decision->who, sizeof(ret_decision->who));
    take_text(row, 9, ret_decision->reason, sizeof(ret_decision->reason));
}

/* Steps through the rows; LQ_OK at their end. */
static int end_rows(struct store *store, sqlite3_stmt *statement, int code, struct lq_error *error)
{
    int status = code == SQLITE_DONE ? LQ_OK : fail(store, error);

    sqlite3_finalize(statement);
    return status;
}

int store_job(struct store *store, int64_t id, struct job *ret_job, struct lq_error *error)
{
    sqlite3_stmt *statement;
    struct job job = {0};
    int code,
        status = prepare(store, "SELECT " JOB_COLUMNS " FROM job WHERE id=?", &statement, error);

    if (status != LQ_OK)
        return status;
    sqlite3_bind_int64(statement, 1, id);
    code = sqlite3_step(statement);
    if (code == SQLITE_DONE)
        status = error_set(error, LQ_ERR_NOT_FOUND, "no job %lld", (long long)id);
    else if (code != SQLITE_ROW)
        status = fail(store, error);
    else if (take_job(statement, &job) != LQ_OK)
        status = error_set(error, LQ_ERR_MEMORY, "out of memory");
    sqlite3_finalize(statement);
    if (status == LQ_OK)
        *ret_job = job;
    else
        job_deinit(&job);
    return status;
}

int store_jobs(struct store *store, int64_t before, int limit, store_visit_job *visit,
               void *context, struct lq_error *error)
{
    static const char sql[] = "SELECT " JOB_COLUMNS " FROM job WHERE id<? ORDER BY id DESC LIMIT ?";
    sqlite3_stmt *statement;
    int code, status = prepare(store, sql, &statement, error);

    if (status != LQ_OK)
        return status;
    sqlite3_bind_int64(statement, 1, before ? before : INT64_MAX);
    sqlite3_bind_int(statement, 2, limit);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct job job;

        if (take_job(statement, &job) == LQ_OK)
            visit(context, &job);
        job_deinit(&job);
    }
    return end_rows(store, statement, code, error);
}

static int visit_decisions(struct store *store, sqlite3_stmt *statement,
                           store_visit_decision *visit, void *context, struct lq_error *error)
{
    int code;

    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        struct decision decision;

        take_decision(statement, &decision);
        visit(context, &decision);
        decision_deinit(&decision);
    }
    return end_rows(store, statement, code, error);
}

int store_decisions(struct store *store, const struct store_page *page, store_visit_decision *visit,
                    void *context, struct lq_error *error)
{
    static const char sql[] =
        "SELECT " DECISION_COLUMNS " FROM decision WHERE (?1 IS NULL OR model=?1) AND id<?2 AND "
        "NOT pending ORDER BY id DESC LIMIT ?3";
    sqlite3_stmt *statement;
    int status = prepare(store, sql, &statement, error);

    if (status != LQ_OK)
        return status;
    bind_text(statement, 1, page->model);
    sqlite3_bind_int64(statement, 2, page->before ? page->before : INT64_MAX);
    sqlite3_bind_int(statement, 3, page->limit);
    return visit_decisions(store, statement, visit, context, error);
}

int store_pending(struct store *store, store_visit_decision *visit, void *context,
                  struct lq_error *error)
{
    static const char sql[] = "SELECT " DECISION_COLUMNS " FROM decision WHERE pending ORDER BY id";
    sqlite3_stmt *statement;
    int status = prepare(store, sql, &statement, error);

    return status == LQ_OK ? visit_decisions(store, statement, visit, context, error) : status;
}

int store_find(struct store *store, enum job_state state, int64_t *ret_ids, int room,
               int *ret_count, struct lq_error *error)
{
    static const char sql[] = "SELECT id FROM job WHERE state=? ORDER BY id LIMIT ?";
    sqlite3_stmt *statement;
    int count = 0, code, status = prepare(store, sql, &statement, error);

    if (status != LQ_OK)
        return status;
    bind_text(statement, 1, job_state_text(state));
    sqlite3_bind_int(statement, 2, room);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        ret_ids[count++] = sqlite3_column_int64(statement, 0);
    *ret_count = count;
    return end_rows(store, statement, code, error);
}

int store_count(struct store *store, int64_t ret_counts[JOB_STATE_COUNT], struct lq_error *error)
{
    static const char sql[] = "SELECT state, count(*) FROM job GROUP BY state";
    sqlite3_stmt *statement;
    int code, status = prepare(store, sql, &statement, error);

    if (status != LQ_OK)
        return status;
    memset(ret_counts, 0, JOB_STATE_COUNT * sizeof(*ret_counts));
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        char state[24];
        int found;

        take_text(statement, 0, state, sizeof(state));
        found = job_state_from_text(state);
        if (found >= 0)
            ret_counts[found] = sqlite3_column_int64(statement, 1);
    }
    return end_rows(store, statement, code, error);
}
