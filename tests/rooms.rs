//! Each room uses only the rooms before it, and no file grows past what one reads at a sitting.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::project;

/// The rooms in the order of the design: each uses only those before it.
const ROOMS: [&str; 26] = [
    "error", "format", "io", "progress", "sys", "codec", "scratch", "journal", "sink", "image", "archive",
    "source", "matrix", "plan", "copy", "config", "report", "import", "serve", "clone", "job", "inspect",
    "confine", "fuzzing", "main", "lib",
];

const LONGEST: usize = 400;

#[test]
fn rooms_use_only_rooms_before_them() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        let room = room_of(&file);
        let Some(level) = ROOMS.iter().position(|name| *name == room) else {
            wrong.push(format!("{}: the room {room} is not in the list", file.display()));
            continue;
        };
        let text = fs::read_to_string(&file).unwrap();
        let code = production(&text);
        let mut used = named(&code, "crate::");
        used.extend(named(&code, "diskpour::"));
        if file.parent() == Some(&project("src")) {
            used.extend(named(&code, "super::"));
        }
        let used = used.iter().filter(|name| **name != room);
        for name in
            used.filter(|name| ROOMS.iter().position(|other| other == name).is_none_or(|at| at >= level))
        {
            wrong.push(format!("{}: uses crate::{name}, which is not a room before {room}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_longer_than_400_lines() {
    let mut long = Vec::new();
    for file in ["src", "tests", "benches"].into_iter().flat_map(sources) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        if lines > LONGEST {
            long.push(format!("{}: {lines} lines", file.display()));
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// Every Rust file below `dir` of the project.
fn sources(dir: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![project(dir)];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // What the fuzzers build is no source.
                if !path.ends_with("target") {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The first name below src, without its ending.
fn room_of(file: &Path) -> String {
    let below = file.strip_prefix(project("src")).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// `text` without comments and without what is compiled for tests only.
fn production(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("#![cfg(test)]") {
            return String::new();
        }
        if trimmed.starts_with("#[cfg(test)]") || trimmed.starts_with("#[cfg(all(test") {
            skip_item(&mut lines, line.len() - trimmed.len());
        } else if !trimmed.starts_with("//") {
            code.push_str(line.split(" // ").next().unwrap());
            code.push('\n');
        }
    }
    code
}

/// Passes over one item that is formatted by rustfmt and indented by `indent`.
fn skip_item<'a>(lines: &mut impl Iterator<Item = &'a str>, indent: usize) {
    for line in lines {
        let trimmed = line.trim_start();
        let closes = line.len() - trimmed.len() == indent && !trimmed.starts_with("#[");
        if closes && (trimmed.ends_with(';') || trimmed.ends_with('}')) {
            return;
        }
    }
}

/// The first names after each `prefix` in `code`, groups in braces included.
fn named(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|before| before.is_alphanumeric() || before == '_' || before == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(firsts(group)),
            None => names.extend(first(rest)),
        }
    }
    names
}

/// The name at the start; a type or a function there is none of a room.
fn first(text: &str) -> Option<String> {
    let end = text.find(|sign: char| !sign.is_alphanumeric() && sign != '_').unwrap_or(text.len());
    let name = &text[..end];
    name.starts_with(char::is_lowercase).then(|| name.to_owned())
}

/// The first name of each part of a group whose brace is open.
fn firsts(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut fresh) = (0, Vec::new(), true);
    for (at, sign) in group.char_indices() {
        match sign {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            _ if sign.is_whitespace() => {}
            _ if fresh => {
                names.extend(first(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

#[test]
fn uses_are_found_in_groups_and_not_in_tests() {
    let text = "\
use crate::{error::{Error, Kind}, io};
use crate::sink::Sink; // crate::source
// crate::copy
fn f() -> crate::image::Image { mycrate::plan::x() }
#[cfg(test)]
use crate::config;
#[cfg(test)]
mod tests {
    use crate::report;
}
";
    let names = named(&production(text), "crate::");
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["error", "image", "io", "sink"]);
}
