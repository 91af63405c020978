//! The players, each with the arguments that make it a measuring instrument: no window, no sound
//! card, no configuration of the user's, output where the test can read it.

use super::process::{TempDir, run};
use super::tracks::{Unit, decoded, file_on_disk};
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// A program that tests may lack.
#[derive(Clone, Copy, Debug)]
pub enum Tool {
    Ffmpeg,
    Vlc,
    Mplayer,
    /// A C compiler and libmms's headers.
    Libmms,
    /// A C compiler, libxine's headers and its plugins for MMS and FFmpeg's decoders.
    Xine,
    Curl,
    Wget,
    Tshark,
    /// `gst-launch-1.0` with the elements for RTSP, RTP and ASF.
    Gstreamer,
}

impl Tool {
    /// Whether it is there. Says that the test is skipped if not; panics if `CI` is set.
    pub fn is_installed(self) -> bool {
        let found = match self {
            Tool::Ffmpeg => on_path("ffmpeg") && on_path("ffprobe"),
            Tool::Vlc => on_path("cvlc"),
            Tool::Mplayer => on_path("mplayer"),
            Tool::Libmms => on_path("cc") && Path::new("/usr/include/libmms/mmsx.h").exists(),
            Tool::Xine => {
                on_path("cc")
                    && Path::new("/usr/include/xine.h").exists()
                    && xine_plugin("xineplug_inp_mms.so")
                    && xine_plugin("xineplug_decode_ff.so")
            }
            Tool::Curl => on_path("curl"),
            Tool::Wget => on_path("wget"),
            Tool::Tshark => on_path("tshark"),
            Tool::Gstreamer => {
                on_path("gst-launch-1.0") && GST_PLUGINS.iter().all(|name| gst_plugin(name))
            }
        };
        if !found {
            assert!(
                std::env::var_os("CI").is_none(),
                "{self:?} is not installed"
            );
            eprintln!("skipped: {self:?} is not installed");
        }
        found
    }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Of `plugins-good` (`rtspsrc`, `rtph264depay`, `aacparse`, ...) and `plugins-ugly` (`rtpasfdepay`).
const GST_PLUGINS: [&str; 5] = [
    "libgstrtsp.so",
    "libgstrtp.so",
    "libgstrtpmanager.so",
    "libgstaudioparsers.so",
    "libgstasf.so",
];

/// Whether a plugin lies in `/usr/lib/ARCHITECTURE/gstreamer-1.0/`.
fn gst_plugin(name: &str) -> bool {
    let entries = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path().join("gstreamer-1.0").join(name))
        .any(|plugin| plugin.exists())
}

/// Whether a plugin lies in `/usr/lib/ARCHITECTURE/xine/plugins/VERSION/`.
fn xine_plugin(name: &str) -> bool {
    let folders = |of: PathBuf| -> Vec<PathBuf> {
        let entries = fs::read_dir(of).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let versions = folders("/usr/lib".into())
        .into_iter()
        .flat_map(|architecture| folders(architecture.join("xine/plugins")));
    versions
        .into_iter()
        .any(|version| version.join(name).exists())
}

/// GStreamer, playing `url` by TCP or UDP; `pipeline` takes what its source named `s` gives out.
pub fn gst_launch(url: &str, transport: &str, pipeline: &[&str]) -> Command {
    let mut command = Command::new("gst-launch-1.0");
    command.args(["-q", "rtspsrc", "name=s"]);
    command.arg(format!("location={url}"));
    command.arg(format!("protocols={transport}"));
    command.args(pipeline);
    command
}

/// ffmpeg, quiet but for errors.
pub fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-v", "error"]);
    command
}

/// MPlayer without a terminal, remote control, user configuration or sound.
pub fn mplayer() -> Command {
    let mut command = Command::new("mplayer");
    command.args([
        "-noconfig",
        "all",
        "-really-quiet",
        "-nolirc",
        "-noconsolecontrols",
        "-nosound",
    ]);
    command
}

/// VLC without an interface, which ends after what it was given. It may write below `dir`.
pub fn vlc(dir: &TempDir) -> Command {
    let mut command = Command::new("cvlc");
    command.args([
        "--no-media-library",
        "--no-metadata-network-access",
        "--play-and-exit",
    ]);
    command
        .env("HOME", dir.path())
        .env("XDG_RUNTIME_DIR", dir.path());
    as_plain_user(&mut command, dir.path());
    command
}

/// VLC refuses to run for root, so a test run as root runs it for nobody.
fn as_plain_user(command: &mut Command, dir: &Path) {
    const NOBODY: u32 = 65534;
    let is_root = fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
    if is_root {
        chown(dir, Some(NOBODY), Some(NOBODY)).expect("root may give a directory away");
        command.uid(NOBODY).gid(NOBODY);
    }
}

/// Everything that VLC's access module hands to its demultiplexer, as a file.
pub fn vlc_dump(url: &str, args: &[&str], limit: Duration) -> (TempDir, PathBuf) {
    let dir = TempDir::new();
    let file = dir.file("dump.asf");
    let mut command = vlc(&dir);
    command
        .args(["--demux", "dump", "--demuxdump-file"])
        .arg(&file)
        .args(args)
        .arg(url);
    let out = run(&mut command, limit);
    assert!(
        file.exists(),
        "VLC got nothing of {url}\n{}",
        String::from_utf8_lossy(&out.stderr)
    );
    (dir, file)
}

/// What curl or wget downloads, whole, and the exit status zero.
pub fn download(tool: Tool, url: &str, limit: Duration) -> Vec<u8> {
    let out = run(&mut downloader(tool, url), limit);
    assert!(
        out.status.success(),
        "{tool:?} {url}: {}\n{}",
        out.status,
        String::from_utf8_lossy(&out.stderr)
    );
    out.stdout
}

