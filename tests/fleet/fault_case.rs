use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::sleep};
use viridian_proto::v1::{Deployment, ListDeploymentsRequest, TrafficTable};

use super::{
    kind::{DeploymentCase, REPLICAS},
    operator::{Acknowledged, RandomOperator, RunProgress},
    record::DatabaseRecord,
    tables::{self, TableFollower},
};
use crate::harness::{
    Api, EventFollower, RandomAgent, Server, ServerUrls, SharedAgentState, SharedEvents,
    WAIT_TIMEOUT, eventually, lock_agent, lock_events,
};

/// Many deployments, and all who have to do with them: operators, agents,
/// watchers and proxies. They go from server to server.
pub(super) struct FaultCase {
    url: String,
    since: String,
    progress: Arc<RunProgress>,
    projects: Vec<String>,
    operators: JoinSet<Vec<Acknowledged>>,
    /// Who goes on until the end.
    others: JoinSet<()>,
    agents: Vec<SharedAgentState>,
    watchers: Vec<SharedEvents>,
    proxies: Vec<tables::SharedTables>,
}

impl FaultCase {
    pub(super) async fn begin(url: &str, server_urls: &ServerUrls, deployments: usize) -> Self {
        let record = DatabaseRecord::open(url).await;
        let mut case = Self {
            url: url.to_owned(),
            since: record.now().await,
            progress: Arc::default(),
            projects: (0..PROJECTS).map(|n| format!("project-{n}")).collect(),
            operators: JoinSet::new(),
            others: JoinSet::new(),
            agents: Vec::new(),
            watchers: Vec::new(),
            proxies: Vec::new(),
        };
        for (number, project) in case.projects.iter().enumerate() {
            let seed = number as u64;
            let agent = RandomAgent::new(project, server_urls.clone(), 100 + seed);
            case.agents.push(agent.state());
            case.others.spawn(agent.work());
            let watcher = EventFollower::new(project, server_urls.clone(), 200 + seed);
            case.watchers.push(watcher.seen());
            case.others.spawn(watcher.work());
            let progress = Arc::clone(&case.progress);
            let operator = RandomOperator::new(project, server_urls.clone(), 300 + seed, progress);
            let share = deployments / PROJECTS + usize::from(number < deployments % PROJECTS);
            case.operators.spawn(operator.work(share));
        }
        let proxy = TableFollower::new(server_urls.clone(), 400);
        case.proxies.push(proxy.seen());
        case.others.spawn(proxy.work());
        case
    }

    /// How many calls were answered so far.
    pub(super) fn answered(&self) -> usize {
        self.progress.answered.load(Ordering::Relaxed)
    }

    /// Waits until all deployments are created, and the first get new revisions.
    pub(super) async fn is_there(&self, deployments: usize) {
        while self.answered() <= deployments {
            self.goes_on(1).await;
        }
    }

    /// Waits until so many more calls are answered.
    pub(super) async fn goes_on(&self, calls: usize) {
        let goal = self.answered() + calls;
        eventually("more calls that are answered", async || {
            (self.answered() >= goal).then_some(())
        })
        .await;
    }

    /// Asserts that the invariants hold, and that nobody has given up.
    pub(super) async fn holds(&mut self) {
        self.nobody_is_surprised();
        if let Some(ended) = self.operators.try_join_next() {
            panic!("an operator gave up: {:?}", ended.err());
        }
        DatabaseRecord::open(&self.url).await.check(None).await;
    }

    /// Lets all that was begun come to its end, and looks at what has become of
    /// it.
    pub(super) async fn end(mut self, servers: impl Iterator<Item = &Server>) -> CaseSummary {
        self.progress.over.store(true, Ordering::Relaxed);
        let record = DatabaseRecord::open(&self.url).await;
        let ending = Instant::now();
        self.rests(&record).await;
        let took = ending.elapsed();
        let mut told = Vec::new();
        while let Some(operator) = self.operators.join_next().await {
            told.extend(operator.expect("no operator is surprised"));
        }
        record.check(Some(GRACE)).await;
        record.no_route_is_one_too_many().await;
        let rollouts = record.each_move_happened_once().await;
        record.keeps(&told).await;
        record.has_nothing_else(&told).await;
        record.is_of_one_clock(&self.since).await;
        for (project, state) in self.projects.iter().zip(&self.agents) {
            let running = lock_agent(state).running().clone();
            assert_eq!(record.running(project).await, running, "{project}");
        }
        let mut views = Vec::new();
        for server in servers {
            views.push(ClientView::of(&server.api().await, &self.projects).await);
        }
        let view = views.pop().expect("there are servers");
        for other in views {
            assert_eq!(view, other, "the servers agree");
        }
        self.everybody_knows(&view).await;
        self.nobody_is_surprised();
        CaseSummary {
            deployments: view.deployments.len(),
            rollouts,
            calls: told.len(),
            events: sum(&self.watchers, |it| lock_events(it).events),
            watches: sum(&self.watchers, |it| lock_events(it).watches),
            agents: sum(&self.agents, |it| lock_agent(it).connections()),
            took,
        }
    }

