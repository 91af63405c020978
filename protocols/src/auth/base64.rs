//! Base64 (RFC 4648, 4) as headers carry it. Padding may be left out.

use super::Malformed;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// With padding.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut bits = 0u32;
        for i in 0..3 {
            bits = bits << 8 | u32::from(group.get(i).copied().unwrap_or(0));
        }
        for i in 0..4 {
            let six = (bits >> (18 - 6 * i)) & 63;
            out.push(match i <= group.len() {
                true => char::from(ALPHABET[six as usize]),
                false => '=',
            });
        }
    }
    out
}

/// Spaces around it are ignored.
///
/// # Errors
/// Says where a character is not of the alphabet, or that the length is impossible.
pub fn decode(text: &str) -> Result<Vec<u8>, Malformed> {
    let start = text.len() - text.trim_start().len();
    let digits = text.trim().trim_end_matches('=');
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0u32, 0u32);
    for (at, c) in digits.bytes().enumerate() {
        let six = value(c).ok_or(Malformed::at(start + at, "character that is not base64"))?;
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    if count == 6 {
        return Err(Malformed::at(start + digits.len(), "length of base64"));
    }
    Ok(out)
}

fn value(c: u8) -> Option<u8> {
    Some(match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn vectors_of_the_rfc() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), coded);
            assert_eq!(decode(coded).unwrap(), plain.as_bytes());
            assert_eq!(
                decode(coded.trim_end_matches('=')).unwrap(),
                plain.as_bytes()
            );
        }
        assert_eq!(decode(" Zg= "), Ok(b"f".to_vec()));
        assert_eq!(decode("Zm9vY"), Err(Malformed::at(5, "length of base64")));
        assert_eq!(
            decode("Zm 9v").unwrap_err().offset,
            2,
            "no space in the middle"
        );
    }

    proptest! {
        #[test]
        fn round_trip(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&encode(&bytes)), Ok(bytes));
        }

        #[test]
        fn any_text_is_survived(text: String) {
            let _ = decode(&text);
        }
    }
}
