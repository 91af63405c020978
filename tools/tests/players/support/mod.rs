//! A running server, players with a time limit, and what they received as comparable tracks.

mod players;
mod process;
mod server;
mod tracks;
pub mod wire;

pub use players::{Libmms, Probe, Tool, download, downloader, ffmpeg, mplayer, vlc, vlc_dump};
pub use process::{TempDir, run, run_until};
pub use server::{LARGE_HEADER, Ringcast, Server};
pub use tracks::{
    Tracks, Unit, assert_same, decoded, file_on_disk, packets, run_in_loop, shown_frames,
};

use std::path::PathBuf;

/// The bundled content.
pub fn content(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("content")
        .join(name)
}

/// Does the same for several things at a time: most players take as long as what they play.
pub fn at_once<T: Sync>(things: &[T], each: impl Fn(&T) + Sync) {
    std::thread::scope(|scope| {
        for thing in things {
            scope.spawn(|| each(thing));
        }
    });
}

/// Leaves the test when a program it needs is not installed. With `CI` set that is a failure.
#[macro_export]
macro_rules! need {
    ($($tool:ident),+) => {
        $(if !$crate::support::Tool::$tool.is_installed() {
            return;
        })+
    };
}
