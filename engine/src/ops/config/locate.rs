//! From a key to its line, and from a byte offset to its key.

use super::error::{ConfigError, Problem};
use super::validate::Complaint;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where each key of a document stands.
pub(super) struct Spots<'t> {
    text: &'t str,
    file: PathBuf,
    /// Dotted key, span of the key, span of its value; parents before children.
    keys: Vec<(String, Range<usize>, Range<usize>)>,
}

impl<'t> Spots<'t> {
    /// Reads the shape of the document.
    ///
    /// # Errors
    /// If it is no TOML.
    pub(super) fn parse(text: &'t str, file: &Path) -> Result<Spots<'t>, ConfigError> {
        let mut spots = Spots {
            text,
            file: file.to_path_buf(),
            keys: Vec::new(),
        };
        let table = DeTable::parse(text).map_err(|e| spots.syntax(&e))?;
        spots.walk_table("", table.get_ref());
        Ok(spots)
    }

    /// An error of the TOML reader, with the innermost key that it happened in.
    pub(super) fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let span = error.span();
        let key = span
            .as_ref()
            .and_then(|s| self.key_at(s.start))
            .unwrap_or_default();
        let place = span.map(|s| self.line_column(s.start));
        ConfigError {
            file: self.file.clone(),
            problems: vec![Problem {
                line: place.map(|p| p.0),
                column: place.map(|p| p.1),
                key,
                what: error.message().trim().replace('\n', ", "),
            }],
        }
    }

    /// Gives complaints their lines.
    pub(super) fn place(&self, complaints: Vec<Complaint>) -> ConfigError {
        let mut problems: Vec<Problem> = complaints
            .into_iter()
            .map(|c| {
                let place = self.nearest(&c.key).map(|at| self.line_column(at));
                Problem {
                    line: place.map(|p| p.0),
                    column: place.map(|p| p.1),
                    key: c.key,
                    what: c.what,
                }
            })
            .collect();
        problems.sort_by_key(|p| (p.line, p.column));
        ConfigError {
            file: self.file.clone(),
            problems,
        }
    }

    fn walk_table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = if prefix.is_empty() {
                key.get_ref().to_string()
            } else {
                format!("{prefix}.{}", key.get_ref())
            };
            self.keys.push((name.clone(), key.span(), value.span()));
            self.walk_value(&name, value);
        }
    }

    fn walk_value(&mut self, name: &str, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.walk_table(name, table),
            DeValue::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    let name = format!("{name}[{}]", i + 1);
                    self.keys.push((name.clone(), item.span(), item.span()));
                    self.walk_value(&name, item);
                }
            }
            _ => {}
        }
    }

    /// Start of the key, or of the closest table above it that stands in the file.
    fn nearest(&self, key: &str) -> Option<usize> {
        let mut wanted = key;
        loop {
            if let Some((_, span, _)) = self.keys.iter().find(|k| k.0 == wanted) {
                return Some(span.start);
            }
            wanted = &wanted[..wanted.rfind(['.', '['])?];
        }
    }

    fn key_at(&self, offset: usize) -> Option<String> {
        let holds = |span: &Range<usize>| span.contains(&offset) || span.start == offset;
        self.keys
            .iter()
            .rfind(|(_, key, value)| holds(key) || holds(value))
            .map(|k| k.0.clone())
    }

    fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let line = before.matches('\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }
}
