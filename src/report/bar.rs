//! Progress on one line of a terminal that is drawn again and again.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle as Look};

use super::lines::{of, pace};
use super::meter::{Gauge, Snapshot, Speed};
use super::pen::Pen;

/// With a known end: ten columns for the phase, then the bar, then what fits.
const KNOWN: &str = "{prefix:9} [{bar:24}] {percent:>3}% {wide_msg}";

/// Without one.
const UNKNOWN: &str = "{prefix:9} {spinner} {wide_msg}";

/// The bar of one import; gone when it is dropped.
pub(super) struct Bar {
    bar: ProgressBar,
    pen: Pen,
    known: Look,
    unknown: Look,
}

impl Bar {
    /// A bar on standard error, through `pen`.
    pub(super) fn new(pen: &Pen) -> Self {
        // A template that does not parse would be a defect of the constants above; a test reads them.
        let look = |template| Look::with_template(template).unwrap_or_else(|_| Look::default_bar());
        let (known, unknown) = (look(KNOWN).progress_chars("=> "), look(UNKNOWN).tick_chars("|/-\\ "));
        // The style comes first, as everything that is set is drawn at once.
        let bar =
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(unknown.clone());
        pen.show(bar.clone());
        Self { bar, pen: pen.clone(), known, unknown }
    }

    /// Draws the present state.
    pub(super) fn draw(&self, snapshot: &Snapshot, speed: Speed) {
        self.bar.set_prefix(snapshot.phase.word());
        if let Some((gauge, done, total)) = snapshot.course() {
            self.bar.set_style(self.known.clone());
            self.bar.set_length(total);
            self.bar.set_position(done);
            self.bar.set_message(format!("{}{}", measure(gauge, snapshot), pace(speed)));
        } else {
            self.bar.set_style(self.unknown.clone());
            self.bar.set_message(format!("{}{}", of(snapshot.fetched, None), pace(speed)));
        }
        self.bar.tick();
    }
}

/// The counter that the bar follows, in numbers.
fn measure(gauge: Gauge, snapshot: &Snapshot) -> String {
    match gauge {
        Gauge::Fetched => of(snapshot.fetched, snapshot.fetch_total),
        Gauge::Written => of(snapshot.written, None),
        Gauge::Settled => {
            let size = snapshot.virtual_size;
            let settled = snapshot.written.saturating_add(snapshot.zeroed);
            of(size.map_or(settled, |size| settled.min(size)), size)
        }
        Gauge::Verified => of(snapshot.verified, snapshot.virtual_size),
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.pen.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_parse() {
        for template in [KNOWN, UNKNOWN] {
            Look::with_template(template).unwrap();
        }
    }
}
