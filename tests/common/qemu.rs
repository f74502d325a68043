//! The independent judge and maker of images: `qemu-img` and `qemu-io`; and the codecs' own tools.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Runs `program`; its output must be a success.
pub(crate) fn tool<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> String {
    let mut command = Command::new(program);
    command.args(args);
    let output = finish(&mut command);
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `qemu-img` with a line of arguments and the paths that follow them.
pub(crate) fn img(line: &str, paths: &[&Path]) {
    let args = line.split_whitespace().map(OsStr::new).chain(paths.iter().map(|path| path.as_os_str()));
    tool("qemu-img", args);
}

/// `qemu-img` with the paths before the last argument, as `resize` and `snapshot` want it.
pub(crate) fn img_last(line: &str, path: &Path, last: &str) {
    let words = line.split_whitespace().map(OsStr::new);
    tool("qemu-img", words.chain([path.as_os_str()]).chain(last.split_whitespace().map(OsStr::new)));
}

/// Guest writes, zeros and discards, one `qemu-io` command per item.
pub(crate) fn io<S: AsRef<str>>(path: &Path, commands: impl IntoIterator<Item = S>) {
    let mut command = Command::new("qemu-io");
    // `unmap` lets discards reach the image.
    command.args(["-f", "qcow2", "-d", "unmap"]);
    for line in commands {
        command.arg("-c").arg(line.as_ref());
    }
    let output = finish(command.arg(path));
    let failed = !output.status.success() || text(&output).contains("failed:");
    assert!(!failed, "{command:?}: {}", text(&output));
}

/// The disk in `image` as `qemu-img` reads it.
pub(crate) fn to_raw(image: &Path, format: &str, raw: &Path) {
    img(&format!("convert -f {format} -O raw"), &[image, raw]);
}

/// As [`to_raw`], or `None` when `qemu-img` refuses the image.
pub(crate) fn try_raw(image: &Path, raw: &Path) -> Option<Vec<u8>> {
    let mut command = Command::new("timeout");
    command.args(["20", "qemu-img", "convert", "-f", "qcow2", "-O", "raw"]).args([image, raw]);
    finish(&mut command).status.success().then(|| std::fs::read(raw).unwrap())
}

/// `from` packed by `codec`'s own tool into a file beside it.
pub(crate) fn pack(from: &Path, codec: &str) -> PathBuf {
    let (program, args, ending): (&str, &[&str], &str) = match codec {
        "gzip" => ("gzip", &["-1nc"], "gz"),
        // Small blocks, so that there are several to decode in parallel.
        "xz" => ("xz", &["-1c", "--block-size=1MiB"], "xz"),
        "zstd" => ("zstd", &["-1qc"], "zst"),
        "bzip2" => ("bzip2", &["-1c"], "bz2"),
        _ => return from.to_owned(),
    };
    let mut name = from.as_os_str().to_owned();
    name.push(format!(".{ending}"));
    let packed = PathBuf::from(name);
    let mut command = Command::new(program);
    command.args(args).arg(from).stdout(File::create(&packed).unwrap());
    let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap().wait_with_output();
    assert!(output.unwrap().status.success(), "{command:?}");
    packed
}

fn finish(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; see tests/run"))
}

fn text(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{out}{err}")
}
