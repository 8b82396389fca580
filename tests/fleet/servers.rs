use jiff::{Span, Timestamp, ToSpan as _};
use nix::sys::signal::Signal;

use crate::harness::{Server, ServerUrls, set_clock_off};

/// Servers on one database, each in its place: when one is killed, another is
/// started there, with the same clock.
pub(super) struct Servers {
    database: String,
    places: Vec<ServerSlot>,
    server_urls: ServerUrls,
}

struct ServerSlot {
    server: Option<Server>,
    /// By how much its clock is off.
    off: Option<&'static str>,
}

impl Servers {
    /// Starts one for each clock.
    pub(super) async fn start(database: &str, clocks: &[Option<&'static str>]) -> Self {
        let mut servers = Self {
            database: database.to_owned(),
            places: Vec::new(),
            server_urls: ServerUrls::default(),
        };
        for &off in clocks {
            servers.places.push(ServerSlot { server: None, off });
            servers.start_at(servers.places.len() - 1).await;
        }
        servers
    }

    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    /// Where they can be reached.
    pub(super) fn server_urls(&self) -> ServerUrls {
        self.server_urls.clone()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Server> {
        self.places.iter().filter_map(|place| place.server.as_ref())
    }

    /// Kills one without warning, and starts another in its place.
    pub(super) async fn kill(&mut self, place: usize) {
        // Dropped, it is killed.
        drop(self.places[place].server.take());
        self.start_at(place).await;
    }

    /// Stops one as it stands, or has it go on.
    pub(super) fn signal(&self, place: usize, signal: Signal) {
        let server = self.places[place].server.as_ref();
        server.expect("it is there").signal(signal);
    }

    async fn start_at(&mut self, place: usize) {
        let off = self.places[place].off;
        let server = Server::at(&self.database, |command| {
            if let Some(by) = off {
                set_clock_off(command, by);
            }
        });
        let server = server.await;
        expect_clock(&server, off);
        self.places[place].server = Some(server);
        self.server_urls.set(self.all().map(Server::url).collect());
    }
}

/// Asserts that a server's clock is as wrong as it ought to be, by what it logs.
fn expect_clock(server: &Server, off: Option<&str>) {
    let log = server.log();
    let line = log.lines().next().expect("it logs that it serves");
    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let told = line["timestamp"].as_str().expect("a time");
    let told: Timestamp = told.parse().expect("a time");
    let off: Span = off.map_or(Span::new(), |off| off.parse().expect("a span"));
    let error = told.duration_since(Timestamp::now() + off).abs();
    assert!(error < 1.minute().try_into().expect("a time"), "{line}");
}
