//! The W3C form: values in the order of the fields, one space between them.

use super::field::{Field, Grammar};
use super::value;
use super::{Entry, Kind};

/// What a web server's log resource is sent in front of the line.
pub(crate) const WEB_PREFIX: &str = "MX_STATS_LogLine:";

const COMMON: usize = 44;
/// Column of `cs-User-Agent`, the one field in which raw white space is found.
const USER_AGENT: usize = 12;
/// Fields after the common ones in the three lines that exist.
const TAILS: [usize; 3] = [0, 3, 8];

/// Read a line of 44, 47 or 52 values (WMLOG-01, -03). White space of any length separates; a user
/// agent with spaces is put together again (WMLOG-49). Anything else gives an invalid entry.
pub fn parse(line: &str) -> Entry {
    let line = line.trim_start();
    let line = line.strip_prefix(WEB_PREFIX).unwrap_or(line);
    // A line with more tokens than this is not worth taking apart.
    let tokens: Vec<&str> = line.split_ascii_whitespace().take(512).collect();
    let Some((tail, sound)) = shape(&tokens) else {
        return Entry::invalid(line);
    };
    let extra = tokens.len() - COMMON - tail;
    let mut entry = Entry::new(Kind::Legacy);
    entry.defects.recovered = extra > 0;
    for (column, &field) in fields(tail).iter().enumerate() {
        match column {
            USER_AGENT => entry.set(field, &tokens[USER_AGENT..=USER_AGENT + extra].join("_")),
            0..USER_AGENT => entry.set(field, tokens[column]),
            _ => entry.set(field, tokens[column + extra]),
        }
    }
    if !sound {
        entry.defects.values = entry.defects.values.saturating_add(1);
    }
    entry.kind = kind(&entry, tail);
    entry.check_relations();
    entry
}

/// Write an entry as a line: 44 values, 47 with the optional triple, 52 for a Rendering log that
/// goes to a media server (WMLOG-02, -03, -04).
pub fn line(entry: &Entry) -> String {
    let tail = match entry.kind {
        Kind::Rendering => 8,
        _ if entry.has_triple() => 3,
        _ => 0,
    };
    join(entry, tail)
}

/// The line for a web server, which never has 52 values.
pub fn web_line(entry: &Entry) -> String {
    join(entry, if entry.has_triple() { 3 } else { 0 })
}

fn join(entry: &Entry, tail: usize) -> String {
    let values: Vec<&str> = fields(tail)
        .iter()
        .map(|&field| entry.get(field).unwrap_or("-"))
        .collect();
    values.join(" ")
}

fn fields(tail: usize) -> Vec<Field> {
    let mut fields = Field::common().to_vec();
    match tail {
        0 => {}
        3 => fields.extend(Field::TRIPLE),
        _ => fields.extend_from_slice(&Field::ALL[COMMON..]),
    }
    fields
}

/// How many values follow the common ones, and whether the line makes sense read so. A count that
/// fits exactly goes first, then a spread user agent; an exact count is taken even if nothing makes
/// sense.
fn shape(tokens: &[&str]) -> Option<(usize, bool)> {
    let exact = TAILS.into_iter().find(|t| tokens.len() == COMMON + t);
    if let Some(tail) = exact.filter(|&t| makes_sense(tokens, t)) {
        return Some((tail, true));
    }
    TAILS
        .into_iter()
        .find(|&t| tokens.len() > COMMON + t && makes_sense(tokens, t))
        .map(|tail| (tail, true))
        .or(exact.map(|tail| (tail, false)))
}

/// Date and time where they should be counted from the left, transport and all numbers from the
/// right.
fn makes_sense(tokens: &[&str], tail: usize) -> bool {
    let extra = tokens.len() - COMMON - tail;
    let left = value::is_date(tokens[Field::Date as usize])
        && value::is_time(tokens[Field::Time as usize]);
    left && fields(tail).iter().enumerate().all(|(column, &field)| {
        if column <= USER_AGENT {
            return true;
        }
        let token = tokens[column + extra];
        match field.grammar() {
            _ if token == "-" => true,
            Grammar::Number | Grammar::Percent | Grammar::Flag => value::checked(field, token).1,
            _ if field == Field::Transport => token == "TCP" || token == "UDP",
            _ => true,
        }
    })
}

/// A line does not name its log; the overrides of wmlog.md 4 tell.
pub(super) fn kind(entry: &Entry, tail: usize) -> Kind {
    let cached = entry.get(Field::Protocol) == Some("Cache");
    let codecs = entry.get(Field::Audiocodec).is_some() || entry.get(Field::Videocodec).is_some();
    match tail {
        8 => Kind::Rendering,
        _ if cached && entry.get(Field::Transport).is_none() => Kind::Rendering,
        3 if !codecs && entry.get(Field::CsUrl).is_some() => Kind::Streaming,
        _ => Kind::Legacy,
    }
}
