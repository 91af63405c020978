//! Announcement files, .asx and its relatives (playlists.md 2, 8): written strictly, read leniently,
//! because what is found in the wild is rarely XML.

use std::fmt::Write as _;

/// Media type of an .asx.
pub const CONTENT_TYPE: &str = "video/x-ms-asf";

/// Largest file that is read, bytes.
pub const BYTES_MAX: usize = 256 * 1024;

/// Most references that are read out of one file.
pub const REFERENCE_COUNT_MAX: usize = 1024;

/// One announced content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announcement<'a> {
    /// The same content by several URLs, to be tried in this order. At least one.
    pub urls: &'a [String],
    /// Shown while playing.
    pub title: Option<&'a str>,
    /// Shown while playing.
    pub author: Option<&'a str>,
    /// Shown while playing.
    pub copyright: Option<&'a str>,
    /// Where players post their logs, if not to the media server.
    pub log_url: Option<&'a str>,
}

/// An announcement file (PL-01, PL-02).
pub fn announcement(what: &Announcement<'_>) -> String {
    announcement_of(std::slice::from_ref(what))
}

/// An announcement file of several contents, played one after another.
pub fn announcement_of(entries: &[Announcement<'_>]) -> String {
    let mut out = String::from("<ASX VERSION=\"3.0\">\r\n");
    let foreign = |t: &(&str, Option<&str>)| t.1.is_some_and(|t| !t.is_ascii());
    if entries.iter().any(|what| texts(what).iter().any(foreign)) {
        out.push_str("<PARAM NAME=\"Encoding\" VALUE=\"utf-8\"/>\r\n");
    }
    for what in entries {
        write_entry(what, &mut out);
    }
    out.push_str("</ASX>\r\n");
    out
}

fn texts<'a>(what: &Announcement<'a>) -> [(&'static str, Option<&'a str>); 3] {
    [
        ("TITLE", what.title),
        ("AUTHOR", what.author),
        ("COPYRIGHT", what.copyright),
    ]
}

fn write_entry(what: &Announcement<'_>, out: &mut String) {
    out.push_str("<ENTRY>\r\n");
    for (name, text) in texts(what) {
        if let Some(text) = text {
            let _ = write!(out, "<{name}>{}</{name}>\r\n", escaped(text));
        }
    }
    if let Some(url) = what.log_url {
        let _ = write!(out, "<LOGURL HREF=\"{}\"/>\r\n", escaped_url(url));
    }
    for url in what.urls {
        let _ = write!(out, "<REF HREF=\"{}\"/>\r\n", escaped_url(url));
    }
    out.push_str("</ENTRY>\r\n");
}

/// What a metafile lists, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// One content: alternatives to be tried in order (PL-03). Never empty.
    Entry(Vec<Reference>),
    /// Another metafile whose entries stand here.
    Include(String),
}

/// One URL of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reference {
    /// As written, entities resolved.
    pub url: String,
    /// Where to start, ms.
    pub start_ms: Option<u32>,
    /// How much to play, ms.
    pub duration_ms: Option<u32>,
}

/// What is listed in an ASX or `[Reference]` file; `None` if it is neither, or too large.
pub fn read(text: &str) -> Option<Vec<Item>> {
    if text.len() > BYTES_MAX {
        return None;
    }
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if starts_with(text, "<ASX") {
        Some(read_asx(text))
    } else if starts_with(text, "[Reference]") {
        Some(read_references(text))
    } else {
        None
    }
}

/// A time as metafiles write it, `[[hh:]mm:]ss[.fract]`, in ms.
pub fn time_ms(text: &str) -> Option<u32> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let mut seconds = 0u64;
    for (i, part) in whole.split(':').enumerate() {
        let number: u64 = part.parse().ok().filter(|_| digits(part) && i < 3)?;
        // Minutes and seconds that follow something are bounded by it.
        if i > 0 && number > 59 {
            return None;
        }
        seconds = seconds.checked_mul(60)?.checked_add(number)?;
    }
    if !digits(fraction) {
        return None;
    }
    let ms: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    u32::try_from(seconds.checked_mul(1000)?.checked_add(ms)?).ok()
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

fn read_references(text: &str) -> Vec<Item> {
    let urls = text.lines().filter_map(|line| {
        let (name, url) = line.split_once('=')?;
        let number = name.trim().get(3..)?;
        let numbered = starts_with(name.trim(), "Ref")
            && !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit());
        let url = url.trim();
        (numbered && !url.is_empty()).then(|| Reference {
            url: url.to_owned(),
            ..Reference::default()
        })
    });
    let references: Vec<Reference> = urls.take(REFERENCE_COUNT_MAX).collect();
    match references.is_empty() {
        true => Vec::new(),
        false => vec![Item::Entry(references)],
    }
}

