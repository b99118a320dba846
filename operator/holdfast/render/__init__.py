"""Pure builders of Kubernetes manifests. No clock, no randomness, no settings of the operator: same input, same bytes."""
