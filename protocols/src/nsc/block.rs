//! Encoded blocks: bytes as text, with a checksum, a key and a length in front (MS-MSB 2.2.1.3; msb-nsc.md
//! 9.5). Not base64, though it looks like it.

/// CRC, Key and Length.
const HEAD_LEN: usize = 9;

/// What blocks begin with.
const PREFIX: &str = "02";

/// What a form begins with that writes two hexadecimal digits for each byte; known of one reader only.
const HEX_PREFIX: &str = "01";

/// Fewest characters of a block: its head alone.
// NSC-19
const CHARS_MIN: usize = 12;

/// The digits, by their value.
// NSC-16
const ALPHABET: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz{}";

/// What is in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Format ID of an ASF header, 0 of everything else.
    pub key: u32,
    /// The bytes.
    pub data: Vec<u8>,
    /// The checksum that is stored.
    pub stored_crc: u8,
    /// What it should be.
    pub crc: u8,
}

impl Block {
    /// True if the checksum is right.
    pub fn is_sound(&self) -> bool {
        self.stored_crc == self.crc
    }
}

/// Why a text is no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// It begins otherwise.
    #[error("an encoded value begins with 02")]
    Prefix,
    /// A character that is no digit.
    #[error("character {at} of the encoded value is none of 0-9 A-Z a-z {{ }}")]
    Character {
        /// Which one, from 0, the prefix counted.
        at: usize,
    },
    /// Not even a head.
    #[error("{0} characters are too few for an encoded value")]
    Short(usize),
    /// The length inside does not fit the length of the text.
    #[error("the encoded value says that it has {stated} bytes, and has {have}")]
    Length {
        /// Length.
        stated: u32,
        /// Bytes behind the head.
        have: usize,
    },
}

/// A block as text, prefix included. `data` shorter than 4 GiB.
// NSC-10, NSC-11, NSC-14, NSC-15
pub fn encode(key: u32, data: &[u8]) -> String {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut head = [0; HEAD_LEN];
    let fields = key.to_be_bytes().into_iter().chain(length.to_be_bytes());
    head.iter_mut()
        .skip(1)
        .zip(fields)
        .for_each(|(h, f)| *h = f);
    head[0] = crc(&head, data);
    let mut text = String::with_capacity(PREFIX.len() + char_count(data.len()));
    text.push_str(PREFIX);
    let (mut bits, mut count) = (0u32, 0);
    for byte in head.iter().chain(data) {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 6 {
            count -= 6;
            text.push(digit(bits >> count));
        }
    }
    // NSC-17
    if count > 0 {
        text.push(digit(bits << (6 - count)));
    }
    text
}

/// Text as a block: UTF-16 with a NUL at its end.
// NSC-09, NSC-13
pub fn encode_text(text: &str) -> String {
    let units = text.encode_utf16().chain([0]);
    let bytes: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    encode(0, &bytes)
}

/// The block in a text. A wrong checksum is no error ([`Block::is_sound`]).
///
/// # Errors
/// If it is none, or cut off, or something follows it.
pub fn decode(text: &str) -> Result<Block, BlockError> {
    let bytes = if let Some(digits) = text.strip_prefix(PREFIX) {
        let bytes = from_digits(digits.as_bytes())?;
        let expected = bytes.len().checked_sub(HEAD_LEN).map(char_count);
        if digits.len() < CHARS_MIN || expected != Some(digits.len()) {
            return Err(BlockError::Short(digits.len()));
        }
        bytes
    } else if let Some(digits) = text.strip_prefix(HEX_PREFIX) {
        from_hex(digits.as_bytes())?
    } else {
        return Err(BlockError::Prefix);
    };
    let short = BlockError::Short(text.len().saturating_sub(PREFIX.len()));
    let (head, data) = bytes.split_at_checked(HEAD_LEN).ok_or(short)?;
    let [stored_crc, k0, k1, k2, k3, l0, l1, l2, l3] = *head else {
        return Err(short);
    };
    let stated = u32::from_be_bytes([l0, l1, l2, l3]);
    if stated as usize != data.len() {
        let have = data.len();
        return Err(BlockError::Length { stated, have });
    }
    Ok(Block {
        key: u32::from_be_bytes([k0, k1, k2, k3]),
        stored_crc,
        crc: crc(head, data),
        data: data.to_vec(),
    })
}

/// The text in a block's data: up to its NUL. `None` if it cannot be UTF-16.
pub fn text_of(data: &[u8]) -> Option<String> {
    let (pairs, []) = data.as_chunks::<2>() else {
        return None;
    };
    let units = pairs.iter().map(|pair| u16::from_le_bytes(*pair));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    Some(String::from_utf16_lossy(&units))
}

/// XOR of Key, Length and data.
fn crc(head: &[u8], data: &[u8]) -> u8 {
    head.iter().skip(1).chain(data).fold(0, |sum, b| sum ^ b)
}

/// Characters of a block with so many bytes of data, without prefix.
const fn char_count(data: usize) -> usize {
    (4 * (HEAD_LEN + data)).div_ceil(3)
}

fn digit(bits: u32) -> char {
    let digit = ALPHABET.get((bits & 63) as usize).copied();
    char::from(digit.unwrap_or(b'0'))
}

// NSC-18
fn from_digits(digits: &[u8]) -> Result<Vec<u8>, BlockError> {
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for (at, digit) in digits.iter().enumerate() {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            b'a'..=b'z' => digit - b'a' + 36,
            b'{' => 62,
            b'}' => 63,
            _ => return Err(character(at)),
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            // The low eight bits are what is wanted.
            bytes.push((bits >> count) as u8);
        }
    }
    Ok(bytes)
}

// NSC-42
fn from_hex(digits: &[u8]) -> Result<Vec<u8>, BlockError> {
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    let value = |at: usize| {
        let digit = digits.get(at).map(|d| char::from(*d).to_digit(16));
        digit.flatten().ok_or_else(|| character(at))
    };
    for at in (0..digits.len()).step_by(2) {
        let byte = value(at)? << 4 | value(at + 1)?;
        bytes.push(byte as u8);
    }
    Ok(bytes)
}

fn character(at: usize) -> BlockError {
    BlockError::Character {
        at: at + PREFIX.len(),
    }
}
