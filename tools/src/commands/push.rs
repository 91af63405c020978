//! `ringcast push`: an encoder without a codec. It pushes ASF to a publishing point over WMHTTP.

mod feed;
pub(super) mod files;
mod live;
pub(super) mod reader;
mod report;
mod session;
pub(super) mod stop;

use crate::output::{Answer, Output};
use feed::Feed;
use protocols::auth::Password;
use protocols::wmhttp::client::ClientConfig;
use report::{Ended, Report};
use session::{Pusher, Session};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stop::Stop;

/// Between attempts: the first wait, doubled each time up to the last.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(30);
/// A session of this length was a good one: the next wait is the first again.
const GOOD_SESSION: Duration = Duration::from_secs(30);
/// How often it is looked whether the end was asked for, before there is anything else to wait for.
const LOOK: Duration = Duration::from_millis(100);

/// Longest password, bytes.
const PASSWORD_BYTES_MAX: u64 = 1024;

/// Arguments of `push`.
#[derive(clap::Args)]
pub struct Args {
    /// http://host[:port]/point of a publishing point that takes a push
    url: String,
    /// ASF files (.wmv, .wma, .asf), pushed at their real rate one after the other, or - for standard
    /// input: what ffmpeg writes with -f asf_stream or -f asf, pushed as it comes
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Begin again after the last file, without an end
    #[arg(long = "loop")]
    repeat: bool,
    /// Give up when the connection or the server goes, instead of trying again
    #[arg(long)]
    once: bool,
    /// Name, and password behind a colon. Without one it comes from --password-file or RINGCAST_PASSWORD
    #[arg(
        long,
        value_name = "NAME[:PASSWORD]",
        env = "RINGCAST_USER",
        hide_env_values = true
    )]
    user: Option<String>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// If the point does not exist: make it with the settings of the point at this path
    #[arg(long, value_name = "PATH")]
    template: Option<String>,
    /// Remove the point when the stream ends
    #[arg(long)]
    auto_destroy: bool,
    /// http://host:port of a proxy to go through
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// Bytes of each request; it is followed by another one
    #[arg(long, value_name = "BYTES", hide = true)]
    content_length: Option<u64>,
    /// How long to wait for a connection or a reply
    #[arg(long, value_parser = span, default_value = "10s")]
    timeout: Duration,
}

/// Exit 0 if the stream was pushed and ended in order, 1 if the server refused or broke off, 2 if the input
/// cannot be read or nobody is there.
pub fn run(args: &Args, output: Output) -> Answer {
    let stop = Stop::listen()?;
    let mut seeds = Seeds::new()?;
    let config = args.config(seeds.next())?;
    let mut feed = Feed::open(&args.files, args.repeat)?;
    while !feed.wait(LOOK) {
        if stop.is_asked() {
            return Ok(false);
        }
    }
    let report = Report::new(output, &args.url);
    let mut pusher = Pusher::new(report, stop);
    let (ended, reason) = push(args, config, &mut feed, &mut pusher, &mut seeds)?;
    pusher.summary(ended, reason.as_deref(), &feed);
    match (ended, reason) {
        (Ended::Finished | Ended::Interrupted, _) => Ok(pusher.has_pushed()),
        (Ended::Broken, Some(reason)) => Err(reason),
        // Nobody was there who could have said no.
        (Ended::Lost, Some(reason)) if !pusher.has_met() => Err(reason),
        _ => Ok(false),
    }
}

