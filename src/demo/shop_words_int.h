/*
 * The words that the shop is made of.
 */
#pragma once

#define SHOP_NOUNS      8 /* of each category */
#define SHOP_ADJECTIVES 24
#define SHOP_OPENINGS   12
#define SHOP_SUBJECTS   12
#define SHOP_VERBS      12
#define SHOP_ENDINGS    16
#define SHOP_TITLES     16
#define SHOP_AUTHORS    16

extern const char *const shop_adjectives[SHOP_ADJECTIVES];
extern const char *const shop_openings[SHOP_OPENINGS]; /* HTML from here on */
extern const char *const shop_subjects[SHOP_SUBJECTS];
extern const char *const shop_verbs[SHOP_VERBS];
extern const char *const shop_endings[SHOP_ENDINGS];
extern const char *const shop_titles[SHOP_TITLES];
extern const char *const shop_authors[SHOP_AUTHORS];
