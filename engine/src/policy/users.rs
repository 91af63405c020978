//! The users file: who may authenticate, and what is kept of their passwords.
//!
//! ```toml
//! [alice]
//! argon2 = "$argon2id$v=19$..."     # Basic
//! realm = "ringcast"                # Digest: the hash goes over it
//! ha1 = "0123..."
//! nt_hash = "0123..."               # NTLM
//! ```
//!
//! `ha1` and `nt_hash` are as good as the password to whoever reads the file: it belongs to the
//! server's user alone.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, PasswordHasher};
use protocols::auth::{digest, hex, ntlm, unhex};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;
use std::sync::Arc;

/// Largest users file, bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Longest name, bytes.
const NAME_BYTES_MAX: usize = 128;
/// Most memory that checking one password may take, KiB.
const ARGON2_KIB_MAX: u32 = 256 << 10;

/// What is written of a user. Without `Debug`: it is all secret.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    argon2: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    realm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ha1: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nt_hash: Option<String>,
}

/// A user.
pub struct User {
    /// Name, as written in the file.
    pub name: Arc<str>,
    /// For Basic.
    pub argon2: Option<PasswordHash>,
    /// For Digest: the realm, and the hash over it.
    pub ha1: Option<(String, [u8; 16])>,
    /// For NTLM.
    pub nt_hash: Option<[u8; 16]>,
}

/// All users of a file.
#[derive(Default)]
pub struct Users {
    /// By name in lower case.
    by_name: HashMap<String, User>,
}

impl Users {
    /// Read a file.
    ///
    /// # Errors
    /// Names the file, and the user whose entry is wrong; never shows a value.
    pub fn load(path: &Path) -> io::Result<Users> {
        let fail = |what: String| {
            let what = format!("users file {}: {what}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        };
        let read = read(path).and_then(|text| parse(&text).map_err(io::Error::other));
        let entries = read.map_err(|e| fail(e.to_string()))?;
        let mut by_name = HashMap::new();
        for (name, entry) in entries {
            let user = User::of(&name, entry).map_err(|e| fail(format!("user {name:?}: {e}")))?;
            if by_name.insert(name.to_lowercase(), user).is_some() {
                return Err(fail(format!("user {name:?}: named twice, in another case")));
            }
        }
        Ok(Users { by_name })
    }

    /// The user of this name, in any case (MS-NLMP 3.2.5.1.2).
    pub fn get(&self, name: &str) -> Option<&User> {
        self.by_name.get(&name.to_lowercase())
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &User> {
        self.by_name.values()
    }
}

impl User {
    fn of(name: &str, entry: Entry) -> Result<User, &'static str> {
        name_is_fine(name)?;
        let argon2 = entry.argon2.map(|text| {
            let hash = PasswordHash::new(&text).ok();
            hash.filter(is_affordable)
                .ok_or("argon2 is not a hash, or takes more than 256 MiB")
        });
        let ha1 = entry.ha1.map(|text| {
            let hash = unhex(&text).ok_or("ha1 is not 32 hex digits")?;
            let realm = entry.realm.ok_or("ha1 without its realm")?;
            Ok::<_, &'static str>((realm, hash))
        });
        let nt_hash = entry
            .nt_hash
            .map(|text| unhex(&text).ok_or("nt_hash is not 32 hex digits"));
        Ok(User {
            name: name.into(),
            argon2: argon2.transpose()?,
            ha1: ha1.transpose()?,
            nt_hash: nt_hash.transpose()?,
        })
    }
}

fn is_affordable(hash: &PasswordHash) -> bool {
    Params::try_from(hash).is_ok_and(|p| p.m_cost() <= ARGON2_KIB_MAX && p.t_cost() <= 64)
}

/// Names that every scheme can carry: no colon (Basic), no quote (Digest), nothing invisible.
fn name_is_fine(name: &str) -> Result<(), &'static str> {
    let bad = |c: char| c.is_control() || matches!(c, ':' | '"' | '\\');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(bad) {
        return Err(
            "a name has 1 to 128 bytes, without colon, quote, backslash or control character",
        );
    }
    Ok(())
}

/// True if others than the file's owner and group can read it.
pub fn is_exposed(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.mode() & 0o007 != 0)
}

