/*
 * The shop's words: categories with their nouns and prices, and the sentences of descriptions and
 * reviews. Names are plain text and are escaped where they are shown; sentences are HTML already.
 */
#include "demo/shop_int.h"
#include "demo/shop_words_int.h"

#define NOUNS(...)                  \
    (const char *const[SHOP_NOUNS]) \
    {                               \
        __VA_ARGS__                 \
    }

const ShopCategory shop_categories[SHOP_CATEGORIES] = {
    { "lamps", "Lamps",
      NOUNS("Desk Lamp", "Floor Lamp", "Lantern", "Reading Light", "Pendant", "Night Light",
            "Clip Light", "Spotlight"),
      900, 24000 },
    { "chairs", "Chairs",
      NOUNS("Armchair", "Stool", "Rocking Chair", "Folding Chair", "Bench", "Bar Stool",
            "Office Chair", "Chaise Longue"),
      2900, 129900 },
    { "kitchen", "Kitchen & Table",
      NOUNS("Kettle", "Frying Pan", "Cr\u00eape Pan", "Knife Set", "Caf\u00e9 Press", "Toaster",
            "Salt & Pepper Mill", "Cutting Board"),
      700, 34900 },
    { "garden", "Home & Garden",
      NOUNS("Spade", "Watering Can", "Rake", "Hedge Trimmer", "Bird House", "Hose 3/4\"",
            "Plant Pot", "Wheelbarrow"),
      500, 59900 },
    { "books", "Books",
      NOUNS("Atlas", "Novel", "Cookbook", "Field Guide", "Dictionary", "Notebook",
            "B\u00fccher-Set", "Anthology"),
      400, 9900 },
    { "audio", "Audio",
      NOUNS("Headphones", "Loudspeaker", "Turntable", "Radio", "Microphone", "Amplifier", "Earbuds",
            "Sound Bar"),
      1900, 249900 },
    { "bicycles", "Bicycles",
      NOUNS("City Bike", "Road Bike", "Bike 28\"", "Helmet", "Saddle", "Pedals", "Bicycle Pump",
            "Mountain Bike"),
      1200, 389900 },
    { "toys", "Toys",
      NOUNS("Puzzle", "Building Blocks", "Kite", "Doll House", "Train Set", "Board Game",
            "Yo-Yo <3", "Plush Bear"),
      300, 14900 },
    { "tools", "Tools",
      NOUNS("Hammer", "Cordless Drill", "Spanner 5/8\"", "Screwdriver Set", "Saw", "Plane",
            "Spirit Level", "Tool Box"),
      600, 79900 },
    { "clothing", "Clothing",
      NOUNS("Rain Coat", "Jumper", "Scarf", "Hiking Boots", "Gloves", "Cap", "Wool Socks",
            "Men's Shirt"),
      500, 49900 },
    { "tea", "Tea & Coffee",
      NOUNS("Green Tea", "Sencha \u7164\u8336", "Espresso Beans", "Teapot", "Cup & Saucer",
            "Earl Grey", "Coffee Grinder", "Rooibos"),
      300, 29900 },
    { "office", "Office",
      NOUNS("Fountain Pen", "Stapler", "Monitor 27\"", "Desk Organiser", "Whiteboard",
            "Paper Shredder", "Filing Cabinet", "Label Printer"),
      200, 99900 },
};

const char *const shop_adjectives[SHOP_ADJECTIVES] = {
    "Alpine",  "Brass",  "Classic", "Compact", "Copper",   "Everyday", "Fj\u00f6rd", "Handmade",
    "Harbour", "Indigo", "Linen",   "Little",  "Marble",   "Modern",   "Nordic",     "Oak",
    "Old",     "Pocket", "Quiet",   "Rustic",  "Sunlight", "Travel",   "Urban",      "Velvet",
};

const char *const shop_openings[SHOP_OPENINGS] = {
    "After two weeks of daily use",
    "For the price",
    "Compared with the one we had before",
    "Out of the box",
    "To be honest",
    "In a small flat",
    "Whatever the weather",
    "As a present for a friend",
    "On a long journey",
    "Once you have got used to it",
    "At first glance",
    "With a little care",
};

const char *const shop_subjects[SHOP_SUBJECTS] = {
    "the finish",    "the handle",       "the colour",   "everything about it",
    "the packaging", "the <em>fit</em>", "the material", "the mechanism",
    "this model",    "the weight",       "the base",     "each part",
};

const char *const shop_verbs[SHOP_VERBS] = {
    "feels",      "looks",        "turned out",         "is still",          "seems", "has stayed",
    "was always", "proved to be", "is without a doubt", "remains, frankly,", "was",   "becomes",
};

const char *const shop_endings[SHOP_ENDINGS] = {
    "better than we had hoped",
    "solid and well made",
    "a little smaller than in the picture",
    "quieter than expected &amp; easy to clean",
    "exactly as described",
    "not quite what the photograph shows",
    "pleasant to the touch",
    "worth every cent",
    "sturdier than it has any right to be",
    "a joy to use &mdash; every single day",
    "easy to put together, even alone",
    "lighter than the old one",
    "good enough for the office",
    "hard to fault",
    "the first thing visitors ask about",
    "something we would buy again",
};

const char *const shop_titles[SHOP_TITLES] = {
    "Would buy again",       "Does what it says",
    "Good, not great",       "Five stars",
    "Disappointed",          "A lovely present",
    "Value for money",       "Tr\u00e8s bien",
    "Sehr zufrieden",        "Arrived late, works well",
    "Small but strong",      "Better than the last one",
    "Careful with the size", "Returned it",
    "Simply beautiful",      "&ldquo;Solid&rdquo; is the word",
};

const char *const shop_authors[SHOP_AUTHORS] = {
    "Ada K.",   "Bj\u00f6rn S.",    "Chlo\u00e9 M.", "Dmitri P.",      "Elif T.",  "Farid N.",
    "Greta L.", "Hiroshi Y.",       "Ines R.",       "J\u00fcrgen W.", "Kwame A.", "Luc\u00eda G.",
    "Mei C.",   "N. O&rsquo;Brien", "Oluwaseun B.",  "Priya D.",
};
