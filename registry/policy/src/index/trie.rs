//! Repository patterns as a tree of segments.

use std::collections::HashMap;

use super::RuleNumber;
use super::subjects::SubjectNumber;
use crate::RepositoryPattern;
use crate::repository_pattern::segment_matches;

/// The rules by pattern. The root stands for the empty path.
#[derive(Debug, Default)]
pub(super) struct Trie {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    /// The rules whose pattern ends here.
    here: Rules,
    /// The rules whose pattern ends with `**` below here.
    below: Rules,
    /// The next segments without wildcards.
    plain: HashMap<Box<str>, Node>,
    /// The next segments that start with at least one literal character, by what stands before the first star.
    prefixed: Anchored,
    /// The other next segments, by what stands after the last star, which may be nothing.
    suffixed: Anchored,
}

/// The rules of one pattern, by subject.
#[derive(Debug, Default)]
struct Rules(HashMap<SubjectNumber, Vec<RuleNumber>>);

/// Segments with wildcards, by a literal part that every match has.
#[derive(Debug, Default)]
struct Anchored {
    /// The lengths of the anchors, ascending.
    lengths: Vec<usize>,
    segments: HashMap<Box<str>, Vec<(Box<str>, Node)>>,
}

impl Trie {
    pub(super) fn insert(&mut self, pattern: &RepositoryPattern, subject: SubjectNumber, rule: RuleNumber) {
        let mut node = &mut self.root;
        for segment in pattern.segments() {
            if segment == "**" {
                return node.below.insert(subject, rule);
            }
            node = node.next(segment);
        }
        node.here.insert(subject, rule);
    }

    /// The rules whose pattern matches `repository`, as often as they do.
    pub(super) fn collect(&self, repository: &str, subjects: &[SubjectNumber], found: &mut Vec<RuleNumber>) {
        // A node is reached by one path only, so this visits no more nodes than there are.
        let mut open = vec![(&self.root, Some(repository))];
        while let Some((node, path)) = open.pop() {
            let Some(path) = path else {
                node.here.collect(subjects, found);
                continue;
            };
            node.below.collect(subjects, found);
            let (segment, rest) = path
                .split_once('/')
                .map_or((path, None), |(segment, rest)| (segment, Some(rest)));
            open.extend(node.plain.get(segment).map(|next| (next, rest)));
            let prefixed = node.prefixed.matching(segment, |length| segment.get(..length));
            let suffixed = node
                .suffixed
                .matching(segment, |length| segment.get(segment.len().checked_sub(length)?..));
            open.extend(prefixed.chain(suffixed).map(|next| (next, rest)));
        }
    }

    /// The rules whose pattern is `**`.
    pub(super) fn collect_everywhere(&self, subjects: &[SubjectNumber], found: &mut Vec<RuleNumber>) {
        self.root.below.collect(subjects, found);
    }
}

impl Node {
    /// The node after `segment`, made if there is none.
    fn next(&mut self, segment: &str) -> &mut Self {
        match (segment.split_once('*'), segment.rsplit_once('*')) {
            (Some((prefix, _)), _) if !prefix.is_empty() => self.prefixed.entry(prefix, segment),
            (_, Some((_, suffix))) => self.suffixed.entry(suffix, segment),
            _ => self.plain.entry(segment.into()).or_default(),
        }
    }
}

impl Anchored {
    fn entry(&mut self, anchor: &str, segment: &str) -> &mut Node {
        if let Err(position) = self.lengths.binary_search(&anchor.len()) {
            self.lengths.insert(position, anchor.len());
        }
        let segments = self.segments.entry(anchor.into()).or_default();
        let position = segments
            .iter()
            .position(|(known, _)| **known == *segment)
            .unwrap_or_else(|| {
                segments.push((segment.into(), Node::default()));
                segments.len() - 1
            });
        &mut segments[position].1
    }

    /// The nodes after the segments that match `name`, whose part of a given length `anchor` cuts out.
    fn matching<'s>(
        &'s self,
        name: &'s str,
        anchor: impl Fn(usize) -> Option<&'s str> + 's,
    ) -> impl Iterator<Item = &'s Node> + 's {
        self.lengths
            .iter()
            .map_while(move |length| anchor(*length))
            .filter_map(|anchor| self.segments.get(anchor))
            .flatten()
            .filter(move |(segment, _)| segment_matches(segment, name))
            .map(|(_, next)| next)
    }
}

impl Rules {
    fn insert(&mut self, subject: SubjectNumber, rule: RuleNumber) {
        self.0.entry(subject).or_default().push(rule);
    }

    fn collect(&self, subjects: &[SubjectNumber], found: &mut Vec<RuleNumber>) {
        if self.0.is_empty() {
            return;
        }
        for subject in subjects {
            found.extend(self.0.get(subject).into_iter().flatten());
        }
    }
}
