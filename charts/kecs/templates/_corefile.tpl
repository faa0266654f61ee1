{{/*
Lines for a server block of CoreDNS. All AWS names get one address, to which nothing answers but the relay of an injected
pod: pods without it can't reach AWS at all then.
*/}}
{{- define "kecs.corefile" -}}
template IN A {{ include "kecs.suffixes" . }} {
  answer "{{ "{{ .Name }}" }} 60 IN A 198.19.0.1"
}
template IN AAAA {{ include "kecs.suffixes" . }} {
  rcode NOERROR
}
{{- end }}

{{- define "kecs.suffixes" -}}
{{- .Files.Get "files/aws-suffixes.txt" | trim | replace "\n" " " -}}
{{- end }}
