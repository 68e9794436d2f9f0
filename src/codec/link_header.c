/*
 * Link headers, by the parsing algorithm of RFC 8288, appendix B.
 *
 *   <https://…?page=2> ; rel = "next last" ; title="a \"quoted\", one" , </x>; rel=prev
 *   ^ target             ^ parameters, up to a comma outside of quotes
 *
 * A quote opens a string only where a value begins, so that a stray one does not swallow the links
 * behind it. What does not begin with < is passed over up to the next comma. The walk goes forward
 * only.
 */
#include "codec/link_header.h"

#include "base/text.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip(Str *rest, size_t n)
{
    *rest = str_sub(*rest, n, rest->len);
}

static void skip_blank(Str *rest)
{
    size_t n = 0;

    while (n < rest->len && is_blank(rest->data[n]))
        n++;
    skip(rest, n);
}

/* Take what stands before the first byte of STOPS, or all. */
static Str take_until(Str *rest, const char *stops)
{
    Str taken;
    size_t n = 0;

    while (n < rest->len && (rest->data[n] == '\0' || !strchr(stops, rest->data[n])))
        n++;
    taken = str_sub(*rest, 0, n);
    skip(rest, n);
    return taken;
}

/* Take a string whose opening quote is next; without a closing one it goes to the end. */
static Str take_quoted(Str *rest)
{
    Str text;
    size_t n = 1;

    while (n < rest->len && rest->data[n] != '"')
        n += rest->data[n] == '\\' ? 2 : 1;
    text = str_sub(*rest, 1, n - 1);
    skip(rest, n + 1);
    return text;
}

static Str take_value(Str *rest)
{
    Str value;

    skip(rest, 1); /* the "=" */
    skip_blank(rest);
    if (rest->len > 0 && rest->data[0] == '"') {
        value = take_quoted(rest);
        (void) take_until(rest, ";,"); /* nothing belongs there */
    } else {
        value = str_trim(take_until(rest, ";,"));
    }
    if (!value.data)
        value.data = ""; /* there, and empty */
    return value;
}

bool link_param_next(Str *rest, Str *ret_name, Str *ret_value)
{
    skip_blank(rest);
    while (rest->len > 0 && rest->data[0] == ';') {
        skip(rest, 1);
        skip_blank(rest);
    }
    if (rest->len == 0 || rest->data[0] == ',')
        return false;
    *ret_name = str_trim(take_until(rest, "=;,"));
    *ret_value = str_from(NULL, 0);
    if (rest->len > 0 && rest->data[0] == '=')
        *ret_value = take_value(rest);
    return true;
}

static void take_param(LinkItem *item, Str name, Str value, bool *has_rel)
{
    if (str_eq_nocase(name, (Str) STR("rel")) && !*has_rel) {
        *has_rel = true;
        item->rel = value;
    } else if (str_eq_nocase(name, (Str) STR("anchor"))) {
        item->has_anchor = true;
    } else if (str_eq_nocase(name, (Str) STR("type")) && item->type.len == 0) {
        item->type = value;
    } else if (str_eq_nocase(name, (Str) STR("title")) && item->title.len == 0) {
        item->title = value;
    }
}

bool link_header_next(Str *rest, LinkItem *ret_item)
{
    LinkItem item = { 0 };
    bool has_rel = false;
    Str name, value;

    for (;;) {
        skip_blank(rest);
        if (rest->len == 0)
            return false;
        if (rest->data[0] == '<')
            break;
        (void) take_until(rest, ","); /* no link */
        skip(rest, 1);
    }
    if (str_find(*rest, '>') < 0) {
        skip(rest, rest->len);
        return false;
    }
    skip(rest, 1);
    item.target = str_trim(take_until(rest, ">"));
    skip(rest, 1);
    item.params = *rest;
    while (link_param_next(rest, &name, &value))
        take_param(&item, name, value, &has_rel);
    item.params = str_sub(item.params, 0, item.params.len - rest->len);
    skip(rest, 1); /* the comma */
    *ret_item = item;
    return true;
}

bool link_has_rel(const LinkItem *item, const char *rel)
{
    Str rest = item->rel;

    while (rest.len > 0) {
        Str word = take_until(&rest, " \t");

        if (word.len > 0 && str_eq_nocase(word, str_from_c(rel)))
            return true;
        skip(&rest, 1);
    }
    return false;
}

bool link_header_find(Str header, const char *rel, Str *ret_target)
{
    LinkItem item;

    while (link_header_next(&header, &item)) {
        if (!item.has_anchor && link_has_rel(&item, rel)) {
            *ret_target = item.target;
            return true;
        }
    }
    return false;
}
