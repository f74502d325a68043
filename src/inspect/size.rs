//! The size of a disk, for the controller that makes a volume for its clone.
//!
//! Refuses to know: the data. A raw disk's size is its file's, a QCOW2 image's is in its header.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::config::{SizeDetection, SmallError};
use crate::format::magic::{Sniffed, sniff};
use crate::format::qcow2::{HEADER_AREA, Header, Qcow2Error};
use crate::report::termination;

/// The unit of disk sizes in bytes.
const SECTOR: u64 = 512;

/// What is known by name and is a disk image: the size of its file says nothing.
const DISKS: [&str; 9] =
    ["VDI", "qcow (version 1)", "VMDK", "VHD", "VHDX", "QED", "Parallels", "Bochs", "cloop"];

/// Why a disk's size is not told.
#[derive(Debug, thiserror::Error)]
pub enum SizeError {
    /// The flags make no sense.
    #[error(transparent)]
    Arguments(#[from] SmallError),
    /// The file is no disk.
    #[error("{}: {why}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: FileFault,
    },
    /// The path leads to no file.
    #[error("{} cannot be opened: {why}", .path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// The size is known, and cannot be told.
    #[error("cannot write to {}: {why}", .path.display())]
    Message {
        /// The file for the message.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
}

/// Why a file is no disk.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// Nothing is in it.
    #[error("it is empty")]
    Empty,
    /// A format that is known by name.
    #[error("the image is of the format {0}, which is not supported")]
    Format(&'static str),
    /// A QCOW2 header that cannot be true, or names what we do not read.
    #[error(transparent)]
    Header(#[from] Qcow2Error),
    /// More bytes than can be counted.
    #[error("a disk of {0} bytes cannot be")]
    Huge(u64),
    /// The system does not read it.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
}

impl SizeError {
    /// The exit code that CDI's controller knows the error by.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Arguments(_) => 1,
            Self::File { .. } => 2,
            Self::Path { .. } => 3,
            Self::Message { .. } => 4,
        }
    }
}

/// Writes the size of the disk that `wanted` names, in bytes, to the termination message.
///
/// # Errors
/// [`SizeError`], which has the exit code; the message stays untouched.
pub fn tell(wanted: Result<SizeDetection, SmallError>) -> Result<u64, SizeError> {
    let size = size(&wanted?.path)?;
    let path = Path::new(termination::PATH);
    let failed = |why| SizeError::Message { path: path.to_owned(), why };
    termination::write(path, &size.to_string()).map_err(failed)?;
    Ok(size)
}

/// The size in bytes of the disk at `path`, in whole sectors.
///
/// # Errors
/// [`SizeError::Path`] or [`SizeError::File`].
pub fn size(path: &Path) -> Result<u64, SizeError> {
    let mut file = open(path).map_err(|why| SizeError::Path { path: path.to_owned(), why })?;
    look(&mut file).map_err(|why| SizeError::File { path: path.to_owned(), why })
}

fn open(path: &Path) -> io::Result<File> {
    // Without O_NONBLOCK the open itself would wait for the writer of a FIFO. A link in a volume may lead
    // to a file of this pod, as those of clones do.
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() || kind.is_block_device() {
        return Ok(file);
    }
    Err(io::Error::other("it is neither a file nor a block device"))
}

fn look(file: &mut File) -> Result<u64, FileFault> {
    let mut head = Vec::new();
    (&*file).take(HEADER_AREA as u64).read_to_end(&mut head)?;
    let size = match sniff(&head) {
        _ if head.is_empty() => return Err(FileFault::Empty),
        Sniffed::Qcow2 => Header::parse(&head)?.virtual_size,
        Sniffed::Refused(name) if DISKS.contains(&name) => return Err(FileFault::Format(name)),
        // What a guest writes at its disk's start (LUKS, a zip) makes it no image.
        Sniffed::Refused(_) | Sniffed::Raw | Sniffed::Tar | Sniffed::Codec(_) => {
            file.seek(SeekFrom::End(0))?
        }
    };
    size.checked_next_multiple_of(SECTOR).ok_or(FileFault::Huge(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<u64, SizeError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        size(file.path())
    }

    /// The header of a QCOW2 image of version 2.
    fn qcow2(size: u64) -> Vec<u8> {
        let mut head = vec![0; 512];
        let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"QFI\xfb\0\0\0\x02");
        put(20, &16_u32.to_be_bytes());
        put(24, &size.to_be_bytes());
        put(36, &u32::try_from(size.div_ceil(512 << 20).min(u64::from(u32::MAX))).unwrap().to_be_bytes());
        put(40, &(3_u64 << 16).to_be_bytes());
        put(48, &(1_u64 << 16).to_be_bytes());
        put(56, &1_u32.to_be_bytes());
        head
    }

    #[test]
    fn the_size_is_that_of_the_disk_in_whole_sectors() {
        assert_eq!(of(&[7; 1000]).unwrap(), 1024);
        assert_eq!(of(&[7; 1024]).unwrap(), 1024);
        assert_eq!(of(&qcow2(10 << 30)).unwrap(), 10 << 30);
        for magic in
            [&b"LUKS\xba\xbe"[..], b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"LZIP\x01"]
        {
            let mut disk = magic.to_vec();
            disk.resize(4096, 0);
            assert_eq!(of(&disk).unwrap(), 4096, "{}", magic.escape_ascii());
        }
        assert_eq!(of(&[0x1f, 0x8b]).unwrap(), 512);
    }

    #[test]
    fn what_is_no_disk_is_told_from_what_is_no_file() {
        let mut backed = qcow2(1 << 20);
        backed[8..16].copy_from_slice(&256_u64.to_be_bytes());
        backed[16..20].copy_from_slice(&11_u32.to_be_bytes());
        backed[256..267].copy_from_slice(b"/etc/passwd");
        let mut future = qcow2(1 << 20);
        future[7] = 4;
        let vmdk = b"KDMV\x01\0\0\0".to_vec();
        let short = qcow2(1 << 20)[..40].to_vec();
        for (bytes, words) in [
            (Vec::new(), "it is empty"),
            (backed, "backing file"),
            (future, "version 4"),
            (vmdk, "the format VMDK"),
            (short, ""),
            (qcow2(1000), "multiple of 512"),
            (qcow2(u64::MAX), "multiple of 512"),
            (qcow2(u64::MAX - 511), ""),
        ] {
            let error = of(&bytes).unwrap_err();
            assert!(matches!(error, SizeError::File { .. }) && error.exit_code() == 2, "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
        let place = tempfile::tempdir().unwrap();
        let fifo = place.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let (disk, link) = (place.path().join("disk"), place.path().join("link"));
        std::fs::write(&disk, [7; 512]).unwrap();
        std::os::unix::fs::symlink(&disk, &link).unwrap();
        assert_eq!(size(&disk).unwrap(), 512);
        for path in [&place.path().join("absent"), place.path(), &fifo, &link, Path::new("/dev/zero")] {
            let error = size(path).unwrap_err();
            assert!(matches!(error, SizeError::Path { .. }) && error.exit_code() == 3, "{error}");
        }
    }
}
