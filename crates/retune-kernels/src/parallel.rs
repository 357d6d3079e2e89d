//! Work shared between threads, a few microseconds at a time.
//!
//! A training step is hundreds of short loops one after the other. Helpers that sleep between them cost more
//! than they give (waking one takes longer than many of these loops), so ours look out for work for a moment
//! before they sleep. How many take part is what rayon's pool says where the loop starts, so that
//! `ThreadPool::install` sets the number for kernels and everything else alike.

#![expect(unsafe_code, reason = "lends a closure to threads that outlive it")]

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long a helper looks out for the next loop before it sleeps.
const AWAKE: Duration = Duration::from_micros(200);
/// Looks between two glances at the clock.
const GLANCES: u32 = 64;

type Job = *const (dyn Fn() + Sync);

/// What the caller of a loop and the helpers share.
struct Shared {
    /// Counts loops, so that helpers notice a new one.
    loops: AtomicUsize,
    /// Whether helpers may join.
    open: AtomicBool,
    /// Helpers that may still join.
    seats: AtomicIsize,
    /// Helpers between joining and leaving.
    inside: AtomicUsize,
    /// Whether a helper panicked.
    panicked: AtomicBool,
    job: UnsafeCell<Option<Job>>,
}

// SAFETY: `job` is written by the holder of HELPERS while `open` is false, and read by helpers that have
// counted themselves in `inside` and then seen `open` true; the writer closes and waits for `inside` to be 0
// before it writes again. Everything else is atomic.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared {
    loops: AtomicUsize::new(0),
    open: AtomicBool::new(false),
    seats: AtomicIsize::new(0),
    inside: AtomicUsize::new(0),
    panicked: AtomicBool::new(false),
    job: UnsafeCell::new(None),
};

/// The helpers; whoever holds the lock may start a loop.
static HELPERS: Mutex<Vec<Thread>> = Mutex::new(Vec::new());

/// Runs `f` on every task, on as many threads as rayon's current pool has. Which thread takes which task is
/// left to chance.
///
/// Inside another such loop, or beside one of another thread, the tasks are done one after the other.
///
/// # Panics
/// When `f` does.
pub fn each<T: Send>(tasks: Vec<T>, f: impl Fn(T) + Sync) {
    let threads = rayon::current_num_threads().min(tasks.len());
    if threads <= 1 {
        return tasks.into_iter().for_each(f);
    }
    let mut helpers = match HELPERS.try_lock() {
        Ok(helpers) => helpers,
        // A loop that panicked was closed all the same.
        Err(TryLockError::Poisoned(helpers)) => helpers.into_inner(),
        Err(TryLockError::WouldBlock) => return tasks.into_iter().for_each(f),
    };
    let tasks: Vec<Mutex<Option<T>>> = tasks.into_iter().map(|t| Mutex::new(Some(t))).collect();
    let next = AtomicUsize::new(0);
    let body = || {
        while let Some(task) = tasks.get(next.fetch_add(1, SeqCst)) {
            let task = task.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(task) = task {
                f(task);
            }
        }
    };
    share(&mut helpers, threads - 1, &body);
}

/// Parallel `for_each` of any iterator.
pub(crate) trait Spread: Iterator + Sized {
    /// See [`each`].
    fn spread(self, f: impl Fn(Self::Item) + Sync)
    where
        Self::Item: Send,
    {
        each(self.collect(), f);
    }
}

impl<I: Iterator> Spread for I {}

/// Runs `body` here and on `count` helpers, and returns when all have left it.
fn share(helpers: &mut Vec<Thread>, count: usize, body: &(dyn Fn() + Sync)) {
    while helpers.len() < count {
        let name = format!("kernels {}", helpers.len() + 1);
        let started = thread::Builder::new().name(name).spawn(help);
        match started {
            Ok(helper) => helpers.push(helper.thread().clone()),
            // With fewer threads the loop takes longer, and that is all.
            Err(_) => break,
        }
    }
    // SAFETY: only the lifetime is changed. `closed` below waits until no helper can reach the closure, also
    // when `body` panics here.
    let job = unsafe { std::mem::transmute::<&(dyn Fn() + Sync), Job>(body) };
    // SAFETY: `open` is false and the lock of HELPERS is held, so nobody else touches the cell.
    unsafe { *SHARED.job.get() = Some(job) };
    SHARED.panicked.store(false, SeqCst);
    SHARED.seats.store(count as isize, SeqCst);
    SHARED.open.store(true, SeqCst);
    SHARED.loops.fetch_add(1, SeqCst);
    for helper in helpers.iter().take(count) {
        helper.unpark();
    }
    let closing = Closing;
    body();
    drop(closing);
    assert!(
        !SHARED.panicked.load(SeqCst),
        "a task panicked on another thread"
    );
}

