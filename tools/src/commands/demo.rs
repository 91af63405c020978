//! `ringcast demo`: the server with bundled content, for this machine only.

mod multicast;

use super::serve;
use crate::logging;
use crate::output::{Answer, Output};
use engine::ops::config::Config;
use serde::Serialize;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

/// Ports that are taken if they are free.
const HTTP_PORT: u16 = 8080;
const MMS_PORT: u16 = 1755;
const RTSP_PORT: u16 = 8554;
const MSBD_PORT: u16 = 7007;
const ADMIN_PORT: u16 = 9090;

/// UDP port of the multicast group.
const GROUP_PORT: u16 = 5555;

/// Free ports that are looked at when the usual one is taken.
const PORT_TRIES: usize = 32;

/// Bundled files, and what they are.
const CONTENT: &[(&str, &[u8], &str)] = &[
    (
        "clip.wmv",
        include_bytes!("../../content/clip.wmv"),
        "video and audio",
    ),
    (
        "audio.wma",
        include_bytes!("../../content/audio.wma"),
        "audio alone",
    ),
    (
        "mbr.wmv",
        include_bytes!("../../content/mbr.wmv"),
        "three video bit rates",
    ),
    (
        "modern.asf",
        include_bytes!("../../content/modern.asf"),
        "H.264 and AAC",
    ),
    ("mp3.asf", include_bytes!("../../content/mp3.asf"), "MP3"),
    (
        "captions.wmv",
        include_bytes!("../../content/captions.wmv"),
        "markers and script commands",
    ),
];

/// Points that play one file over and over.
const LOOPS: &[(&str, &str)] = &[
    ("live", "clip.wmv"),
    ("radio", "audio.wma"),
    ("rates", "mbr.wmv"),
];

/// The bundled file that shows most.
const CLIP: &str = "clip.wmv";

/// The point that takes a push, the one that is sent to a group, and the one that servers get over MSBD.
const STUDIO_POINT: &str = "studio";
const GROUP_POINT: &str = "group";
const MSBD_POINT: &str = "live";

/// Arguments of `demo`.
#[derive(clap::Args)]
pub struct Args {
    /// How many cores serve
    #[arg(long)]
    cores: Option<usize>,
}

#[derive(Serialize)]
struct Announced {
    #[serde(flatten)]
    addresses: Addresses,
    /// A command that pushes a test pattern.
    push: String,
    notes: Vec<String>,
    urls: Vec<Url>,
}

#[derive(Serialize)]
struct Url {
    what: String,
    url: String,
}

/// Runs until it is interrupted.
pub fn run(args: &Args, logging: &logging::Options, output: Output) -> Answer {
    let _guard = logging::init(logging)?;
    let folder = Folder::new().map_err(|e| format!("no place for the bundled content: {e}"))?;
    let mut notes = Vec::new();
    let addresses = Addresses::find(&mut notes)?;
    let text = config_text(&folder.0, &addresses, args.cores);
    let config = Config::parse(&text, &folder.0.join("demo.toml")).map_err(|e| e.to_string())?;
    let server = serve::start(&config)?;
    let announced = Announced {
        push: push_command(addresses.http),
        notes,
        urls: urls(&addresses),
        addresses,
    };
    output.print(&announced, announcement);
    serve::operate(server, &config, None)
}

/// Where the demonstration is served.
#[derive(Clone, Copy, Serialize)]
struct Addresses {
    http: SocketAddr,
    mms: SocketAddr,
    rtsp: SocketAddr,
    msbd: SocketAddr,
    admin: SocketAddr,
    /// The group that is sent to, if that can be done here.
    group: Option<SocketAddr>,
}

impl Addresses {
    fn find(notes: &mut Vec<String>) -> Result<Addresses, String> {
        let http = free_address("HTTP", HTTP_PORT, notes)?;
        let mms = free_address("MMS", MMS_PORT, notes)?;
        let rtsp = free_address("RTSP", RTSP_PORT, notes)?;
        let msbd = free_address("MSBD", MSBD_PORT, notes)?;
        let admin = free_address("admin", ADMIN_PORT, notes)?;
        let group = group_of(http);
        let heard = multicast::try_loopback(group);
        if let Err(why) = &heard {
            notes.push(format!(
                "no multicast here, so there is no point \"{GROUP_POINT}\": {why}"
            ));
        }
        Ok(Addresses {
            http,
            mms,
            rtsp,
            msbd,
            admin,
            group: heard.is_ok().then_some(group),
        })
    }
}

/// A group for each demonstration on this machine: no two have the same HTTP port.
fn group_of(http: SocketAddr) -> SocketAddr {
    let [high, low] = http.port().to_be_bytes();
    SocketAddr::from(([239, 255, high, low], GROUP_PORT))
}

