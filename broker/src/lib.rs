//! The broker: the Vault API in front of an upstream, with audit and watch; and the embedded store
