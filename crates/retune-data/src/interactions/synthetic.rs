//! A synthetic bookshop: a made-up catalogue and made-up readers, to try recommendation without anybody's data.
//!
//! Nothing in it is real, and figures on it say nothing about real shops. It is made so that every part of a model has
//! something to find. *Text:* a book has two themes of its genre, which are words of its description, and readers like
//! some themes more than others. *Order:* after a volume of a series often comes the next one, and after some genres
//! another. *Drift:* a reader's favourite genre changes now and then. *Popularity:* few books are read by many. *Cold
//! items:* some books come out late and have few readers or none.

use std::fmt::Write as _;

use crate::random::Draws;

/// Genre, the word of its titles, its themes, and the genre that often follows it.
const GENRES: [Genre; 8] = [
    Genre {
        name: "space opera",
        noun: "Starship",
        themes: [
            "comets",
            "robots",
            "colonies",
            "wormholes",
            "admirals",
            "asteroids",
        ],
        next: 3,
    },
    Genre {
        name: "mystery",
        noun: "Alibi",
        themes: [
            "detectives",
            "poison",
            "heirs",
            "blackmail",
            "trains",
            "butlers",
        ],
        next: 6,
    },
    Genre {
        name: "cookery",
        noun: "Kitchen",
        themes: ["bread", "spices", "soups", "pastry", "grilling", "pickles"],
        next: 4,
    },
    Genre {
        name: "popular science",
        noun: "Theory",
        themes: ["quanta", "genes", "fossils", "oceans", "numbers", "brains"],
        next: 0,
    },
    Genre {
        name: "gardening",
        noun: "Garden",
        themes: [
            "roses",
            "compost",
            "orchards",
            "herbs",
            "ponds",
            "beekeeping",
        ],
        next: 2,
    },
    Genre {
        name: "romance",
        noun: "Letter",
        themes: [
            "weddings",
            "islands",
            "rivals",
            "dancers",
            "lighthouses",
            "vineyards",
        ],
        next: 7,
    },
    Genre {
        name: "history",
        noun: "Empire",
        themes: [
            "castles",
            "sailors",
            "plagues",
            "merchants",
            "revolts",
            "maps",
        ],
        next: 1,
    },
    Genre {
        name: "travel",
        noun: "Road",
        themes: [
            "deserts",
            "glaciers",
            "railways",
            "markets",
            "monsoons",
            "volcanoes",
        ],
        next: 5,
    },
];

struct Genre {
    name: &'static str,
    noun: &'static str,
    themes: [&'static str; 6],
    next: usize,
}

const ADJECTIVES: [&str; 10] = [
    "Silent", "Golden", "Hidden", "Last", "Crooked", "Early", "Distant", "Broken", "Gentle",
    "Second",
];
const AUTHORS: [&str; 12] = [
    "A. Brandt",
    "B. Okoro",
    "C. Lindqvist",
    "D. Marin",
    "E. Sato",
    "F. Novak",
    "G. Duarte",
    "H. Weiss",
    "I. Kaya",
    "J. Moreau",
    "K. Silva",
    "L. Petrov",
];

const SERIES: usize = 80;
const VOLUMES: usize = 3;
const READERS: usize = 500;
/// Seconds since 1970 of the first day, 2024-01-01, and days in all.
const START: u64 = 1_704_067_200;
const DAYS: u64 = 360;

/// Two CSV files with header lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shop {
    /// `item_id,title,genre,author,description`
    pub items: String,
    /// `user_id,item_id,timestamp`, in order of time.
    pub interactions: String,
}

struct Book {
    genre: usize,
    themes: [usize; 2],
    /// The chance to be read, relative to others.
    pull: f64,
    /// The second from which on it can be read.
    out: u64,
}

/// Makes the shop: 240 books and 500 readers with about 9,000 events. The same seed makes the same shop everywhere.
pub fn shop(seed: u64) -> Shop {
    let mut draws = Draws::new(seed);
    let books = books(&mut draws);
    let items = catalogue(&books, &mut draws);
    let mut events: Vec<(u64, usize, usize)> = Vec::new();
    for reader in 0..READERS {
        read_on(reader, &books, &mut draws, &mut events);
    }
    events.sort_unstable();
    let mut interactions = String::from("user_id,item_id,timestamp\n");
    for (time, reader, book) in events {
        let _ = writeln!(interactions, "r{reader:03},b{book:03},{time}");
    }
    Shop {
        items,
        interactions,
    }
}

