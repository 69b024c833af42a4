//! Who may send a request, and how much of the machine it may take.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::refusal::Refusal;

/// Most bytes of a request's body.
pub(super) const MAX_BODY: usize = 32 << 20;
/// Most bytes of the bodies of all requests together.
const ALL_BODIES: usize = 256 << 20;
/// Most bytes of the pixels of a decoded image: 42 million pixels of RGB.
pub(super) const MAX_PIXEL_BYTES: u64 = 128 << 20;

/// With every answer. The page loads nothing from elsewhere, runs no script but its own, and is shown in no
/// other page; images and answers are read by no other page.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// The limits of what requests may take.
#[derive(Debug)]
pub(super) struct Limits {
    timeout: Duration,
    /// Bytes of bodies that may still be read.
    room: Arc<Semaphore>,
}

/// The body of a request. Its room is free again when it is dropped.
pub(super) struct RequestBody {
    pub(super) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Limits {
    pub(super) fn new(timeout: Duration) -> Limits {
        Limits { timeout, room: Arc::new(Semaphore::new(ALL_BODIES)) }
    }

    /// Reads the body of a request, if it is not too large and comes in time.
    pub(super) async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<RequestBody, Refusal> {
        if headers.contains_key(header::CONTENT_ENCODING) {
            return Err(Refusal::Compressed);
        }
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|it| it.to_str().ok());
        if announced.and_then(|it| it.parse().ok()).is_some_and(|len: u64| len > MAX_BODY as u64) {
            return Err(Refusal::TooLarge { limit: MAX_BODY });
        }
        let seconds = self.timeout.as_secs();
        let read = timeout(self.timeout, self.collect(body)).await;
        read.unwrap_or(Err(Refusal::TooSlow { seconds }))
    }

    /// Room is taken as the bytes come, so that a client that announces many and sends few takes little.
    async fn collect(&self, mut body: Body) -> Result<RequestBody, Refusal> {
        let mut bytes = Vec::new();
        let mut room: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Refusal::Incomplete)?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > MAX_BODY {
                return Err(Refusal::TooLarge { limit: MAX_BODY });
            }
            let more = Arc::clone(&self.room).try_acquire_many_owned(data.len() as u32);
            let more = more.map_err(|_| Refusal::Busy)?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
            bytes.extend_from_slice(&data);
        }
        Ok(RequestBody { bytes: bytes.into(), _room: room })
    }
}

/// Decides which requests are answered.
///
/// A page elsewhere can make a browser send requests to this machine. If it does so by a name that its owner
/// has made point here (DNS rebinding), `Host` has that name. If it does so openly, `Origin` or
/// `Sec-Fetch-Site` tell.
#[derive(Debug)]
pub(super) struct Guard {
    /// Whether only this machine can connect.
    loopback: bool,
    hosts: Vec<String>,
    /// Number of requests that are being answered.
    running: AtomicUsize,
}

impl Guard {
    pub(super) fn new(address: SocketAddr, hosts: Vec<String>) -> Guard {
        Guard { loopback: address.ip().is_loopback(), hosts, running: AtomicUsize::new(0) }
    }

    /// Number of requests that are being answered.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    fn check(&self, request: &Request) -> Result<(), Refusal> {
        let headers = request.headers();
        let host = text(headers, &header::HOST).ok_or(Refusal::NoHost)?;
        // An absolute address in the first line counts more than the header (RFC 9112, 3.2.2).
        let absolute = request.uri().authority().map(Authority::as_str);
        for authority in [Some(host), absolute].into_iter().flatten() {
            if !self.is_ours(authority) {
                return Err(Refusal::OtherHost(shown(authority)));
            }
        }
        if let Some(origin) = headers.get(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or_default();
            // Behind a proxy that encrypts, the page's address begins with https.
            let own = ["http://", "https://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
            if !own.is_some_and(|authority| authority.eq_ignore_ascii_case(host)) {
                return Err(Refusal::OtherOrigin(shown(origin)));
            }
        }
        let site = text(headers, &HeaderName::from_static("sec-fetch-site"));
        let foreign = site.is_some_and(|site| !matches!(site, "same-origin" | "none"));
        if foreign && !request.method().is_safe() {
            return Err(Refusal::OtherOrigin("another address".to_owned()));
        }
        Ok(())
    }

