//! `inocula data get` against a server on this machine.

// The lints spare functions marked as tests, but not what these call.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{fails, mnist, names, succeeds};

/// What the server does with a file.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Good,
    /// A bit of the content is flipped.
    Corrupt,
    /// The connection ends early.
    Truncated,
    Missing,
}

/// Serves the files of `folder` until the process ends; its address, and how often it was asked.
fn serve(folder: PathBuf, mood: Mood) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|l| l.is_ok_and(|l| !l.is_empty())) {}
            count.fetch_add(1, Ordering::SeqCst);
            let name = request.split([' ', '/']).find(|p| p.ends_with(".gz")).unwrap_or("none");
            let mut bytes = fs::read(folder.join(name)).unwrap_or_default();
            if mood == Mood::Corrupt {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            let status = if mood == Mood::Missing { "404 Not Found" } else { "200 OK" };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                bytes.len()
            );
            if mood == Mood::Truncated {
                bytes.truncate(bytes.len() / 2);
            }
            // The client may have left.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes));
        }
    });
    (address, asked)
}

fn get(folder: &Path, mirror: &str) -> Vec<String> {
    let to = folder.join("mnist").display().to_string();
    ["data", "get", "mnist", "--mirror", mirror, "--to", &to].map(String::from).to_vec()
}

fn as_str(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

#[test]
fn a_download_is_checked_and_usable_and_not_repeated() {
    let Some(source) = mnist() else { return };
    let (address, asked) = serve(source, Mood::Good);
    let temp = tempfile::tempdir().unwrap();
    let args = get(temp.path(), &address);
    let text = succeeds(temp.path(), &as_str(&args));
    assert_eq!(text.matches("checksum matches").count(), 4, "{text}");
    assert_eq!(names(&temp.path().join("mnist")).len(), 4);
    assert_eq!(asked.load(Ordering::SeqCst), 4);
    let text = succeeds(temp.path(), &as_str(&args));
    assert_eq!(text.matches("already there").count(), 4, "{text}");
    assert_eq!(asked.load(Ordering::SeqCst), 4);
    let train = ["train", "--data", "./mnist", "--model", "logistic", "--epochs", "1"];
    let few = ["--train-samples", "300", "--out", "run"];
    succeeds(temp.path(), &[&train[..], &few].concat());
}

#[test]
fn what_is_not_the_file_is_not_kept() {
    let Some(source) = mnist() else { return };
    let temp = tempfile::tempdir().unwrap();
    for (mood, part) in [
        (Mood::Corrupt, "train-images-idx3-ubyte.gz"),
        (Mood::Truncated, "train-images-idx3-ubyte.gz"),
        (Mood::Missing, "404"),
    ] {
        let (address, _) = serve(source.clone(), mood);
        let args = get(temp.path(), &address);
        fails(temp.path(), &as_str(&args), &[part, &address, "--mirror"]);
        assert_eq!(names(&temp.path().join("mnist")), [""; 0]);
    }
}

#[test]
fn nobody_answers() {
    let temp = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let args = get(temp.path(), &format!("http://127.0.0.1:{port}"));
    fails(temp.path(), &as_str(&args), &["could not be downloaded", "--mirror"]);
    let unknown = ["data", "get", "mnits"];
    fails(temp.path(), &unknown, &["did you mean 'mnist'?"]);
}
