//! Which message may come when, and what answers one that may not (mmsp.md 4.1).

use super::conn::Conn;
use super::play::Begin;
use super::session::{Phase, State};
use super::{Server, Timer};
use crate::machine::{ClientLog, CloseHow, ConnId, Fault, Output, Report, Time};
use crate::mmsp::hresult;
use crate::mmsp::message::{ReportOpenFile, ToClient, ToServer};
use crate::mmsp::wire::Asks;
use crate::wmlog::mmsp::CLIENT_LOG_BYTES;

/// Messages out of place that one session may send.
const VIOLATIONS_MAX: u8 = 8;

/// What a connection wants.
#[derive(Debug)]
pub(super) enum Request {
    Message(ToServer),
    /// A message that nobody knows.
    Unknown {
        mid: u32,
        offset: u64,
    },
    /// A message that cannot be read.
    Malformed {
        mid: u32,
        fault: Fault,
    },
    /// To be closed by us.
    Leave(Option<Fault>),
}

impl Server {
    pub(super) fn on_request(&mut self, now: Time, conn: ConnId, request: Request) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        if must_wait(c, &request) {
            return self.park(conn, request);
        }
        if c.state == State::Leaving {
            return match request {
                Request::Leave(fault) => self.leave(now, conn, fault),
                Request::Message(ToServer::CloseFile { .. }) => self.close_in_order(conn),
                _ => {}
            };
        }
        match request {
            Request::Message(message) => self.on_message(now, conn, message),
            Request::Unknown { mid, offset } => {
                let reason = format!("unknown message {mid:08X}");
                self.violation(now, conn, Fault { offset, reason });
            }
            Request::Malformed { mid, fault } => self.malformed(now, conn, mid, fault),
            Request::Leave(fault) => self.leave(now, conn, fault),
        }
    }

    fn on_message(&mut self, now: Time, conn: ConnId, message: ToServer) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        let (state, may_write) = (c.state, c.may_write());
        // MMSP-101, MMSP-103: a Pong, asked for or not, is only a sign of life.
        if !matches!(message, ToServer::Pong) && state != State::Accepted {
            self.arm_idle(now, conn);
        }
        if may_write && state != State::Accepted {
            self.arm_keep_alive(now, conn);
        }
        match (message, state) {
            (
                ToServer::Connect {
                    play_incarnation,
                    subscriber_name,
                },
                State::Accepted,
            ) => self.connect(now, conn, play_incarnation, &subscriber_name),
            (ToServer::CloseFile { .. }, _) => self.close(conn, CloseHow::Flush, None),
            (ToServer::Pong, _) => {}
            (ToServer::Logging(log), s) if s != State::Accepted => self.log(conn, log),
            (ToServer::FunnelInfo { play_incarnation }, State::Connected | State::Funneled) => {
                self.funnel_info(now, conn, play_incarnation)
            }
            (ToServer::ConnectFunnel { funnel_name }, State::Connected | State::Funneled) => {
                self.connect_funnel(now, conn, &funnel_name);
            }
            (
                ToServer::OpenFile {
                    play_incarnation,
                    file_name,
                    token,
                },
                State::Funneled,
            ) => self.open_file(now, conn, play_incarnation, &file_name, &token),
            (
                ToServer::SecurityResponse {
                    play_incarnation,
                    token,
                    ..
                },
                State::Challenged,
            ) => self.security_response(now, conn, play_incarnation, &token),
            (
                ToServer::ReadBlock {
                    open_file_id,
                    play_incarnation,
                },
                State::Opened | State::Ready | State::Streaming,
            ) => self.read_block(now, conn, open_file_id, play_incarnation),
            (ToServer::CancelReadBlock { .. }, State::Opened | State::Ready | State::Streaming) => {
                self.cancel_read_block(conn)
            }
            (ToServer::StreamSwitch { entries }, State::Ready | State::Streaming) => {
                self.stream_switch(now, conn, &entries);
            }
            (ToServer::StartPlaying(start), State::Ready | State::Streaming) => {
                self.start(now, conn, Begin::playing(&start));
            }
            (
                ToServer::StartStriding {
                    open_file_id,
                    position,
                    play_incarnation,
                    rate,
                },
                State::Ready | State::Streaming,
            ) => {
                let begin = Begin::striding(open_file_id, position, play_incarnation, rate);
                self.start(now, conn, begin);
            }
            (
                ToServer::StopPlaying {
                    play_incarnation, ..
                },
                State::Ready | State::Streaming,
            ) => self.stop(now, conn, play_incarnation),
            (message, _) => self.out_of_place(now, conn, &message),
        }
    }

    /// A message that may not come now.
    fn out_of_place(&mut self, now: Time, conn: ConnId, message: &ToServer) {
        use crate::mmsp::wire::Message;
        let (asks, play_incarnation) = asked_by(message);
        self.refuse(
            now,
            conn,
            asks,
            hresult::NS_E_INVALID_REQUEST,
            play_incarnation,
        );
        let offset = self.conns.get(&conn).map_or(0, |c| c.reader.offset());
        let reason = format!("message {:08X} out of place", message.mid());
        self.violation(now, conn, Fault { offset, reason });
    }

    fn malformed(&mut self, now: Time, conn: ConnId, mid: u32, fault: Fault) {
        let asks = match Asks::of(mid) {
            // An EndOfStream would be believed.
            Asks::StopPlaying => Asks::Nothing,
            asks => asks,
        };
        self.refuse(now, conn, asks, hresult::E_INVALIDARG, 0);
        let state = self.conns.get(&conn).map(|c| c.state);
        if asks == Asks::Connect && state == Some(State::Accepted) {
            return self.close(conn, CloseHow::Flush, Some(fault));
        }
        self.violation(now, conn, fault);
    }

    /// Say no in the report that the message asks for. A refused session goes on as before.
    pub(super) fn refuse(
        &mut self,
        now: Time,
        conn: ConnId,
        asks: Asks,
        hr: u32,
        play_incarnation: u32,
    ) {
        let report = match asks {
            Asks::Connect => self.connected_ex(hr, crate::mmsp::wire::incarnation::NO_PAIR),
            Asks::ConnectFunnel => ToClient::ReportDisconnectedFunnel { hr },
            // MMSP-38
            Asks::OpenFile => ToClient::ReportOpenFile(ReportOpenFile {
                hr,
                play_incarnation,
                ..ReportOpenFile::default()
            }),
            Asks::ReadBlock => ToClient::ReportReadBlock {
                hr,
                play_incarnation,
            },
            Asks::StreamSwitch => ToClient::ReportStreamSwitch { hr },
            Asks::StartPlaying => ToClient::ReportStartedPlaying {
                hr,
                play_incarnation,
                tiger_file_id: 0,
            },
            Asks::StartStriding => ToClient::ReportStartStriding {
                hr,
                play_incarnation,
            },
            Asks::StopPlaying => ToClient::ReportEndOfStream {
                hr,
                play_incarnation,
            },
            Asks::Nothing => return,
        };
        self.say(now, conn, &report);
    }

    /// Count something that no client should do; the last straw closes.
    pub(super) fn violation(&mut self, now: Time, conn: ConnId, fault: Fault) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        c.violations = c.violations.saturating_add(1);
        if c.violations >= VIOLATIONS_MAX {
            self.leave(now, conn, Some(fault));
        }
    }

    /// MMSP-95: it is looked at later, elsewhere.
    fn log(&mut self, conn: ConnId, log: Vec<u8>) {
        let Some(c) = self.conns.get(&conn) else {
            return;
        };
        if log.len() != CLIENT_LOG_BYTES {
            return;
        }
        self.out
            .push_back(Output::Report(Box::new(Report::ClientLog {
                session: c.number,
                flow: c.open.as_ref().and_then(|o| o.last_flow),
                peer: c.peer,
                target: c.target(),
                user_agent: c.client.product.to_string(),
                log: ClientLog::Mmsp(log),
            })));
    }

    /// Nothing more is served; the connection closes soon.
    pub(super) fn linger(&mut self, now: Time, conn: ConnId) {
        if let Some(c) = self.conns.get_mut(&conn) {
            c.state = State::Leaving;
            let at = now + super::open::LINGER;
            self.timers.arm(Timer::Linger(conn), at);
            self.timers.disarm(Timer::KeepAlive(conn));
        }
    }
}

