//! A sleep that can be cut short from elsewhere on the same core.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, Waker};
use std::time::Duration;

/// See the module.
#[derive(Default)]
pub struct Alarm {
    rung: Cell<bool>,
    sleeper: RefCell<Option<Waker>>,
}

impl Alarm {
    /// Sleep for `duration`, or until [`Alarm::ring`]; at once if it rang since the last sleep.
    pub async fn sleep(&self, duration: Duration) {
        let mut timer = pin!(glommio::timer::sleep(duration));
        poll_fn(|cx| {
            if self.rung.take() {
                return Poll::Ready(());
            }
            *self.sleeper.borrow_mut() = Some(cx.waker().clone());
            timer.as_mut().poll(cx)
        })
        .await;
        self.sleeper.borrow_mut().take();
    }

    /// End the current or the next sleep.
    pub fn ring(&self) {
        self.rung.set(true);
        if let Some(waker) = self.sleeper.borrow_mut().take() {
            waker.wake();
        }
    }
}
