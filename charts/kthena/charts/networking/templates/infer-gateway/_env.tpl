{{/* The gateway's environment: the value behind each variable of docs/settings.md. */}}
{{- define "networking.gatewayEnv" -}}
{{- $values := .Values.inferGateway -}}
{{- $variables := list
  (list "LOG_LEVEL" $values.log.level)
  (list "LOG_FORMAT" $values.log.format)
  (list "ACCESS_LOG_ENABLED" $values.accessLog.enabled)
  (list "ACCESS_LOG_FORMAT" $values.accessLog.format)
  (list "ACCESS_LOG_OUTPUT" $values.accessLog.output)
  (list "MAX_BODY_BYTES" $values.limits.maxBodyBytes)
  (list "MAX_BUFFERED_BYTES" $values.limits.maxBufferedBytes)
  (list "MAX_HEADER_BYTES" $values.limits.maxHeaderBytes)
  (list "MAX_HEADERS" $values.limits.maxHeaders)
  (list "HEADER_TIMEOUT" $values.limits.headerTimeout)
  (list "BODY_TIMEOUT" $values.limits.bodyTimeout)
  (list "KEEPALIVE_TIMEOUT" $values.limits.keepaliveTimeout)
  (list "MAX_CONNECTIONS" $values.limits.maxConnections)
  (list "CONNECT_TIMEOUT" $values.engines.connectTimeout)
  (list "METRICS_SCRAPE_INTERVAL" $values.engines.metricsInterval)
  (list "UPSTREAM_CA_FILE" (ternary (printf "/etc/kthena/engines/%s" $values.engines.caKey) "" (not (empty $values.engines.caConfigMap))))
  (list "TRUSTED_PROXIES" (join "," $values.trustedProxies))
  (list "DRAIN_DELAY" $values.drain.delay)
  (list "DRAIN_TIMEOUT" $values.drain.timeout)
  (list "STATUS_UPDATES" $values.status.enabled)
  (list "STATUS_LEASE_NAME" (ternary (include "networking.name" (list . "infer-gateway")) "" $values.status.enabled))
  (list "ENABLE_FAIRNESS_SCHEDULING" $values.fairness.enabled)
-}}
{{- if $values.fairness.enabled -}}
{{- $shares := or $values.fairness.shares $values.fairness.sharesConfigMap -}}
{{- $variables = concat $variables (list
  (list "FAIRNESS_POLICY" $values.fairness.policy)
  (list "FAIRNESS_WINDOW_SIZE" $values.fairness.windowSize)
  (list "FAIRNESS_INPUT_TOKEN_WEIGHT" $values.fairness.inputTokenWeight)
  (list "FAIRNESS_OUTPUT_TOKEN_WEIGHT" $values.fairness.outputTokenWeight)
  (list "FAIRNESS_USER_SOURCES" (join "," $values.fairness.userSources))
  (list "FAIRNESS_SHARES_FILE" (ternary "/etc/kthena/shares/shares.yaml" "" (not (empty $shares))))
  (list "FAIRNESS_MAX_CONCURRENT" $values.fairness.maxConcurrent)
  (list "FAIRNESS_MAX_QPS" $values.fairness.maxQPS)
  (list "FAIRNESS_POD_CONCURRENCY" $values.fairness.podConcurrency)
  (list "FAIRNESS_QUEUE_TIMEOUT" $values.fairness.queueTimeout)
  (list "FAIRNESS_MAX_QUEUE" $values.fairness.maxQueue)
  (list "FAIRNESS_MAX_QUEUE_PER_USER" $values.fairness.maxQueuePerUser)
  (list "FAIRNESS_MAX_USERS" $values.fairness.maxUsers)
  (list "FAIRNESS_PRIORITY_TOKEN_WEIGHT" $values.fairness.priorityTokenWeight)
  (list "FAIRNESS_PRIORITY_REQUEST_NUM_WEIGHT" $values.fairness.priorityRequestNumWeight)
  (list "FAIRNESS_RESERVE_OUTPUT" $values.fairness.reserveOutput)
  (list "FAIRNESS_IMAGE_TOKENS" $values.fairness.imageTokens)
  (list "FAIRNESS_TOP_USERS" $values.fairness.topUsers)
) -}}
{{- end -}}
{{- $own := include "networking.ownVariables" $values.extraEnv | fromJsonArray -}}
{{- if not (has "POD_NAMESPACE" $own) }}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- end }}
{{- if not (has "MALLOC_MMAP_THRESHOLD_" $own) }}
# Has glibc give the memory of request bodies back at once, as it does by itself only until the first of them is freed.
- name: MALLOC_MMAP_THRESHOLD_
  value: "131072"
{{- end }}
{{- range $variables }}
{{- if not (has (index . 0) $own) }}
{{- include "networking.variable" . }}
{{- end }}
{{- end }}
{{- end -}}
