//! RTCP compounds (RFC 3550, 6; RFC 4585, 6.2.1; MS-RTSP 2.2.4).

use super::Fault;

/// The name behind the `@` of a CNAME that goes with NACKs (RTSP-38).
pub const NACK_DOMAIN: &str = "WMS:7ff42e07-3c7c-4eb5-9c17-6bdd11ad90de";
/// Most NACK entries of one compound that a client sends (RTSP-44).
pub const NACKS_SENT_MAX: usize = 32;
/// Most lost packets of one compound that a server looks up (RTSP-43).
pub const LOOKUPS_MAX: usize = 128;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const FEEDBACK: u8 = 205;
const CNAME: u8 = 1;
const GENERIC_NACK: u8 = 1;
/// Set in the count of a NACK by clients, and ignored (RTSP-39, RTSP-40).
const E: u8 = 0x10;

/// What a sender says of its clock and of what it sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// NTP time: seconds since 1900 and fraction.
    pub ntp: u64,
    /// The same moment in the source's clock.
    pub timestamp: u32,
    /// Packets since the start.
    pub packets: u32,
    /// Payload bytes since the start.
    pub bytes: u32,
}

/// What a receiver says of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The source.
    pub ssrc: u32,
    /// Of 256, since the last report.
    pub fraction_lost: u8,
    /// Since the start, 24 bits; negative when duplicates came.
    pub lost: i32,
    /// Highest sequence number, with its wraps above.
    pub highest: u32,
    /// In units of the source's clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report.
    pub last_sr: u32,
    /// Since then, 1/65536 s.
    pub delay: u32,
}

/// One packet of a compound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// SR.
    SenderReport {
        /// Sender.
        ssrc: u32,
        /// About itself.
        info: SenderInfo,
        /// About others.
        reports: Vec<Report>,
    },
    /// RR.
    ReceiverReport {
        /// Sender.
        ssrc: u32,
        /// About others.
        reports: Vec<Report>,
    },
    /// SDES: each source with its CNAME.
    Names(Vec<(u32, &'a [u8])>),
    /// BYE.
    Bye(Vec<u32>),
    /// Generic NACK.
    Nack(Nack<'a>),
    /// Another type.
    Other(u8),
}

/// A generic NACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nack<'a> {
    /// Who asks.
    pub sender: u32,
    /// Of whose packets.
    pub media: u32,
    entries: &'a [u8],
}

impl Nack<'_> {
    /// Sequence numbers of the lost packets.
    pub fn lost(&self) -> impl Iterator<Item = u16> {
        let (entries, _) = self.entries.as_chunks::<4>();
        entries.iter().flat_map(|&[p0, p1, b0, b1]| {
            let first = u16::from_be_bytes([p0, p1]);
            let mask = u16::from_be_bytes([b0, b1]);
            let rest = (0..16u16).filter(move |n| mask >> n & 1 != 0);
            std::iter::once(first).chain(rest.map(move |n| first.wrapping_add(n + 1)))
        })
    }
}

/// The packets of a compound, up to the first that cannot be read.
pub fn compound(bytes: &[u8]) -> impl Iterator<Item = Result<Packet<'_>, Fault>> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let now = rest.filter(|r| !r.is_empty())?;
        let at = bytes.len() - now.len();
        match parse_one(now) {
            Ok((packet, len)) => {
                rest = now.get(len..);
                Some(Ok(packet))
            }
            Err(fault) => {
                rest = None;
                Some(Err(fault.moved(at as u64)))
            }
        }
    })
}

fn parse_one(bytes: &[u8]) -> Result<(Packet<'_>, usize), Fault> {
    let fault = |reason| Fault::at(0, "RTCP packet", reason);
    let Some(&[flags, kind, l0, l1]) = bytes.first_chunk::<4>() else {
        return Err(fault("too short"));
    };
    if flags >> 6 != 2 {
        return Err(fault("version is not 2"));
    }
    let len = 4 + usize::from(u16::from_be_bytes([l0, l1])) * 4;
    let mut body = bytes.get(4..len).ok_or(fault("length beyond the end"))?;
    if flags & 0x20 != 0 {
        let padding = usize::from(*body.last().ok_or(fault("padding without length"))?);
        let end = body.len().checked_sub(padding);
        body = end
            .and_then(|end| body.get(..end))
            .ok_or(fault("padding beyond the start"))?;
    }
    let count = usize::from(flags & 0x1F);
    let short = Fault::at(4, "RTCP packet", "too short for what it counts");
    let packet = match kind {
        SENDER_REPORT => sender_report(body, count).ok_or(short)?,
        RECEIVER_REPORT => {
            let (ssrc, rest) = word(body).ok_or(short)?;
            Packet::ReceiverReport {
                ssrc,
                reports: reports(rest, count).ok_or(short)?,
            }
        }
        SOURCE_DESCRIPTION => Packet::Names(names(body, count).ok_or(short)?),
        BYE => {
            let words = body.as_chunks::<4>().0;
            let sources = words.get(..count).ok_or(short)?;
            Packet::Bye(sources.iter().map(|w| u32::from_be_bytes(*w)).collect())
        }
        FEEDBACK if flags & 0x0F == GENERIC_NACK => {
            let (sender, rest) = word(body).ok_or(short)?;
            let (media, entries) = word(rest).ok_or(short)?;
            Packet::Nack(Nack {
                sender,
                media,
                entries,
            })
        }
        other => Packet::Other(other),
    };
    Ok((packet, len))
}

fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*word), rest))
}

fn sender_report(body: &[u8], count: usize) -> Option<Packet<'_>> {
    let (ssrc, rest) = word(body)?;
    let (high, rest) = word(rest)?;
    let (low, rest) = word(rest)?;
    let (timestamp, rest) = word(rest)?;
    let (packets, rest) = word(rest)?;
    let (bytes, rest) = word(rest)?;
    Some(Packet::SenderReport {
        ssrc,
        info: SenderInfo {
            ntp: u64::from(high) << 32 | u64::from(low),
            timestamp,
            packets,
            bytes,
        },
        reports: reports(rest, count)?,
    })
}

fn reports(mut rest: &[u8], count: usize) -> Option<Vec<Report>> {
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        let mut words = [0; 6];
        for slot in &mut words {
            (*slot, rest) = word(rest)?;
        }
        let [ssrc, loss, highest, jitter, last_sr, delay] = words;
        list.push(Report {
            ssrc,
            fraction_lost: (loss >> 24) as u8,
            lost: (loss << 8) as i32 >> 8,
            highest,
            jitter,
            last_sr,
            delay,
        });
    }
    Some(list)
}

fn names(mut rest: &[u8], count: usize) -> Option<Vec<(u32, &[u8])>> {
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        let (ssrc, mut items) = word(rest)?;
        let start = rest.len();
        let mut name: &[u8] = &[];
        loop {
            match *items {
                // The end of a chunk, filled up to a whole word.
                [0, ref after @ ..] => {
                    let used = start - after.len();
                    rest = rest.get(used.next_multiple_of(4)..)?;
                    break;
                }
                [kind, len, ref after @ ..] => {
                    let text = after.get(..usize::from(len))?;
                    if kind == CNAME {
                        name = text;
                    }
                    items = after.get(usize::from(len)..)?;
                }
                _ => return None,
            }
        }
        list.push((ssrc, name));
    }
    Some(list)
}

/// A request for packets to be sent again, out of a whole compound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resend {
    /// SSRC of the retransmission stream that the CNAME names: whose session it is.
    pub rtx_ssrc: u32,
    /// SSRC that the client calls itself by.
    pub sender: u32,
    /// Source and sequence number of what was lost, at most [`LOOKUPS_MAX`].
    pub lost: Vec<(u32, u16)>,
}

impl Resend {
    /// Read a compound. `None` without NACK or without the CNAME that has to go with it, to be
    /// ignored silently (RTSP-41).
    pub fn parse(bytes: &[u8]) -> Option<Resend> {
        let mut owner = None;
        let mut lost = Vec::new();
        for packet in compound(bytes) {
            match packet.ok()? {
                Packet::Names(names) => {
                    owner = owner.or_else(|| {
                        names
                            .iter()
                            .find_map(|&(sender, name)| Some((sender, rtx_ssrc(name)?)))
                    });
                }
                Packet::Nack(nack) => {
                    let room = LOOKUPS_MAX - lost.len();
                    lost.extend(nack.lost().take(room).map(|seq| (nack.media, seq)));
                }
                _ => {}
            }
        }
        let (sender, rtx_ssrc) = owner?;
        (!lost.is_empty()).then_some(Resend {
            rtx_ssrc,
            sender,
            lost,
        })
    }
}

/// The number in front of [`NACK_DOMAIN`].
fn rtx_ssrc(name: &[u8]) -> Option<u32> {
    let name = std::str::from_utf8(name).ok()?;
    let (number, domain) = name.split_once('@')?;
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    (digits && domain == NACK_DOMAIN)
        .then(|| number.parse().ok())
        .flatten()
}

/// A compound in the making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compound(Vec<u8>);

