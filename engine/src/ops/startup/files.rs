//! Sources of points, and directories that are written.

use super::Finding;
use crate::ops::config::{AuthMethod, Config, PointKind};
use crate::ops::sys;
use crate::policy::ha1_for;
use crate::policy::users::{self, Users};
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Whether every enabled point's source can be read. A point without its source does not keep the
/// others from starting.
pub(super) fn points(config: &Config) -> Vec<Finding> {
    let enabled = config
        .points
        .iter()
        .filter(|p| p.enabled && p.redirect.is_none());
    let broken = enabled.flat_map(|point| {
        let listed = point.source.paths().len() > 1;
        point.source.paths().iter().filter_map(move |path| {
            let what = match readable(path) {
                Ok(Shape::Directory) if point.kind == PointKind::Broadcast => {
                    format!("source {} is a directory", path.display())
                }
                Ok(_) => return None,
                Err(e) => format!("source {}: {}", path.display(), reason(&e)),
            };
            let mend = match point.kind {
                PointKind::Broadcast if listed => "it is skipped until it is a readable ASF file",
                PointKind::Broadcast => {
                    "the point is unavailable until its source is a readable ASF file"
                }
                PointKind::OnDemand => {
                    "the point is unavailable until its source is a readable file or directory"
                }
            };
            Some(Finding::warning(
                format!("point \"{}\": {what}", point.name),
                mend,
            ))
        })
    });
    broken.collect()
}

/// Whether users files can be read, have somebody for each scheme that is offered, and are nobody
/// else's to read.
pub(super) fn users(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut exposed = Vec::new();
    for point in &config.points {
        let Some(auth) = &point.auth else { continue };
        let known = match Users::load(&auth.users) {
            Ok(known) => known,
            Err(e) => {
                findings.push(Finding::fatal(
                    format!("point \"{}\": {e}", point.name),
                    "make it with \"ringcast passwd\" and give it to the server's user",
                ));
                continue;
            }
        };
        for method in &auth.methods {
            let able = known.iter().any(|user| match method {
                AuthMethod::Basic => user.argon2.is_some(),
                AuthMethod::Digest => ha1_for(user, &auth.realm).is_some(),
                AuthMethod::Ntlm => user.nt_hash.is_some(),
            });
            if !able {
                let (name, method) = (&point.name, method.name());
                findings.push(Finding::warning(
                    format!("point \"{name}\": nobody in {} can use {method}", auth.users.display()),
                    format!(
                        "set passwords with \"ringcast passwd --realm '{}'\", or leave {method} out of methods",
                        auth.realm
                    ),
                ));
            }
        }
        if users::is_exposed(&auth.users) && !exposed.contains(&&auth.users) {
            exposed.push(&auth.users);
            findings.push(Finding::warning(
                format!(
                    "users file {} can be read by everybody",
                    auth.users.display()
                ),
                "its hashes are as good as passwords: chmod o= it",
            ));
        }
    }
    findings
}

/// Whether directories that are written can be written. Missing ones are made at the start.
pub(super) fn directories(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(directory) = &config.log.directory
        && let Err(e) = writable(directory)
    {
        findings.push(Finding::fatal(
            format!("log.directory {}: {}", directory.display(), reason(&e)),
            "make it and give it to the server's user (systemd: LogsDirectory=ringcast)",
        ));
    }
    if let Some(directory) = &config.server.cache_dir
        && let Err(e) = writable(directory)
    {
        findings.push(Finding::warning(
            format!("server.cache_dir {}: {}", directory.display(), reason(&e)),
            "make it and give it to the server's user (systemd: CacheDirectory=ringcast); \
             until then files are scanned after each start",
        ));
    }
    findings
}

enum Shape {
    File,
    Directory,
}

fn readable(path: &Path) -> io::Result<Shape> {
    if fs::metadata(path)?.is_dir() {
        fs::read_dir(path)?;
        return Ok(Shape::Directory);
    }
    File::open(path)?;
    Ok(Shape::File)
}

/// Looks at the directory, or at the nearest one above it that exists.
fn writable(directory: &Path) -> io::Result<()> {
    let existing = directory
        .ancestors()
        .find(|d| d.as_os_str().is_empty() || d.exists());
    let existing = existing
        .filter(|d| !d.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if !existing.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    sys::may_write(existing)
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".into(),
        io::ErrorKind::PermissionDenied => "may not be used by the server's user".into(),
        io::ErrorKind::NotADirectory => "is not a directory".into(),
        _ => error.to_string(),
    }
}
