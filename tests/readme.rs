//! The README's tables are those of the constants and of the last comparison; `UPDATE_README=1` writes them.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use diskpour::error::VERDICTS;
use diskpour::matrix;

use crate::common::run;

#[test]
fn the_readme_holds_the_exit_codes_the_matrix_and_what_was_measured() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let present = fs::read_to_string(&path).unwrap();
    let due = filled(&present, "matrix", &matrix::to_markdown());
    let due = filled(&due, "exit codes", &exit_codes());
    let due = filled(&due, "goals", &goals());
    #[expect(clippy::disallowed_methods, reason = "a wish of the developer, not a setting of the program")]
    let update = std::env::var_os("UPDATE_README").is_some();
    if update {
        fs::write(&path, due).unwrap();
    } else {
        assert!(present == due, "README.md is behind the constants; run this test with UPDATE_README=1");
    }
}

/// `text` with `content` between the markers of `name`.
fn filled(text: &str, name: &str, content: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no `{}`", begin.trim()));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no `{end}`"));
    format!("{before}{begin}{content}{end}{after}")
}

/// The table of exit codes in Markdown.
fn exit_codes() -> String {
    let mut table = String::from("| code | what happened | does the same command help? |\n|---|---|---|\n");
    for row in VERDICTS {
        writeln!(table, "| {} | {} | {} |", row.exit_code, row.words, row.retry_helps).unwrap();
    }
    table
}

/// The tables of goals in the summary that the comparison wrote.
fn goals() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/summary.md");
    let summary = fs::read_to_string(path).unwrap();
    let (_, rest) = summary.split_once("## Goals\n\n").unwrap();
    let (goals, _) = rest.split_once("\n## ").unwrap();
    goals.to_owned()
}

#[test]
fn what_stands_between_the_markers_is_replaced_and_nothing_else() {
    let text = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n";
    assert_eq!(filled(text, "x", "new\n"), "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n");
}

#[test]
fn the_readme_names_every_option_of_an_import() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let help = run::diskpour().args(["import", "-h"]).run();
    let options: Vec<&str> =
        help.stdout.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2).collect();
    assert!(options.len() > 25, "{options:?}");
    for option in options.into_iter().filter(|option| !matches!(*option, "--help" | "--version")) {
        let option = option.trim_matches(|c: char| !c.is_ascii_lowercase() && c != '-');
        assert!(readme.contains(&format!("| `{option}")), "README.md says nothing of {option}");
    }
}
