//! The source tree as text: what must stand nowhere, and what may stand in few places only.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules that may contain `unsafe`: small leaves around system calls, each with its invariants
/// written down at the block.
const UNSAFE_ALLOWED: [&str; 10] = [
    "engine/src/ops/log/sink.rs",
    "engine/src/ops/log/tests.rs",
    "engine/src/ops/metrics/process.rs",
    "engine/src/ops/sys.rs",
    "engine/src/ring/mirror.rs",
    "engine/src/rt/",
    "engine/tests/support/net.rs",
    "perf/src/sys",
    "protocols/tests/wmsp_memory.rs",
    "tools/src/arrivals.rs",
];

/// Longest source file, in lines. A file that outgrows it has become two. Files of tests are looked up
/// by the test's name and may be longer.
const LINES_MAX: usize = 750;

/// Where the io_uring runtime may be named; everything else goes through this module.
const RUNTIME_ALLOWED: [&str; 1] = ["engine/src/rt/"];

/// Not ours. (`.git` is a file in a linked work tree.)
const SKIPPED: [&str; 2] = ["target", ".git"];

/// Text files that programs write.
const GENERATED: [&str; 1] = ["Cargo.lock"];

/// Files that are not text.
const BINARY: [&str; 8] = ["wmv", "wma", "asf", "rcx", "bin", "png", "svg", "md5"];

struct Source {
    /// Relative to the repository, with `/`.
    name: String,
    text: String,
}

#[test]
fn no_place_of_one_machine_is_named() {
    // Put together here, so that this file passes its own test.
    let banned = ["home", "root", "work", "Users"].map(|folder| format!("/{folder}/"));
    let prose = concat!("crates", ".io");
    check(|line, _| {
        let found = banned
            .iter()
            .map(String::as_str)
            .chain([prose])
            .find(|what| line.contains(what));
        found.map(|what| format!("names {what}"))
    });
}

#[test]
fn nothing_is_left_to_be_done() {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    check(|line, _| {
        let found = marks
            .iter()
            .find(|mark| words(line).any(|word| word == **mark));
        found.map(|mark| format!("is marked {mark}"))
    });
}

#[test]
fn unsafe_stays_in_leaf_modules() {
    let keyword = concat!("uns", "afe");
    check(|line, name| {
        let found = name.ends_with(".rs") && words(&code_of(line)).any(|word| word == keyword);
        (found && !allowed(name, &UNSAFE_ALLOWED)).then(|| format!("contains {keyword}"))
    });
}

#[test]
fn one_module_names_the_runtime() {
    let runtime = concat!("glom", "mio");
    check(|line, name| {
        let found = name.ends_with(".rs") && words(&code_of(line)).any(|word| word == runtime);
        (found && !allowed(name, &RUNTIME_ALLOWED)).then(|| format!("names {runtime}"))
    });
}

#[test]
fn no_source_file_outgrows_a_reader() {
    let long = |source: &Source| {
        let is_code = source.name.ends_with(".rs") && !source.name.contains("tests");
        is_code && source.text.lines().count() > LINES_MAX
    };
    let long: Vec<String> = sources()
        .into_iter()
        .filter(long)
        .map(|source| source.name)
        .collect();
    assert!(
        long.is_empty(),
        "more than {LINES_MAX} lines: {}",
        long.join(", ")
    );
}

#[test]
fn every_exception_is_still_needed() {
    let sources = sources();
    for place in UNSAFE_ALLOWED.iter().chain(&RUNTIME_ALLOWED) {
        assert!(
            sources.iter().any(|source| source.name.starts_with(place)),
            "{place} is no more"
        );
    }
}

/// Fails with every line that `fault` has something to say about. It gets the line and the file's name.
fn check(fault: impl Fn(&str, &str) -> Option<String>) {
    let sources = sources();
    assert!(sources.len() > 20, "found no sources");
    let mut faults = Vec::new();
    for source in &sources {
        for (at, line) in source.text.lines().enumerate() {
            if let Some(what) = fault(line, &source.name) {
                faults.push(format!("{}:{} {what}", source.name, at + 1));
            }
        }
    }
    assert!(faults.is_empty(), "\n  {}", faults.join("\n  "));
}

fn allowed(name: &str, places: &[&str]) -> bool {
    places.iter().any(|place| name.starts_with(place))
}

/// A line without its comment and without what its string literals say. Literals that go over several
/// lines are taken for code, which errs on the strict side.
fn code_of(line: &str) -> String {
    let mut code = String::with_capacity(line.len());
    let (mut in_string, mut escaped, mut last) = (false, false, ' ');
    for c in line.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c == '"' {
            in_string = true;
            code.push(' ');
        } else if c == '/' && last == '/' {
            break;
        } else {
            code.push(c);
        }
        last = c;
    }
    code
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    collect(&root, &mut found);
    found
        .into_iter()
        .filter_map(|path| {
            let name = path
                .strip_prefix(&root)
                .unwrap_or(&path)
                .display()
                .to_string();
            Some(Source {
                text: fs::read_to_string(&path).ok()?,
                name,
            })
        })
        .collect()
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.expect("a directory entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else if !GENERATED.contains(&name.as_str())
            && !path
                .extension()
                .is_some_and(|e| BINARY.iter().any(|binary| e == *binary))
        {
            found.push(path);
        }
    }
}

#[test]
fn code_is_told_from_words() {
    assert_eq!(
        code_of("let a = 1; // b").trim_end_matches('/').trim(),
        "let a = 1;"
    );
    assert_eq!(code_of(r#"f("a // \" b", c)"#), "f( , c)");
    assert_eq!(
        words("a::b_c(d)").collect::<Vec<_>>(),
        ["a", "", "b_c", "d", ""]
    );
}
