//! The matrix for terminals, programs and the README.

use std::fmt::Write;

use serde::Serialize;

use super::{Cell, Endpoint, Mark, Policy, ROWS, Row};
use crate::format::codec::Codec;
use crate::format::magic::Layout;

/// The columns of the table: each compression and its heading; `+` marks our extensions.
const COLUMNS: [(Option<Codec>, &str); 5] = [
    (None, "none"),
    (Some(Codec::Gzip), "GZ"),
    (Some(Codec::Xz), "XZ"),
    (Some(Codec::Zstd), "zstd +"),
    (Some(Codec::Bzip2), "bzip2 +"),
];

/// Facts that the marks alone do not tell.
const NOTES: [&str; 5] = [
    "Codecs with a + are diskpour's extension; CDI does not read them.",
    "A local file counts as HTTP, standard input as upload.",
    "Basic authentication together with a custom CA counts as custom CA.",
    "QCOW2 from a server that does not serve ranges counts as ✓*.",
    "--scratch-policy chooses between lean (the default) and strict.",
];

/// The matrix in at most 80 columns.
#[must_use]
pub fn to_text() -> String {
    let mut text = String::from("What CDI documents, by where the image comes from:\n\n");
    line(&mut text, ["", "", COLUMNS[0].1, COLUMNS[1].1, COLUMNS[2].1, COLUMNS[3].1, COLUMNS[4].1]);
    for row in &ROWS {
        let name = if row.layout == Layout::ALL[0] { row.endpoint.name() } else { "" };
        let signs = COLUMNS.map(|(codec, _)| row.cell(codec).mark.sign());
        line(
            &mut text,
            [name, &row.layout.name().to_uppercase(), signs[0], signs[1], signs[2], signs[3], signs[4]],
        );
    }
    text.push_str("\nWhat the marks mean, and what diskpour does there:\n");
    for mark in Mark::ALL {
        // Writing to a String does not fail.
        let _ = write!(text, "\n{:<4}CDI: {}\n", mark.sign(), mark.words());
        for policy in Policy::ALL {
            let label = format!("{}:", policy.name());
            let _ = writeln!(text, "    {label:<8}{}", mark.allows(policy).words());
        }
        for reason in reasons(mark) {
            let _ = writeln!(text, "    why:    {reason}");
        }
    }
    text.push('\n');
    for note in NOTES {
        let _ = writeln!(text, "{note}");
    }
    text
}

/// One line of the table, without spaces at its end.
fn line(text: &mut String, [endpoint, layout, none, gzip, xz, zstd, bzip2]: [&str; 7]) {
    let line = format!("{endpoint:<18}{layout:<8}{none:<7}{gzip:<7}{xz:<7}{zstd:<9}{bzip2}");
    text.push_str(line.trim_end());
    text.push('\n');
}

/// The reasons of the cells that bear `mark`, each once.
fn reasons(mark: Mark) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    for cell in ROWS.iter().flat_map(|row| [row.plain, row.gzip, row.xz]).filter(|cell| cell.mark == mark) {
        if !reasons.contains(&cell.reason) {
            reasons.push(cell.reason);
        }
    }
    reasons
}

/// The matrix as Markdown, for the README.
#[must_use]
pub fn to_markdown() -> String {
    let mut text = String::from("| from | format |");
    for (_, heading) in COLUMNS {
        let _ = write!(text, " {heading} |");
    }
    text.push_str("\n|---|---|---|---|---|---|---|\n");
    for row in &ROWS {
        let _ = write!(text, "| {} | {} |", row.endpoint.name(), row.layout.name().to_uppercase());
        for (codec, _) in COLUMNS {
            let _ = write!(text, " {} |", row.cell(codec).mark.sign().replace('*', "\\*"));
        }
        text.push('\n');
    }
    text.push_str("\n| mark | in CDI | `lean` (default) | `strict` |\n|---|---|---|---|\n");
    for mark in Mark::ALL {
        let sign = mark.sign().replace('*', "\\*");
        let [lean, strict] = Policy::ALL.map(|policy| mark.allows(policy).words());
        let _ = writeln!(text, "| {sign} | {} | {lean} | {strict} |", mark.words());
    }
    text.push('\n');
    for note in NOTES {
        let _ = writeln!(text, "- {}", note.replace('*', "\\*"));
    }
    text
}

/// The matrix as a JSON array with an object for each cell.
#[must_use]
pub fn to_json() -> String {
    let cells: Vec<_> =
        ROWS.iter().flat_map(|row| COLUMNS.map(|(codec, _)| Entry::new(row, codec))).collect();
    // Plain strings and booleans always serialize.
    serde_json::to_string_pretty(&cells).unwrap_or_default()
}

/// One cell as programs read it.
#[derive(Serialize)]
struct Entry {
    endpoint: &'static str,
    format: &'static str,
    compression: &'static str,
    cdi: &'static str,
    cdi_mark: &'static str,
    reason: &'static str,
    lean: &'static str,
    strict: &'static str,
    extension: bool,
}

impl Entry {
    fn new(row: &Row, codec: Option<Codec>) -> Self {
        let cell: &Cell = row.cell(codec);
        Self {
            endpoint: key(row.endpoint),
            format: row.layout.name(),
            compression: codec.map_or("none", Codec::name),
            cdi: cell.mark.words(),
            cdi_mark: cell.mark.sign(),
            reason: cell.reason,
            lean: cell.allows(Policy::Lean).name(),
            strict: cell.allows(Policy::Strict).name(),
            extension: cell.extension,
        }
    }
}

/// The name of `endpoint` in JSON.
fn key(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Http => "http",
        Endpoint::Https => "https",
        Endpoint::HttpsCustomCa => "https-custom-ca",
        Endpoint::BasicAuth => "basic-auth",
        Endpoint::Registry => "registry",
        Endpoint::Upload => "upload",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_fits_80_columns() {
        for line in to_text().lines() {
            assert!(line.chars().count() <= 80, "{line}");
            assert_eq!(line, line.trim_end());
        }
    }

    #[test]
    fn the_json_holds_every_cell_once() {
        let cells: Vec<serde_json::Value> = serde_json::from_str(&to_json()).unwrap();
        assert_eq!(cells.len(), 60);
        let registry =
            cells.iter().find(|c| c["endpoint"] == "registry" && c["compression"] == "xz").unwrap();
        assert_eq!(registry["lean"], "spill-only");
        assert_eq!(registry["strict"], "refused");
    }

    #[test]
    fn the_markdown_has_a_line_for_each_row() {
        let text = to_markdown();
        assert!(
            text.contains("| HTTPS, custom CA | QCOW2 | ✓\\*\\* | ✓\\* | ✓\\* | ✓\\* | ✓\\* |"),
            "{text}"
        );
        assert_eq!(text.lines().filter(|line| line.contains("| RAW |")).count(), 6);
    }
}
