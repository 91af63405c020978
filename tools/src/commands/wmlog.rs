//! `ringcast wmlog`: reads client logs in every form they come in.

use super::read_file;
use crate::output::{Answer, Output};
use protocols::machine::ClientLog;
use protocols::wmlog::{self, Entry, Field, Kind, web};
use serde::Serialize;
use std::path::PathBuf;

/// Largest log file that is read.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Size of the binary log of MMS clients.
const MMSP_BYTES: usize = wmlog::mmsp::CLIENT_LOG_BYTES;

/// Arguments of `wmlog`.
#[derive(clap::Args)]
pub struct Args {
    /// A WMS_*.log file, a line, an XML log, or a binary MMS client log
    file: PathBuf,
    /// Print every field, not only a summary
    #[arg(long)]
    full: bool,
}

#[derive(Serialize)]
struct Line {
    line: usize,
    kind: &'static str,
    valid: bool,
    bad_values: u16,
    broken_relations: u16,
    fields: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extensions: Vec<[String; 3]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
}

/// Exit 0 if every entry can be taken apart, 1 if not. Values that break their grammar are counted
/// only: old players are known for them.
pub fn run(args: &Args, output: Output) -> Answer {
    let bytes = read_file(&args.file, FILE_BYTES_MAX)?;
    let entries = entries_of(&bytes)?;
    let (mut count, mut invalid, mut with_bad_values) = (0, 0, 0);
    let own = is_server_file(&bytes);
    for (number, entry) in entries {
        let line = line_of(number, &entry, own);
        count += 1;
        invalid += usize::from(!line.valid);
        with_bad_values += usize::from(line.bad_values > 0);
        output.print_line(&line, |line| text(line, args.full));
    }
    let summary = serde_json::json!({
        "entries": count,
        "invalid": invalid,
        "with_bad_values": with_bad_values,
    });
    output.print_line(&summary, |_| {
        format!("{count} entries, {invalid} invalid, {with_bad_values} with bad values\n")
    });
    Ok(invalid == 0 && count > 0)
}

fn entries_of(bytes: &[u8]) -> Result<Vec<(usize, Entry)>, String> {
    let parse = |log: ClientLog| wmlog::parse(&log).map_err(|e| e.to_string());
    if bytes.len() == MMSP_BYTES && bytes.starts_with(&(MMSP_BYTES as u32).to_le_bytes()) {
        return Ok(vec![(1, parse(ClientLog::Mmsp(bytes.to_vec()))?)]);
    }
    let text = wmlog::text(bytes);
    if text.trim_start().starts_with('<') {
        return Ok(vec![(1, parse(ClientLog::Xml(text.into_owned()))?)]);
    }
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, l)| !l.starts_with('#') && !l.trim().is_empty());
    Ok(lines
        .map(|(i, line)| {
            let line = web::line(line).unwrap_or(line);
            let entry = parse(ClientLog::W3c(line.to_owned()));
            (i + 1, entry.unwrap_or_else(|e| Entry::invalid(&e)))
        })
        .collect())
}

/// A server's own file names its columns. Their values are the server's, which knows statuses and
/// sizes that no client log may hold.
fn is_server_file(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|&b| b == b'\n').take(64);
    lines.any(|line| line.starts_with(b"#Fields:"))
}

fn line_of(line: usize, entry: &Entry, own: bool) -> Line {
    let fields = Field::ALL
        .iter()
        .filter_map(|&field| Some((field.name().to_owned(), entry.get(field)?.into())));
    let extension = |e: &wmlog::Extension| [e.namespace.clone(), e.name.clone(), e.value.clone()];
    Line {
        line,
        kind: if own && entry.kind == Kind::Rendering {
            "server"
        } else {
            entry.kind.name()
        },
        valid: !entry.defects.invalid,
        bad_values: if own { 0 } else { entry.defects.values },
        broken_relations: entry.defects.relations,
        fields: fields.collect(),
        extensions: entry.extensions.iter().map(extension).collect(),
        raw: entry.raw.clone(),
    }
}

fn text(line: &Line, full: bool) -> String {
    let field = |name: &str| {
        line.fields
            .get(name)
            .and_then(|v| v.as_str())
            .unwrap_or("-")
    };
    if let Some(raw) = &line.raw {
        return format!("{:>5}  invalid: {raw}\n", line.line);
    }
    if !full {
        return format!(
            "{:>5}  {} {} {:<9} {:<15} {:>5} s {:>9} packets, {} lost  {}\n",
            line.line,
            field("date"),
            field("time"),
            line.kind,
            field("c-ip"),
            field("x-duration"),
            field("c-pkts-received"),
            field("c-pkts-lost-client"),
            field("cs-uri-stem"),
        );
    }
    let mut text = format!("{:>5}  {}\n", line.line, line.kind);
    for (name, value) in &line.fields {
        text += &format!("       {name:<24} {}\n", value.as_str().unwrap_or_default());
    }
    for [namespace, name, value] in &line.extensions {
        text += &format!("       {namespace}:{name:<24} {value}\n");
    }
    text
}
