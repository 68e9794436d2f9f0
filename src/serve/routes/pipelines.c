/*
 * The pipelines that this engine runs: how they go, and what a person may ask of them.
 *
 * They live on loop 0; a request of another loop goes there, and the answer is written from there
 * while the request's fiber waits.
 */
#include "base/err.h"
#include "base/macro.h"
#include "pipeline/pipeline_set.h"
#include "serve/serve_int.h"

typedef struct Visit {
    Call *call;
    Str name;
    PipelineSet *set;
    SUSPENDS int (*act)(struct Visit *visit, PipelineEntry *entry); /* NULL: show it */
} Visit;

/* ---- what is asked --------------------------------------------------------------------------- */

SUSPENDS static int list_there(void *arg)
{
    Visit *visit = arg;
    JsonWriter *out = &visit->call->out;

    json_write_object(out);
    json_write_key(out, "pipelines");
    json_write_array(out);
    for (size_t i = 0; visit->set && i < pipeline_set_count(visit->set); i++)
        pipeline_entry_write_json(pipeline_set_at(visit->set, i), out);
    json_write_array_end(out);
    json_write_object_end(out);
    return 0;
}

SUSPENDS static int visit_there(void *arg)
{
    Visit *visit = arg;
    PipelineEntry *entry = visit->set ? pipeline_set_find(visit->set, visit->name) : NULL;
    int r = 0;

    if (!entry)
        return fail(-ERR_NOT_FOUND, "there is no pipeline %.*s", (int) visit->name.len,
                    visit->name.data);
    if (visit->act)
        r = visit->act(visit, entry);
    if (r == 0)
        pipeline_entry_write_json(entry, &visit->call->out);
    return r;
}

SUSPENDS static int pause_it(Visit *visit, PipelineEntry *entry)
{
    (void) visit;
    if (!pipeline_entry_get(entry))
        return fail(-ERR_CONFLICT, "it is not running: %s", pipeline_entry_why(entry));
    pipeline_pause(pipeline_entry_get(entry));
    return 0;
}

SUSPENDS static int resume(Visit *visit, PipelineEntry *entry)
{
    (void) visit;
    if (!pipeline_entry_get(entry))
        return fail(-ERR_CONFLICT, "it is not running: %s; start it anew with /restart",
                    pipeline_entry_why(entry));
    pipeline_resume(pipeline_entry_get(entry));
    return 0;
}

SUSPENDS static int restart(Visit *visit, PipelineEntry *entry)
{
    return pipeline_set_restart(visit->set, entry);
}

SUSPENDS static int reload(Visit *visit, PipelineEntry *entry)
{
    return pipeline_set_reload(visit->set, entry);
}

/* ---- routes ---------------------------------------------------------------------------------- */

SUSPENDS static int get_pipelines(Call *call)
{
    Visit visit = { .call = call, .set = call->serve->opts.pipeline_set };

    return sl_call_on(0, list_there, &visit, "pipelines");
}

SUSPENDS static int visit_pipeline(Call *call, int (*act)(Visit *visit, PipelineEntry *entry))
{
    Visit visit = {
        .call = call, .name = call->params[0], .set = call->serve->opts.pipeline_set, .act = act
    };

    return sl_call_on(0, visit_there, &visit, "pipeline");
}

SUSPENDS static int get_pipeline(Call *call)
{
    return visit_pipeline(call, NULL);
}

SUSPENDS static int post_pause(Call *call)
{
    return visit_pipeline(call, pause_it);
}

SUSPENDS static int post_resume(Call *call)
{
    return visit_pipeline(call, resume);
}

SUSPENDS static int post_restart(Call *call)
{
    return visit_pipeline(call, restart);
}

SUSPENDS static int post_reload(Call *call)
{
    return visit_pipeline(call, reload);
}

#define PIPELINE_SCHEMA                                                                        \
    "{\"type\":\"object\",\"description\":\"received = written + filtered + dead + dropped + " \
    "in_flight, always\",\"properties\":{\"name\":{\"type\":\"string\"},\"state\":{\"type\":"  \
    "\"string\"},\"received\":{\"type\":\"integer\"},\"written\":{\"type\":\"integer\"}}}"

static const Route pipelines_routes[] = {
    { .method = HTTP_METHOD_GET,
      .path = "/v1/pipelines",
      .operation = "listPipelines",
      .summary = "The pipelines of this engine, with their counts.",
      .answers = { { 200, "All of them.", NULL } },
      .run = get_pipelines },
    { .method = HTTP_METHOD_GET,
      .path = "/v1/pipelines/{name}",
      .operation = "getPipeline",
      .summary = "One pipeline: its state, its balance, its sources, steps and sinks.",
      .answers = { { 200, "It.", PIPELINE_SCHEMA }, { 404, "There is none of that name.", NULL } },
      .run = get_pipeline },
    { .method = HTTP_METHOD_POST,
      .path = "/v1/pipelines/{name}/pause",
      .operation = "pausePipeline",
      .summary = "Let its sources wait. What is in flight is written.",
      .answers = { { 200, "It is paused.", PIPELINE_SCHEMA },
                   { 404, "There is none of that name.", NULL },
                   { 409, "It is not running.", NULL } },
      .run = post_pause },
    { .method = HTTP_METHOD_POST,
      .path = "/v1/pipelines/{name}/resume",
      .operation = "resumePipeline",
      .summary = "Let its sources go on.",
      .answers = { { 200, "It runs.", PIPELINE_SCHEMA },
                   { 404, "There is none of that name.", NULL },
                   { 409, "It is not running.", NULL } },
      .run = post_resume },
    { .method = HTTP_METHOD_POST,
      .path = "/v1/pipelines/{name}/restart",
      .operation = "restartPipeline",
      .summary = "Read its file again, drain it, and start it anew.",
      .details = "When the file cannot be read or is wrong, the pipeline goes on as it was.",
      .answers = { { 200, "It runs.", PIPELINE_SCHEMA },
                   { 404, "There is none of that name.", NULL },
                   { 409, "It could not be started.", NULL } },
      .run = post_restart },
    { .method = HTTP_METHOD_POST,
      .path = "/v1/pipelines/{name}/reload",
      .operation = "reloadPipeline",
      .summary = "Read its file again and go on by it, while its sources run.",
      .details = "Sources that are set as before do not hear of it; steps and sinks are exchanged "
                 "at a moment when nothing is in flight. When the file is wrong, or rows cannot be "
                 "written, the pipeline goes on as it was.",
      .answers = { { 200, "It goes on by the new plan.", PIPELINE_SCHEMA },
                   { 404, "There is none of that name.", NULL },
                   { 409, "The plan cannot be taken over: what cannot be changed in place.", NULL },
                   { 503, "Rows in flight could not be written in time.", NULL } },
      .run = post_reload },
};

extern const RouteGroup routes_pipelines;
const RouteGroup routes_pipelines = ROUTE_GROUP("Pipelines", pipelines_routes);
