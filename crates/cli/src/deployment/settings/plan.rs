//! The difference between wanted and present settings.

use serde_json::{Value, json};
use viridian_proto::v1::{ApplyDeploymentResponse, FieldChange};

use super::{
    DeploymentSettings, PresentSettings, REVISION, REVISION_IN_FILES, canonical,
    flat::{FlatSettings, flatten},
    in_files, is_within,
    present::with_defaults,
    show::OutputStyle,
    strategy_name,
};
use crate::{output::OutputError, table::columns};

/// The changes that a command would make to a deployment.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::deployment) struct ChangePlan {
    pub(in crate::deployment) deployment: String,
    pub(in crate::deployment) action: PlanAction,
    pub(in crate::deployment) changes: Vec<SettingChange>,
    /// Whether an existing deployment would get a new revision.
    pub(in crate::deployment) new_revision: bool,
    /// Whether a rollout would be aborted, because what is wanted serves.
    pub(in crate::deployment) aborts: bool,
}

/// What a command would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::deployment) enum PlanAction {
    Create,
    Change,
    Nothing,
}

/// A setting whose value would change.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::deployment) struct SettingChange {
    pub(in crate::deployment) path: String,
    pub(in crate::deployment) from: Option<String>,
    pub(in crate::deployment) to: Option<String>,
}

impl DeploymentSettings {
    /// Compares the wanted settings with the present ones; there are none for a new
    /// deployment.
    pub(in crate::deployment) fn plan(
        &self,
        deployment: &str,
        present: Option<&PresentSettings>,
    ) -> Result<ChangePlan, OutputError> {
        let changes = self.changes(present)?;
        let action = match present {
            None => PlanAction::Create,
            Some(_) if changes.is_empty() => PlanAction::Nothing,
            Some(_) => PlanAction::Change,
        };
        Ok(ChangePlan {
            deployment: deployment.to_owned(),
            action,
            new_revision: action == PlanAction::Change
                && changes
                    .iter()
                    .any(|it| is_within(&it.path, REVISION_IN_FILES)),
            changes,
            aborts: false,
        })
    }

    fn changes(
        &self,
        present: Option<&PresentSettings>,
    ) -> Result<Vec<SettingChange>, OutputError> {
        let nothing = FlatSettings::new();
        let from = present.map_or(&nothing, |it| &it.flat);
        let to = self.flat()?;
        let mut paths: Vec<_> = from.keys().chain(to.keys()).collect();
        paths.sort();
        paths.dedup();
        // A revision is replaced as a whole: what the file leaves out of it is removed, and
        // must be in the plan. All other settings that are left out stay.
        let is_wanted = |path: &&String| {
            self.named.iter().any(|named| is_within(path, named))
                || is_within(path, REVISION) && self.names(REVISION)
        };
        let change = |path: &String| {
            let (from, to) = (from.get(path).cloned(), to.get(path).cloned());
            (from != to).then(|| SettingChange {
                path: in_files(path),
                from,
                to,
            })
        };
        let mut changes: Vec<_> = paths
            .into_iter()
            .filter(is_wanted)
            .filter_map(change)
            .collect();
        changes.extend(self.change_of_strategy(present)?);
        Ok(changes)
    }

    fn change_of_strategy(
        &self,
        present: Option<&PresentSettings>,
    ) -> Result<Option<SettingChange>, OutputError> {
        let from = present.and_then(|it| it.strategy.clone());
        let to = match &self.request.policy {
            Some(policy) => strategy_name(policy)?,
            None => None,
        };
        // Settings of the new strategy alone would look like additions to the old one.
        let changes = from.is_some() && to.is_some() && from != to;
        Ok(changes.then(|| SettingChange {
            path: "policy".to_owned(),
            from,
            to,
        }))
    }

    fn flat(&self) -> Result<FlatSettings, OutputError> {
        let mut flat = FlatSettings::new();
        let mut request = self.request.clone();
        let spec = request.initial_revision.take();
        flatten(
            &canonical("CreateDeploymentRequest", &request)?,
            "",
            &mut flat,
        );
        // With the server's defaults, as the present one has them: or they would look like changes.
        if let Some(spec) = spec {
            flatten(&with_defaults(&spec)?, REVISION, &mut flat);
        }
        Ok(flat)
    }
}

