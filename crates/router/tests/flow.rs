//! Messages through a whole router: nothing lost, nothing twice, every one accounted for.

mod stage;

use metlog_pipeline::SendError;
use stage::{Directory, Running, Script, dead_letters, eventually, message, message_of, plan};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

const TCP: &str = "[inputs.tcp]\nlisten = '127.0.0.1:0'\n";

fn endpoint(name: &str, more: &str) -> String {
    format!("[endpoints.{name}]\ntype = 'scripted'\nname = '{name}'\nretry_min = '10ms'\nretry_max = '50ms'\n{more}\n")
}

fn numbers(range: std::ops::Range<u64>) -> Vec<u64> {
    range.collect()
}

#[test]
fn what_comes_in_goes_out_once_in_order_with_its_bytes() {
    let directory = Directory::new();
    let script = Script::named("plain");
    let running = Running::start(&directory, &format!("{TCP}{}", endpoint("plain", "")));
    running.send("tcp", (0..5000).map(message));
    eventually("all arrive", || script.count() == 5000);
    assert_eq!(script.numbers(), numbers(0..5000));
    let got = script.got.lock().unwrap().clone();
    assert!(got.iter().all(|(_, text)| *text == message(stage::number(text))), "not a byte changed");
    assert!(got.windows(2).all(|pair| pair[0].0 < pair[1].0), "ids grow");
    let account = running.balanced();
    assert_eq!(account.endpoints[0].counts.delivered, 5000);
    assert_eq!(running.stop(), Default::default());
}

#[test]
fn filters_decide_once_and_the_account_knows() {
    let directory = Directory::new();
    let filters = "[filters.loud]\ntype='severity_max'\nseverity=4\n[filters.metrics]\ntype='type_whitelist'\ntypes=['counter','timer']\n\
                   [filters.wanted]\ntype='any'\nof=['loud','metrics']\n";
    let text = format!(
        "{TCP}{filters}{}{}{}",
        endpoint("wanted", "filters = ['wanted']"),
        endpoint("severe", "severity_max = 2"),
        endpoint("counters", "types = ['counter']"),
    );
    let running = Running::start(&directory, &text);
    running.send("tcp", (0..800).map(|n| message_of(["oldstyle", "counter"][(n / 8 % 2) as usize], (n % 8) as u8, n)));
    eventually("all arrive", || Script::named("wanted").count() == 650 && Script::named("severe").count() == 300);
    eventually("all arrive", || Script::named("counters").count() == 400);
    let account = running.balanced();
    let filtered: Vec<u64> = account.endpoints.iter().map(|line| line.filtered).collect();
    assert_eq!(filtered, [150, 500, 400]);
    assert_eq!(account.inputs["tcp"].counts.unwanted, 150);
}

