//! Sources of points, and directories that are written.

use super::Finding;
use crate::ops::config::{Config, PointKind};
use crate::ops::sys;
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
    let broken = enabled.filter_map(|point| {
        let path = point.source.path()?;
        let what = match readable(path) {
            Ok(Shape::Directory) if point.kind == PointKind::Broadcast => {
                format!("source {} is a directory", path.display())
            }
            Ok(_) => return None,
            Err(e) => format!("source {}: {}", path.display(), reason(&e)),
        };
        let mend = match point.kind {
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
    });
    broken.collect()
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
