//! Where a redirection may lead: URLs of MMS, not percent-encoded (MMSP-46).

/// Longest URL that cbLocation can count, UTF-16 units without the NUL.
const UNITS_MAX: usize = 32_766;

/// The URL as clients of MMS can follow it, or `None` if they cannot.
///
/// `http` and `rtsp` become `mms`, which stands for "whatever works" in players, but only where no port
/// is given: it would be that of the other protocol.
pub(super) fn location(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let scheme = match &*scheme {
        "mms" | "mmst" | "mmsu" => &*scheme,
        "http" | "rtsp" | "rtspt" | "rtspu" | "mmsh" if !has_port(authority) => "mms",
        _ => return None,
    };
    let path = decoded(path)?;
    let plain = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    let url = format!("{scheme}://{authority}{path}");
    (plain(authority) && plain(&url) && url.encode_utf16().count() <= UNITS_MAX).then_some(url)
}

fn has_port(authority: &str) -> bool {
    let host = authority.rsplit('@').next().unwrap_or_default();
    // The colons of an IPv6 address stand in brackets.
    let behind = host.rsplit(']').next().unwrap_or_default();
    behind.contains(':')
}

/// Without percent-encoding; `None` if that is no text.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match escape(*first, tail) {
            Some((byte, after)) => {
                bytes.push(byte);
                rest = after;
            }
            None => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).ok()
}

fn escape(first: u8, tail: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, after @ ..] = tail else {
        return None;
    };
    let digit = |c: &u8| char::from(*c).to_digit(16);
    match first {
        b'%' => Some((u8::try_from(digit(high)? * 16 + digit(low)?).ok()?, after)),
        _ => None,
    }
}

/// A name as the path of a URL: what is no plain character of a path is percent-encoded, and so is
/// `%` unless `keep_escapes` is set and it begins an escape.
pub(super) fn encoded(name: &str, keep_escapes: bool) -> String {
    use std::fmt::Write;
    let mut path = String::with_capacity(name.len() + 8);
    let bytes = name.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let tail = bytes.get(at + 1..).unwrap_or_default();
        let kept = keep_escapes && escape(*byte, tail).is_some();
        let plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(byte);
        if plain || kept {
            path.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    // MMSP-46
    #[test]
    fn only_mms_is_redirected_to() {
        let to = |url: &str| location(url).unwrap_or_default();
        assert_eq!(to("mmst://b:99/c%20d?x=1"), "mmst://b:99/c d?x=1");
        assert_eq!(to("MMSU://b/c"), "mmsu://b/c");
        assert_eq!(to("http://b/c%C3%A9"), "mms://b/cé");
        assert_eq!(to("rtsp://[::1]/c"), "mms://[::1]/c");
        assert_eq!(to("rtspt://b"), "mms://b");
        for refused in [
            "http://b:8080/c",
            "rtsp://[::1]:554/c",
            "https://b/c",
            "mms:/b",
            "mms:///c",
            "/c",
            "",
            "mms://b/%0A",
            "mms://b/%FF",
        ] {
            assert_eq!(location(refused), None, "{refused}");
        }
        let long = format!("mms://b/{}", "x".repeat(32_758));
        assert_eq!(location(&long).map(|l| l.len()), Some(32_766));
        assert_eq!(location(&format!("{long}x")), None);
    }

    // MMSP-43
    #[test]
    fn names_become_paths() {
        assert_eq!(encoded("a b/é.wmv", false), "a%20b/%C3%A9.wmv");
        assert_eq!(encoded("a%20b%2", false), "a%2520b%252");
        assert_eq!(encoded("a%20b%2 #", true), "a%20b%252%20%23");
        assert_eq!(decoded("a%20b%2%zz"), Some("a b%2%zz".into()));
        assert_eq!(decoded("%FF"), None);
    }
}
