{{/*
What several templates share. A "component" is "infer-gateway" or "webhook"; templates that serve both take a list:
the root context, the component, its values.
*/}}

{{/*
A component's name, and the beginning of all its objects' names. The longest suffix, "-infer-gateway-metrics", has to fit
into 63 characters with it; a longer release keeps apart from others by a hash.
*/}}
{{- define "networking.name" -}}
{{- $root := index . 0 -}}
{{- $prefix := default $root.Release.Name $root.Values.nameOverride -}}
{{- if gt (len $prefix) 40 -}}
{{- $prefix = printf "%s-%s" (trunc 31 $prefix | trimSuffix "-") (sha256sum $prefix | trunc 8) -}}
{{- end -}}
{{- printf "%s-%s" $prefix (index . 1) -}}
{{- end -}}

{{/*
The name of an object outside namespaces: releases of one name in several namespaces have theirs. Where it could be read in
two ways, since the release or the namespace has a component's name in it (the webhook of x in webhook-y, and that of
x-webhook in y), a hash of both tells them apart. A name with a hash has two components in it and one without has one, so
these differ too. Dashes are doubled, for two components that share one to be found.
*/}}
{{- define "networking.clusterName" -}}
{{- $name := include "networking.name" . -}}
{{- $namespace := (index . 0).Release.Namespace -}}
{{- $found := regexFindAll "-(?:infer--gateway|webhook)-" (printf "%s-%s" $name $namespace | replace "-" "--") -1 -}}
{{- $hash := printf "%s/%s" $name $namespace | sha256sum | trunc 8 -}}
{{- printf "%s-%s%s" $name $namespace (ternary (printf "-%s" $hash) "" (gt (len $found) 1)) -}}
{{- end -}}

{{- define "networking.serviceAccountName" -}}
{{- (index . 2).serviceAccount.name | default (include "networking.name" .) -}}
{{- end -}}

