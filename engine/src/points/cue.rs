//! Where sending starts, and what is granted.

use super::live::age;
use super::{ContentSupply, LiveFeed, OpenContent, Point};
use crate::shard::Shard;
use crate::source::{AsfFile, FileFacts, average_bit_rate};
use protocols::asf::Packet;
use protocols::asf::digest::object_starts;
use protocols::asf::seek::{Hints, Seek, SeekStep, SeekTarget};
use protocols::content::{
    Answer, Cue, CueRequest, Level, Refusal, Selection, Start, StreamInfo, StreamKind,
};
use protocols::rate::{grant, profile};
use std::rc::Rc;

/// Pieces of a file without a single readable packet that are passed over at the start of a session.
const DAMAGED_CHUNKS_MAX: usize = 64;

/// Objects that a startup profile looks at: 20 s of 30 video and 55 audio objects, and more.
const PROFILE_OBJECTS_MAX: usize = 8192;

/// Answer [`protocols::content::Question::Cue`].
pub(super) async fn cue(shard: &Rc<Shard>, request: &CueRequest) -> Result<Answer, Refusal> {
    let content = shard.content(request.content).ok_or(Refusal::Internal)?;
    // Opened while the point existed; what the operator took away is not begun any more.
    let current = shard.point(&content.point.config.name);
    if current.is_none_or(|point| point.id != content.point.id) {
        return Err(Refusal::NotFound);
    }
    let selection = request.selection.within(content.streams());
    if request.rate_milli == 0 || (request.rate_milli != 1000 && !content.facts.stridable) {
        return Err(Refusal::Unsupported);
    }
    let cue = match content.supply() {
        ContentSupply::Live(feed) => cue_live(shard, &content, feed, selection, request)?,
        ContentSupply::File(file) => cue_file(shard, &content, file, selection, request).await?,
    };
    Ok(Answer::Cued(Box::new(cue)))
}

fn limits_of(shard: &Shard, point: &Point) -> grant::Limits {
    let limits = shard.limiter().limits();
    let own = point.config.max_accel_bps.as_u32();
    grant::Limits {
        max_accel_bps: limits
            .fast_start_bandwidth_per_player_connection
            .map_or(own, |all| own.min(all.as_u32())),
        max_accel_ms: u32::try_from(point.config.max_accel_duration.as_millis())
            .unwrap_or(u32::MAX),
        max_speed_milli: point
            .config
            .max_speed_milli()
            .min(limits.fast_cache_milli()),
    }
}

fn cue_live(
    shard: &Shard,
    content: &OpenContent,
    feed: &LiveFeed,
    selection: Selection,
    request: &CueRequest,
) -> Result<Cue, Refusal> {
    let limits = limits_of(shard, &content.point);
    // Half of the history, so that a burst never begins where the ring is about to be overwritten.
    let wanted = request.accel.map_or(0, |accel| {
        accel
            .duration_ms
            .min(limits.max_accel_ms)
            .min(feed.buffer() / 2)
    });
    // Who follows from entry to entry misses nothing of the new one, and of what comes only once nobody
    // does.
    let whole = content.follows || !content.point.config.repeat;
    let wanted = match whole && feed.is_young() {
        true => u32::MAX,
        false => wanted,
    };
    let (packet, send_time) = feed.join(selection, wanted).ok_or(Refusal::Unavailable)?;
    let head = feed.head_send_time().unwrap_or(send_time);
    let average = average_bit_rate(
        &feed.head.streams,
        selection,
        feed.head.header.max_bit_rate(),
    );
    let supply = grant::Supply {
        average_bps: u64::from(average),
        buffered_ms: Some(age(head, send_time)),
        free_bps: shard.limiter().free_bits_per_second(),
    };
    let accel = limits.accel(request.accel, supply);
    let mut objects = Vec::new();
    if let (true, Some(accel)) = (request.profile, accel) {
        let (_, end) = feed.range();
        let mut number = packet;
        while number != end && objects.len() < PROFILE_OBJECTS_MAX {
            let within = feed.with_packet(number, |p, bytes| {
                collect(
                    bytes,
                    feed.head.header.packet_size(),
                    &feed.head.streams,
                    selection,
                    &mut objects,
                );
                age(p.send_time, send_time) <= accel.duration_ms
            });
            if within == Some(false) {
                break;
            }
            number = number.wrapping_add(1);
        }
    }
    Ok(Cue {
        packet,
        send_time,
        accel,
        speed_milli: limits.speed(request.speed_milli, true),
        profile: accel.and_then(|accel| {
            profile_of(
                &objects,
                accel.duration_ms,
                average,
                true,
                selection,
                &feed.head.streams,
            )
        }),
    })
}

