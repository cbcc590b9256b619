//! `Barrier`: what stands between the records and the disk. Nothing readable is ever written to the file.
//!
//! ```text
//! key file (32 bytes, mode 0400/0600) --wraps--> data key (32 bytes, random, in the store file)
//! data key --HKDF-SHA256--> record key (XChaCha20-Poly1305), name key, token key and backup key (HMACs)
//! sealed bytes: 0x01 | nonce (24, random) | ciphertext and tag;  AAD: shelf name | 0x00 | physical key
//! ```
//! Names of records are stored as HMACs (for look-up) and encrypted (for LIST); tokens only as HMACs.
//! Out of scope: where the bytes lie ([`super::table`]), and going back to an older copy of the whole file.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use ring::rand::SecureRandom;
use ring::{hkdf, hmac, rand};
use vouchsafe_model::Secret;

use super::fault::Fault;

/// Length of every key here, in bytes.
pub(crate) const KEY_BYTES: usize = 32;
/// First byte of everything sealed: the form drawn above.
const FORM: u8 = 1;
/// Nonce of XChaCha20, in bytes; long enough to be drawn at random for ever.
const NONCE_BYTES: usize = 24;
/// Bytes of each half of a name's physical key: 128 bits of an HMAC do not collide.
const NAME_HALF_BYTES: usize = 16;
/// AAD of the wrapped data key.
const WRAP_CONTEXT: &[u8] = b"vouchsafe store data key";

/// The keys of an open store.
pub(crate) struct Barrier {
    cipher: XChaCha20Poly1305,
    names: hmac::Key,
    tokens: hmac::Key,
    backups: hmac::Key,
    random: rand::SystemRandom,
}

impl Barrier {
    /// Derives the working keys.
    pub(crate) fn new(data_key: &Secret) -> Result<Self, Fault> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"vouchsafe store");
        // EXPOSE: the data key only enters the key derivation.
        let root = salt.extract(data_key.expose());
        // EXPOSE: working keys enter their algorithms.
        let record = derive(&root, b"records")?;
        Ok(Self {
            cipher: cipher(&record)?,
            names: hmac::Key::new(hmac::HMAC_SHA256, derive(&root, b"names")?.expose()),
            tokens: hmac::Key::new(hmac::HMAC_SHA256, derive(&root, b"tokens")?.expose()),
            backups: hmac::Key::new(hmac::HMAC_SHA256, derive(&root, b"backups")?.expose()),
            random: rand::SystemRandom::new(),
        })
    }

    /// Encrypts `plain` for the place `shelf`/`key`.
    pub(crate) fn encrypt(&self, shelf: &str, key: &[u8], plain: &[u8]) -> Result<Vec<u8>, Fault> {
        seal(&self.cipher, &self.random, &place(shelf, key), plain)
    }

    /// Decrypts what lies at `shelf`/`key`; fails when it was made for another place or was changed.
    pub(crate) fn decrypt(&self, shelf: &'static str, key: &[u8], sealed: &[u8]) -> Result<Secret, Fault> {
        open(&self.cipher, &place(shelf, key), sealed).ok_or(Fault::Corrupt(shelf))
    }

    /// Physical key of a record.
    pub(crate) fn record_key(&self, name: &str) -> Vec<u8> {
        self.name_tag(b"record", name)
    }

    /// Physical key of the entry `name` in the listing of `folder`: all of a folder lie side by side.
    pub(crate) fn entry_key(&self, folder: &str, name: &str) -> Vec<u8> {
        let mut key = self.folder_prefix(folder);
        let tag = self.name_tag(b"entry", &format!("{folder}\0{name}"));
        key.extend(tag.into_iter().take(NAME_HALF_BYTES));
        key
    }

    /// What the physical keys of a folder's entries begin with.
    pub(crate) fn folder_prefix(&self, folder: &str) -> Vec<u8> {
        let mut tag = self.name_tag(b"folder", folder);
        tag.truncate(NAME_HALF_BYTES);
        tag
    }

    /// The stand-in for a token or accessor, in hex: the value itself is never stored.
    pub(crate) fn token_tag(&self, token: &Secret) -> String {
        // EXPOSE: the token only enters the HMAC.
        let tag = hmac::sign(&self.tokens, token.expose());
        hex(tag.as_ref())
    }

    /// Makes the seal of a backup.
    pub(crate) fn backup_context(&self) -> hmac::Context {
        hmac::Context::with_key(&self.backups)
    }

    /// `N` random bytes.
    pub(crate) fn random<const N: usize>(&self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes).map_err(|_| Fault::Random)?;
        Ok(bytes)
    }

    fn name_tag(&self, kind: &[u8], name: &str) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.names);
        context.update(kind);
        context.update(b"\0");
        context.update(name.as_bytes());
        context.sign().as_ref().to_vec()
    }
}

/// A fresh random key.
pub(crate) fn new_key() -> Result<Secret, Fault> {
    let mut bytes = vec![0; KEY_BYTES];
    rand::SystemRandom::new().fill(&mut bytes).map_err(|_| Fault::Random)?;
    Ok(Secret::new(bytes))
}

