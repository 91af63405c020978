//! WMSP: a Describe if it is wanted, then Play, whose reply goes on until the end.

use super::{Closing, Heard, Wish};
use crate::wmsp::{self, Deframer, Packet, ResponseHead};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Nothing,
    DescribeHead,
    DescribeBody,
    PlayHead,
    Media,
}

/// A session's side of the dialogue.
#[derive(Default)]
pub(in crate::swarm) struct Talk {
    phase: Phase,
    // Only before media.
    head: Vec<u8>,
    body_left: u64,
    described: bool,
    client_id: Option<u32>,
    deframer: Deframer,
}

impl Talk {
    pub fn open(&mut self, wish: &Wish<'_>, out: &mut Vec<u8>) {
        if wish.plan.describe && self.phase == Phase::Nothing {
            out.extend(wmsp::describe(&wish.subject(), false).into_bytes());
            self.phase = Phase::DescribeHead;
        } else {
            self.ask_to_play(wish, out);
        }
    }

    pub fn hear(
        &mut self,
        wish: &Wish<'_>,
        data: &[u8],
        out: &mut Vec<u8>,
        mut each: impl FnMut(Heard),
    ) -> Result<(), String> {
        match self.phase {
            Phase::Nothing => Err("the server speaks first".into()),
            Phase::Media => self.media(data, each),
            Phase::DescribeBody => self.body(data.len(), wish, out),
            Phase::DescribeHead | Phase::PlayHead => {
                self.head.extend_from_slice(data);
                let Some(head) = wmsp::response_head(&self.head)? else {
                    return Ok(());
                };
                accept(&head)?;
                self.client_id = head.client_id.or(self.client_id);
                let rest = std::mem::take(&mut self.head).split_off(head.len);
                if self.phase == Phase::DescribeHead {
                    self.phase = Phase::DescribeBody;
                    self.body_left = head
                        .content_length
                        .ok_or("Describe reply without Content-Length")?;
                    return self.body(rest.len(), wish, out);
                }
                self.phase = Phase::Media;
                each(Heard::Accepted);
                self.media(&rest, each)
            }
        }
    }

    /// A server may close after Describe; Play then goes on a new connection.
    pub fn closing(&mut self) -> Closing {
        if self.phase == Phase::PlayHead && self.head.is_empty() && self.described {
            self.described = false;
            Closing::Again
        } else if self.deframer.at_boundary() {
            Closing::Whole
        } else {
            Closing::Inside
        }
    }

    fn ask_to_play(&mut self, wish: &Wish<'_>, out: &mut Vec<u8>) {
        let streams = &wish.plan.streams;
        let text = wmsp::play(&wish.subject(), self.client_id, streams, wish.start_ms());
        out.extend(text.into_bytes());
        self.phase = Phase::PlayHead;
    }

    fn body(&mut self, n: usize, wish: &Wish<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        self.body_left = self
            .body_left
            .checked_sub(n as u64)
            .ok_or("more bytes than Content-Length")?;
        if self.body_left == 0 {
            self.described = true;
            self.ask_to_play(wish, out);
        }
        Ok(())
    }

    fn media(&mut self, data: &[u8], mut each: impl FnMut(Heard)) -> Result<(), String> {
        self.deframer.feed(data, |packet| match packet {
            Packet::Data(head) => each(Heard::Data(head)),
            Packet::StreamChange => each(Heard::StreamChange),
            Packet::End(reason) => each(Heard::End(reason)),
            Packet::Header(_) | Packet::Test => {}
        })
    }
}

fn accept(head: &ResponseHead) -> Result<(), String> {
    if head.status != 200 {
        return Err(format!("status {}", head.status));
    }
    if head.chunked {
        // wmsp.md 1: never toward a client that did not ask for pipelining.
        return Err("chunked reply to a non-pipelined request".into());
    }
    Ok(())
}
