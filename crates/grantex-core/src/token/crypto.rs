//! Keys, seal and randomness with aws-lc-rs. Private keys are parsed once: parsing costs more than signing.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

use super::biscuit::{self, BiscuitKey};
use super::signer::{Algorithm, Sealer, SignError, Signer, Verifier};
use crate::id::Random;
use crate::secret::Secret;

/// A key could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is not a PKCS#8 private key of a supported kind.
    #[error("the private key is not PKCS#8 of an RSA or P-256 key")]
    Malformed,
    /// The RSA modulus is too short.
    #[error("the RSA key has {bits} bits; at least 2048 are needed")]
    TooShort {
        /// Length of the modulus.
        bits: usize,
    },
    /// The library refused.
    #[error("the key could not be generated")]
    Generation,
    /// The master key is not 32 bytes.
    #[error("the master key must be 32 bytes, as 64 hex digits or base64")]
    MasterKey,
}

/// A key pair of this server.
pub struct KeyPair {
    algorithm: Algorithm,
    key_id: String,
    jwk: Value,
    private: PrivateKey,
    public: ParsedPublicKey,
    random: SystemRandom,
}

enum PrivateKey {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl KeyPair {
    /// Generates a key; RSA keys have 2048 bits. Returns it with its PKCS#8 encoding.
    pub fn generate(algorithm: Algorithm) -> Result<(Self, Secret<Vec<u8>>), KeyError> {
        let der = match algorithm {
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Generation)?;
                let der = pair.as_der().map_err(|_| KeyError::Generation)?;
                der.as_ref().to_vec()
            }
            Algorithm::Es256 => {
                let pair =
                    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| KeyError::Generation)?;
                pair.to_pkcs8v1().map_err(|_| KeyError::Generation)?.as_ref().to_vec()
            }
        };
        let der = Secret::new(der);
        Ok((Self::from_pkcs8(algorithm, &der)?, der))
    }

    /// Reads a PKCS#8 private key (DER).
    pub fn from_pkcs8(algorithm: Algorithm, der: &Secret<Vec<u8>>) -> Result<Self, KeyError> {
        match algorithm {
            Algorithm::Rs256 => Self::rsa(der),
            Algorithm::Es256 => Self::ec(der),
        }
    }

    /// Reads a PKCS#8 private key (PEM, RFC 7468); `\n` may be written as two characters.
    pub fn pem_to_pkcs8(pem: &str) -> Result<Secret<Vec<u8>>, KeyError> {
        let pem = Secret::new(pem.replace("\\n", "\n"));
        let body = pem
            .expose()
            .split_once("-----BEGIN PRIVATE KEY-----")
            .and_then(|(_, rest)| rest.split_once("-----END PRIVATE KEY-----"))
            .map(|(body, _)| body)
            .ok_or(KeyError::Malformed)?;
        let text = Secret::new(body.split_ascii_whitespace().collect::<String>());
        STANDARD
            .decode(text.expose())
            .map(Secret::new)
            .map_err(|_| KeyError::Malformed)
    }

    fn rsa(der: &Secret<Vec<u8>>) -> Result<Self, KeyError> {
        let pair = RsaKeyPair::from_pkcs8(der.expose()).map_err(|_| KeyError::Malformed)?;
        let bits = pair.public_modulus_len() * 8;
        if bits < 2048 {
            return Err(KeyError::TooShort { bits });
        }
        let (modulus, exponent) = (pair.public_key().modulus(), pair.public_key().exponent());
        let n = URL_SAFE_NO_PAD.encode(strip_zeros(modulus.big_endian_without_leading_zero()));
        let e = URL_SAFE_NO_PAD.encode(strip_zeros(exponent.big_endian_without_leading_zero()));
        let key_id = thumbprint(&json!({"e": e, "kty": "RSA", "n": n}));
        let jwk = json!({"kty": "RSA", "n": n, "e": e, "alg": "RS256", "use": "sig", "kid": key_id});
        let public = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref())
            .map_err(|_| KeyError::Malformed)?;
        Ok(Self {
            algorithm: Algorithm::Rs256,
            key_id,
            jwk,
            private: PrivateKey::Rsa(pair),
            public,
            random: SystemRandom::new(),
        })
    }

    fn ec(der: &Secret<Vec<u8>>) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.expose())
            .map_err(|_| KeyError::Malformed)?;
        // Uncompressed point: 0x04, then 32 bytes each of x and y.
        let point = pair.public_key().as_ref();
        let (x, y) = point.get(1..33).zip(point.get(33..65)).ok_or(KeyError::Malformed)?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let key_id = thumbprint(&json!({"crv": "P-256", "kty": "EC", "x": x, "y": y}));
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "alg": "ES256", "use": "sig", "kid": key_id});
        let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| KeyError::Malformed)?;
        Ok(Self {
            algorithm: Algorithm::Es256,
            key_id,
            jwk,
            private: PrivateKey::Ec(pair),
            public,
            random: SystemRandom::new(),
        })
    }
}

impl BiscuitKey {
    /// Makes a root key.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = [0_u8; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| KeyError::Generation)?;
        let seed = Secret::new(bytes.to_vec());
        zeroize::Zeroize::zeroize(&mut bytes);
        Self::from_seed(seed)
    }

    /// The root key of these 32 secret bytes.
    pub fn from_seed(seed: Secret<Vec<u8>>) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| KeyError::Malformed)?;
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let kid = thumbprint(&json!({"crv": "Ed25519", "kty": "OKP", "x": x}));
        let jwk = json!({
            "kty": "OKP", "crv": "Ed25519", "x": x, "alg": biscuit::ALGORITHM, "use": "sig", "kid": kid,
        });
        Ok(Self { kid, seed, jwk })
    }
}

