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
use retune::bench;

use failure::Failure;

fn main() -> ExitCode {
    failure::install_panic_hook();
    let cli = cmd::Cli::parse();
    if let Err(failure) = choose_instructions() {
        return failure.show();
    }
    match std::panic::catch_unwind(|| cmd::run(cli.command)) {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => failure.show(),
        // The hook has already told the user what to do.
        Err(_) => ExitCode::from(failure::INTERNAL),
    }
}

/// `RETUNE_ISA` makes kernels use an older instruction set than the CPU's best.
#[expect(
    clippy::disallowed_methods,
    reason = "the program, not the library, reads its environment"
)]
fn choose_instructions() -> Result<(), Failure> {
    let Some(name) = std::env::var_os("RETUNE_ISA") else {
        return Ok(());
    };
    let name = name.to_string_lossy();
    if bench::choose_isa(&name) {
        return Ok(());
    }
    Err(Failure::user(format!(
        "RETUNE_ISA is `{name}`; this machine has {}",
        bench::isas().join(", ")
    )))
}
