//! The command line: what there is to say, and one file for each thing.

mod ask;
mod check;
mod explain;
mod find;
mod fleet;
mod key;
mod lists;
mod run;
mod schema;
mod send;
mod service;
mod spool;
mod status;
mod store;
mod watch;

use clap::{CommandFactory, Parser, Subcommand};
use metlog_settings::Problems;

pub use lists::sections;
use std::path::PathBuf;
use std::process::ExitCode;

/// How the program ends: scripts may rely on these.
pub(crate) mod exit {
    use std::process::ExitCode;

    /// It was tried and did not work.
    pub fn failed() -> ExitCode {
        ExitCode::from(1)
    }

    /// What was asked for, or configured, makes no sense.
    pub fn usage() -> ExitCode {
        ExitCode::from(2)
    }

    /// Some of it worked.
    pub fn partly() -> ExitCode {
        ExitCode::from(3)
    }
}

/// Takes typed messages in, keeps them, and takes each to where it should end up.
#[derive(Parser, Debug)]
#[command(name = "metlog-router", version, about, args_conflicts_with_subcommands = true, after_help = AFTER)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Run,
}

const AFTER: &str = "Without a command it runs; without a file it listens on this machine and keeps everything.
Exit codes: 0 done, 1 failed, 2 wrong arguments or configuration, 3 done in part, or damaged.";

#[derive(Subcommand, Debug)]
enum Command {
    /// Runs the router. SIGHUP reads the file again, SIGTERM delivers what is there and ends, a second one ends at once.
    Run(run::Run),
    /// Checks a file as a start would, up to opening anything.
    Check(check::Check),
    /// Reads messages and says of each where it goes, and which condition said no.
    Explain(explain::Explain),
    /// Sends a message, or what is on standard input.
    Send(send::Send),
    /// Finds messages that are kept; the latest stand last.
    Find(find::Find),
    /// Follows all messages live.
    Tail(send::Tail),
    /// Says what comes in, what goes out, what waits and what went wrong.
    Status(status::Status),
    /// Looks at the spool, mends it, takes messages out of it.
    Spool(spool::Spool),
    /// Says what is kept, copies it, takes a copy back, sets messages aside or deletes them.
    Store(store::Store),
    /// Makes keys for whoever may use the HTTP port.
    Key(key::Key),
    /// Lists what this program can do: inputs, filters, endpoints, dialects, fleets.
    Plugins(lists::Plugins),
    /// Prints a section to copy into a configuration.
    Example(lists::Example),
    /// Prints completions for a shell: `metlog-router completions bash > /etc/bash_completion.d/metlog-router`.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Prints the manual page: `metlog-router man | man -l -`.
    Man,
    /// Prints the built-in default as a file to begin with.
    Init(lists::Init),
    /// Prints a JSON Schema of the configuration, for editors: `metlog-router schema > metlog.schema.json`, and in the
    /// file's first line `#:schema ./metlog.schema.json`.
    Schema(schema::Schema),
}

/// Which configuration.
#[derive(clap::Args, Debug, Clone, Default)]
pub(crate) struct ConfigFile {
    /// The configuration: TOML, or INI or JSON by its extension.
    #[arg(short, long, value_name = "FILE", env = "METLOG_ROUTER_CONFIG")]
    config: Option<PathBuf>,
}

/// The program.
pub fn main() -> ExitCode {
    main_of(std::env::args_os())
}

/// The program with these arguments, of which the first is its name.
pub fn main_of<T: Into<std::ffi::OsString> + Clone>(arguments: impl IntoIterator<Item = T>) -> ExitCode {
    let Arguments { command, run } = Arguments::parse_from(arguments);
    match command.unwrap_or(Command::Run(run)) {
        Command::Run(run) => run.go(),
        Command::Check(check) => check.go(),
        Command::Explain(explain) => explain.go(),
        Command::Send(send) => send.go(),
        Command::Find(find) => find.go(),
        Command::Tail(tail) => tail.go(),
        Command::Status(status) => status.go(),
        Command::Spool(spool) => spool.go(),
        Command::Store(store) => store.go(),
        Command::Key(key) => key.go(),
        Command::Plugins(plugins) => plugins.go(),
        Command::Example(example) => example.go(),
        Command::Init(init) => init.go(),
        Command::Schema(schema) => schema.go(),
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "metlog-router", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        Command::Man => match clap_mangen::Man::new(Arguments::command()).render(&mut std::io::stdout()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => exit::failed(),
        },
    }
}

/// Prints all that is wrong, one line each.
pub(crate) fn wrong(problems: &Problems) -> ExitCode {
    eprintln!("{problems}");
    let count = problems.len();
    eprintln!("{count} mistake{}; nothing was opened", if count == 1 { "" } else { "s" });
    exit::usage()
}
