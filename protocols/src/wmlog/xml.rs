//! The XML form, read by a tolerant scanner: what players send is not always XML (wmlog.md 5, 11).

use super::field::Field;
use super::{Entry, Kind, w3c};
use std::borrow::Cow;

const DEPTH_MAX: usize = 4;

const SUMMARY: &str = "Summary";

/// Read an XML log. Elements go before the Summary, since white space in them is not lost; the
/// Summary fills what has no element. A duplicate element is ignored, an unknown one kept.
pub fn parse(xml: &str) -> Entry {
    let mut reader = Reader::new();
    reader.run(xml);
    reader.finish(xml)
}

/// Write an entry in XML (WMLOG-08, -09, -10): Summary, the 44 common fields, cs-url, content
/// description, extensions.
pub fn write(entry: &Entry) -> String {
    let mut out = String::from("<XML>");
    if entry.kind == Kind::Connect {
        element(&mut out, SUMMARY, "");
        for field in CONNECT {
            element(&mut out, field.name(), entry.get(field).unwrap_or("-"));
        }
    } else {
        element(&mut out, SUMMARY, &w3c::line(entry));
        for &field in Field::common().iter().chain(&[Field::CsUrl]) {
            element(&mut out, field.name(), entry.get(field).unwrap_or("-"));
        }
        extensions(&mut out, entry);
    }
    out.push_str("</XML>");
    out
}

/// Fields of a connect-time log, in order (wmlog.md 5).
const CONNECT: [Field; 8] = [
    Field::CDns,
    Field::CIp,
    Field::COs,
    Field::COsversion,
    Field::Date,
    Field::Time,
    Field::CCpu,
    Field::Transport,
];

/// The element that holds the server's name/value pairs.
pub(super) const DESCRIPTION: &str = "ContentDescription";

fn element(out: &mut String, name: &str, text: &str) {
    out.push('<');
    out.push_str(name);
    out.push('>');
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

/// Extensions grouped by namespace, the content description first, stray fields last.
fn extensions(out: &mut String, entry: &Entry) {
    let mut spaces: Vec<&str> = Vec::new();
    for e in &entry.extensions {
        if !spaces.contains(&e.namespace.as_str()) && is_name(&e.namespace) {
            spaces.push(&e.namespace);
        }
    }
    spaces.sort_by_key(|&s| s != DESCRIPTION);
    for space in spaces {
        out.push_str(&format!("<{space}>"));
        for e in &entry.extensions {
            if e.namespace == space && is_name(&e.name) {
                element(out, &e.name, &e.value);
            }
        }
        out.push_str(&format!("</{space}>"));
    }
    for e in &entry.extensions {
        if e.namespace.is_empty() && is_name(&e.name) {
            element(out, &e.name, &e.value);
        }
    }
}

/// Names that may be written as an element.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

struct Reader<'a> {
    entry: Entry,
    /// Open elements, outermost first.
    open: Vec<&'a str>,
    /// Elements open beyond the depth that is looked at.
    deeper: usize,
    /// Start of the text of the innermost element.
    text: usize,
    seen: [bool; Field::COUNT],
    summary: Option<Cow<'a, str>>,
    rooted: bool,
}

