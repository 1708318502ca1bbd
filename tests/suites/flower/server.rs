//! A SuperLink of a few lines, that does as it is told and checks nothing.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use inocula_flower::messages::{
    Elsewhere, Empty, Message, Metadata, NodeReply, ObjectTree, PullMessagesReply, PullObjectReply,
    PullObjectRequest, PushMessagesReply, PushMessagesRequest, PushObjectReply,
};
use inocula_flower::objects::{Array, ArraySpec, Deflated, reply};
use prost::Message as _;

/// What it does.
#[derive(Clone)]
pub(crate) struct Script {
    /// The version that it says that it has.
    pub(crate) version: &'static str,
    /// Messages that it sends, one after the other.
    pub(crate) messages: Vec<Deflated>,
    /// What it makes of the bytes of an object.
    pub(crate) object: fn(Vec<u8>) -> Vec<u8>,
    /// Parts of a tree beside those that there are.
    pub(crate) more_children: usize,
}

impl Script {
    pub(crate) fn of(messages: Vec<Deflated>) -> Self {
        Script { version: "1.41.0", messages, object: |bytes| bytes, more_children: 0 }
    }
}

/// A server that runs until the program ends.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: String,
    /// What nodes sent.
    pub(crate) pushed: Arc<Mutex<Vec<Message>>>,
    sent: Arc<Mutex<usize>>,
    script: Arc<Script>,
}

/// A message that asks for training from these weights.
pub(crate) fn train(arrays: &[(ArraySpec, Array)]) -> Deflated {
    reply(&metadata(), Some(("arrays", arrays)), &[])
}

fn metadata() -> Metadata {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Metadata {
        run_id: 7,
        src_node_id: 1,
        dst_node_id: 42,
        ttl: 3600.0,
        message_type: "train".into(),
        created_at: now.as_secs_f64(),
        ..Metadata::default()
    }
}

impl Server {
    pub(crate) fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (pushed, sent) = Default::default();
        let server = Server { address, pushed, sent, script: Arc::new(script) };
        let this = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let this = this.clone();
                std::thread::spawn(move || this.serve(stream.unwrap()));
            }
        });
        server
    }

    /// Requests of one connection. Whoever hangs up ends it.
    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut input = BufReader::new(stream.try_clone().ok()?);
        let mut output = stream;
        loop {
            let (path, body) = request(&mut input)?;
            let (kind, answer) = match path.as_str() {
                "/openapi.json" => {
                    let version = self.script.version;
                    let info = serde_json::json!({ "title": "SuperLink API", "version": version });
                    let text = serde_json::json!({ "info": info }).to_string();
                    ("application/json", text.into_bytes())
                }
                path => ("application/protobuf", self.answer(path.rsplit('/').next()?, &body)),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            output.write_all(head.as_bytes()).ok()?;
            output.write_all(&answer).ok()?;
        }
    }

    fn answer(&self, verb: &str, body: &[u8]) -> Vec<u8> {
        match verb {
            "register-node" | "activate-node" => NodeReply { node_id: 42 }.encode_to_vec(),
            "pull-messages" => self.next().encode_to_vec(),
            "pull-object" => self.object(&PullObjectRequest::decode(body).unwrap()).encode_to_vec(),
            "push-messages" => {
                let request = PushMessagesRequest::decode(body).unwrap();
                self.pushed.lock().unwrap().extend(request.messages);
                let objects_to_push = request.trees.iter().flat_map(names).collect();
                PushMessagesReply { objects_to_push, session_id: "s".into() }.encode_to_vec()
            }
            "push-object" => PushObjectReply { stored: true }.encode_to_vec(),
            _ => Empty {}.encode_to_vec(),
        }
    }

    fn next(&self) -> PullMessagesReply {
        let mut sent = self.sent.lock().unwrap();
        let Some(made) = self.script.messages.get(*sent) else {
            return PullMessagesReply::default();
        };
        *sent += 1;
        let message_id = made.tree.object_id.clone();
        let metadata = Some(Metadata { message_id, ..metadata() });
        let message = Message { metadata, content: Some(Elsewhere {}), error: None };
        let mut tree = made.tree.clone();
        let child = ObjectTree { object_id: "0".repeat(64), children: Vec::new() };
        tree.children.extend(vec![child; self.script.more_children]);
        PullMessagesReply { messages: vec![message], trees: vec![tree] }
    }

    fn object(&self, asked: &PullObjectRequest) -> PullObjectReply {
        let all: HashMap<_, _> =
            self.script.messages.iter().flat_map(|made| made.objects.iter().cloned()).collect();
        match all.get(&asked.object_id) {
            Some(bytes) => PullObjectReply {
                object_found: true,
                object_available: true,
                object_content: (self.script.object)(bytes.clone()),
            },
            None => PullObjectReply::default(),
        }
    }

    /// Waits for the `n`th message that a node sends.
    pub(crate) fn pushed(&self, n: usize) -> Message {
        super::program::wait("an answer", || self.pushed.lock().unwrap().get(n).cloned())
    }
}

fn names(tree: &ObjectTree) -> Vec<String> {
    let mut all: Vec<String> = tree.children.iter().flat_map(names).collect();
    all.push(tree.object_id.clone());
    all
}

/// Path and body of a request.
fn request(input: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    input.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        input.read_line(&mut header).ok().filter(|n| *n > 0)?;
        let header = header.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    Some((path, body))
}

/// A server that says the same to everybody, whatever it is asked.
pub(crate) fn says(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut some = [0; 1024];
            let _ = stream.read(&mut some);
            let _ = stream.write_all(bytes);
        }
    });
    address
}
