//! `vgg-classify serve`: its answers, and what it does with clients that mean ill or are slow. The page itself is
//! tested in a browser: `page.rs`.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use end_to_end::{
    Digits, USAGE, Workplace, assert_refused, finish, path_from, vgg_classify, weights,
};
use serde_json::{Value, json};

/// Seconds that the servers of the tests give their clients.
const TIMEOUT: u64 = 2;

/// A server of a small model.
struct Served {
    process: Child,
    /// `127.0.0.1:` and the port.
    address: String,
}

impl Served {
    fn start(model: &[&str], more: &[&str]) -> Served {
        let mut command = vgg_classify(["serve", "--port=0", "--threads=2"]);
        command.args(model).arg("--weights").arg(weights());
        command.arg(format!("--timeout={TIMEOUT}")).args(more);
        Served::spawn(&command)
    }

    fn spawn(command: &assert_cmd::Command) -> Served {
        let mut plain = Command::new(command.get_program());
        plain.args(command.get_args());
        let mut process =
            plain.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("http://") else {
            let mut said = String::new();
            process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("no address: {line}{said}");
        };
        Served { process, address: address.trim_end_matches('/').to_owned() }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Sends bytes as they are, and reads what comes back until the connection is closed.
    fn send(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        // The server may answer, and close, before it has read everything.
        let _ = stream.write_all(bytes);
        Answer::read(&mut stream)
    }

    /// A request of the server itself.
    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send(&self.bytes_of(method, path, headers, body))
    }

    fn bytes_of(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head += &format!("host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.request("POST", path, &[], body)
    }

    fn assert_alive(&self) {
        assert_eq!(self.get("/v2/health/ready").status, 200);
    }

    fn interrupt(&self) {
        let status = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// The exit code and what was said on standard error.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.process.wait().unwrap().code(), said)
    }

    /// Resident memory in MiB.
    fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib / 1024.0
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An answer; with the status 0 if the connection was closed without one.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn read(stream: &mut TcpStream) -> Answer {
        let mut bytes = Vec::new();
        match stream.read_to_end(&mut bytes) {
            Ok(_) => {}
            // So a connection ends whose sent bytes were not all read.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("no answer: {error}"),
        }
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else {
            return Answer { status: 0, head: String::new(), body: bytes };
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: bytes[end + 4..].to_vec() }
    }

    fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn assert_refused(&self, status: u16, says: &str) {
        assert_eq!(self.status, status, "{says}: {}", self.text());
        assert!(self.text().contains(says), "'{says}' is not in: {}", self.text());
    }
}

/// A run on a few digits at the smallest size.
fn small_run(workplace: &Workplace) -> PathBuf {
    path_from(workplace.train(&workplace.extract(), &["--epochs=2"]))
}

fn run_flag(run: &Path) -> String {
    format!("--run={}", run.display())
}

/// The PNGs of the first test digits.
fn digit_files(workplace: &Workplace, count: usize) -> Vec<PathBuf> {
    let digits = Digits::first("t10k", count);
    let write = |(index, pixels): (usize, &[u8])| {
        let path = workplace.path(&format!("digit-{index}.png"));
        image::GrayImage::from_raw(28, 28, pixels.to_vec()).unwrap().save(&path).unwrap();
        path
    };
    digits.pixels.chunks(784).enumerate().map(write).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// The body of an inference request with binary pixels, and its headers.
fn inference(count: usize, pixels: &[u8]) -> (Vec<u8>, String) {
    let json = json!({
        "id": "a",
        "inputs": [{
            "name": "images", "datatype": "UINT8", "shape": [count, 28, 28],
            "parameters": {"binary_data_size": pixels.len()},
        }],
        "outputs": [{"name": "probabilities"}],
    });
    let json = json.to_string().into_bytes();
    let length = json.len().to_string();
    ([json, pixels.to_vec()].concat(), length)
}

/// All ways into the server give the probabilities that `run` gives.
#[test]
fn answers_are_those_of_the_command_line() {
    let workplace = Workplace::new();
    let run = small_run(&workplace);
    let files = digit_files(&workplace, 3);
    let mut command = vgg_classify(["run", "--format=json", &run_flag(&run)]);
    let classified = finish({
        command.arg("--weights").arg(weights()).args(&files);
        command
    });
    assert_eq!(classified.code, Some(0), "{classified:?}");
    let expected: Vec<Vec<f64>> = classified
        .stdout
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let probabilities = line["probabilities"].as_object().unwrap();
            (0..10).map(|class| probabilities[&class.to_string()].as_f64().unwrap()).collect()
        })
        .collect();
    let served = Served::start(&[&run_flag(&run)], &[]);

