"""What the demo and the end-to-end tests share: a cluster with Holdfast installed, people, and counted traffic."""
