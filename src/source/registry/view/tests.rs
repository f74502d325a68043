//! Layers as lists of names, the topmost first.

use std::io::Cursor;

use super::*;
use crate::archive::Walk;
use crate::io::Sequential;
use crate::source::registry::testing::Tar;

/// A member whose kind shows in its name: `x/` is a directory, `x@` a symbolic link.
fn member(text: &str) -> Member {
    let tar = match text.strip_suffix('@') {
        Some(name) => Tar::default().entry(name, b'2', "elsewhere"),
        None if text.ends_with('/') => Tar::default().entry(text, b'5', ""),
        None => Tar::default().file(text, b"12345"),
    };
    Walk::new(Sequential::new(Cursor::new(tar.end()), None)).next().unwrap().unwrap()
}

/// The layer and the name of the disk, or the words of the refusal.
fn seen(path: Option<&str>, layers: &[&[&str]]) -> Result<(usize, String), String> {
    let mut view = View::new(path).unwrap();
    for (number, layer) in layers.iter().enumerate() {
        let mut disk = None;
        for name in *layer {
            if view.look(&member(name)).map_err(|error| error.to_string())? == Look::Candidate {
                disk = Some((*name).to_owned());
            }
        }
        if view.decides() {
            view.judge().map_err(|error| error.to_string())?;
            return Ok((number, disk.unwrap()));
        }
        if !view.descend() {
            break;
        }
    }
    view.judge().map_err(|error| error.to_string())?;
    panic!("neither found nor refused")
}

#[test]
fn the_topmost_layer_that_has_something_there_decides() {
    let table: [(&[&[&str]], usize, &str); 12] = [
        (&[&["disk/", "disk/a.img"]], 0, "disk/a.img"),
        (&[&["./disk/a.img"]], 0, "./disk/a.img"),
        (&[&["/disk//./a.img"]], 0, "/disk//./a.img"),
        (&[&["etc/x"], &["disk/a"]], 1, "disk/a"),
        (&[&["disk/"], &["disk/a"]], 1, "disk/a"),
        (&[&["disk/b"], &["disk/a"]], 0, "disk/b"),
        (&[&["disk/.wh.a"], &["disk/a", "disk/b"]], 1, "disk/b"),
        (&[&["disk/.wh.a", "disk/a"], &["disk/a"]], 0, "disk/a"),
        (&[&["disk/.wh..wh..opq", "disk/a"], &["disk/b"]], 0, "disk/a"),
        (&[&[".wh.diskette", "etc/.wh.disk", "etc/.wh..wh..opq"], &["disk/a"]], 1, "disk/a"),
        (&[&["disk/.wh..wh.plnk", "disk/.wh."], &["disk/a"]], 1, "disk/a"),
        (&[&["disk/.wh.sub"], &["disk/sub/", "disk/sub/x", "disk/a"]], 1, "disk/a"),
    ];
    for (layers, number, name) in table {
        assert_eq!(seen(None, layers), Ok((number, name.to_owned())), "{layers:?}");
    }
}

#[test]
fn what_no_container_would_see_as_one_file_is_refused_with_a_list() {
    let table: [(&[&[&str]], &str); 14] = [
        (&[&["etc/x", "bin@"]], "no file under /disk/; it has /etc/, /bin"),
        (&[&[]], "empty otherwise"),
        (&[&["diskette/a", "disk.img", "disks/b"]], "it has /diskette/, /disk.img, /disks/"),
        (&[&["disk/a", "disk/b"]], "more than one file under /disk/: /disk/a (5 bytes), /disk/b (5 bytes)"),
        (&[&["disk/a", "disk/a"]], "more than one"),
        (&[&["disk/sub/"]], "no regular file under /disk/ but /disk/sub/ (a directory)"),
        (&[&["disk/sub/x"]], "but /disk/sub/x"),
        (&[&["disk/a", "disk/sub/x"]], "more than one"),
        (&[&["disk/a@"]], "/disk/a (a symbolic link)"),
        (&[&["disk@", "data/a"], &["disk/a"]], "/disk (a symbolic link)"),
        (&[&["disk/.wh.a"], &["disk/a"]], "no file under /disk/"),
        (&[&["disk/.wh..wh..opq"], &["disk/a"]], "removes it"),
        (&[&[".wh..wh..opq"], &["disk/a"]], "removes it"),
        (&[&["./.wh.disk"], &["disk/a"]], "removes it"),
    ];
    for (layers, words) in table {
        let error = seen(None, layers).unwrap_err();
        assert!(error.contains(words), "{layers:?}: {error}");
    }
    let error = seen(None, &[&["disk/../../x"]]).unwrap_err();
    assert!(error.contains("has `..` in the name `disk/../../x`"), "{error}");
}

#[test]
fn a_path_of_the_user_is_one_exact_file() {
    let path = Some("/images/b.img");
    let layers: [&[&str]; 3] = [&["images/a.img", "disk/x"], &["images/b.img"], &["images/b.img"]];
    assert_eq!(seen(path, &layers), Ok((1, "images/b.img".to_owned())));
    let table: [(&[&[&str]], &str); 8] = [
        (&[&["images/a.img", "disk/x"]], "it has /images/a.img (5 bytes), /disk/"),
        (&[&["images/.wh.b.img"], &["images/b.img"]], "removes it"),
        (&[&["images/.wh..wh..opq"], &["images/b.img"]], "removes it"),
        (&[&[".wh.images"], &["images/b.img"]], "removes it"),
        (&[&["images@"], &["images/b.img"]], "/images (a symbolic link)"),
        (&[&["images/b.img@"], &["images/b.img"]], "(a symbolic link)"),
        (&[&["images/b.img/"]], "(a directory)"),
        (&[&["images/b.img/x"]], "/images/b.img/x"),
    ];
    for (layers, words) in table {
        let error = seen(path, layers).unwrap_err();
        assert!(error.contains(words), "{layers:?}: {error}");
    }
    let hidden_beside: [&[&str]; 2] = [&["images/.wh.a", "images/b.img/.wh..wh..opq"], &["images/b.img"]];
    assert_eq!(seen(path, &hidden_beside), Ok((1, "images/b.img".to_owned())));
    for none in ["", "/", ".", "a/../b", "images/"] {
        assert!(View::new(Some(none)).is_err(), "{none}");
    }
}

#[test]
fn lists_are_short_and_removed_names_are_bounded() {
    let many: Vec<String> = (0..50).map(|at| format!("disk/{at}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let error = seen(None, &[&many]).unwrap_err();
    assert!(error.contains("and 40 more"), "{error}");
    let removed: Vec<String> = (0..1001).map(|at| format!("disk/.wh.{at}")).collect();
    let removed: Vec<&str> = removed.iter().map(String::as_str).collect();
    assert!(seen(None, &[&removed]).unwrap_err().contains("over a limit"));
}
