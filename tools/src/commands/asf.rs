//! `ringcast asf`: what is in a file, whether it is sound, and its index.

use crate::output::{Answer, Output, bit_rate, bytes, clock};
use protocols::asf::check::{self, Verifier};
use protocols::asf::index::{Stamp, header_hash};
use protocols::asf::objects::{Format, Stream};
use protocols::asf::{FIXED_HEAD, Header, Indexer, KeyIndex, header_len};
use protocols::content::StreamKind;
use serde::Serialize;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Bytes of packets that are read at a time.
const READ_BYTES: usize = 1 << 20;

/// Arguments of `asf`.
#[derive(clap::Args)]
pub struct Args {
    /// The ASF file (.asf, .wmv, .wma)
    file: PathBuf,
    /// Read every packet and say what is wrong
    #[arg(long)]
    verify: bool,
    /// Make the index of key frames that the server keeps, beside the file (FILE.rcx)
    #[arg(long)]
    index: bool,
    /// With --index: into this directory instead, as the server's cache_dir
    #[arg(long, requires = "index", value_name = "DIR")]
    cache_dir: Option<PathBuf>,
}

#[derive(Serialize)]
struct Outcome {
    file: String,
    size: u64,
    header_bytes: u64,
    packet_size: u32,
    packets: u32,
    preroll_ms: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    bit_rate: u32,
    broadcast: bool,
    seekable: bool,
    protected: bool,
    streams: Vec<StreamFacts>,
    description: Vec<(String, String)>,
    markers: usize,
    script_commands: usize,
    remarks: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<Verified>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<IndexFacts>,
}

#[derive(Serialize)]
struct StreamFacts {
    number: u8,
    kind: &'static str,
    format: String,
    average_bit_rate: u32,
    peak_bit_rate: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    encrypted: bool,
    hidden: bool,
}

#[derive(Serialize)]
struct Verified {
    sound: bool,
    packets: u32,
    bad_packets: u32,
    padding_bytes: u64,
    send_duration_ms: u64,
    discontinuities: u32,
    streams: Vec<StreamMeasured>,
    findings: Vec<Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header_fault: Option<String>,
}

#[derive(Serialize)]
struct StreamMeasured {
    number: u8,
    objects: u64,
    key_objects: u64,
    broken_objects: u64,
    bytes: u64,
    bit_rate: u32,
}

#[derive(Serialize)]
struct Finding {
    packet: u32,
    file_offset: u64,
    what: String,
}

#[derive(Serialize)]
struct IndexFacts {
    file: String,
    entries: usize,
    bytes: usize,
}

/// Exit 0 if it is an ASF file (with `--verify`: and sound), 1 if not, 2 if it cannot be read.
pub fn run(args: &Args, output: Output) -> Answer {
    let fault = |e: io::Error| format!("{}: {e}", args.file.display());
    let file = File::open(&args.file).map_err(fault)?;
    let size = file.metadata().map_err(fault)?.len();
    let blob = match read_blob(&file, size).map_err(fault)? {
        Ok(blob) => blob,
        Err(what) => return Ok(not_asf(args, output, &what)),
    };
    let header = match Header::parse(&blob) {
        Ok(header) => header,
        Err(e) => return Ok(not_asf(args, output, &e.to_string())),
    };
    let mut outcome = facts(args, size, &header);
    if args.verify {
        outcome.verified = Some(verify(&file, &header, outcome.packets).map_err(fault)?);
    }
    if args.index {
        outcome.index = Some(index(args, &file, &blob, &header, outcome.packets).map_err(fault)?);
    }
    output.print(&outcome, text);
    Ok(outcome.verified.is_none_or(|v| v.sound))
}

/// The header blob, or why there is none.
fn read_blob(file: &File, size: u64) -> io::Result<Result<Vec<u8>, String>> {
    let mut head = [0; FIXED_HEAD];
    if size < FIXED_HEAD as u64 {
        return Ok(Err(format!("{size} bytes are too few for an ASF header")));
    }
    file.read_exact_at(&mut head, 0)?;
    let length = match header_len(&head) {
        Ok(length) => length + protocols::asf::header::DATA_HEAD as u64,
        Err(e) => return Ok(Err(e.to_string())),
    };
    if length > size {
        return Ok(Err(format!(
            "the header has {length} bytes, the file {size}"
        )));
    }
    let mut blob = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut blob, 0)?;
    Ok(Ok(blob))
}

