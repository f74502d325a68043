//! What the first bytes say: a codec, a format, or something that we know and refuse.
//!
//! One fixed order, first match wins; what is found is committed to, never tried as something else.

use std::fmt;

use super::codec::Codec;

/// Bytes of a stream that decide; fewer will do.
pub const HEAD: usize = 4096;

/// Bytes at the end of a raw disk that can name a format.
pub const TAIL: usize = 512;

/// The layout of a disk image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// The guest's bytes as they are.
    Raw,
    /// QEMU's copy-on-write format, versions 2 and 3.
    Qcow2,
}

impl Layout {
    /// Every layout, in the order in which tables show them.
    pub const ALL: [Self; 2] = [Self::Qcow2, Self::Raw];

    /// The name that options and results use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a head was recognised as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// A compression that we decode.
    Codec(Codec),
    /// A QCOW2 image, of whatever version above 1.
    Qcow2,
    /// A format that is known by name and not supported.
    Refused(&'static str),
    /// A tar archive: poured as it is, which is rarely what was meant.
    Tar,
    /// Nothing known: the guest's bytes.
    Raw,
}

struct Magic {
    at: usize,
    bytes: &'static [u8],
    means: Sniffed,
}

const fn refused(at: usize, bytes: &'static [u8], name: &'static str) -> Magic {
    Magic { at, bytes, means: Sniffed::Refused(name) }
}

const fn codec(bytes: &'static [u8], codec: Codec) -> Magic {
    Magic { at: 0, bytes, means: Sniffed::Codec(codec) }
}

/// In order. VDI stands first since its magic lies at 0x40, behind a text of the author's choice.
const MAGICS: &[Magic] = &[
    refused(0x40, &[0x7f, 0x10, 0xda, 0xbe], "VDI"),
    codec(&[0x1f, 0x8b], Codec::Gzip),
    codec(&[0xfd, b'7', b'z', b'X', b'Z', 0], Codec::Xz),
    codec(&[0x28, 0xb5, 0x2f, 0xfd], Codec::Zstd),
    codec(b"BZh", Codec::Bzip2),
    refused(0, b"QFI\xfb\0\0\0\x01", "qcow (version 1)"),
    Magic { at: 0, bytes: b"QFI\xfb", means: Sniffed::Qcow2 },
    refused(0, b"KDMV", "VMDK"),
    refused(0, b"COWD", "VMDK"),
    refused(0, b"conectix", "VHD"),
    refused(0, b"vhdxfile", "VHDX"),
    refused(0, b"QED\0", "QED"),
    refused(0, b"LUKS\xba\xbe", "LUKS"),
    refused(0, b"WithoutFreeSpace", "Parallels"),
    refused(0, b"WithouFreSpacExt", "Parallels"),
    refused(0, b"Bochs Virtual HD Image", "Bochs"),
    refused(0, b"#!/bin/sh\n#V2.0 Format", "cloop"),
    refused(0, b"PK\x03\x04", "zip"),
    refused(0, b"PK\x05\x06", "zip"),
    refused(0, b"PK\x07\x08", "zip"),
    refused(0, b"7z\xbc\xaf\x27\x1c", "7z"),
    refused(0, b"Rar!\x1a\x07", "rar"),
    refused(0, &[0x04, 0x22, 0x4d, 0x18], "lz4"),
    refused(0, &[0x02, 0x21, 0x4c, 0x18], "lz4"),
    refused(0, b"LZIP\x01", "lzip"),
    refused(0, b"\x89LZO\0\r\n\x1a\n", "lzop"),
    Magic { at: 0x101, bytes: b"ustar", means: Sniffed::Tar },
];

/// What `head`, the first bytes of a stream, is.
#[must_use]
pub fn sniff(head: &[u8]) -> Sniffed {
    let starts = |magic: &&Magic| head.get(magic.at..).is_some_and(|rest| rest.starts_with(magic.bytes));
    match head {
        // Skippable frames may come before the first frame of data.
        [low, 0x2a, 0x4d, 0x18, ..] if low & 0xf0 == 0x50 => Sniffed::Codec(Codec::Zstd),
        // zstd before 1.0 changed its magic with every version.
        [0x22..=0x27, 0xb5, 0x2f, 0xfd, ..] => Sniffed::Refused("zstd of a version before 1.0"),
        // .lzma has no magic: the usual properties, and an end marker instead of a size.
        [0x5d, 0, 0, _, _, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, ..] => Sniffed::Refused("lzma"),
        _ if is_vmdk_descriptor(head) => Sniffed::Refused("VMDK"),
        _ => MAGICS.iter().find(starts).map_or(Sniffed::Raw, |magic| magic.means),
    }
}

/// What the last bytes of a raw disk name: formats whose only mark is at the end.
#[must_use]
pub fn trailer(tail: &[u8]) -> Option<&'static str> {
    let footer = |len: usize| tail.len().checked_sub(len).and_then(|at| tail.get(at..));
    // Old versions of Virtual PC wrote a footer of 511 bytes.
    let vhd = [512, 511].into_iter().filter_map(footer).any(|tail| tail.starts_with(b"conectix"));
    let dmg = footer(512).is_some_and(|tail| tail.starts_with(b"koly"));
    if vhd { Some("VHD (fixed)") } else { dmg.then_some("DMG") }
}

