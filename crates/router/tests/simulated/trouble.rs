//! What goes wrong, and is mended.

use super::{CALM, CLIENTS, Event, HEALED, MEMBERS, SECOND, World};
use metlog_spool::simulated::Fault;

/// What goes wrong, and is mended some time later.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) enum Trouble {
    Kill(usize),
    /// A power cut at so many places in a row.
    Power(usize, usize),
    NoStream(usize),
    NoStore(usize),
    SlowDisk(usize),
    DiskError(usize),
    ClientCut(u16),
    StreamDown,
    StoreDown,
}

impl World {
    pub(super) fn plan_troubles(&mut self) {
        for _ in 0..160 {
            let at = self.chance.u64(CALM..HEALED - 5 * SECOND);
            let member = self.chance.usize(0..MEMBERS);
            let trouble = match self.chance.u32(0..100) {
                0..30 => Trouble::Kill(member),
                30..40 => Trouble::Power(member, 1),
                40..55 => Trouble::NoStream(member),
                55..65 => Trouble::NoStore(member),
                65..80 => Trouble::SlowDisk(member),
                80..90 => Trouble::DiskError(member),
                _ => Trouble::ClientCut(self.chance.u16(0..CLIENTS)),
            };
            let lasts = self.chance.u64(SECOND..25 * SECOND);
            self.at(at, Event::Trouble(trouble, lasts));
        }
        let rack = self.chance.usize(0..MEMBERS - 30);
        for (trouble, longest) in [
            (Trouble::StreamDown, 10),
            (Trouble::StreamDown, 10),
            (Trouble::StoreDown, 30),
            (Trouble::Power(rack, 30), 20),
        ] {
            let at = self.chance.u64(CALM..HEALED - 5 * SECOND);
            let lasts = self.chance.u64(SECOND..longest * SECOND);
            self.at(at, Event::Trouble(trouble, lasts));
        }
    }
}

impl World {
    pub(super) fn trouble(&mut self, trouble: Trouble) -> Result<(), String> {
        match trouble {
            Trouble::Kill(member) => self.die(member, false)?,
            Trouble::Power(first, count) => {
                for member in first..first + count {
                    self.die(member, true)?;
                }
            }
            Trouble::StreamDown => {
                self.stream.stop();
                for member in 0..MEMBERS {
                    let life = self.members.get(member).map_or(0, |place| place.life);
                    self.reconnect(member, life);
                }
            }
            Trouble::StoreDown => self.store_down = true,
            Trouble::ClientCut(client) => self.cut(client, true),
            Trouble::NoStream(member)
            | Trouble::NoStore(member)
            | Trouble::SlowDisk(member)
            | Trouble::DiskError(member) => {
                let calls = self.chance.u64(0..6);
                let Some(place) = self.members.get_mut(member) else { return Ok(()) };
                match trouble {
                    Trouble::NoStream(_) => place.no_stream = true,
                    Trouble::NoStore(_) => place.no_store = true,
                    Trouble::SlowDisk(_) => place.slow_disk = true,
                    _ => {
                        place.disk.fail(calls, Fault::Io, false);
                        self.report.disk_errors += 1;
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn mend(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Kill(member) => self.rise(member),
            Trouble::Power(first, count) => (first..first + count).for_each(|member| self.rise(member)),
            Trouble::StreamDown => self.stream.down = false,
            Trouble::StoreDown => self.store_down = false,
            Trouble::ClientCut(client) => self.cut(client, false),
            Trouble::NoStream(member) => {
                let Some(place) = self.members.get_mut(member) else { return };
                place.no_stream = false;
                let life = place.life;
                // Until now each side believed in the connection; what was given to it meanwhile is gone.
                self.reconnect(member, life);
            }
            Trouble::NoStore(member) | Trouble::SlowDisk(member) | Trouble::DiskError(member) => {
                let Some(place) = self.members.get_mut(member) else { return };
                match trouble {
                    Trouble::NoStore(_) => place.no_store = false,
                    Trouble::SlowDisk(_) => place.slow_disk = false,
                    _ => place.disk.heal(),
                }
            }
        }
    }

    fn cut(&mut self, client: u16, cut: bool) {
        if let Some(client) = self.clients.get_mut(usize::from(client)) {
            client.cut = cut;
        }
    }

    fn die(&mut self, member: usize, power: bool) -> Result<(), String> {
        let seed = power.then(|| self.chance.u64(..));
        let Some(place) = self.members.get_mut(member) else { return Ok(()) };
        if let Some(alive) = &place.alive {
            if let Some(wrong) = alive.wrong() {
                return Err(format!("the account of router {member} is not right when it dies: {wrong}"));
            }
            self.report.duplicates += alive.account.counts().duplicates;
        }
        if place.die(seed) {
            self.report.deaths += 1;
            self.report.power_cuts += u64::from(power);
            self.stream.leave(member);
        }
        Ok(())
    }

    fn rise(&mut self, member: usize) {
        let Some(place) = self.members.get_mut(member).filter(|place| place.alive.is_none()) else { return };
        let before = place.disk.injected(Fault::Io);
        match place.start() {
            Ok(recovery) => {
                assert_eq!(recovery.damaged_messages, 0, "{recovery:?}");
                self.attend(member);
            }
            Err(why) => {
                assert!(place.disk.injected(Fault::Io) > before, "a sound disk, and it does not start: {why}");
                self.after(SECOND, Event::Mend(Trouble::Kill(member)));
            }
        }
    }
}