fn not_asf(args: &Args, output: Output, what: &str) -> bool {
    let file = args.file.display().to_string();
    let value = serde_json::json!({ "file": file, "error": what });
    output.print(&value, |_| format!("{file}: {what}\n"));
    false
}

fn facts(args: &Args, size: u64, header: &Header) -> Outcome {
    Outcome {
        file: args.file.display().to_string(),
        size,
        header_bytes: header.blob_len(),
        packet_size: header.packet_size(),
        packets: header.packets_in(size),
        preroll_ms: header.preroll_ms(),
        duration_ms: header.play_duration_ms(),
        bit_rate: header.max_bit_rate(),
        broadcast: header.is_broadcast(),
        seekable: header.is_seekable(),
        protected: header.is_protected(),
        streams: header
            .stream_details()
            .iter()
            .map(|s| stream_facts(s, header))
            .collect(),
        description: header.description(),
        markers: header.markers().len(),
        script_commands: header.script_commands().len(),
        remarks: header.remarks().iter().map(ToString::to_string).collect(),
        verified: None,
        index: None,
    }
}

fn stream_facts(stream: &Stream, header: &Header) -> StreamFacts {
    let info = stream.info();
    let format = match &stream.format {
        Format::Audio {
            tag,
            channels,
            samples_per_second,
            bits,
            ..
        } => {
            format!("tag 0x{tag:04x}, {samples_per_second} Hz, {channels} channels, {bits} bits")
        }
        Format::Video {
            width,
            height,
            compression,
        } => {
            format!("{}, {width}x{height}", compression.escape_ascii())
        }
        Format::Other => stream.stream_type.name().unwrap_or("unknown").to_owned(),
    };
    StreamFacts {
        number: stream.number,
        kind: kind_name(stream.kind),
        format,
        average_bit_rate: info.average_bit_rate,
        peak_bit_rate: info.peak_bit_rate,
        language: header.language_of(stream.number).map(str::to_owned),
        encrypted: stream.encrypted,
        hidden: stream.hidden,
    }
}

/// Name of a stream's kind.
pub fn kind_name(kind: StreamKind) -> &'static str {
    match kind {
        StreamKind::Audio => "audio",
        StreamKind::Video => "video",
        StreamKind::Command => "command",
        StreamKind::Other => "other",
    }
}

fn verify(file: &File, header: &Header, packets: u32) -> io::Result<Verified> {
    let mut verifier = Verifier::new(header);
    each_packet(file, header, packets, |number, bytes| {
        verifier.packet(number, bytes)
    })?;
    let report = verifier.finish();
    let header_fault = check::check_header(header).err().map(|e| e.to_string());
    let broken: u64 = report.streams.iter().map(|s| s.broken_objects).sum();
    Ok(Verified {
        sound: report.bad_packets == 0 && broken == 0 && header_fault.is_none(),
        packets: report.packets,
        bad_packets: report.bad_packets,
        padding_bytes: report.padding,
        send_duration_ms: report.send_duration_ms,
        discontinuities: report.discontinuities,
        streams: report
            .streams
            .iter()
            .map(|s| StreamMeasured {
                number: s.stream,
                objects: s.objects,
                key_objects: s.key_objects,
                broken_objects: s.broken_objects,
                bytes: s.bytes,
                bit_rate: s.bit_rate,
            })
            .collect(),
        findings: report
            .findings
            .iter()
            .map(|(packet, file_offset, e)| Finding {
                packet: *packet,
                file_offset: *file_offset,
                what: e.to_string(),
            })
            .collect(),
        header_fault,
    })
}

fn index(
    args: &Args,
    file: &File,
    blob: &[u8],
    header: &Header,
    packets: u32,
) -> io::Result<IndexFacts> {
    let mut indexer = Indexer::new(header);
    // A damaged packet is counted by the indexer and left out.
    each_packet(file, header, packets, |number, bytes| {
        let _ = indexer.packet(number, bytes);
    })?;
    let index: KeyIndex = indexer.finish();
    let metadata = file.metadata()?;
    let stamp = Stamp {
        file_size: metadata.len(),
        mtime_ns: metadata
            .mtime()
            .saturating_mul(1_000_000_000)
            .saturating_add(metadata.mtime_nsec()),
        header_hash: header_hash(blob),
        data_packets: u64::from(packets),
    };
    let encoded = index.encode(&stamp);
    let place = index_place(&args.file, args.cache_dir.as_deref())?;
    fs::write(&place, &encoded)?;
    Ok(IndexFacts {
        file: place.display().to_string(),
        entries: index.entries.len(),
        bytes: encoded.len(),
    })
}