/// What an edit of a users file did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edited {
    /// A user is new.
    Added,
    /// A user's password is another.
    Changed,
    /// A user is gone.
    Removed,
    /// There was no such user to remove.
    Absent,
}

/// Give a user a password: hashes for every scheme are written. `salt` is random. The file is made
/// if it does not exist, readable by its owner only; else its owner and mode stay. Comments in it do
/// not.
///
/// # Errors
/// If the name is not allowed, the file is not a users file, or cannot be written.
pub fn set_password(
    path: &Path,
    name: &str,
    realm: &str,
    password: &str,
    salt: [u8; 16],
) -> io::Result<Edited> {
    name_is_fine(name).map_err(io::Error::other)?;
    let argon2 = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|e| io::Error::other(e.to_string()))?;
    let entry = Entry {
        argon2: Some(argon2.to_string()),
        realm: Some(realm.to_owned()),
        ha1: Some(hex(&digest::ha1(name, realm, password))),
        nt_hash: Some(hex(&ntlm::nt_hash(password))),
    };
    edit(path, |entries| {
        let old = entries.iter_mut().find(|(n, _)| *n == name);
        match old {
            Some((_, old)) => {
                *old = entry;
                Edited::Changed
            }
            None => {
                entries.push((name.to_owned(), entry));
                Edited::Added
            }
        }
    })
}

/// Take a user out of a file.
///
/// # Errors
/// As [`set_password`].
pub fn remove(path: &Path, name: &str) -> io::Result<Edited> {
    edit(path, |entries| {
        let before = entries.len();
        entries.retain(|(n, _)| n != name);
        match entries.len() < before {
            true => Edited::Removed,
            false => Edited::Absent,
        }
    })
}

fn read(path: &Path) -> io::Result<String> {
    let file = std::fs::File::open(path)?;
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, FILE_BYTES_MAX), &mut text)?;
    Ok(text)
}

/// Entries in the order of the file. Messages never show a value.
fn parse(text: &str) -> Result<Vec<(String, Entry)>, String> {
    let table: toml::Table = toml::from_str(text).map_err(|e| {
        let at = e.span().map_or(0, |s| s.start);
        let line = text.get(..at).unwrap_or("").matches('\n').count() + 1;
        format!("line {line} is no TOML")
    })?;
    let entries = table.into_iter().map(|(name, value)| {
        let entry: Entry = value.try_into().map_err(|e: toml::de::Error| {
            let known = e.message().starts_with("unknown field");
            let what = if known {
                e.message()
            } else {
                "not a table of strings"
            };
            format!("user {name:?}: {what}")
        })?;
        Ok((name, entry))
    });
    entries.collect()
}

const HEADING: &str = "# Users of Ringcast, written by `ringcast passwd`. Keep it secret.\n";

/// Change a file, whole or not at all.
fn edit(
    path: &Path,
    change: impl FnOnce(&mut Vec<(String, Entry)>) -> Edited,
) -> io::Result<Edited> {
    let old = match std::fs::metadata(path) {
        Ok(old) => Some(old),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    let mut entries = match &old {
        Some(_) => parse(&read(path)?).map_err(io::Error::other)?,
        None => Vec::new(),
    };
    let edited = change(&mut entries);
    if edited == Edited::Absent {
        return Ok(edited);
    }
    let mut table = toml::Table::new();
    for (name, entry) in entries {
        let entry = toml::Value::try_from(entry).map_err(io::Error::other)?;
        table.insert(name, entry);
    }
    let text = format!("{HEADING}\n{table}");
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = path.with_file_name(name);
    let write = || {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        if let Some(old) = &old {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
            file.set_permissions(std::fs::Permissions::from_mode(old.mode() & 0o777))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    };
    let written = write();
    if written.is_err() {
        // Nothing to be done if even that fails.
        let _ = std::fs::remove_file(&fresh);
    }
    written.map(|()| edited)
}
