//! The thread that writes all recordings.

use super::Job;
use super::finish::Finisher;
use super::recorder::Recorder;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::collections::HashMap;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How often headers are brought up to date.
const TELL_INTERVAL: Duration = Duration::from_secs(2);

/// Start the thread. The receiver hears once when it has ended.
pub(super) fn start(jobs: Receiver<Job>) -> io::Result<Receiver<()>> {
    let finisher = Finisher::start()?;
    let (finished, done) = bounded(1);
    std::thread::Builder::new()
        .name("archive".into())
        .spawn(move || run(&jobs, finisher, &finished))?;
    Ok(done)
}

fn run(jobs: &Receiver<Job>, finisher: Finisher, finished: &Sender<()>) {
    let mut recorders: HashMap<u64, Recorder> = HashMap::new();
    let mut due = Instant::now();
    loop {
        let job = match recorders.is_empty() {
            true => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => jobs.recv_deadline(due),
        };
        match job {
            Ok(Job::Begin(lane, head)) => match recorders.get_mut(&lane.id) {
                Some(recorder) => recorder.begin(head, &finisher),
                None => {
                    recorders.insert(lane.id, Recorder::new(lane, head));
                }
            },
            Ok(Job::Take { lane, batch, gap }) => {
                if let Some(recorder) = recorders.get_mut(&lane) {
                    recorder.take(&batch, gap, &finisher);
                    let len = batch.len() as u64;
                    recorder.lane.queued.fetch_sub(len, Relaxed);
                }
            }
            Ok(Job::End(lane)) => {
                if let Some(mut recorder) = recorders.remove(&lane) {
                    recorder.close(&finisher);
                }
            }
            Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if Instant::now() >= due {
            due = Instant::now() + TELL_INTERVAL;
            recorders.retain(|_, recorder| {
                // What a tap has sent is written, also when the tap is gone.
                let lane = &recorder.lane;
                let goes_on = lane.alive.strong_count() > 0 || lane.queued.load(Relaxed) > 0;
                if !goes_on {
                    recorder.close(&finisher);
                }
                goes_on
            });
            for recorder in recorders.values_mut() {
                recorder.tick(&finisher);
            }
        }
    }
    for recorder in recorders.values_mut() {
        recorder.close(&finisher);
    }
    finisher.join();
    let _ = finished.send(());
}

#[cfg(test)]
mod tests {
    use super::super::ArchiveHandle;
    use super::*;
    use crate::ops::config::{ArchiveConfig, Size, Span};
    use crate::ops::metrics::Metrics;
    use crate::points::{BatchBuilder, LiveHead};
    use bytes::Bytes;
    use protocols::asf::{Header, broadcast_blob};
    use protocols::machine::Time;
    use std::path::Path;
    use std::sync::Arc;

    /// The disk was slow: the point is gone before anything of it was written.
    #[test]
    fn what_was_sent_is_written_when_the_point_is_gone() {
        let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/content/clip.wmv");
        let clip = std::fs::read(clip).expect("the bundled clip");
        let header = Header::parse(&clip).expect("a header");
        let blob = broadcast_blob(&clip[..header.blob_len() as usize], None).expect("a header");
        let head = Arc::new(LiveHead::parse(Bytes::from(blob)).expect("a header"));
        let folder = std::env::temp_dir().join(format!("ringcast-gone-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let config = ArchiveConfig {
            directory: folder.clone(),
            max_size: Size::mib(100),
            max_duration: Span::secs(100),
            keep: 0,
            free_space_floor: Size(0),
        };
        let (sender, jobs) = bounded(100);
        let handle = ArchiveHandle {
            sender,
            metrics: Metrics::new(),
            next_lane: Arc::default(),
        };
        let mut tap = handle.tap("live", &config);
        tap.begin(&head, Time(0));
        for number in 0..10 {
            let mut builder = BatchBuilder::default();
            let at = header.packet_offset(number) as usize;
            let packet = &clip[at..at + header.packet_size() as usize];
            builder.push(number, number * 100, 100, packet, |_| Ok::<(), ()>(()));
            tap.take(&builder.finish().expect("a packet"), Time(0));
        }
        tap.end(Time(0));
        drop(tap);
        handle.sender.send(Job::Stop).expect("room");
        let (finished, done) = bounded(1);
        run(&jobs, Finisher::start().expect("a thread"), &finished);
        done.try_recv().expect("it says so");
        let files: Vec<_> = std::fs::read_dir(&folder).expect("a folder").collect();
        assert_eq!(files.len(), 1);
        let file = std::fs::read(files[0].as_ref().expect("a file").path()).expect("a file");
        let recorded = Header::parse(&file).expect("a header");
        assert_eq!(recorded.packet_count(), Some(10));
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
