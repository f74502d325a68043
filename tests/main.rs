//! The integration tests: the built program and the public library against independent judges.
#![cfg(test)]

mod command_line;
mod readme;
