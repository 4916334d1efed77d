//! Alone in its program, so that nobody else starts threads.

#![cfg(target_os = "linux")]

mod support;

use metlog_procinfo::{Procinfo, Request};
use std::sync::mpsc::channel;
use support::{client, number, numbers};

#[test]
fn threads_are_counted_and_each_has_its_times() {
    let client = client("");
    let request = Request { threads: true, ..Request::default() };
    client.procinfo(&request).unwrap();
    let before = number(&client, "thread/count");

    let (stop, stopped) = channel::<()>();
    let stopped = std::sync::Arc::new(std::sync::Mutex::new(stopped));
    let (tell, told) = channel();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (tell, stopped) = (tell.clone(), stopped.clone());
            std::thread::spawn(move || {
                let link = std::fs::read_link("/proc/thread-self").unwrap();
                tell.send(link.file_name().unwrap().to_str().unwrap().to_owned()).unwrap();
                let _ = stopped.lock().unwrap().recv();
            })
        })
        .collect();
    let ids: Vec<String> = threads.iter().map(|_| told.recv().unwrap()).collect();
    let sent = client.procinfo(&request).unwrap();
    let numbers = numbers(&client);
    assert_eq!(numbers.len() as u64, sent);
    assert_eq!(numbers[0], ("thread/count".into(), before + 3.0));
    for id in ids {
        for kind in ["sys", "user"] {
            let name = format!("thread/{id}.{kind}");
            assert!(numbers.iter().any(|(found, seconds)| *found == name && *seconds >= 0.0), "{name} in {numbers:?}");
        }
    }
    drop(stop);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
