//! Which way the bytes go: a pure function over a table.
//!
//! Refuses to know: sources, sinks, threads.

use crate::error::{Classify, Kind};
use crate::format::codec::Codec;
use crate::format::magic::Layout;
use crate::matrix::{self, Cell, Endpoint, Policy, Treatment};

/// One of the four ways through diskpour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Raw bytes in order, decoded on the way.
    Stream,
    /// QCOW2 in one pass while the bytes arrive.
    Forward,
    /// Reads at any offset, by several workers.
    Ranged,
    /// The whole image into scratch first, then Ranged.
    Stage,
}

impl Route {
    /// The name that results use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Forward => "forward",
            Self::Ranged => "ranged",
            Self::Stage => "stage",
        }
    }
}

/// How the input can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// At any offset.
    Random,
    /// From the first byte to the last.
    Sequential,
}

/// Whether the received bytes must all be hashed, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// Nobody asked.
    Unasked,
    /// A checksum was given.
    Wanted,
}

/// Whether the forward route may use scratch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spill {
    /// For what exceeds the memory budget.
    Allowed,
    /// Not even where a scratch directory is given.
    Never,
}

/// What decides.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Where the image comes from.
    pub endpoint: Endpoint,
    /// How the disk lies in it.
    pub layout: Layout,
    /// The outermost compression.
    pub codec: Option<Codec>,
    /// How the received bytes can be read.
    pub access: Access,
    /// How closely CDI's documented use of scratch is kept to.
    pub policy: Policy,
    /// Whether the received bytes are hashed.
    pub digest: Digest,
}

/// What the plan says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The way.
    pub route: Route,
    /// Whether the way may spill.
    pub spill: Spill,
    /// The cell of the matrix that decided.
    pub cell: &'static Cell,
}

/// A cell that the policy does not allow.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this combination is not supported under --scratch-policy strict: {reason}; \
     --scratch-policy lean imports it"
)]
pub struct PlanError {
    reason: &'static str,
}

impl Classify for PlanError {
    fn kind(&self) -> Kind {
        Kind::Image
    }
}

/// A row of the table; `None` fits everything.
type Rule = (Option<Layout>, Option<Coding>, Option<Access>, Route);

/// The first row that fits decides.
const RULES: &[Rule] = &[
    (Some(Layout::Raw), Some(Coding::Plain), Some(Access::Random), Route::Ranged),
    (Some(Layout::Raw), None, None, Route::Stream),
    (Some(Layout::Qcow2), Some(Coding::Plain), Some(Access::Random), Route::Ranged),
    (Some(Layout::Qcow2), None, None, Route::Forward),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Plain,
    Coded,
}

/// The way for an image of which `facts` are known.
///
/// # Errors
/// [`PlanError`] when the policy refuses the cell.
pub fn plan(facts: Facts) -> Result<Plan, PlanError> {
    let cell = cell(facts);
    let treatment = cell.allows(facts.policy);
    let spill = match (treatment, facts.digest) {
        // Hashed bytes come in order, also from a place that could be read at random.
        (Treatment::NoScratch, Digest::Unasked) => Spill::Never,
        _ => Spill::Allowed,
    };
    match treatment {
        Treatment::Refused => Err(PlanError { reason: cell.reason }),
        Treatment::Stage => Ok(Plan { route: Route::Stage, spill, cell }),
        Treatment::NoScratch | Treatment::SpillOnly => Ok(Plan { route: route(facts), spill, cell }),
    }
}

fn route(facts: Facts) -> Route {
    let coding = if facts.codec.is_some() { Coding::Coded } else { Coding::Plain };
    let access = if facts.digest == Digest::Wanted { Access::Sequential } else { facts.access };
    let fits = |(layout, codes, reads, _): &&Rule| {
        layout.is_none_or(|layout| layout == facts.layout)
            && codes.is_none_or(|codes| codes == coding)
            && reads.is_none_or(|reads| reads == access)
    };
    RULES.iter().find(fits).map_or(Route::Stream, |(.., route)| *route)
}

/// The cell of the matrix, with CDI's footnote for servers without ranges.
fn cell(facts: Facts) -> &'static Cell {
    let cell = matrix::cell(facts.endpoint, facts.layout, facts.codec);
    let unstarred = cell.allows(Policy::Strict) == Treatment::NoScratch;
    let blind = facts.layout == Layout::Qcow2 && facts.access == Access::Sequential;
    if unstarred && blind { &matrix::WITHOUT_RANGES } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts = Facts {
        endpoint: Endpoint::Http,
        layout: Layout::Qcow2,
        codec: None,
        access: Access::Random,
        policy: Policy::Lean,
        digest: Digest::Unasked,
    };

    fn said(facts: Facts) -> (Route, Spill) {
        let plan = plan(facts).unwrap();
        (plan.route, plan.spill)
    }

    #[test]
    fn every_row_of_the_table_decides() {
        let (gzip, sequential) = (Some(Codec::Gzip), Access::Sequential);
        let raw = Facts { layout: Layout::Raw, ..FACTS };
        assert_eq!(said(raw), (Route::Ranged, Spill::Never));
        assert_eq!(said(Facts { access: sequential, ..raw }), (Route::Stream, Spill::Never));
        assert_eq!(said(Facts { codec: gzip, ..raw }), (Route::Stream, Spill::Never));
        assert_eq!(said(FACTS), (Route::Ranged, Spill::Never));
        assert_eq!(said(Facts { access: sequential, ..FACTS }), (Route::Forward, Spill::Allowed));
        assert_eq!(said(Facts { codec: gzip, ..FACTS }), (Route::Forward, Spill::Allowed));
    }

    #[test]
    fn a_checksum_turns_random_reads_into_a_stream() {
        assert_eq!(said(Facts { digest: Digest::Wanted, ..FACTS }), (Route::Forward, Spill::Allowed));
        let raw = Facts { digest: Digest::Wanted, layout: Layout::Raw, ..FACTS };
        assert_eq!(said(raw).0, Route::Stream);
    }

    #[test]
    fn strict_stages_starred_cells_and_refuses_unsupported_ones() {
        let strict = Facts { policy: Policy::Strict, ..FACTS };
        assert_eq!(said(strict).0, Route::Ranged);
        assert_eq!(said(Facts { codec: Some(Codec::Xz), ..strict }).0, Route::Stage);
        assert_eq!(said(Facts { endpoint: Endpoint::Upload, layout: Layout::Raw, ..strict }).0, Route::Stage);
        assert_eq!(said(Facts { access: Access::Sequential, ..strict }).0, Route::Stage);
        let layer = Facts { endpoint: Endpoint::Registry, codec: Some(Codec::Gzip), ..FACTS };
        assert_eq!(said(layer).0, Route::Forward);
        assert!(plan(Facts { policy: Policy::Strict, ..layer }).is_err());
    }
}
