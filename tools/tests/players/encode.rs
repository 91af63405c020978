//! FFmpeg fetches from `ringcast encode`, as from any encoder.

use crate::live::assert_joined_run;
use crate::need;
use crate::support::{Ringcast, TempDir, content, packets};

#[test]
fn ffmpeg_fetches_a_gapless_run_from_the_root_path() {
    need!(Ffmpeg);
    let clip = content("clip.wmv").display().to_string();
    let args = ["--json", "encode", "--listen", "127.0.0.1:0", &clip];
    let mut encoder = Ringcast::start(&args, TempDir::new());
    let address = encoder.wait_until("listening", |encoder| {
        let log = encoder.log();
        let (_, url) = log.split_once("\"http://")?;
        url.split_once("/\"").map(|(address, _)| address.to_owned())
    });
    // Long enough to meet the seam of the loop wherever it joins.
    let got = packets(&format!("mmsh://{address}/"), &["-read_intervals", "%+9"]);
    assert_joined_run("mmsh", &got, "clip.wmv", 100);
    assert!(encoder.terminate().success());
}