    let bytes: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    for (bytes, expected) in bytes.iter().zip(&expected) {
        let answer = served.post("/classify", bytes).json();
        assert_eq!(&numbers(&answer["probabilities"]), expected);
        let best = answer["top"][0]["class"].as_u64().unwrap() as usize;
        assert!(expected.iter().all(|&other| other <= expected[best]));
        assert_eq!(answer["top"][0]["name"], best.to_string());
        assert!(answer["milliseconds"].as_f64().unwrap() > 0.0);
    }

    let text = b"no image".repeat(1 << 19);
    let mut form = Vec::new();
    for (name, content) in [("a.png", &bytes[0][..]), ("b.txt", &text), ("c.png", &bytes[1])] {
        form.extend(b"--limit\r\ncontent-disposition: form-data; name=\"file\"; filename=\"");
        form.extend(name.as_bytes());
        form.extend(b"\"\r\n\r\n");
        form.extend(content);
        form.extend(b"\r\n");
    }
    form.extend(b"--limit--\r\n");
    let kind = [("content-type", "multipart/form-data; boundary=limit")];
    let answer = served.request("POST", "/classify", &kind, &form).json();
    let images = answer["images"].as_array().unwrap();
    assert_eq!(
        images.iter().map(|it| &it["name"]).collect::<Vec<_>>(),
        ["a.png", "b.txt", "c.png"]
    );
    assert_eq!(numbers(&images[0]["probabilities"]), expected[0]);
    assert!(images[1]["error"].as_str().unwrap().contains("b.txt begins with 'no imageno i'"));
    assert_eq!(numbers(&images[2]["probabilities"]), expected[1]);

    let name = run.file_name().unwrap().to_str().unwrap();
    let path = format!("/v2/models/{name}/infer");
    let pixels = Digits::first("t10k", 3).pixels;
    let (body, length) = inference(3, &pixels);
    let headers = [("inference-header-content-length", &*length)];
    let answer = served.request("POST", &path, &headers, &body).json();
    assert_eq!((&answer["id"], &answer["model_name"]), (&json!("a"), &json!(name)));
    let output = &answer["outputs"][0];
    assert_eq!((&output["shape"], &output["datatype"]), (&json!([3, 10]), &json!("FP32")));
    let single: Vec<f64> = expected.concat().iter().map(|&it| f64::from(it as f32)).collect();
    assert_eq!(numbers(&output["data"]), single);

    let drawing = br#"{"strokes": [[[100, 20], [100, 200]]]}"#;
    let kind = [("content-type", "application/json")];
    let answer = served.request("POST", "/classify", &kind, drawing).json();
    let seen: Vec<u8> = serde_json::from_value(answer["seen"]["pixels"].clone()).unwrap();
    // As a file, what was seen gives the same.
    let path = workplace.path("seen.png");
    image::GrayImage::from_raw(28, 28, seen).unwrap().save(&path).unwrap();
    let of_file = served.post("/classify", &fs::read(path).unwrap()).json();
    assert_eq!(of_file["probabilities"], answer["probabilities"]);
}

