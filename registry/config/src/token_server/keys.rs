//! [`TokenServerKeys`]: the keys of a token server, whichever way they are written.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// The shortest RSA key that is believed, in bits.
const MIN_RSA_BITS: usize = 2048;
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const ED25519: &str = "1.3.101.112";

/// The keys of a token server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenServerKeys {
    /// A JSON Web Key Set (RFC 7517).
    pub jwks: Value,
    /// Whether tokens name them as the set does. Keys of PEM have no names: servers make one of the key, each in its own way.
    pub are_named: bool,
}

impl TokenServerKeys {
    /// Reads certificates or public keys in PEM, or a JSON Web Key Set.
    ///
    /// # Errors
    /// In words, where there is no key that could verify anything, or one that cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim_start().starts_with('{') {
            return Self::parse_set(text);
        }
        let mut keys = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let number = keys.len() + 1;
            let certificate = certificate.map_err(|error| cannot_be_read(number, &error))?;
            let parsed = X509Certificate::from_der(&certificate);
            let (_, parsed) = parsed.map_err(|error| format!("certificate {number} cannot be read: {error}"))?;
            keys.push(jwk(parsed.public_key()).map_err(|why| format!("certificate {number}: {why}"))?);
        }
        for key in SubjectPublicKeyInfoDer::pem_slice_iter(text.as_bytes()) {
            let number = keys.len() + 1;
            let key = key.map_err(|error| cannot_be_read(number, &error))?;
            let parsed = SubjectPublicKeyInfo::from_der(&key);
            let (_, parsed) = parsed.map_err(|error| format!("key {number} cannot be read: {error}"))?;
            keys.push(jwk(&parsed).map_err(|why| format!("key {number}: {why}"))?);
        }
        if keys.is_empty() {
            return Err(
                "there is no key: PEM begins with `-----BEGIN CERTIFICATE-----` or `-----BEGIN PUBLIC KEY-----`, and a JSON Web Key Set with `{`"
                    .to_owned(),
            );
        }
        Ok(Self {
            jwks: json!({ "keys": keys }),
            are_named: false,
        })
    }

    fn parse_set(text: &str) -> Result<Self, String> {
        let jwks: Value =
            serde_json::from_str(text).map_err(|error| format!("the JSON Web Key Set cannot be read: {error}"))?;
        let keys = jwks.get("keys").and_then(Value::as_array);
        let is_known = |key: &Value| {
            let field = |name: &str| key.get(name).and_then(Value::as_str);
            match (field("kty"), field("crv")) {
                (Some("RSA"), _) | (Some("EC"), Some("P-256" | "P-384")) | (Some("OKP"), Some("Ed25519")) => {
                    field("use").is_none_or(|usage| usage == "sig")
                }
                _ => false,
            }
        };
        if keys.is_some_and(|keys| keys.iter().any(is_known)) {
            return Ok(Self { jwks, are_named: true });
        }
        Err(
            "the JSON Web Key Set has no key of a kind that verifies tokens: RSA, EC with P-256 or P-384, or Ed25519"
                .to_owned(),
        )
    }
}

fn cannot_be_read(number: usize, error: &pem::Error) -> String {
    format!("key {number} cannot be read: {error}")
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
            if modulus.len() * 8 < MIN_RSA_BITS {
                return Err(format!("RSA keys of less than {MIN_RSA_BITS} bits are not believed"));
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
    use super::*;

    #[test]
    fn keys_are_read_from_certificates_and_public_keys_of_every_kind() {
        for algorithm in [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ED25519,
        ] {
            let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let certificate = rcgen::CertificateParams::default().self_signed(&pair).unwrap();
            let of_key = TokenServerKeys::parse(&pair.public_key_pem()).unwrap();
            let of_certificate = TokenServerKeys::parse(&certificate.pem()).unwrap();
            assert_eq!(of_key, of_certificate);
            assert!(!of_key.are_named);
            let both = format!("{}{}", certificate.pem(), pair.public_key_pem());
            let both = TokenServerKeys::parse(&both).unwrap();
            assert_eq!(both.jwks["keys"].as_array().unwrap().len(), 2);
        }
    }

    #[test]
    fn what_is_no_key_is_said_in_words() {
        for (text, want) in [
            ("", "there is no key"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "certificate 1",
            ),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "key 1"),
            ("{", "line 1 column 1"),
            (r#"{"keys": []}"#, "no key of a kind"),
            (r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#, "no key of a kind"),
            (r#"{"keys": [{"kty": "RSA", "use": "enc"}]}"#, "no key of a kind"),
        ] {
            let why = TokenServerKeys::parse(text).unwrap_err();
            assert!(why.contains(want), "{text}: {why}");
        }
    }
}
