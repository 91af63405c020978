//! Ctrl-C: the first one ends the stream in order, the second one the program.

use crate::driver::Nudger;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Exit code of a program that a signal ended, as shells have it.
const EXIT_INTERRUPTED: i32 = 130;

/// Whether the end was asked for.
#[derive(Clone, Default)]
pub struct Stop(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    asked: Condvar,
}

#[derive(Default)]
struct State {
    asked: bool,
    nudger: Option<Nudger>,
}

impl Stop {
    /// Take the signals from now on.
    ///
    /// # Errors
    /// If they cannot be taken.
    pub fn listen() -> Result<Stop, String> {
        let stop = Stop::default();
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|e| format!("signals: {e}"))?;
        let theirs = stop.clone();
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for _ in signals.forever() {
                    if theirs.is_asked() {
                        std::process::exit(EXIT_INTERRUPTED);
                    }
                    theirs.ask();
                }
            })
            .map_err(|e| format!("no thread for signals: {e}"))?;
        Ok(stop)
    }

    /// True once the end was asked for.
    pub fn is_asked(&self) -> bool {
        self.lock().asked
    }

    /// Whom to tell.
    pub fn tell(&self, nudger: Nudger) {
        self.lock().nudger = Some(nudger);
    }

    /// Waits, unless the end is asked for; true if it is.
    pub fn wait(&self, patience: Duration) -> bool {
        let state = self.lock();
        let wait = self
            .0
            .asked
            .wait_timeout_while(state, patience, |s| !s.asked);
        wait.unwrap_or_else(PoisonError::into_inner).0.asked
    }

    fn ask(&self) {
        let mut state = self.lock();
        state.asked = true;
        self.0.asked.notify_all();
        if let Some(nudger) = &state.nudger {
            nudger.nudge();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
