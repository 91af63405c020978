//! Child processes with a time limit, and directories that go away.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How often a child is looked at. Small against everything that is waited for.
const POLL: Duration = Duration::from_millis(5);

/// Runs a program to its end. One that does not end within `limit` is killed and fails the test.
pub fn run(command: &mut Command, limit: Duration) -> Output {
    Running::start(command).finish(limit)
}

/// Runs a program until it has written `enough` bytes to its standard output, then kills it and
/// returns what it wrote. It fails the test to end, or to take longer than `limit`, before that.
pub fn run_until(command: &mut Command, enough: usize, limit: Duration) -> Vec<u8> {
    let mut running = Running::start(command);
    running.wait_written(enough, limit);
    let status = running.stop();
    running.output(status).stdout
}

/// A child that does not outlive its owner.
pub struct Running {
    /// How it was started, for messages.
    what: String,
    child: Child,
    readers: Vec<thread::JoinHandle<()>>,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    written: Arc<AtomicUsize>,
}

impl Running {
    pub fn start(command: &mut Command) -> Running {
        let what = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {what}: {e}"));
        let written = Arc::new(AtomicUsize::new(0));
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().expect("piped"), &stdout, Some(&written)),
            collect(child.stderr.take().expect("piped"), &stderr, None),
        ];
        Running {
            what,
            child,
            readers,
            stdout,
            stderr,
            written,
        }
    }

    /// Waits until it has written `enough` bytes to its standard output. It fails the test to end, or to
    /// take longer than `limit`, before that.
    pub fn wait_written(&mut self, enough: usize, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.written.load(Ordering::Acquire) < enough {
            let got = self.written.load(Ordering::Acquire);
            if let Some(status) = self.ended() {
                panic!(
                    "ended ({status}) after {got} of {enough} bytes: {}\n{}",
                    self.what,
                    self.errors()
                );
            }
            if Instant::now() >= deadline {
                panic!(
                    "{got} of {enough} bytes after {limit:?}: {}\n{}",
                    self.what,
                    self.errors()
                );
            }
            thread::sleep(POLL);
        }
    }

    /// Waits until it has ended. One that does not within `limit` is killed and fails the test.
    pub fn finish(mut self, limit: Duration) -> Output {
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.ended() {
                break status;
            }
            if Instant::now() >= deadline {
                panic!(
                    "not finished after {limit:?}: {}\n{}",
                    self.what,
                    self.errors()
                );
            }
            thread::sleep(POLL);
        };
        self.output(status)
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("own child")
    }

    fn stop(&mut self) -> ExitStatus {
        // Fails only for a child that has ended, which is as good.
        let _ = self.child.kill();
        self.child.wait().expect("own child")
    }

    fn errors(&self) -> String {
        let stderr = self.stderr.lock().expect("reader did not panic");
        let tail = stderr.len().saturating_sub(4000);
        String::from_utf8_lossy(&stderr[tail..]).into_owned()
    }

    fn output(mut self, status: ExitStatus) -> Output {
        for reader in self.readers.drain(..) {
            reader.join().expect("reader did not panic");
        }
        let take = |buffer: &Mutex<Vec<u8>>| {
            std::mem::take(&mut *buffer.lock().expect("reader did not panic"))
        };
        Output {
            status,
            stdout: take(&self.stdout),
            stderr: take(&self.stderr),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

fn collect(
    mut from: impl Read + Send + 'static,
    into: &Arc<Mutex<Vec<u8>>>,
    count: Option<&Arc<AtomicUsize>>,
) -> thread::JoinHandle<()> {
    let (into, count) = (Arc::clone(into), count.cloned());
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            into.lock()
                .expect("owner did not panic")
                .extend_from_slice(&buffer[..n]);
            if let Some(count) = &count {
                count.fetch_add(n, Ordering::Release);
            }
        }
    })
}

/// A directory under the system's temporary one, removed with everything in it when dropped.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "ringcast-players-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        TempDir(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
