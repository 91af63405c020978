//! The GUIDs of ASF (asf.md 1): objects, stream types, reserved values.

use std::fmt;

/// A GUID in the byte order in which files store it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// All zero, as some writers leave the File ID.
    pub const ZERO: Guid = Guid([0; 16]);

    /// From the groups of the printed form; the last two groups are one array.
    pub const fn new(a: u32, b: u16, c: u16, d: [u8; 8]) -> Guid {
        let a = a.to_le_bytes();
        let b = b.to_le_bytes();
        let c = c.to_le_bytes();
        Guid([
            a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5],
            d[6], d[7],
        ])
    }

    /// What the specification calls it; `None` if it is unknown here.
    pub fn name(&self) -> Option<&'static str> {
        NAMES.iter().find(|(g, _)| g == self).map(|(_, n)| *n)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let b = &self.0;
        write!(
            f,
            "{:02X}{:02X}{:02X}{:02X}-{:02X}{:02X}-{:02X}{:02X}-{:02X}{:02X}-",
            b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9]
        )?;
        b[10..].iter().try_for_each(|x| write!(f, "{x:02X}"))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name}"),
            None => write!(f, "{self}"),
        }
    }
}

/// Header Object.
pub const HEADER_OBJECT: Guid = Guid::new(
    0x75B2_2630,
    0x668E,
    0x11CF,
    [0xA6, 0xD9, 0x00, 0xAA, 0x00, 0x62, 0xCE, 0x6C],
);

/// Data Object.
pub const DATA_OBJECT: Guid = Guid::new(
    0x75B2_2636,
    0x668E,
    0x11CF,
    [0xA6, 0xD9, 0x00, 0xAA, 0x00, 0x62, 0xCE, 0x6C],
);

/// Simple Index.
pub const SIMPLE_INDEX_OBJECT: Guid = Guid::new(
    0x3300_0890,
    0xE5B1,
    0x11CF,
    [0x89, 0xF4, 0x00, 0xA0, 0xC9, 0x03, 0x49, 0xCB],
);

/// Index.
pub const INDEX_OBJECT: Guid = Guid::new(
    0xD6E2_29D3,
    0x35DA,
    0x11D1,
    [0x90, 0x34, 0x00, 0xA0, 0xC9, 0x03, 0x49, 0xBE],
);

/// Media Object Index.
pub const MEDIA_OBJECT_INDEX_OBJECT: Guid = Guid::new(
    0xFEB1_03F8,
    0x12AD,
    0x4C64,
    [0x84, 0x0F, 0x2A, 0x1D, 0x2F, 0x7A, 0xD4, 0x8C],
);

/// Timecode Index.
pub const TIMECODE_INDEX_OBJECT: Guid = Guid::new(
    0x3CB7_3FD0,
    0x0C4A,
    0x4803,
    [0x95, 0x3D, 0xED, 0xF7, 0xB6, 0x22, 0x8F, 0x0C],
);

/// File Properties.
pub const FILE_PROPERTIES_OBJECT: Guid = Guid::new(
    0x8CAB_DCA1,
    0xA947,
    0x11CF,
    [0x8E, 0xE4, 0x00, 0xC0, 0x0C, 0x20, 0x53, 0x65],
);

/// Stream Properties.
pub const STREAM_PROPERTIES_OBJECT: Guid = Guid::new(
    0xB7DC_0791,
    0xA9B7,
    0x11CF,
    [0x8E, 0xE6, 0x00, 0xC0, 0x0C, 0x20, 0x53, 0x65],
);

/// Header Extension.
pub const HEADER_EXTENSION_OBJECT: Guid = Guid::new(
    0x5FBF_03B5,
    0xA92E,
    0x11CF,
    [0x8E, 0xE3, 0x00, 0xC0, 0x0C, 0x20, 0x53, 0x65],
);

/// Codec List.
pub const CODEC_LIST_OBJECT: Guid = Guid::new(
    0x86D1_5240,
    0x311D,
    0x11D0,
    [0xA3, 0xA4, 0x00, 0xA0, 0xC9, 0x03, 0x48, 0xF6],
);

/// Script Command.
pub const SCRIPT_COMMAND_OBJECT: Guid = Guid::new(
    0x1EFB_1A30,
    0x0B62,
    0x11D0,
    [0xA3, 0x9B, 0x00, 0xA0, 0xC9, 0x03, 0x48, 0xF6],
);

