//! A home for each test, where its programs keep their profiles: they never touch the user's, and meet nobody's old keys.
//!
//! Each test has a thread of its own, and the folder goes with it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    static HOME: Home = Home::new();
}

struct Home(PathBuf);

impl Home {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("home-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).expect("the target folder can be written to");
        Self(folder)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // What is left behind only takes room.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The home of the test that asks.
pub fn folder() -> PathBuf {
    HOME.with(|home| home.0.clone())
}

/// What a program's environment needs for it, as pairs: a name, and its value.
pub fn environment() -> [(&'static str, PathBuf); 2] {
    // Whatever the user has set is not for tests.
    [("XDG_DATA_HOME", folder()), ("UDPCHAT_DATA", folder().join("udpchat"))]
}
