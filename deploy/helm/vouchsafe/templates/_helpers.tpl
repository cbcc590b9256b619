{{/* Names. Everything that the controller, the policies and the pages name is spelt here once. */}}
{{- define "vouchsafe.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- else -}}{{ printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}{{- end -}}
{{- end -}}
{{- end }}
{{- define "vouchsafe.webhook" -}}{{ include "vouchsafe.fullname" . }}-webhook{{- end }}
{{- define "vouchsafe.broker" -}}{{ include "vouchsafe.fullname" . }}-broker{{- end }}
{{- define "vouchsafe.controller" -}}{{ include "vouchsafe.fullname" . }}-controller{{- end }}
{{- define "vouchsafe.trust" -}}{{ include "vouchsafe.fullname" . }}-trust{{- end }}
{{- define "vouchsafe.ca" -}}{{ include "vouchsafe.fullname" . }}-ca{{- end }}
{{- define "vouchsafe.webhookTls" -}}
{{- if eq .Values.certificates.issuer "external" -}}{{ required "certificates.external.webhookSecret: name the Secret with the webhook's tls.crt, tls.key and ca.crt" .Values.certificates.external.webhookSecret }}{{- else -}}{{ include "vouchsafe.webhook" . }}-tls{{- end -}}
{{- end }}
{{- define "vouchsafe.brokerTls" -}}
{{- if eq .Values.certificates.issuer "external" -}}{{ required "certificates.external.brokerSecret: name the Secret with the broker's tls.crt, tls.key and ca.crt" .Values.certificates.external.brokerSecret }}{{- else -}}{{ include "vouchsafe.broker" . }}-tls{{- end -}}
{{- end }}

{{- define "vouchsafe.hasBroker" -}}{{- if ne .Values.mode "direct" -}}true{{- end -}}{{- end }}

{{/* Names in a serving certificate: call with (dict "root" $ "name" SERVICE). */}}
{{- define "vouchsafe.dnsNames" -}}
{{- $ns := .root.Release.Namespace -}}
{{ .name }}.{{ $ns }}.svc,{{ .name }}.{{ $ns }}.svc.{{ .root.Values.clusterDomain }},{{ .name }}.{{ $ns }},{{ .name }}
{{- end }}

{{/* Labels: call with (dict "root" $ "component" NAME). */}}
{{- define "vouchsafe.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}
{{- define "vouchsafe.labels" -}}
{{ include "vouchsafe.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* An image: call with (dict "root" $ "image" .Values.ROLE.image). A digest wins over a tag, a whole reference over both. */}}
{{- define "vouchsafe.image" -}}
{{- $repository := printf "%s/%s" (trimSuffix "/" .root.Values.image.registry) .image.repository -}}
{{- if .image.reference -}}{{ .image.reference }}
{{- else if .image.digest -}}{{ $repository }}@{{ .image.digest }}
{{- else -}}{{ $repository }}:{{ .image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}
{{/* An image without tag and digest: NAME of REGISTRY/NAME:TAG, REGISTRY:PORT/NAME@sha256:… */}}
{{- define "vouchsafe.repository" -}}
{{- regexReplaceAll ":[^:/]*$" (regexReplaceAll "@.*$" . "") "" -}}
{{- end }}

{{/* Pod Security "restricted". */}}
{{- define "vouchsafe.podSecurityContext" -}}
runAsNonRoot: true
{{- if not (kindIs "invalid" .Values.podSecurity.user) }}
runAsUser: {{ int64 .Values.podSecurity.user }}
runAsGroup: {{ int64 .Values.podSecurity.user }}
fsGroup: {{ int64 .Values.podSecurity.user }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end }}
{{- define "vouchsafe.securityContext" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
{{- end }}

{{/* What every pod of ours says about its place: call with (dict "root" $ "component" NAME "values" .Values.ROLE). */}}
{{- define "vouchsafe.placement" -}}
topologySpreadConstraints:
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "vouchsafe.selector" $ | nindent 6 }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The volume with the roots of Vault or OpenBao. */}}
{{- define "vouchsafe.upstreamCaVolume" -}}
{{- with .Values.upstream.ca -}}
name: upstream-ca
{{- if eq .kind "Secret" }}
secret:
  secretName: {{ .name }}
{{- else }}
configMap:
  name: {{ .name }}
{{- end }}
  items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- end }}
{{- end }}

{{/* Whether the admission policies are rendered. */}}
{{- define "vouchsafe.hasPolicy" -}}
{{- $enabled := toString .Values.admissionPolicy.enabled -}}
{{- if or (eq $enabled "true") (and (eq $enabled "auto") (semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version)) -}}true{{- end -}}
{{- end }}

{{/* Which pods ask us: those with an annotation of ours, apart from the one that injection leaves behind. */}}
{{- define "vouchsafe.asks" -}}
has(object.metadata.annotations) && object.metadata.annotations.exists(name, name.startsWith('vouchsafe.dev/') && name != 'vouchsafe.dev/status')
{{- end }}

{{/* What values may not be together. Said here in words: a schema would only name the rule. */}}
{{- define "vouchsafe.check" -}}
{{- if ne .Values.mode "store" -}}
{{- if not .Values.upstream.address -}}{{ fail (printf "mode %s: set upstream.address to your Vault or OpenBao, as in https://vault.vault.svc:8200" .Values.mode) }}{{- end -}}
{{- if not .Values.upstream.ca.name -}}{{ fail (printf "mode %s: set upstream.ca.name to a %s of namespace %s whose key %s holds the roots (PEM) of %s" .Values.mode .Values.upstream.ca.kind .Release.Namespace .Values.upstream.ca.key .Values.upstream.address) }}{{- end -}}
{{- end -}}
{{- if and (eq .Values.sidecar.injection "native") (semverCompare "<1.29.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "Kubernetes %s has no native sidecars: set sidecar.injection to classic" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if and (eq (toString .Values.admissionPolicy.enabled) "true") (semverCompare "<1.30.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "Kubernetes %s has no ValidatingAdmissionPolicy v1: set admissionPolicy.enabled to auto or false" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end }}
