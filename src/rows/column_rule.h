/*
 * Column rules: what one column of readings must be. Settings of the step `validate`, compiled.
 *
 * A value is cast to the declared kind first (rows/row_cast), then a unit is changed, then it is
 * looked at: range, choice, pattern, length, age. What is null gets the default or is missing.
 */
#pragma once

#include "base/map.h"
#include "codec/json.h"
#include "codec/regex.h"
#include "codec/value_filter.h"
#include "rows/parcel.h"
#include "rows/row_cast.h"
#include "rows/units.h"

/* What happens to a value that is wrong. */
typedef enum RuleOtherwise { RULE_REFUSE, RULE_NULL } RuleOtherwise;

typedef struct ColumnRule {
    Str name;
    Str unit;
    RowKind kind; /* ROW_ANY: whatever comes */
    bool is_required;
    bool has_change; /* of unit */
    UnitChange change;
    RuleOtherwise otherwise;
    double min, max;               /* REAL, INT; without bounds those of the kind */
    int64_t int_min, int_max;      /* INT, and TIME in ns */
    int64_t age_ns, ahead_ns;      /* TIME: before and after arrival; INT64_MAX: any */
    size_t length_min, length_max; /* TEXT: characters */
    bool is_plain;                 /* a value of its kind within the bounds above is good */
    RowTimeUnit time_unit;
    FilterChain *date; /* TIME from text; NULL: RFC 3339; owned */
    Regex *regex;      /* owned */
    RowValue fallback; /* of its kind; null: none */
    RowValue *choice;  /* of its kind; owned */
    size_t n_choice;
    Map texts;   /* of choice, where they are texts */
    Arena arena; /* texts */
} ColumnRule;

/* Why a value is refused. */
typedef struct RuleFault {
    const char *code; /* "out_of_range" */
    char text[REFUSAL_TEXT_BYTES];
} RuleFault;

enum { RULE_FAULT = 1 };

/* Compile the settings of the column called NAME: a word, the kind, or an object. AT is where they
 * stand, for messages. 0 or -ERR_INVALID with words. */
MUST int column_rule_init(ColumnRule *rule, Str name, Json settings, const JsonPath *at);
void column_rule_deinit(ColumnRule *rule);

/* Cast VALUE, which is not null, to the kind of RULE, in *RET; a text may lie in SCRATCH. 0 or
 * RULE_FAULT with *FAULT. */
MUST int column_rule_cast(const ColumnRule *rule, const RowValue *value, Buf *scratch,
                          RowValue *ret, RuleFault *fault);

/* Whether VALUE, of the kind of RULE and with its unit changed, is one that it allows. NOW_NS is
 * the time of arrival. 0 or RULE_FAULT. */
MUST int column_rule_check(const ColumnRule *rule, const RowValue *value, int64_t now_ns,
                           RuleFault *fault);

/* VALUE in the unit of RULE. */
static inline double column_rule_change(const ColumnRule *rule, double value)
{
    return rule->has_change ? unit_change(&rule->change, value) : value;
}
