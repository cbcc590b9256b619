//! All shared I/O: TLS, HTTP server and client, Vault client, directory watch, task lifecycle