#[test]
fn the_test_split_is_shown_mistakes_first() {
    let workplace = Workplace::new();
    let cache = workplace.extract();
    let run = path_from(workplace.train(&cache, &["--epochs=1"]));
    let served = Served::start(&[&run_flag(&run)], &[]);
    let found = served.get("/test?count=100").json();
    let rows = found["rows"].as_array().unwrap();
    assert_eq!((found["images"].as_u64(), rows.len()), (Some(7), 7));
    let labels = Digits::first("t10k", 7).labels;
    let wrong = |row: &Value| row["label"] != row["predicted"];
    assert_eq!(
        found["mistakes"].as_u64().unwrap() as usize,
        rows.iter().filter(|row| wrong(row)).count()
    );
    for row in rows {
        let index = row["row"].as_u64().unwrap() as usize;
        assert_eq!(row["label"], labels[index].to_string());
        assert_eq!(row["right"], !wrong(row));
    }
    for pair in rows.windows(2) {
        let probability = |row: &Value| row["probability"].as_f64().unwrap();
        match (wrong(&pair[0]), wrong(&pair[1])) {
            (true, true) => assert!(probability(&pair[0]) >= probability(&pair[1])),
            (false, false) => assert!(probability(&pair[0]) <= probability(&pair[1])),
            (first, second) => assert!(first && !second),
        }
    }
    // The images are those of the dataset.
    let png = served.get("/test/3").body;
    let image = image::load_from_memory(&png).unwrap().into_luma8();
    assert_eq!(image.as_raw(), &Digits::first("t10k", 7).pixels[3 * 784..4 * 784]);
    served.get("/test/7").assert_refused(404, "7 images");
    served.get("/test/x").assert_refused(400, "");

    // What is not there any more is said.
    fs::rename(workplace.path("digits"), workplace.path("elsewhere")).unwrap();
    let served = Served::start(&[&run_flag(&run)], &[]);
    let missing = served.get("/test").json()["missing"].as_str().unwrap().to_owned();
    assert!(missing.contains("digits"), "{missing}");
    fs::remove_dir_all(&cache).unwrap();
    let served = Served::start(&[&run_flag(&run)], &[]);
    let missing = served.get("/test").json()["missing"].as_str().unwrap().to_owned();
    assert!(missing.contains("not there any more"), "{missing}");
    served.get("/test/0").assert_refused(404, "not there any more");
}

