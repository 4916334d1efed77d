//! What waits in one socket, read many datagrams at a time, where the system has a call for that.

use crate::drops::Drops;
use std::io;
use std::net::{SocketAddr, UdpSocket};

/// No datagram is larger: its length is a 16-bit number.
const DATAGRAM: usize = 65_535;
/// Room for one datagram. A little more than the largest one, so that the beginnings of all of them do not compete for
/// the same few lines of the processor's cache; what is never written to takes no memory.
const SLOT: usize = DATAGRAM + 1 + 5 * 64;

/// A bound socket, and where its datagrams are read to.
#[derive(Debug)]
pub(crate) struct Queue {
    socket: UdpSocket,
    address: SocketAddr,
    granted: usize,
    room: Vec<u8>,
    slot: usize,
    drops: Drops,
}

/// A datagram as it was received.
pub(crate) struct Datagram<'a> {
    pub bytes: &'a [u8],
    /// It was longer than that.
    pub truncated: bool,
}

impl Queue {
    /// Binds, and asks for this much buffer in the kernel.
    pub fn bind(address: SocketAddr, receive_buffer: usize, batch: usize) -> io::Result<Self> {
        Self::with_slots(address, receive_buffer, batch, SLOT)
    }

    fn with_slots(address: SocketAddr, receive_buffer: usize, batch: usize, slot: usize) -> io::Result<Self> {
        let socket = metlog_listen::udp(address)?;
        let granted = enlarge(&socket, receive_buffer)?;
        let drops = Drops::watch(&socket)?;
        prepare(&socket)?;
        Ok(Queue { address: socket.local_addr()?, granted, room: vec![0; batch * slot], slot, drops, socket })
    }

    /// Where it is bound; the port is never 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The receive buffer the system gave.
    pub fn granted(&self) -> usize {
        self.granted
    }

    /// How many datagrams one read can take.
    pub fn batch(&self) -> usize {
        self.room.len() / self.slot
    }

    /// Datagrams that the kernel dropped, as far as the datagrams read so far tell, since the last question.
    pub fn dropped(&mut self) -> u64 {
        self.drops.take()
    }

    /// Asks the kernel itself how many it dropped. It costs more than a read, and knows of those after the last datagram.
    pub fn look_for_drops(&mut self) {
        self.drops.look();
    }
}

/// Asks with the rights of an administrator first, whom no limit of the system binds. Says what was granted.
#[cfg(target_os = "linux")]
fn enlarge(socket: &UdpSocket, bytes: usize) -> io::Result<usize> {
    use nix::sys::socket::{setsockopt, sockopt};
    let asked = bytes.min(i32::MAX as usize / 2);
    // The kernel doubles what is asked for, to have room for its own records.
    let granted = || socket2::SockRef::from(socket).recv_buffer_size().map(|size| size / 2);
    // A service manager may have given what we may not ask for.
    if granted()? != asked && setsockopt(socket, sockopt::RcvBufForce, &asked).is_err() {
        setsockopt(socket, sockopt::RcvBuf, &asked)?;
    }
    granted()
}

