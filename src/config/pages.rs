//! Completion scripts and manual pages, generated from the command line.

use std::io;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use clap_complete::Shell;
use clap_mangen::Man;

use super::args;

/// A manual page, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Every page, one after the other.
    All,
    /// The page of `diskpour import`.
    Import,
    /// The page of `diskpour inspect`.
    Inspect,
    /// The page of `diskpour upload-server`.
    UploadServer,
    /// The page of `diskpour job`.
    Job,
    /// The page of `diskpour matrix`.
    Matrix,
}

impl Page {
    fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Import => "import",
            Self::Inspect => "inspect",
            Self::UploadServer => "upload-server",
            Self::Job => "job",
            Self::Matrix => "matrix",
        }
    }
}

impl ValueEnum for Page {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::All, Self::Import, Self::Inspect, Self::UploadServer, Self::Job, Self::Matrix]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

/// The completion script for `shell`.
#[must_use]
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "diskpour", &mut script);
    script
}

/// The manual page `page`, in roff.
///
/// # Errors
/// Never, as far as is known: the pages go into memory.
pub fn man(page: Page) -> io::Result<Vec<u8>> {
    let mut command = args::command();
    command.build();
    let mut roff = Vec::new();
    if page == Page::All {
        Man::new(command.clone()).render(&mut roff)?;
    }
    let wanted = |name: &str| page == Page::All || page.name() == name;
    for sub in command.get_subcommands().filter(|sub| wanted(sub.get_name())) {
        let name = format!("diskpour-{}", sub.get_name());
        Man::new(sub.clone()).title(name).render(&mut roff)?;
    }
    Ok(roff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(completions(*shell)).unwrap();
            assert!(script.contains("inspect") && script.contains("memory-budget"), "{shell}");
        }
    }

    #[test]
    fn the_manual_has_a_page_for_each_command() {
        let all = String::from_utf8(man(Page::All).unwrap()).unwrap();
        assert_eq!(all.matches("\n.TH ").count() + usize::from(all.starts_with(".TH ")), 8, "{all}");
        let import = String::from_utf8(man(Page::Import).unwrap()).unwrap();
        assert!(import.contains(".TH diskpour-import") && import.contains("memory"), "{import}");
    }
}
