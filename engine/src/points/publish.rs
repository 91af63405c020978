//! Who may be the source of a point, and points that come into being for an encoder.

use super::Point;
use super::answer::{OpenResult, guarded, no};
use crate::ops::config::{PointConfig, PushConfig, Source};
use crate::rt;
use crate::shard::Shard;
use crate::source::segments;
use protocols::content::{Answer, PublishRequest, Refusal};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A publisher that was silent for so long has lost its connection, and may be followed by the same
/// user from the same address without having ended its session (wmhttp.md 6.3).
const SUCCESSION_SILENCE: Duration = Duration::from_secs(2);

/// Makes and removes points while the server runs.
pub trait PointMaker: Send + Sync {
    /// Make a point, or give the one that has this name already. Tells every core before it returns.
    /// Blocks.
    ///
    /// # Errors
    /// When the configuration is refused or no more points are taken.
    fn make(&self, config: PointConfig) -> io::Result<Arc<Point>>;

    /// Remove a point that was made this way. Blocks.
    fn remove(&self, name: &str);
}

/// Who is the source of a point now. Lives on its home core.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// Front end and the machine's number of the session.
    pub session: (u8, u64),
    /// From where.
    pub peer: IpAddr,
    /// Who it proved to be.
    pub user: Option<Arc<str>>,
    /// The point goes with it, if it was made for it.
    pub destroy: bool,
}

/// Answer [`protocols::content::Question::Publish`], which front end number `front` asked.
pub(super) async fn publish(
    shard: &Rc<Shard>,
    front: u8,
    request: PublishRequest,
) -> Result<Answer, Refusal> {
    let answered = publish_inner(shard, front, request).await;
    answered.map_err(|(refusal, reason)| {
        shard.counters().refuse(reason.unwrap_or(refusal.into()));
        refusal
    })
}

async fn publish_inner(
    shard: &Rc<Shard>,
    front: u8,
    mut request: PublishRequest,
) -> OpenResult<Answer> {
    let Some(name) = single(&request.path) else {
        return no(Refusal::NotFound);
    };
    let existing = shard.point_of_any_case(&name);
    let template = match (&existing, &request.template) {
        (None, Some(path)) => single(path).and_then(|name| shard.point_of_any_case(&name)),
        // WMHTTP-08
        _ => None,
    };
    // Whose rights are asked for: those of the point itself, or those of the one that it is to be like.
    let Some(judge) = existing.clone().or(template) else {
        return no(Refusal::NotFound);
    };
    if judge.home != shard.id() {
        return Ok(Answer::Elsewhere(judge.home));
    }
    let push = judge.config.push.clone().unwrap_or_default();
    let creates = existing.is_none();
    if judge.config.source != Source::Push || (creates && !push.template) {
        return no(Refusal::Forbidden);
    }
    if !push.allows(request.peer.ip()) {
        return no(Refusal::Forbidden);
    }
    if !judge.config.enabled {
        return no(Refusal::Unavailable);
    }
    let credentials = request.credentials.take();
    let go_on = async |user| match existing {
        Some(point) => take(shard, front, &request, &point, &push, user),
        None => {
            let point = make(shard, &judge, &name).await?;
            match point.home == shard.id() {
                true => take(shard, front, &request, &point, &push, user),
                false => Ok(Answer::Elsewhere(point.home)),
            }
        }
    };
    match &judge.push_guard {
        Some(guard) => guarded(shard, guard, credentials, go_on).await,
        None => go_on(None).await,
    }
}

/// The one name that a path of a point consists of.
fn single(path: &str) -> Option<String> {
    let mut names = segments(path)?;
    let name = names.pop()?;
    names.is_empty().then_some(name)
}

/// Make the publisher of a session the point's source, if nobody stands in its way.
fn take(
    shard: &Rc<Shard>,
    front: u8,
    request: &PublishRequest,
    point: &Arc<Point>,
    push: &PushConfig,
    user: Option<Arc<str>>,
) -> OpenResult<Answer> {
    if shard.point_by_id(point.id).is_none() {
        // It went while the encoder proved who it is.
        return no(Refusal::Unavailable);
    }
    let publisher = Publisher {
        session: (front, request.session),
        peer: request.peer.ip(),
        user,
        destroy: request.destroy,
    };
    if let Some(present) = shard.publisher(point.id)
        && present.session != publisher.session
    {
        let silent = shard.source_silence(point.id) >= SUCCESSION_SILENCE;
        let same = present.user == publisher.user && present.peer == publisher.peer;
        if !(push.takeover || (silent && same)) {
            return no(Refusal::Taken);
        }
        tracing::info!(
            point = point.config.name,
            peer = %request.peer,
            "another encoder takes the point over"
        );
        shard.evict(point.id, Refusal::Taken);
    }
    shard.admit_publisher(point, publisher);
    Ok(Answer::Publishing)
}

/// A point like another one, under a name that an encoder chose (WMHTTP-09).
async fn make(shard: &Rc<Shard>, template: &Arc<Point>, name: &str) -> OpenResult<Arc<Point>> {
    let mut config = template.config.clone();
    name.clone_into(&mut config.name);
    config.made_by_push = true;
    // What only one point can have stays with the template.
    config.multicast = None;
    config.msbd = None;
    if let Some(push) = &mut config.push {
        push.template = false;
    }
    let maker = Arc::clone(shard.maker());
    match rt::blocking(move || maker.make(config)).await {
        Ok(point) if point.config.made_by_push => Ok(point),
        // The operator's, since a moment ago: its own rights count.
        Ok(_) => no(Refusal::Taken),
        Err(error) => {
            tracing::warn!(point = name, %error, "a point asked for by an encoder was not made");
            no(Refusal::Forbidden)
        }
    }
}