#[test]
fn what_is_no_message_goes_to_the_dead_letters_and_the_connection_lives() {
    let directory = Directory::new();
    let script = Script::named("mended");
    let running = Running::start(&directory, &format!("{TCP}{}", endpoint("mended", "")));
    let long = format!(r#"{{"type":"{}","n":5}}"#, "x".repeat(2_000_000));
    let odd = [
        "no json at all".to_owned(),
        message(1),
        r#"{"type":"seven keys","payload":"p","fields":{"n":2}}"#.to_owned(),
        "{\"broken".to_owned(),
        format!("{}{}", message(3), message(4)),
        long,
        r#"{"fields":{"n":99}}"#.to_owned(),
        "{\n  \"type\": \"pretty\",\n  \"fields\": {\"n\":5}\n}".to_owned(),
        format!(r#"{{"type":"{}","fields":{{"n":6}}}}"#, "long name".repeat(100)),
        message(7),
    ];
    running.send("tcp", odd);
    eventually("the good ones arrive", || script.count() == 6);
    assert_eq!(script.numbers(), [1, 2, 3, 4, 5, 7]);
    let account = running.balanced();
    let counts = account.inputs["tcp"].counts;
    assert_eq!((counts.accepted, counts.refused.iter().sum::<u64>()), (6, 5), "{counts:?}");
    assert_eq!(counts.mended, 2, "the seven keys and the pretty one lack some");
    running.stop();
    let letters = dead_letters(&directory);
    assert_eq!(letters.len(), 5, "{letters:#?}");
    assert!(
        letters[0].contains(r#""text":"no json at all""#) && letters[0].contains(r#""from":"input tcp""#),
        "{}",
        letters[0]
    );
}

#[test]
fn running_numbers_show_losses_and_remove_repeats() {
    let directory = Directory::new();
    let script = Script::named("numbered");
    let running = Running::start(&directory, &format!("{TCP}{}", endpoint("numbered", "")));
    let numbered = |seq: u64| {
        let message = message(seq);
        let open = message.strip_suffix('}').unwrap();
        format!(r#"{open},"metlog_client":"c1","metlog_seq":{seq}}}"#)
    };
    running.send("tcp", [1, 2, 3, 7, 7, 2, 8].map(numbered));
    eventually("all but repeats", || script.count() == 5);
    running.send("tcp", [5, 8].map(numbered));
    eventually("the late one", || script.count() == 6);
    assert_eq!(script.numbers(), [1, 2, 3, 7, 8, 5]);
    let account = running.balanced();
    assert_eq!(account.inputs["tcp"].counts.duplicates, 3);
    assert_eq!(running.router.floor.clients.losses().lost, 2, "4 and 6");
    assert_eq!(running.router.floor.clients.worst(5)[0].client, "c1");
}

#[test]
fn a_dead_endpoint_holds_up_nobody_and_gets_everything_later() {
    let directory = Directory::new();
    let (dead, alive) = (Script::named("dead"), Script::named("alive"));
    dead.fail(SendError::retry("gone"));
    let text = format!("{TCP}{}{}", endpoint("dead", ""), endpoint("alive", ""));
    let mut running = Running::start(&directory, &text);
    for round in 0..20 {
        running.send("tcp", (round * 500..round * 500 + 500).map(message));
    }
    eventually("the other one goes on", || alive.count() == 10_000);
    let account = running.balanced();
    assert_eq!((account.endpoints[0].buffered, account.endpoints[0].state.error.as_deref()), (10_000, Some("gone")));
    let left = running.stop_within(Duration::from_secs(1));
    assert_eq!(left.waiting["dead"], 10_000);
    drop(running);

    let running = Running::start(&directory, &text);
    assert_eq!(running.balanced().endpoints[0].buffered, 10_000, "known at once after a restart");
    running.send("tcp", (10_000..10_100).map(message));
    dead.mend();
    eventually("everything, late", || dead.count() == 10_100);
    assert_eq!(dead.numbers(), numbers(0..10_100));
    eventually("settled", || running.balanced().endpoints[0].buffered == 0);
    assert_eq!(alive.count(), 10_100, "nothing twice after a clean stop");
}

#[test]
fn each_verdict_does_what_it_says() {
    let directory = Directory::new();
    let script = Script::named("verdicts");
    let refuse = |which: &[usize]| SendError::Refuse { why: "too blue".into(), which: which.to_vec() };
    script.answers.lock().unwrap().extend([
        SendError::retry("not now"),
        SendError::retry_after_first(40, "tired"),
        refuse(&[0, 59]),
        SendError::Retry { why: "wait".into(), after: Some(Duration::from_millis(300)), done: 0 },
    ]);
    *script.pause.lock().unwrap() = Duration::from_millis(50);
    let running = Running::start(&directory, &format!("{TCP}{}", endpoint("verdicts", "")));
    let began = Instant::now();
    running.send("tcp", (0..100).map(message));
    eventually("all but the refused", || script.count() == 98);
    running.send("tcp", (100..200).map(message));
    eventually("the second batch", || script.count() == 198);
    assert!(began.elapsed() > Duration::from_millis(300), "what the peer asked for is waited for");
    let expected: Vec<u64> = (0..200).filter(|n| *n != 40 && *n != 99).collect();
    assert_eq!(script.numbers(), expected);
    let line = running.balanced().endpoints.remove(0);
    assert_eq!((line.counts.delivered, line.counts.dead, line.failures), (198, 2, 3));
    running.stop();
    let letters = dead_letters(&directory);
    assert_eq!(letters.len(), 2);
    assert!(
        letters[0].contains("too blue")
            && letters[0].contains("\"endpoint verdicts\"")
            && letters[0].contains(&message(40)),
        "{}",
        letters[0]
    );
}

#[test]
fn a_peer_that_says_at_once_is_not_asked_at_once() {
    let directory = Directory::new();
    let script = Script::named("hasty");
    let hasty = SendError::Retry { why: "busy".into(), after: Some(Duration::ZERO), done: 0 };
    script.answers.lock().unwrap().extend(vec![hasty; 40]);
    let running = Running::start(&directory, &format!("{TCP}{}", endpoint("hasty", "")));
    let began = Instant::now();
    running.send("tcp", (0..10).map(message));
    eventually("all", || script.count() == 10);
    assert!(began.elapsed() >= 40 * Duration::from_millis(10), "{:?}: not `retry_min` each time", began.elapsed());
    assert_eq!(running.balanced().endpoints[0].failures, 40);
}

#[test]
fn what_is_refused_twice_at_once_is_dead_once() {
    let directory = Directory::new();
    let script = Script::named("stutterer");
    let which = vec![3, 0, 3, 0, 99];
    script.answers.lock().unwrap().push_back(SendError::Refuse { why: "no, no".into(), which });
    let running = Running::start(&directory, &format!("{TCP}{}", endpoint("stutterer", "")));
    running.send("tcp", [message(0)]);
    eventually("one, alone or not", || running.balanced().endpoints[0].counts.dead >= 1);
    running.send("tcp", (1..10).map(message));
    eventually("the rest", || running.balanced().endpoints[0].counts.sum() == 10);
    let counts = running.balanced().endpoints[0].counts;
    assert_eq!((counts.dead + counts.delivered, counts.delivered), (10, script.count() as u64));
    running.stop();
    assert_eq!(dead_letters(&directory).len() as u64, counts.dead);
}

#[test]
fn a_pause_is_no_drop_and_a_panic_is_no_end() {
    let directory = Directory::new();
    let script = Script::named("trouble");
    script.panics.store(2, SeqCst);
    script.answers.lock().unwrap().push_back(SendError::Pause { why: "wrong key".into() });
    let running = Running::start(&directory, &format!("{TCP}{}", endpoint("trouble", "")));
    running.send("tcp", (0..10).map(message));
    eventually("after all that", || script.count() == 10);
    assert_eq!(script.opened.load(SeqCst), 3, "a fresh instance after each panic");
    let line = running.balanced().endpoints.remove(0);
    assert_eq!((line.counts.delivered, line.counts.dead), (10, 0));
}

/// What an endpoint keeps in its memory for a while is noted as delivered when it ends, however it ends.
#[test]
fn a_panic_at_the_end_makes_nothing_come_again() {
    let directory = Directory::new();
    let script = Script::named("last_words");
    *script.settle.lock().unwrap() = Duration::from_secs(60);
    script.panics_at_the_end.store(true, SeqCst);
    let text = format!("{TCP}{}", endpoint("last_words", ""));
    let running = Running::start(&directory, &text);
    running.send("tcp", (0..10).map(message));
    eventually("all", || script.count() == 10);
    running.stop();
    script.panics_at_the_end.store(false, SeqCst);
    let running = Running::start(&directory, &text);
    running.send("tcp", (10..20).map(message));
    eventually("the others", || script.count() >= 20);
    running.stop();
    assert_eq!(script.numbers(), numbers(0..20));
}

#[test]
fn giving_up_is_to_the_dead_letters() {
    let directory = Directory::new();
    let script = Script::named("hopeless");
    script.fail(SendError::retry("never"));
    let running = Running::start(&directory, &format!("{TCP}{}", endpoint("hopeless", "give_up_after = '100ms'")));
    running.send("tcp", (0..250).map(message));
    eventually("given up", || running.balanced().endpoints[0].counts.dead == 250);
    running.stop();
    assert_eq!(dead_letters(&directory).iter().filter(|letter| letter.contains("gave_up")).count(), 250);
}

#[test]
fn several_workers_write_side_by_side_and_lose_nothing() {
    let directory = Directory::new();
    let script = Script::named("workers");
    *script.pause.lock().unwrap() = Duration::from_millis(20);
    script.answers.lock().unwrap().extend((0..10).map(|_| SendError::retry("now and then")));
    let running =
        Running::start(&directory, &format!("{TCP}{}", endpoint("workers", "workers = 4\nbatch_messages = 100")));
    running.send("tcp", (0..10_000).map(message));
    eventually("all", || script.count() == 10_000);
    assert!((2..=4).contains(&script.together.load(SeqCst)), "{:?} at a time", script.together);
    let mut got = script.numbers();
    got.sort_unstable();
    assert_eq!(got, numbers(0..10_000));
    eventually("settled", || running.balanced().endpoints[0].counts.delivered == 10_000);
    assert_eq!(running.stop(), Default::default());
}

#[test]
fn at_most_once_is_never_twice() {
    let directory = Directory::new();
    let script = Script::named("statsdlike");
    script.at_most_once.store(true, SeqCst);
    let text = format!("{TCP}{}", endpoint("statsdlike", ""));
    let mut running = Running::start(&directory, &text);
    running.send("tcp", (0..1000).map(message));
    eventually("all", || script.count() == 1000);
    script.fail(SendError::retry("gone"));
    running.send("tcp", (1000..1050).map(message));
    eventually("under way", || running.account().endpoints[0].counts.in_flight == 50);
    running.stop_within(Duration::from_millis(200));
    let line = running.account().endpoints.remove(0);
    assert_eq!((line.counts.delivered, line.counts.dropped, line.buffered), (1000, 50, 0));
    drop(running);
    script.mend();
    let running = Running::start(&directory, &text);
    running.send("tcp", (2000..2001).map(message));
    eventually("the new one", || script.count() == 1001);
    assert_eq!(script.numbers().last(), Some(&2000), "not the fifty");
    running.stop();
}

#[test]
fn what_a_peer_lost_after_confirming_is_delivered_again() {
    let directory = Directory::new();
    let script = Script::named("forgetful");
    *script.settle.lock().unwrap() = Duration::from_secs(2);
    let running = Running::start(&directory, &format!("{TCP}{}", endpoint("forgetful", "")));
    running.send("tcp", (0..300).map(message));
    eventually("all", || script.count() == 300);
    assert_eq!(running.balanced().endpoints[0].buffered, 300, "not settled yet");
    script.got.lock().unwrap().clear();
    script.relapse.store(true, SeqCst);
    eventually("all again", || script.count() == 300);
    eventually("settled", || running.balanced().endpoints[0].counts.delivered == 300);
    assert_eq!(running.balanced().endpoints[0].redelivered, 300);
    running.stop();
}

#[test]
fn an_acknowledgement_counts_what_is_kept() {
    let directory = Directory::new();
    let text = format!("[inputs.tcp]\nlisten = '127.0.0.1:0'\nack = true\n{}", endpoint("acked", ""));
    let running = Running::start(&directory, &text);
    let mut stream = TcpStream::connect(("127.0.0.1", running.port("tcp"))).unwrap();
    for n in 0..50 {
        stream.write_all(format!("{}\nrubbish\n", message(n)).as_bytes()).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().last(), Some(r#"{"accepted":50,"rejected":50}"#), "{text}");
    running.balanced();
}

#[test]
fn a_reload_changes_what_is_new_and_a_wrong_one_changes_nothing() {
    let directory = Directory::new();
    let before = format!("{TCP}{}{}", endpoint("stays", ""), endpoint("goes", ""));
    let running = Running::start(&directory, &before);
    running.send("tcp", (0..10).map(message));
    eventually("all", || Script::named("stays").count() == 10 && Script::named("goes").count() == 10);
    let opened = Script::named("stays").opened.load(SeqCst);

    let wrong = [
        ("unopenable", "", "endpoint `unopenable`: this one never opens"),
        ("hermit", "workers = 2", "endpoint `hermit`: there is one already"),
    ];
    for (name, more, why) in wrong {
        let wrong = plan(&directory, &format!("{TCP}{}{}", endpoint("stays", ""), endpoint(name, more)));
        assert!(running.router.reload(&wrong).unwrap_err().contains(why));
    }
    running.send("tcp", (10..20).map(message));
    eventually("as before", || Script::named("stays").count() == 20 && Script::named("goes").count() == 20);

    let port = running.port("tcp");
    let after = format!(
        "[inputs.tcp]\nlisten = '127.0.0.1:{port}'\nconnections = 7\n{}{}",
        endpoint("stays", ""),
        endpoint("comes", "severity_max = 3")
    );
    let changes = running.router.reload(&plan(&directory, &after)).unwrap();
    assert_eq!(changes.to_string(), "added comes; changed tcp; removed goes");
    assert_eq!(Script::named("stays").opened.load(SeqCst), opened, "what stays is not touched");
    running.send("tcp", (20..30).map(|n| message_of("oldstyle", 3, n)));
    running.send("tcp", (30..40).map(message));
    eventually("as told now", || Script::named("stays").count() == 40 && Script::named("comes").count() == 10);
    assert_eq!(Script::named("goes").count(), 20);
    assert!(running.router.floor.spool.slots().iter().any(|slot| slot.name == "goes"), "its cursor stays");
    running.stop();
}

#[test]
fn a_port_in_use_is_said_and_opens_nothing() {
    let directory = Directory::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!("[inputs.tcp]\nlisten = '{}'\n{}", taken.local_addr().unwrap(), endpoint("never", ""));
    let why = Running::try_start(&plan(&directory, &text)).err().expect("refused");
    assert!(why.contains("input `tcp`: cannot listen on 127.0.0.1:"), "{why}");
    drop(taken);
    Running::start(&directory, &text).stop();
}
