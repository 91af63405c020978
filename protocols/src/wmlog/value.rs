//! Checking values and making them safe to write (wmlog.md 11).

use super::field::{Field, Grammar};
use std::borrow::Cow;
use std::net::IpAddr;

const URL_BYTES_MAX: usize = 4096;
const VERSION_BYTES_MAX: usize = 64;

/// Bytes from a peer as text: UTF-8, or else Windows-1252, which old players use.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|&b| windows_1252(b)).collect()),
    }
}

/// A value of a field, and whether it kept to the field's grammar. Numbers, dates and addresses that
/// do not are dropped; texts are cut and cleaned.
pub(super) fn checked(field: Field, raw: &str) -> (Option<Box<str>>, bool) {
    let raw = raw.trim_matches(|c: char| c.is_ascii_whitespace());
    if raw.is_empty() || raw == "-" {
        return (None, true);
    }
    let keep = |ok: bool| (ok.then(|| Box::from(raw)), ok);
    match field.grammar() {
        Grammar::Number => keep(is_number(raw, u32::MAX.into())),
        Grammar::Percent => keep(is_number(raw, 100)),
        Grammar::Flag => keep(is_number(raw, 1)),
        Grammar::Rate => keep(is_rate(raw)),
        Grammar::Date => keep(is_date(raw)),
        Grammar::Time => keep(is_time(raw)),
        Grammar::Status => match raw.len() == 3 && is_number(raw, 999) {
            true => (Some(raw.into()), raw == "200" || raw == "210"),
            false => (None, false),
        },
        Grammar::Address => match raw.parse::<IpAddr>() {
            Ok(ip) => (Some(ip.to_string().into()), true),
            Err(_) => (None, false),
        },
        Grammar::Version => {
            let numbers = raw.split('.').all(|n| is_number(n, u32::MAX.into()));
            let (value, clean) = cleaned(raw, VERSION_BYTES_MAX, false);
            (value, clean && numbers)
        }
        Grammar::Uri => cleaned(raw, URL_BYTES_MAX, true),
        Grammar::Text(max) => cleaned(raw, max, false),
    }
}

/// Text on one line without control characters, at most `max` bytes; spaces stay.
pub(super) fn one_line(text: &str, max: usize) -> String {
    let line: String = text
        .trim()
        .chars()
        .map(|c| match c {
            ' ' => ' ',
            c if c.is_control() || c.is_whitespace() => '_',
            c => c,
        })
        .collect();
    cut(&line, max).to_owned()
}

fn is_number(text: &str, max: u64) -> bool {
    (1..=10).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit())
        && text.parse::<u64>().is_ok_and(|n| n <= max)
}

fn is_rate(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    whole.len() <= 2 && is_number(whole, 99) && is_number(fraction, u32::MAX.into())
}

/// Three decimal numbers of the given lengths, joined by `separator`.
fn triple(text: &str, separator: char, lens: [usize; 3]) -> Option<[u32; 3]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; 3];
    for (number, len) in numbers.iter_mut().zip(lens) {
        let part = parts
            .next()
            .filter(|p| p.len() == len && is_number(p, 9999))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

pub(super) fn is_date(text: &str) -> bool {
    triple(text, '-', [4, 2, 2])
        .is_some_and(|[_, month, day]| (1..=12).contains(&month) && (1..=31).contains(&day))
}

pub(super) fn is_time(text: &str) -> bool {
    // A leap second is a time too.
    triple(text, ':', [2, 2, 2])
        .is_some_and(|[hour, minute, second]| hour < 24 && minute < 60 && second <= 60)
}

/// No white space, quotes or control characters; at most `max` bytes. In a URI what can be
/// percent-encoded is, elsewhere an underscore stands for it.
fn cleaned(raw: &str, max: usize, uri: bool) -> (Option<Box<str>>, bool) {
    let mut out = String::with_capacity(raw.len().min(max));
    let mut clean = true;
    for c in raw.chars() {
        match c {
            c if c.is_control() => {
                clean = false;
                out.push('_');
            }
            ' ' | '"' if uri => out.push_str(if c == ' ' { "%20" } else { "%22" }),
            c if uri && !c.is_ascii() => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    out.push_str(&format!("%{byte:02X}"));
                }
            }
            '"' => {
                clean = false;
                out.push('_');
            }
            c if c.is_whitespace() => out.push('_'),
            c => out.push(c),
        }
        if out.len() > max {
            let fits = cut(&out, max).len();
            out.truncate(fits);
            clean = false;
            break;
        }
    }
    (Some(out.into()), clean)
}

fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn windows_1252(byte: u8) -> char {
    // The five holes of the code page stay C1 controls and are replaced like those.
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9F => HIGH[usize::from(byte - 0x80)],
        other => char::from(other),
    }
}
