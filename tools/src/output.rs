//! What commands print, and how they end.

use serde::Serialize;
use std::io::{self, Write};

/// What a command found out: `Ok(true)` fine (exit 0), `Ok(false)` the thing asked was false
/// (exit 1), `Err` it could not be found out (exit 2).
pub type Answer = Result<bool, String>;

/// Text for people or JSON for programs.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// JSON was asked for.
    pub json: bool,
}

impl Output {
    /// Prints the value as JSON, or else what `text` writes.
    pub fn print<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) {
        let out = if self.json {
            serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
        } else {
            text(value)
        };
        put(&out);
    }

    /// One line of a stream of objects.
    pub fn print_line<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) {
        let out = if self.json {
            serde_json::to_string(value).unwrap_or_default() + "\n"
        } else {
            text(value)
        };
        put(&out);
    }

    /// Says why something could not be found out.
    pub fn failed(self, what: &str) {
        if self.json {
            put(&(serde_json::json!({ "error": what }).to_string() + "\n"));
        }
        let _ = writeln!(io::stderr(), "ringcast: {what}");
    }
}

/// Writes to standard output; a reader that has gone ends the program quietly, as it does others.
fn put(text: &str) {
    let mut out = io::stdout().lock();
    if let Err(e) = out.write_all(text.as_bytes()).and_then(|()| out.flush())
        && e.kind() == io::ErrorKind::BrokenPipe
    {
        std::process::exit(0);
    }
}

/// `1.5 Mbit/s`
pub fn bit_rate(bps: f64) -> String {
    scaled(
        bps,
        1000.0,
        &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"],
    )
}

/// `1.5 MiB`
pub fn bytes(n: f64) -> String {
    scaled(n, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

/// `1:02:03.456`, or `2:03.456`
pub fn clock(ms: u64) -> String {
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    let rest = format!("{:02}.{:03}", ms / 1000 % 60, ms % 1000);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{rest}")
    } else {
        format!("{minutes}:{rest}")
    }
}

fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while value >= step && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    match (unit, value < 10.0) {
        (0, _) => format!("{value:.0} {}", units[unit]),
        (_, true) => format!("{value:.2} {}", units[unit]),
        _ => format!("{value:.1} {}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_shown_with_three_digits_or_so() {
        assert_eq!(bit_rate(0.0), "0 bit/s");
        assert_eq!(bit_rate(999.0), "999 bit/s");
        assert_eq!(bit_rate(1_500_000.0), "1.50 Mbit/s");
        assert_eq!(bytes(20.0 * 1024.0), "20.0 KiB");
        assert_eq!(clock(61_005), "1:01.005");
        assert_eq!(clock(3_600_000), "1:00:00.000");
    }
}