impl Signer for KeyPair {
    fn key_id(&self) -> &str {
        &self.key_id
    }

    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let failed = |_| SignError("the cryptographic library refused to sign".into());
        match &self.private {
            PrivateKey::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
            PrivateKey::Ec(pair) => pair
                .sign(&self.random, message)
                .map(|s| s.as_ref().to_vec())
                .map_err(failed),
        }
    }
}

impl Verifier for KeyPair {
    fn key_id(&self) -> &str {
        &self.key_id
    }

    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }

    fn jwk(&self) -> &Value {
        &self.jwk
    }
}

/// The RFC 7638 thumbprint of a JWK's required members: unpadded base64url of the SHA-256 of their canonical JSON.
///
/// The members may be given in any order: those of a JSON object are sorted here, because whether `serde_json` keeps its maps sorted is
/// decided by the features of other crates of a build.
pub fn thumbprint(required: &Value) -> String {
    let sorted: BTreeMap<&str, &Value> = required
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, member)| (name.as_str(), member))
        .collect();
    let members: Vec<String> = sorted
        .into_iter()
        .map(|(name, member)| format!("{}:{member}", Value::from(name)))
        .collect();
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{{{}}}", members.join(","))))
}

fn strip_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// AES-256-GCM under the master key.
pub struct MasterKey {
    key: LessSafeKey,
    random: SystemRandom,
}

impl MasterKey {
    /// Reads 32 bytes as 64 hex digits or base64 (standard or URL alphabet, padded or not).
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let bytes = if text.len() == 64 { unhex(text) } else { None };
        let bytes = bytes.or_else(|| {
            let plain: String = text
                .trim_end_matches('=')
                .chars()
                .map(|c| match c {
                    '+' => '-',
                    '/' => '_',
                    c => c,
                })
                .collect();
            URL_SAFE_NO_PAD.decode(Secret::new(plain).expose()).ok()
        });
        Self::from_bytes(&Secret::new(bytes.ok_or(KeyError::MasterKey)?))
    }

    /// A master key of these 32 bytes.
    pub fn from_bytes(bytes: &Secret<Vec<u8>>) -> Result<Self, KeyError> {
        let key = UnboundKey::new(&AES_256_GCM, bytes.expose()).map_err(|_| KeyError::MasterKey)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            random: SystemRandom::new(),
        })
    }
}

impl Sealer for MasterKey {
    fn seal(&self, context: &str, plain: &[u8]) -> Result<String, SignError> {
        let failed = |_| SignError("the cryptographic library refused to seal".into());
        let mut nonce = [0_u8; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(failed)?;
        let mut data = plain.to_vec();
        let tag = self
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                &mut data,
            )
            .map_err(failed)?;
        let mut sealed = nonce.to_vec();
        sealed.extend_from_slice(&data);
        sealed.extend_from_slice(tag.as_ref());
        Ok(STANDARD.encode(sealed))
    }

    fn open(&self, context: &str, sealed: &str) -> Option<Vec<u8>> {
        let bytes = STANDARD.decode(sealed).ok()?;
        let (nonce, data) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut data = data.to_vec();
        let length = self
            .key
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut data)
            .ok()?
            .len();
        // Cut in place: no second copy of the plain text is left behind.
        data.truncate(length);
        Some(data)
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    digits?
        .chunks_exact(2)
        .map(|pair| u8::try_from(pair.first()? * 16 + pair.last()?).ok())
        .collect()
}

/// The operating system's generator.
#[derive(Debug, Clone, Default)]
pub struct SystemEntropy(SystemRandom);

impl Random for SystemEntropy {
    #[expect(
        clippy::expect_used,
        reason = "without randomness no secret may be made; the generator fails only when the machine is broken"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        self.0
            .fill(bytes)
            .expect("the operating system's random generator works");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_of_rfc_7638_holds() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        assert_eq!(
            thumbprint(&json!({"kty": "RSA", "n": n, "e": "AQAB"})),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    #[test]
    fn keys_sign_what_they_verify_and_survive_storage() {
        for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
            let (key, der) = KeyPair::generate(algorithm).unwrap();
            let again = KeyPair::from_pkcs8(algorithm, &der).unwrap();
            let signature = key.sign(b"message").unwrap();
            assert!(again.verify(b"message", &signature));
            assert!(!again.verify(b"messagf", &signature));
            assert_eq!(Signer::key_id(&key), Signer::key_id(&again));
        }
    }

    #[test]
    fn what_is_sealed_opens_only_in_its_context() {
        let key = MasterKey::parse(&"5a".repeat(32)).unwrap();
        let sealed = key.seal("kid-1", b"private").unwrap();
        assert_eq!(key.open("kid-1", &sealed).as_deref(), Some(b"private".as_slice()));
        assert_eq!(key.open("kid-2", &sealed), None);
        assert_eq!(MasterKey::parse(&"00".repeat(32)).unwrap().open("kid-1", &sealed), None);
        assert!(MasterKey::parse("short").is_err());
        assert!(
            MasterKey::parse("WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=")
                .unwrap()
                .open("kid-1", &sealed)
                .is_some()
        );
    }
}
