{{/* A job of the chart: its program is in its arguments. Use: (dict "root" $ "name" … "account" … "call" …) */}}
{{- define "kecs.job" -}}
spec:
  backoffLimit: 1
  activeDeadlineSeconds: 240
  template:
    metadata:
      labels:
        {{- include "kecs.selector" . | nindent 8 }}
        app.kubernetes.io/part-of: kecs
    spec:
      restartPolicy: Never
      serviceAccountName: {{ .account }}
      automountServiceAccountToken: true
      {{- include "kecs.pod" . | nindent 6 }}
      containers:
        - name: job
          image: {{ include "kecs.image" (dict "root" .root "target" "injector") | quote }}
          command: [/opt/kecs/bin/python, -c]
          args:
            - |
              {{- .root.Files.Get "files/jobs.py" | nindent 14 }}
            - {{ .call }}
          {{- include "kecs.container" .root | nindent 10 }}
          env:
            {{- include "kecs.podEnvironment" .root | nindent 12 }}
            {{- with .env }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          resources:
            requests: { cpu: 10m, memory: 32Mi }
            limits: { cpu: 500m, memory: 128Mi }
{{- end }}

{{/* Use: (dict "hook" "pre-delete" "weight" 0) */}}
{{- define "kecs.hook" -}}
helm.sh/hook: {{ .hook }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
