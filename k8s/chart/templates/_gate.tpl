{{- /* The gate's container, in a Deployment of its own or beside an app, and what it mounts. */ -}}

{{- define "hallgate.container" -}}
name: hallgate
image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
{{- if ne .Values.mode "gateway" }}
restartPolicy: Always
{{- end }}
args: [serve, --config, /etc/hallgate/hallgate.yaml]
env:
  {{- if .Values.ledger.keySecret }}
  - { name: HALLGATE_KEY_FILE, value: /etc/hallgate-ledger-key/hallgate.key }
  {{- end }}
  {{- if eq .Values.mode "gateway" }}
  - { name: HALLGATE_ENV, value: {{ .Values.env }} }
  {{- else }}
  - name: HALLGATE_WORKER_ID
    valueFrom: { fieldRef: { fieldPath: "metadata.annotations['hallgate/worker-id']" } }
  - name: HALLGATE_TENANT_ID
    valueFrom: { fieldRef: { fieldPath: "metadata.annotations['hallgate/tenant-id']" } }
  - name: HALLGATE_ENV
    valueFrom: { fieldRef: { fieldPath: "metadata.annotations['hallgate/env']" } }
  {{- end }}
  - name: POD_NAME
    valueFrom: { fieldRef: { fieldPath: metadata.name } }
  - name: POD_NAMESPACE
    valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
ports:
  - { name: gate, containerPort: 8080, protocol: TCP }
  - { name: hall, containerPort: 8765, protocol: TCP }
  - { name: ops, containerPort: 8766, protocol: TCP }
# It answers once ledger and doors are open. Not /readyz: a hall that is switched off, or whose ledger is broken, must stay up to be
# looked into; that it gets no traffic is readiness's. Ten minutes, since a ledger that lost its index is read as a whole.
startupProbe:
  httpGet: { path: /livez, port: 8766 }
  periodSeconds: 1
  failureThreshold: 600
readinessProbe:
  httpGet: { path: /readyz, port: 8766 }
  periodSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: { path: /livez, port: 8766 }
  periodSeconds: 10
  failureThreshold: 3
resources:
  {{- if .Values.resources }}
  {{- toYaml .Values.resources | nindent 2 }}
  {{- else }}
  # No limit of ephemeral storage: it would be the whole pod's, the ledger's volume included.
  {{- $disk := ternary .Values.ledger.sizeLimit "64Mi" (empty .Values.ledger.claim) }}
  {{- if eq .Values.mode "gateway" }}
  requests: { cpu: 250m, memory: 64Mi, ephemeral-storage: {{ $disk }} }
  limits: { memory: 256Mi }
  {{- else }}
  requests: { cpu: 50m, memory: 48Mi, ephemeral-storage: {{ $disk }} }
  limits: { memory: 192Mi }
  {{- end }}
  {{- end }}
securityContext:
  runAsUser: 28765
  {{- if .Values.ledger.keySecret }}
  # The Secret's files are root's and its group's: in that group is this container alone, and nobody else may read the key.
  runAsGroup: 0
  {{- else }}
  runAsGroup: 28765
  {{- end }}
  runAsNonRoot: true
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: { drop: [ALL] }
  seccompProfile: { type: RuntimeDefault }
volumeMounts:
  {{- if .Values.ledger.keySecret }}
  - { name: hallgate-ledger-key, mountPath: /etc/hallgate-ledger-key, readOnly: true }
  {{- end }}
  - { name: hallgate-config, mountPath: /etc/hallgate, readOnly: true }
  - { name: hallgate-policy, mountPath: /etc/hallgate-policy, readOnly: true }
  - { name: hallgate-workers, mountPath: /etc/hallgate-workers, readOnly: true }
  - { name: hallgate-secrets, mountPath: /etc/hallgate-secrets, readOnly: true }
  - { name: hallgate-ledger, mountPath: /var/lib/hallgate }
{{- end }}

{{- define "hallgate.volumes" -}}
{{- with .Values.ledger.keySecret -}}
- name: hallgate-ledger-key
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
    items: [{ key: hallgate.key, path: hallgate.key }]
{{ end -}}
- name: hallgate-config
  configMap: { name: hallgate-config, defaultMode: 0444 }
- name: hallgate-policy
  configMap: { name: hallgate-policy, defaultMode: 0444 }
- name: hallgate-workers
  configMap: { name: hallgate-workers, defaultMode: 0444 }
# Only the gate's container mounts it. Not 0400: it belongs to root, and the gate is another user.
- name: hallgate-secrets
  secret: { secretName: {{ .Values.secretName | quote }}, defaultMode: 0444 }
{{- if not .Values.ledger.claim }}
# As long-lived as the pod; docs/operate/kubernetes.md says how the evidence outlives it.
- name: hallgate-ledger
  emptyDir: { sizeLimit: {{ .Values.ledger.sizeLimit }} }
{{- end }}
{{- end }}
