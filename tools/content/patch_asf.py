#!/usr/bin/env python3
"""Adds to an ASF file made by ffmpeg what its muxer cannot write.

Stream Bitrate Properties, a Bitrate Mutual Exclusion, Script Commands, and the marks of protected
content. Everything is deterministic. Only the shapes that ffmpeg's muxer writes are understood.
"""

import argparse
import struct
import uuid


def guid(text):
    return uuid.UUID(text).bytes_le


HEADER = guid("75B22630-668E-11CF-A6D9-00AA0062CE6C")
DATA = guid("75B22636-668E-11CF-A6D9-00AA0062CE6C")
FILE_PROPERTIES = guid("8CABDCA1-A947-11CF-8EE4-00C00C205365")
STREAM_PROPERTIES = guid("B7DC0791-A9B7-11CF-8EE6-00C00C205365")
STREAM_BITRATES = guid("7BF875CE-468D-11D1-8D82-006097C9A2B2")
MUTUAL_EXCLUSION = guid("D6E229DC-35DA-11D1-9034-00A0C90349BE")
EXCLUDE_BY_BITRATE = guid("D6E22A01-35DA-11D1-9034-00A0C90349BE")
SCRIPT_COMMAND = guid("1EFB1A30-0B62-11D0-A39B-00A0C90348F6")
SCRIPT_RESERVED = guid("4B1ACBE3-100B-11D0-A39B-00A0C90348F6")
CONTENT_ENCRYPTION = guid("2211B3FB-BD23-11D2-B4B7-00A0C955FC6E")
EXTENDED_ENCRYPTION = guid("298AE614-2622-4C17-B935-DAE07EE9289C")


def obj(kind, body):
    return kind + struct.pack("<Q", 24 + len(body)) + body


def objects(data):
    """Yields (kind, body) of the objects that fill data."""
    at = 0
    while at < len(data):
        size = struct.unpack_from("<Q", data, at + 16)[0]
        yield data[at : at + 16], data[at + 24 : at + size]
        at += size


def stream_bitrates(rates):
    body = struct.pack("<H", len(rates))
    for number, rate in enumerate(rates, 1):
        body += struct.pack("<HI", number, rate)
    return obj(STREAM_BITRATES, body)


def mutual_exclusion(streams):
    body = EXCLUDE_BY_BITRATE + struct.pack("<H", len(streams))
    return obj(MUTUAL_EXCLUSION, body + b"".join(struct.pack("<H", s) for s in streams))


def script_commands(entries):
    """entries: "milliseconds:TYPE:text", the times without preroll."""
    parsed = [entry.split(":", 2) for entry in entries]
    kinds = sorted({kind for _, kind, _ in parsed})
    body = SCRIPT_RESERVED + struct.pack("<HH", len(parsed), len(kinds))
    for kind in kinds:
        body += struct.pack("<H", len(kind)) + kind.encode("utf-16-le")
    for time, kind, text in parsed:
        body += struct.pack("<IHH", int(time), kinds.index(kind), len(text)) + text.encode("utf-16-le")
    return obj(SCRIPT_COMMAND, body)


def content_encryption():
    secret, kind, key, url = b"\x00" * 16, b"DRM\x00", b"RINGCAST-EXAMPLE-KEY\x00", b"http://example.invalid/licence\x00"
    return obj(CONTENT_ENCRYPTION, b"".join(struct.pack("<I", len(part)) + part for part in (secret, kind, key, url)))


def extended_encryption():
    text = "<WRMHEADER version=\"2.0.0.0\"><DATA><KID>RINGCASTEXAMPLE=</KID></DATA></WRMHEADER>"
    body = text.encode("utf-16-le")
    return obj(EXTENDED_ENCRYPTION, struct.pack("<I", len(body)) + body)


def keystream(length):
    """xorshift32 from a fixed seed: arbitrary bytes, the same ones each time."""
    state, out = 0x52494E47, bytearray()
    while len(out) < length:
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        out += struct.pack("<I", state)
    return out[:length]


def scramble(packet):
    """Scrambles the payload bytes of one data packet and leaves all framing as it is."""
    out = bytearray(packet)
    at = 0
    if packet[0] & 0x80:
        at = 1 + (packet[0] & 0x0F)
    flags, property_flags = packet[at], packet[at + 1]
    assert property_flags == 0x5D, "replicated data 1 byte, offset 4, object number 1"
    at += 2

    def field(bits):
        nonlocal at
        size = (0, 1, 2, 4)[bits & 3]
        value = int.from_bytes(packet[at : at + size], "little")
        at += size
        return value

    packet_length = field(flags >> 5)
    field(flags >> 1)
    padding = field(flags >> 3)
    at += 6
    count, length_bits = 1, 0
    if flags & 1:
        count, length_bits = packet[at] & 0x3F, packet[at] >> 6
        at += 1
    end = (packet_length or len(packet)) - padding
    for _ in range(count):
        replicated = packet[at + 6]
        assert replicated == 8, "no compressed payloads"
        at += 7 + replicated
        size = field(length_bits) if flags & 1 else end - at
        out[at : at + size] = bytes(a ^ b for a, b in zip(packet[at : at + size], keystream(size)))
        at += size
    assert at == end
    return bytes(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--bitrates", help="bits per second of streams 1, 2, ...")
    parser.add_argument("--exclude", help="stream numbers of which only one is to be played")
    parser.add_argument("--script", action="append", default=[], help="MS:TYPE:TEXT")
    parser.add_argument("--protect", action="store_true")
    args = parser.parse_args()

    with open(args.source, "rb") as file:
        data = file.read()
    header_size, = struct.unpack_from("<Q", data, 16)
    header = [(kind, bytearray(body)) for kind, body in objects(data[30:header_size])]
    rest = list(objects(data[header_size:]))

    added = []
    if args.bitrates:
        added.append(stream_bitrates([int(r) for r in args.bitrates.split(",")]))
    if args.exclude:
        added.append(mutual_exclusion([int(s) for s in args.exclude.split(",")]))
    if args.script:
        added.append(script_commands(args.script))
    if args.protect:
        added += [content_encryption(), extended_encryption()]

    body = b""
    grown = sum(map(len, added))
    for kind, content in header:
        if kind == FILE_PROPERTIES:
            size, = struct.unpack_from("<Q", content, 16)
            struct.pack_into("<Q", content, 16, size + grown)
            packet_size, = struct.unpack_from("<I", content, 68)
        if kind == STREAM_PROPERTIES and args.protect:
            flags, = struct.unpack_from("<H", content, 48)
            struct.pack_into("<H", content, 48, flags | 0x8000)
        body += obj(kind, bytes(content))
    body += b"".join(added)
    count = len(header) + len(added)

    out = HEADER + struct.pack("<QIBB", 30 + len(body), count, 1, 2) + body
    for kind, content in rest:
        if kind == DATA and args.protect:
            packets = content[26:]
            content = content[:26] + b"".join(
                scramble(packets[at : at + packet_size]) for at in range(0, len(packets), packet_size)
            )
        out += obj(kind, content)
    with open(args.target, "wb") as file:
        file.write(out)


if __name__ == "__main__":
    main()
