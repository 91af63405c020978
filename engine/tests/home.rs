//! The home of a live stream in virtual time: who is told what, and what becomes of the last packets.

mod support;

use bytes::Bytes;
use engine::points::{Batch, LiveFeed, LiveHead, LiveHome, Parcel, Point, Tap};
use protocols::machine::{CoreId, Time};
use protocols::media::IngestEvent;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use support::asf::Clip;
use support::*;

const CLIP: Clip = Clip {
    packet_size: 900,
    packets: 100,
    interval: 20,
    key_every: 5,
    preroll: 100,
    seed: 9,
};

const HERE: CoreId = CoreId(0);
const THERE: CoreId = CoreId(1);

/// Writes down what it is told.
#[derive(Clone, Default)]
struct Notes(Rc<RefCell<Vec<String>>>);

impl Tap for Notes {
    fn begin(&mut self, _: &Arc<LiveHead>, _: Time) {
        self.0.borrow_mut().push("begin".to_owned());
    }

    fn take(&mut self, batch: &Arc<Batch>, _: Time) {
        let count = batch.iter().count();
        self.0.borrow_mut().push(format!("{count} packets"));
    }

    fn end(&mut self, _: Time) {
        self.0.borrow_mut().push("end".to_owned());
    }

    fn tick(&mut self, _: Time) -> Option<Time> {
        None
    }
}

struct Scene {
    home: LiveHome,
    notes: Notes,
    now: Time,
    number: u32,
    _folder: Folder,
}

impl Scene {
    fn new(name: &str) -> Scene {
        let folder = Folder::new(name);
        let text = "[[point]]\nname = \"p\"\nkind = \"broadcast\"\nsource = \"push:\"\n";
        let config = config(&folder, text).points.remove(0);
        let point = Arc::new(Point::open_later(1, config, 2).expect("a point"));
        let (notes, now) = (Notes::default(), Time(5_000_000));
        Scene {
            home: LiveHome::new(point, vec![Box::new(notes.clone())], now),
            notes,
            now,
            number: 0,
            _folder: folder,
        }
    }

    fn give(&mut self, event: IngestEvent) {
        self.home.ingest(&event, self.now).expect("a header");
    }

    fn header(&mut self) {
        self.number = 0;
        self.give(IngestEvent::Header(CLIP.head().into()));
    }

    fn packet(&mut self) {
        let number = self.number;
        self.number += 1;
        let bytes = Bytes::from(CLIP.packet(number));
        self.give(IngestEvent::Packet { number, bytes });
    }

    fn advance(&mut self, by: Duration) -> Vec<Parcel> {
        self.now = self.now + by;
        let mut parcels = Vec::new();
        assert!(self.home.advance(self.now, |parcel| parcels.push(parcel)));
        parcels
    }
}

const TICK: Duration = Duration::from_millis(10);

type Told = (CoreId, Arc<LiveHead>, Vec<Arc<Batch>>);

#[track_caller]
fn one_past(parcels: Vec<Parcel>) -> Told {
    match <[Parcel; 1]>::try_from(parcels) {
        Ok([Parcel::Past(core, head, past)]) => (core, head, past),
        _ => panic!("something else than one history"),
    }
}

fn count(past: &[Arc<Batch>]) -> usize {
    past.iter().map(|batch| batch.iter().count()).sum()
}

/// Viewers that come at once ask for the history more than once; it is the same entry's.
#[test]
fn a_history_that_comes_twice_adds_only_what_is_new() {
    let mut scene = Scene::new("home-twice");
    scene.header();
    scene.packet();
    scene.home.subscribe(THERE, scene.now);
    let (core, head, past) = one_past(scene.advance(TICK));
    assert_eq!((core, count(&past)), (THERE, 1));
    let feed = LiveFeed::new(1, Arc::clone(&head), 3000, &past, scene.now);
    assert_eq!(feed.range(), (0, 1));
    scene.packet();
    scene.packet();
    scene.home.subscribe(THERE, scene.now);
    let (core, again, past) = one_past(scene.advance(TICK));
    assert_eq!((core, count(&past)), (THERE, 3));
    assert!(Arc::ptr_eq(&head, &again), "the same entry");
    feed.catch_up(&past, scene.now);
    assert_eq!(feed.range(), (0, 3));
    feed.catch_up(&past, scene.now);
    assert_eq!(feed.range(), (0, 3));
    let kept: Vec<u32> = (0..3)
        .filter(|n| feed.with_packet(*n, |_, bytes| bytes == CLIP.packet(*n)) == Some(true))
        .collect();
    assert_eq!(kept, [0, 1, 2]);
}

#[test]
fn a_core_whose_lane_was_full_gets_the_history_later_and_whole() {
    let mut scene = Scene::new("home-full");
    scene.header();
    scene.packet();
    scene.home.subscribe(HERE, scene.now);
    scene.home.subscribe(THERE, scene.now);
    assert_eq!(scene.advance(TICK).len(), 2);
    scene.home.not_told(THERE);
    scene.packet();
    let parcels = scene.advance(TICK);
    let cores: Vec<(CoreId, usize)> = parcels
        .iter()
        .map(|parcel| match parcel {
            Parcel::Past(core, _, past) => (*core, count(past)),
            Parcel::Fresh(core, _, batch) => (*core, batch.iter().count()),
            Parcel::Gone(_) => panic!("it is not over"),
        })
        .collect();
    assert_eq!(cores, [(HERE, 1), (THERE, 2)]);
    // Who has gone meanwhile is not brought back.
    scene.home.unsubscribe(THERE);
    scene.home.not_told(THERE);
    scene.packet();
    assert_eq!(scene.advance(TICK).len(), 1);
}

#[test]
fn what_came_last_is_recorded_before_the_end() {
    let mut scene = Scene::new("home-close");
    scene.header();
    scene.packet();
    scene.advance(TICK);
    scene.packet();
    scene.packet();
    scene.home.close(scene.now);
    let notes = scene.notes.0.borrow();
    assert_eq!(*notes, ["begin", "1 packets", "2 packets", "end"]);
}

/// A source that begins an entry every 10 ms costs viewers two headers a second, and goes on when it comes
/// to its senses.
#[test]
fn entries_do_not_begin_faster_than_viewers_can_take() {
    let mut scene = Scene::new("home-storm");
    for _ in 0..1000 {
        scene.header();
        scene.packet();
        scene.advance(TICK);
    }
    let entries = scene.home.point.facts.entries();
    assert!((20..=28).contains(&entries), "{entries} entries in 10 s");
    let left_out = scene.home.point.facts.damaged();
    assert_eq!(left_out + scene.home.point.facts.packets(), 1000);
    for _ in 0..100 {
        scene.packet();
        scene.advance(TICK);
    }
    let after = scene.home.point.facts.entries();
    assert_eq!(after, entries + 1, "the last header's entry has begun");
    assert!(scene.home.point.facts.packets() >= u64::from(entries) + 50);
}

/// What follows a header that is refused is not taken for more of the entry before.
#[test]
fn packets_of_a_refused_header_are_left_out() {
    let mut scene = Scene::new("home-refused");
    scene.header();
    scene.packet();
    let tiny = Clip {
        packet_size: 16,
        ..CLIP
    };
    let refused = IngestEvent::Header(tiny.head().into());
    assert!(scene.home.ingest(&refused, scene.now).is_err());
    scene.packet();
    let facts = &scene.home.point.facts;
    assert_eq!((facts.entries(), facts.packets()), (1, 1));
    scene.header();
    scene.packet();
    let facts = &scene.home.point.facts;
    assert_eq!((facts.entries(), facts.packets()), (2, 2));
}
