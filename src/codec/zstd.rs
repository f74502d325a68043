//! stub
pub(super) const WINDOW_LOG: u32 = 27;
