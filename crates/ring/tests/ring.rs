//! The ring against a plain queue, and between two real threads.
#![cfg(not(loom))]

use metlog_ring::{Full, ring};
use proptest::prelude::*;
use std::collections::VecDeque;

fn bytes(seed: u32, len: usize) -> Vec<u8> {
    (0..len).map(|at| (seed as usize).wrapping_mul(31).wrapping_add(at) as u8).collect()
}

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Pop,
    Release,
}

proptest! {
    #[test]
    fn behaves_like_a_queue(steps in prop::collection::vec(prop_oneof![
        (0usize..90).prop_map(Step::Push), Just(Step::Pop), Just(Step::Release)], 0..400))
    {
        let (mut producer, mut consumer) = ring(256);
        let mut model = VecDeque::new();
        let mut next = 0u32;
        for step in steps {
            match step {
                Step::Push(len) => {
                    next += 1;
                    if producer.push(next, len, |place| place.copy_from_slice(&bytes(next, len))).is_ok() {
                        model.push_back((next, bytes(next, len)));
                    }
                }
                Step::Pop => {
                    let got = consumer.peek().map(|(tag, body)| (tag, body.to_vec()));
                    prop_assert_eq!(got, model.pop_front());
                    consumer.advance();
                }
                Step::Release => consumer.release(),
            }
        }
        while let Some(expected) = model.pop_front() {
            prop_assert_eq!(consumer.peek().map(|(tag, body)| (tag, body.to_vec())), Some(expected));
            consumer.advance();
        }
        prop_assert!(consumer.peek().is_none());
        drop(producer);
        prop_assert!(consumer.is_finished());
    }
}

#[test]
fn says_full_and_has_room_again_after_a_release() {
    let (mut producer, mut consumer) = ring(64);
    assert_eq!(producer.push(1, 40, |place| place.fill(1)), Ok(()));
    assert_eq!(producer.push(2, 40, |place| place.fill(2)), Err(Full));
    assert_eq!(consumer.peek().map(|(tag, body)| (tag, body.len())), Some((1, 40)));
    consumer.advance();
    assert_eq!(producer.push(2, 0, |_| ()), Ok(()), "the rest up to the end");
    assert_eq!(producer.push(3, 24, |place| place.fill(3)), Err(Full), "passed is not released");
    consumer.release();
    assert_eq!(producer.push(3, 24, |place| place.fill(3)), Ok(()));
    assert_eq!(producer.push(4, 100, |_| ()), Err(Full), "larger than the ring: never");
}

#[test]
fn a_record_as_large_as_the_ring_fits_an_empty_ring_at_its_start() {
    let (mut producer, mut consumer) = ring(128);
    assert_eq!(producer.push(9, 120, |place| place.fill(7)), Ok(()));
    assert_eq!(consumer.peek(), Some((9, &[7u8; 120][..])));
}

#[test]
fn two_threads_lose_nothing_and_keep_order() {
    let count = if cfg!(miri) { 300 } else { 400_000 };
    let (mut producer, mut consumer) = ring(1024);
    let writer = std::thread::spawn(move || {
        let mut full = 0u64;
        for number in 1..=count {
            let len = (number % 90) as usize;
            while producer.push(number, len, |place| place.fill(number as u8)).is_err() {
                full += 1;
                std::thread::yield_now();
            }
        }
        full
    });
    let mut expected = 1;
    while !consumer.is_finished() {
        while let Some((tag, body)) = consumer.peek() {
            assert_eq!(tag, expected);
            assert_eq!(body.len(), (tag % 90) as usize);
            assert!(body.iter().all(|byte| *byte == tag as u8));
            expected += 1;
            consumer.advance();
        }
        consumer.release();
    }
    assert_eq!(expected, count + 1);
    writer.join().expect("the writer ends");
}
