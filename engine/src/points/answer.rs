//! Answers to the machines' questions: what a URL names, where sending starts, what is granted.

use super::publish::publish;
use super::{ClientFacts, ContentSupply, LiveFeed, OpenContent, Place, Point, document};
use crate::ops::config::Source;
use crate::ops::metrics::RefusedReason;
use crate::policy::{Guard, RefusedBy, Verdict};
use crate::rt;
use crate::shard::Shard;
use crate::source::{AsfFile, FileFacts, OpenError, average_bit_rate, open_facts, segments};
use protocols::asf::Packet;
use protocols::asf::digest::object_starts;
use protocols::asf::seek::{Hints, Seek, SeekStep, SeekTarget};
use protocols::auth::{Challenge, Credentials};
use protocols::content::{
    Answer, Caching, Content, ContentId, Cue, CueRequest, Level, OpenRequest, Protocol, Question,
    Recheck, Refusal, Selection, Start, StreamInfo, StreamKind,
};
use protocols::rate::{grant, profile};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A file that was verified against the disk this recently is not asked about again.
const FRESH: Duration = Duration::from_secs(1);

/// How long a client waits for the first packets of a live stream to reach its core.
const FEED_PATIENCE: Duration = Duration::from_secs(3);

/// The same if the stream has to be fetched from another server first.
const FETCH_PATIENCE: Duration = Duration::from_secs(10);

/// Pieces of a file without a single readable packet that are passed over at the start of a session.
const DAMAGED_CHUNKS_MAX: usize = 64;

/// Objects that a startup profile looks at: 20 s of 30 video and 55 audio objects, and more.
const PROFILE_OBJECTS_MAX: usize = 8192;

/// Answer one question, which front end number `front` asked.
pub async fn answer(shard: &Rc<Shard>, front: u8, question: Question) -> Answer {
    let answered = match question {
        Question::Open(request) => open(shard, request).await,
        Question::Recheck(question) => recheck(shard, question).await,
        Question::Cue(request) => cue(shard, &request).await,
        Question::Publish(request) => publish(shard, front, request).await,
        Question::NextEntry(content) => next_entry(shard, content),
    };
    answered.unwrap_or_else(Answer::Refused)
}

/// Ask a guarded point's client who it is, then `go_on` with the name, and tell the machine what it
/// is to remember.
pub(super) async fn guarded(
    shard: &Shard,
    guard: &Guard,
    credentials: Option<Credentials>,
    go_on: impl AsyncFnOnce(Option<Arc<str>>) -> OpenResult<Answer>,
) -> OpenResult<Answer> {
    match guard.judge(credentials, rt::now()).await {
        Verdict::Granted { user, identity } => {
            let answer = go_on(Some(user)).await;
            let Some(identity) = identity else {
                return answer;
            };
            // The connection has proved itself, whatever becomes of this request.
            let answer = answer.unwrap_or_else(|(refusal, reason)| {
                let reason = reason.unwrap_or(RefusedReason::from(refusal));
                shard.counters().refuse(reason);
                Answer::Refused(refusal)
            });
            Ok(Answer::Verified {
                identity,
                answer: Box::new(answer),
            })
        }
        Verdict::Challenge(challenge) => Ok(challenged(shard, challenge)),
        Verdict::Busy => no(Refusal::Busy),
    }
}

fn challenged(shard: &Shard, challenge: Box<Challenge>) -> Answer {
    if challenge.rejected.is_some() {
        shard.counters().refuse(RefusedReason::Credentials);
    }
    Answer::Challenge(challenge)
}

async fn recheck(shard: &Rc<Shard>, question: Recheck) -> Result<Answer, Refusal> {
    let content = shard.content(question.content).ok_or(Refusal::Internal)?;
    let Some(guard) = &content.point.guard else {
        return Ok(Answer::Allowed);
    };
    let judged = guarded(shard, guard, question.credentials, async |_| {
        Ok(Answer::Allowed)
    });
    judged.await.map_err(|(refusal, _)| refusal)
}