fn read_asx(text: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut entry = Vec::new();
    // Times that hold for the whole entry, and whether a REF is open whose own they would be.
    let mut times = (None, None);
    let mut in_ref = false;
    let mut count = 0;
    for tag in Tags(text) {
        if count == REFERENCE_COUNT_MAX {
            break;
        }
        let is = |name: &str| tag.name.eq_ignore_ascii_case(name);
        if is("ENTRY") || is("/ENTRY") {
            close_entry(&mut entry, std::mem::take(&mut times), &mut items);
            in_ref = false;
        } else if is("/REF") {
            in_ref = false;
        } else if is("REF") {
            if let Some(url) = tag.attribute("HREF").filter(|u| !u.is_empty()) {
                count += 1;
                in_ref = !tag.empty;
                entry.push(Reference {
                    url,
                    ..Reference::default()
                });
            }
        } else if is("ENTRYREF") {
            if let Some(url) = tag.attribute("HREF").filter(|u| !u.is_empty()) {
                count += 1;
                close_entry(&mut entry, std::mem::take(&mut times), &mut items);
                items.push(Item::Include(url));
            }
        } else if is("STARTTIME") || is("DURATION") {
            let value = tag.attribute("VALUE").and_then(|v| time_ms(&v));
            let (start, duration) = match entry.last_mut().filter(|_| in_ref) {
                Some(r) => (&mut r.start_ms, &mut r.duration_ms),
                None => (&mut times.0, &mut times.1),
            };
            *(if is("STARTTIME") { start } else { duration }) = value;
        }
    }
    close_entry(&mut entry, times, &mut items);
    items
}

fn close_entry(
    entry: &mut Vec<Reference>,
    (start, duration): (Option<u32>, Option<u32>),
    items: &mut Vec<Item>,
) {
    if entry.is_empty() {
        return;
    }
    let mut references = std::mem::take(entry);
    for r in &mut references {
        r.start_ms = r.start_ms.or(start);
        r.duration_ms = r.duration_ms.or(duration);
    }
    items.push(Item::Entry(references));
}

/// A start or end tag; the name of an end tag begins with a slash.
struct Tag<'a> {
    name: &'a str,
    attributes: &'a str,
    empty: bool,
}

impl Tag<'_> {
    fn attribute(&self, wanted: &str) -> Option<String> {
        let mut rest = self.attributes;
        loop {
            let (name, after) = rest.split_once('=')?;
            // A value may stand before this name; a name never holds white space.
            let name = name.split_ascii_whitespace().next_back()?;
            let after = after.trim_start();
            let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
            let (value, next) = match quote {
                Some(quote) => {
                    let inner = after.get(1..)?;
                    inner.split_once(quote).unwrap_or((inner, ""))
                }
                None => after
                    .split_once(|c: char| c.is_ascii_whitespace())
                    .unwrap_or((after, "")),
            };
            if name.eq_ignore_ascii_case(wanted) {
                return Some(unescaped(value.trim()));
            }
            rest = next;
        }
    }
}

/// The tags of a text; comments and what cannot be a tag are passed over.
struct Tags<'a>(&'a str);

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        loop {
            let (_, rest) = self.0.split_once('<')?;
            if let Some(comment) = rest.strip_prefix("!--") {
                self.0 = comment.split_once("-->")?.1;
                continue;
            }
            let end = end_of_tag(rest)?;
            let (tag, after) = (&rest[..end], &rest[end + 1..]);
            self.0 = after;
            let empty = tag.ends_with('/');
            let tag = tag.strip_suffix('/').unwrap_or(tag);
            let (name, attributes) = tag
                .split_once(|c: char| c.is_ascii_whitespace())
                .unwrap_or((tag, ""));
            return Some(Tag {
                name,
                attributes,
                empty,
            });
        }
    }
}

/// Where the tag ends: a `>` inside a quoted value is part of it, unless the quote never ends.
fn end_of_tag(rest: &str) -> Option<usize> {
    let mut quote = None;
    for (at, b) in rest.bytes().enumerate() {
        match (quote, b) {
            (None, b'>') => return Some(at),
            (None, b'"' | b'\'') => quote = Some(b),
            (Some(q), b) if q == b => quote = None,
            _ => {}
        }
    }
    rest.find('>')
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A URL in ASCII for an attribute.
fn escaped_url(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    for byte in url.bytes() {
        match byte {
            b'&' => out.push_str("&amp;"),
            b'<' | b'>' | b'"' | b'\'' | b' ' | 0..=0x1F | 0x7F.. => {
                let _ = write!(out, "%{byte:02X}");
            }
            byte => out.push(char::from(byte)),
        }
    }
    out
}

fn unescaped(text: &str) -> String {
    let mut out = text.to_owned();
    // The ampersand last, so that nothing is resolved twice.
    for (entity, c) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ] {
        if out.contains(entity) {
            out = out.replace(entity, c);
        }
    }
    out
}
