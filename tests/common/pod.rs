//! The program as the container of a pod: PID 1, user and group 107, no capabilities, a root file
//! system of its own that cannot be written, and no environment but what is given.
//!
//! To be used within [`super::apart::apart`], which keeps the mounts and port 8443 to the test.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::apart::command;
use super::{child, wait_for};

/// The user and group of CDI's pods.
pub(crate) const USER: u32 = 107;

/// Makes the root file system and becomes the program. Its arguments: the new root, the program, the
/// name that it is called by, the cgroup or nothing, the number of volumes, for each of them its place
/// within and its place without, then variables and arguments as `env` takes them.
const SCRIPT: &str = r#"
set -e
root=$1 program=$2 name=$3 cgroup=$4 volumes=$5
shift 5
mount -t tmpfs -o mode=755 none "$root"
cd "$root"
mkdir usr etc proc dev
for link in bin sbin lib lib64; do
    if [ -L "/$link" ]; then cp -a "/$link" "$link"; elif [ -d "/$link" ]; then
        mkdir "$link"; mount --rbind -o ro "/$link" "$link"
    fi
done
mount --rbind -o ro /usr usr
mount --rbind -o ro /etc etc
mount -t proc proc proc
for device in null zero random urandom; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir program
touch "program/$name"
mount --bind -o ro "$program" "program/$name"
while [ "$volumes" -gt 0 ]; do
    within=$root$1 without=$2
    shift 2
    volumes=$((volumes - 1))
    mkdir -p "$(dirname "$within")"
    if [ -b "$without" ]; then
        # A node of our own: its owner is the container's, whoever owns the machine's.
        mknod "$within" b $(stat -L -c '0x%t 0x%T' "$without")
        chown 107:107 "$within"
    elif [ -d "$without" ]; then
        mkdir -p "$within"
        mount --rbind "$without" "$within"
    else
        [ -e "$within" ] || touch "$within"
        mount --bind "$without" "$within"
    fi
done
mount -o remount,ro "$root"
if [ -n "$cgroup" ]; then echo 0 > "$cgroup/cgroup.procs"; fi
exec chroot "$root" setpriv --reuid=107 --regid=107 --clear-groups \
    --inh-caps=-all --bounding-set=-all --no-new-privs env -i "$@"
"#;

/// A pod that has not begun.
pub(crate) struct Pod {
    dir: PathBuf,
    name: String,
    variables: Vec<OsString>,
    args: Vec<OsString>,
    volumes: Vec<(String, PathBuf)>,
    cgroup: Option<PathBuf>,
    limit: Duration,
}

/// A pod whose program runs.
pub(crate) struct Running {
    child: Child,
    message: PathBuf,
    stderr: JoinHandle<String>,
    limit: Duration,
}

/// What a pod left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; minus the signal's number when a signal ended it.
    pub(crate) code: i32,
    /// The termination message.
    pub(crate) message: String,
    pub(crate) stderr: String,
    /// The most resident memory of any of its processes, in bytes.
    pub(crate) peak: u64,
}

