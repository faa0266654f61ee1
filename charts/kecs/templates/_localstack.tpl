{{/* `app` is what the guides select by; the rest is Helm's convention. */}}
{{- define "localstack.labels" -}}
app: localstack
app.kubernetes.io/name: localstack
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: kecs
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* Selectors can't be changed later: nothing that varies between versions. */}}
{{- define "localstack.selector" -}}
app: localstack
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* One port under two names, as in the settings. */}}
{{- define "localstack.port" -}}
{{- $port := int .Values.localstack.port -}}
{{- with .Values.localstack.edgePort -}}
{{- if and (ne $port 4566) (ne $port (int .)) -}}
{{- fail (printf "localstack.port is %d and localstack.edgePort is %d: they are one port, give it once" $port (int .)) -}}
{{- end -}}
{{- $port = int . -}}
{{- end -}}
{{- $port -}}
{{- end }}

{{/* Images since 2026.03, and what is tagged by no version, end at once without the token of an account. */}}
{{- define "localstack.wantsToken" -}}
{{- $image := .Values.localstack.image -}}
{{- $told := or .Values.localstack.authToken.secretName (hasKey .Values.localstack.environment "LOCALSTACK_AUTH_TOKEN") -}}
{{- if and (not $told) (regexMatch "^localstack(-pro)?(:(latest|stable|20[2-9][0-9][.].*)(@.*)?)?$" (regexFind "[^/]+$" $image)) -}}
{{- fail (printf "localstack.image is %s, which exits with 55 without LOCALSTACK_AUTH_TOKEN: put the token into a Secret and name it in localstack.authToken.secretName, or use localstack/localstack:4.14.0" $image) -}}
{{- end -}}
{{- end }}

{{- define "localstack.environment" -}}
{{- include "localstack.wantsToken" . -}}
{{- $own := dict "GATEWAY_LISTEN" (printf "0.0.0.0:%s" (include "localstack.port" .)) "DEBUG" (ternary "1" "0" .Values.localstack.debug) -}}
{{- if .Values.localstack.services -}}
{{- $_ := set $own "SERVICES" (join "," .Values.localstack.services) -}}
{{- end -}}
{{- if .Values.localstack.persistence -}}
{{- $_ := set $own "PERSISTENCE" "1" -}}
{{- end -}}
{{- range $name, $value := merge (dict) .Values.localstack.environment $own }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end -}}
{{- with .Values.localstack.authToken }}
{{- if .secretName }}
- name: LOCALSTACK_AUTH_TOKEN
  valueFrom:
    secretKeyRef: { name: {{ .secretName }}, key: {{ .secretKey }} }
{{- end -}}
{{- end -}}
{{- end }}