/// The embedded configuration: the same parser and the same keys as a file.
fn config_text(folder: &Path, addresses: &Addresses, cores: Option<usize>) -> String {
    let quoted = |path: &Path| toml_text(&path.display().to_string());
    let mut text = String::from("[server]\ndrain_timeout = \"1s\"\n");
    if let Some(cores) = cores {
        text += &format!("cores = {cores}\n");
    }
    let Addresses {
        http,
        mms,
        rtsp,
        msbd,
        admin,
        group,
    } = addresses;
    text += &format!(
        "[listen]\nhttp = [\"{http}\"]\nmms = [\"{mms}\"]\nrtsp = [\"{rtsp}\"]\nadmin = \"{admin}\"\n"
    );
    // A demonstration needs no room for a hundred thousand players.
    text += "[limits]\nplayer_connections = 500\nmemory = \"256MiB\"\n";
    let source = quoted(folder);
    text += &format!("[[point]]\nname = \"vod\"\nkind = \"on-demand\"\nsource = {source}\n");
    let clip = quoted(&folder.join(CLIP));
    let broadcast = |name: &str, source: &str| {
        format!("[[point]]\nname = \"{name}\"\nkind = \"broadcast\"\nsource = {source}\n")
    };
    text += &broadcast(STUDIO_POINT, "\"push:\"");
    text += &format!("[point.fallback]\nsource = {clip}\nafter = \"1s\"\n");
    if let Some(group) = group {
        text += &broadcast(GROUP_POINT, &clip);
        text += &format!(
            "[point.multicast]\ngroup = \"{group}\"\ninterface = \"127.0.0.1\"\nttl = 0\n\
             loopback = true\npublish_interface = true\n"
        );
    }
    for (name, file) in LOOPS {
        text += &broadcast(name, &quoted(&folder.join(file)));
        if *name == MSBD_POINT {
            text += &format!("[point.msbd]\nlisten = \"{msbd}\"\n");
        }
    }
    text
}

fn toml_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted += &format!("\\u{:04X}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// The address with the usual port, or with a free one.
fn free_address(what: &str, port: u16, notes: &mut Vec<String>) -> Result<SocketAddr, String> {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if is_free(usual) {
        return Ok(usual);
    }
    let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr());
    let free = (0..PORT_TRIES).find_map(|_| free().ok().filter(|a| is_free(*a)));
    let free = free.ok_or_else(|| format!("no free port for {what}"))?;
    notes.push(format!(
        "port {port} is taken; {what} is on port {} instead",
        free.port()
    ));
    Ok(free)
}

/// For TCP and UDP: MMS has both on one port.
fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}

fn urls(addresses: &Addresses) -> Vec<Url> {
    let Addresses {
        http,
        mms,
        rtsp,
        msbd,
        ..
    } = addresses;
    let entry = |what: &str, url: String| Url {
        what: what.to_owned(),
        url,
    };
    let url = |what: &str, path: &str| entry(what, format!("http://{http}/{path}"));
    let described = |file: &str| CONTENT.iter().find(|c| c.0 == file).map_or("", |c| c.2);
    let live = |(name, file): &(&str, &str)| url(&format!("live: {}", described(file)), name);
    let mut urls: Vec<Url> = LOOPS.iter().map(live).collect();
    urls.push(url("live, as an announcement", "live.asx"));
    urls.push(url("what is pushed, else the clip", STUDIO_POINT));
    if let Some(group) = addresses.group {
        let path = |end: &str| format!("{GROUP_POINT}{end}");
        urls.push(url(&format!("multicast to {group}"), &path(".nsc")));
        urls.push(url("multicast, as an announcement", &path(".asx")));
        urls.push(url("the same, unicast", GROUP_POINT));
    }
    urls.extend(
        CONTENT
            .iter()
            .map(|(file, _, what)| url(&format!("on demand: {what}"), &format!("vod/{file}"))),
    );
    let mms = mms_host(*mms);
    let over = |what: &'static str, base: String| {
        LOOPS
            .iter()
            .map(move |(name, _)| entry(what, format!("{base}/{name}")))
    };
    urls.extend(over("live, over MMS", format!("mms://{mms}")));
    urls.extend(over("live, over RTSP", format!("rtsp://{rtsp}")));
    let servers = format!("\"{MSBD_POINT}\" for other servers: a point's source");
    urls.push(entry(&servers, format!("msbd://{msbd}")));
    urls
}

/// A test pattern to the point that takes a push. It can be pasted, wherever the shell is.
fn push_command(http: SocketAddr) -> String {
    let program = std::env::current_exe().ok();
    let program = program.map_or_else(|| "ringcast".to_owned(), |path| shell_text(&path));
    format!(
        "ffmpeg -v error -nostdin -re -f lavfi -i testsrc2=s=640x360:r=25 -f lavfi -i sine \
         -c:v msmpeg4v3 -b:v 800k -g 50 -c:a wmav2 -b:a 64k -f asf_stream - | \
         {program} push http://{http}/{STUDIO_POINT} -"
    )
}

fn shell_text(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    match path.chars().all(plain) {
        true => path,
        false => format!("'{}'", path.replace('\'', "'\\''")),
    }
}

/// Without the port that mms:// means anyway: some players take only that.
fn mms_host(mms: SocketAddr) -> String {
    match mms.port() {
        MMS_PORT => mms.ip().to_string(),
        _ => mms.to_string(),
    }
}