impl Pod {
    /// A pod whose own files are in `dir`, which is the test's; it has no volume yet.
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            name: "diskpour".to_owned(),
            variables: Vec::new(),
            args: Vec::new(),
            volumes: Vec::new(),
            cgroup: None,
            limit: Duration::from_secs(60),
        }
    }

    /// Sets a variable; an empty value stays one.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        let mut variable = OsString::from(format!("{name}="));
        variable.push(value);
        // The last of a name wins.
        let prefix = format!("{name}=");
        self.variables.retain(|given| !given.as_bytes().starts_with(prefix.as_bytes()));
        self.variables.push(variable);
        self
    }

    pub(crate) fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.into());
        self
    }

    /// The name that the program is called by, as CDI's images have it.
    pub(crate) fn called(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Mounts the directory or file `without` at `within`; of a block device it makes a node there.
    pub(crate) fn volume(mut self, within: &str, without: impl Into<PathBuf>) -> Self {
        self.volumes.push((within.to_owned(), without.into()));
        self
    }

    /// Puts the program into the control group at this directory.
    pub(crate) fn cgroup(mut self, dir: &Path) -> Self {
        self.cgroup = Some(dir.to_owned());
        self
    }

    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    pub(crate) fn start(self) -> Running {
        let (root, message) = (self.dir.join("pod-root"), self.dir.join("termination-log"));
        fs::create_dir_all(&root).unwrap();
        // The kubelet makes an empty one for each start.
        fs::write(&message, "").unwrap();
        fs::set_permissions(&message, Permissions::from_mode(0o666)).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--", "/bin/sh", "-c", SCRIPT, "pod"]);
        command.arg(&root).arg(env!("CARGO_BIN_EXE_diskpour")).arg(&self.name);
        command.arg(self.cgroup.as_deref().unwrap_or(Path::new("")));
        command.arg((self.volumes.len() + 1).to_string()).arg("/dev/termination-log").arg(&message);
        for (within, without) in &self.volumes {
            command.arg(within).arg(without);
        }
        command.args(&self.variables).arg(format!("/program/{}", self.name)).args(&self.args);
        command.stdin(Stdio::null()).stdout(Stdio::inherit()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut pipe = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Running { child, message, stderr, limit: self.limit }
    }

    pub(crate) fn run(self) -> Ended {
        self.start().finish()
    }
}

impl Running {
    /// Sends `signal` to the program.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.program(), signal).unwrap();
    }

    /// The program's process, as the test's namespace counts; waits until it is no shell any more.
    pub(crate) fn program(&self) -> Pid {
        let outer = self.child.id();
        let children = format!("/proc/{outer}/task/{outer}/children");
        let number = || fs::read_to_string(&children).ok()?.split_whitespace().next()?.parse::<i32>().ok();
        let runs = || {
            let line = number().and_then(|number| fs::read(format!("/proc/{number}/cmdline")).ok());
            line.is_some_and(|line| line.starts_with(b"/program/"))
        };
        assert!(wait_for(runs), "the program did not start");
        Pid::from_raw(number().unwrap()).unwrap()
    }

    /// Waits for the end; a crash is a failed test whatever was expected.
    pub(crate) fn finish(self) -> Ended {
        let ended = child::wait(&self.child, self.limit);
        let stderr = self.stderr.join().unwrap();
        assert!(!ended.overdue, "still running after {:?}: {stderr}", self.limit);
        let code = ended.status.code().or(ended.status.signal().map(|number| -number)).unwrap();
        assert!(code != 101 && code != 134 && code != -6 && code != -11, "crashed, {code}: {stderr}");
        let message = String::from_utf8(fs::read(&self.message).unwrap()).unwrap();
        Ended { code, message, stderr, peak: ended.peak }
    }
}

impl Ended {
    /// Asserts the exit code, with what was said when it is another.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "exit code; message {:?}, stderr {}", self.message, self.stderr);
        self
    }

    /// Asserts that the termination message has `words`.
    #[track_caller]
    pub(crate) fn tells(&self, words: &str) -> &Self {
        assert!(self.message.contains(words), "no {words:?} in {:?}; stderr {}", self.message, self.stderr);
        self
    }

    /// Asserts that standard error has `words`.
    #[track_caller]
    pub(crate) fn logs(&self, words: &str) -> &Self {
        assert!(self.stderr.contains(words), "no {words:?} in {}", self.stderr);
        self
    }

    /// The termination message as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.message)
            .unwrap_or_else(|error| panic!("{error} in {:?}; stderr {}", self.message, self.stderr))
    }
}

/// An empty directory `name` in `dir` that the container may write to, as fsGroup makes it.
pub(crate) fn directory(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(&path).unwrap();
    own(&path);
    path
}

/// A file system of `size` bytes in memory, mounted at `name` in `dir`.
pub(crate) fn memory(dir: &Path, name: &str, size: u64) -> PathBuf {
    let path = directory(dir, name);
    let options = format!("size={size}");
    command("mount", &["-t", "tmpfs", "-o", &options, "none", path.to_str().unwrap()]).unwrap();
    own(&path);
    path
}

/// An ext4 of `size` bytes on a loop device, mounted at `name` in `dir`; `None`, and why, where the
/// machine has no loop device.
pub(crate) fn ext4(dir: &Path, name: &str, size: u64) -> Option<PathBuf> {
    let (path, file) = (directory(dir, name), dir.join(format!("{name}.ext4")));
    fs::File::create(&file).unwrap().set_len(size).unwrap();
    let (at, image) = (path.to_str().unwrap(), file.to_str().unwrap());
    command("mkfs.ext4", &["-q", "-m", "0", image]).unwrap();
    if let Err(why) = command("mount", &["-o", "loop", image, at]) {
        println!("skipped, no loop device: {why}");
        return None;
    }
    // The container sees an empty volume.
    fs::remove_dir(path.join("lost+found")).unwrap();
    own(&path);
    Some(path)
}

/// Gives `path` to the container's user and group; what is made within has the group too.
pub(crate) fn own(path: &Path) {
    chown(path, Some(USER), Some(USER)).unwrap();
    if path.is_dir() {
        fs::set_permissions(path, Permissions::from_mode(0o2775)).unwrap();
    }
}
