//! Grants: read them strictly, check them, compile them to Vault policies and roles
