{{- define "metrics-host.name" -}}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- $name | trunc 45 | trimSuffix "-" }}
{{- end }}

{{- define "metrics-host.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "metrics-host.labels" -}}
{{ include "metrics-host.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "metrics-host.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "metrics-host.name" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "metrics-host.sidecars" -}}
{{ include "metrics-host.name" . }}-sidecar
{{- end }}

{{- /* Pod settings that application, sidecars and test share. */ -}}
{{- define "metrics-host.pod" -}}
serviceAccountName: {{ include "metrics-host.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "metrics-host.container" -}}
image: {{ required "image.reference: name the release image, or one built from it" .Values.image.reference }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "metrics-host.probes" -}}
# The first start compiles the application.
startupProbe:
  httpGet: {path: /-/healthy, port: metrics}
  periodSeconds: 1
  failureThreshold: 180
livenessProbe:
  httpGet: {path: /-/healthy, port: metrics}
readinessProbe:
  httpGet: {path: /-/ready, port: metrics}
  periodSeconds: 2
  failureThreshold: 1
{{- end }}

{{- /* Time from SIGTERM, or preStop, to SIGKILL: all that shutdown waits for, and 10 s for the rest. */ -}}
{{- define "metrics-host.grace" -}}
{{- /* Two graces: for requests, and for the last work of instances. */ -}}
{{- $linger := ternary .Values.scrapeGates.lingerSeconds 0 .Values.scrapeGates.enabled -}}
{{- add .Values.app.preStopSeconds (mul 2 .Values.app.shutdownGraceSeconds) $linger 10 -}}
{{- end }}

{{- /* Variables that show the thresholds of the rules on the status page. */ -}}
{{- define "metrics-host.thresholds" -}}
{{- with .Values.prometheusRule.thresholds -}}
- {name: METRICS_HOST_ERROR_RATIO, value: {{ .errorRatio | quote }}}
- {name: METRICS_HOST_LATENCY_TARGET, value: {{ mulf .latencySeconds 1000000 | int64 }}us}
{{- end }}
{{- end }}

{{- /* Values of the placeholders in rules and dashboards, as text: as JSON, since a template returns text. */ -}}
{{- define "metrics-host.placeholders" -}}
{{- $status := .Values.links.metricsHost | default (printf "http://%s.%s.svc:9464" (include "metrics-host.name" .) .Release.Namespace) | trimSuffix "/" }}
{{- $limits := .Values.prometheusRule.thresholds }}
{{- $budget := divf (subf 100 .Values.objective) 100 }}
{{- dict
  "namespace" .Release.Namespace
  "job" "metrics-host"
  "alertmanager_job" "alertmanager"
  "metrics_host_url" $status
  "runbooks_url" (printf "%s/runbooks" $status)
  "grafana_url" (.Values.links.grafana | trimSuffix "/")
  "alertmanager_url" (.Values.links.alertmanager | trimSuffix "/")
  "objective" (toString .Values.objective)
  "objective_ratio" (toString (round (divf .Values.objective 100) 8))
  "error_budget" (toString (round $budget 8))
  "budget_percent" (toString (round (mulf $budget 100) 6))
  "budget_times_3" (toString (round (mulf $budget 3) 8))
  "budget_times_6" (toString (round (mulf $budget 6) 8))
  "budget_times_14_4" (toString (round (mulf $budget 14.4) 8))
  "error_ratio" (toString $limits.errorRatio)
  "error_percent" (toString (round (mulf $limits.errorRatio 100) 6))
  "minimum_rate" (toString $limits.minimumRate)
  "latency_seconds" (toString $limits.latencySeconds)
  "exception_rate" (toString $limits.exceptionRate)
  "traffic_rate" (toString $limits.trafficRate)
  | toJson }}
{{- end }}
