//! Holds `docs/CONFORMANCE.md` to the source tree: every requirement is listed, every row that says
//! met names tests that exist and cite the requirement, and no citation names an unknown requirement.
//!
//! With `UPDATE_CONFORMANCE` set it first writes the citing tests into the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The families of requirements and the number of the last one in each.
const FAMILIES: [(&str, u32); 10] = [
    ("WMSP", 125),
    ("MMSP", 110),
    ("RTSP", 140),
    ("ASF", 68),
    ("BW", 57),
    ("WMLOG", 50),
    ("MSBD", 68),
    ("WMHTTP", 112),
    ("MSB", 72),
    ("NSC", 43),
];

/// Tests named in one row at most; the rest are found by searching for the requirement.
const NAMED_MAX: usize = 4;

/// One row of the page, its cells trimmed.
#[derive(Clone, Debug)]
struct Row {
    line: usize,
    id: String,
    level: String,
    status: String,
    /// Tests in backticks if the status is met, otherwise the reason.
    proof: String,
}

/// Where a requirement is cited.
#[derive(Default)]
struct Citations {
    /// `file::function` of the tests whose leading comment cites it.
    tests: BTreeMap<String, BTreeSet<String>>,
    /// Every citation anywhere, with one place for the message.
    anywhere: BTreeMap<String, String>,
}

#[test]
fn the_page_and_the_tests_agree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = root.join("docs/CONFORMANCE.md");
    let mut text = fs::read_to_string(&page).expect("the page");
    let citations = citations_below(&root);
    if std::env::var_os("UPDATE_CONFORMANCE").is_some() {
        text = updated(&text, &citations);
        fs::write(&page, &text).expect("the page can be written");
    }
    let rows = rows_of(&text);
    let mut faults = missing_rows(&rows);
    for row in &rows {
        faults.extend(faults_of(row, &citations));
    }
    let known: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    for (id, place) in &citations.anywhere {
        if !known.contains(id.as_str()) {
            faults.push(format!("{place} cites {id}, which does not exist"));
        }
    }
    report(&rows);
    assert!(
        faults.is_empty(),
        "docs/CONFORMANCE.md:\n  {}",
        faults.join("\n  ")
    );
}

fn missing_rows(rows: &[Row]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut listed: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        *listed.entry(&row.id).or_default() += 1;
    }
    for (family, last) in FAMILIES {
        for number in 1..=last {
            let id = format!("{family}-{number:02}");
            match listed.remove(id.as_str()) {
                Some(1) => {}
                Some(n) => faults.push(format!("{id} is listed {n} times")),
                None => faults.push(format!("{id} is not listed")),
            }
        }
    }
    faults.extend(
        listed
            .keys()
            .map(|id| format!("{id} is listed but belongs to no family")),
    );
    faults
}

fn faults_of(row: &Row, citations: &Citations) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: String| faults.push(format!("line {}: {}: {what}", row.line, row.id));
    if !["MUST", "SHOULD", "MAY", "interop"].contains(&row.level.as_str()) {
        fault(format!("unknown level {:?}", row.level));
    }
    let citing = citations.tests.get(&row.id);
    match row.status.as_str() {
        "met" => {
            let named: Vec<&str> = named_tests(&row.proof).collect();
            if named.is_empty() {
                fault("met, but no test is named".to_owned());
            }
            for test in named {
                if !citing.is_some_and(|tests| tests.contains(test)) {
                    fault(format!("no test {test} cites it"));
                }
            }
        }
        "left" if row.proof.len() < 8 => fault("left without a reason".to_owned()),
        "left" => {}
        other => fault(format!("unknown status {other:?}")),
    }
    faults
}

/// The page's coverage, for those who run the test with `--nocapture`.
fn report(rows: &[Row]) {
    for (family, _) in FAMILIES {
        let of_family = rows
            .iter()
            .filter(|row| row.id.starts_with(&format!("{family}-")));
        let (met, left): (Vec<&Row>, Vec<&Row>) = of_family.partition(|row| row.status == "met");
        println!("{family}: {} met, {} left", met.len(), left.len());
    }
}