/// Marker.
pub const MARKER_OBJECT: Guid = Guid::new(
    0xF487_CD01,
    0xA951,
    0x11CF,
    [0x8E, 0xE6, 0x00, 0xC0, 0x0C, 0x20, 0x53, 0x65],
);

/// Bitrate Mutual Exclusion.
pub const BITRATE_MUTUAL_EXCLUSION_OBJECT: Guid = Guid::new(
    0xD6E2_29DC,
    0x35DA,
    0x11D1,
    [0x90, 0x34, 0x00, 0xA0, 0xC9, 0x03, 0x49, 0xBE],
);

/// Error Correction.
pub const ERROR_CORRECTION_OBJECT: Guid = Guid::new(
    0x75B2_2635,
    0x668E,
    0x11CF,
    [0xA6, 0xD9, 0x00, 0xAA, 0x00, 0x62, 0xCE, 0x6C],
);

/// Content Description.
pub const CONTENT_DESCRIPTION_OBJECT: Guid = Guid::new(
    0x75B2_2633,
    0x668E,
    0x11CF,
    [0xA6, 0xD9, 0x00, 0xAA, 0x00, 0x62, 0xCE, 0x6C],
);

/// Extended Content Description.
pub const EXTENDED_CONTENT_DESCRIPTION_OBJECT: Guid = Guid::new(
    0xD2D0_A440,
    0xE307,
    0x11D2,
    [0x97, 0xF0, 0x00, 0xA0, 0xC9, 0x5E, 0xA8, 0x50],
);

/// Stream Bitrate Properties.
pub const STREAM_BITRATE_PROPERTIES_OBJECT: Guid = Guid::new(
    0x7BF8_75CE,
    0x468D,
    0x11D1,
    [0x8D, 0x82, 0x00, 0x60, 0x97, 0xC9, 0xA2, 0xB2],
);

/// Content Branding.
pub const CONTENT_BRANDING_OBJECT: Guid = Guid::new(
    0x2211_B3FA,
    0xBD23,
    0x11D2,
    [0xB4, 0xB7, 0x00, 0xA0, 0xC9, 0x55, 0xFC, 0x6E],
);

/// Content Encryption.
pub const CONTENT_ENCRYPTION_OBJECT: Guid = Guid::new(
    0x2211_B3FB,
    0xBD23,
    0x11D2,
    [0xB4, 0xB7, 0x00, 0xA0, 0xC9, 0x55, 0xFC, 0x6E],
);

/// Extended Content Encryption.
pub const EXTENDED_CONTENT_ENCRYPTION_OBJECT: Guid = Guid::new(
    0x298A_E614,
    0x2622,
    0x4C17,
    [0xB9, 0x35, 0xDA, 0xE0, 0x7E, 0xE9, 0x28, 0x9C],
);

/// Digital Signature.
pub const DIGITAL_SIGNATURE_OBJECT: Guid = Guid::new(
    0x2211_B3FC,
    0xBD23,
    0x11D2,
    [0xB4, 0xB7, 0x00, 0xA0, 0xC9, 0x55, 0xFC, 0x6E],
);

/// Padding.
pub const PADDING_OBJECT: Guid = Guid::new(
    0x1806_D474,
    0xCADF,
    0x4509,
    [0xA4, 0xBA, 0x9A, 0xAB, 0xCB, 0x96, 0xAA, 0xE8],
);

/// Extended Stream Properties.
pub const EXTENDED_STREAM_PROPERTIES_OBJECT: Guid = Guid::new(
    0x14E6_A5CB,
    0xC672,
    0x4332,
    [0x83, 0x99, 0xA9, 0x69, 0x52, 0x06, 0x5B, 0x5A],
);

/// Advanced Mutual Exclusion.
pub const ADVANCED_MUTUAL_EXCLUSION_OBJECT: Guid = Guid::new(
    0xA086_49CF,
    0x4775,
    0x4670,
    [0x8A, 0x16, 0x6E, 0x35, 0x35, 0x75, 0x66, 0xCD],
);

/// Group Mutual Exclusion.
pub const GROUP_MUTUAL_EXCLUSION_OBJECT: Guid = Guid::new(
    0xD146_5A40,
    0x5A79,
    0x4338,
    [0xB7, 0x1B, 0xE3, 0x6B, 0x8F, 0xD6, 0xC2, 0x49],
);

