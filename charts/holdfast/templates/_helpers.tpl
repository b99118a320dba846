{{/* The operator's fixed name. There is one Holdfast in a cluster, and its guards know it by this name. */}}
{{- define "holdfast.name" -}}
holdfast-operator
{{- end }}

{{- define "holdfast.selector" -}}
app.kubernetes.io/name: holdfast
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "holdfast.labels" -}}
{{ include "holdfast.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* The user name that the operator's token carries. */}}
{{- define "holdfast.username" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "holdfast.name" . }}
{{- end }}

{{- define "holdfast.image" -}}
{{- $repository := required "image.repository is needed, such as --set image.repository=registry.example/holdfast" .Values.image.repository -}}
{{- $digest := required "image.digest is needed, because the operator is pinned too: --set image.digest=sha256:… (crane digest prints it)" .Values.image.digest -}}
{{ $repository }}@{{ $digest }}
{{- end }}

{{- define "holdfast.weightsImage" -}}
{{- if .Values.weightsImage.digest -}}
{{ required "weightsImage.repository is needed when weightsImage.digest is set" .Values.weightsImage.repository }}@{{ .Values.weightsImage.digest }}
{{- else if .Values.weightsImage.repository -}}
{{ fail "weightsImage.digest is needed when weightsImage.repository is set: sha256:… (crane digest prints it)" }}
{{- else -}}
{{ include "holdfast.image" . }}
{{- end }}
{{- end }}

{{- define "holdfast.gatewayImage" -}}
{{- $digest := required "gatewayImage.digest is needed, because the gateway is pinned too: --set gatewayImage.digest=sha256:… (crane digest prints it)" .Values.gatewayImage.digest -}}
{{ required "gatewayImage.repository is needed, such as docker.io/envoyproxy/envoy" .Values.gatewayImage.repository }}@{{ $digest }}
{{- end }}
