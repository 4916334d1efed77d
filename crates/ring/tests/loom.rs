//! Every interleaving of a small ring: RUSTFLAGS="--cfg loom" cargo test -p metlog-ring --release --test loom
#![cfg(loom)]

use metlog_ring::ring;

#[test]
fn every_interleaving_keeps_records_whole_and_in_order() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(64);
        let writer = loom::thread::spawn(move || {
            // Three records of 24 bytes in 64: the third has to skip the end and to wait for a release.
            let mut pushed = Vec::new();
            for tag in 1..=3u32 {
                if producer.push(tag, 16, |place| place.fill(tag as u8)).is_ok() {
                    pushed.push(tag);
                }
            }
            pushed
        });
        let mut seen = Vec::new();
        for _ in 0..2 {
            if let Some((tag, body)) = consumer.peek() {
                assert_eq!(body, [tag as u8; 16]);
                seen.push(tag);
                consumer.advance();
                consumer.release();
            }
        }
        let pushed = writer.join().expect("the writer ends");
        while let Some((tag, body)) = consumer.peek() {
            assert_eq!(body, [tag as u8; 16]);
            seen.push(tag);
            consumer.advance();
        }
        consumer.release();
        assert!(consumer.is_finished());
        assert_eq!(seen, pushed, "what was pushed is what is read, once, in order");
    });
}
