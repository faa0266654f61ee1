{{/* What the injector is told: its own vocabulary, out of the values. */}}
{{- define "kecs.injection" -}}
images:
  init: {{ include "kecs.image" (dict "root" $ "target" "init") | quote }}
  sidecar: {{ include "kecs.image" (dict "root" $ "target" "sidecar") | quote }}
  pullPolicy: {{ .Values.images.pullPolicy }}
  pullSecrets: {{ toJson .Values.images.pullSecrets }}
proxy:
  mode: {{ .Values.proxy.mode }}
  localstackEndpoint: {{ include "kecs.endpoint" . | quote }}
  fallbackEnabled: {{ .Values.proxy.fallbackEnabled }}
  fallbackOrder: {{ toJson .Values.proxy.fallbackOrder }}
  passHosts: {{ toJson .Values.proxy.passHosts }}
  profile: {{ include "kecs.profile" . | quote }}
  controlplane: {{ include "kecs.controlplane" . | quote }}
  gateway: {{ include "kecs.gateway" . | quote }}
  services: {{ toJson .Values.proxy.services }}
  region: {{ .Values.proxy.region | quote }}
  account: {{ .Values.proxy.account | quote }}
  rules: {{ .Values.proxy.rules }}
  ipv6: {{ .Values.proxy.ipv6 }}
  excludePorts: {{ toJson .Values.proxy.excludePorts }}
  excludeCIDRs: {{ toJson .Values.proxy.excludeCIDRs }}
  deniedCapabilities: {{ toJson .Values.proxy.deniedCapabilities }}
  initResources: {{ toJson .Values.proxy.initResources }}
  sidecarResources: {{ toJson .Values.proxy.sidecarResources }}
relay: {{ toJson .Values.relay }}
dns:
  mode: {{ .Values.dns.mode | quote }}
trust:
  extraCAs: {{ .Values.trust.extraCAs | trim | quote }}
injector:
  failOpen: {{ .Values.injector.failOpen }}
  timeoutSeconds: {{ .Values.injector.timeoutSeconds }}
  excludedNamespaces: {{ include "kecs.excludedNamespaces" . }}
{{- end }}

{{/* The emulator's own namespace is never injected. */}}
{{- define "kecs.excludedNamespaces" -}}
{{- $names := .Values.injector.excludedNamespaces -}}
{{- if eq (include "kecs.backend" .) "localstack" -}}
{{- $names = append $names .Values.localstack.namespace -}}
{{- end -}}
{{- toJson (uniq $names) -}}
{{- end }}
