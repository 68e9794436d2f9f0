/*
 * Lines of a kept program; see the header.
 */
#include "handlers/exec/frame.h"

#include "base/err.h"

#include <inttypes.h>
#include <stdio.h>

#define ID_TEXT_BYTES 24

static Str id_text(uint64_t id, char out[ID_TEXT_BYTES])
{
    int n = snprintf(out, ID_TEXT_BYTES, "%" PRIu64, id);

    return str_from(out, (size_t) n);
}

void frame_write_job(Buf *out, uint64_t id, const Task *task)
{
    JsonWriter writer = JSON_WRITER(out);
    char text[ID_TEXT_BYTES];

    json_write_object(&writer);
    if (id)
        json_write_member_str(&writer, "id", id_text(id, text));
    json_write_member_c(&writer, "job_id", task->job_id);
    json_write_member_c(&writer, "type", task->type);
    json_write_member_u64(&writer, "attempt", task->attempt);
    json_write_member_u64(&writer, "max_attempts", task->max_attempts);
    json_write_member_raw(&writer, "args", task->args_text);
    json_write_object_end(&writer);
    buf_add_char(out, '\n');
}

void frame_write_cancel(Buf *out, uint64_t id)
{
    JsonWriter writer = JSON_WRITER(out);
    char text[ID_TEXT_BYTES];

    json_write_object(&writer);
    json_write_member_str(&writer, "cancel", id_text(id, text));
    json_write_object_end(&writer);
    buf_add_char(out, '\n');
}

static int read_id(Json root, uint64_t *ret_id)
{
    Json id = json_find(root, "id");
    Str text;

    if (json_get_u64(id, ret_id) && *ret_id > 0)
        return 0;
    if (!json_get_str(id, &text) || str_to_u64(text, UINT64_MAX, ret_id) < 0 || *ret_id == 0)
        return fail(-ERR_INVALID, "\"id\" must be the id of a job that the program was given");
    return 0;
}

/* An error's parts: an object, or the message alone. */
static int read_error(Json error, Frame *frame)
{
    frame->kind = FRAME_ERROR;
    if (json_get_str(error, &frame->text))
        return 0;
    if (!json_is_object(error))
        return fail(-ERR_INVALID, "\"error\" must be a message or an object with one");
    frame->text = json_str_or(json_find(error, "message"), (Str) STR("the program says no more"));
    frame->code = json_str_or(json_find(error, "code"), (Str){ 0 });
    frame->is_final = json_bool_or(json_find(error, "final"), false);
    return 0;
}

int frame_read(Arena *arena, Str line, Frame *ret_frame)
{
    Json progress, log, error;
    JsonDoc doc;
    int r;

    *ret_frame = (Frame){ .kind = FRAME_RESULT };
    r = json_parse(arena, line, &doc);
    if (r < 0)
        return r;
    if (!json_is_object(doc.root))
        return fail(-ERR_INVALID, "a line must be a JSON object");
    r = read_id(doc.root, &ret_frame->id);
    if (r < 0)
        return r;

    error = json_find(doc.root, "error");
    if (error && !json_is_null(error))
        return read_error(error, ret_frame);
    log = json_find(doc.root, "log");
    progress = json_find(doc.root, "progress");
    if (json_get_str(log, &ret_frame->text)) {
        ret_frame->kind = FRAME_LOG;
    } else if (json_get_real(progress, &ret_frame->fraction)) {
        ret_frame->kind = FRAME_PROGRESS;
        ret_frame->text = json_str_or(json_find(doc.root, "message"), (Str){ 0 });
    } else if (log || progress) {
        return fail(-ERR_INVALID, "\"log\" must be text, \"progress\" a number from 0 to 1");
    } else {
        ret_frame->result = json_raw(&doc, json_find(doc.root, "result"));
    }
    return 0;
}
