//! One module per command; each has its `Args` and a `run`.

pub mod asf;
pub mod asx;
pub mod check;
pub mod demo;
pub mod encode;
pub mod nsc;
pub mod passwd;
pub mod probe;
pub mod push;
pub mod serve;
pub mod top;
pub mod wmlog;

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Reads a whole file that may have at most `max` bytes.
fn read_file(path: &Path, max: u64) -> Result<Vec<u8>, String> {
    let fault = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(fault)?;
    file.take(max + 1).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() as u64 > max {
        return Err(format!("{}: larger than {max} bytes", path.display()));
    }
    Ok(bytes)
}