    /// Asserts that all who go on for ever do so.
    fn nobody_is_surprised(&mut self) {
        if let Some(ended) = self.others.try_join_next() {
            panic!("someone gave up: {:?}", ended.err());
        }
    }

    /// Waits until nothing is left to be done, for as long as something happens.
    async fn rests(&mut self, record: &DatabaseRecord) {
        let mut last = (String::new(), Instant::now());
        while let Some(left) = record.left().await {
            self.nobody_is_surprised();
            if left != last.0 {
                last = (left, Instant::now());
            }
            let (left, since) = &last;
            assert!(since.elapsed() < WAIT_TIMEOUT, "nothing happens: {left}");
            sleep(PAUSE).await;
        }
    }

    /// Asserts that those who watch have come to know all of it, and that what a
    /// proxy saw was never too little.
    async fn everybody_knows(&self, view: &ClientView) {
        for (number, project) in self.projects.iter().enumerate() {
            let own = view
                .deployments
                .values()
                .filter(|it| &it.project == project);
            let expected: BTreeMap<_, _> = own.map(|it| (it.id.clone(), it.sequence)).collect();
            eventually(format_args!("all events of {project}"), async || {
                let seen = lock_events(&self.watchers[number]);
                let known: BTreeMap<_, _> = seen.last.clone().into_iter().collect();
                (known == expected).then_some(())
            })
            .await;
        }
        for proxy in &self.proxies {
            eventually("all tables", async || {
                let seen = tables::lock(proxy);
                let knows = |(id, table): (&String, &viridian_proto::v1::TrafficTable)| {
                    let table = tables::without_preview(table.clone());
                    seen.get(id).is_some_and(|it| it.table == table)
                };
                view.tables.iter().all(knows).then_some(())
            })
            .await;
            for (id, seen) in tables::lock(proxy).iter() {
                // There may be others that have no routes.
                let Some(deployment) = view.deployments.get(id) else {
                    continue;
                };
                let (least, most) = seen.range.expect("it had all endpoints once");
                let all = REPLICAS as usize;
                let kind = DeploymentCase::of_name(&deployment.name);
                let spare = usize::from(kind == DeploymentCase::Rolling);
                assert!(least >= all && most <= all + spare, "{kind:?}: {seen:?}");
            }
        }
    }
}

/// What it came to.
#[derive(Debug)]
pub(super) struct CaseSummary {
    pub(super) deployments: usize,
    /// How many revisions were activated, and promoted or rolled back.
    pub(super) rollouts: i64,
    /// How many calls that change something were answered.
    pub(super) calls: usize,
    pub(super) events: usize,
    /// How often a watch was begun or went on.
    pub(super) watches: usize,
    /// How often an agent connected.
    pub(super) agents: usize,
    /// How long it took to come to rest.
    pub(super) took: Duration,
}

impl CaseSummary {
    #[expect(clippy::print_stderr, reason = "the figures of a long run")]
    pub(super) fn tell(&self, what: &str) {
        let Self {
            deployments,
            rollouts,
            calls,
            events,
            watches,
            agents,
            took,
        } = self;
        eprintln!(
            "{what}: {deployments} deployments had {rollouts} rollouts; {calls} calls were answered; \
             {events} events were seen by {watches} watches; agents connected {agents} times; \
             all was at rest after {took:?}"
        );
    }
}

/// What one server says of everything.
#[derive(Debug, PartialEq)]
struct ClientView {
    deployments: BTreeMap<String, Deployment>,
    tables: BTreeMap<String, TrafficTable>,
}

impl ClientView {
    async fn of(api: &Api, projects: &[String]) -> Self {
        let mut deployments = BTreeMap::new();
        for project in projects {
            let mut request = ListDeploymentsRequest {
                project: project.clone(),
                page_size: 500,
                ..ListDeploymentsRequest::default()
            };
            loop {
                let page = api.deployments().list_deployments(request.clone()).await;
                let page = page.expect("they can be listed").into_inner();
                let all = page.deployments.into_iter();
                deployments.extend(all.map(|it| (it.id.clone(), it)));
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
        }
        let mut tables = BTreeMap::new();
        let mut present = api.watch_all().await;
        while tables.len() < deployments.len() {
            let table = present.next().await.expect("a present table");
            // There may be others that are nobody's.
            if deployments.contains_key(&table.deployment_id) {
                tables.insert(table.deployment_id.clone(), table);
            }
        }
        Self {
            deployments,
            tables,
        }
    }
}

fn sum<T>(of: &[T], count: impl Fn(&T) -> usize) -> usize {
    of.iter().map(count).sum()
}

const PROJECTS: usize = 8;

/// How long something may be due once all is at rest.
const GRACE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);
