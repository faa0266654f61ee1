{{/* Labels of one component. Use: (dict "root" $ "name" "kecs-injector") */}}
{{- define "kecs.labels" -}}
{{ include "kecs.selector" . }}
app.kubernetes.io/part-of: kecs
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* Selectors can't be changed later: nothing that varies between versions. */}}
{{- define "kecs.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "kecs.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "kecs.labels" . | nindent 2 }}
{{- end }}

{{/* Use: (dict "root" $ "target" "sidecar") */}}
{{- define "kecs.image" -}}
{{- $images := .root.Values.images -}}
{{- get $images .target | default (printf "%s%s:%s" $images.prefix .target ($images.tag | default .root.Chart.AppVersion)) -}}
{{- end }}

{{/* Which emulator answers: endpoint, localstack or embedded. */}}
{{- define "kecs.backend" -}}
{{- if .Values.proxy.localstackEndpoint -}}
endpoint
{{- else if .Values.localstack.enabled -}}
localstack
{{- else -}}
embedded
{{- end -}}
{{- end }}

{{- define "kecs.endpoint" -}}
{{- $backend := include "kecs.backend" . -}}
{{- if eq $backend "endpoint" -}}
{{- if .Values.localstack.enabled -}}
{{- fail (printf "proxy.localstackEndpoint is %s, and localstack.enabled is true: LocalStack would be deployed and not used; set one of them" .Values.proxy.localstackEndpoint) -}}
{{- end -}}
{{- .Values.proxy.localstackEndpoint | trimSuffix "/" -}}
{{- else if eq $backend "localstack" -}}
http://localstack.{{ .Values.localstack.namespace }}.svc.cluster.local:{{ include "localstack.port" . }}
{{- else -}}
http://kecs-emulator.{{ .Release.Namespace }}.svc.cluster.local:{{ .Values.emulator.port }}
{{- end -}}
{{- end }}

{{- define "kecs.profile" -}}
{{- .Values.proxy.profile | default (ternary "embedded" "localstack" (eq (include "kecs.backend" .) "embedded")) -}}
{{- end }}

{{/* What all pods of KECS have in common: everything that the level "restricted" of Pod Security wants. */}}
{{- define "kecs.pod" -}}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .root.Values.pods.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.pods.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.pods.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.pods.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "kecs.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "kecs.selector" . | nindent 8 }}
{{- end }}

{{- define "kecs.podMetadata" -}}
labels:
  {{- include "kecs.selector" . | nindent 2 }}
  app.kubernetes.io/part-of: kecs
  {{- with .root.Values.pods.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .root.Values.pods.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "kecs.container" -}}
imagePullPolicy: {{ .Values.images.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "kecs.podEnvironment" -}}
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- name: POD_UID
  valueFrom: { fieldRef: { fieldPath: metadata.uid } }
- name: POD_IP
  valueFrom: { fieldRef: { fieldPath: status.podIP } }
{{- end }}

{{/* Health of a component is on its own port, without TLS. */}}
{{- define "kecs.probes" -}}
startupProbe:
  httpGet: { path: /livez, port: health }
  periodSeconds: 1
  failureThreshold: 120
readinessProbe:
  httpGet: { path: /readyz, port: health }
  periodSeconds: 2
  timeoutSeconds: 3
livenessProbe:
  httpGet: { path: /livez, port: health }
  periodSeconds: 10
  timeoutSeconds: 5
{{- end }}

{{- define "kecs.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "kecs.metadata" . | nindent 2 }}
automountServiceAccountToken: false
{{- end }}

{{/* Use: (dict "root" $ "name" … "kind" "Role") */}}
{{- define "kecs.binding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  name: {{ .name }}
  {{- if eq .kind "Role" }}
  namespace: {{ .root.Release.Namespace }}
  {{- end }}
  labels:
    {{- include "kecs.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .name }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}

{{- define "kecs.disruption" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "kecs.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "kecs.selector" . | nindent 6 }}
{{- end }}

{{- define "kecs.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "kecs.metadata" . | nindent 2 }}
spec:
  type: ClusterIP
  selector:
    {{- include "kecs.selector" . | nindent 4 }}
  ports:
    - name: https
      port: 443
      targetPort: https
      protocol: TCP
{{- end }}

{{/* Who answers ECS: the release's control plane, unless another is named. Empty: the emulator. */}}
{{- define "kecs.controlplane" -}}
{{- if .Values.proxy.controlplane -}}
{{- .Values.proxy.controlplane | trimSuffix "/" -}}
{{- else if .Values.controlplane.enabled -}}
http://kecs-controlplane.{{ .Release.Namespace }}.svc.cluster.local:8080
{{- end -}}
{{- end }}

{{/* What AWS_ENDPOINT_URL says. Empty: the emulator. */}}
{{- define "kecs.gateway" -}}
{{- if .Values.proxy.gateway -}}
{{- .Values.proxy.gateway | trimSuffix "/" -}}
{{- else if .Values.gateway.enabled -}}
http://kecs-gateway.{{ .Release.Namespace }}.svc.cluster.local:4566
{{- end -}}
{{- end }}

{{- define "kecs.controlplane.config" -}}
{{- $plane := .Values.controlplane -}}
{{- $registries := list -}}
{{- range $host, $other := $plane.registries -}}
{{- $registries = append $registries (printf "%s=%s" $host $other) -}}
{{- end -}}
{{- $pods := dict "proxy_mode" $plane.proxyMode "image_pull_policy" $plane.imagePullPolicy "storage_class" $plane.storageClass "priority_class" $plane.priorityClass "registries" (join "," $registries) -}}
{{- $given := dict -}}
{{- range $name, $value := $pods -}}
{{- if $value -}}
{{- $_ := set $given $name $value -}}
{{- end -}}
{{- end -}}
{{- dict
  "data" "/var/lib/kecs/state.duckdb"
  "runtime" $plane.runtime
  "region" .Values.proxy.region
  "account" .Values.proxy.account
  "accounts" .Values.relay.accounts
  "emulator" (include "kecs.endpoint" .)
  "gateway" (ternary (printf "http://kecs-gateway.%s.svc.cluster.local:4566" .Release.Namespace) "" .Values.gateway.enabled)
  "history_hours" $plane.historyHours
  "pods" $given | toJson -}}
{{- end }}

{{- define "kecs.gateway.config" -}}
{{- $backend := urlParse (include "kecs.endpoint" .) -}}
{{- $config := dict
  "backend_host" $backend.hostname
  "backend_port" (include "kecs.port" $backend | int)
  "backend_tls" (eq $backend.scheme "https")
  "profile" (include "kecs.profile" .)
  "region" .Values.proxy.region
  "accounts" .Values.relay.accounts -}}
{{- with include "kecs.controlplane" . -}}
{{- $plane := urlParse . -}}
{{- $_ := set $config "controlplane_host" $plane.hostname -}}
{{- $_ := set $config "controlplane_port" (include "kecs.port" $plane | int) -}}
{{- $_ := set $config "controlplane_tls" (eq $plane.scheme "https") -}}
{{- end -}}
{{- $config | toJson -}}
{{- end }}

{{/* The port of a URL that was parsed. */}}
{{- define "kecs.port" -}}
{{- regexFind ":[0-9]+$" .host | trimPrefix ":" | default (ternary "443" "80" (eq .scheme "https")) -}}
{{- end }}
