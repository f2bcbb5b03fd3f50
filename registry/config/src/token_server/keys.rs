//! The keys of a token server, whichever way they are written, as a JSON Web Key Set (RFC 7517) with nothing in it that is secret.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde_json::{Map, Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::SignatureAlgorithm;

/// How many keys there may be: two while one takes the other's place, and some to spare. A token may be tried with each.
const MAX_KEYS: usize = 8;
/// The shortest RSA key that is believed, in bytes.
const MIN_RSA: usize = 256;
/// The longest, in bytes: to verify with it takes long enough.
const MAX_RSA: usize = 1024;
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const ED25519: &str = "1.3.101.112";

/// Reads certificates or public keys in PEM, or a JSON Web Key Set. Keys of a set that cannot verify tokens are left out, because an issuer
/// may add a key of a new kind at any time; so are certificates of authorities that stand behind their own in PEM, and everything secret.
///
/// # Errors
/// In words, where there is no key that could verify anything, one of PEM that cannot be read, or more than are looked at.
pub(super) fn key_set(text: &str) -> Result<Value, String> {
    let keys = if text.trim_start().starts_with('{') {
        of_set(text)?
    } else {
        of_pem(text)?
    };
    if keys.len() > MAX_KEYS {
        return Err(format!(
            "there are {} keys, and at most {MAX_KEYS} are looked at",
            keys.len()
        ));
    }
    Ok(json!({ "keys": keys }))
}

fn of_pem(text: &str) -> Result<Vec<Value>, String> {
    let certificates = CertificateDer::pem_slice_iter(text.as_bytes());
    let certificates: Vec<_> = numbered(certificates)?;
    let mut parsed = Vec::new();
    for (index, certificate) in certificates.iter().enumerate() {
        let number = index + 1;
        let (_, certificate) = X509Certificate::from_der(certificate)
            .map_err(|error| format!("certificate {number} cannot be read: {error}"))?;
        parsed.push((number, certificate));
    }
    let stands_behind_another = |authority: &X509Certificate<'_>| {
        parsed
            .iter()
            .any(|(_, other)| other.issuer() == authority.subject() && other.subject() != authority.subject())
    };
    let mut keys = Vec::new();
    for (number, certificate) in &parsed {
        if !stands_behind_another(certificate) {
            keys.push(jwk(certificate.public_key()).map_err(|why| format!("certificate {number}: {why}"))?);
        }
    }
    let public = numbered(SubjectPublicKeyInfoDer::pem_slice_iter(text.as_bytes()))?;
    for (index, key) in public.iter().enumerate() {
        let number = index + 1;
        let (_, key) =
            SubjectPublicKeyInfo::from_der(key).map_err(|error| format!("key {number} cannot be read: {error}"))?;
        keys.push(jwk(&key).map_err(|why| format!("key {number}: {why}"))?);
    }
    if keys.is_empty() && text.contains("PRIVATE KEY-----") {
        return Err(
            "there is a private key, and only public ones belong here: `openssl pkey -pubout` prints the one of it"
                .to_owned(),
        );
    }
    if keys.is_empty() {
        return Err(
            "there is no key: PEM begins with `-----BEGIN CERTIFICATE-----` or `-----BEGIN PUBLIC KEY-----`, and a JSON Web Key Set with `{`"
                .to_owned(),
        );
    }
    Ok(keys)
}

/// The sections of PEM, or which of them cannot be read.
fn numbered<T>(sections: impl Iterator<Item = Result<T, pem::Error>>) -> Result<Vec<T>, String> {
    let sections = sections.enumerate();
    sections
        .map(|(index, section)| section.map_err(|error| format!("section {} cannot be read: {error}", index + 1)))
        .collect()
}

fn of_set(text: &str) -> Result<Vec<Value>, String> {
    let set: Value =
        serde_json::from_str(text).map_err(|error| format!("the JSON Web Key Set cannot be read: {error}"))?;
    let keys = set.get("keys").and_then(Value::as_array).into_iter().flatten();
    let keys: Vec<Value> = keys.filter_map(Value::as_object).filter_map(public).collect();
    if keys.is_empty() {
        return Err(
            "the JSON Web Key Set has no key that verifies tokens: RSA of 2048 to 8192 bits, EC with P-256 or P-384, or Ed25519"
                .to_owned(),
        );
    }
    Ok(keys)
}

/// What is public of a key, where it verifies tokens in a way that is known.
fn public(key: &Map<String, Value>) -> Option<Value> {
    let field = |name: &str| key.get(name).and_then(Value::as_str);
    if field("use").is_some_and(|usage| usage != "sig") {
        return None;
    }
    let kind = field("kty")?;
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(field(name)?).ok();
    let is_whole = match (kind, field("crv")) {
        ("RSA", _) => (MIN_RSA..=MAX_RSA).contains(&without_zeros(&bytes("n")?).len()) && !bytes("e")?.is_empty(),
        ("EC", Some("P-256")) => bytes("x")?.len() == 32 && bytes("y")?.len() == 32,
        ("EC", Some("P-384")) => bytes("x")?.len() == 48 && bytes("y")?.len() == 48,
        ("OKP", Some("Ed25519")) => bytes("x")?.len() == 32,
        _ => return None,
    };
    if !is_whole || (key.contains_key("alg") && !algorithms(key).contains(&field("alg")?)) {
        return None;
    }
    let members = ["kty", "kid", "alg", "crv", "n", "e", "x", "y"];
    let members = members
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), field(name)?.into())));
    Some(Value::Object(members.collect()))
}

