//! `ringcast passwd`: users of points that ask for a password.

use crate::output::{Answer, Output};
use engine::ops::config::REALM;
use engine::policy::users::{self, Edited};
use serde::Serialize;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Longest password, bytes.
const PASSWORD_BYTES_MAX: usize = 1024;

/// Arguments of `passwd`.
#[derive(clap::Args)]
pub struct Args {
    /// The users file; made if it does not exist
    file: PathBuf,
    /// Name of the user
    user: String,
    /// The realm of the points that the file is for
    #[arg(long, default_value = REALM)]
    realm: String,
    /// Take the user out of the file
    #[arg(long, conflicts_with = "realm")]
    delete: bool,
}

#[derive(Serialize)]
struct Outcome<'a> {
    file: &'a std::path::Path,
    user: &'a str,
    done: &'static str,
}

/// Sets a user's password to the first line of standard input. Exit 0 if it is set, 1 if there was no
/// such user to delete, 2 if the file cannot be read or written.
pub fn run(args: &Args, output: Output) -> Answer {
    let edited = match args.delete {
        true => users::remove(&args.file, &args.user),
        false => {
            let password = read_password()?;
            let seed = engine::rt::random_seed().map_err(|e| format!("no randomness: {e}"))?;
            let salt = std::array::from_fn(|i| seed[i]);
            users::set_password(&args.file, &args.user, &args.realm, &password, salt)
        }
    };
    let edited = edited.map_err(|e| format!("{}: {e}", args.file.display()))?;
    let outcome = Outcome {
        file: &args.file,
        user: &args.user,
        done: match edited {
            Edited::Added => "added",
            Edited::Changed => "changed",
            Edited::Removed => "removed",
            Edited::Absent => "absent",
        },
    };
    output.print(&outcome, |o| {
        let (file, user, done) = (o.file.display(), o.user, o.done);
        format!("{file}: user {user:?} {done}\n")
    });
    Ok(edited != Edited::Absent)
}

fn read_password() -> Result<String, String> {
    let asked = io::stdin().is_terminal();
    if asked {
        eprint!("Password: ");
        let _ = io::stderr().flush();
        echo(false);
    }
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    if asked {
        echo(true);
        eprintln!();
    }
    read.map_err(|e| format!("no password on standard input: {e}"))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err("no password on standard input".to_owned());
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(format!("a password has at most {PASSWORD_BYTES_MAX} bytes"));
    }
    Ok(password.to_owned())
}

/// Whether the terminal shows what is typed. If it cannot be told, it does.
fn echo(on: bool) {
    let mode = if on { "echo" } else { "-echo" };
    let _ = Command::new("stty")
        .arg(mode)
        .stdin(Stdio::inherit())
        .stderr(Stdio::null())
        .status();
}