/// curl or wget, writing to standard output as the bytes arrive.
pub fn downloader(tool: Tool, url: &str) -> Command {
    let mut command = match tool {
        Tool::Curl => {
            let mut curl = Command::new("curl");
            curl.args([
                "--no-buffer",
                "--silent",
                "--show-error",
                "--fail",
                "--noproxy",
                "*",
            ]);
            curl
        }
        Tool::Wget => {
            let mut wget = Command::new("wget");
            wget.args([
                "--no-config",
                "--no-verbose",
                "--no-proxy",
                "--tries=1",
                "--output-document=-",
            ]);
            wget
        }
        other => panic!("{other:?} does not download"),
    };
    command.arg(url);
    command
}

/// One play through libmms, the library below GStreamer, xine and Kodi of their time.
#[derive(Default)]
pub struct Libmms {
    /// Bits per second the library may choose streams for; 0 for no limit.
    pub bandwidth: u32,
    /// Seek to this many seconds before reading.
    pub seek_time: Option<f64>,
    /// Seek to this byte of the file before reading.
    pub seek_offset: Option<u64>,
    /// Read this many bytes, and forget them, before seeking.
    pub seek_after: u64,
    /// Stop after this many bytes; 0 reads to the end.
    pub bytes_max: u64,
}

impl Libmms {
    /// The library with these options. What it hands out goes to `file`.
    pub fn command(&self, url: &str, file: &Path) -> Command {
        let mut command = Command::new(harness());
        command.arg(url).arg(file);
        command.args(["--bandwidth", &self.bandwidth.to_string()]);
        command.args(["--bytes-max", &self.bytes_max.to_string()]);
        if let Some(seconds) = self.seek_time {
            command.args(["--seek-time", &seconds.to_string()]);
        }
        if let Some(offset) = self.seek_offset {
            command.args(["--seek-offset", &offset.to_string()]);
        }
        command.args(["--seek-after", &self.seek_after.to_string()]);
        command
    }

    /// The header and the packets that the library handed out, as a file.
    pub fn play(&self, url: &str, limit: Duration) -> (TempDir, PathBuf) {
        let dir = TempDir::new();
        let file = dir.file("libmms.asf");
        let out = run(&mut self.command(url, &file), limit);
        assert!(
            out.status.success(),
            "libmms {url}: {}\n{}",
            out.status,
            String::from_utf8_lossy(&out.stderr)
        );
        (dir, file)
    }
}

/// One play by `ringcast probe`, a client of version 12: pipelined, with packet pairs and `$M`.
pub struct Probe<'a> {
    /// Arguments besides the URL and where to save.
    pub args: &'a [&'a str],
}

impl Probe<'_> {
    /// The file that it saved. Its exit status must be zero: nothing missing, nothing late.
    pub fn play(&self, url: &str, limit: Duration) -> (TempDir, PathBuf) {
        let dir = TempDir::new();
        let file = dir.file("probe.asf");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringcast"));
        command
            .args(["probe", url, "--save"])
            .arg(&file)
            .args(self.args);
        let out = run(&mut command, limit);
        assert!(
            out.status.success(),
            "probe {url}: {}\n{}{}",
            out.status,
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        (dir, file)
    }
}

/// One play through libxine, which brings its own client of MMS from before libmms.
#[derive(Default)]
pub struct Xine {
    /// Begin at this many milliseconds.
    pub start: u32,
    /// Stop after this many frames; 0 plays to the end.
    pub frames_max: u32,
}

impl Xine {
    /// Starts it. The frames it decodes go to `file` as plain planes.
    pub fn command(&self, url: &str, file: &Path) -> Command {
        static HARNESS: OnceLock<PathBuf> = OnceLock::new();
        let mut command = Command::new(HARNESS.get_or_init(|| compiled("xine_play", "-lxine")));
        command.arg(url).arg(file);
        command.args(["--start", &self.start.to_string()]);
        command.args(["--frames-max", &self.frames_max.to_string()]);
        // It keeps a catalogue of its plugins and does not need any settings.
        let home = file.parent().expect("a file in a directory");
        command.env("HOME", home).env("XDG_CACHE_HOME", home);
        command
    }

    /// The frames that it decoded of a video of this size.
    pub fn play(&self, url: &str, size: &str, limit: Duration) -> Vec<Unit> {
        let dir = TempDir::new();
        let file = dir.file("frames.yuv");
        let out = run(&mut self.command(url, &file), limit);
        assert!(
            out.status.success(),
            "xine {url}: {}\n{}{}",
            out.status,
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        let input = [
            "-f",
            "rawvideo",
            "-pixel_format",
            "yuv420p",
            "-video_size",
            size,
        ];
        let mut tracks = decoded(&file_on_disk(&file), &input, &[]);
        tracks.remove("video 0").expect("one track of frames")
    }
}

/// The compiled harness around libmms. Made once for this process.
fn harness() -> &'static Path {
    static HARNESS: OnceLock<PathBuf> = OnceLock::new();
    HARNESS.get_or_init(|| compiled("libmms_play", "-lmms"))
}

/// A C program of this directory, compiled with a library.
fn compiled(name: &str, library: &str) -> PathBuf {
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/players/");
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-Wall", "-Werror", "-O1"])
        .arg(format!("{sources}{name}.c"))
        .args([library, "-o"])
        .arg(&program);
    let out = run(&mut cc, Duration::from_secs(60));
    assert!(
        out.status.success(),
        "cc: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    program
}
