//! The cookies of a session: push-id, and what else a server wants back (MS-WMHTTP 2.2.1.3, 2.2.1.6).

use std::fmt::Write as _;

const PUSH_ID: &str = "push-id";
/// Value that asks for a new session.
const NEW: &str = "0";
/// Longest push-id.
const PUSH_ID_LEN_MAX: usize = 255;
/// Most other cookies that are kept.
const OTHER_COUNT_MAX: usize = 16;
/// Longest other cookie, name and value.
const OTHER_LEN_MAX: usize = 1024;

/// See the module.
#[derive(Clone)]
pub struct Cookies {
    push_id: String,
    others: Vec<(String, String)>,
}

/// Who knows the push-id can take the session over.
impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cookies(..)")
    }
}

impl Default for Cookies {
    fn default() -> Cookies {
        Cookies {
            push_id: NEW.into(),
            others: Vec::new(),
        }
    }
}

impl Cookies {
    /// Keep what a reply's `Set-Cookie` lines say; the newest value of a name counts. What cannot be
    /// one is passed over.
    // WMHTTP-49
    pub fn take<'a>(&mut self, lines: impl Iterator<Item = &'a str>) {
        for line in lines {
            let pair = line.split(';').next().unwrap_or_default();
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            let (name, value) = (name.trim(), value.trim());
            let visible = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && b != b',');
            if name.is_empty() || !visible(name) || !visible(value) {
                continue;
            }
            if name.eq_ignore_ascii_case(PUSH_ID) {
                if (1..=PUSH_ID_LEN_MAX).contains(&value.len()) {
                    self.push_id = value.to_owned();
                }
            } else if name.len() + value.len() <= OTHER_LEN_MAX {
                self.keep(name, value);
            }
        }
    }

    fn keep(&mut self, name: &str, value: &str) {
        let count = self.others.len();
        match self.others.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value.to_owned(),
            None if count < OTHER_COUNT_MAX => {
                self.others.push((name.to_owned(), value.to_owned()));
            }
            None => {}
        }
    }

    /// Value of `Cookie`.
    // WMHTTP-03
    pub fn header(&self) -> String {
        let mut text = format!("{PUSH_ID}={}", self.push_id);
        for (name, value) in &self.others {
            let _ = write!(text, "; {name}={value}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str]) -> String {
        let mut cookies = Cookies::default();
        cookies.take(lines.iter().copied());
        cookies.header()
    }

    // WMHTTP-03, WMHTTP-49
    #[test]
    fn the_newest_value_counts() {
        assert_eq!(after(&[]), "push-id=0");
        assert_eq!(after(&["push-id=12; path=/; HttpOnly"]), "push-id=12");
        assert_eq!(
            after(&["Push-ID=1", " a = b ;x", "push-id=2", "a=c", "d=="]),
            "push-id=2; a=c; d=="
        );
    }

    #[test]
    fn what_is_no_cookie_is_passed_over() {
        let long = format!("push-id={}", "9".repeat(256));
        let lines = [
            &*long,
            "push-id=",
            "push-id=a b",
            "push-id",
            "=x",
            "a=\u{7f}",
            "",
        ];
        assert_eq!(after(&lines), "push-id=0");
        let long = format!("a={}", "9".repeat(2000));
        let many: Vec<String> = (0..40).map(|n| format!("n{n}=v")).collect();
        let lines: Vec<&str> = std::iter::once(&*long)
            .chain(many.iter().map(|s| &**s))
            .collect();
        assert_eq!(after(&lines).matches("=v").count(), OTHER_COUNT_MAX);
        assert!(!after(&lines).contains("a=9"));
    }
}
