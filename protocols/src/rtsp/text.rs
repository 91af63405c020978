//! What the values of headers are made of.

use super::Fault;

/// A decimal number: digits alone, spaces around them allowed.
pub(super) fn number<T: std::str::FromStr>(
    text: &str,
    production: &'static str,
) -> Result<T, Fault> {
    let at = text.len() - text.trim_start().len();
    let digits = text.trim();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::at(at, production, "no number"));
    }
    digits
        .parse()
        .map_err(|_| Fault::at(at, production, "number out of range"))
}

/// A hexadecimal number of at most `digits_max` digits.
pub(super) fn hex(text: &str, digits_max: usize, production: &'static str) -> Result<u32, Fault> {
    let text = text.trim();
    let digits =
        (1..=digits_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits
        .then(|| u32::from_str_radix(text, 16).ok())
        .flatten()
        .ok_or(Fault::at(0, production, "no hexadecimal number"))
}

/// Thousandths of a decimal fraction without sign; further digits are dropped.
pub(super) fn milli(text: &str, production: &'static str) -> Result<u64, Fault> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return Err(Fault::at(0, production, "no decimal fraction"));
    }
    let out_of_range = Fault::at(0, production, "number out of range");
    let whole: u64 = match whole {
        "" => 0,
        whole => whole.parse().map_err(|_| out_of_range)?,
    };
    let part = fraction
        .bytes()
        .chain(*b"000")
        .take(3)
        .fold(0, |sum, d| sum * 10 + u64::from(d - b'0'));
    whole
        .checked_mul(1000)
        .and_then(|w| w.checked_add(part))
        .ok_or(out_of_range)
}

/// Parts of `text` between separators that stand outside of quotes, each with its offset. Spaces
/// around a part are taken off.
pub(super) fn split(text: &str, separator: u8) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = Some(0);
    std::iter::from_fn(move || {
        let start = rest?;
        let tail = text.get(start..)?;
        let mut quoted = false;
        let end = tail.bytes().position(|b| {
            quoted ^= b == b'"';
            b == separator && !quoted
        });
        let part = end.and_then(|end| tail.get(..end)).unwrap_or(tail);
        rest = end.map(|end| start + end + 1);
        let lead = part.len() - part.trim_start().len();
        Some((start + lead, part.trim()))
    })
}

/// `name=value`, or a name alone; spaces around `=` are taken off.
pub(super) fn pair(text: &str) -> (&str, Option<&str>) {
    match text.split_once('=') {
        Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
        None => (text, None),
    }
}

/// Without the quotes around it, if there are any.
pub(super) fn unquoted(text: &str) -> &str {
    text.strip_prefix('"')
        .and_then(|t| t.strip_suffix('"'))
        .unwrap_or(text)
}
