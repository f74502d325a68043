//! A file system in user space that fails for real: the kernel passes its errors on as those of any disk.
//!
//! It speaks the kernel's own protocol (Linux, include/uapi/linux/fuse.h) over /dev/fuse: one directory
//! of files in memory, as much as an import asks of a target.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::mount::Mount;

/// What the kernel asks of a file, by its number in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    SetAttr = 4,
    Write = 16,
    Fsync = 20,
    /// A descriptor is closed.
    Flush = 25,
    Create = 35,
}

/// What is wrong with a file system.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    None,
    /// The request of this kind with this number, from 1 on, fails with this error; those after it do not.
    /// Of writes [`WRITES`] fail: where one is part of a longer one, the kernel calls that short, and the
    /// rest may well be written by another call.
    Nth(Op, usize, i32),
    /// Writes to this byte fail with this error.
    Bad(usize, i32),
    /// Reads give one wrong bit, in the byte at this offset.
    Rot(usize),
}

/// A mounted file system whose fault is in the file called `victim`.
pub(crate) struct Fuse {
    mount: Option<Mount>,
    disk: Arc<Mutex<Disk>>,
    server: Option<JoinHandle<()>>,
}

struct Disk {
    victim: String,
    fault: Fault,
    /// Requests so far for the victim of the kind that is to fail.
    count: usize,
    files: BTreeMap<u64, (String, Vec<u8>, u32)>,
    next: u64,
}

/// The number of the one directory.
const ROOT: u64 = 1;

/// Writes that fail in a row.
const WRITES: usize = 16;

/// Bytes that one write may have.
const MOST: u32 = 128 << 10;

impl Fuse {
    /// An empty file system at the new directory `dir`; `None` where it cannot be mounted.
    pub(crate) fn new(dir: &Path, victim: &str) -> Option<Self> {
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let Ok(device) = device else {
            println!("skipped, no FUSE: {}", device.unwrap_err());
            return None;
        };
        let disk = Disk {
            victim: victim.to_owned(),
            fault: Fault::None,
            count: 0,
            files: BTreeMap::new(),
            next: ROOT + 1,
        };
        let disk = Arc::new(Mutex::new(disk));
        let options = "fd=0,rootmode=40000,user_id=0,group_id=0,allow_other";
        let stdin = Stdio::from(device.try_clone().unwrap());
        let mount = Mount::with(&["-i", "-t", "fuse", "-o", options, "none"], stdin, dir)?;
        let shared = Arc::clone(&disk);
        let server = thread::spawn(move || serve(device, &shared));
        Some(Self { mount: Some(mount), disk, server: Some(server) })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.mount.as_ref().unwrap().dir().join(name)
    }

    /// From now on `fault`, counted from here.
    pub(crate) fn set(&self, fault: Fault) {
        let mut disk = self.disk.lock().unwrap();
        (disk.fault, disk.count) = (fault, 0);
    }

    /// Whether the request that was to fail has been made.
    pub(crate) fn failed(&self) -> bool {
        let disk = self.disk.lock().unwrap();
        matches!(disk.fault, Fault::Nth(_, nth, _) if disk.count >= nth)
    }

    /// The names of the files that are there.
    pub(crate) fn names(&self) -> Vec<String> {
        self.disk.lock().unwrap().files.values().map(|(name, ..)| name.clone()).collect()
    }

    /// What `name` holds.
    pub(crate) fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let disk = self.disk.lock().unwrap();
        disk.files.values().find(|(found, ..)| found == name).map(|(_, bytes, _)| bytes.clone())
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.mount.take();
        if let Some(server) = self.server.take() {
            server.join().ok();
        }
    }
}

