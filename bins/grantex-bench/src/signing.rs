//! The machine's own speed, as the yardstick for a noisy machine.

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

use crate::clock;
use crate::error::BenchError;

/// About as long as a grant token's signing input.
const MESSAGE_LENGTH: usize = 700;

/// RSA-2048 PKCS#1 SHA-256 signatures a second on one core, measured for `length` with a key that is parsed once.
pub fn rsa_2048_per_second(length: Duration) -> Result<f64, BenchError> {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| BenchError::Signing)?;
    let random = SystemRandom::new();
    let message = [b'x'; MESSAGE_LENGTH];
    let mut signature = vec![0; key.public_modulus_len()];
    let mut sign = || {
        key.sign(&RSA_PKCS1_SHA256, &random, &message, &mut signature)
            .map_err(|_| BenchError::Signing)
    };
    for _ in 0..100 {
        sign()?;
    }
    let started = clock::now();
    let mut signatures = 0_u32;
    loop {
        sign()?;
        signatures += 1;
        let elapsed = clock::now() - started;
        if elapsed >= length {
            return Ok(f64::from(signatures) / elapsed.as_secs_f64());
        }
    }
}
