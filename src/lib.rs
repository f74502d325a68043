//! diskpour pours a virtual machine's disk image from anywhere into a block device or a file.
pub mod codec;
pub mod config;
pub mod error;
pub mod format;
pub mod io;
pub mod matrix;
pub mod progress;
pub mod sink;
pub mod source;
pub mod sys;
