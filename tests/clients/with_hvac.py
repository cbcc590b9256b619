"""The Python client hvac against the broker: what an unmodified Vault client does must just work."""
import os

import hvac
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest

address, ca, root_token, jwt = (os.environ[name] for name in ("VAULT_ADDR", "VAULT_CACERT", "VAULT_TOKEN", "JWT"))


def client(token=None):
    return hvac.Client(url=address, token=token, verify=ca)


def expect(error, call):
    try:
        call()
    except error:
        return
    raise AssertionError(f"expected {error.__name__}")


pod = client()
login = pod.auth.kubernetes.login(role="vouchsafe.monitoring.grafana", jwt=jwt)
assert login["auth"]["metadata"]["service_account_name"] == "grafana"
assert pod.is_authenticated()
read = pod.secrets.kv.v2.read_secret_version(path="grafana/github-oauth", raise_on_deleted_version=True)
assert "client_secret" in read["data"]["data"] and read["data"]["metadata"]["version"] >= 1
expect(Forbidden, lambda: pod.secrets.kv.v2.read_secret_version(path="argocd/github-oauth", raise_on_deleted_version=True))
assert pod.auth.token.renew_self()["auth"]["lease_duration"] > 0
expect(InvalidRequest, lambda: client().auth.kubernetes.login(role="no-such-role", jwt=jwt))

root = client(root_token)
kv = root.secrets.kv.v2
first = kv.create_or_update_secret(path="clients/hvac", secret={"a": "1", "n": 5432})
assert first["data"]["version"] == 1
expect(InvalidRequest, lambda: kv.create_or_update_secret(path="clients/hvac", secret={"a": "2"}, cas=7))
assert kv.create_or_update_secret(path="clients/hvac", secret={"a": "2"}, cas=1)["data"]["version"] == 2
assert kv.read_secret_version(path="clients/hvac", version=1, raise_on_deleted_version=True)["data"]["data"] == {"a": "1", "n": 5432}
assert "hvac" in kv.list_secrets(path="clients")["data"]["keys"]
kv.delete_latest_version_of_secret(path="clients/hvac")
expect(InvalidPath, lambda: kv.read_secret_version(path="clients/hvac", raise_on_deleted_version=True))
assert kv.read_secret_metadata(path="clients/hvac")["data"]["current_version"] == 2
kv.delete_metadata_and_all_versions(path="clients/hvac")
expect(InvalidPath, lambda: kv.read_secret_metadata(path="clients/hvac"))
assert root.sys.is_initialized() and not root.sys.is_sealed()
pod.auth.token.revoke_self()
expect(Forbidden, lambda: pod.secrets.kv.v2.read_secret_version(path="grafana/github-oauth", raise_on_deleted_version=True))
