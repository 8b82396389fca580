//! Names of projects and deployments, and values of labels.

/// Whether a text can be the name of a project or of a deployment, or a label.
pub(crate) fn is_resource_name(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    let bytes = text.as_bytes();
    let edges = [bytes.first(), bytes.last()];
    edges
        .iter()
        .all(|edge| edge.is_some_and(u8::is_ascii_alphanumeric))
        && bytes.len() <= MAX_LENGTH
        && bytes.iter().copied().all(inner)
}

const MAX_LENGTH: usize = 63;
