//! The head of anything: codecs come off, a layout is found or the image refused; a plan is made.
#![no_main]

use diskpour::format::codec::Codec;
use diskpour::format::magic::{HEAD, Sniffed, sniff, trailer};
use diskpour::fuzzing::open_head;
use diskpour::matrix::{Endpoint, Policy};
use diskpour::plan::{Access, Digest, Facts, Route, plan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let sniffed = sniff(&bytes[..bytes.len().min(HEAD)]);
    let _ = trailer(bytes);
    let Ok((layout, codecs)) = open_head(bytes.to_vec()) else { return };
    assert_eq!(codecs.first().copied(), outermost(sniffed));
    let mut once = codecs.clone();
    once.dedup();
    assert!(once.len() == codecs.len() && codecs.len() <= Codec::ALL.len());
    for endpoint in Endpoint::ALL {
        for access in [Access::Random, Access::Sequential] {
            for policy in [Policy::Lean, Policy::Strict] {
                for digest in [Digest::Unasked, Digest::Wanted] {
                    let codec = codecs.first().copied();
                    let Ok(plan) = plan(Facts { endpoint, layout, codec, access, policy, digest }) else {
                        assert!(policy == Policy::Strict, "lean refuses nothing");
                        continue;
                    };
                    let at_once = access == Access::Random && codec.is_none() && digest == Digest::Unasked;
                    assert!(plan.route != Route::Ranged || at_once, "{plan:?}");
                }
            }
        }
    }
});

fn outermost(sniffed: Sniffed) -> Option<Codec> {
    match sniffed {
        Sniffed::Codec(codec) => Some(codec),
        _ => None,
    }
}
