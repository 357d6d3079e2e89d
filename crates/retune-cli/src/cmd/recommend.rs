//! `retune recommend`: what a saved recommender would show a user next.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use retune::data::interactions::catalogue::Catalogue;
use retune::data::write::{check, write};
use retune::hub::HubOptions;
use retune::recommend::{Pick, Shelf, User, Wanted};
use serde::Serialize;

use crate::args::{FileArgs, option};
use crate::console::{Console, answer, answer_json, tell};
use crate::failure::Failure;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct RecommendArgs {
    /// Folder of a recommender that `retune train` wrote
    bundle: PathBuf,

    /// A user of the training data
    #[arg(long, value_name = "ID", conflicts_with_all = ["history", "all_users"])]
    user: Option<String>,

    /// Items taken before, oldest first, with commas between; may be repeated
    #[arg(long, value_name = "ITEM,ITEM", conflicts_with = "all_users")]
    history: Vec<String>,

    /// Every user, into the file of --out
    #[arg(long, requires = "out")]
    all_users: bool,

    /// Items per user
    #[arg(short, value_name = "N", default_value_t = 10)]
    k: usize,

    /// Which items are shown: seen leaves out those of the history, COLUMN=VALUE keeps those with this value; commas
    /// between
    #[arg(long, value_name = "WHICH,..", value_delimiter = ',')]
    filter: Vec<String>,

    /// Show items of the history too
    #[arg(long)]
    show_seen: bool,

    /// Tell which item of the history each item is most like
    #[arg(long)]
    because: bool,

    /// File of new items, known by their texts, that can be recommended too
    #[arg(long, value_name = "FILE")]
    add_items: Option<PathBuf>,

    /// Write the vectors of users or items to --out instead: the product of two is a score
    #[arg(
        long,
        value_name = "WHICH",
        requires = "out",
        conflicts_with = "all_users"
    )]
    vectors: Option<Vectors>,

    #[command(flatten)]
    file: FileArgs,

    /// File to write: .parquet, .csv or .jsonl
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Vectors {
    Users,
    Items,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    user: Option<&'a str>,
    items: &'a [Pick],
}

/// Prints or writes recommendations.
pub fn run(args: &RecommendArgs) -> Result<ExitCode, Failure> {
    if let Some(path) = &args.out {
        check(path)?;
    }
    if !(1..=10_000).contains(&args.k) {
        return Err(Failure::user(format!(
            "-k {} is out of range 1 to 10000; try 10",
            args.k
        )));
    }
    let wanted = wanted(args)?;
    let mut shelf = Shelf::open(&args.bundle)?;
    if let Some(path) = &args.add_items {
        let items = Catalogue::read(path, &shelf.request(args.file.options()?), &[])?;
        let mut console = Console::new();
        let on = &mut |progress| console.download(progress);
        shelf.add(&items, &HubOptions::from_env(), on)?;
        console.end();
    }
    if let (Some(which), Some(path)) = (args.vectors, &args.out) {
        let table = match which {
            Vectors::Users => shelf.user_vectors(),
            Vectors::Items => shelf.item_vectors(),
        };
        write(&table, path)?;
        tell(&format!(
            "wrote {} vectors to {}",
            table.rows(),
            path.display()
        ));
        return Ok(ExitCode::SUCCESS);
    }
    if args.all_users {
        let table = shelf.for_everyone(&wanted)?;
        if let Some(path) = &args.out {
            write(&table, path)?;
            let users = shelf.users().len();
            tell(&format!(
                "wrote {} rows for {users} users to {}",
                table.rows(),
                path.display()
            ));
        }
        return Ok(ExitCode::SUCCESS);
    }
    one(args, &shelf, &wanted)
}

/// Recommendations for one user or one history.
fn one(args: &RecommendArgs, shelf: &Shelf, wanted: &Wanted) -> Result<ExitCode, Failure> {
    let given = User::of(shelf.named(&args.history)?);
    let user = match &args.user {
        Some(user) => shelf.user(user)?,
        None if !given.items.is_empty() => &given,
        None => {
            return Err(Failure::user(
                "nobody to recommend to; give --user ID, --history ITEM,ITEM or --all-users --out FILE",
            ));
        }
    };
    let found = shelf.recommend(&[user], wanted)?;
    let picks = found.first().map_or(&[][..], Vec::as_slice);
    if args.json {
        answer_json(&Shown {
            user: args.user.as_deref(),
            items: picks,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    for pick in picks {
        let because = pick
            .because
            .as_ref()
            .map_or(String::new(), |near| format!("\tbecause of {near}"));
        answer(&format!(
            "{}\t{:.4}\t{}{because}",
            pick.item, pick.score, pick.text
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn wanted(args: &RecommendArgs) -> Result<Wanted, Failure> {
    let mut wanted = Wanted {
        k: args.k,
        because: args.because,
        show_seen: args.show_seen.then_some(true),
        having: Vec::new(),
    };
    for text in &args.filter {
        match text.trim() {
            "seen" => wanted.show_seen = Some(false),
            text => {
                let wrong =
                    |_| format!("--filter `{text}` is not known; type seen or COLUMN=VALUE");
                wanted
                    .having
                    .push(option(text).map_err(wrong).map_err(Failure::user)?);
            }
        }
    }
    Ok(wanted)
}
