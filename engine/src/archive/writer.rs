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
                let alive = recorder.lane.alive.strong_count() > 0;
                if !alive {
                    recorder.close(&finisher);
                }
                alive
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
