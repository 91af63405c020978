//! A running server, players with a time limit, and what they received as comparable tracks.

pub mod mms;
mod players;
mod process;
mod relay;
mod server;
mod tracks;
mod vlc;
pub mod wire;

pub use players::{
    Libmms, Probe, Tool, Xine, download, downloader, ffmpeg, gst_launch, mplayer, vlc, vlc_dump,
};
pub use process::{Running, TempDir, run, run_until};
pub use relay::{Recording, Relay, Side};
pub use server::{LARGE_HEADER, Ringcast, Server};
pub use tracks::{
    Tracks, Unit, assert_same, decoded, file_on_disk, packets, run_in_loop, shown_frames,
};
pub use vlc::{Remote, vlc_udp};

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
