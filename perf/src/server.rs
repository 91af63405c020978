//! Starting and stopping the process that is measured.

use crate::probe;
use crate::sys::{self, Placement};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How to tell that a server is ready.
#[derive(Clone, Debug)]
pub enum Ready {
    /// `GET path` on this address answers 200.
    Http(SocketAddr, String),
    /// The address accepts connections.
    Accepts(SocketAddr),
}

impl Ready {
    fn now(&self) -> bool {
        match self {
            Ready::Http(addr, path) => probe::get(*addr, path).is_ok_and(|(s, _)| s == 200),
            Ready::Accepts(addr) => {
                std::net::TcpStream::connect_timeout(addr, Duration::from_millis(200)).is_ok()
            }
        }
    }
}

/// A process started here; ended when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Start to ready, ms.
    pub ready_ms: f64,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Start a command (program and arguments, no shell) and wait until it is ready. Its stderr
    /// goes to `log`, or where ours goes; its stdout is dropped.
    pub fn start(
        words: &[String],
        placement: &Placement,
        ready: &Ready,
        patience: Duration,
        log: Option<&Path>,
    ) -> Result<Running, String> {
        if ready.now() {
            return Err(format!(
                "something answers already where the server is to be ({ready:?})"
            ));
        }
        let begun = Instant::now();
        let mut running = Running {
            child: spawn(words, placement, Stdio::null(), log)?,
            ready_ms: 0.0,
        };
        loop {
            if ready.now() {
                running.ready_ms = begun.elapsed().as_secs_f64() * 1000.0;
                return Ok(running);
            }
            if let Ok(Some(status)) = running.child.try_wait() {
                return Err(format!(
                    "{} ended before it was ready: {status}",
                    words.join(" ")
                ));
            }
            if begun.elapsed() > patience {
                return Err(format!(
                    "{} was not ready within {} s",
                    words.join(" "),
                    patience.as_secs()
                ));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Start this very program as the floor; it prints the port it got.
    pub fn start_floor(words: &[String], placement: &Placement) -> Result<(Running, u16), String> {
        let program = std::env::current_exe().map_err(|e| format!("own program: {e}"))?;
        let mut all = vec![program.to_string_lossy().into_owned()];
        all.extend_from_slice(words);
        let begun = Instant::now();
        let mut child = spawn(&all, placement, Stdio::piped(), None)?;
        let line = child
            .stdout
            .take()
            .and_then(|out| BufReader::new(out).lines().next());
        let running = Running {
            child,
            ready_ms: begun.elapsed().as_secs_f64() * 1000.0,
        };
        let port = line
            .and_then(Result::ok)
            .and_then(|l| l.strip_prefix("ready ")?.parse().ok())
            .ok_or("the floor sender did not start")?;
        Ok((running, port))
    }
}

fn spawn(
    words: &[String],
    placement: &Placement,
    out: Stdio,
    log: Option<&Path>,
) -> Result<Child, String> {
    let [program, args @ ..] = words else {
        return Err("no command to start".into());
    };
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(out);
    if let Some(path) = log {
        let file = File::create(path).map_err(|e| format!("{}: {e}", path.display()))?;
        command.stderr(file);
    }
    sys::place(&mut command, placement).map_err(|e| format!("{program}: {e}"))?;
    command.spawn().map_err(|e| format!("{program}: {e}"))
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        let _ = sys::terminate(self.child.id());
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(5) {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
