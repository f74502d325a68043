//! A test in mount and network namespaces of its own: what it mounts and where it listens is seen by
//! itself and its children only, and is gone with it.

use std::process::Command;
use std::thread;

/// Runs `test` in namespaces of its own, with a loopback that nobody else listens on.
///
/// What the test starts, threads and children, has to be started within. Where the machine does not
/// allow it nothing runs, and the reason is printed and returned.
#[track_caller]
pub(crate) fn apart(test: impl FnOnce() + Send) -> Option<String> {
    let ran = thread::scope(|scope| {
        let room = thread::Builder::new().name("apart".to_owned());
        room.spawn_scoped(scope, || enter().map(|()| test())).unwrap().join()
    });
    match ran {
        Ok(Ok(())) => None,
        Ok(Err(why)) => {
            println!("skipped, no namespaces: {why}");
            Some(format!("no namespaces: {why}"))
        }
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Moves the calling thread into the namespaces.
#[expect(unsafe_code, reason = "no safe wrapper of unshare is at hand")]
fn enter() -> Result<(), String> {
    // SAFETY: the call has no pointers; it changes the calling thread only, which is the test's own.
    let done = unsafe { libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWNET) };
    if done != 0 {
        return Err(format!("unshare: {}", std::io::Error::last_os_error()));
    }
    // Before the first mount, or the machine would see it.
    command("mount", &["--make-rprivate", "/"])?;
    command("ip", &["link", "set", "lo", "up"])
}

/// Runs `program`; what it said where it failed.
pub(crate) fn command(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
