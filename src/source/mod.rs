//! Where images come from: each source consumes itself and hands over its best form.
