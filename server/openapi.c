/* openapi.c - the description of the interface for machines: OpenAPI 3.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Paths and methods come from the table of routes; the table below says what each handler takes and
 * gives. Its texts have ' where JSON has ".
 */
#include "openapi.h"

#include <string.h>

/* What a handler takes and gives. request, response: media types, separated by blanks, and the name
 * of a schema behind each, or of none ("-": bytes). statuses: beside 200. */
static const struct description {
    route_handler *handler;
    const char *request, *response, *statuses;
} descriptions[] = {
    {route_server_metadata, NULL, "application/json server_metadata", "401 403"},
    {route_live, NULL, "application/json live", ""},
    {route_ready, NULL, "application/json ready", "503"},
    {route_metrics, NULL, "text/plain -", "401 403"},
    {route_openapi, NULL, "application/json -", "401 403"},
    {route_model_list, NULL, "application/json model_list", "401 403"},
    {route_model_metadata, NULL, "application/json model_metadata", "401 403 404 503"},
    {route_model_config, NULL, "application/json model_config", "401 403 404 503"},
    {route_model_ready, NULL, "application/json model_ready", "401 403 404 503"},
    {route_stats, NULL, "application/json statistics", "401 403 404"},
    {route_infer, "application/json inference_request application/octet-stream -",
     "application/json inference_response application/octet-stream -",
     "400 401 403 404 408 413 415 422 429 503 504"},
    {route_classify, "image/jpeg - image/png - multipart/form-data files",
     "application/json classification", "400 401 403 404 408 413 415 422 429 503 504"},
    {route_repository_index, "application/json repository_index_request",
     "application/json repository_index", "400 401 403"},
    {route_repository_load, "application/json repository_change", "application/json empty",
     "400 401 403 404 422 503"},
    {route_repository_unload, "application/json repository_change", "application/json empty",
     "400 401 403 404 503"},
    {route_finetune, "application/json job_request", "application/json job",
     "400 401 403 404 409 503"},
    {route_rollback, "application/json rollback", "application/json decision",
     "400 401 403 404 409 422 500 503"},
    {route_history, NULL, "application/json history", "400 401 403 503"},
    {route_uploads, NULL, "application/json uploads", "401 403 404 503"},
    {route_upload, "application/x-tar - multipart/form-data files", "application/json upload",
     "400 401 403 404 413 422 500 503"},
    {route_upload_discard, NULL, "application/json empty", "401 403 404 503"},
    {route_jobs, NULL, "application/json jobs", "400 401 403 503"},
    {route_job, NULL, "application/json job", "401 403 404 503"},
    {route_job_cancel, NULL, "application/json job", "401 403 404 409 503"},
    {route_job_events, NULL, "text/event-stream -", "401 403 404 503"},
    {route_job_resume, NULL, "application/json job", "401 403 404 409 503"},
};

#define STRING    "{'type':'string'}"
#define INTEGER   "{'type':'integer'}"
#define BOOLEAN   "{'type':'boolean'}"
#define NUMBER    "{'type':'number'}"
#define REF(name) "{'$ref':'#/components/schemas/" name "'}"
#define LIST(of)  "{'type':'array','items':" of "}"
/* Members are all of 'name':schema; required a list of names. */
#define OBJECT(required, members)                                                                  \
    "{'type':'object','required':[" required "],'properties':{" members "}}"

