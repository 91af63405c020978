//! Stations: a file that says where a group is, and then the group.

use super::seen::{Playback, Seen};
use super::{Args, play_with, player};
use crate::commands::nsc::fetch;
use crate::output::Output;
use protocols::nsc::{ReadError, read};

/// True for a path or an HTTP URL that ends as those of station files do.
pub fn names_one(url: &str) -> bool {
    let path = match url.split_once("://") {
        Some((scheme, _)) if !scheme.eq_ignore_ascii_case("http") => return false,
        Some((_, rest)) => rest.split(['?', '#']).next().unwrap_or_default(),
        None => url,
    };
    let end = path.len().checked_sub(4).and_then(|at| path.get(at..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(".nsc"))
}

/// Receives what is sent to the group of the station file at `url`.
pub fn play(args: &Args, url: &str, output: Output) -> Result<Playback, String> {
    let bytes = fetch(url, args.timeout)?;
    let reading = match read(&bytes) {
        Ok(reading) => reading,
        // There is no group, but another way.
        Err(ReadError::Group {
            what,
            unicast_url: Some(unicast),
        }) => {
            let mut playback = Seen::new(url, args.rate).finish(0, &[], None);
            playback
                .faults
                .push(format!("no group to receive from: {what}"));
            playback.rolls_over = Some(unicast);
            return Ok(playback);
        }
        Err(e) => return Err(format!("{url}: {e}")),
    };
    for warning in &reading.warnings {
        tracing::warn!("{url}: {warning}");
    }
    let group = reading.station.group;
    let channel_url = url.contains("://").then_some(url);
    let driver = player::msb(args, reading.station, channel_url);
    let mut playback = play_with(args, &format!("{url} ({group})"), output, driver)?;
    // A receiver is redirected only where nobody sends.
    playback.rolls_over = playback.redirected_to.pop();
    Ok(playback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn station_files_are_known_by_their_names() {
        for yes in [
            "a.nsc",
            "/x/A.NSC",
            "http://h:81/p.nsc",
            "HTTP://h/p.nsc?x=1",
        ] {
            assert!(names_one(yes), "{yes}");
        }
        for no in [
            "nsc",
            "a.asx",
            "mms://h/p.nsc",
            "http://h/p.asf?a.nsc",
            "http://h/nsc",
            "é",
        ] {
            assert!(!names_one(no), "{no}");
        }
    }
}
