//! Requests to KV version 1, to mounts and to cubbyholes.

use serde_json::{Value, json};

use super::Step;
use crate::upstream::Operation::{Delete, List, Patch, Read, Scan, Write};

pub(super) fn kv1() -> Vec<Step> {
    let none = || Value::Null;
    vec![
        ("root", Write, "sys/mounts/k1", json!({"type":"kv","options":{"version":"1"}}), ""),
        ("root", Read, "k1/a", none(), ""),
        ("root", Write, "k1/a", json!({"k":"v","n":1}), ""),
        ("root", Read, "k1/a", none(), ""),
        ("root", Write, "k1/a", json!({}), ""),
        ("root", Write, "k1/a", none(), ""),
        ("root", Write, "k1/ttl", json!({"ttl":"1h","k":"v"}), ""),
        ("root", Read, "k1/ttl", none(), ""),
        ("root", Write, "k1/lease", json!({"lease":"90","k":"v"}), ""),
        ("root", Read, "k1/lease", none(), ""),
        ("root", Write, "k1/badttl", json!({"ttl":"hello"}), ""),
        ("root", Read, "k1/badttl", none(), ""),
        ("root", Patch, "k1/a", json!({"k":"w"}), ""),
        ("root", List, "k1", none(), ""),
        ("root", List, "k1/", none(), ""),
        ("root", Write, "k1/d/e", json!({"a":1}), ""),
        ("root", List, "k1/", none(), ""),
        ("root", List, "k1/d", none(), ""),
        ("root", List, "k1/none", none(), ""),
        ("root", Scan, "k1/", none(), ""),
        ("root", Delete, "k1/a", none(), ""),
        ("root", Delete, "k1/a", none(), ""),
        ("root", Read, "k1/a", none(), ""),
        ("root", Write, "k1", json!({"a":"b"}), ""),
        ("root", Read, "k1", none(), ""),
        ("root", Delete, "k1", none(), ""),
        ("root", Read, "sys/internal/ui/mounts/k1/x", none(), ""),
        ("root", Read, "sys/mounts/k1", none(), ""),
        ("root", Read, "sys/mounts/k1/tune", none(), ""),
        (
            "root",
            Write,
            "sys/mounts/k1/tune",
            json!({"default_lease_ttl":"10m","max_lease_ttl":"1h","description":"d"}),
            "",
        ),
        ("root", Read, "sys/mounts/k1/tune", none(), ""),
        ("root", Read, "k1/ttl", none(), ""),
        ("root", Write, "sys/mounts/k1/tune", json!({"options":{"version":"2"}}), ""),
        ("root", Read, "sys/mounts/k1/tune", none(), ""),
        ("root", Write, "sys/mounts/none/tune", json!({"description":"d"}), ""),
        ("root", Read, "sys/mounts/none/tune", none(), ""),
        ("root", Write, "sys/mounts/k1/tune", json!({"default_lease_ttl":"10h","max_lease_ttl":"1h"}), ""),
        ("root", Write, "sys/mounts/kv-plain", json!({"type":"kv"}), ""),
        ("root", Read, "sys/mounts/kv-plain", none(), ""),
        ("root", Write, "sys/mounts/kv-v1", json!({"type":"kv-v1"}), ""),
        ("root", Read, "sys/mounts/kv-v1", none(), ""),
        ("root", Write, "sys/mounts/k9", json!({"type":"kv","options":{"version":"3"}}), ""),
        ("root", Read, "k1/ttl", none(), ""),
        ("root", Read, "k1/data/ttl", none(), ""),
        ("root", List, "k1/metadata/", none(), ""),
        ("root", Write, "k1/data/new", json!({"data":{"a":1}}), ""),
        ("root", Read, "k1/data/new", none(), ""),
        ("root", Delete, "sys/mounts/k1", none(), ""),
        ("root", Delete, "sys/mounts/kv-plain", none(), ""),
        ("root", Delete, "sys/mounts/kv-v1", none(), ""),
    ]
}

pub(super) fn cubbyhole() -> Vec<Step> {
    let none = || Value::Null;
    vec![
        ("root", Write, "auth/token/create", json!({"policies":["default"],"ttl":"1h"}), "t"),
        ("t", Read, "cubbyhole/a", none(), ""),
        ("t", Write, "cubbyhole/a", json!({"k":"v"}), ""),
        ("t", Read, "cubbyhole/a", none(), ""),
        ("root", Read, "cubbyhole/a", none(), ""),
        ("t", List, "cubbyhole/", none(), ""),
        ("t", Write, "cubbyhole/d/e", json!({"k":"v"}), ""),
        ("t", List, "cubbyhole", none(), ""),
        ("t", List, "cubbyhole/d", none(), ""),
        ("t", Write, "cubbyhole/b", json!({}), ""),
        ("t", Write, "cubbyhole/b", none(), ""),
        ("t", Delete, "cubbyhole/a", none(), ""),
        ("t", Delete, "cubbyhole/a", none(), ""),
        ("t", Read, "cubbyhole/a", none(), ""),
        ("t", Write, "cubbyhole", json!({"k":"v"}), ""),
        ("t", Read, "cubbyhole", none(), ""),
        ("t", Patch, "cubbyhole/d/e", json!({"k":"x"}), ""),
        ("root", Write, "auth/token/create", json!({"policies":["default"],"type":"batch","ttl":"1h"}), "b"),
        ("b", Read, "cubbyhole/a", none(), ""),
        ("b", Write, "cubbyhole/a", json!({"k":"v"}), ""),
        ("b", Read, "auth/token/lookup-self", none(), ""),
        ("root", Read, "sys/internal/ui/mounts/cubbyhole/x", none(), ""),
        ("root", Delete, "sys/mounts/cubbyhole", none(), ""),
        ("root", Write, "sys/mounts/cubbyhole", json!({"type":"kv"}), ""),
    ]
}