static const char schemas[] = "{'error':" OBJECT("'error'", "'error':" STRING) //
    ",'empty':{'type':'object'}"
    ",'parameters':{'type':'object','additionalProperties':{}}"
    ",'server_metadata':" OBJECT("'name','version','extensions'",
                                 "'name':" STRING ",'version':" STRING
                                 ",'extensions':" LIST(STRING)) //
    ",'live':" OBJECT("'live'", "'live':" BOOLEAN)              //
    ",'ready':" OBJECT("'ready'", "'ready':" BOOLEAN)           //
    ",'model_list':" OBJECT(
        "'models'",
        "'models':" LIST(OBJECT("'name','version','state'",
                                "'name':" STRING ",'version':" STRING ",'state':" REF("state") //
                                ",'reason':" STRING)))                                         //
    ",'state':{'type':'string','enum':['UNAVAILABLE','LOADING','READY','UNLOADING']}"
    ",'tensor_metadata':" OBJECT("'name','datatype','shape'",
                                 "'name':" STRING ",'datatype':" STRING
                                 ",'shape':" LIST(INTEGER)) //
    ",'model_metadata':" OBJECT(
        "'name','platform','inputs','outputs'",
        "'name':" STRING ",'versions':" LIST(STRING) ",'platform':" STRING
                                                     ",'inputs':" LIST(REF("tensor_metadata")) //
        ",'outputs':" LIST(REF("tensor_metadata"))                                             //
        ",'properties':{'type':'object','additionalProperties':" STRING "}")                   //
    ",'config_tensor':" OBJECT("'name','data_type','dims'",
                               "'name':" STRING ",'data_type':" STRING ",'format':" STRING
                               ",'dims':" LIST(INTEGER)) //
    ",'model_config':" OBJECT(
        "'name','platform','backend','max_batch_size','input','output'",
        "'name':" STRING ",'platform':" STRING ",'backend':" STRING ",'max_batch_size':" INTEGER
        ",'input':" LIST(REF("config_tensor")) ",'output':" LIST(REF("config_tensor")) //
        ",'instance_group':" LIST(
            OBJECT("'kind','count'", "'name':" STRING ",'kind':" STRING ",'count':" INTEGER)) //
        ",'dynamic_batching':" REF("empty") ",'parameters':" REF("parameters"))               //
    ",'model_ready':" OBJECT("'name','ready'", "'name':" STRING ",'ready':" BOOLEAN)          //
    ",'duration':" OBJECT("'count','ns'", "'count':" INTEGER ",'ns':" INTEGER)                //
    ",'batch_statistics':" OBJECT("'batch_size','compute_input','compute_infer','compute_output'",
                                  "'batch_size':" INTEGER
                                  ",'compute_input':" REF("duration") ",'compute_infer':" REF(
                                      "duration") ",'compute_output':" REF("duration")) //
    ",'statistics':" OBJECT(
        "'model_stats'",
        "'model_stats':" LIST(
            OBJECT("'name','version','last_inference','inference_count','execution_count',"
                   "'inference_stats','batch_stats'",
                   "'name':" STRING ",'version':" STRING ",'last_inference':" INTEGER
                   ",'inference_count':" INTEGER ",'execution_count':" INTEGER
                   ",'inference_stats':{'type':'object','additionalProperties':" REF("duration") //
                   "},'batch_stats':" LIST(REF("batch_statistics")))))                           //
    ",'tensor_data':{'type':'array','items':{'anyOf':[" REF("tensor_data")                       //
    ",{'type':'number'},{'type':'string'}]}}"
    ",'request_input':" OBJECT("'name','shape','datatype'",
                               "'name':" STRING ",'shape':" LIST(INTEGER) //
                               ",'datatype':{'type':'string','enum':['FP32','UINT8','BYTES']}"
                               ",'parameters':" REF("parameters") ",'data':" REF("tensor_data")) //
    ",'request_output':" OBJECT("'name'", "'name':" STRING ",'parameters':" REF("parameters"))   //
    ",'inference_request':" OBJECT("'inputs'",
                                   "'id':" STRING ",'parameters':" REF("parameters") //
                                   ",'inputs':" LIST(REF("request_input"))           //
                                   ",'outputs':" LIST(REF("request_output")))        //
    ",'response_output':" OBJECT(
        "'name','shape','datatype'",
        "'name':" STRING ",'shape':" LIST(INTEGER) ",'datatype':" STRING ",'parameters':" REF(
            "parameters") ",'data':" REF("tensor_data")) //
    ",'inference_response':" OBJECT("'model_name','model_version','outputs'",
                                    "'model_name':" STRING ",'model_version':" STRING
                                    ",'id':" STRING ",'outputs':" LIST(REF("response_output")))   //
    ",'files':{'type':'object','properties':{'file':" LIST("{'type':'string','format':'binary'}") //
    ",'top_k':" INTEGER "}}"
    ",'prediction':" OBJECT("'label','index','probability'",
                            "'label':{'type':'string','nullable':true},'index':" INTEGER
                            ",'probability':{'type':'number'}")                         //
    ",'file_error':" OBJECT("'status','error'", "'status':" INTEGER ",'error':" STRING) //
    ",'classification':" OBJECT(
        "'model_name','model_version','predictions'",
        "'model_name':" STRING ",'model_version':" STRING
        ",'files':" LIST(STRING) ",'predictions':" LIST("{'anyOf':[" LIST(REF("prediction")) //
                                                        "," REF("file_error") "]}"))         //
    ",'repository_index_request':{'type':'object','properties':{'ready':" BOOLEAN "}}"
    ",'repository_index':" LIST(OBJECT("'name','version','state','reason'",
                                       "'name':" STRING ",'version':" STRING
                                       ",'state':" REF("state") //
                                       ",'reason':" STRING))    //
    ",'repository_change':{'type':'object','properties':{'parameters':" REF(
        "parameters") "}}"
                      ",'nullable_string':{'type':'string','nullable':true}"
                      ",'job_data':{'type':'object','properties':{'folder':" STRING
                      ",'upload':" STRING ",'sample':" BOOLEAN ",'limit':" INTEGER "}}"
                      ",'job_guard':{'type':'object','properties':{'folder':" STRING
                      ",'upload':" STRING ",'limit':" INTEGER ",'hold_out':" INTEGER
                      ",'bound':" NUMBER ",'dry_run':" BOOLEAN
                      ",'canary':{'type':'object','properties':{'share':" NUMBER
                      ",'images':" INTEGER ",'seconds':" INTEGER ",'bound':" NUMBER "}}}}"
                      ",'job_request':" OBJECT(
                          "'mode','data'",
                          "'mode':{'type':'string','enum':['calibrate','quantizers','joint']}"
                          ",'data':" REF("job_data") ",'guard':" REF("job_guard") //
                          ",'options':" REF("parameters"))                        //
    ",'job_progress':{'type':'object','nullable':true,'properties':{'stage':" STRING
    ",'done':" INTEGER ",'total':" INTEGER ",'rate':" NUMBER
    ",'seconds_left':{'type':'number','nullable':true}}}"
    ",'job_state':{'type':'string','enum':['queued','running','evaluating','published',"
    "'rejected','cancelled','failed','interrupted']}"
    ",'job':" OBJECT(
        "'id','model','state','request'",
        "'id':" INTEGER ",'model':" STRING ",'state':" REF("job_state") //
        ",'reason':" REF("nullable_string") ",'asked_by':" REF("nullable_string") ",'created':" REF(
            "nullable_string") //
        ",'started':" REF("nullable_string") ",'ended':" REF(
            "nullable_string") ",'base_version':" REF("nullable_string")      //
        ",'version':" REF("nullable_string") ",'request':" REF("job_request") //
        ",'progress':" REF("job_progress") ",'figures':{'type':'object','nullable':true}"
                                           ",'log':" LIST(STRING)) //
    ",'jobs':" OBJECT("'jobs'", "'jobs':" LIST(REF("job")))        //
    ",'decision':" OBJECT(
        "'id','decision'",
        "'id':" INTEGER ",'decision':{'type':'string','enum':['publish','reject','rollback',"
        "'cancel','fail']},'at':" REF("nullable_string") ",'asked_by':" REF(
            "nullable_string") ",'job':{'type':'integer','nullable':true}"
                               ",'from_version':" REF("nullable_string") ",'version':" REF(
                                   "nullable_string")                                       //
        ",'reason':" REF("nullable_string") ",'figures':{'type':'object','nullable':true}") //
    ",'history':" OBJECT("'model','history'",
                         "'model':" STRING ",'history':" LIST(REF("decision"))) //
    ",'rollback':{'type':'object','properties':{'version':" STRING "}}"
    ",'uploads':" OBJECT("'uploads'",
                         "'uploads':" LIST(OBJECT("'name','bytes'",
                                                  "'name':" STRING ",'bytes':" INTEGER))) //
    ",'upload':" OBJECT("'name','files','labelled','bytes'",
                        "'name':" STRING ",'files':" INTEGER ",'labelled':" BOOLEAN
                        ",'bytes':" INTEGER) "}";

