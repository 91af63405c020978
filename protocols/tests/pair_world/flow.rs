//! Flows of the server, as a driver runs them.

use super::*;

/// A datagram that can be asked for again.
struct Sent {
    at: Time,
    bytes: Vec<u8>,
    again: u8,
    /// Its packet, and its place among the datagrams of that.
    meta: PacketMeta,
    piece: u32,
}

/// The datagrams of one packet, by their lanes.
#[derive(Default)]
struct Sprayed(Vec<(usize, Vec<u8>)>);

impl Spray for Sprayed {
    fn datagram(&mut self, lane: usize, write: &mut dyn FnMut(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.0.push((lane, bytes));
    }
}

/// A flow of the server, as a driver runs it.
pub struct Flow {
    pub start: FlowStart,
    path: &'static str,
    next: i64,
    sequence: u32,
    pacer: Pacer,
    selection: Selection,
    pub held: bool,
    pub over: bool,
    /// Datagrams that can be asked for again, by their sequence.
    window: Vec<Sent>,
}

impl Flow {
    /// The next packet, if it is not the end.
    fn packet<'a>(&self, clip: &'a Clip) -> Option<&'a Pkt> {
        let packet = clip.packets.get(usize::try_from(self.next).ok()?)?;
        let span = packet.send_time.abs_diff(self.start.send_time);
        let inside = self.start.max_duration.is_none_or(|max| span < max);
        inside.then_some(packet)
    }
}

/// A send time on the clock of a flow, which runs forward in any case.
fn clock(rate_milli: i32, send_time: u32) -> u32 {
    match rate_milli {
        ..0 => Pacer::rewound(send_time),
        _ => send_time,
    }
}

impl<C: Player, S: Machine> World<C, S> {
    pub(super) fn command(&mut self, id: FlowId, command: FlowCommand) {
        match command {
            FlowCommand::Start(start) => {
                let path = self.contents[&start.content];
                let next = i64::from(start.packet);
                let first = self.clips[path].packets[next as usize].send_time;
                let first = clock(start.rate_milli, first);
                let pace = match (start.rate_milli, start.pace) {
                    (1000, pace) => pace,
                    (rate, _) => Pace::Media {
                        accel: None,
                        speed_milli: rate.unsigned_abs(),
                    },
                };
                let flow = Flow {
                    pacer: Pacer::new(self.now, first, pace),
                    selection: start.selection,
                    start: *start,
                    path,
                    next,
                    sequence: 0,
                    held: false,
                    over: false,
                    window: Vec::new(),
                };
                assert!(self.flows.insert(id, flow).is_none());
            }
            FlowCommand::StartFile { .. } => panic!("nobody downloads"),
            FlowCommand::Resend(sequences) => self.resend(id, &sequences),
            FlowCommand::Select(switches) => {
                let flow = self.flows.get_mut(&id).unwrap();
                flow.selection = flow.selection.changed(&switches);
            }
            FlowCommand::Hold => {
                let flow = self.flows.get_mut(&id).unwrap();
                if !flow.over {
                    flow.held = true;
                    let event = FlowEvent::Held(totals(flow));
                    self.server
                        .handle(self.now, Input::Flow { flow: id, event });
                }
            }
            FlowCommand::Go => self.flows.get_mut(&id).unwrap().held = false,
            FlowCommand::Drop => {
                let flow = self.flows.remove(&id);
                assert!(
                    flow.is_none_or(|f| f.held || f.over),
                    "dropped while it runs"
                );
            }
        }
    }

    /// What was sent is made once more from its packet, also behind the end of the flow.
    fn resend(&mut self, id: FlowId, sequences: &[u32]) {
        let flow = self.flows.get_mut(&id).unwrap();
        let datagrams = flow.start.datagrams.clone().expect("datagrams");
        let resend = datagrams.resend.expect("to be sent again");
        let lane = datagrams.lanes[resend.lane];
        let mut out = Vec::new();
        for &n in sequences {
            let Some(sent) = flow.window.get_mut(n as usize) else {
                continue;
            };
            let age = self.now.since(sent.at);
            if age <= resend.window && sent.again < resend.count_max {
                sent.again += 1;
                let packet = &self.clips[flow.path].packets[sent.meta.number as usize];
                let mut bytes = Vec::new();
                let framer = &flow.start.framer;
                framer.again(n, sent.piece, &sent.meta, &packet.bytes, &mut bytes);
                self.changed += u32::from(bytes != sent.bytes);
                out.push((n, sent.again, bytes));
            }
        }
        for (n, again, bytes) in out {
            let media = Some((id, n, again));
            self.air
                .down(self.now, (lane.channel, lane.to), bytes, media);
        }
    }

