//! RTSP: messages on the connection; media on it too, or as datagrams.

use super::{Closing, Heard, Wish};
use crate::rtsp::client::{self, Client, News, Transport};
use crate::rtsp::{self, Deframer, Item};

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
        self.deframer.feed(data, |item| match item {
            Item::Message(message) => {
                client.message(&asked, &message, out, |news| each(told(news)))
            }
            // RTCP
            Item::Frame { channel, .. } if channel & 1 == 1 => Ok(()),
            Item::Frame { channel, head, len } => {
                let data = rtsp::packet(head, len)?;
                let news = client.data(&asked, Some(channel), &data);
                news.into_iter().for_each(|news| each(told(news)));
                Ok(())
            }
        })
    }

    pub fn hear_datagram(
        &mut self,
        wish: &Wish<'_>,
        head: &[u8],
        len: usize,
        mut each: impl FnMut(Heard),
    ) -> Result<(), String> {
        let data = rtsp::packet(head, len)?;
        let news = self.client.data(&asked(wish), None, &data);
        news.into_iter().for_each(|news| each(told(news)));
        Ok(())
    }

    pub fn keep_alive(&mut self, wish: &Wish<'_>, out: &mut Vec<u8>) {
        self.client.keep_alive(&asked(wish), out);
    }

    pub fn closing(&self) -> Closing {
        if self.deframer.at_boundary() {
            Closing::Whole
        } else {
            Closing::Inside
        }
    }
}

fn told(news: News) -> Heard {
    match news {
        News::Granted => Heard::Accepted,
        News::Media(head) => Heard::Data(head),
        News::StreamChange => Heard::StreamChange,
        News::End { more } => Heard::End(u32::from(more)),
        News::Stray => Heard::Stray,
    }
}

fn asked<'a>(wish: &Wish<'a>) -> client::Wish<'a> {
    client::Wish {
        subject: wish.subject(),
        transport: match wish.udp {
            None => Transport::Tcp,
            Some((_, port)) => Transport::Udp(port),
        },
        streams: &wish.plan.streams,
        start_ms: (!wish.plan.live).then(|| wish.start_ms()),
        locid: wish.plan.locid,
    }
}
