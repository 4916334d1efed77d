//! How routers hear each other over a real server: both ways, to the last word, and never in each other's way.

use metlog_nats::{BeaconConfig, NatsBeacon};
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{Air, Beacon, Ears, Stop, Word};
use metlog_testkit::{Nats, eventually, settings};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Hearing(Mutex<Vec<Vec<u8>>>);

impl Ears for Hearing {
    fn hear(&self, word: &[u8]) {
        self.0.lock().expect("whole").push(word.to_vec());
    }
    fn missed(&self, count: u64) {
        panic!("{count} were missed");
    }
}

/// Somebody who speaks and listens.
struct Voice {
    runtime: Runtime,
    heard: Arc<Hearing>,
    say: watch::Sender<Word>,
    stop: watch::Sender<bool>,
    run: Option<JoinHandle<Result<(), String>>>,
}

impl Voice {
    fn open(toml: &str) -> Self {
        let config: BeaconConfig = metlog_settings::read(&settings(toml)).expect("settings");
        let beacon = Box::new(NatsBeacon::open(config).expect("opens without a server"));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let heard = Arc::<Hearing>::default();
        let ((say, air), (tell, stop)) = (Air::new(heard.clone()), Stop::new());
        let run = Some(runtime.spawn(beacon.run(air, stop)));
        Voice { runtime, heard, say, stop: tell, run }
    }

    fn at(nats: &Nats) -> Self {
        Self::open(&format!("urls = ['{}']", nats.url()))
    }

    fn say(&self, word: &str) {
        self.say.send_replace(Word::from(word.as_bytes()));
    }

    fn heard(&self, word: &str) -> bool {
        self.heard.0.lock().expect("whole").iter().any(|heard| heard == word.as_bytes())
    }

    /// Says it again and again: nothing is kept for who is not there yet.
    fn hears_itself(&self, word: &str) {
        assert!(
            eventually(PATIENCE, || {
                self.say(word);
                self.heard(word)
            }),
            "{word}"
        );
    }

    fn end(&mut self) -> Result<(), String> {
        let run = self.run.take().expect("it runs");
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, run).await.expect("it ends").expect("whole") })
    }
}

#[test]
fn everybody_hears_everybody_to_the_last_word() {
    let nats = Nats::new();
    let (mut one, other) = (Voice::at(&nats), Voice::at(&nats));
    one.hears_itself("one is here");
    other.hears_itself("other is here");
    assert!(eventually(PATIENCE, || {
        one.say("hello");
        other.heard("hello")
    }));
    assert!(eventually(PATIENCE, || one.heard("other is here")));
    one.say("goodbye");
    one.stop.send_replace(true);
    assert_eq!(one.end(), Ok(()));
    assert!(eventually(PATIENCE, || other.heard("goodbye")), "said before the end");
    // Also what is said at the same moment, again and again, since it is a matter of moments.
    for number in 0..20 {
        let mut brief = Voice::at(&nats);
        brief.hears_itself(&format!("{number} is here"));
        brief.say(&format!("{number} goes"));
        std::thread::sleep(Duration::from_micros(25 * number));
        brief.stop.send_replace(true);
        assert_eq!(brief.end(), Ok(()));
        assert!(eventually(PATIENCE, || other.heard(&format!("{number} goes"))), "{number}");
    }
    let stranger = Voice::open(&format!("urls = ['{}']\nsubject = 'another.fleet'", nats.url()));
    stranger.hears_itself("who is there?");
    other.hears_itself("still here");
    assert!(!stranger.heard("still here") && !other.heard("who is there?"), "another subject, another fleet");
}

#[test]
fn what_is_wrong_ends_it_with_words_about_it() {
    let mut nats = Nats::with(|_| {
        "authorization { users = [
            { user: mute, password: x, permissions: { publish: { deny: \">\" } } }
            { user: deaf, password: x, permissions: { subscribe: { deny: \"metlog-fleet\" } } }
            { user: free, password: x }
        ] }
        max_payload: 1000\n"
            .to_owned()
    });
    let open = |user: &str, password: &str| {
        Voice::open(&format!("urls = ['{}']\nlogin = {{ user = '{user}', password = '{password}' }}", nats.url()))
    };
    let (mut mute, mut deaf, mut wrong) = (open("mute", "x"), open("deaf", "x"), open("free", "hunter2"));
    let (mut large, mut free) = (open("free", "x"), open("free", "x"));
    free.hears_itself("free");
    mute.say("nobody hears this");
    large.say(&"x".repeat(2000));
    for (voice, words) in
        [(&mut mute, "permissions"), (&mut deaf, "permissions"), (&mut wrong, "`login`"), (&mut large, "max payload")]
    {
        let why = voice.end().expect_err(words);
        assert!(why.to_lowercase().contains(words) && !why.contains("hunter2"), "{why}");
    }
    nats.kill();
    assert!(free.end().is_err_and(|why| why.contains("lost")), "the server is gone");
    let mut nobody = Voice::at(&nats);
    assert!(nobody.end().is_err_and(|why| why.contains("cannot connect to nats://")));
    nats.start();
}

#[test]
fn a_server_that_answers_nothing_holds_up_no_end() {
    let nats = Nats::new();
    let mut voice = Voice::at(&nats);
    voice.hears_itself("here");
    nats.freeze(true);
    voice.say("nobody hears this");
    let mut late = Voice::at(&nats);
    for voice in [&mut voice, &mut late] {
        voice.stop.send_replace(true);
        assert_eq!(voice.end(), Ok(()));
    }
    nats.freeze(false);
}
