//! The GUIDs of ASF (asf.md 1): objects, stream types, reserved values.

use std::fmt;

/// A GUID in the byte order in which files store it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// All zero, as some writers leave the File ID.
    pub const ZERO: Guid = Guid([0; 16]);

    /// From the groups of the printed form; the last two groups are one number.
    pub const fn new(a: u32, b: u16, c: u16, d: u64) -> Guid {
        let a = a.to_le_bytes();
        let b = b.to_le_bytes();
        let c = c.to_le_bytes();
        let d = d.to_be_bytes();
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
pub const HEADER_OBJECT: Guid = Guid::new(0x75B2_2630, 0x668E, 0x11CF, 0xA6D9_00AA_0062_CE6C);

/// Data Object.
pub const DATA_OBJECT: Guid = Guid::new(0x75B2_2636, 0x668E, 0x11CF, 0xA6D9_00AA_0062_CE6C);

/// Simple Index.
pub const SIMPLE_INDEX_OBJECT: Guid = Guid::new(0x3300_0890, 0xE5B1, 0x11CF, 0x89F4_00A0_C903_49CB);

/// Index.
pub const INDEX_OBJECT: Guid = Guid::new(0xD6E2_29D3, 0x35DA, 0x11D1, 0x9034_00A0_C903_49BE);

/// Media Object Index.
pub const MEDIA_OBJECT_INDEX_OBJECT: Guid =
    Guid::new(0xFEB1_03F8, 0x12AD, 0x4C64, 0x840F_2A1D_2F7A_D48C);

/// Timecode Index.
pub const TIMECODE_INDEX_OBJECT: Guid =
    Guid::new(0x3CB7_3FD0, 0x0C4A, 0x4803, 0x953D_EDF7_B622_8F0C);

/// File Properties.
pub const FILE_PROPERTIES_OBJECT: Guid =
    Guid::new(0x8CAB_DCA1, 0xA947, 0x11CF, 0x8EE4_00C0_0C20_5365);

/// Stream Properties.
pub const STREAM_PROPERTIES_OBJECT: Guid =
    Guid::new(0xB7DC_0791, 0xA9B7, 0x11CF, 0x8EE6_00C0_0C20_5365);

/// Header Extension.
pub const HEADER_EXTENSION_OBJECT: Guid =
    Guid::new(0x5FBF_03B5, 0xA92E, 0x11CF, 0x8EE3_00C0_0C20_5365);

/// Codec List.
pub const CODEC_LIST_OBJECT: Guid = Guid::new(0x86D1_5240, 0x311D, 0x11D0, 0xA3A4_00A0_C903_48F6);

/// Script Command.
pub const SCRIPT_COMMAND_OBJECT: Guid =
    Guid::new(0x1EFB_1A30, 0x0B62, 0x11D0, 0xA39B_00A0_C903_48F6);

/// Marker.
pub const MARKER_OBJECT: Guid = Guid::new(0xF487_CD01, 0xA951, 0x11CF, 0x8EE6_00C0_0C20_5365);

/// Bitrate Mutual Exclusion.
pub const BITRATE_MUTUAL_EXCLUSION_OBJECT: Guid =
    Guid::new(0xD6E2_29DC, 0x35DA, 0x11D1, 0x9034_00A0_C903_49BE);

/// Error Correction.
pub const ERROR_CORRECTION_OBJECT: Guid =
    Guid::new(0x75B2_2635, 0x668E, 0x11CF, 0xA6D9_00AA_0062_CE6C);

/// Content Description.
pub const CONTENT_DESCRIPTION_OBJECT: Guid =
    Guid::new(0x75B2_2633, 0x668E, 0x11CF, 0xA6D9_00AA_0062_CE6C);

/// Extended Content Description.
pub const EXTENDED_CONTENT_DESCRIPTION_OBJECT: Guid =
    Guid::new(0xD2D0_A440, 0xE307, 0x11D2, 0x97F0_00A0_C95E_A850);

/// Stream Bitrate Properties.
pub const STREAM_BITRATE_PROPERTIES_OBJECT: Guid =
    Guid::new(0x7BF8_75CE, 0x468D, 0x11D1, 0x8D82_0060_97C9_A2B2);

/// Content Branding.
pub const CONTENT_BRANDING_OBJECT: Guid =
    Guid::new(0x2211_B3FA, 0xBD23, 0x11D2, 0xB4B7_00A0_C955_FC6E);

/// Content Encryption.
pub const CONTENT_ENCRYPTION_OBJECT: Guid =
    Guid::new(0x2211_B3FB, 0xBD23, 0x11D2, 0xB4B7_00A0_C955_FC6E);

/// Extended Content Encryption.
pub const EXTENDED_CONTENT_ENCRYPTION_OBJECT: Guid =
    Guid::new(0x298A_E614, 0x2622, 0x4C17, 0xB935_DAE0_7EE9_289C);

/// Digital Signature.
pub const DIGITAL_SIGNATURE_OBJECT: Guid =
    Guid::new(0x2211_B3FC, 0xBD23, 0x11D2, 0xB4B7_00A0_C955_FC6E);

/// Padding.
pub const PADDING_OBJECT: Guid = Guid::new(0x1806_D474, 0xCADF, 0x4509, 0xA4BA_9AAB_CB96_AAE8);

/// Extended Stream Properties.
pub const EXTENDED_STREAM_PROPERTIES_OBJECT: Guid =
    Guid::new(0x14E6_A5CB, 0xC672, 0x4332, 0x8399_A969_5206_5B5A);

/// Advanced Mutual Exclusion.
pub const ADVANCED_MUTUAL_EXCLUSION_OBJECT: Guid =
    Guid::new(0xA086_49CF, 0x4775, 0x4670, 0x8A16_6E35_3575_66CD);

/// Group Mutual Exclusion.
pub const GROUP_MUTUAL_EXCLUSION_OBJECT: Guid =
    Guid::new(0xD146_5A40, 0x5A79, 0x4338, 0xB71B_E36B_8FD6_C249);

/// Stream Prioritization.
pub const STREAM_PRIORITIZATION_OBJECT: Guid =
    Guid::new(0xD4FE_D15B, 0x88D3, 0x454F, 0x81F0_ED5C_4599_9E24);

/// Bandwidth Sharing.
pub const BANDWIDTH_SHARING_OBJECT: Guid =
    Guid::new(0xA696_09E6, 0x517B, 0x11D2, 0xB6AF_00C0_4FD9_08E9);

/// Language List.
pub const LANGUAGE_LIST_OBJECT: Guid =
    Guid::new(0x7C43_46A9, 0xEFE0, 0x4BFC, 0xB229_393E_DE41_5C85);

/// Metadata.
pub const METADATA_OBJECT: Guid = Guid::new(0xC5F8_CBEA, 0x5BAF, 0x4877, 0x8467_AA8C_44FA_4CCA);

/// Metadata Library.
pub const METADATA_LIBRARY_OBJECT: Guid =
    Guid::new(0x4423_1C94, 0x9498, 0x49D1, 0xA141_1D13_4E45_7054);

/// Index Parameters.
pub const INDEX_PARAMETERS_OBJECT: Guid =
    Guid::new(0xD6E2_29DF, 0x35DA, 0x11D1, 0x9034_00A0_C903_49BE);

/// Media Object Index Parameters.
pub const MEDIA_OBJECT_INDEX_PARAMETERS_OBJECT: Guid =
    Guid::new(0x6B20_3BAD, 0x3F11, 0x48E4, 0xACA8_D761_3DE2_CFA7);

/// Timecode Index Parameters.
pub const TIMECODE_INDEX_PARAMETERS_OBJECT: Guid =
    Guid::new(0xF55E_496D, 0x9797, 0x4B5D, 0x8C8B_604D_FE9B_FB24);

/// Compatibility.
pub const COMPATIBILITY_OBJECT: Guid =
    Guid::new(0x26F1_8B5D, 0x4584, 0x47EC, 0x9F5F_0E65_1F04_52C9);

/// Advanced Content Encryption.
pub const ADVANCED_CONTENT_ENCRYPTION_OBJECT: Guid =
    Guid::new(0x4305_8533, 0x6981, 0x49E6, 0x9B74_AD12_CB86_D58C);

/// Index Parameters Placeholder.
pub const INDEX_PARAMETERS_PLACEHOLDER_OBJECT: Guid =
    Guid::new(0xD9AA_DE20, 0x7C17, 0x4F9C, 0xBC28_8555_DD98_E2A2);

/// XMP packet.
pub const XMP_PACKET_OBJECT: Guid = Guid::new(0xBE7A_CFCB, 0x97A9, 0x42E8, 0x9C71_9994_91E3_AFAC);

/// Reserved_1.
pub const RESERVED_1: Guid = Guid::new(0xABD3_D211, 0xA9BA, 0x11CF, 0x8EE6_00C0_0C20_5365);

/// Reserved_2.
pub const RESERVED_2: Guid = Guid::new(0x86D1_5241, 0x311D, 0x11D0, 0xA3A4_00A0_C903_48F6);

/// Reserved_3.
pub const RESERVED_3: Guid = Guid::new(0x4B1A_CBE3, 0x100B, 0x11D0, 0xA39B_00A0_C903_48F6);

/// Reserved_4.
pub const RESERVED_4: Guid = Guid::new(0x4CFE_DB20, 0x75F6, 0x11CF, 0x9C0F_00A0_C903_49CB);

/// Audio.
pub const STREAM_AUDIO: Guid = Guid::new(0xF869_9E40, 0x5B4D, 0x11CF, 0xA8FD_0080_5F5C_442B);

/// Video.
pub const STREAM_VIDEO: Guid = Guid::new(0xBC19_EFC0, 0x5B4D, 0x11CF, 0xA8FD_0080_5F5C_442B);

/// Command.
pub const STREAM_COMMAND: Guid = Guid::new(0x59DA_CFC0, 0x59E6, 0x11D0, 0xA3AC_00A0_C903_48F6);

/// JFIF image.
pub const STREAM_JFIF_IMAGE: Guid = Guid::new(0xB61B_E100, 0x5B4E, 0x11CF, 0xA8FD_0080_5F5C_442B);

/// Degradable JPEG image.
pub const STREAM_DEGRADABLE_JPEG_IMAGE: Guid =
    Guid::new(0x3590_7DE0, 0xE415, 0x11CF, 0xA917_0080_5F5C_442B);

/// File transfer.
pub const STREAM_FILE_TRANSFER: Guid =
    Guid::new(0x91BD_222C, 0xF21C, 0x497A, 0x8B6D_5AA8_6BFC_0185);

/// Binary.
pub const STREAM_BINARY: Guid = Guid::new(0x3AFB_65E2, 0x47EF, 0x40F2, 0xAC2C_70A9_0D71_D343);

/// Web-stream subtype.
pub const STREAM_WEB_STREAM_SUBTYPE: Guid =
    Guid::new(0x7762_57D4, 0xC627, 0x41CB, 0x8F81_7AC7_FF1C_40CC);

/// Web-stream format.
pub const STREAM_WEB_STREAM_FORMAT: Guid =
    Guid::new(0xDA1E_6B13, 0x8359, 0x4050, 0xB398_388E_965B_F00C);

/// None.
pub const CORRECTION_NONE: Guid = Guid::new(0x20FB_5700, 0x5B55, 0x11CF, 0xA8FD_0080_5F5C_442B);

/// Audio spread.
pub const CORRECTION_AUDIO_SPREAD: Guid =
    Guid::new(0xBFC3_CD50, 0x618F, 0x11CF, 0x8BB2_00AA_00B4_E220);

/// Conceal none.
pub const CORRECTION_CONCEAL_NONE: Guid =
    Guid::new(0x49F1_A440, 0x4ECE, 0x11D0, 0xA3AC_00A0_C903_48F6);

/// Mutex language.
pub const MUTEX_LANGUAGE: Guid = Guid::new(0xD6E2_2A00, 0x35DA, 0x11D1, 0x9034_00A0_C903_49BE);

/// Mutex bit rate.
pub const MUTEX_BIT_RATE: Guid = Guid::new(0xD6E2_2A01, 0x35DA, 0x11D1, 0x9034_00A0_C903_49BE);

/// Mutex unknown.
pub const MUTEX_UNKNOWN: Guid = Guid::new(0xD6E2_2A02, 0x35DA, 0x11D1, 0x9034_00A0_C903_49BE);

/// Bandwidth sharing exclusive.
pub const BANDWIDTH_SHARING_EXCLUSIVE: Guid =
    Guid::new(0xAF60_60AA, 0x5197, 0x11D2, 0xB6AF_00C0_4FD9_08E9);

/// Bandwidth sharing partial.
pub const BANDWIDTH_SHARING_PARTIAL: Guid =
    Guid::new(0xAF60_60AB, 0x5197, 0x11D2, 0xB6AF_00C0_4FD9_08E9);

/// Timecode.
pub const EXTENSION_TIMECODE: Guid = Guid::new(0x3995_95EC, 0x8667, 0x4E2D, 0x8FDB_9881_4CE7_6C1E);

/// File name.
pub const EXTENSION_FILE_NAME: Guid = Guid::new(0xE165_EC0E, 0x19ED, 0x45D7, 0xB4A7_25CB_D1E2_8E9B);

/// Content type.
pub const EXTENSION_CONTENT_TYPE: Guid =
    Guid::new(0xD590_DC20, 0x07BC, 0x436C, 0x9CF7_F3BB_FBF1_A4DC);

/// Pixel aspect ratio.
pub const EXTENSION_PIXEL_ASPECT_RATIO: Guid =
    Guid::new(0x1B1E_E554, 0xF9EA, 0x4BC8, 0x821A_376B_74E4_C4B8);

/// Sample duration.
pub const EXTENSION_SAMPLE_DURATION: Guid =
    Guid::new(0xC6BD_9450, 0x867F, 0x4907, 0x83A3_C779_21B7_33AD);

/// Encryption sample ID.
pub const EXTENSION_ENCRYPTION_SAMPLE_ID: Guid =
    Guid::new(0x6698_B84E, 0x0AFA, 0x4330, 0xAEB2_1C0A_98D7_A44D);

/// Degradable JPEG.
pub const EXTENSION_DEGRADABLE_JPEG: Guid =
    Guid::new(0x00E1_AF06, 0x7BEC, 0x11D1, 0xA582_00C0_4FC2_9CFB);

/// Windows Media DRM for Network Devices.
pub const ENCRYPTION_NETWORK_DEVICES: Guid =
    Guid::new(0x7A07_9BB6, 0xDAA4, 0x4E12, 0xA5CA_91D3_8DC1_1A8D);

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
