use std::{
    ffi::OsStr,
    fs::{self, File},
    path::Path,
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
};

use nix::sched::{CloneFlags, setns};
use tokio::runtime::{Builder, Runtime};

/// Hosts, each in a network namespace of its own, and a router between them that drops what it is
/// told to. Needs root, and a test that cannot make them fails. All of it is removed when it is
/// dropped, also by a test that fails.
pub(crate) struct TestNetwork {
    router: Namespace,
    hosts: Vec<Host>,
}

/// A host of a [`TestNetwork`].
pub(crate) struct Host {
    namespace: Namespace,
    address: String,
}

/// Which packets a router drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    All,
    /// So many of 100, at random.
    Percent(u8),
}

impl TestNetwork {
    /// `count` hosts, which reach each other.
    pub(crate) fn start(count: usize) -> Self {
        remove_leftovers();
        static NETWORKS: AtomicU32 = AtomicU32::new(0);
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let name = |host: &str| format!("{PREFIX}{}-{number}-{host}", process::id());
        let router = Namespace::create(name("router"));
        router.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
        let mut network = Self {
            router,
            hosts: Vec::new(),
        };
        for place in 0..count {
            let host = Host {
                namespace: Namespace::create(name(&place.to_string())),
                address: format!("10.77.{place}.2"),
            };
            network.connect(place, &host);
            network.hosts.push(host);
        }
        network
    }

    pub(crate) fn host(&self, place: usize) -> &Host {
        &self.hosts[place]
    }

    /// Drops what one host sends to another; the way back stays open.
    pub(crate) fn drop_one_way(&self, from: usize, to: usize, loss: Loss) {
        let (from, to) = (&self.hosts[from].address, &self.hosts[to].address);
        let mut rule = vec!["iptables", "-w", "-A", "FORWARD", "-s", from, "-d", to];
        let probability;
        if let Loss::Percent(percent) = loss {
            probability = (f64::from(percent) / 100.0).to_string();
            rule.extend(["-m", "statistic", "--mode", "random", "--probability"]);
            rule.push(&probability);
        }
        rule.extend(["-j", "DROP"]);
        self.router.run(rule);
    }

    /// Drops what two hosts send to each other.
    pub(crate) fn cut(&self, one: usize, other: usize) {
        self.drop_one_way(one, other, Loss::All);
        self.drop_one_way(other, one, Loss::All);
    }

    /// Drops nothing any longer.
    pub(crate) fn heal(&self) {
        self.router.run(["iptables", "-w", "-F", "FORWARD"]);
    }

    fn connect(&self, place: usize, host: &Host) {
        let (link, gateway) = (format!("to{place}"), format!("10.77.{place}.1"));
        let (router, name) = (&self.router.name, &host.namespace.name);
        let mut pair = Command::new("ip");
        pair.args(["link", "add", &link, "netns", router, "type", "veth"]);
        succeed(pair.args(["peer", "name", "eth0", "netns", name]));
        let of_link = |address: &str| format!("{address}/24");
        self.router
            .run(["ip", "address", "add", &of_link(&gateway), "dev", &link]);
        self.router.run(["ip", "link", "set", &link, "up"]);
        let namespace = &host.namespace;
        namespace.run([
            "ip",
            "address",
            "add",
            &of_link(&host.address),
            "dev",
            "eth0",
        ]);
        namespace.run(["ip", "link", "set", "eth0", "up"]);
        namespace.run(["ip", "link", "set", "lo", "up"]);
        namespace.run(["ip", "route", "add", "default", "via", &gateway]);
    }
}

impl Host {
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The file of its namespace.
    pub(crate) fn namespace(&self) -> String {
        self.namespace.path()
    }

    /// Moves this thread to the host, until what it returns is dropped: its sockets, and the
    /// programs that it starts, are the host's.
    pub(crate) fn enter(&self) -> InsideHost {
        let outside = File::open("/proc/thread-self/ns/net").expect("it is there");
        enter(&self.namespace());
        InsideHost { outside }
    }

    /// A runtime whose sockets are this host's.
    pub(crate) fn runtime(&self) -> Runtime {
        let path = self.namespace();
        Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .on_thread_start(move || enter(&path))
            .build()
            .expect("a runtime")
    }
}

/// A thread that is on a host.
pub(crate) struct InsideHost {
    outside: File,
}

impl Drop for InsideHost {
    fn drop(&mut self) {
        // The thread may be another test's next.
        let _ = setns(&self.outside, CloneFlags::CLONE_NEWNET);
    }
}

/// A network namespace that is removed when it is dropped. What still runs in it keeps it alive,
/// without a name, until it ends.
struct Namespace {
    name: String,
}

impl Namespace {
    fn create(name: String) -> Self {
        succeed(Command::new("ip").args(["netns", "add", &name]));
        Self { name }
    }

    fn path(&self) -> String {
        format!("{NAMESPACES}/{}", self.name)
    }

    fn run<A: AsRef<OsStr>>(&self, command: impl IntoIterator<Item = A>) {
        let mut outer = Command::new("nsenter");
        outer.arg(format!("--net={}", self.path()));
        succeed(outer.args(command));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Without a panic: there may be one already.
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
    }
}

/// Moves this thread into a namespace.
fn enter(path: &str) {
    let namespace = File::open(path).expect("it is there");
    setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter it");
}

/// Of a test that was killed. Its processes have ended.
fn remove_leftovers() {
    let names = fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
    for name in names.filter_map(|it| it.file_name().into_string().ok()) {
        let Some(pid) = name
            .strip_prefix(PREFIX)
            .and_then(|it| it.split('-').next())
        else {
            continue;
        };
        if !Path::new("/proc").join(pid).exists() {
            let _ = Command::new("ip").args(["netns", "del", &name]).status();
        }
    }
}

fn succeed(command: &mut Command) {
    let output = command.output().expect("it can be started");
    assert!(
        output.status.success(),
        "{command:?} (as root?): {output:?}"
    );
}

/// Where `ip netns` keeps them.
const NAMESPACES: &str = "/run/netns";

/// Then the process id, a number, and the host.
const PREFIX: &str = "viridian-";
