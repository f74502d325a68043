//! The command line, from arguments to configuration.

use std::time::Duration;

use super::{
    Command, CompressionChoice, ContentType, FormatChoice, ImportConfig, OutputStyle, Overwrite, Parsed,
    Resume, UsageError, Verify, parse,
};
use crate::format::codec::Codec;
use crate::format::preallocation::Preallocation;
use crate::matrix::Policy;

fn parsed(line: &str) -> Result<Parsed, UsageError> {
    parse(format!("diskpour {line}").split_whitespace().map(Into::into))
}

fn import(line: &str) -> ImportConfig {
    match parsed(&format!("import {line}")).unwrap() {
        Parsed::Run(config) => match config.command {
            Command::Import(config) => config,
            other => panic!("{other:?}"),
        },
        Parsed::Say(text) => panic!("{text}"),
    }
}

#[test]
fn the_defaults_are_those_of_the_manual() {
    let config = import("http://host/x disk.img");
    assert_eq!(&*config.source, "http://host/x");
    assert_eq!(config.target.to_str(), Some("disk.img"));
    assert_eq!((config.content_type, config.format), (ContentType::Kubevirt, FormatChoice::Auto));
    assert_eq!(config.compression, CompressionChoice::Auto);
    assert_eq!((config.checksum, config.scratch_dir), (None, None));
    assert_eq!((config.policy, config.memory_budget), (Policy::Lean, 64 << 20));
    assert_eq!(config.connections, 4);
    assert!(config.workers >= 1);
    assert_eq!((config.size, config.max_size), (None, None));
    assert_eq!(config.preallocation, Preallocation::Off);
    assert_eq!((config.overwrite, config.verify), (Overwrite::Refuse, Verify::Off));
    assert_eq!(config.resume, Resume::Off);
    assert_eq!(config.idle_timeout, Duration::from_secs(600));
    assert_eq!(config.output, OutputStyle::Text);
}

#[test]
fn every_option_arrives() {
    let config = import(
        "- /dev/vdb --format qcow2 --compression xz --checksum md5:900150983cd24fb0d6963f7d28e17f72 \
         --scratch-dir /scratch --scratch-policy strict --memory-budget 256Ki --connections 64 \
         --workers 3 --size 1.5G --max-size 2G --preallocation full --force --verify --resume \
         --idle-timeout 3s --progress none --output json",
    );
    assert_eq!(config.format, FormatChoice::Qcow2);
    assert_eq!(config.compression, CompressionChoice::Codec(Codec::Xz));
    assert_eq!(config.checksum.unwrap().hex(), "900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(config.scratch_dir.unwrap().to_str(), Some("/scratch"));
    assert_eq!((config.policy, config.memory_budget), (Policy::Strict, 256 << 10));
    assert_eq!((config.connections, config.workers), (64, 3));
    assert_eq!((config.size, config.max_size), (Some(3 << 29), Some(2 << 30)));
    assert_eq!(config.preallocation, Preallocation::Full);
    assert_eq!((config.overwrite, config.verify), (Overwrite::Force, Verify::ReadBack));
    assert_eq!(config.resume, Resume::On);
    assert_eq!(config.idle_timeout, Duration::from_secs(3));
    assert_eq!(config.output, OutputStyle::Json);
}

#[test]
fn what_makes_no_sense_is_refused_with_words() {
    let table = [
        ("import", "required arguments were not provided: <SOURCE> <TARGET>"),
        ("import a", "required arguments were not provided: <TARGET>"),
        ("import a b c", "unexpected argument 'c'"),
        ("import a b --connections 0", "0 is not in 1..=64"),
        ("import a b --connections 65", "65 is not in 1..=64"),
        ("import a b --workers 0", "0 is not in 1..=256"),
        ("import a b --size 1Z", "unknown unit `Z`"),
        ("import a b --size 1000", "the next is 1024"),
        ("import a b --size 0", "--size 0 leaves no disk"),
        ("import a b --max-size 0", "--max-size 0 leaves no disk"),
        ("import a b --size 2G --max-size 1G", "(2.0 GiB) is larger than --max-size 1073741824 (1.0 GiB)"),
        ("import a b --content-type archive --format raw", "--format concerns disk images"),
        ("import a b --content-type archive --size 1G", "--size concerns disk images"),
        ("import a b --content-type archive --preallocation full", "--preallocation concerns disk images"),
        ("import a b --content-type archive --verify", "--verify concerns disk images"),
        ("import a b --content-type archive --resume", "--resume concerns disk images"),
        ("import a b --content-type tar", "possible values: kubevirt, archive"),
        ("import a b --idle-timeout 10", "the unit is missing: 10s, 10m or 10h?"),
        ("import a b --idle-timeout 0s", "would end every import at once"),
        ("import a b --checksum sha256:ab", "sha256 has 64 hexadecimal digits, here are 2"),
        ("import a b --format vmdk", "possible values: auto, raw, qcow2"),
        ("import a -", "standard output"),
        ("import a http://host/b", "the order is SOURCE TARGET"),
        ("import a a", "the same file"),
        ("import file://a a", "the same file"),
        ("inspect a --idle-timeout 0s", "would end every import at once"),
        ("inspect a --force", "unexpected argument '--force'"),
        ("completions tcsh", "possible values: bash"),
        ("pour", "unrecognized subcommand 'pour'"),
    ];
    for (line, words) in table {
        let error = parsed(line).unwrap_err();
        assert!(error.to_string().contains(words), "{line}: {error}");
        assert!(!error.to_string().contains('\n'), "{line}: {error}");
    }
}

#[test]
fn passwords_in_urls_are_never_repeated() {
    for line in [
        "import http://u:s3cr3t@host/x",
        "import a b http://u:s3cr3t@host/x",
        "import a http://u:s3cr3t@host/x",
        "import a b --checksum=http://u:s3/cr3t@host/x",
        "import a b --checksum http://host/?sig=s3cr3t",
        "http://u:s3cr3t@host/x",
        "inspect http://u:s3cr3t@host/x --force",
    ] {
        let error = parsed(line).unwrap_err();
        let all = format!("{error} {error:?} {}", error.advice());
        assert!(!all.contains("cr3t"), "{line}: {all}");
    }
    let config = import("http://u:s3cr3t@host/x b");
    assert!(!format!("{config:?}").contains("s3cr3t"));
    assert_eq!(&*config.source, "http://u:s3cr3t@host/x");
}

#[test]
fn the_wish_for_json_is_seen_in_lines_that_make_no_sense() {
    let style = |line| parsed(line).unwrap_err().output();
    assert_eq!(style("import --output json"), OutputStyle::Json);
    assert_eq!(style("import --output=json --nonsense"), OutputStyle::Json);
    assert_eq!(style("import --output=json --output text"), OutputStyle::Text);
    assert_eq!(style("import a a --output json"), OutputStyle::Json);
    assert_eq!(style("import"), OutputStyle::Text);
}

#[test]
fn help_and_version_are_no_errors() {
    for (line, words) in [("--version", "diskpour "), ("import --help", "Examples:"), ("-h", "Commands:")] {
        match parsed(line).unwrap() {
            Parsed::Say(text) => assert!(text.contains(words), "{text}"),
            Parsed::Run(config) => panic!("{config:?}"),
        }
    }
}
