//! Passwords, tokens, keys, secret headers and signed queries: used, as the servers saw, and told to
//! nobody, whatever is logged and however a run ends.

mod pods;
mod registry;
mod vault;
mod web;
