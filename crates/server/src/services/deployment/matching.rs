//! Finds deployments by their labels. A call looks at a bounded number of them, through the
//! index in which it finds the fewest: that of one of the labels, or that of the caller's
//! projects.

use tonic::Status;
use uuid::Uuid;
use viridian_store::{DeploymentFilter, Projects, StoreError};
use viridian_strategy::DeploymentId;

use crate::{
    error::store,
    paging::PageRequest,
    scope::{Scope, ScopedReader},
    selector::LabelSelector,
};

/// Where the deployments are found that may match.
enum CandidateSource {
    /// All that the filter takes.
    All,
    /// Those of some projects.
    Projects(Vec<String>),
    /// Those with one of some values of a label.
    Label { key: String, values: Vec<String> },
}

/// Finds the deployments of a page by their labels. Also after which one the next page has to
/// look, if this one has looked at as many as a call may: few of them may match.
pub(super) async fn matching(
    scope: &Scope,
    filter: DeploymentFilter,
    selector: &LabelSelector,
    page: &PageRequest<Uuid>,
) -> Result<(Vec<DeploymentId>, Option<DeploymentId>), Status> {
    let size = page.size as usize;
    let (mut ids, mut after) = (Vec::new(), page.after.map(DeploymentId));
    let mut source = None;
    for _ in 0..MAX_CHUNKS {
        // Given back after each chunk, so that others get their turn.
        let mut reader = scope.reader().await?;
        let chunk = match selector.is_empty() {
            true => i64::from(page.size),
            false => CHUNK,
        };
        let source = match &mut source {
            Some(source) => source,
            unknown => {
                let found = narrowest(&mut reader, &filter, selector, after).await;
                let Some(found) = found.map_err(|error| store(&error))? else {
                    return Ok((ids, None));
                };
                unknown.insert(found)
            }
        };
        let looked = look(&mut reader, source, &filter, after, chunk).await;
        let (rows, last) = looked.map_err(|error| store(&error))?;
        drop(reader);
        for (id, labels) in rows {
            after = Some(id);
            // A row whose labels cannot be read is reported where it is left out.
            if labels.is_none_or(|labels| selector.matches(&labels)) {
                ids.push(id);
            }
            // Also of a full page: rows that cannot be read are still left out of it.
            if ids.len() == size {
                return Ok((ids, after));
            }
        }
        if last.is_none() {
            return Ok((ids, None));
        }
        after = last;
    }
    Ok((ids, after))
}

/// Returns where the fewest candidates are, as far as the first chunk of each shows. None if
/// nothing can match.
async fn narrowest(
    reader: &mut ScopedReader,
    filter: &DeploymentFilter,
    selector: &LabelSelector,
    after: Option<DeploymentId>,
) -> Result<Option<CandidateSource>, StoreError> {
    if selector.is_empty() {
        return Ok(Some(CandidateSource::All));
    }
    for key in selector.required_keys().take(MAX_PROBES) {
        if !reader.has_label_key(key).await? {
            return Ok(None);
        }
    }
    // Each reads a chunk at most, so that the choice costs no more than a few of the looks.
    let labels = selector.indexed().take(MAX_PROBES);
    let mut sources: Vec<_> = labels
        .map(|(key, values)| CandidateSource::Label {
            key: key.to_owned(),
            values: values.to_vec(),
        })
        .collect();
    if let Projects::These(projects) = &filter.projects {
        sources.push(CandidateSource::Projects(projects.clone()));
    }
    // With as many as in a chunk, there may be any number.
    let mut narrowest = (
        CandidateSource::All,
        usize::try_from(CHUNK).unwrap_or(usize::MAX) + 1,
    );
    for source in sources {
        let Some(ids) = candidates(reader, &source, after, CHUNK).await? else {
            continue;
        };
        if ids.len() < narrowest.1 {
            narrowest = (source, ids.len());
        }
    }
    Ok(Some(narrowest.0))
}

/// The labels of some deployments: none where they cannot be read.
type Rows = Vec<(DeploymentId, Option<viridian_store::DeploymentLabels>)>;

/// Looks at the next candidates. Returns those that the filter takes, and after which one to
/// look on: none if there are no more.
async fn look(
    reader: &mut ScopedReader,
    source: &CandidateSource,
    filter: &DeploymentFilter,
    after: Option<DeploymentId>,
    chunk: i64,
) -> Result<(Rows, Option<DeploymentId>), StoreError> {
    let full = |count: usize| i64::try_from(count).unwrap_or(i64::MAX) >= chunk;
    let Some(ids) = candidates(reader, source, after, chunk).await? else {
        let rows = reader.list_deployment_labels(filter.clone(), after, chunk);
        let rows = rows.await?;
        let last = rows.last().map(|(id, _)| *id).filter(|_| full(rows.len()));
        return Ok((rows, last));
    };
    // By the candidates and not by the rows: of a full chunk, the filter may take none.
    let last = ids.last().copied().filter(|_| full(ids.len()));
    let these = DeploymentFilter {
        ids: Some(ids),
        ..filter.clone()
    };
    Ok((
        reader.list_deployment_labels(these, None, chunk).await?,
        last,
    ))
}

/// Returns the next candidates in an index, in the order of ids. None without an index.
async fn candidates(
    reader: &mut ScopedReader,
    source: &CandidateSource,
    after: Option<DeploymentId>,
    limit: i64,
) -> Result<Option<Vec<DeploymentId>>, StoreError> {
    match source {
        CandidateSource::All => Ok(None),
        CandidateSource::Projects(projects) => {
            let found = reader.list_of_projects(projects.clone(), after, limit);
            found.await.map(Some)
        }
        CandidateSource::Label { key, values } => {
            let mut ids = Vec::new();
            for value in values {
                ids.extend(reader.list_labelled(key, value, after, limit).await?);
            }
            // Each value has its own up to the limit: beyond the limit, those of another value
            // may be missing.
            ids.sort_unstable();
            ids.dedup();
            ids.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok(Some(ids))
        }
    }
}

// Not the size of the page: with a selector for few, a small page would take many queries.
const CHUNK: i64 = 500;
/// How many deployments' labels are looked at in one call: `MAX_CHUNKS` × `CHUNK`.
const MAX_CHUNKS: usize = 4;
/// How many requirements of a selector the index is asked for.
const MAX_PROBES: usize = 4;
