//! The integration tests: the built program and the public library against independent judges.
#![cfg(test)]

mod budget;
mod common;
mod differential;
mod rooms;
