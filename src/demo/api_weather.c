/*
 * The weather: /api/weather?city=NAME and the list of cities.
 *
 * The shape is that of the public forecast APIs: units said once, the current values, hours as
 * parallel arrays. Two cities lack a field (a missing one and a null), so that both can be told
 * from a zero.
 */
#include "demo/api_int.h"

#include "base/macro.h"
#include "codec/time_text.h"

#define HOURS  24
#define DAY_MS INT64_C(1795219200000) /* 2026-11-21T00:00:00Z: the playground's day */

typedef struct City {
    const char *name;
    const char *country;
    const char *zone;
    double latitude;
    double longitude;
    int mean_c;
} City;

static const City cities[] = {
    { "Berlin", "DE", "Europe/Berlin", 52.52, 13.405, 4 },
    { "Tokyo", "JP", "Asia/Tokyo", 35.6762, 139.6503, 12 },
    { "S\u00e3o Paulo", "BR", "America/Sao_Paulo", -23.5505, -46.6333, 22 },
    { "Nairobi", "KE", "Africa/Nairobi", -1.2921, 36.8219, 20 },
    { "Reykjav\u00edk", "IS", "Atlantic/Reykjavik", 64.1466, -21.9426, 1 },
    { "New York", "US", "America/New_York", 40.7128, -74.006, 8 },
    { "Sydney", "AU", "Australia/Sydney", -33.8688, 151.2093, 21 },
    { "\u00dcr\u00fcmqi", "CN", "Asia/Urumqi", 43.8256, 87.6168, -3 },
    { "Null Island", "XX", "Etc/UTC", 0, 0, 27 }, /* no wind station: the field is missing */
    { "Vostok", "AQ", "Antarctica/Vostok", -78.4645, 106.8339, -38 }, /* no humidity: null */
};

static const char *const sky_words[] = { "clear", "cloudy", "rain", "snow", "fog", "thunderstorm" };

static const City *find_city(Str name)
{
    for (size_t i = 0; i < ARRAY_LEN(cities); i++) {
        if (str_eq_nocase(name, str_from_c(cities[i].name)))
            return &cities[i];
    }
    return NULL;
}

static double temperature(const Demo *demo, const City *city, unsigned hour)
{
    uint64_t mix = shop_mix(demo->shop.seed, (uint64_t) (city - cities) * 1000 + hour);
    int swing = hour < 14 ? (int) hour : 28 - (int) hour; /* warmest at two in the afternoon */

    return (double) (city->mean_c * 10 + swing * 5 - 35 + (int) (mix % 21) - 10) / 10;
}

static void write_time(JsonWriter *json, const char *name, unsigned hour)
{
    char text[TIME_TEXT_BYTES];

    (void) time_format_rfc3339(DAY_MS + (int64_t) hour * 3600 * MS_PER_S, text);
    json_write_key(json, name);
    json_write_str(json, str_from(text, 16)); /* "2026-11-21T14:00" */
}

static void write_current(JsonWriter *json, const Demo *demo, const City *city)
{
    uint64_t mix = shop_mix(demo->shop.seed, 77 + (uint64_t) (city - cities));

    json_write_key(json, "current");
    json_write_object(json);
    write_time(json, "time", 14);
    json_write_member_real(json, "temperature_c", temperature(demo, city, 14));
    json_write_key(json, "relative_humidity");
    if (str_eq_c(str_from_c(city->name), "Vostok"))
        json_write_null(json);
    else
        json_write_i64(json, 30 + (int64_t) (mix % 60));
    if (!str_eq_c(str_from_c(city->name), "Null Island"))
        json_write_member_real(json, "wind_kmh", (double) (mix >> 8 & 0x1ff) / 10);
    json_write_member_c(json, "sky", sky_words[(mix >> 20) % ARRAY_LEN(sky_words)]);
    json_write_object_end(json);
}

static void write_hours(JsonWriter *json, const Demo *demo, const City *city)
{
    json_write_key(json, "hourly");
    json_write_object(json);
    json_write_key(json, "time");
    json_write_array(json);
    for (unsigned hour = 0; hour < HOURS; hour++) {
        char text[TIME_TEXT_BYTES];

        (void) time_format_rfc3339(DAY_MS + (int64_t) hour * 3600 * MS_PER_S, text);
        json_write_str(json, str_from(text, 16));
    }
    json_write_array_end(json);
    json_write_key(json, "temperature_c");
    json_write_array(json);
    for (unsigned hour = 0; hour < HOURS; hour++)
        json_write_real(json, temperature(demo, city, hour));
    json_write_array_end(json);
    json_write_object_end(json);
}

SUSPENDS static int answer_weather(DemoCall *call)
{
    JsonWriter json = JSON_WRITER(call->out);
    Str name = demo_query(call, "city");
    const City *city;
    int r = api_fault(call, "weather");

    if (r != 0)
        return r < 0 ? r : 0;
    if (name.len == 0)
        return api_error(call, 400, "the parameter city is missing");
    city = find_city(name);
    if (!city)
        return api_error(call, 404, "there is no such city; see /api/weather/cities");
    demo_is_json(call);
    json_write_object(&json);
    json_write_member_c(&json, "city", city->name);
    json_write_member_c(&json, "country", city->country);
    json_write_member_real(&json, "latitude", city->latitude);
    json_write_member_real(&json, "longitude", city->longitude);
    json_write_member_c(&json, "timezone", city->zone);
    json_write_key(&json, "units");
    json_write_object(&json);
    json_write_member_c(&json, "temperature", "\u00b0C");
    json_write_member_c(&json, "wind", "km/h");
    json_write_object_end(&json);
    write_current(&json, call->demo, city);
    write_hours(&json, call->demo, city);
    json_write_object_end(&json);
    return api_end(call);
}

SUSPENDS static int answer_cities(DemoCall *call)
{
    JsonWriter json = JSON_WRITER(call->out);
    int r = api_fault(call, "weather");

    if (r != 0)
        return r < 0 ? r : 0;
    demo_is_json(call);
    json_write_array(&json);
    for (size_t i = 0; i < ARRAY_LEN(cities); i++) {
        json_write_object(&json);
        json_write_member_c(&json, "city", cities[i].name);
        json_write_member_c(&json, "country", cities[i].country);
        json_write_member_real(&json, "latitude", cities[i].latitude);
        json_write_member_real(&json, "longitude", cities[i].longitude);
        json_write_object_end(&json);
    }
    json_write_array_end(&json);
    return api_end(call);
}

static const DemoPage pages[] = {
    { .path = "/api/weather",
      .example = "?city=Berlin",
      .kind = DEMO_API,
      .answer = answer_weather,
      .summary = "the weather of a city" },
    { .path = "/api/weather/cities",
      .kind = DEMO_API,
      .answer = answer_cities,
      .summary = "the cities" },
};

const DemoPages demo_weather_pages = DEMO_PAGES("Weather", pages);
