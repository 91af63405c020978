//! Multicast: the station file as VLC's own demultiplexer decodes it. VLC joins no group (msb-nsc.md 12.1):
//! receiving is tested with the project's receiver.

use crate::need;
use crate::support::{Server, TempDir, content, run, vlc};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

// NSC-06, NSC-09, NSC-10, NSC-16, NSC-34
#[test]
fn vlc_decodes_the_station_file() {
    need!(Vlc);
    let point = format!(
        "\n[[point]]\nname = \"cast\"\nkind = \"broadcast\"\nsource = {:?}\n\
         [point.multicast]\ngroup = \"239.192.77.20:5020\"\ninterface = \"127.0.0.1\"\nttl = 0\n\
         publish_interface = true\nlog_url = \"http://log.test/wmsiislog.dll\"\n",
        content("clip.wmv")
    );
    let server = Server::start_with(TempDir::new(), &point);
    let url = server.url("http", "cast.nsc");
    let dir = TempDir::new();
    let mut command = vlc(&dir);
    command.args(["--intf", "dummy", "-vv", "--no-color", &url, "vlc://quit"]);
    let out = run(&mut command, LIMIT);
    let said = String::from_utf8_lossy(&out.stderr);
    let unicast = server.url("http", "cast");
    for value in [
        "239.192.77.20",
        "127.0.0.1",
        "3.0",
        "http://log.test/wmsiislog.dll",
        &unicast,
    ] {
        assert!(
            said.lines().any(|l| l.contains("nsc") && l.contains(value)),
            "{value} is missing in\n{said}"
        );
    }
    assert!(!said.contains("unable to get NSC"), "{said}");
}