/// Answers until the file system is unmounted.
fn serve(mut device: File, disk: &Mutex<Disk>) {
    let mut request = vec![0; 1 << 20];
    loop {
        match device.read(&mut request) {
            Ok(count) => {
                if let Some(answer) = answer(&request[..count], disk) {
                    // A request that was given up in between takes no answer.
                    device.write_all(&answer).ok();
                }
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::ENOENT | libc::EAGAIN)) => {
            }
            Err(_) => return,
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn usize_at(bytes: &[u8], at: usize) -> usize {
    usize::try_from(u64_at(bytes, at)).unwrap()
}

fn name(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// The answer to one request, where it wants one.
fn answer(request: &[u8], disk: &Mutex<Disk>) -> Option<Vec<u8>> {
    let (op, unique, node) = (u32_at(request, 4), u64_at(request, 8), u64_at(request, 16));
    let mut disk = disk.lock().unwrap();
    let (error, body) = match disk.obey(op, node, &request[40..]) {
        None => return None,
        Some(Ok(body)) => (0, body),
        Some(Err(error)) => (-error, Vec::new()),
    };
    let mut answer = u32::try_from(16 + body.len()).unwrap().to_ne_bytes().to_vec();
    answer.extend(error.to_ne_bytes());
    answer.extend(unique.to_ne_bytes());
    answer.extend(body);
    Some(answer)
}

type Answer = Result<Vec<u8>, i32>;

impl Disk {
    /// What the request `op` for `node` with the arguments `args` comes to.
    fn obey(&mut self, op: u32, node: u64, args: &[u8]) -> Option<Answer> {
        if let Err(error) = self.fate(op, node, args) {
            return Some(Err(error));
        }
        Some(match op {
            // FORGET and BATCH_FORGET want no answer.
            2 | 42 => return None,
            1 => self.find(&name(args)),
            3 => self.attributes(node),
            4 => self.set_attributes(node, args),
            10 => self.unlink(&name(args)),
            14 | 27 => Ok(vec![0; 16]),
            15 => self.read(node, args),
            16 => self.write(node, args),
            17 => Ok(room()),
            // RELEASE, FSYNC, FLUSH, RELEASEDIR, FSYNCDIR, DESTROY.
            18 | 20 | 25 | 29 | 30 | 38 => Ok(Vec::new()),
            26 => Ok(initial(args)),
            28 => Ok(Vec::new()),
            35 => self.create(args),
            _ => Err(libc::ENOSYS),
        })
    }

    /// The error that is planned for this request.
    fn fate(&mut self, op: u32, node: u64, args: &[u8]) -> Result<(), i32> {
        let Fault::Nth(planned, nth, error) = self.fault else { return Ok(()) };
        let called = match op {
            35 => args.get(16..).map(name),
            _ => self.files.get(&node).map(|(name, ..)| name.clone()),
        };
        if op != planned as u32 || called.as_ref() != Some(&self.victim) {
            return Ok(());
        }
        self.count += 1;
        let last = if planned == Op::Write { nth + WRITES } else { nth };
        if (nth..=last).contains(&self.count) { Err(error) } else { Ok(()) }
    }

    fn find(&self, name: &str) -> Answer {
        let found = self.files.iter().find(|(_, (called, ..))| called == name);
        found.map_or(Err(libc::ENOENT), |(node, _)| self.entry(*node))
    }

    fn entry(&self, node: u64) -> Answer {
        let mut entry = node.to_ne_bytes().to_vec();
        entry.resize(40, 0);
        entry.extend(self.attribute(node)?);
        Ok(entry)
    }

    fn attributes(&self, node: u64) -> Answer {
        let mut answer = vec![0; 16];
        answer.extend(self.attribute(node)?);
        Ok(answer)
    }

    /// The 88 bytes of `fuse_attr`.
    fn attribute(&self, node: u64) -> Answer {
        let (len, mode) = match self.files.get(&node) {
            Some((_, bytes, mode)) => (bytes.len() as u64, 0o100_000 | mode),
            None if node == ROOT => (0, 0o040_777),
            None => return Err(libc::ENOENT),
        };
        let mut attribute: Vec<u8> = [node, len, len.div_ceil(512), 0, 0, 0].map(u64::to_ne_bytes).concat();
        attribute.extend([0, 0, 0, mode, 1, 0, 0, 0, 4096, 0_u32].map(u32::to_ne_bytes).concat());
        Ok(attribute)
    }

    fn set_attributes(&mut self, node: u64, args: &[u8]) -> Answer {
        let Some((_, bytes, mode)) = self.files.get_mut(&node) else { return self.attributes(node) };
        let valid = u32_at(args, 0);
        if valid & 1 << 3 != 0 {
            bytes.resize(usize_at(args, 16), 0);
        }
        if valid & 1 != 0 {
            *mode = u32_at(args, 68) & 0o7777;
        }
        self.attributes(node)
    }

    fn unlink(&mut self, name: &str) -> Answer {
        let found = self.files.iter().find(|(_, (called, ..))| called == name).map(|(node, _)| *node);
        // It stays for whoever has it open, but under no name.
        let node = found.ok_or(libc::ENOENT)?;
        self.files.remove(&node);
        Ok(Vec::new())
    }

    fn create(&mut self, args: &[u8]) -> Answer {
        let node = self.next;
        self.next += 1;
        self.files.insert(node, (name(&args[16..]), Vec::new(), u32_at(args, 4) & 0o7777));
        let mut answer = self.entry(node)?;
        answer.extend([0; 16]);
        Ok(answer)
    }

    fn read(&self, node: u64, args: &[u8]) -> Answer {
        let (_, bytes, _) = self.files.get(&node).ok_or(libc::ENOENT)?;
        let (at, count) = (usize_at(args, 8), usize::try_from(u32_at(args, 16)).unwrap());
        let start = at.min(bytes.len());
        let mut part = bytes[start..bytes.len().min(start + count)].to_vec();
        if let Fault::Rot(where_) = self.fault
            && let Some(byte) = where_.checked_sub(start).and_then(|at| part.get_mut(at))
        {
            *byte ^= 4;
        }
        Ok(part)
    }

    fn write(&mut self, node: u64, args: &[u8]) -> Answer {
        let (_, bytes, _) = self.files.get_mut(&node).ok_or(libc::ENOENT)?;
        let (at, data) = (usize_at(args, 8), &args[40..40 + usize::try_from(u32_at(args, 16)).unwrap()]);
        if let Fault::Bad(byte, error) = self.fault
            && (at..at + data.len()).contains(&byte)
        {
            return Err(error);
        }
        bytes.resize(bytes.len().max(at + data.len()), 0);
        bytes[at..at + data.len()].copy_from_slice(data);
        Ok([u32_at(args, 16), 0].map(u32::to_ne_bytes).concat())
    }
}

/// The answer to INIT: version 7.31 without anything special.
fn initial(args: &[u8]) -> Vec<u8> {
    let mut answer: Vec<u8> = [7, 31, u32_at(args, 8), 1 << 5].map(u32::to_ne_bytes).concat();
    answer.extend([12_u16, 9].map(u16::to_ne_bytes).concat());
    answer.extend([MOST, 1].map(u32::to_ne_bytes).concat());
    answer.resize(64, 0);
    answer
}

/// The answer to STATFS: a GiB of which all is free.
fn room() -> Vec<u8> {
    let blocks = (1_u64 << 30) / 4096;
    let mut answer: Vec<u8> = [blocks, blocks, blocks, 1000, 1000].map(u64::to_ne_bytes).concat();
    answer.extend([4096_u32, 255, 4096, 0].map(u32::to_ne_bytes).concat());
    answer.resize(80, 0);
    answer
}

#[test]
fn a_file_system_in_user_space_fails_where_it_is_told_to() -> io::Result<()> {
    let workshop = super::workshop();
    let Some(fuse) = Fuse::new(&workshop.path().join("fuse"), "victim") else { return Ok(()) };
    let mut file = File::create(fuse.path("victim"))?;
    file.write_all(&[1; 300_000])?;
    assert_eq!(std::fs::read(fuse.path("victim"))?, [1; 300_000]);
    for (op, error) in [(Op::Fsync, libc::EIO), (Op::SetAttr, libc::ENOSPC)] {
        fuse.set(Fault::Nth(op, 2, error));
        let act = || match op {
            Op::Fsync => file.sync_all(),
            _ => file.set_len(9),
        };
        act()?;
        assert!(!fuse.failed());
        assert_eq!(act().unwrap_err().raw_os_error(), Some(error), "{op:?}");
        assert!(fuse.failed());
        act()?;
    }
    fuse.set(Fault::Nth(Op::Write, 2, libc::EDQUOT));
    file.write_all(b"first")?;
    assert_eq!(file.write(b"second").unwrap_err().raw_os_error(), Some(libc::EDQUOT));
    fuse.set(Fault::Bad(300_005, libc::EIO));
    assert_eq!(file.write(b"more").unwrap_err().raw_os_error(), Some(libc::EIO));
    fuse.set(Fault::Rot(3));
    drop(file);
    assert_eq!(std::fs::read(fuse.path("victim"))?[..5], [1, 1, 1, 5, 1]);
    fuse.set(Fault::None);
    std::fs::remove_file(fuse.path("victim"))?;
    assert_eq!(fuse.names(), [""; 0]);
    Ok(())
}
