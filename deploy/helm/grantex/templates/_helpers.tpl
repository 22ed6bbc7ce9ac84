{{- define "grantex.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "grantex.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "grantex.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "grantex.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "grantex.selector" -}}
app.kubernetes.io/name: {{ include "grantex.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "grantex.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ include "grantex.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "grantex.labels" -}}
{{ include "grantex.commonLabels" . }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "grantex.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- /* Whether there can be more than one server. */ -}}
{{- define "grantex.isMany" -}}
{{- if .Values.embedded.enabled -}}
{{- else if .Values.autoscaling.enabled -}}{{ if gt (int .Values.autoscaling.maxReplicas) 1 }}true{{ end }}
{{- else if gt (int .Values.replicaCount) 1 -}}true{{- end -}}
{{- end -}}

{{- /* What no schema can say. */ -}}
{{- define "grantex.check" -}}
{{- $_ := required "publicBaseUrl is required, such as https://grantex.example.com" .Values.publicBaseUrl -}}
{{- $_ := required "secret.name is required: a Secret that holds what secret.keys names" .Values.secret.name -}}
{{- if not .Values.secret.keys.GRANTEX_MASTER_KEY -}}{{ fail "secret.keys must name GRANTEX_MASTER_KEY" }}{{- end -}}
{{- if .Values.embedded.enabled -}}
{{- if .Values.secret.keys.DATABASE_URL -}}{{ fail "embedded.enabled needs secret.keys.DATABASE_URL to be null: the store is a file" }}{{- end -}}
{{- if .Values.autoscaling.enabled -}}{{ fail "embedded.enabled and autoscaling.enabled: the embedded store serves one server" }}{{- end -}}
{{- if .Values.migrationJob.enabled -}}{{ fail "embedded.enabled and migrationJob.enabled: the server itself migrates its file" }}{{- end -}}
{{- else if not .Values.secret.keys.DATABASE_URL -}}{{ fail "secret.keys must name DATABASE_URL, or embedded.enabled be true" }}{{- end -}}
{{- range $name, $_ := .Values.config -}}
{{- if has $name (list "HOST" "PORT" "PUBLIC_BASE_URL" "SHUTDOWN_DELAY" "MIGRATE_ON_START") -}}
{{ fail (printf "config.%s is set by the chart" $name) }}{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The parts of a container that the server and the migration share. */ -}}
{{- define "grantex.container" -}}
image: {{ include "grantex.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{- /* Where pods may run. */ -}}
{{- define "grantex.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "grantex.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "grantex.secretVolume" -}}
- name: secret
  secret:
    secretName: {{ .Values.secret.name }}
    defaultMode: 0440
    items:
      {{- range $name, $key := .Values.secret.keys }}
      {{- if $key }}
      - key: {{ $key }}
        path: {{ $name }}
      {{- end }}
      {{- end }}
{{- end -}}

{{- /* Everything the server is told; secrets as the files that hold them. */ -}}
{{- define "grantex.environment" -}}
GRANTEX_ENV: {{ .Values.config.GRANTEX_ENV | default "production" | quote }}
HOST: 0.0.0.0
PORT: "3001"
LOG_FORMAT: {{ .Values.config.LOG_FORMAT | default "json" | quote }}
PUBLIC_BASE_URL: {{ .Values.publicBaseUrl | trimSuffix "/" | quote }}
SHUTDOWN_DELAY: {{ printf "%ds" (int .Values.shutdownDelaySeconds) | quote }}
MIGRATE_ON_START: {{ not .Values.migrationJob.enabled | quote }}
{{- if .Values.embedded.enabled }}
DATABASE_URL: sqlite:/var/lib/grantex/grantex.db
{{- end }}
{{- range $name, $key := .Values.secret.keys }}
{{- if $key }}
{{ $name }}_FILE: /run/secrets/grantex/{{ $name }}
{{- end }}
{{- end }}
{{- range $name, $value := omit .Values.config "GRANTEX_ENV" "LOG_FORMAT" }}
{{ $name }}: {{ $value | toString | quote }}
{{- end }}
{{- end -}}