#[test]
fn what_is_not_allowed_is_refused_and_the_server_goes_on() {
    let workplace = Workplace::new();
    let run = small_run(&workplace);
    let name = run.file_name().unwrap().to_str().unwrap().to_owned();
    let served = Served::start(&[&run_flag(&run)], &[]);
    let digit = fs::read(&digit_files(&workplace, 1)[0]).unwrap();

    // Bodies.
    served
        .send(
            format!(
                "POST /classify HTTP/1.1\r\nhost: {}\r\ncontent-length: 9999999999\r\n\r\n",
                served.address
            )
            .as_bytes(),
        )
        .assert_refused(413, "more than");
    let chunk = [b"100000\r\n".to_vec(), vec![0; 0x10_0000], b"\r\n".to_vec()].concat();
    let mut stream = served.connect();
    write!(stream, "POST /classify HTTP/1.1\r\nhost: {}\r\n", served.address).unwrap();
    stream.write_all(b"transfer-encoding: chunked\r\n\r\n").unwrap();
    let sent = (0..40).take_while(|_| stream.write_all(&chunk).is_ok()).count();
    let answer = Answer::read(&mut stream);
    assert!(answer.status == 413 || (answer.status == 0 && sent < 40), "{answer:?} {sent}");
    served.assert_alive();
    served.post("/classify", b"").assert_refused(415, "is empty");
    served.post("/classify", b"no image").assert_refused(415, "expected a JPEG");
    served.post("/classify", &digit[..digit.len() / 2]).assert_refused(422, "damaged");
    served.post("/classify", &bomb()).assert_refused(413, "60000x60000 pixels");
    for kind in ["application/json", "multipart/form-data; boundary=x", "multipart/form-data"] {
        let answer = served.request("POST", "/classify", &[("content-type", kind)], &digit);
        answer.assert_refused(400, "error");
    }
    let compressed = [("content-encoding", "gzip")];
    served.request("POST", "/classify", &compressed, &digit).assert_refused(415, "compressed");
    served.assert_alive();

    // Names and origins.
    for host in ["example.com", "example.com:7860", "127.0.0.1.example.com", "192.0.2.1", ""] {
        for path in ["/", "/v2/health/ready"] {
            let answer = served.request("GET", path, &[("host", host)], b"");
            answer.assert_refused(403, "does not answer to the name");
        }
    }
    served.send(b"GET / HTTP/1.0\r\n\r\n").assert_refused(400, "names no host");
    served
        .send(b"GET http://example.com/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .assert_refused(403, "example.com");
    for origin in ["http://example.com", "null", "http://localhost:1", "http://127.0.0.1"] {
        for (method, path) in [("POST", "/classify"), ("GET", "/model"), ("OPTIONS", "/classify")] {
            let answer = served.request(method, path, &[("origin", origin)], &digit);
            answer.assert_refused(403, "may not use this server");
        }
    }
    let foreign = [("sec-fetch-site", "cross-site")];
    served.request("POST", "/classify", &foreign, &digit).assert_refused(403, "may not");
    let own = format!("http://{}", served.address);
    assert_eq!(served.request("POST", "/classify", &[("origin", &own)], &digit).status, 200);
    let port = served.address.rsplit(':').next().unwrap();
    for host in [format!("localhost:{port}"), format!("[::1]:{port}")] {
        assert_eq!(served.request("GET", "/", &[("host", &host)], b"").status, 200);
    }

    // Addresses and forms of requests.
    served.get("/nothing").assert_refused(404, "nothing at /nothing");
    served.get("/../../etc/passwd").assert_refused(404, "nothing at");
    assert_eq!(served.get("/classify").status, 405);
    served.get("/v2/models/other").assert_refused(404, &name);
    served.get("/v2/models/%ff").assert_refused(400, "");
    let infer = format!("/v2/models/{name}/infer");
    served.post(&infer, b"{}").assert_refused(400, "inputs");
    served.post(&infer, &[0xff; 100]).assert_refused(400, "JSON");
    let (body, _) = inference(1, &[0; 784]);
    for length in ["x", "-1", "99999999999999999999", "100000"] {
        let headers = [("inference-header-content-length", length)];
        served.request("POST", &infer, &headers, &body).assert_refused(400, "length of the body");
    }
    let (body, length) = inference(2, &[0; 784]);
    let headers = [("inference-header-content-length", &*length)];
    served.request("POST", &infer, &headers, &body).assert_refused(400, "needs 1568");
    served.post("/heatmap?class=10", &digit).assert_refused(404, "10 classes");
    served.post("/heatmap", &digit).assert_refused(400, "class");
    for nonsense in [&b"nonsense\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00", &[0; 300_000]] {
        let answer = served.send(nonsense);
        assert!([0, 400, 431].contains(&answer.status), "{answer:?}");
    }
    let long = format!("/{}", "a".repeat(1 << 20));
    assert!([0, 404, 414, 431].contains(&served.get(&long).status));
    served.assert_alive();

    // Every answer forbids the page to load anything from elsewhere.
    for path in ["/", "/page.js", "/nothing"] {
        let head = served.get(path).head;
        assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
        assert!(head.contains("cross-origin-resource-policy: same-origin"), "{head}");
    }
    assert_eq!(served.post("/classify", &digit).status, 200);
}

/// A PNG of 60000×60000 pixels of one colour in some hundred kilobytes.
fn bomb() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let row = vec![0; 60_001];
    for _ in 0..2000 {
        encoder.write_all(&row).unwrap();
    }
    let pixels = encoder.finish().unwrap();
    bytes.extend(b"\x89PNG\r\n\x1a\n");
    let header =
        [&60_000u32.to_be_bytes()[..], &60_000u32.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    for (kind, content) in [(b"IHDR", &header), (b"IDAT", &pixels), (b"IEND", &Vec::new())] {
        let mut sum = flate2::Crc::new();
        sum.update(kind);
        sum.update(content);
        bytes.extend((content.len() as u32).to_be_bytes());
        bytes.extend(kind);
        bytes.extend(content);
        bytes.extend(sum.sum().to_be_bytes());
    }
    bytes
}

#[test]
fn slow_idle_and_lost_clients_cost_nothing() {
    let workplace = Workplace::new();
    let run = small_run(&workplace);
    let served = Served::start(&[&run_flag(&run)], &[]);
    let digit = fs::read(&digit_files(&workplace, 1)[0]).unwrap();

    let idle: Vec<TcpStream> = (0..100).map(|_| served.connect()).collect();
    let whole = served.bytes_of("POST", "/classify", &[], &digit);
    let head = whole.len() - digit.len();
    let started = Instant::now();
    // One sends its headers a byte at a time, another its body; neither ever ends.
    let (in_head, in_body) = thread::scope(|scope| {
        let slow = |from: usize| {
            let mut stream = served.connect();
            stream.write_all(&whole[..from]).unwrap();
            for byte in &whole[from..from + 40] {
                if stream.write_all(&[*byte]).is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(100));
            }
            Answer::read(&mut stream)
        };
        let in_head = scope.spawn(move || slow(20));
        let in_body = scope.spawn(move || slow(head + 1));
        // Meanwhile others are answered.
        while started.elapsed() < Duration::from_secs(TIMEOUT) {
            assert_eq!(served.post("/classify", &digit).status, 200);
        }
        (in_head.join().unwrap(), in_body.join().unwrap())
    });
    assert!([0, 408].contains(&in_head.status), "{in_head:?}");
    in_body.assert_refused(408, "did not come within 2 seconds");
    assert!(started.elapsed() < Duration::from_secs(3 * TIMEOUT), "{:?}", started.elapsed());
    for mut stream in idle {
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "idle connections are closed");
    }
    // An idle connection that has been answered is closed likewise.
    let mut kept = served.connect();
    write!(kept, "GET /v2/health/live HTTP/1.1\r\nhost: {}\r\n\r\n", served.address).unwrap();
    assert_eq!(Answer::read(&mut kept).status, 200);

    // Clients that go away in the middle of a request, and before they have their answer.
    for end in [10, head, head + 7, whole.len()] {
        for _ in 0..20 {
            served.connect().write_all(&whole[..end]).unwrap();
        }
    }
    assert_eq!(served.post("/classify", &digit).status, 200);
}

