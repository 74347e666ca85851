{{- /*
What puts a gate into a pod. A chart that depends on this one includes these with the scope of it, `.Subcharts.hallgate`:

  hallgate.labels          of the Deployment, its pods, and the app's Service
  hallgate.annotations     of the pods: who the app is
  hallgate.initContainers  before any others of the pod
  hallgate.volumes         of the pod
*/ -}}

{{- define "hallgate.labels" -}}
hallgate/sidecar: enabled
{{- end }}

{{- define "hallgate.annotations" -}}
hallgate/worker-id: {{ .Values.identity.workerId | quote }}
hallgate/tenant-id: {{ .Values.identity.tenantId | quote }}
hallgate/env: {{ .Values.env }}
{{- end }}

{{- define "hallgate.initContainers" -}}
{{- if hasPrefix "outbound" .Values.mode -}}
# Runs before everything else in the pod, and ends. The one container with a capability: it changes the pod's own network.
- name: hallgate-redirect
  image: "{{ .Values.redirectImage.repository }}:{{ .Values.redirectImage.tag }}"
  args: ["28765", {{ ternary "refuse" "8080" (eq .Values.mode "outbound") | quote }}]
  env:
    - name: POD_IP
      valueFrom: { fieldRef: { fieldPath: status.podIP } }
    - name: HOST_IP
      valueFrom: { fieldRef: { fieldPath: status.hostIP } }
  resources:
    requests: { cpu: 10m, memory: 16Mi }
    limits: { memory: 32Mi }
  securityContext:
    runAsUser: 0
    runAsGroup: 0
    runAsNonRoot: false
    readOnlyRootFilesystem: true
    allowPrivilegeEscalation: false
    capabilities: { drop: [ALL], add: [NET_ADMIN] }
    seccompProfile: { type: RuntimeDefault }
{{ end -}}
- {{ include "hallgate.container" . | nindent 2 | trim }}
{{- end }}