/// Stream Prioritization.
pub const STREAM_PRIORITIZATION_OBJECT: Guid = Guid::new(
    0xD4FE_D15B,
    0x88D3,
    0x454F,
    [0x81, 0xF0, 0xED, 0x5C, 0x45, 0x99, 0x9E, 0x24],
);

/// Bandwidth Sharing.
pub const BANDWIDTH_SHARING_OBJECT: Guid = Guid::new(
    0xA696_09E6,
    0x517B,
    0x11D2,
    [0xB6, 0xAF, 0x00, 0xC0, 0x4F, 0xD9, 0x08, 0xE9],
);

/// Language List.
pub const LANGUAGE_LIST_OBJECT: Guid = Guid::new(
    0x7C43_46A9,
    0xEFE0,
    0x4BFC,
    [0xB2, 0x29, 0x39, 0x3E, 0xDE, 0x41, 0x5C, 0x85],
);

/// Metadata.
pub const METADATA_OBJECT: Guid = Guid::new(
    0xC5F8_CBEA,
    0x5BAF,
    0x4877,
    [0x84, 0x67, 0xAA, 0x8C, 0x44, 0xFA, 0x4C, 0xCA],
);

/// Metadata Library.
pub const METADATA_LIBRARY_OBJECT: Guid = Guid::new(
    0x4423_1C94,
    0x9498,
    0x49D1,
    [0xA1, 0x41, 0x1D, 0x13, 0x4E, 0x45, 0x70, 0x54],
);

/// Index Parameters.
pub const INDEX_PARAMETERS_OBJECT: Guid = Guid::new(
    0xD6E2_29DF,
    0x35DA,
    0x11D1,
    [0x90, 0x34, 0x00, 0xA0, 0xC9, 0x03, 0x49, 0xBE],
);

/// Media Object Index Parameters.
pub const MEDIA_OBJECT_INDEX_PARAMETERS_OBJECT: Guid = Guid::new(
    0x6B20_3BAD,
    0x3F11,
    0x48E4,
    [0xAC, 0xA8, 0xD7, 0x61, 0x3D, 0xE2, 0xCF, 0xA7],
);

/// Timecode Index Parameters.
pub const TIMECODE_INDEX_PARAMETERS_OBJECT: Guid = Guid::new(
    0xF55E_496D,
    0x9797,
    0x4B5D,
    [0x8C, 0x8B, 0x60, 0x4D, 0xFE, 0x9B, 0xFB, 0x24],
);

/// Compatibility.
pub const COMPATIBILITY_OBJECT: Guid = Guid::new(
    0x26F1_8B5D,
    0x4584,
    0x47EC,
    [0x9F, 0x5F, 0x0E, 0x65, 0x1F, 0x04, 0x52, 0xC9],
);

/// Advanced Content Encryption.
pub const ADVANCED_CONTENT_ENCRYPTION_OBJECT: Guid = Guid::new(
    0x4305_8533,
    0x6981,
    0x49E6,
    [0x9B, 0x74, 0xAD, 0x12, 0xCB, 0x86, 0xD5, 0x8C],
);

/// Index Parameters Placeholder.
pub const INDEX_PARAMETERS_PLACEHOLDER_OBJECT: Guid = Guid::new(
    0xD9AA_DE20,
    0x7C17,
    0x4F9C,
    [0xBC, 0x28, 0x85, 0x55, 0xDD, 0x98, 0xE2, 0xA2],
);

/// XMP packet.
pub const XMP_PACKET_OBJECT: Guid = Guid::new(
    0xBE7A_CFCB,
    0x97A9,
    0x42E8,
    [0x9C, 0x71, 0x99, 0x94, 0x91, 0xE3, 0xAF, 0xAC],
);

/// Reserved_1.
pub const RESERVED_1: Guid = Guid::new(
    0xABD3_D211,
    0xA9BA,
    0x11CF,
    [0x8E, 0xE6, 0x00, 0xC0, 0x0C, 0x20, 0x53, 0x65],
);

/// Reserved_2.
pub const RESERVED_2: Guid = Guid::new(
    0x86D1_5241,
    0x311D,
    0x11D0,
    [0xA3, 0xA4, 0x00, 0xA0, 0xC9, 0x03, 0x48, 0xF6],
);

/// Reserved_3.
pub const RESERVED_3: Guid = Guid::new(
    0x4B1A_CBE3,
    0x100B,
    0x11D0,
    [0xA3, 0x9B, 0x00, 0xA0, 0xC9, 0x03, 0x48, 0xF6],
);

