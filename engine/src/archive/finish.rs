//! What is done with a recording that has its end: it is put on the disk for good, and older ones
//! of its point go.

use super::Lane;
use super::name;
use crossbeam::channel::{Receiver, Sender, bounded};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Finished files that wait for the disk; the writer waits if there are more.
const QUEUE_COUNT_MAX: usize = 64;

struct Finished {
    file: File,
    path: PathBuf,
    lane: Arc<Lane>,
}

/// A thread beside the writer's: a disk may take long to be sure of a gibibyte.
pub(super) struct Finisher {
    sender: Sender<Finished>,
    thread: JoinHandle<()>,
}

impl Finisher {
    pub(super) fn start() -> io::Result<Finisher> {
        let (sender, files) = bounded(QUEUE_COUNT_MAX);
        let thread = std::thread::Builder::new()
            .name("archive-sync".into())
            .spawn(move || run(&files))?;
        Ok(Finisher { sender, thread })
    }

    /// Take over a file that has its end.
    pub(super) fn finish(&self, file: File, path: PathBuf, lane: &Arc<Lane>) {
        // Who waits for more of it may go on to the end.
        let _ = file.unlock();
        let lane = Arc::clone(lane);
        let _ = self.sender.send(Finished { file, path, lane });
    }

    /// Wait until everything is done.
    pub(super) fn join(self) {
        drop(self.sender);
        let _ = self.thread.join();
    }
}

fn run(files: &Receiver<Finished>) {
    for Finished { file, path, lane } in files {
        let directory = &lane.config.directory;
        let synced = file
            .sync_all()
            .and_then(|()| File::open(directory)?.sync_all());
        if let Err(error) = synced {
            lane.counters.fail(format!("{}: {error}", path.display()));
            tracing::error!(file = %path.display(), %error, "may not be on the disk whole");
        }
        drop(file);
        remove_old(directory, &lane.point, lane.config.keep as usize);
    }
}

/// Remove the oldest finished recordings of a point, down to `keep`; 0 keeps all.
pub(super) fn remove_old(directory: &Path, point: &str, keep: usize) {
    let Ok(entries) = fs::read_dir(directory).map(|entries| entries.flatten()) else {
        return;
    };
    if keep == 0 {
        return;
    }
    let names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name::age(point, name).is_some() && is_finished(&directory.join(name)))
        .collect();
    let mut aged: Vec<_> = names
        .iter()
        .map(|name| (name::age(point, name), name))
        .collect();
    aged.sort();
    for (_, name) in aged.iter().take(aged.len().saturating_sub(keep)) {
        let path = directory.join(name);
        match fs::remove_file(&path) {
            Ok(()) => tracing::info!(file = %path.display(), "an old recording is removed"),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "an old recording stays");
            }
        }
        let _ = fs::remove_file(directory.join(format!("{name}.rcx")));
    }
}

/// A regular file that nobody writes.
fn is_finished(path: &Path) -> bool {
    let regular = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file());
    regular
        && File::open(path)
            .is_ok_and(|file| !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_finished_ones_of_a_point_go() {
        let folder = std::env::temp_dir().join(format!("ringcast-keep-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str| File::create(folder.join(name)).unwrap();
        for day in 1..=5 {
            write(&format!("live-2024010{day}T000000Z.wmv"));
        }
        let growing = write("live-20230101T000000Z.wmv");
        growing.lock().unwrap();
        for other in [
            "live-20240101T000000Z.wmv.rcx",
            "live-best.wmv",
            "other-20200101T000000Z.wmv",
        ] {
            write(other);
        }
        remove_old(&folder, "live", 0);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 9);
        remove_old(&folder, "live", 2);
        let mut left: Vec<String> = fs::read_dir(&folder)
            .unwrap()
            .flatten()
            .map(|e| e.file_name().into_string().unwrap())
            .collect();
        left.sort();
        let wanted = [
            "live-20230101T000000Z.wmv",
            "live-20240104T000000Z.wmv",
            "live-20240105T000000Z.wmv",
            "live-best.wmv",
            "other-20200101T000000Z.wmv",
        ];
        assert_eq!(left, wanted);
        fs::remove_dir_all(&folder).unwrap();
    }
}
