//! The program as a node: started, watched, killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that anything may take.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// The program, made by the same build as this one.
pub(crate) fn path() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let name = format!("inocula{}", std::env::consts::EXE_SUFFIX);
    let path = program.ancestors().nth(2).unwrap_or(Path::new(".")).join(name);
    match path.is_file() {
        true => Ok(path),
        false => {
            Err(format!("{} is not there; `cargo build -p inocula-cli` first", path.display()))
        }
    }
}

/// Waits until `done` gives something.
pub(crate) fn wait<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(started.elapsed() < LONG, "nothing came of it in {LONG:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A node that runs; it is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    /// What it said so far.
    log: PathBuf,
}

impl Running {
    /// `inocula federate join` in `folder`, whose node folder is `out`.
    pub(crate) fn join(folder: &Path, out: &str, superlink: &str, more: &[&str]) -> Self {
        let log = folder.join(format!("{out}.log"));
        let file = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new(path().unwrap());
        command
            .args(["federate", "join", "--superlink", superlink, "--out", out])
            .args(more)
            .current_dir(folder)
            .envs(DIRECT)
            .stdout(Stdio::null())
            .stderr(file);
        Running { child: command.spawn().unwrap(), log }
    }

    /// Everything that it and those before it said.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it says `text`, `times` times in all.
    pub(crate) fn hears(&self, text: &str, times: usize) {
        let enough = || (self.said().matches(text).count() >= times).then_some(());
        wait(&format!("{text:?} in {}", self.log.display()), enough);
    }

    /// Waits for its end: the exit status and the last line that it said.
    pub(crate) fn ends(mut self) -> (Option<i32>, String) {
        let log = self.log.clone();
        let status =
            wait(&format!("the end of {}", log.display()), || self.child.try_wait().unwrap());
        let said = self.said();
        (status.code(), said.lines().last().unwrap_or_default().to_owned())
    }

    /// Ends it in one blow.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to leave.
    #[cfg(unix)]
    pub(crate) fn interrupt(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// No proxy stands between this machine and itself.
pub(crate) const DIRECT: [(&str, &str); 2] =
    [("NO_PROXY", "127.0.0.1,localhost"), ("no_proxy", "127.0.0.1,localhost")];

/// Runs the program to its end, which must be a good one.
pub(crate) fn succeeds(folder: &Path, args: &[&str]) {
    let out = Command::new(path().unwrap()).args(args).current_dir(folder).output().unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// The error line that a node must end in: exit status 1, and all of `parts` in it.
pub(crate) fn fails(node: Running, parts: &[&str]) {
    let (code, line) = node.ends();
    assert_eq!(code, Some(1), "{line}");
    assert!(line.starts_with("error: "), "{line}");
    for part in parts {
        assert!(line.contains(part), "{line:?} lacks {part:?}");
    }
}

/// What a node must not lose: its key, its configuration, its rounds and its updates.
pub(crate) fn state(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for name in ["config.toml", "node.toml", "node.pem", "rounds.json"] {
        found.push((name.to_owned(), fs::read(folder.join(name)).unwrap_or_default()));
    }
    let updates = fs::read_dir(folder.join("updates")).into_iter().flatten();
    let mut updates: Vec<PathBuf> = updates.map(|entry| entry.unwrap().path()).collect();
    updates.sort();
    found.extend(updates.iter().map(|p| (p.display().to_string(), fs::read(p).unwrap())));
    found
}

/// The rounds of a node.
pub(crate) fn entries(folder: &Path) -> Vec<serde_json::Value> {
    let text = fs::read(folder.join("rounds.json")).unwrap_or(b"[]".to_vec());
    serde_json::from_slice(&text).unwrap()
}
