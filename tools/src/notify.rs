//! Words to the service manager (sd_notify): ready, reloading, stopping, alive.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// How long a word may wait for the service manager to listen.
const SAY_LIMIT: Duration = Duration::from_secs(5);

/// The way to the service manager, if there is one.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
}

impl Notifier {
    /// From `NOTIFY_SOCKET`. Without it, every word is said to nobody.
    pub fn from_environment() -> Notifier {
        let name = std::env::var("NOTIFY_SOCKET").unwrap_or_default();
        Notifier {
            socket: connect(&name),
        }
    }

    /// Every listener is bound.
    pub fn ready(&self, status: &str) {
        self.say(&format!(
            "READY=1\nSTATUS={status}\nMAINPID={}",
            std::process::id()
        ));
    }

    /// The configuration is read again; [`Notifier::ready`] follows.
    pub fn reloading(&self) {
        self.say(&format!(
            "RELOADING=1\nMONOTONIC_USEC={}",
            monotonic_micros()
        ));
    }

    /// The server ends, which may take `limit`.
    pub fn stopping(&self, limit: Duration) {
        let micros = limit.as_micros();
        self.say(&format!(
            "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC={micros}"
        ));
    }

    /// Every core is alive.
    pub fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    /// How often [`Notifier::alive`] is to be said: half of what the service manager allows.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.socket.as_ref()?;
        let pid = std::env::var("WATCHDOG_PID").ok();
        let ours = pid.is_none_or(|p| p.parse() == Ok(std::process::id()));
        let micros: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
        (ours && micros > 0).then(|| Duration::from_micros(micros / 2))
    }

    fn say(&self, words: &str) {
        if let Some(socket) = &self.socket {
            // Waits while the service manager's queue is full; after that nothing better can be done.
            let _ = socket.send(words.as_bytes());
        }
    }
}

fn connect(name: &str) -> Option<UnixDatagram> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name).ok()?,
        None if name.starts_with('/') => SocketAddr::from_pathname(name).ok()?,
        None => return None,
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect_addr(&address).ok()?;
    socket.set_write_timeout(Some(SAY_LIMIT)).ok()?;
    Some(socket)
}

/// CLOCK_MONOTONIC, as systemd compares it; from the kernel's text, which has hundredths.
fn monotonic_micros() -> u64 {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds: f64 = uptime
        .split(' ')
        .next()
        .and_then(|s| s.parse().ok())
        .unwrap_or(0.0);
    (seconds * 1e6) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_arrive_at_an_abstract_socket() {
        let name = format!("ringcast-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let manager = UnixDatagram::bind_addr(&address).expect("bind");
        let notifier = Notifier {
            socket: connect(&format!("@{name}")),
        };
        notifier.ready("2 points");
        let mut words = [0; 256];
        let n = manager.recv(&mut words).expect("words");
        let pid = std::process::id();
        let expected = format!("READY=1\nSTATUS=2 points\nMAINPID={pid}");
        assert_eq!(String::from_utf8_lossy(&words[..n]), expected);
    }

    #[test]
    fn without_a_service_manager_nothing_happens() {
        let notifier = Notifier {
            socket: connect(""),
        };
        notifier.alive();
        assert_eq!(notifier.watchdog_interval(), None);
    }
}
