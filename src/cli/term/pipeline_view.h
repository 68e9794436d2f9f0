/*
 * Pipeline view: how a pipeline goes, as lines of text for a terminal, drawn anew twice a second.
 *
 *   readings: running, 12.0 s, lag 12 ms
 *                            rows/s                            rows   waiting  errors
 *   source sim            1 204 512  ▂▃▅▇█▇▆▅▅▅▅▅▅▅▅▅    14 201 000                 0
 *   channel                      4%  ▁▁▂▁▁▁▁▁▁▁▁▁▁▁▁▁                   4 000
 *   step validate         1 204 300  ▂▃▅▇█▇▆▅▅▅▅▅▅▅▅▅    14 200 000                12
 *   sink sqlite           1 190 000  ▂▃▅▇█▇▆▅▅▅▅▅▅▅▅▅    14 199 000     5 000       0
 *   lag                       12 ms  ▁▁▂▃▁▁▁▁▁▁▁▁▁▁▁▁
 *   dead letters                  3  ▁▁▁▁█▁▁▁▁▁▁▁▁▁▁▁            12
 *
 * What it knows comes as the JSON that a pipeline writes about itself (docs/reference), from the
 * run in this process or from an engine. A sparkline has a point for each call of
 * pipeline_view_take.
 */
#pragma once

#include "base/text.h"

#include <sluice/json.h>

typedef struct PipelineView PipelineView;

MUST PipelineView *pipeline_view_new(void);
void pipeline_view_free(PipelineView *view);
DEFINE_AUTO(PipelineView *, pipeline_view_free);

/* STATE is how it goes at NOW_NS, by any clock that goes on; nothing of it is kept. */
void pipeline_view_take(PipelineView *view, Json state, int64_t now_ns);

typedef struct PipelineViewStyle {
    size_t columns; /* of the terminal; no line is as wide */
    size_t rows;    /* of the terminal: there are at most so many lines, and at least one */
    bool has_colour;
} PipelineViewStyle;

/* Append the lines, with line breaks between them. Nothing before the first take. When there is no
 * room for all, the steps go first, then the sources; the first line says how many are not shown.
 * */
void pipeline_view_draw(const PipelineView *view, const PipelineViewStyle *style, Buf *out);
