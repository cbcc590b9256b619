//! Requests below `sys/`.

use serde_json::{Value, json};

use super::Step;
use crate::upstream::Operation::{Delete, List, Read, Write};

pub(super) fn policies() -> Vec<Step> {
    let none = || Value::Null;
    let policy =
        r#"path "secret/data/x*" { capabilities = ["read", "create"] } path "secret/metadata/+/y" { policy = "read" }"#;
    vec![
        ("root", List, "sys/policies/acl", none(), ""),
        ("root", Write, "sys/policies/acl/P1", json!({"policy": policy}), ""),
        ("root", Read, "sys/policies/acl/p1", none(), ""),
        ("root", Read, "sys/policies/acl/none", none(), ""),
        ("root", Read, "sys/policies/acl/root", none(), ""),
        ("root", Write, "sys/policies/acl/p2", json!({}), ""),
        ("root", Write, "sys/policies/acl/p2", json!({"policy": "path \"x\" { capabilities = [\"raed\"] }"}), ""),
        ("root", Write, "sys/policies/acl/p2", json!({"policy": "path \"x\" { capabilites = [\"read\"] }"}), ""),
        ("root", Write, "sys/policies/acl/p2", json!({"policy": "path \"x"}), ""),
        ("root", Write, "sys/policies/acl/root", json!({"policy": policy}), ""),
        ("root", Delete, "sys/policies/acl/root", none(), ""),
        ("root", Delete, "sys/policies/acl/default", none(), ""),
        ("root", Delete, "sys/policies/acl/none", none(), ""),
        ("root", Read, "sys/policy", none(), ""),
        ("root", Read, "sys/policy/p1", none(), ""),
        ("root", Write, "auth/token/create", json!({"policies": ["p1"], "ttl": "1h"}), "q"),
        ("q", Write, "secret/data/x1", json!({"data": {}}), ""),
        ("q", Write, "secret/data/x1", json!({"data": {}}), ""),
        ("q", Read, "secret/data/x1", none(), ""),
        ("q", Delete, "secret/data/x1", none(), ""),
        ("q", List, "secret/metadata/z/y", none(), ""),
        ("q", List, "secret/metadata/", none(), ""),
        ("q", Write, "sys/capabilities-self", json!({"paths": ["secret/data/x1", "secret/metadata/z/y", "o"]}), ""),
        ("q", Write, "sys/capabilities-self", json!({"path": "secret/data/x1"}), ""),
        ("q", Write, "sys/capabilities-self", json!({}), ""),
        ("root", Write, "sys/capabilities-self", json!({"paths": ["secret/data/x1"]}), ""),
        ("q", Read, "sys/internal/ui/mounts/secret/x", none(), ""),
        ("q", Read, "sys/internal/ui/mounts/none/x", none(), ""),
        ("q", Read, "sys/mounts", none(), ""),
    ]
}

pub(super) fn sys() -> Vec<Step> {
    let none = || Value::Null;
    vec![
        ("nobody", Read, "sys/health", none(), ""),
        ("nobody", Read, "sys/seal-status", none(), ""),
        ("nobody", Read, "sys/leader", none(), ""),
        ("nobody", Read, "sys/init", none(), ""),
        ("root", Write, "sys/mounts/k2", json!({"type": "kv", "options": {"version": "2"}}), ""),
        ("root", Write, "sys/mounts/k2", json!({"type": "kv", "options": {"version": "2"}}), ""),
        ("root", Write, "sys/mounts/k3", json!({}), ""),
        ("root", Write, "sys/mounts/k3", json!({"type": "nonsense"}), ""),
        ("root", Read, "sys/internal/ui/mounts/k2/x", none(), ""),
        ("root", Read, "sys/internal/ui/mounts/none/x", none(), ""),
        ("nobody", Read, "sys/internal/ui/mounts", none(), ""),
        ("root", Read, "sys/mounts/k2/tune", none(), ""),
        ("root", Delete, "sys/mounts/k2", none(), ""),
        ("root", Delete, "sys/mounts/k2", none(), ""),
        ("root", Write, "sys/leases/lookup", json!({"lease_id": "none"}), ""),
        ("root", Write, "sys/leases/lookup", json!({}), ""),
        ("root", Write, "sys/leases/renew", json!({"lease_id": "none"}), ""),
        ("root", Write, "sys/leases/renew", json!({}), ""),
        ("root", Read, "sys/none", none(), ""),
        ("root", Delete, "sys/capabilities-self", none(), ""),
    ]
}

