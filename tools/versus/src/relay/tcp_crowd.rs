//! Members of a server that speaks over TCP, all in one thread: one talks, all listen, the talker too.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// What the server's members say and understand.
pub trait Tongue {
    /// How to start the server.
    fn arguments(&self, port: u16, folder: &Path) -> io::Result<Vec<OsString>>;

    /// What a member says first, until it hears the room.
    fn greet(&self, member: usize, output: &mut Vec<u8>);

    /// A line, said to the room.
    fn say(&mut self, line: &[u8], output: &mut Vec<u8>);

    /// The first whole thing that the server said: how many bytes it takes, what it is, and what is answered. None if more must
    /// come first.
    fn hear(&self, input: &[u8], output: &mut Vec<u8>) -> Option<(usize, Heard)>;
}

/// What the server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The greeting is over.
    Seated,
    /// A line.
    Line,
    /// Anything else.
    Other,
}

/// The members.
pub struct TcpCrowd {
    poll: Poll,
    members: Vec<Member>,
}

struct Member {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    is_seated: bool,
    lines: usize,
}

/// The talker's lines that it has not heard itself, as for every other server.
const UNDER_WAY: usize = 100;

/// A server that says nothing for so long has stopped.
const PATIENCE: Duration = Duration::from_secs(10);

impl TcpCrowd {
    /// Members that hear the room.
    pub fn connect(port: u16, members: usize, tongue: &dyn Tongue) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut crowd = Self { poll, members: Vec::new() };
        for place in 0..members {
            let stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            crowd.poll.registry().register(&mut stream, Token(place), interest)?;
            let mut output = Vec::new();
            tongue.greet(place, &mut output);
            crowd.members.push(Member { stream, input: Vec::new(), output, is_seated: false, lines: 0 });
        }
        let mut events = Events::with_capacity(256);
        while !crowd.members.iter().all(|member| member.is_seated) {
            crowd.turn(&mut events, tongue)?;
        }
        Ok(crowd)
    }

    /// The first one talks until all have heard it all.
    pub fn talk(&mut self, lines: usize, line_bytes: usize, tongue: &mut dyn Tongue) -> io::Result<()> {
        let (line, mut said) = (vec![b'x'; line_bytes], 0);
        let mut events = Events::with_capacity(256);
        while self.members.iter().any(|member| member.lines < lines) {
            let talker = &mut self.members[0];
            while said < lines && said < talker.lines + UNDER_WAY {
                tongue.say(&line, &mut talker.output);
                said += 1;
            }
            talker.flush()?;
            self.turn(&mut events, tongue)?;
        }
        Ok(())
    }

    fn turn(&mut self, events: &mut Events, tongue: &dyn Tongue) -> io::Result<()> {
        self.poll.poll(events, Some(PATIENCE))?;
        if events.is_empty() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server is silent"));
        }
        for event in &*events {
            let member = &mut self.members[event.token().0];
            member.listen(tongue)?;
            member.flush()?;
        }
        Ok(())
    }
}

impl Member {
    fn listen(&mut self, tongue: &dyn Tongue) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::Error::other("the server closed a connection")),
                Ok(length) => self.input.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let mut taken = 0;
        while let Some((length, heard)) = tongue.hear(&self.input[taken..], &mut self.output) {
            taken += length;
            self.is_seated |= heard == Heard::Seated;
            self.lines += usize::from(heard == Heard::Line);
        }
        self.input.drain(..taken);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(length) => drop(self.output.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
