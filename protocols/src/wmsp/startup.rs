//! The value of `X-StartupProfile` (MS-WMSP 2.2.1.12).

use crate::content::StartupProfile;
use std::fmt::Write as _;

/// Rates that the parallel lists are about, in tenths (BW-41).
pub const RATES: [u32; 5] = [10, 12, 15, 20, 30];

/// Write the header's value: fixed order, no spaces, a semicolon at the end (BW-40, WMSP-66).
///
/// Numbers are brought into the ranges that the syntax allows (BW-48): MaxBytes and ByteRate are at
/// least 1, MaxDiffSndTime is not negative, everything has 32 bits. A ByteRate that was never set
/// takes the largest of the others; StartTime is taken modulo 2^32, as ASF counts.
pub fn value(profile: &StartupProfile) -> String {
    let small = |n: u64| n.min(u64::from(u32::MAX));
    let rate = profile.byte_rate.iter().copied().max().unwrap_or(0).max(1);
    let max_bytes = profile.max_bytes.map(|b| b.clamp(1, i32::MAX as u64));
    let byte_rate = profile
        .byte_rate
        .map(|r| small(if r == 0 { rate } else { r }));
    let mut text = String::with_capacity(256);
    put(&mut text, "Rate", &RATES.map(u64::from));
    put(&mut text, "MaxBytes", &max_bytes);
    put(&mut text, "Time", &profile.time.map(small));
    put(&mut text, "StartTime", &[profile.start_time & 0xFFFF_FFFF]);
    put(&mut text, "LastTime", &[small(profile.last_time)]);
    put(&mut text, "MaxDiffTime", &[small(profile.max_diff_time)]);
    let lag = profile.max_diff_snd_time.clamp(0, i64::from(i32::MAX));
    put(&mut text, "MaxDiffSndTime", &[lag.unsigned_abs()]);
    put(&mut text, "ByteRate", &byte_rate);
    text
}

/// Read the header's value, by any server: unknown names are passed over, and the rates must be
/// the five of [`RATES`].
///
/// `None` if a list is missing, has another length, or holds what is no number.
pub fn parse(value: &str) -> Option<StartupProfile> {
    let list = |wanted: &str| {
        value.split(';').find_map(|part| {
            let (name, list) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case(wanted).then_some(list)
        })
    };
    let number = |text: &str| -> Option<u64> {
        let text = text.trim();
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let one = |name| number(list(name)?);
    let five = |name| -> Option<[u64; 5]> {
        let mut parts = list(name)?.split(',').map(number);
        let mut values = [0; 5];
        for value in &mut values {
            *value = parts.next()??;
        }
        parts.next().is_none().then_some(values)
    };
    (five("Rate")? == RATES.map(u64::from)).then_some(())?;
    Some(StartupProfile {
        max_bytes: five("MaxBytes")?,
        time: five("Time")?,
        start_time: one("StartTime")?,
        last_time: one("LastTime")?,
        max_diff_time: one("MaxDiffTime")?,
        max_diff_snd_time: i64::try_from(one("MaxDiffSndTime")?).ok()?,
        byte_rate: five("ByteRate")?,
    })
}

fn put(text: &mut String, name: &str, values: &[u64]) {
    let _ = write!(text, "{name}=");
    for (n, v) in values.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(text, "{comma}{v}");
    }
    text.push(';');
}

#[cfg(test)]
mod tests {
    use super::*;

    // BW-40, BW-41, WMSP-66: the header of example E3.
    #[test]
    fn the_example_of_the_reference() {
        let profile = StartupProfile {
            max_bytes: [7800, 7320, 6600, 5400, 4400],
            time: [120, 120, 120, 120, 0],
            start_time: 3100,
            last_time: 160,
            max_diff_time: 100,
            max_diff_snd_time: 20,
            byte_rate: [20000; 5],
        };
        assert_eq!(
            value(&profile),
            "Rate=10,12,15,20,30;MaxBytes=7800,7320,6600,5400,4400;Time=120,120,120,120,0;\
             StartTime=3100;LastTime=160;MaxDiffTime=100;MaxDiffSndTime=20;\
             ByteRate=20000,20000,20000,20000,20000;"
        );
        let text = value(&profile);
        assert_eq!(parse(&text), Some(profile));
        assert_eq!(parse(&text.replace("Rate=10,12", "Rate=10,11")), None);
        assert_eq!(parse(&text.replace(",20000;", ";")), None);
        assert_eq!(parse(&text.replace("LastTime=160", "LastTime=-1")), None);
        assert_eq!(parse(""), None);
    }

    // BW-48
    #[test]
    fn values_stay_in_their_ranges() {
        let profile = StartupProfile {
            max_bytes: [0, u64::MAX, 1, 1, 1],
            time: [u64::MAX, 0, 0, 0, 0],
            start_time: (1 << 32) + 5,
            last_time: u64::MAX,
            max_diff_time: u64::MAX,
            max_diff_snd_time: -50,
            byte_rate: [0, 7, 0, 0, 0],
        };
        assert_eq!(
            value(&profile),
            "Rate=10,12,15,20,30;MaxBytes=1,2147483647,1,1,1;Time=4294967295,0,0,0,0;StartTime=5;\
             LastTime=4294967295;MaxDiffTime=4294967295;MaxDiffSndTime=0;ByteRate=7,7,7,7,7;"
        );
    }
}
