/*
 * Log: events with typed fields.
 *
 *   log_info("job leased", L_STR("job", id), L_MS("waited", ms));
 *
 * A message is a fixed lower-case text; what varies is in fields. logfmt on a terminal, JSON lines
 * otherwise. Context (request, job) rides on the fiber: `log_push` adds fields to everything the
 * fiber logs until `log_pop`; the runtime swaps the context at each switch. `error` wakes a person,
 * `warn` is wrong but handled, `info` is a life-cycle event, `debug` is free. Layers below worker
 * and serve log at debug only. Never secrets, bodies or unbounded text: values are cut at
 * LIMIT_LOG_FIELD_BYTES. A line is written with one write(2); the last LIMIT_LOG_RING_LINES lines
 * are kept for the panic report. Any thread. Does not suspend.
 */
#pragma once

#include "base/macro.h"
#include <sluice/str.h>

#include <stdbool.h>
#include <stdint.h>

typedef enum LogLevel { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF } LogLevel;
typedef enum LogFormat { LOG_FORMAT_AUTO, LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON } LogFormat;
typedef enum LogKind {
    LOG_KIND_STR,
    LOG_KIND_INT,
    LOG_KIND_UINT,
    LOG_KIND_REAL,
    LOG_KIND_BOOL,
    LOG_KIND_MS
} LogKind;

typedef struct LogField {
    const char *key;
    LogKind kind;
    union {
        Str str;
        int64_t i64;
        uint64_t u64;
        double real;
        bool is_true;
    };
} LogField;

#define L_STR(k, v)  ((LogField){ .key = (k), .kind = LOG_KIND_STR, .str = (v) })
#define L_C(k, v)    ((LogField){ .key = (k), .kind = LOG_KIND_STR, .str = str_from_c(v) })
#define L_INT(k, v)  ((LogField){ .key = (k), .kind = LOG_KIND_INT, .i64 = (int64_t) (v) })
#define L_UINT(k, v) ((LogField){ .key = (k), .kind = LOG_KIND_UINT, .u64 = (uint64_t) (v) })
#define L_REAL(k, v) ((LogField){ .key = (k), .kind = LOG_KIND_REAL, .real = (v) })
#define L_BOOL(k, v) ((LogField){ .key = (k), .kind = LOG_KIND_BOOL, .is_true = (v) })
#define L_MS(k, v)   ((LogField){ .key = (k), .kind = LOG_KIND_MS, .i64 = (int64_t) (v) })

/* One layer of context; lives on the stack of the fiber that pushed it. */
typedef struct LogContext {
    struct LogContext *outer;
    LogField field;
} LogContext;

extern _Thread_local LogContext *log_context; /* the runtime swaps it at each switch */

void log_push(LogContext *context, LogField field); /* CONTEXT must outlive the matching pop */
void log_pop(LogContext *context);                  /* asserts that CONTEXT is the innermost */

/* Set the threshold, form and descriptor (default: info, auto, stderr). At start, before other
 * threads. */
void log_setup(LogLevel level, LogFormat format, int fd);
bool log_level_parse(Str text, LogLevel *ret_level); /* "debug" "info" "warn" "error" "off" */

/* Where the time of a line comes from: milliseconds since 1970. NULL is the system's clock. For the
 * simulator. */
void log_set_clock(int64_t (*now_ms)(void));

extern int log_threshold; /* a LogLevel; read with log_is_on(), set with log_setup() */

/* Whether a line of LEVEL would be written. Cheap: one load. */
static inline bool log_is_on(LogLevel level)
{
    return (int) level >= __atomic_load_n(&log_threshold, __ATOMIC_RELAXED);
}

/* Write one line whatever the threshold is; the macros below ask log_is_on() first. */
void log_event(LogLevel level, const char *message, const LogField *fields, size_t n);

/* The current context as `key=value` words, NUL-terminated, cut to BYTES. For the panic report. */
void log_format_context(char *out, size_t bytes);

/* The last lines, oldest first, to FD. For the panic report: async-signal-safe. */
void log_dump_ring(int fd);

#define LOG_AT_(level, message, ...)                                                    \
    do {                                                                                \
        if (log_is_on(level)) {                                                         \
            const LogField log_fields_[] = { { 0 }, ##__VA_ARGS__ };                    \
            log_event((level), (message), log_fields_ + 1, ARRAY_LEN(log_fields_) - 1); \
        }                                                                               \
    } while (0)

#define log_debug(message, ...) LOG_AT_(LOG_DEBUG, message, ##__VA_ARGS__)
#define log_info(message, ...)  LOG_AT_(LOG_INFO, message, ##__VA_ARGS__)
#define log_warn(message, ...)  LOG_AT_(LOG_WARN, message, ##__VA_ARGS__)
#define log_error(message, ...) LOG_AT_(LOG_ERROR, message, ##__VA_ARGS__)