async fn open(shard: &Rc<Shard>, mut request: OpenRequest) -> Result<Answer, Refusal> {
    let refused = |reason: RefusedReason| shard.counters().refuse(reason);
    let credentials = request.credentials.take();
    let opened = open_inner(shard, &request, credentials).await;
    // Another server asks again and again for what is not there yet: that is no refusal.
    let waits =
        |refusal: &Refusal| request.protocol == Protocol::Msbd && *refusal == Refusal::Unavailable;
    if let Err((refusal, reason)) = &opened
        && !waits(refusal)
    {
        refused(reason.unwrap_or(RefusedReason::from(*refusal)));
    }
    opened.map_err(|(refusal, _)| refusal)
}

pub(super) type OpenResult<T> = Result<T, (Refusal, Option<RefusedReason>)>;

pub(super) fn no<T>(refusal: Refusal) -> OpenResult<T> {
    Err((refusal, None))
}

async fn open_inner(
    shard: &Rc<Shard>,
    request: &OpenRequest,
    credentials: Option<Credentials>,
) -> OpenResult<Answer> {
    let Some(mut names) = segments(&request.path) else {
        return no(Refusal::NotFound);
    };
    if names.is_empty() {
        names.extend(shard.root().map(str::to_owned));
    }
    let Some((name, rest)) = names.split_first() else {
        return Ok(document::overview(shard, request));
    };
    if let Some(point) = shard.point(name) {
        let go_on = async |user| open_point(shard, request, &point, rest, user).await;
        return match request.protocol {
            // No proofs can be given there; the list of addresses that may is what protects it.
            Protocol::Msbd => go_on(None).await,
            _ => enter(shard, &point, credentials, go_on).await,
        };
    }
    // POINT.asx announces the point itself.
    let announced = name.strip_suffix(".asx").and_then(|name| shard.point(name));
    match announced {
        Some(point) if rest.is_empty() => {
            enter(shard, &point, credentials, async |_| {
                Ok(document::announce(shard, request, &point, &[]))
            })
            .await
        }
        // POINT.nsc leads to its multicast group.
        None if rest.is_empty() => match name.strip_suffix(".nsc").and_then(|n| shard.point(n)) {
            Some(point) => {
                enter(shard, &point, credentials, async |_| {
                    station_of(shard, request, &point).await
                })
                .await
            }
            None => no(Refusal::NotFound),
        },
        _ => no(Refusal::NotFound),
    }
}

/// The station file of a point, once there is a header that it can list.
// MSB-37, NSC-43
async fn station_of(
    shard: &Rc<Shard>,
    request: &OpenRequest,
    point: &Arc<Point>,
) -> OpenResult<Answer> {
    if point.config.multicast.is_none() {
        return no(Refusal::NotFound);
    }
    if !point.config.enabled {
        return no(Refusal::Unavailable);
    }
    let begun = rt::now();
    let failures = point.failure_count();
    loop {
        match document::station(shard, request, point) {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(error)) => {
                let name = &point.config.name;
                tracing::error!(point = name, %error, "its station file cannot be written");
                return no(Refusal::Internal);
            }
            None => {}
        }
        // Each call asks again for a source that does not run.
        shard.feed_or_subscribe(point);
        if point.failure_count() != failures || rt::now().since(begun) > FEED_PATIENCE {
            return no(Refusal::Unavailable);
        }
        rt::sleep(Duration::from_millis(5)).await;
    }
}

/// Everything of a guarded point, its announcements too, is for its users only.
async fn enter(
    shard: &Shard,
    point: &Point,
    credentials: Option<Credentials>,
    go_on: impl AsyncFnOnce(Option<Arc<str>>) -> OpenResult<Answer>,
) -> OpenResult<Answer> {
    match &point.guard {
        Some(guard) => guarded(shard, guard, credentials, go_on).await,
        None => go_on(None).await,
    }
}