/// The volumes of a series follow one another and share their genre, their themes and their author.
fn books(draws: &mut Draws) -> Vec<Book> {
    let mut books = Vec::with_capacity(SERIES * VOLUMES);
    for _ in 0..SERIES {
        let genre = draws.below(GENRES.len());
        let first = draws.below(6);
        let themes = [first, (first + 1 + draws.below(5)) % 6];
        // Few books draw most readers.
        let pull = 0.05 + draws.unit().powi(4);
        let late = draws.chance(0.15);
        let out = START + if late { DAYS * 86_400 * 9 / 10 } else { 0 };
        for volume in 0..VOLUMES {
            let pull = pull / (1 + volume) as f64;
            books.push(Book {
                genre,
                themes,
                pull,
                out,
            });
        }
    }
    books
}

fn catalogue(books: &[Book], draws: &mut Draws) -> String {
    let mut items = String::from("item_id,title,genre,author,description\n");
    let (mut adjective, mut author) = (0, 0);
    for (at, book) in books.iter().enumerate() {
        if at % VOLUMES == 0 {
            adjective = draws.below(ADJECTIVES.len());
            author = draws.below(AUTHORS.len());
        }
        let genre = &GENRES[book.genre];
        let [one, two] = book.themes.map(|t| genre.themes[t]);
        let _ = writeln!(
            items,
            "b{at:03},\"The {} {}, volume {}\",{},{},A book about {one} and {two}.",
            ADJECTIVES[adjective],
            genre.noun,
            at % VOLUMES + 1,
            genre.name,
            AUTHORS[author],
        );
    }
    items
}

/// One reader's year: a favourite genre that drifts, liked themes, and habits of order.
fn read_on(
    reader: usize,
    books: &[Book],
    draws: &mut Draws,
    events: &mut Vec<(u64, usize, usize)>,
) {
    let mut favourite = draws.below(GENRES.len());
    let liked: Vec<[f64; 6]> = GENRES
        .iter()
        .map(|_| [0; 6].map(|_| if draws.chance(0.3) { 4.0 } else { 0.5 }))
        .collect();
    let count = 8 + draws.below(21);
    let mut time = START + (draws.unit() * 60.0 * 86_400.0) as u64;
    let mut taken = vec![false; books.len()];
    let mut last: Option<usize> = None;
    for _ in 0..count {
        time += 3600 + (draws.unit() * 2.0 * (DAYS - 30) as f64 / count as f64 * 86_400.0) as u64;
        if time >= START + DAYS * 86_400 {
            break;
        }
        if draws.chance(0.08) {
            favourite = draws.below(GENRES.len());
        }
        let free = |book: usize| !taken[book] && books[book].out <= time;
        let sequel = last.map(|l| l + 1).filter(|&s| s % VOLUMES != 0 && free(s));
        let habit = draws.unit();
        let book = match sequel {
            Some(sequel) if habit < 0.45 => sequel,
            _ => {
                let genre = match last {
                    Some(l) if habit > 0.75 => GENRES[books[l].genre].next,
                    _ => favourite,
                };
                let weight = |b: usize| {
                    let book = &books[b];
                    let taste: f64 = book.themes.iter().map(|&t| liked[book.genre][t]).product();
                    let genre = if book.genre == genre { 1.0 } else { 0.02 };
                    if free(b) {
                        book.pull * taste * genre
                    } else {
                        0.0
                    }
                };
                drawn(books.len(), weight, draws)
            }
        };
        taken[book] = true;
        last = Some(book);
        events.push((time, reader, book));
    }
}

/// A number below `n`, drawn by weights.
fn drawn(n: usize, weight: impl Fn(usize) -> f64, draws: &mut Draws) -> usize {
    let total: f64 = (0..n).map(&weight).sum();
    let mut left = draws.unit() * total;
    for at in 0..n {
        left -= weight(at);
        if left < 0.0 {
            return at;
        }
    }
    n - 1
}
