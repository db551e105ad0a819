//! The log that people read: a thread that writes lines to text files.
//!
//! A journal is not the ledger: it may lose lines when the disk is full or slow, says so once, and leaves a line that tells how
//! many are missing. This module must never make the loop wait.

mod files;

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::chat::format_timestamp;
use crate::time::WallTime;
use files::Files;

/// What may wait for the disk: some seconds of a very busy relay.
const MOST_WAITING_BYTES: usize = 8 * 1024 * 1024;

/// What a waiting line costs beside its text.
const LINE_BYTES: usize = 64;

/// Lines that are gathered for the thread at most. It writes all that it finds with one call.
const MOST_BATCH: usize = 512;

/// How long the thread rests after it wrote. Nobody sees a log that is a moment late; but a busy relay would have to wake the thread
/// up for every turn of its loop, which costs it more than what is written.
const PAUSE: Duration = Duration::from_millis(10);

/// What a journal tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The end of the log, as it was asked for.
    Tail {
        /// The number that the request had.
        ticket: u64,
        /// The lines, oldest first, or why there are none.
        lines: Result<Vec<String>, String>,
    },
    /// Lines are being lost: told once for each time that it begins.
    Trouble(String),
}

/// Takes lines, writes them when it can.
#[derive(Debug)]
pub struct Journal {
    /// None: nothing more is taken.
    tasks: Option<Sender<Vec<Task>>>,
    /// What goes to the thread with the next [`Journal::flush`], which wakes it up.
    gathered: Vec<Task>,
    told: Receiver<Told>,
    own_words: VecDeque<Told>,
    waiting: Arc<AtomicUsize>,
    /// Lines for which there was no room since the last one for which there was.
    lost: u64,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Task {
    Line { at: WallTime, text: String },
    Tail { ticket: u64, lines: usize },
}

impl Journal {
    /// Writes to files in `folder`, which is made if it is not there. `wake` is called on the journal's thread whenever there is
    /// something to be told.
    pub fn open(folder: &Path, wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let files = Files::new(folder)?;
        let (tasks, taken) = mpsc::channel();
        let (given, told) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = Writer {
            files,
            waiting: Arc::clone(&waiting),
            told: given,
            wake: Box::new(wake),
            is_well: true,
            lost: 0,
        };
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(move || writer.work(&taken))?;
        Ok(Self {
            tasks: Some(tasks),
            gathered: Vec::new(),
            told,
            own_words: VecDeque::new(),
            waiting,
            lost: 0,
            thread: Some(thread),
        })
    }

    /// Writes a line, into the file of the day of `at`, at the next [`Journal::flush`] or soon: many share a way to the thread.
    pub fn write(&mut self, at: WallTime, text: String) {
        if self.waiting.load(Ordering::Relaxed) + text.len() + LINE_BYTES > MOST_WAITING_BYTES {
            if self.lost == 0 {
                let words = "lines of the log are lost: its disk does not keep up".to_owned();
                self.own_words.push_back(Told::Trouble(words));
            }
            self.lost += 1;
            return;
        }
        let lost = mem::take(&mut self.lost);
        if lost > 0 {
            self.gather(Task::Line { at, text: missing(at, lost) });
        }
        self.gather(Task::Line { at, text });
    }

    /// Has what was written so far go to the disk.
    pub fn flush(&mut self) -> bool {
        if self.gathered.is_empty() {
            return true;
        }
        let gathered = mem::take(&mut self.gathered);
        self.tasks.as_ref().is_some_and(|tasks| tasks.send(gathered).is_ok())
    }

    /// Asks for the last lines, those included that were written so far: [`Told::Tail`].
    pub fn request_tail(&mut self, ticket: u64, lines: usize) {
        self.gather(Task::Tail { ticket, lines });
        if !self.flush() {
            let why = "the thread that writes the log is gone".to_owned();
            self.own_words.push_back(Told::Tail { ticket, lines: Err(why) });
        }
    }

    /// The next thing that it tells, if there is one now.
    pub fn poll_told(&mut self) -> Option<Told> {
        self.own_words.pop_front().or_else(|| self.told.try_recv().ok())
    }

