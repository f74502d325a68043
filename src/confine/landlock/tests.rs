//! Each test confines a thread of its own; the others stay as they were.

use std::fs::{File, OpenOptions, create_dir, read, read_dir, remove_file, write};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::thread;

use super::*;

fn place(right: Right, path: &Path) -> Place {
    Place { path: path.to_owned(), right }
}

/// What `work` comes to in a thread that may reach `places` only; none where the kernel has no Landlock.
fn confined<T: Send>(places: Vec<Place>, work: impl FnOnce() -> T + Send) -> Option<T> {
    let needs = Needs { places, connects: false, listens: false };
    thread::scope(|scope| {
        let confine = move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            let how = restrict(&needs).unwrap();
            (!how.starts_with("not at all")).then(work)
        };
        scope.spawn(confine).join().unwrap()
    })
}

fn denied<T>(done: io::Result<T>) -> bool {
    done.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

#[test]
fn what_was_not_named_cannot_be_opened() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["source", "secret"] {
        write(at(name), name).unwrap();
    }
    symlink(at("secret"), at("link")).unwrap();
    create_dir(at("target")).unwrap();
    let places = vec![
        place(Right::Read, &at("source")),
        place(Right::Target, &at("target/disk.img")),
        place(Right::Tell, &at("absent")),
    ];
    let held = confined(places, || {
        assert_eq!(read(at("source")).unwrap(), b"source");
        assert!(denied(read(at("secret"))) && denied(read(at("link"))));
        // A path that is swapped for another is another.
        symlink(at("secret"), at("target/swapped")).map_or_else(drop, |()| panic!("a link was made"));
        write(at("target/disk.img"), "disk").unwrap();
        write(at("target/.disk.img.diskpour"), "marker").unwrap();
        remove_file(at("target/.disk.img.diskpour")).unwrap();
        File::open(at("target")).unwrap().sync_all().unwrap();
        OpenOptions::new().write(true).open(at("target/disk.img")).unwrap().set_len(1).unwrap();
        assert!(denied(OpenOptions::new().write(true).open(at("source"))));
        assert!(denied(write(at("new"), "")) && denied(create_dir(at("target/sub"))));
        assert!(denied(read("/etc/passwd")) && denied(read_dir("/")));
        assert!(denied(std::process::Command::new("/bin/true").status()));
    });
    if held.is_none() {
        println!("skipped, this kernel has no Landlock");
    }
}

#[test]
fn a_tree_takes_directories_and_links_and_a_target_that_is_a_link_lies_where_that_leads() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["tree", "real", "links"] {
        create_dir(at(name)).unwrap();
    }
    write(at("real/disk.img"), "old").unwrap();
    symlink("real/disk.img", at("disk.img")).unwrap();
    write(at("certificate"), "pem").unwrap();
    symlink("../certificate", at("links/one")).unwrap();
    let places = vec![
        place(Right::Tree, &at("tree")),
        place(Right::Target, &at("disk.img")),
        place(Right::Links, &at("links")),
    ];
    confined(places, || {
        create_dir(at("tree/a")).unwrap();
        create_dir(at("tree/b")).unwrap();
        write(at("tree/a/file"), "x").unwrap();
        std::fs::hard_link(at("tree/a/file"), at("tree/b/file")).unwrap();
        symlink("file", at("tree/a/link")).unwrap();
        std::fs::rename(at("tree/a/file"), at("tree/b/other")).unwrap();
        std::fs::remove_dir_all(at("tree/b")).unwrap();
        write(at("disk.img"), "new").unwrap();
        write(at("real/.disk.img.diskpour"), "marker").unwrap();
        assert_eq!(read(at("links/one")).unwrap(), b"pem");
        assert!(denied(write(at("beside"), "")));
    });
}

#[test]
fn a_run_without_a_network_gets_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let reached = confined(Vec::new(), || (TcpStream::connect(address), TcpListener::bind("127.0.0.1:0")));
    // Kernels before 6.7 cannot tell.
    if let Some((connected, bound)) = reached
        && bound.is_err()
    {
        assert!(denied(bound) && denied(connected));
    }
}