impl ChangePlan {
    /// The plan of the server.
    pub(in crate::deployment) fn of_reply(
        deployment: &str,
        reply: &ApplyDeploymentResponse,
    ) -> Self {
        let text = |text: &String| Some(text.clone()).filter(|it| !it.is_empty());
        let change = |it: &FieldChange| SettingChange {
            path: it.path.clone(),
            from: text(&it.old_value),
            to: text(&it.new_value),
        };
        Self {
            deployment: deployment.to_owned(),
            action: match (reply.created, reply.changes.is_empty()) {
                (true, _) => PlanAction::Create,
                (false, true) => PlanAction::Nothing,
                (false, false) => PlanAction::Change,
            },
            changes: reply.changes.iter().map(change).collect(),
            new_revision: reply.activated && !reply.created,
            aborts: reply.aborted,
        }
    }

    /// The plan for people.
    pub(in crate::deployment) fn text(&self, style: OutputStyle) -> String {
        let name = style.strong(&self.deployment);
        let head = match self.action {
            PlanAction::Nothing => return format!("{name} matches already; nothing would change."),
            PlanAction::Create => format!("{name} would be created:"),
            PlanAction::Change => format!("{name} would change:"),
        };
        let or_default = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let row = |it: &SettingChange| {
            let mut row = vec![format!("  {}", it.path)];
            if self.action == PlanAction::Change {
                row.extend([style.bad(&or_default(&it.from)), "→".to_owned()]);
            }
            row.push(style.good(&or_default(&it.to)));
            row
        };
        let tail = match (self.aborts, self.new_revision) {
            (true, _) => "\nThe rollout would be aborted: this revision serves.",
            (false, true) => "\nA new revision would be created and activated.",
            (false, false) => "",
        };
        let rows = columns(self.changes.iter().map(row).collect());
        format!("{head}\n{rows}{tail}")
    }

    /// The plan for scripts. The keys are public.
    pub(in crate::deployment) fn value(&self) -> Value {
        let change = |it: &SettingChange| json!({"path": it.path, "from": it.from, "to": it.to});
        let changes: Vec<_> = self.changes.iter().map(change).collect();
        json!({
            "deployment": self.deployment,
            "action": match self.action {
                PlanAction::Create => "create",
                PlanAction::Change => "change",
                PlanAction::Nothing => "nothing",
            },
            "newRevision": self.new_revision,
            "aborts": self.aborts,
            "changes": changes,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use viridian_proto::v1::RevisionSpec;

    use super::{super::super::show::fixture, *};

    fn plan(file: &Value) -> ChangePlan {
        let deployment = fixture::at_the_gate();
        let spec = RevisionSpec {
            image: "cart:2".to_owned(),
            environ: [("A".to_owned(), "1".to_owned())].into(),
            ..RevisionSpec::default()
        };
        let present = PresentSettings::new(&deployment, Some(&spec)).expect("it is there");
        let settings = DeploymentSettings::parse(file).expect("settings");
        settings.plan("shop/cart", Some(&present)).expect("a plan")
    }

    #[test]
    fn a_setting_with_its_present_value_is_no_change() {
        let same = plan(&json!({
            "project": "shop", "name": "cart", "target_replicas": 3,
            "policy": {"blue_green": {}, "drain_grace": "5s"},
            "revision": {"image": "cart:2", "environ": {"A": 1},
                "health_check": {"path": "/", "interval": "10s"}},
        }));
        assert_eq!(same.action, PlanAction::Nothing, "{same:?}");
        insta::assert_snapshot!("nothing", same.text(fixture::plain()));
    }

    #[test]
    fn each_change_has_its_line() {
        let plan = plan(&json!({
            "target_replicas": 5,
            "labels": {"tier": "web"},
            "policy": {"rolling_update": {"max_surge": "50%"}, "drain_grace": "1m"},
            "revision": {"image": "cart:3"},
        }));
        insta::assert_snapshot!("change", plan.text(fixture::plain()));
        insta::assert_snapshot!("change_json", format!("{:#}", plan.value()));
        assert!(plan.new_revision);
    }

    #[test]
    fn settings_that_are_left_out_stay() {
        let plan = plan(&json!({"policy": {"blue_green": {"min_ready": "30s"}}}));
        let paths: Vec<_> = plan.changes.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["policy.blue_green.min_ready"]);
        assert!(!plan.new_revision);
    }

    #[test]
    fn a_new_deployment_lists_all_named_settings() {
        let file = json!({"project": "shop", "name": "cart", "revision": {"image": "i"}});
        let settings = DeploymentSettings::parse(&file).expect("settings");
        let plan = settings.plan("shop/cart", None).expect("a plan");
        insta::assert_snapshot!("create", plan.text(fixture::plain()));
    }
}
