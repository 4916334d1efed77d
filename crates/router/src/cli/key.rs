//! `key`: makes keys. The router keeps their hashes and never sees them again but in requests.

use super::exit;
use metlog_http::server::keys::{Hash, KEY_PREFIX, Rate, new_key, not_whole};
use metlog_settings::Secret;
use std::fs::OpenOptions;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `key`.
#[derive(clap::Args, Debug)]
pub struct Key {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Makes a key: prints it this once, and the section for the configuration on standard error.
    New(New),
    /// Reads a key from standard input and prints what the configuration keeps of it.
    Hash,
}

const NOTE: &str = "\
With --out the section goes to standard output: metlog-router key new --name web --out web.key >> router.toml";

#[derive(clap::Args, Debug)]
#[command(after_help = NOTE)]
struct New {
    /// What the key is called in the configuration, in metrics and in what the router says.
    #[arg(long, default_value = "app", value_parser = name)]
    name: String,
    /// What it is good for, or several: ingest writes, read reads, admin does both and whatever changes the router.
    #[arg(long, default_value = "ingest", value_delimiter = ',', value_parser = ["ingest", "read", "admin"])]
    scope: Vec<String>,
    /// Messages, or requests that write none, in a time: 1000/s, 60/min, 5000/h.
    #[arg(long)]
    rate: Option<Rate>,
    /// A new file for the key, which nobody else can read.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn name(text: &str) -> Result<String, String> {
    let fine = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if fine { Ok(text.to_owned()) } else { Err("letters, digits, `_`, `-` and `.`, at most 64".to_owned()) }
}

impl Key {
    pub(super) fn go(self) -> ExitCode {
        let done = match self.what {
            What::New(new) => new.go(),
            What::Hash => hash(),
        };
        done.unwrap_or_else(|(code, why)| {
            eprintln!("{why}");
            code
        })
    }
}

type Done = Result<ExitCode, (ExitCode, String)>;

fn failed(why: impl std::fmt::Display) -> (ExitCode, String) {
    (exit::failed(), why.to_string())
}

impl New {
    fn go(self) -> Done {
        let key = new_key().map_err(failed)?;
        let section = self.section(&Hash::of(key.reveal().as_bytes()));
        let mut out = io::stdout();
        match &self.out {
            Some(file) => {
                write_new(file, &key).map_err(|error| failed(format!("{}: {error}", file.display())))?;
                out.write_all(section.as_bytes()).map_err(failed)?;
            }
            None => {
                writeln!(out, "{}", key.reveal()).map_err(failed)?;
                eprintln!("\nThis is the key; nothing can show it again. For the configuration:\n\n{section}");
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn section(&self, hash: &Hash) -> String {
        // A dot in a bare name would be a section in a section.
        let name = if self.name.contains('.') { format!("\"{}\"", self.name) } else { self.name.clone() };
        let scope = match self.scope.as_slice() {
            [one] => format!("\"{one}\""),
            several => format!("[\"{}\"]", several.join("\", \"")),
        };
        let rate = self.rate.map_or(String::new(), |rate| format!("rate = \"{rate}\"\n"));
        format!("[keys.{name}]\nscope = {scope}\nhash = \"{hash}\"\n{rate}")
    }
}

fn write_new(file: &Path, key: &Secret) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(file, "{}", key.reveal())?;
    file.sync_all()
}

fn hash() -> Done {
    if io::stdin().is_terminal() {
        eprintln!("the key, and Enter:");
    }
    let mut text = String::new();
    // One line: whoever types it cannot be expected to end the input as well.
    io::stdin().lock().take(4096).read_line(&mut text).map_err(failed)?;
    let key = text.trim();
    if let Some(why) = not_whole(key) {
        return Err((exit::usage(), why.to_owned()));
    }
    if !key.starts_with(KEY_PREFIX) {
        eprintln!(
            "note: this key was not made by `metlog-router key new`; if it can be guessed, so can its hash be undone"
        );
    }
    println!("{}", Hash::of(key.as_bytes()));
    Ok(ExitCode::SUCCESS)
}
