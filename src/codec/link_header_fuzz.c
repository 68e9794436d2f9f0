/*
 * Fuzz: Link headers. Whatever the header is, what is found lies in it, in order, and the walk
 * ends.
 */
#include "codec/link_header.h"

#include "base/assert.h"
#include "base/text.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_within(Str text, Str part)
{
    if (part.len > 0)
        ASSERT(part.data >= text.data && part.data + part.len <= text.data + text.len);
}

static void check_item(Str header, LinkItem *item)
{
    Str name, value;
    size_t left = item->params.len + 1;

    check_within(header, item->target);
    check_within(header, item->params);
    check_within(item->params, item->rel);
    check_within(item->params, item->type);
    check_within(item->params, item->title);
    (void) link_has_rel(item, "next");
    while (link_param_next(&item->params, &name, &value)) {
        check_within(header, name);
        check_within(header, value);
        ASSERT(item->params.len < left);
        left = item->params.len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    Str header = str_from((const char *) data, len), rest = header, target;
    size_t left = len + 1;
    bool has_next = false;
    LinkItem item;

    while (link_header_next(&rest, &item)) {
        ASSERT(rest.len < left);
        left = rest.len;
        has_next |= !item.has_anchor && link_has_rel(&item, "next");
        check_item(header, &item);
    }
    ASSERT(link_header_find(header, "next", &target) == has_next);
    return 0;
}