    /// Whether an authority, `name:port`, is a name or an address of this server. Any port is: it may be
    /// forwarded.
    fn is_ours(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<Authority>() else { return false };
        let host = authority.host();
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if let Ok(address) = address.unwrap_or(host).parse::<IpAddr>() {
            // A name can be made to point here. A foreign address cannot.
            return address.is_loopback() || !self.loopback;
        }
        host.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
    }
}

/// Lets requests through that may be answered, and adds the headers that every answer has.
pub(super) async fn guard(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    /// Counts down also if the client goes away while its request is being answered.
    struct Running<'a>(&'a AtomicUsize);
    impl Drop for Running<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    guard.running.fetch_add(1, Ordering::SeqCst);
    let _running = Running(&guard.running);
    let mut response = match guard.check(&request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// The start of a header that is shown in an answer.
fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard_at(address: &str, hosts: &[&str]) -> Guard {
        let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        Guard::new(address.parse().unwrap(), hosts)
    }

    fn request(headers: &[(&str, &str)]) -> Request {
        let builder = Request::post("/classify");
        let builder = headers.iter().fold(builder, |it, (name, value)| it.header(*name, *value));
        builder.body(Body::empty()).unwrap()
    }

    #[test]
    fn only_names_of_this_machine_are_answered() {
        let guard = guard_at("127.0.0.1:7860", &[]);
        for own in ["localhost", "LOCALHOST:1", "127.0.0.1:7860", "127.9.9.9", "[::1]:7860"] {
            assert!(guard.is_ours(own), "{own}");
        }
        for other in
            ["example.com:7860", "localhost.example.com", "192.168.1.2", "", "a@b@c", "[::2]"]
        {
            assert!(!guard.is_ours(other), "{other}");
        }
        let open = guard_at("0.0.0.0:7860", &["lab.example.com"]);
        for own in ["192.168.1.2:7860", "lab.example.com", "localhost:7860"] {
            assert!(open.is_ours(own), "{own}");
        }
        assert!(!open.is_ours("evil.example.com"));
    }

    #[test]
    fn other_pages_are_refused() {
        let guard = guard_at("127.0.0.1:7860", &[]);
        let host = ("host", "localhost:7860");
        let own = ("origin", "http://localhost:7860");
        assert!(guard.check(&request(&[host])).is_ok());
        assert!(guard.check(&request(&[host, own])).is_ok());
        assert!(guard.check(&request(&[host, own, ("sec-fetch-site", "same-origin")])).is_ok());
        assert!(matches!(guard.check(&request(&[own])), Err(Refusal::NoHost)));
        for origin in ["null", "http://localhost:8000", "https://example.com", "localhost:7860"] {
            let refused = guard.check(&request(&[host, ("origin", origin)]));
            assert!(matches!(refused, Err(Refusal::OtherOrigin(_))), "{origin}");
        }
        for site in ["cross-site", "same-site", "else"] {
            let refused = guard.check(&request(&[host, ("sec-fetch-site", site)]));
            assert!(matches!(refused, Err(Refusal::OtherOrigin(_))), "{site}");
        }
    }

    #[tokio::test]
    async fn bodies_share_their_room() {
        let limits = Limits::new(Duration::from_secs(5));
        let headers = HeaderMap::new();
        let read = |len: usize| limits.read(&headers, Body::from(vec![0; len]));
        assert!(matches!(read(MAX_BODY + 1).await, Err(Refusal::TooLarge { .. })));
        let mut bodies = Vec::new();
        for _ in 0..ALL_BODIES / MAX_BODY {
            bodies.push(read(MAX_BODY).await.unwrap());
        }
        assert!(matches!(read(1).await, Err(Refusal::Busy)));
        bodies.pop();
        assert_eq!(read(3).await.unwrap().bytes, [0, 0, 0][..]);
    }
}