    /// The sources of all flows are gone.
    pub fn lose_sources(&mut self) {
        let flows: Vec<FlowId> = self.flows.keys().copied().collect();
        for id in flows {
            let flow = self.flows.get_mut(&id).unwrap();
            if !flow.over {
                flow.over = true;
                let event = FlowEvent::Ended(FlowEnd::SourceLost, totals(flow));
                self.server
                    .handle(self.now, Input::Flow { flow: id, event });
                self.poll_server();
            }
        }
    }

    /// When the next thing of a flow is to be done.
    pub(super) fn due(&self, id: FlowId) -> Option<Time> {
        let flow = self.flows.get(&id).filter(|f| !f.held && !f.over)?;
        let clip = &self.clips[flow.path];
        let rate = flow.start.rate_milli;
        let Some(packet) = flow.packet(clip) else {
            // The end comes when the last packet has had its time.
            let last = match rate {
                ..0 => &clip.packets[0],
                _ => &clip.packets[(flow.next as usize).saturating_sub(1)],
            };
            return Some(
                flow.pacer
                    .due(clock(rate, last.send_time).wrapping_add(STEP)),
            );
        };
        let due = flow.pacer.due(clock(rate, packet.send_time));
        let made = self.live_since + Duration::from_millis(u64::from(packet.send_time));
        Some(if clip.live { due.max(made) } else { due })
    }

    /// All that is due, in one write.
    pub(super) fn send_media(&mut self, id: FlowId) {
        let mut out = Vec::new();
        let conn = self.flows[&id].start.conn;
        let datagrams = self.flows[&id].start.datagrams.clone();
        if !self.flows[&id].start.framer.in_place() {
            self.flows[&id].start.framer.begin(&mut out);
        }
        let mut ended = false;
        while self.due(id).is_some_and(|t| t <= self.now) {
            let flow = self.flows.get_mut(&id).unwrap();
            let Some(packet) = flow.packet(&self.clips[flow.path]) else {
                flow.over = true;
                ended = true;
                break;
            };
            let rate = flow.start.rate_milli;
            let number = flow.next as u32;
            flow.next += if rate < 0 { -1 } else { 1 };
            let level = match (rate, flow.selection.level(packet.stream)) {
                (1000, level) => level,
                // Others than normal: key frames of video only.
                (_, Level::Off) => Level::Off,
                _ if packet.stream == 1 => Level::KeyOnly,
                _ => Level::Off,
            };
            let send_time = clock(rate, packet.send_time);
            if level == Level::Off || level == Level::KeyOnly && !packet.key {
                flow.pacer.sent(send_time, 0);
                continue;
            }
            let meta = PacketMeta {
                number,
                send_time: packet.send_time,
                duration: STEP as u16,
                key: packet.key,
                len: packet.bytes.len() as u32,
            };
            let rushed = flow.pacer.rushed_at(packet.send_time);
            let framer = &flow.start.framer;
            if let Some(datagrams) = &datagrams {
                let mut sprayed = Sprayed::default();
                framer.spray(flow.sequence, &meta, rushed, &packet.bytes, &mut sprayed);
                let mut piece = 0;
                for (n, bytes) in sprayed.0 {
                    let lane = datagrams.lanes[n];
                    let way = (lane.channel, lane.to);
                    if n != 0 {
                        self.air.down(self.now, way, bytes, None);
                        continue;
                    }
                    let media = Some((id, flow.sequence, 0));
                    self.air.down(self.now, way, bytes.clone(), media);
                    flow.window.push(Sent {
                        at: self.now,
                        bytes,
                        again: 0,
                        meta,
                        piece,
                    });
                    piece += 1;
                    flow.sequence += 1;
                }
            } else if framer.in_place() {
                let mut head = [0; SLOT_HEAD];
                framer.stamp(flow.sequence, &meta, rushed, &mut head);
                out.extend_from_slice(&head);
                out.extend_from_slice(&packet.bytes);
            } else {
                framer.put(flow.sequence, &meta, rushed, &packet.bytes, &mut out);
            }
            self.rushed += u32::from(rushed);
            flow.sequence += u32::from(datagrams.is_none());
            flow.pacer.sent(send_time, meta.len + framer.overhead());
            self.sent.push((flow.path, number));
        }
        let flow = &self.flows[&id];
        if !flow.start.framer.in_place() {
            flow.start.framer.finish(0, &mut out);
        }
        let totals = totals(flow);
        if !out.is_empty() {
            self.write(conn, out);
        }
        if ended {
            let event = FlowEvent::Ended(FlowEnd::Finished, totals);
            self.server
                .handle(self.now, Input::Flow { flow: id, event });
            self.poll_server();
        }
    }
}

fn totals(flow: &Flow) -> FlowTotals {
    FlowTotals {
        packets: u64::from(flow.sequence),
        bytes: 0,
        sequence: flow.sequence,
    }
}
