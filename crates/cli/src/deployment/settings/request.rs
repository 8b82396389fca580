//! The calls that make a deployment match the wanted settings.

use prost_types::FieldMask;
use viridian_proto::v1::{
    ApplyDeploymentRequest, CreateDeploymentRequest, UpdateDeploymentRequest,
};

use super::{DeploymentSettings, PresentSettings, is_within, strategy_name};
use crate::output::OutputError;

impl DeploymentSettings {
    /// A request for a new deployment, with one replica by default. The caller adds the
    /// fields of the call.
    pub(in crate::deployment) fn creation(&self) -> CreateDeploymentRequest {
        let mut request = self.request.clone();
        // Not set is 0 on the wire, and a file without the number hardly means no replicas.
        if !self.names("target_replicas") {
            request.target_replicas = 1;
        }
        request
    }

    /// A request that makes a deployment what these settings say. The server compares them
    /// with what there is.
    pub(in crate::deployment) fn application(&self) -> ApplyDeploymentRequest {
        let wanted = |path: &str, number| self.names(path).then_some(number);
        let reset_mask = FieldMask {
            paths: self.reset.clone(),
        };
        ApplyDeploymentRequest {
            project: self.request.project.clone(),
            name: self.request.name.clone(),
            target_replicas: wanted("target_replicas", self.request.target_replicas),
            policy: self.request.policy.clone(),
            labels: self.request.labels.clone(),
            metadata: self.request.metadata.clone(),
            revision_history_limit: wanted(
                "revision_history_limit",
                self.request.revision_history_limit,
            ),
            revision: self.request.initial_revision.clone(),
            protocol: self.request.protocol,
            reset_mask: Some(reset_mask).filter(|it| !it.paths.is_empty()),
            ..ApplyDeploymentRequest::default()
        }
    }

    /// A request that changes the wanted settings only. All others stay, also if someone
    /// else changes them in the meantime.
    pub(in crate::deployment) fn update(
        &self,
        present: &PresentSettings,
    ) -> Result<UpdateDeploymentRequest, OutputError> {
        Ok(UpdateDeploymentRequest {
            target_replicas: self.request.target_replicas,
            policy: self.request.policy.clone(),
            labels: self.request.labels.clone(),
            revision_history_limit: self.request.revision_history_limit,
            protocol: self.request.protocol,
            update_mask: Some(FieldMask {
                paths: self.mask(present.strategy.as_deref())?,
            }),
            ..UpdateDeploymentRequest::default()
        })
    }

    /// The field mask. A change of strategy names the whole strategy; the timeout of the
    /// gate is always whole, because its parts mean nothing alone.
    fn mask(&self, present: Option<&str>) -> Result<Vec<String>, OutputError> {
        let strategy = match &self.request.policy {
            Some(policy) => strategy_name(policy)?.unwrap_or_default(),
            None => String::new(),
        };
        let whole_strategy = format!("policy.{strategy}");
        let gate_timeout = format!("{whole_strategy}.gate_timeout");
        // Settings outside of the updatable fields belong to the name or to the revision.
        let path = |named: &String| {
            if !UPDATABLE_FIELDS.iter().any(|field| is_within(named, field)) {
                None
            } else if is_within(named, &whole_strategy) && present != Some(strategy.as_str()) {
                Some(whole_strategy.clone())
            } else if *named == whole_strategy || named == "policy" {
                // The present strategy without settings: there is nothing to change.
                None
            } else if is_within(named, &gate_timeout) {
                Some(gate_timeout.clone())
            } else {
                Some(named.clone())
            }
        };
        let mut paths: Vec<_> = self.named.iter().filter_map(path).collect();
        paths.sort();
        paths.dedup();
        Ok(paths)
    }
}

/// The fields that an update can change.
const UPDATABLE_FIELDS: [&str; 5] = [
    "target_replicas",
    "policy",
    "labels",
    "revision_history_limit",
    "protocol",
];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::DeploymentSettings;

    fn mask(file: &Value, present: &str) -> Vec<String> {
        let settings = DeploymentSettings::parse(file).expect("settings");
        settings.mask(Some(present)).expect("a mask")
    }

    #[test]
    fn only_named_settings_are_in_the_mask() {
        let file = json!({
            "name": "cart", "target_replicas": 2, "protocol": "tcp", "labels": {"a": "b", "c": "d"},
            "policy": {"blue_green": {"min_ready": "5s", "auto_promote": false}},
            "revision": {"image": "i"},
        });
        let paths = [
            "labels",
            "policy.blue_green.auto_promote",
            "policy.blue_green.min_ready",
            "protocol",
            "target_replicas",
        ];
        assert_eq!(mask(&file, "blue_green"), paths);
    }

    #[test]
    fn a_change_of_strategy_names_the_whole_strategy() {
        let file = json!({"policy": {"rolling_update": {"max_surge": 1, "max_unavailable": 0}}});
        assert_eq!(mask(&file, "blue_green"), ["policy.rolling_update"]);
        let bare = json!({"policy": {"rolling_update": {}}});
        assert_eq!(mask(&bare, "blue_green"), ["policy.rolling_update"]);
        assert_eq!(mask(&bare, "rolling_update"), [""; 0]);
    }

    #[test]
    fn a_new_deployment_has_one_replica_by_default() {
        let replicas = |file: &Value| {
            let settings = DeploymentSettings::parse(file).expect("settings");
            settings.creation().target_replicas
        };
        assert_eq!(replicas(&json!({"name": "cart"})), 1);
        assert_eq!(replicas(&json!({"target_replicas": 0})), 0);
    }

    #[test]
    fn a_gate_timeout_is_named_as_a_whole() {
        for strategy in ["blue_green", "canary"] {
            let gate = json!({"duration": "1h", "action": "hold"});
            let file = json!({"policy": {strategy: {"gate_timeout": gate}}});
            let path = format!("policy.{strategy}.gate_timeout");
            assert_eq!(mask(&file, strategy), [path]);
        }
    }

    #[test]
    fn the_steps_of_a_canary_are_one_setting() {
        let file = json!({"policy": {"canary": {
            "min_ready": "5s",
            "steps": [{"weight": "5%", "hold": "1m"}, {"weight_permille": 250, "manual": true}],
        }}});
        let paths = ["policy.canary.min_ready", "policy.canary.steps"];
        assert_eq!(mask(&file, "canary"), paths);
        assert_eq!(mask(&file, "blue_green"), ["policy.canary"]);
    }
}
