//! A stock SuperLink in a folder of its own, and the Flower app of `examples/flower` run on it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::program::{DIRECT, wait};

/// Whether `INOCULA_REQUIRE_FLOWER` makes the absence of Flower a failure.
pub(crate) fn required() -> bool {
    std::env::var_os("INOCULA_REQUIRE_FLOWER").is_some_and(|v| v == "1")
}

/// The folder of the programs of an environment that has Flower.
pub(crate) fn environment() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    // Beside `debug`, where `cargo xtask setup flower` makes it.
    let made = program.ancestors().nth(3).map(|target| target.join("flower"));
    let folder = std::env::var_os("INOCULA_FLOWER").map(PathBuf::from).or(made);
    let folder = folder.unwrap_or_default().join(if cfg!(windows) { "Scripts" } else { "bin" });
    let superlink = folder.join(format!("flower-superlink{}", std::env::consts::EXE_SUFFIX));
    match superlink.is_file() {
        true => Ok(folder),
        false => Err(format!(
            "there is no {}; run `cargo xtask setup flower`, or set INOCULA_FLOWER to an environment with \
             Flower",
            superlink.display()
        )),
    }
}

/// A program of the environment; those that it starts find theirs there too.
pub(crate) fn program(name: &str, folder: &Path) -> Command {
    let bin = environment().unwrap();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(bin.clone()).chain(std::env::split_paths(&paths));
    let mut command = Command::new(bin.join(name));
    command
        .current_dir(folder)
        .env("PATH", std::env::join_paths(paths).unwrap())
        .env("FLWR_HOME", folder.join("home"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("FLWR_TELEMETRY_ENABLED", "0")
        .envs(DIRECT);
    command
}

/// A SuperLink that runs.
pub(crate) struct SuperLink {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl SuperLink {
    /// Starts one that has its files in `folder`, on a free port.
    pub(crate) fn start(folder: &Path, security: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        Self::start_at(folder, port, security)
    }

    fn start_at(folder: &Path, port: u16, security: &[&str]) -> Self {
        fs::create_dir_all(folder.join("home")).unwrap();
        let log = fs::File::create(folder.join("superlink.log")).unwrap();
        let port_text = port.to_string();
        let mut command = program("flower-superlink", folder);
        command
            .args(["--host", "127.0.0.1", "--port", &port_text])
            .arg("--disable-runtime-dependency-installation")
            .args(security)
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(log);
        let link = SuperLink { child: command.spawn().unwrap(), folder: folder.to_owned(), port };
        wait("the SuperLink", || link.log().contains("startup complete").then_some(()));
        link
    }

    /// Ends it without a word, and starts one that knows nothing in its place.
    pub(crate) fn restart(&mut self, security: &[&str]) {
        self.kill();
        *self = Self::start_at(&self.folder, self.port, security);
    }

    pub(crate) fn kill(&mut self) {
        end(&mut self.child);
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("superlink.log")).unwrap_or_default()
    }

    /// Runs the app of `examples/flower`.
    pub(crate) fn run(&self, settings: &str) {
        let text = format!(
            "[superlink]\ndefault = \"local\"\n[superlink.local]\naddress = \"{}\"\ninsecure = true\n",
            self.address()
        );
        fs::write(self.folder.join("home/config.toml"), text).unwrap();
        let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/flower");
        let mut command = program("flwr", &self.folder);
        command.arg("run").arg(app).args(["local", "--run-config", settings]);
        let out = command.output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stdout));
    }
}

impl Drop for SuperLink {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Ends a SuperLink and waits for it: asked first, so that it ends the programs that it started.
fn end(child: &mut Child) {
    if matches!(child.try_wait(), Ok(None)) {
        let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        for _ in 0..100 {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}
