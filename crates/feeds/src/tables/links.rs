//! Which tables one transaction changed, so that they are handed out in one piece.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use viridian_store::{CommitId, TrafficTable};
use viridian_strategy::DeploymentId;

/// The newest tables, by their deployments.
pub(super) type NewestTables = HashMap<DeploymentId, Arc<TrafficTable>>;

/// Tables that belong in one message: what one transaction changed is not torn apart.
pub type TableGroup = Vec<Arc<TrafficTable>>;

/// Which deployments were changed together: by one set, or by several with common members. As
/// disjoint sets that are united pair by pair, so that it never has more than there are deployments.
#[derive(Clone, Debug, Default)]
pub(super) struct SetLinks {
    /// The next one on the way to the deployment that stands for the group.
    parents: HashMap<DeploymentId, DeploymentId>,
}

impl SetLinks {
    pub(super) fn extend(&mut self, other: &Self) {
        for (one, parent) in &other.parents {
            self.unite(*one, *parent);
        }
    }

    /// Those that were changed together with some of these.
    pub(super) fn linked_to(
        &self,
        ids: impl Iterator<Item = DeploymentId>,
    ) -> HashSet<DeploymentId> {
        let known = ids.filter(|id| self.parents.contains_key(id));
        let roots: HashSet<_> = known.map(|id| self.root(id)).collect();
        let all = self.parents.keys().copied();
        all.filter(|id| roots.contains(&self.root(*id))).collect()
    }

    /// The tables in groups, in the order in which their deployments were made.
    pub(super) fn grouped(&self, tables: NewestTables) -> Vec<TableGroup> {
        let mut tables: Vec<_> = tables.into_iter().collect();
        // The last table of one that is deleted comes before the first of another by its name.
        tables.sort_by_key(|(id, _)| *id);
        let mut places: HashMap<DeploymentId, usize> = HashMap::new();
        let mut grouped: Vec<TableGroup> = Vec::new();
        for (id, table) in tables {
            let place = *places.entry(self.root(id)).or_insert(grouped.len());
            match grouped.get_mut(place) {
                Some(group) => group.push(table),
                None => grouped.push(vec![table]),
            }
        }
        grouped
    }

    fn unite(&mut self, one: DeploymentId, other: DeploymentId) {
        let (one, other) = (self.root(one), self.root(other));
        // A root is its own parent, so that it is known as a member of a group.
        self.parents.insert(one, other);
        self.parents.insert(other, other);
    }

    /// The deployment that stands for the group. One that is not known is alone.
    fn root(&self, of: DeploymentId) -> DeploymentId {
        // Ways are short: a set has at most 50 members, and few sets have common ones.
        let mut root = of;
        while let Some(&parent) = self.parents.get(&root).filter(|&&parent| parent != root) {
            root = parent;
        }
        root
    }
}

impl FromIterator<(CommitId, DeploymentId)> for SetLinks {
    fn from_iter<I: IntoIterator<Item = (CommitId, DeploymentId)>>(members: I) -> Self {
        let mut links = Self::default();
        let mut firsts: HashMap<CommitId, DeploymentId> = HashMap::new();
        for (commit, member) in members {
            links.unite(*firsts.entry(commit).or_insert(member), member);
        }
        links
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use viridian_store::Protocol;

    use super::*;

    fn id(n: u128) -> DeploymentId {
        DeploymentId(Uuid::from_u128(n))
    }

    fn links(sets: &[&[u128]]) -> SetLinks {
        let sets = sets.iter().zip(1..);
        let members = sets.flat_map(|(members, commit)| {
            let commit = CommitId(Uuid::from_u128(commit));
            members.iter().map(move |member| (commit, id(*member)))
        });
        members.collect()
    }

    fn grouped(links: &SetLinks, tables: &[u128]) -> Vec<Vec<u128>> {
        let table = |n: u128| TrafficTable {
            deployment: id(n),
            project: "p".to_owned(),
            name: n.to_string(),
            protocol: Protocol::default(),
            epoch: 1,
            revision: None,
            endpoints: Vec::new(),
            weights: Vec::new(),
            deploying: None,
            preview: Vec::new(),
            split_seed: 0,
            commit: None,
        };
        let tables = tables.iter().map(|n| (id(*n), Arc::new(table(*n))));
        let groups = links.grouped(tables.collect());
        let number = |table: &Arc<TrafficTable>| table.deployment.0.as_u128();
        let numbers = |group: &TableGroup| group.iter().map(number).collect();
        groups.iter().map(numbers).collect()
    }

    #[test]
    fn what_no_set_changed_is_alone() {
        assert_eq!(grouped(&links(&[]), &[2, 1]), [[1], [2]]);
    }

    #[test]
    fn members_of_one_set_are_one_group() {
        let links = links(&[&[1, 3], &[4, 5]]);
        assert_eq!(
            grouped(&links, &[5, 3, 2, 1, 4]),
            [vec![1, 3], vec![2], vec![4, 5]]
        );
        assert_eq!(grouped(&links, &[3, 2]), [[2], [3]], "as far as they came");
    }

    #[test]
    fn sets_with_a_common_member_are_one_group() {
        let links = links(&[&[1, 2], &[3, 4], &[2, 3]]);
        assert_eq!(grouped(&links, &[1, 2, 3, 4]), [[1, 2, 3, 4]]);
        let linked = links.linked_to([id(1), id(9)].into_iter());
        assert_eq!(linked, [1, 2, 3, 4].map(id).into());
    }
}
