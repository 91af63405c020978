//! `protocols` touches no socket, file, thread, clock or runtime: all of that is the driver's.

use std::fs;
use std::path::{Path, PathBuf};

/// Names that a pure crate has no use for, each with the reason.
const BANNED: [(&str, &str); 26] = [
    ("TcpStream", "sockets are the driver's"),
    ("TcpListener", "sockets are the driver's"),
    ("UdpSocket", "sockets are the driver's"),
    ("UnixStream", "sockets are the driver's"),
    ("UnixListener", "sockets are the driver's"),
    ("UnixDatagram", "sockets are the driver's"),
    ("ToSocketAddrs", "resolving names is the driver's"),
    ("Instant", "time is an argument"),
    ("SystemTime", "time is an argument"),
    ("File", "files are the driver's"),
    ("OpenOptions", "files are the driver's"),
    ("stdin", "files are the driver's"),
    ("stdout", "files are the driver's"),
    ("stderr", "files are the driver's"),
    ("println", "output is the driver's"),
    ("eprintln", "output is the driver's"),
    ("libc", "the system is the driver's"),
    ("nix", "the system is the driver's"),
    ("socket2", "the system is the driver's"),
    ("glommio", "the runtime is the driver's"),
    ("tokio", "the runtime is the driver's"),
    ("mio", "the runtime is the driver's"),
    ("async", "machines are called, not awaited"),
    ("Mutex", "a machine belongs to one core"),
    ("thread_local", "a machine owns its state"),
    ("unsafe", "nothing here needs it"),
];

/// Modules of the standard library that a pure crate has no use for.
const BANNED_MODULES: [&str; 5] = ["fs", "thread", "process", "env", "os"];

#[test]
fn no_source_file_names_the_outside_world() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    let files = rust_files(&sources);
    for file in &files {
        let text = fs::read_to_string(file).expect("a source file");
        let name = file
            .strip_prefix(&sources)
            .unwrap_or(file)
            .display()
            .to_string();
        faults.extend(faults_of(&text).map(|(line, what)| format!("{name}:{line}: {what}")));
    }
    assert!(
        files.len() > 3,
        "found no sources below {}",
        sources.display()
    );
    assert!(
        faults.is_empty(),
        "protocols is pure:\n  {}",
        faults.join("\n  ")
    );
}

fn faults_of(text: &str) -> impl Iterator<Item = (usize, String)> {
    text.lines().enumerate().flat_map(|(at, line)| {
        let code = without_strings(line);
        let words = words_of(code.split("//").next().unwrap_or_default());
        let banned = BANNED.iter().filter(|(name, _)| words.contains(name));
        let banned = banned.map(|(name, reason)| format!("{name}: {reason}"));
        let modules = BANNED_MODULES
            .iter()
            .filter(|module| names_std_module(&words, module));
        let modules = modules.map(|module| format!("std::{module}: the system is the driver's"));
        let faults: Vec<_> = banned.chain(modules).map(|what| (at + 1, what)).collect();
        faults
    })
}

/// The line without what stands in quotes, which may name anything.
fn without_strings(line: &str) -> String {
    line.split('"').step_by(2).collect::<Vec<_>>().join("\"")
}

/// The identifiers of a line, in order.
fn words_of(code: &str) -> Vec<&str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .collect()
}

/// `std::fs`, and `fs` anywhere in `use std::{...}`.
fn names_std_module(words: &[&str], module: &str) -> bool {
    let named = words.windows(2).any(|pair| pair == ["std", module]);
    named || (words.starts_with(&["use", "std"]) && words.contains(&module))
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("a source directory") {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn what_is_banned_is_found() {
    let count = |text: &str| faults_of(text).count();
    assert_eq!(count("use std::net::{SocketAddr, TcpStream};"), 1);
    assert_eq!(count("use std::{fs, collections::BTreeMap};"), 1);
    assert_eq!(count("let now = std::time::Instant::now();"), 1);
    assert_eq!(count("std::thread::sleep(d);"), 1);
    assert_eq!(count("use std::net::SocketAddr; // not a TcpStream"), 0);
    assert_eq!(count("/// An Instant in time.\nlet offsets = 1;"), 0);
    assert_eq!(count("let name = \"File Properties\";"), 0);
    assert_eq!(count("let name = \"File\"; File::open(name);"), 1);
}
