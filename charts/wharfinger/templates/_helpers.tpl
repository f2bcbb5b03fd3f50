{{/* Name of the chart's objects. */}}
{{- define "wharfinger.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Name of what belongs to the whole cluster. It carries the namespace, so that two installations of one release name do not
take each other's rights.
*/}}
{{- define "wharfinger.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "wharfinger.fullname" .) -}}
{{- end -}}

{{- define "wharfinger.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "wharfinger.labels" -}}
{{ include "wharfinger.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "wharfinger.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "wharfinger.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* An image reference. Takes a dict of image and root. */}}
{{- define "wharfinger.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "wharfinger.allowedImagePrefixes" -}}
{{- if .Values.allowedImagePrefixes -}}
{{- join "," .Values.allowedImagePrefixes -}}
{{- else -}}
{{- printf "%s:,%s@" .Values.registryImage.repository .Values.registryImage.repository -}}
{{- end -}}
{{- end -}}
