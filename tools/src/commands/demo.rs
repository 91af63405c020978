//! `ringcast demo`: the server with bundled content, for this machine only.

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
const ADMIN_PORT: u16 = 9090;

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

/// Arguments of `demo`.
#[derive(clap::Args)]
pub struct Args {
    /// How many cores serve
    #[arg(long)]
    cores: Option<usize>,
}

#[derive(Serialize)]
struct Announced {
    http: SocketAddr,
    mms: SocketAddr,
    admin: SocketAddr,
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
    let http = free_address("HTTP", HTTP_PORT, &mut notes)?;
    let mms = free_address("MMS", MMS_PORT, &mut notes)?;
    let admin = free_address("admin", ADMIN_PORT, &mut notes)?;
    let addresses = Addresses { http, mms, admin };
    let text = config_text(&folder.0, &addresses, args.cores);
    let config = Config::parse(&text, &folder.0.join("demo.toml")).map_err(|e| e.to_string())?;
    let server = serve::start(&config)?;
    let announced = Announced {
        http,
        mms,
        admin,
        notes,
        urls: urls(http, mms),
    };
    output.print(&announced, announcement);
    serve::operate(server, &config, None)
}

/// Where the demonstration is served.
struct Addresses {
    http: SocketAddr,
    mms: SocketAddr,
    admin: SocketAddr,
}

/// The embedded configuration: the same parser and the same keys as a file.
fn config_text(folder: &Path, addresses: &Addresses, cores: Option<usize>) -> String {
    let quoted = |path: &Path| toml_text(&path.display().to_string());
    let mut text = String::from("[server]\ndrain_timeout = \"1s\"\n");
    if let Some(cores) = cores {
        text += &format!("cores = {cores}\n");
    }
    let Addresses { http, mms, admin } = addresses;
    text += &format!("[listen]\nhttp = [\"{http}\"]\nmms = [\"{mms}\"]\nadmin = \"{admin}\"\n");
    // A demonstration needs no room for a hundred thousand players.
    text += "[limits]\nplayer_connections = 500\nmemory = \"256MiB\"\n";
    let source = quoted(folder);
    text += &format!("[[point]]\nname = \"vod\"\nkind = \"on-demand\"\nsource = {source}\n");
    for (name, file) in LOOPS {
        let source = quoted(&folder.join(file));
        text += &format!("[[point]]\nname = \"{name}\"\nkind = \"broadcast\"\nsource = {source}\n");
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

fn urls(http: SocketAddr, mms: SocketAddr) -> Vec<Url> {
    let url = |what: &str, path: String| Url {
        what: what.to_owned(),
        url: format!("http://{http}/{path}"),
    };
    let described = |file: &str| CONTENT.iter().find(|c| c.0 == file).map_or("", |c| c.2);
    let mut urls: Vec<Url> = LOOPS
        .iter()
        .map(|(name, file)| url(&format!("live: {}", described(file)), (*name).to_owned()))
        .collect();
    urls.extend(LOOPS.iter().map(|(name, _)| Url {
        what: "live, over MMS".to_owned(),
        url: format!("mms://{}/{name}", mms_host(mms)),
    }));
    urls.push(url("live, as an announcement", "live.asx".to_owned()));
    urls.extend(
        CONTENT
            .iter()
            .map(|(file, _, what)| url(&format!("on demand: {what}"), format!("vod/{file}"))),
    );
    urls
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
    let Announced { http, admin, .. } = a;
    let mms = mms_host(a.mms);
    text += &format!(
        "\nWindows Media Player opens these URLs as they are. Others:\n\
         \x20 ffplay mmsh://{http}/live      ffplay mmst://{mms}/live\n\
         \x20 vlc mmsh://{http}/live         vlc mmsu://{mms}/live\n\
         \x20 mplayer mmshttp://{http}/live  mplayer mmst://{mms}/live\n\
         \x20 ringcast probe http://{http}/live\n\
         Watch it:  ringcast top {admin}\n\
         Ctrl-C ends it.\n"
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

    #[test]
    fn the_embedded_configuration_is_valid_whatever_the_folder_is_called() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, 2));
        let mms = SocketAddr::from((Ipv4Addr::LOCALHOST, 3));
        for folder in ["/tmp/x", "/tmp/a \"quoted\\ one\u{7}"] {
            let addresses = Addresses {
                http: address,
                mms,
                admin,
            };
            let text = config_text(Path::new(folder), &addresses, Some(2));
            let config = Config::parse(&text, Path::new("demo.toml")).expect("valid");
            assert_eq!(config.points.len(), LOOPS.len() + 1);
            assert_eq!(config.points[0].source.path(), Some(Path::new(folder)));
            assert_eq!(config.listen.http, [address]);
            assert_eq!(config.listen.mms, [mms]);
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