/// The algorithms that a kind of key is for.
fn algorithms(key: &Map<String, Value>) -> &'static [&'static str] {
    let field = |name: &str| key.get(name).and_then(Value::as_str);
    match (field("kty"), field("crv")) {
        (Some("RSA"), _) => &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
        (Some("EC"), Some("P-256")) => &["ES256"],
        (Some("EC"), Some("P-384")) => &["ES384"],
        (Some("OKP"), _) => &["EdDSA"],
        _ => &[],
    }
}

/// Whether one of the keys signs with one of the algorithms.
pub(super) fn are_for(keys: &Value, accepted: &[SignatureAlgorithm]) -> bool {
    let keys = keys["keys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_object);
    keys.map(algorithms).any(|names| {
        accepted
            .iter()
            .any(|accepted| names.contains(&format!("{accepted:?}").as_str()))
    })
}

/// A public key as a JSON Web Key without a name.
fn jwk(key: &SubjectPublicKeyInfo<'_>) -> Result<Value, String> {
    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let parsed = key.parsed().map_err(|error| format!("it cannot be read: {error}"))?;
    let algorithm = key.algorithm.algorithm.to_id_string();
    let curve = key.algorithm.parameters.as_ref();
    let curve = curve
        .and_then(|parameters| parameters.as_oid().ok())
        .map(|oid| oid.to_id_string());
    match (&parsed, curve.as_deref()) {
        (PublicKey::RSA(rsa), _) => {
            let modulus = without_zeros(rsa.modulus);
            if !(MIN_RSA..=MAX_RSA).contains(&modulus.len()) {
                return Err("RSA keys of less than 2048 bits, or more than 8192, are not believed".to_owned());
            }
            Ok(json!({ "kty": "RSA", "n": encoded(modulus), "e": encoded(without_zeros(rsa.exponent)) }))
        }
        (PublicKey::EC(point), Some(curve @ (P256 | P384))) => {
            let (name, half) = if curve == P256 { ("P-256", 32) } else { ("P-384", 48) };
            // An uncompressed point: 4, x, y (SEC 1, section 2.3.3).
            match point.data().split_first() {
                Some((4, both)) if both.len() == 2 * half => {
                    let (x, y) = both.split_at(half);
                    Ok(json!({ "kty": "EC", "crv": name, "x": encoded(x), "y": encoded(y) }))
                }
                _ => Err("its point is compressed, or cannot be read".to_owned()),
            }
        }
        _ if algorithm == ED25519 => {
            Ok(json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(&key.subject_public_key.data) }))
        }
        _ => Err("it is of another kind than RSA, ECDSA with P-256 or P-384, and Ed25519".to_owned()),
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    fn keys(text: &str) -> Vec<Value> {
        key_set(text).unwrap()["keys"].as_array().unwrap().clone()
    }

    fn named(name: &str) -> CertificateParams {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters
    }

    #[test]
    fn keys_are_read_from_certificates_and_public_keys_of_every_kind() {
        for algorithm in [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ED25519,
        ] {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let certificate = named("server").self_signed(&pair).unwrap();
            let of_key = keys(&pair.public_key_pem());
            assert_eq!(of_key, keys(&certificate.pem()));
            // What is secret beside it stays where it is.
            assert_eq!(of_key, keys(&format!("{}{}", pair.serialize_pem(), certificate.pem())));
            assert_eq!(
                keys(&format!("{}{}", certificate.pem(), pair.public_key_pem())).len(),
                2
            );
        }
    }

    #[test]
    fn an_authority_behind_a_certificate_signs_no_tokens_and_one_that_follows_another_does() {
        let (key, authority) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut above = named("authority");
        above.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = above.self_signed(&authority).unwrap();
        let leaf = named("server")
            .signed_by(&key, &Issuer::from_params(&above, &authority))
            .unwrap();
        assert_eq!(
            keys(&format!("{}{}", leaf.pem(), root.pem())),
            keys(&key.public_key_pem())
        );
        let (old, new) = (
            named("server").self_signed(&authority).unwrap(),
            named("server").self_signed(&key).unwrap(),
        );
        assert_eq!(keys(&format!("{}{}", old.pem(), new.pem())).len(), 2);
    }

    #[test]
    fn of_a_set_only_what_is_public_and_of_use_is_taken() {
        let pair = KeyPair::generate().unwrap();
        let [mut key] = <[Value; 1]>::try_from(keys(&pair.public_key_pem())).unwrap();
        key["kid"] = json!("a");
        key["alg"] = json!("ES256");
        let with = |changes: &[(&str, Value)]| {
            let mut key = key.clone();
            for (name, value) in changes {
                key[*name] = value.clone();
            }
            key
        };
        let set = json!({ "keys": [
            with(&[("d", json!("c2VjcmV0"))]),
            with(&[("alg", json!("ES384"))]),
            with(&[("alg", json!(1))]),
            with(&[("use", json!("enc"))]),
            with(&[("x", json!("AAAA"))]),
            json!({ "kty": "RSA", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB" }),
            json!({ "kty": "RSA" }),
            json!({ "kty": "oct", "k": "c2VjcmV0" }),
            json!("a"),
        ] });
        assert_eq!(keys(&set.to_string()), [key]);
    }

    #[test]
    fn what_is_no_key_is_said_in_words() {
        let many: String = (0..=MAX_KEYS)
            .map(|_| KeyPair::generate().unwrap().public_key_pem())
            .collect();
        for (text, want) in [
            ("", "there is no key"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "certificate 1",
            ),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", "section 1"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "key 1"),
            (&KeyPair::generate().unwrap().serialize_pem(), "openssl pkey -pubout"),
            ("{", "line 1 column 1"),
            (r#"{"keys": []}"#, "no key that verifies"),
            (r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#, "no key that verifies"),
            (&many, "9 keys"),
        ] {
            let why = key_set(text).unwrap_err();
            assert!(why.contains(want), "{text}: {why}");
        }
    }
}