/// Reserved_4.
pub const RESERVED_4: Guid = Guid::new(
    0x4CFE_DB20,
    0x75F6,
    0x11CF,
    [0x9C, 0x0F, 0x00, 0xA0, 0xC9, 0x03, 0x49, 0xCB],
);

/// Audio.
pub const STREAM_AUDIO: Guid = Guid::new(
    0xF869_9E40,
    0x5B4D,
    0x11CF,
    [0xA8, 0xFD, 0x00, 0x80, 0x5F, 0x5C, 0x44, 0x2B],
);

/// Video.
pub const STREAM_VIDEO: Guid = Guid::new(
    0xBC19_EFC0,
    0x5B4D,
    0x11CF,
    [0xA8, 0xFD, 0x00, 0x80, 0x5F, 0x5C, 0x44, 0x2B],
);

/// Command.
pub const STREAM_COMMAND: Guid = Guid::new(
    0x59DA_CFC0,
    0x59E6,
    0x11D0,
    [0xA3, 0xAC, 0x00, 0xA0, 0xC9, 0x03, 0x48, 0xF6],
);

/// JFIF image.
pub const STREAM_JFIF_IMAGE: Guid = Guid::new(
    0xB61B_E100,
    0x5B4E,
    0x11CF,
    [0xA8, 0xFD, 0x00, 0x80, 0x5F, 0x5C, 0x44, 0x2B],
);

/// Degradable JPEG image.
pub const STREAM_DEGRADABLE_JPEG_IMAGE: Guid = Guid::new(
    0x3590_7DE0,
    0xE415,
    0x11CF,
    [0xA9, 0x17, 0x00, 0x80, 0x5F, 0x5C, 0x44, 0x2B],
);

/// File transfer.
pub const STREAM_FILE_TRANSFER: Guid = Guid::new(
    0x91BD_222C,
    0xF21C,
    0x497A,
    [0x8B, 0x6D, 0x5A, 0xA8, 0x6B, 0xFC, 0x01, 0x85],
);

/// Binary.
pub const STREAM_BINARY: Guid = Guid::new(
    0x3AFB_65E2,
    0x47EF,
    0x40F2,
    [0xAC, 0x2C, 0x70, 0xA9, 0x0D, 0x71, 0xD3, 0x43],
);

/// Web-stream subtype.
pub const STREAM_WEB_STREAM_SUBTYPE: Guid = Guid::new(
    0x7762_57D4,
    0xC627,
    0x41CB,
    [0x8F, 0x81, 0x7A, 0xC7, 0xFF, 0x1C, 0x40, 0xCC],
);

/// Web-stream format.
pub const STREAM_WEB_STREAM_FORMAT: Guid = Guid::new(
    0xDA1E_6B13,
    0x8359,
    0x4050,
    [0xB3, 0x98, 0x38, 0x8E, 0x96, 0x5B, 0xF0, 0x0C],
);

/// None.
pub const CORRECTION_NONE: Guid = Guid::new(
    0x20FB_5700,
    0x5B55,
    0x11CF,
    [0xA8, 0xFD, 0x00, 0x80, 0x5F, 0x5C, 0x44, 0x2B],
);

/// Audio spread.
pub const CORRECTION_AUDIO_SPREAD: Guid = Guid::new(
    0xBFC3_CD50,
    0x618F,
    0x11CF,
    [0x8B, 0xB2, 0x00, 0xAA, 0x00, 0xB4, 0xE2, 0x20],
);

/// Conceal none.
pub const CORRECTION_CONCEAL_NONE: Guid = Guid::new(
    0x49F1_A440,
    0x4ECE,
    0x11D0,
    [0xA3, 0xAC, 0x00, 0xA0, 0xC9, 0x03, 0x48, 0xF6],
);

/// Mutex language.
pub const MUTEX_LANGUAGE: Guid = Guid::new(
    0xD6E2_2A00,
    0x35DA,
    0x11D1,
    [0x90, 0x34, 0x00, 0xA0, 0xC9, 0x03, 0x49, 0xBE],
);

/// Mutex bit rate.
pub const MUTEX_BIT_RATE: Guid = Guid::new(
    0xD6E2_2A01,
    0x35DA,
    0x11D1,
    [0x90, 0x34, 0x00, 0xA0, 0xC9, 0x03, 0x49, 0xBE],
);

