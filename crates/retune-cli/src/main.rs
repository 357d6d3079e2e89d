//! The `retune` program: reads flags, calls the library, shows what happens.
//!
//! Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 a gate was not met, 2 the
//! request or its data is at fault, 3 the program is at fault, 130 stopped at once by a second Ctrl-C.

mod args;
mod cmd;
mod console;
mod failure;
mod interrupt;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    failure::install_panic_hook();
    let cli = cmd::Cli::parse();
    match std::panic::catch_unwind(|| cmd::run(cli.command)) {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => failure.show(),
        // The hook has already told the user what to do.
        Err(_) => ExitCode::from(failure::INTERNAL),
    }
}