/* Text in which ' stands for ". */
static void write_quoted(const char *text, struct text *json)
{
    while (*text) {
        size_t length = strcspn(text, "'");

        text_append(json, text, length);
        text += length;
        if (*text) {
            text_append(json, "\"", 1);
            text++;
        }
    }
}

static const struct description *find_description(route_handler *handler)
{
    for (size_t i = 0; i < sizeof(descriptions) / sizeof(*descriptions); i++)
        if (descriptions[i].handler == handler)
            return &descriptions[i];
    return NULL;
}

bool openapi_knows(route_handler *handler)
{
    return find_description(handler);
}

/* "application/json schema text/plain -" as the member `content`. */
static void write_content(const char *types, struct text *json)
{
    const char *separator = "";

    text_string(json, "\"content\":{");
    while (*types) {
        size_t type = strcspn(types, " "), schema = strcspn(types + type + 1, " ");
        const char *name = types + type + 1;

        text_string(json, separator);
        text_json_bytes(json, types, type);
        text_string(json, ":{\"schema\":");
        if (*name == '-')
            write_quoted("{'type':'string','format':'binary'}", json);
        else
            text_printf(json, "{\"$ref\":\"#/components/schemas/%.*s\"}", (int)schema, name);
        text_string(json, "}");
        types = name + schema + (name[schema] == ' ');
        separator = ",";
    }
    text_string(json, "}");
}