/// Where the server looks for the index of a file.
fn index_place(file: &Path, cache_dir: Option<&Path>) -> io::Result<PathBuf> {
    match cache_dir {
        Some(directory) => {
            let hash = header_hash(file.canonicalize()?.as_os_str().as_bytes());
            Ok(directory.join(format!("{hash:016x}.rcx")))
        }
        None => {
            let mut name = file.file_name().unwrap_or_default().to_os_string();
            name.push(".rcx");
            Ok(file.with_file_name(name))
        }
    }
}

fn each_packet(
    file: &File,
    header: &Header,
    packets: u32,
    mut take: impl FnMut(u32, &[u8]),
) -> io::Result<()> {
    let size = header.packet_size() as usize;
    let per_read = (READ_BYTES / size.max(1)).max(1);
    let mut buffer = vec![0; per_read * size];
    let mut number = 0;
    while number < packets {
        let count = per_read.min((packets - number) as usize);
        let Some(run) = buffer.get_mut(..count * size) else {
            break;
        };
        file.read_exact_at(run, header.packet_offset(number))?;
        for packet in run.chunks_exact(size) {
            take(number, packet);
            number += 1;
        }
    }
    Ok(())
}

fn text(o: &Outcome) -> String {
    let mut text = format!(
        "{}: {}, {} packets of {} bytes, header {} bytes\n",
        o.file,
        bytes(o.size as f64),
        o.packets,
        o.packet_size,
        o.header_bytes
    );
    let duration = o.duration_ms.map_or("unknown".to_owned(), clock);
    text += &format!(
        "  duration {duration}, preroll {} ms, {}",
        o.preroll_ms,
        bit_rate(o.bit_rate.into())
    );
    for (flag, name) in [
        (o.broadcast, "broadcast"),
        (o.seekable, "seekable"),
        (o.protected, "protected"),
    ] {
        if flag {
            text += &format!(", {name}");
        }
    }
    text.push('\n');
    for s in &o.streams {
        text += &format!(
            "  stream {:<3} {:<8} {}, average {}, peak {}",
            s.number,
            s.kind,
            s.format,
            bit_rate(s.average_bit_rate.into()),
            bit_rate(s.peak_bit_rate.into())
        );
        if let Some(language) = &s.language {
            text += &format!(", {language}");
        }
        text += if s.encrypted { ", encrypted\n" } else { "\n" };
    }
    for (name, value) in &o.description {
        text += &format!("  {name}: {}\n", value.escape_debug());
    }
    if o.markers + o.script_commands > 0 {
        text += &format!(
            "  {} markers, {} script commands\n",
            o.markers, o.script_commands
        );
    }
    for remark in &o.remarks {
        text += &format!("  remark: {remark}\n");
    }
    if let Some(v) = &o.verified {
        text += &verified_text(v);
    }
    if let Some(index) = &o.index {
        text += &format!(
            "  index: {} entries, {} bytes, in {}\n",
            index.entries, index.bytes, index.file
        );
    }
    text
}

fn verified_text(v: &Verified) -> String {
    let verdict = if v.sound { "sound" } else { "NOT SOUND" };
    let mut text = format!(
        "  {verdict}: {} packets, {} bad, {} of padding, {} of send time, {} jumps of the clock\n",
        v.packets,
        v.bad_packets,
        bytes(v.padding_bytes as f64),
        clock(v.send_duration_ms),
        v.discontinuities
    );
    for s in &v.streams {
        text += &format!(
            "  stream {:<3} {} objects, {} key, {} broken, {}, {}\n",
            s.number,
            s.objects,
            s.key_objects,
            s.broken_objects,
            bytes(s.bytes as f64),
            bit_rate(s.bit_rate.into())
        );
    }
    if let Some(fault) = &v.header_fault {
        text += &format!("  header: {fault}\n");
    }
    for f in &v.findings {
        text += &format!(
            "  packet {} at byte {}: {}\n",
            f.packet, f.file_offset, f.what
        );
    }
    text
}
