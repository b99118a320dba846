"""The port to Kubernetes: what the operator reads and writes, with preconditions on every write."""
