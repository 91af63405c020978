//! Content description lists, and the metadata object that carries one (MS-WMSP 2.2.3.6, 2.2.4).

use std::fmt::Write as _;

/// The type of text values.
pub const LPWSTR: u16 = 31;
/// The type of small signed integers.
pub const I4: u16 = 3;
/// Types that are understood; pairs of others are skipped (WMSP-26).
const KNOWN_TYPES: [u16; 13] = [2, 3, 6, 8, 10, 11, 16, 17, 18, 19, 22, 23, 31];
/// Most pairs of one description.
const PAIRS_MAX: usize = 256;
/// Most descriptions of one list.
const DESCRIPTIONS_MAX: usize = 16;
/// Most bytes of a list that is written.
const LIST_BYTES_MAX: usize = 32 * 1024;

/// A name with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Name.
    pub name: String,
    /// VT code.
    pub vt: u16,
    /// Value as text.
    pub value: String,
}

impl Pair {
    /// A text value.
    pub fn text(name: impl Into<String>, value: impl Into<String>) -> Pair {
        Pair {
            name: name.into(),
            vt: LPWSTR,
            value: value.into(),
        }
    }
}

/// A list that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {at} of the content description list")]
pub struct CdlFault {
    /// Offset.
    pub at: usize,
    /// What was wrong, ending in the field's name.
    pub reason: &'static str,
}

/// Append one description and its CRLF. Lengths count bytes (WMSP-25).
pub fn put(pairs: &[Pair], out: &mut String) {
    for (n, Pair { name, vt, value }) in pairs.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(
            out,
            "{comma}{},{name},{vt},{},{value}",
            name.len(),
            value.len()
        );
    }
    out.push_str("\r\n");
}

/// Read descriptions up to the end of `bytes`.
///
/// Values are taken by their length and may hold commas and line ends. The length of a name is not
/// believed, since the protocol document itself prints `7,language`: a name ends at the next comma.
///
/// # Errors
/// A number that is none, a value that reaches beyond the end, too many pairs.
pub fn parse(bytes: &[u8]) -> Result<Vec<Vec<Pair>>, CdlFault> {
    let mut cursor = Cursor { bytes, at: 0 };
    let mut list = Vec::new();
    while !cursor.rest().is_empty() {
        if list.len() == DESCRIPTIONS_MAX {
            return cursor.fault("too many descriptions");
        }
        list.push(cursor.description()?);
    }
    Ok(list)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }

    fn fault<T>(&self, reason: &'static str) -> Result<T, CdlFault> {
        Err(CdlFault {
            at: self.at,
            reason,
        })
    }

    fn field(&mut self, reason: &'static str) -> Result<&'a [u8], CdlFault> {
        match self.rest().iter().position(|&b| b == b',') {
            Some(n) => {
                let field = &self.rest()[..n];
                self.at += n + 1;
                Ok(field)
            }
            None => self.fault(reason),
        }
    }

    fn number(&mut self, reason: &'static str) -> Result<usize, CdlFault> {
        let at = self.at;
        let field = self.field(reason)?;
        std::str::from_utf8(field)
            .ok()
            .filter(|t| t.len() <= 10 && t.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|t| t.parse().ok())
            .ok_or(CdlFault { at, reason })
    }

    fn description(&mut self) -> Result<Vec<Pair>, CdlFault> {
        let mut pairs = Vec::new();
        loop {
            if pairs.len() == PAIRS_MAX {
                return self.fault("too many pairs");
            }
            self.number("length of a name")?;
            let name = self.field("name")?;
            let vt = self.number("type")?;
            let len = self.number("length of a value")?;
            let Some(value) = self.rest().get(..len) else {
                return self.fault("value");
            };
            self.at += len;
            if let Some(vt) = u16::try_from(vt).ok().filter(|t| KNOWN_TYPES.contains(t)) {
                pairs.push(Pair {
                    name: String::from_utf8_lossy(name).into_owned(),
                    vt,
                    value: String::from_utf8_lossy(value).into_owned(),
                });
            }
            match self.rest() {
                [b',', ..] => self.at += 1,
                [b'\r', b'\n', ..] => {
                    self.at += 2;
                    return Ok(pairs);
                }
                [b'\n', ..] => {
                    self.at += 1;
                    return Ok(pairs);
                }
                [] => return Ok(pairs),
                _ => return self.fault("end of a value"),
            }
        }
    }
}

