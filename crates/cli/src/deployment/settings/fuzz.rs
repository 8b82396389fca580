//! The body of the fuzz target for the file of `apply`.

use viridian_proto::v1::{CreateDeploymentRequest, Deployment, deployment_policy::Strategy};

use super::{DeploymentSettings, SettingError, SettingsFileError, manifest};
use crate::{
    output::{self, OutputFormat},
    table::clean_lines,
};

/// Reads a file, and the file that `export` would make of what is in it. A mistake is told with
/// its place, and a file that was exported means what it was exported from.
///
/// # Panics
///
/// When one of these does not hold.
pub fn fuzz_manifest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match DeploymentSettings::of_file("file.yaml".to_owned(), text) {
        Ok(all) => all.iter().for_each(export_and_read),
        Err(SettingsFileError::Setting(SettingError::Mistakes(_))) => {}
        Err(error @ (SettingsFileError::Setting(_) | SettingsFileError::Read { .. })) => {
            panic!("a mistake in a file has its line: {error}")
        }
        Err(error) => {
            let sentence = error.to_string();
            assert_eq!(clean_lines(&sentence), sentence);
        }
    }
}

fn export_and_read(settings: &DeploymentSettings) {
    let mut request = settings.creation();
    request.metadata.get_or_insert_default();
    let policy = request.policy.get_or_insert_default();
    // A server has none without its action.
    match &mut policy.strategy {
        Some(Strategy::BlueGreen(spec)) => drop(spec.gate_timeout.take_if(|it| it.action == 0)),
        Some(Strategy::Canary(spec)) => drop(spec.gate_timeout.take_if(|it| it.action == 0)),
        Some(Strategy::RollingUpdate(_)) | None => {}
    }
    let exported = export(&request);
    let all = DeploymentSettings::of_file("exported.yaml".to_owned(), &exported);
    let all = all.unwrap_or_else(|error| panic!("{error}\n{exported}"));
    let [again] = all.as_slice() else {
        panic!("{} documents:\n{exported}", all.len())
    };
    let again = again.creation();
    assert_eq!(again, request, "{exported}");
}

fn export(request: &CreateDeploymentRequest) -> String {
    let request = request.clone();
    let deployment = Deployment {
        project: request.project,
        name: request.name,
        target_replicas: request.target_replicas,
        labels: request.labels,
        revision_history_limit: request.revision_history_limit,
        protocol: request.protocol,
        metadata: request.metadata,
        policy: request.policy,
        ..Deployment::default()
    };
    let manifest = manifest(&deployment, request.initial_revision.as_ref());
    let manifest = manifest.expect("a message of the API");
    let text = output::value(OutputFormat::Yaml, &manifest);
    text.expect("YAML").unwrap_or_default()
}