/// One session after the other, until there is nothing to push or no reason to go on.
fn push(
    args: &Args,
    mut config: ClientConfig,
    feed: &mut Feed,
    pusher: &mut Pusher,
    seeds: &mut Seeds,
) -> Result<(Ended, Option<String>), String> {
    let mut wait = RETRY_FIRST;
    loop {
        match feed.is_over(Instant::now()) {
            Err(e) => return Ok((Ended::Broken, Some(e))),
            Ok(true) if pusher.has_pushed() => {
                let reason = "it ended while there was no session".to_owned();
                return Ok((Ended::Lost, Some(reason)));
            }
            Ok(true) => return Ok((Ended::Broken, Some("nothing to push".to_owned()))),
            Ok(false) => {}
        }
        config.seed = seeds.next();
        let begun = Instant::now();
        let reason = match pusher.session(config.clone(), feed)? {
            Session::Finished => return Ok((Ended::Finished, None)),
            Session::Interrupted => return Ok((Ended::Interrupted, None)),
            Session::Broken(e) => return Ok((Ended::Broken, Some(e))),
            Session::Refused(reason) => return Ok((Ended::Refused, Some(reason))),
            Session::Lost(reason) => reason,
        };
        feed.pause();
        if args.once {
            return Ok((Ended::Lost, Some(reason)));
        }
        if begun.elapsed() >= GOOD_SESSION {
            wait = RETRY_FIRST;
        }
        let now = jittered(wait, seeds.next());
        pusher.lost(&reason, now);
        if pusher.wait(now) {
            return Ok((Ended::Interrupted, Some(reason)));
        }
        wait = (wait * 2).min(RETRY_LAST);
    }
}

/// Three quarters to five quarters of it: encoders that lost one server together do not come back together.
fn jittered(wait: Duration, random: u64) -> Duration {
    wait * 3 / 4 + wait / 2 * (random % 1000) as u32 / 1000
}

/// Numbers that nobody can foresee.
struct Seeds(u64);

impl Seeds {
    fn new() -> Result<Seeds, String> {
        let seed = engine::rt::random_seed().map_err(|e| format!("no randomness: {e}"))?;
        let (first, _) = seed.split_first_chunk().unwrap_or((&[0; 8], &[]));
        Ok(Seeds(u64::from_le_bytes(*first)))
    }

    /// The next one (SplitMix64).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }
}

impl Args {
    fn config(&self, seed: u64) -> Result<ClientConfig, String> {
        let plain = ClientConfig::new(&self.url, seed);
        let config = ClientConfig {
            template: self.template.clone(),
            auto_destroy: self.auto_destroy.then_some(true),
            credentials: self.credentials()?,
            proxy: self.proxy.clone(),
            content_length: self.content_length.unwrap_or(plain.content_length),
            reply_timeout: self.timeout,
            ..plain
        };
        // Both URLs, before anything is read.
        let fault = |e| format!("{}: {e}", self.url);
        protocols::wmhttp::client::Client::new(config.clone()).map_err(fault)?;
        Ok(config)
    }

    fn credentials(&self) -> Result<Option<(String, Password)>, String> {
        let Some(user) = &self.user else {
            return Ok(None);
        };
        let (name, password) = match (user.split_once(':'), &self.password_file) {
            (Some((name, password)), None) => (name, password.to_owned()),
            (Some(_), Some(_)) => {
                return Err("the password is given twice, with --user and in a file".to_owned());
            }
            (None, Some(path)) => {
                let bytes = super::read_file(path, PASSWORD_BYTES_MAX)?;
                let text = String::from_utf8(bytes)
                    .map_err(|_| format!("{}: no UTF-8", path.display()))?;
                (
                    user.as_str(),
                    text.lines().next().unwrap_or_default().to_owned(),
                )
            }
            (None, None) => match std::env::var("RINGCAST_PASSWORD") {
                Ok(password) => (user.as_str(), password),
                Err(_) => return Err(format!("no password for {user}")),
            },
        };
        Ok(Some((name.to_owned(), Password::new(password))))
    }
}

fn span(text: &str) -> Result<Duration, String> {
    text.parse().map(engine::ops::config::Span::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_differ() {
        let second = Duration::from_secs(1);
        assert_eq!(jittered(second, 0), Duration::from_millis(750));
        assert_eq!(jittered(second, 999), Duration::from_micros(1_249_500));
        let mut seeds = Seeds(1);
        let all: Vec<Duration> = (0..100)
            .map(|_| jittered(RETRY_LAST, seeds.next()))
            .collect();
        let (low, high) = (RETRY_LAST * 3 / 4, RETRY_LAST * 5 / 4);
        assert!(all.iter().all(|w| (low..=high).contains(w)));
        assert!(all.iter().min() != all.iter().max());
    }
}
