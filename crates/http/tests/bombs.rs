//! Bodies that expand to a gigabyte, and what refusing them costs. Alone in its program, whose memory it measures.

mod support;

use metlog_http::axum::Router;
use metlog_http::axum::body::Body;
use metlog_http::axum::extract::State;
use metlog_http::axum::http::Request;
use metlog_http::axum::routing::post;
use metlog_http::{Door, Refused, ServerLimits};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use support::Running;

const MIB: usize = 1024 * 1024;

/// A gigabyte of zeros as deflate: one MiB of it, ended on a whole byte, a thousand times.
fn zeros() -> Vec<u8> {
    let mut one = Vec::with_capacity(8192);
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    compress.compress_vec(&vec![0; MIB], &mut one, flate2::FlushCompress::Full).expect("compressed");
    one.repeat(1024)
}

fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number") * 1024
}

async fn length(State(door): State<Door>, request: Request<Body>) -> Result<String, Refused> {
    Ok(door.content(request).await?.len().to_string())
}

#[test]
fn bombs_are_refused_for_little() {
    let running =
        Running::new(ServerLimits::default(), |door| Router::new().route("/length", post(length)).with_state(door));
    let end = [1, 0, 0, 0xff, 0xff];
    let zeros = zeros();
    let gzip = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff][..], &zeros, &end].concat();
    let zlib = [&[0x78, 0xda][..], &zeros, &end].concat();
    let zstd = zstd::bulk::compress(&vec![0; 16 * MIB], 1).expect("compressed").repeat(64);
    // Modest at first, so that the ratio of the whole is what counts.
    let late = [zstd::bulk::compress(&[b' '; 1000], 1).expect("compressed"), zstd.clone()].concat();
    let bombs = [("gzip", gzip), ("deflate", zlib), ("deflate", zeros), ("zstd", zstd), ("zstd", late)];
    assert_eq!(running.ask("POST /length", &vec![b' '; 8 * MIB]).status, 200);
    let before = peak();
    let began = Instant::now();
    for (coding, bomb) in &bombs {
        let answer = running.ask(&format!("POST /length\r\nContent-Encoding: {coding}\r\n"), bomb);
        assert_eq!(answer.status, 413, "{coding}: {answer:?}");
        assert!(answer.body.contains("more than 100 times"), "{answer:?}");
    }
    assert_eq!(running.counters.bombs.load(SeqCst), 5);
    let (grown, took) = (peak() - before, began.elapsed());
    assert!(grown < 40 * MIB, "{grown} bytes");
    // Far from a gigabyte's worth even without optimisation.
    assert!(took < Duration::from_secs(20), "{took:?}");
    // Many at once take turns and bytes in flight, and nobody else waits for them.
    std::thread::scope(|scope| {
        for (coding, bomb) in bombs.iter().cycle().take(30) {
            let running = &running;
            scope.spawn(move || {
                let answer = running.ask(&format!("POST /length\r\nContent-Encoding: {coding}\r\n"), bomb);
                assert!([413, 503].contains(&answer.status), "{answer:?}");
            });
        }
        for _ in 0..20 {
            assert_eq!(running.ask("POST /length", b"good").body, "4");
        }
    });
    let grown = peak() - before;
    assert!(grown < 200 * MIB, "{grown} bytes");
    assert_eq!(running.bounds.in_flight(), 0);
}
