//! Whether a live object already is what was rendered, so that the steady state needs no write at all.

use crds::annotations;
use serde_json::Value;

/// Whether everything rendered is in the live object, and nothing else was rendered the last time.
pub(super) fn is_as_rendered(rendered: &Value, live: &Value) -> bool {
    let digest = |object: &Value| object["metadata"]["annotations"][annotations::RENDERED].clone();
    let mut wanted = rendered.clone();
    if let Value::Object(fields) = &mut wanted {
        // A list leaves out what all of its objects have in common.
        fields.retain(|field, _| field != "apiVersion" && field != "kind");
    }
    digest(rendered) == digest(live) && contains(live, &wanted)
}

/// Fields whose value is one whole to the API server: what somebody added to it is a change of it. A right that was added
/// to a Role must not stay.
const WHOLE: [&str; 4] = ["rules", "subjects", "roleRef", "selector"];

/// Whether `live` has everything that `wanted` has. What others added, such as defaults or injected containers, does not
/// matter.
fn contains(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| match live.get(key) {
            // An empty value that the API server leaves out is as good as one that it keeps.
            None => is_empty(wanted),
            Some(live) if WHOLE.contains(&key.as_str()) => live == wanted,
            Some(live) => contains(live, wanted),
        }),
        // Others may add to a list whose items have names, such as containers and volumes, and to no other.
        (Value::Array(live), Value::Array(wanted)) if wanted.iter().all(|item| item.get("name").is_some()) => {
            let named = |name: Option<&Value>| live.iter().find(|item| item.get("name") == name);
            wanted
                .iter()
                .all(|wanted| named(wanted.get("name")).is_some_and(|live| contains(live, wanted)))
        }
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| contains(live, wanted))
        }
        (live, wanted) => live == wanted || same_quantity(live, wanted),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Array(value) => value.is_empty(),
        Value::Object(value) => value.is_empty(),
        Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether two scalars are the same Kubernetes quantity: the API server writes `1000m` as `1`.
fn same_quantity(one: &Value, other: &Value) -> bool {
    match (quantity(one), quantity(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// A quantity in thousandths; `None` for anything that is not exactly one, or not of that precision.
fn quantity(value: &Value) -> Option<i128> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let factor: i128 = match suffix {
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let scaled = digits.checked_mul(factor)?;
    (scaled % scale == 0).then_some(scaled / scale)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn additions_of_others_do_not_matter_and_changes_do() {
        let wanted = json!({ "spec": { "containers": [{ "name": "registry", "image": "a" }], "replicas": 1 } });
        let injected = json!({ "spec": { "containers": [{ "name": "sidecar" }, { "name": "registry", "image": "a", "x": 1 }], "replicas": 1, "y": {} } });
        assert!(contains(&injected, &wanted));
        for (path, value) in [
            ("/spec/replicas", json!(2)),
            ("/spec/containers/1/image", json!("b")),
            ("/spec/containers/1/name", json!("c")),
        ] {
            let mut edited = injected.clone();
            *edited.pointer_mut(path).unwrap() = value;
            assert!(!contains(&edited, &wanted), "{path}");
        }
    }

    #[test]
    fn a_right_an_argument_or_a_selector_that_was_added_is_noticed() {
        let rule = json!({ "resources": ["secrets"], "resourceNames": ["main-access"], "verbs": ["get"] });
        let more = json!({ "resources": ["secrets"], "verbs": ["get"] });
        for (wanted, live) in [
            (json!({ "rules": [rule] }), json!({ "rules": [rule, more] })),
            (json!({ "rules": [more] }), json!({ "rules": [rule] })),
            (
                json!({ "subjects": [{ "name": "a" }] }),
                json!({ "subjects": [{ "name": "a" }, { "name": "b" }] }),
            ),
            (
                json!({ "spec": { "selector": { "a": "b" } } }),
                json!({ "spec": { "selector": { "a": "b", "c": "d" } } }),
            ),
            (json!({ "args": ["serve"] }), json!({ "args": ["serve", "--insecure"] })),
        ] {
            assert!(contains(&wanted, &wanted));
            assert!(!contains(&live, &wanted), "{live}");
        }
    }

    #[test]
    fn a_field_that_is_no_longer_rendered_is_noticed() {
        let object = |digest: &str| json!({ "metadata": { "annotations": { annotations::RENDERED: digest } } });
        assert!(is_as_rendered(&object("1"), &object("1")));
        assert!(!is_as_rendered(&object("2"), &object("1")));
    }

    #[test]
    fn an_object_that_came_in_a_list_has_no_kind_of_its_own_and_is_as_rendered() {
        let live = json!({ "metadata": { "annotations": { annotations::RENDERED: "1" } }, "rules": [] });
        let mut rendered = live.clone();
        rendered["apiVersion"] = json!("rbac.authorization.k8s.io/v1");
        rendered["kind"] = json!("Role");
        assert!(is_as_rendered(&rendered, &live));
    }

    #[test]
    fn quantities_are_compared_by_value() {
        for (one, other) in [
            ("1000m", json!("1")),
            ("1", json!(1)),
            ("1024Mi", json!("1Gi")),
            ("0.5", json!("500m")),
            ("1k", json!("1000")),
        ] {
            assert!(same_quantity(&json!(one), &other), "{one} {other}");
        }
        for (one, other) in [("1", "2"), ("1Gi", "1G"), ("a", "b"), ("", "")] {
            assert!(!same_quantity(&json!(one), &json!(other)), "{one} {other}");
        }
    }
}
