//! MMSP: messages on the connection; media on it too, or as datagrams.

use super::{Closing, Heard, Wish};
use crate::mmsp::client::{self, Client, News, Transport};
use crate::mmsp::{self, Deframer, Packet, Whole};
use protocols::mmsp::message::ToClient;
use protocols::mmsp::wire::Reader;

/// A session's side of the dialogue.
#[derive(Default)]
pub(in crate::swarm) struct Talk {
    client: Client,
    deframer: Deframer,
}

impl Talk {
    pub fn open(&mut self, wish: &Wish<'_>, out: &mut Vec<u8>) {
        self.client.open(&asked(wish), out);
    }

    pub fn hear(
        &mut self,
        wish: &Wish<'_>,
        data: &[u8],
        out: &mut Vec<u8>,
        mut each: impl FnMut(Heard),
    ) -> Result<(), String> {
        let asked = asked(wish);
        let client = &mut self.client;
        self.deframer.feed(data, |packet| {
            match packet {
                Packet::Data(data) => tell(client.data(&asked, &data, out)?, &mut each),
                Packet::Report(bytes) => {
                    let mut reader = Reader::<ToClient>::default();
                    reader.push(bytes);
                    while let Some(whole) = mmsp::take(&mut reader)? {
                        // The deframer knows Data from reports: there is none here.
                        if let Whole::Report(report) = whole {
                            tell(client.report(&asked, &report, out)?, &mut each);
                        }
                    }
                }
            }
            Ok(())
        })
    }

    pub fn hear_datagram(
        &mut self,
        wish: &Wish<'_>,
        head: &[u8],
        len: usize,
        out: &mut Vec<u8>,
        mut each: impl FnMut(Heard),
    ) -> Result<(), String> {
        let data = mmsp::datagram(head, len)?;
        tell(self.client.data(&asked(wish), &data, out)?, &mut each);
        Ok(())
    }

    pub fn remind(&mut self, wish: &Wish<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        self.client.remind(&asked(wish), out)
    }

    pub fn closing(&self) -> Closing {
        if self.deframer.at_boundary() {
            Closing::Whole
        } else {
            Closing::Inside
        }
    }
}

fn tell(news: News, each: &mut impl FnMut(Heard)) {
    match news {
        News::Media(head) => each(Heard::Data(head)),
        News::Granted => each(Heard::Accepted),
        News::StreamChange => each(Heard::StreamChange),
        News::End(hr) => each(Heard::End(hr)),
        // A pair was not asked for.
        News::Stray | News::Pair(_) => each(Heard::Stray),
        News::Nothing | News::Header | News::Fragment => {}
    }
}

fn asked<'a>(wish: &Wish<'a>) -> client::Wish<'a> {
    client::Wish {
        subject: wish.subject(),
        transport: match wish.udp {
            None => Transport::Tcp,
            Some((ip, port)) => Transport::Udp(ip, port),
        },
        pair: false,
        streams: &wish.plan.streams,
        start_ms: wish.start_ms(),
    }
}