/// Mutex unknown.
pub const MUTEX_UNKNOWN: Guid = Guid::new(
    0xD6E2_2A02,
    0x35DA,
    0x11D1,
    [0x90, 0x34, 0x00, 0xA0, 0xC9, 0x03, 0x49, 0xBE],
);

/// Bandwidth sharing exclusive.
pub const BANDWIDTH_SHARING_EXCLUSIVE: Guid = Guid::new(
    0xAF60_60AA,
    0x5197,
    0x11D2,
    [0xB6, 0xAF, 0x00, 0xC0, 0x4F, 0xD9, 0x08, 0xE9],
);

/// Bandwidth sharing partial.
pub const BANDWIDTH_SHARING_PARTIAL: Guid = Guid::new(
    0xAF60_60AB,
    0x5197,
    0x11D2,
    [0xB6, 0xAF, 0x00, 0xC0, 0x4F, 0xD9, 0x08, 0xE9],
);

/// Timecode.
pub const EXTENSION_TIMECODE: Guid = Guid::new(
    0x3995_95EC,
    0x8667,
    0x4E2D,
    [0x8F, 0xDB, 0x98, 0x81, 0x4C, 0xE7, 0x6C, 0x1E],
);

/// File name.
pub const EXTENSION_FILE_NAME: Guid = Guid::new(
    0xE165_EC0E,
    0x19ED,
    0x45D7,
    [0xB4, 0xA7, 0x25, 0xCB, 0xD1, 0xE2, 0x8E, 0x9B],
);

/// Content type.
pub const EXTENSION_CONTENT_TYPE: Guid = Guid::new(
    0xD590_DC20,
    0x07BC,
    0x436C,
    [0x9C, 0xF7, 0xF3, 0xBB, 0xFB, 0xF1, 0xA4, 0xDC],
);

/// Pixel aspect ratio.
pub const EXTENSION_PIXEL_ASPECT_RATIO: Guid = Guid::new(
    0x1B1E_E554,
    0xF9EA,
    0x4BC8,
    [0x82, 0x1A, 0x37, 0x6B, 0x74, 0xE4, 0xC4, 0xB8],
);

/// Sample duration.
pub const EXTENSION_SAMPLE_DURATION: Guid = Guid::new(
    0xC6BD_9450,
    0x867F,
    0x4907,
    [0x83, 0xA3, 0xC7, 0x79, 0x21, 0xB7, 0x33, 0xAD],
);

/// Encryption sample ID.
pub const EXTENSION_ENCRYPTION_SAMPLE_ID: Guid = Guid::new(
    0x6698_B84E,
    0x0AFA,
    0x4330,
    [0xAE, 0xB2, 0x1C, 0x0A, 0x98, 0xD7, 0xA4, 0x4D],
);

/// Degradable JPEG.
pub const EXTENSION_DEGRADABLE_JPEG: Guid = Guid::new(
    0x00E1_AF06,
    0x7BEC,
    0x11D1,
    [0xA5, 0x82, 0x00, 0xC0, 0x4F, 0xC2, 0x9C, 0xFB],
);

/// Windows Media DRM for Network Devices.
pub const ENCRYPTION_NETWORK_DEVICES: Guid = Guid::new(
    0x7A07_9BB6,
    0xDAA4,
    0x4E12,
    [0xA5, 0xCA, 0x91, 0xD3, 0x8D, 0xC1, 0x1A, 0x8D],
);

