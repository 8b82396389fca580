//! The calls that make a deployment what it ought to be.

use prost_types::FieldMask;
use viridian_proto::v1::{CreateDeploymentRequest, CreateRevisionRequest, UpdateDeploymentRequest};

use super::{DeploymentSettings, PresentSettings, is_within, present::strategy_name};

impl DeploymentSettings {
    /// Asks for a new deployment, of one replica if nobody says otherwise; what
    /// belongs to the call is added.
    pub(in crate::deployment) fn creation(&self) -> CreateDeploymentRequest {
        let mut request = self.request.clone();
        if !self.names("target_replicas") {
            request.target_replicas = 1;
        }
        request
    }

    /// Asks for a new revision; the same.
    pub(in crate::deployment) fn new_revision(&self) -> CreateRevisionRequest {
        CreateRevisionRequest {
            spec: self.request.initial_revision.clone(),
            activate: true,
            ..CreateRevisionRequest::default()
        }
    }

    /// Asks for what was named to be so. What was not stays as it is, whoever
    /// changes it meanwhile.
    pub(in crate::deployment) fn update(
        &self,
        present: &PresentSettings,
    ) -> UpdateDeploymentRequest {
        UpdateDeploymentRequest {
            target_replicas: self.request.target_replicas,
            policy: self.request.policy,
            labels: self.request.labels.clone(),
            revision_history_limit: self.request.revision_history_limit,
            update_mask: Some(FieldMask {
                paths: self.mask(present.strategy),
            }),
            ..UpdateDeploymentRequest::default()
        }
    }

    /// A strategy that is new is named as a whole, and so is the gate's timeout,
    /// whose parts mean nothing alone.
    fn mask(&self, present: Option<&str>) -> Vec<String> {
        let policy = self.request.policy.as_ref();
        let strategy = policy.and_then(|it| it.strategy.as_ref());
        let strategy = strategy.map(strategy_name).unwrap_or_default();
        let whole_strategy = format!("policy.{strategy}");
        let path = |named: &String| {
            if !UPDATED.iter().any(|field| is_within(named, field)) {
                None
            } else if is_within(named, &whole_strategy) && present != Some(strategy) {
                Some(whole_strategy.clone())
            } else if *named == whole_strategy || named == "policy" {
                // It is that one already, and nothing of it was named.
                None
            } else if is_within(named, GATE_TIMEOUT) {
                Some(GATE_TIMEOUT.to_owned())
            } else {
                Some(named.clone())
            }
        };
        let mut paths: Vec<_> = self.named.iter().filter_map(path).collect();
        paths.sort();
        paths.dedup();
        paths
    }
}

/// The settings that can be changed.
const UPDATED: [&str; 4] = [
    "target_replicas",
    "policy",
    "labels",
    "revision_history_limit",
];
const GATE_TIMEOUT: &str = "policy.blue_green.gate_timeout";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::DeploymentSettings;

    fn mask(file: &Value, present: &str) -> Vec<String> {
        let settings = DeploymentSettings::parse(file).expect("settings");
        settings.mask(Some(present))
    }

    #[test]
    fn only_what_was_named_changes() {
        let file = json!({
            "name": "cart", "target_replicas": 2, "labels": {"a": "b", "c": "d"},
            "policy": {"blue_green": {"min_ready": "5s", "auto_promote": false}},
            "revision": {"image": "i"},
        });
        let paths = [
            "labels",
            "policy.blue_green.auto_promote",
            "policy.blue_green.min_ready",
            "target_replicas",
        ];
        assert_eq!(mask(&file, "blue_green"), paths);
    }

    #[test]
    fn a_new_strategy_is_named_as_a_whole() {
        let file = json!({"policy": {"rolling_update": {"max_surge": 1, "max_unavailable": 0}}});
        assert_eq!(mask(&file, "blue_green"), ["policy.rolling_update"]);
        let bare = json!({"policy": {"rolling_update": {}}});
        assert_eq!(mask(&bare, "blue_green"), ["policy.rolling_update"]);
        assert_eq!(mask(&bare, "rolling_update"), [""; 0]);
    }

    #[test]
    fn a_new_one_has_a_replica() {
        let replicas = |file: &Value| {
            let settings = DeploymentSettings::parse(file).expect("settings");
            settings.creation().target_replicas
        };
        assert_eq!(replicas(&json!({"name": "cart"})), 1);
        assert_eq!(replicas(&json!({"target_replicas": 0})), 0);
    }

    #[test]
    fn a_gate_timeout_is_whole() {
        let file = json!({"policy": {"blue_green": {"gate_timeout":
            {"duration": "1h", "action": "hold"}}}});
        assert_eq!(
            mask(&file, "blue_green"),
            ["policy.blue_green.gate_timeout"]
        );
    }
}