#[cfg(not(target_os = "linux"))]
fn enlarge(socket: &UdpSocket, bytes: usize) -> io::Result<usize> {
    let socket = socket2::SockRef::from(socket);
    // Some systems refuse what they cannot give, instead of giving what they can.
    let mut asked = bytes;
    while asked > 0 && socket.set_recv_buffer_size(asked).is_err() {
        asked /= 2;
    }
    socket.recv_buffer_size()
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{Halt, Wake, halt};

#[cfg(target_os = "linux")]
fn prepare(socket: &UdpSocket) -> io::Result<()> {
    socket.set_nonblocking(true)
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{Datagram, Queue};
    use nix::errno::Errno;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, recvmmsg};
    use std::io::{self, IoSliceMut, PipeReader, PipeWriter};
    use std::os::fd::{AsFd, AsRawFd};
    use std::time::Duration;

    /// Ends every wait on its [`Wake`] when it is dropped.
    pub(crate) struct Halt(#[allow(dead_code, reason = "it is there to be closed")] PipeWriter);

    /// What a wait ends on beside datagrams.
    pub(crate) struct Wake(PipeReader);

    pub(crate) fn halt() -> io::Result<(Halt, Wake)> {
        let (reader, writer) = io::pipe()?;
        Ok((Halt(writer), Wake(reader)))
    }

    impl Queue {
        /// Reads what is there, up to a batch, and waits for nothing. Says how many datagrams there were.
        pub fn read(&mut self, mut each: impl FnMut(Datagram<'_>)) -> io::Result<usize> {
            let mut slots: Vec<[IoSliceMut<'_>; 1]> =
                self.room.chunks_exact_mut(self.slot).map(|slot| [IoSliceMut::new(slot)]).collect();
            // Made anew for each call: the kernel writes into the headers how much of their room it used, the crate
            // does not put that back, and from the second call on there would be no room for the number of drops.
            let mut headers = MultiHeaders::<()>::preallocate(slots.len(), Some(nix::cmsg_space!(u32)));
            let flags = MsgFlags::MSG_DONTWAIT;
            let received = match recvmmsg(self.socket.as_raw_fd(), &mut headers, slots.iter_mut(), flags, None) {
                Ok(received) => received,
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(0),
                Err(error) => return Err(error.into()),
            };
            let (mut count, mut last) = (0, None);
            for datagram in received {
                let truncated = datagram.flags.contains(MsgFlags::MSG_TRUNC);
                each(Datagram { bytes: datagram.iovs().next().unwrap_or_default(), truncated });
                count += 1;
                last = Some(datagram);
            }
            // The number never falls, so the last datagram's is the one that counts.
            for note in last.iter().filter_map(|datagram| datagram.cmsgs().ok()).flatten() {
                if let ControlMessageOwned::RxqOvfl(total) = note {
                    self.drops.total(total);
                }
            }
            Ok(count)
        }

        /// Waits for a datagram, the halt or the time, whichever is first.
        pub fn wait(&self, wake: &Wake, within: Option<Duration>) -> io::Result<()> {
            let mut ends =
                [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN), PollFd::new(wake.0.as_fd(), PollFlags::POLLIN)];
            let within =
                within.map_or(PollTimeout::NONE, |time| PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX));
            match poll(&mut ends, within) {
                Ok(_) | Err(Errno::EINTR) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::{Halt, Wake, halt};

/// Elsewhere a wait cannot be interrupted, so it ends by itself this often.
#[cfg(not(target_os = "linux"))]
const TICK: std::time::Duration = std::time::Duration::from_millis(100);

#[cfg(not(target_os = "linux"))]
fn prepare(socket: &UdpSocket) -> io::Result<()> {
    socket.set_read_timeout(Some(TICK))
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::{Datagram, Queue};
    use std::io;
    use std::time::Duration;

    pub(crate) struct Halt;
    pub(crate) struct Wake;

    pub(crate) fn halt() -> io::Result<(Halt, Wake)> {
        Ok((Halt, Wake))
    }

    impl Queue {
        /// Reads what is there, up to a batch, and waits for nothing. Says how many datagrams there were.
        pub fn read(&mut self, mut each: impl FnMut(Datagram<'_>)) -> io::Result<usize> {
            self.socket.set_nonblocking(true)?;
            let batch = self.batch();
            let slot = self.room.get_mut(..self.slot).unwrap_or_default();
            let mut count = 0;
            while count < batch {
                match self.socket.recv(slot) {
                    Ok(length) => each(Datagram { bytes: slot.get(..length).unwrap_or_default(), truncated: false }),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                }
                count += 1;
            }
            Ok(count)
        }

        /// Waits for a datagram or a moment, whichever is first.
        pub fn wait(&self, _: &Wake, _: Option<Duration>) -> io::Result<()> {
            self.socket.set_nonblocking(false)?;
            // Whatever it says, the next read says it too.
            let _ = self.socket.peek(&mut [0]);
            Ok(())
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_batch_is_read_at_a_time_and_what_is_cut_off_is_marked() {
        let mut queue = Queue::with_slots(([127, 0, 0, 1], 0).into(), 1 << 20, 4, 10).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for text in ["one", "", "0123456789", "0123456789a", "five"] {
            sender.send_to(text.as_bytes(), queue.address()).unwrap();
        }
        let mut got = Vec::new();
        let mut read = |queue: &mut Queue| {
            queue
                .read(|datagram| got.push((String::from_utf8_lossy(datagram.bytes).into_owned(), datagram.truncated)))
                .unwrap()
        };
        assert_eq!((read(&mut queue), read(&mut queue), read(&mut queue)), (4, 1, 0));
        let expected = [("one", false), ("", false), ("0123456789", false), ("0123456789", true), ("five", false)];
        assert_eq!(got, expected.map(|(text, truncated)| (text.to_owned(), truncated)));
    }

    #[test]
    fn drops_are_told_beside_the_datagram_that_follows_them() {
        let mut queue = Queue::with_slots(([127, 0, 0, 1], 0).into(), 4096, 64, 2000).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut sent = 0;
        let mut send = |count, queue: &Queue| {
            sent += count;
            (0..count).for_each(|_| {
                sender.send_to(&[b'x'; 500], queue.address()).unwrap();
            });
        };
        let mut received = 0;
        // Twice: headers that were used once must be as good as new ones.
        for _ in 0..2 {
            send(50, &queue);
            while queue.read(|_| received += 1).unwrap() > 0 {}
            send(1, &queue);
            while queue.read(|_| received += 1).unwrap() > 0 {}
        }
        let dropped = queue.dropped();
        assert!(dropped > 0);
        assert_eq!(dropped + received, sent);
    }

    #[test]
    fn a_halt_ends_a_wait() {
        let queue = Queue::bind(([127, 0, 0, 1], 0).into(), 1 << 20, 1).unwrap();
        let (halt, wake) = halt().unwrap();
        let waiter = std::thread::spawn(move || queue.wait(&wake, Some(Duration::from_secs(60))).map(|()| queue));
        drop(halt);
        assert!(waiter.join().unwrap().is_ok());
    }
}