// Reading and writing the page

fn rows_of(text: &str) -> Vec<Row> {
    text.lines()
        .enumerate()
        .filter_map(|(at, line)| row(at + 1, line))
        .collect()
}

/// A row of one of the tables; `None` for any other line.
fn row(line: usize, text: &str) -> Option<Row> {
    let cells: Vec<&str> = text
        .strip_prefix("| ")?
        .strip_suffix(" |")?
        .split(" | ")
        .map(str::trim)
        .collect();
    let [id, _role, level, _source, _requirement, status, proof] = cells[..] else {
        return None;
    };
    let is_row = id
        .split_once('-')
        .is_some_and(|(_, number)| number.parse::<u32>().is_ok());
    let own = str::to_owned;
    is_row.then(|| Row {
        line,
        id: own(id),
        level: own(level),
        status: own(status),
        proof: own(proof),
    })
}

fn named_tests(proof: &str) -> impl Iterator<Item = &str> {
    proof.split('`').skip(1).step_by(2)
}

/// The page with the citing tests filled in. Rows that nothing cites stay as they are.
fn updated(text: &str, citations: &Citations) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, line) in text.lines().enumerate() {
        let citing = row(at + 1, line).and_then(|row| Some((citations.tests.get(&row.id)?, row)));
        match citing {
            Some((tests, row)) => {
                let kept = line.strip_suffix(&format!("| {} | {} |", row.status, row.proof));
                let named: Vec<String> = tests
                    .iter()
                    .take(NAMED_MAX)
                    .map(|test| format!("`{test}`"))
                    .collect();
                out += kept.expect("the cells it was read from");
                out += &format!("| met | {} |", named.join(", "));
            }
            None => out += line,
        }
        out.push('\n');
    }
    out
}

// Reading the source tree

fn citations_below(root: &Path) -> Citations {
    let mut citations = Citations::default();
    for crate_dir in ["protocols", "engine", "tools", "perf"] {
        for file in rust_files(&root.join(crate_dir)) {
            // This file's own examples are no citations.
            if file
                .file_name()
                .is_some_and(|name| name == "conformance.rs")
            {
                continue;
            }
            let text = fs::read_to_string(&file).expect("a source file");
            let relative = file
                .strip_prefix(root)
                .unwrap_or(&file)
                .display()
                .to_string();
            cite(&mut citations, &text, &relative, &short_name(&file));
        }
    }
    citations
}

fn cite(citations: &mut Citations, text: &str, path: &str, name: &str) {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for (at, line) in lines.iter().enumerate() {
        for id in ids_in(comment_of(line)) {
            citations
                .anywhere
                .entry(id)
                .or_insert_with(|| format!("{path}:{}", at + 1));
        }
        if *line != "#[test]" {
            continue;
        }
        let Some(function) = lines[at + 1..].iter().find_map(|l| function_name(l)) else {
            continue;
        };
        // The comment, documentation and attributes that stand directly above the attribute.
        let above = lines[..at]
            .iter()
            .rev()
            .take_while(|l| l.starts_with("//") || l.starts_with("#["));
        for id in above.flat_map(|l| ids_in(comment_of(l))) {
            citations
                .tests
                .entry(id)
                .or_default()
                .insert(format!("{name}::{function}"));
        }
    }
}

fn comment_of(line: &str) -> &str {
    line.find("//").map_or("", |at| &line[at..])
}

fn function_name(line: &str) -> Option<&str> {
    let rest = line
        .strip_prefix("fn ")
        .or_else(|| line.strip_prefix("pub fn "))?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
}

