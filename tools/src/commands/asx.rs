//! `ringcast asx`: what a metafile points to.

use super::read_file;
use crate::output::{Answer, Output, clock};
use protocols::playlist::asx::{self, Item};
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `asx`.
#[derive(clap::Args)]
pub struct Args {
    /// The .asx, .wax, .wvx or [Reference] file
    file: PathBuf,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Listed {
    Entry(Vec<Alternative>),
    Include(String),
}

#[derive(Serialize)]
struct Alternative {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u32>,
}

/// Exit 0 if it lists something, 1 if it is no metafile or lists nothing.
pub fn run(args: &Args, output: Output) -> Answer {
    let bytes = read_file(&args.file, asx::BYTES_MAX as u64)?;
    let items = asx::read(&protocols::wmlog::text(&bytes));
    let known = items.is_some();
    let listed: Vec<Listed> = items.unwrap_or_default().into_iter().map(listed).collect();
    let path = args.file.display().to_string();
    let value = serde_json::json!({ "file": path, "metafile": known, "items": listed });
    output.print(&value, |_| match (known, listed.is_empty()) {
        (false, _) => format!("{path}: neither ASX nor [Reference]\n"),
        (true, true) => format!("{path}: lists nothing\n"),
        _ => text(&listed),
    });
    Ok(!listed.is_empty())
}

fn listed(item: Item) -> Listed {
    match item {
        Item::Include(url) => Listed::Include(url),
        Item::Entry(references) => {
            let alternative = |r: asx::Reference| Alternative {
                url: r.url,
                start_ms: r.start_ms,
                duration_ms: r.duration_ms,
            };
            Listed::Entry(references.into_iter().map(alternative).collect())
        }
    }
}

fn text(listed: &[Listed]) -> String {
    let mut text = String::new();
    for (i, item) in listed.iter().enumerate() {
        match item {
            Listed::Include(url) => text += &format!("{:>3}  include {url}\n", i + 1),
            Listed::Entry(alternatives) => {
                for (j, a) in alternatives.iter().enumerate() {
                    let number = if j == 0 {
                        (i + 1).to_string()
                    } else {
                        "or".to_owned()
                    };
                    text += &format!("{number:>3}  {}", a.url);
                    if let Some(ms) = a.start_ms {
                        text += &format!("  from {}", clock(ms.into()));
                    }
                    if let Some(ms) = a.duration_ms {
                        text += &format!("  for {}", clock(ms.into()));
                    }
                    text.push('\n');
                }
            }
        }
    }
    text
}