    fn gather(&mut self, task: Task) {
        self.waiting.fetch_add(task.cost(), Ordering::Relaxed);
        self.gathered.push(task);
        if self.gathered.len() >= MOST_BATCH {
            self.flush();
        }
    }
}

/// The thread writes what it took.
impl Drop for Journal {
    fn drop(&mut self) {
        self.flush();
        self.tasks = None;
        if let Some(thread) = self.thread.take() {
            // It panicked: it has said so itself.
            let _ = thread.join();
        }
    }
}

impl Task {
    fn cost(&self) -> usize {
        match self {
            Self::Line { text, .. } => LINE_BYTES + text.len(),
            Self::Tail { .. } => LINE_BYTES,
        }
    }
}

fn missing(at: WallTime, lines: u64) -> String {
    format!("{} ! {lines} lines of the log are missing here", format_timestamp(at))
}

/// The thread's side.
struct Writer {
    files: Files,
    waiting: Arc<AtomicUsize>,
    told: Sender<Told>,
    wake: Box<dyn Fn() + Send>,
    /// Whether the last lines could be written.
    is_well: bool,
    /// Lines that could not be written since.
    lost: u64,
}

impl Writer {
    fn work(mut self, tasks: &Receiver<Vec<Task>>) {
        let mut lines = Vec::new();
        while let Ok(batch) = tasks.recv() {
            let mut cost = 0;
            for task in batch.into_iter().chain(tasks.try_iter().flatten()) {
                cost += task.cost();
                match task {
                    Task::Line { at, text } => lines.push((at, text)),
                    Task::Tail { ticket, lines: wanted } => {
                        self.write(&mut lines);
                        let lines = self
                            .files
                            .tail(wanted)
                            .map_err(|error| format!("the log cannot be read: {error}"));
                        self.tell(Told::Tail { ticket, lines });
                    }
                }
            }
            self.write(&mut lines);
            self.waiting.fetch_sub(cost, Ordering::Relaxed);
            thread::sleep(PAUSE);
        }
    }

    fn write(&mut self, lines: &mut Vec<(WallTime, String)>) {
        let count = lines.len() as u64;
        if let Some((at, _)) = lines.first()
            && self.lost > 0
        {
            lines.insert(0, (*at, missing(*at, self.lost)));
        }
        let written = self.files.append(lines);
        lines.clear();
        match written {
            Ok(()) if count > 0 => {
                self.is_well = true;
                self.lost = 0;
            }
            Ok(()) => {}
            Err(error) => {
                self.lost += count;
                if mem::take(&mut self.is_well) {
                    self.tell(Told::Trouble(format!(
                        "lines of the log are lost: it cannot be written to {}: {error}",
                        self.files.folder().display()
                    )));
                }
            }
        }
    }

    fn tell(&self, told: Told) {
        // Nobody listens any more at the end.
        let _ = self.told.send(told);
        (self.wake)();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::store::tests::Folder;

    const AT: WallTime = WallTime::from_unix_micros(1_795_219_200_000_000);

    fn lines(journal: &mut Journal, wakes: &Receiver<()>) -> Result<Vec<String>, String> {
        journal.request_tail(7, 10);
        loop {
            match journal.poll_told() {
                Some(Told::Tail { ticket: 7, lines }) => return lines,
                Some(told) => panic!("{told:?}"),
                None => wakes.recv().unwrap(),
            }
        }
    }

    #[test]
    fn tail_has_what_was_written_before() {
        let folder = Folder::new();
        let (woken, wakes) = channel();
        let mut journal = Journal::open(&folder, move || woken.send(()).unwrap()).unwrap();
        journal.write(AT, "one".to_owned());
        journal.write(AT, "two".to_owned());
        assert_eq!(lines(&mut journal, &wakes).unwrap(), ["one", "two"]);
        journal.write(AT, "three".to_owned());
        drop((journal, wakes));
        assert_eq!(fs::read_to_string(folder.join("relay-2026-11-21.txt")).unwrap(), "one\ntwo\nthree\n");
    }

    #[test]
    fn trouble_is_told_once_and_its_lines_are_counted() {
        let folder = Folder::new();
        let logs = folder.join("logs");
        let (woken, wakes) = channel();
        let mut journal = Journal::open(&logs, move || woken.send(()).unwrap()).unwrap();
        fs::remove_dir(&logs).unwrap();
        journal.write(AT, "one".to_owned());
        journal.flush();
        wakes.recv().unwrap();
        assert!(matches!(journal.poll_told(), Some(Told::Trouble(_))));
        journal.write(AT, "two".to_owned());
        assert!(lines(&mut journal, &wakes).unwrap_err().starts_with("the log cannot be read"));
        fs::create_dir(&logs).unwrap();
        journal.write(AT, "three".to_owned());
        let missing = "2026-11-21T00:00:00.000000Z ! 2 lines of the log are missing here";
        assert_eq!(lines(&mut journal, &wakes).unwrap(), [missing, "three"]);
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let folder = Folder::new();
        let mut journal = Journal::open(&folder, || {}).unwrap();
        journal.waiting.fetch_add(MOST_WAITING_BYTES, Ordering::Relaxed);
        journal.write(AT, "one".to_owned());
        journal.write(AT, "two".to_owned());
        assert!(matches!(journal.poll_told(), Some(Told::Trouble(_))));
        assert_eq!(journal.poll_told(), None);
        journal.waiting.fetch_sub(MOST_WAITING_BYTES, Ordering::Relaxed);
        journal.write(AT, "three".to_owned());
        drop(journal);
        let text = fs::read_to_string(folder.join("relay-2026-11-21.txt")).unwrap();
        assert_eq!(text, "2026-11-21T00:00:00.000000Z ! 2 lines of the log are missing here\nthree\n");
    }
}
