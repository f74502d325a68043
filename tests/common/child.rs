//! Waiting for a child with a time limit, and what it used.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// How a child ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// The most memory that it had resident, in bytes.
    pub(crate) peak: u64,
    /// The processors' time that it took.
    pub(crate) cpu: Duration,
    /// Whether the watchdog killed it.
    pub(crate) overdue: bool,
}

/// Waits for `child`, and kills it when it takes longer than `limit`.
pub(crate) fn wait(child: &Child, limit: Duration) -> Ended {
    let pid = Pid::from_child(child);
    let (done, ended) = channel::<()>();
    let watchdog = thread::spawn(move || {
        let overdue = ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
        if overdue {
            kill_process(pid, Signal::KILL).ok();
        }
        overdue
    });
    // The child stays a zombie until the watchdog is gone, so that its number cannot be another's.
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
    drop(done);
    let overdue = watchdog.join().unwrap();
    let (status, usage) = reap(pid);
    let peak = u64::try_from(usage.ru_maxrss).unwrap() * 1024;
    Ended { status, peak, cpu: time(usage.ru_utime) + time(usage.ru_stime), overdue }
}

/// The most memory that this process had resident, in bytes.
pub(crate) fn own_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// Sends `signal` to `child`, which the caller has not waited for yet.
pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// The most memory that the process `number`, which runs, had resident so far, in bytes.
pub(crate) fn peak(number: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{number}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[expect(unsafe_code, reason = "no safe wrapper of wait4 tells a child's peak memory")]
fn reap(pid: Pid) -> (ExitStatus, libc::rusage) {
    let mut status = 0;
    // SAFETY: `rusage` is plain numbers, for which zero is valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers lead to live values of the types that wait4 fills.
    let reaped = unsafe { libc::wait4(pid.as_raw_pid(), &raw mut status, 0, &raw mut usage) };
    assert_eq!(reaped, pid.as_raw_pid(), "wait4: {}", std::io::Error::last_os_error());
    (ExitStatus::from_raw(status), usage)
}

fn time(time: libc::timeval) -> Duration {
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap())
        + Duration::from_micros(u64::try_from(time.tv_usec).unwrap())
}