fn announcement(a: &Announced) -> String {
    let mut text = String::new();
    for note in &a.notes {
        text += &format!("{note}\n");
    }
    for url in &a.urls {
        text += &format!("{:<42}  {}\n", url.url, url.what);
    }
    let Addresses {
        http, rtsp, admin, ..
    } = a.addresses;
    let mms = mms_host(a.addresses.mms);
    text += &format!(
        "\nWindows Media Player opens these URLs as they are, but not msbd. Others:\n\
         \x20 ffplay mmsh://{http}/live      ffplay mmst://{mms}/live\n\
         \x20 vlc mmsh://{http}/live         vlc mmsu://{mms}/live\n\
         \x20 mplayer mmshttp://{http}/live  mplayer mmst://{mms}/live\n\
         \x20 ffplay rtsp://{rtsp}/vod/clip.wmv  ffplay rtsp://{rtsp}/vod/modern.asf\n\
         \x20 ringcast probe http://{http}/live\n"
    );
    if a.addresses.group.is_some() {
        text += &format!("  ringcast probe http://{http}/{GROUP_POINT}.nsc\n");
    }
    text += &format!(
        "Push a test pattern, and play http://{http}/{STUDIO_POINT}:\n  {}\n\
         Watch it:  ringcast top {admin}\n\
         Ctrl-C ends it.\n",
        a.push
    );
    text
}

/// The bundled content on disk, for as long as the demonstration runs.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Folder> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("ringcast-demo-{}", std::process::id()));
        // Must be new and ours: the place for temporary files belongs to everybody.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let folder = Folder(path);
        for (name, bytes, _) in CONTENT {
            fs::write(folder.0.join(name), bytes)?;
        }
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Addresses {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Addresses {
            http: local(8080),
            mms: local(3),
            rtsp: local(4),
            msbd: local(5),
            admin: local(2),
            group: Some(group_of(local(8080))),
        }
    }

    #[test]
    fn the_embedded_configuration_is_valid_whatever_the_folder_is_called() {
        let addresses = addresses();
        for folder in ["/tmp/x", "/tmp/a \"quoted\\ one\u{7}"] {
            let text = config_text(Path::new(folder), &addresses, Some(2));
            let config = Config::parse(&text, Path::new("demo.toml")).expect("valid");
            assert_eq!(config.points.len(), LOOPS.len() + 3);
            assert_eq!(config.points[0].source.path(), Some(Path::new(folder)));
            assert_eq!(config.listen.http, [addresses.http]);
            assert_eq!(config.listen.mms, [addresses.mms]);
            assert_eq!(config.listen.rtsp, [addresses.rtsp]);
            let msbd = config
                .point(MSBD_POINT)
                .and_then(|p| p.msbd.as_ref())
                .expect("its table");
            assert_eq!(msbd.listen, addresses.msbd);
            let studio = config.point(STUDIO_POINT).expect("a studio");
            assert!(studio.push.is_none(), "for this machine only");
            assert!(studio.fallback.is_some());
            let cast = config
                .point(GROUP_POINT)
                .and_then(|p| p.multicast.as_ref())
                .expect("its table");
            assert_eq!(cast.group.to_string(), "239.255.31.144:5555");
            assert_eq!(cast.ttl, 0, "not beyond this machine");
        }
    }

    #[test]
    fn without_multicast_there_is_no_group_in_anything_that_is_said() {
        let with = addresses();
        let without = Addresses {
            group: None,
            ..with
        };
        let said = |addresses: Addresses| {
            let text = config_text(Path::new("/tmp/x"), &addresses, None);
            let config = Config::parse(&text, Path::new("demo.toml")).expect("valid");
            let announced = Announced {
                push: push_command(addresses.http),
                notes: Vec::new(),
                urls: urls(&addresses),
                addresses,
            };
            let named = announcement(&announced).contains("/group");
            (config.point(GROUP_POINT).is_some(), named)
        };
        assert_eq!(said(with), (true, true));
        assert_eq!(said(without), (false, false));
    }

    #[test]
    fn a_program_in_a_strange_place_can_be_pasted() {
        for (path, text) in [
            ("/usr/bin/ringcast", "/usr/bin/ringcast"),
            ("/a b/$x", "'/a b/$x'"),
            ("/it's", "'/it'\\''s'"),
        ] {
            assert_eq!(shell_text(Path::new(path)), text);
        }
    }

    #[test]
    fn every_loop_plays_a_bundled_file() {
        for (name, file) in LOOPS {
            assert!(CONTENT.iter().any(|c| c.0 == *file), "{name} plays {file}");
        }
    }

    #[test]
    fn a_taken_port_is_replaced_and_said() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
        let taken = holder.local_addr().expect("address").port();
        let mut notes = Vec::new();
        let address = free_address("HTTP", taken, &mut notes).expect("a free one");
        assert_ne!(address.port(), taken);
        assert!(
            notes[0].contains(&taken.to_string()) && notes[0].contains(&address.port().to_string())
        );
    }
}
