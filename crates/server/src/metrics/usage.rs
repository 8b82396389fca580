//! The gauges of what projects use, and of what they may use.

use std::collections::BTreeSet;

use metrics::gauge;
use viridian_store::{QuotaSource, labels_projects};
use viridian_strategy::{ProjectUsage, QuotaResource};

use super::{PROJECT_QUOTA, PROJECT_USAGE};

/// The projects that have series of their own.
#[derive(Default)]
pub(super) struct UsageGauges {
    shown: BTreeSet<String>,
}

impl UsageGauges {
    /// Sets the gauges of all projects with a quota; of all projects, if metrics are by project.
    pub(super) fn show(&mut self, usage: &[(String, ProjectUsage)], quotas: &QuotaSource) {
        for (project, used) in usage {
            if !self.shows(
                project,
                !quotas.of(project).is_unlimited() || labels_projects(),
            ) {
                continue;
            }
            // Asked each time: the file of credentials may have changed.
            let quota = quotas.of(project);
            for resource in QuotaResource::ALL {
                let labels = [
                    ("project", project.clone()),
                    ("resource", resource.as_str().to_owned()),
                ];
                gauge!(PROJECT_USAGE, &labels).set(used.of(resource) as f64);
                // 0 for none, as in the configuration: a series cannot be taken back.
                let limit = quota.limit(resource).unwrap_or_default();
                gauge!(PROJECT_QUOTA, &labels).set(limit as f64);
            }
        }
    }

    /// Whether a project has series: from the first time on, and as long as there is room, since
    /// callers choose the names of projects.
    fn shows(&mut self, project: &str, is_wanted: bool) -> bool {
        if self.shown.contains(project) {
            return true;
        }
        is_wanted && self.shown.len() < MAX_PROJECTS && self.shown.insert(project.to_owned())
    }
}

const MAX_PROJECTS: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g11_the_number_of_projects_with_series_is_bounded() {
        let mut gauges = UsageGauges::default();
        assert!(!gauges.shows("other", false));
        for number in 0..MAX_PROJECTS {
            assert!(gauges.shows(&format!("p{number}"), true));
        }
        assert!(!gauges.shows("one more", true));
        assert!(gauges.shows("p0", false), "its quota was taken back");
    }
}
