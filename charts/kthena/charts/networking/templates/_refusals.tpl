{{/*
What the schema cannot say, or would say in words that help nobody: all at once, each with the key, the value and what is
allowed. refusals.yaml includes it, so that it is looked at whatever else is rendered.
*/}}
{{- define "networking.refusals" -}}
{{- $elsewhere := list
  (list "inferGateway" "resources" "it is networking.inferGateway.resource, as in Kthena's charts")
  (list "inferGateway" "drainTimeout" "it is networking.inferGateway.drain.timeout")
  (list "inferGateway" "terminationGracePeriodSeconds" "it follows from networking.inferGateway.drain")
  (list "inferGateway" "webhook" "it is networking.webhook")
  (list "inferGateway" "sessionBoost" "it is not built: leave it out")
  (list "inferGateway" "gatewayAPI" "it is not built: leave it out")
  (list "inferGateway" "kubeAPIQPS" "it is not needed: leave it out")
  (list "inferGateway" "kubeAPIBurst" "it is not needed: leave it out")
  (list "webhook" "resources" "it is networking.webhook.resource, as in Kthena's charts")
  (list "webhook" "servicePort" "it is 443: leave it out")
  (list "webhook.tls" "certFile" "it is the chart's own: leave it out")
  (list "webhook.tls" "keyFile" "it is the chart's own: leave it out")
  (list "webhook.tls" "serviceName" "it is the chart's own: leave it out")
-}}
{{- $said := list -}}
{{- $gateway := .Values.inferGateway -}}
{{- $webhook := .Values.webhook -}}
{{- $mode := .Values.global.certManagementMode -}}
{{- if hasKey .Values "kthenaRouter" -}}
{{- $said = append $said "networking.kthenaRouter is a key of Kthena's own chart: here it is networking.inferGateway, and its webhook is networking.webhook (README.md, \"Coming from Kthena's chart\")" -}}
{{- end -}}
{{- if hasKey .Values.global "certManager" -}}
{{- $said = append $said "global.certManager.enabled is a key of Kthena's first chart: here it is global.certManagementMode, which is one of auto, cert-manager and manual" -}}
{{- end -}}
{{- if not (or .Values.nameOverride (regexMatch "^[a-z][-a-z0-9]*$" .Release.Name)) -}}
{{- $said = append $said (printf "the release is called %q, by which Services cannot be called, whose names begin with a letter and have no dots: choose another name, or set networking.nameOverride" .Release.Name) -}}
{{- end -}}
{{- range $elsewhere -}}
{{- $section := $.Values -}}
{{- range splitList "." (index . 0) -}}
{{- $section = get $section . -}}
{{- end -}}
{{- if hasKey $section (index . 1) -}}
{{- $said = append $said (printf "networking.%s.%s is not a key here: %s" (index . 0) (index . 1) (index . 2)) -}}
{{- end -}}
{{- end -}}
{{- if and $webhook.enabled (eq $mode "manual") (not .Values.global.webhook.caBundle) -}}
{{- $said = append $said "global.webhook.caBundle is empty: with global.certManagementMode manual it must be the base64 of the PEM of the authority that signed the certificate in networking.webhook.tls.secretName" -}}
{{- end -}}
{{- if and (eq $mode "cert-manager") (or $webhook.enabled (and $gateway.enabled $gateway.tls.enabled)) -}}
{{- if include "networking.isMissing" (list . "cert-manager.io/v1/Certificate") -}}
{{- $said = append $said "global.certManagementMode is cert-manager, which this cluster does not have: install cert-manager first, or set it to auto, by which the webhook makes its own certificate, or to manual" -}}
{{- end -}}
{{- end -}}
{{- $secrets := dict -}}
{{- if and $webhook.enabled (ne $mode "auto") -}}
{{- $_ := set $secrets "webhook" $webhook.tls.secretName -}}
{{- end -}}
{{- if and $gateway.enabled $gateway.tls.enabled -}}
{{- $_ := set $secrets "inferGateway" $gateway.tls.secretName -}}
{{- end -}}
{{- range $component, $secret := $secrets -}}
{{- if hasSuffix "-auto" ($secret | default "") -}}
{{- $said = append $said (printf "networking.%s.tls.secretName is %s: names that end in -auto are kept for Secrets that the webhook makes and a release removes; choose another" $component $secret) -}}
{{- end -}}
{{- end -}}
{{- range $webhook.image.args -}}
{{- if and (hasPrefix "--port" .) (ne . (printf "--port=%s" (include "networking.text" $webhook.port))) -}}
{{- $said = append $said (printf "networking.webhook.image.args has %q: the port is set by networking.webhook.port, for the probes and the Service to know it too" .) -}}
{{- end -}}
{{- end -}}
{{- $flags := dict
  "--port" "networking.inferGateway.port"
  "--metrics-port" "networking.inferGateway.metrics.port"
  "--debug-port" "networking.inferGateway.debugPort"
  "--namespace" "networking.namespaces"
  "--tls-cert" "networking.inferGateway.tls"
  "--tls-key" "networking.inferGateway.tls"
  "--router-config" "networking.inferGateway.routerConfiguration"
  "--expose-metrics-on-router-port" "networking.inferGateway.metrics.exposeOnRouterPort"
-}}
{{- range $gateway.extraArgs -}}
{{- $flag := splitList "=" . | first -}}
{{- if hasKey $flags $flag -}}
{{- $said = append $said (printf "networking.inferGateway.extraArgs has %q: it is set by %s, for the other objects to know it too" . (get $flags $flag)) -}}
{{- else if has $flag (list "--kubernetes" "--backend" "--model" "--manifests") -}}
{{- $said = append $said (printf "networking.inferGateway.extraArgs has %q: a gateway of the chart reads its objects from the cluster, and from nowhere else" .) -}}
{{- else if has $flag (list "--enable-gateway-api" "--enable-gateway-api-inference-extension") -}}
{{- $said = append $said (printf "networking.inferGateway.extraArgs has %q: the Gateway API is not built yet" .) -}}
{{- end -}}
{{- end -}}
{{- $flags = dict
  "--metrics-port" "networking.webhook.metrics.port"
  "--tls-cert-file" "networking.webhook.tls.secretName"
  "--tls-private-key-file" "networking.webhook.tls.secretName"
  "--cert-secret-name" "networking.webhook.tls.secretName"
  "--webhook-service-name" "networking.nameOverride"
  "--webhook-configuration-name" "networking.nameOverride"
  "--cluster-warnings" "networking.webhook.clusterWarnings"
-}}
{{- range $webhook.image.args -}}
{{- $flag := splitList "=" . | first -}}
{{- if hasKey $flags $flag -}}
{{- $said = append $said (printf "networking.webhook.image.args has %q: it is set by %s, for the other objects to know it too" . (get $flags $flag)) -}}
{{- end -}}
{{- end -}}
{{- with $gateway.limits -}}
{{- if and .maxBodyBytes .maxBufferedBytes (gt (include "networking.bytes" .maxBodyBytes | float64) (include "networking.bytes" .maxBufferedBytes | float64)) -}}
{{- $said = append $said (printf "networking.inferGateway.limits.maxBodyBytes is %s: it must be at most maxBufferedBytes, which is %s" (include "networking.text" .maxBodyBytes) (include "networking.text" .maxBufferedBytes)) -}}
{{- end -}}
{{- end -}}
{{- range $gateway.trustedProxies -}}
{{- if include "networking.hostBits" . -}}
{{- $said = append $said (printf "networking.inferGateway.trustedProxies has %q, which is neither an address nor a network: the address has no /%s, and of the network all bits behind the first %s must be 0" . (splitList "/" . | last) (splitList "/" . | last)) -}}
{{- end -}}
{{- end -}}
{{- with ($gateway.routerConfiguration | default dict).auth -}}
{{- if .jwksUri -}}
{{- $said = append $said (printf "networking.inferGateway.routerConfiguration.auth.jwksUri is %q: it must be left out, since authentication is not built yet, and a gateway that was configured closed does not open" .jwksUri) -}}
{{- end -}}
{{- end -}}
{{- $output := $gateway.accessLog.output | default "stdout" -}}
{{- if and $gateway.accessLog.enabled (hasPrefix "/" $output) (dig "readOnlyRootFilesystem" false ($gateway.securityContext | default dict)) -}}
{{- $canBeWritten := false -}}
{{- range $gateway.extraVolumeMounts -}}
{{- $canBeWritten = or $canBeWritten (hasPrefix (printf "%s/" (trimSuffix "/" .mountPath)) $output) -}}
{{- end -}}
{{- if not $canBeWritten -}}
{{- $said = append $said (printf "networking.inferGateway.accessLog.output is %s: it must be on a volume of networking.inferGateway.extraVolumeMounts, since nothing else of the container can be written" $output) -}}
{{- end -}}
{{- end -}}
{{- $fairness := $gateway.fairness -}}
{{- if $fairness.enabled -}}
{{- $own := ($fairness.shares | default dict).weights | default dict -}}
{{- $charged := gt (include "networking.text" $fairness.priorityRequestNumWeight | float64) 0.0 -}}
{{- range $name := list "inputToken" "outputToken" -}}
{{- $weight := ternary (get $own $name) (get $fairness (printf "%sWeight" $name)) (hasKey $own $name) -}}
{{- $product := mulf (include "networking.text" $weight | float64) (include "networking.text" $fairness.priorityTokenWeight | float64) -}}
{{- $charged = or $charged (gt $product 0.0) -}}
{{- if gt $product 1000000.0 -}}
{{- $said = append $said (printf "networking.inferGateway.fairness.%sWeight times priorityTokenWeight is %s: it must be at most 1000000" $name (include "networking.text" $product)) -}}
{{- end -}}
{{- end -}}
{{- if not (or $charged $fairness.sharesConfigMap) -}}
{{- $said = append $said "networking.inferGateway.fairness has weights of 0 by which nobody is charged for anything: inputTokenWeight or outputTokenWeight must be above 0, and priorityTokenWeight with it; or priorityRequestNumWeight, which counts requests" -}}
{{- end -}}
{{- end -}}
{{- if and $gateway.fairness.shares $gateway.fairness.sharesConfigMap -}}
{{- $said = append $said "networking.inferGateway.fairness.shares and networking.inferGateway.fairness.sharesConfigMap are both set: it must be one of them" -}}
{{- end -}}
{{- if $gateway.autoscaling.enabled -}}
{{- if gt (int64 $gateway.autoscaling.minReplicas) (int64 $gateway.autoscaling.maxReplicas) -}}
{{- $said = append $said (printf "networking.inferGateway.autoscaling.minReplicas is %d: it must be at most maxReplicas, which is %d" (int64 $gateway.autoscaling.minReplicas) (int64 $gateway.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- /* What has a limit and no request asks for the limit. */ -}}
{{- $cpu := dig "requests" "cpu" (dig "limits" "cpu" 0 ($gateway.resource | default dict)) ($gateway.resource | default dict) -}}
{{- if and $gateway.enabled (le (include "networking.quantity" $cpu | float64) 0.0) -}}
{{- $said = append $said "networking.inferGateway.autoscaling.enabled is true, and the autoscaler scales by a share of resource.requests.cpu, which is not there or 0: set it" -}}
{{- end -}}
{{- end -}}
{{- $service := $gateway.service -}}
{{- $balanced := list "LoadBalancer" -}}
{{- $reached := list "LoadBalancer" "NodePort" -}}
{{- range $key, $types := dict "loadBalancerClass" $balanced "loadBalancerSourceRanges" $balanced "nodePort" $reached "externalTrafficPolicy" $reached -}}
{{- if and (get $service $key) (not (has $service.type $types)) -}}
{{- $said = append $said (printf "networking.inferGateway.service.%s is set, which a Service of type %s does not have: leave it out, or set service.type to %s" $key $service.type (join " or " $types)) -}}
{{- end -}}
{{- end -}}
{{- $ports := list -}}
{{- range $key, $port := dict "port" $gateway.port "metrics.port" $gateway.metrics.port "debugPort" $gateway.debugPort -}}
{{- if has (int64 $port) $ports -}}
{{- $said = append $said (printf "networking.inferGateway.%s is %d, which is another port's too: port, metrics.port and debugPort must differ" $key (int64 $port)) -}}
{{- end -}}
{{- $ports = append $ports (int64 $port) -}}
{{- end -}}
{{- if eq (int64 $webhook.port) (int64 $webhook.metrics.port) -}}
{{- $said = append $said (printf "networking.webhook.metrics.port is %d, which is networking.webhook.port too: they must differ" (int64 $webhook.port)) -}}
{{- end -}}
{{- if and $gateway.enabled $webhook.enabled $gateway.serviceAccount.create $webhook.serviceAccount.create -}}
{{- $account := include "networking.serviceAccountName" (list . "infer-gateway" $gateway) -}}
{{- if eq $account (include "networking.serviceAccountName" (list . "webhook" $webhook)) -}}
{{- $said = append $said (printf "networking.inferGateway.serviceAccount and networking.webhook.serviceAccount are both to be made under the name %s: give them two names, or have one of them use what the other makes, by create false, which gives the account the rights of both" $account) -}}
{{- end -}}
{{- end -}}
{{- range $component, $values := dict "inferGateway" $gateway "webhook" $webhook -}}
{{- if regexMatch "(?:^|/)(?:(?:kthena|infer)-router(?:-webhook)?|infer-gateway-webhook)$" $values.image.repository -}}
{{- $said = append $said (printf "networking.%s.image.repository is %s, by which Kthena calls a program of its own, which knows none of the flags here: leave image out, tag included, or name an image that is built from this product's Dockerfile" $component $values.image.repository) -}}
{{- end -}}
{{- $rolling := $values.strategy.rollingUpdate | default dict -}}
{{- $isZero := "^0+%?$" -}}
{{- if and (ne $values.strategy.type "Recreate") (regexMatch $isZero (include "networking.text" (dig "maxSurge" "" $rolling))) (regexMatch $isZero (include "networking.text" (dig "maxUnavailable" "" $rolling))) -}}
{{- $said = append $said (printf "networking.%s.strategy.rollingUpdate has 0 for both maxSurge and maxUnavailable, by which no pod could ever take the place of another: set one of them above 0, or strategy.type to Recreate" $component) -}}
{{- end -}}
{{- range ternary $values.extraArgs $values.image.args (eq $component "inferGateway") -}}
{{- if and (hasPrefix "--host=" .) (not (has . (list "--host=::" "--host=0.0.0.0"))) -}}
{{- $said = append $said (printf "networking.%s.%s has %q: probes and Services come to the pod's own address, so it must be --host=:: or --host=0.0.0.0" $component (ternary "extraArgs" "image.args" (eq $component "inferGateway")) .) -}}
{{- end -}}
{{- end -}}
{{- $budget := $values.podDisruptionBudget -}}
{{- if and $budget.enabled (eq (kindIs "invalid" $budget.minAvailable) (kindIs "invalid" $budget.maxUnavailable)) -}}
{{- $said = append $said (printf "networking.%s.podDisruptionBudget has both or neither of minAvailable and maxUnavailable: it must be one of them, the other null" $component) -}}
{{- end -}}
{{- if and $values.enabled $values.serviceMonitor.enabled -}}
{{- if include "networking.isMissing" (list $ "monitoring.coreos.com/v1/ServiceMonitor") -}}
{{- $said = append $said (printf "networking.%s.serviceMonitor.enabled is true, and this cluster does not know ServiceMonitors: install the Prometheus operator first, or set it to false" $component) -}}
{{- end -}}
{{- end -}}
{{- range include "networking.refusedVolumes" (list $ (get (dict "inferGateway" "infer-gateway" "webhook" "webhook") $component) $values $component) | fromJsonArray -}}
{{- $said = append $said . -}}
{{- end -}}
{{- $resource := $values.resource | default dict -}}
{{- $limits := $resource.limits | default dict -}}
{{- range $name, $request := $resource.requests -}}
{{- if hasKey $limits $name -}}
{{- $limit := get $limits $name -}}
{{- if gt (include "networking.quantity" $request | float64) (include "networking.quantity" $limit | float64) -}}
{{- $said = append $said (printf "networking.%s.resource.requests.%s is %s: it must be at most limits.%s, which is %s" $component $name (include "networking.text" $request) $name (include "networking.text" $limit)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $kind := list "limits" "requests" -}}
{{- with dig $kind "memory" "" $resource -}}
{{- $bytes := include "networking.quantity" . | float64 -}}
{{- if and (gt $bytes 0.0) (lt $bytes 1048576.0) -}}
{{- $said = append $said (printf "networking.%s.resource.%s.memory is %s, which is less than a MiB: it must be a quantity such as 512Mi, since a bare number is of bytes, and one with m of thousandths of them" $component $kind (include "networking.text" .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $said -}}
{{- fail (printf "\n\n  %s\n" (join "\n  " $said)) -}}
{{- end -}}
{{- end -}}
