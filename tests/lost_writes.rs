//! Power cuts: what was written and not synced is lost, or torn. A preloaded library records what
//! a real server does to its SQLite file, and the test makes the disks that it may leave at any
//! moment.

mod disk_image;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use diesel::{
    Connection as _, QueryableByName, RunQueryDsl as _, SqliteConnection, sql_query,
    sql_types::Text,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tempfile::TempDir;
use tokio::task::JoinSet;

use self::disk_image::{DiskState, read_record};
use crate::harness::{Api, Server, count, named};

/// `VIRIDIAN_POWER_CUTS` says how many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let run = RecordedRun::make(&[]).await;
    let cuts = count("VIRIDIAN_POWER_CUTS", 60) as usize;
    let lost = run.losses(cuts).await;
    assert_eq!(lost, BTreeMap::new());
}

/// As with `synchronous = OFF`, or a disk that syncs nothing: the test above would notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_syncs_nothing_is_found_out() {
    let run = RecordedRun::make(&[("WRITE_LOG_LYING_DISK", "1")]).await;
    let lost = run.losses(20).await;
    assert!(lost.len() > 5, "{lost:?}");
}

/// What a server wrote while callers created deployments, and what it acknowledged.
struct RecordedRun {
    folder: TempDir,
    /// Ids, with how long the record was when the answer was there.
    acknowledged: Vec<(String, u64)>,
}

impl RecordedRun {
    async fn make(environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let library = compile(folder.path());
        let (database, record) = (folder.path().join("v.db"), folder.path().join("record"));
        let server = Server::at(&format!("sqlite:{}", database.display()), |command| {
            command
                .env("LD_PRELOAD", library)
                .env("WRITE_LOG_DATABASE", &database)
                .env("WRITE_LOG", &record)
                .envs(environment.iter().copied());
        })
        .await;
        let api = server.api().await;
        let mut callers = JoinSet::new();
        for _ in 0..4 {
            callers.spawn(create(api.clone(), record.clone()));
        }
        let acknowledged = callers.join_all().await.concat();
        Self {
            folder,
            acknowledged,
        }
    }

    /// Cuts the power at random moments. Returns what is wrong with which of the disks.
    async fn losses(&self, cuts: usize) -> BTreeMap<usize, String> {
        let mut rng = StdRng::seed_from_u64(1);
        let writes = read_record(&self.folder.path().join("record"));
        let first = self.acknowledged.iter().map(|(_, at)| *at).min();
        let first = first.expect("some are acknowledged");
        let begin = writes.iter().position(|it| it.end > first);
        let begin = begin.expect("there is more");
        let moments = (0..cuts).map(|_| rng.random_range(begin..writes.len()));
        let moments: BTreeSet<usize> = moments.collect();
        let mut disk = DiskState::default();
        let mut losses = BTreeMap::new();
        for (moment, write) in writes.into_iter().enumerate() {
            let end = write.end;
            disk.take(write);
            if moments.contains(&moment) {
                let path = self.folder.path().join(format!("cut-{moment}.db"));
                disk.cut(&mut rng, &path);
                if let Some(loss) = self.loss(&path, end).await {
                    losses.insert(moment, loss);
                }
            }
        }
        losses
    }

    /// What is wrong with a disk that was cut when the record was so long.
    async fn loss(&self, path: &Path, end: u64) -> Option<String> {
        let url = format!("sqlite:{}", path.display());
        match viridian_store::check(&url, None).await {
            Ok(check) if check.damages.is_empty() && check.violations.is_empty() => {}
            Ok(check) => return Some(format!("{:?} {:?}", check.damages, check.violations)),
            Err(error) => return Some(error.to_string()),
        }
        let stored = match stored(path) {
            Ok(stored) => stored,
            Err(error) => return Some(error.to_string()),
        };
        let due = self.acknowledged.iter().filter(|(_, at)| *at <= end);
        let lost = due.filter(|(id, _)| !stored.contains(id)).count();
        (lost > 0).then(|| format!("{lost} deployments"))
    }
}

async fn create(api: Api, record: PathBuf) -> Vec<(String, u64)> {
    let mut acknowledged = Vec::new();
    for _ in 0..40 {
        let created = api.create(named()).await.expect("it is created");
        let length = fs::metadata(&record).expect("it is there").len();
        acknowledged.push((created.id, length));
    }
    acknowledged
}

#[derive(QueryableByName)]
struct StoredId {
    #[diesel(sql_type = Text)]
    id: String,
}

fn stored(path: &Path) -> Result<BTreeSet<String>, Box<dyn std::error::Error>> {
    let mut connection = SqliteConnection::establish(&path.display().to_string())?;
    let query = sql_query("SELECT lower(hex(id)) AS id FROM deployments");
    let rows: Vec<StoredId> = query.load(&mut connection)?;
    let with_hyphens = |it: StoredId| uuid::Uuid::parse_str(&it.id).map(|it| it.to_string());
    Ok(rows
        .into_iter()
        .map(with_hyphens)
        .collect::<Result<_, _>>()?)
}

/// Compiles the library into a folder.
fn compile(folder: &Path) -> PathBuf {
    let library = folder.join("write_log.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/lost_writes/write_log.c");
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O1", "-o"]);
    command.arg(&library).arg(source).arg("-ldl");
    let output = command.output().expect("there is a C compiler");
    assert!(output.status.success(), "{output:?}");
    library
}