/// The data key as it stands in the file.
pub(crate) fn wrap(key_encryption_key: &Secret, data_key: &Secret) -> Result<Vec<u8>, Fault> {
    // EXPOSE: the data key is encrypted at once.
    seal(&cipher(key_encryption_key)?, &rand::SystemRandom::new(), WRAP_CONTEXT, data_key.expose())
}

/// The data key; `None` where the key file does not belong to this store.
pub(crate) fn unwrap(key_encryption_key: &Secret, wrapped: &[u8]) -> Result<Option<Secret>, Fault> {
    Ok(open(&cipher(key_encryption_key)?, WRAP_CONTEXT, wrapped))
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
    }
    text
}

fn place(shelf: &str, key: &[u8]) -> Vec<u8> {
    [shelf.as_bytes(), b"\0", key].concat()
}

fn cipher(key: &Secret) -> Result<XChaCha20Poly1305, Fault> {
    // EXPOSE: the key enters the cipher, which wipes it on drop.
    let key = Key::try_from(key.expose()).map_err(|_| Fault::Key)?;
    Ok(XChaCha20Poly1305::new(&key))
}

fn seal(cipher: &XChaCha20Poly1305, random: &rand::SystemRandom, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut nonce = [0; NONCE_BYTES];
    random.fill(&mut nonce).map_err(|_| Fault::Random)?;
    let sealed = cipher.encrypt(&XNonce::from(nonce), Payload { msg: plain, aad }).map_err(|_| Fault::Key)?;
    let mut out = Vec::with_capacity(1 + NONCE_BYTES + sealed.len());
    out.push(FORM);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&sealed);
    Ok(out)
}

fn open(cipher: &XChaCha20Poly1305, aad: &[u8], sealed: &[u8]) -> Option<Secret> {
    let (form, rest) = sealed.split_first()?;
    if *form != FORM {
        return None;
    }
    let (nonce, text) = rest.split_first_chunk::<NONCE_BYTES>()?;
    cipher.decrypt(&XNonce::from(*nonce), Payload { msg: text, aad }).ok().map(Secret::new)
}

/// One working key out of the data key.
fn derive(root: &hkdf::Prk, purpose: &'static [u8]) -> Result<Secret, Fault> {
    let info = [purpose];
    let okm = root.expand(&info, hkdf::HKDF_SHA256).map_err(|_| Fault::Key)?;
    let mut key = vec![0; KEY_BYTES];
    okm.fill(&mut key).map_err(|_| Fault::Key)?;
    Ok(Secret::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn barrier() -> Barrier {
        Barrier::new(&Secret::new(vec![7; KEY_BYTES])).unwrap()
    }

    #[test]
    fn sealed_bytes_open_only_in_their_own_place() {
        let barrier = barrier();
        let sealed = barrier.encrypt("records", b"a", b"hunter2").unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        assert_eq!(barrier.decrypt("records", b"a", &sealed).unwrap().expose(), b"hunter2");
        assert!(barrier.decrypt("records", b"b", &sealed).is_err());
        assert!(barrier.decrypt("names", b"a", &sealed).is_err());
    }

    #[test]
    fn a_changed_bit_anywhere_is_found() {
        let barrier = barrier();
        let sealed = barrier.encrypt("records", b"a", b"x").unwrap();
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(barrier.decrypt("records", b"a", &changed).is_err(), "byte {position}");
        }
        assert!(barrier.decrypt("records", b"a", &sealed[..10]).is_err());
        assert!(barrier.decrypt("records", b"a", &[]).is_err());
    }

    #[test]
    fn two_encryptions_of_one_value_differ() {
        let barrier = barrier();
        assert_ne!(barrier.encrypt("records", b"a", b"x").unwrap(), barrier.encrypt("records", b"a", b"x").unwrap());
    }

    #[test]
    fn the_data_key_opens_only_with_its_own_key_file() {
        let (key, other, data) = (new_key().unwrap(), new_key().unwrap(), new_key().unwrap());
        let wrapped = wrap(&key, &data).unwrap();
        assert_eq!(unwrap(&key, &wrapped).unwrap(), Some(data));
        assert_eq!(unwrap(&other, &wrapped).unwrap(), None);
    }

    #[test]
    fn entries_of_a_folder_lie_side_by_side_and_apart_from_others() {
        let barrier = barrier();
        assert!(barrier.entry_key("a/", "x").starts_with(&barrier.folder_prefix("a/")));
        assert!(!barrier.entry_key("b/", "x").starts_with(&barrier.folder_prefix("a/")));
    }

    #[test]
    fn a_token_is_stored_as_its_tag_only() {
        let token = Secret::from("hvs.abc".to_owned());
        let tag = barrier().token_tag(&token);
        assert_eq!(tag.len(), 64);
        assert_ne!(tag, Barrier::new(&Secret::new(vec![8; KEY_BYTES])).unwrap().token_tag(&token));
    }
}
