//! Tokens that are made to hurt: none is opened, none panics, and each is refused for its form before it costs anything.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use biscuit_auth::format::{SerializedBiscuit, schema};
use biscuit_auth::{Algorithm, Biscuit, BlockBuilder, KeyPair, UnverifiedBiscuit};
use grantex_biscuit::{Biscuits, key_number, outline};
use grantex_core::token::biscuit::{BiscuitFormat as _, BiscuitKey};
use proptest::prelude::*;
use prost_biscuit::Message as _;

use crate::support::{Issuer, append, covers, root};

fn bytes(token: &str) -> Vec<u8> {
    URL_SAFE.decode(token).unwrap()
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE.encode(bytes)
}

fn changed(token: &str, change: impl FnOnce(&mut schema::Biscuit)) -> String {
    let mut parts = schema::Biscuit::decode(&*bytes(token)).unwrap();
    change(&mut parts);
    text(&parts.encode_to_vec())
}

fn chain_of(token: &str, blocks: usize) -> String {
    (0..blocks).fold(token.to_owned(), |token, _| append(&token, ""))
}

#[test]
fn a_table_of_hostile_tokens() {
    let issuer = Issuer::new();
    let token = issuer.token();
    let narrowed = append(&token, r#"check if operation("a");"#);
    let other = Issuer::new().token();
    let many_symbols: Vec<String> = (0..6_000).map(|number| format!("\"s{number}\"")).collect();
    let wide = format!("check if operation($o), {{{}}}.contains($o);", many_symbols.join(","));
    let deep = format!("check if {}true{};", "(".repeat(60), ")".repeat(60));
    let table: Vec<(&str, String)> = vec![
        ("nothing", String::new()),
        ("no base64", "ü".to_owned()),
        ("garbage", "AAAA".repeat(100)),
        ("zeros", text(&[0; 64])),
        ("too long", "A".repeat(400_000)),
        (
            "a varint without end",
            text(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ),
        ("a length beyond the end", text(&[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f])),
        ("half of a token", token[..token.len() / 8 * 4].to_owned()),
        ("a token and more", text(&[bytes(&token), bytes(&token)].concat())),
        ("nesting without end", text(&[0x12; 10_000])),
        (
            "empty blocks without end",
            text(&[bytes(&token), [0x1a, 0x00].repeat(20_000)].concat()),
        ),
        ("another server's token", other.clone()),
        (
            "another server's under our number",
            changed(&other, |parts| parts.root_key_id = Some(key_number(&issuer.key.kid))),
        ),
        ("no number", changed(&token, |parts| parts.root_key_id = None)),
        ("a block removed", changed(&narrowed, |parts| parts.blocks.clear())),
        (
            "a block twice",
            changed(&narrowed, |parts| parts.blocks.push(parts.blocks[0].clone())),
        ),
        (
            "an older block changed",
            changed(&narrowed, |parts| parts.authority.block.push(0)),
        ),
        (
            "a later block changed",
            changed(&narrowed, |parts| parts.blocks[0].block.push(0)),
        ),
        (
            "a signature changed",
            changed(&narrowed, |parts| parts.blocks[0].signature[3] ^= 1),
        ),
        (
            "a signature of no length",
            changed(&narrowed, |parts| parts.blocks[0].signature.clear()),
        ),
        ("no proof", changed(&token, |parts| parts.proof.content = None)),
        ("deep: a block too many", chain_of(&token, outline::MAX_BLOCKS + 1)),
        ("wide: a block of a thousand texts", append(&token, &wide)),
        ("slow: brackets", append(&token, &deep)),
    ];
    for (what, token) in table {
        assert_eq!(issuer.open(&token), None, "{what}");
    }
    assert!(issuer.open(&chain_of(&token, outline::MAX_BLOCKS)).is_some());
}

#[test]
fn a_text_that_is_named_again_and_again_is_kept_once() {
    // A name takes some bytes of a block, whatever the length of the text.
    let issuer = Issuer::new();
    let scope = "s".repeat(1_000);
    let list = vec![format!("{scope:?}"); 1_500].join(",");
    let token = append(
        &issuer.token(),
        &format!("check if operation($o), [{list}].contains($o);"),
    );
    let chain = issuer.open(&token).unwrap();
    assert_eq!(chain.blocks[0].narrowing.scopes, Some(vec![scope]));
}

#[test]
fn only_ed25519_signs_blocks() {
    // A signature of P-256 has a twin that is good as well: a revoked block would return under another id.
    let issuer = Issuer::new();
    let pair = KeyPair::new_with_algorithm(Algorithm::Secp256r1);
    let token = UnverifiedBiscuit::from_base64(issuer.token()).unwrap();
    let token = token.append_with_keypair(&pair, BlockBuilder::new()).unwrap();
    assert_eq!(issuer.open(&token.to_base64().unwrap()), None);
}

#[test]
fn blocks_of_third_parties_are_refused() {
    let issuer = Issuer::new();
    let token = issuer.parsed(&issuer.token());
    let pair = KeyPair::new();
    let block = token
        .third_party_request()
        .unwrap()
        .create_block(&pair.private(), BlockBuilder::new())
        .unwrap();
    let token = token.append_third_party(pair.public(), block).unwrap();
    assert_eq!(issuer.open(&token.to_base64().unwrap()), None);
}

#[test]
fn another_kind_of_biscuit_under_our_key_is_no_grant_token() {
    let issuer = Issuer::new();
    let builder = Biscuit::builder().root_key_id(key_number(&issuer.key.kid));
    let token = builder
        .code(r#"right("everything");"#)
        .unwrap()
        .build(&issuer.pair())
        .unwrap();
    assert_eq!(issuer.open(&token.to_base64().unwrap()), None);
}

#[test]
fn a_sealed_token_is_as_good_as_before() {
    let issuer = Issuer::new();
    let sealed = issuer.parsed(&issuer.token()).seal().unwrap().to_base64().unwrap();
    assert!(issuer.open(&sealed).is_some());
}

#[test]
fn what_was_verified_once_is_not_good_under_other_keys() {
    let (format, old, new) = (
        Biscuits::default(),
        BiscuitKey::generate().unwrap(),
        BiscuitKey::generate().unwrap(),
    );
    let both = format.keys(&[old.clone(), new.clone()], &old.kid).unwrap();
    let token = both.mint(&root(&["a"])).unwrap();
    assert!(both.open(token.expose()).is_some());
    assert!(both.open(token.expose()).is_some(), "from memory");
    let later = format.keys(&[old, new.clone()], &new.kid).unwrap();
    assert!(later.open(token.expose()).is_some(), "its key is published still");
    assert_eq!(later.signing_kid(), new.kid);
    let last = format.keys(std::slice::from_ref(&new), &new.kid).unwrap();
    assert_eq!(last.open(token.expose()), None, "its key is gone");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let issuer = Issuer::shared();
        prop_assert_eq!(issuer.open(&text(&bytes)), None);
    }

    #[test]
    fn a_changed_token_never_says_more(place in any::<prop::sample::Index>(), byte in any::<u8>(), is_cut in any::<bool>()) {
        let issuer = Issuer::shared();
        let token = append(&issuer.token(), r#"check if operation("a");"#);
        let whole = issuer.open(&token).unwrap();
        let mut bytes = bytes(&token);
        let at = place.index(bytes.len());
        if is_cut { bytes.truncate(at) } else { bytes[at] = byte }
        // What is left of it may be another spelling of the same token, never another token.
        if let Some(chain) = issuer.open(&text(&bytes)) {
            prop_assert_eq!(chain, whole);
        }
    }

    #[test]
    fn a_block_of_any_bytes_is_refused_or_narrows(content in prop::collection::vec(any::<u8>(), 0..200)) {
        // Signed by the holder, as any block is: what it holds is up to whoever makes it.
        let issuer = Issuer::shared();
        let token = issuer.token();
        let whole = issuer.open(&token).unwrap().effective();
        let parts = SerializedBiscuit::from_slice(&bytes(&token), issuer.pair().public()).unwrap();
        let longer = parts.append_serialized(&KeyPair::new(), content, None).unwrap();
        if let Some(chain) = issuer.open(&text(&longer.to_vec().unwrap())) {
            prop_assert!(covers(&whole, &chain.effective()));
        }
    }

    #[test]
    fn a_block_that_is_nearly_right_is_refused_or_narrows(place in any::<prop::sample::Index>(), byte in any::<u8>(), is_cut in any::<bool>()) {
        let issuer = Issuer::shared();
        let token = issuer.token();
        let whole = issuer.open(&token).unwrap().effective();
        let narrowed = append(&token, r#"check if operation($o), {"a", "new"}.contains($o); check if spend($n, "EUR"), $n <= 5; agent("did:web:x");"#);
        let mut content = schema::Biscuit::decode(&*bytes(&narrowed)).unwrap().blocks[0].block.clone();
        let at = place.index(content.len());
        if is_cut { content.truncate(at) } else { content[at] = byte }
        let parts = SerializedBiscuit::from_slice(&bytes(&token), issuer.pair().public()).unwrap();
        let longer = parts.append_serialized(&KeyPair::new(), content, None).unwrap();
        if let Some(chain) = issuer.open(&text(&longer.to_vec().unwrap())) {
            prop_assert!(covers(&whole, &chain.effective()));
        }
    }
}
