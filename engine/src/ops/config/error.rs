//! What is wrong with a configuration, and where.

use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// Everything that is wrong with a configuration; at least one problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// In the order of the file.
    pub problems: Vec<Problem>,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// From 1; `None` if it concerns the file as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// In characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// Dotted key, such as `point[2].cadence`; empty if it belongs to none.
    pub key: String,
    /// What is wrong and what is allowed.
    pub what: String,
}

impl ConfigError {
    pub(super) fn plain(file: &Path, what: &str) -> ConfigError {
        ConfigError {
            file: file.to_path_buf(),
            problems: vec![Problem {
                line: None,
                column: None,
                key: String::new(),
                what: what.to_owned(),
            }],
        }
    }

    pub(super) fn without_lines(mut self) -> ConfigError {
        for problem in &mut self.problems {
            (problem.line, problem.column) = (None, None);
        }
        self
    }

    pub(super) fn unreadable(file: &Path, error: &std::io::Error) -> ConfigError {
        ConfigError::plain(file, &format!("cannot be read: {error}"))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", self.file.display())?;
            if let Some(line) = problem.line {
                write!(f, ":{line}")?;
            }
            if let Some(column) = problem.column {
                write!(f, ":{column}")?;
            }
            write!(f, ": {problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for ConfigError {}