const NAMES: &[(Guid, &str)] = &[
    (HEADER_OBJECT, "Header Object"),
    (DATA_OBJECT, "Data Object"),
    (SIMPLE_INDEX_OBJECT, "Simple Index"),
    (INDEX_OBJECT, "Index"),
    (MEDIA_OBJECT_INDEX_OBJECT, "Media Object Index"),
    (TIMECODE_INDEX_OBJECT, "Timecode Index"),
    (FILE_PROPERTIES_OBJECT, "File Properties"),
    (STREAM_PROPERTIES_OBJECT, "Stream Properties"),
    (HEADER_EXTENSION_OBJECT, "Header Extension"),
    (CODEC_LIST_OBJECT, "Codec List"),
    (SCRIPT_COMMAND_OBJECT, "Script Command"),
    (MARKER_OBJECT, "Marker"),
    (BITRATE_MUTUAL_EXCLUSION_OBJECT, "Bitrate Mutual Exclusion"),
    (ERROR_CORRECTION_OBJECT, "Error Correction"),
    (CONTENT_DESCRIPTION_OBJECT, "Content Description"),
    (
        EXTENDED_CONTENT_DESCRIPTION_OBJECT,
        "Extended Content Description",
    ),
    (
        STREAM_BITRATE_PROPERTIES_OBJECT,
        "Stream Bitrate Properties",
    ),
    (CONTENT_BRANDING_OBJECT, "Content Branding"),
    (CONTENT_ENCRYPTION_OBJECT, "Content Encryption"),
    (
        EXTENDED_CONTENT_ENCRYPTION_OBJECT,
        "Extended Content Encryption",
    ),
    (DIGITAL_SIGNATURE_OBJECT, "Digital Signature"),
    (PADDING_OBJECT, "Padding"),
    (
        EXTENDED_STREAM_PROPERTIES_OBJECT,
        "Extended Stream Properties",
    ),
    (
        ADVANCED_MUTUAL_EXCLUSION_OBJECT,
        "Advanced Mutual Exclusion",
    ),
    (GROUP_MUTUAL_EXCLUSION_OBJECT, "Group Mutual Exclusion"),
    (STREAM_PRIORITIZATION_OBJECT, "Stream Prioritization"),
    (BANDWIDTH_SHARING_OBJECT, "Bandwidth Sharing"),
    (LANGUAGE_LIST_OBJECT, "Language List"),
    (METADATA_OBJECT, "Metadata"),
    (METADATA_LIBRARY_OBJECT, "Metadata Library"),
    (INDEX_PARAMETERS_OBJECT, "Index Parameters"),
    (
        MEDIA_OBJECT_INDEX_PARAMETERS_OBJECT,
        "Media Object Index Parameters",
    ),
    (
        TIMECODE_INDEX_PARAMETERS_OBJECT,
        "Timecode Index Parameters",
    ),
    (COMPATIBILITY_OBJECT, "Compatibility"),
    (
        ADVANCED_CONTENT_ENCRYPTION_OBJECT,
        "Advanced Content Encryption",
    ),
    (
        INDEX_PARAMETERS_PLACEHOLDER_OBJECT,
        "Index Parameters Placeholder",
    ),
    (XMP_PACKET_OBJECT, "XMP packet"),
    (RESERVED_1, "Reserved_1"),
    (RESERVED_2, "Reserved_2"),
    (RESERVED_3, "Reserved_3"),
    (RESERVED_4, "Reserved_4"),
    (STREAM_AUDIO, "Audio"),
    (STREAM_VIDEO, "Video"),
    (STREAM_COMMAND, "Command"),
    (STREAM_JFIF_IMAGE, "JFIF image"),
    (STREAM_DEGRADABLE_JPEG_IMAGE, "Degradable JPEG image"),
    (STREAM_FILE_TRANSFER, "File transfer"),
    (STREAM_BINARY, "Binary"),
    (STREAM_WEB_STREAM_SUBTYPE, "Web-stream subtype"),
    (STREAM_WEB_STREAM_FORMAT, "Web-stream format"),
    (CORRECTION_NONE, "None"),
    (CORRECTION_AUDIO_SPREAD, "Audio spread"),
    (CORRECTION_CONCEAL_NONE, "Conceal none"),
    (MUTEX_LANGUAGE, "Mutex language"),
    (MUTEX_BIT_RATE, "Mutex bit rate"),
    (MUTEX_UNKNOWN, "Mutex unknown"),
    (BANDWIDTH_SHARING_EXCLUSIVE, "Bandwidth sharing exclusive"),
    (BANDWIDTH_SHARING_PARTIAL, "Bandwidth sharing partial"),
    (EXTENSION_TIMECODE, "Timecode"),
    (EXTENSION_FILE_NAME, "File name"),
    (EXTENSION_CONTENT_TYPE, "Content type"),
    (EXTENSION_PIXEL_ASPECT_RATIO, "Pixel aspect ratio"),
    (EXTENSION_SAMPLE_DURATION, "Sample duration"),
    (EXTENSION_ENCRYPTION_SAMPLE_ID, "Encryption sample ID"),
    (EXTENSION_DEGRADABLE_JPEG, "Degradable JPEG"),
    (
        ENCRYPTION_NETWORK_DEVICES,
        "Windows Media DRM for Network Devices",
    ),
];
