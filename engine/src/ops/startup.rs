//! What only the machine can tell about a configuration: asked before the first core starts, so
//! that a start that cannot work fails with one line that says what is wrong and how to mend it.

mod files;
mod groups;
mod kernel;
mod net;

use super::config::Config;
use serde::Serialize;
use std::fmt;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether the server can start nevertheless.
    pub severity: Severity,
    /// What is wrong, one sentence without its full stop.
    pub what: String,
    /// How to mend it, likewise.
    pub mend: String,
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The server starts, but something in it will not work, or not as well.
    Warning,
    /// The server cannot start.
    Fatal,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.mend)
    }
}

impl Finding {
    fn fatal(what: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding {
            severity: Severity::Fatal,
            what: what.into(),
            mend: mend.into(),
        }
    }

    fn warning(what: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding {
            severity: Severity::Warning,
            ..Finding::fatal(what, mend)
        }
    }
}

/// What was found out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Worst first.
    pub findings: Vec<Finding>,
    /// CPUs that the cores would be pinned to.
    pub cpus: Vec<usize>,
    /// File descriptors that the process may have.
    pub descriptors: u64,
    /// Connections that they suffice for; a player has one, and some have two for a moment.
    pub connection_limit: u64,
}

impl Report {
    /// The first reason why the server cannot start.
    pub fn fatal(&self) -> Option<&Finding> {
        self.findings.iter().find(|f| f.severity == Severity::Fatal)
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Whether the listeners' ports are free; not to be asked beside a running server.
    pub ports: bool,
    /// Raise this process's own soft limits as far as they may be raised.
    pub raise_limits: bool,
}

impl Scope {
    /// Before a start.
    pub const START: Scope = Scope {
        ports: true,
        raise_limits: true,
    };
    /// Looks only, beside a running server.
    pub const LOOK: Scope = Scope {
        ports: false,
        raise_limits: false,
    };
}

/// Asks everything.
pub fn check(config: &Config, scope: Scope) -> Report {
    let mut findings = Vec::new();
    findings.extend(kernel::io_uring());
    findings.extend(kernel::memory_lock(scope.raise_limits));
    let (descriptors, finding) = kernel::descriptors(config, scope.raise_limits);
    findings.extend(finding);
    let (cpus, finding) = kernel::cpus(config);
    findings.extend(finding);
    findings.extend(kernel::memory(config));
    findings.extend(net::listeners(config, scope.ports));
    findings.extend(files::points(config));
    findings.extend(groups::groups(config));
    findings.extend(files::users(config));
    findings.extend(files::directories(config));
    findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    Report {
        findings,
        cpus,
        descriptors,
        connection_limit: kernel::connection_limit(descriptors),
    }
}

#[cfg(test)]
mod tests;
