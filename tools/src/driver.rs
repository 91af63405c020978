//! Runs one client machine against real sockets: a thread per connection reads and one per socket of datagrams,
//! everything else happens on the caller's thread.
//!
//! Arrival times are taken where the bytes are read, because packet-pair estimates live on them.

use crate::arrivals::{self, Gaps, Noting};
use crate::datagrams::{Datagrams, Joining, Running};
use protocols::machine::{Channel, ConnId, Input, Machine, Output, Time};
use protocols::media::Ingest;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Reads that may wait to be handled; a reader that is further ahead stops, and so does the peer.
const EVENT_COUNT_MAX: usize = 256;
/// Bytes per read.
const READ_BYTES: usize = 64 * 1024;
/// How long a connection may take to open, per address.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long one write may take.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// A machine and its connections.
pub struct Driver<M> {
    machine: M,
    origin: Instant,
    now: Time,
    connections: HashMap<ConnId, Arc<TcpStream>>,
    /// By the machine's numbers of them.
    datagrams: BTreeMap<Channel, Running>,
    joining: Joining,
    events: Receiver<(Instant, Event)>,
    sender: SyncSender<(Instant, Event)>,
    faults: Vec<String>,
    /// The beginning of each connection is timed by the kernel.
    noting: Option<(Noting, Gaps)>,
}

/// What readers tell.
pub enum Event {
    /// A connection, its far and its near end.
    Opened(ConnId, Arc<TcpStream>, SocketAddr, SocketAddr),
    /// It could not be opened.
    Failed(ConnId, String),
    /// Bytes came on it.
    Data(ConnId, Vec<u8>),
    /// It is over.
    Closed(ConnId),
    /// A datagram came to the socket of this number.
    Datagram(Channel, SocketAddr, Vec<u8>),
    /// The caller has something else to do.
    Nudge,
}

/// Makes [`Driver::run`] return, from any thread.
#[derive(Clone)]
pub struct Nudger(SyncSender<(Instant, Event)>);

impl Nudger {
    /// If it runs, it returns soon; if not, it does at the latest when it runs next.
    pub fn nudge(&self) {
        // A queue that is full is being worked off, and the caller looks around then.
        let _ = self.0.try_send((Instant::now(), Event::Nudge));
    }
}

impl<M: Machine> Driver<M> {
    /// Takes a machine whose first outputs are waiting.
    pub fn new(machine: M) -> Driver<M> {
        let (sender, events) = sync_channel(EVENT_COUNT_MAX);
        Driver {
            machine,
            origin: Instant::now(),
            now: Time::ZERO,
            connections: HashMap::new(),
            datagrams: BTreeMap::new(),
            joining: Joining::default(),
            events,
            sender,
            faults: Vec::new(),
            noting: None,
        }
    }

    /// Time the beginning of each connection as precisely as a packet pair needs it; costs a CPU
    /// while it lasts, up to a tenth of a second for each of the gaps.
    pub fn precise(mut self, gaps: Gaps) -> Driver<M> {
        self.noting = Some((Noting::begin(), gaps));
        self
    }

    /// Give the machine its next socket for datagrams; the first one has number 0.
    ///
    /// # Errors
    /// If it cannot be read beside the rest.
    pub fn with_datagrams(mut self, datagrams: Datagrams) -> Result<Driver<M>, String> {
        let number = u8::try_from(self.datagrams.len()).map_err(|_| "too many sockets")?;
        self.receive(Channel(number), datagrams)?;
        Ok(self)
    }

    /// How the groups are joined that the machine asks for.
    pub fn with_groups(mut self, joining: Joining) -> Driver<M> {
        self.joining = joining;
        self
    }

    /// A socket that had the number before is closed.
    fn receive(&mut self, channel: Channel, datagrams: Datagrams) -> Result<(), String> {
        let running = datagrams.run(channel, self.sender.clone())?;
        self.datagrams.insert(channel, running);
        Ok(())
    }

