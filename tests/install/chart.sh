#!/usr/bin/env bash
# What can be said of the chart without a cluster: helm lint, every set of values renders, pages and kustomize are current, images push.
# usage: chart.sh               10 s after `tests/real/build.sh helm`
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/real/build.sh helm
helm=$(tests/real/build.sh --path helm)/helm
chart=deploy/helm/vouchsafe
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "chart: $*" >&2; exit 1; }
render() { "$helm" template vouchsafe "$chart" -n vouchsafe --kube-version "$@"; }

"$helm" lint --strict --quiet --kube-version 1.36.0 "$chart"

# NAME VERSION ARGUMENTS…: renders twice to the same bytes.
count=0
good() {
  local name=$1; shift
  render "$@" >"$work/first" || fail "$name does not render"
  render "$@" >"$work/second"
  cmp -s "$work/first" "$work/second" || fail "$name renders differently the second time"
  count=$((count + 1))
}
upstream=(--set "upstream.address=https://vault.vault.svc:8200,upstream.ca.name=vault-ca")
good "the defaults" 1.36.0
good "upstream" 1.36.0 --set mode=upstream "${upstream[@]}"
! grep -q '/data/store' "$work/first" || fail "mode upstream has a store"
good "direct" 1.36.0 --set mode=direct "${upstream[@]}"
! grep -q 'vouchsafe-broker' "$work/first" || fail "mode direct has a broker"
good "Kubernetes 1.29" 1.29.0 --set mode=upstream "${upstream[@]}"
! grep -q 'kind: ValidatingAdmissionPolicy\|sleep:' "$work/first" || fail "Kubernetes 1.29 gets what it does not know"
good "classic on 1.28" 1.28.0 --set sidecar.injection=classic
grep -q -- '--injection=classic' "$work/first" || fail "classic is not told to the webhook"
good "hostNetwork" 1.36.0 --set webhook.hostNetwork=true,webhook.port=10250
grep -q 'containerPort: 10250' "$work/first" || fail "the port is not the webhook's"
good "a private registry by digest" 1.36.0 --set "image.registry=registry.example.org:5000/x,image.pullSecrets[0]=pull" \
  --set sidecar.image.digest="sha256:$(printf '0%.0s' {1..64})"
grep -q "startsWith('registry.example.org:5000/x/vouchsafe-sidecar@')" "$work/first" || fail "the policy does not know the registry"
good "external certificates" 1.36.0 --set certificates.issuer=external,certificates.external.webhookSecret=w,certificates.external.brokerSecret=b
! grep -q 'kind: Secret' "$work/first" || fail "external certificates render Secrets"
good "OpenShift" 1.36.0 --set podSecurity.user=null,sidecar.user=platform
! grep -q 'runAsUser' "$work/first" || fail "a user id where the platform assigns it"
good "everything optional" 1.36.0 --set serviceMonitor.enabled=true,broker.accessorKey.secretName=a \
  --set broker.audit.storage=ephemeral,sidecar.cpu.limitMillis=100,admissionPolicy.image=exact,admissionPolicy.additionalImages[0]=x:1 \
  --set networkPolicy.apiServerCIDRs[0]=10.0.0.0/28,upstream.redirects[0]=https://v2:8300,mode=upstream "${upstream[@]}"

# What must not render, and the words that say why.
bad() {
  local wanted=$1; shift
  ! render "$@" >"$work/out" 2>&1 || fail "rendered although it should say: $wanted"
  grep -q -- "$wanted" "$work/out" || { cat "$work/out" >&2; fail "does not say: $wanted"; }
  count=$((count + 1))
}
bad "set upstream.address" 1.36.0 --set mode=upstream
bad "set upstream.ca.name" 1.36.0 --set mode=direct,upstream.address=https://vault:8200
bad "has no native sidecars" 1.28.0
bad "kubeVersion" 1.27.0
bad "additional properties 'brokr' not allowed" 1.36.0 --set brokr.replicas=3
bad "upstream/address" 1.36.0 --set mode=upstream,upstream.address=http://vault:8200
bad "name the Secret" 1.36.0 --set certificates.issuer=external

# values.yaml as JSON, by way of a chart that prints its values.
mkdir -p "$work/values/templates"
printf 'apiVersion: v2\nname: values\nversion: 0.1.0\n' >"$work/values/Chart.yaml"
cp "$chart/values.yaml" "$work/values/values.yaml"
echo '# {{ .Values | toJson }}' >"$work/values/templates/values.yaml"
"$helm" template values "$work/values" | sed -n 's/^# {/{/p' >"$work/values.json"
deploy/helm/values-page --check "$work/values.json"
deploy/kustomize/generate --check
deploy/images/test.py -q
echo "chart: $count sets of values behave; pages and kustomize are current"