async fn open_point(
    shard: &Rc<Shard>,
    request: &OpenRequest,
    point: &Arc<Point>,
    rest: &[String],
    user: Option<Arc<str>>,
) -> OpenResult<Answer> {
    if !point.config.enabled {
        return no(Refusal::Unavailable);
    }
    if let Some(base) = &point.config.redirect {
        let tail = request.path.trim_start_matches('/');
        let tail = tail.find('/').map_or("", |at| &tail[at..]);
        let url = format!("{}{tail}", base.trim_end_matches('/'));
        return Ok(Answer::Moved { url });
    }
    if point.is_broadcast() {
        if !rest.is_empty() {
            return no(Refusal::NotFound);
        }
        return open_live(shard, request, point, user).await;
    }
    let Some(place) = point.place() else {
        return no(Refusal::Unavailable);
    };
    let file = match (&place.file, rest) {
        (Some(file), []) => vec![file.clone()],
        (None, [.., last]) => {
            if let Some(announced) = last.strip_suffix(".asx") {
                let mut file = rest.to_vec();
                if let Some(last) = file.last_mut() {
                    *last = announced.to_owned();
                }
                return match facts_of(shard, point, &file).await {
                    Ok(_) => Ok(document::announce(shard, request, point, &file)),
                    Err(refusal) => no(refusal),
                };
            }
            rest.to_vec()
        }
        _ => return no(Refusal::NotFound),
    };
    let file = facts_of(shard, point, &file).await.map_err(|r| (r, None))?;
    open_file(shard, request, point, file, user)
}

async fn open_live(
    shard: &Rc<Shard>,
    request: &OpenRequest,
    point: &Arc<Point>,
    user: Option<Arc<str>>,
) -> OpenResult<Answer> {
    let Some(feed) = feed_of(shard, point).await else {
        return no(Refusal::Unavailable);
    };
    let header = &feed.head.header;
    let content = live_content(point, &feed);
    let rate = average_bit_rate(
        &feed.head.streams,
        header.auto_select(None, point.config.auto_exclude),
        header.max_bit_rate(),
    );
    admit(
        shard,
        request,
        point,
        content,
        ContentSupply::Live(feed),
        rate,
        user,
    )
}

/// What is told of a live stream's current entry.
fn live_content(point: &Point, feed: &LiveFeed) -> Content {
    let header = &feed.head.header;
    Content {
        id: ContentId(0),
        header: feed.head.blob.clone(),
        packet_size: header.packet_size(),
        packet_count: 0,
        preroll: header.preroll_ms(),
        duration: None,
        streams: Arc::clone(&feed.head.streams),
        broadcast: true,
        seekable: false,
        stridable: false,
        playlist: point.config.has_entries(),
        entry: feed.head.generation,
        broadcast_id: point.id.wrapping_add(1).max(1),
        guarded: point.guard.is_some(),
        caching: Caching::default(),
        file_size: None,
        description: Arc::clone(&feed.head.description),
    }
}

/// What follows: the entry that a live point has begun since. Nothing follows a file.
fn next_entry(shard: &Rc<Shard>, id: ContentId) -> Result<Answer, Refusal> {
    let content = shard.content(id).ok_or(Refusal::Internal)?;
    if !matches!(content.supply(), ContentSupply::Live(_)) {
        return Err(Refusal::NotFound);
    }
    let feed = shard.feed(&content.point).ok_or(Refusal::NotFound)?;
    if feed.head.generation == content.facts.entry {
        return Err(Refusal::NotFound);
    }
    let facts = live_content(&content.point, &feed);
    // The player's place in the limits goes with it.
    let facts = OpenContent::new(
        Arc::clone(&content.point),
        facts,
        ContentSupply::Live(feed),
        content.client.clone(),
        content.player.take(),
    );
    let facts = shard.keep_content(facts.following());
    Ok(Answer::Opened(Box::new(facts)))
}