    /// Datagrams that were dropped on purpose.
    pub fn dropped(&self) -> u64 {
        self.datagrams.values().map(Running::dropped).sum()
    }

    /// The machine, to be told something; [`Driver::run`] then carries it out.
    pub fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// Time of the last input.
    pub fn now(&self) -> Time {
        self.now
    }

    /// An instant as the machine knows it.
    pub fn time_of(&self, at: Instant) -> Time {
        let micros = at.saturating_duration_since(self.origin).as_micros();
        Time(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// What makes [`Driver::run`] return early.
    pub fn nudger(&self) -> Nudger {
        Nudger(self.sender.clone())
    }

    /// Connections that could not be opened, in words.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Runs until `each` breaks, the machine is done, `until` is reached, or a [`Nudger`] is used; `each`
    /// gets what the machine gives, with its time.
    pub fn run<B>(
        &mut self,
        until: Time,
        is_done: impl Fn(&M) -> bool,
        mut each: impl FnMut(Time, Ingest) -> ControlFlow<B>,
    ) -> Option<B> {
        self.advance(Instant::now());
        loop {
            let idle = match self.drain(&mut each) {
                ControlFlow::Break(b) => return Some(b),
                ControlFlow::Continue(idle) => idle,
            };
            if self.now >= until || is_done(&self.machine) {
                return None;
            }
            let wake = idle.map_or(until, |t| t.min(until));
            let at = self.origin + Duration::from_micros(wake.micros());
            let patience = at.saturating_duration_since(Instant::now());
            // The sender that is kept here means that the queue is never disconnected.
            if let Ok((at, event)) = self.events.recv_timeout(patience) {
                self.advance(at);
                if matches!(event, Event::Nudge) {
                    return None;
                }
                self.take(event);
            } else {
                self.advance(Instant::now());
                if idle.is_some_and(|t| self.now >= t) {
                    self.machine.handle(self.now, Input::Timeout);
                }
            }
        }
    }

    /// Carries out what the machine wants, until it is idle.
    fn drain<B>(
        &mut self,
        each: &mut impl FnMut(Time, Ingest) -> ControlFlow<B>,
    ) -> ControlFlow<B, Option<Time>> {
        loop {
            match self.machine.poll(self.now) {
                Output::Idle(until) => return ControlFlow::Continue(until),
                Output::Connect { conn, host, port } => self.connect(conn, host, port),
                Output::Send { conn, bytes } => self.send(conn, &bytes),
                Output::Close { conn, fault, .. } => {
                    if let Some(fault) = fault {
                        self.faults
                            .push(format!("{} (byte {})", fault.reason, fault.offset));
                    }
                    self.close(conn);
                }
                Output::Ingest(ingest) => each(self.now, ingest)?,
                // What servers record.
                Output::Report(_) => {}
                Output::SendTo {
                    channel,
                    peer,
                    bytes,
                    ..
                } => {
                    // One that the socket does not take is lost, as it may be on the way.
                    if let Some(datagrams) = self.datagrams.get(&channel) {
                        datagrams.send(&bytes, peer);
                    }
                }
                Output::Join { channel, group } => {
                    let joined = Datagrams::join(group, self.joining);
                    let joined = joined.and_then(|member| self.receive(channel, member));
                    self.faults.extend(joined.err());
                }
                // A client machine serves nobody.
                Output::Pass { .. }
                | Output::Withdraw { .. }
                | Output::Switch { .. }
                | Output::Move { .. }
                | Output::Ask { .. }
                | Output::Flow { .. }
                | Output::Release { .. } => {
                    self.faults
                        .push("the machine wants what only servers have".to_owned());
                }
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Opened(conn, stream, peer, local) => {
                self.connections.insert(conn, stream);
                self.machine
                    .handle(self.now, Input::Opened { conn, peer, local });
            }
            Event::Failed(conn, what) => {
                self.faults.push(what);
                self.machine.handle(self.now, Input::Closed { conn });
            }
            Event::Data(conn, bytes) if self.connections.contains_key(&conn) => {
                self.machine.handle(
                    self.now,
                    Input::Data {
                        conn,
                        bytes: &bytes,
                    },
                );
            }
            Event::Closed(conn) if self.connections.remove(&conn).is_some() => {
                self.machine.handle(self.now, Input::Closed { conn });
            }
            Event::Datagram(channel, peer, bytes) => self.machine.handle(
                self.now,
                Input::Datagram {
                    channel,
                    peer,
                    bytes: &bytes,
                },
            ),
            // The machine has closed it and forgotten it.
            Event::Data(..) | Event::Closed(_) | Event::Nudge => {}
        }
    }

    fn connect(&mut self, conn: ConnId, host: String, port: u16) {
        let sender = self.sender.clone();
        let precise = self.noting.as_ref().map(|(_, gaps)| *gaps);
        let spawned = std::thread::Builder::new()
            .name(format!("connection-{}", conn.0))
            .spawn(move || serve(conn, &host, port, precise, &sender));
        if let Err(e) = spawned {
            self.faults.push(format!("no thread for a connection: {e}"));
            self.machine.handle(self.now, Input::Closed { conn });
        }
    }

    fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(stream) = self.connections.get(&conn) else {
            return;
        };
        if let Err(e) = (&**stream).write_all(bytes) {
            self.faults.push(format!("sending failed: {e}"));
            // The reader notices and tells the machine.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn close(&mut self, conn: ConnId) {
        if let Some(stream) = self.connections.remove(&conn) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Time never goes back, even if two readers' events overtook each other.
    fn advance(&mut self, at: Instant) {
        self.now = self.now.max(self.time_of(at));
    }
}

impl<M> Drop for Driver<M> {
    fn drop(&mut self) {
        for stream in self.connections.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A connection's thread: opens it, then reads until its end.
fn serve(
    conn: ConnId,
    host: &str,
    port: u16,
    precise: Option<Gaps>,
    sender: &SyncSender<(Instant, Event)>,
) {
    let tell = |event| sender.send((Instant::now(), event)).is_ok();
    let opened = open(host, port).and_then(|stream| {
        let (peer, local) = (stream.peer_addr()?, stream.local_addr()?);
        Ok((Arc::new(stream), peer, local))
    });
    let (stream, peer, local) = match opened {
        Ok(opened) => opened,
        Err(e) => {
            tell(Event::Failed(conn, format!("{host}:{port}: {e}")));
            return;
        }
    };
    if !tell(Event::Opened(conn, stream.clone(), peer, local)) {
        return;
    }
    if let Some(gaps) = precise {
        arrivals::first(&stream, gaps, |at, bytes| {
            sender.send((at, Event::Data(conn, bytes))).is_ok()
        });
    }
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match (&*stream).read(&mut buffer) {
            Ok(n) if n > 0 => {
                let at = Instant::now();
                let bytes = buffer.get(..n).unwrap_or_default().to_vec();
                if sender.send((at, Event::Data(conn, bytes))).is_err() {
                    return;
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    tell(Event::Closed(conn));
}

fn open(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(WRITE_LIMIT))?;
                return Ok(stream);
            }
            Err(e) => failed = e,
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use protocols::machine::CloseHow;
    use protocols::media::IngestEvent;
    use std::collections::VecDeque;
    use std::net::{TcpListener, UdpSocket};

    /// Says a word, gives every byte that comes back, closes at the exclamation mark.
    struct Echo {
        out: VecDeque<Output>,
        deadline: Option<Time>,
        timeouts: usize,
    }

    const CONN: ConnId = ConnId(7);
    const FAR: Time = Time(60_000_000);

    impl Echo {
        fn new(port: u16) -> Echo {
            let connect = Output::Connect {
                conn: CONN,
                host: "127.0.0.1".into(),
                port,
            };
            Echo {
                out: VecDeque::from([connect]),
                deadline: None,
                timeouts: 0,
            }
        }

        fn give(&mut self, event: IngestEvent) {
            self.out
                .push_back(Output::Ingest(Ingest { session: 1, event }));
        }
    }

    impl Machine for Echo {
        fn handle(&mut self, _: Time, input: Input<'_>) {
            match input {
                Input::Opened { conn, .. } => {
                    let bytes = Bytes::from_static(b"hello!");
                    self.out.push_back(Output::Send { conn, bytes });
                }
                Input::Data { conn, bytes } => {
                    self.give(IngestEvent::Metadata(String::from_utf8_lossy(bytes).into()));
                    if bytes.ends_with(b"!") {
                        self.out.push_back(Output::Close {
                            conn,
                            how: CloseHow::Flush,
                            fault: None,
                        });
                        self.give(IngestEvent::End(0));
                    }
                }
                Input::Closed { .. } => self.give(IngestEvent::End(1)),
                Input::Timeout => {
                    self.timeouts += 1;
                    self.deadline = None;
                }
                _ => {}
            }
        }

        fn poll(&mut self, _: Time) -> Output {
            self.out.pop_front().unwrap_or(Output::Idle(self.deadline))
        }
    }

    /// What was given as text until the end, and the end's code.
    fn play(machine: Echo) -> (String, u32, Vec<String>) {
        let mut driver = Driver::new(machine);
        let mut text = String::new();
        let end = driver.run(
            FAR,
            |_| false,
            |_, given| {
                match given.event {
                    IngestEvent::Metadata(t) => text += &t,
                    IngestEvent::End(code) => return ControlFlow::Break(code),
                    _ => {}
                }
                ControlFlow::Continue(())
            },
        );
        (text, end.expect("an end"), driver.faults().to_vec())
    }

    #[test]
    fn what_is_sent_comes_back() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accept");
            let mut bytes = [0; 6];
            stream.read_exact(&mut bytes).expect("read");
            for half in bytes.chunks(3) {
                stream.write_all(half).expect("write");
            }
            // The machine's close reaches the peer.
            assert_eq!(stream.read(&mut bytes).expect("end"), 0);
        });
        assert_eq!(play(Echo::new(port)), ("hello!".into(), 0, Vec::new()));
        peer.join().expect("peer");
    }

    #[test]
    fn a_peer_that_closes_and_one_that_is_not_there_are_told() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        let peer = std::thread::spawn(move || drop(listener.accept().expect("accept")));
        assert_eq!(play(Echo::new(port)).1, 1);
        peer.join().expect("peer");
        // The listener is gone now.
        let (_, end, faults) = play(Echo::new(port));
        assert_eq!((end, faults.len()), (1, 1));
        assert!(
            faults[0].starts_with(&format!("127.0.0.1:{port}: ")),
            "{faults:?}"
        );
    }

    /// Asks for datagrams once it is connected, and gives what comes.
    struct Asking(Echo);

    impl Machine for Asking {
        fn handle(&mut self, now: Time, input: Input<'_>) {
            match input {
                Input::Opened { conn, peer, .. } => self.0.out.push_back(Output::SendTo {
                    conn,
                    channel: Channel(1),
                    peer,
                    bytes: Bytes::from_static(b"more"),
                }),
                Input::Datagram {
                    channel,
                    peer,
                    bytes,
                } => {
                    assert_eq!(channel, Channel(1), "to where it was asked from");
                    assert!(peer.ip().is_ipv4(), "{peer} as the machine knows it");
                    self.0
                        .give(IngestEvent::Metadata(String::from_utf8_lossy(bytes).into()));
                }
                other => self.0.handle(now, other),
            }
        }

        fn poll(&mut self, now: Time) -> Output {
            self.0.poll(now)
        }
    }

    #[test]
    fn datagrams_reach_the_machine_and_the_server() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let at = listener.local_addr().expect("address");
        let far = UdpSocket::bind(at).expect("the same port");
        let peer = std::thread::spawn(move || {
            let _held = listener.accept().expect("accept");
            let mut bytes = [0; 10];
            let (n, client) = far.recv_from(&mut bytes).expect("a request");
            assert_eq!(&bytes[..n], b"more");
            far.send_to(b"here", client).expect("send");
        });
        let bind = || Datagrams::bind(None).expect("a socket");
        let driver = Driver::new(Asking(Echo::new(at.port()))).with_datagrams(bind());
        let driver = driver.and_then(|d| d.with_datagrams(bind()));
        let mut driver = driver.expect("readers");
        let given = driver.run(
            FAR,
            |_| false,
            |_, given| match given.event {
                IngestEvent::Metadata(text) => ControlFlow::Break(text),
                _ => ControlFlow::Continue(()),
            },
        );
        assert_eq!(given.as_deref(), Some("here"));
        assert_eq!((driver.dropped(), driver.faults()), (0, &[][..]));
        peer.join().expect("peer");
    }

    #[test]
    fn groups_are_joined_when_the_machine_asks() {
        let free = Datagrams::bind(None).and_then(|d| d.port());
        let group = SocketAddr::from(([239, 255, 77, 3], free.expect("a port")));
        let mut machine = Echo::new(0);
        let wrong = SocketAddr::from(([127, 0, 0, 1], 9));
        let join = |channel, group| Output::Join {
            channel: Channel(channel),
            group,
        };
        machine.out = VecDeque::from([join(1, group), join(2, wrong)]);
        let joining = Joining {
            interface: crate::datagrams::Interface::Address([127, 0, 0, 1].into()),
            loss: None,
        };
        let mut driver = Driver::new(Asking(machine)).with_groups(joining);
        let wait = |driver: &mut Driver<Asking>, until| {
            let each = |_, given: Ingest| match given.event {
                IngestEvent::Metadata(text) => ControlFlow::Break(text),
                _ => ControlFlow::Continue(()),
            };
            driver.run(until, |_| false, each)
        };
        assert_eq!(wait(&mut driver, Time::ZERO), None);
        let faults = driver.faults();
        assert_eq!(faults, ["127.0.0.1:9 is no multicast group"]);
        let far = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None);
        let far = far.expect("a socket");
        far.set_multicast_if_v4(&[127, 0, 0, 1].into())
            .expect("the interface");
        far.send_to(b"all", &group.into()).expect("send");
        assert_eq!(wait(&mut driver, FAR).as_deref(), Some("all"));
    }

    #[test]
    fn a_nudge_ends_the_wait() {
        let mut machine = Echo::new(0);
        machine.out.clear();
        let mut driver = Driver::new(machine);
        let nudger = driver.nudger();
        let run =
            |driver: &mut Driver<Echo>| driver.run(FAR, |_| false, |_, _| ControlFlow::Break(()));
        let other = std::thread::spawn(move || nudger.nudge());
        assert!(run(&mut driver).is_none());
        other.join().expect("nudger");
        // One that came before counts, too; however many, none makes its sender wait.
        let nudger = driver.nudger();
        (0..2 * EVENT_COUNT_MAX).for_each(|_| nudger.nudge());
        assert!(run(&mut driver).is_none());
        assert!(driver.now() < FAR);
    }

    #[test]
    fn deadlines_of_machine_and_caller_are_kept() {
        let mut machine = Echo::new(0);
        machine.out.clear();
        machine.deadline = Some(Time(1000));
        let mut driver = Driver::new(machine);
        let until = Time(3000);
        assert!(
            driver
                .run(until, |_| false, |_, _| ControlFlow::Break(()))
                .is_none()
        );
        assert_eq!(driver.machine().timeouts, 1);
        assert!(driver.now() >= until);
        // A machine that is done is not waited for.
        assert!(
            driver
                .run(FAR, |m| m.timeouts == 1, |_, _| ControlFlow::Break(()))
                .is_none()
        );
    }
}
