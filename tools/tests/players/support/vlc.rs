//! VLC while it plays: its remote control, and the one port that it takes datagrams on.

use super::players::vlc;
use super::process::{Running, TempDir};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(20);

/// VLC's client of MMS by UDP always takes the same port, so only one of them plays at a time.
pub fn vlc_udp() -> MutexGuard<'static, ()> {
    static PORT: Mutex<()> = Mutex::new(());
    // A test that failed has ended its VLC.
    PORT.lock().unwrap_or_else(|e| e.into_inner())
}

/// A playing VLC with a remote control.
pub struct Remote {
    vlc: Running,
    control: UnixStream,
    /// Where it may write; it outlives the program.
    _dir: TempDir,
}

impl Remote {
    /// Starts it, and waits until it can be told something.
    pub fn start(url: &str, limit: Duration) -> Remote {
        let dir = TempDir::new();
        let socket = dir.file("control");
        let received = dir.file("received.asf");
        let output = format!("#std{{access=file,mux=asf,dst={}}}", received.display());
        let mut command = vlc(&dir);
        command
            .args(["--extraintf", "oldrc", "--rc-fake-tty", "--rc-unix"])
            .arg(&socket)
            .args(["--sout", &output])
            .arg(url);
        let vlc = Running::start(&mut command);
        let deadline = Instant::now() + limit;
        let control = loop {
            match UnixStream::connect(&socket) {
                Ok(control) => break control,
                Err(e) => assert!(Instant::now() < deadline, "VLC's remote control: {e}"),
            }
            thread::sleep(POLL);
        };
        Remote {
            vlc,
            control,
            _dir: dir,
        }
    }

    /// Tells it something, such as `pause`.
    pub fn tell(&mut self, what: &str) {
        writeln!(self.control, "{what}").expect("VLC listens");
    }

    /// Waits until it has played to the end.
    pub fn finish(self, limit: Duration) {
        self.vlc.finish(limit);
    }
}
