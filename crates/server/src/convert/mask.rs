//! Field masks over messages, by descriptor: which fields of a request replace those
//! of the message that there is.

use std::{fmt, sync::LazyLock};

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor,
    Value,
};

/// A path from a message down to one of its fields.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldPath(Vec<FieldDescriptor>);

/// Which fields of a request count.
#[derive(Clone, Debug)]
pub(crate) struct MessageMask {
    paths: Vec<FieldPath>,
    /// The request names no paths: the fields that are set count.
    is_implied: bool,
}

/// Why a request does not fit the message that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MergeConflict {
    /// The path leads into a member of a oneof, and another member is set.
    OtherMember,
    /// The path names a part of a message that is not set, and the rest of the message
    /// is not named.
    MissingParent,
}

impl FieldPath {
    /// Finds a path like `a.b.c`; none when there is no such field. Values of other
    /// packages, such as durations, have no fields here.
    pub(crate) fn find(message: &MessageDescriptor, path: &str) -> Option<Self> {
        let mut message = Some(message.clone());
        let mut fields = Vec::new();
        for name in path.split('.') {
            let field = message?.get_field_by_name(name)?;
            // None for a scalar, so that a path that goes on below it finds no field.
            message = message_of(&field);
            fields.push(field);
        }
        Some(Self(fields))
    }

    /// The path to a field of the outermost message.
    pub(crate) fn of(field: FieldDescriptor) -> Self {
        Self(vec![field])
    }

    /// The field of the outermost message.
    pub(crate) fn top(&self) -> Option<&FieldDescriptor> {
        self.0.first()
    }

    /// Whether it leads to the other's field, or to what that is part of.
    fn covers(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// Whether it leads into one member of a oneof, and the request sets or names
    /// another one.
    pub(crate) fn contradicts(&self, request: &DynamicMessage, paths: &[Self]) -> bool {
        self.0.iter().enumerate().any(|(depth, field)| {
            let is_other = |other: &FieldDescriptor| {
                is_member(field) && other != field && same_oneof(other, field)
            };
            let parent = &self.0[..depth];
            // A member that is set counts even if the mask does not name
            // it: which of the two was meant is not known.
            let is_set = parent_in(request, parent).is_some_and(|it| {
                let mut set = it.fields();
                set.any(|(other, _)| is_other(&other))
            });
            let is_named = paths
                .iter()
                .any(|path| path.0.starts_with(parent) && path.0.get(depth).is_some_and(is_other));
            is_set || is_named
        })
    }

    /// Whether it names a value without a default, and the request does not set it: one
    /// way of several to give an amount.
    pub(crate) fn lacks_value(&self, request: &DynamicMessage, paths: &[Self]) -> bool {
        let Some((field, parent)) = self.0.split_last() else {
            return false;
        };
        let is_within_another = paths.iter().any(|path| path != self && path.covers(self));
        // A path that is covered by another needs no value:
        // that one replaces the message around it.
        if oneof_of(field).is_none() || is_member(field) || is_within_another {
            return false;
        }
        let set = parent_in(request, parent).and_then(|it| {
            let mut fields = it.fields();
            fields.find_map(|(other, _)| same_oneof(&other, field).then_some(other))
        });
        // A mask that names several alternatives allows any of them.
        set.is_none_or(|set| {
            let set = Self([parent, &[set]].concat());
            !paths.contains(&set)
        })
    }
}

impl MessageMask {
    /// The mask of the paths that a caller named.
    pub(crate) fn named(paths: &[FieldPath]) -> Self {
        let mut outermost: Vec<FieldPath> = Vec::new();
        // Only the outermost paths are kept: `policy` replaces `policy.drain_grace`
        // already, and merging both would make the result depend on their order.
        for path in paths {
            if outermost.iter().any(|outer| outer.covers(path)) {
                continue;
            }
            outermost.retain(|inner| !path.covers(inner));
            outermost.push(path.clone());
        }
        Self {
            paths: outermost,
            is_implied: false,
        }
    }

    /// The mask of a caller who named no paths: what the request sets of these fields.
    pub(crate) fn implied(
        request: &DynamicMessage,
        fields: impl Iterator<Item = FieldDescriptor>,
    ) -> Self {
        let mut paths = Vec::new();
        for field in fields.filter(|field| request.has_field(field)) {
            add_set(request, &field, &mut Vec::new(), &mut paths);
        }
        Self {
            paths,
            is_implied: true,
        }
    }

    /// Adds paths.
    pub(crate) fn extend(&mut self, paths: impl IntoIterator<Item = FieldPath>) {
        self.paths.extend(paths);
    }

