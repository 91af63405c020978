//! What a player received or decoded, in a form that can be compared.

use super::players::ffmpeg;
use super::process::run;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Enough for a whole bundled file or a few seconds of a broadcast, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// One compressed frame, or one decoded one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Presentation time in milliseconds.
    pub pts: i64,
    /// The container marks it as a key frame. Always false for decoded frames.
    pub key: bool,
    /// MD5 of its bytes.
    pub hash: String,
}

/// Units in order of arrival, for each track: `video 0`, `video 1`, `audio 0`, ...
pub type Tracks = BTreeMap<String, Vec<Unit>>;

/// A path as ffmpeg's tools take it.
pub fn file_on_disk(path: &Path) -> String {
    format!("file:{}", path.display())
}

/// The compressed frames that ffprobe gets from a URL or a file, with `args` before the input.
pub fn packets(source: &str, args: &[&str]) -> Tracks {
    let mut command = Command::new("ffprobe");
    command.args([
        "-v",
        "error",
        "-show_data_hash",
        "md5",
        "-of",
        "compact=p=0",
    ]);
    command.args([
        "-show_entries",
        "packet=codec_type,stream_index,pts,dts,flags,data_hash",
    ]);
    command.args(args).arg(source);
    let out = run(&mut command, LIMIT);
    assert!(
        out.status.success(),
        "ffprobe {source}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    parse_packets(&String::from_utf8_lossy(&out.stdout))
}

fn parse_packets(text: &str) -> Tracks {
    let mut by_index: BTreeMap<u32, (String, Vec<Unit>)> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("codec_type=")) {
        let fields: BTreeMap<&str, &str> =
            line.split('|').filter_map(|f| f.split_once('=')).collect();
        let unit = Unit {
            pts: time_of(&fields),
            key: fields["flags"].starts_with('K'),
            hash: fields["data_hash"].to_owned(),
        };
        let index = fields["stream_index"].parse().expect("a number");
        let entry = by_index
            .entry(index)
            .or_insert_with(|| (fields["codec_type"].to_owned(), Vec::new()));
        entry.1.push(unit);
    }
    named(by_index)
}

/// ffprobe withholds the presentation time of H.264 without reordering; the decoding time is the same.
fn time_of(fields: &BTreeMap<&str, &str>) -> i64 {
    let time = fields["pts"].parse().or_else(|_| fields["dts"].parse());
    time.unwrap_or_else(|_| panic!("a packet without a time: {fields:?}"))
}

/// The frames that ffmpeg decodes from a URL or a file, with `input` before and `output` after it.
pub fn decoded(source: &str, input: &[&str], output: &[&str]) -> Tracks {
    let mut command = ffmpeg();
    command
        .args(input)
        .args(["-i", source, "-map", "0"])
        .args(output);
    // Neither drop nor repeat frames, and keep the container's time stamps.
    command.args([
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "-1",
        "-f",
        "framemd5",
        "-",
    ]);
    let out = run(&mut command, LIMIT);
    assert!(
        out.status.success(),
        "ffmpeg {source}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    parse_frames(&String::from_utf8_lossy(&out.stdout))
}

fn parse_frames(text: &str) -> Tracks {
    let mut by_index: BTreeMap<u32, (String, Vec<Unit>)> = BTreeMap::new();
    for line in text.lines() {
        if let Some((index, kind)) = line
            .strip_prefix("#media_type ")
            .and_then(|rest| rest.split_once(": "))
        {
            by_index.insert(
                index.parse().expect("a number"),
                (kind.to_owned(), Vec::new()),
            );
        } else if !line.starts_with('#') {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let [index, _dts, pts, _duration, _size, hash] = fields[..] else {
                panic!("not a line of framemd5: {line}");
            };
            let unit = Unit {
                pts: pts.parse().expect("a number"),
                key: false,
                hash: hash.to_owned(),
            };
            let index = index.parse().expect("a number");
            by_index
                .get_mut(&index)
                .expect("announced before")
                .1
                .push(unit);
        }
    }
    named(by_index)
}

/// The frames that MPlayer's `md5sum` video output wrote to a file. Their hashes are those of [`decoded`].
pub fn shown_frames(file: &Path) -> Vec<Unit> {
    let text = fs::read_to_string(file).expect("MPlayer shows frames");
    let hashes = text
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    hashes
        .map(|hash| Unit {
            pts: 0,
            key: false,
            hash: hash.to_owned(),
        })
        .collect()
}

fn named(by_index: BTreeMap<u32, (String, Vec<Unit>)>) -> Tracks {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    by_index
        .into_values()
        .map(|(kind, units)| {
            let count = counts.entry(kind.clone()).or_default();
            let name = format!("{kind} {count}");
            *count += 1;
            (name, units)
        })
        .collect()
}

/// Fails, and says where the first difference is, unless both are equal and not empty.
pub fn assert_same(what: &str, got: &Tracks, want: &Tracks) {
    assert!(
        want.values().any(|units| !units.is_empty()),
        "{what}: nothing to compare with"
    );
    assert_eq!(
        got.keys().collect::<Vec<_>>(),
        want.keys().collect::<Vec<_>>(),
        "{what}: the tracks differ (got, want)"
    );
    for (name, want) in want {
        let got = &got[name];
        if let Some(at) = (0..want.len().min(got.len())).find(|&i| got[i] != want[i]) {
            panic!(
                "{what}: {name}: unit {at} of {} is {:?} and should be {:?}",
                want.len(),
                got[at],
                want[at]
            );
        }
        assert_eq!(
            got.len(),
            want.len(),
            "{what}: {name}: the number of units differs (got, want)"
        );
    }
}

/// Where in `file`, played in a loop, the run of units `got` begins; `None` if `got` is not a gapless
/// run of it. Times are not compared: a broadcast has its own.
pub fn run_in_loop(got: &[Unit], file: &[Unit]) -> Option<usize> {
    (0..file.len()).find(|&start| {
        let looped = file.iter().cycle().skip(start);
        got.iter().zip(looped).all(|(a, b)| a.hash == b.hash)
    })
}

#[test]
fn a_run_in_a_loop_has_no_gap() {
    let units = |hashes: &str| -> Vec<Unit> {
        hashes
            .chars()
            .map(|c| Unit {
                pts: 0,
                key: false,
                hash: c.to_string(),
            })
            .collect()
    };
    let file = units("abcd");
    assert_eq!(run_in_loop(&units("cdabcda"), &file), Some(2));
    assert_eq!(run_in_loop(&units("cdbc"), &file), None);
    assert_eq!(run_in_loop(&units("x"), &file), None);
}