/// The payload of `$M`: tokens, NUL, and one description if there is anything to describe (WMSP-20).
///
/// Names that hold a comma cannot be written and are left out, as is what goes beyond 32 KiB.
pub fn metadata(
    entry: u32,
    broadcast_id: u32,
    features: &str,
    description: &[(String, String)],
) -> Vec<u8> {
    let mut text =
        format!("playlist-gen-id={entry}, broadcast-id={broadcast_id}, features=\"{features}\"\0");
    let mut pairs = vec![Pair::text("language", "")];
    let mut room = LIST_BYTES_MAX;
    for (name, value) in description {
        let size = name.len() + value.len() + 32;
        if size > room || name.is_empty() || name.contains([',', '\r', '\n', '\0']) {
            continue;
        }
        room -= size;
        pairs.push(Pair {
            name: name.clone(),
            vt: value_type(name),
            value: value.replace('\0', " "),
        });
    }
    if pairs.len() > 1 {
        put(&pairs, &mut text);
    }
    text.into_bytes()
}

/// These names of Windows Media Services carry numbers.
fn value_type(name: &str) -> u16 {
    match name {
        "WMS_CONTENT_DESCRIPTION_PLAYLIST_ENTRY_START_OFFSET"
        | "WMS_CONTENT_DESCRIPTION_PLAYLIST_ENTRY_DURATION"
        | "WMS_CONTENT_DESCRIPTION_COPIED_METADATA_FROM_PLAYLIST_FILE" => I4,
        _ => LPWSTR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // WMSP-20, WMSP-21, WMSP-25
    #[test]
    fn metadata_of_the_reference() {
        let got = metadata(
            7,
            0,
            "seekable,stridable",
            &[("title".into(), "Test".into())],
        );
        assert_eq!(
            got,
            b"playlist-gen-id=7, broadcast-id=0, features=\"seekable,stridable\"\0\
              8,language,31,0,,5,title,31,4,Test\r\n"
        );
        assert_eq!(got.len(), 101);
        assert_eq!(
            metadata(1, 9, "broadcast", &[]),
            b"playlist-gen-id=1, broadcast-id=9, features=\"broadcast\"\0"
        );
    }

    // WMSP-25: lengths count bytes.
    #[test]
    fn lengths_are_bytes() {
        let pairs = vec![
            Pair::text("language", "de"),
            Pair::text("título", "a,b\r\n\u{1F3B5}"),
        ];
        let mut text = String::new();
        put(&pairs, &mut text);
        assert!(text.contains("7,título,31,9,a,b"));
        assert_eq!(parse(text.as_bytes()), Ok(vec![pairs]));
    }

    // WMSP-26
    #[test]
    fn foreign_types_and_wrong_name_lengths_are_tolerated() {
        let list = parse(b"7,language,31,2,en,1,x,77,1,y,9,copyright,31,1,c\r\n").unwrap();
        assert_eq!(
            list,
            [vec![
                Pair::text("language", "en"),
                Pair::text("copyright", "c")
            ]]
        );
    }

    #[test]
    fn damage_is_placed() {
        assert_eq!(parse(b"8,language,31,9,en\r\n").unwrap_err().at, 16);
        assert_eq!(parse(b"x,language,31,0,\r\n").unwrap_err().at, 0);
        assert_eq!(
            parse(b"8,language,31,99999999999999,\r\n").unwrap_err().at,
            14
        );
        assert_eq!(parse(b"8,language,31,0,zz").unwrap_err().at, 16);
        assert_eq!(parse(b"8,lang").unwrap_err().at, 2);
        assert_eq!(parse(b""), Ok(vec![]));
    }
}