/// A text that names the files a VMDK consists of: comments, then `version=`.
fn is_vmdk_descriptor(head: &[u8]) -> bool {
    if !head.trim_ascii_start().starts_with(b"#") && !head.starts_with(b"version=") {
        return false;
    }
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let named = |line: &[u8]| line.to_ascii_lowercase().starts_with(b"# disk descriptorfile");
    let version = |line: &[u8]| line.to_ascii_lowercase().starts_with(b"version=");
    lines.clone().any(named)
        || lines.find(|line| !line.is_empty() && !line.starts_with(b"#")).is_some_and(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(at: usize, magic: &[u8]) -> Vec<u8> {
        let mut head = vec![0; 512];
        head[at..at + magic.len()].copy_from_slice(magic);
        head
    }

    #[test]
    fn every_magic_is_found_where_it_stands() {
        for magic in MAGICS {
            assert_eq!(sniff(&padded(magic.at, magic.bytes)), magic.means, "{:?}", magic.bytes);
        }
    }

    #[test]
    fn short_and_empty_heads_are_raw() {
        for head in [&b""[..], b"Q", b"QFI", &[0x1f], &[0; 511], b"#", b"BZ"] {
            assert_eq!(sniff(head), Sniffed::Raw, "{head:?}");
        }
        assert_eq!(sniff(&[0x1f, 0x8b]), Sniffed::Codec(Codec::Gzip));
    }

    #[test]
    fn a_vmdk_descriptor_is_found_behind_comments_and_in_any_case() {
        for text in [
            "# Disk DescriptorFile\nversion=1\n",
            "# disk descriptorfile\n",
            "# my comment\n\n#more\nversion=3\nRW 1 FLAT \"/etc/passwd\" 0\n",
            "\n# x\r\nVersion=1\r\n",
            "version=1\n",
        ] {
            assert_eq!(sniff(text.as_bytes()), Sniffed::Refused("VMDK"), "{text}");
        }
        assert_eq!(sniff(b"#!/bin/sh\necho no image\n"), Sniffed::Raw);
    }

    #[test]
    fn a_vdi_magic_wins_over_what_stands_at_the_start() {
        let mut head = padded(0x40, &[0x7f, 0x10, 0xda, 0xbe]);
        head[..4].copy_from_slice(b"QFI\xfb");
        assert_eq!(sniff(&head), Sniffed::Refused("VDI"));
    }

    #[test]
    fn formats_that_end_in_their_mark_are_found() {
        assert_eq!(trailer(&padded(0, b"conectix")), Some("VHD (fixed)"));
        assert_eq!(trailer(&padded(1, b"conectix")), Some("VHD (fixed)"));
        assert_eq!(trailer(&padded(0, b"koly")), Some("DMG"));
        assert_eq!(trailer(&[0; 512]), None);
        assert_eq!(trailer(b"conectix"), None);
    }
}