pub(super) fn capabilities() -> Vec<Step> {
    vec![
        ("root", Write, "auth/token/create", json!({"policies":["default"]}), "c"),
        (
            "root",
            Write,
            "sys/capabilities",
            json!({"token":"$c","paths":["auth/token/lookup-self","x","cubbyhole/a"]}),
            "",
        ),
        ("root", Write, "sys/capabilities", json!({"paths":["x"]}), ""),
        ("root", Write, "sys/capabilities", json!({"token":"bad","paths":["x"]}), ""),
        ("root", Write, "sys/capabilities", json!({"token":"$c"}), ""),
        (
            "root",
            Write,
            "sys/capabilities-accessor",
            json!({"accessor":"$c.accessor","paths":["auth/token/lookup-self","x"]}),
            "",
        ),
        ("root", Write, "sys/capabilities-accessor", json!({"accessor":"bad","paths":["x"]}), ""),
        ("root", Write, "sys/capabilities-accessor", json!({"paths":["x"]}), ""),
        ("root", Write, "sys/capabilities-self", json!({"paths":"a,b"}), ""),
        ("root", Write, "sys/capabilities-self", json!({"path":["a"]}), ""),
        ("nobody", Write, "sys/capabilities-self", json!({"path":["a"]}), ""),
    ]
}

pub(super) fn leases() -> Vec<Step> {
    let none = || Value::Null;
    vec![
        ("root", List, "sys/leases/lookup", none(), ""),
        ("root", List, "sys/leases/lookup/", none(), ""),
        ("root", List, "sys/leases/lookup/none/", none(), ""),
        ("root", List, "sys/leases/lookup/auth/", none(), ""),
        ("root", List, "sys/leases/lookup/auth/token/create/", none(), ""),
        ("root", Write, "sys/leases/revoke", json!({"lease_id":"none"}), ""),
        ("root", Write, "sys/leases/revoke", json!({}), ""),
        ("root", Write, "sys/leases/revoke/none", none(), ""),
        ("root", Write, "sys/leases/renew/none", none(), ""),
        ("root", Write, "sys/renew", json!({"lease_id":"none"}), ""),
        ("root", Write, "sys/renew/none", none(), ""),
        ("root", Write, "sys/revoke", json!({"lease_id":"none"}), ""),
        ("root", Write, "sys/leases/revoke-prefix/none", none(), ""),
        ("root", Write, "sys/leases/revoke-force/none", none(), ""),
        ("root", Write, "sys/leases/lookup", json!({"lease_id":"auth/token/create/xyz"}), ""),
    ]
}

pub(super) fn sys_more() -> Vec<Step> {
    let none = || Value::Null;
    vec![
        ("nobody", Read, "sys/health?standbyok=true&activecode=299", none(), ""),
        ("nobody", Read, "sys/health?sealedcode=600", none(), ""),
        ("nobody", Read, "sys/health?activecode=x", none(), ""),
        ("nobody", Read, "sys/seal-status", none(), ""),
        ("nobody", Read, "sys/leader", none(), ""),
        ("nobody", Read, "sys/init", none(), ""),
        ("nobody", Write, "sys/init", json!({"secret_shares":1,"secret_threshold":1}), ""),
        ("nobody", Write, "sys/unseal", json!({"key":"xx"}), ""),
        ("nobody", Write, "sys/unseal", json!({}), ""),
        ("root", Read, "sys/internal/ui/mounts/secret", none(), ""),
        ("root", Read, "sys/internal/ui/mounts/secret/", none(), ""),
        ("root", Read, "sys/internal/ui/mounts/auth/token/", none(), ""),
        ("root", Read, "sys/internal/ui/mounts/sys/", none(), ""),
        ("nobody", Read, "sys/internal/ui/mounts/secret", none(), ""),
        ("root", Read, "sys/auth/token", none(), ""),
        ("root", Read, "sys/auth/none", none(), ""),
        ("root", Read, "sys/auth/token/tune", none(), ""),
        ("root", Write, "sys/auth/token/tune", json!({"description":"x"}), ""),
        ("root", Write, "sys/auth/none/tune", json!({"description":"x"}), ""),
        ("root", Read, "sys/mounts/auth/token/tune", none(), ""),
        ("root", Read, "sys/policies/acl/response-wrapping", none(), ""),
        ("root", Write, "sys/policies/acl/response-wrapping", json!({"policy":"path \"x\" {policy=\"read\"}"}), ""),
        ("root", Delete, "sys/policies/acl/response-wrapping", none(), ""),
        ("root", List, "sys/policies/acl", none(), ""),
        ("root", Write, "sys/policies/acl/px", json!({"policy": "path \"x\" { policy = \"read\" }", "extra": 1}), ""),
        ("root", Write, "sys/mounts/k7", json!({"type": "kv", "extra": 1}), ""),
        ("root", Write, "sys/capabilities-self", json!({"paths": ["a"], "extra": 1}), ""),
        ("root", Read, "sys/storage/nothing", none(), ""),
    ]
}
