//! The keys and certificates of a node, and the kubeconfig of each of its programs. They live as long as the node.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::json;

use crate::layout::{API_SERVER_ADDRESS, API_SERVICE_ADDRESS, Layout, NODE_ADDRESS};

/// Who signs in with a certificate: file name, user, group.
const USERS: [(&str, &str, Option<&str>); 5] = [
    ("admin", "wharf-admin", Some("system:masters")),
    ("kube-controller-manager", "system:kube-controller-manager", None),
    ("kube-scheduler", "system:kube-scheduler", None),
    ("kube-proxy", "system:kube-proxy", None),
    ("provisioner", "wharf-provisioner", Some("system:masters")),
];

/// Makes everything anew.
pub(crate) fn create(layout: &Layout) -> Result<()> {
    for folder in [layout.pki(""), layout.kubeconfig("")] {
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
    }
    let cluster = authority("wharf-ca")?;
    // Its own authority: whoever it vouches for may say to be anybody, and the cluster's vouches for the kubelet too.
    let front_proxy = authority("wharf-front-proxy-ca")?;
    write(&layout.pki("ca.crt"), &cluster.pem())?;
    write(&layout.pki("ca.key"), &cluster.key().serialize_pem())?;
    write(&layout.pki("front-proxy-ca.crt"), &front_proxy.pem())?;

    let node = layout.full_name();
    let api_server_names = [
        "localhost",
        "127.0.0.1",
        NODE_ADDRESS,
        API_SERVICE_ADDRESS,
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        &node,
    ];
    let node_names = [&*node, NODE_ADDRESS, "127.0.0.1", "localhost"];
    let files = [
        ("apiserver", issue(&cluster, "kube-apiserver", None, &api_server_names)?),
        (
            "kubelet-server",
            issue(&cluster, &format!("system:node:{node}"), None, &node_names)?,
        ),
        (
            "apiserver-kubelet-client",
            issue(&cluster, "kube-apiserver-kubelet-client", Some("system:masters"), &[])?,
        ),
        (
            "front-proxy-client",
            issue(&front_proxy, "front-proxy-client", None, &[])?,
        ),
    ];
    for (file, (certificate, key)) in files {
        write(&layout.pki(&format!("{file}.crt")), &certificate)?;
        write(&layout.pki(&format!("{file}.key")), &key)?;
    }
    let service_accounts = KeyPair::generate()?;
    write(&layout.pki("service-accounts.key"), &service_accounts.serialize_pem())?;
    write(&layout.pki("service-accounts.pub"), &service_accounts.public_key_pem())?;

    let kubelet_user = format!("system:node:{node}");
    let kubelet = ("kubelet", &*kubelet_user, Some("system:nodes"));
    for (file, user, group) in USERS.into_iter().chain([kubelet]) {
        let (certificate, key) = issue(&cluster, user, group, &[])?;
        write(&layout.pki(&format!("{file}.crt")), &certificate)?;
        write(&layout.pki(&format!("{file}.key")), &key)?;
        write_kubeconfig(layout, &layout.kubeconfig(file), file, API_SERVER_ADDRESS)?;
    }
    Ok(())
}

/// Writes a kubeconfig that signs in as the holder of `pki/USER.crt` and holds everything itself, so that it can be copied.
pub(crate) fn write_kubeconfig(layout: &Layout, path: &Path, user: &str, api_server: &str) -> Result<()> {
    let read = |file: &str| {
        let path = layout.pki(file);
        fs::read(&path)
            .map(|bytes| BASE64.encode(bytes))
            .with_context(|| format!("cannot read `{}`", path.display()))
    };
    let name = layout.full_name();
    // JSON is YAML.
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {
            "server": format!("https://{api_server}"),
            "certificate-authority-data": read("ca.crt")?,
        }}],
        "users": [{"name": user, "user": {
            "client-certificate-data": read(&format!("{user}.crt"))?,
            "client-key-data": read(&format!("{user}.key"))?,
        }}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "current-context": name,
    });
    write(path, &serde_json::to_string_pretty(&config)?)
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = parameters(name, None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// A certificate and its key; with names it is good for a server, and always for a client.
fn issue(
    authority: &CertifiedIssuer<'_, KeyPair>,
    user: &str,
    group: Option<&str>,
    names: &[&str],
) -> Result<(String, String)> {
    let mut params = parameters(user, group);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if !names.is_empty() {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    for name in names {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*name).try_into()?),
        });
    }
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn parameters(user: &str, group: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, user);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.use_authority_key_identifier_extension = true;
    params
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}