#[test]
fn a_full_queue_is_said() {
    let workplace = Workplace::new();
    let run = small_run(&workplace);
    // One image at a time is slower than they are read, so that the queue fills.
    let served = Served::start(&[&run_flag(&run)], &["--batch-size=1"]);
    let digit = fs::read(&digit_files(&workplace, 1)[0]).unwrap();
    let path = format!("/v2/models/{}/infer", run.file_name().unwrap().to_str().unwrap());
    let (body, length) = inference(700, &[7; 700 * 784]);
    let headers = [("inference-header-content-length", &*length)];
    thread::scope(|scope| {
        let many = scope.spawn(|| served.request("POST", &path, &headers, &body));
        let busy = (0..1000).map(|_| served.post("/classify", &digit)).find(|it| it.status != 200);
        let busy = busy.unwrap();
        busy.assert_refused(503, "too many requests are waiting");
        assert!(busy.head.contains("retry-after: 1"), "{}", busy.head);
        let output = &many.join().unwrap().json()["outputs"][0];
        assert_eq!(output["shape"], json!([700, 10]));
    });
    assert_eq!(served.post("/classify", &digit).status, 200);
}

#[test]
fn ctrl_c_finishes_what_is_running() {
    let workplace = Workplace::new();
    let run = small_run(&workplace);
    let mut served = Served::start(&[&run_flag(&run)], &["--batch-size=8", "--timeout=60"]);
    let path = format!("/v2/models/{}/infer", run.file_name().unwrap().to_str().unwrap());
    let (body, length) = inference(200, &[7; 200 * 784]);
    let headers = [("inference-header-content-length", &*length)];
    let idle = served.connect();
    let request = served.bytes_of("POST", &path, &headers, &body);
    let mut stream = served.connect();
    stream.write_all(&request).unwrap();
    thread::sleep(Duration::from_millis(200));
    let started = Instant::now();
    served.interrupt();
    let answer = Answer::read(&mut stream);
    assert_eq!(answer.json()["outputs"][0]["shape"], json!([200, 10]));
    let (code, said) = served.end();
    // Nothing was left undone, and a server has no other end.
    assert_eq!(code, Some(0), "{said}");
    assert!(started.elapsed() < Duration::from_secs(10), "an idle connection is not waited for");
    assert!(TcpStream::connect(&served.address).is_err());
    drop(idle);
}