    /// Whether a path leads to a field that is named, or into one. The choice of a member
    /// names nothing below it.
    pub(crate) fn overlaps(&self, path: &FieldPath) -> bool {
        self.paths.iter().any(|named| {
            let is_choice = named.0.last().is_some_and(is_member);
            path.covers(named) || named.covers(path) && !is_choice
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether it names a path, or one below it.
    pub(crate) fn leads_into(&self, path: &FieldPath) -> bool {
        self.paths.iter().any(|named| path.covers(named))
    }

    /// Replaces the fields of a message by those of a request. A field that the request
    /// does not set becomes unset, which stands for its default.
    pub(crate) fn merge(
        &self,
        target: &mut DynamicMessage,
        request: &DynamicMessage,
    ) -> Result<(), MergeConflict> {
        self.paths
            .iter()
            .try_for_each(|path| self.merge_at(path, 0, target, Some(request)))
    }

    fn merge_at(
        &self,
        path: &FieldPath,
        depth: usize,
        target: &mut DynamicMessage,
        request: Option<&DynamicMessage>,
    ) -> Result<(), MergeConflict> {
        let field = &path.0[depth];
        let value = request.filter(|it| it.has_field(field));
        let value = value.map(|it| it.get_field(field).into_owned());
        if depth + 1 < path.0.len() {
            if !target.has_field(field) {
                self.check_may_create(path, depth, target)?;
            }
            // None if the request does not set it: the fields that are named below it become unset.
            let request = value.as_ref().and_then(Value::as_message);
            return match target.get_field_mut(field) {
                Value::Message(inner) => self.merge_at(path, depth + 1, inner, request),
                // Paths lead through messages only, see `FieldPath::find`.
                _ => Ok(()),
            };
        }
        match value {
            // One that is there already keeps the settings that were not set.
            Some(_) if self.is_implied && is_member(field) => {
                target.get_field_mut(field);
            }
            Some(value) => target.set_field(field, value),
            // Unset it would stand for no choice: it is chosen, with defaults.
            None if is_member(field) => {
                target.set_field(field, Value::default_value_for_field(field));
            }
            None => target.clear_field(field),
        }
        Ok(())
    }

    /// Whether the message at a depth of a path, which is not there, comes into being
    /// by the fields that are named below it.
    fn check_may_create(
        &self,
        path: &FieldPath,
        depth: usize,
        target: &DynamicMessage,
    ) -> Result<(), MergeConflict> {
        let (field, outer) = (&path.0[depth], &path.0[..=depth]);
        if is_member(field) {
            let is_other = |(other, _): (FieldDescriptor, _)| same_oneof(&other, field);
            // Without a mask, to set another member is to choose it. A mask that names only a
            // setting of another member may be meant for a strategy that was replaced meanwhile.
            let is_chosen = !self.is_implied && target.fields().any(is_other);
            return match is_chosen {
                true => Err(MergeConflict::OtherMember),
                false => Ok(()),
            };
        }
        let is_named = |inner: FieldDescriptor| {
            let mut paths = self.paths.iter();
            paths.any(|path| path.0.starts_with(outer) && path.0.get(depth + 1) == Some(&inner))
        };
        // To name all fields of a message is as good as to name the message.
        match message_of(field).is_some_and(|message| message.fields().all(is_named)) {
            true => Ok(()),
            false => Err(MergeConflict::MissingParent),
        }
    }
}

/// Adds the paths of what is set. A member of a oneof is chosen, and its settings count
/// one by one; a message below it is one setting.
fn add_set(
    message: &DynamicMessage,
    field: &FieldDescriptor,
    parent: &mut Vec<FieldDescriptor>,
    paths: &mut Vec<FieldPath>,
) {
    let is_top = parent.is_empty();
    parent.push(field.clone());
    // The member itself is named too: one without any setting is a choice as well.
    if is_member(field) || !is_top {
        paths.push(FieldPath(parent.clone()));
    }
    let value = message.get_field(field);
    match value.as_message().filter(|_| message_of(field).is_some()) {
        Some(inner) if is_top || is_member(field) => {
            for (below, _) in inner.fields() {
                add_set(inner, &below, parent, paths);
            }
        }
        None if is_top => paths.push(FieldPath(parent.clone())),
        _ => {}
    }
    parent.pop();
}

/// The message of the contract that a field holds, if it holds a single one.
fn message_of(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) if !field.is_list() && message.package_name() == PACKAGE => {
            Some(message).filter(|message| !message.is_map_entry())
        }
        _ => None,
    }
}

/// Whether a field is a message among alternatives, such as a strategy.
fn is_member(field: &FieldDescriptor) -> bool {
    oneof_of(field).is_some() && message_of(field).is_some()
}

fn same_oneof(one: &FieldDescriptor, other: &FieldDescriptor) -> bool {
    let oneof = oneof_of(one);
    oneof.is_some() && oneof == oneof_of(other)
}

/// The alternatives that a field is among. That of an `optional` field is no choice.
fn oneof_of(field: &FieldDescriptor) -> Option<OneofDescriptor> {
    field.containing_oneof().filter(|it| !it.is_synthetic())
}

/// The message at a path, if it is set.
fn parent_in(message: &DynamicMessage, path: &[FieldDescriptor]) -> Option<DynamicMessage> {
    path.iter().try_fold(message.clone(), |message, field| {
        let value = message.has_field(field).then(|| message.get_field(field))?;
        value.as_message().cloned()
    })
}

/// The descriptor of a message of the contract.
pub(crate) fn descriptor(name: &str) -> MessageDescriptor {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        // A pool that cannot be decoded is empty, and fails at the look-up below.
        DescriptorPool::decode(viridian_proto::FILE_DESCRIPTOR_SET).unwrap_or_default()
    });
    let Some(descriptor) = POOL.get_message_by_name(&format!("{PACKAGE}.{name}")) else {
        unreachable!("{name} is a message of the contract, which is compiled in")
    };
    descriptor
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, field) in self.0.iter().enumerate() {
            let dot = if depth == 0 { "" } else { "." };
            write!(f, "{dot}{}", field.name())?;
        }
        Ok(())
    }
}

const PACKAGE: &str = "viridian.deployment.v1";