impl Compound {
    /// SR with at most 31 reports.
    pub fn sender_report(&mut self, ssrc: u32, info: &SenderInfo, reports: &[Report]) -> &mut Self {
        let reports = reports.get(..31).unwrap_or(reports);
        self.packet(reports.len() as u8, SENDER_REPORT, |out| {
            out.extend_from_slice(&ssrc.to_be_bytes());
            out.extend_from_slice(&info.ntp.to_be_bytes());
            for word in [info.timestamp, info.packets, info.bytes] {
                out.extend_from_slice(&word.to_be_bytes());
            }
            reports.iter().for_each(|r| put_report(r, out));
        })
    }

    /// RR with at most 31 reports.
    pub fn receiver_report(&mut self, ssrc: u32, reports: &[Report]) -> &mut Self {
        let reports = reports.get(..31).unwrap_or(reports);
        self.packet(reports.len() as u8, RECEIVER_REPORT, |out| {
            out.extend_from_slice(&ssrc.to_be_bytes());
            reports.iter().for_each(|r| put_report(r, out));
        })
    }

    /// SDES with one CNAME of at most 255 bytes.
    pub fn name(&mut self, ssrc: u32, cname: &str) -> &mut Self {
        let cname = cname.as_bytes();
        let cname = cname.get(..255).unwrap_or(cname);
        self.packet(1, SOURCE_DESCRIPTION, |out| {
            out.extend_from_slice(&ssrc.to_be_bytes());
            out.extend_from_slice(&[CNAME, cname.len() as u8]);
            out.extend_from_slice(cname);
            // At least one zero ends the items.
            out.push(0);
        })
    }

    /// BYE of one source.
    pub fn bye(&mut self, ssrc: u32) -> &mut Self {
        self.packet(1, BYE, |out| out.extend_from_slice(&ssrc.to_be_bytes()))
    }

    /// Generic NACK with E set (RTSP-39).
    pub fn nack(&mut self, sender: u32, media: u32, entries: &[(u16, u16)]) -> &mut Self {
        self.packet(E | GENERIC_NACK, FEEDBACK, |out| {
            out.extend_from_slice(&sender.to_be_bytes());
            out.extend_from_slice(&media.to_be_bytes());
            for (first, mask) in entries {
                out.extend_from_slice(&first.to_be_bytes());
                out.extend_from_slice(&mask.to_be_bytes());
            }
        })
    }

    /// The bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn packet(&mut self, count: u8, kind: u8, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        let start = self.0.len();
        self.0.extend_from_slice(&[0x80 | count, kind, 0, 0]);
        write(&mut self.0);
        let len = (self.0.len() - start).next_multiple_of(4);
        self.0.resize(start + len, 0);
        let words = ((len / 4 - 1) as u16).to_be_bytes();
        if let Some(field) = self.0.get_mut(start + 2..start + 4) {
            field.copy_from_slice(&words);
        }
        self
    }
}

fn put_report(report: &Report, out: &mut Vec<u8>) {
    let loss = u32::from(report.fraction_lost) << 24 | (report.lost as u32 & 0x00FF_FFFF);
    for word in [
        report.ssrc,
        loss,
        report.highest,
        report.jitter,
        report.last_sr,
        report.delay,
    ] {
        out.extend_from_slice(&word.to_be_bytes());
    }
}

/// Lost packets as NACK entries: the first, and a mask of the 16 behind it.
pub fn nack_entries(lost: impl IntoIterator<Item = u16>) -> Vec<(u16, u16)> {
    let mut entries: Vec<(u16, u16)> = Vec::new();
    for seq in lost {
        if let Some((first, mask)) = entries.last_mut() {
            let distance = seq.wrapping_sub(*first);
            if distance == 0 {
                continue;
            }
            if distance <= 16 {
                *mask |= 1 << (distance - 1);
                continue;
            }
        }
        entries.push((seq, 0));
    }
    entries
}

/// The compounds that ask for `lost` packets of `media`: RR, CNAME and NACK, each with at most
/// [`NACKS_SENT_MAX`] entries (RTSP-38, RTSP-44).
pub fn resend_requests(
    sender: u32,
    rtx_ssrc: u32,
    media: u32,
    lost: impl IntoIterator<Item = u16>,
) -> Vec<Vec<u8>> {
    let entries = nack_entries(lost);
    let name = format!("{rtx_ssrc}@{NACK_DOMAIN}");
    let compound = |entries: &[(u16, u16)]| {
        let mut c = Compound::default();
        c.receiver_report(sender, &[])
            .name(sender, &name)
            .nack(sender, media, entries);
        c.finish()
    };
    entries.chunks(NACKS_SENT_MAX).map(compound).collect()
}
