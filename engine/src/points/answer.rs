//! Answers to the machines' questions: what a URL names, and who may have it.

use super::cue::cue;
use super::publish::publish;
use super::{ClientFacts, ContentSupply, LiveFeed, OpenContent, Place, Point, document};
use crate::ops::config::Source;
use crate::ops::metrics::RefusedReason;
use crate::policy::{Guard, RefusedBy, Verdict};
use crate::rt;
use crate::shard::Shard;
use crate::source::{AsfFile, OpenError, average_bit_rate, open_facts, segments};
use protocols::auth::{Challenge, Credentials};
use protocols::content::{
    Answer, Caching, Content, ContentId, OpenRequest, Protocol, Question, Recheck, Refusal,
    StreamKind,
};
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