impl<'a> Reader<'a> {
    fn new() -> Reader<'a> {
        Reader {
            entry: Entry::new(Kind::Legacy),
            open: Vec::new(),
            deeper: 0,
            text: 0,
            seen: [false; Field::COUNT],
            summary: None,
            rooted: false,
        }
    }

    fn run(&mut self, xml: &'a str) {
        let mut at = 0;
        while let Some(found) = xml[at..].find('<') {
            let start = at + found;
            let Some(len) = xml[start..].find('>') else {
                break;
            };
            let end = start + len;
            let tag = &xml[start + 1..end];
            let text = &xml[self.text.min(start)..start];
            at = end + 1;
            match tag.as_bytes().first() {
                Some(b'!' | b'?') | None => continue,
                Some(b'/') => self.close(name_of(&tag[1..]), text),
                Some(_) if tag.ends_with('/') => self.empty(name_of(tag), text),
                Some(_) => self.open(name_of(tag), text),
            }
            self.text = at;
        }
    }

    fn open(&mut self, name: &'a str, text: &'a str) {
        // A field has no children: its end tag is missing, or was written as a start tag.
        if self.deeper == 0 && self.open.len() == 2 && is_leaf(self.open[1]) {
            let leaf = self.open[1];
            self.leave(text);
            if leaf.eq_ignore_ascii_case(name) {
                return;
            }
        }
        if self.open.len() < DEPTH_MAX {
            self.rooted |= self.open.is_empty() && name.eq_ignore_ascii_case("XML");
            self.open.push(name);
        } else {
            self.deeper += 1;
        }
    }

    fn empty(&mut self, name: &'a str, text: &'a str) {
        self.open(name, text);
        self.close(name, "");
    }

    fn close(&mut self, name: &str, text: &'a str) {
        if self.deeper > 0 {
            self.deeper -= 1;
            return;
        }
        let Some(depth) = self.open.iter().rposition(|n| n.eq_ignore_ascii_case(name)) else {
            return;
        };
        self.leave(text);
        self.open.truncate(depth);
    }

    /// The innermost element ends with this text.
    fn leave(&mut self, text: &'a str) {
        match self.open[..] {
            [_, name] => self.child(name, unescape(text.trim())),
            [_, space, name] if !text.trim().is_empty() => {
                self.entry.extend(space, name, &unescape(text.trim()));
            }
            _ => {}
        }
        self.open.pop();
    }

    fn child(&mut self, name: &'a str, text: Cow<'a, str>) {
        if name.eq_ignore_ascii_case(SUMMARY) {
            self.summary.get_or_insert(text);
        } else if let Some(field) = Field::from_name(name) {
            // The first wins.
            if !std::mem::replace(&mut self.seen[field as usize], true) {
                self.entry.set(field, &text);
            }
        } else if !text.is_empty() {
            self.entry.extend("", name, &text);
        }
    }

    fn finish(mut self, xml: &'a str) -> Entry {
        if !self.rooted || (self.summary.is_none() && !self.seen.contains(&true)) {
            return Entry::invalid(xml);
        }
        let mut entry = self.entry;
        let mut tail = 0;
        match self.summary.take().filter(|s| !s.is_empty()) {
            None => {
                let common = self.seen[Field::CsUriStem as usize];
                entry.kind = if common { Kind::Legacy } else { Kind::Connect };
            }
            Some(summary) => {
                let line = w3c::parse(&summary);
                if line.defects.invalid {
                    entry.defects.values = entry.defects.values.saturating_add(1);
                } else {
                    tail = match summary.split_ascii_whitespace().count() {
                        44 => 0,
                        52 => 8,
                        _ => 3,
                    };
                    for field in Field::ALL {
                        if !self.seen[field as usize] {
                            entry.values[field as usize] = line.values[field as usize].clone();
                        }
                    }
                }
                tail = tail.max(if entry.get(Field::CsUrl).is_some() {
                    3
                } else {
                    0
                });
                entry.kind = w3c::kind(&entry, tail);
            }
        }
        entry.check_relations();
        entry
    }
}

/// Elements that hold text only.
fn is_leaf(name: &str) -> bool {
    name.eq_ignore_ascii_case(SUMMARY) || Field::from_name(name).is_some()
}

/// The name at the start of a tag; attributes are not looked at.
fn name_of(tag: &str) -> &str {
    let end = tag
        .find(|c: char| c.is_ascii_whitespace() || c == '/')
        .unwrap_or(tag.len());
    &tag[..end]
}

fn unescape(text: &str) -> Cow<'_, str> {
    const ENTITIES: [(&str, char); 5] = [
        ("amp;", '&'),
        ("lt;", '<'),
        ("gt;", '>'),
        ("quot;", '"'),
        ("apos;", '\''),
    ];
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('&');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        match ENTITIES.iter().find(|(name, _)| part.starts_with(name)) {
            Some((name, c)) => {
                out.push(*c);
                out.push_str(&part[name.len()..]);
            }
            // A bare ampersand.
            None => {
                out.push('&');
                out.push_str(part);
            }
        }
    }
    Cow::Owned(out)
}
