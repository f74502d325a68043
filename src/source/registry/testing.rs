//! What the tests of this room share: small tars and images, made by hand.

use tar::{EntryType, Header};

/// A tar in the making.
#[derive(Default)]
pub(super) struct Tar(Vec<u8>);

/// A header with a right checksum.
pub(super) fn header(name: &str, kind: u8, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(EntryType::new(kind));
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

impl Tar {
    /// A regular file.
    pub(super) fn file(self, name: &str, data: &[u8]) -> Self {
        self.raw(&header(name, b'0', data.len() as u64), data)
    }

    /// A member without data, of the type `kind`.
    pub(super) fn entry(self, name: &str, kind: u8, link: &str) -> Self {
        let mut header = header(name, kind, 0);
        header.set_link_name_literal(link).unwrap();
        header.set_cksum();
        self.raw(&header, b"")
    }

    /// `header` as it is, and `data` padded to whole blocks.
    pub(super) fn raw(mut self, header: &Header, data: &[u8]) -> Self {
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// The tar with its end mark.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}
