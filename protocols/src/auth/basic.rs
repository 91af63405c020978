//! Basic (RFC 7617): user name and password, as good as in the clear.

use super::{Malformed, Password, base64};

/// Read what follows the scheme's name.
///
/// UTF-8; what is not is taken as Latin-1, which old players send.
///
/// # Errors
/// If it is not base64, or names no user.
pub fn parse(value: &str) -> Result<(String, Password), Malformed> {
    let bytes = base64::decode(value)?;
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|e| e.as_bytes().iter().copied().map(char::from).collect());
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() => {
            Ok((user.to_owned(), Password::new(password.to_owned())))
        }
        Some(_) => Err(Malformed::at(0, "empty user name")),
        None => Err(Malformed::at(0, "no colon between user name and password")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(plain: &[u8]) -> Option<(String, String)> {
        let (user, password) = parse(&base64::encode(plain)).ok()?;
        Some((user, password.reveal().to_owned()))
    }

    #[test]
    fn names_and_passwords() {
        let both = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(read(b"a:b:c"), both("a", "b:c"));
        assert_eq!(read(b"a:"), both("a", ""));
        assert_eq!(read("test:123£".as_bytes()), both("test", "123£"));
        assert_eq!(read(b"test:123\xA3"), both("test", "123£"));
        assert_eq!(read(b":x"), None);
        assert_eq!(read(b"x"), None);
    }
}