/// True if a request can be looked at only when the flow is held, or when the header is out.
fn must_wait(c: &Conn, request: &Request) -> bool {
    let open = c.open.as_ref();
    let flow = open.and_then(|o| o.flow.as_ref());
    let sends_header = open.is_some_and(|o| o.header.is_some());
    let busy = flow.filter(|f| matches!(f.phase, Phase::Running | Phase::Holding));
    let (replaces, answered) = match request {
        Request::Message(message) => {
            let starts = matches!(
                message,
                ToServer::StartPlaying(_) | ToServer::StartStriding { .. }
            );
            if starts && sends_header {
                return true;
            }
            let replaces = starts || matches!(message, ToServer::StopPlaying { .. });
            (replaces, asked_by(message).0 != Asks::Nothing)
        }
        Request::Malformed { mid, .. } => (false, Asks::of(*mid) != Asks::Nothing),
        Request::Unknown { .. } => (false, false),
        Request::Leave(_) => (true, true),
    };
    busy.is_some_and(|f| replaces || (answered && f.on_connection))
}

/// What a message asks for, and its playIncarnation.
fn asked_by(message: &ToServer) -> (Asks, u32) {
    use crate::mmsp::wire::Message;
    let play_incarnation = match message {
        ToServer::OpenFile {
            play_incarnation, ..
        }
        | ToServer::SecurityResponse {
            play_incarnation, ..
        }
        | ToServer::ReadBlock {
            play_incarnation, ..
        }
        | ToServer::StartStriding {
            play_incarnation, ..
        }
        | ToServer::StopPlaying {
            play_incarnation, ..
        } => *play_incarnation,
        ToServer::StartPlaying(start) => start.play_incarnation,
        _ => 0,
    };
    (Asks::of(message.mid()), play_incarnation)
}
