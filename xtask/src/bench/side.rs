//! A process that measures: one backend, or one of the tools that Inocula is compared with.
//!
//! It answers a line of JSON with a line of JSON; the requests are listed in the head of
//! `tests/benches/runner/main.rs`. A process that crashes or hangs costs the row it was at: the next
//! row starts it anew.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a reply may take: the longest row, several times, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a process may take to end once its input has ended.
const FAREWELL: Duration = Duration::from_secs(5);

/// Something that answers requests.
pub(super) trait Side {
    /// The reply to `request`.
    ///
    /// # Errors
    /// The one-line reason why there is none.
    fn ask(&mut self, request: &Value) -> Result<Value, String>;
}

/// What a process says of itself when it starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) device: String,
    pub(super) threads: u64,
    /// What opening the device took, in seconds; tools without devices say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) open_seconds: Option<f64>,
}

/// Makes the command that starts a side.
pub(super) type Starter = Rc<dyn Fn() -> Command>;

/// A side that is a process.
pub(super) struct Process {
    starter: Starter,
    live: Option<Live>,
}

struct Live {
    child: Child,
    /// Gone once the process is to end.
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    /// Starts the process; it must say hello.
    ///
    /// # Errors
    /// Why it did not start.
    pub(super) fn start(starter: Starter) -> Result<(Self, Hello), String> {
        let mut process = Process { starter, live: None };
        let hello = process.revive()?;
        Ok((process, hello))
    }

    fn revive(&mut self) -> Result<Hello, String> {
        let mut live = Live::spawn((self.starter)())?;
        let reply = live.reply()?;
        let hello = serde_json::from_value(reply["hello"].clone())
            .map_err(|e| format!("{reply} instead of a greeting: {e}"))?;
        self.live = Some(live);
        Ok(hello)
    }
}

impl Side for Process {
    fn ask(&mut self, request: &Value) -> Result<Value, String> {
        if self.live.is_none() {
            self.revive()?;
        }
        let Some(live) = &mut self.live else { return Err("the process is gone".into()) };
        let reply = live.ask(request);
        if reply.is_err() && live.ended() {
            self.live = None;
        }
        reply
    }
}

impl Live {
    fn spawn(mut command: Command) -> Result<Self, String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|e| format!("{program} does not start: {e}"))?;
        let (sender, lines) = channel();
        let output = child.stdout.take().ok_or("its output is not connected")?;
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Live { input: child.stdin.take(), child, lines })
    }

    fn ask(&mut self, request: &Value) -> Result<Value, String> {
        // A write that fails means that the process has ended, which the missing reply tells too.
        let _ = self.input.as_mut().map(|input| writeln!(input, "{request}"));
        self.reply()
    }

    /// The next line that is an object. Libraries print to the standard output as well.
    fn reply(&mut self) -> Result<Value, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = match self.lines.recv_timeout(deadline - Instant::now()) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    // It may be past hearing, so it is not asked to end.
                    let _ = self.child.kill();
                    let _ = self.child.wait();
                    return Err(format!("no answer in {} s", PATIENCE.as_secs()));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.farewell()),
            };
            let Ok(Value::Object(reply)) = serde_json::from_str(&line) else { continue };
            return match reply.get("error") {
                Some(error) => Err(one_line(error.as_str().unwrap_or("an error without a text"))),
                None => Ok(Value::Object(reply)),
            };
        }
    }

    /// Whether the process is no more, or about to be.
    fn ended(&mut self) -> bool {
        self.child.try_wait().map_or(true, |status| status.is_some())
    }

    /// Waits for the end, and says how it came.
    fn farewell(&mut self) -> String {
        self.input = None;
        let start = Instant::now();
        while start.elapsed() < FAREWELL {
            match self.child.try_wait() {
                Ok(Some(status)) => return format!("the process ended ({status})"),
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                Err(err) => return format!("the process is lost: {err}"),
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        "the process hung and was ended".into()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.farewell();
    }
}

/// The first line of a text that may have more.
pub(super) fn one_line(text: &str) -> String {
    text.trim().lines().next().unwrap_or("no reason given").to_owned()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use serde_json::json;

    const HELLO: &str =
        r#"echo '{"hello": {"name": "x", "version": "1", "device": "cpu", "threads": 2}}'"#;

    fn shell(script: &str) -> Result<(Process, Hello), String> {
        let script = script.replace("HELLO", HELLO);
        Process::start(Rc::new(move || {
            let mut command = Command::new("sh");
            command.args(["-c", &script]);
            command
        }))
    }

    #[test]
    fn replies_are_the_lines_that_are_objects() {
        let script = r#"echo loading
            HELLO
            while read -r line; do echo 7; echo '{"seconds": 0.5}'; done"#;
        let (mut process, hello) = shell(script).unwrap();
        assert_eq!((hello.name.as_str(), hello.threads, hello.open_seconds), ("x", 2, None));
        for _ in 0..2 {
            assert_eq!(process.ask(&json!({ "do": "measure" })), Ok(json!({ "seconds": 0.5 })));
        }
    }

    #[test]
    fn errors_are_one_line() {
        let why =
            shell(r#"printf '%s\n' '{"error": "no such backend\nat x"}'; exit 1"#).err().unwrap();
        assert_eq!(why, "no such backend");
        let why = shell("exit 3").err().unwrap();
        assert_eq!(why, "the process ended (exit status: 3)");
        let why = Process::start(Rc::new(|| Command::new("no-such-program"))).err().unwrap();
        assert!(why.starts_with("no-such-program does not start"), "{why}");
    }

    #[test]
    fn a_process_that_crashed_is_started_anew() {
        let script = r#"HELLO
            read -r line
            case "$line" in *crash*) kill -9 $$;; esac
            echo '{"seconds": 1}'"#;
        let (mut process, _) = shell(script).unwrap();
        let why = process.ask(&json!({ "row": "crash" })).unwrap_err();
        assert!(why.contains("signal"), "{why}");
        assert_eq!(process.ask(&json!({ "row": "good" })), Ok(json!({ "seconds": 1 })));
    }
}