/// Closes the loop when it goes, and waits for the helpers in it.
struct Closing;

impl Drop for Closing {
    fn drop(&mut self) {
        SHARED.open.store(false, SeqCst);
        let mut looks = 0u32;
        while SHARED.inside.load(SeqCst) > 0 {
            looks += 1;
            if looks < 10_000 {
                spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }
}

/// What a helper does all its life.
fn help() {
    let mut seen = 0;
    loop {
        seen = wait(seen);
        SHARED.inside.fetch_add(1, SeqCst);
        if SHARED.open.load(SeqCst) && SHARED.seats.fetch_sub(1, SeqCst) > 0 {
            // SAFETY: this helper is counted in `inside` and has seen `open`: the job stays until it leaves.
            if let Some(job) = unsafe { *SHARED.job.get() } {
                // SAFETY: as above, the closure behind the pointer is alive.
                let body = AssertUnwindSafe(|| unsafe { (*job)() });
                if catch_unwind(body).is_err() {
                    SHARED.panicked.store(true, SeqCst);
                }
            }
        }
        SHARED.inside.fetch_sub(1, SeqCst);
    }
}

/// Returns when there is another loop than `seen`.
fn wait(seen: usize) -> usize {
    let mut since = Instant::now();
    let mut looks = 0u32;
    loop {
        let now = SHARED.loops.load(SeqCst);
        if now != seen {
            return now;
        }
        looks += 1;
        if looks.is_multiple_of(GLANCES) && since.elapsed() > AWAKE {
            thread::park_timeout(Duration::from_secs(1));
            since = Instant::now();
        }
        spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    fn on<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> Option<R> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.ok().map(|pool| pool.install(f))
    }

    #[test]
    fn every_task_is_done_once_on_any_number_of_threads() {
        for threads in [1, 2, 5] {
            for n in [0u64, 1, 2, 1000] {
                let (sum, count) = (AtomicU64::new(0), AtomicUsize::new(0));
                on(threads, || {
                    each((0..n).collect(), |i| {
                        sum.fetch_add(i, SeqCst);
                        count.fetch_add(1, SeqCst);
                    });
                });
                assert_eq!(count.into_inner() as u64, n);
                assert_eq!(sum.into_inner(), n * n.saturating_sub(1) / 2);
            }
        }
    }

    #[test]
    fn loops_inside_and_beside_loops_finish() {
        let count = AtomicUsize::new(0);
        on(3, || {
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..200 {
                            each(vec![(); 7], |()| {
                                each(vec![(); 3], |()| {
                                    count.fetch_add(1, SeqCst);
                                });
                            });
                        }
                    });
                }
            });
        });
        assert_eq!(count.into_inner(), 4 * 200 * 7 * 3);
    }

    #[test]
    fn helpers_that_slept_come_back() {
        for _ in 0..3 {
            let threads = Mutex::new(std::collections::BTreeSet::new());
            on(2, || {
                each(vec![(); 50], |()| {
                    thread::sleep(Duration::from_millis(1));
                    let id = format!("{:?}", thread::current().id());
                    threads
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(id);
                });
            });
            assert!(
                !threads
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .is_empty()
            );
            thread::sleep(AWAKE * 5);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_next_loop_works() {
        for bad in [0, 99] {
            let panics = catch_unwind(|| {
                on(2, || {
                    each((0..100).collect(), |i| {
                        thread::sleep(Duration::from_micros(100));
                        assert!(i != bad, "a bad task");
                    });
                })
            });
            assert!(panics.is_err());
            let count = AtomicUsize::new(0);
            on(2, || {
                each(vec![(); 10], |()| {
                    count.fetch_add(1, SeqCst);
                });
            });
            assert_eq!(count.into_inner(), 10);
        }
    }
}
