//! A server that serves one request at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use super::server::{Reply, Request, Server, honest, status};
use super::{FAR, STRONG, context, data, random};
use crate::source::Context;

const LANES: usize = 4;
const PIECE: usize = 256 << 10;

/// What happened to the requests for ranges behind the prefix.
#[derive(Default)]
struct Count {
    present: AtomicUsize,
    refused: AtomicUsize,
    served: Mutex<Vec<usize>>,
}

/// Serves who is alone and refuses all others, `refusal` being the head of that.
fn narrow(bytes: Vec<u8>, count: &Arc<Count>, refusal: &'static str) -> Server {
    let (count, first) = (Arc::clone(count), AtomicBool::new(true));
    Server::start(move |request: &Request| {
        let Some((start, Some(_))) = request.range.filter(|(start, _)| *start >= FAR) else {
            return honest(&bytes, STRONG, request);
        };
        let before = count.present.fetch_add(1, SeqCst);
        if before > 0 {
            count.refused.fetch_add(1, SeqCst);
            count.present.fetch_sub(1, SeqCst);
            return status(refusal);
        }
        // The first stays until another has come; the others long enough to be met.
        let met = || count.refused.load(SeqCst) > 0;
        let waits = if first.swap(false, SeqCst) { 500 } else { 1 };
        (0..waits).take_while(|_| !met()).for_each(|_| thread::sleep(Duration::from_millis(10)));
        count.served.lock().unwrap().push(start);
        let reply: Reply = honest(&bytes, STRONG, request);
        count.present.fetch_sub(1, SeqCst);
        reply
    })
}

#[test]
fn parallel_ranges_go_back_to_one_when_the_server_is_busy() {
    for refusal in ["429 Slow down", "503 Busy\nRetry-After: 1"] {
        let bytes = data(FAR + 16 * PIECE);
        let count = Arc::new(Count::default());
        let server = narrow(bytes.clone(), &count, refusal);
        let context = Context { connections: LANES, ..context() };
        let place = random(&server, &context);
        assert_eq!(place.reading().lanes, LANES);
        // Proves the ranges, so that all lanes begin at the same time.
        place.read_exact_at(&mut [0; 512], FAR as u64 - 1000).unwrap();
        let begin = Barrier::new(LANES);
        thread::scope(|scope| {
            for lane in 0..LANES {
                let (place, bytes, begin) = (&place, &bytes, &begin);
                scope.spawn(move || {
                    begin.wait();
                    for number in (lane..16).step_by(LANES) {
                        let (at, mut part) = (FAR + number * PIECE, vec![0; PIECE]);
                        place.read_exact_at(&mut part, at as u64).unwrap();
                        assert!(part == bytes[at..at + PIECE], "{number}");
                    }
                });
            }
        });
        let refused = count.refused.load(SeqCst);
        // Each of the other lanes may have been on its way when the first was refused, once.
        assert!((1..LANES).contains(&refused), "{refused} were refused");
        assert_eq!(count.served.lock().unwrap().len(), 16);
    }
}
