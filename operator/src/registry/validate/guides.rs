//! The pages of docs/migrate: their policies decide as their tables say, and are those of the files in examples/.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crds::AccessPolicy;
use jiff::Timestamp;
use registry_policy::{Action, Caller, Identity, PolicySet, Request};
use serde::Deserialize;
use serde_json::Value;

use super::policy_entry;

mod docker_auth;

/// Where somebody is of whom a row does not say from where they come: no policy of a page is about that network.
const ELSEWHERE: &str = "203.0.113.1";

/// What the pages say beside a file of examples.
const LINK: &str = "](../../examples/";

/// Attributes, as an identity has them.
type Attributes = BTreeMap<String, Vec<String>>;

/// A row of a page's table: who does what to what, and whether they may. Who is a name, then groups in `()`, attributes in `{}`, and
/// ` from ` an address, or `an unknown address`.
#[derive(Debug)]
struct Row<'a> {
    line: &'a str,
    user: Option<&'a str>,
    groups: Vec<String>,
    attributes: Attributes,
    address: Option<&'a str>,
    action: Action,
    repository: Option<&'a str>,
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
        let (who, address) = match who.split_once(" from ") {
            Some((who, "an unknown address")) => (who, None),
            Some((who, address)) => (who, Some(address)),
            None => (who, Some(ELSEWHERE)),
        };
        let (who, attributes) = match who.split_once(" `{") {
            Some((who, attributes)) => {
                let attributes = format!("{{{}", attributes.trim_end_matches('`'));
                (who, serde_saphyr::from_str(&attributes).expect(line))
            }
            None => (who, Attributes::new()),
        };
        let (who, groups) = match who.split_once(" (") {
            Some((who, groups)) => (
                who,
                groups.trim_end_matches(')').split(", ").map(str::to_owned).collect(),
            ),
            None => (who, Vec::new()),
        };
        let action = action.trim_matches('`').parse().expect(line);
        let target = target.trim_matches('`');
        let (repository, tag) = target
            .split_once(':')
            .map_or((target, None), |(name, tag)| (name, Some(tag)));
        Some(Self {
            line,
            user: (who != "nobody").then(|| who.trim_matches('`')),
            groups,
            attributes,
            address,
            action,
            repository: (action != Action::ListCatalog).then_some(repository),
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
                attributes: Some(&self.attributes),
                home: true,
            }),
            client_ip: self.address.map(|address| address.parse().expect(self.line)),
            at: Timestamp::now(),
            ..Caller::default()
        };
        let request = Request {
            repository: self.repository,
            reference: self.tag,
            tags: if self.action == Action::PutManifest { &tags } else { &[] },
            ..Request::bare(self.action, "GET")
        };
        let decision = policies.decide(&caller, &request);
        assert_eq!(decision.is_allowed(), self.allowed, "{}: {decision:?}", self.line);
        assert!(decision.errors.is_empty(), "{}: {:?}", self.line, decision.errors);
    }
}

/// A part of a page below a heading of its own: one Registry or several, and what is said about them.
struct Section {
    page: PathBuf,
    text: String,
}

impl Section {
    fn all() -> Vec<Self> {
        let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/migrate");
        let mut sections = Vec::new();
        for page in fs::read_dir(pages).unwrap() {
            let page = page.unwrap().path();
            let text = fs::read_to_string(&page).unwrap();
            sections.extend(text.split("\n## ").map(|text| Self {
                page: page.clone(),
                text: text.to_owned(),
            }));
        }
        sections
    }

    fn title(&self) -> String {
        format!("{}: {}", self.page.display(), self.text.lines().next().unwrap())
    }

    /// What stands in blocks of YAML, in order.
    fn blocks(&self) -> Vec<&str> {
        let blocks = self.text.split("```yaml\n").skip(1);
        blocks.map(|rest| rest.split("```").next().unwrap()).collect()
    }

    fn objects(&self) -> Vec<Value> {
        let documents = self.blocks().into_iter().flat_map(|block| block.split("---\n"));
        documents.map(|yaml| serde_saphyr::from_str(yaml).unwrap()).collect()
    }

    fn policies(&self) -> PolicySet {
        let policies = self.objects().into_iter().filter(|json| json["kind"] == "AccessPolicy");
        let policies = policies.map(|json| {
            let policy = AccessPolicy::deserialize(json).unwrap();
            let unknown = crate::unknown_fields::in_policy(&policy.spec);
            assert!(unknown.is_empty(), "{}: {unknown:?}", self.title());
            policy_entry(&policy).compile().unwrap()
        });
        PolicySet::new(policies.collect())
    }

    fn rows(&self) -> Vec<Row<'_>> {
        self.text.lines().filter_map(Row::parse).collect()
    }

    /// Whoever is in a row and has an identity is who the identity says.
    fn check_identities(&self, rows: &[Row<'_>]) {
        for identity in self.objects() {
            if identity["kind"] != "RegistryIdentity" || identity["spec"]["generateUsername"] == true {
                continue;
            }
            let name = identity["spec"]["username"].as_str();
            let name = name.unwrap_or_else(|| identity["metadata"]["name"].as_str().unwrap());
            let groups: Vec<String> = Deserialize::deserialize(&identity["spec"]["groups"]).unwrap_or_default();
            let attributes: Attributes = Deserialize::deserialize(&identity["spec"]["attributes"]).unwrap_or_default();
            for row in rows.iter().filter(|row| row.user == Some(name)) {
                assert_eq!(row.groups, groups, "{}: {}", self.title(), row.line);
                assert_eq!(row.attributes, attributes, "{}: {}", self.title(), row.line);
            }
        }
    }

    /// The file of examples that holds the same.
    fn example(&self) -> Option<&str> {
        let mut files = self
            .text
            .split(LINK)
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap());
        let file = files.next()?;
        assert_eq!(files.next(), None, "{} has two files", self.title());
        Some(file)
    }
}

#[test]
fn policies_of_the_pages_about_migration_decide_as_their_tables_say() {
    let (mut checked, mut pages) = (0, BTreeMap::new());
    for section in Section::all() {
        let rows = section.rows();
        let policies = section.policies();
        assert_eq!(
            rows.is_empty(),
            policies.is_empty(),
            "{} has a table or policies alone",
            section.title()
        );
        for row in &rows {
            row.check(&policies);
        }
        section.check_identities(&rows);
        checked += rows.len();
        *pages.entry(section.page.clone()).or_insert(0) += rows.len();
    }
    for (page, rows) in pages {
        assert!(rows > 5, "{} has no table", page.display());
    }
    assert!(checked >= 120, "{checked}");
}

#[test]
fn files_of_examples_hold_what_the_pages_about_migration_show_and_nothing_else() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut shown = BTreeSet::from(["quickstart.yaml".to_owned()]);
    for section in Section::all() {
        let Some(name) = section.example() else { continue };
        let file = fs::read_to_string(folder.join(name)).expect(name);
        let mut rest = file.as_str();
        for block in section.blocks() {
            let (before, after) = rest.split_once(block).unwrap_or_else(|| {
                panic!("`{name}` does not hold, in this order:\n{block}");
            });
            assert_only_comments(name, before);
            rest = after;
        }
        assert_only_comments(name, rest);
        assert!(shown.insert(name.to_owned()), "`{name}` is on two pages");
    }
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let names: BTreeSet<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, shown);
}

/// What stands between objects: nothing but comments and what parts them.
fn assert_only_comments(name: &str, text: &str) {
    for line in text.lines() {
        assert!(
            line.is_empty() || line == "---" || line.starts_with('#'),
            "`{name}` holds what no page shows: {line}"
        );
    }
}
