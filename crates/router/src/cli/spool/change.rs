//! `spool repair` and `spool drop`: they change the spool, so no router may have it.

use super::{End, Place, cursor, ids, print};
use crate::cli::spool::progress::Bar;
use metlog_spool::tools::{self, Action, Filter};
use metlog_spool::{Disk, Options, Spool};
use std::process::ExitCode;
use std::time::Duration;

const PLAN: &str = "nothing was changed: stop the router, then `--apply` does it\n";

/// Arguments of `spool repair`.
#[derive(clap::Args, Debug)]
pub(super) struct Repair {
    #[command(flatten)]
    place: Place,
    /// Does it. The router must be stopped.
    #[arg(long)]
    apply: bool,
}

impl Repair {
    pub(super) fn go(self) -> Result<ExitCode, End> {
        let found = self.place.find()?;
        let mut bar = Bar::new("reading");
        let mut progress = |done, all| bar.show(done, all);
        let plan = match self.apply {
            true => tools::repair(&found.directory, true, &mut progress)?,
            // Without the lock, in which this process would leave its number.
            false => tools::mend(&Disk::look(&found.directory)?, false, &mut progress)?,
        };
        drop(bar);
        let mut out: String = plan.actions.iter().map(|action| format!("{}\n", told(action, plan.applied))).collect();
        let kept = plan.actions.iter().any(|action| matches!(action, Action::Keep { .. }));
        if kept {
            out +=
                "damaged places in the middle stay where they are too: endpoints get what is before and behind them\n";
        }
        if plan.report.state_damaged {
            out += "the cursors are damaged: the next start of the router makes new ones\n";
        }
        out += match (plan.actions.is_empty(), plan.applied) {
            (true, _) => "there is nothing to repair\n",
            (false, true) => "done\n",
            (false, false) => PLAN,
        };
        print(&out)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn told(action: &Action, applied: bool) -> String {
    let would = if applied { "" } else { "would be " };
    match action {
        Action::Cut { name, to, bytes } => {
            format!("{name}: {bytes} bytes behind byte {to} {would}kept in quarantine/ and cut off")
        }
        Action::Keep { name, place } => format!(
            "{name}: bytes {} to {} {would}kept in quarantine/; {} messages are lost there",
            place.from, place.to, place.messages
        ),
        Action::SetAside { name } => format!("{name}: {would}moved to quarantine/, no message in it can be read"),
    }
}

/// Arguments of `spool drop`.
#[derive(clap::Args, Debug)]
pub(super) struct Forget {
    #[command(flatten)]
    place: Place,
    /// The endpoint.
    #[arg(long, value_name = "NAME")]
    endpoint: String,
    /// Does it. The router must be stopped.
    #[arg(long)]
    apply: bool,
}

impl Forget {
    pub(super) fn go(self) -> Result<ExitCode, End> {
        let name = &self.endpoint;
        let found = self.place.find()?;
        if found.is_orphan(name) == Some(false) {
            let why = format!("`{name}` is an endpoint of the configuration: remove it there first");
            return Err(End::Usage(why));
        }
        let report = found.check("looking")?;
        let (slot, committed) = cursor(&report, name)?;
        let waiting = match committed >= ids(&report).end {
            true => 0,
            false => found.count(&Filter { ids: committed..u64::MAX, slot: Some(slot) })?.0,
        };
        let what = format!("the cursor of `{name}`, for which {waiting} messages wait");
        if !self.apply {
            let mut out = format!("{what}, would be forgotten; messages that wait for nobody else go with it\n");
            if found.is_orphan(name).is_none() {
                out += "whether the endpoint is really gone is known with --config\n";
            }
            out += PLAN;
            print(&out)?;
            return Ok(ExitCode::SUCCESS);
        }
        // Nothing else is to go for any reason: what is in nobody's way the router deletes by its own rules.
        let keep = Duration::from_secs(100 * 365 * 86_400);
        let options = Options { max_bytes: u64::MAX, free_floor: 0, keep, ..Options::default() };
        let (spool, _) = Spool::open(Disk::open(&found.directory)?, options)?;
        let removed = spool.remove(name);
        spool.close();
        if !removed {
            return Err(End::Failed(format!("the cursor of `{name}` could not be forgotten")));
        }
        print(&format!("{what}, is forgotten\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}