/// Requirements named in a comment: `WMSP-12`, and lists and ranges of one family such as
/// `WMSP-12, -14`, `WMSP-12/14`, `WMSP-12 to 14` or `WMSP-12..14`.
fn ids_in(comment: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for (family, _) in FAMILIES {
        let prefix = format!("{family}-");
        for (at, _) in comment.match_indices(&prefix) {
            // `MS-WMSP-...` or `X-ASF-1` are other things.
            if comment[..at].ends_with(|c: char| c.is_alphanumeric() || c == '-') {
                continue;
            }
            let mut rest = &comment[at + prefix.len()..];
            let mut last: Option<u32> = None;
            let mut range = false;
            while let Some((number, after)) = leading_number(rest) {
                let first = if range {
                    last.map_or(number, |l| l + 1)
                } else {
                    number
                };
                ids.extend((first..=number).map(|n| format!("{family}-{n:02}")));
                last = Some(number);
                let Some((is_range, next)) = separator(after, &prefix) else {
                    break;
                };
                (range, rest) = (is_range, next);
            }
        }
    }
    ids
}

fn leading_number(text: &str) -> Option<(u32, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    // No requirement has four digits; years and sizes do.
    (1..=3)
        .contains(&end)
        .then(|| (digits.parse().expect("at most three digits"), rest))
}

/// What may stand between the numbers of a list, and whether it makes a range.
fn separator<'a>(text: &'a str, prefix: &str) -> Option<(bool, &'a str)> {
    const SEPARATORS: [(&str, bool); 5] = [
        (", -", false),
        ("/", false),
        ("..=", true),
        ("..", true),
        (" to ", true),
    ];
    let (separator, is_range) = SEPARATORS
        .iter()
        .find(|(separator, _)| text.starts_with(separator))?;
    let rest = &text[separator.len()..];
    // The family may stand again before the end of a range.
    let rest = if *is_range {
        rest.strip_prefix(prefix).unwrap_or(rest)
    } else {
        rest
    };
    rest.starts_with(|c: char| c.is_ascii_digit())
        .then_some((*is_range, rest))
}

/// The file's stem, or its folder's name where the stem says nothing.
fn short_name(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    if !["mod", "main", "lib", "tests"].contains(&&*stem) {
        return stem.into_owned();
    }
    let folder = file.parent().and_then(Path::file_name).unwrap_or_default();
    folder.to_string_lossy().into_owned()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn citations_are_read_in_every_form() {
    let ids = |comment: &str| ids_in(comment).join(" ");
    assert_eq!(ids("// WMSP-07"), "WMSP-07");
    assert_eq!(
        ids("// WMSP-7, -12: 3 of them, ASF-20"),
        "WMSP-07 WMSP-12 ASF-20"
    );
    assert_eq!(
        ids("// BW-07, BW-01 to BW-03"),
        "BW-07 BW-01 BW-02 BW-03 BW-03"
    );
    assert_eq!(
        ids("// BW-42..44 and WMLOG-01/02"),
        "BW-42 BW-43 BW-44 WMLOG-01 WMLOG-02"
    );
    assert_eq!(
        ids("// WMSP-122 to 124, 3 of them"),
        "WMSP-122 WMSP-123 WMSP-124"
    );
    assert_eq!(ids("// MS-WMSP 2.2, X-ASF-1, ASF-2026"), "");
}

#[test]
fn a_test_is_found_with_the_comment_above_it() {
    let text = "// WMSP-01\n\n/// Doc. WMSP-02\n// WMSP-03\n#[allow(x)]\n#[test]\nfn one() {\n// WMSP-04\n}\n";
    let mut citations = Citations::default();
    cite(&mut citations, text, "a/b.rs", "b");
    let cited: Vec<&String> = citations.tests.keys().collect();
    assert_eq!(cited, ["WMSP-02", "WMSP-03"]);
    assert!(citations.tests["WMSP-02"].contains("b::one"));
    assert_eq!(citations.anywhere["WMSP-04"], "a/b.rs:8");
}
