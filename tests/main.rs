//! The integration tests: the built program and the public library against independent judges.
#![cfg(test)]

mod common;
mod differential;
