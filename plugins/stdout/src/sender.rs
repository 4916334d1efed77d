use crate::format::{Format, Formatter, colours};
use metlog_message::Lines;
use metlog_pipeline::registry::Configured;
use metlog_pipeline::{SendError, Sender, SenderEntry, inventory};
use serde::Deserialize;
use std::io::{ErrorKind, Write};

/// Settings of `stdout`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StdoutConfig {
    /// `json`, `indented` or `text`.
    #[serde(alias = "formatter")]
    pub format: Format,
}

/// Settings of `stream`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamConfig {
    /// `stdout` or `stderr`.
    pub stream: Stream,
    /// `json`, `indented` or `text`.
    #[serde(alias = "formatter")]
    pub format: Format,
}

/// A stream that a configuration can name; code can give any writer.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    #[default]
    Stdout,
    /// Standard error.
    Stderr,
}

/// Writes each batch with one call to any writer.
pub struct StreamSender {
    writer: Box<dyn Write + Send>,
    formatter: Formatter,
    text: Vec<u8>,
    /// Where each message ends in `text`.
    ends: Vec<usize>,
    /// A line was cut short and could not be ended: the next write begins with a newline.
    torn: bool,
}

impl StreamSender {
    /// Writes to this, each message as `formatter` makes it of its JSON, newline included.
    pub fn new(
        writer: impl Write + Send + 'static,
        formatter: impl FnMut(&[u8], &mut Vec<u8>) + Send + 'static,
    ) -> Self {
        let (text, ends) = (Vec::new(), Vec::new());
        StreamSender { writer: Box::new(writer), formatter: Box::new(formatter), text, ends, torn: false }
    }

    /// How many messages stand whole in the first `written` bytes; the next one is cut.
    fn whole(&self, written: usize) -> usize {
        self.ends.partition_point(|end| *end <= written)
    }

    /// After a failure: the reader shall see a line of its own cut short, not one glued to the next.
    fn end_line(&mut self, written: usize) {
        if written > 0 {
            let mended = self.torn && written == 1;
            self.torn = !mended && !self.ends.contains(&written);
        }
        if self.torn && self.writer.write(b"\n").is_ok_and(|count| count == 1) {
            self.torn = false;
        }
    }
}

impl Sender for StreamSender {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        self.text.clear();
        self.ends.clear();
        if self.torn && !batch.is_empty() {
            self.text.push(b'\n');
        }
        for message in batch.iter() {
            (self.formatter)(message, &mut self.text);
            self.ends.push(self.text.len());
        }
        let mut written = 0;
        while let Some(rest) = self.text.get(written..).filter(|rest| !rest.is_empty()) {
            match self.writer.write(rest) {
                Ok(count) if count > 0 => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => {
                    let error = result.err().unwrap_or_else(|| ErrorKind::WriteZero.into());
                    self.end_line(written);
                    return Err(failed(self.whole(written), batch.len(), &error));
                }
            }
        }
        self.torn = false;
        self.writer.flush().map_err(|error| failed(batch.len().saturating_sub(1), batch.len(), &error))
    }
}

fn failed(done: usize, of: usize, error: &std::io::Error) -> SendError {
    if error.kind() == ErrorKind::BrokenPipe && done == 0 {
        // Nobody reads the other end, and nobody will: a pipe is not opened again.
        return SendError::Pause {
            why: "nobody reads this output any more (broken pipe); give the program another one".into(),
        };
    }
    SendError::retry_after_first(done.min(of.saturating_sub(1)), format!("output: {error}"))
}

impl Configured for StreamSender {
    type Config = StreamConfig;
    fn open(config: StreamConfig) -> Result<Self, String> {
        let formatter = config.format.formatter(match config.stream {
            Stream::Stdout => colours(&std::io::stdout()),
            Stream::Stderr => colours(&std::io::stderr()),
        });
        Ok(match config.stream {
            Stream::Stdout => StreamSender::new(Unbuffered(std::io::stdout()), formatter),
            Stream::Stderr => StreamSender::new(std::io::stderr(), formatter),
        })
    }
}

/// Standard output without the line buffer that would cut a batch into one system call per line.
struct Unbuffered(std::io::Stdout);

impl Write for Unbuffered {
    #[cfg(unix)]
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        use std::os::fd::AsFd;
        // What the program printed itself goes first.
        self.0.flush()?;
        rustix::io::write(self.0.as_fd(), bytes).map_err(Into::into)
    }

    #[cfg(not(unix))]
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Writes to standard output.
pub struct StdoutSender(StreamSender);

impl Sender for StdoutSender {
    fn send(&mut self, batch: &Lines) -> Result<(), SendError> {
        self.0.send(batch)
    }
}

impl Configured for StdoutSender {
    type Config = StdoutConfig;
    fn open(config: StdoutConfig) -> Result<Self, String> {
        StreamSender::open(StreamConfig { stream: Stream::Stdout, format: config.format }).map(StdoutSender)
    }
}

inventory::submit! {
    SenderEntry::of::<StdoutSender>(
        "stdout",
        &["metlog.senders.StdOutSender", "metlog.senders.StdoutSender", "metlog.senders.dev.StdOutSender", "StdOutSender"],
        include_str!("../example.toml"),
    )
}
inventory::submit! {
    SenderEntry::of::<StreamSender>(
        "stream",
        &["metlog.senders.StreamSender", "metlog.senders.dev.StreamSender", "StreamSender"],
        include_str!("../example-stream.toml"),
    )
}
