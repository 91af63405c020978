//! A sleep that can be cut short from elsewhere on the same core.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, Waker};
use std::time::Duration;

/// What ended a sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The time had come.
    InTime,
    /// The alarm rang.
    Rung,
}

/// See the module.
#[derive(Default)]
pub struct Alarm {
    rung: Cell<bool>,
    sleeper: RefCell<Option<Waker>>,
}

impl Alarm {
    /// Sleep for `duration`, or until [`Alarm::ring`]; at once if it rang since the last sleep.
    pub async fn sleep(&self, duration: Duration) -> Woken {
        let mut timer = pin!(glommio::timer::sleep(duration));
        let woken = poll_fn(|cx| {
            if self.rung.take() {
                return Poll::Ready(Woken::Rung);
            }
            *self.sleeper.borrow_mut() = Some(cx.waker().clone());
            timer.as_mut().poll(cx).map(|()| Woken::InTime)
        })
        .await;
        self.sleeper.borrow_mut().take();
        woken
    }

    /// End the current or the next sleep.
    pub fn ring(&self) {
        self.rung.set(true);
        if let Some(waker) = self.sleeper.borrow_mut().take() {
            waker.wake();
        }
    }
}
