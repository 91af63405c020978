//! Names of recordings: `POINT-YYYYmmddTHHMMSSZ.wmv`, and `POINT-YYYYmmddTHHMMSSZ-2.wmv` for a second
//! one that was begun in the same second.

use protocols::wmlog;

/// Recordings of one point that may be begun in one second.
pub(super) const SAME_SECOND_MAX: u32 = 999;

/// The name of the `nth` recording (from 1) that is begun in a second since 1970.
pub(super) fn of(point: &str, unix_seconds: u64, nth: u32, extension: &str) -> String {
    let (date, time) = wmlog::file::utc(unix_seconds);
    let stamp = format!("{}T{}Z", date.replace('-', ""), time.replace(':', ""));
    match nth {
        1 => format!("{point}-{stamp}.{extension}"),
        nth => format!("{point}-{stamp}-{nth}.{extension}"),
    }
}

/// What orders the recordings of a point by age; `None` if a file is none of this point.
pub(super) fn age<'a>(point: &str, name: &'a str) -> Option<(&'a str, u32)> {
    let (stem, extension) = name
        .strip_prefix(point)?
        .strip_prefix('-')?
        .rsplit_once('.')?;
    if !matches!(extension, "wmv" | "wma" | "asf") {
        return None;
    }
    let (stamp, nth) = match stem.split_once('-') {
        Some((stamp, nth)) => (stamp, nth.parse().ok().filter(|n| *n > 1)?),
        None => (stem, 1),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (date, time) = stamp.strip_suffix('Z')?.split_once('T')?;
    (date.len() >= 8 && time.len() == 6 && digits(date) && digits(time)).then_some((stamp, nth))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_when_and_whose() {
        assert_eq!(
            of("live", 1_709_210_096, 1, "wmv"),
            "live-20240229T123456Z.wmv"
        );
        assert_eq!(
            of("live", 1_709_210_096, 2, "wma"),
            "live-20240229T123456Z-2.wma"
        );
    }

    #[test]
    fn names_of_others_are_left_alone() {
        for nth in [1, 2, 10] {
            let name = of("live", 1_709_210_096, nth, "wmv");
            assert_eq!(age("live", &name), Some(("20240229T123456Z", nth)));
            assert_eq!(age("liv", &name), None);
            assert_eq!(age("live-2", &name), None);
        }
        for name in [
            "live-20240229T123456Z.wmv.rcx",
            "live-20240229T123456Z.txt",
            "live-20240229T123456Z-1.wmv",
            "live-20240229T123456Z-x.wmv",
            "live-2024T123456Z.wmv",
            "live-best-of.wmv",
            "live.wmv",
            "live-two-20240229T123456Z.wmv",
        ] {
            assert_eq!(age("live", name), None, "{name}");
        }
        assert!(
            age("live", "live-20240229T123456Z-9.wmv")
                < age("live", "live-20240229T123456Z-10.wmv")
        );
    }
}
