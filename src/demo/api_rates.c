/*
 * Exchange rates: /api/rates?base=EUR, with ETag and Cache-Control, and 304 for who has it already.
 *
 * A rate has six decimals and is written exactly: a reader that goes through a double and back must
 * give the same digits.
 */
#include "demo/api_int.h"

#include "base/macro.h"

#include <stdio.h>

typedef struct Currency {
    const char *code;
    int64_t micros; /* how many for one euro, in millionths */
} Currency;

static const Currency currencies[] = {
    { "EUR", 1000000 }, { "USD", 1084300 },   { "GBP", 843210 },  { "JPY", 162450000 },
    { "CHF", 938700 },  { "SEK", 11485200 },  { "PLN", 4297650 }, { "INR", 91375400 },
    { "BRL", 5931800 }, { "KES", 139850000 }, { "AUD", 1651290 }, { "KRW", 1478230000 },
};

static int64_t today(const Demo *demo, size_t i)
{
    int64_t micros = currencies[i].micros;

    if (i == 0)
        return micros;
    return micros + micros / 1000 * (int64_t) (shop_mix(demo->shop.seed, 900 + i) % 21) / 10;
}

static void write_micros(JsonWriter *json, int64_t micros)
{
    char text[32];

    (void) snprintf(text, sizeof(text), "%lld.%06lld", (long long) (micros / 1000000),
                    (long long) (micros % 1000000));
    json_write_raw(json, str_from_c(text));
}

SUSPENDS static int answer_rates(DemoCall *call)
{
    const Demo *demo = call->demo;
    JsonWriter json = JSON_WRITER(call->out);
    Str base = demo_query(call, "base");
    size_t from = 0;
    int r = api_fault(call, "rates");

    if (r != 0)
        return r < 0 ? r : 0;
    if (base.len == 0)
        base = str_from_c("EUR");
    while (from < ARRAY_LEN(currencies) && !str_eq_nocase(base, str_from_c(currencies[from].code)))
        from++;
    if (from == ARRAY_LEN(currencies))
        return api_error(call, 400, "there is no such currency; try EUR, USD or JPY");
    http_response_header(call->response, "Cache-Control", str_from_c("max-age=60"));
    http_response_header(call->response, "Vary", str_from_c("Accept"));
    if (api_is_fresh(call,
                     arena_printf(call->request->arena, "\"rates-%s-%llu\"", currencies[from].code,
                                  (unsigned long long) demo->shop.seed)))
        return 0;
    demo_is_json(call);
    json_write_object(&json);
    json_write_member_c(&json, "base", currencies[from].code);
    json_write_member_c(&json, "date", "2026-11-20");
    json_write_key(&json, "rates");
    json_write_object(&json);
    for (size_t i = 0; i < ARRAY_LEN(currencies); i++) {
        if (i == from)
            continue;
        json_write_key(&json, currencies[i].code);
        write_micros(&json, (int64_t) ((__int128) today(demo, i) * 1000000 / today(demo, from)));
    }
    json_write_object_end(&json);
    json_write_object_end(&json);
    return api_end(call);
}

static const DemoPage pages[] = {
    { .path = "/api/rates",
      .example = "?base=EUR",
      .kind = DEMO_API,
      .answer = answer_rates,
      .summary = "exchange rates, with ETag and Cache-Control" },
};

const DemoPages demo_rates_pages = DEMO_PAGES("Exchange rates", pages);
