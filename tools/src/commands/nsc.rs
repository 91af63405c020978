//! `ringcast nsc`: station files of multicast.

use super::read_file;
use crate::http;
use crate::output::{Answer, Output, bit_rate};
use protocols::asf::{Header, header::HEADER_LEN_MAX};
use protocols::nsc::block::{self, Block};
use protocols::nsc::{FILE_BYTES_MAX, FormatIds, Reading, Station, Style, read};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a station file may take to come.
const FETCH_LIMIT: Duration = Duration::from_secs(10);

/// Arguments of `nsc`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Say what a station file says, and what is wrong with it
    Show {
        /// The file, or its http:// URL
        file: String,
    },
    /// Encode a text, an ASF header, or all of a station file
    Encode(EncodeArgs),
    /// Decode a value, or write a station file with its strings in the clear
    Decode(DecodeArgs),
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct EncodeArgs {
    /// A text
    text: Option<String>,
    /// An ASF file, whose header becomes the value of a format
    #[arg(long, value_name = "ASF")]
    header: Option<PathBuf>,
    /// A station file, of which every string is encoded
    #[arg(long, value_name = "NSC")]
    file: Option<PathBuf>,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct DecodeArgs {
    /// A value, such as 029G0000000008Cm0k0300000
    value: Option<String>,
    /// A station file
    #[arg(long, value_name = "NSC")]
    file: Option<PathBuf>,
}

/// Exit 0 if it is what it should be, 1 if it is not.
pub fn run(args: &Args, output: Output) -> Answer {
    match &args.command {
        Command::Show { file } => show(file, output),
        Command::Encode(args) => encode(args, output),
        Command::Decode(args) => decode(args, output),
    }
}

/// A station file from a path or an http:// URL.
pub fn fetch(place: &str, limit: Duration) -> Result<Vec<u8>, String> {
    let Some((scheme, rest)) = place.split_once("://") else {
        return read_file(Path::new(place), FILE_BYTES_MAX as u64);
    };
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(format!("{place}: only files and http:// URLs can be read"));
    }
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(at);
    let target = target.split('#').next().unwrap_or_default();
    let target = match target.starts_with('/') {
        true => target.to_owned(),
        false => format!("/{target}"),
    };
    let bare = host.rsplit_once(']').map_or(host, |(_, port)| port);
    let authority = match bare.contains(':') {
        true => host.to_owned(),
        false => format!("{host}:80"),
    };
    let agent = concat!("Ringcast/", env!("CARGO_PKG_VERSION"));
    let answer = http::get(&authority, &target, agent, limit)?;
    match answer.status {
        200 => Ok(answer.body),
        status => Err(format!("{place}: status {status}")),
    }
}

#[derive(Serialize)]
struct Shown {
    file: String,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    station: Option<ShownStation>,
}

#[derive(Serialize)]
struct ShownStation {
    name: Option<String>,
    multicast_adapter: Option<String>,
    group: String,
    time_to_live: Option<u8>,
    default_ecc: Option<u32>,
    log_url: Option<String>,
    unicast_url: Option<String>,
    allow_splitting: Option<bool>,
    allow_caching: Option<bool>,
    cache_expiration_s: Option<u32>,
    network_buffer_ms: Option<u32>,
    formats: Vec<ShownFormat>,
}

#[derive(Serialize)]
struct ShownFormat {
    id: u16,
    description: Option<String>,
    header_bytes: usize,
    /// Absent if the header is damaged.
    packet_size: Option<u32>,
    max_bit_rate: Option<u32>,
    stream_count: Option<usize>,
}

fn show(file: &str, output: Output) -> Answer {
    let bytes = fetch(file, FETCH_LIMIT)?;
    let shown = match read(&bytes) {
        Ok(Reading { station, warnings }) => Shown {
            file: file.to_owned(),
            valid: true,
            error: None,
            warnings: warnings.iter().map(ToString::to_string).collect(),
            station: Some(shown(station)),
        },
        Err(e) => Shown {
            file: file.to_owned(),
            valid: false,
            error: Some(e.to_string()),
            warnings: Vec::new(),
            station: None,
        },
    };
    output.print(&shown, Shown::text);
    Ok(shown.valid)
}

fn shown(station: Station) -> ShownStation {
    let format = |format: protocols::nsc::Format| {
        let header = Header::parse(&format.header).ok();
        ShownFormat {
            id: format.id,
            description: format.description,
            header_bytes: format.header.len(),
            packet_size: header.as_ref().map(Header::packet_size),
            max_bit_rate: header.as_ref().map(Header::max_bit_rate),
            stream_count: header.as_ref().map(|h| h.stream_details().len()),
        }
    };
    ShownStation {
        name: station.name,
        multicast_adapter: station.adapter.map(|ip| ip.to_string()),
        group: station.group.to_string(),
        time_to_live: station.ttl,
        default_ecc: station.default_ecc,
        log_url: station.log_url,
        unicast_url: station.unicast_url,
        allow_splitting: station.allow_splitting,
        allow_caching: station.allow_caching,
        cache_expiration_s: station.cache_expiration_s,
        network_buffer_ms: station.network_buffer_ms,
        formats: station.formats.into_iter().map(format).collect(),
    }
}