async fn cue_file(
    shard: &Rc<Shard>,
    content: &OpenContent,
    file: &Rc<AsfFile>,
    selection: Selection,
    request: &CueRequest,
) -> Result<Cue, Refusal> {
    let packet = find(shard, file, selection, request.start).await?;
    let first = packet_of(shard, file, packet).await?;
    let limits = limits_of(shard, &content.point);
    let average = file.average_bit_rate(selection);
    let supply = grant::Supply {
        average_bps: u64::from(average),
        buffered_ms: None,
        free_bps: shard.limiter().free_bits_per_second(),
    };
    let accel = limits.accel(request.accel, supply);
    let mut found = None;
    if let (true, Some(accel)) = (request.profile, accel) {
        let objects = objects_from(shard, file, packet, selection, accel.duration_ms).await?;
        found = profile_of(
            &objects,
            accel.duration_ms,
            average,
            false,
            selection,
            &file.facts.streams,
        );
    }
    Ok(Cue {
        packet,
        send_time: first,
        accel,
        speed_milli: limits.speed(request.speed_milli, false),
        profile: found,
    })
}

/// The first packet to send (ASF-54, ASF-55, ASF-67).
async fn find(
    shard: &Rc<Shard>,
    file: &Rc<AsfFile>,
    selection: Selection,
    start: Start,
) -> Result<u32, Refusal> {
    let target = match start {
        Start::Beginning => SeekTarget::PlayTime(0),
        Start::Time(ms) => SeekTarget::PlayTime(ms),
        Start::Packet(number) => SeekTarget::Packet(number),
        Start::Byte(offset) => SeekTarget::Byte(offset),
    };
    let facts: &FileFacts = &file.facts;
    let hints = Hints {
        keys: facts.index.get(),
        simple: &facts.simple_index,
        index: facts.index_object.as_ref(),
    };
    let mut seek = Seek::new(&facts.header, target, selection, hints, facts.packet_count);
    loop {
        match seek.step() {
            SeekStep::Done(packet) => return Ok(packet),
            SeekStep::NeedPacket(number) => {
                let chunk = file.chunk_of(number);
                let raw = shard.cache().raw_now(file, chunk).await;
                match raw.as_ref().ok().and_then(|raw| raw.packet(number)) {
                    Some(packet) => seek.give(number, packet),
                    None => seek.missing(number),
                }
            }
        }
    }
}

/// Send time of a packet, or of the next one that can be read.
async fn packet_of(shard: &Rc<Shard>, file: &Rc<AsfFile>, number: u32) -> Result<u32, Refusal> {
    let mut number = number;
    for _ in 0..DAMAGED_CHUNKS_MAX {
        let chunk = file.chunk_of(number);
        let raw = shard.cache().raw_now(file, chunk).await.map_err(|error| {
            tracing::warn!(file = file.facts.name, %error, "cannot be read");
            Refusal::Corrupt
        })?;
        let found = (number..)
            .map_while(|n| raw.packet(n))
            .find_map(|p| Packet::parse(p, file.packet_size()).ok());
        match found {
            Some(packet) => return Ok(packet.send_time()),
            None => number = file.chunk_start(chunk + 1),
        }
        if number >= file.facts.packet_count {
            break;
        }
    }
    Err(Refusal::Corrupt)
}

async fn objects_from(
    shard: &Rc<Shard>,
    file: &Rc<AsfFile>,
    first: u32,
    selection: Selection,
    span: u32,
) -> Result<Vec<profile::Object>, Refusal> {
    let mut objects: Vec<profile::Object> = Vec::new();
    let mut number = first;
    while number < file.facts.packet_count && objects.len() < PROFILE_OBJECTS_MAX {
        let Ok(raw) = shard.cache().raw_now(file, file.chunk_of(number)).await else {
            break;
        };
        while let Some(packet) = raw.packet(number) {
            collect(
                packet,
                file.packet_size(),
                &file.facts.streams,
                selection,
                &mut objects,
            );
            number += 1;
        }
        if let [begin, .., last] = objects.as_slice()
            && age(last.send_time, begin.send_time) > span
        {
            break;
        }
    }
    Ok(objects)
}

fn collect(
    packet: &[u8],
    packet_size: u32,
    streams: &[StreamInfo],
    selection: Selection,
    into: &mut Vec<profile::Object>,
) {
    // A damaged packet has no say.
    let _ = object_starts(packet, packet_size, streams, |start| {
        into.push(profile::Object {
            kind: start.kind,
            selected: selection.level(start.stream) != Level::Off,
            key: start.key,
            size: start.size,
            presentation: start.presentation,
            send_time: start.send_time,
        });
    });
}

fn profile_of(
    objects: &[profile::Object],
    accel_ms: u32,
    average: u32,
    live: bool,
    selection: Selection,
    streams: &[StreamInfo],
) -> Option<protocols::content::StartupProfile> {
    let video = streams
        .iter()
        .any(|s| s.kind == StreamKind::Video && selection.level(s.number) != Level::Off);
    let params = profile::Params {
        accel_ms,
        average_bps: u64::from(average),
        live,
        video,
    };
    profile::profile(&params, objects.iter().copied())
}
