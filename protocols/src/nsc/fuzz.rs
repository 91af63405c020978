//! Bodies of fuzz targets: they hold for any bytes, and panic where something is wrong.

use super::block;
use super::{Style, read};

/// A station file that can be used is the same after it was written and read again.
pub fn station(bytes: &[u8]) {
    let Ok(reading) = read(bytes) else {
        return;
    };
    for style in [Style::Encoded, Style::Plain] {
        // What came may be no legal station: a log URL, for one.
        if let Ok(text) = reading.station.write(style) {
            let again = read(text.as_bytes());
            let again = again.unwrap_or_else(|e| panic!("{e}: {text}"));
            assert_eq!(again.station, reading.station);
            assert_eq!(again.warnings, []);
        }
    }
}

/// A block that can be read is the same after it was written and read again.
pub fn encoded_block(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(block) = block::decode(&text) else {
        return;
    };
    let again = block::decode(&block::encode(block.key, &block.data));
    let again = again.unwrap_or_else(|e| panic!("{e}"));
    assert!(again.is_sound());
    assert_eq!((again.key, again.data), (block.key, block.data));
}
