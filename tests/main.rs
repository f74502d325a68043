//! The integration tests: the built program and the public library against independent judges.
#![cfg(test)]

mod aliases;
mod archive;
mod budget;
mod cli;
mod command_line;
mod common;
mod damage;
mod devices;
mod differential;
mod fixtures;
mod forward;
mod full;
mod job;
mod hostile;
mod load;
mod images;
mod matrix;
mod memory;
mod pod;
mod pod_upload;
mod proxy;
mod readme;
mod redirects;
mod registry;
mod resume;
mod rooms;
mod secrets;
mod shared;
mod small_programs;
mod tls;
mod unbootable;
mod upload;
