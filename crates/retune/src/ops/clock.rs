//! Where the time of a step goes: the operations note how long they take while the clock runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

static RUNNING: AtomicBool = AtomicBool::new(false);
static TIMES: Mutex<BTreeMap<&'static str, Duration>> = Mutex::new(BTreeMap::new());

/// Starts the clock anew.
pub fn start() {
    stop();
    RUNNING.store(true, Ordering::Relaxed);
}

/// Stops the clock; the time of each operation since the start.
pub fn stop() -> BTreeMap<&'static str, Duration> {
    RUNNING.store(false, Ordering::Relaxed);
    std::mem::take(&mut TIMES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Notes the time from now until it is dropped.
pub(super) struct Span(Option<(&'static str, Instant)>);

impl Span {
    pub fn of(op: &'static str) -> Self {
        let running = RUNNING.load(Ordering::Relaxed);
        Self(running.then(|| (op, Instant::now())))
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some((op, started)) = self.0 {
            let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
            *times.entry(op).or_default() += started.elapsed();
        }
    }
}
