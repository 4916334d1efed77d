//! The thread and the runtime all links live on, behind plain blocking calls.

use crate::board::{Board, Status};
use crate::frames::Frames;
use crate::link::{Job, Link, Way};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long binding may take before `start` gives up.
const BINDING: Duration = Duration::from_secs(5);
/// How much later than its own time-out a link may answer on a busy machine.
const SLACK: Duration = Duration::from_secs(5);

/// Anything else that is to run on the thread, until the publisher closes.
pub(crate) type Companion = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How long anything may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// How long to wait for somebody who listens.
    pub connect_wait: Duration,
    /// How long the other end may take over one part of a batch.
    pub send_timeout: Duration,
}

/// Publishes to every endpoint.
pub(crate) struct Publisher {
    board: Arc<Board>,
    links: Vec<Handle>,
    terms: Terms,
    opened: Instant,
    thread: Option<Thread>,
}

struct Handle {
    endpoint: String,
    jobs: mpsc::Sender<Job>,
    /// What was published while this link was not there, others being.
    missed: usize,
}

struct Thread {
    handle: JoinHandle<()>,
    ended: std_mpsc::Receiver<()>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl Publisher {
    /// Starts the thread. Whoever connects need not succeed yet; whoever binds must.
    pub fn start(endpoints: Vec<String>, way: Way, terms: Terms, companion: Option<Companion>) -> Result<Self, String> {
        let board = Arc::new(Board::new(endpoints.len()));
        let (mut handles, mut links) = (Vec::new(), Vec::new());
        for (number, endpoint) in endpoints.into_iter().enumerate() {
            // One job at a time: `publish` waits for the answer before it hands over the next.
            let (sender, jobs) = mpsc::channel(1);
            handles.push(Handle { endpoint: endpoint.clone(), jobs: sender, missed: 0 });
            links.push(Link { number, endpoint, way, board: Arc::clone(&board), jobs, patience: terms.send_timeout });
        }
        let publisher = Publisher {
            board,
            links: handles,
            terms,
            opened: Instant::now(),
            thread: Some(Thread::start(links, companion)?),
        };
        if way == Way::Bind {
            let bound = publisher.board.wait(Instant::now() + BINDING, |links| !links.contains(&Status::Starting));
            for status in bound {
                if let Status::Away(why) = status {
                    return Err(why);
                }
            }
        }
        Ok(publisher)
    }

    /// Publishes to everyone who listens, and waits until the system has taken it. `Ok` holds what people should know
    /// of those who did not get it while others did. An error means that nobody did.
    pub fn publish(&mut self, frames: &Frames) -> Result<Vec<String>, String> {
        let statuses = self.wait();
        let (sender, answers) = std_mpsc::channel();
        let mut outcomes: Vec<Result<(), String>> = Vec::with_capacity(self.links.len());
        let mut asked = 0;
        for (link, status) in self.links.iter().zip(&statuses) {
            let job = || Job { frames: Arc::clone(&frames.frames), answer: sender.clone() };
            outcomes.push(match status {
                Status::Ready => match link.jobs.try_send(job()) {
                    Ok(()) => {
                        asked += 1;
                        Err(format!("{} did not answer", link.endpoint))
                    }
                    // Still at work on a job whose answer came too late for us.
                    Err(mpsc::error::TrySendError::Full(_)) => Err(format!("{} is stuck", link.endpoint)),
                    Err(mpsc::error::TrySendError::Closed(_)) => Err("the ZeroMQ thread has ended".to_owned()),
                },
                Status::Silent => Err(format!("nobody at {} has subscribed", link.endpoint)),
                Status::Starting => Err(format!("no ZeroMQ subscriber answers at {}", link.endpoint)),
                Status::Away(why) => Err(why.clone()),
            });
        }
        drop(sender);
        let deadline = Instant::now() + self.terms.send_timeout + SLACK;
        for _ in 0..asked {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok((number, outcome)) = answers.recv_timeout(left) else { break };
            if let Some(place) = outcomes.get_mut(number) {
                *place = outcome;
            }
        }
        self.settle(frames.messages, outcomes)
    }

    /// At the start everyone gets the time to come; later one listener is enough and the others are mirrors.
    fn wait(&self) -> Vec<Status> {
        let all = |links: &[Status]| links.iter().all(|status| *status == Status::Ready);
        let any = |links: &[Status]| links.contains(&Status::Ready);
        let deadline = Instant::now() + self.terms.connect_wait;
        self.board.wait(self.opened + self.terms.connect_wait, all);
        self.board.wait(deadline, any)
    }

    fn settle(&mut self, messages: usize, outcomes: Vec<Result<(), String>>) -> Result<Vec<String>, String> {
        if outcomes.iter().all(Result::is_err) {
            let whys: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
            return Err(whys.join("; "));
        }
        let mut notes = Vec::new();
        for (link, outcome) in self.links.iter_mut().zip(outcomes) {
            match outcome {
                Ok(()) if link.missed > 0 => {
                    notes.push(format!("{} is back, it missed {} messages", link.endpoint, link.missed));
                    link.missed = 0;
                }
                Ok(()) => {}
                Err(why) => {
                    if link.missed == 0 {
                        notes.push(format!("{} misses messages that others get: {why}", link.endpoint));
                    }
                    link.missed = link.missed.saturating_add(messages);
                }
            }
        }
        Ok(notes)
    }

    /// Whether anybody listens.
    pub fn is_ready(&self) -> bool {
        self.board.wait(Instant::now(), |_| true).contains(&Status::Ready)
    }

    /// Ends the thread. Nothing can be left to send: `publish` returns when the system has everything.
    pub fn close(&mut self, within: Duration) {
        self.links.clear();
        if let Some(thread) = self.thread.take() {
            thread.end(within);
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.close(Duration::from_secs(1));
    }
}

impl Thread {
    fn start(links: Vec<Link>, companion: Option<Companion>) -> Result<Self, String> {
        let wrong = |error: std::io::Error| format!("cannot start the ZeroMQ thread: {error}");
        // One thread for everything: measured, the sockets cost half of what they cost on a runtime with several.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(wrong)?;
        let (end, ended) = std_mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let run = move || {
            runtime.block_on(async {
                let companion = companion.map(tokio::spawn);
                let links: Vec<_> = links.into_iter().map(|link| tokio::spawn(link.run())).collect();
                // Resolves when the publisher says so and also when it is simply gone.
                let _ = stopped.await;
                for link in links {
                    let _ = link.await;
                }
                if let Some(companion) = companion {
                    companion.abort();
                    let _ = companion.await;
                }
            });
            // A name look-up may be under way on a thread of its own; it must not hold up the end.
            runtime.shutdown_background();
            let _ = end.send(());
        };
        let handle = std::thread::Builder::new().name("metlog-zmq".to_owned()).spawn(run).map_err(wrong)?;
        Ok(Thread { handle, ended, stop })
    }

    fn end(self, within: Duration) {
        let _ = self.stop.send(());
        if self.ended.recv_timeout(within) != Err(std_mpsc::RecvTimeoutError::Timeout) {
            let _ = self.handle.join();
        }
    }
}
