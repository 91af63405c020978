//! What `push` says while it runs and at its end.

use super::feed::Lost;
use crate::output::{self, Output};
use protocols::wmhttp::client::Totals;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two progress lines of JSON.
const JSON_INTERVAL: Duration = Duration::from_secs(5);
/// Between two updates of a terminal's line.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(500);

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// All was pushed, and the server was told.
    Finished,
    /// On request; the server was told.
    Interrupted,
    /// The server does not want it.
    Refused,
    /// The connection or the server went.
    Lost,
    /// What was to be pushed could not be read.
    Broken,
}

/// The numbers so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Numbers {
    /// Seconds since the first session began.
    pub seconds: u64,
    /// Sessions that the server accepted.
    pub sessions: u64,
    /// PushStart requests.
    pub requests: u64,
    pub packets: u64,
    /// Bytes of all request bodies.
    pub bytes: u64,
    /// Packets that came, or were due, while there was no session.
    pub skipped: u64,
    /// Packets that are left out because they cannot be read.
    pub damaged: u64,
}

impl Numbers {
    /// A session's numbers added.
    pub fn add(&mut self, totals: Totals) {
        self.requests += totals.bodies;
        self.packets += totals.packets;
        self.bytes += totals.bytes;
    }

    /// What the source lost.
    pub fn with(mut self, lost: Lost, damaged: u64) -> Numbers {
        self.skipped = lost.skipped;
        self.damaged = lost.damaged + damaged;
        self
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{}  {} packets, {}",
            output::clock(self.seconds * 1000).trim_end_matches(".000"),
            self.packets,
            output::bytes(self.bytes as f64)
        );
        if self.skipped > 0 {
            text += &format!(", {} skipped", self.skipped);
        }
        if self.damaged > 0 {
            text += &format!(", {} damaged", self.damaged);
        }
        text
    }
}

/// One line of JSON each.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Connected {
        url: &'a str,
        server: &'a str,
    },
    Redirected {
        to: &'a str,
    },
    Lost {
        reason: &'a str,
        retry_seconds: f64,
    },
    Warning {
        what: &'a str,
    },
    Progress {
        #[serde(flatten)]
        numbers: Numbers,
    },
    Summary {
        url: &'a str,
        ended: Ended,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
        #[serde(flatten)]
        numbers: Numbers,
    },
}

/// Says it.
pub struct Report {
    output: Output,
    url: String,
    terminal: bool,
    shown: bool,
    next: Option<Instant>,
}

impl Report {
    /// About a push to `url`.
    pub fn new(output: Output, url: &str) -> Report {
        Report {
            output,
            url: url.to_owned(),
            terminal: !output.json && std::io::stderr().is_terminal(),
            shown: false,
            next: None,
        }
    }

    /// The server accepted a session.
    pub fn connected(&mut self, server: &str) {
        let url = self.url.clone();
        self.line(&Event::Connected { url: &url, server }, || {
            format!("pushing to {url} ({server})\n")
        });
    }

    /// The server sent us elsewhere.
    pub fn redirected(&mut self, to: &str) {
        self.line(&Event::Redirected { to }, || {
            format!("redirected to {to}\n")
        });
    }

    /// A session is over, and another one will be tried.
    pub fn lost(&mut self, reason: &str, retry: Duration) {
        let retry_seconds = retry.as_millis() as f64 / 1000.0;
        let event = Event::Lost {
            reason,
            retry_seconds,
        };
        self.line(&event, || {
            format!("{reason}; again in {retry_seconds:.1} s\n")
        });
    }

    /// Something that the user should know.
    pub fn warning(&mut self, what: &str) {
        self.clear();
        if self.output.json {
            self.output
                .print_line(&Event::Warning { what }, |_| String::new());
        }
        let _ = writeln!(std::io::stderr(), "ringcast: {what}");
    }

    /// True if it is time for [`Report::progress`].
    pub fn wants_progress(&self, now: Instant) -> bool {
        (self.output.json || self.terminal) && self.next.is_none_or(|t| now >= t)
    }

    /// How it goes.
    pub fn progress(&mut self, now: Instant, numbers: Numbers) {
        let first = self.next.is_none();
        self.next = Some(
            now + if self.output.json {
                JSON_INTERVAL
            } else {
                TERMINAL_INTERVAL
            },
        );
        if first {
            return;
        }
        if self.output.json {
            self.output
                .print_line(&Event::Progress { numbers }, |_| String::new());
        } else {
            self.shown = true;
            let mut err = std::io::stderr();
            let _ = write!(err, "\r\x1b[K{} ", numbers.text()).and_then(|()| err.flush());
        }
    }

    /// The last words.
    pub fn summary(&mut self, ended: Ended, reason: Option<&str>, numbers: Numbers) {
        let url = self.url.clone();
        let event = Event::Summary {
            url: &url,
            ended,
            reason,
            numbers,
        };
        self.line(&event, || {
            let how = match ended {
                Ended::Finished => "finished",
                Ended::Interrupted => "ended on request",
                Ended::Refused => "refused",
                Ended::Lost => "lost",
                Ended::Broken => "broken input",
            };
            let reason = reason.map(|r| format!(": {r}")).unwrap_or_default();
            format!("{how}{reason}\n{}\n", numbers.text())
        });
    }

    fn line(&mut self, event: &Event<'_>, text: impl FnOnce() -> String) {
        self.clear();
        self.output.print_line(event, |_| text());
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