/* The variable segments of a pattern, and top_k where it is classify's. */
static void write_parameters(const struct route *route, struct text *json)
{
    const char *separator = "";

    text_string(json, "\"parameters\":[");
    for (const char *at = strchr(route->path, '{'); at; at = strchr(at + 1, '{')) {
        text_string(json, separator);
        text_string(json, "{\"name\":");
        text_json_bytes(json, at + 1, strcspn(at, "}") - 1);
        write_quoted(",'in':'path','required':true,'schema':" STRING "}", json);
        separator = ",";
    }
    if (route->handler == route_classify) {
        text_string(json, separator);
        write_quoted("{'name':'top_k','in':'query','schema':{'type':'integer','minimum':1}}", json);
    }
    if (route->handler == route_jobs || route->handler == route_history) {
        text_string(json, separator);
        write_quoted("{'name':'before','in':'query','schema':{'type':'integer','minimum':1}}",
                     json);
    }
    if (route->handler == route_infer) {
        text_string(json, separator);
        write_quoted("{'name':'Inference-Header-Content-Length','in':'header','schema':"
                     "{'type':'integer','minimum':0}}",
                     json);
    }
    text_string(json, "]");
}

static void write_responses(const struct description *description, struct text *json)
{
    text_string(json, "\"responses\":{\"200\":{\"description\":\"OK\",");
    write_content(description->response, json);
    text_string(json, "}");
    for (const char *at = description->statuses; *at; at += strspn(at, " ")) {
        text_printf(json, ",\"%.3s\":", at);
        write_quoted("{'$ref':'#/components/responses/error'}", json);
        at += 3;
    }
    text_string(json, "}");
}

/* The route's own text, or that of the route without a version. */
static const char *summary(const struct route *route)
{
    for (; route > route_table && !route->doc; route--)
        ;
    return route->doc ? route->doc : "";
}

/* As the document has it. */
static const char *method_name(const struct route *route)
{
    return strcmp(route->method, "GET") == 0    ? "get"
           : strcmp(route->method, "POST") == 0 ? "post"
                                                : "delete";
}

/* A name for clients that are generated: the method and the path's letters. */
static void write_operation_id(const struct route *route, struct text *json)
{
    text_string(json, "\"operationId\":\"");
    text_string(json, method_name(route));
    for (const char *at = route->path; *at; at++) {
        char c = *at == '/' || *at == '.' || *at == '{' ? '_' : *at;

        if (c != '}' && !(c == '_' && at[1] == '{'))
            text_append(json, &c, 1);
    }
    text_string(json, "\"");
}

static void write_operation(const struct route *route, struct text *json)
{
    const struct description *description = find_description(route->handler);

    text_printf(json, "\"%s\":{", method_name(route));
    write_operation_id(route, json);
    text_string(json, ",\"summary\":");
    text_json(json, summary(route));
    text_string(json, ",");
    write_parameters(route, json);
    if (route->scope != AUTH_OPEN)
        write_quoted(",'security':[{},{'bearer':[]}]", json);
    if (description && description->request) {
        text_string(json, ",\"requestBody\":{");
        write_content(description->request, json);
        text_string(json, "}");
    }
    if (description) {
        text_string(json, ",");
        write_responses(description, json);
    }
    text_string(json, "}");
}

/* Does an earlier row have this path? */
static bool is_repeated(const struct route *route)
{
    for (const struct route *at = route_table; at < route; at++)
        if (strcmp(at->path, route->path) == 0)
            return true;
    return false;
}

static void write_path(const struct route *route, struct text *json)
{
    const char *separator = "";

    text_json(json, route->path);
    text_string(json, ":{");
    for (const struct route *at = route; at->path; at++) {
        if (strcmp(at->path, route->path) != 0)
            continue;
        text_string(json, separator);
        write_operation(at, json);
        separator = ",";
    }
    text_string(json, "}");
}

void openapi_write(struct text *json)
{
    const char *separator = "";

    write_quoted("{'openapi':'3.0.3','info':{'title':'lqnet','version':'" LQ_VERSION
                 "','description':'Open Inference Protocol V2 and extensions',"
                 "'license':{'name':'Apache 2.0'}},'paths':{",
                 json);
    for (const struct route *route = route_table; route->path; route++) {
        if (is_repeated(route))
            continue;
        text_string(json, separator);
        write_path(route, json);
        separator = ",";
    }
    write_quoted("},'components':{'securitySchemes':{'bearer':{'type':'http','scheme':'bearer'}},"
                 "'responses':{'error':{'description':'What went wrong','content':"
                 "{'application/json':{'schema':" REF("error") "}}}},'schemas':",
                 json);
    write_quoted(schemas, json);
    text_string(json, "}}");
}