impl Shown {
    fn text(&self) -> String {
        let mut text = format!("{}\n", self.file);
        if let Some(error) = &self.error {
            let _ = writeln!(text, "  INVALID: {error}");
        }
        if let Some(station) = &self.station {
            text += &station.text();
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "  warning: {warning}");
        }
        text
    }
}

impl ShownStation {
    fn text(&self) -> String {
        let mut text = String::new();
        let yes = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
        for (name, value) in [
            ("name", self.name.as_ref().map(|n| printable(n))),
            ("group", Some(self.group.clone())),
            ("from", self.multicast_adapter.clone()),
            ("time to live", self.time_to_live.map(|n| n.to_string())),
            (
                "error correction",
                self.default_ecc.map(|n| format!("1 for each {n} packets")),
            ),
            ("logs to", self.log_url.as_ref().map(|u| printable(u))),
            ("unicast", self.unicast_url.as_ref().map(|u| printable(u))),
            ("may be split", self.allow_splitting.map(yes)),
            ("may be cached", self.allow_caching.map(yes)),
            (
                "cached for",
                self.cache_expiration_s.map(|n| format!("{n} s")),
            ),
            ("buffer", self.network_buffer_ms.map(|n| format!("{n} ms"))),
        ] {
            if let Some(value) = value {
                let _ = writeln!(text, "  {name:<17} {value}");
            }
        }
        for format in &self.formats {
            text += &format.text();
        }
        text
    }
}

impl ShownFormat {
    fn text(&self) -> String {
        let mut text = format!(
            "  format {:#05x}      header {} bytes",
            self.id, self.header_bytes
        );
        match (self.packet_size, self.max_bit_rate, self.stream_count) {
            (Some(size), Some(rate), Some(streams)) => {
                let rate = bit_rate(rate.into());
                let _ = write!(text, ", {streams} streams, packets of {size} bytes, {rate}");
            }
            _ => text += ", damaged",
        }
        if let Some(description) = &self.description {
            let _ = write!(text, ", \"{}\"", printable(description));
        }
        text + "\n"
    }
}

/// Without what would move the terminal's cursor.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

fn encode(args: &EncodeArgs, output: Output) -> Answer {
    let value = if let Some(text) = &args.text {
        block::encode_text(text)
    } else if let Some(path) = &args.header {
        let header = header_of(path)?;
        let id = FormatIds::new().id(&header.clone().into());
        block::encode(id.into(), &header)
    } else if let Some(path) = &args.file {
        return rewrite(path, Style::Encoded, output);
    } else {
        return Err("nothing to encode".into());
    };
    let shown = serde_json::json!({ "value": value });
    output.print(&shown, |_| format!("{value}\n"));
    Ok(true)
}

/// Header Object and the start of the Data Object of a file.
fn header_of(path: &Path) -> Result<Vec<u8>, String> {
    let fault = |what: String| format!("{}: {what}", path.display());
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| {
            let mut start = std::io::Read::take(file, HEADER_LEN_MAX);
            std::io::Read::read_to_end(&mut start, &mut bytes)
        })
        .map_err(|e| fault(e.to_string()))?;
    let header = Header::parse(&bytes).map_err(|e| fault(e.to_string()))?;
    bytes.truncate(usize::try_from(header.blob_len()).unwrap_or(usize::MAX));
    Ok(bytes)
}

fn decode(args: &DecodeArgs, output: Output) -> Answer {
    if let Some(path) = &args.file {
        return rewrite(path, Style::Plain, output);
    }
    let value = args.value.as_deref().unwrap_or_default();
    let decoded = match block::decode(value.trim()) {
        Ok(decoded) => Decoded::of(&decoded),
        Err(e) => return Err(e.to_string()),
    };
    output.print(&decoded, Decoded::line);
    Ok(decoded.checksum_is_right)
}

#[derive(Serialize)]
struct Decoded {
    key: u32,
    bytes: usize,
    checksum_is_right: bool,
    /// Absent if the value is an ASF header or other bytes.
    text: Option<String>,
    asf_header: bool,
}

impl Decoded {
    fn of(block: &Block) -> Decoded {
        let asf_header = protocols::asf::header_len(&block.data).is_ok();
        Decoded {
            key: block.key,
            bytes: block.data.len(),
            checksum_is_right: block.is_sound(),
            text: block::text_of(&block.data).filter(|_| !asf_header),
            asf_header,
        }
    }

    fn line(&self) -> String {
        let mut text = match &self.text {
            Some(text) => printable(text),
            None if self.asf_header => {
                format!(
                    "ASF header of {} bytes, format id {:#05x}",
                    self.bytes, self.key
                )
            }
            None => format!("{} bytes, key {:#x}", self.bytes, self.key),
        };
        if !self.checksum_is_right {
            text += "  (the checksum is wrong)";
        }
        text + "\n"
    }
}

/// Writes a station file anew, to standard output.
fn rewrite(path: &Path, style: Style, output: Output) -> Answer {
    let fault = |what: String| format!("{}: {what}", path.display());
    let bytes = read_file(path, FILE_BYTES_MAX as u64)?;
    let reading = read(&bytes).map_err(|e| fault(e.to_string()))?;
    let text = reading
        .station
        .write(style)
        .map_err(|e| fault(e.to_string()))?;
    for warning in &reading.warnings {
        tracing::warn!("{}: {warning}", path.display());
    }
    let shown = serde_json::json!({ "file": text });
    output.print(&shown, |_| text.clone());
    Ok(true)
}
