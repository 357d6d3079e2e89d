//! Ctrl-C: the first asks the run to stop and keep its best model, the second ends the program.

use std::sync::atomic::{AtomicU32, Ordering};

use retune::Flow;
use retune::eval::Event;

use crate::console::{self, Console};
use crate::failure::{Failure, INTERRUPTED};

/// How often Ctrl-C was pressed. Process-wide because signals are.
static PRESSED: AtomicU32 = AtomicU32::new(0);

/// From here on Ctrl-C (or SIGTERM) asks before it kills; call once, when there is something to keep.
pub fn listen() -> Result<(), Failure> {
    ctrlc::set_handler(|| {
        if PRESSED.fetch_add(1, Ordering::SeqCst) == 0 {
            console::tell(
                "stopping after this step to keep the best model so far; Ctrl-C again ends at once",
            );
        } else {
            // The only way out of a computation that does not look at the flag; files are renamed into
            // place when complete, so nothing half-written stays behind under its final name.
            #[expect(clippy::disallowed_methods, reason = "the second Ctrl-C means at once")]
            std::process::exit(i32::from(INTERRUPTED));
        }
    })
    .map_err(|e| Failure::user(format!("cannot listen for Ctrl-C: {e}")))
}

/// Shows each event of a run and says what the run should do next.
pub fn watched(console: &mut Console) -> impl FnMut(&Event) -> Flow {
    |event| {
        console.event(event);
        flow()
    }
}

/// What the run should do next.
pub fn flow() -> Flow {
    if PRESSED.load(Ordering::SeqCst) == 0 {
        Flow::Continue
    } else {
        Flow::Stop
    }
}
