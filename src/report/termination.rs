//! The termination message of a pod: what the controller reads when the container has ended.
//!
//! Refuses to know: who ends. JSON goes with exit code 0, one line of plain text with all others.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;

/// Where the kubelet looks for the message.
pub const PATH: &str = "/dev/termination-log";

/// The most that the kubelet keeps, in bytes.
const MOST: usize = 4096;

/// What a pod that ended with exit code 0 says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Termination {
    /// That the same import needs a scratch volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scratch_space_required: Option<bool>,
    /// Whether the target's space was claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preallocation_applied: Option<bool>,
    /// That an upload server ended because its time was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_passed: Option<bool>,
    /// Labels that the image asks for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What the user reads.
    pub message: String,
}

impl Termination {
    /// The message as JSON of at most 4096 bytes: labels are dropped first, the last ones before
    /// the others, and then the end of the words.
    #[must_use]
    pub fn to_json(mut self) -> String {
        self.message = line(&self.message, MOST);
        loop {
            // A map of texts cannot fail to be written.
            let text = serde_json::to_string(&self).unwrap_or_default();
            let excess = text.len().saturating_sub(MOST);
            if excess == 0 {
                return text;
            }
            if self.labels.pop_last().is_none() {
                let room = self.message.len().saturating_sub(excess);
                self.message = line(&self.message, room);
            }
        }
    }
}

/// The plain text of a pod that failed: one line of at most 4096 bytes.
#[must_use]
pub fn plain(text: &str) -> String {
    line(text, MOST)
}

/// Writes `text` to `path`, in place of what was there.
///
/// # Errors
/// What the system says; a pod without such a file is no failure of what it did.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// `text` on one line, cut at `most` bytes or a little before.
fn line(text: &str, most: usize) -> String {
    let mut line = text.trim().replace(|c: char| c.is_control(), " ");
    line.truncate(line.floor_char_boundary(most));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done() -> Termination {
        Termination {
            scratch_space_required: Some(false),
            preallocation_applied: Some(true),
            message: "Import Complete".to_owned(),
            ..Termination::default()
        }
    }

    #[test]
    fn the_keys_are_those_of_the_controller_and_absent_where_nothing_is_said() {
        let said =
            r#"{"scratchSpaceRequired":false,"preallocationApplied":true,"message":"Import Complete"}"#;
        assert_eq!(done().to_json(), said);
        let late = Termination {
            deadline_passed: Some(true),
            message: "Deadline Passed".to_owned(),
            ..Termination::default()
        };
        assert_eq!(late.to_json(), r#"{"deadlinePassed":true,"message":"Deadline Passed"}"#);
    }

    #[test]
    fn labels_are_dropped_before_the_message_grows_too_long() {
        let mut labels = BTreeMap::new();
        for number in 0..100 {
            labels.insert(format!("kubevirt.io/{number:03}"), "x".repeat(60));
        }
        let text = Termination { labels, ..done() }.to_json();
        assert!(text.len() <= 4096 && text.len() > 3900, "{}", text.len());
        assert!(text.contains("kubevirt.io/000") && !text.contains("kubevirt.io/099"));
        assert!(text.contains("Import Complete"));
        let quotes = Termination { message: "\"".repeat(5000), ..Termination::default() }.to_json();
        assert!(quotes.len() <= 4096);
        assert!(serde_json::from_str::<serde_json::Value>(&quotes).is_ok());
    }

    #[test]
    fn plain_text_is_one_line_that_fits() {
        assert_eq!(plain(" a\nb\tc\u{1b}d \n"), "a b c d");
        assert_eq!(plain(&"ä".repeat(3000)).len(), 4096);
        assert_eq!(plain(&format!("x{}", "ä".repeat(3000))).len(), 4095);
    }

    #[test]
    fn a_longer_message_of_an_earlier_run_is_gone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "x".repeat(100)).unwrap();
        write(file.path(), "short").unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "short");
    }
}
