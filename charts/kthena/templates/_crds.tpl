{{/*
Whose a CustomResourceDefinition in the cluster is: "" where there is none, "release" where it is this release's, else who
has it, in words. Rendered without a cluster there is none.
*/}}
{{- define "kthena.ownerOfCrd" -}}
{{- $root := index . 0 -}}
{{- with lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" (index . 1) -}}
{{- $annotations := default dict .metadata.annotations -}}
{{- $name := get $annotations "meta.helm.sh/release-name" -}}
{{- $namespace := get $annotations "meta.helm.sh/release-namespace" -}}
{{- if and (eq $name $root.Release.Name) (eq $namespace $root.Release.Namespace) -}}
release
{{- else if $name -}}
the release {{ $name }} in {{ $namespace }}
{{- else -}}
whoever applied it without Helm, or a chart's crds folder
{{- end -}}
{{- end -}}
{{- end -}}
