//! The label `project` of metrics.
//!
//! It is off by default, since each project is as many series more as there are states.
//! Callers choose the names of projects, so the number of them is bounded as well.

use std::{
    collections::BTreeSet,
    sync::{Mutex, OnceLock, PoisonError},
};

use metrics::Label;

use super::names::{self, begin_at_zero};

/// Registers the descriptions of the metrics, and sets counters to 0.
pub fn describe() {
    names::describe();
    // With the label there are no series without it: a sum would count everything twice.
    if !labels_projects() {
        begin_at_zero(&[]);
    }
}

/// Gives the metrics of deployments the label `project`, in this process from now on. The
/// first 100 projects have their own series, and all others share `_other`.
pub fn label_projects() {
    PROJECTS.get_or_init(ProjectLabels::default);
}

/// Whether metrics have the label `project`.
pub fn labels_projects() -> bool {
    PROJECTS.get().is_some()
}

/// The labels of a series of a project's deployments.
pub fn project_labels<const N: usize>(
    project: &str,
    labels: [(&'static str, &'static str); N],
) -> Vec<Label> {
    let mut all: Vec<_> = labels
        .into_iter()
        .map(|(key, value)| Label::from_static_parts(key, value))
        .collect();
    all.extend(PROJECTS.get().map(|projects| projects.label(project)));
    all
}

/// The projects that have series of their own.
#[derive(Default)]
struct ProjectLabels {
    own: Mutex<BTreeSet<String>>,
}

impl ProjectLabels {
    fn label(&self, project: &str) -> Label {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if own.contains(project) {
            return Label::new("project", project.to_owned());
        }
        // For ever: a series cannot be taken back, so a place is not given twice.
        if own.len() == MAX_PROJECTS {
            return Label::from_static_parts("project", OTHER_PROJECTS);
        }
        own.insert(project.to_owned());
        drop(own);
        let label = Label::new("project", project.to_owned());
        begin_at_zero(std::slice::from_ref(&label));
        label
    }
}

static PROJECTS: OnceLock<ProjectLabels> = OnceLock::new();
const MAX_PROJECTS: usize = 100;
/// No project has this name: names begin with a letter or a digit.
const OTHER_PROJECTS: &str = "_other";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_projects_have_their_own_series_and_the_rest_share_one() {
        let projects = ProjectLabels::default();
        let label = |number: usize| projects.label(&format!("p{number}")).value().to_owned();
        for number in 0..MAX_PROJECTS {
            assert_eq!(label(number), format!("p{number}"));
        }
        assert_eq!(label(MAX_PROJECTS), OTHER_PROJECTS);
        assert_eq!(label(MAX_PROJECTS + 1), OTHER_PROJECTS);
        assert_eq!(label(0), "p0", "it keeps its place");
    }
}