fn open_file(
    shard: &Rc<Shard>,
    request: &OpenRequest,
    point: &Arc<Point>,
    file: Rc<AsfFile>,
    user: Option<Arc<str>>,
) -> OpenResult<Answer> {
    let facts = &file.facts;
    let header = &facts.header;
    let max_age = u32::try_from(point.config.max_age.get().as_secs()).unwrap_or(u32::MAX);
    let content = Content {
        id: ContentId(0),
        header: facts.blob.clone(),
        packet_size: header.packet_size(),
        packet_count: u64::from(facts.packet_count),
        preroll: header.preroll_ms(),
        duration: header.play_duration_ms(),
        streams: Arc::clone(&facts.streams),
        broadcast: false,
        seekable: true,
        // Rates other than normal send key frames, which our index knows.
        stridable: facts.index.get().is_some()
            && facts.streams.iter().any(|s| s.kind == StreamKind::Video),
        playlist: false,
        entry: 1,
        broadcast_id: 0,
        guarded: point.guard.is_some(),
        caching: Caching {
            allowed: max_age > 0,
            max_age,
            last_modified: Some(http_date(facts.identity.mtime_ns)),
            etag: Some(format!(
                "{:x}-{:x}",
                facts.identity.size, facts.identity.mtime_ns
            )),
        },
        file_size: Some(facts.size()),
        description: Arc::clone(&facts.description),
    };
    let rate = file.average_bit_rate(header.auto_select(None, point.config.auto_exclude));
    admit(
        shard,
        request,
        point,
        content,
        ContentSupply::File(file),
        rate,
        user,
    )
}

/// Take the player's place in the limits and note the content under a name.
fn admit(
    shard: &Rc<Shard>,
    request: &OpenRequest,
    point: &Arc<Point>,
    content: Content,
    supply: ContentSupply,
    rate: u32,
    user: Option<Arc<str>>,
) -> OpenResult<Answer> {
    let player = if request.play {
        let (limiter, rate) = (shard.limiter(), u64::from(rate));
        let taken = match request.protocol {
            Protocol::Msbd => limiter.relay(&point.limiter, rate),
            _ => limiter.play(&point.limiter, rate),
        };
        match taken {
            Ok(player) => Some(player),
            Err(by) => return Err((Refusal::Busy, Some(reason_of(by)))),
        }
    } else {
        None
    };
    let client = ClientFacts {
        peer: request.peer,
        user_agent: request.user_agent.clone(),
        target: if request.query.is_empty() {
            request.path.clone()
        } else {
            format!("{}?{}", request.path, request.query)
        },
        authority: request.authority.clone(),
        user,
        protocol: request.protocol,
        since: SystemTime::now(),
    };
    let facts = shard.keep_content(OpenContent::new(
        Arc::clone(point),
        content,
        supply,
        client,
        player,
    ));
    Ok(Answer::Opened(Box::new(facts)))
}

/// Which counter a reached limit is counted under.
pub fn reason_of(by: RefusedBy) -> RefusedReason {
    match by {
        RefusedBy::ConnectionsPerAddress => RefusedReason::ConnectionsPerAddress,
        RefusedBy::ConnectionRate => RefusedReason::ConnectionRate,
        RefusedBy::PlayerConnections => RefusedReason::PlayerConnections,
        RefusedBy::Bandwidth => RefusedReason::Bandwidth,
    }
}

/// The core's feed of a live point; asks the home core for it if this is the first viewer here.
async fn feed_of(shard: &Rc<Shard>, point: &Arc<Point>) -> Option<Rc<LiveFeed>> {
    let begun = rt::now();
    let patience = match point.is_pulled() {
        true => FETCH_PATIENCE,
        false => FEED_PATIENCE,
    };
    let failures = point.failure_count();
    loop {
        // Each call asks again for a source that does not run.
        if let Some(feed) = shard.feed_or_subscribe(point) {
            return Some(feed);
        }
        if point.failure_count() != failures || rt::now().since(begun) > patience {
            return None;
        }
        rt::sleep(Duration::from_millis(5)).await;
    }
}