{{- define "networking.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default "kthena" $root.Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "networking.labels" -}}
{{- $root := index . 0 -}}
{{ include "networking.selector" . }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- end -}}

{{- define "networking.image" -}}
{{- $root := index . 0 -}}
{{- $image := (index . 2).image -}}
{{- printf "%s:%s" $image.repository ($image.tag | default $root.Chart.AppVersion) -}}
{{- end -}}

{{/* A value as a text. Numbers of a values file are floats to Helm, and would be written as 1e+06. */}}
{{- define "networking.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq . (floor .) -}}{{- printf "%.0f" . -}}{{- else -}}{{- printf "%v" . -}}{{- end -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* The bytes of a size, such as 65536 for 64KiB. */}}
{{- define "networking.bytes" -}}
{{- $text := include "networking.text" . -}}
{{- $units := dict "KiB" 1024.0 "MiB" 1048576.0 "GiB" 1073741824.0 -}}
{{- mulf (regexFind "^[0-9]+" $text | float64) (get $units (regexFind "[KMG]iB$" $text) | default 1.0) | printf "%.0f" -}}
{{- end -}}

{{/* What a quantity of Kubernetes' comes to, such as 0.1 for 100m and 1024 for 1Ki. */}}
{{- define "networking.quantity" -}}
{{- $text := include "networking.text" . -}}
{{- $units := dict "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 -}}
{{- range $power, $unit := list "Ki" "Mi" "Gi" "Ti" "Pi" "Ei" -}}
{{- $bytes := 1.0 -}}
{{- range until (int (add1 $power)) -}}
{{- $bytes = mulf $bytes 1024.0 -}}
{{- end -}}
{{- $_ := set $units $unit $bytes -}}
{{- end -}}
{{- $number := regexFind "^[0-9.]+(?:[eE][-+]?[0-9]+)?" $text -}}
{{- mulf (float64 $number) (get $units (trimPrefix $number $text) | default 1.0) -}}
{{- end -}}

{{/*
Whether a cluster is asked: "true", else nothing. Without one, as with `helm template`, `lookup` finds nothing; from one it
has a list of Secrets, if an empty one, and to read these is what Helm itself needs.
*/}}
{{- define "networking.hasCluster" -}}
{{- if lookup "v1" "Secret" .Release.Namespace "" -}}
true
{{- end -}}
{{- end -}}

{{/*
Whether the cluster that objects are about to be sent to lacks a kind, such as cert-manager.io/v1/Certificate: "true",
else nothing. Of kinds, such as v1/Pod, Helm has heard from a cluster alone, or from `helm template --api-versions`: who
renders with that may bring the kind along.
*/}}
{{- define "networking.isMissing" -}}
{{- $root := index . 0 -}}
{{- $known := $root.Capabilities.APIVersions -}}
{{- if and ($known.Has "v1/Pod") (not ($known.Has (index . 1))) -}}
{{- include "networking.hasCluster" $root -}}
{{- end -}}
{{- end -}}

{{/* Whether a network such as 10.0.0.1/8 is an address in it: "true", else nothing. */}}
{{- define "networking.hostBits" -}}
{{- $parts := splitList "/" . -}}
{{- $width := ternary 16 8 (contains ":" .) -}}
{{- $groups := splitList "." (first $parts) -}}
{{- if contains ":" . -}}
{{- $halves := splitList "::" (first $parts) -}}
{{- $groups = splitList ":" (first $halves) -}}
{{- if eq (len $halves) 2 -}}
{{- $before := splitList ":" (first $halves) | compact -}}
{{- $after := splitList ":" (last $halves) | compact -}}
{{- $groups = $before -}}
{{- range until (int (sub 8 (add (len $before) (len $after)))) -}}
{{- $groups = append $groups "0" -}}
{{- end -}}
{{- $groups = concat $groups $after -}}
{{- end -}}
{{- end -}}
{{- $found := false -}}
{{- if eq (len $parts) 2 -}}
{{- range $at, $group := $groups -}}
{{- $host := sub (mul (add1 $at) $width) (int64 (last $parts)) | max 0 | min $width -}}
{{- $span := 1 -}}
{{- range until (int $host) -}}
{{- $span = mul $span 2 -}}
{{- end -}}
{{- $value := ternary (printf "0x%s" $group) $group (eq $width 16) | int64 -}}
{{- $found = or $found (ne (mod $value $span) 0) -}}
{{- end -}}
{{- end -}}
{{- ternary "true" "" $found -}}
{{- end -}}

{{/* The seconds of a duration, such as 90 for 1m30s. */}}
{{- define "networking.seconds" -}}
{{- $units := dict "ns" 0.000000001 "us" 0.000001 "µs" 0.000001 "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 -}}
{{- $seconds := 0.0 -}}
{{- range regexFindAll "[0-9.]+(?:ns|us|µs|ms|s|m|h)" . -1 -}}
{{- $number := regexFind "^[0-9.]+" . -}}
{{- $seconds = addf $seconds (mulf (float64 $number) (get $units (trimPrefix $number .))) -}}
{{- end -}}
{{- $seconds -}}
{{- end -}}

{{/* How long a pod may take to end: its drain, and half a minute to abort what is left. */}}
{{- define "networking.gracePeriod" -}}
{{- $delay := include "networking.seconds" .delay | float64 -}}
{{- $timeout := include "networking.seconds" .timeout | float64 -}}
{{- addf $delay $timeout 30 | ceil | int64 -}}
{{- end -}}

{{/* One environment variable: name, value. What has no value is left out. */}}
{{- define "networking.variable" -}}
{{- $value := index . 1 -}}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
- name: {{ index . 0 }}
  value: {{ include "networking.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* The names in extraEnv: what they set, the chart does not, since two of one name confuse Helm's next upgrade. */}}
{{- define "networking.ownVariables" -}}
{{- $names := list -}}
{{- range . -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* A Deployment's strategy. Values of the chart's own stay beside those that take their place. */}}
{{- define "networking.strategy" -}}
strategy:
  {{- toYaml (ternary (omit . "rollingUpdate") . (eq .type "Recreate")) | nindent 2 }}
{{- end -}}

{{/* What a pod says to be let into the cluster and onto a node: those of a component, and the one that tests it. */}}
{{- define "networking.placement" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What a pod says of where and how it runs. */}}
{{- define "networking.podSettings" -}}
{{- $values := index . 2 -}}
serviceAccountName: {{ include "networking.serviceAccountName" . | quote }}
{{- include "networking.placement" . }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- $selector := dict "labelSelector" (dict "matchLabels" (include "networking.selector" . | fromYaml)) }}
  {{- $constraints := list }}
  {{- range $values.topologySpreadConstraints }}
  {{- $constraints = append $constraints (merge (deepCopy .) $selector) }}
  {{- end }}
  {{- toYaml $constraints | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "networking.podMetadata" -}}
{{- $values := index . 2 -}}
labels:
  {{- include "networking.selector" . | nindent 2 }}
  {{- with omit ($values.podLabels | default dict) "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The probes, all of the metrics port: it opens first, and speaks HTTP whatever the other port does. `null`: none. */}}
{{- define "networking.probes" -}}
{{- $paths := dict "startupProbe" "/healthz" "livenessProbe" "/healthz" "readinessProbe" "/readyz" -}}
{{- $values := . -}}
{{- range $probe := list "startupProbe" "livenessProbe" "readinessProbe" }}
{{- with get $values $probe }}
{{ $probe }}:
  httpGet:
    path: {{ get $paths $probe }}
    port: metrics
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "networking.podDisruptionBudget" -}}
{{- $root := index . 0 -}}
{{- $budget := (index . 2).podDisruptionBudget -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "networking.name" . }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels:
    {{- include "networking.labels" . | nindent 4 }}
spec:
  selector:
    matchLabels:
      {{- include "networking.selector" . | nindent 6 }}
  {{- if not (kindIs "invalid" $budget.minAvailable) }}
  minAvailable: {{ include "networking.text" $budget.minAvailable }}
  {{- else }}
  maxUnavailable: {{ include "networking.text" $budget.maxUnavailable }}
  {{- end }}
{{- end -}}

{{- define "networking.serviceAccount" -}}
{{- $root := index . 0 -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "networking.serviceAccountName" . | quote }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels:
    {{- include "networking.labels" . | nindent 4 }}
  {{- with (index . 2).serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "networking.serviceMonitor" -}}
{{- $root := index . 0 -}}
{{- $monitor := (index . 2).serviceMonitor -}}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: {{ include "networking.name" . }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels:
    {{- /* A key of the chart's own stays as it is: written twice, which of the two counts is the reader's to choose. */}}
    {{- merge (include "networking.labels" . | fromYaml) ($monitor.labels | default dict) | toYaml | nindent 4 }}
spec:
  selector:
    matchLabels:
      {{- include "networking.selector" . | nindent 6 }}
      kthena-fast.io/scrape: "true"
  namespaceSelector:
    matchNames:
      - {{ $root.Release.Namespace }}
  endpoints:
    - port: metrics
      path: /metrics
      interval: {{ $monitor.interval }}
{{- end -}}

{{- define "networking.metricsService" -}}
{{- $root := index . 0 -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "networking.name" . }}-metrics
  namespace: {{ $root.Release.Namespace | quote }}
  labels:
    {{- include "networking.labels" . | nindent 4 }}
    # The component has another Service; this is the one to scrape.
    kthena-fast.io/scrape: "true"
spec:
  type: ClusterIP
  selector:
    {{- include "networking.selector" . | nindent 4 }}
  ports:
    - name: metrics
      port: {{ (index . 2).metrics.port }}
      targetPort: metrics
{{- end -}}

{{/* A ServiceAccount's binding to what is named like it: root, component, values, kind ("" or "Cluster"), role, namespace. */}}
{{- define "networking.binding" -}}
{{- $root := index . 0 -}}
{{- $kind := index . 3 -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}RoleBinding
metadata:
  name: {{ index . 4 }}
  {{- if not $kind }}
  namespace: {{ index . 5 | quote }}
  {{- end }}
  labels:
    {{- include "networking.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}Role
  name: {{ index . 4 }}
subjects:
  - kind: ServiceAccount
    name: {{ include "networking.serviceAccountName" . | quote }}
    namespace: {{ $root.Release.Namespace | quote }}
{{- end -}}

{{/*
A certificate of cert-manager's: root, component, names, Secret, issuer. Where no issuer is named, one of an authority of
this release: of a certificate that signs itself nobody could trust the next one before it is shown, and a webhook's is
injected a minute before the kubelet has brought it to the pods.
*/}}
{{- define "networking.certificate" -}}
{{- $root := index . 0 -}}
{{- $name := include "networking.name" . -}}
{{- $labels := include "networking.labels" . -}}
{{- $selector := include "networking.selector" . -}}
{{- $issuer := index . 4 -}}
{{- if not $issuer }}
apiVersion: cert-manager.io/v1
kind: Issuer
metadata:
  name: {{ $name }}-self-signed
  namespace: {{ $root.Release.Namespace | quote }}
  labels:
    {{- $labels | nindent 4 }}
spec:
  selfSigned: {}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: {{ $name }}-ca
  namespace: {{ $root.Release.Namespace | quote }}
  labels:
    {{- $labels | nindent 4 }}
spec:
  isCA: true
  commonName: {{ $name }}-ca
  secretName: {{ $name }}-ca
  # By them the Secret, which outlives the release, is found.
  secretTemplate:
    labels:
      {{- $selector | nindent 6 }}
  # Ten years.
  duration: 87600h
  privateKey:
    algorithm: ECDSA
    size: 256
    rotationPolicy: Always
  issuerRef:
    name: {{ $name }}-self-signed
    kind: Issuer
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels:
    {{- $labels | nindent 4 }}
spec:
  ca:
    secretName: {{ $name }}-ca
---
{{- end }}
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels:
    {{- $labels | nindent 4 }}
spec:
  secretName: {{ index . 3 | quote }}
  # By them the Secret, which outlives the release, is found.
  secretTemplate:
    labels:
      {{- $selector | nindent 6 }}
  dnsNames:
    {{- toYaml (index . 2) | nindent 4 }}
  # A new key with each certificate, as cert-manager does by default from 1.18.
  privateKey:
    rotationPolicy: Always
  issuerRef:
    {{- toYaml (default (dict "name" $name "kind" "Issuer") $issuer) | nindent 4 }}
{{- end -}}
