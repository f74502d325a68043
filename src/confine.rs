//! What a run gives up before it reads the first byte of a source: new privileges, core dumps, and
//! every place that its configuration does not name.
//!
//! No path and no address comes from an image anyway. This holds if a defect changes that.
//!
//! Refuses to know: what is done at the places. Where the kernel has no Landlock the run goes on
//! without.

mod landlock;
mod needs;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::set_no_new_privs;

use crate::config::Config;

pub use needs::{Needs, Place, Right, needs};

/// Leaves the calling thread, and those that it starts, what the run of `config` needs.
///
/// To be called before any other thread is started.
pub fn confine(config: &Config) {
    without_core();
    if let Err(errno) = set_no_new_privs(true) {
        tracing::debug!("no_new_privs cannot be set: {errno}");
    }
    match landlock::restrict(&needs(config)) {
        Ok(how) => tracing::debug!("the run is confined to what it needs: {how}"),
        Err(error) => tracing::debug!("the run is not confined: {error}"),
    }
}

/// Passwords and tokens lie in memory, and must not get into a file when the process crashes.
fn without_core() {
    // Where cores go to a program, the limit counts for nothing and the second one decides. With it
    // /proc/PID belongs to root; we open nothing there of ours, and the kernel lets us in anyway.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    for done in [setrlimit(Resource::Core, none), set_dumpable_behavior(DumpableBehavior::NotDumpable)] {
        if let Err(errno) = done {
            tracing::debug!("core dumps cannot be ruled out: {errno}");
        }
    }
}
