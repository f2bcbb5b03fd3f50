//! Every rendered object of each kind of Registry, whole.

use crds::Registry;
use serde_json::{Value, json};

use super::render;
use crate::registry::validate::{ServerSettings, Storage, Workload};
use crds::{Retention, ServiceType};

fn registry(spec: &Value) -> Registry {
    serde_json::from_value(json!({
        "apiVersion": "wharfinger.dev/v1alpha1",
        "kind": "Registry",
        "metadata": { "name": "main", "namespace": "team", "uid": "11111111-2222-3333-4444-555555555555" },
        "spec": spec,
    }))
    .unwrap()
}

fn workload(storage: Storage) -> Workload {
    Workload {
        image: "registry.example.com/wharfinger/registry:0.1.0".into(),
        replicas: 1,
        storage,
        service_type: ServiceType::ClusterIP,
        service_port: 80,
        node_port: None,
        external_traffic_policy: None,
        tls_secret: None,
        server: ServerSettings::default(),
    }
}

fn rendered(registry: &Registry, workload: &Workload) -> Vec<Value> {
    render(registry, workload)
        .into_iter()
        .map(|object| object.object)
        .collect()
}

#[test]
fn renders_everything_for_a_new_volume() {
    let storage = Storage::NewClaim {
        size: "10Gi".into(),
        class: None,
        access_modes: vec!["ReadWriteOnce".into()],
        retention: Retention::Retain,
    };
    let registry = registry(&json!({ "storage": { "persistentVolumeClaim": { "size": "10Gi" } } }));
    insta::assert_yaml_snapshot!(rendered(&registry, &workload(storage)));
}

#[test]
fn a_node_port_and_an_empty_dir_change_the_service_and_the_volume_alone() {
    let registry = registry(&json!({ "storage": { "emptyDir": {} } }));
    let base = rendered(&registry, &workload(Storage::EmptyDir { size_limit: None }));
    let exposed = Workload {
        service_type: ServiceType::NodePort,
        node_port: Some(30500),
        ..workload(Storage::EmptyDir {
            size_limit: Some("1Gi".into()),
        })
    };
    let exposed = rendered(&registry, &exposed);
    let changed: Vec<&str> = base
        .iter()
        .zip(&exposed)
        .filter(|(base, exposed)| base != exposed)
        .filter_map(|(base, _)| base["kind"].as_str())
        .collect();
    assert_eq!(changed, ["Service", "Deployment"]);
    let service = exposed.iter().find(|object| object["kind"] == "Service").unwrap();
    assert_eq!(service["spec"]["ports"][0]["nodePort"], 30500);
    assert_eq!(
        exposed.last().unwrap()["spec"]["template"]["spec"]["volumes"][3]["emptyDir"]["sizeLimit"],
        "1Gi"
    );
}

#[test]
fn a_retained_volume_outlives_its_registry_and_a_deleted_one_does_not() {
    let registry = registry(&json!({ "storage": { "persistentVolumeClaim": { "size": "1Gi" } } }));
    for (retention, owners) in [(Retention::Retain, 0), (Retention::Delete, 1)] {
        let storage = Storage::NewClaim {
            size: "1Gi".into(),
            class: Some("fast".into()),
            access_modes: vec!["ReadWriteOnce".into()],
            retention,
        };
        let objects = rendered(&registry, &workload(storage));
        let claim = objects
            .iter()
            .find(|object| object["kind"] == "PersistentVolumeClaim")
            .unwrap();
        assert_eq!(
            claim["metadata"]["ownerReferences"].as_array().map_or(0, Vec::len),
            owners
        );
        assert_eq!(claim["spec"]["storageClassName"], "fast");
    }
}

#[test]
fn nothing_but_the_image_ties_a_pod_to_the_version_of_the_operator() {
    let registry = registry(&json!({ "storage": { "emptyDir": {} } }));
    let objects = rendered(&registry, &workload(Storage::EmptyDir { size_limit: None }));
    let template = objects.last().unwrap()["spec"]["template"].to_string();
    assert_eq!(template.matches(env!("CARGO_PKG_VERSION")).count(), 1, "{template}");
}

#[test]
fn a_certificate_is_mounted_as_a_whole_and_named_in_the_server_document() {
    let registry = registry(&json!({ "storage": { "emptyDir": {} }, "tls": { "secretRef": { "name": "cert" } } }));
    let secured = Workload {
        tls_secret: Some("cert".into()),
        ..workload(Storage::EmptyDir { size_limit: None })
    };
    let objects = rendered(&registry, &secured);
    let pod = &objects.last().unwrap()["spec"]["template"]["spec"];
    let volume = pod["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|volume| volume["name"] == "tls")
        .unwrap();
    assert_eq!(
        (&volume["secret"]["secretName"], &volume["secret"]["optional"]),
        (&json!("cert"), &json!(true))
    );
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["name"] == "tls").unwrap();
    assert!(
        mount.get("subPath").is_none(),
        "the kubelet never replaces what is mounted by subPath"
    );
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(pod["containers"][0][probe]["httpGet"]["port"], "admin");
    }
    let config = objects.iter().find(|object| object["kind"] == "ConfigMap").unwrap();
    let config = registry_config::ServerConfig::parse(config["data"]["server.yaml"].as_str().unwrap()).unwrap();
    let directory = std::path::Path::new(mount["mountPath"].as_str().unwrap());
    assert_eq!(config.tls.unwrap().private_key, directory.join("tls.key"));
}
