//! The relay's folder, and the secret in it that makes operators.

use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::chat::MAX_SECRET_BYTES;
use crate::store;

/// The file with the secret.
pub(super) const ADMIN_SECRET: &str = "admin-secret";

/// A shorter one could be guessed.
const MIN_SECRET_BYTES: usize = 16;

/// The folder that is used if none is named.
pub(super) fn default_folder() -> Result<PathBuf, String> {
    let unknown = "your home folder is not known; name a folder with --data";
    Ok(store::data_folder().ok_or(unknown)?.join("relay"))
}

/// Makes the folder, for its owner alone, if it is not there.
pub(super) fn make(folder: &Path) -> Result<(), String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| {
        format!("{} cannot be made: {error}; name another folder with --data", folder.display())
    })
}

/// The secret in the folder; the first time `fresh` becomes it.
pub(super) fn admin_secret(folder: &Path, fresh: &str) -> Result<String, String> {
    let path = folder.join(ADMIN_SECRET);
    let failed = |error: io::Error| format!("{} cannot be used: {error}", path.display());
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            store::write_whole(&path, format!("{fresh}\n").as_bytes()).map_err(failed)?;
            return Ok(fresh.to_owned());
        }
        opened => opened.map_err(failed)?,
    };
    if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(format!(
            "{} can be read by other users of this machine, who could become operators: delete it, and a new one is made",
            path.display()
        ));
    }
    let mut secret = String::new();
    file.take(MAX_SECRET_BYTES as u64 + 2).read_to_string(&mut secret).map_err(failed)?;
    let secret = secret.trim();
    if !(MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&secret.len()) {
        return Err(format!(
            "{} holds no secret of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes: delete it, and a new one is made",
            path.display()
        ));
    }
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const FRESH: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn secret_is_made_once_and_refused_when_others_can_read_it() {
        let folder = std::env::temp_dir().join(format!("udpchat-secret-{}", std::process::id()));
        make(&folder).unwrap();
        let path = folder.join(ADMIN_SECRET);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(admin_secret(&folder, FRESH).as_deref(), Ok(FRESH));
        assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600));
        assert_eq!(admin_secret(&folder, "another").as_deref(), Ok(FRESH));

        fs::write(&path, "short\n").unwrap();
        assert!(admin_secret(&folder, FRESH).unwrap_err().contains("holds no secret"));
        fs::write(&path, format!("  {FRESH}{FRESH} \n")).unwrap();
        assert_eq!(admin_secret(&folder, FRESH), Ok(format!("{FRESH}{FRESH}")));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(admin_secret(&folder, FRESH).unwrap_err().contains("other users"));

        // Somebody else's file is not written to.
        let elsewhere = folder.join("elsewhere");
        fs::write(&elsewhere, "mine").unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&elsewhere, path.with_extension("new")).unwrap();
        assert_eq!(admin_secret(&folder, FRESH).as_deref(), Ok(FRESH));
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "mine");
        fs::remove_dir_all(&folder).unwrap();
    }
}
