{{- /*
Pieces of CEL that several guards share. In admission, `object` is null for DELETE and `oldObject` for CREATE and CONNECT; absent
fields of `request` (subResource, name, extra) are absent keys and not empty texts.
*/}}

{{- define "holdfast.guard.metadata" -}}
labels:
  {{- include "holdfast.labels" . | nindent 2 }}
{{- end }}

{{/* One binding per guard. Audit as well as Deny, so that refused attempts are in the audit log. */}}
{{- define "holdfast.guard.binding" -}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  {{- include "holdfast.guard.metadata" .root | nindent 2 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny, Audit]
{{- end }}

{{/*
The operator: its service account, and (guards.requireBoundToken) a token that is bound to a pod, as kubelets hand them out. An
unbound token, a token Secret, a certificate with its name and impersonation carry no pod-uid.
*/}}
{{- define "holdfast.guard.isOperator" -}}
request.userInfo.username == '{{ include "holdfast.username" . }}'
{{- if .Values.guards.requireBoundToken }} &&
has(request.userInfo.extra) && 'authentication.kubernetes.io/pod-uid' in request.userInfo.extra
{{- end }}
{{- end }}

{{/* By name too: a certificate or an impersonation can carry the name without the group. */}}
{{- define "holdfast.guard.isPerson" -}}
!(request.userInfo.username.startsWith('system:serviceaccount:') || request.userInfo.username.startsWith('system:node:') ||
'system:serviceaccounts' in request.userInfo.groups || 'system:nodes' in request.userInfo.groups)
{{- end }}

{{/* Whoever clears up: without them deleting a namespace or a ModelDeployment would hang. */}}
{{- define "holdfast.guard.isCollector" -}}
request.userInfo.username in ['system:serviceaccount:kube-system:generic-garbage-collector',
'system:serviceaccount:kube-system:namespace-controller', 'system:kube-controller-manager']
{{- end }}

{{- define "holdfast.guard.breakGlass" -}}
variables.isPerson && authorizer.group('holdfast.dev').resource('modeldeployments').namespace(request.namespace).check('break-glass').allowed()
{{- end }}

{{- define "holdfast.guard.metadataKept" -}}
object.metadata.?labels == oldObject.metadata.?labels && object.metadata.?finalizers == oldObject.metadata.?finalizers &&
object.metadata.?ownerReferences == oldObject.metadata.?ownerReferences
{{- end }}

{{/* Annotations of others are free; ours are the operator's. */}}
{{- define "holdfast.guard.annotationsKept" -}}
object.metadata.?annotations.orValue({}).all(key, !key.startsWith('holdfast.dev/') ||
object.metadata.annotations[key] == oldObject.metadata.?annotations[?key].orValue('')) &&
oldObject.metadata.?annotations.orValue({}).all(key, !key.startsWith('holdfast.dev/') || key in object.metadata.?annotations.orValue({}))
{{- end }}

{{/*
A server-side apply of the same values changes nothing and still makes its sender a co-owner of the fields; what the operator
removes later would then stay. New owners of annotations only are harmless.
*/}}
{{- define "holdfast.guard.noCoOwner" -}}
object.metadata.?managedFields.orValue([]).all(entry, entry.?subresource.orValue('') != '' ||
oldObject.metadata.?managedFields.orValue([]).exists(old, old.manager == entry.manager && old.operation == entry.operation && old.?fieldsV1 == entry.?fieldsV1) ||
entry.?fieldsV1.orValue({}).all(key, key == 'f:metadata' && entry.fieldsV1[key].all(part, part == 'f:annotations')))
{{- end }}