/// An open file of a point.
async fn facts_of(
    shard: &Rc<Shard>,
    point: &Arc<Point>,
    names: &[String],
) -> Result<Rc<AsfFile>, Refusal> {
    let key = (point.id, names.join("/"));
    let known = shard.file(&key);
    if let Some((file, checked)) = &known
        && rt::now().since(*checked) < FRESH
    {
        return Ok(Rc::clone(file));
    }
    let known_facts = known.as_ref().map(|(file, _)| Arc::clone(&file.facts));
    let (point, names, indexing) = (Arc::clone(point), names.to_vec(), shard.indexing().clone());
    let opened = rt::blocking(move || {
        let place = point
            .place()
            .ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        open_facts(&place.root, &names, known_facts.as_ref(), &indexing)
    })
    .await;
    match (opened, known) {
        (Ok((_, facts)), Some((file, _))) if Arc::ptr_eq(&facts, &file.facts) => {
            shard.keep_file(key, Rc::clone(&file));
            Ok(file)
        }
        (Ok((handle, facts)), _) => Ok(shard.new_file(key, handle, facts)),
        (Err(error), _) => Err(refusal_of(&key.1, &error)),
    }
}

fn refusal_of(name: &str, error: &OpenError) -> Refusal {
    match error {
        OpenError::Io(io) => match io.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR | libc::EISDIR | libc::ENAMETOOLONG) | None => {
                Refusal::NotFound
            }
            // Outside of the directory, too many links, or no permission: told to the operator
            // only.
            Some(libc::EXDEV | libc::ELOOP | libc::EACCES | libc::EPERM) => {
                tracing::warn!(file = name, %error, "refused");
                Refusal::NotFound
            }
            Some(_) => {
                tracing::error!(file = name, %error, "cannot be opened");
                Refusal::Internal
            }
        },
        OpenError::Asf(_) | OpenError::Empty => {
            tracing::warn!(file = name, %error, "not served");
            Refusal::Corrupt
        }
    }
}

async fn cue(shard: &Rc<Shard>, request: &CueRequest) -> Result<Answer, Refusal> {
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
        buffered_ms: Some(head.wrapping_sub(send_time)),
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
                p.send_time.wrapping_sub(send_time) <= accel.duration_ms
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
            && last.send_time.wrapping_sub(begin.send_time) > span
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

fn http_date(mtime_ns: i64) -> String {
    let since = Duration::from_nanos(u64::try_from(mtime_ns).unwrap_or(0));
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since)
}

/// The file that a broadcast plays: of several, the one in this place; or what fills in for its source.
pub async fn open_source(
    shard: &Rc<Shard>,
    point: &Arc<Point>,
    place: usize,
) -> Result<Rc<AsfFile>, Refusal> {
    match (&point.config.fallback, &point.config.source) {
        (Some(fallback), _) => open_path(shard, point, fallback.source.clone()).await,
        (None, Source::Files(paths)) => {
            let path = paths.get(place).ok_or(Refusal::NotFound)?;
            open_path(shard, point, path.clone()).await
        }
        _ => {
            let place = point.place().ok_or(Refusal::Unavailable)?;
            let name = place.file.clone().ok_or(Refusal::NotFound)?;
            facts_of(shard, point, &[name]).await
        }
    }
}

async fn open_path(
    shard: &Rc<Shard>,
    point: &Point,
    path: PathBuf,
) -> Result<Rc<AsfFile>, Refusal> {
    let (name, indexing) = (path.display().to_string(), shard.indexing().clone());
    let key = (point.id, name.clone());
    let known = shard.file(&key).map(|(file, _)| file);
    let known_facts = known.as_ref().map(|file| Arc::clone(&file.facts));
    let opened = rt::blocking(move || {
        let place = Place::of_file(&path)?;
        let file = place.file.into_iter().collect::<Vec<_>>();
        open_facts(&place.root, &file, known_facts.as_ref(), &indexing)
    });
    match (opened.await, known) {
        (Ok((_, facts)), Some(file)) if Arc::ptr_eq(&facts, &file.facts) => Ok(file),
        (Ok((handle, facts)), _) => Ok(shard.new_file(key, handle, facts)),
        (Err(error), _) => Err(refusal_of(&name, &error)),
    }
}
