//! `serve`: a model as a page and an interface on this machine.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use classify::{Error, ServeConfig, Server};
use terminal::{println, say};

use super::{ServeArgs, extractor_config};

pub(super) fn run(args: &ServeArgs) -> Result<(), Error> {
    let stop = terminal::catch_interrupts();
    // Before the weights are read, which takes longer.
    let server = Server::bind(SocketAddr::new(args.bind, args.port))?;
    let (model, runs) = args.model.read_with_runs()?;
    let file = args.model.model.as_deref().and_then(Path::file_stem);
    let origin = file.or_else(|| runs.as_ref()?.runs()[0].folder().file_name());
    let config = ServeConfig {
        name: origin.map(OsStr::to_string_lossy).unwrap_or_default().into_owned(),
        hosts: args.host.clone(),
        timeout: Duration::from_secs(args.timeout as u64),
        extractor: extractor_config(&model, args.batch_size, args.threads, usize::MAX)?,
    };
    server.run(model, runs, config, stop, |address| {
        println!("http://{address}/");
        say("the page is at the address above; press Ctrl-C to end");
    })
}
