//! From a URL path to a file inside a directory, and never outside of it.
//!
//! Two fences: the text is decoded once and refused if it names anything but plain descending
//! segments, and the kernel resolves it beneath the directory (`openat2`), so that no symbolic
//! link leads out either.

use crate::rt;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Longest decoded path, bytes.
pub const PATH_BYTES_MAX: usize = 1024;

/// Decode a URL path (`/a/b%20c`, no query) into segments. `None` if it is not a plain path:
/// bad escapes, empty or dot segments, separators or control characters in disguise.
pub fn segments(path: &str) -> Option<Vec<String>> {
    if path.len() > 3 * PATH_BYTES_MAX {
        return None;
    }
    let path = path.strip_prefix('/')?;
    if path.is_empty() {
        return Some(Vec::new());
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').map(segment).collect()
}

fn segment(raw: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let [high, low, after @ ..] = tail else {
                return None;
            };
            let digit = |c: &u8| char::from(*c).to_digit(16);
            bytes.push((digit(high)? * 16 + digit(low)?) as u8);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    let plain = !text.is_empty()
        && text.len() <= 255
        && !text.starts_with('.')
        && !text
            .chars()
            .any(|c| c.is_control() || matches!(c, '/' | '\\' | ':'));
    plain.then_some(text)
}

/// A directory that files are opened beneath.
pub struct Root {
    fd: OwnedFd,
    /// Where it is, for messages and caches.
    pub path: PathBuf,
}

impl Root {
    /// Open the directory.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(path: &Path) -> io::Result<Root> {
        let dir = File::open(path)?;
        if !dir.metadata()?.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                "not a directory",
            ));
        }
        Ok(Root {
            fd: dir.into(),
            path: path.to_path_buf(),
        })
    }

    /// Open a regular file beneath it. Blocks on the disk.
    ///
    /// # Errors
    /// `NotFound` also for anything that is not a regular file; `CrossesDevices` when a link
    /// leads outside.
    pub fn open_file(&self, segments: &[String]) -> io::Result<File> {
        let relative = CString::new(segments.join("/"))
            .map_err(|_| io::Error::new(io::ErrorKind::NotFound, "NUL in path"))?;
        let file = rt::open_beneath(&self.fd, &relative)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "not a regular file",
            ));
        }
        Ok(file)
    }

    /// Names of the regular files directly in it, sorted, at most `count_max`.
    pub fn list(&self, count_max: usize) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.path) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|e| e.file_type().is_ok_and(|t| t.is_file()))
            .filter_map(|e| e.file_name().into_string().ok())
            .filter(|n| !n.starts_with('.') && !n.ends_with(".rcx"))
            .take(count_max)
            .collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_decoded_once() {
        assert_eq!(segments("/"), Some(vec![]));
        assert_eq!(
            segments("/vod/a%20b.wmv"),
            Some(vec!["vod".into(), "a b.wmv".into()])
        );
        assert_eq!(segments("/vod/"), Some(vec!["vod".into()]));
        assert_eq!(
            segments("/vod/%C3%A4.wma"),
            Some(vec!["vod".into(), "ä.wma".into()])
        );
        assert_eq!(
            segments("/a%2525"),
            Some(vec!["a%25".into()]),
            "decoded once, not twice"
        );
    }

    #[test]
    fn every_trick_is_refused() {
        for trick in [
            "",
            "vod",
            "//",
            "/a//b",
            "/..",
            "/../x",
            "/a/../b",
            "/%2e%2e/x",
            "/%2E%2e%2fx",
            "/a%2fb",
            "/a%5cb",
            "/a\\..\\b",
            "/a%00b",
            "/a%0ab",
            "/%",
            "/%2",
            "/%zz",
            "/a%ff",
            "/.hidden",
            "/a/./b",
            "/c:/x",
            "/..%c0%af",
            "/%c0%ae%c0%ae/x",
        ] {
            assert_eq!(segments(trick), None, "{trick}");
        }
        assert_eq!(segments(&format!("/{}", "a".repeat(300))), None);
        assert_eq!(segments(&format!("/{}", "a/".repeat(3000))), None);
    }

    #[test]
    fn links_may_stay_inside_and_not_lead_out() {
        let dir = std::env::temp_dir().join(format!("ringcast-path-{}", std::process::id()));
        let content = dir.join("content");
        std::fs::create_dir_all(content.join("sub")).unwrap();
        std::fs::write(content.join("a.wmv"), b"x").unwrap();
        std::fs::write(dir.join("secret"), b"s").unwrap();
        for (target, link) in [
            ("a.wmv", "in.wmv"),
            ("../secret", "out.wmv"),
            ("/etc/passwd", "abs.wmv"),
            ("..", "up"),
        ] {
            std::os::unix::fs::symlink(target, content.join(link)).unwrap();
        }
        let root = Root::open(&content).unwrap();
        let open = |names: &[&str]| {
            root.open_file(&names.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
        };
        assert!(open(&["a.wmv"]).is_ok());
        assert!(open(&["in.wmv"]).is_ok());
        for outside in [
            &["out.wmv"][..],
            &["abs.wmv"],
            &["up", "secret"],
            &["..", "secret"],
        ] {
            let error = open(outside).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EXDEV), "{outside:?}");
        }
        assert!(open(&["sub"]).is_err(), "a directory is no content");
        assert!(open(&["none"]).is_err());
        assert_eq!(root.list(10), ["a.wmv"]);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
