//! The pages of docs/migrate: their policies decide as their tables say.

use std::fs;
use std::path::Path;

use crds::AccessPolicy;
use jiff::Timestamp;
use registry_policy::{Action, Caller, Identity, PolicySet, Request};
use serde::Deserialize;

use super::policy_entry;

/// A row of a page's table: who does what to what, and whether they may.
#[derive(Debug)]
struct Row<'a> {
    line: &'a str,
    user: Option<&'a str>,
    groups: Vec<String>,
    address: Option<&'a str>,
    action: Action,
    repository: &'a str,
    tag: Option<&'a str>,
    allowed: bool,
}

impl<'a> Row<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [who, action, target, verdict] = cells[..] else {
            return None;
        };
        let allowed = match verdict {
            "allowed" => true,
            "refused" => false,
            _ => return None,
        };
        let (who, address) = who
            .split_once(" from ")
            .map_or((who, None), |(who, from)| (who, Some(from)));
        let (who, groups) = match who.split_once(" (") {
            Some((who, groups)) => (
                who,
                groups.trim_end_matches(')').split(", ").map(str::to_owned).collect(),
            ),
            None => (who, Vec::new()),
        };
        let target = target.trim_matches('`');
        let (repository, tag) = target
            .split_once(':')
            .map_or((target, None), |(name, tag)| (name, Some(tag)));
        Some(Self {
            line,
            user: (who != "nobody").then(|| who.trim_matches('`')),
            groups,
            address,
            action: action.trim_matches('`').parse().unwrap(),
            repository,
            tag,
            allowed,
        })
    }

    fn check(&self, policies: &PolicySet) {
        let tags: Vec<String> = self.tag.map(str::to_owned).into_iter().collect();
        let caller = Caller {
            identity: self.user.map(|username| Identity {
                id: username,
                username,
                groups: &self.groups,
                home: true,
                ..Identity::default()
            }),
            client_ip: self.address.map(|address| address.parse().unwrap()),
            at: Timestamp::now(),
            ..Caller::default()
        };
        let request = Request {
            repository: Some(self.repository),
            reference: self.tag,
            tags: &tags,
            ..Request::bare(self.action, "GET")
        };
        let decision = policies.decide(&caller, &request);
        assert_eq!(decision.is_allowed(), self.allowed, "{}: {decision:?}", self.line);
        assert!(decision.errors.is_empty(), "{}: {:?}", self.line, decision.errors);
    }
}

#[test]
fn policies_of_the_pages_about_migration_decide_as_their_tables_say() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/migrate");
    let mut checked = 0;
    for page in fs::read_dir(pages).unwrap() {
        let path = page.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let blocks = text
            .split("```yaml\n")
            .skip(1)
            .map(|rest| rest.split("```").next().unwrap());
        let documents = blocks.flat_map(|block| block.split("---\n"));
        let documents = documents.map(|yaml| serde_saphyr::from_str::<serde_json::Value>(yaml).unwrap());
        let policies = documents.filter(|json| json["kind"] == "AccessPolicy").map(|json| {
            let policy = AccessPolicy::deserialize(json).unwrap();
            let unknown = crate::unknown_fields::in_policy(&policy.spec);
            assert!(unknown.is_empty(), "{}: {unknown:?}", path.display());
            policy_entry(&policy).compile().unwrap()
        });
        let policies = PolicySet::new(policies.collect());
        let rows: Vec<Row<'_>> = text.lines().filter_map(Row::parse).collect();
        assert!(rows.len() > 5, "{} has no table", path.display());
        for row in &rows {
            row.check(&policies);
        }
        checked += rows.len();
    }
    assert!(checked >= 50, "{checked}");
}