/// A client that never ends does not keep the server from ending.
#[test]
fn ctrl_c_does_not_wait_for_ever() {
    let workplace = Workplace::new();
    let run = small_run(&workplace);
    let mut served = Served::start(&[&run_flag(&run)], &["--timeout=600"]);
    let mut stream = served.connect();
    let request = served.bytes_of("POST", "/classify", &[], &[0; 100]);
    stream.write_all(&request[..request.len() - 1]).unwrap();
    thread::sleep(Duration::from_millis(300));
    let started = Instant::now();
    served.interrupt();
    let (code, said) = served.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("1 requests were cut off"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn an_address_that_cannot_be_had_is_refused() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let command = vgg_classify(["serve", "--port", &port]);
    assert_refused(command, USAGE, &[&format!("127.0.0.1:{port}"), "in use", "--port"]);
    let command = vgg_classify(["serve", "--port=0", "--bind=192.0.2.1"]);
    assert_refused(command, USAGE, &["192.0.2.1:0", "assign"]);
    let command = vgg_classify(["serve", "--bind=localhost"]);
    assert_refused(command, USAGE, &["--bind"]);
}

/// With another address than the loopback one, other machines may connect, by address or by a name that is given.
#[test]
fn names_are_given_with_an_address_for_others() {
    let workplace = Workplace::new();
    let run = small_run(&workplace);
    let open = ["--bind=0.0.0.0", "--host=lab.example.com"];
    let mut served = Served::start(&[&run_flag(&run)], &open);
    served.address = served.address.replace("0.0.0.0", "127.0.0.1");
    for (host, status) in [
        ("lab.example.com", 200),
        ("192.0.2.7:7860", 200),
        ("localhost", 200),
        ("example.com", 403),
    ] {
        assert_eq!(
            served.request("GET", "/model", &[("host", host)], b"").status,
            status,
            "{host}"
        );
    }
}

#[test]
fn memory_does_not_grow() {
    let workplace = Workplace::new();
    let run = small_run(&workplace);
    let served = Served::start(&[&run_flag(&run)], &[]);
    let digit = fs::read(&digit_files(&workplace, 1)[0]).unwrap();
    // The network keeps its weights in two forms, for batches of a few images and for larger ones, and makes each
    // when it first needs it. Single requests may meet in a large batch at any time, or never.
    let (body, length) = inference(200, &[7; 200 * 784]);
    let headers = [("inference-header-content-length", &*length)];
    let path = format!("/v2/models/{}/infer", run.file_name().unwrap().to_str().unwrap());
    assert_eq!(served.request("POST", &path, &headers, &body).status, 200);
    let many = |count: usize| {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..count / 8 {
                        assert_eq!(served.post("/classify", &digit).status, 200);
                        served.post("/classify", b"no image").assert_refused(415, "begins");
                    }
                });
            }
        });
    };
    many(400);
    let before = served.memory();
    many(3200);
    let after = served.memory();
    assert!(after < before + 16.0, "{before} MiB became {after} MiB");
}
