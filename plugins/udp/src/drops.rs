//! How many datagrams the kernel threw away because the socket's buffer was full.
//!
//! Linux writes the number beside each datagram that follows a loss. What was lost after the last datagram stands in
//! the system's table of sockets alone.

use std::io;
use std::net::UdpSocket;

/// The drops of one socket.
#[derive(Debug)]
pub(crate) struct Drops {
    /// The kernel's own number, which wraps.
    seen: u32,
    /// Not asked for yet.
    fresh: u64,
    #[cfg(target_os = "linux")]
    entry: Entry,
}

impl Drops {
    /// The kernel's total is now this. An older one, of a datagram that was under way meanwhile, changes nothing.
    pub fn total(&mut self, total: u32) {
        let more = total.wrapping_sub(self.seen);
        if more <= u32::MAX / 2 {
            self.seen = total;
            self.fresh += u64::from(more);
        }
    }

    /// Those since the last time.
    pub fn take(&mut self) -> u64 {
        std::mem::take(&mut self.fresh)
    }
}

/// A socket in the system's table.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Entry {
    table: &'static str,
    inode: u64,
}

#[cfg(target_os = "linux")]
impl Drops {
    pub fn watch(socket: &UdpSocket) -> io::Result<Self> {
        use std::os::fd::AsFd;
        use std::os::unix::fs::MetadataExt;
        nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::RxqOvfl, &1)?;
        let table = if socket.local_addr()?.is_ipv4() { "/proc/net/udp" } else { "/proc/net/udp6" };
        let inode = std::fs::File::from(socket.as_fd().try_clone_to_owned()?).metadata()?.ino();
        Ok(Drops { seen: 0, fresh: 0, entry: Entry { table, inode } })
    }

    /// Looks into the table. Where there is none, the next datagram brings the number.
    pub fn look(&mut self) {
        use std::io::{BufRead, BufReader};
        let Ok(table) = std::fs::File::open(self.entry.table) else { return };
        let inode = self.entry.inode.to_string();
        let of_ours = |line: String| {
            let mut columns = line.split_ascii_whitespace().skip(9);
            (columns.next()? == inode).then(|| columns.nth(2)?.parse().ok())?
        };
        if let Some(total) = BufReader::new(table).lines().map_while(Result::ok).find_map(of_ours) {
            self.total(total);
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Drops {
    pub fn watch(_: &UdpSocket) -> io::Result<Self> {
        Ok(Drops { seen: 0, fresh: 0 })
    }

    /// Nothing to look into.
    pub fn look(&mut self) {}
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn totals_wrap_and_never_go_back() {
        let mut drops = Drops { seen: u32::MAX - 1, fresh: 0, entry: Entry { table: "", inode: 0 } };
        drops.total(3);
        assert_eq!(drops.take(), 5);
        drops.total(1);
        assert_eq!(drops.take(), 0);
        drops.total(4);
        assert_eq!((drops.take(), drops.take()), (1, 0));
    }

    #[test]
    fn the_table_knows_what_no_datagram_told() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket2::SockRef::from(&socket).set_recv_buffer_size(4096).unwrap();
        let mut drops = Drops::watch(&socket).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..100 {
            sender.send_to(&[b'x'; 500], socket.local_addr().unwrap()).unwrap();
        }
        socket.set_nonblocking(true).unwrap();
        let mut received = 0;
        while socket.recv(&mut [0; 1000]).is_ok() {
            received += 1;
        }
        drops.look();
        let dropped = drops.take();
        assert!(dropped > 0);
        assert_eq!(dropped + received, 100);
    }
}
