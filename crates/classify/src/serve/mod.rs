//! The model as a server on this machine: a page for people, and an interface for programs.
//!
//! ```text
//! connection ─▶ guard ─▶ body ─▶ decode ──input──▶ queue ─▶ classifier ─▶ answer
//!               limits.rs        prepare.rs        batching.rs            routes.rs, protocol_v2.rs
//! ```
//!
//! In: requests, which are not trusted. Out: probabilities, or a refusal that says why. The invariants: what a
//! request may take (bytes, pixels, time) is limited, and so is what all of them take together; a page of
//! another origin cannot use the server; nothing is fetched from anywhere; and images that wait are computed
//! together, but none waits for others to come.
//!
//! One thread owns the classifier. Others decode. The connections share the caller's thread.

mod batching;
pub mod bodies;
mod drawing;
mod limits;
mod prepare;
mod protocol_v2;
mod refusal;
mod routes;
mod test_set;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use backbone::ExtractorConfig;
use head::Ensemble;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use self::batching::Batcher;
use self::limits::{Guard, Limits};
use self::prepare::Decoder;
use self::test_set::TestSet;
use crate::{Error, Model};

/// Most connections at a time. Further ones wait until others are closed.
const CONNECTIONS: usize = 512;
/// How long requests that are being answered have when the server is stopped.
const GRACE: Duration = Duration::from_secs(10);
/// How often the flag that asks for a stop is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How long to wait before the next connection is accepted if the operating system has no file or memory
/// for it.
const PAUSE: Duration = Duration::from_millis(100);

/// How a model is served.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// The model's name in addresses.
    pub name: String,
    /// The names of this machine that requests may use beside its addresses and `localhost`.
    pub hosts: Vec<String>,
    /// How long a client may take to send the headers of a request, and then its body. An idle connection is
    /// closed after that time.
    pub timeout: Duration,
    /// The resources of the classifier.
    pub extractor: ExtractorConfig,
}

/// A server that listens, but does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

/// All that the answers are made of.
struct State {
    name: String,
    class_names: Vec<String>,
    /// Number of heads whose probabilities are averaged.
    heads: usize,
    /// Height and width to which images are brought.
    size: (usize, usize),
    batcher: Batcher,
    decoder: Decoder,
    limits: Limits,
    test_set: Arc<TestSet>,
}

impl Server {
    /// Listens at an address; port 0 takes a free one.
    ///
    /// # Errors
    /// If the port is in use, or the address is not one of this machine.
    pub fn bind(address: SocketAddr) -> Result<Server, Error> {
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Server { listener, address })
    }

    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `stop` becomes true. Requests that are being answered then are finished,
    /// within ten seconds. `runs` are those that the model was made from; their test split is shown. `ready` is
    /// called when the first request can be answered.
    ///
    /// # Errors
    /// If the classifier cannot be built, or requests had to be cut off at the end.
    pub fn run(
        self,
        model: Model,
        runs: Option<Ensemble>,
        config: ServeConfig,
        stop: &AtomicBool,
        ready: impl FnOnce(SocketAddr),
    ) -> Result<(), Error> {
        let threads = config.extractor.threads;
        let class_names = model.class_names().to_vec();
        let image = model.recipe().image;
        let heads = model.heads().len();
        let (batcher, decoder) = Batcher::start(model, config.extractor)?;
        let limits = Limits::new(config.timeout);
        let classifier = batcher.clone();
        let state = Arc::new(State {
            test_set: Arc::new(TestSet::new(runs, threads)),
            name: config.name,
            class_names,
            heads,
            size: (image.height, image.width),
            batcher,
            decoder,
            limits,
        });
        let guard = Arc::new(Guard::new(self.address, config.hosts));
        let app =
            routes::router(state).layer(from_fn_with_state(Arc::clone(&guard), limits::guard));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // They decode. One more reads the test set.
            .max_blocking_threads(threads + 1)
            .build()
            .map_err(|source| Error::Runtime { source })?;
        ready(self.address);
        let stopped = async {
            tokio::select! {
                () = asked(stop) => {}
                () = classifier.ended() => {}
            }
        };
        let cut = runtime.block_on(serve(self.listener, app, config.timeout, &guard, stopped));
        // An image that is being decoded is not waited for.
        runtime.shutdown_background();
        match cut.map_err(|source| Error::Runtime { source })? {
            0 => Ok(()),
            requests => Err(Error::Cut { requests }),
        }
    }
}

/// Accepts connections until `stopped` is ready, then lets those that are busy finish. Returns the number of
/// requests that could not.
async fn serve(
    listener: TcpListener,
    app: Router,
    timeout: Duration,
    guard: &Guard,
    stopped: impl Future<Output = ()>,
) -> io::Result<usize> {
    let mut stopped = pin!(stopped);
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let connections = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(timeout);
    let (cut, is_cut) = watch::channel(());
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, stream) = tokio::select! {
            () = &mut stopped => break,
            (slot, accepted) = next => match accepted {
                Ok((stream, _)) => (slot, stream),
                Err(_) => {
                    sleep(PAUSE).await;
                    continue;
                }
            },
        };
        // Answers are small, and the next stroke of a drawing waits for them.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(app.clone());
        let connection = connections.watch(http.serve_connection(TokioIo::new(stream), service));
        let mut is_cut = is_cut.clone();
        tokio::spawn(async move {
            let _slot = slot;
            // A client that goes away or sends nonsense is its own concern.
            tokio::select! {
                _ = connection => {}
                _ = is_cut.changed() => {}
            }
        });
    }
    drop(listener);
    tokio::select! {
        () = connections.shutdown() => Ok(0),
        () = sleep(GRACE) => {
            let unfinished = guard.running();
            let _ = cut.send(());
            Ok(unfinished)
        }
    }
}

/// Returns when a stop is asked for.
async fn asked(stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        sleep(POLL).await;
    }
}
