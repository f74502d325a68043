//! Container images.

mod digest;
mod error;
mod manifest;
mod media;
mod reference;
mod tape;
mod words;

#[cfg(test)]
mod testing;
